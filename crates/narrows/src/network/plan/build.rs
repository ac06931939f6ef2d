//! From a recipe and the shape of a row to a [`Plan`]: shapes from layer to layer, padding and cropping, places of parameters.
//!
//! The output must have the height, width and channels of the input, whatever they are. Pools round up, so what is made
//! larger again may be a few rows too large: the last layer then computes only what is wanted. A layer with padding
//! "auto" gets zeros around or nothing, for each axis alone, whichever lets the network end nearest to the input's size.

use std::ops::Range;

use narrows_kernels::conv::{ConvolutionKind, Geometry};
use narrows_kernels::{Activation, Image, Pointwise};

use super::{Op, Parameter, ParameterKind, Plan, Step, Target};
use crate::data::Shape;
use crate::error::{Error, Result};
use crate::recipe::{
    AutoencoderRecipe, ClassifierRecipe, Function, Init, Layer, Loss, Padding, Sparsity, Units, Weights,
};

/// Parameters begin at multiples of this many numbers: one cache line.
pub(super) const ALIGNMENT: usize = 16;

/// Layers with padding "auto" for which all choices are tried; there are four for each.
const MOST_CHOICES: u32 = 5;

impl Plan {
    /// Compiles a network for rows of a shape. Refuses what cannot work, naming the layer.
    pub fn new(recipe: &AutoencoderRecipe, input: Shape) -> Result<Self> {
        Self::compile(
            &Network {
                encoder: &recipe.encoder,
                decoder: &recipe.decoder,
                target: Target::Row,
                loss: recipe.loss,
                sparsity: recipe.sparsity,
                weights: recipe.weights,
            },
            input,
        )
    }

    /// Compiles a classifier for rows of a shape, of so many classes. Its code is what the softmax layer tells classes by.
    pub fn classifier(recipe: &ClassifierRecipe, input: Shape, classes: usize) -> Result<Self> {
        let units = Units::Count(classes);
        Self::compile(
            &Network {
                encoder: &recipe.encoder,
                decoder: &[Layer::Dense { units, bias: true }, Layer::Function(Function::Softmax)],
                target: Target::Classes(classes),
                loss: Loss::CrossEntropy,
                sparsity: None,
                weights: recipe.weights,
            },
            input,
        )
    }

    fn compile(recipe: &Network<'_>, input: Shape) -> Result<Self> {
        let is_open = |layer: &&Layer| matches!(layer, Layer::Convolution { padding: Padding::Auto, .. });
        let open = recipe.encoder.iter().chain(recipe.decoder).filter(is_open).count();
        let choices = 4usize.pow((open as u32).min(MOST_CHOICES));
        let (mut best, mut refused) = (None, None);
        for choice in 0..choices {
            match Builder::new(recipe, input, choice).build(recipe) {
                Ok((plan, excess)) => {
                    if best.as_ref().is_none_or(|(_, least)| excess < *least) {
                        best = Some((plan, excess));
                    }
                }
                // The first choice is padding everywhere: what cannot work with it has the plainest reason.
                Err(error) => {
                    refused.get_or_insert(error);
                }
            }
        }
        best.map(|(plan, _)| plan).ok_or_else(|| refused.expect("a plan or an error from each choice"))
    }
}

/// The layers of a network and what is asked of them, whichever method they are of.
struct Network<'a> {
    encoder: &'a [Layer],
    decoder: &'a [Layer],
    target: Target,
    loss: Loss,
    sparsity: Option<Sparsity>,
    weights: Weights,
}

pub(super) struct Builder<'a> {
    pub(super) plan: Plan,
    /// Whether the numbers so far make an image.
    pub(super) image: bool,
    /// What the last "flatten" took.
    flattened: Option<Shape>,
    /// For each layer with padding "auto": bit 0 no zeros above and below, bit 1 none before and behind.
    choice: usize,
    /// The steps of the part that is being added begin here.
    first: usize,
    /// By how much the layers of the decoder make images larger.
    pub(super) growth: usize,
    /// The steps that normalise batches, and where they stand in the recipe.
    pub(super) normalized: Vec<(usize, Place<'a>)>,
    /// The encoder's steps with weights that no layer of the decoder has mirrored yet.
    pub(super) unmirrored: Vec<usize>,
}

