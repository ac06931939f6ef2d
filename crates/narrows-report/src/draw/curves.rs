//! Charts of curves: losses and error rates by epoch, two kinds of start by optimizer step, errors by code size.

use kuva::TickFormat;
use kuva::plot::legend::{LegendEntry, LegendPosition, LegendShape};
use kuva::plot::line::LinePlot;
use kuva::plot::scatter::{MarkerShape, ScatterPlot};
use kuva::render::layout::Layout;
use kuva::render::plots::Plot;
use narrows::base::text::{figure_text, short_text};
use narrows::experiments::compare::CodeSizeCurve;
use narrows::experiments::random_baseline::{BaselineRun, RandomBaseline};
use narrows::progress::EpochRecord;

use super::Figure;
use super::axes::{Axis, COLOURS, INK, MUTED, drawable, entry, figure, frame, span, whole_step, widened};

/// Largest number of epochs that are marked by dots.
const DOTTED_EPOCHS: usize = 30;
/// Losses are drawn on a logarithmic axis where they differ by more than this factor.
const LOGARITHMIC: f64 = 20.0;
/// The same for the curves of two kinds of start, which lie close together at the end.
const LOGARITHMIC_STARTS: f64 = 4.0;

type Points = Vec<(f64, f64)>;

/// The plots of a chart and its legend.
#[derive(Default)]
struct Chart {
    plots: Vec<Plot>,
    legend: Vec<LegendEntry>,
}

impl Chart {
    fn line(&mut self, points: &[(f64, f64)], colour: &str, width: f64) {
        let line = LinePlot::new().with_data(points.iter().copied());
        self.plots.push(Plot::Line(line.with_color(colour).with_stroke_width(width)));
    }

    fn dots(&mut self, points: &[(f64, f64)], colour: &str) {
        let dots = ScatterPlot::new().with_data(points.iter().copied());
        self.plots.push(Plot::Scatter(dots.with_color(colour).with_size(3.5)));
    }

    /// A curve by epoch, with dots where there are few epochs.
    fn curve(&mut self, points: &[(f64, f64)], colour: &str) {
        self.line(points, colour, 2.0);
        if points.len() <= DOTTED_EPOCHS {
            self.dots(points, colour);
        }
    }

    /// A dashed line between two points, with its entry in the legend.
    fn rule(&mut self, ends: [(f64, f64); 2], colour: &str, width: f64, label: String) {
        let line = LinePlot::new().with_data(ends).with_color(colour).with_stroke_width(width);
        self.plots.push(Plot::Line(line.with_dashed()));
        self.legend.push(entry(label, colour, LegendShape::Line, true));
    }

    /// A horizontal line at the lowest value that a loss can take.
    fn floor(&mut self, floor: Option<f64>, (left, right): (f64, f64)) {
        if let Some(floor) = floor {
            let label = format!("floor {}", figure_text(floor));
            self.rule([(left, floor), (right, floor)], MUTED, 1.5, label);
        }
    }
}

/// A number of each epoch against its epoch, as far as it can be drawn.
fn by_epoch(history: &[EpochRecord], number: impl Fn(&EpochRecord) -> Option<f64>) -> Points {
    let point = |record: &EpochRecord| Some((record.epoch as f64, drawable(number(record)?)?));
    history.iter().filter_map(point).collect()
}

fn spans<'a>(points: impl Iterator<Item = &'a (f64, f64)> + Clone) -> Option<((f64, f64), (f64, f64))> {
    Some((span(points.clone().map(|point| point.0))?, span(points.map(|point| point.1))?))
}

/// A layout for curves by epoch or step.
fn layout(x: (f64, f64), x_label: &str, axis: &Axis, name: &str, height: u32) -> Layout {
    axis.put_on(frame(widened(x, 0.02), axis.range, (760, height)), name)
        .with_x_label(x_label)
        .with_x_tick_step(whole_step(x.1 - x.0))
        .with_x_tick_format(TickFormat::Integer)
}

