//! Rows of bytes. All sums are exact integers: 32 bits within a block, 64 bits over blocks.
//!
//! The instruction of AVX-512 VNNI multiplies 64 unsigned bytes by 64 signed ones and adds the products in groups of four; the matrix
//! unit does the same with tiles of 16 x 64 bytes. So
//! one factor is packed as x - 128, and L'R stands for the products of x - 128 on the left with x on the right; what is
//! missing, 128 times the column sum of the right side, is added at the end ([`ByteBlock::OFFSET`]).

use super::{GramBlock, StripLayout};
use crate::aligned::Aligned;
#[cfg(target_arch = "x86_64")]
use crate::simd::amx;
use crate::simd::{InstructionSet, Level};

/// Columns of a panel at every level.
const PANEL: usize = 32;
/// Rows of the matrix that are computed together.
const TILE: usize = 8;
/// Rows of the data that are packed beside one another: an instruction adds four products.
const QUAD: usize = 4;

/// Groups of four rows that the matrix unit multiplies together.
#[cfg(target_arch = "x86_64")]
const QUADS_OF_TILE: usize = 16;

/// A block of packed bytes.
pub struct ByteBlock {
    layout: StripLayout,
    quads: usize,
    /// Panel after panel, four rows after four rows: strips x (ROWS / 4) x (32 columns x 4 rows).
    packed: Aligned<u8>,
    /// The same numbers less 128. For the matrix unit in tiles of the left factor: for each 64 rows two tiles of 16 columns, each
    /// with its 64 rows side by side.
    centred: Aligned<i8>,
    column_sums: Vec<i64>,
}

impl ByteBlock {
    /// A strip has sums of (x_i - OFFSET) x_j, with i the row of the matrix and j its column.
    pub const OFFSET: i64 = 128;

    /// An empty block for rows of a width.
    pub fn new(width: usize) -> Self {
        let layout = Self::layout(width);
        let len = layout.strips() * Self::ROWS * PANEL;
        Self {
            layout,
            quads: 0,
            packed: Aligned::zeros(len),
            centred: Aligned::zeros(len),
            column_sums: vec![0; width],
        }
    }

    /// The strips of a Gram matrix of so many columns.
    pub fn layout(width: usize) -> StripLayout {
        StripLayout { width, panel: PANEL }
    }
}

impl GramBlock for ByteBlock {
    type Number = u8;
    type Sum = i64;

    /// 2048 products of at most 255 x 128 fit into 32 bits many times over.
    const ROWS: usize = 2048;

    fn pack(&mut self, level: Level, rows: &[u8]) {
        let width = self.layout.width;
        let count = rows.len() / width;
        assert!(count <= Self::ROWS && rows.len() == count * width, "whole rows, {} at most", Self::ROWS);
        self.quads = count.div_ceil(QUAD);
        self.column_sums.fill(0);
        let (packed, centred, sums) = (&mut self.packed, &mut self.centred, &mut self.column_sums);
        #[cfg(target_arch = "x86_64")]
        if level.0 == InstructionSet::Amx {
            self.quads = self.quads.next_multiple_of(QUADS_OF_TILE);
            // SAFETY: the level has the instructions.
            return unsafe { x86::pack_tiles(packed, centred, sums, rows, width, Self::ROWS / QUAD) };
        }
        with_instructions(
            level,
            #[inline(always)]
            || pack_panels(packed, centred, sums, rows, width, Self::ROWS / QUAD),
        );
    }

    fn add_products(&self, level: Level, strips: &mut [(usize, &mut [i64])]) {
        for (strip, sums) in strips {
            self.add_to_strip(level, sums, *strip);
        }
    }

    fn column_sums(&self) -> &[i64] {
        &self.column_sums
    }
}

