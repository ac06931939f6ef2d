//! Progress as plain data. The caller of a fit passes a callback, which receives every [`Event`] and stops the run by
//! returning [`ControlFlow::Break`].
//!
//! Events serialise as flat records with their kind in the field `event`:
//!
//! ```
//! use narrows::progress::{EpochRecord, Event};
//!
//! let event = Event::Epoch(EpochRecord {
//!     epoch: 1,
//!     train_loss: 0.25,
//!     held_out_loss: 0.5,
//!     seconds: 1.5,
//!     active_units: Some(32),
//!     held_out_error_rate: None,
//! });
//! assert_eq!(
//!     serde_json::to_string(&event).unwrap(),
//!     r#"{"event":"epoch","epoch":1,"train_loss":0.25,"held_out_loss":0.5,"seconds":1.5,"active_units":32}"#
//! );
//! ```

use std::fmt;
use std::ops::ControlFlow;

use serde::ser::{Serialize, SerializeStruct, Serializer};

/// An event of a fit.
///
/// ```
/// use std::ops::ControlFlow;
///
/// use narrows::{Event, FitOptions, Recipe};
///
/// let mut epochs = 0;
/// let mut watch = |event: &Event| {
///     if let Event::Epoch(record) = event {
///         epochs = record.epoch;
///     }
///     if epochs == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
/// };
/// let recipe = Recipe::open("single")?.with("scale", "min_max")?;
/// narrows::fit(&recipe, &narrows_datasets::iris(), FitOptions { watch: Some(&mut watch), ..FitOptions::default() })?;
/// assert_eq!(epochs, 3);
/// # Ok::<(), narrows::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// An optimizer step was taken.
    Step {
        /// The epoch, from 1.
        epoch: usize,
        /// The number of epochs of the run.
        epochs: usize,
        /// Training rows of this epoch so far.
        rows: usize,
        /// Training rows of an epoch.
        total_rows: usize,
        /// The mean loss over the rows of this epoch so far.
        loss: f64,
    },
    /// An epoch, one pass over the training rows, is over.
    Epoch(EpochRecord),
    /// Pre-training of a layer begins.
    Layer {
        /// The number of the layer, from 1.
        layer: usize,
        /// The number of layers to pre-train.
        layers: usize,
    },
    /// The fit of another network begins, for a random-initialisation baseline.
    Start {
        /// Whether its layers are pre-trained; otherwise its initialisation is random.
        pretrained: bool,
        /// Its seed.
        seed: u64,
    },
    /// An epoch of the pre-training of a layer is over.
    LayerEpoch {
        /// The number of the layer, from 1.
        layer: usize,
        /// The record of the epoch.
        #[serde(flatten)]
        record: EpochRecord,
    },
    /// A problem that does not end the run.
    #[serde(serialize_with = "as_message")]
    Warning(String),
    /// The next stage of the work began.
    #[serde(serialize_with = "as_stage")]
    Stage(Stage),
}

/// The callback of a run.
pub(crate) type OnEvent<'a> = dyn FnMut(&Event) -> ControlFlow<()> + Send + 'a;

/// Reports an event between two pieces of work. A request to stop is ignored here, because the callback repeats it at the next
/// optimizer step.
pub(crate) fn notify(on_event: &mut OnEvent<'_>, event: Event) {
    let _ = on_event(&event);
}

/// Serialises as a map, which internally tagged variants must: `{"event":"warning","message":"..."}`.
fn as_message<S: Serializer>(message: &String, serializer: S) -> Result<S::Ok, S::Error> {
    one_field(serializer, "message", message)
}

/// See [`as_message`]: `{"event":"stage","stage":"baselines"}`.
fn as_stage<S: Serializer>(stage: &Stage, serializer: S) -> Result<S::Ok, S::Error> {
    one_field(serializer, "stage", stage)
}

fn one_field<S: Serializer>(
    serializer: S,
    name: &'static str,
    value: &(impl Serialize + ?Sized),
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_struct("Event", 1)?;
    map.serialize_field(name, value)?;
    map.end()
}

