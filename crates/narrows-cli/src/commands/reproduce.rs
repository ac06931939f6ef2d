//! `narrows reproduce`

use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::Instant;

use narrows::compute::Compute;
use narrows::data::{Dataset, hold_out};
use narrows::evaluation::reconstruction::evaluate;
use narrows::experiments::papers::{Paper, PaperFigure, PaperMeasure};
use narrows::fit::classifier::fit_classifier;
use narrows::fit::{Options, fit};
use narrows::model::Model;
use narrows::progress::{Ended, Event};
use narrows::recipe::Recipe;
use serde_json::json;

use super::fit::{HELD_OUT, listen_for_stop};
use super::progress::Progress;
use crate::arguments::{DataOptions, ReproduceArguments};
use crate::{INTERRUPTED, output};

/// Lists the papers, or fits what reproduces the figures of one.
pub fn run(arguments: &ReproduceArguments) -> anyhow::Result<ExitCode> {
    let Some(name) = &arguments.name else { return list(arguments.json) };
    let paper = Paper::open(name)?;
    let compute = super::compute(&arguments.compute);
    let training = super::open(&paper.data, &DataOptions::default())?;
    let (training, held_out) = match narrows_datasets::default_held_out(&paper.data) {
        Some(name) => (training, super::open(name, &DataOptions::default())?),
        None => hold_out(&training, HELD_OUT, 0)?,
    };
    if !arguments.json {
        output::line(format!("{}\n{}\n\n{}\n", paper.title, paper.source, paper.note))?;
    }
    let mut progress = Progress::new(arguments.json, listen_for_stop()?);
    let mut rows = Vec::new();
    for figure in &paper.figures {
        progress.set_name(&figure.what);
        let begun = Instant::now();
        let found = measure(figure, &training, &held_out, compute, &mut |event| progress.hear(event));
        progress.finish();
        let Some(found) = found? else {
            eprintln!("interrupted: the figures that were finished by then stand above");
            return Ok(ExitCode::from(INTERRUPTED));
        };
        let seconds = begun.elapsed().as_secs_f64();
        let difference = figure.published.map(|published| found - published);
        if arguments.json {
            output::line(json!({
                "event": "figure", "paper": paper.name, "what": figure.what, "measure": figure.measure.title(),
                "published": figure.published, "found": found, "difference": difference, "seconds": seconds,
            }))?;
        } else {
            eprintln!("{}: {found:.2} ({seconds:.0} s)", figure.what);
        }
        let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
        rows.push(vec![
            figure.what.clone(),
            number(figure.published),
            number(Some(found)),
            difference.map_or_else(|| "-".to_owned(), |difference| format!("{difference:+.2}")),
            format!("{seconds:.0} s"),
        ]);
    }
    if arguments.json {
        output::line(json!({ "event": "done", "paper": paper.name, "figures": paper.figures.len() }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let measure = paper.figures.first().map_or("", |figure| figure.measure.title());
    let header = [measure, "published", "here", "difference", "time"].map(str::to_owned);
    output::line("")?;
    output::table(&header, &rows)?;
    Ok(ExitCode::SUCCESS)
}

fn list(json: bool) -> anyhow::Result<ExitCode> {
    let mut rows = Vec::new();
    for name in Paper::names() {
        let paper = Paper::open(name)?;
        if json {
            output::line(json!({
                "event": "paper", "name": paper.name, "title": paper.title, "source": paper.source, "data": paper.data,
            }))?;
        }
        rows.push((paper.name, format!("{}\n{}", paper.title, paper.source)));
    }
    if !json {
        output::pairs(&rows)?;
        output::line(
            "\nnarrows reproduce NAME fits what reproduces its figures, and prints them side by side",
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Fits what reproduces a figure, and measures it; nothing where it was stopped.
fn measure(
    figure: &PaperFigure,
    training: &Dataset<'_>,
    held_out: &Dataset<'_>,
    compute: Compute,
    callback: &mut (dyn FnMut(&Event) -> ControlFlow<()> + Send),
) -> anyhow::Result<Option<f64>> {
    let (model, ended): (Model, Ended) = match &figure.recipe {
        Recipe::Classifier(spec) => {
            let fit = fit_classifier(spec, training, held_out, compute, Options::default(), callback)?;
            if matches!(fit.ended, Ended::Finished | Ended::Early) {
                return Ok(Some(fit.summary().evaluation.error() * 100.0));
            }
            (fit.model, fit.ended)
        }
        spec => {
            let fit = fit(spec, training, held_out, compute, callback)?;
            if fit.ended == Ended::Finished && figure.measure == PaperMeasure::SquaredError {
                return Ok(Some(fit.summary().evaluation.squared_error_per_row));
            }
            (fit.model, fit.ended)
        }
    };
    match ended {
        Ended::Interrupted => Ok(None),
        Ended::Diverged(reason) => anyhow::bail!("{}: {reason}", figure.what),
        Ended::Finished | Ended::Early => {
            Ok(Some(evaluate(&model, &*training.rows, compute)?.squared_error_per_row))
        }
    }
}
