//! The page of a comparison: several recipes on the same rows.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kuva::TickFormat;
use kuva::plot::legend::{LegendPosition, LegendShape};
use kuva::plot::line::LinePlot;
use kuva::plot::scatter::{MarkerShape, ScatterPlot};
use kuva::render::plots::Plot;

use super::charts::{
    COLOURS, DOTTED_EPOCHS, MUTED, drawable, entry, figure, finish, frame, span, whole_step, widened,
};
use super::page::{END, escape, facts, head, put, recipe};
use super::{Figure, bars, page, pictures, write_files};
use narrows::base::text::{figure_text, short_text};
use narrows::data::Shape;
use narrows::error::Result;
use narrows::experiments::compare::Cell;
use narrows::progress::EpochRecord;

/// Everything that the page of a comparison says. Empty slices and `None` leave their part out.
#[derive(Debug, Clone)]
pub struct Comparison<'a> {
    /// What was compared on what.
    pub title: &'a str,
    /// One plain sentence.
    pub verdict: &'a str,
    /// Metrics by name, in the order they are shown.
    pub facts: &'a [(String, String)],
    /// The figures.
    pub tables: &'a [Table<'a>],
    /// What a reader should know beside the figures.
    pub notes: &'a [String],
    /// Squared errors, each beside that of PCA.
    pub errors: &'a [ComparedError],
    /// Losses by epoch: one chart for all recipes with the same loss.
    pub losses: &'a [ComparedLosses<'a>],
    /// A few images and what each recipe made of them.
    pub strips: Option<Strips<'a>>,
    /// Errors by code size; the first curve is the one the others are measured by.
    pub sweep: &'a [SweepCurve],
    /// Recipes by name, as TOML.
    pub recipes: &'a [(String, String)],
}

/// Metrics by recipe.
#[derive(Debug, Clone)]
pub struct Table<'a> {
    /// What it is about.
    pub heading: &'a str,
    /// The heads of its columns; the first has names, the others numbers.
    pub header: Vec<String>,
    /// Its rows.
    pub rows: Vec<Vec<Cell>>,
    /// Below it: what its columns mean.
    pub caption: &'a str,
}

/// The squared error of a recipe, and of PCA with a code of the same size.
#[derive(Debug, Clone)]
pub struct ComparedError {
    /// Which recipe.
    pub recipe: String,
    /// Its squared error per row.
    pub error: f64,
    /// What PCA is called, and its error; none where the recipe is a PCA.
    pub pca: Option<(String, f64)>,
}

/// The losses of recipes that share a loss.
#[derive(Debug, Clone)]
pub struct ComparedLosses<'a> {
    /// What the loss is called: `BCE`.
    pub name: &'a str,
    /// The lowest value it can take on these data.
    pub floor: Option<f64>,
    /// Recipes with their losses, epoch by epoch.
    pub curves: Vec<(&'a str, &'a [EpochRecord])>,
}

/// Images above what recipes made of them. The slices hold whole images of `shape.len()` numbers.
#[derive(Debug, Clone)]
pub struct Strips<'a> {
    /// The shape of each image.
    pub shape: Shape,
    /// The images as they are; 0 is black and 1 is white.
    pub originals: &'a [f32],
    /// Recipes with what they made of them.
    pub rebuilt: Vec<(&'a str, &'a [f32])>,
}

/// Errors by code size.
#[derive(Debug, Clone)]
pub struct SweepCurve {
    /// Whose.
    pub name: String,
    /// Code sizes and squared errors per row.
    pub points: Vec<(usize, f64)>,
    /// The code size at the elbow.
    pub elbow: Option<usize>,
}

