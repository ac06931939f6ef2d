//! Recipes: a method with all its settings as plain data, before anything is known about the rows.
//!
//! A [`Recipe`] is built in Rust, read from a TOML file ([`RecipeFile`]) or read from the JSON of a model file. It has no
//! behaviour: [`crate::network::plan`] compiles it for rows of a shape, [`fit`](mod@crate::fit) fits its parameters. Unknown fields are
//! refused everywhere, so that a misspelt setting is never silently ignored.
//!
//! This room uses [`crate::data`] for the scaling of columns; the rooms that follow it in the list of [`crate`] may use it.

mod classifier;
mod file;
mod layer;
pub(crate) mod layer_text;
mod pretrain;
mod regularizer;
mod short_forms;
mod suggest;
mod table_section;
mod train;

pub use crate::data::scaling::Scale;
pub use classifier::ClassifierRecipe;
pub use file::{RecipeFile, to_json, to_toml};
pub use layer::{Function, Layer, Noise, NoiseKind, Padding, Units};
pub(crate) use pretrain::layer_functions;
pub use pretrain::{PerLayer, Pretrain, PretrainKind};
pub use regularizer::{Init, Sparsity, Weights};
pub(crate) use suggest::suggestion;
use suggest::unknown;
pub use table_section::TableSection;
pub(crate) use train::{CHECKPOINT_PERIOD, Optimizer};
pub use train::{Keep, OptimizerName, Precision, Schedule, Train};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A method with all its settings. The code size is the latent dimension of a network, or the number of components of a PCA.
///
/// ```
/// use narrows::Recipe;
///
/// let pca = Recipe::open("pca")?.with("code_size", 8)?; // built in, or a file
/// assert_eq!(pca, Recipe::pca(8).with("about", pca.about().unwrap())?.with("scale", "auto")?);
/// let error = Recipe::open("single")?.with("train.epohcs", 3).unwrap_err();
/// assert!(error.to_string().contains("did you mean `epochs`"));
/// # Ok::<(), narrows::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum Recipe {
    /// Principal component analysis.
    Pca(PcaRecipe),
    /// An autoencoder: a network trained to reconstruct its input from a code.
    Autoencoder(AutoencoderRecipe),
    /// A classifier: an encoder and a softmax layer.
    Classifier(ClassifierRecipe),
}

/// Settings of a principal component analysis.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PcaRecipe {
    /// A description in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// Scaling of the columns.
    #[serde(default)]
    pub scale: Scale,
    /// Number of components; `None` for 32, or as many as rows and columns allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_size: Option<usize>,
    /// Whether codes are whitened: each component is divided by its standard deviation.
    #[serde(default)]
    pub whiten: bool,
    /// The solver.
    #[serde(default, skip_serializing_if = "Solver::is_auto")]
    pub solver: Solver,
}

/// The solver of a PCA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Solver {
    /// The exact one, if it fits into memory, else the randomised one.
    #[default]
    Auto,
    /// The covariance matrix, or with fewer rows than columns the rows' Gram matrix, and its eigenvectors.
    Exact,
    /// Some passes over the rows, for many rows of many columns: approximate, with an estimate of the error.
    Randomized,
}

impl Solver {
    fn is_auto(&self) -> bool {
        *self == Self::Auto
    }
}

/// Settings of an autoencoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoencoderRecipe {
    /// A description in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// Scaling of the columns.
    #[serde(default)]
    pub scale: Scale,
    /// Layers from the input to the code.
    #[serde(deserialize_with = "layer_text::layers")]
    pub encoder: Vec<Layer>,
    /// Layers from the code to the output.
    #[serde(deserialize_with = "layer_text::layers")]
    pub decoder: Vec<Layer>,
    /// Loss.
    pub loss: Loss,
    /// Sparsity penalty on the code; `None` for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sparsity: Option<Sparsity>,
    /// Initialisation and regularisation of the weights.
    #[serde(default, skip_serializing_if = "Weights::is_default")]
    pub weights: Weights,
    /// Layer-wise pre-training; `None` for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pretrain: Option<Pretrain>,
    /// Settings of training.
    #[serde(default)]
    pub train: Train,
}

