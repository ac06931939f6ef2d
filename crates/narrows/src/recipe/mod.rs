//! A network as plain data: what a recipe says, before anything is known about the rows.
//!
//! A [`Recipe`] is read from TOML (a recipe) or JSON (a model file). It has no behaviour: [`crate::network::plan`] gives it shapes,
//! [`crate::fit`] finds its parameters. Unknown fields are refused everywhere, so a misspelt setting is never silently
//! ignored.

mod classifier;
mod file;
mod layer;
mod layer_text;
mod pretrain;
mod regularizer;
mod short_forms;
mod suggest;
mod train;

pub use crate::data::scaling::Scale;
pub use classifier::ClassifierRecipe;
pub use file::{RecipeFile, to_toml};
pub use layer::{Function, Layer, Noise, NoiseKind, Padding, Units};
pub(crate) use pretrain::layer_functions;
pub use pretrain::{PerLayer, Pretrain, PretrainKind};
pub use regularizer::{Init, Sparsity, Weights};
pub(crate) use suggest::suggestion;
use suggest::unknown;
pub(crate) use train::Optimizer;
pub use train::{Keep, OptimizerName, Schedule, Train};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A method with all its settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum Recipe {
    /// Principal component analysis.
    Pca(PcaRecipe),
    /// A network with a narrow middle, trained to give back its input.
    Autoencoder(AutoencoderRecipe),
    /// A network that tells classes.
    Classifier(ClassifierRecipe),
}

/// Settings of a principal component analysis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PcaRecipe {
    /// One line for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// How numbers are scaled before the method sees them.
    #[serde(default)]
    pub scale: Scale,
    /// Components kept; without it 32, or as many as rows and columns allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_size: Option<usize>,
    /// Whether codes are divided by their standard deviation.
    #[serde(default)]
    pub whiten: bool,
}

/// Settings of an autoencoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoencoderRecipe {
    /// One line for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// How numbers are scaled before the network sees them.
    #[serde(default)]
    pub scale: Scale,
    /// Layers from the input to the code.
    pub encoder: Vec<Layer>,
    /// Layers from the code to the output.
    pub decoder: Vec<Layer>,
    /// What training makes small.
    pub loss: Loss,
    /// What the code pays for being active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sparsity: Option<Sparsity>,
    /// How the weights start, and what they pay for their size.
    #[serde(default, skip_serializing_if = "Weights::is_default")]
    pub weights: Weights,
    /// How each layer is trained alone, before all are trained together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pretrain: Option<Pretrain>,
    /// How it is trained.
    #[serde(default)]
    pub train: Train,
}

/// What training makes small: a mean over the rows of a batch and the numbers of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Binary cross-entropy; needs data in 0..1 and a sigmoid at the end.
    Bce,
    /// Mean squared error.
    Mse,
    /// Cross-entropy against rows that are shares; needs data in 0..1 and a softmax at the end.
    CrossEntropy,
    /// Mean absolute error: outliers count less.
    Mae,
    /// Half the squared error where it is below 1 away, else the distance less 1/2 (Huber 1964).
    Huber,
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
        }
    }

    /// What charts and tables call it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Bce => "BCE",
            Self::Mse => "MSE",
            Self::CrossEntropy => "cross-entropy",
            Self::Mae => "mean absolute error",
            Self::Huber => "Huber loss",
        }
    }

    /// Whether it is made for numbers in 0..1 only.
    pub fn needs_shares(self) -> bool {
        matches!(self, Self::Bce | Self::CrossEntropy)
    }
}

impl Recipe {
    /// A built-in recipe (see [`RecipeFile::names`]) or a TOML file.
    ///
    /// # Errors
    /// Where there is no such recipe, or a field of the file is wrong; the message names it.
    pub fn open(name: &str) -> Result<Self> {
        RecipeFile::open(name)?.recipe()
    }

    /// A PCA with so many components, of rows as they are (bytes as shares of 255).
    pub fn pca(code_size: usize) -> Self {
        Self::Pca(PcaRecipe {
            about: None,
            scale: Scale::default(),
            code_size: Some(code_size),
            whiten: false,
        })
    }

    /// An autoencoder of dense layers of these widths from the row to the code, and mirrored back: `[784, 128, 32]`. ReLU
    /// between layers; the code and the output are linear. Rows are scaled as suits them, the loss is mean squared error.
    pub fn autoencoder(widths: &[usize]) -> Self {
        Self::Autoencoder(AutoencoderRecipe::dense(widths))
    }

    /// The same recipe with one field set, named by its path in a recipe file.
    ///
    /// ```
    /// # use narrows::Recipe;
    /// let recipe = Recipe::open("single")?.with("train.epochs", 5)?.with("code_size", 16)?;
    /// assert!(recipe.with("train.epohcs", 5).is_err());
    /// # Ok::<(), narrows::Error>(())
    /// ```
    ///
    /// # Errors
    /// Where there is no such field, or the value is not one that it can have.
    pub fn with(&self, field: &str, value: impl Serialize) -> Result<Self> {
        let mut file = RecipeFile::of(self)?;
        file.set_value(field, value)?;
        file.recipe()
    }

    /// How numbers are scaled.
    pub fn scale(&self) -> Scale {
        match self {
            Self::Pca(recipe) => recipe.scale,
            Self::Autoencoder(recipe) => recipe.scale,
            Self::Classifier(recipe) => recipe.scale,
        }
    }

