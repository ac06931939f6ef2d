//! Images made smaller by the maximum or the mean of squares of pixels, and larger by repeating pixels; and the gradients.
//!
//! A pool of `size` cuts the image into squares of that side without overlap. Where the sides do not divide, the squares
//! reach past the edges by the same amount on both sides (the odd pixel below and behind) and only pixels of the image
//! count; or, where the output is made smaller, the rest is left out.

use crate::activation::Activation;
use crate::image::{Border, Image};
use crate::simd::{F, Lanes, Level, Simd, dispatch};

/// The two images of a pool: `large` is cut into squares of `size`, each a pixel of `small`. Or of an upsampling, where
/// each pixel of `small` becomes a square of `large`, which may leave out the last rows and columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Squares {
    /// Height and width of a square, at least 1.
    pub size: (usize, usize),
    /// Rows and columns by which the first squares reach past the edge.
    pub overhang: (usize, usize),
    /// The image with more pixels.
    pub large: Image,
    /// The image with one pixel for each square.
    pub small: Image,
}

impl Squares {
    /// The squares between two images.
    ///
    /// # Panics
    /// Where the channels differ, a size is 0, or a square would lie outside altogether.
    pub fn new(size: (usize, usize), large: Image, small: Image) -> Self {
        assert!(size.0 > 0 && size.1 > 0 && large.channels == small.channels);
        let overhang = |size: usize, large: usize, small: usize| {
            assert!(small == 0 || size * (small - 1) < large, "a square inside the image");
            (size * small).saturating_sub(large) / 2
        };
        let overhang =
            (overhang(size.0, large.height, small.height), overhang(size.1, large.width, small.width));
        Self { size, overhang, large, small }
    }

    /// The squares of an upsampling: the first begins at the edge.
    ///
    /// # Panics
    /// As [`Squares::new`].
    pub fn upsampling(size: (usize, usize), small: Image, large: Image) -> Self {
        Self { overhang: (0, 0), ..Self::new(size, large, small) }
    }

    /// The same squares between images with other borders.
    #[must_use]
    pub fn between(self, large: Image, small: Image) -> Self {
        let plain = |image: Image| image.with_border(Border::NONE);
        assert!(plain(self.large) == plain(large) && plain(self.small) == plain(small));
        Self { large, small, ..self }
    }

    /// The rows, or columns, of square `index` that lie inside the image.
    fn inside(index: usize, size: usize, overhang: usize, large: usize) -> std::ops::Range<usize> {
        let start = index * size;
        start.saturating_sub(overhang)..(start + size - overhang).min(large)
    }

    /// Calls `work` with each pixel of the small image and its square in the large one.
    #[inline(always)]
    fn each(&self, mut work: impl FnMut(Square)) {
        let Self { size, overhang, large, small } = *self;
        for row in 0..small.height {
            let rows = Self::inside(row, size.0, overhang.0, large.height);
            for column in 0..small.width {
                let columns = Self::inside(column, size.1, overhang.1, large.width);
                work(Square {
                    place: (row as isize, column as isize),
                    corner: (rows.start as isize, columns.start as isize),
                    pixel: small.at(row as isize, column as isize),
                    index: (row * small.width + column) * small.channels,
                    first: large.at(rows.start as isize, columns.start as isize),
                    rows: rows.len(),
                    columns: columns.len(),
                    pitch: large.pitch(),
                    channels: small.channels,
                });
            }
        }
    }

    fn check(&self, large: usize, small: usize) {
        assert!(large == self.large.len() && small == self.small.len());
    }

    /// Whether every square is whole and two by two, and every pixel whole registers of `lanes` numbers: the usual case,
    /// which needs no questions in its loop.
    fn are_plain(&self, lanes: usize) -> bool {
        let Self { size, overhang, large, small } = self;
        *size == (2, 2)
            && *overhang == (0, 0)
            && (large.height, large.width) == (2 * small.height, 2 * small.width)
            && large.channels == small.channels
            && small.channels.is_multiple_of(lanes)
    }

