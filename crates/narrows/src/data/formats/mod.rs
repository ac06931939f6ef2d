//! Readers and writers of file formats. Readers check announced sizes against the length of the file before they allocate.
//!
//! Used by [`super::open`]; the encoders of CSV and NPY are public.

pub(super) mod array;
mod cell;
pub mod csv;
pub(super) mod idx;
pub(super) mod input;
pub(super) mod json_lines;
pub mod npy;
pub(super) mod number;
mod tally;

use super::Frame;

/// A table that was read from text.
pub(in crate::data) struct TextTable {
    /// All columns of the file, row names and labels among them.
    pub frame: Frame<'static>,
    /// The column of classes, where the file announces one: the layout of scikit-learn. Its texts are the names of the classes in
    /// the order of the file, which also names classes without rows.
    pub classes: Option<usize>,
    /// What was read in another way than it is written.
    pub notes: Vec<String>,
    /// Places in the columns, for messages.
    pub first: Vec<FirstLines>,
}

/// Places in a column, with lines from 1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::data) struct FirstLines {
    /// The first row that has no value here.
    pub missing: Option<usize>,
    /// The first text that is no number, or that stays text, and its row.
    pub text: Option<(usize, String)>,
}

/// What is known of a table of text beside its content.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::data) struct TextOptions<'a> {
    /// Whether the first line has the names of the columns; decided from the content where None.
    pub header: Option<bool>,
    /// Columns, by name or number from 1, that are categories or labels or are left out: they are not refused for being nearly
    /// numbers. A name also says that there is a header.
    pub texts: &'a [&'a str],
}

impl FirstLines {
    fn of(tally: &tally::Tally) -> Self {
        Self { missing: tally.first_missing, text: tally.first_text() }
    }
}
