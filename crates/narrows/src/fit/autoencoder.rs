//! Fitting an autoencoder: initial parameters, training, folding of batch normalisation. And the builder [`Autoencoder`].

use std::time::Instant;

use super::checks::{UNIT_RANGE, check_initial_model, check_unit_range};
use super::needs::{NetworkFit, require_network};
use super::start::{Initialisation, TrainingRows, parameters_from_model, train_from};
use super::{Fit, FitJob, FitOptions, HeldOutResults, Steps, fit as fit_recipe, kept_record};
use crate::data::scaling::{Levels, Scale, Scaling};
use crate::data::{ColumnError, Dataset};
use crate::error::{Error, Result};
use crate::evaluation::reconstruction::measure;
use crate::evaluation::verdict::TrainingOutcome;
use crate::model::Fitted;
use crate::network::engine::Rows;
use crate::network::init::initial_parameters;
use crate::network::plan::Plan;
use crate::pca::closed_form::closed_form;
use crate::pca::network_start::pca_start;
use crate::progress::{Event, Stage, notify};
use crate::recipe::{AutoencoderRecipe, Function, Init, Layer, Loss, Recipe, Train};
use crate::train::pretrain::{pretrain, pretraining_bytes};
use crate::train::{Job as TrainingJob, Trained, epochs_done};

pub(super) fn fit(recipe: &AutoencoderRecipe, mut job: FitJob<'_>) -> Result<Fit> {
    let (recipe, scaling) = choose_scaling(recipe, &job)?;
    let Found { plan, trained, initialisation, memory } = find_parameters(&recipe, &scaling, &mut job)?;
    let Trained { parameters, history, seconds, ended } = trained;

    let is_evaluated = job.begin(Stage::Baselines);
    let rows = &*job.training.rows;
    let moments = match initialisation.moments {
        Some(moments) => Some(moments),
        None if is_evaluated => Some(job.moments(&scaling)?),
        None => None,
    };
    let mean = match &moments {
        // What fills gaps is what filled them in training, to the last digit.
        Some(moments) if plan.fill.is_none() => moments.mean().to_vec(),
        _ => job.training_mean(&scaling)?,
    };
    let plan = Plan { fill: None, ..plan };
    let (folded, plan, parameters) = plan.folded(&recipe, parameters)?;
    let folded = if recipe.is_normalized() { folded } else { recipe.clone() };
    let model = job.model(Recipe::Autoencoder(folded), scaling, mean, Fitted::Network { plan, parameters });

    let steps = Steps {
        pretraining: initialisation.steps,
        training: recipe.train.steps(epochs_done(&history), rows.rows()),
    };
    let kept_loss = kept_record(&recipe.train, &history).map(|record| record.train_loss);
    let recipe = Recipe::Autoencoder(recipe);
    let (model, held_out) = match &moments {
        Some(moments) if is_evaluated => {
            let loss = match kept_loss {
                Some(loss) => loss,
                None => measure(&model, rows, 0)?.metrics.loss,
            };
            let training = TrainingOutcome { loss, history: &history, steps: steps.training };
            job.evaluate(model, &recipe, moments, training)?
        }
        _ => (model, HeldOutResults::default()),
    };
    Ok(Fit {
        model,
        recipe,
        history,
        seconds: initialisation.seconds + seconds,
        pretraining: initialisation.layers,
        steps,
        ended,
        memory,
        held_out_codes: held_out.codes,
        columns: held_out.columns,
        randomized: None,
        gaps: None,
    })
}

/// The recipe with its scale resolved, and the scaling: that of the initial model, or learned from the training rows.
fn choose_scaling(recipe: &AutoencoderRecipe, job: &FitJob<'_>) -> Result<(AutoencoderRecipe, Scaling)> {
    let mut recipe = recipe.clone();
    let scaling = match job.start_from {
        Some(model) => {
            check_initial_model(recipe.scale, model, &*job.training.rows)
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
            job.learn_scaling(
                recipe.scale,
                if recipe.loss == Loss::Mixed { Levels::Plain } else { Levels::Weighed },
            )?
        }
    };
    if recipe.loss == Loss::Mixed {
        check_columns(job, &scaling)?;
    }
    if recipe.loss.needs_shares() {
        check_unit_range(job.training, &job.measured[0], &recipe, &scaling)?;
        // A range that was learned from the training rows may not contain all held-out rows. That does no harm, because they
        // are only evaluated.
        if matches!(recipe.scale, Scale::None | Scale::Unit) {
            check_unit_range(job.held_out, &job.measured[1], &recipe, &scaling)?;
        }
    }
    Ok((recipe, scaling))
}

