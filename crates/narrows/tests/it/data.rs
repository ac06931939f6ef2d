//! Opens real files, made elsewhere, and checks what is known of them from their makers.
//! They lie in `../shared/data` beside the workspace; tests that need them say so and pass where they are absent.

#![allow(clippy::disallowed_methods)]

use std::path::{Path, PathBuf};

use narrows::data::{self, Dataset, Element, OpenOptions, Shape, Statistics};

fn shared(path: &str) -> Option<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(path);
    if path.exists() {
        return Some(path.to_str().unwrap().to_owned());
    }
    eprintln!("skipped: {} is absent", path.display());
    None
}

fn open(name: &str) -> Dataset<'static> {
    open_with(name, &OpenOptions::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// A built-in data set or a file.
fn open_with(name: &str, options: &OpenOptions) -> narrows::Result<Dataset<'static>> {
    narrows_datasets::open_with(name, options).unwrap_or_else(|| data::open(name, options))
}

fn with_label(label: &str) -> OpenOptions {
    OpenOptions { label_column: Some(label.into()), ..OpenOptions::default() }
}

fn open_label(name: &str, label: &str) -> Dataset<'static> {
    data::open(name, &with_label(label)).unwrap_or_else(|error| panic!("{error}"))
}

fn refusal(name: &str, options: &OpenOptions) -> String {
    match open_with(name, options) {
        Ok(_) => panic!("{name} was read"),
        Err(error) => {
            let message = error.to_string();
            assert!(message.starts_with(name), "{message}");
            message
        }
    }
}

fn values(dataset: &Dataset<'_>) -> Vec<f64> {
    let rows = dataset.rows.rows();
    let mut out = vec![0.0; rows * dataset.rows.shape().len()];
    dataset.rows.read_f64(0, &mut out).unwrap();
    out
}

fn column_means(dataset: &Dataset<'_>) -> Vec<f64> {
    let width = dataset.rows.shape().len();
    let mut means = vec![0.0; width];
    for row in values(dataset).chunks_exact(width) {
        for (mean, value) in means.iter_mut().zip(row) {
            *mean += value;
        }
    }
    means.iter().map(|sum| sum / dataset.rows.rows() as f64).collect()
}

fn histogram(dataset: &Dataset<'_>) -> Vec<usize> {
    let labels = dataset.labels.as_ref().expect("labels");
    let mut counts = vec![0; labels.names.len()];
    for &class in &labels.classes {
        counts[class as usize] += 1;
    }
    counts
}

fn near(values: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(values.len(), expected.len());
    for (value, expected) in values.iter().zip(expected) {
        assert!((value - expected).abs() <= tolerance, "{value} is not {expected}");
    }
}

#[test]
fn idx_files_bring_their_labels() {
    if let Some(path) = shared("mnist/t10k-images-idx3-ubyte.gz") {
        let (file, inside) = (open(&path), open("mnist:test"));
        assert!(values(&file) == values(&inside));
        assert_eq!(file.labels, inside.labels);
        assert_eq!(file.name, "t10k-images-idx3-ubyte.gz");
    }
    // Fashion-MNIST: 6,000 and 1,000 of each class; the first training image is an ankle boot (9).
    if let Some(path) = shared("fashion-mnist/train-images-idx3-ubyte.gz") {
        let train = open(&path);
        assert_eq!(train.rows.rows(), 60_000);
        assert_eq!(histogram(&train), [6000; 10]);
        assert_eq!(train.labels.as_ref().unwrap().classes[0], 9);
        let mut row = vec![0.0; 784];
        let mut sum = 0.0;
        for index in 0..60_000 {
            train.rows.read_f64(index, &mut row).unwrap();
            sum += row.iter().sum::<f64>();
        }
        near(&[sum / 60_000.0 / 784.0 / 255.0], &[0.2860], 5e-5);
    }
    if let Some(path) = shared("fashion-mnist/t10k-images-idx3-ubyte.gz") {
        assert_eq!(histogram(&open(&path)), [1000; 10]);
    }
    if let Some(path) = shared("mnist/t10k-labels-idx1-ubyte.gz") {
        assert!(refusal(&path, &OpenOptions::default()).contains("labels, not rows"));
        // Ten thousand labels do not fit 150 rows.
        let options = OpenOptions { labels_file: Some(path.into()), ..OpenOptions::default() };
        let message = open_with("iris", &options).err().unwrap().to_string();
        assert!(message.contains("10000 labels for 150 rows"), "{message}");
    }
}

