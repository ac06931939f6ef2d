//! Text tables in the forms that people have: what is read, and what is refused with which words.

use proptest::prelude::*;

use super::*;

fn read_with(bytes: impl Into<Vec<u8>>, options: TextOptions<'_>) -> Result<TextTable> {
    read("file", bytes.into(), options)
}

fn table(text: &str) -> TextTable {
    read_with(text, TextOptions::default()).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

fn values(table: &TextTable) -> Vec<f64> {
    let cells = &table.frame.cells;
    let mut out = vec![0.0; cells.rows() * cells.shape().len()];
    cells.read_f64(0, &mut out).unwrap();
    out
}

/// The numbers of a table of nothing but numbers; a missing one is NaN.
fn numbers(text: &str) -> Vec<f64> {
    let table = table(text);
    let columns = &table.frame.columns;
    assert!(columns.iter().all(|column| column.content == Content::Numbers), "{text:?}: {columns:?}");
    values(&table)
}

/// All cells as text: `-` where missing.
fn cells(table: &TextTable) -> Vec<Vec<String>> {
    let columns = &table.frame.columns;
    values(table)
        .chunks_exact(columns.len())
        .map(|row| {
            let cell = |(value, column): (&f64, &FrameColumn)| match &column.content {
                _ if value.is_nan() => "-".to_owned(),
                Content::Texts(texts) => texts[*value as usize].clone(),
                _ => value.to_string(),
            };
            row.iter().zip(columns).map(cell).collect()
        })
        .collect()
}

fn names(table: &TextTable) -> Vec<&str> {
    table.frame.columns.iter().map(|column| column.name.as_deref().unwrap_or("-")).collect()
}

fn refusal_of(bytes: impl Into<Vec<u8>>, options: TextOptions<'_>) -> String {
    let bytes = bytes.into();
    let message = match read_with(bytes.clone(), options) {
        Ok(table) => panic!("{:?}: {:?}", String::from_utf8_lossy(&bytes), cells(&table)),
        Err(error) => error.to_string(),
    };
    assert!(message.starts_with("file: ") && !message.contains('\n'), "{message}");
    message
}

fn refusal(bytes: impl Into<Vec<u8>>) -> String {
    refusal_of(bytes, TextOptions::default())
}

#[test]
fn reads_delimiters_quotes_marks_and_line_ends() {
    for text in [
        "a,b\n1,2\n3,4\n",
        "a;b\r\n1;2\r\n3;4",
        "a\tb\n1\t2\n3\t4\n",
        "a|b\n1|2\n3|4\n",
        "a b\n1 2\n3 4\n",
        " a   b\n 1   2\n 3   4  \n",
        "1 \t 2\n3 \t 4",
        "1,2\n3,4",
        "\u{feff}a,b\n1,2\n3,4\n",
        "a,b\r1,2\r3,4\r",
        "a,b\r\n1,2\r3,4\n",
        "\n\na,b\n\n1,2\n\n3,4\n\n",
        "a,b\n1,2\n   \n3,4\n",
        "\"a;x\",\"b\ny\"\n\"1\",2\n3,\" 4 \"\n",
        "\"a\",\"b\"\n1,2\n3,4\n",
        "1.0,2e0\n+3,4.\n",
        "\u{feff}\"1\",2\n3,4\n",
        "a, b\n1, 2\n3, 4\n",
        "sep=;\na;b\n1;2\n3;4\n",
        "sep=,\r\n1,2\r\n3,4\r\n",
        "# a comment\na,b\n1,2\n# another, one, with, more\n3,4\n",
        "# a\n#\n1 2\n3 4\n",
        "a,b,\n1,2,\n3,4,\n",
        "a,b\n1,2,\n3,4,\n",
        "a,b,\n1,2\n3,4\n",
        "1,2,\n3,4,\n",
        "1;2;;\n3;4;;\n",
        "\"a\"\"b\",\"c\"\n1,2\n3,4\n",
    ] {
        assert_eq!(numbers(text), [1.0, 2.0, 3.0, 4.0], "{text:?}");
    }
    assert_eq!(names(&table("a;x,b\n1,2\n")), ["a;x", "b"]);
    assert_eq!(names(&table("1,2\n3,4\n")), ["-", "-"]);
    assert_eq!(numbers("x\n1\n2\n"), [1.0, 2.0]);
    assert_eq!(numbers("1\n2\n"), [1.0, 2.0]);
}

#[test]
fn reads_other_encodings() {
    let utf16 = |text: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(bytes).collect()
    };
    let text = "größe,art\n1,ä\n2,😀\n3,ä\n";
    for bytes in [utf16(text, u16::to_le_bytes), utf16(text, u16::to_be_bytes), text.into()] {
        let table = read_with(bytes, TextOptions::default()).unwrap();
        assert_eq!(names(&table), ["größe", "art"]);
        assert_eq!(cells(&table), [["1", "ä"], ["2", "😀"], ["3", "ä"]]);
        assert!(table.notes.is_empty());
    }
    let table = read_with(*b"preis,art\n1,\xe4\n2,\x80\n", TextOptions::default()).unwrap();
    assert_eq!(cells(&table), [["1", "ä"], ["2", "€"]]);
    assert!(
        table.notes[0].contains("line 2") && table.notes[0].contains("Windows-1252"),
        "{:?}",
        table.notes
    );
    assert!(refusal(*b"a,b\n1,2\n3,\xe9\x01\n").contains("line 3: neither UTF-8 nor Windows-1252"));
    assert!(refusal(*b"\xff\xfea\0\n").contains("within a character"));
    assert!(refusal(*b"\xff\xfea\0\n\0\x00\xd8b\0").contains("line 2: not UTF-16"));
    assert!(refusal(*b"a\0,\0b\0\n\0").contains("UTF-16 without a mark"));
    assert!(refusal(vec![0; 100]).contains("NUL"));
}

