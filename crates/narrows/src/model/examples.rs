//! Data for pictures of a model: rows beside their reconstructions, and codes to decode.

use crate::base::random::{Purpose, generator, normal};
use crate::data::Source;
use crate::error::{Error, Result};
use crate::model::{Fitted, Model, Part};

/// Rows and their reconstructions on the model's scale, that is after [`Scaling::apply`](crate::data::scaling::Scaling::apply).
#[derive(Debug, Clone, PartialEq)]
pub struct ScaledRows {
    /// The rows: n x row length.
    pub rows: Vec<f32>,
    /// The input of the network, n x row length: the rows, with noise where the network was trained to remove it.
    pub inputs: Vec<f32>,
    /// The reconstructions: n x row length.
    pub outputs: Vec<f32>,
}

impl Model {
    /// Reconstructs the rows of the given numbers as an evaluation does: a denoising network is given noisy rows. The
    /// results stay on the model's scale.
    ///
    /// # Errors
    /// Where the model is a classifier, the rows have another length than those it was fitted on, or
    /// there is no row of a given number.
    pub fn reconstruct_scaled(&self, rows: &dyn Source, indices: &[usize]) -> Result<ScaledRows> {
        self.must_rebuild("reconstruct rows")?;
        self.must_have(Part::Whole, "reconstruct rows")?;
        self.check_rows(rows)?;
        let count = rows.rows();
        if let Some(row) = indices.iter().find(|&&row| row >= count) {
            return Err(Error::data(format!("there is no row {}: there are {count}", row + 1)));
        }
        let judged = self.judge(self.compute.level).rows(rows, indices)?;
        let narrow = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
        Ok(ScaledRows { rows: narrow(judged.rows), inputs: judged.given, outputs: narrow(judged.outputs) })
    }

    /// Whether the model is a variational autoencoder, whose codes follow the standard normal distribution.
    pub fn is_variational(&self) -> bool {
        match &self.fitted {
            Fitted::Network { plan, .. } => plan.divergence().is_some(),
            Fitted::Pca(_) => false,
        }
    }

    /// `count` codes sampled from the standard normal, the prior of a variational autoencoder: count x code size. The seed of
    /// the recipe determines them.
    pub fn sample_codes(&self, count: usize) -> Vec<f32> {
        let mut stream = generator(self.recipe.seed(), Purpose::Picture, 0);
        (0..count * self.code_shape().len()).map(|_| normal(&mut stream) as f32).collect()
    }
}
