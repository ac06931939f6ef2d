//! A run that was stopped and resumed is the run that never stopped, to the byte.

// Tests damage files on purpose.
#![allow(clippy::disallowed_methods)]

use std::ops::ControlFlow;
use std::path::Path;

use crate::common::{fit_on, fit_with_checkpoints, made, open, options, parse, reconstruction, values};
use narrows::data::hold_out;
use narrows::experiments::compare::{Candidate, CompareOptions, Comparison, ComparisonEvent, compare};
use narrows::experiments::random_baseline::random_baseline;
use narrows::fit::{CheckpointOptions, Resume, checkpoint_folder, remove_checkpoints};
use narrows::progress::Ended;
use narrows::{Compute, Dataset, Event, Fit, FitOptions, Recipe, Shape};

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

/// Pre-trained layers are trainings with checkpoints of their own: stopped in any of them, the run goes on as if it never was.
#[test]
fn pretraining_is_resumed_within_a_layer_and_between_layers() {
    let text = "method='autoencoder'\nscale='standard'\nloss='mse'\nencoder=[{dense=3}, 'tanh', {dense=2}, 'tanh']\n\
                decoder=[{dense=3}, 'tanh', {dense='input'}]\npretrain={epochs=4}\n\
                train={optimizer='adam', epochs=4, batch=32, checkpoint=0}";
    let recipe = parse(text);
    let (training, held_out) = rows();
    let whole = fit_on(1, &recipe, &training, &held_out);
    // Epochs are counted over both layers and the whole network: 12 in all.
    for stops in [vec![2], vec![4], vec![5, 2], vec![9], vec![1, 1, 1, 1, 1, 1, 1, 1, 1]] {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model.narrows");
        for (run_number, stop) in stops.iter().enumerate() {
            let resume = if run_number == 0 { Resume::Never } else { Resume::Required };
            let stopped = fit_and_stop(&recipe, &model, resume, *stop);
            assert_eq!(stopped.ended, Ended::Interrupted);
            assert!(stopped.summary().is_none(), "what was stopped is not evaluated");
        }
        let mut trained = 0;
        let mut watch = |event: &Event| {
            trained += usize::from(matches!(event, Event::Epoch(_) | Event::LayerEpoch { .. }));
            ControlFlow::Continue(())
        };
        let options = FitOptions {
            checkpoints: Some(CheckpointOptions { beside: &model, resume: Resume::Required }),
            watch: Some(&mut watch),
            ..options(&held_out, 1)
        };
        let resumed = narrows::fit(&recipe, &training, options).unwrap();
        assert_eq!(trained, 12 - stops.iter().sum::<usize>(), "no epoch is trained twice");
        assert_eq!(resumed.model.to_bytes().unwrap(), whole.model.to_bytes().unwrap(), "{stops:?}");
        let layers = |fit: &Fit| {
            let losses = fit.pretraining.iter().map(|layer| (layer.widths, layer.history.len()));
            losses.collect::<Vec<_>>()
        };
        assert_eq!(layers(&resumed), layers(&whole));
    }
}

