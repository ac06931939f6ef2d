//! What can be made of codes: the way between two rows, a grid of codes, codes drawn at random, all decoded.

use crate::base::random::{Purpose, generator, normal};
use crate::compute::Compute;
use crate::data::{Shape, Source, Subset, Table, Values};
use crate::error::{Error, Result};
use crate::model::{Fitted, Model};

/// Codes that a picture shows, and how they came about.
pub(crate) struct Chosen {
    /// n x code size.
    pub codes: Vec<f32>,
    /// Pictures in a row.
    pub columns: usize,
    /// A sentence that says which they are.
    pub what: String,
}

/// Pictures along each side of a grid.
const GRID: usize = 15;

/// Codes that are drawn at random.
const DRAWN: usize = 60;

impl Model {
    /// `steps` rows on the way from one row to another: their codes lie on the line between the codes of the two, at equal
    /// distances, the first and the last being those of the rows themselves. In the units of the training rows:
    /// steps x row length.
    ///
    /// # Errors
    /// Where there is no such row, fewer than 2 steps, or the rows do not fit the model.
    pub fn interpolate(
        &self,
        rows: &dyn Source,
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
        let ends = Subset::new(std::sync::Arc::new(rows), vec![from, to]);
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

    /// Codes whose rows show what the code means: of two numbers a grid; of a variational network ones drawn from the
    /// standard normal. None for other codes. `codes` are those of some rows.
    pub(crate) fn telling_codes(&self, codes: &[f32]) -> Option<Chosen> {
        let k = self.code_shape().len();
        let is_drawn = match &self.fitted {
            Fitted::Network { plan, .. } => plan.divergence().is_some(),
            Fitted::Pca(_) => false,
        };
        if k == 2 {
            let place = |at: usize| (at as f64 + 0.5) / GRID as f64;
            let range = |unit: usize| {
                let column = codes.iter().skip(unit).step_by(2);
                let low = column.clone().copied().fold(f32::INFINITY, f32::min);
                (low, column.copied().fold(f32::NEG_INFINITY, f32::max))
            };
            let value = |unit: usize, at: usize| {
                if is_drawn {
                    return normal_quantile(place(at)) as f32;
                }
                let (low, high) = range(unit);
                low + (high - low) * place(at) as f32
            };
            // To the right and upwards, as in the chart of the codes.
            let rows = (0..GRID).rev();
            let grid = rows.flat_map(|up| (0..GRID).flat_map(move |right| [(0, right), (1, up)]));
            let codes: Vec<f32> = grid.map(|(unit, at)| value(unit, at)).collect();
            let what = if is_drawn {
                "Codes on a grid, at equal steps of the standard normal's distribution: the first number grows to the right, the second upwards."
            } else {
                "Codes on a grid over the range of the rows' codes: the first number grows to the right, the second upwards."
            };
            let finite = codes.iter().all(|value| value.is_finite());
            return finite.then(|| Chosen { codes, columns: GRID, what: what.to_owned() });
        }
        is_drawn.then(|| {
            let mut stream = generator(self.recipe.seed(), Purpose::Picture, 0);
            let codes = (0..DRAWN * k).map(|_| normal(&mut stream) as f32).collect();
            let what = "Codes drawn from the standard normal: rows that there never were.".to_owned();
            Chosen { codes, columns: 12, what }
        })
    }

    /// The rows of codes as the model sees them, before scaling is undone: n x row length.
    pub(crate) fn decode_scaled(&self, codes: &[f32], compute: Compute) -> Result<Vec<f32>> {
        let width = self.shape.len();
        let codes = Table::new(Values::F32(codes.to_vec()), Shape::flat(self.code_shape().len()))?;
        let mut rows = self.decode(&codes, compute)?.into_f32();
        self.scaling.apply(compute.level, &mut rows, width);
        Ok(rows)
    }
}

/// The number below which a standard normal one lies in a share of the cases.
fn normal_quantile(share: f64) -> f64 {
    // By bisection of the distribution: pictures need no more speed.
    let below = |x: f64| 0.5 * (1.0 + error_function(x * std::f64::consts::FRAC_1_SQRT_2));
    let (mut low, mut high) = (-9.0, 9.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if below(middle) < share { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x, by its series.
fn error_function(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * std::f64::consts::FRAC_2_SQRT_PI
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_the_normal() {
        for (share, want) in
            [(0.5, 0.0), (0.841_344_746, 1.0), (0.025, -1.959_963_985), (0.999, 3.090_232_306)]
        {
            assert!((normal_quantile(share) - want).abs() < 1e-6, "{share}");
        }
    }
}
