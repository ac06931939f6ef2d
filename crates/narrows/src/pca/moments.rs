//! Mean and scatter matrix of rows, in double precision.
//!
//! [`Moments::measure`] takes the fastest way that costs no digits: integers for bytes, single precision for many rows in
//! single precision (`gram`), and else double precision in two passes, one for the mean, with sums about the first row, one for
//! squares about the mean, so that a mean of a million and a standard deviation of one cost no digits. With more columns than rows, the d x d scatter
//! matrix is not formed; the centred rows are kept.
//!
//! [`Scatter`] is the accumulator: rows are pushed in blocks, and scatters of parts of the rows, about any centres, are
//! merged (Chan, Golub and LeVeque 1983).

use std::sync::{Mutex, RwLock};

use narrows_kernels::gemm::{EpilogueF64, View, multiply_f64, scratch_len};
use narrows_kernels::{Level, team};

use super::directions::{Leading, Passes};
use super::gram::{self, MeanAndScatter};
use crate::base::linalg::eigen_bytes;
use crate::base::memory;
use crate::compute::Compute;
use crate::data::scaling::Scaling;
use crate::data::source::each_block;
use crate::data::stats::Measured;
use crate::data::{Element, Source};
use crate::error::{Error, Result};

/// Rows of a matrix product. Fixed, because it determines the order of the sums.
const BLOCK: usize = 128;

/// Numbers that one thread reads at a time for all threads: 2 MB.
const GROUP: usize = 1 << 18;

/// Rows of the scatter matrix that are computed together. Fixed, so that results do not depend on the number of threads.
const STRIP: usize = 48;

/// Blocks of up to so many bytes may stay with glibc's allocator when they are freed: the most that its threshold grows to.
const LARGEST_KEPT: usize = 32 << 20;

/// Mean and scatter of rows: the sufficient statistics of a PCA.
pub struct Moments {
    pub(crate) rows: usize,
    pub(crate) width: usize,
    /// The mean of each column.
    pub(crate) mean: Vec<f64>,
    pub(super) spread: SecondMoments,
}

pub(super) enum SecondMoments {
    /// The scatter matrix (width x width): the sum over rows of (x - mean)' (x - mean).
    Scatter(Vec<f64>),
    /// The centred rows (rows x width): x - mean.
    Centred(Vec<f64>),
    /// The leading principal directions alone.
    Leading(Box<Leading>),
}

impl Moments {
    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The mean of each column.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// Measures scaled rows.
    ///
    /// # Errors
    /// Where rows cannot be read, or there is too little memory.
    pub(crate) fn measure(
        measured: &Measured<'_>,
        scaling: &Scaling,
        level: Level,
        threads: usize,
    ) -> Result<Self> {
        let source = measured.source;
        let (rows, width) = (source.rows(), source.shape().len());
        let needs = Self::needs(rows, width, 0);
        memory::require_part(needs.measuring, format_args!("the moments of {rows} rows of {width} numbers"))?;
        if width <= rows {
            let found = match source.element() {
                Element::U8 => Some(gram::of_bytes(source, scaling, level, threads)?),
                Element::F32 if gram::is_worthwhile(rows, width) => {
                    Some(gram::of_singles(source, measured.statistics()?, scaling, level, threads)?)
                }
                Element::F32 | Element::F64 => None,
            };
            if let Some(MeanAndScatter { mean, scatter }) = found {
                return Ok(Self { rows, width, mean, spread: SecondMoments::Scatter(scatter) });
            }
        }
        let mean = mean(source, scaling)?;
        if width <= rows {
            let mut scatter = Scatter::about(mean);
            scatter.push_source(source, scaling, level, threads)?;
            return Ok(scatter.about_its_mean());
        }
        let mut centred = vec![0.0; rows * width];
        source.read_f64(0, &mut centred)?;
        scaling.apply_f64(&mut centred, width);
        subtract(&mut centred, &mean);
        Ok(Self { rows, width, mean, spread: SecondMoments::Centred(centred) })
    }

