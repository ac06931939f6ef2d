//! The way through a product: panel after panel of B, tile after tile of C.

use super::View;
use super::tile::{Epilogue, MOST_ROWS, Place, Tile, WIDE, Work};
use super::zeros;
use crate::simd::Lanes;

/// Numbers of a block of A that is copied: so it stays in the second cache while panels of B pass by.
const BLOCK: usize = 1 << 16;

/// Numbers of A that are copied at most, where that leaves out zeros; and of the lists of its steps.
const LARGEST: usize = 2 * BLOCK;
const LISTS: usize = LARGEST / 4;

/// Products with no more panels of B than this read A where it lies.
const FEW_PANELS: usize = 3;

/// Panels of B that are copied at once.
const TOGETHER: usize = 4;

/// Blocks of so many rows of A repay that B is copied for each.
const MANY_ROWS: usize = 64;

/// Products with fewer rows read B where it lies.
const FEW_ROWS: usize = 32;

/// Numbers of `scratch` that a product with inner dimension `depth` needs at any level.
pub(super) fn scratch_len(depth: usize) -> usize {
    // A block of A, of whole tiles; its lists; the widest panels.
    LARGEST + LISTS + TOGETHER * depth * MOST_COLUMNS
}

/// Where the numbers of a product go.
pub(super) enum Target<'a, T> {
    /// To a matrix of `columns` columns, row after row.
    Matrix(&'a mut [T]),
    /// Tile after tile to this function, which is told where they belong.
    Tiles(&'a mut dyn FnMut(Computed<'_, T>)),
}

/// A tile of a product.
pub(super) struct Computed<'a, T> {
    /// Row after row, [`Computed::STRIDE`] apart.
    pub numbers: &'a [T],
    /// Its first row and column in C, and how many there are.
    pub row: usize,
    pub column: usize,
    pub rows: usize,
    pub columns: usize,
}

/// Columns of the widest tile of any level.
const MOST_COLUMNS: usize = WIDE * 16;

impl<T> Computed<'_, T> {
    pub const STRIDE: usize = MOST_COLUMNS;
}

