//! The state of training at the end of an epoch.

use crate::progress::EpochRecord;
use crate::recipe::Optimizer;

/// The state at the end of an epoch: together with the recipe and the rows it determines the next epoch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct State {
    /// Optimizer steps taken.
    pub step: u64,
    pub parameters: Vec<f32>,
    /// The optimizer's running averages: none, one or two vectors as long as the parameters.
    pub optimizer_state: Vec<Vec<f32>>,
    /// The parameters with the smallest loss on the held-out rows; empty before the first epoch.
    pub best: Vec<f32>,
    /// That loss.
    pub best_loss: f64,
    /// One record for each evaluation: for each finished epoch, or the last of several.
    pub history: Vec<EpochRecord>,
}

impl State {
    /// The state before the first epoch.
    pub fn new(parameters: Vec<f32>, optimizer: Optimizer) -> Self {
        let optimizer_state = vec![vec![0.0; parameters.len()]; optimizer.state_slots()];
        Self {
            step: 0,
            parameters,
            optimizer_state,
            best: Vec::new(),
            best_loss: f64::INFINITY,
            history: Vec::new(),
        }
    }

    /// Adds the record of a finished epoch, and keeps the parameters as the best where its held-out loss is the smallest.
    pub fn finish_epoch(&mut self, record: EpochRecord) {
        self.history.push(record);
        if record.held_out_loss < self.best_loss {
            self.best_loss = record.held_out_loss;
            self.best.clone_from(&self.parameters);
        }
    }
}