    /// What the randomised solver did, if it found these moments.
    pub(crate) fn passes(&self) -> Option<Passes> {
        match &self.spread {
            SecondMoments::Leading(leading) => Some(leading.passes),
            SecondMoments::Scatter(_) | SecondMoments::Centred(_) => None,
        }
    }

    /// The scatter matrix, where it was formed.
    #[cfg(test)]
    pub(super) fn scatter(&self) -> &[f64] {
        let SecondMoments::Scatter(scatter) = &self.spread else { panic!("the rows are kept") };
        scatter
    }
}

/// Bytes of the scratch of a product in double precision whose inner dimension is `k`.
pub(crate) fn scratch_bytes(k: usize) -> usize {
    scratch_len(k).saturating_mul(size_of::<f64>())
}

/// The memory of moments, in bytes. More than can be counted is `usize::MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MomentNeeds {
    /// The most that measuring takes.
    pub measuring: usize,
    /// The moments themselves.
    pub kept: usize,
    /// The most that `k` principal directions take beside the moments.
    pub principal: usize,
    /// The directions themselves.
    pub directions: usize,
}

impl Moments {
    /// The memory of the moments of n x d numbers, and of k principal directions (none for 0).
    pub(crate) fn needs(n: usize, d: usize, k: usize) -> MomentNeeds {
        let bytes =
            |rows: usize, columns: usize| rows.saturating_mul(columns).saturating_mul(size_of::<f64>());
        let sum = |parts: &[usize]| parts.iter().fold(0, |sum: usize, &part| sum.saturating_add(part));
        let directions = bytes(k, d);
        let block = bytes(256.min(n), d);
        let (kept, measuring, principal) = if d <= n {
            let square = bytes(d, d);
            let group = bytes((GROUP / d.max(1)).max(1).next_multiple_of(BLOCK).min(n), d);
            // The strips are the upper half of the matrix.
            let strips = sum(&[square / 2, bytes(STRIP, d)]);
            let measuring = sum(&[strips, square.max(group.saturating_mul(2))]);
            let measuring =
                measuring.max(sum(&[gram::needed_bytes(n, d, Compute::default().threads()), square]));
            // The allocator keeps a freed matrix, unless it is larger than its largest threshold for memory of its own.
            let freed = if square <= LARGEST_KEPT { square } else { 0 };
            (square, measuring, sum(&[square, freed, eigen_bytes(d).max(directions)]))
        } else {
            let rows = bytes(n, d);
            let principal = [rows, bytes(n, n), eigen_bytes(n), directions, scratch_bytes(d)];
            (rows, rows.saturating_add(block), sum(&principal))
        };
        let principal = if k == 0 { 0 } else { principal };
        MomentNeeds { measuring: measuring.max(block), kept, principal, directions }
    }
}

/// The mean of scaled rows, summed about the first row.
pub(super) fn mean(source: &dyn Source, scaling: &Scaling) -> Result<Vec<f64>> {
    let (rows, width) = (source.rows(), source.shape().len());
    let mut shift = vec![0.0; width];
    source.read_f64(0, &mut shift)?;
    scaling.apply_f64(&mut shift, width);
    let mut sums = vec![0.0; width];
    each_block(source, |_, block| {
        scaling.apply_f64(block, width);
        for row in block.chunks_exact(width) {
            for j in 0..width {
                sums[j] += row[j] - shift[j];
            }
        }
        Ok(())
    })?;
    Ok(shift.iter().zip(&sums).map(|(shift, sum)| shift + sum / rows as f64).collect())
}

pub(super) fn subtract(rows: &mut [f64], centre: &[f64]) {
    for row in rows.chunks_exact_mut(centre.len()) {
        row.iter_mut().zip(centre).for_each(|(value, centre)| *value -= centre);
    }
}

