//! What is learned, checked by other roads: closed forms, published figures, other numbers of threads.

use std::path::Path;

use crate::common::{
    evaluate, fit_on, made, open, parameters, parse, pca, reconstruction, some_rows, values, wide,
};
use crate::model_file::parts::Parts;

use narrows::data::{self, OpenOptions, Values};
use narrows::progress::Ended;
use narrows::{Dataset, Fit, Model, Shape};

/// Judged on the rows it was fitted on. With so few rows a second thread would only be waited for.
fn fit(text: &str, rows: &Dataset<'_>) -> Fit {
    let fit = fit_on(1, &parse(text), rows, rows);
    assert_eq!(fit.ended, Ended::Finished);
    fit
}

// ------------------------------------------------------------- gradients must find what linear algebra knows at once

/// 1,797 digits of 8 x 8 with values 0 to 16, and their classes in the last column.
fn digits() -> Option<Dataset<'static>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/tables/digits.csv.gz");
    if !path.exists() {
        eprintln!("skipped: {} is absent", path.display());
        return None;
    }
    let options = OpenOptions { label_column: Some("65".into()), ..OpenOptions::default() };
    Some(data::open(path.to_str().unwrap(), &options).unwrap())
}

fn linear(code: usize, bias: bool, scale: &str, train: &str) -> String {
    format!(
        "method = 'autoencoder'\nscale = '{scale}'\nloss = 'mse'\nencoder = [{{ dense = {code}, bias = {bias} }}]\n\
         decoder = [{{ dense = 'input', bias = {bias} }}]\ntrain = {{ optimizer = 'adam', {train} }}"
    )
}

/// A linear network is at the closed form's error within `share`, and not below it by more than rounding.
#[track_caller]
fn reaches(name: &str, fit: &Fit, closed_form: f64, share: f64) {
    let found = reconstruction(fit).evaluation.squared_error_per_row;
    let over = found / closed_form - 1.0;
    eprintln!("{name}: {found:.6} against {closed_form:.6}, {:.4} % over", over * 100.0);
    assert!(over < share, "{name}: {found} is {:.3} % over {closed_form}", over * 100.0);
    assert!(over > -1e-5, "{name}: {found} is below the least error there is, {closed_form}");
}

#[test]
fn linear_networks_reach_the_closed_forms_on_iris_and_never_pass_them() {
    let iris = open("iris");
    for scale in ["standard", "none"] {
        for code in [1, 2, 3] {
            let train = "rate = 0.03, epsilon = 1e-3, epochs = 5000, batch = 150, seed = 1";
            let without = fit(&linear(code, false, scale, train), &iris);
            reaches(
                &format!("iris {scale}, {code}, no biases"),
                &without,
                reconstruction(&without).baselines.linear,
                0.005,
            );
            let with = fit(&linear(code, true, scale, train), &iris);
            reaches(
                &format!("iris {scale}, {code}, biases"),
                &with,
                reconstruction(&with).baselines.pca,
                0.005,
            );
        }
    }
}

#[test]
fn on_centred_rows_both_closed_forms_are_one() {
    // METHODS 3: the linear autoencoder equals PCA exactly when the data are centred, and loses more or as much else.
    let iris = open("iris");
    for code in 1..4 {
        let baselines = |scale: &str| {
            reconstruction(&fit(&format!("method='pca'\nscale='{scale}'\ncode_size={code}"), &iris)).baselines
        };
        let centred = baselines("standard");
        assert!((centred.pca - centred.linear).abs() < 1e-12, "{centred:?}");
        let raw = baselines("none");
        assert!(raw.linear > raw.pca * 1.0001, "{raw:?}");
    }
}

#[test]
fn linear_networks_reach_the_closed_forms_on_digits() {
    let Some(digits) = digits() else { return };
    assert_eq!((digits.rows.rows(), digits.rows.shape().len()), (1797, 64));
    let train = "rate = 0.01, epochs = 1200, batch = 1797, seed = 2";
    let without = fit(&linear(8, false, "min_max", train), &digits);
    reaches("digits, 8, no biases", &without, reconstruction(&without).baselines.linear, 0.005);
    // On centred rows, where the biases only have to stay out of the way.
    let with = fit(&linear(8, true, "standard", train), &digits);
    reaches("digits, 8, biases", &with, reconstruction(&with).baselines.pca, 0.005);
}

