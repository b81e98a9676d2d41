//! The peers' binary: built as it should be, served by, and asked to fill and to rebuild.

use std::path::PathBuf;
use std::process::Stdio;

use daybook_tests::client::ACME;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::Peer;
use crate::machine::repository;

fn directory() -> PathBuf {
    repository().join("target/peers")
}

/// Builds it with its own lock file and into a directory of its own.
pub(super) fn build() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = std::process::Command::new(cargo);
    build.args(["build", "--release", "--locked", "--manifest-path"]);
    build.arg(repository().join("tests/bench/peers/Cargo.toml")).arg("--target-dir").arg(directory());
    let built = build.status().expect("cargo runs");
    assert!(built.success(), "the peers do not build");
}

fn command(peer: Peer, database: &str) -> Command {
    let mut command = Command::new(directory().join("release/daybook-peers"));
    command.arg(peer.word()).arg(database).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// A peer that serves HTTP, gone when dropped.
pub(super) struct Served {
    _process: Child,
    /// Host and port.
    pub(super) address: String,
}

impl Served {
    /// Starts it on a database.
    pub(super) async fn start(peer: Peer, database: &str) -> Self {
        let mut command = command(peer, database);
        command.args(["serve", "--key-hash", ACME.key_hash, "--secret", ACME.secret]).stdout(Stdio::piped());
        let mut process = command.spawn().expect("the peers' binary starts");
        let stdout = process.stdout.take().expect("a pipe");
        let line = BufReader::new(stdout).lines().next_line().await.expect("a line");
        Served { _process: process, address: line.expect("an address") }
    }
}

/// Writes so many orders of four events each.
pub(super) async fn fill(peer: Peer, database: &str, orders: u64) {
    let status = command(peer, database).args(["fill", &orders.to_string()]).status().await;
    assert!(status.expect("the peers' binary starts").success(), "{} cannot be filled", peer.word());
}

/// What a rebuild read, what came out, and how long it took.
#[derive(Debug, Deserialize)]
pub(super) struct Rebuilt {
    pub(super) events: u64,
    pub(super) orders: u64,
    pub(super) captured: u64,
    pub(super) refunded: u64,
    pub(super) micros: u64,
}

/// Rebuilds its read model: `documented`, as the library does it, or `fastest`.
pub(super) async fn rebuild(peer: Peer, database: &str, way: &str) -> Rebuilt {
    let mut command = command(peer, database);
    let output = command.args(["rebuild", way]).stderr(Stdio::inherit()).output().await;
    let output = output.expect("the peers' binary starts");
    assert!(output.status.success(), "{} cannot be rebuilt", peer.word());
    serde_json::from_slice(&output.stdout).expect("a line of JSON")
}