/// A legend to the right of the chart.
fn legend_beside(layout: Layout, legend: Vec<LegendEntry>) -> Layout {
    layout
        .with_legend_entries(legend)
        .with_legend_position(LegendPosition::OutsideRightTop)
        .with_legend_box(false)
}

/// The training and held-out losses after each epoch, with a line at the epoch that was kept. `file` is the stem of its
/// files.
pub(crate) fn loss(
    file: &str,
    history: &[EpochRecord],
    name: &str,
    floor: Option<f64>,
    kept: Option<usize>,
) -> Option<Figure> {
    let name = short_text(name, 24);
    let floor = floor.and_then(drawable);
    let curves = [
        ("train", COLOURS[0], by_epoch(history, |record| Some(record.train_loss))),
        ("validation", COLOURS[6], by_epoch(history, |record| Some(record.held_out_loss))),
    ];
    let points = || curves.iter().flat_map(|(_, _, points)| points);
    let epochs = span(points().map(|point| point.0))?;
    let axis = Axis::new(span(points().map(|point| point.1).chain(floor))?, LOGARITHMIC);
    let mut chart = Chart::default();
    for (label, colour, points) in curves.iter().filter(|curve| !curve.2.is_empty()) {
        chart.curve(points, colour);
        // A curve of one epoch is a dot.
        let marker = LegendShape::Marker(MarkerShape::Circle);
        let shape = if points.len() > 1 { LegendShape::Line } else { marker };
        chart.legend.push(entry(*label, colour, shape, false));
    }
    chart.floor(floor, widened(epochs, 0.02));
    if let Some(epoch) = kept {
        let ends = [axis.range.0, axis.range.1].map(|end| (epoch as f64, end));
        chart.rule(ends, INK, 1.2, format!("kept: epoch {epoch}"));
    }
    let layout = layout(epochs, "epoch", &axis, &name, 380)
        .with_legend_entries(chart.legend)
        .with_legend_position(LegendPosition::InsideTopRight);
    let (caption, alternative) = loss_texts(&name, &curves, floor, kept, axis.logarithmic);
    figure(file, "Loss", caption, alternative, chart.plots, layout)
}

/// The caption and the description of the chart of losses.
fn loss_texts(
    name: &str,
    curves: &[(&str, &str, Points)],
    floor: Option<f64>,
    kept: Option<usize>,
    logarithmic: bool,
) -> (String, String) {
    let ends: Vec<String> = curves
        .iter()
        .filter_map(|(label, _, points)| Some(format!("{label} {}", figure_text(points.last()?.1))))
        .collect();
    let ends = ends.join(", ");
    let floor = floor.map_or_else(String::new, |floor| {
        format!(" The dashed line is the lowest value it can take on these data, {}.", figure_text(floor))
    });
    let kept = kept.map_or_else(String::new, |epoch| {
        format!(
            " The upright line is epoch {epoch}, the best on the held-out rows, whose parameters were kept."
        )
    });
    let scale = if logarithmic { " Logarithmic scale." } else { "" };
    (
        format!("{name} after each epoch; at the end: {ends}.{floor}{kept}{scale}"),
        format!("Curves of {name} by epoch; at the end: {ends}."),
    )
}

/// The error rate on the held-out rows after each epoch, in per cent.
pub(crate) fn error_rate(history: &[EpochRecord]) -> Option<Figure> {
    let points = by_epoch(history, |record| Some(record.held_out_error_rate? * 100.0));
    let (epochs, errors) = spans(points.iter())?;
    let least = points
        .iter()
        .fold((0.0, f64::INFINITY), |least, point| if point.1 < least.1 { *point } else { least });
    let last = points.last()?.1;
    let axis = Axis::new(errors, LOGARITHMIC);
    let mut chart = Chart::default();
    chart.curve(&points, COLOURS[6]);
    let layout = layout(epochs, "epoch", &axis, "error rate, %", 300);
    let caption = format!(
        "Held-out error rate after each epoch, in per cent; at the end {}, least {} in epoch {}.",
        figure_text(last),
        figure_text(least.1),
        least.0
    );
    let alternative = format!("Curve of the error by epoch; at the end {} per cent.", figure_text(last));
    figure("error-by-epoch", "Error by epoch", caption, alternative, chart.plots, layout)
}

