//! Greedy layer-wise pre-training: each layer of the encoder learns to give back what comes into it, before all are trained
//! together.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, IntoDeserializer, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{Function, Layer, Noise, NoiseKind, Sparsity, Train, unknown};
use crate::error::{Error, Result};

/// How each layer is trained alone, from the first to the code. Where a setting is missing, it is that of `train`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pretrain {
    /// Times that all rows are seen by a layer (10): one number for all layers, or a list with one for each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<PerLayer<usize>>,
    /// The step size: one for all layers, or a list.
    #[serde(rename = "rate", alias = "learning_rate", skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<PerLayer<f32>>,
    /// Noise on what comes into a layer, which it learns to take off (Vincent et al. 2010): one for all layers, or a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise: Option<PerLayer<Layer>>,
    /// Whether a layer's decoder shares its weights, transposed (true).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tied: Option<bool>,
    /// What a layer's outputs pay for being active: `kl` those of layers that end in sigmoid, `l1` those of the others, and of
    /// all where there is no `kl`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sparsity: Option<Sparsity>,
}

/// A setting for all layers, or one for each.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum PerLayer<T> {
    /// The same for all.
    All(T),
    /// From the first layer to the code.
    Each(Vec<T>),
}

/// Read by hand: an untagged enum would forget what was wrong with a value.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for PerLayer<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct PerLayerVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for PerLayerVisitor<T> {
            type Value = PerLayer<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one value, or a list with one for each layer")
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> std::result::Result<Self::Value, E> {
                T::deserialize(value.into_deserializer()).map(PerLayer::All)
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> std::result::Result<Self::Value, E> {
                T::deserialize(value.into_deserializer()).map(PerLayer::All)
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> std::result::Result<Self::Value, E> {
                T::deserialize(value.into_deserializer()).map(PerLayer::All)
            }

            fn visit_str<E: de::Error>(self, value: &str) -> std::result::Result<Self::Value, E> {
                T::deserialize(value.into_deserializer()).map(PerLayer::All)
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> std::result::Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(PerLayer::All)
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, list: A) -> std::result::Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(PerLayer::Each)
            }
        }

        deserializer.deserialize_any(PerLayerVisitor(PhantomData))
    }
}

/// Epochs of a layer where nothing else is said.
const USUAL_EPOCHS: usize = 10;

impl<T: Clone> PerLayer<T> {
    /// That of a layer.
    fn of(&self, layer: usize) -> Option<T> {
        match self {
            Self::All(value) => Some(value.clone()),
            Self::Each(list) => list.get(layer).cloned(),
        }
    }

    fn count(&self) -> Option<usize> {
        match self {
            Self::All(_) => None,
            Self::Each(list) => Some(list.len()),
        }
    }
}

impl Pretrain {
    /// Whether a layer's decoder shares its weights.
    pub fn is_tied(&self) -> bool {
        self.tied.unwrap_or(true)
    }

    /// How layer number `layer` (from 0) is trained, where all together are trained by `train`.
    pub(crate) fn train(&self, train: &Train, layer: usize) -> Train {
        let epochs = self.epochs.as_ref().and_then(|epochs| epochs.of(layer)).unwrap_or(USUAL_EPOCHS);
        let learning_rate =
            self.learning_rate.as_ref().and_then(|rate| rate.of(layer)).or(train.learning_rate);
        // Each layer has chance of its own.
        let seed = train.seed.wrapping_add((layer as u64 + 1) << 32);
        Train { epochs, learning_rate, seed, patience: None, min_delta: None, warm_up: None, ..train.clone() }
    }

    /// Updates that training `layers` layers alone on so many rows takes, where all together are trained by `train`.
    pub(crate) fn steps(&self, train: &Train, layers: usize, rows: usize) -> usize {
        (0..layers)
            .map(|layer| {
                let train = self.train(train, layer);
                train.steps(train.epochs, rows)
            })
            .sum()
    }

    /// The noise on what comes into a layer.
    pub fn noise(&self, layer: usize) -> Option<Layer> {
        self.noise.as_ref()?.of(layer)
    }

