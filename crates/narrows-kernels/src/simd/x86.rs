//! The x86-64 tokens: AVX2 with FMA, and AVX-512.

use std::arch::x86_64::*;

use super::traits::{Lanes, Outline, Simd};

/// Proof of AVX2 and FMA: vectors of 8 f32 or 4 f64.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx2(());

/// Proof of AVX-512F, AVX2 and FMA: vectors of 16 f32 or 8 f64.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx2 {
    /// # Safety
    /// The processor has AVX2 and FMA.
    #[inline(always)]
    pub(crate) unsafe fn new_unchecked() -> Self {
        Self(())
    }
}

impl Avx512 {
    /// # Safety
    /// The processor has AVX-512F, AVX2 and FMA.
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
            fn $name(self, $($arg: $type),*) -> $out {
                // SAFETY: the token proves that the processor has these instructions.
                unsafe { $body }
            }
        )*
    };
}

/// `MASK[8 - count..]` begins with `count` set lanes; `MASK_64` is the same for 64-bit lanes.
static MASK: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
static MASK_64: [i64; 8] = [-1, -1, -1, -1, 0, 0, 0, 0];

/// Implements [`Outline`] for a token, with the target features that the token proves. Two functions, of which the first is a
/// jump to the second: the compiler keeps `inline(never)` of a function with target features only in callers that have them, too,
/// and this call is written in one that has not. The second cannot be inlined into the first, which lacks its features.
macro_rules! outline {
    ($token:ty: $features:literal) => {
        impl Outline for $token {
            #[inline(always)]
            fn outline<R>(self, work: impl FnOnce() -> R) -> R {
                #[target_feature(enable = $features)]
                fn vectorize<R>(work: impl FnOnce() -> R) -> R {
                    work()
                }
                #[inline(never)]
                fn separate<R>(work: impl FnOnce() -> R) -> R {
                    // SAFETY: the token proves that the processor has these instructions.
                    unsafe { vectorize(work) }
                }
                separate(work)
            }
        }
    };
}
outline!(Avx2: "avx2,fma");
outline!(Avx512: "avx512f,avx2,fma");

impl Lanes<f32> for Avx2 {
    type Vector = __m256;
    const COUNT: usize = 8;

    methods! {
        fn splat(value: f32) -> __m256 { _mm256_set1_ps(value) }
        fn add(a: __m256, b: __m256) -> __m256 { _mm256_add_ps(a, b) }
        fn mul_add(a: __m256, b: __m256, c: __m256) -> __m256 { _mm256_fmadd_ps(a, b, c) }
    }
    const TRANSPOSE_SIDE: usize = 8;

