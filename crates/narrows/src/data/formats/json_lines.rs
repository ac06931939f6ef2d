//! JSON lines: one object per line, which is a row; or one array of such objects. Fields are columns, in the order of their first
//! appearance; null and fields that a row leaves out are missing values.
//!
//! A column is numbers if all of its values are, else text: strings as they are, numbers and booleans as they are written. The rules
//! of text tables hold for numbers that are something else as text, and for a few texts among numbers.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::cell::{Cell, shortened};
use super::tally::{File, Second, Tally};
use super::{FirstLines, TextOptions, TextTable};
use crate::base::memory;
use crate::data::{Frame, FrameColumn, Shape, Table, Values};
use crate::error::{Error, Result};

/// More fields than this are no table.
const FIELD_LIMIT: usize = 1_000_000;

/// Reads a table. Errors name the line and the field.
pub(in crate::data) fn read(place: &str, bytes: Vec<u8>, options: TextOptions<'_>) -> Result<TextTable> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..good].iter().filter(|&&byte| byte == b'\n').count();
        Error::data(format!("{place}: line {line}: not UTF-8, as JSON is")).hint("save it as UTF-8")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let at = |error: Error| error.at(place);

    // The first pass finds the columns; the second one is for those of text.
    let mut first = First { place, ..First::default() };
    each_object(text, &mut first).map_err(at)?;
    let First { names, mut values, tallies, rows, .. } = first;
    let width = names.len();
    if rows == 0 || width == 0 {
        return Err(Error::data(format!("{place}: there are no rows")));
    }
    // Rows that were read before a field appeared are shorter.
    memory::require(rows.saturating_mul(width).saturating_mul(size_of::<f64>()), 1, "its table")
        .map_err(at)?;
    let mut table = vec![f64::NAN; rows * width];
    let mut tallies = tallies;
    for (column, (found, tally)) in values.iter_mut().zip(&mut tallies).enumerate() {
        for &(row, value) in found.iter() {
            table[row * width + column] = value;
        }
        // A field that a row leaves out is missing.
        let absent = rows - found.len();
        tally.missing += absent;
        *found = Vec::new();
    }
    let file = File {
        rows,
        has_commas_between: true,
        name: &|column| names.get(column).map(String::as_str),
        is_text: &|column| {
            let number = column + 1;
            options.texts.iter().any(|text| names[column] == *text || text.parse() == Ok(number))
        },
    };
    let mut notes = Vec::new();
    let mut second = Second::new(&file, &tallies, &table, &mut notes).map_err(at)?;
    if !second.again.is_empty() {
        let mut is_again = vec![false; width];
        second.again.iter().for_each(|&column| is_again[column] = true);
        let columns = names.iter().map(String::as_str).zip(0..).collect();
        let mut again = Again { second: &mut second, columns, is_again, table: &mut table, width };
        each_object(text, &mut again).map_err(at)?;
    }
    let contents = second.contents().map_err(at)?;
    let first = tallies.iter().map(FirstLines::of).collect();
    let columns = names
        .iter()
        .zip(contents)
        .map(|(name, content)| FrameColumn { name: Some(name.clone()), content })
        .collect();
    let table = Table::with_missing(Values::F64(table), Shape::flat(width)).map_err(at)?;
    let frame = Frame::new(columns, Arc::new(table)).map_err(at)?;
    Ok(TextTable { frame, classes: None, notes, first })
}

/// What is done with the fields of the objects.
trait Fields {
    /// A field of the object that is row `row`, from 0, and begins on line `line`.
    fn field(&mut self, row: usize, line: usize, name: &str, value: &RawValue) -> Result<()>;
    /// The end of an object.
    fn end(&mut self, row: usize, line: usize) -> Result<()>;
}

/// Calls `fields` for each object of a text.
fn each_object(text: &str, fields: &mut dyn Fields) -> Result<()> {
    let start = text.trim_start();
    let mut state = State { fields, row: 0, line: 1, failed: None };
    if start.starts_with('[') {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let read = deserializer.deserialize_seq(Objects { state: &mut state, text });
        let read = read.and_then(|()| deserializer.end());
        return state.result(read, 0);
    }
    for (line, object) in text.split('\n').enumerate() {
        if object.trim().is_empty() {
            continue;
        }
        state.line = line + 1;
        let mut deserializer = serde_json::Deserializer::from_str(object);
        let read = ObjectOf(&mut state).deserialize(&mut deserializer).and_then(|()| deserializer.end());
        state.result(read, line)?;
    }
    Ok(())
}

