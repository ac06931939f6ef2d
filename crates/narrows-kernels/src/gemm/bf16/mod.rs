//! Products with operands in bfloat16 and sums in single precision.
//!
//! ```text
//! C (m x n)  =  epilogue( bf16(A) (m x k)  bf16(B) (k x n) )        or  C += bf16(A) bf16(B)
//! ```
//!
//! bfloat16 is a single-precision number cut to its upper 16 bits: the same exponents, 8 significant bits. Operands are rounded
//! to nearest, ties to even, while they are packed; subnormal numbers become 0. Sums, bias, activation and C are in single
//! precision.
//!
//! A [`Unit`] does the multiply-adds: the matrix unit of a processor (AMX), its dot products (AVX-512 BF16), or, on any other
//! processor, an ordinary product of rounded operands. They add in different orders: results agree to the rounding of single
//! precision, not in bits. As with [`super::multiply`], an element of C does not depend on the rows and columns that are computed
//! with it, so a product may be split among threads at any row or column without changing a bit.

#[cfg(target_arch = "x86_64")]
mod dot_product;
#[cfg(target_arch = "x86_64")]
mod driver;
#[cfg(target_arch = "x86_64")]
mod packing;

use super::epilogue::Epilogue;
use super::view::View;
use super::{check_epilogue, check_shapes};
use crate::optimizer::{Optimizer, TileStep};
#[cfg(target_arch = "x86_64")]
use crate::simd::InstructionSet;
use crate::simd::Level;

/// What multiplies numbers in bfloat16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Unit(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// Operands are rounded, products are those of single precision at this level.
    Emulated(Level),
    /// `vdpbf16ps`, two multiply-adds for each lane of 512 bits.
    #[cfg(target_arch = "x86_64")]
    DotProduct,
    /// `tdpbf16ps`, the product of two tiles of 16 x 32 and 32 x 16.
    #[cfg(target_arch = "x86_64")]
    Amx,
}

impl Unit {
    /// The fastest unit of this processor; an emulation below AVX-512.
    pub fn detect(level: Level) -> Self {
        *Self::available(level).last().expect("the emulation is always available")
    }

    /// All units of this processor, the slowest first.
    pub fn available(level: Level) -> Vec<Self> {
        #[allow(unused_mut)]
        let mut units = vec![Self(Kind::Emulated(level))];
        #[cfg(target_arch = "x86_64")]
        if matches!(level.0, InstructionSet::Avx512 | InstructionSet::Amx)
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512bf16")
        {
            units.push(Self(Kind::DotProduct));
            if level.0 == InstructionSet::Amx {
                units.push(Self(Kind::Amx));
            }
        }
        units
    }

    /// `emulated`, `avx512-bf16` or `amx-bf16`.
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::Emulated(_) => "emulated",
            #[cfg(target_arch = "x86_64")]
            Kind::DotProduct => "avx512-bf16",
            #[cfg(target_arch = "x86_64")]
            Kind::Amx => "amx-bf16",
        }
    }
}

/// Elements of `scratch` that a product m x n with inner dimension `k` needs on any processor.
pub fn scratch_len(m: usize, n: usize, k: usize) -> usize {
    // The emulation's copies of both operands; the packed operands of the others take less than the product's own scratch.
    super::scratch_len(k).saturating_add(m.saturating_add(n).saturating_mul(k))
}

/// C = epilogue(A B), as [`super::multiply`].
///
/// # Panics
/// If the shapes do not match.
pub(super) fn multiply(
    unit: Unit,
    c: &mut [f32],
    a: View<'_, f32>,
    b: View<'_, f32>,
    epilogue: Epilogue<'_>,
    scratch: &mut [f32],
) {
    check_shapes(c.len(), &a, &b, scratch.len());
    check_epilogue(epilogue, c.len(), b.shape().1);
    match unit.0 {
        Kind::Emulated(level) => {
            with_rounded(a, b, scratch, |a, b, scratch| super::multiply(level, c, a, b, epilogue, scratch));
        }
        #[cfg(target_arch = "x86_64")]
        Kind::DotProduct | Kind::Amx => {
            driver::gemm(unit, super::driver::Output::Matrix(c), a, b, epilogue, scratch);
        }
    }
}

/// An optimizer step at a level, whose gradients are the product A B, as [`super::multiply_and_step`].
///
/// # Panics
/// If the shapes do not match, or Adam's step number is 0.
pub(super) fn multiply_and_step(
    (unit, level): (Unit, Level),
    parameters: &mut [f32],
    state: [&mut [f32]; 2],
    a: View<'_, f32>,
    b: View<'_, f32>,
    optimizer: Optimizer,
    scratch: &mut [f32],
) -> bool {
    check_shapes(parameters.len(), &a, &b, scratch.len());
    match unit.0 {
        Kind::Emulated(level) => with_rounded(a, b, scratch, |a, b, scratch| {
            super::multiply_and_step(level, parameters, state, a, b, optimizer, scratch)
        }),
        #[cfg(target_arch = "x86_64")]
        Kind::DotProduct | Kind::Amx => {
            use super::driver::{ComputedTile, Output};
            let mut step = TileStep::new(level, optimizer, parameters, state, b.shape().1);
            let mut consume = |tile: ComputedTile<'_, f32>| {
                let ComputedTile { values, row, column, rows, columns } = tile;
                step.update(values, ComputedTile::<f32>::STRIDE, row..row + rows, column..column + columns);
            };
            driver::gemm(unit, Output::Tiles(&mut consume), a, b, Epilogue::Store, scratch);
            step.is_finite()
        }
    }
}

/// Calls `work` with copies of A and B whose elements are rounded to bfloat16, and with what is left of the scratch.
fn with_rounded<R>(
    a: View<'_, f32>,
    b: View<'_, f32>,
    scratch: &mut [f32],
    work: impl FnOnce(View<'_, f32>, View<'_, f32>, &mut [f32]) -> R,
) -> R {
    let ((m, k), (_, n)) = (a.shape(), b.shape());
    let (rounded_a, scratch) = scratch.split_at_mut(m * k);
    let (rounded_b, scratch) = scratch.split_at_mut(k * n);
    work(rounded_copy(a, rounded_a), rounded_copy(b, rounded_b), scratch)
}

/// A copy of a matrix without gaps, in the order of its strides, whose elements are rounded to bfloat16.
fn rounded_copy<'s>(matrix: View<'_, f32>, to: &'s mut [f32]) -> View<'s, f32> {
    let (rows, columns) = matrix.shape();
    if matrix.row_stride == 1 && matrix.column_stride != 1 {
        return rounded_copy(matrix.transposed(), to).transposed();
    }
    if columns > 0 {
        for (i, to) in to.chunks_exact_mut(columns).enumerate() {
            for (j, to) in to.iter_mut().enumerate() {
                *to = rounded(matrix.at(i, j));
            }
        }
    }
    View::new(to, rows, columns)
}

/// The nearest number of bfloat16, ties to even. Subnormal numbers become 0.
pub fn rounded(value: f32) -> f32 {
    let bits = value.to_bits();
    if value.is_nan() {
        return f32::from_bits((bits | 0x0040_0000) & 0xffff_0000);
    }
    if value.is_subnormal() {
        return f32::from_bits(bits & 0x8000_0000);
    }
    let tie_to_even = bits >> 16 & 1;
    f32::from_bits((bits + 0x7fff + tie_to_even) & 0xffff_0000)
}

#[cfg(test)]
mod tests;
