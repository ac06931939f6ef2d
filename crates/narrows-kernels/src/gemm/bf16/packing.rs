//! Packing: rounds A and B to bfloat16, in tiles of pairs.
//!
//! A tile has 16 x 16 *pairs*: two elements that follow each other along k, the first in the lower half of 32 bits. A tile of A
//! has 16 rows of 16 pairs along k; a tile of B has 16 pairs along k, each a row of 16 columns. Elements outside of a matrix
//! are 0.

use std::arch::x86_64::*;

use crate::gemm::view::View;
use crate::simd::amx::{SIDE, TILE_LEN, transposed};

/// Elements of a tile along k.
pub(super) const DEPTH: usize = 2 * SIDE;

/// The order of the pairs in a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// As in A: a row of the tile is a row of the matrix.
    AlongK,
    /// As in B, which is packed as its transpose: a row of the tile has the same pair along k of 16 rows of the matrix.
    AcrossK,
}

/// Packs the rows `row..row + 16` of a matrix whose columns are those of k: tile after tile, [`TILE_LEN`] pairs each.
///
/// # Safety
/// The processor has AVX-512F, BW and BF16, and every element of the matrix lies inside its slice.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn pack_rows(
    tiles: &mut [u32],
    matrix: &View<'_, f32>,
    row: usize,
    order: Order,
    stride: usize,
) {
    let (rows, k) = (matrix.rows.saturating_sub(row).min(SIDE), matrix.columns);
    for (block, first) in (0..k).step_by(DEPTH).enumerate() {
        let tile = &mut tiles[block * stride..][..TILE_LEN];
        let depth = DEPTH.min(k - first);
        // SAFETY: the tile's rows and columns lie inside the matrix, whose elements lie inside its slice.
        unsafe {
            let start = matrix.data.as_ptr().add(row * matrix.row_stride + first * matrix.column_stride);
            let (pairs, natural) = if matrix.column_stride == 1 {
                (along_k(start, matrix.row_stride, rows, depth), Order::AlongK)
            } else if matrix.row_stride == 1 {
                (across_k(start, matrix.column_stride, rows, depth), Order::AcrossK)
            } else {
                let mut copy = [0.0; SIDE * DEPTH];
                for i in 0..rows {
                    for l in 0..depth {
                        copy[i * DEPTH + l] = matrix.at(row + i, first + l);
                    }
                }
                (along_k(copy.as_ptr(), DEPTH, rows, depth), Order::AlongK)
            };
            let pairs = if natural == order { pairs } else { transposed(pairs) };
            for (i, pairs) in pairs.into_iter().enumerate() {
                _mm512_storeu_si512(tile.as_mut_ptr().add(i * SIDE).cast(), pairs);
            }
        }
    }
}

/// A mask of the first `count` of 16 lanes.
fn first(count: usize) -> __mmask16 {
    ((1u32 << count.min(16)) - 1) as __mmask16
}

/// Pairs of rows whose elements along k are contiguous.
///
/// # Safety
/// The processor has the instructions; `rows` x `depth` elements can be read at this row stride.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn along_k(start: *const f32, row_stride: usize, rows: usize, depth: usize) -> [__m512i; SIDE] {
    let (low, high) = (first(depth), first(depth.saturating_sub(SIDE)));
    let mut pairs = [_mm512_setzero_si512(); SIDE];
    for (i, pairs) in pairs.iter_mut().enumerate().take(rows) {
        let from = start.wrapping_add(i * row_stride);
        // SAFETY: only the elements of the mask are read.
        let (low, high) = unsafe {
            (_mm512_maskz_loadu_ps(low, from), _mm512_maskz_loadu_ps(high, from.wrapping_add(SIDE)))
        };
        *pairs = as_integers(_mm512_cvtne2ps_pbh(high, low));
    }
    pairs
}

/// Pairs of rows whose elements at the same k are contiguous.
///
/// # Safety
/// The processor has the instructions; `rows` x `depth` elements can be read at this stride along k.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn across_k(start: *const f32, k_stride: usize, rows: usize, depth: usize) -> [__m512i; SIDE] {
    let mask = first(rows);
    // Elements of the lower and of the upper half in turn.
    let mut order = [0u16; 2 * SIDE];
    for (i, order) in order.iter_mut().enumerate() {
        *order = (i / 2 + i % 2 * SIDE) as u16;
    }
    // SAFETY: 64 bytes.
    let order = unsafe { _mm512_loadu_si512(order.as_ptr().cast()) };
    let mut pairs = [_mm512_setzero_si512(); SIDE];
    for (p, pairs) in pairs.iter_mut().enumerate().take(depth.div_ceil(2)) {
        let from = start.wrapping_add(2 * p * k_stride);
        let second = if 2 * p + 1 < depth { mask } else { 0 };
        // SAFETY: only the elements of the masks are read.
        let (low, high) = unsafe {
            (_mm512_maskz_loadu_ps(mask, from), _mm512_maskz_loadu_ps(second, from.wrapping_add(k_stride)))
        };
        *pairs = _mm512_permutexvar_epi16(order, as_integers(_mm512_cvtne2ps_pbh(high, low)));
    }
    pairs
}

#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn as_integers(numbers: __m512bh) -> __m512i {
    // SAFETY: both are 512 bits.
    unsafe { std::mem::transmute(numbers) }
}
