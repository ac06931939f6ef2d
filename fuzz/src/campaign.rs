//! Many cases. A worker process runs them one after the other and writes the one that it is about to run into its journal; a
//! supervisor reads there which case the worker did not survive (an abort, a stack that overflowed, a hang), writes it to
//! the corpus, and starts another worker behind it.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::check::{self, OWN_STAT};
use crate::random::Random;
use crate::targets::{self, Target, Verdict};

/// A worker that spends so much processor time on one case hangs; all limits of time are below.
const HANGS: Duration = Duration::from_secs(30);

/// A worker that stays at one case for so long hangs as well, whatever it waits for.
const WAITS: Duration = Duration::from_secs(600);

/// The number of the first case that is made; those of the corpus, which grows while cases are run, begin at 0.
const FIRST_MADE: u64 = 1 << 32;

/// Cases between two notes of the processor time.
const CASES_A_NOTE: u64 = 256;

/// Cases of one kind of fault that are kept.
const KEPT: usize = 3;

/// Workers that a supervisor loses before it gives up.
const LOST_WORKERS: usize = 50;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// The target.
    pub target: String,
    /// The seed of all cases.
    pub seed: u64,
    /// How many cases are made.
    pub count: u64,
    /// Stop after this time.
    pub seconds: Option<u64>,
    /// The memory of a case, where not the target's own.
    pub limit: Option<usize>,
    /// The folder with a folder of cases for each target.
    pub corpus: PathBuf,
    /// The binary for `commands`.
    pub binary: Option<PathBuf>,
}

/// Counts of a campaign.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    done: u64,
    accepted: u64,
    faults: u64,
    slowest_us: u64,
    most_memory: u64,
    processor_ms: u64,
}

/// The words of a journal before the case: number of the case, length of the case, counts.
const WORDS: usize = 8;

/// The file in which a worker notes what it does.
pub struct Journal {
    file: Option<File>,
    head: std::cell::Cell<[u64; WORDS]>,
}

impl Journal {
    fn open(path: &Path) -> Result<Self, String> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path);
        let file = file.map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { file: Some(file), head: [0; WORDS].into() })
    }

    /// A journal that keeps nothing.
    pub fn none() -> Self {
        Self { file: None, head: [0; WORDS].into() }
    }

    /// Notes a case that is about to be run.
    pub fn note(&self, case: &[u8]) {
        let mut head = self.head.get();
        head[1] = case.len() as u64;
        self.head.set(head);
        self.write(case);
    }

    fn set(&self, number: u64, counts: Counts) {
        self.head.set([
            number,
            0,
            counts.done,
            counts.accepted,
            counts.faults,
            counts.slowest_us,
            counts.most_memory,
            counts.processor_ms,
        ]);
    }

    fn write(&self, case: &[u8]) {
        let Some(file) = &self.file else { return };
        let mut bytes: Vec<u8> = self.head.get().iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend_from_slice(case);
        // A journal that cannot be written costs the case of a worker that dies, and nothing else.
        let _ = file.write_all_at(&bytes, 0);
    }

    /// The number of the case, the counts and the case.
    fn read(&self) -> (u64, Counts, Vec<u8>) {
        let mut words = [0u64; WORDS];
        let mut case = Vec::new();
        if let Some(file) = &self.file {
            let mut bytes = [0u8; 8 * WORDS];
            if file.read_exact_at(&mut bytes, 0).is_ok() {
                for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
                    *word = u64::from_le_bytes(*bytes);
                }
                case.resize(words[1].min(1 << 28) as usize, 0);
                let _ = file.read_exact_at(&mut case, 8 * WORDS as u64);
            }
        }
        let [number, _, done, accepted, faults, slowest_us, most_memory, processor_ms] = words;
        (number, Counts { done, accepted, faults, slowest_us, most_memory, processor_ms }, case)
    }
}

/// The cases of a target's corpus, in the order of their names.
///
/// # Errors
/// Where a case cannot be read.
pub fn corpus(options: &Options) -> Result<Vec<(PathBuf, Vec<u8>)>, String> {
    let folder = options.corpus.join(&options.target);
    let Ok(entries) = std::fs::read_dir(&folder) else { return Ok(Vec::new()) };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok((path, bytes))
    };
    paths.into_iter().filter(|path| path.is_file()).map(read).collect()
}

/// Writes a case to the corpus by its hash.
#[expect(clippy::disallowed_methods, reason = "a case is written whole or found again from its seed")]
fn keep(options: &Options, case: &[u8]) -> Result<PathBuf, String> {
    let folder = options.corpus.join(&options.target);
    let hash: String = Sha256::digest(case).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let path = folder.join(hash);
    std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(&path, case))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

