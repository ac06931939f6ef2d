//! Tables of numbers as text: CSV, with commas, semicolons or tabs, which may be packed with gzip.
//!
//! Properties that are derived from the content:
//! - The delimiter is that of `,`, `;` and tab which occurs most often in the first line, outside quotes.
//! - The first line is a header, unless all of its cells (the label's aside) are numbers or missing values, and at least one is
//!   a number. A line that could be a header as well as a row with a malformed number is refused.
//! - A first column whose name is empty, `rownames` or `row.names` contains row names, as R and pandas write them, and is not
//!   data.
//! - The layout of scikit-learn's data sets, whose first line is `rows,columns,class names`, is recognised by its counts: the
//!   last column contains classes, numbered from 0.
//!
//! Numbers are read as f64. A cell that is not a number, a missing value, an infinity or a line of another length is an
//! error that names the line of the file (from 1) and the column.

mod cells;
mod columns;
mod header;
mod labels;
mod text;
mod write;

pub(in crate::data) use labels::read_labels;
pub use write::{WriteOptions, encode, encode_classes, encode_table};

use super::Parts;
use crate::data::{Labels, Shape, Table, Values};
use crate::error::Result;
use cells::read_cells;
use columns::Columns;
use header::Header;
use text::Text;

/// More columns than this are a file that was read with the wrong delimiter, or a table that has to be transposed.
const COLUMN_LIMIT: usize = 1_000_000;

/// The memory that a table takes beside its text of `length` bytes, estimated from the beginning of the text.
pub(in crate::data) fn table_bytes(start: &[u8], length: usize) -> usize {
    let fields = start.iter().filter(|byte| matches!(byte, b',' | b';' | b'\t' | b'\n' | b'\r')).count();
    let all = length as u128 * fields as u128 / start.len().max(1) as u128;
    usize::try_from(all).unwrap_or(usize::MAX).saturating_mul(size_of::<f64>())
}

