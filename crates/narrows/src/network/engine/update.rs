//! The second phase of a training step: gradients, what weights pay, limits, one step of the optimiser.

use std::ops::Range;
use std::sync::atomic::Ordering;

use narrows_kernels::shared::Piece;
use narrows_kernels::team::Worker;
use narrows_kernels::{batch_norm, gemm, optimizer, penalty, vector};

use super::layout::{Layout, Part, Role};
use super::{Engine, Scratch};
use crate::network::plan::{Parameter, Step};
use crate::recipe::Optimizer;

/// What a batch counts at least in running means; before that they are the mean over all batches so far.
const LEAST_SHARE: f32 = 0.01;

/// So many gradients stay near: storing them costs less than using them up tile by tile.
const FEW_GRADIENTS: usize = 1 << 16;

/// A thread's parts of the parameters, their gradients, and what the optimiser remembers of them.
struct Own<'a> {
    gradients: Piece<'a, f32>,
    parameters: Piece<'a, f32>,
    first: Piece<'a, f32>,
    second: Option<Piece<'a, f32>>,
}

impl Own<'_> {
    /// The gradients of a part of the parameters, the parameters, and what the optimiser remembers of them: the second is empty
    /// where that is one number.
    fn of(&mut self, slot: usize) -> (&[f32], &mut [f32], [&mut [f32]; 2]) {
        let second = self.second.as_mut().map(|second| second.range(slot)).unwrap_or_default();
        (self.gradients.range(slot), self.parameters.range(slot), [self.first.range(slot), second])
    }
}

/// One step of the optimiser, number `step` from 1, after a batch of `rows` rows.
struct Update {
    optimizer: Optimizer,
    rows: usize,
    step: u64,
}

