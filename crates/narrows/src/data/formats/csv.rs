//! Tables of numbers as text: CSV, its siblings with `;` or tabs, packed with gzip or not.
//!
//! What is decided from the content, and how:
//! - The delimiter is the one of `,`, `;` and tab that the first line has most of, outside quotes.
//! - The first line is a header, unless each of its cells (the label's aside) is a number or missing, and one a number.
//!   A line that could be a header as well as a row with a spoilt number is refused.
//! - A first column whose name is empty, `rownames` or `row.names` holds the names of the rows, as R and pandas write
//!   them: it is not data.
//! - scikit-learn's layout, whose first line is `rows,columns,class names`, is known by its counts: the last column
//!   holds classes, numbered from 0.
//!
//! Numbers are read as f64. A cell that is no number, a missing value, an infinity or a line of another length is an
//! error that names the line of the file (from 1) and the column.

use csv::{ReaderBuilder, StringRecord, WriterBuilder};

use super::Parts;
use crate::data::{Labels, Shape, Table, Values};
use crate::error::{Error, Result};

/// More columns than this are a file read with the wrong delimiter, or a table to be turned on its side.
const COLUMN_LIMIT: usize = 1_000_000;

/// Reads a table. `label` is the name or the number (from 1) of the column that holds the classes.
pub(in crate::data) fn read(place: &str, bytes: Vec<u8>, label: Option<&str>) -> Result<Parts> {
    let text = Text::new(place, bytes)?;
    let mut records = text.records();
    let first = records.next().ok_or_else(|| text.error("the file is empty"))?;
    let second = records.next();
    let announced = announced_classes(&text, &first, second.as_ref())?;
    let width = match &announced {
        Some(_) => second.as_ref().map_or(0, StringRecord::len),
        None => first.len(),
    };
    if width > COLUMN_LIMIT {
        return Err(text.error(format_args!("{width} columns; at most {COLUMN_LIMIT} are read")));
    }

    let has_header = announced.is_none() && is_header(&first, label);
    if has_header && second.is_none() {
        return Err(text.error("there is a header, but no rows"));
    }
    if has_header {
        refuse_spoilt_row(&text, &first)?;
    }
    let names: Option<Vec<String>> =
        has_header.then(|| first.iter().map(|name| name.trim().to_owned()).collect());
    let label = match (&announced, label) {
        (Some(_), None) => Some(width - 1),
        (Some(_), Some(label)) if label.parse() == Ok(width) => Some(width - 1),
        (Some(_), Some(_)) => {
            return Err(text
                .error(format_args!("its first line says that the classes are in the last column, {width}"))
                .hint("leave out `label_column`"));
        }
        (None, Some(label)) => Some(label_column(&text, label, names.as_deref(), width)?),
        (None, None) => None,
    };
    let has_row_names = width > 1
        && label != Some(0)
        && names.as_ref().is_some_and(|names| {
            ["", "rownames", "row.names"].contains(&names[0].to_ascii_lowercase().as_str())
        });
    let is_data = |column: usize| Some(column) != label && !(column == 0 && has_row_names);
    let columns: Vec<usize> = (0..width).filter(|&column| is_data(column)).collect();
    if columns.is_empty() {
        return Err(text.error("there is no column beside the label"));
    }

    let mut values: Vec<f64> = Vec::new();
    let mut classes: Vec<String> = Vec::new();
    let is_row = !has_header && announced.is_none();
    for record in is_row.then_some(first.clone()).into_iter().chain(second).chain(records) {
        if record.len() != width {
            let expected = if has_header { "the header" } else { "the first row" };
            return Err(text
                .error(format_args!(
                    "line {}: {}, {expected} has {width}",
                    text.line(&record),
                    fields(&record)
                ))
                .hint(
                    "each line must have one field per column; is a cell with the delimiter in it quoted?",
                ));
        }
        for (column, cell) in record.iter().enumerate() {
            if Some(column) == label {
                if is_missing(cell) {
                    return Err(bad_cell(&text, &record, column, names.as_deref(), "the label is missing")
                        .hint("remove or fill such rows first"));
                }
                classes.push(cell.trim().to_owned());
            } else if is_data(column) {
                match cell.trim().parse::<f64>() {
                    Ok(value) if value.is_finite() => values.push(value),
                    _ => return Err(no_number(&text, &first, &record, column, names.as_deref(), label)),
                }
            }
        }
    }

    let labels = match announced {
        Some(names) => Some(announced_labels(&text, &classes, names)?),
        None if label.is_some() => Some(Labels::from_names(&classes).map_err(|error| error.at(place))?),
        None => None,
    };
    let table =
        Table::new(Values::F64(values), Shape::flat(columns.len())).map_err(|error| error.at(place))?;
    let columns = names.map(|names| columns.iter().map(|&column| names[column].clone()).collect());
    Ok(Parts { table, labels, columns })
}

