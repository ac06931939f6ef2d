//! No number that is not finite leaves a model: the first row that would give one is refused by its number.

use std::sync::Arc;

use narrows::data::{Subset, Values};
use narrows::model::metrics::Evaluation;
use narrows::ndarray::Array2;
use narrows::{Compute, Dataset, ErrorKind, Labels, Pca, Recipe, Result, Shape, Table};

use super::common::{fit, parse};

const ROWS: usize = 700;

/// Rows of small numbers, with some replaced.
fn rows(replaced: &[(usize, f64)]) -> Array2<f64> {
    let mut rows =
        Array2::from_shape_fn((ROWS, 4), |(row, column)| ((row * 7 + column * 3) % 11) as f64 / 10.0);
    replaced.iter().for_each(|&(row, value)| rows[(row, row % 4)] = value);
    rows
}

fn linear_network() -> Recipe {
    parse(
        "method = \"autoencoder\"\nscale = \"none\"\nloss = \"mse\"\nencoder = [{ dense = 2 }]\n\
         decoder = [{ dense = \"input\" }]\n[train]\nepochs = 2\n",
    )
}

#[track_caller]
fn refused<T>(result: Result<T>, says: &[&str]) {
    let error = result.err().expect("a refusal");
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    let text = error.to_string();
    assert!(says.iter().all(|part| text.contains(part)), "{says:?} is not in: {text}");
}

#[test]
fn the_first_row_is_named_whatever_the_threads_and_the_reason_is_its_values() {
    let clean = rows(&[]);
    let model = fit(&linear_network(), &Dataset::from(&clean), &Dataset::from(&clean)).model;
    // Beyond single precision in one chunk, and in later ones; then finite in single precision, and too large for its codes.
    let beyond = rows(&[(203, 1e300), (204, 1e300), (411, 1e300), (650, 1e301)]);
    let overflowing = rows(&[(301, 3.4e38), (302, 1e300), (20, 1e37)]);
    let mut overflowing_codes = overflowing.clone();
    overflowing_codes.row_mut(301).fill(3.4e38);
    for threads in [1, 2, 3, 8] {
        let model = model.clone().with_compute(Compute::with_threads(threads));
        refused(
            model.encode(&beyond),
            &["row 204: its code is not finite: values up to 1e300 are beyond single precision"],
        );
        refused(model.reconstruct(&beyond), &["row 204: its reconstruction is not finite", "1e300"]);
        refused(model.score_rows(&beyond), &["row 204: its error is not finite", "1e300"]);
        refused(model.evaluate(&beyond), &["row 204: its error is not finite", "1e300"]);
        refused(model.interpolate(&beyond, 0, 203, 4), &["row 204: its code", "1e300"]);
    }
    // Row numbers are the caller's.
    let some = Subset::new(
        Arc::new(Table::new(Values::F64(beyond.iter().copied().collect()), Shape::flat(4)).unwrap()),
        (200..300).collect(),
    );
    refused(model.encode(Dataset::new("some", Arc::new(some))), &["row 204: "]);

    // A decoder whose weights are large makes infinities of finite codes.
    let codes = Array2::from_shape_fn((300, 2), |(row, _)| if row >= 150 { 3e38f32 } else { 1.0 });
    refused(
        model.decode(&codes),
        &["row 151: its decoded row is not finite: values up to 3e38 overflow single precision"],
    );
}

#[test]
fn a_pca_refuses_what_its_precision_cannot_express() {
    let clean = rows(&[]);
    let pca = Pca::fit(&clean, 4).unwrap();
    let model = fit(&Recipe::pca(4), &Dataset::from(&clean), &Dataset::from(&clean)).model;
    // In double precision the codes are finite, their squares are not.
    let large = rows(&[(400, 1e200)]);
    assert!(pca.encode(&large).is_ok() && model.encode(&large).is_ok() && model.reconstruct(&large).is_ok());
    refused(
        model.evaluate(&large),
        &["row 401: its error is not finite: values up to 1e200 overflow double precision"],
    );
    refused(model.score_rows(&large), &["row 401: "]);
    let huge = rows(&[(400, 1.7e308), (401, -1.7e308)]);
    let mut all = huge.clone();
    all.row_mut(400).fill(1.7e308);
    for result in [pca.encode(&all), model.encode(&all)] {
        if let Err(error) = result {
            assert!(error.to_string().contains("row 401: its code is not finite"), "{error}");
        }
    }
    // Codes of rows in single precision are in single precision: along a component, which is a unit vector, a row of the largest
    // numbers has a code that is larger. So has a code a row.
    let mut narrow = clean.mapv(|value| value as f32);
    (0..4).for_each(|column| narrow[(122, column)] = 3.4e38f32.copysign(pca.components[column] as f32));
    for result in [pca.encode(&narrow), model.encode(&narrow)] {
        refused(result, &["row 123: its code is not finite: values up to 3.4e38 overflow single precision"]);
    }
    let codes = Array2::from_shape_fn((3, 4), |(row, k)| {
        if row == 1 { 3.4e38f32.copysign(pca.components[4 * k] as f32) } else { 1.0 }
    });
    refused(pca.decode(&codes), &["row 2: its decoded row is not finite"]);
}

#[test]
fn a_classifier_gives_no_class_to_a_row_without_probabilities() {
    let clean = rows(&[]);
    let names: Vec<&str> = (0..ROWS).map(|row| ["a", "b", "c"][row % 3]).collect();
    let labels = Labels::from_names(&names).unwrap();
    let labelled = Dataset::from(&clean).with_labels(labels.clone()).unwrap();
    let recipe =
        parse("method = \"classifier\"\nscale = \"none\"\nencoder = [{ dense = 3 }]\n[train]\nepochs = 1\n");
    let model = fit(&recipe, &labelled, &labelled).model;
    let mut far = clean.clone();
    far.row_mut(300).fill(3.4e38);
    far.row_mut(500).fill(1e300);
    let far = Dataset::from(&far).with_labels(labels).unwrap();
    let evaluated = model.evaluate(&far);
    for result in [model.predict(&far).map(drop), evaluated.map(drop)] {
        let error = result.expect_err("a refusal").to_string();
        let says = "the probability of its class is not finite";
        assert!(error.contains("row 301: ") || error.contains("row 501: "), "{error}");
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn held_out_rows_that_are_too_large_cost_the_verdict_and_not_the_model() {
    let clean = rows(&[]);
    let far = rows(&[(9, 1e200)]);
    let held_out = Dataset::from(&far);
    let found = fit(&Recipe::pca(2), &Dataset::from(&clean), &held_out);
    let verdict = found.verdict();
    assert!(verdict.starts_with("no verdict") && verdict.contains("row 10: "), "{verdict}");
    let summary = found.summary().reconstruction().unwrap();
    assert!(!summary.evaluation.is_finite() && !summary.baselines.is_finite());
    // Its file opens, and it is as good as any other for other rows.
    let again = narrows::Model::from_bytes(&found.model.to_bytes().unwrap()).unwrap();
    let Evaluation::Reconstruction(metrics) = again.evaluate(&clean).unwrap() else {
        panic!("no classifier")
    };
    assert!(metrics.is_finite());
}
