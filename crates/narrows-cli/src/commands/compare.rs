//! `narrows compare`

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use narrows::Recipe;
use narrows::base::output::OutputFile;
use narrows::experiments::compare::{Candidate, CompareOptions, ComparisonEvent, compare};
use narrows::fit::{CheckpointOptions, Resume, checkpoint_folder, remove_checkpoints};
use narrows::recipe::RecipeFile;

use crate::arguments::CompareArguments;
use crate::print::comparison::{self, Progress};
use crate::print::stderr;
use crate::shared::run_folder::RunFolder;
use crate::shared::{datasets, interrupt};

/// Fields of a recipe that only networks have, and those that only PCA has.
const OF_NETWORKS: [&str; 7] = ["encoder", "decoder", "loss", "sparsity", "weights", "pretrain", "train"];
const OF_PCA: [&str; 2] = ["code_size", "whiten"];

/// Fits several recipes to the same data.
pub fn run(arguments: &CompareArguments) -> anyhow::Result<ExitCode> {
    let (names, data) = arguments.recipes_and_data();
    let Some(data) = data else {
        anyhow::bail!(
            "{}: which data? Give recipes, then data: narrows compare single pca mnist",
            names.join(OsStr::new(" ")).display()
        );
    };
    let candidates = candidates(names, arguments)?;
    let asked = arguments.set.iter().any(|text| field(text) == "scale");
    let options = CompareOptions {
        seeds: usize::from(arguments.seeds),
        code_size: arguments.code_size,
        scale: candidates.first().filter(|_| asked).map(|candidate| candidate.recipe.scale()),
        code_sizes: arguments.code_sizes.as_deref().map(code_sizes).transpose()?.unwrap_or_default(),
        checkpoints: None,
    };
    if arguments.code_size == Some(0) {
        anyhow::bail!("--code-size: must be at least 1");
    }
    let inputs: Vec<&Path> = names.iter().map(OsString::as_os_str).chain([data]).map(Path::new).collect();
    let claim = |folder: &Path| OutputFile::claim(&folder.join("report.html"), &inputs);
    let named = arguments.report.as_deref().map(claim).transpose()?;
    let mut data_options = arguments.data_options.clone();
    for name in names {
        data_options = datasets::with_section(&data_options, RecipeFile::open(name)?.table_options()?);
    }
    let dataset = datasets::open(data, &data_options)?;
    let (training, held_out) =
        datasets::split(&[data.to_owned()], dataset, &arguments.held_out, &data_options, 0)?;
    let run_folder = match &arguments.report {
        Some(_) => None,
        None => Some(RunFolder::make("compare", &training.name)?),
    };
    let named_folder = arguments.report.as_deref().unwrap_or(Path::new(""));
    let folder = run_folder.as_ref().map_or(named_folder, RunFolder::path);
    let page = named.map_or_else(|| claim(folder), Ok)?;
    let resume = if arguments.resume { Resume::IfPresent } else { Resume::Never };
    let options =
        CompareOptions { checkpoints: Some(CheckpointOptions { beside: page.path(), resume }), ..options };
    let how_to_resume = format!("go on with the same command, --report {} and --resume", folder.display());
    interrupt::set_resumable(&checkpoint_folder(page.path()), how_to_resume.clone());

    let json = arguments.output.json;
    let mut progress = Progress::new(json, interrupt::flag());
    let compute = datasets::compute(&arguments.compute);
    let found =
        compare(&candidates, &training, &held_out, &options, compute, &mut |event: &ComparisonEvent| {
            progress.on_event(event)
        });
    progress.finish();
    let found = found?;
    if found.interrupted {
        let finished: usize = found.methods.iter().map(|method| method.fits.len()).sum();
        stderr::line(format!("interrupted: {finished} fits are done; {how_to_resume}"));
        return Ok(interrupt::exit_code());
    }
    let pages = narrows_report::comparison_page(&found, &training, &held_out).write(folder)?;
    if json {
        comparison::json(&found, &training.name, &pages[0])?;
    } else {
        comparison::table(&found, &training.name, &pages[0])?;
    }
    // All is written and said.
    remove_checkpoints(page.path());
    Ok(ExitCode::SUCCESS)
}

/// The recipes with their changes.
fn candidates(names: &[OsString], arguments: &CompareArguments) -> anyhow::Result<Vec<Candidate>> {
    let mut candidates: Vec<Candidate> = Vec::new();
    let mut taken = vec![false; arguments.set.len()];
    for name in names {
        let mut recipe = RecipeFile::open(name)?;
        let name = name.display();
        let foreign: &[&str] = match recipe.recipe()? {
            Recipe::Autoencoder(_) => &OF_PCA,
            Recipe::Pca(_) => &OF_NETWORKS,
            Recipe::Classifier(_) => anyhow::bail!(
                "{name}: a classifier reconstructs nothing to compare; `narrows fit` says what it is worth"
            ),
        };
        for (assignment, taken) in arguments.set.iter().zip(&mut taken) {
            if !foreign.contains(&field(assignment)) {
                recipe.set(assignment)?;
                *taken = true;
            }
        }
        let mut settings = recipe.recipe()?;
        if let (Recipe::Autoencoder(network), Some(epochs)) = (&mut settings, arguments.epochs)
            // A closed form that is not trained stays one.
            && network.train.epochs > 0
        {
            (network.train.epochs, network.train.updates) = (epochs, None);
        }
        settings.validate()?;
        if candidates.iter().any(|candidate| candidate.name == recipe.name) {
            anyhow::bail!(
                "{name}: there is a recipe `{}` already (give another name to the file)",
                recipe.name
            );
        }
        candidates.push(Candidate { name: recipe.name, recipe: settings });
    }
    if let Some((assignment, _)) = arguments.set.iter().zip(taken).find(|(_, taken)| !taken) {
        anyhow::bail!("--set {assignment}: none of the recipes has the field `{}`", field(assignment));
    }
    if arguments.epochs.is_some()
        && !candidates.iter().any(|candidate| matches!(candidate.recipe, Recipe::Autoencoder(_)))
    {
        anyhow::bail!("--epochs: a PCA is found in one step, without epochs");
    }
    Ok(candidates)
}

/// The first name of the field that an assignment sets.
fn field(assignment: &str) -> &str {
    assignment.split(['.', '=']).next().unwrap_or_default().trim()
}

/// Reads `2,4,8`, or as it was written before `code_size=2,4,8`.
fn code_sizes(text: &str) -> anyhow::Result<Vec<usize>> {
    let wrong = || anyhow::anyhow!("--code-sizes {text}: expected code sizes, such as 2,4,8,16,32");
    let list = text.strip_prefix("code_size=").unwrap_or(text);
    list.split(',').map(|size| size.trim().parse().ok().filter(|&size| size > 0).ok_or_else(wrong)).collect()
}
