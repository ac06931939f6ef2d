//! The shape of a row, rows in memory, and choices among them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use narrows_kernels::{Level, vector};

use crate::error::{Error, Result};

/// What one row is: an image of `height` x `width` x `channels` numbers (channel last), or a flat vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Rows of the image; 1 for a vector.
    pub height: usize,
    /// Columns of the image; the length of a vector.
    pub width: usize,
    /// Numbers per pixel; 1 for a vector.
    pub channels: usize,
}

impl Shape {
    /// The shape of a plain vector of `length` numbers.
    pub fn flat(length: usize) -> Self {
        Self { height: 1, width: length, channels: 1 }
    }

    /// The shape of an image.
    pub fn image(height: usize, width: usize, channels: usize) -> Self {
        Self { height, width, channels }
    }

    /// Numbers in a row. Does not overflow: a shape is built from rows that exist, or checked by [`Shape::parse`].
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// The dimensions of one row in an array: `[784]`, `[28, 28]` or, with more than one channel, `[28, 28, 3]`.
    pub fn dimensions(&self) -> Vec<usize> {
        match (self.is_image(), self.channels) {
            (false, _) => vec![self.len()],
            (true, 1) => vec![self.height, self.width],
            (true, _) => vec![self.height, self.width, self.channels],
        }
    }

    /// Whether a picture can be made of it.
    pub fn is_image(&self) -> bool {
        self.height > 1
    }

    /// Whether it is an image that is grey, or red, green and blue: a picture of it shows every channel.
    pub fn is_grey_or_colour(&self) -> bool {
        self.is_image() && matches!(self.channels, 1 | 3)
    }

    /// Reads `28x28x1`, `28x28` or `784`.
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

/// Where rows come from. Rows are asked for by number, in any order.
pub trait Source: Send + Sync {
    /// How many rows there are.
    fn rows(&self) -> usize;

    /// The shape of each row.
    fn shape(&self) -> Shape;

    /// The number type the rows are stored in.
    fn element(&self) -> Element;

    /// Writes rows `indices` one after the other to `out` (`indices.len()` x `shape().len()`).
    ///
    /// # Panics
    /// Where an index is not below [`Source::rows`] or `out` has another length.
    fn read_f32(&self, indices: &[usize], out: &mut [f32]);

    /// As [`Source::read_f32`], in double precision.
    ///
    /// # Panics
    /// As [`Source::read_f32`].
    fn read_f64(&self, indices: &[usize], out: &mut [f64]);
}

/// The numbers of a [`Table`], row after row.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Bytes.
    U8(Vec<u8>),
    /// Single precision.
    F32(Vec<f32>),
    /// Double precision.
    F64(Vec<f64>),
}

impl Values {
    /// How many numbers there are.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        match self {
            Self::U8(values) => values.len(),
            Self::F32(values) => values.len(),
            Self::F64(values) => values.len(),
        }
    }

    /// The numbers in double precision.
    pub fn into_f64(self) -> Vec<f64> {
        match self {
            Self::U8(values) => values.into_iter().map(f64::from).collect(),
            Self::F32(values) => values.into_iter().map(f64::from).collect(),
            Self::F64(values) => values,
        }
    }

    /// The numbers in single precision.
    pub fn into_f32(self) -> Vec<f32> {
        match self {
            Self::U8(values) => values.into_iter().map(f32::from).collect(),
            Self::F32(values) => values,
            Self::F64(values) => values.into_iter().map(|value| value as f32).collect(),
        }
    }
}

/// Rows that lie in memory, in the type their file had.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    values: Values,
    shape: Shape,
    rows: usize,
}

impl Table {
    /// Rows of the given shape. Refuses an empty table, a length that is not a whole number of rows, and numbers
    /// that are not finite (naming the first: row and column count from 1).
    pub fn new(values: Values, shape: Shape) -> Result<Self> {
        let width = shape.len();
        if width == 0 || values.len() == 0 {
            return Err(Error::data("there are no rows"));
        }
        if !values.len().is_multiple_of(width) {
            return Err(Error::data(format!(
                "{} numbers are not a whole number of rows of {width}",
                values.len()
            )));
        }
        let bad = match &values {
            Values::U8(_) => None,
            Values::F32(values) => values.iter().position(|v| !v.is_finite()),
            Values::F64(values) => values.iter().position(|v| !v.is_finite()),
        };
        if let Some(at) = bad {
            let value = match &values {
                Values::F32(values) => f64::from(values[at]),
                Values::F64(values) => values[at],
                Values::U8(_) => unreachable!("bytes are finite"),
            };
            return Err(Error::data(format!(
                "row {}, column {}: {value} is not a finite number",
                at / width + 1,
                at % width + 1
            ))
            .hint("remove or fill such rows first"));
        }
        let rows = values.len() / width;
        Ok(Self { values, shape, rows })
    }

