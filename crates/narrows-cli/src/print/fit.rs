//! The end of `narrows fit`: the record of the fit, or a short table.

use std::path::Path;

use narrows::experiments::random_baseline::RandomBaseline;
use narrows::fit::Elimination;
use narrows::model::Summary;
use narrows::model::metrics::ReconstructionSummary;
use narrows::{Dataset, Fit};
use serde::Serialize;

use super::{classifier, layer_text, table};

/// A fit that is done, and what was written.
pub struct Done<'a> {
    pub recipe: &'a str,
    pub fit: &'a Fit,
    pub random: Option<&'a RandomBaseline>,
    pub model: &'a Path,
    /// None for a run that was stopped.
    pub report: Option<&'a Path>,
}

impl Done<'_> {
    /// The last line of JSON.
    pub fn json(&self) -> anyhow::Result<()> {
        #[derive(Serialize)]
        struct Line<'a> {
            event: &'static str,
            recipe: &'a str,
            model: &'a Path,
            #[serde(flatten)]
            fit: &'a Fit,
            random_baseline: Option<&'a RandomBaseline>,
            report: Option<&'a Path>,
        }
        let Self { recipe, fit, random, model, report } = *self;
        table::json(&Line { event: "fit", recipe, model, fit, random_baseline: random, report })
    }

    /// A short table and the verdict.
    pub fn table(&self, training: &Dataset<'_>, held_out: &Dataset<'_>) -> anyhow::Result<()> {
        let pairs = match self.fit.summary() {
            Some(Summary::Reconstruction(summary)) => reconstruction(self.fit, summary, training, held_out),
            Some(Summary::Classification(summary)) => {
                classifier::pairs(self.fit, summary, training, held_out)
            }
            None => Vec::new(),
        };
        table::line(format!("{} on {}\n", self.recipe, training.name))?;
        table::pairs(&pairs)?;
        table::line(format!("\n{}\n", self.fit.verdict()))
    }

    /// The paths that were written.
    pub fn paths(&self) -> anyhow::Result<()> {
        table::line(format!("model   {}", self.model.display()))?;
        self.report.map_or(Ok(()), |report| table::line(format!("report  {}", report.display())))
    }
}

fn reconstruction(
    fit: &Fit,
    summary: &ReconstructionSummary,
    training: &Dataset<'_>,
    held_out: &Dataset<'_>,
) -> Vec<(String, String)> {
    let found = &summary.evaluation;
    let code_size = fit.model.code_shape().len();
    let pca = fit.model.pca();
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, value: String| pairs.push((name.to_owned(), value));
    add(
        "rows",
        format!(
            "{} of {} for training, {} of {} held out",
            summary.training_rows, training.name, found.rows, held_out.name
        ),
    );
    add("row, code", format!("{} numbers, {code_size} numbers", fit.model.shape().len()));
    add("parameters", fit.model.parameter_count().to_string());
    let epochs = if summary.epochs > 0 { format!(", {} epochs", summary.epochs) } else { String::new() };
    add("time", format!("{:.2} s{epochs}, {}", fit.seconds, super::compute(fit.model.compute())));
    if let (Some(bce), Some(floor)) = (found.bce, found.bce_floor) {
        add(
            "BCE",
            format!("{:.4} training, {bce:.4} held out, {floor:.4} least possible", summary.train_loss),
        );
    }
    add("squared error per row", format!("{:.4}", found.squared_error_per_row));
    let components = summary.baselines.pca_components.unwrap_or(code_size);
    if pca.is_none() {
        add(&format!("  PCA-{components}"), format!("{:.4}", summary.baselines.pca));
    }
    // Under noise each baseline has the size of least error.
    let linear = match summary.baselines.pca_components {
        Some(_) => "  linear".to_owned(),
        None => format!("  linear-{components}"),
    };
    add(&linear, format!("{:.4}", summary.baselines.linear));
    add("  constant mean", format!("{:.4}", summary.baselines.mean));
    add("explained variance", format!("{:.2} %", found.explained_variance * 100.0));
    if let Some(pca) = pca {
        let ratios: Vec<_> =
            pca.explained_variance_ratio().iter().take(4).map(|ratio| format!("{ratio:.8}")).collect();
        let more = if code_size > 4 { ", ..." } else { "" };
        add("  by component", format!("{}{more}", ratios.join(", ")));
    }
    if let Some(divergence) = found.divergence {
        add("divergence of a code", format!("{divergence:.2} nats from the standard normal"));
    }
    for (place, layer) in fit.pretraining.iter().enumerate() {
        add(&format!("layer {} pre-trained", place + 1), layer_text(layer));
    }
    if let Some(found) = Elimination::of(&fit.model) {
        add("eliminated weights", found.to_string());
    }
    add(super::dead_units(&fit.model), format!("{} of {}", found.dead_units, fit.model.code_units()));
    pairs
}
