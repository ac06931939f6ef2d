//! The verdict on a PCA or an autoencoder: a sentence that compares it with its baselines and says what to change.

use crate::model::metrics::{Baselines, Reconstruction};
use crate::progress::EpochRecord;
use crate::recipe::{AutoencoderRecipe, Function, Init, Recipe, Train};

/// Errors whose relative difference is smaller are called equal.
const EQUAL: f64 = 0.005;

/// A model has learned nothing if its error is above this fraction of the training mean's error.
const NOTHING: f64 = 0.97;

/// The outputs are called constant if their variance is below this fraction of the variance of the rows.
const ALIKE: f64 = 0.01;

/// A network overfits if its held-out loss is above this multiple of its training loss.
const OVERFITTED: f64 = 1.25;

/// The held-out loss is said to rise if it ends above this multiple of its minimum: it fluctuates by a few per cent.
const RISEN: f64 = 1.15;

/// The held-out loss is said to fall still if the last epoch took it below this fraction of the previous one.
const FALLING: f64 = 0.99;

/// With fewer optimizer steps, more training is likely to lower the loss.
pub(crate) const FEW_STEPS: usize = 3000;

/// With fewer optimizer steps, training has hardly begun.
const VERY_FEW_STEPS: usize = 300;

/// With fewer held-out rows, no unit is called dead: it may well differ for other rows.
const FEW_ROWS: usize = 10;

/// An error below this multiple of the training mean's error counts as equal to it.
const NEAR_MEAN: f64 = 1.1;

/// A BCE below this multiple of its floor is reported as close to it.
const NEAR_FLOOR: f64 = 1.25;

/// The sizes of a model that its verdict mentions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelSizes {
    /// Numbers in a row.
    pub width: usize,
    /// Numbers in a code.
    pub code: usize,
    /// Code units, counted as dead or alive: the numbers of a code, or the channels if it is an image.
    pub units: usize,
}

/// The outcome of training.
#[derive(Debug, Clone, Copy)]
pub struct TrainingOutcome<'a> {
    /// The loss on the training rows in the epoch whose parameters were kept.
    pub loss: f64,
    /// The losses, epoch by epoch.
    pub history: &'a [EpochRecord],
    /// Optimizer steps.
    pub steps: usize,
}

/// The verdict on a fit of `recipe`.
pub fn verdict(
    recipe: &Recipe,
    sizes: ModelSizes,
    evaluation: &Reconstruction,
    baselines: &Baselines,
    training: TrainingOutcome<'_>,
) -> String {
    if baselines.mean <= 0.0 {
        return "every held-out row equals the mean of the training rows: there is nothing to learn".into();
    }
    match recipe {
        Recipe::Pca(_) => verdict_on_pca(sizes, evaluation),
        Recipe::Classifier(_) => "a classifier is judged by the classes it tells".into(),
        Recipe::Autoencoder(recipe) => {
            let fit = AutoencoderOutcome { recipe, sizes, evaluation, baselines, training };
            if fit.has_learned() { fit.comparison() } else { fit.diagnosis() }.join("; ")
        }
    }
}

/// A clause on a comparison that so few held-out rows cannot carry; None for more.
pub(crate) fn few_rows_clause(rows: usize) -> Option<String> {
    let rows_text = if rows == 1 { "1 held-out row".to_owned() } else { format!("{rows} held-out rows") };
    (rows < FEW_ROWS).then(|| format!("judged by {rows_text} alone, too few to tell"))
}

fn verdict_on_pca(ModelSizes { width, code, .. }: ModelSizes, evaluation: &Reconstruction) -> String {
    if evaluation.explained_variance == 0.0
        && evaluation.squared_error_per_row < NOTHING * evaluation.mean_squared_error_per_row
    {
        return "the held-out rows differ from the mean of the training rows by rounding only: there is nothing to learn".into();
    }
    let kept = evaluation.explained_variance * 100.0;
    let size = if code < width { "" } else { ": all there are, so it does not compress" };
    format!("PCA-{code} keeps {kept:.1} % of the variance in {code} of {width} numbers{size}")
}

/// All that the verdict on an autoencoder depends on.
struct AutoencoderOutcome<'a> {
    recipe: &'a AutoencoderRecipe,
    sizes: ModelSizes,
    evaluation: &'a Reconstruction,
    baselines: &'a Baselines,
    training: TrainingOutcome<'a>,
}

