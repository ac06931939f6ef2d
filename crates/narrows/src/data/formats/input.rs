//! The bytes of a file, unpacked if it is gzip or zstd. Announced sizes are checked against the length of the file before memory is
//! allocated for them.

use std::cell::Cell;
use std::fmt;
use std::io::{self, BufRead, Cursor, Read};
use std::path::Path;
use std::rc::Rc;

use flate2::bufread::GzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use crate::base::input_file::{self, InputFile};
use crate::base::memory;
use crate::error::{Error, ErrorKind, Result};

/// Largest compression ratio of deflate.
const DEFLATE_LIMIT: u64 = 1032;
/// Largest compression ratio of zstd: blocks of 128 KiB from four bytes.
const ZSTD_LIMIT: u64 = 1 << 15;
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
    /// Unknown: the content of a packed file.
    Packed(Packed),
}

/// A packed file.
struct Packed {
    /// gzip, or zstd.
    name: &'static str,
    length: u64,
    /// The bytes of it that are unpacked.
    read: Rc<Cell<u64>>,
    /// The largest compression ratio.
    limit: u64,
}

/// Standard input in messages.
const STANDARD_INPUT: &str = "standard input";

impl<'a> Input<'a> {
    /// Opens a file. Gzip and zstd are recognised by the first bytes, not by the name.
    pub fn open(place: &str, path: &Path) -> Result<Input<'static>> {
        let InputFile { file, length } = input_file::open(place, path)?;
        Input::new(place, io::BufReader::with_capacity(1 << 16, file), length)
    }

    /// The bytes of a file in memory, which may be gzip.
    pub fn memory(place: &str, bytes: &'a [u8]) -> Result<Self> {
        Self::new(place, bytes, bytes.len() as u64)
    }

    /// All of standard input, which is read into memory.
    pub fn standard() -> Result<Input<'static>> {
        Input::stream(STANDARD_INPUT, io::stdin().lock())
    }

    /// All of a reader, which is read into memory.
    fn stream(place: &str, mut reader: impl Read) -> Result<Input<'static>> {
        let mut bytes = Vec::new();
        loop {
            let more = bytes.len().clamp(1 << 16, 1 << 30);
            reserve(place, &mut bytes, more)?;
            let read = reader.by_ref().take(more as u64).read_to_end(&mut bytes);
            if read.map_err(|error| unreadable(place, &error))? < more {
                break;
            }
        }
        let length = bytes.len() as u64;
        Input::new(place, Cursor::new(bytes), length)
    }

    fn new(place: &str, reader: impl Read + 'a, length: u64) -> Result<Self> {
        let failed = |error| unreadable(place, &error);
        let (start, reader) = peek(reader, 4).map_err(failed)?;
        let read = Rc::new(Cell::new(0));
        let counted = |reader| io::BufReader::with_capacity(1 << 16, Counted { reader, read: read.clone() });
        let packed = |name, limit| Left::Packed(Packed { name, length, read: read.clone(), limit });
        let (reader, left): (Box<dyn Read + 'a>, _) = match start[..] {
            [0x1f, 0x8b, ..] => (Box::new(Members::new(counted(reader))), packed("gzip", DEFLATE_LIMIT)),
            // A frame, or one that is skipped.
            [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
                (Box::new(Frames::new(counted(reader))), packed("zstd", ZSTD_LIMIT))
            }
            _ => (Box::new(reader), Left::Exactly(length)),
        };
        let (start, reader) = peek(reader, 8).map_err(failed)?;
        Ok(Self { place: place.into(), start, reader: Box::new(reader), left })
    }

    /// Whether the file is gzip or zstd.
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

    /// Compares the number of bytes that a header announces with the bytes that are left. For packed files this is only an upper bound;
    /// [`Input::finish`] compares the exact number.
    pub fn expect(&self, announced: u64) -> Result<()> {
        match self.left {
            Left::Exactly(left) if left < announced => Err(self
                .error(format_args!("the header announces {announced} bytes of numbers, the file has {left}"))
                .hint("it may be a broken download")),
            Left::Exactly(left) if left > announced => {
                Err(self.error(format_args!("the header announces {announced} bytes of numbers, the file has {left}")))
            }
            Left::Packed(Packed { name, length, limit, .. }) if announced > length.saturating_mul(limit) => {
                Err(self.error(format_args!(
                    "the header announces {announced} bytes of numbers, more than {length} bytes of {name} can hold"
                )))
            }
            Left::Exactly(_) | Left::Packed(..) => Ok(()),
        }
    }

    /// Reads to the end, where packed files have their checksum. Refuses further bytes.
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
    /// else no more than a packed file of this length usually contains.
    fn plausible(&self, count: usize, size: usize) -> usize {
        match self.left {
            Left::Exactly(_) => count,
            Left::Packed(Packed { length, .. }) => {
                count.min(usize::try_from(length.saturating_mul(8)).unwrap_or(usize::MAX) / size + 1)
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
        let Left::Packed(Packed { read, .. }) = &self.left else { return Ok(()) };
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

/// What is wrong with a packed file.
#[derive(Debug)]
enum Damage {
    /// What follows the last member of a gzip file or the last frame of a zstd file is none.
    After(&'static str),
    /// A zstd file.
    Zstd(String),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(name) => write!(f, "bytes after the end of the {name} data"),
            Self::Zstd(what) => write!(f, "damaged zstd: {what}"),
        }
    }
}

impl std::error::Error for Damage {}

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
                    return Err(io::Error::other(Damage::After("gzip")));
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
                Some(_) => return Err(io::Error::other(Damage::After("gzip"))),
            }
        }
        Ok(0)
    }
}

