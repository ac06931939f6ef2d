//! The inner loops of every convolution: products of matrices whose rows lie where the pixels lie.
//!
//! A [`Window`] is one phase of a convolution: places in an image, and at each place `rows` runs of `run` numbers, `pitch`
//! apart, that meet the weights. Channel last, the taps along a row of the image lie one after the other, so a run is
//! `taps x channels` numbers in one piece. With the image's border in place nothing is special at its edges.
//!
//! | product | shape | sums run over |
//! |---|---|---|
//! | [`multiply`] | places x columns | the numbers of the runs |
//! | [`gradient`] | numbers of the runs x columns | the places |
//!
//! Both hold a tile of sums in registers, some places tall and two registers wide, as [`crate::matrix`] does, or taller and
//! one register wide. With one, two or three columns (the last layer of an image network) most of a register would be
//! empty: there the registers lie along the runs.

use crate::activation::Activation;
use crate::matrix::Finish;
use crate::simd::{Lanes, Simd};

/// Where a place begins in the images that a window connects.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    /// In the image that is read: the first number of the first run.
    pub from: u32,
    /// In the image that is written.
    pub to: u32,
    /// In a third image that belongs to the place: the gradient of what is written, or the outputs of the layer before.
    pub beside: u32,
}

/// One phase of a convolution.
#[derive(Debug, Clone)]
pub(super) struct Window {
    pub places: Vec<Place>,
    pub rows: usize,
    pub run: usize,
    pub pitch: usize,
    pub columns: usize,
    /// Numbers that each image must have: past the last that is reached.
    pub from_len: usize,
    pub to_len: usize,
    pub beside_len: usize,
}

impl Window {
    /// Numbers that meet the weights at a place.
    pub fn depth(&self) -> usize {
        self.rows * self.run
    }

    /// Numbers of the packed weights, at any level.
    pub fn packed_len(&self) -> usize {
        self.depth() * self.columns.next_multiple_of(WIDEST)
    }

    /// A window over these places, which reach as far as the lengths say.
    pub fn new(places: Vec<Place>, rows: usize, run: usize, pitch: usize, columns: usize) -> Self {
        let reach = |of: fn(&Place) -> u32, more: usize| {
            places.iter().map(|place| of(place) as usize + more).max().unwrap_or(0)
        };
        let span = if rows * run == 0 { 0 } else { (rows - 1) * pitch + run };
        Self {
            from_len: reach(|place| place.from, span),
            to_len: reach(|place| place.to, columns),
            beside_len: reach(|place| place.beside, columns),
            places,
            rows,
            run,
            pitch,
            columns,
        }
    }
}

/// Numbers in the widest register.
const WIDEST: usize = 16;

/// Whether products along the runs are faster than products along the columns, for registers of `count` numbers: at most
/// half of one would be filled.
fn is_narrow(window: &Window, count: usize) -> bool {
    2 * window.columns <= count && window.run >= count
}

/// Whether the sums of [`gradient`] lie along the runs, columns x depth: the columns fill one register at most, and
/// spreading a number for every multiplication would keep the loads busier than the arithmetic.
fn gradient_is_along_runs(window: &Window, count: usize) -> bool {
    window.columns <= count && window.run >= count
}

/// Places of a narrow tile.
const NARROW: usize = 8;

/// Places that [`gradient`] goes through before it turns to the next tile: what they read stays in the nearest cache.
const BLOCK: usize = 96;

/// The tile heights of a level for tiles of two registers and of one.
pub(super) trait Tall: Simd {
    /// Rows of a tile two registers wide.
    const TALL: usize;
    /// Rows of a tile one register wide.
    const TALLEST: usize;

    /// # Safety
    /// As [`multiply_tile`], with `1 <= work.places.len()`, at most `TALL` (or `TALLEST`, one register wide).
    unsafe fn multiply(self, wide: bool, work: Multiply<'_>, finish: Finish<'_>);
    /// Windows of four places of a pooled tile two registers wide, and one register wide.
    const WINDOWS: (usize, usize);

