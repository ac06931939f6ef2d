//! Convolutions: packed weights, forward and backward passes, and the sums of their gradients.

use std::ops::Range;

use narrows_kernels::conv::{Convolution, Geometry, Images, Pass, PooledConvolution};
use narrows_kernels::{Activation, Image, image};

use super::{Chain, ChainNeeds, ParameterView, PreparedStep, optional};
use crate::network::engine::layout::Layout;
use crate::network::engine::workspace::Block;
use crate::network::plan::{Op, Step};

/// A convolution with its tables, and the ranges of its numbers.
pub(super) struct PreparedConvolution {
    convolution: Convolution,
    /// Its weights among the packed ones, for the forward and for the backward pass.
    forward: Range<usize>,
    backward: Range<usize>,
    /// Its gradient accumulators.
    sums: Range<usize>,
    bias_sums: Range<usize>,
    /// Its gradients among those of a group.
    partial: Range<usize>,
    bias_partial: Range<usize>,
    /// Whether it uses the weights of another layer, transposed.
    tied: bool,
}

/// Buffers of kernels begin at multiples of this many numbers: one cache line.
const ALIGNMENT: usize = 16;

/// Reserves the next `len` numbers of a buffer whose length so far is `used`.
fn reserve(used: &mut usize, len: usize) -> Range<usize> {
    let start = *used;
    *used = (start + len).next_multiple_of(ALIGNMENT);
    start..start + len
}

/// As [`reserve`], for lengths that may be too large to be counted.
fn reserve_needed(used: &mut usize, len: usize) {
    *used = used.saturating_add(len).checked_next_multiple_of(ALIGNMENT).unwrap_or(usize::MAX);
}

/// Adds what [`Chain::prepare_convolution`] and [`Chain::fuse_with_pool`] of the same step take, by arithmetic.
pub(super) fn add_needs(
    needs: &mut ChainNeeds,
    i: usize,
    steps: &[Step],
    layout: &Layout,
    is_training: bool,
) {
    let Op::Convolution { geometry, bias, tied, .. } = &steps[i].op else { return };
    let (geometry, bias, tied) = (*geometry, bias.as_ref(), *tied);
    let [input, output] = [layout.values[i].image, layout.values[i + 1].image];
    let [input_gradient, output_gradient] = layout.gradient_images(i, is_training);
    let images = Images { input, output, output_gradient, input_gradient };
    let own = Convolution::needs(geometry, images, is_training);
    let bias_len = bias.map_or(0, Range::len);
    let transposed_len = if tied { geometry.weights_len() } else { 0 };
    needs.scratch_len = needs.scratch_len.max(own.scratch.saturating_add(transposed_len));
    let partial_len = if tied { bias_len } else { geometry.weights_len().saturating_add(bias_len) };
    needs.partial_len = needs.partial_len.saturating_add(partial_len);
    reserve_needed(&mut needs.packed_len, own.packed[0]);
    reserve_needed(&mut needs.packed_len, if i > 0 && is_training { own.packed[1] } else { 0 });
    reserve_needed(&mut needs.sums_len, own.sums);
    reserve_needed(&mut needs.sums_len, bias_len);
    needs.table_bytes = needs.table_bytes.saturating_add(own.table_bytes);
    if let Some(small) = fused_output(i, steps, layout) {
        let bytes = PooledConvolution::needed_table_bytes(geometry, small);
        needs.table_bytes = needs.table_bytes.saturating_add(bytes);
    }
}

/// The image after the max pool that a convolution may be fused with.
fn fused_output(i: usize, steps: &[Step], layout: &Layout) -> Option<Image> {
    let Op::MaxPool { size: 2 } = steps.get(i + 1)?.op else { return None };
    PooledConvolution::supports(steps[i].activation).then(|| layout.values[i + 2].image)
}

impl PreparedConvolution {
    /// Bytes of the tables.
    #[cfg(test)]
    pub fn table_bytes(&self) -> usize {
        self.convolution.table_bytes()
    }
}

