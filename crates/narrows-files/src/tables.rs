//! Tables of files: which columns are read, how, and whether their rows go to memory or are streamed.

use std::path::Path;
use std::sync::Arc;

use narrows::base::memory;
use narrows::data::{Content, Frame, Table};
use narrows::{Error, Result, Shape, Source};

use crate::ahead::Ahead;
use crate::batches::{BatchFile, Batches};
use crate::columns::{
    Cell, Column, Dictionary, Meaning, Stop, append_rows, is_in_seconds, list_length, plan,
};
use crate::options::{FileOptions, ReadFrame, damaged, listed};
use crate::streamed::Streamed;

/// Numbers in a batch: a batch and its columns stay in the second-level cache.
const BATCH: usize = 1 << 18;

/// Bytes of the rows that a streamed table keeps in memory, where so many are free.
const WINDOW: usize = 256 << 20;

/// The largest number of different texts in a column that is streamed.
const MOST_TEXTS: usize = 100_000;

/// Files that are shorter are read without a second thread.
const SHORT: u64 = 1 << 20;

/// Reads a Parquet file.
///
/// | type | cells |
/// |---|---|
/// | integers, floats, decimals | the number; a column with a whole number past 2^53 becomes texts |
/// | booleans | texts `false` and `true` |
/// | strings, dictionaries of them | texts |
/// | dates, timestamps | days since 1970-01-01, in UTC where there is a time zone |
/// | times of day, durations | the number of seconds |
/// | lists of numbers, all of one length | a column `name[0]`, `name[1]`, ... for each place |
/// | structures, maps, bytes and others | refused: leave them out with `drop` |
///
/// Null is a missing value (NaN). Where all columns are in single precision, so are the cells.
///
/// A table whose cells would take more memory than [`FileOptions::memory`] is streamed: its rows are decoded anew in each pass, in
/// a thread that reads ahead, and can be read in the order of the file (see [`narrows::data::Access`]). A column of texts with more
/// than 100,000 different ones is left out of such a table, which [`ReadFrame::notes`] says.
///
/// # Errors
/// [`ErrorKind::Data`](narrows::ErrorKind::Data) where the content or a name in the options is wrong,
/// [`ErrorKind::Io`](narrows::ErrorKind::Io) where the file cannot be read. The message begins with the path.
pub fn read_parquet(path: impl AsRef<Path>, options: &FileOptions) -> Result<ReadFrame> {
    let path = path.as_ref();
    Reading::new(BatchFile::parquet(&path.to_string_lossy(), path)?, options)?.read()
}

/// Reads an Arrow IPC file (Feather of version 2) or stream, as [`read_parquet`].
///
/// # Errors
/// As [`read_parquet`].
pub fn read_arrow(path: impl AsRef<Path>, options: &FileOptions) -> Result<ReadFrame> {
    let path = path.as_ref();
    Reading::new(BatchFile::arrow(&path.to_string_lossy(), path)?, options)?.read()
}

/// A file that is being read.
struct Reading {
    file: Arc<BatchFile>,
    columns: Vec<Column>,
    budget: usize,
    notes: Vec<String>,
}

impl Reading {
    fn new(file: BatchFile, options: &FileOptions) -> Result<Self> {
        let fields = file.fields();
        let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
        let kept = kept(&file.place, &names, options)?;
        let mut columns = plan(&file.place, &fields, &kept)?;
        let mut notes = Vec::new();
        let seconds: Vec<&str> =
            kept.iter().filter(|&&at| is_in_seconds(fields[at].data_type())).map(|&at| names[at]).collect();
        if !seconds.is_empty() {
            notes.push(format!("times of day and durations are in seconds: {}", listed(&seconds)));
        }
        drop(fields);
        find_lengths(&file, &mut columns)?;
        if file.rows == 0 {
            return Err(Error::data(format!("{}: there are no rows", file.place)));
        }
        let mut reading = Self { file: Arc::new(file), columns, budget: options.budget(), notes };
        for at in 0..reading.columns.len() {
            let Column { meaning, length, place, .. } = reading.columns[at];
            if meaning == Meaning::WideIntegers && length.is_none() {
                match reading.file.has_wide_integers(place) {
                    Some(true) => reading.read_as_texts(at),
                    Some(false) => reading.columns[at].meaning = Meaning::Numbers,
                    None => {}
                }
            }
        }
        Ok(reading)
    }

    fn read(self) -> Result<ReadFrame> {
        if self.columns.iter().all(|column| column.is_single) {
            self.read_cells::<f32>()
        } else {
            self.read_cells::<f64>()
        }
    }

