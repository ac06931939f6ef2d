//! Rows: where they come from, how they are read, which are held out.
//!
//! A [`Source`] is asked for rows by number and answers in f32 or f64; it is the one open set of the library.
//! Everything that is read today lies in memory as a [`Table`], in the type it had in its file (bytes stay bytes).
//! A [`Dataset`] is a source with what travels along: labels, column names, a name.
//!
//! [`open`] reads what is built in, and files:
//!
//! | kind | known by | rows | labels |
//! |---|---|---|---|
//! | IDX | two zero bytes, or `.idx`, `-ubyte`, `.gz` | bytes, integers, f32, f64; vectors or images | the file beside it, see [`open`] |
//! | NPY | `\x93NUMPY`, or `.npy` | booleans, integers, f32, f64; 2 to 4 dimensions, either order | [`OpenOptions::labels_file`] |
//! | CSV | `.csv`, `.tsv`, `.txt` | numbers with `,` `;` or tabs between, with a header or without | [`OpenOptions::label_column`] |
//!
//! Each may be packed with gzip, which is known by its content. Bytes and booleans stay bytes, 8 and 16-bit integers
//! become f32, larger ones and text f64.

mod array;
mod builtin;
mod concat;
mod dataset;
pub mod formats;
mod labels;
pub(crate) mod order;
pub mod scaling;
pub(crate) mod source;
pub(crate) mod stats;
mod stream;
mod table;

pub use array::Number;
pub use concat::Concat;
pub use dataset::{Dataset, hold_out};
pub use labels::Labels;
pub use source::{Access, Element, Shape, Source};
pub use stats::Statistics;
pub use stream::{RowReader, Stream};
pub use table::{Subset, Table, Values};

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use formats::input::Input;
use formats::{csv, idx, npy};

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

/// What a reader finds in a file.
struct Parts {
    table: Table,
    labels: Option<Labels>,
    columns: Option<Vec<String>>,
}

/// Opens built-in data (see [`builtin_names`]) or a file. `./mnist` is a file, `mnist` is built in.
///
/// An IDX file named like MNIST's, `...images-idx3-ubyte` (or `.idx3-ubyte`, or `.gz`), takes its labels from the file beside it whose
/// name has `labels` and `idx1` in these places, if there is one and no other labels are asked for.
///
/// # Errors
/// [`ErrorKind::Data`](crate::ErrorKind::Data) where the content is not what it should be or the options do not fit
/// it, [`ErrorKind::Io`](crate::ErrorKind::Io) where the system cannot read the file. The message begins with `name`.
pub fn open(name: &str, options: &OpenOptions) -> Result<Dataset<'static>> {
    let label = options.label_column.as_deref();
    if label.is_some() && options.labels_file.is_some() {
        return Err(Error::data(format!("{name}: both `label_column` and `labels_file` are given"))
            .hint("give one of them"));
    }
    let (mut parts, short_name) = match builtin::read(name) {
        Some(_) if label.is_some() => return Err(no_label_column(name)),
        Some(parts) => (parts?, name.to_owned()),
        None => (read_file(name, options)?, file_name(Path::new(name))),
    };
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

/// Name of each built-in data set, and a line that says what it is, its source and its licence.
pub fn builtin_names() -> &'static [(&'static str, &'static str)] {
    builtin::NAMES
}

/// The built-in data that another is validated on, if it has such.
pub fn default_validation(name: &str) -> Option<&'static str> {
    (name == "mnist").then_some("mnist:test")
}

/// The kinds of files that are read.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Idx,
    Npy,
    Csv,
}

const READ: &str = "these are read: .npy, .csv, .tsv, .txt, and .idx or ...-ubyte, each also as .gz";

fn read_file(name: &str, options: &OpenOptions) -> Result<Parts> {
    let path = Path::new(name);
    let input = open_file(name, path)?;
    let label = options.label_column.as_deref();
    match kind(&input, path)? {
        Kind::Idx | Kind::Npy if label.is_some() => Err(no_label_column(name)),
        Kind::Idx => {
            let table = idx::read(input)?;
            let labels = match options.labels_file {
                None => labels_beside(path).map(|path| read_labels(&path, table.rows())).transpose()?,
                Some(_) => None,
            };
            Ok(Parts { table, labels, columns: None })
        }
        Kind::Npy => Ok(Parts { table: npy::read(input)?, labels: None, columns: None }),
        Kind::Csv => csv::read(name, input.text()?, label),
    }
}

fn read_labels(path: &Path, rows: usize) -> Result<Labels> {
    let place = path.display().to_string();
    if matches!(path.try_exists(), Ok(false)) {
        return Err(Error::data(format!("{place}: no such file"))
            .hint("`labels_file` is a file with one label per row"));
    }
    let input = open_file(&place, path)?;
    let labels = match kind(&input, path)? {
        Kind::Idx => idx::read_labels(input)?,
        Kind::Npy => npy::read_labels(input)?,
        Kind::Csv => csv::read_labels(&place, input.text()?, rows)?,
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
        let error = Error::data(format!("{name}: no such file, and no built-in data of this name"));
        let near = builtin_names()
            .iter()
            .map(|&(builtin, _)| (strsim::damerau_levenshtein(&name.to_lowercase(), builtin), builtin))
            .min()
            .filter(|&(distance, _)| distance <= 2);
        let names: Vec<String> = builtin_names().iter().map(|(builtin, _)| format!("`{builtin}`")).collect();
        let names = names.join(", ");
        return Err(match near {
            Some((_, near)) => error.hint(format!("did you mean `{near}`? Built in are {names}")),
            None => error.hint(format!("built in are {names}")),
        });
    }
    Input::open(name, path)
}

/// The kind of a file: by its first bytes where they tell, else by its name.
fn kind(input: &Input, path: &Path) -> Result<Kind> {
    let name = file_name(path).to_lowercase();
    let bare = name.strip_suffix(".gz").unwrap_or(&name);
    let ends = |endings: &[&str]| endings.iter().any(|ending| bare.ends_with(ending));
    let unsupported = |what: &str| Err(input.error(format_args!("{what} are not supported yet")).hint(READ));
    match &input.start[..] {
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => return Ok(Kind::Npy),
        [b'P', b'A', b'R', b'1', ..] => return unsupported("Parquet files"),
        [0x89, b'P', b'N', b'G', ..] | [0xff, 0xd8, 0xff, ..] => return unsupported("single images"),
        [b'P', b'K', 3, 4, ..] if ends(&[".npz"]) => return unsupported("NPZ archives"),
        [b'P', b'K', 3, 4, ..] => return unsupported("ZIP archives and office files"),
        [0, 0, 0x08..=0x0e, 1..=4, ..] => return Ok(Kind::Idx),
        _ => {}
    }
    if ends(&[".csv", ".tsv", ".txt"]) {
        Ok(Kind::Csv)
    } else if ends(&[".npy"]) {
        Ok(Kind::Npy)
    } else if ends(&[".parquet"]) {
        unsupported("Parquet files")
    } else if ends(&[".npz"]) {
        unsupported("NPZ archives")
    } else if ends(&[".idx", "ubyte"]) || bare.len() < name.len() {
        Ok(Kind::Idx)
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
