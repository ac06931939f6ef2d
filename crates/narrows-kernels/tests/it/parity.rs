//! The elementwise kernels and batch normalization against the reference implementation: all lengths from 0 to 67 and
//! some large ones, odd offsets, every SIMD level of this processor.

use crate::common::{close, lengths, numbers, wide};
use narrows_kernels::loss::{ColumnKind, MixedRow};
use narrows_kernels::{
    Activation, Level, Pointwise, activation, batch_norm, loss, penalty, pointwise, reference, sampling,
    vector,
};

#[test]
fn activations() {
    for level in Level::available() {
        for n in lengths() {
            for kind in Activation::ALL {
                // An odd offset: the slice begins at the second element of the buffer.
                let mut buffer = numbers(n + 1, 1, 6.0);
                let want: Vec<f64> =
                    wide(&buffer[1..]).iter().map(|&x| reference::activate(kind, x)).collect();
                let first = buffer[0];
                activation::forward(level, &mut buffer[1..], kind);
                close("forward", level, &buffer[1..], &want, 1e-6, 1e-7);
                assert_eq!(buffer[0], first);

                let outputs = buffer[1..].to_vec();
                let mut gradients = numbers(n, 2, 1.0);
                let want: Vec<f64> = wide(&gradients)
                    .iter()
                    .zip(&outputs)
                    .map(|(g, &y)| g * reference::derivative(kind, f64::from(y)))
                    .collect();
                activation::backward(level, &mut gradients, &outputs, kind);
                close("backward", level, &gradients, &want, 1e-5, 1e-7);

                let want: Vec<f64> = want
                    .iter()
                    .zip(&outputs)
                    .map(|(g, &y)| {
                        let sign = if y == 0.0 { 0.0 } else { f64::from(y.signum()) };
                        g + 0.3 * sign * reference::derivative(kind, f64::from(y))
                    })
                    .collect();
                activation::add_l1(level, &mut gradients, &outputs, kind, 0.3);
                close("absolute", level, &gradients, &want, 1e-5, 1e-6);
            }
        }
    }
}

/// The partial derivative of `define` with respect to element `j` at `at`: a central difference quotient.
fn slope(define: impl Fn(&[f64]) -> f64, at: &[f64], j: usize, step: f64) -> f64 {
    let moved = |by: f64| {
        let mut at = at.to_vec();
        at[j] += by;
        define(&at)
    };
    (moved(step) - moved(-step)) / (2.0 * step)
}

#[test]
fn pointwise_functions_and_their_derivatives() {
    for level in Level::available() {
        for n in lengths() {
            for function in Pointwise::ALL {
                let define = |x: &[f64]| reference::pointwise(function, x[0]);
                // An odd offset: the slice begins at the second element of the buffer.
                let mut buffer = numbers(n + 1, 30, 12.0);
                let (first, inputs) = (buffer[0], buffer[1..].to_vec());
                pointwise::forward(level, &mut buffer[1..], function);
                let want: Vec<f64> = wide(&inputs).iter().map(|&x| define(&[x])).collect();
                // The tail of GELU has an error of 1e-7, which is multiplied by |x|.
                close("pointwise", level, &buffer[1..], &want, 1e-6, 2e-7);
                assert_eq!(buffer[0], first);

                let mut gradients = numbers(n, 31, 1.0);
                let slopes = wide(&inputs).into_iter().map(|x| slope(define, &[x], 0, 1e-5));
                let want: Vec<f64> = slopes.zip(&gradients).map(|(slope, &g)| slope * f64::from(g)).collect();
                pointwise::backward(level, &mut gradients, &inputs, function);
                close("pointwise backward", level, &gradients, &want, 1e-6, 3e-7);
            }
        }
    }
}

#[test]
fn gelu_is_the_normal_distribution_of_tables() {
    // Phi(1), Phi(2), Phi(4) and Phi(-5).
    for (x, phi) in [
        (1.0, 0.841_344_746_068_543),
        (2.0, 0.977_249_868_051_821),
        (4.0, 0.999_968_328_758_167),
        (-5.0, 2.866_515_719e-7),
    ] {
        assert!((reference::pointwise(Pointwise::Gelu, x) - x * phi).abs() < 1e-14, "{x}");
    }
}