    /// What the outputs of a layer that ends in `function` pay.
    pub(crate) fn sparsity(&self, function: Function) -> Option<Sparsity> {
        let Sparsity { l1, kl, target } = self.sparsity?;
        if kl.is_some() && function == Function::Sigmoid {
            return Some(Sparsity { l1: None, kl, target });
        }
        l1.map(|l1| Sparsity { l1: Some(l1), ..Sparsity::default() })
    }

    /// Checks what can be checked before the layers are known.
    pub(super) fn validate(&self, train: &Train) -> Result<()> {
        self.sparsity.map_or(Ok(()), |sparsity| sparsity.validate()).map_err(|error| error.at("pretrain"))?;
        let listed = match &self.noise {
            Some(PerLayer::All(layer)) => std::slice::from_ref(layer),
            Some(PerLayer::Each(list)) => list,
            None => &[],
        };
        if !listed.iter().all(|layer| matches!(layer, Layer::Noise(_))) {
            return Err(Error::recipe("pretrain.noise: expected noise, such as { masking_noise = 0.25 }"));
        }
        let layers = self.counts().max().unwrap_or(1);
        for layer in 0..layers {
            let train = self.train(train, layer);
            if train.epochs == 0 {
                return Err(Error::recipe("pretrain.epochs: must be at least 1"));
            }
            train.validate().map_err(|error| error.at("pretrain"))?;
        }
        Ok(())
    }

    /// Checks what layers pay against the functions that they end in.
    pub(crate) fn check_functions(&self, functions: &[Function]) -> Result<()> {
        match self.sparsity {
            Some(Sparsity { kl: Some(_), .. }) if !functions.contains(&Function::Sigmoid) => {
                Err(Error::recipe("pretrain.sparsity.kl: no layer ends in \"sigmoid\"")
                    .hint("use pretrain.sparsity.l1"))
            }
            _ => Ok(()),
        }
    }

    /// Checks the lists against the number of layers.
    pub(crate) fn check_layers(&self, layers: usize) -> Result<()> {
        match self.counts().find(|&count| count != layers) {
            Some(count) => Err(Error::recipe(format!(
                "pretrain: a list has {count} entries, the encoder has {layers} layers with weights"
            ))),
            None => Ok(()),
        }
    }

    fn counts(&self) -> impl Iterator<Item = usize> {
        let counts = [
            self.epochs.as_ref().and_then(PerLayer::count),
            self.learning_rate.as_ref().and_then(PerLayer::count),
            self.noise.as_ref().and_then(PerLayer::count),
        ];
        counts.into_iter().flatten()
    }
}

/// A short form of how layers are trained alone; several go together, such as `relu,denoising`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PretrainKind {
    /// Hidden layers end in sigmoid.
    Sigmoid,
    /// Hidden layers end in tanh.
    Tanh,
    /// Hidden layers end in relu.
    Relu,
    /// Each layer learns to take masking noise off what comes into it (Vincent et al. 2010).
    Denoising,
    /// The outputs of each layer pay for being active.
    Sparse,
    /// No layer is trained alone.
    None,
}

/// The share of the numbers that denoising layers lose (Vincent et al. 2010 use 0.1 to 0.4).
const MASKED: f32 = 0.25;
/// What sparse layers that end in sigmoid pay.
const SPARSE_KL: f32 = 3e-4;
/// The mean activity that they are drawn to.
const SPARSE_TARGET: f32 = 0.1;
/// What other sparse layers pay.
const SPARSE_L1: f32 = 1e-4;

