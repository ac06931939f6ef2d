//! The text of a file: encoding, line ends, delimiter, comments, records.

use std::borrow::Cow;

use crate::base::memory;
use crate::data::formats::cell::{Written, is_missing, is_number};
use crate::error::{Error, Result};

/// The text of a file, decoded, with what separates its cells.
pub(super) struct Text<'a> {
    place: &'a str,
    text: String,
    delimiter: Delimiter,
    /// The byte and the line at which the table begins.
    start: (usize, usize),
    /// Whether lines that begin with `#` are comments.
    has_comments: bool,
    /// What was done to the text to read it.
    pub notes: Vec<String>,
}

/// What separates the cells of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delimiter {
    Byte(u8),
    /// Any number of spaces and tabs.
    Spaces,
}

impl<'a> Text<'a> {
    pub fn new(place: &'a str, bytes: Vec<u8>) -> Result<Self> {
        let mut notes = Vec::new();
        let text = decode(place, bytes, &mut notes)?;
        if let Some(kind) = other_kind(text.as_bytes()) {
            return Err(Error::data(format!("{place}: {kind}, not a table"))
                .hint("is it the file that was meant? A download may be a page about it"));
        }
        let mut text =
            Self { place, delimiter: Delimiter::Byte(b','), start: (0, 1), has_comments: false, text, notes };
        if let Some((delimiter, length)) = announced_delimiter(&text.text) {
            (text.delimiter, text.start) = (Delimiter::Byte(delimiter), (length, 2));
        } else {
            // Comments are no help in finding the delimiter; whether there are any is only known when it is found.
            text.has_comments = true;
            text.delimiter = text.find_delimiter();
        }
        text.has_comments = text.find_comments()?;
        Ok(text)
    }

