//! What a call can say about a file, and what reading one gives.

use std::fmt;

use narrows::base::memory;
use narrows::data::Frame;
use narrows::{Dataset, Error};

/// Properties of a file that it does not state, and which part of it is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileOptions {
    /// The columns of a table that are read, by name, in the order of the file; None for all. Other columns are not decoded.
    pub columns: Option<Vec<String>>,
    /// Columns of a table that are left out.
    pub drop: Vec<String>,
    /// Bytes that the cells of a table may take in memory; larger tables are streamed. None for half of the memory that is
    /// free, which is unknown where the system does not tell it: then every table is read into memory.
    pub memory: Option<u64>,
    /// The array of an NPZ archive that contains the rows.
    pub array: Option<String>,
    /// Height and width that pictures are brought to.
    pub size: Option<(usize, usize)>,
    /// Whether pictures in colour become grey.
    pub grey: bool,
    /// How a picture of another shape is brought to `size`.
    pub fit: Fit,
}

impl FileOptions {
    /// The bytes that cells may take in memory.
    pub(crate) fn budget(&self) -> usize {
        match self.memory {
            Some(bytes) => usize::try_from(bytes).unwrap_or(usize::MAX),
            None => memory::free_bytes().map_or(usize::MAX, |free| free / 2),
        }
    }
}

/// How a picture of another shape is brought to a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Fit {
    /// Scaled until it covers the size; what is over on two sides is cut off.
    #[default]
    Crop,
    /// Scaled until it lies within the size; the rest is black.
    Pad,
    /// Scaled to the size, whatever becomes of its proportions.
    Stretch,
}

/// A table of a file.
#[derive(Clone)]
pub struct ReadFrame {
    /// The table.
    pub frame: Frame<'static>,
    /// What the user should know of how the file was read; one sentence each.
    pub notes: Vec<String>,
}

/// Rows of a file.
#[derive(Clone)]
pub struct ReadDataset {
    /// The rows, with labels where the file has some.
    pub dataset: Dataset<'static>,
    /// One name per row, where rows have names: the files of pictures.
    pub names: Option<Vec<String>>,
    /// What the user should know of how the file was read; one sentence each.
    pub notes: Vec<String>,
}

/// The error for a file that is not what it should be.
pub(crate) fn damaged(place: &str, what: impl fmt::Display) -> Error {
    Error::data(format!("{place}: damaged, or not written as its format asks: {what}"))
}

/// `` `a`, `b` and 3 more ``: at most five names.
pub(crate) fn listed<T: AsRef<str>>(names: &[T]) -> String {
    narrows::base::text::listed(names, 5)
}
