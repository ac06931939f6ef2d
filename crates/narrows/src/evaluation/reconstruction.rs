//! How much a model loses on rows, and what simpler methods lose on the same rows.

use narrows_kernels::Level;
use narrows_kernels::gemm::{EpilogueF64, View, multiply_f64, scratch_len};

use crate::compute::Compute;
use crate::data::Source;
use crate::data::scaling::Scaling;
use crate::error::Result;
use crate::model::metrics::{Baselines, Reconstruction};
use crate::model::{Fitted, Model, Part};
use crate::network::engine::{is_dead, map_chunks};
use crate::network::noise::{Corruption, Mode};
use crate::pca::moments::{Moments, Principal};
use crate::recipe::{Loss, Noise};

/// Evaluates a model on rows, chunk by chunk; also answers the codes of the first `keep` rows (keep x code size).
pub(crate) fn evaluate_with_codes(
    model: &Model,
    rows: &dyn Source,
    keep: usize,
) -> Result<(Reconstruction, Vec<f32>)> {
    model.must_rebuild("be judged by what it rebuilds")?;
    model.must_have(Part::Whole, "be judged")?;
    model.check_rows(rows)?;
    let (n, width, code) = (rows.rows(), model.shape.len(), model.code_shape().len());
    let units = model.code_units();
    let loss = match &model.fitted {
        Fitted::Network { plan, .. } => plan.loss,
        Fitted::Pca(_) => Loss::Mse,
    };
    let state = || model.judge(model.compute.level);
    let chunks = map_chunks(n, model.compute.threads, state, |judge, range| {
        let judged = judge.rows(rows, &range.clone().collect::<Vec<_>>())?;
        let mut part = Figures::new(width);
        let [squared, losses, about_mean, floor, activity, varied, divergence] = &mut part.sums;
        for (x, y) in judged.rows.chunks_exact(width).zip(judged.outputs.chunks_exact(width)) {
            let square = |a: f64, b: f64| (a - b) * (a - b);
            *squared += x.iter().zip(y).map(|(&x, &y)| square(x, y)).sum::<f64>();
            *about_mean += x.iter().zip(&model.training_mean).map(|(&x, &mean)| square(x, mean)).sum::<f64>();
            for ((sum, y), mean) in part.outputs.iter_mut().zip(y).zip(&model.training_mean) {
                *sum += y - mean;
                *varied += square(*y, *mean);
            }
            if loss == Loss::Bce {
                *floor += x.iter().map(|&x| entropy(x)).sum::<f64>();
            }
        }
        *losses = judged.losses.iter().flatten().map(|&loss| f64::from(loss)).sum();
        *divergence = judged.divergences.iter().flatten().map(|&value| f64::from(value)).sum();
        *activity = judged.codes.iter().map(|value| value.abs()).sum();
        part.extremes(&judged.codes, units);
        let kept = keep.saturating_sub(range.start).min(range.len()) * code;
        part.codes = judged.codes[..kept].iter().map(|&value| value as f32).collect();
        Ok(part)
    })?;
    let sum = |part: usize| chunks.iter().map(|chunk| chunk.sums[part]).sum::<f64>();
    let (squared, losses, about_mean, floor) = (sum(0), sum(1), sum(2), sum(3));
    let numbers = (n * width) as f64;
    // The spread of the outputs about their own mean, from that about the rows' mean.
    let mut shifts = vec![0.0; width];
    for chunk in &chunks {
        shifts.iter_mut().zip(&chunk.outputs).for_each(|(all, part)| *all += part);
    }
    let shift: f64 = shifts.iter().map(|sum| (sum / n as f64).powi(2)).sum();
    let alike = 1e-26 * n as f64 * model.training_mean.iter().map(|mean| mean * mean).sum::<f64>();
    let output_variance = (sum(5) / n as f64 - shift).max(0.0);
    let is_variational = matches!(&model.fitted, Fitted::Network { plan, .. } if plan.divergence().is_some());
    let bce = (loss == Loss::Bce).then_some(losses / numbers);
    let evaluation = Reconstruction {
        rows: n,
        loss: match loss {
            Loss::Bce => losses / numbers,
            Loss::CrossEntropy => losses / n as f64,
            Loss::Mse => squared / numbers,
            Loss::Mae | Loss::Huber => losses / numbers,
        },
        bce,
        bce_floor: bce.map(|_| floor / numbers),
        mse: squared / numbers,
        squared_error_per_row: squared / n as f64,
        mean_squared_error_per_row: about_mean / n as f64,
        // Of rows that are all alike rounding leaves a trace, which explains nothing.
        explained_variance: if about_mean > alike { 1.0 - squared / about_mean } else { 0.0 },
        dead_units: dead_units(&chunks, units),
        mean_activity: Some(sum(4) / (n * code) as f64).filter(|activity| activity.is_finite()),
        output_variance: Some(output_variance).filter(|variance| variance.is_finite()),
        divergence: Some(sum(6) / n as f64).filter(|value| is_variational && value.is_finite()),
    };
    Ok((evaluation, chunks.into_iter().flat_map(|chunk| chunk.codes).collect()))
}

