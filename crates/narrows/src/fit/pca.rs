//! Fitting a PCA: the moments of the training rows, then an eigen-decomposition; or passes over the rows.
//!
//! Of rows with missing values the moments are those that expectation-maximisation expects (`pca/missing.rs`); complete rows never get
//! there.

use std::time::Instant;

use super::needs::{require_pca, require_pca_with_gaps};
use super::{Fit, FitJob, Gaps, HeldOutResults, Steps};
use crate::compute::Compute;
use crate::data::scaling::Levels;
use crate::error::{Error, Result};
use crate::evaluation::verdict::TrainingOutcome;
use crate::model::{Fitted, Model, Summary};
use crate::pca::{DEFAULT_COMPONENTS, Moments, Pca, missing, randomized};
use crate::progress::{Ended, Stage};
use crate::recipe::{PcaRecipe, Recipe, Solver};

pub(super) fn fit(recipe: &PcaRecipe, mut job: FitJob<'_>) -> Result<Fit> {
    if job.start_from.is_some() {
        return Err(Error::recipe("a PCA starts from nothing").hint("train a network from the model"));
    }
    let mut gaps = find_gaps(&job)?;
    let scale = job.scale(recipe.scale, false)?;
    let recipe = PcaRecipe { scale, ..recipe.clone() };
    let scaling = job.learn_scaling(scale, Levels::Weighed)?;
    let rows = &*job.training.rows;

    let counts = job.row_counts();
    let k = counts.components(recipe.code_size.or(Some(DEFAULT_COMPONENTS)));
    let (memory, is_randomized) = match &gaps {
        None => require_pca(counts, k, recipe.solver, job.compute)?,
        Some(gaps) => {
            if recipe.solver == Solver::Randomized {
                return Err(Error::recipe("solver: \"randomized\" cannot take rows with missing values")
                    .hint("solver = \"exact\""));
            }
            (require_pca_with_gaps(counts, k, gaps.missing, job.compute)?, false)
        }
    };

    let started = Instant::now();
    let Compute { level, threads } = job.compute;
    let moments = match &mut gaps {
        Some(gaps) => {
            let statistics = job.measured[0].statistics()?;
            let limits = missing::Limits::default();
            let (moments, sweeps) = missing::measure(rows, statistics, &scaling, k, limits, level, threads)?;
            gaps.add(sweeps);
            moments
        }
        None if is_randomized => randomized::measure(rows, &scaling, k, level, threads)?,
        None => Moments::measure(&job.measured[0], &scaling, level, threads)?,
    };
    let pca = Pca::from_moments(&moments, recipe.code_size, recipe.whiten)?;
    let randomized = moments.passes();
    let seconds = started.elapsed().as_secs_f64();

    let loss = pca.training_error() / rows.shape().len() as f64;
    let recipe = Recipe::Pca(recipe);
    let model = job.model(recipe.clone(), scaling, moments.mean().to_vec(), Fitted::Pca(pca));
    let training = TrainingOutcome { loss, history: &[], steps: 0 };
    let (mut model, held_out) = if job.begin(Stage::Baselines) {
        job.evaluate(model, &recipe, &moments, training)?
    } else {
        (model, HeldOutResults::default())
    };
    if let Some(gaps) = &gaps {
        add_to_verdict(&mut model, gaps);
    }
    Ok(Fit {
        model,
        recipe,
        history: Vec::new(),
        seconds,
        pretraining: Vec::new(),
        steps: Steps::default(),
        ended: Ended::Finished,
        memory,
        held_out_codes: held_out.codes,
        columns: held_out.columns,
        randomized,
        gaps,
    })
}

/// The gaps of the training rows, if there are any. Refuses infinite values, and columns without any number.
fn find_gaps(job: &FitJob<'_>) -> Result<Option<Gaps>> {
    for (measured, dataset) in job.measured.iter().zip([job.training, job.held_out]) {
        measured.require_no_infinite().map_err(|error| error.at(&dataset.name))?;
    }
    if job.measured[0].require_complete().is_ok() {
        return Ok(None);
    }
    let (training, statistics) = (job.training, job.measured[0].statistics()?);
    job.refuse_empty_columns()?;
    Ok(Some(Gaps::of(statistics, training.encoded.as_deref().map(Vec::as_slice))))
}

/// Adds a sentence on the gaps to the verdict.
fn add_to_verdict(model: &mut Model, gaps: &Gaps) {
    if let Some(Summary::Reconstruction(summary)) = &mut model.summary {
        summary.verdict.push_str("; ");
        summary.verdict.push_str(&gaps.sentence());
    }
}