/// Reads labels of `rows` rows: one column, with one line of header where there is one line too many.
pub(in crate::data) fn read_labels(place: &str, bytes: Vec<u8>, rows: usize) -> Result<Labels> {
    let text = Text::new(place, bytes)?;
    let mut names = Vec::new();
    for record in text.records() {
        let mut cells = record.iter();
        match (cells.next(), cells.next()) {
            (Some(cell), None) if !is_missing(cell) => names.push(cell.trim().to_owned()),
            (Some(_), None) => {
                return Err(text.error(format_args!("line {}: the label is missing", text.line(&record))));
            }
            _ => {
                return Err(text
                    .error(format_args!(
                        "line {}: {}; labels are one column",
                        text.line(&record),
                        fields(&record)
                    ))
                    .hint("if it is a column of the data, name it as `label_column`"));
            }
        }
    }
    if names.len() == rows.saturating_add(1) {
        names.remove(0);
    }
    Labels::from_names(&names).map_err(|error| error.at(place))
}

/// CSV text of what a classifier says: for each row the most likely class (the first of several), and the share of each class.
///
/// # Panics
/// Where `shares` are not whole rows of one share for each name.
pub fn encode_classes(names: &[String], shares: &[f32]) -> Vec<u8> {
    assert!(!names.is_empty() && shares.len().is_multiple_of(names.len()), "whole rows");
    let mut out = Vec::new();
    let mut writer = WriterBuilder::new().from_writer(&mut out);
    let header =
        std::iter::once("class".to_owned()).chain(names.iter().map(|name| format!("share of {name}")));
    writer.write_record(header).expect("memory takes it");
    for row in shares.chunks_exact(names.len()) {
        let best = (1..row.len()).fold(0, |best, place| if row[place] > row[best] { place } else { best });
        let cells = std::iter::once(names[best].clone()).chain(row.iter().map(f32::to_string));
        writer.write_record(cells).expect("memory takes it");
    }
    writer.flush().expect("memory takes it");
    drop(writer);
    out
}

/// A CSV file for [`crate::base::atomic_file::write`]: a header where there is one, then rows of `width` numbers, each in the
/// fewest digits that read back as the same f64.
///
/// # Panics
/// Where `width` is 0, `values` is not a whole number of rows or the header has another length.
pub fn encode(header: Option<&[String]>, width: usize, values: &[f64]) -> Vec<u8> {
    assert!(width > 0 && values.len().is_multiple_of(width), "whole rows");
    let mut out = Vec::new();
    if let Some(header) = header {
        assert_eq!(header.len(), width, "one name per column");
        let mut writer = WriterBuilder::new().from_writer(&mut out);
        writer.write_record(header).expect("memory takes it");
        writer.flush().expect("memory takes it");
    }
    for row in values.chunks_exact(width) {
        for (column, &value) in row.iter().enumerate() {
            if column > 0 {
                out.push(b',');
            }
            let size = value.abs();
            // Both forms are the shortest that read back the same; plain digits are easier on the eye while short.
            let digits = if size == 0.0 || (1e-5..1e16).contains(&size) {
                format!("{value}")
            } else {
                format!("{value:e}")
            };
            out.extend_from_slice(digits.as_bytes());
        }
        out.push(b'\n');
    }
    out
}

/// The text of a file, checked and ready to be cut into records.
struct Text<'a> {
    place: &'a str,
    text: String,
    delimiter: u8,
}

impl<'a> Text<'a> {
    fn new(place: &'a str, mut bytes: Vec<u8>) -> Result<Self> {
        if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
            return Err(Error::data(format!("{place}: the text is UTF-16")).hint("save it as UTF-8"));
        }
        if bytes.starts_with(b"\xef\xbb\xbf") {
            bytes.drain(..3);
        }
        // Files of old Macs end lines by carriage returns alone; line numbers count newlines.
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
    fn records(&self) -> impl Iterator<Item = StringRecord> {
        // Over UTF-8 text in memory, with lines of any length allowed, nothing is left to fail.
        ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(self.delimiter)
            .from_reader(self.text.as_bytes())
            .into_records()
            .map_while(std::result::Result::ok)
    }

