//! `narrows compare`

use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use narrows::experiments::compare::{Candidate, Comparison, Measure, Options, Progress, compare};
use narrows::progress::Event;
use narrows::recipe::Recipe;
use narrows::recipe::RecipeFile;
use serde_json::{Value, json};

use super::fit::{HeldOut, listen_for_stop, new_run_folder, split};
use crate::arguments::CompareArguments;
use crate::{INTERRUPTED, output};

/// Fields of a recipe that only networks have, and those that only PCA has.
const OF_NETWORKS: [&str; 7] = ["encoder", "decoder", "loss", "sparsity", "weights", "pretrain", "train"];
const OF_PCA: [&str; 2] = ["code_size", "whiten"];

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

/// Fits several recipes to the same data.
pub fn run(arguments: &CompareArguments) -> anyhow::Result<ExitCode> {
    let candidates = candidates(arguments)?;
    let sweep = arguments.code_size_curves.as_deref().map(code_sizes).transpose()?.unwrap_or_default();
    let asked = arguments.set.iter().any(|text| field(text) == "scale");
    let options = Options {
        seeds: usize::from(arguments.seeds),
        code_size: arguments.code_size,
        scale: candidates.first().filter(|_| asked).map(|candidate| candidate.recipe.scale()),
        sweep,
    };
    if arguments.code_size == Some(0) {
        anyhow::bail!("--code-size: must be at least 1");
    }
    let dataset = super::open(&arguments.data, &arguments.data_options)?;
    let (training, held_out) = split(
        &arguments.data,
        HeldOut { validation: arguments.validation.as_deref(), labels: None, seed: 0 },
        &arguments.data_options,
        dataset,
    )?;
    let page = arguments.report.as_ref().map(|folder| folder.join("report.html"));
    page.iter().try_for_each(|path| narrows::base::atomic_file::probe(path))?;

    let mut speaker = Speaker { json: arguments.json, stop: listen_for_stop()?, bar: None, failed: false };
    let compute = super::compute(&arguments.compute);
    let found =
        compare(&candidates, &training, &held_out, &options, compute, &mut |progress| speaker.hear(progress));
    if let Some(bar) = speaker.bar.take() {
        bar.finish_and_clear();
    }
    let comparison = found?;
    if comparison.methods.iter().all(|method| method.fits.is_empty()) {
        eprintln!("interrupted: before the first fit was done");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    let folder = match &arguments.report {
        Some(folder) => folder.clone(),
        None => new_run_folder("compare", &training.name)?,
    };
    let pages = narrows::report::write_comparison_report(&folder, &comparison, &training, &held_out)?;
    if arguments.json {
        output::line(done(&comparison, &training.name, &pages[0]))?;
    } else {
        print(&comparison, &training.name, &pages[0])?;
    }
    if comparison.interrupted {
        eprintln!("interrupted: what was finished by then is in the table and the report");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    Ok(ExitCode::SUCCESS)
}

/// The recipes with their changes.
fn candidates(arguments: &CompareArguments) -> anyhow::Result<Vec<Candidate>> {
    let mut candidates: Vec<Candidate> = Vec::new();
    let mut taken = vec![false; arguments.set.len()];
    for name in &arguments.recipes {
        let mut recipe = RecipeFile::open(name)?;
        let foreign: &[&str] = match recipe.recipe()? {
            Recipe::Autoencoder(_) => &OF_PCA,
            Recipe::Pca(_) => &OF_NETWORKS,
            Recipe::Classifier(_) => anyhow::bail!(
                "{name}: a classifier rebuilds nothing that could be compared; `narrows fit` says what it is worth"
            ),
        };
        for (assignment, taken) in arguments.set.iter().zip(&mut taken) {
            if !foreign.contains(&field(assignment)) {
                recipe.set(assignment)?;
                *taken = true;
            }
        }
        let mut spec = recipe.recipe()?;
        if let (Recipe::Autoencoder(network), Some(epochs)) = (&mut spec, arguments.epochs)
            // A closed form that is not trained stays one.
            && network.train.epochs > 0
        {
            network.train.epochs = epochs;
        }
        spec.validate()?;
        if candidates.iter().any(|candidate| candidate.name == recipe.name) {
            anyhow::bail!(
                "{name}: there is a recipe `{}` already (give another name to the file)",
                recipe.name
            );
        }
        candidates.push(Candidate { name: recipe.name, recipe: spec });
    }
    if let Some((assignment, _)) = arguments.set.iter().zip(taken).find(|(_, taken)| !taken) {
        anyhow::bail!("--set {assignment}: none of the recipes has the field `{}`", field(assignment));
    }
    if arguments.epochs.is_some()
        && !candidates.iter().any(|candidate| matches!(candidate.recipe, Recipe::Autoencoder(_)))
    {
        anyhow::bail!("--epochs: a PCA is found in one step, without epochs");
    }
    Ok(candidates)
}

/// The first name of the field that an assignment sets.
fn field(assignment: &str) -> &str {
    assignment.split(['.', '=']).next().unwrap_or_default().trim()
}

/// Reads `code_size=2,4,8`.
fn code_sizes(text: &str) -> anyhow::Result<Vec<usize>> {
    let wrong = || anyhow::anyhow!("--sweep {text}: expected code sizes, such as code_size=2,4,8,16,32");
    let list = text.strip_prefix("code_size=").ok_or_else(wrong)?;
    list.split(',').map(|size| size.trim().parse().ok().filter(|&size| size > 0).ok_or_else(wrong)).collect()
}

/// What the comparison says while it goes on: a bar on a terminal, or lines of JSON.
struct Speaker {
    json: bool,
    stop: Arc<AtomicBool>,
    bar: Option<ProgressBar>,
    failed: bool,
}

/// Marks on the bar for each fit.
const MARKS: usize = 1000;

impl Speaker {
    fn hear(&mut self, progress: &Progress) -> ControlFlow<()> {
        if self.json {
            self.say_json(progress);
        } else {
            self.draw(progress);
        }
        if self.failed || self.stop.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn say_json(&mut self, progress: &Progress) {
        let line = match progress {
            Progress::Compared(figures) => {
                let mut line = json!({ "event": "compared" });
                if let (Value::Object(line), Ok(Value::Object(figures))) =
                    (&mut line, serde_json::to_value(figures))
                {
                    line.extend(figures);
                }
                line
            }
            Progress::Failed { recipe, reason } => {
                json!({ "event": "failed", "recipe": recipe, "reason": reason })
            }
            Progress::Swept { recipe, point } => json!({
                "event": "swept",
                "recipe": recipe,
                "code_size": point.code_size,
                "squared_error_per_row": point.squared_error_per_row,
            }),
            _ => return,
        };
        // Nobody reads any more: stop.
        self.failed |= output::line(line).is_err();
    }

    fn draw(&mut self, progress: &Progress) {
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr_with_hz(10));
            let style = ProgressStyle::with_template("{wide_bar:.cyan/dim} {msg}, {elapsed}")
                .expect("the template is valid");
            bar.set_style(style);
            bar
        });
        match progress {
            Progress::Fit { recipe, number, of, event } => {
                bar.set_length((of * MARKS) as u64);
                let place = format!("{recipe} ({number} of {of})");
                match event {
                    Event::Step { epoch, epochs, rows, total_rows, .. } => {
                        let done = ((epoch - 1) * total_rows + rows) * MARKS / (epochs * total_rows).max(1);
                        bar.update(|state| state.set_pos(((number - 1) * MARKS + done) as u64));
                        bar.set_message(format!("{place}, epoch {epoch}/{epochs}"));
                    }
                    Event::Warning(what) => bar.suspend(|| eprintln!("warning: {recipe}: {what}")),
                    Event::Stage(what) => bar.set_message(format!("{place}, {what}")),
                    _ => {}
                }
            }
            Progress::Stage(what) => bar.set_message((*what).to_owned()),
            _ => {}
        }
    }
}

