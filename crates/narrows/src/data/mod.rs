//! Rows: where they come from, how they are read, which are held out.
//!
//! A [`Source`] is asked for rows by number and answers in f32 or f64; it is the one open set of the library.
//! Everything that is read today lies in memory as a [`Table`], in the type it had in its file (bytes stay bytes).
//! A [`Dataset`] is a source with what travels along: labels, column names, a name.
//!
//! [`open`] reads files, [`read_bytes`] their content in memory:
//!
//! | kind | known by | rows | labels |
//! |---|---|---|---|
//! | IDX | two zero bytes, or `.idx`, `-ubyte`, `.gz` | bytes, integers, f32, f64; vectors or images | the file beside it, see [`open`] |
//! | NPY | `\x93NUMPY`, or `.npy` | booleans, integers, f32, f64; 2 to 4 dimensions, either order | [`OpenOptions::labels`] |
//! | CSV | `.csv`, `.tsv`, `.txt` | numbers with `,` `;` or tabs between, with a header or without | [`OpenOptions::label`] |
//!
//! Each may be packed with gzip, which is known by its content. Bytes and booleans stay bytes, 8 and 16-bit integers
//! become f32, larger ones and text f64.

mod array;
pub mod formats;
mod rows;
pub mod scaling;

pub use array::Number;
pub use rows::{Element, Labels, Shape, Source, Subset, Table, Values};

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::random::{self, Purpose};
use crate::error::{Error, Result};
use formats::input::Input;
use formats::{csv, idx, npy};

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

/// What a file does not say itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// The column of a CSV file that holds the classes: its name, or its number from 1.
    pub label: Option<String>,
    /// A file with one class per row: IDX or NPY of one dimension, or one column of text.
    pub labels: Option<PathBuf>,
    /// What one row is, where the file has plain vectors.
    pub shape: Option<Shape>,
}

/// What a reader finds in a file.
struct Parts {
    table: Table,
    labels: Option<Labels>,
    columns: Option<Vec<String>>,
}

/// Opens a file.
///
/// An IDX file named like MNIST's, `...images-idx3-ubyte` (or `.idx3-ubyte`, or `.gz`), takes its labels from the file beside it whose
/// name has `labels` and `idx1` in these places, if there is one and no other labels are asked for.
///
/// # Errors
/// [`ErrorFormat::Data`](crate::ErrorFormat::Data) where the content is not what it should be or the options do not fit
/// it, [`ErrorFormat::Io`](crate::ErrorFormat::Io) where the system cannot read the file. The message begins with `name`.
pub fn open(name: &str, options: &OpenOptions) -> Result<Dataset> {
    check_labels(name, options)?;
    let path = Path::new(name);
    let input = open_file(name, path)?;
    let format = format(&input, path)?;
    let mut parts = read(name, input, format, options)?;
    if format == Format::Idx && options.labels.is_none() {
        parts.labels = labels_beside(path).map(|path| read_labels(&path, parts.table.rows())).transpose()?;
    }
    dataset(name, file_name(path), parts, options)
}

/// Reads a data set from the bytes of a file in memory, which may be packed with gzip. `name` stands in messages in place of
/// the file, and becomes the name of the data set. Labels come from the bytes, or from the file that the options name.
///
/// # Errors
/// As for [`open`].
pub fn read_bytes(name: &str, bytes: &[u8], format: Format, options: &OpenOptions) -> Result<Dataset> {
    check_labels(name, options)?;
    let parts = read(name, Input::memory(name, bytes)?, format, options)?;
    dataset(name, name.to_owned(), parts, options)
}

/// Reads the classes of `rows` rows from the bytes of a file in memory: one label per row, as for [`OpenOptions::labels`].
///
/// # Errors
/// As for [`open`].
pub fn read_label_bytes(name: &str, bytes: &[u8], format: Format, rows: usize) -> Result<Labels> {
    labels(name, Input::memory(name, bytes)?, format, rows)
}

fn check_labels(name: &str, options: &OpenOptions) -> Result<()> {
    if options.label.is_some() && options.labels.is_some() {
        return Err(
            Error::data(format!("{name}: both --label and --labels are given")).hint("give one of them")
        );
    }
    Ok(())
}

/// Applies the options to what a reader has found.
fn dataset(name: &str, short_name: String, mut parts: Parts, options: &OpenOptions) -> Result<Dataset> {
    if let Some(shape) = options.shape {
        parts.table = parts.table.reshape(shape).map_err(|error| error.at(name))?;
    }
    if let Some(path) = &options.labels {
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

/// Parts rows at random into those to learn from and those held out: `share` of them (above 0, below 1), rounded, at
/// least one on each side. The same seed and number of rows give the same choice; each part keeps the rows' order.
///
/// # Errors
/// [`ErrorFormat::Data`](crate::ErrorFormat::Data) for a share outside its range or fewer than two rows.
pub fn hold_out(dataset: &Dataset, share: f64, seed: u64) -> Result<(Dataset, Dataset)> {
    let rows = dataset.rows.rows();
    if !(share > 0.0 && share < 1.0) {
        return Err(Error::data(format!("{}: cannot hold out a share of {share}", dataset.name))
            .hint("give a number above 0 and below 1, such as 0.1"));
    }
    if rows < 2 {
        return Err(Error::data(format!(
            "{}: one row cannot be parted into rows to learn from and rows to validate on",
            dataset.name
        ))
        .hint("give other rows to validate on"));
    }
    let count = ((rows as f64 * share).round() as usize).clamp(1, rows - 1);
    let mut order: Vec<usize> = (0..rows).collect();
    random::shuffle(&mut order, &mut random::generator(seed, Purpose::HoldOut, 0));
    let mut training = order.split_off(count);
    let mut held_out = order;
    training.sort_unstable();
    held_out.sort_unstable();
    let part = |name: String, indices: Vec<usize>| Dataset {
        name,
        labels: dataset.labels.as_ref().map(|labels| labels.select(&indices)),
        columns: dataset.columns.clone(),
        rows: Arc::new(Subset::new(dataset.rows.clone(), indices)),
    };
    Ok((part(dataset.name.clone(), training), part(format!("{}:held-out", dataset.name), held_out)))
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
    let label = options.label.as_deref();
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
            .hint("--labels takes a file with one label per row"));
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
fn format(input: &Input, path: &Path) -> Result<Format> {
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
    Error::data(format!("{name}: --label names a column of a CSV file, and this has none"))
        .hint("give a file with one label per row by --labels")
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}
