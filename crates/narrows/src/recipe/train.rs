//! How a network is trained: the optimiser and its settings.

use narrows_kernels::optimizer;
pub use narrows_kernels::optimizer::Optimizer;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How a network is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Train {
    /// The rule that turns gradients into steps.
    pub optimizer: OptimizerName,
    /// Its step size; without it the optimiser's usual one.
    #[serde(rename = "rate", alias = "learning_rate", skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f32>,
    /// Times that all rows are seen.
    pub epochs: usize,
    /// Rows between two steps.
    #[serde(rename = "batch", alias = "batch_size")]
    pub batch_size: usize,
    /// Where all chance comes from: first weights, the order of the rows, what is held out.
    pub seed: u64,
    /// Whether the parameters after the last epoch are kept, or those of the epoch with the least loss on the held-out rows.
    #[serde(skip_serializing_if = "Keep::is_last")]
    pub keep: Keep,
    /// Epochs without a lower loss on the held-out rows after which training stops; the best are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// By how much a loss must be lower to count, for `patience` (0).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_delta: Option<f64>,
    /// How the rate goes on from step to step.
    #[serde(skip_serializing_if = "Schedule::is_constant")]
    pub schedule: Schedule,
    /// The rate at the end, as a share of `rate` (0; 0.01 of an exponential schedule).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub final_rate: Option<f32>,
    /// Epochs in which the rate climbs from 0, before the schedule (0).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<usize>,
    /// The largest length of the gradient of all parameters together: a longer one is shortened (Pascanu et al. 2013).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f32>,
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
            learning_rate: None,
            epochs: 50,
            batch_size: 128,
            seed: 0,
            keep: Keep::Last,
            patience: None,
            min_delta: None,
            schedule: Schedule::Constant,
            final_rate: None,
            warm_up: None,
            clip_norm: None,
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

/// How the rate goes on from step to step, after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// The same all the time.
    #[default]
    Constant,
    /// Down in a straight line.
    Linear,
    /// Down along half a cosine (Loshchilov and Hutter 2017).
    Cosine,
    /// Down by the same factor at each step.
    Exponential,
    /// Up from a 25th over the first three tenths, then down to `final_rate` (1e-4 of the 25th), each along half a cosine
    /// (Smith 2018).
    OneCycle,
}

