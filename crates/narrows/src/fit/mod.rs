//! The front door: from a spec and rows to a model, with a verdict and a report.

pub mod classifier;
mod elimination;

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use narrows_kernels::Level;

use crate::compute::Compute;
use crate::data::scaling::{Scaling, choose_scale};
use crate::data::source::each_block;
use crate::data::stats::Measured;
use crate::data::{Dataset, Element, Source, Table};
use crate::error::{Error, Result};
use crate::evaluation::reconstruction::evaluate_with_codes;
use crate::evaluation::verdict::{Sizes, Training, verdict};
use crate::model::metrics::{Baselines, Summary};
use crate::model::{Fitted, Model, Part, check_units};
use crate::network::engine::{Engine, Rows};
use crate::network::init::initial_parameters;
use crate::network::plan::{Op, Plan};
use crate::pca::Pca;
use crate::pca::closed_form::closed_form;
use crate::pca::moments::Moments;
use crate::progress::{Ended, EpochRecord, Event, Stage, notify};
use crate::recipe::{AutoencoderSpec, Loss, Optimizer, PcaSpec, Scale, Spec, Start, Train};
use crate::train::checkpoint::Checkpoints;
use crate::train::pretrain::{PretrainedLayer, pretrain};
use crate::train::{Job, State, Trained, best_epoch, train};

pub use crate::network::engine::Footprint;
pub use elimination::{ELIMINATED, Elimination, elimination};

/// Held-out rows whose codes are kept.
const KEPT_CODES: usize = 10_000;

/// A model, and how it came about.
#[derive(Debug, Clone)]
pub struct Fit {
    /// The model, with its summary.
    pub model: Model,
    /// What was asked for, with the scale that was chosen. The model's own spec is another where that has `batch_norm`, which
    /// becomes part of the layers beside it when training ends.
    pub spec: Spec,
    /// The losses, epoch by epoch; empty for methods without epochs.
    pub history: Vec<EpochRecord>,
    /// Time spent finding the parameters from rows in memory, in seconds.
    pub seconds: f64,
    /// The layers that were trained alone before, from the first to the code; empty without pre-training.
    pub pretraining: Vec<PretrainedLayer>,
    /// How it ended.
    pub ended: Ended,
    /// The codes of the held-out rows, of the first 10,000 at most: n x code size.
    pub validation_codes: Vec<f32>,
}

impl Fit {
    /// How good the model was found to be.
    ///
    /// # Panics
    /// Never: [`fit`] always writes a summary.
    pub fn summary(&self) -> &Summary {
        self.model.summary.as_ref().expect("fit writes a summary")
    }
}

/// Fits a spec to rows, judged on held-out rows.
///
/// The same spec, rows and seed give the same model, to the byte, with any number of threads. `callback` hears of every
/// step and can stop the run; then the best parameters so far are kept.
pub fn fit(
    spec: &Spec,
    training: &Dataset<'_>,
    validation: &Dataset<'_>,
    compute: Compute,
    callback: &mut (dyn FnMut(&Event) -> ControlFlow<()> + Send),
) -> Result<Fit> {
    fit_with(spec, training, validation, compute, Options::default(), callback)
}

/// What a fit may have beside its spec and rows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// Where it keeps its checkpoints.
    pub checkpoints: Option<CheckpointOptions<'a>>,
    /// A model whose numbers training starts from, its scaling included: a network with the same layers, or a PCA, which is
    /// a network with one dense layer on each side.
    pub start: Option<&'a Model>,
}

/// Where a fit keeps its checkpoints.
#[derive(Debug, Clone, Copy)]
pub struct CheckpointOptions<'a> {
    /// The path of the model that will be written; the checkpoints are kept beside it while training goes on.
    pub model: &'a Path,
    /// Whether to go on from the newest of them, as if the run had never stopped.
    pub resume: bool,
}

