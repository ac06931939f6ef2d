//! The product of the runs at each place with the weights: places x columns.

use super::tall::Tall;
use super::window::{Place, Window, is_narrow, panels, parts};
use crate::matrix::Finish;
use crate::simd::{Lanes, Simd};

/// Places of a narrow tile.
const NARROW: usize = 8;

/// What a tile of [`multiply`] works on.
#[derive(Clone, Copy)]
pub(super) struct Multiply<'a> {
    pub places: &'a [Place],
    input: *const f32,
    rows: usize,
    run: usize,
    pitch: usize,
    /// The packed panel.
    weights: *const f32,
    output: *mut f32,
    /// First column of the panel, how many columns are inside, and columns in all.
    first: usize,
    inside: usize,
}

/// At each place of `to`: finish(the runs at the place of `from` times the weights). For [`Finish::Backward`] the outputs
/// lie at `beside`.
#[inline(always)]
pub(super) fn multiply<S: Tall>(
    s: S,
    to: &mut [f32],
    from: &[f32],
    packed: &[f32],
    window: &Window,
    finish: Finish<'_>,
) {
    window.check(to, from, packed);
    match finish {
        Finish::Forward { bias: Some(bias), .. } => assert_eq!(bias.len(), window.columns),
        Finish::Backward { outputs, .. } => assert!(outputs.len() >= window.beside_len),
        _ => {}
    }
    let count = <S as Lanes<f32>>::COUNT;
    if is_narrow(window, count) {
        return multiply_narrow(s, to, from, packed, window, finish);
    }
    let Window { places, rows, run, pitch, columns, .. } = window;
    for (first, pair, inside) in panels(*columns, count) {
        let weights = packed[first * window.depth()..].as_ptr();
        for (start, end) in parts(places.len(), if pair { S::TALL } else { S::TALLEST }) {
            let work = Multiply {
                places: &places[start..end],
                input: from.as_ptr(),
                rows: *rows,
                run: *run,
                pitch: *pitch,
                weights,
                output: to.as_mut_ptr(),
                first,
                inside,
            };
            // SAFETY: `Window::new` measured how far the places reach, and the slices are that long (asserted); the
            // packed weights hold depth whole registers for every panel up to this one.
            unsafe { s.multiply(pair, work, finish) }
        }
    }
}

/// A tile: `ROWS` places x `WIDE` registers.
///
/// # Safety
/// There are `ROWS` places; at each, `rows` runs of `run` numbers can be read from `input`, and `inside` columns from
/// `first` on written to `output` and, for a backward finish, read from its outputs; the panel has `WIDE` whole registers
/// for each number of the runs, and `inside` is at most that wide.
#[inline(always)]
pub(super) unsafe fn multiply_tile<S: Simd, const ROWS: usize, const WIDE: usize>(
    s: S,
    work: Multiply<'_>,
    finish: Finish<'_>,
) {
    let Multiply { places, input, rows, run, pitch, weights, output, first, inside } = work;
    let lanes = <S as Lanes<f32>>::COUNT;
    // SAFETY: as the caller promises; a register outside is loaded and stored with a count of 0 at the end of its row.
    unsafe {
        let mut from = [input; ROWS];
        for i in 0..ROWS {
            from[i] = input.add(places.get_unchecked(i).from as usize);
        }
        let mut sums = [[s.constant(0.0); WIDE]; ROWS];
        let mut weights = weights;
        // A macro, not a closure: the sums must stay in registers.
        macro_rules! runs {
            ($rows:expr, $run:expr) => {
                for row in 0..$rows {
                    for at in row * pitch..row * pitch + $run {
                        let mut ws = [s.constant(0.0); WIDE];
                        for w in 0..WIDE {
                            ws[w] = s.load(weights.add(w * lanes));
                        }
                        for i in 0..ROWS {
                            let x = s.constant(*from[i].add(at));
                            for w in 0..WIDE {
                                sums[i][w] = s.mul_add(x, ws[w], sums[i][w]);
                            }
                        }
                        weights = weights.add(WIDE * lanes);
                    }
                }
            };
        }
        // Grey images, 3 x 3: nine steps are too few for a loop.
        if rows == 3 && run == 3 {
            runs!(3, 3)
        } else {
            runs!(rows, run)
        }
        let whole = inside == WIDE * lanes;
        let counts = [inside.min(lanes), inside.saturating_sub(lanes)];
        let load = |from: *const f32, w: usize| {
            if whole { s.load(from) } else { s.load_first(from, counts[w]) }
        };
        if let Finish::Forward { bias: Some(bias), .. } = finish {
            for w in 0..WIDE {
                let bias = load(bias.as_ptr().add(first + (w * lanes).min(inside)), w);
                for i in 0..ROWS {
                    sums[i][w] = s.add(sums[i][w], bias);
                }
            }
        }
        for i in 0..ROWS {
            let place = places.get_unchecked(i);
            for w in 0..WIDE {
                let column = first + (w * lanes).min(inside);
                let to = output.add(place.to as usize + column);
                let sum = sums[i][w];
                let value = match finish {
                    Finish::Store => sum,
                    Finish::Accumulate => s.add(sum, load(to, w)),
                    Finish::Forward { activation, .. } => activation.apply(s, sum),
                    Finish::Backward { activation, outputs } => {
                        let y = load(outputs.as_ptr().add(place.beside as usize + column), w);
                        activation.back(s, sum, y)
                    }
                };
                if whole {
                    s.store(to, value);
                } else {
                    s.store_first(to, value, counts[w]);
                }
            }
        }
    }
}

