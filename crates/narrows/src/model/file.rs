//! The model file: what of a [`Model`] goes where. The container is [`crate::base::container`]'s, the specification `FORMAT.md`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::metrics::{
    self, Classification, ClassificationSummary, Reconstruction, ReconstructionSummary, Summary,
};
use super::{Decoder, Encoder, Fitted, Model, Part};
use crate::base::atomic_file;
use crate::base::container::{self, Kind, Tensor, Tensors};
use crate::compute::Compute;
use crate::data::scaling::Scaling;
use crate::data::{Element, Shape};
use crate::error::{Error, Result};
use crate::network::plan::Plan;
use crate::pca::Pca;
use crate::recipe::{
    AutoencoderRecipe, Function, Keep, Layer, Loss, Recipe, Scale, Schedule, Train, Units, Weights,
};

const MODEL: Kind = Kind { key: "narrows", name: "Narrows model file", newest: 4 };

/// What is not a tensor.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    #[serde(rename = "spec")]
    recipe: Recipe,
    shape: Shape,
    element: Element,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pca: Option<PcaHead>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    summary: Option<ReconstructionSummary>,
    /// What of the model is there, where it is not all.
    #[serde(default, skip_serializing_if = "is_whole")]
    part: Part,
    /// Of a classifier: the names of its classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    classes: Option<ClassesHead>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassesHead {
    names: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    summary: Option<ClassificationHead>,
}

/// The summary of a classifier as the file has it; [`ClassificationSummary`] is derived from it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassificationHead {
    training_rows: usize,
    labelled_rows: usize,
    epochs: usize,
    #[serde(deserialize_with = "metrics::number")]
    train_loss: f64,
    evaluation: ConfusionHead,
    #[serde(deserialize_with = "metrics::number")]
    commonest_error: f64,
    #[serde(deserialize_with = "metrics::number")]
    nearest_mean_error: f64,
    verdict: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfusionHead {
    rows: usize,
    wrong: usize,
    #[serde(deserialize_with = "metrics::number")]
    cross_entropy: f64,
    confusion: Vec<Vec<usize>>,
}

impl ClassificationHead {
    fn of(summary: &ClassificationSummary) -> Self {
        let found = &summary.evaluation;
        Self {
            training_rows: summary.training_rows,
            labelled_rows: summary.labelled_rows,
            epochs: summary.epochs,
            train_loss: summary.train_loss,
            evaluation: ConfusionHead {
                rows: found.rows,
                wrong: found.misclassified,
                cross_entropy: found.loss,
                confusion: found.confusion.clone(),
            },
            commonest_error: summary.commonest_error,
            nearest_mean_error: summary.nearest_mean_error,
            verdict: summary.verdict.clone(),
        }
    }

    /// Refuses a confusion matrix that is not square in `classes`, or that has other sums than the file says.
    fn into_summary(self, classes: usize) -> Option<ClassificationSummary> {
        let ConfusionHead { rows, wrong, cross_entropy, confusion } = self.evaluation;
        let is_square = confusion.len() == classes && confusion.iter().all(|row| row.len() == classes);
        let sum = confusion.iter().flatten().try_fold(0usize, |sum, &count| sum.checked_add(count));
        if !is_square || sum != Some(rows) {
            return None;
        }
        let evaluation = Classification::new(confusion, cross_entropy);
        (evaluation.misclassified == wrong).then_some(ClassificationSummary {
            training_rows: self.training_rows,
            labelled_rows: self.labelled_rows,
            epochs: self.epochs,
            train_loss: self.train_loss,
            evaluation,
            commonest_error: self.commonest_error,
            nearest_mean_error: self.nearest_mean_error,
            verdict: self.verdict,
        })
    }
}

fn is_whole(part: &Part) -> bool {
    *part == Part::Whole
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PcaHead {
    rows: usize,
    total_variance: f64,
}

/// A file of a model: the whole, or a part that was saved alone.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelFile {
    /// A whole model.
    Whole(Model),
    /// An encoder alone.
    Encoder(Encoder),
    /// A decoder alone.
    Decoder(Decoder),
}

