//! From a recipe and rows to a model: the front door [`fit()`], and the three roads behind it.
//!
//! Every road checks its rows, learns the scaling, finds the parameters, and measures the model on held-out rows beside
//! simpler methods. Roads: `pca` (an eigen-decomposition), `autoencoder` (a closed form, or gradients, after layer-wise
//! pre-training where asked for), `classifier` (gradients on labels).

mod autoencoder;
mod checks;
mod classifier;
mod elimination;
mod pca;

use std::ops::ControlFlow;
use std::path::Path;

pub use autoencoder::Autoencoder;
pub use checks::training_memory;
pub use elimination::{ELIMINATED, Elimination};

use crate::compute::Compute;
use crate::data::scaling::{Scale, Scaling, choose_scale};
use crate::data::stats::Measured;
use crate::data::{Dataset, hold_out};
use crate::error::Result;
use crate::evaluation::reconstruction::evaluate_with_codes;
use crate::evaluation::verdict::{Sizes, Training, verdict};
use crate::model::metrics::{Baselines, ReconstructionSummary};
use crate::model::{Model, Summary};
pub use crate::network::engine::Footprint;
use crate::pca::Moments;
use crate::progress::{Ended, EpochRecord, Event, Stage, notify};
use crate::recipe::Recipe;
use crate::train::pretrain::PretrainedLayer;

/// Fits a recipe to rows: a PCA, an autoencoder or a classifier.
///
/// The same recipe, rows and seed give the same model, to the byte, with any number of threads.
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
/// Where the rows do not fit the recipe, a value is missing, rows cannot be read, or files cannot be written.
pub fn fit<'a>(recipe: &Recipe, training: impl Into<Dataset<'a>>, options: FitOptions<'_>) -> Result<Fit> {
    let training = training.into();
    recipe.validate()?;
    let FitOptions { held_out, compute, start_from, checkpoints, watch } = options;
    let whole = training.clone();
    let (training, held_out) = match held_out {
        HeldOut::Rows(rows) => (training, rows.clone()),
        HeldOut::Share(share) => hold_out(&training, share, recipe.seed())?,
    };
    checks::check_lengths(&training, &held_out)?;
    let mut ignore = |_: &Event| ControlFlow::Continue(());
    let job = Job {
        measured: [Measured::new(&*training.rows), Measured::new(&*held_out.rows)],
        training: &training,
        held_out: &held_out,
        compute,
        start_from,
        checkpoints,
        watch: watch.unwrap_or(&mut ignore),
    };
    job.require_complete().or_else(|error| {
        // The place of a value is that in the caller's rows, not in those that are left of them.
        require_complete(&Measured::new(&*whole.rows), &whole)?;
        Err(error)
    })?;
    match recipe {
        Recipe::Pca(recipe) => pca::fit(recipe, job),
        Recipe::Autoencoder(recipe) => autoencoder::fit(recipe, job),
        Recipe::Classifier(recipe) => classifier::fit(recipe, job),
    }
}

/// Options of [`fit()`]. `FitOptions::default()` holds out a tenth of the rows and uses all processors.
#[derive(Default)]
pub struct FitOptions<'a> {
    /// The held-out rows that the model is measured on.
    pub held_out: HeldOut<'a>,
    /// With what it computes; the model keeps it.
    pub compute: Compute,
    /// A model whose parameters training starts from, its scaling included: a network with the same layers, or a PCA, which
    /// is a network with one dense layer on each side. A classifier takes its encoder.
    pub start_from: Option<&'a Model>,
    /// The files that the state of training is kept in.
    pub checkpoints: Option<CheckpointOptions<'a>>,
    /// Is called with every [`Event`]; `ControlFlow::Break(())` stops training, and the best parameters so far are kept.
    pub watch: Option<&'a mut Watch<'a>>,
}

/// A callback for progress.
pub type Watch<'a> = dyn FnMut(&Event) -> ControlFlow<()> + Send + 'a;

/// The rows that a model is measured on.
#[derive(Clone)]
pub enum HeldOut<'a> {
    /// A share of the training rows (above 0, below 1), chosen by the recipe's seed; see [`hold_out`].
    Share(f64),
    /// Rows of their own.
    Rows(&'a Dataset<'a>),
}

/// A tenth of the training rows.
impl Default for HeldOut<'_> {
    fn default() -> Self {
        Self::Share(0.1)
    }
}

/// The files that the state of training is kept in, every ten seconds and when training is interrupted. They are removed
/// when training is finished.
#[derive(Debug, Clone, Copy)]
pub struct CheckpointOptions<'a> {
    /// The path of the model that will be written; the checkpoints lie beside it.
    pub model: &'a Path,
    /// Whether to go on from the newest of them, as if the run had never stopped.
    pub resume: bool,
}

