//! Fitting: from a recipe and rows to a model with its metrics.
//!
//! [`fit()`] checks the rows and calls the method of the recipe. Each method chooses and learns the scaling, finds the
//! parameters, and evaluates the model and its baselines on the held-out rows.
//!
//! | file | contents |
//! |---|---|
//! | `mod` | [`fit()`], its options, and the steps that the methods share (`FitJob`) |
//! | `pca` | an eigen-decomposition |
//! | `autoencoder` | a closed form or gradient descent, after pre-training if the recipe has it |
//! | `classifier` | pre-training, then gradient descent on labels |
//! | `checks` | what is refused before a fit |
//! | `needs` | the memory of a fit, asked for before anything is made |
//! | `start` | initial parameters, rows in memory, checkpoints |
//! | `record`, `elimination`, `gaps` | the outcome as a record; the eliminated weights; the missing values |
//!
//! Experiments and programs use this room; nothing below it does.

mod autoencoder;
mod checks;
mod classifier;
mod elimination;
mod gaps;
mod needs;
mod pca;
mod record;
mod start;

use std::ops::ControlFlow;

pub use autoencoder::Autoencoder;
use checks::out_of_reach;
pub use checks::training_memory;
pub use elimination::{ELIMINATED, Elimination};
pub use gaps::{ColumnGaps, Gaps};
use needs::RowCounts;

use crate::base::text::escaped;
use crate::compute::Compute;
use crate::data::filled::Filled;
use crate::data::scaling::{Levels, Scale, Scaling, choose_scale};
use crate::data::stats::Measured;
use crate::data::{Dataset, Element, hold_out};
use crate::error::{Error, Result};
use crate::evaluation::columns::columns_clause;
use crate::evaluation::reconstruction::measure;
use crate::evaluation::verdict::{ModelSizes, TrainingOutcome, few_rows_clause, verdict};
use crate::model::metrics::{Baselines, ColumnMetrics, ReconstructionSummary};
use crate::model::{Fitted, Model, Part, Summary};
pub use crate::network::engine::Footprint;
use crate::pca::{Moments, Passes};
use crate::progress::{Ended, EpochRecord, Event, Stage, notify};
use crate::recipe::{CHECKPOINT_PERIOD, Recipe, Train};
pub use crate::train::checkpoint::{
    CheckpointOptions, PartCheckpoints, Resume, checkpoint_folder, remove_checkpoints,
};
use crate::train::checkpoint::{Checkpoints, Run};
use crate::train::pretrain::PretrainedLayer;
use crate::train::{best_epoch, epochs_done};

/// Fits a recipe to rows: a PCA, an autoencoder or a classifier.
///
/// The same recipe (with its seed) and rows give the same bytes of the model with any number of threads.
///
/// ```
/// use narrows::{FitOptions, Recipe};
///
/// let iris = narrows_datasets::iris();
/// let fit = narrows::fit(&Recipe::open("pca")?.with("code_size", 2)?, &iris, FitOptions::default())?;
/// println!("{}", fit.verdict()); // PCA-2 keeps 97.3 % of the variance ...
/// # assert!(fit.verdict().starts_with("PCA-2 keeps 97"));
/// # Ok::<(), narrows::Error>(())
/// ```
///
/// # Errors
/// If the recipe is invalid, the rows do not fit it, a value is missing and the recipe is no PCA, rows cannot be read, checkpoints cannot be written, or the
/// fit takes more memory than is free.
pub fn fit<'a>(recipe: &Recipe, training: impl Into<Dataset<'a>>, options: FitOptions<'_>) -> Result<Fit> {
    fit_with_levels(recipe, training.into(), options, None)
}

