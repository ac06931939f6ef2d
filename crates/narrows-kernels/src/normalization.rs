//! Columns of a batch brought to mean 0 and variance 1, then to a scale and a shift of their own, and the way back (Ioffe &
//! Szegedy 2015).
//!
//! With n rows x and, for each column, m = mean x, v = mean (x - m)^2, r = 1 / sqrt(v + epsilon):
//!
//! ```text
//! h = (x - m) r          y = scale h + shift
//! dshift = sum dy        dscale = sum dy h
//! dx = scale r (dy - dshift / n - h dscale / n)
//! ```
//!
//! Every function goes down a few columns at a time, with what belongs to a column in registers. Sums are over rows in their
//! order, so that a cut of the columns changes no bit.

use crate::activation::Activation;
use crate::simd::{F, Lanes, Level, Simd, dispatch};

/// What columns are brought to, and from where: one number for each column.
#[derive(Debug, Clone, Copy)]
pub struct Columns<'a> {
    /// The mean that is taken away.
    pub means: &'a [f32],
    /// The variance that is divided by, under a root.
    pub variances: &'a [f32],
    /// The standard deviation afterwards.
    pub scales: &'a [f32],
    /// The mean afterwards.
    pub shifts: &'a [f32],
    /// Added to each variance.
    pub epsilon: f32,
}

/// Vectors that go down the rows side by side, so that an addition need not wait for the one before.
const ABREAST: usize = 4;

/// Numbers of the vectors that go side by side from `at` on; zeros past the end.
#[inline(always)]
fn read<S: Simd>(s: S, numbers: &[f32], at: usize) -> [F<S>; ABREAST] {
    let mut read = [s.constant(0.0); ABREAST];
    for i in 0..ABREAST {
        read[i] = s.read(numbers, at + i * <S as Lanes<f32>>::COUNT);
    }
    read
}

#[inline(always)]
fn write<S: Simd>(s: S, numbers: &mut [f32], at: usize, values: [F<S>; ABREAST]) {
    for i in 0..ABREAST {
        s.write(numbers, at + i * <S as Lanes<f32>>::COUNT, values[i]);
    }
}

/// 1 / sqrt(variance + epsilon).
#[inline(always)]
fn inverse_root<S: Simd>(s: S, variances: &[f32], at: usize, epsilon: f32) -> [F<S>; ABREAST] {
    let mut roots = read(s, variances, at);
    for root in &mut roots {
        *root = s.div(s.constant(1.0), s.sqrt(s.add(*root, s.constant(epsilon))));
    }
    roots
}

/// Mean and variance (divided by n) of the columns from `first` on, over rows of `stride` numbers.
///
/// Two passes: the second about the mean of the first, which it also corrects, so that a mean that is large beside the
/// spread costs no digits.
///
/// # Panics
/// Where there are no rows, the values are not whole rows, or the columns reach past a row.
pub fn moments(
    level: Level,
    means: &mut [f32],
    variances: &mut [f32],
    values: &[f32],
    stride: usize,
    first: usize,
) {
    assert!(stride > 0 && !values.is_empty() && values.len().is_multiple_of(stride));
    assert!(means.len() == variances.len() && first + means.len() <= stride);
    #[inline(always)]
    fn run<S: Simd>(
        s: S,
        means: &mut [f32],
        variances: &mut [f32],
        values: &[f32],
        stride: usize,
        first: usize,
    ) {
        let len = means.len();
        let rows = s.constant((values.len() / stride) as f32);
        for at in (0..len).step_by(ABREAST * <S as Lanes<f32>>::COUNT) {
            let mut mean = [s.constant(0.0); ABREAST];
            for row in values.chunks_exact(stride) {
                let x = read(s, &row[first..first + len], at);
                for i in 0..ABREAST {
                    mean[i] = s.add(mean[i], x[i]);
                }
            }
            let (mut rest, mut square) = ([s.constant(0.0); ABREAST], [s.constant(0.0); ABREAST]);
            for mean in &mut mean {
                *mean = s.div(*mean, rows);
            }
            for row in values.chunks_exact(stride) {
                let x = read(s, &row[first..first + len], at);
                for i in 0..ABREAST {
                    let away = s.sub(x[i], mean[i]);
                    rest[i] = s.add(rest[i], away);
                    square[i] = s.mul_add(away, away, square[i]);
                }
            }
            for i in 0..ABREAST {
                // By so much the mean was off.
                let off = s.div(rest[i], rows);
                mean[i] = s.add(mean[i], off);
                let variance = s.mul_add(s.negate(off), off, s.div(square[i], rows));
                // The constant first: of a NaN, `max(0, x)` keeps the NaN.
                square[i] = s.max(s.constant(0.0), variance);
            }
            write(s, means, at, mean);
            write(s, variances, at, square);
        }
    }
    dispatch!(level, s => run(s, means, variances, values, stride, first));
}

