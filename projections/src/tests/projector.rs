//! The projector folds each commit once, in its place, or stops in front of it, whatever the journal does.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use ledger::ids::{CommitId, Position, RecordId};
use ledger::journal::embedded::{EmbeddedJournal, EmbeddedOptions};
use ledger::journal::{Draft, Journal, Subject};

use super::faulty::{Fault, Faulty};
use super::{DEADLINE, Shop, halted, open, quick, reached, tenant};
use crate::{Projector, ProjectorOptions, ProjectorStatus, StartError, State, Views, fresh_digest};

async fn start(journal: &Arc<Faulty>, views: &Views, options: ProjectorOptions) -> Projector {
    let journal: Arc<dyn Journal> = Arc::clone(journal) as _;
    Projector::start(journal, views.clone(), options).await.unwrap()
}

async fn check_complete(shop: &Shop, views: &Views) {
    assert_eq!(views.digest_by_scan().unwrap(), fresh_digest(shop.journal.as_ref(), None).await.unwrap());
}

#[tokio::test]
async fn it_catches_up_and_then_follows() {
    let shop = Shop::open().await;
    shop.fill().await;
    let views = shop.views();
    let projector = shop.projector(&views).await;
    reached(&projector, shop.last().await).await;
    let last = shop.last().await.sequence;
    let status = ProjectorStatus { state: State::Live, applied: last, last, lag: 0 };
    assert_eq!(projector.status(), status);
    assert_eq!(projector.partitions(), [status]);

    let (id, position) = shop.submit("A-9").await;
    reached(&projector, position).await;
    assert!(views.order(&tenant(), id).unwrap().is_some());
    assert_eq!(*projector.applied().borrow(), [position.sequence]);
    check_complete(&shop, &views).await;
}

/// Whatever happens to tails, the views end up as the log says.
async fn check_survives(faults: &[Fault]) {
    let shop = Shop::open().await;
    shop.fill().await;
    let journal = Faulty::new(&shop.journal, faults);
    let views = shop.views();
    let projector = start(&journal, &views, quick()).await;
    reached(&projector, shop.last().await).await;
    check_complete(&shop, &views).await;
    let (_, position) = shop.submit("A-9").await;
    reached(&projector, position).await;
    assert_eq!(projector.status().state, State::Live);
    check_complete(&shop, &views).await;
    // More than that only where the watchdog was impatient with a slow machine.
    assert!(journal.tails.load(Ordering::SeqCst) > faults.len(), "every fault was met");
}

#[tokio::test]
async fn a_tail_that_leaves_a_commit_out_is_opened_again_before_it() {
    check_survives(&[Fault::Skips(3), Fault::Skips(5)]).await;
}

#[tokio::test]
async fn a_tail_that_repeats_a_commit_is_opened_again_after_it() {
    check_survives(&[Fault::Repeats(3)]).await;
}

#[tokio::test]
async fn a_tail_that_fails_or_ends_is_opened_again() {
    check_survives(&[Fault::CannotOpen, Fault::FailsAt(4), Fault::EndsAt(6), Fault::CannotOpen]).await;
}

#[tokio::test]
async fn a_tail_that_falls_silent_is_opened_again_by_the_watchdog() {
    check_survives(&[Fault::SilentFrom(4), Fault::SilentFrom(6)]).await;
}

#[tokio::test]
async fn a_log_with_a_hole_is_followed_up_to_the_hole_and_no_further() {
    let shop = Shop::open().await;
    shop.fill().await;
    let journal = Faulty::new(&shop.journal, &[]);
    journal.hole.store(4, Ordering::SeqCst);
    let views = shop.views();
    let projector = start(&journal, &views, quick()).await;
    let (position, reason) = halted(&projector).await;
    assert_eq!(position, Position { partition: 0, sequence: 4 });
    assert!(reason.contains("no commit here"), "{reason}");
    assert_eq!(views.checkpoint(0), 3);
    assert_eq!(projector.status().lag, shop.last().await.sequence - 3);
    projector.shutdown().await.unwrap();
}

#[tokio::test]
async fn it_halts_in_front_of_what_it_cannot_read_with_everything_before_it_applied() {
    let shop = Shop::open().await;
    shop.fill().await;
    let subject = Subject { tenant: tenant(), id: RecordId::random() };
    let bytes = Bytes::from_static(b"{\"commit\": \"from the future\"}");
    let draft = Draft { subject, commit_id: CommitId::random(), bytes };
    let unreadable = shop.journal.append(&draft, 0).await.unwrap();
    shop.submit("A-9").await;

    let views = shop.views();
    let projector = shop.projector(&views).await;
    let (position, _) = halted(&projector).await;
    assert_eq!(position, unreadable);
    assert_eq!(views.checkpoint(0), unreadable.sequence - 1);
    assert_eq!(projector.status().lag, 2);
    let before = fresh_digest(shop.journal.as_ref(), Some(&[unreadable.sequence - 1])).await.unwrap();
    assert_eq!(views.digest_by_scan().unwrap(), before);
    projector.shutdown().await.unwrap();

    let again = shop.projector(&views).await;
    assert_eq!(halted(&again).await.0, unreadable, "a restart does not get past it either");
}

