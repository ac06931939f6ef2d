//! From columns of Arrow to rows of numbers: what each column of a file becomes, and the cells of a batch.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
    DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType,
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
    Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, PrimitiveArray, RecordBatch};
use arrow_schema::{DataType, Field, TimeUnit};
use narrows::Error;
use narrows::data::{Content, Element, FrameColumn, Values};

use crate::options::listed;

/// The largest integer up to which f64 has every integer.
const EXACT: u64 = 1 << 53;

/// Rows that are brought from columns to rows at a time, so that both ends stay in the first-level cache.
const TILE: usize = 64;

/// The number type of cells: f32 where all columns are in single precision, else f64.
pub(crate) trait Cell: Copy + Send + Sync + 'static {
    const ELEMENT: Element;
    const MISSING: Self;

    fn of(value: f64) -> Self;

    fn to_f64(self) -> f64;

    /// The numbers of an array that are already of this type.
    fn borrow(array: &dyn Array) -> Option<&[Self]>;

    fn values(cells: Vec<Self>) -> Values;
}

impl Cell for f64 {
    const ELEMENT: Element = Element::F64;
    const MISSING: Self = f64::NAN;

    fn of(value: f64) -> Self {
        value
    }

    fn to_f64(self) -> f64 {
        self
    }

    fn borrow(array: &dyn Array) -> Option<&[Self]> {
        Some(array.as_primitive_opt::<Float64Type>()?.values())
    }

    fn values(cells: Vec<Self>) -> Values {
        Values::F64(cells)
    }
}

impl Cell for f32 {
    const ELEMENT: Element = Element::F32;
    const MISSING: Self = f32::NAN;

    fn of(value: f64) -> Self {
        value as f32
    }

    fn to_f64(self) -> f64 {
        f64::from(self)
    }

    fn borrow(array: &dyn Array) -> Option<&[Self]> {
        Some(array.as_primitive_opt::<Float32Type>()?.values())
    }

    fn values(cells: Vec<Self>) -> Values {
        Values::F32(cells)
    }
}

/// What a column of a file becomes.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub name: String,
    /// Its place among the columns of the file.
    pub place: usize,
    pub meaning: Meaning,
    /// The places of an array in each row; None for a single value.
    pub length: Option<usize>,
    /// Whether all its numbers are exact in single precision by their type.
    pub is_single: bool,
}

/// What the cells of a column mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    Numbers,
    /// Numbers of a type with integers that f64 does not have: they become texts where there is such a number.
    WideIntegers,
    Texts,
    /// `false` and `true`.
    Booleans,
    Days,
}

/// The texts of a column, each with its number in the order of first appearance.
#[derive(Debug, Default, Clone)]
pub(crate) struct Dictionary {
    places: HashMap<Box<str>, u32>,
    /// Whether a text that is not known is an error: in a file that is read again.
    pub is_complete: bool,
}

impl Dictionary {
    pub fn len(&self) -> usize {
        self.places.len()
    }

    fn place(&mut self, text: &str) -> Result<u32, Stop> {
        if let Some(&place) = self.places.get(text) {
            return Ok(place);
        }
        if self.is_complete {
            return Err(Stop::Refused(
                "a text that was not there before: the file has changed while it was read".into(),
            ));
        }
        let place = u32::try_from(self.places.len())
            .map_err(|_| Stop::Refused("2^32 different texts are too many".into()))?;
        self.places.insert(text.into(), place);
        Ok(place)
    }

    /// The texts in the order of their numbers.
    pub fn texts(&self) -> Vec<String> {
        let mut texts = vec![String::new(); self.places.len()];
        for (text, &place) in &self.places {
            texts[place as usize] = text.to_string();
        }
        texts
    }
}

/// Why cells could not be made.
#[derive(Debug)]
pub(crate) enum Stop {
    /// An integer that f64 does not have: the column is to be read as texts.
    Wide,
    Refused(String),
}

