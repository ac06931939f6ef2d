//! Work on many rows in chunks, and the network applied to them: encode, decode, reconstruct, judge.

use std::sync::Mutex;

use narrows_kernels::{Level, lockstep, matrix};

use super::steps;
use crate::error::Result;
use crate::plan::{Plan, Step};

/// Rows of a chunk.
const CHUNK: usize = 128;

/// Fills `out` (rows of `width` numbers), a chunk of rows at a time, on several threads: `work(state, first row, chunk)`.
/// Each thread makes its own `state` once. The chunks do not depend on the number of threads. The first error stops it.
pub(crate) fn each_chunk<T: Send, S>(
    out: &mut [T],
    width: usize,
    threads: usize,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize, &mut [T]) -> Result<()> + Sync,
) -> Result<()> {
    // Each chunk belongs to one thread; its lock is taken once.
    let chunks: Vec<Mutex<&mut [T]>> = out.chunks_mut(CHUNK * width).map(Mutex::new).collect();
    let failure = Mutex::new(None);
    lockstep::run(threads.min(chunks.len()), (), |member, _| {
        let mut state = state();
        for (index, chunk) in chunks.iter().enumerate().skip(member.index()).step_by(member.threads()) {
            let mut chunk = chunk.lock().expect("no thread panics with a chunk");
            if let Err(error) = work(&mut state, index * CHUNK, &mut chunk) {
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

/// One thread's memory for taking a chunk through a list of steps.
pub(crate) struct Walk {
    x: Vec<f32>,
    y: Vec<f32>,
    scratch: Vec<f32>,
}

impl Walk {
    /// Memory for any steps of a plan.
    pub fn new(plan: &Plan) -> Self {
        let widest = plan.widest();
        let buffer = || vec![0.0; CHUNK * widest];
        Self { x: buffer(), y: buffer(), scratch: vec![0.0; matrix::scratch_len(widest)] }
    }

    /// Takes up to a chunk of rows through `steps`. With `logits` the last step stops before its last function.
    pub fn forward(
        &mut self,
        level: Level,
        steps: &[Step],
        parameters: &[f32],
        rows: &[f32],
        logits: bool,
    ) -> &mut [f32] {
        let n = rows.len() / steps[0].input.len();
        self.x[..rows.len()].copy_from_slice(rows);
        let mut len = rows.len();
        for (place, step) in steps.iter().enumerate() {
            let logits = logits && place + 1 == steps.len();
            let x = &self.x[..len];
            len = n * step.output.len();
            steps::forward(level, step, parameters, x, &mut self.y[..len], n, logits, &mut self.scratch);
            std::mem::swap(&mut self.x, &mut self.y);
        }
        &mut self.x[..len]
    }
}
