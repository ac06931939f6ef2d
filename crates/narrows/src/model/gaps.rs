//! Missing values of rows: filled with what the Gaussian of a PCA expects, and for callers as a result of its own.

use std::sync::OnceLock;

use super::needs::Sides;
use super::{Fitted, Model, Part};
use crate::data::source::{Precision, check_not_infinite, first_not_finite, result_not_finite};
use crate::data::{Dataset, Element, Source, Table, Values};
use crate::error::{Error, Result};
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
    /// conditional standard deviation beside it; for a PCA.
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
    /// If the model is a network or a part of a model, the rows do not fit it, a value is infinite, a filled value would not be
    /// finite, or rows cannot be read.
    pub fn impute<'a>(&self, rows: impl Into<Dataset<'a>>) -> Result<Imputed> {
        let rows = self.match_rows(&rows.into())?;
        let rows = &*rows.rows;
        self.must_have(Part::Whole, "fill missing values")?;
        if self.pca().is_none() {
            return Err(Error::model("the model is a network: networks cannot fill missing values yet")
                .hint("fit a PCA"));
        }
        self.check_rows(rows)?;
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
