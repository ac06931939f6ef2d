//! Rows taken through a model with everything that an evaluation needs of each: codes, outputs, losses.

use narrows_kernels::{Activation, Level, activation, loss, sampling};

use super::{Fitted, Model};
use crate::data::Source;
use crate::error::Result;
use crate::network::engine::Inference;
use crate::network::noise::{Corruption, Mode};
use crate::network::plan::Op;
use crate::recipe::Loss;

impl Model {
    /// What judging needs beside the model, for one thread.
    pub(crate) fn judge(&self, level: Level) -> Judge<'_> {
        let walks = match &self.fitted {
            Fitted::Network { plan, parameters } => {
                let noise = Corruption::new(&plan.noise, self.recipe.seed(), self.shape.len());
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
                    sampling::kl_divergence(level, &mut sums, encoded, k);
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
                pca.encode_into(&mut codes, &rows, level);
                pca.decode_into(&mut outputs, &codes, level);
                let given = rows.iter().map(|&value| value as f32).collect();
                Ok(Judged { rows, given, codes, outputs, losses: None, divergences: None })
            }
            (Fitted::Network { .. }, None) => unreachable!("a network is judged by walks"),
        }
    }
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
