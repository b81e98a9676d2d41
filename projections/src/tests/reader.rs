//! A 202 is never followed by a 404, nor by an older state than the caller was told of.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ledger::ids::{Position, RecordId, TenantId};
use ledger::order::{Challenge, Command, Fact, Order, Status};

use super::{Shop, euros, keyed, notification, reached, tenant, webhook};
use crate::views::StatusView;
use crate::{Projector, Reader, StoreOptions, Views, rebuild};

/// A shop with one order, `A-1`, which was stored at the position and is projected.
async fn projected() -> (Shop, RecordId, Position, Views, Projector) {
    let shop = Shop::open().await;
    let (id, first) = shop.submit("A-1").await;
    let views = shop.views();
    let projector = shop.projector(&views).await;
    reached(&projector, first).await;
    (shop, id, first, views, projector)
}

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
    let (shop, id, first, views, projector) = projected().await;
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
    let (shop, id, _, views, projector) = projected().await;
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
    let (shop, id, _, views, projector) = projected().await;
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

/// Orders of different statuses; two of them with something to show besides.
async fn stories(shop: &Shop) {
    shop.fill().await;
    let challenge = Challenge { url: Some("https://bank.example/3ds".to_owned()), ..Challenge::default() };
    let failed = Fact::Failed { reason: "card_declined".to_owned() };
    for (key, fact) in [("B-1", Fact::ActionRequired { challenge }), ("B-2", failed)] {
        let (id, _) = shop.submit(key).await;
        shop.order(id, webhook(key), notification(key, fact)).await;
    }
    let (id, _) = shop.submit("B-3").await;
    shop.order(id, keyed("cancel", "B-3"), Command::Cancel).await;
}

#[tokio::test]
async fn a_status_says_what_the_whole_order_says_from_memory_and_from_disk() {
    let shop = Shop::open().await;
    stories(&shop).await;
    let views = shop.views();
    let reader = Reader::new(shop.ledger.clone(), views.clone());
    let mut folded = Vec::new();
    for key in ["A-1", "A-2", "A-3", "B-1", "B-2", "B-3"] {
        let id = RecordId::for_key(&tenant(), "checkout", key);
        let (view, stamp) = reader.status(&tenant(), id, None).await.unwrap().unwrap();
        assert_eq!(stamp, None, "nothing is projected");
        folded.push(view);
    }
    let seen: Vec<Status> = folded.iter().map(|view| view.status).collect();
    assert_eq!(
        seen,
        [
            Status::Processing,
            Status::Captured,
            Status::Processing,
            Status::ActionRequired,
            Status::Failed,
            Status::Canceled
        ]
    );
    assert_eq!(folded[4].failure.as_deref(), Some("card_declined"));
    let url = folded[3].challenge.as_ref().and_then(|challenge| challenge.url.as_deref());
    assert_eq!(url, Some("https://bank.example/3ds"));

    let projector = shop.projector(&views).await;
    reached(&projector, shop.last().await).await;
    for place in ["memory", "disk"] {
        for view in &folded {
            let order = views.order(&tenant(), view.id).unwrap().unwrap();
            assert_eq!(StatusView::from(&order), *view, "{place}");
            let (status, _) = views.status(&tenant(), view.id).unwrap().unwrap();
            assert_eq!(status, *view, "{place}");
        }
        views.flush().unwrap();
    }
    let stranger: TenantId = "other".parse().unwrap();
    assert_eq!(views.status(&stranger, folded[0].id).unwrap(), None);
    assert_eq!(reader.status(&stranger, folded[0].id, None).await.unwrap(), None);
}

#[tokio::test]
async fn a_stamp_is_good_until_its_order_changes_and_no_longer() {
    let shop = Shop::open().await;
    let (one, first) = shop.submit("A-1").await;
    let (two, _) = shop.submit("A-2").await;
    let views = shop.views();
    let reader = Reader::new(shop.ledger.clone(), views.clone());
    let projector = shop.projector(&views).await;
    reached(&projector, shop.last().await).await;
    let stamp = async |id| reader.status(&tenant(), id, None).await.unwrap().unwrap().1.unwrap();
    let (of_one, of_two) = (stamp(one).await, stamp(two).await);
    assert!(reader.is_unchanged(one, Some(first), &of_one));
    views.flush().unwrap();
    assert!(reader.is_unchanged(one, None, &of_one), "on disk it is what it was");

    let last = shop.settle("A-1").await;
    reader.note_accepted(one, last);
    assert!(reader.is_unchanged(two, None, &of_two));
    reached(&projector, last).await;
    assert!(!reader.is_unchanged(one, None, &of_one));
    assert!(reader.is_unchanged(two, None, &of_two), "another order has changed");
    let anew = stamp(one).await;
    assert!(reader.is_unchanged(one, Some(last), &anew));
    projector.shutdown().await.unwrap();
    drop(projector);

    // The projector stands still: what somebody was told of is in no view.
    let unseen = shop.order(one, keyed("refund", "again"), refund("again", 100)).await;
    assert!(reader.is_unchanged(one, Some(last), &anew), "nobody was told");
    assert!(!reader.is_unchanged(one, Some(unseen), &anew), "the caller was told");
    reader.note_accepted(one, unseen);
    assert!(!reader.is_unchanged(one, None, &anew), "this node has accepted it");
    assert!(reader.is_unchanged(two, None, &of_two));
}

fn refund(key: &str, minor: i64) -> Command {
    let id = ledger::ids::RefundId::for_key(RecordId::for_key(&tenant(), "checkout", "A-1"), Some(key));
    Command::Refund { id, amount: Some(euros(minor)), reason: None }
}

#[tokio::test]
async fn no_stamp_is_good_for_the_views_of_a_rebuild() {
    let (shop, id, _, views, projector) = projected().await;
    projector.shutdown().await.unwrap();
    let (view, stamp) = views.status(&tenant(), id).unwrap().unwrap();
    assert!(views.is_unchanged(&stamp));
    drop((projector, views));
    rebuild(shop.journal.as_ref(), &shop.views_path(), &StoreOptions::default(), |_| {}).await.unwrap();
    let views = shop.views();
    assert!(!views.is_unchanged(&stamp));
    assert_eq!(views.status(&tenant(), id).unwrap().unwrap().0, view);
}

#[tokio::test]
async fn a_status_that_is_read_while_its_order_changes_is_never_kept_too_long() {
    let (shop, id, first, views, projector) = projected().await;
    let is_over = Arc::new(AtomicBool::new(false));
    let (seen, over) = (views.clone(), Arc::clone(&is_over));
    let poller = std::thread::spawn(move || {
        let (mut known, mut reads) = (seen.status(&tenant(), id).unwrap().unwrap(), 1);
        while !over.load(Ordering::Acquire) {
            // First what the views are known to show, then what is kept.
            let shown = seen.order(&tenant(), id).unwrap().unwrap().last;
            if !seen.is_unchanged(&known.1) {
                known = seen.status(&tenant(), id).unwrap().unwrap();
                reads += 1;
            }
            assert!(known.0.last >= shown, "{} after {shown}", known.0.last);
        }
        reads
    });
    let mut last = first;
    for number in 1..=60 {
        let authorized = Fact::Authorized { amount: euros(number) };
        let command = notification("pay-A-1", authorized);
        last = shop.execute::<Order>(tenant(), id, webhook(&format!("evt-{number}")), command).await.position;
    }
    reached(&projector, last).await;
    is_over.store(true, Ordering::Release);
    assert!(poller.join().unwrap() > 1, "nothing has changed meanwhile");
    assert_eq!(views.status(&tenant(), id).unwrap().unwrap().0.last, last);
}