/// The layer that an error is about.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub part: &'a str,
    pub index: usize,
}

impl Place<'_> {
    pub(super) fn error(&self, message: impl std::fmt::Display) -> Error {
        Error::recipe(format!("{}[{}]: {message}", self.part, self.index))
    }
}

impl<'a> Builder<'a> {
    fn new(recipe: &Network<'_>, input: Shape, choice: usize) -> Self {
        let plan = Plan {
            input,
            noise: Vec::new(),
            steps: Vec::new(),
            cut: 0,
            parameters: Vec::new(),
            buffer_len: 0,
            target: recipe.target,
            loss: recipe.loss,
            sparsity: recipe.sparsity,
            weights: recipe.weights,
        };
        let image = input.is_image();
        Self {
            plan,
            image,
            flattened: None,
            choice,
            first: 0,
            growth: 1,
            normalized: Vec::new(),
            unmirrored: Vec::new(),
        }
    }

    /// The plan, and how many rows and columns its last layer leaves out.
    fn build(mut self, recipe: &Network<'_>) -> Result<(Plan, usize)> {
        self.add("encoder", recipe.encoder)?;
        if self.plan.steps.is_empty() && recipe.target != Target::Row {
            // Softmax regression: the rows are the features.
            self.push("encoder", Op::Identity, self.plan.input);
        }
        self.plan.cut = self.plan.steps.len();
        self.first = self.plan.cut;
        self.growth = 1;
        let has_weights = |&step: &usize| self.plan.steps[step].op.parameters().is_some();
        self.unmirrored = (0..self.plan.cut).filter(has_weights).collect();
        self.add("decoder", recipe.decoder)?;
        if self.plan.cut == 0 || self.plan.cut == self.plan.steps.len() {
            return Err(Error::recipe("encoder and decoder must each have at least one layer"));
        }
        // Its gradient takes the place of what it reads.
        if recipe.sparsity.is_some() && matches!(self.plan.steps[self.plan.cut].op, Op::MaxPool { .. }) {
            return Err(Error::recipe(
                "sparsity: the decoder begins with a pool, which leaves no code to look at",
            ));
        }
        if recipe.sparsity.is_some_and(|sparsity| sparsity.kl.is_some()) && self.plan.code().is_image() {
            return Err(Error::recipe("sparsity.kl: the code is an image").hint("put \"flatten\" after it"));
        }
        self.check_start()?;
        self.check_normalized()?;
        let last = &self.plan.steps[self.plan.steps.len() - 1];
        if matches!(last.op, Op::Dropout { .. }) {
            return Err(Error::recipe("decoder: nothing may be dropped of what comes out"));
        }
        if last.op == Op::Softmax && recipe.loss != Loss::CrossEntropy {
            return Err(Error::recipe("decoder: a softmax at the end needs loss = \"cross_entropy\""));
        }
        let excess = match recipe.target {
            Target::Row => self.crop()?,
            Target::Classes(_) => 0,
        };
        Ok((self.plan, excess))
    }

