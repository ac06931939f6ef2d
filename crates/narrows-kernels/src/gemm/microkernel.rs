//! The microkernel: computes one tile of C in registers.

use super::epilogue::ApplyEpilogue;
use super::tile::{Accumulators, NR_VECTORS, TilePosition};
use crate::simd::{Lanes, Outline, each_row};

/// The microkernel of a level. MR is the number of rows that leaves registers for two vectors of B and one of A:
/// 6 x 2 + 2 + 1 of 16 registers, 12 x 2 + 2 + 1 of 32.
pub(super) trait Microkernel<T: Copy>: Lanes<T> {
    /// Rows of a whole tile.
    const MR: usize;

    /// Computes a tile of `rows` rows in a function of its own.
    ///
    /// # Safety
    /// As [`compute_tile`], with `1 <= rows <= MR`.
    unsafe fn run<E: ApplyEpilogue<Self, T>, const UNIT_ROW_STRIDE: bool, const INDEXED: bool>(
        self,
        rows: usize,
        operands: Operands<'_, T>,
        epilogue: E,
    );
}

/// Implements [`Microkernel`] for a token, with one instance of [`compute_tile`] for each number of rows.
macro_rules! microkernels {
    ([$($generics:tt)*] $S:ty, $T:ty, $mr:literal: $($rows:literal)*) => {
        impl $($generics)* Microkernel<$T> for $S {
            const MR: usize = $mr;

            #[inline(always)]
            unsafe fn run<E: ApplyEpilogue<Self, $T>, const UNIT_ROW_STRIDE: bool, const INDEXED: bool>(
                self,
                rows: usize,
                operands: Operands<'_, $T>,
                epilogue: E,
            ) {
                match rows {
                    $($rows => self.outline(
                        #[inline(always)]
                        // SAFETY: guaranteed by the caller.
                        || unsafe {
                            compute_tile::<Self, $T, E, $rows, UNIT_ROW_STRIDE, INDEXED>(self, operands, epilogue)
                        },
                    ),)*
                    _ => unreachable!("tiles of 1 to {} rows", $mr),
                }
            }
        }
    };
}
microkernels!([<const N: usize>] crate::simd::Portable<N>, f32, 4: 1 2 3 4);
microkernels!([<const N: usize>] crate::simd::Portable<N>, f64, 2: 1 2);
#[cfg(target_arch = "x86_64")]
microkernels!([] crate::simd::Avx2, f32, 6: 1 2 3 4 5 6);
#[cfg(target_arch = "x86_64")]
microkernels!([] crate::simd::Avx2, f64, 6: 1 2 3 4 5 6);
#[cfg(target_arch = "x86_64")]
microkernels!([] crate::simd::Avx512, f32, 12: 1 2 3 4 5 6 7 8 9 10 11 12);
#[cfg(target_arch = "x86_64")]
microkernels!([] crate::simd::Avx512, f64, 12: 1 2 3 4 5 6 7 8 9 10 11 12);
#[cfg(target_arch = "aarch64")]
microkernels!([] crate::simd::Neon, f32, 12: 1 2 3 4 5 6 7 8 9 10 11 12);
#[cfg(target_arch = "aarch64")]
microkernels!([] crate::simd::Neon, f64, 12: 1 2 3 4 5 6 7 8 9 10 11 12);

/// The operands of one tile.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a, T> {
    /// The inner dimension.
    pub k: usize,
    /// If A holds only some of its k-slices: their indices, in ascending order.
    pub kept: &'a [u32],
    /// The tile's first row of A.
    pub a: *const T,
    pub a_row_stride: usize,
    pub a_k_stride: usize,
    /// The panel of B, of which whole registers are read at each k.
    pub b: *const T,
    pub b_k_stride: usize,
    pub position: TilePosition<T>,
}

/// One rank-1 update of the tile: the k-slice of A, one element per row, times two vectors of B.
macro_rules! rank_one_update {
    ($s:ident, $sums:ident, $a:ident, $a_row_stride:ident, $b:expr) => {
        let b = $b;
        let bs: [S::Vector; NR_VECTORS] = [$s.load(b), $s.load(b.add(S::COUNT))];
        each_row!(i => {
            let x = $s.splat(*$a.add(i * $a_row_stride));
            $sums[i][0] = $s.mul_add(x, bs[0], $sums[i][0]);
            $sums[i][1] = $s.mul_add(x, bs[1], $sums[i][1]);
        });
    };
}

/// Computes a tile of `ROWS` rows and stores it through the epilogue.
///
/// # Safety
/// A holds `ROWS` rows of `k` elements at its strides; B holds `k` times [`NR_VECTORS`] whole registers, `b_k_stride`
/// apart; C is valid for reads and writes of `ROWS` rows of `width` elements, with `width` from 1 to two registers.
/// With `UNIT_ROW_STRIDE` the rows of A are one element apart. With `INDEXED` A holds the k-slices listed in `kept`
/// only, whose indices are below `k`.
#[inline(always)]
unsafe fn compute_tile<
    S: Lanes<T>,
    T: Copy,
    E: ApplyEpilogue<S, T>,
    const ROWS: usize,
    const UNIT_ROW_STRIDE: bool,
    const INDEXED: bool,
>(
    s: S,
    operands: Operands<'_, T>,
    epilogue: E,
) {
    let Operands { k, kept, a, a_row_stride, a_k_stride, b, b_k_stride, position } = operands;
    let TilePosition { c, c_row_stride, width, .. } = position;
    // A stride that is a compile-time constant needs no address arithmetic in the loop.
    let a_row_stride = if UNIT_ROW_STRIDE { 1 } else { a_row_stride };
    let lanes = S::COUNT;
    // The lanes of each of the two registers that lie inside C.
    let inside = [width.min(lanes), width.saturating_sub(lanes)];
    // SAFETY: a register that lies outside C altogether is loaded and stored with a count of 0, at a pointer inside its
    // row or at its end; everything else is guaranteed by the caller.
    unsafe {
        let zero = s.load_first(b, 0);
        let mut sums: Accumulators<S::Vector, ROWS> = [[zero; NR_VECTORS]; ROWS];
        if epilogue.accumulates() {
            for i in 0..ROWS {
                for v in 0..NR_VECTORS {
                    sums[i][v] = s.load_first(c.add(i * c_row_stride + (v * lanes).min(width)), inside[v]);
                }
            }
        }
        let mut a = a;
        if INDEXED {
            for &index in kept {
                rank_one_update!(s, sums, a, a_row_stride, b.add(index as usize * b_k_stride));
                a = a.wrapping_add(a_k_stride);
            }
        } else {
            let mut b = b;
            for _ in 0..k {
                rank_one_update!(s, sums, a, a_row_stride, b);
                a = a.wrapping_add(a_k_stride);
                b = b.wrapping_add(b_k_stride);
            }
        }
        // -0 becomes +0. A k-slice of zeros can turn an accumulator of -0 into +0, so the sign of a zero would
        // otherwise depend on whether that slice was skipped.
        let mut unsigned = [[zero; NR_VECTORS]; ROWS];
        each_row!(i => {
            unsigned[i] = [s.add(sums[i][0], zero), s.add(sums[i][1], zero)];
        });
        let sums = epilogue.apply(s, unsigned, position);
        let whole = width == NR_VECTORS * lanes;
        for i in 0..ROWS {
            for v in 0..NR_VECTORS {
                let to = c.add(i * c_row_stride + (v * lanes).min(width));
                if whole {
                    s.store(to, sums[i][v]);
                } else {
                    s.store_first(to, sums[i][v], inside[v]);
                }
            }
        }
    }
}
