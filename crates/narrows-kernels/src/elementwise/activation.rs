//! Activation functions and their derivatives: linear, relu, sigmoid and tanh per element, softmax per row.

use crate::simd::{F, Lanes, Level, Simd, dispatch, math};

/// An activation function, applied to each element of a layer's output. Its derivative is a cheap function of its
/// output.
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
    /// All activations.
    pub const ALL: [Self; 4] = [Self::Linear, Self::Relu, Self::Sigmoid, Self::Tanh];

    /// activation(x).
    #[inline(always)]
    pub(crate) fn apply<S: Simd>(self, s: S, x: F<S>) -> F<S> {
        match self {
            Self::Linear => x,
            // The constant first: `max(0, x)` then propagates NaN, by which training detects divergence.
            Self::Relu => s.max(s.constant(0.0), x),
            Self::Sigmoid => math::sigmoid(s, x),
            Self::Tanh => math::tanh(s, x),
        }
    }

    /// What a kernel does with sums in registers: activation(x), or x if the activation takes an exponential whose constants
    /// would take the registers of the sums. [`finish`] follows when the sums are stored.
    #[inline(always)]
    pub(crate) fn apply_in_registers<S: Simd>(self, s: S, x: F<S>) -> F<S> {
        if S::HAS_32_REGISTERS {
            return self.apply(s, x);
        }
        match self {
            Self::Linear | Self::Sigmoid | Self::Tanh => x,
            Self::Relu => Self::Relu.apply(s, x),
        }
    }

    /// `gradient` times the derivative, evaluated from the *output* `y` of the activation.
    #[inline(always)]
    pub(crate) fn backward<S: Simd>(self, s: S, gradient: F<S>, y: F<S>) -> F<S> {
        let one = s.constant(1.0);
        match self {
            Self::Linear => gradient,
            Self::Relu => s.where_positive(y, gradient, s.constant(0.0)),
            Self::Sigmoid => s.mul(gradient, s.mul(y, s.sub(one, y))),
            Self::Tanh => s.mul(gradient, s.sub(one, s.mul(y, y))),
        }
    }
}

/// Applies the activation to each value in place.
pub fn forward(level: Level, values: &mut [f32], activation: Activation) {
    dispatch!(level, s => apply_in_place(s, values, activation));
}

#[inline(always)]
fn apply_in_place<S: Simd>(s: S, values: &mut [f32], activation: Activation) {
    for at in (0..values.len()).step_by(<S as Lanes<f32>>::COUNT) {
        let y = activation.apply(s, s.read(values, at));
        s.write(values, at, y);
    }
}

/// Evaluates an expression with an activation that is a constant in each copy, in a function of its own: the constants of an
/// exponential take registers that a kernel needs for its sums.
macro_rules! outline_exponential {
    ($s:ident, $activation:ident, $constant:ident => $work:expr) => {
        match $activation {
            Activation::Linear | Activation::Relu => unreachable!("no exponential"),
            Activation::Sigmoid => $s.outline(
                #[inline(always)]
                || {
                    const $constant: Activation = Activation::Sigmoid;
                    $work
                },
            ),
            Activation::Tanh => $s.outline(
                #[inline(always)]
                || {
                    const $constant: Activation = Activation::Tanh;
                    $work
                },
            ),
        }
    };
}

/// Applies sigmoid or tanh to the registers of a tile.
#[inline(always)]
pub(crate) fn apply_to_vectors<S: Simd>(s: S, activation: Activation, vectors: &mut [F<S>]) {
    outline_exponential!(s, activation, ACTIVATION => for x in vectors.iter_mut() {
        *x = ACTIVATION.apply(s, *x);
    });
}

/// Applies what [`Activation::apply_in_registers`] leaves out to stored pieces of memory.
///
/// # Safety
/// Each piece, an address and a length, is valid for reads and writes.
#[inline(always)]
pub(crate) unsafe fn finish<S: Simd>(
    s: S,
    activation: Activation,
    pieces: impl Iterator<Item = (*mut f32, usize)>,
) {
    if S::HAS_32_REGISTERS || matches!(activation, Activation::Linear | Activation::Relu) {
        return;
    }
    outline_exponential!(s, activation, ACTIVATION => for (start, len) in pieces {
        // SAFETY: guaranteed by the caller.
        let piece = unsafe { std::slice::from_raw_parts_mut(start, len) };
        apply_in_place(s, piece, ACTIVATION);
    });
}

