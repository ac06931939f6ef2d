//! Files of data as the options say: one or several, by names or patterns, of all kinds that are read.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use narrows::data::{EncodedTable, OpenOptions, read_labels};
use narrows::{Dataset, Error, Result};
use narrows_files::{FileOptions, Opened, ReadDataset, ReadFrame, concatenate, find, recognise};

/// Options of files that the library itself does not read.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Of text, arrays and tables.
    pub open: OpenOptions,
    /// Of Parquet, Arrow, NPZ and pictures.
    pub files: FileOptions,
}

/// Opens files, of which several make one table.
pub fn open(names: &[OsString], options: &Options) -> Result<Dataset<'static>> {
    // What is no pattern is left to the readers, which know why it cannot be opened.
    let paths = find(&names.iter().map(PathBuf::from).collect::<Vec<_>>())?;
    match &paths[..] {
        [path] => open_one(path, options),
        paths => open_several(paths, options),
    }
}

fn open_one(path: &Path, options: &Options) -> Result<Dataset<'static>> {
    let place = path.display().to_string();
    let name = path.file_name().map_or_else(|| place.clone(), |name| name.to_string_lossy().into_owned());
    if place == "-" || recognise(path)?.is_none() {
        return narrows::data::open(path, &options.open);
    }
    match narrows_files::open(path, &options.files)? {
        None => narrows::data::open(path, &options.open),
        Some(Opened::Frame(found)) => of_frame(&place, name, found, options),
        Some(Opened::Dataset(found)) => of_dataset(&place, name, found, options),
    }
}

/// A table, its columns encoded.
fn of_frame(place: &str, name: String, found: ReadFrame, options: &Options) -> Result<Dataset<'static>> {
    let ReadFrame { frame, notes } = found;
    let open = OpenOptions { table: remaining(options, &frame.columns), ..options.open.clone() };
    let dataset = Dataset::from_frame(name, frame, &open).map_err(|error| error.at(place))?;
    let notes = notes.into_iter().chain(dataset.notes.iter().cloned()).collect();
    with_labels(Dataset { notes, ..dataset }, &options.open)
}

/// The choices about columns without those that the reader of the file has obeyed already.
fn remaining(options: &Options, columns: &[narrows::data::FrameColumn]) -> narrows::data::TableOptions {
    let is_there = |wanted: &String| {
        let is_number = wanted.parse::<usize>().is_ok_and(|number| number <= columns.len());
        is_number || columns.iter().any(|column| column.name.as_ref() == Some(wanted))
    };
    let mut table = options.open.table.clone();
    if options.files.columns.is_some() {
        table.columns = None;
    }
    if !options.files.drop.is_empty() {
        table.drop.retain(is_there);
    }
    table
}

/// An array or pictures.
fn of_dataset(place: &str, name: String, found: ReadDataset, options: &Options) -> Result<Dataset<'static>> {
    let ReadDataset { dataset, notes, .. } = found;
    if options.open.label_column.is_some() {
        return Err(Error::data(format!(
            "{place}: `label_column` names a column of a table, and this has none"
        )));
    }
    let mut dataset = Dataset { name, notes, ..dataset };
    if let Some(shape) = options.open.shape {
        dataset = dataset.reshaped(shape).map_err(|error| error.at(place))?;
    }
    with_labels(dataset, &options.open)
}

/// The labels of a file beside the rows.
fn with_labels(dataset: Dataset<'static>, options: &OpenOptions) -> Result<Dataset<'static>> {
    match &options.labels_file {
        Some(path) => {
            let labels = read_labels(path, dataset.rows.rows())?;
            dataset.with_labels(labels)
        }
        None => Ok(dataset),
    }
}

/// Several tables with the same columns as one.
fn open_several(paths: &[PathBuf], options: &Options) -> Result<Dataset<'static>> {
    let read = |path: &Path, count: usize| {
        let place = path.display();
        let memory = options.files.memory.map(|memory| memory / count.max(1) as u64);
        let files = FileOptions { memory, ..options.files.clone() };
        if recognise(path)?.is_some() {
            return match narrows_files::open(path, &files)? {
                Some(Opened::Frame(found)) => Ok(found),
                _ => Err(Error::data(format!("{place}: only tables are read together, and this is none"))
                    .hint("one file at a time, or pictures in one folder")),
            };
        }
        let dataset = narrows::data::open(path, &OpenOptions { labels_file: None, ..options.open.clone() })?;
        let Dataset { table, notes, .. } = dataset;
        match table {
            Some(EncodedTable { frame, .. }) => Ok(ReadFrame { frame, notes }),
            None => Err(Error::data(format!("{place}: only tables are read together, and this is an array"))
                .hint("one file at a time")),
        }
    };
    let found = concatenate(paths, read)?;
    let [first, .., last] = paths else { return Err(Error::data("no file")) };
    let short = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = format!("{}..{}", short(first), short(last));
    of_frame(&name.clone(), name, found, options)
}
