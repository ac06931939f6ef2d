//! A comparison as a record, for lines of JSON and for other languages.

use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{CodeSizeCurves, Comparison, Measure, Method, Reference, Spread};

/// A comparison serialises as `scale` and `scale_reason`, `code_size`, `recipes` (a record for each), `rows` (the rows in
/// place of codes), `code_size_curves`, `notes`, `verdict` and `ended`.
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

/// A compared recipe serialises as `recipe` (its name), `failure`, `fits` (their number), `loss_name`, `noisy`,
/// `pca_components`, and `metrics`: by the name of the metric its mean and standard deviation over the fits.
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