/// What the columns of a file become; `kept` are the places of those that are read.
///
/// # Errors
/// One message that names all columns that cannot be rows of numbers, and says what to do.
pub(crate) fn plan(place: &str, fields: &[&Field], kept: &[usize]) -> narrows::Result<Vec<Column>> {
    let (mut columns, mut refused) = (Vec::new(), Vec::<(String, &str)>::new());
    for &at in kept {
        let field = fields[at];
        match column(field, at) {
            Ok(column) => columns.push(column),
            Err(what) => refused.push((field.name().clone(), what)),
        }
    }
    if refused.is_empty() {
        return Ok(columns);
    }
    let (names, mut kinds): (Vec<String>, Vec<&str>) = refused.into_iter().unzip();
    kinds.sort_unstable();
    kinds.dedup();
    let (noun, verb) = if names.len() == 1 { ("column", "holds") } else { ("columns", "hold") };
    Err(Error::data(format!(
        "{place}: {noun} {} {verb} {}, which are no numbers of a row",
        listed(&names),
        kinds.join(" and ")
    ))
    .hint("leave out such columns with `drop`, or choose others with `columns`"))
}

fn column(field: &Field, place: usize) -> Result<Column, &'static str> {
    let scalar = |kind: &DataType| -> Result<(Meaning, bool), &'static str> {
        let is_single = matches!(kind, DataType::Float16 | DataType::Float32);
        Ok((meaning(kind)?, is_single))
    };
    let (kind, length) = match field.data_type() {
        DataType::FixedSizeList(item, length) => {
            (item.data_type(), Some(usize::try_from(*length).unwrap_or(0)))
        }
        // The length is found in the rows.
        DataType::List(item) | DataType::LargeList(item) => (item.data_type(), Some(0)),
        kind => (kind, None),
    };
    let (meaning, is_single) = scalar(kind)?;
    if length.is_some() && !matches!(meaning, Meaning::Numbers | Meaning::WideIntegers) {
        return Err("lists of what is no number");
    }
    Ok(Column { name: field.name().clone(), place, meaning, length, is_single })
}

fn meaning(kind: &DataType) -> Result<Meaning, &'static str> {
    Ok(match kind {
        DataType::Null
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::Float16
        | DataType::Float32
        | DataType::Float64
        | DataType::Time32(_)
        | DataType::Time64(_)
        | DataType::Duration(_)
        | DataType::Decimal32(..) => Meaning::Numbers,
        DataType::Int64
        | DataType::UInt64
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => Meaning::WideIntegers,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Meaning::Texts,
        DataType::Boolean => Meaning::Booleans,
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => Meaning::Days,
        DataType::Dictionary(_, values) if !matches!(**values, DataType::Dictionary(..)) => {
            match meaning(values)? {
                Meaning::Booleans => return Err("dictionaries of booleans"),
                meaning => meaning,
            }
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            return Err("bytes of no known meaning");
        }
        DataType::Struct(_) => return Err("structures"),
        DataType::Map(..) => return Err("maps"),
        DataType::Interval(_) => return Err("intervals of the calendar"),
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::FixedSizeList(..)
        | DataType::ListView(_)
        | DataType::LargeListView(_) => return Err("lists of lists"),
        _ => return Err("values of a type that is not read"),
    })
}

/// Whether a column is measured in seconds, which its numbers do not say.
pub(crate) fn is_in_seconds(kind: &DataType) -> bool {
    matches!(kind, DataType::Time32(_) | DataType::Time64(_) | DataType::Duration(_))
}

impl Column {
    /// Numbers in an encoded row.
    pub fn width(&self) -> usize {
        self.length.unwrap_or(1)
    }

    /// The columns of the frame.
    pub fn frame_columns(&self, texts: &Dictionary) -> Vec<FrameColumn> {
        let content = match self.meaning {
            Meaning::Numbers | Meaning::WideIntegers => Content::Numbers,
            Meaning::Texts => Content::Texts(Arc::new(texts.texts())),
            Meaning::Booleans => Content::Texts(Arc::new(vec!["false".into(), "true".into()])),
            Meaning::Days => Content::Days,
        };
        let name = |place: Option<usize>| match place {
            Some(place) => format!("{}[{place}]", self.name),
            None => self.name.clone(),
        };
        let column = |place| FrameColumn { name: Some(name(place)), content: content.clone() };
        match self.length {
            Some(length) => (0..length).map(|place| column(Some(place))).collect(),
            None => vec![column(None)],
        }
    }
}

