//! One step of gradient descent over flat slices: parameters, gradients and the optimiser's memory, read and written
//! once. Every number is treated alone, so any cut of the slices gives the same bits.

use crate::simd::{Lanes, Level, Simd, dispatch};

/// A loop over all slices at once, one vector at a time.
macro_rules! each_vector {
    ($s:ident, $len:expr, $at:ident, $body:block) => {
        for $at in (0..$len).step_by(<S as Lanes<f32>>::COUNT) $body
    };
}

/// Settings of [`adadelta`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adadelta {
    /// Step size; the method's own is 1.
    pub rate: f32,
    /// How much of the running means is kept at each step.
    pub rho: f32,
    /// Added to both running means.
    pub epsilon: f32,
}

/// Adadelta (Zeiler 2012). E and D are running means of squared gradients and squared steps:
/// E = rho E + (1 - rho) g^2; step = g sqrt(D + epsilon) / sqrt(E + epsilon); D = rho D + (1 - rho) step^2; p -= rate step.
///
/// # Panics
/// Where the lengths differ.
pub fn adadelta(
    level: Level,
    parameters: &mut [f32],
    squared_gradients: &mut [f32],
    squared_steps: &mut [f32],
    gradients: &[f32],
    settings: Adadelta,
) {
    let n = parameters.len();
    assert!(squared_gradients.len() == n && squared_steps.len() == n && gradients.len() == n);
    #[inline(always)]
    fn run<S: Simd>(s: S, p: &mut [f32], e: &mut [f32], d: &mut [f32], g: &[f32], settings: Adadelta) {
        let (rate, rho, epsilon) =
            (s.constant(-settings.rate), s.constant(settings.rho), s.constant(settings.epsilon));
        let rest = s.constant(1.0 - settings.rho);
        each_vector!(s, p.len(), at, {
            let gs = s.read(g, at);
            let es = s.mul_add(rho, s.read(e, at), s.mul(rest, s.mul(gs, gs)));
            let ds = s.read(d, at);
            // One root of the ratio instead of the ratio of two roots.
            let step = s.mul(gs, s.sqrt(s.div(s.add(ds, epsilon), s.add(es, epsilon))));
            s.write(e, at, es);
            s.write(d, at, s.mul_add(rho, ds, s.mul(rest, s.mul(step, step))));
            s.write(p, at, s.mul_add(rate, step, s.read(p, at)));
        });
    }
    dispatch!(level, s => run(s, parameters, squared_gradients, squared_steps, gradients, settings));
}

/// Settings of [`sgd`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sgd {
    /// Step size.
    pub rate: f32,
    /// How much of the velocity is kept at each step; 0 is plain descent.
    pub momentum: f32,
    /// Whether the step looks ahead along the velocity (Nesterov).
    pub nesterov: bool,
}

/// Gradient descent with momentum (Sutskever et al. 2013, in PyTorch's form): v = momentum v + g;
/// p -= rate v, or with Nesterov p -= rate (g + momentum v).
///
/// # Panics
/// Where the lengths differ.
pub fn sgd(level: Level, parameters: &mut [f32], velocity: &mut [f32], gradients: &[f32], settings: Sgd) {
    let n = parameters.len();
    assert!(velocity.len() == n && gradients.len() == n);
    #[inline(always)]
    fn run<S: Simd>(s: S, p: &mut [f32], v: &mut [f32], g: &[f32], settings: Sgd) {
        let (rate, momentum) = (s.constant(-settings.rate), s.constant(settings.momentum));
        each_vector!(s, p.len(), at, {
            let gs = s.read(g, at);
            let vs = s.mul_add(momentum, s.read(v, at), gs);
            let step = if settings.nesterov { s.mul_add(momentum, vs, gs) } else { vs };
            s.write(v, at, vs);
            s.write(p, at, s.mul_add(rate, step, s.read(p, at)));
        });
    }
    dispatch!(level, s => run(s, parameters, velocity, gradients, settings));
}

/// Settings of [`rmsprop`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RmsProp {
    /// Step size.
    pub rate: f32,
    /// How much of the running mean is kept at each step.
    pub rho: f32,
    /// Added to the root.
    pub epsilon: f32,
}

