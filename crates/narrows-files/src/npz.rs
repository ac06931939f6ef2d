//! NPZ, archives of NumPy: ZIP files of one NPY file per array.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use narrows::base::{input_file, memory};
use narrows::data::{Format, OpenOptions, read_bytes, read_label_bytes};
use narrows::{Error, Result};
use zip::ZipArchive;

use crate::options::{FileOptions, ReadDataset, damaged};

/// Names of the rows, in the order in which they are looked for.
const ROWS: &[&str] = &["X", "x", "data", "arr_0"];

/// Names of the labels.
const LABELS: &[&str] = &["y", "labels", "target"];

/// The most that deflate makes of a byte.
const DEFLATE: u64 = 1032;

/// The largest number of arrays that is looked at.
const MOST_ARRAYS: usize = 4096;

/// Reads an NPZ archive: the rows are the array `X`, `x`, `data` or `arr_0`, or the only one with two dimensions or more, or
/// that which [`FileOptions::array`] names; the labels are `y`, `labels` or `target`, where there is one for each row.
///
/// # Errors
/// Where the archive is damaged, the array is not known, or is no array of numbers. Python objects are never read.
pub fn read_npz(path: impl AsRef<Path>, options: &FileOptions) -> Result<ReadDataset> {
    let path = path.as_ref();
    let place = &*path.to_string_lossy();
    let file = input_file::open(place, path)?;
    let mut archive = Archive::new(place, file.file, file.length)?;
    let rows = archive.rows(options.array.as_deref())?;
    let at = format!("{place}: {}", archive.arrays[rows].name);
    let bytes = archive.bytes(rows)?;
    let mut dataset = read_bytes(&at, &bytes, Format::Npy, &OpenOptions::default())?;
    drop(bytes);
    dataset.name =
        path.file_name().map_or_else(|| place.to_owned(), |name| name.to_string_lossy().into_owned());
    let mut notes = Vec::new();
    let count = dataset.rows.rows();
    if let Some(labels) = archive.labels(rows) {
        let array = &archive.arrays[labels];
        let is_one = array.shape.as_ref().is_some_and(|shape| shape.len() == 1 && shape[0] == count as u64);
        if is_one && array.is_integer {
            let at = format!("{place}: {}", array.name);
            dataset.labels = Some(read_label_bytes(&at, &archive.bytes(labels)?, Format::Npy, count)?);
        } else {
            notes.push(format!(
                "the array `{}` is not read as labels: labels are integers, one for each row",
                archive.arrays[labels].name
            ));
        }
    }
    Ok(ReadDataset { dataset, names: None, notes })
}

struct Archive<'a> {
    place: &'a str,
    zip: ZipArchive<BufReader<File>>,
    arrays: Vec<Array>,
}

struct Array {
    name: String,
    index: usize,
    /// The dimensions; None where the header cannot be read.
    shape: Option<Vec<u64>>,
    is_integer: bool,
}

impl<'a> Archive<'a> {
    /// Opens an archive and looks at the header of each array.
    fn new(place: &'a str, file: File, length: u64) -> Result<Self> {
        let broken = |error: zip::result::ZipError| damaged(place, error);
        let mut zip = ZipArchive::new(BufReader::new(file)).map_err(broken)?;
        if zip.len() > MOST_ARRAYS {
            return Err(Error::data(format!("{place}: {} arrays are too many", zip.len())));
        }
        let mut arrays = Vec::new();
        for index in 0..zip.len() {
            let mut entry = zip.by_index(index).map_err(broken)?;
            let Some(name) = entry.name().ok().and_then(|name| Some(name.strip_suffix(".npy")?.to_owned()))
            else {
                continue;
            };
            if entry.size() > length.saturating_mul(DEFLATE) {
                return Err(damaged(place, format_args!("`{name}` announces {} bytes", entry.size())));
            }
            let mut start = Vec::new();
            let read = entry.by_ref().take(512).read_to_end(&mut start);
            read.map_err(|error| damaged(place, format_args!("`{name}`: {error}")))?;
            let (shape, is_integer) = (shape(&start), is_integer(&start));
            arrays.push(Array { name, index, shape, is_integer });
        }
        if arrays.is_empty() {
            return Err(Error::data(format!("{place}: an archive without arrays"))
                .hint("numpy.savez(file, X=rows, y=labels) writes one with rows and labels"));
        }
        Ok(Self { place, zip, arrays })
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.arrays.iter().position(|array| array.name == name)
    }

