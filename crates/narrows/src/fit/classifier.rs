//! The road of a classifier: labelled rows, the encoder that training starts from, training of all layers or of the last.

use super::checks::{Prepared, begin, check_memory, check_start, is_in_unit_range};
use super::{Fit, Job, Steps};
use crate::base::memory;
use crate::compute::Compute;
use crate::data::scaling::Scaling;
use crate::data::stats::Measured;
use crate::data::{Dataset, Shape, Subset};
use crate::error::{Error, Result};
use crate::evaluation::classes::{classification, commonest_error, nearest_mean_error};
use crate::evaluation::labels::{Labelled, class_numbers};
use crate::evaluation::verdict_of_classes::verdict;
use crate::model::metrics::ClassificationSummary;
use crate::model::{Fitted, Model, Part, Summary, check_units};
use crate::network::engine::Rows;
use crate::network::init::initial_parameters;
use crate::network::plan::Plan;
use crate::pca::Moments;
use crate::progress::{Ended, Event, Stage, notify};
use crate::recipe::{ClassifierRecipe, Function, Layer, Loss, Pretrain, Recipe, Train};
use crate::train::checkpoint::Checkpoints;
use crate::train::pretrain::{Encoder, Encoding, Outputs, PretrainedLayer, pretrain};
use crate::train::{Job as TrainingJob, State, Trained, best_epoch, train};

/// Steps that an epoch on labels has at least: few labelled rows are seen several times in an epoch, so that epochs mean the
/// same with few and with many.
const STEPS: usize = 100;

pub(super) fn fit(recipe: &ClassifierRecipe, mut job: Job<'_>) -> Result<Fit> {
    let labelled = Labelled::choose(job.training, recipe.labelled, recipe.train.seed)?;
    let held_out_classes = held_out_classes(&job, &labelled.names)?;
    let converted;
    let start = match job.start_from {
        Some(model) if model.pca().is_some() => {
            converted = model.to_network(Train::default())?;
            Some(&converted)
        }
        start => start,
    };
    let (recipe, scaling) = scaled(recipe, &job, start)?;
    check_recipe(&recipe, start)?;
    let task = Task::new(&recipe, &scaling, &labelled, &held_out_classes, job.training, job.compute)?;
    let (trained, found) = task.train(start, &mut job)?;
    let Trained { parameters, history, seconds, ended } = trained;
    let (folded, plan, parameters) = task.plan.folded_classifier(&recipe, parameters)?;

    notify(&mut *job.watch, Event::Stage(Stage::Evaluation));
    let rows = &*job.training.rows;
    let moments = Moments::measure(rows, &scaling, job.compute.level, job.compute.threads)?;
    let steps = Steps {
        // Also of a run that went on from a checkpoint, whose layers were pre-trained before.
        pretraining: recipe.pretrain.as_ref().map_or(0, |pretrain: &Pretrain| {
            pretrain.steps(&recipe.train, recipe.dense_layers(), rows.rows())
        }),
        training: task.on_labels.steps(history.len(), labelled.rows.len() * task.times),
    };
    let mut model = Model {
        shape: rows.shape(),
        element: rows.element(),
        training_mean: moments.mean().to_vec(),
        fitted: Fitted::Network { plan, parameters },
        summary: None,
        part: Part::Whole,
        classes: Some(labelled.names.clone()),
        recipe: Recipe::Classifier(folded.clone()),
        compute: job.compute,
        scaling: scaling.clone(),
    };
    let held_out = &*job.held_out.rows;
    let subset = Subset::new(job.training.rows.clone(), labelled.rows.clone());
    let kept = if recipe.train.keeps_best() { best_epoch(&history) } else { history.last() };
    let mut summary = ClassificationSummary {
        training_rows: rows.rows(),
        labelled_rows: labelled.rows.len(),
        epochs: history.len(),
        train_loss: kept.map_or(f64::NAN, |record| record.train_loss),
        evaluation: classification(&model, held_out, &held_out_classes)?,
        commonest_error: commonest_error(&labelled, &held_out_classes),
        nearest_mean_error: nearest_mean_error(&model, &labelled, &subset, held_out, &held_out_classes)?,
        verdict: String::new(),
    };
    summary.verdict = verdict(&folded, &summary, &labelled.names, &history, steps.training);
    model.summary = Some(Summary::Classification(summary));
    Ok(Fit {
        model,
        history,
        seconds: found.seconds + seconds,
        pretraining: found.layers,
        steps,
        ended,
        held_out_codes: Vec::new(),
        recipe: Recipe::Classifier(recipe.clone()),
    })
}

