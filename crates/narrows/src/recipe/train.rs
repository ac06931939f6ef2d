//! Settings of training: the optimizer, the learning-rate schedule, early stopping.

use narrows_kernels::Level;
use narrows_kernels::gemm::Arithmetic;
use narrows_kernels::optimizer;
pub(crate) use narrows_kernels::optimizer::Optimizer;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Settings of training. Where an optional field is `None`, the value in parentheses is used.
///
/// ```
/// use narrows::Train;
///
/// let train = Train { epochs: 20, batch_size: 64, learning_rate: Some(0.01), ..Train::default() };
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Train {
    /// The optimizer.
    pub optimizer: OptimizerName,
    /// Learning rate (the default of the optimizer: see [`OptimizerName`]).
    #[serde(rename = "rate", alias = "learning_rate", skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f32>,
    /// Number of passes over the training rows.
    pub epochs: usize,
    /// Optimizer steps instead of epochs, rounded up to whole epochs; `epochs` has no meaning beside them. With more than 200
    /// epochs, the held-out rows are evaluated about a hundred times in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updates: Option<usize>,
    /// Batch size: rows of an optimizer step. The last batch of an epoch may be smaller.
    #[serde(rename = "batch", alias = "batch_size")]
    pub batch_size: usize,
    /// Random seed: initial weights, shuffling, noise, hold-out split.
    pub seed: u64,
    /// The epoch whose parameters are kept.
    #[serde(skip_serializing_if = "Keep::is_last")]
    pub keep: Keep,
    /// Early stopping: training ends after this many evaluations (epochs; fewer with `updates`) without a lower held-out loss, and the best parameters are kept.
    /// Without it, all epochs are run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// Smallest decrease of the held-out loss that counts as an improvement for `patience` (0).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_delta: Option<f64>,
    /// Learning-rate schedule.
    #[serde(skip_serializing_if = "Schedule::is_constant")]
    pub schedule: Schedule,
    /// Learning rate of the last step, as a fraction of `learning_rate` (0; 0.01 for an exponential schedule, 4e-6 for
    /// `one_cycle`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub final_rate: Option<f32>,
    /// Epochs of linear warm-up, from 0 to `learning_rate`, before the schedule (0).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<usize>,
    /// Gradient clipping: a gradient with a larger Euclidean norm, over all parameters, is scaled down to this norm (Pascanu
    /// et al. 2013). Without it, gradients are not clipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f32>,
    /// adadelta, rmsprop: decay rate of the running means (0.95; 0.9).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rho: Option<f32>,
    /// adadelta, rmsprop, adam, adamw: constant added to a square root for stability (1e-7).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f32>,
    /// sgd: momentum (0).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f32>,
    /// sgd: Nesterov momentum (false).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nesterov: Option<bool>,
    /// adam, adamw: decay rate of the first moment of the gradient (0.9).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta1: Option<f32>,
    /// adam, adamw: decay rate of the second moment of the gradient (0.999).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta2: Option<f32>,
    /// adamw: decoupled weight decay: each step multiplies the weights by 1 - learning rate x `weight_decay` (0.01). Biases
    /// are not decayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f32>,
    /// The precision of the operands of dense layers' products in training.
    #[serde(skip_serializing_if = "Precision::is_single")]
    pub precision: Precision,
    /// Seconds between two checkpoints, which are written after an epoch; 0 for a checkpoint after each epoch. It changes
    /// nothing in the model, which does not keep it.
    #[serde(skip_serializing_if = "is_usual_period")]
    pub checkpoint: f64,
}

/// The usual number of seconds between two checkpoints.
pub(crate) const CHECKPOINT_PERIOD: f64 = 10.0;

/// With `updates`, the largest number of epochs that are reported one by one.
const MOST_REPORTED: usize = 200;

fn is_usual_period(seconds: &f64) -> bool {
    *seconds == CHECKPOINT_PERIOD
}

/// Adam with batches of 128 rows, for 50 epochs.
impl Default for Train {
    fn default() -> Self {
        Self {
            optimizer: OptimizerName::default(),
            learning_rate: None,
            epochs: 50,
            updates: None,
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
            precision: Precision::F32,
            checkpoint: CHECKPOINT_PERIOD,
        }
    }
}

/// The precision of the operands of dense layers' products in training. Sums, everything else of training, the parameters of the
/// model and all that a model computes are in single precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// Operands rounded to bfloat16: 8 significant bits. Several times as fast on processors with a matrix unit (AMX), faster where
    /// there are dot products (AVX-512 BF16), emulated elsewhere.
    Bf16,
}

impl Precision {
    fn is_single(&self) -> bool {
        *self == Self::F32
    }

    /// The arithmetic of products at a level, with the fastest unit of this processor.
    pub(crate) fn arithmetic(self, level: Level) -> Arithmetic {
        match self {
            Self::F32 => Arithmetic::single(level),
            Self::Bf16 => Arithmetic::bf16(level),
        }
    }
}

