//! What tests of `daybook copy` do: a ledger to copy, the command, and both journals to look into.

use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::sync::Arc;

use ledger::journal::Journal;
use ledger::journal::embedded::{EmbeddedJournal, EmbeddedOptions};
use ledger::journal::jetstream::{JetStreamConfig, JetStreamJournal};
use serde_json::Value;
use tempfile::TempDir;

use crate::fill::{COMMITS, fill};
use crate::server;

/// A directory for the test.
pub fn scratch() -> TempDir {
    TempDir::with_prefix("daybook-test-").expect("a directory for the test")
}

/// A ledger in the directory `data`, with so many orders; returns its number of commits.
pub async fn filled(directory: &Path, orders: u64) -> u64 {
    let path = directory.join("data/journal.sqlite");
    let journal = EmbeddedJournal::open(path, EmbeddedOptions::default()).await.expect("a journal");
    fill(Arc::new(journal), 0..orders).await;
    orders * COMMITS
}

/// Runs the command to its end.
pub async fn copy(directory: &Path, from: &str, to: &str, further: &[&str]) -> Output {
    let all = [&["copy", "--from", from, "--to", to, "--json"], further].concat();
    server::run(directory, &all).await
}

/// Starts the command.
pub fn begin(directory: &Path, from: &str, to: &str, further: &[&str]) -> Child {
    let mut command = server::command(directory);
    command.args(["copy", "--from", from, "--to", to, "--json"]).args(further);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the daybook binary starts")
}

/// What a command that ended well printed as JSON.
#[track_caller]
pub fn document(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The embedded journal in a data directory, to read.
pub async fn embedded(directory: &Path, name: &str) -> Arc<dyn Journal> {
    let journal = EmbeddedJournal::open_read_only(directory.join(name).join("journal.sqlite")).await;
    Arc::new(journal.expect("the journal opens"))
}

/// The journal on a nats-server.
pub async fn jetstream(config: JetStreamConfig) -> Arc<dyn Journal> {
    Arc::new(JetStreamJournal::connect(config).await.expect("the journal opens"))
}
