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
//! `pass` the first phase, `update` the second, `workspace` the memory of a thread.

mod batch_norm;
mod chunks;
mod inference;
mod layout;
mod ops;
mod pass;
mod update;
mod workspace;

pub(crate) use chunks::{CHUNK, each_chunk, each_piece, map_chunks};
pub(crate) use inference::Inference;
pub(crate) use update::OptimizerStep;

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use narrows_kernels::aligned::Aligned;
use narrows_kernels::gemm::{self, Arithmetic};
use narrows_kernels::loss::MixedRow;
use narrows_kernels::shared::Shared;
use narrows_kernels::{Level, vector};

use crate::data::Source;
use crate::data::scaling::Scaling;
use crate::error::Error;
use crate::network::noise::Corruption;
use crate::network::plan::{Op, Plan, Step, Target};
use crate::recipe::{Loss, Optimizer, Precision};
use layout::{BatchStatistics, Layout, Memory, ParameterPart, SharedMatrices, TensorLayout};
use ops::{Chain, UnitRanges};

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
    /// The SIMD level, and the operands of dense layers' products.
    pub arithmetic: Arithmetic,
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

impl Setup<'_> {
    fn level(&self) -> Level {
        self.arithmetic.level
    }
}

/// Parameters, gradients, optimizer state and the tensors of one batch, shared by a team of threads.
pub(crate) struct Engine<'a> {
    setup: Setup<'a>,
    chain: Chain<'a>,
    /// The columns of a row as the mixed loss takes them.
    columns: MixedRow,
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
    arena: Aligned<f32>,
    /// The packed weights of convolutions.
    packed: Aligned<f32>,
    /// The gradient accumulators of convolutions.
    sums: Aligned<f32>,
    corruption: Corruption<'a>,
    /// A row as the input has it where that is not the target: with its noise, its gaps filled.
    corrupted: Vec<f32>,
    /// Random words.
    words: Vec<u32>,
    /// For each unit of the code the gradient of its mean's penalty.
    unit_gradients: Vec<f32>,
    unit_ranges: UnitRanges,
    /// The factors that bring the weights into each unit down to their largest norm.
    norm_factors: Vec<f32>,
}

/// The memory that training takes beside the rows, in bytes. More than can be counted is `usize::MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// Parameters, gradients and optimizer state.
    pub parameters: usize,
    /// The tensors of a batch and the tables of the kernels, which all threads share.
    pub shared: usize,
    /// The memory of each thread.
    pub each_thread: usize,
    /// The number of threads.
    pub threads: usize,
}

impl Footprint {
    /// All of it.
    pub fn total(&self) -> usize {
        let threads = self.threads.saturating_mul(self.each_thread);
        self.parameters.saturating_add(self.shared).saturating_add(threads)
    }
}

impl<'a> Engine<'a> {
    /// An engine with these parameters and this optimizer state.
    pub fn new(setup: Setup<'a>, parameters: &[f32], optimizer_state: &[Vec<f32>]) -> Self {
        let Setup { plan, optimizer, threads, .. } = setup;
        assert_eq!(optimizer_state.len(), optimizer.state_slots());
        let BatchStatistics { steps, pieces, len } = BatchStatistics::new(plan, threads);
        let statistics = Shared::new("batch statistics", len, pieces);
        let (mut chain, groups, matrices) = Self::arrange(plan, setup.arithmetic, setup.batch, threads);
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
            columns: plan.mixed_row(),
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
        arithmetic: Arithmetic,
        batch: usize,
        threads: usize,
    ) -> (Chain<'a>, Vec<Range<usize>>, SharedMatrices) {
        let groups = layout::groups(plan, batch, threads);
        let layout = Layout::training(plan, largest(&groups));
        let matrices = layout.shared_matrices(batch, &groups);
        (Chain::training(arithmetic, &plan.steps, layout), groups, matrices)
    }

