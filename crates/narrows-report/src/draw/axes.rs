//! The style of charts: colours, the frame around a chart, ranges of its axes.

use kuva::backend::png::PngBackend;
use kuva::backend::svg::SvgBackend;
use kuva::plot::legend::{LegendEntry, LegendShape};
use kuva::render::layout::Layout;
use kuva::render::plots::Plot;
use kuva::render::render::{Primitive, Scene, render_multiple};
use kuva::render::theme::Theme;

use super::Figure;

/// Colours of text, axes and grid. The style sheet of the page replaces them in dark mode.
pub(crate) const INK: &str = "#1f2937";
pub(crate) const MUTED: &str = "#64748b";
pub(crate) const GRID: &str = "#e2e8f0";
pub(crate) const PAPER: &str = "#ffffff";
pub(crate) const FONT: &str = "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";

/// Ten colours that stay apart for colour-blind readers (Petroff 2021, arXiv:2107.02270).
pub(crate) const COLOURS: [&str; 10] = [
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581",
    "#92dadd",
];

/// A vertical axis: linear, or logarithmic where its values differ widely.
pub(crate) struct Axis {
    /// The lowest and the highest value shown.
    pub range: (f64, f64),
    /// Whether it is logarithmic.
    pub logarithmic: bool,
}

impl Axis {
    /// An axis for values between the given two: logarithmic where all are positive and the highest exceeds `ratio` times
    /// the lowest.
    pub fn new((low, high): (f64, f64), ratio: f64) -> Self {
        let logarithmic = low > 0.0 && high > ratio * low;
        let range = if logarithmic { (low * 0.8, high * 1.25) } else { widened((low, high), 0.06) };
        Self { range, logarithmic }
    }

    /// Its title.
    pub fn title(&self, name: &str) -> String {
        if self.logarithmic { format!("{name} (log scale)") } else { name.to_owned() }
    }

    /// Makes the vertical axis of a layout this one.
    pub fn put_on(&self, layout: Layout, name: &str) -> Layout {
        let layout = layout.with_y_label(self.title(name));
        if self.logarithmic { layout.with_log_y() } else { layout }
    }
}

/// A chart area in the style of the report whose axes span exactly the given ranges.
pub(crate) fn frame(x: (f64, f64), y: (f64, f64), (width, height): (u32, u32)) -> Layout {
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

/// An entry of a legend.
pub(crate) fn entry(label: impl Into<String>, colour: &str, shape: LegendShape, dashed: bool) -> LegendEntry {
    LegendEntry { label: label.into(), color: colour.into(), shape, dasharray: dashed.then(|| "8 4".into()) }
}

/// The figure of some plots in one chart area.
pub(crate) fn figure(
    name: &str,
    heading: &'static str,
    caption: String,
    alternative: String,
    plots: Vec<Plot>,
    layout: Layout,
) -> Option<Figure> {
    finish(name, heading, caption, alternative, &render_multiple(plots, layout))
}

/// The figure of a drawn scene.
pub(crate) fn finish(
    name: &str,
    heading: &'static str,
    caption: String,
    alternative: String,
    scene: &Scene,
) -> Option<Figure> {
    let mut svg = SvgBackend::new().render_scene(scene);
    // kuva numbers clip areas over the life of the process. Named after the figure, they are the same in every run and
    // distinct on a page with several figures.
    let clips = scene.elements.iter().filter_map(|element| match element {
        Primitive::ClipStart { id, .. } => Some(id),
        _ => None,
    });
    for (at, id) in clips.enumerate() {
        for (before, after) in [("id=\"", "\""), ("url(#", ")")] {
            svg = svg.replace(&format!("{before}{id}{after}"), &format!("{before}{name}-{at}{after}"));
        }
    }
    // The drawing scales to the page only with a view box; kuva writes none.
    let view_box = format!("<svg viewBox=\"0 0 {} {}\" ", scene.width, scene.height);
    let svg = svg.replacen("<svg ", &view_box, 1);
    // If kuva cannot draw its own scene, the page goes without the figure.
    let png = PngBackend::new().with_scale(2.0).render_scene(scene).ok()?;
    let size = (scene.width as u32, scene.height as u32);
    Some(Figure { name: name.to_owned(), heading, caption, alternative, svg: Some(svg), png, size })
}

/// A number that can be drawn: finite, and of a magnitude whose sums and quotients are finite too. Tiny numbers become 0.
pub(crate) fn drawable(value: f64) -> Option<f64> {
    let magnitude = value.abs();
    if magnitude < 1e-100 { Some(0.0) } else { (magnitude < 1e100).then_some(value) }
}

/// The lowest and the highest value; None for no values.
pub(crate) fn span(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |range, value| match range {
        None => Some((value, value)),
        Some((low, high)) => Some((value.min(low), value.max(high))),
    })
}

/// A range with a margin of `share` of its width on both sides; a range without width gets one.
pub(crate) fn widened((low, high): (f64, f64), share: f64) -> (f64, f64) {
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

/// A tick step of 1, 2 or 5 times a power of ten that gives about eight ticks over `width`.
pub(crate) fn whole_step(width: f64) -> f64 {
    let steps = (0..18).flat_map(|power| [1.0, 2.0, 5.0].map(|step| step * 10f64.powi(power)));
    steps.into_iter().find(|step| width / step <= 8.0).unwrap_or(width)
}

/// A number with its digits in groups of three: `10,000`.
pub(crate) fn grouped(number: usize) -> String {
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
