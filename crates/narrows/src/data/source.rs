//! Sources of rows: the trait [`Source`], the shape of a row, the number type that rows are stored in.

use std::fmt;

use crate::base::text::figure_text;
use crate::error::{Error, Result};

/// The shape of a row: an image of `height` x `width` x `channels` numbers (channel last), or a vector.
///
/// ```
/// use narrows::Shape;
///
/// assert_eq!(Shape::image(28, 28, 1).len(), 784);
/// assert_eq!(Shape::flat(4).to_string(), "4");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Height of the image in pixels; 1 for a vector.
    pub height: usize,
    /// Width of the image in pixels; the length of a vector.
    pub width: usize,
    /// Channels of a pixel; 1 for a vector.
    pub channels: usize,
}

impl Shape {
    /// The shape of a vector of `length` numbers.
    pub fn flat(length: usize) -> Self {
        Self { height: 1, width: length, channels: 1 }
    }

    /// The shape of an image.
    pub fn image(height: usize, width: usize, channels: usize) -> Self {
        Self { height, width, channels }
    }

    /// Numbers in a row. The product does not overflow for rows that exist, nor for shapes from [`Shape::parse`].
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// The dimensions of a row in an array: `[784]`, `[28, 28]` or, with more than one channel, `[28, 28, 3]`.
    pub fn dimensions(&self) -> Vec<usize> {
        match (self.is_image(), self.channels) {
            (false, _) => vec![self.len()],
            (true, 1) => vec![self.height, self.width],
            (true, _) => vec![self.height, self.width, self.channels],
        }
    }

    /// Whether it is the shape of an image.
    pub fn is_image(&self) -> bool {
        self.height > 1
    }

    /// Whether it is the shape of an image with one channel (grey) or three (red, green and blue).
    pub fn is_grey_or_colour(&self) -> bool {
        self.is_image() && matches!(self.channels, 1 | 3)
    }

    /// Parses `28x28x1`, `28x28` or `784`.
    ///
    /// # Errors
    /// Where the text has another form, a number is 0, or the product is 2^32 or more.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong =
            || Error::data(format!("shape `{text}`: expected HEIGHTxWIDTHxCHANNELS, HEIGHTxWIDTH or LENGTH"));
        let numbers = text
            .split('x')
            .map(|part| part.parse::<usize>().ok().filter(|&number| number > 0))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(wrong)?;
        numbers
            .iter()
            .try_fold(1usize, |product, &number| product.checked_mul(number))
            .filter(|&product| product <= u32::MAX as usize)
            .ok_or_else(|| Error::data(format!("shape `{text}`: too large")))?;
        match numbers[..] {
            [length] => Ok(Self::flat(length)),
            [height, width] => Ok(Self::image(height, width, 1)),
            [height, width, channels] => Ok(Self::image(height, width, channels)),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_image() {
            write!(f, "{}x{}x{}", self.height, self.width, self.channels)
        } else {
            write!(f, "{}", self.len())
        }
    }
}

/// The number type that rows are stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Element {
    /// Bytes, 0 to 255.
    U8,
    /// Single precision.
    F32,
    /// Double precision.
    F64,
}

