//! How a network is trained: the optimiser and its settings.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

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
    /// Whether the parameters after the last epoch are kept, or those of the epoch with the least loss on the held-out rows.
    #[serde(skip_serializing_if = "Keep::is_last")]
    pub keep: Keep,
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
            keep: Keep::Last,
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

/// Which parameters training keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// Those after the last epoch.
    #[default]
    Last,
    /// Those of the epoch with the least loss on the held-out rows.
    Best,
}

impl Keep {
    fn is_last(&self) -> bool {
        *self == Self::Last
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