/// Appends the rows of a batch to `out`: its columns are those of `columns`, in order, with one dictionary each.
///
/// # Errors
/// The place in `columns` of the first column that stops, and why.
pub(crate) fn append_rows<T: Cell>(
    out: &mut Vec<T>,
    batch: &RecordBatch,
    columns: &[Column],
    dictionaries: &mut [Dictionary],
) -> Result<(), (usize, Stop)> {
    let (rows, width) = (batch.num_rows(), columns.iter().map(Column::width).sum::<usize>());
    let mut cells: Vec<(Cow<'_, [T]>, usize)> = Vec::with_capacity(columns.len());
    for (at, (column, texts)) in columns.iter().zip(&mut *dictionaries).enumerate() {
        let array = batch.column(at);
        let found = column_cells(array, column, texts).map_err(|stop| (at, stop))?;
        debug_assert_eq!(found.len(), rows * column.width());
        cells.push((found, column.width()));
    }
    let start = out.len();
    out.resize(start + rows * width, T::MISSING);
    for (first, tile) in (0..rows).step_by(TILE).zip(out[start..].chunks_mut(TILE * width)) {
        let mut offset = 0;
        for (values, length) in &cells {
            if *length == 1 {
                for (out, &value) in tile[offset..].iter_mut().step_by(width).zip(&values[first..]) {
                    *out = value;
                }
            } else {
                for (out, values) in
                    tile.chunks_exact_mut(width).zip(values[first * length..].chunks_exact(*length))
                {
                    out[offset..offset + length].copy_from_slice(values);
                }
            }
            offset += length;
        }
    }
    Ok(())
}

fn column_cells<'a, T: Cell>(
    array: &'a ArrayRef,
    column: &Column,
    texts: &mut Dictionary,
) -> Result<Cow<'a, [T]>, Stop> {
    match (column.length, column.meaning) {
        (Some(length), _) => list_cells(array, length).map_err(|stop| match stop {
            Stop::Wide => Stop::Refused("integers past 2^53 in a list, which would be rounded".into()),
            stop => stop,
        }),
        (None, Meaning::Texts) => text_cells(array, texts).map(Cow::Owned),
        (None, _) => number_cells(array),
    }
}

/// The lengths of the lists of a column: that of the first row that has one.
pub(crate) fn list_length(array: &dyn Array) -> Option<usize> {
    let lengths = |offsets: &mut dyn Iterator<Item = usize>| {
        offsets.enumerate().find(|(row, _)| array.is_valid(*row)).map(|(_, length)| length)
    };
    match array.data_type() {
        DataType::List(_) => {
            let array = array.as_list::<i32>();
            lengths(&mut array.offsets().lengths())
        }
        DataType::LargeList(_) => {
            let array = array.as_list::<i64>();
            lengths(&mut array.offsets().lengths())
        }
        _ => None,
    }
}

