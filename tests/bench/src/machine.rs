//! What the figures were measured on and with: they mean nothing without it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ledger::journal::conformance::nats;
use serde::{Deserialize, Serialize};

/// A machine and the programs on it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// As many as this process may use.
    pub(crate) cores: usize,
    /// What kind.
    pub(crate) processor: String,
    /// Memory.
    pub(crate) memory_gib: u64,
    /// The operating system and its version.
    pub(crate) system: String,
    /// The commit that was built, with `-dirty` when files differ from it.
    pub(crate) commit: String,
    /// The compiler.
    pub(crate) rustc: String,
    /// The nats-server beside it.
    pub(crate) nats_server: String,
}

impl Machine {
    /// This one, as far as it tells.
    pub(crate) fn here() -> Self {
        let processor = field("/proc/cpuinfo", "model name");
        let kilobytes = field("/proc/meminfo", "MemTotal")
            .and_then(|memory| memory.split(' ').next()?.parse::<u64>().ok())
            .unwrap_or(0);
        let nats_server = nats::binaries().pop_last();
        Machine {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            processor: processor.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            memory_gib: kilobytes / 1024 / 1024,
            system: said("uname", &["-sr"]),
            commit: said("git", &["describe", "--always", "--dirty", "--abbrev=10"]),
            rustc: said("rustc", &["--version"]),
            nats_server: nats_server
                .map_or("none".to_owned(), |((major, minor, patch), _)| format!("{major}.{minor}.{patch}")),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { cores, processor, memory_gib, system, commit, rustc, nats_server } = self;
        write!(
            f,
            "{cores} cores ({processor}), {memory_gib} GiB, {system}; Daybook {commit}, {rustc}, nats-server {nats_server}"
        )
    }
}

/// The repository that this was built from.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// What a program says, or that it says nothing.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(repository()).output();
    let text = output.ok().filter(|output| output.status.success());
    text.map_or("unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
