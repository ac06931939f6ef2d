//! The metrics of a comparison as a table of text.

use super::{Comparison, Measure, Method, Spread};

/// A cell of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// The text.
    pub text: String,
    /// Whether it has the best value of its column.
    pub best: bool,
}

impl Comparison {
    /// The table of the given measures: its header, a row for each fitted recipe, and a row for the accuracies of the rows
    /// themselves. A measure that no recipe has is left out.
    pub fn table(&self, which: &[Measure]) -> (Vec<String>, Vec<Vec<Cell>>) {
        let fitted: Vec<&Method> = self.methods.iter().filter(|method| !method.fits.is_empty()).collect();
        let columns: Vec<(Measure, Vec<Option<Spread>>)> = which
            .iter()
            .map(|&measure| (measure, fitted.iter().map(|method| method.spread(measure)).collect::<Vec<_>>()))
            .filter(|(_, spreads)| spreads.iter().any(Option::is_some))
            .collect();
        let mut header = vec!["recipe".to_owned()];
        header.extend(columns.iter().map(|(measure, _)| measure.title().to_owned()));
        let plain = |text: String| Cell { text, best: false };
        let mut rows: Vec<Vec<Cell>> = fitted.iter().map(|method| vec![plain(method.name.clone())]).collect();
        for (measure, spreads) in &columns {
            // Errors on noisy rows are not comparable with the others.
            let on_noise = matches!(measure, Measure::SquaredError | Measure::ExplainedVariance);
            let values: Vec<Option<f64>> = spreads
                .iter()
                .zip(&fitted)
                .map(|(spread, method)| {
                    spread.filter(|_| !(on_noise && method.noisy)).map(|spread| spread.mean)
                })
                .collect();
            for ((row, spread), (best, method)) in
                rows.iter_mut().zip(spreads).zip(measure.best(&values).into_iter().zip(&fitted))
            {
                let text = spread.as_ref().map_or_else(|| "-".into(), |spread| measure.text(spread));
                let text = match measure {
                    Measure::Loss => format!("{text} {}", method.loss_name),
                    Measure::DeadUnits => format!("{text} of {}", method.fits[0].code_units),
                    _ => text,
                };
                row.push(Cell { text, best });
            }
        }
        let classified =
            |(measure, _): &(Measure, _)| matches!(measure, Measure::NearestNeighbour | Measure::LinearProbe);
        if let Some(reference) = &self.rows
            && columns.iter().any(classified)
        {
            let mut row = vec![plain("the rows themselves".into())];
            row.extend(columns.iter().map(|(measure, _)| {
                let value = match measure {
                    Measure::CodeSize => Some(reference.width as f64),
                    Measure::NearestNeighbour => reference.nearest_neighbour_accuracy,
                    Measure::LinearProbe => reference.linear_probe_accuracy,
                    _ => None,
                };
                plain(value.map_or_else(|| "-".into(), |value| measure.text(&Spread::one(value))))
            }));
            rows.push(row);
        }
        (header, rows)
    }

    /// The notes, preceded by the reason for each recipe that could not be fitted.
    pub fn remarks(&self) -> Vec<String> {
        let failed = self.methods.iter().filter_map(|method| {
            Some(format!("{} does not fit these rows: {}", method.name, method.failure.as_ref()?))
        });
        failed.chain(self.notes.iter().cloned()).collect()
    }
}
