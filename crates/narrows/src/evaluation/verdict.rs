//! One plain sentence about a fit: what it is worth beside simpler methods, and what to do about it.

use crate::model::metrics::{Baselines, Reconstruction};
use crate::progress::EpochRecord;
use crate::recipe::{AutoencoderRecipe, Function, Init, Recipe};

/// Errors closer than this share are called equal.
const EQUAL: f64 = 0.005;

/// A model that loses this share of what the constant mean loses has learned nothing.
const NOTHING: f64 = 0.97;

/// Outputs that vary by less than this share of what rows do are all alike.
const ALIKE: f64 = 0.01;

/// Held-out rows that lose so many times what training rows do are not those that were learned from.
const OVERFITTED: f64 = 1.25;

/// A loss that has risen so far above its least is worth a word: training jumps by a few per cent.
const RISEN: f64 = 1.15;

/// A loss that fell to less than this share of itself in the last epoch was still falling.
const FALLING: f64 = 0.99;

/// Networks that took fewer steps than this may well learn more.
pub(crate) const FEW_STEPS: usize = 3000;

/// Networks that took fewer steps than this have hardly begun.
const VERY_FEW_STEPS: usize = 300;

/// Held-out rows that are too few to call a unit dead by.
const FEW_ROWS: usize = 10;

/// So many times the error of the constant mean are still about that.
const NEAR_MEAN: f64 = 1.1;

/// A BCE this close to its floor is worth a word.
const NEAR_FLOOR: f64 = 1.25;

/// The sizes that a verdict speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Numbers in a row.
    pub width: usize,
    /// Numbers in a code.
    pub code: usize,
    /// Units of a code that can be dead: its numbers, or where it is an image its channels.
    pub units: usize,
}

/// What a verdict knows of the training.
#[derive(Debug, Clone, Copy)]
pub struct Training<'a> {
    /// The loss on the training rows, over the epoch that was kept.
    pub loss: f64,
    /// The losses, epoch by epoch.
    pub history: &'a [EpochRecord],
    /// Steps that were taken.
    pub steps: usize,
}

/// The sentence for a fit of `recipe`.
pub fn verdict(
    recipe: &Recipe,
    sizes: Sizes,
    evaluation: &Reconstruction,
    baselines: &Baselines,
    training: Training<'_>,
) -> String {
    if baselines.mean <= 0.0 {
        return "every held-out row equals the mean of the training rows: there is nothing to learn".into();
    }
    match recipe {
        Recipe::Pca(_) => of_pca(sizes, evaluation),
        Recipe::Classifier(_) => "a classifier is judged by the classes it tells".into(),
        Recipe::Autoencoder(network) => {
            let context = Context { network, sizes, evaluation, baselines, training };
            context.nothing_learned().unwrap_or_else(|| context.learned()).join("; ")
        }
    }
}

fn of_pca(Sizes { width, code, .. }: Sizes, evaluation: &Reconstruction) -> String {
    let kept = evaluation.explained_variance * 100.0;
    let size = if code < width { "" } else { ": all there are, so it does not compress" };
    format!("PCA-{code} keeps {kept:.1} % of the variance in {code} of {width} numbers{size}")
}

struct Context<'a> {
    network: &'a AutoencoderRecipe,
    sizes: Sizes,
    evaluation: &'a Reconstruction,
    baselines: &'a Baselines,
    training: Training<'a>,
}

