//! A [`Plan`]: a network compiled for rows of a known shape.
//!
//! A recipe lists layers; a plan has every shape, every parameter and its range in one flat buffer. A network is a chain, so
//! the plan is a list of steps with a cut in it: the steps left of the cut encode, those right of it decode. There is no
//! graph and no automatic differentiation; backward is the same list in reverse.
//!
//! A new kind of layer is a new `Op`: its shape in `build`, its line in `table`, its arithmetic in the engine; the compiler
//! lists the places. `fold_batch_norm` takes normalisation out when training ends, `tied` shares weights between the two
//! sides. Everything above this room may read a plan; only this folder makes one.

mod build;
mod checks;
mod convolution;
mod fold_batch_norm;
mod layers;
mod table;
mod tied;

pub(crate) use build::image;
pub(crate) use checks::passes_on;
pub use table::{LayerRow, LayerTable};

use std::ops::Range;

use narrows_kernels::conv::Geometry;
use narrows_kernels::loss::{ColumnKind, MixedRow};
use narrows_kernels::{Activation, Pointwise};

use crate::data::{ColumnError, EncodedColumn, Shape};
use crate::recipe::{Loss, Noise, Sparsity, Weights};

/// Added to the variances that batch normalisation divides by.
pub(crate) const EPSILON: f32 = 1e-5;

/// A network with the shape of every value and the range of every parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The shape of a row.
    pub(crate) input: Shape,
    /// The noise added to rows before the first step, in training and in evaluation; the target is the clean row.
    pub(crate) noise: Vec<Noise>,
    /// In training on rows with gaps, the numbers that the input has in their place (d): the means of the training rows. The
    /// loss leaves out what is missing. Not part of a model, which has the means anyway.
    pub(crate) fill: Option<Vec<f32>>,
    /// The columns of the table that a row encodes, in their order; empty where each number is a column, and for losses that make
    /// no difference between columns.
    pub(crate) columns: Vec<EncodedColumn>,
    /// The chain of operations.
    pub(crate) steps: Vec<Step>,
    /// The number of steps that encode.
    pub(crate) cut: usize,
    /// The named parts of the flat parameter buffer.
    pub(crate) parameters: Vec<Parameter>,
    /// Numbers of the parameter buffer, gaps between the parts included.
    pub(crate) buffer_len: usize,
    /// The target of the last step.
    pub(crate) target: Target,
    /// The loss that training minimises.
    pub(crate) loss: Loss,
    /// The penalty on an active code.
    pub(crate) sparsity: Option<Sparsity>,
    /// The initialisation of the weights, and the penalties on them.
    pub(crate) weights: Weights,
}

/// The target of a network's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// The row itself, without its noise.
    Row,
    /// A probability for each of so many classes: 1 for the row's own, 0 for the others.
    Classes(usize),
}

/// One operation of the chain.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    /// `encoder.1`, `decoder.2`: the part, and the number in it from 1.
    pub(crate) name: String,
    /// The operation.
    pub(crate) op: Op,
    /// Applied to each output of the operation, in the same pass.
    pub(crate) activation: Activation,
    /// The shape of an input row.
    pub(crate) input: Shape,
    /// The shape of an output row.
    pub(crate) output: Shape,
}

/// The operation of a step, before its activation.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub(crate) enum Op {
    /// y = x W + b: W is inputs x outputs, row after row; b has one number per output.
    Dense {
        /// The range of W.
        weights: Range<usize>,
        /// The range of b.
        bias: Option<Range<usize>>,
        /// Whether W is that of the layer opposite: the range holds outputs x inputs, and y = x W' + b.
        tied: bool,
    },
    /// Every pixel a weighted sum of the pixels around; channel last.
    Convolution {
        /// Which inputs each output is connected to: plain, transposed, or of an image upsampled just before.
        geometry: Geometry,
        /// The range of the weights: kernel height x kernel width x input channels x output channels.
        weights: Range<usize>,
        /// The range of the bias: one number per output channel.
        bias: Option<Range<usize>>,
        /// Whether the weights are those of the layer opposite, with input and output channels exchanged.
        tied: bool,
    },
    /// The maximum of each square of pixels.
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
        /// The number of repetitions along each side.
        factor: usize,
    },
    /// y = x under another shape, and between layers on images and layers on vectors.
    Reshape,
    /// y = x; for an activation that follows no operation.
    Identity,
    /// y = e^x / sum e^x over the row.
    Softmax,
    /// y = scale (x - m) / sqrt(v + epsilon) + shift for each column: in training m and v are mean and variance over the rows
    /// of the batch, otherwise the running ones. Exists in training only: see `Plan::folded`.
    BatchNorm {
        /// The range of the scales: one number for each column, like all the others.
        scale: Range<usize>,
        /// The range of the shifts.
        shift: Range<usize>,
        /// The range of the running means.
        mean: Range<usize>,
        /// The range of the running variances.
        variance: Range<usize>,
    },
    /// A function of each number whose derivative needs the input.
    Function(Pointwise),
    /// In training a fraction of the numbers set to 0, the others divided by the rest; y = x otherwise.
    Dropout {
        /// The fraction that is dropped.
        share: f32,
    },
    /// From k means and k logarithms of variances to a code of k numbers: drawn in training, the means otherwise.
    Sample {
        /// Weight of the KL divergence from the standard normal distribution in the loss of a row (beta in a beta-VAE), which
        /// is summed over the row's numbers.
        divergence: f32,
    },
}

