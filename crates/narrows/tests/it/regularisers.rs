//! What regularisers, limits and schedules do to a network that is really trained.

use crate::common::{
    evaluate, fit, fit_on, open, parameter, parameters, recipe, reconstruction, some_rows, try_fit,
    try_recipe,
};
use narrows::fit::Elimination;
use narrows::progress::Ended;
use narrows::{Dataset, Fit, Model};

fn digits() -> (Dataset<'static>, Dataset<'static>) {
    (some_rows(&open("mnist"), 1500, 13), some_rows(&open("mnist:test"), 400, 7))
}

/// A network on digits with some settings, trained by Adam.
fn trained(settings: &[&str]) -> Fit {
    let (training, held_out) = digits();
    let usual =
        ["train.optimizer=adam", "train.learning_rate=0.002", "train.batch_size=32", "train.epochs=6"];
    let settings: Vec<&str> = usual.iter().chain(settings).copied().collect();
    fit(&recipe("single", &settings), &training, &held_out)
}

fn squares(model: &Model) -> f64 {
    let sum = |name| parameter(model, name).iter().map(|&w| f64::from(w * w)).sum::<f64>();
    sum("encoder.1.weights") + sum("decoder.1.weights")
}

#[test]
fn decay_makes_weights_small_and_elimination_makes_many_zero() {
    let free = trained(&[]);
    let decayed = trained(&["weights.l2=1e-3"]);
    assert!(squares(&decayed.model) < 0.5 * squares(&free.model));
    assert!(Elimination::of(&free.model).is_none() && Elimination::of(&decayed.model).is_none());

    let reduced = trained(&["weights.elimination=2e-4", "train.epochs=10"]);
    let found = Elimination::of(&reduced.model).unwrap();
    let gone =
        |model: &Model| parameter(model, "encoder.1.weights").iter().filter(|w| w.abs() < 0.01).count();
    assert_eq!(found.layers[0].1, gone(&reduced.model));
    assert_eq!(found.weights(), 2 * 784 * 32);
    assert!(gone(&reduced.model) > 2 * gone(&free.model), "{} {}", gone(&reduced.model), gone(&free.model));
    // One line for each weight that has gone, and the name of the table.
    assert_eq!(found.to_csv().lines().count(), found.eliminated() + 1);
    // The corners of the images are always black: no gradient holds their weights up.
    assert!(found.unused_inputs.unwrap() > 20, "{found}");
    let error = |fit: &Fit| reconstruction(fit).evaluation.squared_error_per_row;
    assert!(error(&reduced) < 1.5 * error(&free), "it still learns");
}

#[test]
fn no_unit_has_longer_weights_than_the_largest_norm() {
    for (recipe_name, norm) in [("single", 0.7), ("tied", 0.5)] {
        let (training, held_out) = digits();
        let limit = format!("weights.max_norm={norm}");
        let settings = [
            &limit[..],
            "train.epochs=3",
            "train.batch_size=50",
            "train.learning_rate=0.01",
            "train.optimizer=adam",
        ];
        let model = fit(&recipe(recipe_name, &settings), &training, &held_out).model;
        let (weights, units) = (parameter(&model, "encoder.1.weights"), model.code_units());
        let length = |unit: usize| {
            weights.iter().skip(unit).step_by(units).map(|&w| f64::from(w * w)).sum::<f64>().sqrt()
        };
        let lengths: Vec<f64> = (0..units).map(length).collect();
        assert!(lengths.iter().all(|&length| length < norm * 1.00001), "{lengths:?}");
        assert!(lengths.iter().any(|&length| length > norm * 0.999), "the limit was reached: {lengths:?}");
    }
}

#[test]
fn a_clipped_gradient_moves_no_further_than_its_length() {
    let (training, _) = digits();
    let rows = some_rows(&training, 64, 1);
    let run = |clip: &str, epochs: &str| {
        let settings = ["train={optimizer=\"sgd\", rate=0.5, batch=64}", clip, epochs];
        fit(&recipe("single", &settings), &rows, &rows).model
    };
    let (one, two) =
        (run("train.clip_norm=0.001", "train.epochs=1"), run("train.clip_norm=0.001", "train.epochs=2"));
    let (one, two) = (parameters(&one), parameters(&two));
    let distance =
        |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from((a - b) * (a - b))).sum::<f64>().sqrt();
    // One step of rate 1/2 times a gradient of length 1/1000.
    assert!((distance(&one, &two) / 0.0005 - 1.0).abs() < 1e-3, "{}", distance(&one, &two));
    // A limit that is never reached changes nothing.
    assert_eq!(
        parameters(&run("train.clip_norm=1e6", "train.epochs=2")),
        parameters(&run("train.momentum=0.0", "train.epochs=2"))
    );
}