#[test]
fn columns_are_numbers_or_text() {
    let table = table("id,height,kind,zip\n1,1.5,oak,00501\n2,NA,elm,10001\n3,,oak,\n");
    assert_eq!(names(&table), ["id", "height", "kind", "zip"]);
    assert_eq!(
        cells(&table),
        [["1", "1.5", "oak", "00501"], ["2", "-", "elm", "10001"], ["3", "-", "oak", "-"]]
    );
    assert_eq!(table.frame.columns[2].content, Content::Texts(Arc::new(vec!["oak".into(), "elm".into()])));
    assert_eq!(table.first[1].missing, Some(3));
    assert_eq!(table.first[2].text, Some((2, "oak".into())));
    assert!(table.notes[0].contains("column `zip`: whole numbers with zeros in front"), "{:?}", table.notes);
    // All marks of missing values.
    let table = self::table("x,y\n1,NA\n2,n/a\n3,NaN\n4,null\n5,None\n6,?\n7,.\n8,\n9,\"\"\n");
    assert!(values(&table).chunks(2).all(|row| row[1].is_nan()));
    // Integers that would be rounded.
    let table = self::table("a,b\n9007199254740993,1\n9007199254740994,2\n5,3\n");
    assert_eq!(cells(&table)[0], ["9007199254740993", "1"]);
    assert!(table.notes[0].contains("2^53"));
    assert_eq!(numbers("a\n9007199254740994\n1e22\n"), [9_007_199_254_740_994.0, 1e22]);
    // A column of missing values alone stays.
    let table = self::table("a,b\n1,\n2,\n");
    assert_eq!(
        (names(&table), cells(&table)),
        (vec!["a", "b"], vec![vec!["1".into(), "-".into()], vec!["2".into(), "-".to_string()]])
    );
    // Texts keep their spaces within and lose those around.
    assert_eq!(cells(&self::table("a,b\n1, New  York \n2,x\n"))[0], ["1", "New  York"]);
}

