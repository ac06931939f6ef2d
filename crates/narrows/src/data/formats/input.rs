//! The bytes of a file, unpacked if it is gzip. Announced sizes are checked against the length of the file before memory is
//! allocated for them.

use std::cell::Cell;
use std::fmt;
use std::io::{self, BufRead, Cursor, Read};
use std::path::Path;
use std::rc::Rc;

use flate2::bufread::GzDecoder;

use crate::base::input_file::{self, InputFile};
use crate::base::memory;
use crate::error::{Error, ErrorKind, Result};

/// Largest compression ratio of deflate.
const DEFLATE_LIMIT: u64 = 1032;
/// Largest compression ratio that is accepted for text, of which no header announces the length: ten times that of tables of
/// zeros and ones. It is compared while the text is unpacked. Texts of up to `TEXT_FLOOR` bytes are accepted in any case.
const TEXT_LIMIT: u64 = 256;
const TEXT_FLOOR: u64 = 64 << 20;
/// Bytes of a text from which the memory that its table takes is estimated, before the rest is read.
const TEXT_START: usize = 1 << 16;

/// A file that is being read. Errors begin with its name as the user gave it.
pub(in crate::data) struct Input<'a> {
    /// The file as the user gave it.
    pub place: String,
    /// The first bytes (up to eight). They are not read yet.
    pub start: Vec<u8>,
    reader: Box<dyn Read + 'a>,
    left: Left,
}

/// The bytes that are still to be read.
enum Left {
    /// This number.
    Exactly(u64),
    /// Unknown: the content of a gzip file of this many bytes, and how many of them are unpacked.
    Packed(u64, Rc<Cell<u64>>),
}

