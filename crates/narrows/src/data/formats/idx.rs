//! IDX, the format of MNIST (LeCun et al.): two zero bytes, a type, the number of dimensions, the dimensions (32-bit, big
//! endian), the numbers (big endian). The file may be packed with gzip.

use super::array::{self, Header};
use super::input::Input;
use super::number::Number;
use crate::data::Labels;
#[cfg(test)]
use crate::data::Table;
use crate::error::Result;

/// Reads rows into memory: two dimensions are vectors, three are images (height, width), four have channels last.
#[cfg(test)]
pub(in crate::data) fn read(mut input: Input) -> Result<Table> {
    let header = rows_header(&mut input)?;
    array::read_table(input, &header)
}

/// Reads the header of an array of rows.
pub(in crate::data) fn rows_header(input: &mut Input) -> Result<Header> {
    let header = header(input)?;
    if header.dimensions.len() == 1 {
        return Err(input
            .error("holds one number per row: labels, not rows")
            .hint("give the file of the images as data; this one as `labels_file`"));
    }
    Ok(header)
}

/// Reads labels: one dimension of integers.
pub(in crate::data) fn read_labels(mut input: Input) -> Result<Labels> {
    let header = header(&mut input)?;
    array::read_labels(input, &header, "is this the file of the images?")
}