/// The baselines themselves, by plain sums: the error of a PCA is what its own reconstruction leaves.
#[test]
fn baselines_are_what_reconstructions_leave() {
    let iris = open("iris");
    let (training, held_out) = data::hold_out(&iris, 0.3, 5).unwrap();
    let fit = fit_on(2, &parse("method='pca'\ncode_size=2"), &training, &held_out);
    let x = values(&held_out);
    let rebuilt = fit.model.reconstruct(&held_out).unwrap();
    assert!(matches!(rebuilt.values(), Values::F64(_)), "f64 in, f64 out");
    let y = wide(rebuilt);
    let n = held_out.rows.rows() as f64;
    let lost = x.iter().zip(&y).map(|(x, y)| (x - y) * (x - y)).sum::<f64>() / n;
    let train = values(&training);
    let mean: Vec<f64> =
        (0..4).map(|j| train.iter().skip(j).step_by(4).sum::<f64>() / training.rows.rows() as f64).collect();
    let about =
        x.chunks(4).flat_map(|row| row.iter().zip(&mean).map(|(x, m)| (x - m) * (x - m))).sum::<f64>() / n;
    let summary = reconstruction(&fit);
    assert!((summary.baselines.pca / lost - 1.0).abs() < 1e-10, "{} {lost}", summary.baselines.pca);
    assert!((summary.baselines.mean / about - 1.0).abs() < 1e-12, "{} {about}", summary.baselines.mean);
    assert!((summary.evaluation.squared_error_per_row / lost - 1.0).abs() < 1e-5);
    assert!((summary.evaluation.explained_variance - (1.0 - lost / about)).abs() < 1e-6);
}

#[test]
fn a_pca_of_rows_far_from_zero_is_judged_in_their_own_precision() {
    // Iris moved by a million: every distance is the same, and so is what is lost.
    let iris = open("iris");
    let moved: Vec<f64> = values(&iris).into_iter().map(|value| value + 1e6).collect();
    let fit = fit("method='pca'\ncode_size=2", &made(moved, Shape::flat(4)));
    let summary = reconstruction(&fit);
    // 149/150 of the two eigenvalues that are dropped (METHODS 11).
    let dropped = (0.078_209_50 + 0.023_835_09) * 149.0 / 150.0;
    assert!((summary.baselines.pca - dropped).abs() < 1e-6, "{}", summary.baselines.pca);
    let found = summary.evaluation.squared_error_per_row;
    assert!((found - dropped).abs() < 1e-6, "{found} is not {dropped}");
}

// ------------------------------------------------------------------------------------------------------ determinism

#[test]
fn models_have_the_same_bytes_for_every_number_of_threads() {
    let iris = open("iris");
    let digits = some_rows(&open("mnist:test"), 333, 1);
    let odd: Vec<f32> = (0..101 * 13).map(|i| ((i * 7919) % 1009) as f32 / 1009.0).collect();
    let odd = made(odd, Shape::flat(13));
    let network = |scale: &str, encoder: &str, decoder: &str, loss: &str, train: &str| {
        format!(
            "method='autoencoder'\nscale='{scale}'\nencoder=[{encoder}]\ndecoder=[{decoder}]\nloss='{loss}'\ntrain={{{train}}}"
        )
    };
    let single = ("{dense=32}, 'relu'", "{dense='input'}, 'sigmoid'", "bce");
    let deep = (
        "{dense=19}, 'tanh', {dense=5}, 'relu'",
        "{dense=11, bias=false}, 'sigmoid', {dense='input'}",
        "mse",
    );
    let mut cases = Vec::new();
    for optimizer in ["adadelta", "sgd", "rmsprop", "adam", "adamw"] {
        // 333 = 4 x 77 + 25: the last batch is smaller.
        let train = format!("optimizer='{optimizer}', epochs=2, batch=77");
        cases.push((network("unit", single.0, single.1, single.2, &train), &digits));
    }
    for (batch, epochs) in [(1, 1), (3, 2), (7, 2), (100, 3), (101, 3), (102, 3), (5000, 3)] {
        let train = format!("epochs={epochs}, batch={batch}, seed={batch}");
        cases.push((network("min_max", deep.0, deep.1, deep.2, &train), &odd));
        cases.push((network("standard", "{dense=1}, 'tanh'", "{dense='input'}", "mse", &train), &iris));
    }
    for k in [1, 5, 13] {
        cases.push((format!("method='pca'\nscale='standard'\ncode_size={k}"), &odd));
    }
    cases.push(("method='pca'\nwhiten=true".into(), &digits));
    for (text, rows) in cases {
        let (training, held_out) = data::hold_out(rows, 0.1, 3).unwrap();
        let bytes = |threads| fit_on(threads, &parse(&text), &training, &held_out).model.to_bytes().unwrap();
        let one = bytes(1);
        for threads in [2, 3, 4, 1] {
            assert!(one == bytes(threads), "{threads} threads give another model: {text}");
        }
    }
}

