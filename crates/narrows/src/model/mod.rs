//! A fitted method as one object: it encodes, decodes and reconstructs rows, in the units they came in, and has a file.
//!
//! A model is a chain of operations with one cut in it: the encoder left of the code, the decoder right of it. [`Model`] is
//! the whole chain; [`Encoder`] and [`Decoder`] are its parts. How good a model is belongs to the room
//! [`evaluation`](crate::evaluation).

mod apply;
mod convert;
pub(crate) mod evaluator;
mod examples;
mod file;
mod interpolate;
pub mod metrics;
mod parts;

pub(crate) use apply::check_units;
pub use file::ModelFile;
pub use metrics::Summary;
pub(crate) use parts::Part;
pub use parts::{Decoder, Encoder};

use crate::compute::Compute;
use crate::data::scaling::Scaling;
use crate::data::{Element, Shape};
use crate::error::{Error, Result};
use crate::network::engine::code_units;
use crate::network::plan::{LayerTable, Plan};
use crate::pca::{self, Pca};
use crate::recipe::Recipe;

/// A fitted method.
///
/// ```
/// use narrows::{Model, Recipe};
///
/// let iris = narrows_datasets::iris();
/// let fit = narrows::fit(&Recipe::pca(2), &iris, Default::default())?;
/// let codes = fit.model.encode(&iris)?; // 150 x 2
/// let rows = fit.model.decode(&codes)?; // 150 x 4, in cm again
///
/// let again = Model::from_bytes(&fit.model.to_bytes()?)?; // or save and open, by a path
/// assert_eq!(again.encode(&iris)?, codes);
/// assert_eq!(again.reconstruct(&iris)?, rows);
/// # Ok::<(), narrows::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Model {
    pub(crate) recipe: Recipe,
    pub(crate) shape: Shape,
    pub(crate) element: Element,
    pub(crate) scaling: Scaling,
    /// The mean of the scaled training rows.
    pub(crate) training_mean: Vec<f64>,
    pub(crate) fitted: Fitted,
    pub(crate) summary: Option<Summary>,
    pub(crate) part: Part,
    /// The names of the classes, in the order of the outputs; of a classifier only.
    pub(crate) classes: Option<Vec<String>>,
    /// With what it computes; no part of the file.
    pub(crate) compute: Compute,
}

/// Models are equal if their files are: [`Compute`] does not count.
impl PartialEq for Model {
    fn eq(&self, other: &Self) -> bool {
        self.recipe == other.recipe
            && self.shape == other.shape
            && self.element == other.element
            && self.scaling == other.scaling
            && self.training_mean == other.training_mean
            && self.fitted == other.fitted
            && self.summary == other.summary
            && self.part == other.part
            && self.classes == other.classes
    }
}

/// The parameters that a method found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fitted {
    /// Directions and variances.
    Pca(Pca),
    /// A network and its parameters.
    Network {
        /// Shapes and offsets.
        plan: Plan,
        /// The flat buffer that the plan's ranges point into.
        parameters: Vec<f32>,
    },
}

impl Model {
    /// The recipe that was fitted, with what the rows decided filled in: the scaling, the code size.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// The shape of a row.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The shape of a code.
    pub fn code_shape(&self) -> Shape {
        match &self.fitted {
            Fitted::Pca(pca) => Shape::flat(pca.code_size()),
            Fitted::Network { plan, .. } => plan.code(),
        }
    }

    /// The number type of the rows it was fitted on.
    pub fn element(&self) -> Element {
        self.element
    }

    /// The scaling of rows before the method sees them; undone on output.
    pub fn scaling(&self) -> &Scaling {
        &self.scaling
    }

    /// How good the model was found to be when it was fitted.
    pub fn summary(&self) -> Option<&Summary> {
        self.summary.as_ref()
    }

    /// The names of the classes in the order of the outputs, of a classifier.
    pub fn classes(&self) -> Option<&[String]> {
        self.classes.as_deref()
    }

    /// The components and variances, of a PCA.
    pub fn pca(&self) -> Option<&Pca> {
        match &self.fitted {
            Fitted::Pca(pca) => Some(pca),
            Fitted::Network { .. } => None,
        }
    }

    /// The plan and the parameters that its ranges point into, of a network.
    pub fn network(&self) -> Option<(&Plan, &[f32])> {
        match &self.fitted {
            Fitted::Pca(_) => None,
            Fitted::Network { plan, parameters } => Some((plan, parameters)),
        }
    }

    /// The number of parameters that were learned.
    pub fn parameter_count(&self) -> usize {
        match &self.fitted {
            Fitted::Pca(pca) => pca.mean.len() + pca.components.len(),
            Fitted::Network { plan, .. } => plan.parameter_count(),
        }
    }

    /// The number of units of a code that can be dead: its numbers, or where it is an image its channels.
    pub fn code_units(&self) -> usize {
        match &self.fitted {
            Fitted::Network { plan, .. } => code_units(plan),
            Fitted::Pca(pca) => pca.code_size(),
        }
    }

    /// The layer table.
    pub fn table(&self) -> LayerTable {
        match &self.fitted {
            Fitted::Network { plan, .. } => plan.table(),
            Fitted::Pca(pca) => pca::table(self.shape, pca.code_size()),
        }
    }

    /// With what it computes.
    pub fn compute(&self) -> Compute {
        self.compute
    }

    /// Sets with what it computes; by default all processors.
    #[must_use]
    pub fn with_compute(mut self, compute: Compute) -> Self {
        self.compute = compute;
        self
    }

    /// Refuses what a part of a model cannot do: it has no parameters of the other part.
    pub(crate) fn must_have(&self, part: Part, what: &str) -> Result<()> {
        if self.part == Part::Whole || self.part == part {
            return Ok(());
        }
        Err(Error::model(format!("the model is {}: it cannot {what}", self.part.title()))
            .hint("use the model that it was split from"))
    }

    /// Refuses what a classifier cannot do: it has no way back from a code to a row.
    pub(crate) fn must_rebuild(&self, what: &str) -> Result<()> {
        if self.classes.is_none() {
            return Ok(());
        }
        Err(Error::model(format!("the model is a classifier: it cannot {what}"))
            .hint("it can predict classes, and encode rows to the features it predicts them from"))
    }
}
