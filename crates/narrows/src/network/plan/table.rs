//! The layer table of a plan, as text for people.

use std::ops::Range;

use narrows_kernels::convolution::Kind;
use narrows_kernels::{Activation, Pointwise};

use super::{Op, Plan, Step};

/// A table of text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LayerTable {
    /// The title of each column.
    pub header: Vec<String>,
    /// The cells of each layer.
    pub rows: Vec<Vec<String>>,
}

impl Plan {
    /// The layer table: a header and one row for each layer.
    pub fn table(&self) -> LayerTable {
        let header = ["layer", "operation", "input", "output", "parameters"].map(str::to_owned).to_vec();
        let mut rows = Vec::new();
        for (index, noise) in self.noise.iter().enumerate() {
            let (name, shape) = (format!("noise.{}", index + 1), self.input.to_string());
            rows.push(vec![name, noise.kind.title(), shape.clone(), shape, "0".to_owned()]);
        }
        for (index, step) in self.steps.iter().enumerate() {
            let is_code = index + 1 == self.cut;
            let name = if is_code { format!("{} (code)", step.name) } else { step.name.clone() };
            rows.push(vec![
                name,
                step.operation(),
                step.input.to_string(),
                step.output.to_string(),
                step.parameter_count().to_string(),
            ]);
        }
        LayerTable { header, rows }
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
                    Kind::Plain { stride: 1 } => format!("conv {channels} ({kernel})"),
                    Kind::Plain { stride } => format!("conv {channels} ({kernel}, stride {stride})"),
                    Kind::Upsampled { factor } => format!("upsample {factor}, conv {channels} ({kernel})"),
                    Kind::Transposed { stride } => {
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
