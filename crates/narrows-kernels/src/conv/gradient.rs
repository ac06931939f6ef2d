//! The gradient of the weights: the product of the transposed patches with the output gradients, k x columns.

use super::dispatch::{DispatchTile, TileKernel};
use super::gather::{GatherEntry, GatherTable, column_panels, even_chunks, gradient_lies_along_runs};
use super::tile_shapes::TileShapes;
use crate::simd::{Lanes, MAX_ROWS, Simd, each_row};

/// Output pixels per block. All tiles are updated with one block before the next, so that the data of the block stays
/// in the L1 cache.
const PIXELS_PER_BLOCK: usize = 96;

/// Runs of at least this many elements are cut into tiles each for itself. Then the rows of a tile are consecutive elements of the
/// patch, and one address does for all of them.
const LONG_RUN: usize = 8;

/// Columns of a tile whose registers lie along the runs, and its registers per column, by the number of columns.
const COLUMNS_ALONG_RUNS: usize = 2;
const MAX_REGISTERS_ALONG_RUNS: [usize; 3] = [0, 8, 6];

/// The operands of a tile of [`gradient`].
#[derive(Clone, Copy)]
struct GradientTile<'a> {
    /// For each row of the tile, the offset of its element from the beginning of a patch.
    offsets: &'a [usize],
    entries: &'a [GatherEntry],
    input: *const f32,
    /// The output gradient, from the first column of the panel on.
    delta: *const f32,
    /// The tile's first sum, and the elements between its rows.
    sums: *mut f32,
    sums_stride: usize,
    /// Columns of the panel inside the image.
    inside: usize,
}

/// Adds to `sums` (k x columns, or columns x k: see [`gradient_lies_along_runs`]), over all entries, the product of the
/// patch in `read` and the pixel at the companion offset of `delta`.
#[inline(always)]
pub(super) fn gradient<S: DispatchTile>(
    s: S,
    sums: &mut [f32],
    read: &[f32],
    delta: &[f32],
    table: &GatherTable,
) {
    let (k, columns, lanes) = (table.k(), table.columns, <S as Lanes<f32>>::COUNT);
    assert!(sums.len() == k * columns);
    assert!(read.len() >= table.read_len && delta.len() >= table.companion_len);
    if gradient_lies_along_runs(table, lanes) {
        return gradient_along_runs(s, sums, read, delta, table);
    }
    let offset = |row: usize| row / table.run_len * table.pitch + row % table.run_len;
    for (start, end) in even_chunks(table.entries.len(), PIXELS_PER_BLOCK) {
        for (first, two_registers, inside) in column_panels(columns, lanes) {
            let max_rows = if two_registers { S::MAX_ROWS_2 } else { S::MAX_ROWS_1 };
            let (part, max_rows) = if table.run_len >= LONG_RUN {
                (table.run_len, max_rows)
            } else {
                (k, max_rows.min(S::MAX_SCATTERED_ROWS))
            };
            for start_of_part in (0..k).step_by(part.max(1)) {
                for (row, end_row) in even_chunks(part, max_rows) {
                    let rows = start_of_part + row..start_of_part + end_row;
                    let mut offsets = [0; MAX_ROWS];
                    let offsets = &mut offsets[..rows.len()];
                    offsets.iter_mut().zip(rows.clone()).for_each(|(to, row)| *to = offset(row));
                    let tile = GradientTile {
                        offsets,
                        entries: &table.entries[start..end],
                        input: read.as_ptr(),
                        delta: delta.as_ptr().wrapping_add(first),
                        sums: sums[rows.start * columns + first..].as_mut_ptr(),
                        sums_stride: columns,
                        inside,
                    };
                    // SAFETY: `GatherTable::new` computed how far the entries reach, and the slices are that long
                    // (asserted); these rows of the sums have `inside` elements from `first` on.
                    unsafe { s.dispatch_rows(two_registers, rows.len(), tile) }
                }
            }
        }
    }
}

