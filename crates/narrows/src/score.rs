//! How much a model loses on rows, and what simpler methods lose on the same rows.

use narrows_kernels::matrix::{FinishWide, View, multiply_f64, scratch_len};

use crate::data::Source;
use crate::engine::each_chunk;
use crate::error::Result;
use crate::model::{Compute, Fitted, Model};
use crate::moments::Moments;
use crate::scaling::Scaling;
use crate::spec::Loss;
use crate::summary::{Baselines, Evaluation};

/// What each row contributes: squared error, loss, squared distance to the mean, entropy.
const PARTS: usize = 4;

/// Judges a model on rows. Also answers their codes (n x code size).
pub fn evaluate(model: &Model, rows: &dyn Source, compute: Compute) -> Result<(Evaluation, Vec<f32>)> {
    model.check_rows(rows)?;
    let (n, width, code) = (rows.rows(), model.shape.len(), model.code_shape().len());
    let loss = match &model.fitted {
        Fitted::Network { plan, .. } => plan.loss,
        Fitted::Pca(_) => Loss::Mse,
    };
    // One line per row: its parts, then its code.
    let line = PARTS + code;
    let mut lines = vec![0.0f64; n * line];
    each_chunk(
        &mut lines,
        line,
        compute.threads,
        || None,
        |walk, first, chunk| {
            let indices: Vec<usize> = (first..first + chunk.len() / line).collect();
            let judged = model.judge(rows, &indices, compute.level, walk);
            for (i, out) in chunk.chunks_exact_mut(line).enumerate() {
                let own = i * width..(i + 1) * width;
                let (x, y) = (&judged.rows[own.clone()], &judged.outputs[own]);
                let square = |a: f64, b: f64| (a - b) * (a - b);
                out[0] = x.iter().zip(y).map(|(&x, &y)| square(x, y)).sum();
                out[1] = judged.losses.as_ref().map_or(0.0, |losses| f64::from(losses[i]));
                out[2] = x.iter().zip(&model.training_mean).map(|(&x, &mean)| square(x, mean)).sum();
                out[3] = if loss == Loss::Bce { x.iter().map(|&x| entropy(x)).sum() } else { 0.0 };
                out[PARTS..].copy_from_slice(&judged.codes[i * code..(i + 1) * code]);
            }
            Ok(())
        },
    )?;
    let sum = |part: usize| lines.chunks_exact(line).map(|line| line[part]).sum::<f64>();
    let (squared, losses, about_mean, floor) = (sum(0), sum(1), sum(2), sum(3));
    let numbers = (n * width) as f64;
    let codes: Vec<f32> =
        lines.chunks_exact(line).flat_map(|line| line[PARTS..].iter().map(|&value| value as f32)).collect();
    let bce = (loss == Loss::Bce).then_some(losses / numbers);
    let evaluation = Evaluation {
        rows: n,
        loss: match loss {
            Loss::Bce => losses / numbers,
            Loss::CrossEntropy => losses / n as f64,
            Loss::Mse => squared / numbers,
        },
        bce,
        bce_floor: bce.map(|_| floor / numbers),
        mse: squared / numbers,
        squared_error_per_row: squared / n as f64,
        mean_squared_error_per_row: about_mean / n as f64,
        explained_variance: if about_mean > 0.0 { 1.0 - squared / about_mean } else { 0.0 },
        dead_units: dead_units(&codes, code),
    };
    Ok((evaluation, codes))
}

/// -x ln x - (1 - x) ln(1 - x): what BCE leaves when the output is the target itself.
fn entropy(x: f64) -> f64 {
    let part = |p: f64| if p > 0.0 { -p * p.ln() } else { 0.0 };
    part(x) + part(1.0 - x)
}

/// How many columns of codes hold one value only, up to rounding: a unit that says the same of every row says nothing.
fn dead_units(codes: &[f32], width: usize) -> usize {
    (0..width)
        .filter(|&unit| {
            let column = || codes.iter().skip(unit).step_by(width);
            let low = column().copied().fold(f32::INFINITY, f32::min);
            let high = column().copied().fold(f32::NEG_INFINITY, f32::max);
            high - low <= 1e-6 * high.abs().max(low.abs())
        })
        .count()
}

impl Baselines {
    /// What the simpler methods, fitted on the training rows behind `moments`, lose on `rows`.
    pub(crate) fn measure(
        moments: &Moments,
        code_size: usize,
        rows: &dyn Source,
        scaling: &Scaling,
        compute: Compute,
    ) -> Result<Self> {
        let width = moments.width;
        let k = code_size.min(width);
        let pca = moments.about_mean(k, compute.level)?.directions;
        let linear = moments.about_zero(k, compute.level)?.directions;
        let zero = vec![0.0; width];
        let mut errors = vec![0.0f64; rows.rows() * 3];
        each_chunk(
            &mut errors,
            3,
            compute.threads,
            || vec![0.0; scratch_len(width)],
            |scratch, first, chunk| {
                let count = chunk.len() / 3;
                let mut x = vec![0.0; count * width];
                rows.read_f64(&(first..first + count).collect::<Vec<_>>(), &mut x);
                scaling.apply_f64(&mut x, width);
                let mut residual = |centre: &[f64], directions: &[f64], k: usize| -> Vec<f64> {
                    let centred: Vec<f64> = x
                        .chunks_exact(width)
                        .flat_map(|row| row.iter().zip(centre).map(|(x, c)| x - c))
                        .collect();
                    let mut codes = vec![0.0; count * k];
                    let rows = View::new(&centred, count, width);
                    let directions = View::new(directions, k, width).transposed();
                    multiply_f64(compute.level, &mut codes, rows, directions, FinishWide::Store, scratch);
                    // The directions are orthonormal: what is lost is what the code does not hold.
                    let square = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>();
                    (0..count)
                        .map(|i| {
                            (square(&centred[i * width..(i + 1) * width])
                                - square(&codes[i * k..(i + 1) * k]))
                            .max(0.0)
                        })
                        .collect()
                };
                let lost = [
                    residual(&moments.mean, &[], 0),
                    residual(&moments.mean, &pca, k),
                    residual(&zero, &linear, k),
                ];
                for (i, out) in chunk.chunks_exact_mut(3).enumerate() {
                    (0..3).for_each(|method| out[method] = lost[method][i]);
                }
                Ok(())
            },
        )?;
        let mean = |method: usize| errors.iter().skip(method).step_by(3).sum::<f64>() / rows.rows() as f64;
        Ok(Self { mean: mean(0), pca: mean(1), linear: mean(2) })
    }
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
        let codes = [0.0, 1.0, 0.3, 0.0, 2.0, 0.3, 0.0, 1.0, 0.300_000_04];
        assert_eq!(dead_units(&codes, 3), 2);
        assert_eq!(dead_units(&[1.0, -1.0], 1), 0);
    }
}