/// [`multiply`] for few columns: registers lie along the runs; a tile is [`NARROW`] places of one column.
#[inline(always)]
fn multiply_narrow<S: Simd>(
    s: S,
    to: &mut [f32],
    from: &[f32],
    packed: &[f32],
    window: &Window,
    finish: Finish<'_>,
) {
    let Window { places, rows, run, pitch, .. } = window;
    let (depth, lanes) = (window.depth(), <S as Lanes<f32>>::COUNT);
    let whole = run - run % lanes;
    for (column, weights) in packed.chunks_exact(depth).take(window.columns).enumerate() {
        for (start, end) in parts(places.len(), NARROW) {
            let places = &places[start..end];
            // A short tile does its last place again.
            let place = |i: usize| places[i.min(places.len() - 1)];
            let mut sums = [s.constant(0.0); NARROW];
            let mut starts = [from.as_ptr(); NARROW];
            for i in 0..NARROW {
                starts[i] = starts[i].wrapping_add(place(i).from as usize);
            }
            for row in 0..*rows {
                // SAFETY: `Window::new` measured how far the places reach, and `from` is that long (asserted by the
                // caller); `weights` has `rows` times `run` numbers.
                unsafe {
                    let weights = weights.as_ptr().add(row * run);
                    for at in (0..whole).step_by(lanes) {
                        let w = s.load(weights.add(at));
                        for i in 0..NARROW {
                            sums[i] = s.mul_add(w, s.load(starts[i].add(row * pitch + at)), sums[i]);
                        }
                    }
                    if whole < *run {
                        let w = s.load_first(weights.add(whole), run - whole);
                        for i in 0..NARROW {
                            let x = s.load_first(starts[i].add(row * pitch + whole), run - whole);
                            sums[i] = s.mul_add(w, x, sums[i]);
                        }
                    }
                }
            }
            let mut values = sums.map(|sum| s.sum(sum));
            let mut others = [0.0; NARROW];
            for i in 0..NARROW {
                match finish {
                    Finish::Store => {}
                    Finish::Accumulate => values[i] += to[place(i).to as usize + column],
                    Finish::Forward { bias, .. } => values[i] += bias.map_or(0.0, |bias| bias[column]),
                    Finish::Backward { outputs, .. } => {
                        others[i] = outputs[place(i).beside as usize + column]
                    }
                }
            }
            for at in (0..NARROW).step_by(lanes) {
                let (value, other) = (s.read(&values, at), s.read(&others, at));
                let value = match finish {
                    Finish::Store | Finish::Accumulate => value,
                    Finish::Forward { activation, .. } => activation.apply(s, value),
                    Finish::Backward { activation, .. } => activation.back(s, value, other),
                };
                s.write(&mut values, at, value);
            }
            for (place, value) in places.iter().zip(values) {
                to[place.to as usize + column] = value;
            }
        }
    }
}
