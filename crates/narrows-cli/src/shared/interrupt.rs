//! Signals that end the program: Ctrl-C (INT), TERM and HUP.
//!
//! Files are written atomically and checkpoints are durable, so that most work can be left at any moment: the program removes
//! its temporary files and ends. Training is stopped in an orderly way instead, between two optimizer steps, so that its
//! checkpoint and the model have what was learned so far. If that takes too long, and at a second signal, the program
//! ends as well.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use narrows::base::leftovers;
use narrows::progress::{Event, Stage};

/// Time for an orderly stop.
const GRACE: Duration = Duration::from_millis(1600);

/// Time beyond that for a file that is being written.
const WRITING: Duration = Duration::from_secs(8);

/// Time for the last words: a terminal or a pipe may accept none.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// The number of the first signal; 0 before it.
static SIGNAL: AtomicU8 = AtomicU8::new(0);

/// Whether training is under way, which hears a request to stop.
static TRAINING: AtomicBool = AtomicBool::new(false);

/// The folder of the checkpoints, and how to go on from them.
static RESUMABLE: Mutex<Option<(PathBuf, String)>> = Mutex::new(None);

/// A flag that a signal sets.
pub fn flag() -> Arc<AtomicBool> {
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    FLAG.get_or_init(Arc::default).clone()
}

/// The exit code of an interrupted run, as shells have it: 128 + the number of the signal.
pub fn exit_code() -> ExitCode {
    ExitCode::from(code())
}

fn code() -> u8 {
    const INT: u8 = 2;
    match SIGNAL.load(Ordering::SeqCst) {
        0 => 128 + INT,
        signal => 128 + signal,
    }
}

/// Says where checkpoints lie once there are any, and how to go on from them.
pub fn set_resumable(checkpoints: &Path, how: String) {
    *RESUMABLE.lock().unwrap_or_else(PoisonError::into_inner) = Some((checkpoints.to_owned(), how));
}

/// Follows the events of a fit, to know whether training is under way.
pub fn on_event(event: &Event) {
    match event {
        Event::Step { .. } => TRAINING.store(true, Ordering::SeqCst),
        Event::Stage(Stage::Baselines | Stage::Evaluation) => TRAINING.store(false, Ordering::SeqCst),
        _ => {}
    }
}

/// Listens for signals from now on. A signal that the parent process has this one ignore stays ignored (`nohup`).
#[cfg(unix)]
pub fn listen() -> anyhow::Result<()> {
    use anyhow::Context;
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let ignored = ignored_signals();
    let heard = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| ignored & (1 << (signal - 1)) == 0);
    let mut signals = signal_hook::iterator::Signals::new(heard).context("cannot listen for signals")?;
    let started = std::thread::Builder::new().name("signals".into()).spawn(move || {
        let mut signals = signals.forever();
        if let Some(first) = signals.next() {
            SIGNAL.store(u8::try_from(first).unwrap_or(0), Ordering::SeqCst);
            flag().store(true, Ordering::SeqCst);
            if TRAINING.load(Ordering::SeqCst) {
                let _ = std::thread::Builder::new().spawn(|| {
                    std::thread::sleep(GRACE);
                    wait_for_files();
                    end();
                });
                // A second signal does not wait.
                signals.next();
            }
            end();
        }
    });
    started.map(drop).context("cannot start a thread that listens for signals")
}

/// Elsewhere the system ends the program at once, which does no harm either.
#[cfg(not(unix))]
pub fn listen() -> anyhow::Result<()> {
    Ok(())
}

/// The signals that are ignored, as a mask.
#[cfg(unix)]
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// Waits for a checkpoint or a model that is being written: on a slow disk it is worth the time.
#[cfg(unix)]
fn wait_for_files() {
    let begun = std::time::Instant::now();
    while leftovers::is_file_being_written() && begun.elapsed() < WRITING {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Ends the program, whatever it is doing.
#[cfg(unix)]
fn end() -> ! {
    leftovers::remove_all();
    let said = std::thread::Builder::new().spawn(say_last_words);
    let begun = std::time::Instant::now();
    while said.as_ref().is_ok_and(|thread| !thread.is_finished()) && begun.elapsed() < LAST_WORDS {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::process::exit(i32::from(code()))
}

#[cfg(unix)]
fn say_last_words() {
    use std::io::Write;
    let resumable = RESUMABLE.lock().unwrap_or_else(PoisonError::into_inner);
    let text = match &*resumable {
        Some((checkpoints, how)) if checkpoints.is_dir() => format!("interrupted: {how}"),
        _ => "interrupted: nothing was written".to_owned(),
    };
    let _ = writeln!(std::io::stderr(), "\n{text}");
}
