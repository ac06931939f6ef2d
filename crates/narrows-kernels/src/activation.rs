//! The functions a layer ends with, and their derivatives.

use crate::simd::{F, Lanes, Level, Simd, dispatch, math};

/// A function applied to each number of a layer's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Activation {
    /// x
    Linear,
    /// max(0, x)
    Relu,
    /// 1 / (1 + e^-x)
    Sigmoid,
    /// tanh x
    Tanh,
}

impl Activation {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Linear, Self::Relu, Self::Sigmoid, Self::Tanh];

    #[inline(always)]
    pub(crate) fn apply<S: Simd>(self, s: S, x: F<S>) -> F<S> {
        match self {
            Self::Linear => x,
            // The constant first: of a NaN, `max(0, x)` keeps the NaN, and training sees that it diverged.
            Self::Relu => s.max(s.constant(0.0), x),
            Self::Sigmoid => math::sigmoid(s, x),
            Self::Tanh => math::tanh(s, x),
        }
    }

    /// `gradient` times the derivative at the point whose *output* is `y`: all four derivatives are functions of it.
    #[inline(always)]
    pub(crate) fn back<S: Simd>(self, s: S, gradient: F<S>, y: F<S>) -> F<S> {
        let one = s.constant(1.0);
        match self {
            Self::Linear => gradient,
            Self::Relu => s.where_positive(y, gradient, s.constant(0.0)),
            Self::Sigmoid => s.mul(gradient, s.mul(y, s.sub(one, y))),
            Self::Tanh => s.mul(gradient, s.sub(one, s.mul(y, y))),
        }
    }
}

/// Replaces each number by the activation of it.
pub fn forward(level: Level, values: &mut [f32], activation: Activation) {
    #[inline(always)]
    fn run<S: Simd>(s: S, values: &mut [f32], activation: Activation) {
        for at in (0..values.len()).step_by(<S as Lanes<f32>>::COUNT) {
            let y = activation.apply(s, s.read(values, at));
            s.write(values, at, y);
        }
    }
    dispatch!(level, s => run(s, values, activation));
}

/// Multiplies each gradient by the activation's derivative, given the activation's outputs.
///
/// # Panics
/// Where the lengths differ.
pub fn backward(level: Level, gradients: &mut [f32], outputs: &[f32], activation: Activation) {
    assert_eq!(gradients.len(), outputs.len());
    #[inline(always)]
    fn run<S: Simd>(s: S, gradients: &mut [f32], outputs: &[f32], activation: Activation) {
        for at in (0..gradients.len()).step_by(<S as Lanes<f32>>::COUNT) {
            let g = activation.back(s, s.read(gradients, at), s.read(outputs, at));
            s.write(gradients, at, g);
        }
    }
    dispatch!(level, s => run(s, gradients, outputs, activation));
}

/// Adds to each gradient that of `weight` |y|, where y is the activation's output: `weight` sign(y) times its derivative.
///
/// # Panics
/// Where the lengths differ.
pub fn add_absolute(
    level: Level,
    gradients: &mut [f32],
    outputs: &[f32],
    activation: Activation,
    weight: f32,
) {
    assert_eq!(gradients.len(), outputs.len());
    #[inline(always)]
    fn run<S: Simd>(s: S, gradients: &mut [f32], outputs: &[f32], activation: Activation, weight: f32) {
        let (up, down, zero) = (s.constant(weight), s.constant(-weight), s.constant(0.0));
        for at in (0..gradients.len()).step_by(<S as Lanes<f32>>::COUNT) {
            let y = s.read(outputs, at);
            let slope = s.where_positive(y, up, s.where_positive(s.negate(y), down, zero));
            let g = s.add(s.read(gradients, at), activation.back(s, slope, y));
            s.write(gradients, at, g);
        }
    }
    dispatch!(level, s => run(s, gradients, outputs, activation, weight));
}

/// Softmax of each row of `width` numbers, in place: e^x / sum e^x, the row's largest number taken away first.
///
/// # Panics
/// Where the values are not whole rows.
pub fn softmax(level: Level, values: &mut [f32], width: usize) {
    assert!(width > 0 && values.len().is_multiple_of(width));
    dispatch!(level, s => {
        for row in values.chunks_exact_mut(width) {
            softmax_row(s, row);
        }
    });
}

/// Softmax of one row in place; returns its largest number and the sum of e^(x - largest).
#[inline(always)]
pub(crate) fn softmax_row<S: Simd>(s: S, row: &mut [f32]) -> (f32, f32) {
    let lanes = <S as Lanes<f32>>::COUNT;
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, |a, b| if b > a || b.is_nan() { b } else { a });
    let shift = s.constant(largest);
    let mut sum = 0.0;
    for at in (0..row.len()).step_by(lanes) {
        let e = math::exp(s, s.sub(s.read(row, at), shift));
        s.write(row, at, e);
    }
    for &e in row.iter() {
        sum += e;
    }
    let inverse = s.constant(1.0 / sum);
    for at in (0..row.len()).step_by(lanes) {
        let y = s.mul(s.read(row, at), inverse);
        s.write(row, at, y);
    }
    (largest, sum)
}

/// The gradient at softmax's input from the one at its output, row by row: y (g - sum g y).
///
/// # Panics
/// Where the lengths differ or are not whole rows.
pub fn softmax_backward(level: Level, gradients: &mut [f32], outputs: &[f32], width: usize) {
    assert_eq!(gradients.len(), outputs.len());
    assert!(width > 0 && gradients.len().is_multiple_of(width));
    #[inline(always)]
    fn run<S: Simd>(s: S, gradients: &mut [f32], outputs: &[f32], width: usize) {
        for (g, y) in gradients.chunks_exact_mut(width).zip(outputs.chunks_exact(width)) {
            let mean: f32 = g.iter().zip(y).map(|(g, y)| g * y).sum();
            let mean = s.constant(mean);
            for at in (0..width).step_by(<S as Lanes<f32>>::COUNT) {
                let out = s.mul(s.read(y, at), s.sub(s.read(g, at), mean));
                s.write(g, at, out);
            }
        }
    }
    dispatch!(level, s => run(s, gradients, outputs, width));
}
