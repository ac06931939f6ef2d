//! `narrows fit`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use narrows::data::{Dataset, Shape, hold_out};
use narrows::experiments::random_baseline::{First, twins};
use narrows::fit::classifier::{ClassifierFit, fit_classifier};
use narrows::fit::{CheckpointOptions, Fit, Options, fit_with};
use narrows::model::Model;
use narrows::progress::{Ended, Event};
use narrows::recipe::RecipeFile;
use narrows::recipe::{PretrainKind, Recipe};
use narrows::report::{write_classifier_report, write_report};

use super::done::Done;
use super::progress::Progress;
use super::{classifier, twin};
use crate::arguments::{DataOptions, FitArguments, RecipeOptions};
use crate::{INTERRUPTED, output};

/// The share of rows held out where nothing else is said.
pub const HELD_OUT: f64 = 0.1;

/// Fits a recipe to data.
pub fn run(arguments: &FitArguments) -> anyhow::Result<ExitCode> {
    let mut recipe = RecipeFile::open(&arguments.recipe)?;
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
    if let Some(kinds) = &arguments.recipe_options.pretrain
        && PretrainKind::parse_list(kinds).context("--pretrain")?.contains(&PretrainKind::None)
    {
        // What goes is not checked against the rest.
        recipe.unset("pretrain");
    }
    let dataset = super::open(&arguments.data, &arguments.data_options)?;
    let mut spec = recipe.recipe()?;
    let classes = dataset.labels.as_ref().map(|labels| labels.names.len());
    check_from(&spec, arguments)?;
    apply_options(&mut spec, &arguments.recipe_options, dataset.rows.shape(), classes)?;
    apply_labels(&mut spec, arguments)?;
    if let Some(seed) = arguments.seed {
        spec.set_seed(seed);
    }
    if arguments.twin && !spec.has_twin() {
        anyhow::bail!(
            "--twin: a twin is that of a network that is pre-trained and not frozen, and this one is not (try stacked, or a recipe with `pretrain`)"
        );
    }
    let seed = arguments.seed.unwrap_or(spec.seed());
    let held_out = HeldOut {
        validation: arguments.validation.as_deref(),
        labels: arguments.validation_labels.as_deref(),
        seed,
    };
    let (training, validation) = split(&arguments.data, held_out, &arguments.data_options, dataset)?;
    let compute = super::compute(&arguments.compute);
    let start = arguments.from.as_deref().map(Model::open).transpose()?;
    // What cannot be written is refused before the work, not after it.
    let page = arguments.report.as_ref().map(|folder| folder.join("report.html"));
    arguments.out.iter().chain(&page).try_for_each(|path| narrows::base::atomic_file::probe(path))?;

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
    let mut hear = |event: &Event| progress.hear(event);
    let fitted = match &spec {
        Recipe::Classifier(spec) => {
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
        _ if !arguments.twin || matches!(fitted.ended(), Ended::Interrupted | Ended::Diverged(_)) => Ok(None),
        fitted => {
            let (first, seeds) = (fitted.first(), usize::from(arguments.seeds));
            let mut hear = |event: &Event| progress.hear(event);
            twins(&spec, first, seeds, &training, &validation, compute, &mut hear).map(Some)
        }
    };
    progress.finish();
    // A twin that fails takes nothing from the model and its report.
    let (twins, failure) = match twins {
        Ok(twins) => (twins, None),
        Err(error) => (None, Some(error)),
    };
    let recipe = &recipe.name;
    let starts = twins.as_ref().map(|twins| narrows::report::starts_of(twins, recipe));
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
    if let Some(error) = failure {
        return Err(anyhow::Error::from(error).context("--twin"));
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
            let go_on = match &spec {
                Recipe::Classifier(classifier) if classifier.frozen => {
                    "; with a frozen encoder a run begins anew".to_owned()
                }
                // Its layers are those of the model.
                Recipe::Classifier(_) => format!("; go on with the same command, --out {model} and --resume"),
                _ if arguments.from.is_some() => {
                    format!("; go on with the same command, --out {model} and --resume, without --from")
                }
                _ => format!("; go on with the same command, --out {model} and --resume"),
            };
            eprintln!("interrupted: the best model so far is in {model}{go_on}");
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

/// Refuses what `--from` would silently overrule.
fn check_from(spec: &Recipe, arguments: &FitArguments) -> anyhow::Result<()> {
    if arguments.from.is_none() {
        return Ok(());
    }
    let options = &arguments.recipe_options;
    let is_classifier = matches!(spec, Recipe::Classifier(_));
    if arguments.twin {
        anyhow::bail!("--twin: with --from training starts from the model, and nothing is pre-trained here");
    }
    if arguments.resume && !is_classifier {
        anyhow::bail!("--resume: what training started from is in the checkpoint; leave out --from");
    }
    let sets_encoder = options.set.iter().any(|set| set.trim_start().starts_with("encoder"));
    if is_classifier && (options.layers.is_some() || sets_encoder) {
        anyhow::bail!("--layers, --set encoder: with --from the layers of the encoder are the model's");
    }
    if is_classifier && options.pretrain.is_some() {
        anyhow::bail!("--pretrain: with --from the encoder is the model's, and nothing is pre-trained here");
    }
    Ok(())
}

/// Applies `--labelled` and `--frozen`, which are for classifiers.
fn apply_labels(spec: &mut Recipe, arguments: &FitArguments) -> anyhow::Result<()> {
    match spec {
        Recipe::Classifier(classifier) => {
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
    spec: &mut Recipe,
    options: &RecipeOptions,
    shape: Shape,
    classes: Option<usize>,
) -> anyhow::Result<()> {
    match spec {
        Recipe::Classifier(classifier) => {
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
        Recipe::Autoencoder(network) => {
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
        Recipe::Pca(pca) => {
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

/// Which rows are held out.
#[derive(Clone, Copy)]
pub struct HeldOut<'a> {
    /// Another data set, or a share of the training rows.
    pub validation: Option<&'a str>,
    /// The file of that data set's labels.
    pub labels: Option<&'a Path>,
    /// By what seed a share is chosen.
    pub seed: u64,
}

/// The training and the held-out rows.
pub fn split(
    data: &str,
    HeldOut { validation, labels, seed }: HeldOut<'_>,
    options: &DataOptions,
    dataset: Dataset<'static>,
) -> anyhow::Result<(Dataset<'static>, Dataset<'static>)> {
    let share = |text: &str| text.parse::<f64>().ok();
    // The file of labels belongs to the training rows.
    let options = DataOptions { labels: labels.map(Path::to_owned), ..options.clone() };
    if labels.is_some() && validation.is_none_or(|text| share(text).is_some()) {
        anyhow::bail!("--validation-labels: are those of a data set that --validation names");
    }
    match validation {
        Some(text) => match share(text) {
            Some(share) => hold_out(&dataset, share, seed).context("--validation"),
            None => Ok((dataset, super::open(text, &options)?)),
        },
        None => match narrows_datasets::default_held_out(data) {
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
