//! A comparison: its progress, its record, its tables.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use narrows::base::text::escaped;
use narrows::experiments::compare::{Cell, Comparison, ComparisonEvent, Measure};
use narrows::progress::Event;
use serde::Serialize;

use super::{stderr, stdout, table};
use crate::shared::flags_of_hints::with_flags;
use crate::shared::interrupt;

/// The columns of the table on a terminal, which is narrower than a page.
const COLUMNS: [Measure; 11] = [
    Measure::CodeSize,
    Measure::Parameters,
    Measure::Seconds,
    Measure::SquaredError,
    Measure::PcaSquaredError,
    Measure::ExplainedVariance,
    Measure::DeadUnits,
    Measure::NearestNeighbour,
    Measure::LinearProbe,
    Measure::Trustworthiness,
    Measure::Continuity,
];

/// Shows the events of a comparison: a bar on a terminal, or lines of JSON.
pub struct Progress {
    json: bool,
    stop: Arc<AtomicBool>,
    bar: Option<ProgressBar>,
}

/// Marks on the bar for each fit.
const MARKS: usize = 1000;

impl Progress {
    pub fn new(json: bool, stop: Arc<AtomicBool>) -> Self {
        Self { json, stop, bar: None }
    }

    /// Shows an event; answers with a request to stop once Ctrl-C was pressed. That nobody reads any more stops no fit.
    pub fn on_event(&mut self, event: &ComparisonEvent<'_>) -> ControlFlow<()> {
        if let ComparisonEvent::Fit { event, .. } = event {
            interrupt::on_event(event);
        }
        if self.json {
            // Standard output that is lost is said there.
            let _ = print_event(event);
        } else {
            self.draw(event);
        }
        if self.stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Takes the bar away.
    pub fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn draw(&mut self, event: &ComparisonEvent<'_>) {
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr_with_hz(10));
            let style = ProgressStyle::with_template("{wide_bar:.cyan/dim} {msg}, {elapsed}")
                .expect("the template is valid");
            bar.set_style(style);
            bar
        });
        match event {
            ComparisonEvent::Fit { recipe, number, of, event } => {
                bar.set_length((of * MARKS) as u64);
                let place = format!("{} ({number} of {of})", escaped(recipe));
                match event {
                    Event::Step { epoch, epochs, rows, total_rows, .. } => {
                        let done = ((epoch - 1) * total_rows + rows) * MARKS / (epochs * total_rows).max(1);
                        bar.update(|state| state.set_pos(((number - 1) * MARKS + done) as u64));
                        bar.set_message(format!("{place}, epoch {epoch}/{epochs}"));
                    }
                    Event::Warning(what) => {
                        bar.suspend(|| stderr::line(format!("warning: {recipe}: {what}")))
                    }
                    Event::Stage(stage) => bar.set_message(format!("{place}, {stage}")),
                    _ => {}
                }
            }
            ComparisonEvent::Stage { stage } => bar.set_message((*stage).to_owned()),
            _ => {}
        }
    }
}

/// A line of JSON for a fit that was evaluated, a recipe that failed, a point of a curve.
fn print_event(event: &ComparisonEvent<'_>) -> anyhow::Result<()> {
    match event {
        ComparisonEvent::Fit { .. } | ComparisonEvent::Stage { .. } => Ok(()),
        event => table::json(event),
    }
}

/// The last line of JSON.
pub fn json(comparison: &Comparison, data: &str, report: &Path) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Line<'a> {
        event: &'static str,
        data: &'a str,
        #[serde(flatten)]
        comparison: &'a Comparison,
        #[serde(serialize_with = "table::path")]
        report: &'a Path,
    }
    table::json(&Line { event: "comparison", data, comparison, report })?;
    say_where(report);
    Ok(())
}

/// Says on standard error where the page is, if standard output did not take it.
fn say_where(page: &Path) {
    if stdout::is_lost() {
        stderr::line(format!("the report is {}", page.display()));
    }
}

/// The tables and the verdict.
pub fn table(comparison: &Comparison, data: &str, page: &Path) -> anyhow::Result<()> {
    let scale = comparison.scale;
    table::line(format!(
        "on {}, scaling for all: {} ({})\n",
        escaped(data),
        scale.scale.name(),
        scale.reason
    ))?;
    let (header, rows) = comparison.table(&COLUMNS);
    let text = |row: &Vec<Cell>| -> Vec<String> {
        row.iter().map(|cell| if cell.best { format!("{}*", cell.text) } else { cell.text.clone() }).collect()
    };
    table::table(&header, &rows.iter().map(text).collect::<Vec<_>>())?;
    table::line("\n* the best of its column")?;
    table::line("of PCA: the squared error of PCA with a code of the same size")?;
    if header.iter().any(|name| name == Measure::NearestNeighbour.title()) {
        table::line(
            "1-NN, probe: held-out rows whose class is found from the code, by the nearest training row and by a linear classifier",
        )?;
    }
    table::line(
        "trust, continuity: are neighbours as codes neighbours as rows, and the other way round (1: all are)",
    )?;
    if let Some(curves) = &comparison.code_size_curves {
        table::line("\nsquared error by code size, [the elbow] in brackets\n")?;
        let mut header = vec!["recipe".to_owned()];
        header.extend(curves.code_sizes.iter().map(usize::to_string));
        let rows: Vec<Vec<String>> = curves
            .curves
            .iter()
            .map(|curve| {
                let cell = |&size: &usize| {
                    let point = curve.points.iter().find(|point| point.code_size == size);
                    let text = point
                        .map_or_else(|| "-".into(), |point| format!("{:.4}", point.squared_error_per_row));
                    if curve.elbow == Some(size) { format!("[{text}]") } else { text }
                };
                [curve.recipe.clone()].into_iter().chain(curves.code_sizes.iter().map(cell)).collect()
            })
            .collect();
        table::table(&header, &rows)?;
    }
    table::line("")?;
    for remark in comparison.remarks() {
        table::line(format!("note: {}", with_flags(&escaped(&remark))))?;
    }
    // One sentence, its parts below each other.
    table::line(format!("{}\n", with_flags(&escaped(&comparison.verdict)).replace("; ", ";\n")))?;
    table::line(format!("report  {}", escaped(&page.display().to_string())))?;
    say_where(page);
    Ok(())
}
