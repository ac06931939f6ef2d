//! One case under its limits.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::memory::{Meter, lift_ceiling};
use crate::targets::{Target, Verdict};

/// What happened to a case.
#[derive(Debug, Default, Clone, Copy)]
pub struct Measured {
    /// Its time.
    pub time: Duration,
    /// The most memory that it took.
    pub memory: usize,
}

/// The message and the place of the last panic of this process.
static PANIC: Mutex<String> = Mutex::new(String::new());

/// Keeps the messages of panics instead of printing them.
pub fn keep_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place =
            panic.location().map_or_else(String::new, |place| format!("{}:{}", place.file(), place.line()));
        let text = panic.payload_as_str().unwrap_or("a panic without a text");
        *PANIC.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = format!("panic at {place}: {text}");
    }));
}

/// The last panic in one line.
pub fn last_panic() -> String {
    PANIC.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
}

/// Runs a case: whether the library accepted it, or the fault in one line. `limit` is the memory that it may take, where not
/// the target's own.
pub fn check(
    target: &mut dyn Target,
    case: &[u8],
    limit: Option<usize>,
) -> (Result<Verdict, String>, Measured) {
    let limit = limit.unwrap_or_else(|| target.memory(case));
    let (mut result, mut measured) = run(target, case);
    // What else the machine does may take the time: only a case that is slow twice is.
    if measured.time > target.time() {
        let again = run(target, case);
        if again.1.time < measured.time {
            (result, measured) = again;
        }
    }
    if result.is_ok() && measured.memory > limit {
        result = Err(format!("memory: {} MiB, allowed are {} MiB", measured.memory >> 20, limit >> 20));
    }
    if result.is_ok() && measured.time > target.time() {
        result = Err(format!("time: {:.1} s", measured.time.as_secs_f64()));
    }
    (result, measured)
}

fn run(target: &mut dyn Target, case: &[u8]) -> (Result<Verdict, String>, Measured) {
    let began = Instant::now();
    let meter = Meter::start();
    let result = catch_unwind(AssertUnwindSafe(|| target.run(case)));
    let measured = Measured { memory: meter.most(), time: began.elapsed() };
    lift_ceiling();
    (result.unwrap_or_else(|_| Err(last_panic())), measured)
}
