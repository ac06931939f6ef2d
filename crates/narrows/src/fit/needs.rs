//! The memory of a fit beside the rows it is given: found by arithmetic, asked for before anything is made.
//!
//! A fit has two stages, which do not overlap: training, and then moments, baselines and metrics. The larger one counts.

use super::checks::training_memory;
use crate::base::memory::{MARGIN, fits, require_or};
use crate::compute::Compute;
use crate::data::{Element, Source};
use crate::error::Result;
use crate::model::needs::{evaluator_bytes, scores_bytes};
use crate::network::engine::{CHUNK, Footprint};
use crate::network::plan::{Plan, Target};
use crate::pca::moments::scratch_bytes;
use crate::pca::{Moments, missing, randomized};
use crate::recipe::{Init, Solver, Train};
use crate::train::useful_threads;

/// The rows of a fit, counted.
#[derive(Clone, Copy)]
pub(super) struct RowCounts {
    pub training: usize,
    pub held_out: usize,
    /// Numbers in a row.
    pub width: usize,
    pub element: Element,
}

impl RowCounts {
    pub fn of(training: &dyn Source, held_out: &dyn Source) -> Self {
        let (width, element) = (training.shape().len(), training.element());
        Self { training: training.rows(), held_out: held_out.rows(), width, element }
    }

    /// Rows in double precision are copied to single precision, where the copy takes no more than half of what is free.
    fn prepared(self) -> usize {
        let table = |rows: usize| {
            let bytes = product(&[rows, self.width, size_of::<f32>()]);
            if self.element == Element::F64 && fits(bytes.saturating_mul(2), 1) { bytes } else { 0 }
        };
        sum(&[table(self.training), table(self.held_out)])
    }

    /// A PCA of these rows in the scope of its fit: of `k` components, or of the most that are possible.
    pub fn components(self, k: Option<usize>) -> usize {
        let most = self.width.min(self.training);
        k.map_or(most, |k| k.min(most))
    }
}

/// Refuses a PCA whose fit takes more memory than is free. Returns what it takes, in bytes, with the margin, and whether the
/// randomised solver is to be used.
pub(super) fn require_pca(
    rows: RowCounts,
    k: usize,
    solver: Solver,
    compute: Compute,
) -> Result<(usize, bool)> {
    let Compute { threads, .. } = compute;
    let k = rows.components(Some(k));
    let exact = pca_bytes(rows, k, threads);
    let randomized = randomized_pca_bytes(rows, k, threads);
    let is_randomized = match solver {
        Solver::Exact => false,
        Solver::Randomized => true,
        Solver::Auto => !fits(exact, threads) && randomized < exact,
    };
    // Narrow rows are left to the exact solver.
    let is_randomized = is_randomized && randomized::is_possible(rows.width, k);
    if is_randomized {
        let what = format_args!("the randomised PCA of {} rows of {} numbers", rows.training, rows.width);
        require_or(randomized, threads, what, |_| "fewer components".to_owned())?;
        return Ok((randomized.saturating_add(MARGIN), true));
    }
    let bytes = |n: usize, threads: usize| pca_bytes(RowCounts { training: n, ..rows }, k, threads);
    let (n, d) = (rows.training, rows.width);
    require_or(bytes(n, threads), threads, format_args!("the PCA of {n} rows of {d} numbers"), |fits| {
        if randomized::is_possible(d, k) && fits(randomized, threads) {
            return "`solver = \"randomized\"` fits".to_owned();
        }
        if let Some(threads) = (1..threads).rev().find(|&threads| fits(bytes(n, threads), threads)) {
            return format!("`threads` = {threads} fits");
        }
        // The matrix is square in the columns, or in the rows where these are fewer.
        let mut halves = std::iter::successors(Some(n / 2), |n| Some(n / 2)).take_while(|&n| n > 1);
        match halves.find(|&n| fits(bytes(n, 1), 1)) {
            Some(rows) => format!("{rows} rows fit"),
            None => "fewer columns".to_owned(),
        }
    })?;
    Ok((bytes(n, threads).saturating_add(MARGIN), false))
}

/// As [`require_pca`], where `gaps` numbers of the training rows are missing. Returns what it takes, in bytes, with the margin.
pub(super) fn require_pca_with_gaps(
    rows: RowCounts,
    k: usize,
    gaps: usize,
    compute: Compute,
) -> Result<usize> {
    let (n, d, threads) = (rows.training, rows.width, compute.threads);
    let evaluator = product(&[CHUNK, d, 48]);
    let needs = Moments::needs(d, d, k);
    let evaluating = evaluation_beside(rows, (k, k), needs.principal, evaluator, threads);
    let evaluating = sum(&[needs.kept, needs.directions, evaluating]);
    let bytes = missing::needs(n, gaps, d, k).max(evaluating);
    let what = format_args!("the PCA of {n} rows of {d} numbers with missing values");
    require_or(bytes, threads, what, |_| "fewer columns, or fewer rows with gaps".to_owned())?;
    Ok(bytes.saturating_add(MARGIN))
}

