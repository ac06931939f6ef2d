//! `narrows fit`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use narrows::classifier::{ClassifierFit, fit_classifier, write_classifier_report};
use narrows::data::{Dataset, Shape, default_validation, hold_out};
use narrows::event::{Ended, EpochRecord, Event, Flow};
use narrows::fit::{CheckpointOptions, Fit, Options, elimination, fit_with, write_report};
use narrows::model::{Compute, Fitted, Model};
use narrows::pretrain::PretrainedLayer;
use narrows::recipe::Recipe;
use narrows::spec::{PretrainKind, Spec};
use narrows::twin::{First, twins};
use serde_json::json;

use super::{classifier, twin};
use crate::arguments::{DataOptions, FitArguments, RecipeOptions};
use crate::{INTERRUPTED, output};

/// The share of rows held out where nothing else is said.
pub const HELD_OUT: f64 = 0.1;

/// Fits a recipe to data.
pub fn run(arguments: &FitArguments) -> anyhow::Result<ExitCode> {
    let mut recipe = Recipe::open(&arguments.recipe)?;
    for assignment in &arguments.recipe_options.set {
        recipe.set(assignment)?;
    }
    let training = [
        ("epochs", arguments.epochs.map(|count| count as u64)),
        ("batch", arguments.batch.map(|count| count as u64)),
    ];
    for (field, value) in training {
        match value {
            Some(_) if recipe.method() == Some("pca") => {
                anyhow::bail!("--epochs, --batch: a PCA is found in one step, without epochs or batches");
            }
            Some(value) => recipe.set(&format!("train.{field}={value}"))?,
            None => {}
        }
    }
    let dataset = super::open(&arguments.data, &arguments.data_options)?;
    let mut spec = recipe.spec()?;
    let classes = dataset.labels.as_ref().map(|labels| labels.names.len());
    if arguments.from.is_some()
        && arguments.recipe_options.layers.is_some()
        && matches!(spec, Spec::Classifier(_))
    {
        anyhow::bail!("--layers: with --from the layers of the encoder are the model's");
    }
    apply_options(&mut spec, &arguments.recipe_options, dataset.rows.shape(), classes)?;
    apply_labels(&mut spec, arguments)?;
    if let Some(seed) = arguments.seed {
        spec.set_seed(seed);
    }
    let seed = arguments.seed.unwrap_or(spec.seed());
    let (training, validation) =
        split(&arguments.data, arguments.validation.as_deref(), &arguments.data_options, dataset, seed)?;
    let compute = super::compute(&arguments.compute);
    let start = arguments.from.as_deref().map(Model::open).transpose()?;
    // What cannot be written is refused before the work, not after it.
    let page = arguments.report.as_ref().map(|folder| folder.join("report.html"));
    arguments.out.iter().chain(&page).try_for_each(|path| narrows::durable::probe(path))?;

    let stop = listen_for_stop()?;
    // A run that goes on reports beside its model, unless told otherwise.
    let resumed =
        arguments.out.as_deref().filter(|_| arguments.resume).and_then(Path::parent).map(Path::to_owned);
    let (folder, is_new) = match arguments.report.clone().or(resumed) {
        Some(folder) => (folder, false),
        None => (new_run_folder(&recipe.name, &training.name)?, true),
    };
    let model_path = arguments.out.clone().unwrap_or_else(|| folder.join("model.narrows"));

    let mut progress = Progress::new(arguments.json, stop);
    let checkpoints = Some(CheckpointOptions { model: &model_path, resume: arguments.resume });
    let options = Options { checkpoints, start: start.as_ref() };
    if arguments.twin && !is_pretrained(&spec) {
        anyhow::bail!(
            "--twin: a twin is that of a network that is pre-trained, and this one is not (try stacked, or a recipe with `pretrain`)"
        );
    }
    let mut hear = |event: &Event| progress.hear(event);
    let fitted = match &spec {
        Spec::Classifier(spec) => {
            fit_classifier(spec, &training, &validation, compute, options, &mut hear).map(Fitting::Classifier)
        }
        _ => fit_with(&spec, &training, &validation, compute, options, &mut hear).map(Fitting::Rebuilding),
    };
    progress.finish();
    if fitted.is_err() && is_new {
        // Only where it is empty: nothing that was written is lost.
        let _ = std::fs::remove_dir(&folder);
        let _ = folder.parent().map(std::fs::remove_dir);
    }
    let fitted = fitted?;
    // The model is there before anything else is fitted.
    fitted.model().save(&model_path)?;
    let twins = match &fitted {
        _ if !arguments.twin || matches!(fitted.ended(), Ended::Interrupted | Ended::Diverged(_)) => None,
        fitted => {
            let (first, seeds) = (fitted.first(), usize::from(arguments.seeds));
            let mut hear = |event: &Event| progress.hear(event);
            let found = twins(&spec, first, seeds, &training, &validation, compute, &mut hear)?;
            progress.finish();
            Some(found)
        }
    };
    let recipe = &recipe.name;
    let starts = twins.as_ref().map(|twins| twins.contents(recipe));
    let (mut line, page) = match &fitted {
        Fitting::Rebuilding(fit) => {
            let pages = write_report(&folder, recipe, fit, &training, &validation, compute, starts.as_ref())?;
            let done = Done { recipe, fit, model_path: &model_path, page: &pages[0], compute };
            if !arguments.json {
                done.print(&training, &validation)?;
            }
            (done.json(), pages)
        }
        Fitting::Classifier(fit) => {
            let pages = write_classifier_report(
                &folder,
                recipe,
                fit,
                &training,
                &validation,
                compute,
                starts.as_ref(),
            )?;
            let done = classifier::Done { recipe, fit, model_path: &model_path, page: &pages[0], compute };
            if !arguments.json {
                done.print(&training, &validation)?;
            }
            (done.json(), pages)
        }
    };
    if arguments.json {
        line["twin"] = twins.as_ref().map(twin::json).into();
        output::line(line)?;
    } else {
        twins.as_ref().map_or(Ok(()), twin::print)?;
        output::line(format!("model   {}", model_path.display()))?;
        output::line(format!("report  {}", page[0].display()))?;
    }
    if twins.as_ref().is_some_and(|twins| twins.interrupted) {
        eprintln!("interrupted: the model is whole, its twins are those that were finished by then");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    let nothing_yet = fitted.has_layers_only();
    match fitted.ended() {
        Ended::Finished | Ended::Early => Ok(ExitCode::SUCCESS),
        Ended::Interrupted => {
            let model = model_path.display();
            if nothing_yet {
                eprintln!("interrupted while layers were trained alone: {model} has what they learned");
                return Ok(ExitCode::from(INTERRUPTED));
            }
            let without = if arguments.from.is_some() { ", without --from" } else { "" };
            eprintln!(
                "interrupted: the best model so far is in {model}; go on with --out {model} --resume{without}"
            );
            Ok(ExitCode::from(INTERRUPTED))
        }
        Ended::Diverged(reason) => {
            anyhow::bail!(
                "{reason} (try a smaller train.rate, or scale the data; the best model before that is in {})",
                model_path.display()
            )
        }
    }
}

/// What a fit gave.
#[expect(clippy::large_enum_variant, reason = "there is one")]
enum Fitting {
    Rebuilding(Fit),
    Classifier(ClassifierFit),
}

impl Fitting {
    fn model(&self) -> &Model {
        match self {
            Self::Rebuilding(fit) => &fit.model,
            Self::Classifier(fit) => &fit.model,
        }
    }

    fn ended(&self) -> &Ended {
        match self {
            Self::Rebuilding(fit) => &fit.ended,
            Self::Classifier(fit) => &fit.ended,
        }
    }

    fn first(&self) -> First<'_> {
        match self {
            Self::Rebuilding(fit) => First::Rebuilding(fit),
            Self::Classifier(fit) => First::Classifier(fit),
        }
    }

    /// Whether it was stopped before all layers were trained together.
    fn has_layers_only(&self) -> bool {
        let (history, layers) = match self {
            Self::Rebuilding(fit) => (&fit.history, &fit.pretraining),
            Self::Classifier(fit) => (&fit.history, &fit.pretraining),
        };
        history.is_empty() && !layers.is_empty()
    }
}

