//! How far an output is from its target, each loss fused with its gradient.
//!
//! All work in place on rows: `outputs` holds what the last layer computed and leaves holding the gradient of
//! `weight` times the row's summed loss with respect to it; `losses` gets one sum per row. With `weight` = 1 / (rows x
//! width) the gradients are those of the mean over a batch and the row's numbers.

use crate::activation::{Activation, softmax_row};
use crate::simd::{F, Lanes, Level, Simd, dispatch, math};

fn check(losses: &[f32], outputs: &[f32], targets: &[f32]) -> usize {
    assert_eq!(outputs.len(), targets.len());
    assert!(!losses.is_empty() && outputs.len().is_multiple_of(losses.len()), "one loss per row");
    outputs.len() / losses.len()
}

/// Binary cross-entropy of logits z against targets t in [0, 1]: sum of max(z, 0) - z t + ln(1 + e^-|z|), exact for any z.
/// The gradient with respect to z is `weight` (sigmoid(z) - t).
///
/// # Panics
/// Where the lengths do not fit.
pub fn bce_logits(level: Level, losses: &mut [f32], outputs: &mut [f32], targets: &[f32], weight: f32) {
    let width = check(losses, outputs, targets);
    #[inline(always)]
    fn row<S: Simd>(s: S, z: &mut [f32], t: &[f32], weight: f32) -> f32 {
        let lanes = <S as Lanes<f32>>::COUNT;
        let (zero, one, weight) = (s.constant(0.0), s.constant(1.0), s.constant(weight));
        let mut sum = zero;
        let mut logarithms = 0.0;
        for start in (0..z.len()).step_by(FACTORS * lanes) {
            // The logarithms of many factors are that of their product. Each lies in 1..2.
            let mut product = one;
            for at in (start..z.len().min(start + FACTORS * lanes)).step_by(lanes) {
                let (zs, ts) = (s.read(z, at), s.read(t, at));
                let both = math::logistic(s, zs);
                // Lanes past the end of the row read z = t = 0, whose factor is 2, not 1: they do not count.
                let left = z.len() - at;
                let u = if left < lanes { s.first(both.u, left) } else { both.u };
                product = s.mul_add(product, u, product);
                sum = s.add(sum, s.mul_add(s.negate(zs), ts, s.max(zero, zs)));
                s.write(z, at, s.mul(weight, s.sub(both.sigmoid, ts)));
            }
            logarithms += math::sum_of_logarithms(s, product);
        }
        s.sum(sum) + logarithms
    }
    dispatch!(level, s => {
        for ((loss, z), t) in losses.iter_mut().zip(outputs.chunks_exact_mut(width)).zip(targets.chunks_exact(width)) {
            *loss = row(s, z, t, weight);
        }
    });
}

/// Factors between 1 and 2 whose product is still a number.
const FACTORS: usize = 120;

/// Cross-entropy of the softmax of logits z against target shares t (one-hot for a class): -sum t ln softmax(z).
/// The gradient with respect to z is `weight` (softmax(z) sum t - t).
///
/// # Panics
/// Where the lengths do not fit.
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

/// Squared error of outputs y = activation(z): sum of (y - t)^2. `outputs` holds y; the gradient is taken through the
/// activation, with respect to z: `weight` 2 (y - t) activation'(z).
///
/// # Panics
/// Where the lengths do not fit.
pub fn squared_error(
    level: Level,
    losses: &mut [f32],
    outputs: &mut [f32],
    targets: &[f32],
    activation: Activation,
    weight: f32,
) {
    differences::<Squared>(level, losses, outputs, targets, activation, weight);
}

/// Absolute error of outputs y = activation(z): sum of |y - t|. As [`squared_error`], with the gradient
/// `weight` sign(y - t) activation'(z), which is 0 where y = t.
///
/// # Panics
/// Where the lengths do not fit.
pub fn absolute_error(
    level: Level,
    losses: &mut [f32],
    outputs: &mut [f32],
    targets: &[f32],
    activation: Activation,
    weight: f32,
) {
    differences::<Absolute>(level, losses, outputs, targets, activation, weight);
}

/// Huber's error (1964) of outputs y = activation(z), with d = y - t: sum of d^2 / 2 where |d| <= 1, of |d| - 1/2
/// elsewhere. As [`squared_error`], with the gradient `weight` min(1, max(-1, d)) activation'(z).
///
/// # Panics
/// Where the lengths do not fit.
pub fn huber(
    level: Level,
    losses: &mut [f32],
    outputs: &mut [f32],
    targets: &[f32],
    activation: Activation,
    weight: f32,
) {
    differences::<Huber>(level, losses, outputs, targets, activation, weight);
}

/// A loss that is a sum over the differences d = y - t.
trait Difference {
    /// What the slope is to be multiplied by to be the derivative.
    const FACTOR: f32;

    /// The sum with the loss of `d` added, and its slope at `d`.
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
        // With c = d kept within -1..1, both cases are c (d - c / 2), and c is the slope.
        let c = s.min(s.constant(1.0), s.max(s.constant(-1.0), d));
        (s.mul_add(c, s.mul_add(s.constant(-0.5), c, d), sum), c)
    }
}

#[inline(always)]
fn differences<D: Difference>(
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
            let (with, slope) = D::add(s, sum, s.sub(ys, s.read(t, at)));
            sum = with;
            s.write(y, at, activation.back(s, s.mul(weight, slope), ys));
        }
        s.sum(sum)
    }
    dispatch!(level, s => {
        for ((loss, y), t) in losses.iter_mut().zip(outputs.chunks_exact_mut(width)).zip(targets.chunks_exact(width)) {
            *loss = row::<D, _>(s, y, t, activation, weight);
        }
    });
}
