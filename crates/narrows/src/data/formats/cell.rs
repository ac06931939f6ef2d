//! Single cells of tables of text: numbers, missing values, and numbers in the forms that people write.

use std::borrow::Cow;

use super::number::INEXACT;
use crate::base::text::escaped;

/// What a cell is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::data::formats) enum Cell {
    /// A number.
    Number(f64),
    /// Empty, or a mark of a missing value.
    Missing,
    /// An infinity, or a number past the range of f64.
    Infinite,
    /// A number that is another text once it is read as a number.
    Kept(Loss),
    /// None of these.
    Text,
}

/// What a text would lose if it were read as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::data::formats) enum Loss {
    /// The zeros in front of a whole number, as postal codes have them.
    Zeros,
    /// Digits of an integer that double precision would round.
    Digits,
}

impl Cell {
    /// What a text is.
    #[inline]
    pub fn of(text: &str) -> Self {
        if let Some(value) = short_decimal(text.as_bytes()) {
            return Self::Number(value);
        }
        // Most other cells have nothing to trim, which is quickly seen.
        let is_bare = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_graphic());
        let bytes = text.as_bytes();
        let text = if is_bare(bytes.first()) && is_bare(bytes.last()) { text } else { text.trim() };
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => match loss(text, value) {
                None => Self::Number(value),
                Some(loss) => Self::Kept(loss),
            },
            Ok(value) if value.is_infinite() => Self::Infinite,
            // Some write a sign before NaN.
            Ok(_) => Self::Missing,
            Err(_) if is_missing(text) => Self::Missing,
            Err(_) => Self::Text,
        }
    }
}

/// The value of a decimal of at most 15 digits without an exponent, as most cells are: `-12.5`. Its digits are an integer below 2^53
/// and the power of ten is exact, so one division rounds correctly (Clinger 1990). None for every other text, also for a whole
/// number with zeros in front.
#[inline]
fn short_decimal(bytes: &[u8]) -> Option<f64> {
    const POWERS: [f64; 16] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    let (is_negative, digits) = match bytes {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 16 || (digits.len() > 1 && digits[0] == b'0' && digits[1] != b'.')
    {
        return None;
    }
    let (mut value, mut point) = (0u64, None);
    for (at, &byte) in digits.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            value = 10 * value + u64::from(digit);
        } else if byte == b'.' && point.is_none() {
            point = Some(at);
        } else {
            return None;
        }
    }
    let decimals = match point {
        Some(_) if digits.len() == 1 => return None,
        Some(point) => digits.len() - 1 - point,
        None if digits.len() > 15 => return None,
        None => 0,
    };
    let magnitude = value as f64 / POWERS[decimals];
    Some(if is_negative { -magnitude } else { magnitude })
}

#[inline]
fn loss(text: &str, value: f64) -> Option<Loss> {
    if value.abs() >= INEXACT {
        return is_rounded(text, value).then_some(Loss::Digits);
    }
    let bytes = text.as_bytes();
    let digits = if matches!(bytes.first(), Some(b'+' | b'-')) { &bytes[1..] } else { bytes };
    let is_padded = matches!(digits, [b'0', b'0'..=b'9', ..]) && digits.iter().all(u8::is_ascii_digit);
    is_padded.then_some(Loss::Zeros)
}

/// Whether a cell is an integer that is not the value it was read as.
fn is_rounded(cell: &str, value: f64) -> bool {
    let digits = cell.trim_start_matches(['+', '-']);
    // All digits of the value: an f64 of this size is an integer.
    is_digits(digits) && format!("{:.0}", value.abs()) != digits.trim_start_matches('0')
}

/// Whether a cell is empty or one of the usual marks of a missing value.
pub(in crate::data::formats) fn is_missing(cell: &str) -> bool {
    let cell = cell.trim();
    ["", "na", "n/a", "nan", "null", "none", "?", "."].iter().any(|mark| cell.eq_ignore_ascii_case(mark))
}

/// Whether a cell is a number, which may be infinite.
pub(in crate::data::formats) fn is_number(cell: &str) -> bool {
    cell.trim().parse::<f64>().is_ok_and(|value| !value.is_nan())
}

