//! A network as plain data: what a recipe says, before anything is known about the rows.
//!
//! A [`Spec`] is read from TOML (a recipe) or JSON (a model file). It has no behaviour: [`crate::plan`] gives it shapes,
//! [`crate::fit`] finds its parameters. Unknown fields are refused everywhere, so a misspelt setting is never silently
//! ignored.

use std::fmt;

use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
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
    /// How it is trained.
    #[serde(default)]
    pub train: Train,
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

/// One entry of a list of layers.
#[derive(Debug, Clone, PartialEq)]
pub enum Layer {
    /// Every output a weighted sum of all inputs: `{ dense = 32 }`, `{ dense = "input", bias = false }`.
    Dense {
        /// How many outputs.
        units: Units,
        /// Whether a number is added to each sum.
        bias: bool,
    },
    /// A function of each number (softmax: of each row): `"relu"`.
    Function(Function),
}

/// A number of units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Units {
    /// So many.
    Count(usize),
    /// As many as a row of the data has numbers.
    Input,
}

/// A function between layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// x
    Linear,
    /// max(0, x)
    Relu,
    /// 1 / (1 + e^-x)
    Sigmoid,
    /// tanh x
    Tanh,
    /// e^x / sum over the row of e^x
    Softmax,
}

impl Function {
    const ALL: [Self; 5] = [Self::Linear, Self::Relu, Self::Sigmoid, Self::Tanh, Self::Softmax];

    /// Its name in a recipe.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Relu => "relu",
            Self::Sigmoid => "sigmoid",
            Self::Tanh => "tanh",
            Self::Softmax => "softmax",
        }
    }
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

/// How a network is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Train {
    /// The rule that turns gradients into steps.
    pub optimizer: OptimizerName,
    /// Its step size; without it the optimiser's usual one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f32>,
    /// Times that all rows are seen.
    pub epochs: usize,
    /// Rows between two steps.
    pub batch: usize,
    /// Where all chance comes from: first weights, the order of the rows, what is held out.
    pub seed: u64,
    /// adadelta, rmsprop: how much of a running mean is kept (0.95; 0.9).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rho: Option<f32>,
    /// adadelta, rmsprop, adam, adamw: added to a root (1e-7).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f32>,
    /// sgd: how much of the velocity is kept (0).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f32>,
    /// sgd: whether to look ahead along the velocity (false).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nesterov: Option<bool>,
    /// adam, adamw: how much of the mean gradient is kept (0.9).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta1: Option<f32>,
    /// adam, adamw: how much of the mean squared gradient is kept (0.999).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta2: Option<f32>,
    /// adamw: share of each weight taken off at each step, times the rate (0.01). Biases are left alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f32>,
}

impl Default for Train {
    fn default() -> Self {
        Self {
            optimizer: OptimizerName::Adam,
            rate: None,
            epochs: 50,
            batch: 128,
            seed: 0,
            rho: None,
            epsilon: None,
            momentum: None,
            nesterov: None,
            beta1: None,
            beta2: None,
            weight_decay: None,
        }
    }
}

/// The rules that turn gradients into steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerName {
    /// Zeiler 2012; rate 1.
    Adadelta,
    /// Gradient descent, with momentum where asked; rate 0.01.
    Sgd,
    /// Tieleman and Hinton 2012; rate 0.001.
    Rmsprop,
    /// Kingma and Ba 2015; rate 0.001.
    Adam,
    /// Loshchilov and Hutter 2019; rate 0.001.
    Adamw,
}

/// An optimiser with all its settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Optimizer {
    /// See [`narrows_kernels::optimizer::adadelta`].
    Adadelta(narrows_kernels::optimizer::Adadelta),
    /// See [`narrows_kernels::optimizer::sgd`].
    Sgd(narrows_kernels::optimizer::Sgd),
    /// See [`narrows_kernels::optimizer::rmsprop`].
    RmsProp(narrows_kernels::optimizer::RmsProp),
    /// See [`narrows_kernels::optimizer::adam`]; `step` is set at each step.
    Adam(narrows_kernels::optimizer::Adam),
}

impl Optimizer {
    /// How many numbers it remembers for each parameter.
    pub fn memories(&self) -> usize {
        match self {
            Self::Sgd(_) | Self::RmsProp(_) => 1,
            Self::Adadelta(_) | Self::Adam(_) => 2,
        }
    }
}

