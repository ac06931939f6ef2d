//! Gradient training: from a plan, settings and a first state to the parameters of a network.
//!
//! This file holds the policy and nothing that depends on the machine: the order of the rows, the learning-rate schedule,
//! patience, the best epoch, checkpoints, events and the end of the run. `executor` is the seam to whatever runs an epoch,
//! `cpu` the team of threads behind it, `state` all that the next epoch depends on, `checkpoint` its files, `pretrain`
//! the training of one layer after the other. Fits (the room `fit`) call `train`; nothing else does.

pub mod checkpoint;
mod cpu;
mod executor;
pub mod pretrain;
mod state;

use std::time::{Duration, Instant};

use crate::compute::Compute;
use crate::data::order::epoch_order;
use crate::error::Result;
use crate::network::engine::{Rows, loss_width};
use crate::network::plan::Plan;
use crate::progress::{Ended, EpochRecord, Event, OnEvent, notify};
use crate::recipe::Train;
use checkpoint::TrainingCheckpoints;
pub(crate) use cpu::useful_threads;
use executor::{Epoch, EpochEnd, EpochOutcome, EvaluationOutcome, Executor, StepReport};
pub(crate) use state::State;

/// A network to train, the rows and the settings.
#[derive(Clone, Copy)]
pub(crate) struct Job<'a> {
    pub plan: &'a Plan,
    pub settings: &'a Train,
    /// The rows to train on.
    pub rows: Rows<'a>,
    /// The rows to evaluate on after each epoch.
    pub held_out: Rows<'a>,
    pub compute: Compute,
}

impl Job<'_> {
    /// Rows of a batch; the last one of an epoch may have fewer.
    fn batch(&self) -> usize {
        self.settings.batch_size.min(self.rows.source.rows())
    }

    pub fn steps_per_epoch(&self) -> u64 {
        self.rows.source.rows().div_ceil(self.batch()) as u64
    }

    /// The mean loss from a sum over so many rows.
    fn mean_loss(&self, sum: f64, rows: usize) -> f64 {
        sum / (rows * loss_width(self.plan)) as f64
    }
}

/// A training that took less time is not worth a checkpoint of its end, unless checkpoints are more frequent.
const WORTH_KEEPING: Duration = Duration::from_secs(1);

/// The result of training.
pub(crate) struct Trained {
    /// The parameters after the last epoch, or those of the best epoch where the settings ask for it or the run ended early.
    pub parameters: Vec<f32>,
    /// One record for each finished epoch.
    pub history: Vec<EpochRecord>,
    /// Time spent training, in seconds; evaluation on the held-out rows is not included.
    pub seconds: f64,
    pub ended: Ended,
}

impl Trained {
    /// A training that was ended before its first epoch.
    pub fn before_the_first_epoch(parameters: Vec<f32>, ended: Ended) -> Self {
        Self { parameters, history: Vec::new(), seconds: 0.0, ended }
    }
}

/// Trains from the state `start`. From a state of an earlier run it goes on as if that run had never stopped. Checkpoints are
/// written after an epoch now and then, and with the last state.
pub(crate) fn train(
    job: Job<'_>,
    start: State,
    checkpoints: Option<TrainingCheckpoints<'_>>,
    on_event: &mut OnEvent<'_>,
) -> Result<Trained> {
    let team = cpu::Team::new(job, &start)?;
    let mut run = TrainingRun {
        job,
        checkpoints,
        on_event,
        started: Instant::now(),
        last_checkpoint: Instant::now(),
        kept_epochs: Some(start.history.len()).filter(|&epochs| epochs > 0),
        seconds: start.history.iter().map(|record| record.seconds).sum(),
        state: start,
        order: Vec::new(),
    };
    team.run(|executor| {
        let ended = run.epochs(executor)?;
        Ok(run.finish(executor, ended))
    })
}

/// The epoch with the smallest loss on the held-out rows.
pub(crate) fn best_epoch(history: &[EpochRecord]) -> Option<&EpochRecord> {
    history.iter().min_by(|a, b| a.held_out_loss.total_cmp(&b.held_out_loss))
}

/// Epochs since the loss on the held-out rows last fell by more than `min_delta`.
fn epochs_without_improvement(history: &[EpochRecord], min_delta: Option<f64>) -> usize {
    let min_delta = min_delta.unwrap_or(0.0);
    let (mut best, mut epochs) = (f64::INFINITY, 0);
    for record in history {
        if record.held_out_loss < best - min_delta {
            (best, epochs) = (record.held_out_loss, 0);
        } else {
            epochs += 1;
        }
    }
    epochs
}

/// A run in progress.
struct TrainingRun<'a, 'k, 'c> {
    job: Job<'a>,
    checkpoints: Option<TrainingCheckpoints<'k>>,
    on_event: &'a mut OnEvent<'c>,
    started: Instant,
    last_checkpoint: Instant,
    /// Epochs of the state in the newest checkpoint.
    kept_epochs: Option<usize>,
    /// The state after the last finished epoch.
    state: State,
    /// Time spent training.
    seconds: f64,
    /// The order of the rows in the present epoch.
    order: Vec<usize>,
}