#[test]
fn numbers_in_one_form_are_read_and_said() {
    for (text, expected, note) in [
        (
            "a,b\n\"1,234\",5\n\"2,345\",6\n\"12,000\",7\n",
            vec![1234.0, 5.0, 2345.0, 6.0, 12000.0, 7.0],
            "thousands",
        ),
        ("a,b\n45%,1\n50 %,2\n", vec![45.0, 1.0, 50.0, 2.0], "per cents"),
        ("a,b\n$12,1\n\"$ 1,250.50\",2\n", vec![12.0, 1.0, 1250.5, 2.0], "currency"),
        ("a;b\n1,5;2\n3,25;4\n", vec![1.5, 2.0, 3.25, 4.0], "decimal commas"),
        ("1,5;2,5\n3,25;4,5\n", vec![1.5, 2.5, 3.25, 4.5], "decimal commas"),
        ("a\tb\n1,5\t2,25\n3,125\t4\n", vec![1.5, 2.25, 3.125, 4.0], "decimal commas"),
        ("a|b\n0,125|7\n1|8\n", vec![0.125, 7.0, 1.0, 8.0], "decimal commas"),
        ("a;b\n1.234,5;1\n7,25;2\n", vec![1234.5, 1.0, 7.25, 2.0], "decimal commas"),
        ("a;b\n1,234;1,5\n2,345;2,5\n", vec![1.234, 1.5, 2.345, 2.5], "and another one"),
        ("a;b\n1,234;1.5\n2,345;2.5\n", vec![1234.0, 1.5, 2345.0, 2.5], "thousands"),
        ("a,b\n\"1,7\",1\n\"2,25\",2\n", vec![1.7, 1.0, 2.25, 2.0], "decimal commas"),
        ("a,b\n1'000,1\n999,2\n", vec![1000.0, 1.0, 999.0, 2.0], "thousands"),
        ("a;b\n1 000;1\n2 500;2\n", vec![1000.0, 1.0, 2500.0, 2.0], "thousands"),
        ("a,b\n(12),1\n15,2\n", vec![-12.0, 1.0, 15.0, 2.0], "thousands"),
        ("a;b\n12,50 €;1\n3,00 €;2\n", vec![12.5, 1.0, 3.0, 2.0], "currency"),
    ] {
        assert_eq!(numbers(text), expected, "{text:?}");
        let notes = table(text).notes;
        assert!(notes.iter().any(|found| found.contains(note)), "{text:?}: {notes:?}");
    }
    for (text, message) in [
        (
            "a;b\n1,000;5\n2,345;6\n",
            "line 2, column `a`: the comma of `1,000` may separate thousands or decimals",
        ),
        ("a\tb\n1,000\t5\n2,345\t6\n", "line 2, column `a`: the comma of `1,000`"),
        ("a;b\n1,5;1\n2.5;2\n3;3\n", "column `a`"),
        ("a,b\n45%,1\n0.5,2\n", "line 2, column `a`: `45%` has a unit"),
        ("a,b\n$5,1\n€5,2\n", "line 3, column `a`: `€5` has another unit than `$5`"),
        ("a;b\n1,5;1.234\n2,5;2.345\n", "line 2, column `b`: the point of `1.234`"),
    ] {
        let found = refusal(text);
        assert!(found.contains(message), "{text:?}: {found}");
    }
}