impl ModelFile {
    /// Reads a file of any kind.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|error| Error::io(path, "read", error))?;
        Self::from_bytes(&bytes).map_err(|error| error.at(path.display()))
    }

    /// Reads the bytes of a file of any kind.
    ///
    /// # Errors
    /// As [`Model::from_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let model = read(bytes)?;
        Ok(match model.part {
            Part::Whole => Self::Whole(model),
            Part::Encoder => Self::Encoder(Encoder(model)),
            Part::Decoder => Self::Decoder(Decoder(model)),
        })
    }

    /// The model in it; of a part the model without the parameters of the other part.
    pub fn model(&self) -> &Model {
        match self {
            Self::Whole(model) => model,
            Self::Encoder(part) => part.of_model(),
            Self::Decoder(part) => part.of_model(),
        }
    }

    /// Its kind in words: `a whole model`.
    pub fn title(&self) -> &'static str {
        self.model().part.title()
    }

    fn whole(self) -> Result<Model> {
        match self {
            Self::Whole(model) => Ok(model),
            part => Err(Error::model(format!("the model is {}: half of one", part.title()))
                .hint("use the model that it was split from")),
        }
    }
}

impl Model {
    /// Writes the model to a file; see [`atomic_file::write`]. The same model gives the same bytes.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        atomic_file::write(path, &self.to_bytes()?)
    }

    /// Reads a whole model from a file. For an encoder or a decoder that was saved alone see [`Encoder::open`],
    /// [`Decoder::open`] and [`ModelFile::open`].
    ///
    /// # Errors
    /// Where the file cannot be read, is damaged, foreign, of a newer version, or holds a part; the message says which.
    pub fn open(path: &Path) -> Result<Self> {
        ModelFile::open(path)?.whole().map_err(|error| error.at(path.display()))
    }

    /// Reads a whole model from the bytes of a file.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        ModelFile::from_bytes(bytes)?.whole()
    }

    /// The model as the bytes of a file.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut tensors = BTreeMap::new();
        let vector = |values: &[f64]| Tensor::f64(vec![values.len()], values);
        tensors.insert("scaling.offsets".to_owned(), vector(&self.scaling.offsets));
        tensors.insert("scaling.scales".to_owned(), vector(&self.scaling.scales));
        tensors.insert("training_mean".to_owned(), vector(&self.training_mean));
        let mut pca_head = None;
        match &self.fitted {
            Fitted::Network { plan, parameters } => {
                for parameter in plan.parameters.iter().filter(|own| self.part.needs(plan, own)) {
                    let values = &parameters[parameter.range.clone()];
                    tensors.insert(parameter.name.clone(), Tensor::f32(parameter.shape.clone(), values));
                }
            }
            Fitted::Pca(pca) => {
                let shape = vec![pca.code_size(), pca.mean.len()];
                tensors.insert("pca.components".to_owned(), Tensor::f64(shape, &pca.components));
                tensors.insert("pca.explained_variance".to_owned(), vector(&pca.explained_variance));
                pca_head = Some(PcaHead { rows: pca.rows, total_variance: pca.total_variance });
            }
        }
        let head = Head {
            recipe: self.recipe.clone(),
            shape: self.shape,
            element: self.element,
            pca: pca_head,
            summary: self.summary.as_ref().and_then(Summary::reconstruction).cloned(),
            part: self.part,
            classes: self.classes.as_ref().map(|names| ClassesHead {
                names: names.clone(),
                summary: self.summary.as_ref().and_then(Summary::classification).map(ClassificationHead::of),
            }),
        };
        container::encode(&MODEL, head.version(), &head, &tensors)
    }
}