#[test]
fn rows_weigh_the_same_in_a_smaller_last_batch() {
    // One batch of all rows and a batch larger than that are the same training.
    let iris = open("iris");
    let text = |batch: usize| {
        format!(
            "method='autoencoder'\nscale='min_max'\nencoder=[{{dense=2}}]\ndecoder=[{{dense='input'}}]\nloss='mse'\ntrain={{epochs=5, batch={batch}}}"
        )
    };
    let found = |batch| parameters(&fit(&text(batch), &iris).model).to_vec();
    assert_eq!(found(150), found(1000));
    assert_ne!(found(150), found(149));
    // The loss of an epoch is a mean over rows, not over batches: with a rate of almost nothing it is the loss of the
    // weights at the start, however the rows are cut.
    let loss = |batch: usize| {
        let still = format!("{}\n", text(batch)).replace("epochs=5", "epochs=1, optimizer='sgd', rate=1e-30");
        fit(&still, &iris).history[0].train_loss
    };
    let whole = loss(150);
    for batch in [1, 7, 64, 149] {
        assert!((loss(batch) / whole - 1.0).abs() < 1e-5, "batch {batch}: {} is not {whole}", loss(batch));
    }
    assert!(
        (fit(&text(150).replace("epochs=5", "epochs=1, optimizer='sgd', rate=1e-30"), &iris).history[0]
            .held_out_loss
            / whole
            - 1.0)
            .abs()
            < 1e-5
    );
}

#[test]
fn another_seed_is_another_model_and_the_same_seed_the_same() {
    let iris = open("iris");
    let found = |seed: u64| {
        let text = format!(
            "method='autoencoder'\nscale='min_max'\nencoder=[{{dense=2}}]\ndecoder=[{{dense='input'}}]\nloss='mse'\ntrain={{epochs=1, seed={seed}}}"
        );
        parameters(&fit(&text, &iris).model).to_vec()
    };
    assert_eq!(found(7), found(7));
    assert_ne!(found(7), found(8));
}

// ---------------------------------------------------------------------------------------------------------- verdicts

#[test]
fn a_network_whose_units_die_says_so() {
    // One huge step pushes every unit to where relu gives 0 and no gradient comes back.
    let iris = open("iris");
    let text = "method='autoencoder'\nscale='min_max'\nencoder=[{dense=4}, 'relu']\ndecoder=[{dense='input'}, 'sigmoid']\nloss='bce'\n\
                train={optimizer='sgd', rate=1e4, epochs=3, batch=150, seed=3}";
    let fit = fit(text, &iris);
    let summary = reconstruction(&fit);
    // By another road: the codes themselves.
    let codes = &fit.held_out_codes;
    let dead =
        (0..4).filter(|unit| codes.iter().skip(*unit).step_by(4).all(|code| *code == codes[*unit])).count();
    assert_eq!(dead, 4, "the test needs a network that died");
    assert_eq!(summary.evaluation.dead_units, dead);
    assert!(summary.verdict.contains("4 of 4 code units are dead"), "{}", summary.verdict);
    assert!(summary.verdict.starts_with("learned nothing"), "{}", summary.verdict);
}

