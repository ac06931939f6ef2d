//! The layers of a network as a recipe writes them: `{ conv = 16, kernel = 5 }`, `{ max_pool = 2 }`, `"relu"`.

use std::fmt;

use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::unknown;

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
    /// Every pixel a weighted sum of the pixels around: `{ conv = 16, kernel = 3, stride = 1, padding = "same" }`.
    Convolution {
        /// How many channels come out.
        channels: Units,
        /// Height and width of the kernel (3).
        kernel: [usize; 2],
        /// Pixels from an output to the next (1).
        stride: usize,
        /// What lies around the image.
        padding: Padding,
        /// Whether a number is added to each sum.
        bias: bool,
    },
    /// The transpose of a convolution: every pixel adds to those around, `stride` apart:
    /// `{ transposed_conv = 16, kernel = 3, stride = 2 }`.
    TransposedConvolution {
        /// How many channels come out.
        channels: Units,
        /// Height and width of the kernel (3).
        kernel: [usize; 2],
        /// Pixels of the output from an input to the next (2).
        stride: usize,
        /// "same": the output is `stride` times as large; "none": the kernel reaches past that.
        padding: Padding,
        /// Whether a number is added to each sum.
        bias: bool,
    },
    /// The largest number of each square of pixels: `{ max_pool = 2 }`.
    MaxPool {
        /// The side of a square.
        size: usize,
        /// "same": squares at the edge may be partial (rounds up); "none": they are left out.
        padding: Padding,
    },
    /// The mean of each square of pixels: `{ average_pool = 2 }`.
    AveragePool {
        /// The side of a square.
        size: usize,
        /// As for the maximum.
        padding: Padding,
    },
    /// Each pixel repeated: `{ upsample = 2 }`.
    Upsample {
        /// How often, along each side.
        factor: usize,
    },
    /// The numbers as they are, as an image: `{ reshape = [7, 7, 32] }`.
    Reshape {
        /// Height, width, channels.
        shape: [usize; 3],
    },
    /// The numbers as they are, as a vector: `"flatten"`.
    Flatten,
    /// The image that the last `"flatten"` of the encoder took: `"unflatten"`.
    Unflatten,
    /// Each number less its mean over the rows of a batch, divided by its standard deviation there, then times a learned
    /// scale and plus a learned shift (Ioffe and Szegedy 2015): `"batch_norm"`. For training only: when that ends it becomes
    /// part of the dense layer beside it.
    BatchNorm,
    /// A share of the numbers set to 0, in training only; the others are divided by what is left, so that sums keep their
    /// size (Srivastava et al. 2014): `{ dropout = 0.2 }`.
    Dropout {
        /// Which share is dropped.
        share: f32,
    },
    /// The end of a variational encoder: a mean and a variance for each unit, by one dense layer each. In training the code
    /// is drawn from the normal distribution they describe; otherwise it is the mean (Kingma and Welling 2014):
    /// `{ variational = 20, beta = 1.0 }`.
    Variational {
        /// Numbers of a code.
        units: usize,
        /// What the loss of a row, summed over its numbers, pays for each unit of beta: divergence from the standard normal.
        beta: f32,
    },
    /// Rows made worse on purpose, in training only: `{ gaussian_noise = 0.5, clip = [0, 1] }`, `{ masking_noise = 0.3 }`,
    /// `{ salt_and_pepper = 0.1 }`.
    Noise(Noise),
    /// A function of each number (softmax: of each row): `"relu"`.
    Function(Function),
}

/// The layers that networks are built from in programs; the others are variants to write out.
impl Layer {
    /// A dense layer of so many units, with biases.
    pub fn dense(units: usize) -> Self {
        Self::Dense { units: Units::Count(units), bias: true }
    }

    /// A dense layer of as many units as a row has numbers, with biases: the end of most decoders.
    pub fn dense_to_input() -> Self {
        Self::Dense { units: Units::Input, bias: true }
    }

