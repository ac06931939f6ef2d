//! `narrows reproduce`

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use narrows::base::output::OutputFile;
use narrows::data::hold_out;
use narrows::experiments::papers::{Paper, PaperFigure, PaperMeasure};
use narrows::fit::{CheckpointOptions, Resume, checkpoint_folder, remove_checkpoints};
use narrows::model::Summary;
use narrows::model::metrics::Evaluation;
use narrows::progress::{Ended, Event};
use narrows::{Dataset, FitOptions, HeldOut};
use serde::Serialize;

use crate::arguments::{DataOptions, ReproduceArguments};
use crate::print::progress::Progress;
use crate::print::{stderr, table};
use crate::shared::{datasets, interrupt};

/// Lists the papers, or fits what reproduces the results of one.
pub fn run(arguments: &ReproduceArguments) -> anyhow::Result<ExitCode> {
    let json = arguments.output.json;
    let Some(name) = &arguments.name else { return list(json) };
    let paper = Paper::open(name)?;
    let compute = datasets::compute(&arguments.compute);
    let (training, held_out) = rows(&paper)?;
    if !json {
        table::line(format!("{}\n{}\n\n{}\n", paper.title, paper.source, paper.note))?;
    }
    // Nothing is written here: the checkpoints of all fits lie beside it, and a second run is refused.
    let result = OutputFile::claim(&Path::new("runs").join(format!("reproduce-{}", paper.name)), &[])?;
    let resume = if arguments.resume { Resume::IfPresent } else { Resume::Never };
    let checkpoints = CheckpointOptions { beside: result.path(), resume };
    let how_to_resume = "go on with the same command and --resume";
    interrupt::set_resumable(&checkpoint_folder(result.path()), how_to_resume.to_owned());
    let mut progress = Progress::new(json, interrupt::flag());
    let mut rows = Vec::new();
    for (number, figure) in paper.figures.iter().enumerate() {
        progress.set_name(&figure.what);
        let begun = Instant::now();
        let part = checkpoints.part(&(number + 1).to_string());
        let mut watch = |event: &Event| progress.on_event(event);
        let options = FitOptions {
            held_out: HeldOut::Rows(&held_out),
            compute,
            checkpoints: Some(part.options()),
            watch: Some(&mut watch),
            ..FitOptions::default()
        };
        let found = measure(figure, &training, options);
        progress.finish();
        let Some(found) = found? else {
            stderr::line(format!(
                "interrupted: the results that were finished by then stand above; {how_to_resume}"
            ));
            return Ok(interrupt::exit_code());
        };
        let result = PaperResult::new(&paper, figure, found, begun.elapsed().as_secs_f64());
        if json {
            table::json(&result)?;
        } else {
            stderr::line(format!("{}: {found:.2} ({:.0} s)", result.what, result.seconds));
        }
        rows.push(result.row());
    }
    if json {
        #[derive(Serialize)]
        struct Line<'a> {
            event: &'static str,
            paper: &'a str,
            results: usize,
        }
        table::json(&Line { event: "paper", paper: &paper.name, results: paper.figures.len() })?;
        remove_checkpoints(result.path());
        return Ok(ExitCode::SUCCESS);
    }
    let measure = paper.figures.first().map_or("", |figure| figure.measure.title());
    let header = [measure, "published", "here", "difference", "time"].map(str::to_owned);
    table::line("")?;
    table::table(&header, &rows)?;
    remove_checkpoints(result.path());
    Ok(ExitCode::SUCCESS)
}

/// The training and the held-out rows of a paper.
fn rows(paper: &Paper) -> anyhow::Result<(Dataset<'static>, Dataset<'static>)> {
    let options = DataOptions::default();
    let training = datasets::open(paper.data.as_ref(), &options)?;
    Ok(match narrows_datasets::default_held_out(&paper.data) {
        Some(name) => (training, datasets::open(name.as_ref(), &options)?),
        None => hold_out(&training, datasets::HELD_OUT, 0)?,
    })
}

/// A published result beside the one found here.
#[derive(Serialize)]
struct PaperResult<'a> {
    event: &'static str,
    paper: &'a str,
    what: &'a str,
    measure: &'static str,
    published: Option<f64>,
    found: f64,
    difference: Option<f64>,
    seconds: f64,
}

impl<'a> PaperResult<'a> {
    fn new(paper: &'a Paper, figure: &'a PaperFigure, found: f64, seconds: f64) -> Self {
        Self {
            event: "result",
            paper: &paper.name,
            what: &figure.what,
            measure: figure.measure.title(),
            published: figure.published,
            found,
            difference: figure.published.map(|published| found - published),
            seconds,
        }
    }

    fn row(&self) -> Vec<String> {
        let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
        vec![
            self.what.to_owned(),
            number(self.published),
            number(Some(self.found)),
            self.difference.map_or_else(|| "-".to_owned(), |difference| format!("{difference:+.2}")),
            format!("{:.0} s", self.seconds),
        ]
    }
}

fn list(json: bool) -> anyhow::Result<ExitCode> {
    #[derive(Serialize)]
    struct Line<'a> {
        event: &'static str,
        name: &'a str,
        title: &'a str,
        source: &'a str,
        data: &'a str,
    }
    let mut rows = Vec::new();
    for name in Paper::names() {
        let Paper { name, title, source, data, .. } = Paper::open(name)?;
        if json {
            table::json(&Line { event: "paper", name: &name, title: &title, source: &source, data: &data })?;
        }
        rows.extend([(name, title), (String::new(), source)]);
    }
    if !json {
        table::pairs(&rows)?;
        table::line(
            "\nnarrows reproduce NAME fits what reproduces its results, and prints them side by side",
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Fits what reproduces a published result, and measures it; nothing where it was stopped.
fn measure(
    figure: &PaperFigure,
    training: &Dataset<'_>,
    options: FitOptions<'_>,
) -> anyhow::Result<Option<f64>> {
    let fit = narrows::fit(&figure.recipe, training, options)?;
    match &fit.ended {
        Ended::Interrupted => return Ok(None),
        Ended::Diverged(reason) => anyhow::bail!("{}: {reason}", figure.what),
        Ended::Finished | Ended::Early => {}
    }
    let Some(summary) = fit.summary() else { return Ok(None) };
    Ok(Some(match (summary, figure.measure) {
        (Summary::Classification(summary), _) => summary.evaluation.error_rate * 100.0,
        (Summary::Reconstruction(summary), PaperMeasure::SquaredError) => {
            summary.evaluation.squared_error_per_row
        }
        (Summary::Reconstruction(_), _) => match fit.model.evaluate(training)? {
            Evaluation::Reconstruction(found) => found.squared_error_per_row,
            Evaluation::Classification(found) => found.error_rate * 100.0,
        },
    }))
}