fn list_cells<T: Cell>(array: &dyn Array, length: usize) -> Result<Cow<'_, [T]>, Stop> {
    let rows = array.len();
    // The first place of each row in the items, and its length.
    let (items, places): (&ArrayRef, Vec<(usize, usize)>) = match array.data_type() {
        DataType::FixedSizeList(..) => {
            let array = array.as_fixed_size_list();
            let starts = (0..rows).map(|row| (array.value_offset(row) as usize, length));
            (array.values(), starts.collect())
        }
        DataType::List(_) => {
            let array = array.as_list::<i32>();
            let starts = array.offsets().windows(2).map(|at| (at[0] as usize, (at[1] - at[0]) as usize));
            (array.values(), starts.collect())
        }
        DataType::LargeList(_) => {
            let array = array.as_list::<i64>();
            let starts = array.offsets().windows(2).map(|at| (at[0] as usize, (at[1] - at[0]) as usize));
            (array.values(), starts.collect())
        }
        other => return Err(unexpected(other)),
    };
    let odd = (0..rows).find(|&row| array.is_valid(row) && places[row].1 != length);
    if let Some(row) = odd {
        return Err(Stop::Refused(format!(
            "lists of unlike lengths: {length} and {} numbers",
            places[row].1
        )));
    }
    let (first, end) = (places.first().map_or(0, |place| place.0), places.last().map_or(0, |p| p.0 + p.1));
    // Lists without a missing one lie one after the other.
    if array.null_count() == 0 && end - first == rows * length {
        let items = items.slice(first, rows * length);
        return Ok(Cow::Owned(number_cells::<T>(&items)?.into_owned()));
    }
    let cells = number_cells::<T>(items)?;
    let mut out = vec![T::MISSING; rows * length];
    for (row, out) in out.chunks_exact_mut(length.max(1)).enumerate() {
        if array.is_valid(row) {
            out.copy_from_slice(&cells[places[row].0..][..length]);
        }
    }
    Ok(Cow::Owned(out))
}

fn unexpected(kind: &DataType) -> Stop {
    Stop::Refused(format!("values of type {kind} where others were announced"))
}

/// The cells of a column of numbers, booleans, dates or times.
fn number_cells<T: Cell>(array: &ArrayRef) -> Result<Cow<'_, [T]>, Stop> {
    if array.null_count() == 0
        && let Some(values) = T::borrow(array)
    {
        return Ok(Cow::Borrowed(values));
    }
    let array = &**array;
    let seconds = |per_second: i64| move |value: i64| divided(value, per_second);
    let cells = match array.data_type() {
        DataType::Null => vec![T::MISSING; array.len()],
        DataType::Boolean => {
            let array = array.as_boolean();
            array
                .iter()
                .map(|value| value.map_or(T::MISSING, |value| T::of(f64::from(u8::from(value)))))
                .collect()
        }
        DataType::Int8 => converted::<Int8Type, T>(array, f64::from),
        DataType::Int16 => converted::<Int16Type, T>(array, f64::from),
        DataType::Int32 => converted::<Int32Type, T>(array, f64::from),
        DataType::UInt8 => converted::<UInt8Type, T>(array, f64::from),
        DataType::UInt16 => converted::<UInt16Type, T>(array, f64::from),
        DataType::UInt32 => converted::<UInt32Type, T>(array, f64::from),
        DataType::Int64 => {
            refuse_wide::<Int64Type>(array, |value| value.unsigned_abs() > EXACT)?;
            converted::<Int64Type, T>(array, |value| value as f64)
        }
        DataType::UInt64 => {
            refuse_wide::<UInt64Type>(array, |value| value > EXACT)?;
            converted::<UInt64Type, T>(array, |value| value as f64)
        }
        DataType::Float16 => converted::<Float16Type, T>(array, f64::from),
        DataType::Float32 => converted::<Float32Type, T>(array, f64::from),
        DataType::Float64 => converted::<Float64Type, T>(array, |value| value),
        DataType::Decimal32(_, scale) => {
            decimals::<Decimal32Type, T>(array, *scale, |value| Some(i64::from(value)))?
        }
        DataType::Decimal64(_, scale) => decimals::<Decimal64Type, T>(array, *scale, Some)?,
        DataType::Decimal128(_, scale) => {
            decimals::<Decimal128Type, T>(array, *scale, |value| i64::try_from(value).ok())?
        }
        DataType::Decimal256(_, scale) => {
            decimals::<Decimal256Type, T>(array, *scale, |value| value.to_i128()?.try_into().ok())?
        }
        DataType::Date32 => converted::<Date32Type, T>(array, f64::from),
        DataType::Date64 => converted::<Date64Type, T>(array, seconds(86_400_000)),
        DataType::Timestamp(unit, _) => match unit {
            TimeUnit::Second => converted::<TimestampSecondType, T>(array, seconds(86_400)),
            TimeUnit::Millisecond => converted::<TimestampMillisecondType, T>(array, seconds(86_400_000)),
            TimeUnit::Microsecond => converted::<TimestampMicrosecondType, T>(array, seconds(86_400_000_000)),
            TimeUnit::Nanosecond => {
                converted::<TimestampNanosecondType, T>(array, seconds(86_400_000_000_000))
            }
        },
        DataType::Time32(TimeUnit::Second) => converted::<Time32SecondType, T>(array, f64::from),
        DataType::Time32(TimeUnit::Millisecond) => {
            converted::<Time32MillisecondType, T>(array, |value| f64::from(value) / 1e3)
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            converted::<Time64MicrosecondType, T>(array, seconds(1_000_000))
        }
        DataType::Time64(TimeUnit::Nanosecond) => {
            converted::<Time64NanosecondType, T>(array, seconds(1_000_000_000))
        }
        DataType::Duration(unit) => match unit {
            TimeUnit::Second => converted::<DurationSecondType, T>(array, seconds(1)),
            TimeUnit::Millisecond => converted::<DurationMillisecondType, T>(array, seconds(1000)),
            TimeUnit::Microsecond => converted::<DurationMicrosecondType, T>(array, seconds(1_000_000)),
            TimeUnit::Nanosecond => converted::<DurationNanosecondType, T>(array, seconds(1_000_000_000)),
        },
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let values = number_cells::<T>(dictionary.values())?;
            keys(array).map(|key| key.map_or(T::MISSING, |key| values[key])).collect()
        }
        other => return Err(unexpected(other)),
    };
    Ok(Cow::Owned(cells))
}