/// Runs the cases of the corpus, then those that are made from the seed, from number `from` on.
///
/// # Errors
/// Where the target, the corpus or the journal is not to be had.
pub fn work(options: &Options, journal: &Path, from: u64) -> Result<(), String> {
    check::keep_panics();
    let journal = Journal::open(journal)?;
    let (_, mut counts, _) = journal.read();
    let mut target = targets::make(&options.target, options.binary.as_deref())?;
    let corpus = corpus(options)?;
    let (began, processor) = (Instant::now(), check::processor_ms(OWN_STAT));
    let earlier = counts.processor_ms;
    let mut kinds: HashMap<String, usize> = HashMap::new();
    let of_corpus = (0..corpus.len() as u64).skip_while(|&number| number < from);
    let made = from.max(FIRST_MADE)..FIRST_MADE.saturating_add(options.count);
    for number in of_corpus.chain(made) {
        if options.seconds.is_some_and(|seconds| began.elapsed().as_secs() >= seconds) {
            break;
        }
        journal.set(number, counts);
        let (known, case) = match corpus.get(number as usize) {
            Some((path, case)) => (Some(path), case.clone()),
            None => {
                let mut random = Random::of(options.seed, &options.target, number - FIRST_MADE);
                let made = catch_unwind(AssertUnwindSafe(|| target.generate(&mut random, &journal)));
                (None, made.map_err(|_| format!("a case cannot be made: {}", check::last_panic()))?)
            }
        };
        journal.note(&case);
        let (result, measured) = check::check(&mut *target, &case, options.limit);
        counts.done += 1;
        if counts.done % CASES_A_NOTE == 0 {
            counts.processor_ms = earlier + check::processor_ms(OWN_STAT).saturating_sub(processor);
        }
        counts.slowest_us = counts.slowest_us.max(measured.time.as_micros() as u64);
        counts.most_memory = counts.most_memory.max(measured.memory as u64);
        match result {
            Ok(verdict) => counts.accepted += u64::from(verdict == Verdict::Accepted),
            Err(fault) => {
                counts.faults += 1;
                let seen = kinds.entry(kind(&fault)).or_default();
                *seen += 1;
                if *seen <= KEPT {
                    let path = known.map_or_else(|| keep(options, &case), |path| Ok(path.clone()))?;
                    println!("{}: {}: {fault}", options.target, path.display());
                }
            }
        }
    }
    counts.processor_ms = earlier + check::processor_ms(OWN_STAT).saturating_sub(processor);
    journal.set(u64::MAX, counts);
    journal.note(&[]);
    for (kind, seen) in kinds.iter().filter(|(_, seen)| **seen > KEPT) {
        println!("{}: {seen} times in all: {kind}", options.target);
    }
    Ok(())
}

/// A fault without what differs from case to case: its text up to the first quotation, without numbers. The place of a panic
/// stays.
fn kind(fault: &str) -> String {
    let place = fault.strip_prefix("panic at ").and_then(|rest| rest.split(": ").next()).unwrap_or_default();
    let begin = fault.split(['`', '[']).next().unwrap_or_default();
    let text = begin.chars().map(|c| if c.is_ascii_digit() { '0' } else { c });
    format!("{place} {}", text.take(100).collect::<String>())
}

/// Starts workers until all cases are run, and prints the summary; the number of faults.
///
/// # Errors
/// Where no worker can be started, or too many are lost.
pub fn supervise(options: &Options, arguments: &[String]) -> Result<u64, String> {
    let folder = targets::scratch_folder()?;
    let path = folder.path().join("journal");
    let journal = Journal::open(&path)?;
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let began = Instant::now();
    let (mut from, mut lost) = (0, 0);
    loop {
        let mut worker = Command::new(&program);
        worker.args(arguments).arg("--journal").arg(&path).arg("--from").arg(from.to_string());
        if let Some(seconds) = options.seconds {
            worker.arg("--seconds").arg(seconds.saturating_sub(began.elapsed().as_secs()).to_string());
        }
        let end = watch(worker, &journal)?;
        let (number, mut counts, case) = journal.read();
        let Some(fault) = end else {
            print_summary(options, &counts, began.elapsed());
            return Ok(counts.faults);
        };
        if case.is_empty() && number == from {
            return Err(format!("{}: the worker ended before its first case: {fault}", options.target));
        }
        counts.faults += 1;
        counts.done += 1;
        println!("{}: {}: {fault}", options.target, keep(options, &case)?.display());
        from = number + 1;
        lost += 1;
        journal.set(from, counts);
        journal.note(&[]);
        if lost == LOST_WORKERS {
            print_summary(options, &counts, began.elapsed());
            return Err(format!("{}: {lost} workers were lost: the rest is not run", options.target));
        }
    }
}

/// Waits for a worker: none where it ended by itself, else how it ended.
fn watch(mut worker: Command, journal: &Journal) -> Result<Option<String>, String> {
    let mut worker = worker.stdin(Stdio::null()).spawn().map_err(|error| error.to_string())?;
    let stat = format!("/proc/{}/stat", worker.id());
    let spent = || Duration::from_millis(check::processor_ms(&stat));
    let (mut at, mut since, mut before) = (0, Instant::now(), Duration::ZERO);
    loop {
        if let Some(status) = worker.try_wait().map_err(|error| error.to_string())? {
            return match status.code() {
                Some(0) => Ok(None),
                // It gave up, and said why.
                Some(2) => Err("a worker gave up".to_owned()),
                _ => Ok(Some(format!("abort: {status}"))),
            };
        }
        let (number, _, _) = journal.read();
        if number != at {
            (at, since, before) = (number, Instant::now(), spent());
        }
        if spent().saturating_sub(before) > HANGS || since.elapsed() > WAITS {
            let _ = worker.kill();
            let _ = worker.wait();
            return Ok(Some(format!("time: over {} s", HANGS.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn print_summary(options: &Options, counts: &Counts, time: Duration) {
    let seconds = time.as_secs_f64();
    println!(
        "{}: seed {}, {} cases in {seconds:.1} s ({:.0} a second of processor time), {} accepted, longest {:.0} ms, most memory {:.1} MiB, {} faults",
        options.target,
        options.seed,
        counts.done,
        counts.done as f64 * 1e3 / counts.processor_ms.max(1) as f64,
        counts.accepted,
        counts.slowest_us as f64 / 1e3,
        counts.most_memory as f64 / (1 << 20) as f64,
        counts.faults
    );
}

/// Runs one case in this process and gives its fault.
///
/// # Errors
/// The fault.
pub fn run_one(target: &mut dyn Target, case: &[u8], limit: Option<usize>) -> Result<(), String> {
    check::check(target, case, limit).0.map(|_| ())
}
