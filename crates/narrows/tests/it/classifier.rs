//! Networks that tell classes: what they start from, what stays frozen, and that they learn.

use crate::common::{
    classification, classify, fit, fit_with_checkpoints, labelled, made, open, options, parameter,
    parameters, recipe, some_rows, values, wide,
};
use narrows::experiments::random_baseline::random_baseline;
use narrows::fit::Steps;
use narrows::progress::Ended;
use narrows::{Dataset, Fit, FitOptions, Labels, Model, Recipe, Shape};
use std::ops::ControlFlow;

fn digits() -> (Dataset<'static>, Dataset<'static>) {
    (some_rows(&open("mnist"), 600, 31), some_rows(&open("mnist:test"), 200, 9))
}

const SMALL: [&str; 2] = [
    "encoder=[{dense=40}, \"tanh\", {dense=20}, \"tanh\"]",
    "train={optimizer=\"adam\", rate=0.003, batch=20, epochs=3, seed=5}",
];

fn small(settings: &[&str]) -> Recipe {
    recipe("classifier", &SMALL.iter().chain(settings).copied().collect::<Vec<_>>())
}

/// The same without pre-training.
fn not_pretrained(recipe: Recipe) -> Recipe {
    let Recipe::Classifier(mut recipe) = recipe else { panic!("a classifier") };
    recipe.pretrain = None;
    Recipe::Classifier(recipe)
}

fn fit_from(recipe: &Recipe, start_from: Option<&Model>, threads: usize) -> Fit {
    let (training, held_out) = digits();
    let options = FitOptions { start_from, ..options(&held_out, threads) };
    narrows::fit(recipe, &training, options).unwrap()
}

fn refused(
    recipe: &Recipe,
    training: &Dataset<'_>,
    held_out: &Dataset<'_>,
    start_from: Option<&Model>,
) -> String {
    let options = FitOptions { start_from, ..options(held_out, 1) };
    narrows::fit(recipe, training, options).unwrap_err().to_string()
}

const ENCODER: [&str; 4] = ["encoder.1.weights", "encoder.1.bias", "encoder.2.weights", "encoder.2.bias"];

/// Three clouds of points that overlap a little: the best classifier is the nearest mean (Fisher 1936), known in closed form.
fn clouds(rows: usize, seed: u64) -> Dataset<'static> {
    let mut state = seed;
    let mut uniform = || {
        // Knuth's MMIX: good enough to scatter points.
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let (mut numbers, mut names) = (Vec::new(), Vec::new());
    for row in 0..rows {
        let class = row % 3;
        let (x, y) = [(0.0, 0.0), (3.0, 0.0), (0.0, 3.0)][class];
        let (radius, angle) = ((-2.0 * (1.0 - uniform()).ln()).sqrt(), std::f64::consts::TAU * uniform());
        numbers.extend([(x + radius * angle.cos()) as f32, (y + radius * angle.sin()) as f32]);
        names.push(["red", "green", "blue"][class]);
    }
    made(numbers, Shape::flat(2)).with_labels(Labels::from_names(&names).unwrap()).unwrap()
}

/// With equal normal clouds the boundaries of the best classifier are straight lines: softmax regression finds them.
#[test]
fn softmax_regression_reaches_the_best_error_there_is() {
    let (training, held_out) = (clouds(3000, 1), clouds(6000, 2));
    let train = "train={optimizer=\"adam\", rate=0.01, epochs=20, batch=50}";
    let regression = not_pretrained(recipe("classifier", &["encoder=[]", "scale=none", train]));
    let fit = fit(&regression, &training, &held_out);
    let summary = classification(&fit);
    // The means are known: whoever goes to the nearest is right as often as anyone can be.
    let rows = values(&held_out);
    let nearest = |row: &[f64]| {
        let distance = |(x, y): (f64, f64)| (row[0] - x).powi(2) + (row[1] - y).powi(2);
        let distances = [(0.0, 0.0), (3.0, 0.0), (0.0, 3.0)].map(distance);
        (0..3).min_by(|&a, &b| distances[a].total_cmp(&distances[b])).unwrap()
    };
    let best = rows.chunks_exact(2).enumerate().filter(|(row, point)| nearest(point) != row % 3).count()
        as f64
        / 6000.0;
    let error = summary.evaluation.error_rate;
    assert!((error - best).abs() < 0.005, "{error} against {best}");
    assert!((summary.nearest_mean_error - best).abs() < 0.005);
    assert!((summary.commonest_error - 2.0 / 3.0).abs() < 1e-12);
    // The log-odds of two such clouds are linear with the slope of the distance of their means: 3.
    let weights = parameter(&fit.model, "decoder.1.weights");
    let names = fit.model.classes().unwrap();
    let column = |name: &str| names.iter().position(|known| known == name).unwrap();
    let slope = weights[column("green")] - weights[column("red")];
    assert!((slope - 3.0).abs() < 0.4, "{slope}");
    // Where the sums overflow there is no class to tell.
    let far = made(vec![1.0f32, 2.0, 3e38, -3e38], Shape::flat(2));
    let error = fit.model.predict(&far).unwrap_err().to_string();
    assert!(error.contains("row 2"), "{error}");
}

