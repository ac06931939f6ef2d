//! Networks that tell classes: what they start from, what stays frozen, and that they learn.

use crate::common::{fit, made, open, recipe, some_rows, values};
use narrows::compute::Compute;
use narrows::data::{Dataset, Labels, Shape};
use narrows::evaluation::classes::classify;
use narrows::experiments::random_baseline::{First, twins};
use narrows::fit::classifier::{ClassifierFit, fit_classifier};
use narrows::fit::{CheckpointOptions, Options};
use narrows::model::{Fitted, Model};
use narrows::progress::{Ended, Event};
use narrows::recipe::{ClassifierRecipe, Recipe};
use std::ops::ControlFlow;

fn digits() -> (Dataset<'static>, Dataset<'static>) {
    (some_rows(&open("mnist"), 600, 31), some_rows(&open("mnist:test"), 200, 9))
}

fn classifier(settings: &[&str]) -> ClassifierRecipe {
    let Recipe::Classifier(spec) = recipe("classifier", settings).recipe().unwrap() else {
        panic!("a classifier")
    };
    spec
}

const SMALL: [&str; 2] = [
    "encoder=[{dense=40}, \"tanh\", {dense=20}, \"tanh\"]",
    "train={optimizer=\"adam\", rate=0.003, batch=20, epochs=3, seed=5}",
];

fn small(settings: &[&str]) -> ClassifierRecipe {
    classifier(&SMALL.iter().chain(settings).copied().collect::<Vec<_>>())
}

fn fit_from(spec: &ClassifierRecipe, start: Option<&Model>, threads: usize) -> ClassifierFit {
    let (training, held_out) = digits();
    let options = Options { start, ..Options::default() };
    let compute = Compute::new(Some(threads));
    fit_classifier(spec, &training, &held_out, compute, options, &mut |_| ControlFlow::Continue(())).unwrap()
}

fn refused(
    spec: &ClassifierRecipe,
    training: &Dataset<'_>,
    held_out: &Dataset<'_>,
    start: Option<&Model>,
) -> String {
    let options = Options { start, ..Options::default() };
    let compute = Compute::new(Some(1));
    fit_classifier(spec, training, held_out, compute, options, &mut |_| ControlFlow::Continue(()))
        .unwrap_err()
        .to_string()
}

fn parameter(model: &Model, name: &str) -> Vec<f32> {
    let Fitted::Network { plan, parameters } = &model.fitted else { panic!("a network") };
    let found = plan.parameters.iter().find(|parameter| parameter.name == name);
    parameters[found.unwrap_or_else(|| panic!("{name}")).range.clone()].to_vec()
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
    Dataset { labels: Some(Labels::from_names(&names).unwrap()), ..made(numbers, Shape::flat(2)) }
}

/// With equal normal clouds the boundaries of the best classifier are straight lines: softmax regression finds them.
#[test]
fn softmax_regression_reaches_the_best_error_there_is() {
    let (training, held_out) = (clouds(3000, 1), clouds(6000, 2));
    let regression = classifier(&[
        "encoder=[]",
        "scale=none",
        "train={optimizer=\"adam\", rate=0.01, epochs=20, batch=50}",
    ]);
    let mut regression = regression;
    regression.pretrain = None;
    let compute = Compute::new(Some(2));
    let fit = fit_classifier(&regression, &training, &held_out, compute, Options::default(), &mut |_| {
        ControlFlow::Continue(())
    })
    .unwrap();
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
    let error = fit.summary().evaluation.error();
    assert!((error - best).abs() < 0.005, "{error} against {best}");
    assert!((fit.summary().nearest_mean_error - best).abs() < 0.005);
    assert!((fit.summary().commonest_error - 2.0 / 3.0).abs() < 1e-12);
    // The log-odds of two such clouds are linear with the slope of the distance of their means: 3.
    let weights = parameter(&fit.model, "decoder.1.weights");
    let names = &fit.model.classes.as_ref().unwrap().names;
    let column = |name: &str| names.iter().position(|known| known == name).unwrap();
    let slope = weights[column("green")] - weights[column("red")];
    assert!((slope - 3.0).abs() < 0.4, "{slope}");
    // Where the sums overflow there is no class to tell.
    let far = made(vec![1.0, 2.0, 3e38, -3e38], Shape::flat(2));
    let error = fit.model.predict(&*far.rows, compute).unwrap_err().to_string();
    assert!(error.contains("row 2"), "{error}");
}