impl Element {
    /// Bytes of a number.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

/// Rows in memory, in the number type that they are stored in.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Stored<'a> {
    /// Bytes.
    U8(&'a [u8]),
    /// Single precision.
    F32(&'a [f32]),
    /// Double precision.
    F64(&'a [f64]),
}

/// The order in which the rows of a [`Source`] can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Access {
    /// Any row at any time, at about the same cost.
    #[default]
    Random,
    /// From the first row to the last. The rows of a window that ends where the source was last read can be read in any
    /// order; reading a row before the window starts a new pass from the first row.
    Sequential {
        /// Number of rows in the window.
        window: usize,
    },
}

/// A source of rows: a table in memory, a borrowed array, a file that is read when its rows are needed, a stream.
///
/// Rows are numbered from 0 and have one shape. A missing value is NaN. Sources may contain missing values:
/// [`Statistics`](super::Statistics) counts them, fits and models refuse them.
///
/// Several threads may read at the same time. Rows that were read must have the same numbers when they are read again.
///
/// ```
/// use std::sync::Arc;
///
/// use narrows::data::Element;
/// use narrows::{Dataset, Pca, Result, Shape, Source};
///
/// /// The points of a line, computed when they are read.
/// struct Line;
///
/// impl Source for Line {
///     fn rows(&self) -> usize {
///         100
///     }
///
///     fn shape(&self) -> Shape {
///         Shape::flat(2)
///     }
///
///     fn element(&self) -> Element {
///         Element::F64
///     }
///
///     fn read_f64(&self, first: usize, out: &mut [f64]) -> Result<()> {
///         for (row, out) in (first..).zip(out.chunks_exact_mut(2)) {
///             out.copy_from_slice(&[row as f64, 2.0 * row as f64]);
///         }
///         Ok(())
///     }
/// }
///
/// let pca = Pca::fit(Dataset::new("line", Arc::new(Line)), 1)?;
/// assert!(pca.explained_variance_ratio()[0] > 0.999);
/// # Ok::<(), narrows::Error>(())
/// ```
pub trait Source: Send + Sync {
    /// The number of rows.
    fn rows(&self) -> usize;

    /// The shape of each row.
    fn shape(&self) -> Shape;

    /// The number type that the rows are stored in. The default scaling takes bytes for pixels from 0 to 255.
    fn element(&self) -> Element;

    /// The order in which rows can be read.
    fn access(&self) -> Access {
        Access::Random
    }

    /// The number of a row in messages, from 1: its number in the rows that the user gave, where this is a part of them.
    fn row_number(&self, row: usize) -> usize {
        row + 1
    }

    /// Reads consecutive rows from `first` on into `out` (rows x row length); the length of `out` gives their number.
    ///
    /// # Errors
    /// Where the rows cannot be read. The message names the place, such as the file and the row (from 1).
    ///
    /// # Panics
    /// Where there are not as many rows, or `out` is not a whole number of rows.
    fn read_f64(&self, first: usize, out: &mut [f64]) -> Result<()>;

    /// As [`Source::read_f64`], in single precision.
    ///
    /// # Errors
    /// As [`Source::read_f64`].
    ///
    /// # Panics
    /// As [`Source::read_f64`].
    fn read_f32(&self, first: usize, out: &mut [f32]) -> Result<()> {
        let mut wide = vec![0.0; out.len()];
        self.read_f64(first, &mut wide)?;
        out.iter_mut().zip(wide).for_each(|(out, value)| *out = value as f32);
        Ok(())
    }

    /// Consecutive rows from `first` on, `rows` of them, where they lie in memory one after the other. None where they must be read.
    ///
    /// # Panics
    /// Where there are not as many rows.
    fn stored(&self, first: usize, rows: usize) -> Option<Stored<'_>> {
        let _ = (first, rows);
        None
    }

    /// Reads the rows `indices` into `out` (`indices.len()` x row length).
    ///
    /// # Errors
    /// As [`Source::read_f64`].
    ///
    /// # Panics
    /// As [`Source::read_f64`].
    fn gather_f64(&self, indices: &[usize], out: &mut [f64]) -> Result<()> {
        each_run(indices, out, self.shape().len(), |first, out| self.read_f64(first, out))
    }

    /// As [`Source::gather_f64`], in single precision. Training reads batches with it.
    ///
    /// # Errors
    /// As [`Source::read_f64`].
    ///
    /// # Panics
    /// As [`Source::read_f64`].
    fn gather_f32(&self, indices: &[usize], out: &mut [f32]) -> Result<()> {
        each_run(indices, out, self.shape().len(), |first, out| self.read_f32(first, out))
    }
}

/// A borrowed source is a source.
impl<S: Source + ?Sized> Source for &S {
    fn rows(&self) -> usize {
        (**self).rows()
    }

    fn shape(&self) -> Shape {
        (**self).shape()
    }

    fn element(&self) -> Element {
        (**self).element()
    }

    fn access(&self) -> Access {
        (**self).access()
    }

    fn row_number(&self, row: usize) -> usize {
        (**self).row_number(row)
    }

    fn read_f64(&self, first: usize, out: &mut [f64]) -> Result<()> {
        (**self).read_f64(first, out)
    }

    fn read_f32(&self, first: usize, out: &mut [f32]) -> Result<()> {
        (**self).read_f32(first, out)
    }

    fn stored(&self, first: usize, rows: usize) -> Option<Stored<'_>> {
        (**self).stored(first, rows)
    }

    fn gather_f64(&self, indices: &[usize], out: &mut [f64]) -> Result<()> {
        (**self).gather_f64(indices, out)
    }

    fn gather_f32(&self, indices: &[usize], out: &mut [f32]) -> Result<()> {
        (**self).gather_f32(indices, out)
    }
}

/// Calls `read` for each run of consecutive indices, with the first index and the part of `out` for its rows.
pub(super) fn each_run<T>(
    indices: &[usize],
    out: &mut [T],
    width: usize,
    mut read: impl FnMut(usize, &mut [T]) -> Result<()>,
) -> Result<()> {
    assert_eq!(out.len(), indices.len() * width, "one row of {width} per index");
    let mut rest = out;
    for run in indices.chunk_by(|a, b| a + 1 == *b) {
        let (out, others) = rest.split_at_mut(run.len() * width);
        read(run[0], out)?;
        rest = others;
    }
    Ok(())
}

/// The shape `to` for rows of shape `from`; both must have the same length.
pub(super) fn same_length(from: Shape, to: Shape) -> Result<Shape> {
    if to.len() == from.len() {
        return Ok(to);
    }
    Err(Error::data(format!("a row has {} numbers, the shape {to} asks for {}", from.len(), to.len())))
}

/// Rows in a block of [`each_block`].
const BLOCK: usize = 256;