    /// The line of the file a record begins on. The reader's own count begins at the blank lines before it.
    fn line(&self, record: &StringRecord) -> usize {
        let start =
            record.position().map_or(0, |position| usize::try_from(position.byte()).unwrap_or(usize::MAX));
        let bytes = self.text.as_bytes();
        let blank = bytes.iter().skip(start).take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        1 + bytes.iter().take(start.saturating_add(blank)).filter(|&&byte| byte == b'\n').count()
    }

    fn error(&self, message: impl std::fmt::Display) -> Error {
        Error::data(format!("{}: {message}", self.place))
    }
}

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
    // The first of equals.
    counts.iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |&(delimiter, _)| delimiter)
}

fn is_missing(cell: &str) -> bool {
    let cell = cell.trim();
    ["", "na", "n/a", "nan", "null", "none", "?", "."].iter().any(|mark| cell.eq_ignore_ascii_case(mark))
}

fn is_number(cell: &str) -> bool {
    cell.trim().parse::<f64>().is_ok_and(|value| !value.is_nan())
}

fn is_header(first: &StringRecord, label: Option<&str>) -> bool {
    let label = label.and_then(|label| label.parse::<usize>().ok());
    let mut cells =
        first.iter().enumerate().filter(|(column, _)| Some(column + 1) != label).map(|(_, cell)| cell);
    let all = cells.clone().all(|cell| is_number(cell) || is_missing(cell));
    !(all && cells.any(is_number))
}

/// A first row with one spoilt number (`1,2x,3`) would pass for a header and be lost: a line of which most are numbers,
/// and the rest begin like numbers, is refused.
fn refuse_spoilt_row(text: &Text, first: &StringRecord) -> Result<()> {
    let numbers = first.iter().filter(|cell| is_number(cell)).count();
    let mut others =
        first.iter().map(str::trim).filter(|cell| !is_number(cell) && !is_missing(cell)).peekable();
    match others.peek().copied() {
        Some(cell)
            if 2 * numbers >= first.len()
                && others.all(|cell| cell.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))) =>
        {
            Err(text
                .error(format_args!(
                    "line {}: `{}` is not a number, but most of the line is",
                    text.line(first),
                    shortened(cell)
                ))
                .hint(
                    "correct it if this is a row; begin the names of columns with letters if it is a header",
                ))
        }
        _ => Ok(()),
    }
}

fn label_column(text: &Text, label: &str, names: Option<&[String]>, width: usize) -> Result<usize> {
    let mut named = names.unwrap_or_default().iter().enumerate().filter(|(_, name)| *name == label);
    match (named.next(), named.next(), label.parse::<usize>()) {
        (Some((column, _)), None, _) => Ok(column),
        (Some(_), Some(_), _) => Err(text
            .error(format_args!("more than one column is called `{label}`"))
            .hint("give its number, from 1")),
        (None, _, Ok(number)) if (1..=width).contains(&number) => Ok(number - 1),
        (None, _, Ok(number)) => {
            Err(text.error(format_args!("`label_column` {number}: the columns are 1 to {width}")))
        }
        (None, _, Err(_)) => {
            let error = text.error(format_args!("no column is called `{label}`"));
            Err(match names {
                Some(names) => error.hint(format!("the columns are {}", listed(names))),
                None => error.hint("there is no header: give the column's number, from 1"),
            })
        }
    }
}

fn fields(record: &StringRecord) -> String {
    if record.len() == 1 { "1 field".into() } else { format!("{} fields", record.len()) }
}

fn listed(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(12).map(|name| format!("`{}`", shortened(name))).collect();
    let rest = names.len() - shown.len();
    if rest > 0 { format!("{} and {rest} more", shown.join(", ")) } else { shown.join(", ") }
}

