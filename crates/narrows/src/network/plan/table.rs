//! The layer table of a plan.

use std::ops::Range;

use narrows_kernels::conv::ConvolutionKind;
use narrows_kernels::{Activation, Pointwise};
use serde::Serialize;

use super::{Op, Plan, Step};
use crate::data::Shape;

/// The layers of a network, or the steps of a PCA, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct LayerTable {
    /// One row for each layer.
    pub rows: Vec<LayerRow>,
}

/// A layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayerRow {
    /// Its name: `encoder.1`.
    pub name: String,
    /// Whether its output is the code.
    pub is_code: bool,
    /// What it does: `dense 128, relu`.
    pub operation: String,
    /// The shape of its input.
    #[serde(serialize_with = "sides")]
    pub input: Shape,
    /// The shape of its output.
    #[serde(serialize_with = "sides")]
    pub output: Shape,
    /// Parameters of its own: shared weights count with the layer that has them.
    pub parameters: usize,
}

/// A shape as a list of its sides: height, width, channels.
fn sides<S: serde::Serializer>(shape: &Shape, serializer: S) -> Result<S::Ok, S::Error> {
    [shape.height, shape.width, shape.channels].serialize(serializer)
}

impl LayerTable {
    /// The names of the columns of [`LayerRow::cells`].
    pub const HEADER: [&'static str; 5] = ["layer", "operation", "input", "output", "parameters"];
}

impl LayerRow {
    /// The row as text: name, operation, input, output, parameters.
    pub fn cells(&self) -> [String; 5] {
        let name = if self.is_code { format!("{} (code)", self.name) } else { self.name.clone() };
        [
            name,
            self.operation.clone(),
            self.input.to_string(),
            self.output.to_string(),
            self.parameters.to_string(),
        ]
    }
}

impl Plan {
    /// The layers with their shapes and parameters; noise on the rows stands before them.
    pub fn table(&self) -> LayerTable {
        let noise = (1..).zip(&self.noise).map(|(number, noise)| LayerRow {
            name: format!("noise.{number}"),
            is_code: false,
            operation: noise.kind.title(),
            input: self.input,
            output: self.input,
            parameters: 0,
        });
        let steps = (1..).zip(&self.steps).map(|(number, step)| LayerRow {
            name: step.name.clone(),
            is_code: number == self.cut,
            operation: step.operation(),
            input: step.input,
            output: step.output,
            parameters: step.parameter_count(),
        });
        LayerTable { rows: noise.chain(steps).collect() }
    }
}

impl Step {
    /// Learned parameters of the step. Tied weights count for the layer that has them.
    fn parameter_count(&self) -> usize {
        if let Op::BatchNorm { scale, shift, .. } = &self.op {
            return scale.len() + shift.len();
        }
        let Some((weights, bias)) = self.op.parameters() else { return 0 };
        let weights = if self.op.is_tied() { 0 } else { weights.len() };
        weights + bias.map_or(0, Range::len)
    }

    /// The operation in a few words.
    pub(super) fn operation(&self) -> String {
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
