//! Batch normalisation from recipe to model: trained with it, saved without.

use crate::common::{
    fit_on, fit_with_checkpoints, open, options, parameters, parse, reconstruction, some_rows,
};
use narrows::data::hold_out;
use narrows::progress::Ended;
use narrows::recipe::RecipeFile;
use narrows::{Dataset, Fit, FitOptions, Layer, Model, Recipe};

fn iris() -> (Dataset<'static>, Dataset<'static>) {
    hold_out(&open("iris"), 0.2, 0).unwrap()
}

/// A network on flowers; 120 rows in batches of 17 leave a single row for the last one.
fn flowers(train: &str) -> Recipe {
    parse(&format!(
        "method='autoencoder'\nscale='standard'\nloss='mse'\n\
         encoder=[{{dense=8}}, 'batch_norm', 'relu', {{dropout=0.1}}, {{dense=2}}]\n\
         decoder=[{{dense=8}}, 'relu', 'batch_norm', {{dense='input', bias=false}}]\n\
         weights={{max_norm=3.0, l2=1e-4}}\ntrain={{batch=17, {train}}}"
    ))
}

fn run(recipe: &Recipe, data: &(Dataset, Dataset), threads: usize) -> Fit {
    fit_on(threads, recipe, &data.0, &data.1)
}

#[test]
fn the_model_is_plain_and_gives_what_training_judged() {
    let data = iris();
    let fit = run(&flowers("epochs=40, rate=0.01"), &data, 1);
    let (Recipe::Autoencoder(asked), Recipe::Autoencoder(left)) = (&fit.recipe, fit.model.recipe()) else {
        panic!()
    };
    assert!(asked.is_normalized() && !left.is_normalized());
    assert_eq!(left.encoder.len(), asked.encoder.len() - 1);
    assert!(matches!(left.decoder.last(), Some(Layer::Dense { bias: true, .. })), "{:?}", left.decoder);
    // 4 8 + 8 + 8 2 + 2 + 2 8 + 8 + 8 4 + 4.
    assert_eq!(fit.model.parameter_count(), 118);
    // The last epoch was judged with the running moments before they were folded.
    let (judged, found) = (fit.history.last().unwrap().held_out_loss, reconstruction(&fit).evaluation.loss);
    assert!((judged - found).abs() < 1e-5 * judged, "{judged} {found}");
    assert!(found < 0.2, "it has learned: {found}");
    let again = Model::from_bytes(&fit.model.to_bytes().unwrap()).unwrap();
    assert_eq!(again, fit.model);
}

#[test]
fn every_number_of_threads_gives_the_same_bytes() {
    let data = (some_rows(&open("mnist"), 301, 100), some_rows(&open("mnist:test"), 50, 100));
    for extra in ["", "sparsity={kl=0.01}\n"] {
        let recipe = parse(&format!(
            "method='autoencoder'\nloss='bce'\n\
             encoder=[{{masking_noise=0.1}}, {{dense=101}}, 'batch_norm', 'relu', {{dropout=0.2}}, {{dense=13}}, 'batch_norm', 'sigmoid']\n\
             decoder=[{{dense=101}}, 'relu', 'batch_norm', {{dense='input'}}, 'sigmoid']\n\
             {extra}train={{epochs=2, batch=100, clip_norm=0.5}}"
        ));
        let one = run(&recipe, &data, 1).model.to_bytes().unwrap();
        for threads in [2, 3, 4, 7] {
            assert!(one == run(&recipe, &data, threads).model.to_bytes().unwrap(), "{threads} threads");
        }
    }
}

#[test]
fn a_resumed_run_is_the_one_that_never_stopped() {
    for optimizer in ["adamw", "sgd"] {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model.narrows");
        let recipe = flowers(&format!("epochs=8, optimizer='{optimizer}', rate=0.01, keep='best'"));
        let run = |resume, stop| fit_with_checkpoints(&recipe, &iris(), &model, resume, stop).unwrap();
        let whole = run(false, usize::MAX);
        let stopped = run(false, 3);
        // What was stopped is a plain model too.
        assert_eq!(stopped.ended, Ended::Interrupted);
        assert_eq!(stopped.model.parameter_count(), whole.model.parameter_count());
        let resumed = run(true, usize::MAX);
        assert_eq!((resumed.ended, resumed.history.len()), (Ended::Finished, 8));
        assert_eq!(resumed.model.to_bytes().unwrap(), whole.model.to_bytes().unwrap());
    }
}

#[test]
fn a_network_that_runs_away_leaves_a_finite_model() {
    let data = iris();
    for rate in ["1e2", "1e10", "1e20", "3e38"] {
        for optimizer in ["sgd", "adam", "rmsprop"] {
            let fit = run(&flowers(&format!("epochs=3, optimizer='{optimizer}', rate={rate}")), &data, 1);
            let model = Model::from_bytes(&fit.model.to_bytes().unwrap()).unwrap();
            assert!(parameters(&model).iter().all(|value| value.is_finite()), "{optimizer} {rate}");
        }
    }
}

#[test]
fn what_makes_no_sense_together_is_refused() {
    let text = |rest: &str| {
        format!(
            "method='autoencoder'\nloss='mse'\nencoder=[{{dense=3}}, 'batch_norm', 'relu']\ndecoder=[{{dense='input'}}]\n{rest}"
        )
    };
    for (rest, parts) in [
        ("pretrain={}", ["pretrain", "layers that are trained alone have no batch_norm"]),
        ("weights={elimination=1e-4}", ["weights.elimination", "batch_norm undoes"]),
        ("train={batch=1}", ["train.batch_size", "at least 2 rows"]),
    ] {
        let recipe = RecipeFile::parse("test", "test", &text(rest)).unwrap();
        let error = recipe.recipe().unwrap_err().to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
    let (training, held_out) = iris();
    let refused = |rest: &str, training: &Dataset<'_>, start: Option<&Model>, part: &str| {
        let options = FitOptions { start_from: start, ..options(&held_out, 1) };
        let error = narrows::fit(&parse(&text(rest)), training, options).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    refused("weights={start='closed_form'}", &training, None, "closed_form is for linear networks");
    refused("", &some_rows(&training, 1, 1), None, "at least 2 training rows");
    // A model has none, so training on is without.
    let model = run(&parse(&text("train={epochs=1}")), &iris(), 1).model;
    refused("", &training, Some(&model), "Leave it out to train on");
}

#[test]
fn the_short_form_of_layers_keeps_normalization_between_them() {
    let Recipe::Autoencoder(mut network) = flowers("epochs=1") else { panic!() };
    network.set_layers("4-9-5-2", 4).unwrap();
    let normalized = |layers: &[Layer]| layers.iter().filter(|layer| **layer == Layer::BatchNorm).count();
    assert_eq!((normalized(&network.encoder), normalized(&network.decoder)), (2, 2));
    run(&Recipe::Autoencoder(network), &iris(), 1);
}