impl Schedule {
    fn is_constant(&self) -> bool {
        *self == Self::Constant
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

impl Train {
    /// Steps that so many epochs over so many rows take.
    pub(crate) fn steps(&self, epochs: usize, rows: usize) -> usize {
        epochs * rows.div_ceil(self.batch_size)
    }

    /// Whether the parameters of the best epoch are kept, not those of the last.
    pub fn keeps_best(&self) -> bool {
        self.keep == Keep::Best || self.patience.is_some()
    }

    /// The share of the rate at a step (from 1) of `steps` in all, `per_epoch` in each epoch.
    pub(crate) fn rate_share(&self, step: u64, steps: u64, per_epoch: u64) -> f32 {
        let warm_up = (self.warm_up.unwrap_or(0) as u64).saturating_mul(per_epoch).min(steps);
        if step <= warm_up {
            return (step as f64 / warm_up as f64) as f32;
        }
        // From 0 at the first step to 1 at the last.
        let way = (step - warm_up - 1) as f64 / (steps - warm_up).saturating_sub(1).max(1) as f64;
        let way = way.min(1.0);
        let half_cosine = |from: f64, to: f64, way: f64| {
            to + (from - to) * 0.5 * (1.0 + (std::f64::consts::PI * way).cos())
        };
        let last = |usual: f64| self.final_rate.map_or(usual, f64::from);
        let share = match self.schedule {
            Schedule::Constant => 1.0,
            Schedule::Linear => 1.0 + (last(0.0) - 1.0) * way,
            Schedule::Cosine => half_cosine(1.0, last(0.0), way),
            Schedule::Exponential => last(0.01).powf(way),
            Schedule::OneCycle if way < 0.3 => half_cosine(1.0 / 25.0, 1.0, way / 0.3),
            Schedule::OneCycle => half_cosine(1.0, last(1e-4 / 25.0), (way - 0.3) / 0.7),
        };
        share as f32
    }

    /// Checks what has nothing to do with the optimiser, and the optimiser's settings.
    pub(super) fn validate(&self) -> Result<()> {
        let wrong = |field: &str, message: String| Err(Error::recipe(format!("train.{field}: {message}")));
        if self.batch_size == 0 {
            return wrong("batch_size", "must be at least 1".into());
        }
        if self.patience == Some(0) {
            return wrong("patience", "must be at least 1 epoch".into());
        }
        match self.min_delta {
            Some(_) if self.patience.is_none() => {
                return wrong("min_delta", "means nothing without train.patience".into());
            }
            Some(least) if !(least >= 0.0 && least.is_finite()) => {
                return wrong("min_delta", format!("{least} is not a number of at least 0"));
            }
            _ => {}
        }
        let least = if self.schedule == Schedule::Exponential { f32::MIN_POSITIVE } else { 0.0 };
        match self.final_rate {
            Some(_) if self.schedule == Schedule::Constant => {
                return wrong("final_rate", "a constant schedule has none".into());
            }
            Some(share) if !(least..=1.0).contains(&share) => {
                let range = if least > 0.0 { "above 0 and at most 1" } else { "from 0 to 1" };
                return wrong("final_rate", format!("{share} is not a share {range} of the rate"));
            }
            _ => {}
        }
        if self.warm_up.is_some_and(|epochs| epochs > 0 && epochs >= self.epochs) {
            return wrong("warm_up", "must be fewer epochs than train.epochs".into());
        }
        match self.clip_norm {
            Some(norm) if !(norm > 0.0 && norm.is_finite()) => {
                return wrong("clip_norm", format!("{norm} is not a positive number"));
            }
            _ => {}
        }
        self.optimizer().map(|_| ())
    }

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
        let rate = positive("learning_rate", self.learning_rate.unwrap_or(usual_rate))?;
        let epsilon = positive("epsilon", self.epsilon.unwrap_or(1e-7))?;
        Ok(match self.optimizer {
            Adadelta => Optimizer::Adadelta(optimizer::Adadelta {
                rate,
                rho: share("rho", self.rho.unwrap_or(0.95))?,
                epsilon,
            }),
            Sgd => Optimizer::Sgd(optimizer::Sgd {
                rate,
                momentum: share("momentum", self.momentum.unwrap_or(0.0))?,
                nesterov: self.nesterov.unwrap_or(false),
            }),
            Rmsprop => Optimizer::RmsProp(optimizer::RmsProp {
                rate,
                rho: share("rho", self.rho.unwrap_or(0.9))?,
                epsilon,
            }),
            Adam | Adamw => {
                let usual = if self.optimizer == Adamw { 0.01 } else { 0.0 };
                Optimizer::Adam(optimizer::Adam {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_begin_and_end_where_they_should() {
        let shares = |schedule, final_rate, warm_up| {
            let train = Train { schedule, final_rate, warm_up, ..Train::default() };
            (1..=100).map(|step| train.rate_share(step, 100, 10)).collect::<Vec<f32>>()
        };
        let falls = |shares: &[f32]| shares.windows(2).all(|pair| pair[1] <= pair[0]);
        let near = |a: f32, b: f32| (a - b).abs() < 1e-6;
        assert!(shares(Schedule::Constant, None, None).iter().all(|&share| share == 1.0));
        for schedule in [Schedule::Linear, Schedule::Cosine, Schedule::Exponential] {
            let found = shares(schedule, Some(0.1), None);
            assert!(falls(&found) && found[0] == 1.0 && near(found[99], 0.1), "{schedule:?}");
            // Half way: the arithmetic mean of the ends, or the geometric one.
            let half = if schedule == Schedule::Exponential { 0.1f32.sqrt() } else { 0.55 };
            assert!((0.5 * (found[49] + found[50]) - half).abs() < 0.01, "{schedule:?} {}", found[50]);
        }
        let warm = shares(Schedule::Linear, None, Some(2));
        assert!(near(warm[0], 0.05) && near(warm[19], 1.0) && near(warm[20], 1.0) && warm[99] == 0.0);
        let cycle = shares(Schedule::OneCycle, None, None);
        assert!(near(cycle[0], 0.04) && cycle[29..32].iter().any(|&share| share > 0.99) && cycle[99] < 1e-5);
    }
}
