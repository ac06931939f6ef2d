//! Functions of single numbers whose derivative needs their input: steps of their own, unlike what a layer ends with.

use crate::simd::{F, Lanes, Level, Simd, dispatch, math};

/// A function applied to each number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pointwise {
    /// x where it is positive, else 0.01 x
    LeakyRelu,
    /// x where it is positive, else e^x - 1
    Elu,
    /// x Phi(x), where Phi(x) is the probability that a normal number is below x
    Gelu,
    /// x / (1 + e^-x)
    Silu,
    /// ln(1 + e^x)
    Softplus,
}

/// The slope of the leaky relu left of 0.
const LEAK: f32 = 0.01;

impl Pointwise {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::LeakyRelu, Self::Elu, Self::Gelu, Self::Silu, Self::Softplus];

    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: F<S>) -> F<S> {
        let positive = s.max(s.constant(0.0), x);
        match self {
            Self::LeakyRelu => s.where_positive(x, x, s.mul(s.constant(LEAK), x)),
            Self::Elu => s.where_positive(x, x, math::exp_less_one(s, x)),
            Self::Gelu | Self::Silu => {
                let gate = self.gate(s, x);
                s.sub(positive, s.mul(gate.size, gate.tail))
            }
            Self::Softplus => s.add(positive, math::ln_one_plus(s, math::logistic(s, x).u)),
        }
    }

    /// `gradient` times the derivative at `x`.
    #[inline(always)]
    fn back<S: Simd>(self, s: S, gradient: F<S>, x: F<S>) -> F<S> {
        let one = s.constant(1.0);
        let derivative = match self {
            Self::LeakyRelu => s.where_positive(x, one, s.constant(LEAK)),
            Self::Elu => s.where_positive(x, one, math::exp(s, x)),
            Self::Gelu | Self::Silu => {
                let gate = self.gate(s, x);
                let left = s.sub(gate.tail, s.mul(gate.size, gate.density));
                s.where_positive(x, s.sub(one, left), left)
            }
            Self::Softplus => math::sigmoid(s, x),
        };
        s.mul(gradient, derivative)
    }

    /// Gelu and silu are x P(x), where P is the distribution of a symmetric random number: P(-a) = 1 - P(a). So they are
    /// max(0, x) - a P(-a) with a = |x|; left of 0 the derivative is P(-a) - a P'(a), right of it what that lacks of 1.
    /// Far out, a stays where the product is next to nothing: infinity times 0 is never formed.
    #[inline(always)]
    fn gate<S: Simd>(self, s: S, x: F<S>) -> Gate<F<S>> {
        // The constant first: a NaN stays one.
        let at_most = |limit: f32| s.min(s.constant(limit), s.abs(x));
        if self == Self::Gelu {
            let size = at_most(12.0);
            let math::Normal { tail, density } = math::normal(s, size);
            Gate { size, tail, density }
        } else {
            let (size, one) = (at_most(80.0), s.constant(1.0));
            let u = math::exp(s, s.negate(size));
            let inverse = s.div(one, s.add(one, u));
            let tail = s.mul(u, inverse);
            Gate { size, tail, density: s.mul(tail, inverse) }
        }
    }
}

/// What gelu and silu multiply x by, at the distance `size` from 0.
struct Gate<V> {
    /// |x|, as far as it matters.
    size: V,
    /// P(-size)
    tail: V,
    /// P'(size)
    density: V,
}

/// Replaces each number by the function of it.
pub fn forward(level: Level, values: &mut [f32], function: Pointwise) {
    #[inline(always)]
    fn run<S: Simd>(s: S, values: &mut [f32], function: Pointwise) {
        for at in (0..values.len()).step_by(<S as Lanes<f32>>::COUNT) {
            let y = function.apply(s, s.read(values, at));
            s.write(values, at, y);
        }
    }
    dispatch!(level, s => run(s, values, function));
}

/// Multiplies each gradient by the function's derivative, given the function's inputs.
///
/// # Panics
/// Where the lengths differ.
pub fn backward(level: Level, gradients: &mut [f32], inputs: &[f32], function: Pointwise) {
    assert_eq!(gradients.len(), inputs.len());
    #[inline(always)]
    fn run<S: Simd>(s: S, gradients: &mut [f32], inputs: &[f32], function: Pointwise) {
        for at in (0..gradients.len()).step_by(<S as Lanes<f32>>::COUNT) {
            let g = function.back(s, s.read(gradients, at), s.read(inputs, at));
            s.write(gradients, at, g);
        }
    }
    dispatch!(level, s => run(s, gradients, inputs, function));
}
