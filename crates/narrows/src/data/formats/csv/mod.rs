//! Tables as text: CSV and its relatives, which may be packed.
//!
//! Properties that are derived from the content:
//! - The encoding: UTF-8, UTF-16 with a mark, else Windows-1252, which contains Latin-1.
//! - The delimiter is that of `,`, `;`, tab, `|` and runs of spaces which makes the first lines a table. A delimiter at the end of
//!   each line is no column.
//! - Lines that begin with `#` are comments where the other lines are a table without them.
//! - The first line is a header if it differs from the rows below: a text over numbers; a text that does not come again; names that
//!   are numbers where they are a series unlike the values. Where the first line may be either, it is refused:
//!   [`OpenOptions::header`](crate::data::OpenOptions::header) says which.
//! - The layout of scikit-learn's data sets, whose first line is `rows,columns,class names`, is recognised by its counts: the
//!   last column contains classes, numbered from 0.
//! - A column is numbers if all of its cells are, missing ones aside, in one form: `1.5`, `1,5`, `1,234`, `45 %`, `$ 12`. Else
//!   it is text, and so are numbers that are something else as text: whole ones with zeros in front, integers past 2^53. A text among
//!   numbers, where at most one in ten is none, is an error that names the line of the file (from 1) and the column, and so are
//!   infinities and lines of another length.
//!
//! Numbers are f64.

mod header;
mod labels;
mod table;
mod text;
mod write;

pub(in crate::data) use labels::read_labels;
pub use write::{WriteOptions, encode, encode_classes, encode_table};

use std::sync::Arc;

use super::{FirstLines, TextOptions, TextTable};
use crate::data::{Content, Frame, FrameColumn, Shape, Table, Values};
use crate::error::Result;
use header::Header;
use table::{Cells, read_cells};
use text::Text;

/// More columns than this are a file that was read with the wrong delimiter, or a table that has to be transposed.
const COLUMN_LIMIT: usize = 1_000_000;

/// The memory that a table takes beside its text of `length` bytes, estimated from the beginning of the text.
pub(in crate::data) fn table_bytes(start: &[u8], length: usize) -> usize {
    let lines = start.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count();
    let between = start.iter().filter(|byte| matches!(byte, b',' | b';' | b'\t' | b'|')).count();
    // Runs of spaces separate cells where nothing else does.
    let spaces = || start.windows(2).filter(|pair| pair[0] == b' ' && pair[1] != b' ').count();
    let fields = lines + if between > lines / 2 { between } else { spaces() };
    let all = length as u128 * fields as u128 / start.len().max(1) as u128;
    usize::try_from(all).unwrap_or(usize::MAX).saturating_mul(size_of::<f64>())
}

/// Reads a table with all its columns.
pub(in crate::data) fn read(place: &str, bytes: Vec<u8>, options: TextOptions<'_>) -> Result<TextTable> {
    let mut text = Text::new(place, bytes)?;
    let mut notes = std::mem::take(&mut text.notes);
    let header = Header::read(&text, options, &mut notes)?;
    let Cells { values, mut contents, tallies } = read_cells(&text, &header, options, &mut notes)?;
    let mut classes = None;
    if let Some(names) = &header.announced_classes {
        let last = header.width - 1;
        labels::check_announced(&text, values.iter().skip(last).step_by(header.width).copied(), names)?;
        contents[last] = Content::Texts(Arc::new(names.clone()));
        classes = Some(last);
    }
    let table = Table::with_missing(Values::F64(values), Shape::flat(header.width))
        .map_err(|error| error.at(place))?;
    let columns = contents
        .into_iter()
        .enumerate()
        .map(|(column, content)| FrameColumn { name: header.name(column).map(str::to_owned), content })
        .collect();
    let frame = Frame::new(columns, Arc::new(table)).map_err(|error| error.at(place))?;
    let first = tallies.iter().map(FirstLines::of).collect();
    Ok(TextTable { frame, classes, notes, first })
}

#[cfg(test)]
mod tests;
