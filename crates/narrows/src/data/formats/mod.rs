//! The readers of file formats. Each checks announced sizes against the file's length before it allocates.

pub mod csv;
pub(super) mod idx;
pub(super) mod input;
pub mod npy;
pub(super) mod number;

use super::{Labels, Table};

/// What a reader finds in a file.
pub(in crate::data) struct Parts {
    pub table: Table,
    pub labels: Option<Labels>,
    pub columns: Option<Vec<String>>,
}