/// The classes of the held-out rows as indices into `names`.
fn held_out_classes(job: &Job<'_>, names: &[String]) -> Result<Vec<u32>> {
    class_numbers(job.held_out, names).map_err(|error| {
        error.hint(match &job.held_out.labels {
            None => "give the held-out rows their labels",
            Some(_) => "hold out rows of the same classes; another seed holds out other rows",
        })
    })
}

/// The recipe with its scale decided, and with the encoder of the model that training starts from; and the scaling.
fn scaled(
    recipe: &ClassifierRecipe,
    job: &Job<'_>,
    start: Option<&Model>,
) -> Result<(ClassifierRecipe, Scaling)> {
    let mut recipe = recipe.clone();
    let rows = &*job.training.rows;
    let Some(model) = start else {
        recipe.scale = job.scale(recipe.scale, false)?;
        let scaling = job.learn_scaling(recipe.scale)?;
        return Ok((recipe, scaling));
    };
    check_start(recipe.scale, model, rows).map_err(|error| error.at(&job.training.name))?;
    recipe.scale = model.recipe.scale();
    recipe.encoder = encoder_of(model)?;
    // The layers are trained already, and are not those that the recipe is about.
    (recipe.pretrain, recipe.about) = (None, None);
    check_units(rows.element(), recipe.scale, &job.measured[1])
        .map_err(|error| error.at(&job.held_out.name))?;
    Ok((recipe, model.scaling.clone()))
}

fn check_recipe(recipe: &ClassifierRecipe, start: Option<&Model>) -> Result<()> {
    recipe.validate()?;
    let is_random = recipe.pretrain.is_none() && start.is_none() && !recipe.encoder.is_empty();
    if recipe.frozen && is_random {
        return Err(Error::recipe("frozen: an encoder of random weights would never learn anything")
            .hint("add `pretrain` to the recipe, or start from a model"));
    }
    Ok(())
}

/// All that training a classifier needs.
struct Task<'a> {
    recipe: &'a ClassifierRecipe,
    plan: Plan,
    scaling: &'a Scaling,
    labelled: &'a Labelled,
    /// How often each labelled row is shown in an epoch.
    times: usize,
    /// The labelled rows, each as often as it is shown, and their classes.
    repeated: Subset<'a>,
    repeated_classes: Vec<u32>,
    held_out_classes: &'a [u32],
    /// The settings of training on labels.
    on_labels: Train,
}

/// The outcome of pre-training: none of it where there is no pre-training.
#[derive(Default)]
struct Pretraining {
    layers: Vec<PretrainedLayer>,
    /// Time spent on it, in seconds.
    seconds: f64,
    /// How it ended, where it did not finish.
    stopped: Option<Ended>,
}

impl<'a> Task<'a> {
    fn new(
        recipe: &'a ClassifierRecipe,
        scaling: &'a Scaling,
        labelled: &'a Labelled,
        held_out_classes: &'a [u32],
        training: &Dataset<'a>,
        compute: Compute,
    ) -> Result<Self> {
        let rows = &*training.rows;
        let plan = Plan::classifier(recipe, rows.shape(), labelled.names.len())?;
        let batch = recipe.train.batch_size.min(rows.rows());
        check_memory(&plan, recipe.train.optimizer()?, batch, compute.threads, memory::free())?;
        if recipe.is_normalized() && labelled.rows.len() < 2 {
            return Err(
                Error::data("batch_norm needs at least 2 labelled rows").hint("a single row has no spread")
            );
        }
        // Few labelled rows are shown several times in an epoch, in batches that have none of them twice.
        let times = repeats(labelled.rows.len(), recipe.train.batch_size);
        Ok(Self {
            recipe,
            plan,
            scaling,
            labelled,
            times,
            repeated: Subset::new(training.rows.clone(), labelled.rows.repeat(times)),
            repeated_classes: labelled.classes.repeat(times),
            held_out_classes,
            on_labels: Train {
                batch_size: recipe.train.batch_size.min(labelled.rows.len()),
                ..recipe.train.clone()
            },
        })
    }

