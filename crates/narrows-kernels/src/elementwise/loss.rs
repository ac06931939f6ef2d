//! Loss functions, each fused with its gradient.
//!
//! All work in place on rows of equal length: `outputs` holds the outputs of the last layer and is overwritten with the
//! gradient of `weight` times the loss; `losses` gets the loss of each row, summed over its elements. With `weight` = 1
//! / (rows x width) the gradients are those of the mean over the batch and the elements of a row.

use super::activation::{Activation, softmax_row};
use crate::simd::{F, Lanes, Level, Simd, dispatch, math};

/// Checks the lengths; returns the row length.
fn check(losses: &[f32], outputs: &[f32], targets: &[f32]) -> usize {
    assert_eq!(outputs.len(), targets.len());
    assert!(!losses.is_empty() && outputs.len().is_multiple_of(losses.len()), "one loss per row");
    outputs.len() / losses.len()
}

/// Binary cross-entropy of logits z against targets t in [0, 1]: the sum of max(z, 0) - z t + ln(1 + e^-|z|), a form
/// that neither overflows nor cancels. The gradient with respect to z is `weight` (sigmoid(z) - t).
///
/// # Panics
/// If the lengths do not match.
pub fn bce_logits(level: Level, losses: &mut [f32], outputs: &mut [f32], targets: &[f32], weight: f32) {
    let width = check(losses, outputs, targets);
    #[inline(always)]
    fn row<S: Simd>(s: S, z: &mut [f32], t: &[f32], weight: f32) -> f32 {
        let lanes = <S as Lanes<f32>>::COUNT;
        let (zero, one, weight) = (s.constant(0.0), s.constant(1.0), s.constant(weight));
        let mut sum = zero;
        let mut logarithms = 0.0;
        for start in (0..z.len()).step_by(MAX_FACTORS * lanes) {
            // The sum of ln(1 + u) is the logarithm of a product of factors in (1, 2].
            let mut product = one;
            for at in (start..z.len().min(start + MAX_FACTORS * lanes)).step_by(lanes) {
                let (zs, ts) = (s.read(z, at), s.read(t, at));
                let logistic = math::logistic(s, zs);
                // Lanes past the end of the row read z = 0, so u = 1; zeroed, they contribute a factor of 1.
                let left = z.len() - at;
                let u = if left < lanes { s.first(logistic.u, left) } else { logistic.u };
                product = s.mul_add(product, u, product);
                sum = s.add(sum, s.mul_add(s.negate(zs), ts, s.max(zero, zs)));
                s.write(z, at, s.mul(weight, s.sub(logistic.sigmoid, ts)));
            }
            logarithms += math::sum_of_ln(s, product);
        }
        s.sum(sum) + logarithms
    }
    dispatch!(level, s => {
        for ((loss, z), t) in losses.iter_mut().zip(outputs.chunks_exact_mut(width)).zip(targets.chunks_exact(width)) {
            *loss = row(s, z, t, weight);
        }
    });
}

/// Factors of at most 2 whose product is finite in f32 (below 2^128).
const MAX_FACTORS: usize = 120;

/// Cross-entropy of the softmax of logits z against target probabilities t (one-hot for a class): -sum t ln softmax(z).
/// The gradient with respect to z is `weight` (softmax(z) sum t - t).
///
/// # Panics
/// If the lengths do not match.
pub fn cross_entropy_logits(
    level: Level,
    losses: &mut [f32],
    outputs: &mut [f32],
    targets: &[f32],
    weight: f32,
) {
    let width = check(losses, outputs, targets);
    #[inline(always)]
    fn row<S: Simd>(s: S, z: &mut [f32], t: &[f32], weight: f32) -> f32 {
        let mut cross = 0.0;
        let mut total = 0.0;
        for (&z, &t) in z.iter().zip(t) {
            cross += z * t;
            total += t;
        }
        let (largest, sum) = softmax_row(s, z);
        for at in (0..z.len()).step_by(<S as Lanes<f32>>::COUNT) {
            let g = s.sub(s.mul(s.read(z, at), s.constant(total)), s.read(t, at));
            s.write(z, at, s.mul(s.constant(weight), g));
        }
        total * (largest + sum.ln()) - cross
    }
    dispatch!(level, s => {
        for ((loss, z), t) in losses.iter_mut().zip(outputs.chunks_exact_mut(width)).zip(targets.chunks_exact(width)) {
            *loss = row(s, z, t, weight);
        }
    });
}

