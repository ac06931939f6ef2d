//! Code-size curves: the error against the code size, and the elbow of that curve.

use serde::Serialize;

use super::run::{ComparisonRun, reconstruction};
use super::{Candidate, ComparisonEvent, Method, set_code_size};
use crate::data::stats::Measured;
use crate::error::Result;
use crate::evaluation::baselines::pca_errors;
use crate::pca::moments::Moments;
use crate::recipe::Recipe;

/// The code-size curves of several methods.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CodeSizeCurves {
    /// The code sizes, ascending.
    pub code_sizes: Vec<usize>,
    /// The curve of PCA, then those of the networks whose code size can be changed.
    pub curves: Vec<CodeSizeCurve>,
}

/// The code-size curve of a method.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CodeSizeCurve {
    /// The name of the recipe; `pca` for the PCA.
    pub recipe: String,
    /// The points by ascending code size; a code size that the rows do not allow has none.
    pub points: Vec<Point>,
    /// The code size at the elbow: see [`elbow`].
    pub elbow: Option<usize>,
}

/// A point of a code-size curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    /// Numbers in a code.
    pub code_size: usize,
    /// The squared error per row on the held-out rows.
    pub squared_error_per_row: f64,
}

/// The elbow of a falling curve, from which on a larger code gains little: the code size at which the curve lies farthest
/// below the chord from its first point to its last, with the logarithm of the code size and with both axes scaled to 0..1
/// (Satopää, Albrecht, Irwin and Raghavan 2011, "Finding a kneedle in a haystack"). None for fewer than three points and for
/// a curve that is nowhere below the chord.
pub fn elbow(points: &[Point]) -> Option<usize> {
    let finite: Vec<&Point> = points.iter().filter(|point| point.squared_error_per_row.is_finite()).collect();
    let ([first, .., last], 3..) = (&finite[..], finite.len()) else { return None };
    let x = |point: &Point| (point.code_size as f64).log2();
    let y = |point: &Point| point.squared_error_per_row;
    let (low, high) = finite.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), point| {
        (low.min(y(point)), high.max(y(point)))
    });
    let below = |point: &&&Point| {
        let along = (x(point) - x(first)) / (x(last) - x(first));
        (y(first) + along * (y(last) - y(first)) - y(point)) / (high - low)
    };
    // Ignore elbows within rounding error.
    let best =
        finite.iter().filter(|point| below(point) > 1e-9).max_by(|a, b| below(a).total_cmp(&below(b)))?;
    Some(best.code_size)
}

/// Whether a recipe is fitted at each code size. PCA needs no further fits, and a code that is an image has a fixed size.
pub(super) fn can_change_code_size(recipe: &Recipe) -> bool {
    matches!(recipe, Recipe::Autoencoder(network) if network.clone().set_code_size(1).is_ok())
}

/// Measures all curves.
pub(super) fn measure(
    run: &mut ComparisonRun<'_>,
    candidates: &[Candidate],
    methods: &[Method],
    code_sizes: &[usize],
) -> Result<CodeSizeCurves> {
    let mut code_sizes = code_sizes.to_vec();
    code_sizes.sort_unstable();
    code_sizes.dedup();
    let mut curves = vec![pca_curve(run, &code_sizes)?];
    for (candidate, method) in candidates.iter().zip(methods) {
        let is_network = matches!(candidate.recipe, Recipe::Autoencoder(_));
        if is_network && !can_change_code_size(&candidate.recipe) {
            run.notes.push(format!("{} keeps its code size and has no curve", candidate.name));
        }
        if !can_change_code_size(&candidate.recipe) || method.failure.is_some() {
            continue;
        }
        let points = network_curve(run, method, &code_sizes)?;
        curves.push(CodeSizeCurve { recipe: candidate.name.clone(), elbow: elbow(&points), points });
        if run.interrupted {
            break;
        }
    }
    Ok(CodeSizeCurves { code_sizes, curves })
}

