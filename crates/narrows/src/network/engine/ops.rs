//! The arithmetic of each operation, forward and back, on the rows of a block.

use std::ops::Range;

use narrows_kernels::conv::{Convolution, Images, Pass, PooledConvolution};
use narrows_kernels::gemm::{self, Epilogue, View};
use narrows_kernels::image::{self, Image};
use narrows_kernels::pooling::{self, PoolGeometry};
use narrows_kernels::{
    Activation, Border, Level, activation, batch_norm, noise, penalty, pointwise, sampling, vector,
};

use super::layout::{Layout, Tensor};
use super::workspace::Space;
use crate::base::random::Purpose;
use crate::network::plan::{EPSILON, Op, Step};

/// A chain of steps with the places of its tensors, and what its kernels want to know beforehand.
pub(super) struct Chain<'a> {
    pub steps: &'a [Step],
    pub layout: Layout,
    training: bool,
    prepared: Vec<Prepared>,
    /// For each step that is a convolution and is done together with the pool that follows it: that pass.
    pooled: Vec<Option<PooledConvolution>>,
    /// Numbers of the packed weights of all convolutions.
    pub packed_len: usize,
    /// Numbers of the sums of all convolutions' gradients, and of the gradients themselves.
    pub sums_len: usize,
    pub partial_len: usize,
    /// Numbers of scratch that any step needs.
    pub scratch_len: usize,
}

/// What the kernels of a step want to know beforehand.
enum Prepared {
    Nothing,
    Convolution(Box<PreparedConvolution>),
    /// The squares between the values, and between the deltas.
    Squares(Box<(PoolGeometry, PoolGeometry)>),
}

struct PreparedConvolution {
    convolution: Convolution,
    /// Where the packed weights lie.
    forward: Range<usize>,
    backward: Range<usize>,
    /// Where the sums of the gradients of the weights lie; those of the bias follow.
    sums: Range<usize>,
    bias_sums: Range<usize>,
    /// Where the gradients of weights and bias lie among a group's.
    partial: Range<usize>,
    bias_partial: Range<usize>,
    /// Whether the weights are those of the layer it mirrors.
    tied: bool,
}

impl<'a> Chain<'a> {
    pub fn new(steps: &'a [Step], layout: Layout, training: bool) -> Self {
        let mut chain = Self {
            steps,
            training,
            prepared: Vec::new(),
            pooled: Vec::new(),
            packed_len: 0,
            sums_len: 0,
            partial_len: 0,
            scratch_len: 0,
            layout,
        };
        for (i, step) in steps.iter().enumerate() {
            let prepared = chain.prepare(i, step, training);
            chain.prepared.push(prepared);
            let pooled = chain.pool(i, step);
            chain.pooled.push(pooled);
        }
        chain
    }

    /// The pass that does a convolution and the pool after it in one.
    fn pool(&self, i: usize, step: &Step) -> Option<PooledConvolution> {
        let Op::Convolution { geometry, .. } = &step.op else { return None };
        let Op::MaxPool { size: 2 } = self.steps.get(i + 1)?.op else { return None };
        if !PooledConvolution::supports(step.activation) {
            return None;
        }
        let Layout { values, .. } = &self.layout;
        PooledConvolution::new(*geometry, values[i].image, values[i + 2].image)
    }

