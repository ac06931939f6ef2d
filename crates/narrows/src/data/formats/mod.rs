//! Readers and writers of file formats. Readers check announced sizes against the length of the file before they allocate.
//!
//! Used by [`super::open`]; the encoders of CSV and NPY are public.

pub(super) mod array;
pub mod csv;
pub(super) mod idx;
pub(super) mod input;
pub mod npy;
pub(super) mod number;

use super::{Labels, Table};

/// The content of a file.
pub(in crate::data) struct Parts {
    pub table: Table,
    pub labels: Option<Labels>,
    pub columns: Option<Vec<String>>,
}
