//! Dense layers: products of the rows of a block and a matrix of weights.

use narrows_kernels::Activation;
use narrows_kernels::gemm::{self, Epilogue, View};

use super::{Chain, optional};
use crate::network::engine::workspace::Block;
use crate::network::plan::{Op, Step};

impl Chain<'_> {
    pub(super) fn prepare_dense(&mut self, step: &Step) {
        self.scratch_len = self.scratch_len.max(scratch_len(step));
    }

    /// y = activation(x W + b), for all rows of the block in one product.
    pub(super) fn dense_forward(
        &self,
        i: usize,
        block: &mut Block<'_, '_>,
        parameters: &[f32],
        activation: Activation,
        scratch: &mut [f32],
    ) {
        let [from, to] = self.input_and_output(i);
        let (n, inputs) = (block.rows, self.steps[i].input.len());
        let bias = self.steps[i].op.parameters().and_then(|(_, bias)| bias);
        let finish = Epilogue::Forward { bias: optional(parameters, bias), activation };
        let [x, y] = block.tensors([from, to]);
        let x = View::new(from.matrix(x, n), n, inputs);
        let y = to.matrix_mut(y, n);
        self.arithmetic.multiply(y, x, self.weights(i, parameters), finish, scratch);
    }

    /// The delta of x: delta W', times the derivative of the activation before.
    pub(super) fn dense_backward(
        &self,
        i: usize,
        block: &mut Block<'_, '_>,
        parameters: &[f32],
        scratch: &mut [f32],
    ) {
        let [from, to, input] = self.deltas_and_input(i);
        let (n, width) = (block.rows, self.steps[i].output.len());
        let [delta, delta_before, x] = block.tensors([from, to, input]);
        let finish =
            Epilogue::Backward { activation: self.activation_before(i), outputs: input.matrix(x, n) };
        let delta = View::new(from.matrix(delta, n), n, width);
        let delta_before = to.matrix_mut(delta_before, n);
        let weights = self.weights(i, parameters).transposed();
        self.arithmetic.multiply(delta_before, delta, weights, finish, scratch);
    }

    /// The weights of a dense layer, inputs x outputs. Those of a tied layer lie as outputs x inputs.
    fn weights<'p>(&self, i: usize, parameters: &'p [f32]) -> View<'p, f32> {
        let Step { op, input, output, .. } = &self.steps[i];
        let Op::Dense { weights, tied, .. } = op else { unreachable!("step {i} is a dense layer") };
        let (numbers, inputs, outputs) = (&parameters[weights.clone()], input.len(), output.len());
        if *tied {
            View::new(numbers, outputs, inputs).transposed()
        } else {
            View::new(numbers, inputs, outputs)
        }
    }
}

/// The scratch of the products of a dense layer, forward and backward.
pub(super) fn scratch_len(step: &Step) -> usize {
    gemm::scratch_len(step.input.len().max(step.output.len()))
}
