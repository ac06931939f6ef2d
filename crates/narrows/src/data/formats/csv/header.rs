//! The first line of a file: a header, the counts of scikit-learn's layout, or a row; and which cells of a line are columns.

use super::COLUMN_LIMIT;
use super::labels::announced_classes;
use super::text::{Delimiter, Kind, Record, Text, fields};
use crate::data::formats::TextOptions;
use crate::data::formats::cell::{Cell, Written, is_digits, is_missing, is_number, shortened};
use crate::error::Result;

/// Rows below the first line that it is compared with.
const SAMPLE: usize = 100;

/// The first line and what follows from it.
pub(super) struct Header {
    /// The number of columns.
    pub width: usize,
    /// Empty cells behind them in each row: a delimiter at the end of each line.
    pub empty: usize,
    /// The names of the columns, if there are some. The first may be empty, as that of row names is; others that are empty are
    /// None.
    pub names: Option<Vec<Option<String>>>,
    /// The names of the classes, if the first line is that of scikit-learn's layout.
    pub announced_classes: Option<Vec<String>>,
    /// Whether the first record is no row.
    pub skip: bool,
}

impl Header {
    pub fn read(text: &Text, options: TextOptions<'_>, notes: &mut Vec<String>) -> Result<Self> {
        let mut records = text.records(false);
        let mut next = || -> Result<Option<Record<'_>>> {
            let mut record = Record::default();
            let found = records.next(&mut record).map_err(|fault| text.unclosed(fault))?;
            Ok(found.then_some(record))
        };
        let first = next()?.ok_or_else(|| text.error("the file is empty"))?;
        let mut rows = Vec::new();
        let mut cells = 0;
        while rows.len() < SAMPLE && (cells < COLUMN_LIMIT || rows.len() < 3) {
            let Some(row) = next()? else { break };
            cells += row.cells.len();
            rows.push(row);
        }
        let widest = rows.iter().take(1).chain([&first]).map(|record| record.cells.len()).max().unwrap_or(0);
        if widest > COLUMN_LIMIT {
            return Err(text.error(format_args!("{widest} columns; at most {COLUMN_LIMIT} are read")));
        }
        if options.header.is_none()
            && let Some(names) = announced_classes(text, &first, rows.first())?
        {
            let width = rows[0].cells.len();
            return Ok(Self { width, empty: 0, names: None, announced_classes: Some(names), skip: true });
        }
        let is_header = match options.header {
            Some(is_header) => is_header,
            None => Lines::new(&first, &rows).has_header(text, options)?,
        };
        if is_header && rows.is_empty() {
            return Err(text.error("there is a header, but no rows"));
        }
        let width = if is_header { rows[0].cells.len() } else { first.cells.len() };
        let all: Vec<&Record<'_>> =
            if is_header { rows.iter().collect() } else { [&first].into_iter().chain(&rows).collect() };
        let names: Vec<String> = if is_header {
            first.cells.iter().map(|cell| cell.text().trim().to_owned()).collect()
        } else {
            Vec::new()
        };
        let mut header = Self { width, empty: 0, names: None, announced_classes: None, skip: is_header };
        // Cells behind the columns are empty in all rows, and without a name.
        let named = names.iter().rposition(|name| !name.is_empty()).map_or(0, |at| at + 1);
        let unnamed = if is_header { width.saturating_sub(named.max(1)) } else { width.saturating_sub(1) };
        let empty = trailing(&all, width, unnamed);
        if empty > 0 {
            let found = confirm_trailing(text, is_header, width, empty);
            header.empty = found;
            header.width = width - found;
        }
        if is_header {
            header.names = Some(header.named(text, &first, names, &all)?);
        } else if options.header.is_none()
            && let Some(names) = text.comment_names(first.line, header.width)
        {
            notes.push(
                "the names of the columns are those of the comment in front of the first row".to_owned(),
            );
            header.names = Some(names.into_iter().map(Some).collect());
        }
        Ok(header)
    }

    /// The names, one for each column.
    fn named(
        &self,
        text: &Text,
        first: &Record<'_>,
        mut names: Vec<String>,
        rows: &[&Record<'_>],
    ) -> Result<Vec<Option<String>>> {
        let line = first.line;
        while names.len() > self.width && names.last().is_some_and(String::is_empty) {
            names.pop();
        }
        if names.len() + 1 == self.width && is_row_names(text, first, rows) {
            // R leaves the name of the row names out.
            names.insert(0, String::new());
        }
        if names.len() != self.width {
            let (row, found) = (rows[0].line, fields(rows[0]));
            return Err(text
                .error(format_args!(
                    "line {row}: {found}, the header in line {line} has {}",
                    first.cells.len()
                ))
                .hint(
                    "each line must have one field per column; is a cell with the delimiter in it quoted?",
                ));
        }
        let mut sorted: Vec<&str> =
            names.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(text
                .error(format_args!("line {line}: more than one column is called `{}`", shortened(pair[0])))
                .hint("give each column a name of its own"));
        }
        let is_first_or_named =
            |(column, name): (usize, String)| (column == 0 || !name.is_empty()).then_some(name);
        Ok(names.into_iter().enumerate().map(is_first_or_named).collect())
    }

    /// The name of a column, if it has one.
    pub fn name(&self, column: usize) -> Option<&str> {
        self.names.as_ref()?.get(column)?.as_deref()
    }
}

