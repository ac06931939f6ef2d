//! The memory of the machine.

/// Bytes of memory that are free for this process, where the system reports them (`MemAvailable` of Linux).
pub(crate) fn free() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()?.checked_mul(1024)
}
