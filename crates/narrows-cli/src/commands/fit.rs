//! `narrows fit`

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use narrows::base::output::OutputFile;
use narrows::experiments::random_baseline::{RandomBaseline, random_baseline};
use narrows::fit::{CheckpointOptions, Resume, checkpoint_folder, remove_checkpoints};
use narrows::progress::{Ended, Event};
use narrows::recipe::RecipeFile;
use narrows::{Compute, Dataset, Fit, FitOptions, HeldOut, Model, Recipe};

use crate::arguments::FitArguments;
use crate::print::progress::Progress;
use crate::print::{self, baseline, stderr};
use crate::shared::run_folder::RunFolder;
use crate::shared::{datasets, interrupt, recipes};

/// Fits a recipe to data: opens both, splits, fits, saves, fits the baseline, reports.
pub fn run(arguments: &FitArguments) -> anyhow::Result<ExitCode> {
    let (recipe_name, data) = arguments.recipe_and_data();
    let named_recipe = recipe_name.map(|name| open_recipe(name, arguments)).transpose()?;
    // Outputs that are named are looked at before the data are read.
    let named = NamedOutputs::claim(arguments)?;
    let section = named_recipe.as_ref().map(RecipeFile::table_options).transpose()?.unwrap_or_default();
    let data_options = datasets::with_section(&arguments.data_options, section);
    let dataset = datasets::open_all(data, &data_options)?;
    let file = match named_recipe {
        Some(file) => file,
        None => open_recipe(default_recipe(&dataset, arguments.output.json).as_ref(), arguments)?,
    };
    let recipe = recipe_for(&file, arguments, &dataset)?;
    let seed = arguments.seed.unwrap_or(recipe.seed());
    let (training, held_out) = datasets::split(data, dataset, &arguments.held_out, &data_options, seed)?;
    let start = arguments.start_from.as_deref().map(Model::open).transpose()?;
    let compute = datasets::compute(&arguments.compute);

    let mut progress = Progress::new(arguments.output.json, interrupt::flag());
    let output = Output::choose(named, arguments, &file.name, &training.name)?;
    let model = output.model.path();
    interrupt::set_resumable(&checkpoint_folder(model), how_to_resume(model));
    let job = Job { arguments, recipe: &recipe, training: &training, held_out: &held_out, compute };
    let fit = job.fit(start.as_ref(), model, &mut progress)?;
    // The model is saved before anything else is fitted.
    save(&fit.model, model)?;
    if fit.ended == Ended::Interrupted || fit.summary().is_none() {
        return interrupted(&fit, &file.name, &output, arguments);
    }
    let (random, failure) = match job.fit_baseline(&fit, model, &mut progress) {
        Ok(baseline) => (baseline, None),
        // A baseline that fails takes nothing from the model and its report.
        Err(error) => (None, Some(error)),
    };
    if random.as_ref().is_some_and(|random| random.interrupted) {
        let how = match checkpoint_folder(model).is_dir() {
            true => how_to_resume(model),
            false => "the same command fits both again".to_owned(),
        };
        stderr::line(format!("interrupted: the model is whole, its baseline is not; {how}"));
        return Ok(interrupt::exit_code());
    }
    let pages = narrows_report::fit_page(&file.name, &fit, &training, &held_out, random.as_ref())
        .and_then(|page| page.write(&output.folder))
        .with_context(|| format!("the model is saved in {}, its report is not", model.display()))?;
    let done = print::fit::Done {
        recipe: &file.name,
        fit: &fit,
        random: random.as_ref(),
        model,
        report: pages.first().map(PathBuf::as_path),
    };
    if arguments.output.json {
        done.json()?;
    } else {
        done.table(&training, &held_out)?;
        random.as_ref().map_or(Ok(()), baseline::table)?;
        done.paths()?;
    }
    if let Some(error) = failure {
        return Err(error.context("--random-baseline"));
    }
    // All is written and said.
    remove_checkpoints(model);
    match &fit.ended {
        Ended::Diverged(reason) => anyhow::bail!(
            "{reason} (try a smaller train.learning_rate, or scale the data; the best model before that is in {})",
            model.display()
        ),
        Ended::Finished | Ended::Early | Ended::Interrupted => Ok(ExitCode::SUCCESS),
    }
}

/// Saves a model. Where that fails, its only copy is written to the folder for temporary files.
fn save(model: &Model, path: &Path) -> anyhow::Result<()> {
    let Err(error) = model.save(path) else { return Ok(()) };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let rescue = std::env::temp_dir().join(format!("narrows-{}-{name}", std::process::id()));
    let is_rescued = model.save(&rescue).is_ok();
    let mut places = Vec::new();
    if is_rescued {
        places.push(format!("the model is in {}: move it away from there", rescue.display()));
    }
    if checkpoint_folder(path).is_dir() {
        places.push(format!("the last state of training is in its checkpoint: {}", how_to_resume(path)));
    }
    let places = if places.is_empty() { "the model is lost".to_owned() } else { places.join("; ") };
    Err(anyhow::anyhow!("{error} ({places})"))
}