fn is_pretrained(spec: &Spec) -> bool {
    match spec {
        Spec::Pca(_) => false,
        Spec::Autoencoder(network) => network.pretrain.is_some(),
        Spec::Classifier(network) => network.pretrain.is_some(),
    }
}

/// Applies `--labelled` and `--frozen`, which are for classifiers.
fn apply_labels(spec: &mut Spec, arguments: &FitArguments) -> anyhow::Result<()> {
    match spec {
        Spec::Classifier(classifier) => {
            classifier.labelled = arguments.labelled.or(classifier.labelled);
            classifier.frozen |= arguments.frozen;
        }
        _ if arguments.labelled.is_some() => anyhow::bail!("--labelled: is for a classifier"),
        _ if arguments.frozen => anyhow::bail!("--frozen: is for a classifier"),
        _ => {}
    }
    Ok(())
}

/// What Ctrl-C sets.
pub fn listen_for_stop() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = stop.clone();
    ctrlc::set_handler(move || {
        // Asked twice: now.
        if asked.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(INTERRUPTED));
        }
    })
    .context("cannot listen for Ctrl-C")?;
    Ok(stop)
}

/// Applies `--code-size`, `--layers` and `--pretrain` to a spec for rows of a shape, of so many classes.
pub fn apply_options(
    spec: &mut Spec,
    options: &RecipeOptions,
    shape: Shape,
    classes: Option<usize>,
) -> anyhow::Result<()> {
    match spec {
        Spec::Classifier(classifier) => {
            if options.code_size.is_some() {
                anyhow::bail!("--code-size: the layers of a classifier are set by --layers");
            }
            if let (Some(layers), Some(classes)) = (&options.layers, classes) {
                classifier.set_layers(layers, shape.len(), classes)?;
            }
            if let Some(kinds) = &options.pretrain {
                PretrainKind::parse_list(kinds)
                    .and_then(|kinds| classifier.set_pretrain(&kinds))
                    .context("--pretrain")?;
            }
        }
        Spec::Autoencoder(network) => {
            if let Some(layers) = &options.layers {
                network.set_layers(layers, shape.len())?;
            }
            if let Some(size) = options.code_size {
                network.set_code_size(size)?;
            }
            if let Some(kinds) = &options.pretrain {
                PretrainKind::parse_list(kinds)
                    .and_then(|kinds| network.set_pretrain(&kinds))
                    .context("--pretrain")?;
            }
        }
        Spec::Pca(pca) => {
            if options.layers.is_some() {
                anyhow::bail!("--layers: a PCA has no layers; its size is --code-size");
            }
            if options.pretrain.is_some() {
                anyhow::bail!("--pretrain: a PCA has no layers; networks do, such as stacked");
            }
            pca.code_size = options.code_size.or(pca.code_size);
        }
    }
    spec.validate()?;
    Ok(())
}

