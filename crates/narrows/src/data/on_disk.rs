//! Rows of an uncompressed NPY or IDX file that are read when they are needed: data larger than memory.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use super::formats::array::Header;
use super::formats::input::Input;
use super::formats::number::{INEXACT, Number, inexact};
use super::source::{Element, Shape, Source, each_run, same_length};
use crate::base::{input_file, memory};
use crate::error::{Error, ErrorKind, Result};

/// Bytes that are read at a time, into a buffer on the stack.
const BLOCK: usize = 1 << 14;

/// The rows of an array in a file. Numbers are converted as by [`super::formats::array`]; values that are not finite
/// are passed on, and NaN is a missing value.
///
/// Rows are read by position, so that threads do not wait for each other. The file must not change while it is open: its length and
/// its time of modification are compared after each read, and a difference is an error.
pub(super) struct OnDisk {
    /// The file as the user gave it.
    place: String,
    file: File,
    /// The file when it was opened.
    version: Version,
    /// The offset of the first number, in bytes.
    start: u64,
    number: Number,
    big_endian: bool,
    rows: usize,
    shape: Shape,
}

/// The properties of a file that change when its content changes.
#[derive(PartialEq)]
struct Version {
    length: u64,
    /// `None` where the system does not record it.
    modified: Option<SystemTime>,
}

impl Version {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self { length: metadata.len(), modified: metadata.modified().ok() })
    }
}

/// Whether the rows of a file are read from disk: as `in_memory` says, or where they would take more than `budget` bytes, which is
/// half of the free memory unless it is given. `input` stands after the header.
///
/// # Errors
/// Where `in_memory` is false and the numbers do not lie in the file row after row.
pub(super) fn is_preferred(
    input: &Input,
    header: &Header,
    in_memory: Option<bool>,
    budget: Option<u64>,
) -> Result<bool> {
    let obstacle = match (input.is_packed(), header.fortran_order) {
        (true, _) => Some("the file is packed with gzip"),
        (false, true) => Some("the array is in column-major (Fortran) order"),
        (false, false) => None,
    };
    match (in_memory, obstacle) {
        (Some(true), _) | (None, Some(_)) => Ok(false),
        (Some(false), None) => Ok(true),
        (Some(false), Some(obstacle)) => Err(input
            .error(format_args!("{obstacle}: its rows cannot be read from disk one by one"))
            .hint("save it unpacked and in row-major order, or leave out `in_memory`")),
        (None, None) => {
            let (count, _) = header.check_length(input)?;
            let size = header.number.element().size();
            let budget = budget.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
            let budget = budget.or_else(|| memory::free_bytes().map(|free| free / 2));
            Ok(budget.is_some_and(|budget| count.saturating_mul(size) > budget))
        }
    }
}

impl OnDisk {
    /// Opens the rows of the file that `input` has read the header of.
    ///
    /// # Errors
    /// Where the file does not have the length that the header announces, or cannot be opened.
    pub fn open(input: &Input, header: &Header, path: &Path) -> Result<Self> {
        let place = input.place.clone();
        let failed = |error| Error::io(Path::new(&place), "read", error);
        let shape = header.shape(&place)?;
        let (count, bytes) = header.check_length(input)?;
        let file = input_file::open(&place, path)?.file;
        let version = Version::of(&file).map_err(failed)?;
        // The numbers are the end of the file.
        let start = version.length.checked_sub(bytes).ok_or_else(|| changed(&place))?;
        let rows = count / shape.len();
        let Header { number, big_endian, .. } = *header;
        Ok(Self { place, file, version, start, number, big_endian, rows, shape })
    }

    /// The same rows under another shape of the same length.
    ///
    /// # Errors
    /// Where the shape has another length.
    pub fn reshape(mut self, shape: Shape) -> Result<Self> {
        self.shape = same_length(self.shape, shape)?;
        Ok(self)
    }

    /// Reads consecutive rows from `first` on.
    fn read<T>(&self, first: usize, out: &mut [T], convert: impl Fn(f64) -> T) -> Result<()> {
        let width = self.shape.len();
        assert!(out.len().is_multiple_of(width), "a whole number of rows of {width}");
        assert!(first + out.len() / width <= self.rows, "a row number past the end");
        let size = self.number.size();
        let numbers = BLOCK / size as usize;
        let mut buffer = [0; BLOCK];
        for (block, out) in out.chunks_mut(numbers).enumerate() {
            let at = first * width + block * numbers;
            let bytes = &mut buffer[..out.len() * size as usize];
            read_at(&self.file, bytes, self.start + at as u64 * size)
                .map_err(|error| self.unreadable(at / width, &error))?;
            self.decode(bytes, out, &convert).map_err(|(place, value)| {
                inexact(&format!("{}: row {}", self.place, (at + place) / width + 1), value)
            })?;
        }
        Ok(())
    }