    /// A closed form there is for one dense layer on each side, without functions, both with biases or both without.
    fn check_start(&self) -> Result<()> {
        if self.plan.weights.init != Init::ClosedForm {
            return Ok(());
        }
        let is_linear = |step: &Step| step.activation == Activation::Linear;
        match &self.plan.steps[..] {
            [encoder, decoder] if is_linear(encoder) && is_linear(decoder) && self.plan.loss == Loss::Mse => {
                match (&encoder.op, &decoder.op) {
                    (Op::Dense { bias: first, .. }, Op::Dense { bias: second, .. })
                        if first.is_some() == second.is_some() =>
                    {
                        let (k, d) = (encoder.output.len(), encoder.input.len());
                        if k <= d {
                            return Ok(());
                        }
                        return Err(Error::recipe(format!(
                            "weights.init: a closed form with {k} code units needs rows of at least {k} numbers, not {d}"
                        ))
                        .hint("a smaller `code_size`"));
                    }
                    (Op::Dense { .. }, Op::Dense { .. }) => {
                        return Err(Error::recipe(
                            "weights.init: closed_form needs biases in both layers (the PCA), or in neither",
                        ));
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        Err(Error::recipe("weights.init: closed_form is for linear networks: one dense layer on each side, no functions, loss = \"mse\"")
            .hint("or weights.init = \"auto\""))
    }

    /// Makes the output the shape of the input, or says why it cannot be.
    fn crop(&mut self) -> Result<usize> {
        let (input, growth) = (self.plan.input, self.growth);
        let index = self.plan.steps.len() - 1;
        let last = &mut self.plan.steps[index];
        let output = last.output;
        if !last.op.is_on_images() {
            if output.len() != input.len() {
                return Err(Error::recipe(format!(
                    "decoder: {} gives {output} numbers, the input has {}",
                    last.name,
                    input.len()
                ))
                .hint("end it with { dense = \"input\" }"));
            }
            return Ok(0);
        }
        let wrong = |hint: &str| {
            let error = Error::recipe(format!("decoder: {} gives {output}, the input is {input}", last.name));
            Err(error.hint(hint.to_owned()))
        };
        if !input.is_image() {
            return wrong("put \"flatten\" before its last function");
        }
        if output.channels != input.channels {
            return wrong("end it with { conv = \"input\" }");
        }
        if output.height < input.height || output.width < input.width {
            return wrong("give a conv of the decoder padding = \"auto\" or \"same\", or upsample more");
        }
        let excess = (output.height - input.height).max(output.width - input.width);
        if excess == 0 {
            return Ok(0);
        }
        // More than rounding up explains is not left out silently.
        if excess >= growth {
            return wrong("upsample less, or pool more");
        }
        match &mut last.op {
            Op::Convolution { geometry, .. } => geometry.output = image(input),
            // Every pixel that is repeated must be seen.
            Op::Upsample { factor } if excess < *factor => {}
            _ => {
                return wrong("end it with a conv, which can leave out the last rows and columns");
            }
        }
        last.output = input;
        Ok((output.height - input.height) + (output.width - input.width))
    }

    fn add(&mut self, part: &'a str, layers: &[Layer]) -> Result<()> {
        for (index, layer) in layers.iter().enumerate() {
            let place = Place { part, index };
            let input = self.plan.output();
            match *layer {
                Layer::Noise(noise) => {
                    if part != "encoder" || !self.plan.steps.is_empty() {
                        return Err(place.error("noise goes before every other layer of the encoder"));
                    }
                    self.plan.noise.push(noise);
                }
                Layer::Dense { units: Units::Tied, bias } => self.tied_dense(&place, bias)?,
                Layer::Dense { units, bias } => {
                    let units = match units {
                        Units::Count(count) => count,
                        Units::Flatten => self.flattened(&place)?.len(),
                        Units::Input | Units::Tied => self.plan.input.len(),
                    };
                    self.dense(&place, units, bias)?;
                }
                Layer::Dropout { share } => {
                    self.push(part, Op::Dropout { share }, input);
                }
                Layer::Variational { units, beta } => {
                    if part != "encoder" || index + 1 != layers.len() {
                        return Err(place.error("a variational code is the last layer of the encoder"));
                    }
                    self.dense(&place, units.saturating_mul(2), true)?;
                    // Also where it has the length of a row it is none.
                    let moments = Shape::flat(2 * units);
                    self.plan.steps.last_mut().expect("just pushed").output = moments;
                    self.push(part, Op::Sample { divergence: beta }, Shape::flat(units));
                    self.image = false;
                }
                Layer::TransposedConvolution { channels: Units::Tied, bias, .. } => {
                    self.tied_convolution(&place, bias)?;
                }
                Layer::Convolution { channels, kernel, stride, padding, bias } => {
                    let padding = match padding {
                        Padding::Auto => {
                            let choice = self.choice & 3;
                            self.choice >>= 2;
                            [choice & 1 == 0, choice & 2 == 0]
                        }
                        padding => [padding == Padding::Same; 2],
                    };
                    self.convolution(&place, channels, kernel, stride, padding, bias)?;
                }
                Layer::TransposedConvolution { channels, kernel, stride, padding, bias } => {
                    // Without padding the kernel reaches past the last pixel.
                    let over = if padding == Padding::None {
                        kernel[0].max(kernel[1]).saturating_sub(stride)
                    } else {
                        0
                    };
                    self.growth = self.growth.saturating_mul(stride).saturating_add(over);
                    let axis = |size: usize, kernel: usize| {
                        let over = kernel.saturating_sub(stride);
                        let same = padding == Padding::Same;
                        let output = size.checked_mul(stride)?.checked_add(if same { 0 } else { over })?;
                        Some((if same { over / 2 } else { 0 }, output))
                    };
                    let large = || place.error(format!("an image of {input} becomes too large"));
                    let (top, height) = axis(input.height, kernel[0]).ok_or_else(large)?;
                    let (left, width) = axis(input.width, kernel[1]).ok_or_else(large)?;
                    let kind = ConvolutionKind::Transposed { stride };
                    self.weighted_sums(&place, kind, kernel, (top, left), (height, width), channels, bias)?;
                }
                Layer::MaxPool { size, padding } => {
                    let output = self.pooled(&place, size, padding)?;
                    self.push(part, Op::MaxPool { size }, output);
                }
                Layer::AveragePool { size, padding } => {
                    let output = self.pooled(&place, size, padding)?;
                    self.push(part, Op::AveragePool { size }, output);
                }
                Layer::Upsample { factor } => {
                    self.needs_image(&place)?;
                    self.growth = self.growth.saturating_mul(factor);
                    let output = checked(
                        input.height.checked_mul(factor),
                        input.width.checked_mul(factor),
                        input.channels,
                    )
                    .ok_or_else(|| place.error(format!("an image of {input} becomes too large")))?;
                    self.push(part, Op::Upsample { factor }, output);
                }
                Layer::Reshape { shape: [height, width, channels] } => {
                    let output = checked(Some(height), Some(width), channels)
                        .filter(|shape| shape.len() == input.len())
                        .ok_or_else(|| {
                            place.error(format!(
                                "{input} has {} numbers, {height}x{width}x{channels} has another number",
                                input.len()
                            ))
                        })?;
                    self.reshape(part, output, true);
                }
                Layer::Flatten => {
                    self.flattened = Some(input);
                    self.reshape(part, Shape::flat(input.len()), false);
                }
                Layer::Unflatten => {
                    let output = self.flattened(&place)?;
                    if output.len() != input.len() {
                        return Err(place
                            .error(format!("{output} was flattened, {} numbers come in", input.len()))
                            .hint("put { dense = \"flatten\" } before it"));
                    }
                    self.reshape(part, output, true);
                }
                Layer::BatchNorm => self.batch_norm(place)?,
                Layer::Function(function) => self.function(part, function),
            }
        }
        Ok(())
    }

    fn flattened(&self, place: &Place<'_>) -> Result<Shape> {
        self.flattened.ok_or_else(|| place.error("there is no \"flatten\" before it"))
    }

    pub(super) fn needs_image(&self, place: &Place<'_>) -> Result<()> {
        if self.image {
            return Ok(());
        }
        let shape = self.plan.output();
        Err(place
            .error(format!("works on images, and what comes in is a vector of {} numbers", shape.len()))
            .hint("give the `shape` of a row as an image (HEIGHTxWIDTHxCHANNELS, two rows of pixels at least), or put { reshape = [height, width, channels] } before it"))
    }

    fn reshape(&mut self, part: &str, output: Shape, image: bool) {
        self.image = image;
        self.push(part, Op::Reshape, output);
    }

    /// Adds a step without an activation.
    fn push(&mut self, part: &str, op: Op, output: Shape) {
        if op != Op::Reshape {
            self.bridge(part, op.is_on_images());
        }
        self.push_step(part, op, output);
    }

    /// Images may lie in memory with a border, vectors may not: between the two comes a step that copies.
    pub(super) fn bridge(&mut self, part: &str, to_images: bool) {
        let before = self.plan.steps.last().filter(|step| step.op != Op::Reshape);
        if before.is_some_and(|step| step.op.is_on_images() != to_images) {
            self.push_step(part, Op::Reshape, self.plan.output());
        }
    }

    pub(super) fn push_step(&mut self, part: &str, op: Op, output: Shape) {
        let name = self.next_name(part);
        let input = self.plan.output();
        self.plan.steps.push(Step { name, op, activation: Activation::Linear, input, output });
    }

    fn next_name(&self, part: &str) -> String {
        format!("{part}.{}", self.plan.steps.len() - self.first + 1)
    }

    fn dense(&mut self, place: &Place<'_>, units: usize, bias: bool) -> Result<()> {
        let (fan_in, fan_out) = (self.plan.output().len(), units);
        // An output with the length of a row gets the row's shape, so that pictures can be made of it.
        let row = self.plan.input;
        let output = if units == row.len() { row } else { Shape::flat(units) };
        let is_output = self.plan.target != Target::Row && place.part == "decoder";
        let output = if is_output { Shape::flat(units) } else { output };
        self.bridge(place.part, false);
        let kind = ParameterKind::Weights { fan_in, fan_out };
        let (weights, bias) = self.parameters(place, vec![fan_in, fan_out], kind, bias)?;
        self.push_step(place.part, Op::Dense { weights, bias, tied: false }, output);
        self.image = output.is_image();
        self.mirrored(place);
        Ok(())
    }

    fn batch_norm(&mut self, place: Place<'a>) -> Result<()> {
        let input = self.plan.output();
        let name = self.next_name(place.part);
        let mut columns = |what: &str, kind| {
            let found = self.parameter(format!("{name}.{what}"), vec![input.len()], kind);
            found.ok_or_else(|| place.error(format!("{} columns are too many", input.len())))
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

    pub(super) fn bias(
        &mut self,
        place: &Place<'_>,
        outputs: usize,
        bias: bool,
    ) -> Result<Option<Range<usize>>> {
        if !bias {
            return Ok(None);
        }
        let name = format!("{}.bias", self.next_name(place.part));
        let found = self.parameter(name, vec![outputs], ParameterKind::Bias);
        found.map(Some).ok_or_else(|| place.error(format!("{outputs} biases are too many")))
    }

    fn convolution(
        &mut self,
        place: &Place<'_>,
        channels: Units,
        kernel: [usize; 2],
        stride: usize,
        padding: [bool; 2],
        bias: bool,
    ) -> Result<()> {
        let input = self.plan.output();
        let axis = |size: usize, kernel: usize, same: bool| {
            if same {
                let output = size.div_ceil(stride);
                let around = ((output - 1) * stride + kernel).saturating_sub(size);
                Ok(((around / 2).min(kernel - 1), output))
            } else if size >= kernel {
                Ok((0, (size - kernel) / stride + 1))
            } else {
                Err(place
                    .error(format!("a kernel of {kernel} does not fit into an image of {input}"))
                    .hint("a smaller kernel, padding = \"same\", or fewer pools"))
            }
        };
        let (top, height) = axis(input.height, kernel[0], padding[0])?;
        let (left, width) = axis(input.width, kernel[1], padding[1])?;
        // An upsampling just before, on this side of the cut, becomes part of the convolution.
        let upsampled = match self.plan.steps[self.first..].last() {
            Some(Step { op: Op::Upsample { factor }, .. }) if stride == 1 => Some(*factor),
            _ => None,
        };
        let kind = match upsampled {
            Some(factor) => {
                self.plan.steps.pop();
                ConvolutionKind::Upsampled { factor }
            }
            None => ConvolutionKind::Plain { stride },
        };
        self.weighted_sums(place, kind, kernel, (top, left), (height, width), channels, bias)
    }

    fn weighted_sums(
        &mut self,
        place: &Place<'_>,
        kind: ConvolutionKind,
        kernel: [usize; 2],
        padding: (usize, usize),
        (height, width): (usize, usize),
        channels: Units,
        bias: bool,
    ) -> Result<()> {
        self.needs_image(place)?;
        let channels = match channels {
            Units::Count(count) => count,
            _ => self.plan.input.channels,
        };
        let input = self.plan.output();
        let output = checked(Some(height), Some(width), channels)
            .ok_or_else(|| place.error(format!("{height}x{width}x{channels} numbers are too many")))?;
        let kernel = (kernel[0], kernel[1]);
        let area = kernel.0 * kernel.1;
        let (fan_in, fan_out) = (area.saturating_mul(input.channels), area.saturating_mul(channels));
        self.bridge(place.part, true);
        let shape = vec![kernel.0, kernel.1, input.channels, channels];
        let (weights, bias) =
            self.parameters(place, shape, ParameterKind::Weights { fan_in, fan_out }, bias)?;
        let geometry = Geometry { kind, kernel, padding, input: image(input), output: image(output) };
        self.mirrored(place);
        self.push_convolution(place, geometry, weights, bias, false, output)
    }

    pub(super) fn push_convolution(
        &mut self,
        place: &Place<'_>,
        geometry: Geometry,
        weights: Range<usize>,
        bias: Option<Range<usize>>,
        tied: bool,
        output: Shape,
    ) -> Result<()> {
        let (input, kernel) = (self.plan.output(), geometry.kernel);
        let lengths = [
            geometry.input.with_border(geometry.input_border()).len(),
            geometry.output.with_border(geometry.output_gradient_border()).len(),
        ];
        if lengths.iter().any(|&len| len > u32::MAX as usize) {
            return Err(place.error(format!(
                "an image of {input} is too large for a kernel of {}x{}",
                kernel.0, kernel.1
            )));
        }
        self.push_step(place.part, Op::Convolution { geometry, weights, bias, tied }, output);
        self.image = true;
        Ok(())
    }

    fn pooled(&self, place: &Place<'_>, size: usize, padding: Padding) -> Result<Shape> {
        self.needs_image(place)?;
        let input = self.plan.output();
        let axis = |len: usize| if padding == Padding::None { len / size } else { len.div_ceil(size) };
        let (height, width) = (axis(input.height), axis(input.width));
        if height == 0 || width == 0 {
            return Err(place
                .error(format!("no square of {size} fits into an image of {input}"))
                .hint("a smaller square, or padding = \"same\""));
        }
        Ok(Shape::image(height, width, input.channels))
    }

    fn function(&mut self, part: &str, function: Function) {
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
        let before = self.plan.steps[self.first..].last_mut();
        match before {
            Some(Step { op, activation: own, .. })
                if *own == Activation::Linear
                    && (op.parameters().is_some() || matches!(op, Op::BatchNorm { .. })) =>
            {
                *own = activation;
            }
            _ => {
                self.push(part, Op::Identity, input);
                let last = self.plan.steps.last_mut().expect("just pushed");
                last.activation = activation;
            }
        }
    }

    /// Gives the weights and the bias of the step that comes next their places.
    fn parameters(
        &mut self,
        place: &Place<'_>,
        shape: Vec<usize>,
        kind: ParameterKind,
        bias: bool,
    ) -> Result<(Range<usize>, Option<Range<usize>>)> {
        let sides: Vec<String> = shape.iter().map(usize::to_string).collect();
        let outputs = *shape.last().expect("weights have outputs");
        let name = self.next_name(place.part);
        let weights = self
            .parameter(format!("{name}.weights"), shape, kind)
            .ok_or_else(|| place.error(format!("{} weights are too many", sides.join(" x "))))?;
        Ok((weights, self.bias(place, outputs, bias)?))
    }

    /// Gives a parameter its place; none where the numbers would not fit a 32-bit count.
    fn parameter(&mut self, name: String, shape: Vec<usize>, kind: ParameterKind) -> Option<Range<usize>> {
        let plan = &mut self.plan;
        let len = shape.iter().try_fold(1usize, |product, &side| product.checked_mul(side))?;
        let start = plan.buffer_len.next_multiple_of(ALIGNMENT);
        let end = start.checked_add(len).filter(|&end| end <= u32::MAX as usize)?;
        plan.buffer_len = end;
        plan.parameters.push(Parameter { name, range: start..end, shape, kind });
        Some(start..end)
    }
}

/// Largest image between two layers: its numbers must be counted in 32 bits with room for a border.
const MOST_NUMBERS: usize = u32::MAX as usize / 4;

/// A shape of few enough numbers.
pub(super) fn checked(height: Option<usize>, width: Option<usize>, channels: usize) -> Option<Shape> {
    let (height, width) = (height?, width?);
    let pixels = height.checked_add(8)?.checked_mul(width.checked_add(8)?)?;
    pixels.checked_mul(channels).filter(|&numbers| numbers <= MOST_NUMBERS)?;
    Some(Shape::image(height, width, channels))
}

/// The image of a shape.
pub(crate) fn image(shape: Shape) -> Image {
    Image::new(shape.height, shape.width, shape.channels)
}
