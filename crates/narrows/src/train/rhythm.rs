//! How a run of training counts: in steps, epochs and evaluations.

use crate::progress::EpochRecord;
use crate::recipe::Train;

/// How a run counts: steps, epochs, evaluations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rhythm {
    pub steps_per_epoch: u64,
    /// Epochs of the run.
    pub epochs: usize,
    /// Epochs from one evaluation, and its record, to the next.
    pub period: usize,
}

impl Rhythm {
    /// That of training on so many rows.
    pub fn of(settings: &Train, rows: usize) -> Self {
        Self {
            steps_per_epoch: rows.div_ceil(settings.batch_size).max(1) as u64,
            epochs: settings.epochs_of(rows),
            period: settings.period(rows),
        }
    }

    /// The epoch that record number `number`, from 1, is of. The last period may be shorter.
    pub fn epoch_of(self, number: usize) -> usize {
        let epoch = number.saturating_mul(self.period);
        // Without periods a run may have more epochs than are asked for now.
        if self.period > 1 { epoch.min(self.epochs) } else { epoch }
    }
}

/// The finished epochs of a run.
pub(crate) fn epochs_done(history: &[EpochRecord]) -> usize {
    history.last().map_or(0, |record| record.epoch)
}
