//! Speed of the matrix products of training on one thread, for the shapes of the recipes `single` and `deep` on MNIST
//! and of the wide network 784-1000-500-250-30: `cargo run --release -p narrows-kernels --example products [LEVEL]`
//! After the levels of single precision follow the units of bfloat16 (`emulated`, `avx512-bf16`, `amx-bf16`).
//!
//! GFLOP/s count all elements of A and B. If the rows of A are images, the last column is for images that are black
//! except for a ring, for which many k-slices are skipped.

mod common;

use common::median;
use narrows_kernels::gemm::{Arithmetic, Epilogue, View};
use narrows_kernels::optimizer::{Adam, Optimizer};
use narrows_kernels::{Activation, Level};

/// Width and height of an image.
const SIDE: usize = 28;

fn main() {
    let wanted = std::env::args().nth(1);
    println!("{:<34} {:>12} {:>14} {:>9} {:>9}", "product", "level", "shape", "GFLOP/s", "rings");
    let units = Arithmetic::available(Level::detect()).into_iter().skip(1);
    for arithmetic in Level::available().into_iter().map(Arithmetic::single).chain(units) {
        if wanted.as_ref().is_some_and(|wanted| wanted != arithmetic.name()) {
            continue;
        }
        // Half a batch of 128 or 256 rows, as for one of two threads.
        let narrow =
            [(784, 32), (32, 784), (784, 128), (128, 64), (64, 32), (128, 784)].map(|widths| (64, widths));
        let wide =
            [(784, 1000), (1000, 500), (500, 250), (500, 1000), (1000, 784)].map(|widths| (128, widths));
        for (rows, (inputs, outputs)) in narrow.into_iter().chain(wide) {
            let half = inputs / 2;
            let cases = [
                ("forward X W + b, relu", rows, outputs, inputs),
                ("input gradient D W' * relu'", rows, inputs, outputs),
                ("weight gradient X' D (half)", half, outputs, 2 * rows),
                ("weight gradient (half), and Adam", half, outputs, 2 * rows),
            ];
            for (case, (name, m, n, k)) in cases.into_iter().enumerate() {
                let numbers = m * k * if case >= 2 { 2 } else { 1 };
                let speed = |a: &[f32]| 2e-9 * (m * n * k) as f64 / seconds(arithmetic, case, (m, n, k), a);
                let dense = speed(&vec![0.5; numbers]);
                let rings = (inputs == SIDE * SIDE && case != 1).then(|| speed(&rings(numbers)));
                let rings = rings.map_or_else(|| "-".to_owned(), |speed| format!("{speed:.1}"));
                let shape = format!("{m}x{n}x{k}");
                println!("{name:<34} {:>12} {shape:>14} {dense:>9.1} {rings:>9}", arithmetic.name());
            }
        }
    }
}

/// The median duration of a product in seconds, by its case.
fn seconds(arithmetic: Arithmetic, case: usize, (m, n, k): (usize, usize, usize), a: &[f32]) -> f64 {
    let b = vec![0.25f32; k * n];
    let (bias, outputs) = (vec![0.1f32; n], vec![1.0f32; m * n]);
    let (mut c, mut mean, mut square) = (vec![0.0f32; m * n], vec![0.0f32; m * n], vec![0.0f32; m * n]);
    let mut scratch = vec![0.0f32; arithmetic.scratch_len(m, n, k)];
    let adam = Adam { rate: 0.001, beta1: 0.9, beta2: 0.999, epsilon: 1e-7, weight_decay: 0.0, step: 1 };
    let by_columns = || View::new(a, k, 2 * m).columns(0, m).transposed();
    median(200, || match case {
        0 => {
            let epilogue = Epilogue::Forward { bias: Some(&bias), activation: Activation::Relu };
            arithmetic.multiply(&mut c, View::new(a, m, k), View::new(&b, k, n), epilogue, &mut scratch);
        }
        1 => {
            let epilogue = Epilogue::Backward { activation: Activation::Relu, outputs: &outputs };
            let transposed = View::new(&b, n, k).transposed();
            arithmetic.multiply(&mut c, View::new(a, m, k), transposed, epilogue, &mut scratch);
        }
        2 => arithmetic.multiply(&mut c, by_columns(), View::new(&b, k, n), Epilogue::Store, &mut scratch),
        _ => {
            let (state, b) = ([&mut mean[..], &mut square[..]], View::new(&b, k, n));
            arithmetic.multiply_and_step(&mut c, state, by_columns(), b, Optimizer::Adam(adam), &mut scratch);
        }
    })
}

/// Images of a ring each, slightly off centre, with about as many nonzero pixels as MNIST.
fn rings(numbers: usize) -> Vec<f32> {
    let value = |at: usize| {
        let (image, pixel) = (at / (SIDE * SIDE), at % (SIDE * SIDE));
        let centre = |salt: usize| 13.5 + (image * salt % 5) as f32 - 2.0;
        let (x, y) = ((pixel % SIDE) as f32 - centre(7), (pixel / SIDE) as f32 - centre(11));
        let radius = 4.0 + (image * 13 % 5) as f32;
        if ((x * x + y * y).sqrt() - radius).abs() < 1.8 { 0.5 } else { 0.0 }
    };
    (0..numbers).map(value).collect()
}
