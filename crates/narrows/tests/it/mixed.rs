//! Networks for tables: mixed columns, missing values, the start as a PCA, a number of updates.

use std::sync::Arc;

use crate::common::{fit_on, fit_with_checkpoints, options, parse, reconstruction};
use narrows::data::{ColumnError, EncodedColumn, hold_out};
use narrows::progress::Ended;
use narrows::recipe::RecipeFile;
use narrows::{Dataset, Event, Fit, FitOptions, Recipe};
use ndarray::Array2;

/// A number of 0..1 for each place: the same for ever, without a pattern that a small network finds.
fn noise(row: usize, column: usize) -> f64 {
    let mixed = (row as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
        ^ (column as u64).wrapping_mul(0xC2B2_AE3D_27D4_EB4F);
    let mixed = (mixed ^ (mixed >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    ((mixed ^ (mixed >> 29)) >> 11) as f64 / (1u64 << 53) as f64
}

/// Rows of two hidden numbers: four numbers, yes or no, and a category of three levels, which follow from them.
fn rows(count: usize) -> Array2<f64> {
    let mut rows = Array2::zeros((count, 8));
    for (index, mut row) in rows.rows_mut().into_iter().enumerate() {
        let [a, b] = [0, 1].map(|column| 2.0 * noise(index, column) - 1.0);
        for (column, value) in [a + b, a - 2.0 * b, 10.0 + 3.0 * b, a * 5.0].into_iter().enumerate() {
            row[column] = value + 0.02 * noise(index, 2 + column);
        }
        row[4] = f64::from(u8::from(a > 0.2));
        row[5 + if b > 0.3 {
            0
        } else if a + b < 0.0 {
            1
        } else {
            2
        }] = 1.0;
    }
    rows
}

/// The columns of [`rows`], with the weights of their best constants once numbers are standardised.
fn columns(rows: &Array2<f64>) -> Vec<EncodedColumn> {
    let n = rows.nrows() as f64;
    let shares: Vec<f64> = (4..8).map(|column| rows.column(column).sum() / n).collect();
    let part = |p: f64| -p * p.ln();
    let number =
        |at: usize| EncodedColumn { range: at..at + 1, error: ColumnError::Squared, weight: n / (n - 1.0) };
    let yes = EncodedColumn {
        range: 4..5,
        error: ColumnError::Binary,
        weight: 1.0 / (part(shares[0]) + part(1.0 - shares[0])),
    };
    let entropy: f64 = shares[1..].iter().map(|&p| part(p)).sum();
    let level = EncodedColumn { range: 5..8, error: ColumnError::Categorical, weight: 1.0 / entropy };
    (0..4).map(number).chain([yes, level]).collect()
}

fn dataset<'a>(rows: &'a Array2<f64>, columns: &[EncodedColumn]) -> Dataset<'a> {
    let mut dataset = Dataset::from(rows);
    dataset.encoded = Some(Arc::new(columns.to_vec()));
    dataset
}

/// The rows with `share` of their columns missing.
fn with_gaps(rows: &Array2<f64>, columns: &[EncodedColumn], share: f64) -> Array2<f64> {
    let mut rows = rows.clone();
    for index in 0..rows.nrows() {
        for (number, column) in columns.iter().enumerate() {
            if noise(index, 100 + number) < share {
                column.range.clone().for_each(|at| rows[(index, at)] = f64::NAN);
            }
        }
    }
    rows
}

fn table() -> Recipe {
    Recipe::open("table").unwrap()
}

#[test]
fn the_mixed_loss_of_the_best_constant_is_one() {
    let rows = rows(200);
    let data = dataset(&rows, &columns(&rows));
    // No weight can be anything: what is left are the biases of the output.
    let recipe = parse(
        "method='autoencoder'\nscale='standard'\nloss='mixed'\nencoder=[{dense=2}]\ndecoder=[{dense='input'}]\n\
         weights={max_norm=1e-9}\ntrain={updates=3000, batch=200, learning_rate=0.01, schedule='cosine'}",
    );
    let fit = fit_on(1, &recipe, &data, &data);
    let loss = reconstruction(&fit).evaluation.loss;
    assert!((loss - 1.0).abs() < 1e-3, "{loss}");
}

#[test]
fn outputs_are_numbers_and_probabilities_and_evaluation_is_that_of_training() {
    let rows = rows(600);
    let data = dataset(&rows, &columns(&rows));
    let (training, held_out) = hold_out(&data, 0.2, 0).unwrap();
    let fit = fit_on(2, &table(), &training, &held_out);
    let evaluation = &reconstruction(&fit).evaluation;
    assert!(evaluation.loss < 0.25, "{}", evaluation.loss);
    let best = fit.history.iter().map(|record| record.held_out_loss).fold(f64::INFINITY, f64::min);
    assert!((evaluation.loss - best).abs() < 1e-5, "{} {best}", evaluation.loss);
    let codes = fit.model.encode(&held_out).unwrap();
    let out = fit.model.reconstruct(&held_out).unwrap().to_array_f32();
    assert_eq!(out, fit.model.decode(&codes).unwrap().to_array_f32());
    for (row, at) in out.rows().into_iter().zip(0..) {
        assert!((0.0..=1.0).contains(&row[4]), "{row}");
        assert!((row[5] + row[6] + row[7] - 1.0).abs() < 1e-5, "row {at}: {row}");
    }
    // Numbers come back in their units.
    let mean = out.column(2).mean().unwrap();
    assert!((mean - 10.0).abs() < 0.6, "{mean}");
}

#[test]
fn planted_gaps_cost_little_and_are_filled_by_what_the_rest_says() {
    let complete = rows(1200);
    let columns = columns(&complete);
    let gaps = with_gaps(&complete, &columns, 0.1);
    let (training, held_out) = hold_out(&dataset(&complete, &columns), 0.25, 0).unwrap();
    let (training_with_gaps, held_out_with_gaps) = hold_out(&dataset(&gaps, &columns), 0.25, 0).unwrap();
    let recipe = table();
    let loss = |fit: &Fit| reconstruction(fit).evaluation.loss;
    let whole = fit_on(2, &recipe, &training, &held_out);
    let holed = fit_on(2, &recipe, &training_with_gaps, &held_out);
    // On complete rows, nearly the model of the complete rows.
    assert!(loss(&holed) < loss(&whole) + 0.1, "{} {}", loss(&holed), loss(&whole));
    // On rows with gaps: finite, and the same with any number of threads.
    let both = [1, 2].map(|threads| fit_on(threads, &recipe, &training_with_gaps, &held_out_with_gaps));
    assert_eq!(both[0].model.to_bytes().unwrap(), both[1].model.to_bytes().unwrap());
    let summary = reconstruction(&both[0]);
    assert!(summary.evaluation.is_finite() && summary.baselines.is_finite());
    assert!(summary.evaluation.loss < 0.6, "{}", summary.evaluation.loss);
    // What is missing is filled better than by the mean.
    let out = both[0].model.reconstruct(&held_out_with_gaps).unwrap().to_array_f32();
    let read = |data: &Dataset<'_>| {
        let mut values = vec![0.0; data.rows.rows() * 8];
        data.rows.read_f64(0, &mut values).unwrap();
        Array2::from_shape_vec((data.rows.rows(), 8), values).unwrap()
    };
    let (truth, seen) = (read(&held_out), read(&held_out_with_gaps));
    for column in 0..4 {
        let mean = complete.column(column).mean().unwrap();
        let gaps = (0..seen.nrows()).filter(|&row| seen[(row, column)].is_nan());
        let [of_model, of_mean] = gaps.fold([0.0; 2], |[of_model, of_mean], row| {
            let truth = truth[(row, column)];
            let square = |value: f64| (value - truth) * (value - truth);
            [of_model + square(f64::from(out[(row, column)])), of_mean + square(mean)]
        });
        assert!(of_model < 0.7 * of_mean, "column {column}: {of_model} {of_mean}");
    }
}

