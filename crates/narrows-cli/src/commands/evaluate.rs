//! `narrows evaluate`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use narrows::Model;
use narrows::base::output::OutputFile;
use narrows::base::text::escaped;
use narrows::model::metrics::{Evaluation, Reconstruction};
use serde::Serialize;

use crate::arguments::EvaluateArguments;
use crate::print::{self, classifier, table};
use crate::shared::datasets;

/// The last line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    #[serde(serialize_with = "table::path")]
    model: &'a Path,
    data: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    classes: Option<&'a [String]>,
    evaluation: &'a Evaluation,
    report: Option<String>,
}

/// Measures the metrics of a model on data.
pub fn run(arguments: &EvaluateArguments) -> anyhow::Result<ExitCode> {
    let page = arguments.report.as_ref().map(|folder| folder.join("report.html"));
    let _page = page.map(|page| OutputFile::claim(&page, &[&arguments.model])).transpose()?;
    let model = Model::open(&arguments.model)?.with_compute(datasets::compute(&arguments.compute));
    let dataset = datasets::open(&arguments.data, &arguments.data_options)?;
    if arguments.report.is_some() && model.classes().is_none() {
        anyhow::bail!("--report: shows misclassified rows, and the model is no classifier");
    }
    let evaluation = model.evaluate(&dataset).map_err(|error| error.at(&dataset.name))?;
    let mut page: Option<PathBuf> = None;
    if let (Some(folder), Evaluation::Classification(found)) = (&arguments.report, &evaluation) {
        let pages = narrows_report::evaluation_page(&model, &dataset, found)?.write(folder)?;
        page = pages.into_iter().next();
    }
    if arguments.output.json {
        table::json(&Line {
            event: "evaluation",
            model: &arguments.model,
            data: &dataset.name,
            classes: model.classes(),
            evaluation: &evaluation,
            report: page.map(|page| page.display().to_string()),
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    match &evaluation {
        Evaluation::Reconstruction(found) => reconstruction(&model, found, &dataset.name)?,
        Evaluation::Classification(found) => {
            classifier::evaluation(found, model.classes().unwrap_or_default(), &dataset.name)?;
            match page {
                Some(page) => table::line(format!("\nreport  {}", escaped(&page.display().to_string())))?,
                None => table::line(
                    "\n(--report FOLDER shows the worst rows and the confusion matrix as pictures)",
                )?,
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn reconstruction(model: &Model, found: &Reconstruction, data: &str) -> anyhow::Result<()> {
    let mut pairs = vec![("rows".to_owned(), format!("{} ({data})", found.rows))];
    if let (Some(bce), Some(floor)) = (found.bce, found.bce_floor) {
        pairs.push(("BCE".to_owned(), format!("{bce:.5} (least possible {floor:.5})")));
    }
    pairs.push(("squared error per row".to_owned(), format!("{:.4}", found.squared_error_per_row)));
    pairs.push(("  of the constant mean".to_owned(), format!("{:.4}", found.mean_squared_error_per_row)));
    pairs.push(("squared error per number".to_owned(), format!("{:.6}", found.mse)));
    pairs.push(("explained variance".to_owned(), format!("{:.2} %", found.explained_variance * 100.0)));
    if let Some(divergence) = found.divergence {
        let divergence = format!("{divergence:.2} nats from the standard normal");
        pairs.push(("divergence of a code".to_owned(), divergence));
    }
    let dead = format!("{} of {}", found.dead_units, model.code_units());
    pairs.push((print::dead_units(model).to_owned(), dead));
    table::pairs(&pairs)
}