    fn prepare(&mut self, i: usize, step: &Step, training: bool) -> Prepared {
        let Layout { values, deltas, .. } = &self.layout;
        let (input, output) = (values[i].image, values[i + 1].image);
        // The gradients' images; without training any will do.
        let (input_gradient, output_gradient) =
            if training { (deltas[i].image, deltas[i + 1].image) } else { (input, output) };
        let depth = |len: usize| gemm::scratch_len(len);
        match &step.op {
            Op::Convolution { geometry, bias, tied, weights: place } => {
                let images = Images { input, output, output_gradient, input_gradient };
                let convolution = Convolution::new(*geometry, images, training);
                let take = |counter: &mut usize, len: usize| {
                    let start = *counter;
                    // The next begins at a cache line.
                    *counter = (start + len).next_multiple_of(16);
                    start..start + len
                };
                let bias = bias.as_ref().map_or(0, Range::len);
                let backward = if i > 0 && training { convolution.packed_len(Pass::Backward) } else { 0 };
                let weights_len = geometry.weights_len();
                let copy = if *tied { weights_len } else { 0 };
                self.scratch_len = self.scratch_len.max(convolution.scratch_len() + copy);
                let weights = if *tied {
                    self.partial_of(place)
                } else {
                    let start = self.partial_len;
                    self.partial_len += weights_len;
                    start..start + weights_len
                };
                let bias_partial = self.partial_len..self.partial_len + bias;
                self.partial_len = bias_partial.end;
                Prepared::Convolution(Box::new(PreparedConvolution {
                    forward: take(&mut self.packed_len, convolution.packed_len(Pass::Forward)),
                    backward: take(&mut self.packed_len, backward),
                    sums: take(&mut self.sums_len, convolution.sums_len()),
                    bias_sums: take(&mut self.sums_len, bias),
                    bias_partial,
                    partial: weights,
                    tied: *tied,
                    convolution,
                }))
            }
            Op::MaxPool { size } | Op::AveragePool { size } => {
                let squares = PoolGeometry::new((*size, *size), input, output);
                Prepared::Squares(Box::new((squares, squares.with_images(input_gradient, output_gradient))))
            }
            Op::Upsample { factor } => {
                let squares = PoolGeometry::upsampling((*factor, *factor), input, output);
                Prepared::Squares(Box::new((squares, squares.with_images(output_gradient, input_gradient))))
            }
            Op::Dense { .. } => {
                self.scratch_len = self.scratch_len.max(depth(step.input.len().max(step.output.len())));
                Prepared::Nothing
            }
            Op::Reshape
            | Op::Identity
            | Op::Softmax
            | Op::Function(_)
            | Op::BatchNorm { .. }
            | Op::Dropout { .. }
            | Op::Sample { .. } => Prepared::Nothing,
        }
    }

    /// Where the gradients of weights lie that a step before has. Where that is not part of the chain (a decoder alone),
    /// nothing is trained.
    fn partial_of(&self, weights: &Range<usize>) -> Range<usize> {
        let own = |(step, prepared): (&Step, &Prepared)| match prepared {
            Prepared::Convolution(prepared) if step.op.parameters()?.0 == weights => {
                Some(prepared.partial.clone())
            }
            _ => None,
        };
        self.steps.iter().zip(&self.prepared).find_map(own).unwrap_or(0..0)
    }

    fn prepared(&self, i: usize) -> &PreparedConvolution {
        match &self.prepared[i] {
            Prepared::Convolution(prepared) => prepared,
            _ => unreachable!("step {i} is a convolution"),
        }
    }

    fn squares(&self, i: usize) -> (&PoolGeometry, &PoolGeometry) {
        match &self.prepared[i] {
            Prepared::Squares(squares) => (&squares.0, &squares.1),
            _ => unreachable!("step {i} is a pool or an upsampling"),
        }
    }

    /// Packs the weights of all convolutions.
    pub fn pack(&self, level: Level, parameters: &[f32], packed: &mut [f32], scratch: &mut [f32]) {
        for (step, prepared) in self.steps.iter().zip(&self.prepared) {
            let (Some((weights, _)), Prepared::Convolution(prepared)) = (step.op.parameters(), prepared)
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
            convolution.pack(level, Pass::Forward, &mut packed[forward.clone()], weights, scratch);
            if !backward.is_empty() {
                convolution.pack(level, Pass::Backward, &mut packed[backward.clone()], weights, scratch);
            }
        }
    }