/// Loss functions: means over the rows of a batch and the columns of a row.
///
/// ```
/// use narrows::{Autoencoder, Loss};
///
/// let huber = Autoencoder::dense(&[4, 2]).loss(Loss::Huber);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Loss {
    /// Binary cross-entropy; needs data in 0..1 and a decoder that ends in sigmoid.
    Bce,
    /// Mean squared error.
    #[default]
    Mse,
    /// Cross-entropy between rows and a softmax; needs data in 0..1, such as rows of probabilities, and a decoder that ends in
    /// softmax.
    CrossEntropy,
    /// Mean absolute error; less sensitive to outliers than the squared error.
    Mae,
    /// Huber loss (Huber 1964): e^2 / 2 where |e| < 1, else |e| - 1/2.
    Huber,
    /// The loss of tables: a mean over the columns of a row of weight x error, with the squared error of numbers, the binary
    /// cross-entropy of yes and no, and the cross-entropy over the levels of a category. The usual weights are 1 / the error of the
    /// best constant, so that a network that rebuilds every row alike has a loss of 1. Needs a decoder that ends in no function: its
    /// outputs become probabilities, where they are some, after it. Rows that are no encoded table are numbers of weight 1.
    Mixed,
}

impl Loss {
    /// The name in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bce => "bce",
            Self::Mse => "mse",
            Self::CrossEntropy => "cross_entropy",
            Self::Mae => "mae",
            Self::Huber => "huber",
            Self::Mixed => "mixed",
        }
    }

    /// The title in charts and tables.
    pub fn title(self) -> &'static str {
        match self {
            Self::Bce => "BCE",
            Self::Mse => "MSE",
            Self::CrossEntropy => "cross-entropy",
            Self::Mae => "mean absolute error",
            Self::Huber => "Huber loss",
            Self::Mixed => "mixed loss",
        }
    }

    /// Whether a network can be trained with it on rows with missing values, which it leaves out. The probabilities of one
    /// distribution depend on all of them.
    pub fn allows_missing(self) -> bool {
        self != Self::CrossEntropy
    }

    /// Whether the loss needs data in 0..1.
    pub fn needs_shares(self) -> bool {
        matches!(self, Self::Bce | Self::CrossEntropy)
    }
}

impl Recipe {
    /// Opens a built-in recipe by its name (see [`RecipeFile::names`]), or a TOML file by its path.
    ///
    /// # Errors
    /// Where there is no such recipe, or a field of the file is invalid; the message names the field.
    pub fn open(name: impl AsRef<std::path::Path>) -> Result<Self> {
        RecipeFile::open(name)?.recipe()
    }

    /// A PCA with `code_size` components, without whitening. Bytes are scaled to 0..1, other numbers are not scaled.
    pub fn pca(code_size: usize) -> Self {
        Self::Pca(PcaRecipe { code_size: Some(code_size), ..PcaRecipe::default() })
    }

    /// An autoencoder of dense layers with these widths from the row to the code, such as `[784, 128, 32]`, and a mirrored
    /// decoder. Hidden layers are ReLU, code and output are linear, the scaling is [`Scale::Auto`], the loss [`Loss::Mse`].
    pub fn autoencoder(widths: &[usize]) -> Self {
        Self::Autoencoder(AutoencoderRecipe::dense(widths))
    }

    /// Returns the recipe with one field changed, named by its path in a recipe file.
    ///
    /// ```
    /// # use narrows::Recipe;
    /// let recipe = Recipe::open("single")?.with("train.epochs", 5)?.with("code_size", 16)?;
    /// assert!(recipe.with("train.epohcs", 5).is_err());
    /// # Ok::<(), narrows::Error>(())
    /// ```
    ///
    /// # Errors
    /// Where there is no such field, or the value is invalid for it.
    pub fn with(&self, field: &str, value: impl Serialize) -> Result<Self> {
        let mut file = RecipeFile::of(self)?;
        file.set_value(field, value)?;
        file.recipe()
    }

    /// The scaling of the columns.
    pub fn scale(&self) -> Scale {
        match self {
            Self::Pca(recipe) => recipe.scale,
            Self::Autoencoder(recipe) => recipe.scale,
            Self::Classifier(recipe) => recipe.scale,
        }
    }

    /// Sets the scaling of the columns.
    pub fn set_scale(&mut self, scale: Scale) {
        match self {
            Self::Pca(recipe) => recipe.scale = scale,
            Self::Autoencoder(recipe) => recipe.scale = scale,
            Self::Classifier(recipe) => recipe.scale = scale,
        }
    }