    /// Sets how numbers are scaled.
    pub fn set_scale(&mut self, scale: Scale) {
        match self {
            Self::Pca(recipe) => recipe.scale = scale,
            Self::Autoencoder(recipe) => recipe.scale = scale,
            Self::Classifier(recipe) => recipe.scale = scale,
        }
    }

    /// One line for people.
    pub fn about(&self) -> Option<&str> {
        match self {
            Self::Pca(recipe) => recipe.about.as_deref(),
            Self::Autoencoder(recipe) => recipe.about.as_deref(),
            Self::Classifier(recipe) => recipe.about.as_deref(),
        }
    }

    /// Where all chance comes from; 0 where the method has none.
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

    /// How the method is trained, where it is.
    pub fn train(&self) -> Option<&Train> {
        match self {
            Self::Pca(_) => None,
            Self::Autoencoder(recipe) => Some(&recipe.train),
            Self::Classifier(recipe) => Some(&recipe.train),
        }
    }

    /// As [`Recipe::train`], to be changed.
    pub fn train_mut(&mut self) -> Option<&mut Train> {
        match self {
            Self::Pca(_) => None,
            Self::Autoencoder(recipe) => Some(&mut recipe.train),
            Self::Classifier(recipe) => Some(&mut recipe.train),
        }
    }

    /// Sets where all chance comes from, where the method has any.
    pub fn set_seed(&mut self, seed: u64) {
        if let Some(train) = self.train_mut() {
            train.seed = seed;
        }
    }

    /// The loss; squared error where the method has no other.
    pub fn loss(&self) -> Loss {
        match self {
            Self::Pca(_) => Loss::Mse,
            Self::Autoencoder(recipe) => recipe.loss,
            Self::Classifier(_) => Loss::CrossEntropy,
        }
    }

    /// Checks what can be checked without data.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Classifier(recipe) => recipe.validate()?,
            Self::Pca(recipe) => {
                if recipe.code_size == Some(0) {
                    return Err(Error::recipe("code_size: there must be at least one component"));
                }
            }
            Self::Autoencoder(recipe) => {
                recipe.train.validate()?;
                if recipe.train.epochs == 0 && recipe.weights.init != Init::ClosedForm {
                    return Err(Error::recipe("train.epochs: must be at least 1")
                        .hint("only weights.init = \"closed_form\" needs no training"));
                }
                recipe.weights.validate()?;
                if let Some(pretrain) = &recipe.pretrain {
                    pretrain.validate(&recipe.train)?;
                }
                if recipe.is_normalized() {
                    check_normalized(recipe.pretrain.as_ref(), &recipe.weights, &recipe.train)?;
                }
                if let Some(sparsity) = recipe.sparsity {
                    sparsity.validate()?;
                    if sparsity.kl.is_some() && recipe.code_function() != Some(Function::Sigmoid) {
                        return Err(Error::recipe("sparsity.kl: needs an encoder that ends in \"sigmoid\"")
                            .hint("or use sparsity.l1"));
                    }
                }
                let end = recipe.decoder.last();
                let ends_in = |function| end == Some(&Layer::Function(function));
                match recipe.loss {
                    Loss::Bce if !ends_in(Function::Sigmoid) => {
                        return Err(Error::recipe("loss: bce needs a decoder that ends in \"sigmoid\"")
                            .hint("or use loss = \"mse\""));
                    }
                    Loss::CrossEntropy if !ends_in(Function::Softmax) => {
                        return Err(Error::recipe(
                            "loss: cross_entropy needs a decoder that ends in \"softmax\"",
                        )
                        .hint("or use loss = \"mse\""));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

impl AutoencoderRecipe {
    /// Layers from the row to the code, and from the code to the row; see [`Recipe::autoencoder`] for the other settings.
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

    /// The function that a code comes out of.
    pub(crate) fn code_function(&self) -> Option<Function> {
        let mut layers = self.encoder.iter().rev().filter(|layer| !matches!(layer, Layer::Dropout { .. }));
        match layers.next() {
            Some(Layer::Function(function)) => Some(*function),
            _ => None,
        }
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

    /// Dense layers of the encoder.
    pub(crate) fn dense_layers(&self) -> usize {
        self.encoder.iter().filter(|layer| matches!(layer, Layer::Dense { .. })).count()
    }

    /// Whether the decoder's weights are the encoder's.
    pub fn is_tied(&self) -> bool {
        self.decoder.iter().any(|layer| layer.units() == Some(Units::Tied))
    }

    /// Whether its codes are drawn at random in training.
    pub fn is_variational(&self) -> bool {
        self.encoder.iter().any(|layer| matches!(layer, Layer::Variational { .. }))
    }

    /// Whether a layer normalises batches while it is trained.
    pub fn is_normalized(&self) -> bool {
        self.encoder.iter().chain(&self.decoder).any(|layer| *layer == Layer::BatchNorm)
    }

    /// Whether it learns to undo noise.
    pub fn is_shown_noise(&self) -> bool {
        self.encoder.iter().any(|layer| matches!(layer, Layer::Noise(_)))
    }
}

/// Refuses what makes no sense together with batch normalisation. Where its layers may stand, the plan knows.
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