/// As [`fit`], with options. With checkpoints the state of training is kept in files every ten seconds and when it is
/// interrupted; the files are removed when training is finished.
pub fn fit_with(
    spec: &Spec,
    training: &Dataset<'_>,
    validation: &Dataset<'_>,
    compute: Compute,
    options: Options<'_>,
    callback: &mut (dyn FnMut(&Event) -> ControlFlow<()> + Send),
) -> Result<Fit> {
    spec.validate()?;
    let mut spec = spec.clone();
    let (rows, held_out) = (&*training.rows, &*validation.rows);
    let measured = [Measured::new(rows), Measured::new(held_out)];
    for (measured, dataset) in measured.iter().zip([training, validation]) {
        measured.require_complete().map_err(|error| error.at(&dataset.name))?;
    }
    if spec.scale() == Scale::Auto {
        let needs_shares = spec.loss().needs_shares();
        spec.set_scale(choose_scale(&measured[0], &measured[1], needs_shares)?.scale);
    }
    let shape = rows.shape();
    if held_out.shape().len() != shape.len() {
        return Err(Error::data(format!(
            "{}: its rows have {} numbers, those of {} have {}",
            validation.name,
            held_out.shape().len(),
            training.name,
            shape.len()
        )));
    }
    check_units(rows.element(), spec.scale(), &measured[1]).map_err(|error| error.at(&validation.name))?;
    let scaling = match options.start {
        Some(model) => {
            check_start(spec.scale(), model, rows).map_err(|error| error.at(&training.name))?;
            if matches!(&spec, Spec::Autoencoder(network) if network.weights.start == Start::ClosedForm) {
                return Err(Error::recipe(
                    "weights.start: closed_form is a start of its own, not one from a model",
                )
                .hint("weights.start = \"auto\""));
            }
            spec.set_scale(model.spec.scale());
            model.scaling.clone()
        }
        None => Scaling::learn_from(spec.scale(), &measured[0])?,
    };
    let found = match &spec {
        Spec::Classifier(_) => {
            return Err(Error::recipe(
                "a classifier is fitted by `fit_classifier`, which judges it by its errors",
            ));
        }
        Spec::Pca(_) if options.start.is_some() => {
            return Err(Error::recipe("a PCA starts from nothing").hint("train a network from the model"));
        }
        Spec::Pca(spec) => fit_pca(spec, rows, &scaling, compute)?,
        Spec::Autoencoder(spec) => {
            if spec.loss.needs_shares() {
                check_unit_range(training, &measured[0], spec, &scaling)?;
                // Where the range was learned from the training rows, others may reach beyond it; they are only judged.
                if matches!(spec.scale, Scale::None | Scale::Unit) {
                    check_unit_range(validation, &measured[1], spec, &scaling)?;
                }
            }
            fit_network(spec, rows, held_out, &scaling, compute, options, callback)?
        }
    };

    let of_model = found.folded.map_or_else(|| spec.clone(), Spec::Autoencoder);
    notify(callback, Event::Stage(Stage::Baselines));
    let moments = match found.moments {
        Some(moments) => moments,
        None => Moments::measure(rows, &scaling, compute.level, compute.threads)?,
    };
    let mut model = Model {
        spec: of_model,
        shape,
        element: rows.element(),
        training_mean: moments.mean.clone(),
        fitted: found.fitted,
        summary: None,
        part: Part::Whole,
        classes: None,
        scaling,
    };
    let baselines = Baselines::measure(&moments, &model, held_out, compute)?;
    let (evaluation, validation_codes) = evaluate_with_codes(&model, held_out, KEPT_CODES, compute)?;
    let sizes = Sizes { width: shape.len(), code: model.code_shape().len(), units: model.code_units() };
    let train_loss = match found.train_loss {
        Some(loss) => loss,
        None => evaluate_with_codes(&model, rows, 0, compute)?.0.loss,
    };
    let steps = spec.train().map_or(0, |train| train.steps(found.history.len(), rows.rows()));
    let learning = Training { loss: train_loss, history: &found.history, steps };
    let verdict = verdict(&spec, sizes, &evaluation, &baselines, learning);
    model.summary = Some(Summary {
        training_rows: rows.rows(),
        epochs: found.history.len(),
        train_loss,
        evaluation,
        baselines,
        verdict,
    });
    Ok(Fit {
        model,
        spec,
        history: found.history,
        seconds: found.seconds,
        pretraining: found.pretraining,
        ended: found.ended,
        validation_codes,
    })
}

/// The memory that training a network takes beside its rows, which all lie in memory too.
///
/// # Errors
/// As [`Train::optimizer`].
pub fn training_memory(plan: &Plan, train: &Train, threads: usize) -> Result<Footprint> {
    Ok(Engine::footprint(plan, train.optimizer()?, train.batch, threads))
}