/// The training and the held-out rows.
pub fn split(
    data: &str,
    validation: Option<&str>,
    options: &DataOptions,
    dataset: Dataset,
    seed: u64,
) -> anyhow::Result<(Dataset, Dataset)> {
    let share = |text: &str| text.parse::<f64>().ok();
    // The file of labels belongs to the training rows.
    let options = DataOptions { labels: None, ..options.clone() };
    match validation {
        Some(text) => match share(text) {
            Some(share) => hold_out(&dataset, share, seed).context("--validation"),
            None => Ok((dataset, super::open(text, &options)?)),
        },
        None => match default_validation(data) {
            Some(name) => Ok((dataset, super::open(name, &options)?)),
            None => Ok(hold_out(&dataset, HELD_OUT, seed)?),
        },
    }
}

/// Makes `runs/RECIPE-DATA-N` with the first N that is free.
pub fn new_run_folder(recipe: &str, data: &str) -> anyhow::Result<PathBuf> {
    let clean = |text: &str| -> String {
        text.chars().map(|c| if c.is_alphanumeric() || "._-".contains(c) { c } else { '-' }).collect()
    };
    let stem = Path::new(data).file_name().map_or_else(|| data.into(), |name| name.to_string_lossy());
    let stem = stem.split('.').next().filter(|stem| !stem.is_empty()).unwrap_or("data");
    let runs = Path::new("runs");
    std::fs::create_dir_all(runs).context("runs: cannot make the folder")?;
    for number in 1.. {
        let folder = runs.join(format!("{}-{}-{number}", clean(recipe), clean(stem)));
        match std::fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(error).with_context(|| format!("{}: cannot make the folder", folder.display()));
            }
        }
    }
    unreachable!("numbers do not run out")
}

