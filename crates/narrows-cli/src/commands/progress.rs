//! What a run says while it goes on: a bar on a terminal, lines of JSON, or nothing.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use narrows::progress::{EpochRecord, Event};
use serde_json::json;

use crate::output;

/// What the run says while it goes on: a bar on a terminal, lines of JSON, or nothing.
pub struct Progress {
    json: bool,
    stop: Arc<AtomicBool>,
    bar: Option<ProgressBar>,
    started: Instant,
    last: String,
    /// The layer that is trained alone, and how many there are.
    layer: Option<(usize, usize)>,
    /// Of a network that is set beside the first: whether it is pre-trained, and its seed.
    start: Option<(bool, u64)>,
    /// What is fitted, where a command fits several.
    name: Option<String>,
    failed: bool,
}

impl Progress {
    pub fn new(json: bool, stop: Arc<AtomicBool>) -> Self {
        Self {
            json,
            stop,
            bar: None,
            started: Instant::now(),
            last: String::new(),
            layer: None,
            start: None,
            name: None,
            failed: false,
        }
    }

    pub fn hear(&mut self, event: &Event) -> ControlFlow<()> {
        match event {
            Event::Step { epoch, epochs, rows, total_rows, loss } if !self.json => {
                let bar = self.bar.get_or_insert_with(|| {
                    self.started = Instant::now();
                    let bar = ProgressBar::with_draw_target(
                        Some((epochs * total_rows) as u64),
                        ProgressDrawTarget::stderr_with_hz(10),
                    );
                    let style =
                        ProgressStyle::with_template("{wide_bar:.cyan/dim} {msg}, {per_sec}, {eta} left")
                            .expect("the template is valid")
                            .with_key(
                                "per_sec",
                                |state: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
                                    let _ = write!(out, "{:.0} rows/s", state.per_sec());
                                },
                            );
                    bar.set_style(style);
                    bar
                });
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
                // A bar of its own for each layer, and for all together.
                self.finish();
                self.last = String::new();
                self.layer = Some((*layer, *layers));
            }
            Event::Start { pretrained, seed } => {
                self.finish();
                self.last = String::new();
                self.start = Some((*pretrained, *seed));
            }
            Event::LayerEpoch { layer, record } => {
                self.last = format!(", held out {:.4}", record.held_out_loss);
                self.tell(json!({ "event": "layer_epoch", "layer": layer }), record);
            }
            Event::Epoch(record) => {
                let active = record.active_units.map_or_else(String::new, |units| {
                    format!(", {units} code {} active", if units == 1 { "unit" } else { "units" })
                });
                // A classifier is judged by its errors.
                let judged = record
                    .held_out_error_rate
                    .map_or(active, |error| format!(", {:.2} % wrong", error * 100.0));
                self.last = format!(", held out {:.4}{judged}", record.held_out_loss);
                self.tell(json!({ "event": "epoch" }), record);
            }
            Event::Warning(what) => match &self.bar {
                Some(bar) => bar.suspend(|| eprintln!("warning: {what}")),
                None => eprintln!("warning: {what}"),
            },
            Event::Stage(what) => {
                if self.layer.take().is_some() {
                    // All layers together have a bar of their own.
                    self.finish();
                    self.last = String::new();
                }
                if let Some(bar) = &self.bar {
                    bar.set_message((*what).to_owned());
                }
            }
            _ => {}
        }
        if self.failed || self.stop.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    /// One line of JSON for an epoch.
    fn tell(&mut self, mut line: serde_json::Value, record: &EpochRecord) {
        if !self.json {
            return;
        }
        if let Some(name) = &self.name {
            line["what"] = name.as_str().into();
        }
        if let Some((pretrained, seed)) = self.start {
            line["event"] = format!("twin_{}", line["event"].as_str().unwrap_or_default()).into();
            line["pretrained"] = pretrained.into();
            line["seed"] = seed.into();
        }
        line["epoch"] = record.epoch.into();
        line["train_loss"] = record.train_loss.into();
        line["held_out_loss"] = record.held_out_loss.into();
        line["seconds"] = record.seconds.into();
        line["active_units"] = record.active_units.into();
        if let Some(error) = record.held_out_error_rate {
            line["held_out_error_rate"] = error.into();
        }
        // Nobody reads any more: stop and keep what there is.
        self.failed |= output::line(line).is_err();
    }

    /// What is fitted, where a command fits several.
    pub fn set_name(&mut self, name: &str) {
        self.name = Some(name.to_owned());
        self.last = String::new();
    }

    pub fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
