//! Pooling, upsampling and their gradients against the reference implementation: odd sizes and channel counts, every
//! SIMD level.

use crate::common::{numbers, wide};
use narrows_kernels::pooling::{self, PoolGeometry};
use narrows_kernels::{Activation, Border, Image, Level, image, reference};

/// The layout of an image in memory, with conversions from and to images without a border.
struct Layout(Image);

impl Layout {
    fn unpadded(&self) -> Image {
        self.0.without_border()
    }
    fn put(&self, numbers: &[f32]) -> Vec<f32> {
        let mut to = vec![0.0; self.0.len()];
        image::copy(&mut to, self.0, numbers, self.unpadded());
        to
    }
    #[track_caller]
    fn check(&self, what: &str, got: &[f32], want: &[f64]) {
        let mut inside = vec![0.0; self.unpadded().len()];
        image::copy(&mut inside, self.unpadded(), got, self.0);
        let count =
            |numbers: &[f32]| numbers.iter().filter(|number| !number.is_nan() && **number != 0.0).count();
        assert_eq!(count(got), count(&inside), "{what}: the border is not written");
        for (at, (got, want)) in inside.iter().zip(want).enumerate() {
            assert!((f64::from(*got) - want).abs() < 1e-5, "{what} [{at}]: {got}, want {want}");
        }
    }
}

const CHANNELS: [usize; 9] = [1, 2, 3, 5, 8, 16, 17, 32, 48];
const BORDER: Border = Border { top: 1, bottom: 0, left: 2, right: 1 };

#[test]
fn pooling_and_its_gradients_equal_the_reference() {
    for channels in CHANNELS {
        for (size, (height, width), (rows, columns)) in [
            (2, (6, 8), (3, 4)),
            (2, (7, 5), (4, 3)),
            (2, (7, 5), (3, 2)),
            (3, (7, 10), (3, 4)),
            (3, (8, 4), (2, 1)),
            (1, (3, 3), (3, 3)),
            (5, (2, 3), (1, 1)),
        ] {
            let large = Image::new(height, width, channels);
            let small = Image::new(rows, columns, channels);
            let (large_in, small_in) = (Layout(large.with_border(BORDER)), Layout(small.with_border(BORDER)));
            let geometry = PoolGeometry::new((size, size), large, small);
            let values = geometry.with_images(large_in.0, small_in.0);
            let (x, g) = (numbers(large.len(), 1, 1.0), numbers(small.len(), 2, 1.0));
            let activation = Activation::Tanh;
            let derivative = |y: f32| reference::derivative(activation, f64::from(y));
            for level in Level::available() {
                let what =
                    |name: &str| format!("{name} {size} {height}x{width}x{channels} at {}", level.name());
                let (mut y, mut argmax) = (vec![0.0; small_in.0.len()], vec![f32::NAN; small.len()]);
                pooling::max(level, &mut y, &mut argmax, &large_in.put(&x), &values);
                let (largest, places) = reference::max_pool(&geometry, &wide(&x));
                small_in.check(&what("max"), &y, &largest);

                let mut back = vec![0.0; large_in.0.len()];
                // The gradients have other borders than the values.
                let deltas = geometry.with_images(large_in.0, small);
                pooling::max_backward(level, &mut back, &g, &argmax, (&y, small_in.0), activation, &deltas);
                let mut want = vec![0.0; large.len()];
                for (place, (&g, &y)) in places.iter().zip(g.iter().zip(&largest)) {
                    want[*place] += f64::from(g) * reference::derivative(activation, y);
                }
                large_in.check(&what("max, back"), &back, &want);

                let mut y = vec![0.0; small_in.0.len()];
                pooling::average(level, &mut y, &large_in.put(&x), &values);
                small_in.check(&what("average"), &y, &reference::average_pool(&geometry, &wide(&x)));

                // The transpose of the mean, column by column: the means of each unit vector.
                let mut back = vec![0.0; large_in.0.len()];
                pooling::average_backward(level, &mut back, &g, (&x, large), activation, &deltas);
                let want: Vec<f64> = (0..large.len())
                    .map(|at| {
                        let mut one = vec![0.0; large.len()];
                        one[at] = 1.0;
                        let mean = reference::average_pool(&geometry, &one);
                        mean.iter().zip(&g).map(|(m, &g)| m * f64::from(g)).sum::<f64>() * derivative(x[at])
                    })
                    .collect();
                large_in.check(&what("average, back"), &back, &want);
            }
        }
    }
}

#[test]
fn upsampling_and_its_gradient_equal_the_reference() {
    for channels in CHANNELS {
        for (factor, (rows, columns), (height, width)) in
            [(2, (3, 4), (6, 8)), (2, (3, 4), (5, 7)), (3, (2, 1), (4, 3)), (1, (2, 2), (2, 2))]
        {
            let large = Image::new(height, width, channels);
            let small = Image::new(rows, columns, channels);
            let (large_in, small_in) = (Layout(large.with_border(BORDER)), Layout(small.with_border(BORDER)));
            let geometry = PoolGeometry::upsampling((factor, factor), small, large);
            let (x, g) = (numbers(small.len(), 3, 1.0), numbers(large.len(), 4, 1.0));
            for level in Level::available() {
                let what =
                    |name: &str| format!("{name} {factor} {height}x{width}x{channels} at {}", level.name());
                let mut y = vec![0.0; large_in.0.len()];
                pooling::upsample(
                    level,
                    &mut y,
                    &small_in.put(&x),
                    &geometry.with_images(large_in.0, small_in.0),
                );
                large_in.check(&what("upsample"), &y, &reference::upsample(&geometry, &wide(&x)));

                let mut back = vec![0.0; small_in.0.len()];
                let deltas = geometry.with_images(large, small_in.0);
                pooling::upsample_backward(level, &mut back, &g, (&x, small), Activation::Sigmoid, &deltas);
                let want: Vec<f64> = (0..small.len())
                    .map(|at| {
                        let mut one = vec![0.0; small.len()];
                        one[at] = 1.0;
                        let up = reference::upsample(&geometry, &one);
                        let sum: f64 = up.iter().zip(&g).map(|(u, &g)| u * f64::from(g)).sum();
                        sum * reference::derivative(Activation::Sigmoid, f64::from(x[at]))
                    })
                    .collect();
                small_in.check(&what("upsample, back"), &back, &want);
            }
        }
    }
}
