//! The memory budget: how many bytes are free for this process, what limits them, and [`require`], which is asked before
//! anything large is allocated.
//!
//! Free is the least of what the machine has (`MemAvailable`), what the limits of the process leave of its address space and
//! of its data (`ulimit -v`, `ulimit -d`), and what each control group around it leaves (v1 and v2). All of that is text in
//! `/proc` and `/sys/fs/cgroup`; where there is no such text, nothing is known and nothing refused.
//!
//! Needs are found by arithmetic, from shapes, and saturate: `usize::MAX` bytes are more than any machine has.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};

/// Smaller needs are not looked at: they are lost in the margin, and asking takes as long as allocating them.
const SMALL: usize = 1 << 20;

/// Kept free for what is not asked for: small buffers, the text of messages, the tables of the allocator.
pub(crate) const MARGIN: usize = 8 << 20;

/// Address space of a thread's stack.
const STACK: usize = 2 << 20;

/// Address space that glibc's allocator reserves for a thread at its first allocation, and keeps for the next thread when that one has
/// ended. Arenas are aligned to their size, so that the first one takes twice as much for a moment. Measured: 8 threads take 462 MiB
/// more than one, 2 threads 125 MiB.
const ARENA: usize = 64 << 20;

/// Memory that a further thread takes: the touched part of its stack and of its arena.
const THREAD_MEMORY: usize = 256 << 10;

/// Refuses work that takes `bytes` of memory on `threads` threads, where less is free. `what` names the work: `training`.
///
/// # Errors
/// [`ErrorKind::Resources`], with what is needed, what is free, and what limits it.
pub fn require(bytes: usize, threads: usize, what: impl fmt::Display) -> Result<()> {
    check(bytes, threads, &what, MARGIN, free)
}

/// Asks once more before a part of work that was asked for as a whole: by then the margin may be in use.
///
/// # Errors
/// As [`require`].
pub(crate) fn require_part(bytes: usize, what: impl fmt::Display) -> Result<()> {
    check(bytes, 0, &what, 0, free)
}

/// As [`require`]; the error gets the hint that `hint` makes of a test whether a smaller need would fit.
pub(crate) fn require_or(
    bytes: usize,
    threads: usize,
    what: impl fmt::Display,
    hint: impl FnOnce(&dyn Fn(usize, usize) -> bool) -> String,
) -> Result<()> {
    require(bytes, threads, what).map_err(|error| error.hint(hint(&fits)))
}

/// Whether `bytes` on `threads` threads are free, as far as is known.
pub(crate) fn fits(bytes: usize, threads: usize) -> bool {
    check(bytes, threads, &"", MARGIN, free).is_ok()
}

/// Bytes that are free for data on this thread, where the system reports them.
pub fn free_bytes() -> Option<usize> {
    free().map(|free| free.for_threads(1).saturating_sub(MARGIN))
}

fn check(
    bytes: usize,
    threads: usize,
    what: &dyn fmt::Display,
    margin: usize,
    free: impl FnOnce() -> Option<Free>,
) -> Result<()> {
    if bytes < SMALL {
        return Ok(());
    }
    let too_much = |message: String| Err(Error::new(ErrorKind::Resources, format!("{what} takes {message}")));
    if bytes > isize::MAX as usize {
        return too_much("more memory than any machine has".to_owned());
    }
    let Some(free) = free() else { return Ok(()) };
    let left = free.for_threads(threads).saturating_sub(margin);
    if bytes <= left {
        return Ok(());
    }
    let threads = match threads {
        0 | 1 => String::new(),
        threads => format!(" for {threads} threads"),
    };
    too_much(format!("{} of memory, and {} are free{threads}{}", Bytes(bytes), Bytes(left), free.limit))
}

/// Free memory, and what limits it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Free {
    bytes: usize,
    limit: Limit,
    /// Where the address space is limited: the arenas that wait for a thread, less the threads that have none yet.
    idle_arenas: isize,
}

