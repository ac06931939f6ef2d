//! The linear autoencoder in closed form, as a model, as a start and as an oracle.

use crate::common::{
    evaluate, fit, open, options, parameters, pca, recipe, reconstruction, some_rows, values, wide,
};
use narrows::data::scaling::Scaling;
use narrows::{Dataset, FitOptions, Model, Scale};

/// The code's directions (d x k), in single precision as the network has them.
fn encoder(model: &Model) -> (Vec<f64>, usize) {
    let weights = model.parameters().next().expect("a network");
    (weights.values.iter().map(|&w| f64::from(w)).collect(), weights.shape[1])
}

/// Orthonormal columns that span the leading `k` eigenvectors of X'X (d x k): by subspace iteration, to no more than what
/// that needs: products, and Gram and Schmidt.
fn leading(rows: &[f64], d: usize, k: usize) -> Vec<f64> {
    let mut products = vec![0.0; d * d];
    for row in rows.chunks(d) {
        for i in 0..d {
            for j in 0..d {
                products[i * d + j] += row[i] * row[j];
            }
        }
    }
    let mut basis: Vec<f64> = (0..d * k).map(|at| ((at * 37 + 11) % 101) as f64 - 50.0).collect();
    for _ in 0..3000 {
        let mut next = vec![0.0; d * k];
        for i in 0..d {
            for j in 0..d {
                for unit in 0..k {
                    next[i * k + unit] += products[i * d + j] * basis[j * k + unit];
                }
            }
        }
        for unit in 0..k {
            for before in 0..unit {
                let along: f64 = (0..d).map(|i| next[i * k + unit] * next[i * k + before]).sum();
                (0..d).for_each(|i| next[i * k + unit] -= along * next[i * k + before]);
            }
            let length = (0..d).map(|i| next[i * k + unit].powi(2)).sum::<f64>().sqrt();
            (0..d).for_each(|i| next[i * k + unit] /= length);
        }
        basis = next;
    }
    basis
}

/// How far two subspaces are apart: the largest entry of the difference of their projections.
fn apart(a: &[f64], b: &[f64], d: usize, k: usize) -> f64 {
    let project = |basis: &[f64], i: usize, j: usize| -> f64 {
        (0..k).map(|unit| basis[i * k + unit] * basis[j * k + unit]).sum()
    };
    (0..d * d).map(|at| (project(a, at / d, at % d) - project(b, at / d, at % d)).abs()).fold(0.0, f64::max)
}

fn scaled(dataset: &Dataset<'_>, scale: Scale) -> Vec<f64> {
    let mut rows = values(dataset);
    let scaling = Scaling::learn(scale, &*dataset.rows).unwrap();
    scaling.apply_f64(&mut rows, dataset.rows.shape().len());
    rows
}

#[test]
fn it_is_the_subspace_that_iteration_finds_and_pca_s_on_centred_rows_only() {
    let iris = open("iris");
    for k in [1, 2, 3] {
        let size = format!("encoder=[{{dense={k}, bias=false}}]");
        for (scale, name) in [(Scale::None, "none"), (Scale::Center, "center"), (Scale::Standard, "standard")]
        {
            let setting = format!("scale={name}");
            let fit = fit(&recipe("linear", &[&size, &setting]), &iris, &iris);
            let (own, units) = encoder(&fit.model);
            assert_eq!(units, k);
            let wanted = leading(&scaled(&iris, scale), 4, k);
            assert!(apart(&own, &wanted, 4, k) < 1e-6, "{name} {k}: {}", apart(&own, &wanted, 4, k));
            let of_pca = recipe("pca", &[&setting, &format!("code_size={k}")]);
            let of_pca = crate::common::fit(&of_pca, &iris, &iris).model;
            let components: Vec<f64> =
                (0..4 * k).map(|at| pca(&of_pca).components[at % k * 4 + at / k]).collect();
            let distance = apart(&own, &components, 4, k);
            if scale == Scale::None {
                assert!(distance > 1e-3, "{k}: the mean counts, {distance}");
            } else {
                assert!(distance < 1e-6, "{name} {k}: {distance}");
            }
            assert!(fit.history.is_empty());
            let baselines = reconstruction(&fit).baselines;
            let error = reconstruction(&fit).evaluation.squared_error_per_row;
            assert!((error / baselines.linear - 1.0).abs() < 1e-5, "{error} {baselines:?}");
        }
    }
}