#[test]
fn probabilities_add_up_and_the_confusions_count_them() {
    let (_, held_out) = digits();
    // Noise is for training: neither the engine nor `predict` judges with it.
    let noisy = "encoder=[{gaussian_noise=0.3}, {dense=40}, \"tanh\", {dense=20}, \"tanh\"]";
    let fit = fit_from(&small(&["pretrain={epochs=1}", noisy]), None, 2);
    let shares = fit.model.predict(&held_out).unwrap().into_values().into_f32();
    assert_eq!(shares.len(), 200 * 10);
    for row in shares.chunks_exact(10) {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5 && row.iter().all(|share| *share >= 0.0));
    }
    let found = classify(&fit.model, &held_out);
    assert_eq!(found, classification(&fit).evaluation);
    let labels = held_out.labels.as_ref().unwrap();
    let told =
        |row: usize| (0..10).max_by(|&a, &b| shares[row * 10 + a].total_cmp(&shares[row * 10 + b])).unwrap();
    let wrong = (0..200).filter(|&row| told(row) != labels.classes[row] as usize).count();
    assert_eq!((found.misclassified, found.error_rate), (wrong, wrong as f64 / 200.0));
    assert_eq!(found.confusion.iter().flatten().sum::<usize>(), 200);
    // The last epoch was judged by the engine, over the same rows.
    let last = fit.history.last().unwrap();
    assert_eq!(last.held_out_error_rate, Some(found.error_rate));
    assert!((last.held_out_loss - found.loss).abs() < 1e-5);
    assert!(found.error_rate < 0.3, "{}", fit.verdict());
    // What tells classes rebuilds no rows, and is no autoencoder to be split.
    for error in [
        fit.model.reconstruct(&held_out).unwrap_err(),
        fit.model.decode(fit.model.encode(&held_out).unwrap()).unwrap_err(),
        fit.model.split().unwrap_err(),
        fit.model.reconstruct_scaled(&*held_out.rows, &[0]).unwrap_err(),
    ] {
        assert!(error.to_string().contains("classifier"), "{error}");
    }
    assert_eq!(fit.model.encode(&held_out).unwrap().values().len(), 200 * 20);
}

#[test]
fn threads_change_nothing() {
    let settings = small(&[
        "pretrain={epochs=1, noise={masking_noise=0.3}}",
        "encoder=[{gaussian_noise=0.1}, {dense=40}, \"relu\", {dropout=0.3}, {dense=20}, \"silu\"]",
        "labelled=150",
    ]);
    let one = fit_from(&settings, None, 1);
    let bytes = one.model.to_bytes().unwrap();
    assert_eq!(bytes, fit_from(&settings, None, 3).model.to_bytes().unwrap());
    assert_eq!(Model::from_bytes(&bytes).unwrap(), one.model);
}

/// The stack that training on labels starts from is made of autoencoders of autoencoders, bit for bit: with a rate of next to
/// nothing it stays there.
#[test]
fn the_start_is_the_stacked_encoders_bit_for_bit() {
    let (training, held_out) = digits();
    let quiet = "train={optimizer=\"sgd\", rate=1e-30, batch=20, epochs=1, seed=5}";
    let stacked = fit_from(&small(&[quiet, "pretrain={epochs=[3, 2], rate=[0.3, 0.1]}"]), None, 2);
    // The same encoder in the middle of an autoencoder, whose pre-training another test rebuilds by hand.
    let unrolled = recipe(
        "single",
        &[
            SMALL[0],
            "decoder=[{dense=40}, \"tanh\", {dense=\"input\"}, \"sigmoid\"]",
            quiet,
            "weights.init=auto",
            "pretrain={epochs=[3, 2], rate=[0.3, 0.1]}",
        ],
    );
    let unrolled = fit(&unrolled, &training, &held_out);
    for name in ENCODER {
        assert_eq!(parameter(&stacked.model, name), parameter(&unrolled.model, name), "{name}");
    }
    let codes = |model: &Model| model.encode(&held_out).unwrap();
    assert_eq!(codes(&stacked.model), codes(&unrolled.model));
    // From the model itself: the same.
    let from = fit_from(&small(&[quiet]), Some(&unrolled.model), 2);
    assert_eq!(codes(&from.model), codes(&unrolled.model));
}

