//! A thread's own memory, and the tensors of a block in both homes.

use narrows_kernels::shared::Piece;
use narrows_kernels::{Level, noise};

use super::layout::{Home, Tensor};
use crate::base::random::{Purpose, fill_words, row_generator};

/// Zeros that begin at a cache line.
pub(super) struct Aligned {
    memory: Vec<f32>,
    start: usize,
    len: usize,
}

/// Bytes of a cache line.
const LINE: usize = 64;

impl Aligned {
    pub fn new(len: usize) -> Self {
        let padding = LINE / size_of::<f32>();
        let memory = vec![0.0; len + padding];
        let start = memory.as_ptr().align_offset(LINE).min(padding);
        Self { memory, start, len }
    }

    pub fn get(&mut self) -> &mut [f32] {
        &mut self.memory[self.start..self.start + self.len]
    }
}

/// The tensors of `rows` rows: of a group of the shared memory, where there is one, and of a thread's slot.
pub(super) struct Space<'a, 'b> {
    /// The group's rows of each matrix.
    pub batch: Option<&'a mut Piece<'b, f32>>,
    /// The block's first row, counted from the group's.
    pub first: usize,
    pub slot: &'a mut [f32],
    pub rows: usize,
    /// What is drawn at random in training; nothing is when rows are judged.
    pub chance: Option<Chance<'a>>,
}

/// Random numbers for the steps of a network in training: those of a row depend on the seed, the step of the chain, the
/// epoch and the number of the row alone.
pub(super) struct Chance<'a> {
    pub seed: u64,
    pub epoch: usize,
    /// The numbers of the block's rows.
    pub indices: &'a [usize],
    pub words: &'a mut Vec<u32>,
}

impl Chance<'_> {
    /// Random words for a step and a row of the block.
    pub fn words(&mut self, purpose: Purpose, step: usize, row: usize, count: usize) -> &[u32] {
        // Normal numbers come in pairs.
        self.words.resize(count.next_multiple_of(2), 0);
        // Epochs are counted in 32 bits.
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

impl Space<'_, '_> {
    /// The rows of several tensors at once. None may be named twice.
    pub fn tensors<const N: usize>(&mut self, tensors: [Tensor; N]) -> [&mut [f32]; N] {
        let (first, rows) = (self.first, self.rows);
        let in_slot = tensors.map(|tensor| match tensor.home {
            Home::Slot(start) => start..start + rows * tensor.stride,
            Home::Batch(_) => 0..0,
        });
        let in_slot = self.slot.get_disjoint_mut(in_slot).expect("tensors of a slot do not overlap");
        let in_batch = tensors.map(|tensor| match tensor.home {
            Home::Slot(_) => None,
            Home::Batch(matrix) => Some(matrix),
        });
        let in_batch = match &mut self.batch {
            Some(batch) => batch.some_ranges(in_batch),
            None => [(); N].map(|()| Default::default()),
        };
        let mut both = in_slot.into_iter().zip(in_batch);
        tensors.map(|tensor| {
            let (slot, batch) = both.next().expect("as many as tensors");
            match tensor.home {
                Home::Slot(_) => slot,
                Home::Batch(_) => &mut batch[first * tensor.stride..(first + rows) * tensor.stride],
            }
        })
    }
}
