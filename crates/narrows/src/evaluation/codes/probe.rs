//! The linear probe: multinomial logistic regression on codes, deterministic and trained to convergence.
//!
//! Each column is standardised over the training codes (mean 0, standard deviation 1; a constant column becomes 0). Then
//! the weights W (classes x k) and biases b (classes) minimise
//!
//! ```text
//! mean over rows of -ln softmax(W x + b)[class of x]  +  |W|^2 / (2 n)
//! ```
//!
//! as scikit-learn's LogisticRegression does by default (C = 1). The function is convex, so the initial value does not
//! matter: it is 0. The minimiser is L-BFGS on all rows (Nocedal and Wright 2006, algorithm 7.5).

use narrows_kernels::gemm::{Epilogue, View, multiply, scratch_len};
use narrows_kernels::{Activation, Level};

use super::{Classified, column_means, each};
use crate::compute::Compute;

/// Rows of a matrix product.
const BLOCK: usize = 256;
/// Groups of rows that are summed by one thread each and then added in order. Their number does not depend on the number of
/// threads, so that the sums do not either.
const GROUPS: usize = 16;
/// The largest number of iterations.
const ITERATIONS: usize = 100;
/// Converged if no component of the gradient is larger in magnitude.
const TOLERANCE: f64 = 1e-4;
/// The iterations that L-BFGS estimates the curvature from.
const MEMORY: usize = 10;

/// Fits the probe to `training` and predicts the classes of `codes` (m x width).
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
    let mut predicted = vec![0; codes.len() / width];
    let state = || vec![0.0; scratch_len(width)];
    each(&mut predicted, BLOCK, compute.threads, state, |scratch, piece, predicted| {
        let rows = standard.apply(&codes[piece * BLOCK * width..][..predicted.len() * width]);
        let logits = logits(compute.level, &rows, &weights, &bias, scratch);
        for (predicted, logits) in predicted.iter_mut().zip(logits.chunks_exact(names.len())) {
            // Ties go to the first class.
            let best =
                (1..logits.len()).fold(0, |best, at| if logits[at] > logits[best] { at } else { best });
            *predicted = names[best];
        }
    });
    predicted
}

/// Standardisation: (value - mean) / standard deviation of each column.
struct Standard {
    means: Vec<f64>,
    /// 1 / standard deviation; 0 for a column that is constant up to rounding.
    factors: Vec<f64>,
}

impl Standard {
    /// `codes` are n x width.
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

/// Rows and their classes.
struct Problem<'a> {
    /// n x width, standardised.
    rows: &'a [f32],
    width: usize,
    /// n, each below `count`.
    classes: &'a [usize],
    count: usize,
    compute: Compute,
}