/// The held-out losses of several recipes with the same loss `name`, after each epoch.
pub(crate) fn losses(name: &str, floor: Option<f64>, recipes: &[(&str, &[EpochRecord])]) -> Option<Figure> {
    // Losses without a file of their own share one.
    let file = match name {
        "BCE" => "loss-bce",
        "MSE" => "loss-mse",
        _ => "loss",
    };
    let name = short_text(name, 24);
    let floor = floor.and_then(drawable);
    let curves: Vec<(String, Points)> = recipes
        .iter()
        .map(|(recipe, history)| {
            (short_text(recipe, 24), by_epoch(history, |record| Some(record.held_out_loss)))
        })
        .collect();
    let points = || curves.iter().flat_map(|(_, points)| points);
    let epochs = span(points().map(|point| point.0))?;
    let axis = Axis::new(span(points().map(|point| point.1).chain(floor))?, LOGARITHMIC);
    let mut chart = Chart::default();
    for (at, (recipe, points)) in curves.iter().enumerate().filter(|(_, curve)| !curve.1.is_empty()) {
        let colour = COLOURS[at % COLOURS.len()];
        chart.curve(points, colour);
        chart.legend.push(entry(recipe.clone(), colour, LegendShape::Line, false));
    }
    chart.floor(floor, widened(epochs, 0.02));
    let layout = legend_beside(layout(epochs, "epoch", &axis, &name, 380), chart.legend);
    let ends: Vec<String> = curves
        .iter()
        .filter_map(|(recipe, points)| Some(format!("{recipe} {}", figure_text(points.last()?.1))))
        .collect();
    let ends = ends.join(", ");
    let below = if floor.is_some() { " The dashed line is the lowest value it can take." } else { "" };
    let caption = format!("{name} on the held-out rows after each epoch; at the end: {ends}.{below}");
    let alternative = format!("Curves of {name} by epoch; at the end: {ends}.");
    figure(file, "Losses", caption, alternative, chart.plots, layout)
}

/// The held-out error rates or losses of pre-trained networks, and of those from random initialisations, by optimizer step.
pub(crate) fn starts(baseline: &RandomBaseline) -> Option<Figure> {
    let kinds =
        [("pre-trained", COLOURS[0], &baseline.pretrained), ("random start", COLOURS[6], &baseline.random)]
            .map(|(name, colour, runs)| (name, colour, runs.iter().map(by_step).collect::<Vec<Points>>()));
    let (steps, values) = spans(kinds.iter().flat_map(|(_, _, runs)| runs.iter().flatten()))?;
    let steps = (0.0, steps.1.max(1.0));
    let axis = Axis::new(values, LOGARITHMIC_STARTS);
    let mut chart = Chart::default();
    for (name, colour, runs) in &kinds {
        for points in runs.iter().filter(|points| !points.is_empty()) {
            chart.line(points, colour, 1.6);
        }
        chart.legend.push(entry(*name, colour, LegendShape::Line, false));
    }
    let name = if baseline.is_classifier { "error rate, %" } else { "held-out loss" };
    let layout = layout(steps, "updates, those of layers alone included", &axis, name, 380)
        .with_legend_entries(chart.legend)
        .with_legend_position(LegendPosition::InsideTopRight);
    let caption = "One line for each seed, after each epoch of all layers together, on the held-out rows. A network that was pre-trained begins where its layers alone have used up their updates.";
    let alternative =
        format!("Curves by updates, pre-trained and from random starts. {}", baseline.verdict());
    figure("starts", "Pre-trained and from random starts", caption.into(), alternative, chart.plots, layout)
}

