//! One plain sentence about a classifier.

use crate::evaluation::verdict::FEW_STEPS;
use crate::model::metrics::ClassificationSummary;
use crate::progress::EpochRecord;
use crate::recipe::ClassifierRecipe;
use crate::train::best_epoch;

/// A held-out loss that has risen so far above its least is worth a word.
const RISEN: f64 = 1.15;

/// A classifier that is no better than this share of the commonest class' error has learned nothing.
const NOTHING: f64 = 0.97;

/// Told of a share: `1.28 %`.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

/// The sentence for a classifier that took so many steps on labels.
pub(crate) fn verdict(
    recipe: &ClassifierRecipe,
    summary: &ClassificationSummary,
    names: &[String],
    history: &[EpochRecord],
    steps: usize,
) -> String {
    let found = &summary.evaluation;
    if history.is_empty() {
        return "not trained on labels: the softmax layer is as it started".into();
    }
    let mut parts = Vec::new();
    // Rows of one class alone are told right by who always says that class: they cannot show what was learned.
    let one_class = summary.commonest_error == 0.0;
    let learned = one_class || found.error_rate < NOTHING * summary.commonest_error;
    let told: Vec<usize> =
        (0..names.len()).map(|class| found.confusion.iter().map(|row| row[class]).sum()).collect();
    let used = told.iter().filter(|&&count| count > 0).count();
    if !learned && used == 1 {
        let only = told.iter().position(|&count| count > 0).unwrap_or(0);
        parts.push(format!("learned nothing: it says `{}` of every row", names[only]));
    } else if !learned {
        parts.push(format!(
            "learned nothing: {} of the held-out rows are told wrong, and always saying the commonest class gets {} wrong",
            percent(found.error_rate),
            percent(summary.commonest_error)
        ));
    } else {
        let all = if summary.labelled_rows < summary.training_rows {
            format!(" from {} labelled rows of {}", summary.labelled_rows, summary.training_rows)
        } else {
            String::new()
        };
        let nearest = summary.nearest_mean_error;
        let beside = if one_class {
            "but they are all of one class, which says little: hold out rows of every class".to_owned()
        } else if found.error_rate < nearest || found.misclassified == 0 {
            format!("the nearest class mean gets {} wrong", percent(nearest))
        } else if found.error_rate > nearest {
            format!("worse than the nearest class mean, which gets {} wrong", percent(nearest))
        } else {
            "no better than the nearest class mean, which gets as many wrong".to_owned()
        };
        parts.push(format!(
            "{} of {} held-out rows are told wrong ({}){all}; {beside}",
            found.misclassified,
            found.rows,
            percent(found.error_rate)
        ));
    }
    let mut has_risen = false;
    if let (Some(best), Some(last)) = (best_epoch(history), history.last()) {
        if recipe.train.keeps_best() {
            parts.push(format!(
                "epoch {} was chosen by these held-out rows, so its figures flatter: judge it on rows of their own",
                best.epoch
            ));
        } else if found.misclassified > 0 && last.held_out_loss > RISEN * best.held_out_loss {
            has_risen = true;
            parts.push(format!(
                "the held-out loss was least in epoch {} and has risen since: it has become too sure of itself; fewer epochs, more dropout, or train.patience",
                best.epoch
            ));
        }
    }
    let is_weak = !learned || found.misclassified > 0 && found.error_rate >= summary.nearest_mean_error;
    // Who has become too sure of itself needs no more steps.
    if is_weak && !has_risen && steps > 0 && steps < FEW_STEPS {
        let epochs = (recipe.train.epochs * FEW_STEPS).div_ceil(steps);
        parts.push(format!(
            "{steps} steps of training are few: train.epochs = {epochs} makes them {FEW_STEPS}"
        ));
    } else if !learned {
        parts.push("try a smaller train.learning_rate, or scale = \"standard\"".to_owned());
    }
    parts.join("; ")
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
        assert!(stuck.starts_with("learned nothing: it says `a` of every row"), "{stuck}");
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
            !perfect.contains("no better") && !perfect.contains("few") && !perfect.contains("too sure"),
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