#[test]
fn probabilities_add_up_and_the_confusions_count_them() {
    let (_, held_out) = digits();
    // Noise is for training: neither the engine nor `predict` judges with it.
    let noisy = "encoder=[{gaussian_noise=0.3}, {dense=40}, \"tanh\", {dense=20}, \"tanh\"]";
    let fit = fit_from(&small(&["pretrain={epochs=1}", noisy]), None, 2);
    let compute = Compute::new(Some(2));
    let shares = fit.model.predict(&*held_out.rows, compute).unwrap();
    assert_eq!(shares.len(), 200 * 10);
    for row in shares.chunks_exact(10) {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5 && row.iter().all(|share| *share >= 0.0));
    }
    let found = classify(&fit.model, &held_out, compute).unwrap();
    assert_eq!(found, fit.summary().evaluation);
    let labels = held_out.labels.as_ref().unwrap();
    let told =
        |row: usize| (0..10).max_by(|&a, &b| shares[row * 10 + a].total_cmp(&shares[row * 10 + b])).unwrap();
    let wrong = (0..200).filter(|&row| told(row) != labels.classes[row] as usize).count();
    assert_eq!(found.wrong, wrong);
    assert_eq!(found.confusion.iter().flatten().sum::<usize>(), 200);
    // The last epoch was judged by the engine, over the same rows.
    let last = fit.history.last().unwrap();
    assert_eq!(last.held_out_error_rate, Some(found.error()));
    assert!((last.held_out_loss - found.cross_entropy).abs() < 1e-5);
    assert!(found.error() < 0.3, "{}", fit.summary().verdict);
    // What tells classes rebuilds no rows, and is no autoencoder to be split.
    for error in [
        fit.model.reconstruct(&*held_out.rows, compute).unwrap_err(),
        fit.model.split().unwrap_err(),
        narrows::evaluation::reconstruction::evaluate(&fit.model, &*held_out.rows, compute).unwrap_err(),
    ] {
        assert!(error.to_string().contains("classifier"), "{error}");
    }
    assert_eq!(fit.model.encode(&*held_out.rows, compute).unwrap().len(), 200 * 20);
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
            "weights.start=auto",
            "pretrain={epochs=[3, 2], rate=[0.3, 0.1]}",
        ],
    );
    let unrolled = fit(&unrolled, &training, &held_out);
    for name in ENCODER {
        assert_eq!(parameter(&stacked.model, name), parameter(&unrolled.model, name), "{name}");
    }
    let compute = Compute::new(Some(2));
    let codes = |model: &Model| model.encode(&*held_out.rows, compute).unwrap();
    assert_eq!(codes(&stacked.model), codes(&unrolled.model));
    // From the model itself: the same.
    let from = fit_from(&small(&[quiet]), Some(&unrolled.model), 2);
    assert_eq!(codes(&from.model), codes(&unrolled.model));
}