#[test]
fn a_network_that_gives_back_the_mean_has_learned_nothing() {
    // With a rate of nothing but for the decoder's bias there is no such recipe; a code of one unit that softmax makes 1
    // for every row is one: only the decoder can learn, and the best constant is the mean.
    let iris = open("iris");
    let text = "method='autoencoder'\nscale='standard'\nencoder=[{dense=1}, 'softmax']\ndecoder=[{dense='input'}]\nloss='mse'\n\
                train={optimizer='adam', rate=0.05, epochs=60, batch=150}";
    let fit = fit(text, &iris);
    let summary = reconstruction(&fit);
    let (error, mean) = (summary.evaluation.squared_error_per_row, summary.baselines.mean);
    assert!((error / mean - 1.0).abs() < 0.01, "{error} {mean}");
    assert!(summary.evaluation.explained_variance.abs() < 0.01);
    assert!(summary.verdict.starts_with("learned nothing"), "{}", summary.verdict);
    assert!(summary.verdict.contains("1 of 1 code units are dead"), "{}", summary.verdict);
}

#[test]
fn a_network_that_learns_is_not_blamed() {
    let fit = fit(&linear(2, true, "standard", "rate = 0.02, epochs = 100, batch = 30"), &open("iris"));
    let verdict = fit.verdict();
    assert!(verdict.starts_with("as good as PCA-2") && !verdict.contains("dead"), "{verdict}");
}

#[test]
fn a_code_as_wide_as_the_row_is_said_not_to_compress() {
    let fit = fit(&linear(4, true, "standard", "rate = 0.02, epochs = 20, batch = 30"), &open("iris"));
    assert!(fit.verdict().contains("linear code is enough"), "{}", fit.verdict());
    assert!(fit.verdict().contains("does not compress"), "{}", fit.verdict());
}

#[test]
fn a_run_that_diverges_names_the_place_and_leaves_a_finite_model() {
    let iris = open("iris");
    let mut diverged = 0;
    for optimizer in ["sgd", "adam", "adadelta", "rmsprop", "adamw"] {
        for rate in ["1e2", "1e5", "1e10", "1e20", "1e30", "3e38"] {
            for batch in [16, 1000] {
                for function in ["", ", 'relu'"] {
                    let text = format!(
                        "method='autoencoder'\nscale='none'\nencoder=[{{dense=3}}{function}]\ndecoder=[{{dense='input'}}]\nloss='mse'\n\
                         train={{optimizer='{optimizer}', rate={rate}, epochs=4, batch={batch}}}"
                    );
                    let fit = fit_on(1, &parse(&text), &iris, &iris);
                    if let Ended::Diverged(reason) = &fit.ended {
                        diverged += 1;
                        assert!(reason.contains("epoch ") && reason.contains("step "), "{reason}");
                        assert!(reason.contains("encoder.1") || reason.contains("decoder.1"), "{reason}");
                    }
                    // Whatever came of it, it can be written, read, and used.
                    let model = Model::from_bytes(&fit.model.to_bytes().unwrap())
                        .unwrap_or_else(|error| panic!("{text}: {error}"));
                    assert_eq!(parameters(&model), parameters(&fit.model));
                    assert!(parameters(&model).iter().all(|value| value.is_finite()), "{text}");
                    assert!(!fit.verdict().contains("NaN"), "{}", fit.verdict());
                }
            }
        }
    }
    assert!(diverged >= 50, "only {diverged} runs diverged: the test needs wilder settings");
}

// ------------------------------------------------------------------------------------------------------------- MNIST

/// METHODS 11: a PCA fitted on the 60,000 training images, squared error per test image.
const MNIST: [(usize, f64); 8] = [
    (2, 43.6449),
    (10, 26.7139),
    (20, 18.4539),
    // Hinton and Salakhutdinov (2006) print 13.87.
    (30, 13.8663),
    (32, 13.1933),
    (50, 9.0043),
    (64, 7.0927),
    (100, 4.4028),
];

#[test]
fn mnist_has_the_published_variance_and_pca_errors() {
    // One fit with 100 components; the error of fewer is what the first codes leave of each row's distance to the mean.
    let (training, test) = (open("mnist"), open("mnist:test"));
    let fit = fit_on(2, &parse("method='pca'\ncode_size=100"), &training, &test);
    let summary = reconstruction(&fit);
    let near =
        |what: &str, got: f64, want: f64| assert!((got - want).abs() < 0.0005, "{what}: {got} is not {want}");
    near("the constant mean", summary.baselines.mean, 52.8965);
    near("PCA-100", summary.evaluation.squared_error_per_row, 4.4028);
    // Divided by n - 1 there, by n in the table.
    near("total variance", pca(&fit.model).total_variance * 59_999.0 / 60_000.0, 52.7250);
    let codes = &fit.held_out_codes;
    for (k, want) in MNIST {
        let kept =
            codes.chunks(100).flat_map(|code| &code[..k]).map(|code| f64::from(*code).powi(2)).sum::<f64>();
        near(&format!("PCA-{k}"), summary.baselines.mean - kept / 10_000.0, want);
    }
}

