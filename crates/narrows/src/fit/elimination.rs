//! Which weights a network has done without, where it was asked to do without some.

use std::fmt::{self, Write};

use crate::model::{Fitted, Model};
use crate::recipe::Recipe;

/// Weights smaller than this have been eliminated: their scale in what they pay, w^2 / (1 + w^2), is 1.
pub const ELIMINATED: f32 = 0.01;

/// Which weights of a network have gone to zero.
#[derive(Debug, Clone, PartialEq)]
pub struct Elimination {
    /// For each matrix of weights its name, how many have gone, and how many there are.
    pub layers: Vec<(String, usize, usize)>,
    /// Numbers of a row that no unit of the first layer looks at any more; none where that layer is a convolution.
    pub unused_inputs: Option<usize>,
    /// The weights that have gone, as a table: parameter, and the place in it, from 0.
    list: Vec<(usize, usize)>,
}

impl Elimination {
    /// The outcome of weight elimination, where the model's recipe asks for it.
    pub fn of(model: &Model) -> Option<Self> {
        let (Recipe::Autoencoder(recipe), Fitted::Network { plan, parameters }) =
            (&model.recipe, &model.fitted)
        else {
            return None;
        };
        recipe.weights.elimination.filter(|&strength| strength > 0.0)?;
        let is_gone = |weight: &f32| weight.abs() < ELIMINATED;
        let (mut layers, mut list) = (Vec::new(), Vec::new());
        for parameter in plan.parameters.iter().filter(|parameter| parameter.kind.is_weights()) {
            let weights = &parameters[parameter.range.clone()];
            let gone = weights.iter().enumerate().filter(|(_, weight)| is_gone(weight));
            let before = list.len();
            list.extend(gone.map(|(at, _)| (layers.len(), at)));
            layers.push((parameter.name.clone(), list.len() - before, weights.len()));
        }
        let first = plan.parameters.first().filter(|parameter| parameter.shape.len() == 2);
        let unused_inputs = first.map(|parameter| {
            let rows = parameters[parameter.range.clone()].chunks_exact(parameter.shape[1]);
            rows.filter(|row| row.iter().all(is_gone)).count()
        });
        Some(Elimination { layers, unused_inputs, list })
    }

    /// How many weights have gone.
    pub fn eliminated(&self) -> usize {
        self.layers.iter().map(|(_, gone, _)| gone).sum()
    }

    /// How many weights there are.
    pub fn weights(&self) -> usize {
        self.layers.iter().map(|(_, _, all)| all).sum()
    }

    /// The weights that have gone, as CSV: the name of the matrix, and the place in it in row order, from 0.
    pub fn to_csv(&self) -> String {
        let mut csv = "weights,place\n".to_owned();
        for (layer, place) in &self.list {
            writeln!(csv, "{},{place}", self.layers[*layer].0).expect("a string takes all text");
        }
        csv
    }
}

impl fmt::Display for Elimination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (gone, all) = (self.eliminated(), self.weights());
        write!(f, "{gone} of {all} ({:.0} %)", 100.0 * gone as f64 / all as f64)?;
        match self.unused_inputs {
            Some(inputs) if inputs > 0 => write!(f, ", {inputs} inputs unused"),
            _ => Ok(()),
        }
    }
}