struct State<'a> {
    fields: &'a mut dyn Fields,
    row: usize,
    line: usize,
    /// An error of ours, which the parser cannot carry.
    failed: Option<Error>,
}

impl State<'_> {
    /// The error of a parser that began after `lines` lines, or ours.
    fn result(&mut self, read: serde_json::Result<()>, lines: usize) -> Result<()> {
        let Err(error) = read else { return Ok(()) };
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        let text = error.to_string();
        // The parser's own place is that within its line.
        let what = text.rsplit_once(" at line ").map_or(&*text, |(what, _)| what);
        let line = lines + error.line().max(1);
        let hint = if error.is_eof() {
            "it may be cut short; a file of JSON lines has one whole object on each line"
        } else {
            "a file of JSON lines has one object on each line; values that are no numbers are null"
        };
        Err(Error::data(format!("line {line}, column {}: {what}", error.column())).hint(hint))
    }
}

/// The elements of an array.
struct Objects<'a, 'b> {
    state: &'a mut State<'b>,
    text: &'a str,
}

impl<'de> Visitor<'de> for Objects<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<(), A::Error> {
        // Lines are counted from one object to the next: its text lies within the whole.
        let start = self.text.as_ptr() as usize;
        let (mut at, mut line) = (0, 1);
        while let Some(object) = seq.next_element::<&RawValue>()? {
            let begin = object.get().as_ptr() as usize - start;
            line += self.text.as_bytes()[at..begin].iter().filter(|&&byte| byte == b'\n').count();
            at = begin;
            self.state.line = line;
            let mut deserializer = serde_json::Deserializer::from_str(object.get());
            ObjectOf(self.state).deserialize(&mut deserializer).map_err(|error| {
                if self.state.failed.is_none() {
                    self.state.failed = Some(
                        Error::data(format!("line {line}: an element of the array is no object"))
                            .hint("each element of the array is a row: an object of its fields"),
                    );
                }
                A::Error::custom(error)
            })?;
        }
        Ok(())
    }
}

/// One object.
struct ObjectOf<'a, 'b>(&'a mut State<'b>);

impl<'de> DeserializeSeed<'de> for ObjectOf<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ObjectOf<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<(), A::Error> {
        let state = self.0;
        while let Some(Name(name)) = map.next_key::<Name<'de>>()? {
            let value: &RawValue = map.next_value()?;
            state.fields.field(state.row, state.line, &name, value).map_err(|error| {
                state.failed = Some(error);
                A::Error::custom("refused")
            })?;
        }
        state.fields.end(state.row, state.line).map_err(|error| {
            state.failed = Some(error);
            A::Error::custom("refused")
        })?;
        state.row += 1;
        Ok(())
    }
}

/// The name of a field; borrowed where it has no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Cow<'de, str>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a field")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> std::result::Result<Self::Value, E> {
                Ok(text.into())
            }
            fn visit_str<E>(self, text: &str) -> std::result::Result<Self::Value, E> {
                Ok(text.to_owned().into())
            }
        }
        deserializer.deserialize_str(Text).map(Name)
    }
}

/// A value of a field.
enum Value<'a> {
    Null,
    Number(&'a str),
    Text(Cow<'a, str>),
}

impl<'a> Value<'a> {
    fn of(line: usize, name: &str, value: &'a RawValue) -> Result<Self> {
        let raw = value.get().trim();
        let error = |what: &str| Error::data(format!("line {line}, field `{}`: {what}", shortened(name)));
        Ok(match raw.as_bytes().first() {
            Some(b'"') => match serde_json::from_str::<Name<'a>>(raw) {
                Ok(Name(text)) => Self::Text(text),
                Err(_) => {
                    return Err(error("a string with half a character of UTF-16").hint("correct its escapes"));
                }
            },
            Some(b'{' | b'[') => {
                let kind = if raw.starts_with('{') { "an object" } else { "an array" };
                return Err(
                    error(&format!("the value is {kind}")).hint("give each of its values a field of its own")
                );
            }
            Some(b'n') | None => Self::Null,
            Some(b't' | b'f') => Self::Text(raw.into()),
            Some(_) => Self::Number(raw),
        })
    }
}

