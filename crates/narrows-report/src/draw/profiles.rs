//! Flat rows beside their reconstructions, as lines over their features.

use kuva::TickFormat;
use kuva::plot::legend::{LegendEntry, LegendShape};
use kuva::plot::line::LinePlot;
use kuva::plot::scatter::{MarkerShape, ScatterPlot};
use kuva::render::layout::Layout;
use kuva::render::plots::Plot;
use narrows::base::text::short_text;

use super::Figure;
use super::axes::{COLOURS, MUTED, drawable, entry, figure, frame, span, widened};

/// Largest number of rows drawn.
const PROFILES: usize = 3;
/// Largest number of features with a name and a dot each.
const NAMED_FEATURES: usize = 24;

/// Some rows of `features` numbers beside their reconstructions. `names` are those of the features; there may be none.
pub(crate) fn profiles(
    features: usize,
    originals: &[f32],
    reconstructions: &[f32],
    names: &[String],
) -> Option<Figure> {
    let width = features.max(1);
    let pairs: Vec<(&[f32], &[f32])> =
        originals.chunks_exact(width).zip(reconstructions.chunks_exact(width)).collect();
    let chosen = evenly_chosen(&pairs);
    let scale = Scale::of(features, &chosen)?;
    let named = features <= NAMED_FEATURES;
    let (plots, legend) = lines(&chosen, &scale, named);
    let layout = layout(features, &scale, names)
        .with_x_label("feature")
        .with_y_label(if scale.per_feature { "share of the feature's range" } else { "value" })
        .with_legend_entries(legend)
        .with_legend_box(false);
    let rows = match chosen.len() {
        1 => "One example".to_owned(),
        shown => format!("{shown} of {} examples", pairs.len()),
    };
    let marks = if named { " (crosses)" } else { "" };
    let per_feature = " Each feature on its own scale, from its lowest to its highest value here.";
    let scale = if scale.per_feature { per_feature } else { "" };
    let caption =
        format!("{rows}: the original as a solid line, what was rebuilt of it dashed{marks}.{scale}");
    let alternative = format!("Line chart of {rows} over {features} features, original and rebuilt.");
    figure("reconstructions", "Reconstructions", caption, alternative, plots, layout)
}

/// A row that is drawn: its number from 0, its values, its reconstruction.
type Profile<'a> = (usize, &'a [f32], &'a [f32]);

/// A few rows, from the first to the last at equal distances.
fn evenly_chosen<'a>(pairs: &[(&'a [f32], &'a [f32])]) -> Vec<Profile<'a>> {
    let shown = pairs.len().min(PROFILES);
    let chosen = (0..shown).map(|at| at * (pairs.len() - 1) / (shown - 1).max(1));
    chosen.map(|at| (at, pairs[at].0, pairs[at].1)).collect()
}

/// The vertical scale: one for all features, or one for each where a single scale would flatten some.
struct Scale {
    /// The lowest and the highest value of each feature.
    ranges: Vec<(f64, f64)>,
    /// The lowest and the highest value of all.
    all: (f64, f64),
    per_feature: bool,
}

impl Scale {
    /// None where no value can be drawn.
    fn of(features: usize, chosen: &[Profile<'_>]) -> Option<Self> {
        if chosen.is_empty() {
            return None;
        }
        let range = |feature: usize| {
            let values =
                chosen.iter().flat_map(|(_, original, rebuilt)| [original[feature], rebuilt[feature]]);
            span(values.filter_map(|value| drawable(f64::from(value)))).unwrap_or((0.0, 0.0))
        };
        let ranges: Vec<(f64, f64)> = (0..features).map(range).collect();
        let all = span(ranges.iter().flat_map(|range| [range.0, range.1]))?;
        let narrowest = ranges
            .iter()
            .map(|range| range.1 - range.0)
            .filter(|&width| width > 0.0)
            .fold(f64::INFINITY, f64::min);
        let per_feature = features <= NAMED_FEATURES && (all.1 - all.0) > 40.0 * narrowest;
        Some(Self { ranges, all, per_feature })
    }

    fn value(&self, feature: usize, value: f32) -> Option<f64> {
        let value = drawable(f64::from(value))?;
        let (low, high) = self.ranges[feature];
        Some(match self.per_feature {
            true if high > low => (value - low) / (high - low),
            true => 0.5,
            false => value,
        })
    }
}

/// A solid line for each row and a dashed one for its reconstruction; with a marker at each feature where they are named.
fn lines(chosen: &[Profile<'_>], scale: &Scale, named: bool) -> (Vec<Plot>, Vec<LegendEntry>) {
    let (mut plots, mut legend) = (Vec::new(), Vec::new());
    for (colour, &(at, original, rebuilt)) in [0, 6, 4].into_iter().zip(chosen) {
        let colour = COLOURS[colour];
        for (row, dashed) in [(original, false), (rebuilt, true)] {
            let point = |(feature, &number): (usize, &f32)| {
                Some((feature as f64 + 1.0, scale.value(feature, number)?))
            };
            let points: Vec<_> = row.iter().enumerate().filter_map(point).collect();
            let line = LinePlot::new().with_data(points.iter().copied()).with_color(colour);
            plots.push(Plot::Line(match dashed {
                true => line.with_stroke_width(1.5).with_dashed(),
                false => line.with_stroke_width(2.0),
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
    (plots, legend)
}

/// The chart area, with the names of few features below it.
fn layout(features: usize, scale: &Scale, names: &[String]) -> Layout {
    let vertical = widened(if scale.per_feature { (0.0, 1.0) } else { scale.all }, 0.06);
    if features > NAMED_FEATURES {
        let horizontal = widened((1.0, features as f64), 0.02);
        return frame(horizontal, vertical, (760, 400)).with_x_tick_format(TickFormat::Integer);
    }
    let layout = frame((0.5, features as f64 + 0.5), vertical, (760, 400));
    let name = |at: usize| names.get(at).map_or_else(|| (at + 1).to_string(), |name| short_text(name, 20));
    let names: Vec<String> = (0..features).map(name).collect();
    // Names that are wider than the room of a feature are turned.
    let is_wide = names.iter().any(|name| name.chars().count() * 7 * features > 560);
    let layout = if is_wide { layout.with_x_tick_rotate(-40.0) } else { layout };
    layout.with_x_categories(names)
}
