//! The memory layout of a batch, and the division of the parameters among threads.
//!
//! A *value* is the input of a step, and the output of the step before; its *delta* is the gradient of the loss with respect
//! to the result of the step before, taken before that step's activation. Tensors lie in two memories:
//!
//! - **Shared**: one row for each row of the batch, in matrices that all threads see. The gradients of dense layers are sums
//!   over all rows, so their inputs and deltas lie here.
//! - **Arena**: one row for each row of a block, in the memory of one thread. Images lie here. A block of a network on images
//!   is one row: it goes forward and backward while everything it touches stays in the near cache.
//!
//! The batch is cut into *groups* of rows, the unit of work of a thread. In networks with convolutions the groups depend on
//! the batch alone: the gradients of their weights are summed within a group, then group after group, so that the sums do
//! not depend on the number of threads.

use std::ops::Range;

use narrows_kernels::{Border, Image};

use crate::data::Shape;
use crate::network::plan::{Op, Parameter, ParameterKind, Plan, Step, Target, image};

/// Every buffer begins at a multiple of this many numbers: one cache line.
const ALIGNMENT: usize = 16;

/// The rows of a batch and of a weight matrix are divided in groups of this many, so that threads work on whole tiles.
const GRANULE: usize = 4;

/// Groups of a batch in networks with convolutions.
const GROUPS: usize = 16;

/// The largest number of values in the gradients of all groups: with large kernels there are fewer groups.
const MAX_PARTIAL_GRADIENTS: usize = 1 << 24;

/// Rows of a block in networks that have both convolutions and dense layers.
const MIXED_BLOCK: usize = 16;

/// The memory that holds a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Memory {
    /// The shared memory, as the matrix of this number.
    Shared(usize),
    /// A thread's arena, from this offset on.
    Arena(usize),
}

/// The layout of a tensor: one row of numbers for each row of a block or batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TensorLayout {
    pub memory: Memory,
    /// The layout of a row; a vector is an image of one row of pixels.
    pub image: Image,
    /// Numbers from one row to the next.
    pub stride: usize,
}

impl TensorLayout {
    /// One row of the tensor.
    pub fn row(self, numbers: &[f32], row: usize) -> &[f32] {
        &numbers[row * self.stride..][..self.image.len()]
    }

    /// As [`TensorLayout::row`], to write.
    pub fn row_mut(self, numbers: &mut [f32], row: usize) -> &mut [f32] {
        &mut numbers[row * self.stride..][..self.image.len()]
    }

    /// The tensor as a matrix of `rows` rows.
    ///
    /// # Panics
    /// If there are gaps between the rows.
    pub fn matrix(self, numbers: &[f32], rows: usize) -> &[f32] {
        assert!(rows == 1 || self.stride == self.image.len());
        &numbers[..rows * self.image.len()]
    }

    /// As [`TensorLayout::matrix`], to write.
    ///
    /// # Panics
    /// As [`TensorLayout::matrix`].
    pub fn matrix_mut(self, numbers: &mut [f32], rows: usize) -> &mut [f32] {
        assert!(rows == 1 || self.stride == self.image.len());
        &mut numbers[..rows * self.image.len()]
    }
}

/// The layouts of all tensors of a chain of steps.
pub(super) struct Layout {
    /// Rows that go through the network together.
    pub block: usize,
    /// The rows as they are read, scaled.
    pub rows: TensorLayout,
    /// The targets of the loss: the rows, or one number for each class.
    pub targets: TensorLayout,
    /// Value i is the input of step i; the last one is the output.
    pub values: Vec<TensorLayout>,
    /// Delta i belongs to value i; the first is never used. Empty where nothing is trained.
    pub deltas: Vec<TensorLayout>,
    /// Results of a step's forward pass that its backward pass needs: of a max pool the winning pixel of each square, of
    /// dropout the factors, of a sampled code the random numbers.
    pub kept: Vec<Option<TensorLayout>>,
    /// One loss for each row, in the shared memory.
    pub losses: TensorLayout,
    /// The width of each matrix of the shared memory.
    widths: Vec<usize>,
    /// Numbers of a thread's arena.
    pub arena_len: usize,
}