/// A named part of the parameter buffer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parameter {
    /// `encoder.1.weights`
    pub(crate) name: String,
    /// Its range in the buffer.
    pub(crate) range: Range<usize>,
    /// Its shape, row-major: (inputs, outputs) for dense weights, (height, width, inputs, outputs) for a kernel, (outputs)
    /// for a bias.
    pub(crate) shape: Vec<usize>,
    /// Its kind, for initialisers and optimizers.
    pub(crate) kind: ParameterKind,
}

/// The kind of a parameter, for initialisers and optimizers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum ParameterKind {
    /// Weights between `fan_in` inputs and `fan_out` outputs of a unit.
    Weights {
        /// Inputs of an output.
        fan_in: usize,
        /// Outputs of an input.
        fan_out: usize,
    },
    /// Added numbers; start at 0, do not decay.
    Bias,
    /// Factors of whole columns; start at 1, do not decay.
    Scale,
    /// Running statistics of the training batches: they lie beside the learned parameters so that they are kept with them.
    Statistic {
        /// Their value before the first batch.
        start: f32,
    },
}

impl ParameterKind {
    /// Whether they are weights: initialised at random, subject to penalties and limits.
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

    /// The ranges of its weights and its bias.
    pub(crate) fn parameters(&self) -> Option<(&Range<usize>, Option<&Range<usize>>)> {
        match self {
            Self::Dense { weights, bias, .. } | Self::Convolution { weights, bias, .. } => {
                Some((weights, bias.as_ref()))
            }
            Self::MaxPool { .. }
            | Self::AveragePool { .. }
            | Self::Upsample { .. }
            | Self::Reshape
            | Self::Identity
            | Self::Softmax
            | Self::Function(_)
            | Self::BatchNorm { .. }
            | Self::Dropout { .. }
            | Self::Sample { .. } => None,
        }
    }

    /// The range of its running variances, if it has any.
    pub(crate) fn variance(&self) -> Option<&Range<usize>> {
        if let Self::BatchNorm { variance, .. } = self { Some(variance) } else { None }
    }

    /// Whether its weights are those of the layer opposite.
    pub(crate) fn is_tied(&self) -> bool {
        matches!(self, Self::Dense { tied: true, .. } | Self::Convolution { tied: true, .. })
    }
}

impl Step {
    /// Multiply-adds for a row, by the direct algorithm.
    pub fn multiply_adds(&self) -> usize {
        match &self.op {
            Op::Dense { weights, .. } => weights.len(),
            Op::Convolution { geometry, .. } => geometry.multiply_adds(),
            Op::MaxPool { .. }
            | Op::AveragePool { .. }
            | Op::Upsample { .. }
            | Op::Reshape
            | Op::Identity
            | Op::Softmax
            | Op::Function(_)
            | Op::BatchNorm { .. }
            | Op::Dropout { .. }
            | Op::Sample { .. } => 0,
        }
    }
}

impl Plan {
    /// The shape of the output.
    pub fn output(&self) -> Shape {
        self.steps.last().map_or(self.input, |step| step.output)
    }

    /// The shape of a code.
    pub fn code(&self) -> Shape {
        self.steps[self.cut - 1].output
    }

    /// The length of the longest row between two steps, input and output included.
    pub fn widest(&self) -> usize {
        self.steps.iter().map(|step| step.input.len().max(step.output.len())).max().unwrap_or(0)
    }