    /// # Safety
    /// As [`pooled_tile`], with 1 to 3 windows.
    unsafe fn pooled<const WINNERS: bool>(self, wide: bool, work: Pooled<'_>, activation: Activation);
    /// # Safety
    /// As [`gradient_tile`], with `1 <= rows.len()`, at most `TALL` (or `TALLEST`, one register wide).
    unsafe fn gradient(self, wide: bool, whole: bool, work: Gradient<'_>);
}

macro_rules! tall {
    ([$($generics:tt)*] $S:ty, $windows:expr, $tall:literal: $($rows:literal)*; $tallest:literal: $($more:literal)*) => {
        impl $($generics)* Tall for $S {
            const TALL: usize = $tall;
            const TALLEST: usize = $tallest;
            const WINDOWS: (usize, usize) = $windows;

            #[inline(always)]
            unsafe fn pooled<const WINNERS: bool>(self, wide: bool, work: Pooled<'_>, activation: Activation) {
                // SAFETY: as the caller promises.
                unsafe {
                    match (wide, work.places.len()) {
                        (true, 4) => pooled_tile::<Self, 1, 2, WINNERS>(self, work, activation),
                        (true, 8) => pooled_tile::<Self, 2, 2, WINNERS>(self, work, activation),
                        (false, 4) => pooled_tile::<Self, 1, 1, WINNERS>(self, work, activation),
                        (false, 8) => pooled_tile::<Self, 2, 1, WINNERS>(self, work, activation),
                        (false, 12) => pooled_tile::<Self, 3, 1, WINNERS>(self, work, activation),
                        _ => unreachable!("tiles of 1 to 3 windows"),
                    }
                }
            }

            #[inline(always)]
            unsafe fn multiply(self, wide: bool, work: Multiply<'_>, finish: Finish<'_>) {
                // SAFETY: as the caller promises.
                unsafe {
                    match (wide, work.places.len()) {
                        $((true, $rows) => multiply_tile::<Self, $rows, 2>(self, work, finish),)*
                        $((false, $rows) => multiply_tile::<Self, $rows, 1>(self, work, finish),)*
                        $((false, $more) => multiply_tile::<Self, $more, 1>(self, work, finish),)*
                        _ => unreachable!("tiles of 1 to {} places", $tallest),
                    }
                }
            }

            #[inline(always)]
            unsafe fn gradient(self, wide: bool, whole: bool, work: Gradient<'_>) {
                // SAFETY: as the caller promises.
                unsafe {
                    match (wide, work.rows.len()) {
                        $((true, $rows) => if whole {
                            gradient_tile::<Self, $rows, 2, true>(self, work)
                        } else {
                            gradient_tile::<Self, $rows, 2, false>(self, work)
                        },)*
                        $((false, $rows) => if whole {
                            gradient_tile::<Self, $rows, 1, true>(self, work)
                        } else {
                            gradient_tile::<Self, $rows, 1, false>(self, work)
                        },)*
                        $((false, $more) => if whole {
                            gradient_tile::<Self, $more, 1, true>(self, work)
                        } else {
                            gradient_tile::<Self, $more, 1, false>(self, work)
                        },)*
                        _ => unreachable!("tiles of 1 to {} rows", $tallest),
                    }
                }
            }
        }
    };
}
tall!([<const N: usize>] crate::simd::Portable<N>, (1, 1), 4: 1 2 3 4; 6: 5 6);
#[cfg(target_arch = "x86_64")]
tall!([] crate::simd::Avx2, (1, 2), 6: 1 2 3 4 5 6; 10: 7 8 9 10);
#[cfg(target_arch = "x86_64")]
tall!([] crate::simd::Avx512, (2, 3), 12: 1 2 3 4 5 6 7 8 9 10 11 12; 14: 13 14);
#[cfg(target_arch = "aarch64")]
tall!([] crate::simd::Neon, (2, 3), 12: 1 2 3 4 5 6 7 8 9 10 11 12; 14: 13 14);

/// `count` things in the least number of parts of at most `most`, as even as can be: where each part begins and ends.
#[inline(always)]
fn parts(count: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let parts = count.div_ceil(most);
    let (size, longer) = (count / parts.max(1), count % parts.max(1));
    let mut start = 0;
    (0..parts).map(move |part| {
        let end = start + size + usize::from(part < longer);
        (std::mem::replace(&mut start, end), end)
    })
}

/// Columns `(first, register pairs?, columns inside)` of each panel.
#[inline(always)]
fn panels(columns: usize, count: usize) -> impl Iterator<Item = (usize, bool, usize)> {
    (0..columns).step_by(2 * count).map(move |first| {
        let left = columns - first;
        (first, left > count, left.min(2 * count))
    })
}

/// Packs weights (depth x columns, row after row) for [`multiply`]: panel by panel, each filled up to whole registers with
/// zeros; or for a narrow window column by column.
#[inline(always)]
pub(super) fn pack<S: Simd>(_: S, packed: &mut [f32], weights: &[f32], window: &Window) {
    let (depth, columns, count) = (window.depth(), window.columns, <S as Lanes<f32>>::COUNT);
    assert!(weights.len() == depth * columns && packed.len() >= window.packed_len());
    if depth == 0 {
        return;
    }
    if is_narrow(window, count) {
        for (column, to) in packed.chunks_exact_mut(depth).take(columns).enumerate() {
            to.iter_mut()
                .zip(weights.iter().skip(column).step_by(columns))
                .for_each(|(to, &from)| *to = from);
        }
        return;
    }
    let mut packed = packed;
    for (first, pair, inside) in panels(columns, count) {
        let width = if pair { 2 * count } else { count };
        let (panel, rest) = packed.split_at_mut(depth * width);
        for (to, from) in panel.chunks_exact_mut(width).zip(weights.chunks_exact(columns)) {
            to[..inside].copy_from_slice(&from[first..first + inside]);
            to[inside..].fill(0.0);
        }
        packed = rest;
    }
}

/// What a tile of [`multiply`] works on.
#[derive(Clone, Copy)]
pub(super) struct Multiply<'a> {
    places: &'a [Place],
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
    assert!(
        to.len() >= window.to_len && from.len() >= window.from_len && packed.len() >= window.packed_len()
    );
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
    let mut weights = packed.as_ptr();
    for (first, pair, inside) in panels(*columns, count) {
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
        weights = weights.wrapping_add(window.depth() * if pair { 2 * count } else { count });
    }
}

/// A tile: `ROWS` places x `WIDE` registers.
///
/// # Safety
/// There are `ROWS` places; at each, `rows` runs of `run` numbers can be read from `input`, and `inside` columns from
/// `first` on written to `output` and, for a backward finish, read from its outputs; the panel has `WIDE` whole registers
/// for each number of the runs, and `inside` is at most that wide.
#[inline(always)]
unsafe fn multiply_tile<S: Simd, const ROWS: usize, const WIDE: usize>(
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

/// What a tile of [`multiply_pooled`] works on.
#[derive(Clone, Copy)]
pub(super) struct Pooled<'a> {
    /// Four for each window.
    places: &'a [Place],
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
    assert!(
        to.len() >= window.to_len && from.len() >= window.from_len && packed.len() >= window.packed_len()
    );
    assert!(winners.as_ref().is_none_or(|winners| winners.len() >= window.beside_len));
    assert!(bias.is_none_or(|bias| bias.len() == window.columns) && can_be_pooled(window));
    let count = <S as Lanes<f32>>::COUNT;
    let Window { places, rows, run, pitch, columns, .. } = window;
    let mut weights = packed.as_ptr();
    for (first, pair, inside) in panels(*columns, count) {
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
        weights = weights.wrapping_add(window.depth() * if pair { 2 * count } else { count });
    }
}

/// A tile: `WINDOWS` times four places x `WIDE` registers.
///
/// # Safety
/// There are four times `WINDOWS` places, and the rest as for [`multiply_tile`]; with `WINNERS`, `inside` numbers can be
/// written to `winners` at each first place's `beside`.
#[inline(always)]
unsafe fn pooled_tile<S: Simd, const WINDOWS: usize, const WIDE: usize, const WINNERS: bool>(
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

/// What a tile of [`gradient`] works on.
#[derive(Clone, Copy)]
pub(super) struct Gradient<'a> {
    /// For each row of the tile, where its number lies from the beginning of a place.
    rows: &'a [usize],
    places: &'a [Place],
    input: *const f32,
    /// The gradient of the outputs, from the first column of the panel on.
    delta: *const f32,
    /// The tile's first number, and numbers from a row to the next.
    sums: *mut f32,
    sums_row: usize,
    inside: usize,
}

/// Adds to `sums` (depth x columns, or columns x depth: see [`sums_are_transposed`]) the products of the runs at each place of `from`
/// with the numbers at `beside` of `delta`.
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
unsafe fn gradient_tile<S: Simd, const ROWS: usize, const WIDE: usize, const WHOLE: bool>(
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

/// Whether the sums of [`gradient`] lie columns x depth.
pub(super) fn sums_are_transposed<S: Simd>(_: S, window: &Window) -> bool {
    gradient_is_along_runs(window, <S as Lanes<f32>>::COUNT)
}
