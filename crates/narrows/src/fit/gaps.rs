//! The missing values of the training rows of a PCA, and how it was fitted around them.

use crate::data::{EncodedColumn, Statistics};
use crate::pca::missing::Sweeps;

/// The missing values of the training rows of a PCA, and the expectation-maximisation that it was fitted by.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Gaps {
    /// Missing cells.
    pub missing: usize,
    /// The cells of all rows, missing ones among them.
    pub numbers: usize,
    /// The columns that have missing numbers.
    pub columns: Vec<ColumnGaps>,
    /// Rows without any number. They have no weight, and the code of the mean.
    pub empty_rows: usize,
    /// Different sets of columns that are missing together.
    pub patterns: usize,
    /// Sweeps over the rows.
    pub sweeps: usize,
    /// Whether the log-likelihood stood still before the limit of sweeps was reached.
    pub converged: bool,
    /// The log-likelihood of the observed numbers, a mean over rows that have any, in nats, on the model's scale.
    pub log_likelihood: f64,
}

/// A column with missing numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct ColumnGaps {
    /// Its number, from 1: among the columns that are encoded, for a table.
    pub column: usize,
    /// How many of its cells are missing.
    pub missing: usize,
}

impl Gaps {
    /// Before the fit.
    pub(super) fn of(statistics: &Statistics, encoded: Option<&[EncodedColumn]>) -> Self {
        // A missing cell of a category is missing in all of its numbers.
        let missing: Vec<usize> = match encoded {
            Some(columns) => columns.iter().map(|column| statistics.missing[column.range.start]).collect(),
            None => statistics.missing.clone(),
        };
        let columns = (1..).zip(&missing).filter(|(_, missing)| **missing > 0);
        Self {
            missing: missing.iter().sum(),
            numbers: statistics.rows * missing.len(),
            columns: columns.map(|(column, &missing)| ColumnGaps { column, missing }).collect(),
            empty_rows: 0,
            patterns: 0,
            sweeps: 0,
            converged: false,
            log_likelihood: f64::NAN,
        }
    }

    /// Adds what the sweeps were.
    pub(super) fn add(&mut self, sweeps: Sweeps) {
        let Sweeps { patterns, empty_rows, weight, log_likelihoods, has_converged } = sweeps;
        self.patterns = patterns;
        self.empty_rows = empty_rows;
        self.sweeps = log_likelihoods.len();
        self.converged = has_converged;
        self.log_likelihood = log_likelihoods.last().copied().unwrap_or(f64::NAN) / weight as f64;
    }

    /// The missing numbers as a fraction of all.
    pub fn share(&self) -> f64 {
        self.missing as f64 / self.numbers as f64
    }

    /// `3.2 % of the values were missing, in 4 columns`.
    pub fn sentence(&self) -> String {
        let percent = 100.0 * self.share();
        // Not `0.0 %`.
        let decimals = if percent >= 0.1 { 1 } else { (-percent.log10().floor()) as usize };
        let columns = match self.columns.len() {
            1 => "1 column".to_owned(),
            count => format!("{count} columns"),
        };
        let mut sentence = format!("{percent:.decimals$} % of the values were missing, in {columns}");
        if !self.converged {
            let sweeps = self.sweeps;
            sentence.push_str(&format!(" (their likelihood was still rising after {sweeps} sweeps)"));
        }
        sentence
    }
}