impl<'a> Input<'a> {
    /// Opens a file. Gzip is recognised by the first two bytes, not by the name.
    pub fn open(place: &str, path: &Path) -> Result<Input<'static>> {
        let InputFile { file, length } = input_file::open(place, path)?;
        Input::new(place, io::BufReader::with_capacity(1 << 16, file), length)
    }

    /// The bytes of a file in memory, which may be gzip.
    pub fn memory(place: &str, bytes: &'a [u8]) -> Result<Self> {
        Self::new(place, bytes, bytes.len() as u64)
    }

    fn new(place: &str, reader: impl Read + 'a, length: u64) -> Result<Self> {
        let failed = |error| unreadable(place, &error);
        let (start, reader) = peek(reader, 2).map_err(failed)?;
        let (reader, left): (Box<dyn Read + 'a>, _) = if start == [0x1f, 0x8b] {
            let read = Rc::new(Cell::new(0));
            let reader = Counted { reader, read: read.clone() };
            (
                Box::new(Members::new(io::BufReader::with_capacity(1 << 16, reader))),
                Left::Packed(length, read),
            )
        } else {
            (Box::new(reader), Left::Exactly(length))
        };
        let (start, reader) = peek(reader, 8).map_err(failed)?;
        Ok(Self { place: place.into(), start, reader: Box::new(reader), left })
    }

    /// Whether the file is gzip.
    pub fn is_packed(&self) -> bool {
        matches!(self.left, Left::Packed(..))
    }

    /// An error about this file.
    pub fn error(&self, message: impl fmt::Display) -> Error {
        Error::data(format!("{}: {message}", self.place))
    }

    /// The next `N` bytes. A file that ends within them is cut short within `what`.
    pub fn take<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes, what)?;
        Ok(bytes)
    }

    /// Fills `out` with the next bytes. A file that ends within them is cut short within `what`.
    pub fn fill(&mut self, out: &mut [u8], what: &str) -> Result<()> {
        self.reader.read_exact(out).map_err(|error| {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                self.cut_short(what)
            } else {
                unreadable(&self.place, &error)
            }
        })?;
        if let Left::Exactly(left) = &mut self.left {
            *left = left.saturating_sub(out.len() as u64);
        }
        Ok(())
    }

    fn cut_short(&self, what: &str) -> Error {
        self.error(format_args!("the file ends within {what}")).hint("it may be a broken download")
    }

    /// Compares the number of bytes that a header announces with the bytes that are left. For gzip this is only an upper bound;
    /// [`Input::finish`] compares the exact number.
    pub fn expect(&self, announced: u64) -> Result<()> {
        match self.left {
            Left::Exactly(left) if left < announced => Err(self
                .error(format_args!("the header announces {announced} bytes of numbers, the file has {left}"))
                .hint("it may be a broken download")),
            Left::Exactly(left) if left > announced => {
                Err(self.error(format_args!("the header announces {announced} bytes of numbers, the file has {left}")))
            }
            Left::Packed(packed, _) if announced > packed.saturating_mul(DEFLATE_LIMIT) => Err(self.error(format_args!(
                "the header announces {announced} bytes of numbers, more than {packed} bytes of gzip can hold"
            ))),
            Left::Exactly(_) | Left::Packed(..) => Ok(()),
        }
    }

    /// Reads to the end, where gzip has its checksum. Refuses further bytes.
    pub fn finish(mut self) -> Result<()> {
        match self.reader.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(self.error("the file goes on after the numbers that its header announces")),
            Err(error) => Err(unreadable(&self.place, &error)),
        }
    }

    /// The next `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        reserve(&self.place, &mut out, self.plausible(count, 1))?;
        while out.len() < count {
            if out.len() == out.capacity() {
                let more = out.len().max(1 << 16).min(count - out.len());
                reserve(&self.place, &mut out, more)?;
            }
            // Without a buffer and without zeroing the memory first, because image files are large.
            let room = out.capacity().min(count) - out.len();
            let read = self.reader.by_ref().take(room as u64).read_to_end(&mut out);
            if read.map_err(|error| unreadable(&self.place, &error))? < room {
                return Err(self.cut_short("its numbers"));
            }
        }
        Ok(out)
    }

    /// The next `count` numbers of `N` bytes each.
    pub fn numbers<const N: usize, T>(
        &mut self,
        count: usize,
        convert: impl Fn([u8; N]) -> T,
    ) -> Result<Vec<T>> {
        const BLOCK: usize = 8192;
        let mut out = Vec::new();
        reserve(&self.place, &mut out, self.plausible(count, N))?;
        let mut buffer = vec![0; N * BLOCK];
        while out.len() < count {
            let numbers = BLOCK.min(count - out.len());
            let block = &mut buffer[..N * numbers];
            self.fill(block, "its numbers")?;
            if out.capacity() - out.len() < numbers {
                let more = out.len().max(numbers).min(count - out.len());
                reserve(&self.place, &mut out, more)?;
            }
            out.extend(block.as_chunks().0.iter().map(|&bytes| convert(bytes)));
        }
        Ok(out)
    }

    /// The number of numbers to reserve memory for: all `count` announced ones if the length of the file confirms the header,
    /// else no more than gzip of this length usually contains.
    fn plausible(&self, count: usize, size: usize) -> usize {
        match self.left {
            Left::Exactly(_) => count,
            Left::Packed(packed, _) => {
                count.min(usize::try_from(packed.saturating_mul(8)).unwrap_or(usize::MAX) / size + 1)
            }
        }
    }

    /// All remaining bytes, for formats that do not announce their length. `size` is asked for the memory that the content takes
    /// once it is read, from the first bytes of the text and its whole length, where that is known.
    pub fn text(mut self, size: impl Fn(&[u8], usize) -> usize) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        let exactly = match self.left {
            Left::Exactly(left) => {
                let left = usize::try_from(left).map_err(|_| self.error("too large for memory"))?;
                let start = TEXT_START.min(left);
                reserve(&self.place, &mut out, start)?;
                self.read_text(&mut out, start)?;
                let content = size(&out, left);
                memory::require(left.saturating_add(content), 1, format_args!("{}: the table", self.place))?;
                let rest = left - out.len();
                reserve(&self.place, &mut out, rest)?;
                Some(left)
            }
            Left::Packed(..) => None,
        };
        loop {
            if exactly.is_some_and(|left| out.len() >= left) {
                return Ok(out);
            }
            if out.len() == out.capacity() {
                let more = out.len().clamp(1 << 16, 1 << 30);
                reserve(&self.place, &mut out, more)?;
            }
            let room = exactly.unwrap_or(usize::MAX).min(out.capacity()) - out.len();
            if self.read_text(&mut out, room)? < room {
                break;
            }
            self.check_ratio(out.len() as u64)?;
        }
        self.check_ratio(out.len() as u64)?;
        if exactly.is_none() {
            self.finish()?;
        }
        Ok(out)
    }

    /// Appends up to `most` bytes, for which there is room; fewer at the end.
    fn read_text(&mut self, out: &mut Vec<u8>, most: usize) -> Result<usize> {
        let read = self.reader.by_ref().take(most as u64).read_to_end(out);
        read.map_err(|error| unreadable(&self.place, &error))
    }

    /// Refuses text that was packed more tightly than tables are.
    fn check_ratio(&self, unpacked: u64) -> Result<()> {
        let Left::Packed(_, read) = &self.left else { return Ok(()) };
        if unpacked <= TEXT_FLOOR.max(read.get().saturating_mul(TEXT_LIMIT)) {
            return Ok(());
        }
        let ratio = unpacked / read.get().max(1);
        Err(self
            .error(format_args!("unpacks to {ratio} times its length, hardly a table"))
            .hint("unpack it first, if it is one"))
    }
}

