//! What the views answer, from a log with something of everything in it.

use ledger::ids::{Position, RecordId, TenantId};
use ledger::order::{Command, Fact, Order, Status};
use ledger::quarantine::{self, MatchKey, Outcome, Quarantined, Reason};

use super::{Shop, at, captured, checkout, euros, keyed, notification, reached, tenant, webhook};
use crate::Views;
use crate::views::{CauseSummary, ListFilter};

async fn projected(shop: &Shop) -> Views {
    let views = shop.views();
    let projector = shop.projector(&views).await;
    reached(&projector, shop.last().await).await;
    projector.shutdown().await.unwrap();
    views
}

#[tokio::test]
async fn an_order_shows_its_status_its_balance_and_its_history() {
    let shop = Shop::open().await;
    let (id, first) = shop.submit("A-1").await;
    let last = shop.settle("A-1").await;
    let views = projected(&shop).await;

    let view = views.order(&tenant(), id).unwrap().unwrap();
    assert_eq!(view.order.checkout.customer, Default::default(), "sealed");
    let view = crate::Reader::new(shop.ledger.clone(), views.clone()).open(view).await.unwrap();
    assert_eq!((view.first, view.last, view.created_at), (first, last, at(0)));
    assert_eq!(view.order.status(), Status::Captured);
    let state = shop.ledger.history::<Order>(&tenant(), id).await.unwrap().state.unwrap();
    assert_eq!(view.order, state);

    let history = views.history(&tenant(), id).unwrap();
    let names: Vec<Vec<&str>> =
        history.iter().map(|entry| entry.events.iter().map(|event| event.name.as_str()).collect()).collect();
    let expected: [&[&str]; 4] = [
        &["checkout_submitted", "attempt_started"],
        &["attempt_linked", "payment_authorized"],
        &["payment_captured"],
        &["refund_requested"],
    ];
    assert_eq!(names, expected);
    let command = CauseSummary::Command { operation: "checkout".to_owned(), key: Some("A-1".to_owned()) };
    assert_eq!(history[0].cause, command);
    let webhook = CauseSummary::Webhook { source: "psp".to_owned(), event_id: "A-1-2".to_owned() };
    assert_eq!((history[2].cause.clone(), history[2].status), (webhook, Status::Captured));
    assert_eq!(history[2].events[0].amount, Some(euros(1000)));
    assert_eq!(history[2].events[0].reference.as_deref(), Some("cap-A-1"));
    assert_eq!(history[3].balance.refund_pending_minor, 250);
    assert_eq!(history[3].events[0].detail.as_deref(), Some("broken"));
}

#[tokio::test]
async fn a_list_goes_through_all_orders_newest_first_page_by_page() {
    let shop = Shop::open().await;
    let mut ids = Vec::new();
    for key in ["A-1", "A-2", "A-3", "A-4", "A-5"] {
        ids.push(shop.submit(key).await.0);
    }
    shop.settle("A-2").await;
    shop.settle("A-5").await;
    ids.reverse();
    let views = projected(&shop).await;

    let all = ListFilter::default();
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = views.list(&tenant(), &all, cursor, 2).unwrap();
        assert!(page.orders.len() <= 2);
        seen.extend(page.orders.iter().map(|view| view.id));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, ids);

    let of = |filter: ListFilter| -> Vec<RecordId> {
        views.list(&tenant(), &filter, None, 10).unwrap().orders.iter().map(|view| view.id).collect()
    };
    let status = |status| ListFilter { status: Some(status), ..ListFilter::default() };
    assert_eq!(of(status(Status::Captured)), [ids[0], ids[3]]);
    assert_eq!(of(status(Status::Processing)), [ids[1], ids[2], ids[4]]);
    assert_eq!(of(status(Status::Refunded)), []);
    let reference = |text: &str| ListFilter { merchant_reference: Some(text.to_owned()), status: None };
    assert_eq!(of(reference("A-3")), [ids[2]]);
    assert_eq!(of(ListFilter { status: Some(Status::Captured), ..reference("A-3") }), []);
    assert_eq!(of(reference("A")), []);
    assert_eq!(views.list(&tenant(), &all, None, 0).unwrap().orders, []);
}

