//! Encoding and decoding in single precision, for rows that are stored in it or in bytes, where that costs no digit that counts.
//!
//! The scaling of the rows, the mean and whitening are folded into the factors, so that a row is read once: with x' = (x - o) / s,
//! the code is P (x' - m) / w = (P / s w) (x - c) + P ((c - o) / s - m) / w for any centre c. The centre is the mean in the rows' own
//! units, rounded to single precision; the last term, found in double precision, makes up for the rounding.

use narrows_kernels::gemm::{Epilogue, View, multiply, scratch_len};
use narrows_kernels::{Activation, Level, vector};

use super::Pca;
use crate::data::scaling::Scaling;

/// The largest ratio of the total variance to that of the last component for which codes are computed in single precision. The
/// rounding of a row, about its deviation from the mean, then is less than 1e-5 of the deviation of every code.
const MAX_VARIANCE_RATIO: f64 = 1e4;

/// A PCA with its scaling, in single precision.
pub(crate) struct SinglePca {
    d: usize,
    k: usize,
    centre: Vec<f32>,
    /// d x k: the columns give the codes.
    to_codes: Vec<f32>,
    code_offsets: Vec<f32>,
    /// k x d: the rows give the rows.
    to_rows: Vec<f32>,
    row_offsets: Vec<f32>,
}

impl SinglePca {
    /// None where single precision is not enough.
    pub fn new(pca: &Pca, scaling: &Scaling) -> Option<Self> {
        let (d, k) = (pca.mean.len(), pca.code_size());
        let least = pca.explained_variance.iter().copied().fold(f64::INFINITY, f64::min);
        // Also where the last component has no variance at all.
        let is_even = pca.total_variance <= MAX_VARIANCE_RATIO * least;
        if !is_even {
            return None;
        }
        let of = |values: &[f64], j: usize| values[if values.len() == 1 { 0 } else { j }];
        let (offset, scale) = (|j| of(&scaling.offsets, j), |j| of(&scaling.scales, j));
        let divisors = pca.divisors();
        let centre: Vec<f32> = (0..d).map(|j| (offset(j) + scale(j) * pca.mean[j]) as f32).collect();
        let rest: Vec<f64> =
            (0..d).map(|j| (f64::from(centre[j]) - offset(j)) / scale(j) - pca.mean[j]).collect();
        let mut to_codes = vec![0.0; d * k];
        let mut to_rows = vec![0.0; k * d];
        let mut code_offsets = Vec::with_capacity(k);
        for (i, component) in pca.components.chunks_exact(d).enumerate() {
            for (j, &weight) in component.iter().enumerate() {
                to_codes[j * k + i] = (weight / scale(j) / divisors[i]) as f32;
                to_rows[i * d + j] = (weight * scale(j) * divisors[i]) as f32;
            }
            let offset: f64 = component.iter().zip(&rest).map(|(weight, rest)| weight * rest).sum();
            code_offsets.push((offset / divisors[i]) as f32);
        }
        let row_offsets: Vec<f32> = (0..d).map(|j| (pca.mean[j] * scale(j) + offset(j)) as f32).collect();
        let all = [&centre, &to_codes, &code_offsets, &to_rows, &row_offsets];
        let is_finite = all.into_iter().flatten().all(|value| value.is_finite());
        is_finite.then_some(Self { d, k, centre, to_codes, code_offsets, to_rows, row_offsets })
    }

    /// Encodes rows (n x d, in their own units), which are centred in place: codes (n x k).
    pub fn encode(&self, codes: &mut [f32], rows: &mut [f32], work: &mut SingleWork, level: Level) {
        vector::subtract_row(level, rows, &self.centre);
        product(codes, rows, (self.d, self.k), &self.to_codes, &self.code_offsets, work, level);
    }

    /// Decodes codes (n x k): rows (n x d, in their own units).
    pub fn decode(&self, rows: &mut [f32], codes: &[f32], work: &mut SingleWork, level: Level) {
        product(rows, codes, (self.k, self.d), &self.to_rows, &self.row_offsets, work, level);
    }

    /// The memory of a thread.
    pub fn work(&self) -> SingleWork {
        SingleWork(vec![0.0; scratch_len(self.d.max(self.k))])
    }
}

/// The memory of a thread that encodes and decodes.
pub(crate) struct SingleWork(Vec<f32>);

/// out = rows (n x from) factors (from x to) + offsets.
fn product(
    out: &mut [f32],
    rows: &[f32],
    (from, to): (usize, usize),
    factors: &[f32],
    offsets: &[f32],
    work: &mut SingleWork,
    level: Level,
) {
    let epilogue = Epilogue::Forward { bias: Some(offsets), activation: Activation::Linear };
    let rows = View::new(rows, rows.len() / from, from);
    multiply(level, out, rows, View::new(factors, from, to), epilogue, &mut work.0);
}
