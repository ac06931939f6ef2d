//! Products of panels in single precision by the matrix unit, which multiplies numbers in bfloat16.
//!
//! A number of single precision has 24 significant bits: it is the exact sum of three numbers in bfloat16 of 8 bits each, a high, a
//! middle and a low piece. The products of pieces are exact in single precision. Six of nine are added; the others are together at
//! most 2^-25 of the whole product, below the rounding of single precision (2^-24). The numbers lie in -1..1, so that none
//! overflows; pieces below 2^-126 become 0.

/// Columns of a panel.
const PANEL: usize = 32;

/// Groups of two numbers in bfloat16 of the pieces of a panel with so many numbers.
pub(super) fn len(numbers: usize) -> usize {
    numbers.div_ceil(2) * 3
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{add_products, split};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::PANEL;
    use crate::simd::amx::{SIDE, TILE_LEN, Tiles, transposed};
    use crate::simd::{Level, dispatch};

    /// Rows of the data in a step of the matrix unit.
    const DEPTH: usize = 2 * SIDE;

    /// Groups of the pieces of a step: two tiles of each piece.
    const STEP: usize = 6 * TILE_LEN;

    /// Splits the numbers of a panel (a multiple of 32 rows, each of 32 columns) into pieces, as tiles of both factors.
    ///
    /// # Safety
    /// The processor has AVX-512 F, BW and BF16.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub unsafe fn split(left: &mut [u32], right: &mut [u32], panel: &[f32]) {
        let steps = panel.chunks_exact(DEPTH * PANEL);
        for ((left, right), panel) in left.chunks_exact_mut(STEP).zip(right.chunks_exact_mut(STEP)).zip(steps)
        {
            for half in 0..2 {
                let mut tiles = [[_mm512_setzero_si512(); SIDE]; 3];
                for pair in 0..SIDE {
                    let row = |row: usize| {
                        let from = &panel[(2 * pair + row) * PANEL + half * SIDE..][..SIDE];
                        // SAFETY: 16 numbers.
                        unsafe { three_pieces(_mm512_loadu_ps(from.as_ptr())) }
                    };
                    let (even, odd) = (row(0), row(1));
                    for (piece, tile) in tiles.iter_mut().enumerate() {
                        // The upper 16 bits of a piece are a number in bfloat16, the others are 0.
                        tile[pair] = _mm512_or_si512(_mm512_srli_epi32::<16>(even[piece]), odd[piece]);
                    }
                }
                for (piece, tile) in tiles.into_iter().enumerate() {
                    let place = (2 * piece + half) * TILE_LEN;
                    store(&mut right[place..][..TILE_LEN], tile);
                    store(&mut left[place..][..TILE_LEN], transposed(tile));
                }
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn store(to: &mut [u32], tile: [__m512i; SIDE]) {
        for (to, row) in to.chunks_exact_mut(SIDE).zip(tile) {
            // SAFETY: 64 bytes.
            unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), row) }
        }
    }

    /// The pieces of numbers, in the format of single precision: each is what the others leave, rounded to its upper 16 bits.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn three_pieces(numbers: __m512) -> [__m512i; 3] {
        let (upper, half) = (_mm512_set1_epi32(0xffff_0000_u32 as i32), _mm512_set1_epi32(0x8000));
        let rounded =
            |numbers: __m512| _mm512_and_si512(_mm512_add_epi32(_mm512_castps_si512(numbers), half), upper);
        let high = rounded(numbers);
        let rest = _mm512_sub_ps(numbers, _mm512_castsi512_ps(high));
        let middle = rounded(rest);
        let low = rounded(_mm512_sub_ps(rest, _mm512_castsi512_ps(middle)));
        [high, middle, low]
    }

    /// Adds the products of a panel and those from it on to double-precision sums, whose rows are `stride` apart.
    pub fn add_products(
        level: Level,
        sums: &mut [f64],
        stride: usize,
        (left, right): (&[u32], &[u32]),
        rows: usize,
    ) {
        // SAFETY: the level has the unit, else there were no pieces.
        let tiles = unsafe { Tiles::new() };
        let mut products = [0.0f32; PANEL * PANEL];
        for (index, right) in right.chunks_exact(left.len()).enumerate() {
            tiles.multiply_pieces(&mut products, left, right, rows.div_ceil(DEPTH));
            let sums = &mut sums[index * PANEL..];
            dispatch!(level, _s => add(sums, stride, &products));
        }
    }

    #[inline(always)]
    fn add(sums: &mut [f64], stride: usize, products: &[f32]) {
        for (to, products) in sums.chunks_mut(stride).zip(products.chunks_exact(PANEL)) {
            to[..PANEL].iter_mut().zip(products).for_each(|(sum, &product)| *sum += f64::from(product));
        }
    }
}
