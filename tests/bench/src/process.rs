//! What a process takes of memory, and what files take of the disk, as Linux tells it.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How often to look at a process's memory.
const LOOK: Duration = Duration::from_millis(5);

/// How a command ran.
pub(crate) struct Ran {
    /// From its start to its end.
    pub(crate) elapsed: Duration,
    /// The most memory that it had at once.
    pub(crate) peak_kib: u64,
}

/// Runs a command that must end well, and watches its memory. What it says on standard error is shown.
pub(crate) async fn run(mut command: Command) -> Ran {
    let started = Instant::now();
    let mut process = command.stdout(Stdio::null()).spawn().expect("the daybook binary starts");
    let mut peak_kib = 0;
    let ended = loop {
        peak_kib = memory_kib(process.id(), "VmHWM:").unwrap_or(peak_kib);
        if let Some(status) = process.try_wait().expect("a process of ours") {
            break status;
        }
        tokio::time::sleep(LOOK).await;
    };
    assert!(ended.success(), "{command:?}: {ended}");
    Ran { elapsed: started.elapsed(), peak_kib }
}

/// One of the figures in `/proc/<id>/status` that are given in KiB, such as `VmRSS:`; none for a process that has ended.
pub(crate) fn memory_kib(process: u32, figure: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(figure))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// What the files at or below a path take of the disk, in bytes; 0 where there is nothing.
pub(crate) fn disk_bytes(path: &Path) -> u64 {
    let Ok(about) = std::fs::symlink_metadata(path) else { return 0 };
    let below = std::fs::read_dir(path).into_iter().flatten().flatten();
    about.blocks() * 512 + below.map(|entry| disk_bytes(&entry.path())).sum::<u64>()
}
