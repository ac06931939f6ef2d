//! IDX, the format of MNIST: two zero bytes, a type, a number of dimensions, the dimensions (big endian, 32 bits),
//! the numbers (big endian). Packed with gzip or not.

use super::input::Input;
use super::number::{self, Number};
use super::rows::{Labels, Table};
use crate::error::Result;

/// Reads rows: two dimensions are vectors, three are images (height, width), four have channels last.
pub(super) fn read(mut input: Input) -> Result<Table> {
    let (number, dimensions) = header(&mut input)?;
    let place = input.place.clone();
    if dimensions.len() == 1 {
        return Err(input
            .error("holds one number per row: labels, not rows")
            .hint("give the file of the images as data; this one with --labels"));
    }
    let shape = number::shape(&place, &dimensions)?;
    let values = number::read(input, &dimensions, number, true)?;
    Table::new(values, shape).map_err(|error| error.at(place))
}

/// Reads labels: one dimension of integers.
pub(super) fn read_labels(mut input: Input) -> Result<Labels> {
    let (number, dimensions) = header(&mut input)?;
    let place = input.place.clone();
    if dimensions.len() != 1 || !number.is_integer() {
        return Err(input
            .error("labels are one dimension of integers")
            .hint("is this the file of the images?"));
    }
    let values = number::read(input, &dimensions, number, true)?;
    Labels::from_integers(&values).map_err(|error| error.at(place))
}

fn header(input: &mut Input) -> Result<(Number, Vec<u64>)> {
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
    Ok((number, dimensions))
}