#[test]
fn scikit_learns_tables() {
    if let Some(path) = shared("tables/iris.csv") {
        assert_eq!(values(&open(&path)), values(&open("iris")));
    }
    if let Some(path) = shared("tables/wine_data.csv") {
        let wine = open(&path);
        assert_eq!((wine.rows.rows(), wine.rows.shape()), (178, Shape::flat(13)));
        assert_eq!(histogram(&wine), [59, 71, 48]);
        // The description of the data gives the mean of alcohol as 13.0, of proline as 746.
        let means = column_means(&wine);
        near(&[means[0]], &[13.0], 0.05);
        near(&[means[12]], &[746.0], 1.0);
        assert!(refusal(&path, &with_label("2")).contains("`label_column`"));
        assert_eq!(values(&open_label(&path, "14")), values(&wine));
    }
    if let Some(path) = shared("tables/breast_cancer.csv") {
        let cancer = open(&path);
        assert_eq!((cancer.rows.rows(), cancer.rows.shape()), (569, Shape::flat(30)));
        assert_eq!(histogram(&cancer), [212, 357]);
        assert_eq!(cancer.labels.unwrap().names, ["malignant", "benign"]);
    }
    if let Some(path) = shared("tables/digits.csv.gz") {
        let all = open(&path);
        assert_eq!((all.rows.rows(), all.rows.shape()), (1797, Shape::flat(65)));
        let digits =
            data::open(&path, &OpenOptions { shape: Some(Shape::image(8, 8, 1)), ..with_label("65") })
                .unwrap();
        assert_eq!(digits.rows.shape(), Shape::image(8, 8, 1));
        assert_eq!(histogram(&digits), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
        assert!(values(&digits).iter().all(|&value| (0.0..=16.0).contains(&value)));
    }
}

#[test]
fn other_tables() {
    if let Some(path) = shared("tables/winequality-red.csv") {
        let wine = open_label(&path, "quality");
        assert_eq!((wine.rows.rows(), wine.rows.shape()), (1599, Shape::flat(11)));
        assert_eq!(wine.labels.as_ref().unwrap().names, ["3", "4", "5", "6", "7", "8"]);
        assert_eq!(histogram(&wine), [10, 53, 681, 638, 199, 18]);
        assert_eq!(wine.columns.unwrap()[0], "fixed acidity");
    }
    if let Some(path) = shared("tables/r-datasets/USArrests.csv") {
        let arrests = open(&path);
        assert_eq!(arrests.rows.rows(), 50);
        // As R prints them.
        near(&column_means(&arrests), &[7.788, 170.76, 65.54, 21.232], 1e-9);
        assert_eq!(arrests.columns.unwrap(), ["Murder", "Assault", "UrbanPop", "Rape"]);
        assert_eq!(open_label(&path, "rownames").labels.unwrap().names[49], "Wyoming");
    }
    if let Some(path) = shared("tables/r-datasets/iris.csv") {
        let iris = open(&path);
        assert_eq!(
            iris.columns.as_ref().unwrap()[4..],
            ["Species=setosa", "Species=versicolor", "Species=virginica"]
        );
        near(&column_means(&iris)[4..], &[1.0 / 3.0; 3], 1e-12);
        near(&column_means(&open_label(&path, "Species")), &column_means(&open("iris")), 1e-2);
    }
    if let Some(path) = shared("tables/r-datasets/airquality.csv") {
        let found = Statistics::measure(&*open(&path).rows).unwrap();
        // As R's summary(airquality) has them; Month and Day are complete.
        assert_eq!(found.missing, [37, 7, 0, 0, 0, 0]);
        assert!((found.mean[0] - 42.129).abs() < 1e-3, "{}", found.mean[0]);
    }
}

/// Files that people had trouble with in other programs, and what is in them.
#[test]
fn tables_from_practice_are_read_or_refused_by_line() {
    let case = |name: &str| shared(&format!("../cases/files/{name}"));
    for (name, label, rows, width) in [
        ("b1_names_0_1_2.csv", None, 8, 4),
        ("b2_years.csv", None, 8, 4),
        ("b5_samples_by_wavelength.csv", Some("1"), 8, 4),
        ("b7_index_and_numeric_names.csv", None, 8, 4),
        ("k1_thousands.csv", None, 3, 2),
        ("k2_percent.csv", None, 2, 2),
        ("k3_trailing_all.csv", None, 2, 2),
        ("k5_trailing_nohead.csv", None, 2, 2),
        ("k7_decimal_commas_nohead.csv", None, 2, 2),
        ("k11_savetxt.txt", None, 4, 3),
        ("n1_row_names.csv", None, 8, 3),
    ] {
        let Some(path) = case(name) else { continue };
        let options = OpenOptions { label_column: label.map(str::to_owned), ..OpenOptions::default() };
        let found = data::open(&path, &options).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((found.rows.rows(), found.rows.shape()), (rows, Shape::flat(width)), "{name}");
    }
    for (name, expected) in [
        ("k1_thousands.csv", vec![1234.0, 5.0, 2345.0, 6.0, 12000.0, 7.0]),
        ("k2_percent.csv", vec![45.0, 1.0, 50.0, 2.0]),
        ("k5_trailing_nohead.csv", vec![1.0, 2.0, 3.0, 4.0]),
        ("k7_decimal_commas_nohead.csv", vec![1.5, 2.5, 3.25, 4.5]),
    ] {
        if let Some(path) = case(name) {
            assert_eq!(values(&open(&path)), expected, "{name}");
        }
    }
    for (name, message) in [
        ("e1_unclosed_last.csv", "line 3: a quote opens"),
        ("h1_one_column_blank.csv", "line 3, column `x`: the value is missing"),
    ] {
        if let Some(path) = case(name) {
            let found = refusal(&path, &OpenOptions::default());
            assert!(found.contains(message), "{found}");
        }
    }
    if let (Some(rows), Some(labels)) = (case("h2_data.csv"), case("h2_labels_blank.csv")) {
        let options = OpenOptions { labels_file: Some(labels.into()), ..OpenOptions::default() };
        let message = data::open(rows, &options).err().unwrap().to_string();
        assert!(message.contains("h2_labels_blank.csv: line 3: a blank line"), "{message}");
    }
}

#[test]
fn the_caller_says_whether_there_is_a_header() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.csv");
    std::fs::write(&path, "0,1\n0.1,0.99\n0.2,0.95\n0.3,0.9\n").unwrap();
    let name = path.to_str().unwrap();
    assert!(refusal(name, &OpenOptions::default()).contains("`header`"));
    for (header, rows) in [(true, 3), (false, 4)] {
        let options = OpenOptions { header: Some(header), ..OpenOptions::default() };
        assert_eq!(data::open(name, &options).unwrap().rows.rows(), rows);
    }
}

