//! Networks that tell classes: layers pre-trained without labels or taken from a model, then trained with labels.
//!
//! 1. which rows are learned from with their labels (`labels`),
//! 2. where the encoder starts: pre-trained, another model's, or at random,
//! 3. training on labels: of all layers, or of the softmax layer alone on codes that are computed once,
//! 4. judging on the held-out rows (`judge`), and one plain sentence (`verdict`).

use std::ops::ControlFlow;

use crate::compute::Compute;
use crate::data::scaling::{Scaling, choose_scale};
use crate::data::stats::Measured;
use crate::data::{Dataset, Shape, Subset};
use crate::error::{Error, Result};
use crate::evaluation::classes as judge;
use crate::evaluation::labels::{Labelled, class_numbers};
use crate::evaluation::verdict_of_classes::verdict;
use crate::fit::{Options, Prepared, begin, check_memory, check_start, free_memory, is_in_unit_range};
use crate::model::metrics::ClassifierSummary;
use crate::model::{Classes, Fitted, Model, Part, check_units};
use crate::network::engine::Rows;
use crate::network::init::initial_parameters;
use crate::network::plan::Plan;
use crate::pca::moments::Moments;
use crate::progress::{Ended, EpochRecord, Event, Stage, notify};
use crate::recipe::{ClassifierSpec, Function, Layer, Loss, Pretrain, Scale, Spec, Train};
use crate::train::checkpoint::Checkpoints;
use crate::train::pretrain::{Encoder, Encoding, Outputs, PretrainedLayer, pretrain};
use crate::train::{Job, State, Trained, best_epoch, train};

/// Steps that an epoch on labels has at least: few labelled rows are seen several times in an epoch, so that epochs mean the
/// same with few and with many.
const STEPS: usize = 100;

/// A classifier, and how it came about.
#[derive(Debug, Clone)]
pub struct ClassifierFit {
    /// The model, with its summary.
    pub model: Model,
    /// What was asked for: with batch normalisation, where the model's own recipe is without.
    pub spec: ClassifierSpec,
    /// The losses and errors, epoch by epoch.
    pub history: Vec<EpochRecord>,
    /// Time spent finding the parameters from rows in memory, in seconds.
    pub seconds: f64,
    /// The layers that were trained alone before, from the first to the last; empty without pre-training.
    pub pretraining: Vec<PretrainedLayer>,
    /// Steps of training: those of layers alone, and those on labels.
    pub steps: (usize, usize),
    /// How it ended.
    pub ended: Ended,
}

impl ClassifierFit {
    /// How good the model was found to be.
    ///
    /// # Panics
    /// Never: [`fit_classifier`] always writes a summary.
    pub fn summary(&self) -> &ClassifierSummary {
        let classes = self.model.classes.as_ref().expect("a classifier has classes");
        classes.summary.as_ref().expect("fit_classifier writes a summary")
    }
}

