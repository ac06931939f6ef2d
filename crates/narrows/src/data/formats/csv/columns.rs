//! The columns of a file: data, labels, row names.

use super::header::Header;
use super::text::{Text, shortened};
use crate::error::Result;

/// The columns of a file, by number from 0.
pub(super) struct Columns {
    /// The column of labels.
    pub label: Option<usize>,
    /// The columns of data.
    pub data: Vec<usize>,
    has_row_names: bool,
}

impl Columns {
    /// Finds the columns. `label` is the name or the number (from 1) of the column of labels.
    pub fn new(text: &Text, header: &Header, label: Option<&str>) -> Result<Self> {
        let label = find_label(text, header, label)?;
        let first_name = header.name(0).map(|name| name.to_ascii_lowercase());
        let has_row_names = header.width > 1
            && label != Some(0)
            && first_name.is_some_and(|name| ["", "rownames", "row.names"].contains(&&*name));
        let mut columns = Self { label, data: Vec::new(), has_row_names };
        columns.data = (0..header.width).filter(|&column| columns.is_data(column)).collect();
        if columns.data.is_empty() {
            return Err(text.error("there is no column beside the label"));
        }
        Ok(columns)
    }

    /// Whether a column contains data: neither labels nor row names.
    pub fn is_data(&self, column: usize) -> bool {
        Some(column) != self.label && !(column == 0 && self.has_row_names)
    }
}

/// The column of labels: the last one in scikit-learn's layout, else that which `label` names.
fn find_label(text: &Text, header: &Header, label: Option<&str>) -> Result<Option<usize>> {
    let width = header.width;
    match (&header.announced_classes, label) {
        (Some(_), None) => Ok(Some(width - 1)),
        (Some(_), Some(label)) if label.parse() == Ok(width) => Ok(Some(width - 1)),
        (Some(_), Some(_)) => Err(text
            .error(format_args!("its first line says that the classes are in the last column, {width}"))
            .hint("leave out `label_column`")),
        (None, Some(label)) => column_of(text, header, label).map(Some),
        (None, None) => Ok(None),
    }
}

/// The column of a name, or of a number from 1 where no column has this name.
fn column_of(text: &Text, header: &Header, label: &str) -> Result<usize> {
    let (names, width) = (header.names.as_deref(), header.width);
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
                Some(names) => error.hint(format!("the columns are {}", list(names))),
                None => error.hint("there is no header: give the column's number, from 1"),
            })
        }
    }
}

/// Up to 12 names for an error message.
fn list(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(12).map(|name| format!("`{}`", shortened(name))).collect();
    let rest = names.len() - shown.len();
    if rest > 0 { format!("{} and {rest} more", shown.join(", ")) } else { shown.join(", ") }
}