/// One eigen-decomposition serves all code sizes.
fn pca_curve(run: &mut ComparisonRun<'_>, code_sizes: &[usize]) -> Result<CodeSizeCurve> {
    run.emit(&ComparisonEvent::Stage { stage: "PCA at each code size" });
    let (training, held_out) = (&*run.training.rows, &*run.held_out.rows);
    let scaling = run.scaling()?;
    let [measured, of_held_out] = [training, held_out].map(Measured::new);
    // With gaps each code size would need sweeps of its own.
    measured.require_complete()?;
    of_held_out.require_complete()?;
    let moments = Moments::measure(&measured, &scaling, run.compute.level, run.compute.threads)?;
    let most = code_sizes.last().copied().unwrap_or(0);
    let errors = pca_errors(&moments, &scaling, held_out, most, run.compute)?;
    let points: Vec<Point> = code_sizes
        .iter()
        .filter_map(|&code_size| Some(Point { code_size, squared_error_per_row: *errors.get(code_size)? }))
        .collect();
    for &point in &points {
        run.emit(&ComparisonEvent::Point { recipe: "pca", point });
    }
    Ok(CodeSizeCurve { recipe: "pca".into(), elbow: elbow(&points), points })
}

/// A fit with the first seed for each code size; the code size that the comparison has fitted is not fitted again.
fn network_curve(run: &mut ComparisonRun<'_>, method: &Method, code_sizes: &[usize]) -> Result<Vec<Point>> {
    let mut points = Vec::new();
    for &code_size in code_sizes {
        run.fit_number += 1;
        let fitted = method.fits.first().filter(|metrics| metrics.code_size == code_size);
        let squared_error_per_row = match fitted.map(|metrics| metrics.squared_error_per_row) {
            Some(error) => error,
            None => {
                let mut recipe = method.recipe.clone();
                set_code_size(&mut recipe, code_size)?;
                let name = format!("{}, code {code_size}", method.name);
                match run.fit(&name, &recipe) {
                    Ok(Some(fit)) => reconstruction(&fit)?.evaluation.squared_error_per_row,
                    Ok(None) => return Ok(points),
                    Err(error) => {
                        run.notes.push(format!("{name}: {error}"));
                        continue;
                    }
                }
            }
        };
        let point = Point { code_size, squared_error_per_row };
        run.emit(&ComparisonEvent::Point { recipe: &method.name, point });
        points.push(point);
        if run.interrupted {
            break;
        }
    }
    Ok(points)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(points: &[(usize, f64)]) -> Option<usize> {
        let point = |&(code_size, squared_error_per_row)| Point { code_size, squared_error_per_row };
        elbow(&points.iter().map(point).collect::<Vec<_>>())
    }

    #[test]
    fn the_knee_is_where_a_bent_line_bends() {
        // Steep to 8, flat from there on; the scale of the error does not matter.
        for factor in [1.0, 1e-9, 1e12] {
            let bent = [(2, 10.0), (4, 6.0), (8, 2.0), (16, 1.9), (32, 1.8)].map(|(k, y)| (k, y * factor));
            assert_eq!(of(&bent), Some(8));
        }
        assert_eq!(of(&[(1, 9.0), (2, 1.0), (64, 0.0)]), Some(2));
    }

    #[test]
    fn what_has_no_knee_says_so() {
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[(2, 3.0), (4, 1.0)]), None);
        // A straight line in the logarithm, a curve that bends the other way, a constant, what is not finite.
        assert_eq!(of(&[(2, 3.0), (4, 2.0), (8, 1.0)]), None);
        assert_eq!(of(&[(2, 3.0), (4, 2.9), (8, 1.0)]), None);
        assert_eq!(of(&[(2, 3.0), (4, 3.0), (8, 3.0)]), None);
        assert_eq!(of(&[(2, 3.0), (4, f64::NAN), (8, 1.0)]), None);
    }
}