    /// Pre-trains where the recipe says so, then trains on labels.
    fn train(&self, start: Option<&Model>, job: &mut Job<'_>) -> Result<(Trained, Pretraining)> {
        let level = job.compute.level;
        let of = |source, classes| Rows { source, scaling: self.scaling, classes };
        let raw = [
            of(&self.repeated, Some(&self.repeated_classes[..])),
            of(&*job.held_out.rows, Some(self.held_out_classes)),
        ];
        let mut files = job.checkpoints.map(|options| {
            let recipe = ClassifierRecipe { train: self.on_labels.clone(), ..self.recipe.clone() };
            Checkpoints::new(options.model, Recipe::Classifier(recipe), raw[0], raw[1])
        });
        let mut files = files.take().transpose()?;
        let resume = job.checkpoints.is_some_and(|options| options.resume);
        // Pre-training sees all rows; labels are learned from a part of them.
        let all = Prepared::new(of(&*job.training.rows, None), level)?;
        let prepared = [Prepared::new(raw[0], level)?, Prepared::new(raw[1], level)?];
        let [learn, held_out] = [prepared[0].rows(), prepared[1].rows()];

        let mut found = Pretraining::default();
        if self.recipe.frozen {
            // The encoder never changes: its codes are computed once, and a network of the last layer alone is trained on
            // them.
            if resume {
                return Err(Error::recipe("resume: a run with a frozen encoder keeps no checkpoints")
                    .hint("begin anew"));
            }
            let parameters = self.first_parameters(start, &all, held_out, job, &mut found)?;
            let trained = match found.stopped.clone() {
                Some(ended) => Trained { parameters, history: Vec::new(), seconds: 0.0, ended },
                None => self.train_head(parameters, learn, held_out, job)?,
            };
            return Ok((trained, found));
        }
        let optimizer = self.recipe.train.optimizer()?;
        let first = || {
            let parameters = self.first_parameters(start, &all, held_out, job, &mut found)?;
            Ok(State::new(parameters, optimizer))
        };
        let begun = begin(files.as_mut(), resume, &self.plan, optimizer, self.recipe.train.epochs, first)?;
        if let Some(ended) = found.stopped.clone() {
            let trained = Trained { parameters: begun.parameters, history: Vec::new(), seconds: 0.0, ended };
            return Ok((trained, found));
        }
        let mut keep = |state: &State| files.as_mut().map_or(Ok(()), |files| files.keep(state));
        let training = self.job(&self.plan, learn, held_out, job.compute);
        let trained = train(training, begun, &mut keep, &mut *job.watch)?;

        if let (Some(files), Ended::Finished | Ended::Early) = (&files, &trained.ended) {
            files.remove();
        }
        Ok((trained, found))
    }