    /// Value i + 1 from value i: activation(op(x)); with `logits` the result before the last function.
    pub fn forward(
        &self,
        level: Level,
        i: usize,
        space: &mut Space<'_, '_>,
        weights: Weights<'_>,
        logits: bool,
        scratch: &mut [f32],
    ) {
        let step = &self.steps[i];
        let Weights { parameters, packed } = weights;
        let (from, to) = (self.layout.values[i], self.layout.values[i + 1]);
        let (inputs, outputs) = (step.input.len(), step.output.len());
        let function = if logits { Activation::Linear } else { step.activation };
        let n = space.rows;
        if let (Some(pooled), Op::Convolution { bias, .. }) = (&self.pooled[i], &step.op) {
            let bias = bias.as_ref().map(|bias| &parameters[bias.clone()]);
            let packed = &packed[self.prepared(i).forward.clone()];
            let (to, winners) = (self.layout.values[i + 2], self.layout.kept[i + 1]);
            let winners = winners.expect("a pool keeps its winners");
            let [x, y, winners_] = space.tensors([from, to, winners]);
            for row in 0..n {
                let (x, y) = (of(x, from, row), of_mut(y, to, row));
                let winners = self.training.then(|| of_mut(winners_, winners, row));
                pooled.forward(level, y, winners, x, packed, bias, function);
            }
            return;
        }
        if i > 0 && self.pooled[i - 1].is_some() {
            // Done together with the convolution before.
            return;
        }
        if let (Op::MaxPool { .. }, Some(winners)) = (&step.op, self.layout.kept[i]) {
            let [x, y, winners_] = space.tensors([from, to, winners]);
            for row in 0..n {
                let (x, y) = (of(x, from, row), of_mut(y, to, row));
                pooling::max(level, y, of_mut(winners_, winners, row), x, self.squares(i).0);
            }
            return;
        }
        if let (Op::Dropout { .. } | Op::Sample { .. }, Some(kept)) = (&step.op, self.layout.kept[i])
            && let Some(mut chance) = space.chance.take()
        {
            let [x, y, kept_] = space.tensors([from, to, kept]);
            for row in 0..n {
                let (x, y, kept) = (of(x, from, row), of_mut(y, to, row), of_mut(kept_, kept, row));
                if let Op::Dropout { share } = step.op {
                    noise::dropout_mask(level, kept, chance.words(Purpose::Dropout, i, row, outputs), share);
                    y.copy_from_slice(x);
                    vector::multiply(level, y, kept);
                } else {
                    chance.normal(level, kept, i, row);
                    sampling::sample(level, y, x, kept, outputs);
                }
            }
            space.chance = Some(chance);
            return;
        }
        if let Op::BatchNorm { mean, variance, .. } = &step.op {
            let moments = (&parameters[mean.clone()], &parameters[variance.clone()]);
            self.normalize(level, i, space, parameters, moments, logits);
            return;
        }
        let [x, y] = space.tensors([from, to]);
        match &step.op {
            Op::Dense { weights, bias, tied } => {
                let weights = &parameters[weights.clone()];
                let weights = if *tied {
                    View::new(weights, outputs, inputs).transposed()
                } else {
                    View::new(weights, inputs, outputs)
                };
                let bias = bias.as_ref().map(|bias| &parameters[bias.clone()]);
                let finish = Epilogue::Forward { bias, activation: function };
                let (x, y) = (matrix_of(x, from, n), matrix_of_mut(y, to, n));
                gemm::multiply(level, y, View::new(x, n, inputs), weights, finish, scratch);
            }
            Op::Identity => {
                each_row(x, from, y, to, n, |x, y| y.copy_from_slice(x));
                (0..n).for_each(|row| activation::forward(level, of_mut(y, to, row), function));
            }
            // The activation of a function that is a step of its own is linear.
            Op::Function(function) => {
                each_row(x, from, y, to, n, |x, y| y.copy_from_slice(x));
                (0..n).for_each(|row| pointwise::forward(level, of_mut(y, to, row), *function));
            }
            // Not in training: everything is kept, and the code is the mean.
            Op::Dropout { .. } | Op::Sample { .. } => {
                each_row(x, from, y, to, n, |x, y| y.copy_from_slice(&x[..outputs]));
            }
            Op::Softmax => {
                each_row(x, from, y, to, n, |x, y| y.copy_from_slice(x));
                if !logits {
                    (0..n).for_each(|row| activation::softmax(level, of_mut(y, to, row), outputs));
                }
            }
            Op::Reshape => {
                let plain = to.image.with_border(Border::NONE);
                each_row(x, from, y, to, n, |x, y| image::copy(y, to.image, x, plain));
            }
            Op::Convolution { bias, .. } => {
                let bias = bias.as_ref().map(|bias| &parameters[bias.clone()]);
                let PreparedConvolution { convolution, forward, .. } = self.prepared(i);
                let packed = &packed[forward.clone()];
                each_row(x, from, y, to, n, |x, y| convolution.forward(level, y, x, packed, bias, function));
            }
            Op::AveragePool { .. } => {
                each_row(x, from, y, to, n, |x, y| pooling::average(level, y, x, self.squares(i).0));
            }
            Op::Upsample { .. } => {
                each_row(x, from, y, to, n, |x, y| pooling::upsample(level, y, x, self.squares(i).0));
            }
            Op::MaxPool { .. } | Op::BatchNorm { .. } => unreachable!("done above"),
        }
    }

