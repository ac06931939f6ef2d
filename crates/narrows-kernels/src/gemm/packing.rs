//! Packing: copies A by tile and B by panel into scratch memory, in the order in which the microkernel reads them.

use std::ops::Range;

use super::microkernel::Microkernel;
use super::skip_zeros;
use super::tile::NR_VECTORS;
use super::view::View;
use crate::simd::Lanes;

/// Panels of B that are packed in one pass over its rows. Consecutive rows of B are far apart in memory, so a visit to
/// a row should read more than the elements of one panel.
pub(super) const RHS_PANELS_PER_PACK: usize = 4;

/// Packs `rows` rows of A from `first` on, by tile: for each k the elements of the tile's rows, contiguously. The rows
/// of A are one element apart.
#[inline(always)]
pub(super) fn pack_lhs<S: Microkernel<T>, T: Copy>(
    packed: &mut [T],
    a: &View<'_, T>,
    first: usize,
    rows: usize,
) {
    let tile_len = a.columns * S::MR;
    for row in (0..rows).step_by(S::MR) {
        let tile = &mut packed[row * a.columns..][..tile_len];
        let count = S::MR.min(rows - row);
        for (l, to) in tile.chunks_exact_mut(S::MR).enumerate() {
            let from = &a.data[l * a.column_stride + first + row..][..count];
            if count == S::MR {
                // A length known at compile time: the copy becomes a few moves.
                to.copy_from_slice(&from[..S::MR]);
            } else {
                to[..count].copy_from_slice(from);
            }
        }
    }
}

/// Packs some rows of A by tile with all-zero k-slices dropped. `indices` gets k + 1 entries per tile: the number of
/// slices kept, then their indices.
#[inline(always)]
pub(super) fn pack_lhs_without_zeros<S: Microkernel<T>, T: Copy + PartialEq + Default>(
    packed: &mut [T],
    indices: &mut [u32],
    a: &View<'_, T>,
    rows: Range<usize>,
) {
    let k = a.columns;
    let tiles = packed.chunks_exact_mut(S::MR * k).zip(indices.chunks_exact_mut(k + 1));
    for (row, (tile, indices)) in rows.clone().step_by(S::MR).zip(tiles) {
        let count = S::MR.min(rows.end - row);
        let kept = if count == S::MR {
            // A height known at compile time: the copies become a few moves.
            skip_zeros::pack_tile(tile, &mut indices[1..], a, row, S::MR, S::MR)
        } else {
            skip_zeros::pack_tile(tile, &mut indices[1..], a, row, count, S::MR)
        };
        indices[0] = kept as u32;
    }
}

/// Packs up to [`RHS_PANELS_PER_PACK`] panels of a row-major B from `column` on: panel after panel, each k after k,
/// padded to whole registers.
#[inline(always)]
pub(super) fn pack_rhs_panels<S: Lanes<T>, T: Copy>(
    s: S,
    packed: &mut [T],
    b: &View<'_, T>,
    column: usize,
    k: usize,
) {
    let nr = NR_VECTORS * S::COUNT;
    let count = (b.columns - column).min(RHS_PANELS_PER_PACK * nr);
    let panels = count.div_ceil(nr);
    let packed = &mut packed[..panels * k * nr];
    for l in 0..k {
        let from = &b.data[l * b.row_stride + column..][..count];
        for panel in 0..panels {
            let to = &mut packed[(panel * k + l) * nr..][..nr];
            for v in 0..NR_VECTORS {
                let value = s.read(from, panel * nr + v * S::COUNT);
                s.write(to, v * S::COUNT, value);
            }
        }
    }
}

/// Packs the panel of columns `column..column + width` of a B that is not row-major: k after k, padded to whole
/// registers.
#[inline(always)]
pub(super) fn pack_rhs_strided<S: Lanes<T>, T: Copy>(
    s: S,
    packed: &mut [T],
    b: &View<'_, T>,
    column: usize,
    width: usize,
    k: usize,
) {
    let nr = NR_VECTORS * S::COUNT;
    let packed = &mut packed[..k * nr];
    let (side, stride) = (S::TRANSPOSE_SIDE, b.column_stride);
    if b.row_stride != 1 || width < nr {
        // Rare: the last panel, or a matrix with neither stride 1.
        for (l, to) in packed.chunks_exact_mut(nr).enumerate() {
            for (j, to) in to.iter_mut().enumerate() {
                // Columns outside B repeat the last one; their sums are not stored.
                *to = b.data[l * b.row_stride + (column + j.min(width - 1)) * stride];
            }
        }
        return;
    }
    // The columns of B are contiguous: transpose square blocks.
    let whole = k - k % side;
    for l in (0..whole).step_by(side) {
        for j in (0..nr).step_by(side) {
            let from = &b.data[(column + j) * stride + l..][..(side - 1) * stride + side];
            let to = &mut packed[l * nr + j..][..(side - 1) * nr + side];
            // SAFETY: both slices span the square from its first to its last element.
            unsafe { s.transpose(to.as_mut_ptr(), nr, from.as_ptr(), stride) }
        }
    }
    for l in whole..k {
        for j in 0..nr {
            packed[l * nr + j] = b.data[(column + j) * stride + l];
        }
    }
}
