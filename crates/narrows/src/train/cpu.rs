//! The executor on the processor: a team of threads that meet at barriers.
//!
//! The team lasts for the whole run, because an epoch of a small table takes less time than starting a thread. The first
//! thread, the leader, runs the policy. The others wait at a barrier for its next command:
//!
//! ```text
//! leader    publish command | barrier | epoch or evaluation | back to the policy ...
//! others                    | barrier | epoch or evaluation | wait for the next command
//! ```
//!
//! Within an epoch every thread runs the same loop over the batches, with two barriers for each step: one between the pass
//! over the rows and the update of the parameters, one after the update. Between those two the leader adds up the losses
//! and decides whether to go on; the others read its decision after the second.

use std::ops::ControlFlow;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering};

use narrows_kernels::team;

use super::Job;
use super::executor::{Epoch, EpochEnd, EpochOutcome, EvaluationOutcome, Executor, StepReport};
use super::state::State;
use crate::error::{Error, Result};
use crate::network::engine::{Batch, Engine, OptimizerStep, Setup, Workspace};
use crate::network::noise::Mode;
use crate::network::plan::{Op, Plan};

/// Multiply-adds of a step that justify a further thread: at about 20 a nanosecond, twenty times the cost of a barrier.
const MULTIPLY_ADDS_PER_THREAD: usize = 200_000;

/// The number of threads that speed up a step. The result does not depend on it.
pub(crate) fn useful_threads(plan: &Plan, batch: usize) -> usize {
    // Each batch normalisation adds four barriers.
    let normalized = plan.steps.iter().filter(|step| matches!(step.op, Op::BatchNorm { .. })).count();
    plan.multiply_adds().saturating_mul(3).saturating_mul(batch)
        / (MULTIPLY_ADDS_PER_THREAD * (1 + 2 * normalized))
        + 1
}

/// The threads of a run and what they share.
pub(super) struct Team<'a> {
    job: Job<'a>,
    batch: usize,
    threads: usize,
    engine: Engine<'a>,
    /// The numbers of the held-out rows.
    held_out: Vec<usize>,
    /// Written by the leader while the others wait for it. They hold it for reading as long as they work on it.
    command: RwLock<Command>,
    /// Whether the leader ended the command early. Written between the two barriers of a step, read after the second.
    stop: AtomicBool,
}

/// The work of the whole team.
struct Command {
    work: Work,
    /// The order and the rates of the epoch, copied: the team outlives the borrow of an [`Epoch`].
    order: Vec<usize>,
    rates: Vec<f32>,
}

#[derive(Clone, Copy)]
enum Work {
    Epoch {
        number: usize,
        steps_before: u64,
    },
    Evaluation,
    /// The run is over.
    Nothing,
}

impl<'a> Team<'a> {
    /// A team for a job that goes on from a state.
    pub fn new(job: Job<'a>, start: &State) -> Result<Self> {
        let Job { plan, settings, rows, held_out, compute } = job;
        let batch = job.batch();
        let threads = compute.threads.clamp(1, useful_threads(plan, batch));
        let setup = Setup {
            plan,
            arithmetic: settings.precision.arithmetic(compute.level),
            optimizer: settings.optimizer()?,
            seed: settings.seed,
            clip_norm: settings.clip_norm,
            batch,
            threads,
        };
        Ok(Self {
            job,
            batch,
            threads,
            engine: Engine::new(setup, &start.parameters, &start.optimizer_state),
            held_out: (0..held_out.source.rows()).collect(),
            command: RwLock::new(Command {
                work: Work::Nothing,
                order: Vec::with_capacity(rows.source.rows()),
                rates: Vec::new(),
            }),
            stop: AtomicBool::new(false),
        })
    }

    /// Starts the threads, runs `policy` on this one with the team as its executor, and disbands the team.
    ///
    /// # Errors
    /// Where the policy fails, or threads cannot be started.
    pub fn run<R: Send>(&self, policy: impl FnOnce(&mut dyn Executor) -> Result<R> + Send) -> Result<R> {
        let result = team::run(self.threads, policy, |member, policy| {
            let mut worker = TeamThread { team: self, member, workspace: self.engine.workspace() };
            let Some(policy) = policy else {
                worker.follow();
                return None;
            };
            let result = policy(&mut Leader { worker: &mut worker });
            worker.publish(|command| command.work = Work::Nothing);
            Some(result)
        })
        .map_err(Error::threads)?;
        result.expect("the leader returns the result of the policy")
    }
}

/// One thread of the team.
struct TeamThread<'t, 'a> {
    team: &'t Team<'a>,
    member: team::Worker<'t>,
    workspace: Workspace<'a>,
}

impl TeamThread<'_, '_> {
    /// Carries out the leader's commands until the run is over.
    fn follow(&mut self) {
        let team = self.team;
        loop {
            self.member.wait();
            let command = team.command.read().expect("no thread panics with the command");
            match command.work {
                Work::Epoch { number, steps_before } => {
                    let Command { order, rates, .. } = &*command;
                    let epoch = Epoch { number, steps_before, order, rates };
                    self.epoch(epoch, None);
                }
                Work::Evaluation => self.evaluate(None),
                Work::Nothing => return,
            }
        }
    }

