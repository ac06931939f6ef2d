//! The figures of a fit in a comparison, and how they are called, ordered and written.

use serde::Serialize;

use crate::base::text::figure_text;

/// What is said about one fit. Errors are in the units the method sees: after scaling.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metrics {
    /// Which recipe.
    pub recipe: String,
    /// The seed; none where the method has no chance in it.
    pub seed: Option<u64>,
    /// How many numbers were learned.
    pub parameters: usize,
    /// Numbers in a code.
    pub code_size: usize,
    /// Epochs that were finished.
    pub epochs: usize,
    /// Time spent finding the parameters.
    pub seconds: f64,
    /// The loss on the held-out rows.
    pub loss: f64,
    /// Binary cross-entropy; for networks trained on it.
    pub bce: Option<f64>,
    /// Squared error summed over a row's numbers, a mean over the held-out rows.
    pub squared_error_per_row: f64,
    /// The same of PCA with a code of the same size.
    pub pca_squared_error_per_row: f64,
    /// The components of that PCA.
    pub pca_components: usize,
    /// 1 - squared error / squared error of the constant mean.
    pub explained_variance: f64,
    /// Units of the code that are the same for every held-out row.
    pub dead_units: usize,
    /// Units of the code: its numbers, or where it is an image its channels.
    pub code_units: usize,
    /// The mean size |z| of a number of a code.
    pub mean_activity: Option<f64>,
    /// The share of held-out rows whose class the nearest training code has; where there are classes.
    pub nearest_neighbour_accuracy: Option<f64>,
    /// The share of held-out rows whose class a linear classifier of codes finds; where there are classes.
    pub linear_probe_accuracy: Option<f64>,
    /// Whether neighbours among codes are neighbours among rows; 1 where all are.
    pub trustworthiness: Option<f64>,
    /// Whether neighbours among rows are neighbours among codes; 1 where all are.
    pub continuity: Option<f64>,
    /// How many neighbours of each row these two looked at.
    pub neighbours: Option<usize>,
    /// The plain sentence of the fit.
    pub verdict: String,
}

/// A number of [`Metrics`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// [`Metrics::code_size`].
    CodeSize,
    /// [`Metrics::parameters`].
    Parameters,
    /// [`Metrics::seconds`].
    Seconds,
    /// [`Metrics::loss`].
    Loss,
    /// [`Metrics::squared_error_per_row`].
    SquaredError,
    /// [`Metrics::pca_squared_error_per_row`].
    PcaSquaredError,
    /// [`Metrics::explained_variance`].
    ExplainedVariance,
    /// [`Metrics::dead_units`].
    DeadUnits,
    /// [`Metrics::mean_activity`].
    MeanActivity,
    /// [`Metrics::nearest_neighbour_accuracy`].
    NearestNeighbour,
    /// [`Metrics::linear_probe_accuracy`].
    LinearProbe,
    /// [`Metrics::trustworthiness`].
    Trustworthiness,
    /// [`Metrics::continuity`].
    Continuity,
}

/// Which end of a measure is the good one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Good {
    Least,
    Most,
    Neither,
}

impl Measure {
    /// All, in the order of a table.
    pub const ALL: [Self; 13] = [
        Self::CodeSize,
        Self::Parameters,
        Self::Seconds,
        Self::Loss,
        Self::SquaredError,
        Self::PcaSquaredError,
        Self::ExplainedVariance,
        Self::DeadUnits,
        Self::MeanActivity,
        Self::NearestNeighbour,
        Self::LinearProbe,
        Self::Trustworthiness,
        Self::Continuity,
    ];

    /// Name in JSON, name in a table, the good end.
    fn row(self) -> (&'static str, &'static str, Good) {
        match self {
            Self::CodeSize => ("code_size", "code", Good::Neither),
            Self::Parameters => ("parameters", "parameters", Good::Neither),
            Self::Seconds => ("seconds", "seconds", Good::Least),
            Self::Loss => ("loss", "loss", Good::Neither),
            Self::SquaredError => ("squared_error_per_row", "squared error", Good::Least),
            Self::PcaSquaredError => ("pca_squared_error_per_row", "of PCA", Good::Neither),
            Self::ExplainedVariance => ("explained_variance", "variance kept", Good::Most),
            Self::DeadUnits => ("dead_units", "dead units", Good::Neither),
            Self::MeanActivity => ("mean_activity", "activity", Good::Neither),
            Self::NearestNeighbour => ("nearest_neighbour_accuracy", "1-NN", Good::Most),
            Self::LinearProbe => ("linear_probe_accuracy", "probe", Good::Most),
            Self::Trustworthiness => ("trustworthiness", "trust", Good::Most),
            Self::Continuity => ("continuity", "continuity", Good::Most),
        }
    }

