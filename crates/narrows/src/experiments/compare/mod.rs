//! Comparisons: several recipes fitted to the same rows and evaluated by the same metrics.
//!
//! Three choices make the metrics comparable. They are made once, before the first fit: the held-out rows, one scaling for
//! all recipes, and for narrow rows one code size. Then each recipe is fitted with each seed. Its metrics
//! are the reconstruction errors and the quality of the codes ([`crate::evaluation::codes`]).
//!
//! | file | contents |
//! |---|---|
//! | `mod` | options, events, and [`compare`] as a list of steps |
//! | `run` | the fits of a recipe and their metrics |
//! | `samples` | the rows on which codes are evaluated |
//! | `code_size_curve` | the error against the code size, and its elbow |
//! | `metrics` | the metrics of a fit, their mean and standard deviation |
//! | `record`, `table` | the outcome as records and as a table of text |
//! | `verdict` | the outcome as a sentence |

mod code_size_curve;
mod metrics;
mod record;
mod run;
mod samples;
mod table;
mod verdict;

pub use code_size_curve::{CodeSizeCurve, CodeSizeCurves, Point, elbow};
pub use metrics::{Measure, Metrics, Spread};
pub use record::{Comparison, Method, Reference};
pub use table::Cell;

use std::ops::ControlFlow;

use serde::Serialize;

use crate::compute::Compute;
use crate::data::Dataset;
use crate::data::scaling::{Chosen, Levels, choose_scale};
use crate::data::stats::Measured;
use crate::error::{Error, Result};
use crate::fit::CheckpointOptions;
use crate::progress::Event;
use crate::recipe::{Loss, Recipe, Scale};
use run::ComparisonRun;

/// Rows narrower than this get a code size of a quarter of their width: the usual 32 would not compress them.
const NARROW: usize = 64;

/// A recipe to compare.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The name in tables, events and records.
    pub name: String,
    /// The recipe. The comparison sets its scaling, and the code size where [`CompareOptions::code_size`] says so.
    pub recipe: Recipe,
}

/// Options of [`compare`].
#[derive(Debug, Clone, Default)]
pub struct CompareOptions<'a> {
    /// The number of fits of each recipe that depends on a seed, with consecutive seeds from the recipe's own; 0 means 1.
    pub seeds: usize,
    /// The code size of all recipes that can change it. Without it, recipes keep theirs unless the rows are narrow.
    pub code_size: Option<usize>,
    /// The scaling; without it, it is chosen from the rows.
    pub scale: Option<Scale>,
    /// The code sizes of the code-size curves, which are fitted with the first seed; empty for no curves.
    pub code_sizes: Vec<usize>,
    /// The checkpoint files of all fits; none by default. See [`remove_checkpoints`](crate::fit::remove_checkpoints).
    pub checkpoints: Option<CheckpointOptions<'a>>,
}

/// An event of a comparison. `ControlFlow::Break(())` from the callback stops the comparison.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ComparisonEvent<'a> {
    /// An event of a fit.
    Fit {
        /// The name of the recipe, with the code size for a fit of a code-size curve.
        recipe: &'a str,
        /// The number of the fit, from 1.
        number: usize,
        /// The number of fits of the comparison.
        of: usize,
        /// The event.
        #[serde(rename = "progress")]
        event: &'a Event,
    },
    /// A stage of the work besides fits began.
    Stage {
        /// A phrase for people.
        stage: &'a str,
    },
    /// A fit was evaluated.
    Compared(&'a Metrics),
    /// A recipe cannot be fitted to the rows.
    Failed {
        /// The name of the recipe.
        recipe: &'a str,
        /// The reason.
        reason: &'a str,
    },
    /// A point of a code-size curve was measured.
    Point {
        /// The name of the recipe.
        recipe: &'a str,
        /// The point.
        #[serde(flatten)]
        point: Point,
    },
}

/// The callback of a comparison.
type OnComparisonEvent<'a> = dyn FnMut(&ComparisonEvent) -> ControlFlow<()> + Send + 'a;

