//! The mistakes that are easily made with PCA and autoencoders, each with what Narrows does instead.

use crate::common::{
    evaluate, fit, made, open, pca, recipe, reconstruction, some_rows, try_fit, values, wide,
};
use narrows::Recipe;
use narrows::{Scale, Shape};

/// 1: eigenvalues are sorted, divided by n - 1, and the rows stay as they were.
#[test]
fn eigenvalues_are_sorted_and_divided_and_the_rows_stay() {
    let iris = open("iris");
    let before = values(&iris);
    let model = fit(&recipe("pca", &["code_size=4", "scale=none"]), &iris, &iris).model;
    // Scatter, not divided: 630.008 36.158 11.653 3.551.
    for (found, want) in pca(&model).explained_variance.iter().zip([630.008, 36.158, 11.653, 3.551]) {
        assert!((found * 149.0 - want).abs() < 1e-3, "{found} {want}");
    }
    assert_eq!(values(&iris), before);
}

/// 2: a sparse code that died gives the constant mean image, BCE 0.263, and the verdict says so.
#[test]
fn a_sparse_network_that_died_is_called_dead() {
    let (training, held_out) = (some_rows(&open("mnist"), 3000, 20), some_rows(&open("mnist:test"), 500, 20));
    let dead = fit(
        &recipe(
            "sparse",
            &[
                "sparsity.l1=0.5",
                "train.epochs=15",
                "train.batch_size=32",
                "train.optimizer=adam",
                "train.learning_rate=0.01",
            ],
        ),
        &training,
        &held_out,
    );
    let found = &reconstruction(&dead).evaluation;
    assert!((found.bce.unwrap() - 0.263).abs() < 0.01, "{:?}", found.bce);
    assert_eq!(found.dead_units, 32);
    let verdict = dead.verdict();
    for part in
        ["learned nothing", "rebuilds every row alike", "the code has died: 32 of 32", "lower sparsity.l1"]
    {
        assert!(verdict.contains(part), "`{part}` is not in: {verdict}");
    }
    assert_eq!(dead.history.last().unwrap().active_units, Some(0));
}

/// 3: BCE on grey pixels has a floor; the distance to it is reported too.
#[test]
fn the_floor_of_bce_is_reported() {
    let (training, held_out) = (some_rows(&open("mnist"), 300, 10), open("mnist:test"));
    let fit = fit(&recipe("single", &["train.epochs=1"]), &training, &held_out);
    let floor = reconstruction(&fit).evaluation.bce_floor.unwrap();
    assert!((floor - 0.05808).abs() < 1e-5, "{floor}");
}

/// 4: BCE and sigmoid need numbers in 0..1; others are refused with a hint, never trained on silently.
#[test]
fn bce_refuses_numbers_outside_its_range() {
    let iris = open("iris");
    let error = try_fit(&recipe("single", &["scale=none"]), &iris, &iris).unwrap_err().to_string();
    assert!(error.contains("5.1") && error.contains("min_max") && error.contains("mse"), "{error}");
    for scale in ["min_max", "auto"] {
        let fit = fit(&recipe("single", &[&format!("scale={scale}"), "train.epochs=1"]), &iris, &iris);
        // What was chosen stands in the model, and what comes out is in centimetres again.
        assert_eq!(fit.model.recipe().scale(), Scale::MinMax);
        let rows = wide(fit.model.reconstruct(&iris).unwrap());
        assert!(rows.iter().all(|value| (0.0..8.0).contains(value)));
    }
}

/// 5: Adadelta's learning rate is 1; 0.001, the later default of Keras, does not train.
#[test]
fn the_usual_learning_rate_of_adadelta_is_one() {
    let rows = some_rows(&open("mnist"), 2000, 7);
    let loss = |rate: Option<f32>| {
        let mut recipe = recipe("single", &["train.epochs=4", "train.batch_size=16"]);
        let Recipe::Autoencoder(autoencoder) = &mut recipe else { panic!("single is an autoencoder") };
        autoencoder.train.learning_rate = rate;
        fit(&recipe, &rows, &rows).history[3].train_loss
    };
    let (slow, fast) = (loss(Some(0.001)), loss(Some(1.0)));
    // ln 2 is the loss of an output of 1/2 everywhere.
    assert!(slow > 0.68 && fast < 0.4, "{slow} {fast}");
    assert_eq!(loss(None), fast);
}

