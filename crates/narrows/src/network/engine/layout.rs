//! Where everything of a batch lies, and who writes what.
//!
//! A *value* is what goes from one step to the next; its *delta* is the gradient of the loss with respect to what the step
//! before computed before its activation. There are two homes:
//!
//! - **Batch**: one row for each row of the batch, in memory that all threads share. What the gradients of dense layers
//!   need lies here, because they sum over all rows.
//! - **Slot**: one row for each row of a block, in the memory of one thread. Images live here. A block of a network on
//!   images is one row: it goes there and back while everything it touches is in the near cache.
//!
//! The batch is cut into *groups* of rows, the unit of work of a thread. For networks with convolutions the groups depend
//! on the batch alone: the gradients of their weights are summed within a group, then group after group.

use std::ops::Range;

use narrows_kernels::{Border, Image};

use crate::data::Shape;
use crate::network::plan::{Op, Parameter, ParameterKind, Plan, Step, Target, image};

/// Everything begins at multiples of this many numbers: one cache line.
const ALIGNMENT: usize = 16;

/// Rows of a batch and of a weight matrix are shared out in groups of this many, so that threads work on whole tiles.
const GRANULE: usize = 4;

/// Groups of a batch, for networks with convolutions.
const GROUPS: usize = 16;

/// Numbers in the gradients of all groups at most: with large kernels there are fewer groups.
const MOST_PARTIAL: usize = 1 << 24;

/// Rows of a block where images and dense layers meet.
const MIXED_BLOCK: usize = 16;

/// Where a tensor lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    /// In the shared memory, as this matrix of each piece.
    Batch(usize),
    /// In a thread's own memory, from here on.
    Slot(usize),
}

/// The same numbers of each row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tensor {
    pub home: Home,
    /// How a row lies in its memory; a vector is an image of one row of pixels.
    pub image: Image,
    /// Numbers from one row to the next.
    pub stride: usize,
}

/// The places of the tensors of a chain of steps.
pub(super) struct Layout {
    /// Rows that are taken through the network together.
    pub block: usize,
    /// The rows as they are read, scaled.
    pub rows: Tensor,
    /// What the last value is judged by: the rows, or one number for each class.
    pub targets: Tensor,
    /// Value i goes into step i; the last comes out.
    pub values: Vec<Tensor>,
    /// Delta i belongs to value i. Empty where nothing is trained; the first is never used.
    pub deltas: Vec<Tensor>,
    /// What a step keeps of its way forward for its way back: a maximum which pixel of each square was largest, dropout its
    /// factors, a drawn code what it was drawn with.
    pub kept: Vec<Option<Tensor>>,
    /// One loss for each row, in the shared memory.
    pub losses: Tensor,
    /// The width of each matrix of the shared memory.
    matrices: Vec<usize>,
    /// Numbers in a thread's slot.
    pub slot_len: usize,
}

impl Layout {
    /// The places for training, and for judging in the same memory, in groups of so many rows.
    pub fn training(plan: &Plan, group: usize) -> Self {
        let block = match Kinds::of(&plan.steps) {
            Kinds { images: false, .. } => group,
            Kinds { vectors: false, .. } => 1,
            _ => group.min(MIXED_BLOCK),
        };
        // Means over the batch are taken of the code.
        let code = plan.sparsity.is_some_and(|sparsity| sparsity.kl.is_some()).then_some(plan.cut);
        let training = Training { code, target: plan.target };
        Self::new(&plan.steps, plan.input, block, !plan.noise.is_empty(), Some(training))
    }

    /// The places for applying steps to rows of a shape, up to `most` at a time.
    pub fn inference(steps: &[Step], input: Shape, most: usize) -> Self {
        let block = match Kinds::of(steps) {
            Kinds { images: false, .. } => most,
            Kinds { vectors: false, .. } => 1,
            _ => most.min(MIXED_BLOCK),
        };
        Self::new(steps, input, block, false, None)
    }