/// The epoch whose parameters are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// The last epoch.
    #[default]
    Last,
    /// The epoch of the lowest held-out loss.
    Best,
}

impl Keep {
    fn is_last(&self) -> bool {
        *self == Self::Last
    }
}

/// Learning-rate schedule after the warm-up, from step to step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Schedule {
    /// Constant learning rate.
    #[default]
    Constant,
    /// Linear decay.
    Linear,
    /// Cosine decay (Loshchilov and Hutter 2017).
    Cosine,
    /// Exponential decay: the same factor at each step.
    Exponential,
    /// One cycle (Smith 2018): from 1/25 up to the learning rate over the first 30 % of the steps, then down to `final_rate`
    /// (1e-4 of 1/25), both along half a cosine.
    OneCycle,
}

impl Schedule {
    fn is_constant(&self) -> bool {
        *self == Self::Constant
    }
}

/// The optimizers, each with its default learning rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OptimizerName {
    /// Adadelta (Zeiler 2012); learning rate 1.
    Adadelta,
    /// Stochastic gradient descent, optionally with momentum; learning rate 0.01.
    Sgd,
    /// RMSprop (Tieleman and Hinton 2012); learning rate 0.001.
    Rmsprop,
    /// Adam (Kingma and Ba 2015); learning rate 0.001.
    #[default]
    Adam,
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2019); learning rate 0.001.
    Adamw,
}

impl OptimizerName {
    /// The name in a recipe.
    pub fn name(self) -> &'static str {
        match self {
            Self::Adadelta => "adadelta",
            Self::Sgd => "sgd",
            Self::Rmsprop => "rmsprop",
            Self::Adam => "adam",
            Self::Adamw => "adamw",
        }
    }

    fn default_learning_rate(self) -> f32 {
        match self {
            Self::Adadelta => 1.0,
            Self::Sgd => 0.01,
            Self::Rmsprop | Self::Adam | Self::Adamw => 0.001,
        }
    }
}

impl Train {
    /// Optimizer steps of `epochs` epochs over `rows` rows.
    pub(crate) fn steps(&self, epochs: usize, rows: usize) -> usize {
        epochs * rows.div_ceil(self.batch_size)
    }

    /// The number of epochs over `rows` rows.
    pub(crate) fn epochs_of(&self, rows: usize) -> usize {
        match self.updates {
            Some(updates) => updates.div_ceil(rows.div_ceil(self.batch_size).max(1)),
            None => self.epochs,
        }
    }

    /// Epochs from one evaluation of the held-out rows to the next. Epochs of a few steps are too short to be reported one by one.
    pub(crate) fn period(&self, rows: usize) -> usize {
        let epochs = self.epochs_of(rows);
        if self.updates.is_some() && epochs > MOST_REPORTED { epochs.div_ceil(MOST_REPORTED / 2) } else { 1 }
    }

    /// Whether the parameters of the best epoch are kept instead of those of the last.
    pub fn keeps_best(&self) -> bool {
        self.keep == Keep::Best || self.patience.is_some()
    }

    /// The learning rate of a step (from 1) of `steps` steps, `per_epoch` in each epoch, as a fraction of `learning_rate`.
    pub(crate) fn rate_share(&self, step: u64, steps: u64, per_epoch: u64) -> f32 {
        let warm_up = (self.warm_up.unwrap_or(0) as u64).saturating_mul(per_epoch).min(steps);
        if step <= warm_up {
            return (step as f64 / warm_up as f64) as f32;
        }
        // 0 at the first step of the schedule, 1 at the last.
        let position = (step - warm_up - 1) as f64 / (steps - warm_up).saturating_sub(1).max(1) as f64;
        let position = position.min(1.0);
        let half_cosine = |from: f64, to: f64, position: f64| {
            to + (from - to) * 0.5 * (1.0 + (std::f64::consts::PI * position).cos())
        };
        let last = |default: f64| self.final_rate.map_or(default, f64::from);
        let fraction = match self.schedule {
            Schedule::Constant => 1.0,
            Schedule::Linear => 1.0 + (last(0.0) - 1.0) * position,
            Schedule::Cosine => half_cosine(1.0, last(0.0), position),
            Schedule::Exponential => last(0.01).powf(position),
            Schedule::OneCycle if position < 0.3 => half_cosine(1.0 / 25.0, 1.0, position / 0.3),
            Schedule::OneCycle => half_cosine(1.0, last(1e-4 / 25.0), (position - 0.3) / 0.7),
        };
        fraction as f32
    }