#[test]
fn pointwise_functions_are_exact_far_out_and_near_zero() {
    use Pointwise::{Elu, Gelu, LeakyRelu, Silu, Softplus};
    for level in Level::available() {
        let value = |function, x: f32| {
            let mut values = [x];
            pointwise::forward(level, &mut values, function);
            values[0]
        };
        let derivative = |function, x: f32| {
            let mut gradients = [1.0];
            pointwise::backward(level, &mut gradients, &[x], function);
            gradients[0]
        };
        for function in Pointwise::ALL {
            for x in [100.0, 1000.0, 1e30, f32::MAX, f32::INFINITY] {
                assert_eq!(value(function, x), x, "{function:?}");
                assert_eq!(derivative(function, x), 1.0, "{function:?} at {x}");
                let (left, leak) = match function {
                    LeakyRelu => (-0.01 * x, 0.01),
                    Elu => (-1.0, 0.0),
                    Gelu | Silu | Softplus => (0.0, 0.0),
                };
                let got = value(function, -x);
                assert!(got == left || (got - left).abs() < 1e-30, "{function:?} of {}: {got}", -x);
                assert!((derivative(function, -x) - leak).abs() < 1e-30, "{function:?} at {}", -x);
            }
            assert!(value(function, f32::NAN).is_nan(), "{function:?}");
            for x in [1e-6f32, -1e-6, 1e-3, -1e-3] {
                let (got, want) =
                    (f64::from(value(function, x)), reference::pointwise(function, f64::from(x)));
                assert!((got - want).abs() <= 5e-7 * want.abs(), "{function:?} of {x}: {got}, want {want}");
            }
        }
        // The tail of softplus is not rounded away when 1 is added to it.
        assert!((value(Softplus, -30.0) / (-30.0f32).exp() - 1.0).abs() < 1e-6);
    }
}

#[test]
fn softmax_is_a_distribution_and_its_gradient_a_difference_quotient() {
    for level in Level::available() {
        for width in (1..=67).chain([1000]) {
            let logits = numbers(3 * width, 3, 5.0);
            let mut y = logits.clone();
            activation::softmax(level, &mut y, width);
            for (y, z) in y.chunks(width).zip(logits.chunks(width)) {
                close("softmax", level, y, &reference::softmax(&wide(z)), 3e-6, 1e-9);
            }
            let weights = numbers(3 * width, 4, 1.0);
            let mut gradients = weights.clone();
            activation::softmax_backward(level, &mut gradients, &y, width);
            let value = |z: &[f64]| -> f64 {
                reference::softmax(z).iter().zip(&weights).map(|(y, &w)| y * f64::from(w)).sum()
            };
            let z = wide(&logits[..width]);
            for j in [0, width / 2, width - 1] {
                let slope = slope(value, &z, j, 1e-5);
                assert!(
                    (f64::from(gradients[j]) - slope).abs() < 1e-5,
                    "{} width {width} column {j}",
                    level.name()
                );
            }
        }
    }
}

/// A loss kernel: level, losses, outputs, targets, weight.
type Loss<'a> = &'a dyn Fn(Level, &mut [f32], &mut [f32], &[f32], f32);

/// A loss through an activation: level, losses, outputs, targets, activation, weight; and its reference.
type ErrorKernel = fn(Level, &mut [f32], &mut [f32], &[f32], Activation, f32);
type ErrorReference = fn(&[f64], &[f64]) -> f64;

/// Checks a loss against its reference, and its gradient against difference quotients of the reference.
fn check_loss(
    name: &str,
    kernel: Loss<'_>,
    define: &dyn Fn(&[f64], &[f64]) -> f64,
    targets: &dyn Fn(usize) -> Vec<f32>,
) {
    for level in Level::available() {
        for width in (1..=67).chain([784]) {
            let rows = 3;
            let z = numbers(rows * width, 5, 4.0);
            let t: Vec<f32> = (0..rows).flat_map(|_| targets(width)).collect();
            let weight = 1.0 / (rows * width) as f32;
            let (mut losses, mut gradients) = (vec![0.0; rows], z.clone());
            kernel(level, &mut losses, &mut gradients, &t, weight);
            let want: Vec<f64> =
                z.chunks(width).zip(t.chunks(width)).map(|(z, t)| define(&wide(z), &wide(t))).collect();
            close(name, level, &losses, &want, 1e-5, 1e-6);
            let (row, t) = (wide(&z[..width]), wide(&t[..width]));
            for j in [0, width / 2, width - 1] {
                let slope = f64::from(weight) * slope(|row| define(row, &t), &row, j, 1e-4);
                let got = f64::from(gradients[j]);
                assert!(
                    (got - slope).abs() < 1e-6 + 1e-4 * slope.abs(),
                    "{name} gradient {j} of {width}: {got} {slope}"
                );
            }
        }
    }
}

