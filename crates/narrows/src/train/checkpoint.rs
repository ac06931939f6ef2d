//! Checkpoints: the state of training after an epoch, in two files beside the model, written in turn. A run that was stopped
//! or killed resumes from them as if it had never stopped, bit for bit.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::base::container::{self, Kind, Tensor};
use crate::base::{atomic_file, input_file};
use crate::error::{Error, Result};
use crate::network::engine::Rows;
use crate::network::plan::Plan;
use crate::progress::EpochRecord;
use crate::recipe::{Optimizer, Recipe, Schedule};
use crate::train::State;

const CHECKPOINT: Kind = Kind { key: "narrows-checkpoint", name: "Narrows checkpoint", newest: 3 };

/// The largest number of rows in the fingerprint of a data set.
const FINGERPRINT_ROWS: usize = 1000;

/// The checkpoint files of a run.
pub(crate) struct Checkpoints {
    paths: [PathBuf; 2],
    /// The file to write next.
    next: usize,
    run: RunIdentity,
    steps_per_epoch: u64,
}

/// The identity of a run: a checkpoint of another one is refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RunIdentity {
    /// With the number of epochs left out, unless the learning rate depends on it: a run may be prolonged.
    #[serde(rename = "spec")]
    recipe: Recipe,
    /// For the training and the held-out rows: SHA-256 of their number, their length, and some of them; for classifiers also
    /// of the classes.
    data: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckpointHead {
    run: RunIdentity,
    step: u64,
    best_loss: f64,
    /// Training loss, held-out loss and seconds of each epoch.
    history: Vec<(f64, f64, f64)>,
    /// Active units after each epoch, where known; from version 2 on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    active_units: Vec<Option<usize>>,
    /// The held-out error rate after each epoch, for classifiers; from version 3 on.
    #[serde(default, skip_serializing_if = "Vec::is_empty", rename = "validation_errors")]
    held_out_error_rates: Vec<Option<f64>>,
}

impl Checkpoints {
    /// The checkpoints of a run whose model goes to `model`.
    pub fn new(model: &Path, recipe: Recipe, rows: Rows<'_>, held_out: Rows<'_>) -> Result<Self> {
        let beside = |number: usize| {
            let mut name = model.as_os_str().to_owned();
            name.push(format!(".checkpoint-{number}"));
            PathBuf::from(name)
        };
        let mut recipe = recipe;
        let mut steps_per_epoch = 1;
        if let Some(train) = recipe.train_mut() {
            // Under a schedule the learning rate depends on the number of epochs.
            if train.schedule == Schedule::Constant {
                train.epochs = 1;
            }
            steps_per_epoch = train.steps(1, rows.source.rows()) as u64;
        }
        let data = format!("{} {}", fingerprint(rows)?, fingerprint(held_out)?);
        Ok(Self {
            paths: [beside(1), beside(2)],
            next: 0,
            run: RunIdentity { recipe, data },
            steps_per_epoch,
        })
    }

    /// Writes a state over the older of the two files.
    pub fn keep(&mut self, state: &State) -> Result<()> {
        atomic_file::write(&self.paths[self.next], &self.to_bytes(state)?)?;
        self.next = 1 - self.next;
        Ok(())
    }

    /// The newest state that is undamaged and belongs to this run.
    ///
    /// # Errors
    /// If there is none; the reason is that of the damaged or foreign file.
    pub fn newest(&mut self, plan: &Plan, optimizer: Optimizer) -> Result<State> {
        let mut found: Option<State> = None;
        let mut reason = None;
        for (number, path) in self.paths.iter().enumerate() {
            if !path.exists() {
                continue;
            }
            let state = input_file::read(path, CHECKPOINT.name, usize::MAX).and_then(|bytes| {
                self.read(&bytes, plan, optimizer).map_err(|error| error.at(path.display()))
            });
            match state {
                Ok(state) if found.as_ref().is_none_or(|found| found.step < state.step) => {
                    found = Some(state);
                    self.next = 1 - number;
                }
                Ok(_) => {}
                Err(error) => reason = Some(error),
            }
        }
        match (found, reason) {
            (Some(state), _) => Ok(state),
            (None, Some(error)) => Err(error),
            (None, None) => Err(Error::model(format!(
                "{}: there is no checkpoint to resume from",
                self.paths[0].display()
            ))
            .hint("leave out `resume` to begin anew")),
        }
    }

    /// Removes the files when the run is over.
    pub fn remove(&self) {
        for path in &self.paths {
            // A missing file is no failure, and one that stays does no harm.
            let _ = std::fs::remove_file(path);
        }
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
        let history = state.history.iter().map(|r| (r.train_loss, r.held_out_loss, r.seconds)).collect();
        let active_units = state.history.iter().map(|record| record.active_units).collect();
        let held_out_error_rates = state.history.iter().map(|record| record.held_out_error_rate).collect();
        // JSON has no infinity, which stands for "no best loss yet".
        let best_loss = if state.best_loss.is_finite() { state.best_loss } else { f64::MAX };
        container::encode(
            &CHECKPOINT,
            CHECKPOINT.newest,
            &CheckpointHead {
                run: self.run.clone(),
                step: state.step,
                best_loss,
                history,
                active_units,
                held_out_error_rates,
            },
            &tensors,
        )
    }

    fn read(&self, bytes: &[u8], plan: &Plan, optimizer: Optimizer) -> Result<State> {
        let (_, head, mut tensors) = container::decode::<CheckpointHead>(&CHECKPOINT, bytes)?;
        if head.run.recipe != self.run.recipe {
            return Err(Error::model("the checkpoint is of a run with other settings").hint(
                "give the same recipe and options; only `train.epochs` may change, and not under a train.schedule",
            ));
        }
        if head.run.data != self.run.data {
            return Err(Error::model("the checkpoint is of a run on other rows"));
        }
        if head.step != head.history.len() as u64 * self.steps_per_epoch {
            return Err(Error::model("the checkpoint's steps do not fit its epochs"));
        }
        let shape = [plan.buffer_len];
        let parameters = tensors.f32("parameters", &shape)?;
        let optimizer_state = (0..optimizer.state_slots())
            .map(|number| tensors.f32(&format!("memory.{number}"), &shape))
            .collect::<Result<_>>()?;
        let best = if tensors.views.contains_key("best") { tensors.f32("best", &shape)? } else { Vec::new() };
        tensors.finish(&CHECKPOINT)?;
        let history = head
            .history
            .iter()
            .enumerate()
            .map(|(place, &(train_loss, held_out_loss, seconds))| EpochRecord {
                epoch: place + 1,
                train_loss,
                held_out_loss,
                seconds,
                active_units: head.active_units.get(place).copied().flatten(),
                held_out_error_rate: head.held_out_error_rates.get(place).copied().flatten(),
            })
            .collect();
        Ok(State { step: head.step, parameters, optimizer_state, best, best_loss: head.best_loss, history })
    }
}

fn fingerprint(Rows { source: rows, classes, .. }: Rows<'_>) -> Result<String> {
    let (count, width) = (rows.rows(), rows.shape().len());
    let mut hash = Sha256::new();
    hash.update((count as u64).to_le_bytes());
    hash.update((width as u64).to_le_bytes());
    let mut row = vec![0.0; width];
    for index in (0..count).step_by(count.div_ceil(FINGERPRINT_ROWS).max(1)) {
        rows.read_f64(index, &mut row)?;
        row.iter().for_each(|value| hash.update(value.to_le_bytes()));
    }
    classes.into_iter().flatten().for_each(|class| hash.update(class.to_le_bytes()));
    Ok(container::hexadecimal(hash))
}