impl Context<'_> {
    /// What is said of a network that is no better than the constant mean.
    fn nothing_learned(&self) -> Option<Vec<String>> {
        let error = self.evaluation.squared_error_per_row;
        if error.is_finite() && error < NOTHING * self.baselines.mean {
            return None;
        }
        let collapsed = self.evaluation.rows >= FEW_ROWS
            && self.evaluation.output_variance.is_some_and(|variance| variance < ALIKE * self.baselines.mean);
        let what = if collapsed && error < NEAR_MEAN * self.baselines.mean {
            "learned nothing: it rebuilds every row alike, as the constant mean would"
        } else if collapsed {
            "learned nothing: it rebuilds every row alike"
        } else if error > NEAR_MEAN * self.baselines.mean {
            "learned nothing: worse than the constant mean"
        } else {
            "learned nothing: no better than the constant mean"
        };
        let all = self.evaluation.dead_units == self.sizes.units;
        let falling = match self.training.history {
            [.., before, last] => last.held_out_loss < FALLING * before.held_out_loss,
            _ => false,
        };
        let still =
            if falling { "its loss was still falling" } else { "the loss may not have begun to fall" };
        let dead = self
            .dead()
            .map(|dead| if all || collapsed { format!("the code has died: {dead}") } else { dead });
        let Training { steps, history, .. } = self.training;
        let stopped_early =
            self.network.train.patience.is_some() && history.len() < self.network.train.epochs;
        let advice = match self.network.sparsity {
            _ if stopped_early => "raise train.patience, or lower train.min_delta".to_owned(),
            _ if !history.is_empty() && steps < VERY_FEW_STEPS => {
                format!(
                    "{} of training are few: more epochs, or a smaller train.batch_size",
                    counted(steps, "step")
                )
            }
            Some(sparsity) => format!("lower {}", sparsity.names()),
            None if self.network.weights.l2.is_some() || self.network.weights.elimination.is_some() => {
                "lower what the weights pay (weights.l2, weights.elimination)".to_owned()
            }
            None => "try another train.learning_rate, more epochs, or another seed".to_owned(),
        };
        Some(vec![
            what.to_owned(),
            dead.unwrap_or_else(|| still.to_owned()),
            if falling { format!("train longer, or {advice}") } else { advice },
        ])
    }

    fn learned(&self) -> Vec<String> {
        let Sizes { width, code, .. } = self.sizes;
        let is_worse = self.change() < -EQUAL && !self.pca_is_perfect();
        let mut parts = vec![self.beside_pca()];
        match self.dead() {
            Some(dead) if self.is_closed_form() => parts.push(dead),
            Some(dead) => parts.push(match self.network.sparsity {
                Some(sparsity) => format!("{dead}: lower {} to wake them", sparsity.names()),
                None => format!("{dead}: a smaller train.learning_rate or another seed may wake them"),
            }),
            None if is_worse && self.is_closed_form() => {
                parts.push("a PCA takes the mean away first, and this does not".to_owned());
            }
            None if is_worse => parts.push(match (self.network.sparsity, self.bounded_and_tied()) {
                (Some(sparsity), _) => {
                    format!("the code may pay too much for being active: lower {}", sparsity.names())
                }
                (_, Some(function)) => {
                    format!("a bounded {function} with a shared weight cannot give the code its scale back")
                }
                _ if self.training.steps < FEW_STEPS => format!(
                    "it took {} of training, which is few: more epochs, or a PCA",
                    counted(self.training.steps, "step")
                ),
                _ => match self.baselines.pca_components {
                    Some(components) => format!("a PCA with {components} components gives more"),
                    None => "a PCA gives more at the same size".to_owned(),
                },
            }),
            None => {}
        }
        parts.extend(self.overfitting());
        if code >= width {
            parts.push(format!(
                "the code is not smaller than the row ({code} numbers for {width}): it does not compress"
            ));
        }
        parts
    }

    /// By which share it loses less than the PCA.
    fn change(&self) -> f64 {
        let pca = self.baselines.pca;
        (pca - self.evaluation.squared_error_per_row) / pca.max(f64::MIN_POSITIVE)
    }

    fn pca_is_perfect(&self) -> bool {
        self.baselines.pca <= 1e-9 * self.baselines.mean
    }

    fn beside_pca(&self) -> String {
        let (error, least) = (self.evaluation.squared_error_per_row, self.baselines.pca);
        let pca = format!("PCA-{}", self.baselines.pca_components.unwrap_or(self.sizes.code));
        let noisy = if self.network.is_shown_noise() { "on noisy rows " } else { "" };
        let errors = format!("squared error {} against {} per row", figure(error), figure(least));
        let change = self.change();
        let sentence = if self.pca_is_perfect() {
            let kept = self.evaluation.explained_variance * 100.0;
            format!("keeps {kept:.1} % of the variance; {pca} loses nothing here, so a linear code is enough")
        } else if change > EQUAL {
            format!("{noisy}better than {pca} by {:.0} %: {errors}", change * 100.0)
        } else if change < -1.0 {
            format!("{noisy}worse than {pca}, {:.1} times its error: {errors}", 1.0 - change)
        } else if change < -EQUAL {
            format!("{noisy}worse than {pca} by {:.0} %: {errors}", -change * 100.0)
        } else {
            format!("{noisy}as good as {pca}: {errors}")
        };
        match (self.evaluation.bce, self.evaluation.bce_floor) {
            (Some(bce), Some(floor)) if bce < NEAR_FLOOR * floor => format!(
                "{sentence}; its BCE is within {:.0} % of the least possible",
                (bce / floor - 1.0).max(0.0) * 100.0
            ),
            _ => sentence,
        }
    }

    fn dead(&self) -> Option<String> {
        let Sizes { code, units, .. } = self.sizes;
        // What is the same for a few rows may well differ for others.
        let dead = if self.evaluation.rows < FEW_ROWS { 0 } else { self.evaluation.dead_units };
        let what = if units == code { "code units" } else { "code channels" };
        (dead > 0).then(|| format!("{dead} of {units} {what} are dead (the same for every held-out row)"))
    }

    fn is_closed_form(&self) -> bool {
        self.network.weights.init == Init::ClosedForm && self.training.history.is_empty()
    }

    /// The function of the code, where it is bounded and the decoder's weights are the encoder's.
    fn bounded_and_tied(&self) -> Option<&'static str> {
        let function = self.network.code_function()?;
        let bounded = matches!(function, Function::Tanh | Function::Sigmoid);
        (bounded && self.network.is_tied()).then(|| function.name())
    }

    /// What is said where held-out rows fare much worse than training rows, or did better before. Of BCE only what lies
    /// above the floor counts.
    fn overfitting(&self) -> Option<String> {
        let floor = self.evaluation.bce_floor.unwrap_or(0.0);
        let (held_out, learned) = (self.evaluation.loss - floor, self.training.loss - floor);
        let history = self.training.history;
        let best = history.iter().min_by(|a, b| a.held_out_loss.total_cmp(&b.held_out_loss));
        // Next to nothing may well be several times next to nothing.
        if self.evaluation.squared_error_per_row < 1e-4 * self.baselines.mean {
            return None;
        }
        if let (Some(best), Some(last)) = (best, history.last())
            && !self.network.train.keeps_best()
            && last.held_out_loss - floor > RISEN * (best.held_out_loss - floor)
        {
            return Some(format!(
                "the held-out loss was least after epoch {} and has risen since: train.patience keeps the best",
                best.epoch
            ));
        }
        (!history.is_empty() && learned > 0.0 && held_out > OVERFITTED * learned).then(|| {
            format!(
                "overfits: {} {} on held-out rows, {} on training rows; dropout, weights.l2 or more rows help",
                self.network.loss.title(),
                figure(self.evaluation.loss),
                figure(self.training.loss)
            )
        })
    }
}

