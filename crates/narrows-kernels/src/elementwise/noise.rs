//! Noise from random bits: normal deviates, corruption of rows, dropout masks. All functions use additions,
//! multiplications and comparisons only, none of them fused, so the same bits give the same results at every level and
//! on every machine.

use crate::simd::math::ln;
use crate::simd::{Level, dispatch};

/// 2^-24, the spacing of the uniform random numbers.
const UNIFORM_STEP: f32 = 1.0 / 16_777_216.0;

/// Standard normal deviates (mean 0, standard deviation 1), one random word each (Box and Muller 1958). `out[i]` and
/// `out[i + len / 2]` are computed from the words at the same indices. The largest magnitude is 5.9.
///
/// # Panics
/// If the lengths differ or are odd.
pub fn normal(level: Level, out: &mut [f32], words: &[u32]) {
    assert!(out.len() == words.len() && out.len().is_multiple_of(2), "pairs of numbers");
    #[inline(always)]
    fn run(out: &mut [f32], words: &[u32]) {
        let half = out.len() / 2;
        let (cosines, sines) = out.split_at_mut(half);
        let (lengths, angles) = words.split_at(half);
        for i in 0..half {
            // In (0, 1): never 0, whose logarithm is infinite.
            let u = ((lengths[i] >> 8) as i32 as f32 + 0.5) * UNIFORM_STEP;
            let length = (-2.0 * ln(u)).sqrt();
            let (sine, cosine) = sine_and_cosine(uniform(angles[i]));
            cosines[i] = length * cosine;
            sines[i] = length * sine;
        }
    }
    dispatch!(level, _s => run(out, words));
}

/// The sine and cosine of an angle in turns, in [0, 1).
#[inline(always)]
fn sine_and_cosine(turn: f32) -> (f32, f32) {
    // Reduces to the nearest quarter turn q and an angle in [-pi/4, pi/4], for which short Taylor series suffice.
    let q = (turn * 4.0 + 0.5) as i32;
    let angle = (turn * 4.0 - q as f32) * std::f32::consts::FRAC_PI_2;
    let a2 = angle * angle;
    let sine =
        angle * ((((1.0 / 362_880.0 * a2 - 1.0 / 5040.0) * a2 + 1.0 / 120.0) * a2 - 1.0 / 6.0) * a2 + 1.0);
    let cosine = (((1.0 / 40320.0 * a2 - 1.0 / 720.0) * a2 + 1.0 / 24.0) * a2 - 0.5) * a2 + 1.0;
    let (sine, cosine) = if q & 1 == 0 { (sine, cosine) } else { (cosine, -sine) };
    if q & 2 == 0 { (sine, cosine) } else { (-sine, -cosine) }
}

/// Adds `deviation` times the noise to each value, and clamps the result to `limits` if given.
///
/// # Panics
/// If the lengths differ.
pub fn add(level: Level, values: &mut [f32], noise: &[f32], deviation: f32, limits: Option<(f32, f32)>) {
    assert_eq!(values.len(), noise.len());
    let (low, high) = limits.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
    #[inline(always)]
    fn run(values: &mut [f32], noise: &[f32], deviation: f32, low: f32, high: f32) {
        for (value, noise) in values.iter_mut().zip(noise) {
            let noisy = *value + deviation * noise;
            let noisy = if noisy < low { low } else { noisy };
            *value = if noisy > high { high } else { noisy };
        }
    }
    dispatch!(level, _s => run(values, noise, deviation, low, high));
}

/// Replaces each value with probability `probability` by `low` or `high`, each in half of the cases. Uses one random
/// word per value.
///
/// # Panics
/// If the lengths differ.
pub fn replace(level: Level, values: &mut [f32], words: &[u32], probability: f32, (low, high): (f32, f32)) {
    assert_eq!(values.len(), words.len());
    #[inline(always)]
    fn run(values: &mut [f32], words: &[u32], probability: f32, low: f32, high: f32) {
        for (value, word) in values.iter_mut().zip(words) {
            let u = uniform(*word);
            let replacement = if u < 0.5 * probability { low } else { high };
            *value = if u < probability { replacement } else { *value };
        }
    }
    dispatch!(level, _s => run(values, words, probability, low, high));
}

/// The mask of inverted dropout (Srivastava et al. 2014): 0 with probability `probability`, else 1 / (1 -
/// `probability`), so that the expected value of a unit does not change. Uses one random word per unit.
///
/// # Panics
/// If the lengths differ.
pub fn dropout_mask(level: Level, mask: &mut [f32], words: &[u32], probability: f32) {
    assert_eq!(mask.len(), words.len());
    #[inline(always)]
    fn run(mask: &mut [f32], words: &[u32], probability: f32) {
        let kept = 1.0 / (1.0 - probability);
        for (factor, word) in mask.iter_mut().zip(words) {
            *factor = if uniform(*word) < probability { 0.0 } else { kept };
        }
    }
    dispatch!(level, _s => run(mask, words, probability));
}

