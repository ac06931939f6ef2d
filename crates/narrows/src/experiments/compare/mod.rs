//! Several recipes on the same rows, judged by the same figures: plain data in, plain data out.
//!
//! What makes figures comparable is decided once, before the first fit: the rows held out, one scaling for all
//! ([`crate::data::scaling::choose_scale`]), and for narrow rows one code size. Then each recipe is fitted with each seed and judged: what it
//! loses, whether its codes tell classes apart, whether they keep neighbours ([`crate::evaluation::codes`]).

mod code_size_curve;
mod metrics;
mod record;
mod table;

pub use code_size_curve::{CodeSizeCurve, CodeSizeCurves, Point, elbow};
pub use metrics::{Measure, Metrics, Spread};
pub use table::Cell;

use std::ops::ControlFlow;
use std::sync::Arc;

use serde::Serialize;

use crate::compute::Compute;
use crate::data::scaling::{Chosen, Scaling, choose_scale};
use crate::data::stats::Measured;
use crate::data::{Dataset, Labels, Shape, Source};
use crate::error::{Error, Result};
use crate::evaluation::codes::{
    Classified, linear_probe_accuracy, nearest_neighbour_accuracy, neighbourhoods,
};
use crate::evaluation::verdict::FEW_STEPS;
use crate::fit::{Fit, FitOptions, HeldOut, fit};
use crate::model::Model;
use crate::model::metrics::ReconstructionSummary;
use crate::progress::{Ended, EpochRecord, Event};
use crate::recipe::{Loss, Recipe, Scale};

/// Rows narrower than this get a code size of their own, a quarter of their width: the usual 32 would not compress.
const NARROW: usize = 64;
/// Rows and codes wider than this are not classified: it takes too long.
const WIDEST: usize = 1024;
/// Training and held-out rows that classes are told apart on, at most; evenly chosen.
const CLASSIFIED: (usize, usize) = (60_000, 10_000);
/// Held-out rows whose neighbours are compared, at most; evenly chosen.
const POINTS: usize = 2000;
/// Neighbours of each.
const NEIGHBOURS: usize = 12;
/// Rows shown as rebuilt by every recipe.
const EXAMPLES: usize = 10;

/// A recipe that takes part.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// What it is called.
    pub name: String,
    /// What it says.
    pub recipe: Recipe,
}

/// How recipes are compared.
#[derive(Debug, Clone, Default)]
pub struct CompareOptions {
    /// Fits of each recipe that has chance in it, with the seeds from its own on; 0 is taken for 1.
    pub seeds: usize,
    /// Numbers in a code, for all recipes that can choose.
    pub code_size: Option<usize>,
    /// How rows are scaled, where it is not to be chosen.
    pub scale: Option<Scale>,
    /// Code sizes at which the error is measured too, with the first seed.
    pub code_sizes: Vec<usize>,
}

/// An event of a comparison, as a record; the callback's answer can stop the comparison.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ComparisonEvent<'a> {
    /// An event of a fit.
    Fit {
        /// The name of the recipe, with the code size where a curve is measured.
        recipe: &'a str,
        /// The number of the fit, from 1.
        number: usize,
        /// The number of fits of the comparison.
        of: usize,
        /// The event.
        #[serde(rename = "progress")]
        event: &'a Event,
    },
    /// A stage of the work besides fits began.
    Stage {
        /// A phrase for people.
        stage: &'a str,
    },
    /// A fit was evaluated.
    Compared(&'a Metrics),
    /// A recipe does not fit the rows.
    Failed {
        /// Its name.
        recipe: &'a str,
        /// The reason.
        reason: &'a str,
    },
    /// A point of a code-size curve was measured.
    Point {
        /// The name of the recipe.
        recipe: &'a str,
        /// The point.
        #[serde(flatten)]
        point: Point,
    },
}

/// What a comparison found.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// How the rows were scaled, for all recipes, and why.
    pub scale: Chosen,
    /// The code size of all recipes that can choose, where they did not keep their own.
    pub code_size: Option<usize>,
    /// What a reader should know beside the figures.
    pub notes: Vec<String>,
    /// The recipes, in the order they were given.
    pub methods: Vec<Method>,
    /// What the rows themselves are worth in place of codes.
    pub rows: Option<Reference>,
    /// The errors at several code sizes, where they were asked for.
    pub code_size_curves: Option<CodeSizeCurves>,
    /// One plain sentence.
    pub verdict: String,
    /// Whether the callback stopped it; what was finished by then is here.
    pub interrupted: bool,
    /// The shape of a row.
    pub shape: Shape,
    /// The first held-out rows, 10 at most, after scaling: n x row length.
    pub examples: Vec<f32>,
}