/// The first pass.
#[derive(Default)]
struct First<'a> {
    place: &'a str,
    names: Vec<String>,
    columns: HashMap<String, usize>,
    /// For each column, the rows that have the field, and the values.
    values: Vec<Vec<(usize, f64)>>,
    tallies: Vec<Tally>,
    rows: usize,
    cells: usize,
    /// The column after that of the last field: rows mostly have the same fields in one order.
    next: usize,
}

impl Fields for First<'_> {
    fn field(&mut self, row: usize, line: usize, name: &str, value: &RawValue) -> Result<()> {
        let value = Value::of(line, name, value)?;
        let column = match self.names.get(self.next) {
            Some(expected) if expected == name => self.next,
            _ => match self.columns.get(name) {
                Some(&column) => column,
                None => {
                    if self.names.len() >= FIELD_LIMIT {
                        return Err(Error::data(format!("line {line}: more than {FIELD_LIMIT} fields")));
                    }
                    self.names.push(name.to_owned());
                    self.columns.insert(name.to_owned(), self.names.len() - 1);
                    self.values.push(Vec::new());
                    self.tallies.push(Tally::default());
                    self.names.len() - 1
                }
            },
        };
        self.next = column + 1;
        if self.values[column].last().is_some_and(|&(last, _)| last == row) {
            return Err(Error::data(format!("line {line}: the object has two fields `{}`", shortened(name)))
                .hint("give each field a name of its own"));
        }
        self.cells += 1;
        if self.cells.is_multiple_of(1 << 20) {
            // Vectors that grow have their old and their new memory for a moment.
            memory::require((1 << 20) * 48, 1, format_args!("{}: its table", self.place))?;
        }
        let tally = &mut self.tallies[column];
        let value = match value {
            Value::Null => tally.note(line, Cell::Missing, "", false),
            Value::Number(text) => match Cell::of(text) {
                Cell::Number(value) => value,
                other => tally.note(line, other, text, false),
            },
            Value::Text(text) => {
                let cell = if Cell::of(&text) == Cell::Missing { Cell::Missing } else { Cell::Text };
                tally.note(line, cell, &text, true)
            }
        };
        self.values[column].push((row, value));
        Ok(())
    }

    fn end(&mut self, row: usize, _: usize) -> Result<()> {
        (self.rows, self.next) = (row + 1, 0);
        Ok(())
    }
}

/// The second pass.
struct Again<'a, 'b> {
    second: &'a mut Second<'b>,
    columns: HashMap<&'a str, usize>,
    is_again: Vec<bool>,
    table: &'a mut [f64],
    width: usize,
}

impl Fields for Again<'_, '_> {
    fn field(&mut self, row: usize, line: usize, name: &str, value: &RawValue) -> Result<()> {
        let Some(&column) = self.columns.get(name).filter(|&&column| self.is_again[column]) else {
            return Ok(());
        };
        let text = match Value::of(line, name, value)? {
            Value::Null => return Ok(()),
            Value::Number(text) => text.into(),
            Value::Text(text) => text,
        };
        let cell = &mut self.table[row * self.width + column];
        *cell = self.second.value(line, column, text, *cell)?;
        Ok(())
    }

    fn end(&mut self, _: usize, _: usize) -> Result<()> {
        Ok(())
    }
}

