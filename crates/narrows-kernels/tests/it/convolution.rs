//! Convolutions, and convolutions fused with max pooling, against the reference implementation: odd sizes and channel
//! counts, every SIMD level of this processor.

use crate::common::{numbers, wide};
use narrows_kernels::conv::{ConvolutionKind, Geometry, Images, Pass, PooledConvolution};
use narrows_kernels::pooling::{self, PoolGeometry};
use narrows_kernels::{Activation, Border, Convolution, Image, Level, reference};

#[track_caller]
fn close(what: &str, got: &[f32], want: &[f64], allowed: f64) {
    assert_eq!(got.len(), want.len());
    for (at, (&got, &want)) in got.iter().zip(want).enumerate() {
        assert!((f64::from(got) - want).abs() <= allowed, "{what} [{at}]: {got}, want {want}");
    }
}

/// Copies an image without a border into `layout`, whose border is zero.
fn with_border(numbers: &[f32], image: Image, layout: Image) -> Vec<f32> {
    let mut to = vec![0.0; layout.len()];
    narrows_kernels::image::copy(&mut to, layout, numbers, image);
    to
}

/// Copies an image from `layout` into one without a border.
fn without_border(numbers: &[f32], image: Image, layout: Image) -> Vec<f32> {
    let mut to = vec![0.0; image.len()];
    narrows_kernels::image::copy(&mut to, image, numbers, layout);
    to
}

/// Returns whether an element of the border is not zero.
fn has_nonzero_border(numbers: &[f32], image: Image, layout: Image) -> bool {
    let inside = without_border(numbers, image, layout);
    let count = |numbers: &[f32]| numbers.iter().filter(|&&number| number != 0.0).count();
    count(numbers) != count(&inside)
}

/// Compares the three products of a convolution with the reference, at every level.
#[track_caller]
fn check(geometry: Geometry) {
    let Geometry { kernel, input, output, .. } = geometry;
    let (x, dy) = (numbers(input.len(), 1, 1.0), numbers(output.len(), 2, 1.0));
    let (w, b) = (numbers(geometry.weights_len(), 3, 1.0), numbers(output.channels, 4, 1.0));
    let y = reference::convolve(&geometry, &wide(&x), &wide(&w), &wide(&b));
    let (dx, dw) = reference::convolve_backward(&geometry, &wide(&x), &wide(&w), &wide(&dy));

    // The images that are written have larger borders than required, which must not be written.
    let odd = Border { top: 1, bottom: 2, left: 2, right: 1 };
    let images = Images {
        input: input.with_border(geometry.input_border()),
        output: output.with_border(odd),
        output_gradient: output.with_border(geometry.output_gradient_border()),
        input_gradient: input.with_border(odd),
    };
    let convolution = Convolution::new(geometry, images, true);
    let x_bordered = with_border(&x, input, images.input);
    let dy_bordered = with_border(&dy, output, images.output_gradient);
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
        let (forward, backward) = (pack(Pass::Forward), pack(Pass::Backward));
        for (bias, activation) in [(Some(&b[..]), Activation::Relu), (None, Activation::Tanh)] {
            let want: Vec<f64> = y
                .iter()
                .enumerate()
                .map(|(at, y)| {
                    let bias = if bias.is_some() { 0.0 } else { f64::from(b[at % output.channels]) };
                    reference::activate(activation, y - bias)
                })
                .collect();
            let mut got = vec![0.0; images.output.len()];
            convolution.forward(level, &mut got, &x_bordered, &forward, bias, activation);
            assert!(!has_nonzero_border(&got, output, images.output), "{}", what("a border"));
            close(&what("forward"), &without_border(&got, output, images.output), &want, allowed);

            let want: Vec<f64> = dx
                .iter()
                .zip(&x)
                .map(|(d, &x)| d * reference::derivative(activation, f64::from(x)))
                .collect();
            let mut got = vec![0.0; images.input_gradient.len()];
            convolution.backward(level, &mut got, &dy_bordered, &backward, activation, &x_bordered);
            assert!(!has_nonzero_border(&got, input, images.input_gradient), "{}", what("a border"));
            close(
                &what("input gradient"),
                &without_border(&got, input, images.input_gradient),
                &want,
                allowed,
            );
        }
        let mut sums = vec![0.0; convolution.sums_len()];
        // Called twice, because it adds to the sums.
        convolution.accumulate_gradient(level, &mut sums, &x_bordered, &dy_bordered);
        convolution.accumulate_gradient(level, &mut sums, &x_bordered, &dy_bordered);
        let mut got = vec![f32::NAN; geometry.weights_len()];
        convolution.reduce_gradient(level, &mut got, &sums);
        let want: Vec<f64> = dw.iter().map(|d| 2.0 * d).collect();
        close(&what("weight gradient"), &got, &want, 2.0 * allowed);
    }
}

