//! Greedy layer-wise pre-training (Hinton and Salakhutdinov 2006, Bengio et al. 2007): the first layer is trained as an
//! autoencoder of the rows, the second as an autoencoder of the outputs of the first, and so on. Training of the whole
//! network starts from the weights of these layers.

use narrows_kernels::Level;
use narrows_kernels::gemm::{self, Epilogue, View};

use crate::base::memory;
use crate::compute::Compute;
use crate::data::Access;
use crate::data::scaling::Scaling;
use crate::data::{Element, Shape, Source, Table, Values};
use crate::error::{Error, Result};
use crate::network::engine::{Engine, Inference, Rows, each_chunk};
use crate::network::init::initial_parameters;
use crate::network::plan::{Op, Plan};
use crate::progress::{Ended, EpochRecord, Event, OnEvent, notify};
use crate::recipe::{
    AutoencoderRecipe, ClassifierRecipe, Function, Layer, Loss, Pretrain, Scale, Train, Units, Weights,
    layer_functions,
};
use crate::train::checkpoint::{Checkpoints, Key};
use crate::train::rhythm::Rhythm;
use crate::train::{Job, State, Trained, best_epoch, train, useful_threads};

/// The outputs of a layer are kept in memory up to this many bytes, and up to half of the free memory; larger ones are computed again
/// whenever they are read.
const MAX_CACHE: usize = 1 << 30;

/// The largest number of units of a layer whose filters are kept.
const MAX_FILTERS: usize = 100;

/// A pre-trained layer.
#[derive(Debug, Clone, PartialEq)]
pub struct PretrainedLayer {
    /// The number of inputs and of units.
    pub widths: (usize, usize),
    /// The name of its loss.
    pub loss_name: &'static str,
    /// Its epochs.
    pub history: Vec<EpochRecord>,
    /// The epoch whose parameters were kept, where that is not simply the last.
    pub kept_epoch: Option<usize>,
    /// Time spent training it, in seconds.
    pub seconds: f64,
    /// The filters of its first units (100 at most) on a row: units x row. For the first layer these are its weights, for a
    /// deeper one the filters of the layer below, combined with the unit's weights as if there were no functions between
    /// (Lee et al. 2008). Empty where rows are no images that can be drawn.
    pub filters: Vec<f32>,
}

impl PretrainedLayer {
    /// The record of the epoch whose parameters were kept; None where pre-training was stopped before the first was over.
    pub fn kept(&self) -> Option<&EpochRecord> {
        match self.kept_epoch {
            Some(epoch) => self.history.iter().find(|record| record.epoch == epoch),
            None => self.history.last(),
        }
    }

    /// Units with the same value for every held-out row, where known.
    pub fn dead_units(&self) -> Option<usize> {
        Some(self.widths.1 - self.kept()?.active_units?)
    }
}

/// The initial parameters of the whole network, and the record of each layer.
pub(crate) struct Pretrained {
    pub parameters: Vec<f32>,
    pub layers: Vec<PretrainedLayer>,
    /// The end of pre-training; if it was stopped, the last layers are missing.
    pub ended: Ended,
}

/// An encoder to pre-train, with the settings that its layers share.
#[derive(Clone, Copy)]
pub(crate) struct Encoding<'a> {
    pub layers: &'a [Layer],
    /// The output function and the loss of the first layer's autoencoder: those of the rows.
    pub rows: (Function, Loss),
    /// Whether the plan's decoder mirrors the encoder, and is initialised with it.
    pub mirrored: bool,
    pub scale: Scale,
    pub weights: Weights,
    pub train: &'a Train,
}

impl<'a> From<&'a AutoencoderRecipe> for Encoding<'a> {
    fn from(recipe: &'a AutoencoderRecipe) -> Self {
        Self {
            layers: &recipe.encoder,
            rows: (last_function(&recipe.decoder), recipe.loss),
            mirrored: true,
            scale: recipe.scale,
            weights: recipe.weights,
            train: &recipe.train,
        }
    }
}

impl<'a> Encoding<'a> {
    /// The encoder of a classifier; `rows` are the output function and the loss of its first layer's autoencoder.
    pub fn of_classifier(recipe: &'a ClassifierRecipe, rows: (Function, Loss)) -> Self {
        Self {
            layers: &recipe.encoder,
            rows,
            mirrored: false,
            scale: recipe.scale,
            weights: recipe.weights,
            train: &recipe.train,
        }
    }
}