#[test]
fn every_loss_but_that_of_a_distribution_takes_gaps() {
    let complete = rows(120);
    let columns = columns(&complete);
    let gaps = with_gaps(&complete, &columns, 0.1);
    let data = Dataset::from(&gaps);
    for (loss, end) in
        [("mse", "linear"), ("mae", "linear"), ("huber", "linear"), ("bce", "sigmoid"), ("mixed", "linear")]
    {
        let recipe = parse(&format!(
            "method='autoencoder'\nscale='min_max'\nloss='{loss}'\nencoder=[{{dense=3}}, 'tanh']\n\
             decoder=[{{dense='input'}}, '{end}']\ntrain={{epochs=60, batch=16, learning_rate=0.01}}"
        ));
        let fit = fit_on(2, &recipe, &data, &data);
        let (first, last) = (fit.history[0].train_loss, fit.history[59].train_loss);
        assert!(last < 0.9 * first && reconstruction(&fit).evaluation.is_finite(), "{loss}: {first} {last}");
    }
    let shares = parse(
        "method='autoencoder'\nscale='min_max'\nloss='cross_entropy'\nencoder=[{dense=3}]\ndecoder=[{dense='input'}, 'softmax']",
    );
    let error = narrows::fit(&shares, &data, FitOptions::default()).unwrap_err().to_string();
    assert!(error.contains("NaN is not a finite number"), "{error}");
}