    /// The description in one line.
    pub fn about(&self) -> Option<&str> {
        match self {
            Self::Pca(recipe) => recipe.about.as_deref(),
            Self::Autoencoder(recipe) => recipe.about.as_deref(),
            Self::Classifier(recipe) => recipe.about.as_deref(),
        }
    }

    /// The random seed; 0 for a method without random numbers.
    pub fn seed(&self) -> u64 {
        self.train().map_or(0, |train| train.seed)
    }

    /// Whether a random-initialisation baseline exists: the network is pre-trained and its encoder is not frozen.
    pub fn has_random_baseline(&self) -> bool {
        match self {
            Self::Pca(_) => false,
            Self::Autoencoder(recipe) => recipe.pretrain.is_some(),
            Self::Classifier(recipe) => recipe.pretrain.is_some() && !recipe.frozen,
        }
    }

    /// The settings of training; `None` for a PCA.
    pub fn train(&self) -> Option<&Train> {
        match self {
            Self::Pca(_) => None,
            Self::Autoencoder(recipe) => Some(&recipe.train),
            Self::Classifier(recipe) => Some(&recipe.train),
        }
    }

    /// As [`Recipe::train`], mutable.
    pub fn train_mut(&mut self) -> Option<&mut Train> {
        match self {
            Self::Pca(_) => None,
            Self::Autoencoder(recipe) => Some(&mut recipe.train),
            Self::Classifier(recipe) => Some(&mut recipe.train),
        }
    }

    /// Sets the random seed; without effect for a PCA.
    pub fn set_seed(&mut self, seed: u64) {
        if let Some(train) = self.train_mut() {
            train.seed = seed;
        }
    }

    /// The loss that the method minimises.
    pub fn loss(&self) -> Loss {
        match self {
            Self::Pca(_) => Loss::Mse,
            Self::Autoencoder(recipe) => recipe.loss,
            Self::Classifier(_) => Loss::CrossEntropy,
        }
    }

    /// Checks the settings that can be checked without data.
    ///
    /// # Errors
    /// Where a setting is invalid, or settings contradict each other; the message names the field.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Pca(recipe) => recipe.validate(),
            Self::Autoencoder(recipe) => recipe.validate(),
            Self::Classifier(recipe) => recipe.validate(),
        }
    }
}

impl PcaRecipe {
    fn validate(&self) -> Result<()> {
        if self.code_size == Some(0) {
            return Err(Error::recipe("code_size: there must be at least one component"));
        }
        Ok(())
    }
}

impl AutoencoderRecipe {
    /// An autoencoder of these layers, with the other settings of [`Recipe::autoencoder`].
    pub fn new(encoder: Vec<Layer>, decoder: Vec<Layer>) -> Self {
        Self {
            about: None,
            scale: Scale::Auto,
            encoder,
            decoder,
            loss: Loss::Mse,
            sparsity: None,
            weights: Weights::default(),
            pretrain: None,
            train: Train::default(),
        }
    }

    /// As [`Recipe::autoencoder`].
    pub fn dense(widths: &[usize]) -> Self {
        let hidden = |&width: &usize| [Layer::dense(width), Layer::relu()];
        let inner = widths.get(1..).unwrap_or_default();
        let (code, between) = inner.split_last().map_or((0, &[][..]), |(code, between)| (*code, between));
        let encoder = between.iter().flat_map(hidden).chain([Layer::dense(code)]).collect();
        let decoder = between.iter().rev().flat_map(hidden).chain([Layer::dense_to_input()]).collect();
        Self::new(encoder, decoder)
    }

    fn validate(&self) -> Result<()> {
        self.train.validate()?;
        if self.train.epochs == 0 && self.weights.init != Init::ClosedForm {
            return Err(Error::recipe("train.epochs: must be at least 1")
                .hint("only weights.init = \"closed_form\" needs no training"));
        }
        self.weights.validate()?;
        if let Some(pretrain) = &self.pretrain {
            if self.train.updates.is_some() {
                return Err(Error::recipe("train.updates: pre-training counts epochs").hint("train.epochs"));
            }
            pretrain.validate(&self.train)?;
        }
        if self.is_normalized() {
            check_normalized(self.pretrain.as_ref(), &self.weights, &self.train)?;
        }
        if let Some(sparsity) = self.sparsity {
            sparsity.validate()?;
            if sparsity.kl.is_some() && self.code_function() != Some(Function::Sigmoid) {
                return Err(Error::recipe("sparsity.kl: needs an encoder that ends in \"sigmoid\"")
                    .hint("or use sparsity.l1"));
            }
        }
        self.check_loss()
    }

