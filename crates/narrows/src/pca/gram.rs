//! Moments of rows in bytes and in single precision, from Gram matrices of blocks.
//!
//! Bytes are multiplied as integers: the scatter matrix is exact. Numbers in single precision are shifted by about their mean and
//! scaled by a power of two, multiplied in single precision within a block and summed in double precision over blocks; see
//! [`narrows_kernels::gram`]. The scaling of the rows is applied to the results, not to the rows.

use std::ops::AddAssign;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use narrows_kernels::gram::{ByteBlock, GramBlock, SingleBlock, SingleScale, StripLayout};
use narrows_kernels::{Level, team};

use crate::data::scaling::Scaling;
use crate::data::stats::Statistics;
use crate::data::{Access, Source, Stored};
use crate::error::{Error, Result};

/// Blocks that are packed between two meetings of the threads.
const BLOCKS: usize = 4;

/// Multiplications (rows x columns x columns) from which single precision is faster than double by more than it costs.
const WORTHWHILE: usize = 1 << 29;

/// Whether the moments of rows in single precision are computed in single precision.
pub(super) fn is_worthwhile(rows: usize, width: usize) -> bool {
    rows.saturating_mul(width).saturating_mul(width) >= WORTHWHILE
}

/// The mean of each column (width) and the scatter matrix (width x width) of scaled rows.
pub(super) struct MeanAndScatter {
    pub mean: Vec<f64>,
    pub scatter: Vec<f64>,
}

impl MeanAndScatter {
    /// Those of scaled rows from those of the rows.
    fn scaled(mut self, scaling: &Scaling) -> Self {
        let width = self.mean.len();
        scaling.apply_f64(&mut self.mean, width);
        let scale = |j: usize| scaling.scales[if scaling.scales.len() == 1 { 0 } else { j }];
        for (i, row) in self.scatter.chunks_exact_mut(width).enumerate() {
            row.iter_mut().enumerate().for_each(|(j, value)| *value = *value / scale(i) / scale(j));
        }
        self
    }
}

/// Of rows in bytes: exact but for the rounding of the results.
pub(super) fn of_bytes(
    source: &dyn Source,
    scaling: &Scaling,
    level: Level,
    threads: usize,
) -> Result<MeanAndScatter> {
    let (rows, width) = (source.rows(), source.shape().len());
    let layout = ByteBlock::layout(width);
    let read = |first: usize, count: usize, work: &mut dyn FnMut(&[u8])| {
        if let Some(Stored::U8(bytes)) = source.stored(first, count) {
            work(bytes);
            return Ok(());
        }
        let mut numbers = vec![0.0f32; count * width];
        source.read_f32(first, &mut numbers)?;
        work(&numbers.into_iter().map(|number| number as u8).collect::<Vec<u8>>());
        Ok(())
    };
    let found = products(source, layout, || ByteBlock::new(width), &read, level, threads)?;

    let n = rows as i128;
    let sum = |j: usize| i128::from(found.column_sums[j]);
    let scatter = found.matrix(|product, i, j| {
        let product = i128::from(product) + i128::from(ByteBlock::OFFSET) * sum(j);
        // The sum of (x - mean)(y - mean), times the number of rows: an integer.
        (product * n - sum(i) * sum(j)) as f64 / n as f64
    });
    let mean = found.column_sums.iter().map(|&sum| sum as f64 / rows as f64).collect();
    Ok(MeanAndScatter { mean, scatter }.scaled(scaling))
}

/// Of rows in single precision, `statistics` being those of their columns.
pub(super) fn of_singles(
    source: &dyn Source,
    statistics: &Statistics,
    scaling: &Scaling,
    level: Level,
    threads: usize,
) -> Result<MeanAndScatter> {
    let (rows, width) = (source.rows(), source.shape().len());
    let (scale, exponents) = shifts_and_factors(statistics);
    let layout = SingleBlock::layout(level, width);
    let read = |first: usize, count: usize, work: &mut dyn FnMut(&[f32])| {
        if let Some(Stored::F32(numbers)) = source.stored(first, count) {
            work(numbers);
            return Ok(());
        }
        let mut numbers = vec![0.0f32; count * width];
        source.read_f32(first, &mut numbers)?;
        work(&numbers);
        Ok(())
    };
    let found = products(source, layout, || SingleBlock::new(level, &scale), &read, level, threads)?;

    let n = rows as f64;
    let sums = &found.column_sums;
    let power = |exponent: i32| 2f64.powi(exponent);
    let scatter = found.matrix(|product, i, j| {
        (product - sums[i] * sums[j] / n) * power(exponents[i]) * power(exponents[j])
    });
    let mean = (0..width).map(|j| f64::from(scale.shift[j]) + sums[j] / n * power(exponents[j])).collect();
    Ok(MeanAndScatter { mean, scatter }.scaled(scaling))
}

