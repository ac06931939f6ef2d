//! Scaling of columns: learned from the training rows, applied to the input of a method, undone on its output.
//!
//! Used by the rooms that fit and apply models; a recipe names the kind of scaling.

mod choice;

pub use choice::Chosen;
pub(crate) use choice::choose_scale;

use narrows_kernels::{Level, vector};
use serde::{Deserialize, Serialize};

use crate::base::memory;
use crate::data::source::check_not_infinite;
use crate::data::stats::Measured;
use crate::data::{ColumnError, Element, EncodedColumn, Source, Table, Values};
use crate::error::{Error, Result};

/// Rows that are converted at a time.
const BLOCK: usize = 256;

/// Kinds of scaling. The learned offsets and scales are stored in the model; the scaling is undone on its output.
///
/// ```
/// use narrows::{Recipe, Scale};
///
/// let recipe = Recipe::open("pca")?.with("scale", "standard")?;
/// assert_eq!(recipe.scale(), Scale::Standard);
/// # Ok::<(), narrows::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Scale {
    /// Chosen for the rows: bytes to 0..1; values in 0..1 as they are; [`Scale::MinMax`] if the loss needs 0..1;
    /// [`Scale::Standard`] for columns (not pixels) of very different standard deviations. The model names the kind that was chosen.
    Auto,
    /// No scaling.
    None,
    /// Bytes from 0..255 to 0..1; other numbers are not scaled.
    #[default]
    Unit,
    /// Bytes to 0..1, then each column minus its mean over the training rows.
    Center,
    /// Each column to 0..1, the range of the training rows.
    MinMax,
    /// Each column to mean 0 and standard deviation 1 (n - 1) over the training rows.
    Standard,
}

impl Scale {
    /// The name in a recipe.
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

/// How the levels of categories are scaled, where columns are standardised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Levels {
    /// As in the factor analysis of mixed data: see [`Scaling::weighing_levels`].
    Weighed,
    /// Not: they stay 0 and 1, which a cross-entropy needs.
    Plain,
}

/// A scaling: (value - offset) / scale, with one offset and scale for all columns, or one for each.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaling {
    /// The offsets: 1, or one per column.
    pub offsets: Vec<f64>,
    /// The scales: 1, or one per column; never 0.
    pub scales: Vec<f64>,
    /// The offsets and scales in single precision.
    narrow: (Vec<f32>, Vec<f32>),
}

impl Scaling {
    /// A scaling from offsets and scales.
    pub fn from_parts(offsets: Vec<f64>, scales: Vec<f64>) -> Self {
        let narrow = |values: &[f64]| values.iter().map(|&value| value as f32).collect();
        let pair = (narrow(&offsets), narrow(&scales));
        Self { offsets, scales, narrow: pair }
    }

    /// Learns a scaling from training rows. The scale of a constant column is 1.
    ///
    /// # Errors
    /// Where rows cannot be read, or their values are too large to be scaled.
    pub fn learn(scale: Scale, source: &dyn Source) -> Result<Self> {
        Self::learn_from(scale, &Measured::new(source))
    }

    /// As [`Scaling::learn`], from rows whose statistics may be measured already.
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

    /// The scaling of rows that may encode the columns of a table.
    ///
    /// # Errors
    /// As [`Scaling::learn`].
    pub(crate) fn learn_encoded(
        scale: Scale,
        rows: &Measured<'_>,
        columns: Option<&[EncodedColumn]>,
        levels: Levels,
    ) -> Result<Self> {
        match columns {
            Some(columns) if scale == Scale::Standard && levels == Levels::Weighed => {
                Self::learn_from(scale, rows)?.weighing_levels(columns, rows)
            }
            Some(columns) if levels == Levels::Plain => Self::learn_columns(scale, rows, columns),
            Some(_) | None => Self::learn_from(scale, rows),
        }
    }

    /// As [`Scaling::learn_from`], for rows that encode the columns of a table: only numbers are scaled, yes and no and the levels
    /// of categories stay 0 and 1.
    pub(crate) fn learn_columns(
        scale: Scale,
        rows: &Measured<'_>,
        columns: &[EncodedColumn],
    ) -> Result<Self> {
        let learned = Self::learn_from(scale, rows)?;
        if learned.is_identity() {
            return Ok(learned);
        }
        let width = rows.source.shape().len();
        let each = |values: &[f64]| if values.len() == 1 { vec![values[0]; width] } else { values.to_vec() };
        let (mut offsets, mut scales) = (each(&learned.offsets), each(&learned.scales));
        for column in columns.iter().filter(|column| column.error != ColumnError::Squared) {
            offsets[column.range.clone()].fill(0.0);
            scales[column.range.clone()].fill(1.0);
        }
        Ok(Self::from_parts(offsets, scales))
    }

