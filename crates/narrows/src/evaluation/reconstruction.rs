//! Reconstruction metrics: the errors of a model on rows. Of rows with gaps they are errors on the observed numbers alone: sums over
//! these, and means over their number.

use super::columns::TableSums;
use crate::data::Source;
use crate::error::{Error, Result};
use crate::model::evaluator::EvaluatedRows;
use crate::model::metrics::{ColumnMetrics, Reconstruction, RowScores};
use crate::model::{Fitted, Model, Part};
use crate::network::engine::{self, is_dead, map_chunks};
use crate::recipe::Loss;

/// The metrics of a model on rows. Refuses metrics that are not finite, naming the first row.
pub(crate) fn evaluate(model: &Model, rows: &dyn Source) -> Result<Reconstruction> {
    check(model, rows)?;
    model.require_evaluation(rows)?;
    let Measured { metrics, not_finite, .. } = measure(model, rows, 0)?;
    not_finite.map_or(Ok(metrics), Err)
}

/// The metrics of a model on rows.
pub(crate) struct Measured {
    pub metrics: Reconstruction,
    /// The metrics of each column of a table; empty for rows of an array.
    pub columns: Vec<ColumnMetrics>,
    /// The codes of the first rows.
    pub codes: Vec<f32>,
    /// Why the metrics are not finite, where they are not; it names the first row.
    pub not_finite: Option<Error>,
}

/// Measures a model on rows, and keeps the codes of the first `keep` rows (keep x code size). A fit has asked for the memory.
pub(crate) fn measure(model: &Model, rows: &dyn Source, keep: usize) -> Result<Measured> {
    check(model, rows)?;
    let code_size = model.code_shape().len();
    let evaluator = || model.evaluator(model.compute.level);
    let chunks = map_chunks(rows.rows(), model.compute.threads, evaluator, |evaluator, range| {
        let evaluated = evaluator.rows(rows, &range.clone().collect::<Vec<_>>())?;
        let kept = keep.saturating_sub(range.start).min(range.len()) * code_size;
        let codes: Vec<f32> = evaluated.codes[..kept].iter().map(|&value| value as f32).collect();
        let (mut sums, mut columns) = (ErrorSums::new(model), TableSums::new(model));
        let scores = evaluated.scores();
        sums.add(model, &evaluated, &scores);
        columns.add(model, &evaluated);
        let bad = evaluated.first_not_finite(&scores).map(|row| range.start + row);
        Ok((sums, columns, codes, bad))
    })?;
    let (mut sums, mut columns) = (ErrorSums::new(model), TableSums::new(model));
    for (of_rows, of_columns, ..) in &chunks {
        sums.merge(of_rows);
        columns.merge(of_columns);
    }
    let metrics = sums.metrics(model);
    let not_finite = match chunks.iter().find_map(|(.., bad)| *bad) {
        Some(row) => Some(model.not_finite(rows, row, "its error")),
        None if !metrics.is_finite() => Some(
            Error::data("the sum of the errors of the rows is not finite: they overflow double precision")
                .hint("are the rows in the units of the training rows?"),
        ),
        None => None,
    };
    let codes = chunks.into_iter().flat_map(|(.., codes, _)| codes).collect();
    Ok(Measured { metrics, columns: columns.metrics(model), codes, not_finite })
}

/// The scores of each row, in the order of the rows.
pub(crate) fn score_rows(model: &Model, rows: &dyn Source) -> Result<RowScores> {
    check(model, rows)?;
    model.require_evaluation(rows)?;
    let evaluator = || model.evaluator(model.compute.level);
    let chunks = map_chunks(rows.rows(), model.compute.threads, evaluator, |evaluator, range| {
        let evaluated = evaluator.rows(rows, &range.clone().collect::<Vec<_>>())?;
        let scores = evaluated.scores();
        match evaluated.first_not_finite(&scores) {
            None => Ok(scores),
            Some(row) => Err(model.not_finite(rows, range.start + row, "its error")),
        }
    })?;
    let mut chunks = chunks.into_iter();
    let Some(mut all) = chunks.next() else {
        return Ok(RowScores { squared_error: Vec::new(), loss: None, divergence: None });
    };
    for chunk in chunks {
        all.squared_error.extend(chunk.squared_error);
        all.loss.iter_mut().zip(chunk.loss).for_each(|(all, chunk)| all.extend(chunk));
        all.divergence.iter_mut().zip(chunk.divergence).for_each(|(all, chunk)| all.extend(chunk));
    }
    Ok(all)
}

