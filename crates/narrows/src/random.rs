//! Random numbers that are part of what a seed means.
//!
//! Every use has its own generator, keyed by (seed, purpose, index): what one use draws never shifts another, and
//! neither the number of threads nor the order of work matters. Streams and algorithms here are frozen: a change
//! would give other results for the same seed.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What random numbers are drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// First values of parameters; the index is the layer.
    Weights = 1,
    /// The order of rows in an epoch; the index is the epoch.
    Shuffle = 2,
    /// The choice of held-out rows; the index is 0.
    HoldOut = 3,
}

/// The generator for one purpose: its 32-byte key is the seed, the purpose's tag, the index and a constant.
pub(crate) fn generator(seed: u64, purpose: Purpose, index: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&(purpose as u64).to_le_bytes());
    key[16..24].copy_from_slice(&index.to_le_bytes());
    key[24..].copy_from_slice(b"narrows1");
    ChaCha8Rng::from_seed(key)
}

/// Puts `items` in a random order, each order equally likely (Fisher-Yates).
pub(crate) fn shuffle(items: &mut [usize], random: &mut ChaCha8Rng) {
    for last in (1..items.len()).rev() {
        items.swap(last, below(last + 1, random));
    }
}

/// A number of [0, 1), one of the 2^24 equally spaced ones that an f32 holds exactly.
pub(crate) fn uniform(random: &mut ChaCha8Rng) -> f32 {
    (random.next_u32() >> 8) as f32 * (1.0 / 16_777_216.0)
}

/// A number of 0..bound, each equally likely: the high half of draw x bound, drawn again where the low half falls in
/// the part that would favour some numbers (Lemire 2019). One word per draw where the bound fits one.
fn below(bound: usize, random: &mut ChaCha8Rng) -> usize {
    debug_assert!(bound > 0);
    match u32::try_from(bound) {
        Ok(bound) => loop {
            let product = u64::from(random.next_u32()) * u64::from(bound);
            if product as u32 >= bound.wrapping_neg() % bound {
                return (product >> 32) as usize;
            }
        },
        Err(_) => {
            let bound = bound as u64;
            loop {
                let product = u128::from(random.next_u64()) * u128::from(bound);
                if product as u64 >= bound.wrapping_neg() % bound {
                    return (product >> 64) as usize;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_these_numbers() {
        let mut random = generator(7, Purpose::Shuffle, 3);
        let mut order: Vec<usize> = (0..10).collect();
        shuffle(&mut order, &mut random);
        let first = (order, uniform(&mut random).to_bits());
        assert_eq!(first, (vec![2, 7, 6, 3, 5, 1, 0, 8, 4, 9], 1_057_803_201));
    }

    #[test]
    fn purposes_indices_and_seeds_are_apart() {
        let keys = [
            (0, Purpose::Weights, 0),
            (0, Purpose::Shuffle, 0),
            (0, Purpose::HoldOut, 0),
            (0, Purpose::Weights, 1),
            (1, Purpose::Weights, 0),
        ];
        let mut draws: Vec<u64> =
            keys.iter().map(|&(seed, purpose, index)| generator(seed, purpose, index).next_u64()).collect();
        draws.sort_unstable();
        draws.dedup();
        assert_eq!(draws.len(), keys.len());
    }

    #[test]
    fn every_order_of_three_is_equally_likely() {
        let mut random = generator(0, Purpose::Shuffle, 0);
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..60_000 {
            let mut order = [0, 1, 2];
            shuffle(&mut order, &mut random);
            *counts.entry(order).or_insert(0i32) += 1;
        }
        assert_eq!(counts.len(), 6);
        // The standard deviation of each count is 91.
        assert!(counts.values().all(|count| (count - 10_000).abs() < 500), "{counts:?}");
    }

    #[test]
    fn uniform_fills_the_half_open_interval() {
        let mut random = generator(0, Purpose::Weights, 0);
        let draws: Vec<f32> = (0..100_000).map(|_| uniform(&mut random)).collect();
        assert!(draws.iter().all(|draw| (0.0..1.0).contains(draw)));
        let mean = draws.iter().sum::<f32>() / 1e5;
        assert!((mean - 0.5).abs() < 0.005, "{mean}");
    }

    #[test]
    fn bounds_past_one_word_work() {
        let mut random = generator(0, Purpose::Weights, 0);
        let bound = 3usize << 40;
        let draws: Vec<usize> = (0..1000).map(|_| below(bound, &mut random)).collect();
        assert!(draws.iter().all(|&draw| draw < bound));
        assert!(draws.iter().any(|&draw| draw > bound / 2));
    }
}
