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

/// Where Linux tells the processor time of this process.
pub const OWN_STAT: &str = "/proc/self/stat";

/// The processor time of a process in milliseconds, by ticks of ten, from its file of `/proc`; 0 where there is none.
pub fn processor_ms(stat: &str) -> u64 {
    let text = std::fs::read_to_string(stat).unwrap_or_default();
    // The name in brackets may hold spaces; the 12th and 13th words behind it are the ticks.
    let words = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    words.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * 10
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
    // What else the machine does may take the time: a slow case is run again, and its processor time counts.
    if measured.time > target.time() {
        let before = processor_ms(OWN_STAT);
        (result, measured) = run(target, case);
        let processor = Duration::from_millis(processor_ms(OWN_STAT).saturating_sub(before));
        if processor > Duration::ZERO {
            measured.time = measured.time.min(processor);
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
