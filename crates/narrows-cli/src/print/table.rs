//! Tables and lines on standard output.

use std::io::Write;

use narrows::network::plan::LayerTable;
use serde::Serialize;

use super::columns::Columns;

/// Prints a line; a closed pipe is an error that `main` knows.
pub fn line(text: impl std::fmt::Display) -> anyhow::Result<()> {
    writeln!(std::io::stdout().lock(), "{text}")?;
    Ok(())
}

/// Prints a record as one line of JSON.
pub fn json(record: &impl Serialize) -> anyhow::Result<()> {
    line(serde_json::to_string(record)?)
}

/// Prints pairs as two columns.
pub fn pairs(pairs: &[(String, String)]) -> anyhow::Result<()> {
    let mut table = Columns::default();
    for (name, value) in pairs {
        table.add_row([name, value]);
    }
    print(&table)
}

/// Prints a layer table, numbers to the right.
pub fn layers(layers: &LayerTable) -> anyhow::Result<()> {
    let mut table = Columns::right_from(2);
    table.add_row(LayerTable::HEADER);
    for row in &layers.rows {
        table.add_row(row.cells());
    }
    print(&table)
}

/// Prints a table, all but its first column to the right.
pub fn table(header: &[String], rows: &[Vec<String>]) -> anyhow::Result<()> {
    let mut table = Columns::right_from(1);
    table.add_row(header);
    for row in rows {
        table.add_row(row);
    }
    print(&table)
}

fn print(table: &Columns) -> anyhow::Result<()> {
    for row in table.lines() {
        line(row)?;
    }
    Ok(())
}
