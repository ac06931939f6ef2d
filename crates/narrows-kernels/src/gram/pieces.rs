//! Rows in single precision, multiplied by the matrix unit, which multiplies numbers in bfloat16.
//!
//! A number of single precision has 24 significant bits: it is the exact sum of three numbers in bfloat16 of 8 bits each, a high, a
//! middle and a low piece. The products of pieces are exact in single precision. Six of nine are added; the others are together at
//! most 2^-25 of the whole product, below the rounding of single precision (2^-24). The numbers lie in -1..1, as in
//! [`super::SingleBlock`], so that none overflows; pieces below 2^-126 become 0.

use super::{GramBlock, SingleScale, StripLayout};
use crate::aligned::Aligned;
#[cfg(target_arch = "x86_64")]
use crate::simd::InstructionSet;
use crate::simd::{F, Level, Simd, dispatch};

/// Columns of a panel.
const PANEL: usize = 32;

/// Rows of a step of the matrix unit.
const DEPTH: usize = 32;

/// Pairs of numbers in bfloat16 in the pieces of a panel's part of a step.
const STEP: usize = DEPTH * PANEL / 2 * 3;

/// A block of packed rows in single precision, for the matrix unit.
pub struct PieceBlock<'a> {
    scale: &'a SingleScale,
    layout: StripLayout,
    steps: usize,
    /// The rows of one step, shifted and scaled, padded to whole panels.
    rows: Aligned<f32>,
    /// The sums of the columns in each lane that packs them.
    totals: Aligned<f32>,
    /// Panel after panel, step after step: the pieces as tiles of the left factor, and as tiles of the right one.
    left: Aligned<u32>,
    right: Aligned<u32>,
    column_sums: Vec<f64>,
}

impl<'a> PieceBlock<'a> {
    /// Whether a level has the matrix unit.
    pub fn is_available(level: Level) -> bool {
        #[cfg(target_arch = "x86_64")]
        return level.0 == InstructionSet::Amx;
        #[cfg(not(target_arch = "x86_64"))]
        {
            let _ = level;
            false
        }
    }

    /// An empty block.
    ///
    /// # Panics
    /// If the level does not have the matrix unit.
    pub fn new(level: Level, scale: &'a SingleScale) -> Self {
        assert!(Self::is_available(level));
        let layout = Self::layout(scale.shift.len());
        assert_eq!(scale.factor.len(), layout.width);
        let padded = layout.strips() * PANEL;
        let pieces = || Aligned::zeros(layout.strips() * Self::PANEL_LEN);
        Self {
            scale,
            layout,
            steps: 0,
            rows: Aligned::zeros(DEPTH * padded),
            totals: Aligned::zeros(padded),
            left: pieces(),
            right: pieces(),
            column_sums: vec![0.0; layout.width],
        }
    }

    /// The strips of a Gram matrix of so many columns.
    pub fn layout(width: usize) -> StripLayout {
        StripLayout { width, panel: PANEL }
    }

    /// Pairs of a panel.
    const PANEL_LEN: usize = Self::ROWS / DEPTH * STEP;
}

impl GramBlock for PieceBlock<'_> {
    type Number = f32;
    type Sum = f64;

    /// The unit adds up 32 products before it rounds to single precision, so that the error of a sum of 288 stays near that of one
    /// product.
    const ROWS: usize = 288;

    fn pack(&mut self, level: Level, rows: &[f32]) {
        let width = self.layout.width;
        let count = rows.len() / width;
        assert!(count <= Self::ROWS && rows.len() == count * width, "whole rows, {} at most", Self::ROWS);
        self.steps = count.div_ceil(DEPTH);
        self.totals.fill(0.0);
        let padded = self.layout.strips() * PANEL;
        for (step, rows) in rows.chunks(DEPTH * width).enumerate() {
            let (scaled, totals) = (&mut self.rows, &mut self.totals);
            dispatch!(level, s => scale_rows(s, scaled, totals, rows, self.scale, padded));
            scaled[rows.len() / width * padded..].fill(0.0);
            for panel in 0..self.layout.strips() {
                let place =
                    panel * Self::PANEL_LEN + step * STEP..panel * Self::PANEL_LEN + (step + 1) * STEP;
                let (left, right) = (&mut self.left[place.clone()], &mut self.right[place]);
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the level has the unit, and with it the instructions (`new`).
                unsafe {
                    x86::split(left, right, &self.rows[panel * PANEL..], padded);
                }
                #[cfg(not(target_arch = "x86_64"))]
                let _ = (left, right);
            }
        }
        for (sum, &total) in self.column_sums.iter_mut().zip(self.totals.iter()) {
            *sum = f64::from(total);
        }
    }

    fn add_products(&self, level: Level, strips: &mut [(usize, &mut [f64])]) {
        for (strip, sums) in strips.iter() {
            assert_eq!(sums.len(), self.layout.strip_len(*strip));
        }
        #[cfg(target_arch = "x86_64")]
        if self.steps > 0 {
            x86::add_products(level, strips, self);
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = level;
    }

    fn column_sums(&self) -> &[f64] {
        &self.column_sums
    }
}

