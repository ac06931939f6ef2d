//! Tables in memory, and subsets of the rows of another source.

use std::sync::Arc;

use narrows_kernels::{Level, vector};

use super::source::{Access, Element, Shape, Source, Stored, not_finite, same_length};
use crate::error::{Error, Result};

/// The numbers of a [`Table`], row after row.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Bytes.
    U8(Vec<u8>),
    /// Single precision.
    F32(Vec<f32>),
    /// Double precision.
    F64(Vec<f64>),
}

impl Values {
    /// The number of numbers.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        match self {
            Self::U8(values) => values.len(),
            Self::F32(values) => values.len(),
            Self::F64(values) => values.len(),
        }
    }

    /// The numbers in double precision.
    pub fn into_f64(self) -> Vec<f64> {
        match self {
            Self::U8(values) => values.into_iter().map(f64::from).collect(),
            Self::F32(values) => values.into_iter().map(f64::from).collect(),
            Self::F64(values) => values,
        }
    }

    /// The numbers in single precision.
    pub fn into_f32(self) -> Vec<f32> {
        match self {
            Self::U8(values) => values.into_iter().map(f32::from).collect(),
            Self::F32(values) => values,
            Self::F64(values) => values.into_iter().map(|value| value as f32).collect(),
        }
    }
}

/// Rows in memory, in the number type of their file.
///
/// ```
/// use narrows::data::Values;
/// use narrows::{Shape, Table};
///
/// let table = Table::new(Values::F32(vec![1.0, 2.0, 3.0, 4.0]), Shape::flat(2))?;
/// assert_eq!(table.to_array_f32(), ndarray::array![[1.0, 2.0], [3.0, 4.0]]);
/// # Ok::<(), narrows::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    values: Values,
    shape: Shape,
    rows: usize,
}

impl Table {
    /// A table of rows of a shape.
    ///
    /// # Errors
    /// Where there are no rows, the values are not a whole number of rows, or a value is not finite; the message names the row and
    /// the column of the first such value.
    pub fn new(values: Values, shape: Shape) -> Result<Self> {
        Self::checked(values, shape, |value| !value.is_finite())
    }

    /// A table of rows of a shape in which values may be missing (NaN).
    ///
    /// # Errors
    /// As [`Table::new`], but for missing values.
    pub fn with_missing(values: Values, shape: Shape) -> Result<Self> {
        Self::checked(values, shape, f64::is_infinite)
    }

    fn checked(values: Values, shape: Shape, is_bad: impl Fn(f64) -> bool) -> Result<Self> {
        let width = shape.len();
        if width == 0 || values.len() == 0 {
            return Err(Error::data("there are no rows"));
        }
        if !values.len().is_multiple_of(width) {
            return Err(Error::data(format!(
                "{} numbers are not a whole number of rows of {width}",
                values.len()
            )));
        }
        let bad = match &values {
            Values::U8(_) => None,
            Values::F32(values) => values.iter().position(|&value| is_bad(f64::from(value))),
            Values::F64(values) => values.iter().position(|&value| is_bad(value)),
        };
        if let Some(at) = bad {
            let value = match &values {
                Values::F32(values) => f64::from(values[at]),
                Values::F64(values) => values[at],
                Values::U8(values) => f64::from(values[at]),
            };
            return Err(not_finite(at / width + 1, at % width, value));
        }
        let rows = values.len() / width;
        Ok(Self { values, shape, rows })
    }

    /// The output of a model. Values may be not finite, if the model diverged.
    ///
    /// # Panics
    /// Where the values are not a whole number of rows.
    pub(crate) fn of_output(values: Values, shape: Shape) -> Self {
        assert!(values.len().is_multiple_of(shape.len()), "whole rows of {}", shape.len());
        Self { rows: values.len() / shape.len(), values, shape }
    }

    /// The numbers, row after row, without a copy.
    pub fn into_values(self) -> Values {
        self.values
    }

    /// The numbers, row after row.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// Gives the rows another shape of the same length.
    ///
    /// # Errors
    /// Where the shape has another length.
    pub fn reshape(mut self, shape: Shape) -> Result<Self> {
        self.shape = same_length(self.shape, shape)?;
        Ok(self)
    }
}

