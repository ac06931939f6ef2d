//! Reference implementations: every kernel again, as simple as possible and in f64. They define and document the
//! kernels, and are the oracle of the tests.

use crate::conv::{ConvolutionKind, Geometry};
use crate::elementwise::activation::Activation;
use crate::elementwise::loss::ColumnKind;
use crate::elementwise::pointwise::Pointwise;
use crate::gemm::{Epilogue, EpilogueF64, View};
use crate::image::Image;
use crate::optimizer::{Adadelta, Adam, Optimizer, RmsProp, Sgd};
use crate::pooling::PoolGeometry;

/// activation(x).
pub fn activate(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Linear => x,
        Activation::Relu => x.max(0.0),
        Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Activation::Tanh => x.tanh(),
    }
}

/// The derivative of the activation, evaluated from its output `y`.
pub fn derivative(activation: Activation, y: f64) -> f64 {
    match activation {
        Activation::Linear => 1.0,
        Activation::Relu => f64::from(y > 0.0),
        Activation::Sigmoid => y * (1.0 - y),
        Activation::Tanh => 1.0 - y * y,
    }
}

/// function(x).
pub fn pointwise(function: Pointwise, x: f64) -> f64 {
    match function {
        Pointwise::LeakyRelu => x.max(0.01 * x),
        Pointwise::Elu => x.max(0.0) + x.min(0.0).exp_m1(),
        Pointwise::Gelu => 0.5 * x * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2)),
        Pointwise::Silu => x / (1.0 + (-x).exp()),
        // Beyond 36, e^-x is less than half a unit in the last place of x.
        Pointwise::Softplus if x > 36.0 => x,
        Pointwise::Softplus => x.exp().ln_1p(),
    }
}

/// The error function, by a series without cancellation: Abramowitz and Stegun (1964), 7.1.6. Beyond 6 it is 1 to
/// within 3e-17.
fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= 2.0 * x * x / f64::from(2 * n + 1);
        sum += term;
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

/// Reference of [`crate::gemm::multiply`].
///
/// # Panics
/// If the shapes do not match.
pub fn multiply(c: &mut [f32], a: View<'_, f32>, b: View<'_, f32>, epilogue: Epilogue<'_>) {
    let ((m, k), (_, n)) = (a.shape(), b.shape());
    for i in 0..m {
        for j in 0..n {
            let sum: f64 = (0..k).map(|l| f64::from(a.at(i, l)) * f64::from(b.at(l, j))).sum();
            let at = i * n + j;
            c[at] = match epilogue {
                Epilogue::Store => sum,
                Epilogue::Accumulate => f64::from(c[at]) + sum,
                Epilogue::Forward { bias, activation } => {
                    activate(activation, sum + bias.map_or(0.0, |bias| f64::from(bias[j])))
                }
                Epilogue::Backward { activation, outputs } => {
                    sum * derivative(activation, f64::from(outputs[at]))
                }
            } as f32;
        }
    }
}

/// Reference of [`crate::gemm::multiply_f64`].
///
/// # Panics
/// If the shapes do not match.
pub fn multiply_f64(c: &mut [f64], a: View<'_, f64>, b: View<'_, f64>, epilogue: EpilogueF64<'_>) {
    let ((m, k), (_, n)) = (a.shape(), b.shape());
    for i in 0..m {
        for j in 0..n {
            let sum: f64 = (0..k).map(|l| a.at(i, l) * b.at(l, j)).sum();
            let at = i * n + j;
            c[at] = match epilogue {
                EpilogueF64::Store => sum,
                EpilogueF64::Accumulate => c[at] + sum,
                EpilogueF64::Bias(bias) => sum + bias[j],
            };
        }
    }
}

