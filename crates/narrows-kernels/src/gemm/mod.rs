//! The product of two matrices (GEMM), with an epilogue applied to each tile before it is stored.
//!
//! ```text
//! C (m x n)  =  epilogue( A (m x k) B (k x n) )        or  C += A B
//! ```
//!
//! A and B are given by their strides, so one loop computes the three products of training: the forward pass `X W`, the
//! gradient at a layer's input `G W'` and the gradient of its weights `X' G`. The algorithm is that of Goto and van de
//! Geijn ("Anatomy of High-Performance Matrix Multiplication", 2008), without blocks along k, because the k of a layer
//! is small:
//!
//! 1. B is cut into *panels* of NR columns (two registers). A panel that is read often, or that is not row-major, is first
//!    packed into `scratch` (`driver`, `packing`).
//! 2. For each panel, C is cut into *tiles* of MR rows. A tile stays in registers while the microkernel loops over k: each
//!    iteration loads two registers of B, broadcasts one element of A per row, and multiplies and adds every pair
//!    (`microkernel`). All-zero k-slices of a tile of A are skipped if there are many (`skip_zeros`).
//! 3. The epilogue is applied to the registers, which are then stored once (`epilogue`).
//!
//! **Bit guarantee.** Each element of C is one chain of multiply-adds in the order of k, whichever tile or panel it
//! falls in. So a product may be split among threads at any row or column without changing a bit of the result. A
//! skipped slice would add 0, which changes no finite value. But the slices that a tile skips depend on the split, so 0
//! times an infinity or NaN in B may or may not appear in the result.

mod arithmetic;
pub mod bf16;
mod driver;
mod epilogue;
mod microkernel;
mod packing;
mod skip_zeros;
mod tile;
pub(crate) mod tiles;
mod view;

pub use arithmetic::Arithmetic;
pub use epilogue::{Epilogue, EpilogueF64};
pub use view::View;

use crate::optimizer::{Optimizer, TileStep};
use crate::simd::{Level, dispatch};
use driver::{ComputedTile, Output, gemm};

/// Elements of `scratch` that a product with inner dimension `k` needs at any level.
pub fn scratch_len(k: usize) -> usize {
    driver::scratch_len(k)
}

/// C = epilogue(A B) in f32. `c` is m x n, row-major; `scratch` has at least [`scratch_len`]`(k)` elements, of any
/// value.
///
/// # Panics
/// If the shapes do not match.
pub fn multiply(
    level: Level,
    c: &mut [f32],
    a: View<'_, f32>,
    b: View<'_, f32>,
    epilogue: Epilogue<'_>,
    scratch: &mut [f32],
) {
    check_shapes(c.len(), &a, &b, scratch.len());
    check_epilogue(epilogue, c.len(), b.shape().1);
    dispatch!(level, s => gemm(s, Output::Matrix(c), a, b, epilogue, scratch));
}

/// An optimizer step whose gradients are the product A B. Each tile of gradients is consumed while it is in the nearest
/// cache; the gradients are never stored as a matrix. `parameters` are m x n, row-major; `state` is as in
/// [`crate::optimizer::step`], `scratch` as in [`multiply`]. Returns whether all gradients were finite. The result has
/// the same bits as [`multiply`] followed by [`crate::optimizer::step`].
///
/// # Panics
/// If the shapes do not match, or Adam's step number is 0.
pub fn multiply_and_step(
    level: Level,
    parameters: &mut [f32],
    state: [&mut [f32]; 2],
    a: View<'_, f32>,
    b: View<'_, f32>,
    optimizer: Optimizer,
    scratch: &mut [f32],
) -> bool {
    check_shapes(parameters.len(), &a, &b, scratch.len());
    let mut step = TileStep::new(level, optimizer, parameters, state, b.shape().1);
    let mut consume = |tile: ComputedTile<'_, f32>| {
        let ComputedTile { values, row, column, rows, columns } = tile;
        step.update(values, ComputedTile::<f32>::STRIDE, row..row + rows, column..column + columns);
    };
    dispatch!(level, s => gemm(s, Output::Tiles(&mut consume), a, b, Epilogue::Store, scratch));
    step.is_finite()
}

/// C = epilogue(A B) in f64, as [`multiply`].
///
/// # Panics
/// If the shapes do not match.
pub fn multiply_f64(
    level: Level,
    c: &mut [f64],
    a: View<'_, f64>,
    b: View<'_, f64>,
    epilogue: EpilogueF64<'_>,
    scratch: &mut [f64],
) {
    check_shapes(c.len(), &a, &b, scratch.len());
    if let EpilogueF64::Bias(bias) = epilogue {
        assert_eq!(bias.len(), b.shape().1);
    }
    dispatch!(level, s => gemm(s, Output::Matrix(c), a, b, epilogue, scratch));
}

fn check_epilogue(epilogue: Epilogue<'_>, c: usize, columns: usize) {
    match epilogue {
        Epilogue::Forward { bias: Some(bias), .. } => assert_eq!(bias.len(), columns),
        Epilogue::Backward { outputs, .. } => assert_eq!(outputs.len(), c),
        _ => {}
    }
}

fn check_shapes<T: Copy>(c: usize, a: &View<'_, T>, b: &View<'_, T>, scratch: usize) {
    let ((m, k), (b_rows, n)) = (a.shape(), b.shape());
    assert_eq!(k, b_rows, "the inner dimensions");
    assert_eq!(m.checked_mul(n), Some(c), "the outer dimensions");
    assert!(a.fits() && b.fits());
    assert!(scratch >= scratch_len(k), "scratch for an inner dimension of {k}");
}

#[cfg(test)]
mod tests;
