//! The product of the runs and the gradients at all places: numbers of the runs x columns.

use super::tall::Tall;
use super::window::{Place, Window, gradient_is_along_runs, panels, parts};
use crate::simd::{Lanes, Simd};

/// Places that [`gradient`] goes through before it turns to the next tile: what they read stays in the nearest cache.
const BLOCK: usize = 96;

/// What a tile of [`gradient`] works on.
#[derive(Clone, Copy)]
pub(super) struct Gradient<'a> {
    /// For each row of the tile, where its number lies from the beginning of a place.
    pub rows: &'a [usize],
    places: &'a [Place],
    input: *const f32,
    /// The gradient of the outputs, from the first column of the panel on.
    delta: *const f32,
    /// The tile's first number, and numbers from a row to the next.
    sums: *mut f32,
    sums_row: usize,
    inside: usize,
}

/// Adds to `sums` (depth x columns, or columns x depth: see [`gradient_is_along_runs`]) the products of the runs at each
/// place of `from` with the numbers at `beside` of `delta`.
#[inline(always)]
pub(super) fn gradient<S: Tall>(s: S, sums: &mut [f32], from: &[f32], delta: &[f32], window: &Window) {
    let (depth, columns, lanes) = (window.depth(), window.columns, <S as Lanes<f32>>::COUNT);
    assert!(sums.len() == depth * columns);
    assert!(from.len() >= window.from_len && delta.len() >= window.beside_len);
    if gradient_is_along_runs(window, lanes) {
        return gradient_along_runs(s, sums, from, delta, window);
    }
    let offset = |row: usize| row / window.run * window.pitch + row % window.run;
    for (start, end) in parts(window.places.len(), BLOCK) {
        for (first, pair, inside) in panels(columns, lanes) {
            let whole = inside == if pair { 2 * lanes } else { lanes };
            for (row, end_row) in parts(depth, if pair { S::TALL } else { S::TALLEST }) {
                let mut rows = [0; 16];
                let rows = &mut rows[..end_row - row];
                rows.iter_mut().zip(row..).for_each(|(to, row)| *to = offset(row));
                let work = Gradient {
                    rows,
                    places: &window.places[start..end],
                    input: from.as_ptr(),
                    delta: delta.as_ptr().wrapping_add(first),
                    sums: sums[row * columns + first..].as_mut_ptr(),
                    sums_row: columns,
                    inside,
                };
                // SAFETY: `Window::new` measured how far the places reach, and the slices are that long (asserted);
                // rows row..end_row of the sums have `inside` numbers from `first` on.
                unsafe { s.gradient(pair, whole, work) }
            }
        }
    }
}

/// A tile: `ROWS` numbers of the runs x `WIDE` registers.
///
/// # Safety
/// There are `ROWS` rows; at each place, each row's number can be read from `input` and `inside` numbers from `delta`; each
/// row of `sums` has `inside` numbers. With `WHOLE`, `inside` is `WIDE` registers.
#[inline(always)]
pub(super) unsafe fn gradient_tile<S: Simd, const ROWS: usize, const WIDE: usize, const WHOLE: bool>(
    s: S,
    work: Gradient<'_>,
) {
    let Gradient { rows, places, input, delta, sums: to, sums_row, inside } = work;
    let lanes = <S as Lanes<f32>>::COUNT;
    let counts = [inside.min(lanes), inside.saturating_sub(lanes)];
    // SAFETY: as the caller promises; a register outside is loaded and stored with a count of 0 at the end of its row.
    unsafe {
        let at = |i: usize, w: usize| to.add(i * sums_row + (w * lanes).min(inside));
        let mut sums = [[s.constant(0.0); WIDE]; ROWS];
        let mut from = [input; ROWS];
        for i in 0..ROWS {
            from[i] = input.add(*rows.get_unchecked(i));
            for w in 0..WIDE {
                sums[i][w] = if WHOLE { s.load(at(i, w)) } else { s.load_first(at(i, w), counts[w]) };
            }
        }
        for place in places {
            let mut ds = [s.constant(0.0); WIDE];
            for w in 0..WIDE {
                let d = delta.add(place.beside as usize + (w * lanes).min(inside));
                ds[w] = if WHOLE { s.load(d) } else { s.load_first(d, counts[w]) };
            }
            for i in 0..ROWS {
                let x = s.constant(*from[i].add(place.from as usize));
                for w in 0..WIDE {
                    sums[i][w] = s.mul_add(x, ds[w], sums[i][w]);
                }
            }
        }
        for i in 0..ROWS {
            for w in 0..WIDE {
                if WHOLE {
                    s.store(at(i, w), sums[i][w]);
                } else {
                    s.store_first(at(i, w), sums[i][w], counts[w]);
                }
            }
        }
    }
}

