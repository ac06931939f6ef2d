//! Which scaling suits rows, where a recipe leaves the choice open or several recipes must share one.

use super::Scale;
use super::each_block;
use crate::data::{Element, Source};

/// Columns whose deviations differ by more than this factor are brought to one scale.
const UNLIKE: f64 = 3.0;

/// A scaling, and why it is the one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chosen {
    /// Which.
    pub scale: Scale,
    /// Why, in words.
    pub reason: &'static str,
}

/// Chooses a scaling for rows: bytes become shares; what lies in 0..1 already stays as it is; else, where a loss needs
/// shares, each column is brought to 0..1; else columns of very unlike deviations are standardised, unless they are pixels.
pub fn choose_scale(training: &dyn Source, held_out: &dyn Source, needs_shares: bool) -> Chosen {
    if training.element() == Element::U8 {
        return Chosen { scale: Scale::Unit, reason: "bytes become shares of 255" };
    }
    let (columns, others) = (Columns::of(training), Columns::of(held_out));
    let inside = |columns: &Columns| {
        columns.low.iter().all(|&low| low >= 0.0) && columns.high.iter().all(|&high| high <= 1.0)
    };
    if inside(&columns) && inside(&others) {
        return Chosen { scale: Scale::None, reason: "all numbers lie in 0..1" };
    }
    if needs_shares {
        return Chosen { scale: Scale::MinMax, reason: "each column to 0..1, which a loss needs" };
    }
    if training.shape().is_image() {
        return Chosen { scale: Scale::None, reason: "pixels are of one kind" };
    }
    let deviations: Vec<f64> =
        columns.deviations(training).into_iter().filter(|&value| value > 0.0).collect();
    let least = deviations.iter().copied().fold(f64::INFINITY, f64::min);
    let most = deviations.iter().copied().fold(0.0, f64::max);
    if most > UNLIKE * least {
        return Chosen { scale: Scale::Standard, reason: "columns of very unlike deviations" };
    }
    Chosen { scale: Scale::None, reason: "the columns' deviations are alike" }
}

/// What recipes call a scaling.
pub fn scale_name(scale: Scale) -> String {
    serde_json::to_value(scale).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// The ends and the mean of each column.
struct Columns {
    low: Vec<f64>,
    high: Vec<f64>,
    mean: Vec<f64>,
}

impl Columns {
    fn of(rows: &dyn Source) -> Self {
        let (width, n) = (rows.shape().len(), rows.rows() as f64);
        let (mut low, mut high) = (vec![f64::INFINITY; width], vec![f64::NEG_INFINITY; width]);
        let mut mean = vec![0.0; width];
        each_block(rows, |block| {
            for row in block.chunks_exact(width) {
                for j in 0..width {
                    low[j] = low[j].min(row[j]);
                    high[j] = high[j].max(row[j]);
                    mean[j] += row[j] / n;
                }
            }
        });
        Self { low, high, mean }
    }

    /// The standard deviation of each column; 0 for a constant one.
    fn deviations(&self, rows: &dyn Source) -> Vec<f64> {
        let width = self.mean.len();
        let mut squares = vec![0.0; width];
        each_block(rows, |block| {
            for row in block.chunks_exact(width) {
                for j in 0..width {
                    squares[j] += (row[j] - self.mean[j]).powi(2);
                }
            }
        });
        let deviation = |j: usize| {
            if self.low[j] < self.high[j] { (squares[j] / rows.rows() as f64).sqrt() } else { 0.0 }
        };
        (0..width).map(deviation).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Shape, Table, Values};

    #[test]
    fn each_kind_of_rows_gets_its_scaling() {
        let table = |values: Values| Table::new(values, Shape::flat(2)).unwrap();
        let wide = |values: &[f64]| table(Values::F64(values.to_vec()));
        let choose = |rows: &Table, needs| choose_scale(rows, rows, needs).scale;
        assert_eq!(choose(&table(Values::U8(vec![0, 1, 1, 0])), true), Scale::Unit);
        for needs in [false, true] {
            assert_eq!(choose(&wide(&[0.0, 1.0, 0.5, 0.9]), needs), Scale::None);
        }
        let alike = wide(&[0.0, 5.0, 2.0, 2.0]);
        let unlike = wide(&[0.0, 5.0, 2.0, 99.0]);
        // A constant column has no deviation to compare.
        let constant = wide(&[7.0, 5.0, 7.0, 99.0]);
        assert_eq!([&alike, &unlike, &constant].map(|rows| choose(rows, true)), [Scale::MinMax; 3]);
        assert_eq!(
            [&alike, &unlike, &constant].map(|rows| choose(rows, false)),
            [Scale::None, Scale::Standard, Scale::None]
        );
        // Held-out rows that reach out of 0..1 count too.
        assert_eq!(choose_scale(&wide(&[0.0, 1.0, 0.5, 0.9]), &unlike, true).scale, Scale::MinMax);
        assert_eq!(scale_name(Scale::MinMax), "min_max");
    }
}
