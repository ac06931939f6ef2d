//! How fast convolutions run, on one thread, for the layers of `conv` and `denoising` on MNIST, counted on the operations of
//! the direct algorithm. `cargo run --release -p narrows-kernels --example convolutions`

mod common;

use std::hint::black_box;

use common::median;
use narrows_kernels::convolution::{Direction, Geometry, Images, Kind, PooledConvolution};
use narrows_kernels::{Activation, Convolution, Image, Level};

/// A convolution's kind, padding, input and output.
type Layer = (Kind, usize, (usize, usize, usize), (usize, usize, usize));

const PLAIN: Kind = Kind::Plain { stride: 1 };
const DOUBLED: Kind = Kind::Upsampled { factor: 2 };

const LAYERS: [(&str, &[Layer]); 2] = [
    (
        "denoising",
        &[
            (PLAIN, 1, (28, 28, 1), (28, 28, 32)),
            (PLAIN, 1, (14, 14, 32), (14, 14, 32)),
            (PLAIN, 1, (7, 7, 32), (7, 7, 32)),
            (DOUBLED, 1, (7, 7, 32), (14, 14, 32)),
            (DOUBLED, 1, (14, 14, 32), (28, 28, 1)),
        ],
    ),
    (
        "conv",
        &[
            (PLAIN, 1, (28, 28, 1), (28, 28, 16)),
            (PLAIN, 1, (14, 14, 16), (14, 14, 8)),
            (PLAIN, 1, (7, 7, 8), (7, 7, 8)),
            (PLAIN, 1, (4, 4, 8), (4, 4, 8)),
            (DOUBLED, 1, (4, 4, 8), (8, 8, 8)),
            (DOUBLED, 0, (8, 8, 8), (14, 14, 16)),
            (DOUBLED, 1, (14, 14, 16), (28, 28, 1)),
        ],
    ),
];

fn main() {
    let levels = match std::env::args().nth(1) {
        Some(name) => Level::available().into_iter().filter(|level| level.name() == name).collect(),
        None => Level::available(),
    };
    println!(
        "{:<10} {:>7} {:>24} {:>8} {:>8} {:>8}  GFLOP/s forward, input gradient, weight gradient",
        "network", "level", "layer", "", "", ""
    );
    for level in levels {
        for (network, layers) in LAYERS {
            let (mut seconds_of_all, mut operations_of_all) = (0.0, 0.0);
            for &(kind, padding, input, output) in layers {
                let image = |(height, width, channels)| Image::plain(height, width, channels);
                let geometry = Geometry {
                    kind,
                    kernel: (3, 3),
                    padding: (padding, padding),
                    input: image(input),
                    output: image(output),
                };
                let images = Images {
                    input: geometry.input.with_border(geometry.input_border()),
                    output: geometry.output,
                    output_gradient: geometry.output.with_border(geometry.output_gradient_border()),
                    input_gradient: geometry.input,
                };
                let convolution = Convolution::new(geometry, images, true);
                let weights = vec![0.01; geometry.weights_len()];
                let mut scratch = vec![0.0; convolution.scratch_len()];
                let mut pack = |direction| {
                    let mut packed = vec![0.0; convolution.packed_len(direction)];
                    convolution.pack(level, direction, &mut packed, &weights, &mut scratch);
                    packed
                };
                let (forward, backward) = (pack(Direction::Forward), pack(Direction::Backward));
                let x = vec![0.5; images.input.len()];
                let mut y = vec![0.0; images.output.len()];
                let dy = vec![0.5; images.output_gradient.len()];
                let mut dx = vec![0.0; images.input_gradient.len()];
                let mut sums = vec![0.0; convolution.sums_len()];
                let bias = vec![0.1; output.2];
                let first = input.2 == 1;
                let seconds = [
                    median(300, || {
                        convolution.forward(
                            level,
                            &mut y,
                            black_box(&x),
                            &forward,
                            Some(&bias),
                            Activation::Relu,
                        )
                    }),
                    if first {
                        0.0
                    } else {
                        median(300, || {
                            convolution.backward(
                                level,
                                &mut dx,
                                black_box(&dy),
                                &backward,
                                Activation::Relu,
                                &x,
                            )
                        })
                    },
                    median(300, || convolution.gradient(level, &mut sums, black_box(&x), &dy)),
                ];
                let operations = 2.0 * geometry.multiply_adds() as f64;
                // With the pool in the same pass, where one can follow.
                let small = Image::plain(output.0 / 2, output.1 / 2, output.2);
                let pooled = PooledConvolution::new(geometry, images.input, small).map(|pooled| {
                    let mut y = vec![0.0; small.len()];
                    let mut winners = vec![0.0; small.len()];
                    let bias = Some(&bias[..]);
                    median(300, || {
                        let winners = Some(&mut winners[..]);
                        pooled.forward(
                            level,
                            &mut y,
                            winners,
                            black_box(&x),
                            &forward,
                            bias,
                            Activation::Relu,
                        );
                    })
                });
                seconds_of_all += seconds.iter().sum::<f64>();
                operations_of_all += operations * if first { 2.0 } else { 3.0 };
                let name =
                    format!("{}x{}x{} > {}x{}x{}", input.0, input.1, input.2, output.0, output.1, output.2);
                print!("{network:<10} {:>7} {name:>24}", level.name());
                for seconds in seconds {
                    if seconds > 0.0 {
                        print!(" {:>8.1}", operations / seconds / 1e9);
                    } else {
                        print!(" {:>8}", "");
                    }
                }
                print!("   {:.1} us", seconds.iter().sum::<f64>() * 1e6);
                match pooled {
                    Some(seconds) => println!("   forward with pool {:.1}", operations / seconds / 1e9),
                    None => println!(),
                }
            }
            println!(
                "{network:<10} {:>7} {:>24} {:>8.1} GFLOP/s   {:.1} us for an image",
                level.name(),
                "all, there and back",
                operations_of_all / seconds_of_all / 1e9,
                seconds_of_all * 1e6
            );
        }
    }
}
