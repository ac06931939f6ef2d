//! The random-initialisation baseline of a pre-trained network: was pre-training worth it?
//!
//! The baseline is the same network without pre-training, with as many optimizer steps (those of pre-training included).
//! Both are fitted with several seeds, and a paired t-test tells a difference from chance.

use serde::{Serialize, Serializer};

use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::experiments::compare::Spread;
use crate::fit::{CheckpointOptions, Fit, FitOptions, HeldOut, PartCheckpoints, Steps, Watch, fit};
use crate::model::Summary;
use crate::progress::{Ended, EpochRecord, Event, notify};
use crate::recipe::Recipe;

/// A relative difference below this is called no gain, even if it is significant.
const NEGLIGIBLE: f64 = 0.01;

/// A fit with one initialisation and one seed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BaselineRun {
    /// The seed.
    pub seed: u64,
    /// Optimizer steps.
    pub steps: Steps,
    /// Time spent training, in seconds.
    pub seconds: f64,
    /// The compared metric on the held-out rows: the error rate of a classifier (0..1), else the squared error per row.
    pub metric: f64,
    /// The losses of training all layers, epoch by epoch.
    pub history: Vec<EpochRecord>,
}

/// Fits of a network with and without pre-training, with the same seeds.
#[derive(Debug, Clone)]
pub struct RandomBaseline {
    /// Whether the network is a classifier; otherwise it is an autoencoder.
    pub is_classifier: bool,
    /// The numbers of labelled training rows and of all training rows.
    pub rows: (usize, usize),
    /// The pre-trained networks.
    pub pretrained: Vec<BaselineRun>,
    /// The networks with random initialisation and the same seeds.
    pub random: Vec<BaselineRun>,
    /// The seeds with which training diverged, and whether the network was pre-trained. Both networks of such a seed are left
    /// out.
    pub diverged: Vec<(u64, bool)>,
    /// Whether the callback stopped the fits.
    pub interrupted: bool,
}

/// Fits the baseline of a pre-trained network: the same network with random initialisation and as many optimizer steps. Then
/// fits both with the seeds that follow, `seeds` in all. `first` is the fit of `recipe`.
///
/// # Errors
/// If `recipe` has no pre-training or a frozen encoder, or a fit fails.
pub fn random_baseline(
    recipe: &Recipe,
    first: &Fit,
    seeds: usize,
    training: &Dataset<'_>,
    held_out: &Dataset<'_>,
    checkpoints: Option<CheckpointOptions<'_>>,
    watch: &mut Watch<'_>,
) -> Result<RandomBaseline> {
    let Some(first_run) = BaselineRun::of(first) else {
        return Err(Error::recipe("the fit was stopped before it was evaluated, and cannot be compared"));
    };
    let Some(random_recipe) = baseline_recipe(recipe, &first_run) else {
        return Err(Error::recipe(
            "a random-initialisation baseline is that of a network that is pre-trained and not frozen, and this one is not",
        )
        .hint("fit `stacked`, or a recipe with `pretrain`"));
    };
    let all = training.rows.rows();
    let labelled =
        first.summary().and_then(Summary::classification).map_or(all, |summary| summary.labelled_rows);
    let mut baseline = RandomBaseline {
        is_classifier: matches!(recipe, Recipe::Classifier(_)),
        rows: (labelled, all),
        pretrained: vec![first_run],
        random: Vec::new(),
        diverged: Vec::new(),
        interrupted: false,
    };
    for number in 0..seeds.max(1) as u64 {
        let seed = recipe.seed().wrapping_add(number);
        let mut runs = Vec::new();
        // The pre-trained network of the first seed is fitted already.
        let initialisations = if number == 0 { &[false][..] } else { &[true, false] };
        for &pretrained in initialisations {
            let mut recipe = if pretrained { recipe.clone() } else { random_recipe.clone() };
            recipe.set_seed(seed);
            notify(watch, Event::Start { pretrained, seed });
            let name = format!("{}-{seed}", if pretrained { "pretrained" } else { "random" });
            let part = checkpoints.map(|options| options.part(&name));
            let options = FitOptions {
                checkpoints: part.as_ref().map(PartCheckpoints::options),
                held_out: HeldOut::Rows(held_out),
                compute: first.model.compute(),
                watch: Some(&mut *watch),
                ..FitOptions::default()
            };
            let fit = fit(&recipe, training, options)?;
            match (&fit.ended, BaselineRun::of(&fit)) {
                (Ended::Interrupted, _) | (_, None) => {
                    baseline.interrupted = true;
                    return Ok(baseline);
                }
                (Ended::Diverged(_), _) => baseline.diverged.push((seed, pretrained)),
                (Ended::Finished | Ended::Early, Some(run)) => runs.push((run, pretrained)),
            }
        }
        baseline.add_seed(seed, runs);
    }
    Ok(baseline)
}

