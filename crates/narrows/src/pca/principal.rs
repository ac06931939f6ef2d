//! Principal directions of moments.
//!
//! They are eigenvectors of the scatter matrix or, with more columns than rows, follow from those of the rows' Gram matrix (n x n).
//! Eigenvalues of such a matrix have absolute errors of about the rounding of the largest one: one column of time stamps would
//! drown the variance of all others. Where the last direction wanted is so small, the directions are found in the rows, or in a
//! factor F of the scatter with F'F = scatter, by deflation: the large ones are taken out of F before the small ones are looked for.
//! What F can tell from rounding is 1e-32 of the largest square rather than 1e-16 of it.

use narrows_kernels::Level;
use narrows_kernels::gemm::{EpilogueF64, View, multiply_f64, scratch_len};

use super::directions::Principal;
use super::moments::{Moments, SecondMoments};
use crate::base::leading_eigen::leading_eigen;
use crate::base::linalg::{complete_basis, fix_signs};
use crate::base::memory;
use crate::error::Result;

/// Of the largest eigenvalue, the part below which directions are found by deflation. Above it, eigenvalues have 7 digits.
const SMALL: f64 = 1e-8;

/// Of the largest eigenvalue, the part above which directions are taken out of a factor together. Of such a direction, the part
/// along the small ones is 1e-12, so that taking it out takes no digits of theirs.
const LARGE: f64 = 1e-4;

impl Moments {
    /// The first `k` principal directions about the mean: eigenvectors of the covariance matrix.
    pub(crate) fn about_mean(&self, k: usize, level: Level) -> Result<Principal> {
        self.principal(k, level, false)
    }

    /// The first `k` principal directions about zero: eigenvectors of X'X, as the linear autoencoder without biases has in closed
    /// form.
    pub(crate) fn about_zero(&self, k: usize, level: Level) -> Result<Principal> {
        self.principal(k, level, true)
    }

    fn principal(&self, k: usize, level: Level, with_mean: bool) -> Result<Principal> {
        let (n, d) = (self.rows, self.width);
        assert!(k <= d);
        if let SecondMoments::Leading(leading) = &self.spread {
            let found = if with_mean { &leading.about_zero } else { &leading.about_mean };
            return Ok(found.first(k));
        }
        let needs = Self::needs(n, d, k);
        memory::require_part(needs.principal, format_args!("a PCA of {n} rows of {d} numbers"))?;
        let (mut found, total) = match &self.spread {
            SecondMoments::Scatter(scatter) => {
                let mut matrix = scatter.clone();
                if with_mean {
                    for (row, own) in matrix.chunks_exact_mut(d).zip(&self.mean) {
                        row.iter_mut().zip(&self.mean).for_each(|(sum, mean)| *sum += n as f64 * own * mean);
                    }
                }
                let total = (0..d).map(|i| matrix[i * d + i]).sum();
                let eigen = leading_eigen(&matrix, d, k, level)?;
                drop(matrix);
                let mut found = Found { directions: eigen.vectors, squares: eigen.values };
                if found.has_small_squares() {
                    found = by_deflation(self.factor(scatter, with_mean), found, d, k, level)?;
                }
                (found, total)
            }
            SecondMoments::Centred(rows) => {
                let rows = self.about(rows, with_mean);
                let total = rows.iter().map(|value| value * value).sum();
                let mut found = dual(&rows, d, k, SMALL, level)?;
                // Rows about their mean have a direction less.
                let most = if with_mean { n } else { n - 1 };
                if found.squares.len() < k.min(most) || found.has_small_squares() {
                    found = by_deflation(rows, found, d, k, level)?;
                }
                (found, total)
            }
            SecondMoments::Leading(_) => unreachable!("their directions are known"),
        };
        found.complete(d, k);
        fix_signs(&mut found.directions, d);
        Ok(Principal { directions: found.directions, squares: found.squares, total })
    }

    /// Rows F (at most d + 1 x d) with F'F = the scatter about the mean or about zero.
    fn factor(&self, scatter: &[f64], with_mean: bool) -> Vec<f64> {
        let mut factor = cholesky_rows(scatter, self.width);
        if with_mean {
            let weight = (self.rows as f64).sqrt();
            factor.extend(self.mean.iter().map(|mean| weight * mean));
        }
        factor
    }

    /// The rows that were kept, about the mean or about zero.
    fn about(&self, rows: &[f64], with_mean: bool) -> Vec<f64> {
        let mut rows = rows.to_vec();
        if with_mean {
            for row in rows.chunks_exact_mut(self.width) {
                row.iter_mut().zip(&self.mean).for_each(|(value, mean)| *value += mean);
            }
        }
        rows
    }
}

/// Directions (any number x d), and the squares along them.
struct Found {
    directions: Vec<f64>,
    squares: Vec<f64>,
}

impl Found {
    /// Whether the last square may be mostly rounding of the first.
    fn has_small_squares(&self) -> bool {
        self.squares.last().is_some_and(|&last| last < self.squares[0] * SMALL)
    }

