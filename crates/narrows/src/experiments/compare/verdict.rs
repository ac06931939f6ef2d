//! The verdict of a comparison: the method with the lowest error, the networks beside PCA, the best codes for
//! classification, the elbows.

use super::{CodeSizeCurves, Measure, Method, Reference, Spread};
use crate::evaluation::verdict::FEW_STEPS;
use crate::recipe::Recipe;

/// The verdict as a sentence. `rows` has the accuracies of the rows themselves.
pub(super) fn verdict(
    methods: &[Method],
    training_rows: usize,
    rows: Option<&Reference>,
    curves: Option<&CodeSizeCurves>,
) -> String {
    let evaluated: Vec<&Method> = methods.iter().filter(|method| squared_error(method).is_some()).collect();
    let contenders = contenders(&evaluated);
    let Some(best) = lowest_error(&contenders) else { return "nothing was judged".into() };
    let mut parts = vec![best_method(best)];
    parts.extend(beside_pca(&Networks::of(&contenders, training_rows)));
    if methods.len() > 1 {
        parts.extend(best_codes(&evaluated, rows));
    }
    parts.extend(curves.and_then(elbows));
    parts.join("; ")
}

/// A note on networks that were hardly trained: the epochs of the recipes suit many rows.
pub(super) fn few_steps(methods: &[Method], training_rows: usize) -> Option<String> {
    let few: Vec<(&str, usize, usize)> = methods
        .iter()
        .filter_map(|method| {
            let steps = steps(method, training_rows).filter(|&steps| steps < FEW_STEPS)?;
            Some((&*method.name, steps, method.fits.first()?.epochs))
        })
        .collect();
    let (_, steps, epochs) = few.iter().min_by_key(|(_, steps, _)| *steps)?;
    let names: Vec<&str> = few.iter().map(|(name, ..)| *name).collect();
    let wanted = (epochs * FEW_STEPS).div_ceil(*steps);
    Some(format!(
        "{}: {steps} or more steps of training, which is few; `train.epochs` = {wanted} makes them {FEW_STEPS}",
        names.join(", ")
    ))
}

// Statistics.

fn mean(method: &Method, measure: Measure) -> Option<f64> {
    method.spread(measure).map(|spread| spread.mean)
}

fn squared_error(method: &Method) -> Option<f64> {
    mean(method, Measure::SquaredError).filter(|error| error.is_finite())
}

/// The methods whose errors are compared. Errors on noisy rows are higher, so denoising networks compete only if there are
/// no other methods.
fn contenders<'a>(evaluated: &[&'a Method]) -> Vec<&'a Method> {
    let has_clean = evaluated.iter().any(|method| !method.noisy);
    evaluated.iter().copied().filter(|method| !(has_clean && method.noisy)).collect()
}

fn lowest_error<'a>(methods: &[&'a Method]) -> Option<&'a Method> {
    let error = |method: &Method| squared_error(method).unwrap_or(f64::INFINITY);
    methods.iter().copied().min_by(|a, b| error(a).total_cmp(&error(b)))
}

/// Optimizer steps of a network with its first seed; none for a closed form.
fn steps(method: &Method, training_rows: usize) -> Option<usize> {
    let Recipe::Autoencoder(network) = &method.recipe else { return None };
    let epochs = method.fits.first()?.epochs;
    (epochs > 0).then(|| network.train.steps(epochs, training_rows))
}

/// The networks among the contenders.
struct Networks {
    count: usize,
    /// Networks with a lower error than the PCA of the same code size.
    better_than_pca: usize,
    /// The largest number of optimizer steps; none if all are closed forms.
    most_steps: Option<usize>,
}

impl Networks {
    fn of(contenders: &[&Method], training_rows: usize) -> Self {
        let is_network = |method: &&&Method| matches!(method.recipe, Recipe::Autoencoder(_));
        let networks: Vec<&&Method> = contenders.iter().filter(is_network).collect();
        let is_better = |method: &Method| {
            let (error, pca) = (squared_error(method), mean(method, Measure::PcaSquaredError));
            error.zip(pca).is_some_and(|(error, pca)| error < pca)
        };
        Self {
            count: networks.len(),
            better_than_pca: networks.iter().filter(|method| is_better(method)).count(),
            most_steps: networks.iter().filter_map(|method| steps(method, training_rows)).max(),
        }
    }
}

/// The highest mean of a measure, and the names of the methods that reach it.
fn highest<'a>(methods: &[&'a Method], measure: Measure) -> (f64, Vec<&'a str>) {
    let means = methods.iter().filter_map(|method| mean(method, measure));
    let highest = means.fold(f64::NEG_INFINITY, f64::max);
    let reach = methods.iter().filter(|method| mean(method, measure) == Some(highest));
    (highest, reach.map(|method| &*method.name).collect())
}

// Sentences.

fn text(measure: Measure, value: f64) -> String {
    measure.text(&Spread::one(value))
}

fn best_method(best: &Method) -> String {
    let error = text(Measure::SquaredError, squared_error(best).unwrap_or(f64::NAN));
    let size = best.fits[0].code_size;
    let sentence = format!("{} loses least: squared error {error} per row in {size} numbers", best.name);
    match (&best.recipe, mean(best, Measure::PcaSquaredError)) {
        (Recipe::Autoencoder(_), Some(pca)) => format!(
            "{sentence}, where PCA-{} loses {}",
            best.fits[0].pca_components,
            text(Measure::SquaredError, pca)
        ),
        _ => sentence,
    }
}

fn beside_pca(networks: &Networks) -> Option<String> {
    let advice = match networks.most_steps {
        Some(1) => " after 1 step of training: train longer".to_owned(),
        Some(steps) if steps < FEW_STEPS => format!(" after {steps} steps of training: train longer"),
        _ => String::new(),
    };
    match (networks.better_than_pca, networks.count) {
        (_, 0) | (1, 1) => None,
        (0, 1) => Some(format!("the network does not reach the PCA of its code size{advice}")),
        (0, _) => Some(format!("no network reaches the PCA of its code size{advice}")),
        (better, all) if better == all => Some(format!("all {all} networks beat the PCA of their code size")),
        (better, all) => Some(format!("{better} of {all} networks beat the PCA of their code size")),
    }
}

/// The methods whose codes classify best, for each classifier.
fn best_codes(evaluated: &[&Method], rows: Option<&Reference>) -> Vec<String> {
    let classifiers = [
        (
            Measure::NearestNeighbour,
            "the nearest neighbour",
            rows.and_then(|rows| rows.nearest_neighbour_accuracy),
        ),
        (Measure::LinearProbe, "a linear classifier", rows.and_then(|rows| rows.linear_probe_accuracy)),
    ];
    let sentence = |(measure, classifier, of_rows): (Measure, &str, Option<f64>)| {
        let (accuracy, names) = highest(evaluated, measure);
        let beside = of_rows.map_or_else(String::new, |accuracy| {
            format!(" (from the rows themselves {})", text(measure, accuracy))
        });
        let (codes, accuracy) = (names.join(" and "), text(measure, accuracy));
        (!names.is_empty()).then(|| {
            format!("{classifier} finds {accuracy} of the classes from the codes of {codes}{beside}")
        })
    };
    classifiers.into_iter().filter_map(sentence).collect()
}

fn elbows(curves: &CodeSizeCurves) -> Option<String> {
    let elbows: Vec<String> = curves
        .curves
        .iter()
        .filter_map(|curve| Some(format!("{} for {}", curve.elbow?, curve.recipe)))
        .collect();
    (!elbows.is_empty()).then(|| format!("beyond the elbow more code gains little: {}", elbows.join(", ")))
}