    /// A convolution of so many channels: 3 x 3, stride 1, padding "same", with biases.
    pub fn conv(channels: usize) -> Self {
        Self::Convolution {
            channels: Units::Count(channels),
            kernel: [3, 3],
            stride: 1,
            padding: Padding::Same,
            bias: true,
        }
    }

    /// A convolution of as many channels as the rows have: the end of a decoder of images.
    pub fn conv_to_input() -> Self {
        Self::Convolution {
            channels: Units::Input,
            kernel: [3, 3],
            stride: 1,
            padding: Padding::Same,
            bias: true,
        }
    }

    /// The maximum of each square of `size` x `size` pixels; partial squares at the edges count.
    pub fn max_pool(size: usize) -> Self {
        Self::MaxPool { size, padding: Padding::Same }
    }

    /// Each pixel repeated `factor` times along each side.
    pub fn upsample(factor: usize) -> Self {
        Self::Upsample { factor }
    }

    /// Dropout of a share of the numbers, in training only.
    pub fn dropout(share: f32) -> Self {
        Self::Dropout { share }
    }

    /// Masking noise, in training only: a share of the numbers is set to 0, anew in each epoch.
    pub fn masking_noise(share: f32) -> Self {
        Self::Noise(Noise { kind: NoiseKind::Masking { share }, fresh: true })
    }

    /// Normal noise of a standard deviation, in training only, anew in each epoch.
    pub fn gaussian_noise(deviation: f32) -> Self {
        Self::Noise(Noise { kind: NoiseKind::Gaussian { deviation, clip: None }, fresh: true })
    }

    /// max(0, x)
    pub fn relu() -> Self {
        Self::Function(Function::Relu)
    }

    /// 1 / (1 + e^-x)
    pub fn sigmoid() -> Self {
        Self::Function(Function::Sigmoid)
    }

    /// tanh x
    pub fn tanh() -> Self {
        Self::Function(Function::Tanh)
    }
}

/// A number of units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Units {
    /// So many.
    Count(usize),
    /// As many as a row of the data has numbers, or as its pixels have channels.
    Input,
    /// As many as the last `"flatten"` of the encoder gave; dense layers only.
    Flatten,
    /// As many as the layer of the encoder that it mirrors took, whose weights it shares, transposed; in decoders only.
    Tied,
}

/// What lies around an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// Zeros, so that the output has the size of the input (divided by the stride, rounded up).
    Same,
    /// Nothing: the output is smaller.
    None,
    /// One of the two for each axis, so that the whole network gives back the size of its input.
    Auto,
}

/// How rows are made worse.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise {
    /// In which way.
    pub kind: NoiseKind,
    /// Whether each epoch has noise of its own; else a row has the same noise every time.
    pub fresh: bool,
}

/// In which way rows are made worse.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NoiseKind {
    /// A normal number is added to each.
    Gaussian {
        /// Its standard deviation, in the units the network sees.
        deviation: f32,
        /// What leaves these limits is set to them. Clipped noise is no longer normal.
        clip: Option<(f32, f32)>,
    },
    /// A share of the numbers is set to 0.
    Masking {
        /// Which share.
        share: f32,
    },
    /// A share of the numbers is set to 0 or to 1, each in half of the cases.
    SaltAndPepper {
        /// Which share.
        share: f32,
    },
}

impl NoiseKind {
    /// One or two words for tables.
    pub fn title(self) -> String {
        match self {
            Self::Gaussian { deviation, clip: None } => format!("gaussian noise {deviation}"),
            Self::Gaussian { deviation, clip: Some((low, high)) } => {
                format!("gaussian noise {deviation}, clipped to {low}..{high}")
            }
            Self::Masking { share } => format!("masking noise {share}"),
            Self::SaltAndPepper { share } => format!("salt and pepper {share}"),
        }
    }
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
    /// x, below zero x / 100
    LeakyRelu,
    /// x, below zero e^x - 1
    Elu,
    /// x times the normal distribution's share below x
    Gelu,
    /// x times the sigmoid of x
    Silu,
    /// ln(1 + e^x)
    Softplus,
}

