//! Initial parameters with which a network is a PCA.
//!
//! A pair of units with opposite weights passes a number on unchanged through a function f with f(a) - f(-a) = g a, such as
//! relu, silu and softplus. So a deep network can begin as the best linear one of its code size, and all that training finds is
//! what a linear method does not have. The other units are random, but no weight leads from them to what is passed on.

use std::ops::Range;

use narrows_kernels::{Activation, Level};

use crate::data::ColumnError;
use crate::error::Result;
use crate::network::plan::{Op, Plan, passes_on};
use crate::pca::moments::Moments;

/// The steepest slope of a logit in a number of the row: rare levels would get logits far too certain.
const STEEPEST: f64 = 6.0;

/// The least share of a level in its logit at the start.
const LEAST_SHARE: f64 = 0.01;

/// Changes initial parameters of a network so that its outputs are those of the PCA of the rows behind `moments`, as far as
/// components, units and rows allow. Logits are linearised about the mean.
///
/// # Errors
/// Where the eigenvalue decomposition fails.
pub(crate) fn pca_start(
    plan: &Plan,
    moments: &Moments,
    mut parameters: Vec<f32>,
    level: Level,
) -> Result<Vec<f32>> {
    let d = moments.width;
    let layers = dense_layers(plan);
    let (output, inner) = layers.split_last().expect("a plan has an output");
    let fits = |layer: &Layer<'_>| if layer.is_linear { layer.units } else { layer.units / 2 };
    let m = inner.iter().map(fits).min().unwrap_or(0).min(moments.rows).min(d);
    if m == 0 {
        // A layer of one unit has no pair.
        return Ok(parameters);
    }
    let directions = moments.about_mean(m, level)?.directions;

    // The components are sums of the outputs of the layer before: entry (unit, component) of `sums`, and a constant.
    let mut sums: Vec<f64> = (0..d * m).map(|at| directions[at % m * d + at / m]).collect();
    let along = |direction: &[f64]| direction.iter().zip(&moments.mean).map(|(a, b)| a * b).sum::<f64>();
    let mut constants: Vec<f64> = directions.chunks_exact(d).map(|direction| -along(direction)).collect();
    for layer in inner {
        let mut next = vec![0.0; layer.units * m];
        for component in 0..m {
            let of_component = || (0..layer.inputs).map(|unit| sums[unit * m + component]);
            let signs: &[f64] = if layer.is_linear { &[1.0] } else { &[1.0, -1.0] };
            for (place, sign) in signs.iter().enumerate() {
                let unit = component * signs.len() + place;
                layer.set(
                    &mut parameters,
                    unit,
                    of_component().map(|weight| sign * weight),
                    sign * constants[component],
                );
                next[unit * m + component] = sign / layer.gain;
            }
        }
        if layer.is_code {
            // More units than components: silent at first, and heard by the decoder once they are not.
            (m..layer.units).for_each(|unit| {
                layer.set(&mut parameters, unit, std::iter::repeat_n(0.0, layer.inputs), 0.0)
            });
        }
        (sums, constants) = (next, vec![0.0; m]);
    }
    for column in 0..d {
        let (at, slope) = link(plan, column, moments.mean[column]);
        let weight = |unit: usize| -> f64 {
            (0..m).map(|component| sums[unit * m + component] * directions[component * d + column]).sum()
        };
        output.set(&mut parameters, column, (0..output.inputs).map(|unit| slope * weight(unit)), at);
    }
    Ok(parameters)
}

/// A dense layer with the function that follows it.
struct Layer<'a> {
    inputs: usize,
    units: usize,
    weights: &'a Range<usize>,
    bias: Option<&'a Range<usize>>,
    is_code: bool,
    /// Whether no function follows.
    is_linear: bool,
    /// f(1) - f(-1) of the function.
    gain: f64,
}

impl Layer<'_> {
    /// Sets the weights into a unit and its bias.
    fn set(&self, parameters: &mut [f32], unit: usize, weights: impl Iterator<Item = f64>, bias: f64) {
        let own = &mut parameters[self.weights.clone()];
        for (row, weight) in own.chunks_exact_mut(self.units).zip(weights) {
            row[unit] = weight as f32;
        }
        if let Some(range) = self.bias {
            parameters[range.start + unit] = bias as f32;
        }
    }
}

fn dense_layers(plan: &Plan) -> Vec<Layer<'_>> {
    let mut layers: Vec<Layer<'_>> = Vec::new();
    for (index, step) in plan.steps.iter().enumerate() {
        if let (Op::Dense { .. }, Some((weights, bias))) = (&step.op, step.op.parameters()) {
            layers.push(Layer {
                inputs: step.input.len(),
                units: step.output.len(),
                weights,
                bias,
                is_code: index + 1 == plan.cut,
                is_linear: true,
                gain: 1.0,
            });
        }
        if let Some(layer) = layers.last_mut() {
            layer.gain *= passes_on(step).unwrap_or(1.0);
            layer.is_linear &= step.activation == Activation::Linear && !matches!(step.op, Op::Function(_));
        }
    }
    layers
}

/// The output for the mean of a column, and its slope: the inverse of the function that makes numbers of outputs, at the mean.
fn link(plan: &Plan, column: usize, mean: f64) -> (f64, f64) {
    let of_table = plan.columns.iter().find(|of_table| of_table.range.contains(&column));
    let share = mean.clamp(LEAST_SHARE, 1.0 - LEAST_SHARE);
    match of_table.map_or(ColumnError::Squared, |of_table| of_table.error) {
        ColumnError::Squared => (mean, 1.0),
        ColumnError::Binary => ((share / (1.0 - share)).ln(), (1.0 / (share * (1.0 - share))).min(STEEPEST)),
        ColumnError::Categorical => (share.ln(), (1.0 / share).min(STEEPEST)),
    }
}
