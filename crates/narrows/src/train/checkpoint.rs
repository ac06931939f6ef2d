//! Checkpoints: the states of a fit's trainings, in a folder beside its result. A run that was stopped or killed resumes from
//! them as if it had never stopped, bit for bit.
//!
//! A fit trains once, or once for each pre-trained layer and then as a whole. Each of these trainings has a key and two files,
//! written in turn: `MODEL.checkpoint/layer-1-1`, `MODEL.checkpoint/layer-1-2`, ..., `MODEL.checkpoint/training-2`. The last
//! state of each stays until [`remove_checkpoints`], which is called when the result is written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::base::container::{self, Kind, Tensor};
use crate::base::hash::ContentHash;
use crate::base::output::beside;
use crate::base::{atomic_file, input_file};
use crate::compute::Compute;
use crate::data::{Dataset, Element, Source};
use crate::error::{Error, ErrorKind, Result};
use crate::network::plan::Plan;
use crate::progress::{EpochRecord, Event, OnEvent, notify};
use crate::recipe::{Optimizer, Recipe, Schedule, to_json};
use crate::train::rhythm::{Rhythm, epochs_done};
use crate::train::state::State;

const CHECKPOINT: Kind = Kind { key: "narrows-checkpoint", name: "Narrows checkpoint", newest: 4 };

/// Bytes of a file besides its tensors, generously.
const FILE_HEAD: u64 = 1 << 16;

/// Checkpoint files of a fit.
#[derive(Debug, Clone, Copy)]
pub struct CheckpointOptions<'a> {
    /// The path of the result, a model file or a report: the checkpoints lie beside it, in the folder `RESULT.checkpoint`.
    pub beside: &'a Path,
    /// Whether the fit goes on from the newest checkpoint. The result is the same as without the interruption.
    pub resume: Resume,
}

/// Whether a fit goes on from checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Resume {
    /// No: it begins anew. The checkpoints of an earlier run stay until this one has written its first.
    #[default]
    Never,
    /// Yes: without a checkpoint the fit is refused.
    Required,
    /// Where there is a checkpoint.
    IfPresent,
}

impl CheckpointOptions<'_> {
    /// Those of one of several fits that have one result. Resuming goes on with the fits that were begun.
    pub fn part(&self, name: &str) -> PartCheckpoints {
        let resume = match self.resume {
            Resume::Never => Resume::Never,
            Resume::Required | Resume::IfPresent => Resume::IfPresent,
        };
        PartCheckpoints { result: checkpoint_folder(self.beside).join(name), resume }
    }
}

/// The checkpoint options of one of several fits that have one result.
#[derive(Debug, Clone)]
pub struct PartCheckpoints {
    result: PathBuf,
    resume: Resume,
}

impl PartCheckpoints {
    /// As options of a fit.
    pub fn options(&self) -> CheckpointOptions<'_> {
        CheckpointOptions { beside: &self.result, resume: self.resume }
    }
}

/// The folder of a result's checkpoints.
pub fn checkpoint_folder(result: &Path) -> PathBuf {
    beside(result, ".checkpoint")
}

/// Removes the checkpoints of a result, those of all its parts included. To be called when the result is written: until then they
/// are the only copy of what was learned.
pub fn remove_checkpoints(result: &Path) {
    remove_folder(&checkpoint_folder(result));
}

fn remove_folder(folder: &Path) {
    for path in checkpoints_in(folder) {
        // A missing file is no failure, and one that stays does no harm.
        let _ = std::fs::remove_file(path);
    }
    atomic_file::remove_all_temporary(folder);
    for part in part_folders(folder) {
        remove_folder(&part);
    }
    // Fails where something else lies in it.
    let _ = std::fs::remove_dir(folder);
}

/// The folders of the parts' checkpoints in a folder.
fn part_folders(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "checkpoint"))
}

/// The checkpoints in a folder.
fn checkpoints_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries
        .filter(|entry| is_checkpoint(&entry.file_name().to_string_lossy()))
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths
}

