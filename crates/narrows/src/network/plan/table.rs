//! The layer table of a plan.

use serde::Serialize;

use super::{Op, Plan};
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
        let steps = (1..).zip(&self.steps).map(|(number, step)| {
            let parameters = match (&step.op, step.op.parameters()) {
                (_, Some((weights, bias))) => {
                    let own = if step.op.is_tied() { 0 } else { weights.len() };
                    own + bias.map_or(0, ExactSizeIterator::len)
                }
                (Op::BatchNorm { scale, shift, .. }, None) => scale.len() + shift.len(),
                (_, None) => 0,
            };
            LayerRow {
                name: step.name.clone(),
                is_code: number == self.cut,
                operation: step.operation(),
                input: step.input,
                output: step.output,
                parameters,
            }
        });
        LayerTable { rows: noise.chain(steps).collect() }
    }
}
