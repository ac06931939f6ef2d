//! Was pre-training worth it? A network that was pre-trained beside its twins: the same from random starts, with as many
//! updates (those of the layers are counted), over several seeds.

use serde::{Serialize, Serializer};

use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::experiments::compare::Spread;
use crate::fit::{Fit, FitOptions, HeldOut, Steps, Watch, fit};
use crate::model::Summary;
use crate::progress::{Ended, EpochRecord, Event, notify};
use crate::recipe::Recipe;

/// Differences between pre-trained networks and their twins that are smaller than this share are none, whatever the seeds.
const NEGLIGIBLE: f64 = 0.01;

/// A network that was fitted from one start with one seed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BaselineRun {
    /// The seed.
    pub seed: u64,
    /// Optimizer steps.
    pub steps: Steps,
    /// Time spent training, in seconds.
    pub seconds: f64,
    /// What it is judged by, on the held-out rows: the share of classes told wrong, or the squared error per row.
    pub metric: f64,
    /// The losses, epoch by epoch, of all layers together.
    pub history: Vec<EpochRecord>,
}

/// Networks with the same seeds, pre-trained and not.
#[derive(Debug, Clone)]
pub struct RandomBaseline {
    /// Whether they tell classes; else they rebuild rows.
    pub is_classifier: bool,
    /// The labelled rows that classes were learned from, and all rows.
    pub rows: (usize, usize),
    /// Those that were pre-trained.
    pub pretrained: Vec<BaselineRun>,
    /// Those from random starts: as many, with the same seeds.
    pub random: Vec<BaselineRun>,
    /// Seeds with which training diverged, and whether it was the network that was pre-trained; both of the seed are left out.
    pub diverged: Vec<(u64, bool)>,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
}

/// Fits the baseline of a pre-trained network: the same network from a random initialisation, with as many optimizer
/// steps; then both again with the seeds that follow, `seeds` in all. `first` is the fit of `recipe`.
///
/// # Errors
/// Where nothing was pre-trained, or a fit fails.
pub fn random_baseline(
    recipe: &Recipe,
    first: &Fit,
    seeds: usize,
    training: &Dataset<'_>,
    held_out: &Dataset<'_>,
    watch: &mut Watch<'_>,
) -> Result<RandomBaseline> {
    let compute = first.model.compute();
    let all = training.rows.rows();
    let summary = first.summary();
    let labelled = summary.classification().map_or(all, |summary| summary.labelled_rows);
    let own = BaselineRun::of(first);
    let Some(twin) = twin(recipe, &own) else {
        return Err(Error::recipe(
            "a random-initialisation baseline is that of a network that is pre-trained and not frozen, and this one is not",
        )
        .hint("fit `stacked`, or a recipe with `pretrain`"));
    };
    let mut found = RandomBaseline {
        is_classifier: matches!(recipe, Recipe::Classifier(_)),
        rows: (labelled, all),
        pretrained: vec![own],
        random: Vec::new(),
        diverged: Vec::new(),
        interrupted: false,
    };
    for number in 0..seeds.max(1) as u64 {
        let seed = recipe.seed().wrapping_add(number);
        let mut pair = Vec::new();
        for pretrained in [true, false] {
            if pretrained && number == 0 {
                continue;
            }
            let mut recipe = if pretrained { recipe.clone() } else { twin.clone() };
            recipe.set_seed(seed);
            notify(watch, Event::Start { pretrained, seed });
            let options = FitOptions {
                held_out: HeldOut::Rows(held_out),
                compute,
                watch: Some(&mut *watch),
                ..FitOptions::default()
            };
            let fit = fit(&recipe, training, options)?;
            match fit.ended {
                Ended::Interrupted => {
                    found.interrupted = true;
                    return Ok(found);
                }
                // A diverged network has no metric to compare: its seed is left out, and that is said.
                Ended::Diverged(_) => found.diverged.push((seed, pretrained)),
                Ended::Finished | Ended::Early => pair.push((BaselineRun::of(&fit), pretrained)),
            }
        }
        if found.diverged.iter().any(|(other, _)| *other == seed) {
            found.pretrained.retain(|run| run.seed != seed);
            continue;
        }
        for (run, pretrained) in pair {
            if pretrained { &mut found.pretrained } else { &mut found.random }.push(run);
        }
    }
    Ok(found)
}