/// What a method found.
struct Found {
    fitted: Fitted,
    /// The spec of the network that is left, where that is not the one that was trained.
    folded: Option<AutoencoderSpec>,
    history: Vec<EpochRecord>,
    train_loss: Option<f64>,
    seconds: f64,
    ended: Ended,
    moments: Option<Moments>,
    pretraining: Vec<PretrainedLayer>,
}

fn fit_pca(spec: &PcaSpec, rows: &dyn Source, scaling: &Scaling, compute: Compute) -> Result<Found> {
    let started = Instant::now();
    let moments = Moments::measure(rows, scaling, compute.level, compute.threads)?;
    let pca = Pca::fit(&moments, spec.code_size, spec.whiten, compute.level)?;
    let seconds = started.elapsed().as_secs_f64();
    let train_loss = pca.training_error() / rows.shape().len() as f64;
    Ok(Found {
        fitted: Fitted::Pca(pca),
        folded: None,
        history: Vec::new(),
        train_loss: Some(train_loss),
        seconds,
        ended: Ended::Finished,
        moments: Some(moments),
        pretraining: Vec::new(),
    })
}

fn fit_network(
    spec: &AutoencoderSpec,
    rows: &dyn Source,
    held_out: &dyn Source,
    scaling: &Scaling,
    compute: Compute,
    Options { checkpoints, start }: Options<'_>,
    callback: &mut (dyn FnMut(&Event) -> ControlFlow<()> + Send),
) -> Result<Found> {
    let plan = Plan::new(spec, rows.shape())?;
    let optimizer = spec.train.optimizer()?;
    if spec.is_normalized() && rows.rows() < 2 {
        return Err(
            Error::data("batch_norm needs at least 2 training rows").hint("a single row has no spread")
        );
    }
    check_memory(&plan, optimizer, spec.train.batch.min(rows.rows()), compute.threads, free_memory())?;
    let raw = [rows, held_out].map(|source| Rows { source, scaling, classes: None });
    let prepared = [Prepared::new(raw[0], compute.level)?, Prepared::new(raw[1], compute.level)?];
    let [learn, judge] = [prepared[0].rows(), prepared[1].rows()];
    let begun = Instant::now();
    let (mut moments, mut preparation) = (None, 0.0);
    let (mut pretraining, mut stopped) = (Vec::new(), Ended::Finished);
    let first_state = || -> Result<State> {
        let parameters = if let Some(model) = start {
            parameters_of(model, &plan)?
        } else if spec.weights.start == Start::ClosedForm {
            let found = Moments::measure(rows, scaling, compute.level, compute.threads)?;
            let parameters = closed_form(&plan, &found, compute.level)?;
            moments = Some(found);
            preparation = begun.elapsed().as_secs_f64();
            parameters
        } else if let Some(settings) = &spec.pretrain {
            let found = pretrain(spec.into(), settings, &plan, learn, judge, compute, callback)?;
            preparation = found.layers.iter().map(|layer| layer.seconds).sum();
            (pretraining, stopped) = (found.layers, found.ended);
            notify(callback, Event::Stage(Stage::FineTuning));
            found.parameters
        } else {
            initial_parameters(&plan, spec.train.seed)
        };
        Ok(State::new(parameters, optimizer))
    };
    let mut files = checkpoints
        .map(|options| Checkpoints::new(options.model, Spec::Autoencoder(spec.clone()), raw[0], raw[1]))
        .transpose()?;
    let resume = checkpoints.is_some_and(|options| options.resume);
    let start = begin(files.as_mut(), resume, &plan, optimizer, spec.train.epochs, first_state)?;
    if stopped != Ended::Finished {
        let State { parameters, .. } = start;
        let fitted = Fitted::Network { plan, parameters };
        let (history, train_loss) = (Vec::new(), None);
        return Ok(Found {
            fitted,
            folded: None,
            history,
            train_loss,
            seconds: preparation,
            ended: stopped,
            moments,
            pretraining,
        });
    }
    let job = Job { plan: &plan, settings: &spec.train, rows: learn, held_out: judge, compute };
    let mut keep = |state: &State| files.as_mut().map_or(Ok(()), |files| files.keep(state));
    let trained = train(job, start, &mut keep, callback)?;
    let Trained { parameters, history, seconds, ended } = trained;
    if let (Some(files), Ended::Finished | Ended::Early) = (&files, &ended) {
        files.remove();
    }
    let kept = if spec.train.keeps_best() { best_epoch(&history) } else { history.last() };
    let train_loss = kept.map(|record| record.train_loss);
    let seconds = preparation + seconds;
    let (folded, plan, parameters) = plan.folded(spec, parameters)?;
    let folded = spec.is_normalized().then_some(folded);
    let fitted = Fitted::Network { plan, parameters };
    Ok(Found { fitted, folded, history, train_loss, seconds, ended, moments, pretraining })
}

