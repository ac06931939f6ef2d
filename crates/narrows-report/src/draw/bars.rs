//! Bar charts: the errors of several methods, and the spectrum of a PCA.

use kuva::TickFormat;
use kuva::plot::bar::BarPlot;
use kuva::plot::legend::{LegendPosition, LegendShape};
use kuva::plot::line::LinePlot;
use kuva::plot::scatter::ScatterPlot;
use kuva::render::color::Color;
use kuva::render::plots::Plot;
use kuva::render::render::{Primitive, Scene, TextAnchor};
use narrows::base::text::{figure_text, short_text};

use super::Figure;
use super::axes::{COLOURS, FONT, INK, PAPER, drawable, entry, figure, finish, frame, whole_step};

/// The colour of bars that are not highlighted.
const QUIET: &str = "#a9b4c2";
/// Largest number of components drawn.
const COMPONENTS: usize = 200;
/// Largest number of components marked by dots.
const DOTTED_COMPONENTS: usize = 40;

/// Squared errors per row by method. The last one, the model, is highlighted.
pub(crate) fn comparison(errors: &[(String, f64)]) -> Option<Figure> {
    let model = errors.len().checked_sub(1)?;
    let bars: Vec<Bar> =
        errors.iter().enumerate().filter_map(|(at, (name, error))| bar(at == model, name, *error)).collect();
    let left_out = match errors.len() - bars.len() {
        0 => String::new(),
        count => format!(" Not drawn, as not finite: {count}."),
    };
    let caption = format!(
        "Squared error per row on the same held-out rows: shorter is better. The scale starts at 0.{left_out}"
    );
    let what = "Bars of squared error per row";
    bar_chart("comparison", "Comparison", caption, what, &bars)
}

/// Error rates by method. The last one, the model, is highlighted.
pub(crate) fn error_rates(errors: &[(String, f64)]) -> Option<Figure> {
    let model = errors.len().checked_sub(1)?;
    let bars: Vec<Bar> = errors
        .iter()
        .enumerate()
        .map(|(at, (name, error))| (at == model, short_text(name, 32), error * 100.0))
        .collect();
    let caption =
        "Per cent of the held-out rows that are misclassified: shorter is better. The scale starts at 0.";
    bar_chart("errors", "Errors", caption.into(), "Bars of the error in per cent", &bars)
}

/// A recipe, its squared error per row, and the PCA with its code size, by name and error.
pub(crate) type BesidePca = (String, f64, Option<(String, f64)>);

/// The squared error per row of each recipe, highlighted, above that of the PCA with its code size, where there is one.
pub(crate) fn beside_pca(errors: &[BesidePca]) -> Option<Figure> {
    let bars: Vec<Bar> = errors
        .iter()
        .flat_map(|(recipe, error, pca)| {
            let pca = pca.as_ref().and_then(|(name, error)| bar(false, name, *error));
            bar(true, recipe, *error).into_iter().chain(pca)
        })
        .collect();
    let caption = "Squared error per row on the same held-out rows: shorter is better. Below each recipe, in grey, \
                   the PCA with a code of the same size. The scale starts at 0.";
    bar_chart("errors", "Squared errors", caption.into(), "Bars of squared error per row", &bars)
}

fn bar(highlighted: bool, name: &str, error: f64) -> Option<Bar> {
    Some((highlighted, short_text(name, 32), drawable(error)?.max(0.0)))
}

/// `what` begins the description, which goes on with the list of the bars.
fn bar_chart(name: &str, heading: &'static str, caption: String, what: &str, bars: &[Bar]) -> Option<Figure> {
    if bars.is_empty() {
        return None;
    }
    let list: Vec<String> =
        bars.iter().map(|(_, name, error)| format!("{name} {}", figure_text(*error))).collect();
    finish(name, heading, caption, format!("{what}: {}.", list.join(", ")), &draw(bars))
}

/// A bar: whether it is highlighted, its name, its length.
type Bar = (bool, String, f64);

