//! A linear classifier of codes: multinomial logistic regression, learned to the end, without chance.
//!
//! Each column is standardised over the training codes (mean 0, deviation 1; a constant column to 0). Then the weights W
//! (classes x k) and a bias for each class minimise
//!
//! ```text
//! mean over rows of -ln softmax(W x + b)[class of x]  +  |W|^2 / (2 n)
//! ```
//!
//! which is scikit-learn's LogisticRegression with its defaults (C = 1). The function is convex, so where one begins does
//! not matter: at zero. It is minimised by L-BFGS over all rows at once (Nocedal and Wright 2006, algorithm 7.5).

use narrows_kernels::gemm::{Epilogue, View, multiply, scratch_len};
use narrows_kernels::{Activation, Level};

use super::{Classified, column_means, each};
use crate::compute::Compute;

/// Rows whose products are taken together.
const BLOCK: usize = 256;
/// Parts of the rows, each summed by one thread, then added in order. Fixed, whatever the number of threads.
const GROUPS: usize = 16;
/// Steps at most.
const STEPS: usize = 100;
/// Learned where no number of the gradient is larger.
const TOLERANCE: f64 = 1e-4;
/// Steps that the curvature is estimated from.
const MEMORY: usize = 10;

/// The classes that a classifier learned from `training` finds for `codes` (m x width).
pub(super) fn classify(training: Classified<'_>, codes: &[f32], width: usize, compute: Compute) -> Vec<u32> {
    let mut names = training.classes.to_vec();
    names.sort_unstable();
    names.dedup();
    let classes: Vec<usize> =
        training.classes.iter().map(|class| names.binary_search(class).unwrap_or(0)).collect();
    let standard = Standard::learn(training.codes, width);
    let rows = standard.apply(training.codes);
    let problem = Problem { rows: &rows, width, classes: &classes, count: names.len(), compute };
    let mut weights = vec![0.0; names.len() * (width + 1)];
    minimise(&mut weights, |weights, gradient| problem.loss(weights, gradient));

    let (weights, bias) = problem.narrow(&weights);
    let mut found = vec![0; codes.len() / width];
    let state = || vec![0.0; scratch_len(width)];
    each(&mut found, BLOCK, compute.threads, state, |scratch, piece, found| {
        let rows = standard.apply(&codes[piece * BLOCK * width..][..found.len() * width]);
        let logits = logits(compute.level, &rows, &weights, &bias, scratch);
        for (found, logits) in found.iter_mut().zip(logits.chunks_exact(names.len())) {
            // Of equals the first.
            let best =
                (1..logits.len()).fold(0, |best, at| if logits[at] > logits[best] { at } else { best });
            *found = names[best];
        }
    });
    found
}

/// (value - mean) / deviation of each column.
struct Standard {
    means: Vec<f64>,
    /// 1 / deviation; 0 for a column that is constant but for rounding.
    factors: Vec<f64>,
}

impl Standard {
    fn learn(codes: &[f32], width: usize) -> Self {
        let means = column_means(codes, width);
        let mut squares = vec![0.0; width];
        for row in codes.chunks_exact(width) {
            for j in 0..width {
                squares[j] += (f64::from(row[j]) - means[j]).powi(2);
            }
        }
        let rows = (codes.len() / width) as f64;
        let factor = |(square, mean): (&f64, &f64)| {
            let deviation = (square / rows).sqrt();
            if deviation > 1e-6 * mean.abs() { 1.0 / deviation } else { 0.0 }
        };
        let factors = squares.iter().zip(&means).map(factor).collect();
        Self { means, factors }
    }

    fn apply(&self, codes: &[f32]) -> Vec<f32> {
        let width = self.means.len();
        let mut out = codes.to_vec();
        for row in out.chunks_exact_mut(width) {
            for j in 0..width {
                row[j] = ((f64::from(row[j]) - self.means[j]) * self.factors[j]) as f32;
            }
        }
        out
    }
}

/// Rows (n x width) and what is to be found of them.
struct Problem<'a> {
    rows: &'a [f32],
    width: usize,
    /// From 0 to `count`.
    classes: &'a [usize],
    count: usize,
    compute: Compute,
}

