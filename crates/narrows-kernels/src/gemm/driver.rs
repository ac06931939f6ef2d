//! The GEMM driver: packs A and B and loops the microkernel over the tiles of C.

use std::ops::Range;

use super::epilogue::ApplyEpilogue;
use super::microkernel::{Microkernel, Operands};
use super::packing::{
    RHS_PANELS_PER_PACK, pack_lhs, pack_lhs_without_zeros, pack_rhs_panels, pack_rhs_strided,
};
use super::skip_zeros;
use super::tile::{MAX_MR, MAX_NR, NR_VECTORS, TilePosition};
use super::view::View;

/// Elements of a packed block of A: the block stays in the L2 cache while panels of B stream past.
const LHS_BLOCK_LEN: usize = 1 << 16;

/// Scratch elements for packed A. A block whose zeros are dropped may have this many elements before they are.
const LHS_SCRATCH_LEN: usize = 2 * LHS_BLOCK_LEN;

/// Scratch elements for the indices of the k-slices kept.
const INDEX_SCRATCH_LEN: usize = LHS_SCRATCH_LEN / 4;

/// A is packed only if B has more panels than this: fewer passes over A do not repay the copy.
const LHS_PACKING_THRESHOLD: usize = 3;

/// B is packed if at least this many rows of C share a panel.
const RHS_PACKING_THRESHOLD: usize = 32;

/// If A takes several blocks, B is packed again for each. Dropping zeros repays that if a block has at least this many
/// rows.
const RHS_REPACKING_THRESHOLD: usize = 64;

/// Elements of a cache line, at most.
const LINE: usize = 16;

/// Elements of scratch that a product with inner dimension `k` needs at any level.
pub(super) fn scratch_len(k: usize) -> usize {
    // A block of A in whole tiles, its indices, and panels of the largest NR; all begin at a cache line.
    LINE + LHS_SCRATCH_LEN + INDEX_SCRATCH_LEN + RHS_PANELS_PER_PACK * k * MAX_NR
}

/// The destination of a product.
pub(super) enum Output<'a, T> {
    /// A row-major matrix.
    Matrix(&'a mut [T]),
    /// A function that is called with each tile.
    Tiles(&'a mut dyn FnMut(ComputedTile<'_, T>)),
}

/// A tile of a product.
pub(super) struct ComputedTile<'a, T> {
    /// Row-major, with rows [`ComputedTile::STRIDE`] apart.
    pub values: &'a [T],
    /// First row and column in C, and their counts.
    pub row: usize,
    pub column: usize,
    pub rows: usize,
    pub columns: usize,
}

impl<T> ComputedTile<'_, T> {
    pub const STRIDE: usize = MAX_NR;
}

