//! Initial parameters of a network: weights by the recipe's `weights.init`, biases 0, scales 1.

use chacha20::ChaCha8Rng;
use narrows_kernels::Activation;

use crate::base::linalg::orthonormal_rows;
use crate::base::random::{Purpose, below, generator, normal, uniform};
use crate::network::plan::{Op, Parameter, ParameterKind, Plan, Step};
use crate::recipe::Init;

/// Inputs of each unit that a sparse start gives a weight other than 0 (Martens 2010).
const SPARSE_CONNECTIONS: usize = 15;

/// The random initial parameters of a network. The closed form of a linear network comes from the rows: see the room `pca`.
pub(crate) fn initial_parameters(plan: &Plan, seed: u64) -> Vec<f32> {
    let mut parameters = vec![0.0; plan.buffer_len];
    for (index, parameter) in plan.parameters.iter().enumerate() {
        let values = &mut parameters[parameter.range.clone()];
        match parameter.kind {
            ParameterKind::Weights { fan_in, fan_out } => {
                let mut generator = generator(seed, Purpose::Weights, index as u64);
                draw_weights(plan, parameter, (fan_in as f64, fan_out as f64), values, &mut generator);
            }
            ParameterKind::Bias => {}
            ParameterKind::Scale => values.fill(1.0),
            ParameterKind::Statistic { start } => values.fill(start),
        }
    }
    parameters
}

fn draw_weights(
    plan: &Plan,
    parameter: &Parameter,
    (fan_in, fan_out): (f64, f64),
    weights: &mut [f32],
    generator: &mut ChaCha8Rng,
) {
    let columns = parameter.shape[parameter.shape.len() - 1];
    match plan.weights.init {
        Init::Auto | Init::Pca if ends_in_rectifier(plan, parameter) => {
            // Tied weights lead both ways: in a layer that widens, the fan-in alone would give outputs far too large.
            let fan = if is_shared(plan, parameter) { fan_in.max(fan_out) } else { fan_in };
            draw_uniform(weights, 6.0 / fan, generator);
        }
        Init::Auto | Init::Glorot | Init::ClosedForm | Init::Pca => {
            draw_uniform(weights, 6.0 / (fan_in + fan_out), generator);
        }
        Init::He => draw_uniform(weights, 6.0 / fan_in, generator),
        Init::Lecun => draw_uniform(weights, 3.0 / fan_in, generator),
        Init::Orthogonal => draw_orthogonal(weights, columns, generator),
        Init::Sparse => draw_sparse(weights, columns, generator),
    }
}

/// Uniform numbers of the interval from -sqrt(limit) to sqrt(limit), whose variance is limit / 3.
fn draw_uniform(weights: &mut [f32], limit: f64, generator: &mut ChaCha8Rng) {
    let limit = limit.sqrt() as f32;
    for weight in weights {
        *weight = (2.0 * uniform(generator) - 1.0) * limit;
    }
}

/// A matrix whose smaller side is orthonormal: the rows of a wide one, the columns of a tall one.
fn draw_orthogonal(weights: &mut [f32], columns: usize, generator: &mut ChaCha8Rng) {
    let rows = weights.len() / columns;
    let (count, width) = (rows.min(columns), rows.max(columns));
    let mut basis: Vec<f64> = (0..count * width).map(|_| normal(generator)).collect();
    orthonormal_rows(&mut basis, width, 0);
    for (i, row) in weights.chunks_exact_mut(columns).enumerate() {
        for (j, weight) in row.iter_mut().enumerate() {
            let at = if rows <= columns { i * width + j } else { j * width + i };
            *weight = basis[at] as f32;
        }
    }
}

/// Normal numbers for a few random inputs of each unit, 0 for the others.
fn draw_sparse(weights: &mut [f32], columns: usize, generator: &mut ChaCha8Rng) {
    let rows = weights.len() / columns;
    let mut order: Vec<usize> = (0..rows).collect();
    for unit in 0..columns {
        // The first few places of a random permutation.
        for place in 0..SPARSE_CONNECTIONS.min(rows) {
            let other = place + below((rows - place) as u32, generator) as usize;
            order.swap(place, other);
            weights[order[place] * columns + unit] = normal(generator) as f32;
        }
    }
}