impl ByteBlock {
    fn add_to_strip(&self, level: Level, sums: &mut [i64], strip: usize) {
        let Self { layout, packed, centred, quads, .. } = self;
        assert_eq!(sums.len(), layout.strip_len(strip));
        let panel =
            |index: usize| index * Self::ROWS * PANEL..index * Self::ROWS * PANEL + quads * QUAD * PANEL;
        let (left, stride) = (&centred[panel(strip)], layout.strip_width(strip));
        #[cfg(target_arch = "x86_64")]
        if level.0 == InstructionSet::Amx && *quads > 0 {
            // SAFETY: the level has the unit.
            let tiles = unsafe { amx::Tiles::new() };
            for right in strip..layout.strips() {
                let column = (right - strip) * PANEL;
                let mut products = [0i32; PANEL * PANEL];
                tiles.multiply_bytes(&mut products, left, &packed[panel(right)], quads / QUADS_OF_TILE);
                add_tile(level, &mut sums[column..], stride, &products);
            }
            return;
        }
        for right in strip..layout.strips() {
            let column = (right - strip) * PANEL;
            for first in (0..PANEL).step_by(TILE) {
                let mut tile = [0i32; TILE * PANEL];
                multiply(level, &mut tile, left, &packed[panel(right)], first);
                add_tile(level, &mut sums[first * stride + column..], stride, &tile);
            }
        }
    }
}

/// Adds rows of [`PANEL`] sums of a block to those of all blocks, whose rows are `stride` apart.
fn add_tile(level: Level, sums: &mut [i64], stride: usize, tile: &[i32]) {
    with_instructions(
        level,
        #[inline(always)]
        || {
            for (to, values) in sums.chunks_mut(stride).zip(tile.chunks_exact(PANEL)) {
                to[..PANEL].iter_mut().zip(values).for_each(|(sum, &value)| *sum += i64::from(value));
            }
        },
    );
}

/// Compiles `work` for the instructions of a level.
#[inline(always)]
fn with_instructions<R>(level: Level, work: impl FnOnce() -> R) -> R {
    crate::simd::dispatch!(level, _s => work())
}

/// Packs rows by panel and by four, and sums the columns. Rows that are missing in the last four are 0 on the right side, where
/// they contribute nothing.
#[inline(always)]
fn pack_panels(
    packed: &mut [u8],
    centred: &mut [i8],
    column_sums: &mut [i64],
    rows: &[u8],
    width: usize,
    capacity: usize,
) {
    const ZEROS: [u8; PANEL] = [0; PANEL];
    let count = rows.len() / width;
    for first in (0..width).step_by(PANEL) {
        let columns = PANEL.min(width - first);
        let start = first / PANEL * capacity * QUAD * PANEL;
        let mut totals = [0u32; PANEL];
        for quad in 0..count.div_ceil(QUAD) {
            let mut four = [[0u8; PANEL]; QUAD];
            for (r, to) in four.iter_mut().enumerate() {
                let row = quad * QUAD + r;
                let from =
                    if row < count { &rows[row * width + first..][..columns] } else { &ZEROS[..columns] };
                to[..columns].copy_from_slice(from);
            }
            let place = start + quad * QUAD * PANEL;
            let packed = &mut packed[place..][..QUAD * PANEL];
            let centred = &mut centred[place..][..QUAD * PANEL];
            for (j, to) in packed.chunks_exact_mut(QUAD).enumerate() {
                to.copy_from_slice(&[four[0][j], four[1][j], four[2][j], four[3][j]]);
                totals[j] += to.iter().map(|&byte| u32::from(byte)).sum::<u32>();
            }
            for (to, &byte) in centred.iter_mut().zip(packed.iter()) {
                *to = (byte ^ 0x80) as i8;
            }
        }
        for (sum, &total) in column_sums[first..first + columns].iter_mut().zip(&totals) {
            *sum = i64::from(total);
        }
    }
}