impl Train {
    /// The optimiser with the usual values where the recipe is silent. A setting that the optimiser does not have, or a
    /// value outside its range, is refused.
    pub fn optimizer(&self) -> Result<Optimizer> {
        use OptimizerName::*;
        let name = match self.optimizer {
            Adadelta => "adadelta",
            Sgd => "sgd",
            Rmsprop => "rmsprop",
            Adam => "adam",
            Adamw => "adamw",
        };
        let settings: [(&str, bool, &[OptimizerName]); 7] = [
            ("rho", self.rho.is_some(), &[Adadelta, Rmsprop]),
            ("epsilon", self.epsilon.is_some(), &[Adadelta, Rmsprop, Adam, Adamw]),
            ("momentum", self.momentum.is_some(), &[Sgd]),
            ("nesterov", self.nesterov.is_some(), &[Sgd]),
            ("beta1", self.beta1.is_some(), &[Adam, Adamw]),
            ("beta2", self.beta2.is_some(), &[Adam, Adamw]),
            ("weight_decay", self.weight_decay.is_some(), &[Adamw]),
        ];
        for (field, given, optimizers) in settings {
            if given && !optimizers.contains(&self.optimizer) {
                return Err(Error::recipe(format!(
                    "train.{field}: the optimizer {name} has no such setting"
                )));
            }
        }
        let positive = |field: &str, value: f32| {
            if value > 0.0 && value.is_finite() {
                Ok(value)
            } else {
                Err(Error::recipe(format!("train.{field}: {value} is not a positive number")))
            }
        };
        let share = |field: &str, value: f32| {
            if (0.0..1.0).contains(&value) {
                Ok(value)
            } else {
                Err(Error::recipe(format!("train.{field}: {value} is not at least 0 and below 1")))
            }
        };
        let usual_rate = match self.optimizer {
            Adadelta => 1.0,
            Sgd => 0.01,
            Rmsprop | Adam | Adamw => 0.001,
        };
        let rate = positive("rate", self.rate.unwrap_or(usual_rate))?;
        let epsilon = positive("epsilon", self.epsilon.unwrap_or(1e-7))?;
        Ok(match self.optimizer {
            Adadelta => Optimizer::Adadelta(narrows_kernels::optimizer::Adadelta {
                rate,
                rho: share("rho", self.rho.unwrap_or(0.95))?,
                epsilon,
            }),
            Sgd => Optimizer::Sgd(narrows_kernels::optimizer::Sgd {
                rate,
                momentum: share("momentum", self.momentum.unwrap_or(0.0))?,
                nesterov: self.nesterov.unwrap_or(false),
            }),
            Rmsprop => Optimizer::RmsProp(narrows_kernels::optimizer::RmsProp {
                rate,
                rho: share("rho", self.rho.unwrap_or(0.9))?,
                epsilon,
            }),
            Adam | Adamw => {
                let usual = if self.optimizer == Adamw { 0.01 } else { 0.0 };
                Optimizer::Adam(narrows_kernels::optimizer::Adam {
                    rate,
                    beta1: share("beta1", self.beta1.unwrap_or(0.9))?,
                    beta2: share("beta2", self.beta2.unwrap_or(0.999))?,
                    epsilon,
                    weight_decay: share("weight_decay", self.weight_decay.unwrap_or(usual))?,
                    step: 1,
                })
            }
        })
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
    /// Replaces the widths of the dense layers by the short form `784-128-64-32`: from the input to the code, the decoder
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
                Layer::Dense { .. } => None,
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
            Layer::Dense { units, .. } => Some(units),
            Layer::Function(_) => None,
        });
        *last.ok_or_else(|| Error::recipe("code size: the encoder has no dense layer to set it in"))? =
            Units::Count(size);
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

impl<'de> Deserialize<'de> for Layer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct LayerVisitor;

        impl<'de> Visitor<'de> for LayerVisitor {
            type Value = Layer;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a layer such as { dense = 32 }, or a function such as \"relu\"")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> std::result::Result<Layer, E> {
                let names = Function::ALL.map(Function::name);
                match Function::ALL.into_iter().find(|function| function.name() == name) {
                    Some(function) => Ok(Layer::Function(function)),
                    None => Err(E::custom(unknown("function", name, &names))),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Layer, A::Error> {
                let (mut units, mut bias) = (None, true);
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "dense" => units = Some(map.next_value::<Units>()?),
                        "bias" => bias = map.next_value()?,
                        other => {
                            return Err(de::Error::custom(unknown(
                                "layer or setting",
                                other,
                                &["dense", "bias"],
                            )));
                        }
                    }
                }
                let units =
                    units.ok_or_else(|| de::Error::custom("which layer? expected { dense = UNITS }"))?;
                Ok(Layer::Dense { units, bias })
            }
        }

        deserializer.deserialize_any(LayerVisitor)
    }
}

impl Serialize for Layer {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Function(function) => function.serialize(serializer),
            Self::Dense { units, bias } => {
                let mut map = serializer.serialize_map(None)?;
                match units {
                    Units::Count(count) => map.serialize_entry("dense", count)?,
                    Units::Input => map.serialize_entry("dense", "input")?,
                }
                if !bias {
                    map.serialize_entry("bias", bias)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Units {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct UnitsVisitor;

        impl Visitor<'_> for UnitsVisitor {
            type Value = Units;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of units of at least 1, or \"input\"")
            }

            fn visit_u64<E: de::Error>(self, count: u64) -> std::result::Result<Units, E> {
                match u32::try_from(count) {
                    Ok(count) if count > 0 => Ok(Units::Count(count as usize)),
                    _ => Err(E::invalid_value(de::Unexpected::Unsigned(count), &self)),
                }
            }

            fn visit_i64<E: de::Error>(self, count: i64) -> std::result::Result<Units, E> {
                match u64::try_from(count) {
                    Ok(count) => self.visit_u64(count),
                    Err(_) => Err(E::invalid_value(de::Unexpected::Signed(count), &self)),
                }
            }

            fn visit_str<E: de::Error>(self, name: &str) -> std::result::Result<Units, E> {
                match name {
                    "input" => Ok(Units::Input),
                    _ => Err(E::invalid_value(de::Unexpected::Str(name), &self)),
                }
            }
        }

        deserializer.deserialize_any(UnitsVisitor)
    }
}
