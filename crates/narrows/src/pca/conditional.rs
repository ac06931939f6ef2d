//! The Gaussian of probabilistic PCA, and what it expects of the missing numbers of a row, given the others.
//!
//! x ~ N(m, C) with C = W W' + s I (Tipping and Bishop 1999): orthonormal directions v_i of variance l_i, the noise s, and
//! W = V diag(sqrt(l_i - s)). Let o be the observed columns of a row, g its gaps, r = x_o - m_o, and M = s I + W_o' W_o (k x k).
//! By the Woodbury identity, with z = M^-1 W_o' r,
//!
//! ```text
//! E[x_g | x_o]   = m_g + W_g z
//! cov[x_g | x_o] = s (I + W_g M^-1 W_g')
//! r' C_oo^-1 r   = |r - W_o z|^2 / s + |z|^2
//! ln |C_oo|      = (|o| - k) ln s + ln |M|
//! ```
//!
//! The third line is the least penalised squared error of z; unlike |r|^2 - r' W_o z it does not cancel.

use std::collections::BTreeMap;

/// The least noise, as a part of the largest variance. Without noise M has no inverse where gaps leave fewer numbers than
/// components; with this little, z is the least-squares solution of least length on the observed numbers, to about seven digits.
const LEAST_NOISE: f64 = 1e-9;

/// Of the largest variance, the noise above which M may be found by a subtraction that costs digits.
const NOISE_TO_SUBTRACT: f64 = 1e-6;

/// The Gaussian of a probabilistic PCA.
pub(crate) struct FactorGaussian {
    /// d.
    pub mean: Vec<f64>,
    /// W (d x k).
    loadings: Vec<f64>,
    /// l (k), none below the noise.
    variances: Vec<f64>,
    /// s, above 0.
    noise: f64,
}

/// The noise below which the likelihood is not let: without a bound it has no maximum where components explain everything.
pub(super) fn least_noise(largest_variance: f64) -> f64 {
    (largest_variance * LEAST_NOISE).max(f64::MIN_POSITIVE)
}

impl FactorGaussian {
    /// From orthonormal directions (k x d) and their variances; `noise` is the variance along all other directions, raised to
    /// `least`.
    pub fn new(mean: Vec<f64>, directions: &[f64], variances: &[f64], noise: f64, least: f64) -> Self {
        let (d, k) = (mean.len(), variances.len());
        let noise = noise.max(least);
        let variances: Vec<f64> = variances.iter().map(|variance| variance.max(noise)).collect();
        let mut loadings = vec![0.0; d * k];
        for (i, (direction, variance)) in directions.chunks_exact(d).zip(&variances).enumerate() {
            let length = (variance - noise).sqrt();
            direction.iter().enumerate().for_each(|(j, value)| loadings[j * k + i] = value * length);
        }
        Self { mean, loadings, variances, noise }
    }

    /// k.
    pub fn code_size(&self) -> usize {
        self.variances.len()
    }

    /// The row of W for a column.
    fn loading(&self, column: usize) -> &[f64] {
        &self.loadings[column * self.code_size()..][..self.code_size()]
    }

    /// What follows from which numbers of a row are missing, whatever the others are.
    pub fn given(&self, is_missing: impl Fn(usize) -> bool) -> Conditional {
        let (d, k) = (self.mean.len(), self.code_size());
        let (gaps, observed): (Vec<usize>, Vec<usize>) = (0..d).partition(|&column| is_missing(column));
        let largest = self.variances.first().copied().unwrap_or(0.0);
        let mut matrix = vec![0.0; k * k];
        // The columns of W are orthogonal, so that s I + W'W is diagonal: the fewer rows of W give M.
        let by_subtraction = gaps.len() < observed.len() && self.noise > NOISE_TO_SUBTRACT * largest;
        let (columns, sign) = if by_subtraction { (&gaps, -1.0) } else { (&observed, 1.0) };
        for &column in columns {
            let w = self.loading(column);
            for i in 0..k {
                let (weight, row) = (sign * w[i], &mut matrix[i * k + i..(i + 1) * k]);
                row.iter_mut().zip(&w[i..]).for_each(|(sum, w)| *sum += weight * w);
            }
        }
        for (i, variance) in self.variances.iter().enumerate() {
            matrix[i * k + i] += if by_subtraction { *variance } else { self.noise };
        }
        cholesky(&mut matrix, k, self.noise);
        let log_determinant = (observed.len() as f64 - k as f64) * self.noise.ln()
            + (0..k).map(|i| 2.0 * matrix[i * k + i].ln()).sum::<f64>();
        Conditional { observed, gaps, factor: matrix, log_determinant }
    }

