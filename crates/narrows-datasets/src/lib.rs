//! Data sets inside the program: MNIST, iris and a made-up table of customers, usable without a network.
//!
//! ```
//! let iris = narrows_datasets::iris();
//! assert_eq!(iris.rows.rows(), 150);
//!
//! let digits = narrows_datasets::open("mnist:test").expect("a built-in name")?;
//! assert_eq!(digits.rows.shape().len(), 28 * 28);
//! # Ok::<(), narrows::Error>(())
//! ```
//!
//! Sources and licences are part of the [descriptions](list).
#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod customers;

use customers::csv;
use narrows::data::{Dataset, EncodedTable, Format, OpenOptions, read_bytes, read_label_bytes};
use narrows::{Error, Result};

/// A built-in data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// Its name: `mnist`.
    pub name: &'static str,
    /// One line: content, source and licence.
    pub description: &'static str,
    /// The built-in data set that is held out by default when this one is fitted.
    pub held_out: Option<&'static str>,
}

/// All built-in data sets.
pub fn list() -> &'static [Info] {
    const LIST: &[Info] = &[
        Info {
            name: "mnist",
            description: "60,000 training images of handwritten digits, 28 x 28 grey (LeCun, Cortes, Burges; CC BY-SA 3.0)",
            held_out: Some("mnist:test"),
        },
        Info {
            name: "mnist:test",
            description: "the 10,000 test images of MNIST (LeCun, Cortes, Burges; CC BY-SA 3.0)",
            held_out: None,
        },
        Info {
            name: "iris",
            description: "150 iris flowers of three species, 4 lengths in cm (R. A. Fisher 1936, UCI; CC BY 4.0)",
            held_out: None,
        },
        Info {
            name: "customers",
            description: "5,000 made-up customers: numbers, dates, categories, yes/no, with gaps and ten planted outliers (CC BY 4.0)",
            held_out: None,
        },
    ];
    LIST
}

/// The names of all built-in data sets.
pub fn names() -> impl Iterator<Item = &'static str> {
    list().iter().map(|info| info.name)
}

/// The built-in data set that is held out by default when `name` is fitted.
pub fn default_held_out(name: &str) -> Option<&'static str> {
    list().iter().find(|info| info.name == name)?.held_out
}

/// Opens a built-in data set; None where there is none of this name.
pub fn open(name: &str) -> Option<Result<Dataset<'static>>> {
    open_with(name, &OpenOptions::default())
}

/// As [`open()`], with other labels or another shape of the rows.
///
/// # Errors
/// [`ErrorKind::Data`](narrows::ErrorKind::Data) where the options do not fit the data. The message begins with `name`.
pub fn open_with(name: &str, options: &OpenOptions) -> Option<Result<Dataset<'static>>> {
    let name = names().find(|known| *known == name)?;
    // The classes of built-in data are not a column among others.
    let has_columns = name == "customers";
    if options.label_column.is_some() && options.labels_file.is_none() && !has_columns {
        let error =
            Error::data(format!("{name}: `label_column` names a column of a CSV file, and this has none"));
        return Some(Err(error.hint("give a file with one label per row as `labels_file`")));
    }
    Some(match name {
        "mnist" => images(
            name,
            include_bytes!("../data/train-images-idx3-ubyte.gz"),
            include_bytes!("../data/train-labels-idx1-ubyte.gz"),
            options,
        ),
        "mnist:test" => images(
            name,
            include_bytes!("../data/t10k-images-idx3-ubyte.gz"),
            include_bytes!("../data/t10k-labels-idx1-ubyte.gz"),
            options,
        ),
        "customers" => read_bytes(name, csv().as_bytes(), Format::Csv, options),
        _ => flowers(name, include_bytes!("../data/iris.csv"), options),
    })
}

/// MNIST's training images with their classes: 60,000 x 28x28.
pub fn mnist() -> Dataset<'static> {
    intact("mnist")
}

/// MNIST's test images with their classes: 10,000 x 28x28.
pub fn mnist_test() -> Dataset<'static> {
    intact("mnist:test")
}

/// Fisher's iris flowers with their species: 150 x 4.
pub fn iris() -> Dataset<'static> {
    intact("iris")
}

/// The made-up customers: 5,000 rows of a table with columns of all kinds.
pub fn customers() -> Dataset<'static> {
    intact("customers")
}

/// The table of the made-up customers, as CSV.
pub fn customers_csv() -> String {
    csv()
}

fn intact(name: &str) -> Dataset<'static> {
    open(name).expect("a built-in name").expect("the built-in data are intact")
}

fn images(name: &str, images: &[u8], labels: &[u8], options: &OpenOptions) -> Result<Dataset<'static>> {
    let mut dataset = read_bytes(name, images, Format::Idx, options)?;
    if dataset.labels.is_none() {
        let rows = dataset.rows.rows();
        dataset.labels = Some(read_label_bytes(name, labels, Format::Idx, rows)?);
    }
    Ok(dataset)
}

fn flowers(name: &str, table: &[u8], options: &OpenOptions) -> Result<Dataset<'static>> {
    // The file does not name its columns.
    let names = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)", "species"];
    let dataset = read_bytes(name, table, Format::Csv, options)?;
    let Some(EncodedTable { mut frame, .. }) = dataset.table.filter(|_| options.labels_file.is_none()) else {
        let columns = Some(names[..4].iter().map(|&name| name.to_owned()).collect());
        return Ok(Dataset { columns, table: None, encoded: None, ..dataset });
    };
    for (column, name) in frame.columns.iter_mut().zip(names) {
        column.name = Some(name.to_owned());
    }
    let options = OpenOptions { label_column: Some("species".to_owned()), ..options.clone() };
    Dataset::from_frame(name, frame, &options)
}