/// The recipe of the baseline: without pre-training, with as many optimizer steps. None without pre-training.
fn baseline_recipe(recipe: &Recipe, pretrained: &BaselineRun) -> Option<Recipe> {
    match recipe {
        Recipe::Pca(_) => None,
        Recipe::Autoencoder(network) => network.random_baseline().map(Recipe::Autoencoder),
        Recipe::Classifier(network) => {
            let steps_per_epoch = pretrained.steps.training / pretrained.history.len().max(1);
            network
                .random_baseline(pretrained.steps.pretraining, steps_per_epoch.max(1))
                .map(Recipe::Classifier)
        }
    }
}

impl BaselineRun {
    /// None for a fit that was not evaluated.
    fn of(fit: &Fit) -> Option<Self> {
        let metric = match fit.summary()? {
            Summary::Reconstruction(summary) => summary.evaluation.squared_error_per_row,
            Summary::Classification(summary) => summary.evaluation.error_rate,
        };
        Some(Self {
            seed: fit.model.recipe().seed(),
            steps: fit.steps,
            seconds: fit.seconds,
            metric,
            history: fit.history.clone(),
        })
    }
}

/// Serialises as `metric` (the name of the compared metric), `pretrained` and `random` (each with the `spread` of the metric
/// and its `runs`), and `verdict`.
impl Serialize for RandomBaseline {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Side<'a> {
            spread: Option<Spread>,
            runs: &'a [BaselineRun],
        }
        #[derive(Serialize)]
        struct Record<'a> {
            metric: &'static str,
            pretrained: Side<'a>,
            random: Side<'a>,
            verdict: String,
        }
        let (pretrained, random) = self.spreads();
        Record {
            metric: if self.is_classifier { "error_rate" } else { "squared_error_per_row" },
            pretrained: Side { spread: pretrained, runs: &self.pretrained },
            random: Side { spread: random, runs: &self.random },
            verdict: self.verdict(),
        }
        .serialize(serializer)
    }
}

impl RandomBaseline {
    /// Adds the runs of a seed. If one of the two networks diverged, there is no pair to compare and both are left out.
    fn add_seed(&mut self, seed: u64, runs: Vec<(BaselineRun, bool)>) {
        if self.diverged.iter().any(|(diverged, _)| *diverged == seed) {
            self.pretrained.retain(|run| run.seed != seed);
            return;
        }
        for (run, pretrained) in runs {
            if pretrained { &mut self.pretrained } else { &mut self.random }.push(run);
        }
    }

    /// The mean and the standard deviation of the metric over the seeds: pre-trained, and with random initialisation.
    pub fn spreads(&self) -> (Option<Spread>, Option<Spread>) {
        let of = |runs: &[BaselineRun]| Spread::of(runs.iter().map(|run| run.metric));
        (of(&self.pretrained), of(&self.random))
    }

    /// The metric of each seed as a table: its header, and a row for each seed. `recipe` names the pre-trained network.
    pub fn table(&self, recipe: &str) -> (Vec<String>, Vec<Vec<String>>) {
        let number = |value: f64| {
            if self.is_classifier { format!("{:.2} %", value * 100.0) } else { format!("{value:.4}") }
        };
        let header = vec!["seed".into(), format!("{recipe}, pre-trained"), "from a random start".into()];
        let pairs = self.pretrained.iter().zip(&self.random);
        let row = |(pretrained, random): (&BaselineRun, &BaselineRun)| {
            vec![pretrained.seed.to_string(), number(pretrained.metric), number(random.metric)]
        };
        (header, pairs.map(row).collect())
    }

    /// The verdict on pre-training: a sentence.
    pub fn verdict(&self) -> String {
        let left_out = self.left_out();
        let (Some(pretrained), Some(random)) = self.spreads() else {
            return format!("no answer: no network from a random start was finished{left_out}");
        };
        let outcome = match self.outcome(&pretrained, &random) {
            PretrainingEffect::Negligible => "no gain",
            PretrainingEffect::Chance => "no gain that is more than chance",
            PretrainingEffect::BetterOnce => "pre-trained is better this once",
            PretrainingEffect::WorseOnce => "pre-trained is worse this once",
            PretrainingEffect::Better => "pre-training pays",
            PretrainingEffect::Worse => "pre-training does harm",
        };
        let metric = if self.is_classifier { "error" } else { "squared error" };
        let rows = match self.rows {
            (labelled, all) if labelled < all => format!(" with {labelled} labels of {all} rows"),
            (labelled, _) if self.is_classifier => format!(" with {labelled} labels"),
            _ => String::new(),
        };
        let seeds = match self.random.len() {
            1 => "; one seed: five `seeds` would say how sure that is".to_owned(),
            count => format!(", over {count} seeds"),
        };
        format!(
            "{outcome}: {metric} {} pre-trained against {} from random starts with as many updates{rows}{seeds}{left_out}",
            self.spread_text(&pretrained),
            self.spread_text(&random)
        )
    }