/// A stage of a fit besides its epochs. Serialises in snake case and displays as a phrase for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stage {
    /// The baselines (mean, PCA, linear autoencoder) are fitted and evaluated on the held-out rows.
    Baselines,
    /// Fine-tuning: after pre-training, all layers are trained together.
    FineTuning,
    /// A classifier is trained on the labelled rows.
    LabelTraining,
    /// The fitted model is evaluated on the held-out rows.
    Evaluation,
}

impl Stage {
    /// A phrase for people, such as beside a progress bar.
    pub fn text(self) -> &'static str {
        match self {
            Self::Baselines => "measuring mean, PCA and linear baselines",
            Self::FineTuning => "training all layers together",
            Self::LabelTraining => "training on labels",
            Self::Evaluation => "evaluating",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// The record of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct EpochRecord {
    /// The epoch, from 1.
    pub epoch: usize,
    /// The mean loss over the training rows, where each row counts with the parameters at its optimizer step.
    pub train_loss: f64,
    /// The mean loss over the held-out rows at the end of the epoch.
    pub held_out_loss: f64,
    /// Time spent training, in seconds; evaluation on the held-out rows is not included.
    pub seconds: f64,
    /// Units of the code (channels, if the code is an image) whose value differs between held-out rows, where known.
    pub active_units: Option<usize>,
    /// The error rate on the held-out rows, 0..1; for classifiers only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out_error_rate: Option<f64>,
}

/// The end of a fit. Serialises as `{"ended":"finished"}`, with the field `reason` if it diverged.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "ended", content = "reason", rename_all = "snake_case")]
pub enum Ended {
    /// All epochs were completed.
    Finished,
    /// Early stopping: the held-out loss did not fall for `train.patience` epochs. The best parameters were kept.
    Early,
    /// The callback stopped the fit. The best parameters so far were kept.
    Interrupted,
    /// Divergence: a loss or a gradient was not finite; the text says where and when. The best parameters before that were kept.
    Diverged(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_serialises_as_a_flat_record() {
        let record = EpochRecord {
            epoch: 2,
            train_loss: 0.25,
            held_out_loss: 0.5,
            seconds: 1.5,
            active_units: None,
            held_out_error_rate: Some(0.125),
        };
        let numbers = r#""epoch":2,"train_loss":0.25,"held_out_loss":0.5,"seconds":1.5,"active_units":null,"held_out_error_rate":0.125}"#;
        for (event, want) in [
            (
                Event::Step { epoch: 1, epochs: 3, rows: 20, total_rows: 100, loss: 0.5 },
                r#"{"event":"step","epoch":1,"epochs":3,"rows":20,"total_rows":100,"loss":0.5}"#.to_owned(),
            ),
            (Event::Epoch(record), format!(r#"{{"event":"epoch",{numbers}"#)),
            (
                Event::LayerEpoch { layer: 1, record },
                format!(r#"{{"event":"layer_epoch","layer":1,{numbers}"#),
            ),
            (Event::Layer { layer: 1, layers: 2 }, r#"{"event":"layer","layer":1,"layers":2}"#.to_owned()),
            (
                Event::Start { pretrained: true, seed: 7 },
                r#"{"event":"start","pretrained":true,"seed":7}"#.to_owned(),
            ),
            (Event::Warning("full".into()), r#"{"event":"warning","message":"full"}"#.to_owned()),
            (Event::Stage(Stage::FineTuning), r#"{"event":"stage","stage":"fine_tuning"}"#.to_owned()),
        ] {
            assert_eq!(serde_json::to_string(&event).unwrap(), want);
        }
        assert_eq!(serde_json::to_string(&Ended::Early).unwrap(), r#"{"ended":"early"}"#);
        let diverged = serde_json::to_string(&Ended::Diverged("step 3".into())).unwrap();
        assert_eq!(diverged, r#"{"ended":"diverged","reason":"step 3"}"#);
    }
}