/// What is said and returned of a run that a signal stopped.
fn interrupted(
    fit: &Fit,
    recipe: &str,
    output: &Output,
    arguments: &FitArguments,
) -> anyhow::Result<ExitCode> {
    let model = output.model.path();
    if arguments.output.json {
        print::fit::Done { recipe, fit, random: None, model, report: None }.json()?;
    }
    let what = if fit.history.is_empty() && !fit.pretraining.is_empty() {
        "interrupted in pre-training: what the layers learned so far"
    } else {
        "interrupted: the best model so far"
    };
    stderr::line(format!("{what} is in {}, not evaluated; {}", model.display(), how_to_resume(model)));
    Ok(interrupt::exit_code())
}

/// How to go on with a run that was stopped.
fn how_to_resume(model: &Path) -> String {
    format!("go on with the same command, --out {} and --resume", model.display())
}

/// The recipe for data that are given alone: `table` for columns, `pca` for images, which is found at once.
fn default_recipe(dataset: &Dataset<'_>, json: bool) -> &'static str {
    if !dataset.rows.shape().is_image() {
        return "table";
    }
    if !json {
        stderr::line(format!(
            "{}: images, and no recipe is named: pca; others are conv, single, deep, denoising (`narrows recipes`)",
            dataset.name
        ));
    }
    "pca"
}

/// The recipe with the fields that options set.
fn open_recipe(name: &OsStr, arguments: &FitArguments) -> anyhow::Result<RecipeFile> {
    let mut file = recipes::open(name, &arguments.recipe_options)?;
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

/// The outputs that options name.
struct NamedOutputs {
    model: Option<OutputFile>,
    page: Option<OutputFile>,
}

impl NamedOutputs {
    fn claim(arguments: &FitArguments) -> anyhow::Result<Self> {
        let FitArguments { data_options, held_out, .. } = arguments;
        let files = [&arguments.start_from, &data_options.labels_file, &held_out.held_out_labels];
        let (recipe, data) = arguments.recipe_and_data();
        let mut inputs: Vec<&Path> = recipe.into_iter().map(Path::new).collect();
        inputs.extend(data.iter().map(Path::new));
        inputs.extend(held_out.held_out.as_deref().map(Path::new));
        inputs.extend(files.into_iter().flatten().map(PathBuf::as_path));
        let claim = |path: Option<&Path>| path.map(|path| OutputFile::claim(path, &inputs)).transpose();
        Ok(Self {
            model: claim(arguments.out.as_deref())?,
            page: claim(arguments.report.as_ref().map(|folder| folder.join(PAGE)).as_deref())?,
        })
    }
}

/// The name of a report in its folder.
const PAGE: &str = "report.html";

/// Where the model and the report go.
struct Output {
    folder: PathBuf,
    model: OutputFile,
    _page: OutputFile,
    _run_folder: Option<RunFolder>,
}

impl Output {
    fn choose(
        named: NamedOutputs,
        arguments: &FitArguments,
        recipe: &str,
        data: &str,
    ) -> anyhow::Result<Self> {
        // A run that goes on in a folder of runs reports there, unless told otherwise.
        let is_run = |folder: &&Path| folder.parent().is_some_and(|runs| runs.ends_with("runs"));
        let resumed =
            arguments.out.as_deref().filter(|_| arguments.resume).and_then(Path::parent).filter(is_run);
        let (folder, run_folder) = match arguments.report.clone().or(resumed.map(Path::to_owned)) {
            Some(folder) => (folder, None),
            None => {
                let made = RunFolder::make(recipe, data)?;
                (made.path().to_owned(), Some(made))
            }
        };
        let claim = |claimed: Option<OutputFile>, name: &str| match claimed {
            Some(claimed) => Ok(claimed),
            None => OutputFile::claim(&folder.join(name), &[]),
        };
        let (model, page) = (claim(named.model, "model.narrows")?, claim(named.page, PAGE)?);
        Ok(Self { folder, model, _page: page, _run_folder: run_folder })
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
    fn fit(&self, start: Option<&Model>, model: &Path, progress: &mut Progress) -> anyhow::Result<Fit> {
        let mut watch = |event: &Event| progress.on_event(event);
        let options = FitOptions {
            held_out: HeldOut::Rows(self.held_out),
            compute: self.compute,
            start_from: start,
            checkpoints: Some(self.checkpoints(model)),
            watch: Some(&mut watch),
        };
        let fit = narrows::fit(self.recipe, self.training, options);
        progress.finish();
        Ok(fit?)
    }

    fn checkpoints<'m>(&self, model: &'m Path) -> CheckpointOptions<'m> {
        let resume = if self.arguments.resume { Resume::Required } else { Resume::Never };
        CheckpointOptions { beside: model, resume }
    }

    /// The random-initialisation baseline, where it is asked for and the fit came to its end.
    fn fit_baseline(
        &self,
        fit: &Fit,
        model: &Path,
        progress: &mut Progress,
    ) -> anyhow::Result<Option<RandomBaseline>> {
        let is_done = matches!(fit.ended, Ended::Finished | Ended::Early);
        if !self.arguments.random_baseline || !is_done {
            return Ok(None);
        }
        let seeds = usize::from(self.arguments.seeds);
        let mut watch = |event: &Event| progress.on_event(event);
        let checkpoints = Some(self.checkpoints(model));
        let found =
            random_baseline(self.recipe, fit, seeds, self.training, self.held_out, checkpoints, &mut watch)
                .map(Some);
        progress.finish();
        Ok(found?)
    }
}
