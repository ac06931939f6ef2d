//! Max pooling, average pooling and nearest-neighbour upsampling, forward and backward.
//!
//! Pooling windows do not overlap: their stride is their size. If the size does not divide the image, the windows
//! overhang its edges by the same amount on both sides (an odd pixel at the bottom and right), and only pixels inside
//! the image count. If the output is smaller than that, the remaining pixels of the image are ignored.

use crate::elementwise::activation::Activation;
use crate::image::Image;
use crate::simd::{F, Lanes, Level, Simd, dispatch};

/// The windows that connect two images: pooling reduces each window of `large` to a pixel of `small`, upsampling
/// repeats each pixel of `small` over a window of `large`, of which the last rows and columns may be cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PoolGeometry {
    /// Height and width of a window, at least 1.
    pub size: (usize, usize),
    /// Rows and columns by which the first windows overhang the top and left edges.
    pub overhang: (usize, usize),
    /// The image of the windows.
    pub large: Image,
    /// The image with one pixel per window.
    pub small: Image,
}

impl PoolGeometry {
    /// The windows of a pooling of `large` to `small`.
    ///
    /// # Panics
    /// If the channels differ, a size is 0, or a window would lie outside the image.
    pub fn new(size: (usize, usize), large: Image, small: Image) -> Self {
        assert!(size.0 > 0 && size.1 > 0 && large.channels == small.channels);
        let overhang = |size: usize, large: usize, small: usize| {
            assert!(small == 0 || size * (small - 1) < large, "a window inside the image");
            (size * small).saturating_sub(large) / 2
        };
        let overhang =
            (overhang(size.0, large.height, small.height), overhang(size.1, large.width, small.width));
        Self { size, overhang, large, small }
    }

    /// The windows of an upsampling of `small` to `large`: the first begins at the edge.
    ///
    /// # Panics
    /// As [`PoolGeometry::new`].
    pub fn upsampling(size: (usize, usize), small: Image, large: Image) -> Self {
        Self { overhang: (0, 0), ..Self::new(size, large, small) }
    }

    /// The same windows for images with other borders.
    ///
    /// # Panics
    /// If an image has another shape.
    #[must_use]
    pub fn with_images(self, large: Image, small: Image) -> Self {
        assert_eq!(self.large.without_border(), large.without_border());
        assert_eq!(self.small.without_border(), small.without_border());
        Self { large, small, ..self }
    }

    /// The rows (or columns) of window `index` that lie inside the image.
    fn clip(index: usize, size: usize, overhang: usize, large: usize) -> std::ops::Range<usize> {
        let start = index * size;
        start.saturating_sub(overhang)..(start + size - overhang).min(large)
    }