/// A reader that counts its bytes.
struct Counted<R> {
    reader: R,
    read: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(out)?;
        self.read.set(self.read.get() + count as u64);
        Ok(count)
    }
}

/// The content of a gzip file, which is that of its members, one after the other.
struct Members<R> {
    decoder: Option<GzDecoder<R>>,
    /// Whether the present member is not the first, and nothing of it was read.
    may_be_none: bool,
}

/// What follows the last member of a gzip file is none.
#[derive(Debug)]
struct AfterGzip;

impl fmt::Display for AfterGzip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes after the end of the gzip data")
    }
}

impl std::error::Error for AfterGzip {}

impl<R: BufRead> Members<R> {
    fn new(reader: R) -> Self {
        Self { decoder: Some(GzDecoder::new(reader)), may_be_none: false }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while let Some(decoder) = &mut self.decoder {
            match decoder.read(out) {
                Ok(0) if !out.is_empty() => {}
                Err(error) if self.may_be_none && error.kind() == io::ErrorKind::InvalidInput => {
                    return Err(io::Error::other(AfterGzip));
                }
                read => {
                    self.may_be_none = false;
                    return read;
                }
            }
            let Some(mut reader) = self.decoder.take().map(GzDecoder::into_inner) else { break };
            match reader.fill_buf()?.first() {
                None => break,
                Some(0x1f) => (self.decoder, self.may_be_none) = (Some(GzDecoder::new(reader)), true),
                Some(_) => return Err(io::Error::other(AfterGzip)),
            }
        }
        Ok(0)
    }
}

/// The first `count` bytes, and a reader that begins with them.
fn peek<'a>(mut reader: impl Read + 'a, count: u64) -> io::Result<(Vec<u8>, impl Read + 'a)> {
    let mut start = Vec::new();
    reader.by_ref().take(count).read_to_end(&mut start)?;
    Ok((start.clone(), Cursor::new(start).chain(reader)))
}

/// Makes room for `count` more, if the memory is free.
fn reserve<T>(place: &str, out: &mut Vec<T>, count: usize) -> Result<()> {
    let bytes = count.saturating_mul(size_of::<T>());
    memory::require(bytes, 1, format_args!("{place}: its content"))?;
    out.try_reserve_exact(count).map_err(|_| {
        let message = format!("{place}: no memory for {count} numbers of {} bytes", size_of::<T>());
        Error::new(ErrorKind::Resources, message)
    })
}

/// An error while reading. Damaged gzip is reported by the decoder as an I/O error, but is an error of the data.
fn unreadable(place: &str, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            Error::data(format!("{place}: the gzip file is cut short")).hint("it may be a broken download")
        }
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            Error::data(format!("{place}: damaged gzip: {error}")).hint("it may be a broken download")
        }
        _ if error.get_ref().is_some_and(|cause| cause.is::<AfterGzip>()) => {
            Error::data(format!("{place}: {error}")).hint("it may be a broken download, or two files in one")
        }
        _ => Error::new(ErrorKind::Io, format!("{place}: cannot read: {error}")),
    }
}