impl Layout {
    /// The layout for training, and for evaluation in the same memory, in groups of up to `group` rows.
    pub fn training(plan: &Plan, group: usize) -> Self {
        // The KL penalty needs means of the code over the batch.
        let batch_value = plan.sparsity.is_some_and(|sparsity| sparsity.kl.is_some()).then_some(plan.cut);
        Self::new(&Chained {
            steps: &plan.steps,
            input: plan.input,
            content: Content::of(&plan.steps),
            block: Content::of(&plan.steps).block(group),
            is_training: true,
            keeps_clean_rows: !plan.noise.is_empty() || plan.fill.is_some(),
            target: plan.target,
            batch_value,
        })
    }

    /// The layout for applying steps to rows of a shape, up to `rows` at a time.
    pub fn inference(steps: &[Step], input: Shape, rows: usize) -> Self {
        Self::new(&Chained {
            steps,
            input,
            content: Content::of(steps),
            block: Content::of(steps).block(rows),
            is_training: false,
            keeps_clean_rows: false,
            target: Target::Row,
            batch_value: None,
        })
    }

    fn new(chain: &Chained<'_>) -> Self {
        let unused = TensorLayout { memory: Memory::Arena(0), image: image(chain.input), stride: 0 };
        let mut layout = Self {
            block: chain.block,
            rows: unused,
            targets: unused,
            values: Vec::new(),
            deltas: Vec::new(),
            kept: Vec::new(),
            losses: unused,
            widths: Vec::new(),
            arena_len: 0,
        };
        for i in 0..=chain.steps.len() {
            layout.add_value(chain, i);
        }
        layout.add_rows_and_targets(chain);
        layout.losses = layout.tensor(Image::new(1, 1, 1), true);
        layout
    }

    /// Adds value i, its delta, and what step i keeps.
    fn add_value(&mut self, chain: &Chained<'_>, i: usize) {
        let (image, is_shared) = (chain.image(i), chain.is_in_shared_memory(i));
        let delta_replaces_value = chain.delta_replaces_value(i);
        let border = if delta_replaces_value { chain.delta_border(i) } else { chain.value_border(i) };
        let value = self.tensor(image.with_border(border), is_shared);
        self.values.push(value);
        if chain.is_training {
            let delta = if delta_replaces_value || i == 0 {
                value
            } else {
                self.tensor(image.with_border(chain.delta_border(i)), is_shared)
            };
            self.deltas.push(delta);
        }
        let kept = chain.kept(i).map(|image| self.tensor(image, false));
        self.kept.push(kept);
    }

    fn add_rows_and_targets(&mut self, chain: &Chained<'_>) {
        let first = self.values[0];
        let is_apart = chain.keeps_clean_rows || first.image.border != Border::NONE;
        self.rows =
            if is_apart { self.tensor(image(chain.input), chain.is_in_shared_memory(0)) } else { first };
        self.targets = match chain.target {
            Target::Row => self.rows,
            Target::Classes(classes) => self.tensor(image(Shape::flat(classes)), false),
        };
    }

    /// The images of delta i and delta i + 1; without training those of the values, which serve as well.
    pub fn gradient_images(&self, i: usize, is_training: bool) -> [Image; 2] {
        let tensors = if is_training { &self.deltas } else { &self.values };
        [tensors[i].image, tensors[i + 1].image]
    }

    fn tensor(&mut self, image: Image, is_shared: bool) -> TensorLayout {
        if is_shared {
            self.widths.push(image.len());
            return TensorLayout {
                memory: Memory::Shared(self.widths.len() - 1),
                image,
                stride: image.len(),
            };
        }
        // Vectors lie one after the other, as a matrix; images begin at cache lines.
        let stride = if self.block == 1 { image.len().next_multiple_of(ALIGNMENT) } else { image.len() };
        let start = self.arena_len;
        self.arena_len = end_of(start, self.block, stride);
        TensorLayout { memory: Memory::Arena(start), image, stride }
    }

    /// The length of [`Layout::shared_matrices`].
    pub fn shared_len(&self, batch: usize) -> usize {
        self.widths.iter().fold(0, |len, &width| end_of(len, batch, width))
    }

    /// The shared memory for a batch in these groups of rows.
    pub fn shared_matrices(&self, batch: usize, groups: &[Range<usize>]) -> SharedMatrices {
        let mut len = 0;
        let starts: Vec<usize> = self
            .widths
            .iter()
            .map(|&width| {
                let start = len;
                len = end_of(start, batch, width);
                start
            })
            .collect();
        let rows_of = |group: &Range<usize>| {
            let range =
                |(start, width): (&usize, &usize)| start + group.start * width..start + group.end * width;
            starts.iter().zip(&self.widths).map(range).collect()
        };
        SharedMatrices { pieces: groups.iter().map(rows_of).collect(), starts, len }
    }
}

