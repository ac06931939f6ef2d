//! A fitted method: it encodes, decodes and reconstructs rows, in the units they came in.

mod convert;
mod file;
pub(crate) mod interpolate;
pub mod metrics;

use narrows_kernels::{Activation, Level, activation, loss, sampling};
use serde::{Deserialize, Serialize};

use crate::compute::Compute;
use crate::data::scaling::Scaling;
use crate::data::stats::Measured;
use crate::data::{Element, Shape, Source, Values};
use crate::error::{Error, Result};
use crate::model::metrics::{ClassifierSummary, Summary};
use crate::network::engine::{Inference, code_units, each_chunk};
use crate::network::noise::{Corruption, Mode};
use crate::network::plan::{LayerTable, Op, Parameter, Plan};
use crate::pca::Pca;
use crate::recipe::{Loss, Scale, Spec};

/// A fitted method.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// What was asked for.
    pub spec: Spec,
    /// The shape of a row.
    pub shape: Shape,
    /// The number type of the rows it was fitted on.
    pub element: Element,
    /// How rows are scaled before the method sees them.
    pub scaling: Scaling,
    /// The mean of the scaled training rows.
    pub training_mean: Vec<f64>,
    /// What was learned.
    pub fitted: Fitted,
    /// How good it was found to be when it was fitted.
    pub summary: Option<Summary>,
    /// What of it is there.
    pub part: Part,
    /// The classes that it tells, where it tells any.
    pub classes: Option<Classes>,
}

/// What a classifier has beside its numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Classes {
    /// The name of each class, in the order of the outputs.
    pub names: Vec<String>,
    /// How good it was found to be when it was fitted.
    pub summary: Option<ClassifierSummary>,
}

/// What of a model is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// All of it.
    #[default]
    Whole,
    /// What is left of the code: it encodes.
    Encoder,
    /// What is right of the code: it decodes.
    Decoder,
}

impl Part {
    /// What a sentence calls it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Whole => "a whole model",
            Self::Encoder => "an encoder",
            Self::Decoder => "a decoder",
        }
    }

    /// Whether this part of a network has a parameter. Shared weights belong to both.
    pub(crate) fn needs(self, plan: &Plan, parameter: &Parameter) -> bool {
        let steps = match self {
            Self::Whole => return true,
            Self::Encoder => &plan.steps[..plan.cut],
            Self::Decoder => &plan.steps[plan.cut..],
        };
        steps
            .iter()
            .filter_map(|step| step.op.parameters())
            .any(|(weights, bias)| *weights == parameter.range || bias == Some(&parameter.range))
    }
}

/// What a method learned.
#[derive(Debug, Clone, PartialEq)]
pub enum Fitted {
    /// Directions and variances.
    Pca(Pca),
    /// A network and its parameters.
    Network {
        /// Shapes and places.
        plan: Plan,
        /// The flat buffer that the plan's ranges point into.
        parameters: Vec<f32>,
    },
}

impl Model {
    /// The shape of a code.
    pub fn code_shape(&self) -> Shape {
        match &self.fitted {
            Fitted::Pca(pca) => Shape::flat(pca.code_size()),
            Fitted::Network { plan, .. } => plan.code(),
        }
    }

    /// How many numbers were learned.
    pub fn parameter_count(&self) -> usize {
        match &self.fitted {
            Fitted::Pca(pca) => pca.mean.len() + pca.components.len(),
            Fitted::Network { plan, .. } => plan.parameter_count(),
        }
    }

    /// The layer table.
    pub fn table(&self) -> LayerTable {
        match &self.fitted {
            Fitted::Network { plan, .. } => plan.table(),
            Fitted::Pca(pca) => pca_table(self.shape, pca.code_size()),
        }
    }

    /// Its encoder and its decoder, each a model of its own, which can be saved alone. They give the same bits as the whole.
    ///
    /// # Errors
    /// Where it is a part already.
    pub fn split(&self) -> Result<(Self, Self)> {
        self.must_rebuild("be split")?;
        if self.part != Part::Whole {
            return Err(Error::model(format!("the model is {} already", self.part.title())));
        }
        Ok((self.part(Part::Encoder), self.part(Part::Decoder)))
    }

    fn part(&self, part: Part) -> Self {
        let mut model = Self { part, ..self.clone() };
        if let Fitted::Network { plan, parameters } = &mut model.fitted {
            for parameter in plan.parameters.iter().filter(|parameter| !part.needs(plan, parameter)) {
                parameters[parameter.range.clone()].fill(0.0);
            }
        }
        model
    }

