//! The layers of a recipe that have no geometry of their own: dense, normalisation, pools, shapes, functions.

use narrows_kernels::{Activation, Pointwise};

use super::build::{Builder, LayerRef, checked};
use super::{Op, ParameterKind, Step, Target};
use crate::data::Shape;
use crate::error::Result;
use crate::recipe::{Function, Noise, Padding, Units};

/// The size of a code for rows of `width` numbers: a quarter of it, rounded.
fn narrow(width: usize) -> usize {
    ((width + 2) / 4).clamp(2, 32)
}

impl<'a> Builder<'a> {
    pub(super) fn noise(&mut self, place: &LayerRef<'_>, noise: Noise) -> Result<()> {
        if place.part != "encoder" || !self.plan.steps.is_empty() {
            return Err(place.error("noise goes before every other layer of the encoder"));
        }
        self.plan.noise.push(noise);
        Ok(())
    }

    pub(super) fn dense_of(&mut self, place: &LayerRef<'_>, units: Units, bias: bool) -> Result<()> {
        let units = match units {
            Units::Count(count) => count,
            Units::Wide => (2 * self.plan.input.len()).clamp(32, 512),
            Units::Narrow => narrow(self.plan.input.len()),
            Units::Flatten => self.flattened(place)?.len(),
            Units::Input | Units::Tied => self.plan.input.len(),
        };
        self.dense(place, units, bias)
    }

    fn dense(&mut self, place: &LayerRef<'_>, units: usize, bias: bool) -> Result<()> {
        let (fan_in, fan_out) = (self.plan.output().len(), units);
        // An output with the length of a row gets the row's shape, so that pictures can be made of it; the output of a
        // classifier is no row.
        let is_probabilities = self.plan.target != Target::Row && place.part == "decoder";
        let row = self.plan.input;
        let output = if units == row.len() && !is_probabilities { row } else { Shape::flat(units) };
        self.bridge(place.part, false);
        let kind = ParameterKind::Weights { fan_in, fan_out };
        let (weights, bias) = self.parameters(place, vec![fan_in, fan_out], kind, bias)?;
        self.push_step(place.part, Op::Dense { weights, bias, tied: false }, output);
        self.is_image = output.is_image();
        self.mirrored(place);
        Ok(())
    }

    /// A dense layer that gives means and logarithms of variances, and a code drawn from them.
    pub(super) fn variational(&mut self, place: &LayerRef<'_>, units: usize, divergence: f32) -> Result<()> {
        if place.part != "encoder" || !place.is_last {
            return Err(place.error("a variational code is the last layer of the encoder"));
        }
        self.dense(place, units.saturating_mul(2), true)?;
        // A vector, even where it happens to have the length of a row.
        self.plan.steps.last_mut().expect("just pushed").output = Shape::flat(2 * units);
        self.push(place.part, Op::Sample { divergence }, Shape::flat(units));
        self.is_image = false;
        Ok(())
    }

    pub(super) fn batch_norm(&mut self, place: LayerRef<'a>) -> Result<()> {
        let input = self.plan.output();
        let name = self.next_name(place.part);
        let mut columns = |what: &str, kind| {
            let range = self.parameter(format!("{name}.{what}"), vec![input.len()], kind);
            range.ok_or_else(|| place.error(format!("{} columns are too many", input.len())))
        };
        let op = Op::BatchNorm {
            scale: columns("scale", ParameterKind::Scale)?,
            shift: columns("shift", ParameterKind::Bias)?,
            mean: columns("mean", ParameterKind::Statistic { start: 0.0 })?,
            variance: columns("variance", ParameterKind::Statistic { start: 1.0 })?,
        };
        self.push_step(place.part, op, input);
        self.normalized.push((self.plan.steps.len() - 1, place));
        Ok(())
    }

