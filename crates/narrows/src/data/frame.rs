//! Tables as they stand in their files: named columns of numbers, texts or dates, with missing values.

use std::sync::Arc;

use super::source::each_block;
use super::{Access, Element, Shape, Source, Subset, Table, Values};
use crate::error::{Error, Result};

/// A table before its columns are encoded as the numbers of a row: see `Schema`.
///
/// ```
/// use std::sync::Arc;
///
/// use narrows::data::{Content, Frame, FrameColumn};
///
/// let cells = ndarray::array![[1.5, 0.0], [2.5, f64::NAN], [0.5, 1.0]]; // the text of row 2 is missing
/// let columns = vec![
///     FrameColumn { name: Some("height".into()), content: Content::Numbers },
///     FrameColumn { name: Some("kind".into()), content: Content::Texts(Arc::new(vec!["oak".into(), "elm".into()])) },
/// ];
/// let frame = Frame::new(columns, Arc::new(narrows::Table::with_missing(
///     narrows::data::Values::F64(cells.into_raw_vec_and_offset().0), narrows::Shape::flat(2))?))?;
/// assert_eq!((frame.cells.rows(), frame.columns.len()), (3, 2));
/// # Ok::<(), narrows::Error>(())
/// ```
#[derive(Clone)]
pub struct Frame<'a> {
    /// The columns, in the order of the file.
    pub columns: Vec<FrameColumn>,
    /// One number per column and row; what it means, the column's [`Content`] says. A missing value is NaN.
    pub cells: Arc<dyn Source + 'a>,
}

/// A column of a [`Frame`].
#[derive(Debug, Clone, PartialEq)]
pub struct FrameColumn {
    /// Its name; None in a file without names.
    pub name: Option<String>,
    /// What its cells are.
    pub content: Content,
}

/// What the cells of a column are.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Content {
    /// Numbers.
    Numbers,
    /// Indices into the distinct texts of the column, in the order of their first row.
    Texts(Arc<Vec<String>>),
    /// Days since 1970-01-01, with fractions: columns of dates and times of typed files. Text that holds dates is
    /// [`Content::Texts`]; the schema recognises it.
    Days,
}

impl<'a> Frame<'a> {
    /// A frame of columns and their cells.
    ///
    /// # Errors
    /// Where there is not one column for each number of a row, there is no column, or two columns have one name.
    pub fn new(columns: Vec<FrameColumn>, cells: Arc<dyn Source + 'a>) -> Result<Self> {
        let width = cells.shape().len();
        if columns.len() != width {
            return Err(Error::data(format!("{} columns, but {width} numbers in a row", columns.len())));
        }
        let mut names: Vec<&str> = columns.iter().filter_map(|column| column.name.as_deref()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::data(format!(
                "more than one column is called `{}`",
                crate::base::text::escaped(pair[0])
            ))
            .hint("give each column a name of its own"));
        }
        Ok(Self { columns, cells })
    }

    /// The table with columns of numbers behind its own, one number per row in each.
    ///
    /// # Errors
    /// Where a column has another length or the name of another one, or rows cannot be read.
    pub fn with_numbers(&self, more: &[(String, Vec<f64>)]) -> Result<Frame<'static>> {
        let (rows, width) = (self.cells.rows(), self.columns.len());
        if let Some((name, _)) = more.iter().find(|(_, values)| values.len() != rows) {
            return Err(Error::data(format!("column `{name}` has not one number for each of {rows} rows")));
        }
        let mut cells = Vec::with_capacity(rows * (width + more.len()));
        each_block(&*self.cells, |first, block| {
            for (row, own) in (first..).zip(block.chunks_exact(width)) {
                cells.extend_from_slice(own);
                cells.extend(more.iter().map(|(_, values)| values[row]));
            }
            Ok(())
        })?;
        let added =
            more.iter().map(|(name, _)| FrameColumn { name: Some(name.clone()), content: Content::Numbers });
        let columns: Vec<FrameColumn> = self.columns.iter().cloned().chain(added).collect();
        let table = Table::with_missing(Values::F64(cells), Shape::flat(columns.len()))?;
        Frame::new(columns, Arc::new(table))
    }

    /// The table of some of its columns, by number from 0.
    ///
    /// # Panics
    /// Where there is no such column.
    pub(crate) fn pick(&self, columns: &[usize]) -> Self {
        Self {
            columns: columns.iter().map(|&at| self.columns[at].clone()).collect(),
            cells: Arc::new(Columns::new(self.cells.clone(), columns.to_vec())),
        }
    }

    /// Whether all columns are numbers.
    pub fn is_numeric(&self) -> bool {
        self.columns.iter().all(|column| column.content == Content::Numbers)
    }

    /// For each column of days, whether some of them have a time.
    ///
    /// # Errors
    /// Where rows cannot be read.
    pub(crate) fn has_times(&self) -> Result<Vec<bool>> {
        let mut found = vec![false; self.columns.len()];
        let days: Vec<usize> =
            (0..found.len()).filter(|&at| self.columns[at].content == Content::Days).collect();
        if !days.is_empty() {
            each_block(&*self.cells, |_, block| {
                for row in block.chunks_exact(self.columns.len()) {
                    days.iter().for_each(|&at| found[at] |= row[at].is_finite() && row[at].fract() != 0.0);
                }
                Ok(())
            })?;
        }
        Ok(found)
    }

    /// The rows `indices`, in this order. No rows are copied.
    ///
    /// # Panics
    /// Where an index is past the end.
    #[must_use]
    pub fn select(&self, indices: Vec<usize>) -> Self {
        Self { columns: self.columns.clone(), cells: Arc::new(Subset::new(self.cells.clone(), indices)) }
    }
}

/// Some of the numbers of each row of another source.
pub(crate) struct Columns<'a> {
    source: Arc<dyn Source + 'a>,
    columns: Vec<usize>,
}

impl<'a> Columns<'a> {
    /// The numbers `columns` of the rows of `source`, in this order.
    ///
    /// # Panics
    /// Where a row is not that long.
    pub fn new(source: Arc<dyn Source + 'a>, columns: Vec<usize>) -> Self {
        assert!(columns.iter().all(|&column| column < source.shape().len()), "a column past the end");
        Self { source, columns }
    }

    fn pick(&self, wide: &[f64], out: &mut [f64]) {
        let width = self.source.shape().len();
        for (row, out) in wide.chunks_exact(width).zip(out.chunks_exact_mut(self.columns.len())) {
            for (out, &column) in out.iter_mut().zip(&self.columns) {
                *out = row[column];
            }
        }
    }
}

impl Source for Columns<'_> {
    fn rows(&self) -> usize {
        self.source.rows()
    }

    fn shape(&self) -> Shape {
        Shape::flat(self.columns.len())
    }

    fn row_number(&self, row: usize) -> usize {
        self.source.row_number(row)
    }

    fn element(&self) -> Element {
        self.source.element()
    }

    fn access(&self) -> Access {
        self.source.access()
    }

    fn read_f64(&self, first: usize, out: &mut [f64]) -> Result<()> {
        let mut wide = vec![0.0; out.len() / self.columns.len() * self.source.shape().len()];
        self.source.read_f64(first, &mut wide)?;
        self.pick(&wide, out);
        Ok(())
    }

    fn gather_f64(&self, indices: &[usize], out: &mut [f64]) -> Result<()> {
        let mut wide = vec![0.0; indices.len() * self.source.shape().len()];
        self.source.gather_f64(indices, &mut wide)?;
        self.pick(&wide, out);
        Ok(())
    }
}