/// The function at the end of layers.
fn last_function(layers: &[Layer]) -> Function {
    if let Some(Layer::Function(function)) = layers.last() { *function } else { Function::Linear }
}

/// Trains the layers of an encoder one after the other.
///
/// # Errors
/// If the layers cannot be pre-trained, or rows cannot be read.
pub(crate) fn pretrain(
    recipe: Encoding<'_>,
    settings: &Pretrain,
    plan: &Plan,
    [rows, held_out]: [Rows<'_>; 2],
    compute: Compute,
    checkpoints: Option<&Checkpoints<'_>>,
    callback: &mut OnEvent<'_>,
) -> Result<Pretrained> {
    let stack = Stack::new(recipe, plan)?;
    let count = stack.groups.len();
    settings.check_layers(count)?;
    settings.check_functions(&layer_functions(recipe.layers))?;
    let mut parameters = initial_parameters(plan, recipe.train.seed);
    let mut layers = Vec::new();
    let mut encoders: Vec<Encoder> = Vec::new();
    let mut ended = Ended::Finished;
    for index in 0..count {
        notify(callback, Event::Layer { layer: index + 1, layers: count });
        let own = stack.autoencoder(recipe, settings, index);
        let inputs = [rows, held_out].map(|rows| Inputs { rows, encoders: &encoders, compute });
        let (mut layer, encoder, layer_ended) =
            train_layer(index + 1, &own, inputs, compute, checkpoints, callback)?;
        stack.copy_parameters(&mut parameters, plan, index, &encoder);
        encoders.push(encoder);
        if plan.input.is_grey_or_colour() {
            layer.filters = filters(&encoders, compute.level);
        }
        layers.push(layer);
        if layer_ended != Ended::Finished {
            ended = layer_ended;
            break;
        }
    }
    Ok(Pretrained { parameters, layers, ended })
}

/// The rows of a layer's training: the outputs of the layers before.
#[derive(Clone, Copy)]
struct Inputs<'a> {
    rows: Rows<'a>,
    encoders: &'a [Encoder],
    compute: Compute,
}

impl<'a> Inputs<'a> {
    fn shape(&self) -> Shape {
        self.encoders.last().map_or(self.rows.source.shape(), |last| Shape::flat(last.plan.code().len()))
    }

    fn compute(self) -> Result<Outputs<'a>> {
        Outputs::of(self.rows, self.encoders, self.compute)
    }
}

/// Bytes that pre-training takes at most, on sets of so many rows: those of the layer that takes the most, with the outputs that it
/// is trained on and the parameters of all layers before.
///
/// # Errors
/// If the layers cannot be pre-trained.
pub(crate) fn pretraining_bytes(
    recipe: Encoding<'_>,
    settings: &Pretrain,
    plan: &Plan,
    rows: [usize; 2],
    compute: Compute,
) -> Result<usize> {
    let stack = Stack::new(recipe, plan)?;
    let (mut shape, mut before, mut most) = (plan.input, 0usize, 0);
    for index in 0..stack.groups.len() {
        let own = stack.autoencoder(recipe, settings, index);
        let layer = Plan::new(&own, shape)?;
        let optimizer = own.train.optimizer()?;
        let batch = own.train.batch_size.min(rows[0]).max(1);
        let threads = compute.threads.clamp(1, useful_threads(&layer, batch));
        let footprint = Engine::footprint(&layer, optimizer, own.train.precision, batch, threads);
        let parameters = layer.buffer_len.saturating_mul(size_of::<f32>());
        let copies = parameters.saturating_mul(2 + optimizer.state_slots());
        let cached = rows.map(|rows| if index > 0 { cache_bytes(rows, shape.len()).unwrap_or(0) } else { 0 });
        let parts = [footprint.total(), copies, cached[0], cached[1]];
        most = most.max(parts.into_iter().fold(before, usize::saturating_add));
        before = before.saturating_add(parameters);
        shape = Shape::flat(layer.code().len());
    }
    // The parameters of the whole network wait.
    Ok(most.saturating_add(plan.buffer_len.saturating_mul(size_of::<f32>())))
}

/// Bytes of the outputs of a layer for so many rows, where they are kept in memory.
fn cache_bytes(rows: usize, width: usize) -> Option<usize> {
    let bytes = rows.saturating_mul(width).saturating_mul(size_of::<f32>());
    (bytes <= MAX_CACHE && memory::fits(bytes.saturating_mul(2), 1)).then_some(bytes)
}

