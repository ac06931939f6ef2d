//! Files of record batches: Parquet, and Arrow IPC as a file or a stream.
//!
//! The readers of Arrow answer most damage with an error, but some of it with a panic (an IPC schema without fields, types that
//! are `unimplemented!`); such a panic becomes an error here, in [`caught`]. What could end the process is looked at first: the
//! footer of Parquet in [`crate::footer`], the lengths of IPC messages and of their compressed buffers in this file.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_buffer::Buffer;
use arrow_ipc::reader::{RecordBatchDecoder, read_dictionary};
use arrow_ipc::{Message, MessageHeader, MetadataVersion, root_as_message};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use narrows::base::{input_file, memory};
use narrows::{Error, Result};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Type as Physical;
use parquet::file::statistics::Statistics;

use crate::footer;
use crate::options::damaged;

/// Batches of rows, in order.
pub(crate) type Batches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// A file of record batches.
pub(crate) struct BatchFile {
    /// The file as the user gave it.
    pub place: String,
    path: PathBuf,
    version: Version,
    /// The columns as they are read.
    pub schema: SchemaRef,
    /// Rows that the file announces.
    pub rows: usize,
    kind: FileKind,
}

enum FileKind {
    Parquet(ArrowReaderMetadata),
    /// The place of the first message.
    Arrow {
        start: u64,
    },
}

/// The properties of a file that change when its content changes.
#[derive(PartialEq)]
struct Version {
    length: u64,
    modified: Option<SystemTime>,
}