    /// Calls `work` with where each register of the small image lies, without a border, in its own place and in another image
    /// of the same pixels, and where the first of its square lies.
    #[inline(always)]
    fn each_register(&self, lanes: usize, beside: Image, mut work: impl FnMut(usize, usize, usize, usize)) {
        let Self { large, small, .. } = self;
        let channels = small.channels;
        for row in 0..small.height {
            let index = row * small.width * channels;
            let (pixel, other) = (small.at(row as isize, 0), beside.at(row as isize, 0));
            let first = large.at(2 * row as isize, 0);
            for column in 0..small.width {
                for at in (0..channels).step_by(lanes) {
                    let place = column * channels + at;
                    work(index + place, pixel + place, other + place, first + 2 * column * channels + at);
                }
            }
        }
    }
}

/// A pixel of the small image and its square.
#[derive(Clone, Copy)]
struct Square {
    /// Row and column of the pixel, and of the first pixel of the square.
    place: (isize, isize),
    corner: (isize, isize),
    /// Where the pixel lies, and where it would without a border.
    pixel: usize,
    index: usize,
    /// Where the first pixel of the square lies.
    first: usize,
    rows: usize,
    columns: usize,
    pitch: usize,
    channels: usize,
}

impl Square {
    /// Where each pixel of the square lies, row after row.
    #[inline(always)]
    fn places(self) -> impl Iterator<Item = usize> {
        (0..self.rows).flat_map(move |row| {
            (0..self.columns).map(move |column| self.first + row * self.pitch + column * self.channels)
        })
    }

    #[inline(always)]
    fn each_vector<S: Simd>(self, _: S, mut work: impl FnMut(usize)) {
        (0..self.channels).step_by(<S as Lanes<f32>>::COUNT).for_each(&mut work);
    }
}

/// The numbers of a pixel from `at` on.
#[inline(always)]
fn read<S: Simd>(s: S, image: &[f32], pixel: usize, channels: usize, at: usize) -> F<S> {
    s.read(&image[pixel..pixel + channels], at)
}

#[inline(always)]
fn write<S: Simd>(s: S, image: &mut [f32], pixel: usize, channels: usize, at: usize, value: F<S>) {
    s.write(&mut image[pixel..pixel + channels], at, value);
}

/// The largest number of each square, channel by channel, and in `winners` (an image without a border) which pixel of the
/// square it was: the first among equals, counted along the rows of what lies inside.
///
/// # Panics
/// Where a length does not fit.
pub fn max(level: Level, small: &mut [f32], winners: &mut [f32], large: &[f32], squares: &Squares) {
    squares.check(large.len(), small.len());
    assert_eq!(winners.len(), squares.small.with_border(Border::NONE).len());
    #[inline(always)]
    fn run<S: Simd>(s: S, small: &mut [f32], winners: &mut [f32], large: &[f32], squares: &Squares) {
        let lanes = <S as Lanes<f32>>::COUNT;
        if squares.are_plain(lanes) {
            let (right, below) = (squares.large.channels, squares.large.pitch());
            let (small, winners, large) = (small.as_mut_ptr(), winners.as_mut_ptr(), large.as_ptr());
            squares.each_register(lanes, squares.small, |index, pixel, _, first| {
                // SAFETY: the images have the lengths of their slices (checked by the caller), and whole squares of whole
                // registers lie inside them.
                unsafe {
                    let mut largest = s.load(large.add(first));
                    let mut winner = s.constant(0.0);
                    for (place, offset) in [(1.0, right), (2.0, below), (3.0, below + right)] {
                        let x = s.load(large.add(first + offset));
                        winner = s.where_positive(s.sub(x, largest), s.constant(place), winner);
                        largest = s.max(largest, x);
                    }
                    s.store(small.add(pixel), largest);
                    s.store(winners.add(index), winner);
                }
            });
            return;
        }
        squares.each(|square| {
            let channels = square.channels;
            square.each_vector(s, |at| {
                let mut largest = read(s, large, square.first, channels, at);
                let mut winner = s.constant(0.0);
                for (place, pixel) in square.places().enumerate().skip(1) {
                    let x = read(s, large, pixel, channels, at);
                    winner = s.where_positive(s.sub(x, largest), s.constant(place as f32), winner);
                    // Of a NaN `max` keeps the NaN when it comes second.
                    largest = s.max(largest, x);
                }
                write(s, small, square.pixel, channels, at, largest);
                write(s, winners, square.index, channels, at, winner);
            });
        });
    }
    dispatch!(level, s => run(s, small, winners, large, squares));
}

