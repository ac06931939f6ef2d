//! Batch normalization (Ioffe & Szegedy 2015): the columns of a batch are normalized to mean 0 and variance 1, then
//! scaled and shifted by learned parameters; forward and backward pass.
//!
//! With n rows x and, for each column, m = mean x, v = mean (x - m)^2, r = 1 / sqrt(v + epsilon):
//!
//! ```text
//! h = (x - m) r          y = scale h + shift
//! dshift = sum dy        dscale = sum dy h
//! dx = scale r (dy - dshift / n - h dscale / n)
//! ```
//!
//! Every function iterates over the rows for a few columns at a time, with the statistics of the columns in registers.
//! Sums run over rows in order, so splitting the columns does not change a bit.

use crate::elementwise::activation::Activation;
use crate::simd::{F, Lanes, Level, Simd, dispatch};

/// The statistics and parameters of a batch normalization, one value per column.
#[derive(Debug, Clone, Copy)]
pub struct BatchNorm<'a> {
    /// Means of the columns.
    pub means: &'a [f32],
    /// Variances of the columns.
    pub variances: &'a [f32],
    /// Learned scale (gamma): the standard deviation of the result.
    pub scales: &'a [f32],
    /// Learned shift (beta): the mean of the result.
    pub shifts: &'a [f32],
    /// Added to each variance to avoid division by 0.
    pub epsilon: f32,
}

/// Vectors of columns processed together; independent accumulators hide the latency of the additions.
const UNROLL: usize = 4;

/// Loads `N` vectors from `at` on; lanes past the end are zero.
#[inline(always)]
fn read<S: Simd, const N: usize>(s: S, numbers: &[f32], at: usize) -> [F<S>; N] {
    let mut read = [s.constant(0.0); N];
    for i in 0..N {
        read[i] = s.read(numbers, at + i * <S as Lanes<f32>>::COUNT);
    }
    read
}

/// Stores `N` vectors from `at` on; lanes past the end are dropped.
#[inline(always)]
fn write<S: Simd, const N: usize>(s: S, numbers: &mut [f32], at: usize, values: [F<S>; N]) {
    for i in 0..N {
        s.write(numbers, at + i * <S as Lanes<f32>>::COUNT, values[i]);
    }
}

/// 1 / sqrt(variance + epsilon), the inverse standard deviation.
#[inline(always)]
fn inverse_root<S: Simd, const N: usize>(s: S, variances: &[f32], at: usize, epsilon: f32) -> [F<S>; N] {
    let mut roots = read::<_, N>(s, variances, at);
    for root in &mut roots {
        *root = s.div(s.constant(1.0), s.sqrt(s.add(*root, s.constant(epsilon))));
    }
    roots
}

/// Mean and biased variance (divided by n) of the columns from `first` on, over rows of `stride` elements.
///
/// A two-pass algorithm: the second pass sums deviations from the mean of the first and corrects that mean, so a mean
/// that is large relative to the standard deviation costs no precision.
///
/// # Panics
/// If there are no rows, the values are not whole rows, or the columns exceed a row.
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
        for at in (0..len).step_by(UNROLL * <S as Lanes<f32>>::COUNT) {
            let mut mean = [s.constant(0.0); UNROLL];
            for row in values.chunks_exact(stride) {
                let x = read::<_, UNROLL>(s, &row[first..first + len], at);
                for i in 0..UNROLL {
                    mean[i] = s.add(mean[i], x[i]);
                }
            }
            let (mut deviations, mut squares) = ([s.constant(0.0); UNROLL], [s.constant(0.0); UNROLL]);
            for mean in &mut mean {
                *mean = s.div(*mean, rows);
            }
            for row in values.chunks_exact(stride) {
                let x = read::<_, UNROLL>(s, &row[first..first + len], at);
                for i in 0..UNROLL {
                    let deviation = s.sub(x[i], mean[i]);
                    deviations[i] = s.add(deviations[i], deviation);
                    squares[i] = s.mul_add(deviation, deviation, squares[i]);
                }
            }
            for i in 0..UNROLL {
                // The rounding error of the first mean.
                let correction = s.div(deviations[i], rows);
                mean[i] = s.add(mean[i], correction);
                let variance = s.mul_add(s.negate(correction), correction, s.div(squares[i], rows));
                // The constant first: `max(0, x)` then propagates NaN.
                squares[i] = s.max(s.constant(0.0), variance);
            }
            write(s, means, at, mean);
            write(s, variances, at, squares);
        }
    }
    dispatch!(level, s => run(s, means, variances, values, stride, first));
}