impl Function {
    const ALL: [Self; 10] = [
        Self::Linear,
        Self::Relu,
        Self::LeakyRelu,
        Self::Elu,
        Self::Gelu,
        Self::Silu,
        Self::Softplus,
        Self::Sigmoid,
        Self::Tanh,
        Self::Softmax,
    ];

    /// Its name in a recipe.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Relu => "relu",
            Self::Sigmoid => "sigmoid",
            Self::Tanh => "tanh",
            Self::Softmax => "softmax",
            Self::LeakyRelu => "leaky_relu",
            Self::Elu => "elu",
            Self::Gelu => "gelu",
            Self::Silu => "silu",
            Self::Softplus => "softplus",
        }
    }
}

/// Each layer's key and the settings it has.
const LAYERS: [(&str, &[&str]); 12] = [
    ("dense", &["bias"]),
    ("conv", &["kernel", "stride", "padding", "bias"]),
    ("transposed_conv", &["kernel", "stride", "padding", "bias"]),
    ("max_pool", &["padding"]),
    ("average_pool", &["padding"]),
    ("upsample", &[]),
    ("reshape", &[]),
    ("dropout", &[]),
    ("variational", &["beta", "kl"]),
    ("gaussian_noise", &["clip", "fresh"]),
    ("masking_noise", &["fresh"]),
    ("salt_and_pepper", &["fresh"]),
];

/// The largest side of a kernel, a square or a step.
const LARGEST_SIDE: usize = 1024;

/// The entries of one layer's table, by key.
struct Entries(Vec<(String, Value)>);

impl Entries {
    /// Takes an entry and reads it, or answers the usual value.
    fn take<T>(
        &mut self,
        key: &str,
        usual: T,
        read: impl Fn(&Value) -> Option<T>,
        expected: &str,
    ) -> Result<T, String> {
        let Some(at) = self.0.iter().position(|(own, _)| own == key) else { return Ok(usual) };
        let (_, value) = self.0.swap_remove(at);
        read(&value).ok_or_else(|| format!("{key}: expected {expected}, found {value}"))
    }

    fn side(&mut self, key: &str, usual: usize) -> Result<usize, String> {
        self.take(key, usual, side, &format!("a whole number from 1 to {LARGEST_SIDE}"))
    }

    fn units(&mut self, key: &str, names: &[(&str, Units)]) -> Result<Units, String> {
        let read = |value: &Value| match value {
            Value::String(name) => names.iter().find(|(own, _)| own == name).map(|(_, units)| *units),
            _ => count(value).map(Units::Count),
        };
        let names: String = names.iter().map(|(name, _)| format!(", or \"{name}\"")).collect();
        self.take(key, Units::Input, read, &format!("a number from 1 to {}{names}", u32::MAX))
    }

    /// The channels of a transposed convolution. A tied one has the kernel of the layer that it mirrors.
    fn tied(&mut self, key: &str) -> Result<Units, String> {
        let channels = self.units(key, &[("input", Units::Input), ("tied", Units::Tied)])?;
        let own = |(key, _): &&(String, Value)| ["kernel", "stride", "padding"].contains(&key.as_str());
        match self.0.iter().find(own) {
            Some((setting, _)) if channels == Units::Tied => {
                Err(format!("{setting}: a tied layer has that of the layer it mirrors"))
            }
            _ => Ok(channels),
        }
    }

    fn kernel(&mut self) -> Result<[usize; 2], String> {
        let read = |value: &Value| match value {
            Value::Array(sides) => match &sides[..] {
                [height, width] => Some([side(height)?, side(width)?]),
                _ => None,
            },
            _ => side(value).map(|side| [side, side]),
        };
        self.take("kernel", [3, 3], read, "a side, or [height, width]")
    }

