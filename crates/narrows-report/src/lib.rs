//! Reports of fits: pages in HTML with their charts and pictures.
//!
//! A page is rendered in memory; writing it is a step of its own. The same fit and the same rows give the same bytes.
//!
//! ```
//! use narrows::{FitOptions, HeldOut, Recipe, data};
//!
//! let (training, held_out) = data::hold_out(&narrows_datasets::iris(), 0.1, 0)?;
//! let options = FitOptions { held_out: HeldOut::Rows(&held_out), ..FitOptions::default() };
//! let fit = narrows::fit(&Recipe::pca(2), &training, options)?;
//!
//! let page = narrows_report::fit_page("pca", &fit, &training, &held_out, None)?;
//! assert!(page.html.contains(fit.verdict()));
//!
//! let folder = tempfile::tempdir().unwrap();
//! let written = page.write(folder.path())?; // report.html, spectrum.svg, spectrum.png ...
//! # assert_eq!(written.len(), 1 + page.files.len());
//! # Ok::<(), narrows::Error>(())
//! ```
//!
//! | function | page |
//! |---|---|
//! | [`fit_page`] | a fit: a PCA, an autoencoder or a classifier |
//! | [`evaluation_page`] | the evaluation of a classifier on other rows |
//! | [`comparison_page`] | a comparison of recipes |
//! | [`picture`] | no page: images of rows as one PNG |
#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod classifier;
mod compare;
mod draw;
mod fit;
mod html;
mod page;
mod pretraining;
mod starts;

pub use classifier::evaluation_page;
pub use compare::comparison_page;
pub use page::{File, Page};

use narrows::experiments::random_baseline::RandomBaseline;
use narrows::model::Summary;
use narrows::{Dataset, Error, Fit, Result, Shape};

/// The page of a fit. `recipe` is the name of its recipe; `baseline` is the comparison of its start with random
/// initialisations, where there was one.
///
/// Files beside the page, as far as there is something to show: of a PCA or an autoencoder `reconstructions`, `comparison`,
/// `loss`, `spectrum`, `codes`, `weights`, `decoded`, `eliminated.csv`; of a classifier `confusion`, `errors`, `loss`,
/// `error-by-epoch`, `worst`; of both `starts`, and for each pre-trained layer `layer-N-loss` and `layer-N-weights`.
///
/// # Errors
/// Where the rows are not those of the fit, or cannot be read, and where the fit was stopped before it was evaluated.
pub fn fit_page(
    recipe: &str,
    fit: &Fit,
    training: &Dataset<'_>,
    held_out: &Dataset<'_>,
    baseline: Option<&RandomBaseline>,
) -> Result<Page> {
    match fit.summary() {
        Some(Summary::Reconstruction(summary)) => {
            fit::page(recipe, fit, summary, training, held_out, baseline)
        }
        Some(Summary::Classification(summary)) => {
            classifier::page(recipe, fit, summary, training, held_out, baseline)
        }
        None => Err(Error::model("the fit was stopped before it was evaluated: there is nothing to report")),
    }
}

/// Images in rows of `columns` as a PNG, on a fixed scale: `low` is black, `high` is white. None where the rows are no
/// images, or there are none.
pub fn picture(shape: Shape, images: &[f32], columns: usize, low: f32, high: f32) -> Option<Vec<u8>> {
    if !shape.is_image() {
        return None;
    }
    draw::pictures::grid(shape, images, columns, (low, high)).map(|(png, _)| png)
}
