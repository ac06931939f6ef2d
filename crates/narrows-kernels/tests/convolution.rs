//! Convolutions and pools against their plain twins, at odd sizes and channel counts, at every SIMD level of this processor.

mod common;

use common::{numbers, wide};
use narrows_kernels::convolution::{Direction, Geometry, Images, Kind, PooledConvolution};
use narrows_kernels::pooling::{self, Squares};
use narrows_kernels::{Activation, Border, Convolution, Image, Level, image, plain};

#[track_caller]
fn close(what: &str, got: &[f32], want: &[f64], allowed: f64) {
    assert_eq!(got.len(), want.len());
    for (at, (&got, &want)) in got.iter().zip(want).enumerate() {
        assert!((f64::from(got) - want).abs() <= allowed, "{what} [{at}]: {got}, want {want}");
    }
}

/// The image inside its border, the border zero.
fn placed(numbers: &[f32], plain: Image, place: Image) -> Vec<f32> {
    let mut to = vec![0.0; place.len()];
    image::copy(&mut to, place, numbers, plain);
    to
}

fn taken(numbers: &[f32], plain: Image, place: Image) -> Vec<f32> {
    let mut to = vec![0.0; plain.len()];
    image::copy(&mut to, plain, numbers, place);
    to
}

/// Border cells of an image that are not zero.
fn spilled(numbers: &[f32], plain: Image, place: Image) -> bool {
    let inside = taken(numbers, plain, place);
    let count = |numbers: &[f32]| numbers.iter().filter(|&&number| number != 0.0).count();
    count(numbers) != count(&inside)
}

/// Runs all three products of a convolution at every level and compares them with the definition.
#[track_caller]
fn check(geometry: Geometry) {
    let Geometry { kernel, input, output, .. } = geometry;
    let (x, dy) = (numbers(input.len(), 1, 1.0), numbers(output.len(), 2, 1.0));
    let (w, b) = (numbers(geometry.weights_len(), 3, 1.0), numbers(output.channels, 4, 1.0));
    let y = plain::convolve(&geometry, &wide(&x), &wide(&w), &wide(&b));
    let (dx, dw) = plain::convolve_backward(&geometry, &wide(&x), &wide(&w), &wide(&dy));

    // Borders larger than needed on the images that are written: they must stay as they are.
    let odd = Border { top: 1, bottom: 2, left: 2, right: 1 };
    let images = Images {
        input: input.with_border(geometry.input_border()),
        output: output.with_border(odd),
        output_gradient: output.with_border(geometry.output_gradient_border()),
        input_gradient: input.with_border(odd),
    };
    let convolution = Convolution::new(geometry, images, true);
    let x_placed = placed(&x, input, images.input);
    let dy_placed = placed(&dy, output, images.output_gradient);
    let depth = kernel.0 * kernel.1 * input.channels.max(output.channels) + output.height * output.width;
    let allowed = 1e-6 * (depth as f64 + 8.0);
    for level in Level::available() {
        let what = |name: &str| format!("{name} at {}, {geometry:?}", level.name());
        let mut scratch = vec![f32::NAN; convolution.scratch_len()];
        let mut pack = |direction| {
            let mut packed = vec![f32::NAN; convolution.packed_len(direction)];
            convolution.pack(level, direction, &mut packed, &w, &mut scratch);
            packed
        };
        let (forward, backward) = (pack(Direction::Forward), pack(Direction::Backward));
        for (bias, activation) in [(Some(&b[..]), Activation::Relu), (None, Activation::Tanh)] {
            let want: Vec<f64> = y
                .iter()
                .enumerate()
                .map(|(at, y)| {
                    let bias = if bias.is_some() { 0.0 } else { f64::from(b[at % output.channels]) };
                    plain::activate(activation, y - bias)
                })
                .collect();
            let mut got = vec![0.0; images.output.len()];
            convolution.forward(level, &mut got, &x_placed, &forward, bias, activation);
            assert!(!spilled(&got, output, images.output), "{}", what("a border"));
            close(&what("forward"), &taken(&got, output, images.output), &want, allowed);

            let want: Vec<f64> =
                dx.iter().zip(&x).map(|(d, &x)| d * plain::derivative(activation, f64::from(x))).collect();
            let mut got = vec![0.0; images.input_gradient.len()];
            convolution.backward(level, &mut got, &dy_placed, &backward, activation, &x_placed);
            assert!(!spilled(&got, input, images.input_gradient), "{}", what("a border"));
            close(&what("input gradient"), &taken(&got, input, images.input_gradient), &want, allowed);
        }
        let mut sums = vec![0.0; convolution.sums_len()];
        // Twice: sums are added to.
        convolution.gradient(level, &mut sums, &x_placed, &dy_placed);
        convolution.gradient(level, &mut sums, &x_placed, &dy_placed);
        let mut got = vec![f32::NAN; geometry.weights_len()];
        convolution.fold(level, &mut got, &sums);
        let want: Vec<f64> = dw.iter().map(|d| 2.0 * d).collect();
        close(&what("weight gradient"), &got, &want, 2.0 * allowed);
    }
}

fn geometry(
    kind: Kind,
    kernel: (usize, usize),
    padding: (usize, usize),
    input: (usize, usize, usize),
    output: (usize, usize, usize),
) -> Geometry {
    let image = |(height, width, channels)| Image::plain(height, width, channels);
    Geometry { kind, kernel, padding, input: image(input), output: image(output) }
}

const PLAIN: Kind = Kind::Plain { stride: 1 };
const DOUBLED: Kind = Kind::Upsampled { factor: 2 };
const CHANNELS: [usize; 9] = [1, 2, 3, 5, 8, 16, 17, 32, 48];

