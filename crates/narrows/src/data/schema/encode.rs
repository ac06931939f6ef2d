//! Rows of a table as rows of numbers, and how a table is matched with the schema of another.

use std::sync::Arc;

use super::columns::{ColumnKind, Level, OTHER, Schema, SchemaColumn, number};
use super::dates;
use super::infer::is_identifier_name;
use crate::base::text::{escaped, listed, short_text};
use crate::data::source::each_block;
use crate::data::{Access, Content, Element, Frame, FrameColumn, Shape, Source};
use crate::error::{Error, Result};

/// A table matched with a schema.
pub(crate) struct Matched<'a> {
    /// The rows, encoded.
    pub rows: Arc<dyn Source + 'a>,
    /// What is worth saying: columns in another order, levels that are not known.
    pub notes: Vec<String>,
}

impl Schema {
    /// The rows of a table as this schema encodes them: columns are matched by name, or by number in a file without names. For a
    /// foreign table, other than the one that the schema was found from, levels that are not known are counted.
    ///
    /// # Errors
    /// Where a column is missing or is not known, or a column's cells are of another kind.
    pub(crate) fn encode<'a>(&self, frame: &Frame<'a>, is_foreign: bool) -> Result<Matched<'a>> {
        let mut notes = Vec::new();
        let sources = self.sources(frame, &mut notes)?;
        let mut steps = Vec::new();
        let mut at = 0;
        for (number, (column, source)) in (1..).zip(self.columns.iter().zip(&sources)) {
            if let Some(from) = *source
                && column.kind.width() > 0
            {
                let how = step(&column.kind, &frame.columns[from].content)
                    .map_err(|error| error.at(format_args!("column `{}`", escaped(&column.title(number)))))?;
                steps.push(Step { from, at, how });
                at += column.kind.width();
            }
        }
        let is_whole = steps.len() == frame.columns.len()
            && steps.iter().all(|step| step.from == step.at && matches!(step.how, How::Copy));
        if is_whole {
            return Ok(Matched { rows: frame.cells.clone(), notes });
        }
        let rows = EncodedRows { cells: frame.cells.clone(), steps, width: at };
        if is_foreign {
            notes.extend(rows.unknown_levels(&frame.columns)?);
        }
        Ok(Matched { rows: Arc::new(rows), notes })
    }

    /// For each column, the column of the table that holds its cells; None for one that is not encoded and not there.
    pub(crate) fn sources(&self, frame: &Frame<'_>, notes: &mut Vec<String>) -> Result<Vec<Option<usize>>> {
        let has_names = self.has_names() && frame.columns.iter().any(|column| column.name.is_some());
        if !has_names {
            return self.sources_by_number(frame, notes);
        }
        // A column without a name, among others with names, is that of its number.
        let find = |(at, column): (usize, &SchemaColumn)| match &column.name {
            Some(_) => frame.columns.iter().position(|other| other.name == column.name),
            None => frame.columns.get(at).filter(|other| other.name.is_none()).map(|_| at),
        };
        let sources: Vec<Option<usize>> = self.columns.iter().enumerate().map(find).collect();
        let list = |names: &[&str]| listed(names, 8);
        let missing: Vec<&str> = self
            .columns
            .iter()
            .zip(&sources)
            .filter(|(column, source)| source.is_none() && column.kind.width() > 0)
            .filter_map(|(column, _)| column.name.as_deref())
            .collect();
        let unknown: Vec<&str> = frame
            .columns
            .iter()
            .filter_map(|column| column.name.as_deref())
            .filter(|name| {
                let is_known = self.columns.iter().any(|column| column.name.as_deref() == Some(name));
                !is_known && !is_identifier_name(name)
            })
            .collect();
        if !missing.is_empty() {
            let error = Error::data(format!(
                "{} {} missing, which the model was fitted on",
                if missing.len() == 1 { "the column" } else { "the columns" },
                list(&missing) + if missing.len() == 1 { " is" } else { " are" }
            ));
            return Err(match unknown.is_empty() {
                true => error.hint("columns are matched by name"),
                false => error.hint(format!("columns are matched by name; not known: {}", list(&unknown))),
            });
        }
        if !unknown.is_empty() {
            return Err(Error::data(format!(
                "the model does not know the {} {}",
                if unknown.len() == 1 { "column" } else { "columns" },
                list(&unknown)
            ))
            .hint("leave it out with `drop`, if it is not meant for the model"));
        }
        let order: Vec<usize> = sources.iter().flatten().copied().collect();
        if !order.is_sorted() {
            notes.push("the columns are in another order than the model's: they were matched by name".into());
        }
        Ok(sources)
    }

    fn sources_by_number(&self, frame: &Frame<'_>, notes: &mut Vec<String>) -> Result<Vec<Option<usize>>> {
        let encoded = self.columns.iter().filter(|column| column.kind.width() > 0).count();
        let given = frame.columns.len();
        if given == self.columns.len() {
            if self.has_names() {
                notes.push("the rows have no names of columns: they were matched by number".into());
            }
            return Ok((0..given).map(Some).collect());
        }
        if given == encoded {
            notes.push("the columns were matched by number with those that the model encodes".into());
            let mut next = 0..;
            let of = |column: &SchemaColumn| if column.kind.width() > 0 { next.next() } else { None };
            return Ok(self.columns.iter().map(of).collect());
        }
        Err(Error::data(format!("{given} columns; the model was fitted on {}", self.columns.len())))
    }
}

