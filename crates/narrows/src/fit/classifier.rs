//! Fitting a classifier: the choice of labelled rows, initial parameters, training of all layers or of the softmax layer
//! alone.

use super::checks::{check_initial_model, is_in_unit_range};
use super::needs::{NetworkFit, require_network};
use super::start::{Initialisation, TrainingRows, train_from};
use super::{Fit, FitJob, Steps, kept_record, no_verdict};
use crate::compute::Compute;
use crate::data::scaling::{Levels, Scaling};
use crate::data::stats::Measured;
use crate::data::{Dataset, Shape, Source, Subset};
use crate::error::{Error, Result};
use crate::evaluation::classes::{commonest_error, measure, nearest_mean_error};
use crate::evaluation::labels::{Labelled, class_numbers};
use crate::evaluation::verdict_of_classes::verdict;
use crate::model::metrics::ClassificationSummary;
use crate::model::{Fitted, Model, Summary, check_units};
use crate::network::engine::Rows;
use crate::network::init::initial_parameters;
use crate::network::plan::Plan;
use crate::pca::Moments;
use crate::progress::{EpochRecord, Event, Stage, notify};
use crate::recipe::{ClassifierRecipe, Function, Layer, Loss, Recipe, Train};
use crate::train::pretrain::{Encoder, Encoding, Outputs, pretrain, pretraining_bytes};
use crate::train::{Job as TrainingJob, Trained};

/// The smallest number of optimizer steps in an epoch on labels. Few labelled rows are repeated within an epoch, so that an
/// epoch means the same with few and with many.
const STEPS: usize = 100;

pub(super) fn fit(recipe: &ClassifierRecipe, mut job: FitJob<'_>) -> Result<Fit> {
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
    let (recipe, scaling) = choose_scaling(recipe, &job, start)?;
    check_recipe(&recipe, start)?;
    let task = LabelTraining::new(&recipe, &scaling, &labelled, &held_out_classes, job.training, &job)?;
    let (trained, initialisation) = task.train(start, &mut job)?;

    let Trained { parameters, history, seconds, ended } = trained;
    let steps = task.steps(&history, job.training.rows.rows());
    let model = task.model(parameters, &history, steps, &mut job)?;
    Ok(Fit {
        model,
        history,
        seconds: initialisation.seconds + seconds,
        pretraining: initialisation.layers,
        steps,
        ended,
        memory: task.memory,
        held_out_codes: Vec::new(),
        columns: Vec::new(),
        randomized: None,
        gaps: None,
        recipe: Recipe::Classifier(recipe.clone()),
    })
}

/// The classes of the held-out rows as indices into `names`.
fn held_out_classes(job: &FitJob<'_>, names: &[String]) -> Result<Vec<u32>> {
    class_numbers(job.held_out, names).map_err(|error| {
        error.hint(match &job.held_out.labels {
            None => "give the held-out rows their labels",
            Some(_) => "hold out rows of the same classes; another seed holds out other rows",
        })
    })
}

/// The recipe with its scale resolved, and the scaling: those of the initial model `start` with its encoder, or learned from
/// the training rows.
fn choose_scaling(
    recipe: &ClassifierRecipe,
    job: &FitJob<'_>,
    start: Option<&Model>,
) -> Result<(ClassifierRecipe, Scaling)> {
    let mut recipe = recipe.clone();
    let rows = &*job.training.rows;
    let Some(model) = start else {
        recipe.scale = job.scale(recipe.scale, false)?;
        let scaling = job.learn_scaling(recipe.scale, Levels::Weighed)?;
        return Ok((recipe, scaling));
    };
    check_initial_model(recipe.scale, model, rows).map_err(|error| error.at(&job.training.name))?;
    recipe.scale = model.recipe.scale();
    recipe.encoder = encoder_of(model)?;
    // The layers are trained already, and the recipe's description is about other layers.
    (recipe.pretrain, recipe.about) = (None, None);
    check_units(rows.element(), &job.measured[1]).map_err(|error| error.at(&job.held_out.name))?;
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

/// Training on labels, and what it needs.
struct LabelTraining<'a> {
    recipe: &'a ClassifierRecipe,
    plan: Plan,
    scaling: &'a Scaling,
    labelled: &'a Labelled,
    held_out_classes: &'a [u32],
    /// Repetitions of each labelled row in an epoch.
    repeats: usize,
    /// The labelled rows, repeated, and their classes.
    repeated: Subset<'a>,
    repeated_classes: Vec<u32>,
    /// The settings of training on labels. A batch is no larger than the number of labelled rows, so that it has no row twice.
    settings: Train,
    /// Bytes that the fit was told to take.
    memory: usize,
}