#[test]
fn json_lines_are_rows() {
    let folder = tempfile::tempdir().unwrap();
    // Known by content, whatever the name says.
    for name in ["rows.jsonl", "rows.json", "rows.csv", "rows"] {
        let path = folder.path().join(name);
        std::fs::write(&path, "{\"a\": 1, \"kind\": \"x\"}\n{\"a\": 2, \"kind\": \"y\"}\n").unwrap();
        let found = open_label(path.to_str().unwrap(), "kind");
        assert_eq!((values(&found), found.columns.unwrap()), (vec![1.0, 2.0], vec!["a".to_owned()]));
        assert_eq!(found.labels.unwrap().names, ["x", "y"]);
    }
}

#[test]
fn numpy_arrays() {
    if let Some(path) = shared("tables/NCI60data.npy") {
        let nci = open(&path);
        assert_eq!(
            (nci.rows.rows(), nci.rows.shape(), nci.rows.element()),
            (64, Shape::flat(6830), Element::F64)
        );
        // The first cells as the book "An introduction to statistical learning" has them.
        near(&values(&nci)[..3], &[0.3, 1.18, 0.55], 1e-6);
    }
    if let Some(path) = shared("images/olivetti/faces-400x64x64-u8.npy") {
        let faces = open(&path);
        assert_eq!((faces.rows.rows(), faces.rows.shape()), (400, Shape::image(64, 64, 1)));
        assert_eq!(faces.rows.element(), Element::U8);
    }
    for name in ["py2-np0-objarr.npy", "py2-objarr.npy", "py3-objarr.npy"] {
        if let Some(path) = shared(&format!("loaders/npy/{name}")) {
            let message = refusal(&path, &OpenOptions::default());
            assert!(message.contains("pickled objects are never read"), "{message}");
        }
    }
    for name in ["python3.npy", "win64python2.npy"] {
        if let Some(path) = shared(&format!("loaders/npy/{name}")) {
            let message = refusal(&path, &OpenOptions::default());
            assert!(message.contains("one dimension (2 numbers)"), "{message}");
        }
    }
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, files);
        } else {
            files.push(path);
        }
    }
    files.sort();
}

