//! What a classifier puts into its report.

use std::path::{Path, PathBuf};

use super::fit::{alone, layer_facts};
use crate::{ClassesContents, Mistake, Starts, write_classes};
use narrows::compute::Compute;
use narrows::data::Dataset;
use narrows::error::Result;
use narrows::evaluation::classes::{Misclassified, misclassified};
use narrows::fit::classifier::ClassifierFit;
use narrows::model::Model;
use narrows::model::metrics::Classification;
use narrows::network::plan::LayerTable;
use narrows::recipe::Recipe;
use narrows::recipe::to_toml;

/// Rows that are shown of those told worst.
const WORST: usize = 30;

/// Writes the report of a classifier's fit into a folder. Answers the paths written, the page first.
///
/// `recipe` is the name of the recipe; `starts` what its twins came to. The bytes depend on the model and the rows alone.
pub fn write_classifier_report(
    directory: &Path,
    recipe: &str,
    fit: &ClassifierFit,
    training: &Dataset,
    validation: &Dataset,
    compute: Compute,
    starts: Option<&Starts>,
) -> Result<Vec<PathBuf>> {
    let (model, summary) = (&fit.model, fit.summary());
    let found = &summary.evaluation;
    let percent = |share: f64| format!("{:.2} %", share * 100.0);
    let mut facts = vec![
        ("Training rows".to_owned(), format!("{} ({})", summary.training_rows, training.name)),
        ("With labels".to_owned(), summary.labelled_rows.to_string()),
        ("Held-out rows".to_owned(), format!("{} ({})", found.rows, validation.name)),
        ("Classes".to_owned(), found.confusion.len().to_string()),
        ("Parameters".to_owned(), model.parameter_count().to_string()),
        ("Epochs on labels".to_owned(), format!("{} ({} steps)", summary.epochs, fit.steps.1)),
    ];
    if fit.steps.0 > 0 {
        facts.push(("Steps of layers alone".to_owned(), fit.steps.0.to_string()));
    }
    facts.extend([
        ("Error".to_owned(), format!("{} ({} rows)", percent(found.error()), found.wrong)),
        ("Cross-entropy, training".to_owned(), format!("{:.5}", summary.train_loss)),
        ("Cross-entropy, held out".to_owned(), format!("{:.5}", found.cross_entropy)),
    ]);
    let errors = [
        ("commonest class".to_owned(), summary.commonest_error),
        ("nearest class mean".to_owned(), summary.nearest_mean_error),
        (format!("this model ({recipe})"), found.error()),
    ];
    let kept_epoch = fit.kept_epoch();
    let settings = fit.recipe.pretrain.as_ref();
    let layer_facts: Vec<_> =
        (0..).zip(&fit.pretraining).map(|(place, layer)| layer_facts(settings, place, layer)).collect();
    let pretraining: Vec<_> = fit
        .pretraining
        .iter()
        .zip(&layer_facts)
        .map(|(layer, facts)| alone(layer, facts, model.shape))
        .collect();
    let (worst, images) = worst_rows(model, validation, compute)?;
    write_classes(
        directory,
        &ClassesContents {
            title: &format!("{recipe} on {}", training.name),
            verdict: &summary.verdict,
            facts: &facts,
            layers: &model.table(),
            errors: &errors,
            history: &fit.history,
            kept_epoch,
            names: names(model),
            confusion: &found.confusion,
            worst: &worst,
            shape: model.shape,
            images: &images,
            starts,
            pretraining: &pretraining,
            recipe: &to_toml(&Recipe::Classifier(fit.recipe.clone())),
        },
    )
}

/// Writes a page with the confusions and the worst rows of data that a classifier was judged on. Answers the paths written,
/// the page first.
pub fn write_classes_report(
    directory: &Path,
    model: &Model,
    dataset: &Dataset,
    found: &Classification,
    compute: Compute,
) -> Result<Vec<PathBuf>> {
    let percent = |share: f64| format!("{:.2} %", share * 100.0);
    let facts = [
        ("Rows".to_owned(), format!("{} ({})", found.rows, dataset.name)),
        ("Accuracy".to_owned(), percent(1.0 - found.error())),
        ("Error".to_owned(), format!("{} ({} rows)", percent(found.error()), found.wrong)),
        ("Cross-entropy".to_owned(), format!("{:.5}", found.cross_entropy)),
    ];
    let verdict =
        format!("{} of {} rows are told wrong ({})", found.wrong, found.rows, percent(found.error()));
    let (worst, images) = worst_rows(model, dataset, compute)?;
    write_classes(
        directory,
        &ClassesContents {
            title: &format!("classes of {}", dataset.name),
            verdict: &verdict,
            facts: &facts,
            layers: &LayerTable::default(),
            errors: &[],
            history: &[],
            kept_epoch: None,
            names: names(model),
            confusion: &found.confusion,
            worst: &worst,
            shape: model.shape,
            images: &images,
            starts: None,
            pretraining: &[],
            recipe: "",
        },
    )
}

fn names(model: &Model) -> &[String] {
    model.classes.as_ref().map_or(&[], |classes| &classes.names)
}

/// Brings numbers that do not lie between 0 and 1 there, from the least to the largest.
fn stretch(numbers: &mut [f32]) {
    let (low, high) =
        numbers.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &x| (low.min(x), high.max(x)));
    if low < 0.0 || high > 1.0 {
        let size = if high > low { high - low } else { 1.0 };
        numbers.iter_mut().for_each(|x| *x = (*x - low) / size);
    }
}

/// The rows that are told wrong with the least share of their own class, and their numbers, from black (0) to white (1).
fn worst_rows(model: &Model, dataset: &Dataset, compute: Compute) -> Result<(Vec<Mistake>, Vec<f32>)> {
    let names = names(model);
    let mut wrong = misclassified(model, dataset, compute)?;
    wrong.truncate(WORST);
    let mistake = |row: &Misclassified| Mistake {
        row: row.row + 1,
        class: names[row.class].clone(),
        told: names[row.predicted].clone(),
        share: f64::from(row.predicted_probability),
        own: f64::from(row.class_probability),
    };
    let rows: Vec<usize> = wrong.iter().map(|row| row.row).collect();
    let mut images = vec![0.0; rows.len() * model.shape.len()];
    model.scaling.read(&*dataset.rows, &rows, &mut images, compute.level);
    stretch(&mut images);
    Ok((wrong.iter().map(mistake).collect(), images))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_any_numbers_go_from_black_to_white() {
        let stretched = |mut numbers: Vec<f32>| {
            stretch(&mut numbers);
            numbers
        };
        assert_eq!(stretched(vec![4.0, 0.0, 16.0]), [0.25, 0.0, 1.0]);
        assert_eq!(stretched(vec![-1.0, 0.0, 1.0]), [0.0, 0.5, 1.0]);
        // What is on the scale already stays as it is; what is all the same is black.
        assert_eq!(stretched(vec![0.25, 0.5]), [0.25, 0.5]);
        assert_eq!(stretched(vec![7.0, 7.0]), [0.0, 0.0]);
        assert!(stretched(Vec::new()).is_empty());
    }
}
