//! The page of a comparison of recipes on the same rows.

use narrows::Dataset;
use narrows::base::text::short_text;
use narrows::experiments::compare::{Comparison, Measure, Method};
use narrows::progress::EpochRecord;
use narrows::recipe::{Recipe, to_toml};

use crate::draw::{Figure, bars, curves, pictures};
use crate::html::{Document, HtmlCell, NUMBER, escape};
use crate::page::Page;

/// The metrics of the first table: costs and losses.
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

/// The metrics of the second table: the quality of codes.
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

/// The page of a comparison.
///
/// Files beside the page, as far as there is something to show: `reconstructions`, `errors`, `sweep`, `loss-bce`,
/// `loss-mse`, `loss`.
pub fn comparison_page(comparison: &Comparison, training: &Dataset<'_>, held_out: &Dataset<'_>) -> Page {
    let fitted: Vec<&Method> = comparison.methods.iter().filter(|method| !method.fits.is_empty()).collect();
    let names: Vec<&str> = fitted.iter().map(|method| &*method.name).collect();
    let title = format!("{} on {}", names.join(", "), training.name);
    let mut page = Document::new("Narrows comparison", &title, &comparison.verdict);
    table(&mut page, "Errors", comparison, &LOSSES, LOSSES_CAPTION);
    table(&mut page, "Codes", comparison, &CODES, CODES_CAPTION);
    notes(&mut page, &comparison.remarks());
    page.figure(errors(&fitted));
    page.figure(comparison.code_size_curves.as_ref().and_then(|curves| curves::code_sizes(&curves.curves)));
    losses(&fitted).into_iter().for_each(|figure| page.figure(figure));
    reconstructions(&mut page, comparison, &fitted);
    page.facts(&facts(comparison, &fitted, training, held_out));
    for method in &fitted {
        page.recipe(&method.name, &to_toml(&method.recipe));
    }
    page.finish()
}

/// Writes the table of some metrics, with the best of each column in bold.
fn table(page: &mut Document, heading: &str, comparison: &Comparison, which: &[Measure], caption: &str) {
    let (header, rows) = comparison.table(which);
    if rows.is_empty() {
        return;
    }
    let class = |column: usize, best: bool| match (column, best) {
        (0, _) => "",
        (_, true) => " class=\"number best\"",
        (_, false) => NUMBER,
    };
    let header: Vec<HtmlCell> =
        header.into_iter().enumerate().map(|(column, name)| (class(column, false), name)).collect();
    let rows: Vec<Vec<HtmlCell>> = rows
        .into_iter()
        .map(|row| {
            let cells = row.into_iter().enumerate();
            cells.map(|(column, cell)| (class(column, cell.best), cell.text)).collect()
        })
        .collect();
    page.section(heading, |section| {
        section.wide_table(&header, &rows);
        section.put(format_args!("<figcaption>{}</figcaption>\n", escape(caption)));
    });
}

fn notes(page: &mut Document, notes: &[String]) {
    if notes.is_empty() {
        return;
    }
    page.section("Notes", |section| {
        section.put(format_args!("<ul class=\"notes\">\n"));
        for note in notes {
            section.put(format_args!("<li>{}</li>\n", escape(note)));
        }
        section.put(format_args!("</ul>\n"));
    });
}

/// The squared error of each recipe, above that of the PCA with its code size.
fn errors(fitted: &[&Method]) -> Option<Figure> {
    let mean = |method: &Method, measure| method.spread(measure).map_or(f64::NAN, |spread| spread.mean);
    let errors: Vec<_> = fitted
        .iter()
        .map(|method| {
            let is_network = matches!(method.recipe, Recipe::Autoencoder(_));
            let pca = format!("PCA-{}", method.fits[0].pca_components);
            let pca = is_network.then(|| (pca, mean(method, Measure::PcaSquaredError)));
            (method.name.clone(), mean(method, Measure::SquaredError), pca)
        })
        .collect();
    bars::beside_pca(&errors)
}

/// A chart for each loss function, in the order of the recipes.
fn losses(fitted: &[&Method]) -> Vec<Figure> {
    let mut names: Vec<&str> = Vec::new();
    let trained = || fitted.iter().filter(|method| !method.history.is_empty());
    for method in trained() {
        if !names.contains(&method.loss_name) {
            names.push(method.loss_name);
        }
    }
    let chart = |name: &str| {
        let methods: Vec<&&Method> = trained().filter(|method| method.loss_name == name).collect();
        let curves: Vec<(&str, &[EpochRecord])> =
            methods.iter().map(|method| (&*method.name, &method.history[..])).collect();
        curves::losses(name, methods[0].loss_floor, &curves)
    };
    names.into_iter().filter_map(chart).collect()
}

/// Writes the first held-out images above their reconstructions by each recipe: on the page each strip beside its name, in
/// the file all in one picture.
fn reconstructions(page: &mut Document, comparison: &Comparison, fitted: &[&Method]) {
    let shape = comparison.shape;
    let mut strips = vec![("original", &comparison.examples[..])];
    strips.extend(fitted.iter().map(|method| (&*method.name, &method.reconstructions[..])));
    strips.retain(|(_, images)| !images.is_empty());
    let images: Vec<&[f32]> = strips.iter().map(|(_, images)| *images).collect();
    let columns = pictures::columns(shape, &images);
    if columns == 0 || shape.len() == 0 || !shape.is_image() {
        return;
    }
    let caption = "The first held-out images, and below them what each recipe rebuilds. Fixed scale: 0 is black, 1 is \
                   white; values outside are clipped.";
    let strip = |(name, images)| (short_text(name, 24), pictures::strips(shape, &[images], columns));
    page.strips("Reconstructions", caption, strips.into_iter().map(strip).collect());
    page.add_file("reconstructions.png".to_owned(), pictures::strips(shape, &images, columns).0);
}

/// The numbers of the page.
fn facts(
    comparison: &Comparison,
    fitted: &[&Method],
    training: &Dataset<'_>,
    held_out: &Dataset<'_>,
) -> Vec<(String, String)> {
    let (shape, scale) = (comparison.shape, &comparison.scale);
    let mut facts = Vec::new();
    let mut add = |name: &str, value: String| facts.push((name.to_owned(), value));
    add("Training rows", format!("{} ({})", training.rows.rows(), training.name));
    add("Held-out rows", format!("{} ({})", held_out.rows.rows(), held_out.name));
    add("Row", format!("{} numbers ({shape})", shape.len()));
    add("Scaling, for all", format!("{}: {}", scale.scale.name(), scale.reason));
    if let Some(size) = comparison.code_size {
        add("Code, for all that can choose", format!("{size} numbers"));
    }
    let most = fitted.iter().map(|method| method.fits.len()).max().unwrap_or(0);
    if most > 1 {
        add("Fits of each network", format!("{most}, with other seeds"));
    }
    if let Some(neighbours) = fitted.iter().find_map(|method| method.fits[0].neighbours) {
        add("Neighbours compared", neighbours.to_string());
    }
    facts
}
