//! Writing of tables as Parquet and as Arrow IPC.

use std::io::Write;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, Date32Array, Float32Array, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_ipc::writer::FileWriter;
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use narrows::{Error, ErrorKind, Result};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

/// Rows that are brought to the writer at a time: what it holds beside the columns is bounded.
const BLOCK: usize = 1 << 16;

/// Rows in a row group of Parquet. The writer keeps one row group, packed, in memory.
const ROW_GROUP: usize = 1 << 18;

/// A column to be written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OutColumn<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its values, one per row.
    pub values: OutValues<'a>,
}

/// The values of a column.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum OutValues<'a> {
    /// Numbers in single precision; NaN is written as null.
    F32(&'a [f32]),
    /// Numbers in double precision; NaN is written as null.
    F64(&'a [f64]),
    /// Texts; None is written as null.
    Texts(&'a [Option<&'a str>]),
    /// Whole days since 1970-01-01, written as dates; NaN is written as null.
    Dates(&'a [f64]),
    /// Days since 1970-01-01 with fractions, written as timestamps in microseconds; NaN is written as null.
    Days(&'a [f64]),
}

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutKind {
    /// Numbers in single precision.
    F32,
    /// Numbers in double precision.
    F64,
    /// Texts.
    Texts,
    /// Dates.
    Dates,
    /// Timestamps.
    Days,
}

impl OutValues<'_> {
    /// The number of values.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F64(values) | Self::Dates(values) | Self::Days(values) => values.len(),
            Self::Texts(values) => values.len(),
        }
    }

    /// The type of the column.
    pub fn kind(&self) -> OutKind {
        match self {
            Self::F32(_) => OutKind::F32,
            Self::F64(_) => OutKind::F64,
            Self::Texts(_) => OutKind::Texts,
            Self::Dates(_) => OutKind::Dates,
            Self::Days(_) => OutKind::Days,
        }
    }

    fn slice(&self, first: usize, end: usize) -> Self {
        match *self {
            Self::F32(values) => Self::F32(&values[first..end]),
            Self::F64(values) => Self::F64(&values[first..end]),
            Self::Texts(values) => Self::Texts(&values[first..end]),
            Self::Dates(values) => Self::Dates(&values[first..end]),
            Self::Days(values) => Self::Days(&values[first..end]),
        }
    }

    fn array(&self) -> ArrayRef {
        let present = |value: &f64| (!value.is_nan()).then_some(*value);
        match self {
            Self::F32(values) => {
                let values = values.iter().map(|value| (!value.is_nan()).then_some(*value));
                Arc::new(values.collect::<Float32Array>())
            }
            Self::F64(values) => Arc::new(values.iter().map(present).collect::<Float64Array>()),
            Self::Texts(values) => Arc::new(values.iter().copied().collect::<StringArray>()),
            Self::Dates(values) => {
                let days = values.iter().map(|value| present(value).map(|days| days.round() as i32));
                Arc::new(days.collect::<Date32Array>())
            }
            Self::Days(values) => {
                let times =
                    values.iter().map(|value| present(value).map(|days| (days * 86_400e6).round() as i64));
                Arc::new(times.collect::<TimestampMicrosecondArray>())
            }
        }
    }
}

impl OutKind {
    fn data_type(self) -> DataType {
        match self {
            Self::F32 => DataType::Float32,
            Self::F64 => DataType::Float64,
            Self::Texts => DataType::Utf8,
            Self::Dates => DataType::Date32,
            Self::Days => DataType::Timestamp(TimeUnit::Microsecond, None),
        }
    }
}

/// The format of a table that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TableFormat {
    /// Parquet, compressed with snappy.
    Parquet,
    /// An Arrow IPC file (Feather of version 2), not compressed: it can be mapped into memory.
    Arrow,
}

/// Writes a table block of rows by block of rows, so that no more than a part of it need be in memory.
pub struct TableWriter<W: Write + Send> {
    schema: SchemaRef,
    kinds: Vec<OutKind>,
    writer: Writer<W>,
}

enum Writer<W: Write + Send> {
    Parquet(Box<ArrowWriter<W>>),
    Arrow(Box<FileWriter<W>>),
}