/// Whether a text begins as a table of this kind does: with an object, or an array of objects.
pub(in crate::data) fn is_json(start: &[u8]) -> bool {
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    let after = |rest: &[u8]| rest.trim_ascii_start().first().copied();
    match start {
        [b'{', rest @ ..] => matches!(after(rest), Some(b'"' | b'}') | None),
        [b'[', rest @ ..] => after(rest) == Some(b'{'),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data::Content;

    fn table(text: &str) -> TextTable {
        read("file", text.into(), TextOptions::default()).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn values(table: &TextTable) -> Vec<f64> {
        let cells = &table.frame.cells;
        let mut out = vec![0.0; cells.rows() * cells.shape().len()];
        cells.read_f64(0, &mut out).unwrap();
        out
    }

    #[test]
    fn objects_are_rows() {
        let lines = "{\"a\": 1, \"kind\": \"oak\", \"ok\": true}\n\n{\"kind\": \"el\\u006d\", \"a\": -2.5e0}\r\n{\"b\": 7, \"a\": null, \"ok\": false, \"kind\": \"oak\"}";
        let array = format!("\u{feff}[{}]", lines.replace("\n\n", ",\n\n").replace("\r\n", ",\r\n"));
        for text in [lines, &array] {
            let table = table(text);
            let columns = &table.frame.columns;
            let names: Vec<_> = columns.iter().map(|column| column.name.as_deref().unwrap()).collect();
            assert_eq!(names, ["a", "kind", "ok", "b"]);
            let texts = |texts: &[&str]| {
                Content::Texts(Arc::new(texts.iter().map(|text| text.to_string()).collect()))
            };
            assert_eq!(columns[0].content, Content::Numbers);
            assert_eq!(columns[1].content, texts(&["oak", "elm"]));
            assert_eq!(columns[2].content, texts(&["true", "false"]));
            let nan = f64::NAN;
            let expected = [1.0, 0.0, 0.0, nan, -2.5, 1.0, nan, nan, nan, 0.0, 1.0, 7.0];
            let found = values(&table);
            assert!(
                found.iter().zip(&expected).all(|(a, b)| a == b || (a.is_nan() && b.is_nan())),
                "{found:?}"
            );
            assert_eq!(table.first[0].missing, Some(4));
        }
        // Strings stay text, and so do integers that would be rounded.
        let table = table("{\"zip\": \"10001\", \"id\": 9007199254740993}");
        assert!(table.frame.columns.iter().all(|column| matches!(column.content, Content::Texts(_))));
    }

    #[test]
    fn says_where_and_what() {
        let mostly = "{\"x\": 1}\n".repeat(9) + "{\"x\": \"one\"}";
        for (text, message) in [
            ("", "there are no rows"),
            ("{}", "there are no rows"),
            ("[]", "there are no rows"),
            ("{\"a\": 1}\n{\"a\": {\"b\": 1}}", "line 2, field `a`: the value is an object"),
            ("[{\"a\": 1},\n{\"a\": [1]}]", "line 2, field `a`: the value is an array"),
            ("{\"a\": 1, \"a\": 2}", "line 1: the object has two fields `a`"),
            ("{\"a\": 1}\n{\"a\": NaN}", "line 2, column 7"),
            ("{\"a\": 1}\n{\"a\": ", "line 2, column 6: EOF"),
            ("[{\"a\": 1},\n{\"a\": ", "line 2"),
            ("{\"a\": 1}\n[2]", "line 2"),
            ("[{\"a\": 1},\n2]", "line 2: an element of the array is no object"),
            ("{\"a\": 1} {\"a\": 2}", "line 1"),
            ("{\"a\": 1e999}", "field"),
            (&mostly, "line 10, column `x`: `one` is not a number"),
        ] {
            let message_of =
                read("file", text.into(), TextOptions::default()).err().map(|error| error.to_string());
            let found = message_of.unwrap_or_else(|| panic!("{text} was read"));
            assert!(
                found.starts_with("file: ") && (found.contains(message) || message == "field"),
                "{text}: {found}"
            );
        }
        assert!(is_json(b"{\"a\"") && is_json(b"[\n {\"a\"") && !is_json(b"{a}, b") && !is_json(b"[1, 2]"));
    }

    proptest! {
        #[test]
        fn rows_read_back(rows in proptest::collection::vec((any::<f64>(), "\\PC{0,4}x"), 1..20)) {
            let rows: Vec<_> = rows.into_iter().filter(|(number, _)| number.is_finite()).collect();
            prop_assume!(!rows.is_empty());
            let lines: Vec<String> =
                rows.iter().map(|(number, text)| serde_json::json!({"n": number, "t": text}).to_string()).collect();
            let options = TextOptions { texts: &["t", "n"], ..TextOptions::default() };
            let table = read("file", lines.join("\n").into(), options).unwrap();
            let found = values(&table);
            let Content::Texts(texts) = &table.frame.columns[1].content else { panic!("no texts") };
            for (row, (number, text)) in found.chunks(2).zip(&rows) {
                prop_assert_eq!(&texts[row[1] as usize], text.trim());
                if table.frame.columns[0].content == Content::Numbers {
                    prop_assert_eq!(row[0].to_bits(), number.to_bits());
                }
            }
        }

        #[test]
        fn no_text_panics(text in "[\\[\\]{}\",:0-9a\\\\ntrue\n .e-]{0,60}") {
            let _ = read("file", text.into(), TextOptions::default());
        }
    }
}
