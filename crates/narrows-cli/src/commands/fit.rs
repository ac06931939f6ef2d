//! `narrows fit`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use narrows::experiments::random_baseline::{RandomBaseline, random_baseline};
use narrows::fit::CheckpointOptions;
use narrows::progress::{Ended, Event};
use narrows::recipe::RecipeFile;
use narrows::{Compute, Dataset, Fit, FitOptions, HeldOut, Model, Recipe};

use crate::INTERRUPTED;
use crate::arguments::FitArguments;
use crate::print::progress::Progress;
use crate::print::{self, baseline, stderr};
use crate::shared::{datasets, interrupt, recipes, run_folder};

/// Fits a recipe to data: opens both, splits, fits, saves, fits the baseline, reports.
pub fn run(arguments: &FitArguments) -> anyhow::Result<ExitCode> {
    let file = open_recipe(arguments)?;
    let dataset = datasets::open(arguments.data(), &arguments.data_options)?;
    let recipe = recipe_for(&file, arguments, &dataset)?;
    let seed = arguments.seed.unwrap_or(recipe.seed());
    let (training, held_out) =
        datasets::split(arguments.data(), dataset, &arguments.held_out, &arguments.data_options, seed)?;
    let start = arguments.start_from.as_deref().map(Model::open).transpose()?;
    let compute = datasets::compute(&arguments.compute);
    probe_outputs(arguments)?;

    let mut progress = Progress::new(arguments.output.json, interrupt::listen()?);
    let output = Output::choose(arguments, &file.name, &training.name)?;
    let job = Job { arguments, recipe: &recipe, training: &training, held_out: &held_out, compute };
    let fit = job.fit(start.as_ref(), &output, &mut progress)?;
    // The model is saved before anything else is fitted.
    fit.model.save(&output.model)?;
    let (random, failure) = match job.fit_baseline(&fit, &mut progress) {
        Ok(baseline) => (baseline, None),
        // A baseline that fails takes nothing from the model and its report.
        Err(error) => (None, Some(error)),
    };
    let pages = narrows_report::fit_page(&file.name, &fit, &training, &held_out, random.as_ref())
        .and_then(|page| page.write(&output.folder))
        .map_err(|error| error.hint(format!("the model is saved: {}", output.model.display())))?;
    let done = print::fit::Done {
        recipe: &file.name,
        fit: &fit,
        random: random.as_ref(),
        model: &output.model,
        report: &pages[0],
    };
    if arguments.output.json {
        done.json()?;
    } else {
        done.table(&training, &held_out)?;
        random.as_ref().map_or(Ok(()), baseline::table)?;
        done.paths()?;
    }
    if random.is_some_and(|random| random.interrupted) {
        stderr::line(
            "interrupted: the model is whole, its baseline is that of the fits that were finished by then",
        );
        return Ok(ExitCode::from(INTERRUPTED));
    }
    if let Some(error) = failure {
        return Err(error.context("--random-baseline"));
    }
    exit_code(&fit, &output.model, arguments, &recipe)
}

/// The recipe with the fields that options set.
fn open_recipe(arguments: &FitArguments) -> anyhow::Result<RecipeFile> {
    let mut file = recipes::open(&arguments.recipe, &arguments.recipe_options)?;
    for (field, value) in [("epochs", arguments.epochs), ("batch_size", arguments.batch_size)] {
        match value {
            Some(_) if file.method() == Some("pca") => {
                anyhow::bail!(
                    "--epochs, --batch-size: a PCA is found in one step, without epochs or batches"
                );
            }
            Some(value) => file.set_value(&format!("train.{field}"), value as u64)?,
            None => {}
        }
    }
    Ok(file)
}

/// The recipe with its short forms, for the rows of a data set.
fn recipe_for(file: &RecipeFile, arguments: &FitArguments, dataset: &Dataset<'_>) -> anyhow::Result<Recipe> {
    let mut recipe = file.recipe()?;
    check_start(&recipe, arguments)?;
    let classes = dataset.labels.as_ref().map(|labels| labels.names.len());
    recipes::apply(&mut recipe, &arguments.recipe_options, dataset.rows.shape(), classes)?;
    match &mut recipe {
        Recipe::Classifier(classifier) => {
            classifier.labelled = arguments.labelled_rows.or(classifier.labelled);
            classifier.frozen |= arguments.frozen;
        }
        _ if arguments.labelled_rows.is_some() => anyhow::bail!("--labelled-rows: is for a classifier"),
        _ if arguments.frozen => anyhow::bail!("--frozen: is for a classifier"),
        _ => {}
    }
    if let Some(seed) = arguments.seed {
        recipe.set_seed(seed);
    }
    if arguments.random_baseline && !recipe.has_random_baseline() {
        anyhow::bail!(
            "--random-baseline: is that of a network that is pre-trained and not frozen, and this one is not (try stacked, or a recipe with `pretrain`)"
        );
    }
    Ok(recipe)
}

