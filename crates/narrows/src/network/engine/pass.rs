//! The first phase of a step: rows of the batch through the network, forward and in training also backward.

use std::ops::Range;
use std::sync::atomic::Ordering;

use narrows_kernels::shared::Piece;
use narrows_kernels::team::Worker;
use narrows_kernels::{loss, vector};

use super::layout::Layout;
use super::ops::{self, ParameterView};
use super::workspace::{Block, RngContext};
use super::{Batch, Engine, Setup, Workspace, loss_width, most_likely};
use crate::error::Result;
use crate::network::gaps::{fill_gaps, leave_out};
use crate::network::noise::{Corruption, Mode};
use crate::network::plan::{Op, Target};
use crate::recipe::Loss;

/// Numbers that fit into the nearest cache, with room for others.
const NEAR_CACHE: usize = 4096;

/// The depth of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// To the code.
    Code,
    /// To the losses.
    Losses,
    /// To the losses, and back to the gradients.
    Gradients,
}

/// A pass of rows through the network.
#[derive(Clone, Copy)]
struct PassScope {
    mode: Mode,
    depth: Depth,
}

/// A group of rows that one thread has taken.
pub(super) struct Group<'p> {
    /// Its rows within the batch.
    pub rows: Range<usize>,
    /// Its rows of the shared tensors.
    pub tensors: Piece<'p, f32>,
}

/// A part of the backward pass: what it reads and writes beside the block.
pub(super) struct Backward<'b> {
    pub weights: ParameterView<'b>,
    /// Rows of the whole batch.
    pub batch: usize,
    pub sums: &'b mut [f32],
    pub unit_gradients: &'b [f32],
    pub scratch: &'b mut [f32],
}

