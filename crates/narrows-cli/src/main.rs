//! The command `narrows`: words into recipes and paths, records into a progress bar, tables or lines of JSON.
#![forbid(unsafe_code)]

mod arguments;
mod commands;
mod print;
mod shared;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = shared::interrupt::listen().and_then(|()| run(&arguments.command));
    match result {
        Ok(code) => code,
        // A reader that has seen enough (`narrows recipes | head -1`) is no failure.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", shared::flags_of_hints::error_text(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Fit(arguments) => commands::fit::run(arguments),
        Command::Compare(arguments) => commands::compare::run(arguments),
        Command::Encode(arguments) => commands::apply::encode(arguments),
        Command::Decode(arguments) => commands::apply::decode(arguments),
        Command::Reconstruct(arguments) => commands::apply::reconstruct(arguments),
        Command::Interpolate(arguments) => commands::apply::interpolate(arguments),
        Command::Split(arguments) => commands::split::run(arguments),
        Command::Predict(arguments) => commands::predict::run(arguments),
        Command::Evaluate(arguments) => commands::evaluate::run(arguments),
        Command::Show(arguments) => commands::show::run(arguments),
        Command::Reproduce(arguments) => commands::reproduce::run(arguments),
        Command::Recipes(arguments) => commands::recipes::run(arguments),
        Command::Data(arguments) => commands::data::run(arguments),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
