//! What an export takes: rows a second, and the most memory at once, as Linux tells it.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use daybook_tests::fill::{COMMITS, fill};
use daybook_tests::server;
use ledger::journal::embedded::{EmbeddedJournal, EmbeddedOptions};
use serde_json::Value;

use crate::Options;
use crate::machine::Machine;

/// How often to look at the process's memory.
const LOOK: Duration = Duration::from_millis(5);

pub(crate) async fn run(options: Options) {
    let directory = tempfile::TempDir::with_prefix("daybook-bench-").expect("a directory");
    let path = directory.path().join("data/journal.sqlite");
    let journal = EmbeddedJournal::open(path, EmbeddedOptions::default()).await.expect("a journal");
    fill(Arc::new(journal), 0..options.commits() / COMMITS).await;
    println!("\nExport from the embedded journal, on {}\n", Machine::here());
    println!("| what | format | rows | seconds | rows/s | most memory, MiB |\n|---|---|--:|--:|--:|--:|");
    for (what, format) in [
        ("commits", "jsonl"),
        ("events", "jsonl"),
        ("events", "csv"),
        ("events", "parquet"),
        ("orders", "parquet"),
    ] {
        let out = directory.path().join(format!("{what}.{format}"));
        let mut command = server::command(directory.path());
        command.args(["export", what, "--format", format, "--data-dir", "data", "--out"]).arg(&out);
        let started = Instant::now();
        let mut process = command.stdout(Stdio::null()).spawn().expect("the daybook binary starts");
        let status = PathBuf::from(format!("/proc/{}/status", process.id()));
        let mut peak_kib: u64 = 0;
        let ended = loop {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
            peak_kib = kib.unwrap_or(peak_kib);
            if let Some(status) = process.try_wait().expect("a process of ours") {
                break status;
            }
            tokio::time::sleep(LOOK).await;
        };
        assert!(ended.success(), "the export of {what} failed");
        let elapsed = started.elapsed();
        let manifest = std::fs::read(replay::export::Manifest::path(&out)).expect("a manifest");
        let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
        let rows = manifest["rows"].as_u64().expect("a number of rows");
        let rate = u128::from(rows) * 1000 / elapsed.as_millis().max(1);
        println!("| {what} | {format} | {rows} | {} | {rate} | {} |", elapsed.as_secs(), peak_kib / 1024);
    }
}