/// Whether a file name is that of a checkpoint: `training-1`, `layer-3-2`.
fn is_checkpoint(name: &str) -> bool {
    let Some((key, "1" | "2")) = name.rsplit_once('-') else { return false };
    let is_layer = |layer: &str| !layer.is_empty() && layer.bytes().all(|byte| byte.is_ascii_digit());
    key == "training" || key.strip_prefix("layer-").is_some_and(is_layer)
}

/// The checkpoints of a fit, and the identity of its run: a checkpoint of another run is refused.
pub(crate) struct Checkpoints<'a> {
    folder: PathBuf,
    resume: Resume,
    period: Duration,
    /// Files of an earlier run, which are given up when the first checkpoint of this run is written.
    earlier: Mutex<Vec<PathBuf>>,
    run: Run<'a>,
    identity: OnceLock<std::result::Result<Value, String>>,
}

/// What determines the course of a run.
pub(crate) struct Run<'a> {
    pub recipe: &'a Recipe,
    pub training: &'a Dataset<'a>,
    pub held_out: &'a Dataset<'a>,
    /// A hash of the model that training starts from.
    pub start_from: Option<String>,
    pub compute: Compute,
}

impl<'a> Checkpoints<'a> {
    /// # Errors
    /// If a checkpoint is required and there is none.
    pub fn open(options: CheckpointOptions<'_>, run: Run<'a>, on_event: &mut OnEvent<'_>) -> Result<Self> {
        let folder = checkpoint_folder(options.beside);
        atomic_file::remove_all_temporary(&folder);
        let found = checkpoints_in(&folder);
        // A short training leaves none, but what was fitted after it may have.
        let is_anew = found.is_empty() && part_folders(&folder).next().is_none();
        if options.resume == Resume::Required && is_anew {
            return Err(Error::model(format!("{}: there is no checkpoint to resume from", folder.display()))
                .hint("leave out `resume` to begin anew"));
        }
        if options.resume == Resume::Never && !found.is_empty() {
            notify(
                on_event,
                Event::Warning(format!(
                    "{}: an earlier run can be resumed from here (`resume`); this one begins anew, and its first checkpoint replaces these",
                    folder.display()
                )),
            );
        }
        let earlier = if options.resume == Resume::Never { found } else { Vec::new() };
        let period = run.recipe.train().map_or(0.0, |train| train.checkpoint);
        Ok(Self {
            folder,
            resume: options.resume,
            period: Duration::try_from_secs_f64(period).unwrap_or(Duration::MAX),
            earlier: Mutex::new(earlier),
            run,
            identity: OnceLock::new(),
        })
    }

