//! Data sets as the options say: built in or a file, and the held-out split.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use anyhow::Context;
use narrows::base::text::escaped;
use narrows::data::{Kind, OpenOptions, TableOptions, hold_out};
use narrows::recipe::TableSection;
use narrows::{Compute, Dataset, Error, Result, Shape};

use narrows_files::{FileOptions, Fit};

use super::files;
use crate::arguments::{Answer, ComputeOptions, DataOptions, HeldOutOptions, PictureFit};

/// The share of rows held out by default.
pub const HELD_OUT: f64 = 0.1;

/// Opens a data set: a built-in one, a file or a pattern of files. `./mnist` is a file, `mnist` is built in.
pub fn open(name: &OsStr, options: &DataOptions) -> Result<Dataset<'static>> {
    open_names(&[name.to_owned()], options)
}

fn open_names(names: &[OsString], options: &DataOptions) -> Result<Dataset<'static>> {
    let options = file_options(options)?;
    if let [name] = names
        && let Some(built_in) =
            name.to_str().and_then(|name| narrows_datasets::open_with(name, &options.open))
    {
        return built_in;
    }
    for name in names {
        let text = name.to_string_lossy();
        let is_pattern = text.contains(['*', '?']);
        if text != "-" && !is_pattern && matches!(Path::new(name).try_exists(), Ok(false)) {
            return Err(no_such_data(&text));
        }
    }
    files::open(names, &options)
}

/// Opens the data set of several names: the files make one table.
pub fn open_all(names: &[OsString], options: &DataOptions) -> anyhow::Result<Dataset<'static>> {
    match names {
        [] => anyhow::bail!("no data: name the training rows after the recipe"),
        names => Ok(open_names(names, options)?),
    }
}

/// The options, and what the section `[table]` of a recipe says where they say nothing.
pub fn with_section(options: &DataOptions, section: TableSection) -> DataOptions {
    let TableSection { columns, drop, id, label_column, kinds, .. } = section;
    let or =
        |chosen: &Vec<String>, section: Vec<String>| if chosen.is_empty() { section } else { chosen.clone() };
    let options = options.clone();
    let label_column =
        options.label_column.clone().or(label_column.filter(|_| options.labels_file.is_none()));
    // A kind that is chosen on the command line comes last, and counts.
    let kind =
        kinds.iter().map(|(column, kind)| format!("{column}={}", kind.name())).chain(options.kind.clone());
    DataOptions {
        columns: or(&options.columns, columns),
        drop: or(&options.drop, drop),
        id: or(&options.id, id),
        kind: kind.collect(),
        label_column,
        ..options
    }
}

/// The options of the readers.
fn file_options(options: &DataOptions) -> Result<files::Options> {
    let DataOptions { shape, label_column, labels_file, columns, drop, id, kind, header, .. } = options;
    let kinds = kind.iter().map(|choice| match choice.rsplit_once('=') {
        Some((column, kind)) => {
            Ok((column.to_owned(), Kind::parse(kind).map_err(|error| error.at("--kind"))?))
        }
        None => Err(Error::data(format!(
            "--kind: `{}`: expected COLUMN=KIND, such as zip=category",
            escaped(choice)
        ))),
    });
    let open = OpenOptions {
        shape: shape.as_deref().map(Shape::parse).transpose()?,
        label_column: label_column.clone(),
        labels_file: labels_file.clone(),
        header: header.map(|header| header == Answer::Yes),
        table: TableOptions {
            columns: (!columns.is_empty()).then(|| columns.clone()),
            drop: drop.clone(),
            identifiers: id.clone(),
            kinds: kinds.collect::<Result<_>>()?,
        },
        ..OpenOptions::default()
    };
    let memory = options.memory.as_deref().map(bytes_of).transpose()?;
    let size = options.size.as_deref().map(Shape::parse).transpose()?.map(|shape| match shape.is_image() {
        true => (shape.height, shape.width),
        false => (shape.len(), shape.len()),
    });
    let fit = match options.picture_fit {
        None | Some(PictureFit::Crop) => Fit::Crop,
        Some(PictureFit::Pad) => Fit::Pad,
        Some(PictureFit::Stretch) => Fit::Stretch,
    };
    // Columns that name the rows or their classes are read, too, where only some are used.
    let read = columns.iter().chain(id).chain(label_column).cloned().collect();
    let by_name = |names: &[String]| names.iter().all(|name| name.parse::<usize>().is_err());
    let files = FileOptions {
        columns: (!columns.is_empty() && by_name(columns)).then_some(read),
        drop: if by_name(drop) { drop.clone() } else { Vec::new() },
        memory,
        array: options.array.clone(),
        size,
        grey: options.grey,
        fit,
    };
    Ok(files::Options { open: OpenOptions { memory, ..open }, files })
}

/// The bytes of a size such as 2GB, 512MB or 1.5GiB.
fn bytes_of(text: &str) -> Result<u64> {
    let trimmed = text.trim();
    let digits = trimmed.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let unit: f64 = match trimmed[digits.len()..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" | "kib" => 1024.0,
        "m" | "mb" | "mib" => 1024.0 * 1024.0,
        "g" | "gb" | "gib" => 1024.0 * 1024.0 * 1024.0,
        "t" | "tb" | "tib" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => f64::NAN,
    };
    let bytes = digits.parse::<f64>().unwrap_or(f64::NAN) * unit;
    if (1.0..1e18).contains(&bytes) {
        return Ok(bytes as u64);
    }
    Err(Error::data(format!("--memory: `{}`: expected a size such as 2GB or 500MB", escaped(text))))
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
    data: &[OsString],
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
            None => {
                let held_out = open(text, &options)?.matched_to(&dataset)?;
                Ok((dataset, held_out))
            }
        },
        None => match data.first().and_then(|data| narrows_datasets::default_held_out(data.to_str()?)) {
            Some(name) => Ok((dataset, open(name.as_ref(), &options)?)),
            None => Ok(hold_out(&dataset, HELD_OUT, seed)?),
        },
    }
}

/// The threads that were asked for, or all processors.
pub fn compute(options: &ComputeOptions) -> Compute {
    options.threads.map_or_else(Compute::default, |threads| Compute::with_threads(usize::from(threads)))
}
