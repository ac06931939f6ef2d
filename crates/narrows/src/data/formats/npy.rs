//! NPY, the format of NumPy for one array.
//!
//! The header is a Python literal with three known keys. It is parsed here by hand, because general parsers of it (npyz 0.9
//! among them) allocate as many bytes as its length field says, multiply dimensions without checking for overflow, and recurse as
//! deeply as the file asks. The tests compare with npyz.

use super::array::{self, Header};
use super::input::Input;
use super::number::Number;
use crate::data::Labels;
#[cfg(test)]
use crate::data::{Table, Values};
use crate::error::{Error, Result};

/// Largest header. Those of NumPy have about 100 bytes; structured types, which are refused, a few thousand.
const HEADER_LIMIT: u32 = 1 << 16;

/// Reads rows into memory: two dimensions are vectors, three are images (height, width), four have channels last. The array
/// may be in row-major or column-major order, in either byte order; for number types see [`Number`].
#[cfg(test)]
pub(in crate::data) fn read(mut input: Input) -> Result<Table> {
    let header = rows_header(&mut input)?;
    array::read_table(input, &header)
}

/// Reads the header of an array of rows.
pub(in crate::data) fn rows_header(input: &mut Input) -> Result<Header> {
    let header = header(input)?;
    if let [count] = header.dimensions[..] {
        return Err(input
            .error(format_args!("an array of one dimension ({count} numbers); rows have 2, 3 or 4"))
            .hint("reshape it: array.reshape(-1, 1) for one column, array.reshape(1, -1) for one row"));
    }
    Ok(header)
}

/// Reads labels: one dimension of integers.
pub(in crate::data) fn read_labels(mut input: Input) -> Result<Labels> {
    let header = header(&mut input)?;
    array::read_labels(input, &header, "convert them: labels.astype(int).ravel()")
}

/// The bytes of an NPY file (version 1, `<f4`, row-major) of `rows` rows of the given dimensions. See
/// [`crate::base::atomic_file::write`] to write it.
///
/// # Panics
/// Where `values` is not `rows` x the product of `dimensions` long.
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
    // As in files of NumPy, the numbers begin at a multiple of 64 bytes, after magic (6), version (2), length (2), header and
    // newline.
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

/// Reads the header. The numbers follow it.
pub(in crate::data) fn header(input: &mut Input) -> Result<Header> {
    let text = header_text(input)?;
    let text = String::from_utf8(text).map_err(|_| damaged(input, "not text"))?;
    parse_header(input, &text)
}

/// Reads the bytes of the Python literal.
fn header_text(input: &mut Input) -> Result<Vec<u8>> {
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
    Ok(text)
}

/// Parses the Python literal: a dictionary of `descr`, `fortran_order` and `shape`, in any order.
fn parse_header(input: &Input, text: &str) -> Result<Header> {
    let damaged = |what: &str| damaged(input, what);
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

fn damaged(input: &Input, what: &str) -> Error {
    input.error(format_args!("damaged header: {what}"))
}

/// The number type of a dtype such as `<f4`, and whether it is big endian.
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
        _ => return Err(not_a_number_type(kind, name)),
    };
    // `=` and a missing order are the byte order of the machine.
    let big_endian = order == Some(b'>') || (order != Some(b'<') && cfg!(target_endian = "big"));
    Ok((number, big_endian))
}

fn not_a_number_type(kind: &str, name: &str) -> Error {
    let kind = kind.escape_debug();
    if name.starts_with('O') {
        Error::data(format!("holds Python objects (dtype `{kind}`): pickled objects are never read"))
            .hint("save an array of numbers: numpy.save(file, array.astype(float), allow_pickle=False)")
    } else {
        Error::data(format!("dtype `{kind}` is not a number type that is read; pickled objects never are"))
            .hint("save an array of numbers: array.astype(numpy.float32)")
    }
}

/// The part of the header's text that is still to be parsed.
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

