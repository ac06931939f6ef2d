//! The dot products of AVX-512 BF16, on the same tiles as the matrix unit.

use std::arch::x86_64::*;

use crate::simd::amx::{SIDE, TILE_LEN};

/// Rows whose sums stay in registers: two registers each.
const ROWS: usize = 8;

/// As [`crate::simd::amx::Tiles::multiply_bf16`].
///
/// # Safety
/// The processor has AVX-512F, BW and BF16.
pub(super) unsafe fn multiply(c: &mut [f32; 4 * TILE_LEN], a: &[u32], b: &[u32], blocks: usize) {
    assert!(a.len() >= blocks * 2 * TILE_LEN && b.len() >= blocks * 2 * TILE_LEN);
    for (part, c) in c.chunks_exact_mut(ROWS * 2 * SIDE).enumerate() {
        // The tile of A with these rows, and the rows within it.
        let start = part * ROWS / SIDE * TILE_LEN + part * ROWS % SIDE * SIDE;
        // SAFETY: guaranteed by the caller; the tiles were counted.
        unsafe { multiply_rows(c, a.as_ptr().add(start), b.as_ptr(), blocks) }
    }
}

/// # Safety
/// The processor has the instructions; `a` has [`ROWS`] rows of 16 pairs, `b` two tiles, in each of `blocks` steps.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn multiply_rows(c: &mut [f32], mut a: *const u32, mut b: *const u32, blocks: usize) {
    let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
    for _ in 0..blocks {
        for p in 0..SIDE {
            // SAFETY: inside the two tiles of B and the rows of A.
            unsafe {
                let left = pairs(_mm512_loadu_si512(b.add(p * SIDE).cast()));
                let right = pairs(_mm512_loadu_si512(b.add(TILE_LEN + p * SIDE).cast()));
                for (i, sums) in sums.iter_mut().enumerate() {
                    let x = pairs(_mm512_set1_epi32(*a.add(i * SIDE + p) as i32));
                    sums[0] = _mm512_dpbf16_ps(sums[0], x, left);
                    sums[1] = _mm512_dpbf16_ps(sums[1], x, right);
                }
            }
        }
        a = a.wrapping_add(2 * TILE_LEN);
        b = b.wrapping_add(2 * TILE_LEN);
    }
    for (c, [left, right]) in c.chunks_exact_mut(2 * SIDE).zip(sums) {
        // SAFETY: 32 numbers.
        unsafe {
            _mm512_storeu_ps(c.as_mut_ptr(), left);
            _mm512_storeu_ps(c.as_mut_ptr().add(SIDE), right);
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn pairs(bits: __m512i) -> __m512bh {
    // SAFETY: both are 512 bits.
    unsafe { std::mem::transmute(bits) }
}
