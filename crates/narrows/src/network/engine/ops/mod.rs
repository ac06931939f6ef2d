//! The arithmetic of each operation on the rows of a block, forward and backward.
//!
//! A [`Chain`] is the list of steps with their kernels prepared. Its methods dispatch on the operation; each family of
//! operations has a file, where `X_forward` and `X_backward` stand side by side. Only the engine uses this folder.

mod batch_norm;
mod convolution;
mod dense;
mod elementwise;
mod pooling;
mod random;
mod sparsity;

use std::ops::Range;

use narrows_kernels::conv::PooledConvolution;
use narrows_kernels::gemm::Arithmetic;
use narrows_kernels::image::{self, Image};
use narrows_kernels::pooling::PoolGeometry;
use narrows_kernels::{Activation, Border, Level};

use super::layout::{Layout, NormalizedStep, TensorLayout};
use super::workspace::{Block, RngContext};
use crate::network::plan::{Op, Step};
use convolution::PreparedConvolution;
pub(super) use sparsity::UnitRanges;

/// A chain of steps with the layout of its tensors and its kernels prepared.
pub(super) struct Chain<'a> {
    pub steps: &'a [Step],
    pub layout: Layout,
    arithmetic: Arithmetic,
    is_training: bool,
    prepared: Vec<PreparedStep>,
    /// For each convolution that runs together with the max pool after it: the fused kernel.
    pooled: Vec<Option<PooledConvolution>>,
    /// The statistics of the steps that normalise batches; the engine sets them, for training.
    pub normalized: Vec<NormalizedStep>,
    /// The length of the packed weights of all convolutions.
    pub packed_len: usize,
    /// The length of the gradient accumulators of all convolutions.
    pub sums_len: usize,
    /// The length of the gradients of all convolutions.
    pub partial_len: usize,
    /// The largest scratch that any step needs.
    pub scratch_len: usize,
}

/// The lengths of a chain's buffers, as [`Chain`] has them, and the bytes of its tables. A length that is too large to be counted is
/// `usize::MAX`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChainNeeds {
    pub packed_len: usize,
    pub sums_len: usize,
    pub partial_len: usize,
    pub scratch_len: usize,
    pub table_bytes: usize,
    /// Random words of the step that needs the most.
    pub words_len: usize,
}

/// Tables that the kernels of a step need.
enum PreparedStep {
    Nothing,
    Convolution(Box<PreparedConvolution>),
    /// The squares between the values, and between the deltas.
    Pool(Box<(PoolGeometry, PoolGeometry)>),
}

/// The parameters as the kernels read them.
#[derive(Clone, Copy)]
pub(super) struct ParameterView<'a> {
    pub parameters: &'a [f32],
    /// The weights of convolutions, packed.
    pub packed: &'a [f32],
    /// The statistics of the batch, where batches are normalised in training; otherwise the running ones count.
    pub statistics: Option<&'a [f32]>,
}

impl<'a> Chain<'a> {
    /// The lengths of the buffers of these steps, and the memory of their tables: nothing is made.
    pub fn needs(steps: &[Step], layout: &Layout, is_training: bool) -> ChainNeeds {
        let mut needs = ChainNeeds::default();
        for (i, step) in steps.iter().enumerate() {
            match &step.op {
                Op::Dense { .. } => needs.scratch_len = needs.scratch_len.max(dense::scratch_len(step)),
                Op::Convolution { .. } => convolution::add_needs(&mut needs, i, steps, layout, is_training),
                Op::Dropout { .. } | Op::Sample { .. } if is_training => {
                    needs.words_len = needs.words_len.max(step.output.len().next_multiple_of(2));
                }
                Op::MaxPool { .. }
                | Op::AveragePool { .. }
                | Op::Upsample { .. }
                | Op::Reshape
                | Op::Identity
                | Op::Softmax
                | Op::Function(_)
                | Op::BatchNorm { .. }
                | Op::Dropout { .. }
                | Op::Sample { .. } => {}
            }
        }
        needs
    }

    /// The same lengths of this chain, whose tables are made.
    #[cfg(test)]
    pub fn made(&self) -> ChainNeeds {
        let Self { packed_len, sums_len, partial_len, scratch_len, .. } = *self;
        let of_step = |prepared: &PreparedStep| match prepared {
            PreparedStep::Convolution(prepared) => prepared.table_bytes(),
            PreparedStep::Pool(_) | PreparedStep::Nothing => 0,
        };
        let of_pooled = self.pooled.iter().flatten().map(PooledConvolution::table_bytes);
        let table_bytes = self.prepared.iter().map(of_step).chain(of_pooled).sum();
        ChainNeeds { packed_len, sums_len, partial_len, scratch_len, table_bytes, words_len: 0 }
    }

    /// For training: also the tables of the backward pass are made.
    pub fn training(arithmetic: Arithmetic, steps: &'a [Step], layout: Layout) -> Self {
        Self::new(arithmetic, steps, layout, true)
    }

    /// For forward passes alone.
    pub fn inference(level: Level, steps: &'a [Step], layout: Layout) -> Self {
        Self::new(Arithmetic::single(level), steps, layout, false)
    }

    fn new(arithmetic: Arithmetic, steps: &'a [Step], layout: Layout, is_training: bool) -> Self {
        let mut chain = Self {
            steps,
            layout,
            arithmetic,
            is_training,
            prepared: Vec::new(),
            pooled: Vec::new(),
            normalized: Vec::new(),
            packed_len: 0,
            sums_len: 0,
            partial_len: 0,
            scratch_len: 0,
        };
        for i in 0..steps.len() {
            let prepared = chain.prepare(i);
            chain.prepared.push(prepared);
            let pooled = chain.fuse_with_pool(i);
            chain.pooled.push(pooled);
        }
        chain
    }