impl Problem<'_> {
    /// Weights (count x width) and biases (count) in single precision, from one list: weights first.
    fn narrow(&self, weights: &[f64]) -> (Vec<f32>, Vec<f32>) {
        let narrow = |values: &[f64]| values.iter().map(|&value| value as f32).collect();
        let (weights, bias) = weights.split_at(self.count * self.width);
        (narrow(weights), narrow(bias))
    }

    /// The loss at `weights`, and its gradient there. Products in single precision, sums over rows in double.
    fn loss(&self, weights: &[f64], gradient: &mut [f64]) -> f64 {
        let Self { rows, width, classes, count, compute } = *self;
        let n = classes.len();
        let (narrow, bias) = self.narrow(weights);
        // Of each group of rows: the gradient's sums, then the loss.
        let len = weights.len() + 1;
        let mut parts = vec![0.0; GROUPS * len];
        let state = || (vec![0.0; scratch_len(width.max(BLOCK))], vec![0.0; count * width]);
        each(&mut parts, len, compute.threads, state, |(scratch, products), group, part| {
            let (first, last) = (group * n / GROUPS, (group + 1) * n / GROUPS);
            for start in (first..last).step_by(BLOCK) {
                let block = BLOCK.min(last - start);
                let x = &rows[start * width..][..block * width];
                let mut shares = logits(compute.level, x, &narrow, &bias, scratch);
                for (row, &class) in shares.chunks_exact_mut(count).zip(&classes[start..]) {
                    part[len - 1] += softmax_loss(row, class);
                    for (sum, &share) in part[count * width..].iter_mut().zip(row.iter()) {
                        *sum += f64::from(share);
                    }
                }
                let left = View::new(&shares, block, count).transposed();
                multiply(compute.level, products, left, View::new(x, block, width), Epilogue::Store, scratch);
                part.iter_mut().zip(products.iter()).for_each(|(sum, &value)| *sum += f64::from(value));
            }
        });
        let mut sums = vec![0.0; len];
        for part in parts.chunks_exact(len) {
            sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
        let n = n as f64;
        let mut loss = sums[len - 1] / n;
        for (at, weight) in weights.iter().enumerate() {
            // Biases pay nothing for their size.
            let size = if at < count * width { *weight } else { 0.0 };
            gradient[at] = (sums[at] + size) / n;
            loss += size * size / (2.0 * n);
        }
        loss
    }
}

/// W x + b of each row of `rows` (n x width): n x classes.
fn logits(level: Level, rows: &[f32], weights: &[f32], bias: &[f32], scratch: &mut [f32]) -> Vec<f32> {
    let width = weights.len() / bias.len();
    let n = rows.len() / width;
    let mut out = vec![0.0; n * bias.len()];
    let finish = Epilogue::Forward { bias: Some(bias), activation: Activation::Linear };
    let weights = View::new(weights, bias.len(), width).transposed();
    multiply(level, &mut out, View::new(rows, n, width), weights, finish, scratch);
    out
}

/// The negative logarithm of the softmax of logits at the class; leaves its derivative, softmax minus one at the class, in place of the logits.
fn softmax_loss(logits: &mut [f32], class: usize) -> f64 {
    let largest = logits.iter().fold(f32::NEG_INFINITY, |largest, &logit| largest.max(logit));
    let own = f64::from(logits[class] - largest);
    let mut sum = 0.0;
    for logit in logits.iter_mut() {
        let power = f64::from(*logit - largest).exp();
        *logit = power as f32;
        sum += power;
    }
    logits.iter_mut().for_each(|power| *power = (f64::from(*power) / sum) as f32);
    logits[class] -= 1.0;
    sum.ln() - own
}