    /// All records; blank lines are skipped, or are records of one empty cell where `blank` is set.
    pub fn records(&self, blank: bool) -> Records<'_> {
        self.records_by(self.delimiter, self.has_comments, blank)
    }

    fn records_by(&self, delimiter: Delimiter, has_comments: bool, blank: bool) -> Records<'_> {
        let mut ends = [false; 256];
        for end in [b'\n', b'\r'] {
            ends[usize::from(end)] = true;
        }
        let between: &[u8] = match &delimiter {
            Delimiter::Byte(byte) => std::slice::from_ref(byte),
            Delimiter::Spaces => b" \t",
        };
        for &byte in between {
            ends[usize::from(byte)] = true;
        }
        let (at, line) = self.start;
        Records {
            text: &self.text,
            at,
            line,
            delimiter,
            ends: Box::new(ends),
            has_comments,
            blank,
            fault: None,
        }
    }

    /// No fewer than the cells of all records of `width` cells.
    pub fn most_cells(&self, width: usize) -> usize {
        let bytes = self.text.as_bytes();
        let lines = 1 + bytes.iter().filter(|&&byte| byte == b'\n' || byte == b'\r').count();
        let between = match self.delimiter {
            Delimiter::Byte(delimiter) => bytes.iter().filter(|&&byte| byte == delimiter).count(),
            Delimiter::Spaces => bytes.iter().filter(|&&byte| byte == b' ' || byte == b'\t').count(),
        };
        lines.saturating_mul(width).min(lines.saturating_add(between))
    }

    pub fn delimiter(&self) -> Delimiter {
        self.delimiter
    }

    /// An error about this file.
    pub fn error(&self, message: impl std::fmt::Display) -> Error {
        Error::data(format!("{}: {message}", self.place))
    }

    /// The error for a quote that is not closed.
    pub fn unclosed(&self, fault: Fault) -> Error {
        let what = match fault {
            Fault::Open(line) => format!("line {line}: a quote opens that does not close"),
            Fault::Within(line, end) => format!("line {line}: a quote opens that ends within line {end}"),
        };
        self.error(what).hint("close it; within a cell a quote is written twice")
    }

    /// Adds the file to an error.
    pub fn at(&self, error: Error) -> Error {
        error.at(self.place)
    }

    /// The cells of the last comment in front of the first record, if they may be the names of `width` columns.
    pub fn comment_names(&self, first_line: usize, width: usize) -> Option<Vec<String>> {
        if !self.has_comments || width < 2 {
            return None;
        }
        let before = self.text.get(self.start.0..)?.split(['\n', '\r']).take(first_line - self.start.1);
        let comment = before.filter(|line| line.starts_with('#')).last()?;
        let comment = comment.trim_start_matches('#').trim();
        let line = Self { text: comment.to_owned(), start: (0, 1), notes: Vec::new(), ..*self };
        let mut record = Record::default();
        line.records(false).next(&mut record).ok()?;
        let names: Vec<String> = record.cells.iter().map(|cell| cell.text().trim().to_owned()).collect();
        let are_names = names.iter().all(|name| !is_missing(name) && !is_number(name));
        let mut sorted = names.clone();
        sorted.sort_unstable();
        sorted.dedup();
        (are_names && names.len() == width && sorted.len() == width).then_some(names)
    }

    /// The delimiter that makes the first lines a table: the same number of cells in each, of which most are numbers. Where none
    /// does, the one that is most frequent in the first line.
    fn find_delimiter(&self) -> Delimiter {
        let bytes = [b',', b';', b'\t', b'|'].map(Delimiter::Byte);
        let mut best = (0.0, None);
        for delimiter in bytes.into_iter().chain([Delimiter::Spaces]) {
            let score = self.score(delimiter);
            // The first of equals.
            if score > best.0 {
                best = (score, Some(delimiter));
            }
        }
        if let Some(delimiter) = best.1 {
            return delimiter;
        }
        let first = self.text.trim_start_matches(['\r', '\n']);
        let first = first.split(['\r', '\n']).next().unwrap_or_default();
        let count = |delimiter: &u8| first.bytes().filter(|byte| byte == delimiter).count();
        // `max_by_key` returns the last of equals.
        let delimiter = [b'|', b'\t', b';', b','].into_iter().max_by_key(count).unwrap_or(b',');
        Delimiter::Byte(delimiter)
    }

    /// How well a delimiter fits the first lines: 0 where it does not.
    fn score(&self, delimiter: Delimiter) -> f64 {
        const RECORDS: usize = 100;
        const BYTES: usize = 1 << 20;
        let mut records = self.records_by(delimiter, true, false);
        let mut record = Record::default();
        let (mut widths, mut numbers, mut cells) = (Vec::new(), 0, 0);
        let mut all_numbers: Option<Vec<bool>> = None;
        let mut is_quoted = false;
        while widths.len() < RECORDS && (widths.len() < 3 || records.at < BYTES) {
            if !matches!(records.next(&mut record), Ok(true)) {
                break;
            }
            if widths.is_empty() {
                is_quoted = record.cells.iter().all(|cell| cell.kind != Kind::Plain);
            }
            widths.push(record.cells.len());
            let is_value = |cell: &Field<'_>| {
                let text = cell.text();
                is_missing(&text) || is_number(&text) || Written::of(&text).is_some()
            };
            let values: Vec<bool> = record.cells.iter().map(is_value).collect();
            numbers += values.iter().filter(|&&is_value| is_value).count();
            cells += values.len();
            if widths.len() > 1 || all_numbers.is_none() {
                match &mut all_numbers {
                    // The first line may be a header.
                    Some(all) if widths.len() > 2 => {
                        all.iter_mut().zip(values).for_each(|(all, value)| *all &= value);
                    }
                    all => *all = Some(values),
                }
            }
        }
        let Some(&width) = widths.get(1).or(widths.first()) else { return 0.0 };
        // The most frequent width: that of the rows, not of a header or a title in front of them.
        let count = |width: usize| widths.iter().filter(|&&other| other == width).count();
        let width = widths.iter().copied().max_by_key(|&width| count(width)).unwrap_or(width);
        if width < 2 {
            return 0.0;
        }
        let share = count(width) as f64 / widths.len() as f64;
        let fit = share * (0.5 + numbers as f64 / cells.max(1) as f64);
        if delimiter != Delimiter::Spaces {
            return fit;
        }
        // Spaces are in texts too: they separate columns only where all lines say so, and one column at least is numbers. R leaves
        // the name of the column of row names out.
        let one_less = widths[0] + 1 == width && (width > 2 || is_quoted);
        let agree = widths[1..].iter().all(|&other| other == width) && (widths[0] == width || one_less);
        let has_numbers = all_numbers.is_some_and(|all| all.contains(&true));
        if agree && has_numbers { 0.9 * fit } else { 0.0 }
    }

    /// Whether lines that begin with `#` are comments: the other lines are a table without them. Such lines that would fit into the
    /// table as well are refused.
    fn find_comments(&self) -> Result<bool> {
        let bytes = self.text.as_bytes();
        let begins = |at: usize| at == 0 || matches!(bytes[at - 1], b'\n' | b'\r');
        if !self.text.match_indices('#').any(|(at, _)| begins(at)) {
            return Ok(false);
        }
        let mut record = Record::default();
        let mut without = self.records_by(self.delimiter, true, false);
        // The first record may be a header, of another length than the rows.
        let (mut count, mut first, mut width, mut is_table) = (0, (0, 0), 0, true);
        while matches!(without.next(&mut record), Ok(true)) {
            count += 1;
            match count {
                1 => first = (record.line, record.cells.len()),
                2 => width = record.cells.len(),
                _ => is_table &= width == record.cells.len(),
            }
        }
        if count < 2 {
            width = first.1;
        }
        is_table &= first.1.abs_diff(width) <= 1;
        let mut with = self.records_by(self.delimiter, false, false);
        let (mut alike, mut has_others, mut are_spaced) = (None, false, true);
        while matches!(with.next(&mut record), Ok(true)) {
            let Some(Field { raw, kind: Kind::Plain }) = record.cells.first() else { continue };
            if !raw.starts_with('#') || record.line < first.0 {
                continue;
            }
            are_spaced &= raw.starts_with("# ") || raw.starts_with("##");
            if record.cells.len() == width {
                alike.get_or_insert(record.line);
            } else {
                has_others = true;
            }
        }
        match alike {
            // All lines are marked: the mark is part of the first cell, or nothing but comments is there.
            _ if count == 0 => Ok(are_spaced),
            None => Ok(true),
            // A line of another length says that there are comments.
            Some(_) if has_others => Ok(true),
            // Only a header would remain.
            Some(_) if count == 1 || !is_table => Ok(false),
            Some(_) if width == 1 && are_spaced => Ok(true),
            Some(line) => Err(self
                .error(format_args!("line {line}: begins with `#`, but has as many cells as a row: it may be a comment or a row"))
                .hint("remove the line, or put the cell in quotes")),
        }
    }
}

