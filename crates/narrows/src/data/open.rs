//! Opening of data files: the format of a file, its labels, the options.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::formats::array::{self, Header};
use super::formats::input::Input;
use super::formats::{TextOptions, TextTable, csv, idx, json_lines, npy};
use super::on_disk::{self, OnDisk};
use super::schema::find_column;
use super::{Columns, Content, Dataset, Kind, Labels, Shape, Source, Table, TableOptions};
use crate::base::text::escaped;
use crate::error::{Error, Result};

/// Properties of a data set that its file does not state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// The column of a CSV or JSON file that contains the labels: its name, or its number from 1.
    pub label_column: Option<String>,
    /// Whether the first line of a text table has the names of the columns. `None` decides it from the content.
    pub header: Option<bool>,
    /// A file with one label per row: IDX or NPY of one dimension, or text of one column.
    pub labels_file: Option<PathBuf>,
    /// The shape of a row, where the file contains vectors.
    pub shape: Option<Shape>,
    /// Whether the rows are read into memory. `Some(false)` leaves them in the file, to be read when they are needed: NPY files in
    /// row-major order and IDX files, not packed. `None` does so for such files where the rows would take more than half of
    /// the free memory (on Linux; elsewhere rows are read into memory). Only [`open`] uses it.
    pub in_memory: Option<bool>,
    /// The bytes that rows may take in memory where `in_memory` does not decide; None for half of the free memory.
    pub memory: Option<u64>,
    /// Choices about the columns of a table.
    pub table: TableOptions,
}

/// Opens a file; `-` is standard input, which is read to its end.
///
/// For an IDX file named like those of MNIST, `...images-idx3-ubyte` (or `.idx3-ubyte`, or with `.gz`), the labels are read from
/// the file beside it that has `labels` and `idx1` in these places, if it exists and the options name no other labels.
///
/// # Errors
/// [`ErrorKind::Data`](crate::ErrorKind::Data) where the content is invalid or the options do not fit it,
/// [`ErrorKind::Io`](crate::ErrorKind::Io) where the system cannot read the file. The message begins with the path.
pub fn open(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Dataset<'static>> {
    let path = path.as_ref();
    let name = &*path.to_string_lossy();
    check_labels(name, options)?;
    if name == "-" {
        let input = Input::standard()?;
        let (format, place) = (format_of_content(&input)?.unwrap_or(Format::Csv), input.place.clone());
        return read(input, None, format, options)?.into_dataset(&place, place.clone(), options);
    }
    let input = open_file(name, path)?;
    let format = format(&input, path)?;
    let mut found = read(input, Some(path), format, options)?;
    if format == Format::Idx
        && options.labels_file.is_none()
        && let Found::Array { rows, labels } = &mut found
    {
        let count = match rows {
            Rows::InMemory(table) => table.rows(),
            Rows::OnDisk(rows) => rows.rows(),
        };
        *labels = labels_beside(path).map(|path| read_labels(&path, count)).transpose()?;
    }
    found.into_dataset(name, file_name(path), options)
}

/// Reads a data set from the bytes of a file in memory, which may be packed with gzip or zstd. Messages begin with `name`, which is also
/// the name of the data set. Labels come from the bytes, or from the file that the options name.
///
/// # Errors
/// As [`open`].
pub fn read_bytes(
    name: &str,
    bytes: &[u8],
    format: Format,
    options: &OpenOptions,
) -> Result<Dataset<'static>> {
    check_labels(name, options)?;
    let found = read(Input::memory(name, bytes)?, None, format, options)?;
    found.into_dataset(name, name.to_owned(), options)
}

/// Reads the labels of `rows` rows from the bytes of a file in memory: one label per row, as for [`OpenOptions::labels_file`].
///
/// # Errors
/// As [`open`], and where there are more or fewer labels than rows.
pub fn read_label_bytes(name: &str, bytes: &[u8], format: Format, rows: usize) -> Result<Labels> {
    labels(Input::memory(name, bytes)?, format, rows)
}

/// File formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// The format of MNIST.
    Idx,
    /// The format of NumPy arrays.
    Npy,
    /// Text with one row per line.
    Csv,
    /// Text with one JSON object per row.
    JsonLines,
}

const READ: &str =
    "these are read: .npy, .csv, .tsv, .txt, .jsonl, and .idx or ...-ubyte, each also as .gz or .zst";

fn check_labels(name: &str, options: &OpenOptions) -> Result<()> {
    if options.label_column.is_some() && options.labels_file.is_some() {
        return Err(Error::data(format!("{name}: both `label_column` and `labels_file` are given"))
            .hint("give one of them"));
    }
    Ok(())
}

/// The content of a file.
enum Found {
    /// Rows of one kind, with the labels beside them.
    Array { rows: Rows, labels: Option<Labels> },
    /// A table of columns, encoded.
    Table(Box<Dataset<'static>>),
}

/// The rows of an array.
enum Rows {
    InMemory(Table),
    OnDisk(OnDisk),
}

impl Rows {
    fn reshape(self, shape: Shape) -> Result<Self> {
        Ok(match self {
            Self::InMemory(table) => Self::InMemory(table.reshape(shape)?),
            Self::OnDisk(rows) => Self::OnDisk(rows.reshape(shape)?),
        })
    }

