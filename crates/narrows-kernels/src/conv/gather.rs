//! Gather tables: the implicit im2col of a convolution.
//!
//! A phase of a convolution is a product of matrices. Row p of its left factor is the patch of output pixel p; im2col
//! would copy the patches into a matrix, a gather table only lists their offsets. Channel last, the taps along a row of
//! the image are contiguous, so a patch consists of a few contiguous runs of `taps x channels` elements, `pitch` apart.
//! The image's border makes patches at the edges ordinary ones.
//!
//! | product | shape | sums run over |
//! |---|---|---|
//! | [`multiply`](super::multiply) | output pixels x columns | k: the elements of a patch |
//! | [`gradient`](super::gradient) | k x columns | output pixels |
//!
//! The *columns* are the channels of the image that is written. Both products keep a tile of sums in registers, as
//! [`crate::gemm`] does: two registers wide, or more rows and one register wide. With one, two or three columns (the
//! last layer of an image network) most lanes of a register would be empty; registers then lie along the runs.

use super::axis::Phase;
use super::tile_shapes::MAX_LANES;
use crate::image::Image;
use crate::simd::{Lanes, Simd};

/// The offsets of one output pixel.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct GatherEntry {
    /// Offset of the first run of the patch in the image that is read.
    pub read: u32,
    /// Offset of the pixel in the image that is written.
    pub write: u32,
    /// Offset of the pixel in a companion image: the gradient of the output, or the outputs of the layer before.
    pub companion: u32,
}

/// The gather table of one phase.
#[derive(Debug, Clone)]
pub(super) struct GatherTable {
    pub entries: Vec<GatherEntry>,
    /// Runs of a patch.
    pub runs: usize,
    /// Elements of a run.
    pub run_len: usize,
    /// Elements from one run to the next.
    pub pitch: usize,
    pub columns: usize,
    /// Minimum lengths of the three images: one past the last element that any entry reaches.
    pub read_len: usize,
    pub write_len: usize,
    pub companion_len: usize,
}

impl GatherTable {
    /// A table of these entries. Computes the minimum lengths of the images.
    pub fn new(entries: Vec<GatherEntry>, runs: usize, run_len: usize, pitch: usize, columns: usize) -> Self {
        let end = |offset: fn(&GatherEntry) -> u32, len: usize| {
            entries.iter().map(|entry| offset(entry) as usize + len).max().unwrap_or(0)
        };
        let patch_span = if runs * run_len == 0 { 0 } else { (runs - 1) * pitch + run_len };
        Self {
            read_len: end(|entry| entry.read, patch_span),
            write_len: end(|entry| entry.write, columns),
            companion_len: end(|entry| entry.companion, columns),
            entries,
            runs,
            run_len,
            pitch,
            columns,
        }
    }

    /// Elements of a patch: the inner dimension of the forward product.
    pub fn k(&self) -> usize {
        self.runs * self.run_len
    }

    /// Elements of the packed weights, at any level.
    pub fn packed_len(&self) -> usize {
        self.k() * self.columns.next_multiple_of(MAX_LANES)
    }

    /// Panics if the images or the packed weights are shorter than the entries require.
    pub fn check(&self, written: &[f32], read: &[f32], packed: &[f32]) {
        assert!(
            written.len() >= self.write_len
                && read.len() >= self.read_len
                && packed.len() >= self.packed_len()
        );
    }
}

/// A phase along the height combined with a phase along the width.
#[derive(Debug, Clone)]
pub(super) struct PhasePair {
    pub table: GatherTable,
    /// The kernel positions of each tap of each axis.
    pub taps: [Vec<Vec<usize>>; 2],
}

/// Bytes of a tap in a phase: a list of one kernel position, and what the allocator adds to it.
const TAP_BYTES: usize = size_of::<Vec<usize>>() + 32;

impl PhasePair {
    /// Bytes of the table and the taps.
    pub fn bytes(&self) -> usize {
        let taps = self.taps.iter().map(Vec::len).sum::<usize>();
        size_of::<Self>() + size_of_val(&self.table.entries[..]) + TAP_BYTES * taps
    }
}

/// The sizes of the tables that [`phase_pairs`] makes of the same phases.
#[derive(Debug, Default)]
pub(super) struct TableNeeds {
    /// The sums over the tables of [`GatherTable::packed_len`], and of k x columns.
    pub packed: usize,
    pub sums: usize,
    /// The largest k x columns.
    pub largest: usize,
    pub bytes: usize,
}

impl TableNeeds {
    pub fn of(phases: &[Vec<Phase>; 2], read: Image, written: Image) -> Self {
        let product =
            |factors: &[usize]| factors.iter().fold(1, |product: usize, &n| product.saturating_mul(n));
        // Sums over all pairs of phases are products of sums over the phases of each axis.
        let sum =
            |each: fn(&Phase) -> usize| phases.each_ref().map(|axis| axis.iter().map(each).sum::<usize>());
        let [taps, counts, all, with_taps] =
            [sum(|p| p.taps.len()), sum(|p| p.count), sum(|_| 1), sum(|p| usize::from(!p.taps.is_empty()))];
        let most = phases.each_ref().map(|axis| axis.iter().map(|p| p.taps.len()).max().unwrap_or(0));
        let columns = written.channels;
        let k = product(&[taps[0], taps[1], read.channels]);
        let own_taps = product(&[taps[0], with_taps[1]]).saturating_add(product(&[taps[1], with_taps[0]]));
        let bytes = [
            product(&[all[0], all[1], size_of::<PhasePair>()]),
            product(&[counts[0], counts[1], size_of::<GatherEntry>()]),
            product(&[own_taps, TAP_BYTES]),
        ];
        Self {
            packed: product(&[k, columns.next_multiple_of(MAX_LANES)]),
            sums: product(&[k, columns]),
            largest: product(&[most[0], most[1], read.channels, columns]),
            bytes: bytes.into_iter().fold(0, usize::saturating_add),
        }
    }
}

