//! Loss functions, each fused with its gradient.
//!
//! All work in place on rows of equal length: `outputs` holds the outputs of the last layer and is overwritten with the
//! gradient of `weight` times the loss; `losses` gets the loss of each row, summed over its elements. With `weight` = 1
//! / (rows x width) the gradients are those of the mean over the batch and the elements of a row.

use std::ops::Range;

use super::activation::{self, Activation, softmax_row};
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
    dispatch!(level, s => {
        for ((loss, z), t) in losses.iter_mut().zip(outputs.chunks_exact_mut(width)).zip(targets.chunks_exact(width)) {
            *loss = cross_entropy_row(s, z, t, weight);
        }
    });
}

/// As [`cross_entropy_logits`], of one row.
#[inline(always)]
fn cross_entropy_row<S: Simd>(s: S, z: &mut [f32], t: &[f32], weight: f32) -> f32 {
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

/// How a column of a row of mixed columns is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// The squared error of each number.
    Squared,
    /// The binary cross-entropy of each number, from a logit.
    Binary,
    /// The cross-entropy over all numbers of the column, from logits.
    Categorical,
}

/// A row of mixed columns: which numbers belong together, how they are measured, and with which weight.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MixedRow {
    /// Categories one by one; neighbouring columns of numbers, and of binary logits, as one run.
    runs: Vec<(ColumnKind, Range<usize>)>,
    /// The weight of each number of a row.
    weights: Vec<f32>,
}

impl MixedRow {
    /// Adds a column of `width` numbers at the end of the row.
    ///
    /// # Panics
    /// If the column has no numbers.
    pub fn push(&mut self, kind: ColumnKind, width: usize, weight: f32) {
        assert!(width > 0, "a column without numbers");
        let start = self.weights.len();
        self.weights.resize(start + width, weight);
        match self.runs.last_mut() {
            Some((last, run)) if *last == kind && kind != ColumnKind::Categorical => run.end += width,
            _ => self.runs.push((kind, start..start + width)),
        }
    }

    /// The length of a row.
    pub fn width(&self) -> usize {
        self.weights.len()
    }

    /// From the outputs of a network (n x width) to numbers and probabilities, in place: sigmoid of binary logits, softmax
    /// over each category. The squared columns are numbers already.
    ///
    /// # Panics
    /// If the length is not a multiple of the row length.
    pub fn probabilities(&self, level: Level, outputs: &mut [f32]) {
        if self.runs.iter().all(|(kind, _)| *kind == ColumnKind::Squared) {
            return;
        }
        assert!(outputs.len().is_multiple_of(self.width()), "whole rows");
        for row in outputs.chunks_exact_mut(self.width()) {
            for (kind, run) in &self.runs {
                match kind {
                    ColumnKind::Squared => {}
                    ColumnKind::Binary => {
                        activation::forward(level, &mut row[run.clone()], Activation::Sigmoid);
                    }
                    ColumnKind::Categorical => activation::softmax(level, &mut row[run.clone()], run.len()),
                }
            }
        }
    }
}

/// The loss of rows of mixed columns: the sum over columns of the column's weight times its error, which is (y - t)^2, the
/// binary cross-entropy of a logit, or the cross-entropy of the softmax of a category's logits. The gradients are those of
/// [`squared_error`], [`bce_logits`] and [`cross_entropy_logits`], each times `weight` and the column's weight.
///
/// # Panics
/// If the lengths do not match.
pub fn mixed(
    level: Level,
    losses: &mut [f32],
    outputs: &mut [f32],
    targets: &[f32],
    columns: &MixedRow,
    weight: f32,
) {
    let width = check(losses, outputs, targets);
    assert_eq!(width, columns.width(), "the columns of a row");
    #[inline(always)]
    fn squared<S: Simd>(s: S, y: &mut [f32], t: &[f32], weights: &[f32], weight: f32) -> f32 {
        let twice = s.constant(2.0 * weight);
        let mut sum = s.constant(0.0);
        for at in (0..y.len()).step_by(<S as Lanes<f32>>::COUNT) {
            // Lanes past the end read zeros: they add nothing.
            let d = s.sub(s.read(y, at), s.read(t, at));
            let weighted = s.mul(s.read(weights, at), d);
            sum = s.mul_add(weighted, d, sum);
            s.write(y, at, s.mul(twice, weighted));
        }
        s.sum(sum)
    }
    #[inline(always)]
    fn binary<S: Simd>(s: S, z: &mut [f32], t: &[f32], weights: &[f32], weight: f32) -> f32 {
        let (zero, weight) = (s.constant(0.0), s.constant(weight));
        let mut sum = zero;
        for at in (0..z.len()).step_by(<S as Lanes<f32>>::COUNT) {
            let (zs, ts, ws) = (s.read(z, at), s.read(t, at), s.read(weights, at));
            let logistic = math::logistic(s, zs);
            // max(z, 0) - z t + ln(1 + e^-|z|); the weight of a lane past the end is 0.
            let linear = s.mul_add(s.negate(zs), ts, s.max(zero, zs));
            sum = s.mul_add(ws, s.add(linear, math::ln_1p(s, logistic.u)), sum);
            s.write(z, at, s.mul(s.mul(weight, ws), s.sub(logistic.sigmoid, ts)));
        }
        s.sum(sum)
    }
    #[inline(always)]
    fn row<S: Simd>(s: S, y: &mut [f32], t: &[f32], columns: &MixedRow, weight: f32) -> f32 {
        let mut loss = 0.0;
        for (kind, run) in &columns.runs {
            let (y, t) = (&mut y[run.clone()], &t[run.clone()]);
            let weights = &columns.weights[run.clone()];
            loss += match kind {
                ColumnKind::Squared => squared(s, y, t, weights, weight),
                ColumnKind::Binary => binary(s, y, t, weights, weight),
                ColumnKind::Categorical => weights[0] * cross_entropy_row(s, y, t, weights[0] * weight),
            };
        }
        loss
    }
    dispatch!(level, s => {
        for ((loss, y), t) in losses.iter_mut().zip(outputs.chunks_exact_mut(width)).zip(targets.chunks_exact(width)) {
            *loss = row(s, y, t, columns, weight);
        }
    });
}
