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
        check_indices(rows, indices)?;
        let judged = self.judge(self.compute.level).rows(rows, indices)?;
        let narrow = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
        Ok(ScaledRows { rows: narrow(judged.rows), inputs: judged.given, outputs: narrow(judged.outputs) })
    }

    /// Reads the rows of the given numbers on the model's scale: n x row length.
    ///
    /// # Errors
    /// Where the rows have another length than those the model was fitted on, there is no row of a given number, or rows
    /// cannot be read.
    pub fn scaled(&self, rows: &dyn Source, indices: &[usize]) -> Result<Vec<f32>> {
        self.check_rows(rows)?;
        check_indices(rows, indices)?;
        let mut scaled = vec![0.0; indices.len() * self.shape.len()];
        self.scaling.gather(rows, indices, &mut scaled, self.compute.level)?;
        Ok(scaled)
    }

    /// Brings rows to the model's scale, in place: n x row length.
    pub fn scale(&self, rows: &mut [f32]) {
        self.scaling.apply(self.compute.level, rows, self.shape.len());
    }

    /// Brings rows from the model's scale to their own units, in place: n x row length.
    pub fn unscale(&self, rows: &mut [f32]) {
        self.scaling.undo(self.compute.level, rows, self.shape.len());
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

fn check_indices(rows: &dyn Source, indices: &[usize]) -> Result<()> {
    let count = rows.rows();
    match indices.iter().find(|&&row| row >= count) {
        Some(row) => Err(Error::data(format!("there is no row {}: there are {count}", row + 1))),
        None => Ok(()),
    }
}
