//! The model file: maps a [`Model`] to a JSON head and tensors in a [`container`]. `FORMAT.md` is the specification.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::metrics::{
    self, Classification, ClassificationSummary, Reconstruction, ReconstructionSummary, Summary,
};
use super::{Decoder, Encoder, Fitted, Model, Part};
use crate::base::container::{self, Kind, Tensor, Tensors};
use crate::base::{atomic_file, hash, input_file, memory};
use crate::compute::Compute;
use crate::data::scaling::Scaling;
use crate::data::{Element, Schema, Shape};
use crate::error::{Error, Result};
use crate::network::plan::Plan;
use crate::pca::Pca;
use crate::recipe::{
    AutoencoderRecipe, Function, Init, Keep, Layer, Loss, PcaRecipe, Precision, Recipe, Scale, Schedule,
    Solver, Train, Units, Weights,
};

const MODEL: Kind = Kind { key: "narrows", name: "Narrows model file", newest: 6 };

/// The JSON head: everything but tensors.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelHead {
    #[serde(rename = "spec")]
    recipe: Recipe,
    shape: Shape,
    element: Element,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pca: Option<PcaHead>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    summary: Option<ReconstructionSummary>,
    /// The part that is stored; left out for a whole model.
    #[serde(default, skip_serializing_if = "is_whole")]
    part: Part,
    /// For a classifier: the names of its classes and its summary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    classes: Option<ClassesHead>,
    /// The columns of the table that the model was fitted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    columns: Option<Arc<Schema>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassesHead {
    names: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    summary: Option<ClassificationHead>,
}

impl ClassesHead {
    /// The names and the summary.
    fn into_parts(self) -> Result<(Vec<String>, Option<ClassificationSummary>)> {
        let Self { names, summary } = self;
        let to_summary = |head: ClassificationHead| {
            head.into_summary(names.len()).ok_or_else(|| senseless("the confusion matrix"))
        };
        let summary = summary.map(to_summary).transpose()?;
        Ok((names, summary))
    }
}

/// The summary of a classifier as stored; [`ClassificationSummary`] is derived from it.
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
        let evaluation = &summary.evaluation;
        Self {
            training_rows: summary.training_rows,
            labelled_rows: summary.labelled_rows,
            epochs: summary.epochs,
            train_loss: summary.train_loss,
            evaluation: ConfusionHead {
                rows: evaluation.rows,
                wrong: evaluation.misclassified,
                cross_entropy: evaluation.loss,
                confusion: evaluation.confusion.clone(),
            },
            commonest_error: summary.commonest_error,
            nearest_mean_error: summary.nearest_mean_error,
            verdict: summary.verdict.clone(),
        }
    }

    /// None if the confusion matrix is not `classes` x `classes`, or its sums differ from the stored numbers.
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

/// The content of a model file: a whole model, or a part that was saved separately.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelFile {
    /// A whole model.
    Whole(Model),
    /// An encoder.
    Encoder(Encoder),
    /// A decoder.
    Decoder(Decoder),
}

impl ModelFile {
    /// Reads a file of any kind.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = input_file::read(path, MODEL.name, usize::MAX)?;
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

    /// The model; for a part, parameters that only the other part uses are 0.
    pub fn model(&self) -> &Model {
        match self {
            Self::Whole(model) => model,
            Self::Encoder(part) => part.of_model(),
            Self::Decoder(part) => part.of_model(),
        }
    }

