//! Exports, tampered with a line at a time.

use std::path::Path;

use daybook_tests::{Log, World};
use ledger::journal::Stored;
use replay::verify::export_line;

use super::{assert_found, kept, verify};

/// The log's commits as they are stored.
pub(crate) async fn stored(log: &Log) -> Vec<Stored> {
    let mut all = Vec::new();
    for recorded in &log.commits {
        let stored = log.journal.at(recorded.position).await.expect("the journal can be read");
        all.push(stored.expect("a commit that was read before"));
    }
    all
}

/// The lines of an export of the log.
pub(crate) async fn lines(log: &Log) -> Vec<Vec<u8>> {
    stored(log).await.iter().map(export_line).collect()
}

pub(crate) fn write(file: &Path, lines: &[Vec<u8>]) {
    std::fs::write(file, lines.concat()).expect("a file");
}

/// With a saved head alone it is found that something was changed; with the kept tree, what.
pub(crate) async fn every_line_counts(world: &World, log: &Log, with_head: &[&str]) {
    let lines = lines(log).await;
    let file = world.directory().join("log.jsonl");
    let export = file.display().to_string();
    let kept = kept(world).display().to_string();
    let with_tree = ["--export", &export, "--audit-dir", &kept];

    let mut altered = lines.clone();
    let text = String::from_utf8(altered[2].clone()).expect("text");
    altered[2] = text.replace("A-", "B-").into_bytes();
    assert_ne!(altered, lines);
    write(&file, &altered);
    assert_found(&verify(world.directory(), with_head).await, 1, "not_as_signed");
    assert_found(&verify(world.directory(), &with_tree).await, 3, "altered");

    let mut gone = lines.clone();
    gone.remove(3);
    write(&file, &gone);
    assert_found(&verify(world.directory(), &with_tree).await, 4, "gap");

    let mut swapped = lines.clone();
    swapped.swap(1, 4);
    write(&file, &swapped);
    assert_found(&verify(world.directory(), &with_tree).await, 2, "reordered");

    let mut doubled = lines.clone();
    doubled.push(lines[5].clone());
    write(&file, &doubled);
    assert_found(&verify(world.directory(), &with_tree).await, 6, "duplicated");

    let mut cut = lines.clone();
    cut[5].truncate(40);
    write(&file, &cut);
    assert_found(&verify(world.directory(), &with_tree).await, 6, "truncated");
    write(&file, &lines[..4]);
    assert_found(&verify(world.directory(), with_head).await, 5, "truncated");
}
