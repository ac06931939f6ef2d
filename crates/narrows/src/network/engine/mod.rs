//! The engine: forward, backward and update over a [`Plan`], on threads that go in lockstep.
//!
//! One training step has two phases, with a barrier after each:
//!
//! | phase | each thread writes | and reads |
//! |---|---|---|
//! | [`Engine::pass`] | some rows of the batch: every value and every delta | the parameters |
//! | [`Engine::learn`] | its part of every gradient and of the parameters | all values and deltas |
//!
//! Where a plan has batch normalisation, rows do depend on one another, and the first phase of training has barriers of its
//! own: see `together`. Where the loss depends on means over the batch (the KL penalty on a code), [`Engine::activities`] comes before them: the
//! encoder alone, so that the means are known. Where gradients are clipped or weights have a largest length, `learn` has
//! barriers of its own: every thread finds the length of everything by itself, in the same order.
//!
//! Rows of a batch do not depend on one another, so a thread takes rows through the whole network, there and back, without
//! waiting; see `layout` for values, deltas and groups of rows. No sum depends on who computes it: gradients of dense
//! layers are computed by one thread each, those of convolutions group by group and then added in the order of the groups.
//! That is why the bytes of a model do not depend on the number of threads.

mod batch_norm;
mod chunks;
mod layout;
mod ops;
mod update;
mod workspace;

pub(crate) use chunks::{Walk, each_chunk, each_piece, map_chunks};

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use narrows_kernels::shared::Shared;
use narrows_kernels::team::Worker;
use narrows_kernels::{Level, gemm, loss, vector};

use crate::data::Source;
use crate::data::scaling::Scaling;
use crate::error::{Error, Result};
use crate::network::noise::{Corruption, Occasion};
use crate::network::plan::{Op, Plan, Target};
use crate::recipe::{Loss, Optimizer};
use layout::{Layout, Matrices, Moments, MomentsOf, Part};
use ops::{Chain, Extremes, Weights};
use workspace::{Aligned, Chance, Space};

/// Numbers that fit into the nearest cache, with room for others.
const NEAR_CACHE: usize = 4096;

/// Rows to learn from or to judge by.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub source: &'a dyn Source,
    pub scaling: &'a Scaling,
    /// The class of each row, for networks that tell classes.
    pub classes: Option<&'a [u32]>,
}

/// What an engine is made for.
#[derive(Clone, Copy)]
pub(crate) struct Setup<'a> {
    pub plan: &'a Plan,
    pub level: Level,
    pub optimizer: Optimizer,
    /// The seed of noise, dropout and drawn codes.
    pub seed: u64,
    /// The largest norm of the gradient of all parameters together: a longer one is scaled down.
    pub clip_norm: Option<f32>,
    /// Rows of the largest batch.
    pub batch: usize,
    /// Threads of the team.
    pub threads: usize,
}

/// Parameters, gradients, the optimiser's memory and the work space of one batch, shared by a team of threads.
pub(crate) struct Engine<'a> {
    plan: &'a Plan,
    level: Level,
    optimizer: Optimizer,
    seed: u64,
    /// The largest length of the gradient of all parameters together.
    clip_norm: Option<f32>,
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
    /// The steps that normalise batches, and what they found over the batch.
    normalized: Vec<MomentsOf>,
    moments: Shared<f32>,
    /// What the code's units reached while rows were judged.
    extremes: Mutex<Extremes>,
    /// Rows whose class was told wrong while they were judged.
    misses: AtomicUsize,
    /// Set when a loss or a gradient is not finite; never cleared.
    broken: AtomicBool,
    /// Set when rows could not be read; never cleared.
    failed: AtomicBool,
    /// The error of rows that could not be read.
    failure: Mutex<Option<Error>>,
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
    words: Vec<u32>,
    /// For each unit of the code the slope of what its mean over the batch pays.
    slopes: Vec<f32>,
    extremes: Extremes,
    /// What the weights into each unit are shortened by.
    factors: Vec<f32>,
}