    fn new(steps: &[Step], input: Shape, block: usize, noise: bool, training: Option<Training>) -> Self {
        let sums = training.as_ref().and_then(|training| training.code);
        let target = training.as_ref().map_or(Target::Row, |training| training.target);
        let training = training.is_some();
        let last = steps.len();
        let kinds = Kinds::of(steps);
        let op = |i: usize| steps.get(i).map(|step| &step.op);
        let op_before = |i: usize| i.checked_sub(1).map(|before| &steps[before].op);
        let image_of = |i: usize| match i.checked_sub(1) {
            None => image(input),
            Some(before) => image(steps[before].output),
        };
        // Who reads a tensor says which border it needs.
        let value_border = |i: usize| match op(i) {
            Some(Op::Convolution { geometry, .. }) => geometry.input_border(),
            _ => Border::NONE,
        };
        let delta_border = |i: usize| match op_before(i) {
            // The first step's input needs no gradient.
            Some(Op::Convolution { geometry, .. }) if i > 1 => geometry.output_gradient_border(),
            _ => Border::NONE,
        };
        // Dense layers sum over all rows of a batch.
        let is_dense = |op: Option<&Op>| matches!(op, Some(Op::Dense { .. }));
        let in_batch = |i: usize| {
            training && (!kinds.images || is_dense(op(i)) || is_dense(op_before(i)) || sums == Some(i))
        };

        let first = Tensor { home: Home::Slot(0), image: image(input), stride: 0 };
        let mut layout = Self {
            block,
            rows: first,
            targets: first,
            values: Vec::new(),
            deltas: Vec::new(),
            kept: Vec::new(),
            losses: first,
            matrices: Vec::new(),
            slot_len: 0,
        };
        for i in 0..=last {
            // A maximum reads its input before the gradient there is written, and nothing else reads it, unless it comes
            // from another maximum. The last output becomes its own gradient.
            let is_pool = |op: Option<&Op>| matches!(op, Some(Op::MaxPool { .. }));
            let pooled = is_pool(op(i));
            let read_again = is_pool(op_before(i));
            let shared = training
                && i > 0
                && !read_again
                && (pooled || (i == last && delta_border(i) == Border::NONE));
            let border = if shared { delta_border(i) } else { value_border(i) };
            let value = layout.tensor(image_of(i).with_border(border), in_batch(i));
            layout.values.push(value);
            if training {
                let delta = if shared || i == 0 {
                    value
                } else {
                    layout.tensor(image_of(i).with_border(delta_border(i)), in_batch(i))
                };
                layout.deltas.push(delta);
            }
            let keeps = pooled || training && matches!(op(i), Some(Op::Dropout { .. } | Op::Sample { .. }));
            let kept = keeps.then(|| layout.tensor(image(steps[i].output), false));
            layout.kept.push(kept);
        }
        let first = layout.values[0];
        let apart = noise || first.image.border != Border::NONE;
        layout.rows = if apart { layout.tensor(image(input), in_batch(0)) } else { first };
        layout.targets = match target {
            Target::Row => layout.rows,
            Target::Classes(classes) => layout.tensor(image(Shape::flat(classes)), false),
        };
        layout.losses = layout.tensor(Image::new(1, 1, 1), true);
        layout
    }

    fn tensor(&mut self, image: Image, in_batch: bool) -> Tensor {
        if in_batch {
            self.matrices.push(image.len());
            return Tensor { home: Home::Batch(self.matrices.len() - 1), image, stride: image.len() };
        }
        // Vectors lie one after the other, as a matrix; images begin at cache lines.
        let stride = if self.block == 1 { image.len().next_multiple_of(ALIGNMENT) } else { image.len() };
        let start = self.slot_len;
        self.slot_len = (start + self.block * stride).next_multiple_of(ALIGNMENT);
        Tensor { home: Home::Slot(start), image, stride }
    }