    /// The checkpoints of one of the trainings of the fit.
    pub fn training(&self, key: Key) -> TrainingCheckpoints<'_> {
        let key = match key {
            Key::Whole => "training".to_owned(),
            Key::Layer(number) => format!("layer-{number}"),
        };
        let path = |number: usize| self.folder.join(format!("{key}-{number}"));
        TrainingCheckpoints { all: self, paths: [path(1), path(2)], next: 0 }
    }

    /// Refuses a fit whose result would not fit on the disk, and warns where its checkpoints may not. `parameters` is the number
    /// of parameters, `slots` that of the optimizer's vectors of this length.
    pub fn check_space(&self, parameters: usize, slots: usize, on_event: &mut OnEvent<'_>) -> Result<()> {
        let Some(free) = atomic_file::free_space(&self.folder) else { return Ok(()) };
        let vector = (parameters * size_of::<f32>()) as u64;
        let model = vector + FILE_HEAD;
        // The parameters, the best parameters, the optimizer's state; two files and the one that is being written.
        let checkpoints = 3 * (vector * (2 + slots as u64) + FILE_HEAD);
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        let place = self.folder.display();
        if free < model {
            return Err(Error::new(
                ErrorKind::Io,
                format!(
                    "{place}: the disk has {:.1} MB free, the model takes {:.1} MB",
                    megabytes(free),
                    megabytes(model)
                ),
            )
            .hint("free some space, or write to another disk"));
        }
        if self.resume == Resume::Never && free < model + checkpoints {
            notify(
                on_event,
                Event::Warning(format!(
                    "{place}: the disk has {:.1} MB free, the model and its checkpoints take {:.1} MB: without checkpoints an interrupted run is lost",
                    megabytes(free),
                    megabytes(model + checkpoints)
                )),
            );
        }
        Ok(())
    }

    /// The identity of the run. It contains a hash of all rows, so that it is computed when it is first needed.
    fn identity(&self) -> Result<&Value> {
        let identity = self.identity.get_or_init(|| self.run.identity().map_err(|error| error.to_string()));
        identity.as_ref().map_err(|error| Error::data(error.clone()))
    }

    /// Removes the files of an earlier run, `written` being the first of this one.
    fn replace_earlier(&self, written: &Path) {
        let mut earlier = self.earlier.lock().unwrap_or_else(PoisonError::into_inner);
        for path in earlier.drain(..).filter(|path| path != written) {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Run<'_> {
    fn identity(&self) -> Result<Value> {
        let mut recipe = self.recipe.clone();
        if let Some(train) = recipe.train_mut() {
            train.checkpoint = crate::recipe::CHECKPOINT_PERIOD;
            // Under a schedule the learning rate depends on the number of epochs; otherwise a run may be prolonged. With a number of
            // updates it may not: that decides when held-out rows are evaluated.
            if train.schedule == Schedule::Constant {
                train.epochs = 1;
            }
        }
        Ok(json!({
            "version": env!("CARGO_PKG_VERSION"),
            "simd": self.simd(),
            "start_from": self.start_from,
            "recipe": to_json(&recipe),
            "training": self.rows_identity(self.training)?,
            "held_out": self.rows_identity(self.held_out)?,
        }))
    }

    /// The SIMD level, and what multiplies numbers in bfloat16, if that is asked for.
    fn simd(&self) -> String {
        let level = self.compute.level;
        let unit = self.recipe.train().and_then(|train| train.precision.arithmetic(level).bf16);
        unit.map_or(level.name().to_owned(), |unit| format!("{}, {}", level.name(), unit.name()))
    }

    fn rows_identity(&self, dataset: &Dataset<'_>) -> Result<Value> {
        let rows = &*dataset.rows;
        let labels =
            dataset.labels.as_ref().filter(|_| matches!(self.recipe, Recipe::Classifier(_))).map(|labels| {
                let mut hash = ContentHash::default();
                labels.names.iter().for_each(|name| {
                    hash.count(name.len());
                    hash.bytes(name.as_bytes());
                });
                labels.classes.iter().for_each(|class| hash.bytes(&class.to_le_bytes()));
                hash.text()
            });
        Ok(json!({
            "rows": rows.rows(),
            "shape": rows.shape().to_string(),
            "values": content_of(rows)?,
            "labels": labels,
            // The loss depends on them, and the rows do not say what they are.
            "columns": dataset.encoded.as_ref().map(|columns| format!("{columns:?}")),
        }))
    }
}

/// Numbers that are hashed at once.
const HASHED_BLOCK: usize = 1 << 16;

/// A hash of all numbers of a source.
fn content_of(source: &dyn Source) -> Result<String> {
    let (rows, width) = (source.rows(), source.shape().len());
    let block = (HASHED_BLOCK / width.max(1)).clamp(1, rows.max(1));
    let mut hash = ContentHash::default();
    let mut bytes = Vec::new();
    // Bytes and single precision are the same numbers in single precision, with half the work.
    let is_double = source.element() == Element::F64;
    let mut single = vec![0.0f32; if is_double { 0 } else { block * width }];
    let mut double = vec![0.0f64; if is_double { block * width } else { 0 }];
    for first in (0..rows).step_by(block) {
        let count = block.min(rows - first) * width;
        bytes.clear();
        if is_double {
            source.read_f64(first, &mut double[..count])?;
            bytes.extend(double[..count].iter().flat_map(|value| value.to_le_bytes()));
        } else {
            source.read_f32(first, &mut single[..count])?;
            bytes.extend(single[..count].iter().flat_map(|value| value.to_le_bytes()));
        }
        hash.bytes(&bytes);
    }
    Ok(hash.text())
}

/// One of the trainings of a fit.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Key {
    /// That of the whole network.
    Whole,
    /// That of a layer (from 1), before the whole.
    Layer(usize),
}