    /// Converts the bytes of numbers. The error is the position and the value of an integer that f64 may not hold exactly.
    fn decode<T>(
        &self,
        bytes: &[u8],
        out: &mut [T],
        convert: &impl Fn(f64) -> T,
    ) -> std::result::Result<(), (usize, f64)> {
        /// Converts numbers of one type in the byte order of the file. f64 holds the values of all types, 64-bit integers aside.
        macro_rules! numbers {
            ($kind:ty, $each:ident) => {
                if self.big_endian {
                    $each(bytes, out, |bytes| <$kind>::from_be_bytes(bytes) as f64, convert)
                } else {
                    $each(bytes, out, |bytes| <$kind>::from_le_bytes(bytes) as f64, convert)
                }
            };
        }
        match self.number {
            Number::Bool => each(bytes, out, |[byte]| f64::from(u8::from(byte != 0)), convert),
            Number::U8 => numbers!(u8, each),
            Number::I8 => numbers!(i8, each),
            Number::U16 => numbers!(u16, each),
            Number::I16 => numbers!(i16, each),
            Number::U32 => numbers!(u32, each),
            Number::I32 => numbers!(i32, each),
            Number::F32 => numbers!(f32, each),
            Number::F64 => numbers!(f64, each),
            Number::U64 => return numbers!(u64, each_exact),
            Number::I64 => return numbers!(i64, each_exact),
        }
        Ok(())
    }

    fn unreadable(&self, row: usize, error: &io::Error) -> Error {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Error::data(format!(
                "{}: row {}: the file ends within it: it has changed while it was read",
                self.place,
                row + 1
            ));
        }
        Error::new(ErrorKind::Io, format!("{}: row {}: cannot read: {error}", self.place, row + 1))
    }

    /// Refuses numbers that were read from a file that is no longer the one that was opened.
    fn check_unchanged(&self) -> Result<()> {
        let version =
            Version::of(&self.file).map_err(|error| Error::io(Path::new(&self.place), "read", error))?;
        if version == self.version { Ok(()) } else { Err(changed(&self.place)) }
    }
}

fn changed(place: &str) -> Error {
    Error::data(format!("{place}: the file has changed while it was read"))
        .hint("begin again when it is complete")
}

fn each<const N: usize, T>(
    bytes: &[u8],
    out: &mut [T],
    read: impl Fn([u8; N]) -> f64,
    convert: &impl Fn(f64) -> T,
) {
    for (out, &bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
        *out = convert(read(bytes));
    }
}

/// As [`each`], for 64-bit integers, of which f64 does not hold every one.
fn each_exact<T>(
    bytes: &[u8],
    out: &mut [T],
    read: impl Fn([u8; 8]) -> f64,
    convert: &impl Fn(f64) -> T,
) -> std::result::Result<(), (usize, f64)> {
    let mut values = bytes.as_chunks().0.iter().map(|&bytes| read(bytes)).enumerate();
    if let Some(found) = values.find(|(_, value)| value.abs() >= INEXACT) {
        return Err(found);
    }
    each(bytes, out, read, convert);
    Ok(())
}

impl Source for OnDisk {
    fn rows(&self) -> usize {
        self.rows
    }

    fn shape(&self) -> Shape {
        self.shape
    }

    fn element(&self) -> Element {
        self.number.element()
    }

    fn read_f64(&self, first: usize, out: &mut [f64]) -> Result<()> {
        self.read(first, out, |value| value)?;
        self.check_unchanged()
    }

    fn read_f32(&self, first: usize, out: &mut [f32]) -> Result<()> {
        self.read(first, out, |value| value as f32)?;
        self.check_unchanged()
    }

    fn gather_f64(&self, indices: &[usize], out: &mut [f64]) -> Result<()> {
        each_run(indices, out, self.shape.len(), |first, out| self.read(first, out, |value| value))?;
        self.check_unchanged()
    }

    fn gather_f32(&self, indices: &[usize], out: &mut [f32]) -> Result<()> {
        each_run(indices, out, self.shape.len(), |first, out| self.read(first, out, |value| value as f32))?;
        self.check_unchanged()
    }
}

/// Fills `out` with the bytes of a file from `offset` on, whatever other threads read.
#[cfg(unix)]
fn read_at(file: &File, out: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, out, offset)
}

