//! Penalties on weights and activations: gradients that are added to those of the loss, and the norms that clipping and
//! max-norm constraints need.

use super::activation::Activation;
use crate::simd::{F, Lanes, Level, Simd, dispatch};

/// Adds the gradient of L2 weight decay, `strength` times the sum of w^2: 2 `strength` w.
///
/// # Panics
/// If the lengths differ.
pub fn add_weight_decay(level: Level, gradients: &mut [f32], weights: &[f32], strength: f32) {
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

/// Adds the gradient of weight elimination (Weigend, Rumelhart & Huberman 1991), `strength` times the sum of
/// w^2 / (1 + w^2), which approximately counts the large weights: `strength` 2 w / (1 + w^2)^2.
///
/// # Panics
/// If the lengths differ.
pub fn add_weight_elimination(level: Level, gradients: &mut [f32], weights: &[f32], strength: f32) {
    assert_eq!(gradients.len(), weights.len());
    #[inline(always)]
    fn run<S: Simd>(s: S, gradients: &mut [f32], weights: &[f32], strength: f32) {
        let (one, factor) = (s.constant(1.0), s.constant(2.0 * strength));
        for at in (0..gradients.len()).step_by(<S as Lanes<f32>>::COUNT) {
            let w = s.read(weights, at);
            // Divides twice, because (1 + w^2)^2 overflows for smaller w than 1 + w^2.
            let size = s.mul_add(w, w, one);
            let slope = s.div(s.div(w, size), size);
            let g = s.mul_add(factor, slope, s.read(gradients, at));
            s.write(gradients, at, g);
        }
    }
    dispatch!(level, s => run(s, gradients, weights, strength));
}

/// Adds a gradient given per unit to that of each row, through the activation that computed `outputs`:
/// unit_gradients\[j\] activation'. Rows have `unit_gradients.len()` elements.
///
/// # Panics
/// If the lengths differ or are not a multiple of the row length.
pub fn add_unit_gradients(
    level: Level,
    gradients: &mut [f32],
    outputs: &[f32],
    activation: Activation,
    unit_gradients: &[f32],
) {
    let width = unit_gradients.len();
    assert_eq!(gradients.len(), outputs.len());
    assert!(width > 0 && gradients.len().is_multiple_of(width));
    #[inline(always)]
    fn row<S: Simd>(
        s: S,
        gradients: &mut [f32],
        outputs: &[f32],
        activation: Activation,
        unit_gradients: &[f32],
    ) {
        for at in (0..gradients.len()).step_by(<S as Lanes<f32>>::COUNT) {
            let slope = activation.backward(s, s.read(unit_gradients, at), s.read(outputs, at));
            let g = s.add(s.read(gradients, at), slope);
            s.write(gradients, at, g);
        }
    }
    dispatch!(level, s => {
        for (gradients, outputs) in gradients.chunks_exact_mut(width).zip(outputs.chunks_exact(width)) {
            row(s, gradients, outputs, activation, unit_gradients);
        }
    });
}

/// The sum of squares: in f32 within blocks, in f64 across blocks, in an order that depends on the length only.
pub fn sum_of_squares(level: Level, values: &[f32]) -> f64 {
    #[inline(always)]
    fn block<S: Simd>(s: S, values: &[f32]) -> f32 {
        let lanes = <S as Lanes<f32>>::COUNT;
        // Four accumulators hide the latency of the additions. Lanes past the end are zero.
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
        for values in values.chunks(F32_BLOCK) {
            sum += f64::from(block(s, values));
        }
        sum
    })
}

/// Elements whose squares are summed in f32.
const F32_BLOCK: usize = 1024;
