//! Missing values of rows: filled with what the Gaussian of a PCA expects, and for callers as a result of its own.

use std::sync::OnceLock;

use super::needs::Sides;
use super::{Fitted, Model, Part};
use crate::data::source::{Precision, check_not_infinite, first_not_finite, result_not_finite};
use crate::data::{Dataset, Element, Source, Table, Values};
use crate::error::Result;
use crate::network::engine::map_chunks;
use crate::pca::conditional::FactorGaussian;

/// Rows whose gaps were filled: see [`Model::impute`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Imputed {
    /// The rows (n x d), in the number type of the rows that were given. Observed numbers are the same bits.
    pub rows: Table,
    /// The conditional standard deviation of each filled number, in its column's unit (n x d); 0 for observed numbers.
    pub spread: Vec<f64>,
}

impl Model {
    /// Fills the missing values (NaN) of rows: each with its conditional expectation given the observed numbers of its row, with the
    /// conditional standard deviation beside it. A network fills them by its own reconstructions, over and over until they stand
    /// still, without a standard deviation (NaN).
    ///
    /// The distribution is that of probabilistic PCA on the model's scale (Tipping and Bishop 1999): Gaussian, with the variances of the
    /// components along them and [`noise_variance`](crate::Pca::noise_variance) along all other directions; with as many components
    /// as columns, the covariance of the columns. The standard deviation is that of the number about its expectation; that the
    /// parameters were estimated is not in it. A row without any number becomes the mean.
    ///
    /// ```
    /// let iris = narrows_datasets::iris();
    /// let fit = narrows::fit(&narrows::Recipe::pca(2), &iris, Default::default())?;
    /// let flower = narrows::ndarray::array![[5.1, 3.5, f64::NAN, 0.2]];
    /// let filled = fit.model.impute(&flower)?;
    /// assert!((filled.rows.to_array_f64()[(0, 2)] - 1.4).abs() < filled.spread[2]); // it was 1.4 cm
    /// assert_eq!(filled.spread[0], 0.0);
    /// # Ok::<(), narrows::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the model is a classifier or a part of a model, the rows do not fit it, a value is infinite, a filled value would not be
    /// finite, or rows cannot be read.
    pub fn impute<'a>(&self, rows: impl Into<Dataset<'a>>) -> Result<Imputed> {
        let rows = self.match_rows(&rows.into())?;
        let rows = &*rows.rows;
        self.must_reconstruct("fill missing values")?;
        self.must_have(Part::Whole, "fill missing values")?;
        self.check_rows(rows)?;
        if self.pca().is_none() {
            return self.impute_by_network(rows);
        }
        let (d, element) = (self.shape.len(), rows.element());
        // The filled rows and their deviations.
        self.require_memory(rows, 2 * d, Sides { encoder: true, decoder: true })?;
        let filler = GapFiller::new(self);
        let precision = Precision::of_results(rows);
        let chunks = map_chunks(
            rows.rows(),
            self.compute.threads,
            || (),
            |(), range| {
                let mut values = vec![0.0; range.len() * d];
                rows.read_f64(range.start, &mut values)?;
                check_not_infinite(rows, &values, range.start)?;
                let mut spread = vec![0.0; values.len()];
                filler.fill_in_units(&mut values, Some(&mut spread));
                precision.round(&mut values);
                match first_not_finite(&values).or_else(|| first_not_finite(&spread)) {
                    None => Ok((values, spread)),
                    Some(at) => {
                        let (row, result) = (range.start + at / d, "its filled value");
                        Err(result_not_finite(rows, row, result, precision))
                    }
                }
            },
        )?;
        let (mut filled, mut spread) =
            (Vec::with_capacity(rows.rows() * d), Vec::with_capacity(rows.rows() * d));
        for (values, deviations) in chunks {
            filled.extend(values);
            spread.extend(deviations);
        }
        let values = match element {
            Element::F64 => Values::F64(filled),
            Element::F32 => Values::F32(filled.into_iter().map(|value| value as f32).collect()),
            Element::U8 => Values::U8(filled.into_iter().map(|value| value as u8).collect()),
        };
        Ok(Imputed { rows: Table::of_output(values, rows.shape()), spread })
    }
}

/// The most sweeps of a network over rows with gaps.
const SWEEPS: usize = 20;
/// Sweeps end when the filled numbers change by less than this, relative to their columns' spread, in the root of the mean square.
const STILL: f64 = 1e-4;

