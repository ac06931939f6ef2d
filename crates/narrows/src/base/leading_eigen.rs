//! The leading eigenpairs of a symmetric positive semidefinite matrix, where they are few.
//!
//! A block Lanczos method with full orthogonalisation (Golub and Underwood 1977): the Rayleigh-Ritz pairs of the Krylov
//! subspace of A and a block of random vectors, which grows until the pairs are as accurate as those of the full decomposition.
//! Two checks make sure of that: the residuals A v - value v are at the level of rounding, and a Cholesky factorisation shows that
//! no larger eigenvalue was missed, as might happen with more equal eigenvalues than the block has vectors.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{cholesky_in_place, cholesky_in_place_scratch};
use faer::{MatMut, Par};
use narrows_kernels::Level;
use narrows_kernels::gemm::{EpilogueF64, View, multiply_f64, scratch_len};

use super::linalg::{Eigen, symmetric_eigen};
use super::random::{Purpose, generator, normal};
use crate::error::Result;

/// Vectors by which the subspace grows. More make the products faster, fewer need a smaller subspace.
const BLOCK: usize = 16;

/// The size of a matrix below which all pairs are found as quickly.
const LEAST_SIZE: usize = 192;

/// Of so many eigenvectors the leading one may be computed alone with gain.
const SIZE_PER_PAIR: usize = 8;

/// Passes of orthogonalisation of a block, at most.
const MAX_PASSES: usize = 5;

/// The largest subspace, as a part of the matrix. A larger one costs more than the full decomposition.
const LARGEST_PART: usize = 2;

/// The `count` leading eigenpairs of a symmetric positive semidefinite matrix (size x size, both triangles).
///
/// # Errors
/// Where the matrix has entries that are not finite, or the full solver, which does what this method cannot, fails.
pub(crate) fn leading_eigen(matrix: &[f64], size: usize, count: usize, level: Level) -> Result<Eigen> {
    let is_few = size >= LEAST_SIZE && count.saturating_mul(SIZE_PER_PAIR) <= size;
    if is_few
        && matrix.iter().all(|value| value.is_finite())
        && let Some(eigen) = krylov_pairs(matrix, size, count, level)
    {
        return Ok(eigen);
    }
    let mut eigen = symmetric_eigen(matrix, size)?;
    eigen.values.truncate(count);
    eigen.vectors.truncate(count * size);
    eigen.vectors.shrink_to_fit();
    Ok(eigen)
}

/// The `count` leading eigenpairs by the Krylov subspace, or none where the largest subspace is not enough, or where the checks fail.
fn krylov_pairs(matrix: &[f64], size: usize, count: usize, level: Level) -> Option<Eigen> {
    let mut krylov = Krylov::new(size, BLOCK, size / LARGEST_PART, level);
    let mut next = (4 * count).next_multiple_of(BLOCK) + 2 * BLOCK;
    let mut before: Option<(usize, f64)> = None;
    let mut scratch = vec![0.0; scratch_len(size)];
    while !krylov.is_full() {
        let block = krylov.next_block();
        let mut products = vec![0.0; size * BLOCK];
        let columns = View::new(&block, BLOCK, size).transposed();
        let a = View::new(matrix, size, size);
        multiply_f64(level, &mut products, a, columns, EpilogueF64::Store, &mut scratch);
        krylov.add(block, products);
        if krylov.rows() < next && !krylov.is_full() {
            continue;
        }
        let ritz = krylov.rayleigh_ritz().ok()?;
        // Rounding alone makes residuals of this size.
        let tolerance = ritz.values[0] * f64::EPSILON * (size as f64).sqrt() * 4.0;
        let residuals = krylov.residuals(&ritz, count);
        let (rows, residual) = (krylov.rows(), residuals.into_iter().fold(0.0, f64::max));
        if residual <= tolerance {
            let eigen = krylov.eigenpairs(ritz, count);
            drop(krylov);
            let holds = is_accurate(matrix, size, &eigen, 2.0 * tolerance, level)
                && is_complete(matrix, size, &eigen, level);
            return holds.then_some(eigen);
        }
        // Residuals fall about geometrically with the size of the subspace, from the size of the largest eigenvalue on.
        let (rows_before, residual_before) = before.unwrap_or((0, ritz.values[0]));
        let factors = (residual / tolerance).ln() / (residual_before / residual).ln().max(f64::EPSILON);
        let more = (factors * (rows - rows_before) as f64) as usize;
        before = Some((rows, residual));
        next = rows + more.clamp(1, rows / 2).next_multiple_of(BLOCK);
    }
    None
}

