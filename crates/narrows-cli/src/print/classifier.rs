//! A classifier in tables: its fit, its evaluation, its confusion matrix.

use narrows::model::metrics::{Classification, ClassificationSummary};
use narrows::{Dataset, Fit};

use super::{fixed, layer_text, percent, table};

/// Classes up to which the confusion matrix is printed.
const PRINTED_CLASSES: usize = 20;

/// The table of a fit.
pub fn pairs(
    fit: &Fit,
    summary: &ClassificationSummary,
    training: &Dataset<'_>,
    held_out: &Dataset<'_>,
) -> Vec<(String, String)> {
    let found = &summary.evaluation;
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, value: String| pairs.push((name.to_owned(), value));
    add(
        "rows",
        format!(
            "{} of {} for training, {} of {} held out",
            summary.training_rows, training.name, found.rows, held_out.name
        ),
    );
    let classes = fit.model.classes().map_or(0, <[String]>::len);
    add("labelled", format!("{} rows, {classes} classes", summary.labelled_rows));
    add("parameters", fit.model.parameter_count().to_string());
    let compute = super::compute(fit.model.compute());
    add("time", format!("{:.2} s, {} epochs on labels, {compute}", fit.seconds, summary.epochs));
    for (place, layer) in fit.pretraining.iter().enumerate() {
        add(&format!("layer {} pre-trained", place + 1), layer_text(layer));
    }
    add("error rate", error_rate(found));
    add("  nearest class mean", percent(summary.nearest_mean_error));
    add("  commonest class", percent(summary.commonest_error));
    // Before the first epoch on labels is over there is no training loss.
    let loss = if summary.epochs == 0 { "-".to_owned() } else { fixed(summary.train_loss, 4) };
    add("cross-entropy", format!("{loss} training, {} held out", fixed(found.loss, 4)));
    pairs
}

fn error_rate(found: &Classification) -> String {
    format!("{} ({} of {} rows)", percent(found.error_rate), found.misclassified, found.rows)
}

/// The evaluation of a classifier on rows.
pub fn evaluation(found: &Classification, names: &[String], data: &str) -> anyhow::Result<()> {
    table::pairs(&[
        ("rows".to_owned(), format!("{} ({data})", found.rows)),
        ("accuracy".to_owned(), percent(1.0 - found.error_rate)),
        ("error rate".to_owned(), error_rate(found)),
        ("cross-entropy".to_owned(), format!("{:.5}", found.loss)),
    ])?;
    if names.len() > PRINTED_CLASSES {
        return table::line(format!(
            "\n(the confusion matrix of more than {PRINTED_CLASSES} classes is not printed: --json has all of it)"
        ));
    }
    let mut header = vec!["class \\ predicted".to_owned()];
    header.extend(names.iter().cloned());
    header.extend(["rows", "correct"].map(str::to_owned));
    let rows: Vec<Vec<String>> = names
        .iter()
        .zip(&found.confusion)
        .enumerate()
        .map(|(class, (name, predicted))| {
            let all: usize = predicted.iter().sum();
            let correct =
                if all > 0 { percent(predicted[class] as f64 / all as f64) } else { "-".to_owned() };
            let counts =
                predicted.iter().map(|&count| if count == 0 { "·".to_owned() } else { count.to_string() });
            [name.clone()].into_iter().chain(counts).chain([all.to_string(), correct]).collect()
        })
        .collect();
    table::line("")?;
    table::table(&header, &rows)
}