    #[inline(always)]
    unsafe fn transpose(self, to: *mut f32, to_stride: usize, from: *const f32, from_stride: usize) {
        // SAFETY: guaranteed by the caller; the token proves AVX2.
        unsafe { transpose_8x8(to, to_stride, from, from_stride) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m256 {
        // SAFETY: guaranteed by the caller.
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize) -> __m256 {
        debug_assert!(count <= 8);
        // SAFETY: lanes past `count` are masked and not accessed; the mask is read from inside its table.
        unsafe { _mm256_maskload_ps(from, _mm256_loadu_si256(MASK.as_ptr().add(8 - count).cast())) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: __m256) {
        // SAFETY: guaranteed by the caller.
        unsafe { _mm256_storeu_ps(to, value) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, value: __m256, count: usize) {
        debug_assert!(count <= 8);
        // SAFETY: lanes past `count` are masked and not accessed; the mask is read from inside its table.
        unsafe { _mm256_maskstore_ps(to, _mm256_loadu_si256(MASK.as_ptr().add(8 - count).cast()), value) }
    }
}

impl Lanes<f64> for Avx2 {
    type Vector = __m256d;
    const COUNT: usize = 4;

    methods! {
        fn splat(value: f64) -> __m256d { _mm256_set1_pd(value) }
        fn add(a: __m256d, b: __m256d) -> __m256d { _mm256_add_pd(a, b) }
        fn mul_add(a: __m256d, b: __m256d, c: __m256d) -> __m256d { _mm256_fmadd_pd(a, b, c) }
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f64) -> __m256d {
        // SAFETY: guaranteed by the caller.
        unsafe { _mm256_loadu_pd(from) }
    }
    #[inline(always)]
    unsafe fn load_first(self, from: *const f64, count: usize) -> __m256d {
        debug_assert!(count <= 4);
        // SAFETY: lanes past `count` are masked and not accessed; the mask is read from inside its table.
        unsafe { _mm256_maskload_pd(from, _mm256_loadu_si256(MASK_64.as_ptr().add(4 - count).cast())) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f64, value: __m256d) {
        // SAFETY: guaranteed by the caller.
        unsafe { _mm256_storeu_pd(to, value) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f64, value: __m256d, count: usize) {
        debug_assert!(count <= 4);
        // SAFETY: lanes past `count` are masked and not accessed; the mask is read from inside its table.
        unsafe { _mm256_maskstore_pd(to, _mm256_loadu_si256(MASK_64.as_ptr().add(4 - count).cast()), value) }
    }
}

impl Simd for Avx2 {
    const HAS_32_REGISTERS: bool = false;

    #[inline(always)]
    unsafe fn load_bytes(self, from: *const u8) -> __m256 {
        // SAFETY: guaranteed by the caller.
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast()))) }
    }
    methods! {
        fn sub(a: __m256, b: __m256) -> __m256 { _mm256_sub_ps(a, b) }
        fn mul(a: __m256, b: __m256) -> __m256 { _mm256_mul_ps(a, b) }
        fn div(a: __m256, b: __m256) -> __m256 { _mm256_div_ps(a, b) }
        fn sqrt(a: __m256) -> __m256 { _mm256_sqrt_ps(a) }
        fn min(a: __m256, b: __m256) -> __m256 { _mm256_min_ps(a, b) }
        fn max(a: __m256, b: __m256) -> __m256 { _mm256_max_ps(a, b) }
        fn round(a: __m256) -> __m256 { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
        fn power_of_two(a: __m256) -> __m256 {
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(_mm256_cvtps_epi32(a), _mm256_set1_epi32(127))))
        }
        fn where_positive(x: __m256, a: __m256, b: __m256) -> __m256 {
            _mm256_blendv_ps(b, a, _mm256_cmp_ps::<_CMP_GT_OQ>(x, _mm256_setzero_ps()))
        }
        fn where_equal(x: __m256, y: __m256, a: __m256, b: __m256) -> __m256 {
            _mm256_blendv_ps(b, a, _mm256_cmp_ps::<_CMP_EQ_OQ>(x, y))
        }
        fn first(a: __m256, count: usize) -> __m256 {
            _mm256_and_ps(a, _mm256_loadu_ps(MASK.as_ptr().add(8 - count.min(8)).cast()))
        }
        fn sum(a: __m256) -> f32 {{
            let a = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let a = _mm_add_ps(a, _mm_movehl_ps(a, a));
            _mm_cvtss_f32(_mm_add_ss(a, _mm_shuffle_ps::<1>(a, a)))
        }}
    }
}

impl Lanes<f32> for Avx512 {
    type Vector = __m512;
    const COUNT: usize = 16;

    methods! {
        fn splat(value: f32) -> __m512 { _mm512_set1_ps(value) }
        fn add(a: __m512, b: __m512) -> __m512 { _mm512_add_ps(a, b) }
        fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 { _mm512_fmadd_ps(a, b, c) }
    }
    const TRANSPOSE_SIDE: usize = 8;