#[tokio::test]
async fn it_halts_in_front_of_a_commit_that_is_filed_under_another_order() {
    let shop = Shop::open().await;
    let (_, position) = shop.submit("A-1").await;
    let stored = shop.journal.at(position).await.unwrap().unwrap();
    let subject = Subject { tenant: tenant(), id: RecordId::random() };
    let draft = Draft { subject, commit_id: CommitId::random(), bytes: stored.bytes };
    let misfiled = shop.journal.append(&draft, 0).await.unwrap();
    let projector = shop.projector(&shop.views()).await;
    let (position, reason) = halted(&projector).await;
    assert_eq!(position, misfiled);
    assert!(reason.contains("filed under another"), "{reason}");
}

async fn check_refused(journal: Arc<dyn Journal>, views: &Views, what: &str) {
    match Projector::start(journal, views.clone(), quick()).await {
        Err(StartError::LogWentBackwards(text)) => {
            assert!(text.contains(what) && text.contains("daybook rebuild"), "{text}");
        }
        Err(error) => panic!("another error: {error}"),
        Ok(_) => panic!("it started"),
    }
}

#[tokio::test]
async fn a_log_that_is_shorter_than_the_views_is_refused() {
    let shop = Shop::open().await;
    shop.fill().await;
    let views = shop.views();
    let projector = shop.projector(&views).await;
    reached(&projector, shop.last().await).await;
    projector.shutdown().await.unwrap();

    let journal = Faulty::new(&shop.journal, &[]);
    journal.cut.store(1, Ordering::SeqCst);
    check_refused(journal, &views, "ends at").await;
}

#[tokio::test]
async fn a_log_that_is_another_one_is_refused() {
    let shop = Shop::open().await;
    shop.fill().await;
    let views = shop.views();
    let projector = shop.projector(&views).await;
    reached(&projector, shop.last().await).await;
    projector.shutdown().await.unwrap();

    let path = shop.dir.path().join("other.sqlite");
    let other = EmbeddedJournal::open(path, EmbeddedOptions::default()).await.unwrap();
    for sequence in 1..=shop.last().await.sequence {
        let subject = Subject { tenant: tenant(), id: RecordId::random() };
        let bytes = Bytes::from(format!("commit {sequence} of another log"));
        other.append(&Draft { subject, commit_id: CommitId::random(), bytes }, 0).await.unwrap();
    }
    check_refused(Arc::new(other), &views, "is not the one").await;
}

#[tokio::test]
async fn a_log_that_shrinks_under_a_running_projector_halts_it() {
    let shop = Shop::open().await;
    shop.fill().await;
    let journal = Faulty::new(&shop.journal, &[]);
    let views = shop.views();
    let projector = start(&journal, &views, quick()).await;
    reached(&projector, shop.last().await).await;
    journal.cut.store(2, Ordering::SeqCst);
    let (_, reason) = halted(&projector).await;
    assert!(reason.contains("now ends at"), "{reason}");
}

#[tokio::test]
async fn changes_are_told_after_they_are_visible() {
    let shop = Shop::open().await;
    let views = shop.views();
    let projector = shop.projector(&views).await;
    let mut changes = projector.changes();
    let (id, position) = shop.submit("A-1").await;
    let change = tokio::time::timeout(DEADLINE, changes.recv()).await.unwrap().unwrap();
    assert_eq!((change.recorded.position, change.recorded.commit.record), (position, id));
    assert!(views.order(&tenant(), id).unwrap().is_some());
}

#[tokio::test]
async fn whoever_waits_for_a_record_hears_of_its_change() {
    let shop = Shop::open().await;
    let views = shop.views();
    let projector = shop.projector(&views).await;
    let id = RecordId::for_key(&tenant(), "checkout", "A-1");
    let mut waiter = projector.watch(id);
    assert_eq!(views.order(&tenant(), id).unwrap(), None);
    shop.submit("A-1").await;
    tokio::time::timeout(DEADLINE, waiter.changed()).await.unwrap();
    assert!(views.order(&tenant(), id).unwrap().is_some());
}

#[tokio::test]
async fn a_shutdown_leaves_everything_applied_on_disk() {
    let shop = Shop::open().await;
    shop.fill().await;
    let views = shop.views();
    let projector = shop.projector(&views).await;
    reached(&projector, shop.last().await).await;
    projector.shutdown().await.unwrap();
    projector.shutdown().await.unwrap();
    let digest = views.digest_by_scan().unwrap();
    drop((projector, views));
    assert_eq!(open(&shop.views_path()).digest_by_scan().unwrap(), digest);
}

#[tokio::test]
async fn it_ends_when_nobody_holds_it_any_more() {
    let shop = Shop::open().await;
    let views = shop.views();
    let projector = shop.projector(&views).await;
    let applied = projector.applied();
    drop(projector);
    let mut applied = applied;
    let gone = async { while applied.changed().await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("its tasks and its thread are gone");
}
