//! What is printed: tables and lines of JSON on standard output, progress on standard error.

pub mod baseline;
pub mod classifier;
pub mod comparison;
pub mod fit;
pub mod progress;
pub mod table;

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
