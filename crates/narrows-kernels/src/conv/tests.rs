//! Tests of the products at 16 lanes against the reference implementation.

use super::*;
use crate::gemm::Epilogue;
use crate::image::{Border, Image};
use crate::reference;
use crate::simd::Portable;

/// Tests the panels and tiles of 16 lanes as arrays, whether or not the processor has such a level.
#[test]
fn sixteen_lanes_are_the_definition_too() {
    let numbers = |count: usize, step: usize| -> Vec<f32> {
        (0..count).map(|at| (at * step % 101) as f32 / 50.0 - 1.0).collect()
    };
    let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<f64>>();
    for inputs in [1, 3, 8, 16] {
        for outputs in [1, 5, 8, 16, 17, 32, 48] {
            let (input, output) = (Image::new(5, 6, inputs), Image::new(5, 6, outputs));
            let kind = ConvolutionKind::Plain { stride: 1 };
            let geometry = Geometry { kind, kernel: (3, 3), padding: (1, 1), input, output };
            let bordered = input.with_border(geometry.input_border());
            let images = Images { input: bordered, output, output_gradient: output, input_gradient: input };
            let convolution = Convolution::new(geometry, images, true);
            let table = &convolution.pairs(Pass::Forward)[0].table;
            let (x, dy) = (numbers(input.len(), 37), numbers(output.len(), 53));
            let weights = numbers(geometry.weights_len(), 29);
            let mut placed = vec![0.0; bordered.len()];
            crate::image::copy(&mut placed, bordered, &x, input);
            let near = |name: &str, got: f32, want: f64| {
                assert!(
                    (f64::from(got) - want).abs() < 1e-3,
                    "{name} {inputs} > {outputs}: {got}, want {want}"
                );
            };

            let s = Portable::<16>;
            let mut packed = vec![f32::NAN; table.packed_len()];
            gather::pack(s, &mut packed, &weights, table);
            let mut y = vec![0.0; output.len()];
            multiply::multiply(s, &mut y, &placed, &packed, table, Epilogue::Store);
            let want = reference::convolve(&geometry, &wide(&x), &wide(&weights), &vec![0.0; outputs]);
            y.iter().zip(want).for_each(|(&got, want)| near("forward", got, want));

            let k = table.k();
            let mut sums = vec![0.0; k * outputs];
            gradient::gradient(s, &mut sums, &placed, &dy, table);
            let (_, want) = reference::convolve_backward(&geometry, &wide(&x), &wide(&weights), &wide(&dy));
            let transposed = gather::sums_are_transposed(s, table);
            for (at, want) in want.into_iter().enumerate() {
                let (row, column) = (at / outputs, at % outputs);
                let place = if transposed { column * k + row } else { at };
                near("weight gradient", sums[place], want);
            }
        }
    }
}

/// The needs are found by arithmetic from the phases; the lengths are those of tables that were made.
#[test]
fn needs_are_those_of_the_tables_that_are_made() {
    let kinds = [1, 2, 3, 5].map(|step| {
        [
            ConvolutionKind::Plain { stride: step },
            ConvolutionKind::Transposed { stride: step },
            ConvolutionKind::Upsampled { factor: step },
        ]
    });
    let sizes = [((1, 1), (1, 1)), ((4, 5), (7, 3)), ((5, 5), (5, 5)), ((6, 2), (12, 4)), ((3, 3), (14, 13))];
    for kind in kinds.into_iter().flatten() {
        for (kernel, padding) in [((1, 1), (0, 0)), ((3, 3), (1, 1)), ((2, 5), (1, 0)), ((4, 1), (0, 0))] {
            for ((height, width), (rows, columns)) in sizes {
                for (inputs, outputs) in [(1, 1), (3, 17), (8, 16)] {
                    let (input, output) =
                        (Image::new(height, width, inputs), Image::new(rows, columns, outputs));
                    let geometry = Geometry { kind, kernel, padding, input, output };
                    // With the border of the backward pass, and without it, as at the first layer.
                    for (gradients, border) in [(false, false), (true, false), (true, true)] {
                        let border = if border { geometry.output_gradient_border() } else { Border::NONE };
                        let images = Images {
                            input: input.with_border(geometry.input_border()),
                            output,
                            output_gradient: output.with_border(border),
                            input_gradient: input,
                        };
                        let needs = Convolution::needs(geometry, images, gradients);
                        let made = Convolution::new(geometry, images, gradients);
                        let found = ConvolutionNeeds {
                            packed: [Pass::Forward, Pass::Backward].map(|pass| made.packed_len(pass)),
                            scratch: made.scratch_len(),
                            sums: made.sums_len(),
                            table_bytes: made.table_bytes(),
                        };
                        assert_eq!(needs, found, "{geometry:?}, {images:?}");
                    }
                    let (small, bordered) = (
                        Image::new(rows / 2, columns / 2, outputs),
                        input.with_border(geometry.input_border()),
                    );
                    let made = PooledConvolution::new(geometry, bordered, small);
                    let bytes = made.map_or(0, |made| made.table_bytes());
                    assert_eq!(PooledConvolution::needed_table_bytes(geometry, small), bytes);
                }
            }
        }
    }
    // An image of 2^40 pixels is counted, not made.
    let input = Image::new(1 << 20, 1 << 20, 1);
    let geometry = Geometry {
        kind: ConvolutionKind::Plain { stride: 1 },
        kernel: (3, 3),
        padding: (1, 1),
        input,
        output: input,
    };
    let images = Images { input, output: input, output_gradient: input, input_gradient: input };
    assert!(Convolution::needs(geometry, images, false).table_bytes >= 12 << 40);
}
