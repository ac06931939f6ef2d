//! Reports of fits: one page in HTML with its charts and pictures.
//!
//! The same fit and the same rows give the same bytes.
#![forbid(unsafe_code)]

mod bars;
mod charts;
mod classes;
mod classifier;
mod compare;
mod comparison;
mod decoded;
mod fit;
mod page;
mod pictures;
mod starts;

pub use classes::{ClassesContents, Mistake, write_classes};
pub use compare::{ComparedError, ComparedLosses, Comparison, Strips, SweepCurve, Table, write_comparison};

pub use classifier::{write_classes_report, write_classifier_report};
pub use comparison::write_report as write_comparison_report;
pub use fit::write_report;
pub use starts::{StartCurve, Starts, starts_of};

use std::path::{Path, PathBuf};

use narrows::base::atomic_file;
use narrows::data::{Labels, Shape};
use narrows::error::Result;
use narrows::network::plan::LayerTable;
use narrows::progress::EpochRecord;

/// Everything a report says. Empty slices and `None` leave their part out.
#[derive(Debug, Clone)]
pub struct Contents<'a> {
    /// What was fitted on what: `single on mnist`.
    pub title: &'a str,
    /// One plain sentence.
    pub verdict: &'a str,
    /// Figures by name, in the order they are shown: `("Test BCE", "0.0941")`.
    pub facts: &'a [(String, String)],
    /// The layers, one a row.
    pub layers: &'a LayerTable,
    /// Squared error per row of each method, the fitted model last: it is the one highlighted.
    pub comparison: &'a [(String, f64)],
    /// The losses, epoch by epoch.
    pub history: &'a [EpochRecord],
    /// The epoch whose parameters were kept, where that is not just the last: marked in the chart.
    pub kept_epoch: Option<usize>,
    /// What the losses are called: `BCE`.
    pub loss_name: &'a str,
    /// The lowest value the loss can take on these data, drawn as a line.
    pub loss_floor: Option<f64>,
    /// A few rows and what the model made of them.
    pub examples: Option<Examples<'a>>,
    /// The first two numbers of the codes.
    pub codes: Option<CodeScatter<'a>>,
    /// What each unit next to the rows looks for, or draws.
    pub weights: Option<WeightImages<'a>>,
    /// What the decoder makes of codes of its own.
    pub decoded: Option<DecodedCodes<'a>>,
    /// Share of the variance that each component explains, largest first.
    pub spectrum: Option<&'a [f64]>,
    /// The same network from other starts beside it.
    pub starts: Option<&'a Starts>,
    /// The layers that were trained alone before, from the first to the code.
    pub pretraining: &'a [LayerAlone<'a>],
    /// The recipe, as TOML.
    pub recipe: &'a str,
}

/// A few rows beside their reconstructions: a picture for images, a chart for flat rows.
///
/// The slices hold whole rows of `shape.len()` numbers; what is left over is not drawn, nor is a row that one of them lacks.
#[derive(Debug, Clone, Copy)]
pub struct Examples<'a> {
    /// The shape of each row.
    pub shape: Shape,
    /// The rows as they are.
    pub originals: &'a [f32],
    /// The rows as the model saw them, where noise was added to them.
    pub corrupted: Option<&'a [f32]>,
    /// The rows as the model rebuilt them.
    pub reconstructions: &'a [f32],
    /// The value drawn black. Not used for flat rows.
    pub low: f32,
    /// The value drawn white. Not used for flat rows.
    pub high: f32,
    /// The names of the features of flat rows; empty where they have none.
    pub feature_names: &'a [String],
}

/// Where rows lie in the plane of two code numbers.
#[derive(Debug, Clone, Copy)]
pub struct CodeScatter<'a> {
    /// The number drawn to the right, one per row.
    pub first: &'a [f32],
    /// The number drawn upwards, one per row.
    pub second: &'a [f32],
    /// What the two numbers are called.
    pub axes: [&'a str; 2],
    /// The class of each row, for its colour.
    pub labels: Option<&'a Labels>,
}

/// One image of weights per unit.
#[derive(Debug, Clone, Copy)]
pub struct WeightImages<'a> {
    /// What a unit is called, and what several are.
    pub called: [&'a str; 2],
    /// The shape of each image. Nothing is drawn where it is flat.
    pub shape: Shape,
    /// The images, one after the other, `shape.len()` numbers each.
    pub images: &'a [f32],
}