impl<'a> LabelTraining<'a> {
    fn new(
        recipe: &'a ClassifierRecipe,
        scaling: &'a Scaling,
        labelled: &'a Labelled,
        held_out_classes: &'a [u32],
        training: &Dataset<'a>,
        job: &FitJob<'_>,
    ) -> Result<Self> {
        let compute = job.compute;
        let rows = &*training.rows;
        let plan = Plan::classifier(recipe, rows.shape(), labelled.names.len())?;
        let counts = job.row_counts();
        let pretraining = match &recipe.pretrain {
            // The output function and the loss of the layers do not change their memory.
            Some(settings) => {
                let encoding = Encoding::of_classifier(recipe, (Function::Linear, Loss::Mse));
                pretraining_bytes(encoding, settings, &plan, [counts.training, counts.held_out], compute)?
            }
            None => 0,
        };
        let memory = require_network(NetworkFit {
            plan: &plan,
            train: &recipe.train,
            rows: counts,
            pretraining,
            keeps_checkpoints: job.checkpoints.is_some(),
            compute,
        })?;
        if recipe.is_normalized() && labelled.rows.len() < 2 {
            return Err(
                Error::data("batch_norm needs at least 2 labelled rows").hint("a single row has no spread")
            );
        }
        let repeats = repeats(labelled.rows.len(), recipe.train.batch_size);
        let batch_size = recipe.train.batch_size.min(labelled.rows.len());
        Ok(Self {
            recipe,
            plan,
            scaling,
            labelled,
            held_out_classes,
            repeats,
            repeated: Subset::new(training.rows.clone(), labelled.rows.repeat(repeats)),
            repeated_classes: labelled.classes.repeat(repeats),
            settings: Train { batch_size, ..recipe.train.clone() },
            memory,
        })
    }

