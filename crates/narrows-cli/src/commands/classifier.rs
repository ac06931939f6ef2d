//! What `narrows fit` says of a classifier, and what `evaluate` and `predict` say of its classes.

use std::path::Path;
use std::process::ExitCode;

use narrows::compute::Compute;
use narrows::data::Dataset;
use narrows::data::formats::{csv, npy};
use narrows::error::Error;
use narrows::evaluation::classes::classify;
use narrows::fit::classifier::ClassifierFit;
use narrows::model::Model;
use narrows::model::metrics::Classification;
use narrows_report::write_classes_report;
use serde_json::json;

use super::done::{ended_name, layer_text, layers_json};
use crate::arguments::{EvaluateArguments, PredictArguments};
use crate::output;

/// Classes up to which the table of confusions is printed.
const PRINTED_CLASSES: usize = 20;

/// What is said at the end of a fit.
pub struct Done<'a> {
    pub recipe: &'a str,
    pub fit: &'a ClassifierFit,
    pub model_path: &'a Path,
    pub page: &'a Path,
    pub compute: Compute,
}

impl Done<'_> {
    /// The last line of JSON.
    pub fn json(&self) -> serde_json::Value {
        let Self { recipe, fit, model_path, page, compute } = self;
        let summary = fit.summary();
        let mut line = json!({
            "event": "done",
            "recipe": recipe,
            "model": model_path,
            "parameters": fit.model.parameter_count(),
            "code_size": fit.model.code_shape().len(),
            "threads": compute.threads,
            "seconds": fit.seconds,
            "training_rows": summary.training_rows,
            "labelled_rows": summary.labelled_rows,
            "train_loss": summary.train_loss,
            "baselines": { "commonest": summary.commonest_error, "nearest_mean": summary.nearest_mean_error },
            "verdict": summary.verdict,
            "epochs": summary.epochs,
            "steps": fit.steps.1,
            "pretraining_steps": fit.steps.0,
            "ended": ended_name(&fit.ended),
            "layers": layers_json(&fit.pretraining),
            "report": page,
            "simd": compute.level.name(),
        });
        add(&mut line, &summary.evaluation);
        line["held_out_loss"] = summary.evaluation.cross_entropy.into();
        line
    }

    /// A short table.
    pub fn print(&self, training: &Dataset<'_>, validation: &Dataset<'_>) -> anyhow::Result<()> {
        let Self { recipe, fit, compute, .. } = self;
        let (summary, names) = (fit.summary(), names(&fit.model));
        let mut pairs: Vec<(String, String)> = Vec::new();
        let mut add = |name: &str, value: String| pairs.push((name.to_owned(), value));
        add(
            "rows",
            format!(
                "{} of {} for training, {} of {} held out",
                summary.training_rows, training.name, summary.evaluation.rows, validation.name
            ),
        );
        add("labelled", format!("{} rows, {} classes", summary.labelled_rows, names.len()));
        add("parameters", fit.model.parameter_count().to_string());
        add(
            "time",
            format!(
                "{:.2} s, {} epochs on labels, {}",
                fit.seconds,
                summary.epochs,
                super::compute_text(*compute)
            ),
        );
        for (place, layer) in fit.pretraining.iter().enumerate() {
            add(&format!("layer {} alone", place + 1), layer_text(layer));
        }
        let found = &summary.evaluation;
        add("error", format!("{:.2} % ({} of {} rows)", found.error() * 100.0, found.wrong, found.rows));
        add("  nearest class mean", format!("{:.2} %", summary.nearest_mean_error * 100.0));
        add("  commonest class", format!("{:.2} %", summary.commonest_error * 100.0));
        // Before the first epoch on labels is over there is none of the training rows.
        let loss = summary.train_loss;
        let loss = if loss.is_nan() { "-".to_owned() } else { format!("{loss:.4}") };
        add("cross-entropy", format!("{loss} training, {:.4} held out", found.cross_entropy));
        output::line(format!("{recipe} on {}\n", training.name))?;
        output::pairs(&pairs)?;
        output::line(format!("\n{}\n", summary.verdict))
    }
}

