//! The product of the patches with the weights: output pixels x columns.

use super::dispatch::{DispatchTile, TileKernel};
use super::gather::{GatherEntry, GatherTable, column_panels, even_chunks, runs_fill_registers_better};
use crate::elementwise::activation;
use crate::gemm::Epilogue;
use crate::simd::{Lanes, Simd, each_row};

/// Rows of a tile whose registers lie along the runs.
const ROWS_ALONG_RUNS: usize = 8;

/// The operands of a tile of [`multiply`].
#[derive(Clone, Copy)]
struct MultiplyTile<'a> {
    /// The rows of the tile.
    entries: &'a [GatherEntry],
    input: *const f32,
    runs: usize,
    run_len: usize,
    pitch: usize,
    /// The packed panel.
    weights: *const f32,
    output: *mut f32,
    /// First column of the panel, and columns of the panel inside the image.
    first: usize,
    inside: usize,
    epilogue: Epilogue<'a>,
}

/// For each entry, `written` = epilogue(patch in `read` times weights). [`Epilogue::Backward`] reads its outputs at the
/// companion offsets.
#[inline(always)]
pub(super) fn multiply<S: DispatchTile>(
    s: S,
    written: &mut [f32],
    read: &[f32],
    packed: &[f32],
    table: &GatherTable,
    epilogue: Epilogue<'_>,
) {
    table.check(written, read, packed);
    match epilogue {
        Epilogue::Forward { bias: Some(bias), .. } => assert_eq!(bias.len(), table.columns),
        Epilogue::Backward { outputs, .. } => assert!(outputs.len() >= table.companion_len),
        _ => {}
    }
    let lanes = <S as Lanes<f32>>::COUNT;
    if runs_fill_registers_better(table, lanes) {
        return multiply_along_runs(s, written, read, packed, table, epilogue);
    }
    let GatherTable { entries, runs, run_len, pitch, columns, .. } = table;
    for (first, two_registers, inside) in column_panels(*columns, lanes) {
        let weights = packed[first * table.k()..].as_ptr();
        let max_rows = if two_registers { S::MAX_ROWS_2 } else { S::MAX_ROWS_1 };
        for (start, end) in even_chunks(entries.len(), max_rows) {
            let tile = MultiplyTile {
                entries: &entries[start..end],
                input: read.as_ptr(),
                runs: *runs,
                run_len: *run_len,
                pitch: *pitch,
                weights,
                output: written.as_mut_ptr(),
                first,
                inside,
                epilogue,
            };
            // SAFETY: `GatherTable::new` computed how far the entries reach, and the slices are that long (asserted);
            // the packed weights hold k whole registers for every panel up to this one.
            unsafe { s.dispatch_rows(two_registers, end - start, tile) }
        }
    }
    if let Epilogue::Forward { activation, .. } = epilogue {
        let output = written.as_mut_ptr();
        // Neighbouring pixels are one piece.
        let pieces = entries.chunk_by(|a, b| b.write as usize == a.write as usize + columns);
        let pieces =
            pieces.map(|pixels| (output.wrapping_add(pixels[0].write as usize), pixels.len() * columns));
        // SAFETY: the columns of each entry lie inside `written` (asserted).
        unsafe { activation::finish(s, activation, pieces) }
    }
}

impl<S: Simd> TileKernel<S> for MultiplyTile<'_> {
    /// Computes `ROWS` output pixels x `REGISTERS` registers of columns.
    ///
    /// # Safety
    /// There are `ROWS` entries. For each, `runs` runs of `run_len` elements can be read from `input`, and `inside`
    /// columns from `first` on can be written to `output` and, for a backward epilogue, read from its outputs. The
    /// panel has `REGISTERS` whole registers for each element of the runs, and `inside` is at most that wide.
    #[inline(always)]
    unsafe fn run<const ROWS: usize, const REGISTERS: usize>(self, s: S) {
        let Self { entries, input, runs, run_len, pitch, weights, output, first, inside, epilogue } = self;
        let lanes = <S as Lanes<f32>>::COUNT;
        // SAFETY: guaranteed by the caller; a register outside the columns is loaded and stored with a count of 0 at
        // the end of its row.
        unsafe {
            let mut patches = [input; ROWS];
            each_row!(i => { patches[i] = input.add(entries.get_unchecked(i).read as usize); });
            let mut sums = [[s.constant(0.0); REGISTERS]; ROWS];
            let mut weights = weights;
            // A macro, not a closure: a closure would capture the sums by reference and move them to memory.
            macro_rules! multiply_runs {
                ($runs:expr, $run_len:expr) => {
                    let mut start = 0;
                    for _ in 0..$runs {
                        let mut at = start;
                        loop {
                            let mut ws = [s.constant(0.0); REGISTERS];
                            for r in 0..REGISTERS {
                                ws[r] = s.load(weights.add(r * lanes));
                            }
                            each_row!(i => {
                                let x = s.constant(*patches[i].add(at));
                                for r in 0..REGISTERS {
                                    sums[i][r] = s.mul_add(x, ws[r], sums[i][r]);
                                }
                            });
                            weights = weights.add(REGISTERS * lanes);
                            at += 1;
                            if at == start + $run_len {
                                break;
                            }
                        }
                        start += pitch;
                    }
                };
            }
            // 3 x 3 kernels on one channel: nine iterations are too few for a loop, so they are unrolled.
            if runs == 3 && run_len == 3 {
                multiply_runs!(3, 3);
            } else if run_len > 0 {
                multiply_runs!(runs, run_len);
            }
            let whole = inside == REGISTERS * lanes;
            let counts = [inside.min(lanes), inside.saturating_sub(lanes)];
            let load = |from: *const f32, r: usize| {
                if whole { s.load(from) } else { s.load_first(from, counts[r]) }
            };
            if let Epilogue::Forward { bias: Some(bias), .. } = epilogue {
                for r in 0..REGISTERS {
                    let bias = load(bias.as_ptr().add(first + (r * lanes).min(inside)), r);
                    each_row!(i => { sums[i][r] = s.add(sums[i][r], bias); });
                }
            }
            each_row!(i => {
                let entry = entries.get_unchecked(i);
                for r in 0..REGISTERS {
                    let column = first + (r * lanes).min(inside);
                    let to = output.add(entry.write as usize + column);
                    let sum = sums[i][r];
                    let value = match epilogue {
                        Epilogue::Store => sum,
                        Epilogue::Accumulate => s.add(sum, load(to, r)),
                        Epilogue::Forward { activation, .. } => activation.apply_in_registers(s, sum),
                        Epilogue::Backward { activation, outputs } => {
                            let y = load(outputs.as_ptr().add(entry.companion as usize + column), r);
                            activation.backward(s, sum, y)
                        }
                    };
                    if whole {
                        s.store(to, value);
                    } else {
                        s.store_first(to, value, counts[r]);
                    }
                }
            });
        }
    }
}