/// Trains the autoencoder of layer `number` on its inputs: those of the training rows and those of the held-out rows.
fn train_layer(
    number: usize,
    recipe: &AutoencoderRecipe,
    [rows, held_out]: [Inputs<'_>; 2],
    compute: Compute,
    checkpoints: Option<&Checkpoints<'_>>,
    callback: &mut OnEvent<'_>,
) -> Result<(PretrainedLayer, Encoder, Ended)> {
    let plan = Plan::new(recipe, rows.shape())?;
    let optimizer = recipe.train.optimizer()?;
    let mut checkpoints = checkpoints.map(|checkpoints| checkpoints.training(Key::Layer(number)));
    let kept = match &mut checkpoints {
        Some(checkpoints) => {
            let count = rows.rows.source.rows();
            checkpoints.newest(&plan, optimizer, Rhythm::of(&recipe.train, count), callback)?
        }
        None => None,
    };
    let start = kept.unwrap_or_else(|| State::new(initial_parameters(&plan, recipe.train.seed), optimizer));
    let mut on_event = |event: &Event| match event {
        Event::Epoch(record) => callback(&Event::LayerEpoch { layer: number, record: *record }),
        other => callback(other),
    };
    let Trained { parameters, history, seconds, ended } = if start.history.len() >= recipe.train.epochs {
        // An earlier run has trained the layer: its inputs are not needed.
        trained_before(start, &recipe.train)
    } else {
        let inputs = [rows.compute()?, held_out.compute()?];
        let [rows, held_out] = inputs.each_ref().map(Outputs::rows);
        let job = Job { plan: &plan, settings: &recipe.train, rows, held_out, compute };
        train(job, start, checkpoints, &mut on_event)?
    };
    let wants_best = ended != Ended::Finished || recipe.train.keeps_best();
    let kept_epoch = best_epoch(&history).filter(|_| wants_best).map(|record| record.epoch);
    let layer = PretrainedLayer {
        widths: (plan.input.len(), plan.code().len()),
        loss_name: recipe.loss.title(),
        history,
        kept_epoch,
        seconds,
        filters: Vec::new(),
    };
    Ok((layer, Encoder { plan, parameters }, ended))
}

/// The result of a training whose last epoch `state` is the state of.
fn trained_before(state: State, settings: &Train) -> Trained {
    let seconds = state.history.iter().map(|record| record.seconds).sum();
    let has_best = settings.keeps_best() && !state.best.is_empty();
    let parameters = if has_best { state.best } else { state.parameters };
    Trained { parameters, history: state.history, seconds, ended: Ended::Finished }
}

/// The layers of an encoder that are pre-trained, and the steps of the whole network that get their weights.
struct Stack {
    /// A dense layer and the functions after it, one group for each layer.
    groups: Vec<Vec<Layer>>,
    /// For each group its step of the whole network, and the step of the decoder opposite, where there is one.
    steps: Vec<(usize, Option<usize>)>,
}

impl Stack {
    fn new(recipe: Encoding<'_>, plan: &Plan) -> Result<Self> {
        let mut groups: Vec<Vec<Layer>> = Vec::new();
        for (index, layer) in recipe.layers.iter().enumerate() {
            match layer {
                // The noise of the rows belongs to training of the whole network; see `Pretrain::noise`.
                Layer::Noise(_) | Layer::Dropout { .. } => {}
                Layer::Dense { .. } => groups.push(vec![layer.clone()]),
                Layer::Function(_) if !groups.is_empty() => {
                    groups.last_mut().expect("not empty").push(layer.clone());
                }
                Layer::Function(_)
                | Layer::Convolution { .. }
                | Layer::TransposedConvolution { .. }
                | Layer::MaxPool { .. }
                | Layer::AveragePool { .. }
                | Layer::Upsample { .. }
                | Layer::Reshape { .. }
                | Layer::Flatten
                | Layer::Unflatten
                | Layer::BatchNorm
                | Layer::Variational { .. } => {
                    return Err(Error::recipe(format!(
                        "pretrain: encoder[{index}]: only dense layers and their functions can be trained one by one"
                    ))
                    .hint("leave out `pretrain`"));
                }
            }
        }
        let dense = |range: std::ops::Range<usize>| -> Vec<usize> {
            range.filter(|&step| matches!(plan.steps[step].op, Op::Dense { .. })).collect()
        };
        let encoder = dense(0..plan.cut);
        if groups.is_empty() {
            return Err(Error::recipe(
                "pretrain: the encoder has no dense layer that could be trained alone",
            ));
        }
        if !recipe.mirrored {
            return Ok(Self { groups, steps: encoder.into_iter().map(|step| (step, None)).collect() });
        }
        let decoder = dense(plan.cut..plan.steps.len());
        let mirrors = |(first, second): (&usize, &usize)| {
            let (first, second) = (&plan.steps[*first], &plan.steps[*second]);
            first.input.len() == second.output.len() && first.output.len() == second.input.len()
        };
        if decoder.len() != encoder.len() || !encoder.iter().zip(decoder.iter().rev()).all(mirrors) {
            return Err(Error::recipe("pretrain: the decoder does not mirror the encoder")
                .hint("as many dense layers on both sides, with the same widths"));
        }
        let steps = encoder.into_iter().zip(decoder.into_iter().rev().map(Some)).collect();
        Ok(Self { groups, steps })
    }

    /// The autoencoder that a layer is trained in: it reconstructs the inputs of the layer.
    fn autoencoder(&self, recipe: Encoding<'_>, settings: &Pretrain, index: usize) -> AutoencoderRecipe {
        // Rows are reconstructed as in the whole network, outputs of a layer by the function that gave them.
        let (end, loss) = match index.checked_sub(1) {
            None => recipe.rows,
            Some(before) => match last_function(&self.groups[before]) {
                Function::Sigmoid => (Function::Sigmoid, Loss::Bce),
                Function::Tanh => (Function::Tanh, Loss::Mse),
                Function::Relu => (Function::Relu, Loss::Mse),
                Function::Linear
                | Function::Softmax
                | Function::LeakyRelu
                | Function::Elu
                | Function::Gelu
                | Function::Silu
                | Function::Softplus => (Function::Linear, Loss::Mse),
            },
        };
        let units = if settings.is_tied() { Units::Tied } else { Units::Input };
        AutoencoderRecipe {
            about: None,
            scale: recipe.scale,
            encoder: settings.noise(index).into_iter().chain(self.groups[index].iter().cloned()).collect(),
            decoder: vec![Layer::Dense { units, bias: true }, Layer::Function(end)],
            loss,
            sparsity: settings.sparsity(last_function(&self.groups[index])),
            weights: recipe.weights,
            pretrain: None,
            train: settings.train(recipe.train, index),
        }
    }

    /// Copies the parameters of a pre-trained layer into the whole network: its weights into the encoder, those of its
    /// decoder into the layer opposite.
    fn copy_parameters(&self, parameters: &mut [f32], plan: &Plan, index: usize, trained: &Encoder) {
        let Encoder { plan: own, parameters: learned } = trained;
        let (encoder, decoder) = self.steps[index];
        let own_encoder = own.steps[..own.cut].iter().find_map(|step| step.op.parameters());
        let own_decoder = own.steps[own.cut..].iter().find_map(|step| step.op.parameters());
        let is_tied = own_decoder.map(|(weights, _)| weights) == own_encoder.map(|(weights, _)| weights);
        let pairs = [(Some(encoder), own_encoder, false), (decoder, own_decoder, is_tied)];
        for (step, from, is_transposed) in pairs {
            let Some(step) = step else { continue };
            let (Some((to, to_bias)), Some((from, from_bias))) = (plan.steps[step].op.parameters(), from)
            else {
                unreachable!("dense layers have weights")
            };
            if let (Some(to), Some(from)) = (to_bias, from_bias) {
                parameters[to.clone()].copy_from_slice(&learned[from.clone()]);
            }
            if plan.steps[step].op.is_tied() {
                continue;
            }
            let (to, weights) = (&mut parameters[to.clone()], &learned[from.clone()]);
            if is_transposed {
                // Tied weights lie as inputs x units; the decoder's are units x inputs.
                let (inputs, units) = (own.input.len(), own.code().len());
                for (i, row) in weights.chunks_exact(units).enumerate() {
                    row.iter().enumerate().for_each(|(j, &weight)| to[j * inputs + i] = weight);
                }
            } else {
                to.copy_from_slice(weights);
            }
        }
    }
}

/// A trained network whose parameters are fixed, as an encoder of rows.
pub(crate) struct Encoder {
    pub plan: Plan,
    pub parameters: Vec<f32>,
}

impl Encoder {
    /// Its weights, inputs x units; how many inputs; how many units.
    fn weights(&self) -> (&[f32], usize, usize) {
        let Self { plan, parameters } = self;
        let weights = plan.steps[..plan.cut].iter().find_map(|step| step.op.parameters());
        let (range, _) = weights.expect("a layer with weights");
        (&parameters[range.clone()], plan.input.len(), plan.code().len())
    }
}

/// The filters of the first units of the last of these layers on a row, units x row: the product of the weights of all
/// layers.
fn filters(encoders: &[Encoder], level: Level) -> Vec<f32> {
    let Some((last, before)) = encoders.split_last() else { return Vec::new() };
    let (weights, _, units) = last.weights();
    let count = units.min(MAX_FILTERS);
    let mut filters: Vec<f32> =
        (0..count).flat_map(|unit| weights.iter().skip(unit).step_by(units).copied()).collect();
    // From the units down to the rows, so that no product is larger than the filters of these units.
    for encoder in before.iter().rev() {
        let (weights, inputs, units) = encoder.weights();
        let mut below = vec![0.0; count * inputs];
        let mut scratch = vec![0.0; gemm::scratch_len(units)];
        let (left, right) =
            (View::new(&filters, count, units), View::new(weights, inputs, units).transposed());
        gemm::multiply(level, &mut below, left, right, Epilogue::Store, &mut scratch);
        filters = below;
    }
    filters
}

/// The inputs of a layer.
pub(crate) enum Outputs<'a> {
    /// The rows themselves.
    Rows(Rows<'a>),
    /// The outputs of the layers before, computed once.
    Cached(Table, Scaling),
    /// The outputs of the layers before, computed whenever they are read.
    Streamed(Streamed<'a>, Scaling),
}

impl<'a> Outputs<'a> {
    /// The outputs of several encoders, one after the other, for rows.
    pub fn of(rows: Rows<'a>, encoders: &'a [Encoder], compute: Compute) -> Result<Self> {
        let Some(last) = encoders.last() else { return Ok(Self::Rows(rows)) };
        let width = last.plan.code().len();
        let streamed = Streamed { rows, encoders, width, level: compute.level };
        let count = rows.source.rows();
        if cache_bytes(count, width).is_none() {
            return Ok(Self::Streamed(streamed, Scaling::identity()));
        }
        let mut values = vec![0.0; count * width];
        each_chunk(
            &mut values,
            width,
            compute.threads,
            || (),
            |(), first, chunk| streamed.read_f32(first, chunk),
        )?;
        Ok(Self::Cached(Table::new(Values::F32(values), Shape::flat(width))?, Scaling::identity()))
    }

    /// As rows of a network, without classes.
    pub fn rows(&self) -> Rows<'_> {
        match self {
            Self::Rows(rows) => *rows,
            Self::Cached(source, scaling) => Rows { source, scaling, classes: None },
            Self::Streamed(source, scaling) => Rows { source, scaling, classes: None },
        }
    }
}

/// The outputs of trained layers as a source of rows.
pub(crate) struct Streamed<'a> {
    rows: Rows<'a>,
    encoders: &'a [Encoder],
    width: usize,
    level: Level,
}

