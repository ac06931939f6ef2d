//! The cells of the rows: numbers and labels, and the errors for cells that are neither.

use csv::StringRecord;

use super::columns::Columns;
use super::header::Header;
use super::text::{Text, fields, is_missing, is_number, shortened};
use crate::base::memory;
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
        let what = if cell.is_empty() {
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

    /// The hint for text in a data column: a decimal comma, a wrong delimiter, a column of text, or a single malformed cell.
    fn hint_for_text(&self, cell: &str, column: usize) -> String {
        if cell.matches(',').count() == 1 && is_number(&cell.replace(',', ".")) {
            return "write decimals with a point".to_owned();
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