impl Model {
    /// Fills the gaps of rows with the means of their columns, then again and again with what the network makes of the filled row. How
    /// uncertain a filled number is, a network does not say: NaN.
    fn impute_by_network(&self, rows: &dyn Source) -> Result<Imputed> {
        let (d, n) = (self.shape.len(), rows.rows());
        self.require_memory(rows, 3 * d, Sides { encoder: true, decoder: true })?;
        let mut values = vec![0.0; n * d];
        rows.read_f64(0, &mut values)?;
        check_not_infinite(rows, &values, 0)?;
        let mut means = self.training_mean.clone();
        self.scaling.undo_f64(&mut means, d);
        let scale = |column: usize| self.scaling.scales[column % self.scaling.scales.len()].abs();
        let gaps: Vec<usize> = (0..values.len()).filter(|&at| values[at].is_nan()).collect();
        gaps.iter().for_each(|&at| values[at] = means[at % d]);
        for _ in 0..SWEEPS {
            if gaps.is_empty() {
                break;
            }
            let filled = Table::new(Values::F64(values.clone()), rows.shape())?;
            let output = self.reconstruct(&filled)?.into_values().into_f64();
            let mut change = 0.0;
            for &at in &gaps {
                change += ((output[at] - values[at]) / scale(at % d)).powi(2);
                values[at] = output[at];
            }
            if (change / gaps.len() as f64).sqrt() < STILL {
                break;
            }
        }
        let mut spread = vec![0.0; values.len()];
        gaps.iter().for_each(|&at| spread[at] = f64::NAN);
        let values = match rows.element() {
            Element::F32 => Values::F32(values.into_iter().map(|value| value as f32).collect()),
            Element::U8 | Element::F64 => Values::F64(values),
        };
        Ok(Imputed { rows: Table::of_output(values, rows.shape()), spread })
    }
}

/// Fills gaps by the Gaussian of a model's PCA. It is made when the first gap is met.
pub(crate) struct GapFiller<'a> {
    model: &'a Model,
    gaussian: OnceLock<Option<FactorGaussian>>,
}

impl<'a> GapFiller<'a> {
    /// Of a network it leaves gaps as they are.
    pub fn new(model: &'a Model) -> Self {
        Self { model, gaussian: OnceLock::new() }
    }

    /// Fills the gaps (NaN) of scaled rows (n x d), with the conditional standard deviations of what was filled (n x d, on the model's
    /// scale).
    pub fn fill(&self, rows: &mut [f64], spread: Option<&mut [f64]>) {
        if !has_gaps(rows) {
            return;
        }
        let of_pca = || match &self.model.fitted {
            Fitted::Pca(pca) => Some(pca.gaussian()),
            Fitted::Network { .. } => None,
        };
        if let Some(gaussian) = self.gaussian.get_or_init(of_pca) {
            gaussian.fill(rows, spread);
        }
    }

    /// Fills the gaps of rows (n x d) in the units of the training rows, and leaves the bits of all other numbers. `spread` is in
    /// these units too.
    fn fill_in_units(&self, rows: &mut [f64], spread: Option<&mut [f64]>) {
        if !has_gaps(rows) {
            return;
        }
        let (scaling, d) = (&self.model.scaling, self.model.shape.len());
        let mut filled = rows.to_vec();
        scaling.apply_f64(&mut filled, d);
        match spread {
            None => self.fill(&mut filled, None),
            Some(spread) => {
                self.fill(&mut filled, Some(spread));
                let one = scaling.scales.len() == 1;
                for (at, deviation) in spread.iter_mut().enumerate() {
                    *deviation *= scaling.scales[if one { 0 } else { at % d }].abs();
                }
            }
        }
        scaling.undo_f64(&mut filled, d);
        for (value, filled) in rows.iter_mut().zip(filled).filter(|(value, _)| value.is_nan()) {
            *value = filled;
        }
    }

    /// As [`GapFiller::fill_in_units`], of rows in single precision, which are those of `source` from `first` on. Refuses infinite
    /// values in chunks with gaps.
    pub fn fill_f32(&self, source: &dyn Source, first: usize, rows: &mut [f32]) -> Result<()> {
        if !rows.iter().fold(false, |found, value| found | value.is_nan()) {
            return Ok(());
        }
        check_not_infinite(source, rows, first)?;
        let mut wide: Vec<f64> = rows.iter().map(|&value| f64::from(value)).collect();
        self.fill_in_units(&mut wide, None);
        for (value, wide) in rows.iter_mut().zip(wide).filter(|(value, _)| value.is_nan()) {
            *value = wide as f32;
        }
        Ok(())
    }
}

pub(crate) fn has_gaps(rows: &[f64]) -> bool {
    // Without an early exit the loop is vectorised.
    rows.iter().fold(false, |found, value| found | value.is_nan())
}
