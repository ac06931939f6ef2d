//! Interpolation between the codes of two rows.

use crate::compute::Compute;
use crate::data::{Source, Subset, Table, Values};
use crate::error::{Error, Result};
use crate::model::Model;

impl Model {
    /// `steps` rows on the way from one row to another: their codes lie on the line between the codes of the two, at equal
    /// distances, the first and the last being those of the rows themselves. In the units of the training rows:
    /// steps x row length.
    ///
    /// # Errors
    /// Where there is no such row, fewer than 2 steps, or the rows do not fit the model.
    pub fn interpolate(
        &self,
        rows: std::sync::Arc<dyn Source>,
        from: usize,
        to: usize,
        steps: usize,
        compute: Compute,
    ) -> Result<Values> {
        let count = rows.rows();
        if let Some(row) = [from, to].into_iter().find(|&row| row >= count) {
            return Err(Error::data(format!("there is no row {}: there are {count}", row + 1)));
        }
        if steps < 2 {
            return Err(Error::data("the way between two rows has at least 2 steps"));
        }
        let ends = Subset::new(rows, vec![from, to]);
        let k = self.code_shape().len();
        let codes = self.encode(&ends, compute)?;
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
        self.decode(&Table::new(codes, self.code_shape())?, compute)
    }
}