/// Whether rows that are one cell longer than the header begin with row names, as R writes them.
fn is_row_names(text: &Text, first: &Record<'_>, rows: &[&Record<'_>]) -> bool {
    let quoted = first.cells.iter().all(|cell| cell.kind != Kind::Plain);
    let is_text =
        |row: &&Record<'_>| row.cells.first().is_some_and(|cell| Cell::of(&cell.text()) == Cell::Text);
    let is_longer = |row: &&Record<'_>| row.cells.len() == first.cells.len() + 1;
    rows.iter().all(is_longer)
        && (quoted
            || rows.iter().all(is_text)
            || (first.cells.len() > 1
                && matches!(text.delimiter(), Delimiter::Spaces | Delimiter::Byte(b'\t'))))
}

/// How many cells at the end of each of the rows are empty, at most `most`.
fn trailing(rows: &[&Record<'_>], width: usize, most: usize) -> usize {
    let empty = |row: &&Record<'_>| {
        if row.cells.len() != width {
            return 0;
        }
        row.cells
            .iter()
            .rev()
            .take_while(|cell| cell.kind == Kind::Plain && cell.raw.trim().is_empty())
            .count()
    };
    rows.iter().map(empty).min().unwrap_or(0).min(most)
}

/// As [`trailing`], of all rows of the file.
fn confirm_trailing(text: &Text, skip: bool, width: usize, most: usize) -> usize {
    let (mut records, mut record, mut least) = (text.records(false), Record::default(), most);
    let mut is_first = true;
    while least > 0 && matches!(records.next(&mut record), Ok(true)) {
        if !(is_first && skip) && record.cells.len() == width {
            least = trailing(&[&record], width, least);
        }
        is_first = false;
    }
    least
}

/// The first line beside the rows below it.
struct Lines<'t> {
    first: &'t Record<'t>,
    columns: Vec<Column>,
    rows: usize,
}

/// A column below the first line.
#[derive(Default)]
struct Column {
    /// The first cell.
    top: Top,
    numbers: Vec<f64>,
    missing: usize,
    texts: usize,
    /// Numbers that are not whole.
    fractions: usize,
    /// Whether the first cell is there again below.
    recurs: bool,
    is_quoted: bool,
    /// Whether the rows count from 0 or 1, or are different texts.
    is_index: bool,
}

#[derive(Default, Clone, Copy, PartialEq)]
enum Top {
    #[default]
    Missing,
    Text,
    Number {
        value: f64,
        /// Digits alone.
        is_whole: bool,
    },
}

/// What a line of numbers is.
#[derive(PartialEq)]
enum Numbers {
    Names,
    Either,
    Row,
}