/// Reads the header. The numbers follow it.
pub(in crate::data) fn header(input: &mut Input) -> Result<Header> {
    let [zero, zero_too, kind, count] = input.take("its header")?;
    if (zero, zero_too) != (0, 0) {
        return Err(input.error("not an IDX file: it does not begin with two zero bytes").hint(
            "IDX is the format of MNIST's files; other kinds are known by their names: .csv, .tsv, .npy",
        ));
    }
    let number = match kind {
        0x08 => Number::U8,
        0x09 => Number::I8,
        0x0b => Number::I16,
        0x0c => Number::I32,
        0x0d => Number::F32,
        0x0e => Number::F64,
        _ => {
            return Err(
                input.error(format_args!("not an IDX file: its third byte, {kind:#04x}, is no number type"))
            );
        }
    };
    if !(1..=4).contains(&count) {
        return Err(
            input.error(format_args!("an IDX file of {count} dimensions; labels have 1, rows 2, 3 or 4"))
        );
    }
    let dimensions = (0..count)
        .map(|_| input.take("its header").map(|bytes| u64::from(u32::from_be_bytes(bytes))))
        .collect::<Result<_>>()?;
    Ok(Header { number, big_endian: true, fortran_order: false, dimensions })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;
    use crate::data::{Shape, Source, Values};

    const IMAGES: &[u8] =
        b"\0\0\x08\x03\0\0\0\x02\0\0\0\x02\0\0\0\x03\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c";

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn rows(bytes: &[u8]) -> Result<Table> {
        read(Input::memory("file", bytes)?)
    }

    fn refusal(bytes: &[u8]) -> String {
        rows(bytes).unwrap_err().to_string()
    }

    #[test]
    fn reads_images_packed_or_not_in_one_piece_or_two() {
        let plain = rows(IMAGES).unwrap();
        assert_eq!((plain.rows(), plain.shape()), (2, Shape::image(2, 3, 1)));
        assert_eq!(*plain.values(), Values::U8((1..=12).collect()));
        assert_eq!(rows(&gzip(IMAGES)).unwrap(), plain);
        assert_eq!(rows(&[gzip(&IMAGES[..19]), gzip(&IMAGES[19..])].concat()).unwrap(), plain);
    }

    #[test]
    fn reads_colours_vectors_and_other_types() {
        let colours =
            rows(b"\0\0\x08\x04\0\0\0\x01\0\0\0\x01\0\0\0\x02\0\0\0\x03\x01\x02\x03\x04\x05\x06").unwrap();
        assert_eq!(colours.shape(), Shape::image(1, 2, 3));
        let single = rows(b"\0\0\x0d\x02\0\0\0\x01\0\0\0\x01\x3f\x80\0\0").unwrap();
        assert_eq!(*single.values(), Values::F32(vec![1.0]));
        let double = rows(b"\0\0\x0e\x02\0\0\0\x01\0\0\0\x01\xbf\xf0\0\0\0\0\0\0").unwrap();
        assert_eq!(*double.values(), Values::F64(vec![-1.0]));
        let short = rows(b"\0\0\x0b\x02\0\0\0\x01\0\0\0\x02\xff\xff\x01\x00").unwrap();
        assert_eq!(*short.values(), Values::F32(vec![-1.0, 256.0]));
    }

    #[test]
    fn refuses_what_is_cut_short_or_goes_on() {
        assert!(refusal(&IMAGES[..27]).contains("announces 12 bytes of numbers, the file has 11"));
        assert!(refusal(&[IMAGES, b"x"].concat()).contains("the file has 13"));
        assert!(refusal(&IMAGES[..9]).contains("ends within its header"));
        assert!(refusal(b"").contains("ends within its header"));
        assert!(refusal(&gzip(&IMAGES[..27])).contains("ends within its numbers"));
        assert!(refusal(&gzip(&[IMAGES, b"x"].concat())).contains("goes on"));
        let packed = gzip(IMAGES);
        for length in 2..packed.len() {
            let message = refusal(&packed[..length]);
            assert!(message.contains("broken download"), "{length}: {message}");
        }
        let mut damaged = packed.clone();
        let checksum = damaged.len() - 6;
        damaged[checksum] ^= 1;
        assert!(refusal(&damaged).contains("damaged gzip"));
    }

    #[test]
    fn refuses_lying_headers_before_allocating() {
        let lie = b"\0\0\x08\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff";
        assert!(refusal(lie).contains("too large"));
        assert!(refusal(&gzip(lie)).contains("too large"));
        let lie = b"\0\0\x0e\x02\0\xff\xff\xff\0\xff\xff\xff";
        assert!(refusal(lie).contains("the file has 0"));
        assert!(refusal(&gzip(lie)).contains("bytes of gzip can hold"));
        // A bomb: a small header, then a hundred megabytes of zeros in a hundred kilobytes.
        let bomb = gzip(&[IMAGES, &vec![0; 100 << 20][..]].concat());
        assert!(refusal(&bomb).contains("goes on"));
    }

    #[test]
    fn refuses_other_types_dimensions_and_values() {
        assert!(refusal(b"\0\0\x0a\x02").contains("no number type"));
        assert!(refusal(b"\0\0\x08\x00").contains("0 dimensions"));
        assert!(refusal(b"\0\0\x08\x05").contains("5 dimensions"));
        assert!(refusal(b"\x01\0\x08\x03").contains("two zero bytes"));
        assert!(refusal(b"\0\0\x08\x03\0\0\0\x00\0\0\0\x02\0\0\0\x03").contains("no rows"));
        assert!(refusal(b"\0\0\x0d\x02\0\0\0\x01\0\0\0\x01\x7f\xc0\0\0").contains("row 1, column 1"));
    }

    proptest! {
        #[test]
        fn no_damage_panics(at in 0usize..28, byte: u8, length in 0usize..60, packed: bool) {
            let mut bytes = IMAGES.to_vec();
            bytes[at] = byte;
            bytes.resize(length.min(40), 7);
            if packed {
                bytes = gzip(&bytes);
                bytes.truncate(length.max(2));
            }
            for result in [rows(&bytes).map(drop), Input::memory("file", &bytes).and_then(read_labels).map(drop)] {
                if let Err(error) = result {
                    prop_assert!(error.to_string().starts_with("file: "));
                }
            }
        }

        #[test]
        fn no_damage_inside_gzip_panics(at in 2usize..40, byte: u8) {
            let mut bytes = gzip(IMAGES);
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = rows(&bytes);
        }
    }
}
