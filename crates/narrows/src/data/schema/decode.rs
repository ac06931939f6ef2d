//! Rows of numbers as rows of a table again, with names, levels and dates.

use std::collections::HashMap;
use std::sync::Arc;

use super::columns::{ColumnKind, Schema};
use super::dates;
use crate::data::source::each_block;
use crate::data::{Content, EncodedTable, Frame, FrameColumn, Shape, Source, Table, Values};
use crate::error::Result;

/// A column of cells and what they are.
struct Cells {
    name: String,
    content: Content,
    values: Vec<f64>,
}

impl Schema {
    /// The table of encoded rows (n x the schema's width): a category is the level with the largest number, a yes/no column is yes
    /// from 0.5 on, a date is rounded to what its form shows, a constant is restored. `beside` is the table of the same rows, or of
    /// their codes: its identifiers come first, its labels last.
    ///
    /// # Errors
    /// Where rows cannot be read.
    pub fn decode(&self, rows: &dyn Source, beside: Option<&EncodedTable<'_>>) -> Result<Frame<'static>> {
        let mut columns: Vec<Cells> = Vec::new();
        let kept = |identifiers: bool| -> Result<Vec<Cells>> {
            beside.map_or(Ok(Vec::new()), |table| table.schema.beside(&table.frame, identifiers))
        };
        columns.extend(kept(true)?);
        let n = rows.rows();
        let mut at = 0;
        for (number, column) in (1..).zip(&self.columns) {
            let width = column.kind.width();
            let name = column.title(number);
            match &column.kind {
                ColumnKind::Constant { text: Some(text) } => {
                    let content = Content::Texts(Arc::new(vec![text.clone()]));
                    columns.push(Cells { name, content, values: vec![0.0; n] });
                }
                ColumnKind::Constant { text: None } => {
                    columns.push(Cells { name, content: Content::Numbers, values: vec![f64::NAN; n] });
                }
                _ if width == 0 => {}
                kind => {
                    let mut values = Vec::with_capacity(n);
                    let mut texts = Texts::default();
                    let row_width = rows.shape().len();
                    each_block(rows, |_, block| {
                        for row in block.chunks_exact(row_width) {
                            values.push(decode_cell(kind, &row[at..at + width], &mut texts));
                        }
                        Ok(())
                    })?;
                    let content = match kind {
                        ColumnKind::Number | ColumnKind::YesNo { texts: None, .. } => Content::Numbers,
                        _ => Content::Texts(Arc::new(texts.all)),
                    };
                    columns.push(Cells { name, content, values });
                }
            }
            at += width;
        }
        columns.extend(kept(false)?);
        frame_of(columns, n)
    }

    /// The identifiers of a table, or its labels.
    fn beside(&self, frame: &Frame<'_>, identifiers: bool) -> Result<Vec<Cells>> {
        let sources = self.sources(frame, &mut Vec::new())?;
        let wanted = |kind: &ColumnKind| match kind {
            ColumnKind::Identifier => identifiers,
            ColumnKind::Label => !identifiers,
            _ => false,
        };
        let pairs = self.columns.iter().zip(sources).enumerate();
        let pairs = pairs.filter(|(_, (column, _))| wanted(&column.kind));
        pairs
            .filter_map(|(at, (column, source))| Some((column.title(at + 1), source?)))
            .map(|(name, source)| {
                let content = frame.columns[source].content.clone();
                Ok(Cells { name, content, values: column_of(&*frame.cells, source)? })
            })
            .collect()
    }

    /// A table of other numbers of the same rows, such as their codes, between the identifiers and the labels of `beside`.
    ///
    /// # Errors
    /// Where rows cannot be read.
    pub fn label_rows(
        &self,
        rows: &dyn Source,
        names: Vec<String>,
        beside: &Frame<'_>,
    ) -> Result<Frame<'static>> {
        let mut columns = self.beside(beside, true)?;
        for (at, name) in names.into_iter().enumerate() {
            columns.push(Cells { name, content: Content::Numbers, values: column_of(rows, at)? });
        }
        columns.extend(self.beside(beside, false)?);
        frame_of(columns, rows.rows())
    }
}

/// Distinct texts in the order of their first row.
#[derive(Default)]
struct Texts {
    all: Vec<String>,
    index: HashMap<String, usize>,
}

impl Texts {
    fn number(&mut self, text: &str) -> f64 {
        if let Some(&at) = self.index.get(text) {
            return at as f64;
        }
        let at = self.all.len();
        self.all.push(text.to_owned());
        self.index.insert(text.to_owned(), at);
        at as f64
    }
}

fn decode_cell(kind: &ColumnKind, numbers: &[f64], texts: &mut Texts) -> f64 {
    if numbers.iter().any(|number| number.is_nan()) {
        return f64::NAN;
    }
    match kind {
        ColumnKind::YesNo { texts: None, .. } => f64::from(u8::from(numbers[0] >= 0.5)),
        ColumnKind::YesNo { texts: Some([no, yes]), .. } => {
            texts.number(if numbers[0] >= 0.5 { yes } else { no })
        }
        ColumnKind::Category { levels } => {
            let best =
                (1..numbers.len()).fold(0, |best, at| if numbers[at] > numbers[best] { at } else { best });
            texts.number(&levels[best].text)
        }
        ColumnKind::Date { pattern, first } => match dates::text_of(numbers[0] + first, pattern) {
            Some(text) => texts.number(&text),
            None => f64::NAN,
        },
        _ => numbers[0],
    }
}

fn column_of(rows: &dyn Source, at: usize) -> Result<Vec<f64>> {
    let width = rows.shape().len();
    let mut values = Vec::with_capacity(rows.rows());
    each_block(rows, |_, block| {
        values.extend(block.chunks_exact(width).map(|row| row[at]));
        Ok(())
    })?;
    Ok(values)
}

fn frame_of(columns: Vec<Cells>, rows: usize) -> Result<Frame<'static>> {
    let width = columns.len();
    let mut cells = vec![f64::NAN; rows * width];
    for (at, column) in columns.iter().enumerate() {
        for (row, &value) in cells.chunks_exact_mut(width).zip(&column.values) {
            row[at] = value;
        }
    }
    let mut names = std::collections::HashSet::new();
    let columns = columns
        .into_iter()
        .map(|Cells { mut name, content, .. }| {
            // An identifier may have the name of a code.
            while !names.insert(name.clone()) {
                name.push('_');
            }
            FrameColumn { name: Some(name), content }
        })
        .collect();
    let table = Table::with_missing(Values::F64(cells), Shape::flat(width))?;
    Frame::new(columns, Arc::new(table))
}