    fn outcome(&self, pretrained: &Spread, random: &Spread) -> PretrainingEffect {
        let is_better = pretrained.mean < random.mean;
        let is_large = (pretrained.mean - random.mean).abs() > NEGLIGIBLE * random.mean;
        if !is_large {
            PretrainingEffect::Negligible
        } else if !is_significant(&self.differences()) {
            PretrainingEffect::Chance
        } else if self.random.len() == 1 {
            // One pair does not tell a difference from chance.
            if is_better { PretrainingEffect::BetterOnce } else { PretrainingEffect::WorseOnce }
        } else if is_better {
            PretrainingEffect::Better
        } else {
            PretrainingEffect::Worse
        }
    }

    /// Random minus pre-trained for each seed that both have.
    fn differences(&self) -> Vec<f64> {
        let difference = |random: &BaselineRun| {
            let pretrained = self.pretrained.iter().find(|run| run.seed == random.seed)?;
            Some(random.metric - pretrained.metric)
        };
        self.random.iter().filter_map(difference).collect()
    }

    fn spread_text(&self, spread: &Spread) -> String {
        let number = |value: f64| {
            if self.is_classifier { format!("{:.2}", value * 100.0) } else { format!("{value:.3}") }
        };
        let deviation = spread.deviation.map_or_else(String::new, |value| format!(" ± {}", number(value)));
        format!("{}{deviation}{}", number(spread.mean), if self.is_classifier { " %" } else { "" })
    }

    /// The number of diverged networks, for the end of the verdict; empty without any.
    fn left_out(&self) -> String {
        let diverged =
            |pretrained: bool| self.diverged.iter().filter(|(_, kind)| *kind == pretrained).count();
        match (diverged(true), diverged(false)) {
            (0, 0) => String::new(),
            (0, random) => format!("; {random} random starts diverged, and their seeds are left out"),
            (pretrained, random) => format!(
                "; {pretrained} pre-trained networks and {random} random starts diverged, and their seeds are left out"
            ),
        }
    }
}

/// The effect of pre-training on the metric.
enum PretrainingEffect {
    /// Smaller than [`NEGLIGIBLE`].
    Negligible,
    /// Not significant.
    Chance,
    /// One seed only.
    BetterOnce,
    /// One seed only.
    WorseOnce,
    Better,
    Worse,
}

/// The two-sided paired t-test at the 5 % level (Student 1908): whether the mean of the differences is significantly different
/// from 0. A single difference cannot be tested and counts as significant.
fn is_significant(differences: &[f64]) -> bool {
    // The 97.5 % quantile of Student's t distribution, by degrees of freedom from 1.
    const T: [f64; 10] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
    let Some(Spread { mean, deviation: Some(deviation), .. }) = Spread::of(differences.iter().copied())
    else {
        return true;
    };
    let n = differences.len();
    let quantile = T.get(n - 2).copied().unwrap_or(2.2);
    let standard_error = deviation / (n as f64).sqrt();
    mean.abs() > quantile * standard_error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn twins(pretrained: &[f64], random: &[f64]) -> RandomBaseline {
        let runs = |metrics: &[f64]| {
            let run = |(seed, &metric): (usize, &f64)| BaselineRun {
                seed: seed as u64,
                steps: Steps { pretraining: 10, training: 20 },
                seconds: 0.0,
                metric,
                history: Vec::new(),
            };
            metrics.iter().enumerate().map(run).collect()
        };
        RandomBaseline {
            is_classifier: true,
            rows: (1000, 60000),
            pretrained: runs(pretrained),
            random: runs(random),
            diverged: Vec::new(),
            interrupted: false,
        }
    }

    #[test]
    fn the_answer_is_plain_and_chance_is_no_gain() {
        let answer = |a: &[f64], b: &[f64]| twins(a, b).verdict();
        let pays = answer(&[0.019, 0.020, 0.018], &[0.026, 0.027, 0.025]);
        assert!(
            pays.starts_with("pre-training pays: error 1.90 ± 0.10 % pre-trained against 2.60 ± 0.10 %"),
            "{pays}"
        );
        assert!(pays.contains("1000 labels of 60000 rows") && pays.ends_with("over 3 seeds"), "{pays}");
        // Twice as far apart on the mean, but each seed says another thing.
        assert!(answer(&[0.01, 0.03, 0.02], &[0.03, 0.02, 0.03]).starts_with("no gain"));
        assert!(answer(&[0.026, 0.027], &[0.019, 0.020]).starts_with("pre-training does harm"));
        let once = answer(&[0.02], &[0.03]);
        assert!(once.starts_with("pre-trained is better this once") && once.contains("one seed"), "{once}");
        assert!(answer(&[0.02], &[0.02001]).starts_with("no gain"));
        let left_out =
            RandomBaseline { diverged: vec![(7, false)], ..twins(&[0.019, 0.020], &[0.026, 0.0271]) }
                .verdict();
        assert!(left_out.contains("over 2 seeds; 1 random starts diverged"), "{left_out}");
        assert!(twins(&[0.02], &[]).verdict().starts_with("no answer"));
    }

    /// Student's own example (1908), hours of sleep gained by ten patients: t = 4.06 on 9 degrees of freedom; the first drug
    /// alone t = 1.33.
    #[test]
    fn chance_is_told_by_students_own_metrics() {
        assert!(is_significant(&[1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]));
        assert!(!is_significant(&[0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]));
    }
}
