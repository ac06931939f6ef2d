//! Codes drawn from a normal distribution whose moments a network computes (Kingma & Welling 2014).
//!
//! A row of `moments` has 2 `width` numbers: the means of `width` units, then the logarithms of their variances. The
//! randomness comes in as `noise`, so that a gradient passes the draw: code = mean + e^(log variance / 2) noise.

use crate::simd::{Lanes, Level, Simd, dispatch, math};

/// Draws a code for each row of moments.
///
/// # Panics
/// Where the lengths do not fit.
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

/// The gradients at the moments, written: of what gave `code_gradients`, plus `weight` times the row's [`divergence`].
///
/// # Panics
/// Where the lengths do not fit.
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
            // d the deviation: half of g d noise + weight (d^2 - 1).
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

/// How far each row's distribution is from the standard normal one (Kullback & Leibler 1951), written to `sums`: the sum
/// over units of (mean^2 + variance - log variance - 1) / 2.
///
/// # Panics
/// Where the lengths do not fit.
pub fn divergence(level: Level, sums: &mut [f32], moments: &[f32], width: usize) {
    assert!(width > 0 && moments.len() == 2 * width * sums.len());
    #[inline(always)]
    fn row<S: Simd>(s: S, means: &[f32], log_variances: &[f32]) -> f32 {
        let mut sum = s.constant(0.0);
        for at in (0..means.len()).step_by(<S as Lanes<f32>>::COUNT) {
            // Lanes past the end read mean = log variance = 0, and add 0.
            let (mean, log_variance) = (s.read(means, at), s.read(log_variances, at));
            let excess = s.sub(math::exp_less_one(s, log_variance), log_variance);
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
