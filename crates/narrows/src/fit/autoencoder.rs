//! The road of an autoencoder: first parameters, training, batch normalisation folded away. And its door for programs.

use std::time::Instant;

use super::checks::{Prepared, begin, check_memory, check_start, check_unit_range, parameters_of};
use super::{Fit, FitOptions, Job, Steps, fit as fit_recipe};
use crate::base::memory;
use crate::data::Dataset;
use crate::data::scaling::{Scale, Scaling};
use crate::error::{Error, Result};
use crate::evaluation::reconstruction::evaluate_with_codes;
use crate::evaluation::verdict::Training;
use crate::model::{Fitted, Model, Part};
use crate::network::engine::Rows;
use crate::network::init::initial_parameters;
use crate::network::plan::Plan;
use crate::pca::Moments;
use crate::pca::closed_form::closed_form;
use crate::progress::{Ended, Event, Stage, notify};
use crate::recipe::{AutoencoderRecipe, Function, Init, Layer, Loss, Recipe, Train};
use crate::train::checkpoint::Checkpoints;
use crate::train::pretrain::{PretrainedLayer, pretrain};
use crate::train::{Job as TrainingJob, State, Trained, best_epoch, train};

pub(super) fn fit(recipe: &AutoencoderRecipe, mut job: Job<'_>) -> Result<Fit> {
    let (recipe, scaling) = scaled(recipe, &job)?;
    let mut found = find_parameters(&recipe, &scaling, &mut job)?;

    // Training may have measured the moments: the closed form is found from them.
    let moments = match found.moments.take() {
        Some(moments) => moments,
        None => Moments::measure(&*job.training.rows, &scaling, job.compute.level, job.compute.threads)?,
    };
    let rows = &*job.training.rows;
    let (folded, plan, parameters) = found.plan.folded(&recipe, found.parameters)?;
    let folded = if recipe.is_normalized() { folded } else { recipe.clone() };
    let recipe = Recipe::Autoencoder(recipe);
    let model = Model {
        recipe: Recipe::Autoencoder(folded),
        shape: rows.shape(),
        element: rows.element(),
        training_mean: moments.mean().to_vec(),
        fitted: Fitted::Network { plan, parameters },
        summary: None,
        part: Part::Whole,
        classes: None,
        scaling,
        compute: job.compute,
    };
    let steps = Steps {
        pretraining: found.pretraining_steps,
        training: recipe.train().map_or(0, |train| train.steps(found.history.len(), rows.rows())),
    };
    let loss = match found.train_loss {
        Some(loss) => loss,
        None => evaluate_with_codes(&model, rows, 0)?.0.loss,
    };
    let training = Training { loss, history: &found.history, steps: steps.training };
    let (model, held_out_codes) = job.measure(model, &recipe, &moments, training)?;
    let Found { history, seconds, pretraining, ended, .. } = found;
    Ok(Fit { model, recipe, history, seconds, pretraining, steps, ended, held_out_codes })
}

/// The recipe with its scale decided, and the scaling: learned from the training rows, or that of the model that training
/// starts from.
fn scaled(recipe: &AutoencoderRecipe, job: &Job<'_>) -> Result<(AutoencoderRecipe, Scaling)> {
    let mut recipe = recipe.clone();
    let scaling = match job.start_from {
        Some(model) => {
            check_start(recipe.scale, model, &*job.training.rows)
                .map_err(|error| error.at(&job.training.name))?;
            if recipe.weights.init == Init::ClosedForm {
                return Err(Error::recipe(
                    "weights.init: closed_form is a start of its own, not one from a model",
                )
                .hint("weights.init = \"auto\""));
            }
            recipe.scale = model.recipe.scale();
            model.scaling.clone()
        }
        None => {
            recipe.scale = job.scale(recipe.scale, recipe.loss.needs_shares())?;
            job.learn_scaling(recipe.scale)?
        }
    };
    if recipe.loss.needs_shares() {
        check_unit_range(job.training, &job.measured[0], &recipe, &scaling)?;
        // Where the range was learned from the training rows, others may reach beyond it; they are only evaluated.
        if matches!(recipe.scale, Scale::None | Scale::Unit) {
            check_unit_range(job.held_out, &job.measured[1], &recipe, &scaling)?;
        }
    }
    Ok((recipe, scaling))
}

