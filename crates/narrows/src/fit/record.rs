//! A fit as a flat record, for lines of JSON and for other languages.

use serde::ser::{Serialize, Serializer};

use super::{Elimination, Fit, Gaps, Steps};
use crate::model::Summary;
use crate::model::metrics::ColumnMetrics;
use crate::pca::Passes;
use crate::progress::Ended;
use crate::train::epochs_done;
use crate::train::pretrain::PretrainedLayer;

/// Serialises as one flat record: sizes, `ended`, `steps`, `seconds`, `memory`, the fields of the [`Summary`] (such as `epochs`,
/// `train_loss`, `held_out`, `baselines`, `verdict`; of a fit that was not evaluated `epochs` alone), and `pretraining` (a record
/// for each pre-trained layer). Only a PCA has `explained_variance_ratio`, only one by the randomised solver `randomized`, only one
/// of rows with missing values `gaps`, only a network with weight elimination `eliminated`. The epochs are records of their own: see [`Fit::history`].
impl Serialize for Fit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct Record<'a> {
            parameters: usize,
            code_size: usize,
            threads: usize,
            simd: &'static str,
            seconds: f64,
            #[serde(flatten)]
            ended: &'a Ended,
            steps: Steps,
            memory: usize,
            #[serde(flatten)]
            summary: Option<&'a Summary>,
            /// Part of the summary, where there is one.
            #[serde(skip_serializing_if = "Option::is_none")]
            epochs: Option<usize>,
            pretraining: &'a [PretrainedLayer],
            #[serde(skip_serializing_if = "Option::is_none")]
            explained_variance_ratio: Option<Vec<f64>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            randomized: Option<Passes>,
            #[serde(skip_serializing_if = "Option::is_none")]
            gaps: Option<&'a Gaps>,
            #[serde(skip_serializing_if = "<[ColumnMetrics]>::is_empty")]
            columns: &'a [ColumnMetrics],
            #[serde(skip_serializing_if = "Option::is_none")]
            eliminated: Option<Elimination>,
        }
        let compute = self.model.compute();
        Record {
            parameters: self.model.parameter_count(),
            code_size: self.model.code_shape().len(),
            threads: compute.threads(),
            simd: compute.simd(),
            seconds: self.seconds,
            ended: &self.ended,
            steps: self.steps,
            memory: self.memory,
            summary: self.summary(),
            epochs: self.summary().is_none().then_some(epochs_done(&self.history)),
            pretraining: &self.pretraining,
            explained_variance_ratio: self.model.pca().map(|pca| pca.explained_variance_ratio()),
            randomized: self.randomized,
            gaps: self.gaps.as_ref(),
            columns: &self.columns,
            eliminated: Elimination::of(&self.model),
        }
        .serialize(serializer)
    }
}

/// Serialises as `inputs`, `units`, `epochs`, `loss_name`, `seconds`, and `train_loss`, `held_out_loss` and `dead_units` of the
/// epoch whose parameters were kept.
impl Serialize for PretrainedLayer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct Record {
            inputs: usize,
            units: usize,
            epochs: usize,
            loss_name: &'static str,
            seconds: f64,
            train_loss: Option<f64>,
            held_out_loss: Option<f64>,
            dead_units: Option<usize>,
        }
        let kept = self.kept();
        Record {
            inputs: self.widths.0,
            units: self.widths.1,
            epochs: epochs_done(&self.history),
            loss_name: self.loss_name,
            seconds: self.seconds,
            train_loss: kept.map(|record| record.train_loss),
            held_out_loss: kept.map(|record| record.held_out_loss),
            dead_units: self.dead_units(),
        }
        .serialize(serializer)
    }
}

/// Serialises as `weights`, `eliminated` and `unused_inputs`.
impl Serialize for Elimination {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct Record {
            weights: usize,
            eliminated: usize,
            unused_inputs: Option<usize>,
        }
        let (weights, eliminated) = (self.weights(), self.eliminated());
        Record { weights, eliminated, unused_inputs: self.unused_inputs }.serialize(serializer)
    }
}
