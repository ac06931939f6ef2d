//! Classification metrics: the error rates of classifiers and of their baselines, and misclassified rows.

use crate::data::source::first_not_finite;
use crate::data::{Dataset, Source, Subset};
use crate::error::{Error, Result};
use crate::evaluation::baselines::read_scaled;
use crate::evaluation::labels::{Labelled, class_numbers};
use crate::model::Model;
use crate::model::metrics::Classification;
use crate::network::engine::{map_chunks, most_likely};

/// A row for which a classifier predicts another class.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Misclassified {
    /// The index of the row, from 0.
    pub row: usize,
    /// The class of the row, an index into [`Model::classes`].
    pub class: usize,
    /// The predicted class: the one with the highest probability.
    pub predicted: usize,
    /// The predicted probability of `class`.
    pub class_probability: f32,
    /// The predicted probability of `predicted`.
    pub predicted_probability: f32,
}

/// The misclassified rows of a data set, sorted by the probability of the row's class: the worst mistake comes first.
///
/// # Errors
/// As [`Model::evaluate`], and if the model is not a classifier.
pub fn misclassified(model: &Model, dataset: &Dataset<'_>) -> Result<Vec<Misclassified>> {
    let Some(classes) = &model.classes else {
        return Err(Error::model("the model is no classifier: it knows no classes"));
    };
    let numbers = class_numbers(dataset, classes)?;
    let probabilities = model.predict(dataset)?.into_values().into_f32();
    let mut misclassified: Vec<Misclassified> = probabilities
        .chunks_exact(classes.len())
        .zip(numbers)
        .enumerate()
        .map(|(row, (probabilities, class))| {
            let (class, predicted) = (class as usize, most_likely(probabilities));
            Misclassified {
                row,
                class,
                predicted,
                class_probability: probabilities[class],
                predicted_probability: probabilities[predicted],
            }
        })
        .filter(|row| row.predicted != row.class)
        .collect();
    // The sort is stable: rows with equal probabilities stay in order.
    misclassified.sort_by(|a, b| a.class_probability.total_cmp(&b.class_probability));
    Ok(misclassified)
}

/// The metrics of a classifier on rows with the given classes (indices into [`Model::classes`]). Refuses rows without finite
/// probabilities.
pub(crate) fn classification(model: &Model, rows: &dyn Source, classes: &[u32]) -> Result<Classification> {
    let (metrics, not_finite) = measure(model, rows, classes)?;
    not_finite.map_or(Ok(metrics), Err)
}

/// As [`classification`]. Rows without finite probabilities count as misclassified; the error says why, and names the first.
pub(crate) fn measure(
    model: &Model,
    rows: &dyn Source,
    classes: &[u32],
) -> Result<(Classification, Option<Error>)> {
    let count = model.classes().map_or(0, <[String]>::len);
    let probabilities = model.any_probabilities(rows, count)?;
    let mut confusion = vec![vec![0; count]; count];
    let mut cross_entropy = 0.0;
    let mut first_bad = None;
    for (row, (probabilities, &class)) in probabilities.chunks_exact(count).zip(classes).enumerate() {
        if first_not_finite(probabilities).is_some() {
            first_bad.get_or_insert(row);
            confusion[class as usize][usize::from(class == 0)] += 1;
            cross_entropy = f64::NAN;
            continue;
        }
        confusion[class as usize][most_likely(probabilities)] += 1;
        // A probability that underflowed to 0 counts as the smallest positive number, not as an infinite loss.
        cross_entropy -= f64::from(probabilities[class as usize].max(f32::MIN_POSITIVE)).ln();
    }
    let metrics = Classification::new(confusion, cross_entropy / classes.len() as f64);
    Ok((metrics, first_bad.map(|row| model.not_finite(rows, row, "the probability of its class"))))
}

/// The error rate on `held_out` classes of always predicting the commonest class of the labelled rows.
pub(crate) fn commonest_error(labelled: &Labelled, held_out: &[u32]) -> f64 {
    let sizes = class_sizes(labelled);
    // Ties go to the first class.
    let commonest = (0..sizes.len()).rev().max_by_key(|&class| sizes[class]).unwrap_or(0);
    let misclassified = held_out.iter().filter(|&&class| class as usize != commonest).count();
    misclassified as f64 / held_out.len() as f64
}

/// The error rate on held-out rows of predicting the class whose labelled rows have the nearest mean, after the model's
/// scaling. `rows` are the labelled rows.
pub(crate) fn nearest_mean_error(
    model: &Model,
    labelled: &Labelled,
    rows: &Subset,
    held_out: &dyn Source,
    held_out_classes: &[u32],
) -> Result<f64> {
    let width = model.shape.len();
    let means = class_means(model, labelled, rows)?;
    let misclassified = map_chunks(
        held_out.rows(),
        model.compute.threads,
        || (),
        |(), range| {
            let rows = read_scaled(held_out, range.clone(), &model.scaling)?;
            let predicted = rows.chunks_exact(width).map(|row| nearest_mean(row, &means));
            Ok(predicted
                .zip(&held_out_classes[range])
                .filter(|(mean, class)| *mean != **class as usize)
                .count())
        },
    )?;
    Ok(misclassified.iter().sum::<usize>() as f64 / held_out_classes.len() as f64)
}

fn class_sizes(labelled: &Labelled) -> Vec<usize> {
    let mut sizes = vec![0usize; labelled.names.len()];
    labelled.classes.iter().for_each(|&class| sizes[class as usize] += 1);
    sizes
}

/// The mean of the scaled labelled rows of each class: classes x d.
fn class_means(model: &Model, labelled: &Labelled, rows: &Subset) -> Result<Vec<f64>> {
    let (width, count) = (model.shape.len(), labelled.names.len());
    let chunks = map_chunks(
        labelled.rows.len(),
        model.compute.threads,
        || (),
        |(), range| {
            let mut sums = vec![0.0; count * width];
            let rows = read_scaled(rows, range.clone(), &model.scaling)?;
            for (row, &class) in rows.chunks_exact(width).zip(&labelled.classes[range]) {
                let sums = &mut sums[class as usize * width..][..width];
                sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
            }
            Ok(sums)
        },
    )?;
    let mut means = vec![0.0; count * width];
    for chunk in &chunks {
        means.iter_mut().zip(chunk).for_each(|(mean, sum)| *mean += sum);
    }
    for (mean, size) in means.chunks_exact_mut(width).zip(class_sizes(labelled)) {
        mean.iter_mut().for_each(|value| *value /= size as f64);
    }
    Ok(means)
}

/// The class with the nearest mean (Euclidean). Ties go to the first class.
fn nearest_mean(row: &[f64], means: &[f64]) -> usize {
    let distance = |mean: &[f64]| row.iter().zip(mean).map(|(x, m)| (x - m).powi(2)).sum::<f64>();
    let distances: Vec<f64> = means.chunks_exact(row.len()).map(distance).collect();
    (0..distances.len()).min_by(|&a, &b| distances[a].total_cmp(&distances[b])).unwrap_or(0)
}