/// The two checkpoint files of a training.
pub(crate) struct TrainingCheckpoints<'a> {
    all: &'a Checkpoints<'a>,
    paths: [PathBuf; 2],
    /// The file to write next.
    next: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckpointHead {
    run: Value,
    step: u64,
    /// None before the first epoch.
    best_loss: Option<f64>,
    history: Vec<KeptRecord>,
}

/// An [`EpochRecord`] without its number.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptRecord {
    train_loss: f64,
    held_out_loss: f64,
    seconds: f64,
    active_units: Option<usize>,
    held_out_error_rate: Option<f64>,
}

impl TrainingCheckpoints<'_> {
    /// The time between two checkpoints.
    pub fn period(&self) -> Duration {
        self.all.period
    }

    /// Writes a state over the older of the two files.
    pub fn keep(&mut self, state: &State) -> Result<()> {
        let bytes = self.to_bytes(state)?;
        let [path, newer] = [&self.paths[self.next], &self.paths[1 - self.next]];
        let mut written = atomic_file::write(path, &bytes);
        if written.is_err() && newer.exists() && std::fs::remove_file(path).is_ok() {
            // A full disk: the older state makes room for this one.
            written = atomic_file::write(path, &bytes);
        }
        if written.is_err() {
            // The folder of a first checkpoint.
            let _ = std::fs::remove_dir(&self.all.folder);
        }
        written?;
        self.all.replace_earlier(path);
        self.next = 1 - self.next;
        Ok(())
    }

    /// The newest undamaged state of this training, where the run resumes and there is one. A file that is passed over for an
    /// older one is reported.
    ///
    /// # Errors
    /// If there are files, but none is undamaged and of this run.
    pub fn newest(
        &mut self,
        plan: &Plan,
        optimizer: Optimizer,
        rhythm: Rhythm,
        on_event: &mut OnEvent<'_>,
    ) -> Result<Option<State>> {
        let mut found: Option<State> = None;
        let mut errors = Vec::new();
        if self.all.resume == Resume::Never {
            return Ok(None);
        }
        for (number, path) in self.paths.iter().enumerate() {
            if !path.exists() {
                continue;
            }
            let state = input_file::read(path, CHECKPOINT.name, usize::MAX).and_then(|bytes| {
                self.read(&bytes, plan, optimizer, rhythm).map_err(|error| error.at(path.display()))
            });
            match state {
                Ok(state) if found.as_ref().is_none_or(|found| found.step < state.step) => {
                    found = Some(state);
                    self.next = 1 - number;
                }
                Ok(_) => {}
                Err(error) => errors.push(error),
            }
        }
        let Some(state) = found else { return errors.into_iter().next().map_or(Ok(None), Err) };
        for error in errors {
            let place = &self.paths[1 - self.next];
            let epoch = epochs_done(&state.history);
            let older = format!("{error}; resuming from {}, after epoch {epoch}", place.display());
            notify(on_event, Event::Warning(older));
        }
        Ok(Some(state))
    }

    fn to_bytes(&self, state: &State) -> Result<Vec<u8>> {
        let vector = |values: &[f32]| Tensor::f32(vec![values.len()], values);
        let mut tensors = BTreeMap::from([("parameters".to_owned(), vector(&state.parameters))]);
        for (number, memory) in state.optimizer_state.iter().enumerate() {
            tensors.insert(format!("memory.{number}"), vector(memory));
        }
        if !state.best.is_empty() {
            tensors.insert("best".to_owned(), vector(&state.best));
        }
        let record = |record: &EpochRecord| KeptRecord {
            train_loss: record.train_loss,
            held_out_loss: record.held_out_loss,
            seconds: record.seconds,
            active_units: record.active_units,
            held_out_error_rate: record.held_out_error_rate,
        };
        let head = CheckpointHead {
            run: self.all.identity()?.clone(),
            step: state.step,
            best_loss: Some(state.best_loss).filter(|loss| loss.is_finite()),
            history: state.history.iter().map(record).collect(),
        };
        container::encode(&CHECKPOINT, CHECKPOINT.newest, &head, &tensors)
    }

    fn read(&self, bytes: &[u8], plan: &Plan, optimizer: Optimizer, rhythm: Rhythm) -> Result<State> {
        let (version, head, mut tensors) = container::decode::<CheckpointHead>(&CHECKPOINT, bytes)?;
        if version != CHECKPOINT.newest {
            return Err(Error::model("the checkpoint is of another version of the program"));
        }
        if let Some(difference) = difference(&head.run, self.all.identity()?) {
            return Err(Error::model(format!("the checkpoint is of another run: {difference}")).hint(
                "give the same recipe, options and rows; only `train.epochs` may change, and not under a train.schedule",
            ));
        }
        let epochs = rhythm.epoch_of(head.history.len()) as u64;
        if epochs.checked_mul(rhythm.steps_per_epoch) != Some(head.step) {
            return Err(Error::model("the checkpoint's steps do not fit its epochs"));
        }
        let shape = [plan.buffer_len];
        let parameters = tensors.f32("parameters", &shape)?;
        let optimizer_state = (0..optimizer.state_slots())
            .map(|number| tensors.f32(&format!("memory.{number}"), &shape))
            .collect::<Result<_>>()?;
        let best = if tensors.views.contains_key("best") { tensors.f32("best", &shape)? } else { Vec::new() };
        tensors.finish(&CHECKPOINT)?;
        let record = |(place, record): (usize, &KeptRecord)| EpochRecord {
            epoch: rhythm.epoch_of(place + 1),
            train_loss: record.train_loss,
            held_out_loss: record.held_out_loss,
            seconds: record.seconds,
            active_units: record.active_units,
            held_out_error_rate: record.held_out_error_rate,
        };
        let history = head.history.iter().enumerate().map(record).collect();
        let best_loss = head.best_loss.unwrap_or(f64::INFINITY);
        Ok(State { step: head.step, parameters, optimizer_state, best, best_loss, history })
    }
}

