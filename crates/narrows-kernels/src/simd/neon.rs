//! The NEON token. NEON is part of the aarch64 baseline.

use std::arch::aarch64::*;

use super::traits::{Lanes, Outline, Simd, outline};

/// Proof of NEON: vectors of 4 f32 or 2 f64.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Neon(());

impl Neon {
    /// # Safety
    /// The processor has NEON.
    #[inline(always)]
    pub(crate) unsafe fn new_unchecked() -> Self {
        Self(())
    }
}

/// Defines methods whose body is one expression of intrinsics covered by the token.
macro_rules! methods {
    ($(fn $name:ident($($arg:ident: $type:ty),*) -> $out:ty { $body:expr })*) => {
        $(
            #[inline(always)]
            #[allow(unused_unsafe)]
            fn $name(self, $($arg: $type),*) -> $out {
                // SAFETY: the token proves that the processor has these instructions.
                unsafe { $body }
            }
        )*
    };
}

/// Defines the loads and stores of [`Lanes`]; partial ones go through an array, because NEON has no masked access.
macro_rules! memory {
    ($T:ty, $V:ty, $count:literal, $load:ident, $store:ident) => {
        #[inline(always)]
        unsafe fn load(self, from: *const $T) -> $V {
            // SAFETY: guaranteed by the caller.
            unsafe { $load(from) }
        }
        #[inline(always)]
        unsafe fn load_first(self, from: *const $T, count: usize) -> $V {
            debug_assert!(count <= $count);
            let mut numbers: [$T; $count] = [0.0; $count];
            // SAFETY: `count` elements can be read (guaranteed by the caller), and the array holds at least as many.
            unsafe {
                std::ptr::copy_nonoverlapping(from, numbers.as_mut_ptr(), count);
                $load(numbers.as_ptr())
            }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut $T, value: $V) {
            // SAFETY: guaranteed by the caller.
            unsafe { $store(to, value) }
        }
        #[inline(always)]
        unsafe fn store_first(self, to: *mut $T, value: $V, count: usize) {
            debug_assert!(count <= $count);
            let mut numbers: [$T; $count] = [0.0; $count];
            // SAFETY: the array holds a whole vector, and `count` elements can be written (guaranteed by the caller).
            unsafe {
                $store(numbers.as_mut_ptr(), value);
                std::ptr::copy_nonoverlapping(numbers.as_ptr(), to, count);
            }
        }
    };
}

impl Outline for Neon {
    #[inline(always)]
    fn outline<R>(self, work: impl FnOnce() -> R) -> R {
        outline(work)
    }
}

impl Lanes<f32> for Neon {
    type Vector = float32x4_t;
    const COUNT: usize = 4;

    methods! {
        fn splat(value: f32) -> float32x4_t { vdupq_n_f32(value) }
        fn add(a: float32x4_t, b: float32x4_t) -> float32x4_t { vaddq_f32(a, b) }
        fn mul_add(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t { vfmaq_f32(c, a, b) }
    }
    memory!(f32, float32x4_t, 4, vld1q_f32, vst1q_f32);
}

impl Lanes<f64> for Neon {
    type Vector = float64x2_t;
    const COUNT: usize = 2;

    methods! {
        fn splat(value: f64) -> float64x2_t { vdupq_n_f64(value) }
        fn add(a: float64x2_t, b: float64x2_t) -> float64x2_t { vaddq_f64(a, b) }
        fn mul_add(a: float64x2_t, b: float64x2_t, c: float64x2_t) -> float64x2_t { vfmaq_f64(c, a, b) }
    }
    memory!(f64, float64x2_t, 2, vld1q_f64, vst1q_f64);
}

impl Simd for Neon {
    const HAS_32_REGISTERS: bool = true;

    #[inline(always)]
    unsafe fn load_bytes(self, from: *const u8) -> float32x4_t {
        // SAFETY: the caller guarantees 4 readable bytes.
        let numbers: [f32; 4] = std::array::from_fn(|i| f32::from(unsafe { *from.add(i) }));
        // SAFETY: the array holds a whole vector.
        unsafe { vld1q_f32(numbers.as_ptr()) }
    }
    methods! {
        fn sub(a: float32x4_t, b: float32x4_t) -> float32x4_t { vsubq_f32(a, b) }
        fn mul(a: float32x4_t, b: float32x4_t) -> float32x4_t { vmulq_f32(a, b) }
        fn div(a: float32x4_t, b: float32x4_t) -> float32x4_t { vdivq_f32(a, b) }
        fn sqrt(a: float32x4_t) -> float32x4_t { vsqrtq_f32(a) }
        fn min(a: float32x4_t, b: float32x4_t) -> float32x4_t { vbslq_f32(vcltq_f32(a, b), a, b) }
        fn max(a: float32x4_t, b: float32x4_t) -> float32x4_t { vbslq_f32(vcgtq_f32(a, b), a, b) }
        fn round(a: float32x4_t) -> float32x4_t { vrndnq_f32(a) }
        fn power_of_two(a: float32x4_t) -> float32x4_t {
            vreinterpretq_f32_s32(vshlq_n_s32::<23>(vaddq_s32(vcvtnq_s32_f32(a), vdupq_n_s32(127))))
        }
        fn where_positive(x: float32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t {
            vbslq_f32(vcgtq_f32(x, vdupq_n_f32(0.0)), a, b)
        }
        fn where_equal(x: float32x4_t, y: float32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t {
            vbslq_f32(vceqq_f32(x, y), a, b)
        }
        fn first(a: float32x4_t, count: usize) -> float32x4_t {{
            let mut numbers = [0.0f32; 4];
            vst1q_f32(numbers.as_mut_ptr(), a);
            for number in numbers.iter_mut().skip(count) {
                *number = 0.0;
            }
            vld1q_f32(numbers.as_ptr())
        }}
        fn sum(a: float32x4_t) -> f32 { vaddvq_f32(a) }
    }
}
