//! The engine: forward, backward and update over a [`Plan`], on threads that go in lockstep.
//!
//! One training step has two phases, with a barrier after each:
//!
//! | phase | each thread writes | and reads |
//! |---|---|---|
//! | [`Engine::pass`] | some rows of the batch: every value and every delta | the parameters |
//! | [`Engine::gradients`], [`Engine::update`] | its part of every gradient and of the parameters | all values and deltas |
//!
//! Rows of a batch do not depend on one another, so a thread takes rows through the whole network, there and back, without
//! waiting; see `layout` for values, deltas and groups of rows. No sum depends on who computes it: gradients of dense
//! layers are computed by one thread each, those of convolutions group by group and then added in the order of the groups.
//! That is why the bytes of a model do not depend on the number of threads.

mod chunks;
mod layout;
mod memory;
mod steps;

pub(crate) use chunks::{Walk, each_chunk, each_piece, map_chunks};

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use narrows_kernels::lockstep::Shared;
use narrows_kernels::{Level, loss, matrix, optimizer, vector};

use crate::corruption::{Corruption, Occasion};
use crate::data::Source;
use crate::plan::{Op, ParameterKind, Plan};
use crate::scaling::Scaling;
use crate::spec::{Loss, Optimizer, Sparsity};
use layout::{Layout, Matrices, Part, Role};
use memory::{Aligned, Space};
use steps::{Chain, Weights};

/// Numbers that fit into the nearest cache, with room for others.
const NEAR_CACHE: usize = 4096;

/// Rows to learn from or to judge by.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub source: &'a dyn Source,
    pub scaling: &'a Scaling,
}

/// Parameters, gradients, the optimiser's memory and the work space of one batch, shared by a team of threads.
pub(crate) struct Engine<'a> {
    plan: &'a Plan,
    level: Level,
    optimizer: Optimizer,
    seed: u64,
    chain: Chain<'a>,
    /// The rows of each group of a batch.
    groups: Vec<Range<usize>>,
    /// The next group that no thread has taken.
    next: AtomicUsize,
    /// Where each matrix of the work space begins.
    starts: Vec<usize>,
    /// For each thread its parts of the parameters.
    parts: Vec<Vec<Part>>,
    parameters: Shared<f32>,
    gradients: Shared<f32>,
    /// What the optimiser remembers: up to two numbers for each parameter.
    memory: Vec<Shared<f32>>,
    work: Shared<f32>,
    /// The gradients of convolutions from each group.
    partial: Shared<f32>,
    /// Set when a loss or a gradient is not finite; never cleared.
    broken: AtomicBool,
}

/// One thread's own memory.
pub(crate) struct Scratch<'a> {
    /// For one product, or for packing weights.
    product: Vec<f32>,
    /// The images of a block.
    slot: Aligned,
    packed: Aligned,
    sums: Aligned,
    corruption: Corruption<'a>,
    corrupted: Vec<f32>,
}

/// The memory that training takes beside the rows, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// Parameters, gradients, and what the optimiser remembers.
    pub parameters: usize,
    /// What all threads share of a batch.
    pub shared: usize,
    /// What each thread has for itself.
    pub each_thread: usize,
    /// How many threads there are.
    pub threads: usize,
}

impl Footprint {
    /// All of it.
    pub fn total(&self) -> usize {
        self.parameters + self.shared + self.threads * self.each_thread
    }
}

impl<'a> Engine<'a> {
    /// An engine for batches of up to `batch` rows and a team of `threads`, from these parameters and what the optimiser
    /// remembers. All chance comes from `seed`.
    pub fn new(
        plan: &'a Plan,
        level: Level,
        optimizer: Optimizer,
        seed: u64,
        batch: usize,
        threads: usize,
        parameters: &[f32],
        memory: &[Vec<f32>],
    ) -> Self {
        let (chain, groups, matrices) = Self::arrange(plan, batch, threads);
        let (parts, pieces) = layout::parts(plan, threads);
        let of_parameters = |name, values: &[f32]| {
            let mut shared = Shared::new(name, plan.buffer_len, pieces.clone());
            shared.as_mut_slice().copy_from_slice(values);
            shared
        };
        assert_eq!(memory.len(), optimizer.memories());
        let len = chain.partial_len;
        let partial_pieces =
            (0..groups.len()).map(|group| Vec::from([group * len..(group + 1) * len])).collect();
        Self {
            plan,
            level,
            optimizer,
            seed,
            next: AtomicUsize::new(0),
            starts: matrices.starts,
            parameters: of_parameters("parameters", parameters),
            gradients: of_parameters("gradients", &vec![0.0; plan.buffer_len]),
            memory: memory.iter().map(|values| of_parameters("optimizer memory", values)).collect(),
            work: Shared::new("work space", matrices.len, matrices.pieces),
            partial: Shared::new("partial gradients", groups.len() * len, partial_pieces),
            parts,
            chain,
            groups,
            broken: AtomicBool::new(false),
        }
    }