    pub(super) fn pool(&mut self, place: &LayerRef<'_>, op: Op, size: usize, padding: Padding) -> Result<()> {
        self.needs_image(place)?;
        let input = self.plan.output();
        let axis = |len: usize| if padding == Padding::None { len / size } else { len.div_ceil(size) };
        let (height, width) = (axis(input.height), axis(input.width));
        if height == 0 || width == 0 {
            return Err(place
                .error(format!("no square of {size} fits into an image of {input}"))
                .hint("a smaller square, or padding = \"same\""));
        }
        self.push(place.part, op, Shape::image(height, width, input.channels));
        Ok(())
    }

    pub(super) fn upsample(&mut self, place: &LayerRef<'_>, factor: usize) -> Result<()> {
        self.needs_image(place)?;
        let input = self.plan.output();
        self.growth = self.growth.saturating_mul(factor);
        let (height, width) = (input.height.checked_mul(factor), input.width.checked_mul(factor));
        let output = checked(height, width, input.channels)
            .ok_or_else(|| place.error(format!("an image of {input} becomes too large")))?;
        self.push(place.part, Op::Upsample { factor }, output);
        Ok(())
    }

    pub(super) fn reshape_to(
        &mut self,
        place: &LayerRef<'_>,
        [height, width, channels]: [usize; 3],
    ) -> Result<()> {
        let input = self.plan.output();
        let output = checked(Some(height), Some(width), channels).filter(|shape| shape.len() == input.len());
        let output = output.ok_or_else(|| {
            place.error(format!(
                "{input} has {} numbers, {height}x{width}x{channels} has another number",
                input.len()
            ))
        })?;
        self.reshape(place.part, output, true);
        Ok(())
    }

    pub(super) fn flatten(&mut self, part: &str) {
        let input = self.plan.output();
        self.flattened = Some(input);
        self.reshape(part, Shape::flat(input.len()), false);
    }

    pub(super) fn unflatten(&mut self, place: &LayerRef<'_>) -> Result<()> {
        let (input, output) = (self.plan.output(), self.flattened(place)?);
        if output.len() != input.len() {
            return Err(place
                .error(format!("{output} was flattened, {} numbers come in", input.len()))
                .hint("put { dense = \"flatten\" } before it"));
        }
        self.reshape(place.part, output, true);
        Ok(())
    }

    fn flattened(&self, place: &LayerRef<'_>) -> Result<Shape> {
        self.flattened.ok_or_else(|| place.error("there is no \"flatten\" before it"))
    }

    fn reshape(&mut self, part: &str, output: Shape, is_image: bool) {
        self.is_image = is_image;
        self.push(part, Op::Reshape, output);
    }

    pub(super) fn function(&mut self, part: &str, function: Function) {
        let input = self.plan.output();
        let activation = match function {
            Function::Softmax => return self.push(part, Op::Softmax, input),
            Function::Relu => Activation::Relu,
            Function::Sigmoid => Activation::Sigmoid,
            Function::Tanh => Activation::Tanh,
            Function::Linear => return,
            Function::LeakyRelu => return self.push(part, Op::Function(Pointwise::LeakyRelu), input),
            Function::Elu => return self.push(part, Op::Function(Pointwise::Elu), input),
            Function::Gelu => return self.push(part, Op::Function(Pointwise::Gelu), input),
            Function::Silu => return self.push(part, Op::Function(Pointwise::Silu), input),
            Function::Softplus => return self.push(part, Op::Function(Pointwise::Softplus), input),
        };
        // An activation joins the step before it, unless that belongs to the other side of the cut, has one already, or is
        // no weighted sum.
        let joins = |step: &&mut Step| {
            let is_sum = step.op.parameters().is_some() || matches!(step.op, Op::BatchNorm { .. });
            step.activation == Activation::Linear && is_sum
        };
        if let Some(before) = self.plan.steps[self.first..].last_mut().filter(joins) {
            before.activation = activation;
            return;
        }
        self.push(part, Op::Identity, input);
        let last = self.plan.steps.last_mut().expect("just pushed");
        last.activation = activation;
    }
}