/// The same network without pre-training, with as many optimizer steps; none where nothing was pre-trained.
fn twin(recipe: &Recipe, own: &BaselineRun) -> Option<Recipe> {
    match recipe {
        Recipe::Pca(_) => None,
        Recipe::Autoencoder(network) => network.random_twin().map(Recipe::Autoencoder),
        Recipe::Classifier(network) => {
            let per_epoch = own.steps.training / own.history.len().max(1);
            network.random_twin(own.steps.pretraining, per_epoch.max(1)).map(Recipe::Classifier)
        }
    }
}

impl BaselineRun {
    fn of(fit: &Fit) -> Self {
        let metric = match fit.summary() {
            Summary::Reconstruction(summary) => summary.evaluation.squared_error_per_row,
            Summary::Classification(summary) => summary.evaluation.error_rate,
        };
        Self {
            seed: fit.model.recipe().seed(),
            steps: fit.steps,
            seconds: fit.seconds,
            metric,
            history: fit.history.clone(),
        }
    }
}

/// It serialises as `metric` (the name of the metric that is compared), `pretrained` and `random` (each with the `spread` of
/// the metric and its `runs`), and `verdict`.
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
    /// The figures of the networks that were pre-trained, and of those from random starts.
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
        let rows = self
            .pretrained
            .iter()
            .zip(&self.random)
            .map(|(own, random)| vec![own.seed.to_string(), number(own.metric), number(random.metric)])
            .collect();
        (header, rows)
    }

    /// One plain sentence: whether pre-training paid.
    pub fn verdict(&self) -> String {
        let diverged =
            |pretrained: bool| self.diverged.iter().filter(|(_, kind)| *kind == pretrained).count();
        let left_out = match (diverged(true), diverged(false)) {
            (0, 0) => String::new(),
            (0, random) => format!("; {random} random starts diverged, and their seeds are left out"),
            (own, random) => {
                format!(
                    "; {own} pre-trained networks and {random} random starts diverged, and their seeds are left out"
                )
            }
        };
        // A pair for each seed that both have.
        let differences: Vec<f64> = self
            .random
            .iter()
            .filter_map(|random| {
                let own = self.pretrained.iter().find(|own| own.seed == random.seed)?;
                Some(random.metric - own.metric)
            })
            .collect();
        let (Some(own), Some(other)) = self.spreads() else {
            return format!("no answer: no network from a random start was finished{left_out}");
        };
        let is_large = (own.mean - other.mean).abs() > NEGLIGIBLE * other.mean;
        let word = match own.mean < other.mean {
            _ if !is_large => "no gain",
            _ if !is_real(&differences) => "no gain that is more than chance",
            // Of one pair it is not known what is chance.
            true if self.random.len() == 1 => "pre-trained is better this once",
            false if self.random.len() == 1 => "pre-trained is worse this once",
            true => "pre-training pays",
            false => "pre-training does harm",
        };
        let text = |spread: &Spread| {
            let number = |value: f64| {
                if self.is_classifier { format!("{:.2}", value * 100.0) } else { format!("{value:.3}") }
            };
            let deviation =
                spread.deviation.map_or_else(String::new, |value| format!(" ± {}", number(value)));
            format!("{}{deviation}{}", number(spread.mean), if self.is_classifier { " %" } else { "" })
        };
        let what = if self.is_classifier { "error" } else { "squared error" };
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
            "{word}: {what} {} pre-trained against {} from random starts with as many updates{rows}{seeds}{left_out}",
            text(&own),
            text(&other)
        )
    }
}

/// Whether differences of pairs are more than chance: their mean lies further from 0 than 95 of 100 such means would, were
/// there no difference (Student's t). One pair says nothing of chance: then every difference counts.
fn is_real(differences: &[f64]) -> bool {
    // The 97.5 % quantile of Student's t, by degrees of freedom from 1.
    const T: [f64; 10] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
    let Some(Spread { mean, deviation: Some(deviation), .. }) = Spread::of(differences.iter().copied())
    else {
        return true;
    };
    let n = differences.len();
    let quantile = T.get(n - 2).copied().unwrap_or(2.2);
    mean.abs() > quantile * deviation / (n as f64).sqrt()
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
        assert!(is_real(&[1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]));
        assert!(!is_real(&[0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]));
    }
}
