//! Pools and nearest-neighbour upsampling.

use narrows_kernels::pooling::{self, PoolGeometry};

use super::{Chain, PreparedStep};
use crate::network::engine::workspace::Block;

impl Chain<'_> {
    pub(super) fn prepare_pool(&self, i: usize, size: usize) -> PreparedStep {
        let [input, output] = self.input_and_output(i).map(|tensor| tensor.image);
        let squares = PoolGeometry::new((size, size), input, output);
        let [input_gradient, output_gradient] = self.gradient_images(i);
        PreparedStep::Pool(Box::new((squares, squares.with_images(input_gradient, output_gradient))))
    }

    pub(super) fn prepare_upsampling(&self, i: usize, factor: usize) -> PreparedStep {
        let [input, output] = self.input_and_output(i).map(|tensor| tensor.image);
        let squares = PoolGeometry::upsampling((factor, factor), input, output);
        let [input_gradient, output_gradient] = self.gradient_images(i);
        PreparedStep::Pool(Box::new((squares, squares.with_images(output_gradient, input_gradient))))
    }

    /// The squares between the values of a pool or an upsampling, and between its deltas.
    fn squares(&self, i: usize) -> (&PoolGeometry, &PoolGeometry) {
        match &self.prepared[i] {
            PreparedStep::Pool(squares) => (&squares.0, &squares.1),
            PreparedStep::Nothing | PreparedStep::Convolution(_) => {
                unreachable!("step {i} is a pool or an upsampling")
            }
        }
    }

    /// Does nothing where the convolution before has done it: see [`Chain::fuse_with_pool`].
    pub(super) fn max_pool_forward(&self, i: usize, block: &mut Block<'_, '_>) {
        if i > 0 && self.pooled[i - 1].is_some() {
            return;
        }
        let [from, to] = self.input_and_output(i);
        block.each_row([from, to, self.kept(i)], |_, [x, y, winners]| {
            pooling::max(self.arithmetic.level, y, winners, x, self.squares(i).0);
        });
    }

    /// The maxima are outputs of the step before, too, whose own outputs have been overwritten.
    pub(super) fn max_pool_backward(&self, i: usize, block: &mut Block<'_, '_>) {
        let (before, maxima) = (self.activation_before(i), self.layout.values[i + 1]);
        let [from, to, _] = self.deltas_and_input(i);
        block.each_row([from, to, maxima, self.kept(i)], |_, [delta, delta_before, y, winners]| {
            let outputs = (&*y, maxima.image);
            pooling::max_backward(
                self.arithmetic.level,
                delta_before,
                delta,
                winners,
                outputs,
                before,
                self.squares(i).1,
            );
        });
    }

    pub(super) fn average_pool_forward(&self, i: usize, block: &mut Block<'_, '_>) {
        let tensors = self.input_and_output(i);
        block.each_row(tensors, |_, [x, y]| pooling::average(self.arithmetic.level, y, x, self.squares(i).0));
    }

    pub(super) fn average_pool_backward(&self, i: usize, block: &mut Block<'_, '_>) {
        let before = self.activation_before(i);
        let [from, to, input] = self.deltas_and_input(i);
        block.each_row([from, to, input], |_, [delta, delta_before, x]| {
            let outputs = (&*x, input.image);
            pooling::average_backward(
                self.arithmetic.level,
                delta_before,
                delta,
                outputs,
                before,
                self.squares(i).1,
            );
        });
    }

    pub(super) fn upsample_forward(&self, i: usize, block: &mut Block<'_, '_>) {
        let tensors = self.input_and_output(i);
        block
            .each_row(tensors, |_, [x, y]| pooling::upsample(self.arithmetic.level, y, x, self.squares(i).0));
    }

    pub(super) fn upsample_backward(&self, i: usize, block: &mut Block<'_, '_>) {
        let before = self.activation_before(i);
        let [from, to, input] = self.deltas_and_input(i);
        block.each_row([from, to, input], |_, [delta, delta_before, x]| {
            let outputs = (&*x, input.image);
            pooling::upsample_backward(
                self.arithmetic.level,
                delta_before,
                delta,
                outputs,
                before,
                self.squares(i).1,
            );
        });
    }
}