#[test]
fn mnist_has_the_floor_of_bce_and_the_bce_of_its_mean() {
    let (training, test) = (open("mnist"), open("mnist:test"));
    let mean = |rows: &Dataset<'_>| {
        let mut mean = vec![0.0; 784];
        for row in values(rows).chunks(784) {
            mean.iter_mut()
                .zip(row)
                .for_each(|(mean, value)| *mean += value / 255.0 / rows.rows.rows() as f64);
        }
        mean
    };
    let text = "method='autoencoder'\nencoder=[{dense=1}, 'relu']\ndecoder=[{dense='input'}, 'sigmoid']\nloss='bce'\ntrain={epochs=1}";
    let mut file = Parts::of(&fit(text, &some_rows(&training, 100, 1)).model.to_bytes().unwrap());
    file.set_f64("training_mean", &mean(&training));
    for name in ["encoder.1.weights", "encoder.1.bias", "decoder.1.weights"] {
        file.at(name).3.fill(0);
    }
    // METHODS 11: the floor, the BCE of these rows' own mean image, their distance to the mean of the training rows.
    for (rows, floor, bce, squared) in
        [(&training, 0.05836, 0.26279, 52.7250), (&test, 0.05808, 0.26231, 52.8965)]
    {
        // A network that gives back the mean image whatever it is shown: its bias is the mean, its weights are nothing.
        let log_odds = |mean: f64| {
            let mean = mean.clamp(1e-7, 1.0 - 1e-7);
            (mean / (1.0 - mean)).ln()
        };
        file.set_f64("decoder.1.bias", &mean(rows).into_iter().map(log_odds).collect::<Vec<_>>());
        let found = evaluate(&Model::from_bytes(&file.bytes()).unwrap(), rows);
        let near = |got: f64, want: f64, tolerance: f64| {
            assert!((got - want).abs() < tolerance, "{}: {got} is not {want}", rows.name);
        };
        near(found.bce_floor.unwrap(), floor, 6e-6);
        near(found.bce.unwrap(), bce, 6e-6);
        near(found.mean_squared_error_per_row, squared, 5e-4);
        // Their own mean is at most a little nearer than that of the training rows.
        near(found.squared_error_per_row, squared, 0.1);
        assert!(found.squared_error_per_row < found.mean_squared_error_per_row + 1e-4);
        assert_eq!(found.dead_units, 1);
    }
}

#[test]
fn training_in_bfloat16_loses_little_and_does_not_depend_on_threads() {
    let images = open("mnist");
    let (training, held_out) = (some_rows(&images, 3000, 7), some_rows(&images, 500, 101));
    let fit = |precision: &str, threads: usize| {
        let settings = format!("epochs = 4, batch = 64, seed = 3, precision = '{precision}'");
        let text = format!(
            "method = 'autoencoder'\nloss = 'bce'\nencoder = [{{ dense = 64 }}, 'relu', {{ dense = 16 }}]\n\
             decoder = [{{ dense = 64 }}, 'relu', {{ dense = 'input' }}, 'sigmoid']\ntrain = {{ {settings} }}"
        );
        fit_on(threads, &parse(&text), &training, &held_out)
    };
    let (single, half) = (fit("f32", 2), fit("bf16", 2));
    let loss = |fit: &Fit| reconstruction(fit).evaluation.loss;
    assert_ne!(parameters(&single.model), parameters(&half.model));
    let over = loss(&half) / loss(&single) - 1.0;
    assert!(over.abs() < 0.01, "{} against {}: {over}", loss(&half), loss(&single));
    let bytes = half.model.to_bytes().unwrap();
    for threads in [1, 3, 4] {
        assert!(fit("bf16", threads).model.to_bytes().unwrap() == bytes, "{threads} threads");
    }
}
