//! Mean and scatter of rows, in double precision, and the directions in which they spread most.
//!
//! Two passes: the mean about the first row, then squares about the mean, so that a mean of a million with a spread of one
//! costs no digits. What is kept depends on the shape: with more columns than rows, the d x d scatter is never formed; the
//! centred rows and their n x n products hold the same directions.

use std::sync::Mutex;

use narrows_kernels::matrix::{FinishWide, View, multiply_f64, scratch_len};
use narrows_kernels::{Level, lockstep};

use crate::base::linalg::{complete_basis, fix_signs, symmetric_eigen};
use crate::data::Source;
use crate::data::scaling::{Scaling, each_block};
use crate::error::Result;

/// Rows converted to double precision at a time.
const BLOCK: usize = 128;

/// Rows of the scatter matrix computed together. Fixed, whatever the number of threads.
const STRIP: usize = 48;

/// Mean and scatter of scaled rows.
pub(crate) struct Moments {
    pub rows: usize,
    pub width: usize,
    /// The mean of each column.
    pub mean: Vec<f64>,
    spread: Spread,
}

enum Spread {
    /// width x width: the sum over rows of (x - mean)' (x - mean).
    Scatter(Vec<f64>),
    /// rows x width: x - mean.
    Centred(Vec<f64>),
}

/// The directions of most spread: about the mean, or about zero.
pub(crate) struct Principal {
    /// k x width, orthonormal, most spread first.
    pub directions: Vec<f64>,
    /// The sum of squares along each of all directions that the data have, from the largest; k or more.
    pub squares: Vec<f64>,
    /// The sum of squares along all directions.
    pub total: f64,
}

impl Moments {
    /// Measures rows.
    pub fn new(source: &dyn Source, scaling: &Scaling, level: Level, threads: usize) -> Self {
        let (rows, width) = (source.rows(), source.shape().len());
        let mut shift = vec![0.0; width];
        source.read_f64(&[0], &mut shift);
        scaling.apply_f64(&mut shift, width);
        let mut sums = vec![0.0; width];
        let mut scaled = Vec::new();
        each_block(source, |block| {
            scaled.clear();
            scaled.extend_from_slice(block);
            scaling.apply_f64(&mut scaled, width);
            for row in scaled.chunks_exact(width) {
                for j in 0..width {
                    sums[j] += row[j] - shift[j];
                }
            }
        });
        let mean: Vec<f64> = shift.iter().zip(&sums).map(|(shift, sum)| shift + sum / rows as f64).collect();
        let read_centred = |indices: &[usize], out: &mut [f64]| {
            source.read_f64(indices, out);
            scaling.apply_f64(out, width);
            for row in out.chunks_exact_mut(width) {
                row.iter_mut().zip(&mean).for_each(|(value, mean)| *value -= mean);
            }
        };
        let spread = if width > rows {
            let mut centred = vec![0.0; rows * width];
            read_centred(&(0..rows).collect::<Vec<_>>(), &mut centred);
            Spread::Centred(centred)
        } else {
            Spread::Scatter(scatter(rows, width, level, threads, read_centred))
        };
        Self { rows, width, mean, spread }
    }

    /// The `k` directions of most spread about the mean: the eigenvectors of the covariance.
    pub fn about_mean(&self, k: usize, level: Level) -> Result<Principal> {
        self.principal(k, level, false)
    }

    /// The `k` directions of most spread about zero: the eigenvectors of X'X, the best that a network without biases can
    /// use (the linear autoencoder in closed form).
    pub fn about_zero(&self, k: usize, level: Level) -> Result<Principal> {
        self.principal(k, level, true)
    }

