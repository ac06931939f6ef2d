//! Products of packed panels: the tiles of a Gram matrix, whose operands are packed once for both sides.

use super::epilogue::Epilogue;
use super::microkernel::{Microkernel, Operands};
use super::tile::{MAX_MR, MAX_NR, NR_VECTORS, TilePosition};
use crate::simd::{Lanes, Level, dispatch};

/// Columns of a panel at a level.
pub(crate) fn panel_width(level: Level) -> usize {
    dispatch!(level, s => width_of(s))
}

#[inline(always)]
fn width_of<S: Lanes<f32>>(_: S) -> usize {
    NR_VECTORS * S::COUNT
}

/// Adds L'R to double-precision sums, where L and R are packed panels (rows x [`panel_width`]). The result goes to the columns
/// from `column` on of a matrix whose rows are `stride` apart.
///
/// # Panics
/// If a slice is too short.
pub(crate) fn add_panel_product(
    level: Level,
    sums: &mut [f64],
    stride: usize,
    column: usize,
    left: &[f32],
    right: &[f32],
    rows: usize,
) {
    dispatch!(level, s => add_tiles(s, sums, stride, column, left, right, rows));
}

#[inline(always)]
fn add_tiles<S: Microkernel<f32>>(
    s: S,
    sums: &mut [f64],
    stride: usize,
    column: usize,
    left: &[f32],
    right: &[f32],
    k: usize,
) where
    Epilogue<'static>: super::epilogue::ApplyEpilogue<S, f32>,
{
    let nr = NR_VECTORS * S::COUNT;
    assert!(left.len() >= k * nr && right.len() >= k * nr);
    let mut tile = [0.0f32; MAX_MR * MAX_NR];
    for first in (0..nr).step_by(S::MR) {
        let rows = S::MR.min(nr - first);
        let position = TilePosition {
            c: tile.as_mut_ptr(),
            c_row_stride: nr,
            row: 0,
            column: 0,
            c_columns: nr,
            width: nr,
        };
        let operands = Operands {
            k,
            kept: &[],
            a: left[first..].as_ptr(),
            a_row_stride: 1,
            a_k_stride: nr,
            b: right.as_ptr(),
            b_k_stride: nr,
            position,
        };
        // SAFETY: the left panel has k rows of nr elements, of which a tile reads `rows` from `first` on; the right one has k
        // rows of two whole registers; the tile has room for MR rows of nr elements.
        unsafe { s.run::<Epilogue<'static>, true, false>(rows, operands, Epilogue::Store) }
        for (i, values) in tile.chunks_exact(nr).take(rows).enumerate() {
            let to = &mut sums[(first + i) * stride + column..][..nr];
            for (sum, &value) in to.iter_mut().zip(values) {
                *sum += f64::from(value);
            }
        }
    }
}
