//! Rows in single precision. Products of a block are summed in single precision, blocks in double precision.
//!
//! Each column is shifted and scaled by a power of two before, so that its numbers lie in -1..1 about 0: then a mean of a million
//! costs no digits, and columns of 1e-20 beside columns of 1e20 neither underflow nor overflow. Both operations are exact but
//! for the rounding of the difference.

use super::{GramBlock, StripLayout};
use crate::aligned::Aligned;
use crate::gemm::tiles;
use crate::simd::{F, Level, Simd, dispatch};

/// The shift and the factor of each column: a number x is packed as (x - shift) factor.
#[derive(Debug, Clone)]
pub struct SingleScale {
    /// The numbers to subtract, close to the means.
    pub shift: Vec<f32>,
    /// Powers of two, or 0 for a column whose numbers are all equal to its shift.
    pub factor: Vec<f32>,
}

/// A block of packed rows in single precision.
pub struct SingleBlock<'a> {
    scale: &'a SingleScale,
    layout: StripLayout,
    rows: usize,
    /// Panel after panel, row after row: strips x ROWS x panel.
    packed: Aligned<f32>,
    column_sums: Vec<f64>,
}

impl<'a> SingleBlock<'a> {
    /// An empty block.
    pub fn new(level: Level, scale: &'a SingleScale) -> Self {
        let layout = Self::layout(level, scale.shift.len());
        assert_eq!(scale.factor.len(), layout.width);
        let packed = Aligned::zeros(layout.strips() * Self::ROWS * layout.panel);
        Self { scale, layout, rows: 0, packed, column_sums: vec![0.0; layout.width] }
    }

    /// The strips of a Gram matrix of so many columns.
    pub fn layout(level: Level, width: usize) -> StripLayout {
        StripLayout { width, panel: tiles::panel_width(level) }
    }
}

impl GramBlock for SingleBlock<'_> {
    type Number = f32;
    type Sum = f64;

    /// The error of a sum of 256 products in single precision stays near that of one product, and those of the blocks average
    /// out.
    const ROWS: usize = 256;

    fn pack(&mut self, level: Level, rows: &[f32]) {
        let Self { scale, layout, packed, column_sums, .. } = self;
        let count = rows.len() / layout.width;
        assert!(
            count <= Self::ROWS && rows.len() == count * layout.width,
            "whole rows, {} at most",
            Self::ROWS
        );
        self.rows = count;
        column_sums.fill(0.0);
        dispatch!(level, s => pack_panels(s, packed, column_sums, rows, scale, *layout, Self::ROWS));
    }

    fn add_products(&self, level: Level, strips: &mut [(usize, &mut [f64])]) {
        let Self { layout, packed, rows, .. } = self;
        let panel = |index: usize| &packed[index * Self::ROWS * layout.panel..][..rows * layout.panel];
        for (strip, sums) in strips {
            let (strip, stride) = (*strip, layout.strip_width(*strip));
            assert_eq!(sums.len(), layout.strip_len(strip));
            for right in strip..layout.strips() {
                let column = (right - strip) * layout.panel;
                tiles::add_panel_product(level, sums, stride, column, panel(strip), panel(right), *rows);
            }
        }
    }

    fn column_sums(&self) -> &[f64] {
        &self.column_sums
    }
}