    fn principal(&self, k: usize, level: Level, with_mean: bool) -> Result<Principal> {
        let (n, d) = (self.rows, self.width);
        assert!(k <= d);
        let (mut directions, squares) = match &self.spread {
            Spread::Scatter(scatter) => {
                let mut matrix = scatter.clone();
                if with_mean {
                    for i in 0..d {
                        for j in 0..d {
                            matrix[i * d + j] += n as f64 * self.mean[i] * self.mean[j];
                        }
                    }
                }
                let eigen = symmetric_eigen(&matrix, d)?;
                (eigen.vectors[..k * d].to_vec(), eigen.values)
            }
            Spread::Centred(rows) => {
                let mut rows = rows.clone();
                if with_mean {
                    for row in rows.chunks_exact_mut(d) {
                        row.iter_mut().zip(&self.mean).for_each(|(value, mean)| *value += mean);
                    }
                }
                dual_directions(&rows, n, d, k, level)?
            }
        };
        fix_signs(&mut directions, d);
        // Rounding leaves eigenvalues of -1e-12 where there is no spread.
        let squares: Vec<f64> = squares.into_iter().map(|square| square.max(0.0)).collect();
        let total = squares.iter().sum();
        Ok(Principal { directions, squares, total })
    }
}

/// The sum over rows of x'x, each strip of it by one thread, over the rows in order.
fn scatter(
    rows: usize,
    width: usize,
    level: Level,
    threads: usize,
    read: impl Fn(&[usize], &mut [f64]) + Sync,
) -> Vec<f64> {
    // Strip s holds rows s * STRIP.. of the matrix, from the diagonal to the right.
    let strips: Vec<Mutex<Vec<f64>>> = (0..width)
        .step_by(STRIP)
        .map(|first| Mutex::new(vec![0.0; STRIP.min(width - first) * (width - first)]))
        .collect();
    lockstep::run(threads.min(strips.len()), (), |member, _| {
        let mut block = vec![0.0; BLOCK.min(rows) * width];
        let mut scratch = vec![0.0; scratch_len(BLOCK)];
        let mut indices = Vec::with_capacity(BLOCK);
        for start in (0..rows).step_by(BLOCK) {
            indices.clear();
            indices.extend(start..(start + BLOCK).min(rows));
            let block = &mut block[..indices.len() * width];
            read(&indices, block);
            for (strip, sums) in strips.iter().enumerate().skip(member.index()).step_by(member.threads()) {
                let first = strip * STRIP;
                let x = View::new(block, indices.len(), width);
                let left = x.columns(first, STRIP.min(width - first)).transposed();
                let right = x.columns(first, width - first);
                let mut sums = sums.lock().expect("each strip has one thread");
                multiply_f64(level, &mut sums, left, right, FinishWide::Accumulate, &mut scratch);
            }
        }
    });
    let mut matrix = vec![0.0; width * width];
    for (strip, sums) in strips.into_iter().enumerate() {
        let first = strip * STRIP;
        let sums = sums.into_inner().expect("each strip has one thread");
        for (i, row) in sums.chunks_exact(width - first).enumerate() {
            for (j, &value) in row.iter().enumerate() {
                matrix[(first + i) * width + first + j] = value;
                matrix[(first + j) * width + first + i] = value;
            }
        }
    }
    matrix
}

/// Directions from the n x n products of rows: if u is an eigenvector of X X' with value s, then X'u / sqrt(s) is one of
/// X'X. Directions that the rows leave open are completed.
fn dual_directions(rows: &[f64], n: usize, d: usize, k: usize, level: Level) -> Result<(Vec<f64>, Vec<f64>)> {
    let x = View::new(rows, n, d);
    let mut products = vec![0.0; n * n];
    let mut scratch = vec![0.0; scratch_len(d)];
    multiply_f64(level, &mut products, x, x.transposed(), FinishWide::Store, &mut scratch);
    let eigen = symmetric_eigen(&products, n)?;
    let floor = eigen.values[0].max(0.0) * n as f64 * 1e-13;
    let known = eigen.values.iter().take(k).take_while(|&&value| value > floor).count();
    let mut directions = vec![0.0; k * d];
    let left = View::new(&eigen.vectors[..known * n], known, n);
    multiply_f64(level, &mut directions[..known * d], left, x, FinishWide::Store, &mut scratch);
    for direction in directions[..known * d].chunks_exact_mut(d) {
        let length = direction.iter().map(|value| value * value).sum::<f64>().sqrt();
        direction.iter_mut().for_each(|value| *value /= length);
    }
    complete_basis(&mut directions, d, known);
    // Below the floor there is only rounding: no spread.
    let squares = eigen.values.into_iter().map(|value| if value > floor { value } else { 0.0 }).collect();
    Ok((directions, squares))
}
