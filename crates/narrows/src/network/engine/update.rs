//! The second phase of a training step: gradients, penalties on weights, limits, one optimizer step.
//!
//! [`Engine::gradient`] stores the gradients and [`Engine::apply`] uses them up: two calls for who wants to do something with
//! gradients in between, such as clip them or add those of other machines. The default fuses the two, part after part, and
//! for large dense layers tile after tile, so that their gradients never reach memory. The bits are the same.

use std::ops::Range;

use narrows_kernels::shared::{Piece, Whole};
use narrows_kernels::team::Worker;
use narrows_kernels::{batch_norm, gemm, optimizer, penalty, vector};

use super::layout::{GradientSource, ParameterPart};
use super::{Engine, Workspace};
use crate::network::plan::{Parameter, Step};
use crate::recipe::Optimizer;

/// The smallest momentum of the running statistics of batch normalisation; before, it is 1 / step, the mean of all batches.
const MIN_MOMENTUM: f32 = 0.01;

/// A part with so many gradients or fewer stays in the cache: storing them costs less than fusing product and step.
const FEW_GRADIENTS: usize = 1 << 16;

/// A thread's parts of the parameters, of their gradients and of the optimizer state.
struct OwnParts<'a> {
    gradients: Piece<'a, f32>,
    parameters: Piece<'a, f32>,
    first: Piece<'a, f32>,
    second: Option<Piece<'a, f32>>,
}

impl OwnParts<'_> {
    /// Gradients, parameters and optimizer state of a part. The second state is empty where the optimizer has only one.
    fn part(&mut self, slot: usize) -> (&[f32], &mut [f32], [&mut [f32]; 2]) {
        let second = self.second.as_mut().map(|second| second.range(slot)).unwrap_or_default();
        (self.gradients.range(slot), self.parameters.range(slot), [self.first.range(slot), second])
    }
}

/// The results of a pass, from which gradients are computed.
struct PassResults<'a> {
    tensors: Whole<'a, f32>,
    partial: Whole<'a, f32>,
    statistics: Whole<'a, f32>,
    /// Rows of the batch.
    rows: usize,
    /// Groups that had rows.
    groups: usize,
}

/// An optimizer step after a batch.
#[derive(Clone, Copy)]
pub(crate) struct OptimizerStep {
    /// Its number, from 1.
    pub number: u64,
    /// The fraction of the learning rate to use.
    pub rate: f32,
    /// Rows of the batch.
    pub rows: usize,
}