    /// Gives the team its next command. The lock is free once every other thread is done with the last one.
    fn publish(&self, write: impl FnOnce(&mut Command)) {
        let mut command = self.team.command.write().expect("no thread panics with the command");
        write(&mut command);
        self.team.stop.store(false, Ordering::Relaxed);
        drop(command);
        self.member.wait();
    }

    /// The part of this thread in an epoch. The leader passes `after_batch`, which gets the number of rows of each batch and
    /// the sum of their losses, and decides whether to go on.
    fn epoch(
        &mut self,
        epoch: Epoch<'_>,
        mut after_batch: Option<&mut dyn FnMut(usize, f64) -> ControlFlow<()>>,
    ) {
        let Self { team, member, workspace } = self;
        let (engine, rows) = (&team.engine, team.job.rows);
        let mode = Mode::Train { epoch: epoch.number };
        let steps = epoch.steps_before + 1..;
        for ((indices, &rate), number) in epoch.order.chunks(team.batch).zip(epoch.rates).zip(steps) {
            let batch = Batch { rows, indices };
            engine.measure_activity(member, workspace, batch, mode);
            engine.pass(member, workspace, batch, mode);
            member.wait();
            engine.update(member, workspace, OptimizerStep { number, rate, rows: indices.len() });
            if let Some(after_batch) = &mut after_batch {
                let loss = engine.finish_pass(indices.len());
                // An unreadable batch has no loss to report.
                if engine.has_failed() || after_batch(indices.len(), loss).is_break() {
                    team.stop.store(true, Ordering::Relaxed);
                }
            }
            member.wait();
            if engine.has_diverged() || team.stop.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    /// The part of this thread in an evaluation. The leader passes `after_batch`, which gets the sum of the losses.
    fn evaluate(&mut self, mut after_batch: Option<&mut dyn FnMut(f64)>) {
        let Self { team, member, workspace } = self;
        let engine = &team.engine;
        for indices in team.held_out.chunks(team.batch) {
            let batch = Batch { rows: team.job.held_out, indices };
            engine.pass(member, workspace, batch, Mode::Evaluate);
            member.wait();
            if let Some(after_batch) = &mut after_batch {
                after_batch(engine.finish_pass(indices.len()));
                if engine.has_failed() {
                    team.stop.store(true, Ordering::Relaxed);
                }
            }
            member.wait();
            if team.stop.load(Ordering::Relaxed) {
                return;
            }
        }
        engine.merge_unit_ranges(workspace);
        member.wait();
    }
}

/// The first thread, with the policy above it.
struct Leader<'w, 't, 'a> {
    worker: &'w mut TeamThread<'t, 'a>,
}

impl Executor for Leader<'_, '_, '_> {
    fn epoch(
        &mut self,
        epoch: Epoch<'_>,
        on_step: &mut dyn FnMut(StepReport) -> ControlFlow<()>,
    ) -> Result<EpochOutcome> {
        let team = self.worker.team;
        let engine = &team.engine;
        self.worker.publish(|command| {
            command.work = Work::Epoch { number: epoch.number, steps_before: epoch.steps_before };
            command.order.clear();
            command.order.extend_from_slice(epoch.order);
            command.rates.clear();
            command.rates.extend_from_slice(epoch.rates);
        });
        let (mut rows, mut loss_sum, mut steps) = (0, 0.0, 0);
        self.worker.epoch(
            epoch,
            Some(&mut |batch, loss| {
                rows += batch;
                loss_sum += loss;
                steps += 1;
                if !loss_sum.is_finite() {
                    engine.set_diverged();
                    return ControlFlow::Break(());
                }
                on_step(StepReport { rows, loss_sum })
            }),
        );
        if let Some(error) = engine.take_failure() {
            return Err(error);
        }
        let end = if engine.has_diverged() {
            EpochEnd::Diverged
        } else if team.stop.load(Ordering::Relaxed) {
            EpochEnd::Stopped
        } else {
            EpochEnd::Completed
        };
        Ok(EpochOutcome { loss_sum, steps, end })
    }

    fn evaluate(&mut self) -> Result<EvaluationOutcome> {
        let team = self.worker.team;
        let engine = &team.engine;
        self.worker.publish(|command| command.work = Work::Evaluation);
        let mut loss_sum = 0.0;
        self.worker.evaluate(Some(&mut |loss| loss_sum += loss));
        if let Some(error) = engine.take_failure() {
            return Err(error);
        }
        Ok(EvaluationOutcome {
            loss_sum,
            active_units: engine.take_active_units(),
            misclassified: engine.take_misclassified(),
            parameters_are_finite: engine.parameters_are_finite(),
        })
    }

    fn copy_state(&self, state: &mut State) {
        self.worker.team.engine.copy_state(&mut state.parameters, &mut state.optimizer_state);
    }

    fn non_finite_parameter(&self) -> Option<String> {
        self.worker.team.engine.non_finite_parameter().map(str::to_owned)
    }
}