#[test]
fn headers_are_known_by_the_rows_below() {
    let header = |text: &str| {
        let table = table(text);
        table.frame.columns.iter().any(|column| column.name.is_some())
    };
    for text in [
        "a,b\n1,2\n",
        // Names that are numbers.
        "0,1,2,3\n-0.8,0.1,-1.2,0.7\n-0.3,-0.1,0.6,-0.2\n0.4,-0.7,0.2,0.9\n",
        "2019,2020,2021,2022\n-0.8,0.1,-1.2,0.7\n-0.3,-0.1,0.6,-0.2\n0.4,-0.7,0.2,0.9\n",
        "2019,2020,2021\n5,7,9\n1,3,2\n8,2,1\n",
        "400,410,425\n0.1,0.2,0.3\n0.4,0.5,0.2\n0.5,0.1,0.3\n",
        "400.5,401.0,401.5\n0.1,0.2,0.3\n0.4,0.5,0.2\n0.5,0.1,0.3\n",
        "0,1,2,3,4\n5,7,1,3,2\n8,1,2,2,9\n",
        "sample,400,401,402\ns0,-0.8,0.1,-1.2\ns1,-0.3,-0.1,0.6\ns2,0.4,-0.7,0.2\n",
        ",0,1,2\n0,-0.8,0.1,-1.2\n1,-0.3,-0.1,0.6\n2,0.4,-0.7,0.2\n",
        ",0,1\nx,5,7\ny,1,3\n",
        "place,2019,2020\n1,2,3\n",
        "2,x,y\nb,1,2\n",
        "\"1\",\"2\"\n3,4\n5,6\n",
        // Texts over texts, and none that comes again.
        "name,kind\nx,oak\ny,elm\n",
        "first,last,age\nJo,Doe,3\nAnn,Lee,4\n",
        "a,b,c,d,e,f\n,NA,N/A,NONE,NULL,.\n",
        "date,price\n2020-01-01,5\n2020-01-02,6\n",
    ] {
        assert!(header(text), "{text:?}");
    }
    for text in [
        "1,2,3\n4,5,6\n7,8,9\n",
        "0,1,2\n3,4,5\n6,7,8\n9,10,11\n",
        "0,1,2,3,4\n5,6,7,8,9\n10,11,12,13,14\n",
        "5.1,3.5,1.4,0.2,setosa\n4.9,3.0,1.4,0.2,setosa\n",
        "setosa,5.1,3.5\nsetosa,4.9,3.0\nvirginica,6.0,3.1\n",
        "Alice,34,2\nBob,29,1\nCarol,41,0\n",
        "2020-01-01,5.5\n2020-01-02,6\n",
        "1,b\n2,a\n",
        "NA,2\n1,3\n4,5\n",
        "0,0,1\n0.1,0.2,0.9\n0.2,0.4,0.8\n0.3,0.5,0.7\n",
        "1.5,2.5,3.5\n1.1,2.2,3.1\n1.4,2.6,3.3\n0.2,9,5\n",
        "8,3\n5,1\n9,7\n",
        "45%,1\n50%,2\n",
    ] {
        assert!(!header(text), "{text:?}");
    }
    for text in [
        "0,1\n0.1,0.99\n0.2,0.95\n0.3,0.9\n",
        "1,2,3\n4,1,7\n3,9,2\n2,2,1\n",
        ",2,3\n7,2,3\n4,5,6\n",
        "0\n0.5\n0.25\n0.75\n",
    ] {
        let message = refusal(text);
        assert!(
            message.contains("line 1: the numbers")
                && message.contains("`header` = true or `header` = false"),
            "{message}"
        );
        for is_header in [false, true] {
            let options = TextOptions { header: Some(is_header), ..TextOptions::default() };
            let table = read_with(text, options).unwrap();
            assert_eq!(table.frame.columns.last().unwrap().name.is_some(), is_header, "{text:?}");
            assert_eq!(table.frame.cells.rows(), text.lines().count() - usize::from(is_header));
        }
    }
    // A name that the caller knows is one.
    let named = TextOptions { texts: &["kind"], ..TextOptions::default() };
    assert_eq!(names(&read_with("kind,5\noak,3\nkind,4\n", named).unwrap()), ["kind", "5"]);
    assert_eq!(names(&table(",x\none,1\ntwo,2\n")), ["", "x"]);
    assert_eq!(names(&table("a,b,,c\n1,2,,3\n")), ["a", "b", "-", "c"]);
    // R leaves the name of the row names out; NumPy writes a header as a comment.
    assert_eq!(names(&table("\"x\" \"y\"\n\"1\" 2 3\n\"2\" 4 5\n")), ["", "x", "y"]);
    assert_eq!(names(&table("x\ty\none\t2\t3\ntwo\t4\t5\n")), ["", "x", "y"]);
    let table = table("# x y\n1.5 2.5\n3.5 4.5\n");
    assert_eq!(names(&table), ["x", "y"]);
    assert!(table.notes[0].contains("comment"));
}

#[test]
fn blank_lines_of_one_column_are_missing_values() {
    for text in ["x\n1\n\n3\n\n5\n", "x\r\n1\r\n\r\n3\r\n\r\n5\r\n\r\n", "\nx\n1\n\n3\n  \n5"] {
        let table = table(text);
        assert_eq!(cells(&table), [["1"], ["-"], ["3"], ["-"], ["5"]], "{text:?}");
        assert!(table.notes[0].contains("2 blank lines"), "{:?}", table.notes);
    }
    assert_eq!(cells(&table("x\n\n2\n")), [["-"], ["2"]]);
    assert_eq!(cells(&table("\n\n1\n\n2\n\n\n")), [["1"], ["-"], ["2"]]);
    assert_eq!(table("x\n1\n\n\n3\n").first[0].missing, Some(3));
}

#[test]
fn knows_scikit_learns_layout_by_its_counts() {
    let parts = table("3,2,cat,dog\n1,2,0\n3,4,1\n5,6,0\n");
    assert_eq!(parts.classes, Some(2));
    assert_eq!(cells(&parts), [["1", "2", "cat"], ["3", "4", "dog"], ["5", "6", "cat"]]);
    assert!(refusal("4,2,cat,dog\n1,2,0\n3,4,1\n5,6,0\n").contains("announces 4 rows, 3 follow"));
    assert!(refusal("3,2,cat,dog\n1,2,0\n3,4,2\n5,6,0\n").contains("row 2: the class `2`"));
    // Rows whose first could be read as counts and a name of a class, but whose last column has names.
    assert_eq!(cells(&table("1,2,x\n2,1,y\n3,4,x\n"))[0], ["1", "2", "x"]);
    // Rows of integers whose first could be read as counts, but whose last column is no class.
    assert_eq!(numbers("2,2,7\n1,2,7\n3,4,7\n"), [2.0, 2.0, 7.0, 1.0, 2.0, 7.0, 3.0, 4.0, 7.0]);
}

