//! The outcome of a comparison as plain records, for lines of JSON and for other languages.

use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{CodeSizeCurves, Measure, Metrics, Spread};
use crate::data::Shape;
use crate::data::scaling::Chosen;
use crate::progress::EpochRecord;
use crate::recipe::Recipe;

/// The outcome of a comparison.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// The scaling of the rows for all recipes, and the reason for its choice.
    pub scale: Chosen,
    /// The code size of all recipes that can change it; none if they kept their own.
    pub code_size: Option<usize>,
    /// Remarks that a reader of the metrics needs.
    pub notes: Vec<String>,
    /// The recipes, in the order of the candidates.
    pub methods: Vec<Method>,
    /// The accuracies of the rows themselves, to compare those of codes with.
    pub rows: Option<Reference>,
    /// The code-size curves, if code sizes were given.
    pub code_size_curves: Option<CodeSizeCurves>,
    /// The verdict: a sentence.
    pub verdict: String,
    /// Whether the callback stopped the comparison; the completed part is here.
    pub interrupted: bool,
    /// The shape of a row.
    pub shape: Shape,
    /// The first held-out rows, up to 10, on the common scale: n x d.
    pub examples: Vec<f32>,
}

/// A recipe with its fits.
#[derive(Debug, Clone)]
pub struct Method {
    /// The name of the candidate.
    pub name: String,
    /// The fitted recipe, with the common scaling and code size.
    pub recipe: Recipe,
    /// The name of its loss. Losses of the same name can be compared.
    pub loss_name: &'static str,
    /// Whether it is a denoising network: then its errors are those on noisy rows.
    pub noisy: bool,
    /// The metrics of each fit.
    pub fits: Vec<Metrics>,
    /// The reason why it could not be fitted to these rows.
    pub failure: Option<String>,
    /// The losses of the first fit, epoch by epoch.
    pub history: Vec<EpochRecord>,
    /// The lowest possible loss on the held-out rows, where it is known.
    pub loss_floor: Option<f64>,
    /// The first fit's reconstructions of [`Comparison::examples`]: n x d.
    pub reconstructions: Vec<f32>,
}

impl Method {
    /// The mean and the standard deviation of a metric over all fits; none if no fit has it.
    pub fn spread(&self, measure: Measure) -> Option<Spread> {
        Spread::of(self.fits.iter().filter_map(|metrics| measure.of(metrics)))
    }
}

/// The accuracies that the rows themselves reach in place of codes.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Reference {
    /// Numbers in a row.
    pub width: usize,
    /// As [`Metrics::nearest_neighbour_accuracy`].
    pub nearest_neighbour_accuracy: Option<f64>,
    /// As [`Metrics::linear_probe_accuracy`].
    pub linear_probe_accuracy: Option<f64>,
}

/// Serialises as `scale` and `scale_reason`, `code_size`, `recipes` (a record for each), `rows` (the accuracies of the rows
/// themselves), `code_size_curves`, `notes`, `verdict` and `ended`.
impl Serialize for Comparison {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct Record<'a> {
            scale: &'static str,
            scale_reason: &'static str,
            code_size: Option<usize>,
            recipes: &'a [Method],
            rows: Option<Reference>,
            code_size_curves: Option<&'a CodeSizeCurves>,
            notes: &'a [String],
            verdict: &'a str,
            ended: &'static str,
        }
        Record {
            scale: self.scale.scale.name(),
            scale_reason: self.scale.reason,
            code_size: self.code_size,
            recipes: &self.methods,
            rows: self.rows,
            code_size_curves: self.code_size_curves.as_ref(),
            notes: &self.notes,
            verdict: &self.verdict,
            ended: if self.interrupted { "interrupted" } else { "finished" },
        }
        .serialize(serializer)
    }
}

/// Serialises as `recipe` (the name), `failure`, `fits` (their number), `loss_name`, `noisy`, `pca_components`, and
/// `metrics`: the mean and the standard deviation over the fits, by the name of the metric.
impl Serialize for Method {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let metrics: BTreeMap<&str, Option<Spread>> =
            Measure::ALL.iter().map(|&measure| (measure.name(), self.spread(measure))).collect();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("recipe", &self.name)?;
        map.serialize_entry("failure", &self.failure)?;
        map.serialize_entry("fits", &self.fits.len())?;
        map.serialize_entry("loss_name", self.loss_name)?;
        map.serialize_entry("noisy", &self.noisy)?;
        map.serialize_entry("pca_components", &self.fits.first().map(|metrics| metrics.pca_components))?;
        map.serialize_entry("metrics", &metrics)?;
        map.end()
    }
}