impl Engine<'_> {
    /// Second phase: the gradients of the last pass and one optimizer step. Each thread changes the parameters whose
    /// gradients it has computed itself, so there are barriers only where gradients are clipped or weights have a largest
    /// norm.
    pub fn update(&self, member: &Worker<'_>, workspace: &mut Workspace<'_>, step: OptimizerStep) {
        let thread = member.index();
        match self.setup.clip_norm {
            None => self.gradient_and_apply(thread, workspace, step),
            Some(limit) => {
                self.gradient(thread, workspace, step.rows);
                member.wait();
                let norm = self.gradient_norm();
                member.wait();
                self.scale_gradients(thread, f64::from(limit) / norm);
                self.apply(thread, step);
            }
        }
        if let Some(limit) = self.setup.plan.weights.max_norm {
            member.wait();
            self.measure_weights(workspace, limit);
            member.wait();
            self.shorten_weights(thread, workspace);
        }
    }

    /// Stores the gradients of this thread's parts of the parameters, penalties included.
    pub fn gradient(&self, thread: usize, workspace: &mut Workspace<'_>, rows: usize) {
        let pass = self.pass_results(rows);
        let mut own = self.own(thread);
        let mut are_finite = true;
        for slot in 0..self.parts[thread].len() {
            self.part_gradient(thread, slot, &mut own, &pass, &mut workspace.scratch);
            are_finite &= vector::all_finite(self.setup.level(), own.gradients.range(slot));
        }
        if !are_finite {
            self.set_diverged();
        }
    }

    /// One optimizer step with the stored gradients, on this thread's parts of the parameters.
    pub fn apply(&self, thread: usize, step: OptimizerStep) {
        let statistics = self.statistics.whole();
        let mut own = self.own(thread);
        let mut are_finite = true;
        for slot in 0..self.parts[thread].len() {
            are_finite &= self.apply_part(thread, slot, &mut own, &statistics, step);
        }
        if !are_finite {
            self.set_diverged();
        }
    }

    /// [`Engine::gradient`] and [`Engine::apply`] in one, part after part while its gradients are in the cache.
    fn gradient_and_apply(&self, thread: usize, workspace: &mut Workspace<'_>, step: OptimizerStep) {
        let pass = self.pass_results(step.rows);
        let mut own = self.own(thread);
        let mut are_finite = true;
        for slot in 0..self.parts[thread].len() {
            let scratch = &mut workspace.scratch;
            are_finite &= match self.fused_step(thread, slot, &mut own, &pass, step, scratch) {
                Some(are_finite) => are_finite,
                None => {
                    self.part_gradient(thread, slot, &mut own, &pass, scratch);
                    self.apply_part(thread, slot, &mut own, &pass.statistics, step)
                }
            };
        }
        if !are_finite {
            self.set_diverged();
        }
    }

    /// For a large part of a dense layer without penalties: computes the gradient tile after tile, and uses up each tile
    /// while it is in registers. Whether the gradients were finite; None where the part is of another kind.
    fn fused_step(
        &self,
        thread: usize,
        slot: usize,
        own: &mut OwnParts<'_>,
        pass: &PassResults<'_>,
        step: OptimizerStep,
        scratch: &mut [f32],
    ) -> Option<bool> {
        let part = &self.parts[thread][slot];
        let GradientSource::Product { rows, steps } = &part.gradient else { return None };
        let [dense] = steps[..] else { return None };
        let weights = &self.setup.plan.weights;
        let has_penalty = self.is_weights(part) && (weights.l2.is_some() || weights.elimination.is_some());
        let (gradient, parameters, state) = own.part(slot);
        if has_penalty || gradient.len() <= FEW_GRADIENTS {
            return None;
        }
        let (left, right) = self.gradient_factors(pass, dense, rows);
        let optimizer = self.optimizer(part, step);
        let arithmetic = self.setup.arithmetic;
        Some(arithmetic.multiply_and_step(parameters, state, left, right, optimizer, scratch))
    }

    /// Stores the gradient of one part, penalties included.
    fn part_gradient(
        &self,
        thread: usize,
        slot: usize,
        own: &mut OwnParts<'_>,
        pass: &PassResults<'_>,
        scratch: &mut [f32],
    ) {
        let (level, part) = (self.setup.level(), &self.parts[thread][slot]);
        let gradient = own.gradients.range(slot);
        if gradient.is_empty() {
            return;
        }
        match &part.gradient {
            GradientSource::Product { rows, steps } => {
                let mut finish = gemm::Epilogue::Store;
                for &step in steps {
                    let (left, right) = self.gradient_factors(pass, step, rows);
                    self.setup.arithmetic.multiply(gradient, left, right, finish, scratch);
                    finish = gemm::Epilogue::Accumulate;
                }
            }
            GradientSource::ColumnSums { columns, step } => {
                let delta = &pass.tensors[self.shared_rows(self.chain.layout.deltas[step + 1], pass.rows)];
                let width = self.setup.plan.steps[*step].output.len();
                vector::column_sums(level, gradient, delta, width, columns.start);
            }
            GradientSource::PartialSums(start) => {
                let range = *start..*start + gradient.len();
                let groups = pass.partial.chunks_exact(self.chain.partial_len).take(pass.groups);
                vector::sum_slices(level, gradient, groups.map(|group| &group[range.clone()]));
            }
            GradientSource::Statistics(start) => {
                gradient.copy_from_slice(&pass.statistics[*start..][..gradient.len()]);
            }
            // Their gradients stay 0.
            GradientSource::Running { .. } => {}
        }
        if self.is_weights(part) {
            let weights = &self.setup.plan.weights;
            if let Some(strength) = weights.l2 {
                penalty::add_weight_decay(level, gradient, own.parameters.range(slot), strength);
            }
            if let Some(strength) = weights.elimination {
                penalty::add_weight_elimination(level, gradient, own.parameters.range(slot), strength);
            }
        }
    }

    /// One step of one part with its stored gradients; whether these were finite.
    fn apply_part(
        &self,
        thread: usize,
        slot: usize,
        own: &mut OwnParts<'_>,
        statistics: &[f32],
        step: OptimizerStep,
    ) -> bool {
        let (level, part) = (self.setup.level(), &self.parts[thread][slot]);
        if let GradientSource::Running { batch, is_variance } = part.gradient {
            // A single row has no variance.
            if step.rows > 1 {
                let rows = step.rows as f32;
                let momentum = (1.0 / step.number as f32).max(MIN_MOMENTUM);
                let factor = if is_variance { rows / (rows - 1.0) } else { 1.0 };
                let running = own.parameters.range(slot);
                batch_norm::update_running(
                    level,
                    running,
                    &statistics[batch..][..running.len()],
                    momentum,
                    factor,
                );
            }
            return true;
        }
        let (gradients, parameters, state) = own.part(slot);
        gradients.is_empty()
            || optimizer::step(level, parameters, state, gradients, self.optimizer(part, step))
    }

    /// The optimizer of a step for a part of the parameters: biases do not decay.
    fn optimizer(&self, part: &ParameterPart, step: OptimizerStep) -> Optimizer {
        let mut optimizer = self.setup.optimizer.with_scaled_rate(step.rate);
        if let Optimizer::Adam(settings) = &mut optimizer {
            settings.step = step.number;
            if !self.is_weights(part) {
                settings.weight_decay = 0.0;
            }
        }
        optimizer
    }

    /// The two matrices whose product is the gradient of some rows of the weights of a dense layer. Where the weights are
    /// the transpose of another layer's, so is their gradient.
    fn gradient_factors<'p>(
        &self,
        pass: &'p PassResults<'_>,
        step: usize,
        rows: &Range<usize>,
    ) -> (gemm::View<'p, f32>, gemm::View<'p, f32>) {
        let Step { op, input, output, .. } = &self.setup.plan.steps[step];
        let view = |tensor, width| {
            gemm::View::new(&pass.tensors[self.shared_rows(tensor, pass.rows)], pass.rows, width)
        };
        let x = view(self.chain.layout.values[step], input.len());
        let delta = view(self.chain.layout.deltas[step + 1], output.len());
        let (left, right) = if op.is_tied() { (delta, x) } else { (x, delta) };
        (left.columns(rows.start, rows.len()).transposed(), right)
    }

    fn is_weights(&self, part: &ParameterPart) -> bool {
        self.setup.plan.parameters[part.parameter].kind.is_weights()
    }

    fn pass_results(&self, rows: usize) -> PassResults<'_> {
        PassResults {
            tensors: self.tensors.whole(),
            partial: self.partial.whole(),
            statistics: self.statistics.whole(),
            rows,
            groups: self.groups.iter().filter(|group| group.start < rows).count(),
        }
    }

    fn own(&self, thread: usize) -> OwnParts<'_> {
        OwnParts {
            gradients: self.gradients.piece(thread),
            parameters: self.parameters.piece(thread),
            first: self.optimizer_state[0].piece(thread),
            second: self.optimizer_state.get(1).map(|state| state.piece(thread)),
        }
    }

    /// The norm of the gradient of all parameters together, summed in the order of the parameters by every thread.
    fn gradient_norm(&self) -> f64 {
        let gradients = self.gradients.whole();
        let squares = |parameter: &Parameter| {
            penalty::sum_of_squares(self.setup.level(), &gradients[parameter.range.clone()])
        };
        self.setup.plan.parameters.iter().map(squares).sum::<f64>().sqrt()
    }

    /// Scales this thread's gradients down by a factor; a factor of 1 or more (or none, of a zero gradient) changes nothing.
    fn scale_gradients(&self, thread: usize, factor: f64) {
        if factor < 1.0 {
            let mut gradients = self.gradients.piece(thread);
            for slot in 0..self.parts[thread].len() {
                vector::scale(self.setup.level(), gradients.range(slot), factor as f32);
            }
        }
    }

    /// The factors that bring the weights into each unit down to the norm `limit`, layer after layer.
    fn measure_weights(&self, workspace: &mut Workspace<'_>, limit: f32) {
        let parameters = self.parameters.whole();
        workspace.norm_factors.clear();
        for Parameter { range, shape, kind, .. } in &self.setup.plan.parameters {
            if kind.is_weights() {
                let (start, units) = (workspace.norm_factors.len(), shape[shape.len() - 1]);
                workspace.norm_factors.resize(start + units, 0.0);
                let norms = &mut workspace.norm_factors[start..];
                vector::column_sums_of_squares(self.setup.level(), norms, &parameters[range.clone()]);
                for squares in norms {
                    let norm = squares.sqrt();
                    *squares = if norm > limit { limit / norm } else { 1.0 };
                }
            }
        }
    }

    /// Multiplies this thread's parts of the weights by the factors of their units.
    fn shorten_weights(&self, thread: usize, workspace: &mut Workspace<'_>) {
        let mut own = self.parameters.piece(thread);
        let mut start = 0;
        for (slot, part) in self.parts[thread].iter().enumerate() {
            let Parameter { shape, kind, .. } = &self.setup.plan.parameters[part.parameter];
            if !kind.is_weights() {
                continue;
            }
            let units = shape[shape.len() - 1];
            let factors = &workspace.norm_factors[start..start + units];
            start += units;
            // A part of a convolution may begin and end anywhere in a row of units.
            let numbers = own.range(slot);
            let column = part.first % units;
            let (head, rest) = numbers.split_at_mut(((units - column) % units).min(numbers.len()));
            let (whole, tail) = rest.split_at_mut(rest.len() / units * units);
            head.iter_mut().zip(&factors[column..]).for_each(|(weight, factor)| *weight *= factor);
            vector::scale_columns(self.setup.level(), whole, factors);
            tail.iter_mut().zip(factors).for_each(|(weight, factor)| *weight *= factor);
        }
    }
}
