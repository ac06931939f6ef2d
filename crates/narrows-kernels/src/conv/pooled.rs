//! The product of the patches with the weights, fused with bias, activation and 2 x 2 max pooling.

use super::dispatch::{DispatchTile, TileKernel};
use super::gather::{GatherEntry, GatherTable, column_panels, even_chunks};
use super::tile_shapes::MAX_LANES;
use crate::elementwise::activation::Activation;
use crate::simd::{Lanes, Simd};

/// The operands of a tile of [`multiply_pooled`]. With `ARGMAX` the position of each maximum is stored.
#[derive(Clone, Copy)]
struct PooledTile<'a, const ARGMAX: bool> {
    /// Four for each pooling window.
    entries: &'a [GatherEntry],
    input: *const f32,
    runs: usize,
    run_len: usize,
    pitch: usize,
    /// The packed panel.
    weights: *const f32,
    bias: Option<&'a [f32]>,
    activation: Activation,
    output: *mut f32,
    argmax: *mut f32,
    /// First column of the panel, and columns of the panel inside the image.
    first: usize,
    inside: usize,
}

/// Returns whether [`multiply_pooled`] supports a table of so many columns at every level: its registers lie along them.
pub(super) fn can_be_pooled(columns: usize) -> bool {
    columns >= MAX_LANES / 2
}

/// For each pooling window, four consecutive entries: the maximum of the four products, to which bias and activation
/// are then applied, is written at the `write` offset of the first entry. If `argmax` is given, the index of the
/// maximum among the four is written at its `companion` offset. For a nondecreasing activation the result equals the
/// maximum of the four activations.
#[inline(always)]
pub(super) fn multiply_pooled<S: DispatchTile>(
    s: S,
    written: &mut [f32],
    mut argmax: Option<&mut [f32]>,
    read: &[f32],
    packed: &[f32],
    table: &GatherTable,
    bias: Option<&[f32]>,
    activation: Activation,
) {
    table.check(written, read, packed);
    assert!(argmax.as_ref().is_none_or(|argmax| argmax.len() >= table.companion_len));
    assert!(bias.is_none_or(|bias| bias.len() == table.columns) && can_be_pooled(table.columns));
    let lanes = <S as Lanes<f32>>::COUNT;
    let GatherTable { entries, runs, run_len, pitch, columns, .. } = table;
    for (first, two_registers, inside) in column_panels(*columns, lanes) {
        let weights = packed[first * table.k()..].as_ptr();
        let max_windows = if two_registers { S::MAX_WINDOWS_2 } else { S::MAX_WINDOWS_1 };
        for (start, end) in even_chunks(entries.len() / 4, max_windows) {
            macro_rules! dispatch_tile {
                ($has_argmax:literal, $argmax:expr) => {{
                    let tile = PooledTile::<$has_argmax> {
                        entries: &entries[4 * start..4 * end],
                        input: read.as_ptr(),
                        runs: *runs,
                        run_len: *run_len,
                        pitch: *pitch,
                        weights,
                        bias,
                        activation,
                        output: written.as_mut_ptr(),
                        argmax: $argmax,
                        first,
                        inside,
                    };
                    // SAFETY: as in `multiply`; `argmax` is written only if it is given, and it is long enough
                    // (asserted).
                    unsafe { s.dispatch_windows(two_registers, end - start, tile) }
                }};
            }
            match &mut argmax {
                Some(argmax) => dispatch_tile!(true, argmax.as_mut_ptr()),
                None => dispatch_tile!(false, std::ptr::null_mut()),
            }
        }
    }
}