/// `value / divisor`, exact in its whole part: nanoseconds since 1970 are beyond 2^53.
fn divided(value: i64, divisor: i64) -> f64 {
    value.div_euclid(divisor) as f64 + value.rem_euclid(divisor) as f64 / divisor as f64
}

fn converted<P: ArrowPrimitiveType, T: Cell>(
    array: &dyn Array,
    convert: impl Fn(P::Native) -> f64,
) -> Vec<T> {
    let array: &PrimitiveArray<P> = array.as_primitive();
    let mut cells: Vec<T> = array.values().iter().map(|&value| T::of(convert(value))).collect();
    mark_missing(array, &mut cells);
    cells
}

fn mark_missing<T: Cell>(array: &dyn Array, cells: &mut [T]) {
    if array.null_count() > 0 {
        for (row, cell) in cells.iter_mut().enumerate() {
            if array.is_null(row) {
                *cell = T::MISSING;
            }
        }
    }
}

/// Stops at an integer that f64 does not have. Places without a value may contain anything.
fn refuse_wide<P: ArrowPrimitiveType>(
    array: &dyn Array,
    is_wide: impl Fn(P::Native) -> bool,
) -> Result<(), Stop> {
    let array: &PrimitiveArray<P> = array.as_primitive();
    // Without an early exit the loop is vectorised: almost always there is none.
    if array.values().iter().fold(false, |found, &value| found | is_wide(value))
        && array.iter().flatten().any(is_wide)
    {
        return Err(Stop::Wide);
    }
    Ok(())
}

/// The nearest number to each decimal; whole numbers that f64 does not have are refused.
fn decimals<P: ArrowPrimitiveType, T: Cell>(
    array: &dyn Array,
    scale: i8,
    small: impl Fn(P::Native) -> Option<i64>,
) -> Result<Vec<T>, Stop>
where
    P::Native: std::fmt::Display,
{
    let array: &PrimitiveArray<P> = array.as_primitive();
    let divisor = 10f64.powi(i32::from(scale));
    let is_exact = (0..=22).contains(&scale);
    let mut cells = Vec::with_capacity(array.len());
    for value in array {
        let Some(value) = value else {
            cells.push(T::MISSING);
            continue;
        };
        let number = match small(value).filter(|value| is_exact && value.unsigned_abs() <= EXACT) {
            // One correctly rounded division of two exact numbers.
            Some(value) => value as f64 / divisor,
            None => decimal_text(value, scale).parse().unwrap_or(f64::NAN),
        };
        if scale <= 0 && number.abs() > EXACT as f64 {
            return Err(Stop::Wide);
        }
        cells.push(T::of(number));
    }
    Ok(cells)
}