/// Multiplies each gradient by the derivative of the activation, evaluated from the activation's outputs.
///
/// # Panics
/// If the lengths differ.
pub fn backward(level: Level, gradients: &mut [f32], outputs: &[f32], activation: Activation) {
    assert_eq!(gradients.len(), outputs.len());
    #[inline(always)]
    fn run<S: Simd>(s: S, gradients: &mut [f32], outputs: &[f32], activation: Activation) {
        for at in (0..gradients.len()).step_by(<S as Lanes<f32>>::COUNT) {
            let g = activation.backward(s, s.read(gradients, at), s.read(outputs, at));
            s.write(gradients, at, g);
        }
    }
    dispatch!(level, s => run(s, gradients, outputs, activation));
}

/// Adds the gradient of the L1 penalty `weight` |y| on the activation's outputs y: `weight` sign(y) times the
/// derivative of the activation.
///
/// # Panics
/// If the lengths differ.
pub fn add_l1(level: Level, gradients: &mut [f32], outputs: &[f32], activation: Activation, weight: f32) {
    assert_eq!(gradients.len(), outputs.len());
    #[inline(always)]
    fn run<S: Simd>(s: S, gradients: &mut [f32], outputs: &[f32], activation: Activation, weight: f32) {
        let (up, down, zero) = (s.constant(weight), s.constant(-weight), s.constant(0.0));
        for at in (0..gradients.len()).step_by(<S as Lanes<f32>>::COUNT) {
            let y = s.read(outputs, at);
            let slope = s.where_positive(y, up, s.where_positive(s.negate(y), down, zero));
            let g = s.add(s.read(gradients, at), activation.backward(s, slope, y));
            s.write(gradients, at, g);
        }
    }
    dispatch!(level, s => run(s, gradients, outputs, activation, weight));
}

/// Softmax of each row of `width` values, in place: e^x / sum e^x. The maximum of the row is subtracted first, so that
/// nothing overflows.
///
/// # Panics
/// If `width` is 0 or the values are not whole rows.
pub fn softmax(level: Level, values: &mut [f32], width: usize) {
    assert!(width > 0 && values.len().is_multiple_of(width));
    dispatch!(level, s => {
        for row in values.chunks_exact_mut(width) {
            softmax_row(s, row);
        }
    });
}

/// Softmax of one row in place. Returns the maximum of the row and the sum of e^(x - maximum).
#[inline(always)]
pub(crate) fn softmax_row<S: Simd>(s: S, row: &mut [f32]) -> (f32, f32) {
    let lanes = <S as Lanes<f32>>::COUNT;
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, |a, b| if b > a || b.is_nan() { b } else { a });
    // In a function of its own: the constants of the exponential take the registers of what the caller holds.
    s.outline(
        #[inline(always)]
        || {
            let shift = s.constant(largest);
            for at in (0..row.len()).step_by(lanes) {
                let e = math::exp(s, s.sub(s.read(row, at), shift));
                s.write(row, at, e);
            }
        },
    );
    let mut sum = 0.0;
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

/// The gradient at the input of softmax from the gradient g at its output y, per row, in place: y (g - sum g y).
///
/// # Panics
/// If the lengths differ or are not a multiple of the row length.
pub fn softmax_backward(level: Level, gradients: &mut [f32], outputs: &[f32], width: usize) {
    assert_eq!(gradients.len(), outputs.len());
    assert!(width > 0 && gradients.len().is_multiple_of(width));
    #[inline(always)]
    fn run<S: Simd>(s: S, gradients: &mut [f32], outputs: &[f32], width: usize) {
        for (g, y) in gradients.chunks_exact_mut(width).zip(outputs.chunks_exact(width)) {
            let dot: f32 = g.iter().zip(y).map(|(g, y)| g * y).sum();
            let dot = s.constant(dot);
            for at in (0..width).step_by(<S as Lanes<f32>>::COUNT) {
                let out = s.mul(s.read(y, at), s.sub(s.read(g, at), dot));
                s.write(g, at, out);
            }
        }
    }
    dispatch!(level, s => run(s, gradients, outputs, width));
}