/// The forward pass: activation(scale (x - mean) / sqrt(variance + epsilon) + shift), for rows of one element per
/// column.
///
/// # Panics
/// If the lengths differ or are not a multiple of the row length.
pub fn normalize(level: Level, out: &mut [f32], values: &[f32], norm: BatchNorm<'_>, activation: Activation) {
    let width = norm.check();
    assert!(out.len() == values.len() && values.len().is_multiple_of(width));
    #[inline(always)]
    fn run<S: Simd>(
        s: S,
        out: &mut [f32],
        values: &[f32],
        norm: BatchNorm<'_>,
        width: usize,
        activation: Activation,
    ) {
        for at in (0..width).step_by(UNROLL * <S as Lanes<f32>>::COUNT) {
            let (mean, shift) = (read::<_, UNROLL>(s, norm.means, at), read::<_, UNROLL>(s, norm.shifts, at));
            let factor = norm.factor::<_, UNROLL>(s, at);
            for (out, row) in out.chunks_exact_mut(width).zip(values.chunks_exact(width)) {
                let mut x = read::<_, UNROLL>(s, row, at);
                for i in 0..UNROLL {
                    let y = s.mul_add(s.sub(x[i], mean[i]), factor[i], shift[i]);
                    x[i] = activation.apply(s, y);
                }
                write(s, out, at, x);
            }
        }
    }
    dispatch!(level, s => run(s, out, values, norm, width, activation));
}

/// The gradients of shifts (sum dy) and scales (sum dy h) of the columns from `first` on, over rows of `stride`
/// elements. `gradients` are dy, at the output of [`normalize`] before its activation; `values` are x. Means and
/// variances are those of these columns only.
///
/// # Panics
/// If the lengths do not match.
pub fn parameter_gradients(
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
        for at in (0..len).step_by(UNROLL * <S as Lanes<f32>>::COUNT) {
            let (mut sum, mut product) = ([s.constant(0.0); UNROLL], [s.constant(0.0); UNROLL]);
            let (mean, root) =
                (read::<_, UNROLL>(s, means, at), inverse_root::<_, UNROLL>(s, variances, at, epsilon));
            for (dy, row) in gradients.chunks_exact(stride).zip(values.chunks_exact(stride)) {
                let dy = read::<_, UNROLL>(s, &dy[first..first + len], at);
                let x = read::<_, UNROLL>(s, &row[first..first + len], at);
                for i in 0..UNROLL {
                    sum[i] = s.add(sum[i], dy[i]);
                    product[i] = s.mul_add(dy[i], s.sub(x[i], mean[i]), product[i]);
                }
            }
            for i in 0..UNROLL {
                product[i] = s.mul(product[i], root[i]);
            }
            write(s, shifts, at, sum);
            write(s, scales, at, product);
        }
    }
    let (sums, moments) = ((shifts, scales), (means, variances));
    dispatch!(level, s => run(s, sums, gradients, values, moments, epsilon, stride, first));
}