/// As [`fit()`]; `levels` says how those of categories are scaled, for fits whose errors are compared. Without it each method scales
/// them as is best for it.
pub(crate) fn fit_with_levels(
    recipe: &Recipe,
    training: Dataset<'_>,
    options: FitOptions<'_>,
    levels: Option<Levels>,
) -> Result<Fit> {
    recipe.validate()?;
    let FitOptions { held_out, compute, start_from, checkpoints, watch } = options;
    let (training, held_out) = match held_out {
        HeldOut::Rows(rows) => {
            let held_out = rows.matched_to(&training)?;
            (training, held_out)
        }
        HeldOut::Share(share) => hold_out(&training, share, recipe.seed())?,
    };
    checks::check_lengths(&training, &held_out)?;
    let mut ignore = |_: &Event| ControlFlow::Continue(());
    let watch = watch.unwrap_or(&mut ignore);
    let start_hash = start_from.filter(|_| checkpoints.is_some()).map(Model::content_hash).transpose()?;
    let run = Run { recipe, training: &training, held_out: &held_out, start_from: start_hash, compute };
    let checkpoints = match (checkpoints, recipe.train()) {
        (Some(options), Some(_)) => Some(Checkpoints::open(options, run, watch)?),
        (Some(CheckpointOptions { resume: Resume::Required, .. }), None) => {
            notify(
                watch,
                Event::Warning("a PCA has no checkpoints to resume from: it is fitted anew".into()),
            );
            None
        }
        _ => None,
    };
    let job = FitJob {
        measured: [Measured::new(&*training.rows), Measured::new(&*held_out.rows)],
        training: &training,
        held_out: &held_out,
        levels,
        compute,
        start_from,
        checkpoints: checkpoints.as_ref(),
        watch,
    };
    // A PCA finds its parameters with gaps left out, a network trains with them left out of its loss.
    let takes_gaps = match recipe {
        Recipe::Pca(_) => true,
        Recipe::Autoencoder(network) => network.allows_missing(),
        Recipe::Classifier(_) => false,
    };
    if !takes_gaps {
        job.require_complete()?;
    }
    // How often checkpoints are written is no part of a model.
    let mut recipe = recipe.clone();
    if let Some(train) = recipe.train_mut() {
        train.checkpoint = CHECKPOINT_PERIOD;
    }
    match &recipe {
        Recipe::Pca(recipe) => pca::fit(recipe, job),
        Recipe::Autoencoder(recipe) => autoencoder::fit(recipe, job),
        Recipe::Classifier(recipe) => classifier::fit(recipe, job),
    }
}

/// Options of [`fit()`]. The default holds out a tenth of the rows and uses all processors.
///
/// ```
/// use narrows::{FitOptions, HeldOut, Recipe};
///
/// let iris = narrows_datasets::iris();
/// let options = FitOptions { held_out: HeldOut::Share(0.2), ..FitOptions::default() };
/// let fit = narrows::fit(&Recipe::pca(2), &iris, options)?;
/// assert_eq!(fit.summary().map(|summary| summary.training_rows()), Some(120));
/// # Ok::<(), narrows::Error>(())
/// ```
#[derive(Default)]
pub struct FitOptions<'a> {
    /// The held-out rows, on which the model is evaluated.
    pub held_out: HeldOut<'a>,
    /// The number of threads and the SIMD level; the model keeps them.
    pub compute: Compute,
    /// The initial model: training starts from its parameters and uses its scaling. It is a network with the same layers, or a
    /// PCA, which is a network with one dense layer on each side. A classifier takes its encoder.
    pub start_from: Option<&'a Model>,
    /// Checkpoint files; none by default.
    pub checkpoints: Option<CheckpointOptions<'a>>,
    /// The callback for every [`Event`]. `ControlFlow::Break(())` stops what the event is about: training, whose best parameters
    /// so far are kept, or, at a [`Stage`], the evaluation, so that [`Fit::summary`] is empty.
    pub watch: Option<&'a mut Watch<'a>>,
}

/// The callback of a fit.
pub type Watch<'a> = dyn FnMut(&Event) -> ControlFlow<()> + Send + 'a;

/// The rows that a model is evaluated on.
#[derive(Clone)]
#[non_exhaustive]
pub enum HeldOut<'a> {
    /// A fraction of the training rows (above 0, below 1), chosen at random with the recipe's seed; see [`hold_out`].
    Share(f64),
    /// Other rows.
    Rows(&'a Dataset<'a>),
}

/// A tenth of the training rows.
impl Default for HeldOut<'_> {
    fn default() -> Self {
        Self::Share(0.1)
    }
}