/// What the run says while it goes on: a bar on a terminal, lines of JSON, or nothing.
pub struct Progress {
    json: bool,
    stop: Arc<AtomicBool>,
    bar: Option<ProgressBar>,
    started: Instant,
    last: String,
    /// The layer that is trained alone, and how many there are.
    layer: Option<(usize, usize)>,
    /// Of a network that is set beside the first: whether it is pre-trained, and its seed.
    start: Option<(bool, u64)>,
    /// What is fitted, where a command fits several.
    name: Option<String>,
    failed: bool,
}

impl Progress {
    pub fn new(json: bool, stop: Arc<AtomicBool>) -> Self {
        Self {
            json,
            stop,
            bar: None,
            started: Instant::now(),
            last: String::new(),
            layer: None,
            start: None,
            name: None,
            failed: false,
        }
    }

    pub fn hear(&mut self, event: &Event) -> Flow {
        match event {
            Event::Step { epoch, epochs, rows, total_rows, loss } if !self.json => {
                let bar = self.bar.get_or_insert_with(|| {
                    self.started = Instant::now();
                    let bar = ProgressBar::with_draw_target(
                        Some((epochs * total_rows) as u64),
                        ProgressDrawTarget::stderr_with_hz(10),
                    );
                    let style =
                        ProgressStyle::with_template("{wide_bar:.cyan/dim} {msg}, {per_sec}, {eta} left")
                            .expect("the template is valid")
                            .with_key(
                                "per_sec",
                                |state: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
                                    let _ = write!(out, "{:.0} rows/s", state.per_sec());
                                },
                            );
                    bar.set_style(style);
                    bar
                });
                bar.update(|state| state.set_pos(((epoch - 1) * total_rows + rows) as u64));
                if bar.position().is_multiple_of(32) || rows == total_rows {
                    let layer =
                        self.layer.map_or_else(String::new, |(layer, all)| format!("layer {layer}/{all}, "));
                    let start = self.start.map_or_else(String::new, |(pretrained, seed)| {
                        format!("{}, seed {seed}, ", if pretrained { "pre-trained" } else { "random start" })
                    });
                    bar.set_message(format!(
                        "{start}{layer}epoch {epoch}/{epochs}, loss {loss:.4}{}",
                        self.last
                    ));
                }
            }
            Event::Layer { layer, layers } => {
                // A bar of its own for each layer, and for all together.
                self.finish();
                self.last = String::new();
                self.layer = Some((*layer, *layers));
            }
            Event::Start { pretrained, seed } => {
                self.finish();
                self.last = String::new();
                self.start = Some((*pretrained, *seed));
            }
            Event::LayerEpoch { layer, record } => {
                self.last = format!(", held out {:.4}", record.validation_loss);
                self.tell(json!({ "event": "layer_epoch", "layer": layer }), record);
            }
            Event::Epoch(record) => {
                let active = record.active_units.map_or_else(String::new, |units| {
                    format!(", {units} code {} active", if units == 1 { "unit" } else { "units" })
                });
                // A classifier is judged by its errors.
                let judged =
                    record.validation_error.map_or(active, |error| format!(", {:.2} % wrong", error * 100.0));
                self.last = format!(", held out {:.4}{judged}", record.validation_loss);
                self.tell(json!({ "event": "epoch" }), record);
            }
            Event::Warning(what) => match &self.bar {
                Some(bar) => bar.suspend(|| eprintln!("warning: {what}")),
                None => eprintln!("warning: {what}"),
            },
            Event::Stage(what) => {
                if self.layer.take().is_some() {
                    // All layers together have a bar of their own.
                    self.finish();
                    self.last = String::new();
                }
                if let Some(bar) = &self.bar {
                    bar.set_message((*what).to_owned());
                }
            }
            _ => {}
        }
        if self.failed || self.stop.load(Ordering::Relaxed) { Flow::Stop } else { Flow::Continue }
    }

    /// One line of JSON for an epoch.
    fn tell(&mut self, mut line: serde_json::Value, record: &EpochRecord) {
        if !self.json {
            return;
        }
        if let Some(name) = &self.name {
            line["what"] = name.as_str().into();
        }
        if let Some((pretrained, seed)) = self.start {
            line["event"] = format!("twin_{}", line["event"].as_str().unwrap_or_default()).into();
            line["pretrained"] = pretrained.into();
            line["seed"] = seed.into();
        }
        line["epoch"] = record.epoch.into();
        line["train_loss"] = record.train_loss.into();
        line["validation_loss"] = record.validation_loss.into();
        line["seconds"] = record.seconds.into();
        line["active_units"] = record.active_units.into();
        if let Some(error) = record.validation_error {
            line["validation_error"] = error.into();
        }
        // Nobody reads any more: stop and keep what there is.
        self.failed |= output::line(line).is_err();
    }

    /// What is fitted, where a command fits several.
    pub fn set_name(&mut self, name: &str) {
        self.name = Some(name.to_owned());
        self.last = String::new();
    }

    pub fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// What is said at the end.
