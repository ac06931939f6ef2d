//! What weights and outputs cost by themselves, whatever the data: gradients that are added to those of the loss, and the
//! sizes that a limit needs.

use crate::activation::Activation;
use crate::simd::{F, Lanes, Level, Simd, dispatch};

/// Adds the gradient of `strength` times the sum of w^2: 2 `strength` w.
///
/// # Panics
/// Where the lengths differ.
pub fn add_decay(level: Level, gradients: &mut [f32], weights: &[f32], strength: f32) {
    assert_eq!(gradients.len(), weights.len());
    #[inline(always)]
    fn run<S: Simd>(s: S, gradients: &mut [f32], weights: &[f32], strength: f32) {
        let factor = s.constant(2.0 * strength);
        for at in (0..gradients.len()).step_by(<S as Lanes<f32>>::COUNT) {
            let g = s.mul_add(factor, s.read(weights, at), s.read(gradients, at));
            s.write(gradients, at, g);
        }
    }
    dispatch!(level, s => run(s, gradients, weights, strength));
}

/// Adds the gradient of `strength` times the sum of w^2 / (1 + w^2), which counts large weights rather than their size
/// (weight elimination; Weigend, Rumelhart & Huberman 1991): `strength` 2 w / (1 + w^2)^2.
///
/// # Panics
/// Where the lengths differ.
pub fn add_elimination(level: Level, gradients: &mut [f32], weights: &[f32], strength: f32) {
    assert_eq!(gradients.len(), weights.len());
    #[inline(always)]
    fn run<S: Simd>(s: S, gradients: &mut [f32], weights: &[f32], strength: f32) {
        let (one, factor) = (s.constant(1.0), s.constant(2.0 * strength));
        for at in (0..gradients.len()).step_by(<S as Lanes<f32>>::COUNT) {
            let w = s.read(weights, at);
            // Divided twice: the square of 1 + w^2 would overflow long before it.
            let size = s.mul_add(w, w, one);
            let slope = s.div(s.div(w, size), size);
            let g = s.mul_add(factor, slope, s.read(gradients, at));
            s.write(gradients, at, g);
        }
    }
    dispatch!(level, s => run(s, gradients, weights, strength));
}

/// Adds to the gradient of each unit its slope, taken through the activation that gave `outputs`: rows of `slopes.len()`
/// numbers, slopes\[j\] activation'.
///
/// # Panics
/// Where the lengths differ or are not whole rows.
pub fn add_slopes(
    level: Level,
    gradients: &mut [f32],
    outputs: &[f32],
    activation: Activation,
    slopes: &[f32],
) {
    let width = slopes.len();
    assert_eq!(gradients.len(), outputs.len());
    assert!(width > 0 && gradients.len().is_multiple_of(width));
    #[inline(always)]
    fn row<S: Simd>(s: S, gradients: &mut [f32], outputs: &[f32], activation: Activation, slopes: &[f32]) {
        for at in (0..gradients.len()).step_by(<S as Lanes<f32>>::COUNT) {
            let slope = activation.back(s, s.read(slopes, at), s.read(outputs, at));
            let g = s.add(s.read(gradients, at), slope);
            s.write(gradients, at, g);
        }
    }
    dispatch!(level, s => {
        for (gradients, outputs) in gradients.chunks_exact_mut(width).zip(outputs.chunks_exact(width)) {
            row(s, gradients, outputs, activation, slopes);
        }
    });
}

/// The sum of squares: f32 within blocks, f64 from block to block, in an order that the length fixes.
pub fn sum_of_squares(level: Level, values: &[f32]) -> f64 {
    #[inline(always)]
    fn block<S: Simd>(s: S, values: &[f32]) -> f32 {
        let lanes = <S as Lanes<f32>>::COUNT;
        // Four sums, so that an addition need not wait for the one before. Past the end there are zeros.
        let mut parts: [F<S>; 4] = [s.constant(0.0); 4];
        for start in (0..values.len()).step_by(4 * lanes) {
            for i in 0..4 {
                let x = s.read(values, start + i * lanes);
                parts[i] = s.mul_add(x, x, parts[i]);
            }
        }
        s.sum(s.add(s.add(parts[0], parts[1]), s.add(parts[2], parts[3])))
    }
    dispatch!(level, s => {
        let mut sum = 0.0;
        for values in values.chunks(BLOCK) {
            sum += f64::from(block(s, values));
        }
        sum
    })
}

/// Numbers whose squares are added in f32.
const BLOCK: usize = 1024;
