//! The whole examination: with the fold, the books and the views.

use bytes::Bytes;
use ledger::codec;
use ledger::commit::Changes;

use super::*;

async fn verify_log(log: &[Stored], evidence: Evidence) -> Report {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("log.jsonl");
    std::fs::write(&file, log.iter().flat_map(export_line).collect::<Vec<u8>>()).unwrap();
    let source = ExportSource::open(&file).await.unwrap();
    verify(&source, vec![evidence], Options::default(), |_| {}).await.unwrap()
}

#[tokio::test]
async fn a_healthy_log_is_found_healthy() {
    let directory = tempfile::tempdir().unwrap();
    let journal = journal_of(directory.path(), 4).await;
    let views = projections::fresh_digest(journal.as_ref(), Some(&[7])).await.unwrap();
    let source = JournalSource::new(journal, Medium::File);
    let log = log_of(4).await;
    assert_eq!(log.len(), 12);
    let mut progress = None;
    let options = Options { views: Some(views), ..Options::default() };
    // Commit ids are random, so this is another log than `log`: no evidence here.
    let report = verify(&source, Vec::new(), options, |now| progress = Some(now)).await.unwrap();
    assert_eq!((&report.faults[..], report.faults_in_all, report.orders), (&[][..], 0, 4));
    assert_eq!(report.views, ViewsFound::AsFolded);
    assert_eq!(progress.map(|progress| (progress.done, progress.total)), Some((12, 12)));

    let mut evidence = kept(&log);
    evidence.add_head(0, head(&log, 8));
    let report = verify_log(&log, evidence).await;
    assert_eq!(report.faults, []);
    let [summary] = &report.partitions[..] else { panic!("one partition") };
    assert_eq!(summary.root, Some(head(&log, 12).root));
    let found =
        (summary.last_sequence, summary.heads_as_signed, summary.signed_up_to, summary.commits_as_kept);
    assert_eq!(found, (12, 1, 8, 12));
}

#[tokio::test]
async fn without_evidence_what_cannot_be_is_found_all_the_same() {
    let log = log_of(3).await;
    let check = async |tampered: Vec<Stored>, expect| {
        let report = verify_log(&tampered, Evidence::default()).await;
        assert_eq!(first(&report.faults), Some(expect), "{report:#?}");
    };
    // Numbered anew, as if it had never been there.
    let mut without_checkout = log.clone();
    without_checkout.remove(3);
    check(renumbered(without_checkout), (4, FaultKind::Impossible)).await;
    let mut doubled = log.clone();
    doubled.push(log[8].clone());
    check(renumbered(doubled), (10, FaultKind::Duplicated)).await;
    let mut misfiled = log.clone();
    misfiled[4].subject.tenant = "globex".parse().unwrap();
    check(misfiled, (5, FaultKind::Misfiled)).await;
    let mut undecodable = log.clone();
    undecodable[4].bytes = Bytes::from_static(b"{}");
    check(undecodable, (5, FaultKind::Undecodable)).await;
}

#[tokio::test]
async fn the_same_webhook_under_another_commit_id_is_a_duplicate() {
    let mut log = log_of(3).await;
    let mut again = codec::decode(&log[2].bytes).unwrap();
    again.id = ledger::ids::CommitId::random();
    assert!(matches!(again.changes, Changes::Order(_)));
    log.push(Stored { position: at(10), bytes: codec::encode(&again).into(), ..log[2].clone() });
    let report = verify_log(&log, Evidence::default()).await;
    assert_eq!(first(&report.faults), Some((10, FaultKind::Duplicated)), "{report:#?}");
    assert!(report.faults[0].detail.contains("0-3"), "{report:#?}");
}

#[tokio::test]
async fn views_that_differ_or_are_ahead_of_the_log_are_found() {
    let directory = tempfile::tempdir().unwrap();
    let journal = journal_of(directory.path(), 2).await;
    let views = projections::fresh_digest(journal.as_ref(), None).await.unwrap();
    let source = JournalSource::new(journal, Medium::File);
    let found = async |views| {
        let options = Options { views: Some(views), ..Options::default() };
        verify(&source, Vec::new(), options, |_| {}).await.unwrap()
    };
    let mut other = views.clone();
    other.digest = Default::default();
    let report = found(other).await;
    assert_eq!(
        (report.views, first(&report.faults)),
        (ViewsFound::Different, Some((0, FaultKind::ViewsDiffer)))
    );
    let mut ahead = views.clone();
    ahead.checkpoint = vec![8];
    let report = found(ahead).await;
    assert_eq!(
        (report.views, first(&report.faults)),
        (ViewsFound::NotComparable, Some((7, FaultKind::Truncated)))
    );
}

#[tokio::test]
async fn faults_beyond_the_bound_are_counted() {
    let log = log_of(4).await;
    let undecodable: Vec<Stored> =
        log.iter().map(|stored| Stored { bytes: Bytes::from_static(b"{}"), ..stored.clone() }).collect();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("log.jsonl");
    std::fs::write(&file, undecodable.iter().flat_map(export_line).collect::<Vec<u8>>()).unwrap();
    let source = ExportSource::open(&file).await.unwrap();
    let options = Options { most_faults: 5, ..Options::default() };
    let report = verify(&source, Vec::new(), options, |_| {}).await.unwrap();
    assert_eq!((report.faults.len(), report.faults_in_all), (5, 12));
}