thread_local! {
    static IS_CATCHING: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread would be caught here and become an error: a panic hook that asks can leave it unprinted.
pub fn is_panic_caught() -> bool {
    IS_CATCHING.get()
}

/// Calls a reader of Arrow; its panics become errors.
fn caught<T, E: fmt::Display>(place: &str, read: impl FnOnce() -> std::result::Result<T, E>) -> Result<T> {
    IS_CATCHING.set(true);
    let result = catch_unwind(AssertUnwindSafe(read));
    IS_CATCHING.set(false);
    match result {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(damaged(place, error.to_string().trim_end_matches('.'))),
        Err(_) => Err(damaged(place, "its content contradicts itself")),
    }
}

fn open_file(place: &str, path: &Path) -> Result<(File, Version)> {
    let file = input_file::open(place, path)?;
    let modified = file.file.metadata().and_then(|metadata| metadata.modified()).ok();
    Ok((file.file, Version { length: file.length, modified }))
}

impl BatchFile {
    /// Opens a Parquet file and reads its footer.
    ///
    /// # Errors
    /// Where it is damaged, encrypted, or cannot be read.
    pub fn parquet(place: &str, path: &Path) -> Result<Self> {
        let (mut file, version) = open_file(place, path)?;
        check_footer(place, &mut file, version.length)?;
        let metadata = caught(place, || {
            let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())?;
            with_long_timestamps(metadata)
        })?;
        let rows = metadata.metadata().row_groups().iter().try_fold(0usize, |rows, group| {
            usize::try_from(group.num_rows()).ok().and_then(|more| rows.checked_add(more))
        });
        let rows = rows.ok_or_else(|| damaged(place, "its numbers of rows cannot be"))?;
        let schema = metadata.schema().clone();
        let kind = FileKind::Parquet(metadata);
        Ok(Self { place: place.to_owned(), path: path.to_owned(), version, schema, rows, kind })
    }

    /// Opens an Arrow IPC file or stream; reads its schema and the numbers of its rows.
    ///
    /// # Errors
    /// Where it is damaged, or cannot be read.
    pub fn arrow(place: &str, path: &Path) -> Result<Self> {
        let (mut file, version) = open_file(place, path)?;
        let failed = |error| Error::io(Path::new(place), "read", error);
        let mut magic = [0; 8];
        let start = match file.read_exact(&mut magic) {
            Ok(()) if magic.starts_with(b"ARROW1") => after_padding(&mut file).map_err(failed)?,
            Ok(()) if magic.starts_with(b"FEA1") => {
                return Err(Error::data(format!("{place}: Feather of version 1, which is not read"))
                    .hint("write it as version 2: pyarrow.feather.write_feather(table, file, version=2)"));
            }
            Ok(()) => 0,
            Err(_) => return Err(damaged(place, "it ends before its first message")),
        };
        file.seek(SeekFrom::Start(start)).map_err(failed)?;
        let mut messages = Messages::new(place, file, version.length.saturating_sub(start));
        let schema = messages.schema()?;
        let mut rows = 0usize;
        while let Some(head) = messages.next()? {
            if let Some(batch) = head.message()?.header_as_record_batch() {
                rows = usize::try_from(batch.length())
                    .ok()
                    .and_then(|more| rows.checked_add(more))
                    .ok_or_else(|| damaged(place, "its numbers of rows cannot be"))?;
            }
            messages.skip_body(&head)?;
        }
        let kind = FileKind::Arrow { start };
        Ok(Self { place: place.to_owned(), path: path.to_owned(), version, schema, rows, kind })
    }

    /// The length of the file in bytes.
    pub fn length(&self) -> u64 {
        self.version.length
    }

    /// The columns of the file.
    pub fn fields(&self) -> Vec<&Field> {
        self.schema.fields().iter().map(|field| &**field).collect()
    }

    /// Whether an integer column has values of more than 2^53, as far as the file says so: None where it must be read.
    pub fn has_wide_integers(&self, column: usize) -> Option<bool> {
        const EXACT: u64 = 1 << 53;
        let FileKind::Parquet(metadata) = &self.kind else { return None };
        let kind = self.schema.field(column).data_type();
        if !matches!(kind, DataType::Int64 | DataType::UInt64) {
            return None;
        }
        let schema = metadata.parquet_schema();
        let leaf = (0..schema.num_columns()).find(|&leaf| schema.get_column_root_idx(leaf) == column)?;
        let mut is_known = true;
        for group in metadata.metadata().row_groups() {
            let range = match group.columns().get(leaf).and_then(|column| column.statistics()) {
                Some(Statistics::Int64(range)) => range.min_opt().zip(range.max_opt()),
                _ => None,
            };
            match range {
                Some((&min, &max)) if *kind == DataType::UInt64 => {
                    if (min as u64).max(max as u64) > EXACT {
                        return Some(true);
                    }
                }
                Some((min, max)) => {
                    if min.unsigned_abs().max(max.unsigned_abs()) > EXACT {
                        return Some(true);
                    }
                }
                None => is_known &= group.num_rows() == 0,
            }
        }
        is_known.then_some(false)
    }

    /// Reads the columns `kept` (places in the schema, in order) from the first row on, at most `batch_rows` at a time.
    ///
    /// # Errors
    /// Where the file cannot be opened, or has changed since.
    pub fn batches(&self, kept: &[usize], batch_rows: usize) -> Result<Batches> {
        let place = self.place.clone();
        let (mut file, version) = open_file(&place, &self.path)?;
        if version != self.version {
            return Err(Error::data(format!("{place}: the file has changed since it was opened")));
        }
        match &self.kind {
            FileKind::Parquet(metadata) => {
                let mask = ProjectionMask::roots(metadata.parquet_schema(), kept.iter().copied());
                let mut reader = caught(&place, || {
                    ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata.clone())
                        .with_projection(mask)
                        .with_batch_size(batch_rows)
                        .build()
                })?;
                let mut is_over = false;
                Ok(Box::new(std::iter::from_fn(move || {
                    if is_over {
                        return None;
                    }
                    let next = caught(&place, || reader.next().transpose());
                    // What a reader gives after an error is not defined.
                    is_over = !matches!(next, Ok(Some(_)));
                    next.transpose()
                })))
            }
            FileKind::Arrow { start } => {
                file.seek(SeekFrom::Start(*start))
                    .map_err(|error| Error::io(Path::new(&place), "read", error))?;
                let mut messages = Messages::new(&place, file, version.length.saturating_sub(*start));
                messages.schema()?;
                let mut reader = ArrowBatches {
                    messages,
                    schema: self.schema.clone(),
                    kept: kept.to_vec(),
                    dictionaries: HashMap::new(),
                };
                let mut waiting: Option<RecordBatch> = None;
                let mut is_over = false;
                Ok(Box::new(std::iter::from_fn(move || {
                    loop {
                        if let Some(batch) = waiting.take_if(|batch| batch.num_rows() > 0) {
                            let rows = batch.num_rows().min(batch_rows);
                            waiting = Some(batch.slice(rows, batch.num_rows() - rows));
                            return Some(Ok(batch.slice(0, rows)));
                        }
                        if is_over {
                            return None;
                        }
                        waiting = None;
                        match reader.next() {
                            Ok(Some(batch)) => waiting = Some(batch),
                            Ok(None) => is_over = true,
                            Err(error) => {
                                is_over = true;
                                return Some(Err(error));
                            }
                        }
                    }
                })))
            }
        }
    }
}