/// How the cells of one column become numbers of the encoded row.
struct Step {
    /// The column.
    from: usize,
    /// The first number.
    at: usize,
    how: How,
}

enum How {
    /// The number as it is.
    Copy,
    /// Minus this.
    Minus(f64),
    /// 0 or 1 as it is; other numbers are missing.
    Flag,
    /// The number of each text.
    Lookup(Vec<f64>),
    /// 1 at the level of each text, 0 elsewhere; `own` are the texts that are levels themselves.
    Levels { of_text: Vec<u32>, own: Vec<bool>, width: usize },
    /// 1 at the level of a number. The pairs are sorted by the number.
    NumberLevels { pairs: Vec<(f64, u32)>, other: u32, width: usize },
    /// 0 or 1 of two numbers.
    Two([f64; 2]),
}

/// No level.
const UNKNOWN: u32 = u32::MAX;

fn step(kind: &ColumnKind, content: &Content) -> Result<How> {
    let used_as =
        |what: &str| Error::data(format!("its cells are {what}; the model was fitted on another kind"));
    let shown = |text: &str| escaped(&short_text(text, 40)).into_owned();
    Ok(match (kind, content) {
        (ColumnKind::Number, Content::Numbers) => How::Copy,
        (ColumnKind::Number, Content::Texts(texts)) => {
            let parse = |text: &String| {
                number(text).ok_or_else(|| Error::data(format!("`{}` is not a number", shown(text))))
            };
            How::Lookup(texts.iter().map(parse).collect::<Result<_>>()?)
        }
        (ColumnKind::YesNo { texts: None, .. }, Content::Numbers) => How::Flag,
        (ColumnKind::YesNo { texts: Some([no, yes]), .. }, Content::Numbers) => {
            match (number(no), number(yes)) {
                (Some(no), Some(yes)) => How::Two([no, yes]),
                _ => return Err(used_as("numbers")),
            }
        }
        (ColumnKind::YesNo { texts: pair, .. }, Content::Texts(texts)) => {
            let (no, yes) = pair.as_ref().map_or(("0", "1"), |[no, yes]| (&**no, &**yes));
            let flag = |text: &String| match text.trim() {
                text if text == no => Ok(0.0),
                text if text == yes => Ok(1.0),
                text => Err(Error::data(format!(
                    "`{}` is neither `{}` nor `{}`",
                    shown(text),
                    shown(no),
                    shown(yes)
                ))),
            };
            How::Lookup(texts.iter().map(flag).collect::<Result<_>>()?)
        }
        (ColumnKind::Category { levels }, Content::Texts(texts)) => {
            let of_text = texts.iter().map(|text| level_of(levels, text.trim())).collect();
            let own = texts.iter().map(|text| levels.iter().any(|level| level.text == text.trim())).collect();
            How::Levels { of_text, own, width: levels.len() }
        }
        (ColumnKind::Category { levels }, Content::Numbers) => {
            let mut pairs: Vec<(f64, u32)> =
                (0..).zip(levels).filter_map(|(at, level)| Some((number(&level.text)?, at))).collect();
            pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
            How::NumberLevels { pairs, other: level_of(levels, OTHER), width: levels.len() }
        }
        (ColumnKind::Date { pattern, first }, Content::Texts(texts)) => {
            let parse = |text: &String| {
                dates::days(text.trim(), pattern)
                    .map(|days| days - first)
                    .ok_or_else(|| Error::data(format!("`{}` is no date of the form {pattern}", shown(text))))
            };
            How::Lookup(texts.iter().map(parse).collect::<Result<_>>()?)
        }
        (ColumnKind::Date { first, .. }, Content::Days) => How::Minus(*first),
        (ColumnKind::Date { .. }, Content::Numbers) => return Err(used_as("numbers, not dates")),
        (ColumnKind::Number | ColumnKind::YesNo { .. } | ColumnKind::Category { .. }, Content::Days) => {
            return Err(used_as("dates"));
        }
        (
            ColumnKind::Identifier
            | ColumnKind::Label
            | ColumnKind::Text
            | ColumnKind::Constant { .. }
            | ColumnKind::LeftOut,
            _,
        ) => How::Copy,
    })
}

