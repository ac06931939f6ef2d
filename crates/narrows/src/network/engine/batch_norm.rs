//! The first phase where batches are normalised: all threads go together, because rows wait for one another.
//!
//! A thread takes its rows to the next normalisation and waits for the others. Then each finds mean and variance of its share
//! of the *columns* over all rows of the batch, waits again, and takes its rows on; on the way back likewise with the sums that
//! the gradient needs. So a thread has its rows from the start, not from a counter, and one without rows (the last batch of
//! an epoch is shorter) finds moments and waits all the same. Who owns a column owns its scale, its shift and its running
//! moments: see `learn`.

use std::ops::Range;

use narrows_kernels::batch_norm;
use narrows_kernels::shared::Piece;
use narrows_kernels::team::Worker;

use super::layout::MomentsOf;
use super::ops::Weights;
use super::workspace::{Chance, Space};
use super::{Engine, Extent, Rows, Scratch};
use crate::network::noise::Occasion;
use crate::network::plan::EPSILON;

impl Engine<'_> {
    pub(super) fn walk_together(
        &self,
        member: &Worker<'_>,
        scratch: &mut Scratch<'_>,
        rows: Rows<'_>,
        indices: &[usize],
        epoch: usize,
        extent: Extent,
    ) {
        let n = indices.len();
        let own = self.groups.get(member.index()).map(|group| group.start..group.end.min(n));
        let own = own.filter(|group| !group.is_empty());
        let steps = self.plan.steps.len();
        let end = if extent == Extent::Code { self.plan.cut } else { steps };
        let count = self.normalized.iter().filter(|of| of.step < end).count();
        // The chain is cut before each normalisation on the way there, and behind it on the way back.
        let cut = |place: usize| if place == count { end } else { self.normalized[place].step };
        for place in 0..=count {
            let part = if place == 0 { 0 } else { cut(place - 1) }..cut(place);
            if place > 0 {
                self.find_moments(member, place - 1, n);
            }
            let Some(group) = &own else { continue };
            let mut batch = self.work.piece(member.index());
            self.forward_part(scratch, &mut batch, rows, indices, group, epoch, part);
        }
        if extent != Extent::Gradients {
            return;
        }
        for place in (0..=count).rev() {
            let first = if place == 0 { 0 } else { cut(place - 1) + 1 };
            let behind = if place == count { steps } else { cut(place) + 1 };
            if let Some(group) = &own {
                let mut batch = self.work.piece(member.index());
                self.backward_part(scratch, &mut batch, n, group, first..behind);
            }
            if place > 0 {
                self.find_sums(member, place - 1, n);
            }
        }
    }

    /// Takes a thread's rows through some steps; reads them before the first, and judges them behind the last.
    fn forward_part(
        &self,
        scratch: &mut Scratch<'_>,
        batch: &mut Piece<'_, f32>,
        rows: Rows<'_>,
        indices: &[usize],
        group: &Range<usize>,
        epoch: usize,
        part: Range<usize>,
    ) {
        let (parameters, moments) = (self.parameters.whole(), self.moments.whole());
        let Scratch { product, slot, packed, corruption, corrupted, words, .. } = scratch;
        let own = &indices[group.clone()];
        let chance = Some(Chance { seed: self.seed, epoch, indices: own, words });
        let mut space = Space { batch: Some(batch), first: 0, slot: slot.get(), rows: own.len(), chance };
        if part.start == 0 {
            let occasion = Occasion::Training { epoch };
            if let Err(error) = self.read(&mut space, rows, own, occasion, corruption, corrupted) {
                self.fail(error);
            }
        }
        let weights = Weights { parameters: &parameters, packed: packed.get() };
        let last = self.plan.steps.len() - 1;
        for i in part.clone() {
            let logits = i == last && self.plan.loss_takes_logits();
            match self.normalized.iter().find(|of| of.step == i) {
                Some(of) => {
                    let found = (&moments[of.means.clone()], &moments[of.variances.clone()]);
                    self.chain.normalize(self.level, i, &mut space, &parameters, found, logits);
                }
                None => self.chain.forward(self.level, i, &mut space, weights, logits, product),
            }
        }
        if part.end == last + 1 {
            self.judge(&mut space, indices.len(), Extent::Gradients);
        }
    }

    /// Takes the deltas of a thread's rows back through some steps.
    fn backward_part(
        &self,
        scratch: &mut Scratch<'_>,
        batch: &mut Piece<'_, f32>,
        rows: usize,
        group: &Range<usize>,
        part: Range<usize>,
    ) {
        let parameters = self.parameters.whole();
        let Scratch { product, slot, packed, sums, slopes, .. } = scratch;
        let (slot, chance) = (slot.get(), None);
        let mut space = Space { batch: Some(batch), first: 0, slot, rows: group.len(), chance };
        let weights = Weights { parameters: &parameters, packed: packed.get() };
        self.back(&mut space, part, weights, rows, sums.get(), slopes, product);
    }

    /// The delta before a normalisation.
    pub(super) fn back_normalized(
        &self,
        of: &MomentsOf,
        space: &mut Space<'_, '_>,
        parameters: &[f32],
        rows: usize,
    ) {
        let moments = self.moments.whole();
        let found = (&moments[of.means.clone()], &moments[of.variances.clone()]);
        let sums = (&moments[of.shifts.clone()], &moments[of.scales.clone()]);
        self.chain.normalize_backward(self.level, of.step, space, parameters, found, sums, rows);
    }

    /// The moments of this thread's columns over all rows of the batch, when all rows are there; ends when all moments are.
    fn find_moments(&self, member: &Worker<'_>, place: usize, rows: usize) {
        let MomentsOf { step, columns, .. } = &self.normalized[place];
        let (step, first) = (*step, columns[member.index()].start);
        member.wait();
        {
            let work = self.work.whole();
            let mut own = self.moments.piece(member.index());
            let [means, variances] = own.ranges([4 * place, 4 * place + 1]);
            let width = self.plan.steps[step].output.len();
            let values = &work[self.matrix(self.chain.layout.values[step], rows)];
            batch_norm::moments(self.level, means, variances, values, width, first);
        }
        member.wait();
    }

    /// The gradients of this thread's scales and shifts over all rows of the batch, as [`Engine::find_moments`].
    fn find_sums(&self, member: &Worker<'_>, place: usize, rows: usize) {
        let MomentsOf { step, columns, .. } = &self.normalized[place];
        let (step, first) = (*step, columns[member.index()].start);
        member.wait();
        {
            let work = self.work.whole();
            let mut own = self.moments.piece(member.index());
            let [means, variances, shifts, scales] = own.ranges([0, 1, 2, 3].map(|which| 4 * place + which));
            let width = self.plan.steps[step].output.len();
            let deltas = &work[self.matrix(self.chain.layout.deltas[step + 1], rows)];
            let values = &work[self.matrix(self.chain.layout.values[step], rows)];
            let moments = (&*means, &*variances);
            batch_norm::parameter_gradients(
                self.level,
                (shifts, scales),
                deltas,
                values,
                moments,
                EPSILON,
                width,
                first,
            );
        }
        member.wait();
    }
}
