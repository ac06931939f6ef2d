//! A [`Plan`]: a network compiled for rows of a known shape.
//!
//! A spec is a list of words; a plan has every shape, every parameter and its place in one flat buffer. A network is a
//! chain, so the plan is a list of [`Step`]s with a cut in it: what is left of the cut encodes, what is right decodes.
//! There is no graph and no differentiation engine; backward is the same list walked in reverse.
//!
//! A new kind of layer is a new [`Op`]: its shape here, its arithmetic in `engine`; the compiler lists the places.

use std::ops::Range;

use narrows_kernels::Activation;

use crate::data::Shape;
use crate::error::{Error, Result};
use crate::spec::{AutoencoderSpec, Function, Layer, Loss, Units};

/// Parameters begin at multiples of this many numbers: one cache line.
const ALIGNMENT: usize = 16;

/// A network with all its shapes and places.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The shape of a row.
    pub input: Shape,
    /// The chain of operations.
    pub steps: Vec<Step>,
    /// How many steps encode.
    pub cut: usize,
    /// The named parts of the flat parameter buffer.
    pub parameters: Vec<Parameter>,
    /// Numbers in the parameter buffer, gaps between the parts included.
    pub buffer_len: usize,
    /// What training makes small.
    pub loss: Loss,
}

/// One operation of the chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// `encoder.1`, `decoder.2`: which part, and the place in it from 1.
    pub name: String,
    /// What is computed.
    pub op: Op,
    /// Applied to each output of the operation, in the same pass.
    pub activation: Activation,
    /// The shape of a row that comes in.
    pub input: Shape,
    /// The shape of a row that goes out.
    pub output: Shape,
}

/// What a step computes before its activation.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// y = x W + b: W is inputs x outputs, row after row; b one number per output.
    Dense {
        /// Where W lies.
        weights: Range<usize>,
        /// Where b lies.
        bias: Option<Range<usize>>,
    },
    /// y = x; for an activation that follows no operation.
    Identity,
    /// y = e^x / sum e^x over the row.
    Softmax,
}

/// A named part of the parameter buffer.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// `encoder.1.weights`
    pub name: String,
    /// Where it lies.
    pub range: Range<usize>,
    /// Its shape, row-major: (inputs, outputs) for weights, (outputs) for a bias.
    pub shape: Vec<usize>,
    /// What it is to initialisers and optimisers.
    pub kind: ParameterKind,
}

/// What a parameter is to initialisers and optimisers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ParameterKind {
    /// Weights between `fan_in` inputs and `fan_out` outputs of a unit.
    Weights {
        /// Inputs of an output.
        fan_in: usize,
        /// Outputs that an input reaches.
        fan_out: usize,
    },
    /// Added numbers; start at 0, do not decay.
    Bias,
}

impl Plan {
    /// Compiles a network for rows of a shape. Refuses what cannot work, naming the layer.
    pub fn new(spec: &AutoencoderSpec, input: Shape) -> Result<Self> {
        let mut plan =
            Self { input, steps: Vec::new(), cut: 0, parameters: Vec::new(), buffer_len: 0, loss: spec.loss };
        plan.add("encoder", &spec.encoder)?;
        plan.cut = plan.steps.len();
        plan.add("decoder", &spec.decoder)?;
        if plan.cut == 0 || plan.cut == plan.steps.len() {
            return Err(Error::recipe("encoder and decoder must each have at least one layer"));
        }
        let last = &plan.steps[plan.steps.len() - 1];
        if last.op == Op::Softmax && spec.loss != Loss::CrossEntropy {
            return Err(Error::recipe("decoder: a softmax at the end needs loss = \"cross_entropy\""));
        }
        let output = plan.output();
        if output.len() != input.len() {
            return Err(Error::recipe(format!(
                "decoder: gives {output} numbers, the input has {}",
                input.len()
            ))
            .hint("end it with { dense = \"input\" }"));
        }
        Ok(plan)
    }