/// The end of a buffer of `rows` rows of `stride` numbers from `start` on, where the next one begins. A length too large to be
/// counted is `usize::MAX`: the memory for it is refused.
fn end_of(start: usize, rows: usize, stride: usize) -> usize {
    let end = start.saturating_add(rows.saturating_mul(stride));
    end.checked_next_multiple_of(ALIGNMENT).unwrap_or(usize::MAX)
}

/// The matrices of a batch in the shared memory.
pub(super) struct SharedMatrices {
    /// The start of each matrix.
    pub starts: Vec<usize>,
    /// For each group its rows of each matrix.
    pub pieces: Vec<Vec<Range<usize>>>,
    /// Numbers in all.
    pub len: usize,
}

/// A chain of steps as the layout looks at it.
struct Chained<'a> {
    steps: &'a [Step],
    input: Shape,
    content: Content,
    block: usize,
    is_training: bool,
    /// Whether the rows as they are, the targets, are needed beside the input: that has noise, or its gaps are filled.
    keeps_clean_rows: bool,
    target: Target,
    /// The value whose means over the batch are needed, if any.
    batch_value: Option<usize>,
}

impl Chained<'_> {
    /// The step that reads value i.
    fn reader(&self, i: usize) -> Option<&Op> {
        self.steps.get(i).map(|step| &step.op)
    }

    /// The step that writes value i.
    fn writer(&self, i: usize) -> Option<&Op> {
        i.checked_sub(1).map(|before| &self.steps[before].op)
    }

    fn image(&self, i: usize) -> Image {
        match i.checked_sub(1) {
            None => image(self.input),
            Some(before) => image(self.steps[before].output),
        }
    }

    /// The border of zeros that the reader of value i needs.
    fn value_border(&self, i: usize) -> Border {
        let Some(Op::Convolution { geometry, .. }) = self.reader(i) else { return Border::NONE };
        geometry.input_border()
    }

    /// The border of zeros that the writer of value i, going backward, needs around delta i.
    fn delta_border(&self, i: usize) -> Border {
        let Some(Op::Convolution { geometry, .. }) = self.writer(i) else { return Border::NONE };
        // The first step's input needs no gradient.
        if i > 1 { geometry.output_gradient_border() } else { Border::NONE }
    }

    /// Whether value i and its delta lie in the shared memory: dense layers sum over all rows of a batch.
    fn is_in_shared_memory(&self, i: usize) -> bool {
        let is_dense = |op: Option<&Op>| matches!(op, Some(Op::Dense { .. }));
        self.is_training
            && (!self.content.images
                || is_dense(self.reader(i))
                || is_dense(self.writer(i))
                || self.batch_value == Some(i))
    }

    /// Whether delta i may take the place of value i. A max pool reads its input before the gradient there is written, and
    /// nothing else reads it, unless it is the output of another max pool. The last output becomes its own gradient.
    fn delta_replaces_value(&self, i: usize) -> bool {
        let is_max_pool = |op: Option<&Op>| matches!(op, Some(Op::MaxPool { .. }));
        let is_read_again = is_max_pool(self.writer(i));
        let is_output = i == self.steps.len() && self.delta_border(i) == Border::NONE;
        self.is_training && i > 0 && !is_read_again && (is_max_pool(self.reader(i)) || is_output)
    }

    /// The image of what step i keeps for its backward pass. A max pool always has it: the convolution before may write it.
    fn kept(&self, i: usize) -> Option<Image> {
        let keeps = match self.reader(i)? {
            Op::MaxPool { .. } => true,
            Op::Dropout { .. } | Op::Sample { .. } => self.is_training,
            Op::Dense { .. }
            | Op::Convolution { .. }
            | Op::AveragePool { .. }
            | Op::Upsample { .. }
            | Op::Reshape
            | Op::Identity
            | Op::Softmax
            | Op::BatchNorm { .. }
            | Op::Function(_) => false,
        };
        keeps.then(|| image(self.steps[i].output))
    }
}

/// Which kinds of layers a chain has.
#[derive(Clone, Copy)]
struct Content {
    images: bool,
    vectors: bool,
}

impl Content {
    fn of(steps: &[Step]) -> Self {
        Self {
            images: steps.iter().any(|step| step.op.is_on_images()),
            vectors: steps.iter().any(|step| matches!(step.op, Op::Dense { .. })),
        }
    }

