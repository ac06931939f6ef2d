//! What is learned, checked by other roads: closed forms, published figures, other numbers of threads.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use crate::common::{open, values};

use narrows::compute::Compute;
use narrows::data::{self, Dataset, Labels, OpenOptions, Shape, Subset, Table, Values};
use narrows::evaluation::reconstruction::evaluate;
use narrows::fit::Fit;
use narrows::model::Fitted;
use narrows::progress::Ended;
use narrows::recipe::RecipeFile;

fn fit_with(text: &str, training: &Dataset<'_>, validation: &Dataset<'_>, threads: usize) -> Fit {
    let spec = RecipeFile::parse("test", "test", text).unwrap().recipe().unwrap();
    narrows::fit::fit(&spec, training, validation, Compute::new(Some(threads)), &mut |_| {
        ControlFlow::Continue(())
    })
    .unwrap()
}

/// Judged on the rows it was fitted on. With so few rows a second thread would only be waited for.
fn fit(text: &str, rows: &Dataset<'_>) -> Fit {
    let fit = fit_with(text, rows, rows, 1);
    assert_eq!(fit.ended, Ended::Finished);
    fit
}

fn made(values: Values, shape: Shape) -> Dataset<'static> {
    Dataset {
        name: "made".into(),
        rows: Arc::new(Table::new(values, shape).unwrap()),
        labels: None,
        columns: None,
    }
}

fn first_rows<'a>(dataset: &Dataset<'a>, count: usize) -> Dataset<'a> {
    let rows = Arc::new(Subset::new(dataset.rows.clone(), (0..count).collect()));
    let labels =
        dataset.labels.as_ref().map(|labels: &Labels| labels.select(&(0..count).collect::<Vec<_>>()));
    Dataset { name: dataset.name.clone(), rows, labels, columns: dataset.columns.clone() }
}

// ------------------------------------------------------------- gradients must find what linear algebra knows at once

/// 1,797 digits of 8 x 8 with values 0 to 16, and their classes in the last column.
fn digits() -> Option<Dataset<'static>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/tables/digits.csv.gz");
    if !path.exists() {
        eprintln!("skipped: {} is absent", path.display());
        return None;
    }
    let options = OpenOptions { label: Some("65".into()), ..OpenOptions::default() };
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
    let found = fit.summary().evaluation.squared_error_per_row;
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
                without.summary().baselines.linear,
                0.005,
            );
            let with = fit(&linear(code, true, scale, train), &iris);
            reaches(&format!("iris {scale}, {code}, biases"), &with, with.summary().baselines.pca, 0.005);
        }
    }
}