/// The backward pass for some rows of a batch of `rows` rows: dx times the derivative of the activation that computed
/// `values` (x). `gradients` are dy, at the output of [`normalize`] before its activation; `(shifts, scales)` are the
/// sums of [`parameter_gradients`] over the whole batch.
///
/// # Panics
/// If the lengths differ or are not a multiple of the row length.
pub fn backward(
    level: Level,
    out: &mut [f32],
    gradients: &[f32],
    values: &[f32],
    norm: BatchNorm<'_>,
    (shifts, scales): (&[f32], &[f32]),
    rows: usize,
    activation: Activation,
) {
    let width = norm.check();
    assert!(out.len() == values.len() && gradients.len() == values.len());
    assert!(shifts.len() == width && scales.len() == width && values.len().is_multiple_of(width));
    /// The columns from `at` to `end`, of which `N` vectors hold all.
    #[inline(always)]
    fn columns<S: Simd, const N: usize>(
        s: S,
        out: &mut [f32],
        (gradients, values): (&[f32], &[f32]),
        norm: BatchNorm<'_>,
        (shifts, scales): (&[f32], &[f32]),
        rows: usize,
        (at, end): (usize, usize),
        activation: Activation,
    ) {
        let width = norm.means.len();
        let negative_inverse = s.constant(-1.0 / rows as f32);
        // dx = a dy + b (x - m) + c
        let (mean, a) = (read::<_, N>(s, norm.means, at), norm.factor::<_, N>(s, at));
        let root = inverse_root::<_, N>(s, norm.variances, at, norm.epsilon);
        let (mut b, mut c) = (read::<_, N>(s, scales, at), read::<_, N>(s, shifts, at));
        for i in 0..N {
            b[i] = s.mul(s.mul(s.mul(b[i], negative_inverse), root[i]), a[i]);
            c[i] = s.mul(s.mul(c[i], negative_inverse), a[i]);
        }
        // Four coefficients per column are all registers of a level with 16: there two of them are operands in memory, of which
        // the compiler must not know that they are the same in each row.
        let coefficients = [mean, b];
        let fits = S::HAS_32_REGISTERS || N < UNROLL;
        let [mean, b] = if fits { &coefficients } else { std::hint::black_box(&coefficients) };
        let pairs = gradients.chunks_exact(width).zip(values.chunks_exact(width));
        for (out, (dy, row)) in out.chunks_exact_mut(width).zip(pairs) {
            let (mut dy, x) = (read::<_, N>(s, &dy[at..end], 0), read::<_, N>(s, &row[at..end], 0));
            for i in 0..N {
                let centering = s.mul_add(b[i], s.sub(x[i], mean[i]), c[i]);
                dy[i] = activation.backward(s, s.mul_add(a[i], dy[i], centering), x[i]);
            }
            write(s, &mut out[at..end], 0, dy);
        }
    }
    #[inline(always)]
    fn run<S: Simd>(
        s: S,
        out: &mut [f32],
        inputs: (&[f32], &[f32]),
        norm: BatchNorm<'_>,
        sums: (&[f32], &[f32]),
        rows: usize,
        activation: Activation,
    ) {
        let (width, lanes) = (norm.means.len(), <S as Lanes<f32>>::COUNT);
        let mut at = 0;
        // Whole vectors first: the masks of others would take registers from the coefficients.
        macro_rules! run_columns {
            ($($vectors:expr)*) => {$(
                while at + $vectors * lanes <= width {
                    let end = at + $vectors * lanes;
                    columns::<_, { $vectors }>(s, out, inputs, norm, sums, rows, (at, end), activation);
                    at = end;
                }
            )*};
        }
        run_columns!(UNROLL 2 1);
        if at < width {
            columns::<_, 1>(s, out, inputs, norm, sums, rows, (at, width), activation);
        }
    }
    let (inputs, sums) = ((gradients, values), (shifts, scales));
    // A constant in each call: no choice in the loop.
    macro_rules! run_with {
        ($($activation:ident)*) => {
            match activation {
                $(Activation::$activation => dispatch!(level, s => {
                    run(s, out, inputs, norm, sums, rows, Activation::$activation)
                }),)*
            }
        };
    }
    run_with!(Linear Relu Sigmoid Tanh);
}

/// Updates running statistics r by exponential averaging: r + `weight` (`factor` batch - r). A `factor` of n / (n - 1)
/// makes the running variance unbiased.
///
/// # Panics
/// If the lengths differ.
pub fn update_running(level: Level, running: &mut [f32], batch: &[f32], weight: f32, factor: f32) {
    assert_eq!(running.len(), batch.len());
    #[inline(always)]
    fn run<S: Simd>(s: S, running: &mut [f32], batch: &[f32], weight: f32, factor: f32) {
        let (weight, factor) = (s.constant(weight), s.constant(factor));
        for at in (0..running.len()).step_by(<S as Lanes<f32>>::COUNT) {
            let old = s.read(running, at);
            let deviation = s.sub(s.mul(factor, s.read(batch, at)), old);
            s.write(running, at, s.mul_add(weight, deviation, old));
        }
    }
    dispatch!(level, s => run(s, running, batch, weight, factor));
}

impl BatchNorm<'_> {
    /// Checks the lengths; returns the number of columns.
    fn check(&self) -> usize {
        let Self { means, variances, scales, shifts, .. } = self;
        let width = means.len();
        assert!(width > 0 && [variances, scales, shifts].iter().all(|numbers| numbers.len() == width));
        width
    }

    /// scale / sqrt(variance + epsilon).
    #[inline(always)]
    fn factor<S: Simd, const N: usize>(&self, s: S, at: usize) -> [F<S>; N] {
        let mut factors = inverse_root::<_, N>(s, self.variances, at, self.epsilon);
        let scales = read::<_, N>(s, self.scales, at);
        for i in 0..N {
            factors[i] = s.mul(factors[i], scales[i]);
        }
        factors
    }
}