/// The Krylov subspace of a symmetric matrix A and a random block. It never sees A: whoever grows it multiplies.
pub(crate) struct Krylov {
    size: usize,
    /// Vectors of a block.
    block: usize,
    level: Level,
    /// Orthonormal rows of `size` numbers.
    basis: Vec<f64>,
    /// V A V' of the basis V, `most` x `most` of which as much is filled as the basis has rows.
    projected: Vec<f64>,
    /// The largest number of rows of the basis.
    most: usize,
    /// Of A Q', for the last block Q, what lies outside the basis: size x block.
    remainder: Vec<f64>,
    scratch: Vec<f64>,
}

impl Krylov {
    /// An empty subspace of a matrix (size x size), which grows by blocks to about `most` vectors.
    pub fn new(size: usize, block: usize, most: usize, level: Level) -> Self {
        let most = most.next_multiple_of(block);
        Self {
            size,
            block,
            level,
            basis: Vec::new(),
            projected: vec![0.0; most * most],
            most,
            remainder: vec![0.0; size * block],
            scratch: vec![0.0; scratch_len(size)],
        }
    }

    /// Bytes of a subspace of so many vectors, and of what it takes to grow by one block.
    pub fn bytes(size: usize, block: usize, most: usize) -> usize {
        let vectors = most.saturating_add(block.saturating_mul(6));
        let projected = most.saturating_mul(most).saturating_mul(4);
        let numbers =
            size.saturating_mul(vectors).saturating_add(projected).saturating_add(scratch_len(size));
        numbers.saturating_mul(size_of::<f64>())
    }

    /// The number of rows of the basis.
    pub fn rows(&self) -> usize {
        self.basis.len() / self.size
    }

    /// Whether the subspace has its largest size.
    pub fn is_full(&self) -> bool {
        self.rows() >= self.most
    }

    /// Adds the block that [`Krylov::next_block`] gave, and its products A Q' (size x block).
    pub fn add(&mut self, block: Vec<f64>, products: Vec<f64>) {
        let Self { most, block: width, .. } = *self;
        let first = self.rows();
        self.basis.extend(block);
        self.remainder = products;
        let products =
            subtract_projection(&self.basis, &mut self.remainder, self.size, self.level, &mut self.scratch);
        for (i, row) in products.chunks_exact(width).enumerate() {
            for (j, &product) in row.iter().enumerate() {
                self.projected[i * most + first + j] = product;
                self.projected[(first + j) * most + i] = product;
            }
        }
    }

    /// The next block of the basis (block x size): the remainder of the last one, orthonormalised. Directions in which nothing
    /// is left are drawn at random; those of the first block all are.
    pub fn next_block(&mut self) -> Vec<f64> {
        let Self { size, block: count, .. } = *self;
        let first = self.rows();
        let mut random = generator(0, Purpose::Eigenvectors, first as u64);
        let mut block = match first {
            0 => vec![0.0; count * size],
            _ => transposed(&self.remainder, size, count),
        };
        let rounding = self.projected[0].abs() * f64::EPSILON;
        for pass in 0..MAX_PASSES {
            let mut least_kept = f64::INFINITY;
            for index in 0..count {
                let (done, rest) = block.split_at_mut(index * size);
                let new = &mut rest[..size];
                let before = dot(new, new).sqrt();
                for direction in done.chunks_exact(size) {
                    let along = dot(new, direction);
                    new.iter_mut().zip(direction).for_each(|(value, part)| *value -= along * part);
                }
                let mut length = dot(new, new).sqrt();
                if length <= if pass == 0 { rounding } else { f64::EPSILON } {
                    new.iter_mut().for_each(|value| *value = normal(&mut random));
                    length = dot(new, new).sqrt();
                    least_kept = 0.0;
                }
                new.iter_mut().for_each(|value| *value /= length);
                least_kept = least_kept.min(length / before).min(before);
            }
            // Cancellation in a pass spoils orthogonality; the next restores it, unless much is cancelled there, too.
            if pass > 0 && least_kept > 0.5 {
                break;
            }
            let mut columns = transposed(&block, count, size);
            subtract_projection(&self.basis, &mut columns, size, self.level, &mut self.scratch);
            block = transposed(&columns, size, count);
        }
        block
    }