#[test]
fn a_network_starts_as_the_pca_of_its_code_size() {
    let (training, held_out) = hold_out(&crate::common::open("iris"), 0.2, 0).unwrap();
    for function in ["silu", "relu", "gelu", "softplus", "leaky_relu", "linear"] {
        // A learning rate at which nothing happens.
        let text = format!(
            "method='autoencoder'\nscale='standard'\nloss='mse'\nencoder=[{{dense=11}}, '{function}', {{dense=7}}, '{function}', {{dense=2}}]\n\
             decoder=[{{dense='wide'}}, '{function}', {{dense='input'}}]\nweights={{init='pca'}}\n\
             train={{epochs=1, optimizer='sgd', learning_rate=1e-12}}"
        );
        let network = fit_on(1, &parse(&text), &training, &held_out);
        let pca = fit_on(1, &Recipe::pca(2).with("scale", "standard").unwrap(), &training, &held_out);
        let [network, pca] = [&network, &pca].map(|fit| reconstruction(fit).evaluation.mse);
        assert!((network - pca).abs() < 1e-4 * pca, "{function}: {network} {pca}");
    }
    // One unit passes on nothing: the start is a random one.
    let text = "method='autoencoder'\nloss='mse'\nencoder=[{dense=1}, 'silu', {dense=2}]\ndecoder=[{dense='input'}]\nweights={init='pca'}\ntrain={epochs=2}";
    assert_eq!(fit_on(1, &parse(text), &training, &held_out).history.len(), 2);
    let refused = |text: &str, part: &str| {
        let error = narrows::fit(&parse(text), &training, FitOptions::default()).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    let start = "method='autoencoder'\nloss='mse'\nweights={init='pca'}\n";
    refused(
        &format!("{start}encoder=[{{dense=8}}, 'tanh', {{dense=2}}]\ndecoder=[{{dense='input'}}]"),
        "encoder.1",
    );
    refused(
        &format!("{start}encoder=[{{dense=2}}, 'relu']\ndecoder=[{{dense='input'}}]"),
        "without functions",
    );
}

#[test]
fn the_recipe_table_is_no_worse_than_a_pca_where_rows_are_few() {
    for seed in [0, 1, 2] {
        let (training, held_out) = hold_out(&crate::common::open("iris"), 0.2, seed).unwrap();
        for code in [1, 2, 3] {
            let recipe = table().with("code_size", code).unwrap().with("train.seed", seed).unwrap();
            let fit = fit_on(2, &recipe, &training, &held_out);
            let summary = reconstruction(&fit);
            let (network, pca) = (summary.evaluation.squared_error_per_row, summary.baselines.pca);
            // The first evaluation comes after some steps, so the PCA itself is not among the epochs to keep.
            assert!(network < 1.05 * pca, "code {code}, seed {seed}: {network} {pca}");
        }
    }
}

// ------------------------------------------------------------------------------------------------- a number of updates

fn small(settings: &str) -> Recipe {
    parse(&format!(
        "method='autoencoder'\nscale='standard'\nloss='mse'\nencoder=[{{dense=2}}, 'tanh']\ndecoder=[{{dense='input'}}]\n\
         train={{batch=32, {settings}}}"
    ))
}

#[test]
fn updates_are_as_many_steps_rounded_up_to_whole_epochs() {
    let (training, held_out) = hold_out(&crate::common::open("iris"), 0.2, 0).unwrap();
    // 120 rows, 4 steps in an epoch.
    let same = |updates: usize, epochs: usize| {
        let of_updates =
            fit_on(1, &small(&format!("updates={updates}, schedule='cosine'")), &training, &held_out);
        let of_epochs =
            fit_on(1, &small(&format!("epochs={epochs}, schedule='cosine'")), &training, &held_out);
        assert_eq!(of_updates.steps.training, 4 * epochs);
        assert_eq!(of_updates.summary().unwrap().epochs(), epochs);
        let out = [of_updates, of_epochs].map(|fit| fit.model.reconstruct(&held_out).unwrap());
        assert_eq!(out[0], out[1], "{updates} updates");
    };
    same(1, 1);
    same(8, 2);
    same(9, 3);
    // Too many epochs to report each.
    same(1001, 251);
    let fit = fit_on(1, &small("updates=1001"), &training, &held_out);
    let epochs: Vec<usize> = fit.history.iter().map(|record| record.epoch).collect();
    assert_eq!((epochs.len(), &epochs[..2], epochs[83]), (84, &[3, 6][..], 251));
}

#[test]
fn a_run_of_updates_resumes_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model.narrows");
    let rows = hold_out(&crate::common::open("iris"), 0.2, 0).unwrap();
    let cases =
        [("updates=1001, schedule='one_cycle'", 15), ("updates=1001, patience=90", 246), ("updates=41", 5)];
    for (settings, stop) in cases {
        let recipe = small(settings);
        let whole = fit_on(1, &recipe, &rows.0, &rows.1);
        let first = fit_with_checkpoints(&recipe, &rows, &model, false, stop).unwrap();
        assert_eq!(first.ended, Ended::Interrupted);
        let second = fit_with_checkpoints(&recipe, &rows, &model, true, usize::MAX).unwrap();
        assert_eq!(second.ended, Ended::Finished);
        assert_eq!(second.history.len(), whole.history.len());
        assert_eq!(second.model.to_bytes().unwrap(), whole.model.to_bytes().unwrap(), "{settings}");
        narrows::fit::remove_checkpoints(&model);
    }
}