impl Free {
    fn new(bytes: usize, limit: Limit) -> Self {
        Self { bytes, limit, idle_arenas: 0 }
    }

    /// What is left beside what so many threads, this one included, take themselves. With 0 nothing is set aside.
    fn for_threads(&self, threads: usize) -> usize {
        let Some(further) = threads.checked_sub(1) else { return self.bytes };
        let taken = match self.limit {
            Limit::AddressSpace(_) => {
                let missing = isize::try_from(further).unwrap_or(isize::MAX).saturating_sub(self.idle_arenas);
                let arenas = usize::try_from(missing).unwrap_or(0);
                let at_once = if arenas > 0 { arenas.saturating_add(1) } else { 0 };
                further.saturating_mul(STACK).saturating_add(at_once.saturating_mul(ARENA))
            }
            Limit::Machine | Limit::Commitment | Limit::Data(_) | Limit::Group(..) => {
                further.saturating_mul(THREAD_MEMORY)
            }
        };
        self.bytes.saturating_sub(taken)
    }
}

/// What limits the memory of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Limit {
    /// The memory of the machine.
    Machine,
    /// The memory that the system promises: it is set to promise no more than it has.
    Commitment,
    /// The address space of the process: RLIMIT_AS, in bytes.
    AddressSpace(usize),
    /// The data of the process: RLIMIT_DATA, in bytes.
    Data(usize),
    /// The memory of a control group, in bytes: that of a container or a batch job.
    Group(String, usize),
}

impl fmt::Display for Limit {
    /// As the end of a sentence about free memory.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine => Ok(()),
            Self::Commitment => write!(f, ": the system is set not to overcommit memory"),
            Self::AddressSpace(bytes) => {
                write!(f, ": `ulimit -v` limits the address space to {}", Bytes(*bytes))
            }
            Self::Data(bytes) => write!(f, ": `ulimit -d` limits the data to {}", Bytes(*bytes)),
            Self::Group(name, bytes) => {
                write!(f, ": the control group {name} (a container, a job) is limited to {}", Bytes(*bytes))
            }
        }
    }
}

/// Prints `1.5 GiB` or `12.3 MiB`.
pub(crate) struct Bytes(pub usize);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, unit) = match self.0 {
            bytes if bytes >= 1 << 30 => (bytes as f64 / f64::from(1 << 30), "GiB"),
            bytes => (bytes as f64 / f64::from(1 << 20), "MiB"),
        };
        write!(f, "{value:.1} {unit}")
    }
}

/// The least of all that limits this process; None where nothing is known.
fn free() -> Option<Free> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let machine = read("/proc/meminfo").and_then(|text| of_machine(&text));
    let overcommit = read("/proc/sys/vm/overcommit_memory");
    let commitment = read("/proc/meminfo")
        .filter(|_| overcommit.is_some_and(|mode| mode.trim() == "2"))
        .and_then(|text| of_commitment(&text));
    let process = read("/proc/self/limits").zip(read("/proc/self/status"));
    let process = process
        .map(|(limits, status)| of_process(&limits, &status, || read("/proc/self/maps")))
        .unwrap_or_default();
    let groups = read("/proc/self/cgroup").map(|text| groups(&text)).unwrap_or_default();
    let groups = groups.iter().filter_map(|group| group.free(|path| std::fs::read_to_string(path).ok()));
    machine.into_iter().chain(commitment).chain(process).chain(groups).min_by_key(|free| free.bytes)
}

/// The number of a line such as `MemAvailable:   123 kB`, in bytes.
fn kilobytes(text: &str, name: &str) -> Option<usize> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()?.checked_mul(1024)
}

/// From `/proc/meminfo`.
fn of_machine(meminfo: &str) -> Option<Free> {
    Some(Free::new(kilobytes(meminfo, "MemAvailable")?, Limit::Machine))
}

