//! What kind of file a path is, and its reader.

use std::io::Read;
use std::path::Path;

use narrows::Result;
use narrows::base::input_file;

use crate::npz::read_npz;
use crate::options::{FileOptions, ReadDataset, ReadFrame};
use crate::pictures::{self, read_pictures};
use crate::tables::{read_arrow, read_parquet};

/// The kinds of files that are read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A Parquet file.
    Parquet,
    /// An Arrow IPC file or stream, Feather of version 2.
    Arrow,
    /// An NPZ archive.
    Npz,
    /// A picture, or a folder of pictures.
    Pictures,
}

/// What a file contains.
#[derive(Clone)]
pub enum Opened {
    /// A table, whose columns are still to be encoded as numbers of a row.
    Frame(ReadFrame),
    /// Rows.
    Dataset(ReadDataset),
}

/// The kind of a file: by its first bytes where they identify it, else by its ending. None where it is of no kind that is read here,
/// or is not there.
///
/// # Errors
/// Where the file cannot be read.
pub fn recognise(path: impl AsRef<Path>) -> Result<Option<Kind>> {
    let path = path.as_ref();
    if path.is_dir() {
        return Ok(Some(Kind::Pictures));
    }
    if !path.is_file() {
        return Ok(None);
    }
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    let place = path.to_string_lossy();
    let mut start = Vec::new();
    input_file::open(&place, path)?
        .file
        .take(16)
        .read_to_end(&mut start)
        .map_err(|error| narrows::Error::io(path, "read", error))?;
    let is_stream = ends(&[".arrow", ".arrows", ".feather", ".ipc"]);
    Ok(match &start[..] {
        [b'P', b'A', b'R', b'1' | b'E', ..] => Some(Kind::Parquet),
        [b'A', b'R', b'R', b'O', b'W', b'1', ..] | [b'F', b'E', b'A', b'1', ..] => Some(Kind::Arrow),
        // The marker of a stream, and a schema of fewer than 16 MiB.
        [0xff, 0xff, 0xff, 0xff, _, _, _, 0, ..] => Some(Kind::Arrow),
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] if ends(&[".npz"]) => Some(Kind::Npz),
        start if pictures::is_picture(start, &name) => Some(Kind::Pictures),
        _ if is_stream => Some(Kind::Arrow),
        _ if ends(&[".parquet", ".pq"]) => Some(Kind::Parquet),
        _ if ends(&[".npz"]) => Some(Kind::Npz),
        _ => None,
    })
}

/// Opens a file or a folder. None where it is of no kind that is read here: see [`recognise`].
///
/// # Errors
/// Those of the reader of its kind; the message begins with the path.
pub fn open(path: impl AsRef<Path>, options: &FileOptions) -> Result<Option<Opened>> {
    let path = path.as_ref();
    Ok(match recognise(path)? {
        None => None,
        Some(Kind::Parquet) => Some(Opened::Frame(read_parquet(path, options)?)),
        Some(Kind::Arrow) => Some(Opened::Frame(read_arrow(path, options)?)),
        Some(Kind::Npz) => Some(Opened::Dataset(read_npz(path, options)?)),
        Some(Kind::Pictures) => Some(Opened::Dataset(read_pictures(path, options)?)),
    })
}
