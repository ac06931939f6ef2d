//! Rows whose missing values are filled, for what takes complete rows alone.

use super::source::{Access, Element, Shape, Source};
use crate::error::Result;

/// The rows of a source with a number of each column's own where a value is missing.
pub(crate) struct Filled<'a> {
    source: &'a dyn Source,
    /// d.
    fill: &'a [f64],
}

impl<'a> Filled<'a> {
    /// `fill` has one number for each column.
    pub fn new(source: &'a dyn Source, fill: &'a [f64]) -> Self {
        assert_eq!(source.shape().len(), fill.len());
        Self { source, fill }
    }
}

impl Source for Filled<'_> {
    fn rows(&self) -> usize {
        self.source.rows()
    }

    fn shape(&self) -> Shape {
        self.source.shape()
    }

    fn element(&self) -> Element {
        self.source.element()
    }

    fn access(&self) -> Access {
        self.source.access()
    }

    fn row_number(&self, row: usize) -> usize {
        self.source.row_number(row)
    }

    fn read_f64(&self, first: usize, out: &mut [f64]) -> Result<()> {
        self.source.read_f64(first, out)?;
        for row in out.chunks_exact_mut(self.fill.len()) {
            for (value, &other) in row.iter_mut().zip(self.fill) {
                if value.is_nan() {
                    *value = other;
                }
            }
        }
        Ok(())
    }
}