/// Fits recipes to rows and evaluates them by the same metrics on the held-out rows.
///
/// A recipe that cannot be fitted to the rows is no error: see [`Method::failure`]. Apart from times, the metrics do not
/// depend on the number of threads.
///
/// # Errors
/// If the held-out rows have another length than the training rows, a recipe is a classifier, or no recipe can be fitted.
pub fn compare(
    candidates: &[Candidate],
    training: &Dataset<'_>,
    held_out: &Dataset<'_>,
    options: &CompareOptions<'_>,
    compute: Compute,
    callback: &mut (dyn FnMut(&ComparisonEvent) -> ControlFlow<()> + Send),
) -> Result<Comparison> {
    let held_out = &held_out.matched_to(training)?;
    check(candidates, training, held_out)?;
    let scale = common_scale(candidates, training, held_out, options)?;
    let is_mixed = candidates.iter().any(|candidate| candidate.recipe.loss() == Loss::Mixed);
    let levels = if is_mixed { Levels::Plain } else { Levels::Weighed };
    let scales = (scale.scale, levels);
    let mut run = ComparisonRun::new(training, held_out, scales, compute, options.checkpoints, callback);
    run.fits = number_of_fits(candidates, options);
    let code_size = common_code_size(&mut run, options);

    let methods = run.methods(candidates, code_size, options.seeds)?;
    let rows = run.reference()?;
    let code_size_curves = if run.interrupted || options.code_sizes.is_empty() {
        None
    } else {
        Some(code_size_curve::measure(&mut run, candidates, &methods, &options.code_sizes)?)
    };

    let training_rows = training.rows.rows();
    let mut notes = std::mem::take(&mut run.notes);
    notes.extend(verdict::few_steps(&methods, training_rows));
    Ok(Comparison {
        scale,
        code_size,
        notes,
        verdict: verdict::verdict(&methods, training_rows, rows.as_ref(), code_size_curves.as_ref()),
        methods,
        rows,
        code_size_curves,
        interrupted: run.interrupted,
        shape: training.rows.shape(),
        examples: run.examples()?,
    })
}

fn check(candidates: &[Candidate], training: &Dataset<'_>, held_out: &Dataset<'_>) -> Result<()> {
    let [width, held_out_width] = [training, held_out].map(|dataset| dataset.rows.shape().len());
    if width != held_out_width {
        return Err(Error::data(format!(
            "{}: its rows have {held_out_width} numbers, those of {} have {width}",
            held_out.name, training.name
        )));
    }
    match candidates.iter().find(|candidate| matches!(candidate.recipe, Recipe::Classifier(_))) {
        None => Ok(()),
        Some(candidate) => Err(Error::recipe(format!(
            "{}: a classifier rebuilds nothing that could be compared",
            candidate.name
        ))),
    }
}

/// One scaling for all recipes: errors on different scales could not be compared.
fn common_scale(
    candidates: &[Candidate],
    training: &Dataset<'_>,
    held_out: &Dataset<'_>,
    options: &CompareOptions<'_>,
) -> Result<Chosen> {
    if let Some(scale) = options.scale {
        return Ok(Chosen { scale, reason: "as asked" });
    }
    let needs_unit_range = candidates.iter().any(|candidate| candidate.recipe.loss().needs_shares());
    if !needs_unit_range && training.schema().is_some_and(|schema| !schema.is_numeric()) {
        return Ok(Chosen {
            scale: Scale::Standard,
            reason: "levels, dates and numbers have no common unit",
        });
    }
    choose_scale(&Measured::new(&*training.rows), &Measured::new(&*held_out.rows), needs_unit_range)
}

/// The code size of all recipes that can change it; none if they keep their own.
fn common_code_size(run: &mut ComparisonRun<'_>, options: &CompareOptions<'_>) -> Option<usize> {
    if options.code_size.is_some() {
        return options.code_size;
    }
    let width = run.training.rows.shape().len();
    let size = (width < NARROW).then_some((width / 4).max(2).min(width))?;
    run.notes.push(format!(
        "rows of {width} numbers are narrow: all codes have {size} unless `code_size` says otherwise"
    ));
    Some(size)
}

fn number_of_fits(candidates: &[Candidate], options: &CompareOptions<'_>) -> usize {
    let curves = candidates
        .iter()
        .filter(|candidate| code_size_curve::can_change_code_size(&candidate.recipe))
        .count();
    let fits: usize = candidates.iter().map(|candidate| seeds(&candidate.recipe, options.seeds)).sum();
    fits + curves * options.code_sizes.len()
}

/// The number of seeds that a recipe is fitted with: one if it does not depend on the seed.
fn seeds(recipe: &Recipe, seeds: usize) -> usize {
    if matches!(recipe, Recipe::Autoencoder(_)) { seeds.max(1) } else { 1 }
}

/// Sets the code size of a recipe that can change it.
fn set_code_size(recipe: &mut Recipe, size: usize) -> Result<()> {
    match recipe {
        Recipe::Pca(pca) => {
            pca.code_size = Some(size);
            Ok(())
        }
        Recipe::Autoencoder(network) => network.set_code_size(size),
        Recipe::Classifier(_) => Err(Error::recipe("a classifier has no code of a size of its own")),
    }
}