/// activation(scale (x - mean) / sqrt(variance + epsilon) + shift) for rows of as many numbers as there are columns.
///
/// # Panics
/// Where the lengths differ or are not whole rows.
pub fn normalize(
    level: Level,
    out: &mut [f32],
    values: &[f32],
    columns: Columns<'_>,
    activation: Activation,
) {
    let width = columns.check();
    assert!(out.len() == values.len() && values.len().is_multiple_of(width));
    #[inline(always)]
    fn run<S: Simd>(
        s: S,
        out: &mut [f32],
        values: &[f32],
        columns: Columns<'_>,
        width: usize,
        activation: Activation,
    ) {
        for at in (0..width).step_by(ABREAST * <S as Lanes<f32>>::COUNT) {
            let (mean, shift) = (read(s, columns.means, at), read(s, columns.shifts, at));
            let factor = columns.factor(s, at);
            for (out, row) in out.chunks_exact_mut(width).zip(values.chunks_exact(width)) {
                let mut x = read(s, row, at);
                for i in 0..ABREAST {
                    let y = s.mul_add(s.sub(x[i], mean[i]), factor[i], shift[i]);
                    x[i] = activation.apply(s, y);
                }
                write(s, out, at, x);
            }
        }
    }
    dispatch!(level, s => run(s, out, values, columns, width, activation));
}

/// The gradients of shifts and scales from the gradients at what [`normalize`] gives before its activation: sum dy and
/// sum dy h of the columns from `first` on, over rows of `stride` numbers. The moments are those of these columns.
///
/// # Panics
/// Where the lengths do not fit.
pub fn gradient_sums(
    level: Level,
    (shifts, scales): (&mut [f32], &mut [f32]),
    gradients: &[f32],
    values: &[f32],
    (means, variances): (&[f32], &[f32]),
    epsilon: f32,
    stride: usize,
    first: usize,
) {
    assert!(stride > 0 && values.len().is_multiple_of(stride) && gradients.len() == values.len());
    assert!(shifts.len() == scales.len() && first + shifts.len() <= stride);
    assert!(means.len() == shifts.len() && variances.len() == shifts.len());
    #[inline(always)]
    fn run<S: Simd>(
        s: S,
        (shifts, scales): (&mut [f32], &mut [f32]),
        gradients: &[f32],
        values: &[f32],
        (means, variances): (&[f32], &[f32]),
        epsilon: f32,
        stride: usize,
        first: usize,
    ) {
        let len = shifts.len();
        for at in (0..len).step_by(ABREAST * <S as Lanes<f32>>::COUNT) {
            let (mut sum, mut product) = ([s.constant(0.0); ABREAST], [s.constant(0.0); ABREAST]);
            let (mean, root) = (read(s, means, at), inverse_root(s, variances, at, epsilon));
            for (dy, row) in gradients.chunks_exact(stride).zip(values.chunks_exact(stride)) {
                let dy = read(s, &dy[first..first + len], at);
                let x = read(s, &row[first..first + len], at);
                for i in 0..ABREAST {
                    sum[i] = s.add(sum[i], dy[i]);
                    product[i] = s.mul_add(dy[i], s.sub(x[i], mean[i]), product[i]);
                }
            }
            for i in 0..ABREAST {
                product[i] = s.mul(product[i], root[i]);
            }
            write(s, shifts, at, sum);
            write(s, scales, at, product);
        }
    }
    let (sums, moments) = ((shifts, scales), (means, variances));
    dispatch!(level, s => run(s, sums, gradients, values, moments, epsilon, stride, first));
}

