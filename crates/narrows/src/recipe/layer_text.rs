//! The form of layers in recipe files and model files: `{ conv = 16, kernel = 5 }`, `{ max_pool = 2 }`, `"relu"`.

use std::fmt;

use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::unknown;
use super::{Function, Layer, Noise, NoiseKind, Padding, Units};

/// Largest side of a kernel or a pooling square.
pub(crate) const LARGEST_SIDE: usize = 1024;

/// Largest stride or upsampling factor. A convolution has a table for each pair of remainders by it: 65,536 of them.
pub(crate) const LARGEST_STRIDE: usize = 256;

/// The most layers of an encoder or a decoder, functions included: several times those of the deepest networks that were
/// published. A plan tries a thousand paddings for all of them within a second.
pub(crate) const MOST_LAYERS: usize = 1000;

const SAME_OR_NONE: [(&str, Padding); 2] = [("same", Padding::Same), ("none", Padding::None)];
const ANY_PADDING: [(&str, Padding); 3] =
    [("same", Padding::Same), ("none", Padding::None), ("auto", Padding::Auto)];

/// Layers that are written as a name alone.
const NAMED: [(&str, Layer); 3] =
    [("flatten", Layer::Flatten), ("unflatten", Layer::Unflatten), ("batch_norm", Layer::BatchNorm)];

/// A layer that is written as a table.
struct Kind {
    /// The key that names the layer.
    name: &'static str,
    /// The other keys that the table may have.
    settings: &'static [&'static str],
    read: fn(&mut Entries) -> Result<Layer, String>,
}

const KINDS: [Kind; 12] = [
    Kind { name: "dense", settings: &["bias"], read: dense },
    Kind { name: "conv", settings: &["kernel", "stride", "padding", "bias"], read: convolution },
    Kind {
        name: "transposed_conv",
        settings: &["kernel", "stride", "padding", "bias"],
        read: transposed_convolution,
    },
    Kind { name: "max_pool", settings: &["padding"], read: max_pool },
    Kind { name: "average_pool", settings: &["padding"], read: average_pool },
    Kind { name: "upsample", settings: &[], read: upsample },
    Kind { name: "reshape", settings: &[], read: reshape },
    Kind { name: "dropout", settings: &[], read: dropout },
    Kind { name: "variational", settings: &["beta", "kl"], read: variational },
    Kind { name: "gaussian_noise", settings: &["clip", "fresh"], read: gaussian_noise },
    Kind { name: "masking_noise", settings: &["fresh"], read: masking_noise },
    Kind { name: "salt_and_pepper", settings: &["fresh"], read: salt_and_pepper },
];

impl<'de> Deserialize<'de> for Layer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LayerVisitor;

        impl<'de> Visitor<'de> for LayerVisitor {
            type Value = Layer;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a layer such as { dense = 32 } or { conv = 16 }, or a name such as \"relu\"")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Layer, E> {
                from_name(name).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Layer, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry::<String, Value>()? {
                    entries.push(entry);
                }
                let kind = find_kind(&entries).map_err(de::Error::custom)?;
                (kind.read)(&mut Entries(entries)).map_err(de::Error::custom)
            }
        }

        deserializer.deserialize_any(LayerVisitor)
    }
}

/// Reads the layers of a side; stops at the first one too many.
pub(super) fn layers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Layer>, D::Error> {
    struct LayersVisitor;

    impl<'de> Visitor<'de> for LayersVisitor {
        type Value = Vec<Layer>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of layers")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Layer>, A::Error> {
            let mut layers = Vec::new();
            while let Some(layer) = list.next_element()? {
                if layers.len() == MOST_LAYERS {
                    return Err(de::Error::custom(format_args!("more than {MOST_LAYERS} layers")));
                }
                layers.push(layer);
            }
            Ok(layers)
        }
    }

    deserializer.deserialize_seq(LayersVisitor)
}

/// A layer without settings, or a function, by its name.
fn from_name(name: &str) -> Result<Layer, String> {
    if let Some((_, layer)) = NAMED.into_iter().find(|(named, _)| *named == name) {
        return Ok(layer);
    }
    let functions = Function::ALL.into_iter();
    match functions.clone().find(|function| function.name() == name) {
        Some(function) => Ok(Layer::Function(function)),
        None => {
            let others = NAMED.iter().map(|(named, _)| *named);
            let names: Vec<&str> = functions.map(Function::name).chain(others).collect();
            Err(unknown("function", name, &names))
        }
    }
}