/// Whether several layers use a parameter.
fn is_shared(plan: &Plan, parameter: &Parameter) -> bool {
    let of_steps = plan.steps.iter().filter_map(|step| step.op.parameters());
    of_steps.filter(|(weights, _)| **weights == parameter.range).count() > 1
}

/// Whether the outputs of a parameter's layer go through a function that is near zero on one side.
fn ends_in_rectifier(plan: &Plan, parameter: &Parameter) -> bool {
    let has_parameter =
        |step: &Step| step.op.parameters().is_some_and(|(weights, _)| *weights == parameter.range);
    let Some(mut at) = plan.steps.iter().position(has_parameter) else { return false };
    // Normalisation in between mostly keeps the signs.
    if plan.steps.get(at + 1).is_some_and(|next| matches!(next.op, Op::BatchNorm { .. }))
        && plan.steps[at].activation == Activation::Linear
    {
        at += 1;
    }
    let next = plan.steps.get(at + 1);
    plan.steps[at].activation == Activation::Relu
        || next.is_some_and(|next| {
            matches!(next.op, Op::Function(_))
                || next.op == Op::Identity && next.activation == Activation::Relu
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Shape;
    use crate::recipe::Recipe;
    use crate::recipe::RecipeFile;

    fn weights(start: &str, encoder: &str, width: usize) -> (Plan, Vec<f32>) {
        let text = format!(
            "method='autoencoder'\nloss='mse'\nencoder=[{encoder}]\ndecoder=[{{dense='input'}}]\nweights={{start='{start}'}}"
        );
        let Recipe::Autoencoder(recipe) = RecipeFile::parse("t", "t", &text).unwrap().recipe().unwrap()
        else {
            panic!()
        };
        let plan = Plan::new(&recipe, Shape::flat(width)).unwrap();
        let parameters = initial_parameters(&plan, 5);
        (plan, parameters)
    }

    #[test]
    fn each_start_has_the_spread_it_promises() {
        let variance = |start: &str, encoder: &str| {
            let (plan, parameters) = weights(start, encoder, 100);
            let values = &parameters[plan.parameters[0].range.clone()];
            values.iter().map(|&w| f64::from(w * w)).sum::<f64>() / values.len() as f64
        };
        let relu = "{dense=60}, 'relu'";
        let near = |found: f64, want: f64| assert!((found / want - 1.0).abs() < 0.1, "{found} {want}");
        near(variance("glorot", relu), 2.0 / 160.0);
        near(variance("he", relu), 2.0 / 100.0);
        near(variance("lecun", relu), 1.0 / 100.0);
        // Chosen by the function that follows.
        near(variance("auto", relu), 2.0 / 100.0);
        near(variance("auto", "{dense=60}, 'gelu'"), 2.0 / 100.0);
        near(variance("auto", "{dense=60}, 'tanh'"), 2.0 / 160.0);
        near(variance("orthogonal", relu), 1.0 / 100.0);
        near(variance("sparse", relu), 15.0 / 100.0);
    }

    #[test]
    fn orthogonal_weights_are_and_sparse_ones_have_fifteen_inputs() {
        for (encoder, width) in [("{dense=7}", 20), ("{dense=20}", 7)] {
            let (plan, parameters) = weights("orthogonal", encoder, width);
            let units = plan.code().len();
            let w = &parameters[plan.parameters[0].range.clone()];
            let (count, dot): (usize, Box<dyn Fn(usize, usize) -> f32>) = if width < units {
                (width, Box::new(|a, b| (0..units).map(|j| w[a * units + j] * w[b * units + j]).sum()))
            } else {
                (units, Box::new(|a, b| (0..width).map(|i| w[i * units + a] * w[i * units + b]).sum()))
            };
            for a in 0..count {
                for b in 0..count {
                    assert!((dot(a, b) - f32::from(a == b)).abs() < 1e-5, "{width} {a} {b}");
                }
            }
        }
        let (plan, parameters) = weights("sparse", "{dense=9}", 40);
        let w = &parameters[plan.parameters[0].range.clone()];
        for unit in 0..9 {
            assert_eq!(w.iter().skip(unit).step_by(9).filter(|&&w| w != 0.0).count(), 15);
        }
    }
}
