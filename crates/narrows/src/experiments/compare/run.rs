//! The fits of a comparison and their metrics.

use super::samples::Samples;
use super::{
    Candidate, ComparisonEvent, Method, Metrics, OnComparisonEvent, Reference, seeds, set_code_size,
};
use crate::compute::Compute;
use crate::data::Dataset;
use crate::data::scaling::{Levels, Scaling};
use crate::data::stats::Measured;
use crate::error::{Error, Result};
use crate::evaluation::codes::neighbourhoods;
use crate::fit::{CheckpointOptions, Fit, FitOptions, HeldOut, PartCheckpoints, fit_with_levels};
use crate::model::metrics::ReconstructionSummary;
use crate::model::{Model, Summary};
use crate::progress::{Ended, Event};
use crate::recipe::{Loss, Recipe, Scale};

/// Rows and codes wider than this get no accuracies: they would take too long.
const WIDEST: usize = 1024;
/// The neighbours of trustworthiness and continuity.
const NEIGHBOURS: usize = 12;

/// The state of a comparison.
pub(super) struct ComparisonRun<'a> {
    pub training: &'a Dataset<'a>,
    pub held_out: &'a Dataset<'a>,
    /// The common scale.
    pub scale: Scale,
    /// How the levels of categories are scaled.
    pub levels: Levels,
    pub compute: Compute,
    checkpoints: Option<CheckpointOptions<'a>>,
    samples: Samples,
    /// The number of the current fit, from 1.
    pub fit_number: usize,
    /// The number of fits.
    pub fits: usize,
    pub interrupted: bool,
    pub notes: Vec<String>,
    on_event: &'a mut OnComparisonEvent<'a>,
}

impl<'a> ComparisonRun<'a> {
    pub fn new(
        training: &'a Dataset<'a>,
        held_out: &'a Dataset<'a>,
        (scale, levels): (Scale, Levels),
        compute: Compute,
        checkpoints: Option<CheckpointOptions<'a>>,
        on_event: &'a mut OnComparisonEvent<'a>,
    ) -> Self {
        Self {
            training,
            held_out,
            scale,
            levels,
            compute,
            checkpoints,
            samples: Samples::new(training, held_out),
            fit_number: 0,
            fits: 0,
            interrupted: false,
            notes: Vec::new(),
            on_event,
        }
    }

    /// Calls the callback.
    pub fn emit(&mut self, event: &ComparisonEvent) {
        if (self.on_event)(event).is_break() {
            self.interrupted = true;
        }
    }