/// A recipe with its fits.
#[derive(Debug, Clone)]
pub struct Method {
    /// What it is called.
    pub name: String,
    /// What was fitted, scaling and code size included.
    pub recipe: Recipe,
    /// What its losses are called; methods with the same loss can be compared by it.
    pub loss_name: &'static str,
    /// Whether it learned to undo noise: its errors are those on noisy rows.
    pub noisy: bool,
    /// The figures of each fit.
    pub fits: Vec<Metrics>,
    /// Why it could not be fitted to these rows.
    pub failure: Option<String>,
    /// The losses of the first fit, epoch by epoch.
    pub history: Vec<EpochRecord>,
    /// The lowest value that the loss can take on these rows, where it is known.
    pub loss_floor: Option<f64>,
    /// The first fit's reconstructions of [`Comparison::examples`].
    pub reconstructions: Vec<f32>,
}

impl Method {
    /// A figure over all fits; nothing where none has it.
    pub fn spread(&self, measure: Measure) -> Option<Spread> {
        Spread::of(self.fits.iter().filter_map(|figures| measure.of(figures)))
    }
}

/// What the rows themselves are worth in place of codes.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Reference {
    /// Numbers in a row.
    pub width: usize,
    /// As [`Metrics::nearest_neighbour_accuracy`].
    pub nearest_neighbour_accuracy: Option<f64>,
    /// As [`Metrics::linear_probe_accuracy`].
    pub linear_probe_accuracy: Option<f64>,
}

/// Fits recipes to rows and judges them by the same figures.
///
/// A recipe that does not fit the rows is no error: [`Method::failure`] says why. The same input gives the same figures
/// with any number of threads, times aside.
///
/// # Errors
/// Where the held-out rows have another length than the training rows, or no recipe at all can be fitted.
pub fn compare(
    candidates: &[Candidate],
    training: &Dataset<'_>,
    held_out: &Dataset<'_>,
    options: &CompareOptions,
    compute: Compute,
    callback: &mut (dyn FnMut(&ComparisonEvent) -> ControlFlow<()> + Send),
) -> Result<Comparison> {
    let (width, judged) = (training.rows.shape().len(), held_out.rows.shape().len());
    if width != judged {
        return Err(Error::data(format!(
            "{}: its rows have {judged} numbers, those of {} have {width}",
            held_out.name, training.name
        )));
    }
    if let Some(candidate) = candidates.iter().find(|one| matches!(one.recipe, Recipe::Classifier(_))) {
        return Err(Error::recipe(format!(
            "{}: a classifier rebuilds nothing that could be compared",
            candidate.name
        )));
    }
    let needs_shares = candidates.iter().any(|candidate| candidate.recipe.loss().needs_shares());
    let scale = match options.scale {
        Some(scale) => Chosen { scale, reason: "as asked" },
        None => choose_scale(&Measured::new(&*training.rows), &Measured::new(&*held_out.rows), needs_shares)?,
    };
    let narrow = (width < NARROW).then_some((width / 4).max(2).min(width));
    let code_size = options.code_size.or(narrow);
    let mut notes = Vec::new();
    if options.code_size.is_none()
        && let Some(size) = narrow
    {
        notes.push(format!(
            "rows of {width} numbers are narrow: all codes have {size} unless `code_size` says otherwise"
        ));
    }

    let mut run = Run {
        training,
        held_out,
        scale: scale.scale,
        compute,
        judging: Judging::new(training, held_out),
        number: 0,
        of: 0,
        interrupted: false,
        callback,
    };
    let seeds =
        |recipe: &Recipe| if matches!(recipe, Recipe::Autoencoder(_)) { options.seeds.max(1) } else { 1 };
    run.of = candidates.iter().map(|candidate| seeds(&candidate.recipe)).sum();
    run.of += candidates.iter().filter(|candidate| code_size_curve::is_swept(&candidate.recipe)).count()
        * options.code_sizes.len();
    let mut methods = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        methods.push(run.method(candidate, code_size, seeds(&candidate.recipe), &mut notes)?);
        if run.interrupted {
            break;
        }
    }
    if !run.interrupted && methods.iter().all(|method| method.fits.is_empty()) {
        let reason = methods.iter().find_map(|method| method.failure.as_deref()).unwrap_or("there are none");
        return Err(Error::recipe(format!("none of the recipes can be compared on these rows: {reason}")));
    }
    let rows = run.reference()?;
    let sweep = match run.interrupted || options.code_sizes.is_empty() {
        true => None,
        false => {
            Some(code_size_curve::sweep(&mut run, candidates, &methods, &options.code_sizes, &mut notes)?)
        }
    };
    let (shape, examples) = (training.rows.shape(), run.examples()?);
    let training_rows = training.rows.rows();
    notes.extend(few_steps(&methods, training_rows));
    let (interrupted, verdict) =
        (run.interrupted, verdict(&methods, training_rows, rows.as_ref(), sweep.as_ref()));
    Ok(Comparison {
        scale,
        code_size,
        notes,
        methods,
        rows,
        code_size_curves: sweep,
        verdict,
        interrupted,
        shape,
        examples,
    })
}

