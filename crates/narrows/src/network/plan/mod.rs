//! A [`Plan`]: a network compiled for rows of a known shape.
//!
//! A recipe is a list of words; a plan has every shape, every parameter and its place in one flat buffer. A network is a
//! chain, so the plan is a list of [`Step`]s with a cut in it: what is left of the cut encodes, what is right decodes.
//! There is no graph and no differentiation engine; backward is the same list walked in reverse.
//!
//! A new kind of layer is a new [`Op`]: its shape in `build`, its arithmetic in `engine`; the compiler lists the places.

mod build;
mod fold_batch_norm;
mod table;
mod tied;

pub(crate) use build::image;

pub use table::{LayerRow, LayerTable};

use std::ops::Range;

use narrows_kernels::conv::{ConvolutionKind, Geometry};
use narrows_kernels::{Activation, Pointwise};

use crate::data::Shape;
use crate::recipe::{Loss, Noise, Sparsity, Weights};

/// Added to the variances that batch normalisation divides by.
pub(crate) const EPSILON: f32 = 1e-5;

/// A network with all its shapes and places.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The shape of a row.
    pub input: Shape,
    /// What rows suffer before the first step, in training and in judging; the target is the row as it was.
    pub noise: Vec<Noise>,
    /// The chain of operations.
    pub steps: Vec<Step>,
    /// How many steps encode.
    pub cut: usize,
    /// The named parts of the flat parameter buffer.
    pub parameters: Vec<Parameter>,
    /// Numbers in the parameter buffer, gaps between the parts included.
    pub buffer_len: usize,
    /// What the last step is to give.
    pub target: Target,
    /// What training makes small.
    pub loss: Loss,
    /// What the code pays for being active.
    pub sparsity: Option<Sparsity>,
    /// How the weights start, and what they pay for their size.
    pub weights: Weights,
}

/// What the last step of a network is to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The row itself, without its noise.
    Row,
    /// The share of each of so many classes: 1 for the row's own, 0 for the others.
    Classes(usize),
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
        /// Whether W is that of the layer it mirrors: what lies there is outputs x inputs, and y = x W' + b.
        tied: bool,
    },
    /// Every pixel a weighted sum of the pixels around; channel last.
    Convolution {
        /// What is connected to what: plain, transposed, or of an image upsampled just before.
        geometry: Geometry,
        /// Where the weights lie: kernel height x kernel width x input channels x output channels.
        weights: Range<usize>,
        /// Where the bias lies: one number per output channel.
        bias: Option<Range<usize>>,
        /// Whether the weights are those of the layer it mirrors: there output and input channels change places.
        tied: bool,
    },
    /// The largest number of each square of pixels.
    MaxPool {
        /// The side of a square.
        size: usize,
    },
    /// The mean of each square of pixels.
    AveragePool {
        /// The side of a square.
        size: usize,
    },
    /// Each pixel repeated, for an upsampling that no convolution follows.
    Upsample {
        /// How often, along each side.
        factor: usize,
    },
    /// y = x under another shape, and between layers on images and layers on vectors.
    Reshape,
    /// y = x; for an activation that follows no operation.
    Identity,
    /// y = e^x / sum e^x over the row.
    Softmax,
    /// y = scale (x - m) / sqrt(v + epsilon) + shift for each column: in training m and v are mean and variance over the rows
    /// of the batch, else the running ones. Only while a network is trained: see `Plan::folded`.
    BatchNorm {
        /// Where the scales lie: one number for each column, like all the others.
        scale: Range<usize>,
        /// Where the shifts lie.
        shift: Range<usize>,
        /// Where the running means lie.
        mean: Range<usize>,
        /// Where the running variances lie.
        variance: Range<usize>,
    },
    /// A function of each number whose derivative needs the input.
    Function(Pointwise),
    /// In training a share of the numbers set to 0, the others divided by what is left; else y = x.
    Dropout {
        /// Which share is dropped.
        share: f32,
    },
    /// From k means and k logarithms of variances to k numbers: drawn in training, else the means.
    Sample {
        /// What the loss of a row, summed over its numbers, pays for each unit of divergence from the standard normal.
        divergence: f32,
    },
}

/// A named part of the parameter buffer.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// `encoder.1.weights`
    pub name: String,
    /// Where it lies.
    pub range: Range<usize>,
    /// Its shape, row-major: (inputs, outputs) for dense weights, (height, width, inputs, outputs) for a kernel, (outputs)
    /// for a bias.
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
    /// Factors of whole columns; start at 1, do not decay.
    Scale,
    /// Running figures of what training saw: they lie beside what is learned so that they are kept with it.
    Statistic {
        /// What they are before the first batch.
        start: f32,
    },
}

impl ParameterKind {
    /// Whether they are weights: what has a start by chance, pays for its size, and has limits.
    pub(crate) fn is_weights(self) -> bool {
        matches!(self, Self::Weights { .. })
    }
}

impl Op {
    /// Whether it works on images, which may be stored with a border; the others work on whole rows of numbers.
    pub(crate) fn is_on_images(&self) -> bool {
        match self {
            Self::Convolution { .. }
            | Self::MaxPool { .. }
            | Self::AveragePool { .. }
            | Self::Upsample { .. } => true,
            Self::Dense { .. }
            | Self::Reshape
            | Self::Identity
            | Self::Softmax
            | Self::Function(_)
            | Self::BatchNorm { .. }
            | Self::Dropout { .. }
            | Self::Sample { .. } => false,
        }
    }

    /// Its weights and bias in the parameter buffer.
    pub(crate) fn parameters(&self) -> Option<(&Range<usize>, Option<&Range<usize>>)> {
        match self {
            Self::Dense { weights, bias, .. } | Self::Convolution { weights, bias, .. } => {
                Some((weights, bias.as_ref()))
            }
            _ => None,
        }
    }