/// Reads a table. `label` is the name or the number (from 1) of the column of labels.
pub(in crate::data) fn read(place: &str, bytes: Vec<u8>, label: Option<&str>) -> Result<Parts> {
    let text = Text::new(place, bytes)?;
    let header = Header::read(&text, label)?;
    let columns = Columns::new(&text, &header, label)?;
    let (values, classes) = read_cells(&text, &header, &columns)?;
    let labels = match header.announced_classes {
        Some(names) => Some(labels::of_announced(&text, &classes, names)?),
        None if columns.label.is_some() => {
            Some(Labels::from_names(&classes).map_err(|error| error.at(place))?)
        }
        None => None,
    };
    let table =
        Table::new(Values::F64(values), Shape::flat(columns.data.len())).map_err(|error| error.at(place))?;
    let names = header.names;
    let columns = names.map(|names| columns.data.iter().map(|&column| names[column].clone()).collect());
    Ok(Parts { table, labels, columns })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data::Source;

    fn parts(text: &str) -> Parts {
        read("file", text.into(), None).unwrap_or_else(|error| panic!("{text:?}: {error}"))
    }

    fn numbers(text: &str) -> Vec<f64> {
        match parts(text).table.values() {
            Values::F64(values) => values.clone(),
            _ => unreachable!("text is read as f64"),
        }
    }

    fn refusal_of(bytes: impl Into<Vec<u8>>, label: Option<&str>) -> String {
        let message = read("file", bytes.into(), label).err().expect("a refusal").to_string();
        assert!(message.starts_with("file: "), "{message}");
        message
    }

    fn refusal(bytes: impl Into<Vec<u8>>) -> String {
        refusal_of(bytes, None)
    }

    #[test]
    fn reads_delimiters_quotes_marks_and_line_ends() {
        for text in [
            "a,b\n1,2\n3,4\n",
            "a;b\r\n1;2\r\n3;4",
            "a\tb\n1\t2\n3\t4\n",
            "1,2\n3,4",
            "\u{feff}a,b\n1,2\n3,4\n",
            "a,b\r1,2\r3,4\r",
            "\n\na,b\n\n1,2\n\n3,4\n\n",
            "\"a;x\",\"b\ny\"\n\"1\",2\n3,\" 4 \"\n",
            "1.0,2e0\n+3,4.\n",
            "\u{feff}\"1\",2\n3,4\n",
        ] {
            assert_eq!(numbers(text), [1.0, 2.0, 3.0, 4.0], "{text:?}");
        }
        assert_eq!(parts("a;x,b\n1,2\n").columns.unwrap(), ["a;x", "b"]);
        assert_eq!(parts("1,2\n3,4\n").columns, None);
        assert_eq!(numbers("x\n1\n2\n"), [1.0, 2.0]);
        // Years are good names.
        assert_eq!(parts("place,2019,2020\n1,2,3\n").columns.unwrap(), ["place", "2019", "2020"]);
    }

    #[test]
    fn splits_off_labels() {
        let read = |text: &str, label: &str| {
            let parts = read("file", text.into(), Some(label)).unwrap_or_else(|error| panic!("{error}"));
            let labels = parts.labels.unwrap();
            (parts.columns, labels.names, labels.classes)
        };
        let strings = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        let expected = (Some(strings(&["x", "y"])), strings(&["a", "b"]), vec![1, 0, 1]);
        assert_eq!(read("x,kind,y\n1,b,2\n3,a,4\n5,b,6\n", "kind"), expected);
        assert_eq!(read("x,kind,y\n1,b,2\n3,a,4\n5,b,6\n", "2"), expected);
        // No header; without it the first row would be taken for one.
        assert_eq!(read("1,b\n2,a\n", "2"), (None, strings(&["a", "b"]), vec![1, 0]));
        // Numbers sort as numbers.
        assert_eq!(read("1,10\n2,9\n3,-1\n", "2"), (None, strings(&["-1", "9", "10"]), vec![2, 1, 0]));
        // A name comes before a number.
        assert_eq!(read("2,x,y\nb,1,2\n", "2").1, ["b"]);
        assert!(refusal_of("x,y\n1,2\n", Some("z")).contains("the columns are `x`, `y`"));
        assert!(refusal_of("1,2\n3,4\n", Some("z")).contains("no header"));
        assert!(refusal_of("1,2\n3,4\n", Some("3")).contains("the columns are 1 to 2"));
        assert!(refusal_of("1,2\n3,4\n", Some("0")).contains("the columns are 1 to 2"));
        assert!(refusal_of("x,x\n1,2\n", Some("x")).contains("more than one"));
        assert!(refusal_of("x\n1\n", Some("x")).contains("no column beside"));
        assert!(refusal_of("x,y\n1,\n", Some("y")).contains("line 2, column `y`: the label is missing"));
    }

    #[test]
    fn names_of_rows_are_no_data() {
        for header in ["rownames", "\"\"", "row.names"] {
            let parts = parts(&format!("{header},x\none,1\ntwo,2\n"));
            assert_eq!(parts.columns.unwrap(), ["x"]);
            assert_eq!(*parts.table.values(), Values::F64(vec![1.0, 2.0]));
        }
    }

    #[test]
    fn knows_scikit_learns_layout_by_its_counts() {
        let parts = parts("3,2,cat,dog\n1,2,0\n3,4,1\n5,6,0\n");
        assert_eq!(
            parts.labels.unwrap(),
            Labels { classes: vec![0, 1, 0], names: vec!["cat".into(), "dog".into()] }
        );
        assert_eq!(parts.table.shape(), Shape::flat(2));
        assert!(refusal("4,2,cat,dog\n1,2,0\n3,4,1\n5,6,0\n").contains("announces 4 rows, 3 follow"));
        assert!(refusal("3,2,cat,dog\n1,2,0\n3,4,2\n5,6,0\n").contains("row 2: the class `2`"));
        // Rows whose first could be read as counts and a name of a class, but whose last column has names.
        assert_eq!(
            read("file", "1,2,x\n2,1,y\n3,4,x\n".into(), Some("3")).unwrap().labels.unwrap().names,
            ["x", "y"]
        );
        // Rows of integers whose first could be read as counts, but whose last column is no class.
        assert_eq!(numbers("2,2,7\n1,2,7\n3,4,7\n"), [2.0, 2.0, 7.0, 1.0, 2.0, 7.0, 3.0, 4.0, 7.0]);
    }

    #[test]
    fn says_where_and_what() {
        for (text, message) in [
            ("", "the file is empty"),
            ("\n\n", "the file is empty"),
            ("a,b\n", "a header, but no rows"),
            ("a,b\n1,2\n3\n", "line 3: 1 field, the header has 2"),
            ("1,2\n\n\n3,4,5\n", "line 4: 3 fields, the first row has 2"),
            ("a,b\n1,\n", "line 2, column `b`: the value is missing"),
            ("1,NA\n3,4\n", "line 1, column 2: `NA` is a missing value"),
            ("a,b\n1,2\n\n3,NaN\n", "line 4, column `b`: `NaN` is a missing value"),
            ("a,b\n1,-inf\n", "line 2, column `b`: `-inf` is not a finite number"),
            ("a,b\n1,1e999\n", "`1e999` is not a finite number"),
            ("a,b\n1,2\n3,x\n", "line 3, column `b`: `x` is not a number"),
            ("a,b\n1,x\n3,y\n", "make it the label with `label_column` = b, or remove it"),
            ("a,b c\n1,x\n3,y\n", "`label_column` = 'b c'"),
            ("a,it's\n1,x\n3,y\n", "`label_column` = 2"),
            ("a,b\n1,\"say \"\"x\"\"\"\n3,y\n", "`say \"x\"` is not a number"),
            ("1,x\n3,y\n", "`label_column` = 2"),
            ("1,2x,3\n4,5,6\n", "line 1: `2x` is not a number, but most of the line is"),
            ("a;b\n1;2\n1;2,5\n", "write decimals with a point"),
            ("a\n1\n1 2\n", "not by spaces"),
            ("a,b\n\"1\n2\",3\n4,5", "line 2, column `a`: `1\\n2` is not a number"),
            ("a,b\n1,2\n\"3,4\n5,6\n", "line 3: a quote opens that does not close"),
            ("a,\n1,\n3,\n", "line 2, column 2: all values are missing"),
            ("1,2,\n3,4,\n", "line 1, column 3: all values are missing"),
        ] {
            let found = refusal(text);
            assert!(found.contains(message), "{text:?}: {found}");
        }
        assert!(refusal(*b"a,b\n1,2\n3,\xe9\n").contains("line 3: not UTF-8"));
        assert!(refusal(*b"\xff\xfea\0").contains("UTF-16"));
        assert!(refusal(format!("a\n{}\n", "x".repeat(1000))).len() < 200);
        assert!(refusal(",".repeat(COLUMN_LIMIT + 1)).contains("columns; at most"));
    }

    #[test]
    fn writes_what_reads_back() {
        let header = ["plain".to_string(), "with, comma".into(), "with \"quote\"".into()];
        let values = [1.0, -0.1, 1.0 / 3.0, 1e300, 5e-324, 0.0];
        let bytes = encode(Some(&header), 3, &values, WriteOptions::default());
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert_eq!(text.lines().nth(1), Some("1,-0.1,0.3333333333333333"));
        assert_eq!(text.lines().nth(2), Some("1e300,5e-324,0"));
        let parts = read("file", bytes, None).unwrap();
        assert_eq!(parts.columns.unwrap(), header);
        assert_eq!(*parts.table.values(), Values::F64(values.to_vec()));
    }

    proptest! {
        #[test]
        fn every_finite_number_reads_back(bits in proptest::collection::vec(any::<u64>(), 1..40)) {
            let values: Vec<f64> = bits.iter().map(|&bits| f64::from_bits(bits)).filter(|v| v.is_finite()).collect();
            prop_assume!(!values.is_empty());
            let parts = read("file", encode(None, 1, &values, WriteOptions::default()), None).unwrap();
            match parts.table.values() {
                Values::F64(read) => prop_assert!(read.iter().zip(&values).all(|(a, b)| a.to_bits() == b.to_bits()) && read.len() == values.len()),
                _ => unreachable!("text is read as f64"),
            }
        }

        #[test]
        fn no_text_panics(text in "[0-9a,;\t\"\n\r .eNin\u{feff}é-]{0,60}", label in proptest::option::of("[0-9a]{0,2}")) {
            if let Err(error) = read("file", text.clone().into(), label.as_deref()) {
                prop_assert!(error.to_string().starts_with("file: "));
            }
            let _ = read_labels("file", text.into(), 3);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = read("file", bytes, Some("1"));
        }
    }
}