    fn read_cells<T: Cell>(mut self) -> Result<ReadFrame> {
        let bytes = self.file.rows.saturating_mul(self.width()).saturating_mul(size_of::<T>());
        if bytes > self.budget {
            return self.stream::<T>();
        }
        memory::require(bytes, 1, format_args!("{}: its table", self.file.place))?;
        loop {
            match self.load::<T>(bytes)? {
                Loaded::Table(table, dictionaries) => {
                    let place = self.file.place.clone();
                    let table = Table::with_missing(T::values(table), Shape::flat(self.width()));
                    let table = table.map_err(|error| error.at(&place))?;
                    return self.frame(&dictionaries, Arc::new(table));
                }
                Loaded::Wide(column) => self.read_as_texts(column),
            }
        }
    }

    /// Reads all cells into memory.
    fn load<T: Cell>(&self, bytes: usize) -> Result<Loaded<T>> {
        let mut table: Vec<T> = Vec::new();
        table.try_reserve_exact(bytes / size_of::<T>()).map_err(|_| {
            Error::new(narrows::ErrorKind::Resources, format!("{}: no memory for its table", self.file.place))
        })?;
        let mut dictionaries = vec![Dictionary::default(); self.columns.len()];
        let (rows, width) = (self.file.rows, self.width());
        for batch in self.batches(self.batch_rows())? {
            let batch = batch?;
            if batch.num_rows() > rows - table.len() / width {
                return Err(self.other_rows());
            }
            match append_rows(&mut table, &batch, &self.columns, &mut dictionaries) {
                Ok(()) => {}
                Err((column, Stop::Wide)) => return Ok(Loaded::Wide(column)),
                Err((column, stop)) => return Err(refusal(&self.file.place, &self.columns[column], stop)),
            }
        }
        if table.len() != rows * width {
            return Err(self.other_rows());
        }
        Ok(Loaded::Table(table, dictionaries))
    }

    fn other_rows(&self) -> Error {
        damaged(
            &self.file.place,
            format_args!("it has other rows than the {} that it announces", self.file.rows),
        )
    }

    /// The batches of all columns. Those of a long file come from a second thread.
    fn batches(&self, batch_rows: usize) -> Result<Batches> {
        let places: Vec<usize> = self.columns.iter().map(|column| column.place).collect();
        let batches = self.file.batches(&places, batch_rows)?;
        if self.file.length() < SHORT {
            return Ok(batches);
        }
        Ok(Box::new(Ahead::new(4, batches)?))
    }

    fn batch_rows(&self) -> usize {
        (BATCH / self.width()).clamp(64, 1 << 13)
    }

    fn width(&self) -> usize {
        self.columns.iter().map(Column::width).sum()
    }

    fn read_as_texts(&mut self, column: usize) {
        let column = &mut self.columns[column];
        column.meaning = Meaning::Texts;
        self.notes.push(format!(
            "`{}` has whole numbers past 2^53, which would be rounded: it is read as texts",
            column.name
        ));
    }

    /// A source that decodes the rows when they are read.
    fn stream<T: Cell>(mut self) -> Result<ReadFrame> {
        let dictionaries = self.find_texts()?;
        let width = self.width();
        let row = width * size_of::<T>();
        let window = (self.budget / 2).min(WINDOW) / row;
        let batch_rows = self.batch_rows().min((window / 4).max(64));
        let window = window.max(2 * batch_rows);
        let (file, columns) = (self.file.clone(), self.columns.clone());
        let known = dictionaries.clone();
        let open = move || {
            let (file, columns, mut known) = (file.clone(), columns.clone(), known.clone());
            let places: Vec<usize> = columns.iter().map(|column| column.place).collect();
            let batches = file.batches(&places, batch_rows)?;
            Ahead::new(
                2,
                batches.map(move |batch| {
                    let mut block: Vec<T> = Vec::new();
                    append_rows(&mut block, &batch?, &columns, &mut known)
                        .map_err(|(column, stop)| refusal(&file.place, &columns[column], stop))?;
                    Ok(block)
                }),
            )
        };
        let source = Streamed::new(&self.file.place, self.file.rows, width, window, Box::new(open));
        self.notes.push(format!(
            "its {} rows are streamed: {} of them are in memory at a time",
            self.file.rows,
            window.min(self.file.rows)
        ));
        self.frame(&dictionaries, Arc::new(source))
    }

    /// Reads the columns of texts, and those of integers whose range the file does not say. Columns with too many texts are left
    /// out.
    fn find_texts(&mut self) -> Result<Vec<Dictionary>> {
        loop {
            let asked: Vec<usize> = (0..self.columns.len())
                .filter(|&at| matches!(self.columns[at].meaning, Meaning::Texts | Meaning::WideIntegers))
                .collect();
            let mut dictionaries = vec![Dictionary::default(); self.columns.len()];
            match self.read_asked(&asked, &mut dictionaries)? {
                Scan::Complete => {
                    for (dictionary, column) in dictionaries.iter_mut().zip(&mut self.columns) {
                        dictionary.is_complete = true;
                        if column.meaning == Meaning::WideIntegers {
                            column.meaning = Meaning::Numbers;
                        }
                    }
                    return Ok(dictionaries);
                }
                Scan::Wide(column) => self.read_as_texts(column),
                Scan::TooManyTexts(column) => {
                    let Column { name, .. } = self.columns.remove(column);
                    self.notes.push(format!(
                        "`{name}` is left out: it has more than {MOST_TEXTS} different texts, and the table is streamed"
                    ));
                    if self.columns.is_empty() {
                        return Err(Error::data(format!(
                            "{}: no column is left: `{name}` has more than {MOST_TEXTS} different texts",
                            self.file.place
                        ))
                        .hint("a larger `memory` reads the table without streaming it"));
                    }
                }
            }
        }
    }

