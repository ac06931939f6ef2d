//! Metrics of models as plain records, stored in the model file and serialised by every interface.
//!
//! Errors are measured on the model's scale, that is after scaling. The serialised names are part of the file format.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::data::Kind;

/// The reconstruction metrics of a PCA or an autoencoder on a set of rows, on the model's scale. Missing values are left out: sums
/// over the numbers of a row, and means over numbers, are over those that are observed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Reconstruction {
    /// The number of rows.
    pub rows: usize,
    /// The training loss, on these rows.
    #[serde(deserialize_with = "number")]
    pub loss: f64,
    /// Binary cross-entropy in nats, a mean over rows and numbers; for models trained with it only.
    pub bce: Option<f64>,
    /// The lowest BCE that any model can reach on these rows: their entropy.
    pub bce_floor: Option<f64>,
    /// The squared error, a mean over rows and numbers.
    #[serde(deserialize_with = "number")]
    pub mse: f64,
    /// The squared error summed over the numbers of a row, a mean over rows.
    #[serde(deserialize_with = "number")]
    pub squared_error_per_row: f64,
    /// The same for the baseline that reconstructs every row as the mean of the training rows.
    #[serde(deserialize_with = "number")]
    pub mean_squared_error_per_row: f64,
    /// 1 - squared error / squared error of the mean of the training rows: R^2, below 0 for a model worse than the mean.
    #[serde(deserialize_with = "number")]
    pub explained_variance: f64,
    /// Units of the code (channels, if the code is an image) with the same value for every row.
    pub dead_units: usize,
    /// The mean of |z| over the numbers z of all codes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_activity: Option<f64>,
    /// The variance of the reconstructions, summed over the numbers of a row: near 0 if all rows have the same
    /// reconstruction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_variance: Option<f64>,
    /// The KL divergence of the code's distribution from the standard normal in nats, a mean over rows; for variational
    /// networks only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub divergence: Option<f64>,
}

impl Reconstruction {
    /// Whether every metric is a finite number. Those of a fit may be not, where held-out rows are far from the training rows.
    pub fn is_finite(&self) -> bool {
        let Self { loss, mse, squared_error_per_row, mean_squared_error_per_row, explained_variance, .. } =
            self;
        [loss, mse, squared_error_per_row, mean_squared_error_per_row, explained_variance]
            .into_iter()
            .chain(
                [&self.bce, &self.bce_floor, &self.mean_activity, &self.output_variance, &self.divergence]
                    .into_iter()
                    .flatten(),
            )
            .all(|metric| metric.is_finite())
    }
}

/// How well a column of a table is reconstructed, on the rows that have a value.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ColumnMetrics {
    /// Its name, or `column_N`.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// The rows that have a value.
    pub rows: usize,
    /// Of a number or a date: 1 - squared error / squared deviation from the mean of these rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explained_variance: Option<f64>,
    /// Of a category or yes/no: the share of rows whose level comes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub right: Option<f64>,
    /// Of a category or yes/no: the share of the commonest level, which saying it for every row would get right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commonest: Option<f64>,
}

/// The squared errors per row of simpler methods on the same rows, on the model's scale.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Baselines {
    /// Every row reconstructed as the mean of the training rows.
    #[serde(deserialize_with = "number")]
    pub mean: f64,
    /// PCA with a code of the same size.
    #[serde(deserialize_with = "number")]
    pub pca: f64,
    /// The linear autoencoder without biases, in closed form, with a code of the same size.
    #[serde(deserialize_with = "number")]
    pub linear: f64,
    /// The number of components of that PCA if it differs from the code size: the rows do not allow more components, or the
    /// rows are noisy and this number has the lowest error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pca_components: Option<usize>,
}

impl Baselines {
    /// Whether every error is a finite number.
    pub fn is_finite(&self) -> bool {
        [self.mean, self.pca, self.linear].iter().all(|error| error.is_finite())
    }
}

/// The summary of the fit of a PCA or an autoencoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ReconstructionSummary {
    /// The number of training rows.
    pub training_rows: usize,
    /// Completed epochs.
    pub epochs: usize,
    /// The loss on the training rows in the epoch whose parameters were kept.
    #[serde(deserialize_with = "number")]
    pub train_loss: f64,
    /// The metrics on the held-out rows.
    pub evaluation: Reconstruction,
    /// The baselines on the same held-out rows.
    pub baselines: Baselines,
    /// The verdict: a sentence.
    pub verdict: String,
}

/// The metrics of a classifier on a set of rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Classification {
    /// The number of rows.
    pub rows: usize,
    /// The number of misclassified rows.
    pub misclassified: usize,
    /// The fraction of misclassified rows, 0..1.
    pub error_rate: f64,
    /// The training loss on these rows: the cross-entropy in nats, the mean over rows of -ln p(class of the row).
    pub loss: f64,
    /// The confusion matrix (classes x classes): entry (i, j) counts the rows of class i that are predicted as class j.
    pub confusion: Vec<Vec<usize>>,
}

impl Classification {
    /// Derives the error rate from the confusion matrix.
    pub(crate) fn new(confusion: Vec<Vec<usize>>, cross_entropy: f64) -> Self {
        let rows: usize = confusion.iter().flatten().sum();
        let correct: usize = confusion.iter().enumerate().filter_map(|(class, row)| row.get(class)).sum();
        let misclassified = rows - correct;
        let error_rate = misclassified as f64 / rows as f64;
        Self { rows, misclassified, error_rate, loss: cross_entropy, confusion }
    }
}

