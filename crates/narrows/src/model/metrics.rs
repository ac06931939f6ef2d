//! What is known of a fit when it is over, as plain data: stored in the model file, shown by every interface.

use serde::{Deserialize, Deserializer, Serialize};

/// What a model loses on some rows. Errors are in the units the model sees: after scaling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reconstruction {
    /// How many rows were judged.
    pub rows: usize,
    /// The loss that training makes small.
    #[serde(deserialize_with = "number")]
    pub loss: f64,
    /// Binary cross-entropy, a mean over rows and numbers; for models trained on it.
    pub bce: Option<f64>,
    /// The least BCE that any model can reach on these rows: their own entropy.
    pub bce_floor: Option<f64>,
    /// Squared error, a mean over rows and numbers.
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
    /// The mean size |z| of a number of a code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_activity: Option<f64>,
    /// The variance of the reconstructions, summed over a row's numbers: near 0 where all rows are rebuilt alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_variance: Option<f64>,
    /// For a variational network: the mean over rows of the divergence of a code's distribution from the standard normal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub divergence: Option<f64>,
}

/// Squared errors per row of simpler methods, on the same rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    /// these lose least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pca_components: Option<usize>,
}

/// How good a model was found to be when it was fitted; stored in its file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReconstructionSummary {
    /// How many rows it was fitted on.
    pub training_rows: usize,
    /// Epochs that were finished.
    pub epochs: usize,
    /// The loss on the training rows, over the last epoch.
    #[serde(deserialize_with = "number")]
    pub train_loss: f64,
    /// On the held-out rows.
    pub evaluation: Reconstruction,
    /// On the same held-out rows.
    pub baselines: Baselines,
    /// One plain sentence.
    pub verdict: String,
}

/// How well the classes of some rows are told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Classification {
    /// How many rows were judged.
    pub rows: usize,
    /// Rows whose class was told wrong.
    pub wrong: usize,
    /// The mean over rows of -ln of the share given to the row's class.
    #[serde(deserialize_with = "number")]
    pub cross_entropy: f64,
    /// For each class (a row) how many of its rows were told to be of each class (a column).
    pub confusion: Vec<Vec<usize>>,
}

impl Classification {
    /// The share of rows whose class was told wrong.
    pub fn error(&self) -> f64 {
        self.wrong as f64 / self.rows as f64
    }
}

/// How good a classifier was found to be when it was fitted; stored in its file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassificationSummary {
    /// How many rows there were to learn from.
    pub training_rows: usize,
    /// How many of them were learned from with their labels.
    pub labelled_rows: usize,
    /// Epochs on labels that were finished.
    pub epochs: usize,
    /// The cross-entropy on the labelled rows, over the epoch that was kept.
    #[serde(deserialize_with = "number")]
    pub train_loss: f64,
    /// On the held-out rows.
    pub evaluation: Classification,
    /// The error of always saying the commonest class of the labelled rows, on the same rows.
    #[serde(deserialize_with = "number")]
    pub commonest_error: f64,
    /// The error of the class whose labelled rows have the nearest mean, on the same rows.
    #[serde(deserialize_with = "number")]
    pub nearest_mean_error: f64,
    /// One plain sentence.
    pub verdict: String,
}

/// JSON has no infinities: a figure of a network that has run away is written as null. Read as "not a number", so that
/// such a model can still be opened and looked at.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}
