//! The page of a PCA or an autoencoder.

use narrows::data::{Dataset, Labels};
use narrows::experiments::random_baseline::RandomBaseline;
use narrows::fit::{ELIMINATED, Elimination};
use narrows::model::metrics::ReconstructionSummary;
use narrows::model::{WeightImages, WeightsOf};
use narrows::recipe::{Recipe, to_toml};
use narrows::{Fit, Model, Result};

use crate::draw::pictures::{self, TILE_SIDE, Weights};
use crate::draw::{Figure, bars, curves, decoded, profiles, scatter};
use crate::html::Document;
use crate::page::Page;
use crate::{pretraining, starts};

/// Number of rows shown beside their reconstructions.
const EXAMPLES: usize = 10;

/// With fewer held-out rows than this, the chart of the codes shows training rows.
const FEW_ROWS: usize = 1000;

/// Largest number of training rows in the chart of the codes.
const TRAINING_CODES: usize = 10_000;

/// The page of a fit, see [`fit_page`](crate::fit_page).
pub(crate) fn page(
    recipe: &str,
    fit: &Fit,
    summary: &ReconstructionSummary,
    training: &Dataset<'_>,
    held_out: &Dataset<'_>,
    baseline: Option<&RandomBaseline>,
) -> Result<Page> {
    let model = &fit.model;
    let loss = model.recipe().loss().title();
    let title = format!("{recipe} on {}", training.name);
    let mut page = Document::new("Narrows report", &title, &summary.verdict);
    page.figure(examples(model, training, held_out)?);
    page.facts(&facts(fit, summary, training, held_out));
    page.figure(bars::comparison(&baselines(recipe, model, summary)));
    page.figure(curves::loss("loss", &fit.history, loss, summary.evaluation.bce_floor, fit.kept_epoch()));
    page.figure(model.pca().and_then(|pca| bars::spectrum(&pca.explained_variance_ratio())));
    page.figure(codes(fit, training, held_out)?);
    page.figure(weights(model));
    page.figure(decoded::images(model, &fit.held_out_codes)?);
    if let Some(baseline) = baseline {
        starts::section(&mut page, baseline, recipe);
    }
    page.layers(&model.table());
    let settings = match model.recipe() {
        Recipe::Autoencoder(network) => network.pretrain.as_ref(),
        Recipe::Pca(_) | Recipe::Classifier(_) => None,
    };
    pretraining::sections(&mut page, &fit.pretraining, settings, model.shape());
    page.recipe("Recipe", &to_toml(&fit.recipe));
    if let Some(found) = Elimination::of(model) {
        page.add_file("eliminated.csv".to_owned(), found.to_csv().into_bytes());
    }
    Ok(page.finish())
}

/// The first held-out rows beside their reconstructions: images on the model's scale, flat rows in their own units.
fn examples(model: &Model, training: &Dataset<'_>, held_out: &Dataset<'_>) -> Result<Option<Figure>> {
    let shown: Vec<usize> = (0..EXAMPLES.min(held_out.rows.rows())).collect();
    let mut shown = model.reconstruct_scaled(&*held_out.rows, &shown)?;
    let shape = model.shape();
    if shape.is_image() {
        let noisy = noise(model).map(|_| &shown.inputs[..]);
        return Ok(pictures::reconstructions(shape, &shown.rows, noisy, &shown.outputs));
    }
    model.unscale(&mut shown.rows);
    model.unscale(&mut shown.outputs);
    let names = training.columns.as_deref().unwrap_or_default();
    Ok(profiles::profiles(shape.len(), &shown.rows, &shown.outputs, names))
}

/// The squared error per row of the baselines, and of the model.
fn baselines(recipe: &str, model: &Model, summary: &ReconstructionSummary) -> Vec<(String, f64)> {
    let baselines = &summary.baselines;
    let components = baselines.pca_components.unwrap_or(model.code_shape().len());
    // On noisy rows each baseline has the size with the least error.
    let linear = match noise(model) {
        Some(_) => "linear".to_owned(),
        None => format!("linear-{components}"),
    };
    let mut errors = vec![("mean".to_owned(), baselines.mean), (linear, baselines.linear)];
    // A PCA is its own baseline.
    if model.pca().is_none() {
        errors.push((format!("PCA-{components}"), baselines.pca));
    }
    errors.push((format!("this model ({recipe})"), summary.evaluation.squared_error_per_row));
    errors
}

/// Rows in the plane of two code units. With few held-out rows the training rows are drawn. None for codes of one number.
fn codes(fit: &Fit, training: &Dataset<'_>, held_out: &Dataset<'_>) -> Result<Option<Figure>> {
    let model = &fit.model;
    let code_size = model.code_shape().len();
    if code_size < 2 {
        return Ok(None);
    }
    let first_rows = |labels: &Option<Labels>, codes: &[f32]| {
        let rows: Vec<usize> = (0..codes.len() / code_size).collect();
        labels.as_ref().map(|labels| labels.select(&rows))
    };
    let drawn;
    let (codes, labels) = if held_out.rows.rows() < FEW_ROWS {
        let rows = (0..training.rows.rows().min(TRAINING_CODES)).collect();
        drawn = model.encode(training.select(rows))?.into_values().into_f32();
        (&drawn, first_rows(&training.labels, &drawn))
    } else {
        (&fit.held_out_codes, first_rows(&held_out.labels, &fit.held_out_codes))
    };
    let column = |unit: usize| codes.iter().copied().skip(unit).step_by(code_size).collect::<Vec<f32>>();
    let (first, second) = active_units(codes, code_size);
    let unit = if model.pca().is_some() { "component" } else { "code unit" };
    let axes = [first, second].map(|number| format!("{unit} {}", number + 1));
    let axes = [&*axes[0], &*axes[1]];
    Ok(scatter::codes(&column(first), &column(second), axes, labels.as_ref()))
}

