//! The end of `narrows fit`: the record of the fit, or a short table.

use std::path::Path;

use narrows::base::text::escaped;
use narrows::experiments::random_baseline::RandomBaseline;
use narrows::fit::Elimination;
use narrows::model::Summary;
use narrows::model::metrics::ReconstructionSummary;
use narrows::pca::Passes;
use narrows::{Dataset, Fit};
use serde::Serialize;

use super::{classifier, dataset, fixed, layer_text, percent, stderr, stdout, table};

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
            #[serde(serialize_with = "table::path")]
            model: &'a Path,
            #[serde(flatten)]
            fit: &'a Fit,
            random_baseline: Option<&'a RandomBaseline>,
            #[serde(serialize_with = "table::optional_path")]
            report: Option<&'a Path>,
        }
        let Self { recipe, fit, random, model, report } = *self;
        table::json(&Line { event: "fit", recipe, model, fit, random_baseline: random, report })?;
        self.say_where();
        Ok(())
    }

    /// Says on standard error where the model is, if standard output did not take it.
    fn say_where(&self) {
        if stdout::is_lost() {
            let report =
                self.report.map_or_else(String::new, |report| format!(", its report {}", report.display()));
            stderr::line(format!("the model is {}{report}", self.model.display()));
        }
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
        table::line(format!("{} on {}\n", escaped(self.recipe), escaped(&training.name)))?;
        table::pairs(&[dataset::about_columns(training), pairs].concat())?;
        table::line(format!("\n{}\n", escaped(self.fit.verdict())))
    }

    /// The paths that were written.
    pub fn paths(&self) -> anyhow::Result<()> {
        table::line(format!("model   {}", escaped(&self.model.display().to_string())))?;
        if let Some(report) = self.report {
            table::line(format!("report  {}", escaped(&report.display().to_string())))?;
        }
        self.say_where();
        Ok(())
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
            format!(
                "{} training, {} held out, {} least possible",
                fixed(summary.train_loss, 4),
                fixed(bce, 4),
                fixed(floor, 4)
            ),
        );
    }
    add("squared error per row", fixed(found.squared_error_per_row, 4));
    let components = summary.baselines.pca_components.unwrap_or(code_size);
    if pca.is_none() {
        add(&format!("  PCA-{components}"), fixed(summary.baselines.pca, 4));
    }
    // Under noise each baseline has the size of least error.
    let linear = match summary.baselines.pca_components {
        Some(_) => "  linear".to_owned(),
        None => format!("  linear-{components}"),
    };
    add(&linear, fixed(summary.baselines.linear, 4));
    add("  constant mean", fixed(summary.baselines.mean, 4));
    add("explained variance", percent(found.explained_variance));
    if let Some(pca) = pca {
        let ratios: Vec<_> =
            pca.explained_variance_ratio().iter().take(4).map(|ratio| format!("{ratio:.8}")).collect();
        let more = if code_size > 4 { ", ..." } else { "" };
        add("  by component", format!("{}{more}", ratios.join(", ")));
    }
    if let Some(Passes { passes, error }) = fit.randomized {
        let digits = if error < 1e-12 { "rounding".to_owned() } else { format!("{error:.0e} of themselves") };
        add("randomised solver", format!("{passes} passes over the rows; variances are right to {digits}"));
    }
    if let Some(divergence) = found.divergence {
        add("divergence of a code", format!("{} nats from the standard normal", fixed(divergence, 2)));
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
