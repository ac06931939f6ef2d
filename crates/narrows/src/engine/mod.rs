//! The engine: forward, backward and update over a [`Plan`], on threads that go in lockstep.
//!
//! One training step has three phases, with a barrier after each:
//!
//! | phase | each thread writes | and reads |
//! |---|---|---|
//! | [`Engine::pass`] | its rows of the batch, of every output and every delta | the parameters |
//! | [`Engine::gradients`] | its rows of every weight gradient | all outputs and deltas |
//! | [`Engine::update`] | its part of the parameters | its part of the gradients |
//!
//! Rows of a batch do not depend on one another, so a thread takes its rows through the whole network, there and back,
//! without waiting. No sum is split between threads: every number is computed by one thread, in an order that the shapes
//! fix. That is why the bytes of a model do not depend on the number of threads.
//!
//! The *delta* of a step is the gradient of the loss with respect to what the step computes before its activation.

mod chunks;
mod layout;
mod steps;

pub(crate) use chunks::{Walk, each_chunk};

use std::sync::atomic::{AtomicBool, Ordering};

use narrows_kernels::lockstep::Shared;
use narrows_kernels::{Level, matrix, optimizer, vector};

use crate::data::Source;
use crate::plan::{ParameterKind, Plan};
use crate::scaling::Scaling;
use crate::spec::{Loss, Optimizer};
use layout::Layout;

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
    layout: Layout,
    parameters: Shared<f32>,
    gradients: Shared<f32>,
    /// What the optimiser remembers: up to two numbers for each parameter.
    memory: Vec<Shared<f32>>,
    work: Shared<f32>,
    /// Set when a loss or a gradient is not finite; never cleared.
    broken: AtomicBool,
}

/// One thread's own memory.
pub(crate) struct Scratch(Vec<f32>);

impl<'a> Engine<'a> {
    /// An engine for batches of up to `batch` rows and a team of `threads`, from these parameters and what the optimiser
    /// remembers.
    pub fn new(
        plan: &'a Plan,
        level: Level,
        optimizer: Optimizer,
        batch: usize,
        threads: usize,
        parameters: &[f32],
        memory: &[Vec<f32>],
    ) -> Self {
        let layout = Layout::new(plan, batch, threads);
        let of_parameters = |name, values: &[f32]| {
            let mut shared = Shared::new(name, plan.buffer_len, layout.parameter_pieces.clone());
            shared.as_mut_slice().copy_from_slice(values);
            shared
        };
        assert_eq!(memory.len(), optimizer.memories());
        Self {
            plan,
            level,
            optimizer,
            parameters: of_parameters("parameters", parameters),
            gradients: of_parameters("gradients", &vec![0.0; plan.buffer_len]),
            memory: memory.iter().map(|values| of_parameters("optimizer memory", values)).collect(),
            work: Shared::new("work space", layout.work_len, layout.work_pieces.clone()),
            layout,
            broken: AtomicBool::new(false),
        }
    }

    /// Memory for one thread.
    pub fn scratch(&self) -> Scratch {
        Scratch(vec![0.0; matrix::scratch_len(self.plan.widest().max(self.layout.batch))])
    }

