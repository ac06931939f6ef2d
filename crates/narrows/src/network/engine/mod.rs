//! The engine: forward, backward and update over a [`Plan`], on a team of threads.
//!
//! One training step has two phases, with a barrier after each:
//!
//! | phase | each thread writes | and reads |
//! |---|---|---|
//! | [`Engine::pass`] | some rows of the batch: every value and every delta | the parameters |
//! | [`Engine::update`] | its part of every gradient and of the parameters | all values and deltas |
//!
//! Rows of a batch do not depend on one another, so a thread takes rows through the whole network, forward and backward,
//! without waiting; see `layout` for values, deltas and groups of rows. No sum depends on which thread computes it: gradients
//! of dense layers are computed by one thread each, those of convolutions group by group and then added in the order of the
//! groups. That is why the bytes of a model do not depend on the number of threads.
//!
//! Three features add barriers:
//!
//! - With batch normalisation rows do depend on one another: the first phase of training is the synchronised pass of
//!   `batch_norm`.
//! - The KL penalty on a code depends on means over the batch: [`Engine::measure_activity`] comes before the first phase and
//!   runs the encoder alone.
//! - Clipped gradients and limited weights need norms over all parameters: within `update` every thread computes all norms
//!   by itself, in the same order.
//!
//! The room `train` drives the engine, the room `model` uses [`Inference`]; `ops` has the arithmetic of each operation,
//! `update` the second phase, `workspace` the memory of a thread.

mod batch_norm;
mod chunks;
mod inference;
mod layout;
mod ops;
mod update;
mod workspace;

pub(crate) use chunks::{each_chunk, each_piece, map_chunks};
pub(crate) use inference::Inference;
pub(crate) use update::OptimizerStep;

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use narrows_kernels::shared::{Piece, Shared};
use narrows_kernels::team::Worker;
use narrows_kernels::{Level, gemm, loss, vector};

use crate::data::Source;
use crate::data::scaling::Scaling;
use crate::error::{Error, Result};
use crate::network::noise::{Corruption, Mode};
use crate::network::plan::{Op, Plan, Target};
use crate::recipe::{Loss, Optimizer};
use layout::{BatchStatistics, Layout, Memory, ParameterPart, SharedMatrices, TensorLayout};
use ops::{Chain, ParameterView, UnitRanges};
use workspace::{AlignedBuffer, Block, RngContext};

/// Numbers that fit into the nearest cache, with room for others.
const NEAR_CACHE: usize = 4096;

/// Rows to train on or to evaluate on.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub source: &'a dyn Source,
    pub scaling: &'a Scaling,
    /// The class of each row, for classifiers.
    pub classes: Option<&'a [u32]>,
}

/// Some of the rows, to go through the network together.
#[derive(Clone, Copy)]
pub(crate) struct Batch<'a> {
    pub rows: Rows<'a>,
    /// Their numbers.
    pub indices: &'a [usize],
}

impl Batch<'_> {
    fn len(&self) -> usize {
        self.indices.len()
    }
}

/// The task of an engine.
#[derive(Clone, Copy)]
pub(crate) struct Setup<'a> {
    pub plan: &'a Plan,
    pub level: Level,
    pub optimizer: Optimizer,
    /// The seed of noise, dropout and sampled codes.
    pub seed: u64,
    /// The largest norm of the gradient of all parameters together: a longer gradient is scaled down to it.
    pub clip_norm: Option<f32>,
    /// Rows of the largest batch.
    pub batch: usize,
    /// Threads of the team.
    pub threads: usize,
}

