//! Opens data sets: finds the reader for a file, its labels, and applies the options.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::formats::input::Input;
use super::formats::{Parts, csv, idx, npy};
use super::{Dataset, Labels, Shape, Source};
use crate::error::{Error, Result};

/// What a file does not say itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// The column of a CSV file that holds the classes: its name, or its number from 1.
    pub label_column: Option<String>,
    /// A file with one class per row: IDX or NPY of one dimension, or one column of text.
    pub labels_file: Option<PathBuf>,
    /// What one row is, where the file has plain vectors.
    pub shape: Option<Shape>,
}

/// Opens a file.
///
/// An IDX file named like MNIST's, `...images-idx3-ubyte` (or `.idx3-ubyte`, or `.gz`), takes its labels from the file beside it whose
/// name has `labels` and `idx1` in these places, if there is one and no other labels are asked for.
///
/// # Errors
/// [`ErrorKind::Data`](crate::ErrorKind::Data) where the content is not what it should be or the options do not fit
/// it, [`ErrorKind::Io`](crate::ErrorKind::Io) where the system cannot read the file. The message begins with `name`.
pub fn open(name: &str, options: &OpenOptions) -> Result<Dataset<'static>> {
    check_labels(name, options)?;
    let path = Path::new(name);
    let input = open_file(name, path)?;
    let format = format(&input, path)?;
    let mut parts = read(name, input, format, options)?;
    if format == Format::Idx && options.labels_file.is_none() {
        parts.labels = labels_beside(path).map(|path| read_labels(&path, parts.table.rows())).transpose()?;
    }
    dataset(name, file_name(path), parts, options)
}

/// Reads a data set from the bytes of a file in memory, which may be packed with gzip. `name` stands in messages in place of
/// the file, and becomes the name of the data set. Labels come from the bytes, or from the file that the options name.
///
/// # Errors
/// As for [`open`].
pub fn read_bytes(
    name: &str,
    bytes: &[u8],
    format: Format,
    options: &OpenOptions,
) -> Result<Dataset<'static>> {
    check_labels(name, options)?;
    let parts = read(name, Input::memory(name, bytes)?, format, options)?;
    dataset(name, name.to_owned(), parts, options)
}

/// Reads the classes of `rows` rows from the bytes of a file in memory: one label per row, as for [`OpenOptions::labels_file`].
///
/// # Errors
/// As for [`open`].
pub fn read_label_bytes(name: &str, bytes: &[u8], format: Format, rows: usize) -> Result<Labels> {
    labels(name, Input::memory(name, bytes)?, format, rows)
}

fn check_labels(name: &str, options: &OpenOptions) -> Result<()> {
    if options.label_column.is_some() && options.labels_file.is_some() {
        return Err(Error::data(format!("{name}: both `label_column` and `labels_file` are given"))
            .hint("give one of them"));
    }
    Ok(())
}

/// Applies the options to what a reader has found.
fn dataset(
    name: &str,
    short_name: String,
    mut parts: Parts,
    options: &OpenOptions,
) -> Result<Dataset<'static>> {
    if let Some(shape) = options.shape {
        parts.table = parts.table.reshape(shape).map_err(|error| error.at(name))?;
    }
    if let Some(path) = &options.labels_file {
        parts.labels = Some(read_labels(path, parts.table.rows())?);
    }
    if let Some(labels) = &parts.labels {
        let (rows, found) = (parts.table.rows(), labels.classes.len());
        if rows != found {
            return Err(Error::data(format!("{name}: {rows} rows, but {found} labels"))
                .hint("one label per row, in the same order"));
        }
    }
    Ok(Dataset {
        name: short_name,
        rows: Arc::new(parts.table),
        labels: parts.labels,
        columns: parts.columns,
    })
}

/// The formats of files that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// The format of MNIST.
    Idx,
    /// The format of NumPy's arrays.
    Npy,
    /// Text with one row on a line.
    Csv,
}

const READ: &str = "these are read: .npy, .csv, .tsv, .txt, and .idx or ...-ubyte, each also as .gz";

fn read(name: &str, input: Input<'_>, format: Format, options: &OpenOptions) -> Result<Parts> {
    let label = options.label_column.as_deref();
    match format {
        Format::Idx | Format::Npy if label.is_some() => Err(no_label_column(name)),
        Format::Idx => Ok(Parts { table: idx::read(input)?, labels: None, columns: None }),
        Format::Npy => Ok(Parts { table: npy::read(input)?, labels: None, columns: None }),
        Format::Csv => csv::read(name, input.text()?, label),
    }
}

fn read_labels(path: &Path, rows: usize) -> Result<Labels> {
    let place = path.display().to_string();
    if matches!(path.try_exists(), Ok(false)) {
        return Err(Error::data(format!("{place}: no such file"))
            .hint("`labels_file` is a file with one label per row"));
    }
    let input = open_file(&place, path)?;
    let format = format(&input, path)?;
    labels(&place, input, format, rows)
}

fn labels(place: &str, input: Input<'_>, format: Format, rows: usize) -> Result<Labels> {
    let labels = match format {
        Format::Idx => idx::read_labels(input)?,
        Format::Npy => npy::read_labels(input)?,
        Format::Csv => csv::read_labels(place, input.text()?, rows)?,
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

/// The format of a file: by its first bytes where they tell, else by its name.
fn format(input: &Input<'_>, path: &Path) -> Result<Format> {
    let name = file_name(path).to_lowercase();
    let bare = name.strip_suffix(".gz").unwrap_or(&name);
    let ends = |endings: &[&str]| endings.iter().any(|ending| bare.ends_with(ending));
    let unsupported = |what: &str| Err(input.error(format_args!("{what} are not supported yet")).hint(READ));
    match &input.start[..] {
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => return Ok(Format::Npy),
        [b'P', b'A', b'R', b'1', ..] => return unsupported("Parquet files"),
        [0x89, b'P', b'N', b'G', ..] | [0xff, 0xd8, 0xff, ..] => return unsupported("single images"),
        [b'P', b'K', 3, 4, ..] if ends(&[".npz"]) => return unsupported("NPZ archives"),
        [b'P', b'K', 3, 4, ..] => return unsupported("ZIP archives and office files"),
        [0, 0, 0x08..=0x0e, 1..=4, ..] => return Ok(Format::Idx),
        _ => {}
    }
    if ends(&[".csv", ".tsv", ".txt"]) {
        Ok(Format::Csv)
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

/// `train-labels-idx1-ubyte` for `train-images-idx3-ubyte`, packed or not, where there is such a file.
fn labels_beside(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let bare = name.strip_suffix(".gz").unwrap_or(name);
    let labels = [("images-idx3-ubyte", "labels-idx1-ubyte"), ("images.idx3-ubyte", "labels.idx1-ubyte")]
        .iter()
        .find_map(|(images, labels)| Some(bare.strip_suffix(images)?.to_owned() + labels))?;
    let packed = format!("{labels}.gz");
    // Packed beside packed, first of all.
    let names = if bare.len() < name.len() { [packed, labels] } else { [labels, packed] };
    names.iter().map(|name| path.with_file_name(name)).find(|path| path.is_file())
}

fn no_label_column(name: &str) -> Error {
    Error::data(format!("{name}: `label_column` names a column of a CSV file, and this has none"))
        .hint("give a file with one label per row as `labels_file`")
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}