#[test]
fn losses_and_their_gradients() {
    let shares = |width: usize| numbers(width, 6, 1.0).into_iter().map(f32::abs).collect::<Vec<_>>();
    check_loss("bce", &loss::bce_logits, &reference::bce_logits, &shares);
    check_loss("cross-entropy", &loss::cross_entropy_logits, &reference::cross_entropy_logits, &|width| {
        let mut target = vec![0.0; width];
        target[width / 3] = 1.0;
        target
    });
    check_loss(
        "cross-entropy of shares",
        &loss::cross_entropy_logits,
        &reference::cross_entropy_logits,
        &shares,
    );
    let errors: [(&str, ErrorKernel, ErrorReference); 3] = [
        ("squared error", loss::squared_error, reference::squared_error),
        ("absolute error", loss::absolute_error, reference::absolute_error),
        ("Huber's error", loss::huber, reference::huber),
    ];
    // Through an activation: the kernel gets its outputs, the difference quotient varies its inputs.
    for kind in Activation::ALL {
        for (name, kernel, define) in errors {
            check_loss(
                &format!("{name} through {kind:?}"),
                &|level, losses, outputs, targets, weight| {
                    activation::forward(level, outputs, kind);
                    kernel(level, losses, outputs, targets, kind, weight);
                },
                &|z, t| {
                    let y: Vec<f64> = z.iter().map(|&z| reference::activate(kind, z)).collect();
                    define(&y, t)
                },
                &shares,
            );
        }
    }
}

/// Columns of all kinds and several widths that make up a row: as the reference and as the kernel have them.
fn mixed_columns(width: usize) -> (Vec<(ColumnKind, usize, f64)>, MixedRow) {
    use ColumnKind::*;
    // Runs longer than a vector, single columns, and long categories.
    let pattern =
        [(Squared, 1), (Squared, 1), (Binary, 1), (Categorical, 3), (Squared, 1), (Categorical, 19)];
    let (mut columns, mut row) = (Vec::new(), MixedRow::default());
    let mut at = 0;
    for (number, &(kind, wanted)) in pattern.iter().cycle().enumerate() {
        // In the second round a long run of numbers, in the third one of binary columns.
        let repeats = match (number / pattern.len(), kind) {
            (1, Squared) | (2, Binary) => 21,
            _ => 1,
        };
        for _ in 0..repeats {
            let len = wanted.min(width - at);
            if len == 0 {
                return (columns, row);
            }
            let weight = [0.5, 1.0, 4.0][columns.len() % 3];
            columns.push((kind, len, weight));
            row.push(kind, len, weight as f32);
            at += len;
        }
    }
    unreachable!("the pattern goes on for ever")
}

#[test]
fn losses_of_mixed_columns_and_their_gradients() {
    check_loss(
        "mixed",
        &|level, losses, outputs, targets, weight| {
            let (_, row) = mixed_columns(outputs.len() / losses.len());
            loss::mixed(level, losses, outputs, targets, &row, weight);
        },
        &|z, t| reference::mixed(&mixed_columns(z.len()).0, z, t),
        &|width| numbers(width, 6, 1.0).into_iter().map(f32::abs).collect::<Vec<_>>(),
    );
}

#[test]
fn logits_of_mixed_columns_become_probabilities() {
    for level in Level::available() {
        for width in (1..=67).chain([300]) {
            let (columns, row) = mixed_columns(width);
            let mut outputs = numbers(2 * width, 5, 4.0);
            let mut want = wide(&outputs);
            for row in want.chunks_mut(width) {
                let mut at = 0;
                for &(kind, len, _) in &columns {
                    let part = &mut row[at..at + len];
                    match kind {
                        ColumnKind::Squared => {}
                        ColumnKind::Binary => {
                            part.iter_mut().for_each(|z| *z = reference::activate(Activation::Sigmoid, *z));
                        }
                        ColumnKind::Categorical => part.copy_from_slice(&reference::softmax(part)),
                    }
                    at += len;
                }
            }
            row.probabilities(level, &mut outputs);
            close("probabilities", level, &outputs, &want, 1e-6, 1e-7);
        }
    }
}

