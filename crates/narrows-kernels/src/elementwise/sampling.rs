//! Sampling of latent codes by the reparameterization trick (Kingma & Welling 2014), and the KL divergence from the
//! standard normal distribution.
//!
//! A row of `moments` has 2 `width` elements: the means of `width` units, then the logarithms of their variances. The
//! standard normal `noise` is an input, so gradients pass through the sample: code = mean + e^(log variance / 2) noise.

use crate::simd::{Lanes, Level, Simd, dispatch, math};

/// Samples a code for each row of moments.
///
/// # Panics
/// If the lengths do not match.
pub fn sample(level: Level, codes: &mut [f32], moments: &[f32], noise: &[f32], width: usize) {
    assert!(width > 0 && codes.len().is_multiple_of(width));
    assert!(noise.len() == codes.len() && moments.len() == 2 * codes.len());
    #[inline(always)]
    fn row<S: Simd>(s: S, codes: &mut [f32], moments: &[f32], noise: &[f32]) {
        let (means, log_variances) = moments.split_at(codes.len());
        for at in (0..codes.len()).step_by(<S as Lanes<f32>>::COUNT) {
            let deviation = math::exp(s, s.mul(s.constant(0.5), s.read(log_variances, at)));
            s.write(codes, at, s.mul_add(deviation, s.read(noise, at), s.read(means, at)));
        }
    }
    dispatch!(level, s => {
        let rows = codes.chunks_exact_mut(width).zip(moments.chunks_exact(2 * width));
        for ((codes, moments), noise) in rows.zip(noise.chunks_exact(width)) {
            row(s, codes, moments, noise);
        }
    });
}

/// The gradients at the moments: those that `code_gradients` have through [`sample`], plus those of `weight` times the
/// row's [`kl_divergence`].
///
/// # Panics
/// If the lengths do not match.
pub fn sample_backward(
    level: Level,
    gradients: &mut [f32],
    code_gradients: &[f32],
    moments: &[f32],
    noise: &[f32],
    width: usize,
    weight: f32,
) {
    assert!(width > 0 && noise.len().is_multiple_of(width) && code_gradients.len() == noise.len());
    assert!(gradients.len() == moments.len() && moments.len() == 2 * noise.len());
    #[inline(always)]
    fn row<S: Simd>(
        s: S,
        gradients: &mut [f32],
        at_code: &[f32],
        moments: &[f32],
        noise: &[f32],
        weight: f32,
    ) {
        let (means, log_variances) = moments.split_at(noise.len());
        let (at_means, at_log_variances) = gradients.split_at_mut(noise.len());
        let (half, weight) = (s.constant(0.5), s.constant(weight));
        for at in (0..noise.len()).step_by(<S as Lanes<f32>>::COUNT) {
            let g = s.read(at_code, at);
            s.write(at_means, at, s.mul_add(weight, s.read(means, at), g));
            // With the standard deviation d: (g d noise + weight (d^2 - 1)) / 2.
            let d = math::exp(s, s.mul(half, s.read(log_variances, at)));
            let excess = s.mul_add(d, d, s.constant(-1.0));
            let sum = s.mul_add(weight, excess, s.mul(s.mul(g, d), s.read(noise, at)));
            s.write(at_log_variances, at, s.mul(half, sum));
        }
    }
    dispatch!(level, s => {
        let rows = gradients.chunks_exact_mut(2 * width).zip(moments.chunks_exact(2 * width));
        let codes = code_gradients.chunks_exact(width).zip(noise.chunks_exact(width));
        for ((gradients, moments), (at_code, noise)) in rows.zip(codes) {
            row(s, gradients, at_code, moments, noise, weight);
        }
    });
}

/// The KL divergence (Kullback & Leibler 1951) of each row's distribution from the standard normal distribution,
/// written to `sums`: the sum over units of (mean^2 + variance - log variance - 1) / 2.
///
/// # Panics
/// If the lengths do not match.
pub fn kl_divergence(level: Level, sums: &mut [f32], moments: &[f32], width: usize) {
    assert!(width > 0 && moments.len() == 2 * width * sums.len());
    #[inline(always)]
    fn row<S: Simd>(s: S, means: &[f32], log_variances: &[f32]) -> f32 {
        let mut sum = s.constant(0.0);
        for at in (0..means.len()).step_by(<S as Lanes<f32>>::COUNT) {
            // Lanes past the end read mean = log variance = 0, which add 0.
            let (mean, log_variance) = (s.read(means, at), s.read(log_variances, at));
            let excess = s.sub(math::exp_m1(s, log_variance), log_variance);
            sum = s.add(sum, s.mul_add(mean, mean, excess));
        }
        0.5 * s.sum(sum)
    }
    dispatch!(level, s => {
        for (sum, moments) in sums.iter_mut().zip(moments.chunks_exact(2 * width)) {
            let (means, log_variances) = moments.split_at(width);
            *sum = row(s, means, log_variances);
        }
    });
}
