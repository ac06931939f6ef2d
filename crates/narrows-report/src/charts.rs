//! Charts against two axes: losses by epoch, rows in the plane of two codes, flat rows beside their reconstructions.

use kuva::TickFormat;
use kuva::backend::png::PngBackend;
use kuva::backend::svg::SvgBackend;
use kuva::plot::legend::{LegendEntry, LegendPosition, LegendShape};
use kuva::plot::line::LinePlot;
use kuva::plot::scatter::{MarkerShape, ScatterPlot};
use kuva::render::layout::Layout;
use kuva::render::plots::Plot;
use kuva::render::render::{Primitive, Scene, render_multiple};
use kuva::render::theme::Theme;

use narrows::progress::EpochRecord;

use super::{CodeScatter, Examples, Figure};
use narrows::base::text::{figure_text, short_text};

/// Text, axes and lines behind the data; the page gives them other colours in the dark.
pub(super) const INK: &str = "#1f2937";
pub(super) const MUTED: &str = "#64748b";
pub(super) const GRID: &str = "#e2e8f0";
pub(super) const PAPER: &str = "#ffffff";
pub(super) const FONT: &str = "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";

/// Ten colours that stay apart for colour-blind readers (Petroff 2021, arXiv:2107.02270).
pub(super) const COLOURS: [&str; 10] = [
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581",
    "#92dadd",
];

/// Points drawn at most: a vector file of more is slow to open.
const POINTS: usize = 2000;
/// Classes that a legend can still tell apart: the ten colours, with two markers.
const LEGEND_CLASSES: usize = 20;
/// Epochs up to which each is marked with a dot.
pub(super) const DOTTED_EPOCHS: usize = 30;
/// Flat rows drawn at most.
const PROFILES: usize = 3;
/// Features up to which each gets a name and a dot.
const NAMED_FEATURES: usize = 24;

/// The train and validation loss after each epoch, with a line at the epoch that was kept. `file` is the stem of its files.
pub(super) fn loss(
    file: &str,
    history: &[EpochRecord],
    name: &str,
    floor: Option<f64>,
    kept: Option<usize>,
) -> Option<Figure> {
    let name = short_text(name, 24);
    let floor = floor.and_then(drawable);
    let curve = |loss: fn(&EpochRecord) -> f64| -> Vec<(f64, f64)> {
        let point = |point: &EpochRecord| Some((point.epoch as f64, drawable(loss(point))?));
        history.iter().filter_map(point).collect()
    };
    let curves = [
        ("train", COLOURS[0], curve(|point| point.train_loss)),
        ("validation", COLOURS[6], curve(|point| point.held_out_loss)),
    ];
    let losses = || curves.iter().flat_map(|(_, _, points)| points.iter().map(|point| point.1));
    let epochs = span(curves.iter().flat_map(|(_, _, points)| points.iter().map(|point| point.0)))?;
    let all = span(losses().chain(floor))?;
    let logarithmic = all.0 > 0.0 && all.1 > 20.0 * all.0;
    let vertical = if logarithmic { (all.0 * 0.8, all.1 * 1.25) } else { widened(all, 0.06) };
    let horizontal = widened(epochs, 0.02);

    let mut plots = Vec::new();
    let mut legend = Vec::new();
    for (label, colour, points) in &curves {
        if points.is_empty() {
            continue;
        }
        plots.push(Plot::Line(
            LinePlot::new().with_data(points.iter().copied()).with_color(*colour).with_stroke_width(2.0),
        ));
        if points.len() <= DOTTED_EPOCHS {
            plots.push(Plot::Scatter(
                ScatterPlot::new().with_data(points.iter().copied()).with_color(*colour).with_size(3.5),
            ));
        }
        // One epoch is a dot and no line.
        let shape =
            if points.len() > 1 { LegendShape::Line } else { LegendShape::Marker(MarkerShape::Circle) };
        legend.push(entry(*label, colour, shape, false));
    }
    if let Some(floor) = floor {
        let line = LinePlot::new().with_data([(horizontal.0, floor), (horizontal.1, floor)]);
        plots.push(Plot::Line(line.with_color(MUTED).with_stroke_width(1.5).with_dashed()));
        legend.push(entry(format!("floor {}", figure_text(floor)), MUTED, LegendShape::Line, true));
    }
    if let Some(epoch) = kept {
        let line = LinePlot::new().with_data([(epoch as f64, vertical.0), (epoch as f64, vertical.1)]);
        plots.push(Plot::Line(line.with_color(INK).with_stroke_width(1.2).with_dashed()));
        legend.push(entry(format!("kept: epoch {epoch}"), INK, LegendShape::Line, true));
    }
    let layout = frame(horizontal, vertical, (760, 380))
        .with_x_label("epoch")
        .with_y_label(if logarithmic { format!("{name} (log scale)") } else { name.clone() })
        .with_x_tick_step(whole_step(epochs.1 - epochs.0))
        .with_x_tick_format(TickFormat::Integer)
        .with_legend_entries(legend)
        .with_legend_position(LegendPosition::InsideTopRight);
    let layout = if logarithmic { layout.with_log_y() } else { layout };

    let ends: Vec<String> = curves
        .iter()
        .filter_map(|(label, _, points)| Some(format!("{label} {}", figure_text(points.last()?.1))))
        .collect();
    let below = floor.map(|floor| {
        format!(" The dashed line is the lowest value it can take on these data, {}.", figure_text(floor))
    });
    let ends = ends.join(", ");
    let scale = if logarithmic { " Logarithmic scale." } else { "" };
    let kept = kept.map(|epoch| {
        format!(
            " The upright line is epoch {epoch}, the best on the held-out rows, whose parameters were kept."
        )
    });
    let caption = format!(
        "{name} after each epoch; at the end: {ends}.{}{}{scale}",
        below.unwrap_or_default(),
        kept.unwrap_or_default()
    );
    figure(file, "Loss", caption, format!("Curves of {name} by epoch; at the end: {ends}."), plots, layout)
}

