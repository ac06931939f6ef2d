//! The verdict on a classifier: a sentence that compares it with its baselines and says what to change.

use crate::base::text::percent;
use crate::evaluation::verdict::FEW_STEPS;
use crate::model::metrics::ClassificationSummary;
use crate::progress::EpochRecord;
use crate::recipe::ClassifierRecipe;
use crate::train::best_epoch;

/// The held-out loss is said to rise if it ends above this multiple of its minimum: it fluctuates by a few per cent.
const RISEN: f64 = 1.15;

/// A classifier has learned nothing if its error rate is above this fraction of that of the commonest class.
const NOTHING: f64 = 0.97;

/// The verdict on a classifier that was trained on labels for `steps` optimizer steps.
pub(crate) fn verdict(
    recipe: &ClassifierRecipe,
    summary: &ClassificationSummary,
    names: &[String],
    history: &[EpochRecord],
    steps: usize,
) -> String {
    if history.is_empty() {
        return "not trained on labels: the softmax layer is as it started".into();
    }
    let fit = ClassifierOutcome { recipe, summary, history, steps };
    let mut parts = vec![if fit.has_learned() { fit.error_rate() } else { fit.nothing_learned(names) }];
    parts.extend(fit.choice_of_epoch());
    parts.extend(fit.advice());
    parts.join("; ")
}

/// All that the verdict on a classifier depends on.
struct ClassifierOutcome<'a> {
    recipe: &'a ClassifierRecipe,
    summary: &'a ClassificationSummary,
    history: &'a [EpochRecord],
    steps: usize,
}

/// Statistics.
impl ClassifierOutcome<'_> {
    /// Whether all held-out rows belong to the commonest class: they cannot show what was learned.
    fn has_one_class(&self) -> bool {
        self.summary.commonest_error == 0.0
    }

    /// Whether the error rate is clearly below that of always predicting the commonest class.
    fn has_learned(&self) -> bool {
        self.has_one_class() || self.summary.evaluation.error_rate < NOTHING * self.summary.commonest_error
    }

    /// The class that is predicted for every row, if there is one.
    fn only_prediction(&self) -> Option<usize> {
        let confusion = &self.summary.evaluation.confusion;
        let is_predicted = |class: &usize| confusion.iter().any(|row| row[*class] > 0);
        let mut predicted = (0..confusion.len()).filter(is_predicted);
        predicted.next().filter(|_| predicted.next().is_none())
    }

    /// The epoch with the lowest held-out loss, if the loss has risen since and the last parameters were kept. Without
    /// misclassified rows a risen loss does no harm.
    fn epoch_before_rise(&self) -> Option<usize> {
        let (best, last) = (best_epoch(self.history)?, self.history.last()?);
        let has_risen = last.held_out_loss > RISEN * best.held_out_loss;
        (!self.recipe.train.keeps_best() && self.summary.evaluation.misclassified > 0 && has_risen)
            .then_some(best.epoch)
    }

    /// Whether the classifier is no better than its baselines.
    fn is_weak(&self) -> bool {
        let metrics = &self.summary.evaluation;
        let is_beaten = metrics.misclassified > 0 && metrics.error_rate >= self.summary.nearest_mean_error;
        !self.has_learned() || is_beaten
    }
}

