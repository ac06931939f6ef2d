//! The seam between the policy of training and its execution.
//!
//! The policy (`mod.rs`) decides the order of the rows, the learning rates, the end of the run and the parameters to keep.
//! An [`Executor`] holds parameters and optimizer state wherever it computes, and runs whole epochs. It is asked once for
//! each epoch and once for each evaluation, not for each step, because a step of a small network takes microseconds.
//! `cpu.rs` is the implementation on a team of threads.

use std::ops::ControlFlow;

use crate::error::Result;
use crate::train::state::State;

/// Runs epochs and evaluations of one training job.
///
/// The result must be a function of the job, the state it began with and the epochs asked for: it must not depend on how
/// the work is divided.
pub(crate) trait Executor {
    /// Trains on all rows of `epoch` in their order, one optimizer step for each batch. After each step `on_step` is told
    /// the progress, unless the loss is no longer finite; its answer can end the epoch early.
    ///
    /// # Errors
    /// If rows cannot be read. The executor is of no use afterwards.
    fn epoch(
        &mut self,
        epoch: Epoch<'_>,
        on_step: &mut dyn FnMut(StepReport) -> ControlFlow<()>,
    ) -> Result<EpochOutcome>;

    /// Computes the losses of the held-out rows with the present parameters.
    ///
    /// # Errors
    /// As [`Executor::epoch`].
    fn evaluate(&mut self) -> Result<EvaluationOutcome>;

    /// Copies parameters and optimizer state into `state`.
    fn copy_state(&self, state: &mut State);

    /// The name of the first parameter that is not finite or whose gradient is not, for the message of a run that diverged.
    fn non_finite_parameter(&self) -> Option<String>;
}

/// An epoch to run.
#[derive(Clone, Copy)]
pub(crate) struct Epoch<'a> {
    /// Its number, from 1. Noise and dropout depend on it.
    pub number: usize,
    /// Optimizer steps taken before it.
    pub steps_before: u64,
    /// The numbers of the rows in the order of training; a batch is the next so many of them.
    pub order: &'a [usize],
    /// For each batch the fraction of the learning rate to use.
    pub rates: &'a [f32],
}

/// Progress within an epoch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StepReport {
    /// Rows of the epoch seen so far.
    pub rows: usize,
    /// The sum of their losses.
    pub loss_sum: f64,
}

/// The outcome of an epoch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EpochOutcome {
    /// The sum of the losses of the rows that were seen.
    pub loss_sum: f64,
    /// Optimizer steps taken in it.
    pub steps: u64,
    pub end: EpochEnd,
}

/// The end of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EpochEnd {
    /// All batches were trained on.
    Completed,
    /// `on_step` stopped it.
    Stopped,
    /// A loss, a gradient or a parameter was not finite.
    Diverged,
}

/// The outcome of an evaluation on the held-out rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EvaluationOutcome {
    /// The sum of the losses of the rows.
    pub loss_sum: f64,
    /// Units of the code whose value differs among the rows, where known.
    pub active_units: Option<usize>,
    /// Misclassified rows, of a classifier.
    pub misclassified: Option<usize>,
    /// Whether every parameter is a finite number. The last update of an epoch shows up here: no batch follows it.
    pub parameters_are_finite: bool,
}