/// The first field in which two runs differ, with both values: `train.optimizer is "adam" there, "sgd" here`.
fn difference(there: &Value, here: &Value) -> Option<String> {
    let (Value::Object(a), Value::Object(b)) = (there, here) else {
        return (there != here).then(|| format!(" is {there} there, {here} here"));
    };
    let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
    keys.into_iter().find_map(|key| {
        let [there, here] = [a, b].map(|map| map.get(key).unwrap_or(&Value::Null));
        let inside = difference(there, here)?;
        // The fields of a recipe go by their own names.
        Some(match (key.as_str(), inside.strip_prefix(' ')) {
            ("recipe", None) => inside,
            (key, Some(_)) => format!("{key}{inside}"),
            (key, None) => format!("{key}.{inside}"),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_in_which_two_runs_differ_is_named_with_both_values() {
        let run = |optimizer: &str, simd: &str, rows: usize| json!({ "simd": simd, "recipe": { "train": { "optimizer": optimizer } }, "training": { "rows": rows } });
        let base = run("adam", "avx2", 10);
        assert_eq!(difference(&base, &base), None);
        for (other, text) in [
            (run("sgd", "avx2", 10), "train.optimizer is \"adam\" there, \"sgd\" here"),
            (run("adam", "avx512", 10), "simd is \"avx2\" there, \"avx512\" here"),
            (run("adam", "avx2", 11), "training.rows is 10 there, 11 here"),
            (json!({ "simd": "avx2", "training": { "rows": 10 } }), "train.optimizer is"),
        ] {
            let found = difference(&base, &other).unwrap();
            assert!(found.contains(text.trim_end_matches("is")) || found.contains("recipe is"), "{found}");
        }
    }

    #[test]
    fn only_checkpoints_are_removed() {
        for name in ["training-1", "training-2", "layer-1-1", "layer-12-2"] {
            assert!(is_checkpoint(name), "{name}");
        }
        for name in ["training-3", "training", "layer--1", "layer-x-1", "notes-1", "model.narrows"] {
            assert!(!is_checkpoint(name), "{name}");
        }
    }
}