/// The content of a zstd file, which is that of its frames, one after the other. The decoder refuses windows of more than 128 MiB.
struct Frames<R> {
    decoder: FrameDecoder,
    reader: R,
    is_within: bool,
    is_first: bool,
}

impl<R: BufRead> Frames<R> {
    fn new(reader: R) -> Self {
        Self { decoder: FrameDecoder::new(), reader, is_within: false, is_first: true }
    }

    /// Begins the next frame; false at the end.
    fn begin(&mut self) -> io::Result<bool> {
        loop {
            if self.reader.fill_buf()?.is_empty() {
                return Ok(false);
            }
            let is_first = std::mem::replace(&mut self.is_first, false);
            match self.decoder.reset(&mut self.reader) {
                Ok(()) => {
                    self.is_within = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let skipped =
                        io::copy(&mut self.reader.by_ref().take(u64::from(length)), &mut io::sink())?;
                    if skipped < u64::from(length) {
                        return Err(damaged_zstd("it is cut short"));
                    }
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::BadMagicNumber(_)))
                    if !is_first =>
                {
                    return Err(io::Error::other(Damage::After("zstd")));
                }
                Err(error) => return Err(damaged_zstd(error)),
            }
        }
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.is_within && !self.begin()? {
                return Ok(0);
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                self.decoder
                    .decode_blocks(&mut self.reader, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(damaged_zstd)?;
            }
            let count = self.decoder.read(out)?;
            if count > 0 || out.is_empty() {
                return Ok(count);
            }
            let announced = self.decoder.get_checksum_from_data();
            if announced.is_some() && announced != self.decoder.get_calculated_checksum() {
                return Err(damaged_zstd("its checksum is that of another content"));
            }
            self.is_within = false;
        }
    }
}

fn damaged_zstd(what: impl fmt::Display) -> io::Error {
    io::Error::other(Damage::Zstd(what.to_string()))
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
        _ if error.get_ref().is_some_and(|cause| cause.is::<Damage>()) => {
            Error::data(format!("{place}: {error}")).hint("it may be a broken download, or two files in one")
        }
        _ => Error::new(ErrorKind::Io, format!("{place}: cannot read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a,b\n1,2\n` as the zstd program packs it, with the checksum of the content.
    const FRAME: [u8; 21] = [
        0x28, 0xb5, 0x2f, 0xfd, 0x24, 0x08, 0x41, 0x00, 0x00, 0x61, 0x2c, 0x62, 0x0a, 0x31, 0x2c, 0x32, 0x0a,
        0x35, 0xe7, 0xca, 0xce,
    ];

    #[test]
    fn zstd_is_unpacked_and_its_damage_named() {
        let text = |bytes: &[u8]| Input::memory("file", bytes)?.text(|_, _| 0);
        assert_eq!(text(&FRAME).unwrap(), b"a,b\n1,2\n");
        // Frames follow each other, and some are skipped.
        let skipped = [0x53, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 7, 7];
        let all = [&skipped[..], &FRAME, &skipped, &FRAME].concat();
        assert_eq!(text(&all).unwrap(), b"a,b\n1,2\na,b\n1,2\n");
        for end in 4..FRAME.len() {
            let message = text(&FRAME[..end]).unwrap_err().to_string();
            assert!(message.starts_with("file: damaged zstd"), "{end}: {message}");
        }
        let mut other = FRAME;
        other[9] = b'c';
        assert!(text(&other).unwrap_err().to_string().contains("checksum"));
        let message = text(&[&FRAME[..], b"more"].concat()).unwrap_err().to_string();
        assert!(message.contains("after the end of the zstd data"), "{message}");
        assert!(text(&[&FRAME[..], b"mo"].concat()).is_err() && text(&all[..all.len() - 30]).is_err());
        // No byte makes it panic.
        for at in 0..FRAME.len() {
            for value in 0..=255 {
                let mut bytes = FRAME;
                bytes[at] = value;
                let _ = text(&bytes);
            }
        }
    }

    #[test]
    fn standard_input_is_read_as_a_file_is() {
        let text = |bytes: &[u8]| Input::stream("standard input", bytes)?.text(|_, _| 0);
        assert_eq!(text(b"a,b\n1,2\n").unwrap(), b"a,b\n1,2\n");
        assert_eq!(text(b"").unwrap(), b"");
        assert_eq!(text(&vec![b'x'; 200_000]).unwrap().len(), 200_000);
    }
}
