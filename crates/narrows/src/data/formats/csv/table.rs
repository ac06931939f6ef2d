//! The cells of the rows: numbers, row after row, and what stands for texts among them.

use std::collections::VecDeque;

use super::header::Header;
use super::text::{Delimiter, Field, Kind, Record, Text, fields};
use crate::base::memory;
use crate::data::Content;
use crate::data::formats::TextOptions;
use crate::data::formats::cell::{Cell, is_number};
use crate::data::formats::tally::{File, Second, Tally};
use crate::error::{Error, ErrorKind, Result};

/// The cells of a text.
pub(super) struct Cells {
    /// Row after row.
    pub values: Vec<f64>,
    pub contents: Vec<Content>,
    pub tallies: Vec<Tally>,
}

/// Reads the cells of all rows.
pub(super) fn read_cells(
    text: &Text,
    header: &Header,
    options: TextOptions<'_>,
    notes: &mut Vec<String>,
) -> Result<Cells> {
    let width = header.width;
    let (mut values, mut tallies) = (Vec::new(), vec![Tally::default(); width]);
    // Each cell ends with a delimiter or a line, so there are no more numbers than these.
    let most = text.most_cells(width);
    memory::require(most.saturating_mul(size_of::<f64>()), 1, "its table").map_err(|error| text.at(error))?;
    values
        .try_reserve_exact(most)
        .map_err(|_| text.at(Error::new(ErrorKind::Resources, format!("no memory for {most} numbers"))))?;
    let mut rows = Rows::new(text, header);
    while let Some(record) = rows.next()? {
        for (column, field) in record.cells[..width].iter().enumerate() {
            let value = if matches!(field.kind, Kind::Plain | Kind::Quoted) {
                Cell::of(field.raw)
            } else {
                Cell::of(&field.text())
            };
            values.push(match value {
                Cell::Number(value) => value,
                other => {
                    if other == Cell::Text {
                        rows.check_repeated_header(&record)?;
                    }
                    tallies[column].note(record.line, other, &field.text(), false)
                }
            });
        }
        rows.record = record;
    }
    if rows.blank > 0 {
        notes.push(match rows.blank {
            1 => "a blank line is a missing value".to_owned(),
            more => format!("{more} blank lines are missing values"),
        });
    }
    let file = File {
        rows: values.len() / width.max(1),
        has_commas_between: text.delimiter() == Delimiter::Byte(b','),
        name: &|column| header.name(column),
        is_text: &|column| {
            let number = column + 1;
            options.texts.iter().any(|text| header.name(column) == Some(text) || text.parse() == Ok(number))
        },
    };
    let mut second = Second::new(&file, &tallies, &values, notes).map_err(|error| text.at(error))?;
    if !second.again.is_empty() {
        let again = std::mem::take(&mut second.again);
        let mut rows = Rows::new(text, header);
        let mut lines = values.chunks_exact_mut(width);
        while let Some(record) = rows.next()?
            && let Some(values) = lines.next()
        {
            for &column in &again {
                let cell = record.cells[column].text();
                values[column] = second
                    .value(record.line, column, cell, values[column])
                    .map_err(|error| text.at(error))?;
            }
            rows.record = record;
        }
    }
    let contents = second.contents().map_err(|error| text.at(error))?;
    Ok(Cells { values, contents, tallies })
}

/// The rows of a text, each with as many cells as there are columns, and the empty ones behind them.
struct Rows<'t> {
    text: &'t Text<'t>,
    header: &'t Header,
    records: super::text::Records<'t>,
    /// The record that is read next, for its memory.
    record: Record<'t>,
    names: Option<Record<'t>>,
    /// Whether nothing was read yet.
    is_start: bool,
    /// Blank lines since the last row, which are missing values if another row follows.
    waiting: VecDeque<usize>,
    /// A row that follows blank lines.
    held: Option<Record<'t>>,
    /// Blank lines that are missing values.
    blank: usize,
}

impl<'t> Rows<'t> {
    fn new(text: &'t Text<'t>, header: &'t Header) -> Self {
        let mut records = text.records(header.width == 1);
        let mut names = None;
        if header.skip {
            let mut record = Record::default();
            // It was read before, and so without a fault; blank lines in front of it are none.
            while matches!(records.next(&mut record), Ok(true)) && record.is_blank {}
            names = Some(record);
        }
        Self {
            text,
            header,
            records,
            record: Record::default(),
            is_start: names.is_none(),
            names,
            waiting: VecDeque::new(),
            held: None,
            blank: 0,
        }
    }

    /// The next row. It comes back as `record` for its memory to be used again.
    #[inline]
    fn next(&mut self) -> Result<Option<Record<'t>>> {
        let mut record = std::mem::take(&mut self.record);
        if self.held.is_some() {
            return Ok(self.after_blank(record));
        }
        loop {
            if !self.records.next(&mut record).map_err(|fault| self.text.unclosed(fault))? {
                return Ok(None);
            }
            if !record.is_blank {
                break;
            }
            self.waiting.push_back(record.line);
        }
        self.check_width(&record)?;
        if self.waiting.is_empty() {
            self.is_start = false;
            return Ok(Some(record));
        }
        // Blank lines in front of the first line are none.
        if std::mem::take(&mut self.is_start) {
            self.waiting.clear();
        }
        self.held = Some(record);
        Ok(self.after_blank(Record::default()))
    }

    fn after_blank(&mut self, mut record: Record<'t>) -> Option<Record<'t>> {
        let Some(line) = self.waiting.pop_front() else { return self.held.take() };
        self.blank += 1;
        record.line = line;
        record.is_blank = true;
        record.cells.clear();
        record.cells.push(Field { raw: "", kind: Kind::Plain });
        Some(record)
    }

    fn check_width(&self, record: &Record<'_>) -> Result<()> {
        let Header { width, empty, .. } = *self.header;
        if record.cells.len() == width + empty {
            return Ok(());
        }
        let expected = if self.header.skip { "the header" } else { "the first row" };
        Err(self
            .text
            .error(format_args!("line {}: {}, {expected} has {}", record.line, fields(record), width + empty))
            .hint("each line must have one field per column; is a cell with the delimiter in it quoted?"))
    }

    /// Refuses a row that is the header once more: files that were written one behind the other.
    #[cold]
    fn check_repeated_header(&self, record: &Record<'_>) -> Result<()> {
        let Some(names) = &self.names else { return Ok(()) };
        let is_same = names.cells.len() == record.cells.len()
            && names.cells.len() > 1
            && names.cells.iter().zip(&record.cells).all(|(a, b)| a.text().trim() == b.text().trim())
            && !names.cells.iter().any(|cell| is_number(&cell.text()));
        if !is_same {
            return Ok(());
        }
        Err(self
            .text
            .error(format_args!("line {}: the header stands here once more", record.line))
            .hint("remove the line, if two files were joined"))
    }
}
