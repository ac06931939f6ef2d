//! Penalties on an active code, and the range of each unit of the code.

use narrows_kernels::{Activation, image, penalty, vector};

use super::Chain;
use crate::network::engine::workspace::Block;

impl Chain<'_> {
    /// Adds to delta i the gradient of `weight` times the sum of |value i|.
    pub fn add_l1_gradient(&self, i: usize, block: &mut Block<'_, '_>, weight: f32) {
        let (to, from) = (self.layout.deltas[i].image, self.layout.values[i].image);
        self.add_to_delta(i, block, |delta, value, activation| {
            image::add_l1(self.arithmetic.level, (delta, to), (value, from), activation, weight);
        });
    }

    /// Adds to delta i for each unit of value i the gradient of its mean's penalty.
    pub fn add_unit_gradients(&self, i: usize, block: &mut Block<'_, '_>, gradients: &[f32]) {
        self.add_to_delta(i, block, |delta, value, activation| {
            penalty::add_unit_gradients(self.arithmetic.level, delta, value, activation, gradients);
        });
    }

    /// Calls `add` with each row of delta i and of value i, and the activation that value i comes out of.
    fn add_to_delta(
        &self,
        i: usize,
        block: &mut Block<'_, '_>,
        mut add: impl FnMut(&mut [f32], &[f32], Activation),
    ) {
        let tensors = [self.layout.deltas[i], self.layout.values[i]];
        block.each_row(tensors, |_, [delta, value]| add(delta, value, self.activation_before(i)));
    }

    /// Extends the ranges of the units of value i by the rows of the block.
    pub fn extend_ranges(&self, i: usize, block: &mut Block<'_, '_>, ranges: &mut UnitRanges) {
        let tensor = self.layout.values[i];
        let image = tensor.image;
        let line = image.width * image.channels;
        block.each_row([tensor], |_, [numbers]| {
            for r in 0..image.height {
                let start = (r + image.border.top) * image.pitch() + image.border.left * image.channels;
                vector::column_min_max(
                    self.arithmetic.level,
                    &mut ranges.min,
                    &mut ranges.max,
                    &numbers[start..start + line],
                );
            }
        });
    }
}

/// The minimum and the maximum of each unit of the code over the rows of an evaluation.
pub(in crate::network::engine) struct UnitRanges {
    pub min: Vec<f32>,
    pub max: Vec<f32>,
}

impl UnitRanges {
    /// The ranges over no rows.
    pub fn new(units: usize) -> Self {
        Self { min: vec![f32::INFINITY; units], max: vec![f32::NEG_INFINITY; units] }
    }

    /// Moves the ranges out, and leaves those over no rows.
    pub fn take(&mut self) -> Self {
        let units = self.min.len();
        std::mem::replace(self, Self::new(units))
    }

    /// Extends the ranges by others.
    pub fn merge(&mut self, other: &Self) {
        self.min.iter_mut().zip(&other.min).for_each(|(own, other)| *own = own.min(*other));
        self.max.iter_mut().zip(&other.max).for_each(|(own, other)| *own = own.max(*other));
    }
}
