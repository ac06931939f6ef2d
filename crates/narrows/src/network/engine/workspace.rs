//! The memory of one thread, and access to the tensors of a block in both memories.

use narrows_kernels::shared::Piece;
use narrows_kernels::{Level, noise};

use super::layout::{Memory, TensorLayout};
use crate::base::random::{Purpose, fill_words, row_generator};

/// The tensors of the rows of a block.
pub(super) struct Block<'a, 'b> {
    /// The rows of the group in each shared matrix; None where all tensors lie in the arena.
    pub shared: Option<&'a mut Piece<'b, f32>>,
    /// The block's first row, counted from the group's.
    pub first: usize,
    pub arena: &'a mut [f32],
    pub rows: usize,
}

impl Block<'_, '_> {
    /// The rows of several tensors at once. None may be named twice.
    pub fn tensors<const N: usize>(&mut self, tensors: [TensorLayout; N]) -> [&mut [f32]; N] {
        let (first, rows) = (self.first, self.rows);
        let in_arena = tensors.map(|tensor| match tensor.memory {
            Memory::Arena(start) => start..start + rows * tensor.stride,
            Memory::Shared(_) => 0..0,
        });
        let in_arena = self.arena.get_disjoint_mut(in_arena).expect("tensors of an arena do not overlap");
        let in_shared = tensors.map(|tensor| match tensor.memory {
            Memory::Arena(_) => None,
            Memory::Shared(matrix) => Some(matrix),
        });
        let in_shared = match &mut self.shared {
            Some(shared) => shared.some_ranges(in_shared),
            None => [(); N].map(|()| Default::default()),
        };
        let mut both = in_arena.into_iter().zip(in_shared);
        tensors.map(|tensor| {
            let (arena, shared) = both.next().expect("as many as tensors");
            match tensor.memory {
                Memory::Arena(_) => arena,
                Memory::Shared(_) => &mut shared[first * tensor.stride..(first + rows) * tensor.stride],
            }
        })
    }

    /// Calls `work` with the number of each row of the block and that row of several tensors. None may be named twice.
    pub fn each_row<const N: usize>(
        &mut self,
        tensors: [TensorLayout; N],
        mut work: impl FnMut(usize, [&mut [f32]; N]),
    ) {
        let rows = self.rows;
        let mut numbers = self.tensors(tensors);
        for row in 0..rows {
            let mut layouts = tensors.iter();
            work(
                row,
                numbers.each_mut().map(|numbers| {
                    let tensor = layouts.next().expect("as many as tensors");
                    tensor.row_mut(numbers, row)
                }),
            );
        }
    }
}

/// The random numbers of dropout and sampled codes: those of a row depend on the seed, the step of the chain, the epoch and
/// the number of the row alone.
pub(super) struct RngContext<'a> {
    pub seed: u64,
    pub epoch: usize,
    /// The numbers of the block's rows.
    pub indices: &'a [usize],
    pub words: &'a mut Vec<u32>,
}

impl RngContext<'_> {
    /// Random words for a step and a row of the block.
    pub fn words(&mut self, purpose: Purpose, step: usize, row: usize, count: usize) -> &[u32] {
        // Normal numbers come in pairs.
        self.words.resize(count.next_multiple_of(2), 0);
        // The epoch takes the lower 32 bits, so that no step shares a stream with another.
        let stream = (step as u64) << 32 | self.epoch as u64;
        let mut generator = row_generator(self.seed, purpose, stream, self.indices[row] as u64);
        fill_words(&mut generator, self.words);
        &self.words[..count]
    }

    /// Standard normal numbers for a step and a row of the block.
    pub fn normal(&mut self, level: Level, out: &mut [f32], step: usize, row: usize) {
        let (pairs, words) = (out.len() / 2 * 2, out.len().next_multiple_of(2));
        self.words(Purpose::Code, step, row, words);
        noise::normal(level, &mut out[..pairs], &self.words[..pairs]);
        if pairs < out.len() {
            let mut last = [0.0; 2];
            noise::normal(level, &mut last, &self.words[pairs..words]);
            out[pairs] = last[0];
        }
    }
}