    fn read_asked(&self, asked: &[usize], dictionaries: &mut [Dictionary]) -> Result<Scan> {
        if asked.is_empty() {
            return Ok(Scan::Complete);
        }
        let columns: Vec<Column> = asked.iter().map(|&at| self.columns[at].clone()).collect();
        let places: Vec<usize> = columns.iter().map(|column| column.place).collect();
        let mut found = vec![Dictionary::default(); asked.len()];
        let width: usize = columns.iter().map(Column::width).sum();
        let mut cells: Vec<f64> = Vec::new();
        for batch in self.file.batches(&places, (BATCH / width).clamp(64, 1 << 13))? {
            cells.clear();
            match append_rows(&mut cells, &batch?, &columns, &mut found) {
                Ok(()) => {}
                Err((column, Stop::Wide)) => return Ok(Scan::Wide(asked[column])),
                Err((column, stop)) => return Err(refusal(&self.file.place, &columns[column], stop)),
            }
            if let Some(column) = found.iter().position(|texts| texts.len() > MOST_TEXTS) {
                return Ok(Scan::TooManyTexts(asked[column]));
            }
        }
        for (&at, texts) in asked.iter().zip(found) {
            dictionaries[at] = texts;
        }
        Ok(Scan::Complete)
    }

    fn frame(self, dictionaries: &[Dictionary], cells: Arc<dyn Source>) -> Result<ReadFrame> {
        let columns: Vec<_> = self
            .columns
            .iter()
            .zip(dictionaries)
            .flat_map(|(column, texts)| column.frame_columns(texts))
            .collect();
        debug_assert!(
            columns.iter().all(|column| column.content != Content::Texts(Arc::default()) || cells.rows() > 0)
        );
        let frame = Frame::new(columns, cells).map_err(|error| error.at(&self.file.place))?;
        Ok(ReadFrame { frame, notes: self.notes })
    }
}

enum Loaded<T> {
    Table(Vec<T>, Vec<Dictionary>),
    /// The column that is to be read as texts.
    Wide(usize),
}

/// What was found where the columns of texts were read.
enum Scan {
    Complete,
    Wide(usize),
    TooManyTexts(usize),
}

/// The error for a column whose values cannot be cells.
fn refusal(place: &str, column: &Column, stop: Stop) -> Error {
    let what = match stop {
        Stop::Refused(what) => what,
        Stop::Wide => "whole numbers past 2^53, which its statistics deny".to_owned(),
    };
    Error::data(format!("{place}: column `{}`: {what}", column.name)).hint("leave it out with `drop`")
}

/// The columns that are read, in the order of the file.
fn kept(place: &str, names: &[&str], options: &FileOptions) -> Result<Vec<usize>> {
    let asked = options.columns.iter().flatten().chain(&options.drop);
    let unknown: Vec<&String> = asked.filter(|name| !names.contains(&name.as_str())).collect();
    if !unknown.is_empty() {
        let noun = if unknown.len() == 1 { "no column" } else { "no columns" };
        return Err(Error::data(format!("{place}: {noun} {}", listed(&unknown)))
            .hint(format!("its columns are {}", listed(names))));
    }
    let is_kept = |name: &str| {
        options.columns.as_ref().is_none_or(|columns| columns.iter().any(|column| column == name))
            && !options.drop.iter().any(|column| column == name)
    };
    let kept: Vec<usize> = (0..names.len()).filter(|&at| is_kept(names[at])).collect();
    if kept.is_empty() {
        let hint = if names.is_empty() { "the file has none" } else { "`columns` and `drop` leave none" };
        return Err(Error::data(format!("{place}: there are no columns")).hint(hint));
    }
    Ok(kept)
}

/// Finds the lengths of lists, which their type does not say.
fn find_lengths(file: &BatchFile, columns: &mut [Column]) -> Result<()> {
    /// Lists are looked for in this many rows at a time.
    const ROWS: usize = 64;
    for column in columns.iter_mut().filter(|column| column.length == Some(0)) {
        for batch in file.batches(&[column.place], ROWS)? {
            column.length = list_length(batch?.column(0));
            if column.length.is_some() {
                break;
            }
        }
        if column.length.is_none_or(|length| length == 0) {
            return Err(Error::data(format!("{}: column `{}` holds empty lists", file.place, column.name))
                .hint("leave it out with `drop`"));
        }
    }
    Ok(())
}