/// Statistics.
impl AutoencoderOutcome<'_> {
    /// Whether the error is clearly below that of the training mean.
    fn has_learned(&self) -> bool {
        let error = self.evaluation.squared_error_per_row;
        error.is_finite() && error < NOTHING * self.baselines.mean
    }

    /// Whether all rows have the same reconstruction.
    fn is_collapsed(&self) -> bool {
        self.evaluation.rows >= FEW_ROWS
            && self.evaluation.output_variance.is_some_and(|variance| variance < ALIKE * self.baselines.mean)
    }

    /// The relative decrease of the squared error from the PCA to the network; negative for a network worse than the PCA.
    fn gain_on_pca(&self) -> f64 {
        let pca = self.baselines.pca;
        (pca - self.evaluation.squared_error_per_row) / pca.max(f64::MIN_POSITIVE)
    }

    fn is_pca_exact(&self) -> bool {
        self.baselines.pca <= 1e-9 * self.baselines.mean
    }

    fn dead_units(&self) -> usize {
        if self.evaluation.rows < FEW_ROWS { 0 } else { self.evaluation.dead_units }
    }

    fn is_still_falling(&self) -> bool {
        match self.training.history {
            [.., before, last] => last.held_out_loss < FALLING * before.held_out_loss,
            _ => false,
        }
    }

    fn is_closed_form(&self) -> bool {
        self.recipe.weights.init == Init::ClosedForm && self.training.history.is_empty()
    }

    /// The activation of the code if it is bounded and the weights are tied: the decoder cannot scale such a code up again.
    fn bounded_and_tied(&self) -> Option<&'static str> {
        let function = self.recipe.code_function()?;
        let bounded = matches!(function, Function::Tanh | Function::Sigmoid);
        (bounded && self.recipe.is_tied()).then(|| function.name())
    }

    /// The epoch with the lowest held-out loss, if the loss has risen since and the last parameters were kept. Only the part
    /// of a BCE above its floor counts.
    fn epoch_before_rise(&self) -> Option<usize> {
        let floor = self.evaluation.bce_floor.unwrap_or(0.0);
        let history = self.training.history;
        let best = history.iter().min_by(|a, b| a.held_out_loss.total_cmp(&b.held_out_loss))?;
        let has_risen = history.last()?.held_out_loss - floor > RISEN * (best.held_out_loss - floor);
        (!self.recipe.train.keeps_best() && has_risen).then_some(best.epoch)
    }

    /// Whether the held-out loss is far above the training loss. Only the part of a BCE above its floor counts.
    fn is_overfitted(&self) -> bool {
        let floor = self.evaluation.bce_floor.unwrap_or(0.0);
        let (held_out, training) = (self.evaluation.loss - floor, self.training.loss - floor);
        !self.training.history.is_empty() && training > 0.0 && held_out > OVERFITTED * training
    }
}