impl<'t> Lines<'t> {
    fn new(first: &'t Record<'t>, rows: &[Record<'t>]) -> Self {
        let number = |text: &str| match Cell::of(text) {
            Cell::Number(value) => Some(value),
            Cell::Infinite => Some(f64::INFINITY),
            Cell::Kept(_) => text.trim().parse().ok(),
            Cell::Missing => None,
            Cell::Text => Written::of(text).and_then(|written| written.point.or(written.comma)),
        };
        // A header that stands between the rows once more is refused where the rows are read.
        let is_header_again = |row: &&Record<'_>| {
            row.cells.len() == first.cells.len()
                && row
                    .cells
                    .iter()
                    .zip(&first.cells)
                    .all(|(a, b)| a.text() == b.text() && number(&b.text()).is_none())
        };
        let rows: Vec<&Record<'_>> = rows.iter().filter(|row| !is_header_again(row)).collect();
        let columns = first
            .cells
            .iter()
            .enumerate()
            .map(|(index, cell)| {
                let top = cell.text();
                let top = top.trim();
                let mut column = Column {
                    top: match number(top) {
                        Some(value) => Top::Number { value, is_whole: is_digits(top) },
                        None if is_missing(top) => Top::Missing,
                        None => Top::Text,
                    },
                    ..Column::default()
                };
                let mut texts: Vec<String> = Vec::new();
                for cell in rows.iter().filter_map(|row| row.cells.get(index)) {
                    let text = cell.text();
                    let text = text.trim();
                    column.is_quoted |= cell.kind != Kind::Plain;
                    column.recurs |= text == top;
                    match number(text) {
                        Some(value) => {
                            column.fractions += usize::from(!is_digits(text.trim_start_matches(['-', '+'])));
                            column.numbers.push(value);
                        }
                        None if is_missing(text) => column.missing += 1,
                        None => {
                            column.texts += 1;
                            if index == 0 {
                                texts.push(text.to_owned());
                            }
                        }
                    }
                }
                let counts = column.numbers.first().is_some_and(|&start| start == 0.0 || start == 1.0)
                    && column.numbers.windows(2).all(|pair| pair[1] - pair[0] == 1.0);
                let all = texts.len();
                texts.sort_unstable();
                texts.dedup();
                column.is_index = column.missing == 0
                    && ((column.texts == 0 && counts)
                        || (column.numbers.is_empty() && all > 0 && texts.len() == all));
                column
            })
            .collect();
        Self { first, columns, rows: rows.len() }
    }

    /// Whether the first line is a header.
    fn has_header(&self, text: &Text, options: TextOptions<'_>) -> Result<bool> {
        let tops = || self.columns.iter().map(|column| column.top);
        let is_named =
            |name: &str| !is_number(name) && self.first.cells.iter().any(|cell| cell.text().trim() == name);
        if options.texts.iter().any(|name| is_named(name)) {
            return Ok(true);
        }
        if tops().all(|top| top == Top::Missing) {
            return Ok(false);
        }
        let texts = || self.columns.iter().filter(|column| column.top == Top::Text);
        let has_numbers = tops().any(|top| matches!(top, Top::Number { .. }));
        // Names in quotes over numbers without.
        let is_quoted = self.first.cells.iter().all(|cell| cell.kind != Kind::Plain);
        if is_quoted && self.columns.iter().any(|column| !column.is_quoted && !column.numbers.is_empty()) {
            return Ok(true);
        }
        // A text over numbers is a name.
        let over_numbers = |column: &&Column| column.texts == 0 && !column.numbers.is_empty();
        if texts().any(|column| over_numbers(&column)) {
            self.refuse_malformed_row(text)?;
            return Ok(true);
        }
        // A text that comes again below is a value.
        if texts().any(|column| column.recurs) {
            return Ok(false);
        }
        if !has_numbers {
            return Ok(true);
        }
        match self.numbers() {
            Numbers::Names => Ok(true),
            Numbers::Row => Ok(false),
            Numbers::Either => {
                let cells: Vec<String> = self
                    .first
                    .cells
                    .iter()
                    .take(4)
                    .map(|cell| format!("`{}`", shortened(cell.text().trim())))
                    .collect();
                let more = if self.first.cells.len() > 4 { ", ..." } else { "" };
                let what = format!(
                    "line {}: the numbers {}{more} may be the names of the columns or a row",
                    self.first.line,
                    cells.join(", ")
                );
                Err(text.error(what).hint(
                    "say which with `header` = true or `header` = false, or begin the names with letters",
                ))
            }
        }
    }

