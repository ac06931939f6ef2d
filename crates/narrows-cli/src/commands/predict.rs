//! `narrows predict`

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use narrows::base::output::OutputFile;
use narrows::data::formats::{csv, npy};
use narrows::{Model, Source};

use super::apply::{Written, no_csv, report_written, write_options};
use crate::arguments::PredictArguments;
use crate::shared::datasets;

/// Writes the class that a classifier predicts for each row, and the probability of each class.
pub fn run(arguments: &PredictArguments) -> anyhow::Result<ExitCode> {
    let extension = arguments.out.extension().map(|name| name.to_string_lossy().to_ascii_lowercase());
    let is_csv = match extension.as_deref() {
        Some("csv") => true,
        Some("npy") => false,
        _ => anyhow::bail!("{}: classes are written as .csv or .npy", arguments.out.display()),
    };
    if arguments.csv.safe_csv && !is_csv {
        return Err(no_csv(&arguments.out).into());
    }
    let labels = arguments.data_options.labels_file.as_deref();
    let inputs: Vec<&Path> =
        [arguments.model.as_path(), Path::new(&arguments.data)].into_iter().chain(labels).collect();
    let output = OutputFile::claim(&arguments.out, &inputs)?;
    let model = Model::open(&arguments.model)?.with_compute(datasets::compute(&arguments.compute));
    let dataset = datasets::open(&arguments.data, &arguments.data_options)?;
    let started = Instant::now();
    let predicted = model.predict(&dataset).map_err(|error| error.at(&dataset.name))?;
    let seconds = started.elapsed().as_secs_f64();
    let (rows, shape) = (predicted.rows(), predicted.shape());
    let probabilities = predicted.into_values().into_f32();
    let names = model.classes().unwrap_or_default();
    let bytes = if is_csv {
        csv::encode_classes(names, &probabilities, write_options(arguments.csv))
    } else {
        npy::encode_f32(rows, &[names.len()], &probabilities)
    };
    output.write(&bytes)?;
    let written = Written { event: "predicted", out: &arguments.out, rows, shape, seconds };
    report_written(&written, arguments.output)
}