impl<S: TileShapes> TileKernel<S> for GradientTile<'_> {
    const IS_LONG: bool = true;

    /// Computes `ROWS` elements of the patches x `REGISTERS` registers of columns.
    ///
    /// # Safety
    /// As [`GradientTile::compute`].
    #[inline(always)]
    unsafe fn run<const ROWS: usize, const REGISTERS: usize>(self, s: S) {
        // SAFETY: guaranteed by the caller.
        unsafe {
            let is_whole = self.inside == REGISTERS * <S as Lanes<f32>>::COUNT;
            let is_contiguous = self.offsets.windows(2).all(|pair| pair[1] == pair[0] + 1);
            match (is_whole, is_contiguous) {
                (true, true) => self.compute::<S, ROWS, REGISTERS, true, true>(s),
                (false, true) => self.compute::<S, ROWS, REGISTERS, false, true>(s),
                _ if const { ROWS > S::MAX_SCATTERED_ROWS } => {
                    unreachable!("tiles over several runs are smaller")
                }
                (true, false) => self.compute::<S, ROWS, REGISTERS, true, false>(s),
                (false, false) => self.compute::<S, ROWS, REGISTERS, false, false>(s),
            }
        }
    }
}

impl GradientTile<'_> {
    /// Computes `ROWS` elements of the patches x `REGISTERS` registers of columns.
    ///
    /// # Safety
    /// There are `ROWS` offsets. For each entry, the element of each row can be read from `input` and `inside` elements
    /// from `delta`; each row of `sums` has `inside` elements. `inside` is more than `REGISTERS` - 1 registers; with `WHOLE`
    /// it is `REGISTERS`. With `CONTIGUOUS`, the offsets are consecutive: then one address does for all rows, where twelve
    /// would not fit into the registers.
    #[inline(always)]
    unsafe fn compute<
        S: Simd,
        const ROWS: usize,
        const REGISTERS: usize,
        const WHOLE: bool,
        const CONTIGUOUS: bool,
    >(
        self,
        s: S,
    ) {
        let Self { offsets, entries, input, delta, sums: to, sums_stride, inside } = self;
        let lanes = <S as Lanes<f32>>::COUNT;
        let counts = [inside.min(lanes), inside.saturating_sub(lanes)];
        // Only the last register can be partial: one mask has a register beside the sums, a second one has not.
        let is_full = |r: usize| WHOLE || r + 1 < REGISTERS;
        // SAFETY: guaranteed by the caller.
        unsafe {
            let at = |i: usize, r: usize| to.add(i * sums_stride + (r * lanes).min(inside));
            let mut sums = [[s.constant(0.0); REGISTERS]; ROWS];
            let mut elements = [input; ROWS];
            each_row!(i => {
                elements[i] = input.add(*offsets.get_unchecked(i));
                for r in 0..REGISTERS {
                    sums[i][r] = if is_full(r) { s.load(at(i, r)) } else { s.load_first(at(i, r), counts[r]) };
                }
            });
            for entry in entries {
                let mut ds = [s.constant(0.0); REGISTERS];
                for r in 0..REGISTERS {
                    let d = delta.add(entry.companion as usize + (r * lanes).min(inside));
                    ds[r] = if is_full(r) { s.load(d) } else { s.load_first(d, counts[r]) };
                }
                each_row!(i => {
                    let element = if CONTIGUOUS { elements[0].add(i) } else { elements[i] };
                    let x = s.constant(*element.add(entry.read as usize));
                    for r in 0..REGISTERS {
                        sums[i][r] = s.mul_add(x, ds[r], sums[i][r]);
                    }
                });
            }
            each_row!(i => {
                for r in 0..REGISTERS {
                    if is_full(r) {
                        s.store(at(i, r), sums[i][r]);
                    } else {
                        s.store_first(at(i, r), sums[i][r], counts[r]);
                    }
                }
            });
        }
    }
}

