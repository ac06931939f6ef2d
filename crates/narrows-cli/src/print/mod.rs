//! What is printed: tables and lines of JSON on standard output, progress and messages on standard error.
//!
//! `stdout` and `stderr` are the only writers of these. They print control characters of names and texts as escapes.

pub mod baseline;
pub mod classifier;
mod columns;
pub mod comparison;
pub mod dataset;
pub mod fit;
mod json;
pub mod progress;
pub mod stderr;
pub mod stdout;
pub mod table;

use narrows::train::pretrain::PretrainedLayer;
use narrows::{Compute, Model};

/// The SIMD level and the threads, as a table says them.
pub fn compute(compute: Compute) -> String {
    let threads = compute.threads();
    format!("{threads} thread{}, {}", if threads == 1 { "" } else { "s" }, compute.simd())
}

/// A number with so many decimals.
pub fn fixed(value: f64, decimals: usize) -> String {
    if value.is_finite() { format!("{value:.decimals$}") } else { "not finite".to_owned() }
}

/// A number with all its digits, of which a tiny or a huge one has no zeros.
pub fn exact(value: f64) -> String {
    if value == 0.0 || (1e-5..1e16).contains(&value.abs()) { value.to_string() } else { format!("{value:e}") }
}

/// A fraction as a percentage with two decimals.
pub fn percent(fraction: f64) -> String {
    if fraction.is_finite() { narrows::base::text::percent(fraction) } else { "not finite".to_owned() }
}

/// What a table calls the units of a code that are the same for every row.
pub fn dead_units(model: &Model) -> &'static str {
    if model.code_shape().is_image() { "dead code channels" } else { "dead code units" }
}

/// A pre-trained layer in a table.
pub fn layer_text(layer: &PretrainedLayer) -> String {
    let (inputs, units) = layer.widths;
    let end = layer.kept().map_or_else(String::new, |record| {
        format!(", {} {} held out", layer.loss_name, fixed(record.held_out_loss, 4))
    });
    let dead = layer.dead_units().map_or_else(String::new, |dead| format!(", {dead} of {units} units dead"));
    format!("{inputs}-{units}: {:.1} s, {} epochs{end}{dead}", layer.seconds, layer.history.len())
}
