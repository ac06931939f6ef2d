//! Rows with a name, labels and column names; the split into training and held-out rows.

use std::sync::Arc;

use super::schema::find_column;
use super::source::{Shape, Stored, each_block};
use super::{
    ColumnKind, Content, EncodedColumn, Frame, Labels, OpenOptions, Schema, Source, Subset, Table,
    TableOptions, Values,
};
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
    /// One name per number of a row, if the file has names: that of its column, or `column=level` for a level of a category.
    pub columns: Option<Vec<String>>,
    /// The table that the rows are encoded from, if they are those of a table.
    pub table: Option<EncodedTable<'a>>,
    /// The columns of a table that the rows encode; `None` where each number is a column of its own.
    pub encoded: Option<Arc<Vec<EncodedColumn>>>,
    /// What is worth saying about the rows: how the file was read, how its columns were matched.
    pub notes: Vec<String>,
}

/// A table and the schema that its rows are encoded by.
#[derive(Clone)]
pub struct EncodedTable<'a> {
    /// The table.
    pub frame: Frame<'a>,
    /// The schema.
    pub schema: Arc<Schema>,
}

impl<'a> Dataset<'a> {
    /// Rows with a name, without labels or column names.
    pub fn new(name: impl Into<String>, rows: Arc<dyn Source + 'a>) -> Self {
        Self {
            name: name.into(),
            rows,
            labels: None,
            columns: None,
            table: None,
            encoded: None,
            notes: Vec::new(),
        }
    }

    /// The rows of a table. Their kinds are found from all rows, or chosen by the options; see [`super::schema`].
    ///
    /// # Errors
    /// As [`Schema::infer`], and where a label is missing. The message does not name the table.
    pub fn from_frame(name: impl Into<String>, frame: Frame<'a>, options: &OpenOptions) -> Result<Self> {
        let label = options.label_column.as_deref();
        let label = label.map(|label| find_column(&frame.columns, label, "label_column")).transpose()?;
        Self::of_columns(name.into(), frame, &options.table, label)
    }

    /// As [`Dataset::from_frame`], with the column of labels by its number from 0.
    pub(super) fn of_columns(
        name: String,
        frame: Frame<'a>,
        options: &TableOptions,
        label: Option<usize>,
    ) -> Result<Self> {
        let schema = Arc::new(Schema::infer(&frame, options, label)?);
        Self::encoded(name, frame, schema, false)
    }

    /// The rows of a table, encoded by a schema; labels from the schema's column of labels.
    fn encoded(name: String, frame: Frame<'a>, schema: Arc<Schema>, is_foreign: bool) -> Result<Self> {
        let matched = schema.encode(&frame, is_foreign)?;
        let sources = schema.sources(&frame, &mut Vec::new())?;
        let mut of_labels = schema.columns.iter().zip(sources);
        let label = of_labels.find(|(column, _)| column.kind == ColumnKind::Label).and_then(|(_, at)| at);
        Ok(Self {
            name,
            rows: matched.rows,
            labels: label.map(|at| labels_of(&frame, at)).transpose()?,
            columns: schema.has_names().then(|| schema.encoded_names()),
            encoded: Some(Arc::new(schema.encoded_columns())),
            table: Some(EncodedTable { frame, schema }),
            notes: matched.notes,
        })
    }

    /// The schema of the table that the rows are from; None for rows of an array.
    pub fn schema(&self) -> Option<&Arc<Schema>> {
        self.table.as_ref().map(|table| &table.schema)
    }

    /// These rows, encoded as other rows are: see [`Dataset::matched`].
    ///
    /// # Errors
    /// As [`Dataset::matched`]; the message names these rows.
    pub fn matched_to(&self, other: &Dataset<'_>) -> Result<Self> {
        match other.schema() {
            Some(schema) => self.matched(schema).map_err(|error| error.at(&self.name)),
            None => Ok(self.clone()),
        }
    }

    /// The same rows, encoded by the schema of a model or of other rows. Columns are matched by name; rows of an array have to be
    /// as long as encoded rows are.
    ///
    /// # Errors
    /// Where a column is missing, not known or of another kind. The message does not name the rows.
    pub fn matched(&self, schema: &Arc<Schema>) -> Result<Self> {
        let Some(table) = &self.table else { return Ok(self.clone()) };
        if Arc::ptr_eq(&table.schema, schema) || table.schema == *schema {
            return Ok(self.clone());
        }
        // What was left out by choice is not there to be matched.
        let kept: Vec<usize> = (0..table.frame.columns.len())
            .filter(|&at| table.schema.columns[at].kind != ColumnKind::LeftOut)
            .collect();
        let frame = match kept.len() == table.frame.columns.len() {
            true => table.frame.clone(),
            false => table.frame.pick(&kept),
        };
        let found = Self::encoded(self.name.clone(), frame, schema.clone(), true)?;
        let notes = self.notes.iter().cloned().chain(found.notes).collect();
        // Labels may come from a file of their own.
        Ok(Self { labels: self.labels.clone().or(found.labels), notes, ..found })
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

    /// Its rows in memory in another shape of the same length, such as images: they have no columns then.
    ///
    /// # Errors
    /// Where the shape has another length, or rows cannot be read.
    pub fn reshaped(self, shape: Shape) -> Result<Self> {
        let rows = &*self.rows;
        let numbers = rows.rows() * rows.shape().len();
        let values = match rows.stored(0, rows.rows()) {
            Some(Stored::U8(values)) => Values::U8(values.to_vec()),
            Some(Stored::F32(values)) => Values::F32(values.to_vec()),
            _ => {
                let mut values = vec![0.0; numbers];
                rows.read_f64(0, &mut values)?;
                Values::F64(values)
            }
        };
        let table = Table::with_missing(values, rows.shape())?.reshape(shape)?;
        Ok(Self { rows: Arc::new(table), table: None, encoded: None, columns: None, ..self })
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
            rows: Arc::new(Subset::new(self.rows.clone(), indices.clone())),
            encoded: self.encoded.clone(),
            notes: self.notes.clone(),
            table: self.table.as_ref().map(|table| EncodedTable {
                schema: table.schema.clone(),
                frame: table.frame.select(indices),
            }),
        }
    }
}

/// The labels of a table, from the cells of a column.
fn labels_of(frame: &Frame<'_>, column: usize) -> Result<Labels> {
    let texts = match &frame.columns[column].content {
        Content::Texts(texts) => Some(texts.clone()),
        Content::Numbers | Content::Days => None,
    };
    let width = frame.columns.len();
    let mut names = Vec::with_capacity(frame.cells.rows());
    each_block(&*frame.cells, |first, block| {
        for (row, cells) in (first..).zip(block.chunks_exact(width)) {
            let cell = cells[column];
            if cell.is_nan() {
                let row = frame.cells.row_number(row);
                return Err(Error::data(format!("row {row}: the label is missing"))
                    .hint("remove or fill such rows first"));
            }
            names.push(match &texts {
                Some(texts) => {
                    texts.get(cell as usize).map_or_else(String::new, |text| text.trim().to_owned())
                }
                None => cell.to_string(),
            });
        }
        Ok(())
    })?;
    Labels::from_names(&names)
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
