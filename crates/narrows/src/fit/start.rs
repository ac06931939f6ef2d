//! The start of training: rows in memory, initial parameters, checkpoints.

use narrows_kernels::Level;

use super::FitJob;
use crate::data::Table;
use crate::data::scaling::Scaling;
use crate::error::{Error, Result};
use crate::model::{Fitted, Model, Part};
use crate::network::engine::Rows;
use crate::network::plan::{Op, Plan};
use crate::pca::Moments;
use crate::progress::Ended;
use crate::recipe::Train;
use crate::train::checkpoint::Key;
use crate::train::pretrain::{Pretrained, PretrainedLayer};
use crate::train::{Job as TrainingJob, State, Trained, epochs_done, train};

/// Rows as training reads them: rows in double precision are scaled and rounded to single precision once, beforehand.
pub(super) struct TrainingRows<'a> {
    rows: Rows<'a>,
    scaled: Option<(Table, Scaling)>,
}

impl<'a> TrainingRows<'a> {
    pub fn new(rows: Rows<'a>, level: Level) -> Result<Self> {
        let table = rows.scaling.prepare(rows.source, level)?;
        Ok(Self { rows, scaled: table.map(|table| (table, Scaling::identity())) })
    }

    pub fn rows(&self) -> Rows<'_> {
        match &self.scaled {
            Some((source, scaling)) => Rows { source, scaling, classes: self.rows.classes },
            None => self.rows,
        }
    }
}

/// The way to the initial parameters: a closed form, pre-training, or nothing to record.
#[derive(Default)]
pub(super) struct Initialisation {
    /// The moments of the training rows, if the closed form needed them.
    pub moments: Option<Moments>,
    /// The pre-trained layers.
    pub layers: Vec<PretrainedLayer>,
    /// Optimizer steps of pre-training.
    pub steps: usize,
    /// Time spent, in seconds.
    pub seconds: f64,
    /// The end of pre-training, if it did not finish; then there is no training.
    pub stopped: Option<Ended>,
}

impl Initialisation {
    /// Records the outcome of pre-training and returns the parameters.
    pub fn record_pretraining(&mut self, pretrained: Pretrained, steps: usize) -> Vec<f32> {
        let Pretrained { parameters, layers, ended } = pretrained;
        self.seconds = layers.iter().map(|layer| layer.seconds).sum();
        self.layers = layers;
        self.steps = steps;
        self.stopped = Some(ended).filter(|ended| *ended != Ended::Finished);
        parameters
    }
}

/// Trains the network of a job from the newest checkpoint of a resumed run, otherwise from `initial` parameters. `initial` is
/// called for a resumed run too where the recipe pre-trains, for the records of the layers.
pub(super) fn train_from(
    training: TrainingJob<'_>,
    pretrains: bool,
    job: &mut FitJob<'_>,
    initial: impl FnOnce(&mut FitJob<'_>, &mut Initialisation) -> Result<Vec<f32>>,
) -> Result<(Trained, Initialisation)> {
    let settings = training.settings;
    let optimizer = settings.optimizer()?;
    if let Some(checkpoints) = job.checkpoints {
        checkpoints.check_space(training.plan.buffer_len, optimizer.state_slots(), &mut *job.watch)?;
    }
    let mut checkpoints = job.checkpoints.map(|all| all.training(Key::Whole));
    let kept = match &mut checkpoints {
        Some(checkpoints) => {
            checkpoints.newest(training.plan, optimizer, training.rhythm(), &mut *job.watch)?
        }
        None => None,
    };
    let mut initialisation = Initialisation::default();
    let first = match &kept {
        Some(_) if !pretrains => Vec::new(),
        _ => initial(job, &mut initialisation)?,
    };
    let state = kept.unwrap_or_else(|| State::new(first, optimizer));
    let (done, epochs) = (epochs_done(&state.history), training.rhythm().epochs);
    if done > epochs {
        return Err(Error::recipe(format!(
            "train.epochs: the checkpoint has {done} epochs already, {epochs} are asked for"
        )));
    }
    let trained = match initialisation.stopped.clone() {
        Some(ended) => Trained::before_the_first_epoch(state.parameters, ended),
        None => train(training, state, checkpoints, &mut *job.watch)?,
    };
    Ok((trained, initialisation))
}

/// The parameters of a model, for further training of the network `plan`. A PCA is converted to a network first.
pub(super) fn parameters_from_model(model: &Model, plan: &Plan) -> Result<Vec<f32>> {
    let converted;
    let model = match &model.fitted {
        Fitted::Pca(_) => {
            converted = model.to_network(Train::default())?;
            &converted
        }
        Fitted::Network { .. } => model,
    };
    model.must_reconstruct("be trained on as an autoencoder")?;
    model.must_have(Part::Whole, "be trained on")?;
    let Fitted::Network { plan: model_plan, parameters } = &model.fitted else {
        unreachable!("converted above")
    };
    // Layers without parameters may have other settings: dropout, and the weight of the KL divergence.
    let kind = |op: &Op| match op {
        Op::Dropout { .. } => Op::Dropout { share: 0.0 },
        Op::Sample { .. } => Op::Sample { divergence: 0.0 },
        op => op.clone(),
    };
    let chain =
        |plan: &Plan| plan.steps.iter().map(|step| (kind(&step.op), step.activation)).collect::<Vec<_>>();
    if chain(model_plan) != chain(plan) || model_plan.cut != plan.cut {
        let layers = |plan: &Plan| {
            let table = plan.table();
            table.rows.into_iter().map(|row| row.operation).collect::<Vec<_>>().join(" - ")
        };
        let error = Error::model(format!(
            "its layers ({}) are not those of the recipe ({})",
            layers(model_plan),
            layers(plan)
        ));
        return Err(if plan.is_normalized() {
            error.hint("batch_norm is no part of a model: it became part of the layers beside it. Leave it out to train on")
        } else {
            error
        });
    }
    Ok(parameters.clone())
}
