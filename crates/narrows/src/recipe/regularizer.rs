//! Initial weights and regularisation: weight decay, max-norm constraint, sparsity of the code.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Initialisation and regularisation of the weights. Biases start at 0 and are not regularised.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Weights {
    /// Initial weights.
    #[serde(rename = "start", alias = "init", skip_serializing_if = "Init::is_auto")]
    pub init: Init,
    /// Weight decay (L2 penalty): `l2` times the sum of w^2 over all weights is added to the loss. Reported losses do not
    /// include it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub l2: Option<f32>,
    /// Weight elimination (Weigend, Rumelhart and Huberman 1991): `elimination` times the sum of w^2 / (1 + w^2) is added to
    /// the loss. Small weights decay as with `l2`; the penalty of large weights is bounded. Reported losses do not include it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elimination: Option<f32>,
    /// Max-norm constraint (Srebro and Shraibman 2005): after each step, the vector of weights into a unit is scaled down to
    /// this Euclidean norm if it is longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_norm: Option<f32>,
}

/// Distribution of the initial weights. `fan_in` is the number of inputs of a unit, `fan_out` the number of outputs that an
/// input reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Init {
    /// [`Init::He`] for layers followed by relu, leaky relu, elu, gelu, silu or softplus, else [`Init::Glorot`].
    #[default]
    Auto,
    /// Uniform in ±sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010).
    Glorot,
    /// Uniform in ±sqrt(6 / fan_in) (He et al. 2015).
    He,
    /// Uniform in ±sqrt(3 / fan_in) (LeCun et al. 1998).
    Lecun,
    /// A random matrix with orthonormal rows or columns, whichever are fewer (Saxe et al. 2014).
    Orthogonal,
    /// Each unit has 15 inputs, chosen at random, with standard normal weights; its other weights are 0 (Martens 2010).
    Sparse,
    /// The linear network of least squared error, in closed form; for one dense layer on each side of the code, without
    /// activation functions. With biases it is the PCA; without, the leading eigenvectors of X'X (Baldi and Hornik 1989).
    ClosedForm,
    /// The PCA of the same code size, as the network computes it at the start: pairs of units with opposite weights, whose
    /// difference is linear (silu(a) - silu(-a) = a). The weights of the other units are random, and nothing follows from them at
    /// first. For dense layers with relu, leaky relu, gelu, silu, softplus or no function.
    Pca,
}

impl Init {
    fn is_auto(&self) -> bool {
        *self == Self::Auto
    }
}

/// Penalties on the code, so that few of its units are active for each row. Reported losses do not include them.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sparsity {
    /// L1 penalty: `l1` times the sum of |code|, averaged over the rows of a batch (as in Keras 3), is added to the loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub l1: Option<f32>,
    /// KL penalty: `kl` times the sum over units of t ln(t / m) + (1 - t) ln((1 - t) / (1 - m)) is added to the loss, with the
    /// unit's mean m over the rows of a batch and the target t. Needs a code that ends in sigmoid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kl: Option<f32>,
    /// Target t of the KL penalty (0.05).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<f32>,
}

impl Weights {
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
    /// The target of the KL penalty, default filled in.
    pub fn target(&self) -> f32 {
        self.target.unwrap_or(0.05)
    }

    /// The fields of the penalties that are set, for hints.
    pub(crate) fn names(&self) -> &'static str {
        match (self.l1.is_some(), self.kl.is_some()) {
            (true, true) => "sparsity.l1 and sparsity.kl",
            (false, true) => "sparsity.kl",
            (_, false) => "sparsity.l1",
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
