//! How the numbers of a row are scaled before a method sees them, learned from the training rows, undone on output.

mod choice;

pub use choice::Chosen;
pub(crate) use choice::choose_scale;

use narrows_kernels::{Level, vector};
use serde::{Deserialize, Serialize};

use crate::data::stats::Measured;
use crate::data::{Element, Source, Table, Values};
use crate::error::{Error, Result};

/// Rows converted at a time.
const BLOCK: usize = 256;

/// How numbers are scaled before a method sees them. What was learned is stored in the model and undone on output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// Chosen by the rows: see `choose_scale`. What was chosen is what the model says.
    Auto,
    /// As they are.
    None,
    /// Bytes from 0..255 to 0..1; other numbers as they are.
    #[default]
    Unit,
    /// Bytes to 0..1, then each column less its mean over the training rows.
    Center,
    /// Each column so that the training rows fill 0..1.
    MinMax,
    /// Each column to mean 0 and standard deviation 1 (n - 1) over the training rows.
    Standard,
}

impl Scale {
    /// Its name in a recipe.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::None => "none",
            Self::Unit => "unit",
            Self::Center => "center",
            Self::MinMax => "min_max",
            Self::Standard => "standard",
        }
    }
}

/// (value - offset) / scale for each column; one offset and scale for all, or one for each.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaling {
    /// Taken away first.
    pub offsets: Vec<f64>,
    /// Divided by then; never 0.
    pub scales: Vec<f64>,
    /// The same numbers in single precision.
    narrow: (Vec<f32>, Vec<f32>),
}

impl Scaling {
    /// A scaling from its numbers.
    pub fn from_parts(offsets: Vec<f64>, scales: Vec<f64>) -> Self {
        let narrow = |values: &[f64]| values.iter().map(|&value| value as f32).collect();
        let pair = (narrow(&offsets), narrow(&scales));
        Self { offsets, scales, narrow: pair }
    }

    /// Learns a scaling from training rows. A constant column keeps the scale 1.
    ///
    /// # Errors
    /// Where rows cannot be read, or their values are too large to be scaled.
    pub fn learn(scale: Scale, source: &dyn Source) -> Result<Self> {
        Self::learn_from(scale, &Measured::new(source))
    }

    /// As [`Scaling::learn`], from rows whose statistics may be known.
    pub(crate) fn learn_from(scale: Scale, rows: &Measured<'_>) -> Result<Self> {
        let byte = if rows.source.element() == Element::U8 { 255.0 } else { 1.0 };
        let learned = match scale {
            Scale::Auto => return Self::learn_from(choose_scale(rows, rows, false)?.scale, rows),
            Scale::None => Self::identity(),
            Scale::Unit => Self::from_parts(vec![0.0], vec![byte]),
            Scale::MinMax => {
                let found = rows.statistics()?;
                let scales = found.least.iter().zip(&found.most).map(|(least, most)| non_zero(most - least));
                Self::from_parts(found.least.clone(), scales.collect())
            }
            Scale::Center => {
                let mean = rows.statistics()?.mean.clone();
                let width = mean.len();
                Self::from_parts(mean, vec![byte; width])
            }
            Scale::Standard => {
                let found = rows.statistics()?;
                let scales = found.deviations(rows.source)?.into_iter().map(non_zero).collect();
                Self::from_parts(found.mean.clone(), scales)
            }
        };
        let finite = |values: &[f64]| values.iter().position(|value| !value.is_finite());
        match finite(&learned.offsets).or_else(|| finite(&learned.scales)) {
            Some(column) => {
                Err(Error::data(format!("column {}: its numbers are too large to be scaled", column + 1))
                    .hint("divide them by a power of ten"))
            }
            None => Ok(learned),
        }
    }

    /// Whether a number comes out as it went in.
    fn is_identity(&self) -> bool {
        self.offsets.iter().all(|&offset| offset == 0.0) && self.scales.iter().all(|&scale| scale == 1.0)
    }

    /// Reads the rows `indices` of a source and scales them. Rows in double precision are scaled before they are rounded to
    /// single: what scaling takes away (a mean of a million, say) must not have cost the digits of what is left.
    ///
    /// # Errors
    /// As [`Source::read_f64`].
    ///
    /// # Panics
    /// As [`Source::read_f64`].
    pub(crate) fn gather(
        &self,
        source: &dyn Source,
        indices: &[usize],
        out: &mut [f32],
        level: Level,
    ) -> Result<()> {
        if source.element() == Element::F64 && !self.is_identity() {
            let mut wide = vec![0.0; out.len()];
            source.gather_f64(indices, &mut wide)?;
            self.narrow(&mut wide, out, source.shape().len());
        } else {
            source.gather_f32(indices, out)?;
            self.apply(level, out, source.shape().len());
        }
        Ok(())
    }

    /// As [`Scaling::gather`], of consecutive rows.
    pub(crate) fn read(
        &self,
        source: &dyn Source,
        first: usize,
        out: &mut [f32],
        level: Level,
    ) -> Result<()> {
        if source.element() == Element::F64 && !self.is_identity() {
            let mut wide = vec![0.0; out.len()];
            source.read_f64(first, &mut wide)?;
            self.narrow(&mut wide, out, source.shape().len());
        } else {
            source.read_f32(first, out)?;
            self.apply(level, out, source.shape().len());
        }
        Ok(())
    }

    /// Scales in double precision, then rounds to single.
    fn narrow(&self, wide: &mut [f64], out: &mut [f32], width: usize) {
        self.apply_f64(wide, width);
        out.iter_mut().zip(wide).for_each(|(out, value)| *out = *value as f32);
    }

