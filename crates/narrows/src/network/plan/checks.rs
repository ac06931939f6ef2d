//! Networks that cannot work are refused here, after their layers are known; the last layer is cropped to the input.

use narrows_kernels::{Activation, Pointwise};

use super::build::{Builder, image};
use super::{Op, Step};
use crate::data::Shape;
use crate::error::{Error, Result};
use crate::recipe::{Init, Loss};

impl Builder<'_> {
    pub(super) fn check_parts(&self) -> Result<()> {
        if self.plan.cut == 0 || self.plan.cut == self.plan.steps.len() {
            return Err(Error::recipe("encoder and decoder must each have at least one layer"));
        }
        Ok(())
    }

    pub(super) fn check_sparsity(&self) -> Result<()> {
        let Some(sparsity) = self.plan.sparsity else { return Ok(()) };
        // The gradient of a max pool takes the place of its input, which would be the code.
        if matches!(self.plan.steps[self.plan.cut].op, Op::MaxPool { .. }) {
            return Err(Error::recipe(
                "sparsity: the decoder begins with a pool, which leaves no code to look at",
            ));
        }
        if sparsity.kl.is_some() && self.plan.code().is_image() {
            return Err(Error::recipe("sparsity.kl: the code is an image").hint("put \"flatten\" after it"));
        }
        Ok(())
    }

    /// The closed form exists for one dense layer on each side, without functions, both with biases or both without.
    pub(super) fn check_closed_form(&self) -> Result<()> {
        if self.plan.weights.init != Init::ClosedForm {
            return Ok(());
        }
        let Some([encoder, decoder]) = self.linear_pair() else {
            return Err(Error::recipe("weights.init: closed_form is for linear networks: one dense layer on each side, no functions, loss = \"mse\"")
                .hint("or weights.init = \"auto\""));
        };
        let has_bias = |step: &Step| step.op.parameters().is_some_and(|(_, bias)| bias.is_some());
        if has_bias(encoder) != has_bias(decoder) {
            return Err(Error::recipe(
                "weights.init: closed_form needs biases in both layers (the PCA), or in neither",
            ));
        }
        let (k, d) = (encoder.output.len(), encoder.input.len());
        if k > d {
            return Err(Error::recipe(format!(
                "weights.init: a closed form with {k} code units needs rows of at least {k} numbers, not {d}"
            ))
            .hint("a smaller `code_size`"));
        }
        Ok(())
    }

    /// A network starts as a PCA where pairs of units can pass on a number unchanged: see [`passes_on`].
    pub(super) fn check_pca_start(&self) -> Result<()> {
        let plan = &self.plan;
        if plan.weights.init != Init::Pca {
            return Ok(());
        }
        if let Some(step) = plan.steps.iter().find(|step| passes_on(step).is_none()) {
            return Err(Error::recipe(format!(
                "weights.init: pca is for untied dense layers with biases and relu, leaky_relu, gelu, silu, softplus or no function, and {} is none",
                step.name
            ))
            .hint("weights.init = \"auto\""));
        }
        // A function on the code, or on the output, leaves no linear one.
        for last in [plan.cut, plan.steps.len()] {
            let last = &plan.steps[last - 1];
            if !matches!(last.op, Op::Dense { .. }) || last.activation != Activation::Linear {
                return Err(Error::recipe("weights.init: pca needs a code and an output without functions")
                    .hint("weights.init = \"auto\""));
            }
        }
        Ok(())
    }

    /// The two steps of a linear network trained by squared error.
    fn linear_pair(&self) -> Option<[&Step; 2]> {
        let [encoder, decoder] = &self.plan.steps[..] else { return None };
        let is_linear =
            |step: &Step| step.activation == Activation::Linear && matches!(step.op, Op::Dense { .. });
        let is_pair = is_linear(encoder) && is_linear(decoder) && self.plan.loss == Loss::Mse;
        is_pair.then_some([encoder, decoder])
    }

    pub(super) fn check_output(&self) -> Result<()> {
        let last = &self.plan.steps[self.plan.steps.len() - 1];
        if matches!(last.op, Op::Dropout { .. }) {
            return Err(Error::recipe("decoder: nothing may be dropped of what comes out"));
        }
        if last.op == Op::Softmax && self.plan.loss != Loss::CrossEntropy {
            return Err(Error::recipe("decoder: a softmax at the end needs loss = \"cross_entropy\""));
        }
        Ok(())
    }

    /// Crops the output to the shape of the input. Returns how many rows and columns are left out.
    pub(super) fn crop(&mut self) -> Result<usize> {
        let (input, growth) = (self.plan.input, self.growth);
        let index = self.plan.steps.len() - 1;
        let last = &mut self.plan.steps[index];
        if !last.op.is_on_images() {
            return check_length(last, input);
        }
        let output = last.output;
        let refuse = |hint: &str| {
            let error = Error::recipe(format!("decoder: {} gives {output}, the input is {input}", last.name));
            Err(error.hint(hint.to_owned()))
        };
        if !input.is_image() {
            return refuse("put \"flatten\" before its last function");
        }
        if output.channels != input.channels {
            return refuse("end it with { conv = \"input\" }");
        }
        if output.height < input.height || output.width < input.width {
            return refuse("give a conv of the decoder padding = \"auto\" or \"same\", or upsample more");
        }
        let (rows, columns) = (output.height - input.height, output.width - input.width);
        let excess = rows.max(columns);
        if excess == 0 {
            return Ok(0);
        }
        // Pools that round up explain fewer rows than one pixel has grown to.
        if excess >= growth {
            return refuse("upsample less, or pool more");
        }
        if let Op::Convolution { geometry, .. } = &mut last.op {
            geometry.output = image(input);
        } else if !matches!(last.op, Op::Upsample { factor } if excess < factor) {
            // A cropped upsampling must still show every pixel of its input.
            return refuse("end it with a conv, which can leave out the last rows and columns");
        }
        last.output = input;
        Ok(rows + columns)
    }
}

/// What the difference f(a) - f(-a) of a step's function is for a = 1, where it is proportional to a.
pub(crate) fn passes_on(step: &Step) -> Option<f64> {
    match (&step.op, step.activation) {
        (
            Op::Dense { tied: false, bias: Some(_), .. } | Op::Identity,
            Activation::Linear | Activation::Relu,
        )
        | (Op::Dropout { .. }, Activation::Linear)
        | (Op::Function(Pointwise::Gelu | Pointwise::Silu | Pointwise::Softplus), Activation::Linear) => {
            Some(1.0)
        }
        (Op::Function(Pointwise::LeakyRelu), Activation::Linear) => Some(1.01),
        _ => None,
    }
}

/// The last layer must give as many numbers as a row has; there is nothing to crop.
fn check_length(last: &Step, input: Shape) -> Result<usize> {
    let output = last.output;
    if output.len() == input.len() {
        return Ok(0);
    }
    let error = Error::recipe(format!(
        "decoder: {} gives {output} numbers, the input has {}",
        last.name,
        input.len()
    ));
    Err(error.hint("end it with { dense = \"input\" }"))
}
