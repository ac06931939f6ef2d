//! The layout of images in memory: rows of pixels, channel last, inside a border.
//!
//! A convolution reads past the edges of its image and must read zeros there. So an image that a convolution reads is
//! stored with a border, which is zero from the start and never written, and no kernel tests for edges.

use crate::elementwise::activation::{self, Activation};
use crate::simd::{Lanes, Level, Simd, dispatch};

/// Rows and columns of padding around an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Border {
    /// Rows above the image.
    pub top: usize,
    /// Rows below the image.
    pub bottom: usize,
    /// Columns to the left.
    pub left: usize,
    /// Columns to the right.
    pub right: usize,
}

impl Border {
    /// No border.
    pub const NONE: Self = Self { top: 0, bottom: 0, left: 0, right: 0 };
}

/// The layout of one image of `height` x `width` pixels with `channels` elements each, channel last, inside a border.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Image {
    /// Rows of pixels, without the border.
    pub height: usize,
    /// Pixels in a row, without the border.
    pub width: usize,
    /// Elements of a pixel.
    pub channels: usize,
    /// The border around the pixels.
    pub border: Border,
}

impl Image {
    /// An image without a border.
    pub fn new(height: usize, width: usize, channels: usize) -> Self {
        Self { height, width, channels, border: Border::NONE }
    }

    /// The same image inside another border.
    #[must_use]
    pub fn with_border(self, border: Border) -> Self {
        Self { border, ..self }
    }

    /// The same image without a border.
    #[must_use]
    pub fn without_border(self) -> Self {
        self.with_border(Border::NONE)
    }

    /// Elements from one row of pixels to the next.
    pub fn pitch(&self) -> usize {
        (self.border.left + self.width + self.border.right) * self.channels
    }

    /// Number of elements, border included.
    ///
    /// # Panics
    /// If it overflows `usize`. Every offset in the image is smaller, so other computations need no check.
    pub fn len(&self) -> usize {
        let Border { top, bottom, left, right } = self.border;
        let along =
            |before: usize, inside: usize, after: usize| before.checked_add(inside)?.checked_add(after);
        let rows = along(top, self.height, bottom);
        let pitch = along(left, self.width, right).and_then(|pixels| pixels.checked_mul(self.channels));
        let len = rows.zip(pitch).and_then(|(rows, pitch)| rows.checked_mul(pitch));
        len.expect("an image that fits into memory")
    }

    /// Returns whether the image has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Offset of a pixel's first element. Row 0 and column 0 are the image's first; the border above and to the left of
    /// them has negative indices.
    pub(crate) fn offset(&self, row: isize, column: isize) -> usize {
        let (row, column) = (row + self.border.top as isize, column + self.border.left as isize);
        debug_assert!(row >= 0 && column >= 0);
        row as usize * self.pitch() + column as usize * self.channels
    }

    /// Offsets of the elements of a row of pixels, without the border.
    pub(crate) fn row_range(&self, row: usize) -> std::ops::Range<usize> {
        let start = self.offset(row as isize, 0);
        start..start + self.width * self.channels
    }
}

/// Copies the pixels of an image to a layout with another border. The border of the destination is not written.
///
/// # Panics
/// If the images or the lengths differ.
pub fn copy(to: &mut [f32], to_image: Image, from: &[f32], from_image: Image) {
    assert_eq!(to_image.without_border(), from_image.without_border());
    assert!(to.len() == to_image.len() && from.len() == from_image.len());
    for row in 0..to_image.height {
        to[to_image.row_range(row)].copy_from_slice(&from[from_image.row_range(row)]);
    }
}

/// [`copy`] for gradients: multiplies them by the derivative of the activation that computed `outputs`, an image
/// without a border.
///
/// # Panics
/// As [`copy`].
pub fn copy_backward(
    level: Level,
    to: &mut [f32],
    to_image: Image,
    from: &[f32],
    outputs: &[f32],
    activation: Activation,
) {
    let unpadded = to_image.without_border();
    copy(to, to_image, from, unpadded);
    assert_eq!(outputs.len(), unpadded.len());
    for row in 0..unpadded.height {
        activation::backward(
            level,
            &mut to[to_image.row_range(row)],
            &outputs[unpadded.row_range(row)],
            activation,
        );
    }
}

/// [`activation::add_l1`] on images, whose gradients and outputs may have different borders.
///
/// # Panics
/// If the images or the lengths differ.
pub fn add_l1(
    level: Level,
    (gradients, image): (&mut [f32], Image),
    (outputs, output_image): (&[f32], Image),
    activation: Activation,
    weight: f32,
) {
    assert_eq!(image.without_border(), output_image.without_border());
    assert!(gradients.len() == image.len() && outputs.len() == output_image.len());
    for row in 0..image.height {
        let (gradients, outputs) =
            (&mut gradients[image.row_range(row)], &outputs[output_image.row_range(row)]);
        activation::add_l1(level, gradients, outputs, activation, weight);
    }
}

/// Adds all pixels of an image to `sums`, per channel.
///
/// # Panics
/// If a length does not match.
pub fn add_pixels(level: Level, sums: &mut [f32], numbers: &[f32], image: Image) {
    assert!(sums.len() == image.channels && numbers.len() == image.len());
    #[inline(always)]
    fn run<S: Simd>(s: S, sums: &mut [f32], numbers: &[f32], image: Image) {
        let (lanes, channels) = (<S as Lanes<f32>>::COUNT, image.channels);
        if channels == 1 {
            // Registers hold pixels instead of channels.
            let mut sum = s.constant(0.0);
            for row in 0..image.height {
                let pixels = &numbers[image.row_range(row)];
                for at in (0..pixels.len()).step_by(lanes) {
                    sum = s.add(sum, s.read(pixels, at));
                }
            }
            sums[0] += s.sum(sum);
            return;
        }
        for at in (0..channels).step_by(lanes) {
            // Four accumulators hide the latency of the additions.
            let mut parts = [s.read(sums, at), s.constant(0.0), s.constant(0.0), s.constant(0.0)];
            for row in 0..image.height {
                let mut fours = numbers[image.row_range(row)].chunks_exact(4 * channels);
                for four in &mut fours {
                    for i in 0..4 {
                        parts[i] = s.add(parts[i], s.read(&four[i * channels..(i + 1) * channels], at));
                    }
                }
                for pixel in fours.remainder().chunks_exact(channels) {
                    parts[0] = s.add(parts[0], s.read(pixel, at));
                }
            }
            let sum = s.add(s.add(parts[0], parts[1]), s.add(parts[2], parts[3]));
            s.write(sums, at, sum);
        }
    }
    dispatch!(level, s => run(s, sums, numbers, image));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_border_surrounds_the_pixels_and_is_not_written() {
        let unpadded = Image::new(2, 3, 2);
        let inside = unpadded.with_border(Border { top: 1, bottom: 2, left: 3, right: 1 });
        let numbers: Vec<f32> = (0..12u8).map(f32::from).collect();
        let mut padded = vec![-1.0; inside.len()];
        copy(&mut padded, inside, &numbers, unpadded);
        assert_eq!((inside.pitch(), inside.len()), (14, 70));
        assert_eq!(padded.iter().filter(|&&number| number == -1.0).count(), 70 - 12);
        // Row 1, column 2, channel 1.
        assert_eq!(padded[2 * 14 + 5 * 2 + 1], 11.0);
        assert_eq!(padded[inside.offset(1, 2) + 1], 11.0);
        let mut back = vec![0.0; 12];
        copy(&mut back, unpadded, &padded, inside);
        assert_eq!(back, numbers);
    }
}