/// Rows as training reads them: numbers in double precision are scaled and narrowed once, beforehand.
pub(crate) struct Prepared<'a> {
    rows: Rows<'a>,
    table: Option<(Table, Scaling)>,
}

impl<'a> Prepared<'a> {
    pub fn new(rows: Rows<'a>, level: Level) -> Result<Self> {
        let table = rows.scaling.prepare(rows.source, level)?;
        Ok(Self { rows, table: table.map(|table| (table, Scaling::identity())) })
    }

    pub fn rows(&self) -> Rows<'_> {
        match &self.table {
            Some((source, scaling)) => Rows { source, scaling, classes: self.rows.classes },
            None => self.rows,
        }
    }
}

/// Where training begins: at the newest checkpoint where a run goes on, else at `first`.
pub(crate) fn begin(
    files: Option<&mut Checkpoints>,
    resume: bool,
    plan: &Plan,
    optimizer: Optimizer,
    epochs: usize,
    first: impl FnOnce() -> Result<State>,
) -> Result<State> {
    let Some(files) = files else { return first() };
    if !resume {
        // What an older run left must not be taken for this one's.
        files.remove();
        return first();
    }
    let state = files.newest(plan, optimizer)?;
    let done = state.history.len();
    if done > epochs {
        return Err(Error::recipe(format!(
            "train.epochs: the checkpoint has {done} epochs already, {epochs} are asked for"
        )));
    }
    Ok(state)
}

/// Refuses to train on from a model what would silently become something else. `asked` is the recipe's scale.
pub(crate) fn check_start(asked: Scale, model: &Model, rows: &dyn Source) -> Result<()> {
    model.check_rows(rows)?;
    let own = model.spec.scale();
    // The default is no wish.
    if asked != own && !matches!(asked, Scale::Unit | Scale::Auto) {
        return Err(Error::recipe(format!(
            "scale: the model that training starts from has `{}`, the recipe says `{}`",
            own.name(),
            asked.name()
        )));
    }
    let learned_bytes = model.element == Element::U8;
    if matches!(own, Scale::Unit | Scale::Center) && learned_bytes != (rows.element() == Element::U8) {
        let kind = |bytes| if bytes { "bytes" } else { "numbers that are no bytes" };
        return Err(Error::data(format!(
            "the model that training starts from was fitted on {}, these rows are {}",
            kind(learned_bytes),
            kind(!learned_bytes)
        )));
    }
    Ok(())
}

/// Refuses a network whose training does not fit into what memory is free, where the system tells.
pub(crate) fn check_memory(
    plan: &Plan,
    optimizer: Optimizer,
    batch: usize,
    threads: usize,
    free: Option<usize>,
) -> Result<()> {
    // Beside the engine's own: where training starts, where it is, and the best so far.
    let copies = plan.buffer_len * size_of::<f32>() * (3 + 2 * optimizer.memories());
    let needed = Engine::footprint(plan, optimizer, batch, threads).total() + copies;
    let Some(free) = free else { return Ok(()) };
    if needed <= free {
        return Ok(());
    }
    let gibibytes = |bytes: usize| bytes as f64 / f64::from(1 << 30);
    Err(Error::recipe(format!(
        "training takes {:.1} GiB of memory, and {:.1} GiB are free",
        gibibytes(needed),
        gibibytes(free)
    ))
    .hint("fewer units, or a smaller train.batch"))
}

/// Bytes of memory that are free, where the system tells (Linux).
pub(crate) fn free_memory() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()?.checked_mul(1024)
}

