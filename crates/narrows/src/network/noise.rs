//! Corrupted rows: the input of a denoising network, whose targets are the clean rows.
//!
//! The noise of a row depends on the seed, the kind of noise, the epoch and the number of the row alone, so neither the batch
//! it is in nor the number of threads changes it. The engine corrupts rows in training and evaluation, the rooms `model` and
//! `evaluation` those that they evaluate.

use narrows_kernels::{Level, noise};

use crate::base::random::{Purpose, fill_words, row_generator};
use crate::recipe::{Noise, NoiseKind};

/// The use of rows that go through a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Training, in an epoch from 1 on.
    Train { epoch: usize },
    /// Evaluation: the noise is the same every time, nothing is dropped, and the code is the mean.
    Evaluate,
}

/// Adds noise to rows; keeps its buffers from row to row.
pub(crate) struct Corruption<'a> {
    noises: &'a [Noise],
    seed: u64,
    words: Vec<u32>,
    normal: Vec<f32>,
}

impl<'a> Corruption<'a> {
    /// For rows of `width` numbers.
    pub fn new(noises: &'a [Noise], seed: u64, width: usize) -> Self {
        // Normal numbers come in pairs.
        let len = if noises.is_empty() { 0 } else { width.next_multiple_of(2) };
        Self { noises, seed, words: vec![0; len], normal: vec![0.0; len] }
    }

    /// Adds noise to row number `index`, in place.
    pub fn apply(&mut self, level: Level, row: &mut [f32], index: usize, mode: Mode) {
        let width = row.len();
        for (place, Noise { kind, fresh }) in self.noises.iter().enumerate() {
            let (purpose, epoch) = match mode {
                Mode::Train { epoch } => (Purpose::Noise, if *fresh { epoch as u64 } else { 0 }),
                Mode::Evaluate => (Purpose::JudgingNoise, 0),
            };
            // The epoch takes the lower 32 bits, so that each noise of a row has streams of its own.
            let stream = (place as u64) << 32 | epoch;
            fill_words(&mut row_generator(self.seed, purpose, stream, index as u64), &mut self.words);
            match *kind {
                NoiseKind::Gaussian { deviation, clip } => {
                    noise::normal(level, &mut self.normal, &self.words);
                    noise::add(level, row, &self.normal[..width], deviation, clip);
                }
                NoiseKind::Masking { share } => {
                    noise::replace(level, row, &self.words[..width], share, (0.0, 0.0));
                }
                NoiseKind::SaltAndPepper { share } => {
                    noise::replace(level, row, &self.words[..width], share, (0.0, 1.0));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corrupted(noises: &[Noise], seed: u64, index: usize, mode: Mode) -> Vec<f32> {
        let mut row = vec![0.5; 101];
        Corruption::new(noises, seed, 101).apply(Level::detect(), &mut row, index, mode);
        row
    }

    #[test]
    fn noise_depends_on_seed_epoch_row_and_mode() {
        let noise = |fresh| Noise { kind: NoiseKind::Gaussian { deviation: 0.5, clip: None }, fresh };
        let training = |epoch| Mode::Train { epoch };
        let (fresh, fixed) = ([noise(true)], [noise(false)]);
        let first = corrupted(&fresh, 1, 2, training(3));
        assert_eq!(first, corrupted(&fresh, 1, 2, training(3)));
        for other in [
            corrupted(&fresh, 2, 2, training(3)),
            corrupted(&fresh, 1, 3, training(3)),
            corrupted(&fresh, 1, 2, training(4)),
            corrupted(&fresh, 1, 2, Mode::Evaluate),
            corrupted(&[noise(true), noise(true)], 1, 2, training(3)),
        ] {
            assert_ne!(first, other);
        }
        assert_eq!(corrupted(&fixed, 1, 2, training(3)), corrupted(&fixed, 1, 2, training(4)));
        assert_eq!(corrupted(&[], 1, 2, training(3)), vec![0.5; 101]);
    }

    /// Clipped noise is not zero-mean: the noisy mean of a pixel of 0 is that of max(0, N(0, 0.5)), about 0.2.
    #[test]
    fn clipped_noise_on_black_pixels_has_a_mean_of_a_fifth() {
        let noise =
            Noise { kind: NoiseKind::Gaussian { deviation: 0.5, clip: Some((0.0, 1.0)) }, fresh: true };
        let mut row = vec![0.0; 100_000];
        Corruption::new(&[noise], 0, row.len()).apply(Level::detect(), &mut row, 0, Mode::Evaluate);
        let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / row.len() as f64;
        // sigma (phi(0) - phi(2)) + 1 (1 - Phi(2)) with sigma = 1/2: 0.5 x (0.398942 - 0.053991) + 0.02275.
        assert!((mean - 0.195_225).abs() < 0.004, "{mean}");
    }
}