/// A fitted model, and how it came about.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Fit {
    /// The model, with its summary.
    pub model: Model,
    /// The recipe that was fitted: with batch normalisation, where the model's own recipe is without.
    pub recipe: Recipe,
    /// The losses, epoch by epoch; empty for a PCA.
    pub history: Vec<EpochRecord>,
    /// Time spent finding the parameters from rows in memory, in seconds.
    pub seconds: f64,
    /// The layers that were pre-trained, from the first to the code; empty without pre-training.
    pub pretraining: Vec<PretrainedLayer>,
    /// Optimizer steps that were taken.
    pub steps: Steps,
    /// How training ended.
    pub ended: Ended,
    /// The codes of the first held-out rows, up to 10,000 (rows x code size); empty for a classifier.
    pub held_out_codes: Vec<f32>,
}

/// Optimizer steps of a fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Steps {
    /// Of the layers in pre-training.
    pub pretraining: usize,
    /// Of all layers together.
    pub training: usize,
}

impl Fit {
    /// How good the model was found to be on the held-out rows.
    ///
    /// # Panics
    /// Never: [`fit()`] always writes a summary.
    pub fn summary(&self) -> &Summary {
        self.model.summary().expect("every fit writes a summary")
    }

    /// The epoch whose parameters were kept, for a recipe that keeps those of the best epoch. None where the last epoch is
    /// kept, or there are no epochs.
    pub fn kept_epoch(&self) -> Option<usize> {
        let keeps_best = self.model.recipe.train().is_some_and(crate::recipe::Train::keeps_best);
        crate::train::best_epoch(&self.history).filter(|_| keeps_best).map(|record| record.epoch)
    }

    /// One plain sentence about the fit.
    pub fn verdict(&self) -> &str {
        self.summary().verdict()
    }
}

/// Held-out rows whose codes are kept.
const KEPT_CODES: usize = 10_000;

/// What a road from a recipe to a model is given.
struct Job<'a> {
    training: &'a Dataset<'a>,
    held_out: &'a Dataset<'a>,
    /// The statistics of both, measured at most once.
    measured: [Measured<'a>; 2],
    compute: Compute,
    start_from: Option<&'a Model>,
    checkpoints: Option<CheckpointOptions<'a>>,
    watch: &'a mut (dyn FnMut(&Event) -> ControlFlow<()> + Send + 'a),
}

fn require_complete(measured: &Measured<'_>, dataset: &Dataset<'_>) -> Result<()> {
    measured.require_complete().map_err(|error| error.at(&dataset.name))
}

impl Job<'_> {
    fn require_complete(&self) -> Result<()> {
        require_complete(&self.measured[0], self.training)?;
        require_complete(&self.measured[1], self.held_out)
    }

    /// The scale that a recipe asks for, chosen where it is left open.
    fn scale(&self, scale: Scale, needs_unit_range: bool) -> Result<Scale> {
        match scale {
            Scale::Auto => Ok(choose_scale(&self.measured[0], &self.measured[1], needs_unit_range)?.scale),
            Scale::None | Scale::Unit | Scale::Center | Scale::MinMax | Scale::Standard => Ok(scale),
        }
    }

    /// Learns a scaling from the training rows, and refuses held-out rows in other units.
    fn learn_scaling(&self, scale: Scale) -> Result<Scaling> {
        let element = self.training.rows.element();
        crate::model::check_units(element, scale, &self.measured[1])
            .map_err(|error| error.at(&self.held_out.name))?;
        Scaling::learn_from(scale, &self.measured[0])
    }

    /// Measures a PCA or an autoencoder on the held-out rows beside simpler methods; answers it with its summary, and the
    /// codes of the first held-out rows. `recipe` is the one that was fitted, `moments` are those of the training rows.
    fn measure(
        &mut self,
        mut model: Model,
        recipe: &Recipe,
        moments: &Moments,
        training: Training<'_>,
    ) -> Result<(Model, Vec<f32>)> {
        notify(&mut *self.watch, Event::Stage(Stage::Baselines));
        let held_out = &*self.held_out.rows;
        let baselines = Baselines::measure(moments, &model, held_out)?;
        let (evaluation, codes) = evaluate_with_codes(&model, held_out, KEPT_CODES)?;
        let sizes =
            Sizes { width: model.shape.len(), code: model.code_shape().len(), units: model.code_units() };
        model.summary = Some(Summary::Reconstruction(ReconstructionSummary {
            training_rows: self.training.rows.rows(),
            epochs: training.history.len(),
            train_loss: training.loss,
            verdict: verdict(recipe, sizes, &evaluation, &baselines, training),
            evaluation,
            baselines,
        }));
        Ok((model, codes))
    }
}