impl Source for Streamed<'_> {
    fn rows(&self) -> usize {
        self.rows.source.rows()
    }

    fn shape(&self) -> Shape {
        Shape::flat(self.width)
    }

    fn element(&self) -> Element {
        Element::F32
    }

    fn access(&self) -> Access {
        self.rows.source.access()
    }

    fn read_f64(&self, first: usize, out: &mut [f64]) -> Result<()> {
        let mut narrow = vec![0.0; out.len()];
        self.read_f32(first, &mut narrow)?;
        out.iter_mut().zip(narrow).for_each(|(out, value)| *out = f64::from(value));
        Ok(())
    }

    fn read_f32(&self, first: usize, out: &mut [f32]) -> Result<()> {
        let Rows { source, scaling, .. } = self.rows;
        let mut numbers = vec![0.0; out.len() / self.width * source.shape().len()];
        scaling.read(source, first, &mut numbers, self.level)?;
        self.encode(numbers, out);
        Ok(())
    }

    fn gather_f32(&self, indices: &[usize], out: &mut [f32]) -> Result<()> {
        let Rows { source, scaling, .. } = self.rows;
        let mut numbers = vec![0.0; indices.len() * source.shape().len()];
        scaling.gather(source, indices, &mut numbers, self.level)?;
        self.encode(numbers, out);
        Ok(())
    }
}

impl Streamed<'_> {
    /// Takes scaled rows through all encoders.
    fn encode(&self, mut numbers: Vec<f32>, out: &mut [f32]) {
        for Encoder { plan, parameters } in self.encoders {
            numbers = Inference::encoder(self.level, plan, parameters).forward(&numbers, false).to_vec();
        }
        out.copy_from_slice(&numbers);
    }
}
