//! The inner loops of every convolution: products of matrices whose rows lie where the pixels lie.
//!
//! A [`Window`] is one phase of a convolution: places in an image, and at each place `rows` runs of `run` numbers, `pitch`
//! apart, that meet the weights. Channel last, the taps along a row of the image lie one after the other, so a run is
//! `taps x channels` numbers in one piece. With the image's border in place nothing is special at its edges.
//!
//! | product | shape | sums run over |
//! |---|---|---|
//! | [`multiply`](super::multiply) | places x columns | the numbers of the runs |
//! | [`gradient`](super::gradient) | numbers of the runs x columns | the places |
//!
//! Both hold a tile of sums in registers, some places tall and two registers wide, as [`crate::matrix`] does, or taller and
//! one register wide. With one, two or three columns (the last layer of an image network) most of a register would be
//! empty: there the registers lie along the runs.

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

    /// Refuses images and packed weights that are too short for what the places reach.
    pub fn check(&self, to: &[f32], from: &[f32], packed: &[f32]) {
        assert!(to.len() >= self.to_len && from.len() >= self.from_len && packed.len() >= self.packed_len());
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
pub(super) const WIDEST: usize = 16;

/// Whether products along the runs are faster than products along the columns, for registers of `count` numbers: at most
/// half of one would be filled.
pub(super) fn is_narrow(window: &Window, count: usize) -> bool {
    2 * window.columns <= count && window.run >= count
}

/// Whether the sums of [`gradient`](super::gradient) lie along the runs, columns x depth: the columns fill one register at most, and
/// spreading a number for every multiplication would keep the loads busier than the arithmetic.
pub(super) fn gradient_is_along_runs(window: &Window, count: usize) -> bool {
    window.columns <= count && window.run >= count
}

/// Whether the sums of [`gradient`](super::gradient) lie columns x depth.
pub(super) fn sums_are_transposed<S: Simd>(_: S, window: &Window) -> bool {
    gradient_is_along_runs(window, <S as Lanes<f32>>::COUNT)
}

/// `count` things in the least number of parts of at most `most`, as even as can be: where each part begins and ends.
#[inline(always)]
pub(super) fn parts(count: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let parts = count.div_ceil(most);
    let (size, longer) = (count / parts.max(1), count % parts.max(1));
    let mut start = 0;
    (0..parts).map(move |part| {
        let end = start + size + usize::from(part < longer);
        (std::mem::replace(&mut start, end), end)
    })
}

/// Columns `(first, register pairs?, columns inside)` of each panel. Those before a panel are whole, so that it begins at
/// `first` times the depth in the packed weights.
#[inline(always)]
pub(super) fn panels(columns: usize, count: usize) -> impl Iterator<Item = (usize, bool, usize)> {
    (0..columns).step_by(2 * count).map(move |first| {
        let left = columns - first;
        (first, left > count, left.min(2 * count))
    })
}

/// Packs weights (depth x columns, row after row) for [`multiply`](super::multiply): panel by panel, each filled up to whole registers with
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
