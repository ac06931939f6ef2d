//! From a recipe and the shape of a row to a [`Plan`]: the shape of every value, the range of every parameter.
//!
//! The output must have the height, width and channels of the input, whatever they are. Pools round up, so an image that is
//! made larger again may be a few rows too large: the last layer then computes only the rows and columns that are wanted. A
//! layer with padding "auto" is padded with zeros or not, for each axis separately, whichever lets the network end nearest
//! to the size of the input.
//!
//! This file has the builder and the order of its work; `layers`, `convolution` and `tied` add the layers, `checks` refuses
//! networks that cannot work.

use std::ops::Range;

use narrows_kernels::{Activation, Image};

use super::{Op, Parameter, ParameterKind, Plan, Step, Target};
use crate::data::{ColumnError, EncodedColumn, Shape};
use crate::error::{Error, Result};
use crate::recipe::layer_text::{LARGEST_SIDE, LARGEST_STRIDE, MOST_LAYERS};
use crate::recipe::{
    AutoencoderRecipe, ClassifierRecipe, Function, Layer, Loss, Padding, Sparsity, Units, Weights,
};

/// Parameters begin at multiples of this many numbers: one cache line.
pub(super) const ALIGNMENT: usize = 16;

/// Layers with padding "auto" for which all choices are tried; there are four for each.
const MAX_OPEN_PADDINGS: u32 = 5;