    /// The eigenpairs of the projected matrix.
    ///
    /// # Errors
    /// Where the projected matrix has entries that are not finite.
    pub fn rayleigh_ritz(&self) -> Result<Eigen> {
        let rows = self.rows();
        let row = |i: usize| &self.projected[i * self.most..][..rows];
        let projected: Vec<f64> = (0..rows).flat_map(row).copied().collect();
        symmetric_eigen(&projected, rows)
    }

    /// The lengths of A v - value v of the leading Ritz vectors v, whose part in the last block alone leads out of the subspace.
    pub fn residuals(&mut self, ritz: &Eigen, count: usize) -> Vec<f64> {
        let (size, rows, block) = (self.size, self.rows(), self.block);
        let mut residuals = vec![0.0; size * count];
        let vectors = View::new(&ritz.vectors[..count * rows], count, rows);
        let last = vectors.columns(rows - block, block).transposed();
        let remainder = View::new(&self.remainder, size, block);
        multiply_f64(self.level, &mut residuals, remainder, last, EpilogueF64::Store, &mut self.scratch);
        lengths(&residuals, count)
    }

    /// The leading Ritz pairs as pairs of the matrix.
    pub fn eigenpairs(&mut self, ritz: Eigen, count: usize) -> Eigen {
        let (size, rows) = (self.size, self.rows());
        let mut vectors = vec![0.0; count * size];
        let within = View::new(&ritz.vectors[..count * rows], count, rows);
        let basis = View::new(&self.basis, rows, size);
        multiply_f64(self.level, &mut vectors, within, basis, EpilogueF64::Store, &mut self.scratch);
        let mut values = ritz.values;
        values.truncate(count);
        Eigen { values, vectors }
    }
}

/// Subtracts from columns (size x any number) what lies in the span of an orthonormal basis (rows of `size`): V'V X. Returns V X.
fn subtract_projection(
    basis: &[f64],
    columns: &mut [f64],
    size: usize,
    level: Level,
    scratch: &mut [f64],
) -> Vec<f64> {
    let rows = basis.len() / size;
    let basis = View::new(basis, rows, size);
    let width = columns.len() / size;
    let mut products = vec![0.0; rows * width];
    if rows > 0 {
        let x = View::new(columns, size, width);
        multiply_f64(level, &mut products, basis, x, EpilogueF64::Store, scratch);
        let negative: Vec<f64> = products.iter().map(|product| -product).collect();
        let negative = View::new(&negative, rows, width);
        multiply_f64(level, columns, basis.transposed(), negative, EpilogueF64::Accumulate, scratch);
    }
    products
}

