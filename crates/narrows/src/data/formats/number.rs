//! The number types of binary files, and what they become.

use super::input::Input;
use crate::data::{Shape, Values};
use crate::error::{Error, Result};

/// A number type in a file.
///
/// Bytes and booleans stay bytes, f32 and f64 what they are. Other integers become the smallest of the two floating
/// types that holds every value of their type exactly: 8 and 16 bits f32, 32 bits f64. 64 bits become f64 as well,
/// and a value past 2^53, which it cannot hold exactly, is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::data) enum Number {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
}

impl Number {
    /// Bytes per number.
    pub fn size(self) -> u64 {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// Whether it can be a class.
    pub fn is_integer(self) -> bool {
        !matches!(self, Self::F32 | Self::F64)
    }
}

/// Reads an array of the given dimensions to its end, in the order of the file.
pub(in crate::data) fn read(
    mut input: Input,
    dimensions: &[u64],
    number: Number,
    big_endian: bool,
) -> Result<Values> {
    let too_large = || input.error(format_args!("dimensions {}: too large", Dimensions(dimensions)));
    let count = product(dimensions).ok_or_else(too_large)?;
    let bytes = count.checked_mul(number.size()).ok_or_else(too_large)?;
    let count = usize::try_from(count).map_err(|_| too_large())?;
    input.expect(bytes)?;
    /// The function that makes one number of its bytes, in either order.
    macro_rules! numbers {
        ($kind:ty as $into:ty) => {
            if big_endian {
                input.numbers(count, |bytes| <$kind>::from_be_bytes(bytes) as $into)?
            } else {
                input.numbers(count, |bytes| <$kind>::from_le_bytes(bytes) as $into)?
            }
        };
    }
    // The conversions of 64-bit integers saturate: magnitudes of 2^53 and more are refused below.
    let values = match number {
        Number::U8 => Values::U8(input.bytes(count)?),
        // 0 and 1 are shares already: as bytes they would be divided by 255.
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
    if let (Number::U64 | Number::I64, Values::F64(values)) = (number, &values) {
        // 2^53 itself is refused too: 2^53 + 1 rounds to it.
        if let Some(value) = values.iter().find(|value| value.abs() >= 9_007_199_254_740_992.0) {
            return Err(input
                .error(format_args!("an integer near {value} is past 2^53, where f64 is no longer exact"))
                .hint("convert the array to float64 first"));
        }
    }
    input.finish()?;
    Ok(values)
}

/// The shape of the rows of an array whose first dimension counts them. Two dimensions are vectors, three are images
/// (height, width), four are images with channels last.
pub(in crate::data) fn shape(place: &str, dimensions: &[u64]) -> Result<Shape> {
    let refused = |what: &str| Error::data(format!("{place}: dimensions {}: {what}", Dimensions(dimensions)));
    match product(dimensions) {
        None => return Err(refused("too large")),
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