/// `12e-2`, and `1200` where there is no fraction.
fn decimal_text(value: impl std::fmt::Display, scale: i8) -> String {
    if scale > 0 {
        format!("{value}e-{scale}")
    } else {
        format!("{value}{}", "0".repeat(usize::from(scale.unsigned_abs())))
    }
}

/// The places in its values of the rows of a dictionary array; None where there is no value.
fn keys(array: &dyn Array) -> impl Iterator<Item = Option<usize>> {
    let dictionary = array.as_any_dictionary();
    let (keys, values) = (dictionary.keys(), dictionary.values());
    let normalized = if values.is_empty() { vec![0; keys.len()] } else { dictionary.normalized_keys() };
    normalized
        .into_iter()
        .enumerate()
        .map(|(row, key)| (!values.is_empty() && keys.is_valid(row) && values.is_valid(key)).then_some(key))
}

/// The numbers of the texts of a column; those that are new get the next numbers.
fn text_cells<T: Cell>(array: &dyn Array, texts: &mut Dictionary) -> Result<Vec<T>, Stop> {
    let mut cells = Vec::with_capacity(array.len());
    if let DataType::Dictionary(..) = array.data_type() {
        let values = array.as_any_dictionary().values();
        // The texts of a file's dictionary get their numbers where they first appear in a row.
        let mut known: Vec<Option<T>> = vec![None; values.len()];
        for key in keys(array) {
            let cell = match key {
                None => T::MISSING,
                Some(key) => match known[key] {
                    Some(cell) => cell,
                    None => {
                        let cell = text_cells::<T>(&values.slice(key, 1), texts)?[0];
                        known[key] = Some(cell);
                        cell
                    }
                },
            };
            cells.push(cell);
        }
        return Ok(cells);
    }
    // Neighbouring rows often have the same text.
    let (mut last, mut last_cell) = (String::new(), None);
    each_text(array, |text| {
        cells.push(match (text, last_cell) {
            (None, _) => T::MISSING,
            (Some(text), Some(cell)) if text == last => cell,
            (Some(text), _) => {
                let cell = T::of(f64::from(texts.place(text)?));
                last.clear();
                last.push_str(text);
                last_cell = Some(cell);
                cell
            }
        });
        Ok(())
    })?;
    Ok(cells)
}

/// Calls `take` with the text of each row.
fn each_text(array: &dyn Array, mut take: impl FnMut(Option<&str>) -> Result<(), Stop>) -> Result<(), Stop> {
    fn each_number<P: ArrowPrimitiveType>(
        array: &dyn Array,
        text: impl Fn(P::Native) -> String,
        take: &mut impl FnMut(Option<&str>) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        array.as_primitive::<P>().iter().try_for_each(|value| take(value.map(&text).as_deref()))
    }
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().iter().try_for_each(take),
        DataType::LargeUtf8 => array.as_string::<i64>().iter().try_for_each(take),
        DataType::Utf8View => array.as_string_view().iter().try_for_each(take),
        DataType::Int64 => each_number::<Int64Type>(array, |value| value.to_string(), &mut take),
        DataType::UInt64 => each_number::<UInt64Type>(array, |value| value.to_string(), &mut take),
        &DataType::Decimal64(_, scale) => {
            each_number::<Decimal64Type>(array, |value| decimal_text(value, scale), &mut take)
        }
        &DataType::Decimal128(_, scale) => {
            each_number::<Decimal128Type>(array, |value| decimal_text(value, scale), &mut take)
        }
        &DataType::Decimal256(_, scale) => {
            each_number::<Decimal256Type>(array, |value| decimal_text(value, scale), &mut take)
        }
        other => Err(unexpected(other)),
    }
}
