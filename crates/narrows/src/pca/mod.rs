//! Principal component analysis, and the linear autoencoder in closed form.
//!
//! For rows X (n x d) with column means m: the covariance C = (X - m)'(X - m) / (n - 1) has eigenvectors, sorted by
//! decreasing eigenvalue; the first k of them are the rows of P. A row is encoded as P (x - m) and decoded as P'z + m.
//! Among all rank-k linear reconstructions this one has the least squared error (Eckart and Young 1936): the sum of the
//! dropped eigenvalues, times n - 1, over the rows it was fitted on.
//!
//! This room uses [`crate::data`], and [`crate::network`] for the closed form; the rooms that follow it in the list of [`crate`]
//! may use it.

pub(crate) mod closed_form;
pub(crate) mod conditional;
mod directions;
mod gram;
pub(crate) mod missing;
pub(crate) mod moments;
pub(crate) mod network_start;
mod principal;
pub(crate) mod randomized;
pub(crate) mod single;

use conditional::{FactorGaussian, least_noise};
pub use directions::Passes;
use moments::scratch_bytes;
pub use moments::{Moments, Scatter};

use narrows_kernels::Level;
use narrows_kernels::gemm::{EpilogueF64, View, multiply_f64, scratch_len};

use crate::base::memory;
use crate::compute::Compute;
use crate::data::scaling::Scaling;
use crate::data::source::{Precision, check_finite, first_not_finite, result_not_finite};
use crate::data::stats::Measured;
use crate::data::{Dataset, Element, Shape, Source, Table, Values};
use crate::error::{Error, Result};
use crate::network::engine::{CHUNK, each_chunk};
use crate::network::plan::{LayerRow, LayerTable};

/// Default number of components.
pub(crate) const DEFAULT_COMPONENTS: usize = 32;

/// A fitted principal component analysis: components, and the variance that they explain.
///
/// ```
/// let iris = narrows_datasets::iris();
/// let pca = narrows::Pca::fit(&iris, 2)?;
/// assert!((pca.explained_variance_ratio()[0] - 0.92461872).abs() < 1e-8);
/// let rows = pca.decode(&pca.encode(&iris)?)?; // 150 x 4, what two components keep
/// assert_eq!(rows.to_array_f64().dim(), (150, 4));
/// # Ok::<(), narrows::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Pca {
    /// The mean of each column (d).
    pub mean: Vec<f64>,
    /// P (k x d): orthonormal rows, in decreasing order of variance. In each, the entry of largest magnitude is positive.
    pub components: Vec<f64>,
    /// The explained variance of each component (k), with division by n - 1: the eigenvalues of the covariance matrix.
    pub explained_variance: Vec<f64>,
    /// The total variance: the trace of the covariance matrix.
    pub total_variance: f64,
    /// The number of rows it was fitted on.
    pub rows: usize,
    /// Whether codes are whitened: divided by their standard deviation.
    pub whiten: bool,
}

