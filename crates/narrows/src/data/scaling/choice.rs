//! Choice of a scaling, where a recipe has [`Scale::Auto`] or several recipes must share one.

use super::Scale;
use crate::data::Element;
use crate::data::stats::Measured;
use crate::error::Result;

/// Columns are standardised if their standard deviations differ by more than this factor.
const UNLIKE: f64 = 10.0;

/// A scaling that was chosen, with the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chosen {
    /// The scaling.
    pub scale: Scale,
    /// The reason, in words.
    pub reason: &'static str,
}

/// Chooses a scaling for training rows, by the first rule that applies:
///
/// 1. Bytes are scaled to 0..1.
/// 2. Values in 0..1, also those of the held-out rows, are not scaled.
/// 3. If a loss needs 0..1, each column is scaled to it.
/// 4. Pixels are not scaled.
/// 5. Columns whose standard deviations differ by more than a factor of 10 are standardised; others are not scaled.
///
/// # Errors
/// Where rows cannot be read.
pub(crate) fn choose_scale(
    training: &Measured<'_>,
    held_out: &Measured<'_>,
    needs_unit_range: bool,
) -> Result<Chosen> {
    let chosen = |scale, reason| Ok(Chosen { scale, reason });
    if training.source.element() == Element::U8 {
        return chosen(Scale::Unit, "bytes become shares of 255");
    }
    let statistics = training.statistics()?;
    if statistics.is_in_unit_range() && held_out.statistics()?.is_in_unit_range() {
        return chosen(Scale::None, "all numbers lie in 0..1");
    }
    if needs_unit_range {
        return chosen(Scale::MinMax, "each column to 0..1, which a loss needs");
    }
    if training.source.shape().is_image() {
        return chosen(Scale::None, "pixels are of one kind");
    }
    let deviations: Vec<f64> =
        statistics.deviations(training.source)?.into_iter().filter(|&value| value > 0.0).collect();
    let least = deviations.iter().copied().fold(f64::INFINITY, f64::min);
    let most = deviations.iter().copied().fold(0.0, f64::max);
    if most > UNLIKE * least {
        return chosen(Scale::Standard, "columns of very unlike deviations");
    }
    chosen(Scale::None, "the columns' deviations are alike")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Shape, Table, Values};

    #[test]
    fn each_kind_of_rows_gets_its_scaling() {
        let table = |values: Values| Table::new(values, Shape::flat(2)).unwrap();
        let wide = |values: &[f64]| table(Values::F64(values.to_vec()));
        let choose_with = |rows: &Table, held_out: &Table, needs| {
            choose_scale(&Measured::new(rows), &Measured::new(held_out), needs).unwrap().scale
        };
        let choose = |rows: &Table, needs| choose_with(rows, rows, needs);
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
        assert_eq!(choose_with(&wide(&[0.0, 1.0, 0.5, 0.9]), &unlike, true), Scale::MinMax);
    }
}