/// From `/proc/meminfo`, where the system promises no more memory than it has.
fn of_commitment(meminfo: &str) -> Option<Free> {
    let (most, promised) = (kilobytes(meminfo, "CommitLimit")?, kilobytes(meminfo, "Committed_AS")?);
    Some(Free::new(most.saturating_sub(promised), Limit::Commitment))
}

/// From `/proc/self/limits` and `/proc/self/status`, and `/proc/self/maps` where the address space is limited.
fn of_process(limits: &str, status: &str, maps: impl FnOnce() -> Option<String>) -> Vec<Free> {
    // `Max address space         307200000            unlimited            bytes`: the soft limit comes first.
    let limit = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<usize>().ok()
    };
    let of = |name, used, kind: fn(usize) -> Limit| {
        let (limit, used) = (limit(name)?, kilobytes(status, used)?);
        Some(Free::new(limit.saturating_sub(used), kind(limit)))
    };
    let space = of("Max address space", "VmSize", Limit::AddressSpace).map(|space| {
        let threads = status.lines().find_map(|line| line.strip_prefix("Threads:")?.trim().parse().ok());
        let arenas = maps().map_or(0, |text| arenas(&text));
        Free { idle_arenas: arenas - (threads.unwrap_or(1isize) - 1), ..space }
    });
    let data = of("Max data size", "VmData", Limit::Data);
    space.into_iter().chain(data).collect()
}

/// The arenas of further threads: what they do not use yet is reserved without permissions. Nothing else of this size is.
fn arenas(maps: &str) -> isize {
    let is_reserved = |line: &&str| {
        // `7f1c24021000-7f1c28000000 ---p 00000000 00:00 0`
        let (range, rest) = line.split_once(' ').unwrap_or_default();
        let (start, end) = range.split_once('-').unwrap_or_default();
        let address = |text| usize::from_str_radix(text, 16).ok();
        let length = address(end).zip(address(start)).map_or(0, |(end, start)| end.saturating_sub(start));
        rest.starts_with("---p") && (ARENA / 2..=ARENA).contains(&length)
    };
    maps.lines().filter(is_reserved).count().try_into().unwrap_or(isize::MAX)
}

/// A control group with its files.
#[derive(Debug, PartialEq, Eq)]
struct Group {
    /// Its name as the system has it.
    name: String,
    folder: PathBuf,
    /// The names of the files with the limit and the use, and of the entry of `memory.stat` with the idle cache.
    files: [&'static str; 3],
}

const VERSION_1: [&str; 3] = ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"];
const VERSION_2: [&str; 3] = ["memory.max", "memory.current", "inactive_file"];

/// The control groups that hold this process, each with those around it; `text` is that of `/proc/self/cgroup`.
fn groups(text: &str) -> Vec<Group> {
    let mut groups = Vec::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(number), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let (roots, files): (&[&str], _) = if controllers.split(',').any(|name| name == "memory") {
            (&["/sys/fs/cgroup/memory"], VERSION_1)
        } else if number == "0" && controllers.is_empty() {
            (&["/sys/fs/cgroup", "/sys/fs/cgroup/unified"], VERSION_2)
        } else {
            continue;
        };
        // In a container the path may be the one outside, and the root the group itself: folders that are not there are skipped.
        for root in roots {
            for ancestor in Path::new(path).ancestors() {
                let inside = ancestor.strip_prefix("/").unwrap_or(ancestor);
                let name = ancestor.display().to_string();
                groups.push(Group { name, folder: Path::new(root).join(inside), files });
            }
        }
    }
    groups
}

