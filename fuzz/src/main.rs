//! The program `narrows-fuzz`: see README.md.

use std::path::PathBuf;
use std::process::ExitCode;

use narrows_fuzz::campaign::{self, Options};
use narrows_fuzz::{check, targets};

const USAGE: &str =
    "usage: narrows-fuzz TARGET [--seed S] [--count N] [--seconds T] [--limit BYTES] [--corpus FOLDER]
                           [--binary PATH] [--case FILE]

targets: readers, models, recipes, checkpoints, commands (needs --binary)
--case runs one file of a corpus in this process";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}

/// Whether there was no fault.
fn run() -> Result<bool, String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut options = Options {
        target: String::new(),
        seed: 0,
        count: 100_000,
        seconds: None,
        limit: None,
        corpus: PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus")),
        binary: None,
    };
    let (mut journal, mut from, mut case) = (None, 0, None);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().ok_or(format!("{argument}: needs a value"));
        let number =
            |text: &String| text.parse::<u64>().map_err(|error| format!("{argument} {text}: {error}"));
        match argument.as_str() {
            "--seed" => options.seed = number(value()?)?,
            "--count" => options.count = number(value()?)?,
            "--seconds" => options.seconds = Some(number(value()?)?),
            "--limit" => options.limit = Some(number(value()?)? as usize),
            "--corpus" => options.corpus = value()?.into(),
            "--binary" => options.binary = Some(value()?.into()),
            "--case" => case = Some(PathBuf::from(value()?)),
            // What the supervisor tells its workers.
            "--journal" => journal = Some(PathBuf::from(value()?)),
            "--from" => from = number(value()?)?,
            "--help" | "-h" => {
                println!("{USAGE}");
                return Ok(true);
            }
            name if options.target.is_empty() && !name.starts_with('-') => options.target = name.to_owned(),
            _ => return Err(format!("{argument}: not known\n{USAGE}")),
        }
    }
    if !targets::NAMES.contains(&options.target.as_str()) {
        return Err(format!("no target of the name `{}`\n{USAGE}", options.target));
    }
    if let Some(path) = case {
        let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        check::keep_panics();
        let mut target = targets::make(&options.target, options.binary.as_deref())?;
        let result = campaign::run_one(&mut *target, &bytes, options.limit);
        println!("{}: {}", path.display(), result.as_ref().err().map_or("good", |fault| fault));
        return Ok(result.is_ok());
    }
    match journal {
        Some(journal) => campaign::work(&options, &journal, from).map(|()| true),
        None => campaign::supervise(&options, &arguments).map(|faults| faults == 0),
    }
}
