//! Small operations on rows of numbers.

use crate::simd::{self, Lanes, Level, Simd, dispatch};

/// Bytes as numbers.
///
/// # Panics
/// Where the lengths differ.
pub fn from_bytes(level: Level, out: &mut [f32], bytes: &[u8]) {
    assert_eq!(out.len(), bytes.len());
    #[inline(always)]
    fn run<S: Simd>(s: S, out: &mut [f32], bytes: &[u8]) {
        let whole = out.len() - out.len() % <S as Lanes<f32>>::COUNT;
        for at in (0..whole).step_by(<S as Lanes<f32>>::COUNT) {
            // SAFETY: a vector's bytes lie between `at` and `whole`.
            let numbers = unsafe { s.load_bytes(bytes.as_ptr().add(at)) };
            s.write(out, at, numbers);
        }
        for at in whole..out.len() {
            out[at] = f32::from(bytes[at]);
        }
    }
    dispatch!(level, s => run(s, out, bytes));
}

/// Asks for bytes to be brought near while something else is done: rows in random order come from far away.
pub fn prefetch(bytes: &[u8]) {
    simd::prefetch(bytes);
}

/// Column sums over rows: `out[j] = sum over i of values[i * stride + first + j]`, rows added in order, so that a cut of
/// the columns changes no bit.
///
/// # Panics
/// Where the values are not whole rows of `stride`, or the columns reach past a row.
pub fn column_sums(level: Level, out: &mut [f32], values: &[f32], stride: usize, first: usize) {
    assert!(stride > 0 && values.len().is_multiple_of(stride) && first + out.len() <= stride);
    #[inline(always)]
    fn run<S: Simd>(s: S, out: &mut [f32], values: &[f32], stride: usize, first: usize) {
        for at in (0..out.len()).step_by(<S as Lanes<f32>>::COUNT) {
            let mut sum = s.constant(0.0);
            for row in values.chunks_exact(stride) {
                sum = s.add(sum, s.read(&row[first..first + out.len()], at));
            }
            s.write(out, at, sum);
        }
    }
    dispatch!(level, s => run(s, out, values, stride, first));
}

/// Sums of squares of the columns of a matrix with rows of `out.len()` numbers, rows added in order.
///
/// # Panics
/// Where the matrix is not whole rows.
pub fn column_squares(level: Level, out: &mut [f32], matrix: &[f32]) {
    assert!(!out.is_empty() && matrix.len().is_multiple_of(out.len()));
    #[inline(always)]
    fn run<S: Simd>(s: S, out: &mut [f32], matrix: &[f32]) {
        for at in (0..out.len()).step_by(<S as Lanes<f32>>::COUNT) {
            let mut sum = s.constant(0.0);
            for row in matrix.chunks_exact(out.len()) {
                let x = s.read(row, at);
                sum = s.mul_add(x, x, sum);
            }
            s.write(out, at, sum);
        }
    }
    dispatch!(level, s => run(s, out, matrix));
}

/// Lowers `low` and raises `high` to the least and the largest number of each column of `rows`; a NaN changes neither.
///
/// # Panics
/// Where the lengths differ or `rows` are not whole rows.
pub fn extremes(level: Level, low: &mut [f32], high: &mut [f32], rows: &[f32]) {
    assert!(!low.is_empty() && low.len() == high.len() && rows.len().is_multiple_of(low.len()));
    #[inline(always)]
    fn run<S: Simd>(s: S, low: &mut [f32], high: &mut [f32], rows: &[f32]) {
        for at in (0..low.len()).step_by(<S as Lanes<f32>>::COUNT) {
            let (mut least, mut largest) = (s.read(low, at), s.read(high, at));
            for row in rows.chunks_exact(low.len()) {
                let x = s.read(row, at);
                // The number that may be a NaN first: of `min(x, least)` the second stays.
                (least, largest) = (s.min(x, least), s.max(x, largest));
            }
            s.write(low, at, least);
            s.write(high, at, largest);
        }
    }
    dispatch!(level, s => run(s, low, high, rows));
}

/// Multiplies each value by the factor at its place.
///
/// # Panics
/// Where the lengths differ.
pub fn multiply(level: Level, values: &mut [f32], factors: &[f32]) {
    assert_eq!(values.len(), factors.len());
    dispatch!(level, s => multiply_row(s, values, factors));
}

#[inline(always)]
fn multiply_row<S: Simd>(s: S, values: &mut [f32], factors: &[f32]) {
    for at in (0..values.len()).step_by(<S as Lanes<f32>>::COUNT) {
        let y = s.mul(s.read(values, at), s.read(factors, at));
        s.write(values, at, y);
    }
}