    fn add(&mut self, part: &str, layers: &[Layer]) -> Result<()> {
        let first = self.steps.len();
        for (place, layer) in layers.iter().enumerate() {
            let name = format!("{part}.{}", self.steps.len() - first + 1);
            let input = self.output();
            match layer {
                Layer::Dense { units, bias } => {
                    let outputs = match units {
                        Units::Count(count) => *count,
                        Units::Input => self.input.len(),
                    };
                    // An output with the length of a row gets the row's shape, so that pictures can be made of it.
                    let output = if outputs == self.input.len() { self.input } else { Shape::flat(outputs) };
                    let (fan_in, fan_out) = (input.len(), outputs);
                    let too_many = || {
                        Error::recipe(format!("{part}[{place}]: {fan_in} x {fan_out} weights are too many"))
                    };
                    let weights = self
                        .parameter(
                            &name,
                            "weights",
                            vec![fan_in, fan_out],
                            ParameterKind::Weights { fan_in, fan_out },
                        )
                        .ok_or_else(too_many)?;
                    let bias = if *bias {
                        let bias = self.parameter(&name, "bias", vec![outputs], ParameterKind::Bias);
                        Some(bias.ok_or_else(too_many)?)
                    } else {
                        None
                    };
                    let op = Op::Dense { weights, bias };
                    self.steps.push(Step { name, op, activation: Activation::Linear, input, output });
                }
                Layer::Function(Function::Softmax) => {
                    let (op, activation) = (Op::Softmax, Activation::Linear);
                    self.steps.push(Step { name, op, activation, input, output: input });
                }
                Layer::Function(function) => {
                    let activation = match function {
                        Function::Relu => Activation::Relu,
                        Function::Sigmoid => Activation::Sigmoid,
                        Function::Tanh => Activation::Tanh,
                        Function::Linear | Function::Softmax => Activation::Linear,
                    };
                    // An activation joins the step before it, unless that belongs to the other side of the cut, has one
                    // already, or is no weighted sum.
                    match self.steps[first..].last_mut() {
                        Some(step)
                            if matches!(step.op, Op::Dense { .. })
                                && step.activation == Activation::Linear =>
                        {
                            step.activation = activation;
                        }
                        _ if activation == Activation::Linear => {}
                        _ => {
                            self.steps.push(Step { name, op: Op::Identity, activation, input, output: input })
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Gives a parameter its place; none where the numbers would not fit a 32-bit count.
    fn parameter(
        &mut self,
        step: &str,
        role: &str,
        shape: Vec<usize>,
        kind: ParameterKind,
    ) -> Option<Range<usize>> {
        let len = shape.iter().try_fold(1usize, |product, &side| product.checked_mul(side))?;
        let start = self.buffer_len.next_multiple_of(ALIGNMENT);
        let end = start.checked_add(len).filter(|&end| end <= u32::MAX as usize)?;
        self.buffer_len = end;
        self.parameters.push(Parameter { name: format!("{step}.{role}"), range: start..end, shape, kind });
        Some(start..end)
    }

    /// The shape of what comes out last.
    pub fn output(&self) -> Shape {
        self.steps.last().map_or(self.input, |step| step.output)
    }

    /// The shape of a code.
    pub fn code(&self) -> Shape {
        self.steps[self.cut - 1].output
    }

    /// Numbers in the longest row between two steps, input and output included.
    pub fn widest(&self) -> usize {
        self.steps.iter().map(|step| step.input.len().max(step.output.len())).max().unwrap_or(0)
    }

    /// How many numbers are learned.
    pub fn parameter_count(&self) -> usize {
        self.parameters.iter().map(|parameter| parameter.range.len()).sum()
    }

    /// Whether the loss takes the last step's result before its last function: sigmoid and BCE, softmax and
    /// cross-entropy are one formula, exact where the two apart would overflow.
    pub fn loss_takes_logits(&self) -> bool {
        matches!(self.loss, Loss::Bce | Loss::CrossEntropy)
    }

    /// The layer table: a header and one row for each layer.
    pub fn table(&self) -> LayerTable {
        let header = ["layer", "operation", "input", "output", "parameters"].map(str::to_owned).to_vec();
        let mut rows = Vec::new();
        for (place, step) in self.steps.iter().enumerate() {
            let mut operation = match &step.op {
                Op::Dense { .. } => format!("dense {}", step.output.len()),
                Op::Softmax => "softmax".to_owned(),
                Op::Identity => String::new(),
            };
            let function = match step.activation {
                Activation::Linear => "",
                Activation::Relu => "relu",
                Activation::Sigmoid => "sigmoid",
                Activation::Tanh => "tanh",
            };
            if !function.is_empty() {
                operation = if operation.is_empty() {
                    function.to_owned()
                } else {
                    format!("{operation}, {function}")
                };
            }
            let count: usize = match &step.op {
                Op::Dense { weights, bias } => {
                    weights.len() + bias.as_ref().map_or(0, ExactSizeIterator::len)
                }
                Op::Softmax | Op::Identity => 0,
            };
            let name =
                if place + 1 == self.cut { format!("{} (code)", step.name) } else { step.name.clone() };
            rows.push(vec![
                name,
                operation,
                step.input.to_string(),
                step.output.to_string(),
                count.to_string(),
            ]);
        }
        LayerTable { header, rows }
    }
}

/// A table of text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LayerTable {
    /// What the columns are.
    pub header: Vec<String>,
    /// One list of cells for each layer.
    pub rows: Vec<Vec<String>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Recipe;
    use crate::spec::Spec;

    fn plan(recipe: &str, shape: Shape) -> Result<Plan> {
        let Spec::Autoencoder(spec) = Recipe::parse("test", "test", recipe)?.spec()? else {
            panic!("an autoencoder")
        };
        Plan::new(&spec, shape)
    }

    #[test]
    fn deep_has_the_shapes_and_counts_of_the_book() {
        let Spec::Autoencoder(spec) = Recipe::open("deep").unwrap().spec().unwrap() else { panic!() };
        let plan = Plan::new(&spec, Shape::image(28, 28, 1)).unwrap();
        let widths: Vec<usize> = plan.steps.iter().map(|step| step.output.len()).collect();
        assert_eq!(widths, [128, 64, 32, 64, 128, 784]);
        assert_eq!((plan.cut, plan.code().len()), (3, 32));
        // (784 + 1) 128 + (128 + 1) 64 + (64 + 1) 32 + (32 + 1) 64 + (64 + 1) 128 + (128 + 1) 784: Keras' summary.
        assert_eq!(plan.parameter_count(), 222_384);
        assert_eq!(plan.output(), Shape::image(28, 28, 1));
        assert!(plan.parameters.iter().all(|parameter| parameter.range.start % ALIGNMENT == 0));
    }

    #[test]
    fn functions_join_the_layer_before_them_but_never_across_the_cut() {
        let text = "method='autoencoder'\nloss='mse'\nencoder=['tanh', {dense=2}, 'relu', 'sigmoid', 'softmax']\ndecoder=['tanh', {dense='input', bias=false}]";
        let plan = plan(text, Shape::flat(5)).unwrap();
        let names: Vec<(Activation, &str)> = plan
            .steps
            .iter()
            .map(|step| {
                let op = match step.op {
                    Op::Dense { .. } => "dense",
                    Op::Identity => "identity",
                    Op::Softmax => "softmax",
                };
                (step.activation, op)
            })
            .collect();
        use Activation::*;
        assert_eq!(
            names,
            [
                (Tanh, "identity"),
                (Relu, "dense"),
                (Sigmoid, "identity"),
                (Linear, "softmax"),
                (Tanh, "identity"),
                (Linear, "dense")
            ]
        );
        assert_eq!(plan.parameter_count(), 5 * 2 + 2 + 2 * 5);
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let text = |encoder: &str, decoder: &str| {
            format!("method='autoencoder'\nloss='mse'\nencoder=[{encoder}]\ndecoder=[{decoder}]")
        };
        let cases = [
            (text("{dense=2}", "{dense=4}"), "the input has 5"),
            (text("", "{dense='input'}"), "at least one layer"),
            (text("{dense=2}", "{dense='input'}, 'softmax'"), "cross_entropy"),
            (text("{dense=2}", ""), "at least one layer"),
            (text("{dense=4000000000}, {dense=4000000000}", "{dense='input'}"), "too many"),
        ];
        for (text, part) in cases {
            let error = plan(&text, Shape::flat(5)).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
