//! The product of two matrices, with what follows it applied to each tile before it is stored.
//!
//! ```text
//! C (m x n)  =  finish( A (m x k) B (k x n) )        or  C += A B
//! ```
//!
//! One loop serves the three products of training, because it takes A and B by their strides: forward `X W`, the
//! gradient at a layer's input `G W'`, the gradient of its weights `X' G`. The way is the usual one (Goto and van de Geijn
//! 2008), without blocks along k, since the k of a layer is short (`sweep`):
//!
//! 1. B is cut into *panels*, as many columns as fit two registers. A panel that is read often, or that does not lie row
//!    by row in memory, is first copied together into `scratch`.
//! 2. For a panel, C is cut into *tiles* of a few rows. A tile lives in registers while k runs: at each step two
//!    registers of B are read, each row's number of A is spread over a register, and every pair is multiplied and added
//!    (`tile`). Steps at which a tile's rows of A are all 0 are left out where there are many (`zeros`).
//! 3. What follows is applied to the registers, and they are stored once (`finish`).
//!
//! Each number of C is one chain of multiply-adds in the order of k, whatever the tile or panel it falls in. So a product
//! may be cut among threads at any row or column, and no bit changes. What is left out would add 0, which changes no number;
//! but where a tile leaves out a step depends on the cut, so that zeros in A may or may not meet what is not finite in B.

mod finish;
mod sweep;
mod tile;
mod zeros;

use crate::activation::Activation;
use crate::optimizer::{Optimizer, TileDescent};
use crate::simd::{Level, dispatch};
use sweep::{Computed, Target, sweep};

/// A matrix of `rows` x `columns` somewhere in a slice: number (i, j) at `i * row_stride + j * column_stride`.
#[derive(Debug, Clone, Copy)]
pub struct View<'a, T> {
    data: &'a [T],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a, T> View<'a, T> {
    /// A matrix that fills a slice, row after row.
    ///
    /// # Panics
    /// Where the slice has another length.
    pub fn new(data: &'a [T], rows: usize, columns: usize) -> Self {
        assert_eq!(rows.checked_mul(columns), Some(data.len()), "a matrix of {rows} x {columns}");
        Self { data, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// Columns `first..first + count` only.
    ///
    /// # Panics
    /// Where they reach past the matrix.
    #[must_use]
    pub fn columns(self, first: usize, count: usize) -> Self {
        assert!(first <= self.columns && count <= self.columns - first);
        let start = (first * self.column_stride).min(self.data.len());
        Self { data: &self.data[start..], columns: count, ..self }
    }

    /// Rows and columns exchanged; nothing moves.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }

    /// Whether every number lies inside the slice.
    fn fits(&self) -> bool {
        self.rows == 0
            || self.columns == 0
            || (self.rows - 1) * self.row_stride + (self.columns - 1) * self.column_stride < self.data.len()
    }
}

impl<T: Copy> View<'_, T> {
    /// Number (i, j).
    pub(crate) fn at(&self, i: usize, j: usize) -> T {
        self.data[i * self.row_stride + j * self.column_stride]
    }

    /// Rows and columns.
    pub(crate) fn shape(&self) -> (usize, usize) {
        (self.rows, self.columns)
    }
}

/// What is done to each number of an f32 product before it is stored.
#[derive(Debug, Clone, Copy)]
pub enum Finish<'a> {
    /// Nothing.
    Store,
    /// The sum with what is stored there already.
    Accumulate,
    /// activation(x + bias of the column); without a bias, activation(x).
    Forward {
        /// One number per column, or none.
        bias: Option<&'a [f32]>,
        /// The layer's activation.
        activation: Activation,
    },
    /// x times the activation's derivative at the point whose output stands at the same place of `outputs`.
    Backward {
        /// The activation of the layer that made `outputs`.
        activation: Activation,
        /// m x n, row after row.
        outputs: &'a [f32],
    },
}

/// What is done to each number of an f64 product before it is stored.
#[derive(Debug, Clone, Copy)]
pub enum FinishWide<'a> {
    /// Nothing.
    Store,
    /// The sum with what is stored there already.
    Accumulate,
    /// x + bias of the column.
    Bias(&'a [f64]),
}

/// Numbers of `scratch` that a product with inner dimension `depth` needs at any level.
pub fn scratch_len(depth: usize) -> usize {
    sweep::scratch_len(depth)
}

/// C = finish(A B), f32. `c` is m x n, row after row; `scratch` has at least [`scratch_len`]`(k)` numbers.
///
/// # Panics
/// Where the shapes do not fit.
pub fn multiply(
    level: Level,
    c: &mut [f32],
    a: View<'_, f32>,
    b: View<'_, f32>,
    finish: Finish<'_>,
    scratch: &mut [f32],
) {
    check(c.len(), &a, &b, scratch.len());
    match finish {
        Finish::Forward { bias: Some(bias), .. } => assert_eq!(bias.len(), b.columns),
        Finish::Backward { outputs, .. } => assert_eq!(outputs.len(), c.len()),
        _ => {}
    }
    dispatch!(level, s => sweep(s, Target::Matrix(c), a, b, finish, scratch));
}

/// One step of an optimiser whose gradients are the product A B: each tile is used while it is near, and then forgotten.
/// `parameters` are m x n, row after row; `memory` as [`crate::optimizer::descend`] wants it, `scratch` as [`multiply`] does. Says
/// whether all gradients were finite. The bits are those of the two one after the other.
///
/// # Panics
/// Where the shapes do not fit, or the number of a step is 0.
pub fn multiply_and_descend(
    level: Level,
    parameters: &mut [f32],
    memory: [&mut [f32]; 2],
    a: View<'_, f32>,
    b: View<'_, f32>,
    optimizer: Optimizer,
    scratch: &mut [f32],
) -> bool {
    check(parameters.len(), &a, &b, scratch.len());
    let mut descent = TileDescent::new(level, optimizer, parameters, memory, b.columns);
    let mut take = |tile: Computed<'_, f32>| {
        let Computed { numbers, row, column, rows, columns } = tile;
        descent.descend(numbers, Computed::<f32>::STRIDE, row..row + rows, column..column + columns);
    };
    dispatch!(level, s => sweep(s, Target::Tiles(&mut take), a, b, Finish::Store, scratch));
    descent.is_finite()
}

/// C = finish(A B), f64. As [`multiply`].
///
/// # Panics
/// Where the shapes do not fit.
pub fn multiply_f64(
    level: Level,
    c: &mut [f64],
    a: View<'_, f64>,
    b: View<'_, f64>,
    finish: FinishWide<'_>,
    scratch: &mut [f64],
) {
    check(c.len(), &a, &b, scratch.len());
    if let FinishWide::Bias(bias) = finish {
        assert_eq!(bias.len(), b.columns);
    }
    dispatch!(level, s => sweep(s, Target::Matrix(c), a, b, finish, scratch));
}

fn check<T>(c: usize, a: &View<'_, T>, b: &View<'_, T>, scratch: usize) {
    assert_eq!(a.columns, b.rows, "the inner dimensions");
    assert_eq!(a.rows.checked_mul(b.columns), Some(c), "the outer dimensions");
    assert!(a.fits() && b.fits());
    assert!(scratch >= scratch_len(a.columns), "scratch for a depth of {}", a.columns);
}

#[cfg(test)]
mod tests;