#[test]
fn says_where_and_what() {
    let mostly = format!("a,b\n{}x,2\n", "1,2\n".repeat(9));
    let inch = format!("a,b\n{}5%?,2\n", "5%,2\n".repeat(20));
    for (text, message) in [
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
        ("# nothing\n# else\n", "the file is empty"),
        ("a,b\n", "a header, but no rows"),
        ("a,b\n1,2\n3\n", "line 3: 1 field, the header has 2"),
        ("1,2\n\n\n3,4,5\n", "line 4: 3 fields, the first row has 2"),
        ("a,b\n1,2,3\n", "line 2: 3 fields, the header in line 1 has 2"),
        ("a,b\n1,-inf\n", "line 2, column `b`: `-inf` is not a finite number"),
        ("a,b\n1,1e999\n", "`1e999` is not a finite number"),
        ("1,2\n3,inf\n", "line 2, column 2: `inf`"),
        (&mostly, "line 11, column `a`: `x` is not a number, as most"),
        (&mostly, "set the kind of `a` to category with `kind`"),
        (&inch, "line 22, column `a`: `5%?` is not a number"),
        ("1,2x,3\n4,5,6\n", "line 1: `2x` is not a number, but most of the line is"),
        ("a,b\n1,2\n\"3,4\n5,6\n", "line 3: a quote opens that does not close"),
        ("a,b,kind\n1,2,x\n3,4,\"y\n5,6,x\n", "line 3: a quote opens that does not close"),
        ("a,b,kind\n1,2,\"x\n3,4,\"y\"\n5,6,x\n", "line 2: a quote opens that ends within line 3"),
        ("a,b,a\n1,2,3\n", "line 1: more than one column is called `a`"),
        ("a,b\n1,2\n#3,4\n5,6\n", "line 3: begins with `#`"),
        ("a,b\n1,2\na,b\n3,4\n", "line 3: the header stands here once more"),
        ("<!DOCTYPE html><p>", "HTML"),
        ("[1, 2]", "JSON"),
    ] {
        let found = refusal(text);
        assert!(found.contains(message), "{text:?}: {found}");
    }
    assert!(refusal(format!("a\n{}\n1\n", "1\n".repeat(20) + &"x".repeat(1000))).len() < 250);
    assert!(refusal(",".repeat(COLUMN_LIMIT + 1)).contains("columns; at most"));
    // What the caller takes for text is not refused.
    let texts = TextOptions { texts: &["a"], ..TextOptions::default() };
    assert_eq!(cells(&read_with(&*mostly, texts).unwrap())[9], ["x", "2"]);
    let texts = TextOptions { texts: &["1"], ..TextOptions::default() };
    assert_eq!(cells(&read_with(&*mostly, texts).unwrap())[9], ["x", "2"]);
}

#[test]
fn labels_are_one_column() {
    let labels = |text: &str, rows| {
        read_labels("file", text.into(), rows).map(|labels| (labels.names, labels.classes))
    };
    assert_eq!(labels("b\na\nb\n\n", 3).unwrap(), (vec!["a".into(), "b".into()], vec![1, 0, 1]));
    assert_eq!(labels("kind\n10\n9\n", 2).unwrap(), (vec!["9".into(), "10".into()], vec![1, 0]));
    for (text, message) in [
        ("kind\nx\n\nx\ny\n", "line 3: a blank line, where a label is missing"),
        ("\nx\ny\n", "line 1: a blank line"),
        ("x\nNA\n", "line 2: the label is missing"),
        ("x,1\ny,2\n", "line 1: 2 fields; labels are one column"),
    ] {
        let found = labels(text, 3).unwrap_err().to_string();
        assert!(found.contains(message), "{text:?}: {found}");
    }
}