/// A row of a text, or its header.
#[derive(Debug, Clone, Default)]
pub(super) struct Record<'t> {
    /// The line on which it begins.
    pub line: usize,
    pub cells: Vec<Field<'t>>,
    /// Whether it is a blank line.
    pub is_blank: bool,
}

/// A cell as it stands in the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'t> {
    pub raw: &'t str,
    pub kind: Kind,
}

/// How a cell is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    /// The text is what stands between the quotes.
    Quoted,
    /// So, with quotes that are written twice.
    Doubled,
    /// Text follows the quote that ends the cell: `"a"b`. The text contains the quotes.
    Irregular,
}

impl<'t> Field<'t> {
    /// The text of the cell.
    pub fn text(&self) -> Cow<'t, str> {
        match self.kind {
            Kind::Plain | Kind::Quoted => self.raw.into(),
            Kind::Doubled => self.raw.replace("\"\"", "\"").into(),
            Kind::Irregular => {
                let mut out = String::with_capacity(self.raw.len());
                let mut rest = &self.raw[1..];
                while let Some(at) = rest.find('"') {
                    out.push_str(&rest[..at]);
                    rest = &rest[at + 1..];
                    if !rest.starts_with('"') {
                        break;
                    }
                    out.push('"');
                    rest = &rest[1..];
                }
                out.push_str(rest);
                out.into()
            }
        }
    }
}

/// A quote that is not closed where it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// One that opens on this line never closes.
    Open(usize),
    /// One that opens on the first line closes within the second one.
    Within(usize, usize),
}

/// The records of a text, one after the other.
pub(super) struct Records<'t> {
    text: &'t str,
    at: usize,
    line: usize,
    delimiter: Delimiter,
    /// The bytes that end a cell.
    ends: Box<[bool; 256]>,
    has_comments: bool,
    blank: bool,
    fault: Option<Fault>,
}

