//! Gradient training: epochs, the order of the rows, the best so far.

pub(crate) mod checkpoint;
pub mod pretrain;

use std::ops::ControlFlow;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use narrows_kernels::{Level, team};

use crate::data::order::epoch_order;
use crate::error::Result;
use crate::network::engine::{Engine, Rows, loss_width};
use crate::network::noise::Occasion;
use crate::network::plan::{Op, Plan};
use crate::progress::{Ended, EpochRecord, Event, notify};
use crate::recipe::{Optimizer, Train};

/// Where training is at the end of an epoch: all that the next epoch depends on, besides the spec and the rows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct State {
    /// Steps taken.
    pub step: u64,
    pub parameters: Vec<f32>,
    /// What the optimiser remembers.
    pub memory: Vec<Vec<f32>>,
    /// The parameters with the least loss on the held-out rows; empty before the first epoch.
    pub best: Vec<f32>,
    /// That loss.
    pub best_loss: f64,
    /// One record for each epoch that was finished.
    pub history: Vec<EpochRecord>,
}

impl State {
    /// The state before the first epoch.
    pub fn new(parameters: Vec<f32>, optimizer: Optimizer) -> Self {
        let memory = vec![vec![0.0; parameters.len()]; optimizer.state_slots()];
        Self { step: 0, parameters, memory, best: Vec::new(), best_loss: f64::INFINITY, history: Vec::new() }
    }
}

/// Keeps states: called with the state after an epoch now and then, and with the last one when training ends early.
pub(crate) type Keeper<'a> = dyn FnMut(&State) -> Result<()> + Send + 'a;

/// How often a state is kept.
const KEEP_EVERY: Duration = Duration::from_secs(10);

/// What training gives.
pub(crate) struct Trained {
    /// The parameters: after the last epoch, or the best so far where that is asked for or the run ended before.
    pub parameters: Vec<f32>,
    /// One record for each epoch that was finished.
    pub history: Vec<EpochRecord>,
    /// Time spent training, in seconds: validation not included.
    pub seconds: f64,
    /// How it ended.
    pub ended: Ended,
}

/// Multiply-adds of a step that are worth a further thread: at about 20 a nanosecond, twenty times what a barrier takes.
const WORTH_A_THREAD: usize = 200_000;

/// How many threads help with a step. The result does not depend on it.
fn useful_threads(plan: &Plan, batch: usize) -> usize {
    // Each batch normalisation has four barriers more.
    let normalized = plan.steps.iter().filter(|step| matches!(step.op, Op::BatchNorm { .. })).count();
    (3 * plan.multiply_adds()).saturating_mul(batch) / (WORTH_A_THREAD * (1 + 2 * normalized)) + 1
}