    /// The array of the rows.
    fn rows(&self, asked: Option<&str>) -> Result<usize> {
        if let Some(name) = asked {
            let bare = name.strip_suffix(".npy").unwrap_or(name);
            return self.find(bare).ok_or_else(|| self.no_rows(&format!("no array `{name}`")));
        }
        if let Some(known) = ROWS.iter().find_map(|name| self.find(name)) {
            return Ok(known);
        }
        let is_table = |array: &Array| array.shape.as_ref().is_some_and(|shape| shape.len() > 1);
        let tables: Vec<usize> = (0..self.arrays.len()).filter(|&at| is_table(&self.arrays[at])).collect();
        match tables[..] {
            [only] => Ok(only),
            _ if self.arrays.len() == 1 => Ok(0),
            _ => Err(self.no_rows("which of its arrays are the rows?")),
        }
    }

    fn no_rows(&self, what: &str) -> Error {
        const SHOWN: usize = 12;
        let mut shown: Vec<String> = self.arrays.iter().take(SHOWN).map(Array::to_text).collect();
        if self.arrays.len() > SHOWN {
            shown.push(format!("{} more", self.arrays.len() - SHOWN));
        }
        Error::data(format!("{}: {what}: it has {}", self.place, shown.join(", ")))
            .hint("name the array of the rows as `array`")
    }

    /// The array of the labels beside that of the rows.
    fn labels(&self, rows: usize) -> Option<usize> {
        LABELS.iter().find_map(|name| self.find(name)).filter(|&labels| labels != rows)
    }

    /// The bytes of an array's file.
    fn bytes(&mut self, array: usize) -> Result<Vec<u8>> {
        let Array { name, index, .. } = &self.arrays[array];
        let place = format!("{}: {name}", self.place);
        let mut entry = self.zip.by_index(*index).map_err(|error| damaged(&place, error))?;
        let size = usize::try_from(entry.size()).unwrap_or(usize::MAX);
        // The bytes, and the numbers that are made of them.
        memory::require(size.saturating_mul(2), 1, format_args!("{place}: reading the array"))?;
        let mut bytes = Vec::new();
        bytes
            .try_reserve_exact(size)
            .map_err(|_| damaged(&place, format_args!("{size} bytes are announced")))?;
        let read = entry.by_ref().take(size as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|error| damaged(&place, error))?;
        if bytes.len() != size {
            return Err(damaged(&place, format_args!("{size} bytes are announced, and there are others")));
        }
        Ok(bytes)
    }
}

impl Array {
    /// `` `X` (214 x 7) ``
    fn to_text(&self) -> String {
        let shape = match &self.shape {
            None => "not an array of numbers".to_owned(),
            Some(shape) if shape.is_empty() => "one number".to_owned(),
            Some(shape) => shape.iter().map(u64::to_string).collect::<Vec<_>>().join(" x "),
        };
        format!("`{}` ({shape})", self.name)
    }
}

/// A field of the header of an NPY file, as its text.
fn field<'a>(start: &'a [u8], name: &str) -> Option<&'a str> {
    let text = &start[start.iter().position(|&byte| byte == b'{')?..];
    let text = text.split(|&byte| byte == b'\n').next()?;
    let text = std::str::from_utf8(text).ok()?;
    let (_, rest) = text.split_once(&format!("'{name}'"))?;
    Some(rest.trim_start().strip_prefix(':')?.trim_start())
}

/// The dtype without its byte order: `f8`.
fn kind(start: &[u8]) -> Option<&str> {
    let (kind, _) = field(start, "descr")?.strip_prefix('\'')?.split_once('\'')?;
    Some(kind.trim_start_matches(['<', '>', '|', '=']))
}

fn shape(start: &[u8]) -> Option<Vec<u64>> {
    kind(start).filter(|kind| kind.starts_with(['b', 'i', 'u', 'f']))?;
    let (inner, _) = field(start, "shape")?.strip_prefix('(')?.split_once(')')?;
    inner
        .split(',')
        .map(|part| part.trim().trim_end_matches('L'))
        .filter(|part| !part.is_empty())
        .map(|part| part.parse().ok())
        .collect()
}

fn is_integer(start: &[u8]) -> bool {
    kind(start).is_some_and(|kind| kind.starts_with(['b', 'i', 'u']))
}
