//! Missing values, filled by a PCA: the program that `bench/impute.py` measures.
//!
//! `impute ROWS COLUMNS COMPONENTS OUT`: the file ROWS has numbers in double precision (little endian), row after row, with NaN where
//! one is missing; OUT gets them filled. COMPONENTS of 0 leaves the number to the recipe.

// Its output is read at once and thrown away.
#![allow(clippy::disallowed_methods)]

use std::error::Error;
use std::time::Instant;

use narrows::data::Values;
use narrows::{Dataset, FitOptions, HeldOut, Recipe, Shape, Table};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [rows, columns, components, out] = &arguments[..] else {
        return Err("impute ROWS COLUMNS COMPONENTS OUT".into());
    };
    let bytes = std::fs::read(rows)?;
    let numbers = bytes.as_chunks::<8>().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect();
    let table = Table::with_missing(Values::F64(numbers), Shape::flat(columns.parse()?))?;
    let recipe = Recipe::open("pca")?.with("scale", "standard")?;
    let recipe = match components.parse::<i64>()? {
        0 => recipe,
        count => recipe.with("code_size", count)?,
    };
    let held_out = Dataset::from(&table);
    let options = FitOptions { held_out: HeldOut::Rows(&held_out), ..FitOptions::default() };
    let fit = narrows::fit(&recipe, &table, options)?;
    let started = Instant::now();
    let filled = fit.model.impute(&table)?;
    let seconds = started.elapsed().as_secs_f64();
    if let Some(gaps) = &fit.gaps {
        println!(
            "{{\"fit_seconds\": {}, \"impute_seconds\": {seconds}, \"sweeps\": {}, \"patterns\": {}, \"converged\": {}}}",
            fit.seconds, gaps.sweeps, gaps.patterns, gaps.converged
        );
    }
    let bytes: Vec<u8> =
        filled.rows.into_values().into_f64().iter().flat_map(|value| value.to_le_bytes()).collect();
    std::fs::write(out, bytes)?;
    Ok(())
}