    /// Where its running variances lie, if it has any.
    pub(crate) fn variance(&self) -> Option<&Range<usize>> {
        match self {
            Self::BatchNorm { variance, .. } => Some(variance),
            _ => None,
        }
    }

    /// Whether its weights are those of the layer it mirrors.
    pub(crate) fn is_tied(&self) -> bool {
        matches!(self, Self::Dense { tied: true, .. } | Self::Convolution { tied: true, .. })
    }
}

impl Step {
    /// Multiplications with additions that a row takes, by the direct algorithm.
    pub fn multiply_adds(&self) -> usize {
        match &self.op {
            Op::Dense { weights, .. } => weights.len(),
            Op::Convolution { geometry, .. } => geometry.multiply_adds(),
            _ => 0,
        }
    }

    /// What it does, in a few words.
    fn operation(&self) -> String {
        let square = |(height, width): (usize, usize)| format!("{height}x{width}");
        let operation = match &self.op {
            Op::Dense { tied: true, .. } => format!("dense {}, tied", self.output.len()),
            Op::Dense { .. } => format!("dense {}", self.output.len()),
            Op::Convolution { geometry, tied, .. } => {
                let (channels, kernel) = (geometry.output.channels, square(geometry.kernel));
                let sum = match geometry.kind {
                    ConvolutionKind::Plain { stride: 1 } => format!("conv {channels} ({kernel})"),
                    ConvolutionKind::Plain { stride } => {
                        format!("conv {channels} ({kernel}, stride {stride})")
                    }
                    ConvolutionKind::Upsampled { factor } => {
                        format!("upsample {factor}, conv {channels} ({kernel})")
                    }
                    ConvolutionKind::Transposed { stride } => {
                        format!("transposed conv {channels} ({kernel}, stride {stride})")
                    }
                };
                if *tied { format!("{sum}, tied") } else { sum }
            }
            Op::MaxPool { size } => format!("max pool {size}"),
            Op::AveragePool { size } => format!("average pool {size}"),
            Op::Upsample { factor } => format!("upsample {factor}"),
            Op::Reshape => "reshape".to_owned(),
            Op::Softmax => "softmax".to_owned(),
            Op::Function(function) => match function {
                Pointwise::LeakyRelu => "leaky relu",
                Pointwise::Elu => "elu",
                Pointwise::Gelu => "gelu",
                Pointwise::Silu => "silu",
                Pointwise::Softplus => "softplus",
            }
            .to_owned(),
            Op::BatchNorm { .. } => "batch norm".to_owned(),
            Op::Dropout { share } => format!("dropout {share}"),
            Op::Sample { .. } => "mean (drawn in training)".to_owned(),
            Op::Identity => String::new(),
        };
        let function = match self.activation {
            Activation::Linear => return operation,
            Activation::Relu => "relu",
            Activation::Sigmoid => "sigmoid",
            Activation::Tanh => "tanh",
        };
        if operation.is_empty() { function.to_owned() } else { format!("{operation}, {function}") }
    }
}

impl Plan {
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

    /// What the code is drawn with, where it is drawn: the last step of the encoder.
    pub(crate) fn divergence(&self) -> Option<f32> {
        match self.steps[self.cut - 1].op {
            Op::Sample { divergence } => Some(divergence),
            _ => None,
        }
    }

    /// How many numbers are learned.
    pub fn parameter_count(&self) -> usize {
        let learned = |own: &&Parameter| !matches!(own.kind, ParameterKind::Statistic { .. });
        self.parameters.iter().filter(learned).map(|parameter| parameter.range.len()).sum()
    }

    /// Whether a step normalises batches, so that the rows of a batch depend on one another in training.
    pub(crate) fn is_normalized(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.op, Op::BatchNorm { .. }))
    }

    /// Whether the loss takes the last step's result before its last function: sigmoid and BCE, softmax and
    /// cross-entropy are one formula, exact where the two apart would overflow.
    pub fn loss_takes_logits(&self) -> bool {
        matches!(self.loss, Loss::Bce | Loss::CrossEntropy)
    }

    /// Multiplications with additions that a row takes forward, by the direct algorithm.
    pub fn multiply_adds(&self) -> usize {
        self.steps.iter().map(Step::multiply_adds).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;
    use crate::recipe::Recipe;
    use crate::recipe::RecipeFile;

    fn plan(recipe: &str, shape: Shape) -> Result<Plan> {
        let Recipe::Autoencoder(recipe) = RecipeFile::parse("test", "test", recipe)?.recipe()? else {
            panic!("an autoencoder")
        };
        Plan::new(&recipe, shape)
    }

    #[test]
    fn deep_has_the_shapes_and_counts_of_the_book() {
        let Recipe::Autoencoder(recipe) = RecipeFile::open("deep").unwrap().recipe().unwrap() else {
            panic!()
        };
        let plan = Plan::new(&recipe, Shape::image(28, 28, 1)).unwrap();
        let widths: Vec<usize> = plan.steps.iter().map(|step| step.output.len()).collect();
        assert_eq!(widths, [128, 64, 32, 64, 128, 784]);
        assert_eq!((plan.cut, plan.code().len()), (3, 32));
        // (784 + 1) 128 + (128 + 1) 64 + (64 + 1) 32 + (32 + 1) 64 + (64 + 1) 128 + (128 + 1) 784: Keras' summary.
        assert_eq!(plan.parameter_count(), 222_384);
        assert_eq!(plan.output(), Shape::image(28, 28, 1));
        assert!(plan.parameters.iter().all(|parameter| parameter.range.start % build::ALIGNMENT == 0));
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
                    _ => "another",
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
