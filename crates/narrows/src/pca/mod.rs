//! Principal component analysis.
//!
//! For rows X (n x d) with column means m: the covariance C = (X - m)'(X - m) / (n - 1) has eigenvectors, sorted by
//! decreasing eigenvalue; the first k of them are the rows of P. A row is encoded as P (x - m) and decoded as P'z + m.
//! Among all rank-k linear reconstructions this one has the least squared error (Eckart and Young 1936): the sum of the
//! dropped eigenvalues, times n - 1, over the rows it was fitted on.

pub(crate) mod closed_form;
pub(crate) mod moments;

pub use moments::{Moments, Scatter};

use narrows_kernels::Level;
use narrows_kernels::matrix::{FinishWide, View, multiply_f64, scratch_len};

use crate::error::{Error, Result};

/// Components kept where nothing else is asked.
const USUAL_COMPONENTS: usize = 32;

/// Directions kept of rows, with the variance along each.
#[derive(Debug, Clone, PartialEq)]
pub struct Pca {
    /// The mean of each column (d).
    pub mean: Vec<f64>,
    /// P: k x d, orthonormal rows; in each the entry of largest magnitude is positive.
    pub components: Vec<f64>,
    /// The variance along each component (k), divided by n - 1.
    pub explained_variance: Vec<f64>,
    /// The variance along all d directions together.
    pub total_variance: f64,
    /// How many rows it was fitted on.
    pub rows: usize,
    /// Whether codes are divided by the square root of their variance.
    pub whiten: bool,
}

impl Pca {
    /// Fits `code_size` components (without a number 32, or as many as rows and columns allow).
    pub(crate) fn fit(
        moments: &Moments,
        code_size: Option<usize>,
        whiten: bool,
        level: Level,
    ) -> Result<Self> {
        let (n, d) = (moments.rows, moments.width);
        if n < 2 {
            return Err(Error::data("a principal component analysis needs at least 2 rows"));
        }
        let most = n.min(d);
        let k = code_size.unwrap_or(USUAL_COMPONENTS.min(most));
        if k == 0 || k > most {
            return Err(Error::recipe(format!(
                "code size {k}: {n} rows of {d} numbers allow 1 to {most} components"
            )));
        }
        let principal = moments.about_mean(k, level)?;
        let degrees = (n - 1) as f64;
        Ok(Self {
            mean: moments.mean.clone(),
            explained_variance: principal.squares[..k].iter().map(|square| square / degrees).collect(),
            total_variance: principal.total / degrees,
            components: principal.directions,
            rows: n,
            whiten,
        })
    }

    /// k, the numbers of a code.
    pub fn code_size(&self) -> usize {
        self.explained_variance.len()
    }

    /// Each component's share of the *total* variance, also when few components are kept.
    pub fn explained_variance_ratio(&self) -> Vec<f64> {
        let total = if self.total_variance > 0.0 { self.total_variance } else { 1.0 };
        self.explained_variance.iter().map(|variance| variance / total).collect()
    }

    /// sqrt((n - 1) variance): the singular values of the centred rows.
    pub fn singular_values(&self) -> Vec<f64> {
        self.explained_variance.iter().map(|variance| ((self.rows - 1) as f64 * variance).sqrt()).collect()
    }

    /// The mean squared error per row over the rows it was fitted on: the dropped eigenvalues, times (n - 1) / n.
    pub fn training_error(&self) -> f64 {
        let kept: f64 = self.explained_variance.iter().sum();
        (self.total_variance - kept).max(0.0) * (self.rows - 1) as f64 / self.rows as f64
    }

    /// What a code is divided by when whitened. A direction without spread has codes of 0, and 1 divides those.
    fn deviations(&self) -> impl Iterator<Item = f64> {
        let floor = self.explained_variance.first().copied().unwrap_or(0.0)
            * self.rows.min(self.mean.len()) as f64
            * 1e-15;
        self.explained_variance
            .iter()
            .map(move |&variance| if variance > floor { variance.sqrt() } else { 1.0 })
    }

    /// What a code is divided by: the deviations where it is whitened, else 1.
    pub(crate) fn divisors(&self) -> Vec<f64> {
        self.deviations().map(|deviation| if self.whiten { deviation } else { 1.0 }).collect()
    }

    /// Codes (n x k) of scaled rows (n x d).
    ///
    /// # Panics
    /// Where the lengths do not fit.
    pub fn encode(&self, codes: &mut [f64], rows: &[f64], level: Level) {
        let (d, k) = (self.mean.len(), self.code_size());
        let n = rows.len() / d;
        let mut centred = rows.to_vec();
        for row in centred.chunks_exact_mut(d) {
            row.iter_mut().zip(&self.mean).for_each(|(value, mean)| *value -= mean);
        }
        let components = View::new(&self.components, k, d).transposed();
        multiply_f64(
            level,
            codes,
            View::new(&centred, n, d),
            components,
            FinishWide::Store,
            &mut vec![0.0; scratch_len(d)],
        );
        if self.whiten {
            for code in codes.chunks_exact_mut(k) {
                code.iter_mut().zip(self.deviations()).for_each(|(value, deviation)| *value /= deviation);
            }
        }
    }

    /// Scaled rows (n x d) of codes (n x k).
    ///
    /// # Panics
    /// Where the lengths do not fit.
    pub fn decode(&self, rows: &mut [f64], codes: &[f64], level: Level) {
        let (d, k) = (self.mean.len(), self.code_size());
        let n = codes.len() / k;
        let mut codes = codes.to_vec();
        if self.whiten {
            for code in codes.chunks_exact_mut(k) {
                code.iter_mut().zip(self.deviations()).for_each(|(value, deviation)| *value *= deviation);
            }
        }
        let components = View::new(&self.components, k, d);
        let finish = FinishWide::Bias(&self.mean);
        multiply_f64(
            level,
            rows,
            View::new(&codes, n, k),
            components,
            finish,
            &mut vec![0.0; scratch_len(k)],
        );
    }
}

#[cfg(test)]
mod tests;
