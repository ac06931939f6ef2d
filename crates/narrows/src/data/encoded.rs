//! How the columns of a table stand in an encoded row, and how the error of each is measured.

use std::ops::Range;

/// A column of a table in an encoded row.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedColumn {
    /// The numbers of the row that encode the column: one, or one for each level of a category.
    pub range: Range<usize>,
    /// How its error is measured.
    pub error: ColumnError,
    /// The weight of its error in the loss: 1 / the error of the best constant (the variance of a scaled number, the entropy of a
    /// category), so that each column counts 1 at the start.
    pub weight: f64,
}

/// How the error of a column is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ColumnError {
    /// The squared error of a number.
    Squared,
    /// Binary cross-entropy of a number in 0..1, from a logit.
    Binary,
    /// Cross-entropy over the levels of a category, from logits.
    Categorical,
}
