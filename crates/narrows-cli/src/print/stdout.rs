//! Standard output: results. It is written to here and nowhere else.
//!
//! A listing ends where its reader goes away. A verb that does work goes on: it says once that its output is lost, and `main`
//! says at the end whether that was a failure.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use narrows::base::text::escaped_lines;

use super::stderr;

/// What is known of standard output.
struct Output {
    /// For a verb that does work: what is said when standard output is lost.
    goes_on: Option<&'static str>,
    /// Why it was lost.
    failure: Option<io::Error>,
}

static OUTPUT: Mutex<Output> = Mutex::new(Output { goes_on: None, failure: None });

/// Standard output cannot be written.
#[derive(Debug)]
pub struct Lost(io::Error);

impl Lost {
    /// Whether its reader went away, as that of `narrows recipes | head -1`.
    pub fn has_no_reader(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "standard output: {}", self.0)
    }
}

impl std::error::Error for Lost {}

/// From now on a line that cannot be written is no error: `what` is said once, such as `the fit goes on without it`.
pub fn go_on_without(what: &'static str) {
    OUTPUT.lock().unwrap_or_else(PoisonError::into_inner).goes_on = Some(what);
}

/// Whether lines went nowhere.
pub fn is_lost() -> bool {
    OUTPUT.lock().unwrap_or_else(PoisonError::into_inner).failure.is_some()
}

/// Prints a line, or lines. Control characters other than line feeds are printed as escapes; in JSON, where only strings can have
/// them, these are its own.
///
/// # Errors
/// [`Lost`] where it cannot be written, unless the work goes on without it.
pub fn line(text: impl fmt::Display) -> anyhow::Result<()> {
    let mut output = OUTPUT.lock().unwrap_or_else(PoisonError::into_inner);
    if output.failure.is_some() {
        return Ok(());
    }
    let text = format!("{}\n", escaped_lines(&text.to_string()));
    let mut stdout = io::stdout().lock();
    let Err(error) = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) else { return Ok(()) };
    let lost = Lost(error);
    match output.goes_on {
        None => Err(lost.into()),
        Some(what) => {
            stderr::line(format!("{lost}; {what}"));
            output.failure = Some(lost.0);
            Ok(())
        }
    }
}

/// The exit code of work that is done: a failure where its output was lost, unless its reader went away.
pub fn exit_code(code: ExitCode) -> ExitCode {
    let output = OUTPUT.lock().unwrap_or_else(PoisonError::into_inner);
    match &output.failure {
        Some(error) if code == ExitCode::SUCCESS && error.kind() != io::ErrorKind::BrokenPipe => {
            ExitCode::FAILURE
        }
        _ => code,
    }
}