#[tokio::test]
async fn orders_are_found_by_the_names_that_others_gave_them() {
    let shop = Shop::open().await;
    let (first, _) = shop.submit("A-1").await;
    shop.settle("A-1").await;
    let twin = RecordId::for_key(&tenant(), "checkout", "again");
    let command = Command::Submit(Box::new(checkout("A-1", euros(5))));
    let position = shop.order(twin, keyed("checkout", "again"), command).await;
    let views = projected(&shop).await;

    assert_eq!(views.by_merchant_reference(&tenant(), "A-1").unwrap(), [first, twin]);
    assert_eq!(views.by_merchant_reference(&tenant(), "A").unwrap(), []);
    assert_eq!(views.by_payment_reference(&tenant(), "pay-A-1").unwrap(), [first]);
    let entry = views.idempotency(&tenant(), "checkout", "again").unwrap().unwrap();
    assert_eq!((entry.record, entry.position), (twin, position));
    assert_eq!(views.idempotency(&tenant(), "refund", "again").unwrap(), None);
    let refund = views.idempotency(&tenant(), "refund", "A-1-r").unwrap().unwrap();
    assert_eq!(refund.record, first);
}

#[tokio::test]
async fn totals_are_kept_by_currency() {
    let shop = Shop::open().await;
    shop.submit("A-1").await;
    shop.submit("A-2").await;
    shop.settle("A-2").await;
    let yen = RecordId::random();
    let amount = ledger::money::Money::of(7, "JPY".parse().unwrap()).unwrap();
    let command = Command::Submit(Box::new(checkout("A-3", amount)));
    shop.order(yen, keyed("checkout", "A-3"), command).await;
    shop.order(yen, webhook("y"), notification("pay-y", captured("cap-y", amount))).await;
    let views = projected(&shop).await;

    let totals = views.totals(&tenant()).unwrap();
    let currencies: Vec<&str> = totals.iter().map(|(currency, _)| currency.code()).collect();
    assert_eq!(currencies, ["EUR", "JPY"]);
    let euros = totals[0].1;
    assert_eq!((euros.orders, euros.authorized_minor, euros.captured_minor), (2, 1000, 1000));
    assert_eq!((euros.refunded_minor, euros.refund_pending_minor, euros.balance_minor), (0, 250, 1000));
    assert_eq!((totals[1].1.orders, totals[1].1.balance_minor), (1, 7));
}

#[tokio::test]
async fn an_order_is_due_from_its_expiry_until_it_no_longer_waits() {
    let shop = Shop::open().await;
    let (waiting, _) = shop.submit("A-1").await;
    shop.submit("A-2").await;
    shop.settle("A-2").await;
    let views = projected(&shop).await;
    assert_eq!(views.due(at(1799), 10).unwrap(), []);
    assert_eq!(views.due(at(1800), 10).unwrap(), [(tenant(), waiting)]);
    assert_eq!(views.due(at(1800), 0).unwrap(), []);

    let cause = ledger::commit::Cause::Timer { name: "expiry".to_owned() };
    shop.order(waiting, cause, Command::Expire { now: at(1800) }).await;
    let projector = shop.projector(&views).await;
    reached(&projector, shop.last().await).await;
    assert_eq!(views.due(at(9999), 10).unwrap(), []);
}

#[tokio::test]
async fn an_offer_is_shown_as_it_was_registered_last() {
    let shop = Shop::open().await;
    shop.register("basic", 500).await;
    let position = shop.register("basic", 700).await;
    let views = projected(&shop).await;
    let (offer, last) = views.offer(&tenant(), "basic").unwrap().unwrap();
    assert_eq!((offer.amount, last), (euros(700), position));
    assert_eq!(views.offer(&tenant(), "pro").unwrap(), None);
}