    /// Value i + 1 from value i, normalised by these means and variances; with `logits` before the last function.
    pub fn normalize(
        &self,
        level: Level,
        i: usize,
        space: &mut Space<'_, '_>,
        parameters: &[f32],
        moments: (&[f32], &[f32]),
        logits: bool,
    ) {
        let (from, to, n) = (self.layout.values[i], self.layout.values[i + 1], space.rows);
        let function = if logits { Activation::Linear } else { self.steps[i].activation };
        let columns = self.columns(i, parameters, moments);
        let [x, y] = space.tensors([from, to]);
        batch_norm::normalize(level, matrix_of_mut(y, to, n), matrix_of(x, from, n), columns, function);
    }

    /// Delta i from delta i + 1 through a normalisation by the moments of a batch of `rows` rows, and through the activation
    /// of the step before. `sums` are the gradients of shifts and scales over the whole batch.
    pub fn normalize_backward(
        &self,
        level: Level,
        i: usize,
        space: &mut Space<'_, '_>,
        parameters: &[f32],
        moments: (&[f32], &[f32]),
        sums: (&[f32], &[f32]),
        rows: usize,
    ) {
        let Layout { values, deltas, .. } = &self.layout;
        let (from, to, outputs, n) = (deltas[i + 1], deltas[i], values[i], space.rows);
        let columns = self.columns(i, parameters, moments);
        let [delta, delta_before, x] = space.tensors([from, to, outputs]);
        let (delta, x) = (matrix_of(delta, from, n), matrix_of(x, outputs, n));
        let delta_before = matrix_of_mut(delta_before, to, n);
        let before = self.steps[i - 1].activation;
        batch_norm::backward(level, delta_before, delta, x, columns, sums, rows, before);
    }

