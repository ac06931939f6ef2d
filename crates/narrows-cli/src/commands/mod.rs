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

use narrows::compute::Compute;
use narrows::data::{Dataset, OpenOptions, Shape};
use narrows::model::Model;

use crate::arguments::{ComputeOptions, DataOptions};

/// Opens a data set as the options say.
fn open(name: &str, options: &DataOptions) -> narrows::Result<Dataset<'static>> {
    let shape = options.shape.as_deref().map(Shape::parse).transpose()?;
    let options = OpenOptions { label: options.label.clone(), labels: options.labels.clone(), shape };
    narrows::data::open(name, &options)
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
