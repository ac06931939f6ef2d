//! Data for figures of a model: rows beside their reconstructions, and sampled codes.

use crate::base::random::{Purpose, generator, normal};
use crate::data::Source;
use crate::error::{Error, Result};
use crate::model::{Fitted, Model, Part};

/// n rows and their reconstructions on the model's scale, that is after
/// [`Scaling::apply`](crate::data::scaling::Scaling::apply).
#[derive(Debug, Clone, PartialEq)]
pub struct ScaledRows {
    /// The rows: n x d. Missing values are filled as the model fills them.
    pub rows: Vec<f32>,
    /// The inputs of the network (n x d): the rows, with noise if the network was trained to remove it.
    pub inputs: Vec<f32>,
    /// The reconstructions: n x d.
    pub outputs: Vec<f32>,
}

impl Model {
    /// Reconstructs the rows with the given indices (from 0) as [`Model::evaluate`] does: a denoising network gets noisy
    /// rows. The results stay on the model's scale.
    ///
    /// # Errors
    /// If the model is a classifier or a part of a model, the rows do not fit the model, values are missing and the model is a network, or an
    /// index is out of range.
    pub fn reconstruct_scaled(&self, rows: &dyn Source, indices: &[usize]) -> Result<ScaledRows> {
        self.must_reconstruct("reconstruct rows")?;
        self.must_have(Part::Whole, "reconstruct rows")?;
        self.check_rows(rows)?;
        check_indices(rows, indices)?;
        self.require_reconstruction(indices.len(), rows.element())?;
        let evaluated = self.evaluator(self.compute.level).rows(rows, indices)?;
        // What is missing is shown as it was filled.
        let rows = evaluated.rows.iter().zip(&evaluated.inputs);
        let rows = rows.map(|(&row, &input)| if row.is_nan() { input } else { row as f32 }).collect();
        let narrow = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
        Ok(ScaledRows { rows, inputs: evaluated.inputs, outputs: narrow(evaluated.outputs) })
    }

    /// Reads the rows with the given indices (from 0) and scales them: n x d.
    ///
    /// # Errors
    /// If the rows do not fit the model or cannot be read, or an index is out of range.
    pub fn scaled(&self, rows: &dyn Source, indices: &[usize]) -> Result<Vec<f32>> {
        self.check_rows(rows)?;
        check_indices(rows, indices)?;
        let mut scaled = vec![0.0; indices.len() * self.shape.len()];
        self.scaling.gather(rows, indices, &mut scaled, self.compute.level)?;
        Ok(scaled)
    }

    /// Converts rows (n x d) to the model's scale, in place.
    pub fn scale(&self, rows: &mut [f32]) {
        self.scaling.apply(self.compute.level, rows, self.shape.len());
    }

    /// Converts rows (n x d) from the model's scale to the units of the training rows, in place.
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

    /// Samples `count` codes from the standard normal, the prior of a variational autoencoder: count x code size. They depend
    /// on the recipe's seed only.
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