/// Multiplies each column of a matrix with rows of `factors.len()` numbers by its factor.
///
/// # Panics
/// Where the matrix is not whole rows.
pub fn scale_columns(level: Level, matrix: &mut [f32], factors: &[f32]) {
    assert!(!factors.is_empty() && matrix.len().is_multiple_of(factors.len()));
    dispatch!(level, s => {
        for row in matrix.chunks_exact_mut(factors.len()) {
            multiply_row(s, row, factors);
        }
    });
}

/// Multiplies each value by the factor.
pub fn scale(level: Level, values: &mut [f32], factor: f32) {
    #[inline(always)]
    fn run<S: Simd>(s: S, values: &mut [f32], factor: f32) {
        for at in (0..values.len()).step_by(<S as Lanes<f32>>::COUNT) {
            let y = s.mul(s.read(values, at), s.constant(factor));
            s.write(values, at, y);
        }
    }
    dispatch!(level, s => run(s, values, factor));
}

/// The sum of several slices, added in their order.
///
/// # Panics
/// Where a slice has another length.
pub fn sum_of<'a>(level: Level, out: &mut [f32], slices: impl Iterator<Item = &'a [f32]>) {
    out.fill(0.0);
    #[inline(always)]
    fn run<S: Simd>(s: S, out: &mut [f32], slice: &[f32]) {
        for at in (0..out.len()).step_by(<S as Lanes<f32>>::COUNT) {
            let sum = s.add(s.read(out, at), s.read(slice, at));
            s.write(out, at, sum);
        }
    }
    for slice in slices {
        assert_eq!(slice.len(), out.len());
        dispatch!(level, s => run(s, out, slice));
    }
}

/// `(value - offset) / scale` for each column of rows in place; one offset and scale for all columns, or one each.
///
/// # Panics
/// Where the values are not whole rows, or there are neither one nor `width` offsets and scales.
pub fn standardize(level: Level, values: &mut [f32], width: usize, offsets: &[f32], scales: &[f32]) {
    columns(level, values, width, offsets, scales, Direction::Forward);
}

/// Undoes [`standardize`]: `value * scale + offset`.
///
/// # Panics
/// As [`standardize`].
pub fn unstandardize(level: Level, values: &mut [f32], width: usize, offsets: &[f32], scales: &[f32]) {
    columns(level, values, width, offsets, scales, Direction::Back);
}

#[derive(Clone, Copy)]
enum Direction {
    Forward,
    Back,
}

fn columns(
    level: Level,
    values: &mut [f32],
    width: usize,
    offsets: &[f32],
    scales: &[f32],
    direction: Direction,
) {
    assert!(width > 0 && values.len().is_multiple_of(width) && offsets.len() == scales.len());
    assert!(offsets.len() == 1 || offsets.len() == width);
    // With one offset for all columns, the whole slice is one row.
    let width = if offsets.len() == 1 { values.len() } else { width };
    #[inline(always)]
    fn run<S: Simd>(s: S, row: &mut [f32], offsets: &[f32], scales: &[f32], direction: Direction) {
        let one = offsets.len() == 1;
        for at in (0..row.len()).step_by(<S as Lanes<f32>>::COUNT) {
            let (offset, scale) = if one {
                (s.constant(offsets[0]), s.constant(scales[0]))
            } else {
                (s.read(offsets, at), s.read(scales, at))
            };
            let x = s.read(row, at);
            let y = match direction {
                Direction::Forward => s.div(s.sub(x, offset), scale),
                // Two roundings at every level: the product must not depend on a fused instruction.
                Direction::Back => s.add(s.mul(x, scale), offset),
            };
            s.write(row, at, y);
        }
    }
    if values.is_empty() {
        return;
    }
    dispatch!(level, s => {
        for row in values.chunks_exact_mut(width) {
            run(s, row, offsets, scales, direction);
        }
    });
}

/// Whether every number is finite.
pub fn all_finite(level: Level, values: &[f32]) -> bool {
    #[inline(always)]
    fn run<S: Simd>(s: S, values: &[f32]) -> bool {
        // x - x is 0 for a finite x, NaN otherwise; and a NaN stays in a sum.
        let mut sum = s.constant(0.0);
        for at in (0..values.len()).step_by(<S as Lanes<f32>>::COUNT) {
            let x = s.read(values, at);
            sum = s.add(sum, s.sub(x, x));
        }
        s.sum(sum) == 0.0
    }
    dispatch!(level, s => run(s, values))
}