/// Fits a classifier to rows with labels, judged on held-out rows with labels.
///
/// The same spec, rows and seed give the same model, to the byte, with any number of threads. With [`Options::start`] the
/// encoder is that of the model, its layers and its scaling included: an autoencoder's, a PCA's or another classifier's.
///
/// # Errors
/// Where labels are missing or do not fit, rows cannot be what the spec wants, or files cannot be written.
pub fn fit_classifier(
    spec: &ClassifierSpec,
    training: &Dataset<'_>,
    validation: &Dataset<'_>,
    compute: Compute,
    options: Options<'_>,
    callback: &mut (dyn FnMut(&Event) -> ControlFlow<()> + Send),
) -> Result<ClassifierFit> {
    let mut spec = spec.clone();
    let (rows, held_out) = (&*training.rows, &*validation.rows);
    let width = rows.shape().len();
    let measured = [Measured::new(rows), Measured::new(held_out)];
    for (measured, dataset) in measured.iter().zip([training, validation]) {
        measured.require_complete().map_err(|error| error.at(&dataset.name))?;
    }
    if held_out.shape().len() != width {
        return Err(Error::data(format!(
            "{}: its rows have {} numbers, those of {} have {width}",
            validation.name,
            held_out.shape().len(),
            training.name,
        )));
    }
    let labelled = Labelled::choose(training, spec.labelled, spec.train.seed)?;
    let asked = class_numbers(validation, &labelled.names).map_err(|error| {
        error.hint(match &validation.labels {
            None => "--validation-labels FILE has the classes of the held-out rows",
            Some(_) => "judge on rows of the same classes; another --seed holds out other rows",
        })
    })?;
    if spec.scale == Scale::Auto && options.start.is_none() {
        spec.scale = choose_scale(&measured[0], &measured[1], false)?.scale;
    }
    let converted;
    let start = match options.start {
        Some(Model { fitted: Fitted::Pca(_), .. }) => {
            converted = options.start.expect("there is one").to_network(Train::default())?;
            Some(&converted)
        }
        start => start,
    };
    let scaling = match start {
        Some(model) => {
            check_start(spec.scale, model, rows).map_err(|error| error.at(&training.name))?;
            spec.scale = model.spec.scale();
            spec.encoder = encoder_of(model)?;
            // What it learned is there already; what the recipe says of its layers is not of these.
            (spec.pretrain, spec.about) = (None, None);
            model.scaling.clone()
        }
        None => Scaling::learn_from(spec.scale, &measured[0])?,
    };
    check_units(rows.element(), spec.scale, &measured[1]).map_err(|error| error.at(&validation.name))?;
    spec.validate()?;
    if spec.frozen && spec.pretrain.is_none() && start.is_none() && !spec.encoder.is_empty() {
        return Err(Error::recipe("frozen: an encoder of random weights would never learn anything")
            .hint("with `pretrain` in the recipe, or --from MODEL"));
    }
    let plan = Plan::classifier(&spec, rows.shape(), labelled.names.len())?;
    let optimizer = spec.train.optimizer()?;
    check_memory(&plan, optimizer, spec.train.batch.min(rows.rows()), compute.threads, free_memory())?;

    // Pre-training sees all rows; labels are learned from a part of them.
    let all = Prepared::new(Rows { source: rows, scaling: &scaling, classes: None }, compute.level)?;
    let subset = Subset::new(training.rows.clone(), labelled.rows.clone());
    // Few labels are shown several times in an epoch, in batches that have none of them twice.
    let times = repeats(labelled.rows.len(), spec.train.batch);
    let on_labels = Train { batch: spec.train.batch.min(labelled.rows.len()), ..spec.train.clone() };
    let repeated = Subset::new(training.rows.clone(), labelled.rows.repeat(times));
    let repeated_classes = labelled.classes.repeat(times);
    let learn = Rows { source: &repeated, scaling: &scaling, classes: Some(&repeated_classes) };
    let judge = Rows { source: held_out, scaling: &scaling, classes: Some(&asked) };
    let files = |options: crate::fit::CheckpointOptions<'_>| {
        let spec = ClassifierSpec { train: on_labels.clone(), ..spec.clone() };
        Checkpoints::new(options.model, Spec::Classifier(spec), learn, judge)
    };
    let mut files = options.checkpoints.map(files).transpose()?;
    let resume = options.checkpoints.is_some_and(|options| options.resume);
    let prepared = [Prepared::new(learn, compute.level)?, Prepared::new(judge, compute.level)?];
    let [learn, judge] = [prepared[0].rows(), prepared[1].rows()];

    let (mut pretraining, mut stopped, mut preparation) = (Vec::new(), Ended::Finished, 0.0);
    if spec.is_normalized() && labelled.rows.len() < 2 {
        return Err(
            Error::data("batch_norm needs at least 2 labelled rows").hint("a single row has no spread")
        );
    }
    let mut first_parameters = || -> Result<Vec<f32>> {
        let fresh = initial_parameters(&plan, spec.train.seed);
        if let Some(model) = start {
            return Ok(from_model(model, &plan, &labelled.names, fresh));
        }
        let Some(settings) = &spec.pretrain else { return Ok(fresh) };
        let encoding = Encoding {
            layers: &spec.encoder,
            rows: end_of_rows(&measured[0], &scaling)?,
            mirrored: false,
            scale: spec.scale,
            weights: spec.weights,
            train: &spec.train,
        };
        let judge = Rows { classes: None, ..judge };
        let found = pretrain(encoding, settings, &plan, all.rows(), judge, compute, callback)?;
        preparation = found.layers.iter().map(|layer| layer.seconds).sum();
        (pretraining, stopped) = (found.layers, found.ended);
        notify(callback, Event::Stage(Stage::LabelTraining));
        Ok(found.parameters)
    };
    let trained = if spec.frozen {
        // The encoder never changes: what it gives is computed once, and a network of the last layer alone is trained on it.
        if resume {
            return Err(Error::recipe("--resume: a run with a frozen encoder keeps no checkpoints")
                .hint("leave out --resume to begin anew"));
        }
        let parameters = first_parameters()?;
        if stopped == Ended::Finished {
            train_head(&spec, &on_labels, &plan, parameters, learn, judge, compute, callback)?
        } else {
            Trained { parameters, history: Vec::new(), seconds: 0.0, ended: stopped }
        }
    } else {
        let begin_at = || Ok(State::new(first_parameters()?, optimizer));
        let start = begin(files.as_mut(), resume, &plan, optimizer, spec.train.epochs, begin_at)?;
        if stopped == Ended::Finished {
            let mut keep = |state: &State| files.as_mut().map_or(Ok(()), |files| files.keep(state));
            let job = Job { plan: &plan, settings: &on_labels, rows: learn, held_out: judge, compute };
            train(job, start, &mut keep, callback)?
        } else {
            Trained { parameters: start.parameters, history: Vec::new(), seconds: 0.0, ended: stopped }
        }
    };
    if let (Some(files), Ended::Finished | Ended::Early) = (&files, &trained.ended) {
        files.remove();
    }
    let Trained { parameters, history, seconds, ended } = trained;
    let asked_spec = spec;
    let (spec, plan, parameters) = plan.folded_classifier(&asked_spec, parameters)?;

    notify(callback, Event::Stage(Stage::Evaluation));
    let moments = Moments::measure(rows, &scaling, compute.level, compute.threads)?;
    let mut model = Model {
        shape: rows.shape(),
        element: rows.element(),
        scaling,
        training_mean: moments.mean,
        fitted: Fitted::Network { plan, parameters },
        summary: None,
        part: Part::Whole,
        classes: Some(Classes { names: labelled.names.clone(), summary: None }),
        spec: Spec::Classifier(spec.clone()),
    };
    let kept = if spec.train.keeps_best() { best_epoch(&history) } else { history.last() };
    let mut summary = ClassifierSummary {
        training_rows: rows.rows(),
        labelled_rows: labelled.rows.len(),
        epochs: history.len(),
        train_loss: kept.map_or(f64::NAN, |record| record.train_loss),
        evaluation: judge::classification(&model, held_out, &asked, compute)?,
        commonest_error: judge::commonest_error(&labelled, &asked),
        nearest_mean_error: judge::nearest_mean_error(&model, &labelled, &subset, held_out, &asked, compute)?,
        verdict: String::new(),
    };
    // Also of a run that went on from a checkpoint, whose layers were trained before.
    let before =
        |pretrain: &Pretrain| pretrain.steps(&asked_spec.train, asked_spec.dense_layers(), rows.rows());
    let steps = (
        asked_spec.pretrain.as_ref().map_or(0, before),
        on_labels.steps(history.len(), labelled.rows.len() * times),
    );
    summary.verdict = verdict(&spec, &summary, &labelled.names, &history, steps.1);
    if let Some(classes) = &mut model.classes {
        classes.summary = Some(summary);
    }
    let spec = asked_spec;
    Ok(ClassifierFit { model, spec, history, seconds: preparation + seconds, pretraining, steps, ended })
}