    /// The numbers, row after row.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// The same rows under another shape of the same length.
    pub fn reshape(mut self, shape: Shape) -> Result<Self> {
        if shape.len() != self.shape.len() {
            return Err(Error::data(format!(
                "a row has {} numbers, the shape {shape} asks for {}",
                self.shape.len(),
                shape.len()
            )));
        }
        self.shape = shape;
        Ok(self)
    }
}

impl Source for Table {
    fn rows(&self) -> usize {
        self.rows
    }

    fn shape(&self) -> Shape {
        self.shape
    }

    fn element(&self) -> Element {
        match self.values {
            Values::U8(_) => Element::U8,
            Values::F32(_) => Element::F32,
            Values::F64(_) => Element::F64,
        }
    }

    fn read_f32(&self, indices: &[usize], out: &mut [f32]) {
        let width = self.shape.len();
        match &self.values {
            Values::U8(values) => {
                // The way of every image into training: by SIMD.
                assert_eq!(out.len(), indices.len() * width, "one row of {width} per index");
                let level = Level::detect();
                let row = |index: usize| &values[index * width..(index + 1) * width];
                for (place, (&index, out)) in indices.iter().zip(out.chunks_exact_mut(width)).enumerate() {
                    if let Some(&next) = indices.get(place + 2) {
                        vector::prefetch(row(next));
                    }
                    vector::from_bytes(level, out, row(index));
                }
            }
            Values::F32(values) => gather(values, width, indices, out, |v| v),
            Values::F64(values) => gather(values, width, indices, out, |v| v as f32),
        }
    }

    fn read_f64(&self, indices: &[usize], out: &mut [f64]) {
        let width = self.shape.len();
        match &self.values {
            Values::U8(values) => gather(values, width, indices, out, f64::from),
            Values::F32(values) => gather(values, width, indices, out, f64::from),
            Values::F64(values) => gather(values, width, indices, out, |v| v),
        }
    }
}

fn gather<T: Copy, U>(
    values: &[T],
    width: usize,
    indices: &[usize],
    out: &mut [U],
    convert: impl Fn(T) -> U,
) {
    assert_eq!(out.len(), indices.len() * width, "one row of {width} per index");
    for (&index, out) in indices.iter().zip(out.chunks_exact_mut(width)) {
        for (out, &value) in out.iter_mut().zip(&values[index * width..(index + 1) * width]) {
            *out = convert(value);
        }
    }
}

/// Some rows of another source, in a given order.
#[derive(Clone)]
pub struct Subset {
    source: Arc<dyn Source>,
    indices: Vec<usize>,
}

impl Subset {
    /// The rows `indices` of `source`.
    ///
    /// # Panics
    /// Where an index is not below `source.rows()`.
    pub fn new(source: Arc<dyn Source>, indices: Vec<usize>) -> Self {
        assert!(indices.iter().all(|&index| index < source.rows()), "a row number past the end");
        Self { source, indices }
    }

    /// Reads some rows at a time through a small array: training asks for batches without end, and must not allocate.
    fn read<T>(&self, indices: &[usize], out: &mut [T], read: impl Fn(&[usize], &mut [T])) {
        const ROWS: usize = 64;
        let width = self.shape().len();
        assert_eq!(out.len(), indices.len() * width, "one row of {width} per index");
        for (indices, out) in indices.chunks(ROWS).zip(out.chunks_mut(ROWS * width)) {
            let mut mapped = [0; ROWS];
            let mapped = &mut mapped[..indices.len()];
            for (mapped, &index) in mapped.iter_mut().zip(indices) {
                *mapped = self.indices[index];
            }
            read(mapped, out);
        }
    }
}

impl Source for Subset {
    fn rows(&self) -> usize {
        self.indices.len()
    }

    fn shape(&self) -> Shape {
        self.source.shape()
    }

    fn element(&self) -> Element {
        self.source.element()
    }

    fn read_f32(&self, indices: &[usize], out: &mut [f32]) {
        self.read(indices, out, |indices, out| self.source.read_f32(indices, out));
    }

