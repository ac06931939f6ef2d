//! Opening of data files: the format of a file, its labels, the options.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::formats::array::{self, Header};
use super::formats::input::Input;
use super::formats::{Parts, csv, idx, npy};
use super::on_disk::{self, OnDisk};
use super::{Dataset, Labels, Shape, Source, Table};
use crate::error::{Error, Result};

/// Properties of a data set that its file does not state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// The column of a CSV file that contains the labels: its name, or its number from 1.
    pub label_column: Option<String>,
    /// A file with one label per row: IDX or NPY of one dimension, or text of one column.
    pub labels_file: Option<PathBuf>,
    /// The shape of a row, where the file contains vectors.
    pub shape: Option<Shape>,
    /// Whether the rows are read into memory. `Some(false)` leaves them in the file, to be read when they are needed: NPY files in
    /// row-major order and IDX files, not packed. `None` does so for such files where the rows would take more than half of
    /// the free memory (on Linux; elsewhere rows are read into memory). Only [`open`] uses it.
    pub in_memory: Option<bool>,
}

/// Opens a file.
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
    let input = open_file(name, path)?;
    let format = format(&input, path)?;
    let mut found = read(input, Some(path), format, options)?;
    if format == Format::Idx && options.labels_file.is_none() {
        found.labels = labels_beside(path).map(|path| read_labels(&path, found.rows.count())).transpose()?;
    }
    found.into_dataset(name, file_name(path), options)
}

/// Reads a data set from the bytes of a file in memory, which may be packed with gzip. Messages begin with `name`, which is also
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
}

const READ: &str = "these are read: .npy, .csv, .tsv, .txt, and .idx or ...-ubyte, each also as .gz";

fn check_labels(name: &str, options: &OpenOptions) -> Result<()> {
    if options.label_column.is_some() && options.labels_file.is_some() {
        return Err(Error::data(format!("{name}: both `label_column` and `labels_file` are given"))
            .hint("give one of them"));
    }
    Ok(())
}

/// The content of a file.
struct Found {
    rows: Rows,
    labels: Option<Labels>,
    columns: Option<Vec<String>>,
}

/// The rows of a file.
enum Rows {
    InMemory(Table),
    OnDisk(OnDisk),
}

impl Rows {
    fn count(&self) -> usize {
        match self {
            Self::InMemory(table) => table.rows(),
            Self::OnDisk(rows) => rows.rows(),
        }
    }

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
    fn into_dataset(
        mut self,
        name: &str,
        short_name: String,
        options: &OpenOptions,
    ) -> Result<Dataset<'static>> {
        if let Some(shape) = options.shape {
            self.rows = self.rows.reshape(shape).map_err(|error| error.at(name))?;
        }
        if let Some(path) = &options.labels_file {
            self.labels = Some(read_labels(path, self.rows.count())?);
        }
        if let Some(labels) = &self.labels {
            let (rows, found) = (self.rows.count(), labels.classes.len());
            if rows != found {
                return Err(Error::data(format!("{name}: {rows} rows, but {found} labels"))
                    .hint("one label per row, in the same order"));
            }
        }
        let Self { rows, labels, columns } = self;
        Ok(Dataset { name: short_name, rows: rows.into_source(), labels, columns, encoded: None })
    }
}

/// Reads a file; `path` is given if its rows may stay on disk.
fn read(mut input: Input<'_>, path: Option<&Path>, format: Format, options: &OpenOptions) -> Result<Found> {
    let label = options.label_column.as_deref();
    let header = match format {
        Format::Idx | Format::Npy if label.is_some() => return Err(no_label_column(&input)),
        Format::Idx => idx::rows_header(&mut input)?,
        Format::Npy => npy::rows_header(&mut input)?,
        Format::Csv => {
            let place = input.place.clone();
            let Parts { table, labels, columns } = csv::read(&place, input.text(csv::table_bytes)?, label)?;
            return Ok(Found { rows: Rows::InMemory(table), labels, columns });
        }
    };
    let rows = read_array(input, &header, path, options.in_memory)?;
    Ok(Found { rows, labels: None, columns: None })
}

fn read_array(
    input: Input<'_>,
    header: &Header,
    path: Option<&Path>,
    in_memory: Option<bool>,
) -> Result<Rows> {
    if let Some(path) = path
        && on_disk::is_preferred(&input, header, in_memory)?
    {
        return OnDisk::open(&input, header, path).map(Rows::OnDisk);
    }
    array::read_table(input, header).map(Rows::InMemory)
}

fn read_labels(path: &Path, rows: usize) -> Result<Labels> {
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

/// The format of a file: by its first bytes where they identify it, else by its name.
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
        .error("`label_column` names a column of a CSV file, and this has none")
        .hint("give a file with one label per row as `labels_file`")
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}