/// Calls `work` for every connection of a convolution, by the definition, with the offsets of the output pixel, the
/// input pixel and the kernel position.
fn each_connection(geometry: &Geometry, mut work: impl FnMut(usize, usize, usize)) {
    let Geometry { kind, kernel, padding, input, output } = *geometry;
    // The input that output r reads with kernel position k, along one axis.
    let inside = |from: isize, to: usize| usize::try_from(from).ok().filter(|&at| at < to);
    let source = |r: usize, k: usize, padding: usize, inputs: usize| {
        let (r, k, p) = (r as isize, k as isize, padding as isize);
        match kind {
            ConvolutionKind::Plain { stride } => inside(stride as isize * r + k - p, inputs),
            ConvolutionKind::Upsampled { factor } => inside(r + k - p, factor * inputs).map(|at| at / factor),
            ConvolutionKind::Transposed { stride } => {
                let stride = stride as isize;
                (0..inputs).find(|&i| stride * i as isize + k - p == r)
            }
        }
    };
    for r in 0..output.height {
        for c in 0..output.width {
            for k in 0..kernel.0 {
                for l in 0..kernel.1 {
                    let row = source(r, k, padding.0, input.height);
                    let column = source(c, l, padding.1, input.width);
                    if let (Some(row), Some(column)) = (row, column) {
                        work(
                            pixel(output.width, output.channels, (r, c)),
                            pixel(input.width, input.channels, (row, column)),
                            pixel(kernel.1, input.channels * output.channels, (k, l)),
                        );
                    }
                }
            }
        }
    }
}

/// Offset of a pixel in an image without a border, or of a position in the kernel.
fn pixel(width: usize, numbers: usize, (row, column): (usize, usize)) -> usize {
    (row * width + column) * numbers
}

/// Reference of [`crate::Convolution::forward`] before the activation, on images without borders: y from x, w and b.
pub fn convolve(geometry: &Geometry, x: &[f64], w: &[f64], b: &[f64]) -> Vec<f64> {
    let (inputs, outputs) = (geometry.input.channels, geometry.output.channels);
    let mut y: Vec<f64> =
        b.iter().copied().cycle().take(geometry.output.height * geometry.output.width * outputs).collect();
    each_connection(geometry, |to, from, at| {
        for i in 0..inputs {
            for o in 0..outputs {
                y[to + o] += x[from + i] * w[at + i * outputs + o];
            }
        }
    });
    y
}

/// Reference of [`crate::Convolution::backward`] (without the derivative), [`crate::Convolution::accumulate_gradient`]
/// and [`crate::Convolution::reduce_gradient`]: the gradients at x and w from the gradient at y.
pub fn convolve_backward(
    geometry: &Geometry,
    x: &[f64],
    w: &[f64],
    y_gradient: &[f64],
) -> (Vec<f64>, Vec<f64>) {
    let (inputs, outputs) = (geometry.input.channels, geometry.output.channels);
    let (mut x_gradient, mut w_gradient) = (vec![0.0; x.len()], vec![0.0; w.len()]);
    each_connection(geometry, |to, from, at| {
        for i in 0..inputs {
            for o in 0..outputs {
                x_gradient[from + i] += y_gradient[to + o] * w[at + i * outputs + o];
                w_gradient[at + i * outputs + o] += y_gradient[to + o] * x[from + i];
            }
        }
    });
    (x_gradient, w_gradient)
}

/// Calls `work` for each pixel of the small image and each pixel of its window in the large image, with their offsets
/// in images without borders.
fn each_window_pixel(geometry: &PoolGeometry, mut work: impl FnMut(usize, usize)) {
    let inside = |large: usize, index: usize, size: usize, overhang: usize| {
        // Rounds down, also for windows that overhang the first edge.
        (large + overhang) / size == index
    };
    let PoolGeometry { size, overhang, large, small } = *geometry;
    for r in 0..small.height {
        for c in 0..small.width {
            for i in 0..large.height {
                for j in 0..large.width {
                    if inside(i, r, size.0, overhang.0) && inside(j, c, size.1, overhang.1) {
                        let pixel_of = |image: Image, at| pixel(image.width, image.channels, at);
                        work(pixel_of(small, (r, c)), pixel_of(large, (i, j)));
                    }
                }
            }
        }
    }
}

