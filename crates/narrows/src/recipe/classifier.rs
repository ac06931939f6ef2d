//! Settings of a classifier.

use serde::{Deserialize, Serialize};

use super::{Init, Layer, Pretrain, Scale, Train, Units, Weights, check_normalized};
use crate::error::{Error, Result};

/// Settings of a classifier: an encoder, then a softmax layer with one output for each class of the training rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifierRecipe {
    /// A description in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// Scaling of the columns.
    #[serde(default)]
    pub scale: Scale,
    /// Layers from the input to the features that the softmax layer reads; empty for softmax regression.
    #[serde(deserialize_with = "super::layer_text::layers")]
    pub encoder: Vec<Layer>,
    /// Whether the encoder keeps the parameters of pre-training or of the model that training starts from; then only the
    /// softmax layer is trained.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub frozen: bool,
    /// Number of training rows whose labels are used, chosen in proportion to the classes; `None` for all. Pre-training uses all
    /// rows, without labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labelled: Option<usize>,
    /// Initialisation and regularisation of the weights.
    #[serde(default, skip_serializing_if = "Weights::is_default")]
    pub weights: Weights,
    /// Layer-wise pre-training of the encoder, without labels; `None` for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pretrain: Option<Pretrain>,
    /// Settings of training.
    #[serde(default)]
    pub train: Train,
}

impl ClassifierRecipe {
    /// Checks the settings that can be checked without data.
    ///
    /// # Errors
    /// Where a setting is invalid, or settings contradict each other; the message names the field.
    pub fn validate(&self) -> Result<()> {
        self.train.validate()?;
        if self.train.updates.is_some() {
            return Err(Error::recipe("train.updates: a classifier counts epochs").hint("train.epochs"));
        }
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

    /// Whether the network has batch normalisation in training.
    pub fn is_normalized(&self) -> bool {
        self.encoder.contains(&Layer::BatchNorm)
    }

    /// Number of dense layers of the encoder.
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
