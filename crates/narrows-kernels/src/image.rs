//! Where the pixels of an image lie in memory: rows of pixels, channel last, with a border around them.
//!
//! A convolution reads past the edges of its image and must find zeros there. So an image that will be read by one is
//! stored with a border, which is zero from the start and never written; no kernel asks whether it stands at an edge.

use crate::activation::{self, Activation};
use crate::simd::{Lanes, Level, Simd, dispatch};

/// Pixels around an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Border {
    /// Rows above.
    pub top: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns before.
    pub left: usize,
    /// Columns after.
    pub right: usize,
}

impl Border {
    /// No border.
    pub const NONE: Self = Self { top: 0, bottom: 0, left: 0, right: 0 };
}

/// The memory of one image of `height` x `width` pixels of `channels` numbers, channel last, inside a border.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Image {
    /// Rows of pixels, border not counted.
    pub height: usize,
    /// Pixels in a row, border not counted.
    pub width: usize,
    /// Numbers of a pixel.
    pub channels: usize,
    /// What lies around.
    pub border: Border,
}

impl Image {
    /// An image without a border.
    pub fn plain(height: usize, width: usize, channels: usize) -> Self {
        Self { height, width, channels, border: Border::NONE }
    }

    /// The same image inside a border.
    #[must_use]
    pub fn with_border(self, border: Border) -> Self {
        Self { border, ..self }
    }

    /// Numbers from a row of pixels to the next.
    pub fn pitch(&self) -> usize {
        (self.border.left + self.width + self.border.right) * self.channels
    }

    /// Numbers in all, border included.
    ///
    /// # Panics
    /// Where there are more than memory has places: every other place in the image is counted without asking.
    pub fn len(&self) -> usize {
        let Border { top, bottom, left, right } = self.border;
        let along =
            |before: usize, inside: usize, after: usize| before.checked_add(inside)?.checked_add(after);
        let rows = along(top, self.height, bottom);
        let pitch = along(left, self.width, right).and_then(|pixels| pixels.checked_mul(self.channels));
        let len = rows.zip(pitch).and_then(|(rows, pitch)| rows.checked_mul(pitch));
        len.expect("an image that fits into memory")
    }

    /// Whether there are no numbers.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the first number of a pixel lies. Rows and columns count from the image's first; the border has negative ones.
    pub(crate) fn at(&self, row: isize, column: isize) -> usize {
        let (row, column) = (row + self.border.top as isize, column + self.border.left as isize);
        debug_assert!(row >= 0 && column >= 0);
        row as usize * self.pitch() + column as usize * self.channels
    }

    /// Where the numbers of a row of pixels lie.
    pub(crate) fn row(&self, row: usize) -> std::ops::Range<usize> {
        let start = self.at(row as isize, 0);
        start..start + self.width * self.channels
    }
}

/// Copies an image into the same image with another border; what lies in the border stays.
///
/// # Panics
/// Where the images or the lengths differ.
pub fn copy(to: &mut [f32], to_image: Image, from: &[f32], from_image: Image) {
    assert_eq!(to_image.with_border(Border::NONE), from_image.with_border(Border::NONE));
    assert!(to.len() == to_image.len() && from.len() == from_image.len());
    for row in 0..to_image.height {
        to[to_image.row(row)].copy_from_slice(&from[from_image.row(row)]);
    }
}

/// [`copy`] for gradients: what comes is multiplied by the derivative of the activation that made `outputs`, an image
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
    let plain = to_image.with_border(Border::NONE);
    copy(to, to_image, from, plain);
    assert_eq!(outputs.len(), plain.len());
    for row in 0..plain.height {
        activation::backward(level, &mut to[to_image.row(row)], &outputs[plain.row(row)], activation);
    }
}

/// [`activation::add_absolute`] on an image inside a border, whose outputs have a border of their own.
///
/// # Panics
/// Where the images or the lengths differ.
pub fn add_absolute(
    level: Level,
    (gradients, image): (&mut [f32], Image),
    (outputs, output_image): (&[f32], Image),
    activation: Activation,
    weight: f32,
) {
    assert_eq!(image.with_border(Border::NONE), output_image.with_border(Border::NONE));
    assert!(gradients.len() == image.len() && outputs.len() == output_image.len());
    for row in 0..image.height {
        let (gradients, outputs) = (&mut gradients[image.row(row)], &outputs[output_image.row(row)]);
        activation::add_absolute(level, gradients, outputs, activation, weight);
    }
}

/// Adds each pixel of an image to `sums`, channel by channel.
///
/// # Panics
/// Where a length does not fit.
pub fn add_pixels(level: Level, sums: &mut [f32], numbers: &[f32], image: Image) {
    assert!(sums.len() == image.channels && numbers.len() == image.len());
    #[inline(always)]
    fn run<S: Simd>(s: S, sums: &mut [f32], numbers: &[f32], image: Image) {
        let (lanes, channels) = (<S as Lanes<f32>>::COUNT, image.channels);
        if channels == 1 {
            // A register holds pixels, not channels.
            let mut sum = s.constant(0.0);
            for row in 0..image.height {
                let pixels = &numbers[image.row(row)];
                for at in (0..pixels.len()).step_by(lanes) {
                    sum = s.add(sum, s.read(pixels, at));
                }
            }
            sums[0] += s.sum(sum);
            return;
        }
        for at in (0..channels).step_by(lanes) {
            // Four sums, so that an addition need not wait for the one before.
            let mut parts = [s.read(sums, at), s.constant(0.0), s.constant(0.0), s.constant(0.0)];
            for row in 0..image.height {
                let mut fours = numbers[image.row(row)].chunks_exact(4 * channels);
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
    fn a_border_lies_around_and_is_left_alone() {
        let plain = Image::plain(2, 3, 2);
        let inside = plain.with_border(Border { top: 1, bottom: 2, left: 3, right: 1 });
        let numbers: Vec<f32> = (0..12u8).map(f32::from).collect();
        let mut padded = vec![-1.0; inside.len()];
        copy(&mut padded, inside, &numbers, plain);
        assert_eq!((inside.pitch(), inside.len()), (14, 70));
        assert_eq!(padded.iter().filter(|&&number| number == -1.0).count(), 70 - 12);
        // Row 1, column 2, channel 1.
        assert_eq!(padded[2 * 14 + 5 * 2 + 1], 11.0);
        assert_eq!(padded[inside.at(1, 2) + 1], 11.0);
        let mut back = vec![0.0; 12];
        copy(&mut back, plain, &padded, inside);
        assert_eq!(back, numbers);
    }
}
