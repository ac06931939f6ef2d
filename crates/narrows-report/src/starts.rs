//! Networks from two kinds of start side by side: pre-trained, and at random.

use kuva::TickFormat;
use kuva::plot::legend::{LegendPosition, LegendShape};
use kuva::plot::line::LinePlot;
use kuva::render::plots::Plot;

use super::Figure;
use super::charts::{COLOURS, drawable, entry, figure, frame, span, whole_step, widened};
use super::page::{self, escape, put};
use narrows::experiments::random_baseline::{BaselineRun, RandomBaseline};
use narrows::progress::EpochRecord;

/// Networks that were pre-trained beside the same from random starts.
#[derive(Debug, Clone, PartialEq)]
pub struct Starts {
    /// One plain sentence.
    pub answer: String,
    /// What the curves show: `told wrong, %`.
    pub what: String,
    /// The header of the table: the seed, and what each column is.
    pub header: Vec<String>,
    /// One row for each seed.
    pub rows: Vec<Vec<String>>,
    /// One curve for each network.
    pub curves: Vec<StartCurve>,
}

/// How one network went on.
#[derive(Debug, Clone, PartialEq)]
pub struct StartCurve {
    /// Whether it was pre-trained.
    pub pretrained: bool,
    /// The seed.
    pub seed: u64,
    /// Updates so far, those of layers alone included, and the figure.
    pub points: Vec<(f64, f64)>,
}

/// What the report shows of it.
pub fn starts_of(twins: &RandomBaseline, recipe: &str) -> Starts {
    let curve = |run: &BaselineRun, pretrained: bool| {
        let per_epoch = run.steps.1 as f64 / run.history.len().max(1) as f64;
        let value = |record: &EpochRecord| match record.held_out_error_rate {
            Some(error) => error * 100.0,
            None => record.held_out_loss,
        };
        let point =
            |record: &EpochRecord| (run.steps.0 as f64 + record.epoch as f64 * per_epoch, value(record));
        StartCurve { pretrained, seed: run.seed, points: run.history.iter().map(point).collect() }
    };
    let curves = twins.pretrained.iter().map(|run| curve(run, true));
    let curves = curves.chain(twins.random.iter().map(|run| curve(run, false))).collect();
    let (header, rows) = twins.table(recipe);
    Starts {
        answer: twins.answer(),
        what: if twins.is_classifier { "told wrong, %" } else { "held-out loss" }.to_owned(),
        header,
        rows,
        curves,
    }
}

/// The section of the page, and its figure.
pub(super) fn section(page: &mut String, starts: &Starts) -> Option<Figure> {
    let chart = curves(starts);
    put(
        page,
        format_args!(
            "<section>\n<h2>Was pre-training worth it?</h2>\n<p>{}</p>\n<table>\n<thead><tr>",
            escape(&starts.answer)
        ),
    );
    for name in &starts.header {
        put(page, format_args!("<th scope=\"col\" class=\"number\">{}</th>", escape(name)));
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for row in &starts.rows {
        page.push_str("<tr>");
        row.iter().for_each(|cell| put(page, format_args!("<td class=\"number\">{}</td>", escape(cell))));
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody>\n</table>\n</section>\n");
    chart.iter().for_each(|chart| page::figure(page, chart));
    chart
}

/// Both kinds of curves against the updates.
fn curves(starts: &Starts) -> Option<Figure> {
    let drawn: Vec<(bool, Vec<(f64, f64)>)> = starts
        .curves
        .iter()
        .map(|curve| {
            let points = curve.points.iter().filter_map(|point| Some((point.0, drawable(point.1)?)));
            (curve.pretrained, points.collect())
        })
        .collect();
    let points = || drawn.iter().flat_map(|(_, points)| points);
    let updates = (0.0, span(points().map(|point| point.0))?.1.max(1.0));
    let all = span(points().map(|point| point.1))?;
    let logarithmic = all.0 > 0.0 && all.1 > 4.0 * all.0;
    let vertical = if logarithmic { (all.0 * 0.8, all.1 * 1.25) } else { widened(all, 0.06) };
    let kinds = [("pre-trained", true, COLOURS[0]), ("random start", false, COLOURS[6])];
    let (mut plots, mut legend) = (Vec::new(), Vec::new());
    for (name, pretrained, colour) in kinds {
        for (_, points) in drawn.iter().filter(|(kind, points)| *kind == pretrained && !points.is_empty()) {
            let line = LinePlot::new().with_data(points.iter().copied());
            plots.push(Plot::Line(line.with_color(colour).with_stroke_width(1.6)));
        }
        legend.push(entry(name, colour, LegendShape::Line, false));
    }
    let layout = frame(widened(updates, 0.02), vertical, (760, 380))
        .with_x_label("updates, those of layers alone included")
        .with_y_label(if logarithmic { format!("{} (log scale)", starts.what) } else { starts.what.clone() })
        .with_x_tick_step(whole_step(updates.1))
        .with_x_tick_format(TickFormat::Integer)
        .with_legend_entries(legend)
        .with_legend_position(LegendPosition::InsideTopRight);
    let layout = if logarithmic { layout.with_log_y() } else { layout };
    let caption = "One line for each seed, after each epoch of all layers together, on the held-out rows. A network that was pre-trained begins where its layers alone have used up their updates.";
    let alternative = format!("Curves by updates, pre-trained and from random starts. {}", starts.answer);
    figure("starts", "Pre-trained and from random starts", caption.into(), alternative, plots, layout)
}
