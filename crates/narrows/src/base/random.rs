//! Keyed random numbers: (seed, purpose, index) is the key of a stream (ChaCha8). The same key gives the same numbers in all
//! versions, on every machine and with any number of threads.

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};

/// The purpose of a stream. The values are part of the key and must never be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Initial weights; the index is the parameter.
    Weights = 1,
    /// Shuffling of the rows; the index is the epoch.
    Shuffle = 2,
    /// Choice of the held-out rows.
    HoldOut = 3,
    /// Noise on training rows.
    Noise = 4,
    /// Noise on evaluation rows.
    JudgingNoise = 5,
    /// Dropout; the index combines the step of the plan and the epoch.
    Dropout = 6,
    /// Codes of variational networks in training; the index combines the step of the plan and the epoch.
    Code = 7,
    /// Codes drawn for figures.
    Picture = 8,
    /// Choice of the rows whose labels are used.
    Labelled = 9,
    /// The first vectors of an iteration for eigenvectors; the index is the number of vectors found so far.
    Eigenvectors = 10,
}

/// The stream of a key (seed, purpose, index).
pub(crate) fn generator(seed: u64, purpose: Purpose, index: u64) -> ChaCha8Rng {
    row_generator(seed, purpose, index, 0)
}

/// The stream of a key (seed, purpose, index, row).
pub(crate) fn row_generator(seed: u64, purpose: Purpose, index: u64, row: u64) -> ChaCha8Rng {
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&(purpose as u64).to_le_bytes());
    key[16..24].copy_from_slice(&index.to_le_bytes());
    key[24..].copy_from_slice(&row.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// Fills `words` with random bits.
pub(crate) fn fill_words(generator: &mut ChaCha8Rng, words: &mut [u32]) {
    words.iter_mut().for_each(|word| *word = generator.next_u32());
}

/// A uniform number in [0, 1), a multiple of 2^-24.
pub(crate) fn uniform(generator: &mut ChaCha8Rng) -> f32 {
    (generator.next_u32() >> 8) as f32 * (1.0 / 16_777_216.0)
}

/// A standard normal number (Box and Muller 1958).
pub(crate) fn normal(generator: &mut ChaCha8Rng) -> f64 {
    let uniform = |generator: &mut ChaCha8Rng| (f64::from(generator.next_u32()) + 0.5) / 4_294_967_296.0;
    let (radius, angle) = (uniform(generator), uniform(generator));
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

/// A uniform integer below `bound`, without bias (Lemire 2019).
pub(crate) fn below(bound: u32, generator: &mut ChaCha8Rng) -> u32 {
    let mut product = u64::from(generator.next_u32()) * u64::from(bound);
    if (product as u32) < bound {
        let redraw = bound.wrapping_neg() % bound;
        while (product as u32) < redraw {
            product = u64::from(generator.next_u32()) * u64::from(bound);
        }
    }
    (product >> 32) as u32
}

/// Shuffles a list (Fisher and Yates 1938).
///
/// # Panics
/// Where the list has 2^32 entries or more.
pub(crate) fn shuffle(list: &mut [usize], generator: &mut ChaCha8Rng) {
    assert!(u32::try_from(list.len()).is_ok());
    for last in (1..list.len()).rev() {
        list.swap(last, below(last as u32 + 1, generator) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_fixed_and_apart() {
        let first = |seed, purpose, index| generator(seed, purpose, index).next_u64();
        assert_eq!(first(1, Purpose::Shuffle, 2), first(1, Purpose::Shuffle, 2));
        let all = [
            first(1, Purpose::Shuffle, 2),
            first(2, Purpose::Shuffle, 2),
            first(1, Purpose::Weights, 2),
            first(1, Purpose::Shuffle, 3),
        ];
        assert!((1..4).all(|i| !all[..i].contains(&all[i])));
        // ChaCha8 with a key of zeros (Bernstein's reference implementation): 3e 00 ef 2f ...
        let mut zeros = ChaCha8Rng::from_seed([0; 32]);
        assert_eq!(zeros.next_u32().to_le_bytes(), [0x3e, 0x00, 0xef, 0x2f]);
    }

    /// A block of ChaCha8 as it is defined (Bernstein 2008): a key and the number of the block, the nonce is 0.
    fn block(key: [u8; 32], number: u64) -> [u32; 16] {
        let mut start = [0; 16];
        start[..4].copy_from_slice(&[0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574]);
        for (word, bytes) in start[4..12].iter_mut().zip(key.chunks(4)) {
            *word = u32::from_le_bytes(bytes.try_into().unwrap());
        }
        (start[12], start[13]) = (number as u32, (number >> 32) as u32);
        let mut x = start;
        let mut quarter_round = |[a, b, c, d]: [usize; 4]| {
            for (sum, summand, mixed, rotation) in [(a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)]
            {
                x[sum] = x[sum].wrapping_add(x[summand]);
                x[mixed] = (x[mixed] ^ x[sum]).rotate_left(rotation);
            }
        };
        for _ in 0..4 {
            (0..4).for_each(|i| quarter_round([i, 4 + i, 8 + i, 12 + i]));
            (0..4).for_each(|i| quarter_round([i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4]));
        }
        std::array::from_fn(|at| x[at].wrapping_add(start[at]))
    }

    #[test]
    fn a_stream_is_the_blocks_of_chacha8_in_their_order() {
        for seed in [0, 1, u64::MAX] {
            let mut stream = row_generator(seed, Purpose::Noise, 5, 70_000);
            let key: Vec<u8> =
                [seed, Purpose::Noise as u64, 5, 70_000].iter().flat_map(|part| part.to_le_bytes()).collect();
            for number in 0..40 {
                let wanted = block(key.clone().try_into().unwrap(), number);
                let mut words = [0; 16];
                fill_words(&mut stream, &mut words);
                assert_eq!(words, wanted, "block {number}");
            }
        }
    }

    #[test]
    fn a_shuffle_is_a_permutation_and_every_place_is_equally_likely() {
        let mut counts = [[0u32; 5]; 5];
        for index in 0..10_000 {
            let mut list = [0, 1, 2, 3, 4];
            shuffle(&mut list, &mut generator(7, Purpose::Shuffle, index));
            let mut sorted = list;
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4]);
            for (place, &item) in list.iter().enumerate() {
                counts[place][item] += 1;
            }
        }
        // 2,000 expected, standard deviation 40: five of them.
        assert!(counts.iter().flatten().all(|&count| count.abs_diff(2000) < 200), "{counts:?}");
    }

    #[test]
    fn uniform_numbers_fill_the_unit_interval() {
        let mut stream = generator(3, Purpose::Weights, 0);
        let numbers: Vec<f32> = (0..10_000).map(|_| uniform(&mut stream)).collect();
        assert!(numbers.iter().all(|number| (0.0..1.0).contains(number)));
        let mean = numbers.iter().sum::<f32>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.015, "{mean}");
    }
}