/// Fits with checkpoints after each epoch, stopped after `stop` epochs of whatever is trained.
fn fit_and_stop(recipe: &Recipe, model: &Path, resume: Resume, stop: usize) -> Fit {
    let (training, held_out) = rows();
    let mut epochs = 0;
    let mut watch = |event: &Event| {
        epochs += usize::from(matches!(event, Event::Epoch(_) | Event::LayerEpoch { .. }));
        if epochs >= stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let options = FitOptions {
        checkpoints: Some(CheckpointOptions { beside: model, resume }),
        watch: Some(&mut watch),
        ..options(&held_out, 1)
    };
    narrows::fit(recipe, &training, options).unwrap()
}

/// The messages of the warnings of a run that is stopped after its first event besides them.
fn warnings(
    recipe: &Recipe,
    training: &Dataset<'_>,
    model: &Path,
    resume: Resume,
) -> narrows::Result<Vec<String>> {
    let (_, held_out) = rows();
    let mut warnings = Vec::new();
    let mut watch = |event: &Event| match event {
        Event::Warning(message) => {
            warnings.push(message.clone());
            ControlFlow::Continue(())
        }
        _ => ControlFlow::Break(()),
    };
    let options = FitOptions {
        checkpoints: Some(CheckpointOptions { beside: model, resume }),
        watch: Some(&mut watch),
        ..options(&held_out, 1)
    };
    narrows::fit(recipe, training, options)?;
    Ok(warnings)
}

#[test]
fn another_run_is_told_by_any_row_and_by_the_simd_level() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model.narrows");
    let recipe = recipe("adam", 5);
    run(&recipe, &model, false, 2).unwrap();
    let (training, held_out) = rows();
    let mut numbers = values(&training);
    for at in [0, numbers.len() / 2, numbers.len() - 1] {
        let before = std::mem::replace(&mut numbers[at], 1.25);
        let changed = made(numbers.clone(), Shape::flat(4));
        numbers[at] = before;
        let error = warnings(&recipe, &changed, &model, Resume::Required).unwrap_err().to_string();
        assert!(error.contains("another run: training.values is"), "{error}");
    }
    for compute in Compute::with_threads(1).at_every_level() {
        let options = FitOptions {
            compute,
            checkpoints: Some(CheckpointOptions { beside: &model, resume: Resume::Required }),
            ..options(&held_out, 1)
        };
        let resumed = narrows::fit(&recipe, &training, options);
        if compute.simd() == Compute::default().simd() {
            resumed.unwrap();
        } else {
            let error = resumed.unwrap_err().to_string();
            assert!(error.contains(&format!("\"{}\" here", compute.simd())), "{error}");
        }
    }
}

#[test]
fn a_damaged_newer_checkpoint_is_reported_and_an_earlier_run_is_given_up_only_for_a_new_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model.narrows");
    let recipe = recipe("adam", 9);
    run(&recipe, &model, false, 3).unwrap();
    run(&recipe, &model, true, 5).unwrap();
    let (training, _) = rows();
    let checkpoints = checkpoint_folder(&model);
    let newest = checkpoints.join("training-2");
    let whole = std::fs::read(&newest).unwrap();
    std::fs::write(&newest, &whole[..whole.len() / 2]).unwrap();
    let said = warnings(&recipe, &training, &model, Resume::Required).unwrap();
    assert!(
        said.len() == 1 && said[0].contains("training-2") && said[0].contains("after epoch 3"),
        "{said:?}"
    );
    std::fs::write(&newest, &whole).unwrap();

    // A run that begins anew says what it will replace. Stopped before its first checkpoint, it has replaced nothing.
    let mut other = recipe.clone();
    other.set_seed(1);
    let (_, held_out) = rows();
    let kept = std::fs::read(checkpoints.join("training-1")).unwrap();
    let mut said = Vec::new();
    let mut watch = |event: &Event| {
        if let Event::Warning(message) = event {
            said.push(message.clone());
            assert_eq!(std::fs::read(checkpoints.join("training-1")).unwrap(), kept);
        }
        ControlFlow::Continue(())
    };
    let options = FitOptions {
        checkpoints: Some(CheckpointOptions { beside: &model, resume: Resume::Never }),
        watch: Some(&mut watch),
        ..options(&held_out, 1)
    };
    // It takes less than a second and keeps no checkpoint.
    narrows::fit(&other, &training, options).unwrap();
    assert!(said.len() == 1 && said[0].contains("earlier run"), "{said:?}");
    assert_eq!(std::fs::read(checkpoints.join("training-1")).unwrap(), kept);
    let stopped = fit_and_stop(&other, &model, Resume::Never, 2);
    assert_eq!(stopped.ended, Ended::Interrupted);
    assert_ne!(std::fs::read(checkpoints.join("training-1")).unwrap(), kept);
    assert!(!newest.exists(), "the other file of the earlier run is gone too");
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

