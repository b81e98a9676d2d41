//! What the figures were measured on: they mean nothing without it.

use std::fs;

/// Cores, processor and memory, as far as this system tells.
pub(crate) fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(file).ok()?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let processor = field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let kilobytes = field("/proc/meminfo", "MemTotal")
        .and_then(|memory| memory.split(' ').next()?.parse::<u64>().ok())
        .unwrap_or(0);
    format!("{cores} cores ({processor}), {} GiB, {}", kilobytes / 1024 / 1024, std::env::consts::OS)
}