/// Refuses yes and no, and levels of categories, that are not in 0..1 after scaling: their errors are those of probabilities.
fn check_columns(job: &FitJob<'_>, scaling: &Scaling) -> Result<()> {
    let Some(columns) = &job.training.encoded else { return Ok(()) };
    let width = job.training.rows.shape().len();
    for (measured, dataset) in job.measured.iter().zip([job.training, job.held_out]) {
        let statistics = measured.statistics()?;
        let mut extremes = [statistics.least.clone(), statistics.most.clone()];
        extremes.iter_mut().for_each(|row| scaling.apply_f64(row, width));
        for (number, column) in (1..).zip(columns.iter()) {
            let mut own = extremes.iter().filter_map(|row| row.get(column.range.clone())).flatten();
            // The extremes of a column without any value are infinite.
            let is_outside = |value: &&f64| value.is_finite() && !UNIT_RANGE.contains(*value);
            if column.error != ColumnError::Squared
                && let Some(value) = own.find(is_outside)
            {
                return Err(Error::data(format!(
                    "{}: column {number} of the table: {value} lies outside 0..1, where yes, no and levels are",
                    dataset.name
                )));
            }
        }
    }
    Ok(())
}

/// The trained network.
struct Found {
    plan: Plan,
    trained: Trained,
    initialisation: Initialisation,
    /// Bytes that the fit was told to take.
    memory: usize,
}

fn find_parameters(recipe: &AutoencoderRecipe, scaling: &Scaling, job: &mut FitJob<'_>) -> Result<Found> {
    let (rows, compute) = (&*job.training.rows, job.compute);
    let columns = job.training.encoded.as_ref().map_or(&[][..], |columns| columns);
    let mut plan = Plan::with_columns(recipe, rows.shape(), columns)?;
    if job.has_gaps()? {
        plan.fill = Some(job.training_mean(scaling)?.into_iter().map(|mean| mean as f32).collect());
    }
    if recipe.is_normalized() && rows.rows() < 2 {
        return Err(
            Error::data("batch_norm needs at least 2 training rows").hint("a single row has no spread")
        );
    }
    let counts = job.row_counts();
    let pretraining = match &recipe.pretrain {
        Some(settings) if job.start_from.is_none() => {
            pretraining_bytes(recipe.into(), settings, &plan, [counts.training, counts.held_out], compute)?
        }
        _ => 0,
    };
    let memory = require_network(NetworkFit {
        plan: &plan,
        train: &recipe.train,
        rows: counts,
        pretraining,
        keeps_checkpoints: job.checkpoints.is_some(),
        compute,
    })?;

    let raw = [rows, &*job.held_out.rows].map(|source| Rows { source, scaling, classes: None });
    let in_memory = [TrainingRows::new(raw[0], compute.level)?, TrainingRows::new(raw[1], compute.level)?];
    let [training, held_out] = [in_memory[0].rows(), in_memory[1].rows()];
    let training_job =
        TrainingJob { plan: &plan, settings: &recipe.train, rows: training, held_out, compute };
    let (trained, initialisation) =
        train_from(training_job, recipe.pretrain.is_some(), job, |job, initialisation| {
            first_parameters(recipe, scaling, training_job, job, initialisation)
        })?;
    Ok(Found { plan, trained, initialisation, memory })
}