/// What a chunk of rows contributes.
struct Figures {
    /// Squared error, loss, squared distance to the mean, entropy, size of the codes, squared distance of the outputs to the
    /// mean, divergence.
    sums: [f64; 7],
    /// For each number of a row, the sum of how far the outputs are from the mean.
    outputs: Vec<f64>,
    /// The least and the largest number of each code unit.
    low: Vec<f64>,
    high: Vec<f64>,
    codes: Vec<f32>,
}

impl Figures {
    fn new(width: usize) -> Self {
        let outputs = vec![0.0; width];
        Self { sums: [0.0; 7], outputs, low: Vec::new(), high: Vec::new(), codes: Vec::new() }
    }

    fn extremes(&mut self, codes: &[f64], units: usize) {
        self.low = vec![f64::INFINITY; units];
        self.high = vec![f64::NEG_INFINITY; units];
        for code in codes.chunks_exact(units) {
            for (unit, &value) in code.iter().enumerate() {
                self.low[unit] = self.low[unit].min(value);
                self.high[unit] = self.high[unit].max(value);
            }
        }
    }
}

/// How many code units have one value only, up to rounding: a unit that says the same of every row says nothing. The
/// unit of a code that is an image is a channel: its corners may well always be empty.
fn dead_units(parts: &[Figures], units: usize) -> usize {
    (0..units)
        .filter(|&unit| {
            let low = parts.iter().map(|part| part.low[unit]).fold(f64::INFINITY, f64::min);
            let high = parts.iter().map(|part| part.high[unit]).fold(f64::NEG_INFINITY, f64::max);
            is_dead(low, high)
        })
        .count()
}

/// -x ln x - (1 - x) ln(1 - x): what BCE leaves when the output is the target itself.
fn entropy(x: f64) -> f64 {
    let part = |p: f64| if p > 0.0 { -p * p.ln() } else { 0.0 };
    part(x) + part(1.0 - x)
}

impl Baselines {
    /// What the simpler methods, fitted on the training rows behind `moments`, lose on the rows that `model` is judged by.
    /// Where it is given noisy rows, so are they, and each keeps as many directions as lose least.
    pub(crate) fn measure(moments: &Moments, model: &Model, rows: &dyn Source) -> Result<Self> {
        let width = moments.width;
        let noise: &[Noise] = match &model.fitted {
            Fitted::Network { plan, .. } => &plan.noise,
            Fitted::Pca(_) => &[],
        };
        let noisy = !noise.is_empty();
        let most = width.min(moments.rows);
        let k = if noisy { most } else { model.code_shape().len().min(most) };
        // All directions together lose nothing.
        let all = k == width && !noisy;
        let directions = |found: Result<Principal>| found.map(|principal| principal.directions);
        let pca = if all { Vec::new() } else { directions(moments.about_mean(k, model.compute.level))? };
        let linear = if all { Vec::new() } else { directions(moments.about_zero(k, model.compute.level))? };
        let zero = vec![0.0; width];
        let state = || (Corruption::new(noise, model.recipe.seed(), width), vec![0.0; scratch_len(width)]);
        let chunks =
            map_chunks(rows.rows(), model.compute.threads, state, |(corruption, scratch), range| {
                let mut x = vec![0.0; range.len() * width];
                rows.read_f64(range.start, &mut x)?;
                model.scaling.apply_f64(&mut x, width);
                // What the methods are given, where it is not the rows themselves.
                let given = noisy.then(|| {
                    let mut narrow: Vec<f32> = x.iter().map(|&value| value as f32).collect();
                    for (row, index) in narrow.chunks_exact_mut(width).zip(range.clone()) {
                        corruption.apply(model.compute.level, row, index, Mode::Evaluate);
                    }
                    narrow.into_iter().map(f64::from).collect::<Vec<f64>>()
                });
                let mut errors = |centre: &[f64], directions: &[f64]| {
                    residuals(centre, directions, given.as_deref(), &x, model.compute.level, scratch)
                };
                Ok([errors(&moments.mean, &[]), errors(&moments.mean, &pca), errors(&zero, &linear)])
            })?;
        // The error with no direction, with one, with two...; per row.
        let errors = |method: usize| -> Vec<f64> {
            let mut sums = vec![0.0; chunks.first().map_or(1, |chunk| chunk[method].len())];
            for chunk in &chunks {
                sums.iter_mut().zip(&chunk[method]).for_each(|(sum, part)| *sum += part);
            }
            sums.into_iter().map(|sum| sum.max(0.0) / rows.rows() as f64).collect()
        };
        let least = |errors: &[f64]| {
            let at = (0..errors.len()).min_by(|&a, &b| errors[a].total_cmp(&errors[b])).unwrap_or(0);
            (at, errors[at])
        };
        let last = |errors: &[f64]| errors.last().copied().unwrap_or(0.0);
        let (mean, pca, linear) = (errors(0), errors(1), errors(2));
        let (components, pca, linear) = if noisy {
            let (components, error) = least(&pca);
            (components, error, least(&linear).1)
        } else if all {
            (k, 0.0, 0.0)
        } else {
            (k, last(&pca), last(&linear))
        };
        let pca_components = (components != model.code_shape().len()).then_some(components);
        Ok(Self { mean: last(&mean), pca, linear, pca_components })
    }
}