    /// Rows of a block, of up to `rows`: images go one at a time, dense layers want many rows for their products.
    fn block(self, rows: usize) -> usize {
        match self {
            Self { images: false, .. } => rows,
            Self { images: true, vectors: false } => 1,
            Self { images: true, vectors: true } => rows.min(MIXED_BLOCK),
        }
    }
}

/// The groups of a batch. Without convolutions there is one for each thread, because no sum depends on them.
pub(super) fn groups(plan: &Plan, batch: usize, threads: usize) -> Vec<Range<usize>> {
    if plan.steps.iter().all(|step| !step.op.is_on_images()) {
        return (0..threads)
            .map(|thread| portion(batch, thread, threads))
            .filter(|group| !group.is_empty())
            .collect();
    }
    let partial = convolution_parameters(plan);
    let count = (MAX_PARTIAL_GRADIENTS / partial.max(1)).clamp(2, GROUPS);
    let size = batch.div_ceil(count);
    (0..batch).step_by(size).map(|start| start..(start + size).min(batch)).collect()
}

/// Numbers in the parameters of all convolutions.
fn convolution_parameters(plan: &Plan) -> usize {
    let of_convolution = |range: &Range<usize>| {
        users(plan, range).any(|index| matches!(plan.steps[index].op, Op::Convolution { .. }))
    };
    let ranges = plan.parameters.iter().map(|parameter| &parameter.range);
    ranges.filter(|range| of_convolution(range)).map(ExactSizeIterator::len).sum()
}

/// The steps that use the parameters of a range: one, and those tied to it.
fn users(plan: &Plan, range: &Range<usize>) -> impl Iterator<Item = usize> {
    plan.steps.iter().enumerate().filter_map(move |(index, step)| {
        if let Op::BatchNorm { scale, shift, mean, variance } = &step.op {
            return [scale, shift, mean, variance].contains(&range).then_some(index);
        }
        let (weights, bias) = step.op.parameters()?;
        (weights == range || bias == Some(range)).then_some(index)
    })
}

/// The means, variances and gradient sums of batch normalisation over a batch, and their division among threads.
pub(super) struct BatchStatistics {
    pub steps: Vec<NormalizedStep>,
    /// For each thread its columns of means, variances, shift gradients and scale gradients, one step after the other: the
    /// columns whose parameters it owns.
    pub pieces: Vec<Vec<Range<usize>>>,
    /// Numbers in all.
    pub len: usize,
}

/// A step that normalises batches, and its statistics: one number for each column.
pub(super) struct NormalizedStep {
    pub step: usize,
    /// The columns of each thread.
    pub columns: Vec<Range<usize>>,
    pub means: Range<usize>,
    /// Divided by the number of rows.
    pub variances: Range<usize>,
    /// The gradients of its shifts.
    pub shift_gradients: Range<usize>,
    pub scale_gradients: Range<usize>,
}

impl BatchStatistics {
    /// The length for a plan, with any number of threads.
    pub fn len(plan: &Plan) -> usize {
        let normalized = plan.steps.iter().filter(|step| matches!(step.op, Op::BatchNorm { .. }));
        normalized.fold(0, |len, step| (0..4).fold(len, |len, _| end_of(len, 1, step.output.len())))
    }

    pub fn new(plan: &Plan, threads: usize) -> Self {
        let mut statistics = Self { steps: Vec::new(), pieces: vec![Vec::new(); threads], len: 0 };
        for (step, width) in plan.steps.iter().enumerate().filter_map(|(at, step)| {
            matches!(step.op, Op::BatchNorm { .. }).then_some((at, step.output.len()))
        }) {
            let columns: Vec<_> = (0..threads).map(|thread| portion(width, thread, threads)).collect();
            let mut reserve = || {
                let start = statistics.len;
                statistics.len = (start + width).next_multiple_of(ALIGNMENT);
                for (piece, columns) in statistics.pieces.iter_mut().zip(&columns) {
                    piece.push(start + columns.start..start + columns.end);
                }
                start..start + width
            };
            let (means, variances, shift_gradients, scale_gradients) =
                (reserve(), reserve(), reserve(), reserve());
            statistics.steps.push(NormalizedStep {
                step,
                columns,
                means,
                variances,
                shift_gradients,
                scale_gradients,
            });
        }
        statistics
    }
}

/// The part of a parameter that one thread owns: rows of a weight matrix, or numbers of a bias or a kernel.
pub(super) struct ParameterPart {
    /// The number of the parameter in the plan.
    pub parameter: usize,
    /// Its first number, counted from the parameter's.
    pub first: usize,
    pub gradient: GradientSource,
}