/// A layer that was trained alone, as an autoencoder of what comes into it.
#[derive(Debug, Clone, Copy)]
pub struct LayerAlone<'a> {
    /// Numbers that come in, and units.
    pub widths: (usize, usize),
    /// Figures by name, in the order they are shown.
    pub facts: &'a [(String, String)],
    /// Its losses, epoch by epoch.
    pub history: &'a [EpochRecord],
    /// The epoch whose parameters were kept, where that is not just the last.
    pub kept_epoch: Option<usize>,
    /// What its losses are called.
    pub loss_name: &'a str,
    /// What its first units look for among the numbers of a row.
    pub filters: Option<WeightImages<'a>>,
}

/// Images that the decoder makes of codes: from a grid, or drawn at random.
#[derive(Debug, Clone, Copy)]
pub struct DecodedCodes<'a> {
    /// The shape of each image. Nothing is drawn where it is flat.
    pub shape: Shape,
    /// The images, one after the other, `shape.len()` numbers each.
    pub images: &'a [f32],
    /// Images in a row.
    pub columns: usize,
    /// A sentence that says which codes.
    pub what: &'a str,
    /// The value drawn black.
    pub low: f32,
    /// The value drawn white.
    pub high: f32,
}

/// Images in rows of `columns` as a PNG, on a fixed scale: `low` is black, `high` is white. None where the rows are no
/// images, or there are none.
pub fn picture(shape: Shape, images: &[f32], columns: usize, low: f32, high: f32) -> Option<Vec<u8>> {
    if !shape.is_image() {
        return None;
    }
    pictures::grid(shape, images, columns, (low, high)).map(|(png, _)| png)
}

/// One figure of a report: the files it is written to and its place on the page.
#[derive(Debug)]
struct Figure {
    /// The stem of its files.
    name: String,
    heading: &'static str,
    /// What one sees, and on which scale.
    caption: String,
    /// The same for one who does not see it.
    alternative: String,
    /// Vector form, for charts.
    svg: Option<String>,
    png: Vec<u8>,
    /// Width and height of the figure on the page, in CSS pixels.
    size: (u32, u32),
}

/// Writes the report into `directory`, made where it is missing, and answers the paths written, `report.html` first.
///
/// Beside the page: `reconstructions`, `comparison`, `loss`, `spectrum`, `codes`, `weights` and `decoded`, and for each layer
/// that was trained alone `layer-1-loss` and `layer-1-weights`; each as `.png` and, where it is a chart, as `.svg`. A part with
/// nothing to show writes no file. Numbers that are not finite are left out of charts.
pub fn write(directory: &Path, contents: &Contents) -> Result<Vec<PathBuf>> {
    let figures = [
        contents.examples.as_ref().and_then(|examples| {
            if examples.shape.is_image() {
                pictures::reconstructions(examples)
            } else {
                charts::profiles(examples)
            }
        }),
        bars::comparison(contents.comparison),
        charts::loss("loss", contents.history, contents.loss_name, contents.loss_floor, contents.kept_epoch),
        contents.spectrum.and_then(bars::spectrum),
        contents.codes.as_ref().and_then(charts::codes),
        contents.weights.as_ref().and_then(pictures::weights),
        contents.decoded.as_ref().and_then(pictures::decoded),
    ];
    let mut figures: Vec<Figure> = figures.into_iter().flatten().collect();
    let page = page::render(contents, &mut figures);
    write_files(directory, &figures, &page)
}

/// Writes the files of figures, and the page that shows them. Answers the paths, the page first.
fn write_files(directory: &Path, figures: &[Figure], text: &str) -> Result<Vec<PathBuf>> {
    let page = directory.join("report.html");
    let mut written = vec![page.clone()];
    for figure in figures {
        if let Some(svg) = &figure.svg {
            let path = directory.join(&figure.name).with_extension("svg");
            atomic_file::write(&path, svg.as_bytes())?;
            written.push(path);
        }
        let path = directory.join(&figure.name).with_extension("png");
        atomic_file::write(&path, &figure.png)?;
        written.push(path);
    }
    atomic_file::write(&page, text.as_bytes())?;
    Ok(written)
}

#[cfg(test)]
mod tests;