fn geometry(
    kind: ConvolutionKind,
    kernel: (usize, usize),
    padding: (usize, usize),
    input: (usize, usize, usize),
    output: (usize, usize, usize),
) -> Geometry {
    let image = |(height, width, channels)| Image::new(height, width, channels);
    Geometry { kind, kernel, padding, input: image(input), output: image(output) }
}

const PLAIN: ConvolutionKind = ConvolutionKind::Plain { stride: 1 };
const DOUBLED: ConvolutionKind = ConvolutionKind::Upsampled { factor: 2 };
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
                    check(geometry(ConvolutionKind::Plain { stride: step }, kernel, padding, input, output));
                    check(geometry(
                        ConvolutionKind::Upsampled { factor: step },
                        kernel,
                        padding,
                        input,
                        output,
                    ));
                    check(geometry(
                        ConvolutionKind::Transposed { stride: step },
                        kernel,
                        padding,
                        input,
                        output,
                    ));
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

/// Fused and separate pooling give the same bits.
#[test]
fn fused_pooling_equals_pooling_afterwards() {
    for inputs in [1, 2, 3, 8, 16] {
        for outputs in [8, 9, 16, 17, 24, 32, 48] {
            for (height, width) in [(2, 2), (6, 8), (14, 10)] {
                let geometry =
                    geometry(PLAIN, (3, 3), (1, 1), (height, width, inputs), (height, width, outputs));
                let input = geometry.input.with_border(geometry.input_border());
                let output = geometry.output;
                let odd = Border { top: 1, bottom: 0, left: 1, right: 2 };
                let small = Image::new(height / 2, width / 2, outputs).with_border(odd);
                let images = Images { input, output, output_gradient: output, input_gradient: input };
                let convolution = Convolution::new(geometry, images, false);
                let pooled = PooledConvolution::new(geometry, input, small).unwrap();
                // The left columns are zero, so that all inputs of some tiles are zero.
                let mut x = numbers(geometry.input.len(), 1, 1.0);
                x.chunks_mut(inputs)
                    .enumerate()
                    .filter(|(at, _)| at % width < 4)
                    .for_each(|(_, x)| x.fill(0.0));
                let (w, b) = (numbers(geometry.weights_len(), 2, 1.0), numbers(outputs, 3, 1.0));
                let x = with_border(&x, geometry.input, input);
                for level in Level::available() {
                    let mut packed = vec![0.0; convolution.packed_len(Pass::Forward)];
                    let mut scratch = vec![0.0; convolution.scratch_len()];
                    convolution.pack(level, Pass::Forward, &mut packed, &w, &mut scratch);
                    for (activation, bias) in [(Activation::Relu, Some(&b[..])), (Activation::Linear, None)] {
                        let geometry_of_pool = PoolGeometry::new((2, 2), output, small);
                        let mut large = vec![0.0; output.len()];
                        convolution.forward(level, &mut large, &x, &packed, bias, activation);
                        let (mut want, mut want_argmax) =
                            (vec![0.0; small.len()], vec![0.0; height * width / 4 * outputs]);
                        pooling::max(level, &mut want, &mut want_argmax, &large, &geometry_of_pool);
                        let (mut got, mut argmax) = (vec![0.0; small.len()], vec![-1.0; want_argmax.len()]);
                        pooled.forward(level, &mut got, Some(&mut argmax), &x, &packed, bias, activation);
                        assert_eq!(got, want, "{geometry:?} at {}", level.name());
                        let unpadded = small.without_border();
                        let values = without_border(&want, unpadded, small);
                        // If relu clamps the maximum to 0, any index is correct: the gradient is 0.
                        for ((got, want), value) in argmax.iter().zip(&want_argmax).zip(values) {
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
    let strided = geometry(ConvolutionKind::Plain { stride: 2 }, (3, 3), (1, 1), (8, 8, 1), (4, 4, 8));
    let small = Image::new(2, 2, 8);
    let input = strided.input.with_border(strided.input_border());
    assert!(PooledConvolution::new(strided, input, small).is_none());
}