#[test]
fn on_centred_rows_both_closed_forms_are_one() {
    // METHODS 3: the linear autoencoder equals PCA exactly when the data are centred, and loses more or as much else.
    let iris = open("iris");
    for code in 1..4 {
        let baselines = |scale: &str| {
            fit(&format!("method='pca'\nscale='{scale}'\ncode_size={code}"), &iris).summary().baselines
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
    reaches("digits, 8, no biases", &without, without.summary().baselines.linear, 0.005);
    // On centred rows, where the biases only have to stay out of the way.
    let with = fit(&linear(8, true, "standard", train), &digits);
    reaches("digits, 8, biases", &with, with.summary().baselines.pca, 0.005);
}

/// The baselines themselves, by plain sums: the error of a PCA is what its own reconstruction leaves.
#[test]
fn baselines_are_what_reconstructions_leave() {
    let iris = open("iris");
    let (training, held_out) = data::hold_out(&iris, 0.3, 5).unwrap();
    let fit = fit_with("method='pca'\ncode_size=2", &training, &held_out, 2);
    let x = values(&held_out);
    let Values::F64(y) = fit.model.reconstruct(&*held_out.rows, Compute::new(Some(1))).unwrap() else {
        panic!("f64")
    };
    let n = held_out.rows.rows() as f64;
    let lost = x.iter().zip(&y).map(|(x, y)| (x - y) * (x - y)).sum::<f64>() / n;
    let train = values(&training);
    let mean: Vec<f64> =
        (0..4).map(|j| train.iter().skip(j).step_by(4).sum::<f64>() / training.rows.rows() as f64).collect();
    let about =
        x.chunks(4).flat_map(|row| row.iter().zip(&mean).map(|(x, m)| (x - m) * (x - m))).sum::<f64>() / n;
    let summary = fit.summary();
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
    let fit = fit("method='pca'\ncode_size=2", &made(Values::F64(moved), Shape::flat(4)));
    let summary = fit.summary();
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
    let digits = first_rows(&open("mnist:test"), 333);
    let odd = made(
        Values::F32((0..101 * 13).map(|i| ((i * 7919) % 1009) as f32 / 1009.0).collect()),
        Shape::flat(13),
    );
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
        let bytes = |threads| fit_with(&text, &training, &held_out, threads).model.to_bytes().unwrap();
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
    let parameters = |batch| match fit(&text(batch), &iris).model.fitted {
        Fitted::Network { parameters, .. } => parameters,
        Fitted::Pca(_) => panic!("a network"),
    };
    assert_eq!(parameters(150), parameters(1000));
    assert_ne!(parameters(150), parameters(149));
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
    let bytes = |seed: u64| {
        let text = format!(
            "method='autoencoder'\nscale='min_max'\nencoder=[{{dense=2}}]\ndecoder=[{{dense='input'}}]\nloss='mse'\ntrain={{epochs=1, seed={seed}}}"
        );
        match fit(&text, &iris).model.fitted {
            Fitted::Network { parameters, .. } => parameters,
            Fitted::Pca(_) => panic!("a network"),
        }
    };
    assert_eq!(bytes(7), bytes(7));
    assert_ne!(bytes(7), bytes(8));
}

// ---------------------------------------------------------------------------------------------------------- verdicts

#[test]
fn a_network_whose_units_die_says_so() {
    // One huge step pushes every unit to where relu gives 0 and no gradient comes back.
    let iris = open("iris");
    let text = "method='autoencoder'\nscale='min_max'\nencoder=[{dense=4}, 'relu']\ndecoder=[{dense='input'}, 'sigmoid']\nloss='bce'\n\
                train={optimizer='sgd', rate=1e4, epochs=3, batch=150, seed=3}";
    let fit = fit(text, &iris);
    let summary = fit.summary();
    // By another road: the codes themselves.
    let codes = &fit.validation_codes;
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
    let summary = fit.summary();
    let (error, mean) = (summary.evaluation.squared_error_per_row, summary.baselines.mean);
    assert!((error / mean - 1.0).abs() < 0.01, "{error} {mean}");
    assert!(summary.evaluation.explained_variance.abs() < 0.01);
    assert!(summary.verdict.starts_with("learned nothing"), "{}", summary.verdict);
    assert!(summary.verdict.contains("1 of 1 code units are dead"), "{}", summary.verdict);
}

#[test]
fn a_network_that_learns_is_not_blamed() {
    let fit = fit(&linear(2, true, "standard", "rate = 0.02, epochs = 100, batch = 30"), &open("iris"));
    let verdict = &fit.summary().verdict;
    assert!(verdict.starts_with("as good as PCA-2") && !verdict.contains("dead"), "{verdict}");
}

#[test]
fn a_code_as_wide_as_the_row_is_said_not_to_compress() {
    let fit = fit(&linear(4, true, "standard", "rate = 0.02, epochs = 20, batch = 30"), &open("iris"));
    assert!(fit.summary().verdict.contains("linear code is enough"), "{}", fit.summary().verdict);
    assert!(fit.summary().verdict.contains("does not compress"), "{}", fit.summary().verdict);
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
                    let fit = fit_with(&text, &iris, &iris, 1);
                    if let Ended::Diverged(reason) = &fit.ended {
                        diverged += 1;
                        assert!(reason.contains("epoch ") && reason.contains("step "), "{reason}");
                        assert!(reason.contains("encoder.1") || reason.contains("decoder.1"), "{reason}");
                    }
                    // Whatever came of it, it can be written, read, and used.
                    let model = narrows::model::Model::from_bytes(&fit.model.to_bytes().unwrap())
                        .unwrap_or_else(|error| panic!("{text}: {error}"));
                    assert_eq!(model.fitted, fit.model.fitted);
                    let Fitted::Network { parameters, .. } = &model.fitted else { panic!("a network") };
                    assert!(parameters.iter().all(|value| value.is_finite()), "{text}");
                    assert!(!fit.summary().verdict.contains("NaN"), "{}", fit.summary().verdict);
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
    let fit = fit_with("method='pca'\ncode_size=100", &training, &test, 2);
    let summary = fit.summary();
    let near =
        |what: &str, got: f64, want: f64| assert!((got - want).abs() < 0.0005, "{what}: {got} is not {want}");
    near("the constant mean", summary.baselines.mean, 52.8965);
    near("PCA-100", summary.evaluation.squared_error_per_row, 4.4028);
    let Fitted::Pca(pca) = &fit.model.fitted else { panic!("a PCA") };
    // Divided by n - 1 there, by n in the table.
    near("total variance", pca.total_variance * 59_999.0 / 60_000.0, 52.7250);
    let codes = &fit.validation_codes;
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
    let mut model = fit(text, &first_rows(&training, 100)).model;
    model.training_mean = mean(&training);
    // METHODS 11: the floor, the BCE of these rows' own mean image, their distance to the mean of the training rows.
    for (rows, floor, bce, squared) in
        [(&training, 0.05836, 0.26279, 52.7250), (&test, 0.05808, 0.26231, 52.8965)]
    {
        // A network that gives back the mean image whatever it is shown: its bias is the mean, its weights are nothing.
        let Fitted::Network { plan, parameters } = &mut model.fitted else { panic!("a network") };
        parameters.fill(0.0);
        let bias = plan.parameters.iter().find(|parameter| parameter.name == "decoder.1.bias").unwrap();
        for (value, mean) in parameters[bias.range.clone()].iter_mut().zip(mean(rows)) {
            let mean = mean.clamp(1e-7, 1.0 - 1e-7);
            *value = (mean / (1.0 - mean)).ln() as f32;
        }
        let found = evaluate(&model, &*rows.rows, Compute::new(Some(2))).unwrap();
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