/// Minimises a smooth function from where `x` stands; `function(x, gradient)` gives its value and writes its gradient.
fn minimise(x: &mut Vec<f64>, mut function: impl FnMut(&[f64], &mut [f64]) -> f64) {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut gradient = vec![0.0; x.len()];
    let mut value = function(x, &mut gradient);
    // The last steps and the changes of the gradient along them, oldest first.
    let mut memory: Vec<(Vec<f64>, Vec<f64>)> = Vec::new();
    for _ in 0..STEPS {
        if gradient.iter().all(|part| part.abs() <= TOLERANCE) {
            return;
        }
        // The inverse of the curvature times the gradient, in two loops over the memory.
        let mut direction = gradient.clone();
        let mut factors = Vec::with_capacity(memory.len());
        for (step, change) in memory.iter().rev() {
            let factor = dot(step, &direction) / dot(step, change);
            direction.iter_mut().zip(change).for_each(|(value, change)| *value -= factor * change);
            factors.push(factor);
        }
        let scale = match memory.last() {
            Some((step, change)) => dot(step, change) / dot(change, change),
            None => 1.0 / dot(&gradient, &gradient).sqrt().max(1.0),
        };
        direction.iter_mut().for_each(|value| *value *= scale);
        for ((step, change), factor) in memory.iter().zip(factors.into_iter().rev()) {
            let correction = factor - dot(change, &direction) / dot(step, change);
            direction.iter_mut().zip(step).for_each(|(value, step)| *value += correction * step);
        }
        let slope = dot(&direction, &gradient);
        // Halved until the function falls by a part of what the slope promises.
        let found = (0..30).map(|halvings| 0.5f64.powi(halvings)).find_map(|length| {
            let tried: Vec<f64> = x.iter().zip(&direction).map(|(x, d)| x - length * d).collect();
            let mut new_gradient = vec![0.0; x.len()];
            let new_value = function(&tried, &mut new_gradient);
            (new_value <= value - 1e-4 * length * slope).then_some((tried, new_value, new_gradient))
        });
        // Rounding leaves nothing to gain.
        let Some((tried, new_value, new_gradient)) = found else { return };
        let step: Vec<f64> = tried.iter().zip(x.iter()).map(|(new, old)| new - old).collect();
        let change: Vec<f64> = new_gradient.iter().zip(&gradient).map(|(new, old)| new - old).collect();
        if dot(&step, &change) > 1e-10 * dot(&change, &change) {
            memory.push((step, change));
            memory.drain(..memory.len().saturating_sub(MEMORY));
        }
        (*x, value, gradient) = (tried, new_value, new_gradient);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::{Purpose, generator, uniform};

    #[test]
    fn a_quadratic_is_minimised_where_its_gradient_is_zero() {
        // Curvatures from 1 to 1,000; the least is at 1, 2, 3...
        let mut x = vec![0.0; 7];
        minimise(&mut x, |x, gradient| {
            let mut value = 0.0;
            for (at, x) in x.iter().enumerate() {
                let (curvature, gap) = (10f64.powf(at as f64 / 2.0), x - (at + 1) as f64);
                gradient[at] = curvature * gap;
                value += curvature * gap * gap / 2.0;
            }
            value
        });
        assert!(x.iter().enumerate().all(|(at, x)| (x - (at + 1) as f64).abs() < 2e-4), "{x:?}");
    }

    /// Three classes, four columns, random rows: more than one block and group.
    fn problem() -> (Vec<f32>, Vec<usize>) {
        let mut generator = generator(3, Purpose::Weights, 0);
        let rows: Vec<f32> = (0..700 * 4).map(|_| uniform(&mut generator) * 2.0 - 1.0).collect();
        let classes =
            rows.chunks_exact(4).map(|row| (row[0] > 0.2) as usize + (row[1] > 0.0) as usize).collect();
        (rows, classes)
    }

    #[test]
    fn the_gradient_is_that_of_difference_quotients_at_any_number_of_threads() {
        let (rows, classes) = problem();
        let weights: Vec<f64> = (0..15).map(|at| f64::from(at as u32).sin()).collect();
        let mut before: Option<(f64, Vec<f64>)> = None;
        for threads in [1, 2, 5] {
            let compute = Compute::with_threads(threads);
            let problem = Problem { rows: &rows, width: 4, classes: &classes, count: 3, compute };
            let mut gradient = vec![0.0; 15];
            let value = problem.loss(&weights, &mut gradient);
            for at in 0..15 {
                let loss = |change: f64| {
                    let mut weights = weights.clone();
                    weights[at] += change;
                    problem.loss(&weights, &mut [0.0; 15])
                };
                // The products are of single precision: the step is long, the quotient of second order.
                let quotient = (loss(0.02) - loss(-0.02)) / 0.04;
                assert!((quotient - gradient[at]).abs() < 1e-4, "{at}: {quotient} {}", gradient[at]);
            }
            let (first, expected) = before.get_or_insert_with(|| (value, gradient.clone()));
            assert!(*first == value && *expected == gradient, "{threads} threads");
        }
    }

    /// One column, two classes that mirror each other: between them lies the boundary, wherever the column lies.
    #[test]
    fn two_classes_are_parted_in_the_middle() {
        let (middle, compute) = (100.0, Compute::with_threads(1));
        let codes: Vec<f32> = [-3.0, -2.0, 0.5, -0.5, 2.0, 3.0].iter().map(|x| x + middle).collect();
        let training = Classified { codes: &codes, classes: &[7, 7, 7, 9, 9, 9] };
        assert_eq!(classify(training, &[99.9, 100.1, -500.0, 700.0], 1, compute), [7, 9, 7, 9]);
    }

    /// A constant column says nothing and divides by nothing.
    #[test]
    fn constant_columns_change_nothing() {
        let (rows, classes) = problem();
        let classes: Vec<u32> = classes.into_iter().map(|class| class as u32).collect();
        let compute = Compute::with_threads(2);
        let plain = classify(Classified { codes: &rows, classes: &classes }, &rows, 4, compute);
        let wider: Vec<f32> =
            rows.chunks_exact(4).flat_map(|row| [row[0], row[1], row[2], row[3], 0.1]).collect();
        let with = classify(Classified { codes: &wider, classes: &classes }, &wider, 5, compute);
        let same = plain.iter().zip(&with).filter(|(a, b)| a == b).count();
        assert!(same >= 698, "{same}");
        let right = plain.iter().zip(&classes).filter(|(a, b)| a == b).count();
        // No straight line parts these three; chance finds 350 at most.
        assert!(right > 500, "{right} of 700");
    }
}
