//! The arithmetic of a network's products: single precision, or operands in bfloat16.

use super::bf16::{self, Unit};
use super::{Epilogue, View};
use crate::optimizer::Optimizer;
use crate::simd::Level;

/// The SIMD level of products, and what multiplies operands in bfloat16, if they are rounded to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arithmetic {
    /// The level of all arithmetic but that of products in bfloat16.
    pub level: Level,
    /// The unit of products in bfloat16; None for single precision.
    pub bf16: Option<Unit>,
}

impl Arithmetic {
    /// Single precision.
    pub fn single(level: Level) -> Self {
        Self { level, bf16: None }
    }

    /// Operands in bfloat16, with the fastest unit of this processor.
    pub fn bf16(level: Level) -> Self {
        Self { level, bf16: Some(Unit::detect(level)) }
    }

    /// All of this processor, single precision first.
    pub fn available(level: Level) -> Vec<Self> {
        let units = Unit::available(level).into_iter().map(|unit| Self { level, bf16: Some(unit) });
        std::iter::once(Self::single(level)).chain(units).collect()
    }

    /// The name of the level or of the unit.
    pub fn name(self) -> &'static str {
        self.bf16.map_or(self.level.name(), Unit::name)
    }

    /// Elements of `scratch` that a product m x n with inner dimension `k` needs.
    pub fn scratch_len(self, m: usize, n: usize, k: usize) -> usize {
        if self.bf16.is_some() { bf16::scratch_len(m, n, k) } else { super::scratch_len(k) }
    }

    /// C = epilogue(A B), as [`super::multiply`].
    ///
    /// # Panics
    /// If the shapes do not match.
    pub fn multiply(
        self,
        c: &mut [f32],
        a: View<'_, f32>,
        b: View<'_, f32>,
        epilogue: Epilogue<'_>,
        scratch: &mut [f32],
    ) {
        match self.bf16 {
            None => super::multiply(self.level, c, a, b, epilogue, scratch),
            Some(unit) => bf16::multiply(unit, c, a, b, epilogue, scratch),
        }
    }

    /// An optimizer step whose gradients are the product A B, as [`super::multiply_and_step`].
    ///
    /// # Panics
    /// If the shapes do not match, or Adam's step number is 0.
    pub fn multiply_and_step(
        self,
        parameters: &mut [f32],
        state: [&mut [f32]; 2],
        a: View<'_, f32>,
        b: View<'_, f32>,
        optimizer: Optimizer,
        scratch: &mut [f32],
    ) -> bool {
        match self.bf16 {
            None => super::multiply_and_step(self.level, parameters, state, a, b, optimizer, scratch),
            Some(unit) => {
                bf16::multiply_and_step((unit, self.level), parameters, state, a, b, optimizer, scratch)
            }
        }
    }
}
