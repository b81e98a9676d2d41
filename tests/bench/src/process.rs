//! What Linux tells of a process.

/// A line of `/proc/<id>/status` that counts KiB: `VmRSS` is the resident memory now, `VmHWM` the most so far. Zero when
/// the process has ended.
pub(crate) fn kib(id: u32, field: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok()).unwrap_or(0)
}