/// Bars with their names on the left and their numbers on the right. With the numbers beside them they need no axis.
fn draw(bars: &[Bar]) -> Scene {
    let largest = bars.iter().fold(0.0, |largest: f64, bar| largest.max(bar.2));
    const WIDTH: f64 = 760.0;
    const PITCH: f64 = 38.0;
    const BAR: f64 = 24.0;
    let longest = bars.iter().map(|bar| bar.1.chars().count()).max().unwrap_or(0);
    let left = (longest as f64 * 8.0 + 28.0).clamp(90.0, 300.0);
    let room = WIDTH - left - 90.0;
    let mut scene = Scene::new(WIDTH, bars.len() as f64 * PITCH + 16.0).with_background(Some(PAPER));
    scene.text_color = Some(INK.into());
    scene.font_family = Some(FONT.into());
    for (at, (highlighted, name, error)) in bars.iter().enumerate() {
        let top = 8.0 + at as f64 * PITCH + (PITCH - BAR) / 2.0;
        let length = if largest > 0.0 { error / largest * room } else { 0.0 };
        let text = |x, content: &str, anchor| Primitive::Text {
            x,
            y: top + BAR / 2.0 + 4.5,
            content: content.into(),
            size: 13,
            anchor,
            rotate: None,
            bold: *highlighted,
            color: None,
        };
        scene.add(Primitive::Rect {
            x: left,
            y: top,
            // An error of 0 still shows as a line.
            width: length.max(2.0),
            height: BAR,
            fill: Color::from(if *highlighted { COLOURS[0] } else { QUIET }),
            stroke: None,
            stroke_width: None,
            opacity: None,
        });
        scene.add(text(left - 10.0, name, TextAnchor::End));
        scene.add(text(left + length.max(2.0) + 8.0, &figure_text(*error), TextAnchor::Start));
    }
    scene
}

/// The share of the variance that each component explains, and the cumulative sum.
pub(crate) fn spectrum(ratios: &[f64]) -> Option<Figure> {
    let drawn = &ratios[..ratios.len().min(COMPONENTS)];
    let shares: Vec<f64> =
        drawn.iter().map(|&ratio| drawable(ratio).unwrap_or(0.0).clamp(0.0, 1.0)).collect();
    let mut sum = 0.0;
    let sums: Vec<(f64, f64)> = shares
        .iter()
        .enumerate()
        .map(|(at, share)| {
            sum += share;
            (at as f64 + 1.0, f64::min(sum, 1.0))
        })
        .collect();
    let count = shares.len();
    let last = sums.last()?.1;

    let mut bars = BarPlot::new().with_width(if count > 60 { 1.0 } else { 0.75 });
    for (at, &share) in shares.iter().enumerate() {
        bars = bars.with_colored_bar((at + 1).to_string(), share, COLOURS[0]);
    }
    let mut plots = vec![
        Plot::Bar(bars),
        Plot::Line(
            LinePlot::new().with_data(sums.iter().copied()).with_color(COLOURS[6]).with_stroke_width(2.0),
        ),
    ];
    if count <= DOTTED_COMPONENTS {
        let dots = ScatterPlot::new().with_data(sums).with_color(COLOURS[6]).with_size(4.0);
        plots.push(Plot::Scatter(dots));
    }
    let layout = frame((0.4, count as f64 + 0.6), (0.0, 1.04), (760, 380))
        .with_x_label("component")
        .with_y_label("variance explained")
        .with_x_tick_step(whole_step(count as f64))
        .with_x_tick_format(TickFormat::Integer)
        .with_y_tick_step(0.2)
        .with_y_tick_format(TickFormat::Custom(std::sync::Arc::new(|share| {
            format!("{:.0} %", share * 100.0)
        })))
        .with_legend_entries(vec![
            entry("each", COLOURS[0], LegendShape::Rect, false),
            entry("together", COLOURS[6], LegendShape::Line, false),
        ])
        .with_legend_position(LegendPosition::OutsideRightTop)
        .with_legend_box(false);

    let (caption, alternative) = spectrum_texts(count, ratios.len(), shares[0], last);
    figure("spectrum", "Spectrum", caption, alternative, plots, layout)
}

/// The caption and the description of the spectrum: `count` of `all` components, of which the first explains `first` and
/// all together `last` of the variance.
fn spectrum_texts(count: usize, all: usize, first: f64, last: f64) -> (String, String) {
    let which = if count < all {
        format!("The first {count} of {} components", all)
    } else if count == 1 {
        "The one component".into()
    } else {
        format!("All {count} components")
    };
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let caption = format!(
        "{which}: the share of the variance that each explains, as bars, and the sum of all up to it, as a line. The first explains {}, together they explain {}.",
        percent(first),
        percent(last)
    );
    let alternative = format!(
        "Bars and a rising line: the first component explains {}, {count} together {}.",
        percent(first),
        percent(last)
    );
    (caption, alternative)
}