/// [`gradient`] for few columns, with registers along the runs. A tile is two columns and up to six registers of the
/// runs, or one column and up to eight.
#[inline(always)]
fn gradient_along_runs<S: Simd>(s: S, sums: &mut [f32], read: &[f32], delta: &[f32], table: &GatherTable) {
    let GatherTable { entries, runs, run_len, pitch, columns, .. } = table;
    let (k, lanes) = (table.k(), <S as Lanes<f32>>::COUNT);
    // Whole registers of each run are computed in tiles, the remainder of each run afterwards.
    let whole = run_len / lanes;
    for (start, end) in even_chunks(entries.len(), PIXELS_PER_BLOCK) {
        let entries = &entries[start..end];
        for (column, end_column) in even_chunks(*columns, COLUMNS_ALONG_RUNS) {
            let max_registers = MAX_REGISTERS_ALONG_RUNS[end_column - column];
            for (register, end_register) in even_chunks(runs * whole, max_registers) {
                let mut offsets = [(0, 0); 8];
                let offsets = &mut offsets[..end_register - register];
                for (offset, register) in offsets.iter_mut().zip(register..) {
                    let (run, at) = (register / whole, register % whole * lanes);
                    *offset = (run * pitch + at, run * run_len + at);
                }
                let tile = RunTile {
                    offsets,
                    entries,
                    input: read.as_ptr(),
                    delta: delta.as_ptr().wrapping_add(column),
                    sums: sums[column * k..].as_mut_ptr(),
                    k,
                };
                // SAFETY: `GatherTable::new` computed how far the entries reach, and the slices are that long (asserted
                // by the caller); `sums` has a row of k elements for each column.
                unsafe {
                    macro_rules! dispatch_tile {
                        ($($columns:literal $registers:literal,)*) => {
                            match (end_column - column, end_register - register) {
                                $(($columns, $registers) => tile.compute::<S, $columns, $registers>(s),)*
                                _ => unreachable!("tiles of up to 2 columns"),
                            }
                        };
                    }
                    dispatch_tile!(1 1, 1 2, 1 3, 1 4, 1 5, 1 6, 1 7, 1 8, 2 1, 2 2, 2 3, 2 4, 2 5, 2 6,);
                }
            }
        }
        let rest = whole * lanes;
        if rest == *run_len {
            continue;
        }
        for (column, sums) in sums.chunks_exact_mut(k).enumerate() {
            for (run, sums) in sums.chunks_exact_mut(*run_len).enumerate() {
                let mut sum = s.read(sums, rest);
                for entry in entries {
                    let d = s.constant(delta[entry.companion as usize + column]);
                    let start = entry.read as usize + run * pitch;
                    sum = s.mul_add(d, s.read(&read[start..start + run_len], rest), sum);
                }
                s.write(sums, rest, sum);
            }
        }
    }
}

/// The operands of a tile of [`gradient_along_runs`].
#[derive(Clone, Copy)]
struct RunTile<'a> {
    /// For each register, its offset from the beginning of a patch, and in a row of the sums.
    offsets: &'a [(usize, usize)],
    entries: &'a [GatherEntry],
    input: *const f32,
    /// The output gradient, from the first column of the tile on.
    delta: *const f32,
    /// The row of sums of the tile's first column, and the elements of a row.
    sums: *mut f32,
    k: usize,
}

impl RunTile<'_> {
    /// Computes `COLUMNS` columns x `REGISTERS` registers of the runs.
    ///
    /// # Safety
    /// There are `REGISTERS` offsets. For each entry, a register can be read from `input` at each offset, and `COLUMNS`
    /// elements from `delta`. The sums have `COLUMNS` rows of `k` elements, with a register at each offset.
    #[inline(always)]
    unsafe fn compute<S: Simd, const COLUMNS: usize, const REGISTERS: usize>(self, s: S) {
        let Self { offsets, entries, input, delta, sums: to, k } = self;
        // SAFETY: guaranteed by the caller.
        unsafe {
            let mut elements = [input; REGISTERS];
            let mut sums = [[s.constant(0.0); REGISTERS]; COLUMNS];
            for r in 0..REGISTERS {
                let (read, written) = *offsets.get_unchecked(r);
                elements[r] = input.add(read);
                for c in 0..COLUMNS {
                    sums[c][r] = s.load(to.add(c * k + written));
                }
            }
            for entry in entries {
                let mut ds = [s.constant(0.0); COLUMNS];
                for c in 0..COLUMNS {
                    ds[c] = s.constant(*delta.add(entry.companion as usize + c));
                }
                for r in 0..REGISTERS {
                    let x = s.load(elements[r].add(entry.read as usize));
                    for c in 0..COLUMNS {
                        sums[c][r] = s.mul_add(ds[c], x, sums[c][r]);
                    }
                }
            }
            for r in 0..REGISTERS {
                let (_, written) = *offsets.get_unchecked(r);
                for c in 0..COLUMNS {
                    s.store(to.add(c * k + written), sums[c][r]);
                }
            }
        }
    }
}