/// An accumulator of sums over rows about a centre c: of x - c, and of (x - c)'(x - c). Rows are pushed in any number of blocks;
/// scatters of parts of the rows can be computed separately and merged.
///
/// ```
/// use narrows::pca::Scatter;
///
/// let (mut one, mut two) = (Scatter::about(vec![0.0, 0.0]), Scatter::about(vec![5.0, 5.0]));
/// one.push(&mut [1.0, 2.0, 3.0, 5.0]); // two rows of two numbers
/// two.push(&mut [4.0, 8.0, 6.0, 9.0]);
/// one.merge(&two)?;
/// let moments = one.finish();
/// assert_eq!((moments.rows(), moments.mean()), (4, &[3.5, 6.0][..]));
/// # Ok::<(), narrows::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Scatter {
    rows: usize,
    centre: Vec<f64>,
    /// The sum of x - c.
    sums: Vec<f64>,
    /// The upper triangle of the matrix in strips: strip s contains the rows from s x STRIP on, from the diagonal to the right.
    strips: Vec<Vec<f64>>,
}

impl Scatter {
    /// A scatter of no rows, about a centre.
    ///
    /// # Panics
    /// Where the centre is empty.
    pub fn about(centre: Vec<f64>) -> Self {
        assert!(!centre.is_empty(), "rows have at least one number");
        let width = centre.len();
        let strip = |first: usize| vec![0.0; STRIP.min(width - first) * (width - first)];
        Self {
            rows: 0,
            sums: vec![0.0; width],
            strips: (0..width).step_by(STRIP).map(strip).collect(),
            centre,
        }
    }

    fn width(&self) -> usize {
        self.centre.len()
    }

    /// Adds rows (n x width), which are centred in place.
    ///
    /// # Panics
    /// Where `rows` is not a whole number of rows.
    pub fn push(&mut self, rows: &mut [f64]) {
        assert!(rows.len().is_multiple_of(self.width()), "whole rows of {}", self.width());
        let level = Level::detect();
        let (width, mut scratch) = (self.width(), vec![0.0; scratch_len(BLOCK)]);
        self.centre_and_sum(rows);
        for (index, strip) in self.strips.iter_mut().enumerate() {
            add_to_strip(strip, index, rows, width, level, &mut scratch);
        }
    }