/// The summary of the fit of a classifier.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ClassificationSummary {
    /// The number of training rows.
    pub training_rows: usize,
    /// The training rows whose labels were used.
    pub labelled_rows: usize,
    /// Completed epochs of training on labels.
    pub epochs: usize,
    /// The cross-entropy on the labelled rows in the epoch whose parameters were kept.
    pub train_loss: f64,
    /// The metrics on the held-out rows.
    pub evaluation: Classification,
    /// The error rate of the baseline that always predicts the commonest class of the labelled rows.
    pub commonest_error: f64,
    /// The error rate of the baseline that predicts the class whose labelled rows have the nearest mean.
    pub nearest_mean_error: f64,
    /// The verdict: a sentence.
    pub verdict: String,
}

/// The summary of a fit, with metrics on held-out rows; stored in the model file.
///
/// Both kinds serialise as one record: `training_rows`, `labelled_rows` (for a classifier), `epochs`, `train_loss`,
/// `held_out` (the metrics on the held-out rows), `baselines`, `verdict`.
#[derive(Debug, Clone, PartialEq)]
pub enum Summary {
    /// For a PCA or an autoencoder.
    Reconstruction(ReconstructionSummary),
    /// For a classifier.
    Classification(ClassificationSummary),
}

impl Serialize for Summary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Record<'a, H, B> {
            training_rows: usize,
            #[serde(skip_serializing_if = "Option::is_none")]
            labelled_rows: Option<usize>,
            epochs: usize,
            /// None before the first epoch of a classifier.
            train_loss: Option<f64>,
            held_out: &'a H,
            baselines: B,
            verdict: &'a str,
        }

        /// Error rates.
        #[derive(Serialize)]
        struct ClassBaselines {
            commonest: f64,
            nearest_mean: f64,
        }

        match self {
            Self::Reconstruction(summary) => Record {
                training_rows: summary.training_rows,
                labelled_rows: None,
                epochs: summary.epochs,
                train_loss: Some(summary.train_loss),
                held_out: &summary.evaluation,
                baselines: summary.baselines,
                verdict: &summary.verdict,
            }
            .serialize(serializer),
            Self::Classification(summary) => Record {
                training_rows: summary.training_rows,
                labelled_rows: Some(summary.labelled_rows),
                epochs: summary.epochs,
                train_loss: Some(summary.train_loss).filter(|_| summary.epochs > 0),
                held_out: &summary.evaluation,
                baselines: ClassBaselines {
                    commonest: summary.commonest_error,
                    nearest_mean: summary.nearest_mean_error,
                },
                verdict: &summary.verdict,
            }
            .serialize(serializer),
        }
    }
}

impl Summary {
    /// The verdict: a sentence that compares the fit with its baselines.
    pub fn verdict(&self) -> &str {
        match self {
            Self::Reconstruction(summary) => &summary.verdict,
            Self::Classification(summary) => &summary.verdict,
        }
    }

    /// The number of training rows.
    pub fn training_rows(&self) -> usize {
        match self {
            Self::Reconstruction(summary) => summary.training_rows,
            Self::Classification(summary) => summary.training_rows,
        }
    }

    /// Completed epochs; for a classifier those of training on labels.
    pub fn epochs(&self) -> usize {
        match self {
            Self::Reconstruction(summary) => summary.epochs,
            Self::Classification(summary) => summary.epochs,
        }
    }

    /// The loss on the training rows in the epoch whose parameters were kept.
    pub fn train_loss(&self) -> f64 {
        match self {
            Self::Reconstruction(summary) => summary.train_loss,
            Self::Classification(summary) => summary.train_loss,
        }
    }

    /// The summary of a PCA or an autoencoder.
    pub fn reconstruction(&self) -> Option<&ReconstructionSummary> {
        match self {
            Self::Reconstruction(summary) => Some(summary),
            Self::Classification(_) => None,
        }
    }

    /// The summary of a classifier.
    pub fn classification(&self) -> Option<&ClassificationSummary> {
        match self {
            Self::Reconstruction(_) => None,
            Self::Classification(summary) => Some(summary),
        }
    }
}

/// Scores of single rows, on the model's scale: one number per row, in the order of the rows.
///
/// [`Reconstruction`] has their means. A row with a high squared error or loss is unlike the training rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RowScores {
    /// The squared error, summed over the numbers of the row.
    pub squared_error: Vec<f64>,
    /// The training loss, summed over the numbers of the row; none for a PCA or a network trained with the squared error,
    /// whose loss is `squared_error`.
    pub loss: Option<Vec<f64>>,
    /// The KL divergence of the code's distribution from the standard normal, in nats; for variational networks only.
    pub divergence: Option<Vec<f64>>,
}

/// The metrics of a model on a set of rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Evaluation {
    /// For a PCA or an autoencoder.
    Reconstruction(Reconstruction),
    /// For a classifier.
    Classification(Classification),
}

/// Reads null as NaN: JSON has no infinities, so a metric of a diverged network is written as null, and its model must
/// still open.
pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}