    fn padding(&mut self, names: &[(&str, Padding)]) -> Result<Padding, String> {
        let read = |value: &Value| {
            let name = value.as_str()?;
            names.iter().find(|(own, _)| *own == name).map(|(_, padding)| *padding)
        };
        let all: Vec<String> = names.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        self.take("padding", Padding::Same, read, &all.join(" or "))
    }

    fn flag(&mut self, key: &str, usual: bool) -> Result<bool, String> {
        self.take(key, usual, Value::as_bool, "true or false")
    }

    fn share(&mut self, key: &str) -> Result<f32, String> {
        let read = |value: &Value| number(value).filter(|share| (0.0..=1.0).contains(share));
        self.take(key, 0.0, read, "a share from 0 to 1")
    }
}

fn count(value: &Value) -> Option<usize> {
    value
        .as_u64()
        .and_then(|count| u32::try_from(count).ok())
        .filter(|&count| count > 0)
        .map(|count| count as usize)
}

fn side(value: &Value) -> Option<usize> {
    count(value).filter(|&side| side <= LARGEST_SIDE)
}

fn number(value: &Value) -> Option<f32> {
    value.as_f64().map(|number| number as f32).filter(|number| number.is_finite())
}

const SAME_OR_NONE: [(&str, Padding); 2] = [("same", Padding::Same), ("none", Padding::None)];
const ANY_PADDING: [(&str, Padding); 3] =
    [("same", Padding::Same), ("none", Padding::None), ("auto", Padding::Auto)];

impl Layer {
    /// How many outputs or channels a layer with weights has, as the recipe says it.
    pub(crate) fn units(&self) -> Option<Units> {
        match self {
            Self::Dense { units, .. } => Some(*units),
            Self::Convolution { channels, .. } | Self::TransposedConvolution { channels, .. } => {
                Some(*channels)
            }
            _ => None,
        }
    }