/// Whether no eigenvalue of the matrix is larger than the least of `eigen` by more than rounding, but those of `eigen`: then
/// (least + margin) I - A + V' diag(values) V is positive definite, and has a Cholesky factorisation.
fn is_complete(matrix: &[f64], size: usize, eigen: &Eigen, level: Level) -> bool {
    let count = eigen.values.len();
    let margin = eigen.values[0] * f64::EPSILON * size as f64 * 8.0;
    let mut definite: Vec<f64> = matrix.iter().map(|value| -value).collect();
    for i in 0..size {
        definite[i * size + i] += eigen.values[count - 1].max(0.0) + margin;
    }
    let mut weighted = eigen.vectors.clone();
    for (row, &value) in weighted.chunks_exact_mut(size).zip(&eigen.values) {
        row.iter_mut().for_each(|part| *part *= value);
    }
    let (weighted, vectors) = (View::new(&weighted, count, size), View::new(&eigen.vectors, count, size));
    let mut scratch = vec![0.0; scratch_len(count)];
    multiply_f64(level, &mut definite, weighted.transposed(), vectors, EpilogueF64::Accumulate, &mut scratch);
    let mut memory = MemBuffer::new(cholesky_in_place_scratch::<f64>(size, Par::Seq, Default::default()));
    cholesky_in_place(
        MatMut::from_column_major_slice_mut(&mut definite, size, size),
        Default::default(),
        Par::Seq,
        MemStack::new(&mut memory),
        Default::default(),
    )
    .is_ok()
}

/// Whether A v - value v is as small as rounding allows for each pair.
fn is_accurate(matrix: &[f64], size: usize, eigen: &Eigen, tolerance: f64, level: Level) -> bool {
    let count = eigen.values.len();
    let mut residuals = vec![0.0; size * count];
    for (j, (vector, value)) in eigen.vectors.chunks_exact(size).zip(&eigen.values).enumerate() {
        for (i, part) in vector.iter().enumerate() {
            residuals[i * count + j] = -value * part;
        }
    }
    let vectors = View::new(&eigen.vectors, count, size).transposed();
    let mut scratch = vec![0.0; scratch_len(size)];
    let matrix = View::new(matrix, size, size);
    multiply_f64(level, &mut residuals, matrix, vectors, EpilogueF64::Accumulate, &mut scratch);
    lengths(&residuals, count).into_iter().all(|length| length <= tolerance)
}

/// The lengths of the columns of a matrix (n x count).
fn lengths(matrix: &[f64], count: usize) -> Vec<f64> {
    let mut squares = vec![0.0; count];
    for row in matrix.chunks_exact(count) {
        squares.iter_mut().zip(row).for_each(|(sum, value)| *sum += value * value);
    }
    squares.into_iter().map(f64::sqrt).collect()
}

/// The inner product, in eight sums that the processor adds to at once.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a, b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(x, y)| x * y).sum();
    for (a, b) in a.zip(b) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// The transpose of a matrix (rows x columns).
