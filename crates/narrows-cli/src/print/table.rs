//! Tables and lines on standard output.

use std::io::Write;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use narrows::network::plan::LayerTable;
use serde::Serialize;

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
    let mut table = Table::new();
    *table.style_mut() = NOTHING;
    for (name, value) in pairs {
        table.add_row([name, value]);
    }
    print(&table)
}

/// Prints a layer table, numbers to the right.
pub fn layers(layers: &LayerTable) -> anyhow::Result<()> {
    let mut table = Table::new();
    *table.style_mut() = NOTHING;
    table.set_header(LayerTable::HEADER);
    for row in &layers.rows {
        table.add_row(row.cells());
    }
    for column in 2..LayerTable::HEADER.len() {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    print(&table)
}

/// Prints a table, all but its first column to the right.
pub fn table(header: &[String], rows: &[Vec<String>]) -> anyhow::Result<()> {
    let mut table = Table::new();
    *table.style_mut() = NOTHING;
    table.set_header(header);
    for row in rows {
        table.add_row(row);
    }
    for column in 1..header.len() {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    print(&table)
}

fn print(table: &Table) -> anyhow::Result<()> {
    for row in table.lines() {
        line(row.trim_end())?;
    }
    Ok(())
}