    /// Completes the directions to `k`, by some without variance.
    fn complete(&mut self, d: usize, k: usize) {
        let known = self.squares.len();
        self.directions.resize(k * d, 0.0);
        self.squares.resize(k, 0.0);
        complete_basis(&mut self.directions, d, known);
    }
}

/// Principal directions from the Gram matrix of the rows (n x n): if u is an eigenvector of X X' with eigenvalue s, then
/// X'u / sqrt(s) is one of X'X. Only those whose square is more than `floor` of the largest, at most k.
fn dual(rows: &[f64], d: usize, k: usize, floor: f64, level: Level) -> Result<Found> {
    let n = rows.len() / d;
    let x = View::new(rows, n, d);
    let mut products = vec![0.0; n * n];
    let mut scratch = vec![0.0; scratch_len(n.max(d))];
    multiply_f64(level, &mut products, x, x.transposed(), EpilogueF64::Store, &mut scratch);
    let eigen = leading_eigen(&products, n, k.min(n), level)?;
    drop(products);
    let floor = eigen.values[0].max(0.0) * floor;
    let known = eigen.values.iter().take_while(|&&value| value > floor).count();
    let mut directions = vec![0.0; known * d];
    let left = View::new(&eigen.vectors[..known * n], known, n);
    multiply_f64(level, &mut directions, left, x, EpilogueF64::Store, &mut scratch);
    for direction in directions.chunks_exact_mut(d) {
        let length = direction.iter().map(|value| value * value).sum::<f64>().sqrt();
        direction.iter_mut().for_each(|value| *value /= length);
    }
    let mut squares = eigen.values;
    squares.truncate(known);
    Ok(Found { directions, squares })
}

/// Principal directions of the rows F of a factor, of which some were `found`, by deflation: the largest are taken out of the rows,
/// then the largest of what is left are looked for, as long as that is more than rounding.
fn by_deflation(mut rows: Vec<f64>, mut found: Found, d: usize, k: usize, level: Level) -> Result<Found> {
    let n = rows.len() / d;
    let sum_of_squares = |rows: &[f64]| rows.iter().map(|value| value * value).sum::<f64>();
    // Singular values below it are rounding errors (the rule of LINPACK, MATLAB and NumPy for ranks).
    let rounding = n.max(d) as f64 * f64::EPSILON;
    let nothing = sum_of_squares(&rows) * rounding * rounding;
    let floor = found.squares.first().map_or(0.0, |largest| largest * LARGE);
    let large = found.squares.iter().take_while(|&&square| square > floor).count();
    found.squares.truncate(large);
    found.directions.truncate(large * d);
    let mut taken = 0;
    loop {
        let count = found.squares.len();
        take_out(&mut rows, &found.directions[taken * d..], d, level);
        if count == taken || count == k || sum_of_squares(&rows) <= nothing {
            return Ok(found);
        }
        taken = count;
        let mut next = dual(&rows, d, k - taken, LARGE, level)?;
        found.directions.append(&mut next.directions);
        found.squares.append(&mut next.squares);
    }
}

/// Takes directions (any number x d), which are orthonormal but for rounding, out of rows (any number x d).
fn take_out(rows: &mut [f64], directions: &[f64], d: usize, level: Level) {
    let (n, count) = (rows.len() / d, directions.len() / d);
    let directions = View::new(directions, count, d);
    let mut along = vec![0.0; n * count];
    let mut scratch = vec![0.0; scratch_len(d.max(count))];
    // Once more: what rounding has left of them in the directions.
    for _ in 0..2 {
        let x = View::new(rows, n, d);
        multiply_f64(level, &mut along, x, directions.transposed(), EpilogueF64::Store, &mut scratch);
        along.iter_mut().for_each(|value| *value = -*value);
        let along = View::new(&along, n, count);
        multiply_f64(level, rows, along, directions, EpilogueF64::Accumulate, &mut scratch);
    }
}

/// The rows R of a Cholesky factorisation with pivoting, R'R = the scatter (d x d). Columns of very different size keep their
/// digits: the error of a sum of products is rounding of the two columns' own sizes (Higham 2002, section 10.3).
fn cholesky_rows(scatter: &[f64], d: usize) -> Vec<f64> {
    let diagonal: Vec<f64> = (0..d).map(|j| scatter[j * d + j]).collect();
    // What is left of each column's square; nothing of those that were pivots.
    let mut left = diagonal.clone();
    let mut rows: Vec<f64> = Vec::new();
    let is_open = |left: &[f64], j: usize| left[j] > diagonal[j] * d as f64 * f64::EPSILON;
    while let Some(pivot) = (0..d).filter(|&j| is_open(&left, j)).max_by(|&a, &b| left[a].total_cmp(&left[b]))
    {
        let mut new = scatter[pivot * d..][..d].to_vec();
        for row in rows.chunks_exact(d) {
            let weight = row[pivot];
            new.iter_mut().zip(row).for_each(|(sum, value)| *sum -= weight * value);
        }
        let root = left[pivot].sqrt();
        for (j, value) in new.iter_mut().enumerate() {
            *value = if is_open(&left, j) { *value / root } else { 0.0 };
            left[j] -= *value * *value;
        }
        new[pivot] = root;
        left[pivot] = 0.0;
        rows.extend(new);
    }
    rows
}