    #[inline(always)]
    unsafe fn transpose(self, to: *mut f32, to_stride: usize, from: *const f32, from_stride: usize) {
        // SAFETY: guaranteed by the caller; the token proves AVX2 too.
        unsafe { transpose_8x8(to, to_stride, from, from_stride) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        // SAFETY: guaranteed by the caller.
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize) -> __m512 {
        debug_assert!(count <= 16);
        // SAFETY: lanes past `count` are masked and not accessed.
        unsafe { _mm512_maskz_loadu_ps(first_16(count), from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: __m512) {
        // SAFETY: guaranteed by the caller.
        unsafe { _mm512_storeu_ps(to, value) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, value: __m512, count: usize) {
        debug_assert!(count <= 16);
        // SAFETY: lanes past `count` are masked and not accessed.
        unsafe { _mm512_mask_storeu_ps(to, first_16(count), value) }
    }
}

/// [`Lanes::transpose`] of an 8 x 8 block: interleaves pairs of rows, then pairs of pairs; the final exchange of
/// 128-bit halves is folded into the loads.
///
/// # Safety
/// The processor has AVX2, and every element of both blocks is valid for reads and writes.
#[inline(always)]
unsafe fn transpose_8x8(to: *mut f32, to_stride: usize, from: *const f32, from_stride: usize) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        // Rows i and i + 4 share a register, which makes the exchange of halves unnecessary.
        let load = |row: usize, half: usize| {
            let low = _mm256_castps128_ps256(_mm_loadu_ps(from.add(row * from_stride + half)));
            _mm256_insertf128_ps::<1>(low, _mm_loadu_ps(from.add((row + 4) * from_stride + half)))
        };
        for half in [0, 4] {
            let (r0, r1, r2, r3) = (load(0, half), load(1, half), load(2, half), load(3, half));
            let (t0, t1) = (_mm256_unpacklo_ps(r0, r1), _mm256_unpackhi_ps(r0, r1));
            let (t2, t3) = (_mm256_unpacklo_ps(r2, r3), _mm256_unpackhi_ps(r2, r3));
            let columns = [
                _mm256_shuffle_ps::<0x44>(t0, t2),
                _mm256_shuffle_ps::<0xee>(t0, t2),
                _mm256_shuffle_ps::<0x44>(t1, t3),
                _mm256_shuffle_ps::<0xee>(t1, t3),
            ];
            for (j, column) in columns.into_iter().enumerate() {
                _mm256_storeu_ps(to.add((half + j) * to_stride), column);
            }
        }
    }
}

/// The mask of the first `count` of 16 lanes.
#[inline(always)]
fn first_16(count: usize) -> __mmask16 {
    ((1u32 << count) - 1) as __mmask16
}

/// The mask of the first `count` of 8 lanes.
#[inline(always)]
fn first_8(count: usize) -> __mmask8 {
    ((1u32 << count) - 1) as __mmask8
}

impl Lanes<f64> for Avx512 {
    type Vector = __m512d;
    const COUNT: usize = 8;

    methods! {
        fn splat(value: f64) -> __m512d { _mm512_set1_pd(value) }
        fn add(a: __m512d, b: __m512d) -> __m512d { _mm512_add_pd(a, b) }
        fn mul_add(a: __m512d, b: __m512d, c: __m512d) -> __m512d { _mm512_fmadd_pd(a, b, c) }
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f64) -> __m512d {
        // SAFETY: guaranteed by the caller.
        unsafe { _mm512_loadu_pd(from) }
    }
    #[inline(always)]
    unsafe fn load_first(self, from: *const f64, count: usize) -> __m512d {
        debug_assert!(count <= 8);
        // SAFETY: lanes past `count` are masked and not accessed.
        unsafe { _mm512_maskz_loadu_pd(first_8(count), from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f64, value: __m512d) {
        // SAFETY: guaranteed by the caller.
        unsafe { _mm512_storeu_pd(to, value) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f64, value: __m512d, count: usize) {
        debug_assert!(count <= 8);
        // SAFETY: lanes past `count` are masked and not accessed.
        unsafe { _mm512_mask_storeu_pd(to, first_8(count), value) }
    }
}

impl Simd for Avx512 {
    const HAS_32_REGISTERS: bool = true;

    #[inline(always)]
    unsafe fn load_bytes(self, from: *const u8) -> __m512 {
        // SAFETY: guaranteed by the caller.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast()))) }
    }
    methods! {
        fn sub(a: __m512, b: __m512) -> __m512 { _mm512_sub_ps(a, b) }
        fn mul(a: __m512, b: __m512) -> __m512 { _mm512_mul_ps(a, b) }
        fn div(a: __m512, b: __m512) -> __m512 { _mm512_div_ps(a, b) }
        fn sqrt(a: __m512) -> __m512 { _mm512_sqrt_ps(a) }
        fn min(a: __m512, b: __m512) -> __m512 { _mm512_min_ps(a, b) }
        fn max(a: __m512, b: __m512) -> __m512 { _mm512_max_ps(a, b) }
        fn round(a: __m512) -> __m512 { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
        fn power_of_two(a: __m512) -> __m512 {
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_add_epi32(_mm512_cvtps_epi32(a), _mm512_set1_epi32(127))))
        }
        fn where_positive(x: __m512, a: __m512, b: __m512) -> __m512 {
            _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(x, _mm512_setzero_ps()), b, a)
        }
        fn where_equal(x: __m512, y: __m512, a: __m512, b: __m512) -> __m512 {
            _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_EQ_OQ>(x, y), b, a)
        }
        fn first(a: __m512, count: usize) -> __m512 { _mm512_maskz_mov_ps(first_16(count.min(16)), a) }
        fn sum(a: __m512) -> f32 { _mm512_reduce_add_ps(a) }
    }
}
