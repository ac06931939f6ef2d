//! Operations that draw random numbers in training: dropout and sampled codes. Their backward passes need what was drawn,
//! which the forward pass keeps.

use narrows_kernels::{activation, noise, sampling, vector};

use super::Chain;
use crate::base::random::Purpose;
use crate::network::engine::workspace::{Block, RngContext};

impl Chain<'_> {
    /// y = x times 0 or 1 / (1 - share) in training; y = x otherwise.
    pub(super) fn dropout_forward(
        &self,
        i: usize,
        block: &mut Block<'_, '_>,
        rng: Option<&mut RngContext<'_>>,
        share: f32,
    ) {
        let Some(rng) = rng else { return self.copy_forward(i, block) };
        let [from, to] = self.input_and_output(i);
        block.each_row([from, to, self.kept(i)], |row, [x, y, factors]| {
            let words = rng.words(Purpose::Dropout, i, row, y.len());
            noise::dropout_mask(self.arithmetic.level, factors, words, share);
            y.copy_from_slice(x);
            vector::multiply(self.arithmetic.level, y, factors);
        });
    }

    pub(super) fn dropout_backward(&self, i: usize, block: &mut Block<'_, '_>) {
        let before = self.activation_before(i);
        let [from, to, input] = self.deltas_and_input(i);
        block.each_row([from, to, input, self.kept(i)], |_, [delta, delta_before, x, factors]| {
            delta_before.copy_from_slice(delta);
            vector::multiply(self.arithmetic.level, delta_before, factors);
            activation::backward(self.arithmetic.level, delta_before, x, before);
        });
    }

    /// From means and logarithms of variances to a code: drawn in training, the means otherwise.
    pub(super) fn sample_forward(
        &self,
        i: usize,
        block: &mut Block<'_, '_>,
        rng: Option<&mut RngContext<'_>>,
    ) {
        let Some(rng) = rng else { return self.copy_forward(i, block) };
        let [from, to] = self.input_and_output(i);
        block.each_row([from, to, self.kept(i)], |row, [x, y, normal]| {
            rng.normal(self.arithmetic.level, normal, i, row);
            let width = y.len();
            sampling::sample(self.arithmetic.level, y, x, normal, width);
        });
    }

    /// Adds the gradient of `weight` times the KL divergence from the standard normal distribution.
    pub(super) fn sample_backward(&self, i: usize, block: &mut Block<'_, '_>, weight: f32) {
        let before = self.activation_before(i);
        let width = self.steps[i].output.len();
        let [from, to, input] = self.deltas_and_input(i);
        block.each_row([from, to, input, self.kept(i)], |_, [delta, delta_before, x, normal]| {
            sampling::sample_backward(self.arithmetic.level, delta_before, delta, x, normal, width, weight);
            activation::backward(self.arithmetic.level, delta_before, x, before);
        });
    }
}