    fn arrange(plan: &'a Plan, batch: usize, threads: usize) -> (Chain<'a>, Vec<Range<usize>>, Matrices) {
        let groups = layout::groups(plan, batch, threads);
        let most = groups.iter().map(ExactSizeIterator::len).max().unwrap_or(1);
        let layout = Layout::training(plan, most);
        let matrices = layout.matrices(batch, &groups);
        (Chain::new(&plan.steps, layout, true), groups, matrices)
    }

    /// The memory that an engine takes.
    pub fn footprint(plan: &Plan, optimizer: Optimizer, batch: usize, threads: usize) -> Footprint {
        let (chain, groups, matrices) = Engine::arrange(plan, batch, threads);
        let bytes = |numbers: usize| numbers * size_of::<f32>();
        let own =
            Engine::product_len(&chain, batch) + chain.layout.slot_len + chain.packed_len + chain.sums_len;
        Footprint {
            parameters: bytes(plan.buffer_len * (2 + optimizer.memories())),
            shared: bytes(matrices.len + groups.len() * chain.partial_len),
            each_thread: bytes(own),
            threads,
        }
    }

    fn product_len(chain: &Chain<'_>, batch: usize) -> usize {
        // The gradients of dense weights are sums over the batch.
        chain.scratch_len.max(matrix::scratch_len(batch))
    }

