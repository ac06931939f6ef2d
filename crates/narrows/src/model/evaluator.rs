//! Forward passes for evaluation: the code, the reconstruction and the scores of each row, on the model's scale.

use narrows_kernels::loss::MixedRow;
use narrows_kernels::{Activation, Level, activation, loss, sampling};

use super::gaps::{GapFiller, has_gaps};
use super::metrics::RowScores;
use super::{Fitted, Model};
use crate::data::Source;
use crate::data::source::{check_not_infinite, first_not_finite};
use crate::error::Result;
use crate::network::engine::Inference;
use crate::network::gaps::{fill_gaps, leave_out};
use crate::network::noise::{Corruption, Mode};
use crate::network::plan::{Op, Plan};
use crate::pca::Pca;
use crate::recipe::Loss;

impl Model {
    /// An evaluator for one thread: it owns the packed weights and the buffers of the forward passes.
    pub(crate) fn evaluator(&self, level: Level) -> Evaluator<'_> {
        let method = match &self.fitted {
            Fitted::Network { plan, parameters } => {
                let encoder = match plan.divergence() {
                    Some(_) => Inference::code_distribution(level, plan, parameters),
                    None => Inference::encoder(level, plan, parameters),
                };
                let decoder = Inference::decoder(level, plan, parameters);
                let noise = Corruption::new(&plan.noise, self.recipe.seed(), self.shape.len());
                let (fill, columns) = (self.fill(), plan.mixed_row());
                let pass = NetworkPass { plan, level, encoder, decoder, noise, fill, columns };
                EvaluatedMethod::Network(Box::new(pass))
            }
            Fitted::Pca(pca) => EvaluatedMethod::Pca(pca, GapFiller::new(self)),
        };
        Evaluator { model: self, level, method }
    }
}

/// Evaluates rows in chunks; one per thread.
pub(crate) struct Evaluator<'a> {
    model: &'a Model,
    level: Level,
    method: EvaluatedMethod<'a>,
}

enum EvaluatedMethod<'a> {
    Pca(&'a Pca, GapFiller<'a>),
    Network(Box<NetworkPass<'a>>),
}

impl Evaluator<'_> {
    /// Encodes and decodes the rows with the given indices.
    ///
    /// A denoising network gets noisy rows, and its errors are measured against the clean ones. A PCA is evaluated in double
    /// precision, as it encodes: in single precision, rows far from zero would lose their digits. It encodes rows with gaps filled.
    ///
    /// # Errors
    /// If the rows cannot be read, or have infinite values, or missing ones where the method takes complete rows alone.
    pub fn rows(&mut self, source: &dyn Source, indices: &[usize]) -> Result<EvaluatedRows> {
        let Self { model, level, method } = self;
        let len = indices.len() * model.shape.len();
        match method {
            EvaluatedMethod::Network(network) => {
                let mut rows = vec![0.0f32; len];
                model.scaling.gather(source, indices, &mut rows, *level)?;
                let is_wrong =
                    |value: &f32| value.is_infinite() || (value.is_nan() && network.fill.is_none());
                if let Some(at) = first_not_finite(&rows).and_then(|_| rows.iter().position(is_wrong)) {
                    return Err(model.not_finite(source, indices[at / model.shape.len()], "its error"));
                }
                Ok(network.evaluate(rows, indices))
            }
            EvaluatedMethod::Pca(pca, filler) => {
                let mut rows = vec![0.0f64; len];
                source.gather_f64(indices, &mut rows)?;
                check_rows_not_infinite(source, &rows, indices)?;
                model.scaling.apply_f64(&mut rows, model.shape.len());
                Ok(evaluate_pca(pca, filler, rows, indices.len(), *level))
            }
        }
    }
}

/// As [`check_not_infinite`], for the rows with these indices.
fn check_rows_not_infinite(source: &dyn Source, rows: &[f64], indices: &[usize]) -> Result<()> {
    let rows = rows.chunks_exact(source.shape().len());
    indices.iter().zip(rows).try_for_each(|(&index, row)| check_not_infinite(source, row, index))
}

/// `rows` are n x d, after scaling.
fn evaluate_pca(pca: &Pca, filler: &GapFiller<'_>, rows: Vec<f64>, n: usize, level: Level) -> EvaluatedRows {
    let (mut codes, mut outputs) = (vec![0.0; n * pca.code_size()], vec![0.0; rows.len()]);
    let filled = has_gaps(&rows).then(|| {
        let mut filled = rows.clone();
        filler.fill(&mut filled, None);
        filled
    });
    let complete = filled.as_ref().unwrap_or(&rows);
    pca.encode_into(&mut codes, complete, level);
    pca.decode_into(&mut outputs, &codes, level);
    let inputs = complete.iter().map(|&value| value as f32).collect();
    EvaluatedRows { width: pca.mean.len(), rows, inputs, codes, outputs, losses: None, divergences: None }
}

/// The forward pass of a network.
struct NetworkPass<'a> {
    plan: &'a Plan,
    level: Level,
    encoder: Inference<'a>,
    decoder: Inference<'a>,
    noise: Corruption<'a>,
    /// The input where a number is missing; none for a network that takes complete rows alone.
    fill: Option<Vec<f32>>,
    columns: MixedRow,
}