/// The share of held-out rows whose class was told wrong after each epoch, in per cent.
pub(super) fn errors(history: &[EpochRecord]) -> Option<Figure> {
    let points: Vec<(f64, f64)> = history
        .iter()
        .filter_map(|record| Some((record.epoch as f64, record.held_out_error_rate? * 100.0)))
        .collect();
    let epochs = span(points.iter().map(|point| point.0))?;
    let errors = span(points.iter().map(|point| point.1))?;
    let least = points
        .iter()
        .fold((0.0, f64::INFINITY), |least, point| if point.1 < least.1 { *point } else { least });
    let last = points.last()?.1;
    let logarithmic = errors.0 > 0.0 && errors.1 > 20.0 * errors.0;
    let vertical = if logarithmic { (errors.0 * 0.8, errors.1 * 1.25) } else { widened(errors, 0.06) };
    let mut plots = vec![Plot::Line(
        LinePlot::new().with_data(points.iter().copied()).with_color(COLOURS[6]).with_stroke_width(2.0),
    )];
    if points.len() <= DOTTED_EPOCHS {
        let dots = ScatterPlot::new().with_data(points).with_color(COLOURS[6]).with_size(3.5);
        plots.push(Plot::Scatter(dots));
    }
    let layout = frame(widened(epochs, 0.02), vertical, (760, 300))
        .with_x_label("epoch")
        .with_y_label(if logarithmic { "told wrong, % (log scale)" } else { "told wrong, %" })
        .with_x_tick_step(whole_step(epochs.1 - epochs.0))
        .with_x_tick_format(TickFormat::Integer);
    let layout = if logarithmic { layout.with_log_y() } else { layout };
    let caption = format!(
        "Held-out rows told wrong after each epoch, in per cent; at the end {}, least {} in epoch {}.",
        figure_text(last),
        figure_text(least.1),
        least.0
    );
    let alternative = format!("Curve of the error by epoch; at the end {} per cent.", figure_text(last));
    figure("error-by-epoch", "Error by epoch", caption, alternative, plots, layout)
}

