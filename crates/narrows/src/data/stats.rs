//! Statistics of columns. They are measured once and used by scaling, range checks and checks for missing values.

use std::sync::OnceLock;

use super::Source;
use super::source::{Element, each_block, not_finite};
use crate::error::Result;

/// Statistics of each column of a source.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    /// The number of rows.
    pub rows: usize,
    /// The smallest value of each column.
    pub least: Vec<f64>,
    /// The largest value of each column.
    pub most: Vec<f64>,
    /// The mean of each column.
    pub mean: Vec<f64>,
    /// The number of missing values (NaN) of each column. The other statistics leave them out.
    pub missing: Vec<usize>,
    /// The row and the column of the first missing value.
    first_missing: Option<(usize, usize)>,
}

impl Statistics {
    /// Measures the statistics in one pass over the rows.
    ///
    /// # Errors
    /// Where rows cannot be read, or a value is infinite.
    pub fn measure(source: &dyn Source) -> Result<Self> {
        let (rows, width) = (source.rows(), source.shape().len());
        let n = rows as f64;
        let mut found = Self {
            rows,
            least: vec![f64::INFINITY; width],
            most: vec![f64::NEG_INFINITY; width],
            mean: vec![0.0; width],
            missing: vec![0; width],
            first_missing: None,
        };
        each_block(source, |first, block| {
            for (row, values) in (first..).zip(block.chunks_exact(width)) {
                for (j, &value) in values.iter().enumerate() {
                    if value.is_nan() {
                        found.missing[j] += 1;
                        found.first_missing.get_or_insert((source.row_number(row), j));
                        continue;
                    }
                    if value.is_infinite() {
                        return Err(not_finite(source.row_number(row), j, value));
                    }
                    found.least[j] = found.least[j].min(value);
                    found.most[j] = found.most[j].max(value);
                    found.mean[j] += value / n;
                }
            }
            Ok(())
        })?;
        // The sums above are divided by the number of all rows; the mean of a column with missing values is over the others.
        for (mean, &missing) in found.mean.iter_mut().zip(&found.missing) {
            if missing > 0 {
                *mean *= n / (n - missing as f64);
            }
        }
        // A sum rounds: the mean of a constant column would differ from its value by some units in the last place.
        for ((mean, &least), &most) in found.mean.iter_mut().zip(&found.least).zip(&found.most) {
            if least == most {
                *mean = least;
            }
        }
        Ok(found)
    }

    /// The standard deviation of each column (division by n - 1; 0 for a constant column). A second pass over the rows sums squares
    /// about the known mean, which avoids cancellation. They are divided by the largest one, so that they neither overflow nor
    /// underflow.
    ///
    /// # Errors
    /// Where rows cannot be read.
    pub fn deviations(&self, source: &dyn Source) -> Result<Vec<f64>> {
        let width = self.mean.len();
        let farthest: Vec<f64> = (0..width)
            .map(|j| (self.most[j] - self.mean[j]).abs().max((self.least[j] - self.mean[j]).abs()))
            .collect();
        let mut squares = vec![0.0; width];
        each_block(source, |_, block| {
            for row in block.chunks_exact(width) {
                for j in (0..width).filter(|&j| farthest[j] > 0.0 && !row[j].is_nan()) {
                    squares[j] += ((row[j] - self.mean[j]) / farthest[j]).powi(2);
                }
            }
            Ok(())
        })?;
        let deviation = |j: usize| {
            let degrees = ((self.rows - self.missing[j]) as f64 - 1.0).max(1.0);
            (squares[j] / degrees).sqrt() * farthest[j]
        };
        Ok((0..width).map(deviation).collect())
    }

    /// Whether all values are in 0..1.
    pub fn is_in_unit_range(&self) -> bool {
        self.least.iter().all(|&least| least >= 0.0) && self.most.iter().all(|&most| most <= 1.0)
    }

    /// The largest magnitude of all values.
    pub fn largest(&self) -> f64 {
        self.least.iter().chain(&self.most).fold(0.0, |largest, value| value.abs().max(largest))
    }

    /// The row (from 1) and the column (from 0) of the first missing value.
    pub(crate) fn first_missing(&self) -> Option<(usize, usize)> {
        self.first_missing
    }

    /// Refuses missing values.
    ///
    /// # Errors
    /// Where there is one; the message names the row and the column of the first.
    pub fn require_complete(&self) -> Result<()> {
        match self.first_missing {
            Some((row, column)) => Err(not_finite(row, column, f64::NAN)),
            None => Ok(()),
        }
    }
}

/// A source whose statistics are measured on first use and then kept. Bytes often need none.
pub(crate) struct Measured<'a> {
    pub source: &'a dyn Source,
    statistics: OnceLock<Statistics>,
}

impl<'a> Measured<'a> {
    pub fn new(source: &'a dyn Source) -> Self {
        Self { source, statistics: OnceLock::new() }
    }

    /// The statistics of the rows.
    ///
    /// # Errors
    /// As [`Statistics::measure`].
    pub fn statistics(&self) -> Result<&Statistics> {
        if let Some(known) = self.statistics.get() {
            return Ok(known);
        }
        let found = Statistics::measure(self.source)?;
        Ok(self.statistics.get_or_init(|| found))
    }

    /// Refuses infinite values. Bytes have none.
    ///
    /// # Errors
    /// As [`Statistics::measure`].
    pub fn require_no_infinite(&self) -> Result<()> {
        match self.source.element() {
            Element::U8 => Ok(()),
            Element::F32 | Element::F64 => self.statistics().map(|_| ()),
        }
    }

    /// Refuses missing and infinite values. Bytes have none.
    ///
    /// # Errors
    /// As [`Statistics::measure`] and [`Statistics::require_complete`].
    pub fn require_complete(&self) -> Result<()> {
        match self.source.element() {
            Element::U8 => Ok(()),
            Element::F32 | Element::F64 => self.statistics()?.require_complete(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dataset;

    #[test]
    fn missing_values_are_counted_and_left_out_and_infinite_ones_are_refused() {
        let array = ndarray::array![[1.0, 5.0], [f64::NAN, 6.0], [3.0, 10.0]];
        let rows = Dataset::from(&array);
        let found = Statistics::measure(&*rows.rows).unwrap();
        assert_eq!((&found.missing[..], found.mean[1]), (&[1, 0][..], 7.0));
        assert!((found.mean[0] - 2.0).abs() < 1e-15);
        assert!((found.deviations(&*rows.rows).unwrap()[0] - 2f64.sqrt()).abs() < 1e-15);
        let error = found.require_complete().unwrap_err().to_string();
        assert!(error.starts_with("row 2, column 1: NaN"), "{error}");
        let array = ndarray::array![[1.0f32], [f32::INFINITY]];
        let error = Statistics::measure(&*Dataset::from(&array).rows).unwrap_err().to_string();
        assert!(error.starts_with("row 2, column 1: inf"), "{error}");
    }
}
