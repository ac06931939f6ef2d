//! The built-in data are what their makers and users publish of them.

use narrows::data::{Dataset, Element, OpenOptions, Shape};

fn open(name: &str) -> Dataset<'static> {
    narrows_datasets::open(name).unwrap().unwrap()
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

/// The counts are those that MNIST's users publish; mean and deviation the well-known 0.1307 and 0.3081 of 255.
#[test]
fn mnist_is_inside() {
    let start = std::time::Instant::now();
    let train = open("mnist");
    eprintln!("mnist opened in {:?}", start.elapsed());
    assert_eq!((train.rows.rows(), train.rows.shape()), (60_000, Shape::image(28, 28, 1)));
    assert_eq!(train.rows.element(), Element::U8);
    assert_eq!(histogram(&train), [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]);
    assert_eq!(train.labels.as_ref().unwrap().classes[..5], [5, 0, 4, 1, 9]);
    let pixels = values(&train);
    let mean = pixels.iter().sum::<f64>() / pixels.len() as f64;
    near(&[mean], &[33.318], 5e-4);
    near(&[mean / 255.0], &[0.1307], 5e-5);
    let variance = pixels.iter().map(|pixel| (pixel - mean).powi(2)).sum::<f64>() / pixels.len() as f64;
    near(&[variance.sqrt() / 255.0], &[0.3081], 5e-5);

    let test = open("mnist:test");
    assert_eq!((test.rows.rows(), test.rows.shape()), (10_000, Shape::image(28, 28, 1)));
    assert_eq!(histogram(&test), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]);
    assert_eq!(test.labels.unwrap().classes[..5], [7, 2, 1, 0, 4]);
    assert_eq!(narrows_datasets::default_held_out("mnist"), Some("mnist:test"));
    assert_eq!(narrows_datasets::default_held_out("iris"), None);
}

/// Means as printed by R's `summary(iris)`.
#[test]
fn iris_is_inside() {
    let iris = open("iris");
    assert_eq!(
        (iris.rows.rows(), iris.rows.shape(), iris.rows.element()),
        (150, Shape::flat(4), Element::F64)
    );
    near(&column_means(&iris), &[5.843, 3.057, 3.758, 1.199], 5.5e-4);
    assert_eq!(histogram(&iris), [50, 50, 50]);
    assert_eq!(iris.labels.unwrap().names, ["setosa", "versicolor", "virginica"]);
    assert_eq!(iris.columns.unwrap()[2], "petal length (cm)");
}

#[test]
fn every_built_in_opens() {
    for info in narrows_datasets::list() {
        assert_eq!(open(info.name).name, info.name);
        assert!(info.description.contains("CC BY"), "{}", info.description);
    }
    assert!(narrows_datasets::open("./mnist").is_none(), "a path is a file");
}

#[test]
fn options_that_do_not_fit_are_refused_by_name() {
    let refusal = |name: &str, options: &OpenOptions| {
        narrows_datasets::open_with(name, options).unwrap().err().unwrap().to_string()
    };
    let label = OpenOptions { label_column: Some("1".into()), ..OpenOptions::default() };
    // The customers are a table, of which any column may be the label.
    for name in narrows_datasets::names().filter(|&name| name != "customers") {
        let message = refusal(name, &label);
        assert!(message.starts_with(&format!("{name}: ")) && message.contains("`labels_file`"), "{message}");
    }
    let shape = OpenOptions { shape: Some(Shape::flat(5)), ..OpenOptions::default() };
    assert!(refusal("iris", &shape).starts_with("iris: ") && refusal("iris", &shape).contains("4 numbers"));
    let reshaped = OpenOptions { shape: Some(Shape::image(2, 2, 1)), ..OpenOptions::default() };
    let iris = narrows_datasets::open_with("iris", &reshaped).unwrap().unwrap();
    assert_eq!(iris.rows.shape(), Shape::image(2, 2, 1));
}
