//! The metrics of a fit as plain records: stored in the model file, printed and serialised by every interface.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The losses of a model on some rows. Errors are in the units that the model sees: after scaling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Reconstruction {
    /// The number of rows.
    pub rows: usize,
    /// The training loss, on these rows.
    #[serde(deserialize_with = "number")]
    pub loss: f64,
    /// Binary cross-entropy, a mean over rows and numbers; of models trained on it.
    pub bce: Option<f64>,
    /// The least BCE that any model can reach on these rows: their own entropy.
    pub bce_floor: Option<f64>,
    /// Mean squared error over rows and numbers.
    #[serde(deserialize_with = "number")]
    pub mse: f64,
    /// Squared error summed over a row's numbers, a mean over rows.
    #[serde(deserialize_with = "number")]
    pub squared_error_per_row: f64,
    /// The same for the constant mean of the training rows.
    #[serde(deserialize_with = "number")]
    pub mean_squared_error_per_row: f64,
    /// 1 - squared error / squared error of the constant mean.
    #[serde(deserialize_with = "number")]
    pub explained_variance: f64,
    /// Numbers of a code (channels, where it is an image) that are the same for every row.
    pub dead_units: usize,
    /// The mean magnitude |z| of a number of a code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_activity: Option<f64>,
    /// The variance of the reconstructions, summed over a row's numbers: near 0 where all rows are reconstructed alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_variance: Option<f64>,
    /// Of a variational network: the mean over rows of the KL divergence of a code's distribution from the standard normal,
    /// in nats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub divergence: Option<f64>,
}

/// Squared errors per row of simpler methods, on the same rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Baselines {
    /// The constant mean of the training rows.
    #[serde(deserialize_with = "number")]
    pub mean: f64,
    /// PCA with a code of the same size.
    #[serde(deserialize_with = "number")]
    pub pca: f64,
    /// The linear autoencoder without biases, in closed form, with a code of the same size.
    #[serde(deserialize_with = "number")]
    pub linear: f64,
    /// The number of components of that PCA, where it is not the code's size: there are no more, or the rows are noisy and
    /// this number has the least error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pca_components: Option<usize>,
}

/// How good a PCA or an autoencoder was found to be when it was fitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ReconstructionSummary {
    /// The number of training rows.
    pub training_rows: usize,
    /// Epochs that were finished.
    pub epochs: usize,
    /// The loss on the training rows, over the epoch that was kept.
    #[serde(deserialize_with = "number")]
    pub train_loss: f64,
    /// On the held-out rows.
    pub evaluation: Reconstruction,
    /// On the same held-out rows.
    pub baselines: Baselines,
    /// One plain sentence.
    pub verdict: String,
}

/// How well a classifier predicts the classes of some rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Classification {
    /// The number of rows.
    pub rows: usize,
    /// Misclassified rows.
    pub misclassified: usize,
    /// The share of misclassified rows.
    pub error_rate: f64,
    /// The training loss, on these rows: the cross-entropy, a mean over rows of -ln of the probability given to the row's
    /// class.
    pub loss: f64,
    /// The confusion matrix: for each class (a row) how many of its rows were predicted as each class (a column).
    pub confusion: Vec<Vec<usize>>,
}

impl Classification {
    /// From the confusion matrix and the cross-entropy.
    pub(crate) fn new(confusion: Vec<Vec<usize>>, cross_entropy: f64) -> Self {
        let rows: usize = confusion.iter().flatten().sum();
        let correct: usize = confusion.iter().enumerate().filter_map(|(class, row)| row.get(class)).sum();
        let misclassified = rows - correct;
        let error_rate = misclassified as f64 / rows as f64;
        Self { rows, misclassified, error_rate, loss: cross_entropy, confusion }
    }
}

/// How good a classifier was found to be when it was fitted.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ClassificationSummary {
    /// The number of training rows.
    pub training_rows: usize,
    /// The training rows whose labels were used.
    pub labelled_rows: usize,
    /// Epochs on labels that were finished.
    pub epochs: usize,
    /// The cross-entropy on the labelled rows, over the epoch that was kept.
    pub train_loss: f64,
    /// On the held-out rows.
    pub evaluation: Classification,
    /// The error rate of always predicting the commonest class of the labelled rows, on the same rows.
    pub commonest_error: f64,
    /// The error rate of the class whose labelled rows have the nearest mean, on the same rows.
    pub nearest_mean_error: f64,
    /// One plain sentence.
    pub verdict: String,
}

/// How good a model was found to be when it was fitted, on held-out rows; stored in its file.
///
/// It serialises as one record for both kinds: `training_rows`, `labelled_rows` (of a classifier), `epochs`, `train_loss`,
/// `held_out` (the metrics on the held-out rows), `baselines`, `verdict`.
#[derive(Debug, Clone, PartialEq)]
pub enum Summary {
    /// Of a PCA or an autoencoder.
    Reconstruction(ReconstructionSummary),
    /// Of a classifier.
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
            train_loss: f64,
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
                train_loss: summary.train_loss,
                held_out: &summary.evaluation,
                baselines: summary.baselines,
                verdict: &summary.verdict,
            }
            .serialize(serializer),
            Self::Classification(summary) => Record {
                training_rows: summary.training_rows,
                labelled_rows: Some(summary.labelled_rows),
                epochs: summary.epochs,
                train_loss: summary.train_loss,
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
    /// One plain sentence about the fit.
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

    /// Epochs that were finished; of a classifier those on labels.
    pub fn epochs(&self) -> usize {
        match self {
            Self::Reconstruction(summary) => summary.epochs,
            Self::Classification(summary) => summary.epochs,
        }
    }

    /// The loss on the training rows, over the epoch that was kept.
    pub fn train_loss(&self) -> f64 {
        match self {
            Self::Reconstruction(summary) => summary.train_loss,
            Self::Classification(summary) => summary.train_loss,
        }
    }

    /// The metrics of a PCA or an autoencoder.
    pub fn reconstruction(&self) -> Option<&ReconstructionSummary> {
        match self {
            Self::Reconstruction(summary) => Some(summary),
            Self::Classification(_) => None,
        }
    }

    /// The metrics of a classifier.
    pub fn classification(&self) -> Option<&ClassificationSummary> {
        match self {
            Self::Reconstruction(_) => None,
            Self::Classification(summary) => Some(summary),
        }
    }
}

/// The metrics of a model on some rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Evaluation {
    /// Of a PCA or an autoencoder.
    Reconstruction(Reconstruction),
    /// Of a classifier.
    Classification(Classification),
}

/// JSON has no infinities: a metric of a network that diverged is written as null. It is read as NaN, so that such a model
/// can still be opened.
pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}
