//! Charts of bars: the errors of several methods, and the spectrum of a PCA.

use kuva::TickFormat;
use kuva::plot::bar::BarPlot;
use kuva::plot::legend::{LegendPosition, LegendShape};
use kuva::plot::line::LinePlot;
use kuva::plot::scatter::ScatterPlot;
use kuva::render::color::Color;
use kuva::render::plots::Plot;
use kuva::render::render::{Primitive, Scene, TextAnchor};

use super::Figure;
use super::charts::{COLOURS, FONT, INK, PAPER, drawable, entry, figure, finish, frame, whole_step};
use narrows::base::text::{figure_text, short_text};

/// Bars that step back behind the highlighted one.
const QUIET: &str = "#a9b4c2";
/// Components drawn at most.
const COMPONENTS: usize = 200;
/// Components up to which each is marked with a dot.
const DOTTED_COMPONENTS: usize = 40;

/// Squared error per row of each method, the last one highlighted.
pub(super) fn comparison(errors: &[(String, f64)]) -> Option<Figure> {
    let model = errors.len().checked_sub(1)?;
    let bars: Vec<(bool, String, f64)> = errors
        .iter()
        .enumerate()
        .filter_map(|(at, (name, error))| {
            Some((at == model, short_text(name, 32), drawable(*error)?.max(0.0)))
        })
        .collect();
    let largest = bars.iter().fold(0.0, |largest: f64, bar| largest.max(bar.2));
    if bars.is_empty() {
        return None;
    }

    let scene = draw(&bars, largest);
    let list: Vec<String> =
        bars.iter().map(|(_, name, error)| format!("{name} {}", figure_text(*error))).collect();
    let left_out = errors.len() - bars.len();
    let left_out =
        if left_out > 0 { format!(" Not drawn, as not finite: {left_out}.") } else { String::new() };
    let caption = format!(
        "Squared error per row on the same held-out rows: shorter is better. The scale starts at 0.{left_out}"
    );
    let alternative = format!("Bars of squared error per row: {}.", list.join(", "));
    finish("comparison", "Comparison", caption, alternative, &scene)
}

/// The share of rows whose class each method tells wrong, the last one highlighted.
pub(super) fn errors(errors: &[(String, f64)]) -> Option<Figure> {
    let model = errors.len().checked_sub(1)?;
    let bars: Vec<(bool, String, f64)> = errors
        .iter()
        .enumerate()
        .map(|(at, (name, error))| (at == model, short_text(name, 32), error * 100.0))
        .collect();
    let largest = bars.iter().fold(0.0, |largest: f64, bar| largest.max(bar.2));
    let list: Vec<String> =
        bars.iter().map(|(_, name, error)| format!("{name} {}", figure_text(*error))).collect();
    let caption =
        "Per cent of the held-out rows whose class is told wrong: shorter is better. The scale starts at 0.";
    let alternative = format!("Bars of the error in per cent: {}.", list.join(", "));
    finish("errors", "Errors", caption.into(), alternative, &draw(&bars, largest))
}

/// Bars with their names to the left and their figures beside them; some are highlighted.
pub(super) fn draw(bars: &[(bool, String, f64)], largest: f64) -> Scene {
    // Few bars with their figures beside them need no axis, so the scene is drawn directly.
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
            // Nothing to lose still shows as a line.
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

/// The share of the variance that each component explains, and their running sum.
pub(super) fn spectrum(ratios: &[f64]) -> Option<Figure> {
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

    let which = if count < ratios.len() {
        format!("The first {count} of {} components", ratios.len())
    } else if count == 1 {
        "The one component".into()
    } else {
        format!("All {count} components")
    };
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let caption = format!(
        "{which}: the share of the variance that each explains, as bars, and the sum of all up to it, as a line. The first explains {}, together they explain {}.",
        percent(shares[0]),
        percent(last)
    );
    let alternative = format!(
        "Bars and a rising line: the first component explains {}, {count} together {}.",
        percent(shares[0]),
        percent(last)
    );
    figure("spectrum", "Spectrum", caption, alternative, plots, layout)
}