    /// Refuses what a classifier cannot do: it has no way back from a code to a row.
    pub(crate) fn must_rebuild(&self, what: &str) -> Result<()> {
        if self.classes.is_none() {
            return Ok(());
        }
        Err(Error::model(format!("the model is a classifier: it cannot {what}"))
            .hint("`narrows predict` tells classes, `narrows encode` writes what it tells them by"))
    }

    /// The classes of rows: for each row the share of each class (n x classes), which add up to 1.
    ///
    /// # Errors
    /// Where the model is no classifier, or the rows are not as those it was fitted on.
    pub fn predict(&self, rows: &dyn Source, compute: Compute) -> Result<Vec<f32>> {
        if self.classes.is_none() {
            return Err(Error::model("the model is no classifier: it knows no classes")
                .hint("fit one from it: narrows fit classifier --from MODEL --data DATA"));
        }
        self.check_rows(rows)?;
        let shares = self.map(rows, Direction::Both, compute)?.into_f32();
        let width = shares.len() / rows.rows();
        match shares.iter().position(|share| !share.is_finite()) {
            None => Ok(shares),
            Some(at) => Err(Error::data(format!(
                "row {}: the model gives no number for it: its numbers are far from those of the training rows, or the model ran away in training",
                at / width + 1
            ))),
        }
    }

    /// Refuses what this part of a model cannot do.
    pub(crate) fn must_have(&self, part: Part, what: &str) -> Result<()> {
        if self.part == Part::Whole || self.part == part {
            return Ok(());
        }
        Err(Error::model(format!("the model is {}: it cannot {what}", self.part.title()))
            .hint("use the model that it was split from"))
    }

    /// The codes of rows: n x code size. In f64 where a PCA is given f64 rows, else in f32.
    pub fn encode(&self, rows: &dyn Source, compute: Compute) -> Result<Values> {
        self.must_have(Part::Encoder, "encode rows")?;
        self.check_rows(rows)?;
        self.map(rows, Direction::Encode, compute)
    }

    /// The rows of codes, in the units of the training rows: n x row length. In f64 where a PCA is given f64 codes.
    pub fn decode(&self, codes: &dyn Source, compute: Compute) -> Result<Values> {
        self.must_rebuild("decode codes")?;
        self.must_have(Part::Decoder, "decode codes")?;
        self.check(codes, self.code_shape(), "the model's codes have")?;
        self.map(codes, Direction::Decode, compute)
    }

    /// Rows encoded and decoded again: the same bits as [`Model::encode`], then [`Model::decode`].
    pub fn reconstruct(&self, rows: &dyn Source, compute: Compute) -> Result<Values> {
        self.must_rebuild("reconstruct rows")?;
        self.must_have(Part::Whole, "reconstruct rows")?;
        self.check_rows(rows)?;
        self.map(rows, Direction::Both, compute)
    }

    /// Refuses rows that the model cannot be applied to: of another length, or in shares where it knows bytes.
    pub(crate) fn check_rows(&self, rows: &dyn Source) -> Result<()> {
        self.check(rows, self.shape, "the model was fitted on rows of")?;
        check_units(self.element, self.spec.scale(), &Measured::new(rows))
    }

    fn check(&self, rows: &dyn Source, shape: Shape, reason: &str) -> Result<()> {
        if rows.shape().len() == shape.len() {
            return Ok(());
        }
        Err(Error::data(format!(
            "the rows have {} numbers; {reason} {} numbers",
            rows.shape().len(),
            shape.len()
        )))
    }