impl Engine<'_> {
    /// Second phase: the gradients of the first `rows` rows of the last pass and one step of the optimiser, number `step`
    /// from 1, at a share of its rate. Has barriers of its own only where gradients are clipped or weights have a largest
    /// length: each thread changes the parameters whose gradients it has found itself.
    pub fn learn(
        &self,
        member: &Worker<'_>,
        scratch: &mut Scratch<'_>,
        rows: usize,
        step: u64,
        rate_share: f32,
    ) {
        let thread = member.index();
        let update = Update { optimizer: self.optimizer.with_scaled_rate(rate_share), rows, step };
        let Some(limit) = self.clip_norm else {
            // Part after part, while its gradients are near.
            self.each_part(thread, scratch, rows, Some(&update));
            return self.limit_weights(member, scratch);
        };
        self.each_part(thread, scratch, rows, None);
        member.wait();
        let squares: f64 = {
            let gradients = self.gradients.whole();
            let of = |parameter: &Parameter| {
                penalty::sum_of_squares(self.level, &gradients[parameter.range.clone()])
            };
            self.plan.parameters.iter().map(of).sum()
        };
        member.wait();
        let factor = f64::from(limit) / squares.sqrt();
        {
            let mut own = self.own(thread);
            for slot in 0..self.parts[thread].len() {
                if factor < 1.0 {
                    vector::scale(self.level, own.gradients.range(slot), factor as f32);
                }
                self.update(thread, &mut own, slot, &update);
            }
        }
        self.limit_weights(member, scratch);
    }

    /// Shortens weights that are longer than they may be. Has barriers where there is such a limit.
    fn limit_weights(&self, member: &Worker<'_>, scratch: &mut Scratch<'_>) {
        if let Some(limit) = self.plan.weights.max_norm {
            member.wait();
            self.measure(scratch, limit);
            member.wait();
            self.shorten(member.index(), scratch);
        }
    }

    /// What the weights into each unit must be multiplied by to be no longer than `limit`, layer after layer.
    fn measure(&self, scratch: &mut Scratch<'_>, limit: f32) {
        let parameters = self.parameters.whole();
        scratch.factors.clear();
        for Parameter { range, shape, kind, .. } in &self.plan.parameters {
            if kind.is_weights() {
                let (start, units) = (scratch.factors.len(), shape[shape.len() - 1]);
                scratch.factors.resize(start + units, 0.0);
                let lengths = &mut scratch.factors[start..];
                vector::column_sums_of_squares(self.level, lengths, &parameters[range.clone()]);
                for length in lengths {
                    let root = length.sqrt();
                    *length = if root > limit { limit / root } else { 1.0 };
                }
            }
        }
    }

    /// Multiplies this thread's part of the weights by what was measured.
    fn shorten(&self, thread: usize, scratch: &mut Scratch<'_>) {
        let mut own = self.parameters.piece(thread);
        let mut start = 0;
        for (slot, part) in self.parts[thread].iter().enumerate() {
            let Parameter { shape, kind, .. } = &self.plan.parameters[part.parameter];
            if !kind.is_weights() {
                continue;
            }
            let units = shape[shape.len() - 1];
            let factors = &scratch.factors[start..start + units];
            start += units;
            // A part of a convolution may begin and end anywhere in a row of units.
            let numbers = own.range(slot);
            let column = part.first % units;
            let (head, rest) = numbers.split_at_mut(((units - column) % units).min(numbers.len()));
            let (whole, tail) = rest.split_at_mut(rest.len() / units * units);
            head.iter_mut().zip(&factors[column..]).for_each(|(weight, factor)| *weight *= factor);
            vector::scale_columns(self.level, whole, factors);
            tail.iter_mut().zip(factors).for_each(|(weight, factor)| *weight *= factor);
        }
    }

    /// This thread's parts of the parameters and of what belongs to them.
    fn own(&self, thread: usize) -> Own<'_> {
        Own {
            gradients: self.gradients.piece(thread),
            parameters: self.parameters.piece(thread),
            first: self.memory[0].piece(thread),
            second: self.memory.get(1).map(|memory| memory.piece(thread)),
        }
    }

    /// The gradients of this thread's parts of the parameters, what the weights pay included.
    #[cfg(test)]
    pub fn gradients(&self, thread: usize, scratch: &mut Scratch<'_>, rows: usize) {
        self.each_part(thread, scratch, rows, None);
    }

    /// The gradients of this thread's parts of the parameters, what the weights pay included; each part is updated then, where
    /// that is wanted.
    fn each_part(&self, thread: usize, scratch: &mut Scratch<'_>, rows: usize, update: Option<&Update>) {
        let work = self.work.whole();
        let partial = self.partial.whole();
        let found = self.moments.whole();
        let mut all = self.own(thread);
        let mut finite = true;
        let Layout { values, deltas, .. } = &self.chain.layout;
        let used = self.groups.iter().filter(|group| group.start < rows).count();
        for (slot, part) in self.parts[thread].iter().enumerate() {
            let gradient = all.gradients.range(slot);
            if gradient.is_empty() {
                continue;
            }
            let matrix = |tensor| &work[self.matrix(tensor, rows)];
            // The gradient of some rows of the weights of a dense layer is the product of these two.
            let factors = |step: usize, own: &Range<usize>| {
                let Step { op, input, output, .. } = &self.plan.steps[step];
                let x = gemm::View::new(matrix(values[step]), rows, input.len());
                let delta = gemm::View::new(matrix(deltas[step + 1]), rows, output.len());
                // Where the weights are the transpose of these, so is their gradient.
                let (left, right) = if op.is_tied() { (delta, x) } else { (x, delta) };
                (left.columns(own.start, own.len()).transposed(), right)
            };
            let pays = self.plan.parameters[part.parameter].kind.is_weights()
                && (self.plan.weights.l2.is_some() || self.plan.weights.elimination.is_some());
            if let (Some(update), Role::Rows { own, steps }, false) = (update, &part.role, pays)
                && let &[step] = &steps[..]
                && gradient.len() > FEW_GRADIENTS
            {
                // Nothing is added to the product: no gradient need be stored.
                let (left, right) = factors(step, own);
                let (_, parameters, memory) = all.of(slot);
                let (rule, product) = (self.rule(part, update), &mut scratch.product);
                finite &= gemm::multiply_and_step(self.level, parameters, memory, left, right, rule, product);
                continue;
            }
            match &part.role {
                Role::Rows { own, steps } => {
                    for (place, &step) in steps.iter().enumerate() {
                        let (left, right) = factors(step, own);
                        let finish = match place {
                            0 => gemm::Epilogue::Store,
                            _ => gemm::Epilogue::Accumulate,
                        };
                        let product = &mut scratch.product;
                        gemm::multiply(self.level, gradient, left, right, finish, product);
                    }
                }
                Role::Bias { own, step } => {
                    let delta = matrix(deltas[step + 1]);
                    let width = self.plan.steps[*step].output.len();
                    vector::column_sums(self.level, gradient, delta, width, own.start);
                }
                Role::Partial(start) => {
                    let own = *start..*start + gradient.len();
                    let groups = partial.chunks_exact(self.chain.partial_len).take(used);
                    let groups = groups.map(|group| &group[own.clone()]);
                    vector::sum_slices(self.level, gradient, groups);
                }
                Role::Found(start) => gradient.copy_from_slice(&found[*start..][..gradient.len()]),
                // They stay 0.
                Role::Running { .. } => {}
            }
            if self.plan.parameters[part.parameter].kind.is_weights() {
                if let Some(strength) = self.plan.weights.l2 {
                    penalty::add_weight_decay(self.level, gradient, all.parameters.range(slot), strength);
                }
                if let Some(strength) = self.plan.weights.elimination {
                    penalty::add_weight_elimination(
                        self.level,
                        gradient,
                        all.parameters.range(slot),
                        strength,
                    );
                }
            }
            finite &= match update {
                Some(update) => self.update(thread, &mut all, slot, update),
                None => vector::all_finite(self.level, gradient),
            };
        }
        if !finite {
            self.broken.store(true, Ordering::Relaxed);
        }
    }

    /// One step of one of this thread's parts of the parameters; whether its gradients were finite.
    fn update(&self, thread: usize, own: &mut Own<'_>, slot: usize, update: &Update) -> bool {
        let Update { rows, step, .. } = *update;
        let (level, part) = (self.level, &self.parts[thread][slot]);
        if let Role::Running { found: start, variance } = part.role {
            // One row alone says nothing of a spread.
            if rows > 1 {
                let found = self.moments.whole();
                let weight = (1.0 / step as f32).max(LEAST_SHARE);
                let factor = if variance { rows as f32 / (rows - 1) as f32 } else { 1.0 };
                let p = own.parameters.range(slot);
                batch_norm::update_running(level, p, &found[start..][..p.len()], weight, factor);
            }
            // They have no gradients.
            return true;
        }
        let rule = self.rule(part, update);
        let (gradients, parameters, memory) = own.of(slot);
        optimizer::step(level, parameters, memory, gradients, rule)
    }

    /// The optimiser of a step for a part of the parameters: biases do not decay.
    fn rule(&self, part: &Part, update: &Update) -> Optimizer {
        let mut optimizer = update.optimizer;
        if let Optimizer::Adam(settings) = &mut optimizer {
            settings.step = update.step;
            if !self.plan.parameters[part.parameter].kind.is_weights() {
                settings.weight_decay = 0.0;
            }
        }
        optimizer
    }
}