    fn read_f64(&self, indices: &[usize], out: &mut [f64]) {
        self.read(indices, out, |indices, out| self.source.read_f64(indices, out));
    }
}

/// One class per row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// The class of each row, an index into `names`.
    pub classes: Vec<u32>,
    /// What the classes are called.
    pub names: Vec<String>,
}

impl Labels {
    /// Labels from the names of the classes, one per row. Classes are ordered by name, or as numbers where all are.
    pub fn from_names<T: AsRef<str>>(rows: &[T]) -> Result<Self> {
        let mut names: Vec<&str> = rows.iter().map(AsRef::as_ref).collect();
        names.sort_unstable();
        names.dedup();
        let numbers: Option<Vec<f64>> = names.iter().map(|name| name.parse().ok()).collect();
        if let Some(numbers) = numbers {
            let mut pairs: Vec<(f64, &str)> = numbers.into_iter().zip(names).collect();
            pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(b.1)));
            names = pairs.into_iter().map(|(_, name)| name).collect();
        }
        let classes: BTreeMap<&str, u32> = number(&names)?;
        Ok(Self {
            classes: rows.iter().map(|row| classes[row.as_ref()]).collect(),
            names: names.into_iter().map(String::from).collect(),
        })
    }

    /// Labels from integers, one per row: `values` comes from an integer type of a file. Classes are in their order.
    pub(super) fn from_integers(values: &Values) -> Result<Self> {
        // Readers have made integers exact floats.
        let rows: Vec<i64> = match values {
            Values::U8(values) => values.iter().map(|&value| i64::from(value)).collect(),
            Values::F32(values) => values.iter().map(|&value| value as i64).collect(),
            Values::F64(values) => values.iter().map(|&value| value as i64).collect(),
        };
        let mut names = rows.clone();
        names.sort_unstable();
        names.dedup();
        let classes: BTreeMap<i64, u32> = number(&names)?;
        Ok(Self {
            classes: rows.iter().map(|row| classes[row]).collect(),
            names: names.iter().map(i64::to_string).collect(),
        })
    }

    /// The labels of rows `indices`.
    ///
    /// # Panics
    /// Where an index is past the end.
    #[must_use]
    pub fn select(&self, indices: &[usize]) -> Self {
        Self {
            classes: indices.iter().map(|&index| self.classes[index]).collect(),
            names: self.names.clone(),
        }
    }
}

fn number<T: Copy + Ord>(names: &[T]) -> Result<BTreeMap<T, u32>> {
    if u32::try_from(names.len()).is_err() {
        return Err(Error::data(format!("{} classes are too many", names.len())));
    }
    Ok(names.iter().copied().zip(0..).collect())
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

    #[test]
    fn tables_refuse_what_is_no_whole_rows_of_numbers() {
        assert!(Table::new(Values::U8(vec![]), Shape::flat(3)).is_err());
        assert!(Table::new(Values::U8(vec![1]), Shape::flat(0)).is_err());
        assert!(Table::new(Values::U8(vec![1; 4]), Shape::flat(3)).is_err());
        let error = Table::new(Values::F32(vec![0.0, 1.0, 2.0, f32::NAN]), Shape::flat(2)).unwrap_err();
        assert!(error.to_string().starts_with("row 2, column 2: NaN"), "{error}");
    }

    /// More rows than a subset reads at a time, through two subsets.
    #[test]
    fn subsets_of_subsets_find_their_rows() {
        let table = Table::new(Values::F64((0..600).map(f64::from).collect()), Shape::flat(2)).unwrap();
        let odd = Subset::new(Arc::new(table), (0..300).filter(|row| row % 2 == 1).collect());
        let backwards = Subset::new(Arc::new(odd), (0..150).rev().collect());
        assert_eq!(
            (backwards.rows(), backwards.shape(), backwards.element()),
            (150, Shape::flat(2), Element::F64)
        );
        let indices: Vec<usize> = (0..150).collect();
        let (mut single, mut double) = (vec![0.0f32; 300], vec![0.0f64; 300]);
        backwards.read_f32(&indices, &mut single);
        backwards.read_f64(&indices, &mut double);
        for (index, row) in double.chunks_exact(2).enumerate() {
            let original = (2 * (149 - index) + 1) as f64;
            assert_eq!(row, [2.0 * original, 2.0 * original + 1.0]);
        }
        assert!(single.iter().zip(&double).all(|(&single, &double)| f64::from(single) == double));
    }
}
