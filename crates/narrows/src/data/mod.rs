//! Rows: where they come from, how they are read, which are held out.
//!
//! A [`Source`] is asked for rows by number and answers in f32 or f64; it is the one open set of the library.
//! Everything that is read today lies in memory as a [`Table`], in the type it had in its file (bytes stay bytes).
//! A [`Dataset`] is a source with what travels along: labels, column names, a name.

mod rows;

pub use rows::{Element, Labels, Shape, Source, Subset, Table, Values};

use std::sync::Arc;

/// Rows with their labels and names.
#[derive(Clone)]
pub struct Dataset {
    /// What the rows are called in reports: `mnist`, `mnist:test`, or the file's name.
    pub name: String,
    /// The rows.
    pub rows: Arc<dyn Source>,
    /// One class per row, where there are any.
    pub labels: Option<Labels>,
    /// One name per column, where the file has them (labels excluded).
    pub columns: Option<Vec<String>>,
}