    /// Memory for one thread.
    pub fn scratch(&self) -> Scratch<'a> {
        let batch = self.groups.last().map_or(0, |group| group.end);
        let width = self.plan.input.len();
        let noise = &self.plan.noise[..];
        Scratch {
            product: vec![0.0; Self::product_len(&self.chain, batch)],
            slot: Aligned::new(self.chain.layout.slot_len),
            packed: Aligned::new(self.chain.packed_len),
            sums: Aligned::new(self.chain.sums_len),
            corruption: Corruption::new(noise, self.seed, width),
            corrupted: vec![0.0; if noise.is_empty() { 0 } else { width }],
        }
    }

    /// First phase: takes groups of the rows `indices` as long as there are any, reads them, goes forward, and to learn
    /// also back. Leaves one loss per row (summed over the row's numbers) in the work space, and what the gradients need.
    pub fn pass(&self, scratch: &mut Scratch<'_>, rows: Rows<'_>, indices: &[usize], occasion: Occasion) {
        let parameters = self.parameters.whole();
        let train = matches!(occasion, Occasion::Training { .. });
        let mut packed = false;
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(group) = self.groups.get(index) else { return };
            let group = group.start..group.end.min(indices.len());
            if group.is_empty() {
                continue;
            }
            if !packed {
                // Once for a batch: the weights have changed.
                self.chain.pack(self.level, &parameters, scratch.packed.get(), &mut scratch.product);
                packed = true;
            }
            let mut batch = self.work.piece(index);
            scratch.sums.get().fill(0.0);
            for start in group.clone().step_by(self.chain.layout.block) {
                let end = (start + self.chain.layout.block).min(group.end);
                let Scratch { product, slot, packed, sums, corruption, corrupted } = scratch;
                let mut space = Space {
                    batch: Some(&mut batch),
                    first: start - group.start,
                    slot: slot.get(),
                    rows: end - start,
                };
                self.read(&mut space, rows, &indices[start..end], occasion, corruption, corrupted);
                let weights = Weights { parameters: &parameters, packed: packed.get() };
                let last = self.plan.steps.len() - 1;
                for i in 0..=last {
                    let logits = i == last && self.plan.loss_takes_logits();
                    self.chain.forward(self.level, i, &mut space, weights, logits, product);
                }
                self.judge(&mut space, indices.len());
                if train {
                    self.back(&mut space, weights, indices.len(), sums.get(), product);
                }
            }
            if train && self.chain.partial_len > 0 {
                self.chain.fold(self.level, self.partial.piece(index).range(0), scratch.sums.get());
            }
        }
    }

    /// Reads the rows of a block, as targets and, made worse where the plan says so, as what goes into the first step.
    fn read(
        &self,
        space: &mut Space<'_, '_>,
        rows: Rows<'_>,
        indices: &[usize],
        occasion: Occasion,
        corruption: &mut Corruption<'_>,
        corrupted: &mut [f32],
    ) {
        let (level, width) = (self.level, self.plan.input.len());
        let Layout { targets, values, .. } = &self.chain.layout;
        let [target_rows] = space.tensors([*targets]);
        if targets.stride == width {
            // A few rows at a time: what is read is scaled while it is in the nearest cache.
            let rows_of_near_cache = (NEAR_CACHE / width).max(1);
            let pieces = target_rows.chunks_mut(rows_of_near_cache * width);
            for (indices, out) in indices.chunks(rows_of_near_cache).zip(pieces) {
                rows.source.read_f32(indices, out);
                rows.scaling.apply(level, out, width);
            }
        } else {
            for (index, row) in indices.iter().zip(target_rows.chunks_mut(targets.stride)) {
                rows.source.read_f32(std::slice::from_ref(index), &mut row[..width]);
                rows.scaling.apply(level, &mut row[..width], width);
            }
        }
        if targets == &values[0] {
            return;
        }
        let [target_rows, input] = space.tensors([*targets, values[0]]);
        for (place, index) in indices.iter().enumerate() {
            let mut row = &target_rows[place * targets.stride..][..width];
            if !corrupted.is_empty() {
                corrupted.copy_from_slice(row);
                corruption.apply(level, corrupted, *index, occasion);
                row = corrupted;
            }
            steps::put(values[0], &mut input[place * values[0].stride..], row);
        }
    }

    /// The losses of a block of a batch of `rows` rows; the last output becomes its own delta.
    fn judge(&self, space: &mut Space<'_, '_>, rows: usize) {
        let (plan, level) = (self.plan, self.level);
        let Layout { targets, values, deltas, losses, .. } = &self.chain.layout;
        let last = plan.steps.len();
        // Rows without a border lie one after the other, or there is only one.
        let len = space.rows * plan.input.len();
        // A pool at the end reads its output once more: then the gradient is made of a copy.
        let apart = deltas[last] != values[last];
        let in_copy = apart && matches!(plan.steps[last - 1].op, Op::MaxPool { .. });
        if in_copy {
            let [outputs, delta] = space.tensors([values[last], deltas[last]]);
            delta[..len].copy_from_slice(&outputs[..len]);
        }
        let judged = if in_copy { deltas[last] } else { values[last] };
        let [target_rows, outputs, sums] = space.tensors([*targets, judged, *losses]);
        let (target_rows, outputs) = (&target_rows[..len], &mut outputs[..len]);
        let weight = 1.0 / (rows * loss_width(plan)) as f32;
        match plan.loss {
            Loss::Bce => loss::bce_logits(level, sums, outputs, target_rows, weight),
            Loss::CrossEntropy => loss::cross_entropy_logits(level, sums, outputs, target_rows, weight),
            Loss::Mse => {
                let activation = plan.steps[last - 1].activation;
                loss::squared_error(level, sums, outputs, target_rows, activation, weight);
            }
        }
        if apart && !in_copy {
            let [outputs, delta] = space.tensors([values[last], deltas[last]]);
            steps::put(deltas[last], delta, &outputs[..len]);
        }
    }

    /// The deltas of a block, from the last to the first, and the sums of the gradients of convolutions.
    fn back(
        &self,
        space: &mut Space<'_, '_>,
        weights: Weights<'_>,
        rows: usize,
        sums: &mut [f32],
        product: &mut [f32],
    ) {
        let last = self.plan.steps.len() - 1;
        for i in (0..=last).rev() {
            // Softmax needs its own output; what is the last step's is gone, and its loss has dealt with it.
            let in_loss = i == last && self.plan.loss_takes_logits();
            if i > 0 && self.plan.steps[i].op == Op::Softmax && !in_loss {
                self.chain.backward_softmax(self.level, i, space);
            }
            self.chain.add_gradient(self.level, i, space, sums);
            if i > 0 {
                self.chain.backward(self.level, i, space, weights, product);
            }
            if let Some(Sparsity { l1 }) = self.plan.sparsity
                && i == self.plan.cut
            {
                self.chain.add_absolute(self.level, i, space, l1 / rows as f32);
            }
        }
    }

    /// The sum of the losses of the first `rows` rows of the pass, added in order; makes ready for the next pass. By one
    /// thread, between two phases.
    pub fn finish_pass(&self, rows: usize) -> f64 {
        self.next.store(0, Ordering::Relaxed);
        let work = self.work.whole();
        work[self.matrix(self.chain.layout.losses, rows)].iter().map(|&loss| f64::from(loss)).sum()
    }

    /// Where the first `rows` rows of a tensor of the shared memory lie.
    fn matrix(&self, tensor: layout::Tensor, rows: usize) -> Range<usize> {
        let layout::Home::Batch(matrix) = tensor.home else {
            unreachable!("what sums over a batch needs lies in the shared memory")
        };
        let start = self.starts[matrix];
        start..start + rows * tensor.stride
    }

    /// Second phase: the gradients of this thread's part of the parameters, from the first `rows` rows of the last pass.
    pub fn gradients(&self, thread: usize, scratch: &mut Scratch<'_>, rows: usize) {
        let work = self.work.whole();
        let partial = self.partial.whole();
        let mut own = self.gradients.piece(thread);
        let mut finite = true;
        let Layout { values, deltas, .. } = &self.chain.layout;
        let used = self.groups.iter().filter(|group| group.start < rows).count();
        for (slot, part) in self.parts[thread].iter().enumerate() {
            let gradient = own.range(slot);
            if gradient.is_empty() {
                continue;
            }
            let step = &self.plan.steps[part.step];
            let matrices = || {
                let x = &work[self.matrix(values[part.step], rows)];
                let delta = &work[self.matrix(deltas[part.step + 1], rows)];
                let (inputs, outputs) = (step.input.len(), step.output.len());
                (matrix::View::new(x, rows, inputs), matrix::View::new(delta, rows, outputs), delta)
            };
            match &part.role {
                Role::Rows(own) => {
                    let (x, delta, _) = matrices();
                    let x = x.columns(own.start, own.len()).transposed();
                    matrix::multiply(
                        self.level,
                        gradient,
                        x,
                        delta,
                        matrix::Finish::Store,
                        &mut scratch.product,
                    );
                }
                Role::Bias(own) => {
                    let (_, _, delta) = matrices();
                    vector::column_sums(self.level, gradient, delta, step.output.len(), own.start);
                }
                Role::Partial(start) => {
                    let own = *start..*start + gradient.len();
                    let groups = partial.chunks_exact(self.chain.partial_len).take(used);
                    let groups = groups.map(|group| &group[own.clone()]);
                    vector::sum_of(self.level, gradient, groups);
                }
            }
            finite &= vector::all_finite(self.level, gradient);
        }
        if !finite {
            self.broken.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a loss or a gradient was not finite. For after the barrier that follows [`Engine::gradients`].
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Says that a loss was not finite.
    pub fn set_broken(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    /// The first parameter whose gradient is not finite.
    pub fn broken_parameter(&self) -> Option<&str> {
        let gradients = self.gradients.whole();
        let bad = |range: &Range<usize>| gradients[range.clone()].iter().any(|value| !value.is_finite());
        self.plan
            .parameters
            .iter()
            .find(|parameter| bad(&parameter.range))
            .map(|parameter| parameter.name.as_str())
    }

    /// Whether every parameter is a finite number. For between two phases.
    pub fn parameters_are_finite(&self) -> bool {
        vector::all_finite(self.level, &self.parameters.whole())
    }

    /// One step of this thread's part of the parameters, whose gradients it has found itself: no one need wait in between.
    /// `step` counts from 1.
    pub fn update(&self, thread: usize, step: u64) {
        let mut gradients = self.gradients.piece(thread);
        let mut parameters = self.parameters.piece(thread);
        let mut first = self.memory[0].piece(thread);
        let mut second = self.memory.get(1).map(|memory| memory.piece(thread));
        let level = self.level;
        for (slot, part) in self.parts[thread].iter().enumerate() {
            let (p, g, a) = (parameters.range(slot), &*gradients.range(slot), first.range(slot));
            let b = second.as_mut().map(|second| second.range(slot));
            match (self.optimizer, b) {
                (Optimizer::Adadelta(settings), Some(b)) => optimizer::adadelta(level, p, a, b, g, settings),
                (Optimizer::Adam(mut settings), Some(b)) => {
                    settings.step = step;
                    if self.plan.parameters[part.parameter].kind == ParameterKind::Bias {
                        settings.weight_decay = 0.0;
                    }
                    optimizer::adam(level, p, a, b, g, settings);
                }
                (Optimizer::Sgd(settings), _) => optimizer::sgd(level, p, a, g, settings),
                (Optimizer::RmsProp(settings), _) => optimizer::rmsprop(level, p, a, g, settings),
                (Optimizer::Adadelta(_) | Optimizer::Adam(_), None) => {
                    unreachable!("these remember two numbers")
                }
            }
        }
    }

    /// Copies the parameters. For between two phases.
    pub fn copy_parameters(&self, to: &mut [f32]) {
        to.copy_from_slice(&self.parameters.whole());
    }

    /// Copies the parameters and the optimiser's memory. For between two phases.
    pub fn copy_state(&self, parameters: &mut [f32], memory: &mut [Vec<f32>]) {
        self.copy_parameters(parameters);
        for (to, from) in memory.iter_mut().zip(&self.memory) {
            to.copy_from_slice(&from.whole());
        }
    }

    /// Copies the gradients. For between two phases.
    #[cfg(test)]
    pub fn copy_gradients(&self, to: &mut [f32]) {
        to.copy_from_slice(&self.gradients.whole());
    }
}

/// Numbers of a row that its loss is a mean over: all of them, but a distribution counts as one.
pub(crate) fn loss_width(plan: &Plan) -> usize {
    if plan.loss == Loss::CrossEntropy { 1 } else { plan.input.len() }
}

#[cfg(test)]
mod tests;