/// tile (8 x 32) = L'R for 8 columns of the left panel, from `first` on.
fn multiply(level: Level, tile: &mut [i32; TILE * PANEL], left: &[i8], right: &[u8], first: usize) {
    assert!(left.len() == right.len() && left.len().is_multiple_of(QUAD * PANEL) && first + TILE <= PANEL);
    match level.0 {
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 | InstructionSet::Amx if x86::has_vnni() => {
            // SAFETY: the processor has the instructions; the panels are whole and of one length.
            unsafe { x86::multiply_vnni(tile, left, right, first) }
        }
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 | InstructionSet::Amx | InstructionSet::Avx2 => {
            // SAFETY: these levels have AVX2; the panels are whole and of one length.
            unsafe { x86::multiply_avx2(tile, left, right, first) }
        }
        _ => multiply_plain(tile, left, right, first),
    }
}

fn multiply_plain(tile: &mut [i32; TILE * PANEL], left: &[i8], right: &[u8], first: usize) {
    for (left, right) in left.chunks_exact(QUAD * PANEL).zip(right.chunks_exact(QUAD * PANEL)) {
        for (i, sums) in tile.chunks_exact_mut(PANEL).enumerate() {
            let left = &left[(first + i) * QUAD..][..QUAD];
            for (sum, right) in sums.iter_mut().zip(right.chunks_exact(QUAD)) {
                *sum += left.iter().zip(right).map(|(&l, &r)| i32::from(l) * i32::from(r)).sum::<i32>();
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{PANEL, QUAD, QUADS_OF_TILE, TILE};
    use crate::simd::amx::{SIDE, transposed};

    /// Bytes of four rows of a panel.
    const STEP: usize = QUAD * PANEL;

    /// As [`super::pack_panels`], with the left factor in tiles, and with rows of 0 up to a whole tile.
    ///
    /// # Safety
    /// The processor has AVX-512 F, BW, VL and VNNI.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    pub unsafe fn pack_tiles(
        packed: &mut [u8],
        centred: &mut [i8],
        column_sums: &mut [i64],
        rows: &[u8],
        width: usize,
        capacity: usize,
    ) {
        let count = rows.len() / width;
        let steps = count.div_ceil(QUAD * QUADS_OF_TILE);
        for first in (0..width).step_by(PANEL) {
            let columns = PANEL.min(width - first);
            let mask = ((1u64 << columns) - 1) as __mmask32;
            let start = first / PANEL * capacity * STEP;
            let (ones, sign) = (_mm512_set1_epi8(1), _mm512_set1_epi8(i8::MIN));
            let mut totals = [_mm512_setzero_si512(); 2];
            for step in 0..steps {
                let place = start + step * QUADS_OF_TILE * STEP;
                let packed = &mut packed[place..][..QUADS_OF_TILE * STEP];
                let centred = &mut centred[place..][..QUADS_OF_TILE * STEP];
                let mut left = [[sign; SIDE]; 2];
                for (quad, packed) in packed.chunks_exact_mut(STEP).enumerate() {
                    let mut four = [_mm256_setzero_si256(); QUAD];
                    for (r, four) in four.iter_mut().enumerate() {
                        let row = (step * QUADS_OF_TILE + quad) * QUAD + r;
                        if row < count {
                            let from = &rows[row * width + first..][..columns];
                            // SAFETY: the mask has the columns of the slice.
                            *four = unsafe { _mm256_maskz_loadu_epi8(mask, from.as_ptr().cast()) };
                        }
                    }
                    let groups = groups_of_four(four);
                    for (half, groups) in groups.into_iter().enumerate() {
                        // SAFETY: half of the step's bytes.
                        unsafe { _mm512_storeu_si512(packed.as_mut_ptr().add(half * 64).cast(), groups) }
                        totals[half] = _mm512_dpbusd_epi32(totals[half], groups, ones);
                        left[half][quad] = _mm512_xor_si512(groups, sign);
                    }
                }
                for (left, to) in left.into_iter().zip(centred.chunks_exact_mut(SIDE * 64)) {
                    for (row, to) in transposed(left).into_iter().zip(to.chunks_exact_mut(64)) {
                        // SAFETY: 64 bytes.
                        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), row) }
                    }
                }
            }
            let mut sums = [0i32; PANEL];
            for (half, totals) in totals.into_iter().enumerate() {
                // SAFETY: half of the sums.
                unsafe { _mm512_storeu_si512(sums.as_mut_ptr().add(half * SIDE).cast(), totals) }
            }
            for (sum, &total) in column_sums[first..first + columns].iter_mut().zip(&sums) {
                *sum = i64::from(total);
            }
        }
    }

    /// Four rows of 32 bytes as 32 groups of four bytes, one of each row.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn groups_of_four(rows: [__m256i; QUAD]) -> [__m512i; 2] {
        let low = _mm256_unpacklo_epi8(rows[0], rows[1]);
        let high = _mm256_unpackhi_epi8(rows[0], rows[1]);
        let other_low = _mm256_unpacklo_epi8(rows[2], rows[3]);
        let other_high = _mm256_unpackhi_epi8(rows[2], rows[3]);
        // Each has columns of both halves: 0-3 and 16-19, 4-7 and 20-23, 8-11 and 24-27, 12-15 and 28-31.
        let (a, b) = (_mm256_unpacklo_epi16(low, other_low), _mm256_unpackhi_epi16(low, other_low));
        let (c, d) = (_mm256_unpacklo_epi16(high, other_high), _mm256_unpackhi_epi16(high, other_high));
        let join = |low: __m256i, high: __m256i| _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high);
        [
            join(_mm256_permute2x128_si256::<0x20>(a, b), _mm256_permute2x128_si256::<0x20>(c, d)),
            join(_mm256_permute2x128_si256::<0x31>(a, b), _mm256_permute2x128_si256::<0x31>(c, d)),
        ]
    }

    pub fn has_vnni() -> bool {
        is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512bw")
    }

    /// # Safety
    /// The processor has AVX-512 VNNI. The panels have the same length, a multiple of [`STEP`], and `first + TILE <= PANEL`.
    #[inline(never)]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub unsafe fn multiply_vnni(tile: &mut [i32; TILE * PANEL], left: &[i8], right: &[u8], first: usize) {
        // SAFETY: every read is inside the step of a panel, every write inside the tile.
        unsafe {
            let mut sums = [[_mm512_setzero_si512(); 2]; TILE];
            let mut l = left.as_ptr().add(first * QUAD).cast::<i32>();
            let mut r = right.as_ptr();
            for _ in 0..left.len() / STEP {
                let right = [_mm512_loadu_si512(r.cast()), _mm512_loadu_si512(r.add(64).cast())];
                for i in 0..TILE {
                    let left = _mm512_set1_epi32(l.add(i).read_unaligned());
                    sums[i][0] = _mm512_dpbusd_epi32(sums[i][0], right[0], left);
                    sums[i][1] = _mm512_dpbusd_epi32(sums[i][1], right[1], left);
                }
                l = l.wrapping_byte_add(STEP);
                r = r.wrapping_add(STEP);
            }
            for (i, sums) in sums.iter().enumerate() {
                _mm512_storeu_si512(tile.as_mut_ptr().add(i * PANEL).cast(), sums[0]);
                _mm512_storeu_si512(tile.as_mut_ptr().add(i * PANEL + 16).cast(), sums[1]);
            }
        }
    }

    /// Two rows and sixteen columns at a time: bytes are widened to 16 bits, of which four products make two sums.
    ///
    /// # Safety
    /// The processor has AVX2. The panels have the same length, a multiple of [`STEP`], and `first + TILE <= PANEL`.
    #[inline(never)]
    #[target_feature(enable = "avx2")]
    pub unsafe fn multiply_avx2(tile: &mut [i32; TILE * PANEL], left: &[i8], right: &[u8], first: usize) {
        for i in (0..TILE).step_by(2) {
            for half in 0..2 {
                // SAFETY: the rows and columns lie inside the tile and the panels.
                unsafe {
                    let tile = tile.as_mut_ptr().add(i * PANEL + half * 16);
                    let left_start = left.as_ptr().add((first + i) * QUAD);
                    let right_start = right.as_ptr().add(half * 16 * QUAD);
                    multiply_2_by_16(tile, left_start, right_start, left.len() / STEP);
                }
            }
        }
    }

    /// # Safety
    /// As [`multiply_avx2`]; `tile` has two rows of 16 sums, [`PANEL`] apart.
    #[inline(always)]
    unsafe fn multiply_2_by_16(tile: *mut i32, left: *const i8, right: *const u8, steps: usize) {
        // SAFETY: guaranteed by the caller.
        unsafe {
            let mut sums = [[_mm256_setzero_si256(); 4]; 2];
            let (mut l, mut r) = (left, right);
            for _ in 0..steps {
                let wide = |row: usize| {
                    let four = l.add(row * QUAD).cast::<i32>().read_unaligned();
                    _mm256_broadcastq_epi64(_mm_cvtepi8_epi16(_mm_cvtsi32_si128(four)))
                };
                let lefts = [wide(0), wide(1)];
                for v in 0..4 {
                    let right = _mm256_cvtepu8_epi16(_mm_loadu_si128(r.add(v * 16).cast()));
                    for i in 0..2 {
                        sums[i][v] = _mm256_add_epi32(sums[i][v], _mm256_madd_epi16(right, lefts[i]));
                    }
                }
                l = l.wrapping_add(STEP);
                r = r.wrapping_add(STEP);
            }
            for (i, sums) in sums.iter().enumerate() {
                // Each vector has two sums for each of four columns.
                for pair in 0..2 {
                    let both = _mm256_hadd_epi32(sums[2 * pair], sums[2 * pair + 1]);
                    let ordered = _mm256_permute4x64_epi64::<0b11_01_10_00>(both);
                    _mm256_storeu_si256(tile.add(i * PANEL + pair * 8).cast(), ordered);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_are_exact_at_every_level() {
        for level in Level::available() {
            for (n, width) in [(1, 1), (3, 2), (5, 33), (2048, 40), (129, 70)] {
                // The largest products among them.
                let byte = |row: usize, j: usize| match (row + j) % 4 {
                    0 => 255,
                    1 => 0,
                    _ => ((row * 131 + j * 37) % 256) as u8,
                };
                let rows: Vec<u8> = (0..n * width).map(|at| byte(at / width, at % width)).collect();
                let mut block = ByteBlock::new(width);
                // What a longer block has left must not count.
                block.pack(level, &vec![77; width * ByteBlock::ROWS.min(n + 5)]);
                block.pack(level, &rows);
                let layout = ByteBlock::layout(width);
                for (j, &sum) in block.column_sums().iter().enumerate() {
                    assert_eq!(sum, (0..n).map(|row| i64::from(byte(row, j))).sum::<i64>());
                }
                for strip in 0..layout.strips() {
                    let mut sums = vec![7; layout.strip_len(strip)];
                    block.add_products(level, &mut [(strip, &mut sums[..])]);
                    for (i, row) in sums.chunks_exact(layout.strip_width(strip)).enumerate() {
                        for (j, &sum) in row.iter().enumerate() {
                            let (i, j) = (strip * PANEL + i, strip * PANEL + j);
                            if i < width && j < width {
                                let product =
                                    |row: usize| (i64::from(byte(row, i)) - 128) * i64::from(byte(row, j));
                                assert_eq!(
                                    sum - 7,
                                    (0..n).map(product).sum::<i64>(),
                                    "{i} {j} of {n} x {width}"
                                );
                            }
                        }
                    }
                }
            }
        }
    }
}