/// Writes the page of a comparison into `directory`, made where it is missing, and answers the paths written,
/// `report.html` first. Beside the page: `reconstructions`, `errors`, `loss...` and `sweep`, each as `.png` and, where it
/// is a chart, as `.svg`. A part with nothing to show writes no file.
pub fn write_comparison(directory: &Path, contents: &Comparison) -> Result<Vec<PathBuf>> {
    let strips = contents.strips.as_ref().and_then(strips);
    let charts: Vec<Figure> = [errors(contents.errors), sweep(contents.code_size_curves)]
        .into_iter()
        .chain(contents.losses.iter().map(losses))
        .flatten()
        .collect();
    let mut text = head("Narrows comparison", contents.title, contents.verdict);
    for one in contents.tables {
        table(&mut text, one);
    }
    notes(&mut text, contents.notes);
    for chart in &charts {
        page::figure(&mut text, chart);
    }
    if let (Some((figure, labels)), Some(contents)) = (&strips, &contents.strips) {
        labelled_strips(&mut text, figure, labels, contents);
    }
    facts(&mut text, contents.facts);
    for (name, toml) in contents.recipes {
        recipe(&mut text, name, toml);
    }
    text.push_str(END);
    let figures: Vec<Figure> = strips.into_iter().map(|(figure, _)| figure).chain(charts).collect();
    write_files(directory, &figures, &text)
}