impl Group {
    /// What its limit leaves: cache that nobody has used for some time counts as free.
    fn free(&self, read: impl Fn(&Path) -> Option<String>) -> Option<Free> {
        let [limit, used, idle] = self.files;
        let number = |name: &str| read(&self.folder.join(name))?.trim().parse::<usize>().ok();
        // `max` is no number, and version 1 writes the largest one for no limit.
        let limit = number(limit).filter(|&limit| limit < 1 << 62)?;
        let used = number(used)?;
        let idle = read(&self.folder.join("memory.stat")).and_then(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix(idle)?.strip_prefix(' '))?;
            line.trim().parse::<usize>().ok()
        });
        let used = used.saturating_sub(idle.unwrap_or(0));
        Some(Free::new(limit.saturating_sub(used), Limit::Group(self.name.clone(), limit)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn the_machine_reports_what_is_available() {
        let text = "MemTotal:       24000000 kB\nMemFree:         100 kB\nMemAvailable:   2048 kB\nCommitLimit: 4096 kB\nCommitted_AS: 1024 kB\n";
        assert_eq!(of_machine(text), Some(Free::new(2 * MIB, Limit::Machine)));
        assert_eq!(of_commitment(text), Some(Free::new(3 * MIB, Limit::Commitment)));
        assert_eq!(of_machine("MemTotal: 5 kB\n"), None);
        assert_eq!(of_machine("MemAvailable: many kB\n"), None);
        assert_eq!(of_machine(&format!("MemAvailable: {} kB\n", usize::MAX)), None);
    }

    #[test]
    fn limits_of_the_process_count_what_it_has_taken() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max data size             unlimited            unlimited            bytes     \n\
                      Max address space         307200000            unlimited            bytes     \n";
        let status = "Name:\tnarrows\nVmPeak:\t  200000 kB\nVmSize:\t  100000 kB\nVmData:\t  3000 kB\n";
        let none = || None;
        let space = Free::new(307_200_000 - 102_400_000, Limit::AddressSpace(307_200_000));
        assert_eq!(of_process(limits, status, none), std::slice::from_ref(&space));
        let both = limits.replace("size             unlimited", "size             4096000");
        let data = Free::new(4_096_000 - 3_072_000, Limit::Data(4_096_000));
        assert_eq!(of_process(&both, status, none), [space, data]);
        // More is taken than allowed: the limit was set later.
        assert_eq!(of_process(limits, "VmSize: 999999999 kB\n", none)[0].bytes, 0);
        assert!(of_process("", status, none).is_empty() && of_process(limits, "", none).is_empty());
    }

    #[test]
    fn arenas_of_threads_are_counted_once() {
        let maps = "55d0c8a00000-55d0c8c00000 r--p 00000000 08:01 1 /bin/narrows\n\
                    7f1c24000000-7f1c24021000 rw-p 00000000 00:00 0 \n\
                    7f1c24021000-7f1c28000000 ---p 00000000 00:00 0 \n\
                    7f1c2c000000-7f1c2c001000 ---p 00000000 00:00 0 \n\
                    nonsense\n\n";
        assert_eq!(arenas(maps), 1);
        let limits = "Max address space         307200000            unlimited            bytes\n";
        let idle = |threads: &str| {
            let status = format!("VmSize:\t  100000 kB\nThreads:\t{threads}\n");
            of_process(limits, &status, || Some(maps.to_owned()))[0].idle_arenas
        };
        assert_eq!((idle("1"), idle("2"), idle("4")), (1, 0, -2));
        let left = |idle_arenas, threads| {
            let free = Free { idle_arenas, ..Free::new(1000 * MIB, Limit::AddressSpace(0)) };
            free.for_threads(threads) / MIB
        };
        // The first arena takes two for a moment; one that waits for a thread takes nothing.
        assert_eq!((left(0, 0), left(0, 1), left(0, 2), left(0, 3)), (1000, 1000, 870, 804));
        assert_eq!((left(1, 2), left(1, 3), left(-1, 1), left(0, usize::MAX)), (998, 868, 872, 0));
    }

    /// The least that groups leave, of a tree of files.
    fn least(cgroup: &str, files: &[(&str, &str)]) -> Option<Free> {
        let files: BTreeMap<&Path, &str> =
            files.iter().map(|(path, text)| (Path::new(*path), *text)).collect();
        let read = |path: &Path| files.get(path).map(|text| (*text).to_owned());
        groups(cgroup).iter().filter_map(|group| group.free(read)).min_by_key(|free| free.bytes)
    }

    #[test]
    fn control_groups_of_both_versions_count_with_all_around_them() {
        let group = |name: &str, limit, bytes| Some(Free::new(bytes, Limit::Group(name.into(), limit)));
        let first = "9:name=systemd:/\n4:cpu,memory:/job/step\n0::/\n";
        let root = "/sys/fs/cgroup/memory";
        let files = [
            (format!("{root}/job/step/memory.limit_in_bytes"), "9223372036854771712\n"),
            (format!("{root}/job/step/memory.usage_in_bytes"), "5000\n"),
            (format!("{root}/job/memory.limit_in_bytes"), "100000\n"),
            (format!("{root}/job/memory.usage_in_bytes"), "60000\n"),
            (format!("{root}/job/memory.stat"), "inactive_file 1\ntotal_inactive_file 20000\n"),
            (format!("{root}/memory.limit_in_bytes"), "900000\n"),
            (format!("{root}/memory.usage_in_bytes"), "70000\n"),
        ];
        let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
        assert_eq!(least(first, &files), group("/job", 100_000, 60_000));

        let second = "0::/user.slice/run-1.scope\n";
        let files = [
            ("/sys/fs/cgroup/user.slice/run-1.scope/memory.max", "max\n"),
            ("/sys/fs/cgroup/user.slice/run-1.scope/memory.current", "1\n"),
            ("/sys/fs/cgroup/user.slice/memory.max", "4000\n"),
            ("/sys/fs/cgroup/user.slice/memory.current", "3000\n"),
            ("/sys/fs/cgroup/user.slice/memory.stat", "anon 7\ninactive_file 500\n"),
        ];
        assert_eq!(least(second, &files), group("/user.slice", 4000, 1500));
        // In a container: the path is that of the host, the group is mounted as the root.
        let files = [("/sys/fs/cgroup/memory.max", "4000"), ("/sys/fs/cgroup/memory.current", "3000")];
        assert_eq!(least("0::/docker/0a1b\n", &files), group("/", 4000, 1000));
        assert_eq!(least("", &files), None);
        assert_eq!(least("0::/\n4:memory\nnonsense", &[]), None);
    }

    #[test]
    fn a_need_that_does_not_fit_is_told_with_the_reason() {
        let refusal = |bytes, threads, free: Free| {
            let error = check(bytes, threads, &"training", MARGIN, || Some(free)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Resources);
            error.to_string()
        };
        let free = Free::new;
        let machine = free(108 * MIB, Limit::Machine);
        assert!(check(100 * MIB, 1, &"training", MARGIN, || Some(machine.clone())).is_ok());
        assert_eq!(
            refusal(101 * MIB, 1, machine),
            "training takes 101.0 MiB of memory, and 100.0 MiB are free"
        );
        assert_eq!(
            refusal(3 << 30, 3, free(308 * MIB, Limit::AddressSpace(400 * MIB))),
            "training takes 3.0 GiB of memory, and 104.0 MiB are free for 3 threads: `ulimit -v` limits the address space to 400.0 MiB"
        );
        let group = free(MIB, Limit::Group("/job".into(), 512 * MIB));
        let message = refusal(2 * MIB, 2, group);
        assert!(message.contains("0.0 MiB are free") && message.contains("control group /job"), "{message}");
        assert!(message.ends_with("limited to 512.0 MiB"), "{message}");
        assert!(
            refusal(usize::MAX, 1, free(0, Limit::Machine)).ends_with("more memory than any machine has")
        );
        // Nothing known, or nothing worth asking about.
        assert!(check(1 << 40, 1, &"training", MARGIN, || None).is_ok());
        assert!(check(1000, 1, &"training", MARGIN, || Some(free(0, Limit::Machine))).is_ok());
    }

    #[test]
    fn this_machine_has_some_memory() {
        if cfg!(target_os = "linux") {
            assert!(free().is_some_and(|free| free.bytes > 0));
        }
    }
}