/// The first two code numbers of each row, coloured by class.
pub(super) fn codes(codes: &CodeScatter) -> Option<Figure> {
    let rows = codes.first.len().min(codes.second.len());
    let drawn = rows.min(POINTS);
    // Every class that has a name, in the order of the names; rows of no known class come last.
    let names = codes.labels.map_or(&[][..], |labels| &labels.names);
    let mut classes: Vec<Vec<(f64, f64)>> = vec![Vec::new(); names.len() + 1];
    // One row out of each of as many equal stretches: evenly, yet in step with no period that the rows may have.
    let stretch = rows as f64 / drawn as f64;
    let chosen =
        |at: usize| (((at as f64 + (at as f64 * 0.618_033_988_75).fract()) * stretch) as usize).min(rows - 1);
    for row in (0..drawn).map(|at| if drawn == rows { at } else { chosen(at) }) {
        let value = |values: &[f32]| drawable(f64::from(values[row]));
        let (Some(x), Some(y)) = (value(codes.first), value(codes.second)) else { continue };
        let class = codes
            .labels
            .and_then(|labels| labels.classes.get(row))
            .map_or(names.len(), |&class| class as usize);
        classes[class.min(names.len())].push((x, y));
    }
    let points = || classes.iter().flatten();
    let drawn = points().count();
    let horizontal = widened(span(points().map(|point| point.0))?, 0.04);
    let vertical = widened(span(points().map(|point| point.1))?, 0.04);

    let (size, opacity) = if drawn > 500 { (2.8, 0.7) } else { (4.0, 0.8) };
    let mut plots = Vec::new();
    let mut legend = Vec::new();
    for (class, points) in classes.into_iter().enumerate().filter(|(_, points)| !points.is_empty()) {
        let unnamed = class == names.len();
        let colour = if unnamed && class > 0 { MUTED } else { COLOURS[class % COLOURS.len()] };
        let marker = if (class / COLOURS.len()).is_multiple_of(2) {
            MarkerShape::Circle
        } else {
            MarkerShape::Triangle
        };
        let plot = ScatterPlot::new().with_data(points).with_color(colour).with_size(size);
        plots.push(Plot::Scatter(plot.with_marker(marker).with_marker_opacity(opacity)));
        let name = if unnamed { "no class".into() } else { short_text(&names[class], 20) };
        legend.push(entry(name, colour, LegendShape::Marker(marker), false));
    }
    let [first, second] = codes.axes.map(|axis| short_text(axis, 48));
    let layout = frame(horizontal, vertical, (760, 520)).with_x_label(&first).with_y_label(&second);
    let has_legend = !names.is_empty() && names.len() <= LEGEND_CLASSES;
    let layout = if has_legend { layout.with_legend_entries(legend).with_legend_box(false) } else { layout };

    let rows_text = match (drawn, rows) {
        (1, 1) => "The one row".into(),
        _ if drawn < rows => format!("{} of {} rows, evenly chosen", grouped(drawn), grouped(rows)),
        _ => format!("All {} rows", grouped(rows)),
    };
    let colours = match names.len() {
        0 => String::new(),
        _ if has_legend => ", coloured by class".into(),
        count => format!(", coloured by class ({count} classes: colours repeat, so there is no legend)"),
    };
    let caption =
        format!("{rows_text}, placed by {first} and {second}{colours}. The axes span the points drawn.");
    let alternative = format!("Scatter of {} points by {first} and {second}{colours}.", grouped(drawn));
    figure("codes", "Codes", caption, alternative, plots, layout)
}

