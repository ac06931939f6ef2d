//! Gram matrices X'X of many rows, faster than in double precision and at least as accurate as their storage.
//!
//! Rows are packed in blocks. The products of a block are computed in a short format and added to sums in a long one:
//!
//! | rows | products of a block | sums over blocks |
//! |---|---|---|
//! | bytes ([`ByteBlock`]) | 32-bit integers, exact | 64-bit integers, exact |
//! | single precision ([`SingleBlock`]), shifted and scaled | single precision | double precision |
//! | the same with a matrix unit ([`PieceBlock`]) | single precision, from three pieces in bfloat16 | double precision |
//!
//! The matrix is computed in *strips*: strip s has the rows from s x panel on, and of them the columns from the diagonal on,
//! padded to whole panels. Strips are independent of each other, so threads share them out; each sum runs over the blocks in
//! the order in which they are added.

mod bytes;
mod pieces;
mod single;

pub use bytes::ByteBlock;
pub use pieces::PieceBlock;
pub use single::{SingleBlock, SingleScale};

use crate::simd::Level;

/// A block of packed rows.
pub trait GramBlock: Send + Sync {
    /// The stored numbers.
    type Number: Copy + Default + Send + Sync;
    /// The sums of products.
    type Sum: Copy + Default + Send + Sync;

    /// The largest number of rows of a block. Fixed for a type, because it determines the order of the sums.
    const ROWS: usize;

    /// Packs up to [`GramBlock::ROWS`] rows (rows x width).
    ///
    /// # Panics
    /// If there are more rows, or not whole ones.
    fn pack(&mut self, level: Level, rows: &[Self::Number]);

    /// Adds the products of the packed rows to strips: the number of each, in ascending order, and its [`StripLayout::strip_len`]
    /// sums.
    ///
    /// # Panics
    /// If a strip has another length.
    fn add_products(&self, level: Level, strips: &mut [(usize, &mut [Self::Sum])]);

    /// The sums over the packed rows of each column (width).
    fn column_sums(&self) -> &[Self::Sum];
}

/// The division of a Gram matrix into strips.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StripLayout {
    /// Columns of the matrix.
    pub width: usize,
    /// Rows of a strip, and columns of a panel.
    pub panel: usize,
}

impl StripLayout {
    /// The number of strips.
    pub fn strips(self) -> usize {
        self.width.div_ceil(self.panel)
    }

    /// The columns of a strip, padded: its rows are so far apart.
    pub fn strip_width(self, strip: usize) -> usize {
        (self.strips() - strip) * self.panel
    }

    /// The sums of a strip.
    pub fn strip_len(self, strip: usize) -> usize {
        self.panel * self.strip_width(strip)
    }
}