/// The source of the gradient of a part.
pub(super) enum GradientSource {
    /// These rows of the weights of dense layers: a product over the batch for the layer itself and for each one tied to it.
    Product { rows: Range<usize>, steps: Vec<usize> },
    /// These numbers of a dense layer's bias: sums over the batch.
    ColumnSums { columns: Range<usize>, step: usize },
    /// Numbers of a convolution: the sum over the groups of their partial gradients from this offset on.
    PartialSums(usize),
    /// Scales or shifts of a batch normalisation: found by its backward pass, from this offset on in the statistics.
    Statistics(usize),
    /// Running means or variances have no gradient: they follow those of the batch, at this offset in the statistics.
    Running {
        batch: usize,
        /// Whether they are variances, whose estimate from a batch is too small by (n - 1) / n.
        is_variance: bool,
    },
}

/// For each thread its parts of the parameters, and their ranges in the buffer.
pub(super) fn parts(plan: &Plan, threads: usize) -> (Vec<Vec<ParameterPart>>, Vec<Vec<Range<usize>>>) {
    let statistics = BatchStatistics::new(plan, threads);
    (0..threads)
        .map(|thread| {
            // Convolutions lie one after the other among the partial gradients.
            let mut partial = 0;
            let part = |(index, parameter): (usize, &Parameter)| {
                let width = row_width(plan, parameter);
                let rows = portion(parameter.range.len() / width, thread, threads);
                let start = parameter.range.start;
                let range = start + rows.start * width..start + rows.end * width;
                let first = rows.start * width;
                let gradient = gradient_source(plan, parameter, rows, &statistics, &mut partial);
                (ParameterPart { parameter: index, first, gradient }, range)
            };
            plan.parameters.iter().enumerate().map(part).unzip()
        })
        .unzip()
}

/// Numbers that belong to one thread together: a row of the weights of a dense layer, else one number.
fn row_width(plan: &Plan, Parameter { range, shape, kind, .. }: &Parameter) -> usize {
    let first = users(plan, range).next().expect("every parameter belongs to a step");
    let is_dense = matches!(plan.steps[first].op, Op::Dense { .. });
    if is_dense && *kind != ParameterKind::Bias { shape[1] } else { 1 }
}

fn gradient_source(
    plan: &Plan,
    Parameter { range, kind, .. }: &Parameter,
    rows: Range<usize>,
    statistics: &BatchStatistics,
    partial: &mut usize,
) -> GradientSource {
    let steps: Vec<usize> = users(plan, range).collect();
    let step = steps[0];
    if let Some(found) = statistics.steps.iter().find(|found| found.step == step) {
        return match kind {
            ParameterKind::Scale => GradientSource::Statistics(found.scale_gradients.start + rows.start),
            ParameterKind::Statistic { .. } => {
                let is_variance = plan.steps[step].op.variance() == Some(range);
                let batch = if is_variance { &found.variances } else { &found.means };
                GradientSource::Running { batch: batch.start + rows.start, is_variance }
            }
            ParameterKind::Bias | ParameterKind::Weights { .. } => {
                GradientSource::Statistics(found.shift_gradients.start + rows.start)
            }
        };
    }
    let is_dense = matches!(plan.steps[step].op, Op::Dense { .. });
    match (is_dense, *kind == ParameterKind::Bias) {
        (true, true) => GradientSource::ColumnSums { columns: rows, step },
        (true, false) => GradientSource::Product { rows, steps },
        (false, _) => {
            let start = *partial + rows.start;
            *partial += range.len();
            GradientSource::PartialSums(start)
        }
    }
}

/// The portion of `count` that belongs to a thread, in whole granules.
fn portion(count: usize, thread: usize, threads: usize) -> Range<usize> {
    let granules = count.div_ceil(GRANULE);
    let edge = |thread: usize| (granules * thread / threads * GRANULE).min(count);
    edge(thread)..edge(thread + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portions_cover_everything_once() {
        for count in [0, 1, 3, 4, 5, 31, 128, 784] {
            for threads in 1..=9 {
                let portions: Vec<_> = (0..threads).map(|thread| portion(count, thread, threads)).collect();
                assert_eq!(portions[0].start, 0);
                assert_eq!(portions[threads - 1].end, count);
                assert!(portions.windows(2).all(|pair| pair[0].end == pair[1].start));
            }
        }
        assert_eq!(portion(128, 1, 2), 64..128);
    }
}