/// The level of a text: that of this name, else the one for others.
fn level_of(levels: &[Level], text: &str) -> u32 {
    let find = |text: &str| levels.iter().position(|level| level.text == text);
    find(text).or_else(|| find(OTHER)).map_or(UNKNOWN, |at| at as u32)
}

/// Rows of a table, encoded when they are read.
struct EncodedRows<'a> {
    cells: Arc<dyn Source + 'a>,
    steps: Vec<Step>,
    width: usize,
}

impl EncodedRows<'_> {
    fn encode(&self, cells: &[f64], out: &mut [f64]) {
        let given = self.cells.shape().len();
        for (cells, out) in cells.chunks_exact(given).zip(out.chunks_exact_mut(self.width)) {
            for step in &self.steps {
                step.encode(cells[step.from], &mut out[step.at..]);
            }
        }
    }

    /// A sentence for each column with levels that are not the model's: how many rows have one, and what they count as. The rows are
    /// read once, where there is such a text.
    fn unknown_levels(&self, columns: &[FrameColumn]) -> Result<Vec<String>> {
        // The text of a level that stands alone has its own number; others share that of `(other)`, or have none.
        let is_unknown = |step: &Step| match (&step.how, &columns[step.from].content) {
            (How::Levels { of_text, own, .. }, Content::Texts(_)) => {
                (0..of_text.len()).map(|text| !own[text]).collect()
            }
            _ => Vec::new(),
        };
        let open: Vec<(&Step, Vec<bool>)> = self
            .steps
            .iter()
            .map(|step| (step, is_unknown(step)))
            .filter(|(_, unknown)| unknown.contains(&true))
            .collect();
        if open.is_empty() {
            return Ok(Vec::new());
        }
        let given = self.cells.shape().len();
        let mut counts = vec![0; open.len()];
        each_block(&*self.cells, |_, block| {
            for row in block.chunks_exact(given) {
                for (count, (step, unknown)) in counts.iter_mut().zip(&open) {
                    let cell = row[step.from];
                    *count += usize::from(!cell.is_nan() && unknown.get(cell as usize) == Some(&true));
                }
            }
            Ok(())
        })?;
        let rows = self.cells.rows();
        let sentence = |count: usize, step: &Step| {
            let column = &columns[step.from];
            let name = column.name.clone().unwrap_or_else(|| format!("column_{}", step.from + 1));
            let has_other = match &step.how {
                How::Levels { of_text, own, .. } => {
                    of_text.iter().zip(own).any(|(level, own)| !own && *level != UNKNOWN)
                }
                _ => false,
            };
            let what = if has_other { OTHER } else { "none of them" };
            format!(
                "column `{}`: {count} of {rows} rows have a level that is none of the model's, and count as {what}",
                escaped(&name)
            )
        };
        let pairs = counts.into_iter().zip(&open).filter(|(count, _)| *count > 0);
        Ok(pairs.map(|(count, (step, _))| sentence(count, step)).collect())
    }

    fn read(&self, rows: usize, out: &mut [f64], read: impl Fn(&mut [f64]) -> Result<()>) -> Result<()> {
        let mut cells = vec![0.0; rows * self.cells.shape().len()];
        read(&mut cells)?;
        self.encode(&cells, out);
        Ok(())
    }
}

