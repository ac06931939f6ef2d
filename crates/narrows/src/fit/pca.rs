//! Fitting a PCA: the moments of the training rows, then an eigen-decomposition; or passes over the rows.

use std::time::Instant;

use super::needs::require_pca;
use super::{Fit, FitJob, Steps};
use crate::compute::Compute;
use crate::error::{Error, Result};
use crate::evaluation::verdict::TrainingOutcome;
use crate::model::Fitted;
use crate::pca::{DEFAULT_COMPONENTS, Moments, Pca, randomized};
use crate::progress::{Ended, Stage};
use crate::recipe::{PcaRecipe, Recipe};

pub(super) fn fit(recipe: &PcaRecipe, mut job: FitJob<'_>) -> Result<Fit> {
    if job.start_from.is_some() {
        return Err(Error::recipe("a PCA starts from nothing").hint("train a network from the model"));
    }
    let scale = job.scale(recipe.scale, false)?;
    let recipe = PcaRecipe { scale, ..recipe.clone() };
    let scaling = job.learn_scaling(scale)?;
    let rows = &*job.training.rows;

    let counts = job.row_counts();
    let k = counts.components(recipe.code_size.or(Some(DEFAULT_COMPONENTS)));
    let (memory, is_randomized) = require_pca(counts, k, recipe.solver, job.compute)?;

    let started = Instant::now();
    let Compute { level, threads } = job.compute;
    let moments = match is_randomized {
        true => randomized::measure(rows, &scaling, k, level, threads)?,
        false => Moments::measure(&job.measured[0], &scaling, level, threads)?,
    };
    let pca = Pca::from_moments(&moments, recipe.code_size, recipe.whiten)?;
    let randomized = moments.passes();
    let seconds = started.elapsed().as_secs_f64();

    let loss = pca.training_error() / rows.shape().len() as f64;
    let recipe = Recipe::Pca(recipe);
    let model = job.model(recipe.clone(), scaling, moments.mean().to_vec(), Fitted::Pca(pca));
    let training = TrainingOutcome { loss, history: &[], steps: 0 };
    let (model, held_out_codes) = if job.begin(Stage::Baselines) {
        job.evaluate(model, &recipe, &moments, training)?
    } else {
        (model, Vec::new())
    };
    Ok(Fit {
        model,
        recipe,
        history: Vec::new(),
        seconds,
        pretraining: Vec::new(),
        steps: Steps::default(),
        ended: Ended::Finished,
        memory,
        held_out_codes,
        randomized,
    })
}