/// A few flat rows as lines over their features, each beside what was rebuilt of it.
pub(super) fn profiles(examples: &Examples) -> Option<Figure> {
    let features = examples.shape.len();
    let pairs: Vec<(&[f32], &[f32])> = examples
        .originals
        .chunks_exact(features.max(1))
        .zip(examples.reconstructions.chunks_exact(features.max(1)))
        .collect();
    let shown = pairs.len().min(PROFILES);
    // From the first to the last, evenly.
    let chosen = (0..shown).map(|at| at * (pairs.len() - 1) / (shown - 1).max(1));
    let chosen: Vec<(usize, &[f32], &[f32])> = chosen.map(|at| (at, pairs[at].0, pairs[at].1)).collect();

    // Where one feature would flatten the others, each is drawn on its own scale.
    let ranges: Vec<(f64, f64)> = (0..features)
        .map(|feature| {
            let values =
                chosen.iter().flat_map(|(_, original, rebuilt)| [original[feature], rebuilt[feature]]);
            span(values.filter_map(|value| drawable(f64::from(value)))).unwrap_or((0.0, 0.0))
        })
        .collect();
    let (lowest, highest) = span(ranges.iter().flat_map(|range| [range.0, range.1]))?;
    let named = features <= NAMED_FEATURES;
    let narrowest = ranges
        .iter()
        .map(|range| range.1 - range.0)
        .filter(|&width| width > 0.0)
        .fold(f64::INFINITY, f64::min);
    let own_scale = named && (highest - lowest) > 40.0 * narrowest;
    let value = |feature: usize, value: f32| {
        let value = drawable(f64::from(value))?;
        let (low, high) = ranges[feature];
        Some(match own_scale {
            true if high > low => (value - low) / (high - low),
            true => 0.5,
            false => value,
        })
    };

    let mut plots = Vec::new();
    let mut legend = Vec::new();
    for (colour, &(at, original, rebuilt)) in [0, 6, 4].into_iter().zip(&chosen) {
        let colour = COLOURS[colour];
        for (row, dashed) in [(original, false), (rebuilt, true)] {
            let points = row.iter().enumerate();
            let points: Vec<_> = points
                .filter_map(|(feature, &number)| Some((feature as f64 + 1.0, value(feature, number)?)))
                .collect();
            let line = LinePlot::new().with_data(points.iter().copied()).with_color(colour);
            plots.push(Plot::Line(if dashed {
                line.with_stroke_width(1.5).with_dashed()
            } else {
                line.with_stroke_width(2.0)
            }));
            if named {
                let marker = if dashed { MarkerShape::Cross } else { MarkerShape::Circle };
                let dots = ScatterPlot::new().with_data(points).with_color(colour).with_size(4.5);
                plots.push(Plot::Scatter(dots.with_marker(marker)));
            }
        }
        legend.push(entry(format!("example {}", at + 1), colour, LegendShape::Rect, false));
    }
    legend.push(entry("original", MUTED, LegendShape::Line, false));
    legend.push(entry("rebuilt", MUTED, LegendShape::Line, true));

    let vertical = widened(if own_scale { (0.0, 1.0) } else { (lowest, highest) }, 0.06);
    let horizontal = if named { (0.5, features as f64 + 0.5) } else { widened((1.0, features as f64), 0.02) };
    let mut layout = frame(horizontal, vertical, (760, 400))
        .with_x_label("feature")
        .with_y_label(if own_scale { "share of the feature's range" } else { "value" })
        .with_legend_entries(legend)
        .with_legend_box(false);
    if named {
        let name = |at: usize| {
            examples.feature_names.get(at).map_or_else(|| (at + 1).to_string(), |name| short_text(name, 20))
        };
        let names: Vec<String> = (0..features).map(name).collect();
        // About the room one name has below the plot.
        if names.iter().any(|name| name.chars().count() * 7 * features > 560) {
            layout = layout.with_x_tick_rotate(-40.0);
        }
        layout = layout.with_x_categories(names);
    } else {
        layout = layout.with_x_tick_format(TickFormat::Integer);
    }

    let scale = if own_scale {
        " Each feature on its own scale, from its lowest to its highest value here."
    } else {
        ""
    };
    let rows = if shown == 1 { "One example".into() } else { format!("{shown} of {} examples", pairs.len()) };
    let marks = if named { " (crosses)" } else { "" };
    let caption =
        format!("{rows}: the original as a solid line, what was rebuilt of it dashed{marks}.{scale}");
    let alternative = format!("Line chart of {rows} over {features} features, original and rebuilt.");
    figure("reconstructions", "Reconstructions", caption, alternative, plots, layout)
}

/// A chart area in the style of the report, its axes spanning exactly the given ranges.
pub(super) fn frame(x: (f64, f64), y: (f64, f64), (width, height): (u32, u32)) -> Layout {
    let theme = Theme {
        background: PAPER.into(),
        axis_color: MUTED.into(),
        grid_color: GRID.into(),
        tick_color: MUTED.into(),
        text_color: INK.into(),
        legend_bg: PAPER.into(),
        legend_border: GRID.into(),
        ..Theme::light()
    };
    Layout::new(x, y)
        .with_width(f64::from(width))
        .with_height(f64::from(height))
        .with_theme(theme)
        .with_font_family(FONT)
        .with_label_size(13)
        .with_tick_size(12)
        .with_body_size(12)
        .with_x_axis_min(x.0)
        .with_x_axis_max(x.1)
        .with_y_axis_min(y.0)
        .with_y_axis_max(y.1)
}

