//! A rebuild leaves what a projector would have left, swaps it in at once, or leaves everything as it was.

use bytes::Bytes;
use ledger::ids::{CommitId, RecordId};
use ledger::journal::{Draft, Subject};

use super::faulty::{Fault, Faulty};
use super::{Shop, reached, tenant};
use crate::store::keys;
use crate::{Progress, RebuildError, StoreError, StoreOptions, Views, fresh_digest, rebuild};

async fn folded() -> Shop {
    let shop = Shop::open().await;
    shop.fill().await;
    let views = shop.views();
    let projector = shop.projector(&views).await;
    reached(&projector, shop.last().await).await;
    projector.shutdown().await.unwrap();
    shop
}

fn numbers(views: &Views) -> Vec<u64> {
    views.generations().unwrap().iter().map(|generation| generation.number).collect()
}

#[tokio::test]
async fn a_rebuild_gives_the_same_views_in_a_new_generation() {
    let shop = folded().await;
    let mut steps: Vec<Progress> = Vec::new();
    let options = StoreOptions::default();
    let report =
        rebuild(shop.journal.as_ref(), &shop.views_path(), &options, |p| steps.push(p)).await.unwrap();
    let last = shop.last().await.sequence;
    assert_eq!((report.generation, report.commits), (2, last));
    assert_eq!(report.previous_digest, Some(report.digest));
    assert_eq!(report.digest, fresh_digest(shop.journal.as_ref(), None).await.unwrap().digest);
    assert!(steps.is_sorted_by_key(|progress| progress.done));
    assert_eq!(steps.last().map(|progress| (progress.done, progress.total)), Some((last, last)));

    let views = shop.views();
    assert_eq!((views.generation(), views.checkpoint(0)), (2, last));
    let projector = shop.projector(&views).await;
    let (id, position) = shop.submit("A-9").await;
    reached(&projector, position).await;
    assert!(views.order(&tenant(), id).unwrap().is_some());
}

#[tokio::test]
async fn a_rebuild_heals_rows_that_say_something_wrong_and_tells_that_they_differ() {
    let shop = folded().await;
    let views = shop.views();
    let key = keys::totals(&tenant(), "EUR".parse().unwrap());
    views.store().live().rows.apply([(key, None)]).unwrap();
    drop(views);
    let options = StoreOptions::default();
    let report = rebuild(shop.journal.as_ref(), &shop.views_path(), &options, |_| {}).await.unwrap();
    assert!(report.previous_digest.is_some_and(|previous| previous != report.digest));
    assert_eq!(shop.views().digest_by_scan().unwrap().digest, report.digest);
}

#[tokio::test]
async fn a_rebuild_keeps_one_generation_to_go_back_to() {
    let shop = folded().await;
    let options = StoreOptions::default();
    for generation in 2..5 {
        let report = rebuild(shop.journal.as_ref(), &shop.views_path(), &options, |_| {}).await.unwrap();
        assert_eq!(report.generation, generation);
    }
    assert_eq!(numbers(&shop.views()), [3, 4]);
}

#[tokio::test]
async fn a_rebuild_of_nothing_makes_a_store() {
    let shop = Shop::open().await;
    let options = StoreOptions::default();
    let report = rebuild(shop.journal.as_ref(), &shop.views_path(), &options, |_| {}).await.unwrap();
    assert_eq!(report.commits, 0);
    assert_eq!(shop.views().checkpoint(0), 0);
}

#[tokio::test]
async fn a_rebuild_that_cannot_read_the_log_leaves_the_views_as_they_were() {
    let shop = folded().await;
    let before = shop.views().digest_by_scan().unwrap();
    let subject = Subject { tenant: tenant(), id: RecordId::random() };
    let draft = Draft { subject, commit_id: CommitId::random(), bytes: Bytes::from_static(b"{}") };
    let unreadable = shop.journal.append(&draft, 0).await.unwrap();
    let options = StoreOptions::default();
    let result = rebuild(shop.journal.as_ref(), &shop.views_path(), &options, |_| {}).await;
    assert!(matches!(result, Err(RebuildError::Unreadable { position, .. }) if position == unreadable));
    let views = shop.views();
    assert_eq!((views.generation(), views.digest_by_scan().unwrap()), (1, before));
    assert_eq!(numbers(&views), [1], "nothing is left of the attempt");
}

#[tokio::test]
async fn a_rebuild_that_was_cut_short_is_gone_on_with() {
    let shop = folded().await;
    let journal = Faulty::new(&shop.journal, &[Fault::FailsAt(4)]);
    let options = StoreOptions::default();
    let result = rebuild(journal.as_ref(), &shop.views_path(), &options, |_| {}).await;
    assert!(matches!(result, Err(RebuildError::Journal(_))), "{result:?}");
    assert_eq!(numbers(&shop.views()), [1, 2], "what there is of it waits for the next one");

    let report = rebuild(journal.as_ref(), &shop.views_path(), &options, |_| {}).await.unwrap();
    assert_eq!((report.generation, report.resumed_at), (2, 3));
    assert_eq!(report.commits, shop.last().await.sequence);
    assert_eq!(report.previous_digest, Some(report.digest));
}

#[tokio::test]
async fn what_was_half_folded_from_another_log_is_not_gone_on_with() {
    let shop = folded().await;
    let journal = Faulty::new(&shop.journal, &[Fault::FailsAt(4)]);
    let options = StoreOptions::default();
    rebuild(journal.as_ref(), &shop.views_path(), &options, |_| {}).await.unwrap_err();
    let other = Shop::open().await;
    for key in ["B-1", "B-2", "B-3", "B-4"] {
        other.submit(key).await;
    }
    let report = rebuild(other.journal.as_ref(), &shop.views_path(), &options, |_| {}).await.unwrap();
    assert_eq!((report.generation, report.resumed_at, report.commits), (3, 0, 4));
}

#[tokio::test]
async fn a_rebuild_is_refused_while_the_store_is_in_use() {
    let shop = folded().await;
    let _views = shop.views();
    let options = StoreOptions::default();
    let result = rebuild(shop.journal.as_ref(), &shop.views_path(), &options, |_| {}).await;
    assert!(matches!(result, Err(RebuildError::Store(StoreError::Locked { .. }))));
}

#[tokio::test]
async fn a_fresh_digest_stops_where_it_is_told_to() {
    let shop = folded().await;
    let some = fresh_digest(shop.journal.as_ref(), Some(&[3])).await.unwrap();
    assert_eq!(some.checkpoint, [3]);
    let none = fresh_digest(shop.journal.as_ref(), Some(&[])).await.unwrap();
    assert_eq!((none.digest, none.checkpoint), (Default::default(), vec![]));
}