/// Files that break other loaders: each is rows, or an error that names it. `NARROWS_SHOW=1` prints them.
#[test]
fn no_awkward_file_panics() {
    let Some(folder) = shared("") else { return };
    let mut files = Vec::new();
    for part in ["loaders", "adbench", "tables", "images"] {
        walk(&Path::new(&folder).join(part), &mut files);
    }
    let show = std::env::var_os("NARROWS_SHOW").is_some();
    for path in files {
        let name = path.to_str().unwrap();
        match data::open(name, &OpenOptions::default()) {
            Ok(dataset) if show => eprintln!("{name}: {} x {}", dataset.rows.rows(), dataset.rows.shape()),
            Ok(dataset) => assert!(dataset.rows.rows() > 0),
            Err(error) => {
                let message = error.to_string();
                assert!(message.starts_with(name) && message.len() > name.len() + 10, "{message}");
                if show {
                    eprintln!("{message}");
                }
            }
        }
        for options in
            [with_label("1"), OpenOptions { shape: Some(Shape::image(7, 3, 1)), ..OpenOptions::default() }]
        {
            if let Err(error) = data::open(name, &options) {
                assert!(error.to_string().starts_with(name), "{error}");
            }
        }
        let labels = OpenOptions { labels_file: Some(path.clone()), ..OpenOptions::default() };
        if let Err(error) = open_with("iris", &labels) {
            assert!(error.to_string().starts_with(name), "{error}");
        }
    }
}

#[test]
fn what_is_not_read_says_what_is() {
    let folder = tempfile::tempdir().unwrap();
    let message = refusal(folder.path().to_str().unwrap(), &OpenOptions::default());
    assert!(
        message.contains("folders of images are not supported yet") && message.contains(".npy"),
        "{message}"
    );
    for (name, bytes) in
        [("rows.parquet", &b"PAR1"[..]), ("rows.npz", b"PK\x03\x04"), ("rows.npz", b""), ("rows.xyz", b"??")]
    {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        assert!(refusal(path.to_str().unwrap(), &OpenOptions::default()).contains(".csv"));
    }
    assert_eq!(refusal("no/such/file.csv", &OpenOptions::default()), "no/such/file.csv: no such file");
    let options = OpenOptions { labels_file: Some("b".into()), ..with_label("a") };
    assert!(refusal("iris", &options).contains("both"));
    let options = OpenOptions { labels_file: Some("no/such/file".into()), ..OpenOptions::default() };
    let message = open_with("iris", &options).err().unwrap().to_string();
    assert!(message.starts_with("no/such/file: no such file") && !message.contains("built"), "{message}");
    assert!(refusal("mnist:test", &with_label("1")).contains("`labels_file`"));
    let options = OpenOptions { shape: Some(Shape::flat(5)), ..OpenOptions::default() };
    assert!(refusal("iris", &options).contains("a row has 4 numbers"));
}

#[test]
fn labels_come_from_files_of_three_kinds() {
    let folder = tempfile::tempdir().unwrap();
    let rows = folder.path().join("rows.npy");
    std::fs::write(&rows, data::formats::npy::encode_f32(3, &[2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])).unwrap();
    let header = "{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }\n";
    let mut npy = b"\x93NUMPY\x01\x00".to_vec();
    npy.extend((header.len() as u16).to_le_bytes());
    npy.extend(header.as_bytes());
    for label in [10i64, -2, 10] {
        npy.extend(label.to_le_bytes());
    }
    for (name, bytes, names, classes) in [
        ("l.npy", &npy[..], vec!["-2", "10"], vec![1, 0, 1]),
        ("l-idx1-ubyte", b"\0\0\x08\x01\0\0\0\x03\x07\x01\x07", vec!["1", "7"], vec![1, 0, 1]),
        ("l.csv", b"b\na\nb\n", vec!["a", "b"], vec![1, 0, 1]),
        ("m.csv", b"class\n10\n9\n10\n", vec!["9", "10"], vec![1, 0, 1]),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let options = OpenOptions { labels_file: Some(path), ..OpenOptions::default() };
        let labels = data::open(rows.to_str().unwrap(), &options).unwrap().labels.unwrap();
        let names: Vec<String> = names.into_iter().map(String::from).collect();
        assert_eq!((labels.names, labels.classes), (names, classes), "{name}");
    }
}

