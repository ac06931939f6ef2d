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
mod rhythm;
mod state;

use std::ops::RangeInclusive;
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
pub(crate) use rhythm::{Rhythm, epochs_done};
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

    pub fn rhythm(&self) -> Rhythm {
        Rhythm::of(self.settings, self.rows.source.rows())
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
    /// One record for each evaluation: for each finished epoch, or the last of several.
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
        kept_epochs: Some(epochs_done(&start.history)).filter(|&epochs| epochs > 0),
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

/// Evaluations since the loss on the held-out rows last fell by more than `min_delta`.
fn evaluations_without_improvement(history: &[EpochRecord], min_delta: Option<f64>) -> usize {
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
        let rhythm = self.job.rhythm();
        let mut done = epochs_done(&self.state.history);
        while done < rhythm.epochs {
            if self.is_out_of_patience() {
                return Ok(Ended::Early);
            }
            let last = (done + rhythm.period).min(rhythm.epochs);
            let started = Instant::now();
            let trained = self.train_epochs(executor, done + 1..=last)?;
            let seconds = started.elapsed().as_secs_f64();
            self.seconds += seconds;
            match trained.end {
                EpochEnd::Completed => {}
                EpochEnd::Stopped => return Ok(Ended::Interrupted),
                EpochEnd::Diverged => return Ok(self.diverged(executor, trained)),
            }
            let evaluated = executor.evaluate()?;
            let record = self.record(done + 1..=last, trained, evaluated, seconds);
            if !record.held_out_loss.is_finite() || !evaluated.parameters_are_finite {
                return Ok(self.diverged(executor, trained));
            }
            executor.copy_state(&mut self.state);
            self.state.step += trained.steps;
            self.state.finish_epoch(record);
            self.write_checkpoint_now_and_then();
            let answer = (self.on_event)(&Event::Epoch(record));
            if answer.is_break() && last < rhythm.epochs {
                return Ok(Ended::Interrupted);
            }
            done = last;
        }
        Ok(Ended::Finished)
    }

    fn is_out_of_patience(&self) -> bool {
        let Train { patience, min_delta, .. } = *self.job.settings;
        patience.is_some_and(|patience| {
            evaluations_without_improvement(&self.state.history, min_delta) >= patience
        })
    }

    /// Trains for some epochs, one after the other, up to the first that is not completed. The outcome is that of all of them.
    fn train_epochs(
        &mut self,
        executor: &mut dyn Executor,
        numbers: RangeInclusive<usize>,
    ) -> Result<EpochOutcome> {
        let mut all = EpochOutcome { loss_sum: 0.0, steps: 0, end: EpochEnd::Completed };
        for number in numbers {
            epoch_order(&mut self.order, self.job.rows.source, self.job.settings.seed, number);
            let EpochOutcome { loss_sum, steps, end } = self.epoch(executor, number, all.steps)?;
            all = EpochOutcome { loss_sum: all.loss_sum + loss_sum, steps: all.steps + steps, end };
            if end != EpochEnd::Completed {
                break;
            }
        }
        Ok(all)
    }

    /// Trains on all rows once, at the learning rates of the schedule, `steps` steps after the present state.
    fn epoch(&mut self, executor: &mut dyn Executor, number: usize, steps: u64) -> Result<EpochOutcome> {
        let Self { job, on_event, state, order, .. } = self;
        let Rhythm { steps_per_epoch, epochs, .. } = job.rhythm();
        let steps_before = state.step + steps;
        let steps = steps_per_epoch * epochs as u64;
        let rates: Vec<f32> = (steps_before + 1..=steps_before + steps_per_epoch)
            .map(|step| job.settings.rate_share(step, steps, steps_per_epoch))
            .collect();
        let total_rows = order.len();
        let mut on_step = |StepReport { rows, loss_sum }| {
            let loss = job.mean_loss(loss_sum, rows);
            on_event(&Event::Step { epoch: number, epochs, rows, total_rows, loss })
        };
        executor.epoch(Epoch { number, steps_before, order, rates: &rates }, &mut on_step)
    }

    /// The record of some epochs: their mean loss in training, and the evaluation after the last.
    fn record(
        &self,
        epochs: RangeInclusive<usize>,
        trained: EpochOutcome,
        evaluated: EvaluationOutcome,
        seconds: f64,
    ) -> EpochRecord {
        let held_out = self.job.held_out.source.rows();
        let (last, seen) = (*epochs.end(), self.order.len() * epochs.count());
        EpochRecord {
            epoch: last,
            train_loss: self.job.mean_loss(trained.loss_sum, seen),
            held_out_loss: self.job.mean_loss(evaluated.loss_sum, held_out),
            seconds,
            active_units: evaluated.active_units,
            held_out_error_rate: evaluated.misclassified.map(|rows| rows as f64 / held_out as f64),
        }
    }

    fn diverged(&self, executor: &dyn Executor, trained: EpochOutcome) -> Ended {
        let place = match executor.non_finite_parameter() {
            Some(name) => format!("{name} or its gradient"),
            None => {
                let steps = &self.job.plan.steps;
                format!("the loss after {}", steps[steps.len() - 1].name)
            }
        };
        let step = self.state.step + trained.steps;
        let epoch = step.div_ceil(self.job.rhythm().steps_per_epoch);
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
        if self.kept_epochs != Some(epochs_done(&self.state.history)) && !(is_over && is_short) {
            self.write_checkpoint();
        }
    }

    /// A failure is reported, but does not end the run: the model is worth more than its checkpoint.
    fn write_checkpoint(&mut self) {
        let Some(checkpoints) = &mut self.checkpoints else { return };
        match checkpoints.keep(&self.state) {
            Ok(()) => self.kept_epochs = Some(epochs_done(&self.state.history)),
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
