//! Principal directions of moments.
//!
//! They are eigenvectors of the scatter matrix or, with more columns than rows, follow from those of the rows' Gram matrix (n x n).
//! Eigenvalues of such a matrix have absolute errors of about the rounding of the largest one: one column of time stamps would
//! drown the variance of all others. Where the last direction wanted is so small, the directions are the right singular vectors
//! of a factor F with F'F = scatter: singular values are the square roots, so that the smallest that can be told from rounding is
//! 1e-32 of the largest square rather than 1e-16 of it.

use narrows_kernels::Level;
use narrows_kernels::gemm::{EpilogueF64, View, multiply_f64, scratch_len};

use super::moments::{Moments, SecondMoments};
use crate::base::leading_eigen::leading_eigen;
use crate::base::linalg::{complete_basis, fix_signs, right_singular, singular_bytes};
use crate::base::memory;
use crate::error::Result;

/// Of the largest eigenvalue, the part below which the directions come from a factor. Above it, eigenvalues have 7 digits.
const SMALL: f64 = 1e-8;

/// Principal directions, about the mean or about zero.
pub(crate) struct Principal {
    /// k x width: orthonormal rows, in decreasing order of the sum of squares along them.
    pub directions: Vec<f64>,
    /// The sum of squares along each direction (k), in decreasing order: the eigenvalues.
    pub squares: Vec<f64>,
    /// The sum of squares along all directions: the trace.
    pub total: f64,
}

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
                (Found { directions: eigen.vectors, squares: eigen.values }, total)
            }
            SecondMoments::Centred(_) => {
                let rows = self.rows_about(with_mean);
                let total = rows.iter().map(|value| value * value).sum();
                (dual(&rows, n, d, k, level)?, total)
            }
        };
        if found.squares.last().is_some_and(|&last| last < found.squares[0] * SMALL) {
            let bytes = singular_bytes(n.min(d) + 1, d);
            memory::require_part(bytes, format_args!("a PCA of {n} rows of {d} numbers, some of them tiny"))?;
            found = of_factor(&self.factor(with_mean), d, k)?;
        }
        let Found { mut directions, squares } = found;
        fix_signs(&mut directions, d);
        Ok(Principal { directions, squares, total })
    }

    /// Rows F (any number x d) with F'F = the scatter about the mean or about zero.
    fn factor(&self, with_mean: bool) -> Vec<f64> {
        match &self.spread {
            SecondMoments::Centred(_) => self.rows_about(with_mean),
            SecondMoments::Scatter(scatter) => {
                let mut factor = cholesky_rows(scatter, self.width);
                if with_mean {
                    let weight = (self.rows as f64).sqrt();
                    factor.extend(self.mean.iter().map(|mean| weight * mean));
                }
                factor
            }
        }
    }

    /// The rows that were kept, about the mean or about zero.
    fn rows_about(&self, with_mean: bool) -> Vec<f64> {
        let SecondMoments::Centred(rows) = &self.spread else { unreachable!("the rows were kept") };
        let mut rows = rows.clone();
        if with_mean {
            for row in rows.chunks_exact_mut(self.width) {
                row.iter_mut().zip(&self.mean).for_each(|(value, mean)| *value += mean);
            }
        }
        rows
    }
}

/// Directions (k x d), and the squares along them, of which there are k.
struct Found {
    directions: Vec<f64>,
    squares: Vec<f64>,
}

/// Principal directions from the Gram matrix of the rows (n x n): if u is an eigenvector of X X' with eigenvalue s, then
/// X'u / sqrt(s) is one of X'X.
fn dual(rows: &[f64], n: usize, d: usize, k: usize, level: Level) -> Result<Found> {
    let x = View::new(rows, n, d);
    let mut products = vec![0.0; n * n];
    let mut scratch = vec![0.0; scratch_len(d)];
    multiply_f64(level, &mut products, x, x.transposed(), EpilogueF64::Store, &mut scratch);
    let eigen = leading_eigen(&products, n, k.min(n), level)?;
    let floor = eigen.values[0].max(0.0) * SMALL;
    let known = eigen.values.iter().take_while(|&&value| value > floor).count();
    let mut directions = vec![0.0; k * d];
    let left = View::new(&eigen.vectors[..known * n], known, n);
    multiply_f64(level, &mut directions[..known * d], left, x, EpilogueF64::Store, &mut scratch);
    for direction in directions[..known * d].chunks_exact_mut(d) {
        let length = direction.iter().map(|value| value * value).sum::<f64>().sqrt();
        direction.iter_mut().for_each(|value| *value /= length);
    }
    complete_basis(&mut directions, d, known);
    let mut squares = eigen.values;
    squares.truncate(known);
    squares.resize(k, 0.0);
    Ok(Found { directions, squares })
}

/// Principal directions of the rows F of a factor. Those without variance are completed to an orthonormal basis.
fn of_factor(factor: &[f64], d: usize, k: usize) -> Result<Found> {
    let rows = factor.len() / d;
    let singular = right_singular(factor, rows, d)?;
    // Singular values below it are rounding errors (the rule of LINPACK, MATLAB and NumPy for ranks).
    let floor = singular.values.first().copied().unwrap_or(0.0) * rows.max(d) as f64 * f64::EPSILON;
    let known = singular.values.iter().take(k).take_while(|&&value| value > floor).count();
    let mut directions = singular.vectors;
    directions.truncate(known * d);
    directions.resize(k * d, 0.0);
    complete_basis(&mut directions, d, known);
    let mut squares: Vec<f64> = singular.values[..known].iter().map(|value| value * value).collect();
    squares.resize(k, 0.0);
    Ok(Found { directions, squares })
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
