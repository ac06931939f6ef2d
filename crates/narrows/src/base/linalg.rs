//! Eigenvectors of symmetric matrices and their signs, orthonormal bases.

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::{Mat, MatRef, Par};

use crate::error::{Error, ErrorKind, Result};

/// Eigenvalues in decreasing order, and unit eigenvectors.
pub(crate) struct Eigen {
    pub values: Vec<f64>,
    /// size x size: one eigenvector per row, in the order of the values.
    pub vectors: Vec<f64>,
}

/// The eigenpairs of a symmetric matrix (size x size, of which only the lower triangle is read).
///
/// The solver runs on one thread, because its rounding depends on the number of threads.
///
/// # Errors
/// Where the matrix has entries that are not finite, or the solver fails.
pub(crate) fn symmetric_eigen(matrix: &[f64], size: usize) -> Result<Eigen> {
    let failed =
        || Error::new(ErrorKind::Diverged, "the eigenvalues of the covariance could not be computed");
    // The solver may not terminate on numbers that are not finite.
    if !matrix.iter().all(|value| value.is_finite()) {
        return Err(failed().hint("the numbers are too large: scale the data"));
    }
    let matrix = MatRef::from_row_major_slice(matrix, size, size);
    let mut values = Diag::<f64>::zeros(size);
    let mut vectors = Mat::<f64>::zeros(size, size);
    let request =
        self_adjoint_evd_scratch::<f64>(size, ComputeEigenvectors::Yes, Par::Seq, Default::default());
    let mut memory = MemBuffer::new(request);
    self_adjoint_evd(
        matrix,
        values.as_mut(),
        Some(vectors.as_mut()),
        Par::Seq,
        MemStack::new(&mut memory),
        Default::default(),
    )
    .map_err(|_| failed())?;
    drop(memory);
    let mut order: Vec<usize> = (0..size).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    let mut flat = Vec::with_capacity(size * size);
    for &column in &order {
        flat.extend((0..size).map(|row| vectors[(row, column)]));
    }
    Ok(Eigen { values: order.into_iter().map(|column| values[column]).collect(), vectors: flat })
}

/// Bytes that [`symmetric_eigen`] takes at most beside the matrix; those of its result are the square of `size` numbers among them.
pub(crate) fn eigen_bytes(size: usize) -> usize {
    let square = size.saturating_mul(size).saturating_mul(size_of::<f64>());
    if square > isize::MAX as usize / 8 {
        return usize::MAX;
    }
    let request =
        self_adjoint_evd_scratch::<f64>(size, ComputeEigenvectors::Yes, Par::Seq, Default::default());
    // The eigenvectors, and beside them the work space or their copy in order.
    square + request.unaligned_bytes_required().max(square)
}

/// Fixes the signs of directions (n x width): the entry of largest magnitude, the first of equals, is made positive.
pub(crate) fn fix_signs(directions: &mut [f64], width: usize) {
    for direction in directions.chunks_exact_mut(width) {
        let mut largest = 0.0f64;
        for &value in direction.iter() {
            // Rounding must not decide between entries of equal magnitude.
            if value.abs() > largest.abs() * (1.0 + 1e-9) {
                largest = value;
            }
        }
        if largest < 0.0 {
            direction.iter_mut().for_each(|value| *value = -*value);
        }
    }
}

/// Completes an orthonormal basis (n x width), of which the first `from` directions are given: each further direction is the
/// standard unit vector that is farthest from the span of those before it, orthogonalised. For directions without variance,
/// which the data do not determine.
pub(crate) fn complete_basis(directions: &mut [f64], width: usize, from: usize) {
    let count = directions.len() / width;
    for index in from..count {
        let (done, rest) = directions.split_at_mut(index * width);
        // The squared length of the projection of a unit vector onto the basis is the sum of squares of its column.
        let mut inside = vec![0.0; width];
        for direction in done.chunks_exact(width) {
            inside.iter_mut().zip(direction).for_each(|(sum, value)| *sum += value * value);
        }
        let axis = (0..width).min_by(|&a, &b| inside[a].total_cmp(&inside[b])).unwrap_or(0);
        let new = &mut rest[..width];
        new.fill(0.0);
        new[axis] = 1.0;
        orthonormalize(done, new);
    }
}

/// Orthonormalises rows (n x width) by the Gram-Schmidt process, of which those before number `from` are orthonormal. They must be
/// linearly independent.
pub(crate) fn orthonormal_rows(rows: &mut [f64], width: usize, from: usize) {
    for index in from..rows.len() / width {
        let (done, rest) = rows.split_at_mut(index * width);
        orthonormalize(done, &mut rest[..width]);
    }
}

/// Subtracts the projection onto the orthonormal rows of `done` and normalises the rest.
fn orthonormalize(done: &[f64], new: &mut [f64]) {
    // A second pass restores orthogonality to working precision (Kahan: "twice is enough").
    for _ in 0..2 {
        for direction in done.chunks_exact(new.len()) {
            let along: f64 = direction.iter().zip(new.iter()).map(|(a, b)| a * b).sum();
            new.iter_mut().zip(direction).for_each(|(value, part)| *value -= along * part);
        }
        let length = new.iter().map(|value| value * value).sum::<f64>().sqrt();
        new.iter_mut().for_each(|value| *value /= length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eigenpairs_rebuild_the_matrix() {
        for size in [1, 2, 3, 10, 57] {
            let mut matrix = vec![0.0; size * size];
            for i in 0..size {
                for j in 0..=i {
                    let value = ((i * 31 + j * 17) % 23) as f64 - 11.0;
                    matrix[i * size + j] = value;
                    matrix[j * size + i] = value;
                }
            }
            let Eigen { values, vectors } = symmetric_eigen(&matrix, size).unwrap();
            assert!(values.windows(2).all(|pair| pair[0] >= pair[1]));
            for i in 0..size {
                for j in 0..size {
                    let at = |k: usize, i: usize| vectors[k * size + i];
                    let rebuilt: f64 = (0..size).map(|k| values[k] * at(k, i) * at(k, j)).sum();
                    assert!((rebuilt - matrix[i * size + j]).abs() < 1e-11 * size as f64);
                    let product: f64 = (0..size).map(|l| at(i, l) * at(j, l)).sum();
                    assert!((product - f64::from(u8::from(i == j))).abs() < 1e-12);
                }
            }
        }
        assert!(symmetric_eigen(&[f64::NAN], 1).is_err());
    }

    #[test]
    fn signs_and_open_directions() {
        let mut directions = vec![-0.6, 0.8, 0.6, -0.8, -0.5, 0.5];
        fix_signs(&mut directions, 2);
        assert_eq!(directions, [-0.6, 0.8, -0.6, 0.8, 0.5, -0.5]);
        let mut basis = vec![0.6, 0.8, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        complete_basis(&mut basis, 3, 1);
        for i in 0..3 {
            for j in 0..3 {
                let product: f64 = (0..3).map(|l| basis[i * 3 + l] * basis[j * 3 + l]).sum();
                assert!((product - f64::from(u8::from(i == j))).abs() < 1e-15);
            }
        }
    }
}
