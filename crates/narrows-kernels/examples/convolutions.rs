//! Speed of convolutions on one thread, for the layers of the recipes `conv` and `denoising` on MNIST. GFLOP/s count
//! the operations of the direct algorithm. `cargo run --release -p narrows-kernels --example convolutions [LEVEL]`

mod common;

use std::hint::black_box;

use common::median;
use narrows_kernels::conv::{ConvolutionKind, Geometry, Images, Pass, PooledConvolution};
use narrows_kernels::shared::Shared;
use narrows_kernels::{Activation, Convolution, Image, Level};

/// Kind, padding, input and output of a convolution; images as height, width and channels.
type Layer = (ConvolutionKind, usize, (usize, usize, usize), (usize, usize, usize));

const PLAIN: ConvolutionKind = ConvolutionKind::Plain { stride: 1 };
const DOUBLED: ConvolutionKind = ConvolutionKind::Upsampled { factor: 2 };

const NETWORKS: [(&str, &[Layer]); 2] = [
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
        for (network, layers) in NETWORKS {
            let (mut seconds, mut operations) = (0.0, 0.0);
            for layer in layers {
                let timing = measure(level, layer);
                seconds += timing.seconds();
                operations += timing.operations * timing.products.iter().flatten().count() as f64;
                print_layer(network, level, layer, &timing);
            }
            println!(
                "{network:<10} {:>7} {:>24} {:>8.1} GFLOP/s   {:.1} us per image",
                level.name(),
                "all, forward and backward",
                operations / seconds / 1e9,
                seconds * 1e6
            );
        }
    }
}

/// Durations of the products of a layer, in seconds.
struct Timing {
    /// Floating-point operations of each product.
    operations: f64,
    /// Forward pass, input gradient (none in the first layer), weight gradient.
    products: [Option<f64>; 3],
    /// Forward pass fused with 2 x 2 max pooling, if the two can be fused.
    pooled: Option<f64>,
}

impl Timing {
    /// The duration of all products.
    fn seconds(&self) -> f64 {
        self.products.iter().flatten().sum()
    }
}

/// A buffer that begins at a cache line, as those of training do: elsewhere the speed depends on where vectors cross lines.
fn filled(len: usize, value: f32) -> Shared<f32> {
    let mut buffer = Shared::new("buffer", len, Vec::new());
    buffer.as_mut_slice().fill(value);
    buffer
}

fn measure(level: Level, &(kind, padding, input, output): &Layer) -> Timing {
    let image = |(height, width, channels)| Image::new(height, width, channels);
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
    let mut pack = |pass| {
        let mut packed = vec![0.0; convolution.packed_len(pass)];
        convolution.pack(level, pass, &mut packed, &weights, &mut scratch);
        packed
    };
    let (forward, backward) = (pack(Pass::Forward), pack(Pass::Backward));
    let (mut x, mut dy) = (filled(images.input.len(), 0.5), filled(images.output_gradient.len(), 0.5));
    let (mut y, mut dx) = (filled(images.output.len(), 0.0), filled(images.input_gradient.len(), 0.0));
    let mut sums = filled(convolution.sums_len(), 0.0);
    let (x, dy, sums) = (&*x.as_mut_slice(), &*dy.as_mut_slice(), sums.as_mut_slice());
    let (y, dx) = (y.as_mut_slice(), dx.as_mut_slice());
    let bias = vec![0.1; output.2];
    let bias = Some(&bias[..]);
    let is_first = input.2 == 1;
    let products = [
        Some(median(300, || convolution.forward(level, y, black_box(x), &forward, bias, Activation::Relu))),
        (!is_first).then(|| {
            median(300, || convolution.backward(level, dx, black_box(dy), &backward, Activation::Relu, x))
        }),
        Some(median(300, || convolution.accumulate_gradient(level, sums, black_box(x), dy))),
    ];
    let small = Image::new(output.0 / 2, output.1 / 2, output.2);
    let pooled = PooledConvolution::new(geometry, images.input, small).map(|pooled| {
        let (mut y, mut argmax) = (vec![0.0; small.len()], vec![0.0; small.len()]);
        median(300, || {
            let argmax = Some(&mut argmax[..]);
            pooled.forward(level, &mut y, argmax, black_box(x), &forward, bias, Activation::Relu);
        })
    });
    Timing { operations: 2.0 * geometry.multiply_adds() as f64, products, pooled }
}

fn print_layer(network: &str, level: Level, &(_, _, input, output): &Layer, timing: &Timing) {
    let name = format!("{}x{}x{} > {}x{}x{}", input.0, input.1, input.2, output.0, output.1, output.2);
    print!("{network:<10} {:>7} {name:>24}", level.name());
    for seconds in timing.products {
        match seconds {
            Some(seconds) => print!(" {:>8.1}", timing.operations / seconds / 1e9),
            None => print!(" {:>8}", ""),
        }
    }
    print!("   {:.1} us", timing.seconds() * 1e6);
    match timing.pooled {
        Some(seconds) => println!("   forward with pooling {:.1}", timing.operations / seconds / 1e9),
        None => println!(),
    }
}
