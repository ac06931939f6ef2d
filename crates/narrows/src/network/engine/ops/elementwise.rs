//! Operations on each number or each row by itself: functions, softmax, copies between layouts.

use narrows_kernels::{Activation, Border, Pointwise, activation, image, pointwise};

use super::Chain;
use crate::network::engine::workspace::Block;

impl Chain<'_> {
    /// y = x, as far as y has numbers.
    pub(super) fn copy_forward(&self, i: usize, block: &mut Block<'_, '_>) {
        let tensors = self.input_and_output(i);
        block.each_row(tensors, |_, [x, y]| y.copy_from_slice(&x[..y.len()]));
    }

    pub(super) fn identity_forward(&self, i: usize, block: &mut Block<'_, '_>, function: Activation) {
        let tensors = self.input_and_output(i);
        block.each_row(tensors, |_, [x, y]| {
            y.copy_from_slice(x);
            activation::forward(self.arithmetic.level, y, function);
        });
    }

    pub(super) fn identity_backward(&self, i: usize, block: &mut Block<'_, '_>) {
        let before = self.activation_before(i);
        block.each_row(self.deltas_and_input(i), |_, [delta, delta_before, x]| {
            delta_before.copy_from_slice(delta);
            activation::backward(self.arithmetic.level, delta_before, x, before);
        });
    }

    /// A function that is a step of its own has no further activation.
    pub(super) fn function_forward(&self, i: usize, block: &mut Block<'_, '_>, function: Pointwise) {
        let tensors = self.input_and_output(i);
        block.each_row(tensors, |_, [x, y]| {
            y.copy_from_slice(x);
            pointwise::forward(self.arithmetic.level, y, function);
        });
    }

    pub(super) fn function_backward(&self, i: usize, block: &mut Block<'_, '_>, function: Pointwise) {
        let before = self.activation_before(i);
        block.each_row(self.deltas_and_input(i), |_, [delta, delta_before, x]| {
            delta_before.copy_from_slice(delta);
            pointwise::backward(self.arithmetic.level, delta_before, x, function);
            activation::backward(self.arithmetic.level, delta_before, x, before);
        });
    }

    pub(super) fn softmax_forward(&self, i: usize, block: &mut Block<'_, '_>, logits: bool) {
        let tensors = self.input_and_output(i);
        block.each_row(tensors, |_, [x, y]| {
            y.copy_from_slice(x);
            if !logits {
                let width = y.len();
                activation::softmax(self.arithmetic.level, y, width);
            }
        });
    }

    /// Softmax needs its own outputs. At the end of a network they have been overwritten by their delta, but there the loss
    /// has taken the logits, so that delta is already the one before softmax: [`crate::network::plan::Plan::new`] lets no
    /// other network through.
    pub(super) fn softmax_backward(&self, i: usize, block: &mut Block<'_, '_>) {
        if i + 1 < self.steps.len() {
            let tensors = [self.layout.deltas[i + 1], self.layout.values[i + 1]];
            block.each_row(tensors, |_, [delta, y]| {
                let width = y.len();
                activation::softmax_backward(self.arithmetic.level, delta, y, width);
            });
        }
        self.identity_backward(i, block);
    }

    /// y = x between images, which may have a border, and vectors.
    pub(super) fn reshape_forward(&self, i: usize, block: &mut Block<'_, '_>) {
        let [from, to] = self.input_and_output(i);
        let plain = to.image.with_border(Border::NONE);
        block.each_row([from, to], |_, [x, y]| image::copy(y, to.image, x, plain));
    }

    pub(super) fn reshape_backward(&self, i: usize, block: &mut Block<'_, '_>) {
        let before = self.activation_before(i);
        let [from, to, input] = self.deltas_and_input(i);
        block.each_row([from, to, input], |_, [delta, delta_before, x]| {
            image::copy_backward(self.arithmetic.level, delta_before, to.image, delta, x, before);
        });
    }
}
