//! Moments of rows in bytes and in single precision, from Gram matrices of blocks.
//!
//! Bytes are multiplied as integers: the scatter matrix is exact. Numbers in single precision are shifted by about their mean and
//! scaled by a power of two, multiplied in single precision within a block and summed in double precision over blocks; see
//! [`narrows_kernels::gram`]. The scaling of the rows is applied to the results, not to the rows.

use std::ops::AddAssign;
use std::sync::{Mutex, PoisonError, RwLock};

use narrows_kernels::gram::{ByteBlock, GramBlock, PieceBlock, SingleBlock, SingleScale, StripLayout};
use narrows_kernels::{Level, team};

use crate::data::scaling::Scaling;
use crate::data::stats::Statistics;
use crate::data::{Access, Source, Stored};
use crate::error::{Error, Result};

/// Multiplications (rows x columns x columns) from which single precision is faster than double by more than it costs.
const WORTHWHILE: usize = 1 << 29;

/// Whether the moments of rows in single precision are computed in single precision.
pub(super) fn is_worthwhile(rows: usize, width: usize) -> bool {
    rows.saturating_mul(width).saturating_mul(width) >= WORTHWHILE
}

/// Bytes of the sums and of the packed rows, for n x d numbers. The matrix is made of them afterwards.
pub(super) fn needed_bytes(n: usize, d: usize, threads: usize) -> usize {
    let product =
        |numbers: &[usize]| numbers.iter().fold(1usize, |product, &number| product.saturating_mul(number));
    let padded = d.next_multiple_of(32);
    // The upper half in 8 bytes, with the blocks on the diagonal whole.
    let sums = product(&[padded, padded.saturating_add(32), 4]);
    // Two sets of packed bytes, in two forms each, or of pieces, in two forms of three numbers in 16 bits each; of bytes that do not
    // lie in memory a copy in single precision and in bytes.
    let blocks = blocks_of_a_set(n, PieceBlock::ROWS, threads);
    let packed = product(&[2 * blocks, (2 * ByteBlock::ROWS).max(12 * PieceBlock::ROWS), padded]);
    let read = product(&[blocks, ByteBlock::ROWS.min(n), d, 5]);
    sums.saturating_add(packed).saturating_add(read)
}

/// Blocks that are packed between two meetings of the threads: one for each thread.
fn blocks_of_a_set(rows: usize, rows_of_a_block: usize, threads: usize) -> usize {
    threads.clamp(1, MAX_BLOCKS).min(rows.div_ceil(rows_of_a_block))
}

/// With more threads than this, some wait while the others pack.
const MAX_BLOCKS: usize = 16;

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
    let found = if PieceBlock::is_available(level) {
        let new_block = || PieceBlock::new(level, &scale);
        products(source, PieceBlock::layout(width), new_block, &read, level, threads)?
    } else {
        let new_block = || SingleBlock::new(level, &scale);
        products(source, SingleBlock::layout(level, width), new_block, &read, level, threads)?
    };

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

/// The sums of products of all rows. The threads pack blocks, meet, and add their products to the strips of the matrix, which they
/// have shared out; two sets of blocks alternate, so that one is packed while the other is still multiplied. Each sum runs over
/// the blocks in their order.
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
    let threads = threads.clamp(1, layout.strips());
    let blocks_of_a_set = blocks_of_a_set(rows, B::ROWS, threads);
    let group = blocks_of_a_set * B::ROWS;
    let sets = [(); 2].map(|()| (0..blocks_of_a_set).map(|_| RwLock::new(new_block())).collect::<Vec<_>>());
    let zeros = |strip: usize| Mutex::new(vec![B::Sum::default(); layout.strip_len(strip)]);
    let strips: Vec<Mutex<Vec<B::Sum>>> = (0..layout.strips()).map(zeros).collect();
    let column_sums = Mutex::new(vec![B::Sum::default(); layout.width]);
    let failure: Mutex<Option<Error>> = Mutex::new(None);
    let reads_in_order = source.access() != Access::Random;

    let ran = team::run(threads, (), |member, _| {
        let own = own_strips(layout.strips(), member.index(), threads);
        for (turn, start) in (0..rows).step_by(group).enumerate() {
            let blocks = &sets[turn % 2];
            let firsts = (start..rows.min(start + group)).step_by(B::ROWS);
            let count = firsts.len();
            for (index, first) in firsts.enumerate() {
                if member.index() != if reads_in_order { 0 } else { index % threads } {
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
            for block in &blocks[..count] {
                let block = block.read().unwrap_or_else(PoisonError::into_inner);
                // No other thread takes these.
                let mut sums: Vec<_> = own
                    .iter()
                    .map(|&strip| (strip, strips[strip].lock().unwrap_or_else(PoisonError::into_inner)))
                    .collect();
                let mut sums: Vec<_> = sums.iter_mut().map(|(strip, sums)| (*strip, &mut sums[..])).collect();
                block.add_products(level, &mut sums);
                if member.index() == 0 {
                    let mut sums = column_sums.lock().unwrap_or_else(PoisonError::into_inner);
                    sums.iter_mut().zip(block.column_sums()).for_each(|(sum, &part)| *sum += part);
                }
            }
        }
    });
    ran.map_err(Error::threads)?;
    if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let inner = |mutex: Mutex<Vec<B::Sum>>| mutex.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Products { layout, strips: strips.into_iter().map(inner).collect(), column_sums: inner(column_sums) })
}

/// The strips of a thread. Strips become shorter, so they are dealt out forwards and backwards in turn.
fn own_strips(strips: usize, thread: usize, threads: usize) -> Vec<usize> {
    let owner = |strip: usize| match (strip / threads).is_multiple_of(2) {
        true => strip % threads,
        false => threads - 1 - strip % threads,
    };
    (0..strips).filter(|&strip| owner(strip) == thread).collect()
}
