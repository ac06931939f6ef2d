//! The cells of the rows: numbers and labels, and the errors for cells that are neither.

use csv::StringRecord;

use super::columns::Columns;
use super::header::Header;
use super::text::{Text, fields, is_missing, is_number, shortened};
use crate::base::memory;
use crate::data::formats::number::INEXACT;
use crate::error::{Error, ErrorKind, Result};

/// Reads the numbers of the data columns, row after row, and the cells of the label column.
pub(super) fn read_cells(text: &Text, header: &Header, columns: &Columns) -> Result<(Vec<f64>, Vec<String>)> {
    let file = CsvFile { text, header, columns };
    // Each field ends with a delimiter or a line, so there are no more numbers than these.
    let most = text.most_fields();
    // A label is text of its own.
    let labels =
        if columns.label.is_some() { most / header.width.max(1) * 2 * size_of::<String>() } else { 0 };
    let bytes = most.saturating_mul(size_of::<f64>()).saturating_add(labels);
    memory::require(bytes, 1, "its table").map_err(|error| text.at(error))?;
    let (mut values, mut classes) = (Vec::new(), Vec::new());
    values
        .try_reserve_exact(most)
        .map_err(|_| text.at(Error::new(ErrorKind::Resources, format!("no memory for {most} numbers"))))?;
    for record in header.rows(text) {
        file.check_width(&record)?;
        if header.width == 1
            && let Some(line) = text.blank_line_before(&record)
        {
            return Err(text
                .error(format_args!("line {line}: a blank line, which in one column is a missing value"))
                .hint("remove or fill such rows first"));
        }
        for (column, cell) in record.iter().enumerate() {
            if Some(column) == columns.label {
                if is_missing(cell) {
                    return Err(file
                        .error_at(&record, column, "the label is missing")
                        .hint("remove or fill such rows first"));
                }
                classes.push(cell.trim().to_owned());
            } else if columns.is_data(column) {
                match cell.trim().parse::<f64>() {
                    Ok(value) if value.abs() >= INEXACT && is_rounded(cell.trim(), value) => {
                        return Err(file.inexact(&record, column));
                    }
                    Ok(value) if value.is_finite() => values.push(value),
                    _ => return Err(file.not_a_number(&record, column)),
                }
            }
        }
    }
    Ok((values, classes))
}

/// A file with all that its first line says, for error messages.
struct CsvFile<'a> {
    text: &'a Text<'a>,
    header: &'a Header,
    columns: &'a Columns,
}

