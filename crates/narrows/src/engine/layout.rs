//! Where everything of a batch lies, and which thread owns what.

use std::ops::Range;

use crate::plan::{Op, Plan};

/// Matrices begin at multiples of this many numbers: one cache line.
const ALIGNMENT: usize = 16;

/// Rows of a batch and of a weight matrix are shared out in groups of this many, so that threads work on whole tiles.
const GRANULE: usize = 4;

/// The work space of a batch: matrices with one row for each row of the batch. In order: the input, the output of each
/// step, the delta of each step but the last (whose output becomes its delta), and one loss per row.
pub(super) struct Layout {
    pub batch: usize,
    steps: usize,
    matrices: Vec<Matrix>,
    /// Numbers in the work space.
    pub work_len: usize,
    /// The rows of a batch that each thread owns.
    pub rows: Vec<Range<usize>>,
    /// For each thread its rows of each matrix.
    pub work_pieces: Vec<Vec<Range<usize>>>,
    /// For each thread its parts of the parameters; `parameter_pieces` are their places.
    pub parts: Vec<Vec<Part>>,
    pub parameter_pieces: Vec<Vec<Range<usize>>>,
}

struct Matrix {
    start: usize,
    width: usize,
}

/// Some rows of a weight matrix, or some numbers of a bias.
pub(super) struct Part {
    /// Which of the plan's parameters.
    pub parameter: usize,
    /// Which of the plan's steps it belongs to.
    pub step: usize,
    /// Rows of the matrix; numbers of the bias.
    pub rows: Range<usize>,
    pub is_bias: bool,
}

impl Layout {
    pub fn new(plan: &Plan, batch: usize, threads: usize) -> Self {
        let outputs: Vec<usize> = plan.steps.iter().map(|step| step.output.len()).collect();
        let deltas = &outputs[..outputs.len() - 1];
        let widths =
            std::iter::once(plan.input.len()).chain(outputs.iter().copied()).chain(deltas.iter().copied());
        let mut work_len = 0;
        let matrices: Vec<Matrix> = widths
            .chain([1])
            .map(|width| {
                let start = work_len;
                work_len = (start + batch * width).next_multiple_of(ALIGNMENT);
                Matrix { start, width }
            })
            .collect();
        let rows: Vec<_> = (0..threads).map(|thread| share(batch, thread, threads)).collect();
        let place = |matrix: &Matrix, rows: &Range<usize>| {
            matrix.start + rows.start * matrix.width..matrix.start + rows.end * matrix.width
        };
        let work_pieces =
            rows.iter().map(|rows| matrices.iter().map(|matrix| place(matrix, rows)).collect()).collect();

        let (mut parts, mut parameter_pieces) = (Vec::new(), Vec::new());
        for thread in 0..threads {
            let (mut own, mut places) = (Vec::new(), Vec::new());
            for (step_index, step) in plan.steps.iter().enumerate() {
                let Op::Dense { weights, bias } = &step.op else { continue };
                for (range, is_bias) in
                    std::iter::once((weights, false)).chain(bias.iter().map(|bias| (bias, true)))
                {
                    let parameter = plan.parameters.iter().position(|parameter| parameter.range == *range);
                    let (count, width) =
                        if is_bias { (range.len(), 1) } else { (step.input.len(), step.output.len()) };
                    let rows = share(count, thread, threads);
                    places.push(range.start + rows.start * width..range.start + rows.end * width);
                    let parameter = parameter.expect("every range of a step is a parameter of the plan");
                    own.push(Part { parameter, step: step_index, rows, is_bias });
                }
            }
            parts.push(own);
            parameter_pieces.push(places);
        }
        Self {
            batch,
            steps: plan.steps.len(),
            matrices,
            work_len,
            rows,
            work_pieces,
            parts,
            parameter_pieces,
        }
    }

    pub fn input(&self) -> usize {
        0
    }

    /// What comes into step `i`.
    pub fn output_before(&self, i: usize) -> usize {
        i
    }

    pub fn output(&self, i: usize) -> usize {
        i + 1
    }

    pub fn delta(&self, i: usize) -> usize {
        if i + 1 == self.steps { self.output(i) } else { self.steps + 1 + i }
    }

    pub fn losses(&self) -> usize {
        2 * self.steps
    }

    /// Where the first `rows` rows of a matrix lie.
    pub fn matrix(&self, matrix: usize, rows: usize) -> Range<usize> {
        let Matrix { start, width } = self.matrices[matrix];
        start..start + rows * width
    }

    pub fn losses_range(&self, rows: usize) -> Range<usize> {
        self.matrix(self.losses(), rows)
    }
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
