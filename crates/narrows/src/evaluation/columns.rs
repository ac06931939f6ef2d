//! How well each column of a table is reconstructed.

use std::ops::Range;

use crate::base::text::{escaped, short_text};
use crate::data::schema::{ColumnKind, Schema};
use crate::data::{ColumnError, EncodedColumn};
use crate::model::Model;
use crate::model::evaluator::EvaluatedRows;
use crate::model::metrics::ColumnMetrics;

/// Sums over rows for the metrics of each column that the model's schema encodes; none for a model of an array. Missing cells do not
/// count.
pub(super) struct TableSums {
    columns: Vec<EncodedColumn>,
    sums: Vec<ColumnSums>,
}

impl TableSums {
    pub fn new(model: &Model) -> Self {
        let columns = model.schema.as_ref().map(|schema| schema.encoded_columns()).unwrap_or_default();
        Self { sums: columns.iter().map(ColumnSums::new).collect(), columns }
    }

    pub fn add(&mut self, model: &Model, evaluated: &EvaluatedRows) {
        if self.columns.is_empty() {
            return;
        }
        let Self { columns, sums } = self;
        let width = model.shape.len();
        let unscale = |values: &[f64]| {
            let mut values = values.to_vec();
            model.scaling.undo_f64(&mut values, width);
            values
        };
        let (cells, outputs) = (unscale(&evaluated.rows), unscale(&evaluated.outputs));
        for (row, output) in cells.chunks_exact(width).zip(outputs.chunks_exact(width)) {
            columns.iter().zip(&mut *sums).for_each(|(column, sum)| {
                sum.add(&row[column.range.clone()], &output[column.range.clone()]);
            });
        }
    }

    pub fn merge(&mut self, other: &Self) {
        self.sums.iter_mut().zip(&other.sums).for_each(|(sum, other)| sum.merge(other));
    }

    pub fn metrics(&self, model: &Model) -> Vec<ColumnMetrics> {
        let Some(schema) = &model.schema else { return Vec::new() };
        named(schema, &self.columns)
            .zip(&self.sums)
            .map(|((name, kind), sum)| sum.metrics(name, kind))
            .collect()
    }
}

/// The name and the kind of each encoded column.
fn named<'s>(
    schema: &'s Schema,
    columns: &'s [EncodedColumn],
) -> impl Iterator<Item = (String, &'s ColumnKind)> {
    let encoded = (1..).zip(&schema.columns).filter(|(_, column)| column.kind.width() > 0);
    encoded.zip(columns).map(|((number, column), _)| (column.title(number), &column.kind))
}

/// Sums over the rows that have a value.
struct ColumnSums {
    error: ColumnError,
    rows: usize,
    squared_error: f64,
    /// The mean of the cells, and the sum of squares about it (Welford's recurrence; merged after Chan et al. 1979).
    mean: f64,
    squares: f64,
    right: usize,
    /// Rows of each level.
    levels: Vec<usize>,
}

impl ColumnSums {
    fn new(column: &EncodedColumn) -> Self {
        let Range { start, end } = column.range;
        let levels = match column.error {
            ColumnError::Squared => 0,
            ColumnError::Binary => 2,
            ColumnError::Categorical => end - start,
        };
        Self {
            error: column.error,
            rows: 0,
            squared_error: 0.0,
            mean: 0.0,
            squares: 0.0,
            right: 0,
            levels: vec![0; levels],
        }
    }

    fn add(&mut self, cells: &[f64], outputs: &[f64]) {
        if cells[0].is_nan() {
            return;
        }
        self.rows += 1;
        match self.error {
            ColumnError::Squared => {
                let (cell, output) = (cells[0], outputs[0]);
                self.squared_error += (cell - output) * (cell - output);
                let shift = cell - self.mean;
                self.mean += shift / self.rows as f64;
                self.squares += shift * (cell - self.mean);
            }
            ColumnError::Binary => self.count(usize::from(cells[0] >= 0.5), usize::from(outputs[0] >= 0.5)),
            ColumnError::Categorical => self.count(largest(cells), largest(outputs)),
        }
    }

    fn count(&mut self, level: usize, output: usize) {
        self.levels[level] += 1;
        self.right += usize::from(level == output);
    }

    fn merge(&mut self, other: &Self) {
        let (a, b) = (self.rows as f64, other.rows as f64);
        if other.rows > 0 {
            let shift = other.mean - self.mean;
            self.squares += other.squares + shift * shift * a * b / (a + b);
            self.mean += shift * b / (a + b);
        }
        self.rows += other.rows;
        self.squared_error += other.squared_error;
        self.right += other.right;
        self.levels.iter_mut().zip(&other.levels).for_each(|(sum, other)| *sum += other);
    }

    fn metrics(&self, name: String, kind: &ColumnKind) -> ColumnMetrics {
        let share = |count: usize| count as f64 / self.rows.max(1) as f64;
        let is_number = self.error == ColumnError::Squared;
        let explained = if self.squares > 0.0 { 1.0 - self.squared_error / self.squares } else { 0.0 };
        ColumnMetrics {
            name,
            kind: kind.kind(),
            rows: self.rows,
            explained_variance: (is_number && explained.is_finite()).then_some(explained),
            right: (!is_number).then(|| share(self.right)),
            commonest: (!is_number).then(|| share(self.levels.iter().copied().max().unwrap_or(0))),
        }
    }
}

/// The first of the largest numbers.
fn largest(numbers: &[f64]) -> usize {
    (1..numbers.len()).fold(0, |best, at| if numbers[at] > numbers[best] { at } else { best })
}

/// With fewer held-out rows, nothing is said of single columns: chance decides which is best.
const FEW_ROWS: usize = 20;

/// Columns that a sentence names.
const NAMED: usize = 4;

/// A clause on how well the columns are reconstructed: all of them, or the best two and the worst two. None with few
/// rows.
pub(crate) fn columns_clause(columns: &[ColumnMetrics]) -> Option<String> {
    let quality = |column: &ColumnMetrics| match (column.explained_variance, column.right, column.commonest) {
        (Some(explained), ..) => explained,
        // As the variance: what is gained on the commonest level, of what there is to gain.
        (None, Some(right), Some(commonest)) if commonest < 1.0 => (right - commonest) / (1.0 - commonest),
        _ => 0.0,
    };
    let phrase = |column: &ColumnMetrics| {
        let name = escaped(&short_text(&column.name, 40)).into_owned();
        match (column.explained_variance, column.right) {
            (Some(explained), _) => {
                let spread = 100.0 * (1.0 - explained).max(0.0).sqrt();
                if spread > 99.5 {
                    format!("{name} not")
                } else {
                    format!("{name} within {spread:.0} % of its spread")
                }
            }
            (None, right) => format!("{name} right in {:.0} %", 100.0 * right.unwrap_or(0.0)),
        }
    };
    let mut sorted: Vec<&ColumnMetrics> = columns.iter().filter(|column| column.rows >= FEW_ROWS).collect();
    sorted.sort_by(|a, b| quality(b).total_cmp(&quality(a)));
    if sorted.len() < 2 {
        return None;
    }
    let list = |columns: &[&ColumnMetrics]| {
        columns.iter().map(|column| phrase(column)).collect::<Vec<_>>().join(", ")
    };
    Some(if sorted.len() <= NAMED {
        format!("of the columns {}", list(&sorted))
    } else {
        format!("of the columns best {}; worst {}", list(&sorted[..2]), list(&sorted[sorted.len() - 2..]))
    })
}