impl Source for Table {
    fn rows(&self) -> usize {
        self.rows
    }

    fn shape(&self) -> Shape {
        self.shape
    }

    fn element(&self) -> Element {
        match self.values {
            Values::U8(_) => Element::U8,
            Values::F32(_) => Element::F32,
            Values::F64(_) => Element::F64,
        }
    }

    fn read_f64(&self, first: usize, out: &mut [f64]) -> Result<()> {
        self.copy_f64(first.., out);
        Ok(())
    }

    fn read_f32(&self, first: usize, out: &mut [f32]) -> Result<()> {
        self.copy_f32(first.., out);
        Ok(())
    }

    fn stored(&self, first: usize, rows: usize) -> Option<Stored<'_>> {
        let width = self.shape.len();
        let range = first * width..(first + rows) * width;
        Some(match &self.values {
            Values::U8(values) => Stored::U8(&values[range]),
            Values::F32(values) => Stored::F32(&values[range]),
            Values::F64(values) => Stored::F64(&values[range]),
        })
    }

    fn gather_f64(&self, indices: &[usize], out: &mut [f64]) -> Result<()> {
        assert_eq!(out.len(), indices.len() * self.shape.len(), "one row per index");
        self.copy_f64(indices.iter().copied(), out);
        Ok(())
    }

    fn gather_f32(&self, indices: &[usize], out: &mut [f32]) -> Result<()> {
        assert_eq!(out.len(), indices.len() * self.shape.len(), "one row per index");
        self.copy_f32(indices.iter().copied(), out);
        Ok(())
    }
}

impl Table {
    /// Copies rows to `out`, as many as fit into it. Bytes are converted with SIMD, because training reads images this way.
    fn copy_f32(&self, indices: impl Iterator<Item = usize> + Clone, out: &mut [f32]) {
        let width = self.shape.len();
        match &self.values {
            Values::U8(values) => {
                let level = Level::detect();
                let row = |index: usize| &values[index * width..(index + 1) * width];
                // The processor cannot predict the addresses of rows in random order: they are prefetched two rows ahead.
                let ahead = indices.clone().skip(2).map(Some).chain([None; 2]);
                for ((index, next), out) in indices.zip(ahead).zip(out.chunks_exact_mut(width)) {
                    if let Some(next) = next.filter(|&next| next < self.rows) {
                        vector::prefetch(row(next));
                    }
                    vector::from_bytes(level, out, row(index));
                }
            }
            Values::F32(values) => copy_rows(values, width, indices, out, |v| v),
            Values::F64(values) => copy_rows(values, width, indices, out, |v| v as f32),
        }
    }

    fn copy_f64(&self, indices: impl Iterator<Item = usize>, out: &mut [f64]) {
        let width = self.shape.len();
        match &self.values {
            Values::U8(values) => copy_rows(values, width, indices, out, f64::from),
            Values::F32(values) => copy_rows(values, width, indices, out, f64::from),
            Values::F64(values) => copy_rows(values, width, indices, out, |v| v),
        }
    }
}

fn copy_rows<T: Copy, U>(
    values: &[T],
    width: usize,
    indices: impl Iterator<Item = usize>,
    out: &mut [U],
    convert: impl Fn(T) -> U,
) {
    assert_eq!(out.len() % width, 0, "a whole number of rows of {width}");
    for (index, out) in indices.zip(out.chunks_exact_mut(width)) {
        for (out, &value) in out.iter_mut().zip(&values[index * width..(index + 1) * width]) {
            *out = convert(value);
        }
    }
}

/// A subset of the rows of another source, in a given order.
#[derive(Clone)]
pub struct Subset<'a> {
    source: Arc<dyn Source + 'a>,
    indices: Vec<usize>,
}

impl<'a> Subset<'a> {
    /// The rows `indices` of `source`.
    ///
    /// # Panics
    /// Where an index is not below `source.rows()`.
    pub fn new(source: Arc<dyn Source + 'a>, indices: Vec<usize>) -> Self {
        assert!(indices.iter().all(|&index| index < source.rows()), "a row number past the end");
        Self { source, indices }
    }

