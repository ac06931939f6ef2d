//! A run that was stopped and resumed is the run that never stopped, to the byte.

// Tests damage files on purpose.
#![allow(clippy::disallowed_methods)]

use std::path::Path;

use crate::common::{fit_on, fit_with_checkpoints, made, open, parse, reconstruction, values};
use narrows::data::hold_out;
use narrows::fit::{checkpoint_folder, remove_checkpoints};
use narrows::progress::Ended;
use narrows::{Dataset, Fit, Recipe, Shape};

fn rows() -> (Dataset<'static>, Dataset<'static>) {
    hold_out(&open("iris"), 0.2, 0).unwrap()
}

fn recipe(optimizer: &str, epochs: usize) -> Recipe {
    let text = format!(
        "method='autoencoder'\nscale='standard'\nloss='mse'\nencoder=[{{dense=2}}, 'tanh']\ndecoder=[{{dense='input'}}]\n\
         train={{optimizer='{optimizer}', epochs={epochs}, batch=32}}"
    );
    parse(&text)
}

/// Fits with checkpoints beside `model`, stopped after `stop` epochs.
fn run(recipe: &Recipe, model: &Path, resume: bool, stop: usize) -> narrows::Result<Fit> {
    fit_with_checkpoints(recipe, &rows(), model, resume, stop)
}

#[test]
fn resumed_is_never_interrupted() {
    for optimizer in ["adadelta", "sgd", "rmsprop", "adam", "adamw"] {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model.narrows");
        let recipe = recipe(optimizer, 9);
        let (training, held_out) = rows();
        let whole = fit_on(1, &recipe, &training, &held_out);

        let first = run(&recipe, &model, false, 3).unwrap();
        assert_eq!((first.ended, first.history.len()), (Ended::Interrupted, 3));
        let second = run(&recipe, &model, true, 7).unwrap();
        assert_eq!((second.ended, second.history.len()), (Ended::Interrupted, 7));
        // The newer of the two checkpoints is damaged: the older one serves.
        let newest = folder.path().join("model.narrows.checkpoint").join("training-2");
        let bytes = std::fs::read(&newest).unwrap();
        std::fs::write(&newest, &bytes[..bytes.len() - 1]).unwrap();
        let third = run(&recipe, &model, true, usize::MAX).unwrap();
        assert_eq!((third.ended, third.history.len()), (Ended::Finished, 9));
        assert_eq!(third.model.to_bytes().unwrap(), whole.model.to_bytes().unwrap(), "{optimizer}");
        // The last state is kept until the model is written.
        assert!(checkpoint_folder(&model).is_dir());
        remove_checkpoints(&model);
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// A recipe with everything that has chance or memory of its own.
fn busy(epochs: usize) -> Recipe {
    let text = format!(
        "method='autoencoder'\nscale='standard'\nloss='huber'\n\
         encoder=[{{dropout=0.1}}, {{dense=5}}, 'gelu', {{variational=2, kl=0.1}}]\n\
         decoder=[{{dense=5}}, 'silu', {{dense='tied'}}]\nweights={{max_norm=2.0, l2=1e-4}}\n\
         train={{epochs={epochs}, batch=16, schedule='cosine', warm_up=1, clip_norm=0.5, patience=50}}"
    );
    parse(&text)
}

#[test]
fn resumed_is_never_interrupted_with_chance_schedules_and_limits() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model.narrows");
    let (training, held_out) = rows();
    let whole = fit_on(1, &busy(8), &training, &held_out);
    run(&busy(8), &model, false, 3).unwrap();
    // Under a schedule another number of epochs is another run.
    let error = run(&busy(9), &model, true, usize::MAX).unwrap_err().to_string();
    assert!(error.contains("not under a train.schedule"), "{error}");
    let resumed = run(&busy(8), &model, true, usize::MAX).unwrap();
    assert_eq!(resumed.model.to_bytes().unwrap(), whole.model.to_bytes().unwrap());
    let history = |fit: &Fit| {
        let units = fit.history.iter().map(|record| (record.held_out_loss, record.active_units));
        units.collect::<Vec<_>>()
    };
    assert_eq!(history(&resumed), history(&whole));
}

#[test]
fn what_cannot_be_resumed_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model.narrows");
    let refused = |recipe: &Recipe, part: &str| {
        let error = run(recipe, &model, true, usize::MAX).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    refused(&recipe("adam", 5), "no checkpoint");
    run(&recipe("adam", 5), &model, false, 2).unwrap();
    refused(&recipe("sgd", 5), "train.optimizer is \"adam\" there, \"sgd\" here");
    refused(&recipe("adam", 1), "has 2 epochs already");
    // More epochs are no other run.
    let longer = run(&recipe("adam", 8), &model, true, 6).unwrap();
    assert_eq!(longer.history.len(), 6);
    for number in [1, 2] {
        let path = checkpoint_folder(&model).join(format!("training-{number}"));
        if path.exists() {
            std::fs::write(path, b"not a checkpoint").unwrap();
        }
    }
    refused(&recipe("adam", 8), "not a Narrows checkpoint");
}

#[test]
fn rows_in_other_units_are_refused_and_large_means_cost_no_digits() {
    let (training, held_out) = rows();
    // Bytes on one side, shares on the other.
    let bytes = made((0..40u8).map(|i| i * 6).collect(), Shape::flat(4));
    let fitted = fit_on(1, &Recipe::open("pca").unwrap(), &bytes, &bytes);
    let shares = made(vec![0.5f32; 8], Shape::flat(4));
    let error = fitted.model.encode(&shares).unwrap_err().to_string();
    assert!(error.contains("255"), "{error}");

    // The same network on columns moved by a hundred million learns the same.
    let moved = |data: &Dataset<'_>| {
        made(values(data).into_iter().map(|value| value + 1e8).collect(), Shape::flat(4))
    };
    let recipe = recipe("adam", 20);
    let near = fit_on(1, &recipe, &training, &held_out);
    let far = fit_on(1, &recipe, &moved(&training), &moved(&held_out));
    let (near, far) = (reconstruction(&near).evaluation.mse, reconstruction(&far).evaluation.mse);
    assert!((near - far).abs() < 1e-4 * near, "{near} {far}");
}