impl CsvFile<'_> {
    fn check_width(&self, record: &StringRecord) -> Result<()> {
        let width = self.header.width;
        if record.len() == width {
            return Ok(());
        }
        let expected = if self.header.names.is_some() { "the header" } else { "the first row" };
        let line = self.text.line(record);
        Err(self
            .text
            .error(format_args!("line {line}: {}, {expected} has {width}", fields(record)))
            .hint("each line must have one field per column; is a cell with the delimiter in it quoted?"))
    }

    /// An error about a cell.
    fn error_at(&self, record: &StringRecord, column: usize, what: &str) -> Error {
        let line = self.text.line(record);
        match self.header.name(column).filter(|name| !name.is_empty()) {
            Some(name) => self.text.error(format_args!("line {line}, column `{}`: {what}", shortened(name))),
            None => self.text.error(format_args!("line {line}, column {}: {what}", column + 1)),
        }
    }

    /// The error for a cell of a data column that is not a finite number.
    fn not_a_number(&self, record: &StringRecord, column: usize) -> Error {
        let cell = record.get(column).unwrap_or_default().trim();
        let what = if cell.is_empty() && self.is_empty_column(column) {
            let hint = if column + 1 == self.header.width {
                "leave out the column, or the delimiter at the end of each line"
            } else {
                "leave out the column"
            };
            return self.error_at(record, column, "all values are missing").hint(hint);
        } else if cell.is_empty() {
            "the value is missing".to_owned()
        } else if is_missing(cell) {
            format!("`{cell}` is a missing value")
        } else if is_number(cell) {
            format!("`{}` is not a finite number", shortened(cell))
        } else {
            let error = self.error_at(record, column, &format!("`{}` is not a number", shortened(cell)));
            return error.hint(self.hint_for_text(cell, column));
        };
        self.error_at(record, column, &what).hint("remove or fill such rows first")
    }

    /// Whether there are several rows, and none has a value in a column.
    fn is_empty_column(&self, column: usize) -> bool {
        let is_empty = |row: StringRecord| row.get(column).is_none_or(|cell| cell.trim().is_empty());
        self.header.rows(self.text).nth(1).is_some() && self.header.rows(self.text).all(is_empty)
    }

    /// The error for an integer that f64 does not hold.
    fn inexact(&self, record: &StringRecord, column: usize) -> Error {
        let cell = shortened(record.get(column).unwrap_or_default().trim());
        let what = format!("`{cell}` is an integer past 2^53, which double precision would round");
        self.error_at(record, column, &what)
            .hint("remove the column if it is an identifier, or write it with an exponent: 9.0072e15")
    }

    /// The hint for text in a data column: a decimal comma, a wrong delimiter, a column of text, or a single malformed cell.
    fn hint_for_text(&self, cell: &str, column: usize) -> String {
        if let Some(hint) = self.hint_for_number(cell) {
            return hint.to_owned();
        }
        if cell.split_whitespace().count() > 1 && cell.split_whitespace().all(is_number) {
            return "columns are separated by commas, semicolons or tabs, not by spaces".to_owned();
        }
        let skipped = usize::from(self.header.names.is_some());
        let mut cells =
            self.text.records().skip(skipped).filter_map(|record| record.get(column).map(str::to_owned));
        if cells.any(|cell| is_number(&cell)) {
            return "correct or remove the row".to_owned();
        }
        match self.columns.label {
            None => format!(
                "a column of text: make it the label with `label_column` = {}, or remove it",
                self.label_column(column)
            ),
            Some(_) => "a column of text: remove it, or replace it by numbers".to_owned(),
        }
    }

    /// The hint for a number in a form that is not read.
    fn hint_for_number(&self, cell: &str) -> Option<&'static str> {
        let without_sign = cell.trim_start_matches(['+', '-']);
        if cell.strip_suffix('%').is_some_and(|number| is_number(&number.replace(',', "."))) {
            return Some("write per cents without their sign, as 45 or 0.45");
        }
        if without_sign
            .strip_prefix(['$', '€', '£', '¥'])
            .is_some_and(|number| is_number(&number.replace(',', "")))
        {
            return Some("write amounts as numbers alone");
        }
        if is_in_thousands(without_sign) {
            let is_certain =
                self.text.delimiter() == b',' || cell.matches(',').count() > 1 || cell.contains('.');
            return Some(if is_certain {
                "write numbers without separators of thousands"
            } else {
                "leave the comma out if it separates thousands; write a point if it separates decimals"
            });
        }
        if has_other_thousands(without_sign) {
            return Some("write numbers without separators of thousands, and decimals with a point");
        }
        (cell.matches(',').count() == 1 && is_number(&cell.replace(',', ".")))
            .then_some("write decimals with a point")
    }

    /// The value of `label_column` for a column: its name, or its number where the name is ambiguous, hard to type, or possibly
    /// not a name, because the header contains a number.
    fn label_column(&self, column: usize) -> String {
        let is_plain = |name: &str| {
            name.chars().count() <= 40
                && name.starts_with(char::is_alphabetic)
                && name.chars().all(|c| c.is_alphanumeric() || " ._-()".contains(c))
        };
        let first = &self.header.first;
        let number = (column + 1).to_string();
        match self.header.name(column) {
            Some(name) if first.iter().any(is_number) || !is_plain(name) => number,
            Some(name) if first.iter().filter(|other| other.trim() == name).count() > 1 => number,
            Some(name) if name.contains([' ', '(', ')']) => format!("'{name}'"),
            Some(name) => name.clone(),
            None => number,
        }
    }
}

/// Whether a number has commas between groups of three digits: `1,000`, `12,345,678.9`.
fn is_in_thousands(number: &str) -> bool {
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    has_groups(whole, ',') && is_digits(decimals)
}

/// Whether a number has other separators between groups of three digits: `1.234.567`, `1.234,5`, `1'000`.
fn has_other_thousands(number: &str) -> bool {
    let (whole, decimals) = number.split_once(',').unwrap_or((number, ""));
    let is_sure =
        |separator: char| separator != '.' || whole.len() < number.len() || whole.matches('.').count() > 1;
    ['.', '\'', '’', '_', '\u{a0}', '\u{202f}']
        .iter()
        .any(|&separator| has_groups(whole, separator) && is_sure(separator) && is_digits(decimals))
}

/// Whether a text is a group of one to three digits and further ones of three.
fn has_groups(text: &str, separator: char) -> bool {
    let mut groups = text.split(separator);
    text.contains(separator)
        && groups.next().is_some_and(|first| (1..=3).contains(&first.len()) && is_digits(first))
        && groups.all(|group| group.len() == 3 && is_digits(group))
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a cell is an integer that is not the value it was read as.
fn is_rounded(cell: &str, value: f64) -> bool {
    let digits = cell.trim_start_matches(['+', '-']);
    // All digits of the value: an f64 of this size is an integer.
    is_digits(digits) && format!("{:.0}", value.abs()) != digits.trim_start_matches('0')
}