/// Sentences.
impl AutoencoderOutcome<'_> {
    /// The verdict on a network that is no better than the training mean: symptom, state, advice.
    fn diagnosis(&self) -> Vec<String> {
        let is_falling = self.is_still_falling();
        let state = match self.dead() {
            Some(dead) if self.is_collapsed() || self.evaluation.dead_units == self.sizes.units => {
                format!("the code has died: {dead}")
            }
            Some(dead) => dead,
            None if is_falling => "its loss was still falling".to_owned(),
            None => "the loss may not have begun to fall".to_owned(),
        };
        let advice = self.advice();
        vec![
            self.symptom().to_owned(),
            state,
            if is_falling { format!("train longer, or {advice}") } else { advice },
        ]
    }

    fn symptom(&self) -> &'static str {
        let is_near_mean = self.evaluation.squared_error_per_row < NEAR_MEAN * self.baselines.mean;
        if self.is_collapsed() && is_near_mean {
            "learned nothing: it rebuilds every row alike, as the constant mean would"
        } else if self.is_collapsed() {
            "learned nothing: it rebuilds every row alike"
        } else if self.evaluation.squared_error_per_row > NEAR_MEAN * self.baselines.mean {
            "learned nothing: worse than the constant mean"
        } else {
            "learned nothing: no better than the constant mean"
        }
    }

    /// Advice for a recipe whose network learned nothing; the likeliest reason comes first.
    fn advice(&self) -> String {
        let TrainingOutcome { steps, history, .. } = self.training;
        let Train { epochs, updates, patience, .. } = self.recipe.train;
        let is_early = updates.map_or(history.len() < epochs, |updates| steps < updates);
        if patience.is_some() && is_early {
            return "raise train.patience, or lower train.min_delta".to_owned();
        }
        if !history.is_empty() && steps < VERY_FEW_STEPS {
            let steps = counted(steps, "step");
            return format!("{steps} of training are few: more epochs, or a smaller train.batch_size");
        }
        if let Some(sparsity) = self.recipe.sparsity {
            return format!("lower {}", sparsity.names());
        }
        if self.recipe.weights.l2.is_some() || self.recipe.weights.elimination.is_some() {
            return "lower what the weights pay (weights.l2, weights.elimination)".to_owned();
        }
        "try another train.learning_rate, more epochs, or another seed".to_owned()
    }

    /// The verdict on a network that learned something: a comparison with the PCA, then problems and what to change.
    fn comparison(&self) -> Vec<String> {
        let ModelSizes { width, code, .. } = self.sizes;
        let is_worse = self.gain_on_pca() < -EQUAL && !self.is_pca_exact();
        let mut parts = vec![self.beside_pca()];
        match self.dead() {
            Some(dead) => parts.push(self.dead_with_advice(dead)),
            None if is_worse => parts.push(self.reason_for_worse()),
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

    fn beside_pca(&self) -> String {
        let (error, of_pca) = (self.evaluation.squared_error_per_row, self.baselines.pca);
        let pca = format!("PCA-{}", self.baselines.pca_components.unwrap_or(self.sizes.code));
        let noisy = if self.recipe.is_shown_noise() { "on noisy rows " } else { "" };
        let errors = format!("squared error {} against {} per row", rounded(error), rounded(of_pca));
        let gain = self.gain_on_pca();
        let sentence = if self.is_pca_exact() {
            let kept = self.evaluation.explained_variance * 100.0;
            format!("keeps {kept:.1} % of the variance; {pca} loses nothing here, so a linear code is enough")
        } else if gain > EQUAL {
            format!("{noisy}better than {pca} by {:.0} %: {errors}", gain * 100.0)
        } else if gain < -1.0 {
            format!("{noisy}worse than {pca}, {:.1} times its error: {errors}", 1.0 - gain)
        } else if gain < -EQUAL {
            format!("{noisy}worse than {pca} by {:.0} %: {errors}", -gain * 100.0)
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

    /// The number of dead units, if there are any.
    fn dead(&self) -> Option<String> {
        let ModelSizes { code, units, .. } = self.sizes;
        let dead = self.dead_units();
        let what = if units == code { "code units" } else { "code channels" };
        (dead > 0).then(|| format!("{dead} of {units} {what} are dead (the same for every held-out row)"))
    }

    fn dead_with_advice(&self, dead: String) -> String {
        match self.recipe.sparsity {
            _ if self.is_closed_form() => dead,
            Some(sparsity) => format!("{dead}: lower {} to wake them", sparsity.names()),
            None => format!("{dead}: a smaller train.learning_rate or another seed may wake them"),
        }
    }

    /// The likeliest reason for an error above that of the PCA, with advice.
    fn reason_for_worse(&self) -> String {
        if self.is_closed_form() {
            return "a PCA takes the mean away first, and this does not".to_owned();
        }
        if let Some(names) = self.recipe.sparsity.map(|sparsity| sparsity.names()) {
            return format!("the code may pay too much for being active: lower {names}");
        }
        if let Some(function) = self.bounded_and_tied() {
            return format!("a bounded {function} with a shared weight cannot give the code its scale back");
        }
        if self.training.steps < FEW_STEPS {
            let steps = counted(self.training.steps, "step");
            return format!("it took {steps} of training, which is few: more epochs, or a PCA");
        }
        match self.baselines.pca_components {
            Some(components) => format!("a PCA with {components} components gives more"),
            None => "a PCA gives more at the same size".to_owned(),
        }
    }

    fn overfitting(&self) -> Option<String> {
        // The ratio of two losses close to 0 means little.
        if self.evaluation.squared_error_per_row < 1e-4 * self.baselines.mean {
            return None;
        }
        if let Some(epoch) = self.epoch_before_rise() {
            return Some(format!(
                "the held-out loss was least after epoch {epoch} and has risen since: train.patience keeps the best"
            ));
        }
        self.is_overfitted().then(|| {
            format!(
                "overfits: {} {} on held-out rows, {} on training rows; dropout, weights.l2 or more rows help",
                self.recipe.loss.title(),
                rounded(self.evaluation.loss),
                rounded(self.training.loss)
            )
        })
    }
}

/// `1 step`, `2 steps`.
fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Two decimals, or three significant digits for a number below 1.
fn rounded(value: f64) -> String {
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
        let sizes = ModelSizes { width: 100, code: 32, units: if recipe == "conv" { 8 } else { 32 } };
        let record = |(place, &held_out_loss): (usize, &f64)| EpochRecord {
            epoch: place + 1,
            train_loss: 0.1,
            held_out_loss,
            seconds: 1.0,
            active_units: None,
            held_out_error_rate: None,
        };
        let history: Vec<EpochRecord> = held_out.iter().enumerate().map(record).collect();
        let training = TrainingOutcome { loss: 0.1, history: &history, steps: 5000 };
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
