//! A thread's own memory, and the tensors of a block in both homes.

use narrows_kernels::lockstep::Piece;

use super::layout::{Home, Tensor};

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