#[test]
fn a_frozen_encoder_stays_bit_for_bit_and_another_does_not() {
    let settings = small(&["pretrain={epochs=20}"]);
    let start = fit_from(&small(&["train.learning_rate=1e-30", "pretrain={epochs=20, rate=0.003}"]), None, 2);
    let frozen = settings.with("frozen", true).unwrap();
    let fits = [fit_from(&frozen, None, 2), fit_from(&settings, None, 2)];
    for name in ENCODER {
        let own = parameter(&start.model, name);
        assert_eq!(parameter(&fits[0].model, name), own, "{name}");
        assert_ne!(parameter(&fits[1].model, name), own, "{name}");
    }
    // The layer on top does learn, and from the same start as a network that is not frozen.
    assert!(classification(&fits[0]).evaluation.error_rate < 0.4, "{}", fits[0].verdict());
    // An encoder from a model stays as it is, too: an autoencoder's, and a PCA's.
    let (training, held_out) = digits();
    let pca = fit(&recipe("pca", &["code_size=20"]), &training, &held_out);
    let single = fit(
        &recipe("single", &["train={optimizer=\"adam\", rate=0.003, epochs=20, batch=20}"]),
        &training,
        &held_out,
    );
    for model in [&pca.model, &single.model] {
        let frozen = small(&["train.epochs=20", "frozen=true"]);
        let found = fit_from(&frozen, Some(model), 2);
        let features = wide(found.model.encode(&held_out).unwrap());
        let codes = wide(model.encode(&held_out).unwrap());
        assert!(features.iter().zip(&codes).all(|(a, b)| (a - b).abs() < 2e-4 * (1.0 + b.abs())));
        assert!(classification(&found).evaluation.error_rate < 0.4, "{}", found.verdict());
        let kept = parameter(&found.model, "encoder.1.weights");
        assert_eq!(kept, parameter(&fit_from(&frozen, Some(model), 1).model, "encoder.1.weights"));
    }
    let found = fit_from(&small(&["frozen=true"]), Some(&single.model), 2);
    assert_eq!(parameter(&single.model, "encoder.1.weights"), parameter(&found.model, "encoder.1.weights"));
}

#[test]
fn few_labels_are_of_every_class_and_the_others_have_no_say() {
    let (training, held_out) = digits();
    let few = small(&["labelled=30", "pretrain={epochs=1}"]);
    let found = fit_from(&few, None, 2);
    assert_eq!(classification(&found).labelled_rows, 30);
    assert_eq!(classification(&found).training_rows, 600);
    let labels = training.labels.as_ref().unwrap();
    let with =
        |recipe: &Recipe, labels: Labels| fit(recipe, &labelled(&training, Some(labels)), &held_out).model;
    // Two rows that change their labels with each other leave the sizes of the classes as they are. Of 600 rows 30 were
    // chosen, so that most pairs are not among them: then nothing changes.
    let same = (0..4)
        .filter(|pair| {
            let mut other = labels.clone();
            let first = pair * 7;
            let second = (first + 1..600).find(|&row| labels.classes[row] != labels.classes[first]).unwrap();
            other.classes.swap(first, second);
            parameters(&with(&few, other)) == parameters(&found.model)
        })
        .count();
    assert!(same >= 2, "labels that were not chosen must not matter");
    // But every one of them does where all are learned from.
    let all = small(&["pretrain={epochs=1}"]);
    let mut other = labels.clone();
    other.classes.swap(0, (1..600).find(|&row| labels.classes[row] != labels.classes[0]).unwrap());
    assert_ne!(parameters(&with(&all, other)), parameters(&fit_from(&all, None, 2).model));
}