    /// Whether the scaling changes nothing.
    fn is_identity(&self) -> bool {
        self.offsets.iter().all(|&offset| offset == 0.0) && self.scales.iter().all(|&scale| scale == 1.0)
    }

    /// With the levels of categories scaled as in the factor analysis of mixed data (Pagès 2004): an indicator of a level that p of
    /// the rows have is divided by sqrt(p) instead of by its standard deviation, so that a category of m levels has a total variance
    /// of m - 1, and its distances are those of multiple correspondence analysis. A yes/no column, standardised, is the same as
    /// its two levels scaled so. Variances are those of division by n, as in the publication: those of a PCA, which divides by
    /// n - 1, become equal to them by a factor of n / (n - 1) under the root.
    ///
    /// # Errors
    /// As [`Source::read_f64`].
    fn weighing_levels(self, columns: &[EncodedColumn], rows: &Measured<'_>) -> Result<Self> {
        let Self { offsets, mut scales, .. } = self;
        let found = rows.statistics()?;
        let is_category = |column: &&EncodedColumn| column.error == ColumnError::Categorical;
        for at in columns.iter().filter(is_category).flat_map(|column| column.range.clone()) {
            let n = (found.rows - found.missing[at]) as f64;
            scales[at] = non_zero((found.mean[at] * n / (n - 1.0).max(1.0)).sqrt());
        }
        Ok(Self::from_parts(offsets, scales))
    }

    /// Reads the rows `indices` of a source and scales them. Rows in double precision are scaled before they are rounded to single
    /// precision: otherwise a large offset (a mean of a million, say) would cost digits of the difference.
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

    /// The scaled rows in single precision, if the source has double precision: training reads them many times. `None` for other
    /// rows, and for a table that would take more than half of the free memory: such rows are scaled each time they are read.
    ///
    /// # Errors
    /// Where rows cannot be read, or scaled values are too large for single precision.
    pub(crate) fn prepare(&self, source: &dyn Source, level: Level) -> Result<Option<Table>> {
        if source.element() != Element::F64 {
            return Ok(None);
        }
        let too_large =
            |error: Error| error.at("in single precision").hint("scale the columns: scale = \"standard\"");
        let (width, numbers) = (source.shape().len(), source.rows() * source.shape().len());
        let checked_read = |first: usize, out: &mut [f32]| {
            self.read(source, first, out, level)?;
            check_not_infinite(source, out, first).map_err(too_large)
        };
        if memory::free_bytes().is_some_and(|free| numbers.saturating_mul(size_of::<f32>()) > free / 2) {
            let (rows, mut buffer) = (source.rows(), vec![0.0; BLOCK * width]);
            for first in (0..rows).step_by(BLOCK) {
                checked_read(first, &mut buffer[..BLOCK.min(rows - first) * width])?;
            }
            return Ok(None);
        }
        let mut rows = vec![0.0; numbers];
        for (block, out) in rows.chunks_mut(BLOCK * width).enumerate() {
            checked_read(block * BLOCK, out)?;
        }
        Ok(Some(Table::of_output(Values::F32(rows), source.shape())))
    }

    /// The scaling that changes nothing.
    pub fn identity() -> Self {
        Self::from_parts(vec![0.0], vec![1.0])
    }

    /// Scales rows (n x width) in place.
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

    /// Scales rows (n x width) in place, in double precision.
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
    fn of_a_table_only_numbers_are_scaled() {
        let column = |range, error| EncodedColumn { range, error, weight: 1.0 };
        let columns = [
            column(0..1, ColumnError::Squared),
            column(1..2, ColumnError::Binary),
            column(2..4, ColumnError::Categorical),
        ];
        let values = vec![5.0, 1.0, 0.0, 1.0, 7.0, 0.0, 1.0, 0.0, f64::NAN, 1.0, 1.0, 0.0];
        let table = Table::of_output(Values::F64(values.clone()), Shape::flat(4));
        for scale in [Scale::None, Scale::Unit, Scale::Center, Scale::MinMax, Scale::Standard] {
            let scaling = Scaling::learn_columns(scale, &Measured::new(&table), &columns).unwrap();
            let mut rows = values.clone();
            scaling.apply_f64(&mut rows, 4);
            let of_table =
                |rows: &[f64]| rows.chunks(4).flat_map(|row| row[1..].to_vec()).collect::<Vec<_>>();
            assert_eq!(of_table(&rows), of_table(&values), "{scale:?}");
            let number = match scale {
                Scale::Center => -1.0,
                Scale::MinMax => 0.0,
                Scale::Standard => -1.0 / 2f64.sqrt(),
                _ => 5.0,
            };
            assert!((rows[0] - number).abs() < 1e-12 && rows[8].is_nan(), "{scale:?} {rows:?}");
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