    /// The name with its article: `a whole model`.
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
    /// Writes the model to a file, atomically. Equal models give equal bytes.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        atomic_file::write(path, &self.to_bytes()?)
    }

    /// Opens the file of a whole model. [`Encoder::open`], [`Decoder::open`] and [`ModelFile::open`] open parts that were saved
    /// separately.
    ///
    /// # Errors
    /// If the file cannot be read, is damaged, is no model file, has a newer version, or holds a part; the message says which.
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

    /// A hash of the model's file.
    pub(crate) fn content_hash(&self) -> Result<String> {
        Ok(hash::of(&self.to_bytes()?))
    }

    /// The bytes of the model's file.
    ///
    /// # Errors
    /// If the head cannot be serialised.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut tensors = BTreeMap::new();
        let vector = |values: &[f64]| Tensor::f64(vec![values.len()], values);
        tensors.insert("scaling.offsets".to_owned(), vector(&self.scaling.offsets));
        tensors.insert("scaling.scales".to_owned(), vector(&self.scaling.scales));
        tensors.insert("training_mean".to_owned(), vector(&self.training_mean));
        let mut pca_head = None;
        match &self.fitted {
            Fitted::Network { plan, parameters } => {
                for parameter in plan.parameters.iter().filter(|parameter| self.part.needs(plan, parameter)) {
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
        let head = ModelHead {
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
            columns: self.schema.clone(),
        };
        container::encode(&MODEL, head.version(), &head, &tensors)
    }
}

/// Reads a model, or a part of one, from the bytes of a file.
fn read(bytes: &[u8]) -> Result<Model> {
    let (version, head, tensors) = container::decode::<ModelHead>(&MODEL, bytes)?;
    if version < head.version() {
        return Err(Error::model(format!(
            "the description of the {} has what version {version} did not know",
            MODEL.name
        )));
    }
    // The hash does not cover the version, but files always have the lowest version that can express them.
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

// There are no wildcards below: a new layer, function, loss or scale must get the version that introduces it.

/// The first version that has an activation function.
fn version_of_function(function: Function) -> u64 {
    match function {
        Function::Linear | Function::Relu | Function::Sigmoid | Function::Tanh | Function::Softmax => 1,
        Function::LeakyRelu | Function::Elu | Function::Gelu | Function::Silu | Function::Softplus => 3,
    }
}

/// The first version that has a loss.
fn version_of_loss(loss: Loss) -> u64 {
    match loss {
        Loss::Bce | Loss::Mse | Loss::CrossEntropy => 1,
        Loss::Mae | Loss::Huber => 3,
        Loss::Mixed => 6,
    }
}

/// The first version that has a layer.
fn version_of_layer(layer: &Layer) -> u64 {
    match layer {
        Layer::Dense { units: Units::Tied, .. }
        | Layer::TransposedConvolution { channels: Units::Tied, .. }
        | Layer::Dropout { .. }
        | Layer::Variational { .. } => 3,
        Layer::Convolution { .. }
        | Layer::TransposedConvolution {
            channels: Units::Count(_) | Units::Input | Units::Wide | Units::Narrow | Units::Flatten,
            ..
        }
        | Layer::MaxPool { .. }
        | Layer::AveragePool { .. }
        | Layer::Upsample { .. }
        | Layer::Reshape { .. }
        | Layer::Flatten
        | Layer::Unflatten
        | Layer::Noise(_)
        | Layer::Dense { units: Units::Flatten, .. } => 2,
        Layer::Dense { units: Units::Count(_) | Units::Input, .. } => 1,
        Layer::Dense { units: Units::Wide | Units::Narrow, .. } => 6,
        // In no version: refused when it is read.
        Layer::BatchNorm => 1,
        Layer::Function(function) => version_of_function(*function),
    }
}

/// The first version that has a solver.
fn version_of_solver(solver: Solver) -> u64 {
    match solver {
        Solver::Auto => 1,
        Solver::Exact | Solver::Randomized => 5,
    }
}

/// The first version that has a precision of training.
fn version_of_precision(precision: Precision) -> u64 {
    match precision {
        Precision::F32 => 1,
        Precision::Bf16 => 5,
    }
}

/// The first version that has all settings of a network.
fn version_of_network(network: &AutoencoderRecipe) -> u64 {
    let of_layers = network.encoder.iter().chain(&network.decoder).map(version_of_layer).max().unwrap_or(1);
    let without_version_3 = Train {
        patience: None,
        min_delta: None,
        schedule: Schedule::Constant,
        final_rate: None,
        warm_up: None,
        clip_norm: None,
        ..network.train.clone()
    };
    let is_third = network.train != without_version_3
        || network.train.epochs == 0
        || network.weights != Weights::default()
        || network.pretrain.is_some()
        || network.sparsity.is_some_and(|sparsity| sparsity.l1.is_none() || sparsity.kl.is_some());
    let is_second = network.train.keep != Keep::Last || network.sparsity.is_some();
    let of_settings = match (is_third, is_second) {
        (true, _) => 3,
        (false, true) => 2,
        (false, false) => 1,
    };
    let is_sixth = network.train.updates.is_some() || network.weights.init == Init::Pca;
    of_layers.max(version_of_loss(network.loss)).max(if is_sixth { 6 } else { of_settings })
}

impl ModelHead {
    /// The lowest version that can express this model, so that older programs read as many files as possible: see FORMAT.md.
    fn version(&self) -> u64 {
        let of_recipe = match &self.recipe {
            Recipe::Autoencoder(network) => version_of_network(network),
            Recipe::Pca(pca) => version_of_solver(pca.solver),
            Recipe::Classifier(_) => 4,
        };
        let of_precision = self.recipe.train().map_or(1, |train| version_of_precision(train.precision));
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
        let of_columns = if self.columns.is_some() { 6 } else { 1 };
        let of_part = if self.part == Part::Whole { 1 } else { 3 };
        of_part.max(of_columns).max(of_scale).max(of_recipe).max(of_precision).max(of_summary)
    }

    /// The model of this head and the file's tensors. Everything is checked: a file may be damaged or written by hand.
    fn into_model(self, mut tensors: Tensors<'_>) -> Result<Model> {
        self.recipe.validate().map_err(in_recipe)?;
        let width = self.row_length()?;
        if self.columns.as_ref().is_some_and(|schema| schema.width() != width || self.shape.is_image()) {
            return Err(senseless("columns that do not make up a row"));
        }
        let scaling = read_scaling(&mut tensors, width)?;
        let training_mean = tensors.f64("training_mean", &[width])?;
        if self.pca.is_some() && !matches!(self.recipe, Recipe::Pca(_)) {
            return Err(senseless("the variance of a PCA, which a network does not have"));
        }
        if matches!(self.recipe, Recipe::Classifier(_)) != self.classes.is_some() {
            return Err(senseless("classes go with a classifier, and with nothing else"));
        }
        let fitted = match &self.recipe {
            Recipe::Pca(settings) => self.read_pca(settings, &training_mean, &mut tensors)?,
            Recipe::Autoencoder(_) | Recipe::Classifier(_) => {
                read_network(self.plan()?, self.part, &mut tensors)?
            }
        };
        tensors.finish(&MODEL)?;
        let Self { recipe, shape, element, summary, part, classes, columns: schema, pca: _ } = self;
        let (classes, summary) = match classes {
            None => (None, summary.map(Summary::Reconstruction)),
            Some(classes) => {
                let (names, summary) = classes.into_parts()?;
                (Some(names), summary.map(Summary::Classification))
            }
        };
        let compute = Compute::default();
        Ok(Model {
            recipe,
            shape,
            element,
            scaling,
            training_mean,
            fitted,
            summary,
            part,
            classes,
            schema,
            compute,
        })
    }

    /// Numbers in a row.
    fn row_length(&self) -> Result<usize> {
        let Shape { height, width, channels } = self.shape;
        [height, width, channels]
            .iter()
            .try_fold(1usize, |product, &side| product.checked_mul(side))
            .filter(|&length| length > 0 && length <= u32::MAX as usize)
            .ok_or_else(|| senseless("the shape of a row"))
    }
    /// The plan of the network.
    fn plan(&self) -> Result<Plan> {
        let is_normalized = match &self.recipe {
            Recipe::Autoencoder(recipe) => recipe.is_normalized(),
            Recipe::Classifier(recipe) => recipe.is_normalized(),
            Recipe::Pca(_) => false,
        };
        if is_normalized {
            return Err(senseless("batch_norm, which no model has"));
        }
        match (&self.recipe, &self.classes) {
            (Recipe::Autoencoder(recipe), _) => {
                let columns = self.columns.as_ref().map(|schema| schema.encoded_columns());
                Plan::with_columns(recipe, self.shape, &columns.unwrap_or_default()).map_err(in_recipe)
            }
            (Recipe::Classifier(recipe), Some(classes)) => {
                let (count, distinct) =
                    (classes.names.len(), classes.names.iter().collect::<BTreeSet<_>>().len());
                if count < 2 || distinct < count || self.part != Part::Whole || self.summary.is_some() {
                    return Err(senseless(
                        "a classifier is whole, and has two classes at least, no two of one name",
                    ));
                }
                Plan::classifier(recipe, self.shape, count).map_err(in_recipe)
            }
            (Recipe::Classifier(_), None) | (Recipe::Pca(_), _) => unreachable!("refused before"),
        }
    }

    fn read_pca(
        &self,
        recipe: &PcaRecipe,
        training_mean: &[f64],
        tensors: &mut Tensors<'_>,
    ) -> Result<Fitted> {
        let head = self.pca.as_ref().ok_or_else(|| senseless("a PCA without its variance"))?;
        let variances = tensors.views.get("pca.explained_variance");
        let k = variances.map_or(0, |view| view.shape().iter().product());
        let width = training_mean.len();
        if k == 0 || k > width || head.rows < 2 {
            return Err(senseless("the number of components or rows"));
        }
        let explained_variance = tensors.f64("pca.explained_variance", &[k])?;
        let is_negative = |variance: &f64| *variance < 0.0;
        if explained_variance.iter().any(is_negative) || is_negative(&head.total_variance) {
            return Err(senseless("a negative variance"));
        }
        Ok(Fitted::Pca(Pca {
            mean: training_mean.to_vec(),
            explained_variance,
            components: tensors.f64("pca.components", &[k, width])?,
            total_variance: head.total_variance,
            rows: head.rows,
            whiten: recipe.whiten,
        }))
    }
}

fn senseless(what: &str) -> Error {
    Error::model(format!("the description of the model makes no sense: {what}"))
}

fn in_recipe(error: Error) -> Error {
    Error::model(format!("the model's recipe: {error}"))
}

fn read_scaling(tensors: &mut Tensors<'_>, width: usize) -> Result<Scaling> {
    let entries = tensors.one_or("scaling.offsets", width);
    let offsets = tensors.f64("scaling.offsets", &[entries])?;
    let scales = tensors.f64("scaling.scales", &[entries])?;
    if scales.contains(&0.0) {
        return Err(senseless("a scale of 0"));
    }
    Ok(Scaling::from_parts(offsets, scales))
}

fn read_network(plan: Plan, part: Part, tensors: &mut Tensors<'_>) -> Result<Fitted> {
    // A damaged recipe may ask for more memory than there is. The tensors are no longer than the file, so the buffer is only
    // allocated once all tensors were found. Of a part alone the file may have the lesser part of it.
    let stored = plan.parameters.iter().filter(|parameter| part.needs(&plan, parameter));
    stored.clone().try_for_each(|parameter| tensors.expect_f32(&parameter.name, &parameter.shape))?;
    let largest = stored.clone().map(|parameter| parameter.range.len()).max().unwrap_or(0);
    let numbers = plan.buffer_len.saturating_add(largest);
    memory::require(numbers.saturating_mul(size_of::<f32>()), 1, "the model")?;
    let mut parameters = vec![0.0; plan.buffer_len];
    for parameter in stored {
        let values = tensors.f32(&parameter.name, &parameter.shape)?;
        parameters[parameter.range.clone()].copy_from_slice(&values);
    }
    Ok(Fitted::Network { plan, parameters })
}