    /// Refuses a loss that needs another last layer.
    fn check_loss(&self) -> Result<()> {
        let (name, needed) = match self.loss {
            Loss::Bce => ("bce", Function::Sigmoid),
            Loss::CrossEntropy => ("cross_entropy", Function::Softmax),
            Loss::Mixed => return self.check_linear_output(),
            Loss::Mse | Loss::Mae | Loss::Huber => return Ok(()),
        };
        if self.decoder.last() == Some(&Layer::Function(needed)) {
            return Ok(());
        }
        let needed = needed.name();
        Err(Error::recipe(format!("loss: {name} needs a decoder that ends in \"{needed}\""))
            .hint("or use loss = \"mse\""))
    }

    /// The mixed loss takes the outputs of the last weighted sums.
    fn check_linear_output(&self) -> Result<()> {
        let function = self.decoder.last().and_then(Layer::function);
        match function {
            None | Some(Function::Linear) => Ok(()),
            Some(function) => Err(Error::recipe(format!(
                "loss: mixed needs a decoder that ends in no function, not in \"{}\"",
                function.name()
            ))
            .hint("end it with { dense = \"input\" }: probabilities are made of its outputs")),
        }
    }

    /// Whether it can be trained on rows with missing values: layers that are trained alone, and a closed form, need all.
    pub(crate) fn allows_missing(&self) -> bool {
        self.loss.allows_missing() && self.pretrain.is_none() && self.weights.init != Init::ClosedForm
    }

    /// The activation function of the code, if the encoder ends in one.
    pub(crate) fn code_function(&self) -> Option<Function> {
        self.encoder.iter().rfind(|layer| !matches!(layer, Layer::Dropout { .. }))?.function()
    }

    /// The random-initialisation baseline: the same network without pre-training, with as many optimizer steps, because the
    /// epochs of pre-training are added to those of training. None without pre-training.
    pub fn random_baseline(&self) -> Option<Self> {
        let pretrain = self.pretrain.as_ref()?;
        let before: usize =
            (0..self.dense_layers()).map(|layer| pretrain.train(&self.train, layer).epochs).sum();
        let train = Train { epochs: self.train.epochs + before, ..self.train.clone() };
        Some(Self { pretrain: None, train, ..self.clone() })
    }

    /// Number of dense layers of the encoder.
    pub(crate) fn dense_layers(&self) -> usize {
        self.encoder.iter().filter(|layer| matches!(layer, Layer::Dense { .. })).count()
    }

    /// Whether the decoder has tied weights.
    pub fn is_tied(&self) -> bool {
        self.decoder.iter().any(|layer| layer.units() == Some(Units::Tied))
    }

    /// Whether it is a variational autoencoder.
    pub fn is_variational(&self) -> bool {
        self.encoder.iter().any(|layer| matches!(layer, Layer::Variational { .. }))
    }

    /// Whether the network has batch normalisation in training.
    pub fn is_normalized(&self) -> bool {
        self.encoder.iter().chain(&self.decoder).any(|layer| *layer == Layer::BatchNorm)
    }

    /// Whether it is a denoising autoencoder.
    pub fn is_shown_noise(&self) -> bool {
        self.encoder.iter().any(|layer| matches!(layer, Layer::Noise(_)))
    }
}

/// Refuses settings that contradict batch normalisation. The position of its layers is checked when the plan is built.
fn check_normalized(pretrain: Option<&Pretrain>, weights: &Weights, train: &Train) -> Result<()> {
    if pretrain.is_some() {
        return Err(Error::recipe("pretrain: layers that are trained alone have no batch_norm")
            .hint("leave out one of the two: both are ways to train deep networks"));
    }
    if weights.elimination.is_some() {
        return Err(Error::recipe(
            "weights.elimination: batch_norm undoes the size of the weights before it, so small ones are not superfluous",
        )
        .hint("leave out one of the two"));
    }
    if train.batch_size < 2 {
        return Err(Error::recipe("train.batch_size: batch_norm needs batches of at least 2 rows")
            .hint("a single row has no spread"));
    }
    Ok(())
}
