//! What a model is worth on rows: its losses, those of simpler methods, misclassified rows, the quality of codes, and the
//! verdict.

pub mod classes;
pub mod codes;
pub(crate) mod labels;
pub(crate) mod reconstruction;
pub(crate) mod verdict;
pub(crate) mod verdict_of_classes;

use crate::data::Dataset;
use crate::data::stats::Measured;
use crate::error::Result;
use crate::model::Model;
use crate::model::metrics::Evaluation;

impl Model {
    /// The metrics of the model on rows; a classifier needs their labels.
    ///
    /// ```
    /// use narrows::model::metrics::Evaluation;
    /// use narrows::{FitOptions, HeldOut, Recipe, data};
    ///
    /// let (training, test) = data::hold_out(&narrows_datasets::iris(), 0.2, 0)?;
    /// let options = FitOptions { held_out: HeldOut::Rows(&test), ..FitOptions::default() };
    /// let fit = narrows::fit(&Recipe::pca(2), &training, options)?;
    /// let Evaluation::Reconstruction(found) = fit.model.evaluate(&test)? else { unreachable!() };
    /// assert!(found.explained_variance > 0.95);
    /// # Ok::<(), narrows::Error>(())
    /// ```
    ///
    /// # Errors
    /// Where the rows do not fit the model, values are missing, rows cannot be read, or have no labels that a classifier knows.
    pub fn evaluate<'a>(&self, rows: impl Into<Dataset<'a>>) -> Result<Evaluation> {
        let rows = rows.into();
        Ok(match self.classes() {
            Some(names) => {
                let classes = labels::class_numbers(&rows, names)?;
                Evaluation::Classification(classes::classification(self, &*rows.rows, &classes)?)
            }
            None => {
                Measured::new(&*rows.rows).require_complete()?;
                Evaluation::Reconstruction(reconstruction::evaluate_with_codes(self, &*rows.rows, 0)?.0)
            }
        })
    }
}
