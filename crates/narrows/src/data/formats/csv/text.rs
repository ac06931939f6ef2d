//! The text of a file: encoding, line ends, delimiter, records; and what a single cell is.

use csv::{ReaderBuilder, StringRecord};

use crate::base::text::escaped;
use crate::error::{Error, Result};

/// The text of a file, checked, with its delimiter.
pub(super) struct Text<'a> {
    place: &'a str,
    text: String,
    delimiter: u8,
}

impl<'a> Text<'a> {
    pub fn new(place: &'a str, mut bytes: Vec<u8>) -> Result<Self> {
        if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
            return Err(Error::data(format!("{place}: the text is UTF-16")).hint("save it as UTF-8"));
        }
        if bytes.starts_with(b"\xef\xbb\xbf") {
            bytes.drain(..3);
        }
        if bytes.contains(&0) {
            return Err(has_nul_bytes(place, &bytes));
        }
        if let Some(kind) = other_kind(&bytes) {
            return Err(Error::data(format!("{place}: {kind}, not a table"))
                .hint("is it the file that was meant? A download may be a page about it"));
        }
        // Lines may end with carriage returns alone (classic Mac OS); line numbers count newlines.
        if !bytes.contains(&b'\n') {
            for byte in bytes.iter_mut().filter(|byte| **byte == b'\r') {
                *byte = b'\n';
            }
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let good = error.utf8_error().valid_up_to();
            let line = 1 + error.as_bytes().iter().take(good).filter(|&&byte| byte == b'\n').count();
            Error::data(format!("{place}: line {line}: not UTF-8 text")).hint("save it as UTF-8")
        })?;
        let text = Self { place, delimiter: delimiter(&text), text };
        text.check_quotes()?;
        Ok(text)
    }

    /// Refuses a quoted cell that never ends, and one that ends on a later line with text after its quote: a quote was left out, and
    /// the rows between would be one cell.
    fn check_quotes(&self) -> Result<()> {
        enum At {
            Start,
            Plain,
            /// Within quotes that opened on this line.
            Quoted(usize),
            /// Behind a quote that ends the cell, or is the first of two.
            Ended(usize),
        }
        if !self.text.contains('"') {
            return Ok(());
        }
        let hint = "close it; within a cell a quote is written twice";
        let (mut at, mut line) = (At::Start, 1);
        for byte in self.text.bytes() {
            at = match (at, byte) {
                (At::Quoted(opened), b'"') => At::Ended(opened),
                (At::Quoted(opened), _) | (At::Ended(opened), b'"') => At::Quoted(opened),
                (_, b'\n' | b'\r') => At::Start,
                (_, byte) if byte == self.delimiter => At::Start,
                (At::Start, b'"') => At::Quoted(line),
                (At::Ended(opened), _) if opened < line => {
                    let what = format!("line {opened}: a quote opens that ends within line {line}");
                    return Err(self.error(what).hint(hint));
                }
                (At::Start | At::Plain | At::Ended(_), _) => At::Plain,
            };
            line += usize::from(byte == b'\n');
        }
        match at {
            At::Quoted(opened) => {
                Err(self.error(format_args!("line {opened}: a quote opens that does not close")).hint(hint))
            }
            At::Start | At::Plain | At::Ended(_) => Ok(()),
        }
    }

    /// All records; blank lines are skipped.
    pub fn records(&self) -> impl Iterator<Item = StringRecord> {
        // Reading UTF-8 text from memory, with lines of any length allowed, cannot fail.
        ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(self.delimiter)
            .from_reader(self.text.as_bytes())
            .into_records()
            .map_while(std::result::Result::ok)
    }

    /// No fewer than the fields of all records.
    pub fn most_fields(&self) -> usize {
        let ends = |&&byte: &&u8| byte == self.delimiter || byte == b'\n' || byte == b'\r';
        self.text.as_bytes().iter().filter(ends).count() + 1
    }

    /// The line of the file on which a record begins. The position of the reader is before the blank lines in front of it.
    pub fn line(&self, record: &StringRecord) -> usize {
        let start = start(record);
        let bytes = self.text.as_bytes();
        let blank = bytes.iter().skip(start).take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        self.line_at(start.saturating_add(blank))
    }

    /// The line of a byte.
    fn line_at(&self, at: usize) -> usize {
        1 + self.text.bytes().take(at).filter(|&byte| byte == b'\n').count()
    }

    /// The first of the blank lines in front of a record.
    pub fn blank_line_before(&self, record: &StringRecord) -> Option<usize> {
        let bytes = self.text.as_bytes();
        let mut at = start(record);
        // The record before ends with the first byte of `\r\n`.
        if at > 0 && bytes.get(at - 1..=at) == Some(b"\r\n") {
            at += 1;
        }
        matches!(bytes.get(at), Some(b'\r' | b'\n')).then(|| self.line_at(at))
    }

    /// The byte between cells.
    pub fn delimiter(&self) -> u8 {
        self.delimiter
    }

    /// An error about this file.
    pub fn error(&self, message: impl std::fmt::Display) -> Error {
        Error::data(format!("{}: {message}", self.place))
    }

    /// Adds the file to an error.
    pub fn at(&self, error: Error) -> Error {
        error.at(self.place)
    }
}