#[test]
fn with_biases_it_is_the_pca_with_weights_tied_or_not() {
    let (training, held_out) = (some_rows(&open("mnist"), 900, 17), some_rows(&open("mnist:test"), 200, 9));
    for decoder in ["input", "tied"] {
        let settings = ["encoder=[{dense=12}]".to_owned(), format!("decoder=[{{dense=\"{decoder}\"}}]")];
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let found = fit(&recipe("linear", &settings), &training, &held_out);
        let summary = reconstruction(&found);
        assert!((summary.evaluation.squared_error_per_row / summary.baselines.pca - 1.0).abs() < 1e-5);
        let pca = fit(&recipe("pca", &["code_size=12"]), &training, &held_out).model;
        let codes = |model: &Model| wide(model.encode(&held_out).unwrap());
        assert!(codes(&pca).iter().zip(codes(&found.model)).all(|(a, b)| (a - b).abs() < 1e-4));
    }
}

#[test]
fn gradient_training_of_tied_weights_reaches_it_and_never_passes() {
    let (training, held_out) = (some_rows(&open("mnist"), 1000, 17), some_rows(&open("mnist:test"), 100, 9));
    let error = |model: &Model| evaluate(model, &training).squared_error_per_row;
    let size = "encoder=[{dense=6, bias=false}]";
    let oracle = error(&fit(&recipe("linear", &[size]), &training, &held_out).model);
    let settings = [
        size,
        "weights.init=\"orthogonal\"",
        "train={rate=0.01, epochs=150, batch=100, schedule=\"cosine\"}",
    ];
    let found = error(&fit(&recipe("linear", &settings), &training, &held_out).model);
    let over = found / oracle - 1.0;
    assert!((-1e-6..0.001).contains(&over), "{found} against {oracle}: {over:e}");
}

#[test]
fn training_goes_on_from_a_model() {
    let (training, held_out) = (some_rows(&open("mnist"), 600, 17), some_rows(&open("mnist:test"), 100, 9));
    let pca = fit(&recipe("pca", &["code_size=8"]), &training, &held_out).model;
    let on = |settings: &[&str], start: &Model| {
        let options = FitOptions { start_from: Some(start), ..options(&held_out, 2) };
        narrows::fit(&recipe("linear", settings), &training, options)
    };
    let layers = ["encoder=[{dense=8}]", "decoder=[{dense=\"input\"}]", "weights.init=\"auto\""];
    let train = "train={optimizer=\"sgd\", rate=0.001, epochs=2}";
    let after = on(&[layers[0], layers[1], layers[2], train], &pca).unwrap();
    let error = |model: &Model| evaluate(model, &training).squared_error_per_row;
    // The PCA is the best there is on the rows it was fitted on: training on leaves it there.
    assert!((error(&after.model) / error(&pca) - 1.0).abs() < 1e-3);
    assert!((after.history[0].held_out_loss / after.history[1].held_out_loss - 1.0).abs() < 1e-3);
    // From its own result, at a rate of next to nothing: where it was.
    let still = "train={optimizer=\"sgd\", rate=1e-30, epochs=1}";
    let again = on(&[layers[0], layers[1], layers[2], still], &after.model).unwrap();
    assert_eq!(parameters(&again.model), parameters(&after.model));
    let one = "train.epochs=1";
    for (settings, parts) in [
        (vec![layers[2], one], "its layers (dense 8 - dense 784)"),
        (vec!["encoder=[{dense=9}]", layers[1], layers[2], one], "dense 9"),
        (vec![layers[0], layers[1]], "closed_form is a start of its own"),
        (
            vec![layers[0], layers[1], layers[2], one, "scale=standard"],
            "has `unit`, the recipe says `standard`",
        ),
    ] {
        let error = on(&settings, &pca).unwrap_err().to_string();
        assert!(error.contains(parts), "{error}");
    }
}
