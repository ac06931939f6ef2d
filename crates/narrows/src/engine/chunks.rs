//! The network applied to rows: encode, decode, reconstruct. Rows are taken in chunks; threads take whole chunks.

use std::sync::Mutex;

use narrows_kernels::{Level, lockstep, matrix};

use super::steps;
use crate::error::Result;
use crate::plan::Plan;

/// Rows of a chunk.
const CHUNK: usize = 128;

/// Which steps are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// From a row to its code.
    Encoder,
    /// From a code to a row.
    Decoder,
    /// Both.
    Whole,
}

/// A network ready to be applied.
pub(crate) struct Chunked<'a> {
    pub plan: &'a Plan,
    pub parameters: &'a [f32],
    pub level: Level,
    pub threads: usize,
}

impl Chunked<'_> {
    /// Applies a part of the network to `rows` rows. `read(first row, buffer)` fills the input of a chunk, from any
    /// thread; the outputs come back row after row.
    pub fn apply(&self, part: Part, rows: usize, read: impl Fn(usize, &mut [f32]) -> Result<()> + Sync) -> Result<Vec<f32>> {
        let steps = match part {
            Part::Encoder => &self.plan.steps[..self.plan.cut],
            Part::Decoder => &self.plan.steps[self.plan.cut..],
            Part::Whole => &self.plan.steps[..],
        };
        let (input, output) = (steps[0].input.len(), steps[steps.len() - 1].output.len());
        let widest = steps.iter().map(|step| step.input.len().max(step.output.len())).max().unwrap_or(0);
        let mut out = vec![0.0; rows * output];
        // Each chunk belongs to one thread; the lock is taken once for it.
        let chunks: Vec<Mutex<&mut [f32]>> = out.chunks_mut(CHUNK * output).map(Mutex::new).collect();
        let failure = Mutex::new(None);
        lockstep::run(self.threads.min(chunks.len()), (), |member, _| {
            let mut buffers = [vec![0.0; CHUNK * widest], vec![0.0; CHUNK * widest]];
            let mut scratch = vec![0.0; matrix::scratch_len(widest)];
            for (index, chunk) in chunks.iter().enumerate().skip(member.index()).step_by(member.threads()) {
                let mut chunk = chunk.lock().expect("no thread panics with a chunk");
                let n = chunk.len() / output;
                if let Err(error) = read(index * CHUNK, &mut buffers[0][..n * input]) {
                    failure.lock().expect("no thread panics with the failure").get_or_insert(error);
                    return;
                }
                for step in steps {
                    let [x, y] = &mut buffers;
                    let (x, y) = (&x[..n * step.input.len()], &mut y[..n * step.output.len()]);
                    steps::forward(self.level, step, self.parameters, x, y, n, false, &mut scratch);
                    buffers.swap(0, 1);
                }
                chunk.copy_from_slice(&buffers[0][..n * output]);
            }
        });
        drop(chunks);
        match failure.into_inner().expect("no thread panics with the failure") {
            Some(error) => Err(error),
            None => Ok(out),
        }
    }
}