#[test]
fn epochs_and_updates_replace_one_another_and_both_are_refused() {
    let table = table();
    assert_eq!(table.train().unwrap().updates, Some(3000));
    let epochs = table.with("train.epochs", 7).unwrap();
    assert_eq!((epochs.train().unwrap().updates, epochs.train().unwrap().epochs), (None, 7));
    let back = epochs.with("train.updates", 9).unwrap();
    assert_eq!(back.train().unwrap().updates, Some(9));
    let text = "method='autoencoder'\nloss='mse'\nencoder=[{dense=2}]\ndecoder=[{dense='input'}]\ntrain={epochs=3, updates=5}";
    let error = RecipeFile::parse("r", "r.toml", text).unwrap().recipe().unwrap_err().to_string();
    assert!(error.contains("train.updates") && error.contains("train.epochs"), "{error}");
    let mut seen = Vec::new();
    let mut watch = |event: &Event| {
        if let Event::Epoch(record) = event {
            seen.push(record.epoch);
        }
        std::ops::ControlFlow::Continue(())
    };
    let (training, held_out) = hold_out(&crate::common::open("iris"), 0.2, 0).unwrap();
    narrows::fit(
        &small("updates=10"),
        &training,
        FitOptions { watch: Some(&mut watch), ..options(&held_out, 1) },
    )
    .unwrap();
    assert_eq!(seen, [1, 2, 3]);
}
