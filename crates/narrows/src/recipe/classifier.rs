//! A network that tells classes: layers from the rows to features, then one softmax layer.

use serde::{Deserialize, Serialize};

use super::{Init, Layer, Pretrain, Scale, Train, Units, Weights, check_normalized};
use crate::error::{Error, Result};

/// Settings of a classifier. It has as many outputs as the training rows have classes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifierRecipe {
    /// One line for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// How numbers are scaled before the network sees them.
    #[serde(default)]
    pub scale: Scale,
    /// Layers from the input to the features that the softmax layer tells classes by; none for softmax regression.
    pub encoder: Vec<Layer>,
    /// Whether only the softmax layer learns, and the encoder stays as pre-training or another model left it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub frozen: bool,
    /// So many of the rows are learned from with their labels, of each class its share; without it all. Pre-training sees
    /// all rows, and no labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labelled: Option<usize>,
    /// How the weights start, and what they pay for their size.
    #[serde(default, skip_serializing_if = "Weights::is_default")]
    pub weights: Weights,
    /// How each layer of the encoder is trained alone, as an autoencoder, before all are trained on labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pretrain: Option<Pretrain>,
    /// How it is trained.
    #[serde(default)]
    pub train: Train,
}

impl ClassifierRecipe {
    /// Checks what can be checked without data.
    pub fn validate(&self) -> Result<()> {
        self.train.validate()?;
        if self.train.epochs == 0 {
            return Err(Error::recipe("train.epochs: must be at least 1"));
        }
        self.weights.validate()?;
        if self.weights.init == Init::ClosedForm {
            return Err(Error::recipe("weights.init: closed_form is for linear autoencoders")
                .hint("weights.init = \"auto\""));
        }
        if self.labelled == Some(0) {
            return Err(Error::recipe("labelled: there must be at least one labelled row"));
        }
        if let Some(pretrain) = &self.pretrain {
            pretrain.validate(&self.train)?;
        }
        if self.is_normalized() {
            check_normalized(self.pretrain.as_ref(), &self.weights, &self.train)?;
        }
        for (index, layer) in self.encoder.iter().enumerate() {
            if matches!(layer, Layer::Variational { .. }) || layer.units() == Some(Units::Tied) {
                return Err(Error::recipe(format!("encoder[{index}]: a classifier has no such layer")));
            }
        }
        Ok(())
    }

    /// Whether batches are normalised in training.
    pub fn is_normalized(&self) -> bool {
        self.encoder.contains(&Layer::BatchNorm)
    }

    /// Dense layers of the encoder.
    pub(crate) fn dense_layers(&self) -> usize {
        self.encoder.iter().filter(|layer| matches!(layer, Layer::Dense { .. })).count()
    }

    /// The random-initialisation baseline: the same network without pre-training, with as many optimizer steps, rounded up to
    /// whole epochs. `pretraining_steps` are added to the steps on labels, `steps_per_epoch` in an epoch. None without
    /// pre-training, and for a frozen encoder, which never learns from a random initialisation.
    pub(crate) fn random_baseline(&self, pretraining_steps: usize, steps_per_epoch: usize) -> Option<Self> {
        if self.pretrain.is_none() || self.frozen {
            return None;
        }
        let epochs = self.train.epochs + pretraining_steps.div_ceil(steps_per_epoch);
        let train = Train { epochs, ..self.train.clone() };
        Some(Self { pretrain: None, train, ..self.clone() })
    }
}