/// Reference of [`crate::pooling::max`] on images without borders, and for each element of the small image the offset
/// of its maximum in the large image.
pub fn max_pool(geometry: &PoolGeometry, large: &[f64]) -> (Vec<f64>, Vec<usize>) {
    let channels = geometry.small.channels;
    let len = geometry.small.height * geometry.small.width * channels;
    let (mut largest, mut argmax) = (vec![f64::NEG_INFINITY; len], vec![0; len]);
    each_window_pixel(geometry, |to, from| {
        for channel in 0..channels {
            if large[from + channel] > largest[to + channel] {
                largest[to + channel] = large[from + channel];
                argmax[to + channel] = from + channel;
            }
        }
    });
    (largest, argmax)
}

/// Reference of [`crate::pooling::average`] on images without borders.
pub fn average_pool(geometry: &PoolGeometry, large: &[f64]) -> Vec<f64> {
    let channels = geometry.small.channels;
    let len = geometry.small.height * geometry.small.width * channels;
    let (mut sums, mut counts) = (vec![0.0; len], vec![0.0; len]);
    each_window_pixel(geometry, |to, from| {
        for channel in 0..channels {
            sums[to + channel] += large[from + channel];
            counts[to + channel] += 1.0;
        }
    });
    sums.iter().zip(counts).map(|(sum, count)| sum / count).collect()
}