/// The gradient at the larger image: each square's winner gets the gradient of its pixel times the derivative of the
/// activation that made the larger image, at the winner's value, which `outputs` (laid out as `output_image`) holds; the
/// others get 0. `squares` lies between the two gradients.
///
/// # Panics
/// Where a length does not fit.
pub fn max_backward(
    level: Level,
    large: &mut [f32],
    small: &[f32],
    winners: &[f32],
    (outputs, output_image): (&[f32], Image),
    activation: Activation,
    squares: &Squares,
) {
    squares.check(large.len(), small.len());
    assert_eq!(winners.len(), squares.small.with_border(Border::NONE).len());
    assert_eq!(outputs.len(), output_image.len());
    let values = squares.between(squares.large, output_image);
    #[inline(always)]
    fn run<S: Simd>(
        s: S,
        large: &mut [f32],
        (small, winners, outputs): (&[f32], &[f32], &[f32]),
        activation: Activation,
        squares: &Squares,
        values: Image,
    ) {
        let lanes = <S as Lanes<f32>>::COUNT;
        if squares.are_plain(lanes) {
            let (right, below) = (squares.large.channels, squares.large.pitch());
            let large = large.as_mut_ptr();
            let (small, winners, outputs) = (small.as_ptr(), winners.as_ptr(), outputs.as_ptr());
            squares.each_register(lanes, values, |index, pixel, output, first| {
                // SAFETY: as in `max`; the outputs are an image of the same pixels as the small one.
                unsafe {
                    let g = activation.back(s, s.load(small.add(pixel)), s.load(outputs.add(output)));
                    let winner = s.load(winners.add(index));
                    for (place, offset) in [(0.0, 0), (1.0, right), (2.0, below), (3.0, below + right)] {
                        let own = s.where_equal(winner, s.constant(place), g, s.constant(0.0));
                        s.store(large.add(first + offset), own);
                    }
                }
            });
            return;
        }
        clear_uncovered(large, squares);
        squares.each(|square| {
            let channels = square.channels;
            let output = values.at(square.place.0, square.place.1);
            square.each_vector(s, |at| {
                let y = read(s, outputs, output, channels, at);
                let g = activation.back(s, read(s, small, square.pixel, channels, at), y);
                let winner = read(s, winners, square.index, channels, at);
                for (place, pixel) in square.places().enumerate() {
                    let own = s.where_equal(winner, s.constant(place as f32), g, s.constant(0.0));
                    write(s, large, pixel, channels, at, own);
                }
            });
        });
    }
    dispatch!(level, s => run(s, large, (small, winners, outputs), activation, squares, values.small));
}

/// Zeros where no square lies.
fn clear_uncovered(large: &mut [f32], squares: &Squares) {
    let Squares { size, overhang, large: image, small } = *squares;
    let rows = size.0 * small.height - overhang.0;
    let columns = size.1 * small.width - overhang.1;
    for row in 0..image.height {
        let range = image.row(row);
        let covered = if row < rows { columns.min(image.width) * image.channels } else { 0 };
        large[range.start + covered..range.end].fill(0.0);
    }
}