    fn into_source(self) -> Arc<dyn Source> {
        match self {
            Self::InMemory(table) => Arc::new(table),
            Self::OnDisk(rows) => Arc::new(rows),
        }
    }
}

impl Found {
    /// Applies the options.
    fn into_dataset(self, name: &str, short_name: String, options: &OpenOptions) -> Result<Dataset<'static>> {
        let dataset = match self {
            Self::Array { rows, labels } => {
                let rows = match options.shape {
                    Some(shape) => rows.reshape(shape).map_err(|error| error.at(name))?,
                    None => rows,
                };
                Dataset { labels, ..Dataset::new(short_name, rows.into_source()) }
            }
            Self::Table(dataset) => {
                let dataset = Dataset { name: short_name, ..*dataset };
                match options.shape {
                    Some(shape) => dataset.reshaped(shape).map_err(|error| error.at(name))?,
                    None => dataset,
                }
            }
        };
        let rows = dataset.rows.rows();
        let labels = match &options.labels_file {
            Some(path) => Some(read_labels(path, rows)?),
            None => dataset.labels,
        };
        if let Some(found) = labels.as_ref().map(|labels| labels.classes.len()).filter(|&found| found != rows)
        {
            return Err(Error::data(format!("{name}: {rows} rows, but {found} labels"))
                .hint("one label per row, in the same order"));
        }
        Ok(Dataset { labels, ..dataset })
    }
}

/// Reads a file; `path` is given if its rows may stay on disk.
fn read(mut input: Input<'_>, path: Option<&Path>, format: Format, options: &OpenOptions) -> Result<Found> {
    let header = match format {
        Format::Idx | Format::Npy if options.label_column.is_some() => return Err(no_label_column(&input)),
        Format::Idx => idx::rows_header(&mut input)?,
        Format::Npy => npy::rows_header(&mut input)?,
        Format::Csv | Format::JsonLines => {
            let place = input.place.clone();
            let texts = columns_of_text(options);
            let text = TextOptions { header: options.header, texts: &texts };
            let table = match format {
                Format::Csv => csv::read(&place, input.text(csv::table_bytes)?, text)?,
                _ => json_lines::read(&place, input.text(|_, _| 0)?, text)?,
            };
            let dataset = of_text(table, options).map_err(|error| error.at(place))?;
            return Ok(Found::Table(Box::new(dataset)));
        }
    };
    let rows = read_array(input, &header, path, options)?;
    Ok(Found::Array { rows, labels: None })
}

/// The columns that the options take for something else than numbers.
fn columns_of_text(options: &OpenOptions) -> Vec<&str> {
    let TableOptions { drop, identifiers, kinds, .. } = &options.table;
    let of_kinds = kinds.iter().filter(|(_, kind)| *kind != Kind::Number).map(|(name, _)| name);
    drop.iter().chain(identifiers).chain(of_kinds).chain(&options.label_column).map(String::as_str).collect()
}

/// The rows and labels of a table of text.
fn of_text(table: TextTable, options: &OpenOptions) -> Result<Dataset<'static>> {
    let TextTable { frame, classes, notes, first } = table;
    let label = options.label_column.as_deref();
    let label = match (classes, label) {
        (Some(last), Some(label)) if label.parse() != Ok(last + 1) => {
            return Err(Error::data(format!(
                "its first line says that the classes are in the last column, {}",
                last + 1
            ))
            .hint("leave out `label_column`"));
        }
        (Some(last), _) => Some(last),
        (None, label) => label.map(|label| find_column(&frame.columns, label, "label_column")).transpose()?,
    };
    // In a single column a blank line may be a missing value, or nothing.
    let complete = label.map(|label| (label, "label")).or((frame.columns.len() == 1).then_some((0, "value")));
    if let Some((column, what)) = complete
        && let Some(line) = first[column].missing
    {
        let line = if line > 0 { format!("line {line}, ") } else { String::new() };
        let column = match &frame.columns[column].name {
            Some(name) => format!("column `{}`", escaped(name)),
            None => format!("column {}", column + 1),
        };
        return Err(Error::data(format!("{line}{column}: the {what} is missing"))
            .hint("remove or fill such rows first"));
    }
    let announced = classes.and_then(|column| match &frame.columns[column].content {
        Content::Texts(names) => Some((column, names.to_vec())),
        Content::Numbers | Content::Days => None,
    });
    let mut dataset = Dataset::of_columns("table".into(), frame, &options.table, label)?;
    if let (Some((column, names)), Some(table)) = (announced, &dataset.table) {
        // The file also names classes without rows, in an order of its own.
        let cells = Columns::new(table.frame.cells.clone(), vec![column]);
        let mut values = vec![0.0; cells.rows()];
        cells.read_f64(0, &mut values)?;
        dataset.labels =
            Some(Labels { classes: values.into_iter().map(|value| value as u32).collect(), names });
    }
    dataset.notes.splice(0..0, notes);
    Ok(dataset)
}