#[test]
fn what_cannot_tell_classes_is_refused() {
    let (training, held_out) = digits();
    let bare = labelled(&training, None);
    let all_of = |name: &str, rows: &Dataset<'static>| {
        labelled(rows, Some(Labels::from_names(&vec![name; rows.rows.rows()]).unwrap()))
    };
    let settings = small(&[]);
    for (error, part) in [
        (refused(&settings, &bare, &held_out, None), "needs the class of each row"),
        (refused(&settings, &training, &labelled(&held_out, None), None), "needs the class"),
        (refused(&small(&["labelled=9"]), &training, &held_out, None), "9 rows of 600 with 10 classes"),
        (refused(&small(&["labelled=601"]), &training, &held_out, None), "from 10 to 600"),
        (refused(&settings, &all_of("a", &training), &held_out, None), "one class"),
        (refused(&settings, &training, &all_of("x", &held_out), None), "row 1 is of class `x`"),
    ] {
        assert!(error.contains(part), "{error}");
    }
    let frozen = not_pretrained(small(&["frozen=true"]));
    assert!(refused(&frozen, &training, &held_out, None).contains("random weights"));
    let variational = fit(&recipe("vae", &["train.epochs=1", "train.batch_size=300"]), &training, &held_out);
    assert!(refused(&settings, &training, &held_out, Some(&variational.model)).contains("variational"));
    let error = variational.model.predict(&held_out).unwrap_err().to_string();
    assert!(error.contains("no classifier"), "{error}");
}

#[test]
fn a_run_that_was_stopped_goes_on_as_if_it_had_not() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model.narrows");
    let settings = small(&["pretrain={epochs=1}", "labelled=200"]);
    let run = |resume, stop| fit_with_checkpoints(&settings, &digits(), &model, resume, stop);
    assert_eq!(run(false, 2).unwrap().ended, Ended::Interrupted);
    let resumed = run(true, 0).unwrap();
    let whole = fit_from(&settings, None, 2);
    assert_eq!(parameters(&resumed.model), parameters(&whole.model));
    let errors = |fit: &Fit| fit.history.iter().map(|record| record.held_out_error_rate).collect::<Vec<_>>();
    assert_eq!(errors(&resumed), errors(&whole));
}

#[test]
fn a_twin_has_as_many_updates_and_the_answer_is_plain() {
    let (training, held_out) = digits();
    let settings = small(&["pretrain={epochs=[2, 1]}", "labelled=60"]);
    let fit = fit_from(&settings, None, 2);
    let all = |recipe: &Recipe, first: &Fit| {
        random_baseline(recipe, first, 2, &training, &held_out, None, &mut |_| ControlFlow::Continue(()))
    };
    let found = all(&settings, &fit).unwrap();
    assert_eq!((found.pretrained.len(), found.random.len()), (2, 2));
    // 600 rows in batches of 20: 30 steps an epoch of a layer. An epoch on labels has 100 at least: 60 rows 34 times.
    for (own, random) in found.pretrained.iter().zip(&found.random) {
        assert_eq!(own.steps, Steps { pretraining: 3 * 30, training: 3 * 102 });
        // Whole epochs: one more.
        assert_eq!(random.steps, Steps { pretraining: 0, training: 4 * 102 });
        assert_eq!(own.seed, random.seed);
        assert_ne!(own.history[0].held_out_loss, random.history[0].held_out_loss);
    }
    assert_eq!(found.pretrained[0].metric, classification(&fit).evaluation.error_rate);
    let answer = found.verdict();
    assert!(answer.contains("60 labels of 600 rows, over 2 seeds"), "{answer}");

    let stacked = recipe(
        "stacked",
        &[
            "encoder=[{dense=9}, \"tanh\", {dense=4}]",
            "decoder=[{dense=9}, \"tanh\", {dense=\"input\"}, \"sigmoid\"]",
            "pretrain.epochs=[3, 2]",
            "train.epochs=4",
        ],
    );
    let rebuilding = crate::common::fit(&stacked, &training, &held_out);
    let found = all(&stacked, &rebuilding).unwrap();
    // 600 rows in batches of 256.
    assert_eq!(found.pretrained[0].steps, Steps { pretraining: 5 * 3, training: 4 * 3 });
    assert_eq!(found.random[0].steps, Steps { pretraining: 0, training: 9 * 3 });
    let error = all(&recipe("single", &[]), &rebuilding).unwrap_err().to_string();
    assert!(error.contains("pre-trained"), "{error}");
}