/// The parameters of the initial model, of the closed form, of pre-training, or random ones.
fn first_parameters(
    recipe: &AutoencoderRecipe,
    scaling: &Scaling,
    TrainingJob { plan, rows, held_out, compute, .. }: TrainingJob<'_>,
    job: &mut FitJob<'_>,
    initialisation: &mut Initialisation,
) -> Result<Vec<f32>> {
    if let Some(model) = job.start_from {
        return parameters_from_model(model, plan);
    }
    if recipe.weights.init == Init::ClosedForm {
        let started = Instant::now();
        let moments = job.moments(scaling)?;
        let parameters = closed_form(plan, &moments, compute.level)?;
        initialisation.moments = Some(moments);
        initialisation.seconds = started.elapsed().as_secs_f64();
        return Ok(parameters);
    }
    if recipe.weights.init == Init::Pca {
        let started = Instant::now();
        let moments = job.moments(scaling)?;
        let parameters =
            pca_start(plan, &moments, initial_parameters(plan, recipe.train.seed), compute.level)?;
        initialisation.moments = Some(moments);
        initialisation.seconds = started.elapsed().as_secs_f64();
        return Ok(parameters);
    }
    let Some(settings) = &recipe.pretrain else { return Ok(initial_parameters(plan, recipe.train.seed)) };
    let both = [rows, held_out];
    let pretrained =
        pretrain(recipe.into(), settings, plan, both, compute, job.checkpoints, &mut *job.watch)?;
    let steps = settings.steps(&recipe.train, recipe.dense_layers(), rows.source.rows());
    notify(&mut *job.watch, Event::Stage(Stage::FineTuning));
    Ok(initialisation.record_pretraining(pretrained, steps))
}

/// A builder of autoencoders: layers, then settings, then [`Autoencoder::fit`].
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
    /// An autoencoder with the given layers from the row to the code and from the code to the row. The scaling is chosen from
    /// the rows (`Scale::Auto`), the loss is the mean squared error, and training has its default settings.
    pub fn new(encoder: impl IntoIterator<Item = Layer>, decoder: impl IntoIterator<Item = Layer>) -> Self {
        Self(AutoencoderRecipe::new(encoder.into_iter().collect(), decoder.into_iter().collect()))
    }

    /// Dense layers of the given widths from the row to the code, such as `[784, 128, 32]`, and mirrored from the code to the
    /// row. The first width is that of a row. There is a ReLU between layers; the code and the output are linear.
    pub fn dense(widths: &[usize]) -> Self {
        Self(AutoencoderRecipe::dense(widths))
    }

    /// Replaces each ReLU by another activation function.
    pub fn activation(mut self, function: Function) -> Self {
        for layer in self.0.encoder.iter_mut().chain(&mut self.0.decoder) {
            if *layer == Layer::relu() {
                *layer = Layer::Function(function);
            }
        }
        self
    }

    /// Sets the loss. BCE needs rows in 0..1 and a sigmoid at the end of the decoder, cross-entropy needs a softmax; a missing one
    /// is added.
    pub fn loss(mut self, loss: Loss) -> Self {
        let end = match loss {
            Loss::Bce => Some(Function::Sigmoid),
            Loss::CrossEntropy => Some(Function::Softmax),
            Loss::Mse | Loss::Mae | Loss::Huber | Loss::Mixed => None,
        };
        if let Some(end) = end
            && self.0.decoder.last() != Some(&Layer::Function(end))
        {
            self.0.decoder.push(Layer::Function(end));
        }
        self.0.loss = loss;
        self
    }

    /// Sets the scaling of the rows.
    pub fn scale(mut self, scale: Scale) -> Self {
        self.0.scale = scale;
        self
    }

    /// Sets the settings of training.
    pub fn train(mut self, train: Train) -> Self {
        self.0.train = train;
        self
    }

    /// The recipe, for further settings and for [`fit()`](super::fit()) with options.
    pub fn recipe(self) -> Recipe {
        Recipe::Autoencoder(self.0)
    }

    /// Fits the autoencoder to rows, a tenth of which are held out.
    ///
    /// # Errors
    /// As [`fit()`](super::fit()).
    pub fn fit<'a>(self, rows: impl Into<Dataset<'a>>) -> Result<Fit> {
        fit_recipe(&self.recipe(), rows, FitOptions::default())
    }
}
