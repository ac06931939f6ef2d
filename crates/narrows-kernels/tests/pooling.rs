//! Pools, upsampling and their gradients against the definition, at odd sizes and channel counts, at every SIMD level.

mod common;

use common::{numbers, wide};
use narrows_kernels::pooling::{self, Squares};
use narrows_kernels::{Activation, Border, Image, Level, image, plain};

/// An image in memory, and a way there and back.
struct Placed(Image);

impl Placed {
    fn plain(&self) -> Image {
        self.0.with_border(Border::NONE)
    }
    fn put(&self, numbers: &[f32]) -> Vec<f32> {
        let mut to = vec![0.0; self.0.len()];
        image::copy(&mut to, self.0, numbers, self.plain());
        to
    }
    #[track_caller]
    fn check(&self, what: &str, got: &[f32], want: &[f64]) {
        let mut inside = vec![0.0; self.plain().len()];
        image::copy(&mut inside, self.plain(), got, self.0);
        let count =
            |numbers: &[f32]| numbers.iter().filter(|number| !number.is_nan() && **number != 0.0).count();
        assert_eq!(count(got), count(&inside), "{what}: the border stays");
        for (at, (got, want)) in inside.iter().zip(want).enumerate() {
            assert!((f64::from(*got) - want).abs() < 1e-5, "{what} [{at}]: {got}, want {want}");
        }
    }
}

#[test]
fn pools_and_upsampling_are_their_definitions() {
    let border = Border { top: 1, bottom: 0, left: 2, right: 1 };
    for channels in [1, 2, 3, 5, 8, 16, 17, 32, 48] {
        for (size, (height, width), (rows, columns)) in [
            (2, (6, 8), (3, 4)),
            (2, (7, 5), (4, 3)),
            (2, (7, 5), (3, 2)),
            (3, (7, 10), (3, 4)),
            (3, (8, 4), (2, 1)),
            (1, (3, 3), (3, 3)),
            (5, (2, 3), (1, 1)),
        ] {
            let large = Image::plain(height, width, channels);
            let small = Image::plain(rows, columns, channels);
            let (large_in, small_in) = (Placed(large.with_border(border)), Placed(small.with_border(border)));
            let squares = Squares::new((size, size), large, small);
            let values = squares.between(large_in.0, small_in.0);
            let (x, g) = (numbers(large.len(), 1, 1.0), numbers(small.len(), 2, 1.0));
            let activation = Activation::Tanh;
            let derivative = |y: f32| plain::derivative(activation, f64::from(y));
            for level in Level::available() {
                let what =
                    |name: &str| format!("{name} {size} {height}x{width}x{channels} at {}", level.name());
                let (mut y, mut winners) = (vec![0.0; small_in.0.len()], vec![f32::NAN; small.len()]);
                pooling::max(level, &mut y, &mut winners, &large_in.put(&x), &values);
                let (largest, places) = plain::max_pool(&squares, &wide(&x));
                small_in.check(&what("max"), &y, &largest);

                let mut back = vec![0.0; large_in.0.len()];
                // Between gradients with other borders than the values.
                let deltas = squares.between(large_in.0, small);
                pooling::max_backward(level, &mut back, &g, &winners, (&y, small_in.0), activation, &deltas);
                let mut want = vec![0.0; large.len()];
                for (place, (&g, &y)) in places.iter().zip(g.iter().zip(&largest)) {
                    want[*place] += f64::from(g) * plain::derivative(activation, y);
                }
                large_in.check(&what("max, back"), &back, &want);

                let mut y = vec![0.0; small_in.0.len()];
                pooling::average(level, &mut y, &large_in.put(&x), &values);
                small_in.check(&what("average"), &y, &plain::average_pool(&squares, &wide(&x)));

                // The transpose of the mean, number by number: what one at each place makes of the mean.
                let mut back = vec![0.0; large_in.0.len()];
                pooling::average_backward(level, &mut back, &g, (&x, large), activation, &deltas);
                let want: Vec<f64> = (0..large.len())
                    .map(|at| {
                        let mut one = vec![0.0; large.len()];
                        one[at] = 1.0;
                        let mean = plain::average_pool(&squares, &one);
                        mean.iter().zip(&g).map(|(m, &g)| m * f64::from(g)).sum::<f64>() * derivative(x[at])
                    })
                    .collect();
                large_in.check(&what("average, back"), &back, &want);
            }
        }
        for (factor, (rows, columns), (height, width)) in
            [(2, (3, 4), (6, 8)), (2, (3, 4), (5, 7)), (3, (2, 1), (4, 3)), (1, (2, 2), (2, 2))]
        {
            let large = Image::plain(height, width, channels);
            let small = Image::plain(rows, columns, channels);
            let (large_in, small_in) = (Placed(large.with_border(border)), Placed(small.with_border(border)));
            let squares = Squares::upsampling((factor, factor), small, large);
            let (x, g) = (numbers(small.len(), 3, 1.0), numbers(large.len(), 4, 1.0));
            for level in Level::available() {
                let what =
                    |name: &str| format!("{name} {factor} {height}x{width}x{channels} at {}", level.name());
                let mut y = vec![0.0; large_in.0.len()];
                pooling::upsample(level, &mut y, &small_in.put(&x), &squares.between(large_in.0, small_in.0));
                large_in.check(&what("upsample"), &y, &plain::upsample(&squares, &wide(&x)));

                let mut back = vec![0.0; small_in.0.len()];
                let deltas = squares.between(large, small_in.0);
                pooling::upsample_backward(level, &mut back, &g, (&x, small), Activation::Sigmoid, &deltas);
                let want: Vec<f64> = (0..small.len())
                    .map(|at| {
                        let mut one = vec![0.0; small.len()];
                        one[at] = 1.0;
                        let up = plain::upsample(&squares, &one);
                        let sum: f64 = up.iter().zip(&g).map(|(u, &g)| u * f64::from(g)).sum();
                        sum * plain::derivative(Activation::Sigmoid, f64::from(x[at]))
                    })
                    .collect();
                small_in.check(&what("upsample, back"), &back, &want);
            }
        }
    }
}