/// The parameters that were found, and how.
struct Found {
    plan: Plan,
    parameters: Vec<f32>,
    history: Vec<crate::progress::EpochRecord>,
    /// The loss on the training rows, over the epoch that was kept; none where nothing was trained.
    train_loss: Option<f64>,
    seconds: f64,
    ended: Ended,
    /// Of the training rows, where the closed form needed them.
    moments: Option<Moments>,
    pretraining: Vec<PretrainedLayer>,
    pretraining_steps: usize,
}

fn find_parameters(recipe: &AutoencoderRecipe, scaling: &Scaling, job: &mut Job<'_>) -> Result<Found> {
    let (rows, compute) = (&*job.training.rows, job.compute);
    let plan = Plan::new(recipe, rows.shape())?;
    let optimizer = recipe.train.optimizer()?;
    if recipe.is_normalized() && rows.rows() < 2 {
        return Err(
            Error::data("batch_norm needs at least 2 training rows").hint("a single row has no spread")
        );
    }
    check_memory(
        &plan,
        optimizer,
        recipe.train.batch_size.min(rows.rows()),
        compute.threads,
        memory::free(),
    )?;
    let raw = [rows, &*job.held_out.rows].map(|source| Rows { source, scaling, classes: None });
    let prepared = [Prepared::new(raw[0], compute.level)?, Prepared::new(raw[1], compute.level)?];
    let [learn, held_out] = [prepared[0].rows(), prepared[1].rows()];

    let begun = Instant::now();
    let (mut moments, mut preparation, mut pretraining_steps) = (None, 0.0, 0);
    let (mut pretraining, mut stopped) = (Vec::new(), Ended::Finished);
    let (start_from, watch) = (job.start_from, &mut *job.watch);
    let first_state = || -> Result<State> {
        let parameters = if let Some(model) = start_from {
            parameters_of(model, &plan)?
        } else if recipe.weights.init == Init::ClosedForm {
            let found = Moments::measure(rows, scaling, compute.level, compute.threads)?;
            let parameters = closed_form(&plan, &found, compute.level)?;
            moments = Some(found);
            preparation = begun.elapsed().as_secs_f64();
            parameters
        } else if let Some(settings) = &recipe.pretrain {
            let found = pretrain(recipe.into(), settings, &plan, learn, held_out, compute, watch)?;
            preparation = found.layers.iter().map(|layer| layer.seconds).sum();
            pretraining_steps = settings.steps(&recipe.train, recipe.dense_layers(), rows.rows());
            (pretraining, stopped) = (found.layers, found.ended);
            notify(watch, Event::Stage(Stage::FineTuning));
            found.parameters
        } else {
            initial_parameters(&plan, recipe.train.seed)
        };
        Ok(State::new(parameters, optimizer))
    };
    let mut files = job
        .checkpoints
        .map(|options| Checkpoints::new(options.model, Recipe::Autoencoder(recipe.clone()), raw[0], raw[1]))
        .transpose()?;
    let resume = job.checkpoints.is_some_and(|options| options.resume);
    let start = begin(files.as_mut(), resume, &plan, optimizer, recipe.train.epochs, first_state)?;
    if stopped != Ended::Finished {
        return Ok(Found {
            plan,
            parameters: start.parameters,
            history: Vec::new(),
            train_loss: None,
            seconds: preparation,
            ended: stopped,
            moments,
            pretraining,
            pretraining_steps,
        });
    }
    let mut keep = |state: &State| files.as_mut().map_or(Ok(()), |files| files.keep(state));
    let training = TrainingJob { plan: &plan, settings: &recipe.train, rows: learn, held_out, compute };
    let trained = train(training, start, &mut keep, &mut *job.watch)?;

    let Trained { parameters, history, seconds, ended } = trained;
    if let (Some(files), Ended::Finished | Ended::Early) = (&files, &ended) {
        files.remove();
    }
    let kept = if recipe.train.keeps_best() { best_epoch(&history) } else { history.last() };
    let train_loss = kept.map(|record| record.train_loss);
    let seconds = preparation + seconds;
    Ok(Found {
        plan,
        parameters,
        history,
        train_loss,
        seconds,
        ended,
        moments,
        pretraining,
        pretraining_steps,
    })
}

