//! Rows with a name, labels and column names; the split into training and held-out rows.

use std::sync::Arc;

use super::{EncodedColumn, Labels, Source, Subset, Table};
use crate::base::random::{self, Purpose};
use crate::error::{Error, Result};

/// Rows with their labels and names. Cloning copies labels and names, but not the rows.
///
/// The rows may be borrowed: `Dataset::from(array.view())` reads from an `ndarray` array without copying it.
///
/// ```
/// use narrows::Dataset;
/// use ndarray::array;
///
/// let rows = array![[1.0, 2.0], [3.0, 5.0]];
/// let dataset = Dataset::from(&rows); // borrows the array
/// assert_eq!((dataset.rows.rows(), dataset.rows.shape().len()), (2, 2));
/// ```
#[derive(Clone)]
pub struct Dataset<'a> {
    /// The name in reports and messages: `mnist`, `mnist:test`, or the file's name.
    pub name: String,
    /// The rows.
    pub rows: Arc<dyn Source + 'a>,
    /// One label per row, if the data are labelled.
    pub labels: Option<Labels>,
    /// One name per column, without that of the labels, if the file has names.
    pub columns: Option<Vec<String>>,
    /// The columns of a table that the rows encode; `None` where each number is a column of its own.
    pub encoded: Option<Arc<Vec<EncodedColumn>>>,
}

impl<'a> Dataset<'a> {
    /// Rows with a name, without labels or column names.
    pub fn new(name: impl Into<String>, rows: Arc<dyn Source + 'a>) -> Self {
        Self { name: name.into(), rows, labels: None, columns: None, encoded: None }
    }

    /// Adds labels, one per row.
    ///
    /// # Errors
    /// Where there are more or fewer labels than rows.
    pub fn with_labels(self, labels: Labels) -> Result<Self> {
        let (rows, found) = (self.rows.rows(), labels.classes.len());
        if rows != found {
            return Err(Error::data(format!("{}: {rows} rows, but {found} labels", self.name))
                .hint("one label per row, in the same order"));
        }
        Ok(Self { labels: Some(labels), ..self })
    }

    /// The rows `indices`, in this order, with their labels. No rows are copied.
    ///
    /// # Panics
    /// Where an index is past the end.
    #[must_use]
    pub fn select(&self, indices: Vec<usize>) -> Self {
        Self {
            name: self.name.clone(),
            labels: self.labels.as_ref().map(|labels| labels.select(&indices)),
            columns: self.columns.clone(),
            encoded: self.encoded.clone(),
            rows: Arc::new(Subset::new(self.rows.clone(), indices)),
        }
    }
}

/// The rows of a borrowed table.
impl<'a> From<&'a Table> for Dataset<'a> {
    fn from(table: &'a Table) -> Self {
        let rows: &'a dyn Source = table;
        rows.into()
    }
}

/// The rows of a table.
impl From<Table> for Dataset<'_> {
    fn from(table: Table) -> Self {
        Self::new("table", Arc::new(table))
    }
}

/// The rows of a borrowed source.
impl<'a> From<&'a dyn Source> for Dataset<'a> {
    fn from(rows: &'a dyn Source) -> Self {
        Self::new("rows", Arc::new(rows))
    }
}

/// A clone, which shares the rows.
impl<'a> From<&Dataset<'a>> for Dataset<'a> {
    fn from(dataset: &Dataset<'a>) -> Self {
        dataset.clone()
    }
}

/// Splits rows at random into training and held-out rows. The fraction `share` of the rows (above 0, below 1), rounded to at
/// least one row on each side, is held out. The split depends only on the seed and the number of rows; both parts keep the order of
/// the rows.
///
/// # Errors
/// [`ErrorKind::Data`](crate::ErrorKind::Data) where `share` is outside its range or there are fewer than two rows.
pub fn hold_out<'a>(dataset: &Dataset<'a>, share: f64, seed: u64) -> Result<(Dataset<'a>, Dataset<'a>)> {
    let rows = dataset.rows.rows();
    if !(share > 0.0 && share < 1.0) {
        return Err(Error::data(format!("{}: cannot hold out a share of {share}", dataset.name))
            .hint("give a number above 0 and below 1, such as 0.1"));
    }
    if rows < 2 {
        return Err(Error::data(format!(
            "{}: one row cannot be split into training and held-out rows",
            dataset.name
        ))
        .hint("give other rows as held-out rows"));
    }
    let count = ((rows as f64 * share).round() as usize).clamp(1, rows - 1);
    let mut order: Vec<usize> = (0..rows).collect();
    random::shuffle(&mut order, &mut random::generator(seed, Purpose::HoldOut, 0));
    let mut training = order.split_off(count);
    let mut held_out = order;
    training.sort_unstable();
    held_out.sort_unstable();
    let mut held_out = dataset.select(held_out);
    held_out.name = format!("{}:held-out", dataset.name);
    Ok((dataset.select(training), held_out))
}