impl Chain<'_> {
    pub(super) fn prepare_convolution(
        &mut self,
        i: usize,
        geometry: Geometry,
        weights: &Range<usize>,
        bias: Option<&Range<usize>>,
        tied: bool,
    ) -> PreparedStep {
        let [input, output] = self.input_and_output(i).map(|tensor| tensor.image);
        let [input_gradient, output_gradient] = self.gradient_images(i);
        let images = Images { input, output, output_gradient, input_gradient };
        let convolution = Convolution::new(geometry, images, self.is_training);
        // The gradient of a tied layer is found apart, and added transposed.
        let transposed_len = if tied { geometry.weights_len() } else { 0 };
        self.scratch_len = self.scratch_len.max(convolution.scratch_len() + transposed_len);
        let partial = if tied {
            self.partial_of(weights)
        } else {
            let start = self.partial_len;
            self.partial_len += geometry.weights_len();
            start..self.partial_len
        };
        let bias_len = bias.map_or(0, Range::len);
        let bias_partial = self.partial_len..self.partial_len + bias_len;
        self.partial_len = bias_partial.end;
        let needs_backward = i > 0 && self.is_training;
        let backward_len = if needs_backward { convolution.packed_len(Pass::Backward) } else { 0 };
        PreparedStep::Convolution(Box::new(PreparedConvolution {
            forward: reserve(&mut self.packed_len, convolution.packed_len(Pass::Forward)),
            backward: reserve(&mut self.packed_len, backward_len),
            sums: reserve(&mut self.sums_len, convolution.sums_len()),
            bias_sums: reserve(&mut self.sums_len, bias_len),
            partial,
            bias_partial,
            tied,
            convolution,
        }))
    }

    /// The fused kernel of a convolution and the max pool after it, where there is one for them.
    pub(super) fn fuse_with_pool(&self, i: usize) -> Option<PooledConvolution> {
        let Op::Convolution { geometry, .. } = &self.steps[i].op else { return None };
        let small = fused_output(i, self.steps, &self.layout)?;
        PooledConvolution::new(*geometry, self.layout.values[i].image, small)
    }

    /// The images of delta i and delta i + 1; without training those of the values, which serve as well.
    pub(super) fn gradient_images(&self, i: usize) -> [Image; 2] {
        self.layout.gradient_images(i, self.is_training)
    }

    /// The gradients of the weights that a tied layer shares. Where their layer is not part of the chain (a decoder alone),
    /// nothing is trained.
    fn partial_of(&self, weights: &Range<usize>) -> Range<usize> {
        let own = |(step, prepared): (&Step, &PreparedStep)| match prepared {
            PreparedStep::Convolution(prepared) if step.op.parameters()?.0 == weights => {
                Some(prepared.partial.clone())
            }
            PreparedStep::Convolution(_) | PreparedStep::Pool(_) | PreparedStep::Nothing => None,
        };
        self.steps.iter().zip(&self.prepared).find_map(own).unwrap_or(0..0)
    }

    fn prepared(&self, i: usize) -> &PreparedConvolution {
        match &self.prepared[i] {
            PreparedStep::Convolution(prepared) => prepared,
            PreparedStep::Pool(_) | PreparedStep::Nothing => unreachable!("step {i} is a convolution"),
        }
    }

    /// Packs the weights of all convolutions.
    pub fn pack(&self, parameters: &[f32], packed: &mut [f32], scratch: &mut [f32]) {
        for (step, prepared) in self.steps.iter().zip(&self.prepared) {
            let (Some((weights, _)), PreparedStep::Convolution(prepared)) = (step.op.parameters(), prepared)
            else {
                continue;
            };
            let weights = &parameters[weights.clone()];
            let PreparedConvolution { convolution, forward, backward, tied, .. } = &**prepared;
            let (copy, scratch) = scratch.split_at_mut(if *tied { weights.len() } else { 0 });
            let weights = if *tied {
                let geometry = convolution.geometry();
                let taps = geometry.kernel.0 * geometry.kernel.1;
                copy.fill(0.0);
                add_transposed(copy, weights, taps, geometry.output.channels);
                copy
            } else {
                weights
            };
            let to = &mut packed[forward.clone()];
            convolution.pack(self.arithmetic.level, Pass::Forward, to, weights, scratch);
            if !backward.is_empty() {
                let to = &mut packed[backward.clone()];
                convolution.pack(self.arithmetic.level, Pass::Backward, to, weights, scratch);
            }
        }
    }

    pub(super) fn convolution_forward(
        &self,
        i: usize,
        block: &mut Block<'_, '_>,
        ParameterView { parameters, packed, .. }: ParameterView<'_>,
        activation: Activation,
    ) {
        let bias = self.steps[i].op.parameters().and_then(|(_, bias)| bias);
        let bias = optional(parameters, bias);
        let PreparedConvolution { convolution, forward, .. } = self.prepared(i);
        let packed = &packed[forward.clone()];
        let [from, to] = self.input_and_output(i);
        let Some(pooled) = &self.pooled[i] else {
            return block.each_row([from, to], |_, [x, y]| {
                convolution.forward(self.arithmetic.level, y, x, packed, bias, activation);
            });
        };
        let tensors = [from, self.layout.values[i + 2], self.kept(i + 1)];
        block.each_row(tensors, |_, [x, y, winners]| {
            let winners = self.is_training.then_some(winners);
            pooled.forward(self.arithmetic.level, y, winners, x, packed, bias, activation);
        });
    }

    pub(super) fn convolution_backward(&self, i: usize, block: &mut Block<'_, '_>, packed: &[f32]) {
        let before = self.activation_before(i);
        let PreparedConvolution { convolution, backward, .. } = self.prepared(i);
        let packed = &packed[backward.clone()];
        block.each_row(self.deltas_and_input(i), |_, [delta, delta_before, x]| {
            convolution.backward(self.arithmetic.level, delta_before, delta, packed, before, x);
        });
    }

    /// Adds the part of the block's rows in the gradient of a convolution to its accumulators. Other steps have none.
    pub fn accumulate_gradient(&self, i: usize, block: &mut Block<'_, '_>, sums: &mut [f32]) {
        let PreparedStep::Convolution(prepared) = &self.prepared[i] else { return };
        let PreparedConvolution { convolution, sums: own, bias_sums, .. } = &**prepared;
        let (from, to) = (self.layout.values[i], self.layout.deltas[i + 1]);
        block.each_row([from, to], |_, [x, delta]| {
            convolution.accumulate_gradient(self.arithmetic.level, &mut sums[own.clone()], x, delta);
            if !bias_sums.is_empty() {
                image::add_pixels(self.arithmetic.level, &mut sums[bias_sums.clone()], delta, to.image);
            }
        });
    }

    /// The gradients of a group from its accumulators, all convolutions one after the other: weights, bias. The gradient of
    /// a tied layer is added to that of the layer whose weights it shares.
    pub fn reduce_gradients(&self, partial: &mut [f32], sums: &[f32], scratch: &mut [f32]) {
        for prepared in &self.prepared {
            let PreparedStep::Convolution(prepared) = prepared else { continue };
            let PreparedConvolution { convolution, bias_sums, bias_partial, tied, .. } = &**prepared;
            let (to, own) = (&mut partial[prepared.partial.clone()], &sums[prepared.sums.clone()]);
            if *tied {
                let geometry = convolution.geometry();
                let taps = geometry.kernel.0 * geometry.kernel.1;
                let gradient = &mut scratch[..geometry.weights_len()];
                convolution.reduce_gradient(self.arithmetic.level, gradient, own);
                add_transposed(to, gradient, taps, geometry.input.channels);
            } else {
                convolution.reduce_gradient(self.arithmetic.level, to, own);
            }
            partial[bias_partial.clone()].copy_from_slice(&sums[bias_sums.clone()]);
        }
    }
}

/// Adds to `to` the transpose of each of the `taps` matrices of `from`, which have `rows` rows.
fn add_transposed(to: &mut [f32], from: &[f32], taps: usize, rows: usize) {
    let size = from.len() / taps;
    let columns = size / rows;
    for (to, from) in to.chunks_exact_mut(size).zip(from.chunks_exact(size)) {
        for (r, row) in from.chunks_exact(columns).enumerate() {
            row.iter().enumerate().for_each(|(c, value)| to[c * rows + r] += value);
        }
    }
}