/// What goes through the whole comparison.
struct Run<'a> {
    training: &'a Dataset<'a>,
    held_out: &'a Dataset<'a>,
    scale: Scale,
    compute: Compute,
    judging: Judging,
    /// The fit that goes on, from 1, of how many.
    number: usize,
    of: usize,
    interrupted: bool,
    callback: &'a mut (dyn FnMut(&ComparisonEvent) -> ControlFlow<()> + Send),
}

impl Run<'_> {
    fn say(&mut self, progress: &ComparisonEvent) {
        if (self.callback)(progress).is_break() {
            self.interrupted = true;
        }
    }

    /// All fits of a recipe, as many as are done before it is stopped.
    fn method(
        &mut self,
        candidate: &Candidate,
        code_size: Option<usize>,
        seeds: usize,
        notes: &mut Vec<String>,
    ) -> Result<Method> {
        let Candidate { name, recipe } = candidate;
        let mut recipe = recipe.clone();
        recipe.set_scale(self.scale);
        if let Some(size) = code_size
            && let Err(error) = set_code_size(&mut recipe, size)
        {
            notes.push(format!("{name}: {error}"));
        }
        let (loss_name, noisy) = match &recipe {
            Recipe::Autoencoder(network) => (network.loss.title(), network.is_shown_noise()),
            _ => (Loss::Mse.title(), false),
        };
        if noisy {
            notes.push(format!(
                "{name} is shown noisy rows and judged by the clean ones: its errors are not those of the others, and its PCA has the size that cleans them best"
            ));
        }
        let mut method = Method {
            name: name.clone(),
            recipe,
            loss_name,
            noisy,
            fits: Vec::new(),
            failure: None,
            history: Vec::new(),
            loss_floor: None,
            reconstructions: Vec::new(),
        };
        let recipe = method.recipe.clone();
        for at in 0..seeds {
            self.number += 1;
            let recipe = with_seed(&recipe, at as u64);
            match self.fit(name, &recipe) {
                Ok(Some(fit)) => {
                    if let Ended::Diverged(reason) = &fit.ended {
                        notes.push(format!(
                            "{name}, seed {}: {reason}; judged as it was before",
                            recipe.seed()
                        ));
                    }
                    let figures = self.figures(name, &fit)?;
                    if at == 0 {
                        method.reconstructions = self.reconstructions(&fit.model)?;
                        method.loss_floor = reconstruction(&fit)?.evaluation.bce_floor;
                        method.history = fit.history;
                    }
                    self.say(&ComparisonEvent::Compared(&figures));
                    method.fits.push(figures);
                }
                Ok(None) => {}
                Err(error) => {
                    let reason = error.to_string();
                    self.say(&ComparisonEvent::Failed { recipe: name, reason: &reason });
                    method.failure = Some(reason);
                    // Another seed would not help.
                    self.number += seeds - 1 - at;
                    break;
                }
            }
            if self.interrupted {
                break;
            }
        }
        Ok(method)
    }

    /// One fit; nothing where it was stopped before its end.
    fn fit(&mut self, name: &str, recipe: &Recipe) -> Result<Option<Fit>> {
        let Self { training, held_out, compute, number, of, callback, interrupted, .. } = self;
        let (number, of) = (*number, *of);
        let mut watch = |event: &Event| {
            let flow = callback(&ComparisonEvent::Fit { recipe: name, number, of, event });
            *interrupted |= flow.is_break();
            flow
        };
        let options = FitOptions {
            held_out: HeldOut::Rows(held_out),
            compute: *compute,
            watch: Some(&mut watch),
            ..FitOptions::default()
        };
        let fit = fit(recipe, *training, options)?;
        Ok(Some(fit).filter(|fit| fit.ended != Ended::Interrupted))
    }

    /// What is said about a fit.
    fn figures(&mut self, recipe: &str, fit: &Fit) -> Result<Metrics> {
        self.say(&ComparisonEvent::Stage { stage: "telling classes apart and comparing neighbours" });
        let Self { training, held_out, compute, judging, .. } = self;
        let compute = *compute;
        let (model, summary) = (&fit.model, reconstruction(fit)?);
        let code_size = model.code_shape().len();
        let encode = |dataset: &Dataset<'_>, rows: &[usize]| -> Result<Vec<f32>> {
            Ok(model.encode(dataset.select(rows.to_vec()))?.into_values().into_f32())
        };
        let mut accuracies = [None; 2];
        if let Some(classes) = &judging.classes
            && code_size <= WIDEST
        {
            let known = encode(training, &classes.training.0)?;
            let asked = encode(held_out, &classes.held_out.0)?;
            accuracies = classes.accuracies(&known, &asked, code_size, compute);
        }
        let codes = encode(held_out, &judging.points)?;
        let width = model.shape.len();
        let mut rows = vec![0.0; judging.points.len() * width];
        model.scaling.gather(&*held_out.rows, &judging.points, &mut rows, compute.level)?;
        let neighbours = neighbourhoods(&rows, width, &codes, code_size, NEIGHBOURS, compute);
        let found = &summary.evaluation;
        Ok(Metrics {
            recipe: recipe.to_owned(),
            seed: matches!(model.recipe, Recipe::Autoencoder(_)).then(|| model.recipe.seed()),
            parameters: model.parameter_count(),
            code_size,
            epochs: summary.epochs,
            seconds: fit.seconds,
            loss: found.loss,
            bce: found.bce,
            squared_error_per_row: found.squared_error_per_row,
            pca_squared_error_per_row: summary.baselines.pca,
            pca_components: summary.baselines.pca_components.unwrap_or(code_size),
            explained_variance: found.explained_variance,
            dead_units: found.dead_units,
            code_units: model.code_units(),
            mean_activity: found.mean_activity,
            nearest_neighbour_accuracy: accuracies[0],
            linear_probe_accuracy: accuracies[1],
            trustworthiness: neighbours.map(|found| found.trustworthiness),
            continuity: neighbours.map(|found| found.continuity),
            neighbours: neighbours.map(|found| found.neighbours),
            verdict: summary.verdict.clone(),
        })
    }

    /// A model's reconstructions of the examples, after scaling.
    fn reconstructions(&self, model: &Model) -> Result<Vec<f32>> {
        let (rows, examples) = (&*self.held_out.rows, &self.judging.examples);
        Ok(model.reconstruct_scaled(rows, examples)?.outputs)
    }

    /// The examples themselves.
    fn examples(&self) -> Result<Vec<f32>> {
        let scaling = Scaling::learn(self.scale, &*self.training.rows)?;
        self.scaled(self.held_out, &self.judging.examples, &scaling)
    }

    /// The accuracies of the rows in place of codes.
    fn reference(&mut self) -> Result<Option<Reference>> {
        let width = self.training.rows.shape().len();
        if self.interrupted || width > WIDEST || self.judging.classes.is_none() {
            return Ok(None);
        }
        self.say(&ComparisonEvent::Stage { stage: "telling classes apart by the rows themselves" });
        let scaling = Scaling::learn(self.scale, &*self.training.rows)?;
        let Some(classes) = &self.judging.classes else { return Ok(None) };
        let known = self.scaled(self.training, &classes.training.0, &scaling)?;
        let asked = self.scaled(self.held_out, &classes.held_out.0, &scaling)?;
        let [nearest_neighbour_accuracy, linear_probe_accuracy] =
            classes.accuracies(&known, &asked, width, self.compute);
        Ok(Some(Reference { width, nearest_neighbour_accuracy, linear_probe_accuracy }))
    }

    fn scaled(&self, dataset: &Dataset<'_>, rows: &[usize], scaling: &Scaling) -> Result<Vec<f32>> {
        let mut out = vec![0.0; rows.len() * dataset.rows.shape().len()];
        scaling.gather(&*dataset.rows, rows, &mut out, self.compute.level)?;
        Ok(out)
    }
}