/// The shift of each column, its mean in single precision, and the power of two that brings its numbers into -1..1, with
/// the exponent that undoes it.
fn shifts_and_factors(statistics: &Statistics) -> (SingleScale, Vec<i32>) {
    let width = statistics.mean.len();
    let mut scale = SingleScale { shift: Vec::with_capacity(width), factor: Vec::with_capacity(width) };
    let mut exponents = Vec::with_capacity(width);
    for j in 0..width {
        // A constant column is its own shift, whatever the rounding of its mean.
        let is_constant = statistics.least[j] == statistics.most[j];
        let shift = if is_constant { statistics.least[j] } else { statistics.mean[j] } as f32;
        let centre = f64::from(shift);
        let farthest = (statistics.most[j] - centre).max(centre - statistics.least[j]);
        // Within what a factor in single precision can be; a wider column has numbers of at most 4 then.
        let exponent = if farthest > 0.0 { (farthest.log2().ceil() as i32).clamp(-126, 126) } else { 0 };
        scale.shift.push(shift);
        scale.factor.push(if farthest > 0.0 { 2f64.powi(-exponent) as f32 } else { 0.0 });
        exponents.push(exponent);
    }
    (scale, exponents)
}

/// Sums of products, and of columns.
struct Products<T> {
    layout: StripLayout,
    strips: Vec<Vec<T>>,
    column_sums: Vec<T>,
}

impl<T: Copy> Products<T> {
    /// The whole symmetric matrix (width x width) of `value` of each product, its row and its column.
    fn matrix(&self, value: impl Fn(T, usize, usize) -> f64) -> Vec<f64> {
        let StripLayout { width, panel } = self.layout;
        let mut matrix = vec![0.0; width * width];
        for (strip, sums) in self.strips.iter().enumerate() {
            let first = strip * panel;
            for (i, row) in sums.chunks_exact(self.layout.strip_width(strip)).enumerate().take(width - first)
            {
                let i = first + i;
                for (j, &product) in (first..width).zip(row).skip(i - first) {
                    let value = value(product, i, j);
                    matrix[i * width + j] = value;
                    matrix[j * width + i] = value;
                }
            }
        }
        matrix
    }
}

/// Reads rows from a first one, so many, and calls a function with them.
type ReadRows<'a, T> = dyn Fn(usize, usize, &mut dyn FnMut(&[T])) -> Result<()> + Sync + 'a;

/// The sums of products of all rows. The threads pack blocks, meet, and share out the strips of the matrix; two sets of blocks
/// alternate, so that one is packed while the other is still multiplied. Each sum runs over the blocks in their order.
fn products<B: GramBlock>(
    source: &dyn Source,
    layout: StripLayout,
    new_block: impl Fn() -> B,
    read: &ReadRows<'_, B::Number>,
    level: Level,
    threads: usize,
) -> Result<Products<B::Sum>>
where
    B::Sum: AddAssign,
{
    let rows = source.rows();
    let group = BLOCKS * B::ROWS;
    let turns = rows.div_ceil(group);
    let sets: [Vec<RwLock<B>>; 2] = [(); 2].map(|()| (0..BLOCKS).map(|_| RwLock::new(new_block())).collect());
    let zeros = |strip: usize| Mutex::new(vec![B::Sum::default(); layout.strip_len(strip)]);
    let strips: Vec<Mutex<Vec<B::Sum>>> = (0..layout.strips()).map(zeros).collect();
    let column_sums = Mutex::new(vec![B::Sum::default(); layout.width]);
    // The next strip of each turn; the first strips are the longest.
    let next: Vec<AtomicUsize> = (0..turns).map(|_| AtomicUsize::new(0)).collect();
    let failure: Mutex<Option<Error>> = Mutex::new(None);
    let reads_in_order = source.access() != Access::Random;

    team::run(threads.clamp(1, strips.len()), (), |member, _| {
        for turn in 0..turns {
            let blocks = &sets[turn % 2];
            let firsts = (turn * group..rows.min((turn + 1) * group)).step_by(B::ROWS);
            let count = firsts.len();
            for (index, first) in firsts.enumerate() {
                let is_own = if reads_in_order {
                    member.index() == 0
                } else {
                    index % member.threads() == member.index()
                };
                if !is_own {
                    continue;
                }
                let mut block = blocks[index].write().unwrap_or_else(PoisonError::into_inner);
                let packed = read(first, B::ROWS.min(rows - first), &mut |rows| block.pack(level, rows));
                if let Err(error) = packed {
                    failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                }
            }
            member.wait();
            if failure.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
                return;
            }
            let packed: Vec<_> = blocks[..count]
                .iter()
                .map(|block| block.read().unwrap_or_else(PoisonError::into_inner))
                .collect();
            loop {
                let strip = next[turn].fetch_add(1, Ordering::Relaxed);
                if strip < strips.len() {
                    let mut sums = strips[strip].lock().unwrap_or_else(PoisonError::into_inner);
                    packed.iter().for_each(|block| block.add_products(level, &mut sums, strip));
                } else if strip == strips.len() {
                    let mut sums = column_sums.lock().unwrap_or_else(PoisonError::into_inner);
                    for block in &packed {
                        sums.iter_mut().zip(block.column_sums()).for_each(|(sum, &part)| *sum += part);
                    }
                } else {
                    break;
                }
            }
        }
    });
    if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let inner = |mutex: Mutex<Vec<B::Sum>>| mutex.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Products { layout, strips: strips.into_iter().map(inner).collect(), column_sums: inner(column_sums) })
}
