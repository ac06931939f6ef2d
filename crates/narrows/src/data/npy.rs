//! NPY, numpy's format for one array.
//!
//! The header is a Python literal with three known keys, read here by hand: general parsers of it (npyz 0.9 among
//! them) allocate what the header's length field says, multiply dimensions unchecked and recurse as deep as the file
//! asks. npyz stays as the oracle of the tests.

use super::input::Input;
use super::number::{self, Number};
use super::rows::{Labels, Table, Values};
use crate::error::{Error, Result};

/// numpy's own headers have some 100 bytes; structured types, which are refused, a few thousand.
const HEADER_LIMIT: u32 = 1 << 16;

/// Reads rows: two dimensions are vectors, three are images (height, width), four have channels last.
/// Row-major or column-major, little or big endian; for number types see [`Number`].
pub(super) fn read(mut input: Input) -> Result<Table> {
    let header = header(&mut input)?;
    let place = input.place.clone();
    if let [count] = header.dimensions[..] {
        return Err(input
            .error(format_args!("an array of one dimension ({count} numbers); rows have 2, 3 or 4"))
            .hint("reshape it: array.reshape(-1, 1) for one column, array.reshape(1, -1) for one row"));
    }
    let shape = number::shape(&place, &header.dimensions)?;
    let values = number::read(input, &header.dimensions, header.number, header.big_endian)?;
    let values = if header.fortran_order { row_major(&place, &header.dimensions, values)? } else { values };
    Table::new(values, shape).map_err(|error| error.at(place))
}

/// Reads labels: one dimension of integers.
pub(super) fn read_labels(mut input: Input) -> Result<Labels> {
    let header = header(&mut input)?;
    let place = input.place.clone();
    if header.dimensions.len() != 1 || !header.number.is_integer() {
        return Err(input
            .error("labels are one dimension of integers")
            .hint("convert them: labels.astype(int).ravel()"));
    }
    let values = number::read(input, &header.dimensions, header.number, header.big_endian)?;
    Labels::from_integers(&values).map_err(|error| error.at(place))
}

/// An NPY file (version 1, `<f4`, row-major) of `rows` rows of the given dimensions, for [`crate::durable::write`].
///
/// # Panics
/// Where `values` has another length.
pub fn encode_f32(rows: usize, dimensions: &[usize], values: &[f32]) -> Vec<u8> {
    encode("<f4", rows, dimensions, values, |value| value.to_le_bytes())
}

/// As [`encode_f32`], in double precision (`<f8`).
///
/// # Panics
/// As [`encode_f32`].
pub fn encode_f64(rows: usize, dimensions: &[usize], values: &[f64]) -> Vec<u8> {
    encode("<f8", rows, dimensions, values, |value| value.to_le_bytes())
}

fn encode<T: Copy, const N: usize>(
    kind: &str,
    rows: usize,
    dimensions: &[usize],
    values: &[T],
    bytes: impl Fn(T) -> [u8; N],
) -> Vec<u8> {
    assert_eq!(values.len(), rows * dimensions.iter().product::<usize>(), "one value per place");
    let mut shape = format!("{rows},");
    for dimension in dimensions {
        shape.push_str(&format!(" {dimension},"));
    }
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}");
    // The numbers begin at a multiple of 64 bytes, as numpy's do: magic (6), version (2), length (2), header, newline.
    let padding = (10 + header.len() + 1).next_multiple_of(64) - (10 + header.len() + 1);
    header.extend(std::iter::repeat_n(' ', padding));
    header.push('\n');
    let mut out = Vec::with_capacity(10 + header.len() + values.len() * N);
    out.extend_from_slice(b"\x93NUMPY\x01\x00");
    out.extend_from_slice(&u16::try_from(header.len()).expect("a few dimensions").to_le_bytes());
    out.extend_from_slice(header.as_bytes());
    for &value in values {
        out.extend_from_slice(&bytes(value));
    }
    out
}

struct Header {
    number: Number,
    big_endian: bool,
    fortran_order: bool,
    dimensions: Vec<u64>,
}

fn header(input: &mut Input) -> Result<Header> {
    let magic: [u8; 6] = input.take("its header")?;
    if &magic != b"\x93NUMPY" {
        return Err(input.error("not an NPY file: it does not begin with \\x93NUMPY"));
    }
    let [major, minor] = input.take("its header")?;
    let length = match major {
        1 => u32::from(u16::from_le_bytes(input.take("its header")?)),
        2 | 3 => u32::from_le_bytes(input.take("its header")?),
        _ => return Err(input.error(format_args!("version {major}.{minor} of NPY is not known"))),
    };
    if length > HEADER_LIMIT {
        return Err(input.error(format_args!("damaged: a header of {length} bytes")));
    }
    let mut text = vec![0; length as usize];
    input.fill(&mut text, "its header")?;
    let damaged = |what: &str| Error::data(format!("{}: damaged header: {what}", input.place));
    let text = String::from_utf8(text).map_err(|_| damaged("not text"))?;

    let mut cursor = Cursor(text.trim());
    let (mut kind, mut fortran_order, mut dimensions) = (None, None, None);
    cursor.expect("{").ok_or_else(|| damaged("no `{`"))?;
    while cursor.expect("}").is_none() {
        let key = cursor.string().ok_or_else(|| damaged("no key"))?;
        cursor.expect(":").ok_or_else(|| damaged("no `:`"))?;
        match key {
            "descr" if cursor.0.starts_with('[') => {
                return Err(input
                    .error("a structured array: its rows mix types")
                    .hint("save one array of numbers; pickled objects are never read"));
            }
            "descr" => kind = Some(cursor.string().ok_or_else(|| damaged("`descr`"))?),
            "fortran_order" => {
                fortran_order = Some(cursor.boolean().ok_or_else(|| damaged("`fortran_order`"))?)
            }
            "shape" => dimensions = Some(cursor.tuple().ok_or_else(|| damaged("`shape`"))?),
            _ => return Err(damaged("an unknown key")),
        }
        if cursor.expect(",").is_none() && !cursor.0.starts_with('}') {
            return Err(damaged("no `,`"));
        }
    }
    let kind = kind.ok_or_else(|| damaged("no `descr`"))?;
    let (number, big_endian) = number_type(kind).map_err(|error| error.at(&input.place))?;
    Ok(Header {
        number,
        big_endian,
        fortran_order: fortran_order.ok_or_else(|| damaged("no `fortran_order`"))?,
        dimensions: dimensions.ok_or_else(|| damaged("no `shape`"))?,
    })
}