    fn from_entries(entries: Vec<(String, Value)>) -> Result<Self, String> {
        let names: Vec<&str> = LAYERS.iter().map(|(name, _)| *name).collect();
        let Some((name, settings)) =
            LAYERS.iter().find(|(name, _)| entries.iter().any(|(key, _)| key == name))
        else {
            // A setting alone says nothing; anything else is a misspelt layer.
            let settings: Vec<&str> = LAYERS.iter().flat_map(|(_, settings)| *settings).copied().collect();
            return Err(match entries.iter().find(|(key, _)| !settings.contains(&key.as_str())) {
                Some((wrong, _)) => unknown("layer", wrong, &names),
                None => format!("which layer? (allowed: {})", names.join(", ")),
            });
        };
        if let Some((wrong, _)) =
            entries.iter().find(|(key, _)| key != name && !settings.contains(&key.as_str()))
        {
            if names.contains(&wrong.as_str()) {
                return Err(format!("`{name}` and `{wrong}` are two layers: give each a table of its own"));
            }
            if settings.is_empty() {
                return Err(format!("`{name}` has no settings, found `{wrong}`"));
            }
            return Err(unknown(&format!("setting of `{name}`"), wrong, settings));
        }
        let mut entries = Entries(entries);
        Ok(match *name {
            "dense" => Self::Dense {
                units: entries.units(
                    "dense",
                    &[("input", Units::Input), ("flatten", Units::Flatten), ("tied", Units::Tied)],
                )?,
                bias: entries.flag("bias", true)?,
            },
            "conv" => Self::Convolution {
                channels: entries.units("conv", &[("input", Units::Input)])?,
                kernel: entries.kernel()?,
                stride: entries.side("stride", 1)?,
                padding: entries.padding(&ANY_PADDING)?,
                bias: entries.flag("bias", true)?,
            },
            "transposed_conv" => Self::TransposedConvolution {
                channels: entries.tied("transposed_conv")?,
                kernel: entries.kernel()?,
                stride: entries.side("stride", 2)?,
                padding: entries.padding(&SAME_OR_NONE)?,
                bias: entries.flag("bias", true)?,
            },
            "max_pool" => {
                Self::MaxPool { size: entries.side("max_pool", 2)?, padding: entries.padding(&SAME_OR_NONE)? }
            }
            "average_pool" => Self::AveragePool {
                size: entries.side("average_pool", 2)?,
                padding: entries.padding(&SAME_OR_NONE)?,
            },
            "upsample" => Self::Upsample { factor: entries.side("upsample", 2)? },
            "reshape" => {
                let read = |value: &Value| match &value.as_array()?[..] {
                    [height, width, channels] => Some([count(height)?, count(width)?, count(channels)?]),
                    _ => None,
                };
                Self::Reshape { shape: entries.take("reshape", [1; 3], read, "[height, width, channels]")? }
            }
            "dropout" => {
                let read = |value: &Value| number(value).filter(|share| (0.0..1.0).contains(share));
                Self::Dropout { share: entries.take("dropout", 0.0, read, "a share from 0 to below 1")? }
            }
            "variational" => {
                let weight = |value: &Value| number(value).filter(|&weight| weight >= 0.0);
                let units = entries.take("variational", 1, count, "a number of at least 1")?;
                let older = entries.take("kl", 1.0, weight, "a weight of at least 0")?;
                let beta = entries.take("beta", older, weight, "a weight of at least 0")?;
                Self::Variational { units, beta }
            }
            "gaussian_noise" => {
                let read = |value: &Value| number(value).filter(|&deviation| deviation >= 0.0);
                let limits = |value: &Value| match &value.as_array()?[..] {
                    [low, high] => {
                        let (low, high) = (number(low)?, number(high)?);
                        (low < high).then_some(Some((low, high)))
                    }
                    _ => None,
                };
                Self::Noise(Noise {
                    kind: NoiseKind::Gaussian {
                        deviation: entries.take(
                            "gaussian_noise",
                            0.0,
                            read,
                            "a standard deviation of at least 0",
                        )?,
                        clip: entries.take("clip", None, limits, "limits such as [0, 1], the lower first")?,
                    },
                    fresh: entries.flag("fresh", true)?,
                })
            }
            "masking_noise" => Self::Noise(Noise {
                kind: NoiseKind::Masking { share: entries.share("masking_noise")? },
                fresh: entries.flag("fresh", true)?,
            }),
            _ => Self::Noise(Noise {
                kind: NoiseKind::SaltAndPepper { share: entries.share("salt_and_pepper")? },
                fresh: entries.flag("fresh", true)?,
            }),
        })
    }
}

impl<'de> Deserialize<'de> for Layer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LayerVisitor;

        impl<'de> Visitor<'de> for LayerVisitor {
            type Value = Layer;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a layer such as { dense = 32 } or { conv = 16 }, or a name such as \"relu\"")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Layer, E> {
                match name {
                    "flatten" => return Ok(Layer::Flatten),
                    "unflatten" => return Ok(Layer::Unflatten),
                    "batch_norm" => return Ok(Layer::BatchNorm),
                    _ => {}
                }
                let functions = Function::ALL.into_iter();
                match functions.clone().find(|function| function.name() == name) {
                    Some(function) => Ok(Layer::Function(function)),
                    None => {
                        let others = ["flatten", "unflatten", "batch_norm"];
                        let names: Vec<&str> = functions.map(Function::name).chain(others).collect();
                        Err(E::custom(unknown("function", name, &names)))
                    }
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Layer, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry::<String, Value>()? {
                    entries.push(entry);
                }
                Layer::from_entries(entries).map_err(de::Error::custom)
            }
        }

        deserializer.deserialize_any(LayerVisitor)
    }
}