/// The metrics of a fit. Classifiers are refused before.
fn reconstruction(fit: &Fit) -> Result<&ReconstructionSummary> {
    fit.summary()
        .reconstruction()
        .ok_or_else(|| Error::recipe("a classifier reconstructs nothing to compare"))
}

/// The rows that figures are taken on.
struct Judging {
    classes: Option<Classes>,
    /// Held-out rows whose neighbours are compared.
    points: Vec<usize>,
    /// Held-out rows that are shown.
    examples: Vec<usize>,
}

impl Judging {
    fn new(training: &Dataset<'_>, held_out: &Dataset<'_>) -> Self {
        let rows = held_out.rows.rows();
        Self {
            classes: Classes::new(training, held_out),
            points: evenly(rows, POINTS),
            examples: (0..rows.min(EXAMPLES)).collect(),
        }
    }
}

/// Rows and the class of each, numbered as the training rows number them.
struct Classes {
    training: (Vec<usize>, Vec<u32>),
    held_out: (Vec<usize>, Vec<u32>),
}

impl Classes {
    fn new(training: &Dataset<'_>, held_out: &Dataset<'_>) -> Option<Self> {
        let (Some(known), Some(asked)) = (&training.labels, &held_out.labels) else { return None };
        // Two files may number the same names in two ways. A name that no training row has is found by nobody.
        let number = |labels: &Labels, row: usize| -> u32 {
            let name = &labels.names[labels.classes[row] as usize];
            known.names.iter().position(|known| known == name).map_or(u32::MAX, |class| class as u32)
        };
        let part = |labels: &Labels, rows: &Arc<dyn Source>, most: usize| {
            let rows = evenly(rows.rows(), most);
            let classes = rows.iter().map(|&row| number(labels, row)).collect();
            (rows, classes)
        };
        Some(Self {
            training: part(known, &training.rows, CLASSIFIED.0),
            held_out: part(asked, &held_out.rows, CLASSIFIED.1),
        })
    }

