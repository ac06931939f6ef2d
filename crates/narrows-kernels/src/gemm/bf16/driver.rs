//! The loop over the tiles of C.

use super::packing::{DEPTH, Order, pack_rows};
use super::{Kind, Unit, dot_product};
use crate::gemm::driver::{ComputedTile, Output};
use crate::gemm::epilogue::{ApplyEpilogue, Epilogue};
use crate::gemm::tile::{MAX_NR, NR_VECTORS, TilePosition};
use crate::gemm::view::View;
use crate::simd::amx::{self, SIDE, TILE_LEN};
use crate::simd::{Avx512, Outline, Simd};

/// Rows and columns of C that are computed together: two tiles each way.
const BLOCK: usize = 2 * SIDE;

/// Pairs of the packed rows of A, which stay in the L2 cache while panels of B pass by.
const LHS_LEN: usize = 1 << 17;

/// Panels of B that are packed in one pass over its rows.
const PANELS: usize = 4;

/// The sums of a block of C.
type Sums = [f32; BLOCK * BLOCK];

/// C = epilogue(A B). The shapes and the length of the scratch were checked.
pub(super) fn gemm(
    unit: Unit,
    mut output: Output<'_, f32>,
    a: View<'_, f32>,
    b: View<'_, f32>,
    epilogue: Epilogue<'_>,
    scratch: &mut [f32],
) {
    let (m, n, k) = (a.rows, b.columns, a.columns);
    if m == 0 || n == 0 {
        return;
    }
    // With an inner dimension of 0, sums of one step of zeros.
    let blocks = k.div_ceil(DEPTH).max(1);
    // Pairs of two tiles in each step along k.
    let len = blocks * 2 * TILE_LEN;
    let rows = (LHS_LEN / len).max(1) * BLOCK;
    // SAFETY: every bit pattern is a valid pair, and every pattern left behind is a valid float.
    let (_, scratch, _) = unsafe { scratch.align_to_mut::<u32>() };
    let (_, scratch) = scratch.split_at_mut(scratch.as_ptr().align_offset(64).min(SIDE));
    let (lhs, scratch) = scratch.split_at_mut(rows.min(m.next_multiple_of(BLOCK)) / BLOCK * len);
    let panels = &mut scratch[..PANELS.min(n.div_ceil(BLOCK)) * len];
    let columns_of_b = b.transposed();
    let multiplier = Multiplier::new(unit);
    let mut sums: Sums = [0.0; BLOCK * BLOCK];
    for first_row in (0..m).step_by(rows) {
        let row_blocks = rows.min(m - first_row).div_ceil(BLOCK);
        for (block, lhs) in lhs.chunks_exact_mut(len).take(row_blocks).enumerate() {
            pack(lhs, &a, first_row + block * BLOCK, Order::AlongK);
        }
        for column in (0..n).step_by(BLOCK) {
            let panel = column / BLOCK % PANELS;
            if panel == 0 {
                let ahead = (n - column).div_ceil(BLOCK).min(PANELS);
                pack_panels(&mut panels[..ahead * len], len, &columns_of_b, column);
            }
            let panel = &panels[panel * len..][..len];
            for (block, lhs) in lhs.chunks_exact(len).take(row_blocks).enumerate() {
                multiplier.multiply(&mut sums, lhs, panel, blocks);
                let row = first_row + block * BLOCK;
                let (rows, columns) = (BLOCK.min(m - row), BLOCK.min(n - column));
                match &mut output {
                    Output::Matrix(c) => {
                        let c = &mut c[row * n + column..];
                        let position = TilePosition {
                            c: c.as_mut_ptr(),
                            c_row_stride: n,
                            row,
                            column,
                            c_columns: n,
                            width: columns,
                        };
                        finish(&sums, epilogue, position, rows);
                    }
                    Output::Tiles(consume) => {
                        consume(ComputedTile { values: &sums, row, column, rows, columns });
                    }
                }
            }
        }
    }
}

/// Packs [`BLOCK`] rows of a matrix whose columns are those of k: the two tiles of each step side by side.
fn pack(to: &mut [u32], matrix: &View<'_, f32>, row: usize, order: Order) {
    if matrix.columns == 0 {
        return to.fill(0);
    }
    for half in 0..2 {
        let row = row + half * SIDE;
        let to = &mut to[half * TILE_LEN..];
        if row < matrix.rows {
            // SAFETY: a unit that packs was found with these instructions (`Unit::available`), and the view fits its slice
            // (`check_shapes`).
            unsafe { pack_rows(to, matrix, row, order, 2 * TILE_LEN) }
        } else {
            to.chunks_mut(2 * TILE_LEN).for_each(|tile| tile[..TILE_LEN].fill(0));
        }
    }
}

/// Packs some panels of B, given as its transpose, from `column` on.
fn pack_panels(to: &mut [u32], len: usize, columns_of_b: &View<'_, f32>, column: usize) {
    for (panel, to) in to.chunks_exact_mut(len).enumerate() {
        pack(to, columns_of_b, column + panel * BLOCK, Order::AcrossK);
    }
}

/// What multiplies tiles, ready on this thread.
enum Multiplier {
    DotProduct,
    Amx(amx::Tiles),
}

impl Multiplier {
    fn new(unit: Unit) -> Self {
        match unit.0 {
            // SAFETY: the unit was found to be available.
            Kind::Amx => Self::Amx(unsafe { amx::Tiles::new() }),
            _ => Self::DotProduct,
        }
    }

    fn multiply(&self, sums: &mut Sums, a: &[u32], b: &[u32], blocks: usize) {
        match self {
            Self::Amx(tiles) => tiles.multiply_bf16(sums, a, b, blocks),
            // SAFETY: the unit was found to be available.
            Self::DotProduct => unsafe { dot_product::multiply(sums, a, b, blocks) },
        }
    }
}

/// Applies the epilogue to the sums of some rows, and stores them.
fn finish(sums: &Sums, epilogue: Epilogue<'_>, position: TilePosition<f32>, rows: usize) {
    // SAFETY: the units that pack have AVX-512.
    let s = unsafe { Avx512::new_unchecked() };
    s.outline(
        #[inline(always)]
        || finish_rows(s, sums, epilogue, position, rows),
    );
}

#[inline(always)]
fn finish_rows<S: Simd>(s: S, sums: &Sums, epilogue: Epilogue<'_>, position: TilePosition<f32>, rows: usize) {
    const { assert!(BLOCK == NR_VECTORS * S::COUNT && BLOCK == MAX_NR) }
    let TilePosition { c, c_row_stride, row, width, .. } = position;
    let inside = [width.min(SIDE), width.saturating_sub(SIDE)];
    for (i, sums) in sums.chunks_exact(BLOCK).take(rows).enumerate() {
        let to = c.wrapping_add(i * c_row_stride);
        let to = [to, to.wrapping_add(SIDE.min(width))];
        let mut values = [s.read(sums, 0), s.read(sums, SIDE)];
        if ApplyEpilogue::<S, f32>::accumulates(epilogue) {
            for v in 0..NR_VECTORS {
                // SAFETY: `inside` counts the elements of the row that lie in C.
                values[v] = s.add(values[v], unsafe { s.load_first(to[v], inside[v]) });
            }
        }
        let [values] = epilogue.apply(s, [values], TilePosition { row: row + i, ..position });
        for v in 0..NR_VECTORS {
            // SAFETY: as above.
            unsafe { s.store_first(to[v], values[v], inside[v]) }
        }
    }
}
