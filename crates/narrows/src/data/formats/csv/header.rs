//! The first line of a file: a header, the counts of scikit-learn's layout, or a row.

use csv::StringRecord;

use super::COLUMN_LIMIT;
use super::labels::announced_classes;
use super::text::{Text, is_missing, is_number, shortened};
use crate::error::Result;

/// The first line and what follows from it.
pub(super) struct Header {
    pub first: StringRecord,
    /// The number of cells of each row.
    pub width: usize,
    /// The names of the columns, if the first line is a header.
    pub names: Option<Vec<String>>,
    /// The names of the classes, if the first line is that of scikit-learn's layout.
    pub announced_classes: Option<Vec<String>>,
}

impl Header {
    /// Reads the first line. `label` is the name or the number (from 1) of the column of labels.
    pub fn read(text: &Text, label: Option<&str>) -> Result<Self> {
        let mut records = text.records();
        let first = records.next().ok_or_else(|| text.error("the file is empty"))?;
        let second = records.next();
        let announced_classes = announced_classes(text, &first, second.as_ref())?;
        let width = match &announced_classes {
            Some(_) => second.as_ref().map_or(0, StringRecord::len),
            None => first.len(),
        };
        if width > COLUMN_LIMIT {
            return Err(text.error(format_args!("{width} columns; at most {COLUMN_LIMIT} are read")));
        }
        let mut names = None;
        if announced_classes.is_none() && is_header(&first, label) {
            if second.is_none() {
                return Err(text.error("there is a header, but no rows"));
            }
            refuse_malformed_row(text, &first)?;
            names = Some(first.iter().map(|name| name.trim().to_owned()).collect());
        }
        Ok(Self { first, width, names, announced_classes })
    }

    /// The name of a column, if the file has names.
    pub fn name(&self, column: usize) -> Option<&String> {
        self.names.as_ref().and_then(|names| names.get(column))
    }

    /// The records that are rows.
    pub fn rows(&self, text: &Text) -> impl Iterator<Item = StringRecord> {
        let is_row = self.names.is_none() && self.announced_classes.is_none();
        text.records().skip(usize::from(!is_row))
    }
}

/// Whether the first line is a header: not all of its cells, the label's aside, are numbers or missing values, or none is a
/// number.
fn is_header(first: &StringRecord, label: Option<&str>) -> bool {
    let label = label.and_then(|label| label.parse::<usize>().ok());
    let mut cells =
        first.iter().enumerate().filter(|(column, _)| Some(column + 1) != label).map(|(_, cell)| cell);
    let all = cells.clone().all(|cell| is_number(cell) || is_missing(cell));
    !(all && cells.any(is_number))
}

/// Refuses a first line that is probably a row with a malformed number (`1,2x,3`), which would be taken for a header and be
/// lost: at least half of its cells are numbers, and the others begin like numbers.
fn refuse_malformed_row(text: &Text, first: &StringRecord) -> Result<()> {
    let numbers = first.iter().filter(|cell| is_number(cell)).count();
    let mut others =
        first.iter().map(str::trim).filter(|cell| !is_number(cell) && !is_missing(cell)).peekable();
    let begins_like_a_number =
        |cell: &str| cell.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    match others.peek().copied() {
        Some(cell) if 2 * numbers >= first.len() && others.all(begins_like_a_number) => {
            let hint = if cell.split(';').count() > 1 && cell.split(';').all(is_number) {
                "if semicolons separate the columns, write decimals with a point, not with a comma"
            } else {
                "correct it if this is a row; begin the names of columns with letters if it is a header"
            };
            let (line, cell) = (text.line(first), shortened(cell));
            let what = format!("line {line}: `{cell}` is not a number, but most of the line is");
            Err(text.error(what).hint(hint))
        }
        _ => Ok(()),
    }
}