/// Squared error of outputs y = activation(z): the sum of (y - t)^2. `outputs` holds y; the gradient is with respect to
/// z: `weight` 2 (y - t) activation'(z).
///
/// # Panics
/// If the lengths do not match.
pub fn squared_error(
    level: Level,
    losses: &mut [f32],
    outputs: &mut [f32],
    targets: &[f32],
    activation: Activation,
    weight: f32,
) {
    elementwise_loss::<Squared>(level, losses, outputs, targets, activation, weight);
}

/// Absolute error of outputs y = activation(z): the sum of |y - t|. As [`squared_error`], with the gradient
/// `weight` sign(y - t) activation'(z), which is 0 for y = t.
///
/// # Panics
/// If the lengths do not match.
pub fn absolute_error(
    level: Level,
    losses: &mut [f32],
    outputs: &mut [f32],
    targets: &[f32],
    activation: Activation,
    weight: f32,
) {
    elementwise_loss::<Absolute>(level, losses, outputs, targets, activation, weight);
}

/// Huber loss (Huber 1964) of outputs y = activation(z), with d = y - t: the sum of d^2 / 2 if |d| <= 1, else |d| -
/// 1/2. As [`squared_error`], with the gradient `weight` min(1, max(-1, d)) activation'(z).
///
/// # Panics
/// If the lengths do not match.
pub fn huber(
    level: Level,
    losses: &mut [f32],
    outputs: &mut [f32],
    targets: &[f32],
    activation: Activation,
    weight: f32,
) {
    elementwise_loss::<Huber>(level, losses, outputs, targets, activation, weight);
}

/// A loss that is a sum over the differences d = y - t.
trait Difference {
    /// The derivative divided by the slope that `add` returns.
    const FACTOR: f32;

    /// The sum plus the loss of `d`, and the slope at `d`.
    fn add<S: Simd>(s: S, sum: F<S>, d: F<S>) -> (F<S>, F<S>);
}

struct Squared;
struct Absolute;
struct Huber;

impl Difference for Squared {
    const FACTOR: f32 = 2.0;

    #[inline(always)]
    fn add<S: Simd>(s: S, sum: F<S>, d: F<S>) -> (F<S>, F<S>) {
        (s.mul_add(d, d, sum), d)
    }
}

impl Difference for Absolute {
    const FACTOR: f32 = 1.0;

    #[inline(always)]
    fn add<S: Simd>(s: S, sum: F<S>, d: F<S>) -> (F<S>, F<S>) {
        let (up, down, zero) = (s.constant(1.0), s.constant(-1.0), s.constant(0.0));
        (s.add(sum, s.abs(d)), s.where_positive(d, up, s.where_positive(s.negate(d), down, zero)))
    }
}

impl Difference for Huber {
    const FACTOR: f32 = 1.0;

    #[inline(always)]
    fn add<S: Simd>(s: S, sum: F<S>, d: F<S>) -> (F<S>, F<S>) {
        // With c = d clamped to -1..=1, logistic cases are c (d - c / 2), and c is the slope.
        let c = s.min(s.constant(1.0), s.max(s.constant(-1.0), d));
        (s.mul_add(c, s.mul_add(s.constant(-0.5), c, d), sum), c)
    }
}

#[inline(always)]
fn elementwise_loss<D: Difference>(
    level: Level,
    losses: &mut [f32],
    outputs: &mut [f32],
    targets: &[f32],
    activation: Activation,
    weight: f32,
) {
    let width = check(losses, outputs, targets);
    #[inline(always)]
    fn row<D: Difference, S: Simd>(
        s: S,
        y: &mut [f32],
        t: &[f32],
        activation: Activation,
        weight: f32,
    ) -> f32 {
        let weight = s.constant(D::FACTOR * weight);
        let mut sum = s.constant(0.0);
        for at in (0..y.len()).step_by(<S as Lanes<f32>>::COUNT) {
            let ys = s.read(y, at);
            let (next, slope) = D::add(s, sum, s.sub(ys, s.read(t, at)));
            sum = next;
            s.write(y, at, activation.backward(s, s.mul(weight, slope), ys));
        }
        s.sum(sum)
    }
    dispatch!(level, s => {
        for ((loss, y), t) in losses.iter_mut().zip(outputs.chunks_exact_mut(width)).zip(targets.chunks_exact(width)) {
            *loss = row::<D, _>(s, y, t, activation, weight);
        }
    });
}