#[test]
fn writes_what_reads_back() {
    let header = ["plain".to_string(), "with, comma".into(), "with \"quote\"".into()];
    let values = [1.0, -0.1, 1.0 / 3.0, 1e300, 5e-324, 0.0];
    let bytes = encode(Some(&header), 3, &values, b',', WriteOptions::default());
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert_eq!(text.lines().nth(1), Some("1,-0.1,0.3333333333333333"));
    assert_eq!(text.lines().nth(2), Some("1e300,5e-324,0"));
    let table = table(&text);
    assert_eq!(names(&table), header);
    assert_eq!(self::values(&table), values);
}

/// The files of csv-spectrum, with what they contain as JSON. They lie beside the workspace; the test passes where they are absent.
#[test]
fn csv_spectrum_is_read_as_its_makers_say() {
    let folder =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/loaders/csv-spectrum");
    let Ok(files) = std::fs::read_dir(folder.join("csvs")) else {
        eprintln!("skipped: {} is absent", folder.display());
        return;
    };
    for file in files.map(|file| file.unwrap().path()) {
        let json = folder.join("json").join(file.file_name().unwrap()).with_extension("json");
        let json = std::fs::read(json).unwrap();
        // One row stands there without an array around it in some files.
        let rows: Vec<serde_json::Map<String, serde_json::Value>> =
            serde_json::from_slice(&json).unwrap_or_else(|_| vec![serde_json::from_slice(&json).unwrap()]);
        let table = read_with(std::fs::read(&file).unwrap(), TextOptions::default())
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let expected: Vec<Vec<String>> = rows
            .iter()
            .map(|row| {
                let text = |value: &serde_json::Value| value.as_str().unwrap().trim().replace("\r\n", "\n");
                row.values().map(text).map(|text| if text.is_empty() { "-".into() } else { text }).collect()
            })
            .collect();
        assert_eq!(
            names(&table),
            rows[0].keys().map(String::as_str).collect::<Vec<_>>(),
            "{}",
            file.display()
        );
        // Some copies of the corpus have lost the carriage returns of their tables. The two files of this name have different telephone numbers.
        let skip = usize::from(file.ends_with("location_coordinates.csv"));
        let found: Vec<Vec<String>> = cells(&table)
            .iter()
            .map(|row| row.iter().map(|cell| cell.replace("\r\n", "\n")).collect())
            .collect();
        assert_eq!(found.len(), expected.len(), "{}", file.display());
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found[skip..], expected[skip..], "{}", file.display());
        }
    }
}

proptest! {
    #[test]
    fn every_finite_number_reads_back(bits in proptest::collection::vec(any::<u64>(), 1..40)) {
        let numbers: Vec<f64> = bits.iter().map(|&bits| f64::from_bits(bits)).filter(|v| v.is_finite()).collect();
        prop_assume!(!numbers.is_empty());
        let bytes = encode(None, 1, &numbers, b',', WriteOptions::default());
        let options = TextOptions { header: Some(false), ..TextOptions::default() };
        let found = values(&read_with(bytes, options).unwrap());
        prop_assert!(found.iter().zip(&numbers).all(|(a, b)| a.to_bits() == b.to_bits()) && found.len() == numbers.len());
    }

    /// What the csv crate writes of any texts, in any of the delimiters, is read as it was.
    #[test]
    fn texts_read_back(
        rows in proptest::collection::vec(("[a-z ,;|\t\"\n\r#é]{0,6}x", -1e3..1e3f64), 1..20),
        delimiter in proptest::sample::select(&b",;\t|"[..]),
    ) {
        let mut writer = ::csv::WriterBuilder::new().delimiter(delimiter).quote_style(::csv::QuoteStyle::NonNumeric).from_writer(Vec::new());
        writer.write_record(["word", "number"]).unwrap();
        for (text, number) in &rows {
            writer.write_record([text.clone(), number.to_string()]).unwrap();
        }
        let bytes = writer.into_inner().unwrap();
        let found = cells(&read_with(bytes, TextOptions { texts: &["word"], ..TextOptions::default() }).unwrap());
        let expected: Vec<Vec<String>> = rows.iter().map(|(text, number)| vec![text.trim().to_owned(), number.to_string()]).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn no_text_panics(
        text in "[0-9a,;|\t\"\n\r .%$#eNin\u{feff}é-]{0,60}",
        label in "[0-9a]{0,2}",
        header in proptest::option::of(any::<bool>()),
    ) {
        if let Err(error) = read_with(text.clone(), TextOptions { header, texts: &[&label] }) {
            prop_assert!(error.to_string().starts_with("file: "), "{}", error);
        }
        let _ = read_labels("file", text.into(), 3);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = read_with(bytes, TextOptions::default());
    }
}
