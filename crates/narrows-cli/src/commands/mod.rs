//! One file for each verb, and what several of them need.

pub mod apply;
pub mod classifier;
pub mod compare;
pub mod data;
mod done;
pub mod evaluate;
pub mod fit;
mod progress;
pub mod recipes;
pub mod reproduce;
pub mod show;
pub mod split;
mod twin;

use std::path::Path;

use narrows::compute::Compute;
use narrows::data::{Dataset, OpenOptions, Shape};
use narrows::error::{Error, Result};
use narrows::model::Model;

use crate::arguments::{ComputeOptions, DataOptions};

/// Opens a data set as the options say: a built-in one, or a file. `./mnist` is a file, `mnist` is built in.
fn open(name: &str, options: &DataOptions) -> Result<Dataset> {
    let shape = options.shape.as_deref().map(Shape::parse).transpose()?;
    let options = OpenOptions { label: options.label.clone(), labels: options.labels.clone(), shape };
    match narrows_datasets::open_with(name, &options) {
        Some(built_in) => built_in,
        None if matches!(Path::new(name).try_exists(), Ok(false)) => Err(no_such_data(name)),
        None => narrows::data::open(name, &options),
    }
}

/// The error for a name that is neither a built-in data set nor a file.
fn no_such_data(name: &str) -> Error {
    let error = Error::data(format!("{name}: no such file, and no built-in data of this name"));
    let names = narrows_datasets::names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let near = narrows_datasets::names()
        .map(|known| (strsim::damerau_levenshtein(&name.to_lowercase(), known), known))
        .min()
        .filter(|&(distance, _)| distance <= 2);
    error.hint(match near {
        Some((_, near)) => format!("did you mean `{near}`? Built in are {names}"),
        None => format!("built in are {names}"),
    })
}

fn compute(options: &ComputeOptions) -> Compute {
    Compute::new(options.threads.map(usize::from))
}

/// With what something was computed, as a table says it.
fn compute_text(compute: Compute) -> String {
    let threads = compute.threads;
    format!("{threads} thread{}, {}", if threads == 1 { "" } else { "s" }, compute.level.name())
}

/// What a table calls the units of a code that say the same of every row.
fn dead_units_name(model: &Model) -> &'static str {
    if model.code_shape().is_image() { "dead code channels" } else { "dead code units" }
}