    fn columns<'b>(
        &self,
        i: usize,
        parameters: &'b [f32],
        (means, variances): (&'b [f32], &'b [f32]),
    ) -> batch_norm::BatchNorm<'b> {
        let Op::BatchNorm { scale, shift, .. } = &self.steps[i].op else {
            unreachable!("step {i} normalises a batch")
        };
        let (scales, shifts) = (&parameters[scale.clone()], &parameters[shift.clone()]);
        batch_norm::BatchNorm { means, variances, scales, shifts, epsilon: EPSILON }
    }

    /// Delta i from delta i + 1: through the operation, then through the activation of the step before, whose outputs are
    /// value i. `row_weight` is what a row's summed loss counts.
    pub fn backward(
        &self,
        level: Level,
        i: usize,
        space: &mut Space<'_, '_>,
        weights: Weights<'_>,
        row_weight: f32,
        scratch: &mut [f32],
    ) {
        let (step, before) = (&self.steps[i], self.steps[i - 1].activation);
        let Weights { parameters, packed } = weights;
        let Layout { values, deltas, .. } = &self.layout;
        let (from, to, outputs) = (deltas[i + 1], deltas[i], values[i]);
        let n = space.rows;
        if let (Op::MaxPool { .. }, Some(winners)) = (&step.op, self.layout.kept[i]) {
            // The largest numbers are outputs of the step before, too: its own are gone.
            let largest = values[i + 1];
            let [delta, delta_before, largest_, winners_] = space.tensors([from, to, largest, winners]);
            for row in 0..n {
                pooling::max_backward(
                    level,
                    of_mut(delta_before, to, row),
                    of(delta, from, row),
                    of(winners_, winners, row),
                    (of(largest_, largest, row), largest.image),
                    before,
                    self.squares(i).1,
                );
            }
            return;
        }
        if let (Op::Dropout { .. } | Op::Sample { .. }, Some(kept)) = (&step.op, self.layout.kept[i]) {
            let [delta, delta_before, x, kept_] = space.tensors([from, to, outputs, kept]);
            for row in 0..n {
                let (delta, kept) = (of(delta, from, row), of(kept_, kept, row));
                let (before_, x) = (of_mut(delta_before, to, row), of(x, outputs, row));
                if let Op::Sample { divergence } = step.op {
                    let weight = divergence * row_weight;
                    sampling::sample_backward(level, before_, delta, x, kept, step.output.len(), weight);
                } else {
                    before_.copy_from_slice(delta);
                    vector::multiply(level, before_, kept);
                }
                activation::backward(level, before_, x, before);
            }
            return;
        }
        let [delta, delta_before, x] = space.tensors([from, to, outputs]);
        let x = &*x;
        match &step.op {
            Op::Dense { weights, tied, .. } => {
                let (inputs, width) = (step.input.len(), step.output.len());
                let weights = &parameters[weights.clone()];
                let weights = if *tied {
                    View::new(weights, width, inputs)
                } else {
                    View::new(weights, inputs, width).transposed()
                };
                let finish = Epilogue::Backward { activation: before, outputs: matrix_of(x, outputs, n) };
                let (delta, delta_before) = (matrix_of(delta, from, n), matrix_of_mut(delta_before, to, n));
                gemm::multiply(level, delta_before, View::new(delta, n, width), weights, finish, scratch);
            }
            Op::Identity | Op::Softmax => {
                each_row(delta, from, delta_before, to, n, |delta, out| out.copy_from_slice(delta));
                for row in 0..n {
                    activation::backward(level, of_mut(delta_before, to, row), of(x, outputs, row), before);
                }
            }
            Op::Function(function) => {
                each_row(delta, from, delta_before, to, n, |delta, out| out.copy_from_slice(delta));
                for row in 0..n {
                    let (to, x) = (of_mut(delta_before, to, row), of(x, outputs, row));
                    pointwise::backward(level, to, x, *function);
                    activation::backward(level, to, x, before);
                }
            }
            Op::Reshape => {
                for row in 0..n {
                    let (to_, x) = (of_mut(delta_before, to, row), of(x, outputs, row));
                    image::copy_backward(level, to_, to.image, of(delta, from, row), x, before);
                }
            }
            Op::Convolution { .. } => {
                let PreparedConvolution { convolution, backward, .. } = self.prepared(i);
                let packed = &packed[backward.clone()];
                for row in 0..n {
                    let (to, x) = (of_mut(delta_before, to, row), of(x, outputs, row));
                    convolution.backward(level, to, of(delta, from, row), packed, before, x);
                }
            }
            Op::AveragePool { .. } | Op::Upsample { .. } => {
                let squares = self.squares(i).1;
                for row in 0..n {
                    let (to, small) = (of_mut(delta_before, to, row), of(delta, from, row));
                    let outputs = (of(x, outputs, row), outputs.image);
                    if matches!(step.op, Op::Upsample { .. }) {
                        pooling::upsample_backward(level, to, small, outputs, before, squares);
                    } else {
                        pooling::average_backward(level, to, small, outputs, before, squares);
                    }
                }
            }
            Op::BatchNorm { .. } => unreachable!("see `normalize_backward`"),
            Op::MaxPool { .. } | Op::Dropout { .. } | Op::Sample { .. } => unreachable!("done above"),
        }
    }

    /// Turns the gradient at softmax's output into the one at its input, in place. The last step's output has been
    /// overwritten by its gradient: [`crate::network::plan::Plan::new`] lets no network through that would need it.
    pub fn backward_softmax(&self, level: Level, i: usize, space: &mut Space<'_, '_>) {
        assert!(i + 1 < self.steps.len(), "softmax at the end goes with cross-entropy");
        let (from, outputs) = (self.layout.deltas[i + 1], self.layout.values[i + 1]);
        let n = space.rows;
        let [delta, y] = space.tensors([from, outputs]);
        let width = self.steps[i].output.len();
        for row in 0..n {
            activation::softmax_backward(level, of_mut(delta, from, row), of(y, outputs, row), width);
        }
    }

    /// Adds to delta i the gradient of `weight` times the sum of |value i|.
    pub fn add_absolute(&self, level: Level, i: usize, space: &mut Space<'_, '_>, weight: f32) {
        let (to, from) = (self.layout.deltas[i].image, self.layout.values[i].image);
        self.add_to_delta(i, space, |delta, value, activation| {
            image::add_l1(level, (delta, to), (value, from), activation, weight);
        });
    }

    /// Adds to delta i, for each unit of value i, its slope.
    pub fn add_slopes(&self, level: Level, i: usize, space: &mut Space<'_, '_>, slopes: &[f32]) {
        self.add_to_delta(i, space, |delta, value, activation| {
            penalty::add_unit_gradients(level, delta, value, activation, slopes);
        });
    }

    /// Calls `add` with each row of delta i and of value i, and the activation that value i comes out of.
    fn add_to_delta(
        &self,
        i: usize,
        space: &mut Space<'_, '_>,
        mut add: impl FnMut(&mut [f32], &[f32], Activation),
    ) {
        let (to, outputs) = (self.layout.deltas[i], self.layout.values[i]);
        let n = space.rows;
        let [delta, value] = space.tensors([to, outputs]);
        for row in 0..n {
            add(of_mut(delta, to, row), of(value, outputs, row), self.steps[i - 1].activation);
        }
    }

    /// Adds the rows' part of the gradient of a convolution to the sums.
    pub fn add_gradient(&self, level: Level, i: usize, space: &mut Space<'_, '_>, sums: &mut [f32]) {
        let Prepared::Convolution(prepared) = &self.prepared[i] else { return };
        let PreparedConvolution { convolution, sums: own, bias_sums, .. } = &**prepared;
        let (from, to) = (self.layout.values[i], self.layout.deltas[i + 1]);
        let n = space.rows;
        let [x, delta] = space.tensors([from, to]);
        for row in 0..n {
            let (x, delta) = (of(x, from, row), of(delta, to, row));
            convolution.accumulate_gradient(level, &mut sums[own.clone()], x, delta);
            if !bias_sums.is_empty() {
                image::add_pixels(level, &mut sums[bias_sums.clone()], delta, to.image);
            }
        }
    }

    /// Widens the extremes of the units of value i by the rows.
    pub fn widen(&self, level: Level, i: usize, space: &mut Space<'_, '_>, extremes: &mut Extremes) {
        let tensor = self.layout.values[i];
        let n = space.rows;
        let [numbers] = space.tensors([tensor]);
        let image = tensor.image;
        let line = image.width * image.channels;
        for row in 0..n {
            let numbers = of(numbers, tensor, row);
            for r in 0..image.height {
                let start = (r + image.border.top) * image.pitch() + image.border.left * image.channels;
                vector::column_min_max(
                    level,
                    &mut extremes.low,
                    &mut extremes.high,
                    &numbers[start..start + line],
                );
            }
        }
    }

    /// The gradients of a group from its sums, all convolutions one after the other: weights, bias. What a tied layer found
    /// is added to what the layer it mirrors has.
    pub fn fold(&self, level: Level, partial: &mut [f32], sums: &[f32], scratch: &mut [f32]) {
        for prepared in &self.prepared {
            let Prepared::Convolution(prepared) = prepared else { continue };
            let PreparedConvolution {
                convolution,
                sums: own,
                bias_sums,
                partial: to,
                bias_partial,
                tied,
                ..
            } = &**prepared;
            let (to, own) = (&mut partial[to.clone()], &sums[own.clone()]);
            if *tied {
                let geometry = convolution.geometry();
                let taps = geometry.kernel.0 * geometry.kernel.1;
                let found = &mut scratch[..geometry.weights_len()];
                convolution.reduce_gradient(level, found, own);
                add_transposed(to, found, taps, geometry.input.channels);
            } else {
                convolution.reduce_gradient(level, to, own);
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

/// The least and the largest number of each unit of the code, over all rows that were judged.
pub(super) struct Extremes {
    pub low: Vec<f32>,
    pub high: Vec<f32>,
}

impl Extremes {
    pub fn new(units: usize) -> Self {
        Self { low: vec![f32::INFINITY; units], high: vec![f32::NEG_INFINITY; units] }
    }
}

/// The parameters, and the convolutions' weights as their kernels read them.
#[derive(Clone, Copy)]
pub(super) struct Weights<'a> {
    pub parameters: &'a [f32],
    pub packed: &'a [f32],
}

/// One row of a tensor.
fn of(numbers: &[f32], tensor: Tensor, row: usize) -> &[f32] {
    &numbers[row * tensor.stride..][..tensor.image.len()]
}

fn of_mut(numbers: &mut [f32], tensor: Tensor, row: usize) -> &mut [f32] {
    &mut numbers[row * tensor.stride..][..tensor.image.len()]
}

/// The rows of a tensor as a matrix: one row, or rows without gaps.
fn matrix_of(numbers: &[f32], tensor: Tensor, rows: usize) -> &[f32] {
    assert!(rows == 1 || tensor.stride == tensor.image.len());
    &numbers[..rows * tensor.image.len()]
}

fn matrix_of_mut(numbers: &mut [f32], tensor: Tensor, rows: usize) -> &mut [f32] {
    assert!(rows == 1 || tensor.stride == tensor.image.len());
    &mut numbers[..rows * tensor.image.len()]
}

fn each_row(
    x: &[f32],
    from: Tensor,
    y: &mut [f32],
    to: Tensor,
    rows: usize,
    mut work: impl FnMut(&[f32], &mut [f32]),
) {
    (0..rows).for_each(|row| work(of(x, from, row), of_mut(y, to, row)));
}

/// Copies contiguous rows into a tensor, or out of it.
pub(super) fn put(tensor: Tensor, numbers: &mut [f32], rows: &[f32]) {
    let plain: Image = tensor.image.with_border(Border::NONE);
    for (row, from) in rows.chunks_exact(plain.len()).enumerate() {
        image::copy(of_mut(numbers, tensor, row), tensor.image, from, plain);
    }
}

pub(super) fn take(tensor: Tensor, rows: &mut [f32], numbers: &[f32]) {
    let plain: Image = tensor.image.with_border(Border::NONE);
    for (row, to) in rows.chunks_exact_mut(plain.len()).enumerate() {
        image::copy(to, plain, of(numbers, tensor, row), tensor.image);
    }
}
