//! Exports: every byte of one changed in turn, and every line gone, moved, doubled or cut.

use std::fs;
use std::path::Path;

use futures::TryStreamExt;

use super::*;

fn export_of(log: &[Stored]) -> Vec<u8> {
    log.iter().flat_map(export_line).collect()
}

/// What is found in an export against the leaves of the log that it was made of.
async fn judge_export(file: &Path, bytes: &[u8], log: &[Stored]) -> Vec<Fault> {
    fs::write(file, bytes).unwrap();
    let source = ExportSource::open(file).await.unwrap();
    let mut evidence = kept(log);
    // What the fold would find at the latest: here only that the partition is not empty.
    evidence.add_seen(log.len() as u64, "the test");
    let found: Vec<Found> = source.read(0, None).await.unwrap().try_collect().await.unwrap();
    judge(found, evidence)
}

#[tokio::test]
async fn every_changed_byte_is_found_where_it_is() {
    let log = log_of(2).await;
    let export = export_of(&log);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("log.jsonl");
    assert_eq!(judge_export(&file, &export, &log).await, []);
    let mut line = 1;
    for index in 0..export.len() {
        // A byte that is near, and by turns one that is far or means something to whoever reads lines and JSON.
        let far = [export[index] ^ 0x80, b'\n', b'"', b'0'][index % 4];
        for other in [export[index] ^ 1, far] {
            if other == export[index] {
                continue;
            }
            let mut changed = export.clone();
            changed[index] = other;
            let faults = judge_export(&file, &changed, &log).await;
            let found = first(&faults).map(|(at, _)| at);
            assert_eq!(found, Some(line), "byte {index} as {other:#x}: {faults:#?}");
        }
        line += u64::from(export[index] == b'\n');
    }
}

#[tokio::test]
async fn an_export_that_is_cut_anywhere_is_truncated_there() {
    let log = log_of(2).await;
    let export = export_of(&log);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("log.jsonl");
    for length in 0..export.len() {
        let whole = export[..length].iter().filter(|byte| **byte == b'\n').count() as u64;
        let faults = judge_export(&file, &export[..length], &log).await;
        assert_eq!(first(&faults), Some((whole + 1, FaultKind::Truncated)), "{length}: {faults:#?}");
    }
}

#[tokio::test]
async fn lines_that_are_gone_moved_or_doubled_are_found() {
    let log = log_of(3).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("log.jsonl");
    let check = async |tampered: Vec<Stored>, expect| {
        let faults = judge_export(&file, &export_of(&tampered), &log).await;
        assert_eq!(first(&faults), Some(expect), "{faults:#?}");
    };
    let mut gone = log.clone();
    gone.remove(4);
    check(gone, (5, FaultKind::Gap)).await;
    let mut swapped = log.clone();
    swapped.swap(2, 5);
    check(swapped, (3, FaultKind::Reordered)).await;
    let mut doubled = log.clone();
    doubled.insert(6, log[3].clone());
    check(doubled, (4, FaultKind::Duplicated)).await;
    let mut appended = log.clone();
    appended.push(log[8].clone());
    check(appended, (9, FaultKind::Duplicated)).await;
}

#[tokio::test]
async fn the_partitions_and_files_of_an_export_are_told_apart() {
    let log = log_of(2).await;
    let of = |partition| {
        let place = move |stored: &Stored| {
            let position = Position { partition, ..stored.position };
            Stored { position, ..stored.clone() }
        };
        log.iter().map(place).collect::<Vec<_>>()
    };
    let directory = tempfile::tempdir().unwrap();
    let (zero, one) = (export_of(&of(0)), export_of(&of(1)));
    fs::write(directory.path().join("part-0.jsonl"), &zero[..]).unwrap();
    fs::write(directory.path().join("part-1.jsonl"), &one[..]).unwrap();
    fs::write(directory.path().join("part.manifest.json"), "{}").unwrap();
    let source = ExportSource::open(directory.path()).await.unwrap();
    assert_eq!(source.partitions(), 2);
    for partition in [0, 1] {
        assert_eq!(source.count(partition).await.unwrap(), Some(6));
        let found: Vec<Found> = source.read(partition, None).await.unwrap().try_collect().await.unwrap();
        assert_eq!(found, commits(&of(partition)).collect::<Vec<_>>());
    }
    let both = directory.path().join("both.jsonl");
    fs::write(&both, [zero, one].concat()).unwrap();
    assert_eq!(ExportSource::open(&both).await.unwrap().partitions(), 2);
}

#[tokio::test]
async fn a_manifest_says_whether_the_export_is_whole() {
    let log = log_of(2).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("log.jsonl");
    fs::write(&file, export_of(&log[..4])).unwrap();
    let open = async |tenant, is_done| {
        let manifest = serde_json::json!({
            "daybook_export": 1, "tenant": tenant, "from": null, "to": null, "is_done": is_done, "upto": [6]
        });
        fs::write(directory.path().join("log.jsonl.manifest.json"), manifest.to_string()).unwrap();
        ExportSource::open(&file).await
    };
    assert!(open(Some("acme"), true).await.is_err(), "a part of a log is not a log");
    assert!(open(None, false).await.is_err(), "it is still being written");
    let source = open(None, true).await.unwrap();
    let report = verify(&source, Vec::new(), Options::default(), |_| {}).await.unwrap();
    assert_eq!(first(&report.faults), Some((5, FaultKind::Truncated)), "{report:#?}");
}
