//! Labels as text: a file of one column, and the classes of scikit-learn's layout.

use super::text::{Record, Text, fields};
use crate::data::Labels;
use crate::data::formats::cell::{is_missing, is_number, shortened};
use crate::error::Result;

/// Reads the labels of `rows` rows: one column, with a header if there is one line too many.
pub(in crate::data) fn read_labels(place: &str, bytes: Vec<u8>, rows: usize) -> Result<Labels> {
    let text = Text::new(place, bytes)?;
    let mut names = Vec::new();
    let (mut records, mut record, mut blank) = (text.records(true), Record::default(), None);
    while records.next(&mut record).map_err(|fault| text.unclosed(fault))? {
        if record.is_blank {
            // Those at the end are no rows.
            blank.get_or_insert(record.line);
            continue;
        }
        if let Some(line) = blank {
            return Err(text
                .error(format_args!("line {line}: a blank line, where a label is missing"))
                .hint("one label per row, in the same order"));
        }
        match &record.cells[..] {
            [cell] if !is_missing(&cell.text()) => names.push(cell.text().trim().to_owned()),
            [_] => return Err(text.error(format_args!("line {}: the label is missing", record.line))),
            _ => {
                return Err(text
                    .error(format_args!("line {}: {}; labels are one column", record.line, fields(&record)))
                    .hint("if it is a column of the data, name it as `label_column`"));
            }
        }
    }
    if names.len() == rows.saturating_add(1) {
        names.remove(0);
    }
    Labels::from_names(&names).map_err(|error| text.at(error))
}

/// The class names of scikit-learn's layout, if the first line has its form and the rest of the file agrees with its counts.
pub(super) fn announced_classes(
    text: &Text,
    first: &Record<'_>,
    second: Option<&Record<'_>>,
) -> Result<Option<Vec<String>>> {
    let integer = |record: &Record<'_>, column: usize| {
        record.cells.get(column).and_then(|cell| cell.text().trim().parse::<usize>().ok())
    };
    let (Some(rows), Some(columns), Some(second)) = (integer(first, 0), integer(first, 1), second) else {
        return Ok(None);
    };
    let names: Vec<String> = first.cells.iter().skip(2).map(|name| name.text().trim().to_owned()).collect();
    if columns == 0
        || names.is_empty()
        || names.iter().any(String::is_empty)
        || columns.checked_add(1) != Some(second.cells.len())
    {
        return Ok(None);
    }
    let (mut records, mut record) = (text.records(false), Record::default());
    let (mut found, mut agree) = (0, true);
    // The line may also be a row, of numbers or with a label: then the classes do not agree.
    let mut is_first = true;
    while records.next(&mut record).map_err(|fault| text.unclosed(fault))? {
        if !is_first {
            found += 1;
            agree &= integer(&record, columns).is_some_and(|class| class < names.len());
        }
        is_first = false;
    }
    if names.iter().any(|name| is_number(name)) {
        return Ok((found == rows && agree).then_some(names));
    }
    if found != rows && !agree {
        return Ok(None);
    }
    if found != rows {
        return Err(text.error(format_args!("its first line announces {rows} rows, {found} follow")));
    }
    Ok(Some(names))
}

/// Refuses a class of scikit-learn's layout that the first line does not name. `classes` are the cells of the last column.
pub(super) fn check_announced(
    text: &Text,
    classes: impl Iterator<Item = f64>,
    names: &[String],
) -> Result<()> {
    for (row, class) in classes.enumerate() {
        let is_known = class >= 0.0 && class.fract() == 0.0 && class < names.len() as f64;
        if !is_known {
            let class = if class.is_nan() { "no number".to_owned() } else { shortened(&class.to_string()) };
            return Err(text.error(format_args!(
                "row {}: the class `{class}` is not one of 0 to {}, which the first line names",
                row + 1,
                names.len() - 1
            )));
        }
    }
    Ok(())
}