#[test]
fn the_kl_penalty_draws_units_to_their_target() {
    let mean = |settings: &[&str]| {
        let sigmoid = "encoder=[{dense=32}, \"sigmoid\"]";
        let settings: Vec<&str> = [sigmoid].iter().chain(settings).copied().collect();
        reconstruction(&trained(&settings)).evaluation.mean_activity.unwrap()
    };
    let (free, drawn) = (mean(&[]), mean(&["sparsity={kl=0.5, target=0.1}"]));
    assert!(free > 0.25 && (drawn - 0.1).abs() < 0.03, "{free} {drawn}");
}

#[test]
fn an_l1_penalty_makes_codes_smaller() {
    let activity = |settings: &[&str]| reconstruction(&trained(settings)).evaluation.mean_activity.unwrap();
    let (free, sparse) = (activity(&[]), activity(&["sparsity.l1=1e-4"]));
    assert!(sparse < 0.7 * free, "{sparse} {free}");
}

#[test]
fn dropout_is_for_training_alone() {
    let network = "encoder=[{dropout=0.2}, {dense=64}, \"relu\", {dropout=0.3}]";
    let fit = trained(&[network]);
    let (_, held_out) = digits();
    let codes = |model: &Model| model.encode(&held_out).unwrap();
    assert_eq!(codes(&fit.model), codes(&fit.model));
    let again = evaluate(&fit.model, &held_out);
    // To be judged, everything is kept: the loss of the epoch's end is found again.
    let last = fit.history.last().unwrap();
    assert!((again.loss - last.held_out_loss).abs() < 1e-6, "{} {}", again.loss, last.held_out_loss);
    // What is dropped is missed in training.
    assert!(last.train_loss > last.held_out_loss, "{last:?}");
}

#[test]
fn training_stops_early_and_the_best_epoch_is_restored() {
    // Sixty rows and many weights: the held-out loss soon rises.
    let (training, held_out) = (some_rows(&open("mnist"), 60, 3), some_rows(&open("mnist:test"), 300, 5));
    let settings = [
        "encoder=[{dense=256}, \"relu\"]",
        "train={optimizer=\"adam\", rate=0.01, batch=10, epochs=200, patience=4}",
    ];
    let fit = fit(&recipe("single", &settings), &training, &held_out);
    assert_eq!(fit.ended, Ended::Early);
    let losses: Vec<f64> = fit.history.iter().map(|record| record.held_out_loss).collect();
    let best = losses.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(losses.iter().position(|&loss| loss == best), Some(losses.len() - 5), "four epochs in vain");
    assert!((reconstruction(&fit).evaluation.loss - best).abs() < 1e-6);
    assert!(fit.verdict().contains("overfits"), "{}", fit.verdict());
    // Gains too small to count are no gains.
    let strict = crate::common::fit(
        &recipe("single", &[settings[0], settings[1], "train.min_delta=10.0"]),
        &training,
        &held_out,
    );
    assert_eq!(strict.history.len(), 5, "the first epoch counts, and four are in vain");
}

#[test]
fn the_rate_goes_with_its_schedule() {
    let rows = some_rows(&open("mnist"), 32, 3);
    let run = |epochs: usize, schedule: &str| {
        let train = format!("train={{optimizer=\"sgd\", rate=0.01, batch=32, epochs={epochs}, {schedule}}}");
        parameters(&fit(&recipe("single", &[&train]), &rows, &rows).model).to_vec()
    };
    let distance =
        |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from((a - b) * (a - b))).sum::<f64>().sqrt();
    // Of plain descent with one step an epoch and a gradient that hardly changes, the sum of the rates decides how far it
    // goes; the first step is the same for all that do not climb first.
    let first = run(1, "schedule=\"constant\"");
    assert_eq!(first, run(1, "schedule=\"linear\""));
    let gone = |schedule: &str| distance(&run(5, schedule), &first);
    let four = gone("schedule=\"constant\"");
    // After the first step the rates are 3/4, 1/2, 1/4, 0 of it; with a cosine 0.854, 1/2, 0.146, 0.
    for (schedule, want) in [
        ("schedule=\"linear\"", 1.5),
        ("schedule=\"cosine\"", 1.5),
        ("schedule=\"linear\", final_rate=1", 4.0),
    ] {
        let found = gone(schedule) / four * 4.0;
        assert!((found - want).abs() < 0.03, "{schedule}: {found} steps, not {want}");
    }
}