impl PretrainKind {
    /// All there are.
    pub const ALL: [Self; 6] =
        [Self::Sigmoid, Self::Tanh, Self::Relu, Self::Denoising, Self::Sparse, Self::None];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sigmoid => "sigmoid",
            Self::Tanh => "tanh",
            Self::Relu => "relu",
            Self::Denoising => "denoising",
            Self::Sparse => "sparse",
            Self::None => "none",
        }
    }

    /// Reads names with commas between them: `relu,denoising`.
    pub fn parse_list(text: &str) -> Result<Vec<Self>> {
        let parse = |name: &str| {
            Self::ALL
                .into_iter()
                .find(|kind| kind.name() == name)
                .ok_or_else(|| Error::recipe(unknown("kind", name, &Self::ALL.map(Self::name))))
        };
        text.split(',').map(|name| parse(name.trim())).collect()
    }

    /// The function that hidden layers end in.
    fn function(self) -> Option<Function> {
        match self {
            Self::Sigmoid => Some(Function::Sigmoid),
            Self::Tanh => Some(Function::Tanh),
            Self::Relu => Some(Function::Relu),
            Self::Denoising | Self::Sparse | Self::None => None,
        }
    }

    /// Changes a network as `kinds` say. `decoder` is empty where a network has none.
    ///
    /// A function becomes that of all hidden layers: those that another dense layer follows, on the same side. Noise and
    /// sparsity that `pretrain` has already stay.
    ///
    /// # Errors
    /// Where the kinds contradict one another, or no layer is hidden whose function could change. Then nothing is changed.
    pub fn apply(
        kinds: &[Self],
        encoder: &mut Vec<Layer>,
        decoder: &mut Vec<Layer>,
        pretrain: &mut Option<Pretrain>,
    ) -> Result<()> {
        let mut functions = kinds.iter().filter(|kind| kind.function().is_some());
        let function = functions.next();
        if let (Some(first), Some(second)) = (function, functions.find(|&kind| Some(kind) != function)) {
            return Err(Error::recipe(format!(
                "{} and {}: a layer has one function",
                first.name(),
                second.name()
            )));
        }
        let has = |kind: Self| kinds.contains(&kind);
        if let (true, Some(other)) =
            (has(Self::None), [Self::Denoising, Self::Sparse].into_iter().find(|&kind| has(kind)))
        {
            return Err(Error::recipe(format!("none and {}: no layer is trained alone", other.name())));
        }
        if let Some(kind) = function
            && let Some(function) = kind.function()
            && set_hidden_functions(encoder, function) + set_hidden_functions(decoder, function) == 0
        {
            return Err(Error::recipe(format!("{}: no layer is hidden between two dense ones", kind.name()))
                .hint("give the recipe more `layers`"));
        }
        if has(Self::None) {
            *pretrain = None;
            return Ok(());
        }
        let settings = pretrain.get_or_insert_default();
        if has(Self::Denoising) && settings.noise.is_none() {
            let noise = Noise { kind: NoiseKind::Masking { share: MASKED }, fresh: true };
            settings.noise = Some(PerLayer::All(Layer::Noise(noise)));
        }
        if has(Self::Sparse) && settings.sparsity.is_none() {
            let is_sigmoid = |function: &Function| *function == Function::Sigmoid;
            let ends = layer_functions(encoder);
            let kl = ends.iter().any(is_sigmoid);
            settings.sparsity = Some(Sparsity {
                l1: (!ends.iter().all(is_sigmoid)).then_some(SPARSE_L1),
                kl: kl.then_some(SPARSE_KL),
                target: kl.then_some(SPARSE_TARGET),
            });
        }
        Ok(())
    }
}

/// The functions that the dense layers of a list end in.
pub(crate) fn layer_functions(layers: &[Layer]) -> Vec<Function> {
    let mut ends = Vec::new();
    for layer in layers {
        match (layer, ends.last_mut()) {
            (Layer::Dense { .. }, _) => ends.push(Function::Linear),
            (Layer::Function(function), Some(end)) => *end = *function,
            _ => {}
        }
    }
    ends
}

/// Makes every dense layer that another one follows end in `function`. Answers how many there are.
fn set_hidden_functions(layers: &mut Vec<Layer>, function: Function) -> usize {
    let is_dense = |layer: &Layer| matches!(layer, Layer::Dense { .. });
    let Some(last) = layers.iter().rposition(is_dense) else { return 0 };
    let mut hidden = 0;
    // Behind a hidden layer that has no function yet.
    let mut open = None;
    let mut changed = Vec::with_capacity(layers.len());
    for (place, layer) in layers.drain(..).enumerate() {
        match layer {
            Layer::Function(_) if hidden > 0 && place < last => {
                // In the place of its first; it needs no second one.
                changed.extend(open.take().map(|_| Layer::Function(function)));
            }
            layer => {
                let starts = is_dense(&layer);
                if let Some(behind) = open.take_if(|_| starts) {
                    changed.insert(behind, Layer::Function(function));
                }
                changed.push(layer);
                if starts && place < last {
                    hidden += 1;
                    open = Some(changed.len());
                }
            }
        }
    }
    *layers = changed;
    hidden
}