/// A fitted model with the records of its fit.
///
/// ```
/// let fit = narrows::fit(&narrows::Recipe::pca(2), &narrows_datasets::iris(), Default::default())?;
/// println!("{}", fit.verdict());
/// let record = serde_json::to_string(&fit).unwrap(); // sizes, losses, baselines, verdict: one line of JSON
/// assert!(record.contains("\"verdict\":"));
/// # Ok::<(), narrows::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Fit {
    /// The model, with its summary.
    pub model: Model,
    /// The fitted recipe, with its batch normalisation, which the model's recipe has folded into the layers beside it.
    pub recipe: Recipe,
    /// The losses, epoch by epoch; empty for a PCA.
    pub history: Vec<EpochRecord>,
    /// Time spent on finding the parameters from rows in memory, in seconds.
    pub seconds: f64,
    /// The pre-trained layers from the first to the code; empty without pre-training.
    pub pretraining: Vec<PretrainedLayer>,
    /// Optimizer steps.
    pub steps: Steps,
    /// The end of training.
    pub ended: Ended,
    /// The memory that the fit was told to take beside its rows, at most, in bytes: it is refused where less is free.
    pub memory: usize,
    /// The codes of the first held-out rows, up to 10,000 (rows x code size); empty for a classifier.
    pub held_out_codes: Vec<f32>,
    /// How well each column of a table is reconstructed, on the held-out rows; empty for rows of an array and for a classifier.
    pub columns: Vec<ColumnMetrics>,
    /// Of a PCA by the randomised solver, its passes over the rows and its error.
    pub randomized: Option<Passes>,
    /// Of a PCA, the missing values of the training rows; none where the rows are complete.
    pub gaps: Option<Gaps>,
}

/// Optimizer steps of a fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Steps {
    /// Steps of pre-training, over all layers.
    pub pretraining: usize,
    /// Steps of training the whole network.
    pub training: usize,
}

impl Fit {
    /// The summary, with metrics on the held-out rows. None where the callback stopped the fit before the evaluation;
    /// [`Model::evaluate`] gives the metrics then.
    pub fn summary(&self) -> Option<&Summary> {
        self.model.summary()
    }

    /// The epoch whose parameters were kept, for a recipe that keeps the best ones. None for a recipe that keeps the last ones,
    /// and without epochs.
    pub fn kept_epoch(&self) -> Option<usize> {
        let keeps_best = self.model.recipe.train().is_some_and(Train::keeps_best);
        best_epoch(&self.history).filter(|_| keeps_best).map(|record| record.epoch)
    }

    /// The verdict: a sentence that compares the model with its baselines.
    pub fn verdict(&self) -> &str {
        self.summary().map_or("stopped before it was evaluated", Summary::verdict)
    }
}

/// The verdict of a fit whose metrics on the held-out rows are not finite.
fn no_verdict(held_out: &str, reason: &dyn std::fmt::Display) -> String {
    format!("no verdict: the metrics on the held-out rows are not finite: {held_out}: {reason}")
}

/// From this share of the variance on, columns differ by rounding.
const LOSSLESS: f64 = 0.999_999;

/// Differences below this have squares that lose digits or are 0 (the least normal number is 2.2e-308).
const LEAST_SPREAD: f64 = 1e-145;

/// The largest number of held-out rows whose codes are kept.
const KEPT_CODES: usize = 10_000;

/// The record of the epoch whose parameters were kept.
fn kept_record<'a>(train: &Train, history: &'a [EpochRecord]) -> Option<&'a EpochRecord> {
    if train.keeps_best() { best_epoch(history) } else { history.last() }
}

/// What a fit keeps of the held-out rows beside the summary.
#[derive(Default)]
struct HeldOutResults {
    codes: Vec<f32>,
    columns: Vec<ColumnMetrics>,
}

/// The rows, the options, and the steps that the methods share.
struct FitJob<'a> {
    training: &'a Dataset<'a>,
    held_out: &'a Dataset<'a>,
    /// The statistics of the training rows and of the held-out rows, measured at most once.
    measured: [Measured<'a>; 2],
    /// How levels of categories are scaled; as the method wants where None.
    levels: Option<Levels>,
    compute: Compute,
    start_from: Option<&'a Model>,
    checkpoints: Option<&'a Checkpoints<'a>>,
    watch: &'a mut Watch<'a>,
}