    /// What the numbers of the first line are, from each other and from the values below.
    fn numbers(&self) -> Numbers {
        let mut tops = Vec::new();
        let (mut is_whole, mut are_fractions, mut outside, mut spread) = (true, true, true, 0);
        for column in &self.columns {
            let Top::Number { value, is_whole: whole } = column.top else { continue };
            // Over texts a number is a name, or its column has both.
            if column.numbers.is_empty() {
                continue;
            }
            tops.push(value);
            is_whole &= whole;
            are_fractions &= 10 * column.fractions >= 9 * column.numbers.len();
            let (low, high) =
                column.numbers.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &value| {
                    (low.min(value), high.max(value))
                });
            let distance = (low - value).max(value - high);
            outside &= if high > low { distance > 2.0 * (high - low) } else { distance > 0.0 };
            spread += usize::from(high > low);
        }
        let step = tops.get(1).map_or(0.0, |second| second - tops[0]);
        let is_regular = |numbers: &[f64]| {
            let near = |pair: &[f64]| (pair[1] - pair[0] - step).abs() <= 1e-6 * step.abs();
            step != 0.0 && numbers.len() == tops.len() && numbers.windows(2).all(near)
        };
        let is_ascending = tops.windows(2).all(|pair| pair[0] < pair[1]);
        let mut sorted = tops.clone();
        sorted.sort_by(f64::total_cmp);
        let are_unique = sorted.windows(2).all(|pair| pair[0] != pair[1]);
        let regular = is_regular(&tops);
        // Rows with the same step make the first line one of them.
        let row = |row: usize| -> Vec<f64> {
            let columns = self.columns.iter().filter(|column| !column.numbers.is_empty());
            columns.filter_map(|column| column.numbers.get(row).copied()).collect()
        };
        let are_rows_regular = tops.len() > 2 && (0..self.rows.min(10)).any(|index| is_regular(&row(index)));
        let enough = self.rows >= 3;
        let outside = outside && spread > 0 && enough;
        let are_fractions = are_fractions && enough;
        let unlike = (is_whole && are_fractions) || outside;
        // An empty cell over an index is the name of the row names.
        let (first, count) = (&self.columns[0], tops.len());
        let over_index = self.first.cells[0].raw.trim().is_empty()
            && first.missing == 0
            && self.columns[1..].iter().all(|column| column.top != Top::Missing);
        if over_index && is_whole && are_unique && count > 0 {
            return if first.is_index && (unlike || regular || count < 3) && !are_rows_regular {
                Numbers::Names
            } else {
                Numbers::Either
            };
        }
        if !are_unique || count == 0 {
            return Numbers::Row;
        }
        if count >= 3 {
            let is_series = (is_whole && is_ascending) || (regular && !are_rows_regular);
            if is_series && unlike {
                return Numbers::Names;
            }
            if is_whole && regular && !are_rows_regular {
                return if count >= 5 { Numbers::Names } else { Numbers::Either };
            }
            return if unlike && (is_whole || is_ascending) { Numbers::Either } else { Numbers::Row };
        }
        let can_be = is_whole && (are_fractions || (outside && is_ascending && count == 2));
        if can_be { Numbers::Either } else { Numbers::Row }
    }

    /// Refuses a first line that is probably a row with a malformed number (`1,2x,3`), which would be taken for a header and be
    /// lost: at least half of its cells are numbers, and the others begin like numbers.
    fn refuse_malformed_row(&self, text: &Text) -> Result<()> {
        let cells: Vec<String> = self.first.cells.iter().map(|cell| cell.text().trim().to_owned()).collect();
        let numbers = self.columns.iter().filter(|column| matches!(column.top, Top::Number { .. })).count();
        let others = cells
            .iter()
            .zip(&self.columns)
            .filter(|(_, column)| column.top == Top::Text)
            .map(|(cell, _)| cell);
        let begins_like_a_number =
            |cell: &String| cell.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
        // Names beside numbers that are no names themselves.
        let is_row = self.numbers() == Numbers::Row
            && self.columns.iter().any(|column| matches!(column.top, Top::Number { is_whole: false, .. }));
        match others.clone().next() {
            Some(cell)
                if 2 * numbers >= cells.len() && (is_row || others.clone().all(begins_like_a_number)) =>
            {
                let what = format!(
                    "line {}: `{}` is not a number, but most of the line is",
                    self.first.line,
                    shortened(cell)
                );
                Err(text.error(what).hint(
                    "correct it if this is a row; if it is a header, say so with `header` = true or begin the names with letters",
                ))
            }
            _ => Ok(()),
        }
    }
}