    /// Pre-trains if the recipe says so, then trains on labels.
    fn train(&self, start: Option<&Model>, job: &mut FitJob<'_>) -> Result<(Trained, Initialisation)> {
        let rows = |source, classes| Rows { source, scaling: self.scaling, classes };
        let all: &dyn Source = &*job.training.rows;
        let raw = [
            rows(&self.repeated, Some(&self.repeated_classes[..])),
            rows(&*job.held_out.rows, Some(self.held_out_classes)),
        ];
        // Pre-training sees all rows, training on labels the labelled ones.
        let level = job.compute.level;
        let all = TrainingRows::new(rows(all, None), level)?;
        let in_memory = [TrainingRows::new(raw[0], level)?, TrainingRows::new(raw[1], level)?];
        let [labelled, held_out] = [in_memory[0].rows(), in_memory[1].rows()];

        let initial = |job: &mut FitJob<'_>, initialisation: &mut Initialisation| {
            self.first_parameters(start, all.rows(), held_out, job, initialisation)
        };
        if self.recipe.frozen {
            return self.train_softmax_layer(initial, labelled, held_out, job);
        }
        let training = self.training_job(&self.plan, labelled, held_out, job.compute);
        train_from(training, self.recipe.pretrain.is_some(), job, initial)
    }

    fn training_job<'r>(
        &'r self,
        plan: &'r Plan,
        rows: Rows<'r>,
        held_out: Rows<'r>,
        compute: Compute,
    ) -> TrainingJob<'r> {
        TrainingJob { plan, settings: &self.settings, rows, held_out, compute }
    }

    /// The parameters of the initial model, of pre-training on `all` rows, or random ones.
    fn first_parameters(
        &self,
        start: Option<&Model>,
        all: Rows<'_>,
        held_out: Rows<'_>,
        job: &mut FitJob<'_>,
        initialisation: &mut Initialisation,
    ) -> Result<Vec<f32>> {
        let random = initial_parameters(&self.plan, self.recipe.train.seed);
        if let Some(model) = start {
            return Ok(copy_from_model(random, &self.plan, model, &self.labelled.names));
        }
        let Some(settings) = &self.recipe.pretrain else { return Ok(random) };
        let rows = output_function_and_loss(&job.measured[0], self.scaling)?;
        let encoding = Encoding::of_classifier(self.recipe, rows);
        let held_out = Rows { classes: None, ..held_out };
        let both = [all, held_out];
        let pretrained =
            pretrain(encoding, settings, &self.plan, both, job.compute, job.checkpoints, &mut *job.watch)?;
        notify(&mut *job.watch, Event::Stage(Stage::LabelTraining));
        Ok(initialisation.record_pretraining(pretrained, self.pretraining_steps(all.source.rows())))
    }

    /// Trains the softmax layer alone: the encoder's parameters stay as they are, bit for bit. As the encoder never changes, the
    /// codes are computed once, and a network of the softmax layer is trained on them.
    fn train_softmax_layer(
        &self,
        initial: impl FnOnce(&mut FitJob<'_>, &mut Initialisation) -> Result<Vec<f32>>,
        labelled: Rows<'_>,
        held_out: Rows<'_>,
        job: &mut FitJob<'_>,
    ) -> Result<(Trained, Initialisation)> {
        let mut initialisation = Initialisation::default();
        let parameters = initial(job, &mut initialisation)?;
        if let Some(ended) = initialisation.stopped.clone() {
            return Ok((Trained::before_the_first_epoch(parameters, ended), initialisation));
        }
        let encoders = [Encoder { plan: self.plan.clone(), parameters: parameters.clone() }];
        let labelled_codes = Outputs::of(labelled, &encoders, job.compute)?;
        let held_out_codes = Outputs::of(held_out, &encoders, job.compute)?;
        let recipe = ClassifierRecipe { encoder: Vec::new(), pretrain: None, ..self.recipe.clone() };
        let plan = Plan::classifier(&recipe, Shape::flat(self.plan.code().len()), self.plan.output().len())?;
        let is_softmax_layer = |name: &str| name.starts_with("decoder.");
        let first =
            copy_parameters(vec![0.0; plan.buffer_len], &plan, &parameters, &self.plan, is_softmax_layer);
        let training = self.training_job(
            &plan,
            Rows { classes: labelled.classes, ..labelled_codes.rows() },
            Rows { classes: held_out.classes, ..held_out_codes.rows() },
            job.compute,
        );
        let (trained, _) = train_from(training, false, job, |_, _| Ok(first))?;
        let parameters =
            copy_parameters(parameters, &self.plan, &trained.parameters, &plan, is_softmax_layer);
        Ok((Trained { parameters, ..trained }, initialisation))
    }

    /// Optimizer steps. Those of pre-training also count in a resumed run, whose layers were pre-trained before.
    fn steps(&self, history: &[EpochRecord], rows: usize) -> Steps {
        Steps {
            pretraining: self.pretraining_steps(rows),
            training: self.settings.steps(history.len(), self.labelled.rows.len() * self.repeats),
        }
    }

    fn pretraining_steps(&self, rows: usize) -> usize {
        self.recipe
            .pretrain
            .as_ref()
            .map_or(0, |pretrain| pretrain.steps(&self.recipe.train, self.recipe.dense_layers(), rows))
    }

    /// The model with its summary.
    fn model(
        &self,
        parameters: Vec<f32>,
        history: &[EpochRecord],
        steps: Steps,
        job: &mut FitJob<'_>,
    ) -> Result<Model> {
        let (folded, plan, parameters) = self.plan.clone().folded_classifier(self.recipe, parameters)?;
        let is_evaluated = job.begin(Stage::Evaluation);
        let (rows, held_out, compute) = (&*job.training.rows, &*job.held_out.rows, job.compute);
        let mean = if is_evaluated {
            Moments::measure(&job.measured[0], self.scaling, compute.level, compute.threads)?.mean().to_vec()
        } else {
            job.training_mean(self.scaling)?
        };
        let recipe = Recipe::Classifier(folded.clone());
        let mut model = job.model(recipe, self.scaling.clone(), mean, Fitted::Network { plan, parameters });
        model.classes = Some(self.labelled.names.clone());
        if !is_evaluated {
            return Ok(model);
        }

        let (labelled, classes) = (self.labelled, self.held_out_classes);
        let labelled_rows = Subset::new(job.training.rows.clone(), labelled.rows.clone());
        let (evaluation, not_finite) = measure(&model, held_out, classes)?;
        let mut summary = ClassificationSummary {
            training_rows: rows.rows(),
            labelled_rows: labelled.rows.len(),
            epochs: history.len(),
            train_loss: kept_record(&self.recipe.train, history).map_or(f64::NAN, |record| record.train_loss),
            evaluation,
            commonest_error: commonest_error(labelled, classes),
            nearest_mean_error: nearest_mean_error(&model, labelled, &labelled_rows, held_out, classes)?,
            verdict: String::new(),
        };
        summary.verdict = match not_finite {
            // The model is good for other rows: it is not lost for these.
            Some(error) => no_verdict(&job.held_out.name, &error),
            None => verdict(&folded, &summary, &labelled.names, history, steps.training),
        };
        model.summary = Some(Summary::Classification(summary));
        Ok(model)
    }
}