    /// Subtracts the centre from rows, and adds them to the sums and the number of rows.
    fn centre_and_sum(&mut self, rows: &mut [f64]) {
        subtract(rows, &self.centre);
        for row in rows.chunks_exact(self.centre.len()) {
            self.sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        self.rows += rows.len() / self.centre.len();
    }

    /// Adds all rows of a source, scaled. One thread reads a group of blocks, then each thread adds the group to its strips of the
    /// matrix. Every row is read once, and the result does not depend on the number of threads.
    ///
    /// # Errors
    /// Where rows cannot be read, or threads cannot be started.
    pub(crate) fn push_source(
        &mut self,
        source: &dyn Source,
        scaling: &Scaling,
        level: Level,
        threads: usize,
    ) -> Result<()> {
        let (rows, width) = (source.rows(), self.width());
        let group = (GROUP / width).max(1).next_multiple_of(BLOCK).min(rows);
        let strips: Vec<Mutex<Vec<f64>>> =
            std::mem::take(&mut self.strips).into_iter().map(Mutex::new).collect();
        // Two buffers alternate: the first thread reads the next group while the others still use this one.
        let buffers = [(); 2].map(|()| RwLock::new(Vec::<f64>::new()));
        let failure = Mutex::new(None);
        team::run(threads.clamp(1, strips.len()), &mut *self, |member, mut lead| {
            let mut scratch = vec![0.0; scratch_len(BLOCK)];
            for (turn, first) in (0..rows).step_by(group).enumerate() {
                let buffer = &buffers[turn % 2];
                if let Some(scatter) = &mut lead {
                    let mut out = buffer.write().expect("no thread panics with a buffer");
                    out.resize(group.min(rows - first) * width, 0.0);
                    match source.read_f64(first, &mut out) {
                        Ok(()) => {
                            scaling.apply_f64(&mut out, width);
                            scatter.centre_and_sum(&mut out);
                        }
                        Err(error) => *failure.lock().expect("no thread panics with it") = Some(error),
                    }
                }
                member.wait();
                if failure.lock().expect("no thread panics with it").is_some() {
                    return;
                }
                let read = buffer.read().expect("no thread panics with a buffer");
                for (index, strip) in strips.iter().enumerate().skip(member.index()).step_by(member.threads())
                {
                    let mut strip = strip.lock().expect("each strip has one thread");
                    add_to_strip(&mut strip, index, &read, width, level, &mut scratch);
                }
            }
        })
        .map_err(Error::threads)?;
        self.strips =
            strips.into_iter().map(|strip| strip.into_inner().expect("each strip has one thread")).collect();
        match failure.into_inner().expect("no thread panics with it") {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Adds the rows of another scatter, which may have another centre.
    ///
    /// # Errors
    /// Where its rows have another width.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if other.width() != self.width() {
            return Err(Error::data(format!("rows of {} and of {} numbers", self.width(), other.width())));
        }
        // With e = c' - c and s' the sum of x - c': sum (x-c)'(x-c) = S' + s'e + e's' + n' e'e.
        let (width, n) = (self.width(), other.rows as f64);
        let e: Vec<f64> = other.centre.iter().zip(&self.centre).map(|(other, own)| other - own).collect();
        for (index, (strip, others)) in self.strips.iter_mut().zip(&other.strips).enumerate() {
            let first = index * STRIP;
            let rows = strip.chunks_exact_mut(width - first).zip(others.chunks_exact(width - first));
            for (i, (row, others)) in (first..).zip(rows) {
                for (j, (value, other_value)) in (first..).zip(row.iter_mut().zip(others)) {
                    *value += other_value + other.sums[i] * e[j] + e[i] * other.sums[j] + n * e[i] * e[j];
                }
            }
        }
        for ((sum, other_sum), e) in self.sums.iter_mut().zip(&other.sums).zip(&e) {
            *sum += other_sum + n * e;
        }
        self.rows += other.rows;
        Ok(())
    }

    /// The moments, if the centre is the mean of the rows.
    fn about_its_mean(self) -> Moments {
        let (rows, width, scatter) = (self.rows, self.width(), self.matrix());
        Moments { rows, width, mean: self.centre, spread: SecondMoments::Scatter(scatter) }
    }

    /// The moments about the mean, which follows from the sums. The centre should be near the mean, such as any row of the data:
    /// a large distance between them costs digits.
    pub fn finish(self) -> Moments {
        let (rows, width, mut scatter) = (self.rows, self.width(), self.matrix());
        let n = rows as f64;
        for i in 0..width {
            for j in 0..width {
                scatter[i * width + j] -= self.sums[i] * self.sums[j] / n;
            }
        }
        let mean = self.centre.iter().zip(&self.sums).map(|(centre, sum)| centre + sum / n).collect();
        Moments { rows, width, mean, spread: SecondMoments::Scatter(scatter) }
    }

    /// The number of rows, the sum of x - c, and of (x - c)'(x - c) (width x width).
    pub(super) fn into_sums(self) -> (usize, Vec<f64>, Vec<f64>) {
        let matrix = self.matrix();
        (self.rows, self.sums, matrix)
    }

    /// The whole symmetric matrix (width x width).
    fn matrix(&self) -> Vec<f64> {
        let width = self.width();
        let mut matrix = vec![0.0; width * width];
        for (strip, sums) in self.strips.iter().enumerate() {
            let first = strip * STRIP;
            for (i, row) in sums.chunks_exact(width - first).enumerate() {
                for (j, &value) in row.iter().enumerate() {
                    matrix[(first + i) * width + first + j] = value;
                    matrix[(first + j) * width + first + i] = value;
                }
            }
        }
        matrix
    }
}

/// Adds x'x of centred rows to strip `index` of a scatter, block by block.
fn add_to_strip(
    strip: &mut [f64],
    index: usize,
    rows: &[f64],
    width: usize,
    level: Level,
    scratch: &mut [f64],
) {
    let first = index * STRIP;
    for block in rows.chunks(BLOCK * width) {
        let x = View::new(block, block.len() / width, width);
        let left = x.columns(first, STRIP.min(width - first)).transposed();
        let right = x.columns(first, width - first);
        multiply_f64(level, strip, left, right, EpilogueF64::Accumulate, scratch);
    }
}