impl Engine<'_> {
    /// Before the first phase, where the KL penalty on the code depends on means over the batch: computes the codes, and the
    /// gradient of the penalty at each unit's mean. Has barriers of its own.
    pub fn measure_activity(
        &self,
        member: &Worker<'_>,
        workspace: &mut Workspace<'_>,
        batch: Batch<'_>,
        mode: Mode,
    ) {
        let plan = self.setup.plan;
        let Some((strength, target)) =
            plan.sparsity.and_then(|sparsity| Some((sparsity.kl?, sparsity.target())))
        else {
            return;
        };
        self.run(member, workspace, batch, PassScope { mode, depth: Depth::Code });
        member.wait();
        if member.index() == 0 {
            self.next_group.store(0, Ordering::Relaxed);
        }
        let codes = self.chain.layout.values[plan.cut];
        let (n, k) = (batch.len(), plan.code().len());
        let gradients = &mut workspace.unit_gradients;
        gradients.resize(k, 0.0);
        {
            let tensors = self.tensors.whole();
            vector::column_sums(self.setup.level(), gradients, &tensors[self.shared_rows(codes, n)], k, 0);
        }
        for sum in gradients {
            // The penalty of a mean of exactly 0 or 1 is infinite.
            let mean = (*sum / n as f32).clamp(1e-6, 1.0 - 1e-6);
            *sum = strength / n as f32 * ((1.0 - target) / (1.0 - mean) - target / mean);
        }
        member.wait();
    }

    /// First phase: takes groups of the batch as long as there are any, reads their rows, goes forward and in training also
    /// backward. Leaves one loss for each row (summed over its numbers) in the shared tensors, and all that the gradients
    /// need. Has barriers of its own where batches are normalised.
    pub fn pass(&self, member: &Worker<'_>, workspace: &mut Workspace<'_>, batch: Batch<'_>, mode: Mode) {
        let depth = match mode {
            Mode::Train { .. } => Depth::Gradients,
            Mode::Evaluate => Depth::Losses,
        };
        self.run(member, workspace, batch, PassScope { mode, depth });
    }

    fn run(&self, member: &Worker<'_>, workspace: &mut Workspace<'_>, batch: Batch<'_>, scope: PassScope) {
        if let Mode::Train { epoch } = scope.mode
            && !self.chain.normalized.is_empty()
        {
            return self.synchronized_pass(member, workspace, batch, epoch, scope.depth);
        }
        let parameters = self.parameters.whole();
        let mut are_weights_packed = false;
        loop {
            let index = self.next_group.fetch_add(1, Ordering::Relaxed);
            let Some(rows) = self.groups.get(index) else { return };
            let rows = rows.start..rows.end.min(batch.len());
            if rows.is_empty() {
                continue;
            }
            if !are_weights_packed {
                // Once for each batch: the weights have changed.
                self.chain.pack(&parameters, &mut workspace.packed[..], &mut workspace.scratch);
                are_weights_packed = true;
            }
            workspace.sums.fill(0.0);
            let mut group = Group { rows: rows.clone(), tensors: self.tensors.piece(index) };
            for start in rows.clone().step_by(self.chain.layout.block) {
                let block = start..(start + self.chain.layout.block).min(rows.end);
                self.pass_block(workspace, &mut group, &parameters, batch, block, scope);
            }
            if scope.depth == Depth::Gradients && self.chain.partial_len > 0 {
                let mut partial = self.partial.piece(index);
                let sums = &mut workspace.sums[..];
                self.chain.reduce_gradients(partial.range(0), sums, &mut workspace.scratch);
            }
        }
    }

    /// Takes some rows of a group through the network.
    fn pass_block(
        &self,
        workspace: &mut Workspace<'_>,
        group: &mut Group<'_>,
        parameters: &[f32],
        batch: Batch<'_>,
        rows: Range<usize>,
        scope: PassScope,
    ) {
        let Setup { plan, seed, .. } = self.setup;
        let Workspace {
            scratch,
            arena,
            packed,
            sums,
            corruption,
            corrupted,
            words,
            unit_gradients,
            unit_ranges,
            ..
        } = workspace;
        let indices = &batch.indices[rows.clone()];
        let mut rng = match scope.mode {
            Mode::Train { epoch } => Some(RngContext { seed, epoch, indices, words }),
            Mode::Evaluate => None,
        };
        let mut block = Block {
            shared: Some(&mut group.tensors),
            first: rows.start - group.rows.start,
            arena: &mut arena[..],
            rows: rows.len(),
        };
        let own = Batch { indices, ..batch };
        self.read_rows(&mut block, own, scope.mode, corruption, corrupted);
        let weights = ParameterView { parameters, packed: &packed[..], statistics: None };
        let steps = 0..if scope.depth == Depth::Code { plan.cut } else { plan.steps.len() };
        self.forward(&mut block, steps, weights, rng.as_mut(), scratch);
        if scope.depth == Depth::Code {
            return;
        }
        if scope.depth == Depth::Losses && self.has_code() {
            self.chain.extend_ranges(plan.cut, &mut block, unit_ranges);
        }
        self.losses(&mut block, batch.len(), scope.depth);
        if scope.depth == Depth::Gradients {
            let sums = &mut sums[..];
            let backward = Backward { weights, batch: batch.len(), sums, unit_gradients, scratch };
            self.backward(&mut block, 0..plan.steps.len(), backward);
        }
    }

    /// Reads the rows of a block, as targets and, with their noise, as the input of the first step.
    pub(super) fn read_rows(
        &self,
        block: &mut Block<'_, '_>,
        batch: Batch<'_>,
        mode: Mode,
        corruption: &mut Corruption<'_>,
        corrupted: &mut [f32],
    ) {
        if let Err(error) = self.read_clean_rows(block, batch) {
            return self.fail(error);
        }
        let (plan, level) = (self.setup.plan, self.setup.level());
        let Layout { rows: clean, targets, values, .. } = &self.chain.layout;
        if let Some(classes) = batch.rows.classes {
            let mut indices = batch.indices.iter();
            block.each_row([*targets], |_, [probabilities]| {
                let index = indices.next().expect("as many as rows");
                probabilities.fill(0.0);
                probabilities[classes[*index] as usize] = 1.0;
            });
        }
        if clean == &values[0] {
            return;
        }
        // A denoising network is evaluated on noisy rows. A classifier trains on noisy rows and is evaluated on clean ones.
        let is_clean = plan.target != Target::Row && mode == Mode::Evaluate;
        let is_corrupted = !plan.noise.is_empty() && !is_clean;
        let (width, to) = (plan.input.len(), values[0]);
        block.each_row([*clean, to], |row, [clean, input]| {
            let mut numbers = &clean[..width];
            if is_corrupted || plan.fill.is_some() {
                corrupted.copy_from_slice(numbers);
                if let Some(fill) = &plan.fill {
                    fill_gaps(corrupted, fill);
                }
                if is_corrupted {
                    corruption.apply(level, corrupted, batch.indices[row], mode);
                }
                numbers = corrupted;
            }
            ops::copy_into(to, input, numbers);
        });
    }

    fn read_clean_rows(&self, block: &mut Block<'_, '_>, Batch { rows, indices }: Batch<'_>) -> Result<()> {
        let (level, width) = (self.setup.level(), self.setup.plan.input.len());
        let clean = self.chain.layout.rows;
        let [numbers] = block.tensors([clean]);
        if clean.stride == width {
            // A few rows at a time: they are scaled while they are in the nearest cache.
            let rows_of_near_cache = (NEAR_CACHE / width).max(1);
            let pieces = numbers.chunks_mut(rows_of_near_cache * width);
            for (indices, out) in indices.chunks(rows_of_near_cache).zip(pieces) {
                rows.source.gather_f32(indices, out)?;
                rows.scaling.apply(level, out, width);
            }
        } else {
            for (index, row) in indices.iter().zip(numbers.chunks_mut(clean.stride)) {
                rows.source.read_f32(*index, &mut row[..width])?;
                rows.scaling.apply(level, &mut row[..width], width);
            }
        }
        Ok(())
    }

    /// Takes a block forward through some steps.
    pub(super) fn forward(
        &self,
        block: &mut Block<'_, '_>,
        steps: Range<usize>,
        weights: ParameterView<'_>,
        mut rng: Option<&mut RngContext<'_>>,
        scratch: &mut [f32],
    ) {
        let plan = self.setup.plan;
        for i in steps {
            let logits = i + 1 == plan.steps.len() && plan.loss_takes_logits();
            self.chain.forward(i, block, weights, rng.as_deref_mut(), logits, scratch);
        }
    }

    /// The losses of a block of a batch of `batch` rows; the last output is replaced by its delta.
    pub(super) fn losses(&self, block: &mut Block<'_, '_>, batch: usize, depth: Depth) {
        let plan = self.setup.plan;
        let Layout { targets, values, deltas, losses, .. } = &self.chain.layout;
        let last = plan.steps.len();
        // Rows without a border lie one after the other, or there is only one.
        let len = block.rows * plan.output().len();
        // A max pool at the end reads its output once more: then the gradient is made of a copy.
        let is_apart = deltas[last] != values[last];
        let is_copied = is_apart && matches!(plan.steps[last - 1].op, Op::MaxPool { .. });
        if is_copied {
            let [outputs, delta] = block.tensors([values[last], deltas[last]]);
            delta[..len].copy_from_slice(&outputs[..len]);
        }
        let output = if is_copied { deltas[last] } else { values[last] };
        let [targets, outputs, sums] = block.tensors([*targets, output, *losses]);
        let (targets, outputs) = (&mut targets[..len], &mut outputs[..len]);
        if let (Target::Classes(classes), Depth::Losses) = (plan.target, depth) {
            let wrong = misclassified(outputs, targets, classes);
            self.misclassified.fetch_add(wrong, Ordering::Relaxed);
        }
        let weight = self.row_weight(batch);
        if plan.fill.is_some() {
            let width = plan.output().len();
            let rows = outputs.chunks_exact_mut(width).zip(targets.chunks_exact_mut(width));
            for (sum, (outputs, targets)) in sums.iter_mut().zip(rows) {
                let factor = leave_out(plan.loss, &plan.columns, outputs, targets);
                self.loss_of_rows(std::slice::from_mut(sum), outputs, targets, weight * factor);
                *sum *= factor;
            }
        } else {
            self.loss_of_rows(sums, outputs, targets, weight);
        }
        if is_apart && !is_copied {
            let [outputs, delta] = block.tensors([values[last], deltas[last]]);
            ops::copy_into(deltas[last], delta, &outputs[..len]);
        }
    }

    /// The losses of rows; their outputs are replaced by the gradients.
    fn loss_of_rows(&self, sums: &mut [f32], outputs: &mut [f32], targets: &[f32], weight: f32) {
        let (plan, level) = (self.setup.plan, self.setup.level());
        let activation = plan.steps[plan.steps.len() - 1].activation;
        match plan.loss {
            Loss::Bce => loss::bce_logits(level, sums, outputs, targets, weight),
            Loss::CrossEntropy => loss::cross_entropy_logits(level, sums, outputs, targets, weight),
            Loss::Mse => loss::squared_error(level, sums, outputs, targets, activation, weight),
            Loss::Mae => loss::absolute_error(level, sums, outputs, targets, activation, weight),
            Loss::Huber => loss::huber(level, sums, outputs, targets, activation, weight),
            Loss::Mixed => loss::mixed(level, sums, outputs, targets, &self.columns, weight),
        }
    }

    /// The weight of a row's summed loss in the loss of a batch of `batch` rows.
    fn row_weight(&self, batch: usize) -> f32 {
        1.0 / (batch * loss_width(self.setup.plan)) as f32
    }

    /// Takes the deltas of a block back through some steps, the last first, and adds up the gradients of convolutions.
    pub(super) fn backward(&self, block: &mut Block<'_, '_>, steps: Range<usize>, pass: Backward<'_>) {
        let Backward { weights, batch, sums, unit_gradients, scratch } = pass;
        let (plan, row_weight) = (self.setup.plan, self.row_weight(batch));
        for i in steps.rev() {
            self.chain.accumulate_gradient(i, block, sums);
            if i > 0 {
                self.chain.backward(i, block, weights, batch, row_weight, scratch);
            }
            if let Some(sparsity) = plan.sparsity
                && i == plan.cut
            {
                if let Some(l1) = sparsity.l1 {
                    self.chain.add_l1_gradient(i, block, l1 / batch as f32);
                }
                if sparsity.kl.is_some() {
                    self.chain.add_unit_gradients(i, block, unit_gradients);
                }
            }
        }
    }
}

/// Rows whose most likely class is not their own. Logits serve as well as probabilities.
fn misclassified(outputs: &[f32], targets: &[f32], classes: usize) -> usize {
    let rows = outputs.chunks_exact(classes).zip(targets.chunks_exact(classes));
    rows.filter(|(outputs, target)| target[most_likely(outputs)] != 1.0).count()
}