#[test]
fn errors_hit_exactly_have_no_gradient_and_a_nan_is_not_hidden() {
    for level in Level::available() {
        for kernel in [loss::squared_error, loss::absolute_error, loss::huber] {
            let (mut losses, mut y) = (vec![0.0; 2], vec![0.5, 0.25, f32::NAN, 1.0]);
            kernel(level, &mut losses, &mut y, &[0.5, 0.25, 0.5, 0.5], Activation::Linear, 1.0);
            assert!(losses[0] == 0.0 && y[..2] == [0.0, 0.0], "{losses:?} {y:?}");
            assert!(losses[1].is_nan());
        }
    }
}

#[test]
fn bce_is_exact_where_the_sigmoid_saturates() {
    for level in Level::available() {
        let (mut losses, mut z) = (vec![0.0; 2], vec![60.0, -60.0]);
        loss::bce_logits(level, &mut losses, &mut z, &[0.0, 1.0], 1.0);
        assert_eq!(losses, [60.0, 60.0]);
        assert_eq!(z, [1.0, -1.0]);
        let mut z = vec![f32::NAN, 0.0];
        loss::bce_logits(level, &mut losses, &mut z, &[0.0, 1.0], 1.0);
        assert!(losses[0].is_nan() && losses[1].is_finite(), "a NaN propagates");
    }
}

#[test]
fn codes_their_kl_divergence_and_their_gradients() {
    for level in Level::available() {
        for width in (1..=67).chain([1000]) {
            let (rows, weight) = (3, 0.3);
            let moments = numbers(rows * 2 * width, 40, 3.0);
            let (noise, at_code) = (numbers(rows * width, 41, 2.0), numbers(rows * width, 42, 1.0));
            let (mut codes, mut sums) = (vec![0.0; rows * width], vec![f32::NAN; rows]);
            let mut gradients = vec![f32::NAN; moments.len()];
            sampling::sample(level, &mut codes, &moments, &noise, width);
            sampling::kl_divergence(level, &mut sums, &moments, width);
            sampling::sample_backward(level, &mut gradients, &at_code, &moments, &noise, width, weight);
            for i in 0..rows {
                let (codes_of, moments_of) = (i * width..(i + 1) * width, 2 * i * width..2 * (i + 1) * width);
                let (row, noise) = (wide(&moments[moments_of.clone()]), wide(&noise[codes_of.clone()]));
                close(
                    "sample",
                    level,
                    &codes[codes_of.clone()],
                    &reference::sample(&row, &noise),
                    1e-6,
                    1e-6,
                );
                close("divergence", level, &sums[i..=i], &[reference::kl_divergence(&row)], 1e-5, 1e-6);
                let at_code = wide(&at_code[codes_of]);
                let cost = |row: &[f64]| {
                    let codes = reference::sample(row, &noise);
                    let given: f64 = codes.iter().zip(&at_code).map(|(code, g)| code * g).sum();
                    given + f64::from(weight) * reference::kl_divergence(row)
                };
                for j in [0, width / 2, width - 1, width, width + width / 2, 2 * width - 1] {
                    let (got, want) =
                        (f64::from(gradients[moments_of.start + j]), slope(cost, &row, j, 1e-4));
                    assert!((got - want).abs() < 1e-6 + 1e-6 * want.abs(), "{j} of {width}: {got} {want}");
                }
            }
        }
        // The divergence of the standard normal distribution from itself is 0.
        let (mut sums, moments) = ([f32::NAN; 2], [0.0; 12]);
        sampling::kl_divergence(level, &mut sums, &moments, 3);
        assert_eq!(sums, [0.0; 2]);
    }
}

/// Rows and columns of the test batches.
fn batches() -> impl Iterator<Item = (usize, usize)> {
    (1..=67).map(|width| (width % 7 + 1, width)).chain([(1, 5), (2, 130), (100, 300), (9, 1000)])
}

