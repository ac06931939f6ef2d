//! Writing of CSV.

use std::borrow::Cow;
use std::fmt::Write as _;

use csv::WriterBuilder;

use crate::base::text::escaped;
use crate::data::schema::date_text;
use crate::data::source::each_block;
use crate::data::{Content, Frame};
use crate::error::Result;

/// Options of [`encode`] and [`encode_classes`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Whether a text (the name of a column or of a class) that a spreadsheet would take for a formula gets an apostrophe in front:
    /// one that begins with `=`, `+`, `-`, `@`, a tab, a carriage return or a line feed (OWASP, "CSV Injection"). Numbers stay as
    /// they are, and control characters become escapes, which a terminal does not obey. A text with an apostrophe is another name to every other program: that is why it is a choice.
    pub safe_text: bool,
}

impl WriteOptions {
    /// A text as it is written.
    fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if !self.safe_text {
            Cow::Borrowed(text)
        } else if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
            Cow::Owned(format!("'{}", escaped(text)))
        } else {
            escaped(text)
        }
    }
}

/// CSV text of rows of `width` numbers, with a header if one is given. Each number has the fewest digits that read back as the
/// same f64; cells are separated by `delimiter`. See [`crate::base::atomic_file::write`] to write it.
///
/// ```
/// use narrows::data::formats::csv::{WriteOptions, encode};
///
/// let header = ["=1+1".to_owned(), "b".to_owned()];
/// let options = WriteOptions { safe_text: true };
/// assert_eq!(encode(Some(&header), 2, &[-1.0, 0.5], b',', options), b"'=1+1,b\n-1,0.5\n");
/// ```
///
/// # Panics
/// Where `width` is 0, `values` is not a whole number of rows or the header has another length.
pub fn encode(
    header: Option<&[String]>,
    width: usize,
    values: &[f64],
    delimiter: u8,
    options: WriteOptions,
) -> Vec<u8> {
    assert!(width > 0 && values.len().is_multiple_of(width), "whole rows");
    let mut out = Vec::new();
    if let Some(header) = header {
        assert_eq!(header.len(), width, "one name per column");
        let mut writer = WriterBuilder::new().delimiter(delimiter).from_writer(&mut out);
        writer
            .write_record(header.iter().map(|name| options.text(name).into_owned()))
            .expect("memory takes it");
        writer.flush().expect("memory takes it");
    }
    let mut digits = String::new();
    for row in values.chunks_exact(width) {
        for (column, &value) in row.iter().enumerate() {
            if column > 0 {
                out.push(delimiter);
            }
            digits.clear();
            push_number(&mut digits, value);
            out.extend_from_slice(digits.as_bytes());
        }
        out.push(b'\n');
    }
    out
}

/// CSV text of a table, with a header; the cells are separated by `delimiter`. Missing values are empty cells, days since 1970 are
/// dates of the form 2026-11-28, or with a time 2026-11-28T17:05:00.
///
/// # Errors
/// Where rows cannot be read.
pub fn encode_table(frame: &Frame<'_>, delimiter: u8, options: WriteOptions) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut writer = WriterBuilder::new().delimiter(delimiter).from_writer(&mut out);
    let titles = (1..).zip(&frame.columns).map(|(number, column)| match &column.name {
        Some(name) => options.text(name).into_owned(),
        None => format!("column_{number}"),
    });
    writer.write_record(titles).expect("memory takes it");
    let has_times = frame.has_times()?;
    let width = frame.columns.len();
    let mut digits = String::new();
    each_block(&*frame.cells, |_, block| {
        for row in block.chunks_exact(width) {
            for ((column, &has_times), &cell) in frame.columns.iter().zip(&has_times).zip(row) {
                let written = match &column.content {
                    _ if cell.is_nan() => writer.write_field(""),
                    Content::Texts(texts) => {
                        let text = texts.get(cell as usize).map_or("", |text| text);
                        writer.write_field(&*options.text(text))
                    }
                    Content::Days => writer.write_field(date_text(cell, has_times)),
                    Content::Numbers => {
                        digits.clear();
                        push_number(&mut digits, cell);
                        writer.write_field(&digits)
                    }
                };
                written.expect("memory takes it");
            }
            writer.write_record(None::<&[u8]>).expect("memory takes it");
        }
        Ok(())
    })?;
    writer.flush().expect("memory takes it");
    drop(writer);
    Ok(out)
}

/// Appends the fewest digits that read back as the same f64. Digits without an exponent are easier to read while they are few.
fn push_number(out: &mut String, value: f64) {
    let size = value.abs();
    let written = if size == 0.0 || (1e-5..1e16).contains(&size) {
        write!(out, "{value}")
    } else {
        write!(out, "{value:e}")
    };
    written.expect("a string takes it");
}

/// CSV text of the output of a classifier: for each row the most probable class (the first of equals), then the probability of
/// each class. `shares` are the probabilities, rows x classes.
///
/// # Panics
/// Where `shares` is not a whole number of rows of one probability for each name.
pub fn encode_classes(names: &[String], shares: &[f32], options: WriteOptions) -> Vec<u8> {
    assert!(!names.is_empty() && shares.len().is_multiple_of(names.len()), "whole rows");
    let mut out = Vec::new();
    let mut writer = WriterBuilder::new().from_writer(&mut out);
    let header =
        std::iter::once("class".to_owned()).chain(names.iter().map(|name| format!("share of {name}")));
    writer.write_record(header.map(|name| options.text(&name).into_owned())).expect("memory takes it");
    for row in shares.chunks_exact(names.len()) {
        let best = (1..row.len()).fold(0, |best, class| if row[class] > row[best] { class } else { best });
        let cells =
            std::iter::once(options.text(&names[best]).into_owned()).chain(row.iter().map(f32::to_string));
        writer.write_record(cells).expect("memory takes it");
    }
    writer.flush().expect("memory takes it");
    drop(writer);
    out
}
