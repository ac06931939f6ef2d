//! Tables of columns of all kinds: the kinds that are found, rows encoded and decoded, columns matched by name, the model file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use narrows::data::formats::csv::{WriteOptions, encode_table};
use narrows::data::{
    Content, Dataset, Format, Frame, FrameColumn, Kind, OpenOptions, TableOptions, open, read_bytes,
};
use narrows::{Model, Recipe, Result};

use crate::common::{evaluate, fit, pca, recipe, values};

fn read(text: &str) -> Dataset<'static> {
    read_with(text, TableOptions::default()).unwrap_or_else(|error| panic!("{text:.200}: {error}"))
}

fn read_with(text: &str, table: TableOptions) -> Result<Dataset<'static>> {
    read_bytes("file", text.as_bytes(), Format::Csv, &OpenOptions { table, ..OpenOptions::default() })
}

fn kinds(dataset: &Dataset<'_>) -> Vec<Kind> {
    dataset.schema().unwrap().columns.iter().map(|column| column.kind.kind()).collect()
}

/// A file of the folder of shared data; None, saying so, where it is absent.
fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
    if !path.exists() {
        println!("skipped: no ../shared/data/{name}");
    }
    path.exists().then_some(path)
}

#[test]
fn the_kinds_of_a_table_of_customers_are_found() {
    use Kind::{Category, Date, Identifier, Number, YesNo};
    let customers = narrows_datasets::customers();
    let expected =
        [Identifier, Date, Number, Category, Category, Number, Number, Number, YesNo, Number, Number];
    assert_eq!(kinds(&customers), expected);
    // segment has 3 levels; region 4 and the rare one, which alone needs no other name.
    assert_eq!(customers.rows.shape().len(), 8 + 3 + 5);
    let missing = values(&customers).iter().filter(|value| value.is_nan()).count();
    let empty = narrows_datasets::customers_csv()
        .lines()
        .skip(1)
        .flat_map(|line| line.split(','))
        .filter(|cell| cell.is_empty())
        .count();
    assert!(missing == empty && missing > 300, "{missing} {empty}");
}