/// Fills `out` with the bytes of a file from `offset` on, whatever other threads read.
#[cfg(windows)]
fn read_at(file: &File, mut out: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !out.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, out, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                out = &mut out[count..];
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(not(any(unix, windows)))]
fn read_at(_: &File, _: &mut [u8], _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "inputs of tests, some of them half a file on purpose")]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::data::formats::{idx, npy};
    use crate::data::{Format, OpenOptions, Subset, Table, Values, open, read_bytes};

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
            let path = self.0.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        }
    }

    fn on_disk(path: &Path) -> Result<OnDisk> {
        let place = path.display().to_string();
        let mut input = Input::open(&place, path)?;
        let header =
            if place.ends_with(".npy") { npy::header(&mut input)? } else { idx::header(&mut input)? };
        OnDisk::open(&input, &header, path)
    }

    fn npy_file(kind: &str, shape: &str, numbers: &[u8]) -> Vec<u8> {
        npy_file_in_order("False", kind, shape, numbers)
    }

    fn npy_file_in_order(fortran: &str, kind: &str, shape: &str, numbers: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{kind}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(numbers);
        bytes
    }

    #[track_caller]
    fn reads_as(found: &OnDisk, table: &Table) {
        let (rows, width) = (table.rows(), table.shape().len());
        assert_eq!((found.rows(), found.shape(), found.element()), (rows, table.shape(), table.element()));
        let backwards: Vec<usize> = (0..rows).rev().collect();
        let (mut f64s, mut wanted) = (vec![0.0; rows * width], vec![0.0; rows * width]);
        found.read_f64(0, &mut f64s).unwrap();
        table.read_f64(0, &mut wanted).unwrap();
        assert_eq!(f64s, wanted);
        found.gather_f64(&backwards, &mut f64s).unwrap();
        table.gather_f64(&backwards, &mut wanted).unwrap();
        assert_eq!(f64s, wanted);
        let (mut f32s, mut wanted) = (vec![0.0; rows * width], vec![0.0; rows * width]);
        found.read_f32(0, &mut f32s).unwrap();
        table.read_f32(0, &mut wanted).unwrap();
        assert_eq!(f32s, wanted);
        found.gather_f32(&backwards, &mut f32s).unwrap();
        table.gather_f32(&backwards, &mut wanted).unwrap();
        assert_eq!(f32s, wanted);
        let mut last = vec![0.0; width];
        found.read_f32(rows - 1, &mut last).unwrap();
        assert_eq!(last, wanted[..width]);
    }

    /// 60 numbers of each type, with the ends of its range (of what f64 holds exactly, for 64 bits).
    #[test]
    fn every_number_type_reads_as_in_memory_in_both_byte_orders() {
        let folder = Folder::new();
        macro_rules! check {
            ($($name:literal, $kind:ty, $least:expr, $most:expr;)*) => {$(
                let mut numbers: Vec<$kind> = (0..60).map(|number| number as $kind).collect();
                (numbers[7], numbers[31]) = ($least, $most);
                for (order, bytes) in [
                    ("<", numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>()),
                    (">", numbers.iter().flat_map(|number| number.to_be_bytes()).collect()),
                ] {
                    let bytes = npy_file(&format!("{order}{}", $name), "(5, 3, 4)", &bytes);
                    let table = npy::read(Input::memory("file", &bytes).unwrap()).unwrap();
                    reads_as(&on_disk(&folder.file("rows.npy", &bytes)).unwrap(), &table);
                }
            )*};
        }
        check! {
            "u1", u8, u8::MIN, u8::MAX;
            "i1", i8, i8::MIN, i8::MAX;
            "u2", u16, u16::MIN, u16::MAX;
            "i2", i16, i16::MIN, i16::MAX;
            "u4", u32, u32::MIN, u32::MAX;
            "i4", i32, i32::MIN, i32::MAX;
            "u8", u64, 0, (1 << 53) - 1;
            "i8", i64, 1 - (1 << 53), (1 << 53) - 1;
            "f4", f32, f32::MIN, 1e-42;
            "f8", f64, f64::MIN, 5e-324;
        }
        let bytes = npy_file("|b1", "(2, 3)", b"\0\x01\x02\0\0\xff");
        let table = npy::read(Input::memory("file", &bytes).unwrap()).unwrap();
        reads_as(&on_disk(&folder.file("rows.npy", &bytes)).unwrap(), &table);
        let bytes = b"\0\0\x0b\x03\0\0\0\x02\0\0\0\x01\0\0\0\x02\xff\xff\x01\x00\0\x07\x80\0";
        let table = idx::read(Input::memory("file", bytes).unwrap()).unwrap();
        reads_as(&on_disk(&folder.file("rows.idx", bytes)).unwrap(), &table);
    }

    #[test]
    fn rows_longer_than_a_block_are_read_whole() {
        let values: Vec<f32> = (0..3 * 10_000).map(|number| number as f32).collect();
        let folder = Folder::new();
        let path = folder.file("rows.npy", &npy::encode_f32(3, &[10_000], &values));
        reads_as(
            &on_disk(&path).unwrap(),
            &Table::new(Values::F32(values.clone()), Shape::flat(10_000)).unwrap(),
        );
    }

    #[test]
    fn missing_values_pass_and_inexact_integers_are_refused_with_their_row() {
        let folder = Folder::new();
        let path = folder.file("rows.npy", &npy::encode_f64(2, &[2], &[1.0, f64::NAN, 3.0, 4.0]));
        let mut row = [0.0; 2];
        on_disk(&path).unwrap().read_f64(0, &mut row).unwrap();
        assert!(row[0] == 1.0 && row[1].is_nan());
        let numbers = [1i64, 2, 3, 1 << 53].map(i64::to_le_bytes).concat();
        let path = folder.file("integers.npy", &npy_file("<i8", "(2, 2)", &numbers));
        let rows = on_disk(&path).unwrap();
        rows.read_f64(0, &mut row).unwrap();
        let error = rows.read_f64(1, &mut row).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}: row 2: an integer near", path.display())), "{error}");
    }

    #[test]
    fn a_file_that_shrinks_or_changes_is_an_error() {
        let folder = Folder::new();
        let bytes = npy::encode_f32(10, &[4], &[0.5; 40]);
        let path = folder.file("rows.npy", &bytes);
        let place = path.display().to_string();
        let rows = on_disk(&path).unwrap();
        let mut out = [0.0; 8];
        rows.read_f32(8, &mut out).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(bytes.len() as u64 - 20).unwrap();
        let error = rows.read_f32(7, &mut out).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{place}: row 8: the file ends within it")), "{error}");
        let error = rows.read_f32(0, &mut out).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{place}: the file has changed")), "{error}");
        assert!(on_disk(&path).err().unwrap().to_string().contains("announces 160 bytes of numbers"));

        let path = folder.file("again.npy", &bytes);
        let rows = on_disk(&path).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() + Duration::from_secs(10)).unwrap();
        let error = rows.gather_f32(&[3, 1], &mut out).unwrap_err().to_string();
        assert!(error.contains("the file has changed"), "{error}");
    }

    #[test]
    fn a_borrowed_subset_reads_its_rows() {
        let folder = Folder::new();
        let values: Vec<f64> = (0..40).map(f64::from).collect();
        let path = folder.file("rows.npy", &npy::encode_f64(20, &[2], &values));
        let rows = on_disk(&path).unwrap();
        let borrowed: &dyn Source = &rows;
        let subset = Subset::new(Arc::new(borrowed), vec![19, 0, 7, 8]);
        let mut out = [0.0; 6];
        subset.read_f64(1, &mut out).unwrap();
        assert_eq!(out, [0.0, 1.0, 14.0, 15.0, 16.0, 17.0]);
        subset.gather_f64(&[3, 3, 0], &mut out).unwrap();
        assert_eq!(out, [16.0, 17.0, 16.0, 17.0, 38.0, 39.0]);
    }

    #[test]
    fn files_are_opened_on_disk_where_the_options_say_so() {
        let folder = Folder::new();
        let bytes = npy::encode_f32(6, &[4], &[0.5; 24]);
        let path = folder.file("rows.npy", &bytes).display().to_string();
        let on_disk = OpenOptions { in_memory: Some(false), ..OpenOptions::default() };
        let with_shape = OpenOptions { shape: Some(Shape::image(2, 2, 1)), ..on_disk.clone() };
        let dataset = open(&path, &with_shape).unwrap();
        assert_eq!((dataset.rows.rows(), dataset.rows.shape()), (6, Shape::image(2, 2, 1)));
        assert!(
            open(&path, &OpenOptions { shape: Some(Shape::flat(3)), ..on_disk.clone() }).is_err(),
            "a row has 4 numbers"
        );
        std::fs::write(&path, &bytes[..bytes.len() - 4]).unwrap();
        let mut out = [0.0; 24];
        assert!(dataset.rows.read_f32(0, &mut out).is_err());
        // A table in memory does not notice.
        std::fs::write(&path, &bytes).unwrap();
        let dataset = open(&path, &OpenOptions::default()).unwrap();
        std::fs::write(&path, b"").unwrap();
        dataset.rows.read_f32(0, &mut out).unwrap();
        assert_eq!(out, [0.5; 24]);

        let fortran = npy_file_in_order("True", "<f4", "(1, 2)", &[0; 8]);
        let path = folder.file("fortran.npy", &fortran).display().to_string();
        let error = open(&path, &on_disk).err().unwrap().to_string();
        assert!(error.starts_with(&path) && error.contains("column-major"), "{error}");
        assert!(read_bytes("bytes", &bytes, Format::Npy, &on_disk).is_ok(), "bytes are in memory already");
    }
}