    fn map(&self, rows: &dyn Source, direction: Direction, compute: Compute) -> Result<Values> {
        let n = rows.rows();
        let (input, code, width) = (rows.shape().len(), self.code_shape().len(), self.shape.len());
        let rebuilt = self.classes.as_ref().map_or(width, |classes| classes.names.len());
        let out_width = if direction == Direction::Encode { code } else { rebuilt };
        let len = n
            .checked_mul(out_width)
            .ok_or_else(|| Error::data(format!("{n} rows of {out_width} numbers are too many for memory")))?;
        let Compute { level, threads } = compute;
        match &self.fitted {
            Fitted::Network { plan, parameters } => {
                let mut out = vec![0.0f32; len];
                // A walk packs the weights: only those are made that are needed.
                let state = || {
                    let encoder =
                        (direction != Direction::Decode).then(|| Inference::encoder(level, plan, parameters));
                    let decoder =
                        (direction != Direction::Encode).then(|| Inference::decoder(level, plan, parameters));
                    (encoder, decoder, Vec::new())
                };
                each_chunk(
                    &mut out,
                    out_width,
                    threads,
                    state,
                    |(encoder, decoder, buffer), first, chunk| {
                        let count = chunk.len() / out_width;
                        buffer.resize(count * input, 0.0);
                        if direction == Direction::Decode {
                            rows.read_f32(first, buffer)?;
                        } else {
                            self.scaling.read(rows, first, buffer, level)?;
                        }
                        let mut rows = &buffer[..];
                        if let Some(encoder) = encoder {
                            rows = encoder.forward(rows, false);
                        }
                        if let Some(decoder) = decoder {
                            rows = decoder.forward(rows, false);
                        }
                        chunk.copy_from_slice(rows);
                        if direction != Direction::Encode && self.classes.is_none() {
                            self.scaling.undo(level, chunk, width);
                        }
                        Ok(())
                    },
                )?;
                Ok(Values::F32(out))
            }
            Fitted::Pca(pca) => {
                let double = rows.element() == Element::F64;
                let mut out = vec![0.0f64; len];
                each_chunk(&mut out, out_width, threads, Vec::new, |buffer, first, chunk| {
                    let count = chunk.len() / out_width;
                    buffer.resize(count * input, 0.0);
                    rows.read_f64(first, buffer)?;
                    match direction {
                        Direction::Encode => {
                            self.scaling.apply_f64(buffer, width);
                            pca.encode(chunk, buffer, level);
                        }
                        Direction::Decode => {
                            pca.decode(chunk, buffer, level);
                            self.scaling.undo_f64(chunk, width);
                        }
                        Direction::Both => {
                            self.scaling.apply_f64(buffer, width);
                            let mut codes = vec![0.0; count * code];
                            pca.encode(&mut codes, buffer, level);
                            if !double {
                                // As they would be written down.
                                codes.iter_mut().for_each(|value| *value = f64::from(*value as f32));
                            }
                            pca.decode(chunk, &codes, level);
                            self.scaling.undo_f64(chunk, width);
                        }
                    }
                    Ok(())
                })?;
                Ok(if double {
                    Values::F64(out)
                } else {
                    Values::F32(out.into_iter().map(|value| value as f32).collect())
                })
            }
        }
    }

    /// How many units a code has that can be dead: its numbers, or where it is an image its channels.
    pub fn code_units(&self) -> usize {
        match &self.fitted {
            Fitted::Network { plan, .. } => code_units(plan),
            Fitted::Pca(pca) => pca.code_size(),
        }
    }

    /// What judging needs beside the model, for one thread.
    pub(crate) fn judge(&self, level: Level) -> Judge<'_> {
        let walks = match &self.fitted {
            Fitted::Network { plan, parameters } => {
                let noise = Corruption::new(&plan.noise, self.spec.seed(), self.shape.len());
                let encoder = match plan.divergence() {
                    Some(_) => Inference::code_distribution(level, plan, parameters),
                    None => Inference::encoder(level, plan, parameters),
                };
                Some((encoder, Inference::decoder(level, plan, parameters), noise))
            }
            Fitted::Pca(_) => None,
        };
        Judge { model: self, level, walks }
    }
}

/// Takes rows through a model and keeps everything that is said about them.
pub(crate) struct Judge<'a> {
    model: &'a Model,
    level: Level,
    /// Encoder, decoder, and what makes rows worse before.
    walks: Option<(Inference<'a>, Inference<'a>, Corruption<'a>)>,
}