struct Done<'a> {
    recipe: &'a str,
    fit: &'a Fit,
    model_path: &'a Path,
    page: &'a Path,
    compute: Compute,
}

impl Done<'_> {
    fn json(&self) -> serde_json::Value {
        let Self { recipe, fit, model_path, page, compute } = self;
        let summary = fit.summary();
        let found = &summary.evaluation;
        let mut line = json!({
            "event": "done",
            "recipe": recipe,
            "model": model_path,
            "parameters": fit.model.parameter_count(),
            "code_size": fit.model.code_shape().len(),
            "threads": compute.threads,
            "seconds": fit.seconds,
            "train_loss": summary.train_loss,
            "validation_loss": found.loss,
            "test_bce": found.bce,
            "bce_floor": found.bce_floor,
            "test_mse": found.mse,
            "squared_error_per_row": found.squared_error_per_row,
            "explained_variance": found.explained_variance,
            "dead_units": found.dead_units,
            "mean_activity": found.mean_activity,
            "divergence": found.divergence,
            "eliminated": elimination(fit).map(|found| json!({
                "weights": found.eliminated(), "of": found.weights(), "unused_inputs": found.unused_inputs,
            })),
            "baselines": summary.baselines,
            "verdict": summary.verdict,
            "epochs": summary.epochs,
            "ended": ended_name(&fit.ended),
            "layers": layers_json(&fit.pretraining),
            "report": page,
            "simd": compute.level.name(),
        });
        if let Fitted::Pca(pca) = &fit.model.fitted {
            line["explained_variance_ratio"] = json!(pca.explained_variance_ratio());
        }
        line
    }

    fn print(&self, training: &Dataset, validation: &Dataset) -> anyhow::Result<()> {
        let Self { recipe, fit, compute, .. } = self;
        let summary = fit.summary();
        let found = &summary.evaluation;
        let code_size = fit.model.code_shape().len();
        let mut pairs: Vec<(String, String)> = Vec::new();
        let mut add = |name: &str, value: String| pairs.push((name.to_owned(), value));
        add(
            "rows",
            format!(
                "{} of {} for training, {} of {} held out",
                summary.training_rows, training.name, found.rows, validation.name
            ),
        );
        add("row, code", format!("{} numbers, {code_size} numbers", fit.model.shape.len()));
        add("parameters", fit.model.parameter_count().to_string());
        let epochs = if summary.epochs > 0 { format!(", {} epochs", summary.epochs) } else { String::new() };
        add(
            "time",
            format!("{:.2} s{epochs}, {} threads, {}", fit.seconds, compute.threads, compute.level.name()),
        );
        if let (Some(bce), Some(floor)) = (found.bce, found.bce_floor) {
            add(
                "BCE",
                format!("{:.4} training, {bce:.4} held out, {floor:.4} least possible", summary.train_loss),
            );
        }
        add("squared error per row", format!("{:.4}", found.squared_error_per_row));
        let components = summary.baselines.pca_components.unwrap_or(code_size);
        if !matches!(fit.model.fitted, Fitted::Pca(_)) {
            add(&format!("  PCA-{components}"), format!("{:.4}", summary.baselines.pca));
        }
        // Under noise each has the size that loses least.
        let linear = match summary.baselines.pca_components {
            Some(_) => "  linear".to_owned(),
            None => format!("  linear-{components}"),
        };
        add(&linear, format!("{:.4}", summary.baselines.linear));
        add("  constant mean", format!("{:.4}", summary.baselines.mean));
        add("explained variance", format!("{:.2} %", found.explained_variance * 100.0));
        if let Fitted::Pca(pca) = &fit.model.fitted {
            let ratios: Vec<_> =
                pca.explained_variance_ratio().iter().take(4).map(|ratio| format!("{ratio:.8}")).collect();
            let more = if code_size > 4 { ", ..." } else { "" };
            add("  by component", format!("{}{more}", ratios.join(", ")));
        }
        if let Some(divergence) = found.divergence {
            add("divergence of a code", format!("{divergence:.2} nats from the standard normal"));
        }
        for (place, layer) in fit.pretraining.iter().enumerate() {
            add(&format!("layer {} alone", place + 1), layer_text(layer));
        }
        if let Some(found) = elimination(fit) {
            add("eliminated weights", found.to_string());
        }
        add(
            super::dead_units_name(&fit.model),
            format!("{} of {}", found.dead_units, fit.model.code_units()),
        );
        output::line(format!("{recipe} on {}\n", training.name))?;
        output::pairs(&pairs)?;
        output::line(format!("\n{}\n", summary.verdict))
    }
}