/// An autoencoder in the making: layers, then settings, then [`Autoencoder::fit`].
///
/// ```
/// use narrows::{Autoencoder, Function, Train};
///
/// let iris = narrows_datasets::iris();
/// let fit = Autoencoder::dense(&[4, 8, 2])
///     .activation(Function::Tanh)
///     .train(Train { epochs: 20, ..Train::default() })
///     .fit(&iris)?;
/// let codes = fit.model.encode(&iris)?.to_array_f32(); // 150 x 2
/// # assert_eq!(codes.dim(), (150, 2));
/// # Ok::<(), narrows::Error>(())
/// ```
///
/// Layers of your own:
///
/// ```
/// use narrows::{Autoencoder, Layer, Train};
///
/// let fit = Autoencoder::new(
///     [Layer::dropout(0.1), Layer::dense(8), Layer::relu(), Layer::dense(2)],
///     [Layer::dense(8), Layer::relu(), Layer::dense_to_input()],
/// )
/// .train(Train { epochs: 20, ..Train::default() })
/// .fit(&narrows_datasets::iris())?;
/// println!("{}", fit.verdict());
/// # Ok::<(), narrows::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Autoencoder(AutoencoderRecipe);

impl Autoencoder {
    /// Layers from the row to the code, and from the code to the row. Rows are scaled as suits them (`Scale::Auto`), the
    /// loss is mean squared error, training has its defaults.
    pub fn new(encoder: impl IntoIterator<Item = Layer>, decoder: impl IntoIterator<Item = Layer>) -> Self {
        Self(AutoencoderRecipe::new(encoder.into_iter().collect(), decoder.into_iter().collect()))
    }

    /// Dense layers of these widths from the row to the code, and mirrored back: `[784, 128, 32]`. ReLU between layers; the
    /// code and the output are linear. The first width is that of a row.
    pub fn dense(widths: &[usize]) -> Self {
        Self(AutoencoderRecipe::dense(widths))
    }

    /// The function between layers, in place of each ReLU.
    pub fn activation(mut self, function: Function) -> Self {
        for layer in self.0.encoder.iter_mut().chain(&mut self.0.decoder) {
            if *layer == Layer::relu() {
                *layer = Layer::Function(function);
            }
        }
        self
    }

    /// The loss. BCE needs rows in 0..1 and a decoder that ends in a sigmoid, which is added where it is missing.
    pub fn loss(mut self, loss: Loss) -> Self {
        let end = match loss {
            Loss::Bce => Some(Function::Sigmoid),
            Loss::CrossEntropy => Some(Function::Softmax),
            Loss::Mse | Loss::Mae | Loss::Huber => None,
        };
        if let Some(end) = end
            && self.0.decoder.last() != Some(&Layer::Function(end))
        {
            self.0.decoder.push(Layer::Function(end));
        }
        self.0.loss = loss;
        self
    }

    /// How rows are scaled before the network sees them.
    pub fn scale(mut self, scale: Scale) -> Self {
        self.0.scale = scale;
        self
    }

    /// The settings of training.
    pub fn train(mut self, train: Train) -> Self {
        self.0.train = train;
        self
    }

    /// The recipe, for settings beyond these and for [`fit()`](super::fit()) with options.
    pub fn recipe(self) -> Recipe {
        Recipe::Autoencoder(self.0)
    }

    /// Fits it to rows, with a tenth of them held out.
    ///
    /// # Errors
    /// As [`fit()`](super::fit()).
    pub fn fit<'a>(self, rows: impl Into<Dataset<'a>>) -> Result<Fit> {
        fit_recipe(&self.recipe(), rows, FitOptions::default())
    }
}