impl FitJob<'_> {
    fn row_counts(&self) -> RowCounts {
        RowCounts::of(&*self.training.rows, &*self.held_out.rows)
    }

    /// Refuses missing values, by the row and the name of the column.
    fn require_complete(&self) -> Result<()> {
        for (measured, dataset) in self.measured.iter().zip([self.training, self.held_out]) {
            let Err(error) = measured.require_complete() else { continue };
            let first = measured.source.element() != Element::U8;
            let first = if first { measured.statistics()?.first_missing() } else { None };
            let name = first.and_then(|(_, column)| dataset.columns.as_ref()?.get(column));
            return Err(match (first, name) {
                (Some((row, _)), Some(name)) => Error::data(format!(
                    "row {row}, column `{}`: the value is missing",
                    escaped(name)
                ))
                .hint("fill it first, or use a recipe that takes missing values: table, pca, single, deep")
                .at(&dataset.name),
                _ => error.at(&dataset.name),
            });
        }
        Ok(())
    }

    /// Whether values are missing, of the training rows or of the held-out rows. Refuses a column without any.
    fn has_gaps(&self) -> Result<bool> {
        let mut has_gaps = false;
        for measured in self.measured.iter().filter(|measured| measured.source.element() != Element::U8) {
            has_gaps |= measured.statistics()?.missing.iter().any(|&missing| missing > 0);
        }
        if has_gaps && self.measured[0].source.element() != Element::U8 {
            self.refuse_empty_columns()?;
        }
        Ok(has_gaps)
    }

    /// Refuses training rows of which a column has no value at all.
    fn refuse_empty_columns(&self) -> Result<()> {
        let (training, statistics) = (self.training, self.measured[0].statistics()?);
        let Some(column) = statistics.missing.iter().position(|&missing| missing == statistics.rows) else {
            return Ok(());
        };
        let place = match training.columns.as_ref().and_then(|names| names.get(column)) {
            Some(name) => format!("column `{}`", escaped(name)),
            None => format!("column {}", column + 1),
        };
        Err(Error::data(format!("{}: {place}: all its values are missing", training.name))
            .hint("remove the column"))
    }

    /// The scale of a recipe; `auto` is resolved by the statistics of the rows.
    fn scale(&self, scale: Scale, needs_unit_range: bool) -> Result<Scale> {
        let is_mixed = self.training.schema().is_some_and(|schema| !schema.is_numeric());
        match scale {
            // Levels, dates and numbers have no common unit.
            Scale::Auto if is_mixed && !needs_unit_range => Ok(Scale::Standard),
            Scale::Auto => Ok(choose_scale(&self.measured[0], &self.measured[1], needs_unit_range)?.scale),
            Scale::None | Scale::Unit | Scale::Center | Scale::MinMax | Scale::Standard => Ok(scale),
        }
    }

    /// Learns the scaling from the training rows. Refuses held-out rows in other units.
    fn learn_scaling(&self, scale: Scale, levels: Levels) -> Result<Scaling> {
        let element = self.training.rows.element();
        crate::model::check_units(element, &self.measured[1])
            .map_err(|error| error.at(&self.held_out.name))?;
        let columns = self.training.encoded.as_deref().map(Vec::as_slice);
        let scaling =
            Scaling::learn_encoded(scale, &self.measured[0], columns, self.levels.unwrap_or(levels))?;
        self.refuse_underflow(&scaling)?;
        Ok(scaling)
    }

    /// Refuses rows that differ so little that the squares of their differences underflow: they would all seem equal.
    fn refuse_underflow(&self, scaling: &Scaling) -> Result<()> {
        if self.training.rows.element() != Element::F64 {
            return Ok(());
        }
        let found = self.measured[0].statistics()?;
        let spread = (0..found.least.len())
            .map(|at| (found.most[at] - found.least[at]) / scaling.scales[at % scaling.scales.len()].abs())
            .fold(0.0, f64::max);
        if spread > 0.0 && spread < LEAST_SPREAD {
            return Err(Error::data(format!(
                "{}: its numbers differ by {spread:.0e} at most, and the squares of such differences are 0 in double precision",
                self.training.name
            ))
            .hint("scale the columns: scale = \"standard\""));
        }
        Ok(())
    }

    /// Announces a stage; false where the callback stops the fit before it.
    fn begin(&mut self, stage: Stage) -> bool {
        (self.watch)(&Event::Stage(stage)).is_continue()
    }

    /// The mean of the scaled training rows, for a model whose moments were not measured.
    fn training_mean(&self, scaling: &Scaling) -> Result<Vec<f64>> {
        let mut mean = self.measured[0].statistics()?.mean.clone();
        let width = mean.len();
        scaling.apply_f64(&mut mean, width);
        Ok(mean)
    }

    /// The moments of the scaled training rows; the mean of its column counts where a value is missing.
    fn moments(&self, scaling: &Scaling) -> Result<Moments> {
        let Compute { level, threads } = self.compute;
        let training = &self.measured[0];
        if training.source.element() == Element::U8 || training.statistics()?.require_complete().is_ok() {
            return Moments::measure(training, scaling, level, threads);
        }
        let filled = Filled::new(training.source, &training.statistics()?.mean);
        Moments::measure(&Measured::new(&filled), scaling, level, threads)
    }

    /// A model without a summary; `training_mean` is that of the scaled rows.
    fn model(&self, recipe: Recipe, scaling: Scaling, training_mean: Vec<f64>, fitted: Fitted) -> Model {
        Model {
            recipe,
            shape: self.training.rows.shape(),
            element: self.training.rows.element(),
            scaling,
            training_mean,
            fitted,
            summary: None,
            part: Part::Whole,
            classes: None,
            schema: self.training.schema().cloned(),
            compute: self.compute,
        }
    }

    /// Evaluates a PCA or an autoencoder and its baselines on the held-out rows. Returns the model with its summary, and the
    /// codes of the first held-out rows. `recipe` is the fitted one, `moments` are those of the training rows.
    fn evaluate(
        &self,
        mut model: Model,
        recipe: &Recipe,
        moments: &Moments,
        training: TrainingOutcome<'_>,
    ) -> Result<(Model, HeldOutResults)> {
        let held_out = &*self.held_out.rows;
        let fills_gaps = matches!(model.fitted, Fitted::Pca(_));
        let baselines = if fills_gaps || self.measured[1].require_complete().is_ok() {
            Baselines::measure(moments, &model, held_out)?
        } else {
            let means = &self.measured[0].statistics()?.mean;
            Baselines::measure(moments, &model, &Filled::new(held_out, means))?
        };
        let measured = measure(&model, held_out, KEPT_CODES)?;
        let sizes = ModelSizes {
            width: model.shape.len(),
            code: model.code_shape().len(),
            units: model.code_units(),
        };
        model.summary = Some(Summary::Reconstruction(ReconstructionSummary {
            training_rows: self.training.rows.rows(),
            epochs: epochs_done(training.history),
            train_loss: training.loss,
            verdict: match &measured.not_finite {
                // The model is good for other rows: it is not lost for these.
                Some(error) => no_verdict(&self.held_out.name, error),
                None if !baselines.is_finite() => {
                    no_verdict(&self.held_out.name, &"the errors of the baselines are not finite")
                }
                None => {
                    let sentence = verdict(recipe, sizes, &measured.metrics, &baselines, training);
                    let reach = out_of_reach(recipe, &model.scaling, &self.measured[0])?;
                    let columns = columns_clause(&measured.columns)
                        .filter(|_| measured.metrics.explained_variance < LOSSLESS);
                    let few = few_rows_clause(held_out.rows());
                    [sentence]
                        .into_iter()
                        .chain(few)
                        .chain(reach)
                        .chain(columns)
                        .collect::<Vec<_>>()
                        .join("; ")
                }
            },
            evaluation: measured.metrics,
            baselines,
        }));
        Ok((model, HeldOutResults { codes: measured.codes, columns: measured.columns }))
    }
}