/// The squared error per row of PCA with 0, 1, 2... up to `most` components, on rows behind `scaling`; fitted on the
/// training rows behind `moments`. One eigen-decomposition serves them all.
pub(crate) fn pca_errors(
    moments: &Moments,
    scaling: &Scaling,
    rows: &dyn Source,
    most: usize,
    compute: Compute,
) -> Result<Vec<f64>> {
    let width = moments.width;
    let directions = moments.about_mean(most.min(width).min(moments.rows), compute.level)?.directions;
    let chunks = map_chunks(
        rows.rows(),
        compute.threads,
        || vec![0.0; scratch_len(width)],
        |scratch, range| {
            let mut x = vec![0.0; range.len() * width];
            rows.read_f64(range.start, &mut x)?;
            scaling.apply_f64(&mut x, width);
            Ok(residuals(&moments.mean, &directions, None, &x, compute.level, scratch))
        },
    )?;
    let mut sums = vec![0.0; directions.len() / width + 1];
    for chunk in &chunks {
        sums.iter_mut().zip(chunk).for_each(|(sum, part)| *sum += part);
    }
    Ok(sums.into_iter().map(|sum| sum.max(0.0) / rows.rows() as f64).collect())
}

/// The squared errors, summed over rows, of rows `x` rebuilt from `given` (or from themselves) with no direction, with the
/// first, with the first two...; `directions` are orthonormal rows, and `centre` is taken away before and added after.
fn residuals(
    centre: &[f64],
    directions: &[f64],
    given: Option<&[f64]>,
    x: &[f64],
    level: Level,
    scratch: &mut [f64],
) -> Vec<f64> {
    let (width, k) = (centre.len(), directions.len() / centre.len());
    let n = x.len() / width;
    let centred = |rows: &[f64]| -> Vec<f64> {
        rows.chunks_exact(width).flat_map(|row| row.iter().zip(centre).map(|(x, c)| x - c)).collect()
    };
    let mut along = |rows: &[f64]| {
        let mut codes = vec![0.0; n * k];
        let directions = View::new(directions, k, width).transposed();
        multiply_f64(level, &mut codes, View::new(rows, n, width), directions, EpilogueF64::Store, scratch);
        codes
    };
    let x = centred(x);
    let wanted = along(&x);
    let found = given.map(|given| along(&centred(given)));
    let found = found.as_ref().unwrap_or(&wanted);
    // A direction with code c where s was wanted changes the error by (c - s)^2 - s^2.
    let mut changes = vec![0.0; k + 1];
    changes[0] = x.iter().map(|value| value * value).sum();
    for (found, wanted) in found.chunks_exact(k.max(1)).zip(wanted.chunks_exact(k.max(1))) {
        for (change, (c, s)) in changes[1..].iter_mut().zip(found.iter().zip(wanted)) {
            *change += c * c - 2.0 * c * s;
        }
    }
    let mut sum = 0.0;
    changes
        .iter()
        .map(|change| {
            sum += change;
            sum
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entropy_of_certain_numbers_is_zero_and_of_a_coin_one_bit() {
        assert_eq!((entropy(0.0), entropy(1.0)), (0.0, 0.0));
        assert!((entropy(0.5) - 2f64.ln()).abs() < 1e-15);
    }

    #[test]
    fn dead_units_are_counted() {
        let dead = |codes: &[f64], units: usize| {
            let parts: Vec<Figures> = codes
                .chunks(2 * units)
                .map(|codes| {
                    let mut part = Figures::new(1);
                    part.extremes(codes, units);
                    part
                })
                .collect();
            dead_units(&parts, units)
        };
        assert_eq!(dead(&[0.0, 1.0, 0.3, 0.0, 2.0, 0.3, 0.0, 1.0, 0.300_000_04], 3), 2);
        assert_eq!(dead(&[1.0, -1.0], 1), 0);
    }
}