impl Step {
    fn encode(&self, cell: f64, out: &mut [f64]) {
        let one_hot = |out: &mut [f64], width: usize, level: u32| {
            out[..width].fill(0.0);
            if let Some(out) = out[..width].get_mut(level as usize) {
                *out = 1.0;
            }
        };
        match &self.how {
            How::Copy => out[0] = cell,
            How::Minus(first) => out[0] = cell - first,
            How::Flag => out[0] = if cell == 0.0 || cell == 1.0 { cell } else { f64::NAN },
            How::Two([no, yes]) => {
                out[0] = if cell == *no {
                    0.0
                } else if cell == *yes {
                    1.0
                } else {
                    f64::NAN
                };
            }
            How::Lookup(values) if !cell.is_nan() => {
                out[0] = values.get(cell as usize).copied().unwrap_or(f64::NAN);
            }
            How::Lookup(_) => out[0] = f64::NAN,
            How::Levels { width, .. } | How::NumberLevels { width, .. } if cell.is_nan() => {
                out[..*width].fill(f64::NAN);
            }
            How::Levels { of_text, width, .. } => {
                one_hot(out, *width, of_text.get(cell as usize).copied().unwrap_or(UNKNOWN));
            }
            How::NumberLevels { pairs, other, width } => {
                let found = pairs.binary_search_by(|pair| pair.0.total_cmp(&cell));
                one_hot(out, *width, found.map_or(*other, |at| pairs[at].1));
            }
        }
    }
}

impl Source for EncodedRows<'_> {
    fn rows(&self) -> usize {
        self.cells.rows()
    }

    fn shape(&self) -> Shape {
        Shape::flat(self.width)
    }

    fn row_number(&self, row: usize) -> usize {
        self.cells.row_number(row)
    }

    fn element(&self) -> Element {
        match self.cells.element() {
            Element::F32 => Element::F32,
            Element::U8 | Element::F64 => Element::F64,
        }
    }

    fn access(&self) -> Access {
        self.cells.access()
    }

    fn read_f64(&self, first: usize, out: &mut [f64]) -> Result<()> {
        self.read(out.len() / self.width, out, |cells| self.cells.read_f64(first, cells))
    }

    fn gather_f64(&self, indices: &[usize], out: &mut [f64]) -> Result<()> {
        self.read(indices.len(), out, |cells| self.cells.gather_f64(indices, cells))
    }

    fn gather_f32(&self, indices: &[usize], out: &mut [f32]) -> Result<()> {
        let mut wide = vec![0.0; out.len()];
        self.gather_f64(indices, &mut wide)?;
        out.iter_mut().zip(wide).for_each(|(out, value)| *out = value as f32);
        Ok(())
    }
}
