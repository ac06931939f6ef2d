//! Writes a page of each kind from real fits, to be looked at: `cargo run --example pages -- FOLDER`.

use std::error::Error;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use narrows::experiments::compare::{Candidate, CompareOptions, compare};
use narrows::experiments::random_baseline::random_baseline;
use narrows::model::metrics::Evaluation;
use narrows::{Compute, Dataset, Fit, FitOptions, HeldOut, Recipe, data};
use narrows_report::{comparison_page, evaluation_page, fit_page};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from).ok_or("give a folder to write to")?;
    let (iris, digits) = (narrows_datasets::iris(), narrows_datasets::mnist_test());

    let single = Recipe::open("single")?.with("train.epochs", 2)?.with("scale", "min_max")?;
    write_fit(&folder, "single", &single, &iris)?;
    write_fit(&folder, "eliminated", &single.with("weights.elimination", 0.01)?, &iris)?;
    write_fit(&folder, "pca", &Recipe::open("pca")?, &iris)?;
    for (name, code_size) in [("vae", Some(2)), ("denoising", None), ("stacked", None)] {
        let mut recipe = Recipe::open(name)?.with("train.epochs", 1)?;
        if let Some(size) = code_size {
            recipe = recipe.with("code_size", size)?;
        }
        write_fit(&folder, name, &recipe, &digits)?;
    }
    let classifier = Recipe::open("classifier")?;
    let few_labels = classifier.with("train.epochs", 1)?.with("labelled", 300)?;
    for (recipe, rows) in [(few_labels, &digits), (classifier.with("train.epochs", 3)?, &iris)] {
        let fit = write_fit(&folder, "classifier", &recipe, rows)?;
        if let Evaluation::Classification(found) = fit.model.evaluate(rows)? {
            let page = evaluation_page(&fit.model, rows, &found)?;
            page.write(&folder.join(format!("evaluation-{}", rows.name)))?;
        }
    }
    write_comparison(&folder, &["single", "pca", "denoising"], &digits, 1, &[2, 4])?;
    write_comparison(&folder, &["single", "pca", "conv"], &iris, 2, &[])?;
    Ok(())
}

/// Fits a recipe and writes its page, beside random initialisations where it has pre-training.
fn write_fit(folder: &Path, name: &str, recipe: &Recipe, rows: &Dataset<'_>) -> narrows::Result<Fit> {
    let (training, held_out) = data::hold_out(rows, 0.1, recipe.seed())?;
    let options = FitOptions { held_out: HeldOut::Rows(&held_out), ..FitOptions::default() };
    let fit = narrows::fit(recipe, &training, options)?;
    let mut watch = |_: &_| ControlFlow::Continue(());
    let baseline = match recipe {
        Recipe::Autoencoder(_) if recipe.has_random_baseline() => {
            Some(random_baseline(recipe, &fit, 1, &training, &held_out, None, &mut watch)?)
        }
        _ => None,
    };
    let page = fit_page(name, &fit, &training, &held_out, baseline.as_ref())?;
    page.write(&folder.join(format!("{name}-{}", rows.name.replace(':', "-"))))?;
    println!("{name} on {}: {}", rows.name, fit.verdict());
    Ok(fit)
}

/// Compares recipes and writes the page.
fn write_comparison(
    folder: &Path,
    names: &[&str],
    rows: &Dataset<'_>,
    epochs_and_seeds: usize,
    code_sizes: &[usize],
) -> narrows::Result<()> {
    let (training, held_out) = data::hold_out(rows, 0.1, 0)?;
    let candidate = |name: &&str| -> narrows::Result<Candidate> {
        let recipe = Recipe::open(name)?;
        let recipe = match recipe {
            Recipe::Pca(_) => recipe,
            _ => recipe.with("train.epochs", epochs_and_seeds)?,
        };
        Ok(Candidate { name: (*name).to_owned(), recipe })
    };
    let candidates = names.iter().map(candidate).collect::<narrows::Result<Vec<_>>>()?;
    let options = CompareOptions {
        seeds: epochs_and_seeds,
        code_sizes: code_sizes.to_vec(),
        ..CompareOptions::default()
    };
    let found = compare(&candidates, &training, &held_out, &options, Compute::default(), &mut |_| {
        ControlFlow::Continue(())
    })?;
    let page = comparison_page(&found, &training, &held_out);
    page.write(&folder.join(format!("comparison-{}", rows.name.replace(':', "-"))))?;
    println!("{}", found.verdict);
    Ok(())
}
