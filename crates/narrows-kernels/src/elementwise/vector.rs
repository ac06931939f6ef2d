//! Operations on vectors and on the columns of row-major matrices: conversion, sums, minima and maxima, scaling.

use crate::simd::{self, Lanes, Level, Simd, dispatch};

/// Converts bytes to f32.
///
/// # Panics
/// If the lengths differ.
pub fn from_bytes(level: Level, out: &mut [f32], bytes: &[u8]) {
    assert_eq!(out.len(), bytes.len());
    #[inline(always)]
    fn run<S: Simd>(s: S, out: &mut [f32], bytes: &[u8]) {
        let whole = out.len() - out.len() % <S as Lanes<f32>>::COUNT;
        for at in (0..whole).step_by(<S as Lanes<f32>>::COUNT) {
            // SAFETY: at least COUNT bytes lie between `at` and `whole`.
            let numbers = unsafe { s.load_bytes(bytes.as_ptr().add(at)) };
            s.write(out, at, numbers);
        }
        for at in whole..out.len() {
            out[at] = f32::from(bytes[at]);
        }
    }
    dispatch!(level, s => run(s, out, bytes));
}

/// Prefetches bytes into the cache. Rows read in random order are in no cache, so they should be requested early.
pub fn prefetch(bytes: &[u8]) {
    simd::prefetch(bytes);
}

/// Column sums: `out[j] = sum over i of values[i * stride + first + j]`. Rows are added in order, so splitting the
/// columns does not change a bit.
///
/// # Panics
/// If the values are not whole rows of `stride` elements, or the columns exceed a row.
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

/// Sums of squares of the columns of a matrix with rows of `out.len()` elements, added in order of the rows.
///
/// # Panics
/// If the matrix is not whole rows.
pub fn column_sums_of_squares(level: Level, out: &mut [f32], matrix: &[f32]) {
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

/// Updates the running minimum `low` and maximum `high` of each column with `rows`. NaNs are ignored.
///
/// # Panics
/// If the lengths differ or `rows` are not whole rows.
pub fn column_min_max(level: Level, low: &mut [f32], high: &mut [f32], rows: &[f32]) {
    assert!(!low.is_empty() && low.len() == high.len() && rows.len().is_multiple_of(low.len()));
    #[inline(always)]
    fn run<S: Simd>(s: S, low: &mut [f32], high: &mut [f32], rows: &[f32]) {
        for at in (0..low.len()).step_by(<S as Lanes<f32>>::COUNT) {
            let (mut least, mut largest) = (s.read(low, at), s.read(high, at));
            for row in rows.chunks_exact(low.len()) {
                let x = s.read(row, at);
                // x first: if it is NaN, `min(x, least)` and `max(x, largest)` return their second argument.
                (least, largest) = (s.min(x, least), s.max(x, largest));
            }
            s.write(low, at, least);
            s.write(high, at, largest);
        }
    }
    dispatch!(level, s => run(s, low, high, rows));
}

/// Multiplies elementwise.
///
/// # Panics
/// If the lengths differ.
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

/// Multiplies each column of a matrix with rows of `factors.len()` elements by its factor.
///
/// # Panics
/// If the matrix is not whole rows.
pub fn scale_columns(level: Level, matrix: &mut [f32], factors: &[f32]) {
    assert!(!factors.is_empty() && matrix.len().is_multiple_of(factors.len()));
    dispatch!(level, s => {
        for row in matrix.chunks_exact_mut(factors.len()) {
            multiply_row(s, row, factors);
        }
    });
}

/// Subtracts a row from each row of a row-major matrix in place.
///
/// # Panics
/// If the matrix does not have whole rows.
pub fn subtract_row(level: Level, matrix: &mut [f32], row: &[f32]) {
    assert!(!row.is_empty() && matrix.len().is_multiple_of(row.len()));
    #[inline(always)]
    fn run<S: Simd>(s: S, values: &mut [f32], row: &[f32]) {
        for at in (0..row.len()).step_by(<S as Lanes<f32>>::COUNT) {
            s.write(values, at, s.sub(s.read(values, at), s.read(row, at)));
        }
    }
    dispatch!(level, s => {
        for values in matrix.chunks_exact_mut(row.len()) {
            run(s, values, row);
        }
    });
}

/// Multiplies each value by one factor.
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

/// The elementwise sum of several slices, added in order.
///
/// # Panics
/// If a slice has another length.
pub fn sum_slices<'a>(level: Level, out: &mut [f32], slices: impl Iterator<Item = &'a [f32]>) {
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

/// Standardizes the columns of rows of `width` elements in place: `(value - offset) / scale`, with one offset and scale
/// for all columns or one per column.
///
/// # Panics
/// If the values are not whole rows, or the number of offsets and scales is neither 1 nor `width`.
pub fn standardize(level: Level, values: &mut [f32], width: usize, offsets: &[f32], scales: &[f32]) {
    map_columns(level, values, width, offsets, scales, AffineMap::Standardize);
}

/// The inverse of [`standardize`]: `value * scale + offset`.
///
/// # Panics
/// As [`standardize`].
pub fn unstandardize(level: Level, values: &mut [f32], width: usize, offsets: &[f32], scales: &[f32]) {
    map_columns(level, values, width, offsets, scales, AffineMap::Unstandardize);
}

/// The two affine maps of columns.
#[derive(Clone, Copy)]
enum AffineMap {
    Standardize,
    Unstandardize,
}

fn map_columns(
    level: Level,
    values: &mut [f32],
    width: usize,
    offsets: &[f32],
    scales: &[f32],
    map: AffineMap,
) {
    assert!(width > 0 && values.len().is_multiple_of(width) && offsets.len() == scales.len());
    assert!(offsets.len() == 1 || offsets.len() == width);
    // With one offset for all columns, the slice is treated as one row.
    let width = if offsets.len() == 1 { values.len() } else { width };
    #[inline(always)]
    fn run<S: Simd>(s: S, row: &mut [f32], offsets: &[f32], scales: &[f32], map: AffineMap) {
        let is_shared = offsets.len() == 1;
        for at in (0..row.len()).step_by(<S as Lanes<f32>>::COUNT) {
            let (offset, scale) = if is_shared {
                (s.constant(offsets[0]), s.constant(scales[0]))
            } else {
                (s.read(offsets, at), s.read(scales, at))
            };
            let x = s.read(row, at);
            let y = match map {
                AffineMap::Standardize => s.div(s.sub(x, offset), scale),
                // Rounds twice at every level: the result must not depend on a fused multiply-add.
                AffineMap::Unstandardize => s.add(s.mul(x, scale), offset),
            };
            s.write(row, at, y);
        }
    }
    if values.is_empty() {
        return;
    }
    dispatch!(level, s => {
        for row in values.chunks_exact_mut(width) {
            run(s, row, offsets, scales, map);
        }
    });
}

/// Returns whether every value is finite.
pub fn all_finite(level: Level, values: &[f32]) -> bool {
    #[inline(always)]
    fn run<S: Simd>(s: S, values: &[f32]) -> bool {
        // x - x is 0 for a finite x, else NaN, and a sum propagates NaN.
        let mut sum = s.constant(0.0);
        for at in (0..values.len()).step_by(<S as Lanes<f32>>::COUNT) {
            let x = s.read(values, at);
            sum = s.add(sum, s.sub(x, x));
        }
        s.sum(sum) == 0.0
    }
    dispatch!(level, s => run(s, values))
}