#[test]
fn a_frozen_encoder_stays_bit_for_bit_and_another_does_not() {
    let settings = small(&["pretrain={epochs=20}"]);
    let start = fit_from(&small(&["train.rate=1e-30", "pretrain={epochs=20, rate=0.003}"]), None, 2);
    let mut frozen = settings.clone();
    frozen.frozen = true;
    let fits = [fit_from(&frozen, None, 2), fit_from(&settings, None, 2)];
    for name in ENCODER {
        let own = parameter(&start.model, name);
        assert_eq!(parameter(&fits[0].model, name), own, "{name}");
        assert_ne!(parameter(&fits[1].model, name), own, "{name}");
    }
    // The layer on top does learn, and from the same start as a network that is not frozen.
    assert!(fits[0].summary().evaluation.error() < 0.4, "{}", fits[0].summary().verdict);
    // An encoder from a model stays as it is, too: an autoencoder's, and a PCA's.
    let (training, held_out) = digits();
    let pca = fit(&recipe("pca", &["code_size=20"]), &training, &held_out);
    let single = fit(
        &recipe("single", &["train={optimizer=\"adam\", rate=0.003, epochs=20, batch=20}"]),
        &training,
        &held_out,
    );
    let compute = Compute::new(Some(1));
    for model in [&pca.model, &single.model] {
        let mut frozen = small(&["train.epochs=20"]);
        frozen.frozen = true;
        let found = fit_from(&frozen, Some(model), 2);
        let features = found.model.encode(&*held_out.rows, compute).unwrap().into_f64();
        let codes = model.encode(&*held_out.rows, compute).unwrap().into_f64();
        assert!(features.iter().zip(&codes).all(|(a, b)| (a - b).abs() < 2e-4 * (1.0 + b.abs())));
        assert!(found.summary().evaluation.error() < 0.4, "{}", found.summary().verdict);
        let kept = parameter(&found.model, "encoder.1.weights");
        assert_eq!(kept, parameter(&fit_from(&frozen, Some(model), 1).model, "encoder.1.weights"));
    }
    assert_eq!(parameter(&single.model, "encoder.1.weights"), {
        let mut frozen = small(&[]);
        frozen.frozen = true;
        parameter(&fit_from(&frozen, Some(&single.model), 2).model, "encoder.1.weights")
    });
}

#[test]
fn few_labels_are_of_every_class_and_the_others_have_no_say() {
    let (training, held_out) = digits();
    let few = small(&["labelled=30", "pretrain={epochs=1}"]);
    let fit = fit_from(&few, None, 2);
    assert_eq!(fit.summary().labelled_rows, 30);
    assert_eq!(fit.summary().training_rows, 600);
    let labels = training.labels.as_ref().unwrap();
    let compute = Compute::new(Some(2));
    let with = |labels: Labels| {
        let training = Dataset { labels: Some(labels), ..training.clone() };
        let fit = fit_classifier(&few, &training, &held_out, compute, Options::default(), &mut |_| {
            ControlFlow::Continue(())
        });
        fit.unwrap().model
    };
    // Two rows that change their labels with each other leave the sizes of the classes as they are. Of 600 rows 30 were
    // chosen, so that most pairs are not among them: then nothing changes.
    let same = (0..4)
        .filter(|pair| {
            let mut other = labels.clone();
            let first = pair * 7;
            let second = (first + 1..600).find(|&row| labels.classes[row] != labels.classes[first]).unwrap();
            other.classes.swap(first, second);
            with(other).fitted == fit.model.fitted
        })
        .count();
    assert!(same >= 2, "labels that were not chosen must not matter");
    // But every one of them does where all are learned from.
    let all = small(&["pretrain={epochs=1}"]);
    let mut other = labels.clone();
    other.classes.swap(0, (1..600).find(|&row| labels.classes[row] != labels.classes[0]).unwrap());
    let swapped = Dataset { labels: Some(other), ..training.clone() };
    let swapped = fit_classifier(&all, &swapped, &held_out, compute, Options::default(), &mut |_| {
        ControlFlow::Continue(())
    });
    assert_ne!(swapped.unwrap().model.fitted, fit_from(&all, None, 2).model.fitted);
}

