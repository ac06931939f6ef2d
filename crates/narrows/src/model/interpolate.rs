//! Interpolation between the codes of two rows.

use crate::data::{Dataset, Table, Values};
use crate::error::{Error, Result};
use crate::model::Model;

impl Model {
    /// Interpolates linearly between the codes of rows `from` and `to` (from 0) and decodes `steps` evenly spaced codes, both
    /// ends included: steps x d, in the units of the training rows.
    ///
    /// # Errors
    /// If an index is out of range, `steps` is below 2, or the rows do not fit the model.
    pub fn interpolate<'a>(
        &self,
        rows: impl Into<Dataset<'a>>,
        from: usize,
        to: usize,
        steps: usize,
    ) -> Result<Table> {
        let rows = rows.into();
        let count = rows.rows.rows();
        if let Some(row) = [from, to].into_iter().find(|&row| row >= count) {
            return Err(Error::data(format!("there is no row {}: there are {count}", row + 1)));
        }
        if steps < 2 {
            return Err(Error::data("the line between two rows has at least 2 steps"));
        }
        let k = self.code_shape().len();
        let codes = self.encode(rows.select(vec![from, to]))?.into_values();
        let between = |a: f64, b: f64, step: usize| a + (b - a) * step as f64 / (steps - 1) as f64;
        let line = |codes: &[f64]| -> Vec<f64> {
            let (first, last) = codes.split_at(k);
            let code = |step| first.iter().zip(last).map(move |(a, b)| between(*a, *b, step));
            (0..steps).flat_map(code).collect()
        };
        let codes = match codes {
            Values::F64(codes) => Values::F64(line(&codes)),
            codes => Values::F32(line(&codes.into_f64()).into_iter().map(|value| value as f32).collect()),
        };
        self.decode(Table::new(codes, self.code_shape())?).map_err(|error| error.at("between the rows"))
    }
}
