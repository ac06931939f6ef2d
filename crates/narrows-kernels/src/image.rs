//! Where the pixels of an image lie in memory: rows of pixels, channel last, with a border around them.
//!
//! A convolution reads past the edges of its image and must find zeros there. So an image that will be read by one is
//! stored with a border, which is zero from the start and never written; no kernel asks whether it stands at an edge.

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
    pub fn len(&self) -> usize {
        (self.border.top + self.height + self.border.bottom) * self.pitch()
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