#[tokio::test]
async fn a_quarantined_webhook_waits_until_it_is_closed() {
    let shop = Shop::open().await;
    let key = MatchKey::PaymentReference("pay-1".to_owned());
    let other = MatchKey::MerchantReference("A-1".to_owned());
    let waiting = shop.set_aside("evt-1", Reason::UnknownOrder, vec![key.clone(), other.clone()]).await;
    let refused = shop.set_aside("evt-2", Reason::Refused, vec![key.clone()]).await;
    let released = shop.set_aside("evt-3", Reason::UnknownOrder, vec![key.clone()]).await;
    let order = RecordId::random();
    let release = quarantine::Command::Release { order };
    let cause = ledger::commit::Cause::Timer { name: "release".to_owned() };
    shop.execute::<Quarantined>(tenant(), released, cause, release).await;
    let views = projected(&shop).await;

    assert_eq!(views.waiting_webhooks(&tenant(), &key).unwrap(), [waiting]);
    assert_eq!(views.waiting_webhooks(&tenant(), &other).unwrap(), [waiting]);
    assert_eq!(views.waiting_webhooks(&tenant(), &MatchKey::Order(order)).unwrap(), []);
    assert_eq!(views.open_waiting(10).unwrap(), [(tenant(), waiting)]);

    let all = views.quarantine(&tenant(), None, 10).unwrap();
    let ids: Vec<RecordId> = all.iter().map(|view| view.id).collect();
    assert_eq!(ids, [released, refused, waiting]);
    assert_eq!(all[0].webhook.outcome, Some(Outcome::Released { order }));
    assert_eq!((all[1].source.as_str(), all[1].event_id.as_str()), ("psp", "evt-2"));
    assert_eq!(views.quarantine(&tenant(), Some(all[1].first), 10).unwrap(), all[2..]);
    assert_eq!(views.quarantined(&tenant(), refused).unwrap().as_ref(), Some(&all[1]));
    let stored = shop.journal.at(all[2].first).await.unwrap().unwrap();
    assert_eq!(stored.subject.id, waiting, "the raw body is where the view says");
}

#[tokio::test]
async fn another_tenants_records_do_not_exist() {
    let shop = Shop::open().await;
    shop.fill().await;
    let id = RecordId::for_key(&tenant(), "checkout", "A-2");
    let views = projected(&shop).await;
    let stranger: TenantId = "dem".parse().unwrap();

    assert!(views.order(&tenant(), id).unwrap().is_some());
    assert_eq!(views.order(&stranger, id).unwrap(), None);
    assert_eq!(views.history(&stranger, id).unwrap(), []);
    assert_eq!(views.list(&stranger, &ListFilter::default(), None, 10).unwrap().orders, []);
    let cursor = Some(Position { partition: 0, sequence: 99 });
    assert_eq!(views.list(&stranger, &ListFilter::default(), cursor, 10).unwrap().orders, []);
    assert_eq!(views.by_merchant_reference(&stranger, "A-2").unwrap(), []);
    assert_eq!(views.by_payment_reference(&stranger, "pay-A-2").unwrap(), []);
    assert_eq!(views.idempotency(&stranger, "checkout", "A-2").unwrap(), None);
    assert_eq!(views.totals(&stranger).unwrap(), []);
    assert_eq!(views.offer(&stranger, "basic").unwrap(), None);
    assert_eq!(views.quarantine(&stranger, None, 10).unwrap(), []);
    let key = MatchKey::PaymentReference("pay-9".to_owned());
    assert_eq!(views.waiting_webhooks(&stranger, &key).unwrap(), []);
}

#[tokio::test]
async fn a_contradiction_is_named_in_the_history() {
    let shop = Shop::open().await;
    let (id, _) = shop.submit("A-1").await;
    let capture = notification("pay-1", captured("cap-1", euros(1000)));
    shop.order(id, webhook("1"), capture).await;
    shop.order(id, webhook("2"), notification("pay-1", Fact::Failed { reason: "late".to_owned() })).await;
    let views = projected(&shop).await;
    let history = views.history(&tenant(), id).unwrap();
    assert_eq!(history[1].anomalies, Vec::<String>::new());
    assert_eq!(history[2].anomalies, ["captured_and_failed"]);
}

#[tokio::test]
async fn a_history_of_any_length_is_whole_and_in_order() {
    let shop = Shop::open().await;
    let views = shop.views();
    let projector = shop.projector(&views).await;
    let (id, _) = shop.submit("A-1").await;
    for commits in 2..=50_u64 {
        let noted = notification("pay-1", Fact::Other { kind: format!("noise-{commits}") });
        let position = shop.order(id, webhook(&commits.to_string()), noted).await;
        if commits % 7 == 0 {
            // Some commits are folded together, some alone.
            reached(&projector, position).await;
        }
    }
    reached(&projector, shop.last().await).await;
    let history = views.history(&tenant(), id).unwrap();
    let positions: Vec<u64> = history.iter().map(|entry| entry.position.sequence).collect();
    assert_eq!(positions, (1..=50).collect::<Vec<u64>>());
    assert_eq!(views.order(&tenant(), id).unwrap().unwrap().commits, 50);
    let fresh = crate::fresh_digest(shop.journal.as_ref(), None).await.unwrap();
    assert_eq!(views.digest_by_scan().unwrap(), fresh);
}
