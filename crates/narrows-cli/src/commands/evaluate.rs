//! `narrows evaluate`

use std::process::ExitCode;

use narrows::evaluation::reconstruction::evaluate;
use narrows::model::Model;
use serde_json::json;

use crate::arguments::EvaluateArguments;
use crate::output;

/// Measures what a model loses on data.
pub fn run(arguments: &EvaluateArguments) -> anyhow::Result<ExitCode> {
    let model = Model::open(&arguments.model)?;
    let dataset = super::open(&arguments.data, &arguments.data_options)?;
    if model.classes.is_some() {
        return super::classifier::evaluate(arguments, &model, &dataset);
    }
    if arguments.report.is_some() {
        anyhow::bail!("--report: shows which classes are told wrong, and the model is no classifier");
    }
    let found = evaluate(&model, &*dataset.rows, super::compute(&arguments.compute))
        .map_err(|error| error.at(&dataset.name))?;
    if arguments.json {
        output::line(json!({
            "event": "evaluation",
            "model": arguments.model,
            "data": dataset.name,
            "rows": found.rows,
            "loss": found.loss,
            "test_bce": found.bce,
            "bce_floor": found.bce_floor,
            "test_mse": found.mse,
            "squared_error_per_row": found.squared_error_per_row,
            "explained_variance": found.explained_variance,
            "dead_units": found.dead_units,
            "mean_activity": found.mean_activity,
            "divergence": found.divergence,
            "baselines": { "mean": found.mean_squared_error_per_row },
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut pairs = vec![("rows".to_owned(), format!("{} ({})", found.rows, dataset.name))];
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
    pairs.push((super::dead_units_name(&model).to_owned(), dead));
    output::pairs(&pairs)?;
    Ok(ExitCode::SUCCESS)
}