/// `1 step`, `2 steps`.
fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// A number with two decimals, or with three digits where it is small.
fn figure(value: f64) -> String {
    let decimals =
        if value > 0.0 && value < 1.0 { (2.0 - value.log10().floor()).min(12.0) as usize } else { 2 };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::RecipeFile;

    fn say(recipe: &str, error: f64, dead: usize, baselines: (f64, f64)) -> String {
        say_more(recipe, error, dead, baselines, |_| {}, &[])
    }

    fn say_more(
        recipe: &str,
        error: f64,
        dead: usize,
        baselines: (f64, f64),
        change: impl Fn(&mut Reconstruction),
        held_out: &[f64],
    ) -> String {
        let mut evaluation = Reconstruction {
            rows: 10,
            loss: 0.1,
            bce: None,
            bce_floor: None,
            mse: error / 100.0,
            squared_error_per_row: error,
            mean_squared_error_per_row: baselines.0,
            explained_variance: 1.0 - error / baselines.0,
            dead_units: dead,
            mean_activity: None,
            output_variance: None,
            divergence: None,
        };
        change(&mut evaluation);
        let components = (recipe == "denoising").then_some(7);
        let baselines = Baselines {
            mean: baselines.0,
            pca: baselines.1,
            linear: baselines.1,
            pca_components: components,
        };
        let sizes = Sizes { width: 100, code: 32, units: if recipe == "conv" { 8 } else { 32 } };
        let record = |(place, &held_out_loss): (usize, &f64)| EpochRecord {
            epoch: place + 1,
            train_loss: 0.1,
            held_out_loss,
            seconds: 1.0,
            active_units: None,
            held_out_error_rate: None,
        };
        let history: Vec<EpochRecord> = held_out.iter().enumerate().map(record).collect();
        let training = Training { loss: 0.1, history: &history, steps: 5000 };
        verdict(
            &RecipeFile::open(recipe).unwrap().recipe().unwrap(),
            sizes,
            &evaluation,
            &baselines,
            training,
        )
    }

    #[test]
    fn names_what_went_wrong() {
        let none = |_: &mut Reconstruction| {};
        let alike = |found: &mut Reconstruction| found.output_variance = Some(0.001);
        let collapsed = say_more("sparse", 50.1, 32, (50.0, 10.0), alike, &[]);
        assert!(
            collapsed.contains("rebuilds every row alike")
                && collapsed.contains("the code has died: 32 of 32"),
            "{collapsed}"
        );
        assert!(collapsed.ends_with("lower sparsity.l1"), "{collapsed}");
        let tied = say("tied", 12.0, 0, (50.0, 10.0));
        assert!(
            tied.contains("a bounded tanh with a shared weight cannot give the code its scale back"),
            "{tied}"
        );
        let linear = say("linear", 10.5, 0, (50.0, 10.0));
        assert!(linear.contains("takes the mean away first"), "{linear}");
        let late = say_more("single", 8.0, 0, (50.0, 10.0), none, &[0.3, 0.1, 0.12]);
        assert!(late.contains("least after epoch 2") && late.contains("train.patience"), "{late}");
        let memorised = say_more("single", 8.0, 0, (50.0, 10.0), |found| found.loss = 0.2, &[0.3, 0.2]);
        assert!(
            memorised.contains("overfits: BCE 0.200 on held-out rows, 0.100 on training rows"),
            "{memorised}"
        );
        let falling = say_more("sparse", 50.1, 0, (50.0, 10.0), none, &[0.5, 0.4]);
        assert!(
            falling.ends_with("its loss was still falling; train longer, or lower sparsity.l1"),
            "{falling}"
        );
        let fine = say_more("single", 8.0, 0, (50.0, 10.0), |found| found.loss = 0.105, &[0.3, 0.105]);
        assert!(!fine.contains("overfits") && !fine.contains("least after"), "{fine}");
        let near = |found: &mut Reconstruction| (found.bce, found.bce_floor) = (Some(0.11), Some(0.1));
        assert!(
            say_more("single", 8.0, 0, (50.0, 10.0), near, &[]).contains("within 10 % of the least possible")
        );
    }

    #[test]
    fn says_what_a_reader_would() {
        assert!(say("single", 8.0, 0, (50.0, 10.0)).starts_with("better than PCA-32 by 20 %"));
        assert!(say("single", 12.0, 0, (50.0, 10.0)).starts_with("worse than PCA-32 by 20 %"));
        assert!(say("single", 30.0, 0, (50.0, 10.0)).starts_with("worse than PCA-32, 3.0 times its error"));
        assert!(
            say("single", 0.0234567, 0, (50.0, 0.1)).contains("squared error 0.0235 against 0.100 per row")
        );
        assert!(say("single", 10.02, 0, (50.0, 10.0)).starts_with("as good as PCA-32"));
        let dead = say("single", 12.0, 29, (50.0, 10.0));
        assert!(dead.contains("29 of 32 code units are dead"), "{dead}");
        let nothing = say("single", 49.9, 32, (50.0, 10.0));
        assert!(nothing.starts_with("learned nothing") && nothing.contains("32 of 32"), "{nothing}");
        assert!(say("sparse", 49.9, 32, (50.0, 10.0)).ends_with("lower sparsity.l1"));
        assert!(say("pca", 10.0, 0, (50.0, 10.0)).contains("keeps 80.0 % of the variance"));
        assert!(say("single", 0.0, 0, (0.0, 0.0)).contains("nothing to learn"));
        assert!(!say("single", 1.0, 0, (50.0, 0.0)).contains("NaN"));
        assert!(say("conv", 12.0, 3, (50.0, 10.0)).contains("3 of 8 code channels are dead"));
        assert!(
            say("denoising", 8.0, 0, (50.0, 10.0)).starts_with("on noisy rows better than PCA-7 by 20 %")
        );
    }
}
