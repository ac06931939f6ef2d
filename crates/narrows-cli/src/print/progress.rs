//! Progress of a fit: a bar on a terminal, lines of JSON, or nothing.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use narrows::progress::{EpochRecord, Event};
use serde::Serialize;

use super::{stderr, table};
use crate::shared::interrupt;

/// Shows the events of a fit.
pub struct Progress {
    json: bool,
    stop: Arc<AtomicBool>,
    bar: Option<ProgressBar>,
    last: String,
    /// The layer that is trained alone, and how many there are.
    layer: Option<(usize, usize)>,
    /// Of a network that is set beside the first: whether it is pre-trained, and its seed.
    start: Option<(bool, u64)>,
    /// What is fitted, where a command fits several.
    name: Option<String>,
}

impl Progress {
    pub fn new(json: bool, stop: Arc<AtomicBool>) -> Self {
        Self { json, stop, bar: None, last: String::new(), layer: None, start: None, name: None }
    }

    /// Shows an event; answers with a request to stop once Ctrl-C was pressed. That nobody reads any more stops no fit.
    pub fn on_event(&mut self, event: &Event) -> ControlFlow<()> {
        interrupt::on_event(event);
        if self.json {
            self.print(event);
        } else {
            self.draw(event);
        }
        if self.stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// One line of JSON for an epoch: the record of the library, with the name of the network where a command fits several.
    fn print(&mut self, event: &Event) {
        #[derive(Serialize)]
        struct Line<'a> {
            #[serde(flatten)]
            event: &'a Event,
            #[serde(skip_serializing_if = "Option::is_none")]
            what: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            pretrained: Option<bool>,
            #[serde(skip_serializing_if = "Option::is_none")]
            seed: Option<u64>,
        }
        match event {
            Event::Start { pretrained, seed } => self.start = Some((*pretrained, *seed)),
            Event::Epoch(_) | Event::LayerEpoch { .. } => {
                let (what, start) = (self.name.as_deref(), self.start);
                let (pretrained, seed) = (start.map(|start| start.0), start.map(|start| start.1));
                // Standard output that is lost is said there.
                let _ = table::json(&Line { event, what, pretrained, seed });
            }
            Event::Warning(what) => stderr::line(format!("warning: {what}")),
            _ => {}
        }
    }

    fn draw(&mut self, event: &Event) {
        match event {
            Event::Step { epoch, epochs, rows, total_rows, loss } => {
                let bar = self.bar.get_or_insert_with(|| rows_bar((epochs * total_rows) as u64));
                bar.update(|state| state.set_pos(((epoch - 1) * total_rows + rows) as u64));
                if bar.position().is_multiple_of(32) || rows == total_rows {
                    let layer =
                        self.layer.map_or_else(String::new, |(layer, all)| format!("layer {layer}/{all}, "));
                    let start = self.start.map_or_else(String::new, |(pretrained, seed)| {
                        format!("{}, seed {seed}, ", if pretrained { "pre-trained" } else { "random start" })
                    });
                    bar.set_message(format!(
                        "{start}{layer}epoch {epoch}/{epochs}, loss {loss:.4}{}",
                        self.last
                    ));
                }
            }
            Event::Layer { layer, layers } => {
                // A bar for each layer, and one for all together.
                self.finish();
                self.layer = Some((*layer, *layers));
            }
            Event::Start { pretrained, seed } => {
                self.finish();
                self.start = Some((*pretrained, *seed));
            }
            Event::LayerEpoch { record, .. } => self.last = format!(", held out {:.4}", record.held_out_loss),
            Event::Epoch(record) => self.last = held_out(record),
            Event::Warning(what) => match &self.bar {
                Some(bar) => bar.suspend(|| stderr::line(format!("warning: {what}"))),
                None => stderr::line(format!("warning: {what}")),
            },
            Event::Stage(stage) => {
                if self.layer.take().is_some() {
                    self.finish();
                }
                if let Some(bar) = &self.bar {
                    bar.set_message(stage.text());
                }
            }
            _ => {}
        }
    }

    /// The network that is fitted, where a command fits several.
    pub fn set_name(&mut self, name: &str) {
        self.name = Some(name.to_owned());
        self.last = String::new();
    }

    /// Takes the bar away.
    pub fn finish(&mut self) {
        self.last = String::new();
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// A bar of so many rows.
fn rows_bar(rows: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(rows), ProgressDrawTarget::stderr_with_hz(10));
    let per_second = |state: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
        let _ = write!(out, "{:.0} rows/s", state.per_sec());
    };
    let style = ProgressStyle::with_template("{wide_bar:.cyan/dim} {msg}, {per_sec}, {eta} left")
        .expect("the template is valid")
        .with_key("per_sec", per_second);
    bar.set_style(style);
    bar
}

/// The metrics on the held-out rows after an epoch: of a classifier its error rate, else the active units of the code.
fn held_out(record: &EpochRecord) -> String {
    let active = record.active_units.map_or_else(String::new, |units| {
        format!(", {units} code {} active", if units == 1 { "unit" } else { "units" })
    });
    let metric =
        record.held_out_error_rate.map_or(active, |rate| format!(", {:.2} % misclassified", rate * 100.0));
    format!(", held out {:.4}{metric}", record.held_out_loss)
}