/// The kind of layer that the keys of a table name. Refuses keys that are not settings of it.
fn find_kind(entries: &[(String, Value)]) -> Result<&'static Kind, String> {
    let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
    let Some(kind) = KINDS.iter().find(|kind| entries.iter().any(|(key, _)| key == kind.name)) else {
        // A table of settings alone lacks its layer; any other key is a misspelt layer.
        let settings: Vec<&str> = KINDS.iter().flat_map(|kind| kind.settings).copied().collect();
        return Err(match entries.iter().find(|(key, _)| !settings.contains(&key.as_str())) {
            Some((wrong, _)) => unknown("layer", wrong, &names),
            None => format!("which layer? (allowed: {})", names.join(", ")),
        });
    };
    let Kind { name, settings, .. } = kind;
    match entries.iter().find(|(key, _)| key != name && !settings.contains(&key.as_str())) {
        None => Ok(kind),
        Some((wrong, _)) if names.contains(&wrong.as_str()) => {
            Err(format!("`{name}` and `{wrong}` are two layers: give each a table of its own"))
        }
        Some((wrong, _)) if settings.is_empty() => Err(format!("`{name}` has no settings, found `{wrong}`")),
        Some((wrong, _)) => Err(unknown(&format!("setting of `{name}`"), wrong, settings)),
    }
}

fn dense(entries: &mut Entries) -> Result<Layer, String> {
    let names = [
        ("input", Units::Input),
        ("wide", Units::Wide),
        ("narrow", Units::Narrow),
        ("flatten", Units::Flatten),
        ("tied", Units::Tied),
    ];
    Ok(Layer::Dense { units: entries.units("dense", &names)?, bias: entries.flag("bias", true)? })
}

fn convolution(entries: &mut Entries) -> Result<Layer, String> {
    Ok(Layer::Convolution {
        channels: entries.units("conv", &[("input", Units::Input)])?,
        kernel: entries.kernel()?,
        stride: entries.stride("stride", 1)?,
        padding: entries.padding(&ANY_PADDING)?,
        bias: entries.flag("bias", true)?,
    })
}

fn transposed_convolution(entries: &mut Entries) -> Result<Layer, String> {
    let channels = entries.units("transposed_conv", &[("input", Units::Input), ("tied", Units::Tied)])?;
    if channels == Units::Tied {
        entries.refuse_tied_settings()?;
    }
    Ok(Layer::TransposedConvolution {
        channels,
        kernel: entries.kernel()?,
        stride: entries.stride("stride", 2)?,
        padding: entries.padding(&SAME_OR_NONE)?,
        bias: entries.flag("bias", true)?,
    })
}

fn max_pool(entries: &mut Entries) -> Result<Layer, String> {
    Ok(Layer::MaxPool { size: entries.side("max_pool", 2)?, padding: entries.padding(&SAME_OR_NONE)? })
}

fn average_pool(entries: &mut Entries) -> Result<Layer, String> {
    Ok(Layer::AveragePool {
        size: entries.side("average_pool", 2)?,
        padding: entries.padding(&SAME_OR_NONE)?,
    })
}

fn upsample(entries: &mut Entries) -> Result<Layer, String> {
    Ok(Layer::Upsample { factor: entries.stride("upsample", 2)? })
}

fn reshape(entries: &mut Entries) -> Result<Layer, String> {
    let read = |value: &Value| match &value.as_array()?[..] {
        [height, width, channels] => Some([count(height)?, count(width)?, count(channels)?]),
        _ => None,
    };
    Ok(Layer::Reshape { shape: entries.take("reshape", [1; 3], read, "[height, width, channels]")? })
}

fn dropout(entries: &mut Entries) -> Result<Layer, String> {
    let read = |value: &Value| number(value).filter(|share| (0.0..1.0).contains(share));
    Ok(Layer::Dropout { share: entries.take("dropout", 0.0, read, "a share from 0 to below 1")? })
}

fn variational(entries: &mut Entries) -> Result<Layer, String> {
    let weight = |value: &Value| number(value).filter(|&weight| weight >= 0.0);
    let units = entries.take("variational", 1, count, "a number of at least 1")?;
    // `kl` is the name of `beta` in older recipes and in model files.
    if ["kl", "beta"].iter().all(|key| entries.0.iter().any(|(own, _)| own == key)) {
        return Err("kl is the older name of beta: give one of them".to_owned());
    }
    let older = entries.take("kl", 1.0, weight, "a weight of at least 0")?;
    let beta = entries.take("beta", older, weight, "a weight of at least 0")?;
    Ok(Layer::Variational { units, beta })
}

