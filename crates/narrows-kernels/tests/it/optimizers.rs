//! Optimizer steps against the reference implementation, with gradients in state and with those of a product.

use crate::common::{close, lengths, numbers, wide};
use narrows_kernels::gemm::{Epilogue, View, multiply, multiply_and_step, scratch_len};
use narrows_kernels::optimizer::{Adadelta, Adam, Optimizer, RmsProp, Sgd};
use narrows_kernels::{Level, optimizer, reference};

/// An optimizer of every update rule, with the relative and the absolute tolerance to the reference.
fn every_optimizer() -> Vec<(Optimizer, f64, f64)> {
    let adam =
        |weight_decay| Adam { rate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay, step: 1 };
    let sgd = |nesterov| Sgd { rate: 0.1, momentum: 0.9, nesterov };
    vec![
        (Optimizer::Adadelta(Adadelta { rate: 1.0, rho: 0.95, epsilon: 1e-7 }), 1e-6, 1e-7),
        (Optimizer::Sgd(sgd(false)), 1e-6, 1e-7),
        (Optimizer::Sgd(sgd(true)), 1e-6, 1e-7),
        (Optimizer::RmsProp(RmsProp { rate: 0.01, rho: 0.9, epsilon: 1e-7 }), 1e-5, 1e-6),
        (Optimizer::Adam(adam(0.0)), 1e-5, 1e-6),
        (Optimizer::Adam(adam(0.1)), 1e-5, 1e-6),
    ]
}

/// Parameters with the state of their optimizer.
struct Descent {
    level: Level,
    optimizer: Optimizer,
    count: u64,
    parameters: Vec<f32>,
    state: [Vec<f32>; 2],
}

impl Descent {
    fn new(level: Level, optimizer: Optimizer, start: &[f32]) -> Self {
        let second = if optimizer.state_slots() == 2 { start.len() } else { 0 };
        let state = [vec![0.0; start.len()], vec![0.0; second]];
        Self { level, optimizer, count: 0, parameters: start.to_vec(), state }
    }

    /// The optimizer at its next step.
    fn next_optimizer(&mut self) -> Optimizer {
        self.count += 1;
        if let Optimizer::Adam(settings) = &mut self.optimizer {
            settings.step = self.count;
        }
        self.optimizer
    }

    fn step(&mut self, gradients: &[f32]) -> bool {
        let optimizer = self.next_optimizer();
        let [first, second] = &mut self.state;
        optimizer::step(self.level, &mut self.parameters, [first, second], gradients, optimizer)
    }

    fn step_by_product(&mut self, a: View<'_, f32>, b: View<'_, f32>, scratch: &mut [f32]) -> bool {
        let optimizer = self.next_optimizer();
        let [first, second] = &mut self.state;
        let state = [&mut first[..], &mut second[..]];
        multiply_and_step(self.level, &mut self.parameters, state, a, b, optimizer, scratch)
    }
}

#[test]
fn steps_equal_the_reference() {
    for level in Level::available() {
        for n in lengths() {
            let start = numbers(n, 7, 1.0);
            for (optimizer, relative, absolute) in every_optimizer() {
                let mut descent = Descent::new(level, optimizer, &start);
                let (mut p, mut a, mut b) = (wide(&start), vec![0.0f64; n], vec![0.0f64; n]);
                // Three steps, so that the state matters.
                for step in 1..=3 {
                    let gradients = numbers(n, 10 + step, 0.1);
                    assert!(descent.step(&gradients));
                    reference::step(&mut p, &mut a, &mut b, &wide(&gradients), descent.optimizer);
                }
                close(&format!("{optimizer:?}"), level, &descent.parameters, &p, relative, absolute);
            }
        }
    }
}

#[test]
fn a_gradient_that_is_not_finite_is_reported_wherever_it_stands() {
    for level in Level::available() {
        for n in 1..=67 {
            for (index, nonfinite) in [(0, f32::NAN), (n / 2, f32::INFINITY), (n - 1, f32::NEG_INFINITY)] {
                for (optimizer, ..) in every_optimizer() {
                    let mut gradients = numbers(n, 1, 1.0);
                    gradients[index] = nonfinite;
                    assert!(
                        !Descent::new(level, optimizer, &vec![0.5; n]).step(&gradients),
                        "{n} {nonfinite}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_step_whose_gradients_are_a_product_is_the_product_and_then_the_step() {
    for level in Level::available() {
        // Partial tiles and panels, few and many panels, several packed blocks of A, zeros in A.
        for (m, n, k) in [(1, 1, 1), (7, 19, 5), (13, 40, 9), (6, 64, 33), (300, 70, 300), (500, 17, 128)] {
            let (mut a, b) = (numbers(k * m, 1, 1.0), numbers(k * n, 2, 0.1));
            a.iter_mut().enumerate().for_each(|(at, x)| *x *= f32::from(at % m / 6 % 3 == 0));
            let start = numbers(m * n, 3, 1.0);
            let (left, right) = (View::new(&a, k, m).transposed(), View::new(&b, k, n));
            let mut scratch = vec![f32::NAN; scratch_len(k)];
            for (optimizer, ..) in every_optimizer() {
                let what = format!("{optimizer:?} {m}x{n}x{k}");
                let mut fused = Descent::new(level, optimizer, &start);
                let mut separate = Descent::new(level, optimizer, &start);
                for _ in 0..3 {
                    assert!(fused.step_by_product(left, right, &mut scratch), "{what}");
                    let mut gradients = vec![0.0; m * n];
                    multiply(level, &mut gradients, left, right, Epilogue::Store, &mut scratch);
                    separate.step(&gradients);
                }
                assert_eq!(fused.parameters, separate.parameters, "{what}");
                assert_eq!(fused.state, separate.state, "{what}");
                for nonfinite in [f32::NAN, f32::INFINITY] {
                    // Nonzero elements of A are multiplied by this value.
                    let mut b = b.clone();
                    b[n / 2] = nonfinite;
                    assert!(!fused.step_by_product(left, View::new(&b, k, n), &mut scratch), "{what}");
                }
            }
        }
    }
}

#[test]
fn adadelta_begins_as_its_paper_says() {
    // With zero state, the first step is sqrt(epsilon) / sqrt((1 - rho) g^2 + epsilon) g: about sqrt(epsilon / (1 -
    // rho)).
    let optimizer = Optimizer::Adadelta(Adadelta { rate: 1.0, rho: 0.95, epsilon: 1e-6 });
    for level in Level::available() {
        let mut descent = Descent::new(level, optimizer, &[0.0]);
        descent.step(&[10.0]);
        let p = descent.parameters[0];
        assert!((p + (1e-6f32 / 0.05).sqrt()).abs() < 1e-6, "{p}");
    }
}
