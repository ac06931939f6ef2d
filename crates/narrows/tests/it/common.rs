//! What several tests of the library need.
#![allow(dead_code, reason = "each test uses a part")]

use std::ops::ControlFlow;
use std::sync::Arc;

use narrows::compute::Compute;
use narrows::data::{self, Dataset, OpenOptions, Shape, Subset, Table, Values};
use narrows::fit::Fit;
use narrows::recipe::file::Recipe;

pub fn open(name: &str) -> Dataset<'static> {
    data::open(name, &OpenOptions::default()).unwrap()
}

/// A built-in recipe with some fields set.
pub fn recipe(name: &str, settings: &[&str]) -> Recipe {
    let mut recipe = Recipe::open(name).unwrap();
    settings.iter().for_each(|setting| recipe.set(setting).unwrap());
    recipe
}

pub fn try_fit(recipe: &Recipe, training: &Dataset<'_>, validation: &Dataset<'_>) -> narrows::Result<Fit> {
    narrows::fit::fit(&recipe.spec()?, training, validation, Compute::new(Some(2)), &mut |_| {
        ControlFlow::Continue(())
    })
}

pub fn fit(recipe: &Recipe, training: &Dataset<'_>, validation: &Dataset<'_>) -> Fit {
    try_fit(recipe, training, validation).unwrap()
}

pub fn made(values: Vec<f32>, shape: Shape) -> Dataset<'static> {
    let rows = Arc::new(Table::new(Values::F32(values), shape).unwrap());
    Dataset { name: "made".into(), rows, labels: None, columns: None }
}

/// Every `step`-th row, `count` of them.
pub fn some_rows<'a>(dataset: &Dataset<'a>, count: usize, step: usize) -> Dataset<'a> {
    let indices: Vec<usize> = (0..count).map(|row| row * step).collect();
    let labels = dataset.labels.as_ref().map(|labels| labels.select(&indices));
    let rows = Arc::new(Subset::new(dataset.rows.clone(), indices));
    Dataset { name: dataset.name.clone(), rows, labels, columns: dataset.columns.clone() }
}

pub fn values(dataset: &Dataset<'_>) -> Vec<f64> {
    let n = dataset.rows.rows();
    let mut out = vec![0.0; n * dataset.rows.shape().len()];
    dataset.rows.read_f64(0, &mut out).unwrap();
    out
}