#[test]
fn what_cannot_tell_classes_is_refused() {
    let (training, held_out) = digits();
    let bare = Dataset { labels: None, ..training.clone() };
    let settings = small(&[]);
    for (error, part) in [
        (refused(&settings, &bare, &held_out, None), "needs the class of each row"),
        (
            refused(&settings, &training, &Dataset { labels: None, ..held_out.clone() }, None),
            "needs the class",
        ),
        (refused(&small(&["labelled=9"]), &training, &held_out, None), "9 rows of 600 with 10 classes"),
        (refused(&small(&["labelled=601"]), &training, &held_out, None), "from 10 to 600"),
        (
            refused(
                &settings,
                &Dataset { labels: Some(Labels::from_names(&["a"; 600]).unwrap()), ..training.clone() },
                &held_out,
                None,
            ),
            "one class",
        ),
        (
            refused(
                &settings,
                &training,
                &Dataset { labels: Some(Labels::from_names(&["x"; 200]).unwrap()), ..held_out.clone() },
                None,
            ),
            "row 1 is of class `x`",
        ),
    ] {
        assert!(error.contains(part), "{error}");
    }
    let mut frozen = small(&[]);
    (frozen.frozen, frozen.pretrain) = (true, None);
    assert!(refused(&frozen, &training, &held_out, None).contains("random weights"));
    let variational = fit(&recipe("vae", &["train.epochs=1", "train.batch=300"]), &training, &held_out);
    assert!(refused(&settings, &training, &held_out, Some(&variational.model)).contains("variational"));
    let compute = Compute::new(Some(1));
    let error = variational.model.predict(&*held_out.rows, compute).unwrap_err().to_string();
    assert!(error.contains("no classifier"), "{error}");
}

#[test]
fn a_run_that_was_stopped_goes_on_as_if_it_had_not() {
    let (training, held_out) = digits();
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model.narrows");
    let settings = small(&["pretrain={epochs=1}", "labelled=200"]);
    let compute = Compute::new(Some(2));
    let run = |resume: bool, stop_after: usize| {
        let options =
            Options { checkpoints: Some(CheckpointOptions { model: &model, resume }), ..Options::default() };
        fit_classifier(&settings, &training, &held_out, compute, options, &mut |event| match event {
            Event::Epoch(record) if record.epoch == stop_after => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        })
    };
    assert_eq!(run(false, 2).unwrap().ended, Ended::Interrupted);
    let resumed = run(true, 0).unwrap();
    let whole = fit_from(&settings, None, 2);
    assert_eq!(resumed.model.fitted, whole.model.fitted);
    let errors =
        |fit: &ClassifierFit| fit.history.iter().map(|record| record.held_out_error_rate).collect::<Vec<_>>();
    assert_eq!(errors(&resumed), errors(&whole));
}

#[test]
fn a_twin_has_as_many_updates_and_the_answer_is_plain() {
    let (training, held_out) = digits();
    let settings = small(&["pretrain={epochs=[2, 1]}", "labelled=60"]);
    let fit = fit_from(&settings, None, 2);
    let compute = Compute::new(Some(2));
    let all = |spec: &Recipe, first: First<'_>| {
        twins(spec, first, 2, &training, &held_out, compute, &mut |_| ControlFlow::Continue(()))
    };
    let found = all(&Recipe::Classifier(settings.clone()), First::Classifier(&fit)).unwrap();
    assert_eq!((found.pretrained.len(), found.random.len()), (2, 2));
    // 600 rows in batches of 20: 30 steps an epoch of a layer. An epoch on labels has 100 at least: 60 rows 34 times.
    for (own, random) in found.pretrained.iter().zip(&found.random) {
        assert_eq!(own.steps, (3 * 30, 3 * 102));
        // Whole epochs: one more.
        assert_eq!(random.steps, (0, 4 * 102));
        assert_eq!(own.seed, random.seed);
        assert_ne!(own.history[0].held_out_loss, random.history[0].held_out_loss);
    }
    assert_eq!(found.pretrained[0].metric, fit.summary().evaluation.error());
    let answer = found.answer();
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
    let found = all(&stacked.recipe().unwrap(), First::Rebuilding(&rebuilding)).unwrap();
    // 600 rows in batches of 256.
    assert_eq!((found.pretrained[0].steps, found.random[0].steps), ((5 * 3, 4 * 3), (0, 9 * 3)));
    let plain = recipe("single", &[]);
    let error = all(&plain.recipe().unwrap(), First::Rebuilding(&rebuilding)).unwrap_err().to_string();
    assert!(error.contains("pre-trained"), "{error}");
}
