//! `narrows data`

use std::process::ExitCode;

use narrows::data::Element;

use crate::arguments::DataArguments;
use crate::output;

/// Rows looked at for the range of the numbers, at a time.
const BLOCK: usize = 256;

/// Lists the built-in data sets, or describes one data set.
pub fn run(arguments: &DataArguments) -> anyhow::Result<ExitCode> {
    let Some(name) = &arguments.name else {
        let rows: Vec<_> = narrows_datasets::list()
            .iter()
            .map(|info| (info.name.to_owned(), info.description.to_owned()))
            .collect();
        output::pairs(&rows)?;
        output::line("\nOr a file: .idx (MNIST's format), .npy, .csv, .tsv, gzipped or not.")?;
        return Ok(ExitCode::SUCCESS);
    };
    let dataset = super::open(name, &arguments.data_options)?;
    let rows = &*dataset.rows;
    let shape = rows.shape();
    let element = match rows.element() {
        Element::U8 => "bytes",
        Element::F32 => "single precision",
        Element::F64 => "double precision",
    };
    let (mut low, mut high, mut sum) = (f64::INFINITY, f64::NEG_INFINITY, 0.0);
    let mut buffer = Vec::new();
    for start in (0..rows.rows()).step_by(BLOCK) {
        let indices: Vec<usize> = (start..(start + BLOCK).min(rows.rows())).collect();
        buffer.resize(indices.len() * shape.len(), 0.0);
        rows.read_f64(&indices, &mut buffer);
        for &value in &buffer {
            low = low.min(value);
            high = high.max(value);
            sum += value;
        }
    }
    let mean = sum / (rows.rows() * shape.len()) as f64;
    let mut pairs = vec![
        ("name".to_owned(), dataset.name.clone()),
        ("rows".to_owned(), rows.rows().to_string()),
        ("row".to_owned(), format!("{} numbers ({shape}), {element}", shape.len())),
        ("range".to_owned(), format!("{low} to {high}, mean {mean:.6}")),
    ];
    if let Some(labels) = &dataset.labels {
        let mut counts = vec![0usize; labels.names.len()];
        labels.classes.iter().for_each(|&class| counts[class as usize] += 1);
        let classes: Vec<_> =
            labels.names.iter().zip(&counts).map(|(name, count)| format!("{name} ({count})")).collect();
        pairs.push(("classes".to_owned(), classes.join(", ")));
    }
    if let Some(columns) = &dataset.columns {
        pairs.push(("columns".to_owned(), columns.join(", ")));
    }
    output::pairs(&pairs)?;
    Ok(ExitCode::SUCCESS)
}
