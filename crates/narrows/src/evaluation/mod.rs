//! Evaluation: the metrics of a model on rows, its baselines, the quality of its codes, and the verdict.
//!
//! | file | contents |
//! |---|---|
//! | `reconstruction` | errors of reconstructions, row by row and in sum |
//! | `baselines` | the errors of the mean, a PCA and a linear autoencoder |
//! | [`classes`] | error rates of classifiers and of their baselines, misclassified rows |
//! | [`codes`] | nearest-neighbour accuracy, linear probe, trustworthiness and continuity |
//! | `columns` | how well each column of a table is reconstructed |
//! | `labels` | the labelled training rows, class names as indices |
//! | `verdict`, `verdict_of_classes` | a sentence that compares the metrics with the baselines |
//!
//! Fits and experiments use this room. It knows models, not how they were fitted.

pub(crate) mod baselines;
pub mod classes;
pub mod codes;
pub(crate) mod columns;
pub(crate) mod labels;
pub(crate) mod reconstruction;
pub(crate) mod verdict;
pub(crate) mod verdict_of_classes;

use crate::data::Dataset;
use crate::error::Result;
use crate::model::Model;
use crate::model::metrics::{Evaluation, RowScores};

impl Model {
    /// The metrics of the model on rows. A classifier needs their labels.
    ///
    /// ```
    /// use narrows::model::metrics::Evaluation;
    /// use narrows::{FitOptions, HeldOut, Recipe, data};
    ///
    /// let (training, test) = data::hold_out(&narrows_datasets::iris(), 0.2, 0)?;
    /// let options = FitOptions { held_out: HeldOut::Rows(&test), ..FitOptions::default() };
    /// let fit = narrows::fit(&Recipe::pca(2), &training, options)?;
    /// let Evaluation::Reconstruction(metrics) = fit.model.evaluate(&test)? else { panic!("no classifier") };
    /// assert!(metrics.explained_variance > 0.95);
    /// # Ok::<(), narrows::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the rows do not fit the model, have missing values and it is no PCA, cannot be read, or lack labels that a classifier knows, or a metric would
    /// not be finite.
    pub fn evaluate<'a>(&self, rows: impl Into<Dataset<'a>>) -> Result<Evaluation> {
        let rows = self.match_rows(&rows.into())?;
        Ok(match self.classes() {
            Some(names) => {
                let classes = labels::class_numbers(&rows, names)?;
                Evaluation::Classification(classes::classification(self, &*rows.rows, &classes)?)
            }
            None => Evaluation::Reconstruction(reconstruction::evaluate(self, &*rows.rows)?),
        })
    }

    /// Scores each row by its reconstruction: the squared error, the loss and the divergence that [`Model::evaluate`]
    /// averages. They are measured on the model's scale, that is after scaling. A denoising network gets noisy rows.
    ///
    /// A row with a high score is unlike the training rows, for instance an outlier:
    ///
    /// ```
    /// let iris = narrows_datasets::iris();
    /// let pca = narrows::fit(&narrows::Recipe::pca(2), &iris, Default::default())?.model;
    /// let errors = pca.score_rows(&iris)?.squared_error; // 150 numbers
    /// let worst = (0..errors.len()).max_by(|&a, &b| errors[a].total_cmp(&errors[b]));
    /// println!("the row with the highest error: {worst:?}");
    /// # assert_eq!(errors.len(), 150);
    /// # let outlier = narrows::ndarray::array![[5.0, 3.5, 1.5, 0.2], [5.0, 3.5, 1.5, 9.0]];
    /// # let errors = pca.score_rows(&outlier)?.squared_error;
    /// # assert!(errors[1] > 10.0 * errors[0]);
    /// # Ok::<(), narrows::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the model is a classifier, or the rows do not fit the model, have missing values and it is no PCA, or cannot be read, or a
    /// score would not be finite.
    pub fn score_rows<'a>(&self, rows: impl Into<Dataset<'a>>) -> Result<RowScores> {
        reconstruction::score_rows(self, &*self.match_rows(&rows.into())?.rows)
    }
}