impl<W: Write + Send> TableWriter<W> {
    /// A writer of columns of these names and types.
    ///
    /// # Errors
    /// Where there are no columns, two have one name, or `out` fails.
    pub fn new(out: W, format: TableFormat, columns: &[(&str, OutKind)]) -> Result<Self> {
        let mut names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::data(format!("more than one column is called `{}`", pair[0])));
        }
        if columns.is_empty() {
            return Err(Error::data("there are no columns"));
        }
        let fields = columns.iter().map(|(name, kind)| Field::new(*name, kind.data_type(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let writer = match format {
            TableFormat::Parquet => {
                let mut properties = WriterProperties::builder()
                    .set_compression(Compression::SNAPPY)
                    .set_max_row_group_row_count(Some(ROW_GROUP))
                    .set_created_by(concat!("narrows ", env!("CARGO_PKG_VERSION")).into())
                    // Numbers seldom repeat: looking for repetitions takes longer than writing them.
                    .set_dictionary_enabled(false);
                for (name, kind) in columns {
                    if *kind == OutKind::Texts {
                        let path = ColumnPath::new(vec![(*name).to_owned()]);
                        properties = properties.set_column_dictionary_enabled(path, true);
                    }
                }
                let writer = ArrowWriter::try_new(out, schema.clone(), Some(properties.build()));
                Writer::Parquet(Box::new(writer.map_err(failed)?))
            }
            TableFormat::Arrow => Writer::Arrow(Box::new(FileWriter::try_new(out, &schema).map_err(failed)?)),
        };
        Ok(Self { schema, kinds: columns.iter().map(|(_, kind)| *kind).collect(), writer })
    }

    /// Writes the next rows: their values column by column.
    ///
    /// # Errors
    /// Where the writer fails.
    ///
    /// # Panics
    /// Where the columns are not those of the table, or not of one length.
    pub fn write(&mut self, columns: &[OutValues<'_>]) -> Result<()> {
        assert!(
            columns.iter().map(OutValues::kind).eq(self.kinds.iter().copied()),
            "the columns of the table"
        );
        let rows = columns[0].len();
        assert!(columns.iter().all(|column| column.len() == rows), "columns of one length");
        for first in (0..rows).step_by(BLOCK) {
            let end = rows.min(first + BLOCK);
            let arrays = columns.iter().map(|column| column.slice(first, end).array()).collect();
            let batch = RecordBatch::try_new(self.schema.clone(), arrays).map_err(failed)?;
            match &mut self.writer {
                Writer::Parquet(writer) => writer.write(&batch).map_err(failed)?,
                Writer::Arrow(writer) => writer.write(&batch).map_err(failed)?,
            }
        }
        Ok(())
    }

    /// Writes what stands at the end of the file, and gives what was written to back.
    ///
    /// # Errors
    /// Where the writer fails.
    pub fn finish(self) -> Result<W> {
        match self.writer {
            Writer::Parquet(writer) => writer.into_inner().map_err(failed),
            Writer::Arrow(mut writer) => {
                writer.finish().map_err(failed)?;
                writer.into_inner().map_err(failed)
            }
        }
    }
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Io, format!("cannot write the table: {error}"))
}

/// Writes columns of one length as Parquet. [`TableWriter`] writes tables that are not in memory as a whole.
///
/// # Errors
/// Where there are no columns, two have one name, they are not of one length, or `out` fails.
pub fn write_parquet<W: Write + Send>(out: W, columns: &[OutColumn<'_>]) -> Result<W> {
    write(out, TableFormat::Parquet, columns)
}

/// Writes columns of one length as an Arrow IPC file, as [`write_parquet`].
///
/// # Errors
/// As [`write_parquet`].
pub fn write_arrow<W: Write + Send>(out: W, columns: &[OutColumn<'_>]) -> Result<W> {
    write(out, TableFormat::Arrow, columns)
}

fn write<W: Write + Send>(out: W, format: TableFormat, columns: &[OutColumn<'_>]) -> Result<W> {
    let kinds: Vec<(&str, OutKind)> =
        columns.iter().map(|column| (column.name, column.values.kind())).collect();
    let mut writer = TableWriter::new(out, format, &kinds)?;
    let values: Vec<OutValues<'_>> = columns.iter().map(|column| column.values).collect();
    if let Some(odd) = columns.iter().find(|column| column.values.len() != values[0].len()) {
        return Err(Error::data(format!(
            "column `{}` has {} values, `{}` has {}",
            odd.name,
            odd.values.len(),
            columns[0].name,
            values[0].len()
        )));
    }
    writer.write(&values)?;
    writer.finish()
}