    /// The name of the field.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// The head of its column.
    pub fn title(self) -> &'static str {
        self.row().1
    }

    /// The number in the figures of a fit.
    pub fn of(self, figures: &Metrics) -> Option<f64> {
        match self {
            Self::CodeSize => Some(figures.code_size as f64),
            Self::Parameters => Some(figures.parameters as f64),
            Self::Seconds => Some(figures.seconds),
            Self::Loss => Some(figures.loss),
            Self::SquaredError => Some(figures.squared_error_per_row),
            Self::PcaSquaredError => Some(figures.pca_squared_error_per_row),
            Self::ExplainedVariance => Some(figures.explained_variance),
            Self::DeadUnits => Some(figures.dead_units as f64),
            Self::MeanActivity => figures.mean_activity,
            Self::NearestNeighbour => figures.nearest_neighbour_accuracy,
            Self::LinearProbe => figures.linear_probe_accuracy,
            Self::Trustworthiness => figures.trustworthiness,
            Self::Continuity => figures.continuity,
        }
    }

    /// Which of several values are the best; none where one is as good as another. What is not finite is never best.
    pub fn best(self, values: &[Option<f64>]) -> Vec<bool> {
        let finite = || values.iter().flatten().copied().filter(|value| value.is_finite());
        let best = match self.row().2 {
            Good::Least => finite().reduce(f64::min),
            Good::Most => finite().reduce(f64::max),
            Good::Neither => None,
        };
        values.iter().map(|value| finite().count() > 1 && value.is_some() && *value == best).collect()
    }

    /// As a reader wants it, with its deviation where there is one.
    pub fn text(self, spread: &Spread) -> String {
        let number = |value: f64| match self {
            _ if !value.is_finite() => "not finite".into(),
            Self::CodeSize | Self::Parameters => format!("{value:.0}"),
            Self::Seconds => format!("{value:.2}"),
            Self::ExplainedVariance | Self::NearestNeighbour | Self::LinearProbe => {
                format!("{:.2}", value * 100.0)
            }
            Self::Trustworthiness | Self::Continuity => format!("{value:.4}"),
            Self::DeadUnits if value.fract() == 0.0 => format!("{value:.0}"),
            Self::DeadUnits => format!("{value:.1}"),
            _ => four_digits(value),
        };
        let percent = match self {
            Self::ExplainedVariance | Self::NearestNeighbour | Self::LinearProbe => " %",
            _ => "",
        };
        // A deviation is known to two digits at most.
        let deviation = match (self, spread.deviation) {
            (_, None | Some(0.0)) => String::new(),
            (
                Self::Seconds
                | Self::DeadUnits
                | Self::ExplainedVariance
                | Self::NearestNeighbour
                | Self::LinearProbe,
                Some(value),
            ) => {
                format!(" ± {}", number(value))
            }
            (_, Some(value)) => {
                // Nor has it more decimals than what it belongs to.
                let most = if spread.mean.abs() < 1e-3 { 12.0 } else { 4.0 };
                format!(" ± {value:.0$}", (1.0 - value.log10().floor()).clamp(0.0, most) as usize)
            }
        };
        format!("{}{deviation}{percent}", number(spread.mean))
    }
}

/// Four digits, zeros at the end included: the figures of a column have one form.
fn four_digits(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-3..1e4).contains(&magnitude) {
        return figure_text(value);
    }
    let before_point = if magnitude < 10.0 { 1 } else { magnitude.log10() as usize + 1 };
    format!("{value:.*}", if magnitude < 1.0 { 4 } else { 4 - before_point })
}

/// A figure over several fits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation (n - 1), where there are several.
    pub deviation: Option<f64>,
    /// The least.
    pub least: f64,
    /// The largest.
    pub most: f64,
}

impl Spread {
    /// Of one value.
    pub fn one(value: f64) -> Self {
        Self { mean: value, deviation: None, least: value, most: value }
    }

    /// Of some values; nothing where there are none.
    pub fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.collect();
        let first = *values.first()?;
        let n = values.len() as f64;
        let mean = first + values.iter().map(|value| value - first).sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Some(Self {
            mean,
            deviation: (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt()),
            least: values.iter().copied().fold(f64::INFINITY, f64::min),
            most: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_that_of_the_textbook() {
        let spread = Spread::of([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0].into_iter()).unwrap();
        assert_eq!((spread.mean, spread.least, spread.most), (5.0, 2.0, 9.0));
        assert!((spread.deviation.unwrap() - (32.0f64 / 7.0).sqrt()).abs() < 1e-15);
        assert_eq!(Spread::of([3.0].into_iter()), Some(Spread::one(3.0)));
        assert_eq!(Spread::of([].into_iter()), None);
    }

    #[test]
    fn figures_read_well_and_the_best_are_marked() {
        let text =
            |measure: Measure, mean, deviation| measure.text(&Spread { deviation, ..Spread::one(mean) });
        assert_eq!(text(Measure::SquaredError, 8.10637, Some(0.0312)), "8.106 ± 0.031");
        assert_eq!(text(Measure::NearestNeighbour, 0.9734, Some(0.001)), "97.34 ± 0.10 %");
        let errors =
            [5.3, 0.2288, 52.0, 9999.9, 0.00123, 0.0].map(|error| text(Measure::SquaredError, error, None));
        assert_eq!(errors, ["5.300", "0.2288", "52.00", "10000", "0.0012", "0.0000"]);
        assert_eq!(text(Measure::Trustworthiness, 0.99331, Some(0.00016)), "0.9933 ± 0.0002");
        assert_eq!(text(Measure::DeadUnits, 2.5, Some(0.707)), "2.5 ± 0.7");
        assert_eq!(text(Measure::CodeSize, 32.0, Some(0.0)), "32");
        assert_eq!(text(Measure::SquaredError, f64::NAN, None), "not finite");
        let values = [Some(2.0), None, Some(f64::NAN), Some(1.0), Some(1.0)];
        assert_eq!(Measure::SquaredError.best(&values), [false, false, false, true, true]);
        assert_eq!(Measure::LinearProbe.best(&values), [true, false, false, false, false]);
        assert_eq!(Measure::CodeSize.best(&values), [false; 5]);
        assert_eq!(Measure::SquaredError.best(&[Some(1.0), None]), [false; 2], "alone there is no best");
    }
}