/// The error rate or loss of a run after each epoch, by the optimizer steps up to then.
fn by_step(run: &BaselineRun) -> Points {
    let per_epoch = run.steps.training as f64 / run.history.len().max(1) as f64;
    by_epoch(&run.history, |record| {
        Some(record.held_out_error_rate.map_or(record.held_out_loss, |error_rate| error_rate * 100.0))
    })
    .into_iter()
    .map(|(epoch, value)| (run.steps.pretraining as f64 + epoch * per_epoch, value))
    .collect()
}

/// Squared errors by code size, with the elbow of each curve marked. The other curves are compared with the first.
pub(crate) fn code_sizes(curves: &[CodeSizeCurve]) -> Option<Figure> {
    let drawn: Vec<(String, Option<usize>, Points)> = curves
        .iter()
        .map(|curve| {
            let name = if curve.recipe == "pca" { "PCA".into() } else { short_text(&curve.recipe, 24) };
            let points = curve.points.iter().filter_map(|point| {
                let error = drawable(point.squared_error_per_row).filter(|&error| error >= 0.0)?;
                Some(((point.code_size.max(1) as f64).log2(), error))
            });
            (name, curve.elbow, points.collect())
        })
        .collect();
    let (sizes, errors) = spans(drawn.iter().flat_map(|(_, _, points)| points))?;
    // A linear axis from 0 shows the elbow where it is measured.
    let vertical = (0.0, widened((0.0, errors.1), 0.05).1);
    let (mut chart, mut elbows) = (Chart::default(), Vec::new());
    for (at, (name, elbow, points)) in drawn.into_iter().enumerate().filter(|(_, curve)| !curve.2.is_empty())
    {
        let is_first = at == 0;
        let colour = if is_first { MUTED } else { COLOURS[(at - 1) % COLOURS.len()] };
        let line = LinePlot::new().with_data(points.iter().copied()).with_color(colour);
        let line = line.with_stroke_width(2.0);
        chart.plots.push(Plot::Line(if is_first { line.with_dashed() } else { line }));
        chart.dots(&points, colour);
        let bend = elbow.map(|elbow| (elbow as f64).log2());
        if let Some(&point) = points.iter().find(|point| Some(point.0) == bend) {
            let mark = ScatterPlot::new().with_data([point]).with_color(colour).with_size(7.0);
            chart.plots.push(Plot::Scatter(mark.with_marker(MarkerShape::Square)));
            elbows.push(format!("{name} at {}", elbow.unwrap_or_default()));
        }
        chart.legend.push(entry(name, colour, LegendShape::Line, is_first));
    }
    if !elbows.is_empty() {
        chart.legend.push(entry("elbow", MUTED, LegendShape::Marker(MarkerShape::Square), false));
    }
    let layout = frame(widened(sizes, 0.04), vertical, (760, 400))
        .with_x_label("numbers in a code (log scale)")
        .with_y_label("squared error per row")
        .with_x_tick_step(whole_step(sizes.1 - sizes.0).max(1.0))
        .with_x_tick_format(TickFormat::Custom(std::sync::Arc::new(|power| figure_text(power.exp2()))));
    let layout = legend_beside(layout, chart.legend);
    let elbows = if elbows.is_empty() { "none".to_owned() } else { elbows.join(", ") };
    let caption = format!(
        "Squared error per row on the held-out rows by the size of the code. Squares mark the elbow, beyond which more \
         code gains little (the point farthest below the line from the first to the last): {elbows}."
    );
    let alternative = format!("Falling curves of squared error by code size; elbows: {elbows}.");
    figure("sweep", "Error by code size", caption, alternative, chart.plots, layout)
}