/// A uniform number in [0, 1) from a random word.
#[inline(always)]
fn uniform(word: u32) -> f32 {
    (word >> 8) as i32 as f32 * UNIFORM_STEP
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Random words from SplitMix64 (Steele et al. 2014).
    fn words(count: usize) -> Vec<u32> {
        let mut state = 7u64;
        (0..count)
            .map(|_| {
                state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut z = state;
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                ((z ^ (z >> 31)) >> 32) as u32
            })
            .collect()
    }

    #[test]
    fn logarithm_sine_and_cosine_are_those_of_double_precision() {
        for i in 0..=100_000u32 {
            let x = (i as f32 + 0.5) * (1.0 / 100_001.0);
            let exact = f64::from(x).ln();
            assert!((f64::from(ln(x)) - exact).abs() <= 3e-7 * (1.0 + exact.abs()), "ln {x}");
            let (sine, cosine) = sine_and_cosine(x);
            let angle = f64::from(x) * std::f64::consts::TAU;
            assert!((f64::from(sine) - angle.sin()).abs() < 5e-7, "sine of {x} turns");
            assert!((f64::from(cosine) - angle.cos()).abs() < 5e-7, "cosine of {x} turns");
        }
        assert!((f64::from(ln(0.5 * UNIFORM_STEP)) - f64::from(0.5 * UNIFORM_STEP).ln()).abs() < 1e-5);
    }

    #[test]
    fn normal_numbers_have_the_moments_and_the_distribution_of_the_normal() {
        let n = 200_000;
        let mut numbers = vec![0.0; n];
        normal(Level::detect(), &mut numbers, &words(n));
        let moment = |power: i32| numbers.iter().map(|&x| f64::from(x).powi(power)).sum::<f64>() / n as f64;
        // Five standard errors, which are 0.0022, 0.0032, 0.0087 and 0.022.
        for (power, want, allowed) in [(1, 0.0, 0.011), (2, 1.0, 0.016), (3, 0.0, 0.044), (4, 3.0, 0.11)] {
            assert!((moment(power) - want).abs() < allowed, "moment {power}: {}", moment(power));
        }
        let below = |x: f32| numbers.iter().filter(|&&number| number < x).count() as f64 / n as f64;
        for (x, want) in
            [(-1.959_964, 0.025), (-0.674_49, 0.25), (0.0, 0.5), (1.0, 0.841_344_7), (2.326_348, 0.99)]
        {
            assert!((below(x) - want).abs() < 0.006, "P(x < {x}) = {}", below(x));
        }
        let both: f64 = numbers[..n / 2].iter().zip(&numbers[n / 2..]).map(|(&a, &b)| f64::from(a * b)).sum();
        assert!((both / (n / 2) as f64).abs() < 0.016, "the two numbers of a pair are uncorrelated");
    }

    #[test]
    fn every_level_gives_the_same_bits() {
        let words = words(2 * 67);
        let make = |level| {
            let (mut noise, mut values) = (vec![0.0; words.len()], vec![0.25; words.len()]);
            normal(level, &mut noise, &words);
            add(level, &mut values, &noise, 0.5, Some((0.0, 1.0)));
            replace(level, &mut values, &words, 0.3, (0.0, 1.0));
            let mut mask = vec![0.5; words.len()];
            dropout_mask(level, &mut mask, &words, 0.3);
            (noise, values, mask)
        };
        let first = make(Level::detect());
        assert!(Level::available().into_iter().all(|level| make(level) == first));
    }

    #[test]
    fn dropout_has_the_given_probability_and_keeps_the_mean() {
        let n = 100_000;
        let mut mask = vec![0.5; n];
        for probability in [0.2f32, 0.5] {
            dropout_mask(Level::detect(), &mut mask, &words(n), probability);
            let out = mask.iter().filter(|&&factor| factor == 0.0).count() as f64 / n as f64;
            // Standard error at most 0.0016.
            assert!((out - f64::from(probability)).abs() < 0.008, "{out} of {probability}");
            assert!(mask.iter().all(|&factor| factor == 0.0 || factor == 1.0 / (1.0 - probability)));
        }
        dropout_mask(Level::detect(), &mut mask, &words(n), 0.0);
        assert!(mask.iter().all(|&factor| factor == 1.0));
        dropout_mask(Level::detect(), &mut mask, &words(n), 1.0);
        assert!(mask.iter().all(|&factor| factor == 0.0));
        // The units dropped are those that `replace` replaces.
        let mut values = vec![0.5; n];
        replace(Level::detect(), &mut values, &words(n), 0.3, (2.0, 3.0));
        dropout_mask(Level::detect(), &mut mask, &words(n), 0.3);
        assert!(values.iter().zip(&mask).all(|(&value, &factor)| (value == 0.5) == (factor > 0.0)));
    }

    #[test]
    fn replacement_has_the_given_probability_and_values_are_clamped() {
        let n = 100_000;
        let mut values = vec![0.5; n];
        replace(Level::detect(), &mut values, &words(n), 0.4, (0.0, 1.0));
        let probability = |x: f32| values.iter().filter(|&&value| value == x).count() as f64 / n as f64;
        // Standard error 0.0013.
        assert!((probability(0.0) - 0.2).abs() < 0.007 && (probability(1.0) - 0.2).abs() < 0.007);
        let mut values = vec![0.5, -3.0, 3.0, 0.2];
        add(Level::detect(), &mut values, &[1.0, 0.0, 0.0, -1.0], 0.1, Some((0.0, 1.0)));
        assert!(values.iter().zip([0.6, 0.0, 1.0, 0.1]).all(|(a, b)| (a - b).abs() < 1e-6), "{values:?}");
    }
}
