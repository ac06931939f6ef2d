//! The text of a file: encoding, line ends, delimiter, records; and what a single cell is.

use csv::{ReaderBuilder, StringRecord};

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
        let delimiter = delimiter(&text);
        Ok(Self { place, text, delimiter })
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
        let start =
            record.position().map_or(0, |position| usize::try_from(position.byte()).unwrap_or(usize::MAX));
        let bytes = self.text.as_bytes();
        let blank = bytes.iter().skip(start).take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        1 + bytes.iter().take(start.saturating_add(blank)).filter(|&&byte| byte == b'\n').count()
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
    let mut shown = String::new();
    for character in text.chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}