/// The numbers of a model, to train on from.
fn parameters_of(model: &Model, plan: &Plan) -> Result<Vec<f32>> {
    let converted;
    let model = match &model.fitted {
        Fitted::Pca(_) => {
            converted = model.to_network(Train::default())?;
            &converted
        }
        Fitted::Network { .. } => model,
    };
    model.must_rebuild("be trained on as an autoencoder")?;
    model.must_have(Part::Whole, "be trained on")?;
    let Fitted::Network { plan: own, parameters } = &model.fitted else {
        unreachable!("made a network above")
    };
    // What is drawn or dropped, and what that costs, has no numbers of its own.
    let kind = |op: &Op| match op {
        Op::Dropout { .. } => Op::Dropout { share: 0.0 },
        Op::Sample { .. } => Op::Sample { divergence: 0.0 },
        op => op.clone(),
    };
    let chain =
        |plan: &Plan| plan.steps.iter().map(|step| (kind(&step.op), step.activation)).collect::<Vec<_>>();
    if chain(own) != chain(plan) || own.cut != plan.cut {
        let layers = |plan: &Plan| {
            let table = plan.table();
            table.rows.iter().map(|row| row[1].clone()).collect::<Vec<_>>().join(" - ")
        };
        let error = Error::model(format!(
            "its layers ({}) are not those of the recipe ({})",
            layers(own),
            layers(plan)
        ));
        return Err(if plan.is_normalized() {
            error.hint("batch_norm is no part of a model: it became part of the layers beside it. Leave it out to train on")
        } else {
            error
        });
    }
    Ok(parameters.clone())
}

/// Refuses values outside 0..1 for a loss that needs them there, naming the first.
fn check_unit_range(
    data: &Dataset<'_>,
    measured: &Measured<'_>,
    spec: &AutoencoderSpec,
    scaling: &Scaling,
) -> Result<()> {
    if is_in_unit_range(measured, scaling)? {
        return Ok(());
    }
    let width = measured.source.shape().len();
    let mut wrong = None;
    each_block(measured.source, |first, block| {
        let values = block.to_vec();
        scaling.apply_f64(block, width);
        if wrong.is_none()
            && let Some(at) = block.iter().position(|value| !UNIT_RANGE.contains(value))
        {
            wrong = Some((first + at / width + 1, at % width + 1, values[at], block[at]));
        }
        Ok(())
    })?;
    let Some((row, column, value, scaled)) = wrong else { return Ok(()) };
    let name = match spec.loss {
        Loss::Bce => "bce",
        _ => "cross_entropy",
    };
    let after = if value == scaled { String::new() } else { format!(" ({scaled} after scaling)") };
    Err(Error::data(format!(
        "{}: row {row}, column {column}: {value}{after} lies outside 0..1, which loss = \"{name}\" needs",
        data.name
    ))
    .hint("scale the columns with scale = \"min_max\", or use loss = \"mse\" with a decoder that ends in \"linear\""))
}

/// 0..1 after scaling, which may round a little past the ends.
const UNIT_RANGE: std::ops::RangeInclusive<f64> = -1e-6..=1.0 + 1e-6;

/// Whether all values lie in 0..1 after scaling. Scaling is monotone: the ends of each column tell.
pub(crate) fn is_in_unit_range(rows: &Measured<'_>, scaling: &Scaling) -> Result<bool> {
    if rows.source.element() == Element::U8 && scaling.offsets == [0.0] && scaling.scales == [255.0] {
        return Ok(true);
    }
    let statistics = rows.statistics()?;
    let mut ends = [statistics.least.clone(), statistics.most.clone()];
    for end in &mut ends {
        let width = end.len();
        scaling.apply_f64(end, width);
    }
    Ok(ends.iter().flatten().all(|value| UNIT_RANGE.contains(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Shape;
    use crate::recipe::file::Recipe;

    #[test]
    fn a_network_larger_than_memory_is_refused_before_it_is_made() {
        let Spec::Autoencoder(mut spec) = Recipe::open("single").unwrap().spec().unwrap() else { panic!() };
        spec.set_code_size(2_000_000).unwrap();
        let plan = Plan::new(&spec, Shape::flat(784)).unwrap();
        let optimizer = spec.train.optimizer().unwrap();
        let check = |free| check_memory(&plan, optimizer, 128, 2, free);
        // 3.1 billion weights, and what training remembers of each.
        let error = check(Some(16 << 30)).unwrap_err().to_string();
        assert!(error.contains("GiB of memory, and 16.0 GiB are free"), "{error}");
        assert!(check(Some(1 << 40)).is_ok() && check(None).is_ok());
    }
}
