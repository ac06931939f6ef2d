//! A network as plain data: what a recipe says, before anything is known about the rows.
//!
//! A [`Spec`] is read from TOML (a recipe) or JSON (a model file). It has no behaviour: [`crate::plan`] gives it shapes,
//! [`crate::fit`] finds its parameters. Unknown fields are refused everywhere, so a misspelt setting is never silently
//! ignored.

mod layer;
mod train;

pub use layer::{Function, Layer, Noise, NoiseKind, Padding, Units};
pub use train::{Keep, Optimizer, OptimizerName, Train};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A method with all its settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum Spec {
    /// Principal component analysis.
    Pca(PcaSpec),
    /// A network with a narrow middle, trained to give back its input.
    Autoencoder(AutoencoderSpec),
}

/// Settings of a principal component analysis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PcaSpec {
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
pub struct AutoencoderSpec {
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
    /// How it is trained.
    #[serde(default)]
    pub train: Train,
}

/// What a code pays for being active, so that few of its units are at a time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sparsity {
    /// `l1` times the mean over the rows of a batch of the sum of |code| is added to the loss (divided by the rows of the
    /// batch, as Keras 3 does). The losses that are reported are without it.
    pub l1: f32,
}

/// How numbers are scaled before a method sees them. What was learned is stored in the model and undone on output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// As they are.
    None,
    /// Bytes from 0..255 to 0..1; other numbers as they are.
    #[default]
    Unit,
    /// Each column so that the training rows fill 0..1.
    MinMax,
    /// Each column to mean 0 and standard deviation 1 (n - 1) over the training rows.
    Standard,
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
}

impl Loss {
    /// What charts and tables call it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Bce => "BCE",
            Self::Mse => "MSE",
            Self::CrossEntropy => "cross-entropy",
        }
    }
}

impl Spec {
    /// How numbers are scaled.
    pub fn scale(&self) -> Scale {
        match self {
            Self::Pca(spec) => spec.scale,
            Self::Autoencoder(spec) => spec.scale,
        }
    }

    /// Sets how numbers are scaled.
    pub fn set_scale(&mut self, scale: Scale) {
        match self {
            Self::Pca(spec) => spec.scale = scale,
            Self::Autoencoder(spec) => spec.scale = scale,
        }
    }

    /// One line for people.
    pub fn about(&self) -> Option<&str> {
        match self {
            Self::Pca(spec) => spec.about.as_deref(),
            Self::Autoencoder(spec) => spec.about.as_deref(),
        }
    }

    /// Where all chance comes from; 0 where the method has none.
    pub fn seed(&self) -> u64 {
        match self {
            Self::Pca(_) => 0,
            Self::Autoencoder(spec) => spec.train.seed,
        }
    }

    /// Checks what can be checked without data.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Pca(spec) => {
                if spec.code_size == Some(0) {
                    return Err(Error::recipe("code_size: there must be at least one component"));
                }
            }
            Self::Autoencoder(spec) => {
                for (field, value) in [("epochs", spec.train.epochs), ("batch", spec.train.batch)] {
                    if value == 0 {
                        return Err(Error::recipe(format!("train.{field}: must be at least 1")));
                    }
                }
                spec.train.optimizer()?;
                if let Some(Sparsity { l1 }) = spec.sparsity
                    && !(l1 >= 0.0 && l1.is_finite())
                {
                    return Err(Error::recipe(format!("sparsity.l1: {l1} is not a number of at least 0")));
                }
                let end = spec.decoder.last();
                let ends_in = |function| end == Some(&Layer::Function(function));
                match spec.loss {
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

impl AutoencoderSpec {
    /// Whether it learns to undo noise.
    pub fn is_shown_noise(&self) -> bool {
        self.encoder.iter().any(|layer| matches!(layer, Layer::Noise(_)))
    }

    /// Replaces the layers by dense ones of the short form `784-128-64-32`: from the input to the code, the decoder
    /// mirrored. Functions are kept: between layers the encoder's first, at the end the decoder's last.
    pub fn set_layers(&mut self, short: &str, input: usize) -> Result<()> {
        let wrong = || {
            Error::recipe(format!(
                "layers `{short}`: expected widths from the input to the code, such as {input}-128-32"
            ))
        };
        let widths = short
            .split('-')
            .map(|part| part.trim().parse::<usize>().ok().filter(|&width| width > 0))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(wrong)?;
        let [first, hidden @ ..] = &widths[..] else { return Err(wrong()) };
        if hidden.is_empty() {
            return Err(wrong());
        }
        if *first != input {
            return Err(Error::recipe(format!(
                "layers `{short}`: a row of the data has {input} numbers, not {first}"
            )));
        }
        let function = |layers: &[Layer]| {
            layers.iter().find_map(|layer| match layer {
                Layer::Function(function) => Some(*function),
                _ => None,
            })
        };
        let between = function(&self.encoder).unwrap_or(Function::Relu);
        let end = match self.decoder.last() {
            Some(Layer::Function(function)) => *function,
            _ => Function::Linear,
        };
        let dense = |units| Layer::Dense { units, bias: true };
        self.encoder =
            hidden.iter().flat_map(|&width| [dense(Units::Count(width)), Layer::Function(between)]).collect();
        self.decoder = hidden[..hidden.len() - 1]
            .iter()
            .rev()
            .flat_map(|&width| [dense(Units::Count(width)), Layer::Function(between)])
            .chain([dense(Units::Input), Layer::Function(end)])
            .collect();
        Ok(())
    }

    /// Sets the width of the middle: the units of the encoder's last dense layer.
    pub fn set_code_size(&mut self, size: usize) -> Result<()> {
        if size == 0 {
            return Err(Error::recipe("code size: must be at least 1"));
        }
        let last = self.encoder.iter_mut().rev().find_map(|layer| match layer {
            Layer::Dense { units, .. } => Some(Ok(units)),
            Layer::Convolution { .. } | Layer::TransposedConvolution { .. } => Some(Err(())),
            _ => None,
        });
        match last {
            Some(Ok(units)) => *units = Units::Count(size),
            Some(Err(())) => {
                return Err(Error::recipe(
                    "code size: the code of this network is an image; its size follows from the rows",
                )
                .hint("change the channels of the encoder's last conv in a recipe of your own"));
            }
            None => return Err(Error::recipe("code size: the encoder has no dense layer to set it in")),
        }
        Ok(())
    }
}

/// `did you mean` for a name that is close to a valid one.
pub(crate) fn suggestion<'a>(wrong: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    valid
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(wrong, name), name))
        .min()
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .map(|(_, name)| name)
}

fn unknown(what: &str, wrong: &str, valid: &[&str]) -> String {
    let list = valid.join(", ");
    match suggestion(wrong, valid.iter().copied()) {
        Some(name) => format!("unknown {what} `{wrong}`; did you mean `{name}`? (allowed: {list})"),
        None => format!("unknown {what} `{wrong}` (allowed: {list})"),
    }
}