/// Trains from `start` on `rows`, watched by the loss on `validation`. From a state of an earlier run it goes on as if that
/// had never stopped.
///
/// All threads run the same loop; the first one, the leader, also shuffles, keeps the records and calls back. What it
/// decides for all (an order, a stop) it decides between two barriers, and all read it after the second.
pub(crate) fn train(
    plan: &Plan,
    settings: &Train,
    start: State,
    rows: Rows<'_>,
    validation: Rows<'_>,
    level: Level,
    threads: usize,
    keep: &mut Keeper<'_>,
    callback: &mut (dyn FnMut(&Event) -> ControlFlow<()> + Send),
) -> Result<Trained> {
    let n = rows.source.rows();
    let batch = settings.batch.min(n);
    let threads = threads.clamp(1, useful_threads(plan, batch));
    let optimizer = settings.optimizer()?;
    let engine = Engine::new(
        plan,
        level,
        optimizer,
        settings.seed,
        batch,
        threads,
        settings.clip_norm,
        &start.parameters,
        &start.memory,
    );
    let steps_per_epoch = n.div_ceil(batch) as u64;
    let steps = steps_per_epoch * settings.epochs as u64;
    let (epochs_before, steps_before) = (start.history.len(), start.step);
    let order: RwLock<Vec<usize>> = RwLock::new((0..n).collect());
    let validation_order: Vec<usize> = (0..validation.source.rows()).collect();
    let stop = AtomicBool::new(false);
    let is_late = |history: &[EpochRecord]| {
        settings.patience.is_some_and(|patience| epochs_in_vain(history, settings.min_delta) >= patience)
    };
    // A run that had stopped early goes no further.
    let early = AtomicBool::new(is_late(&start.history));

    let lead = Leader { callback, keep, kept: Instant::now(), state: start, seconds: 0.0, broken: None };
    let lead = team::run(threads, lead, |member, mut lead| {
        let mut scratch = engine.scratch();
        let mut step = steps_before;
        'epochs: for epoch in epochs_before + 1..=settings.epochs {
            if early.load(Ordering::Relaxed) {
                break;
            }
            let started = Instant::now();
            if lead.is_some() {
                let mut order = order.write().expect("no thread panics with the order");
                epoch_order(&mut order, rows.source, settings.seed, epoch);
            }
            member.wait();
            let order = order.read().expect("no thread panics with the order");
            let (mut seen, mut sum) = (0, 0.0);
            for indices in order.chunks(batch) {
                step += 1;
                let occasion = Occasion::Training { epoch };
                engine.activities(&member, &mut scratch, rows, indices, occasion);
                engine.pass(&member, &mut scratch, rows, indices, occasion);
                member.wait();
                let rate_share = settings.rate_share(step, steps, steps_per_epoch);
                engine.learn(&member, &mut scratch, indices.len(), step, rate_share);
                if let Some(lead) = &mut lead {
                    sum += engine.finish_pass(indices.len());
                    seen += indices.len();
                    if !sum.is_finite() {
                        engine.set_broken();
                    }
                    let loss = sum / (seen * loss_width(plan)) as f64;
                    let event =
                        Event::Step { epoch, epochs: settings.epochs, rows: seen, total_rows: n, loss };
                    if sum.is_finite() && (lead.callback)(&event) == ControlFlow::Break(()) {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
                member.wait();
                if engine.is_broken() {
                    if let Some(lead) = &mut lead {
                        lead.broken = Some((epoch, step));
                    }
                    break 'epochs;
                }
                if stop.load(Ordering::Relaxed) {
                    if let Some(lead) = &mut lead {
                        lead.seconds += started.elapsed().as_secs_f64();
                    }
                    break 'epochs;
                }
            }
            drop(order);
            let seconds = started.elapsed().as_secs_f64();

            let mut validation_sum = 0.0;
            for indices in validation_order.chunks(batch) {
                engine.pass(&member, &mut scratch, validation, indices, Occasion::Judging);
                member.wait();
                if engine.is_broken() {
                    break 'epochs;
                }
                if lead.is_some() {
                    validation_sum += engine.finish_pass(indices.len());
                }
                member.wait();
            }
            engine.gather_extremes(&mut scratch);
            member.wait();
            if let Some(lead) = &mut lead {
                let record = EpochRecord {
                    epoch,
                    train_loss: sum / (n * loss_width(plan)) as f64,
                    held_out_loss: validation_sum / (validation_order.len() * loss_width(plan)) as f64,
                    seconds,
                    active_units: engine.take_active_units(),
                    held_out_error_rate: engine
                        .take_misses()
                        .map(|misses| misses as f64 / validation_order.len() as f64),
                };
                // The last update of an epoch is judged here: no batch comes after it.
                if record.held_out_loss.is_finite() && engine.parameters_are_finite() {
                    lead.finish_epoch(record, step, &engine);
                    early.store(is_late(&lead.state.history), Ordering::Relaxed);
                    if (lead.callback)(&Event::Epoch(record)) == ControlFlow::Break(()) {
                        stop.store(true, Ordering::Relaxed);
                    }
                } else {
                    engine.set_broken();
                    lead.broken = Some((epoch, step));
                    lead.seconds += seconds;
                }
            }
            member.wait();
            if stop.load(Ordering::Relaxed) || engine.is_broken() {
                break 'epochs;
            }
        }
        lead
    });
    if let Some(error) = engine.take_failure() {
        return Err(error);
    }
    let lead = lead.expect("the leader gives back what it was given");
    let ended = if let Some((epoch, step)) = lead.broken {
        let place = match engine.broken_parameter() {
            Some(name) => format!("{name} or its gradient"),
            None => format!("the loss after {}", plan.steps[plan.steps.len() - 1].name),
        };
        Ended::Diverged(format!("training diverged: {place} is not finite in epoch {epoch}, step {step}"))
    } else if stop.load(Ordering::Relaxed) && lead.state.history.len() < settings.epochs {
        Ended::Interrupted
    } else if early.load(Ordering::Relaxed) && lead.state.history.len() < settings.epochs {
        Ended::Early
    } else {
        Ended::Finished
    };
    let Leader { state, seconds, keep, callback, .. } = lead;
    let mut parameters = vec![0.0; plan.buffer_len];
    let wants_best = ended != Ended::Finished || settings.keeps_best();
    if wants_best && !state.best.is_empty() {
        parameters.copy_from_slice(&state.best);
    } else if matches!(ended, Ended::Diverged(_)) || !engine.parameters_are_finite() {
        // No epoch was good: what the steps have made since is finite at best, and already on its way out.
        parameters.copy_from_slice(&state.parameters);
    } else {
        engine.copy_parameters(&mut parameters);
    }
    if ended == Ended::Interrupted
        && let Err(error) = keep(&state)
    {
        notify(callback, Event::Warning(format!("no checkpoint was written: {error}")));
    }
    Ok(Trained { parameters, history: state.history, seconds, ended })
}

/// The epoch with the least loss on the held-out rows.
pub(crate) fn best_epoch(history: &[EpochRecord]) -> Option<&EpochRecord> {
    history.iter().min_by(|a, b| a.held_out_loss.total_cmp(&b.held_out_loss))
}

/// How many epochs have gone by since the loss on the held-out rows last fell by more than `min_delta`.
fn epochs_in_vain(history: &[EpochRecord], min_delta: Option<f64>) -> usize {
    let least = min_delta.unwrap_or(0.0);
    let (mut best, mut in_vain) = (f64::INFINITY, 0);
    for record in history {
        if record.held_out_loss < best - least {
            (best, in_vain) = (record.held_out_loss, 0);
        } else {
            in_vain += 1;
        }
    }
    in_vain
}

/// What only the first thread does.
struct Leader<'a, 'k> {
    callback: &'a mut (dyn FnMut(&Event) -> ControlFlow<()> + Send),
    keep: &'a mut Keeper<'k>,
    /// When a state was last kept.
    kept: Instant,
    /// As it was after the last epoch.
    state: State,
    seconds: f64,
    broken: Option<(usize, u64)>,
}

impl Leader<'_, '_> {
    fn finish_epoch(&mut self, record: EpochRecord, step: u64, engine: &Engine<'_>) {
        self.seconds += record.seconds;
        let state = &mut self.state;
        engine.copy_state(&mut state.parameters, &mut state.memory);
        state.step = step;
        state.history.push(record);
        // A loss that is not a number is worse than any other.
        if record.held_out_loss < state.best_loss {
            state.best_loss = record.held_out_loss;
            state.best.clone_from(&state.parameters);
        }
        if self.kept.elapsed() >= KEEP_EVERY {
            self.kept = Instant::now();
            if let Err(error) = (self.keep)(&self.state) {
                notify(self.callback, Event::Warning(format!("no checkpoint was written: {error}")));
            }
        }
    }
}