    /// First phase: reads the rows `indices`, goes forward, and where `train` is set back again. Leaves outputs, deltas
    /// and one loss per row (summed over the row's numbers) in the work space.
    pub fn pass(&self, thread: usize, scratch: &mut Scratch, rows: Rows<'_>, indices: &[usize], train: bool) {
        let own = self.layout.rows[thread].start..self.layout.rows[thread].end.min(indices.len());
        if own.is_empty() {
            return;
        }
        let (plan, level, n) = (self.plan, self.level, own.len());
        let parameters = self.parameters.whole();
        let mut work = self.work.piece(thread);
        let width = plan.input.len();
        let input = &mut work.range(self.layout.input())[..n * width];
        // Row by row: what is read is scaled while it is in the nearest cache.
        for (index, row) in own.zip(input.chunks_exact_mut(width)) {
            rows.source.read_f32(&indices[index..=index], row);
            rows.scaling.apply(level, row, width);
        }

        let last = plan.steps.len() - 1;
        for (i, step) in plan.steps.iter().enumerate() {
            let [x, y] = work.ranges([self.layout.output_before(i), self.layout.output(i)]);
            let (x, y) = (&x[..n * step.input.len()], &mut y[..n * step.output.len()]);
            let logits = i == last && plan.loss_takes_logits();
            steps::forward(level, step, &parameters, x, y, n, logits, &mut scratch.0);
        }

        // The last output becomes its own delta.
        let step = &plan.steps[last];
        let [targets, outputs, losses] =
            work.ranges([self.layout.input(), self.layout.output(last), self.layout.losses()]);
        let (targets, outputs) = (&targets[..n * width], &mut outputs[..n * width]);
        let losses = &mut losses[..n];
        let weight = 1.0 / (indices.len() * loss_width(plan)) as f32;
        use narrows_kernels::loss::{bce_logits, cross_entropy_logits, squared_error};
        match plan.loss {
            Loss::Bce => bce_logits(level, losses, outputs, targets, weight),
            Loss::CrossEntropy => cross_entropy_logits(level, losses, outputs, targets, weight),
            Loss::Mse => squared_error(level, losses, outputs, targets, step.activation, weight),
        }
        if !train {
            return;
        }
        for i in (1..=last).rev() {
            let step = &plan.steps[i];
            let before = &plan.steps[i - 1];
            // Softmax needs its own output; what is the last step's is gone, and its loss has dealt with it.
            let softmax_alone =
                matches!(step.op, crate::plan::Op::Softmax) && !(i == last && plan.loss_takes_logits());
            if softmax_alone {
                let [delta, output] = work.ranges([self.layout.delta(i), self.layout.output(i)]);
                let len = n * step.output.len();
                let output = if i == last { None } else { Some(&output[..len]) };
                steps::backward_softmax(level, step, &mut delta[..len], output);
            }
            let [delta, x, delta_before] =
                work.ranges([self.layout.delta(i), self.layout.output(i - 1), self.layout.delta(i - 1)]);
            let len = n * step.input.len();
            let (x, delta_before) = (&x[..len], &mut delta_before[..len]);
            steps::backward(
                level,
                step,
                &parameters,
                &delta[..n * step.output.len()],
                delta_before,
                x,
                before.activation,
                n,
                &mut scratch.0,
            );
        }
    }

    /// The sum of the losses of the first `rows` rows of the last pass, added in order. For between two phases.
    pub fn loss_sum(&self, rows: usize) -> f64 {
        let work = self.work.whole();
        work[self.layout.losses_range(rows)].iter().map(|&loss| f64::from(loss)).sum()
    }

    /// Second phase: the gradients of this thread's part of the parameters, from the first `rows` rows of the last pass.
    pub fn gradients(&self, thread: usize, scratch: &mut Scratch, rows: usize) {
        let work = self.work.whole();
        let mut own = self.gradients.piece(thread);
        let mut finite = true;
        for (slot, part) in self.layout.parts[thread].iter().enumerate() {
            let gradient = own.range(slot);
            if gradient.is_empty() {
                continue;
            }
            let step = &self.plan.steps[part.step];
            let x = &work[self.layout.matrix(self.layout.output_before(part.step), rows)];
            let delta = &work[self.layout.matrix(self.layout.delta(part.step), rows)];
            steps::gradient(self.level, step, part, gradient, x, delta, rows, &mut scratch.0);
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
        let bad =
            |range: &std::ops::Range<usize>| gradients[range.clone()].iter().any(|value| !value.is_finite());
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

    /// Third phase: one step of this thread's part of the parameters. `step` counts from 1.
    pub fn update(&self, thread: usize, step: u64) {
        let mut gradients = self.gradients.piece(thread);
        let mut parameters = self.parameters.piece(thread);
        let mut first = self.memory[0].piece(thread);
        let mut second = self.memory.get(1).map(|memory| memory.piece(thread));
        let level = self.level;
        for (slot, part) in self.layout.parts[thread].iter().enumerate() {
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