/// What the last line of JSON says of how a run ended.
pub fn ended_name(ended: &Ended) -> &'static str {
    match ended {
        Ended::Finished => "finished",
        Ended::Early => "early",
        Ended::Interrupted => "interrupted",
        Ended::Diverged(_) => "diverged",
    }
}

/// What the last line of JSON says of layers that were trained alone.
pub fn layers_json(layers: &[PretrainedLayer]) -> Vec<serde_json::Value> {
    let of_layer = |layer: &PretrainedLayer| {
        json!({
            "inputs": layer.widths.0, "units": layer.widths.1, "epochs": layer.history.len(),
            "loss": layer.loss_name, "seconds": layer.seconds,
            "train_loss": layer.kept().map(|record| record.train_loss),
            "validation_loss": layer.kept().map(|record| record.validation_loss),
            "dead_units": layer.dead_units(),
        })
    };
    layers.iter().map(of_layer).collect()
}

/// What the table says of a layer that was trained alone.
pub fn layer_text(layer: &PretrainedLayer) -> String {
    let (inputs, units) = layer.widths;
    let end = layer.kept().map_or_else(String::new, |record| {
        format!(", {} {:.4} held out", layer.loss_name, record.validation_loss)
    });
    let dead = layer.dead_units().map_or_else(String::new, |dead| format!(", {dead} of {units} units dead"));
    format!("{inputs}-{units}: {:.1} s, {} epochs{end}{dead}", layer.seconds, layer.history.len())
}
