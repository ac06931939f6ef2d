//! How many rows a tile has at each SIMD level: as many as leave registers for a row of the other factor and one number.

use super::gradient::{Gradient, gradient_tile};
use super::multiply::{Multiply, multiply_tile};
use super::pooled::{Pooled, pooled_tile};
use crate::activation::Activation;
use crate::matrix::Finish;
use crate::simd::Simd;

/// The tile heights of a level for tiles of two registers and of one.
pub(super) trait Tall: Simd {
    /// Rows of a tile two registers wide.
    const TALL: usize;
    /// Rows of a tile one register wide.
    const TALLEST: usize;

    /// # Safety
    /// As [`multiply_tile`], with `1 <= work.places.len()`, at most `TALL` (or `TALLEST`, one register wide).
    unsafe fn multiply(self, wide: bool, work: Multiply<'_>, finish: Finish<'_>);
    /// Windows of four places of a pooled tile two registers wide, and one register wide.
    const WINDOWS: (usize, usize);

    /// # Safety
    /// As [`pooled_tile`], with 1 to 3 windows.
    unsafe fn pooled<const WINNERS: bool>(self, wide: bool, work: Pooled<'_>, activation: Activation);
    /// # Safety
    /// As [`gradient_tile`], with `1 <= rows.len()`, at most `TALL` (or `TALLEST`, one register wide).
    unsafe fn gradient(self, wide: bool, whole: bool, work: Gradient<'_>);
}

macro_rules! tall {
    ([$($generics:tt)*] $S:ty, $windows:expr, $tall:literal: $($rows:literal)*; $tallest:literal: $($more:literal)*) => {
        impl $($generics)* Tall for $S {
            const TALL: usize = $tall;
            const TALLEST: usize = $tallest;
            const WINDOWS: (usize, usize) = $windows;

            #[inline(always)]
            unsafe fn pooled<const WINNERS: bool>(self, wide: bool, work: Pooled<'_>, activation: Activation) {
                // SAFETY: as the caller promises.
                unsafe {
                    match (wide, work.places.len()) {
                        (true, 4) => pooled_tile::<Self, 1, 2, WINNERS>(self, work, activation),
                        (true, 8) => pooled_tile::<Self, 2, 2, WINNERS>(self, work, activation),
                        (false, 4) => pooled_tile::<Self, 1, 1, WINNERS>(self, work, activation),
                        (false, 8) => pooled_tile::<Self, 2, 1, WINNERS>(self, work, activation),
                        (false, 12) => pooled_tile::<Self, 3, 1, WINNERS>(self, work, activation),
                        _ => unreachable!("tiles of 1 to 3 windows"),
                    }
                }
            }

            #[inline(always)]
            unsafe fn multiply(self, wide: bool, work: Multiply<'_>, finish: Finish<'_>) {
                // SAFETY: as the caller promises.
                unsafe {
                    match (wide, work.places.len()) {
                        $((true, $rows) => multiply_tile::<Self, $rows, 2>(self, work, finish),)*
                        $((false, $rows) => multiply_tile::<Self, $rows, 1>(self, work, finish),)*
                        $((false, $more) => multiply_tile::<Self, $more, 1>(self, work, finish),)*
                        _ => unreachable!("tiles of 1 to {} places", $tallest),
                    }
                }
            }

            #[inline(always)]
            unsafe fn gradient(self, wide: bool, whole: bool, work: Gradient<'_>) {
                // SAFETY: as the caller promises.
                unsafe {
                    match (wide, work.rows.len()) {
                        $((true, $rows) => if whole {
                            gradient_tile::<Self, $rows, 2, true>(self, work)
                        } else {
                            gradient_tile::<Self, $rows, 2, false>(self, work)
                        },)*
                        $((false, $rows) => if whole {
                            gradient_tile::<Self, $rows, 1, true>(self, work)
                        } else {
                            gradient_tile::<Self, $rows, 1, false>(self, work)
                        },)*
                        $((false, $more) => if whole {
                            gradient_tile::<Self, $more, 1, true>(self, work)
                        } else {
                            gradient_tile::<Self, $more, 1, false>(self, work)
                        },)*
                        _ => unreachable!("tiles of 1 to {} rows", $tallest),
                    }
                }
            }
        }
    };
}
tall!([<const N: usize>] crate::simd::Portable<N>, (1, 1), 4: 1 2 3 4; 6: 5 6);
#[cfg(target_arch = "x86_64")]
tall!([] crate::simd::Avx2, (1, 2), 6: 1 2 3 4 5 6; 10: 7 8 9 10);
#[cfg(target_arch = "x86_64")]
tall!([] crate::simd::Avx512, (2, 3), 12: 1 2 3 4 5 6 7 8 9 10 11 12; 14: 13 14);
#[cfg(target_arch = "aarch64")]
tall!([] crate::simd::Neon, (2, 3), 12: 1 2 3 4 5 6 7 8 9 10 11 12; 14: 13 14);
