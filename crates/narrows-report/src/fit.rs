//! What a fit puts into its report.

use std::path::{Path, PathBuf};

use crate::decoded::{chosen_codes, decode_scaled};
use crate::{CodeScatter, Contents, DecodedCodes, Examples, LayerAlone, Starts, WeightImages, write};
use narrows::base::atomic_file;
use narrows::compute::Compute;
use narrows::data::{Dataset, Shape, Subset};
use narrows::error::Result;
use narrows::fit::Fit;
use narrows::fit::{ELIMINATED, elimination};
use narrows::model::metrics::Evaluation;
use narrows::model::{Fitted, Model};
use narrows::network::plan::Op;
use narrows::recipe::to_toml;
use narrows::recipe::{Layer, Pretrain, Recipe};
use narrows::train::pretrain::PretrainedLayer;

/// Rows shown beside their reconstructions.
const EXAMPLES: usize = 10;

/// With fewer held-out rows than this, the map of the codes shows training rows.
const FEW_ROWS: usize = 1000;

/// Training rows on the map at most.
const MAP_ROWS: usize = 10_000;

/// Writes the report of a fit into a folder: pictures, charts and one page. Answers the paths written, the page first.
///
/// `recipe` is the name of the recipe; `starts` what its twins came to. The bytes depend on the model and the rows alone.
pub fn write_report(
    directory: &Path,
    recipe: &str,
    fit: &Fit,
    training: &Dataset,
    validation: &Dataset,
    compute: Compute,
    starts: Option<&Starts>,
) -> Result<Vec<PathBuf>> {
    let model = &fit.model;
    let summary = fit.summary();
    let evaluation = &summary.evaluation;
    let width = model.shape.len();
    let code_size = model.code_shape().len();

    let shown: Vec<usize> = (0..EXAMPLES.min(validation.rows.rows())).collect();
    // Pictures are drawn on the scale the model sees, where 0 is black and 1 is white; tables in their own units.
    let judged = model.reconstruct_scaled(&*validation.rows, &shown, compute)?;
    let drawn = |mut rows: Vec<f32>| {
        if !model.shape.is_image() {
            model.scaling.undo(compute.level, &mut rows, width);
        }
        rows
    };
    let originals = drawn(judged.rows);
    let reconstructions = drawn(judged.outputs);
    let noise = noise(&model.fitted);
    let corrupted = noise.is_some().then(|| drawn(judged.inputs));

    let facts = facts(fit, training, validation);
    let components = summary.baselines.pca_components.unwrap_or(code_size);
    // Under noise each has the size that loses least.
    let linear = if noise.is_some() { "linear".to_owned() } else { format!("linear-{components}") };
    let pca = format!("PCA-{components}");
    let comparison = [
        ("mean".to_owned(), summary.baselines.mean),
        (linear, summary.baselines.linear),
        (pca, summary.baselines.pca),
        (format!("this model ({recipe})"), evaluation.squared_error_per_row),
    ];
    // A PCA is its own baseline: one bar is enough.
    let comparison: Vec<_> = comparison
        .into_iter()
        .enumerate()
        .filter(|(place, _)| *place != 2 || matches!(model.recipe, Recipe::Autoencoder(_)))
        .map(|(_, bar)| bar)
        .collect();

    // A handful of held-out rows makes a poor map: then the training rows are drawn.
    let draw_training = validation.rows.rows() < FEW_ROWS;
    let training_codes = if draw_training {
        let rows: Vec<usize> = (0..training.rows.rows().min(MAP_ROWS)).collect();
        model.encode(&Subset::new(training.rows.clone(), rows.clone()), compute)?.into_f32()
    } else {
        Vec::new()
    };
    let (codes, labels) = if draw_training {
        let drawn: Vec<usize> = (0..training_codes.len() / code_size).collect();
        (&training_codes, training.labels.as_ref().map(|labels| labels.select(&drawn)))
    } else {
        let kept: Vec<usize> = (0..fit.validation_codes.len() / code_size).collect();
        (&fit.validation_codes, validation.labels.as_ref().map(|labels| labels.select(&kept)))
    };
    let column = |unit: usize| codes.iter().copied().skip(unit).step_by(code_size).collect::<Vec<f32>>();
    let (first_unit, second_unit) = most_active(codes, code_size);
    let (first, second) = (column(first_unit), column(second_unit));
    let axes = [axis(&model.fitted, first_unit), axis(&model.fitted, second_unit)];
    let weights = weights(&model.fitted, model.shape);
    let chosen = if model.shape.is_image() { chosen_codes(model, &fit.validation_codes) } else { None };
    let decoded = chosen.as_ref().map(|chosen| decode_scaled(model, &chosen.codes, compute)).transpose()?;
    let spectrum = match &model.fitted {
        Fitted::Pca(pca) => Some(pca.explained_variance_ratio()),
        Fitted::Network { .. } => None,
    };
    let settings = match &model.recipe {
        Recipe::Autoencoder(network) => network.pretrain.as_ref(),
        _ => None,
    };
    let layer_facts: Vec<_> =
        (0..).zip(&fit.pretraining).map(|(place, layer)| layer_facts(settings, place, layer)).collect();
    let pretraining: Vec<_> = fit
        .pretraining
        .iter()
        .zip(&layer_facts)
        .map(|(layer, facts)| alone(layer, facts, model.shape))
        .collect();
    let contents = Contents {
        title: &format!("{recipe} on {}", training.name),
        verdict: &summary.verdict,
        facts: &facts,
        layers: &model.table(),
        comparison: &comparison,
        history: &fit.history,
        kept_epoch: fit.kept_epoch(),
        loss_name: model.recipe.loss().title(),
        loss_floor: evaluation.bce_floor,
        examples: Some(Examples {
            shape: model.shape,
            originals: &originals,
            corrupted: corrupted.as_deref(),
            reconstructions: &reconstructions,
            low: 0.0,
            high: 1.0,
            feature_names: training.columns.as_deref().unwrap_or_default(),
        }),
        codes: (code_size > 1).then_some(CodeScatter {
            first: &first,
            second: &second,
            axes: [&axes[0], &axes[1]],
            labels: labels.as_ref(),
        }),
        weights: weights.as_ref().map(|(called, shape, images)| WeightImages {
            called: *called,
            shape: *shape,
            images,
        }),
        decoded: chosen.as_ref().zip(decoded.as_ref()).map(|(chosen, images)| DecodedCodes {
            shape: model.shape,
            images,
            columns: chosen.columns,
            what: &chosen.what,
            low: 0.0,
            high: 1.0,
        }),
        spectrum: spectrum.as_deref(),
        starts,
        pretraining: &pretraining,
        recipe: &to_toml(&fit.recipe),
    };
    let mut written = write(directory, &contents)?;
    if let Some(found) = elimination(fit) {
        let path = directory.join("eliminated.csv");
        atomic_file::write(&path, found.to_csv().as_bytes())?;
        written.push(path);
    }
    Ok(written)
}