/// 6: noise is seeded. (That clipped noise has a mean of a fifth on black pixels is tested beside the noise.)
#[test]
fn noise_is_seeded() {
    let rows = some_rows(&open("mnist"), 60, 3);
    let bytes = |seed: &str| {
        let settings = ["train.epochs=1", "train.batch_size=16", seed];
        fit(&recipe("denoising", &settings), &rows, &rows).model.to_bytes().unwrap()
    };
    assert_eq!(bytes("train.seed=1"), bytes("train.seed=1"));
    assert_ne!(bytes("train.seed=1"), bytes("train.seed=2"));
}

/// 7: a last batch that is smaller, a batch of 1, and more room in a batch than there are rows: all work, and rows weigh
/// the same. With plain gradient descent at a tiny rate the order of rows does not matter, so one epoch moves as far as
/// there are steps, whatever the batch.
#[test]
fn any_batch_works_and_rows_weigh_the_same() {
    let rows = some_rows(&open("iris"), 7, 20);
    let loss = |batch: usize| {
        let settings = [
            "encoder=[{dense=2}]".to_owned(),
            "decoder=[{dense=\"input\"}]".to_owned(),
            "loss=mse".to_owned(),
            "train={optimizer=\"sgd\", rate=1e-6, epochs=1}".to_owned(),
            format!("train.batch_size={batch}"),
        ];
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        fit(&recipe("single", &settings), &rows, &rows).history[0].train_loss
    };
    let whole = loss(7);
    for batch in [1, 2, 3, 6, 100] {
        assert!((loss(batch) / whole - 1.0).abs() < 1e-4, "{batch}: {} {whole}", loss(batch));
    }
}

/// 8: reconstruction error is no density: an over-complete network rebuilds blanks that it never saw better than digits.
#[test]
fn blanks_are_rebuilt_well_though_never_seen() {
    let digits = some_rows(&open("mnist"), 600, 11);
    let model = fit(&recipe("denoising", &["train.epochs=4", "train.batch_size=16"]), &digits, &digits).model;
    let blank = made(vec![0.0f32; 784], Shape::image(28, 28, 1));
    let rebuilt = wide(model.reconstruct(&blank).unwrap());
    // In pixels of 0..255; the scale of the model is 0..1.
    let error: f64 = rebuilt.iter().map(|value| (value / 255.0).powi(2)).sum();
    let typical = evaluate(&model, &digits).squared_error_per_row;
    assert!(error < 0.5 * typical, "blank {error}, digits {typical}");
    assert!(model.summary().unwrap().verdict().contains("does not compress"));
}

/// 9: codes of a PCA are uncorrelated, which is not independent: of points on a parabola the second code is a function of
/// the first.
#[test]
fn uncorrelated_is_not_independent() {
    let points: Vec<f32> = (-50..=50).flat_map(|i| [i as f32 / 10.0, (i * i) as f32 / 500.0]).collect();
    let parabola = made(points, Shape::flat(2));
    let model = fit(&recipe("pca", &["code_size=2", "scale=none"]), &parabola, &parabola).model;
    let codes = wide(model.encode(&parabola).unwrap());
    let n = codes.len() / 2;
    let covariance: f64 = codes.chunks(2).map(|code| code[0] * code[1]).sum::<f64>() / (n - 1) as f64;
    assert!(covariance.abs() < 1e-6, "{covariance}");
    // x and x^2 / 5: the second code follows from the first, up to the mean.
    let shift = codes[1] - codes[0] * codes[0] / 5.0;
    for code in codes.chunks(2) {
        assert!((code[1] - code[0] * code[0] / 5.0 - shift).abs() < 1e-4, "{code:?}");
    }
}