/// Reads all rows in blocks, in order, and calls `work` with the number of the first row of each block and its rows.
pub(crate) fn each_block(
    source: &dyn Source,
    mut work: impl FnMut(usize, &mut [f64]) -> Result<()>,
) -> Result<()> {
    let (rows, width) = (source.rows(), source.shape().len());
    let mut buffer = vec![0.0; BLOCK.min(rows) * width];
    for first in (0..rows).step_by(BLOCK) {
        let block = &mut buffer[..BLOCK.min(rows - first) * width];
        source.read_f64(first, block)?;
        work(first, block)?;
    }
    Ok(())
}

/// The error for a value that is not finite: `row 3, column 2: NaN is not a finite number`. `row_number` counts from 1, as
/// [`Source::row_number`], `column` from 0.
pub(crate) fn not_finite(row_number: usize, column: usize, value: f64) -> Error {
    Error::data(format!("row {row_number}, column {}: {value} is not a finite number", column + 1))
        .hint("remove or fill such rows first")
}

/// Refuses missing and infinite values, naming the first; `rows` are those of `source` from `first` on.
pub(crate) fn check_finite<T: Copy + Into<f64>>(source: &dyn Source, rows: &[T], first: usize) -> Result<()> {
    let width = source.shape().len();
    match first_not_finite(rows) {
        None => Ok(()),
        Some(at) => Err(not_finite(source.row_number(first + at / width), at % width, rows[at].into())),
    }
}

/// As [`check_finite`], of infinite values alone.
pub(crate) fn check_not_infinite<T: Copy + Into<f64>>(
    source: &dyn Source,
    rows: &[T],
    first: usize,
) -> Result<()> {
    let width = source.shape().len();
    match first_not_finite(rows).and_then(|_| rows.iter().position(|&value| value.into().is_infinite())) {
        None => Ok(()),
        Some(at) => Err(not_finite(source.row_number(first + at / width), at % width, rows[at].into())),
    }
}

/// The index of the first value that is missing or infinite.
pub(crate) fn first_not_finite<T: Copy + Into<f64>>(values: &[T]) -> Option<usize> {
    let is_bad = |&value: &T| !value.into().is_finite();
    // Without an early exit the loop is vectorised: almost always there is none.
    if values.iter().fold(false, |found, value| found | is_bad(value)) {
        values.iter().position(is_bad)
    } else {
        None
    }
}

/// The precision that a method computes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Precision {
    Single,
    Double,
}

impl Precision {
    /// The precision of what a PCA gives for rows: that of the rows.
    pub fn of_results(rows: &dyn Source) -> Self {
        if rows.element() == Element::F64 { Self::Double } else { Self::Single }
    }

    /// Rounds values to this precision.
    pub fn round(self, values: &mut [f64]) {
        if self == Self::Single {
            values.iter_mut().for_each(|value| *value = f64::from(*value as f32));
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Single => "single precision",
            Self::Double => "double precision",
        }
    }
}

/// The error for a row (from 0) whose result, such as `its code`, is not finite in a method's precision. Where the row itself has
/// a missing or infinite value, the error for that.
pub(crate) fn result_not_finite(
    source: &dyn Source,
    row: usize,
    result: &str,
    precision: Precision,
) -> Error {
    let (number, name) = (source.row_number(row), precision.name());
    let mut values = vec![0.0; source.shape().len()];
    if let Err(error) = source.read_f64(row, &mut values) {
        return error;
    }
    if let Err(error) = check_finite(source, &values, row) {
        return error;
    }
    let largest = values.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    let reason = if precision == Precision::Single && largest > f64::from(f32::MAX) {
        format!("values up to {} are beyond {name}", short_number(largest))
    } else {
        format!("values up to {} overflow {name} in this model", short_number(largest))
    };
    Error::data(format!("row {number}: {result} is not finite: {reason}"))
        .hint("are the rows in the units of the training rows?")
}

/// `1e300`, `5.1`: as many digits as a message needs.
fn short_number(value: f64) -> String {
    if (1e-3..1e6).contains(&value) || value == 0.0 {
        figure_text(value)
    } else {
        format!("{:e}", rounded(value))
    }
}

/// A number with three significant digits.
fn rounded(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_read_and_printed() {
        for (text, shape, dimensions) in [
            ("784", Shape::flat(784), vec![784]),
            ("28x28", Shape::image(28, 28, 1), vec![28, 28]),
            ("8x4x3", Shape::image(8, 4, 3), vec![8, 4, 3]),
        ] {
            let parsed = Shape::parse(text).unwrap();
            assert_eq!((parsed, parsed.dimensions()), (shape, dimensions));
            assert_eq!(Shape::parse(&parsed.to_string()).unwrap(), parsed);
        }
        for text in
            ["", "0", "3x", "x3", "3x0", "1x2x3x4", "-1", "99999999999999999999", "4294967295x4294967295"]
        {
            assert!(Shape::parse(text).unwrap_err().to_string().contains(text), "{text}");
        }
    }
}