/// The first byte of a record, or of the blank lines in front of it.
fn start(record: &StringRecord) -> usize {
    record.position().map_or(0, |position| usize::try_from(position.byte()).unwrap_or(usize::MAX))
}

/// The error for NUL bytes: Latin letters in UTF-16 have one each, other text has none.
fn has_nul_bytes(place: &str, bytes: &[u8]) -> Error {
    let nuls = bytes.iter().filter(|&&byte| byte == 0).count();
    if bytes.len() >= 4 && nuls.abs_diff(bytes.len() / 2) <= bytes.len() / 8 {
        Error::data(format!("{place}: the text is UTF-16")).hint("save it as UTF-8")
    } else {
        Error::data(format!("{place}: has NUL bytes: it is no text"))
            .hint("it may be damaged, or a binary file under another name")
    }
}

/// What a file of text is that is no table.
fn other_kind(bytes: &[u8]) -> Option<&'static str> {
    let text = bytes.trim_ascii_start();
    let begins =
        |tag: &str| text.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag.as_bytes()));
    if ["<!doctype html", "<html", "<head", "<body"].iter().any(|tag| begins(tag)) {
        return Some("an HTML page");
    }
    if begins("<?xml") || begins("<!doctype") {
        return Some("an XML document");
    }
    (matches!(text.first(), Some(b'{' | b'[')) && is_json(text)).then_some("JSON")
}

/// Whether a text consists of JSON values, of which the last may be cut short.
fn is_json(text: &[u8]) -> bool {
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<serde::de::IgnoredAny>();
    values.all(|value| value.map_or_else(|error| error.is_eof(), |_| true))
}

/// The delimiter that occurs most often in the first line, outside quotes; the first of equals.
fn delimiter(text: &str) -> u8 {
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0)];
    let mut quoted = false;
    for byte in text.trim_start_matches(['\r', '\n']).bytes() {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' | b'\r' if !quoted => break,
            _ if !quoted => counts
                .iter_mut()
                .filter(|(delimiter, _)| *delimiter == byte)
                .for_each(|(_, count)| *count += 1),
            _ => {}
        }
    }
    // `max_by_key` returns the last of equals.
    counts.iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |&(delimiter, _)| delimiter)
}

/// Whether a cell is empty or one of the usual marks of a missing value.
pub(super) fn is_missing(cell: &str) -> bool {
    let cell = cell.trim();
    ["", "na", "n/a", "nan", "null", "none", "?", "."].iter().any(|mark| cell.eq_ignore_ascii_case(mark))
}

/// Whether a cell is a number, which may be infinite.
pub(super) fn is_number(cell: &str) -> bool {
    cell.trim().parse::<f64>().is_ok_and(|value| !value.is_nan())
}

/// The number of fields of a record, in words.
pub(super) fn fields(record: &StringRecord) -> String {
    if record.len() == 1 { "1 field".into() } else { format!("{} fields", record.len()) }
}

/// A cell for an error message: at most 40 characters, control characters escaped.
pub(super) fn shortened(cell: &str) -> String {
    let mut text: String = cell.chars().take(40).collect();
    if text.len() < cell.len() {
        text.push_str("...");
    }
    escaped(&text).into_owned()
}