/// A cell for an error message: at most 40 characters, control characters escaped.
pub(in crate::data::formats) fn shortened(cell: &str) -> String {
    let mut text: String = cell.chars().take(40).collect();
    if text.len() < cell.len() {
        text.push_str("...");
    }
    escaped(&text).into_owned()
}

/// The unit beside a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::data::formats) enum Unit {
    Percent,
    Currency(char),
}

/// A number as people write it, with separators of thousands, a decimal comma or a unit. Where the text can be read in two ways, it
/// has two values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::data::formats) struct Written {
    pub unit: Option<Unit>,
    /// Its value if a point separates decimals.
    pub point: Option<f64>,
    /// Its value if a comma separates decimals.
    pub comma: Option<f64>,
}

const CURRENCIES: &[char] = &['$', '€', '£', '¥', '₹', '₩', '₽', '₺', '₫', '฿', '₪'];
const SPACES: &[char] = &[' ', '\u{a0}', '\u{202f}', '\u{2009}'];

impl Written {
    /// The number that a text is, if it is one: `1,234.5`, `1.234,5`, `1'000`, `45 %`, `-$12`, `(12)`, and any plain number.
    pub fn of(text: &str) -> Option<Self> {
        let text = text.trim();
        // The longest number of digits and separators that is worth a look; free text is longer.
        if text.len() > 60 {
            return None;
        }
        // In accounts, a number in parentheses is negative.
        let inner = text.strip_prefix('(').and_then(|text| text.strip_suffix(')'));
        let (mut negative, mut rest) = (inner.is_some(), inner.unwrap_or(text).trim());
        let mut signed = negative;
        let mut unit = None;
        for _ in 0..2 {
            if !signed && let Some(after) = rest.strip_prefix(['+', '-', '\u{2212}']) {
                (negative, signed, rest) = (!rest.starts_with('+'), true, after.trim_start());
            }
            if unit.is_none()
                && let Some(symbol) = rest.chars().next().filter(|first| CURRENCIES.contains(first))
            {
                (unit, rest) =
                    (Some(Unit::Currency(symbol)), rest[symbol.len_utf8()..].trim_start_matches(SPACES));
            }
        }
        if unit.is_none()
            && let Some(symbol) =
                rest.chars().next_back().filter(|last| *last == '%' || CURRENCIES.contains(last))
        {
            unit = Some(if symbol == '%' { Unit::Percent } else { Unit::Currency(symbol) });
            rest = rest[..rest.len() - symbol.len_utf8()].trim_end_matches(SPACES);
        }
        let (mantissa, exponent) = match rest.find(['e', 'E']) {
            Some(at) => (&rest[..at], &rest[at..]),
            None => (rest, ""),
        };
        let value = |decimal: char, other: char| {
            let value = value(mantissa, exponent, decimal, other)?;
            Some(if negative { -value } else { value })
        };
        let (point, comma) = (value('.', ','), value(',', '.'));
        (point.is_some() || comma.is_some()).then_some(Self { unit, point, comma })
    }
}

/// The value of digits with a mark before the decimals, and in front of it groups of digits, or none.
fn value(mantissa: &str, exponent: &str, decimal: char, other: char) -> Option<f64> {
    let (whole, decimals) = mantissa.split_once(decimal).unwrap_or((mantissa, ""));
    if !is_digits(decimals) || whole.len() + decimals.len() == 0 {
        return None;
    }
    let whole: Cow<'_, str> = if is_digits(whole) {
        whole.into()
    } else {
        let separator = whole.chars().find(|c| !c.is_ascii_digit())?;
        let separates = separator == other || "'’_".contains(separator) || SPACES.contains(&separator);
        if !separates || !has_groups(whole, separator) || !exponent.is_empty() {
            return None;
        }
        whole.replace(separator, "").into()
    };
    format!("{whole}.{decimals}{exponent}").parse().ok().filter(|value: &f64| value.is_finite())
}

