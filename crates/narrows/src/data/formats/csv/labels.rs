//! Labels as text: a file of one column, and the classes of scikit-learn's layout.

use csv::StringRecord;

use super::text::{Text, fields, is_missing, is_number, shortened};
use crate::data::Labels;
use crate::error::Result;

/// Reads the labels of `rows` rows: one column, with a header if there is one line too many.
pub(in crate::data) fn read_labels(place: &str, bytes: Vec<u8>, rows: usize) -> Result<Labels> {
    let text = Text::new(place, bytes)?;
    let mut names = Vec::new();
    for record in text.records() {
        if let Some(line) = text.blank_line_before(&record) {
            return Err(text
                .error(format_args!("line {line}: a blank line, where a label is missing"))
                .hint("one label per row, in the same order"));
        }
        let mut cells = record.iter();
        match (cells.next(), cells.next()) {
            (Some(cell), None) if !is_missing(cell) => names.push(cell.trim().to_owned()),
            (Some(_), None) => {
                return Err(text.error(format_args!("line {}: the label is missing", text.line(&record))));
            }
            _ => {
                let line = text.line(&record);
                return Err(text
                    .error(format_args!("line {line}: {}; labels are one column", fields(&record)))
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
    if columns == 0
        || names.is_empty()
        || names.iter().any(String::is_empty)
        || columns.checked_add(1) != Some(second.len())
    {
        return Ok(None);
    }
    let found = text.records().skip(1).count();
    // The line may also be a row, of numbers or with a label: then the classes do not agree.
    let agree =
        text.records().skip(1).all(|row| integer(&row, columns).is_some_and(|class| class < names.len()));
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

/// The labels of scikit-learn's layout, from the cells of the last column.
pub(super) fn of_announced(text: &Text, classes: &[String], names: Vec<String>) -> Result<Labels> {
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