    /// The memory that an engine takes, by arithmetic: no table and no buffer is made.
    pub fn footprint(
        plan: &Plan,
        optimizer: Optimizer,
        precision: Precision,
        batch: usize,
        threads: usize,
    ) -> Footprint {
        let (batch, threads) = (batch.min(MOST_ROWS), threads.max(1));
        let groups = layout::groups(plan, batch, threads);
        let layout = Layout::training(plan, largest(&groups));
        let needs = Chain::needs(&plan.steps, &layout, true);
        let sum = |lens: &[usize]| lens.iter().fold(0, |sum: usize, &len| sum.saturating_add(len));
        let bytes = |numbers: usize| numbers.saturating_mul(size_of::<f32>());
        let partial_len = groups.len().saturating_mul(needs.partial_len);
        let noise_len = match (plan.noise.is_empty(), plan.fill.is_some()) {
            (false, _) => 3 * plan.input.len().next_multiple_of(2),
            (true, true) => plan.input.len(),
            (true, false) => 0,
        };
        let own = [
            Engine::scratch_len(needs.scratch_len, plan, precision == Precision::Bf16, batch),
            layout.arena_len,
            needs.packed_len,
            needs.sums_len,
            needs.words_len,
            noise_len,
        ];
        Footprint {
            parameters: bytes(plan.buffer_len.saturating_mul(2 + optimizer.state_slots())),
            shared: sum(&[
                bytes(sum(&[layout.shared_len(batch), partial_len, BatchStatistics::len(plan)])),
                needs.table_bytes,
            ]),
            each_thread: bytes(sum(&own)),
            threads,
        }
    }

    /// The scratch of a thread, where the steps need `own`.
    fn scratch_len(own: usize, plan: &Plan, is_bf16: bool, batch: usize) -> usize {
        let of_bf16 = |step: &Step| {
            let (inputs, outputs) = (step.input.len(), step.output.len());
            let products = [(batch, outputs, inputs), (batch, inputs, outputs), (inputs, outputs, batch)];
            products.into_iter().map(|(m, n, k)| gemm::bf16::scratch_len(m, n, k)).max().unwrap_or(0)
        };
        let dense = plan.steps.iter().filter(|step| is_bf16 && matches!(step.op, Op::Dense { .. }));
        // The gradients of dense weights are sums over the batch.
        dense.map(of_bf16).max().unwrap_or(0).max(own).max(gemm::scratch_len(batch))
    }

    /// The memory for one thread.
    pub fn workspace(&self) -> Workspace<'a> {
        let Setup { plan, seed, arithmetic, .. } = self.setup;
        let batch = self.groups.last().map_or(0, |group| group.end);
        let width = plan.input.len();
        let noise = &plan.noise[..];
        let is_bf16 = arithmetic.bf16.is_some();
        let scratch_len = Self::scratch_len(self.chain.scratch_len, plan, is_bf16, batch);
        Workspace {
            scratch: vec![0.0; scratch_len],
            arena: Aligned::zeros(self.chain.layout.arena_len),
            packed: Aligned::zeros(self.chain.packed_len),
            sums: Aligned::zeros(self.chain.sums_len),
            corruption: Corruption::new(noise, seed, width),
            corrupted: vec![0.0; if noise.is_empty() && plan.fill.is_none() { 0 } else { width }],
            words: Vec::new(),
            unit_gradients: Vec::new(),
            unit_ranges: UnitRanges::new(code_units(plan)),
            norm_factors: Vec::new(),
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
        vector::all_finite(self.setup.level(), &self.parameters.whole())
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

/// Rows of the largest group.
fn largest(groups: &[Range<usize>]) -> usize {
    groups.iter().map(ExactSizeIterator::len).max().unwrap_or(1)
}

/// A batch counts as no more rows than these, so that no count overflows: their tensors are more than any machine has.
const MOST_ROWS: usize = 1 << 48;

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

/// Numbers of a row that its loss is a mean over: all of them, but a distribution counts as one, and the mixed loss is a mean over
/// the columns of the table.
pub(crate) fn loss_width(plan: &Plan) -> usize {
    match plan.loss {
        Loss::CrossEntropy => 1,
        Loss::Mixed if !plan.columns.is_empty() => plan.columns.len(),
        Loss::Mixed | Loss::Bce | Loss::Mse | Loss::Mae | Loss::Huber => plan.input.len(),
    }
}

#[cfg(test)]
mod tests;
