//! `narrows encode`, `decode`, `reconstruct`: a model applied to rows.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use narrows::data::{Dataset, Shape, Values, csv, npy};
use narrows::error::{Error, Result};
use narrows::model::Model;

use crate::arguments::ApplyArguments;

/// Writes the codes of rows.
pub fn encode(arguments: &ApplyArguments) -> anyhow::Result<ExitCode> {
    let (model, dataset) = open(arguments)?;
    let started = Instant::now();
    let codes = model
        .encode(&*dataset.rows, super::compute(&arguments.compute))
        .map_err(|error| error.at(&dataset.name))?;
    let seconds = started.elapsed().as_secs_f64();
    let shape = model.code_shape();
    let header = (1..=shape.len()).map(|unit| format!("code_{unit}")).collect();
    write(&arguments.out, codes, shape, header, seconds)
}

/// Writes the rows of codes.
pub fn decode(arguments: &ApplyArguments) -> anyhow::Result<ExitCode> {
    let (model, dataset) = open(arguments)?;
    let started = Instant::now();
    let rows = model
        .decode(&*dataset.rows, super::compute(&arguments.compute))
        .map_err(|error| error.at(&dataset.name))?;
    let seconds = started.elapsed().as_secs_f64();
    write(&arguments.out, rows, model.shape, column_names(model.shape), seconds)
}

/// Writes rows encoded and decoded again.
pub fn reconstruct(arguments: &ApplyArguments) -> anyhow::Result<ExitCode> {
    let (model, dataset) = open(arguments)?;
    let started = Instant::now();
    let rows = model
        .reconstruct(&*dataset.rows, super::compute(&arguments.compute))
        .map_err(|error| error.at(&dataset.name))?;
    let seconds = started.elapsed().as_secs_f64();
    let header = dataset.columns.unwrap_or_else(|| column_names(model.shape));
    write(&arguments.out, rows, model.shape, header, seconds)
}

fn open(arguments: &ApplyArguments) -> Result<(Model, Dataset)> {
    // Refused before the work, not after it.
    format_of(&arguments.out)?;
    narrows::durable::probe(&arguments.out)?;
    Ok((Model::open(&arguments.model)?, super::open(&arguments.data, &arguments.data_options)?))
}

fn column_names(shape: Shape) -> Vec<String> {
    (1..=shape.len()).map(|column| format!("column_{column}")).collect()
}

enum Format {
    Npy,
    Csv,
}

fn format_of(path: &Path) -> Result<Format> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("npy") => Ok(Format::Npy),
        Some("csv") => Ok(Format::Csv),
        _ => Err(Error::data(format!("{}: the result is written as .npy or .csv", path.display()))),
    }
}

/// Writes what was found in so many seconds.
fn write(
    path: &Path,
    values: Values,
    shape: Shape,
    header: Vec<String>,
    seconds: f64,
) -> anyhow::Result<ExitCode> {
    let rows = values.len() / shape.len();
    let bytes = match format_of(path)? {
        Format::Npy => {
            let dimensions = shape.dimensions();
            match values {
                Values::F64(values) => npy::encode_f64(rows, &dimensions, &values),
                Values::F32(values) => npy::encode_f32(rows, &dimensions, &values),
                Values::U8(values) => {
                    npy::encode_f32(rows, &dimensions, &values.into_iter().map(f32::from).collect::<Vec<_>>())
                }
            }
        }
        Format::Csv => {
            let values: Vec<f64> = match values {
                Values::F64(values) => values,
                Values::F32(values) => values.into_iter().map(f64::from).collect(),
                Values::U8(values) => values.into_iter().map(f64::from).collect(),
            };
            csv::encode(Some(&header), shape.len(), &values)
        }
    };
    narrows::durable::write(path, &bytes)?;
    eprintln!("wrote {rows} rows of {shape} to {} (computed in {seconds:.3} s)", path.display());
    Ok(ExitCode::SUCCESS)
}