/// A comparison of six fits and two points of a curve, stopped in the middle of a fit and between fits.
#[test]
fn a_comparison_is_resumed_fit_by_fit() {
    let (training, held_out) = rows();
    let names = ["single", "pca", "deep"];
    let candidates = names.map(|name| {
        let mut recipe = Recipe::open(name).unwrap();
        let train = recipe.train_mut();
        train.into_iter().for_each(|train| (train.epochs, train.checkpoint) = (3, 0.0));
        Candidate { name: name.to_owned(), recipe }
    });
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.html");
    let mut trained = 0;
    let mut compared = |checkpoints: Option<CheckpointOptions<'_>>, stop: usize| {
        let options =
            CompareOptions { seeds: 2, code_sizes: vec![1, 3], checkpoints, ..CompareOptions::default() };
        let mut epochs = 0;
        let found =
            compare(&candidates, &training, &held_out, &options, Compute::with_threads(1), &mut |event| {
                epochs += usize::from(matches!(event, ComparisonEvent::Fit { event: Event::Epoch(_), .. }));
                if epochs >= stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
        trained += epochs;
        found.unwrap()
    };
    let whole = compared(None, usize::MAX);
    for (stop, resume) in [(2, Resume::Never), (4, Resume::IfPresent), (7, Resume::IfPresent)] {
        let stopped = compared(Some(CheckpointOptions { beside: &report, resume }), stop);
        assert!(stopped.interrupted);
    }
    let last = CheckpointOptions { beside: &report, resume: Resume::IfPresent };
    let resumed = compared(Some(last), usize::MAX);
    let figures = |found: &Comparison| {
        let fits = found.methods.iter().flat_map(|method| &method.fits);
        let fits = fits.map(|fit| (fit.squared_error_per_row, fit.bce, fit.trustworthiness));
        let curves = found.code_size_curves.iter().flat_map(|curves| &curves.curves);
        (fits.collect::<Vec<_>>(), curves.map(|curve| curve.points.clone()).collect::<Vec<_>>())
    };
    assert_eq!(figures(&resumed), figures(&whole));
    assert_eq!(resumed.verdict, whole.verdict);
    // Four fits of networks and four points, three epochs each, twice; none of them trained again.
    assert_eq!(trained, 2 * 3 * (4 + 4));
    remove_checkpoints(&report);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// The fits of a random-initialisation baseline have checkpoints beside those of the model.
#[test]
fn a_random_baseline_is_resumed_fit_by_fit() {
    let text = "method='autoencoder'\nscale='standard'\nloss='mse'\nencoder=[{dense=2}, 'tanh']\n\
                decoder=[{dense='input'}]\npretrain={epochs=2}\ntrain={epochs=2, batch=32, checkpoint=0}";
    let recipe = parse(text);
    let (training, held_out) = rows();
    let first = fit_on(1, &recipe, &training, &held_out);
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model.narrows");
    let mut trained = 0;
    let mut baseline = |checkpoints: Option<CheckpointOptions<'_>>, stop: usize| {
        let mut epochs = 0;
        let mut watch = |event: &Event| {
            epochs += usize::from(matches!(event, Event::Epoch(_) | Event::LayerEpoch { .. }));
            if epochs >= stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let found = random_baseline(&recipe, &first, 2, &training, &held_out, checkpoints, &mut watch);
        trained += epochs;
        found.unwrap()
    };
    let whole = baseline(None, usize::MAX);
    let beside = |resume| Some(CheckpointOptions { beside: &model, resume });
    assert!(baseline(beside(Resume::Never), 3).interrupted);
    // The model's own training left no checkpoint: it is done again, not refused.
    assert_eq!(warnings(&recipe, &training, &model, Resume::Required).unwrap(), Vec::<String>::new());
    assert!(baseline(beside(Resume::Required), 4).interrupted);
    let resumed = baseline(beside(Resume::Required), usize::MAX);
    assert_eq!(resumed.verdict(), whole.verdict());
    // Two random starts of four epochs, and a second pre-trained network of two and two; twice.
    assert_eq!(trained, 2 * (4 + 4 + 2 + 2));
    remove_checkpoints(&model);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