/// The memory of a PCA's fit, its moments and eigenvectors, its baselines and metrics.
fn pca_bytes(rows: RowCounts, k: usize, threads: usize) -> usize {
    let k = rows.components(Some(k));
    let needs = Moments::needs(rows.training, rows.width, k);
    let fitting = needs.measuring.max(sum(&[needs.kept, needs.principal]));
    let evaluator = product(&[CHUNK, rows.width, 32]);
    fitting.max(sum(&[needs.directions, evaluation(rows, k, k, evaluator, threads)]))
}

/// As [`pca_bytes`], with the randomised solver.
fn randomized_pca_bytes(rows: RowCounts, k: usize, threads: usize) -> usize {
    let directions = product(&[4, k, rows.width, size_of::<f64>()]);
    let evaluator = product(&[CHUNK, rows.width, 32]);
    let evaluating = evaluation_beside(rows, (k, k), 0, evaluator, threads);
    sum(&[directions, randomized::needed_bytes(rows.width, k, threads).max(evaluating)])
}

/// The settings of a network's fit that its memory depends on.
#[derive(Clone, Copy)]
pub(super) struct NetworkFit<'a> {
    pub plan: &'a Plan,
    pub train: &'a Train,
    pub rows: RowCounts,
    /// Bytes of pre-training.
    pub pretraining: usize,
    pub keeps_checkpoints: bool,
    pub compute: Compute,
}

/// Refuses a network whose fit takes more memory than is free. Returns what it takes, in bytes, with the margin.
pub(super) fn require_network(fit: NetworkFit<'_>) -> Result<usize> {
    let NetworkFit { plan, rows, compute, .. } = fit;
    let threads = compute.threads;
    let bytes = fit.bytes(fit.train.batch_size, threads)?;
    require_or(bytes, threads, "training", |fits| {
        let fits_with =
            |batch: usize, threads| fit.bytes(batch, threads).is_ok_and(|bytes| fits(bytes, threads));
        let batch = fit.train.batch_size.min(rows.training);
        let smaller = std::iter::successors(Some(batch / 2), |batch| Some(batch / 2));
        let found = smaller.take_while(|&batch| batch > 0).find(|&batch| fits_with(batch, threads));
        match found {
            _ if threads > 1 && fits_with(batch, 1) => "`threads` = 1 fits".to_owned(),
            Some(batch) => format!("`train.batch_size` = {batch} fits"),
            None if plan.steps.iter().any(|step| step.op.is_on_images()) => {
                "fewer channels or units, or smaller images".to_owned()
            }
            None => "fewer units, or a smaller `train.batch_size`".to_owned(),
        }
    })?;
    Ok(bytes.saturating_add(MARGIN))
}

impl NetworkFit<'_> {
    fn bytes(&self, batch_size: usize, threads: usize) -> Result<usize> {
        let Self { plan, train, rows, pretraining, keeps_checkpoints, .. } = *self;
        let batch = batch_size.min(rows.training).max(1);
        let state = state_bytes(plan, train, keeps_checkpoints)?;
        // The order of the rows is there twice, the numbers of the held-out rows once.
        let order = product(&[2 * size_of::<usize>(), sum(&[rows.training, rows.held_out])]);
        let engine = engine_bytes(plan, train, batch, threads)?;
        // The state of training is made of what pre-training leaves.
        let steps = sum(&[engine.total(), state]).max(pretraining);
        let training = sum(&[rows.prepared(), order, steps]);

        let model = product(&[plan.buffer_len, size_of::<f32>()]);
        let is_classifier = plan.target != Target::Row;
        let is_closed_form = matches!(plan.weights.init, Init::ClosedForm | Init::Pca);
        // Beside noise, the baselines may take any number of components.
        let k = match (is_classifier, plan.noise.is_empty()) {
            (true, _) => 0,
            (false, true) => rows.components(Some(plan.code().len())),
            (false, false) => rows.components(None),
        };
        // All components rebuild every row: no eigenvectors are needed.
        let k = if k == rows.width && plan.noise.is_empty() && !is_closed_form { 0 } else { k };
        let evaluator = evaluator_bytes(plan, rows.element);
        let evaluating = evaluation(rows, k, plan.code().len(), evaluator, threads);
        Ok(training.max(sum(&[model, evaluating])))
    }
}