impl Pca {
    /// Fits `code_size` components, without scaling the rows. Sums are in double precision; rows are read in blocks unless there are
    /// more columns than rows. For held-out rows, scaling, whitening and a model file, see [`fit`](crate::fit::fit()).
    ///
    /// ```
    /// use narrows::Pca;
    ///
    /// let iris = narrows_datasets::iris();
    /// let pca = Pca::fit(&iris, 2)?;
    /// let codes = pca.encode(&iris)?.to_array_f64(); // 150 x 2
    /// assert!((pca.explained_variance_ratio()[0] - 0.9246).abs() < 1e-4);
    /// # assert_eq!(codes.dim(), (150, 2));
    /// # Ok::<(), narrows::Error>(())
    /// ```
    ///
    /// The same from an array of `ndarray`, borrowed:
    ///
    /// ```
    /// let x = ndarray::array![[1.0, 2.0], [3.0, 4.5], [5.0, 5.5]];
    /// let pca = narrows::Pca::fit(&x, 1)?;
    /// let rebuilt = pca.decode(&pca.encode(&x)?)?.to_array_f64(); // 3 x 2
    /// assert!((&rebuilt - &x).iter().all(|error| error.abs() < 0.5));
    /// # Ok::<(), narrows::Error>(())
    /// ```
    ///
    /// # Errors
    /// Where there are fewer than 2 rows, there are more components than rows or columns, values are missing, or rows cannot be
    /// read.
    pub fn fit<'a>(rows: impl Into<Dataset<'a>>, code_size: usize) -> Result<Self> {
        let Compute { level, threads } = Compute::default();
        let rows = rows.into().rows;
        if rows.rows() == 0 || rows.shape().len() == 0 {
            return Err(Error::data("there are no rows"));
        }
        let measured = Measured::new(&*rows);
        measured.require_complete()?;
        let (n, d) = (rows.rows(), rows.shape().len());
        // Both parts at once, before the time for the first is spent.
        let needs = Moments::needs(n, d, code_size.min(n.min(d)));
        let bytes = needs.measuring.max(needs.kept.saturating_add(needs.principal));
        memory::require(bytes, threads, format_args!("a PCA of {n} rows of {d} numbers"))?;
        let moments = Moments::measure(&measured, &Scaling::identity(), level, threads)?;
        Self::from_moments(&moments, Some(code_size), false)
    }

    /// Encodes rows: codes (n x k), in f64 if the rows are f64, else in f32.
    ///
    /// # Errors
    /// Where the rows have another length than the training rows, values are missing, a code would not be finite, or rows cannot be
    /// read.
    pub fn encode<'a>(&self, rows: impl Into<Dataset<'a>>) -> Result<Table> {
        let (d, k) = (self.mean.len(), self.code_size());
        map(&*rows.into().rows, d, k, "its code", |out, rows, level| self.encode_into(out, rows, level))
    }

    /// Decodes codes: rows (n x d), in f64 if the codes are f64, else in f32.
    ///
    /// # Errors
    /// Where the codes do not have k columns, values are missing, a row would not be finite, or codes cannot be read.
    pub fn decode<'a>(&self, codes: impl Into<Dataset<'a>>) -> Result<Table> {
        let (d, k) = (self.mean.len(), self.code_size());
        map(&*codes.into().rows, k, d, "its decoded row", |out, codes, level| {
            self.decode_into(out, codes, level)
        })
    }

    /// Fits `code_size` components from the moments of rows; `None` for 32, or as many as rows and columns allow.
    ///
    /// # Errors
    /// Where there are fewer than 2 rows, or more components than rows or columns.
    pub fn from_moments(moments: &Moments, code_size: Option<usize>, whiten: bool) -> Result<Self> {
        let level = Level::detect();
        let (n, d) = (moments.rows, moments.width);
        if n < 2 {
            return Err(Error::data("a principal component analysis needs at least 2 rows"));
        }
        let most = n.min(d);
        let k = code_size.unwrap_or(DEFAULT_COMPONENTS.min(most));
        if k == 0 || k > most {
            return Err(Error::recipe(format!(
                "code size {k}: {n} rows of {d} numbers allow 1 to {most} components"
            )));
        }
        let principal = moments.about_mean(k, level)?;
        let degrees = (n - 1) as f64;
        Ok(Self {
            mean: moments.mean.clone(),
            explained_variance: principal.squares.iter().map(|square| square / degrees).collect(),
            total_variance: principal.total / degrees,
            components: principal.directions,
            rows: n,
            whiten,
        })
    }

    /// The number of components, k.
    pub fn code_size(&self) -> usize {
        self.explained_variance.len()
    }

    /// The explained variance of each component as a fraction of the total variance, which includes the dropped components.
    pub fn explained_variance_ratio(&self) -> Vec<f64> {
        let total = if self.total_variance > 0.0 { self.total_variance } else { 1.0 };
        self.explained_variance.iter().map(|variance| variance / total).collect()
    }

    /// The singular values of the centred rows: sqrt((n - 1) variance).
    pub fn singular_values(&self) -> Vec<f64> {
        self.explained_variance.iter().map(|variance| ((self.rows - 1) as f64 * variance).sqrt()).collect()
    }

    /// The squared error of a reconstruction, summed over the columns of a row, mean over the training rows: the dropped variance,
    /// times (n - 1) / n.
    pub fn training_error(&self) -> f64 {
        let kept: f64 = self.explained_variance.iter().sum();
        (self.total_variance - kept).max(0.0) * (self.rows - 1) as f64 / self.rows as f64
    }

    /// The noise variance of probabilistic PCA: the mean of the variances along the d - k dropped directions (Tipping and Bishop
    /// 1999), here with division by n - 1. 0 for a PCA with all components.
    ///
    /// ```
    /// let pca = narrows::Pca::fit(&narrows_datasets::iris(), 2)?;
    /// assert!((pca.noise_variance() - 0.0510222965).abs() < 1e-8);
    /// # Ok::<(), narrows::Error>(())
    /// ```
    pub fn noise_variance(&self) -> f64 {
        let dropped = self.mean.len() - self.code_size();
        let kept: f64 = self.explained_variance.iter().sum();
        if dropped == 0 { 0.0 } else { (self.total_variance - kept).max(0.0) / dropped as f64 }
    }

    /// The Gaussian of the probabilistic PCA. With all components the last one is its noise, which is the same covariance.
    pub(crate) fn gaussian(&self) -> FactorGaussian {
        let (d, k) = (self.mean.len(), self.code_size());
        let variances = &self.explained_variance;
        let (kept, noise) = if k < d { (k, self.noise_variance()) } else { (k - 1, variances[k - 1]) };
        let least = least_noise(variances[0]);
        let directions = &self.components[..kept * d];
        FactorGaussian::new(self.mean.clone(), directions, &variances[..kept], noise, least)
    }

    /// The divisors of whitening: the standard deviation of each component, or 1 for a component without variance.
    fn deviations(&self) -> impl Iterator<Item = f64> {
        let floor = self.explained_variance.first().copied().unwrap_or(0.0)
            * self.rows.min(self.mean.len()) as f64
            * 1e-15;
        self.explained_variance
            .iter()
            .map(move |&variance| if variance > floor { variance.sqrt() } else { 1.0 })
    }

    /// The divisors of codes: those of whitening if codes are whitened, else 1.
    pub(crate) fn divisors(&self) -> Vec<f64> {
        self.deviations().map(|deviation| if self.whiten { deviation } else { 1.0 }).collect()
    }

    /// Encodes rows (n x d) into codes (n x k), in memory.
    ///
    /// # Panics
    /// Where the lengths do not match.
    pub(crate) fn encode_into(&self, codes: &mut [f64], rows: &[f64], level: Level) {
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
            EpilogueF64::Store,
            &mut vec![0.0; scratch_len(d)],
        );
        if self.whiten {
            for code in codes.chunks_exact_mut(k) {
                code.iter_mut().zip(self.deviations()).for_each(|(value, deviation)| *value /= deviation);
            }
        }
    }

    /// Decodes codes (n x k) into rows (n x d), in memory.
    ///
    /// # Panics
    /// Where the lengths do not match.
    pub(crate) fn decode_into(&self, rows: &mut [f64], codes: &[f64], level: Level) {
        let (d, k) = (self.mean.len(), self.code_size());
        let n = codes.len() / k;
        let mut codes = codes.to_vec();
        if self.whiten {
            for code in codes.chunks_exact_mut(k) {
                code.iter_mut().zip(self.deviations()).for_each(|(value, deviation)| *value *= deviation);
            }
        }
        let components = View::new(&self.components, k, d);
        let finish = EpilogueF64::Bias(&self.mean);
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

/// Applies `apply` to chunks of the rows (n x width) of a source, on all processors. The result is n x out_width; `result` is the
/// name of what a row becomes.
fn map(
    rows: &dyn Source,
    width: usize,
    out_width: usize,
    result: &str,
    apply: impl Fn(&mut [f64], &[f64], Level) + Sync,
) -> Result<Table> {
    if rows.shape().len() != width {
        return Err(Error::data(format!(
            "the rows have {} numbers; the principal component analysis has {width}",
            rows.shape().len()
        )));
    }
    let Compute { level, threads } = Compute::default();
    let (n, chunk) =
        (rows.rows(), CHUNK.saturating_mul(2 * width + out_width).saturating_mul(size_of::<f64>()));
    let of_thread = chunk.saturating_add(scratch_bytes(width.max(out_width)));
    let of_results = n.saturating_mul(out_width).saturating_mul(size_of::<f64>() + size_of::<f32>());
    let bytes = of_results.saturating_add(threads.saturating_mul(of_thread));
    memory::require(bytes, threads, format_args!("the PCA's work on {n} rows of {width} numbers"))?;
    let precision = Precision::of_results(rows);
    let mut out = vec![0.0; rows.rows() * out_width];
    each_chunk(&mut out, out_width, threads, Vec::new, |buffer, first, chunk| {
        buffer.resize(chunk.len() / out_width * width, 0.0);
        rows.read_f64(first, buffer)?;
        check_finite(rows, buffer, first)?;
        apply(chunk, buffer, level);
        precision.round(chunk);
        match first_not_finite(chunk) {
            None => Ok(()),
            Some(at) => Err(result_not_finite(rows, first + at / out_width, result, precision)),
        }
    })?;
    let values = match rows.element() {
        Element::F64 => Values::F64(out),
        Element::U8 | Element::F32 => Values::F32(out.into_iter().map(|value| value as f32).collect()),
    };
    Ok(Table::of_output(values, Shape::flat(out_width)))
}

/// The layer table of a PCA, as a chain of linear operations.
pub fn table(shape: Shape, code_size: usize) -> LayerTable {
    let (d, code) = (shape.len(), Shape::flat(code_size));
    let row = |name: &str, operation: String, (input, output): (Shape, Shape), parameters: usize| LayerRow {
        name: name.to_owned(),
        is_code: name == "encoder.2",
        operation,
        input,
        output,
        parameters,
    };
    LayerTable {
        rows: vec![
            row("encoder.1", "subtract mean".into(), (shape, shape), d),
            row("encoder.2", format!("components {code_size}"), (shape, code), code_size * d),
            row("decoder.1", "components transposed, add mean".into(), (code, shape), 0),
        ],
    }
}

#[cfg(test)]
mod tests;
