//! How fast the matrix product runs, on one thread, for the shapes that training `single` and `deep` on MNIST needs, and
//! those of the wide network 784-1000-500-250-30.
//! `cargo run --release -p narrows-kernels --example products`

mod common;

use common::median;
use narrows_kernels::matrix::{Finish, View, multiply, scratch_len};
use narrows_kernels::{Activation, Level};

fn main() {
    println!("{:<34} {:>8} {:>14} {:>9}", "product", "level", "shape", "GFLOP/s");
    for level in Level::available() {
        // Half a batch of 128 or of 256: one of two threads.
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
            ];
            for (case, (name, m, n, k)) in cases.into_iter().enumerate() {
                let a = vec![0.5f32; m * k * if case == 2 { 2 } else { 1 }];
                let b = vec![0.25f32; k * n];
                let (bias, outputs) = (vec![0.1f32; n], vec![1.0f32; m * n]);
                let mut c = vec![0.0f32; m * n];
                let mut scratch = vec![0.0f32; scratch_len(k)];
                let seconds = median(200, || {
                    let (a, b, finish) = match case {
                        0 => {
                            let finish = Finish::Forward { bias: Some(&bias), activation: Activation::Relu };
                            (View::new(&a, m, k), View::new(&b, k, n), finish)
                        }
                        1 => {
                            let finish = Finish::Backward { activation: Activation::Relu, outputs: &outputs };
                            (View::new(&a, m, k), View::new(&b, n, k).transposed(), finish)
                        }
                        _ => (
                            View::new(&a, k, 2 * m).columns(0, m).transposed(),
                            View::new(&b, k, n),
                            Finish::Store,
                        ),
                    };
                    multiply(level, &mut c, a, b, finish, &mut scratch);
                });
                let shape = format!("{m}x{n}x{k}");
                println!(
                    "{name:<34} {:>8} {shape:>14} {:>9.1}",
                    level.name(),
                    2.0 * (m * n * k) as f64 / seconds / 1e9
                );
            }
        }
    }
}