#[test]
fn three_by_three_at_all_channel_counts() {
    for inputs in CHANNELS {
        for outputs in CHANNELS {
            check(geometry(PLAIN, (3, 3), (1, 1), (5, 7, inputs), (5, 7, outputs)));
            check(geometry(DOUBLED, (3, 3), (1, 1), (3, 2, inputs), (6, 4, outputs)));
        }
    }
}

#[test]
fn the_layers_of_conv_and_denoising() {
    for (kind, padding, input, output) in [
        (PLAIN, 1, (28, 28, 1), (28, 28, 16)),
        (PLAIN, 1, (14, 14, 16), (14, 14, 8)),
        (PLAIN, 1, (4, 4, 8), (4, 4, 8)),
        (DOUBLED, 0, (8, 8, 8), (14, 14, 16)),
        (DOUBLED, 1, (14, 14, 16), (28, 28, 1)),
        (PLAIN, 1, (14, 14, 32), (14, 14, 32)),
        (DOUBLED, 1, (7, 7, 32), (14, 14, 32)),
    ] {
        check(geometry(kind, (3, 3), (padding, padding), input, output));
    }
}

#[test]
fn every_kind_kernel_stride_and_padding() {
    for kernel in [(1, 1), (2, 2), (3, 3), (2, 3), (5, 4)] {
        for padding in [(0, 0), (kernel.0 - 1, kernel.1 - 1), (kernel.0 / 2, kernel.1 / 2)] {
            for step in 1..=3 {
                for (input, output) in
                    [((6, 5, 3), (4, 9, 9)), ((5, 8, 9), (3, 2, 2)), ((7, 7, 2), (13, 14, 17))]
                {
                    check(geometry(Kind::Plain { stride: step }, kernel, padding, input, output));
                    check(geometry(Kind::Upsampled { factor: step }, kernel, padding, input, output));
                    check(geometry(Kind::Transposed { stride: step }, kernel, padding, input, output));
                }
            }
        }
    }
}

#[test]
fn rows_and_columns_of_one_pixel() {
    for input in [(1, 1, 3), (1, 9, 1), (9, 1, 8)] {
        let same = |channels| (input.0, input.1, channels);
        check(geometry(PLAIN, (3, 3), (1, 1), input, same(4)));
        check(geometry(DOUBLED, (3, 3), (1, 1), input, (2 * input.0, 2 * input.1, 5)));
    }
}

/// The forward pass with a pool in one: the same bits as one after the other.
#[test]
fn pooled_as_it_is_stored_is_the_same_as_pooled_afterwards() {
    for inputs in [1, 2, 3, 8, 16] {
        for outputs in [8, 9, 16, 17, 24, 32, 48] {
            for (height, width) in [(2, 2), (6, 8), (14, 10)] {
                let geometry =
                    geometry(PLAIN, (3, 3), (1, 1), (height, width, inputs), (height, width, outputs));
                let input = geometry.input.with_border(geometry.input_border());
                let output = geometry.output;
                let odd = Border { top: 1, bottom: 0, left: 1, right: 2 };
                let small = Image::plain(height / 2, width / 2, outputs).with_border(odd);
                let images = Images { input, output, output_gradient: output, input_gradient: input };
                let convolution = Convolution::new(geometry, images, false);
                let pooled = PooledConvolution::new(geometry, input, small).unwrap();
                // Dark on the left: some windows are empty.
                let mut x = numbers(geometry.input.len(), 1, 1.0);
                x.chunks_mut(inputs)
                    .enumerate()
                    .filter(|(at, _)| at % width < 4)
                    .for_each(|(_, x)| x.fill(0.0));
                let (w, b) = (numbers(geometry.weights_len(), 2, 1.0), numbers(outputs, 3, 1.0));
                let x = placed(&x, geometry.input, input);
                for level in Level::available() {
                    let mut packed = vec![0.0; convolution.packed_len(Direction::Forward)];
                    let mut scratch = vec![0.0; convolution.scratch_len()];
                    convolution.pack(level, Direction::Forward, &mut packed, &w, &mut scratch);
                    for (activation, bias) in [(Activation::Relu, Some(&b[..])), (Activation::Linear, None)] {
                        let squares = Squares::new((2, 2), output, small);
                        let mut large = vec![0.0; output.len()];
                        convolution.forward(level, &mut large, &x, &packed, bias, activation);
                        let (mut want, mut want_winners) =
                            (vec![0.0; small.len()], vec![0.0; height * width / 4 * outputs]);
                        pooling::max(level, &mut want, &mut want_winners, &large, &squares);
                        let (mut got, mut winners) = (vec![0.0; small.len()], vec![-1.0; want_winners.len()]);
                        pooled.forward(level, &mut got, Some(&mut winners), &x, &packed, bias, activation);
                        assert_eq!(got, want, "{geometry:?} at {}", level.name());
                        let plain = small.with_border(Border::NONE);
                        let values = taken(&want, plain, small);
                        // Where relu leaves nothing, any of the four will do: no gradient goes back.
                        for ((got, want), value) in winners.iter().zip(&want_winners).zip(values) {
                            assert!(got == want || (value == 0.0 && activation == Activation::Relu));
                        }
                        let mut alone = vec![0.0; small.len()];
                        pooled.forward(level, &mut alone, None, &x, &packed, bias, activation);
                        assert_eq!(alone, want);
                    }
                }
            }
        }
    }
    let strided = geometry(Kind::Plain { stride: 2 }, (3, 3), (1, 1), (8, 8, 1), (4, 4, 8));
    let small = Image::plain(2, 2, 8);
    let input = strided.input.with_border(strided.input_border());
    assert!(PooledConvolution::new(strided, input, small).is_none());
}