    /// Checks all settings, alone and together.
    pub(super) fn validate(&self) -> Result<()> {
        if self.batch_size == 0 {
            return wrong("batch_size", "must be at least 1");
        }
        if self.updates == Some(0) {
            return wrong("updates", "must be at least 1");
        }
        if !(self.checkpoint >= 0.0 && self.checkpoint.is_finite()) {
            return wrong("checkpoint", "must be a number of seconds, 0 or more");
        }
        self.check_early_stopping()?;
        self.check_schedule()?;
        match self.clip_norm {
            Some(norm) if !(norm > 0.0 && norm.is_finite()) => {
                return wrong("clip_norm", format_args!("{norm} is not a positive number"));
            }
            _ => {}
        }
        self.optimizer().map(|_| ())
    }

    fn check_early_stopping(&self) -> Result<()> {
        if self.patience == Some(0) {
            return wrong("patience", "must be at least 1 epoch");
        }
        match self.min_delta {
            Some(_) if self.patience.is_none() => wrong("min_delta", "means nothing without train.patience"),
            Some(least) if !(least >= 0.0 && least.is_finite()) => {
                wrong("min_delta", format_args!("{least} is not a number of at least 0"))
            }
            _ => Ok(()),
        }
    }

    fn check_schedule(&self) -> Result<()> {
        // An exponential decay cannot reach 0.
        let least = if self.schedule == Schedule::Exponential { f32::MIN_POSITIVE } else { 0.0 };
        match self.final_rate {
            Some(_) if self.schedule == Schedule::Constant => {
                return wrong("final_rate", "a constant schedule has none");
            }
            Some(fraction) if !(least..=1.0).contains(&fraction) => {
                let range = if least > 0.0 { "above 0 and at most 1" } else { "from 0 to 1" };
                return wrong("final_rate", format_args!("{fraction} is not a share {range} of the rate"));
            }
            _ => {}
        }
        if self.updates.is_none() && self.warm_up.is_some_and(|epochs| epochs > 0 && epochs >= self.epochs) {
            return wrong("warm_up", "must be fewer epochs than train.epochs");
        }
        Ok(())
    }

    /// The optimizer with its settings, defaults filled in.
    ///
    /// # Errors
    /// Where a setting is given that the optimizer does not have, or a value is outside its range.
    pub(crate) fn optimizer(&self) -> Result<Optimizer> {
        self.check_optimizer_settings()?;
        let rate = self.learning_rate.unwrap_or_else(|| self.optimizer.default_learning_rate());
        let rate = positive("learning_rate", rate)?;
        let epsilon = positive("epsilon", self.epsilon.unwrap_or(1e-7))?;
        Ok(match self.optimizer {
            OptimizerName::Adadelta => {
                let rho = decay_rate("rho", self.rho, 0.95)?;
                Optimizer::Adadelta(optimizer::Adadelta { rate, rho, epsilon })
            }
            OptimizerName::Sgd => {
                let momentum = decay_rate("momentum", self.momentum, 0.0)?;
                Optimizer::Sgd(optimizer::Sgd { rate, momentum, nesterov: self.nesterov.unwrap_or(false) })
            }
            OptimizerName::Rmsprop => {
                let rho = decay_rate("rho", self.rho, 0.9)?;
                Optimizer::RmsProp(optimizer::RmsProp { rate, rho, epsilon })
            }
            OptimizerName::Adam => Optimizer::Adam(self.adam(rate, epsilon, 0.0)?),
            OptimizerName::Adamw => Optimizer::Adam(self.adam(rate, epsilon, 0.01)?),
        })
    }

    fn adam(&self, rate: f32, epsilon: f32, default_decay: f32) -> Result<optimizer::Adam> {
        Ok(optimizer::Adam {
            rate,
            beta1: decay_rate("beta1", self.beta1, 0.9)?,
            beta2: decay_rate("beta2", self.beta2, 0.999)?,
            epsilon,
            weight_decay: decay_rate("weight_decay", self.weight_decay, default_decay)?,
            step: 1,
        })
    }

    /// Refuses settings of other optimizers.
    fn check_optimizer_settings(&self) -> Result<()> {
        use OptimizerName::*;
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
                let name = self.optimizer.name();
                return wrong(field, format_args!("the optimizer {name} has no such setting"));
            }
        }
        Ok(())
    }
}

fn wrong<T>(field: &str, message: impl std::fmt::Display) -> Result<T> {
    Err(Error::recipe(format!("train.{field}: {message}")))
}

fn positive(field: &str, value: f32) -> Result<f32> {
    if value > 0.0 && value.is_finite() {
        Ok(value)
    } else {
        wrong(field, format_args!("{value} is not a positive number"))
    }
}

/// A setting in [0, 1), or its default.
fn decay_rate(field: &str, value: Option<f32>, default: f32) -> Result<f32> {
    let value = value.unwrap_or(default);
    if (0.0..1.0).contains(&value) {
        Ok(value)
    } else {
        wrong(field, format_args!("{value} is not at least 0 and below 1"))
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
