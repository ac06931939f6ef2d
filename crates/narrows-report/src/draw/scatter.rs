//! The scatter chart of codes.

use kuva::plot::legend::{LegendEntry, LegendShape};
use kuva::plot::scatter::{MarkerShape, ScatterPlot};
use kuva::render::plots::Plot;
use narrows::Labels;
use narrows::base::text::short_text;

use super::Figure;
use super::axes::{COLOURS, MUTED, drawable, entry, figure, frame, grouped, span, widened};

/// Largest number of points: a vector file with more is slow to open.
const POINTS: usize = 2000;
/// Largest number of classes in a legend: the ten colours with two markers.
const LEGEND_CLASSES: usize = 20;

/// A row at each point (`first`, `second`), coloured by class.
pub(crate) fn codes(
    first: &[f32],
    second: &[f32],
    axes: [&str; 2],
    labels: Option<&Labels>,
) -> Option<Figure> {
    let rows = first.len().min(second.len());
    let names = labels.map_or(&[][..], |labels| &labels.names);
    let classes = points_by_class(first, second, labels);
    let points = || classes.iter().flatten();
    let drawn = points().count();
    let horizontal = widened(span(points().map(|point| point.0))?, 0.04);
    let vertical = widened(span(points().map(|point| point.1))?, 0.04);
    let (plots, legend) = markers(classes, names, drawn > 500);

    let [first, second] = axes.map(|axis| short_text(axis, 48));
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

/// The points of some rows, evenly chosen, by class in the order of the names; those of no known class come last.
fn points_by_class(first: &[f32], second: &[f32], labels: Option<&Labels>) -> Vec<Vec<(f64, f64)>> {
    let rows = first.len().min(second.len());
    let drawn = rows.min(POINTS);
    let unknown = labels.map_or(0, |labels| labels.names.len());
    let mut classes = vec![Vec::new(); unknown + 1];
    // One row from each of equal stretches, at an offset that follows no period in the rows.
    let stretch = rows as f64 / drawn as f64;
    let chosen =
        |at: usize| (((at as f64 + (at as f64 * 0.618_033_988_75).fract()) * stretch) as usize).min(rows - 1);
    for row in (0..drawn).map(|at| if drawn == rows { at } else { chosen(at) }) {
        let value = |values: &[f32]| drawable(f64::from(values[row]));
        let (Some(x), Some(y)) = (value(first), value(second)) else { continue };
        let class =
            labels.and_then(|labels| labels.classes.get(row)).map_or(unknown, |&class| class as usize);
        classes[class.min(unknown)].push((x, y));
    }
    classes
}

/// The plot and the legend entry of each class. Many points are drawn smaller.
fn markers(classes: Vec<Vec<(f64, f64)>>, names: &[String], many: bool) -> (Vec<Plot>, Vec<LegendEntry>) {
    let (size, opacity) = if many { (2.8, 0.7) } else { (4.0, 0.8) };
    let (mut plots, mut legend) = (Vec::new(), Vec::new());
    for (class, points) in classes.into_iter().enumerate().filter(|(_, points)| !points.is_empty()) {
        let unnamed = class == names.len();
        let colour = if unnamed && class > 0 { MUTED } else { COLOURS[class % COLOURS.len()] };
        let is_even = (class / COLOURS.len()).is_multiple_of(2);
        let marker = if is_even { MarkerShape::Circle } else { MarkerShape::Triangle };
        let plot = ScatterPlot::new().with_data(points).with_color(colour).with_size(size);
        plots.push(Plot::Scatter(plot.with_marker(marker).with_marker_opacity(opacity)));
        let name = if unnamed { "no class".into() } else { short_text(&names[class], 20) };
        legend.push(entry(name, colour, LegendShape::Marker(marker), false));
    }
    (plots, legend)
}
