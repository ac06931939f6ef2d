//! The metrics of a fit in a comparison: their names, their order and their text.

use serde::Serialize;

use crate::base::text::figure_text;

/// The metrics of one fit. Errors are measured on the model's scale, that is after scaling.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metrics {
    /// The name of the recipe.
    pub recipe: String,
    /// The seed; none for a method that does not depend on one.
    pub seed: Option<u64>,
    /// The number of fitted parameters.
    pub parameters: usize,
    /// Numbers in a code.
    pub code_size: usize,
    /// Completed epochs.
    pub epochs: usize,
    /// Time spent on finding the parameters, in seconds.
    pub seconds: f64,
    /// The loss on the held-out rows.
    pub loss: f64,
    /// Binary cross-entropy in nats, a mean over rows and numbers; for networks trained with it only.
    pub bce: Option<f64>,
    /// The squared error summed over the numbers of a row, a mean over the held-out rows.
    pub squared_error_per_row: f64,
    /// The same for a PCA with the same code size.
    pub pca_squared_error_per_row: f64,
    /// The number of components of that PCA.
    pub pca_components: usize,
    /// 1 - squared error / squared error of the mean of the training rows.
    pub explained_variance: f64,
    /// Units of the code with the same value for every held-out row.
    pub dead_units: usize,
    /// Units of the code: its numbers, or its channels if it is an image.
    pub code_units: usize,
    /// The mean of |z| over the numbers z of all codes.
    pub mean_activity: Option<f64>,
    /// The fraction of held-out rows whose nearest training code has the same class; for rows with classes only.
    pub nearest_neighbour_accuracy: Option<f64>,
    /// The fraction of held-out rows that a linear probe of the codes classifies correctly; for rows with classes only.
    pub linear_probe_accuracy: Option<f64>,
    /// Trustworthiness: 1 if all neighbours among the codes are neighbours among the rows.
    pub trustworthiness: Option<f64>,
    /// Continuity: 1 if all neighbours among the rows are neighbours among the codes.
    pub continuity: Option<f64>,
    /// The number of neighbours k of these two.
    pub neighbours: Option<usize>,
    /// The verdict of the fit.
    pub verdict: String,
}

/// A measure: one of the numbers of [`Metrics`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
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

/// The better end of a measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Good {
    Least,
    Most,
    Neither,
}

impl Measure {
    /// All measures in the order of a table.
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

    /// The name in JSON, the column header, the better end.
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

    /// The name of the field in JSON.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// The column header.
    pub fn title(self) -> &'static str {
        self.row().1
    }

    /// The value for a fit.
    pub fn of(self, metrics: &Metrics) -> Option<f64> {
        match self {
            Self::CodeSize => Some(metrics.code_size as f64),
            Self::Parameters => Some(metrics.parameters as f64),
            Self::Seconds => Some(metrics.seconds),
            Self::Loss => Some(metrics.loss),
            Self::SquaredError => Some(metrics.squared_error_per_row),
            Self::PcaSquaredError => Some(metrics.pca_squared_error_per_row),
            Self::ExplainedVariance => Some(metrics.explained_variance),
            Self::DeadUnits => Some(metrics.dead_units as f64),
            Self::MeanActivity => metrics.mean_activity,
            Self::NearestNeighbour => metrics.nearest_neighbour_accuracy,
            Self::LinearProbe => metrics.linear_probe_accuracy,
            Self::Trustworthiness => metrics.trustworthiness,
            Self::Continuity => metrics.continuity,
        }
    }

    /// Marks the best of several values. There is none for a measure without a better end, and a value that is not finite is
    /// never best.
    pub fn best(self, values: &[Option<f64>]) -> Vec<bool> {
        let finite = || values.iter().flatten().copied().filter(|value| value.is_finite());
        let best = match self.row().2 {
            Good::Least => finite().reduce(f64::min),
            Good::Most => finite().reduce(f64::max),
            Good::Neither => None,
        };
        values.iter().map(|value| finite().count() > 1 && value.is_some() && *value == best).collect()
    }

    /// The mean with its standard deviation, if there is one, as text for people.
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
        // A standard deviation gets two significant digits, the second of which is hardly known.
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
                // It gets no more decimals than the mean.
                let most = if spread.mean.abs() < 1e-3 { 12.0 } else { 4.0 };
                format!(" ± {value:.0$}", (1.0 - value.log10().floor()).clamp(0.0, most) as usize)
            }
        };
        format!("{}{deviation}{percent}", number(spread.mean))
    }
}

/// Four significant digits with trailing zeros, so that the numbers of a column look alike.
fn four_digits(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-3..1e4).contains(&magnitude) {
        return figure_text(value);
    }
    let before_point = if magnitude < 10.0 { 1 } else { magnitude.log10() as usize + 1 };
    format!("{value:.*}", if magnitude < 1.0 { 4 } else { 4 - before_point })
}

/// The distribution of a metric over several fits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The sample standard deviation (n - 1); none for a single value.
    pub deviation: Option<f64>,
    /// The minimum.
    pub least: f64,
    /// The maximum.
    pub most: f64,
}

impl Spread {
    /// The distribution of a single value.
    pub fn one(value: f64) -> Self {
        Self { mean: value, deviation: None, least: value, most: value }
    }

    /// The distribution of some values; none without values.
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
