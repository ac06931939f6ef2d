//! Where the parameters of a network start: weights by the recipe's `weights.init`, biases 0, scales 1.

use narrows_kernels::Activation;

use crate::base::linalg::orthonormal_rows;
use crate::base::random::{Purpose, below, generator, normal, uniform};
use crate::network::plan::{Op, Parameter, ParameterKind, Plan};
use crate::recipe::Init;

/// Inputs that a unit is connected to at the start, of a sparse one.
const CONNECTIONS: usize = 15;

/// The first parameters of a network, by chance. A closed form has none: see [`closed_form`].
pub(crate) fn initial_parameters(plan: &Plan, seed: u64) -> Vec<f32> {
    let mut parameters = vec![0.0; plan.buffer_len];
    for (index, parameter) in plan.parameters.iter().enumerate() {
        let (fan_in, fan_out) = match parameter.kind {
            ParameterKind::Weights { fan_in, fan_out } => (fan_in, fan_out),
            ParameterKind::Bias => continue,
            ParameterKind::Scale => {
                parameters[parameter.range.clone()].fill(1.0);
                continue;
            }
            ParameterKind::Statistic { start } => {
                parameters[parameter.range.clone()].fill(start);
                continue;
            }
        };
        let mut generator = generator(seed, Purpose::Weights, index as u64);
        let weights = &mut parameters[parameter.range.clone()];
        let mut within = |limit: f64| {
            let limit = limit.sqrt() as f32;
            for weight in &mut *weights {
                *weight = (2.0 * uniform(&mut generator) - 1.0) * limit;
            }
        };
        match plan.weights.init {
            Init::Auto if ends_in_rectifier(plan, parameter) => {
                // Weights that are shared also lead back: a layer that widens would give back far too much.
                let fan = if is_shared(plan, parameter) { fan_in.max(fan_out) } else { fan_in };
                within(6.0 / fan as f64);
            }
            Init::Auto | Init::Glorot | Init::ClosedForm => within(6.0 / (fan_in + fan_out) as f64),
            Init::He => within(6.0 / fan_in as f64),
            Init::Lecun => within(3.0 / fan_in as f64),
            Init::Orthogonal => {
                let columns = parameter.shape[parameter.shape.len() - 1];
                let rows = weights.len() / columns;
                // The smaller side is orthonormal: rows of a wide matrix, columns of a tall one.
                let (count, width) = (rows.min(columns), rows.max(columns));
                let mut basis: Vec<f64> = (0..count * width).map(|_| normal(&mut generator)).collect();
                orthonormal_rows(&mut basis, width);
                for (i, row) in weights.chunks_exact_mut(columns).enumerate() {
                    for (j, weight) in row.iter_mut().enumerate() {
                        let at = if rows <= columns { i * width + j } else { j * width + i };
                        *weight = basis[at] as f32;
                    }
                }
            }
            Init::Sparse => {
                let columns = parameter.shape[parameter.shape.len() - 1];
                let rows = weights.len() / columns;
                let mut order: Vec<usize> = (0..rows).collect();
                for unit in 0..columns {
                    // The first few places of a random order.
                    for place in 0..CONNECTIONS.min(rows) {
                        let other = place + below((rows - place) as u32, &mut generator) as usize;
                        order.swap(place, other);
                        weights[order[place] * columns + unit] = normal(&mut generator) as f32;
                    }
                }
            }
        }
    }
    parameters
}

/// Whether several layers have a parameter.
fn is_shared(plan: &Plan, parameter: &Parameter) -> bool {
    let of_steps = plan.steps.iter().filter_map(|step| step.op.parameters());
    of_steps.filter(|(weights, _)| **weights == parameter.range).count() > 1
}

/// Whether what a parameter's layer gives goes through a function that is near zero on one side.
fn ends_in_rectifier(plan: &Plan, parameter: &Parameter) -> bool {
    let of_parameter = |step: &crate::network::plan::Step| {
        step.op.parameters().is_some_and(|(weights, _)| *weights == parameter.range)
    };
    let Some(mut at) = plan.steps.iter().position(of_parameter) else { return false };
    // What is normalised in between keeps its sign, more or less.
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
