//! The portable token: vectors as arrays, for every processor. Level `plain` has four lanes. The tests use wider arrays
//! to run the code paths of levels that the processor lacks.

use super::traits::{F, Lanes, Outline, Simd, outline};

/// The token of vectors that are arrays of `N` elements; requires no processor feature.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portable<const N: usize>;

impl<const N: usize> Outline for Portable<N> {
    #[inline(always)]
    fn outline<R>(self, work: impl FnOnce() -> R) -> R {
        outline(work)
    }
}

/// Implements [`Lanes`] for arrays of `$T`.
macro_rules! lanes {
    ($T:ty) => {
        impl<const N: usize> Lanes<$T> for Portable<N> {
            type Vector = [$T; N];
            const COUNT: usize = N;

            #[inline(always)]
            fn splat(self, value: $T) -> [$T; N] {
                [value; N]
            }
            #[inline(always)]
            fn add(self, a: [$T; N], b: [$T; N]) -> [$T; N] {
                std::array::from_fn(|i| a[i] + b[i])
            }
            /// Rounds twice: without the instruction, a fused multiply-add would be a library call per lane.
            #[inline(always)]
            fn mul_add(self, a: [$T; N], b: [$T; N], c: [$T; N]) -> [$T; N] {
                std::array::from_fn(|i| a[i] * b[i] + c[i])
            }
            #[inline(always)]
            unsafe fn load(self, from: *const $T) -> [$T; N] {
                // SAFETY: the caller guarantees N accessible elements.
                unsafe { from.cast::<[$T; N]>().read_unaligned() }
            }
            #[inline(always)]
            unsafe fn load_first(self, from: *const $T, count: usize) -> [$T; N] {
                debug_assert!(count <= N);
                // SAFETY: only the first `count` elements are read.
                std::array::from_fn(|i| if i < count { unsafe { *from.add(i) } } else { 0.0 })
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $T, value: [$T; N]) {
                // SAFETY: the caller guarantees N accessible elements.
                unsafe { to.cast::<[$T; N]>().write_unaligned(value) }
            }
            #[inline(always)]
            unsafe fn store_first(self, to: *mut $T, value: [$T; N], count: usize) {
                debug_assert!(count <= N);
                for (i, value) in value.into_iter().enumerate().take(count) {
                    // SAFETY: only the first `count` elements are written.
                    unsafe { *to.add(i) = value }
                }
            }
        }
    };
}
lanes!(f32);
lanes!(f64);

impl<const N: usize> Simd for Portable<N> {
    const HAS_32_REGISTERS: bool = false;

    #[inline(always)]
    fn sub(self, a: F<Self>, b: F<Self>) -> F<Self> {
        std::array::from_fn(|i| a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: F<Self>, b: F<Self>) -> F<Self> {
        std::array::from_fn(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn div(self, a: F<Self>, b: F<Self>) -> F<Self> {
        std::array::from_fn(|i| a[i] / b[i])
    }
    #[inline(always)]
    fn sqrt(self, a: F<Self>) -> F<Self> {
        std::array::from_fn(|i| a[i].sqrt())
    }
    #[inline(always)]
    fn min(self, a: F<Self>, b: F<Self>) -> F<Self> {
        std::array::from_fn(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn max(self, a: F<Self>, b: F<Self>) -> F<Self> {
        std::array::from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn round(self, a: F<Self>) -> F<Self> {
        // Adding and subtracting 1.5 * 2^23 rounds to an integer, ties to even; exact for |a| < 2^22.
        const SHIFT: f32 = 12_582_912.0;
        std::array::from_fn(|i| (a[i] + SHIFT) - SHIFT)
    }
    #[inline(always)]
    fn power_of_two(self, a: F<Self>) -> F<Self> {
        std::array::from_fn(|i| f32::from_bits(((a[i] as i32 + 127) as u32) << 23))
    }
    #[inline(always)]
    unsafe fn load_bytes(self, from: *const u8) -> F<Self> {
        // SAFETY: the caller guarantees N readable bytes.
        std::array::from_fn(|i| f32::from(unsafe { *from.add(i) }))
    }
    #[inline(always)]
    fn where_positive(self, x: F<Self>, a: F<Self>, b: F<Self>) -> F<Self> {
        std::array::from_fn(|i| if x[i] > 0.0 { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn where_equal(self, x: F<Self>, y: F<Self>, a: F<Self>, b: F<Self>) -> F<Self> {
        std::array::from_fn(|i| if x[i] == y[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn sum(self, a: F<Self>) -> f32 {
        a.into_iter().sum()
    }
    #[inline(always)]
    fn first(self, a: F<Self>, count: usize) -> F<Self> {
        std::array::from_fn(|i| if i < count { a[i] } else { 0.0 })
    }
}
