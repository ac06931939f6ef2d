//! What is fuzzed.

pub mod checkpoints;
pub mod commands;
pub mod models;
pub mod readers;
pub mod recipes;

use std::path::Path;
use std::time::Duration;

use crate::campaign::Journal;
use crate::random::Random;

/// What the library said to a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The case was valid.
    Accepted,
    /// It was refused with a message.
    Refused,
}

/// Something that is fuzzed.
pub trait Target {
    /// Makes a case. Whoever asks the library for help with it notes in the journal what is asked.
    fn generate(&mut self, random: &mut Random, journal: &Journal) -> Vec<u8>;

    /// Runs a case.
    ///
    /// # Errors
    /// The fault: a promise that was broken, in one line that begins with a word for its kind.
    fn run(&mut self, case: &[u8]) -> Result<Verdict, String>;

    /// The memory that a case may take.
    fn memory(&self, case: &[u8]) -> usize {
        4 * case.len() + (16 << 20)
    }

    /// The time that a case may take.
    fn time(&self) -> Duration {
        Duration::from_secs(1)
    }
}

/// The names of the targets.
pub const NAMES: [&str; 5] = ["readers", "models", "recipes", "checkpoints", "commands"];

/// A target by its name, with its valid inputs made; `binary` is for `commands` alone.
///
/// # Errors
/// Where there is no such target, or its inputs cannot be made.
pub fn make(name: &str, binary: Option<&Path>) -> Result<Box<dyn Target>, String> {
    Ok(match name {
        "readers" => Box::new(readers::Readers::new()?),
        "models" => Box::new(models::Models::new()?),
        "recipes" => Box::new(recipes::Recipes::new()),
        "checkpoints" => Box::new(checkpoints::Checkpoints::new()?),
        "commands" => {
            let binary = binary.ok_or("commands: needs --binary PATH, a built `narrows`")?;
            Box::new(commands::Commands::new(binary)?)
        }
        _ => return Err(format!("{name}: no such target (targets: {})", NAMES.join(", "))),
    })
}

/// Checks that a message is one line for people: not empty, without control characters, not endless.
///
/// # Errors
/// The fault.
pub fn check_message(message: &str, place: &str) -> Result<(), String> {
    if !message.contains(place) {
        return Err(format!("message: does not name {place}: {message}"));
    }
    if message.chars().any(char::is_control) {
        return Err(format!("message: holds control characters: {message:?}"));
    }
    if message.len() > 4000 {
        return Err(format!("message: of {} bytes", message.len()));
    }
    Ok(())
}

/// A folder in memory where the system has one.
///
/// # Errors
/// Where it cannot be made.
pub fn scratch_folder() -> Result<tempfile::TempDir, String> {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix("narrows-fuzz-").tempdir_in(parent).map_err(|error| error.to_string())
}