    /// Fits all candidates, or those before an interruption. At least one must fit.
    pub fn methods(
        &mut self,
        candidates: &[Candidate],
        code_size: Option<usize>,
        seeds_per_recipe: usize,
    ) -> Result<Vec<Method>> {
        let mut methods = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            let mut method = self.prepare(candidate, code_size);
            self.fit_seeds(&mut method, seeds(&candidate.recipe, seeds_per_recipe))?;
            methods.push(method);
            if self.interrupted {
                return Ok(methods);
            }
        }
        if methods.iter().all(|method| method.fits.is_empty()) {
            let reason =
                methods.iter().find_map(|method| method.failure.as_deref()).unwrap_or("there are none");
            return Err(Error::recipe(format!(
                "none of the recipes can be compared on these rows: {reason}"
            )));
        }
        Ok(methods)
    }

    /// A method without fits: the candidate with the common scale and code size.
    fn prepare(&mut self, candidate: &Candidate, code_size: Option<usize>) -> Method {
        let Candidate { name, recipe } = candidate;
        let mut recipe = recipe.clone();
        recipe.set_scale(self.scale);
        if let Some(size) = code_size
            && let Err(error) = set_code_size(&mut recipe, size)
        {
            self.notes.push(format!("{name}: {error}"));
        }
        let (loss_name, noisy) = match &recipe {
            Recipe::Autoencoder(network) => (network.loss.title(), network.is_shown_noise()),
            Recipe::Pca(_) | Recipe::Classifier(_) => (Loss::Mse.title(), false),
        };
        if noisy {
            self.notes.push(format!(
                "{name} is shown noisy rows and judged by the clean ones: its errors are not those of the others, and its PCA has the size that cleans them best"
            ));
        }
        Method {
            name: name.clone(),
            recipe,
            loss_name,
            noisy,
            fits: Vec::new(),
            failure: None,
            history: Vec::new(),
            loss_floor: None,
            reconstructions: Vec::new(),
        }
    }

    /// Fits a method with consecutive seeds and evaluates each fit.
    fn fit_seeds(&mut self, method: &mut Method, seeds: usize) -> Result<()> {
        for at in 0..seeds {
            self.fit_number += 1;
            let recipe = with_seed(&method.recipe, at as u64);
            let added = match self.fit(&method.name, &recipe) {
                Ok(Some(fit)) => self.add_fit(method, fit),
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            match added {
                Ok(()) => {}
                Err(error) => {
                    let reason = error.to_string();
                    self.emit(&ComparisonEvent::Failed { recipe: &method.name, reason: &reason });
                    method.failure = Some(reason);
                    // The error does not depend on the seed: the other fits are skipped.
                    self.fit_number += seeds - 1 - at;
                    return Ok(());
                }
            }
            if self.interrupted {
                return Ok(());
            }
        }
        Ok(())
    }

    /// One fit; none if it was interrupted.
    pub fn fit(&mut self, name: &str, recipe: &Recipe) -> Result<Option<Fit>> {
        let Self { training, held_out, compute, levels, fit_number, fits, on_event, interrupted, .. } = self;
        let (number, of) = (*fit_number, *fits);
        let result = self.checkpoints.map(|options| options.part(&format!("{number}")));
        let mut watch = |event: &Event| {
            let flow = on_event(&ComparisonEvent::Fit { recipe: name, number, of, event });
            *interrupted |= flow.is_break();
            flow
        };
        let options = FitOptions {
            held_out: HeldOut::Rows(held_out),
            compute: *compute,
            checkpoints: result.as_ref().map(PartCheckpoints::options),
            watch: Some(&mut watch),
            ..FitOptions::default()
        };
        let fit = fit_with_levels(recipe, (*training).clone(), options, Some(*levels))?;
        Ok(Some(fit).filter(|fit| fit.ended != Ended::Interrupted && fit.summary().is_some()))
    }

    /// Evaluates a fit and adds its metrics to the method; the first fit gives the curves and the examples.
    fn add_fit(&mut self, method: &mut Method, fit: Fit) -> Result<()> {
        if let Ended::Diverged(reason) = &fit.ended {
            self.notes.push(format!(
                "{}, seed {}: {reason}; judged as it was before",
                method.name,
                fit.model.recipe.seed()
            ));
        }
        let metrics = self.metrics(&method.name, &fit)?;
        if method.fits.is_empty() {
            method.reconstructions = self.reconstructions(&fit.model)?;
            method.loss_floor = reconstruction(&fit)?.evaluation.bce_floor;
            method.history = fit.history;
        }
        self.emit(&ComparisonEvent::Compared(&metrics));
        method.fits.push(metrics);
        Ok(())
    }

    fn metrics(&mut self, recipe: &str, fit: &Fit) -> Result<Metrics> {
        self.emit(&ComparisonEvent::Stage { stage: "telling classes apart and comparing neighbours" });
        let (model, summary) = (&fit.model, reconstruction(fit)?);
        let code_size = model.code_shape().len();
        let [nearest_neighbour_accuracy, linear_probe_accuracy] = self.accuracies(model)?;
        let neighbours = {
            let points = &self.samples.neighbourhoods;
            let rows = self.scaled(self.held_out, points, &model.scaling)?;
            let codes = encode(model, self.held_out, points)?;
            neighbourhoods(&rows, model.shape.len(), &codes, code_size, NEIGHBOURS, self.compute)
        };
        let evaluation = &summary.evaluation;
        Ok(Metrics {
            recipe: recipe.to_owned(),
            seed: matches!(model.recipe, Recipe::Autoencoder(_)).then(|| model.recipe.seed()),
            parameters: model.parameter_count(),
            code_size,
            epochs: summary.epochs,
            seconds: fit.seconds,
            loss: evaluation.loss,
            bce: evaluation.bce,
            squared_error_per_row: evaluation.squared_error_per_row,
            pca_squared_error_per_row: summary.baselines.pca,
            pca_components: summary.baselines.pca_components.unwrap_or(code_size),
            explained_variance: evaluation.explained_variance,
            dead_units: evaluation.dead_units,
            code_units: model.code_units(),
            mean_activity: evaluation.mean_activity,
            nearest_neighbour_accuracy,
            linear_probe_accuracy,
            trustworthiness: neighbours.map(|quality| quality.trustworthiness),
            continuity: neighbours.map(|quality| quality.continuity),
            neighbours: neighbours.map(|quality| quality.neighbours),
            verdict: summary.verdict.clone(),
        })
    }

    /// The accuracies of a model's codes by the nearest neighbour and the linear probe; none for rows without classes.
    fn accuracies(&self, model: &Model) -> Result<[Option<f64>; 2]> {
        let code_size = model.code_shape().len();
        let Some(classified) = self.samples.classified.as_ref().filter(|_| code_size <= WIDEST) else {
            return Ok([None; 2]);
        };
        let training = encode(model, self.training, &classified.training.0)?;
        let held_out = encode(model, self.held_out, &classified.held_out.0)?;
        Ok(classified.accuracies(&training, &held_out, code_size, self.compute))
    }

    /// A model's reconstructions of the examples, on the common scale: n x d.
    fn reconstructions(&self, model: &Model) -> Result<Vec<f32>> {
        Ok(model.reconstruct_scaled(&*self.held_out.rows, &self.samples.examples)?.outputs)
    }

    /// The examples on the common scale: n x d.
    pub fn examples(&self) -> Result<Vec<f32>> {
        let scaling = self.scaling()?;
        self.scaled(self.held_out, &self.samples.examples, &scaling)
    }

    /// The accuracies of the rows themselves; none for rows without classes.
    pub fn reference(&mut self) -> Result<Option<Reference>> {
        let width = self.training.rows.shape().len();
        if self.interrupted || width > WIDEST || self.samples.classified.is_none() {
            return Ok(None);
        }
        self.emit(&ComparisonEvent::Stage { stage: "telling classes apart by the rows themselves" });
        let scaling = self.scaling()?;
        let Some(classified) = &self.samples.classified else { return Ok(None) };
        let training = self.scaled(self.training, &classified.training.0, &scaling)?;
        let held_out = self.scaled(self.held_out, &classified.held_out.0, &scaling)?;
        let [nearest_neighbour_accuracy, linear_probe_accuracy] =
            classified.accuracies(&training, &held_out, width, self.compute);
        Ok(Some(Reference { width, nearest_neighbour_accuracy, linear_probe_accuracy }))
    }

    /// The common scaling.
    pub fn scaling(&self) -> Result<Scaling> {
        let columns = self.training.encoded.as_deref().map(Vec::as_slice);
        Scaling::learn_encoded(self.scale, &Measured::new(&*self.training.rows), columns, self.levels)
    }

    /// The rows with the given indices after scaling: n x d. A missing value is the mean of its column over these rows.
    fn scaled(&self, dataset: &Dataset<'_>, indices: &[usize], scaling: &Scaling) -> Result<Vec<f32>> {
        let mut out = vec![0.0; indices.len() * dataset.rows.shape().len()];
        scaling.gather(&*dataset.rows, indices, &mut out, self.compute.level)?;
        let width = dataset.rows.shape().len();
        for column in 0..width {
            let present = || out.iter().skip(column).step_by(width).filter(|value| !value.is_nan());
            if present().count() < indices.len() {
                let mean =
                    present().map(|&value| f64::from(value)).sum::<f64>() / present().count().max(1) as f64;
                let missing = out.iter_mut().skip(column).step_by(width).filter(|value| value.is_nan());
                missing.for_each(|value| *value = mean as f32);
            }
        }
        Ok(out)
    }
}

/// The codes of the rows with the given indices: n x k.
fn encode(model: &Model, dataset: &Dataset<'_>, indices: &[usize]) -> Result<Vec<f32>> {
    Ok(model.encode(dataset.select(indices.to_vec()))?.into_values().into_f32())
}

/// The summary of a fit. Classifiers were refused before.
pub(super) fn reconstruction(fit: &Fit) -> Result<&ReconstructionSummary> {
    fit.summary()
        .and_then(Summary::reconstruction)
        .ok_or_else(|| Error::recipe("a classifier reconstructs nothing to compare"))
}

/// The recipe with the seed `at` places after its own; unchanged if it does not depend on a seed.
fn with_seed(recipe: &Recipe, at: u64) -> Recipe {
    let mut recipe = recipe.clone();
    if let Recipe::Autoencoder(network) = &mut recipe {
        network.train.seed = network.train.seed.wrapping_add(at);
    }
    recipe
}