fn gaussian_noise(entries: &mut Entries) -> Result<Layer, String> {
    let deviation = |value: &Value| number(value).filter(|&deviation| deviation >= 0.0);
    let limits = |value: &Value| match &value.as_array()?[..] {
        [low, high] => {
            let (low, high) = (number(low)?, number(high)?);
            (low < high).then_some(Some((low, high)))
        }
        _ => None,
    };
    let deviation = entries.take("gaussian_noise", 0.0, deviation, "a standard deviation of at least 0")?;
    let clip = entries.take("clip", None, limits, "limits such as [0, 1], the lower first")?;
    entries.noise(NoiseKind::Gaussian { deviation, clip })
}

fn masking_noise(entries: &mut Entries) -> Result<Layer, String> {
    let share = entries.probability("masking_noise")?;
    entries.noise(NoiseKind::Masking { share })
}

fn salt_and_pepper(entries: &mut Entries) -> Result<Layer, String> {
    let share = entries.probability("salt_and_pepper")?;
    entries.noise(NoiseKind::SaltAndPepper { share })
}

/// The entries of a layer's table that are still to be read.
struct Entries(Vec<(String, Value)>);

impl Entries {
    /// Removes an entry and converts it; the default where there is none.
    fn take<T>(
        &mut self,
        key: &str,
        default: T,
        read: impl Fn(&Value) -> Option<T>,
        expected: &str,
    ) -> Result<T, String> {
        let Some(at) = self.0.iter().position(|(own, _)| own == key) else { return Ok(default) };
        let (_, value) = self.0.swap_remove(at);
        read(&value).ok_or_else(|| format!("{key}: expected {expected}, found {value}"))
    }

    fn side(&mut self, key: &str, default: usize) -> Result<usize, String> {
        self.take(key, default, side, &format!("a whole number from 1 to {LARGEST_SIDE}"))
    }

    fn stride(&mut self, key: &str, default: usize) -> Result<usize, String> {
        let read = |value: &Value| side(value).filter(|&stride| stride <= LARGEST_STRIDE);
        self.take(key, default, read, &format!("a whole number from 1 to {LARGEST_STRIDE}"))
    }

    fn units(&mut self, key: &str, names: &[(&str, Units)]) -> Result<Units, String> {
        let read = |value: &Value| match value {
            Value::String(name) => names.iter().find(|(own, _)| own == name).map(|(_, units)| *units),
            _ => count(value).map(Units::Count),
        };
        let names: String = names.iter().map(|(name, _)| format!(", or \"{name}\"")).collect();
        self.take(key, Units::Input, read, &format!("a number from 1 to {}{names}", u32::MAX))
    }