fn transposed(matrix: &[f64], rows: usize, columns: usize) -> Vec<f64> {
    let mut out = Vec::with_capacity(rows * columns);
    for j in 0..columns {
        out.extend((0..rows).map(|i| matrix[i * columns + j]));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::linalg::orthonormal_rows;

    /// A symmetric matrix with these eigenvalues, and random eigenvectors.
    fn with_eigenvalues(values: &[f64]) -> Vec<f64> {
        let size = values.len();
        let mut random = generator(5, Purpose::Noise, size as u64);
        let mut vectors: Vec<f64> = (0..size * size).map(|_| normal(&mut random)).collect();
        orthonormal_rows(&mut vectors, size, 0);
        let mut weighted = vectors.clone();
        for (row, value) in weighted.chunks_exact_mut(size).zip(values) {
            row.iter_mut().for_each(|part| *part *= value);
        }
        let (left, right) = (View::new(&weighted, size, size), View::new(&vectors, size, size));
        let mut matrix = vec![0.0; size * size];
        let mut scratch = vec![0.0; scratch_len(size)];
        let level = Level::detect();
        multiply_f64(level, &mut matrix, left.transposed(), right, EpilogueF64::Store, &mut scratch);
        for i in 0..size {
            for j in 0..i {
                matrix[i * size + j] = matrix[j * size + i];
            }
        }
        matrix
    }

    fn krylov(matrix: &[f64], size: usize, count: usize) -> Option<Eigen> {
        krylov_pairs(matrix, size, count, Level::detect())
    }

    #[test]
    fn leading_pairs_are_those_of_the_full_decomposition() {
        let slow = |i: usize| 1.0 / (1.0 + i as f64 / 20.0);
        let fast = |i: usize| 0.8f64.powi(i as i32);
        let graded = |i: usize| if i < 3 { 1e12 } else { 0.9f64.powi(i as i32) };
        let low_rank = |i: usize| if i < 9 { 9.0 - i as f64 } else { 0.0 };
        let spectra: [&dyn Fn(usize) -> f64; 4] = [&slow, &fast, &graded, &low_rank];
        for (size, count) in [(192, 1), (200, 7), (333, 24), (400, 50)] {
            for (number, spectrum) in spectra.iter().enumerate() {
                let values: Vec<f64> = (0..size).map(spectrum).collect();
                let matrix = with_eigenvalues(&values);
                let Some(found) = krylov(&matrix, size, count) else {
                    assert_eq!(number, 0, "only eigenvalues close to each other need a larger subspace");
                    continue;
                };
                let full = symmetric_eigen(&matrix, size).unwrap();
                let rounding = full.values[0] * size as f64 * f64::EPSILON;
                for (i, (found, full)) in found.values.iter().zip(&full.values).enumerate() {
                    assert!((found - full).abs() <= rounding, "{size} {number} {i}: {found} {full}");
                }
                // Orthonormal, and eigenvectors: not compared with others, which equal eigenvalues leave open.
                for i in 0..count {
                    let own = &found.vectors[i * size..][..size];
                    for j in 0..=i {
                        let product = dot(own, &found.vectors[j * size..][..size]);
                        assert!((product - f64::from(u8::from(i == j))).abs() < 1e-13, "{product}");
                    }
                    let apart = matrix.chunks_exact(size).zip(own);
                    let squares = apart.map(|(row, part)| (dot(row, own) - found.values[i] * part).powi(2));
                    assert!(squares.sum::<f64>().sqrt() < 4.0 * rounding);
                }
            }
        }
    }

    /// A Krylov subspace has at most as many directions of one eigenvalue as its block has vectors.
    #[test]
    fn missed_eigenvalues_are_noticed() {
        let size = 256;
        let values: Vec<f64> =
            (0..size).map(|i| if i < 40 { 5.0 } else { 0.5f64.powi(i as i32 - 40) }).collect();
        let matrix = with_eigenvalues(&values);
        let found = leading_eigen(&matrix, size, 30, Level::detect()).unwrap();
        assert!(found.values.iter().all(|value| (value - 5.0).abs() < 1e-12), "{:?}", found.values);

        // A pair left out.
        let full = symmetric_eigen(&matrix, size).unwrap();
        let without = |index: usize| {
            let (mut values, mut vectors) = (full.values[..41].to_vec(), full.vectors[..41 * size].to_vec());
            values.remove(index);
            vectors.drain(index * size..(index + 1) * size);
            Eigen { values, vectors }
        };
        assert!(is_complete(&matrix, size, &without(40), Level::detect()));
        assert!(!is_complete(&matrix, size, &without(39), Level::detect()));
        assert!(!is_complete(&matrix, size, &without(0), Level::detect()));
        // A vector that is none.
        let mut wrong = without(40);
        wrong.vectors[3] += 1e-6;
        let tolerance = 5.0 * f64::EPSILON * 64.0;
        assert!(is_accurate(&matrix, size, &without(40), tolerance, Level::detect()));
        assert!(!is_accurate(&matrix, size, &wrong, tolerance, Level::detect()));
    }

    #[test]
    fn matrices_without_a_spectrum_are_left_to_the_full_solver() {
        let size = 200;
        let found = leading_eigen(&vec![0.0; size * size], size, 3, Level::detect()).unwrap();
        assert_eq!(found.values, [0.0; 3]);
        let mut unit = vec![0.0; size * size];
        (0..size).for_each(|i| unit[i * size + i] = 1.0);
        let found = leading_eigen(&unit, size, 3, Level::detect()).unwrap();
        assert!(found.values.iter().all(|value| (value - 1.0).abs() < 1e-14));
        assert!(leading_eigen(&vec![f64::NAN; size * size], size, 3, Level::detect()).is_err());
    }
}