/// The storage of a block of rows of A.
#[derive(Clone, Copy)]
enum Lhs<'a, T> {
    /// Read in place.
    InPlace(View<'a, T>),
    /// Packed by tile.
    Packed(&'a [T]),
    /// Packed by tile with all-zero k-slices dropped; each tile carries the count and the indices of the slices kept.
    Compressed(&'a [T], &'a [u32]),
}

/// C = epilogue(A B).
#[inline(always)]
pub(super) fn gemm<S: Microkernel<T>, T: Copy + PartialEq + Default, E: ApplyEpilogue<S, T>>(
    s: S,
    mut output: Output<'_, T>,
    a: View<'_, T>,
    b: View<'_, T>,
    epilogue: E,
    scratch: &mut [T],
) {
    let (m, n, k) = (a.rows, b.columns, a.columns);
    if m == 0 || n == 0 {
        return;
    }
    // Registers that cross a line cost two loads.
    let (_, scratch) = scratch.split_at_mut(scratch.as_ptr().align_offset(64).min(LINE));
    let (block, scratch) = scratch.split_at_mut(LHS_SCRATCH_LEN);
    let (indices, panels) = scratch.split_at_mut(INDEX_SCRATCH_LEN);
    // SAFETY: every bit pattern is a valid u32, and every bit pattern left behind is a valid float.
    let (_, indices, _) = unsafe { indices.align_to_mut::<u32>() };
    let has_many_panels = n.div_ceil(NR_VECTORS * S::COUNT) > LHS_PACKING_THRESHOLD;
    // If A is column-major, each k-slice of a tile lies on a cache line of its own, of which the tile uses MR elements,
    // again for each panel of B. Such an A is packed first.
    let is_column_major = a.row_stride == 1 && a.column_stride != 1;
    let skips_zeros = has_many_panels && skip_zeros::is_worthwhile(&a, S::MR);
    // Rows of a block: as many whole tiles as the scratch holds, with their indices.
    let room = if is_column_major { LHS_BLOCK_LEN } else { LHS_SCRATCH_LEN } / k.max(1);
    let room = if skips_zeros { room.min(INDEX_SCRATCH_LEN / (k + 1) * S::MR) } else { room };
    let rows = room / S::MR * S::MR;
    let repays_repacking = m <= rows || rows >= RHS_REPACKING_THRESHOLD;
    if !has_many_panels || rows == 0 || !(is_column_major || skips_zeros && repays_repacking) {
        return multiply_block(s, &mut output, Lhs::InPlace(a), 0..m, &b, epilogue, panels);
    }
    for first in (0..m).step_by(rows) {
        let rows = first..m.min(first + rows);
        let lhs = if skips_zeros {
            s.outline(
                #[inline(always)]
                || pack_lhs_without_zeros::<S, T>(block, indices, &a, rows.clone()),
            );
            Lhs::Compressed(block, indices)
        } else {
            s.outline(
                #[inline(always)]
                || pack_lhs::<S, T>(block, &a, first, rows.len()),
            );
            Lhs::Packed(block)
        };
        multiply_block(s, &mut output, lhs, rows, &b, epilogue, panels);
    }
}

/// Computes a block of rows of C, one panel of B after the other.
#[inline(always)]
fn multiply_block<S: Microkernel<T>, T: Copy + Default, E: ApplyEpilogue<S, T>>(
    s: S,
    output: &mut Output<'_, T>,
    lhs: Lhs<'_, T>,
    rows: Range<usize>,
    b: &View<'_, T>,
    epilogue: E,
    scratch: &mut [T],
) {
    let (n, k) = (b.columns, b.rows);
    let nr = NR_VECTORS * S::COUNT;
    const { assert!(S::MR <= MAX_MR && NR_VECTORS * S::COUNT <= MAX_NR) }
    let mut tile_buffer = [T::default(); MAX_MR * MAX_NR];
    for column in (0..n).step_by(nr) {
        let width = nr.min(n - column);
        let (panel, b_k_stride) = select_panel(s, scratch, b, column, rows.len());
        for (tile, row) in rows.clone().step_by(S::MR).enumerate() {
            let tile_rows = S::MR.min(rows.end - row);
            let (c, c_row_stride) = match output {
                Output::Matrix(c) => (&mut c[row * n + column..], n),
                Output::Tiles(_) => (&mut tile_buffer[..], MAX_NR),
            };
            let position = TilePosition { c: c.as_mut_ptr(), c_row_stride, row, column, c_columns: n, width };
            let packed_tile = |block: &[T]| block[tile * S::MR * k..].as_ptr();
            let (a, a_row_stride, a_k_stride, kept) = match lhs {
                Lhs::InPlace(a) => {
                    let start = (row * a.row_stride).min(a.data.len());
                    (a.data[start..].as_ptr(), a.row_stride, a.column_stride, &[][..])
                }
                Lhs::Packed(block) => (packed_tile(block), 1, S::MR, &[][..]),
                Lhs::Compressed(block, indices) => {
                    let indices = &indices[tile * (k + 1)..][..k + 1];
                    (packed_tile(block), 1, S::MR, &indices[1..=indices[0] as usize])
                }
            };
            let operands = Operands { k, kept, a, a_row_stride, a_k_stride, b: panel, b_k_stride, position };
            // SAFETY: `View::fits` (asserted by the callers) guarantees that these rows of A lie inside their slice,
            // and columns column..column + width of B inside theirs. A packed block holds MR elements for each of the k
            // slices of each tile, or for each slice that its indices name, which are below k (`pack_lhs`,
            // `pack_lhs_without_zeros`). A panel in scratch has k times NR_VECTORS whole registers (`check_shapes`). C
            // has rows of n elements, and a tile of any level fits into the tile buffer.
            unsafe {
                match lhs {
                    Lhs::Compressed(..) => s.run::<E, true, true>(tile_rows, operands, epilogue),
                    _ if a_row_stride == 1 => s.run::<E, true, false>(tile_rows, operands, epilogue),
                    _ => s.run::<E, false, false>(tile_rows, operands, epilogue),
                }
            }
            if let Output::Tiles(consume) = output {
                consume(ComputedTile { values: &tile_buffer, row, column, rows: tile_rows, columns: width });
            }
        }
    }
}

/// The panel of B that begins at `column`, and the elements between its rows: in place if few rows of C share it, else
/// packed into `scratch`.
#[inline(always)]
fn select_panel<S: Microkernel<T>, T: Copy>(
    s: S,
    scratch: &mut [T],
    b: &View<'_, T>,
    column: usize,
    rows: usize,
) -> (*const T, usize) {
    let k = b.rows;
    let nr = NR_VECTORS * S::COUNT;
    let width = nr.min(b.columns - column);
    // A panel can be read in place only if B is row-major and the panel has whole registers.
    let in_place = b.column_stride == 1 && width == nr && rows < RHS_PACKING_THRESHOLD;
    if in_place {
        (b.data[column.min(b.data.len())..].as_ptr(), b.row_stride)
    } else if b.column_stride == 1 {
        // Below the threshold only the partial last panel is packed, alone.
        let slot = if rows < RHS_PACKING_THRESHOLD { 0 } else { column / nr % RHS_PANELS_PER_PACK };
        if slot == 0 {
            s.outline(
                #[inline(always)]
                || pack_rhs_panels(s, scratch, b, column, k),
            );
        }
        (scratch[slot * k * nr..].as_ptr(), nr)
    } else {
        s.outline(
            #[inline(always)]
            || pack_rhs_strided(s, scratch, b, column, width, k),
        );
        (scratch.as_ptr(), nr)
    }
}