impl Serialize for Layer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Settings that have their usual value are not written.
        let mut entries: Vec<(&str, Value)> = Vec::new();
        // The shortest decimal number that reads back as the same f32.
        let short = |value: f32| -> Value {
            value.to_string().parse::<f64>().unwrap_or_else(|_| f64::from(value)).into()
        };
        match *self {
            Self::Flatten => return serializer.serialize_str("flatten"),
            Self::Unflatten => return serializer.serialize_str("unflatten"),
            Self::BatchNorm => return serializer.serialize_str("batch_norm"),
            Self::Function(function) => return function.serialize(serializer),
            Self::Dense { units, bias } => {
                entries.push(("dense", units.into()));
                if !bias {
                    entries.push(("bias", bias.into()));
                }
            }
            Self::Convolution { channels, kernel, stride, padding, bias }
            | Self::TransposedConvolution { channels, kernel, stride, padding, bias } => {
                let transposed = matches!(self, Self::TransposedConvolution { .. });
                entries.push((if transposed { "transposed_conv" } else { "conv" }, channels.into()));
                if kernel[0] != kernel[1] {
                    entries.push(("kernel", kernel.to_vec().into()));
                } else if kernel[0] != 3 {
                    entries.push(("kernel", kernel[0].into()));
                }
                if stride != if transposed { 2 } else { 1 } {
                    entries.push(("stride", stride.into()));
                }
                entries.extend(padding.entry());
                if !bias {
                    entries.push(("bias", bias.into()));
                }
            }
            Self::MaxPool { size, padding } => {
                entries.push(("max_pool", size.into()));
                entries.extend(padding.entry());
            }
            Self::AveragePool { size, padding } => {
                entries.push(("average_pool", size.into()));
                entries.extend(padding.entry());
            }
            Self::Upsample { factor } => entries.push(("upsample", factor.into())),
            Self::Reshape { shape } => entries.push(("reshape", shape.to_vec().into())),
            Self::Dropout { share } => entries.push(("dropout", short(share))),
            Self::Variational { units, beta } => {
                entries.push(("variational", units.into()));
                if beta != 1.0 {
                    entries.push(("kl", short(beta)));
                }
            }
            Self::Noise(Noise { kind, fresh }) => {
                match kind {
                    NoiseKind::Gaussian { deviation, clip } => {
                        entries.push(("gaussian_noise", short(deviation)));
                        if let Some((low, high)) = clip {
                            entries.push(("clip", vec![short(low), short(high)].into()));
                        }
                    }
                    NoiseKind::Masking { share } => entries.push(("masking_noise", short(share))),
                    NoiseKind::SaltAndPepper { share } => entries.push(("salt_and_pepper", short(share))),
                }
                if !fresh {
                    entries.push(("fresh", fresh.into()));
                }
            }
        }
        let mut map = serializer.serialize_map(Some(entries.len()))?;
        for (key, value) in entries {
            map.serialize_entry(key, &value)?;
        }
        map.end()
    }
}

impl From<Units> for Value {
    fn from(units: Units) -> Self {
        match units {
            Units::Count(count) => count.into(),
            Units::Input => "input".into(),
            Units::Flatten => "flatten".into(),
            Units::Tied => "tied".into(),
        }
    }
}