    /// The shared memory for these groups of rows: where each matrix begins, for each group its rows of each, and the
    /// numbers in all.
    pub fn matrices(&self, batch: usize, groups: &[Range<usize>]) -> Matrices {
        let mut len = 0;
        let starts: Vec<usize> = self
            .matrices
            .iter()
            .map(|width| {
                let start = len;
                len = (start + batch * width).next_multiple_of(ALIGNMENT);
                start
            })
            .collect();
        let rows = |group: &Range<usize>| {
            let place =
                |(start, width): (&usize, &usize)| start + group.start * width..start + group.end * width;
            starts.iter().zip(&self.matrices).map(place).collect()
        };
        Matrices { pieces: groups.iter().map(rows).collect(), starts, len }
    }
}

/// What training asks of a layout.
struct Training {
    /// The value whose means over the batch are wanted.
    code: Option<usize>,
    /// What the last value is to be.
    target: Target,
}

/// The shared memory of a batch.
pub(super) struct Matrices {
    /// Where each matrix begins.
    pub starts: Vec<usize>,
    /// For each group its rows of each matrix.
    pub pieces: Vec<Vec<Range<usize>>>,
    /// Numbers in all.
    pub len: usize,
}

/// What the steps of a chain work on.
#[derive(Clone, Copy)]
struct Kinds {
    images: bool,
    vectors: bool,
}

impl Kinds {
    fn of(steps: &[Step]) -> Self {
        Self {
            images: steps.iter().any(|step| step.op.is_on_images()),
            vectors: steps.iter().any(|step| matches!(step.op, Op::Dense { .. })),
        }
    }
}