/// The gradients before the activation that gave `values`, of some rows of a batch of `rows`: dx times its derivative, from
/// the gradients at what [`normalize`] gives before its own, and what [`gradient_sums`] found over the whole batch.
///
/// # Panics
/// Where the lengths differ or are not whole rows.
pub fn backward(
    level: Level,
    out: &mut [f32],
    gradients: &[f32],
    values: &[f32],
    columns: Columns<'_>,
    (shifts, scales): (&[f32], &[f32]),
    rows: usize,
    activation: Activation,
) {
    let width = columns.check();
    assert!(out.len() == values.len() && gradients.len() == values.len());
    assert!(shifts.len() == width && scales.len() == width && values.len().is_multiple_of(width));
    #[inline(always)]
    fn run<S: Simd>(
        s: S,
        out: &mut [f32],
        (gradients, values): (&[f32], &[f32]),
        columns: Columns<'_>,
        (shifts, scales): (&[f32], &[f32]),
        rows: usize,
        width: usize,
        activation: Activation,
    ) {
        let share = s.constant(-1.0 / rows as f32);
        for at in (0..width).step_by(ABREAST * <S as Lanes<f32>>::COUNT) {
            // dx = a dy + b (x - m) + c
            let (mean, a) = (read(s, columns.means, at), columns.factor(s, at));
            let root = inverse_root(s, columns.variances, at, columns.epsilon);
            let (mut b, mut c) = (read(s, scales, at), read(s, shifts, at));
            for i in 0..ABREAST {
                b[i] = s.mul(s.mul(s.mul(b[i], share), root[i]), a[i]);
                c[i] = s.mul(s.mul(c[i], share), a[i]);
            }
            let pairs = gradients.chunks_exact(width).zip(values.chunks_exact(width));
            for (out, (dy, row)) in out.chunks_exact_mut(width).zip(pairs) {
                let (mut dy, x) = (read(s, dy, at), read(s, row, at));
                for i in 0..ABREAST {
                    let spread = s.mul_add(b[i], s.sub(x[i], mean[i]), c[i]);
                    dy[i] = activation.back(s, s.mul_add(a[i], dy[i], spread), x[i]);
                }
                write(s, out, at, dy);
            }
        }
    }
    let sums = (shifts, scales);
    dispatch!(level, s => run(s, out, (gradients, values), columns, sums, rows, width, activation));
}

/// Moves running means towards what a batch had: r + `weight` (`factor` found - r).
///
/// # Panics
/// Where the lengths differ.
pub fn follow(level: Level, running: &mut [f32], found: &[f32], weight: f32, factor: f32) {
    assert_eq!(running.len(), found.len());
    #[inline(always)]
    fn run<S: Simd>(s: S, running: &mut [f32], found: &[f32], weight: f32, factor: f32) {
        let (weight, factor) = (s.constant(weight), s.constant(factor));
        for at in (0..running.len()).step_by(<S as Lanes<f32>>::COUNT) {
            let old = s.read(running, at);
            let away = s.sub(s.mul(factor, s.read(found, at)), old);
            s.write(running, at, s.mul_add(weight, away, old));
        }
    }
    dispatch!(level, s => run(s, running, found, weight, factor));
}

impl Columns<'_> {
    /// How many there are.
    fn check(&self) -> usize {
        let Self { means, variances, scales, shifts, .. } = self;
        let width = means.len();
        assert!(width > 0 && [variances, scales, shifts].iter().all(|numbers| numbers.len() == width));
        width
    }

    /// scale / sqrt(variance + epsilon).
    #[inline(always)]
    fn factor<S: Simd>(&self, s: S, at: usize) -> [F<S>; ABREAST] {
        let mut factors = inverse_root(s, self.variances, at, self.epsilon);
        let scales = read(s, self.scales, at);
        for i in 0..ABREAST {
            factors[i] = s.mul(factors[i], scales[i]);
        }
        factors
    }
}
