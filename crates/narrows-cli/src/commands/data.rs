//! `narrows data`

use std::process::ExitCode;

use narrows::data::{Element, Statistics};
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
        table::line("\nOr a file: .idx (MNIST's format), .npy, .csv, .tsv, gzipped or not.")?;
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
            (
                "range".to_owned(),
                format!(
                    "{} to {}, mean {}",
                    print::exact(*least),
                    print::exact(*most),
                    print::fixed(*mean, 6)
                ),
            ),
        ];
        if let Some(classes) = &self.classes {
            let text: Vec<_> =
                classes.iter().map(|class| format!("{} ({})", class.name, class.rows)).collect();
            pairs.push(("classes".to_owned(), text.join(", ")));
        }
        if let Some(columns) = self.columns {
            pairs.push(("columns".to_owned(), columns.join(", ")));
        }
        table::pairs(&pairs)
    }
}