/// The groups of a batch. Without convolutions one for each thread: no sum depends on them.
pub(super) fn groups(plan: &Plan, batch: usize, threads: usize) -> Vec<Range<usize>> {
    if plan.steps.iter().all(|step| !step.op.is_on_images()) {
        return (0..threads)
            .map(|thread| share(batch, thread, threads))
            .filter(|group| !group.is_empty())
            .collect();
    }
    let partial = convolution_parameters(plan);
    let most = (MOST_PARTIAL / partial.max(1)).clamp(2, GROUPS);
    let size = batch.div_ceil(most);
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

/// The steps whose weights or bias lie there: one, and those that mirror it.
fn users(plan: &Plan, range: &Range<usize>) -> impl Iterator<Item = usize> {
    plan.steps.iter().enumerate().filter_map(move |(index, step)| {
        if let Op::BatchNorm { scale, shift, mean, variance } = &step.op {
            return [scale, shift, mean, variance].contains(&range).then_some(index);
        }
        let (weights, bias) = step.op.parameters()?;
        (weights == range || bias == Some(range)).then_some(index)
    })
}

/// What batch normalisation finds over a batch: where it lies, and who finds what.
pub(super) struct Moments {
    pub of: Vec<MomentsOf>,
    /// For each thread its columns of `means`, `variances`, `shifts` and `scales`, one step after the other: the columns
    /// whose parameters are its own.
    pub pieces: Vec<Vec<Range<usize>>>,
    /// Numbers in all.
    pub len: usize,
}

/// What is found for a step that normalises batches: one number for each column.
pub(super) struct MomentsOf {
    pub step: usize,
    /// The columns of each thread.
    pub columns: Vec<Range<usize>>,
    pub means: Range<usize>,
    /// Divided by the number of rows.
    pub variances: Range<usize>,
    /// The gradients of its shifts, and of its scales.
    pub shifts: Range<usize>,
    pub scales: Range<usize>,
}

impl Moments {
    pub fn new(plan: &Plan, threads: usize) -> Self {
        let mut moments = Self { of: Vec::new(), pieces: vec![Vec::new(); threads], len: 0 };
        for (step, width) in plan.steps.iter().enumerate().filter_map(|(at, step)| {
            matches!(step.op, Op::BatchNorm { .. }).then_some((at, step.output.len()))
        }) {
            let columns: Vec<_> = (0..threads).map(|thread| share(width, thread, threads)).collect();
            let mut place = || {
                let start = moments.len;
                moments.len = (start + width).next_multiple_of(ALIGNMENT);
                for (own, columns) in moments.pieces.iter_mut().zip(&columns) {
                    own.push(start + columns.start..start + columns.end);
                }
                start..start + width
            };
            let (means, variances, shifts, scales) = (place(), place(), place(), place());
            moments.of.push(MomentsOf { step, columns, means, variances, shifts, scales });
        }
        moments
    }
}

/// Some rows of a weight matrix, or some numbers of a bias or a kernel.
pub(super) struct Part {
    /// Which of the plan's parameters.
    pub parameter: usize,
    /// Its first number, counted from the parameter's.
    pub first: usize,
    /// How its gradient is found.
    pub role: Role,
}

/// How the gradient of a part is found.
pub(super) enum Role {
    /// These rows of the weights of dense layers, each a product over the batch: the layer's own, and of those that mirror
    /// it.
    Rows { own: Range<usize>, steps: Vec<usize> },
    /// These numbers of a dense layer's bias: sums over the batch.
    Bias { own: Range<usize>, step: usize },
    /// Numbers of a convolution: the sum of what each group found, from here on.
    Partial(usize),
    /// Scales or shifts of a batch normalisation: what its way back found, from here on among the moments.
    Found(usize),
    /// Running means or variances: no gradient, but they follow the batch's, which lie from here on among the moments.
    Running {
        found: usize,
        /// Whether they are variances, which the batch's fall short of: its mean is its own.
        variance: bool,
    },
}

/// For each thread its parts of the parameters, and their places in the buffer.
pub(super) fn parts(plan: &Plan, threads: usize) -> (Vec<Vec<Part>>, Vec<Vec<Range<usize>>>) {
    let (mut parts, mut pieces) = (Vec::new(), Vec::new());
    let moments = Moments::new(plan, threads);
    for thread in 0..threads {
        let (mut own, mut places) = (Vec::new(), Vec::new());
        let mut partial = 0;
        for (parameter, Parameter { range, shape, kind, .. }) in plan.parameters.iter().enumerate() {
            let steps: Vec<usize> = users(plan, range).collect();
            let first = *steps.first().expect("every parameter belongs to a step");
            let is_dense = matches!(plan.steps[first].op, Op::Dense { .. });
            let is_bias = *kind == ParameterKind::Bias;
            let width = if is_dense && !is_bias { shape[1] } else { 1 };
            let normalization = moments.of.iter().find(|of| of.step == first);
            let rows = share(range.len() / width, thread, threads);
            places.push(range.start + rows.start * width..range.start + rows.end * width);
            let first_number = rows.start * width;
            let role = match (normalization, kind) {
                (Some(of), ParameterKind::Scale) => Role::Found(of.scales.start + rows.start),
                (Some(of), ParameterKind::Statistic { .. }) => {
                    let variance = plan.steps[first].op.variance() == Some(range);
                    let of = if variance { &of.variances } else { &of.means };
                    Role::Running { found: of.start + rows.start, variance }
                }
                (Some(of), _) => Role::Found(of.shifts.start + rows.start),
                (None, _) if is_dense && is_bias => Role::Bias { own: rows, step: first },
                (None, _) if is_dense => Role::Rows { own: rows, steps },
                (None, _) => {
                    let start = partial + rows.start;
                    partial += range.len();
                    Role::Partial(start)
                }
            };
            own.push(Part { parameter, first: first_number, role });
        }
        parts.push(own);
        pieces.push(places);
    }
    (parts, pieces)
}

/// The part of `count` that belongs to a thread, in whole granules.
fn share(count: usize, thread: usize, threads: usize) -> Range<usize> {
    let granules = count.div_ceil(GRANULE);
    let edge = |thread: usize| (granules * thread / threads * GRANULE).min(count);
    edge(thread)..edge(thread + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_everything_once() {
        for count in [0, 1, 3, 4, 5, 31, 128, 784] {
            for threads in 1..=9 {
                let shares: Vec<_> = (0..threads).map(|thread| share(count, thread, threads)).collect();
                assert_eq!(shares[0].start, 0);
                assert_eq!(shares[threads - 1].end, count);
                assert!(shares.windows(2).all(|pair| pair[0].end == pair[1].start));
            }
        }
        assert_eq!(share(128, 1, 2), 64..128);
    }
}
