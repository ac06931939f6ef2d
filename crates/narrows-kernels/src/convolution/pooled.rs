//! [`multiply`](super::multiply) with bias, activation and the maximum of four places in one.

use super::tall::Tall;
use super::window::{Place, WIDEST, Window, panels, parts};
use crate::activation::Activation;
use crate::simd::{Lanes, Simd};

/// What a tile of [`multiply_pooled`] works on.
#[derive(Clone, Copy)]
pub(super) struct Pooled<'a> {
    /// Four for each window.
    pub places: &'a [Place],
    input: *const f32,
    rows: usize,
    run: usize,
    pitch: usize,
    /// The packed panel.
    weights: *const f32,
    bias: Option<&'a [f32]>,
    output: *mut f32,
    winners: *mut f32,
    /// First column of the panel, and how many columns are inside.
    first: usize,
    inside: usize,
}

/// Whether [`multiply_pooled`] can do a window at every level: the registers lie along the columns.
pub(super) fn can_be_pooled(window: &Window) -> bool {
    window.columns >= WIDEST / 2
}

/// For each window of four places, one after the other in `places`: the largest of the four products, to which the bias is
/// added and the activation applied, to the first one's `to`; and which of the four it was to `winners`, at its `beside`,
/// where that is wanted. With an activation that never falls this is the largest of the four results.
#[inline(always)]
pub(super) fn multiply_pooled<S: Tall>(
    s: S,
    to: &mut [f32],
    mut winners: Option<&mut [f32]>,
    from: &[f32],
    packed: &[f32],
    window: &Window,
    bias: Option<&[f32]>,
    activation: Activation,
) {
    window.check(to, from, packed);
    assert!(winners.as_ref().is_none_or(|winners| winners.len() >= window.beside_len));
    assert!(bias.is_none_or(|bias| bias.len() == window.columns) && can_be_pooled(window));
    let count = <S as Lanes<f32>>::COUNT;
    let Window { places, rows, run, pitch, columns, .. } = window;
    for (first, pair, inside) in panels(*columns, count) {
        let weights = packed[first * window.depth()..].as_ptr();
        let most = if pair { S::WINDOWS.0 } else { S::WINDOWS.1 };
        for (start, end) in parts(places.len() / 4, most) {
            let places = &places[4 * start..4 * end];
            let work = Pooled {
                places,
                input: from.as_ptr(),
                rows: *rows,
                run: *run,
                pitch: *pitch,
                weights,
                bias,
                output: to.as_mut_ptr(),
                winners: winners.as_mut().map_or(std::ptr::null_mut(), |winners| winners.as_mut_ptr()),
                first,
                inside,
            };
            // SAFETY: as in `multiply`; winners are wanted only where there are any.
            unsafe {
                if winners.is_some() {
                    s.pooled::<true>(pair, work, activation);
                } else {
                    s.pooled::<false>(pair, work, activation);
                }
            }
        }
    }
}

/// A tile: `WINDOWS` times four places x `WIDE` registers.
///
/// # Safety
/// There are four times `WINDOWS` places, and the rest as for a tile of [`multiply`](super::multiply); with `WINNERS`,
/// `inside` numbers can be written to `winners` at each first place's `beside`.
#[inline(always)]
pub(super) unsafe fn pooled_tile<S: Simd, const WINDOWS: usize, const WIDE: usize, const WINNERS: bool>(
    s: S,
    work: Pooled<'_>,
    activation: Activation,
) {
    let Pooled { places, input, rows, run, pitch, weights, bias, output, winners, first, inside } = work;
    let lanes = <S as Lanes<f32>>::COUNT;
    // SAFETY: as the caller promises; a register outside is loaded and stored with a count of 0 at the end of its row.
    unsafe {
        let mut from = [[input; 4]; WINDOWS];
        let mut sums = [[[s.constant(0.0); WIDE]; 4]; WINDOWS];
        for v in 0..WINDOWS {
            for i in 0..4 {
                from[v][i] = input.add(places.get_unchecked(4 * v + i).from as usize);
            }
        }
        // The dark parts of a grey picture: zeros come to zero, without a product.
        let grey = rows == 3 && run == 3 && places.get_unchecked(1).from == places.get_unchecked(0).from + 1;
        let empty = grey && from.iter().all(|from| is_empty(from[0], pitch));
        if !empty {
            let mut weights = weights;
            macro_rules! runs {
                ($rows:expr, $run:expr) => {
                    for row in 0..$rows {
                        for at in row * pitch..row * pitch + $run {
                            let mut ws = [s.constant(0.0); WIDE];
                            for w in 0..WIDE {
                                ws[w] = s.load(weights.add(w * lanes));
                            }
                            for v in 0..WINDOWS {
                                for i in 0..4 {
                                    let x = s.constant(*from[v][i].add(at));
                                    for w in 0..WIDE {
                                        sums[v][i][w] = s.mul_add(x, ws[w], sums[v][i][w]);
                                    }
                                }
                            }
                            weights = weights.add(WIDE * lanes);
                        }
                    }
                };
            }
            if rows == 3 && run == 3 { runs!(3, 3) } else { runs!(rows, run) }
        }
        let whole = inside == WIDE * lanes;
        let counts = [inside.min(lanes), inside.saturating_sub(lanes)];
        for w in 0..WIDE {
            let column = first + (w * lanes).min(inside);
            let bias = match bias {
                Some(bias) if whole => s.load(bias.as_ptr().add(column)),
                Some(bias) => s.load_first(bias.as_ptr().add(column), counts[w]),
                None => s.constant(0.0),
            };
            let store = |to: *mut f32, value| {
                if whole {
                    s.store(to, value);
                } else {
                    s.store_first(to, value, counts[w]);
                }
            };
            for v in 0..WINDOWS {
                let place = places.get_unchecked(4 * v);
                let mut largest = sums[v][0][w];
                let mut winner = s.constant(0.0);
                for i in 1..4 {
                    let x = sums[v][i][w];
                    if WINNERS {
                        winner = s.where_positive(s.sub(x, largest), s.constant(i as f32), winner);
                    }
                    largest = s.max(largest, x);
                }
                store(output.add(place.to as usize + column), activation.apply(s, s.add(largest, bias)));
                if WINNERS {
                    store(winners.add(place.beside as usize + column), winner);
                }
            }
        }
    }
}

/// Whether the 4 x 4 numbers that a window of four places reads with a 3 x 3 kernel are all zero.
///
/// # Safety
/// They can be read.
#[inline(always)]
unsafe fn is_empty(from: *const f32, pitch: usize) -> bool {
    let mut bits = [0u32; 4];
    for row in 0..4 {
        // SAFETY: as the caller promises.
        let numbers = unsafe { from.add(row * pitch).cast::<[u32; 4]>().read_unaligned() };
        for i in 0..4 {
            bits[i] |= numbers[i];
        }
    }
    bits[0] | bits[1] | bits[2] | bits[3] == 0
}
