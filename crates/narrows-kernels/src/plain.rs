//! The plain twins: every fast function again, as simple as it can be said. They are the definition, the documentation
//! and, in the tests of this crate, the oracle. Sums here run in f64.

use crate::activation::Activation;
use crate::matrix::{Finish, FinishWide, View};
use crate::optimizer::{Adadelta, Adam, RmsProp, Sgd};

/// The activation of one number.
pub fn activate(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Linear => x,
        Activation::Relu => x.max(0.0),
        Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Activation::Tanh => x.tanh(),
    }
}

/// The activation's derivative where its output is `y`.
pub fn derivative(activation: Activation, y: f64) -> f64 {
    match activation {
        Activation::Linear => 1.0,
        Activation::Relu => f64::from(y > 0.0),
        Activation::Sigmoid => y * (1.0 - y),
        Activation::Tanh => 1.0 - y * y,
    }
}

/// Twin of [`crate::matrix::multiply`].
///
/// # Panics
/// Where the shapes do not fit.
pub fn multiply(c: &mut [f32], a: View<'_, f32>, b: View<'_, f32>, finish: Finish<'_>) {
    let ((m, k), (_, n)) = (a.shape(), b.shape());
    for i in 0..m {
        for j in 0..n {
            let sum: f64 = (0..k).map(|l| f64::from(a.at(i, l)) * f64::from(b.at(l, j))).sum();
            let at = i * n + j;
            c[at] = match finish {
                Finish::Store => sum,
                Finish::Accumulate => f64::from(c[at]) + sum,
                Finish::Forward { bias, activation } => {
                    activate(activation, sum + bias.map_or(0.0, |bias| f64::from(bias[j])))
                }
                Finish::Backward { activation, outputs } => {
                    sum * derivative(activation, f64::from(outputs[at]))
                }
            } as f32;
        }
    }
}

/// Twin of [`crate::matrix::multiply_f64`].
///
/// # Panics
/// Where the shapes do not fit.
pub fn multiply_f64(c: &mut [f64], a: View<'_, f64>, b: View<'_, f64>, finish: FinishWide<'_>) {
    let ((m, k), (_, n)) = (a.shape(), b.shape());
    for i in 0..m {
        for j in 0..n {
            let sum: f64 = (0..k).map(|l| a.at(i, l) * b.at(l, j)).sum();
            let at = i * n + j;
            c[at] = match finish {
                FinishWide::Store => sum,
                FinishWide::Accumulate => c[at] + sum,
                FinishWide::Bias(bias) => sum + bias[j],
            };
        }
    }
}

/// Softmax of a row.
pub fn softmax(x: &[f64]) -> Vec<f64> {
    let largest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let e: Vec<f64> = x.iter().map(|x| (x - largest).exp()).collect();
    let sum: f64 = e.iter().sum();
    e.into_iter().map(|e| e / sum).collect()
}

/// Binary cross-entropy of one row of logits: -sum t ln p + (1 - t) ln(1 - p), p = sigmoid(z).
pub fn bce_logits(z: &[f64], t: &[f64]) -> f64 {
    // ln p = -ln(1 + e^-z), ln(1 - p) = -ln(1 + e^z)
    z.iter().zip(t).map(|(z, t)| t * (-z).exp().ln_1p() + (1.0 - t) * z.exp().ln_1p()).sum()
}

/// Cross-entropy of one row of logits: -sum t ln softmax(z).
pub fn cross_entropy_logits(z: &[f64], t: &[f64]) -> f64 {
    softmax(z).iter().zip(t).map(|(p, t)| -t * p.ln()).sum()
}

/// Squared error of one row.
pub fn squared_error(y: &[f64], t: &[f64]) -> f64 {
    y.iter().zip(t).map(|(y, t)| (y - t) * (y - t)).sum()
}

/// Twin of [`crate::optimizer::adadelta`].
pub fn adadelta(p: &mut [f64], e: &mut [f64], d: &mut [f64], g: &[f64], settings: Adadelta) {
    let (rate, rho, epsilon) =
        (f64::from(settings.rate), f64::from(settings.rho), f64::from(settings.epsilon));
    for i in 0..p.len() {
        e[i] = rho * e[i] + (1.0 - rho) * g[i] * g[i];
        let step = (d[i] + epsilon).sqrt() / (e[i] + epsilon).sqrt() * g[i];
        d[i] = rho * d[i] + (1.0 - rho) * step * step;
        p[i] -= rate * step;
    }
}

/// Twin of [`crate::optimizer::sgd`].
pub fn sgd(p: &mut [f64], v: &mut [f64], g: &[f64], settings: Sgd) {
    let (rate, momentum) = (f64::from(settings.rate), f64::from(settings.momentum));
    for i in 0..p.len() {
        v[i] = momentum * v[i] + g[i];
        p[i] -= rate * if settings.nesterov { g[i] + momentum * v[i] } else { v[i] };
    }
}

/// Twin of [`crate::optimizer::rmsprop`].
pub fn rmsprop(p: &mut [f64], e: &mut [f64], g: &[f64], settings: RmsProp) {
    let (rate, rho, epsilon) =
        (f64::from(settings.rate), f64::from(settings.rho), f64::from(settings.epsilon));
    for i in 0..p.len() {
        e[i] = rho * e[i] + (1.0 - rho) * g[i] * g[i];
        p[i] -= rate * g[i] / (e[i].sqrt() + epsilon);
    }
}

/// Twin of [`crate::optimizer::adam`].
pub fn adam(p: &mut [f64], m: &mut [f64], v: &mut [f64], g: &[f64], settings: Adam) {
    let (beta1, beta2) = (f64::from(settings.beta1), f64::from(settings.beta2));
    let (rate, decay) = (f64::from(settings.rate), f64::from(settings.weight_decay));
    for i in 0..p.len() {
        m[i] = beta1 * m[i] + (1.0 - beta1) * g[i];
        v[i] = beta2 * v[i] + (1.0 - beta2) * g[i] * g[i];
        let mean = m[i] / (1.0 - beta1.powf(settings.step as f64));
        let square = v[i] / (1.0 - beta2.powf(settings.step as f64));
        p[i] -= rate * decay * p[i];
        p[i] -= rate * mean / (square.sqrt() + f64::from(settings.epsilon));
    }
}
