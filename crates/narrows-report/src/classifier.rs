//! The pages of a classifier: of its fit, and of its evaluation on other rows.

use narrows::data::Dataset;
use narrows::evaluation::classes::{Misclassified, misclassified};
use narrows::experiments::random_baseline::RandomBaseline;
use narrows::model::metrics::{Classification, ClassificationSummary};
use narrows::recipe::{Recipe, to_toml};
use narrows::{Fit, Model, Result, Shape};

use crate::draw::confusion::{CELLS, confusion};
use crate::draw::{bars, curves, pictures};
use crate::html::{Document, HtmlCell, NUMBER, escape, source};
use crate::page::Page;
use crate::{pretraining, starts};

/// Largest number of misclassified rows that are shown.
const WORST: usize = 30;

/// The page of a fit, see [`fit_page`](crate::fit_page).
pub(crate) fn page(
    recipe: &str,
    fit: &Fit,
    summary: &ClassificationSummary,
    training: &Dataset<'_>,
    held_out: &Dataset<'_>,
    baseline: Option<&RandomBaseline>,
) -> Result<Page> {
    let model = &fit.model;
    let found = &summary.evaluation;
    let title = format!("{recipe} on {}", training.name);
    let error_rates = [
        ("commonest class".to_owned(), summary.commonest_error),
        ("nearest class mean".to_owned(), summary.nearest_mean_error),
        (format!("this model ({recipe})"), found.error_rate),
    ];
    let mut page = Document::new("Narrows report", &title, &summary.verdict);
    page.facts(&facts(fit, summary, training, held_out));
    page.figure(confusion(names(model), &found.confusion));
    page.figure(bars::error_rates(&error_rates));
    page.figure(curves::loss("loss", &fit.history, "cross-entropy", None, fit.kept_epoch()));
    page.figure(curves::error_rate(&fit.history));
    worst_rows(&mut page, model, held_out)?;
    if let Some(baseline) = baseline {
        starts::section(&mut page, baseline, recipe);
    }
    page.layers(&model.table());
    let settings = match &fit.recipe {
        Recipe::Classifier(classifier) => classifier.pretrain.as_ref(),
        Recipe::Pca(_) | Recipe::Autoencoder(_) => None,
    };
    pretraining::sections(&mut page, &fit.pretraining, settings, model.shape());
    page.recipe("Recipe", &to_toml(&fit.recipe));
    Ok(page.finish())
}

/// The page of the evaluation of a classifier on rows: `found` is the result of the evaluation on `dataset`.
///
/// Files beside the page, as far as there is something to show: `confusion`, `worst`.
///
/// # Errors
/// Where the model is no classifier, a row has no class that it knows, or rows cannot be read.
pub fn evaluation_page(model: &Model, dataset: &Dataset<'_>, found: &Classification) -> Result<Page> {
    let error = percent(found.error_rate);
    let facts = [
        ("Rows".to_owned(), format!("{} ({})", found.rows, dataset.name)),
        ("Accuracy".to_owned(), percent(1.0 - found.error_rate)),
        ("Error".to_owned(), format!("{error} ({} rows)", found.misclassified)),
        ("Cross-entropy".to_owned(), format!("{:.5}", found.loss)),
    ];
    let verdict = format!("{} of {} rows are misclassified ({error})", found.misclassified, found.rows);
    let mut page = Document::new("Narrows report", &format!("classes of {}", dataset.name), &verdict);
    page.facts(&facts);
    page.figure(confusion(names(model), &found.confusion));
    worst_rows(&mut page, model, dataset)?;
    Ok(page.finish())
}