/// The last line of JSON.
fn done(comparison: &Comparison, data: &str, page: &Path) -> Value {
    let methods: Vec<Value> = comparison
        .methods
        .iter()
        .map(|method| {
            let figures: serde_json::Map<String, Value> = Measure::ALL
                .iter()
                .map(|&measure| (measure.name().to_owned(), json!(method.spread(measure))))
                .collect();
            json!({
                "recipe": method.name,
                "failure": method.failure,
                "fits": method.fits.len(),
                "loss_name": method.loss_name,
                "noisy": method.noisy,
                "pca_components": method.fits.first().map(|figures| figures.pca_components),
                "figures": figures,
            })
        })
        .collect();
    json!({
        "event": "done",
        "data": data,
        "scale": comparison.scale.scale.name(),
        "scale_reason": comparison.scale.reason,
        "code_size": comparison.code_size,
        "methods": methods,
        "rows": comparison.rows,
        "sweep": comparison.code_size_curves,
        "notes": comparison.notes,
        "verdict": comparison.verdict,
        "ended": if comparison.interrupted { "interrupted" } else { "finished" },
        "report": page,
    })
}

fn print(comparison: &Comparison, data: &str, page: &Path) -> anyhow::Result<()> {
    let scale = comparison.scale;
    output::line(format!("on {data}, scaling for all: {} ({})\n", scale.scale.name(), scale.reason))?;
    let (header, rows) = comparison.table(&COLUMNS);
    let text = |row: &Vec<narrows::report::Cell>| -> Vec<String> {
        row.iter().map(|cell| if cell.best { format!("{}*", cell.text) } else { cell.text.clone() }).collect()
    };
    output::table(&header, &rows.iter().map(text).collect::<Vec<_>>())?;
    output::line("\n* the best of its column")?;
    output::line("of PCA: the squared error of PCA with a code of the same size")?;
    if header.iter().any(|name| name == Measure::NearestNeighbour.title()) {
        output::line(
            "1-NN, probe: held-out rows whose class is found from the code, by the nearest training row and by a linear classifier",
        )?;
    }
    output::line(
        "trust, continuity: are neighbours as codes neighbours as rows, and the other way round (1: all are)",
    )?;
    if let Some(sweep) = &comparison.code_size_curves {
        output::line("\nsquared error by code size, [the elbow] in brackets\n")?;
        let mut header = vec!["recipe".to_owned()];
        header.extend(sweep.code_sizes.iter().map(usize::to_string));
        let rows: Vec<Vec<String>> = sweep
            .curves
            .iter()
            .map(|curve| {
                let cell = |&size: &usize| {
                    let point = curve.points.iter().find(|point| point.code_size == size);
                    let text = point
                        .map_or_else(|| "-".into(), |point| format!("{:.4}", point.squared_error_per_row));
                    if curve.elbow == Some(size) { format!("[{text}]") } else { text }
                };
                [curve.recipe.clone()].into_iter().chain(sweep.code_sizes.iter().map(cell)).collect()
            })
            .collect();
        output::table(&header, &rows)?;
    }
    output::line("")?;
    for remark in comparison.remarks() {
        output::line(format!("note: {remark}"))?;
    }
    // One sentence, its parts below each other.
    output::line(format!("{}\n", comparison.verdict.replace("; ", ";\n")))?;
    output::line(format!("report  {}", page.display()))
}