impl TrainingRun<'_, '_, '_> {
    /// Runs epoch after epoch until the last, or until something ends the run before.
    fn epochs(&mut self, executor: &mut dyn Executor) -> Result<Ended> {
        let Job { settings, rows, .. } = self.job;
        for number in self.state.history.len() + 1..=settings.epochs {
            if self.is_out_of_patience() {
                return Ok(Ended::Early);
            }
            let started = Instant::now();
            epoch_order(&mut self.order, rows.source, settings.seed, number);
            let trained = self.epoch(executor, number)?;
            let seconds = started.elapsed().as_secs_f64();
            self.seconds += seconds;
            match trained.end {
                EpochEnd::Completed => {}
                EpochEnd::Stopped => return Ok(Ended::Interrupted),
                EpochEnd::Diverged => return Ok(self.diverged(executor, number, trained)),
            }
            let evaluated = executor.evaluate()?;
            let record = self.record(number, trained, evaluated, seconds);
            if !record.held_out_loss.is_finite() || !evaluated.parameters_are_finite {
                return Ok(self.diverged(executor, number, trained));
            }
            executor.copy_state(&mut self.state);
            self.state.step += trained.steps;
            self.state.finish_epoch(record);
            self.write_checkpoint_now_and_then();
            let answer = (self.on_event)(&Event::Epoch(record));
            if answer.is_break() && number < settings.epochs {
                return Ok(Ended::Interrupted);
            }
        }
        Ok(Ended::Finished)
    }

    fn is_out_of_patience(&self) -> bool {
        let Train { patience, min_delta, .. } = *self.job.settings;
        patience
            .is_some_and(|patience| epochs_without_improvement(&self.state.history, min_delta) >= patience)
    }

    /// Trains on all rows once, at the learning rates of the schedule.
    fn epoch(&mut self, executor: &mut dyn Executor, number: usize) -> Result<EpochOutcome> {
        let Self { job, on_event, state, order, .. } = self;
        let (steps_before, steps_per_epoch) = (state.step, job.steps_per_epoch());
        let steps = steps_per_epoch * job.settings.epochs as u64;
        let rates: Vec<f32> = (steps_before + 1..=steps_before + steps_per_epoch)
            .map(|step| job.settings.rate_share(step, steps, steps_per_epoch))
            .collect();
        let (epochs, total_rows) = (job.settings.epochs, order.len());
        let mut on_step = |StepReport { rows, loss_sum }| {
            let loss = job.mean_loss(loss_sum, rows);
            on_event(&Event::Step { epoch: number, epochs, rows, total_rows, loss })
        };
        executor.epoch(Epoch { number, steps_before, order, rates: &rates }, &mut on_step)
    }

    fn record(
        &self,
        epoch: usize,
        trained: EpochOutcome,
        evaluated: EvaluationOutcome,
        seconds: f64,
    ) -> EpochRecord {
        let held_out = self.job.held_out.source.rows();
        EpochRecord {
            epoch,
            train_loss: self.job.mean_loss(trained.loss_sum, self.order.len()),
            held_out_loss: self.job.mean_loss(evaluated.loss_sum, held_out),
            seconds,
            active_units: evaluated.active_units,
            held_out_error_rate: evaluated.misclassified.map(|rows| rows as f64 / held_out as f64),
        }
    }

    fn diverged(&self, executor: &dyn Executor, epoch: usize, trained: EpochOutcome) -> Ended {
        let place = match executor.non_finite_parameter() {
            Some(name) => format!("{name} or its gradient"),
            None => {
                let steps = &self.job.plan.steps;
                format!("the loss after {}", steps[steps.len() - 1].name)
            }
        };
        let step = self.state.step + trained.steps;
        Ended::Diverged(format!("training diverged: {place} is not finite in epoch {epoch}, step {step}"))
    }

    fn write_checkpoint_now_and_then(&mut self) {
        let is_due =
            |checkpoints: &TrainingCheckpoints<'_>| self.last_checkpoint.elapsed() >= checkpoints.period();
        if self.checkpoints.as_ref().is_some_and(is_due) {
            self.write_checkpoint();
            self.last_checkpoint = Instant::now();
        }
    }

    /// Writes the state at the end, so that nothing is lost before the result is saved.
    fn write_last_checkpoint(&mut self, ended: &Ended) {
        let Some(checkpoints) = &self.checkpoints else { return };
        let is_over = matches!(ended, Ended::Finished | Ended::Early);
        let is_short = self.started.elapsed() < WORTH_KEEPING.min(checkpoints.period());
        if self.kept_epochs != Some(self.state.history.len()) && !(is_over && is_short) {
            self.write_checkpoint();
        }
    }

    /// A failure is reported, but does not end the run: the model is worth more than its checkpoint.
    fn write_checkpoint(&mut self) {
        let Some(checkpoints) = &mut self.checkpoints else { return };
        match checkpoints.keep(&self.state) {
            Ok(()) => self.kept_epochs = Some(self.state.history.len()),
            Err(error) => {
                notify(self.on_event, Event::Warning(format!("no checkpoint was written: {error}")));
            }
        }
    }

    /// Chooses the parameters to keep.
    fn finish(&mut self, executor: &dyn Executor, ended: Ended) -> Trained {
        self.write_last_checkpoint(&ended);
        let history = std::mem::take(&mut self.state.history);
        let wants_best = ended != Ended::Finished || self.job.settings.keeps_best();
        let parameters = if wants_best && !self.state.best.is_empty() {
            std::mem::take(&mut self.state.best)
        } else {
            let before = self.state.parameters.clone();
            if ended == Ended::Interrupted {
                // Within the first epoch: what it has changed so far is better than nothing, unless it is not finite.
                executor.copy_state(&mut self.state);
            }
            let last = std::mem::take(&mut self.state.parameters);
            if last.iter().all(|value| value.is_finite()) { last } else { before }
        };
        Trained { parameters, history, seconds: self.seconds, ended }
    }
}

#[cfg(test)]
mod tests;