#[test]
fn moments_of_columns_at_any_cut() {
    for level in Level::available() {
        for (rows, width) in batches() {
            // Columns with different means and deviations; the mean of one is a thousand times its deviation.
            let mut values = numbers(rows * width, 80, 1.0);
            for row in values.chunks_exact_mut(width) {
                row.iter_mut().enumerate().for_each(|(j, x)| *x = *x * (1 + j % 3) as f32 + (j % 5) as f32);
                row[0] += 1000.0;
            }
            let (want_means, want_variances) = reference::moments(&wide(&values), width);
            let (mut means, mut variances) = (vec![f32::NAN; width], vec![f32::NAN; width]);
            batch_norm::moments(level, &mut means, &mut variances, &values, width, 0);
            close("means", level, &means, &want_means, 1e-6, 1e-6);
            close("variances", level, &variances, &want_variances, 1e-5, 1e-6);
            assert!(rows > 1 || variances.iter().all(|&v| v == 0.0), "one row has no variance");
            // A subset of the columns gives the same bits.
            let (first, len) = (width / 3, width.div_ceil(2));
            let (mut some, mut more) = (vec![f32::NAN; len], vec![f32::NAN; len]);
            batch_norm::moments(level, &mut some, &mut more, &values, width, first);
            assert_eq!((&some[..], &more[..]), (&means[first..first + len], &variances[first..first + len]));
        }
        let (mut mean, mut variance) = ([0.0], [0.0]);
        batch_norm::moments(level, &mut mean, &mut variance, &[1.0, f32::NAN], 1, 0);
        assert!(mean[0].is_nan() && variance[0].is_nan(), "a NaN propagates");
    }
}

#[test]
fn normalized_columns_and_their_gradients() {
    let epsilon = 1e-3;
    for level in Level::available() {
        for (rows, width) in batches() {
            for kind in Activation::ALL {
                // The inputs are outputs of the activation, from which its derivative is evaluated.
                let before = numbers(rows * width, 81, 2.0);
                let mut values = before.clone();
                activation::forward(level, &mut values, kind);
                let (scales, shifts) = (numbers(width, 82, 2.0), numbers(width, 83, 1.0));
                let (mut means, mut variances) = (vec![0.0; width], vec![0.0; width]);
                batch_norm::moments(level, &mut means, &mut variances, &values, width, 0);
                let columns = batch_norm::BatchNorm {
                    means: &means,
                    variances: &variances,
                    scales: &scales,
                    shifts: &shifts,
                    epsilon,
                };
                let give = |before: &[f64], scales: &[f64], shifts: &[f64]| -> Vec<f64> {
                    let x: Vec<f64> = before.iter().map(|&x| reference::activate(kind, x)).collect();
                    let (means, variances) = reference::moments(&x, width);
                    let row = |x: &[f64]| {
                        reference::normalize(x, (&means, &variances), (scales, shifts), f64::from(epsilon))
                    };
                    x.chunks(width).flat_map(row).collect()
                };
                let (z, a, b) = (wide(&before), wide(&scales), wide(&shifts));
                let mut y = vec![f32::NAN; values.len()];
                batch_norm::normalize(level, &mut y, &values, columns, kind);
                let want: Vec<f64> =
                    give(&z, &a, &b).into_iter().map(|y| reference::activate(kind, y)).collect();
                close("normalize", level, &y, &want, 1e-4, 1e-4);

                // The gradients of a weighted sum of the normalized values, before the activation.
                let gradients = numbers(rows * width, 84, 1.0);
                let cost = |y: Vec<f64>| -> f64 { y.iter().zip(wide(&gradients)).map(|(y, g)| y * g).sum() };
                let (mut by_shift, mut by_scale) = (vec![f32::NAN; width], vec![f32::NAN; width]);
                let (first, len) = (width / 3, width.div_ceil(2));
                // Split into three parts.
                for range in [0..first, first..first + len, first + len..width] {
                    batch_norm::parameter_gradients(
                        level,
                        (&mut by_shift[range.clone()], &mut by_scale[range.clone()]),
                        &gradients,
                        &values,
                        (&means[range.clone()], &variances[range.clone()]),
                        epsilon,
                        width,
                        range.start,
                    );
                }
                let mut dx = vec![f32::NAN; values.len()];
                let sums = (&by_shift[..], &by_scale[..]);
                batch_norm::backward(level, &mut dx, &gradients, &values, columns, sums, rows, kind);
                for j in [0, width / 2, width - 1] {
                    let near = |got: f32, want: f64, what: &str| {
                        let error = (f64::from(got) - want).abs();
                        assert!(
                            error < 1e-3 + 1e-3 * want.abs(),
                            "{what} {rows} x {width}, {j}: {got} {want}"
                        );
                    };
                    near(by_shift[j], slope(|b| cost(give(&z, &a, b)), &b, j, 1e-5), "shift");
                    near(by_scale[j], slope(|a| cost(give(&z, a, &b)), &a, j, 1e-5), "scale");
                    let at = (rows - 1) * width + j;
                    // The difference quotient must not cross the kink of relu.
                    if before[at].abs() > 1e-3 {
                        near(dx[at], slope(|z| cost(give(z, &a, &b)), &z, at, 1e-6), "value");
                    }
                }
            }
        }
    }
}