#[test]
fn kinds_follow_from_all_rows() {
    let rows = |row: &dyn Fn(usize) -> String| (0..40).map(|at| row(at) + "\n").collect::<String>();
    let kind_of = |name: &str, cell: &dyn Fn(usize) -> String| {
        let text =
            format!("x,{name},y\n{}", rows(&|at| format!("{},{},{}", at % 7, cell(at), (at * 5) % 11)));
        kinds(&read(&text))[1]
    };
    type Cell<'a> = &'a dyn Fn(usize) -> String;
    let cases: [(&str, Cell<'_>, Kind); 18] = [
        ("a", &|at| format!("{}.5", at % 3), Kind::Number),
        ("a", &|at| (at % 2).to_string(), Kind::YesNo),
        ("a", &|at| ["Yes", "No"][at % 2].into(), Kind::YesNo),
        ("a", &|at| ["", "TRUE", "FALSE"][at % 3].into(), Kind::YesNo),
        ("a", &|at| ["red", "green", "blue"][at % 3].into(), Kind::Category),
        // The last row decides.
        ("a", &|at| if at == 39 { "red".into() } else { ["b", "c"][at % 2].into() }, Kind::Category),
        ("a", &|at| format!("2024-01-{:02}", at % 28 + 1), Kind::Date),
        ("a", &|at| format!("{}/{}/2024", at % 12 + 1, at % 28 + 1), Kind::Date),
        ("a", &|at| format!("{:02}:{:02}", at % 24, at), Kind::Date),
        ("a", &|at| format!("K{at}"), Kind::Identifier),
        // Ascending whole numbers: in steps of one, or by name.
        ("a", &|at| (at + 100).to_string(), Kind::Identifier),
        ("a", &|at| (at * at).to_string(), Kind::Number),
        ("customer_id", &|at| ((at * 7919) % 4001).to_string(), Kind::Identifier),
        ("orderId", &|at| ((at * 7919) % 4001).to_string(), Kind::Identifier),
        ("index", &|at| (39 - at).to_string(), Kind::Identifier),
        ("class", &|at| ["p", "q"][at % 2].into(), Kind::Label),
        ("a", &|at| format!("note {} of many words, no two alike {at}", at * 3), Kind::Text),
        ("a", &|_| "same".into(), Kind::Constant),
    ];
    for (at, (name, cell, kind)) in cases.into_iter().enumerate() {
        let quoted = |row: usize| format!("\"{}\"", cell(row));
        assert_eq!(kind_of(name, &quoted), kind, "case {at}: {name}");
    }
    assert_eq!(kind_of("a", &|_| String::new()), Kind::Constant, "nothing at all");
}

#[test]
fn choices_overrule_what_is_found() {
    let text = "id,zip,age,note\n7,10,31,a\n9,20,45,b\n8,10,28,c\n";
    let without_note = |options: &mut TableOptions| options.drop.push("note".into());
    let with = |change: &dyn Fn(&mut TableOptions)| {
        let mut options = TableOptions::default();
        change(&mut options);
        if options.kinds.is_empty() && options.columns.is_none() {
            without_note(&mut options);
        }
        read_with(text, options).map(|dataset| (kinds(&dataset), dataset.columns.unwrap_or_default()))
    };
    let names = |found: Result<(Vec<Kind>, Vec<String>)>| found.unwrap().1;
    let zip = |kind| move |options: &mut TableOptions| options.kinds = vec![("zip".into(), kind)];
    assert_eq!(names(with(&zip(Kind::Category))), ["zip=10", "zip=20", "age", "note=a", "note=b", "note=c"]);
    assert_eq!(names(with(&zip(Kind::YesNo))), ["zip", "age", "note=a", "note=b", "note=c"]);
    assert_eq!(
        names(with(&|options| options.columns = Some(vec!["3".into(), "zip".into()]))),
        ["zip", "age"]
    );
    assert_eq!(names(with(&|options| options.drop = vec!["zip".into(), "note".into()])), ["age"]);
    assert_eq!(names(with(&|options| options.identifiers = vec!["age".into()])), ["zip"]);
    for (change, message) in [
        (
            &(|options: &mut TableOptions| options.drop = vec!["zap".into()]) as &dyn Fn(&mut TableOptions),
            "`zap`",
        ),
        (&|options| options.drop = vec!["5".into()], "the columns are 1 to 4"),
        (
            &|options| options.kinds = vec![("note".into(), Kind::Number)],
            "column `note`: `a` is not a number",
        ),
        (&|options| options.kinds = vec![("note".into(), Kind::Date)], "not dates of one form"),
        (&|options| options.kinds = vec![("age".into(), Kind::YesNo)], "3 different numbers"),
        (
            &|options| {
                options.columns = Some(vec!["note".into()]);
                options.kinds = vec![("note".into(), Kind::Text)];
            },
            "no column to learn from",
        ),
    ] {
        let error = with(change).unwrap_err().to_string();
        assert!(error.starts_with("file: ") && error.contains(message), "{error}");
    }
}

/// A PCA of as many components as the encoded row has numbers loses nothing: the table comes back as text.
#[test]
fn a_lossless_model_gives_back_the_texts_of_the_file() {
    let text = "name,joined,kind,member,height,opened,state\n\
        Ann,2021-03-05,oak,yes,1.5,07:30,open\n\
        Bob,2019-11-30,elm,no,2.25,12:00,open\n\
        Cid,2020-02-29,oak,no,0.125,23:59,open\n\
        Dee,1999-12-31,\"ash, white\",yes,-3,00:00,open\n\
        Eve,2024-01-01,elm,yes,10,18:45,open\n";
    let table = read(text);
    assert_eq!(kinds(&table)[0], Kind::Identifier);
    // Five rows have a rank of four about their mean.
    let fit = fit(&Recipe::pca(4).with("scale", "standard").unwrap(), &table, &table);
    let model = Model::from_bytes(&fit.model.to_bytes().unwrap()).unwrap();
    assert_eq!(model, fit.model);
    let rows = model.reconstruct(&table).unwrap();
    let frame = model.schema().unwrap().decode(&rows, table.table.as_ref()).unwrap();
    let written = String::from_utf8(encode_table(&frame, b',', WriteOptions::default()).unwrap()).unwrap();
    for (line, expected) in written.lines().zip(text.lines()) {
        let (cells, expected) = (line.rsplitn(4, ','), expected.rsplitn(4, ','));
        for (cell, expected) in cells.zip(expected) {
            match (cell.parse::<f64>(), expected.parse::<f64>()) {
                (Ok(cell), Ok(expected)) => assert!((cell - expected).abs() < 1e-6, "{line}"),
                _ => assert_eq!(cell, expected, "{line}"),
            }
        }
    }
    assert_eq!(written.lines().count(), text.lines().count());
}

#[test]
fn columns_are_matched_by_name() {
    let train = "height,kind,age\n1.5,oak,30\n2.5,elm,20\n0.5,oak,12\n1.25,elm,70\n2.125,oak,64\n1.0,elm,5\n";
    let table = read(train);
    let model = fit(&Recipe::pca(2).with("scale", "standard").unwrap(), &table, &table).model;
    let codes = model.encode(&table).unwrap();
    let other = "Unnamed: 0,age,kind,height\n0,30,oak,1.5\n1,20,elm,2.5\n2,12,oak,0.5\n3,70,elm,1.25\n4,64,oak,2.125\n5,5,elm,1.0\n";
    assert_eq!(model.encode(read(other)).unwrap(), codes);
    let matched = model.match_rows(&read(other)).unwrap();
    assert!(matched.notes[0].contains("matched by name"), "{:?}", matched.notes);

    let unknown = read("height,kind,age\n1.5,ash,30\n2.5,elm,20\n");
    let matched = model.match_rows(&unknown).unwrap();
    assert!(
        matched.notes[0].contains("1 of 2 rows have a level that is none of the model's, and count as none"),
        "{:?}",
        matched.notes
    );
    assert_eq!(values(&matched)[..4], [1.5, 0.0, 0.0, 30.0]);

    for (text, message) in [
        ("height,age\n1.5,30\n2.5,20\n", "the column `kind` is missing"),
        ("height,kind,age,weight\n1.5,oak,30,2\n2.5,elm,20,1\n", "does not know the column `weight`"),
        ("height,kind,Age\n1.5,oak,30\n2.5,elm,20\n", "not known: `Age`"),
        ("height,kind,age\nhigh,oak,30\nlow,elm,20\n", "column `height`: `high` is not a number"),
    ] {
        let error = model.encode(read(text)).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    // Rows of an array are matched by number: as long as encoded rows.
    assert_eq!(
        model
            .encode(
                narrows::Table::new(narrows::data::Values::F64(values(&table)), narrows::Shape::flat(4))
                    .unwrap()
            )
            .unwrap(),
        codes
    );
}

/// Factor analysis of mixed data: the eigenvalues of `prince` 0.17 (FAMD, as FactoMineR's: variances divided by n) for the 333
/// complete penguins.
#[test]
fn a_pca_of_mixed_columns_is_their_factor_analysis() {
    let Some(path) = shared("tables/r-palmerpenguins/penguins.csv") else { return };
    let penguins = open(path, &OpenOptions::default()).unwrap();
    let width = penguins.rows.shape().len();
    let all = values(&penguins);
    let complete: Vec<usize> = (0..penguins.rows.rows())
        .filter(|row| all[row * width..][..width].iter().all(|value| !value.is_nan()))
        .collect();
    let complete = penguins.select(complete);
    assert_eq!((complete.rows.rows(), width), (333, 5 + 3 + 3 + 2));
    let fit = fit(&recipe("pca", &["code_size=5"]), &complete, &complete);
    let expected = [4.20652304, 1.99918513, 1.40858833, 1.00639349, 0.69880572];
    for (found, expected) in pca(&fit.model).explained_variance.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-8, "{found} {expected}");
    }
    let total = pca(&fit.model).total_variance;
    assert!((total - 10.0).abs() < 1e-9, "5 numbers and 2 + 2 + 1 of the levels: {total}");
}

