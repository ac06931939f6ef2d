//! `narrows data`

use std::process::ExitCode;

use narrows::base::text::short_text;
use narrows::data::{ColumnDescription, Element, Statistics};
use narrows::{Dataset, Shape};
use serde::Serialize;

use crate::arguments::DataArguments;
use crate::print::{self, table};
use crate::shared::datasets;

/// Lists the built-in data sets, or describes one data set.
pub fn run(arguments: &DataArguments) -> anyhow::Result<ExitCode> {
    let Some(name) = &arguments.name else { return list(arguments.output.json) };
    let dataset = datasets::open(name, &arguments.data_options)?;
    let found = Description::of(&dataset)?;
    if arguments.output.json {
        table::json(&found)?;
    } else {
        found.print()?;
    }
    Ok(ExitCode::SUCCESS)
}

fn list(json: bool) -> anyhow::Result<ExitCode> {
    #[derive(Serialize)]
    struct Line {
        event: &'static str,
        name: &'static str,
        about: &'static str,
    }
    for info in narrows_datasets::list().iter().filter(|_| json) {
        table::json(&Line { event: "data", name: info.name, about: info.description })?;
    }
    if !json {
        let pairs: Vec<_> = narrows_datasets::list()
            .iter()
            .map(|info| (info.name.to_owned(), info.description.to_owned()))
            .collect();
        table::pairs(&pairs)?;
        table::line(
            "\nOr a file: .csv, .tsv, .txt, .jsonl, .parquet, .arrow, .npy, .npz, .idx (MNIST's format), packed with gzip or zstd or not;\na folder of pictures; several tables as one by a pattern ('part-*.parquet'); standard input (-).",
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A data set in a few numbers.
#[derive(Serialize)]
struct Description<'a> {
    event: &'static str,
    name: &'a str,
    rows: usize,
    shape: Shape,
    element: Element,
    least: f64,
    most: f64,
    mean: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    classes: Option<Vec<Class<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    columns: Option<&'a [String]>,
    /// The columns of a table.
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<Vec<ColumnDescription>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    notes: &'a [String],
}

#[derive(Serialize)]
struct Class<'a> {
    name: &'a str,
    rows: usize,
}

impl<'a> Description<'a> {
    fn of(dataset: &'a Dataset<'_>) -> anyhow::Result<Self> {
        let rows = &*dataset.rows;
        let found = Statistics::measure(rows)?;
        let classes = dataset.labels.as_ref().map(|labels| {
            let count = |class| labels.classes.iter().filter(|&&other| other == class).count();
            (0u32..).zip(&labels.names).map(|(class, name)| Class { name, rows: count(class) }).collect()
        });
        Ok(Self {
            event: "data",
            name: &dataset.name,
            rows: rows.rows(),
            shape: rows.shape(),
            element: rows.element(),
            least: found.least.iter().copied().fold(f64::INFINITY, f64::min),
            most: found.most.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            mean: found.mean.iter().sum::<f64>() / found.mean.len() as f64,
            classes,
            columns: dataset.columns.as_deref(),
            table: dataset.table.as_ref().map(|table| table.schema.describe(&table.frame)).transpose()?,
            notes: &dataset.notes,
        })
    }

    fn print(&self) -> anyhow::Result<()> {
        let Self { name, rows, shape, least, most, mean, .. } = self;
        let element = match self.element {
            Element::U8 => "bytes",
            Element::F32 => "single precision",
            Element::F64 => "double precision",
        };
        let mut pairs = vec![
            ("name".to_owned(), (*name).to_owned()),
            ("rows".to_owned(), rows.to_string()),
            ("row".to_owned(), format!("{} numbers ({shape}), {element}", shape.len())),
        ];
        if self.table.is_none() {
            pairs.push((
                "range".to_owned(),
                format!(
                    "{} to {}, mean {}",
                    print::exact(*least),
                    print::exact(*most),
                    print::fixed(*mean, 6)
                ),
            ));
        }
        if let Some(classes) = &self.classes {
            let text: Vec<_> =
                classes.iter().map(|class| format!("{} ({})", class.name, class.rows)).collect();
            pairs.push(("classes".to_owned(), text.join(", ")));
        }
        for note in self.notes {
            pairs.push(("note".to_owned(), note.clone()));
        }
        table::pairs(&pairs)?;
        self.table.as_deref().map_or(Ok(()), print_columns)
    }
}

/// Prints the columns of a table.
fn print_columns(columns: &[ColumnDescription]) -> anyhow::Result<()> {
    let header = ["column", "kind", "examples", "missing", "range or levels", "becomes"].map(String::from);
    let rows: Vec<Vec<String>> = columns
        .iter()
        .map(|column| {
            let missing = if column.missing > 0 { column.missing.to_string() } else { String::new() };
            vec![
                short_text(&column.name, 32),
                column.kind.name().replace("yes_no", "yes/no").replace('_', " "),
                column.examples.join(", "),
                missing,
                column.content.clone(),
                column.becomes.clone(),
            ]
        })
        .collect();
    table::line("")?;
    table::left_table(&header, &rows)?;
    table::line("\nAnother kind: --kind COLUMN=KIND. Other columns: --columns, --drop, --id, --label-column.")
}