fn axis(fitted: &Fitted, unit: usize) -> String {
    match fitted {
        Fitted::Pca(_) => format!("component {}", unit + 1),
        Fitted::Network { .. } => format!("code unit {}", unit + 1),
    }
}

/// The first two code units that are not dead.
fn most_active(codes: &[f32], width: usize) -> (usize, usize) {
    let alive = |unit: usize| {
        let mut column = codes.iter().skip(unit).step_by(width);
        let first = column.next();
        column.any(|value| Some(value) != first)
    };
    let mut units = (0..width).filter(|&unit| alive(unit));
    let first = units.next().unwrap_or(0);
    let second = units.next().unwrap_or(if first == 0 { 1.min(width - 1) } else { 0 });
    (first, second)
}

fn code(model: &Model) -> String {
    let shape = model.code_shape();
    let image = if shape.is_image() { format!(" ({shape})") } else { String::new() };
    let larger = if shape.len() > model.shape.len() { ", more than a row has" } else { "" };
    format!("{} numbers{image}{larger}", shape.len())
}

/// The figures of the page, in order.
fn facts(fit: &Fit, training: &Dataset, validation: &Dataset) -> Vec<(String, String)> {
    let model = &fit.model;
    let summary = fit.summary();
    let Evaluation {
        rows,
        bce,
        bce_floor,
        mse,
        squared_error_per_row,
        explained_variance,
        dead_units,
        mean_activity,
        divergence,
        ..
    } = summary.evaluation.clone();
    let mut facts = vec![
        ("Training rows".to_owned(), format!("{} ({})", summary.training_rows, training.name)),
        ("Held-out rows".to_owned(), format!("{rows} ({})", validation.name)),
        ("Row".to_owned(), format!("{} numbers ({})", model.shape.len(), model.shape)),
        ("Code".to_owned(), code(model)),
        ("Parameters".to_owned(), model.parameter_count().to_string()),
    ];
    if let Some(noise) = noise(&model.fitted) {
        facts.push(("Noise".to_owned(), format!("{noise}; errors are those against the clean rows")));
    }
    if summary.epochs > 0 {
        facts.push(("Epochs".to_owned(), epochs(summary.epochs, fit.kept_epoch())));
    }
    facts.push((format!("{}, training", model.recipe.loss().title()), format!("{:.5}", summary.train_loss)));
    facts.push((
        format!("{}, held out", model.recipe.loss().title()),
        format!("{:.5}", summary.evaluation.loss),
    ));
    if let (Some(bce), Some(floor)) = (bce, bce_floor) {
        facts.push(("Least possible BCE".to_owned(), format!("{floor:.5} (above it: {:.5})", bce - floor)));
    }
    facts.push(("Squared error per row".to_owned(), format!("{squared_error_per_row:.4}")));
    facts.push(("Squared error per number".to_owned(), format!("{mse:.6}")));
    facts.push(("Explained variance".to_owned(), format!("{:.2} %", explained_variance * 100.0)));
    facts.push((
        (if model.code_shape().is_image() { "Dead code channels" } else { "Dead code units" }).to_owned(),
        format!("{dead_units} of {}", model.code_units()),
    ));
    if let Some(activity) = mean_activity {
        facts.push(("Mean size of a code's numbers".to_owned(), format!("{activity:.4}")));
    }
    if let Some(divergence) = divergence {
        facts.push((
            "Divergence of a code from the standard normal".to_owned(),
            format!("{divergence:.3} nats"),
        ));
        if let Some(bce) = bce {
            // Kingma and Welling 2014, their expectation over codes taken at the mean code.
            let bound = -(bce * model.shape.len() as f64 + divergence);
            facts.push(("Evidence lower bound, with the mean code".to_owned(), format!("{bound:.2} nats")));
        }
    }
    if let Some(found) = elimination(fit) {
        facts.push((format!("Eliminated weights (below {ELIMINATED})"), found.to_string()));
        for (name, gone, all) in &found.layers {
            facts.push((format!("of {name}"), format!("{gone} of {all}")));
        }
    }
    facts
}