#[test]
fn every_kind_may_be_packed() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let pack = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        std::fs::write(&path, encoder.finish().unwrap()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let idx = b"\0\0\x08\x02\0\0\0\x01\0\0\0\x02\x01\x02";
    for (name, bytes) in [
        ("rows.npy.gz", &data::formats::npy::encode_f64(1, &[2], &[1.0, 2.0])[..]),
        ("rows.tsv.gz", b"1\t2\n"),
        ("rows.gz", idx),
        // Known by content, whatever the name says.
        ("rows.idx", idx),
        ("rows", idx),
    ] {
        assert_eq!(values(&open(&pack(name, bytes))), [1.0, 2.0], "{name}");
    }
    // Text announces no length: what swells beyond reason is refused.
    let message = refusal(&pack("bomb.csv.gz", &vec![b'0'; 100 << 20]), &OpenOptions::default());
    assert!(message.contains("times its length"), "{message}");
}

#[test]
fn holding_out_parts_the_rows() {
    let iris = open("iris");
    let (training, held_out) = data::hold_out(&iris, 0.1, 7).unwrap();
    assert_eq!((training.rows.rows(), held_out.rows.rows()), (135, 15));
    // Each part keeps the order, and the two together are the whole.
    let (whole, left, right) = (values(&iris), values(&training), values(&held_out));
    let (mut left, mut held) = (left.chunks_exact(4).peekable(), right.chunks_exact(4));
    for row in whole.chunks_exact(4) {
        if left.peek() == Some(&row) {
            left.next();
        } else {
            assert_eq!(held.next(), Some(row));
        }
    }
    assert!(left.next().is_none() && held.next().is_none());
    assert_eq!(training.labels.unwrap().classes.len(), 135);
    // The same seed, the same rows; another seed, others.
    assert_eq!(values(&data::hold_out(&iris, 0.1, 7).unwrap().1), right);
    assert_ne!(values(&data::hold_out(&iris, 0.1, 8).unwrap().1), right);
    // At least one row on each side, whatever the share.
    assert_eq!(data::hold_out(&iris, 1e-9, 0).unwrap().1.rows.rows(), 1);
    assert_eq!(data::hold_out(&iris, 0.999_999, 0).unwrap().0.rows.rows(), 1);
    for share in [0.0, 1.0, -0.5, 2.0, f64::NAN, f64::INFINITY] {
        assert!(data::hold_out(&iris, share, 0).is_err());
    }
    let (one, _) = data::hold_out(&iris, 0.999_999, 0).unwrap();
    assert!(data::hold_out(&one, 0.5, 0).err().unwrap().to_string().contains("one row"));
}

/// The statistics of iris as its description at the UCI repository publishes them: least, most, mean, deviation.
#[test]
fn the_columns_of_iris_have_their_published_statistics() {
    let iris = crate::common::open("iris");
    let found = Statistics::measure(&*iris.rows).unwrap();
    let near = |found: &[f64], wanted: [f64; 4], tolerance: f64| {
        assert!(found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < tolerance), "{found:?} {wanted:?}");
    };
    assert_eq!(found.rows, 150);
    near(&found.least, [4.3, 2.0, 1.0, 0.1], 1e-12);
    near(&found.most, [7.9, 4.4, 6.9, 2.5], 1e-12);
    near(&found.mean, [5.84, 3.05, 3.76, 1.20], 0.01);
    near(&found.deviations(&*iris.rows).unwrap(), [0.83, 0.43, 1.76, 0.76], 0.01);
    assert!(!found.is_in_unit_range() && found.require_complete().is_ok());
    assert_eq!(found.largest(), 7.9);
}
