//! The arithmetic of each operation, forward and back, on some rows. Shapes: x is n x inputs, y and its delta n x outputs.

use narrows_kernels::matrix::{self, Finish, View};
use narrows_kernels::{Activation, Level, activation, vector};

use super::layout::Part;
use crate::plan::{Op, Step};

/// y = activation(op(x)); with `logits` the result before the last function.
pub(super) fn forward(
    level: Level,
    step: &Step,
    parameters: &[f32],
    x: &[f32],
    y: &mut [f32],
    n: usize,
    logits: bool,
    scratch: &mut [f32],
) {
    let (inputs, outputs) = (step.input.len(), step.output.len());
    let function = if logits { Activation::Linear } else { step.activation };
    match &step.op {
        Op::Dense { weights, bias } => {
            let weights = View::new(&parameters[weights.clone()], inputs, outputs);
            let bias = bias.as_ref().map(|bias| &parameters[bias.clone()]);
            let finish = Finish::Forward { bias, activation: function };
            matrix::multiply(level, y, View::new(x, n, inputs), weights, finish, scratch);
        }
        Op::Identity => {
            y.copy_from_slice(x);
            activation::forward(level, y, function);
        }
        Op::Softmax => {
            y.copy_from_slice(x);
            if !logits {
                activation::softmax(level, y, outputs);
            }
        }
    }
}

/// The delta of the step before, from this step's: through the operation, then through the activation of the step before,
/// whose outputs `x` are.
pub(super) fn backward(
    level: Level,
    step: &Step,
    parameters: &[f32],
    delta: &[f32],
    delta_before: &mut [f32],
    x: &[f32],
    activation_before: Activation,
    n: usize,
    scratch: &mut [f32],
) {
    let (inputs, outputs) = (step.input.len(), step.output.len());
    match &step.op {
        Op::Dense { weights, .. } => {
            let weights = View::new(&parameters[weights.clone()], inputs, outputs).transposed();
            let finish = Finish::Backward { activation: activation_before, outputs: x };
            matrix::multiply(level, delta_before, View::new(delta, n, outputs), weights, finish, scratch);
        }
        Op::Identity | Op::Softmax => {
            delta_before.copy_from_slice(delta);
            activation::backward(level, delta_before, x, activation_before);
        }
    }
}

/// Turns the gradient at softmax's output into the one at its input, in place. Without the output (it has been
/// overwritten) this cannot be done: [`crate::plan::Plan::new`] lets no such network through.
pub(super) fn backward_softmax(level: Level, step: &Step, delta: &mut [f32], output: Option<&[f32]>) {
    let output = output.expect("softmax at the end goes with cross-entropy");
    activation::softmax_backward(level, delta, output, step.output.len());
}

/// The gradient of some rows of the weights, X' D, or of some numbers of the bias, the column sums of D.
pub(super) fn gradient(
    level: Level,
    step: &Step,
    part: &Part,
    gradient: &mut [f32],
    x: &[f32],
    delta: &[f32],
    n: usize,
    scratch: &mut [f32],
) {
    let (inputs, outputs) = (step.input.len(), step.output.len());
    if part.is_bias {
        vector::column_sums(level, gradient, delta, outputs, part.rows.start);
    } else {
        let x = View::new(x, n, inputs).columns(part.rows.start, part.rows.len()).transposed();
        matrix::multiply(level, gradient, x, View::new(delta, n, outputs), Finish::Store, scratch);
    }
}