/// Packs rows by panel, shifted and scaled, and adds them to the column sums.
#[inline(always)]
fn pack_panels<S: Simd>(
    s: S,
    packed: &mut [f32],
    column_sums: &mut [f64],
    rows: &[f32],
    scale: &SingleScale,
    layout: StripLayout,
    capacity: usize,
) {
    let StripLayout { width, panel } = layout;
    for index in 0..layout.strips() {
        let first = index * panel;
        let count = panel.min(width - first);
        let to = &mut packed[index * capacity * panel..][..capacity * panel];
        for offset in (0..count).step_by(S::COUNT) {
            let columns = first + offset..first + (offset + S::COUNT).min(count);
            let shift = s.read(&scale.shift[columns.clone()], 0);
            let factor = s.read(&scale.factor[columns.clone()], 0);
            let mut total: F<S> = s.constant(0.0);
            for (row, to) in rows.chunks_exact(width).zip(to.chunks_exact_mut(panel)) {
                // Lanes past the last column have a factor of 0.
                let value = s.mul(s.sub(s.read(&row[columns.clone()], 0), shift), factor);
                total = s.add(total, value);
                s.write(to, offset, value);
            }
            let mut lanes = [0.0f32; 16];
            s.write(&mut lanes[..S::COUNT], 0, total);
            for (sum, &lane) in column_sums[columns].iter_mut().zip(&lanes) {
                *sum += f64::from(lane);
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn number(row: usize, column: usize) -> f32 {
        ((row * 131 + column * 37) % 257) as f32 / 100.0 + 1e3 * column as f32
    }

    /// Rows (n x width), and a scale for them.
    pub fn case(n: usize, width: usize) -> (Vec<f32>, SingleScale) {
        let rows = (0..n * width).map(|at| number(at / width, at % width)).collect();
        let factor = |j: usize| if j % 5 == 4 { 0.0 } else { [1.0, 0.5, 4.0][j % 3] };
        let scale = SingleScale {
            shift: (0..width).map(|j| 1e3 * j as f32 + 1.25).collect(),
            factor: (0..width).map(factor).collect(),
        };
        (rows, scale)
    }

    /// Compares the sums of a block, after it was packed with other rows, with those in double precision.
    pub fn check(
        level: Level,
        block: &mut impl GramBlock<Number = f32, Sum = f64>,
        layout: StripLayout,
        (rows, scale): &(Vec<f32>, SingleScale),
    ) {
        let width = layout.width;
        let n = rows.len() / width;
        let value =
            |row: usize, j: usize| f64::from((rows[row * width + j] - scale.shift[j]) * scale.factor[j]);
        // What a longer block has left must not count.
        block.pack(level, &case(n + 7, width).0[..width * (n + 7).min(256)]);
        block.pack(level, rows);
        for (j, &sum) in block.column_sums().iter().enumerate() {
            let exact: f64 = (0..n).map(|row| value(row, j)).sum();
            assert!((sum - exact).abs() < 1e-5 * n as f64, "{sum} {exact}");
        }
        let mut strips: Vec<Vec<f64>> =
            (0..layout.strips()).map(|strip| vec![1.0; layout.strip_len(strip)]).collect();
        let mut all: Vec<_> = strips.iter_mut().map(|sums| &mut sums[..]).enumerate().collect();
        block.add_products(level, &mut all);
        for (strip, sums) in strips.iter().enumerate() {
            let stride = layout.strip_width(strip);
            for (i, row) in sums.chunks_exact(stride).enumerate() {
                for (j, &sum) in row.iter().enumerate() {
                    let (i, j) = (strip * layout.panel + i, strip * layout.panel + j);
                    let inside = i < width && j < width;
                    let products = (0..if inside { n } else { 0 }).map(|row| value(row, i) * value(row, j));
                    let (exact, size) = products
                        .fold((0.0, 0.0), |(sum, size), product| (sum + product, size + product.abs()));
                    // Each addition of single precision rounds by half a unit of the last place.
                    let bound = n as f64 * f64::from(f32::EPSILON) / 2.0 * size + 1e-12;
                    assert!((sum - 1.0 - exact).abs() <= bound, "{i} {j} of {n} x {width}: {sum} {exact}");
                }
            }
        }
    }

    #[test]
    fn strips_are_the_gram_matrix_of_shifted_and_scaled_rows() {
        for level in Level::available() {
            for (n, width) in [(1, 1), (7, 3), (249, 40), (100, 33), (240, 70)] {
                let case = case(n, width);
                let layout = SingleBlock::layout(level, width);
                check(level, &mut SingleBlock::new(level, &case.1), layout, &case);
            }
        }
    }
}
