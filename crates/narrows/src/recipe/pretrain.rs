//! Settings of greedy layer-wise pre-training: each layer of the encoder is trained as an autoencoder of its own input before
//! all layers are trained together (Bengio et al. 2007).

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, IntoDeserializer, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{Function, Layer, Sparsity, Train, unknown};
use crate::error::{Error, Result};

/// Settings of layer-wise pre-training, from the first layer to the code. Settings that are not listed here are those of
/// [`Train`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pretrain {
    /// Epochs of each layer (10).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<PerLayer<usize>>,
    /// Learning rate of each layer (that of [`Train`]).
    #[serde(rename = "rate", alias = "learning_rate", skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<PerLayer<f32>>,
    /// Noise on the input of each layer, which makes it a denoising autoencoder (Vincent et al. 2010). A [`Layer::Noise`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise: Option<PerLayer<Layer>>,
    /// Whether the decoder of a layer has tied weights: those of the layer, transposed (true).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tied: Option<bool>,
    /// Sparsity penalty on the output of each layer: `kl` for layers that end in sigmoid, `l1` for the others; without `kl`,
    /// `l1` for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sparsity: Option<Sparsity>,
}

/// A setting of pre-training: one value for all layers, or a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum PerLayer<T> {
    /// One value for all layers.
    All(T),
    /// One value for each layer, from the first to the code.
    Each(Vec<T>),
}

/// Written by hand: the derived code of an untagged enum discards the error of the inner value.
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

/// Default number of epochs of a layer.
const DEFAULT_EPOCHS: usize = 10;

impl<T: Clone> PerLayer<T> {
    /// The value for a layer (from 0).
    fn of(&self, layer: usize) -> Option<T> {
        match self {
            Self::All(value) => Some(value.clone()),
            Self::Each(list) => list.get(layer).cloned(),
        }
    }

    /// The length of the list.
    fn count(&self) -> Option<usize> {
        match self {
            Self::All(_) => None,
            Self::Each(list) => Some(list.len()),
        }
    }
}

impl Pretrain {
    /// Whether the decoder of a layer has tied weights.
    pub fn is_tied(&self) -> bool {
        self.tied.unwrap_or(true)
    }

    /// The settings of training for layer `layer` (from 0) of a network that is trained with `train`.
    pub(crate) fn train(&self, train: &Train, layer: usize) -> Train {
        let epochs = self.epochs.as_ref().and_then(|epochs| epochs.of(layer)).unwrap_or(DEFAULT_EPOCHS);
        let learning_rate =
            self.learning_rate.as_ref().and_then(|rate| rate.of(layer)).or(train.learning_rate);
        // Each layer has random numbers of its own.
        let seed = train.seed.wrapping_add((layer as u64 + 1) << 32);
        let updates = None;
        Train {
            epochs,
            updates,
            learning_rate,
            seed,
            patience: None,
            min_delta: None,
            warm_up: None,
            ..train.clone()
        }
    }

    /// Optimizer steps of pre-training `layers` layers on `rows` rows.
    pub(crate) fn steps(&self, train: &Train, layers: usize, rows: usize) -> usize {
        (0..layers)
            .map(|layer| {
                let train = self.train(train, layer);
                train.steps(train.epochs, rows)
            })
            .sum()
    }

    /// The noise on the input of a layer (from 0).
    pub fn noise(&self, layer: usize) -> Option<Layer> {
        self.noise.as_ref()?.of(layer)
    }

    /// The sparsity penalty on the output of a layer that ends in `function`.
    pub(crate) fn sparsity(&self, function: Function) -> Option<Sparsity> {
        let Sparsity { l1, kl, target } = self.sparsity?;
        if kl.is_some() && function == Function::Sigmoid {
            return Some(Sparsity { l1: None, kl, target });
        }
        l1.map(|l1| Sparsity { l1: Some(l1), ..Sparsity::default() })
    }

    /// Checks the settings that can be checked before the layers are known.
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