/// Parameters, gradients, optimizer state and the tensors of one batch, shared by a team of threads.
pub(crate) struct Engine<'a> {
    setup: Setup<'a>,
    chain: Chain<'a>,
    /// The rows of each group of a batch.
    groups: Vec<Range<usize>>,
    /// The next group that no thread has taken.
    next_group: AtomicUsize,
    /// The start of each matrix of the shared tensors.
    starts: Vec<usize>,
    /// For each thread its parts of the parameters.
    parts: Vec<Vec<ParameterPart>>,
    parameters: Shared<f32>,
    gradients: Shared<f32>,
    /// Up to two running averages for each parameter.
    optimizer_state: Vec<Shared<f32>>,
    /// The tensors of the batch that all threads see.
    tensors: Shared<f32>,
    /// The gradients of convolutions from each group.
    partial: Shared<f32>,
    /// The statistics of batch normalisation.
    statistics: Shared<f32>,
    /// The ranges of the code's units over the rows of an evaluation.
    unit_ranges: Mutex<UnitRanges>,
    /// Misclassified rows of an evaluation.
    misclassified: AtomicUsize,
    /// Set when a loss or a gradient is not finite; never cleared.
    diverged: AtomicBool,
    /// Set when rows could not be read; never cleared.
    failed: AtomicBool,
    /// The first error of rows that could not be read.
    failure: Mutex<Option<Error>>,
}

/// The memory of one thread.
pub(crate) struct Workspace<'a> {
    /// Scratch of one kernel: a product, or the packing of weights.
    scratch: Vec<f32>,
    /// The tensors of a block that no other thread sees.
    arena: AlignedBuffer,
    /// The packed weights of convolutions.
    packed: AlignedBuffer,
    /// The gradient accumulators of convolutions.
    sums: AlignedBuffer,
    corruption: Corruption<'a>,
    /// A row with its noise.
    corrupted: Vec<f32>,
    /// Random words.
    words: Vec<u32>,
    /// For each unit of the code the gradient of its mean's penalty.
    unit_gradients: Vec<f32>,
    unit_ranges: UnitRanges,
    /// The factors that bring the weights into each unit down to their largest norm.
    norm_factors: Vec<f32>,
}

/// The depth of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
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
struct Group<'p> {
    /// Its rows within the batch.
    rows: Range<usize>,
    /// Its rows of the shared tensors.
    tensors: Piece<'p, f32>,
}

/// A part of the backward pass: what it reads and writes beside the block.
struct Backward<'b> {
    weights: ParameterView<'b>,
    /// Rows of the whole batch.
    batch: usize,
    sums: &'b mut [f32],
    unit_gradients: &'b [f32],
    scratch: &'b mut [f32],
}

/// The memory that training takes beside the rows, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// Parameters, gradients and optimizer state.
    pub parameters: usize,
    /// The tensors of a batch that all threads share.
    pub shared: usize,
    /// The memory of each thread.
    pub each_thread: usize,
    /// The number of threads.
    pub threads: usize,
}

impl Footprint {
    /// All of it.
    pub fn total(&self) -> usize {
        self.parameters + self.shared + self.threads * self.each_thread
    }
}

impl<'a> Engine<'a> {
    /// An engine with these parameters and this optimizer state.
    pub fn new(setup: Setup<'a>, parameters: &[f32], optimizer_state: &[Vec<f32>]) -> Self {
        let Setup { plan, optimizer, threads, .. } = setup;
        assert_eq!(optimizer_state.len(), optimizer.state_slots());
        let BatchStatistics { steps, pieces, len } = BatchStatistics::new(plan, threads);
        let statistics = Shared::new("batch statistics", len, pieces);
        let (mut chain, groups, matrices) = Self::arrange(plan, setup.level, setup.batch, threads);
        chain.normalized = steps;
        let (parts, parameter_pieces) = layout::parts(plan, threads);
        let of_parameters = |name, values: &[f32]| {
            let mut shared = Shared::new(name, plan.buffer_len, parameter_pieces.clone());
            shared.as_mut_slice().copy_from_slice(values);
            shared
        };
        let len = chain.partial_len;
        let partial_pieces =
            (0..groups.len()).map(|group| Vec::from([group * len..(group + 1) * len])).collect();
        Self {
            setup,
            next_group: AtomicUsize::new(0),
            starts: matrices.starts,
            parameters: of_parameters("parameters", parameters),
            gradients: of_parameters("gradients", &vec![0.0; plan.buffer_len]),
            optimizer_state: optimizer_state
                .iter()
                .map(|values| of_parameters("optimizer state", values))
                .collect(),
            tensors: Shared::new("shared tensors", matrices.len, matrices.pieces),
            partial: Shared::new("partial gradients", groups.len() * len, partial_pieces),
            statistics,
            parts,
            chain,
            groups,
            unit_ranges: Mutex::new(UnitRanges::new(code_units(plan))),
            misclassified: AtomicUsize::new(0),
            diverged: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            failure: Mutex::new(None),
        }
    }

