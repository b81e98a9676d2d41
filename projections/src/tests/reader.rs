//! A 202 is never followed by a 404, nor by an older state than the caller was told of.

use ledger::ids::{Position, RecordId, TenantId};
use ledger::order::Status;

use super::{Shop, euros, reached, tenant};
use crate::Reader;

#[tokio::test]
async fn an_order_that_is_not_projected_yet_is_folded_from_the_journal() {
    let shop = Shop::open().await;
    let (id, position) = shop.submit("A-1").await;
    // Another node: it accepted nothing itself, and nothing is projected.
    let reader = Reader::new(shop.ledger.clone(), shop.views());
    let view = reader.order(&tenant(), id, None).await.unwrap().unwrap();
    assert_eq!((view.first, view.order.status()), (position, Status::Processing));
    assert_eq!(reader.history(&tenant(), id, None).await.unwrap().len(), 1);
    let stranger: TenantId = "other".parse().unwrap();
    assert_eq!(reader.order(&stranger, id, None).await.unwrap(), None);
    assert_eq!(reader.order(&tenant(), RecordId::random(), None).await.unwrap(), None);
}

#[tokio::test]
async fn a_read_is_never_older_than_what_the_caller_was_told() {
    let shop = Shop::open().await;
    let (id, first) = shop.submit("A-1").await;
    let views = shop.views();
    let projector = shop.projector(&views).await;
    reached(&projector, first).await;
    projector.shutdown().await.unwrap();
    let last = shop.settle("A-1").await;

    let (here, elsewhere) =
        (Reader::new(shop.ledger.clone(), views.clone()), Reader::new(shop.ledger.clone(), views.clone()));
    here.note_accepted(id, last);
    let pending = |view: Option<crate::views::OrderView>| view.unwrap().order.balance().refund_pending_minor;
    assert_eq!(pending(here.order(&tenant(), id, None).await.unwrap()), 250, "what this node accepted");
    assert_eq!(pending(elsewhere.order(&tenant(), id, None).await.unwrap()), 0, "its view, a moment old");
    assert_eq!(pending(elsewhere.order(&tenant(), id, Some(first)).await.unwrap()), 0, "fresh enough");
    assert_eq!(pending(elsewhere.order(&tenant(), id, Some(last)).await.unwrap()), 250, "as was asked for");
    assert_eq!(elsewhere.history(&tenant(), id, Some(last)).await.unwrap().len(), 4);
    assert_eq!(elsewhere.history(&tenant(), id, None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_fold_from_the_journal_says_exactly_what_the_views_say_later() {
    let shop = Shop::open().await;
    let (id, _) = shop.submit("A-1").await;
    let last = shop.settle("A-1").await;
    let views = shop.views();
    let reader = Reader::new(shop.ledger.clone(), views.clone());
    let folded = reader.order(&tenant(), id, None).await.unwrap();
    let history = reader.history(&tenant(), id, None).await.unwrap();
    let projector = shop.projector(&views).await;
    reached(&projector, last).await;
    let view = reader.open(views.order(&tenant(), id).unwrap().unwrap()).await.unwrap();
    assert_eq!(Some(view), folded);
    assert_eq!(views.history(&tenant(), id).unwrap(), history);
}

#[tokio::test]
async fn what_is_remembered_of_accepted_commits_is_forgotten_once_it_is_projected() {
    let shop = Shop::open().await;
    let views = shop.views();
    let reader = Reader::new(shop.ledger.clone(), views.clone());
    let mut last = Position { partition: 0, sequence: 0 };
    for key in 0..20 {
        let (id, position) = shop.submit(&key.to_string()).await;
        reader.note_accepted(id, position);
        last = position;
    }
    assert_eq!(reader.remembered(), 20);
    let projector = shop.projector(&views).await;
    reached(&projector, last).await;
    let (id, position) = shop.submit("one more").await;
    reached(&projector, position).await;
    reader.note_accepted(id, position);
    assert_eq!(reader.remembered(), 0);
}

#[tokio::test]
async fn what_an_earlier_process_acknowledged_is_seen_before_the_views_are_there_again() {
    let shop = Shop::open().await;
    let (id, first) = shop.submit("A-1").await;
    let views = shop.views();
    let projector = shop.projector(&views).await;
    reached(&projector, first).await;
    projector.shutdown().await.unwrap();
    let last = shop.settle("A-1").await;

    // A new process: it accepted nothing itself, and its views are older than the log.
    let reader = Reader::new(shop.ledger.clone(), views.clone());
    reader.note_log_end(last);
    let view = reader.order(&tenant(), id, None).await.unwrap().unwrap();
    assert_eq!((view.last, view.order.balance().refund_pending_minor), (last, 250));
}

#[tokio::test]
async fn views_that_stand_still_take_no_more_memory_and_hide_nothing() {
    let shop = Shop::open().await;
    let (id, first) = shop.submit("A-1").await;
    let views = shop.views();
    let projector = shop.projector(&views).await;
    reached(&projector, first).await;
    projector.shutdown().await.unwrap();
    let reader = Reader::new(shop.ledger.clone(), views.clone()).with_room(5);
    let last = shop.settle("A-1").await;
    reader.note_accepted(id, last);
    for key in 0..20 {
        let (id, position) = shop.submit(&key.to_string()).await;
        reader.note_accepted(id, position);
        assert!(reader.remembered() <= 5);
    }
    let view = reader.order(&tenant(), id, None).await.unwrap().unwrap();
    assert_eq!(view.last, last, "crowded out, and still shown");
    let projector = shop.projector(&views).await;
    reached(&projector, shop.last().await).await;
    assert_eq!(reader.order(&tenant(), id, None).await.unwrap().unwrap().last, last);
}

#[tokio::test]
async fn an_offer_is_read_as_it_was_registered_a_moment_ago() {
    let shop = Shop::open().await;
    let views = shop.views();
    let reader = Reader::new(shop.ledger.clone(), views.clone());
    let first = shop.register("basic", 500).await;
    assert_eq!(reader.offer(&tenant(), "basic").await.unwrap().unwrap().1, first);
    let projector = shop.projector(&views).await;
    reached(&projector, first).await;
    projector.shutdown().await.unwrap();
    let second = shop.register("basic", 700).await;
    reader.note_accepted(ledger::offer::Offer::record_id(&tenant(), "basic"), second);
    assert_eq!(reader.offer(&tenant(), "basic").await.unwrap().unwrap().0.amount, euros(700));
    assert_eq!(reader.offer(&tenant(), "pro").await.unwrap(), None);
}
