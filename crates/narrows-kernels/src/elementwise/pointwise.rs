//! Pointwise functions whose derivative needs their input: leaky relu, ELU, GELU, SiLU and softplus. A network runs
//! them as steps of their own, unlike the activations, whose derivative needs the output only.

use crate::simd::{F, Lanes, Level, Simd, dispatch, math};

/// A function applied to each element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pointwise {
    /// x if x > 0, else 0.01 x
    LeakyRelu,
    /// x if x > 0, else e^x - 1 (Clevert et al. 2016, with alpha = 1)
    Elu,
    /// x Phi(x), with Phi the cumulative standard normal distribution (Hendrycks & Gimpel 2016)
    Gelu,
    /// x / (1 + e^-x), also called swish
    Silu,
    /// ln(1 + e^x)
    Softplus,
}

/// Slope of the leaky relu for negative inputs.
const LEAK: f32 = 0.01;

impl Pointwise {
    /// All functions.
    pub const ALL: [Self; 5] = [Self::LeakyRelu, Self::Elu, Self::Gelu, Self::Silu, Self::Softplus];

    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: F<S>) -> F<S> {
        let positive = s.max(s.constant(0.0), x);
        match self {
            Self::LeakyRelu => s.where_positive(x, x, s.mul(s.constant(LEAK), x)),
            Self::Elu => s.where_positive(x, x, math::exp_m1(s, x)),
            Self::Gelu | Self::Silu => {
                let gate = self.gate(s, x);
                s.sub(positive, s.mul(gate.magnitude, gate.tail))
            }
            Self::Softplus => s.add(positive, math::ln_1p(s, math::logistic(s, x).u)),
        }
    }

    /// `gradient` times the derivative at `x`.
    #[inline(always)]
    fn backward<S: Simd>(self, s: S, gradient: F<S>, x: F<S>) -> F<S> {
        let one = s.constant(1.0);
        let derivative = match self {
            Self::LeakyRelu => s.where_positive(x, one, s.constant(LEAK)),
            Self::Elu => s.where_positive(x, one, math::exp(s, x)),
            Self::Gelu | Self::Silu => {
                let gate = self.gate(s, x);
                let negative = s.sub(gate.tail, s.mul(gate.magnitude, gate.density));
                s.where_positive(x, s.sub(one, negative), negative)
            }
            Self::Softplus => math::sigmoid(s, x),
        };
        s.mul(gradient, derivative)
    }

    /// The gate of GELU and SiLU. Both are x P(x) with P the cumulative distribution of a symmetric random variable,
    /// P(-a) = 1 - P(a). So they equal max(0, x) - a P(-a) with a = |x|. The derivative is P(-a) - a P'(a) for x < 0,
    /// and 1 minus that for x > 0. `magnitude` is clamped where the product is negligible, so infinity times 0 never
    /// occurs.
    #[inline(always)]
    fn gate<S: Simd>(self, s: S, x: F<S>) -> Gate<F<S>> {
        // The constant first: `min` then propagates NaN.
        let at_most = |limit: f32| s.min(s.constant(limit), s.abs(x));
        if self == Self::Gelu {
            let magnitude = at_most(12.0);
            let math::Normal { tail, density } = math::normal(s, magnitude);
            Gate { magnitude, tail, density }
        } else {
            let (magnitude, one) = (at_most(80.0), s.constant(1.0));
            let u = math::exp(s, s.negate(magnitude));
            let inverse = s.div(one, s.add(one, u));
            let tail = s.mul(u, inverse);
            Gate { magnitude, tail, density: s.mul(tail, inverse) }
        }
    }
}

/// The gate P by which GELU and SiLU multiply x.
struct Gate<V> {
    /// |x|, clamped.
    magnitude: V,
    /// P(-magnitude)
    tail: V,
    /// P'(magnitude)
    density: V,
}

/// Applies the function to each value in place.
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

/// Multiplies each gradient by the derivative of the function, evaluated from the function's inputs.
///
/// # Panics
/// If the lengths differ.
pub fn backward(level: Level, gradients: &mut [f32], inputs: &[f32], function: Pointwise) {
    assert_eq!(gradients.len(), inputs.len());
    #[inline(always)]
    fn run<S: Simd>(s: S, gradients: &mut [f32], inputs: &[f32], function: Pointwise) {
        for at in (0..gradients.len()).step_by(<S as Lanes<f32>>::COUNT) {
            let g = function.backward(s, s.read(gradients, at), s.read(inputs, at));
            s.write(gradients, at, g);
        }
    }
    dispatch!(level, s => run(s, gradients, inputs, function));
}