    /// Refuses settings that a tied layer shares with the layer that it mirrors.
    fn refuse_tied_settings(&self) -> Result<(), String> {
        match self.0.iter().find(|(key, _)| ["kernel", "stride", "padding"].contains(&key.as_str())) {
            Some((setting, _)) => Err(format!("{setting}: a tied layer has that of the layer it mirrors")),
            None => Ok(()),
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
        self.take("padding", Padding::default(), read, &all.join(" or "))
    }

    fn flag(&mut self, key: &str, default: bool) -> Result<bool, String> {
        self.take(key, default, Value::as_bool, "true or false")
    }

    fn probability(&mut self, key: &str) -> Result<f32, String> {
        let read = |value: &Value| number(value).filter(|share| (0.0..=1.0).contains(share));
        self.take(key, 0.0, read, "a share from 0 to 1")
    }

    fn noise(&mut self, kind: NoiseKind) -> Result<Layer, String> {
        Ok(Layer::Noise(Noise { kind, fresh: self.flag("fresh", true)? }))
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

impl Serialize for Layer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let entries = match Text::of(self) {
            Text::Name(name) => return serializer.serialize_str(name),
            Text::Table(entries) => entries,
        };
        let mut map = serializer.serialize_map(Some(entries.len()))?;
        for (key, value) in entries {
            map.serialize_entry(key, &value)?;
        }
        map.end()
    }
}

/// A layer as it is written.
enum Text {
    Name(&'static str),
    /// The entries of a table; settings that have their default value are left out.
    Table(Vec<(&'static str, Value)>),
}

impl Text {
    fn of(layer: &Layer) -> Self {
        Self::Table(match *layer {
            Layer::Flatten => return Self::Name("flatten"),
            Layer::Unflatten => return Self::Name("unflatten"),
            Layer::BatchNorm => return Self::Name("batch_norm"),
            Layer::Function(function) => return Self::Name(function.name()),
            Layer::Dense { units, bias } => with_bias(vec![("dense", units.into())], bias),
            Layer::Convolution { channels, kernel, stride, padding, bias } => {
                let entries = convolution_entries("conv", channels, kernel, (stride, 1), padding);
                with_bias(entries, bias)
            }
            Layer::TransposedConvolution { channels, kernel, stride, padding, bias } => {
                let entries = convolution_entries("transposed_conv", channels, kernel, (stride, 2), padding);
                with_bias(entries, bias)
            }
            Layer::MaxPool { size, padding } => {
                [("max_pool", size.into())].into_iter().chain(padding.entry()).collect()
            }
            Layer::AveragePool { size, padding } => {
                [("average_pool", size.into())].into_iter().chain(padding.entry()).collect()
            }
            Layer::Upsample { factor } => vec![("upsample", factor.into())],
            Layer::Reshape { shape } => vec![("reshape", shape.to_vec().into())],
            Layer::Dropout { share } => vec![("dropout", shortest(share))],
            Layer::Variational { units, beta } => {
                let mut entries = vec![("variational", units.into())];
                if beta != 1.0 {
                    // The name in model files; recipe files are written with `beta`.
                    entries.push(("kl", shortest(beta)));
                }
                entries
            }
            Layer::Noise(noise) => noise_entries(noise),
        })
    }
}

fn with_bias(mut entries: Vec<(&'static str, Value)>, bias: bool) -> Vec<(&'static str, Value)> {
    if !bias {
        entries.push(("bias", bias.into()));
    }
    entries
}

/// The entries of a convolution. `stride` is the stride, and the default one of this kind of convolution.
fn convolution_entries(
    name: &'static str,
    channels: Units,
    kernel: [usize; 2],
    (stride, default_stride): (usize, usize),
    padding: Padding,
) -> Vec<(&'static str, Value)> {
    let mut entries = vec![(name, channels.into())];
    if kernel[0] != kernel[1] {
        entries.push(("kernel", kernel.to_vec().into()));
    } else if kernel[0] != 3 {
        entries.push(("kernel", kernel[0].into()));
    }
    if stride != default_stride {
        entries.push(("stride", stride.into()));
    }
    entries.extend(padding.entry());
    entries
}

fn noise_entries(Noise { kind, fresh }: Noise) -> Vec<(&'static str, Value)> {
    let mut entries = match kind {
        NoiseKind::Gaussian { deviation, clip: None } => vec![("gaussian_noise", shortest(deviation))],
        NoiseKind::Gaussian { deviation, clip: Some((low, high)) } => {
            let limits = vec![shortest(low), shortest(high)];
            vec![("gaussian_noise", shortest(deviation)), ("clip", limits.into())]
        }
        NoiseKind::Masking { share } => vec![("masking_noise", shortest(share))],
        NoiseKind::SaltAndPepper { share } => vec![("salt_and_pepper", shortest(share))],
    };
    if !fresh {
        entries.push(("fresh", fresh.into()));
    }
    entries
}

/// The shortest decimal number that reads back as the same f32.
fn shortest(value: f32) -> Value {
    value.to_string().parse::<f64>().unwrap_or_else(|_| f64::from(value)).into()
}

impl From<Units> for Value {
    fn from(units: Units) -> Self {
        match units {
            Units::Count(count) => count.into(),
            Units::Input => "input".into(),
            Units::Wide => "wide".into(),
            Units::Narrow => "narrow".into(),
            Units::Flatten => "flatten".into(),
            Units::Tied => "tied".into(),
        }
    }
}

impl Padding {
    /// The entry of a layer's table; `None` for the default.
    fn entry(self) -> Option<(&'static str, Value)> {
        let name = match self {
            Self::Same => return None,
            Self::None => "none",
            Self::Auto => "auto",
        };
        Some(("padding", name.into()))
    }
}
