//! What a comparison puts into its report.

use std::path::{Path, PathBuf};

use crate::{ComparedError, ComparedLosses, Strips, SweepCurve, write_comparison};
use narrows::data::Dataset;
use narrows::data::scaling::scale_name;
use narrows::error::Result;
use narrows::experiments::compare::{Comparison, Measure, Method};
use narrows::recipe::Recipe;
use narrows::recipe::to_toml;

/// What a recipe costs and loses.
const LOSSES: [Measure; 7] = [
    Measure::CodeSize,
    Measure::Parameters,
    Measure::Seconds,
    Measure::Loss,
    Measure::SquaredError,
    Measure::PcaSquaredError,
    Measure::ExplainedVariance,
];
const LOSSES_CAPTION: &str = "Bold: the best of its column. Errors are those on the held-out rows, after the one scaling; \
    \"of PCA\": what PCA loses with a code of the same size. Losses can be compared only where they are the same function. \
    \"±\": the standard deviation over seeds.";

/// What its codes are worth.
const CODES: [Measure; 6] = [
    Measure::DeadUnits,
    Measure::MeanActivity,
    Measure::NearestNeighbour,
    Measure::LinearProbe,
    Measure::Trustworthiness,
    Measure::Continuity,
];
const CODES_CAPTION: &str = "Dead units say the same of every held-out row; activity is the mean size of a code's numbers. \
    1-NN and probe: the share of held-out rows whose class is found from their codes, by the nearest training row and by a \
    linear classifier. Trust and continuity: whether neighbours among codes are neighbours among rows, and the other \
    way round; 1 is best.";

/// Writes the report of a comparison into a folder. Answers the paths written, the page first.
pub fn write_report(
    directory: &Path,
    comparison: &Comparison,
    training: &Dataset,
    held_out: &Dataset,
) -> Result<Vec<PathBuf>> {
    let fitted: Vec<&Method> = comparison.methods.iter().filter(|method| !method.fits.is_empty()).collect();
    let names: Vec<&str> = fitted.iter().map(|method| &*method.recipe).collect();
    let tables = [("Errors", &LOSSES[..], LOSSES_CAPTION), ("Codes", &CODES, CODES_CAPTION)].map(
        |(heading, which, caption)| {
            let (header, rows) = comparison.table(which);
            crate::Table { heading, header, rows, caption }
        },
    );
    let mean = |method: &Method, measure| method.spread(measure).map_or(f64::NAN, |spread| spread.mean);
    let errors: Vec<ComparedError> = fitted
        .iter()
        .map(|method| {
            let pca = format!("PCA-{}", method.fits[0].pca_components);
            let is_network = matches!(method.recipe, Recipe::Autoencoder(_));
            ComparedError {
                recipe: method.recipe.clone(),
                error: mean(method, Measure::SquaredError),
                pca: is_network.then(|| (pca, mean(method, Measure::PcaSquaredError))),
            }
        })
        .collect();
    // One chart for each loss, in the order in which they come.
    let mut losses: Vec<ComparedLosses> = Vec::new();
    for method in fitted.iter().filter(|method| !method.history.is_empty()) {
        let curve = (&*method.recipe, &method.history[..]);
        match losses.iter_mut().find(|losses| losses.name == method.loss_name) {
            Some(losses) => losses.curves.push(curve),
            None => losses.push(ComparedLosses {
                name: method.loss_name,
                floor: method.loss_floor,
                curves: vec![curve],
            }),
        }
    }
    let (shape, originals) = (&comparison.shape, &comparison.examples);
    let sweep: Vec<SweepCurve> = comparison
        .code_size_curves
        .iter()
        .flat_map(|sweep| &sweep.curves)
        .map(|curve| SweepCurve {
            name: if curve.recipe == "pca" { "PCA".into() } else { curve.recipe.clone() },
            points: curve.points.iter().map(|point| (point.code_size, point.squared_error_per_row)).collect(),
            elbow: curve.elbow,
        })
        .collect();
    let mut facts = vec![
        ("Training rows".to_owned(), format!("{} ({})", training.rows.rows(), training.name)),
        ("Held-out rows".to_owned(), format!("{} ({})", held_out.rows.rows(), held_out.name)),
        ("Row".to_owned(), format!("{} numbers ({shape})", shape.len())),
        (
            "Scaling, for all".to_owned(),
            format!("{}: {}", scale_name(comparison.scale.scale), comparison.scale.reason),
        ),
    ];
    if let Some(size) = comparison.code_size {
        facts.push(("Code, for all that can choose".to_owned(), format!("{size} numbers")));
    }
    let most = fitted.iter().map(|method| method.fits.len()).max().unwrap_or(0);
    if most > 1 {
        facts.push(("Fits of each network".to_owned(), format!("{most}, with other seeds")));
    }
    if let Some(neighbours) = fitted.iter().find_map(|method| method.fits[0].neighbours) {
        facts.push(("Neighbours compared".to_owned(), neighbours.to_string()));
    }
    let recipes: Vec<(String, String)> =
        fitted.iter().map(|method| (method.recipe.clone(), to_toml(&method.recipe))).collect();
    let contents = crate::Comparison {
        title: &format!("{} on {}", names.join(", "), training.name),
        verdict: &comparison.verdict,
        facts: &facts,
        tables: &tables,
        notes: &comparison.remarks(),
        errors: &errors,
        losses: &losses,
        strips: shape.is_image().then(|| Strips {
            shape: *shape,
            originals,
            rebuilt: fitted.iter().map(|method| (&*method.recipe, &method.reconstructions[..])).collect(),
        }),
        sweep: &sweep,
        recipes: &recipes,
    };
    write_comparison(directory, &contents)
}