/// Sentences.
impl ClassifierOutcome<'_> {
    fn nothing_learned(&self, names: &[String]) -> String {
        match self.only_prediction() {
            Some(class) => format!("learned nothing: it predicts `{}` for every row", names[class]),
            None => format!(
                "learned nothing: {} of the held-out rows are misclassified, and always saying the commonest class gets {} wrong",
                percent(self.summary.evaluation.error_rate),
                percent(self.summary.commonest_error)
            ),
        }
    }

    /// The error rate beside that of the nearest class mean.
    fn error_rate(&self) -> String {
        let (summary, metrics) = (self.summary, &self.summary.evaluation);
        let from = if summary.labelled_rows < summary.training_rows {
            format!(" from {} labelled rows of {}", summary.labelled_rows, summary.training_rows)
        } else {
            String::new()
        };
        let nearest = summary.nearest_mean_error;
        let beside = if self.has_one_class() {
            "but they are all of one class, which says little: hold out rows of every class".to_owned()
        } else if metrics.error_rate < nearest || metrics.misclassified == 0 {
            format!("the nearest class mean gets {} wrong", percent(nearest))
        } else if metrics.error_rate > nearest {
            format!("worse than the nearest class mean, which gets {} wrong", percent(nearest))
        } else {
            "no better than the nearest class mean, which gets as many wrong".to_owned()
        };
        format!(
            "{} of {} held-out rows are misclassified ({}){from}; {beside}",
            metrics.misclassified,
            metrics.rows,
            percent(metrics.error_rate)
        )
    }

    fn choice_of_epoch(&self) -> Option<String> {
        if self.recipe.train.keeps_best() {
            return Some(format!(
                "epoch {} was chosen by these held-out rows, so its metrics are optimistic: evaluate it on other rows",
                best_epoch(self.history)?.epoch
            ));
        }
        self.epoch_before_rise().map(|epoch| {
            format!(
                "the held-out loss was least in epoch {epoch} and has risen since (overfitting): fewer epochs, more dropout, or train.patience"
            )
        })
    }

    fn advice(&self) -> Option<String> {
        // An overconfident network does not need more steps.
        let needs_steps = self.is_weak() && self.epoch_before_rise().is_none();
        let Self { steps, .. } = *self;
        if needs_steps && steps > 0 && steps < FEW_STEPS {
            let epochs = (self.recipe.train.epochs * FEW_STEPS).div_ceil(steps);
            return Some(format!(
                "{steps} steps of training are few: train.epochs = {epochs} makes them {FEW_STEPS}"
            ));
        }
        (!self.has_learned()).then(|| "try a smaller train.learning_rate, or scale = \"standard\"".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::metrics::Classification;
    use crate::recipe::Recipe;
    use crate::recipe::RecipeFile;

    /// The verdict of a network of two classes that was trained in `steps` steps, with the held-out losses of its epochs.
    fn of(confusion: [[usize; 2]; 2], commonest: f64, nearest: f64, losses: &[f64], steps: usize) -> String {
        let Recipe::Classifier(recipe) = RecipeFile::open("classifier").unwrap().recipe().unwrap() else {
            panic!()
        };
        let summary = ClassificationSummary {
            training_rows: 100,
            labelled_rows: 100,
            epochs: losses.len(),
            train_loss: 0.1,
            evaluation: Classification::new(confusion.map(Vec::from).into(), 0.1),
            commonest_error: commonest,
            nearest_mean_error: nearest,
            verdict: String::new(),
        };
        let record = |(epoch, &held_out_loss): (usize, &f64)| EpochRecord {
            epoch,
            train_loss: 0.1,
            held_out_loss,
            seconds: 0.0,
            active_units: None,
            held_out_error_rate: None,
        };
        let history: Vec<EpochRecord> = (1..).zip(losses).map(record).collect();
        verdict(&recipe, &summary, &["a".into(), "b".into()], &history, steps)
    }

    #[test]
    fn rows_of_one_class_show_nothing() {
        let right = of([[20, 0], [0, 0]], 0.0, 0.0, &[0.2, 0.1], 50);
        assert!(right.starts_with("0 of 20") && right.contains("all of one class"), "{right}");
        assert!(!right.contains("learned nothing") && !right.contains("few"), "{right}");
        let stuck = of([[10, 0], [8, 0]], 8.0 / 18.0, 0.1, &[0.2, 0.1], 50);
        assert!(stuck.starts_with("learned nothing: it predicts `a` for every row"), "{stuck}");
    }

    #[test]
    fn it_is_said_who_is_better_than_the_nearest_mean_and_who_is_not() {
        let beside = |wrong: usize, nearest| of([[10 - wrong, wrong], [0, 10]], 0.5, nearest, &[0.1], 5000);
        assert!(beside(2, 0.2).contains("the nearest class mean gets 20.00 % wrong"), "{}", beside(2, 0.2));
        assert!(beside(1, 0.1).contains("the nearest class mean gets 10.00 % wrong"), "{}", beside(1, 0.1));
        let as_many = of([[8, 2], [0, 10]], 0.5, 0.1, &[0.1], 5000);
        assert!(as_many.contains("no better than the nearest class mean"), "{as_many}");
        let worse = of([[8, 2], [0, 10]], 0.5, 0.0, &[0.1], 5000);
        assert!(worse.contains("worse than the nearest class mean, which gets 0.00 % wrong"), "{worse}");
        let perfect = of([[10, 0], [0, 10]], 0.5, 0.0, &[0.1, 0.2], 50);
        assert!(
            !perfect.contains("no better") && !perfect.contains("few") && !perfect.contains("overfitting"),
            "{perfect}"
        );
    }

    #[test]
    fn more_epochs_and_fewer_are_never_advised_together() {
        let weak = [[5, 5], [4, 6]];
        let few = of(weak, 0.5, 0.1, &[0.3, 0.2], 200);
        assert!(few.contains("200 steps of training are few") && !few.contains("fewer epochs"), "{few}");
        let risen = of(weak, 0.5, 0.1, &[0.2, 0.9], 200);
        assert!(risen.contains("fewer epochs") && !risen.contains("are few"), "{risen}");
    }
}
