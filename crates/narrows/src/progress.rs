//! Progress as plain data. Whoever drives a fit gives one callback; its answer can stop the run.

/// What happened.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A step was taken.
    Step {
        /// The epoch, from 1.
        epoch: usize,
        /// How many epochs there will be.
        epochs: usize,
        /// Rows of this epoch seen so far.
        rows: usize,
        /// Rows of an epoch.
        total_rows: usize,
        /// The mean loss over the rows of this epoch seen so far.
        loss: f64,
    },
    /// All rows were seen once more.
    Epoch(EpochRecord),
    /// A layer begins to be trained alone, before all are trained together.
    Layer {
        /// Which, from 1.
        layer: usize,
        /// How many there are.
        layers: usize,
    },
    /// Another network of the same recipe begins, to be set beside the first.
    Start {
        /// Whether it is pre-trained; else it starts at random.
        pretrained: bool,
        /// Its seed.
        seed: u64,
    },
    /// All rows were seen once more by a layer that is trained alone.
    LayerEpoch {
        /// Which, from 1.
        layer: usize,
        /// What is known of the epoch.
        record: EpochRecord,
    },
    /// Something went wrong that does not end the run.
    Warning(String),
    /// A part of the work outside training began: `baselines`, `report`, ...
    Stage(&'static str),
}

/// What is known of an epoch when it is over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EpochRecord {
    /// The epoch, from 1.
    pub epoch: usize,
    /// The mean of the losses of its batches, each as it was when the batch was seen.
    pub train_loss: f64,
    /// The loss on the held-out rows at its end.
    pub validation_loss: f64,
    /// Time spent training in it; validation not included.
    pub seconds: f64,
    /// Units of the code (channels, where it is an image) that were not the same for every held-out row, where known.
    pub active_units: Option<usize>,
    /// The share of the held-out rows whose class was told wrong, of a network that tells classes.
    pub validation_error: Option<f64>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// All epochs were done.
    Finished,
    /// The loss on the held-out rows had not fallen for `train.patience` epochs; the best parameters were kept.
    Early,
    /// The callback stopped it; the best parameters so far were kept.
    Interrupted,
    /// A loss or a gradient was not finite: where, and when. The best parameters before were kept.
    Diverged(String),
}