/// The first two code units that are not dead.
fn active_units(codes: &[f32], width: usize) -> (usize, usize) {
    let is_active = |unit: usize| {
        let mut column = codes.iter().skip(unit).step_by(width);
        let first = column.next();
        column.any(|value| Some(value) != first)
    };
    let mut units = (0..width).filter(|&unit| is_active(unit));
    let first = units.next().unwrap_or(0);
    let second = units.next().unwrap_or(if first == 0 { 1.min(width - 1) } else { 0 });
    (first, second)
}

/// The numbers of the page.
fn facts(
    fit: &Fit,
    summary: &ReconstructionSummary,
    training: &Dataset<'_>,
    held_out: &Dataset<'_>,
) -> Vec<(String, String)> {
    let model = &fit.model;
    let shape = model.shape();
    let found = &summary.evaluation;
    let loss = model.recipe().loss().title();
    let mut facts = Vec::new();
    let mut add = |name: &str, value: String| facts.push((name.to_owned(), value));
    add("Training rows", format!("{} ({})", summary.training_rows, training.name));
    add("Held-out rows", format!("{} ({})", found.rows, held_out.name));
    add("Row", format!("{} numbers ({shape})", shape.len()));
    add("Code", code(model));
    add("Parameters", model.parameter_count().to_string());
    if let Some(noise) = noise(model) {
        add("Noise", format!("{noise}; errors are those against the clean rows"));
    }
    if summary.epochs > 0 {
        add("Epochs", pretraining::epochs(summary.epochs, fit.kept_epoch()));
    }
    add(&format!("{loss}, training"), format!("{:.5}", summary.train_loss));
    add(&format!("{loss}, held out"), format!("{:.5}", found.loss));
    if let (Some(bce), Some(floor)) = (found.bce, found.bce_floor) {
        add("Least possible BCE", format!("{floor:.5} (above it: {:.5})", bce - floor));
    }
    add("Squared error per row", format!("{:.4}", found.squared_error_per_row));
    add("Squared error per number", format!("{:.6}", found.mse));
    add("Explained variance", format!("{:.2} %", found.explained_variance * 100.0));
    let units = if model.code_shape().is_image() { "Dead code channels" } else { "Dead code units" };
    add(units, format!("{} of {}", found.dead_units, model.code_units()));
    if let Some(activity) = found.mean_activity {
        add("Mean size of a code's numbers", format!("{activity:.4}"));
    }
    if let Some(divergence) = found.divergence {
        add("Divergence of a code from the standard normal", format!("{divergence:.3} nats"));
        if let Some(bce) = found.bce {
            // Kingma and Welling 2014; the expectation over codes is taken at the mean code.
            let bound = -(bce * shape.len() as f64 + divergence);
            add("Evidence lower bound, with the mean code", format!("{bound:.2} nats"));
        }
    }
    if let Some(found) = Elimination::of(model) {
        add(&format!("Eliminated weights (below {ELIMINATED})"), found.to_string());
        for (name, gone, all) in &found.layers {
            add(&format!("of {name}"), format!("{gone} of {all}"));
        }
    }
    facts
}

/// The size of a code in words.
fn code(model: &Model) -> String {
    let shape = model.code_shape();
    let image = if shape.is_image() { format!(" ({shape})") } else { String::new() };
    let larger = if shape.len() > model.shape().len() { ", more than a row has" } else { "" };
    format!("{} numbers{image}{larger}", shape.len())
}

/// The noise on the input of a denoising network, in words.
fn noise(model: &Model) -> Option<String> {
    let titles: Vec<String> = model.noise().iter().map(|noise| noise.kind.title()).collect();
    (!titles.is_empty()).then(|| titles.join(", "))
}

/// The weights next to the rows as images. None where there are none, or images of their channels cannot be drawn.
fn weights(model: &Model) -> Option<Figure> {
    let WeightImages { of, shape, images, .. } = model.weight_images()?;
    if !shape.is_grey_or_colour() {
        return None;
    }
    let called = match of {
        WeightsOf::Component => ["component", "components"],
        WeightsOf::CodeUnit => ["code unit", "code units"],
        WeightsOf::Unit => ["unit of the first layer", "units of the first layer"],
        WeightsOf::Kernel => ["kernel of the first layer", "kernels of the first layer"],
        _ => return None,
    };
    let count = images.len().checked_div(shape.len())?;
    pictures::weights("weights", &Weights { shape, images: &images, count, called, what: "" }, TILE_SIDE)
}