impl Plan {
    /// Compiles a network for rows of a shape.
    ///
    /// # Errors
    /// If the network cannot work; the message names the layer.
    pub fn new(recipe: &AutoencoderRecipe, input: Shape) -> Result<Self> {
        Self::compile(
            &NetworkSpec {
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

    /// As [`Plan::new`], for rows that encode the columns of a table, which the mixed loss tells apart.
    ///
    /// # Errors
    /// As [`Plan::new`], and if the columns do not follow one another from the first number of a row to the last.
    pub fn with_columns(recipe: &AutoencoderRecipe, input: Shape, columns: &[EncodedColumn]) -> Result<Self> {
        let mut plan = Self::new(recipe, input)?;
        if plan.loss == Loss::Mixed {
            check_columns(columns, input.len())?;
            plan.columns = columns.to_vec();
        }
        Ok(plan)
    }

    /// Compiles a classifier for rows of a shape. Its code is the input of the softmax layer.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn classifier(recipe: &ClassifierRecipe, input: Shape, classes: usize) -> Result<Self> {
        let units = Units::Count(classes);
        Self::compile(
            &NetworkSpec {
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

    /// Tries all choices of padding, and takes the first that leaves the least to crop.
    fn compile(recipe: &NetworkSpec<'_>, input: Shape) -> Result<Self> {
        for (part, layers) in [("encoder", recipe.encoder), ("decoder", recipe.decoder)] {
            if layers.len() > MOST_LAYERS {
                let count = layers.len();
                return Err(Error::recipe(format!(
                    "{part}: {count} layers; at most {MOST_LAYERS} are possible"
                )));
            }
        }
        let is_open = |layer: &&Layer| matches!(layer, Layer::Convolution { padding: Padding::Auto, .. });
        let open = recipe.encoder.iter().chain(recipe.decoder).filter(is_open).count();
        let choices = 4usize.pow((open as u32).min(MAX_OPEN_PADDINGS));
        let (mut best, mut refused) = (None, None);
        for choice in 0..choices {
            match Builder::new(recipe, input, choice).build(recipe) {
                Ok((plan, excess)) => {
                    if best.as_ref().is_none_or(|(_, least)| excess < *least) {
                        best = Some((plan, excess));
                    }
                    // No later choice leaves less.
                    if excess == 0 {
                        break;
                    }
                }
                // The first choice pads everywhere; a network that cannot work with it has the plainest reason.
                Err(error) => {
                    refused.get_or_insert(error);
                }
            }
        }
        best.map(|(plan, _)| plan).ok_or_else(|| refused.expect("a plan or an error from each choice"))
    }
}

/// The layers of a network and its settings, for any method.
pub(super) struct NetworkSpec<'a> {
    pub encoder: &'a [Layer],
    pub decoder: &'a [Layer],
    pub target: Target,
    pub loss: Loss,
    pub sparsity: Option<Sparsity>,
    pub weights: Weights,
}

/// A plan in the making.
pub(super) struct Builder<'a> {
    pub plan: Plan,
    /// Whether the present output is an image.
    pub is_image: bool,
    /// The shape before the last "flatten".
    pub flattened: Option<Shape>,
    /// For each layer with padding "auto" two bits: 1 for no zeros above and below, 2 for none left and right.
    pub choice: usize,
    /// The first step of the part that is being added.
    pub first: usize,
    /// The factor by which the layers of the decoder enlarge images.
    pub growth: usize,
    /// The steps that normalise batches, and their layers in the recipe.
    pub normalized: Vec<(usize, LayerRef<'a>)>,
    /// The encoder's steps with weights that stand opposite no layer of the decoder yet.
    pub unmirrored: Vec<usize>,
}

/// A layer of a recipe, for error messages.
#[derive(Clone, Copy)]
pub(super) struct LayerRef<'a> {
    pub part: &'a str,
    pub index: usize,
    /// Whether it is the last layer of its part.
    pub is_last: bool,
}

impl LayerRef<'_> {
    pub fn error(&self, message: impl std::fmt::Display) -> Error {
        Error::recipe(format!("{}[{}]: {message}", self.part, self.index))
    }
}

impl<'a> Builder<'a> {
    fn new(recipe: &NetworkSpec<'_>, input: Shape, choice: usize) -> Self {
        let plan = Plan {
            input,
            noise: Vec::new(),
            fill: None,
            columns: Vec::new(),
            steps: Vec::new(),
            cut: 0,
            parameters: Vec::new(),
            buffer_len: 0,
            target: recipe.target,
            loss: recipe.loss,
            sparsity: recipe.sparsity,
            weights: recipe.weights,
        };
        Self {
            plan,
            is_image: input.is_image(),
            flattened: None,
            choice,
            first: 0,
            growth: 1,
            normalized: Vec::new(),
            unmirrored: Vec::new(),
        }
    }

    /// The plan, and how many rows and columns its last layer leaves out.
    fn build(mut self, recipe: &NetworkSpec<'_>) -> Result<(Plan, usize)> {
        self.add_part("encoder", recipe.encoder)?;
        if self.plan.steps.is_empty() && recipe.target != Target::Row {
            // Softmax regression: the rows are the features.
            self.push("encoder", Op::Identity, self.plan.input);
        }
        self.begin_decoder();
        self.add_part("decoder", recipe.decoder)?;
        self.check_parts()?;
        self.check_sparsity()?;
        self.check_closed_form()?;
        self.check_pca_start()?;
        self.check_normalized()?;
        self.check_output()?;
        let excess = match recipe.target {
            Target::Row => self.crop()?,
            Target::Classes(_) => 0,
        };
        Ok((self.plan, excess))
    }

    fn begin_decoder(&mut self) {
        self.plan.cut = self.plan.steps.len();
        self.first = self.plan.cut;
        self.growth = 1;
        let has_weights = |&step: &usize| self.plan.steps[step].op.parameters().is_some();
        self.unmirrored = (0..self.plan.cut).filter(has_weights).collect();
    }

    fn add_part(&mut self, part: &'a str, layers: &[Layer]) -> Result<()> {
        for (index, layer) in layers.iter().enumerate() {
            self.add_layer(LayerRef { part, index, is_last: index + 1 == layers.len() }, layer)?;
        }
        Ok(())
    }

    fn add_layer(&mut self, place: LayerRef<'a>, layer: &Layer) -> Result<()> {
        check_sides(&place, layer)?;
        match *layer {
            Layer::Noise(noise) => self.noise(&place, noise),
            Layer::Dense { units: Units::Tied, bias } => self.tied_dense(&place, bias),
            Layer::Dense { units, bias } => self.dense_of(&place, units, bias),
            Layer::Dropout { share } => {
                self.push(place.part, Op::Dropout { share }, self.plan.output());
                Ok(())
            }
            Layer::Variational { units, beta: divergence } => self.variational(&place, units, divergence),
            Layer::TransposedConvolution { channels: Units::Tied, bias, .. } => {
                self.tied_convolution(&place, bias)
            }
            Layer::Convolution { channels, kernel, stride, padding, bias } => {
                self.convolution(&place, Filter { channels, kernel, bias }, stride, padding)
            }
            Layer::TransposedConvolution { channels, kernel, stride, padding, bias } => {
                self.transposed_convolution(&place, Filter { channels, kernel, bias }, stride, padding)
            }
            Layer::MaxPool { size, padding } => self.pool(&place, Op::MaxPool { size }, size, padding),
            Layer::AveragePool { size, padding } => {
                self.pool(&place, Op::AveragePool { size }, size, padding)
            }
            Layer::Upsample { factor } => self.upsample(&place, factor),
            Layer::Reshape { shape } => self.reshape_to(&place, shape),
            Layer::Flatten => {
                self.flatten(place.part);
                Ok(())
            }
            Layer::Unflatten => self.unflatten(&place),
            Layer::BatchNorm => self.batch_norm(place),
            Layer::Function(function) => {
                self.function(place.part, function);
                Ok(())
            }
        }
    }

    pub fn needs_image(&self, place: &LayerRef<'_>) -> Result<()> {
        if self.is_image {
            return Ok(());
        }
        let shape = self.plan.output();
        Err(place
            .error(format!("works on images, and what comes in is a vector of {} numbers", shape.len()))
            .hint("give the `shape` of a row as an image (HEIGHTxWIDTHxCHANNELS, two rows of pixels at least), or put { reshape = [height, width, channels] } before it"))
    }

    /// Adds a step without an activation.
    pub fn push(&mut self, part: &str, op: Op, output: Shape) {
        if op != Op::Reshape {
            self.bridge(part, op.is_on_images());
        }
        self.push_step(part, op, output);
    }

    /// Adds a step that copies between images, which may lie in memory with a border, and vectors, which may not.
    pub fn bridge(&mut self, part: &str, to_images: bool) {
        let before = self.plan.steps.last().filter(|step| step.op != Op::Reshape);
        if before.is_some_and(|step| step.op.is_on_images() != to_images) {
            self.push_step(part, Op::Reshape, self.plan.output());
        }
    }

    pub fn push_step(&mut self, part: &str, op: Op, output: Shape) {
        let name = self.next_name(part);
        let input = self.plan.output();
        self.plan.steps.push(Step { name, op, activation: Activation::Linear, input, output });
    }

    pub fn next_name(&self, part: &str) -> String {
        format!("{part}.{}", self.plan.steps.len() - self.first + 1)
    }

    /// Reserves the weights and the bias of the next step.
    pub fn parameters(
        &mut self,
        place: &LayerRef<'_>,
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

    pub fn bias(&mut self, place: &LayerRef<'_>, outputs: usize, bias: bool) -> Result<Option<Range<usize>>> {
        if !bias {
            return Ok(None);
        }
        let name = format!("{}.bias", self.next_name(place.part));
        let range = self.parameter(name, vec![outputs], ParameterKind::Bias);
        range.map(Some).ok_or_else(|| place.error(format!("{outputs} biases are too many")))
    }

    /// Reserves a parameter; None where the buffer would not fit a 32-bit count.
    pub fn parameter(
        &mut self,
        name: String,
        shape: Vec<usize>,
        kind: ParameterKind,
    ) -> Option<Range<usize>> {
        let plan = &mut self.plan;
        let len = shape.iter().try_fold(1usize, |product, &side| product.checked_mul(side))?;
        let start = plan.buffer_len.next_multiple_of(ALIGNMENT);
        let end = start.checked_add(len).filter(|&end| end <= u32::MAX as usize)?;
        plan.buffer_len = end;
        plan.parameters.push(Parameter { name, range: start..end, shape, kind });
        Some(start..end)
    }
}

/// Refuses sides that no recipe file can have either: they would overflow counts, or ask for millions of tables.
fn check_sides(place: &LayerRef<'_>, layer: &Layer) -> Result<()> {
    let (sides, stride): (&[usize], usize) = match layer {
        Layer::Convolution { kernel, stride, .. } => (kernel, *stride),
        // A tied one has the kernel of the layer that it mirrors.
        Layer::TransposedConvolution { channels: Units::Tied, .. } => return Ok(()),
        Layer::TransposedConvolution { kernel, stride, .. } => (kernel, *stride),
        Layer::MaxPool { size, .. } | Layer::AveragePool { size, .. } => (std::slice::from_ref(size), 1),
        Layer::Upsample { factor } => (&[], *factor),
        _ => return Ok(()),
    };
    if let Some(side) = sides.iter().find(|side| !(1..=LARGEST_SIDE).contains(*side)) {
        return Err(place.error(format!("a side of {side}; 1 to {LARGEST_SIDE} are possible")));
    }
    if !(1..=LARGEST_STRIDE).contains(&stride) {
        return Err(
            place.error(format!("a stride or factor of {stride}; 1 to {LARGEST_STRIDE} are possible"))
        );
    }
    Ok(())
}

/// Refuses columns with gaps or overlaps, and weights that are no weights.
fn check_columns(columns: &[EncodedColumn], width: usize) -> Result<()> {
    let mut end = 0;
    for (number, column) in columns.iter().enumerate() {
        let (range, number) = (&column.range, number + 1);
        if range.start != end || range.end <= end || range.end > width {
            return Err(Error::data(format!(
                "column {number} of the table: it stands in the numbers {}..{} of an encoded row of {width}, not from {end} on",
                range.start, range.end
            )));
        }
        if column.error == ColumnError::Binary && range.len() != 1 {
            return Err(Error::data(format!("column {number} of the table: yes or no is one number")));
        }
        if !(column.weight >= 0.0 && column.weight.is_finite()) {
            return Err(Error::data(format!(
                "column {number} of the table: {} is not a weight",
                column.weight
            )));
        }
        end = range.end;
    }
    if columns.is_empty() || end == width {
        return Ok(());
    }
    Err(Error::data(format!("the columns of the table are {end} numbers of an encoded row of {width}")))
}

/// The filters of a convolution, as a recipe has them.
#[derive(Clone, Copy)]
pub(super) struct Filter {
    pub channels: Units,
    pub kernel: [usize; 2],
    pub bias: bool,
}

/// The largest image between two layers: its numbers must be counted in 32 bits with room for a border.
const MAX_IMAGE: usize = u32::MAX as usize / 4;

/// A shape, unless it has too many numbers.
pub(super) fn checked(height: Option<usize>, width: Option<usize>, channels: usize) -> Option<Shape> {
    let (height, width) = (height?, width?);
    let pixels = height.checked_add(8)?.checked_mul(width.checked_add(8)?)?;
    pixels.checked_mul(channels).filter(|&numbers| numbers <= MAX_IMAGE)?;
    Some(Shape::image(height, width, channels))
}

/// The image of a shape.
pub(crate) fn image(shape: Shape) -> Image {
    Image::new(shape.height, shape.width, shape.channels)
}