    /// Replaces the gaps of a row by what is expected there. Returns the log-likelihood of the observed numbers. `code` (k) is
    /// overwritten.
    pub fn expect(&self, given: &Conditional, row: &mut [f64], code: &mut [f64]) -> f64 {
        code.fill(0.0);
        for &column in &given.observed {
            let r = row[column] - self.mean[column];
            code.iter_mut().zip(self.loading(column)).for_each(|(sum, w)| *sum += r * w);
        }
        solve_lower(&given.factor, code);
        solve_upper(&given.factor, code);
        let dot = |column: usize, code: &[f64]| -> f64 {
            self.loading(column).iter().zip(code).map(|(w, z)| w * z).sum()
        };
        let mut residual = 0.0;
        for &column in &given.observed {
            residual += (row[column] - self.mean[column] - dot(column, code)).powi(2);
        }
        for &column in &given.gaps {
            row[column] = self.mean[column] + dot(column, code);
        }
        let square = residual / self.noise + code.iter().map(|z| z * z).sum::<f64>();
        -0.5 * (given.observed.len() as f64 * std::f64::consts::TAU.ln() + given.log_determinant + square)
    }

    /// Calls `add(i, j, covariance)` for each pair of gaps, i not before j, columns counted in the row.
    pub fn each_covariance(&self, given: &Conditional, mut add: impl FnMut(usize, usize, f64)) {
        let half = self.half(given);
        let k = self.code_size();
        for (a, &i) in given.gaps.iter().enumerate() {
            let first = &half[a * k..][..k];
            for (b, &j) in given.gaps[..=a].iter().enumerate() {
                let along: f64 = first.iter().zip(&half[b * k..][..k]).map(|(x, y)| x * y).sum();
                add(i, j, self.noise * (along + f64::from(u8::from(a == b))));
            }
        }
    }

    /// The conditional standard deviation of each gap.
    fn deviations(&self, given: &Conditional) -> Vec<f64> {
        let half = self.half(given);
        let k = self.code_size();
        let square = |gap: usize| half[gap * k..][..k].iter().map(|x| x * x).sum::<f64>();
        (0..given.gaps.len()).map(|gap| (self.noise * (1.0 + square(gap))).sqrt()).collect()
    }

    /// R'^-1 w for the row w of W of each gap, where M = R'R (gaps x k).
    fn half(&self, given: &Conditional) -> Vec<f64> {
        let mut half = Vec::with_capacity(given.gaps.len() * self.code_size());
        for &column in &given.gaps {
            let first = half.len();
            half.extend(self.loading(column));
            solve_lower(&given.factor, &mut half[first..]);
        }
        half
    }

    /// The log-likelihood of complete rows from their sums: `count` rows, the sum of x and of x x' (d x d).
    pub fn log_likelihood(&self, count: usize, sums: &[f64], squares: &[f64]) -> f64 {
        if count == 0 {
            return 0.0;
        }
        let (d, k, n) = (self.mean.len(), self.code_size(), count as f64);
        let trace: f64 =
            (0..d).map(|j| squares[j * d + j] - (2.0 * sums[j] - n * self.mean[j]) * self.mean[j]).sum();
        // C^-1 = (I - W diag(1 / l) W') / s, because the columns of W are orthogonal.
        let (mut explained, mut determinant) = (0.0, (d - k) as f64 * self.noise.ln());
        for (i, variance) in self.variances.iter().enumerate() {
            let w: Vec<f64> = (0..d).map(|j| self.loadings[j * k + i]).collect();
            let dot = |values: &[f64]| w.iter().zip(values).map(|(a, b)| a * b).sum::<f64>();
            let square: f64 = squares.chunks_exact(d).zip(&w).map(|(row, w)| w * dot(row)).sum();
            let along = dot(&self.mean);
            explained += (square - (2.0 * dot(sums) - n * along) * along) / variance;
            determinant += variance.ln();
        }
        let square = (trace - explained) / self.noise;
        -0.5 * (n * (d as f64 * std::f64::consts::TAU.ln() + determinant) + square)
    }

