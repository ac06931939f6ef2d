//! What is printed: tables and lines of JSON on standard output, progress on standard error.

pub mod baseline;
pub mod classifier;
mod columns;
pub mod comparison;
pub mod fit;
pub mod progress;
pub mod table;

use narrows::train::pretrain::PretrainedLayer;
use narrows::{Compute, Model};

/// The SIMD level and the threads, as a table says them.
pub fn compute(compute: Compute) -> String {
    let threads = compute.threads();
    format!("{threads} thread{}, {}", if threads == 1 { "" } else { "s" }, compute.simd())
}

/// What a table calls the units of a code that are the same for every row.
pub fn dead_units(model: &Model) -> &'static str {
    if model.code_shape().is_image() { "dead code channels" } else { "dead code units" }
}

/// A pre-trained layer in a table.
pub fn layer_text(layer: &PretrainedLayer) -> String {
    let (inputs, units) = layer.widths;
    let end = layer.kept().map_or_else(String::new, |record| {
        format!(", {} {:.4} held out", layer.loss_name, record.held_out_loss)
    });
    let dead = layer.dead_units().map_or_else(String::new, |dead| format!(", {dead} of {units} units dead"));
    format!("{inputs}-{units}: {:.1} s, {} epochs{end}{dead}", layer.seconds, layer.history.len())
}