impl Problem<'_> {
    /// Splits the parameters into weights (count x width) and biases (count), in single precision.
    fn narrow(&self, weights: &[f64]) -> (Vec<f32>, Vec<f32>) {
        let narrow = |values: &[f64]| values.iter().map(|&value| value as f32).collect();
        let (weights, bias) = weights.split_at(self.count * self.width);
        (narrow(weights), narrow(bias))
    }

    /// Returns the loss at `weights` and writes its gradient. Products are in single precision, sums over rows in double.
    fn loss(&self, weights: &[f64], gradient: &mut [f64]) -> f64 {
        let Self { rows, width, classes, count, compute } = *self;
        let n = classes.len();
        let (narrow, bias) = self.narrow(weights);
        // For each group of rows the sums of the gradient, then of the loss.
        let len = weights.len() + 1;
        let mut parts = vec![0.0; GROUPS * len];
        let state = || (vec![0.0; scratch_len(width.max(BLOCK))], vec![0.0; count * width]);
        each(&mut parts, len, compute.threads, state, |(scratch, products), group, part| {
            let (first, last) = (group * n / GROUPS, (group + 1) * n / GROUPS);
            for start in (first..last).step_by(BLOCK) {
                let block = BLOCK.min(last - start);
                let x = &rows[start * width..][..block * width];
                let mut errors = logits(compute.level, x, &narrow, &bias, scratch);
                for (row, &class) in errors.chunks_exact_mut(count).zip(&classes[start..]) {
                    part[len - 1] += softmax_loss(row, class);
                    for (sum, &error) in part[count * width..].iter_mut().zip(row.iter()) {
                        *sum += f64::from(error);
                    }
                }
                let left = View::new(&errors, block, count).transposed();
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
            // Biases are not regularised.
            let size = if at < count * width { *weight } else { 0.0 };
            gradient[at] = (sums[at] + size) / n;
            loss += size * size / (2.0 * n);
        }
        loss
    }
}

/// The logits W x + b of rows (n x width): n x classes.
fn logits(level: Level, rows: &[f32], weights: &[f32], bias: &[f32], scratch: &mut [f32]) -> Vec<f32> {
    let width = weights.len() / bias.len();
    let n = rows.len() / width;
    let mut out = vec![0.0; n * bias.len()];
    let finish = Epilogue::Forward { bias: Some(bias), activation: Activation::Linear };
    let weights = View::new(weights, bias.len(), width).transposed();
    multiply(level, &mut out, View::new(rows, n, width), weights, finish, scratch);
    out
}

/// The cross-entropy -ln softmax(logits)[class]. Overwrites the logits with its gradient: softmax(logits), less 1 at the
/// class.
fn softmax_loss(logits: &mut [f32], class: usize) -> f64 {
    let largest = logits.iter().fold(f32::NEG_INFINITY, |largest, &logit| largest.max(logit));
    let logit_of_class = f64::from(logits[class] - largest);
    let mut sum = 0.0;
    for logit in logits.iter_mut() {
        let power = f64::from(*logit - largest).exp();
        *logit = power as f32;
        sum += power;
    }
    logits.iter_mut().for_each(|power| *power = (f64::from(*power) / sum) as f32);
    logits[class] -= 1.0;
    sum.ln() - logit_of_class
}

/// Minimises a smooth function by L-BFGS, starting at `x`; `function(x, gradient)` returns the value and writes the gradient.
fn minimise(x: &mut Vec<f64>, mut function: impl FnMut(&[f64], &mut [f64]) -> f64) {
    let mut gradient = vec![0.0; x.len()];
    let mut value = function(x, &mut gradient);
    let mut pairs = CurvaturePairs::new();
    for _ in 0..ITERATIONS {
        if gradient.iter().all(|part| part.abs() <= TOLERANCE) {
            return;
        }
        let direction = pairs.direction(&gradient);
        let slope = dot(&direction, &gradient);
        // Backtracking: halve the step until the function falls by a fraction of what the slope promises (Armijo).
        let accepted = (0..30).map(|halvings| 0.5f64.powi(halvings)).find_map(|length| {
            let new: Vec<f64> = x.iter().zip(&direction).map(|(x, d)| x - length * d).collect();
            let mut new_gradient = vec![0.0; x.len()];
            let new_value = function(&new, &mut new_gradient);
            (new_value <= value - 1e-4 * length * slope).then_some((new, new_value, new_gradient))
        });
        // No step is accepted once the gain is below the rounding error.
        let Some((new, new_value, new_gradient)) = accepted else { return };
        pairs.push(difference(&new, x), difference(&new_gradient, &gradient));
        (*x, value, gradient) = (new, new_value, new_gradient);
    }
}

/// The last steps of L-BFGS with the changes of the gradient along them, oldest first.
struct CurvaturePairs(Vec<(Vec<f64>, Vec<f64>)>);

impl CurvaturePairs {
    fn new() -> Self {
        Self(Vec::new())
    }

    /// Keeps a step unless its curvature is not clearly positive.
    fn push(&mut self, step: Vec<f64>, change: Vec<f64>) {
        if dot(&step, &change) > 1e-10 * dot(&change, &change) {
            self.0.push((step, change));
            self.0.drain(..self.0.len().saturating_sub(MEMORY));
        }
    }

    /// The estimated inverse Hessian times the gradient, by the two-loop recursion.
    fn direction(&self, gradient: &[f64]) -> Vec<f64> {
        let mut direction = gradient.to_vec();
        let mut factors = Vec::with_capacity(self.0.len());
        for (step, change) in self.0.iter().rev() {
            let factor = dot(step, &direction) / dot(step, change);
            direction.iter_mut().zip(change).for_each(|(value, change)| *value -= factor * change);
            factors.push(factor);
        }
        let scale = match self.0.last() {
            Some((step, change)) => dot(step, change) / dot(change, change),
            None => 1.0 / dot(gradient, gradient).sqrt().max(1.0),
        };
        direction.iter_mut().for_each(|value| *value *= scale);
        for ((step, change), factor) in self.0.iter().zip(factors.into_iter().rev()) {
            let correction = factor - dot(change, &direction) / dot(step, change);
            direction.iter_mut().zip(step).for_each(|(value, step)| *value += correction * step);
        }
        direction
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
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
