//! The part that binary formats share: a header that announces an array, then its numbers.

use super::input::Input;
use super::number::{INEXACT, Number, inexact};
use crate::base::memory;
use crate::data::{Labels, Shape, Table, Values};
use crate::error::{Error, Result};

/// The header of an array in a file.
pub(in crate::data) struct Header {
    pub number: Number,
    pub big_endian: bool,
    /// Column-major order: the first index varies fastest. Otherwise row-major order.
    pub fortran_order: bool,
    /// The first dimension counts the rows.
    pub dimensions: Vec<u64>,
}

impl Header {
    /// The number of numbers that the header announces, and of bytes. Refuses a file of another length, before anything is
    /// allocated for the numbers.
    pub fn check_length(&self, input: &Input) -> Result<(usize, u64)> {
        let too_large =
            || input.error(format_args!("dimensions {}: too large", Dimensions(&self.dimensions)));
        let count = product(&self.dimensions).ok_or_else(too_large)?;
        let bytes = count.checked_mul(self.number.size()).ok_or_else(too_large)?;
        let count = usize::try_from(count).map_err(|_| too_large())?;
        input.expect(bytes)?;
        Ok((count, bytes))
    }

    /// The shape of a row. Two dimensions are vectors, three are images (height, width), four are images with channels last.
    /// Refuses an array without rows or numbers.
    pub fn shape(&self, place: &str) -> Result<Shape> {
        let dimensions = &self.dimensions;
        let refused =
            |what: &str| Error::data(format!("{place}: dimensions {}: {what}", Dimensions(dimensions)));
        match product(dimensions) {
            None => return Err(refused("too large")),
            Some(0) if dimensions.first().is_some_and(|&rows| rows > 0) => {
                return Err(refused("the rows have no numbers"));
            }
            Some(0) => return Err(refused("there are no rows")),
            Some(_) => {}
        }
        let row = dimensions
            .iter()
            .skip(1)
            .map(|&dimension| usize::try_from(dimension).map_err(|_| refused("too large")))
            .collect::<Result<Vec<_>>>()?;
        match row[..] {
            [width] => Ok(Shape::flat(width)),
            [height, width] => Ok(Shape::image(height, width, 1)),
            [height, width, channels] => Ok(Shape::image(height, width, channels)),
            _ => Err(Error::data(format!(
                "{place}: an array of {} dimensions; rows have 2, 3 or 4",
                dimensions.len()
            ))
            .hint("reshape it to rows x columns, or to rows x height x width x channels")),
        }
    }
}

/// Reads the rows of an array into memory.
pub(in crate::data) fn read_table(input: Input, header: &Header) -> Result<Table> {
    let place = input.place.clone();
    let shape = header.shape(&place)?;
    let values = read_numbers(input, header)?;
    let values = if header.fortran_order { row_major(&place, &header.dimensions, values)? } else { values };
    Table::new(values, shape).map_err(|error| error.at(place))
}

/// Reads an array of one dimension of integers as labels. `hint` belongs to the error for another array.
pub(in crate::data) fn read_labels(input: Input, header: &Header, hint: &str) -> Result<Labels> {
    if header.dimensions.len() != 1 || !header.number.is_integer() {
        return Err(input.error("labels are one dimension of integers").hint(hint));
    }
    let place = input.place.clone();
    let values = read_numbers(input, header)?;
    Labels::from_integers(&values).map_err(|error| error.at(place))
}