fn shortened(cell: &str) -> String {
    let mut text: String = cell.chars().take(40).collect();
    if text.len() < cell.len() {
        text.push_str("...");
    }
    // What would break the message's line, and nothing else.
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

fn bad_cell(
    text: &Text,
    record: &StringRecord,
    column: usize,
    names: Option<&[String]>,
    what: &str,
) -> Error {
    let line = text.line(record);
    match names.and_then(|names| names.get(column)).filter(|name| !name.is_empty()) {
        Some(name) => text.error(format_args!("line {line}, column `{}`: {what}", shortened(name))),
        None => text.error(format_args!("line {line}, column {}: {what}", column + 1)),
    }
}

/// Says what is wrong with a cell of a data column, and what to do.
fn no_number(
    text: &Text,
    first: &StringRecord,
    record: &StringRecord,
    column: usize,
    names: Option<&[String]>,
    label: Option<usize>,
) -> Error {
    let cell = record.get(column).unwrap_or_default().trim();
    let error = |what: &str| bad_cell(text, record, column, names, what);
    if cell.is_empty() {
        return error("the value is missing").hint("remove or fill such rows first");
    }
    if is_missing(cell) {
        return error(&format!("`{cell}` is a missing value")).hint("remove or fill such rows first");
    }
    if is_number(cell) {
        return error(&format!("`{}` is not a finite number", shortened(cell)))
            .hint("remove or fill such rows first");
    }
    let error = error(&format!("`{}` is not a number", shortened(cell)));
    if cell.matches(',').count() == 1 && is_number(&cell.replace(',', ".")) {
        return error.hint("write decimals with a point");
    }
    if cell.split_whitespace().count() > 1 && cell.split_whitespace().all(is_number) {
        return error.hint("columns are separated by commas, semicolons or tabs, not by spaces");
    }
    let mut others =
        text.records().skip(usize::from(names.is_some())).filter_map(|r| r.get(column).map(str::to_owned));
    if others.all(|other| !is_number(&other)) {
        // By name, unless that is no use on a command line, or a number among the names makes one doubt the header.
        let plain = |name: &str| {
            name.chars().count() <= 40
                && name.starts_with(char::is_alphabetic)
                && name.chars().all(|c| c.is_alphanumeric() || " ._-()".contains(c))
        };
        let column = match names.and_then(|names| names.get(column)) {
            Some(name) if first.iter().any(is_number) || !plain(name) => (column + 1).to_string(),
            Some(name) if first.iter().filter(|other| other.trim() == name).count() > 1 => {
                (column + 1).to_string()
            }
            Some(name) if name.contains([' ', '(', ')']) => format!("'{name}'"),
            Some(name) => name.clone(),
            None => (column + 1).to_string(),
        };
        return match label {
            None => error.hint(format!(
                "a column of text: make it the label with `label_column` = {column}, or remove it"
            )),
            Some(_) => error.hint("a column of text: remove it, or replace it by numbers"),
        };
    }
    error.hint("correct or remove the row")
}

/// The class names of scikit-learn's layout, where the first line announces it and the rest of the file agrees.
fn announced_classes(
    text: &Text,
    first: &StringRecord,
    second: Option<&StringRecord>,
) -> Result<Option<Vec<String>>> {
    let integer = |record: &StringRecord, column: usize| {
        record.get(column).and_then(|cell| cell.trim().parse::<usize>().ok())
    };
    let (Some(rows), Some(columns), Some(second)) = (integer(first, 0), integer(first, 1), second) else {
        return Ok(None);
    };
    let names: Vec<String> = first.iter().skip(2).map(|name| name.trim().to_owned()).collect();
    if columns == 0 || names.is_empty() || columns.checked_add(1) != Some(second.len()) {
        return Ok(None);
    }
    let found = text.records().skip(1).count();
    if names.iter().any(|name| is_number(name)) {
        // The line may as well be a row of numbers: the classes must agree too.
        let agree =
            text.records().skip(1).all(|row| integer(&row, columns).is_some_and(|class| class < names.len()));
        return Ok((found == rows && agree).then_some(names));
    }
    if found != rows {
        return Err(text.error(format_args!("its first line announces {rows} rows, {found} follow")));
    }
    Ok(Some(names))
}

fn announced_labels(text: &Text, classes: &[String], names: Vec<String>) -> Result<Labels> {
    let classes = classes
        .iter()
        .enumerate()
        .map(|(row, class)| {
            class.parse::<u32>().ok().filter(|&class| (class as usize) < names.len()).ok_or_else(|| {
                text.error(format_args!(
                    "row {}: the class `{}` is not one of 0 to {}, which the first line names",
                    row + 1,
                    shortened(class),
                    names.len() - 1
                ))
            })
        })
        .collect::<Result<_>>()?;
    Ok(Labels { classes, names })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data::Source;

    fn parts(text: &str) -> Parts {
        read("file", text.into(), None).unwrap_or_else(|error| panic!("{text:?}: {error}"))
    }

    fn numbers(text: &str) -> Vec<f64> {
        match parts(text).table.values() {
            Values::F64(values) => values.clone(),
            _ => unreachable!("text is read as f64"),
        }
    }

    fn refusal_of(bytes: impl Into<Vec<u8>>, label: Option<&str>) -> String {
        let message = read("file", bytes.into(), label).err().expect("a refusal").to_string();
        assert!(message.starts_with("file: "), "{message}");
        message
    }

    fn refusal(bytes: impl Into<Vec<u8>>) -> String {
        refusal_of(bytes, None)
    }

    #[test]
    fn reads_delimiters_quotes_marks_and_line_ends() {
        for text in [
            "a,b\n1,2\n3,4\n",
            "a;b\r\n1;2\r\n3;4",
            "a\tb\n1\t2\n3\t4\n",
            "1,2\n3,4",
            "\u{feff}a,b\n1,2\n3,4\n",
            "a,b\r1,2\r3,4\r",
            "\n\na,b\n\n1,2\n\n3,4\n\n",
            "\"a;x\",\"b\ny\"\n\"1\",2\n3,\" 4 \"\n",
            "1.0,2e0\n+3,4.\n",
            "\u{feff}\"1\",2\n3,4\n",
        ] {
            assert_eq!(numbers(text), [1.0, 2.0, 3.0, 4.0], "{text:?}");
        }
        assert_eq!(parts("a;x,b\n1,2\n").columns.unwrap(), ["a;x", "b"]);
        assert_eq!(parts("1,2\n3,4\n").columns, None);
        assert_eq!(numbers("x\n1\n2\n"), [1.0, 2.0]);
        // Years are good names.
        assert_eq!(parts("place,2019,2020\n1,2,3\n").columns.unwrap(), ["place", "2019", "2020"]);
    }

    #[test]
    fn splits_off_labels() {
        let read = |text: &str, label: &str| {
            let parts = read("file", text.into(), Some(label)).unwrap_or_else(|error| panic!("{error}"));
            let labels = parts.labels.unwrap();
            (parts.columns, labels.names, labels.classes)
        };
        let strings = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        let expected = (Some(strings(&["x", "y"])), strings(&["a", "b"]), vec![1, 0, 1]);
        assert_eq!(read("x,kind,y\n1,b,2\n3,a,4\n5,b,6\n", "kind"), expected);
        assert_eq!(read("x,kind,y\n1,b,2\n3,a,4\n5,b,6\n", "2"), expected);
        // No header; without it the first row would be taken for one.
        assert_eq!(read("1,b\n2,a\n", "2"), (None, strings(&["a", "b"]), vec![1, 0]));
        // Numbers sort as numbers.
        assert_eq!(read("1,10\n2,9\n3,-1\n", "2"), (None, strings(&["-1", "9", "10"]), vec![2, 1, 0]));
        // A name comes before a number.
        assert_eq!(read("2,x,y\nb,1,2\n", "2").1, ["b"]);
        assert!(refusal_of("x,y\n1,2\n", Some("z")).contains("the columns are `x`, `y`"));
        assert!(refusal_of("1,2\n3,4\n", Some("z")).contains("no header"));
        assert!(refusal_of("1,2\n3,4\n", Some("3")).contains("the columns are 1 to 2"));
        assert!(refusal_of("1,2\n3,4\n", Some("0")).contains("the columns are 1 to 2"));
        assert!(refusal_of("x,x\n1,2\n", Some("x")).contains("more than one"));
        assert!(refusal_of("x\n1\n", Some("x")).contains("no column beside"));
        assert!(refusal_of("x,y\n1,\n", Some("y")).contains("line 2, column `y`: the label is missing"));
    }

    #[test]
    fn names_of_rows_are_no_data() {
        for header in ["rownames", "\"\"", "row.names"] {
            let parts = parts(&format!("{header},x\none,1\ntwo,2\n"));
            assert_eq!(parts.columns.unwrap(), ["x"]);
            assert_eq!(*parts.table.values(), Values::F64(vec![1.0, 2.0]));
        }
    }

    #[test]
    fn knows_scikit_learns_layout_by_its_counts() {
        let parts = parts("3,2,cat,dog\n1,2,0\n3,4,1\n5,6,0\n");
        assert_eq!(
            parts.labels.unwrap(),
            Labels { classes: vec![0, 1, 0], names: vec!["cat".into(), "dog".into()] }
        );
        assert_eq!(parts.table.shape(), Shape::flat(2));
        assert!(refusal("4,2,cat,dog\n1,2,0\n3,4,1\n5,6,0\n").contains("announces 4 rows, 3 follow"));
        assert!(refusal("3,2,cat,dog\n1,2,0\n3,4,2\n5,6,0\n").contains("row 2: the class `2`"));
        // Rows of integers whose first could be read as counts, but whose last column is no class.
        assert_eq!(numbers("2,2,7\n1,2,7\n3,4,7\n"), [2.0, 2.0, 7.0, 1.0, 2.0, 7.0, 3.0, 4.0, 7.0]);
    }

    #[test]
    fn says_where_and_what() {
        for (text, message) in [
            ("", "the file is empty"),
            ("\n\n", "the file is empty"),
            ("a,b\n", "a header, but no rows"),
            ("a,b\n1,2\n3\n", "line 3: 1 field, the header has 2"),
            ("1,2\n\n\n3,4,5\n", "line 4: 3 fields, the first row has 2"),
            ("a,b\n1,\n", "line 2, column `b`: the value is missing"),
            ("1,NA\n3,4\n", "line 1, column 2: `NA` is a missing value"),
            ("a,b\n1,2\n\n3,NaN\n", "line 4, column `b`: `NaN` is a missing value"),
            ("a,b\n1,-inf\n", "line 2, column `b`: `-inf` is not a finite number"),
            ("a,b\n1,1e999\n", "`1e999` is not a finite number"),
            ("a,b\n1,2\n3,x\n", "line 3, column `b`: `x` is not a number"),
            ("a,b\n1,x\n3,y\n", "make it the label with `label_column` = b, or remove it"),
            ("a,b c\n1,x\n3,y\n", "`label_column` = 'b c'"),
            ("a,it's\n1,x\n3,y\n", "`label_column` = 2"),
            ("a,b\n1,\"say \"\"x\"\"\"\n3,y\n", "`say \"x\"` is not a number"),
            ("1,x\n3,y\n", "`label_column` = 2"),
            ("1,2x,3\n4,5,6\n", "line 1: `2x` is not a number, but most of the line is"),
            ("a;b\n1;2\n1;2,5\n", "write decimals with a point"),
            ("a\n1\n1 2\n", "not by spaces"),
            ("a,b\n\"1\n2\",3\n4,5", "line 2, column `a`: `1\\n2` is not a number"),
            ("a,b\n1,2\n\"3,4\n5,6\n", "line 3: 1 field"),
        ] {
            let found = refusal(text);
            assert!(found.contains(message), "{text:?}: {found}");
        }
        assert!(refusal(*b"a,b\n1,2\n3,\xe9\n").contains("line 3: not UTF-8"));
        assert!(refusal(*b"\xff\xfea\0").contains("UTF-16"));
        assert!(refusal(format!("a\n{}\n", "x".repeat(1000))).len() < 200);
        assert!(refusal(",".repeat(COLUMN_LIMIT + 1)).contains("columns; at most"));
    }

    #[test]
    fn writes_what_reads_back() {
        let header = ["plain".to_string(), "with, comma".into(), "with \"quote\"".into()];
        let values = [1.0, -0.1, 1.0 / 3.0, 1e300, 5e-324, 0.0];
        let bytes = encode(Some(&header), 3, &values);
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert_eq!(text.lines().nth(1), Some("1,-0.1,0.3333333333333333"));
        assert_eq!(text.lines().nth(2), Some("1e300,5e-324,0"));
        let parts = read("file", bytes, None).unwrap();
        assert_eq!(parts.columns.unwrap(), header);
        assert_eq!(*parts.table.values(), Values::F64(values.to_vec()));
    }

    proptest! {
        #[test]
        fn every_finite_number_reads_back(bits in proptest::collection::vec(any::<u64>(), 1..40)) {
            let values: Vec<f64> = bits.iter().map(|&bits| f64::from_bits(bits)).filter(|v| v.is_finite()).collect();
            prop_assume!(!values.is_empty());
            let parts = read("file", encode(None, 1, &values), None).unwrap();
            match parts.table.values() {
                Values::F64(read) => prop_assert!(read.iter().zip(&values).all(|(a, b)| a.to_bits() == b.to_bits()) && read.len() == values.len()),
                _ => unreachable!("text is read as f64"),
            }
        }

        #[test]
        fn no_text_panics(text in "[0-9a,;\t\"\n\r .eNin\u{feff}é-]{0,60}", label in proptest::option::of("[0-9a]{0,2}")) {
            if let Err(error) = read("file", text.clone().into(), label.as_deref()) {
                prop_assert!(error.to_string().starts_with("file: "));
            }
            let _ = read_labels("file", text.into(), 3);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = read("file", bytes, Some("1"));
        }
    }
}