    /// The weight of the KL divergence of a variational code, which the last step of the encoder draws.
    pub(crate) fn divergence(&self) -> Option<f32> {
        if let Op::Sample { divergence } = self.steps[self.cut - 1].op { Some(divergence) } else { None }
    }

    /// The number of learned parameters.
    pub fn parameter_count(&self) -> usize {
        let is_learned = |parameter: &&Parameter| !matches!(parameter.kind, ParameterKind::Statistic { .. });
        self.parameters.iter().filter(is_learned).map(|parameter| parameter.range.len()).sum()
    }

    /// Whether a step normalises batches, so that the rows of a batch depend on one another in training.
    pub(crate) fn is_normalized(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.op, Op::BatchNorm { .. }))
    }

    /// Whether the loss takes the logits, before the last step's function: sigmoid and BCE, softmax and cross-entropy are
    /// one formula, exact where the two apart would overflow.
    pub fn loss_takes_logits(&self) -> bool {
        match self.loss {
            Loss::Bce | Loss::CrossEntropy | Loss::Mixed => true,
            Loss::Mse | Loss::Mae | Loss::Huber => false,
        }
    }

    /// The columns of a row as the mixed loss takes them.
    pub(crate) fn mixed_row(&self) -> MixedRow {
        let mut row = MixedRow::default();
        for column in &self.columns {
            row.push(kind(column.error), column.range.len(), column.weight as f32);
        }
        if self.columns.is_empty() {
            (0..self.input.len()).for_each(|_| row.push(ColumnKind::Squared, 1, 1.0));
        }
        row
    }

    /// Multiply-adds of a forward pass for a row, by the direct algorithm.
    pub fn multiply_adds(&self) -> usize {
        self.steps.iter().map(Step::multiply_adds).fold(0, usize::saturating_add)
    }
}

fn kind(error: ColumnError) -> ColumnKind {
    match error {
        ColumnError::Squared => ColumnKind::Squared,
        ColumnError::Binary => ColumnKind::Binary,
        ColumnError::Categorical => ColumnKind::Categorical,
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
    fn columns_make_up_a_row_or_are_refused() {
        use ColumnError::*;
        let text = "method='autoencoder'\nloss='mixed'\nencoder=[{dense='wide'}, {dense='narrow'}]\ndecoder=[{dense='input'}]";
        let Recipe::Autoencoder(recipe) = RecipeFile::parse("t", "t", text).unwrap().recipe().unwrap() else {
            panic!()
        };
        let with = |columns: &[(Range<usize>, ColumnError, f64)]| {
            let column = |(range, error, weight): &(Range<usize>, ColumnError, f64)| EncodedColumn {
                range: range.clone(),
                error: *error,
                weight: *weight,
            };
            Plan::with_columns(&recipe, Shape::flat(6), &columns.iter().map(column).collect::<Vec<_>>())
        };
        let found = with(&[(0..1, Squared, 1.0), (1..2, Binary, 2.0), (2..6, Categorical, 0.5)]).unwrap();
        let widths: Vec<usize> = found.steps.iter().map(|step| step.output.len()).collect();
        assert_eq!((found.columns.len(), &widths[..]), (3, &[32, 2, 6][..]));
        for (columns, part) in [
            (vec![(0..1, Squared, 1.0), (2..6, Categorical, 1.0)], "column 2"),
            (vec![(0..4, Categorical, 1.0), (3..6, Categorical, 1.0)], "column 2"),
            (vec![(0..5, Categorical, 1.0)], "5 numbers of an encoded row of 6"),
            (vec![(0..9, Categorical, 1.0)], "column 1"),
            (vec![(0..2, Binary, 1.0), (2..6, Categorical, 1.0)], "yes or no is one number"),
            (vec![(0..6, Squared, f64::NAN)], "NaN is not a weight"),
        ] {
            let error = with(&columns).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        // Other losses make no difference between columns, and the mixed loss wants nothing after the last weighted sums.
        let ends = |end: &str| text.replace("{dense='input'}", &format!("{{dense='input'}}, '{end}'"));
        assert!(plan(&ends("linear"), Shape::flat(6)).unwrap().columns.is_empty());
        let error = plan(&ends("sigmoid"), Shape::flat(6)).unwrap_err().to_string();
        assert!(error.contains("mixed needs a decoder that ends in no function"), "{error}");
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