    /// Calls `work` with each window.
    #[inline(always)]
    fn each_window(&self, mut work: impl FnMut(PoolWindow)) {
        let Self { size, overhang, large, small } = *self;
        for row in 0..small.height {
            let rows = Self::clip(row, size.0, overhang.0, large.height);
            for column in 0..small.width {
                let columns = Self::clip(column, size.1, overhang.1, large.width);
                work(PoolWindow {
                    pixel_position: (row as isize, column as isize),
                    corner: (rows.start as isize, columns.start as isize),
                    pixel: small.offset(row as isize, column as isize),
                    index: (row * small.width + column) * small.channels,
                    first: large.offset(rows.start as isize, columns.start as isize),
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

    /// Returns whether every window is 2 x 2 and inside the image, and every pixel consists of whole registers of `lanes`
    /// elements: the common case, which needs no branches in its loop.
    fn is_whole_2x2(&self, lanes: usize) -> bool {
        let Self { size, overhang, large, small } = self;
        *size == (2, 2)
            && *overhang == (0, 0)
            && (large.height, large.width) == (2 * small.height, 2 * small.width)
            && large.channels == small.channels
            && small.channels.is_multiple_of(lanes)
    }

    /// For 2 x 2 windows, calls `work` with the offsets of each register: in the small image without a border, in the
    /// small image, in a companion image of the same shape, and in the first pixel of the window.
    #[inline(always)]
    fn each_register_2x2(
        &self,
        lanes: usize,
        companion: Image,
        mut work: impl FnMut(usize, usize, usize, usize),
    ) {
        let Self { large, small, .. } = self;
        let channels = small.channels;
        for row in 0..small.height {
            let index = row * small.width * channels;
            let (pixel, companion_pixel) = (small.offset(row as isize, 0), companion.offset(row as isize, 0));
            let first = large.offset(2 * row as isize, 0);
            for column in 0..small.width {
                for at in (0..channels).step_by(lanes) {
                    let offset = column * channels + at;
                    let window = first + 2 * column * channels + at;
                    work(index + offset, pixel + offset, companion_pixel + offset, window);
                }
            }
        }
    }
}

/// A window of the large image and its pixel of the small image. Positions are offsets of first elements.
#[derive(Clone, Copy)]
struct PoolWindow {
    /// Row and column of the pixel, and of the window's first pixel inside the image.
    pixel_position: (isize, isize),
    corner: (isize, isize),
    /// The pixel in the small image, and in the small image without a border.
    pixel: usize,
    index: usize,
    /// The window's first pixel inside the image.
    first: usize,
    /// Rows and columns of the window inside the image.
    rows: usize,
    columns: usize,
    pitch: usize,
    channels: usize,
}

impl PoolWindow {
    /// Offsets of the pixels of the window, row by row.
    #[inline(always)]
    fn pixels(self) -> impl Iterator<Item = usize> {
        (0..self.rows).flat_map(move |row| {
            (0..self.columns).map(move |column| self.first + row * self.pitch + column * self.channels)
        })
    }

    /// Calls `work` with the first channel of each vector of a pixel.
    #[inline(always)]
    fn each_vector<S: Simd>(self, _: S, mut work: impl FnMut(usize)) {
        (0..self.channels).step_by(<S as Lanes<f32>>::COUNT).for_each(&mut work);
    }
}

/// Loads the channels of a pixel from `at` on; lanes past its last channel are zero.
#[inline(always)]
fn read<S: Simd>(s: S, image: &[f32], pixel: usize, channels: usize, at: usize) -> F<S> {
    s.read(&image[pixel..pixel + channels], at)
}

/// Stores the channels of a pixel from `at` on; lanes past its last channel are dropped.
#[inline(always)]
fn write<S: Simd>(s: S, image: &mut [f32], pixel: usize, channels: usize, at: usize, value: F<S>) {
    s.write(&mut image[pixel..pixel + channels], at, value);
}

/// Max pooling per channel. `argmax` (an image without a border) gets the index of the maximum among the pixels of the
/// window inside the image, row by row; the first among equals.
///
/// # Panics
/// If a length does not match.
pub fn max(level: Level, small: &mut [f32], argmax: &mut [f32], large: &[f32], geometry: &PoolGeometry) {
    geometry.check(large.len(), small.len());
    assert_eq!(argmax.len(), geometry.small.without_border().len());
    #[inline(always)]
    fn run<S: Simd>(s: S, small: &mut [f32], argmax: &mut [f32], large: &[f32], geometry: &PoolGeometry) {
        let lanes = <S as Lanes<f32>>::COUNT;
        if geometry.is_whole_2x2(lanes) {
            let (right, below) = (geometry.large.channels, geometry.large.pitch());
            let (small, argmax, large) = (small.as_mut_ptr(), argmax.as_mut_ptr(), large.as_ptr());
            geometry.each_register_2x2(lanes, geometry.small, |index, pixel, _, first| {
                // SAFETY: the slices have the lengths of their images (checked by the caller), which contain whole
                // windows of whole registers.
                unsafe {
                    let mut largest = s.load(large.add(first));
                    let mut best = s.constant(0.0);
                    for (position, offset) in [(1.0, right), (2.0, below), (3.0, below + right)] {
                        let x = s.load(large.add(first + offset));
                        best = s.where_positive(s.sub(x, largest), s.constant(position), best);
                        largest = s.max(largest, x);
                    }
                    s.store(small.add(pixel), largest);
                    s.store(argmax.add(index), best);
                }
            });
            return;
        }
        geometry.each_window(|window| {
            let channels = window.channels;
            window.each_vector(s, |at| {
                let mut largest = read(s, large, window.first, channels, at);
                let mut best = s.constant(0.0);
                for (position, pixel) in window.pixels().enumerate().skip(1) {
                    let x = read(s, large, pixel, channels, at);
                    best = s.where_positive(s.sub(x, largest), s.constant(position as f32), best);
                    // x second: `max` then propagates a NaN in x.
                    largest = s.max(largest, x);
                }
                write(s, small, window.pixel, channels, at, largest);
                write(s, argmax, window.index, channels, at, best);
            });
        });
    }
    dispatch!(level, s => run(s, small, argmax, large, geometry));
}

/// The gradient of max pooling at the large image: the maximum of each window gets the gradient of its pixel times the
/// derivative of the activation that computed the large image; the other pixels get 0. The derivative is evaluated from
/// the pooled `outputs`, with layout `output_image`. `geometry` has the layouts of the two gradients.
///
/// # Panics
/// If a length does not match.
pub fn max_backward(
    level: Level,
    large: &mut [f32],
    small: &[f32],
    argmax: &[f32],
    (outputs, output_image): (&[f32], Image),
    activation: Activation,
    geometry: &PoolGeometry,
) {
    geometry.check(large.len(), small.len());
    assert_eq!(argmax.len(), geometry.small.without_border().len());
    assert_eq!(outputs.len(), output_image.len());
    let values = geometry.with_images(geometry.large, output_image);
    #[inline(always)]
    fn run<S: Simd>(
        s: S,
        large: &mut [f32],
        (small, argmax, outputs): (&[f32], &[f32], &[f32]),
        activation: Activation,
        geometry: &PoolGeometry,
        values: Image,
    ) {
        let lanes = <S as Lanes<f32>>::COUNT;
        if geometry.is_whole_2x2(lanes) {
            let (right, below) = (geometry.large.channels, geometry.large.pitch());
            let large = large.as_mut_ptr();
            let (small, argmax, outputs) = (small.as_ptr(), argmax.as_ptr(), outputs.as_ptr());
            geometry.each_register_2x2(lanes, values, |index, pixel, output, first| {
                // SAFETY: as in `max`; `outputs` is an image of the same shape as the small one.
                unsafe {
                    let g = activation.backward(s, s.load(small.add(pixel)), s.load(outputs.add(output)));
                    let best = s.load(argmax.add(index));
                    for (position, offset) in [(0.0, 0), (1.0, right), (2.0, below), (3.0, below + right)] {
                        let routed = s.where_equal(best, s.constant(position), g, s.constant(0.0));
                        s.store(large.add(first + offset), routed);
                    }
                }
            });
            return;
        }
        clear_uncovered(large, geometry);
        geometry.each_window(|window| {
            let channels = window.channels;
            let output = values.offset(window.pixel_position.0, window.pixel_position.1);
            window.each_vector(s, |at| {
                let y = read(s, outputs, output, channels, at);
                let g = activation.backward(s, read(s, small, window.pixel, channels, at), y);
                let best = read(s, argmax, window.index, channels, at);
                for (position, pixel) in window.pixels().enumerate() {
                    let routed = s.where_equal(best, s.constant(position as f32), g, s.constant(0.0));
                    write(s, large, pixel, channels, at, routed);
                }
            });
        });
    }
    dispatch!(level, s => run(s, large, (small, argmax, outputs), activation, geometry, values.small));
}

/// Zeroes the pixels outside all windows.
fn clear_uncovered(large: &mut [f32], geometry: &PoolGeometry) {
    let PoolGeometry { size, overhang, large: image, small } = *geometry;
    let rows = size.0 * small.height - overhang.0;
    let columns = size.1 * small.width - overhang.1;
    for row in 0..image.height {
        let range = image.row_range(row);
        let covered = if row < rows { columns.min(image.width) * image.channels } else { 0 };
        large[range.start + covered..range.end].fill(0.0);
    }
}

/// Average pooling: the mean of each window over its pixels inside the image.
///
/// # Panics
/// If a length does not match.
pub fn average(level: Level, small: &mut [f32], large: &[f32], geometry: &PoolGeometry) {
    geometry.check(large.len(), small.len());
    #[inline(always)]
    fn run<S: Simd>(s: S, small: &mut [f32], large: &[f32], geometry: &PoolGeometry) {
        geometry.each_window(|window| {
            let channels = window.channels;
            let inverse_count = s.constant(1.0 / (window.rows * window.columns) as f32);
            window.each_vector(s, |at| {
                let mut sum = s.constant(0.0);
                for pixel in window.pixels() {
                    sum = s.add(sum, read(s, large, pixel, channels, at));
                }
                write(s, small, window.pixel, channels, at, s.mul(inverse_count, sum));
            });
        });
    }
    dispatch!(level, s => run(s, small, large, geometry));
}

/// The gradient of average pooling at the large image: the gradient of the pixel divided by the size of the window,
/// times the derivative of the activation that computed `outputs`, with layout `output_image`.
///
/// # Panics
/// If a length does not match.
pub fn average_backward(
    level: Level,
    large: &mut [f32],
    small: &[f32],
    (outputs, output_image): (&[f32], Image),
    activation: Activation,
    geometry: &PoolGeometry,
) {
    geometry.check(large.len(), small.len());
    assert_eq!(outputs.len(), output_image.len());
    let values = geometry.with_images(output_image, geometry.small).large;
    #[inline(always)]
    fn run<S: Simd>(
        s: S,
        large: &mut [f32],
        (small, outputs): (&[f32], &[f32]),
        activation: Activation,
        (geometry, values): (&PoolGeometry, Image),
    ) {
        clear_uncovered(large, geometry);
        geometry.each_window(|window| {
            let channels = window.channels;
            let first = values.offset(window.corner.0, window.corner.1);
            let output_window = PoolWindow { first, pitch: values.pitch(), ..window };
            let inverse_count = s.constant(1.0 / (window.rows * window.columns) as f32);
            window.each_vector(s, |at| {
                let g = s.mul(inverse_count, read(s, small, window.pixel, channels, at));
                for (pixel, output) in window.pixels().zip(output_window.pixels()) {
                    let y = read(s, outputs, output, channels, at);
                    write(s, large, pixel, channels, at, activation.backward(s, g, y));
                }
            });
        });
    }
    dispatch!(level, s => run(s, large, (small, outputs), activation, (geometry, values)));
}

/// Nearest-neighbour upsampling: every pixel of a window is a copy of the pixel of the small image.
///
/// # Panics
/// If a length does not match.
pub fn upsample(level: Level, large: &mut [f32], small: &[f32], geometry: &PoolGeometry) {
    geometry.check(large.len(), small.len());
    #[inline(always)]
    fn run<S: Simd>(s: S, large: &mut [f32], small: &[f32], geometry: &PoolGeometry) {
        geometry.each_window(|window| {
            window.each_vector(s, |at| {
                let x = read(s, small, window.pixel, window.channels, at);
                for pixel in window.pixels() {
                    write(s, large, pixel, window.channels, at, x);
                }
            });
        });
    }
    dispatch!(level, s => run(s, large, small, geometry));
}

/// The gradient of upsampling at the small image: the sum over the window, times the derivative of the activation that
/// computed `outputs`, with layout `output_image`.
///
/// # Panics
/// If a length does not match.
pub fn upsample_backward(
    level: Level,
    small: &mut [f32],
    large: &[f32],
    (outputs, output_image): (&[f32], Image),
    activation: Activation,
    geometry: &PoolGeometry,
) {
    geometry.check(large.len(), small.len());
    assert_eq!(outputs.len(), output_image.len());
    let values = geometry.with_images(geometry.large, output_image).small;
    #[inline(always)]
    fn run<S: Simd>(
        s: S,
        small: &mut [f32],
        (large, outputs): (&[f32], &[f32]),
        activation: Activation,
        (geometry, values): (&PoolGeometry, Image),
    ) {
        geometry.each_window(|window| {
            let channels = window.channels;
            let output = values.offset(window.pixel_position.0, window.pixel_position.1);
            window.each_vector(s, |at| {
                let mut sum = s.constant(0.0);
                for pixel in window.pixels() {
                    sum = s.add(sum, read(s, large, pixel, channels, at));
                }
                let y = read(s, outputs, output, channels, at);
                write(s, small, window.pixel, channels, at, activation.backward(s, sum, y));
            });
        });
    }
    dispatch!(level, s => run(s, small, (large, outputs), activation, (geometry, values)));
}