#[cfg(test)]
mod tests {
    use npyz::WriterBuilder;
    use proptest::prelude::*;

    use super::*;
    use crate::data::{Shape, Source};

    fn rows(bytes: &[u8]) -> Result<Table> {
        read(Input::memory("file", bytes)?)
    }

    fn refusal(bytes: &[u8]) -> String {
        let message = rows(bytes).unwrap_err().to_string();
        assert!(message.starts_with("file: "), "{message}");
        message
    }

    /// A file with this header, as numpy and others write it.
    fn file(header: &str, numbers: &[u8]) -> Vec<u8> {
        let mut out = b"\x93NUMPY\x01\x00".to_vec();
        out.extend((header.len() as u16).to_le_bytes());
        out.extend(header.as_bytes());
        out.extend(numbers);
        out
    }

    fn described(kind: &str, shape: &str, numbers: &[u8]) -> Vec<u8> {
        file(&format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n"), numbers)
    }

    #[test]
    fn reads_every_number_type_in_either_byte_order() {
        let one = |kind: &str, numbers: &[u8]| {
            rows(&described(kind, "(1, 2)", numbers))
                .unwrap_or_else(|error| panic!("{kind}: {error}"))
                .values()
                .clone()
        };
        assert_eq!(one("|u1", b"\x01\xff"), Values::U8(vec![1, 255]));
        assert_eq!(one("|b1", b"\x00\x01"), Values::F32(vec![0.0, 1.0]));
        assert_eq!(one("|i1", b"\x80\x7f"), Values::F32(vec![-128.0, 127.0]));
        assert_eq!(one("<u2", b"\x01\x00\xff\xff"), Values::F32(vec![1.0, 65535.0]));
        assert_eq!(one(">u2", b"\x00\x01\xff\xff"), Values::F32(vec![1.0, 65535.0]));
        assert_eq!(one("<i2", b"\xfe\xff\x00\x80"), Values::F32(vec![-2.0, -32768.0]));
        assert_eq!(
            one(">i4", b"\x7f\xff\xff\xff\x80\x00\x00\x00"),
            Values::F64(vec![2147483647.0, -2147483648.0])
        );
        assert_eq!(one("<u4", b"\xff\xff\xff\xff\x02\x00\x00\x00"), Values::F64(vec![4294967295.0, 2.0]));
        assert_eq!(
            one("<i8", b"\xff\xff\xff\xff\xff\xff\xff\xff\x03\0\0\0\0\0\0\0"),
            Values::F64(vec![-1.0, 3.0])
        );
        assert_eq!(
            one(">u8", b"\0\0\0\0\0\0\0\x05\0\x1f\xff\xff\xff\xff\xff\xff"),
            Values::F64(vec![5.0, 9007199254740991.0])
        );
        assert_eq!(one("<f4", b"\0\0\x80\x3f\0\0\x80\xbf"), Values::F32(vec![1.0, -1.0]));
        assert_eq!(one(">f8", b"\x3f\xf0\0\0\0\0\0\0\xbf\xe0\0\0\0\0\0\0"), Values::F64(vec![1.0, -0.5]));
        assert!(refusal(&described("<u8", "(1, 1)", b"\0\0\0\0\0\0\x20\0")).contains("past 2^53"));
        assert!(refusal(&described("<i8", "(1, 1)", b"\0\0\0\0\0\0\0\x80")).contains("past 2^53"));
    }

    /// What `numpy.save(file, numpy.asfortranarray([[1, 2, 3], [4, 5, 6]], dtype="u1"))` holds, and one with a
    /// third dimension: [[[1, 2], [3, 4]], [[5, 6], [7, 8]]].
    #[test]
    fn turns_column_major_order_round() {
        let header = |shape: &str| format!("{{'descr': '|u1', 'fortran_order': True, 'shape': {shape}, }}\n");
        let two = rows(&file(&header("(2, 3)"), &[1, 4, 2, 5, 3, 6])).unwrap();
        assert_eq!(*two.values(), Values::U8(vec![1, 2, 3, 4, 5, 6]));
        let three = rows(&file(&header("(2, 2, 2)"), &[1, 5, 3, 7, 2, 6, 4, 8])).unwrap();
        assert_eq!(*three.values(), Values::U8(vec![1, 2, 3, 4, 5, 6, 7, 8]));
        assert_eq!(three.shape(), Shape::image(2, 2, 1));
    }

    #[test]
    fn reads_headers_as_others_write_them() {
        for header in [
            "{\"shape\": (1, 2), \"fortran_order\": False, \"descr\": \"|u1\"}",
            "{'descr':'|u1','fortran_order':False,'shape':(1L,2L)}",
            "  {'descr': '|u1' , 'fortran_order': False , 'shape': ( 1 , 2 , ) , }   \n",
        ] {
            assert_eq!(*rows(&file(header, &[7, 8])).unwrap().values(), Values::U8(vec![7, 8]), "{header}");
        }
        let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 2)}";
        let mut second = b"\x93NUMPY\x02\x00".to_vec();
        second.extend((header.len() as u32).to_le_bytes());
        second.extend(header.as_bytes());
        second.extend([7, 8]);
        assert_eq!(rows(&second).unwrap().rows(), 1);
    }

    #[test]
    fn refuses_what_is_no_array_of_numbers() {
        assert!(refusal(&described("|O", "(1, 2)", b"")).contains("pickled objects are never read"));
        for kind in ["<U5", "|S3", "<c8", "<c16", "<f2", "<M8[ns]", "|V4", "", "f", "u1x", "\u{e9}"] {
            let message = refusal(&described(kind, "(1, 2)", b""));
            assert!(message.contains("not a number type") && message.contains("pickled"), "{message}");
        }
        let structured = "{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1, 2), }";
        assert!(refusal(&file(structured, b"")).contains("structured"));
        assert!(refusal(&described("|u1", "()", b"\0")).contains("0 dimensions"));
        assert!(refusal(&described("|u1", "(3,)", b"\0\0\0")).contains("reshape"));
        assert!(refusal(&described("|u1", "(1, 1, 1, 1, 1)", b"\0")).contains("5 dimensions"));
        assert!(refusal(&described("|u1", "(0, 4)", b"")).contains("no rows"));
    }

    #[test]
    fn refuses_lying_sizes_before_allocating() {
        let message = refusal(&described("<f8", "(2, 2)", &[0; 31]));
        assert!(message.contains("announces 32 bytes of numbers, the file has 31"), "{message}");
        assert!(refusal(&described("<f8", "(2, 2)", &[0; 33])).contains("the file has 33"));
        let huge = "(18446744073709551615, 18446744073709551615)";
        assert!(refusal(&described("<f8", huge, b"")).contains("too large"));
        assert!(refusal(&described("<f8", "(4611686018427387904, 1)", b"")).contains("too large"));
        assert!(refusal(&described("|u1", "(0, 18446744073709551615)", b"")).contains("no rows"));
        assert!(refusal(&described("|u1", "(1, 18446744073709551616)", b"")).contains("`shape`"));
        assert!(refusal(b"\x93NUMPY\x02\x00\xff\xff\xff\xff").contains("a header of 4294967295 bytes"));
        assert!(refusal(b"\x93NUMPY\x07\x00").contains("version 7.0"));
    }

    #[test]
    fn refuses_damaged_headers() {
        for header in [
            "",
            "{",
            "{}",
            "{'descr'}",
            "{'descr': }",
            "{'descr': '|u1'}",
            "{'descr': '|u1', 'shape': (1, 2)}",
            "{'descr': '|u1', 'fortran_order': 0, 'shape': (1, 2)}",
            "{'descr': '|u1' 'fortran_order': False}",
            "{'descr': '|u1', 'fortran_order': False, 'shape': (1 2)}",
            "{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 2)}",
            "{'descr': '|u1', 'fortran_order': False, 'shape': (1,",
            "{'descr': '|u1', 'fortran_order': False, 'shape': (,)}",
            "{'other': 1}",
        ] {
            assert!(refusal(&file(header, &[0, 0])).contains("damaged header"), "{header}");
        }
        assert!(refusal(&file(&"(".repeat(60_000), b"")).contains("damaged header"));
    }

    fn damaged(mut bytes: Vec<u8>, at: usize, byte: u8, cut: usize) -> Vec<u8> {
        let at = at % bytes.len();
        bytes[at] = byte;
        bytes.truncate(bytes.len().saturating_sub(cut));
        bytes
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(rows_count in 1usize..6, width in 1usize..9, seed: u32) {
            let values: Vec<f32> = (0..rows_count * width).map(|i| (seed as f32).sin() + i as f32 / 3.0).collect();
            let bytes = encode_f32(rows_count, &[width], &values);
            let table = rows(&bytes).unwrap();
            prop_assert_eq!(table.values(), &Values::F32(values.clone()));
            prop_assert_eq!((table.rows(), table.shape()), (rows_count, Shape::flat(width)));
            // The oracle reads the same.
            let oracle = npyz::NpyFile::new(&bytes[..]).unwrap();
            prop_assert_eq!(oracle.shape(), &[rows_count as u64, width as u64]);
            prop_assert_eq!(oracle.into_vec::<f32>().unwrap(), values.clone());
            let values: Vec<f64> = values.iter().map(|&v| f64::from(v) / 3.0).collect();
            let table = rows(&encode_f64(rows_count, &[1, width, 1], &values)).unwrap();
            prop_assert_eq!(table.values(), &Values::F64(values));
            prop_assert_eq!(table.shape(), Shape::image(1, width, 1));
        }

        #[test]
        fn what_the_oracle_writes_is_read(dimensions in proptest::collection::vec(1u64..5, 2..=4), fortran: bool) {
            let values: Vec<i16> = (0..dimensions.iter().product::<u64>() as i16).collect();
            let mut bytes = Vec::new();
            let order = if fortran { npyz::Order::Fortran } else { npyz::Order::C };
            let mut writer = npyz::WriteOptions::new().default_dtype().shape(&dimensions).order(order).writer(&mut bytes).begin_nd().unwrap();
            writer.extend(values.iter().copied()).unwrap();
            writer.finish().unwrap();
            let table = rows(&bytes).unwrap();
            prop_assert_eq!(table.rows() as u64, dimensions[0]);
            // Walks the indices, last one fastest, and asks the oracle's strides where each number lies.
            let strides = npyz::NpyFile::new(&bytes[..]).unwrap().strides().to_vec();
            let expected: Vec<f32> = (0..values.len() as u64)
                .map(|mut place| {
                    let mut at = 0;
                    for (dimension, stride) in dimensions.iter().zip(&strides).rev() {
                        at += place % dimension * stride;
                        place /= dimension;
                    }
                    f32::from(values[at as usize])
                })
                .collect();
            prop_assert_eq!(table.values(), &Values::F32(expected));
        }

        #[test]
        fn no_damage_panics(at in 0usize..200, byte: u8, cut in 0usize..130) {
            let bytes = damaged(encode_f64(2, &[3], &[0.5; 6]), at, byte, cut);
            if let Err(error) = rows(&bytes) {
                prop_assert!(error.to_string().starts_with("file: "));
            }
            let _ = Input::memory("file", &bytes).and_then(read_labels);
        }

        #[test]
        fn no_header_panics(header in "[\\[{}()':, 0-9LTFdescrfortan_shap|u<é-]{0,80}") {
            let _ = rows(&file(&header, &[0; 8]));
        }
    }
}