    /// By the nearest neighbour, and by a linear classifier.
    fn accuracies(
        &self,
        training: &[f32],
        held_out: &[f32],
        width: usize,
        compute: Compute,
    ) -> [Option<f64>; 2] {
        let known = Classified { codes: training, classes: &self.training.1 };
        let asked = Classified { codes: held_out, classes: &self.held_out.1 };
        [nearest_neighbour_accuracy, linear_probe_accuracy]
            .map(|accuracy| accuracy(known, asked, width, compute))
    }
}

/// At most `most` of `rows` rows, from the first on, at even distances.
fn evenly(rows: usize, most: usize) -> Vec<usize> {
    let count = rows.min(most);
    (0..count).map(|at| (at as u128 * rows as u128 / count as u128) as usize).collect()
}

/// Sets the size of the code, where the recipe can choose.
fn set_code_size(recipe: &mut Recipe, size: usize) -> Result<()> {
    match recipe {
        Recipe::Pca(pca) => {
            pca.code_size = Some(size);
            Ok(())
        }
        Recipe::Autoencoder(network) => network.set_code_size(size),
        Recipe::Classifier(_) => Err(Error::recipe("a classifier has no code of a size of its own")),
    }
}

fn with_seed(recipe: &Recipe, at: u64) -> Recipe {
    let mut recipe = recipe.clone();
    if let Recipe::Autoencoder(network) = &mut recipe {
        network.train.seed = network.train.seed.wrapping_add(at);
    }
    recipe
}

/// Steps of training that a network took with its first seed; none of a closed form.
fn steps(method: &Method, training_rows: usize) -> Option<usize> {
    let Recipe::Autoencoder(network) = &method.recipe else { return None };
    let epochs = method.fits.first()?.epochs;
    (epochs > 0).then(|| network.train.steps(epochs, training_rows))
}

/// What is said of networks that were hardly trained: the recipes' epochs are made for many rows.
fn few_steps(methods: &[Method], training_rows: usize) -> Option<String> {
    let few: Vec<(&str, usize, usize)> = methods
        .iter()
        .filter_map(|method| {
            let steps = steps(method, training_rows).filter(|&steps| steps < FEW_STEPS)?;
            Some((&*method.name, steps, method.fits.first()?.epochs))
        })
        .collect();
    let (_, steps, epochs) = few.iter().min_by_key(|(_, steps, _)| *steps)?;
    let names: Vec<&str> = few.iter().map(|(name, ..)| *name).collect();
    let wanted = (epochs * FEW_STEPS).div_ceil(*steps);
    Some(format!(
        "{}: {steps} or more steps of training, which is few; `train.epochs` = {wanted} makes them {FEW_STEPS}",
        names.join(", ")
    ))
}