/// Refuses what `--start-from` would silently overrule.
fn check_start(recipe: &Recipe, arguments: &FitArguments) -> anyhow::Result<()> {
    if arguments.start_from.is_none() {
        return Ok(());
    }
    let options = &arguments.recipe_options;
    let is_classifier = matches!(recipe, Recipe::Classifier(_));
    if arguments.random_baseline {
        anyhow::bail!(
            "--random-baseline: with --start-from training starts from the model, and nothing is pre-trained here"
        );
    }
    if arguments.resume && !is_classifier {
        anyhow::bail!("--resume: the start of training is in the checkpoint; leave out --start-from");
    }
    let sets_encoder = options.set.iter().any(|set| set.trim_start().starts_with("encoder"));
    if is_classifier && (options.layers.is_some() || options.code_size.is_some() || sets_encoder) {
        anyhow::bail!(
            "--layers, --code-size, --set encoder: with --start-from the layers of the encoder are the model's"
        );
    }
    if is_classifier && options.pretrain.is_some() {
        anyhow::bail!(
            "--pretrain: with --start-from the encoder is the model's, and nothing is pre-trained here"
        );
    }
    Ok(())
}

/// Refuses paths that cannot be written before the work, not after it.
fn probe_outputs(arguments: &FitArguments) -> anyhow::Result<()> {
    let page = arguments.report.as_ref().map(|folder| folder.join("report.html"));
    arguments.out.iter().chain(&page).try_for_each(|path| narrows::base::atomic_file::probe(path))?;
    Ok(())
}

/// Where the model and the report go.
struct Output {
    folder: PathBuf,
    /// Whether the folder was made for this run.
    is_new: bool,
    model: PathBuf,
}

impl Output {
    fn choose(arguments: &FitArguments, recipe: &str, data: &str) -> anyhow::Result<Self> {
        // A run that goes on reports beside its model, unless told otherwise.
        let resumed = arguments.out.as_deref().filter(|_| arguments.resume).and_then(Path::parent);
        let (folder, is_new) = match arguments.report.clone().or(resumed.map(Path::to_owned)) {
            Some(folder) => (folder, false),
            None => (run_folder::create(recipe, data)?, true),
        };
        let model = arguments.out.clone().unwrap_or_else(|| folder.join("model.narrows"));
        Ok(Self { folder, is_new, model })
    }
}

/// What is fitted to what.
struct Job<'a> {
    arguments: &'a FitArguments,
    recipe: &'a Recipe,
    training: &'a Dataset<'static>,
    held_out: &'a Dataset<'static>,
    compute: Compute,
}

impl Job<'_> {
    fn fit(&self, start: Option<&Model>, output: &Output, progress: &mut Progress) -> anyhow::Result<Fit> {
        let resume = self.arguments.resume;
        let mut watch = |event: &Event| progress.on_event(event);
        let options = FitOptions {
            held_out: HeldOut::Rows(self.held_out),
            compute: self.compute,
            start_from: start,
            checkpoints: Some(CheckpointOptions { model: &output.model, resume }),
            watch: Some(&mut watch),
        };
        let fit = narrows::fit(self.recipe, self.training, options);
        progress.finish();
        if fit.is_err() && output.is_new {
            run_folder::remove_empty(&output.folder);
        }
        Ok(fit?)
    }

    /// The random-initialisation baseline, where it is asked for and the fit came to its end.
    fn fit_baseline(&self, fit: &Fit, progress: &mut Progress) -> anyhow::Result<Option<RandomBaseline>> {
        let is_done = matches!(fit.ended, Ended::Finished | Ended::Early);
        if !self.arguments.random_baseline || !is_done {
            return Ok(None);
        }
        let seeds = usize::from(self.arguments.seeds);
        let mut watch = |event: &Event| progress.on_event(event);
        let found =
            random_baseline(self.recipe, fit, seeds, self.training, self.held_out, &mut watch).map(Some);
        progress.finish();
        Ok(found?)
    }
}

/// What the shell hears of how the run ended.
fn exit_code(fit: &Fit, model: &Path, arguments: &FitArguments, recipe: &Recipe) -> anyhow::Result<ExitCode> {
    let model = model.display();
    match &fit.ended {
        Ended::Finished | Ended::Early => Ok(ExitCode::SUCCESS),
        Ended::Interrupted => {
            if fit.history.is_empty() && !fit.pretraining.is_empty() {
                stderr::line(format!("interrupted in pre-training: {model} has what the layers learned"));
                return Ok(ExitCode::from(INTERRUPTED));
            }
            let go_on = match recipe {
                Recipe::Classifier(classifier) if classifier.frozen => {
                    "; with a frozen encoder a run begins anew".to_owned()
                }
                // A classifier's layers are those of the model.
                Recipe::Autoencoder(_) if arguments.start_from.is_some() => {
                    format!("; go on with the same command, --out {model} and --resume, without --start-from")
                }
                _ => format!("; go on with the same command, --out {model} and --resume"),
            };
            stderr::line(format!("interrupted: the best model so far is in {model}{go_on}"));
            Ok(ExitCode::from(INTERRUPTED))
        }
        Ended::Diverged(reason) => anyhow::bail!(
            "{reason} (try a smaller train.learning_rate, or scale the data; the best model before that is in {model})"
        ),
    }
}