    /// Checks the sparsity penalty against the functions that the layers end in.
    pub(crate) fn check_functions(&self, functions: &[Function]) -> Result<()> {
        match self.sparsity {
            Some(Sparsity { kl: Some(_), .. }) if !functions.contains(&Function::Sigmoid) => {
                Err(Error::recipe("pretrain.sparsity.kl: no layer ends in \"sigmoid\"")
                    .hint("use pretrain.sparsity.l1"))
            }
            _ => Ok(()),
        }
    }

    /// Checks the lengths of the lists against the number of layers.
    pub(crate) fn check_layers(&self, layers: usize) -> Result<()> {
        match self.counts().find(|&count| count != layers) {
            Some(count) => Err(Error::recipe(format!(
                "pretrain: a list has {count} entries, the encoder has {layers} layers with weights"
            ))),
            None => Ok(()),
        }
    }

    /// The lengths of all lists.
    fn counts(&self) -> impl Iterator<Item = usize> {
        let counts = [
            self.epochs.as_ref().and_then(PerLayer::count),
            self.learning_rate.as_ref().and_then(PerLayer::count),
            self.noise.as_ref().and_then(PerLayer::count),
        ];
        counts.into_iter().flatten()
    }
}

/// Short forms of settings of layer-wise pre-training. Several can be combined: `relu,denoising`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PretrainKind {
    /// Hidden layers end in sigmoid.
    Sigmoid,
    /// Hidden layers end in tanh.
    Tanh,
    /// Hidden layers end in relu.
    Relu,
    /// Each layer is a denoising autoencoder with masking noise (Vincent et al. 2010).
    Denoising,
    /// The output of each layer has a sparsity penalty.
    Sparse,
    /// No pre-training.
    None,
}

/// Probability of masking noise for `denoising` (Vincent et al. 2010 use 0.1 to 0.4).
const MASKED: f32 = 0.25;
/// KL penalty for `sparse`, for layers that end in sigmoid.
const SPARSE_KL: f32 = 3e-4;
/// Target of the KL penalty for `sparse`.
const SPARSE_TARGET: f32 = 0.1;
/// L1 penalty for `sparse`, for layers with other functions.
const SPARSE_L1: f32 = 1e-4;

impl PretrainKind {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::Sigmoid, Self::Tanh, Self::Relu, Self::Denoising, Self::Sparse, Self::None];

    /// The name in the list that [`PretrainKind::parse_list`] reads.
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

    /// Reads names separated by commas: `relu,denoising`.
    ///
    /// # Errors
    /// For a name that is unknown.
    pub fn parse_list(text: &str) -> Result<Vec<Self>> {
        let parse = |name: &str| {
            Self::ALL
                .into_iter()
                .find(|kind| kind.name() == name)
                .ok_or_else(|| Error::recipe(unknown("kind", name, &Self::ALL.map(Self::name))))
        };
        text.split(',').map(|name| parse(name.trim())).collect()
    }

    /// The function that hidden layers end in, where the kind sets one.
    fn function(self) -> Option<Function> {
        match self {
            Self::Sigmoid => Some(Function::Sigmoid),
            Self::Tanh => Some(Function::Tanh),
            Self::Relu => Some(Function::Relu),
            Self::Denoising | Self::Sparse | Self::None => None,
        }
    }

    /// Applies kinds to the layers and the pre-training of a network. `decoder` is empty for a network without one.
    ///
    /// A function replaces that of all hidden layers: dense layers that another dense layer follows on the same side. Noise and
    /// sparsity that `pretrain` already has are kept.
    ///
    /// # Errors
    /// Where the kinds contradict each other, or a function is given and no layer is hidden. Then nothing is changed.
    pub fn apply(
        kinds: &[Self],
        encoder: &mut Vec<Layer>,
        decoder: &mut Vec<Layer>,
        pretrain: &mut Option<Pretrain>,
    ) -> Result<()> {
        let with_function = Self::check_together(kinds)?;
        if let Some((kind, function)) = with_function
            && set_hidden_functions(encoder, function) + set_hidden_functions(decoder, function) == 0
        {
            return Err(Error::recipe(format!("{}: no layer is hidden between two dense ones", kind.name()))
                .hint("give the recipe more `layers`"));
        }
        if kinds.contains(&Self::None) {
            *pretrain = None;
            return Ok(());
        }
        let settings = pretrain.get_or_insert_default();
        if kinds.contains(&Self::Denoising) && settings.noise.is_none() {
            settings.noise = Some(PerLayer::All(Layer::masking_noise(MASKED)));
        }
        if kinds.contains(&Self::Sparse) && settings.sparsity.is_none() {
            settings.sparsity = Some(default_sparsity(encoder));
        }
        Ok(())
    }

    /// Refuses kinds that contradict each other. Returns the one that sets a function.
    fn check_together(kinds: &[Self]) -> Result<Option<(Self, Function)>> {
        let mut with_function = kinds.iter().filter_map(|&kind| Some((kind, kind.function()?)));
        let first = with_function.next();
        if let (Some((first, _)), Some((second, _))) =
            (first, with_function.find(|&kind| Some(kind) != first))
        {
            return Err(Error::recipe(format!(
                "{} and {}: a layer has one function",
                first.name(),
                second.name()
            )));
        }
        let other = [Self::Denoising, Self::Sparse].into_iter().find(|kind| kinds.contains(kind));
        match other {
            Some(other) if kinds.contains(&Self::None) => {
                Err(Error::recipe(format!("none and {}: no layer is trained alone", other.name())))
            }
            _ => Ok(first),
        }
    }
}