/// Reads a model, or a part of one, from the bytes of a file.
fn read(bytes: &[u8]) -> Result<Model> {
    let (version, head, tensors) = container::decode::<Head>(&MODEL, bytes)?;
    if version < head.version() {
        return Err(Error::model(format!(
            "the description of the {} has what version {version} did not know",
            MODEL.name
        )));
    }
    // The hash does not cover the version; but a file has the lowest one.
    if version > head.version() {
        return Err(Error::model(format!(
            "the {} says version {version}, and holds nothing that version {} did not know: it is damaged",
            MODEL.name,
            head.version()
        ))
        .hint("use a copy"));
    }
    head.into_model(tensors)
}

/// The version that first knew a function.
fn version_of_function(function: Function) -> u64 {
    match function {
        Function::Linear | Function::Relu | Function::Sigmoid | Function::Tanh | Function::Softmax => 1,
        Function::LeakyRelu | Function::Elu | Function::Gelu | Function::Silu | Function::Softplus => 3,
    }
}

/// The version that first knew a loss.
fn version_of_loss(loss: Loss) -> u64 {
    match loss {
        Loss::Bce | Loss::Mse | Loss::CrossEntropy => 1,
        Loss::Mae | Loss::Huber => 3,
    }
}

/// The version that first knew all settings of a network.
fn version_of_network(network: &AutoencoderRecipe) -> u64 {
    let of_layer = |layer: &Layer| match layer {
        Layer::Dense { units: Units::Tied, .. }
        | Layer::TransposedConvolution { channels: Units::Tied, .. }
        | Layer::Dropout { .. }
        | Layer::Variational { .. } => 3,
        Layer::Function(function) => version_of_function(*function),
        Layer::Dense { units: Units::Count(_) | Units::Input, .. } => 1,
        // In no version: refused when it is read.
        Layer::BatchNorm => 1,
        Layer::Dense { units: Units::Flatten, .. }
        | Layer::Convolution { .. }
        | Layer::TransposedConvolution { .. }
        | Layer::MaxPool { .. }
        | Layer::AveragePool { .. }
        | Layer::Upsample { .. }
        | Layer::Reshape { .. }
        | Layer::Flatten
        | Layer::Unflatten
        | Layer::Noise(_) => 2,
    };
    let of_layers = network.encoder.iter().chain(&network.decoder).map(of_layer).max().unwrap_or(1);
    let before = Train {
        patience: None,
        min_delta: None,
        schedule: Schedule::Constant,
        final_rate: None,
        warm_up: None,
        clip_norm: None,
        ..network.train.clone()
    };
    let is_third = network.train != before
        || network.train.epochs == 0
        || network.weights != Weights::default()
        || network.pretrain.is_some()
        || network.sparsity.is_some_and(|sparsity| sparsity.l1.is_none() || sparsity.kl.is_some());
    let is_second = network.train.keep != Keep::Last || network.sparsity.is_some();
    of_layers.max(version_of_loss(network.loss)).max(if is_third { 3 } else { 1 }).max(if is_second {
        2
    } else {
        1
    })
}

impl Head {
    /// The lowest version that can say all this, so that older programs read what they can: see FORMAT.md.
    fn version(&self) -> u64 {
        let of_recipe = match &self.recipe {
            Recipe::Autoencoder(network) => version_of_network(network),
            Recipe::Pca(_) => 1,
            Recipe::Classifier(_) => 4,
        };
        let of_summary = self.summary.as_ref().map_or(1, |summary| {
            let Reconstruction { mean_activity, output_variance, divergence, .. } = &summary.evaluation;
            if output_variance.is_some() || divergence.is_some() {
                3
            } else if mean_activity.is_some() || summary.baselines.pca_components.is_some() {
                2
            } else {
                1
            }
        });
        let of_scale = match self.recipe.scale() {
            Scale::None | Scale::Unit | Scale::MinMax | Scale::Standard => 1,
            Scale::Auto | Scale::Center => 3,
        };
        let own = if self.part != Part::Whole { 3 } else { of_scale };
        own.max(of_recipe).max(of_summary)
    }