/// One plain sentence: who loses least, what PCA loses there, whose codes tell classes apart best.
fn verdict(
    methods: &[Method],
    training_rows: usize,
    rows: Option<&Reference>,
    sweep: Option<&CodeSizeCurves>,
) -> String {
    let mean = |method: &Method, measure| method.spread(measure).map(|spread| spread.mean);
    let error = |method: &Method| mean(method, Measure::SquaredError).filter(|error| error.is_finite());
    let judged = || methods.iter().filter(|method| error(method).is_some());
    // Who is shown noise has the harder task: he competes only with his like.
    let clean = judged().filter(|method| !method.noisy).count() > 0;
    let rivals = || judged().filter(move |method| !(clean && method.noisy));
    let least = |a: &&Method, b: &&Method| {
        error(a).unwrap_or(f64::INFINITY).total_cmp(&error(b).unwrap_or(f64::INFINITY))
    };
    let Some(best) = rivals().min_by(least) else { return "nothing was judged".into() };
    let mut parts = Vec::new();
    let text = |measure: Measure, value: f64| measure.text(&Spread::one(value));
    let networks: Vec<_> =
        rivals().filter(|method| matches!(method.recipe, Recipe::Autoencoder(_))).collect();
    let beats = |method: &&&Method| {
        mean(method, Measure::PcaSquaredError)
            .is_some_and(|pca| error(method).is_some_and(|error| error < pca))
    };
    let own = text(Measure::SquaredError, error(best).unwrap_or(f64::NAN));
    let size = best.fits[0].code_size;
    parts.push(match (&best.recipe, mean(best, Measure::PcaSquaredError)) {
        (Recipe::Autoencoder(_), Some(pca)) => format!(
            "{} loses least: squared error {own} per row in {size} numbers, where PCA-{} loses {}",
            best.name,
            best.fits[0].pca_components,
            text(Measure::SquaredError, pca)
        ),
        _ => format!("{} loses least: squared error {own} per row in {size} numbers", best.name),
    });
    let steps = networks.iter().filter_map(|method| steps(method, training_rows)).max();
    let longer = match steps {
        Some(1) => " after 1 step of training: train longer".to_owned(),
        Some(steps) if steps < FEW_STEPS => format!(" after {steps} steps of training: train longer"),
        _ => String::new(),
    };
    match (networks.iter().filter(beats).count(), networks.len()) {
        (_, 0) => {}
        (0, 1) => parts.push(format!("the network does not reach the PCA of its code size{longer}")),
        (0, _) => parts.push(format!("no network reaches the PCA of its code size{longer}")),
        (1, 1) => {}
        (count, all) if count == all => {
            parts.push(format!("all {all} networks beat the PCA of their code size"));
        }
        (count, all) => parts.push(format!("{count} of {all} networks beat the PCA of their code size")),
    }
    for (measure, who, of_rows) in [
        (
            Measure::NearestNeighbour,
            "the nearest neighbour",
            rows.and_then(|rows| rows.nearest_neighbour_accuracy),
        ),
        (Measure::LinearProbe, "a linear classifier", rows.and_then(|rows| rows.linear_probe_accuracy)),
    ] {
        let share = |method: &Method| mean(method, measure);
        let most = judged().filter_map(share).fold(f64::NEG_INFINITY, f64::max);
        let winners: Vec<String> =
            judged().filter(|method| share(method) == Some(most)).map(|method| method.name.clone()).collect();
        if !winners.is_empty() && methods.len() > 1 {
            let own = of_rows.map_or_else(String::new, |share| {
                format!(" (from the rows themselves {})", text(measure, share))
            });
            let (codes, finds) = (winners.join(" and "), text(measure, most));
            parts.push(format!("{who} finds {finds} of the classes from the codes of {codes}{own}"));
        }
    }
    if let Some(sweep) = sweep {
        let knees: Vec<String> = sweep
            .curves
            .iter()
            .filter_map(|curve| Some(format!("{} for {}", curve.elbow?, curve.recipe)))
            .collect();
        if !knees.is_empty() {
            parts.push(format!("beyond the elbow more code gains little: {}", knees.join(", ")));
        }
    }
    parts.join("; ")
}