/// The engine of training on as many threads as are of use.
fn engine_bytes(plan: &Plan, train: &Train, batch: usize, threads: usize) -> Result<Footprint> {
    let train = Train { batch_size: batch, ..train.clone() };
    training_memory(plan, &train, threads.clamp(1, useful_threads(plan, batch)))
}

/// Copies of parameters and optimizer state beside those of the engine: the state after the last epoch, the best parameters, and
/// while a checkpoint is written, the bytes of both twice: as tensors and as a file.
fn state_bytes(plan: &Plan, train: &Train, keeps_checkpoints: bool) -> Result<usize> {
    let slots = train.optimizer()?.state_slots();
    let copies = 2 + slots + if keeps_checkpoints { 2 * (2 + slots) } else { 0 };
    Ok(product(&[plan.buffer_len, size_of::<f32>(), copies]))
}

/// Moments, baselines of `k` components and metrics of codes of `code` numbers, with `evaluator` bytes of a model on each thread.
fn evaluation(rows: RowCounts, k: usize, code: usize, evaluator: usize, threads: usize) -> usize {
    let needs = Moments::needs(rows.training, rows.width, k);
    let beside = evaluation_beside(rows, (k, code), needs.principal, evaluator, threads);
    needs.measuring.max(sum(&[needs.kept, beside]))
}

/// What an evaluation takes beside moments whose `k` principal directions take `principal` bytes to find.
fn evaluation_beside(
    rows: RowCounts,
    (k, code): (usize, usize),
    principal: usize,
    evaluator: usize,
    threads: usize,
) -> usize {
    let RowCounts { held_out, width, .. } = rows;
    let directions = product(&[k, width, size_of::<f64>()]);
    let chunks = held_out.div_ceil(CHUNK).max(1);
    let threads = threads.clamp(1, chunks);
    // Scaled, centred twice over, with noise; the codes of both.
    let of_thread = sum(&[
        product(&[CHUNK, width, 3 * size_of::<f64>()]),
        product(&[CHUNK, k, 2 * size_of::<f64>()]),
        scratch_bytes(width),
    ]);
    let curves = product(&[chunks, 3, k + 1, size_of::<f64>()]);
    let two = product(&[2, directions]);
    let baselines = sum(&[two, curves, product(&[threads, of_thread])]);
    let metrics = sum(&[scores_bytes(held_out, width, code), product(&[threads, evaluator])]);
    sum(&[directions, principal]).max(baselines).max(metrics)
}

pub(super) fn sum(parts: &[usize]) -> usize {
    parts.iter().fold(0, |sum, &part| sum.saturating_add(part))
}

pub(super) fn product(factors: &[usize]) -> usize {
    factors.iter().fold(1, |product, &factor| product.saturating_mul(factor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Shape;
    use crate::recipe::{AutoencoderRecipe, Recipe};

    fn recipe(code_size: usize) -> AutoencoderRecipe {
        let Recipe::Autoencoder(mut recipe) = Recipe::open("single").unwrap() else { panic!() };
        recipe.set_code_size(code_size).unwrap();
        recipe
    }

    fn bytes(recipe: &AutoencoderRecipe, rows: usize, keeps_checkpoints: bool) -> usize {
        let plan = Plan::new(recipe, Shape::flat(784)).unwrap();
        let rows = RowCounts { training: rows, held_out: 1000, width: 784, element: Element::U8 };
        let compute = Compute::with_threads(2);
        let fit = NetworkFit {
            plan: &plan,
            train: &recipe.train,
            rows,
            pretraining: 0,
            keeps_checkpoints,
            compute,
        };
        fit.bytes(recipe.train.batch_size, 2).unwrap()
    }

    #[test]
    fn the_memory_of_a_fit_grows_with_what_it_has() {
        // 3.1 billion weights, and what training remembers of each.
        let large = bytes(&recipe(2_000_000), 1000, false);
        assert!(large > 16 << 30, "{large}");
        assert!(bytes(&recipe(2_000_000), 1000, true) > large + (12 << 30));
        let (few, many) = (bytes(&recipe(32), 1000, false), bytes(&recipe(32), 100_000_000, false));
        assert!(many > few && few > 1 << 20, "{few}, {many}");
        let mut huge = recipe(32);
        huge.train.batch_size = usize::MAX;
        assert!(bytes(&huge, usize::MAX / 2, false) > isize::MAX as usize);
    }
}