/// Shifts and scales the rows of a step, and adds them to the sums of the columns.
#[inline(always)]
fn scale_rows<S: Simd>(
    s: S,
    scaled: &mut [f32],
    totals: &mut [f32],
    rows: &[f32],
    scale: &SingleScale,
    padded: usize,
) {
    let width = scale.shift.len();
    for (row, to) in rows.chunks_exact(width).zip(scaled.chunks_exact_mut(padded)) {
        for column in (0..width).step_by(S::COUNT) {
            // Lanes past the last column have a factor of 0.
            let (shift, factor) = (s.read(&scale.shift, column), s.read(&scale.factor, column));
            let value: F<S> = s.mul(s.sub(s.read(row, column), shift), factor);
            s.write(totals, column, s.add(s.read(totals, column), value));
            s.write(to, column, value);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{DEPTH, PANEL, PieceBlock, STEP};
    use crate::aligned::Aligned;
    use crate::simd::amx::{SIDE, TILE_LEN, Tiles, transposed};
    use crate::simd::{Level, dispatch};

    /// Splits the numbers of a panel's part of a step (32 rows of 32 columns, `stride` apart) into pieces, as tiles of both factors.
    ///
    /// # Safety
    /// The processor has AVX-512 F, BW and BF16.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub unsafe fn split(left: &mut [u32], right: &mut [u32], rows: &[f32], stride: usize) {
        const { assert!(DEPTH == 2 * SIDE && PANEL == 2 * SIDE && STEP == 6 * TILE_LEN) }
        for half in 0..2 {
            let mut tiles = [[_mm512_setzero_si512(); SIDE]; 3];
            for pair in 0..SIDE {
                let row = |row: usize| {
                    let from = &rows[(2 * pair + row) * stride + half * SIDE..][..SIDE];
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

    /// Steps of a left panel that stay in the nearest cache while the right panels pass by: 18 KiB, beside as much of a right panel
    /// and the sums.
    const STEPS: usize = 3;

    /// Adds the products of a block to strips.
    pub fn add_products(level: Level, strips: &mut [(usize, &mut [f64])], block: &PieceBlock<'_>) {
        let PieceBlock { layout, steps, left, right, .. } = block;
        // SAFETY: the level has the unit (`new`).
        let tiles = unsafe { Tiles::new() };
        let panels = layout.strips();
        let count: usize = strips.iter().map(|(strip, _)| panels - strip).sum();
        let mut products = Aligned::<f32>::zeros(count * PANEL * PANEL);
        let (products, _) = products.as_chunks_mut::<{ PANEL * PANEL }>();
        for step in (0..*steps).step_by(STEPS) {
            let count = STEPS.min(steps - step);
            let part = |panel: usize| {
                let start = panel * PieceBlock::PANEL_LEN + step * STEP;
                start..start + count * STEP
            };
            let mut products = products.iter_mut();
            for (strip, _) in strips.iter() {
                for panel in *strip..panels {
                    let products = products.next().expect("one for each panel of each strip");
                    tiles.add_product_of_pieces(products, &left[part(*strip)], &right[part(panel)], count);
                }
            }
        }
        let mut products = products.iter();
        for (strip, sums) in strips {
            for column in 0..panels - *strip {
                let products = products.next().expect("one for each panel of each strip");
                let sums = &mut sums[column * PANEL..];
                dispatch!(level, _s => add(sums, layout.strip_width(*strip), products));
            }
        }
    }

    #[inline(always)]
    fn add(sums: &mut [f64], stride: usize, products: &[f32]) {
        for (to, products) in sums.chunks_mut(stride).zip(products.chunks_exact(PANEL)) {
            to[..PANEL].iter_mut().zip(products).for_each(|(sum, &product)| *sum += f64::from(product));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gram::single::tests::{case, check};

    #[test]
    fn strips_are_the_gram_matrix_of_shifted_and_scaled_rows() {
        for level in Level::available().into_iter().filter(|level| PieceBlock::is_available(*level)) {
            for (n, width) in [(1, 1), (7, 3), (32, 40), (100, 33), (249, 170), (288, 70)] {
                let case = case(n, width);
                check(level, &mut PieceBlock::new(level, &case.1), PieceBlock::layout(width), &case);
            }
        }
    }
}
