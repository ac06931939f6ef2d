//! How well classes are told, by a model and without one.

use crate::data::{Dataset, Source, Subset};
use crate::error::{Error, Result};
use crate::evaluation::labels::{Labelled, class_numbers};
use crate::model::Model;
use crate::model::metrics::Classification;
use crate::network::engine::{map_chunks, most_likely};

/// A row whose class a classifier does not predict.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Misclassified {
    /// The number of the row, from 0.
    pub row: usize,
    /// Its class, an index into the names of the model's classes.
    pub class: usize,
    /// The class that is predicted.
    pub predicted: usize,
    /// The predicted probability of its class.
    pub class_probability: f32,
    /// The probability of the class that is predicted.
    pub predicted_probability: f32,
}

/// The rows that a classifier misclassifies, sorted by the probability of the row's own class: the worst mistake comes first.
///
/// # Errors
/// As [`Model::evaluate`].
pub fn misclassified(model: &Model, dataset: &Dataset<'_>) -> Result<Vec<Misclassified>> {
    let Some(classes) = &model.classes else {
        return Err(Error::model("the model is no classifier: it knows no classes"));
    };
    let numbers = class_numbers(dataset, classes)?;
    let probabilities = model.predict(dataset)?.into_values().into_f32();
    let mut found: Vec<Misclassified> = probabilities
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
    // A stable sort: of equal probabilities the earlier row comes first.
    found.sort_by(|a, b| a.class_probability.total_cmp(&b.class_probability));
    Ok(found)
}

/// Evaluates a classifier on rows whose classes are known as indices.
pub(crate) fn classification(model: &Model, rows: &dyn Source, classes: &[u32]) -> Result<Classification> {
    let shares = model.predict(rows)?.into_values().into_f32();
    let count = shares.len() / classes.len();
    let mut confusion = vec![vec![0; count]; count];
    let mut sum = 0.0;
    for (shares, &class) in shares.chunks_exact(count).zip(classes) {
        confusion[class as usize][most_likely(shares)] += 1;
        // A share of 0 is one below the smallest number, not an infinite loss.
        sum -= f64::from(shares[class as usize].max(f32::MIN_POSITIVE)).ln();
    }
    Ok(Classification::new(confusion, sum / classes.len() as f64))
}

/// The error of always saying the commonest class of the labelled rows.
pub(crate) fn commonest_error(labelled: &Labelled, asked: &[u32]) -> f64 {
    let mut sizes = vec![0usize; labelled.names.len()];
    labelled.classes.iter().for_each(|&class| sizes[class as usize] += 1);
    let commonest = (0..sizes.len()).rev().max_by_key(|&class| sizes[class]).unwrap_or(0);
    let wrong = asked.iter().filter(|&&class| class as usize != commonest).count();
    wrong as f64 / asked.len() as f64
}

/// The error of the class whose labelled rows have the nearest mean, after the model's scaling.
pub(crate) fn nearest_mean_error(
    model: &Model,
    labelled: &Labelled,
    rows: &Subset,
    held_out: &dyn Source,
    asked: &[u32],
) -> Result<f64> {
    let (width, count) = (model.shape.len(), labelled.names.len());
    let read = |source: &dyn Source, range: std::ops::Range<usize>| {
        let mut numbers = vec![0.0; range.len() * width];
        source.read_f64(range.start, &mut numbers)?;
        model.scaling.apply_f64(&mut numbers, width);
        Ok(numbers)
    };
    let parts = map_chunks(
        labelled.rows.len(),
        model.compute.threads,
        || (),
        |(), range| {
            let mut sums = vec![0.0; count * width];
            for (row, &class) in read(rows, range.clone())?.chunks_exact(width).zip(&labelled.classes[range])
            {
                let own = &mut sums[class as usize * width..][..width];
                own.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
            }
            Ok(sums)
        },
    )?;
    let mut means = vec![0.0; count * width];
    for part in &parts {
        means.iter_mut().zip(part).for_each(|(mean, sum)| *mean += sum);
    }
    let mut sizes = vec![0.0; count];
    labelled.classes.iter().for_each(|&class| sizes[class as usize] += 1.0);
    for (mean, size) in means.chunks_exact_mut(width).zip(sizes) {
        mean.iter_mut().for_each(|value| *value /= size);
    }
    let wrong = map_chunks(
        held_out.rows(),
        model.compute.threads,
        || (),
        |(), range| {
            let rows = read(held_out, range.clone())?;
            let told = rows.chunks_exact(width).map(|row| {
                let distance = |mean: &[f64]| row.iter().zip(mean).map(|(x, m)| (x - m).powi(2)).sum::<f64>();
                let distances: Vec<f64> = means.chunks_exact(width).map(distance).collect();
                (0..count).min_by(|&a, &b| distances[a].total_cmp(&distances[b])).unwrap_or(0)
            });
            Ok(told.zip(&asked[range.clone()]).filter(|(told, class)| *told != **class as usize).count())
        },
    )?;
    Ok(wrong.iter().sum::<usize>() as f64 / asked.len() as f64)
}
