//! The command `narrows`: words into recipes and paths, records into a progress bar, tables or lines of JSON.
#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod arguments;
mod commands;
mod print;
mod shared;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use clap::Parser;
use narrows::base::text::escaped_lines;
use print::{stderr, stdout};

fn main() -> ExitCode {
    let command = match Arguments::try_parse().and_then(Arguments::checked) {
        Ok(arguments) => arguments.command,
        Err(error) => return answer(&error),
    };
    keep_caught_panics_quiet();
    if let Some(what) = goes_on_without_output(&command) {
        stdout::go_on_without(what);
    }
    let result = shared::interrupt::listen().and_then(|()| run(&command));
    match result {
        Ok(code) => stdout::exit_code(code),
        // A reader that has seen enough of a listing (`narrows recipes | head -1`) is no failure.
        Err(error) if error.downcast_ref().is_some_and(stdout::Lost::has_no_reader) => ExitCode::SUCCESS,
        Err(error) => {
            stderr::line(format!("error: {}", shared::flags_of_hints::error_text(&error)));
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
        Command::Impute(arguments) => commands::apply::impute(arguments),
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

/// What a verb that leaves more than its output says where that cannot be written. The others are listings.
fn goes_on_without_output(command: &Command) -> Option<&'static str> {
    match command {
        Command::Fit(_) => Some("the fit goes on without it"),
        Command::Compare(_) => Some("the comparison goes on without it"),
        Command::Reproduce(arguments) if arguments.name.is_some() => Some("the fits go on without it"),
        Command::Encode(_)
        | Command::Decode(_)
        | Command::Reconstruct(_)
        | Command::Impute(_)
        | Command::Interpolate(_)
        | Command::Split(_)
        | Command::Predict(_) => Some("the files are written"),
        Command::Evaluate(_)
        | Command::Show(_)
        | Command::Reproduce(_)
        | Command::Recipes(_)
        | Command::Data(_) => None,
    }
}

/// The readers of Arrow panic on some damaged files; what is caught becomes an error, and has no message of its own.
fn keep_caught_panics_quiet() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !narrows_files::is_panic_caught() {
            report(panic);
        }
    }));
}

/// Prints the help that was asked for, or what is wrong with the arguments. These may be names of files, of which a terminal must
/// not obey the control characters.
fn answer(error: &clap::Error) -> ExitCode {
    let text = error.to_string();
    if error.use_stderr() && escaped_lines(&text) != text {
        text.trim_end().lines().for_each(stderr::line);
    } else {
        // Nobody can be told that nobody reads.
        let _ = error.print();
    }
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}