fn read_array(input: Input<'_>, header: &Header, path: Option<&Path>, options: &OpenOptions) -> Result<Rows> {
    if let Some(path) = path
        && on_disk::is_preferred(&input, header, options.in_memory, options.memory)?
    {
        return OnDisk::open(&input, header, path).map(Rows::OnDisk);
    }
    array::read_table(input, header).map(Rows::InMemory)
}

/// Reads the labels of `rows` rows from a file: see [`OpenOptions::labels_file`].
///
/// # Errors
/// As [`open`], and where there are more or fewer labels than rows.
pub fn read_labels(path: &Path, rows: usize) -> Result<Labels> {
    let place = path.display().to_string();
    if matches!(path.try_exists(), Ok(false)) {
        return Err(Error::data(format!("{place}: no such file"))
            .hint("`labels_file` is a file with one label per row"));
    }
    let input = open_file(&place, path)?;
    let format = format(&input, path)?;
    labels(input, format, rows)
}

fn labels(input: Input<'_>, format: Format, rows: usize) -> Result<Labels> {
    let place = input.place.clone();
    let labels = match format {
        Format::Idx => idx::read_labels(input)?,
        Format::Npy => npy::read_labels(input)?,
        Format::JsonLines => {
            return Err(input.error("labels are not read from JSON").hint(
                "name the field of the data as `label_column`, or give a text file with one label per row",
            ));
        }
        Format::Csv => csv::read_labels(&place, input.text(|_, _| 0)?, rows)?,
    };
    if labels.classes.len() != rows {
        return Err(Error::data(format!("{place}: {} labels for {rows} rows", labels.classes.len()))
            .hint("one label per row, in the same order"));
    }
    Ok(labels)
}

fn open_file(name: &str, path: &Path) -> Result<Input<'static>> {
    if path.is_dir() {
        return Err(Error::data(format!("{name}: folders of images are not supported yet")).hint(READ));
    }
    if matches!(path.try_exists(), Ok(false)) {
        return Err(Error::data(format!("{name}: no such file")));
    }
    Input::open(name, path)
}

/// The format that the first bytes of a file identify.
fn format_of_content(input: &Input<'_>) -> Result<Option<Format>> {
    let unsupported = |what: &str| Err(input.error(format_args!("{what} are not supported yet")).hint(READ));
    match &input.start[..] {
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => Ok(Some(Format::Npy)),
        [b'P', b'A', b'R', b'1', ..] => unsupported("Parquet files"),
        [0x89, b'P', b'N', b'G', ..] | [0xff, 0xd8, 0xff, ..] => unsupported("single images"),
        [b'P', b'K', 3, 4, ..] if input.place.ends_with(".npz") => unsupported("NPZ archives"),
        [b'P', b'K', 3, 4, ..] => unsupported("ZIP archives and office files"),
        [0, 0, 0x08..=0x0e, 1..=4, ..] => Ok(Some(Format::Idx)),
        start if json_lines::is_json(start) => Ok(Some(Format::JsonLines)),
        _ => Ok(None),
    }
}

/// The format of a file: by its first bytes where they identify it, else by its name.
fn format(input: &Input<'_>, path: &Path) -> Result<Format> {
    let name = file_name(path).to_lowercase();
    let bare = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
    let ends = |endings: &[&str]| endings.iter().any(|ending| bare.ends_with(ending));
    let unsupported = |what: &str| Err(input.error(format_args!("{what} are not supported yet")).hint(READ));
    if let Some(format) = format_of_content(input)? {
        return Ok(format);
    }
    if ends(&[".csv", ".tsv", ".tab", ".txt", ".dat", ".data"]) {
        Ok(Format::Csv)
    } else if ends(&[".jsonl", ".ndjson", ".json"]) {
        Ok(Format::JsonLines)
    } else if ends(&[".npy"]) {
        Ok(Format::Npy)
    } else if ends(&[".parquet"]) {
        unsupported("Parquet files")
    } else if ends(&[".npz"]) {
        unsupported("NPZ archives")
    } else if ends(&[".idx", "ubyte"]) || bare.len() < name.len() {
        Ok(Format::Idx)
    } else {
        Err(input.error("not a kind of file that is known").hint(READ))
    }
}

/// The file of labels beside a file of images: `train-labels-idx1-ubyte` for `train-images-idx3-ubyte`, packed or not.
fn labels_beside(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let bare = name.strip_suffix(".gz").unwrap_or(name);
    let labels = [("images-idx3-ubyte", "labels-idx1-ubyte"), ("images.idx3-ubyte", "labels.idx1-ubyte")]
        .iter()
        .find_map(|(images, labels)| Some(bare.strip_suffix(images)?.to_owned() + labels))?;
    let packed = format!("{labels}.gz");
    // Packed labels are preferred for packed images.
    let names = if bare.len() < name.len() { [packed, labels] } else { [labels, packed] };
    names.iter().map(|name| path.with_file_name(name)).find(|path| path.is_file())
}

fn no_label_column(input: &Input<'_>) -> Error {
    input
        .error("`label_column` names a column of a CSV or JSON file, and this has none")
        .hint("give a file with one label per row as `labels_file`")
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}
