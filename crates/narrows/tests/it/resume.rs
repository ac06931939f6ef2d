//! A run that was stopped and resumed is the run that never stopped, to the byte.

// Tests damage files on purpose.
#![allow(clippy::disallowed_methods)]

use std::path::Path;

use narrows::compute::Compute;
use narrows::data::{Dataset, Shape, Table, Values, hold_out};
use narrows::fit::{CheckpointOptions, Fit, Options, fit, fit_with};
use narrows::progress::{Ended, Event, Flow};
use narrows::recipe::Spec;
use narrows::recipe::file::Recipe;

fn rows() -> (Dataset, Dataset) {
    hold_out(&narrows_datasets::iris(), 0.2, 0).unwrap()
}

fn spec(optimizer: &str, epochs: usize) -> Spec {
    let text = format!(
        "method='autoencoder'\nscale='standard'\nloss='mse'\nencoder=[{{dense=2}}, 'tanh']\ndecoder=[{{dense='input'}}]\n\
         train={{optimizer='{optimizer}', epochs={epochs}, batch=32}}"
    );
    Recipe::parse("test", "test", &text).unwrap().spec().unwrap()
}

/// Fits with checkpoints beside `model`, stopped after `stop` epochs.
fn run(spec: &Spec, model: &Path, resume: bool, stop: usize) -> narrows::Result<Fit> {
    let (training, held_out) = rows();
    let options = Options { checkpoints: Some(CheckpointOptions { model, resume }), start: None };
    fit_with(spec, &training, &held_out, Compute::new(Some(2)), options, &mut |event| match event {
        Event::Epoch(record) if record.epoch == stop => Flow::Stop,
        _ => Flow::Continue,
    })
}

#[test]
fn resumed_is_never_interrupted() {
    for optimizer in ["adadelta", "sgd", "rmsprop", "adam", "adamw"] {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model.narrows");
        let spec = spec(optimizer, 9);
        let (training, held_out) = rows();
        let whole = fit(&spec, &training, &held_out, Compute::new(Some(1)), &mut |_| Flow::Continue).unwrap();

        let first = run(&spec, &model, false, 3).unwrap();
        assert_eq!((first.ended, first.history.len()), (Ended::Interrupted, 3));
        let second = run(&spec, &model, true, 7).unwrap();
        assert_eq!((second.ended, second.history.len()), (Ended::Interrupted, 7));
        // The newer of the two checkpoints is damaged: the older one serves.
        let newest = folder.path().join("model.narrows.checkpoint-2");
        let bytes = std::fs::read(&newest).unwrap();
        std::fs::write(&newest, &bytes[..bytes.len() - 1]).unwrap();
        let third = run(&spec, &model, true, usize::MAX).unwrap();
        assert_eq!((third.ended, third.history.len()), (Ended::Finished, 9));
        assert_eq!(third.model.to_bytes().unwrap(), whole.model.to_bytes().unwrap(), "{optimizer}");
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert!(left.is_empty(), "checkpoints are removed when all is done: {left:?}");
    }
}

/// A spec with everything that has chance or memory of its own.
fn busy(epochs: usize) -> Spec {
    let text = format!(
        "method='autoencoder'\nscale='standard'\nloss='huber'\n\
         encoder=[{{dropout=0.1}}, {{dense=5}}, 'gelu', {{variational=2, kl=0.1}}]\n\
         decoder=[{{dense=5}}, 'silu', {{dense='tied'}}]\nweights={{max_norm=2.0, l2=1e-4}}\n\
         train={{epochs={epochs}, batch=16, schedule='cosine', warm_up=1, clip_norm=0.5, patience=50}}"
    );
    Recipe::parse("busy", "busy", &text).unwrap().spec().unwrap()
}

#[test]
fn resumed_is_never_interrupted_with_chance_schedules_and_limits() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model.narrows");
    let (training, held_out) = rows();
    let whole = fit(&busy(8), &training, &held_out, Compute::new(Some(1)), &mut |_| Flow::Continue).unwrap();
    run(&busy(8), &model, false, 3).unwrap();
    // Under a schedule another number of epochs is another run.
    let error = run(&busy(9), &model, true, usize::MAX).unwrap_err().to_string();
    assert!(error.contains("not under a train.schedule"), "{error}");
    let resumed = run(&busy(8), &model, true, usize::MAX).unwrap();
    assert_eq!(resumed.model.to_bytes().unwrap(), whole.model.to_bytes().unwrap());
    let history = |fit: &Fit| {
        let units = fit.history.iter().map(|record| (record.validation_loss, record.active_units));
        units.collect::<Vec<_>>()
    };
    assert_eq!(history(&resumed), history(&whole));
}

#[test]
fn what_cannot_be_resumed_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model.narrows");
    let refused = |spec: &Spec, part: &str| {
        let error = run(spec, &model, true, usize::MAX).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    refused(&spec("adam", 5), "no checkpoint");
    run(&spec("adam", 5), &model, false, 2).unwrap();
    refused(&spec("sgd", 5), "other settings");
    refused(&spec("adam", 1), "has 2 epochs already");
    // More epochs are no other run.
    let longer = run(&spec("adam", 8), &model, true, 6).unwrap();
    assert_eq!(longer.history.len(), 6);
    for number in [1, 2] {
        let path = folder.path().join(format!("model.narrows.checkpoint-{number}"));
        if path.exists() {
            std::fs::write(path, b"not a checkpoint").unwrap();
        }
    }
    refused(&spec("adam", 8), "not a Narrows checkpoint");
}

#[test]
fn rows_in_other_units_are_refused_and_large_means_cost_no_digits() {
    let (training, held_out) = rows();
    let compute = Compute::new(Some(1));
    // Bytes on one side, shares on the other.
    let bytes = Table::new(Values::U8((0..40).map(|i| i * 6).collect()), Shape::flat(4)).unwrap();
    let bytes =
        Dataset { name: "bytes".into(), rows: std::sync::Arc::new(bytes), labels: None, columns: None };
    let pca = Recipe::open("pca").unwrap().spec().unwrap();
    let fitted = fit(&pca, &bytes, &bytes, compute, &mut |_| Flow::Continue).unwrap();
    let shares = Table::new(Values::F32(vec![0.5; 8]), Shape::flat(4)).unwrap();
    let error = fitted.model.encode(&shares, compute).unwrap_err().to_string();
    assert!(error.contains("255"), "{error}");

    // The same network on columns moved by a hundred million learns the same.
    let moved = |data: &Dataset| {
        let indices: Vec<usize> = (0..data.rows.rows()).collect();
        let mut values = vec![0.0; indices.len() * 4];
        data.rows.read_f64(&indices, &mut values);
        values.iter_mut().for_each(|value| *value += 1e8);
        let table = Table::new(Values::F64(values), Shape::flat(4)).unwrap();
        Dataset { rows: std::sync::Arc::new(table), ..data.clone() }
    };
    let spec = spec("adam", 20);
    let near = fit(&spec, &training, &held_out, compute, &mut |_| Flow::Continue).unwrap();
    let far = fit(&spec, &moved(&training), &moved(&held_out), compute, &mut |_| Flow::Continue).unwrap();
    let (near, far) = (near.summary().evaluation.mse, far.summary().evaluation.mse);
    assert!((near - far).abs() < 1e-4 * near, "{near} {far}");
}