/// The numbers of the page of a fit.
fn facts(
    fit: &Fit,
    summary: &ClassificationSummary,
    training: &Dataset<'_>,
    held_out: &Dataset<'_>,
) -> Vec<(String, String)> {
    let found = &summary.evaluation;
    let mut facts = Vec::new();
    let mut add = |name: &str, value: String| facts.push((name.to_owned(), value));
    add("Training rows", format!("{} ({})", summary.training_rows, training.name));
    add("With labels", summary.labelled_rows.to_string());
    add("Held-out rows", format!("{} ({})", found.rows, held_out.name));
    add("Classes", found.confusion.len().to_string());
    add("Parameters", fit.model.parameter_count().to_string());
    add("Epochs on labels", format!("{} ({} steps)", summary.epochs, fit.steps.training));
    if fit.steps.pretraining > 0 {
        add("Steps of layers alone", fit.steps.pretraining.to_string());
    }
    add("Error", format!("{} ({} rows)", percent(found.error_rate), found.misclassified));
    add("Cross-entropy, training", format!("{:.5}", summary.train_loss));
    add("Cross-entropy, held out", format!("{:.5}", found.loss));
    facts
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

fn names(model: &Model) -> &[String] {
    model.classes().unwrap_or_default()
}

/// Writes the misclassified rows that were given the least probability of their own class: as images, or in a table.
fn worst_rows(page: &mut Document, model: &Model, dataset: &Dataset<'_>) -> Result<()> {
    let names = names(model);
    if names.len() > CELLS {
        page.put(format_args!(
            "<p class=\"notes\">There are {} classes: confusions are drawn of {CELLS} at most.</p>\n",
            names.len()
        ));
    }
    let mut worst = misclassified(model, dataset)?;
    worst.truncate(WORST);
    if worst.is_empty() {
        return Ok(());
    }
    if !model.shape().is_image() {
        page.section("Told worst", |section| worst_table(section, names, &worst));
        return Ok(());
    }
    let rows: Vec<usize> = worst.iter().map(|row| row.row).collect();
    let mut images = model.scaled(&*dataset.rows, &rows)?;
    stretch(&mut images);
    page.section("Told worst", |section| worst_images(section, names, &worst, model.shape(), &images));
    if let Some((png, _)) = pictures::grid(model.shape(), &images, 10, pictures::UNIT) {
        page.add_file("worst.png".to_owned(), png);
    }
    Ok(())
}

fn worst_images(
    section: &mut Document,
    names: &[String],
    worst: &[Misclassified],
    shape: Shape,
    images: &[f32],
) {
    section.put(format_args!("<div class=\"tiles\">\n"));
    for (mistake, image) in worst.iter().zip(images.chunks_exact(shape.len())) {
        let Some((png, _)) = pictures::grid(shape, image, 1, pictures::UNIT) else { continue };
        let (class, predicted) = (escape(&names[mistake.class]), escape(&names[mistake.predicted]));
        let row = mistake.row + 1;
        let [own, other] = [mistake.class_probability, mistake.predicted_probability].map(rounded_percent);
        section.put(format_args!(
            "<figure><img src=\"{}\" width=\"84\" alt=\"row {row}: {class} told as {predicted}\">\
             <figcaption>{class} as <strong>{predicted}</strong><br>{own} to {other}<br>row {row}</figcaption></figure>\n",
            source(&png)
        ));
    }
    section.put(format_args!("</div>\n<p class=\"notes\">The class of each row and the class it was told to be of, and the shares that both were given; the row that was given the least of its own class comes first. Rows are numbered from 1 among those that were judged.</p>\n"));
}

fn worst_table(section: &mut Document, names: &[String], worst: &[Misclassified]) {
    let header = [
        (NUMBER, "row"),
        ("", "class"),
        ("", "predicted"),
        (NUMBER, "probability of its class"),
        (NUMBER, "probability predicted"),
    ]
    .map(|(class, name)| (class, name.to_owned()));
    let cells = |mistake: &Misclassified| -> Vec<HtmlCell> {
        vec![
            (NUMBER, (mistake.row + 1).to_string()),
            ("", names[mistake.class].clone()),
            ("", names[mistake.predicted].clone()),
            (NUMBER, rounded_percent(mistake.class_probability)),
            (NUMBER, rounded_percent(mistake.predicted_probability)),
        ]
    };
    section.table(&header, &worst.iter().map(cells).collect::<Vec<_>>());
    section.put(format_args!("<p class=\"notes\">Rows are numbered from 1 among those that were judged; the one that was given the least of its own class comes first.</p>\n"));
}

fn rounded_percent(probability: f32) -> String {
    format!("{:.0} %", f64::from(probability) * 100.0)
}

/// Maps numbers that exceed 0..1 to it, from the lowest to the highest.
fn stretch(numbers: &mut [f32]) {
    let (low, high) =
        numbers.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &x| (low.min(x), high.max(x)));
    if low < 0.0 || high > 1.0 {
        let size = if high > low { high - low } else { 1.0 };
        numbers.iter_mut().for_each(|x| *x = (*x - low) / size);
    }
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
        // Numbers within 0..1 stay; equal numbers outside become black.
        assert_eq!(stretched(vec![0.25, 0.5]), [0.25, 0.5]);
        assert_eq!(stretched(vec![7.0, 7.0]), [0.0, 0.0]);
        assert!(stretched(Vec::new()).is_empty());
    }
}
