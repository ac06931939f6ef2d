//! Fitted models: inference (encode, decode, reconstruct, predict) and the model file.
//!
//! A model is a chain of operations with a cut at the code: the encoder before it, the decoder after it. [`Model`] is the
//! whole chain, [`Encoder`] and [`Decoder`] are its parts. Rows go in and come out in the units of the training rows.
//!
//! The rooms above create models ([`fit`](mod@crate::fit)) and compute their metrics ([`evaluation`](crate::evaluation)); this
//! room only defines the records of metrics, because they are stored in the file.

mod apply;
mod convert;
pub(crate) mod evaluator;
mod examples;
mod file;
pub(crate) mod gaps;
mod interpolate;
pub mod metrics;
pub(crate) mod needs;
mod parameters;
mod parts;

pub(crate) use apply::check_units;
pub use file::ModelFile;
pub use gaps::Imputed;
pub use metrics::Summary;
pub use parameters::{NamedParameter, WeightImages, WeightsOf};
pub(crate) use parts::Part;
pub use parts::{Decoder, Encoder};

use std::sync::Arc;

use crate::compute::Compute;
use crate::data::scaling::Scaling;
use crate::data::{Dataset, Element, Schema, Shape};
use crate::error::{Error, Result};
use crate::network::engine::code_units;
use crate::network::plan::{LayerTable, Plan};
use crate::pca::{self, Pca};
use crate::recipe::Recipe;

/// A fitted PCA, autoencoder or classifier.
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
    /// The mean of the scaled training rows (d).
    pub(crate) training_mean: Vec<f64>,
    pub(crate) fitted: Fitted,
    pub(crate) summary: Option<Summary>,
    pub(crate) part: Part,
    /// The names of the classes in the order of the outputs; for a classifier only.
    pub(crate) classes: Option<Vec<String>>,
    /// The columns of the table that the model was fitted on; None for rows of an array.
    pub(crate) schema: Option<Arc<Schema>>,
    /// Not stored in the file.
    pub(crate) compute: Compute,
}

/// Models are equal if their files are equal; [`Compute`] is not stored.
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
            && self.schema == other.schema
    }
}

/// The fitted parameters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fitted {
    /// Components and variances.
    Pca(Pca),
    /// A compiled network with its parameters.
    Network {
        /// Shapes and offsets.
        plan: Plan,
        /// The flat buffer that the plan's ranges point into.
        parameters: Vec<f32>,
    },
}

impl Model {
    /// The fitted recipe; the scaling and the code size that were chosen from the rows are filled in.
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

    /// The number type of the training rows.
    pub fn element(&self) -> Element {
        self.element
    }

    /// The scaling that is applied to rows before the method and undone after it.
    pub fn scaling(&self) -> &Scaling {
        &self.scaling
    }

    /// The summary of the fit, with metrics on held-out rows.
    pub fn summary(&self) -> Option<&Summary> {
        self.summary.as_ref()
    }

    /// The names of the classes in the order of the outputs; for a classifier only.
    pub fn classes(&self) -> Option<&[String]> {
        self.classes.as_deref()
    }

    /// The columns of the table that the model was fitted on; None for a model of the rows of an array.
    pub fn schema(&self) -> Option<&Arc<Schema>> {
        self.schema.as_ref()
    }

    /// The rows as this model's schema encodes them: columns are matched by name. [`Dataset::notes`] says what is worth knowing,
    /// such as levels that the model does not know. All methods that take rows do this themselves.
    ///
    /// # Errors
    /// Where a column is missing, not known or of another kind.
    pub fn match_rows<'a>(&self, rows: &Dataset<'a>) -> Result<Dataset<'a>> {
        match (&self.schema, &rows.table) {
            (Some(schema), _) => rows.matched(schema),
            // A model of an array takes the cells of a table of numbers: an identifier may be among its columns.
            (None, Some(table))
                if table.frame.cells.shape().len() == self.shape.len() && table.frame.is_numeric() =>
            {
                let rows = rows.clone();
                Ok(Dataset { rows: table.frame.cells.clone(), table: None, encoded: None, ..rows })
            }
            (None, _) => Ok(rows.clone()),
        }
    }

    /// The components and variances; for a PCA only.
    pub fn pca(&self) -> Option<&Pca> {
        match &self.fitted {
            Fitted::Pca(pca) => Some(pca),
            Fitted::Network { .. } => None,
        }
    }

    /// The number of fitted parameters.
    pub fn parameter_count(&self) -> usize {
        match &self.fitted {
            Fitted::Pca(pca) => pca.mean.len() + pca.components.len(),
            Fitted::Network { plan, .. } => plan.parameter_count(),
        }
    }

    /// The number of code units, counted as dead or alive: the code size, or the channels if the code is an image.
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

    /// The number of threads and the SIMD level.
    pub fn compute(&self) -> Compute {
        self.compute
    }

    /// Sets the number of threads and the SIMD level; the default is all processors.
    #[must_use]
    pub fn with_compute(mut self, compute: Compute) -> Self {
        self.compute = compute;
        self
    }

    /// The input of a network where a number is missing, after scaling (d): the means of the training rows. None for methods that
    /// take complete rows alone.
    pub(crate) fn fill(&self) -> Option<Vec<f32>> {
        let Fitted::Network { plan, .. } = &self.fitted else { return None };
        let takes_gaps = self.classes.is_none() && plan.loss.allows_missing();
        takes_gaps.then(|| self.training_mean.iter().map(|&mean| mean as f32).collect())
    }

    /// Returns an error for a part of a model that lacks `part`; `what` names the refused operation.
    pub(crate) fn must_have(&self, part: Part, what: &str) -> Result<()> {
        if self.part == Part::Whole || self.part == part {
            return Ok(());
        }
        Err(Error::model(format!("the model is {}: it cannot {what}", self.part.title()))
            .hint("use the model that it was split from"))
    }

    /// Returns an error for a classifier, which has no decoder; `what` names the refused operation.
    pub(crate) fn must_reconstruct(&self, what: &str) -> Result<()> {
        if self.classes.is_none() {
            return Ok(());
        }
        Err(Error::model(format!("the model is a classifier: it cannot {what}"))
            .hint("it can predict classes, and encode rows to the features it predicts them from"))
    }
}