/// [`multiply`] for few columns, with registers along the runs. A tile is [`ROWS_ALONG_RUNS`] output pixels of one
/// column.
#[inline(always)]
fn multiply_along_runs<S: Simd>(
    s: S,
    written: &mut [f32],
    read: &[f32],
    packed: &[f32],
    table: &GatherTable,
    epilogue: Epilogue<'_>,
) {
    let GatherTable { entries, runs, run_len, pitch, .. } = table;
    let (k, lanes) = (table.k(), <S as Lanes<f32>>::COUNT);
    let whole = run_len - run_len % lanes;
    for (column, weights) in packed.chunks_exact(k).take(table.columns).enumerate() {
        for (start, end) in even_chunks(entries.len(), ROWS_ALONG_RUNS) {
            let entries = &entries[start..end];
            // A partial tile computes its last row repeatedly.
            let entry = |i: usize| entries[i.min(entries.len() - 1)];
            let mut sums = [s.constant(0.0); ROWS_ALONG_RUNS];
            let mut patches = [read.as_ptr(); ROWS_ALONG_RUNS];
            for i in 0..ROWS_ALONG_RUNS {
                patches[i] = patches[i].wrapping_add(entry(i).read as usize);
            }
            for run in 0..*runs {
                // SAFETY: `GatherTable::new` computed how far the entries reach, and `read` is that long (asserted by
                // the caller); `weights` has `runs` times `run_len` elements.
                unsafe {
                    let weights = weights.as_ptr().add(run * run_len);
                    for at in (0..whole).step_by(lanes) {
                        let w = s.load(weights.add(at));
                        for i in 0..ROWS_ALONG_RUNS {
                            sums[i] = s.mul_add(w, s.load(patches[i].add(run * pitch + at)), sums[i]);
                        }
                    }
                    if whole < *run_len {
                        let w = s.load_first(weights.add(whole), run_len - whole);
                        for i in 0..ROWS_ALONG_RUNS {
                            let x = s.load_first(patches[i].add(run * pitch + whole), run_len - whole);
                            sums[i] = s.mul_add(w, x, sums[i]);
                        }
                    }
                }
            }
            let mut values = sums.map(|sum| s.sum(sum));
            let mut companions = [0.0; ROWS_ALONG_RUNS];
            for i in 0..ROWS_ALONG_RUNS {
                match epilogue {
                    Epilogue::Store => {}
                    Epilogue::Accumulate => values[i] += written[entry(i).write as usize + column],
                    Epilogue::Forward { bias, .. } => values[i] += bias.map_or(0.0, |bias| bias[column]),
                    Epilogue::Backward { outputs, .. } => {
                        companions[i] = outputs[entry(i).companion as usize + column]
                    }
                }
            }
            for at in (0..ROWS_ALONG_RUNS).step_by(lanes) {
                let (value, y) = (s.read(&values, at), s.read(&companions, at));
                let value = match epilogue {
                    Epilogue::Store | Epilogue::Accumulate => value,
                    Epilogue::Forward { activation, .. } => activation.apply(s, value),
                    Epilogue::Backward { activation, .. } => activation.backward(s, value, y),
                };
                s.write(&mut values, at, value);
            }
            for (entry, value) in entries.iter().zip(values) {
                written[entry.write as usize + column] = value;
            }
        }
    }
}
