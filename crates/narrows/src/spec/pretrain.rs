//! Greedy layer-wise pre-training: each layer of the encoder learns to give back what comes into it, before all are trained
//! together.

use serde::{Deserialize, Serialize};

use super::{Layer, Sparsity, Train};
use crate::error::{Error, Result};

/// How each layer is trained alone, from the first to the code. Where a setting is missing, it is that of `train`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pretrain {
    /// Times that all rows are seen by a layer (10): one number for all layers, or a list with one for each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<PerLayer<usize>>,
    /// The step size: one for all layers, or a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<PerLayer<f32>>,
    /// Noise on what comes into a layer, which it learns to take off (Vincent et al. 2010): one for all layers, or a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise: Option<PerLayer<Layer>>,
    /// Whether a layer's decoder shares its weights, transposed (true).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tied: Option<bool>,
    /// What a layer's outputs pay for being active.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sparsity: Option<Sparsity>,
}

/// A setting for all layers, or one for each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected one value, or a list with one for each layer")]
pub enum PerLayer<T> {
    /// The same for all.
    All(T),
    /// From the first layer to the code.
    Each(Vec<T>),
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
        let rate = self.rate.as_ref().and_then(|rate| rate.of(layer)).or(train.rate);
        // Each layer has chance of its own.
        let seed = train.seed.wrapping_add((layer as u64 + 1) << 32);
        Train { epochs, rate, seed, patience: None, min_delta: None, warm_up: None, ..train.clone() }
    }

    /// The noise on what comes into a layer.
    pub(crate) fn noise(&self, layer: usize) -> Option<Layer> {
        self.noise.as_ref()?.of(layer)
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
            self.rate.as_ref().and_then(PerLayer::count),
            self.noise.as_ref().and_then(PerLayer::count),
        ];
        counts.into_iter().flatten()
    }
}