    /// Replaces the gaps (NaN) of rows (n x d) by what is expected there, given the other numbers of the row. `spread` (n x d) gets
    /// the standard deviation of what was filled. Each pattern of gaps is solved once; complete rows are not touched.
    pub fn fill(&self, rows: &mut [f64], mut spread: Option<&mut [f64]>) {
        let d = self.mean.len();
        let mut code = vec![0.0; self.code_size()];
        for (pattern, indices) in group_by_pattern(rows, d) {
            let given = self.given(|column| pattern.is_missing(column));
            let deviations = spread.is_some().then(|| self.deviations(&given));
            for row in indices {
                self.expect(&given, &mut rows[row * d..][..d], &mut code);
                if let (Some(spread), Some(deviations)) = (&mut spread, &deviations) {
                    for (&gap, &deviation) in given.gaps.iter().zip(deviations) {
                        spread[row * d + gap] = deviation;
                    }
                }
            }
        }
    }
}

/// What follows from the places of the gaps of a row.
pub(crate) struct Conditional {
    observed: Vec<usize>,
    gaps: Vec<usize>,
    /// R with R'R = M (k x k), the upper triangle.
    factor: Vec<f64>,
    /// ln |C_oo|.
    log_determinant: f64,
}

/// Which numbers of a row are missing: a bit for each column.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pattern(Vec<u64>);

impl Pattern {
    /// The pattern of a row, none for a complete one.
    pub fn of(row: &[f64]) -> Option<Self> {
        if !row.iter().fold(false, |found, value| found | value.is_nan()) {
            return None;
        }
        let word = |values: &[f64]| {
            values.iter().enumerate().fold(0, |word, (bit, value)| word | u64::from(value.is_nan()) << bit)
        };
        Some(Self(row.chunks(64).map(word).collect()))
    }

    pub fn is_missing(&self, column: usize) -> bool {
        self.0[column / 64] >> (column % 64) & 1 == 1
    }
}

/// The numbers of the rows (n x d) with gaps, by pattern; their order depends on nothing but the rows.
fn group_by_pattern(rows: &[f64], d: usize) -> BTreeMap<Pattern, Vec<usize>> {
    let mut groups: BTreeMap<Pattern, Vec<usize>> = BTreeMap::new();
    for (index, row) in rows.chunks_exact(d).enumerate() {
        if let Some(pattern) = Pattern::of(row) {
            groups.entry(pattern).or_default().push(index);
        }
    }
    groups
}

/// Replaces the upper triangle of a positive definite matrix (k x k), whose eigenvalues are at least `least`, by its Cholesky factor
/// R, with R'R = the matrix. Pivots that rounding has left below that are raised to it. Whole rows are subtracted from rows, which
/// the compiler can vectorise, unlike sums.
fn cholesky(matrix: &mut [f64], k: usize, least: f64) {
    for p in 0..k {
        let (before, rest) = matrix.split_at_mut((p + 1) * k);
        let pivot = &mut before[p * k..];
        let root = pivot[p].max(least).sqrt();
        pivot[p] = root;
        pivot[p + 1..].iter_mut().for_each(|value| *value /= root);
        for (i, row) in (p + 1..).zip(rest.chunks_exact_mut(k)) {
            let weight = pivot[i];
            row[i..].iter_mut().zip(&pivot[i..]).for_each(|(value, other)| *value -= weight * other);
        }
    }
}

/// R'^-1 x, in place.
fn solve_lower(factor: &[f64], x: &mut [f64]) {
    let k = x.len();
    for i in 0..k {
        let row = &factor[i * k..][..k];
        x[i] /= row[i];
        let value = x[i];
        x[i + 1..].iter_mut().zip(&row[i + 1..]).for_each(|(x, r)| *x -= value * r);
    }
}

/// R^-1 x, in place.
fn solve_upper(factor: &[f64], x: &mut [f64]) {
    let k = x.len();
    for i in (0..k).rev() {
        let row = &factor[i * k..][..k];
        let sum: f64 = row[i + 1..].iter().zip(&x[i + 1..]).map(|(r, x)| r * x).sum();
        x[i] = (x[i] - sum) / row[i];
    }
}
