//! Work on many rows in chunks, and the network applied to them: encode, decode, reconstruct, judge.

use std::ops::Range;
use std::sync::Mutex;

use narrows_kernels::{Level, team};

use super::layout::Layout;
use super::ops::{Chain, Weights, put, take};
use super::workspace::{Aligned, Space};
use crate::data::Shape;
use crate::error::Result;
use crate::network::plan::{Plan, Step};

/// Rows of a chunk.
const CHUNK: usize = 128;

/// Does some work for each chunk of `rows` rows on several threads, and answers what it gives, in order: `work(state, rows)`.
/// Each thread makes its own `state` once. The chunks do not depend on the number of threads. The first error stops it.
pub(crate) fn map_chunks<R: Send, S>(
    rows: usize,
    threads: usize,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, Range<usize>) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let mut out: Vec<Option<R>> = (0..rows.div_ceil(CHUNK)).map(|_| None).collect();
    each_piece(&mut out, 1, threads, state, |state, index, chunk| {
        chunk[0] = Some(work(state, index * CHUNK..(index * CHUNK + CHUNK).min(rows))?);
        Ok(())
    })?;
    Ok(out.into_iter().flatten().collect())
}

/// Fills `out` (rows of `width` numbers), a chunk of rows at a time, on several threads: `work(state, first row, chunk)`.
/// Each thread makes its own `state` once. The chunks do not depend on the number of threads. The first error stops it.
pub(crate) fn each_chunk<T: Send, S>(
    out: &mut [T],
    width: usize,
    threads: usize,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize, &mut [T]) -> Result<()> + Sync,
) -> Result<()> {
    each_piece(out, CHUNK * width, threads, state, |state, index, chunk| work(state, index * CHUNK, chunk))
}

/// Fills `out`, `size` entries at a time: `work(state, number of the piece, piece)`. As [`each_chunk`] otherwise.
pub(crate) fn each_piece<T: Send, S>(
    out: &mut [T],
    size: usize,
    threads: usize,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize, &mut [T]) -> Result<()> + Sync,
) -> Result<()> {
    // Each piece belongs to one thread; its lock is taken once.
    let chunks: Vec<Mutex<&mut [T]>> = out.chunks_mut(size).map(Mutex::new).collect();
    let failure = Mutex::new(None);
    team::run(threads.min(chunks.len()), (), |member, _| {
        let mut state = state();
        for (index, chunk) in chunks.iter().enumerate().skip(member.index()).step_by(member.threads()) {
            let mut chunk = chunk.lock().expect("no thread panics with a chunk");
            if let Err(error) = work(&mut state, index, &mut chunk) {
                failure.lock().expect("no thread panics with the failure").get_or_insert(error);
                return;
            }
        }
    });
    match failure.into_inner().expect("no thread panics with the failure") {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// A part of a network, and one thread's memory for taking rows through it.
pub(crate) struct Walk<'a> {
    level: Level,
    chain: Chain<'a>,
    parameters: &'a [f32],
    packed: Aligned,
    slot: Aligned,
    scratch: Vec<f32>,
    outputs: Vec<f32>,
    width: (usize, usize),
}

impl<'a> Walk<'a> {
    /// For the steps left of the cut.
    pub fn encoder(level: Level, plan: &'a Plan, parameters: &'a [f32]) -> Self {
        Self::new(level, &plan.steps[..plan.cut], plan.input, parameters)
    }

    /// For the steps left of the cut but the last, which draws the code: to the means and the logarithms of the variances.
    pub fn moments(level: Level, plan: &'a Plan, parameters: &'a [f32]) -> Self {
        Self::new(level, &plan.steps[..plan.cut - 1], plan.input, parameters)
    }

    /// For the steps right of the cut.
    pub fn decoder(level: Level, plan: &'a Plan, parameters: &'a [f32]) -> Self {
        Self::new(level, &plan.steps[plan.cut..], plan.code(), parameters)
    }

    fn new(level: Level, steps: &'a [Step], input: Shape, parameters: &'a [f32]) -> Self {
        let chain = Chain::new(steps, Layout::inference(steps, input, CHUNK), false);
        let mut packed = Aligned::new(chain.packed_len);
        let mut scratch = vec![0.0; chain.scratch_len];
        chain.pack(level, parameters, packed.get(), &mut scratch);
        let slot = Aligned::new(chain.layout.slot_len);
        let width = (input.len(), steps.last().map_or(input, |step| step.output).len());
        Self { level, chain, parameters, packed, slot, scratch, outputs: Vec::new(), width }
    }

    /// Takes rows through the steps. With `logits` the last step stops before its last function.
    pub fn forward(&mut self, rows: &[f32], logits: bool) -> &[f32] {
        let (inputs, outputs) = self.width;
        let block = self.chain.layout.block;
        self.outputs.resize(rows.len() / inputs * outputs, 0.0);
        let last = self.chain.steps.len();
        let (first_value, last_value) = (self.chain.layout.values[0], self.chain.layout.values[last]);
        for (rows, out) in rows.chunks(block * inputs).zip(self.outputs.chunks_mut(block * outputs)) {
            let rows_of_block = rows.len() / inputs;
            let slot = self.slot.get();
            let mut space = Space { batch: None, first: 0, slot, rows: rows_of_block, chance: None };
            let [input] = space.tensors([first_value]);
            put(first_value, input, rows);
            let weights = Weights { parameters: self.parameters, packed: self.packed.get() };
            for i in 0..last {
                let logits = logits && i + 1 == last;
                self.chain.forward(self.level, i, &mut space, weights, logits, &mut self.scratch);
            }
            let [output] = space.tensors([last_value]);
            take(last_value, out, output);
        }
        &self.outputs
    }
}