/// The mean of each square over its pixels inside the image.
///
/// # Panics
/// Where a length does not fit.
pub fn average(level: Level, small: &mut [f32], large: &[f32], squares: &Squares) {
    squares.check(large.len(), small.len());
    #[inline(always)]
    fn run<S: Simd>(s: S, small: &mut [f32], large: &[f32], squares: &Squares) {
        squares.each(|square| {
            let channels = square.channels;
            let share = s.constant(1.0 / (square.rows * square.columns) as f32);
            square.each_vector(s, |at| {
                let mut sum = s.constant(0.0);
                for pixel in square.places() {
                    sum = s.add(sum, read(s, large, pixel, channels, at));
                }
                write(s, small, square.pixel, channels, at, s.mul(share, sum));
            });
        });
    }
    dispatch!(level, s => run(s, small, large, squares));
}

/// The gradient at the larger image of a mean: every pixel of a square its share, times the derivative of the activation
/// that made `outputs`, laid out as `output_image`.
///
/// # Panics
/// Where a length does not fit.
pub fn average_backward(
    level: Level,
    large: &mut [f32],
    small: &[f32],
    (outputs, output_image): (&[f32], Image),
    activation: Activation,
    squares: &Squares,
) {
    squares.check(large.len(), small.len());
    assert_eq!(outputs.len(), output_image.len());
    let values = squares.between(output_image, squares.small).large;
    #[inline(always)]
    fn run<S: Simd>(
        s: S,
        large: &mut [f32],
        (small, outputs): (&[f32], &[f32]),
        activation: Activation,
        (squares, values): (&Squares, Image),
    ) {
        clear_uncovered(large, squares);
        squares.each(|square| {
            let channels = square.channels;
            let first = values.at(square.corner.0, square.corner.1);
            let own = Square { first, pitch: values.pitch(), ..square };
            let share = s.constant(1.0 / (square.rows * square.columns) as f32);
            square.each_vector(s, |at| {
                let g = s.mul(share, read(s, small, square.pixel, channels, at));
                for (pixel, output) in square.places().zip(own.places()) {
                    let y = read(s, outputs, output, channels, at);
                    write(s, large, pixel, channels, at, activation.back(s, g, y));
                }
            });
        });
    }
    dispatch!(level, s => run(s, large, (small, outputs), activation, (squares, values)));
}

/// Nearest upsampling: every pixel of a square is the pixel of the smaller image.
///
/// # Panics
/// Where a length does not fit.
pub fn upsample(level: Level, large: &mut [f32], small: &[f32], squares: &Squares) {
    squares.check(large.len(), small.len());
    #[inline(always)]
    fn run<S: Simd>(s: S, large: &mut [f32], small: &[f32], squares: &Squares) {
        squares.each(|square| {
            square.each_vector(s, |at| {
                let x = read(s, small, square.pixel, square.channels, at);
                for pixel in square.places() {
                    write(s, large, pixel, square.channels, at, x);
                }
            });
        });
    }
    dispatch!(level, s => run(s, large, small, squares));
}

/// The gradient at the smaller image of an upsampling: the sum over the square, times the derivative of the activation that
/// made `outputs`, laid out as `output_image`.
///
/// # Panics
/// Where a length does not fit.
pub fn upsample_backward(
    level: Level,
    small: &mut [f32],
    large: &[f32],
    (outputs, output_image): (&[f32], Image),
    activation: Activation,
    squares: &Squares,
) {
    squares.check(large.len(), small.len());
    assert_eq!(outputs.len(), output_image.len());
    let values = squares.between(squares.large, output_image).small;
    #[inline(always)]
    fn run<S: Simd>(
        s: S,
        small: &mut [f32],
        (large, outputs): (&[f32], &[f32]),
        activation: Activation,
        (squares, values): (&Squares, Image),
    ) {
        squares.each(|square| {
            let channels = square.channels;
            let output = values.at(square.place.0, square.place.1);
            square.each_vector(s, |at| {
                let mut sum = s.constant(0.0);
                for pixel in square.places() {
                    sum = s.add(sum, read(s, large, pixel, channels, at));
                }
                let y = read(s, outputs, output, channels, at);
                write(s, small, square.pixel, channels, at, activation.back(s, sum, y));
            });
        });
    }
    dispatch!(level, s => run(s, small, (large, outputs), activation, (squares, values)));
}