    /// Rows in single precision, already scaled, for training on rows in double precision; none for other rows, which are
    /// scaled as they are read. Refuses numbers that single precision cannot hold.
    pub(crate) fn prepare(&self, source: &dyn Source, level: Level) -> Result<Option<Table>> {
        if source.element() != Element::F64 {
            return Ok(None);
        }
        let mut rows = vec![0.0; source.rows() * source.shape().len()];
        for (block, out) in rows.chunks_mut(BLOCK * source.shape().len()).enumerate() {
            self.read(source, block * BLOCK, out, level)?;
        }
        let table = Table::new(Values::F32(rows), source.shape());
        table
            .map(Some)
            .map_err(|error| error.at("in single precision").hint("scale the columns: scale = \"standard\""))
    }

    /// The scaling that changes nothing.
    pub fn identity() -> Self {
        Self::from_parts(vec![0.0], vec![1.0])
    }

    /// Scales rows in place.
    pub(crate) fn apply(&self, level: Level, rows: &mut [f32], width: usize) {
        if !self.is_identity() {
            vector::standardize(level, rows, width, &self.narrow.0, &self.narrow.1);
        }
    }

    /// Undoes [`Scaling::apply`].
    pub(crate) fn undo(&self, level: Level, rows: &mut [f32], width: usize) {
        if !self.is_identity() {
            vector::unstandardize(level, rows, width, &self.narrow.0, &self.narrow.1);
        }
    }

    /// Scales rows in place, in double precision.
    pub fn apply_f64(&self, rows: &mut [f64], width: usize) {
        self.each(rows, width, |value, offset, scale| (value - offset) / scale);
    }

    /// Undoes [`Scaling::apply_f64`].
    pub fn undo_f64(&self, rows: &mut [f64], width: usize) {
        self.each(rows, width, |value, offset, scale| value * scale + offset);
    }

    fn each(&self, rows: &mut [f64], width: usize, change: impl Fn(f64, f64, f64) -> f64) {
        if self.is_identity() {
            return;
        }
        let pick = |from: &[f64], j: usize| if from.len() == 1 { from[0] } else { from[j] };
        for row in rows.chunks_exact_mut(width) {
            for (j, value) in row.iter_mut().enumerate() {
                *value = change(*value, pick(&self.offsets, j), pick(&self.scales, j));
            }
        }
    }
}

fn non_zero(scale: f64) -> f64 {
    if scale > 0.0 { scale } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Shape, Table, Values};

    #[test]
    fn each_kind_does_what_it_says_and_comes_back() {
        let values = vec![0.0, 5.0, 7.0, 10.0, 5.0, 8.0, 5.0, 5.0, 12.0];
        let table = Table::new(Values::F64(values.clone()), Shape::flat(3)).unwrap();
        for scale in [Scale::None, Scale::Unit, Scale::Center, Scale::MinMax, Scale::Standard] {
            let scaling = Scaling::learn(scale, &table).unwrap();
            let mut rows = values.clone();
            scaling.apply_f64(&mut rows, 3);
            let column = |j: usize| [rows[j], rows[3 + j], rows[6 + j]];
            match scale {
                Scale::Auto | Scale::None | Scale::Unit => assert_eq!(rows, values),
                Scale::Center => assert_eq!(column(0), [-5.0, 5.0, 0.0]),
                Scale::MinMax => {
                    assert_eq!(column(0), [0.0, 1.0, 0.5]);
                    assert_eq!(column(1), [0.0; 3], "a constant column");
                }
                Scale::Standard => {
                    assert_eq!(column(0), [-1.0, 1.0, 0.0]);
                    let c = column(2);
                    assert!((c.iter().sum::<f64>()).abs() < 1e-12);
                    assert!((c.iter().map(|x| x * x).sum::<f64>() / 2.0 - 1.0).abs() < 1e-12);
                }
            }
            let mut narrow: Vec<f32> = values.iter().map(|&value| value as f32).collect();
            scaling.apply(Level::detect(), &mut narrow, 3);
            assert!(narrow.iter().zip(&rows).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-6));
            scaling.undo_f64(&mut rows, 3);
            assert!(rows.iter().zip(&values).all(|(a, b)| (a - b).abs() < 1e-12));
        }
    }

    #[test]
    fn huge_and_tiny_columns_are_standardised_and_what_is_too_large_is_refused() {
        let table = |values: Vec<f64>| Table::new(Values::F64(values), Shape::flat(2)).unwrap();
        let values = vec![1e200, 3e-300, -2e200, 1e-300, 4e200, 5e-300];
        let scaling = Scaling::learn(Scale::Standard, &table(values.clone())).unwrap();
        let mut rows = values;
        scaling.apply_f64(&mut rows, 2);
        for j in 0..2 {
            let squares: f64 = rows.iter().skip(j).step_by(2).map(|x| x * x).sum();
            assert!((squares / 2.0 - 1.0).abs() < 1e-12, "{rows:?}");
        }
        for scale in [Scale::MinMax, Scale::Standard] {
            let error = Scaling::learn(scale, &table(vec![1.0, f64::MAX, 2.0, -f64::MAX])).unwrap_err();
            assert!(error.to_string().contains("column 2"), "{error}");
        }
    }

    #[test]
    fn bytes_become_shares() {
        let table = Table::new(Values::U8(vec![0, 51, 255]), Shape::flat(3)).unwrap();
        let scaling = Scaling::learn(Scale::Unit, &table).unwrap();
        let mut rows = vec![0.0, 51.0, 255.0];
        scaling.apply(Level::detect(), &mut rows, 3);
        assert_eq!(rows, [0.0, 0.2, 1.0]);
    }
}