/// The repetitions of each of `rows` labelled rows in an epoch, so that it has at least [`STEPS`] optimizer steps. A batch is no
/// larger than the number of rows.
fn repeats(rows: usize, batch_size: usize) -> usize {
    let batch_size = batch_size.min(rows);
    (STEPS * batch_size).div_ceil(rows).max(1)
}

/// The encoder of a model as that of a classifier: without the noise of a denoising network.
fn encoder_of(model: &Model) -> Result<Vec<Layer>> {
    let layers = match &model.recipe {
        Recipe::Autoencoder(network) if network.is_variational() => {
            return Err(Error::model(
                "the model that training starts from is variational: its code is drawn at random",
            )
            .hint("start from another autoencoder"));
        }
        Recipe::Autoencoder(network) => &network.encoder,
        Recipe::Classifier(classifier) => &classifier.encoder,
        Recipe::Pca(_) => unreachable!("converted to a network before"),
    };
    Ok(layers.iter().filter(|layer| !matches!(layer, Layer::Noise(_))).cloned().collect())
}

/// `parameters` of the network `plan` with those of a model's encoder, and of its softmax layer if it has the same classes.
fn copy_from_model(parameters: Vec<f32>, plan: &Plan, model: &Model, names: &[String]) -> Vec<f32> {
    let Fitted::Network { plan: model_plan, parameters: from } = &model.fitted else {
        unreachable!("converted to a network before")
    };
    let same_classes = model.classes.as_ref().is_some_and(|classes| classes == names);
    copy_parameters(parameters, plan, from, model_plan, |name| name.starts_with("encoder.") || same_classes)
}

/// `to` with the parameters of another network that have the same name, if the name is `wanted`.
fn copy_parameters(
    mut to: Vec<f32>,
    to_plan: &Plan,
    from: &[f32],
    from_plan: &Plan,
    wanted: impl Fn(&str) -> bool,
) -> Vec<f32> {
    for parameter in to_plan.parameters.iter().filter(|parameter| wanted(&parameter.name)) {
        if let Some(source) = from_plan.parameters.iter().find(|source| source.name == parameter.name) {
            to[parameter.range.clone()].copy_from_slice(&from[source.range.clone()]);
        }
    }
    to
}

/// The output function and the loss of the first layer's autoencoder: sigmoid and BCE for rows in 0..1, otherwise linear and
/// MSE.
fn output_function_and_loss(rows: &Measured<'_>, scaling: &Scaling) -> Result<(Function, Loss)> {
    Ok(if is_in_unit_range(rows, scaling)? {
        (Function::Sigmoid, Loss::Bce)
    } else {
        (Function::Linear, Loss::Mse)
    })
}