    fn arrange(
        plan: &'a Plan,
        level: Level,
        batch: usize,
        threads: usize,
    ) -> (Chain<'a>, Vec<Range<usize>>, SharedMatrices) {
        let groups = layout::groups(plan, batch, threads);
        let largest = groups.iter().map(ExactSizeIterator::len).max().unwrap_or(1);
        let layout = Layout::training(plan, largest);
        let matrices = layout.shared_matrices(batch, &groups);
        (Chain::training(level, &plan.steps, layout), groups, matrices)
    }

    /// The memory that an engine takes.
    pub fn footprint(plan: &Plan, optimizer: Optimizer, batch: usize, threads: usize) -> Footprint {
        let (chain, groups, matrices) = Engine::arrange(plan, Level::detect(), batch, threads);
        let bytes = |numbers: usize| numbers * size_of::<f32>();
        let statistics = BatchStatistics::new(plan, threads).len;
        let own =
            Engine::scratch_len(&chain, batch) + chain.layout.arena_len + chain.packed_len + chain.sums_len;
        Footprint {
            parameters: bytes(plan.buffer_len * (2 + optimizer.state_slots())),
            shared: bytes(matrices.len + groups.len() * chain.partial_len + statistics),
            each_thread: bytes(own),
            threads,
        }
    }

    fn scratch_len(chain: &Chain<'_>, batch: usize) -> usize {
        // The gradients of dense weights are sums over the batch.
        chain.scratch_len.max(gemm::scratch_len(batch))
    }

