//! What keeps a network from growing wild: where its weights start, what they pay for their size, and what a code pays for
//! being active.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How the weights start, and what they pay. Biases start at 0 and pay nothing.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Weights {
    /// Where they start.
    #[serde(rename = "start", alias = "init", skip_serializing_if = "Init::is_auto")]
    pub init: Init,
    /// Weight decay: `l2` times the sum of w^2 over all weights is added to the loss. The losses that are reported are
    /// without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub l2: Option<f32>,
    /// Weight elimination (Weigend, Rumelhart and Huberman 1991): `elimination` times the sum of w^2 / (1 + w^2) is added
    /// to the loss: small weights pay as with decay, large ones hardly more than middling ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elimination: Option<f32>,
    /// The largest length that the weights into one unit may have (Srebro and Shraibman 2005): after each step longer
    /// ones are shortened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_norm: Option<f32>,
}

/// Where weights start. A unit has `fan_in` inputs, and an input reaches `fan_out` outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Init {
    /// He where a layer ends in relu, leaky relu, elu, gelu, silu or softplus, else Glorot.
    #[default]
    Auto,
    /// Uniform within sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010).
    Glorot,
    /// Uniform within sqrt(6 / fan_in) (He et al. 2015).
    He,
    /// Uniform within sqrt(3 / fan_in) (LeCun et al. 1998).
    Lecun,
    /// Orthonormal rows or columns, whichever are fewer (Saxe et al. 2014).
    Orthogonal,
    /// Each unit is connected to 15 inputs chosen at random, with normal weights; the others are 0 (Martens 2010).
    Sparse,
    /// The best linear network there is, in closed form: for one dense layer on each side of the code, without functions.
    /// With biases it is the PCA; without, the leading eigenvectors of X'X.
    ClosedForm,
}

impl Init {
    fn is_auto(&self) -> bool {
        *self == Self::Auto
    }
}

/// What a code pays for being active, so that few of its units are at a time. The losses that are reported are without it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sparsity {
    /// `l1` times the mean over the rows of a batch of the sum of |code| is added to the loss (divided by the rows of the
    /// batch, as Keras 3 does).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub l1: Option<f32>,
    /// `kl` times the sum over units of t ln(t / m) + (1 - t) ln((1 - t) / (1 - m)) is added to the loss: m is the unit's
    /// mean over the rows of a batch, t the target. Needs a code of sigmoids.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kl: Option<f32>,
    /// The mean activity that a unit is drawn to (0.05).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<f32>,
}

impl Weights {
    /// Whether nothing is said.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn validate(&self) -> Result<()> {
        not_negative("weights.l2", self.l2)?;
        not_negative("weights.elimination", self.elimination)?;
        match self.max_norm {
            Some(norm) if !(norm > 0.0 && norm.is_finite()) => {
                Err(Error::recipe(format!("weights.max_norm: {norm} is not a positive number")))
            }
            _ => Ok(()),
        }
    }
}

impl Sparsity {
    /// The mean activity that a unit is drawn to.
    pub fn target(&self) -> f32 {
        self.target.unwrap_or(0.05)
    }

    /// The settings that can be lowered, for advice.
    pub(crate) fn names(&self) -> &'static str {
        match (self.l1.is_some(), self.kl.is_some()) {
            (true, true) => "sparsity.l1 and sparsity.kl",
            (false, true) => "sparsity.kl",
            _ => "sparsity.l1",
        }
    }

    pub(super) fn validate(&self) -> Result<()> {
        not_negative("sparsity.l1", self.l1)?;
        not_negative("sparsity.kl", self.kl)?;
        if self.l1.is_none() && self.kl.is_none() {
            return Err(Error::recipe("sparsity: nothing is asked for").hint("give l1 or kl"));
        }
        match self.target {
            Some(_) if self.kl.is_none() => {
                Err(Error::recipe("sparsity.target: only kl has a target").hint("give sparsity.kl as well"))
            }
            Some(target) if !(target > 0.0 && target < 1.0) => {
                Err(Error::recipe(format!("sparsity.target: {target} does not lie between 0 and 1")))
            }
            _ => Ok(()),
        }
    }
}

fn not_negative(field: &str, value: Option<f32>) -> Result<()> {
    match value {
        Some(value) if !(value >= 0.0 && value.is_finite()) => {
            Err(Error::recipe(format!("{field}: {value} is not a number of at least 0")))
        }
        _ => Ok(()),
    }
}