/// Whether a text is a group of one to three digits and further ones of three, or of two before the last, as in India.
fn has_groups(text: &str, separator: char) -> bool {
    let groups: Vec<&str> = text.split(separator).collect();
    let [first, middle @ .., last] = &groups[..] else { return false };
    let all = |length: usize| middle.iter().all(|group| group.len() == length && is_digits(group));
    (1..=3).contains(&first.len())
        && is_digits(first)
        && !first.starts_with('0')
        && last.len() == 3
        && is_digits(last)
        && (all(3) || (all(2) && first.len() < 3))
}

pub(in crate::data::formats) fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_as_people_write_them_have_one_value_or_two() {
        let read = |text: &str| Written::of(text).map(|written| (written.point, written.comma));
        for (text, point, comma) in [
            ("1,234", Some(1234.0), Some(1.234)),
            ("1,234,567", Some(1_234_567.0), None),
            ("1,234.5", Some(1234.5), None),
            ("1.234,5", None, Some(1234.5)),
            ("1.234.567", None, Some(1_234_567.0)),
            ("1,5", None, Some(1.5)),
            ("0,125", None, Some(0.125)),
            ("-1,5e3", None, Some(-1500.0)),
            ("1'000", Some(1000.0), Some(1000.0)),
            ("12 345,6", None, Some(12345.6)),
            ("12,34,567", Some(1_234_567.0), None),
            ("45%", Some(45.0), Some(45.0)),
            ("4.5 %", Some(4.5), None),
            ("-$12", Some(-12.0), Some(-12.0)),
            ("$ -12", Some(-12.0), Some(-12.0)),
            ("(1,200)", Some(-1200.0), Some(-1.2)),
            ("3,50 €", None, Some(3.5)),
            ("17", Some(17.0), Some(17.0)),
            ("1e3", Some(1000.0), Some(1000.0)),
        ] {
            assert_eq!(read(text), Some((point, comma)), "{text}");
        }
        for text in [
            "",
            "-",
            "$",
            "%",
            "1-2",
            "2020-01-02",
            "12:30",
            "1.2.3",
            "1,2,3",
            "030 123 456",
            "e5",
            "1,000,000e3",
            "a1",
            "٣",
            "1e999",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn cells_are_known() {
        for (text, cell) in [
            ("1", Cell::Number(1.0)),
            (" -2.50 ", Cell::Number(-2.5)),
            ("0", Cell::Number(0.0)),
            ("00.5", Cell::Number(0.5)),
            ("00501", Cell::Kept(Loss::Zeros)),
            ("-007", Cell::Kept(Loss::Zeros)),
            ("9007199254740993", Cell::Kept(Loss::Digits)),
            ("9007199254740994", Cell::Number(9_007_199_254_740_994.0)),
            ("1e300", Cell::Number(1e300)),
            ("", Cell::Missing),
            ("n/a", Cell::Missing),
            ("-nan", Cell::Missing),
            ("1e999", Cell::Infinite),
            ("-Infinity", Cell::Infinite),
            ("x", Cell::Text),
        ] {
            assert_eq!(Cell::of(text), cell, "{text}");
        }
    }

    proptest! {
        /// The standard library rounds correctly by another road.
        #[test]
        fn short_decimals_are_what_the_standard_library_reads(text in "-?[0-9]{0,9}(\\.[0-9]{0,9})?") {
            if let Some(value) = short_decimal(text.as_bytes()) {
                prop_assert_eq!(value.to_bits(), text.parse::<f64>().unwrap().to_bits(), "{}", text);
            }
        }
    }

    #[test]
    fn what_is_no_short_decimal_is_left_to_others() {
        for text in ["", "-", ".", "-.", "007", "1e3", "+1", " 1", "1.2.3", "1234567890123456", "x"] {
            assert_eq!(short_decimal(text.as_bytes()), None, "{text}");
        }
        for (text, value) in [
            ("0", 0.0),
            ("-0", -0.0),
            ("0.5", 0.5),
            (".5", 0.5),
            ("5.", 5.0),
            ("123456789012345", 123_456_789_012_345.0),
        ] {
            assert_eq!(short_decimal(text.as_bytes()), Some(value), "{text}");
        }
    }
}