impl<'t> Records<'t> {
    /// Reads the next record; false at the end.
    pub fn next(&mut self, record: &mut Record<'t>) -> std::result::Result<bool, Fault> {
        let bytes = self.text.as_bytes();
        record.cells.clear();
        record.is_blank = false;
        loop {
            match bytes.get(self.at) {
                None => return Ok(false),
                Some(b'\r' | b'\n') => {
                    record.line = self.line;
                    self.end_line();
                    if self.blank {
                        record.is_blank = true;
                        record.cells.push(Field { raw: "", kind: Kind::Plain });
                        return Ok(true);
                    }
                }
                Some(b'#') if self.has_comments => {
                    self.at += bytes[self.at..]
                        .iter()
                        .position(|byte| matches!(byte, b'\r' | b'\n'))
                        .unwrap_or(bytes.len() - self.at);
                    self.end_line();
                }
                // A line of nothing but spaces is blank.
                Some(b' ' | b'\t') if self.delimiter == Delimiter::Spaces || bytes[self.at] == b' ' => {
                    let is_space =
                        |byte: &u8| *byte == b' ' || (*byte == b'\t' && self.delimiter == Delimiter::Spaces);
                    let spaces = bytes[self.at..].iter().take_while(|byte| is_space(byte)).count();
                    match bytes.get(self.at + spaces) {
                        None | Some(b'\r' | b'\n') => self.at += spaces,
                        Some(_) if self.delimiter == Delimiter::Spaces => {
                            self.at += spaces;
                            break;
                        }
                        Some(_) => break,
                    }
                }
                Some(_) => break,
            }
        }
        record.line = self.line;
        loop {
            let field = if bytes.get(self.at) == Some(&b'"') { self.quoted() } else { self.plain() };
            record.cells.push(field);
            if let Some(fault) = self.fault {
                return Err(fault);
            }
            match bytes.get(self.at) {
                None => return Ok(true),
                Some(b'\r' | b'\n') => {
                    self.end_line();
                    return Ok(true);
                }
                Some(_) if self.delimiter == Delimiter::Spaces => {
                    while matches!(bytes.get(self.at), Some(b' ' | b'\t')) {
                        self.at += 1;
                    }
                    if matches!(bytes.get(self.at), None | Some(b'\r' | b'\n')) {
                        self.end_line();
                        return Ok(true);
                    }
                }
                Some(_) => self.at += 1,
            }
        }
    }

    #[inline]
    fn plain(&mut self) -> Field<'t> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let length = bytes[start..].iter().position(|&byte| self.ends[usize::from(byte)]);
        self.at = length.map_or(bytes.len(), |length| start + length);
        Field { raw: &self.text[start..self.at], kind: Kind::Plain }
    }

    fn quoted(&mut self) -> Field<'t> {
        let bytes = self.text.as_bytes();
        let (start, opened) = (self.at, self.line);
        let (mut at, mut kind) = (start + 1, Kind::Quoted);
        loop {
            let Some(quote) = self.text[at..].find('"') else {
                self.at = bytes.len();
                self.fault = Some(Fault::Open(opened));
                return Field { raw: &self.text[start + 1..], kind: Kind::Plain };
            };
            at += quote + 1;
            if bytes.get(at) != Some(&b'"') {
                break;
            }
            (at, kind) = (at + 1, Kind::Doubled);
        }
        self.line += lines(&bytes[start..at]);
        self.at = at;
        if bytes.get(at).is_none_or(|&byte| self.ends[usize::from(byte)]) {
            return Field { raw: &self.text[start + 1..at - 1], kind };
        }
        // Text up to the end of the cell.
        self.plain();
        if self.line > opened {
            self.fault = Some(Fault::Within(opened, self.line));
        }
        Field { raw: &self.text[start..self.at], kind: Kind::Irregular }
    }

    /// Steps over the end of a line, if one is here.
    #[inline]
    fn end_line(&mut self) {
        let bytes = self.text.as_bytes();
        match bytes.get(self.at) {
            Some(b'\r') if bytes.get(self.at + 1) == Some(&b'\n') => self.at += 2,
            Some(_) => self.at += 1,
            None => return,
        }
        self.line += 1;
    }
}

/// The ends of lines: `\n`, `\r\n`, and `\r` alone (classic Mac OS).
fn lines(bytes: &[u8]) -> usize {
    let ends = |(at, byte): (usize, &u8)| match byte {
        b'\n' => true,
        b'\r' => bytes.get(at + 1) != Some(&b'\n'),
        _ => false,
    };
    bytes.iter().enumerate().filter(|&end| ends(end)).count()
}

/// The delimiter that spreadsheets name in a first line `sep=;`, and the bytes of this line.
fn announced_delimiter(text: &str) -> Option<(u8, usize)> {
    let line = text.split(['\r', '\n']).next()?;
    let &[delimiter] = line.trim_matches('"').strip_prefix("sep=")?.as_bytes() else { return None };
    if !matches!(delimiter, b',' | b';' | b'\t' | b'|') {
        return None;
    }
    let end = if text[line.len()..].starts_with("\r\n") { 2 } else { 1 };
    Some((delimiter, (line.len() + end).min(text.len())))
}

