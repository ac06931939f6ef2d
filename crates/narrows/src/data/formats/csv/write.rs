//! Writing of CSV.

use std::borrow::Cow;

use csv::WriterBuilder;

use crate::base::text::escaped;

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
/// same f64. See [`crate::base::atomic_file::write`] to write it.
///
/// ```
/// use narrows::data::formats::csv::{WriteOptions, encode};
///
/// let header = ["=1+1".to_owned(), "b".to_owned()];
/// let options = WriteOptions { safe_text: true };
/// assert_eq!(encode(Some(&header), 2, &[-1.0, 0.5], options), b"'=1+1,b\n-1,0.5\n");
/// ```
///
/// # Panics
/// Where `width` is 0, `values` is not a whole number of rows or the header has another length.
pub fn encode(header: Option<&[String]>, width: usize, values: &[f64], options: WriteOptions) -> Vec<u8> {
    assert!(width > 0 && values.len().is_multiple_of(width), "whole rows");
    let mut out = Vec::new();
    if let Some(header) = header {
        assert_eq!(header.len(), width, "one name per column");
        let mut writer = WriterBuilder::new().from_writer(&mut out);
        writer
            .write_record(header.iter().map(|name| options.text(name).into_owned()))
            .expect("memory takes it");
        writer.flush().expect("memory takes it");
    }
    for row in values.chunks_exact(width) {
        for (column, &value) in row.iter().enumerate() {
            if column > 0 {
                out.push(b',');
            }
            let size = value.abs();
            // Both forms read back the same; digits without an exponent are easier to read while they are few.
            let digits = if size == 0.0 || (1e-5..1e16).contains(&size) {
                format!("{value}")
            } else {
                format!("{value:e}")
            };
            out.extend_from_slice(digits.as_bytes());
        }
        out.push(b'\n');
    }
    out
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
