//! `narrows encode`, `decode`, `reconstruct`: a model applied to rows.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use narrows::data::formats::{csv, npy};
use narrows::data::{Dataset, Shape, Values};
use narrows::error::{Error, Result};
use narrows::model::Model;

use crate::arguments::{ApplyArguments, InterpolateArguments};

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
    write(&arguments.out, codes, &model, shape, header, seconds)
}

/// Writes the rows of codes.
pub fn decode(arguments: &ApplyArguments) -> anyhow::Result<ExitCode> {
    let (model, dataset) = open(arguments)?;
    let started = Instant::now();
    let rows = model
        .decode(&*dataset.rows, super::compute(&arguments.compute))
        .map_err(|error| error.at(&dataset.name))?;
    let seconds = started.elapsed().as_secs_f64();
    write(&arguments.out, rows, &model, model.shape, column_names(model.shape), seconds)
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
    write(&arguments.out, rows, &model, model.shape, header, seconds)
}

/// Writes the rows on the way from one row to another.
pub fn interpolate(arguments: &InterpolateArguments) -> anyhow::Result<ExitCode> {
    let InterpolateArguments { apply, from, to, steps } = arguments;
    let (model, dataset) = open(apply)?;
    let started = Instant::now();
    let compute = super::compute(&apply.compute);
    let (first, last) = (*from as usize - 1, *to as usize - 1);
    let rows = model
        .interpolate(&*dataset.rows, first, last, usize::from(*steps), compute)
        .map_err(|error| error.at(&dataset.name))?;
    let seconds = started.elapsed().as_secs_f64();
    let header = dataset.columns.unwrap_or_else(|| column_names(model.shape));
    write(&apply.out, rows, &model, model.shape, header, seconds)
}

fn open(arguments: &ApplyArguments) -> Result<(Model, Dataset<'static>)> {
    // Refused before the work, not after it.
    let format = format_of(&arguments.out)?;
    narrows::base::atomic_file::probe(&arguments.out)?;
    let model = Model::open(&arguments.model)?;
    if format == Format::Png && !model.shape.is_image() {
        let place = arguments.out.display();
        return Err(Error::data(format!(
            "{place}: the rows of this model are no images: write .npy or .csv"
        )));
    }
    Ok((model, super::open(&arguments.data, &arguments.data_options)?))
}

fn column_names(shape: Shape) -> Vec<String> {
    (1..=shape.len()).map(|column| format!("column_{column}")).collect()
}

#[derive(PartialEq, Eq)]
enum Format {
    Npy,
    Csv,
    Png,
}

/// Images in a row of a picture.
const COLUMNS: usize = 10;

fn format_of(path: &Path) -> Result<Format> {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    match extension.as_deref() {
        Some("npy") => Ok(Format::Npy),
        Some("csv") => Ok(Format::Csv),
        Some("png") => Ok(Format::Png),
        _ => Err(Error::data(format!("{}: the result is written as .npy, .csv or .png", path.display()))),
    }
}

/// Writes what was found in so many seconds.
fn write(
    path: &Path,
    values: Values,
    model: &Model,
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
        Format::Png => {
            // On the scale that the model sees, where 0 is black and 1 is white.
            let mut values = values.into_f64();
            if shape == model.shape {
                model.scaling.apply_f64(&mut values, shape.len());
            }
            let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
            let columns = rows.clamp(1, if rows <= 16 { 16 } else { COLUMNS });
            narrows_report::picture(shape, &values, columns, 0.0, 1.0).ok_or_else(|| {
                Error::data(format!("{}: {rows} rows of {shape} make no picture", path.display()))
            })?
        }
        Format::Csv => {
            let values = values.into_f64();
            csv::encode(Some(&header), shape.len(), &values)
        }
    };
    narrows::base::atomic_file::write(path, &bytes)?;
    eprintln!("wrote {rows} rows of {shape} to {} (computed in {seconds:.3} s)", path.display());
    Ok(ExitCode::SUCCESS)
}