/// How often each of so many labelled rows is shown in an epoch: so often that an epoch has [`STEPS`] steps or more, of batches that are
/// no larger than the rows are many.
fn repeats(rows: usize, batch: usize) -> usize {
    let batch = batch.min(rows);
    (STEPS * batch).div_ceil(rows).max(1)
}

/// The layers of a model's encoder, as those of a classifier: without the noise that it learned to take off.
fn encoder_of(model: &Model) -> Result<Vec<Layer>> {
    if model.part == Part::Decoder {
        return Err(Error::model("the model that training starts from is a decoder: it cannot encode rows"));
    }
    let layers = match &model.spec {
        Spec::Autoencoder(network) if network.is_variational() => {
            return Err(Error::model(
                "the model that training starts from is variational: its code is drawn at random",
            )
            .hint("start from another autoencoder"));
        }
        Spec::Autoencoder(network) => &network.encoder,
        Spec::Classifier(classifier) => &classifier.encoder,
        Spec::Pca(_) => unreachable!("made a network before"),
    };
    Ok(layers.iter().filter(|layer| !matches!(layer, Layer::Noise(_))).cloned().collect())
}

/// The numbers of a model's encoder in their places of a classifier with the same layers; those of its softmax layer too,
/// where it tells the same classes. The others are `fresh`.
fn from_model(model: &Model, plan: &Plan, names: &[String], fresh: Vec<f32>) -> Vec<f32> {
    let Fitted::Network { plan: own, parameters } = &model.fitted else {
        unreachable!("made a network before")
    };
    let same_classes = model.classes.as_ref().is_some_and(|classes| classes.names == names);
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

/// Trains the softmax layer alone: the encoder's numbers stay as they are, bit for bit.
fn train_head(
    spec: &ClassifierSpec,
    on_labels: &Train,
    plan: &Plan,
    parameters: Vec<f32>,
    learn: Rows<'_>,
    judge: Rows<'_>,
    compute: Compute,
    callback: &mut (dyn FnMut(&Event) -> ControlFlow<()> + Send),
) -> Result<Trained> {
    let encoders = [Encoder { plan: plan.clone(), parameters: parameters.clone() }];
    let (learned, judged) =
        (Outputs::of(learn, &encoders, compute)?, Outputs::of(judge, &encoders, compute)?);
    let own_spec = ClassifierSpec { encoder: Vec::new(), pretrain: None, ..spec.clone() };
    let features = Shape::flat(plan.code().len());
    let own = Plan::classifier(&own_spec, features, plan.output().len())?;
    let is_head = |name: &str| name.starts_with("decoder.");
    let start = put(&own, vec![0.0; own.buffer_len], plan, &parameters, is_head);
    let start = State::new(start, on_labels.optimizer()?);
    let learn = Rows { classes: learn.classes, ..learned.rows() };
    let judge = Rows { classes: judge.classes, ..judged.rows() };
    let job = Job { plan: &own, settings: on_labels, rows: learn, held_out: judge, compute };
    let trained = train(job, start, &mut |_| Ok(()), callback)?;
    let parameters = put(plan, parameters, &own, &trained.parameters, is_head);
    Ok(Trained { parameters, ..trained })
}