impl Judge<'_> {
    /// What the model makes of some rows, all after scaling: the rows, their codes, their reconstructions, and for a network
    /// with BCE or cross-entropy the summed loss of each row. Where the network learned to undo noise, it is given noisy
    /// rows and judged by the clean ones. A PCA is judged in double precision, as it encodes: rows far from zero would lose
    /// their digits.
    pub fn rows(&mut self, source: &dyn Source, indices: &[usize]) -> Result<Judged> {
        let Self { model, level, walks } = self;
        let level = *level;
        let width = model.shape.len();
        let n = indices.len();
        match (&model.fitted, walks) {
            (Fitted::Network { plan, .. }, Some((encoder, decoder, noise))) => {
                let mut rows = vec![0.0f32; n * width];
                model.scaling.gather(source, indices, &mut rows, level)?;
                let mut given = rows.clone();
                for (row, &index) in given.chunks_exact_mut(width).zip(indices) {
                    noise.apply(level, row, index, Mode::Evaluate);
                }
                // A variational encoder stops one step short: its means are the code, its variances tell the divergence.
                let encoded = encoder.forward(&given, false);
                let mut divergences = None;
                let codes = if plan.divergence().is_some() {
                    let k = plan.code().len();
                    let mut sums = vec![0.0; n];
                    sampling::divergence(level, &mut sums, encoded, k);
                    divergences = Some(sums);
                    &encoded.chunks_exact(2 * k).flat_map(|row| row[..k].to_vec()).collect::<Vec<f32>>()[..]
                } else {
                    encoded
                };
                let logits = plan.loss_takes_logits();
                let mut outputs = decoder.forward(codes, logits).to_vec();
                let mut losses = None;
                if logits {
                    let (mut sums, mut copy) = (vec![0.0; n], outputs.clone());
                    let last = &plan.steps[plan.steps.len() - 1];
                    match plan.loss {
                        Loss::Bce => loss::bce_logits(level, &mut sums, &mut copy, &rows, 1.0),
                        _ => loss::cross_entropy_logits(level, &mut sums, &mut copy, &rows, 1.0),
                    }
                    losses = Some(sums);
                    if last.op == Op::Softmax {
                        activation::softmax(level, &mut outputs, width);
                    }
                    activation::forward(level, &mut outputs, last.activation);
                } else if plan.loss != Loss::Mse {
                    let (mut sums, mut copy) = (vec![0.0; n], outputs.clone());
                    let error = if plan.loss == Loss::Mae { loss::absolute_error } else { loss::huber };
                    error(level, &mut sums, &mut copy, &rows, Activation::Linear, 1.0);
                    losses = Some(sums);
                }
                let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect();
                Ok(Judged {
                    rows: wide(&rows),
                    given,
                    codes: wide(codes),
                    outputs: wide(&outputs),
                    losses,
                    divergences,
                })
            }
            (Fitted::Pca(pca), _) => {
                let mut rows = vec![0.0; n * width];
                source.gather_f64(indices, &mut rows)?;
                model.scaling.apply_f64(&mut rows, width);
                let (mut codes, mut outputs) = (vec![0.0; n * pca.code_size()], vec![0.0; rows.len()]);
                pca.encode(&mut codes, &rows, level);
                pca.decode(&mut outputs, &codes, level);
                let given = rows.iter().map(|&value| value as f32).collect();
                Ok(Judged { rows, given, codes, outputs, losses: None, divergences: None })
            }
            (Fitted::Network { .. }, None) => unreachable!("a network is judged by walks"),
        }
    }
}

/// Refuses rows in shares (0..1) where the rows that a method was fitted on were bytes: dividing them by 255 would leave
/// nothing, without a word.
pub(crate) fn check_units(fitted_on: Element, scale: Scale, rows: &Measured<'_>) -> Result<()> {
    if fitted_on != Element::U8 || scale != Scale::Unit || rows.source.element() == Element::U8 {
        return Ok(());
    }
    let largest = rows.statistics()?.largest();
    if largest > 0.0 && largest <= 1.0 {
        return Err(Error::data("the rows lie in 0..1; the model was fitted on bytes and divides by 255")
            .hint("multiply the rows by 255"));
    }
    Ok(())
}

/// See [`Judge::rows`].
pub(crate) struct Judged {
    pub rows: Vec<f64>,
    /// The rows as the model saw them, with their noise.
    pub given: Vec<f32>,
    pub codes: Vec<f64>,
    pub outputs: Vec<f64>,
    pub losses: Option<Vec<f32>>,
    /// Of a variational network: for each row that of its code's distribution from the standard normal.
    pub divergences: Option<Vec<f32>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Encode,
    Decode,
    Both,
}

/// The layer table of a PCA: the chain it is.
pub fn pca_table(shape: Shape, code_size: usize) -> LayerTable {
    let row = |name: &str, operation: String, from: String, to: String, count: usize| {
        vec![name.to_owned(), operation, from, to, count.to_string()]
    };
    let (d, k) = (shape.len(), code_size);
    LayerTable {
        header: ["layer", "operation", "input", "output", "parameters"].map(str::to_owned).to_vec(),
        rows: vec![
            row("encoder.1", "subtract mean".into(), shape.to_string(), shape.to_string(), d),
            row("encoder.2 (code)", format!("components {k}"), shape.to_string(), k.to_string(), k * d),
            row("decoder.1", "components transposed, add mean".into(), k.to_string(), shape.to_string(), 0),
        ],
    }
}
