//! What is said of a fit when it is over.

use std::path::Path;

use narrows::compute::Compute;
use narrows::data::Dataset;
use narrows::fit::{Fit, elimination};
use narrows::model::Fitted;
use narrows::progress::Ended;
use narrows::train::pretrain::PretrainedLayer;
use serde_json::json;

use crate::output;

/// What is said at the end.
pub struct Done<'a> {
    pub recipe: &'a str,
    pub fit: &'a Fit,
    pub model_path: &'a Path,
    pub page: &'a Path,
    pub compute: Compute,
}

impl Done<'_> {
    pub fn json(&self) -> serde_json::Value {
        let Self { recipe, fit, model_path, page, compute } = self;
        let summary = fit.summary();
        let found = &summary.evaluation;
        let mut line = json!({
            "event": "done",
            "recipe": recipe,
            "model": model_path,
            "parameters": fit.model.parameter_count(),
            "code_size": fit.model.code_shape().len(),
            "threads": compute.threads,
            "seconds": fit.seconds,
            "train_loss": summary.train_loss,
            "held_out_loss": found.loss,
            "test_bce": found.bce,
            "bce_floor": found.bce_floor,
            "test_mse": found.mse,
            "squared_error_per_row": found.squared_error_per_row,
            "explained_variance": found.explained_variance,
            "dead_units": found.dead_units,
            "mean_activity": found.mean_activity,
            "divergence": found.divergence,
            "eliminated": elimination(fit).map(|found| json!({
                "weights": found.eliminated(), "of": found.weights(), "unused_inputs": found.unused_inputs,
            })),
            "baselines": summary.baselines,
            "verdict": summary.verdict,
            "epochs": summary.epochs,
            "ended": ended_name(&fit.ended),
            "layers": layers_json(&fit.pretraining),
            "report": page,
            "simd": compute.level.name(),
        });
        if let Fitted::Pca(pca) = &fit.model.fitted {
            line["explained_variance_ratio"] = json!(pca.explained_variance_ratio());
        }
        line
    }

    pub fn print(&self, training: &Dataset<'_>, validation: &Dataset<'_>) -> anyhow::Result<()> {
        let Self { recipe, fit, compute, .. } = self;
        let summary = fit.summary();
        let found = &summary.evaluation;
        let code_size = fit.model.code_shape().len();
        let mut pairs: Vec<(String, String)> = Vec::new();
        let mut add = |name: &str, value: String| pairs.push((name.to_owned(), value));
        add(
            "rows",
            format!(
                "{} of {} for training, {} of {} held out",
                summary.training_rows, training.name, found.rows, validation.name
            ),
        );
        add("row, code", format!("{} numbers, {code_size} numbers", fit.model.shape.len()));
        add("parameters", fit.model.parameter_count().to_string());
        let epochs = if summary.epochs > 0 { format!(", {} epochs", summary.epochs) } else { String::new() };
        add("time", format!("{:.2} s{epochs}, {}", fit.seconds, super::compute_text(*compute)));
        if let (Some(bce), Some(floor)) = (found.bce, found.bce_floor) {
            add(
                "BCE",
                format!("{:.4} training, {bce:.4} held out, {floor:.4} least possible", summary.train_loss),
            );
        }
        add("squared error per row", format!("{:.4}", found.squared_error_per_row));
        let components = summary.baselines.pca_components.unwrap_or(code_size);
        if !matches!(fit.model.fitted, Fitted::Pca(_)) {
            add(&format!("  PCA-{components}"), format!("{:.4}", summary.baselines.pca));
        }
        // Under noise each has the size that loses least.
        let linear = match summary.baselines.pca_components {
            Some(_) => "  linear".to_owned(),
            None => format!("  linear-{components}"),
        };
        add(&linear, format!("{:.4}", summary.baselines.linear));
        add("  constant mean", format!("{:.4}", summary.baselines.mean));
        add("explained variance", format!("{:.2} %", found.explained_variance * 100.0));
        if let Fitted::Pca(pca) = &fit.model.fitted {
            let ratios: Vec<_> =
                pca.explained_variance_ratio().iter().take(4).map(|ratio| format!("{ratio:.8}")).collect();
            let more = if code_size > 4 { ", ..." } else { "" };
            add("  by component", format!("{}{more}", ratios.join(", ")));
        }
        if let Some(divergence) = found.divergence {
            add("divergence of a code", format!("{divergence:.2} nats from the standard normal"));
        }
        for (place, layer) in fit.pretraining.iter().enumerate() {
            add(&format!("layer {} alone", place + 1), layer_text(layer));
        }
        if let Some(found) = elimination(fit) {
            add("eliminated weights", found.to_string());
        }
        add(
            super::dead_units_name(&fit.model),
            format!("{} of {}", found.dead_units, fit.model.code_units()),
        );
        output::line(format!("{recipe} on {}\n", training.name))?;
        output::pairs(&pairs)?;
        output::line(format!("\n{}\n", summary.verdict))
    }
}

/// What the last line of JSON says of how a run ended.
pub fn ended_name(ended: &Ended) -> &'static str {
    match ended {
        Ended::Finished => "finished",
        Ended::Early => "early",
        Ended::Interrupted => "interrupted",
        Ended::Diverged(_) => "diverged",
    }
}

/// What the last line of JSON says of layers that were trained alone.
pub fn layers_json(layers: &[PretrainedLayer]) -> Vec<serde_json::Value> {
    let of_layer = |layer: &PretrainedLayer| {
        json!({
            "inputs": layer.widths.0, "units": layer.widths.1, "epochs": layer.history.len(),
            "loss": layer.loss_name, "seconds": layer.seconds,
            "train_loss": layer.kept().map(|record| record.train_loss),
            "held_out_loss": layer.kept().map(|record| record.held_out_loss),
            "dead_units": layer.dead_units(),
        })
    };
    layers.iter().map(of_layer).collect()
}

/// What the table says of a layer that was trained alone.
pub fn layer_text(layer: &PretrainedLayer) -> String {
    let (inputs, units) = layer.widths;
    let end = layer.kept().map_or_else(String::new, |record| {
        format!(", {} {:.4} held out", layer.loss_name, record.held_out_loss)
    });
    let dead = layer.dead_units().map_or_else(String::new, |dead| format!(", {dead} of {units} units dead"));
    format!("{inputs}-{units}: {:.1} s, {} epochs{end}{dead}", layer.seconds, layer.history.len())
}