/// The penalties of `sparse`: KL for layers that end in sigmoid, L1 where there are others.
fn default_sparsity(encoder: &[Layer]) -> Sparsity {
    let is_sigmoid = |function: &Function| *function == Function::Sigmoid;
    let functions = layer_functions(encoder);
    let has_sigmoid = functions.iter().any(is_sigmoid);
    Sparsity {
        l1: (!functions.iter().all(is_sigmoid)).then_some(SPARSE_L1),
        kl: has_sigmoid.then_some(SPARSE_KL),
        target: has_sigmoid.then_some(SPARSE_TARGET),
    }
}

/// The function that each dense layer of a list ends in: the last one before the next dense layer, else linear.
pub(crate) fn layer_functions(layers: &[Layer]) -> Vec<Function> {
    let mut functions = Vec::new();
    for layer in layers {
        if matches!(layer, Layer::Dense { .. }) {
            functions.push(Function::Linear);
        } else if let (Layer::Function(function), Some(last)) = (layer, functions.last_mut()) {
            *last = *function;
        }
    }
    functions
}

/// Makes every hidden dense layer, one that another dense layer follows, end in `function`. Returns the number of hidden layers.
fn set_hidden_functions(layers: &mut Vec<Layer>, function: Function) -> usize {
    let is_dense = |layer: &Layer| matches!(layer, Layer::Dense { .. });
    let Some(last) = layers.iter().rposition(is_dense) else { return 0 };
    let mut hidden = 0;
    // The place directly after a hidden layer whose function is not written yet.
    let mut without_function = None;
    let mut changed = Vec::with_capacity(layers.len());
    for (place, layer) in layers.drain(..).enumerate() {
        match layer {
            Layer::Function(_) if hidden > 0 && place < last => {
                // The new function replaces the first old one; further ones are dropped.
                changed.extend(without_function.take().map(|_| Layer::Function(function)));
            }
            layer => {
                let is_next = is_dense(&layer);
                if let Some(place) = without_function.take_if(|_| is_next) {
                    changed.insert(place, Layer::Function(function));
                }
                changed.push(layer);
                if is_next && place < last {
                    hidden += 1;
                    without_function = Some(changed.len());
                }
            }
        }
    }
    *layers = changed;
    hidden
}