pub(super) fn entry(label: impl Into<String>, colour: &str, shape: LegendShape, dashed: bool) -> LegendEntry {
    LegendEntry { label: label.into(), color: colour.into(), shape, dasharray: dashed.then(|| "8 4".into()) }
}

pub(super) fn figure(
    name: &str,
    heading: &'static str,
    caption: String,
    alternative: String,
    plots: Vec<Plot>,
    layout: Layout,
) -> Option<Figure> {
    finish(name, heading, caption, alternative, &render_multiple(plots, layout))
}

/// Both files of a drawn scene.
pub(super) fn finish(
    name: &str,
    heading: &'static str,
    caption: String,
    alternative: String,
    scene: &Scene,
) -> Option<Figure> {
    let mut svg = SvgBackend::new().render_scene(scene);
    // kuva numbers its clip areas through the life of the process; named after the figure they are the same in every
    // run, and apart on a page of several.
    let clips = scene.elements.iter().filter_map(|element| match element {
        Primitive::ClipStart { id, .. } => Some(id),
        _ => None,
    });
    for (at, id) in clips.enumerate() {
        for (before, after) in [("id=\"", "\""), ("url(#", ")")] {
            svg = svg.replace(&format!("{before}{id}{after}"), &format!("{before}{name}-{at}{after}"));
        }
    }
    // With a view box the drawing scales to the page; kuva gives only the size.
    let view_box = format!("<svg viewBox=\"0 0 {} {}\" ", scene.width, scene.height);
    let svg = svg.replacen("<svg ", &view_box, 1);
    // No picture rather than no report, should the drawing library refuse its own scene.
    let png = PngBackend::new().with_scale(2.0).render_scene(scene).ok()?;
    let size = (scene.width as u32, scene.height as u32);
    Some(Figure { name: name.to_owned(), heading, caption, alternative, svg: Some(svg), png, size })
}

/// A number that axes can carry: finite, and not so large that a sum of two is not, nor so small that a quotient is not.
pub(super) fn drawable(value: f64) -> Option<f64> {
    let magnitude = value.abs();
    if magnitude < 1e-100 { Some(0.0) } else { (magnitude < 1e100).then_some(value) }
}

/// The lowest and the highest, where there are any.
pub(super) fn span(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |range, value| match range {
        None => Some((value, value)),
        Some((low, high)) => Some((value.min(low), value.max(high))),
    })
}

/// The range with a margin on both sides, wide enough to draw where all values are equal.
pub(super) fn widened((low, high): (f64, f64), share: f64) -> (f64, f64) {
    let scale = low.abs().max(high.abs());
    let margin = if high - low > 1e-9 * scale {
        (high - low) * share
    } else if scale > 0.0 {
        scale * 0.5
    } else {
        0.5
    };
    (low - margin, high + margin)
}

/// A step of whole numbers for about eight ticks over `width`.
pub(super) fn whole_step(width: f64) -> f64 {
    let steps = (0..18).flat_map(|power| [1.0, 2.0, 5.0].map(|step| step * 10f64.powi(power)));
    steps.into_iter().find(|step| width / step <= 8.0).unwrap_or(width)
}

/// Digits in groups of three: `10,000`.
pub(super) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_width() {
        for (low, high) in [(0.0, 0.0), (5.0, 5.0), (-1e99, 1e99), (1e-90, 1e-90), (3.0, 3.0 + 1e-15)] {
            let (low, high) = widened((low, high), 0.05);
            assert!(low < high && (high - low).is_finite(), "{low} {high}");
        }
        assert_eq!(drawable(f64::NAN), None);
        assert_eq!(drawable(f64::INFINITY), None);
        assert_eq!(drawable(1e-320), Some(0.0));
    }

    #[test]
    fn steps_and_groups() {
        assert_eq!([0.0, 7.0, 9.0, 49.0, 1000.0].map(whole_step), [1.0, 1.0, 2.0, 10.0, 200.0]);
        assert_eq!([0, 999, 1000, 1234567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
