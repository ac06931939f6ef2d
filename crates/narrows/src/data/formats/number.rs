//! The number types of binary files, and the types that they are converted to.

use crate::data::Element;
use crate::error::Error;

/// From 2^53 on, f64 does not hold every integer. 2^53 itself is refused too: 2^53 + 1 rounds to it.
pub(in crate::data) const INEXACT: f64 = 9_007_199_254_740_992.0;

/// A number type in a file.
///
/// Bytes, f32 and f64 keep their type. Other integers are converted to the smaller floating-point type that holds every value
/// of their type exactly: f32 for 8 and 16 bits, f64 for 32 bits. 64-bit integers are converted to f64 as well; values of
/// [`INEXACT`] and more are refused. Booleans become f32: they are in 0..1 already, and as bytes they would be divided by 255.
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
    /// Bytes of a number.
    pub fn size(self) -> u64 {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// Whether labels can have this type.
    pub fn is_integer(self) -> bool {
        !matches!(self, Self::F32 | Self::F64)
    }

    /// The type that the numbers are converted to.
    pub fn element(self) -> Element {
        match self {
            Self::U8 => Element::U8,
            Self::Bool | Self::I8 | Self::U16 | Self::I16 | Self::F32 => Element::F32,
            Self::U32 | Self::I32 | Self::U64 | Self::I64 | Self::F64 => Element::F64,
        }
    }
}

/// The error for an integer that f64 may not hold exactly.
pub(in crate::data) fn inexact(place: &str, value: f64) -> Error {
    Error::data(format!("{place}: an integer near {value} is past 2^53, where f64 is no longer exact"))
        .hint("convert the array to float64 first")
}