/// Refuses a footer that would make the decoder ask for more memory than any machine has.
fn check_footer(place: &str, file: &mut File, length: u64) -> Result<()> {
    let failed = |error| Error::io(Path::new(place), "read", error);
    let mut end = [0; 8];
    if length < 12 {
        return Err(damaged(place, "it is too short for a Parquet file"));
    }
    file.seek(SeekFrom::End(-8)).and_then(|_| file.read_exact(&mut end)).map_err(failed)?;
    if end.ends_with(b"PARE") {
        return Err(
            Error::data(format!("{place}: an encrypted Parquet file")).hint("write it without encryption")
        );
    }
    if !end.ends_with(b"PAR1") {
        return Err(damaged(place, "it does not end with PAR1: was it written to its end?"));
    }
    let size = u64::from(u32::from_le_bytes([end[0], end[1], end[2], end[3]]));
    if size > length - 12 {
        return Err(damaged(place, "its footer is longer than the file"));
    }
    memory::require(size as usize, 1, format_args!("{place}: reading the footer"))?;
    let mut bytes = vec![0; size as usize];
    file.seek(SeekFrom::End(-8 - size as i64)).and_then(|_| file.read_exact(&mut bytes)).map_err(failed)?;
    footer::check(&bytes).map_err(|what| damaged(place, what))
}