/// The text of bytes: UTF-8, UTF-16 with a mark, or Windows-1252, which contains Latin-1.
fn decode(place: &str, mut bytes: Vec<u8>, notes: &mut Vec<String>) -> Result<String> {
    if let Some(units) = bytes.strip_prefix(b"\xff\xfe") {
        return decode_utf16(place, units, u16::from_le_bytes);
    }
    if let Some(units) = bytes.strip_prefix(b"\xfe\xff") {
        return decode_utf16(place, units, u16::from_be_bytes);
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    if bytes.contains(&0) {
        return Err(has_nul_bytes(place, &bytes));
    }
    let error = match String::from_utf8(bytes) {
        Ok(text) => return Ok(text),
        Err(error) => error,
    };
    let good = error.utf8_error().valid_up_to();
    let bytes = error.into_bytes();
    let line = 1 + lines(&bytes[..good]);
    // Letters of these code pages are above 0x9f, their punctuation above 0x7f; other control characters are no text.
    let is_text = |&byte: &u8| match byte {
        0..0x20 => matches!(byte, b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | 0x1a),
        _ => windows_1252(byte).is_some(),
    };
    if !bytes.iter().all(is_text) {
        return Err(Error::data(format!("{place}: line {line}: neither UTF-8 nor Windows-1252 text"))
            .hint("save it as UTF-8; it may also be damaged, or a binary file under another name"));
    }
    let size = bytes.iter().map(|&byte| if byte < 0x80 { 1 } else { 3 }).sum();
    memory::require(size, 1, format_args!("{place}: its text as UTF-8"))?;
    let mut text = String::with_capacity(size);
    text.extend(bytes.iter().filter_map(|&byte| windows_1252(byte)));
    notes.push(format!("line {line} is not UTF-8: the file is read as Windows-1252 (Latin-1)"));
    Ok(text)
}

/// The character of a byte; five bytes have none.
fn windows_1252(byte: u8) -> Option<char> {
    const HIGH: [char; 32] = [
        '€', '\0', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\0', 'Ž', '\0', '\0', '‘', '’',
        '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\0', 'ž', 'Ÿ',
    ];
    match byte {
        0x80..=0x9f => Some(HIGH[usize::from(byte - 0x80)]).filter(|&c| c != '\0'),
        _ => Some(char::from(byte)),
    }
}

fn decode_utf16(place: &str, bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    // At most three bytes of UTF-8 for two of UTF-16.
    memory::require(bytes.len() / 2 * 3, 1, format_args!("{place}: its text as UTF-8"))?;
    let mut text = String::with_capacity(bytes.len() / 2);
    for unit in char::decode_utf16(pairs.iter().map(|&pair| unit(pair))) {
        match unit {
            Ok('\0') => {
                return Err(Error::data(format!("{place}: has NUL characters: it is no text")).hint(DAMAGED));
            }
            Ok(c) => text.push(c),
            Err(_) => {
                let line = 1 + lines(text.as_bytes());
                return Err(
                    Error::data(format!("{place}: line {line}: not UTF-16, as its mark says")).hint(DAMAGED)
                );
            }
        }
    }
    if !rest.is_empty() {
        return Err(Error::data(format!("{place}: ends within a character of UTF-16")).hint(DAMAGED));
    }
    Ok(text)
}

const DAMAGED: &str = "it may be damaged, or a binary file under another name";

/// The error for NUL bytes: Latin letters in UTF-16 have one each, other text has none.
fn has_nul_bytes(place: &str, bytes: &[u8]) -> Error {
    let nuls = bytes.iter().filter(|&&byte| byte == 0).count();
    if bytes.len() >= 4 && nuls.abs_diff(bytes.len() / 2) <= bytes.len() / 8 {
        Error::data(format!("{place}: the text is UTF-16 without a mark at its begin"))
            .hint("save it as UTF-8")
    } else {
        Error::data(format!("{place}: has NUL bytes: it is no text")).hint(DAMAGED)
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

/// The number of cells of a record, in words.
pub(super) fn fields(record: &Record<'_>) -> String {
    if record.cells.len() == 1 { "1 field".into() } else { format!("{} fields", record.cells.len()) }
}