#[test]
fn running_statistics_are_exponential_averages() {
    for level in Level::available() {
        for n in lengths() {
            let (start, found) = (numbers(n, 85, 1.0), numbers(n, 86, 3.0));
            let mut running = start.clone();
            batch_norm::update_running(level, &mut running, &found, 0.01, 1.25);
            let want = reference::update_running(&wide(&start), &wide(&found), 0.01f32.into(), 1.25);
            close("follow", level, &running, &want, 1e-6, 1e-7);
            // A weight of 1 replaces the running statistics.
            batch_norm::update_running(level, &mut running, &found, 1.0, 1.0);
            close("follow", level, &running, &wide(&found), 1e-6, 1e-6);
        }
    }
}

#[test]
fn penalties_add_the_gradients_of_their_definitions() {
    for level in Level::available() {
        for n in lengths() {
            let (weights, start) = (numbers(n, 50, 2.0), numbers(n, 51, 0.5));
            let w = wide(&weights);
            let (mut decay, mut elimination) = (start.clone(), start.clone());
            penalty::add_weight_decay(level, &mut decay, &weights, 0.3);
            penalty::add_weight_elimination(level, &mut elimination, &weights, 0.3);
            for (name, got, define) in [
                ("decay", decay, reference::sum_of_squares as fn(&[f64]) -> f64),
                ("elimination", elimination, reference::weight_elimination),
            ] {
                let want: Vec<f64> = w
                    .iter()
                    .zip(&start)
                    .map(|(&w, &g)| f64::from(g) + f64::from(0.3f32) * slope(define, &[w], 0, 1e-5))
                    .collect();
                close(name, level, &got, &want, 1e-6, 2e-7);
            }
            let got = penalty::sum_of_squares(level, &weights);
            let want = reference::sum_of_squares(&w);
            // f32 within blocks of 1024: at most 32 additions to each of at least 16 sums.
            assert!((got - want).abs() <= 1e-6 * want, "{got} {want}");
        }
        // An f32 sum would stop at 2^24.
        assert_eq!(penalty::sum_of_squares(level, &vec![1.0; 17_000_001]), 17_000_001.0);
    }
}

#[test]
fn unit_gradients_pass_through_the_activation() {
    for level in Level::available() {
        for width in (1..=67).chain([1000]) {
            for kind in Activation::ALL {
                let (rows, slopes) = (3, numbers(width, 60, 1.0));
                let (z, start) = (numbers(rows * width, 61, 2.0), numbers(rows * width, 62, 1.0));
                let (mut outputs, mut gradients) = (z.clone(), start.clone());
                activation::forward(level, &mut outputs, kind);
                penalty::add_unit_gradients(level, &mut gradients, &outputs, kind, &slopes);
                let want: Vec<f64> = (0..rows * width)
                    .map(|i| {
                        let cost = |z: &[f64]| f64::from(slopes[i % width]) * reference::activate(kind, z[0]);
                        f64::from(start[i]) + slope(cost, &[f64::from(z[i])], 0, 1e-5)
                    })
                    .collect();
                close("slopes", level, &gradients, &want, 1e-6, 1e-6);
            }
        }
    }
}