    fn into_model(self, mut tensors: Tensors<'_>) -> Result<Model> {
        let Self { recipe, shape, element, pca, summary, part, classes } = self;
        let wrong = |what: &str| Error::model(format!("the description of the model makes no sense: {what}"));
        let of_recipe = |error: Error| Error::model(format!("the model's recipe: {error}"));
        recipe.validate().map_err(of_recipe)?;
        let sides = [shape.height, shape.width, shape.channels];
        let width = sides
            .iter()
            .try_fold(1usize, |product, &side| product.checked_mul(side))
            .filter(|&width| width > 0 && width <= u32::MAX as usize)
            .ok_or_else(|| wrong("the shape of a row"))?;
        let entries = tensors.one_or("scaling.offsets", width);
        let offsets = tensors.f64("scaling.offsets", &[entries])?;
        let scales = tensors.f64("scaling.scales", &[entries])?;
        if scales.contains(&0.0) {
            return Err(wrong("a scale of 0"));
        }
        let training_mean = tensors.f64("training_mean", &[width])?;
        if matches!(recipe, Recipe::Classifier(_)) != classes.is_some() {
            return Err(wrong("classes go with a classifier, and with nothing else"));
        }
        let mut network = |plan: Plan| -> Result<Fitted> {
            // The tensors are as long as the file says they are; the buffer is made only when they are all there.
            let own = plan.parameters.iter().filter(|parameter| part.needs(&plan, parameter));
            let values = own
                .clone()
                .map(|parameter| tensors.f32(&parameter.name, &parameter.shape))
                .collect::<Result<Vec<_>>>()?;
            let mut parameters = vec![0.0; plan.buffer_len];
            for (parameter, values) in own.zip(values) {
                parameters[parameter.range.clone()].copy_from_slice(&values);
            }
            Ok(Fitted::Network { plan, parameters })
        };
        let fitted = match &recipe {
            Recipe::Autoencoder(recipe) if recipe.is_normalized() => {
                return Err(wrong("batch_norm, which no model has"));
            }
            Recipe::Classifier(recipe) if recipe.is_normalized() => {
                return Err(wrong("batch_norm, which no model has"));
            }
            Recipe::Autoencoder(recipe) => network(Plan::new(recipe, shape).map_err(of_recipe)?)?,
            Recipe::Classifier(recipe) => {
                let names = classes.as_ref().map_or(0, |classes| classes.names.len());
                let unlike = classes.as_ref().map_or(0, |classes| {
                    classes.names.iter().collect::<std::collections::BTreeSet<_>>().len()
                });
                if names < 2 || unlike < names || part != Part::Whole || summary.is_some() {
                    return Err(wrong(
                        "a classifier is whole, and has two classes at least, no two of one name",
                    ));
                }
                network(Plan::classifier(recipe, shape, names).map_err(of_recipe)?)?
            }
            Recipe::Pca(settings) => {
                let head = pca.ok_or_else(|| wrong("a PCA without its variance"))?;
                let k = tensors
                    .views
                    .get("pca.explained_variance")
                    .map_or(0, |view| view.shape().iter().product());
                if k == 0 || k > width || head.rows < 2 {
                    return Err(wrong("the number of components or rows"));
                }
                Fitted::Pca(Pca {
                    mean: training_mean.clone(),
                    explained_variance: tensors.f64("pca.explained_variance", &[k])?,
                    components: tensors.f64("pca.components", &[k, width])?,
                    total_variance: head.total_variance,
                    rows: head.rows,
                    whiten: settings.whiten,
                })
            }
        };
        tensors.finish(&MODEL)?;
        let scaling = Scaling::from_parts(offsets, scales);
        let (classes, summary) = match classes {
            None => (None, summary.map(Summary::Reconstruction)),
            Some(ClassesHead { names, summary }) => {
                let of_classes = |head: ClassificationHead| {
                    head.into_summary(names.len()).ok_or_else(|| wrong("the confusion matrix"))
                };
                let summary = summary.map(of_classes).transpose()?.map(Summary::Classification);
                (Some(names), summary)
            }
        };
        let compute = Compute::default();
        Ok(Model { recipe, shape, element, scaling, training_mean, fitted, summary, part, classes, compute })
    }
}
