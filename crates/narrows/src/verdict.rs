//! One plain sentence about a fit: what it is worth beside simpler methods, and what to do about it.

use crate::spec::Spec;
use crate::summary::{Baselines, Evaluation};

/// Errors closer than this share are called equal.
const EQUAL: f64 = 0.005;

/// A model that loses this share of what the constant mean loses has learned nothing.
const NOTHING: f64 = 0.97;

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

/// The sentence for a fit of `spec`.
pub fn verdict(spec: &Spec, sizes: Sizes, evaluation: &Evaluation, baselines: &Baselines) -> String {
    let Sizes { width, code: code_size, units } = sizes;
    let kept = evaluation.explained_variance * 100.0;
    let error = evaluation.squared_error_per_row;
    if baselines.mean <= 0.0 {
        return "every held-out row equals the mean of the training rows: there is nothing to learn".into();
    }
    let network = match spec {
        Spec::Pca(_) => {
            let size = if code_size < width { "" } else { ": all there are, so it does not compress" };
            return format!(
                "PCA-{code_size} keeps {kept:.1} % of the variance in {code_size} of {width} numbers{size}"
            );
        }
        Spec::Autoencoder(network) => network,
    };
    let dead = match evaluation.dead_units {
        0 => None,
        dead => {
            let what = if units == code_size { "code units" } else { "code channels" };
            Some(format!("{dead} of {units} {what} are dead (the same for every held-out row)"))
        }
    };
    let pca = format!("PCA-{}", baselines.pca_components.unwrap_or(code_size));
    let noisy = if network.is_shown_noise() { "on noisy rows " } else { "" };
    let mut parts = Vec::new();
    if !error.is_finite() || error >= NOTHING * baselines.mean {
        parts.push("learned nothing: no better than the constant mean".to_owned());
        parts.push(dead.unwrap_or_else(|| "the loss may not have begun to fall".to_owned()));
        parts.push(match network.sparsity {
            Some(_) => "lower sparsity.l1".to_owned(),
            None => "try another train.rate, more epochs, or another seed".to_owned(),
        });
        return parts.join("; ");
    }
    let change = (baselines.pca - error) / baselines.pca.max(f64::MIN_POSITIVE);
    let errors = format!("squared error {} against {} per row", figure(error), figure(baselines.pca));
    parts.push(if baselines.pca <= 1e-9 * baselines.mean {
        format!("keeps {kept:.1} % of the variance; {pca} loses nothing here, so a linear code is enough")
    } else if change > EQUAL {
        format!("{noisy}better than {pca} by {:.0} %: {errors}", change * 100.0)
    } else if change < -1.0 {
        format!("{noisy}worse than {pca}, {:.1} times its error: {errors}", 1.0 - change)
    } else if change < -EQUAL {
        format!("{noisy}worse than {pca} by {:.0} %: {errors}", -change * 100.0)
    } else {
        format!("{noisy}as good as {pca}: {errors}")
    });
    let worse = change < -EQUAL && baselines.pca > 1e-9 * baselines.mean;
    match dead {
        Some(dead) => parts.push(match network.sparsity {
            Some(sparsity) => format!("{dead}: lower {} to wake them", sparsity.names()),
            None => format!("{dead}: a smaller train.rate or another seed may wake them"),
        }),
        None if worse => parts.push(if network.train.epochs < 20 {
            "train longer, or use PCA".to_owned()
        } else {
            "a PCA gives more at the same size".to_owned()
        }),
        None => {}
    }
    if code_size >= width {
        parts.push(format!(
            "the code is not smaller than the row ({code_size} numbers for {width}): it does not compress"
        ));
    }
    parts.join("; ")
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
    use crate::recipe::Recipe;

    fn say(recipe: &str, error: f64, dead: usize, baselines: (f64, f64)) -> String {
        let evaluation = Evaluation {
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
        };
        let components = (recipe == "denoising").then_some(7);
        let baselines = Baselines {
            mean: baselines.0,
            pca: baselines.1,
            linear: baselines.1,
            pca_components: components,
        };
        let sizes = Sizes { width: 100, code: 32, units: if recipe == "conv" { 8 } else { 32 } };
        verdict(&Recipe::open(recipe).unwrap().spec().unwrap(), sizes, &evaluation, &baselines)
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