    /// Calls `read` with row numbers of the source, a few at a time, in an array on the stack: training gathers a batch in each
    /// step and must not allocate.
    fn map<T>(
        &self,
        indices: &[usize],
        out: &mut [T],
        read: impl Fn(&[usize], &mut [T]) -> Result<()>,
    ) -> Result<()> {
        const ROWS: usize = 64;
        let width = self.shape().len();
        assert_eq!(out.len(), indices.len() * width, "one row of {width} per index");
        for (indices, out) in indices.chunks(ROWS).zip(out.chunks_mut(ROWS * width)) {
            let mut mapped = [0; ROWS];
            let mapped = &mut mapped[..indices.len()];
            for (mapped, &index) in mapped.iter_mut().zip(indices) {
                *mapped = self.indices[index];
            }
            read(mapped, out)?;
        }
        Ok(())
    }

    /// The row numbers in the source of the rows from `first` on that have `len` numbers together.
    fn run(&self, first: usize, len: usize) -> &[usize] {
        &self.indices[first..first + len / self.shape().len()]
    }
}

impl Source for Subset<'_> {
    fn rows(&self) -> usize {
        self.indices.len()
    }

    fn shape(&self) -> Shape {
        self.source.shape()
    }

    fn row_number(&self, row: usize) -> usize {
        self.source.row_number(self.indices[row])
    }

    fn element(&self) -> Element {
        self.source.element()
    }

    fn access(&self) -> Access {
        match self.source.access() {
            Access::Random => Access::Random,
            // The mean number of rows of the subset in a window of the source.
            Access::Sequential { window } => {
                let window = (window as f64 * self.indices.len() as f64 / self.source.rows() as f64) as usize;
                Access::Sequential { window: window.max(1) }
            }
        }
    }

    fn read_f64(&self, first: usize, out: &mut [f64]) -> Result<()> {
        self.source.gather_f64(self.run(first, out.len()), out)
    }

    fn read_f32(&self, first: usize, out: &mut [f32]) -> Result<()> {
        self.source.gather_f32(self.run(first, out.len()), out)
    }

    fn gather_f64(&self, indices: &[usize], out: &mut [f64]) -> Result<()> {
        self.map(indices, out, |indices, out| self.source.gather_f64(indices, out))
    }

    fn gather_f32(&self, indices: &[usize], out: &mut [f32]) -> Result<()> {
        self.map(indices, out, |indices, out| self.source.gather_f32(indices, out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_refuse_what_is_no_whole_rows_of_numbers() {
        assert!(Table::new(Values::U8(vec![]), Shape::flat(3)).is_err());
        assert!(Table::new(Values::U8(vec![1]), Shape::flat(0)).is_err());
        assert!(Table::new(Values::U8(vec![1; 4]), Shape::flat(3)).is_err());
        let error = Table::new(Values::F32(vec![0.0, 1.0, 2.0, f32::NAN]), Shape::flat(2)).unwrap_err();
        assert!(error.to_string().starts_with("row 2, column 2: NaN"), "{error}");
    }

    /// More rows than a subset reads at a time, through two subsets.
    #[test]
    fn subsets_of_subsets_find_their_rows() {
        let table = Table::new(Values::F64((0..600).map(f64::from).collect()), Shape::flat(2)).unwrap();
        let odd = Subset::new(Arc::new(table), (0..300).filter(|row| row % 2 == 1).collect());
        let backwards = Subset::new(Arc::new(odd), (0..150).rev().collect());
        assert_eq!(
            (backwards.rows(), backwards.shape(), backwards.element()),
            (150, Shape::flat(2), Element::F64)
        );
        let indices: Vec<usize> = (0..150).collect();
        let (mut single, mut double) = (vec![0.0f32; 300], vec![0.0f64; 300]);
        backwards.gather_f32(&indices, &mut single).unwrap();
        backwards.read_f64(0, &mut double).unwrap();
        for (index, row) in double.chunks_exact(2).enumerate() {
            let original = (2 * (149 - index) + 1) as f64;
            assert_eq!(row, [2.0 * original, 2.0 * original + 1.0]);
        }
        assert!(single.iter().zip(&double).all(|(&single, &double)| f64::from(single) == double));
    }
}