#[test]
fn a_description_of_columns_that_makes_no_sense_is_refused() {
    let table = read("a,kind\n1,x\n2,y\n3,x\n5,y\n4,x\n");
    let model = fit(&Recipe::pca(1), &table, &table).model;
    let bytes = model.to_bytes().unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains(r#"\"version\":6"#) && text.contains(r#"\"levels\":[\"x\",\"y\"]"#), "{text}");
    let array = Dataset::new("array", table.rows.clone());
    let plain = fit(&Recipe::pca(1), &array, &array).model.to_bytes().unwrap();
    assert!(!String::from_utf8_lossy(&plain).contains(r#"\"columns\""#), "an array has no columns");
    assert!((evaluate(&model, &table).explained_variance - 1.0).abs() < 1.0);
}

/// Cases from practice whose right values were computed by another road (NumPy, scikit-learn).
#[test]
fn constant_columns_keep_their_scale_and_outputs_out_of_reach_are_named() {
    let rows: String = (0..22).map(|row| format!("{},{},0.1\n", (row * 7) % 11, (row * 5) % 13)).collect();
    let table = read(&format!("a,b,flow\n{rows}"));
    let model = fit(&Recipe::pca(2).with("scale", "standard").unwrap(), &table, &table).model;
    assert_eq!(
        (model.scaling().offsets[2], model.scaling().scales[2]),
        (0.1, 1.0),
        "whatever the sum rounds to"
    );
    let moved = read("a,b,flow\n1,2,0.6\n3,7,0.1\n");
    let error = evaluate(&model, &moved).squared_error_per_row;
    assert!((error - 0.25 / 2.0).abs() < 1e-9, "the two components rebuild a and b: {error}");

    let iris = narrows_datasets::iris();
    for (scale, share) in [("scale=none", "in 0..1, and 9"), ("scale=standard", "in 0..1, and 6")] {
        let verdict =
            fit(&recipe("single", &["loss=mse", "train.epochs=2", "code_size=2", scale]), &iris, &iris)
                .verdict()
                .to_owned();
        assert!(verdict.contains(share), "{verdict}");
    }
    let tiny: Vec<f64> = (0..60).map(|at| f64::from(at * at % 17) * 1e-170).collect();
    let tiny = narrows::Table::new(narrows::data::Values::F64(tiny), narrows::Shape::flat(3)).unwrap();
    let error = narrows::fit(&Recipe::pca(2), &tiny, Default::default()).err().unwrap().to_string();
    assert!(error.contains("e-169") && error.contains("standard"), "{error}");
}

#[test]
fn a_verdict_of_few_held_out_rows_says_so() {
    let iris = narrows_datasets::iris();
    let fit_with =
        |rows: usize| fit(&Recipe::pca(2), &iris, &iris.select((0..rows).collect())).verdict().to_owned();
    assert!(fit_with(1).contains("judged by 1 held-out row alone"), "{}", fit_with(1));
    assert!(fit_with(9).contains("judged by 9 held-out rows alone"), "{}", fit_with(9));
    assert!(!fit_with(10).contains("judged by"), "{}", fit_with(10));
}

/// Two columns without a name among named ones: each is matched with the one of its number, not both with the first.
#[test]
fn columns_without_a_name_are_matched_by_their_number() {
    let column = |name: Option<&str>| FrameColumn { name: name.map(String::from), content: Content::Numbers };
    let columns = vec![column(Some("a")), column(None), column(None)];
    let cells: Vec<f64> = (0..30).map(|at| f64::from(at * at % 13)).collect();
    let table =
        narrows::Table::new(narrows::data::Values::F64(cells.clone()), narrows::Shape::flat(3)).unwrap();
    let frame = Frame::new(columns, Arc::new(table)).unwrap();
    let dataset = Dataset::from_frame("table", frame.clone(), &OpenOptions::default()).unwrap();
    let model = fit(&Recipe::pca(3), &dataset, &dataset).model;
    // Another schema object of the same columns, so that they are matched.
    let again =
        Dataset::from_frame("again", frame.select((0..5).collect()), &OpenOptions::default()).unwrap();
    assert_eq!(values(&model.match_rows(&again).unwrap()), cells[..15]);
}