/// [`gradient`] for few columns: registers lie along the runs. A tile is two columns and up to six registers of the
/// runs, or one column and up to eight.
#[inline(always)]
fn gradient_along_runs<S: Simd>(s: S, sums: &mut [f32], from: &[f32], delta: &[f32], window: &Window) {
    let Window { places, rows, run, pitch, columns, .. } = window;
    let (depth, lanes) = (window.depth(), <S as Lanes<f32>>::COUNT);
    // Whole registers of each run, of all rows; what is left of a run comes last.
    let whole = run / lanes;
    for (start, end) in parts(places.len(), BLOCK) {
        let places = &places[start..end];
        for (column, end_column) in parts(*columns, 2) {
            let most = [0, 8, 6][end_column - column];
            for (register, end_register) in parts(rows * whole, most) {
                let mut offsets = [(0, 0); 8];
                let offsets = &mut offsets[..end_register - register];
                for (offset, register) in offsets.iter_mut().zip(register..) {
                    let (row, at) = (register / whole, register % whole * lanes);
                    *offset = (row * pitch + at, row * run + at);
                }
                let work = Along {
                    offsets,
                    places,
                    input: from.as_ptr(),
                    delta: delta.as_ptr().wrapping_add(column),
                    sums: sums[column * depth..].as_mut_ptr(),
                    depth,
                };
                // SAFETY: `Window::new` measured how far the places reach, and the slices are that long (asserted by the
                // caller); `sums` has a row of `depth` numbers for each column.
                unsafe {
                    macro_rules! tile {
                        ($($columns:literal $registers:literal,)*) => {
                            match (end_column - column, end_register - register) {
                                $(($columns, $registers) => along_tile::<S, $columns, $registers>(s, work),)*
                                _ => unreachable!("tiles of up to 2 columns"),
                            }
                        };
                    }
                    tile!(1 1, 1 2, 1 3, 1 4, 1 5, 1 6, 1 7, 1 8, 2 1, 2 2, 2 3, 2 4, 2 5, 2 6,);
                }
            }
        }
        let rest = whole * lanes;
        if rest == *run {
            continue;
        }
        for (column, sums) in sums.chunks_exact_mut(depth).enumerate() {
            for (row, sums) in sums.chunks_exact_mut(*run).enumerate() {
                let mut sum = s.read(sums, rest);
                for place in places {
                    let d = s.constant(delta[place.beside as usize + column]);
                    let start = place.from as usize + row * pitch;
                    sum = s.mul_add(d, s.read(&from[start..start + run], rest), sum);
                }
                s.write(sums, rest, sum);
            }
        }
    }
}

/// What a tile of [`gradient_along_runs`] works on.
#[derive(Clone, Copy)]
struct Along<'a> {
    /// Where each register lies from the beginning of a place, and in a row of the sums.
    offsets: &'a [(usize, usize)],
    places: &'a [Place],
    input: *const f32,
    /// The gradient of the outputs, from the first column of the tile on.
    delta: *const f32,
    /// The row of the tile's first column, and numbers of a row.
    sums: *mut f32,
    depth: usize,
}

/// A tile: `COLUMNS` x `REGISTERS`.
///
/// # Safety
/// There are `REGISTERS` offsets; at each place, a register can be read from `input` at each of them, and `COLUMNS`
/// numbers from `delta`; the sums have `COLUMNS` rows of `depth` numbers, and each offset has a register there.
#[inline(always)]
unsafe fn along_tile<S: Simd, const COLUMNS: usize, const REGISTERS: usize>(s: S, work: Along<'_>) {
    let Along { offsets, places, input, delta, sums: to, depth } = work;
    // SAFETY: as the caller promises.
    unsafe {
        let mut from = [input; REGISTERS];
        let mut sums = [[s.constant(0.0); REGISTERS]; COLUMNS];
        for r in 0..REGISTERS {
            let (read, written) = *offsets.get_unchecked(r);
            from[r] = input.add(read);
            for c in 0..COLUMNS {
                sums[c][r] = s.load(to.add(c * depth + written));
            }
        }
        for place in places {
            let mut ds = [s.constant(0.0); COLUMNS];
            for c in 0..COLUMNS {
                ds[c] = s.constant(*delta.add(place.beside as usize + c));
            }
            for r in 0..REGISTERS {
                let x = s.load(from[r].add(place.from as usize));
                for c in 0..COLUMNS {
                    sums[c][r] = s.mul_add(ds[c], x, sums[c][r]);
                }
            }
        }
        for r in 0..REGISTERS {
            let (_, written) = *offsets.get_unchecked(r);
            for c in 0..COLUMNS {
                s.store(to.add(c * depth + written), sums[c][r]);
            }
        }
    }
}