#[test]
fn products_squares_and_extremes_of_columns() {
    for level in Level::available() {
        for width in (1..=67).chain([1000]) {
            let rows = 5;
            let (matrix, factors) = (numbers(rows * width, 70, 3.0), numbers(width, 71, 2.0));
            let mut squares = vec![f32::NAN; width];
            vector::column_sums_of_squares(level, &mut squares, &matrix);
            let want = reference::column_sums_of_squares(&wide(&matrix), width);
            close("column squares", level, &squares, &want, 1e-6, 0.0);

            // A product of two values is rounded once, so every level gives the same bits.
            let mut scaled = matrix.clone();
            vector::scale_columns(level, &mut scaled, &factors);
            assert!((0..rows * width).all(|i| scaled[i] == matrix[i] * factors[i % width]));
            let mut scaled = matrix.clone();
            vector::multiply(level, &mut scaled[width..2 * width], &factors);
            assert!((0..width).all(|j| scaled[width + j] == matrix[width + j] * factors[j]));
            assert!(scaled[..width] == matrix[..width] && scaled[2 * width..] == matrix[2 * width..]);
            let mut scaled = matrix.clone();
            vector::scale(level, &mut scaled, 0.7);
            assert!(scaled.iter().zip(&matrix).all(|(&got, &number)| got == 0.7 * number));

            // Earlier extremes stay if no row exceeds them.
            let (mut low, mut high) = (vec![f32::INFINITY; width], vec![f32::NEG_INFINITY; width]);
            (low[width / 2], high[width / 2]) = (-100.0, 100.0);
            let mut holed = matrix.clone();
            holed[width - 1] = f32::NAN;
            vector::column_min_max(level, &mut low, &mut high, &holed);
            for j in 0..width {
                let column = || holed.iter().skip(j).step_by(width).copied();
                let (least, largest) =
                    if j == width / 2 { (-100.0, 100.0) } else { (f32::INFINITY, f32::NEG_INFINITY) };
                assert_eq!(low[j], column().fold(least, f32::min));
                assert_eq!(high[j], column().fold(largest, f32::max));
            }
        }
    }
}

#[test]
fn columns_and_scales() {
    for level in Level::available() {
        for width in (1..=67).chain([1000]) {
            let rows = 5;
            let values = numbers(rows * width, 20, 3.0);
            let mut sums = vec![0.0; width];
            vector::column_sums(level, &mut sums, &values, width, 0);
            let want: Vec<f64> =
                (0..width).map(|j| (0..rows).map(|i| f64::from(values[i * width + j])).sum()).collect();
            close("column sums", level, &sums, &want, 1e-6, 1e-5);
            // A subset of the columns gives the same bits.
            let first = width / 3;
            let mut part = vec![0.0; width - first];
            vector::column_sums(level, &mut part, &values, width, first);
            assert_eq!(part, sums[first..]);

            let (offsets, scales) = (numbers(width, 21, 1.0), numbers(width, 22, 1.0));
            for (offsets, scales) in [(&offsets[..], &scales[..]), (&[0.5][..], &[255.0][..])] {
                let mut scaled = values.clone();
                vector::standardize(level, &mut scaled, width, offsets, scales);
                let pick = |from: &[f32], j: usize| f64::from(from[if from.len() == 1 { 0 } else { j }]);
                let want: Vec<f64> = (0..rows * width)
                    .map(|i| (f64::from(values[i]) - pick(offsets, i % width)) / pick(scales, i % width))
                    .collect();
                close("standardize", level, &scaled, &want, 1e-6, 1e-6);
                vector::unstandardize(level, &mut scaled, width, offsets, scales);
                close("unstandardize", level, &scaled, &wide(&values), 1e-6, 1e-6);
            }
        }
        for n in lengths().filter(|&n| n > 0) {
            let mut values = numbers(n, 23, 1e30);
            assert!(vector::all_finite(level, &values));
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let kept = std::mem::replace(&mut values[n - 1], bad);
                assert!(!vector::all_finite(level, &values));
                values[n - 1] = kept;
            }
        }
        for n in lengths() {
            let bytes: Vec<u8> = (0..n + 1).map(|i| (i * 97 % 256) as u8).collect();
            let mut out = vec![0.0; n];
            vector::from_bytes(level, &mut out, &bytes[1..]);
            assert!(out.iter().zip(&bytes[1..]).all(|(&number, &byte)| number == f32::from(byte)));
        }
        // 0 and 255 divided by 255 are exactly 0 and 1: binary cross-entropy requires targets in [0, 1].
        let mut ends = vec![0.0, 255.0, 51.0];
        vector::standardize(level, &mut ends, 3, &[0.0], &[255.0]);
        assert_eq!(ends, [0.0, 1.0, 0.2]);
    }
}