/// How many epochs there were, and which was kept where that is not just the last.
fn epochs(count: usize, kept: Option<usize>) -> String {
    let kept =
        kept.map_or_else(String::new, |epoch| format!(", kept: the best on the held-out rows, {epoch}"));
    format!("{count}{kept}")
}

/// A layer that was trained alone.
pub(crate) fn alone<'a>(
    layer: &'a PretrainedLayer,
    facts: &'a [(String, String)],
    shape: Shape,
) -> LayerAlone<'a> {
    LayerAlone {
        widths: layer.widths,
        facts,
        history: &layer.history,
        kept_epoch: layer.kept_epoch,
        loss_name: layer.loss_name,
        filters: (!layer.filters.is_empty()).then_some(WeightImages {
            called: UNITS,
            shape,
            images: &layer.filters,
        }),
    }
}

/// The figures of layer number `place` (from 0), which was trained alone, in order.
pub(crate) fn layer_facts(
    pretrain: Option<&Pretrain>,
    place: usize,
    layer: &PretrainedLayer,
) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    let mut add = |name: &str, value: String| facts.push((name.to_owned(), value));
    add("Epochs", epochs(layer.history.len(), layer.kept_epoch));
    if let Some(record) = layer.kept() {
        add(&format!("{}, training", layer.loss_name), format!("{:.5}", record.train_loss));
        add(&format!("{}, held out", layer.loss_name), format!("{:.5}", record.held_out_loss));
    }
    if let Some(dead) = layer.dead_units() {
        add("Dead units", format!("{dead} of {}", layer.widths.1));
    }
    if let Some(Layer::Noise(noise)) = pretrain.and_then(|pretrain| pretrain.noise(place)) {
        add("Noise", noise.kind.title());
    }
    facts
}

/// What rows suffer before a network sees them, in words.
fn noise(fitted: &Fitted) -> Option<String> {
    match fitted {
        Fitted::Network { plan, .. } if !plan.noise.is_empty() => {
            let titles: Vec<String> = plan.noise.iter().map(|noise| noise.kind.title()).collect();
            Some(titles.join(", "))
        }
        _ => None,
    }
}

/// What units are called: one, and several.
const UNITS: [&str; 2] = ["unit", "units"];
/// What the units of the code are called.
const CODE_UNITS: [&str; 2] = ["code unit", "code units"];

/// One image for each unit next to the rows, and what these are called: what the code's units draw where the decoder is one dense layer, else what
/// the first layer's units look for; of a convolution its kernels.
fn weights(fitted: &Fitted, shape: Shape) -> Option<([&'static str; 2], Shape, Vec<f32>)> {
    if !shape.is_image() {
        return None;
    }
    match fitted {
        Fitted::Pca(pca) => {
            let images = pca.components.iter().map(|&value| value as f32).collect();
            Some((["component", "components"], shape, images))
        }
        Fitted::Network { plan, parameters } => {
            let decoder = &plan.steps[plan.cut..];
            if let [step] = decoder
                && let Op::Dense { weights, tied: false, .. } = &step.op
            {
                return Some((CODE_UNITS, shape, parameters[weights.clone()].to_vec()));
            }
            let first = &plan.steps[0];
            let (called, weights, units, shape) = match &first.op {
                Op::Dense { weights, .. } => {
                    let called = if plan.cut == 1 {
                        CODE_UNITS
                    } else {
                        ["unit of the first layer", "units of the first layer"]
                    };
                    (called, weights, first.output.len(), shape)
                }
                Op::Convolution { geometry, weights, .. } => {
                    let (height, width) = geometry.kernel;
                    let shape = Shape::image(height, width, geometry.input.channels);
                    let called = ["kernel of the first layer", "kernels of the first layer"];
                    (called, weights, geometry.output.channels, shape)
                }
                _ => return None,
            };
            let weights = &parameters[weights.clone()];
            let image = |unit: usize| weights.iter().skip(unit).step_by(units).copied();
            shape.is_grey_or_colour().then(|| (called, shape, (0..units).flat_map(image).collect()))
        }
    }
}