    fn prepare(&mut self, i: usize) -> PreparedStep {
        let step = &self.steps[i];
        match &step.op {
            Op::Convolution { geometry, weights, bias, tied } => {
                self.prepare_convolution(i, *geometry, weights, bias.as_ref(), *tied)
            }
            Op::MaxPool { size } | Op::AveragePool { size } => self.prepare_pool(i, *size),
            Op::Upsample { factor } => self.prepare_upsampling(i, *factor),
            Op::Dense { .. } => {
                self.prepare_dense(step);
                PreparedStep::Nothing
            }
            Op::Reshape
            | Op::Identity
            | Op::Softmax
            | Op::Function(_)
            | Op::BatchNorm { .. }
            | Op::Dropout { .. }
            | Op::Sample { .. } => PreparedStep::Nothing,
        }
    }

    /// Value i + 1 from value i: activation(op(x)). With `logits` the last function is left to the loss. `rng` is that of
    /// training; without it nothing is dropped or drawn.
    pub fn forward(
        &self,
        i: usize,
        block: &mut Block<'_, '_>,
        weights: ParameterView<'_>,
        rng: Option<&mut RngContext<'_>>,
        logits: bool,
        scratch: &mut [f32],
    ) {
        let step = &self.steps[i];
        let activation = if logits { Activation::Linear } else { step.activation };
        match &step.op {
            Op::Dense { .. } => self.dense_forward(i, block, weights.parameters, activation, scratch),
            Op::Convolution { .. } => self.convolution_forward(i, block, weights, activation),
            Op::MaxPool { .. } => self.max_pool_forward(i, block),
            Op::AveragePool { .. } => self.average_pool_forward(i, block),
            Op::Upsample { .. } => self.upsample_forward(i, block),
            Op::Reshape => self.reshape_forward(i, block),
            Op::Identity => self.identity_forward(i, block, activation),
            Op::Function(function) => self.function_forward(i, block, *function),
            Op::Softmax => self.softmax_forward(i, block, logits),
            Op::BatchNorm { .. } => self.batch_norm_forward(i, block, weights, activation),
            Op::Dropout { share } => self.dropout_forward(i, block, rng, *share),
            Op::Sample { .. } => self.sample_forward(i, block, rng),
        }
    }

    /// Delta i from delta i + 1: through the operation, then through the activation of the step before, whose outputs are
    /// value i. `batch` is the number of rows of the whole batch, `row_weight` the weight of a row in the loss.
    pub fn backward(
        &self,
        i: usize,
        block: &mut Block<'_, '_>,
        weights: ParameterView<'_>,
        batch: usize,
        row_weight: f32,
        scratch: &mut [f32],
    ) {
        match &self.steps[i].op {
            Op::Dense { .. } => self.dense_backward(i, block, weights.parameters, scratch),
            Op::Convolution { .. } => self.convolution_backward(i, block, weights.packed),
            Op::MaxPool { .. } => self.max_pool_backward(i, block),
            Op::AveragePool { .. } => self.average_pool_backward(i, block),
            Op::Upsample { .. } => self.upsample_backward(i, block),
            Op::Reshape => self.reshape_backward(i, block),
            Op::Identity => self.identity_backward(i, block),
            Op::Function(function) => self.function_backward(i, block, *function),
            Op::Softmax => self.softmax_backward(i, block),
            Op::BatchNorm { .. } => self.batch_norm_backward(i, block, weights, batch),
            Op::Dropout { .. } => self.dropout_backward(i, block),
            Op::Sample { divergence } => self.sample_backward(i, block, divergence * row_weight),
        }
    }

    /// The activation of the step before step i, whose outputs are value i.
    fn activation_before(&self, i: usize) -> Activation {
        self.steps[i - 1].activation
    }

    /// Value i and value i + 1.
    fn input_and_output(&self, i: usize) -> [TensorLayout; 2] {
        [self.layout.values[i], self.layout.values[i + 1]]
    }

    /// Delta i + 1, delta i and value i: what a backward pass reads, writes, and needs for the activation before.
    fn deltas_and_input(&self, i: usize) -> [TensorLayout; 3] {
        let Layout { values, deltas, .. } = &self.layout;
        [deltas[i + 1], deltas[i], values[i]]
    }

    fn kept(&self, i: usize) -> TensorLayout {
        self.layout.kept[i].expect("the layout keeps something for the backward pass of this step")
    }
}

/// The numbers of a range of the parameters, where there is one.
fn optional<'p>(parameters: &'p [f32], range: Option<&Range<usize>>) -> Option<&'p [f32]> {
    range.map(|range| &parameters[range.clone()])
}

/// Copies contiguous rows into a tensor.
pub(super) fn copy_into(tensor: TensorLayout, numbers: &mut [f32], rows: &[f32]) {
    let plain: Image = tensor.image.with_border(Border::NONE);
    for (row, from) in rows.chunks_exact(plain.len()).enumerate() {
        image::copy(tensor.row_mut(numbers, row), tensor.image, from, plain);
    }
}

/// Copies the rows of a tensor into contiguous ones.
pub(super) fn copy_from(tensor: TensorLayout, rows: &mut [f32], numbers: &[f32]) {
    let plain: Image = tensor.image.with_border(Border::NONE);
    for (row, to) in rows.chunks_exact_mut(plain.len()).enumerate() {
        image::copy(to, plain, tensor.row(numbers, row), tensor.image);
    }
}