    /// The memory for one thread.
    pub fn workspace(&self) -> Workspace<'a> {
        let Setup { plan, seed, .. } = self.setup;
        let batch = self.groups.last().map_or(0, |group| group.end);
        let width = plan.input.len();
        let noise = &plan.noise[..];
        Workspace {
            scratch: vec![0.0; Self::scratch_len(&self.chain, batch)],
            arena: AlignedBuffer::new(self.chain.layout.arena_len),
            packed: AlignedBuffer::new(self.chain.packed_len),
            sums: AlignedBuffer::new(self.chain.sums_len),
            corruption: Corruption::new(noise, seed, width),
            corrupted: vec![0.0; if noise.is_empty() { 0 } else { width }],
            words: Vec::new(),
            unit_gradients: Vec::new(),
            unit_ranges: UnitRanges::new(code_units(plan)),
            norm_factors: Vec::new(),
        }
    }

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
            vector::column_sums(self.setup.level, gradients, &tensors[self.shared_rows(codes, n)], k, 0);
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
                self.chain.pack(&parameters, workspace.packed.get(), &mut workspace.scratch);
                are_weights_packed = true;
            }
            workspace.sums.get().fill(0.0);
            let mut group = Group { rows: rows.clone(), tensors: self.tensors.piece(index) };
            for start in rows.clone().step_by(self.chain.layout.block) {
                let block = start..(start + self.chain.layout.block).min(rows.end);
                self.pass_block(workspace, &mut group, &parameters, batch, block, scope);
            }
            if scope.depth == Depth::Gradients && self.chain.partial_len > 0 {
                let mut partial = self.partial.piece(index);
                let sums = workspace.sums.get();
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
            arena: arena.get(),
            rows: rows.len(),
        };
        let own = Batch { indices, ..batch };
        self.read_rows(&mut block, own, scope.mode, corruption, corrupted);
        let weights = ParameterView { parameters, packed: packed.get(), statistics: None };
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
            let sums = sums.get();
            let backward = Backward { weights, batch: batch.len(), sums, unit_gradients, scratch };
            self.backward(&mut block, 0..plan.steps.len(), backward);
        }
    }

    /// Reads the rows of a block, as targets and, with their noise, as the input of the first step.
    fn read_rows(
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
        let Setup { plan, level, .. } = self.setup;
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
        let is_corrupted = !corrupted.is_empty() && !is_clean;
        let (width, to) = (plan.input.len(), values[0]);
        block.each_row([*clean, to], |row, [clean, input]| {
            let mut numbers = &clean[..width];
            if is_corrupted {
                corrupted.copy_from_slice(numbers);
                corruption.apply(level, corrupted, batch.indices[row], mode);
                numbers = corrupted;
            }
            ops::copy_into(to, input, numbers);
        });
    }

    fn read_clean_rows(&self, block: &mut Block<'_, '_>, Batch { rows, indices }: Batch<'_>) -> Result<()> {
        let (level, width) = (self.setup.level, self.setup.plan.input.len());
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
    fn forward(
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
    fn losses(&self, block: &mut Block<'_, '_>, batch: usize, depth: Depth) {
        let Setup { plan, level, .. } = self.setup;
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
        let (targets, outputs) = (&targets[..len], &mut outputs[..len]);
        if let (Target::Classes(classes), Depth::Losses) = (plan.target, depth) {
            let wrong = misclassified(outputs, targets, classes);
            self.misclassified.fetch_add(wrong, Ordering::Relaxed);
        }
        let weight = self.row_weight(batch);
        let activation = plan.steps[last - 1].activation;
        match plan.loss {
            Loss::Bce => loss::bce_logits(level, sums, outputs, targets, weight),
            Loss::CrossEntropy => loss::cross_entropy_logits(level, sums, outputs, targets, weight),
            Loss::Mse => loss::squared_error(level, sums, outputs, targets, activation, weight),
            Loss::Mae => loss::absolute_error(level, sums, outputs, targets, activation, weight),
            Loss::Huber => loss::huber(level, sums, outputs, targets, activation, weight),
        }
        if is_apart && !is_copied {
            let [outputs, delta] = block.tensors([values[last], deltas[last]]);
            ops::copy_into(deltas[last], delta, &outputs[..len]);
        }
    }

    /// The weight of a row's summed loss in the loss of a batch of `batch` rows.
    fn row_weight(&self, batch: usize) -> f32 {
        1.0 / (batch * loss_width(self.setup.plan)) as f32
    }

    /// Takes the deltas of a block back through some steps, the last first, and adds up the gradients of convolutions.
    fn backward(&self, block: &mut Block<'_, '_>, steps: Range<usize>, pass: Backward<'_>) {
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

    /// The sum of the losses of the first `rows` rows of the pass, added in order. Resets the groups for the next pass. For
    /// one thread, between two phases.
    pub fn finish_pass(&self, rows: usize) -> f64 {
        self.next_group.store(0, Ordering::Relaxed);
        let tensors = self.tensors.whole();
        let losses = &tensors[self.shared_rows(self.chain.layout.losses, rows)];
        losses.iter().map(|&loss| f64::from(loss)).sum()
    }

    /// The range of the first `rows` rows of a tensor in the shared memory.
    fn shared_rows(&self, tensor: TensorLayout, rows: usize) -> Range<usize> {
        let Memory::Shared(matrix) = tensor.memory else {
            unreachable!("a tensor that is summed over the batch lies in the shared memory")
        };
        let start = self.starts[matrix];
        start..start + rows * tensor.stride
    }

    /// Whether the values of the code exist: a max pool just after the cut is fused with the convolution before it.
    fn has_code(&self) -> bool {
        let plan = self.setup.plan;
        !matches!(plan.steps[plan.cut].op, Op::MaxPool { .. })
    }

    /// Misclassified rows of the evaluation, for classifiers; resets the count.
    pub fn take_misclassified(&self) -> Option<usize> {
        let rows = self.misclassified.swap(0, Ordering::Relaxed);
        matches!(self.setup.plan.target, Target::Classes(_)).then_some(rows)
    }

    /// Adds the unit ranges of this thread's rows of the evaluation to those of all.
    pub fn merge_unit_ranges(&self, workspace: &mut Workspace<'_>) {
        let mut all = self.unit_ranges.lock().expect("no thread panics with the ranges");
        all.merge(&workspace.unit_ranges.take());
    }

    /// Units of the code whose value differs among the rows of the evaluation, where known; resets the ranges.
    pub fn take_active_units(&self) -> Option<usize> {
        let ranges = self.unit_ranges.lock().expect("no thread panics with the ranges").take();
        let is_active = |(min, max): &(&f32, &f32)| !is_dead(f64::from(**min), f64::from(**max));
        self.has_code().then(|| ranges.min.iter().zip(&ranges.max).filter(is_active).count())
    }

    /// Whether a loss or a gradient was not finite. For after the barrier that follows [`Engine::update`].
    pub fn has_diverged(&self) -> bool {
        self.diverged.load(Ordering::Relaxed)
    }

    /// Records that a loss or a gradient was not finite.
    pub fn set_diverged(&self) {
        self.diverged.store(true, Ordering::Relaxed);
    }

    /// Records that rows could not be read. The first error counts.
    fn fail(&self, error: Error) {
        self.failure.lock().expect("no thread panics with the failure").get_or_insert(error);
        self.failed.store(true, Ordering::Relaxed);
    }

    /// Whether rows could not be read. For after a pass, by one thread, which tells the others: it may change whenever a
    /// thread reads rows, so threads that looked on their own could disagree on whether to go on.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// The error of rows that could not be read, if there was one.
    pub fn take_failure(&self) -> Option<Error> {
        self.failure.lock().expect("no thread panics with the failure").take()
    }

    /// The first parameter whose gradient is not finite, or that is not finite itself, since not every gradient is stored.
    pub fn non_finite_parameter(&self) -> Option<&str> {
        let (gradients, parameters) = (self.gradients.whole(), self.parameters.whole());
        let is_bad = |range: &Range<usize>| {
            let mut all = gradients[range.clone()].iter().chain(&parameters[range.clone()]);
            all.any(|value| !value.is_finite())
        };
        let mut all = self.setup.plan.parameters.iter();
        all.find(|parameter| is_bad(&parameter.range)).map(|parameter| parameter.name.as_str())
    }

    /// Whether every parameter is a finite number. For between two phases.
    pub fn parameters_are_finite(&self) -> bool {
        vector::all_finite(self.setup.level, &self.parameters.whole())
    }

    /// Copies the parameters and the optimizer state. For between two phases.
    pub fn copy_state(&self, parameters: &mut [f32], optimizer_state: &mut [Vec<f32>]) {
        parameters.copy_from_slice(&self.parameters.whole());
        for (to, from) in optimizer_state.iter_mut().zip(&self.optimizer_state) {
            to.copy_from_slice(&from.whole());
        }
    }

    /// Copies the gradients. For between two phases.
    #[cfg(test)]
    pub fn copy_gradients(&self, to: &mut [f32]) {
        to.copy_from_slice(&self.gradients.whole());
    }
}

/// Units of a code that can be dead: its numbers, or where it is an image its channels.
pub(crate) fn code_units(plan: &Plan) -> usize {
    let code = plan.code();
    if code.is_image() { code.channels } else { code.len() }
}

/// Whether a unit has the same value for every row, up to rounding.
pub(crate) fn is_dead(min: f64, max: f64) -> bool {
    max - min <= 1e-6 * max.abs().max(min.abs())
}

/// The class of the largest probability, the first of several.
pub(crate) fn most_likely(probabilities: &[f32]) -> usize {
    let larger =
        |best: usize, class: usize| if probabilities[class] > probabilities[best] { class } else { best };
    (1..probabilities.len()).fold(0, larger)
}

/// Rows whose most likely class is not their own. Logits serve as well as probabilities.
fn misclassified(outputs: &[f32], targets: &[f32], classes: usize) -> usize {
    let rows = outputs.chunks_exact(classes).zip(targets.chunks_exact(classes));
    rows.filter(|(outputs, target)| target[most_likely(outputs)] != 1.0).count()
}

/// Numbers of a row that its loss is a mean over: all of them, but a distribution counts as one.
pub(crate) fn loss_width(plan: &Plan) -> usize {
    if plan.loss == Loss::CrossEntropy { 1 } else { plan.input.len() }
}

#[cfg(test)]
mod tests;