/// Reads the numbers of an array, in the order of the file, which must end after them.
fn read_numbers(mut input: Input, header: &Header) -> Result<Values> {
    let (count, bytes) = header.check_length(&input)?;
    // In column-major order there are two copies for a moment.
    let copies = if header.fortran_order { 2 } else { 1 };
    let size =
        header.number.element().size().max(usize::try_from(bytes).unwrap_or(usize::MAX) / count.max(1));
    let bytes = count.saturating_mul(size).saturating_mul(copies);
    memory::require(bytes, 1, format_args!("{}: reading its {count} numbers", input.place))?;
    /// Reads numbers of one type in the byte order of the file.
    macro_rules! numbers {
        ($kind:ty as $into:ty) => {
            if header.big_endian {
                input.numbers(count, |bytes| <$kind>::from_be_bytes(bytes) as $into)?
            } else {
                input.numbers(count, |bytes| <$kind>::from_le_bytes(bytes) as $into)?
            }
        };
    }
    let values = match header.number {
        Number::U8 => Values::U8(input.bytes(count)?),
        Number::Bool => Values::F32(input.numbers(count, |[byte]| f32::from(u8::from(byte != 0)))?),
        Number::I8 => Values::F32(numbers!(i8 as f32)),
        Number::U16 => Values::F32(numbers!(u16 as f32)),
        Number::I16 => Values::F32(numbers!(i16 as f32)),
        Number::U32 => Values::F64(numbers!(u32 as f64)),
        Number::I32 => Values::F64(numbers!(i32 as f64)),
        Number::U64 => Values::F64(numbers!(u64 as f64)),
        Number::I64 => Values::F64(numbers!(i64 as f64)),
        Number::F32 => Values::F32(numbers!(f32 as f32)),
        Number::F64 => Values::F64(numbers!(f64 as f64)),
    };
    if let (Number::U64 | Number::I64, Values::F64(values)) = (header.number, &values)
        && let Some(&value) = values.iter().find(|value| value.abs() >= INEXACT)
    {
        return Err(inexact(&input.place, value));
    }
    input.finish()?;
    Ok(values)
}

fn product(dimensions: &[u64]) -> Option<u64> {
    // A zero makes the product zero, however large the others are.
    if dimensions.contains(&0) {
        return Some(0);
    }
    dimensions.iter().try_fold(1u64, |product, &dimension| product.checked_mul(dimension))
}

/// Prints `3 x 28 x 28`.
struct Dimensions<'a>(&'a [u64]);

impl std::fmt::Display for Dimensions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, dimension) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(" x ")?;
            }
            write!(f, "{dimension}")?;
        }
        Ok(())
    }
}

fn row_major(place: &str, dimensions: &[u64], values: Values) -> Result<Values> {
    Ok(match values {
        Values::U8(values) => Values::U8(transpose(place, dimensions, &values)?),
        Values::F32(values) => Values::F32(transpose(place, dimensions, &values)?),
        Values::F64(values) => Values::F64(transpose(place, dimensions, &values)?),
    })
}

/// Converts column-major order (first index fastest) to row-major order (last index fastest). The length of `values` is the
/// product of the dimensions.
fn transpose<T: Copy + Default>(place: &str, dimensions: &[u64], values: &[T]) -> Result<Vec<T>> {
    let too_large = || Error::data(format!("{place}: too large for memory"));
    if values.is_empty() {
        return Ok(Vec::new());
    }
    let dimensions = dimensions
        .iter()
        .map(|&dimension| usize::try_from(dimension).map_err(|_| too_large()))
        .collect::<Result<Vec<_>>>()?;
    let rows = dimensions[0];
    // The offsets of the numbers of row 0 in the file; those of row r are larger by r.
    let mut offsets = Vec::new();
    offsets.try_reserve_exact(values.len() / rows).map_err(|_| too_large())?;
    offsets.push(0);
    let mut stride = values.len();
    for &dimension in dimensions[1..].iter().rev() {
        stride /= dimension;
        // A dimension further left varies more slowly: the offsets so far are repeated for each of its indices.
        let inner = offsets.len();
        for index in 1..dimension {
            for at in 0..inner {
                offsets.push(offsets[at] + index * stride);
            }
        }
    }
    let mut out = Vec::new();
    out.try_reserve_exact(values.len()).map_err(|_| too_large())?;
    out.resize(values.len(), T::default());
    // A few rows at a time, so that all of them use each cache line of the source.
    const ROWS: usize = 16;
    for (block, out) in out.chunks_mut(ROWS * offsets.len()).enumerate() {
        for (column, &offset) in offsets.iter().enumerate() {
            for (row, out) in out.chunks_exact_mut(offsets.len()).enumerate() {
                out[column] = values[offset + block * ROWS + row];
            }
        }
    }
    Ok(out)
}
