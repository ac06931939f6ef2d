//! What several tests of the library need.
#![allow(dead_code, reason = "each test uses a part")]

use std::sync::Arc;

use narrows::compute::Compute;
use narrows::data::{Dataset, Shape, Subset, Table, Values};
use narrows::fit::Fit;
use narrows::progress::Flow;
use narrows::recipe::file::Recipe;

/// A built-in data set.
pub fn open(name: &str) -> Dataset {
    narrows_datasets::open(name).unwrap().unwrap()
}

/// A built-in recipe with some fields set.
pub fn recipe(name: &str, settings: &[&str]) -> Recipe {
    let mut recipe = Recipe::open(name).unwrap();
    settings.iter().for_each(|setting| recipe.set(setting).unwrap());
    recipe
}

pub fn try_fit(recipe: &Recipe, training: &Dataset, validation: &Dataset) -> narrows::Result<Fit> {
    narrows::fit::fit(&recipe.spec()?, training, validation, Compute::new(Some(2)), &mut |_| Flow::Continue)
}

pub fn fit(recipe: &Recipe, training: &Dataset, validation: &Dataset) -> Fit {
    try_fit(recipe, training, validation).unwrap()
}

pub fn made(values: Vec<f32>, shape: Shape) -> Dataset {
    let rows = Arc::new(Table::new(Values::F32(values), shape).unwrap());
    Dataset { name: "made".into(), rows, labels: None, columns: None }
}

/// Every `step`-th row, `count` of them.
pub fn some_rows(dataset: &Dataset, count: usize, step: usize) -> Dataset {
    let indices: Vec<usize> = (0..count).map(|row| row * step).collect();
    let labels = dataset.labels.as_ref().map(|labels| labels.select(&indices));
    let rows = Arc::new(Subset::new(dataset.rows.clone(), indices));
    Dataset { name: dataset.name.clone(), rows, labels, columns: dataset.columns.clone() }
}

pub fn values(dataset: &Dataset) -> Vec<f64> {
    let n = dataset.rows.rows();
    let mut out = vec![0.0; n * dataset.rows.shape().len()];
    dataset.rows.read_f64(&(0..n).collect::<Vec<_>>(), &mut out);
    out
}
