//! The data inside the program: usable at once, without a network. Sources and licences: [`NAMES`].

use super::Parts;
use super::formats::input::Input;
use super::formats::{csv, idx};
use crate::error::Result;

/// Name and description of each built-in data set.
pub(super) const NAMES: &[(&str, &str)] = &[
    (
        "mnist",
        "60,000 training images of handwritten digits, 28 x 28 grey (LeCun, Cortes, Burges; CC BY-SA 3.0)",
    ),
    ("mnist:test", "the 10,000 test images of MNIST (LeCun, Cortes, Burges; CC BY-SA 3.0)"),
    ("iris", "150 iris flowers of three species, 4 lengths in cm (R. A. Fisher 1936, UCI; CC BY 4.0)"),
];

/// The built-in data of this name, or nothing.
pub(super) fn read(name: &str) -> Option<Result<Parts>> {
    match name {
        "mnist" => Some(images(
            name,
            include_bytes!("../../../../data/train-images-idx3-ubyte.gz"),
            include_bytes!("../../../../data/train-labels-idx1-ubyte.gz"),
        )),
        "mnist:test" => Some(images(
            name,
            include_bytes!("../../../../data/t10k-images-idx3-ubyte.gz"),
            include_bytes!("../../../../data/t10k-labels-idx1-ubyte.gz"),
        )),
        "iris" => Some(iris()),
        _ => None,
    }
}

fn images(name: &str, images: &[u8], labels: &[u8]) -> Result<Parts> {
    let table = idx::read(Input::memory(name, images)?)?;
    let labels = idx::read_labels(Input::memory(name, labels)?)?;
    Ok(Parts { table, labels: Some(labels), columns: None })
}

fn iris() -> Result<Parts> {
    let mut parts = csv::read("iris", include_bytes!("../../../../data/iris.csv").to_vec(), None)?;
    // The file has no names for its columns.
    let names = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"];
    parts.columns = Some(names.map(String::from).to_vec());
    Ok(parts)
}