/// INT96, a type of old programs, has days and nanoseconds apart; as nanoseconds since 1970 in 64 bits years after 2262 would wrap
/// round. Microseconds reach far enough.
fn with_long_timestamps(metadata: ArrowReaderMetadata) -> parquet::errors::Result<ArrowReaderMetadata> {
    let roots = metadata.parquet_schema().root_schema().get_fields().to_vec();
    let is_old = |place: usize| {
        roots
            .get(place)
            .is_some_and(|root| root.is_primitive() && root.get_physical_type() == Physical::INT96)
    };
    if !(0..roots.len()).any(is_old) || roots.len() != metadata.schema().fields().len() {
        return Ok(metadata);
    }
    let fields = metadata.schema().fields().iter().enumerate().map(|(place, field)| {
        if !is_old(place) {
            return field.clone();
        }
        let zone = match field.data_type() {
            DataType::Timestamp(_, zone) => zone.clone(),
            _ => None,
        };
        Arc::new((**field).clone().with_data_type(DataType::Timestamp(TimeUnit::Microsecond, zone)))
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    ArrowReaderMetadata::try_new(metadata.metadata().clone(), ArrowReaderOptions::new().with_schema(schema))
}

// ------------------------------------------------------------------------------------------------------------- Arrow IPC

/// The place of the first message of an IPC file: after its magic, which is filled up with zeros to 8 bytes, or to 64 and so on.
fn after_padding(file: &mut File) -> std::io::Result<u64> {
    let mut words = [0; 128];
    let read = file.read(&mut words)?;
    let zeros = words[..read].chunks_exact(8).take_while(|word| **word == [0; 8]).count();
    Ok(8 + 8 * zeros as u64)
}

/// The messages of an IPC stream. The messages of an IPC file lie one after the other as in a stream, before its footer.
struct Messages {
    place: String,
    file: BufReader<File>,
    /// Bytes from here to the end of the file.
    left: u64,
}

/// A message without its body.
struct Head {
    place: String,
    bytes: Vec<u8>,
    /// Bytes of the body that follows.
    body: u64,
}

impl Head {
    fn message(&self) -> Result<Message<'_>> {
        root_as_message(&self.bytes).map_err(|_| damaged(&self.place, "a message that cannot be read"))
    }
}

impl Messages {
    fn new(place: &str, file: File, left: u64) -> Self {
        Self { place: place.to_owned(), file: BufReader::new(file), left }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        if bytes.len() as u64 > self.left {
            return Err(damaged(&self.place, "it ends within a message"));
        }
        self.file.read_exact(bytes).map_err(|error| Error::io(Path::new(&self.place), "read", error))?;
        self.left -= bytes.len() as u64;
        Ok(())
    }

    /// The next message; None at the end.
    fn next(&mut self) -> Result<Option<Head>> {
        let mut word = [0; 4];
        if self.left < 4 {
            return Ok(None);
        }
        self.fill(&mut word)?;
        // Streams of before 2019 have no marker.
        if word == [0xff; 4] {
            self.fill(&mut word)?;
        }
        let size = u32::from_le_bytes(word);
        if size == 0 {
            return Ok(None);
        }
        if u64::from(size) > self.left {
            return Err(damaged(&self.place, "a message that is longer than the file"));
        }
        let mut bytes = vec![0; size as usize];
        self.fill(&mut bytes)?;
        let mut head = Head { place: self.place.clone(), bytes, body: 0 };
        head.body = u64::try_from(head.message()?.bodyLength())
            .ok()
            .filter(|&length| length <= self.left)
            .ok_or_else(|| damaged(&self.place, "a message that is longer than the file"))?;
        Ok(Some(head))
    }

    fn skip_body(&mut self, head: &Head) -> Result<()> {
        self.file
            .seek_relative(head.body as i64)
            .map_err(|error| Error::io(Path::new(&self.place), "read", error))?;
        self.left -= head.body;
        Ok(())
    }

    fn body(&mut self, head: &Head) -> Result<Buffer> {
        let length = head.body as usize;
        memory::require(length, 1, format_args!("{}: reading a batch of rows", self.place))?;
        let mut body = vec![0; length];
        self.fill(&mut body)?;
        Ok(Buffer::from_vec(body))
    }

    /// The schema, which is the first message.
    fn schema(&mut self) -> Result<SchemaRef> {
        let place = self.place.clone();
        let no_schema = || damaged(&place, "it does not begin with the schema of its columns");
        let head = self.next()?.ok_or_else(no_schema)?;
        let message = head.message()?;
        let schema = message.header_as_schema().ok_or_else(no_schema)?;
        if !schema.endianness().equals_to_target_endianness() {
            return Err(Error::data(format!("{place}: written on a machine of another byte order")));
        }
        let schema = caught(&place, || Ok::<_, Error>(Arc::new(arrow_ipc::convert::fb_to_schema(schema))))?;
        self.skip_body(&head)?;
        Ok(schema)
    }
}

/// The batches of an IPC stream after its schema.
struct ArrowBatches {
    messages: Messages,
    schema: SchemaRef,
    kept: Vec<usize>,
    dictionaries: HashMap<i64, ArrayRef>,
}

impl ArrowBatches {
    fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let Some(head) = self.messages.next()? else { return Ok(None) };
            let body = self.messages.body(&head)?;
            let place = &head.place;
            let message = head.message()?;
            let version: MetadataVersion = message.version();
            let without = || damaged(place, "a message without content");
            match message.header_type() {
                MessageHeader::DictionaryBatch => {
                    let dictionary = message.header_as_dictionary_batch().ok_or_else(without)?;
                    check_compressed(place, dictionary.data().ok_or_else(without)?, &body)?;
                    caught(place, || {
                        read_dictionary(&body, dictionary, &self.schema, &mut self.dictionaries, &version)
                    })?;
                }
                MessageHeader::RecordBatch => {
                    let batch = message.header_as_record_batch().ok_or_else(without)?;
                    check_compressed(place, batch, &body)?;
                    let batch = caught(place, || {
                        RecordBatchDecoder::try_new(
                            &body,
                            batch,
                            self.schema.clone(),
                            &self.dictionaries,
                            &version,
                        )?
                        .with_projection(Some(&self.kept))
                        .read_record_batch()
                    })?;
                    return Ok(Some(batch));
                }
                _ => return Err(damaged(place, "a message of an unknown kind")),
            }
        }
    }
}

/// Compares the lengths that the compressed buffers of a batch announce with the memory that is free: the decoder reserves them.
fn check_compressed(place: &str, batch: arrow_ipc::RecordBatch<'_>, body: &[u8]) -> Result<()> {
    let beyond = || damaged(place, "a column outside of its message");
    let mut total = 0usize;
    for buffer in batch.buffers().into_iter().flatten() {
        let (Ok(start), Ok(length)) = (usize::try_from(buffer.offset()), usize::try_from(buffer.length()))
        else {
            return Err(beyond());
        };
        let bytes = start.checked_add(length).and_then(|end| body.get(start..end)).ok_or_else(beyond)?;
        if batch.compression().is_some()
            && let Some(size) = bytes.first_chunk()
        {
            // -1 says that the buffer is not compressed after all.
            let size = i64::from_le_bytes(*size).max(0);
            total = total.saturating_add(usize::try_from(size).unwrap_or(usize::MAX));
        }
    }
    memory::require(total, 1, format_args!("{place}: unpacking a batch of rows"))
}
