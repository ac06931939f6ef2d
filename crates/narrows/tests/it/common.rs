//! What several tests of the library need.
#![allow(dead_code, reason = "each test uses a part")]

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use narrows::data::{Dataset, Labels, Number, OpenOptions, Shape, Table};
use narrows::fit::{CheckpointOptions, Resume};
use narrows::model::metrics::{
    Classification, ClassificationSummary, Evaluation, Reconstruction, ReconstructionSummary,
};
use narrows::recipe::RecipeFile;
use narrows::{Compute, Event, Fit, FitOptions, HeldOut, Model, Pca, Recipe, Result};

pub fn open(name: &str) -> Dataset<'static> {
    let built_in = narrows_datasets::open(name);
    built_in.unwrap_or_else(|| narrows::data::open(name, &OpenOptions::default())).unwrap()
}

// ----------------------------------------------------------------------------------------------------------- recipes

/// A built-in recipe with some fields set.
pub fn recipe(name: &str, settings: &[&str]) -> Recipe {
    try_recipe(name, settings).unwrap()
}

pub fn try_recipe(name: &str, settings: &[&str]) -> Result<Recipe> {
    let mut recipe = RecipeFile::open(name)?;
    settings.iter().try_for_each(|setting| recipe.set(setting))?;
    recipe.recipe()
}

/// A recipe from the text of its file.
pub fn parse(text: &str) -> Recipe {
    RecipeFile::parse("test", "test", text).and_then(|recipe| recipe.recipe()).unwrap()
}

// -------------------------------------------------------------------------------------------------------------- fits

/// Fits with two threads.
pub fn try_fit(recipe: &Recipe, training: &Dataset<'_>, held_out: &Dataset<'_>) -> Result<Fit> {
    narrows::fit(recipe, training, options(held_out, 2))
}

pub fn fit(recipe: &Recipe, training: &Dataset<'_>, held_out: &Dataset<'_>) -> Fit {
    try_fit(recipe, training, held_out).unwrap()
}

pub fn fit_on(threads: usize, recipe: &Recipe, training: &Dataset<'_>, held_out: &Dataset<'_>) -> Fit {
    narrows::fit(recipe, training, options(held_out, threads)).unwrap()
}

pub fn options<'a>(held_out: &'a Dataset<'a>, threads: usize) -> FitOptions<'a> {
    FitOptions {
        held_out: HeldOut::Rows(held_out),
        compute: Compute::with_threads(threads),
        ..FitOptions::default()
    }
}

/// Fits with checkpoints beside `model`, stopped after `stop` epochs.
pub fn fit_with_checkpoints(
    recipe: &Recipe,
    (training, held_out): &(Dataset<'_>, Dataset<'_>),
    model: &Path,
    resume: bool,
    stop: usize,
) -> Result<Fit> {
    let resume = if resume { Resume::Required } else { Resume::Never };
    let mut watch = |event: &Event| match event {
        Event::Epoch(record) if record.epoch == stop => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let options = FitOptions {
        checkpoints: Some(CheckpointOptions { beside: model, resume }),
        watch: Some(&mut watch),
        ..options(held_out, 2)
    };
    narrows::fit(recipe, training, options)
}

/// The summary of a PCA or an autoencoder.
#[track_caller]
pub fn reconstruction(fit: &Fit) -> &ReconstructionSummary {
    fit.summary().expect("evaluated").reconstruction().expect("no classifier")
}

/// The summary of a classifier.
#[track_caller]
pub fn classification(fit: &Fit) -> &ClassificationSummary {
    fit.summary().expect("evaluated").classification().expect("a classifier")
}

/// The metrics of a PCA or an autoencoder on rows.
#[track_caller]
pub fn evaluate(model: &Model, rows: &Dataset<'_>) -> Reconstruction {
    match model.evaluate(rows).unwrap() {
        Evaluation::Reconstruction(found) => found,
        Evaluation::Classification(_) => panic!("a classifier"),
    }
}

/// The metrics of a classifier on rows.
#[track_caller]
pub fn classify(model: &Model, rows: &Dataset<'_>) -> Classification {
    match model.evaluate(rows).unwrap() {
        Evaluation::Classification(found) => found,
        Evaluation::Reconstruction(_) => panic!("no classifier"),
    }
}

// --------------------------------------------------------------------------------------------------- parts of a model

/// All parameters of a network.
pub fn parameters(model: &Model) -> Vec<f32> {
    model.parameters().flat_map(|parameter| parameter.values.iter().copied()).collect()
}

/// A parameter of a network by its name.
#[track_caller]
pub fn parameter<'a>(model: &'a Model, name: &str) -> &'a [f32] {
    model.parameters().find(|parameter| parameter.name == name).unwrap_or_else(|| panic!("{name}")).values
}

#[track_caller]
pub fn pca(model: &Model) -> &Pca {
    model.pca().expect("a PCA")
}

// -------------------------------------------------------------------------------------------------------------- rows

/// Rows of one shape from their numbers.
pub fn made<T: Number>(numbers: Vec<T>, shape: Shape) -> Dataset<'static> {
    Dataset::new("made", Arc::new(Table::new(T::values(numbers), shape).unwrap()))
}

/// Every `step`-th row, `count` of them.
pub fn some_rows<'a>(dataset: &Dataset<'a>, count: usize, step: usize) -> Dataset<'a> {
    dataset.select((0..count).map(|row| row * step).collect())
}

/// The same rows with other labels, or none.
pub fn labelled<'a>(dataset: &Dataset<'a>, labels: Option<Labels>) -> Dataset<'a> {
    Dataset { labels, ..dataset.clone() }
}

pub fn values(dataset: &Dataset<'_>) -> Vec<f64> {
    let mut out = vec![0.0; dataset.rows.rows() * dataset.rows.shape().len()];
    dataset.rows.read_f64(0, &mut out).unwrap();
    out
}

/// The numbers of a table in double precision.
pub fn wide(table: Table) -> Vec<f64> {
    table.into_values().into_f64()
}