fn check(model: &Model, rows: &dyn Source) -> Result<()> {
    model.must_reconstruct("be evaluated by its reconstructions")?;
    model.must_have(Part::Whole, "be evaluated")?;
    model.check_rows(rows)
}

/// Sums over rows, from which the metrics follow. Each chunk of rows is summed apart and the chunks are merged in order, so
/// that no sum depends on the number of threads.
struct ErrorSums {
    rows: usize,
    /// The numbers of the rows that are not missing.
    numbers: usize,
    squared_error: f64,
    loss: f64,
    /// The squared error of the training mean as the reconstruction.
    squared_error_of_mean: f64,
    /// The lowest possible BCE; 0 for other losses.
    entropy: f64,
    /// |z| over the numbers z of the codes.
    activity: f64,
    /// The squared distance of the outputs from the training mean.
    squared_output_distance: f64,
    divergence: f64,
    /// Output minus training mean, for each number of a row (d).
    output_shifts: Vec<f64>,
    unit_ranges: UnitRanges,
}

impl ErrorSums {
    fn new(model: &Model) -> Self {
        Self {
            rows: 0,
            numbers: 0,
            squared_error: 0.0,
            loss: 0.0,
            squared_error_of_mean: 0.0,
            entropy: 0.0,
            activity: 0.0,
            squared_output_distance: 0.0,
            divergence: 0.0,
            output_shifts: vec![0.0; model.shape.len()],
            unit_ranges: UnitRanges::new(model.code_units()),
        }
    }

    fn add(&mut self, model: &Model, evaluated: &EvaluatedRows, scores: &RowScores) {
        let (width, mean) = (model.shape.len(), &model.training_mean);
        let square = |a: f64, b: f64| (a - b) * (a - b);
        for (x, y) in evaluated.rows.chunks_exact(width).zip(evaluated.outputs.chunks_exact(width)) {
            let observed = || x.iter().zip(mean).filter(|(x, _)| !x.is_nan());
            self.squared_error_of_mean += observed().map(|(&x, &mean)| square(x, mean)).sum::<f64>();
            self.numbers += observed().count();
            for ((shift, y), mean) in self.output_shifts.iter_mut().zip(y).zip(mean) {
                *shift += y - mean;
                self.squared_output_distance += square(*y, *mean);
            }
            if loss(model) == Loss::Bce {
                self.entropy += x.iter().filter(|x| !x.is_nan()).map(|&x| entropy(x)).sum::<f64>();
            }
        }
        self.rows += scores.squared_error.len();
        self.squared_error += scores.squared_error.iter().sum::<f64>();
        self.loss += scores.loss.iter().flatten().sum::<f64>();
        self.divergence += scores.divergence.iter().flatten().sum::<f64>();
        self.activity += evaluated.codes.iter().map(|value| value.abs()).sum::<f64>();
        self.unit_ranges.add(&evaluated.codes);
    }

    fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.numbers += other.numbers;
        self.squared_error += other.squared_error;
        self.loss += other.loss;
        self.squared_error_of_mean += other.squared_error_of_mean;
        self.entropy += other.entropy;
        self.activity += other.activity;
        self.squared_output_distance += other.squared_output_distance;
        self.divergence += other.divergence;
        self.output_shifts.iter_mut().zip(&other.output_shifts).for_each(|(sum, other)| *sum += other);
        self.unit_ranges.merge(&other.unit_ranges);
    }

    fn metrics(&self, model: &Model) -> Reconstruction {
        let n = self.rows as f64;
        // Where nothing is observed, no error is.
        let numbers = self.numbers.max(1) as f64;
        // The losses of rows with gaps are scaled up to whole rows.
        let whole = n * loss_width(model) as f64;
        let codes = (self.rows * model.code_shape().len()) as f64;
        let loss = loss(model);
        let bce = (loss == Loss::Bce).then_some(self.loss / whole);
        Reconstruction {
            rows: self.rows,
            loss: match loss {
                Loss::Mse => self.squared_error / numbers,
                Loss::CrossEntropy | Loss::Bce | Loss::Mae | Loss::Huber | Loss::Mixed => self.loss / whole,
            },
            bce,
            bce_floor: bce.map(|_| self.entropy / numbers),
            mse: self.squared_error / numbers,
            squared_error_per_row: self.squared_error / n,
            mean_squared_error_per_row: self.squared_error_of_mean / n,
            explained_variance: self.explained_variance(&model.training_mean),
            dead_units: self.unit_ranges.dead_units(),
            mean_activity: Some(self.activity / codes).filter(|activity| activity.is_finite()),
            output_variance: Some(self.output_variance()).filter(|variance| variance.is_finite()),
            divergence: Some(self.divergence / n)
                .filter(|divergence| model.is_variational() && divergence.is_finite()),
        }
    }

    /// 0 for constant rows, whose distance to the mean is rounding error: about one unit in the last place of the mean. Rows near
    /// 1e14 that differ by 1 are not constant.
    fn explained_variance(&self, mean: &[f64]) -> f64 {
        let rounding =
            f64::EPSILON.powi(2) * self.rows as f64 * mean.iter().map(|mean| mean * mean).sum::<f64>();
        if self.squared_error_of_mean > rounding {
            1.0 - self.squared_error / self.squared_error_of_mean
        } else {
            0.0
        }
    }

    /// The variance of the outputs about their mean: the second moment about the training mean, less the squared distance
    /// between the two means.
    fn output_variance(&self) -> f64 {
        let n = self.rows as f64;
        let shift: f64 = self.output_shifts.iter().map(|sum| (sum / n).powi(2)).sum();
        let variance = self.squared_output_distance / n - shift;
        if variance < 0.0 { 0.0 } else { variance }
    }
}

/// Numbers of a row that its loss is a mean over.
fn loss_width(model: &Model) -> usize {
    match &model.fitted {
        Fitted::Network { plan, .. } => engine::loss_width(plan),
        Fitted::Pca(_) => model.shape.len(),
    }
}

fn loss(model: &Model) -> Loss {
    match &model.fitted {
        Fitted::Network { plan, .. } => plan.loss,
        Fitted::Pca(_) => Loss::Mse,
    }
}

/// The smallest and the largest value of each code unit.
///
/// A unit with the same value for every row, up to rounding, is dead: it carries no information. The unit of a code that is
/// an image is a channel, because single pixels, such as those in the corners, may well be constant.
struct UnitRanges {
    low: Vec<f64>,
    high: Vec<f64>,
}

impl UnitRanges {
    fn new(units: usize) -> Self {
        Self { low: vec![f64::INFINITY; units], high: vec![f64::NEG_INFINITY; units] }
    }

    /// `codes` have the units as their last axis.
    fn add(&mut self, codes: &[f64]) {
        for code in codes.chunks_exact(self.low.len()) {
            for (unit, &value) in code.iter().enumerate() {
                self.low[unit] = self.low[unit].min(value);
                self.high[unit] = self.high[unit].max(value);
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        self.low.iter_mut().zip(&other.low).for_each(|(low, other)| *low = low.min(*other));
        self.high.iter_mut().zip(&other.high).for_each(|(high, other)| *high = high.max(*other));
    }

    fn dead_units(&self) -> usize {
        self.low.iter().zip(&self.high).filter(|(low, high)| is_dead(**low, **high)).count()
    }
}

/// -x ln x - (1 - x) ln(1 - x): the BCE of a target x with the output x, the lowest possible.
fn entropy(x: f64) -> f64 {
    let part = |p: f64| if p > 0.0 { -p * p.ln() } else { 0.0 };
    part(x) + part(1.0 - x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entropy_of_certain_numbers_is_zero_and_of_a_coin_one_bit() {
        assert_eq!((entropy(0.0), entropy(1.0)), (0.0, 0.0));
        assert!((entropy(0.5) - 2f64.ln()).abs() < 1e-15);
    }

    #[test]
    fn dead_units_are_counted() {
        let dead = |codes: &[f64], units: usize| {
            let mut ranges = UnitRanges::new(units);
            for chunk in codes.chunks(2 * units) {
                let mut part = UnitRanges::new(units);
                part.add(chunk);
                ranges.merge(&part);
            }
            ranges.dead_units()
        };
        assert_eq!(dead(&[0.0, 1.0, 0.3, 0.0, 2.0, 0.3, 0.0, 1.0, 0.300_000_04], 3), 2);
        assert_eq!(dead(&[1.0, -1.0], 1), 0);
    }
}