/// The figures of a classification, in a line of JSON.
fn add(line: &mut serde_json::Value, found: &Classification) {
    line["error"] = found.error().into();
    line["accuracy"] = (1.0 - found.error()).into();
    line["wrong"] = found.wrong.into();
    line["cross_entropy"] = found.cross_entropy.into();
    line["confusion"] = json!(found.confusion);
}

fn names(model: &Model) -> &[String] {
    model.classes.as_ref().map_or(&[], |classes| &classes.names)
}

/// `narrows evaluate` of a classifier.
pub fn evaluate(
    arguments: &EvaluateArguments,
    model: &Model,
    dataset: &Dataset<'_>,
) -> anyhow::Result<ExitCode> {
    let compute = super::compute(&arguments.compute);
    let found = classify(model, dataset, compute)?;
    let page = match &arguments.report {
        Some(folder) => Some(write_classes_report(folder, model, dataset, &found, compute)?.swap_remove(0)),
        None => None,
    };
    let names = names(model);
    if arguments.json {
        let mut line = json!({
            "event": "evaluation", "model": arguments.model, "data": dataset.name, "rows": found.rows,
            "classes": names, "report": page,
        });
        add(&mut line, &found);
        output::line(line)?;
        return Ok(ExitCode::SUCCESS);
    }
    output::pairs(&[
        ("rows".to_owned(), format!("{} ({})", found.rows, dataset.name)),
        ("accuracy".to_owned(), format!("{:.2} %", (1.0 - found.error()) * 100.0)),
        ("error".to_owned(), format!("{:.2} % ({} rows)", found.error() * 100.0, found.wrong)),
        ("cross-entropy".to_owned(), format!("{:.5}", found.cross_entropy)),
    ])?;
    if names.len() <= PRINTED_CLASSES {
        let mut header = vec!["class \\ told".to_owned()];
        header.extend(names.iter().cloned());
        header.extend(["rows", "found"].map(str::to_owned));
        let rows: Vec<Vec<String>> = names
            .iter()
            .zip(&found.confusion)
            .enumerate()
            .map(|(class, (name, told))| {
                let all: usize = told.iter().sum();
                let share = if all > 0 {
                    format!("{:.2} %", told[class] as f64 / all as f64 * 100.0)
                } else {
                    "-".into()
                };
                let counts =
                    told.iter().map(|&count| if count == 0 { "·".to_owned() } else { count.to_string() });
                [name.clone()].into_iter().chain(counts).chain([all.to_string(), share]).collect()
            })
            .collect();
        output::line("")?;
        output::table(&header, &rows)?;
    } else {
        output::line(format!(
            "\n(confusions of more than {PRINTED_CLASSES} classes are not printed: --json has all of them)"
        ))?;
    }
    match page {
        Some(page) => output::line(format!("\nreport  {}", page.display()))?,
        None => output::line("\n(--report FOLDER shows the worst rows and the confusions as pictures)")?,
    }
    Ok(ExitCode::SUCCESS)
}

/// `narrows predict`
pub fn predict(arguments: &PredictArguments) -> anyhow::Result<ExitCode> {
    let extension = arguments.out.extension().map(|name| name.to_string_lossy().to_ascii_lowercase());
    let is_csv = match extension.as_deref() {
        Some("csv") => true,
        Some("npy") => false,
        _ => anyhow::bail!("{}: classes are written as .csv or .npy", arguments.out.display()),
    };
    narrows::base::atomic_file::probe(&arguments.out)?;
    let model = Model::open(&arguments.model)?;
    let dataset = super::open(&arguments.data, &arguments.data_options)?;
    let shares = model
        .predict(&*dataset.rows, super::compute(&arguments.compute))
        .map_err(|error: Error| error.at(&dataset.name))?;
    let names = names(&model);
    let rows = dataset.rows.rows();
    let bytes = if is_csv {
        csv::encode_classes(names, &shares)
    } else {
        npy::encode_f32(rows, &[names.len()], &shares)
    };
    narrows::base::atomic_file::write(&arguments.out, &bytes)?;
    let what =
        if is_csv { "the class of each row and the share of each class" } else { "the share of each class" };
    eprintln!("wrote {what} for {rows} rows to {}", arguments.out.display());
    Ok(ExitCode::SUCCESS)
}