    /// Training on labels, of the whole network or of its last layer.
    fn job<'r>(
        &'r self,
        plan: &'r Plan,
        rows: Rows<'r>,
        held_out: Rows<'r>,
        compute: Compute,
    ) -> TrainingJob<'r> {
        TrainingJob { plan, settings: &self.on_labels, rows, held_out, compute }
    }

    /// The parameters of a model, pre-trained ones, or random ones.
    fn first_parameters(
        &self,
        start: Option<&Model>,
        all: &Prepared<'_>,
        held_out: Rows<'_>,
        job: &mut Job<'_>,
        found: &mut Pretraining,
    ) -> Result<Vec<f32>> {
        let fresh = initial_parameters(&self.plan, self.recipe.train.seed);
        if let Some(model) = start {
            return Ok(from_model(model, &self.plan, &self.labelled.names, fresh));
        }
        let Some(settings) = &self.recipe.pretrain else { return Ok(fresh) };
        let encoding = Encoding {
            layers: &self.recipe.encoder,
            rows: end_of_rows(&job.measured[0], self.scaling)?,
            mirrored: false,
            scale: self.recipe.scale,
            weights: self.recipe.weights,
            train: &self.recipe.train,
        };
        let held_out = Rows { classes: None, ..held_out };
        let pretrained =
            pretrain(encoding, settings, &self.plan, all.rows(), held_out, job.compute, &mut *job.watch)?;
        found.seconds = pretrained.layers.iter().map(|layer| layer.seconds).sum();
        found.layers = pretrained.layers;
        found.stopped = Some(pretrained.ended).filter(|ended| *ended != Ended::Finished);
        notify(&mut *job.watch, Event::Stage(Stage::LabelTraining));
        Ok(pretrained.parameters)
    }

    /// Trains the softmax layer alone: the encoder's parameters stay as they are, bit for bit.
    fn train_head(
        &self,
        parameters: Vec<f32>,
        learn: Rows<'_>,
        held_out: Rows<'_>,
        job: &mut Job<'_>,
    ) -> Result<Trained> {
        let encoders = [Encoder { plan: self.plan.clone(), parameters: parameters.clone() }];
        let codes =
            [Outputs::of(learn, &encoders, job.compute)?, Outputs::of(held_out, &encoders, job.compute)?];
        let head = ClassifierRecipe { encoder: Vec::new(), pretrain: None, ..self.recipe.clone() };
        let plan = Plan::classifier(&head, Shape::flat(self.plan.code().len()), self.plan.output().len())?;
        let is_head = |name: &str| name.starts_with("decoder.");
        let first = put(&plan, vec![0.0; plan.buffer_len], &self.plan, &parameters, is_head);
        let training = self.job(
            &plan,
            Rows { classes: learn.classes, ..codes[0].rows() },
            Rows { classes: held_out.classes, ..codes[1].rows() },
            job.compute,
        );
        let start = State::new(first, self.on_labels.optimizer()?);
        let trained = train(training, start, &mut |_| Ok(()), &mut *job.watch)?;

        let parameters = put(&self.plan, parameters, &plan, &trained.parameters, is_head);
        Ok(Trained { parameters, ..trained })
    }
}

/// How often each of so many labelled rows is shown in an epoch: so often that an epoch has [`STEPS`] steps or more, of batches that are
/// no larger than the rows are many.
fn repeats(rows: usize, batch: usize) -> usize {
    let batch = batch.min(rows);
    (STEPS * batch).div_ceil(rows).max(1)
}

/// The layers of a model's encoder, as those of a classifier: without the noise that it learned to take off.
fn encoder_of(model: &Model) -> Result<Vec<Layer>> {
    model.must_have(Part::Encoder, "encode rows")?;
    let layers = match &model.recipe {
        Recipe::Autoencoder(network) if network.is_variational() => {
            return Err(Error::model(
                "the model that training starts from is variational: its code is drawn at random",
            )
            .hint("start from another autoencoder"));
        }
        Recipe::Autoencoder(network) => &network.encoder,
        Recipe::Classifier(classifier) => &classifier.encoder,
        Recipe::Pca(_) => unreachable!("made a network before"),
    };
    Ok(layers.iter().filter(|layer| !matches!(layer, Layer::Noise(_))).cloned().collect())
}

/// The numbers of a model's encoder in their places of a classifier with the same layers; those of its softmax layer too,
/// where it tells the same classes. The others are `fresh`.
fn from_model(model: &Model, plan: &Plan, names: &[String], fresh: Vec<f32>) -> Vec<f32> {
    let Fitted::Network { plan: own, parameters } = &model.fitted else {
        unreachable!("made a network before")
    };
    let same_classes = model.classes.as_ref().is_some_and(|classes| classes == names);
    put(plan, fresh, own, parameters, |name| name.starts_with("encoder.") || same_classes)
}

/// Copies the parameters that are `wanted` by their names from one network to another.
fn put(plan: &Plan, mut to: Vec<f32>, own: &Plan, from: &[f32], wanted: impl Fn(&str) -> bool) -> Vec<f32> {
    for parameter in plan.parameters.iter().filter(|parameter| wanted(&parameter.name)) {
        if let Some(found) = own.parameters.iter().find(|found| found.name == parameter.name) {
            to[parameter.range.clone()].copy_from_slice(&from[found.range.clone()]);
        }
    }
    to
}

/// The last function and the loss of an autoencoder of the rows: sigmoid and BCE for rows in 0..1, else linear and MSE.
fn end_of_rows(rows: &Measured<'_>, scaling: &Scaling) -> Result<(Function, Loss)> {
    Ok(if is_in_unit_range(rows, scaling)? {
        (Function::Sigmoid, Loss::Bce)
    } else {
        (Function::Linear, Loss::Mse)
    })
}
