//! Tables and lines on standard output.

use narrows::base::text::escaped;
use narrows::network::plan::LayerTable;
use serde::{Serialize, Serializer};

use super::columns::Columns;
use super::json;
pub use super::stdout::line;

/// Prints a record as one line of JSON, without numbers that are not finite.
pub fn json(record: &impl Serialize) -> anyhow::Result<()> {
    line(json::text(record)?)
}

/// A path in JSON, which is text: what is no UTF-8 in it is replaced, as in a message.
pub fn path<S: Serializer>(path: &std::path::Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// As [`path`], where there may be none.
pub fn optional_path<S: Serializer>(
    path: &Option<&std::path::Path>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match path {
        Some(path) => serializer.collect_str(&path.display()),
        None => serializer.serialize_none(),
    }
}

/// Prints pairs as two columns, each pair on its line.
pub fn pairs(pairs: &[(String, String)]) -> anyhow::Result<()> {
    let mut table = Columns::default();
    for (name, value) in pairs {
        table.add_row([escaped(name), escaped(value)]);
    }
    print(&table)
}

/// Prints a layer table, numbers to the right.
pub fn layers(layers: &LayerTable) -> anyhow::Result<()> {
    let mut table = Columns::right_from(2);
    table.add_row(LayerTable::HEADER);
    for row in &layers.rows {
        table.add_row(row.cells().map(|cell| escaped(&cell).into_owned()));
    }
    print(&table)
}

/// Prints a table of words.
pub fn left_table(header: &[String], rows: &[Vec<String>]) -> anyhow::Result<()> {
    let mut table = Columns::default();
    table.add_row(header.iter().map(|name| escaped(name)));
    for row in rows {
        table.add_row(row.iter().map(|cell| escaped(cell)));
    }
    print(&table)
}

/// Prints a table, all but its first column to the right.
pub fn table(header: &[String], rows: &[Vec<String>]) -> anyhow::Result<()> {
    let mut table = Columns::right_from(1);
    table.add_row(header.iter().map(|name| escaped(name)));
    for row in rows {
        table.add_row(row.iter().map(|cell| escaped(cell)));
    }
    print(&table)
}

fn print(table: &Columns) -> anyhow::Result<()> {
    for row in table.lines() {
        line(row)?;
    }
    Ok(())
}