impl NetworkPass<'_> {
    /// `rows` are n x d, after scaling; the noise of a row depends on its index.
    fn evaluate(&mut self, rows: Vec<f32>, indices: &[usize]) -> EvaluatedRows {
        let n = indices.len();
        let inputs = self.add_noise(&rows, indices);
        let (codes, divergences) = self.encode(&inputs, n);
        let mut outputs = self.decoder.forward(&codes, self.plan.loss_takes_logits()).to_vec();
        let losses = self.losses(&outputs, &rows, n);
        if self.plan.loss_takes_logits() {
            self.apply_last_function(&mut outputs);
        }
        EvaluatedRows {
            width: self.plan.input.len(),
            rows: widen(&rows),
            inputs,
            codes: widen(&codes),
            outputs: widen(&outputs),
            losses,
            divergences,
        }
    }

    fn add_noise(&mut self, rows: &[f32], indices: &[usize]) -> Vec<f32> {
        let mut inputs = rows.to_vec();
        if let Some(fill) = &self.fill {
            fill_gaps(&mut inputs, fill);
        }
        for (row, &index) in inputs.chunks_exact_mut(self.plan.input.len()).zip(indices) {
            self.noise.apply(self.level, row, index, Mode::Evaluate);
        }
        inputs
    }

    /// The codes (n x k), and for a variational network the KL divergence of each row. A variational encoder stops before
    /// it samples: its means are the codes.
    fn encode(&mut self, inputs: &[f32], n: usize) -> (Vec<f32>, Option<Vec<f32>>) {
        let encoded = self.encoder.forward(inputs, false);
        if self.plan.divergence().is_none() {
            return (encoded.to_vec(), None);
        }
        let k = self.plan.code().len();
        let mut divergences = vec![0.0; n];
        sampling::kl_divergence(self.level, &mut divergences, encoded, k);
        let means = encoded.chunks_exact(2 * k).flat_map(|row| &row[..k]).copied().collect();
        (means, Some(divergences))
    }

    /// The loss of each row, summed over its numbers; none for the squared error. `outputs` are logits where the loss takes
    /// them.
    fn losses(&self, outputs: &[f32], rows: &[f32], n: usize) -> Option<Vec<f32>> {
        let (plan, level, linear) = (self.plan, self.level, Activation::Linear);
        if plan.loss == Loss::Mse {
            return None;
        }
        // The kernels overwrite the outputs with gradients, which are not used here.
        let (mut losses, mut gradients, mut rows) = (vec![0.0; n], outputs.to_vec(), rows.to_vec());
        let width = plan.input.len();
        let factors: Vec<f32> = gradients
            .chunks_exact_mut(width)
            .zip(rows.chunks_exact_mut(width))
            .map(|(outputs, row)| leave_out(plan.loss, &plan.columns, outputs, row))
            .collect();
        match plan.loss {
            Loss::Mse => {}
            Loss::Bce => loss::bce_logits(level, &mut losses, &mut gradients, &rows, 1.0),
            Loss::CrossEntropy => loss::cross_entropy_logits(level, &mut losses, &mut gradients, &rows, 1.0),
            Loss::Mae => loss::absolute_error(level, &mut losses, &mut gradients, &rows, linear, 1.0),
            Loss::Huber => loss::huber(level, &mut losses, &mut gradients, &rows, linear, 1.0),
            Loss::Mixed => loss::mixed(level, &mut losses, &mut gradients, &rows, &self.columns, 1.0),
        }
        losses.iter_mut().zip(factors).for_each(|(loss, factor)| *loss *= factor);
        Some(losses)
    }

    /// From logits to outputs.
    fn apply_last_function(&self, outputs: &mut [f32]) {
        if self.plan.loss == Loss::Mixed {
            return self.columns.probabilities(self.level, outputs);
        }
        let last = &self.plan.steps[self.plan.steps.len() - 1];
        if last.op == Op::Softmax {
            activation::softmax(self.level, outputs, last.output.len());
        }
        activation::forward(self.level, outputs, last.activation);
    }
}

fn widen(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// The evaluation of n rows of d numbers with codes of k numbers, all on the model's scale.
pub(crate) struct EvaluatedRows {
    /// d.
    width: usize,
    /// The clean rows (n x d): the target of the reconstruction. NaN where a number is missing.
    pub rows: Vec<f64>,
    /// The input of the model (n x d): the rows, their gaps filled, with noise for a denoising network.
    pub inputs: Vec<f32>,
    /// n x k.
    pub codes: Vec<f64>,
    /// The reconstructions (n x d).
    pub outputs: Vec<f64>,
    /// The loss of each row, summed over its numbers; none for the squared error.
    losses: Option<Vec<f32>>,
    /// The KL divergence of each row's code distribution from the standard normal; for a variational network only.
    divergences: Option<Vec<f32>>,
}

impl EvaluatedRows {
    /// The first of the rows whose code, score or reconstruction is not finite. `scores` are those of these rows.
    pub fn first_not_finite(&self, scores: &RowScores) -> Option<usize> {
        let RowScores { squared_error, loss, divergence } = scores;
        // A reconstruction that is not finite has a squared error that is not.
        let code_size = self.codes.len() / squared_error.len().max(1);
        [Some(squared_error), loss.as_ref(), divergence.as_ref()]
            .into_iter()
            .flatten()
            .filter_map(|scores| first_not_finite(scores))
            .chain(first_not_finite(&self.codes).map(|at| at / code_size))
            .min()
    }

    /// One number of each kind per row.
    pub fn scores(&self) -> RowScores {
        let squared_error = |(row, output): (&[f64], &[f64])| {
            let observed = row.iter().zip(output).filter(|(x, _)| !x.is_nan());
            observed.map(|(&x, &y)| (x - y) * (x - y)).sum::<f64>()
        };
        RowScores {
            squared_error: self
                .rows
                .chunks_exact(self.width)
                .zip(self.outputs.chunks_exact(self.width))
                .map(squared_error)
                .collect(),
            loss: self.losses.as_deref().map(widen),
            divergence: self.divergences.as_deref().map(widen),
        }
    }
}