/// RMSprop (Tieleman and Hinton 2012): E = rho E + (1 - rho) g^2; p -= rate g / (sqrt(E) + epsilon).
///
/// # Panics
/// Where the lengths differ.
pub fn rmsprop(
    level: Level,
    parameters: &mut [f32],
    squared_gradients: &mut [f32],
    gradients: &[f32],
    settings: RmsProp,
) {
    let n = parameters.len();
    assert!(squared_gradients.len() == n && gradients.len() == n);
    #[inline(always)]
    fn run<S: Simd>(s: S, p: &mut [f32], e: &mut [f32], g: &[f32], settings: RmsProp) {
        let (rate, rho, epsilon) =
            (s.constant(-settings.rate), s.constant(settings.rho), s.constant(settings.epsilon));
        let rest = s.constant(1.0 - settings.rho);
        each_vector!(s, p.len(), at, {
            let gs = s.read(g, at);
            let es = s.mul_add(rho, s.read(e, at), s.mul(rest, s.mul(gs, gs)));
            s.write(e, at, es);
            let step = s.div(gs, s.add(s.sqrt(es), epsilon));
            s.write(p, at, s.mul_add(rate, step, s.read(p, at)));
        });
    }
    dispatch!(level, s => run(s, parameters, squared_gradients, gradients, settings));
}

/// Settings of [`adam`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adam {
    /// Step size.
    pub rate: f32,
    /// How much of the mean gradient is kept at each step.
    pub beta1: f32,
    /// How much of the mean squared gradient is kept at each step.
    pub beta2: f32,
    /// Added to the root.
    pub epsilon: f32,
    /// Share of a parameter taken off at each step, times the rate (AdamW); 0 is Adam.
    pub weight_decay: f32,
    /// How many steps there have been, this one included: from 1.
    pub step: u64,
}

/// Adam (Kingma and Ba 2015) and, with weight decay, AdamW (Loshchilov and Hutter 2019):
/// m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
/// p -= rate weight_decay p; p -= rate (m / (1 - beta1^step)) / (sqrt(v / (1 - beta2^step)) + epsilon).
///
/// # Panics
/// Where the lengths differ, or `step` is 0.
pub fn adam(
    level: Level,
    parameters: &mut [f32],
    mean: &mut [f32],
    mean_square: &mut [f32],
    gradients: &[f32],
    settings: Adam,
) {
    let n = parameters.len();
    assert!(mean.len() == n && mean_square.len() == n && gradients.len() == n && settings.step > 0);
    #[inline(always)]
    fn run<S: Simd>(s: S, p: &mut [f32], m: &mut [f32], v: &mut [f32], g: &[f32], settings: Adam) {
        let Adam { rate, beta1, beta2, epsilon, weight_decay, step } = settings;
        let power = step.min(i32::MAX as u64) as i32;
        let correct1 = 1.0 - f64::from(beta1).powi(power);
        let correct2 = 1.0 - f64::from(beta2).powi(power);
        let scaled_rate = s.constant(-(f64::from(rate) / correct1) as f32);
        let root_scale = s.constant((1.0 / correct2.sqrt()) as f32);
        let keep = s.constant(1.0 - rate * weight_decay);
        let (beta1, rest1) = (s.constant(beta1), s.constant(1.0 - beta1));
        let (beta2, rest2) = (s.constant(beta2), s.constant(1.0 - beta2));
        each_vector!(s, p.len(), at, {
            let gs = s.read(g, at);
            let ms = s.mul_add(beta1, s.read(m, at), s.mul(rest1, gs));
            let vs = s.mul_add(beta2, s.read(v, at), s.mul(rest2, s.mul(gs, gs)));
            s.write(m, at, ms);
            s.write(v, at, vs);
            let root = s.mul_add(s.sqrt(vs), root_scale, s.constant(epsilon));
            s.write(p, at, s.mul_add(scaled_rate, s.div(ms, root), s.mul(keep, s.read(p, at))));
        });
    }
    dispatch!(level, s => run(s, parameters, mean, mean_square, gradients, settings));
}
