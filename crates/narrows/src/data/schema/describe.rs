//! The columns of a table for people: kind, examples, missing values, range or levels, what becomes of them.

use serde::Serialize;

use super::columns::{ColumnKind, Kind, Schema};
use super::dates;
use crate::base::text::{figure_text, short_text};
use crate::data::source::each_block;
use crate::data::{Content, Frame};
use crate::error::Result;

/// A column of a table, described.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ColumnDescription {
    /// Its name, or `column_N`.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// The first distinct cells, as text.
    pub examples: Vec<String>,
    /// Rows without a value.
    pub missing: usize,
    /// The range of a number or a date, or the levels with their shares.
    pub content: String,
    /// What becomes of it.
    pub becomes: String,
}

/// Examples of a column.
const EXAMPLES: usize = 3;

impl Schema {
    /// The columns that are not encoded, with the reason, in a phrase; empty where all are. Left-out columns are those of choice.
    pub fn left_out(&self) -> String {
        let reason = |kind: Kind| match kind {
            Kind::Identifier => Some("an identifier"),
            Kind::Label => Some("the label"),
            Kind::Text => Some("text"),
            Kind::Constant => Some("always the same"),
            Kind::Number | Kind::YesNo | Kind::Category | Kind::Date | Kind::LeftOut => None,
        };
        let named = (1..).zip(&self.columns).filter_map(|(number, column)| {
            let reason = reason(column.kind.kind())?;
            Some(format!("`{}` ({reason})", short_text(&column.title(number), 40)))
        });
        let named: Vec<String> = named.collect();
        let rest = named.len().saturating_sub(8);
        let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
        format!("{}{more}", named[..named.len() - rest].join(", "))
    }

    /// Describes the columns of the table that the schema was found from.
    ///
    /// # Errors
    /// Where rows cannot be read.
    pub fn describe(&self, frame: &Frame<'_>) -> Result<Vec<ColumnDescription>> {
        let width = frame.columns.len();
        let mut missing = vec![0; width];
        let mut ranges = vec![(f64::INFINITY, f64::NEG_INFINITY); width];
        let mut examples: Vec<Vec<f64>> = vec![Vec::new(); width];
        each_block(&*frame.cells, |_, block| {
            for row in block.chunks_exact(width) {
                for (at, &value) in row.iter().enumerate() {
                    if value.is_nan() {
                        missing[at] += 1;
                        continue;
                    }
                    let range = &mut ranges[at];
                    *range = (range.0.min(value), range.1.max(value));
                    let examples = &mut examples[at];
                    if examples.len() < EXAMPLES && !examples.contains(&value) {
                        examples.push(value);
                    }
                }
            }
            Ok(())
        })?;
        let describe = |at: usize| {
            let (column, kind) = (&frame.columns[at], &self.columns[at].kind);
            let text = |value: f64| match (&column.content, kind) {
                (Content::Texts(texts), _) => texts.get(value as usize).cloned().unwrap_or_default(),
                (Content::Days, ColumnKind::Date { pattern, .. }) => {
                    dates::text_of(value, pattern).unwrap_or_default()
                }
                _ => short_number(value),
            };
            ColumnDescription {
                name: self.columns[at].title(at + 1),
                kind: kind.kind(),
                examples: examples[at].iter().map(|&value| short_text(&text(value), 16)).collect(),
                missing: missing[at],
                content: content(kind, &column.content, ranges[at]),
                becomes: becomes(kind),
            }
        };
        Ok((0..width).map(describe).collect())
    }
}

fn short_number(value: f64) -> String {
    let exact = value.to_string();
    if exact.len() <= 12 { exact } else { figure_text(value) }
}

/// The range or the levels.
fn content(kind: &ColumnKind, content: &Content, (least, most): (f64, f64)) -> String {
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    match kind {
        ColumnKind::YesNo { texts, share } => {
            let yes = texts.as_ref().map_or("1", |[_, yes]| yes);
            format!("{} {}", short_text(yes, 20), percent(*share))
        }
        ColumnKind::Category { levels } => {
            let shown: Vec<String> = levels
                .iter()
                .take(4)
                .map(|level| format!("{} {}", short_text(&level.text, 20), percent(level.share)))
                .collect();
            let rest = levels.len().saturating_sub(4);
            let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
            format!("{}{more}", shown.join(", "))
        }
        ColumnKind::Date { pattern, first } => {
            let end = match content {
                Content::Days => dates::text_of(most, pattern),
                _ => None,
            };
            let from = dates::text_of(*first, pattern).unwrap_or_default();
            end.map_or_else(|| format!("from {from}"), |end| format!("{from} to {end}"))
        }
        ColumnKind::Constant { text: Some(text) } => format!("always {}", short_text(text, 24)),
        ColumnKind::Constant { text: None } => "empty".into(),
        _ => match content {
            Content::Numbers if least == most => format!("always {}", short_number(least)),
            Content::Numbers if least < most => format!("{} to {}", short_number(least), short_number(most)),
            Content::Texts(texts) => format!("{} distinct", texts.len()),
            _ => String::new(),
        },
    }
}

/// What becomes of a column.
fn becomes(kind: &ColumnKind) -> String {
    match kind {
        ColumnKind::Number => "a number".into(),
        ColumnKind::YesNo { .. } => "0 or 1".into(),
        ColumnKind::Category { levels } => format!("{} numbers, one per level", levels.len()),
        ColumnKind::Date { pattern, .. } if pattern.contains("%H") && !pattern.contains("%Y") => {
            "a number: parts of a day".into()
        }
        ColumnKind::Date { .. } => "a number: days since the first".into(),
        ColumnKind::Identifier => "kept beside the rows".into(),
        ColumnKind::Label => "the class, kept beside the rows".into(),
        ColumnKind::Text => "left out: too many texts".into(),
        ColumnKind::Constant { .. } => "left out: always the same".into(),
        ColumnKind::LeftOut => "left out by choice".into(),
    }
}