/// Every phase of the height combined with every phase of the width.
pub(super) fn phase_pairs(
    phases: &[Vec<Phase>; 2],
    read: Image,
    written: Image,
    companion: Image,
) -> Vec<PhasePair> {
    let mut pairs = Vec::with_capacity(phases[0].len() * phases[1].len());
    for down in &phases[0] {
        for across in &phases[1] {
            let is_empty = down.taps.is_empty() || across.taps.is_empty();
            let runs = if is_empty { 0 } else { down.taps.len() };
            let run_len = if is_empty { 0 } else { across.taps.len() * read.channels };
            let entries = gather_entries(down, across, read, written, companion);
            pairs.push(PhasePair {
                table: GatherTable::new(entries, runs, run_len, read.pitch(), written.channels),
                taps: if is_empty {
                    [Vec::new(), Vec::new()]
                } else {
                    [down.taps.clone(), across.taps.clone()]
                },
            });
        }
    }
    pairs
}

/// The entries of a pair of phases, row by row. Without taps nothing is read, and the offset is 0.
fn gather_entries(
    down: &Phase,
    across: &Phase,
    read: Image,
    written: Image,
    companion: Image,
) -> Vec<GatherEntry> {
    let first_input = |phase: &Phase, n: usize| (phase.stride * n) as isize + phase.offset;
    let output = |phase: &Phase, n: usize| (phase.first + phase.step * n) as isize;
    let offset = |image: Image, row: isize, column: isize| image.offset(row, column) as u32;
    let is_empty = down.taps.is_empty() || across.taps.is_empty();
    let mut entries = Vec::with_capacity(down.count * across.count);
    for i in 0..down.count {
        for j in 0..across.count {
            entries.push(GatherEntry {
                read: if is_empty { 0 } else { offset(read, first_input(down, i), first_input(across, j)) },
                write: offset(written, output(down, i), output(across, j)),
                companion: offset(companion, output(down, i), output(across, j)),
            });
        }
    }
    entries
}

/// Returns whether the forward product is faster with registers along the runs than along the columns, for registers of
/// `lanes` elements: at most half of a register of columns would be filled.
pub(super) fn runs_fill_registers_better(table: &GatherTable, lanes: usize) -> bool {
    2 * table.columns <= lanes && table.run_len >= lanes
}

/// Returns whether the sums of [`gradient`](super::gradient) lie along the runs, columns x k: the columns fill one
/// register at most, and broadcasting an element for every multiplication would keep the load units busier than the
/// arithmetic units.
pub(super) fn gradient_lies_along_runs(table: &GatherTable, lanes: usize) -> bool {
    table.columns <= lanes && table.run_len >= lanes
}

/// Returns whether the sums of [`gradient`](super::gradient) are columns x k at the level of a token.
pub(super) fn sums_are_transposed<S: Simd>(_: S, table: &GatherTable) -> bool {
    gradient_lies_along_runs(table, <S as Lanes<f32>>::COUNT)
}

/// Splits `count` items into the fewest chunks of at most `max` items, of sizes as equal as possible; yields the start
/// and end of each.
#[inline(always)]
pub(super) fn even_chunks(count: usize, max: usize) -> impl Iterator<Item = (usize, usize)> {
    let chunks = count.div_ceil(max);
    let (size, longer) = (count / chunks.max(1), count % chunks.max(1));
    let mut start = 0;
    (0..chunks).map(move |chunk| {
        let end = start + size + usize::from(chunk < longer);
        (std::mem::replace(&mut start, end), end)
    })
}

/// The panels of the columns: `(first column, whether it is two registers wide, columns inside)`. All panels before a
/// panel are whole, so a panel begins at `first` times k in the packed weights.
#[inline(always)]
pub(super) fn column_panels(columns: usize, lanes: usize) -> impl Iterator<Item = (usize, bool, usize)> {
    (0..columns).step_by(2 * lanes).map(move |first| {
        let left = columns - first;
        (first, left > lanes, left.min(2 * lanes))
    })
}

/// Packs weights (k x columns, row-major) for [`multiply`](super::multiply): by panel, each padded with zeros to whole
/// registers; or column by column if registers lie along the runs.
#[inline(always)]
pub(super) fn pack<S: Simd>(_: S, packed: &mut [f32], weights: &[f32], table: &GatherTable) {
    let (k, columns, lanes) = (table.k(), table.columns, <S as Lanes<f32>>::COUNT);
    assert!(weights.len() == k * columns && packed.len() >= table.packed_len());
    if k == 0 {
        return;
    }
    if runs_fill_registers_better(table, lanes) {
        for (column, to) in packed.chunks_exact_mut(k).take(columns).enumerate() {
            to.iter_mut()
                .zip(weights.iter().skip(column).step_by(columns))
                .for_each(|(to, &from)| *to = from);
        }
        return;
    }
    let mut packed = packed;
    for (first, two_registers, inside) in column_panels(columns, lanes) {
        let width = if two_registers { 2 * lanes } else { lanes };
        let (panel, rest) = packed.split_at_mut(k * width);
        for (to, from) in panel.chunks_exact_mut(width).zip(weights.chunks_exact(columns)) {
            to[..inside].copy_from_slice(&from[first..first + inside]);
            to[inside..].fill(0.0);
        }
        packed = rest;
    }
}