fn table(page: &mut String, table: &Table) {
    if table.rows.is_empty() {
        return;
    }
    let heading = escape(table.heading);
    put(
        page,
        format_args!(
            "<section>\n<h2>{heading}</h2>\n<div class=\"wide\" tabindex=\"0\">\n<table>\n<thead><tr>"
        ),
    );
    for (column, name) in table.header.iter().enumerate() {
        let class = if column > 0 { " class=\"number\"" } else { "" };
        put(page, format_args!("<th scope=\"col\"{class}>{}</th>", escape(name)));
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for row in &table.rows {
        page.push_str("<tr>");
        for (column, cell) in row.iter().enumerate() {
            let class = match (column, cell.best) {
                (0, _) => "",
                (_, true) => " class=\"number best\"",
                (_, false) => " class=\"number\"",
            };
            put(page, format_args!("<td{class}>{}</td>", escape(&cell.text)));
        }
        page.push_str("</tr>\n");
    }
    put(
        page,
        format_args!(
            "</tbody>\n</table>\n</div>\n<figcaption>{}</figcaption>\n</section>\n",
            escape(table.caption)
        ),
    );
}

fn notes(page: &mut String, notes: &[String]) {
    if notes.is_empty() {
        return;
    }
    page.push_str("<section>\n<h2>Notes</h2>\n<ul class=\"notes\">\n");
    for note in notes {
        put(page, format_args!("<li>{}</li>\n", escape(note)));
    }
    page.push_str("</ul>\n</section>\n");
}

/// Each recipe's bar above the bar of the PCA with its code size.
fn errors(errors: &[ComparedError]) -> Option<Figure> {
    let mut drawn = Vec::new();
    for one in errors {
        let mut add = |highlighted, name: &str, error: f64| {
            drawn.extend(drawable(error).map(|error| (highlighted, short_text(name, 32), error.max(0.0))));
        };
        add(true, &one.recipe, one.error);
        if let Some((name, error)) = &one.pca {
            add(false, name, *error);
        }
    }
    if drawn.is_empty() {
        return None;
    }
    let largest = drawn.iter().fold(0.0, |largest: f64, bar| largest.max(bar.2));
    let list: Vec<String> =
        drawn.iter().map(|(_, name, error)| format!("{name} {}", figure_text(*error))).collect();
    let caption = "Squared error per row on the same held-out rows: shorter is better. Below each recipe, in grey, \
                   the PCA with a code of the same size. The scale starts at 0.";
    let alternative = format!("Bars of squared error per row: {}.", list.join(", "));
    finish("errors", "Squared errors", caption.into(), alternative, &bars::draw(&drawn, largest))
}

/// The held-out loss of each recipe after each epoch.
fn losses(losses: &ComparedLosses) -> Option<Figure> {
    let name = short_text(losses.name, 24);
    // The file's name; a loss that is new shares the last.
    let file = match losses.name {
        "BCE" => "loss-bce",
        "MSE" => "loss-mse",
        _ => "loss",
    };
    let curves: Vec<(String, Vec<(f64, f64)>)> = losses
        .curves
        .iter()
        .map(|(recipe, history)| {
            let point = |record: &EpochRecord| Some((record.epoch as f64, drawable(record.held_out_loss)?));
            (short_text(recipe, 24), history.iter().filter_map(point).collect())
        })
        .collect();
    let floor = losses.floor.and_then(drawable);
    let points = || curves.iter().flat_map(|(_, points)| points);
    let epochs = span(points().map(|point| point.0))?;
    let all = span(points().map(|point| point.1).chain(floor))?;
    let logarithmic = all.0 > 0.0 && all.1 > 20.0 * all.0;
    let vertical = if logarithmic { (all.0 * 0.8, all.1 * 1.25) } else { widened(all, 0.06) };
    let horizontal = widened(epochs, 0.02);
    let (mut plots, mut legend) = (Vec::new(), Vec::new());
    for (at, (recipe, points)) in curves.iter().enumerate().filter(|(_, curve)| !curve.1.is_empty()) {
        let colour = COLOURS[at % COLOURS.len()];
        let line = LinePlot::new().with_data(points.iter().copied());
        plots.push(Plot::Line(line.with_color(colour).with_stroke_width(2.0)));
        if points.len() <= DOTTED_EPOCHS {
            let dots = ScatterPlot::new().with_data(points.iter().copied());
            plots.push(Plot::Scatter(dots.with_color(colour).with_size(3.5)));
        }
        legend.push(entry(recipe.clone(), colour, LegendShape::Line, false));
    }
    if let Some(floor) = floor {
        let line = LinePlot::new().with_data([(horizontal.0, floor), (horizontal.1, floor)]);
        plots.push(Plot::Line(line.with_color(MUTED).with_stroke_width(1.5).with_dashed()));
        legend.push(entry(format!("floor {}", figure_text(floor)), MUTED, LegendShape::Line, true));
    }
    let layout = frame(horizontal, vertical, (760, 380))
        .with_x_label("epoch")
        .with_y_label(if logarithmic { format!("{name} (log scale)") } else { name.clone() })
        .with_x_tick_step(whole_step(epochs.1 - epochs.0))
        .with_x_tick_format(TickFormat::Integer)
        .with_legend_entries(legend)
        .with_legend_position(LegendPosition::OutsideRightTop)
        .with_legend_box(false);
    let layout = if logarithmic { layout.with_log_y() } else { layout };
    let ends: Vec<String> = curves
        .iter()
        .filter_map(|(recipe, points)| Some(format!("{recipe} {}", figure_text(points.last()?.1))))
        .collect();
    let ends = ends.join(", ");
    let below = if floor.is_some() { " The dashed line is the lowest value it can take." } else { "" };
    let caption = format!("{name} on the held-out rows after each epoch; at the end: {ends}.{below}");
    let alternative = format!("Curves of {name} by epoch; at the end: {ends}.");
    figure(file, "Losses", caption, alternative, plots, layout)
}

/// Error against code size, the elbow of each curve marked.
fn sweep(curves: &[SweepCurve]) -> Option<Figure> {
    let drawn: Vec<(&SweepCurve, Vec<(f64, f64)>)> = curves
        .iter()
        .map(|curve| {
            let point = |&(size, error): &(usize, f64)| {
                Some(((size.max(1) as f64).log2(), drawable(error).filter(|&error| error >= 0.0)?))
            };
            (curve, curve.points.iter().filter_map(point).collect())
        })
        .collect();
    let points = || drawn.iter().flat_map(|(_, points)| points);
    let sizes = span(points().map(|point| point.0))?;
    let all = span(points().map(|point| point.1))?;
    // From zero and not logarithmic: so the elbow is seen where it is measured.
    let vertical = (0.0, widened((0.0, all.1), 0.05).1);
    let horizontal = widened(sizes, 0.04);
    let (mut plots, mut legend, mut knees) = (Vec::new(), Vec::new(), Vec::new());
    for (at, (curve, points)) in drawn.iter().enumerate().filter(|(_, curve)| !curve.1.is_empty()) {
        // The first is what the others are measured by.
        let colour = if at == 0 { MUTED } else { COLOURS[(at - 1) % COLOURS.len()] };
        let line = LinePlot::new().with_data(points.iter().copied()).with_color(colour);
        let line = line.with_stroke_width(2.0);
        plots.push(Plot::Line(if at == 0 { line.with_dashed() } else { line }));
        let dots = ScatterPlot::new().with_data(points.iter().copied()).with_color(colour);
        plots.push(Plot::Scatter(dots.with_size(3.5)));
        let name = short_text(&curve.name, 24);
        let bend = curve.elbow.map(|elbow| (elbow as f64).log2());
        if let Some(&elbow) = points.iter().find(|point| Some(point.0) == bend) {
            let mark = ScatterPlot::new().with_data([elbow]).with_color(colour).with_size(7.0);
            plots.push(Plot::Scatter(mark.with_marker(MarkerShape::Square)));
            knees.push(format!("{name} at {}", curve.elbow.unwrap_or_default()));
        }
        legend.push(entry(name, colour, LegendShape::Line, at == 0));
    }
    if !knees.is_empty() {
        legend.push(entry("elbow", MUTED, LegendShape::Marker(MarkerShape::Square), false));
    }
    let layout = frame(horizontal, vertical, (760, 400))
        .with_x_label("numbers in a code (log scale)")
        .with_y_label("squared error per row")
        .with_x_tick_step(whole_step(sizes.1 - sizes.0).max(1.0))
        .with_x_tick_format(TickFormat::Custom(std::sync::Arc::new(|power| figure_text(power.exp2()))))
        .with_legend_entries(legend)
        .with_legend_position(LegendPosition::OutsideRightTop)
        .with_legend_box(false);
    let knees = if knees.is_empty() { "none".to_owned() } else { knees.join(", ") };
    let caption = format!(
        "Squared error per row on the held-out rows by the size of the code. Squares mark the elbow, beyond which more \
         code gains little (the point farthest below the line from the first to the last): {knees}."
    );
    let alternative = format!("Falling curves of squared error by code size; knees: {knees}.");
    figure("sweep", "Error by code size", caption, alternative, plots, layout)
}

/// All strips in one picture, and what each is.
fn strips(contents: &Strips) -> Option<(Figure, Vec<String>)> {
    let shape = contents.shape;
    let mut rows = vec![("original", contents.originals)];
    rows.extend(contents.rebuilt.iter().copied().filter(|(_, values)| !values.is_empty()));
    let values: Vec<&[f32]> = rows.iter().map(|(_, values)| *values).collect();
    let columns = pictures::columns(shape, &values);
    if columns == 0 || shape.len() == 0 || !shape.is_image() {
        return None;
    }
    let (png, size) = pictures::strips(shape, &values, columns, (0.0, 1.0));
    let names: Vec<String> = rows.iter().map(|(name, _)| short_text(name, 24)).collect();
    let figure = Figure {
        name: "reconstructions".to_owned(),
        heading: "Reconstructions",
        caption: "The first held-out images, and below them what each recipe rebuilds. Fixed scale: 0 is black, 1 is \
                  white; values outside are clipped."
            .into(),
        alternative: format!("{columns} images of {shape}, one a column; from the top: {}.", names.join(", ")),
        svg: None,
        png,
        size,
    };
    Some((figure, names))
}

/// On the page each strip has its name beside it.
fn labelled_strips(page: &mut String, figure: &Figure, labels: &[String], contents: &Strips) {
    put(page, format_args!("<section>\n<h2>{}</h2>\n<figure>\n<div class=\"strips\">\n", figure.heading));
    let strips = [contents.originals]
        .into_iter()
        .chain(contents.rebuilt.iter().map(|(_, values)| *values).filter(|values| !values.is_empty()));
    let all: Vec<&[f32]> = strips.collect();
    let columns = pictures::columns(contents.shape, &all);
    for (label, values) in labels.iter().zip(all) {
        let (png, (width, height)) = pictures::strips(contents.shape, &[values], columns, (0.0, 1.0));
        let label = escape(label);
        put(
            page,
            format_args!(
                "<span>{label}</span><img src=\"data:image/png;base64,{}\" width=\"{width}\" height=\"{height}\" alt=\"{label}\">\n",
                STANDARD.encode(&png)
            ),
        );
    }
    put(
        page,
        format_args!("</div>\n<figcaption>{}</figcaption>\n</figure>\n</section>\n", escape(&figure.caption)),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(epoch: usize, loss: f64) -> EpochRecord {
        EpochRecord {
            epoch,
            train_loss: loss,
            held_out_loss: loss,
            seconds: 1.0,
            active_units: None,
            held_out_error_rate: None,
        }
    }

    fn cell(text: &str, best: bool) -> Cell {
        Cell { text: text.into(), best }
    }

    fn written(contents: &Comparison) -> (Vec<String>, String) {
        let folder = tempfile::tempdir().unwrap();
        let paths = write_comparison(folder.path(), contents).unwrap();
        let page = std::fs::read_to_string(&paths[0]).unwrap();
        for path in &paths {
            if path.extension().is_some_and(|ending| ending == "png") {
                image::load_from_memory(&std::fs::read(path).unwrap()).unwrap();
            }
        }
        let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        (paths.iter().map(name).collect(), page)
    }

    const EMPTY: Comparison = Comparison {
        title: "",
        verdict: "",
        facts: &[],
        tables: &[],
        notes: &[],
        errors: &[],
        losses: &[],
        strips: None,
        sweep: &[],
        recipes: &[],
    };

    #[test]
    fn every_part_has_its_place_and_escapes_its_text() {
        let hostile = "<script src=\"http://evil\">";
        let image: Vec<f32> = (0..12).map(|at| at as f32 / 12.0).collect();
        let history = [record(1, 0.3), record(2, 0.2)];
        let losses = ["BCE", "MSE"].map(|name| ComparedLosses {
            name,
            floor: Some(0.1),
            curves: vec![(hostile, &history[..]), ("deep", &history[..1])],
        });
        let curve = |name: &str| SweepCurve {
            name: name.into(),
            points: vec![(2, 9.0), (8, 2.0), (32, f64::NAN), (33, 1.0)],
            elbow: Some(8),
        };
        let contents = Comparison {
            title: hostile,
            verdict: hostile,
            facts: &[("Rows".into(), hostile.into())],
            tables: &[Table {
                heading: hostile,
                header: vec!["recipe".into(), hostile.into()],
                rows: vec![
                    vec![cell(hostile, false), cell("8.11", true)],
                    vec![cell("deep", true), cell("9.1", false)],
                ],
                caption: hostile,
            }],
            notes: &[hostile.into()],
            errors: &[ComparedError {
                recipe: hostile.into(),
                error: 8.11,
                pca: Some(("PCA-32".into(), 13.2)),
            }],
            losses: &losses,
            strips: Some(Strips {
                shape: Shape::image(2, 3, 1),
                originals: &image,
                rebuilt: vec![(hostile, &image), ("stopped", &[])],
            }),
            sweep: &[curve("PCA"), curve(hostile)],
            recipes: &[(hostile.into(), hostile.into())],
        };
        let (names, page) = written(&contents);
        for name in
            ["report.html", "reconstructions.png", "errors.svg", "sweep.svg", "loss-bce.svg", "loss-mse.png"]
        {
            assert!(names.iter().any(|written| written == name), "{name}: {names:?}");
        }
        assert!(!page.contains("<script"), "{page}");
        assert_eq!(page.matches("class=\"number best\"").count(), 1, "names are never the best");
        for used in page.split("url(#").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            assert_eq!(page.matches(&format!("id=\"{used}\"")).count(), 1, "{used}");
        }
        assert_eq!(written(&contents).1, page, "the same bytes twice");
    }

    #[test]
    fn what_is_empty_or_strange_is_left_out() {
        assert_eq!(written(&EMPTY).0, ["report.html"]);
        let strange = [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e-320, 1e300];
        let points = strange.iter().enumerate().map(|(at, &error)| (at, error)).collect();
        let history: Vec<EpochRecord> = strange.iter().map(|&loss| record(0, loss)).collect();
        let errors: Vec<ComparedError> = strange
            .iter()
            .map(|&error| ComparedError { recipe: String::new(), error, pca: Some((String::new(), -error)) })
            .collect();
        let contents = Comparison {
            errors: &errors,
            losses: &[ComparedLosses { name: "x", floor: Some(f64::NAN), curves: vec![("", &history)] }],
            strips: Some(Strips {
                shape: Shape::flat(3),
                originals: &[0.5; 3],
                rebuilt: vec![("a", &[0.5; 3])],
            }),
            sweep: &[SweepCurve { name: String::new(), points, elbow: Some(99) }],
            ..EMPTY
        };
        let (names, _) = written(&contents);
        assert!(!names.contains(&"reconstructions.png".to_owned()), "flat rows are no images");
    }
}