#[test]
fn everything_at_once_has_the_same_bytes_for_every_number_of_threads() {
    let (training, held_out) = digits();
    let dense = [
        "encoder=[{dropout=0.1}, {dense=40}, \"gelu\", {dropout=0.2}, {dense=9}, \"sigmoid\"]",
        "decoder=[{dense=\"tied\"}, \"elu\", {dense=\"tied\"}, \"sigmoid\"]",
        "sparsity={kl=0.01, l1=1e-4}",
    ];
    let images = [
        "encoder=[{conv=4, stride=2}, \"silu\", {dropout=0.2}, {conv=3}, \"relu\", {max_pool=2}, \"flatten\", {variational=5}]",
        "decoder=[{dense=\"flatten\"}, \"unflatten\", {upsample=2}, {conv=4}, \"relu\", {transposed_conv=\"tied\"}, \"sigmoid\"]",
        "sparsity.l1=1e-4",
    ];
    for network in [dense, images] {
        let settings = [
            "train={optimizer=\"adam\", batch=100, epochs=2, clip_norm=0.02, schedule=\"cosine\", warm_up=1}",
            "weights={l2=1e-5, elimination=1e-5, max_norm=0.9}",
        ];
        let recipe = recipe("single", &network.into_iter().chain(settings).collect::<Vec<_>>());
        let bytes = |threads| fit_on(threads, &recipe, &training, &held_out).model.to_bytes().unwrap();
        let one = bytes(1);
        assert!((2..=4).all(|threads| bytes(threads) == one));
    }
}

#[test]
fn what_cannot_be_is_refused_with_the_field() {
    let (training, _) = digits();
    let rows = some_rows(&training, 20, 1);
    for (settings, parts) in [
        (vec!["sparsity={}"], vec!["sparsity", "give l1 or kl"]),
        (vec!["sparsity={l1=-1.0}"], vec!["sparsity.l1", "at least 0"]),
        (vec!["sparsity={kl=0.1}"], vec!["sparsity.kl", "sigmoid"]),
        (vec!["sparsity={l1=0.1, target=0.1}"], vec!["sparsity.target", "kl"]),
        (
            vec!["sparsity={kl=0.1, target=1.0}", "encoder=[{dense=3}, \"sigmoid\"]"],
            vec!["sparsity.target", "between 0 and 1"],
        ),
        (vec!["weights.l2=-1"], vec!["weights.l2", "at least 0"]),
        (vec!["weights.max_norm=0"], vec!["weights.max_norm", "positive"]),
        (vec!["weights.init=\"hee\""], vec!["weights.init", "did you mean `he`"]),
        (vec!["weights.decay=1"], vec!["weights", "decay"]),
        (vec!["weights.init=\"closed_form\""], vec!["weights.init", "linear networks"]),
        (vec!["train.patience=0"], vec!["train.patience", "at least 1"]),
        (vec!["train.min_delta=0.1"], vec!["train.min_delta", "train.patience"]),
        (vec!["train.schedule=\"cosin\""], vec!["train.schedule", "did you mean `cosine`"]),
        (vec!["train.final_rate=0.1"], vec!["train.final_rate", "constant"]),
        (vec!["train.schedule=\"cosine\"", "train.final_rate=2"], vec!["train.final_rate", "from 0 to 1"]),
        (vec!["train.schedule=\"exponential\"", "train.final_rate=0"], vec!["train.final_rate", "above 0"]),
        (vec!["train.warm_up=50"], vec!["train.warm_up", "fewer"]),
        (vec!["train.clip_norm=0"], vec!["train.clip_norm", "positive"]),
        (vec!["train.epochs=0"], vec!["train.epochs", "closed_form"]),
        (
            vec!["decoder=[{dense=\"input\"}, \"sigmoid\", {dropout=0.5}]", "loss=mse"],
            vec!["decoder", "dropped"],
        ),
        (vec!["encoder=[{variational=3}, \"relu\"]"], vec!["encoder[0]", "last layer"]),
        (vec!["encoder=[{dense=\"tied\"}]"], vec!["encoder[0]", "belongs to the decoder"]),
        (
            vec!["decoder=[{dense=\"tied\"}, {dense=\"tied\"}, \"sigmoid\"]"],
            vec!["decoder[1]", "no layer left"],
        ),
        (vec!["decoder=[{transposed_conv=\"tied\"}, \"sigmoid\"]"], vec!["decoder[0]", "images"]),
        (
            vec!["encoder=[{conv=3}]", "decoder=[{dense=\"tied\"}, \"sigmoid\"]"],
            vec!["decoder[0]", "transposed_conv"],
        ),
        (
            vec!["encoder=[{dense=5}, {dense=3}]", "decoder=[{dense=4}, {dense=\"tied\"}, \"sigmoid\"]"],
            vec!["decoder[1]", "gives 5", "4 come in"],
        ),
    ] {
        let fit = try_recipe("single", &settings).and_then(|recipe| try_fit(&recipe, &rows, &rows));
        let error = fit.unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{settings:?}: `{part}` is not in: {error}");
        }
    }
}