fn number_type(kind: &str) -> Result<(Number, bool)> {
    let (order, name) = match kind.strip_prefix(['<', '>', '|', '=']) {
        Some(name) => (kind.as_bytes().first().copied(), name),
        None => (None, kind),
    };
    let number = match name {
        "b1" => Number::Bool,
        "u1" => Number::U8,
        "i1" => Number::I8,
        "u2" => Number::U16,
        "i2" => Number::I16,
        "u4" => Number::U32,
        "i4" => Number::I32,
        "u8" => Number::U64,
        "i8" => Number::I64,
        "f4" => Number::F32,
        "f8" => Number::F64,
        _ => {
            let kind = kind.escape_debug();
            return Err(if name.starts_with('O') {
                Error::data(format!("holds Python objects (dtype `{kind}`): pickled objects are never read"))
                    .hint(
                        "save an array of numbers: numpy.save(file, array.astype(float), allow_pickle=False)",
                    )
            } else {
                Error::data(format!(
                    "dtype `{kind}` is not a number type that is read; pickled objects never are"
                ))
                .hint("save an array of numbers: array.astype(numpy.float32)")
            });
        }
    };
    let big_endian = order == Some(b'>') || (order != Some(b'<') && cfg!(target_endian = "big"));
    Ok((number, big_endian))
}

/// What is left of the header's text.
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    fn expect(&mut self, token: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(token)?.trim_start();
        Some(())
    }

    fn string(&mut self) -> Option<&'a str> {
        let quote = self.0.chars().next().filter(|&quote| quote == '\'' || quote == '"')?;
        let (text, rest) = self.0.get(1..)?.split_once(quote)?;
        self.0 = rest.trim_start();
        Some(text)
    }

    fn boolean(&mut self) -> Option<bool> {
        if self.expect("True").is_some() { Some(true) } else { self.expect("False").map(|()| false) }
    }

    fn tuple(&mut self) -> Option<Vec<u64>> {
        self.expect("(")?;
        let mut dimensions = Vec::new();
        while self.expect(")").is_none() {
            let end = self.0.find(|c: char| !c.is_ascii_digit())?;
            let (digits, rest) = self.0.split_at(end);
            dimensions.push(digits.parse().ok()?);
            // Python 2 wrote long integers as `2L`.
            self.0 = rest.strip_prefix('L').unwrap_or(rest).trim_start();
            if self.expect(",").is_none() && !self.0.starts_with(')') {
                return None;
            }
        }
        Some(dimensions)
    }
}

fn row_major(place: &str, dimensions: &[u64], values: Values) -> Result<Values> {
    Ok(match values {
        Values::U8(values) => Values::U8(transpose(place, dimensions, &values)?),
        Values::F32(values) => Values::F32(transpose(place, dimensions, &values)?),
        Values::F64(values) => Values::F64(transpose(place, dimensions, &values)?),
    })
}

/// From column-major order (first index fastest) to row-major (last index fastest). The length of `values` is the
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
    // Where the numbers of row 0 lie; those of row r lie r further on.
    let mut places = Vec::new();
    places.try_reserve_exact(values.len() / rows).map_err(|_| too_large())?;
    places.push(0);
    let mut stride = values.len();
    for &dimension in dimensions[1..].iter().rev() {
        stride /= dimension;
        // Each dimension to the left varies more slowly: the places so far repeat for each of its indices.
        let inner = places.len();
        for index in 1..dimension {
            for at in 0..inner {
                places.push(places[at] + index * stride);
            }
        }
    }
    let mut out = Vec::new();
    out.try_reserve_exact(values.len()).map_err(|_| too_large())?;
    out.resize(values.len(), T::default());
    // Some rows at a time, so that each cache line of the source serves all of them.
    const ROWS: usize = 16;
    for (block, out) in out.chunks_mut(ROWS * places.len()).enumerate() {
        for (column, &at) in places.iter().enumerate() {
            for (row, out) in out.chunks_exact_mut(places.len()).enumerate() {
                out[column] = values[at + block * ROWS + row];
            }
        }
    }
    Ok(out)
}