impl<S: Simd, const ARGMAX: bool> TileKernel<S> for PooledTile<'_, ARGMAX> {
    /// Computes `WINDOWS` pooling windows of four output pixels x `REGISTERS` registers of columns.
    ///
    /// # Safety
    /// There are four times `WINDOWS` entries; the rest as for a tile of [`multiply`](super::multiply). With `ARGMAX`,
    /// `inside` elements can be written to `argmax` at the companion offset of each window's first entry.
    #[inline(always)]
    unsafe fn run<const WINDOWS: usize, const REGISTERS: usize>(self, s: S) {
        let Self { entries, input, runs, run_len, pitch, weights, .. } = self;
        let Self { bias, activation, output, argmax, first, inside, .. } = self;
        let lanes = <S as Lanes<f32>>::COUNT;
        // SAFETY: guaranteed by the caller; a register outside the columns is loaded and stored with a count of 0 at
        // the end of its row.
        unsafe {
            let mut patches = [[input; 4]; WINDOWS];
            let mut sums = [[[s.constant(0.0); REGISTERS]; 4]; WINDOWS];
            for w in 0..WINDOWS {
                for i in 0..4 {
                    patches[w][i] = input.add(entries.get_unchecked(4 * w + i).read as usize);
                }
            }
            // The background of images with one channel: if all inputs of the tile are zero, so are the sums.
            let has_one_channel = runs == 3
                && run_len == 3
                && entries.get_unchecked(1).read == entries.get_unchecked(0).read + 1;
            let is_empty = has_one_channel && patches.iter().all(|patches| is_zero(patches[0], pitch));
            if !is_empty {
                let mut weights = weights;
                macro_rules! multiply_runs {
                    ($runs:expr, $run_len:expr) => {
                        for run in 0..$runs {
                            for at in run * pitch..run * pitch + $run_len {
                                let mut ws = [s.constant(0.0); REGISTERS];
                                for r in 0..REGISTERS {
                                    ws[r] = s.load(weights.add(r * lanes));
                                }
                                for w in 0..WINDOWS {
                                    for i in 0..4 {
                                        let x = s.constant(*patches[w][i].add(at));
                                        for r in 0..REGISTERS {
                                            sums[w][i][r] = s.mul_add(x, ws[r], sums[w][i][r]);
                                        }
                                    }
                                }
                                weights = weights.add(REGISTERS * lanes);
                            }
                        }
                    };
                }
                if runs == 3 && run_len == 3 { multiply_runs!(3, 3) } else { multiply_runs!(runs, run_len) }
            }
            let whole = inside == REGISTERS * lanes;
            let counts = [inside.min(lanes), inside.saturating_sub(lanes)];
            for r in 0..REGISTERS {
                let column = first + (r * lanes).min(inside);
                let bias = match bias {
                    Some(bias) if whole => s.load(bias.as_ptr().add(column)),
                    Some(bias) => s.load_first(bias.as_ptr().add(column), counts[r]),
                    None => s.constant(0.0),
                };
                let store = |to: *mut f32, value| {
                    if whole {
                        s.store(to, value);
                    } else {
                        s.store_first(to, value, counts[r]);
                    }
                };
                for w in 0..WINDOWS {
                    let entry = entries.get_unchecked(4 * w);
                    let mut largest = sums[w][0][r];
                    let mut index = s.constant(0.0);
                    for i in 1..4 {
                        let x = sums[w][i][r];
                        if ARGMAX {
                            index = s.where_positive(s.sub(x, largest), s.constant(i as f32), index);
                        }
                        largest = s.max(largest, x);
                    }
                    let value = activation.apply_in_registers(s, s.add(largest, bias));
                    store(output.add(entry.write as usize + column), value);
                    if ARGMAX {
                        store(argmax.add(entry.companion as usize + column), index);
                    }
                }
            }
        }
    }
}

/// Returns whether the 4 x 4 elements that a pooling window reads with a 3 x 3 kernel on one channel are all zero.
///
/// # Safety
/// The elements can be read.
#[inline(always)]
unsafe fn is_zero(from: *const f32, pitch: usize) -> bool {
    let mut bits = [0u32; 4];
    for row in 0..4 {
        // SAFETY: guaranteed by the caller.
        let values = unsafe { from.add(row * pitch).cast::<[u32; 4]>().read_unaligned() };
        for i in 0..4 {
            bits[i] |= values[i];
        }
    }
    bits[0] | bits[1] | bits[2] | bits[3] == 0
}
