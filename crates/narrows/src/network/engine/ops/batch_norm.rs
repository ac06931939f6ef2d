//! Batch normalisation on the rows of a block. In training the statistics of the batch come from all threads together: see
//! `engine/batch_norm.rs`.

use narrows_kernels::{Activation, batch_norm};

use super::{Chain, ParameterView};
use crate::network::engine::layout::NormalizedStep;
use crate::network::engine::workspace::Block;
use crate::network::plan::{EPSILON, Op};

impl Chain<'_> {
    /// The statistics of a step that normalises batches, in training.
    pub fn normalized(&self, step: usize) -> Option<&NormalizedStep> {
        self.normalized.iter().find(|normalized| normalized.step == step)
    }

    /// By mean and variance of the batch where they are known, by the running ones otherwise.
    pub(super) fn batch_norm_forward(
        &self,
        i: usize,
        block: &mut Block<'_, '_>,
        weights: ParameterView<'_>,
        activation: Activation,
    ) {
        let ([from, to], n) = (self.input_and_output(i), block.rows);
        let columns = self.columns(i, weights);
        let [x, y] = block.tensors([from, to]);
        batch_norm::normalize(
            self.arithmetic.level,
            to.matrix_mut(y, n),
            from.matrix(x, n),
            columns,
            activation,
        );
    }

    /// Through the normalisation by the statistics of a batch of `rows` rows.
    pub(super) fn batch_norm_backward(
        &self,
        i: usize,
        block: &mut Block<'_, '_>,
        weights: ParameterView<'_>,
        rows: usize,
    ) {
        let ([from, to, input], n) = (self.deltas_and_input(i), block.rows);
        let columns = self.columns(i, weights);
        let (Some(statistics), Some(own)) = (weights.statistics, self.normalized(i)) else {
            unreachable!("gradients need the statistics of the batch")
        };
        let sums = (&statistics[own.shift_gradients.clone()], &statistics[own.scale_gradients.clone()]);
        let [delta, delta_before, x] = block.tensors([from, to, input]);
        let (delta, x) = (from.matrix(delta, n), input.matrix(x, n));
        let delta_before = to.matrix_mut(delta_before, n);
        let before = self.activation_before(i);
        batch_norm::backward(self.arithmetic.level, delta_before, delta, x, columns, sums, rows, before);
    }

    fn columns<'b>(&self, i: usize, weights: ParameterView<'b>) -> batch_norm::BatchNorm<'b> {
        let Op::BatchNorm { scale, shift, mean, variance } = &self.steps[i].op else {
            unreachable!("step {i} normalises a batch")
        };
        let parameters = weights.parameters;
        let (means, variances) = match (weights.statistics, self.normalized(i)) {
            (Some(statistics), Some(own)) => {
                (&statistics[own.means.clone()], &statistics[own.variances.clone()])
            }
            _ => (&parameters[mean.clone()], &parameters[variance.clone()]),
        };
        let (scales, shifts) = (&parameters[scale.clone()], &parameters[shift.clone()]);
        batch_norm::BatchNorm { means, variances, scales, shifts, epsilon: EPSILON }
    }
}
