//! The outcome of weight elimination (Weigend, Rumelhart and Huberman 1991): the weights that went to zero.

use std::fmt::{self, Write};

use crate::model::{Fitted, Model};
use crate::recipe::Recipe;

/// A weight w with |w| below this counts as eliminated. The penalty w^2 / (1 + w^2) has the scale 1, so such a weight is
/// negligible.
pub const ELIMINATED: f32 = 0.01;

/// The eliminated weights of a network.
#[derive(Debug, Clone, PartialEq)]
pub struct Elimination {
    /// For each weight matrix its name, the number of eliminated weights, and the number of weights.
    pub layers: Vec<(String, usize, usize)>,
    /// Columns of a row whose weights into the first layer are all eliminated; none if that layer is a convolution.
    pub unused_inputs: Option<usize>,
    /// The eliminated weights: the index of the matrix in `layers`, and the index in the matrix, both from 0.
    list: Vec<(usize, usize)>,
}

impl Elimination {
    /// The eliminated weights of a model; none if its recipe has no weight elimination.
    pub fn of(model: &Model) -> Option<Self> {
        let (Recipe::Autoencoder(recipe), Fitted::Network { plan, parameters }) =
            (&model.recipe, &model.fitted)
        else {
            return None;
        };
        recipe.weights.elimination.filter(|&strength| strength > 0.0)?;
        let is_eliminated = |weight: &f32| weight.abs() < ELIMINATED;
        let (mut layers, mut list) = (Vec::new(), Vec::new());
        for parameter in plan.parameters.iter().filter(|parameter| parameter.kind.is_weights()) {
            let weights = &parameters[parameter.range.clone()];
            let eliminated = weights.iter().enumerate().filter(|(_, weight)| is_eliminated(weight));
            let before = list.len();
            list.extend(eliminated.map(|(at, _)| (layers.len(), at)));
            layers.push((parameter.name.clone(), list.len() - before, weights.len()));
        }
        let first = plan.parameters.first().filter(|parameter| parameter.shape.len() == 2);
        let unused_inputs = first.map(|parameter| {
            let rows = parameters[parameter.range.clone()].chunks_exact(parameter.shape[1]);
            rows.filter(|row| row.iter().all(is_eliminated)).count()
        });
        Some(Elimination { layers, unused_inputs, list })
    }

    /// The number of eliminated weights.
    pub fn eliminated(&self) -> usize {
        self.layers.iter().map(|(_, eliminated, _)| eliminated).sum()
    }

    /// The number of weights.
    pub fn weights(&self) -> usize {
        self.layers.iter().map(|(_, _, all)| all).sum()
    }

    /// The eliminated weights as CSV: the name of the matrix, and the index in it (row-major, from 0).
    pub fn to_csv(&self) -> String {
        let mut csv = "weights,place\n".to_owned();
        for (layer, index) in &self.list {
            writeln!(csv, "{},{index}", self.layers[*layer].0).expect("a string takes all text");
        }
        csv
    }
}

impl fmt::Display for Elimination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (eliminated, all) = (self.eliminated(), self.weights());
        write!(f, "{eliminated} of {all} ({:.0} %)", 100.0 * eliminated as f64 / all as f64)?;
        match self.unused_inputs {
            Some(inputs) if inputs > 0 => write!(f, ", {inputs} inputs unused"),
            _ => Ok(()),
        }
    }
}