/// Some rows of A, as tiles are made of them.
#[derive(Clone, Copy)]
enum Left<'a, T> {
    /// Where they lie.
    View(View<'a, T>),
    /// Copied tile after tile.
    Packed(&'a [T]),
    /// Copied tile after tile, without the steps that add nothing; for each tile how many remain, and which.
    Listed(&'a [T], &'a [u32]),
}

/// C = finish(A B).
#[inline(always)]
pub(super) fn sweep<S: Tile<T>, T: Copy + PartialEq + Default, E: Epilogue<S, T>>(
    s: S,
    mut target: Target<'_, T>,
    a: View<'_, T>,
    b: View<'_, T>,
    finish: E,
    scratch: &mut [T],
) {
    let (m, n, k) = (a.rows, b.columns, a.columns);
    if m == 0 || n == 0 {
        return;
    }
    let (block, scratch) = scratch.split_at_mut(LARGEST);
    let (lists, panel) = scratch.split_at_mut(LISTS);
    // SAFETY: any bits are a u32, and any bits that it leaves behind are a number.
    let (_, lists, _) = unsafe { lists.align_to_mut::<u32>() };
    let has_many_panels = n.div_ceil(WIDE * S::COUNT) > FEW_PANELS;
    // Where the rows of A lie one number apart, a tile would read a line of the cache for a few numbers at each step, and again
    // for each panel: a block of them is copied first, tile after tile.
    let is_turned = a.row_stride == 1 && a.column_stride != 1;
    let skips = has_many_panels && zeros::are_many(&a, S::HEIGHT);
    // As many rows as whole tiles of them have room, and their lists.
    let room = if is_turned { BLOCK } else { LARGEST } / k.max(1);
    let room = if skips { room.min(LISTS / (k + 1) * S::HEIGHT) } else { room };
    let rows = room / S::HEIGHT * S::HEIGHT;
    // Each block of rows has the panels of B copied anew.
    let repays = m <= rows || rows >= MANY_ROWS;
    if !has_many_panels || rows == 0 || !(is_turned || skips && repays) {
        return each_panel(s, &mut target, Left::View(a), 0..m, &b, finish, panel);
    }
    for first in (0..m).step_by(rows) {
        let rows = first..m.min(first + rows);
        let left = if skips {
            s.outline(
                #[inline(always)]
                || pack_without_zeros::<S, T>(block, lists, &a, rows.clone()),
            );
            Left::Listed(block, lists)
        } else {
            s.outline(
                #[inline(always)]
                || pack_rows::<S, T>(block, &a, first, rows.len()),
            );
            Left::Packed(block)
        };
        each_panel(s, &mut target, left, rows, &b, finish, panel);
    }
}

/// Some rows of C, panel after panel of B.
#[inline(always)]
fn each_panel<S: Tile<T>, T: Copy + Default, E: Epilogue<S, T>>(
    s: S,
    target: &mut Target<'_, T>,
    a: Left<'_, T>,
    rows: std::ops::Range<usize>,
    b: &View<'_, T>,
    finish: E,
    scratch: &mut [T],
) {
    let (n, k) = (b.columns, b.rows);
    let wide = WIDE * S::COUNT;
    const { assert!(S::HEIGHT <= MOST_ROWS && WIDE * S::COUNT <= MOST_COLUMNS) }
    let mut apart = [T::default(); MOST_ROWS * MOST_COLUMNS];
    for column in (0..n).step_by(wide) {
        let count = wide.min(n - column);
        // Reading B where it lies saves the copy when few rows share it; it must lie row by row, in whole registers.
        let direct = b.column_stride == 1 && count == wide && rows.len() < FEW_ROWS;
        let (panel, b_step) = if direct {
            (b.data[column.min(b.data.len())..].as_ptr(), b.row_stride)
        } else if b.column_stride == 1 {
            // After panels that were read where they lie, the cut-off last one is alone.
            let place = if rows.len() < FEW_ROWS { 0 } else { column / wide % TOGETHER };
            if place == 0 {
                s.outline(
                    #[inline(always)]
                    || pack_together(s, scratch, b, column, k),
                );
            }
            (scratch[place * k * wide..].as_ptr(), wide)
        } else {
            s.outline(
                #[inline(always)]
                || pack(s, scratch, b, column, count, k),
            );
            (scratch.as_ptr(), wide)
        };
        for (tile, row) in rows.clone().step_by(S::HEIGHT).enumerate() {
            let tile_rows = S::HEIGHT.min(rows.end - row);
            let (c, c_row) = match target {
                Target::Matrix(c) => (&mut c[row * n + column..], n),
                Target::Tiles(_) => (&mut apart[..], MOST_COLUMNS),
            };
            let place = Place { c: c.as_mut_ptr(), c_row, row, column, columns: n, count };
            let packed = |block: &[T]| block[tile * S::HEIGHT * k..].as_ptr();
            let (start, a_row, a_step, steps) = match a {
                Left::View(a) => {
                    let at = (row * a.row_stride).min(a.data.len());
                    (a.data[at..].as_ptr(), a.row_stride, a.column_stride, &[][..])
                }
                Left::Packed(block) => (packed(block), 1, S::HEIGHT, &[][..]),
                Left::Listed(block, lists) => {
                    let list = &lists[tile * (k + 1)..][..k + 1];
                    (packed(block), 1, S::HEIGHT, &list[1..=list[0] as usize])
                }
            };
            let work = Work { depth: k, steps, a: start, a_row, a_step, b: panel, b_step, place };
            // SAFETY: `View::fits` (asserted by the callers) says that these rows of A lie inside their slice, and columns
            // column..column + count of B inside theirs; a packed block holds HEIGHT numbers for each of the k steps of each
            // tile, or for each of those that its list has, which are below k (`pack_rows`, `pack_without_zeros`); the panel in
            // scratch has k whole registers pairs (`check`); C has rows of n numbers, and a tile of any level fits into the
            // one that lies apart.
            unsafe {
                match a {
                    Left::Listed(..) => s.run::<E, true, true>(tile_rows, work, finish),
                    _ if a_row == 1 => s.run::<E, true, false>(tile_rows, work, finish),
                    _ => s.run::<E, false, false>(tile_rows, work, finish),
                }
            }
            if let Target::Tiles(take) = target {
                take(Computed { numbers: &apart, row, column, rows: tile_rows, columns: count });
            }
        }
    }
}

/// Copies some rows of A tile after tile without the steps that add nothing, and lists those that remain.
#[inline(always)]
fn pack_without_zeros<S: Tile<T>, T: Copy + PartialEq + Default>(
    block: &mut [T],
    lists: &mut [u32],
    a: &View<'_, T>,
    rows: std::ops::Range<usize>,
) {
    let k = a.columns;
    let tiles = block.chunks_exact_mut(S::HEIGHT * k).zip(lists.chunks_exact_mut(k + 1));
    for (row, (to, list)) in rows.clone().step_by(S::HEIGHT).zip(tiles) {
        let count = S::HEIGHT.min(rows.end - row);
        let found = if count == S::HEIGHT {
            // A height that is known when compiled: a few moves.
            zeros::pack_tile(to, &mut list[1..], a, row, S::HEIGHT, S::HEIGHT)
        } else {
            zeros::pack_tile(to, &mut list[1..], a, row, count, S::HEIGHT)
        };
        list[0] = found as u32;
    }
}

/// Copies rows `first..first + rows` of A, which lie one number apart, tile after tile: for each step the numbers of the tile's
/// rows side by side.
#[inline(always)]
fn pack_rows<S: Tile<T>, T: Copy>(block: &mut [T], a: &View<'_, T>, first: usize, rows: usize) {
    let tile = a.columns * S::HEIGHT;
    for row in (0..rows).step_by(S::HEIGHT) {
        let to = &mut block[row * a.columns..][..tile];
        let height = S::HEIGHT.min(rows - row);
        for (step, to) in to.chunks_exact_mut(S::HEIGHT).enumerate() {
            let from = &a.data[step * a.column_stride + first + row..][..height];
            if height == S::HEIGHT {
                // A length that is known when compiled: a few moves.
                to.copy_from_slice(&from[..S::HEIGHT]);
            } else {
                to[..height].copy_from_slice(from);
            }
        }
    }
}

/// Copies the columns of B from `column` on, as many as [`TOGETHER`] panels have, to `scratch`, panel after panel, each step
/// after step, filled up to whole registers. B lies row by row: each row is a long way from the next, and so worth more than
/// one panel's few numbers.
#[inline(always)]
fn pack_together<S: Lanes<T>, T: Copy>(s: S, scratch: &mut [T], b: &View<'_, T>, column: usize, k: usize) {
    let wide = WIDE * S::COUNT;
    let count = (b.columns - column).min(TOGETHER * wide);
    let panels = count.div_ceil(wide);
    let scratch = &mut scratch[..panels * k * wide];
    for step in 0..k {
        let from = &b.data[step * b.row_stride + column..][..count];
        for panel in 0..panels {
            let to = &mut scratch[(panel * k + step) * wide..][..wide];
            for w in 0..WIDE {
                let value = s.read(from, panel * wide + w * S::COUNT);
                s.write(to, w * S::COUNT, value);
            }
        }
    }
}

/// Copies columns `column..column + count` of B, which does not lie row by row, to `scratch`, step after step, filled up to
/// whole registers.
#[inline(always)]
fn pack<S: Lanes<T>, T: Copy>(
    s: S,
    scratch: &mut [T],
    b: &View<'_, T>,
    column: usize,
    count: usize,
    k: usize,
) {
    let wide = WIDE * S::COUNT;
    let scratch = &mut scratch[..k * wide];
    let (side, stride) = (S::SIDE, b.column_stride);
    if b.row_stride != 1 || count < wide {
        // Seldom: the last panel, or strides on both sides.
        for (step, to) in scratch.chunks_exact_mut(wide).enumerate() {
            for (j, to) in to.iter_mut().enumerate() {
                // Columns outside B repeat its last one: their sums are not stored.
                *to = b.data[step * b.row_stride + (column + j.min(count - 1)) * stride];
            }
        }
        return;
    }
    // The columns of B lie as rows: turn squares of them.
    let whole = k - k % side;
    for step in (0..whole).step_by(side) {
        for j in (0..wide).step_by(side) {
            let from = &b.data[(column + j) * stride + step..][..(side - 1) * stride + side];
            let to = &mut scratch[step * wide + j..][..(side - 1) * wide + side];
            // SAFETY: both slices reach from the first to the last number of the square.
            unsafe { s.transpose(to.as_mut_ptr(), wide, from.as_ptr(), stride) }
        }
    }
    for step in whole..k {
        for j in 0..wide {
            scratch[step * wide + j] = b.data[(column + j) * stride + step];
        }
    }
}