/// How far a pass goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// To the code.
    Code,
    /// To the losses.
    Losses,
    /// To the losses, and back.
    Gradients,
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
    /// An engine with these parameters and this optimizer state.
    pub fn new(setup: Setup<'a>, parameters: &[f32], memory: &[Vec<f32>]) -> Self {
        let Setup { plan, level, optimizer, seed, clip_norm, batch, threads } = setup;
        let (chain, groups, matrices) = Self::arrange(plan, batch, threads);
        let (parts, pieces) = layout::parts(plan, threads);
        let moments = Moments::new(plan, threads);
        let of_parameters = |name, values: &[f32]| {
            let mut shared = Shared::new(name, plan.buffer_len, pieces.clone());
            shared.as_mut_slice().copy_from_slice(values);
            shared
        };
        assert_eq!(memory.len(), optimizer.state_slots());
        let len = chain.partial_len;
        let partial_pieces =
            (0..groups.len()).map(|group| Vec::from([group * len..(group + 1) * len])).collect();
        Self {
            plan,
            level,
            optimizer,
            seed,
            clip_norm,
            next: AtomicUsize::new(0),
            starts: matrices.starts,
            parameters: of_parameters("parameters", parameters),
            gradients: of_parameters("gradients", &vec![0.0; plan.buffer_len]),
            memory: memory.iter().map(|values| of_parameters("optimizer memory", values)).collect(),
            work: Shared::new("work space", matrices.len, matrices.pieces),
            partial: Shared::new("partial gradients", groups.len() * len, partial_pieces),
            normalized: moments.of,
            moments: Shared::new("moments", moments.len, moments.pieces),
            parts,
            chain,
            groups,
            extremes: Mutex::new(Extremes::new(code_units(plan))),
            misses: AtomicUsize::new(0),
            broken: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            failure: Mutex::new(None),
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
            parameters: bytes(plan.buffer_len * (2 + optimizer.state_slots())),
            shared: bytes(matrices.len + groups.len() * chain.partial_len + Moments::new(plan, threads).len),
            each_thread: bytes(own),
            threads,
        }
    }

    fn product_len(chain: &Chain<'_>, batch: usize) -> usize {
        // The gradients of dense weights are sums over the batch.
        chain.scratch_len.max(gemm::scratch_len(batch))
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
            words: Vec::new(),
            slopes: Vec::new(),
            extremes: Extremes::new(code_units(self.plan)),
            factors: Vec::new(),
        }
    }

    /// Before the first phase: takes rows to their codes, where the loss depends on means over the batch, and finds what each
    /// unit's mean pays. Has barriers of its own.
    pub fn activities(
        &self,
        member: &Worker<'_>,
        scratch: &mut Scratch<'_>,
        rows: Rows<'_>,
        indices: &[usize],
        occasion: Occasion,
    ) {
        let Some((strength, target)) =
            self.plan.sparsity.and_then(|sparsity| Some((sparsity.kl?, sparsity.target())))
        else {
            return;
        };
        self.walk(member, scratch, rows, indices, occasion, Extent::Code);
        member.wait();
        if member.index() == 0 {
            self.next.store(0, Ordering::Relaxed);
        }
        let codes = self.chain.layout.values[self.plan.cut];
        let (n, k) = (indices.len(), self.plan.code().len());
        scratch.slopes.resize(k, 0.0);
        let work = self.work.whole();
        vector::column_sums(self.level, &mut scratch.slopes, &work[self.matrix(codes, n)], k, 0);
        drop(work);
        for slope in &mut scratch.slopes {
            // A mean of exactly 0 or 1 would pay without end.
            let mean = (*slope / n as f32).clamp(1e-6, 1.0 - 1e-6);
            *slope = strength / n as f32 * ((1.0 - target) / (1.0 - mean) - target / mean);
        }
        member.wait();
    }

    /// First phase: takes groups of the rows `indices` as long as there are any, reads them, goes forward, and to learn
    /// also back. Leaves one loss per row (summed over the row's numbers) in the work space, and what the gradients need.
    /// Has barriers of its own where batches are normalised.
    pub fn pass(
        &self,
        member: &Worker<'_>,
        scratch: &mut Scratch<'_>,
        rows: Rows<'_>,
        indices: &[usize],
        occasion: Occasion,
    ) {
        let extent = match occasion {
            Occasion::Training { .. } => Extent::Gradients,
            Occasion::Judging => Extent::Losses,
        };
        self.walk(member, scratch, rows, indices, occasion, extent);
    }

    fn walk(
        &self,
        member: &Worker<'_>,
        scratch: &mut Scratch<'_>,
        rows: Rows<'_>,
        indices: &[usize],
        occasion: Occasion,
        extent: Extent,
    ) {
        if let Occasion::Training { epoch } = occasion
            && !self.normalized.is_empty()
        {
            return self.walk_together(member, scratch, rows, indices, epoch, extent);
        }
        let parameters = self.parameters.whole();
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
                let indices_of_block = &indices[start..end];
                let chance = match occasion {
                    Occasion::Training { epoch } => Some(Chance {
                        seed: self.seed,
                        epoch,
                        indices: indices_of_block,
                        words: &mut scratch.words,
                    }),
                    Occasion::Judging => None,
                };
                let Scratch { product, slot, packed, sums, corruption, corrupted, slopes, extremes, .. } =
                    scratch;
                let mut space = Space {
                    batch: Some(&mut batch),
                    first: start - group.start,
                    slot: slot.get(),
                    rows: end - start,
                    chance,
                };
                if let Err(error) =
                    self.read(&mut space, rows, indices_of_block, occasion, corruption, corrupted)
                {
                    self.fail(error);
                }
                let weights = Weights { parameters: &parameters, packed: packed.get() };
                let last = self.plan.steps.len() - 1;
                let steps = if extent == Extent::Code { self.plan.cut } else { last + 1 };
                for i in 0..steps {
                    let logits = i == last && self.plan.loss_takes_logits();
                    self.chain.forward(self.level, i, &mut space, weights, logits, product);
                }
                if extent == Extent::Code {
                    continue;
                }
                if extent == Extent::Losses && self.has_code() {
                    self.chain.widen(self.level, self.plan.cut, &mut space, extremes);
                }
                self.judge(&mut space, indices.len(), extent);
                if extent == Extent::Gradients {
                    self.back(&mut space, 0..last + 1, weights, indices.len(), sums.get(), slopes, product);
                }
            }
            if extent == Extent::Gradients && self.chain.partial_len > 0 {
                let mut partial = self.partial.piece(index);
                self.chain.fold(self.level, partial.range(0), scratch.sums.get(), &mut scratch.product);
            }
        }
    }

    /// Whether the code stands anywhere: a pool just after the cut is done in one with what comes before.
    fn has_code(&self) -> bool {
        !matches!(self.plan.steps[self.plan.cut].op, Op::MaxPool { .. })
    }

    /// Rows whose class was told wrong while they were judged, where classes are told; counts anew from here on.
    pub fn take_misses(&self) -> Option<usize> {
        let misses = self.misses.swap(0, Ordering::Relaxed);
        matches!(self.plan.target, Target::Classes(_)).then_some(misses)
    }

    /// Adds what this thread saw of the codes while it judged rows.
    pub fn gather_extremes(&self, scratch: &mut Scratch<'_>) {
        let mut all = self.extremes.lock().expect("no thread panics with the extremes");
        let units = all.low.len();
        let own = std::mem::replace(&mut scratch.extremes, Extremes::new(units));
        all.low.iter_mut().zip(own.low).for_each(|(all, own)| *all = all.min(own));
        all.high.iter_mut().zip(own.high).for_each(|(all, own)| *all = all.max(own));
    }

    /// How many units of the code were not the same for every row that was judged; makes ready for the next rows.
    pub fn take_active_units(&self) -> Option<usize> {
        let mut all = self.extremes.lock().expect("no thread panics with the extremes");
        let units = all.low.len();
        let found = std::mem::replace(&mut *all, Extremes::new(units));
        let alive = |(low, high): (&f32, &f32)| !is_dead(f64::from(*low), f64::from(*high));
        self.has_code().then(|| found.low.iter().zip(&found.high).filter(|pair| alive(*pair)).count())
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
    ) -> Result<()> {
        let (level, width) = (self.level, self.plan.input.len());
        let Layout { rows: whole, targets, values, .. } = &self.chain.layout;
        let [whole_rows] = space.tensors([*whole]);
        if whole.stride == width {
            // A few rows at a time: what is read is scaled while it is in the nearest cache.
            let rows_of_near_cache = (NEAR_CACHE / width).max(1);
            let pieces = whole_rows.chunks_mut(rows_of_near_cache * width);
            for (indices, out) in indices.chunks(rows_of_near_cache).zip(pieces) {
                rows.source.gather_f32(indices, out)?;
                rows.scaling.apply(level, out, width);
            }
        } else {
            for (index, row) in indices.iter().zip(whole_rows.chunks_mut(whole.stride)) {
                rows.source.read_f32(*index, &mut row[..width])?;
                rows.scaling.apply(level, &mut row[..width], width);
            }
        }
        if let Some(classes) = rows.classes {
            let [shares] = space.tensors([*targets]);
            shares.fill(0.0);
            for (index, shares) in indices.iter().zip(shares.chunks_mut(targets.stride)) {
                shares[classes[*index] as usize] = 1.0;
            }
        }
        if whole == &values[0] {
            return Ok(());
        }
        let [whole_rows, input] = space.tensors([*whole, values[0]]);
        // Who takes noise off is judged on noisy rows. Who tells classes learns from them, and is judged on those there are.
        let is_clean = self.plan.target != Target::Row && occasion == Occasion::Judging;
        let is_corrupted = !corrupted.is_empty() && !is_clean;
        for (place, index) in indices.iter().enumerate() {
            let mut row = &whole_rows[place * whole.stride..][..width];
            if is_corrupted {
                corrupted.copy_from_slice(row);
                corruption.apply(level, corrupted, *index, occasion);
                row = corrupted;
            }
            ops::put(values[0], &mut input[place * values[0].stride..], row);
        }
        Ok(())
    }

    /// The losses of a block of a batch of `rows` rows; the last output becomes its own delta.
    fn judge(&self, space: &mut Space<'_, '_>, rows: usize, extent: Extent) {
        let (plan, level) = (self.plan, self.level);
        let Layout { targets, values, deltas, losses, .. } = &self.chain.layout;
        let last = plan.steps.len();
        // Rows without a border lie one after the other, or there is only one.
        let len = space.rows * plan.output().len();
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
        if let (Target::Classes(classes), Extent::Losses) = (plan.target, extent) {
            let rows = outputs.chunks_exact(classes).zip(target_rows.chunks_exact(classes));
            let misses = rows.filter(|(shares, target)| target[most_likely(shares)] != 1.0).count();
            self.misses.fetch_add(misses, Ordering::Relaxed);
        }
        let weight = 1.0 / (rows * loss_width(plan)) as f32;
        match plan.loss {
            Loss::Bce => loss::bce_logits(level, sums, outputs, target_rows, weight),
            Loss::CrossEntropy => loss::cross_entropy_logits(level, sums, outputs, target_rows, weight),
            Loss::Mse | Loss::Mae | Loss::Huber => {
                let error = match plan.loss {
                    Loss::Mae => loss::absolute_error,
                    Loss::Huber => loss::huber,
                    _ => loss::squared_error,
                };
                let activation = plan.steps[last - 1].activation;
                error(level, sums, outputs, target_rows, activation, weight);
            }
        }
        if apart && !in_copy {
            let [outputs, delta] = space.tensors([values[last], deltas[last]]);
            ops::put(deltas[last], delta, &outputs[..len]);
        }
    }

    /// The deltas of a block that some steps take back, the last first, and the sums of the gradients of convolutions.
    fn back(
        &self,
        space: &mut Space<'_, '_>,
        steps: Range<usize>,
        weights: Weights<'_>,
        rows: usize,
        sums: &mut [f32],
        slopes: &[f32],
        product: &mut [f32],
    ) {
        let last = self.plan.steps.len() - 1;
        let row_weight = 1.0 / (rows * loss_width(self.plan)) as f32;
        for i in steps.rev() {
            // Softmax needs its own output; what is the last step's is gone, and its loss has dealt with it.
            let in_loss = i == last && self.plan.loss_takes_logits();
            if i > 0 && self.plan.steps[i].op == Op::Softmax && !in_loss {
                self.chain.backward_softmax(self.level, i, space);
            }
            self.chain.add_gradient(self.level, i, space, sums);
            if i > 0 {
                match self.normalized.iter().find(|of| of.step == i) {
                    Some(of) => self.back_normalized(of, space, weights.parameters, rows),
                    None => self.chain.backward(self.level, i, space, weights, row_weight, product),
                }
            }
            if let Some(sparsity) = self.plan.sparsity
                && i == self.plan.cut
            {
                if let Some(l1) = sparsity.l1 {
                    self.chain.add_absolute(self.level, i, space, l1 / rows as f32);
                }
                if sparsity.kl.is_some() {
                    self.chain.add_slopes(self.level, i, space, slopes);
                }
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

    /// Whether a loss or a gradient was not finite. For after the barrier that follows [`Engine::gradients`].
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
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

    /// Says that a loss was not finite.
    pub fn set_broken(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    /// The first parameter whose gradient is not finite; or which has become so itself, since not every gradient is stored.
    pub fn broken_parameter(&self) -> Option<&str> {
        let (gradients, parameters) = (self.gradients.whole(), self.parameters.whole());
        let bad = |range: &Range<usize>| {
            let mut all = gradients[range.clone()].iter().chain(&parameters[range.clone()]);
            all.any(|value| !value.is_finite())
        };
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

/// Units of a code that can be dead: its numbers, or where it is an image its channels.
pub(crate) fn code_units(plan: &Plan) -> usize {
    let code = plan.code();
    if code.is_image() { code.channels } else { code.len() }
}

/// Whether a unit says the same of every row, up to rounding.
pub(crate) fn is_dead(low: f64, high: f64) -> bool {
    high - low <= 1e-6 * high.abs().max(low.abs())
}

/// The place of the largest number, the first of several.
pub(crate) fn most_likely(shares: &[f32]) -> usize {
    (1..shares.len()).fold(0, |best, place| if shares[place] > shares[best] { place } else { best })
}

/// Numbers of a row that its loss is a mean over: all of them, but a distribution counts as one.
pub(crate) fn loss_width(plan: &Plan) -> usize {
    if plan.loss == Loss::CrossEntropy { 1 } else { plan.input.len() }
}

#[cfg(test)]
mod tests;
