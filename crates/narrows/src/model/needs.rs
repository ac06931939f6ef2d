//! The memory of applying a model to rows, in bytes: its result, and the work space of each thread.

use super::{Fitted, Model};
use crate::base::memory::require_or;
use crate::data::{Element, Source};
use crate::error::Result;
use crate::network::engine::{CHUNK, Inference};
use crate::network::plan::Plan;
use crate::pca::moments::scratch_bytes;

/// The evaluator of a network on one thread: both parts, and a chunk of rows as they are read, scaled, with noise, and
/// reconstructed, in single and in double precision.
pub(crate) fn evaluator_bytes(plan: &Plan, element: Element) -> usize {
    let (d, k) = (plan.input.len().max(plan.output().len()), plan.code().len());
    let rows = if element == Element::F64 { 48 } else { 40 };
    let chunk = CHUNK.saturating_mul(d.saturating_mul(rows).saturating_add(k.saturating_mul(24)));
    Inference::encoder_bytes(plan).saturating_add(Inference::decoder_bytes(plan)).saturating_add(chunk)
}

/// The sums that each chunk of n rows of d numbers with codes of k numbers leaves.
pub(crate) fn scores_bytes(n: usize, d: usize, k: usize) -> usize {
    let of_chunk = d.saturating_add(k.saturating_mul(2)).saturating_mul(size_of::<f64>());
    n.div_ceil(CHUNK).saturating_mul(of_chunk)
}

/// The sides of a model that rows go through.
#[derive(Clone, Copy)]
pub(super) struct Sides {
    pub encoder: bool,
    pub decoder: bool,
}

impl Model {
    /// Refuses rows whose results and work space, `width` numbers a row, take more memory than is free.
    pub(super) fn require_memory(&self, rows: &dyn Source, width: usize, sides: Sides) -> Result<()> {
        let (n, input, element) = (rows.rows(), rows.shape().len(), rows.element());
        let result = |n: usize| {
            let of_number = match (&self.fitted, element) {
                (Fitted::Network { .. }, _) => size_of::<f32>(),
                (Fitted::Pca(_), Element::F64) => size_of::<f64>(),
                // Found in double precision, returned in single.
                (Fitted::Pca(_), Element::U8 | Element::F32) => size_of::<f64>() + size_of::<f32>(),
            };
            n.saturating_mul(width).saturating_mul(of_number)
        };
        let of_thread = match &self.fitted {
            Fitted::Network { plan, .. } => {
                let encoder = if sides.encoder { Inference::encoder_bytes(plan) } else { 0 };
                let decoder = if sides.decoder { Inference::decoder_bytes(plan) } else { 0 };
                let number = if element == Element::F64 { 12 } else { 4 };
                let chunk = CHUNK.saturating_mul(input).saturating_mul(number);
                encoder.saturating_add(decoder).saturating_add(chunk)
            }
            Fitted::Pca(pca) => {
                let d = self.shape.len();
                let numbers = input.saturating_add(d).saturating_add(pca.code_size());
                CHUNK
                    .saturating_mul(numbers)
                    .saturating_mul(size_of::<f64>())
                    .saturating_add(scratch_bytes(d))
            }
        };
        let threads = self.compute.threads.clamp(1, n.div_ceil(CHUNK).max(1));
        let bytes = |n: usize, threads: usize| result(n).saturating_add(threads.saturating_mul(of_thread));
        let what = format!("the model's work on {n} rows of {input} numbers");
        require_or(bytes(n, threads), threads, what, |fits| self.hint(n, threads, &bytes, fits))
    }

    /// Refuses an evaluation on rows that takes more memory than is free.
    pub(crate) fn require_evaluation(&self, rows: &dyn Source) -> Result<()> {
        let (n, d, k) = (rows.rows(), self.shape.len(), self.code_shape().len());
        let of_thread = match &self.fitted {
            Fitted::Network { plan, .. } => evaluator_bytes(plan, rows.element()),
            Fitted::Pca(_) => {
                let chunk = CHUNK.saturating_mul(d.saturating_mul(32).saturating_add(k.saturating_mul(8)));
                chunk.saturating_add(scratch_bytes(d))
            }
        };
        let threads = self.compute.threads.clamp(1, n.div_ceil(CHUNK).max(1));
        let bytes = |n: usize, threads: usize| {
            scores_bytes(n, d, k).saturating_add(threads.saturating_mul(of_thread))
        };
        require_or(bytes(n, threads), threads, format_args!("an evaluation on {n} rows"), |fits| {
            self.hint(n, threads, &bytes, fits)
        })
    }

    /// Refuses the reconstruction of `n` rows at once, on this thread, that takes more memory than is free.
    pub(super) fn require_reconstruction(&self, n: usize, element: Element) -> Result<()> {
        let d = self.shape.len();
        let evaluator = self.network().map_or(0, |(plan, _)| evaluator_bytes(plan, element));
        let bytes = n.saturating_mul(d).saturating_mul(56).saturating_add(evaluator);
        require_or(bytes, 1, format_args!("the reconstruction of {n} rows"), |_| {
            "fewer rows at a time".to_owned()
        })
    }

    /// What would fit: fewer threads, or fewer rows.
    fn hint(
        &self,
        n: usize,
        threads: usize,
        bytes: &dyn Fn(usize, usize) -> usize,
        fits: &dyn Fn(usize, usize) -> bool,
    ) -> String {
        let fewer = (1..threads).rev().find(|&threads| fits(bytes(n, threads), threads));
        let rows = || {
            let mut halves = std::iter::successors(Some(n / 2), |n| Some(n / 2)).take_while(|&n| n > 0);
            halves.find(|&n| fits(bytes(n, 1), 1))
        };
        match (fewer, rows()) {
            (Some(threads), _) => format!("`threads` = {threads} fits"),
            (None, Some(rows)) => format!("{rows} rows at a time fit, on one thread"),
            (None, None) => "the layers of this model are too large for this machine".to_owned(),
        }
    }
}
