//! What an export takes: rows a second, and the most memory at once, as Linux tells it.

use std::sync::Arc;

use daybook_tests::fill::{COMMITS, fill};
use daybook_tests::server;
use ledger::journal::embedded::{EmbeddedJournal, EmbeddedOptions};
use serde_json::Value;

use crate::machine::Machine;
use crate::{Options, process};

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
        let process::Ran { elapsed, peak_kib } = process::run(command).await;
        let manifest = std::fs::read(replay::export::Manifest::path(&out)).expect("a manifest");
        let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
        let rows = manifest["rows"].as_u64().expect("a number of rows");
        let rate = u128::from(rows) * 1000 / elapsed.as_millis().max(1);
        println!("| {what} | {format} | {rows} | {} | {rate} | {} |", elapsed.as_secs(), peak_kib / 1024);
    }
}