impl Padding {
    /// The entry of a layer's table; none where it is the usual one.
    fn entry(self) -> Option<(&'static str, Value)> {
        let name = ANY_PADDING.iter().find(|(_, padding)| *padding == self).map(|(name, _)| *name);
        name.filter(|_| self != Self::Same).map(|name| ("padding", name.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Layer, String> {
        let table = format!("layer = {text}").parse::<toml::Table>().unwrap();
        #[derive(Deserialize)]
        struct One {
            layer: Layer,
        }
        One::deserialize(toml::Value::Table(table)).map(|one| one.layer).map_err(|error| error.to_string())
    }

    #[test]
    fn every_layer_survives_its_own_text() {
        for text in [
            "{ dense = 32 }",
            "{ dense = \"input\", bias = false }",
            "{ dense = \"flatten\" }",
            "{ conv = 16 }",
            "{ conv = \"input\", kernel = [3, 5], stride = 2, padding = \"none\", bias = false }",
            "{ conv = 16, kernel = 1, padding = \"auto\" }",
            "{ transposed_conv = 8 }",
            "{ transposed_conv = 8, kernel = 4, stride = 3, padding = \"none\" }",
            "{ max_pool = 2 }",
            "{ average_pool = 3, padding = \"none\" }",
            "{ upsample = 2 }",
            "{ reshape = [7, 7, 32] }",
            "\"flatten\"",
            "\"unflatten\"",
            "\"batch_norm\"",
            "\"relu\"",
            "\"leaky_relu\"",
            "{ dense = \"tied\", bias = false }",
            "{ transposed_conv = \"tied\" }",
            "{ dropout = 0.2 }",
            "{ variational = 20 }",
            "{ variational = 2, kl = 0.5 }",
            "{ gaussian_noise = 0.5, clip = [0, 1] }",
            "{ gaussian_noise = 0.1, fresh = false }",
            "{ masking_noise = 0.3 }",
            "{ salt_and_pepper = 0.25, fresh = false }",
        ] {
            let layer = read(text).unwrap();
            let json = serde_json::to_value(&layer).unwrap();
            assert_eq!(serde_json::from_value::<Layer>(json.clone()).unwrap(), layer);
            let written = toml::Value::try_from(&layer).unwrap().to_string();
            assert_eq!(read(&written).unwrap(), layer, "{written}");
            // Nothing that was not said, and short numbers.
            assert_eq!(written.matches('=').count(), text.matches('=').count(), "{written} for {text}");
            assert!(written.len() <= text.len() + 8, "{written}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, parts) in [
            ("{ cnov = 16 }", vec!["unknown layer `cnov`", "did you mean `conv`"]),
            ("{ conv = 16, kernal = 3 }", vec!["setting of `conv`", "did you mean `kernel`"]),
            ("{ kernel = 3 }", vec!["which layer"]),
            ("{ conv = 16, dense = 3 }", vec!["two layers"]),
            ("{ conv = 0 }", vec!["conv: expected a number from 1 to 4294967295", "found 0"]),
            ("{ conv = \"flatten\" }", vec!["conv", "\"input\""]),
            ("{ conv = 4, kernel = [3] }", vec!["kernel: expected a side, or [height, width]"]),
            ("{ conv = 4, kernel = 100000 }", vec!["kernel"]),
            ("{ conv = 4, padding = \"valid\" }", vec!["padding: expected \"same\" or \"none\" or \"auto\""]),
            ("{ max_pool = 2, stride = 1 }", vec!["setting of `max_pool`"]),
            ("{ upsample = 2, factor = 1 }", vec!["`upsample` has no settings"]),
            ("{ gaussian_noise = -1 }", vec!["gaussian_noise", "at least 0"]),
            ("{ gaussian_noise = 0.5, clip = [1, 0] }", vec!["clip", "the lower first"]),
            ("{ dropout = 1 }", vec!["dropout", "below 1"]),
            ("{ dropout = 0.5, share = 1 }", vec!["`dropout` has no settings"]),
            ("{ conv = \"tied\" }", vec!["conv: expected", "\"input\""]),
            ("{ transposed_conv = \"tied\", stride = 2 }", vec!["stride", "the layer it mirrors"]),
            ("{ variational = 0 }", vec!["variational", "at least 1"]),
            ("{ variational = 2, bet = 1 }", vec!["setting of `variational`", "beta"]),
            ("\"lealy_relu\"", vec!["did you mean `leaky_relu`"]),
            ("{ masking_noise = 1.5 }", vec!["masking_noise", "from 0 to 1"]),
            ("\"batchnorm\"", vec!["did you mean `batch_norm`"]),
            ("\"rellu\"", vec!["unknown function `rellu`", "did you mean `relu`"]),
            ("3", vec!["a layer such as"]),
        ] {
            let error = read(text).unwrap_err();
            for part in parts {
                assert!(error.contains(part), "`{part}` is not in: {error}");
            }
        }
    }
}
