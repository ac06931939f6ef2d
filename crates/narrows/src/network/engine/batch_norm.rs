//! The first phase with batch normalisation: a synchronised pass, because rows depend on one another.
//!
//! A thread takes its rows to the next normalisation and waits for the others. Then each thread computes mean and variance
//! of its share of the *columns* over all rows of the batch, waits again, and takes its rows on; going backward likewise
//! with the sums that the gradient needs. So each thread has fixed rows, not groups from a counter, and a thread without
//! rows (the last batch of an epoch is shorter) computes statistics and waits all the same. The thread that owns a column
//! also owns its scale, its shift and its running statistics: see `update`.

use std::ops::Range;

use narrows_kernels::batch_norm;
use narrows_kernels::team::Worker;

use super::ops::ParameterView;
use super::pass::{Backward, Depth, Group};
use super::workspace::{Block, RngContext};
use super::{Batch, Engine, Workspace};
use crate::network::noise::Mode;
use crate::network::plan::EPSILON;

/// Statistics of a step: means, variances, shift gradients and scale gradients.
const STATISTICS: usize = 4;

impl Engine<'_> {
    pub(super) fn synchronized_pass(
        &self,
        member: &Worker<'_>,
        workspace: &mut Workspace<'_>,
        batch: Batch<'_>,
        epoch: usize,
        depth: Depth,
    ) {
        let rows = self.groups.get(member.index()).map(|group| group.start..group.end.min(batch.len()));
        let rows = rows.filter(|rows| !rows.is_empty());
        let group = || {
            let rows = rows.clone()?;
            Some(Group { rows, tensors: self.tensors.piece(member.index()) })
        };
        let steps = self.setup.plan.steps.len();
        let end = if depth == Depth::Code { self.setup.plan.cut } else { steps };
        let count = self.chain.normalized.iter().filter(|normalized| normalized.step < end).count();
        // Forward, each part ends before a normalisation, which the next part begins with.
        let boundary = |part: usize| if part == count { end } else { self.chain.normalized[part].step };
        for part in 0..=count {
            let first = if part == 0 { 0 } else { boundary(part - 1) };
            if part > 0 {
                self.measure_batch(member, part - 1, batch.len());
            }
            if let Some(mut group) = group() {
                self.forward_part(workspace, &mut group, batch, epoch, first..boundary(part));
            }
        }
        if depth != Depth::Gradients {
            return;
        }
        // Backward, each part ends behind a normalisation, which the next part begins with.
        for part in (0..=count).rev() {
            let first = if part == 0 { 0 } else { boundary(part - 1) + 1 };
            let behind = if part == count { steps } else { boundary(part) + 1 };
            if let Some(mut group) = group() {
                self.backward_part(workspace, &mut group, batch.len(), first..behind);
            }
            if part > 0 {
                self.sum_gradients(member, part - 1, batch.len());
            }
        }
    }

    /// Takes a thread's rows through some steps; reads them before the first, and computes the losses behind the last.
    fn forward_part(
        &self,
        workspace: &mut Workspace<'_>,
        group: &mut Group<'_>,
        batch: Batch<'_>,
        epoch: usize,
        steps: Range<usize>,
    ) {
        let (parameters, statistics) = (self.parameters.whole(), self.statistics.whole());
        let Workspace { scratch, arena, packed, corruption, corrupted, words, .. } = workspace;
        let indices = &batch.indices[group.rows.clone()];
        let mut block =
            Block { shared: Some(&mut group.tensors), first: 0, arena: &mut arena[..], rows: indices.len() };
        if steps.start == 0 {
            let own = Batch { indices, ..batch };
            self.read_rows(&mut block, own, Mode::Train { epoch }, corruption, corrupted);
        }
        let weights =
            ParameterView { parameters: &parameters, packed: &packed[..], statistics: Some(&statistics) };
        let mut rng = RngContext { seed: self.setup.seed, epoch, indices, words };
        let is_last = steps.end == self.setup.plan.steps.len();
        self.forward(&mut block, steps, weights, Some(&mut rng), scratch);
        if is_last {
            self.losses(&mut block, batch.len(), Depth::Gradients);
        }
    }

    /// Takes the deltas of a thread's rows back through some steps.
    fn backward_part(
        &self,
        workspace: &mut Workspace<'_>,
        group: &mut Group<'_>,
        batch: usize,
        steps: Range<usize>,
    ) {
        let (parameters, statistics) = (self.parameters.whole(), self.statistics.whole());
        let Workspace { scratch, arena, packed, sums, unit_gradients, .. } = workspace;
        let rows = group.rows.len();
        let mut block = Block { shared: Some(&mut group.tensors), first: 0, arena: &mut arena[..], rows };
        let weights =
            ParameterView { parameters: &parameters, packed: &packed[..], statistics: Some(&statistics) };
        let sums = &mut sums[..];
        self.backward(&mut block, steps, Backward { weights, batch, sums, unit_gradients, scratch });
    }

    /// Mean and variance of this thread's columns over all rows of the batch, between two barriers: all rows are there
    /// before, all statistics after.
    fn measure_batch(&self, member: &Worker<'_>, index: usize, rows: usize) {
        let normalized = &self.chain.normalized[index];
        let (step, first) = (normalized.step, normalized.columns[member.index()].start);
        member.wait();
        {
            let tensors = self.tensors.whole();
            let mut own = self.statistics.piece(member.index());
            let [means, variances] = own.ranges([STATISTICS * index, STATISTICS * index + 1]);
            let width = self.setup.plan.steps[step].output.len();
            let values = &tensors[self.shared_rows(self.chain.layout.values[step], rows)];
            batch_norm::moments(self.setup.level(), means, variances, values, width, first);
        }
        member.wait();
    }

    /// The gradients of this thread's scales and shifts over all rows of the batch, as [`Engine::measure_batch`].
    fn sum_gradients(&self, member: &Worker<'_>, index: usize, rows: usize) {
        let normalized = &self.chain.normalized[index];
        let (step, first) = (normalized.step, normalized.columns[member.index()].start);
        member.wait();
        {
            let tensors = self.tensors.whole();
            let mut own = self.statistics.piece(member.index());
            let [means, variances, shifts, scales] =
                own.ranges([0, 1, 2, 3].map(|which| STATISTICS * index + which));
            let width = self.setup.plan.steps[step].output.len();
            let deltas = &tensors[self.shared_rows(self.chain.layout.deltas[step + 1], rows)];
            let values = &tensors[self.shared_rows(self.chain.layout.values[step], rows)];
            batch_norm::parameter_gradients(
                self.setup.level(),
                (shifts, scales),
                deltas,
                values,
                (&*means, &*variances),
                EPSILON,
                width,
                first,
            );
        }
        member.wait();
    }
}
