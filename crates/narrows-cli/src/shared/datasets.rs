//! Data sets as the options say: built in or a file, and the held-out split.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::Context;
use narrows::data::{OpenOptions, hold_out};
use narrows::{Compute, Dataset, Error, Result, Shape};

use crate::arguments::{ComputeOptions, DataOptions, HeldOutOptions};

/// The share of rows held out by default.
pub const HELD_OUT: f64 = 0.1;

/// Opens a data set: a built-in one, a file, or standard input (`-`). `./mnist` is a file, `mnist` is built in.
pub fn open(name: &OsStr, options: &DataOptions) -> Result<Dataset<'static>> {
    let shape = options.shape.as_deref().map(Shape::parse).transpose()?;
    let (label_column, labels_file) = (options.label_column.clone(), options.labels_file.clone());
    let options = OpenOptions { label_column, labels_file, shape, ..OpenOptions::default() };
    match name.to_str().and_then(|name| narrows_datasets::open_with(name, &options)) {
        Some(built_in) => built_in,
        None if name != "-" && matches!(Path::new(name).try_exists(), Ok(false)) => {
            Err(no_such_data(&name.to_string_lossy()))
        }
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

/// The training and the held-out rows: another data set, a share chosen by the seed, or what is usual for the data.
pub fn split(
    data: &OsStr,
    dataset: Dataset<'static>,
    held_out: &HeldOutOptions,
    options: &DataOptions,
    seed: u64,
) -> anyhow::Result<(Dataset<'static>, Dataset<'static>)> {
    let share = |text: &OsStr| text.to_str().and_then(|text| text.parse::<f64>().ok());
    let HeldOutOptions { held_out, held_out_labels } = held_out;
    if held_out_labels.is_some() && held_out.as_deref().is_none_or(|text| share(text).is_some()) {
        anyhow::bail!("--held-out-labels: are those of a data set that --held-out names");
    }
    // The file of labels belongs to the training rows.
    let options = DataOptions { labels_file: held_out_labels.clone(), ..options.clone() };
    match held_out.as_deref() {
        Some(text) => match share(text) {
            Some(share) => hold_out(&dataset, share, seed).context("--held-out"),
            None => Ok((dataset, open(text, &options)?)),
        },
        None => match data.to_str().and_then(narrows_datasets::default_held_out) {
            Some(name) => Ok((dataset, open(name.as_ref(), &options)?)),
            None => Ok(hold_out(&dataset, HELD_OUT, seed)?),
        },
    }
}

/// The threads that were asked for, or all processors.
pub fn compute(options: &ComputeOptions) -> Compute {
    options.threads.map_or_else(Compute::default, |threads| Compute::with_threads(usize::from(threads)))
}