/// Reference of [`crate::pooling::upsample`] on images without borders.
pub fn upsample(geometry: &PoolGeometry, small: &[f64]) -> Vec<f64> {
    let channels = geometry.small.channels;
    let mut large = vec![0.0; geometry.large.height * geometry.large.width * channels];
    each_window_pixel(geometry, |from, to| {
        large[to..to + channels].copy_from_slice(&small[from..from + channels]);
    });
    large
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

/// Absolute error of one row.
pub fn absolute_error(y: &[f64], t: &[f64]) -> f64 {
    y.iter().zip(t).map(|(y, t)| (y - t).abs()).sum()
}

/// Huber loss of one row.
pub fn huber(y: &[f64], t: &[f64]) -> f64 {
    let one = |d: f64| if d <= 1.0 { d * d / 2.0 } else { d - 0.5 };
    y.iter().zip(t).map(|(y, t)| one((y - t).abs())).sum()
}

/// The loss of one row of mixed columns, given as kind, numbers and weight: the sum over columns of weight times error.
pub fn mixed(columns: &[(ColumnKind, usize, f64)], z: &[f64], t: &[f64]) -> f64 {
    let mut at = 0;
    let error = |&(kind, width, weight): &(ColumnKind, usize, f64)| {
        let (z, t) = (&z[at..at + width], &t[at..at + width]);
        at += width;
        weight
            * match kind {
                ColumnKind::Squared => squared_error(z, t),
                ColumnKind::Binary => bce_logits(z, t),
                ColumnKind::Categorical => cross_entropy_logits(z, t),
            }
    };
    columns.iter().map(error).sum()
}

/// Reference of [`crate::sampling::sample`], for one row: means, then log variances.
pub fn sample(moments: &[f64], noise: &[f64]) -> Vec<f64> {
    let (means, log_variances) = moments.split_at(noise.len());
    (0..noise.len()).map(|j| means[j] + log_variances[j].exp().sqrt() * noise[j]).collect()
}

/// Reference of [`crate::sampling::kl_divergence`], for one row.
pub fn kl_divergence(moments: &[f64]) -> f64 {
    let (means, log_variances) = moments.split_at(moments.len() / 2);
    means.iter().zip(log_variances).map(|(mean, lv)| (mean * mean + lv.exp() - lv - 1.0) / 2.0).sum()
}

/// Reference of [`crate::batch_norm::moments`]: mean and biased variance of each column of rows of `width` elements.
pub fn moments(values: &[f64], width: usize) -> (Vec<f64>, Vec<f64>) {
    let n = (values.len() / width) as f64;
    let column = |j: usize| values.iter().skip(j).step_by(width);
    let means: Vec<f64> = (0..width).map(|j| column(j).sum::<f64>() / n).collect();
    let variance = |j: usize| column(j).map(|x| (x - means[j]) * (x - means[j])).sum::<f64>() / n;
    let variances = (0..width).map(variance).collect();
    (means, variances)
}

/// Reference of [`crate::batch_norm::normalize`] before the activation, for one row. Its derivatives, with the moments
/// of the batch, are the gradients of [`crate::batch_norm::parameter_gradients`] and [`crate::batch_norm::backward`].
pub fn normalize(
    x: &[f64],
    (means, variances): (&[f64], &[f64]),
    (scales, shifts): (&[f64], &[f64]),
    epsilon: f64,
) -> Vec<f64> {
    let column = |j: usize| scales[j] * (x[j] - means[j]) / (variances[j] + epsilon).sqrt() + shifts[j];
    (0..x.len()).map(column).collect()
}

/// Reference of [`crate::batch_norm::update_running`].
pub fn update_running(running: &[f64], batch: &[f64], weight: f64, factor: f64) -> Vec<f64> {
    running.iter().zip(batch).map(|(old, new)| (1.0 - weight) * old + weight * factor * new).collect()
}

/// The sum of squares, whose gradient [`crate::penalty::add_weight_decay`] adds.
pub fn sum_of_squares(w: &[f64]) -> f64 {
    w.iter().map(|w| w * w).sum()
}

/// The sum of w^2 / (1 + w^2), whose gradient [`crate::penalty::add_weight_elimination`] adds.
pub fn weight_elimination(w: &[f64]) -> f64 {
    w.iter().map(|w| w * w / (1.0 + w * w)).sum()
}

/// Reference of [`crate::vector::column_sums_of_squares`].
pub fn column_sums_of_squares(matrix: &[f64], width: usize) -> Vec<f64> {
    (0..width).map(|j| matrix.iter().skip(j).step_by(width).map(|x| x * x).sum()).collect()
}

/// Reference of [`crate::optimizer::step`]; `b` is unused if the optimizer has one state slot.
pub fn step(p: &mut [f64], a: &mut [f64], b: &mut [f64], g: &[f64], optimizer: Optimizer) {
    let wide = f64::from;
    for i in 0..p.len() {
        match optimizer {
            Optimizer::Adadelta(Adadelta { rate, rho, epsilon }) => {
                let (rate, rho, epsilon) = (wide(rate), wide(rho), wide(epsilon));
                a[i] = rho * a[i] + (1.0 - rho) * g[i] * g[i];
                let step = (b[i] + epsilon).sqrt() / (a[i] + epsilon).sqrt() * g[i];
                b[i] = rho * b[i] + (1.0 - rho) * step * step;
                p[i] -= rate * step;
            }
            Optimizer::Sgd(Sgd { rate, momentum, nesterov }) => {
                let (rate, momentum) = (wide(rate), wide(momentum));
                a[i] = momentum * a[i] + g[i];
                p[i] -= rate * if nesterov { g[i] + momentum * a[i] } else { a[i] };
            }
            Optimizer::RmsProp(RmsProp { rate, rho, epsilon }) => {
                let (rate, rho, epsilon) = (wide(rate), wide(rho), wide(epsilon));
                a[i] = rho * a[i] + (1.0 - rho) * g[i] * g[i];
                p[i] -= rate * g[i] / (a[i].sqrt() + epsilon);
            }
            Optimizer::Adam(Adam { rate, beta1, beta2, epsilon, weight_decay, step }) => {
                let (rate, beta1, beta2) = (wide(rate), wide(beta1), wide(beta2));
                a[i] = beta1 * a[i] + (1.0 - beta1) * g[i];
                b[i] = beta2 * b[i] + (1.0 - beta2) * g[i] * g[i];
                let mean = a[i] / (1.0 - beta1.powf(step as f64));
                let square = b[i] / (1.0 - beta2.powf(step as f64));
                p[i] -= rate * wide(weight_decay) * p[i];
                p[i] -= rate * mean / (square.sqrt() + wide(epsilon));
            }
        }
    }
}
