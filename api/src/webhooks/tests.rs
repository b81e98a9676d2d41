//! The route and the release, on a whole server with the embedded journal.

pub(crate) mod server;

use std::collections::BTreeSet;

use futures::future::join_all;
use jiff::SignedDuration;
use ledger::ids::RecordId;
use ledger::order::Status;
use serde_json::{Value, json};
use tempfile::tempdir;

use server::{OTHER_KEY, Server, demo, eventually, other, report, signed};

const DAY: SignedDuration = SignedDuration::from_hours(24);

fn amount() -> Value {
    json!({"value": 1999, "currency": "EUR"})
}

#[tokio::test]
async fn a_webhook_is_recorded_once_however_often_it_comes() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let order = server.submit(&demo(), "A-1", DAY).await;
    let data = json!({"order_id": order.to_string(), "payment_reference": "pay_1", "amount": amount()});
    let first = server.report("evt_1", "payment.captured", data.clone()).await.expect(200);
    assert_eq!(first.json()["result"], "recorded");
    let position = first.json()["position"].clone();
    assert_eq!(first.headers["daybook-position"], position.as_str().unwrap());
    let before = server.commits().await;
    for _ in 0..3 {
        let again = server.report("evt_1", "payment.captured", data.clone()).await.expect(200);
        assert_eq!(again.json(), json!({"result": "duplicate", "position": position}));
    }
    // Another event about the same movement is recorded, and not counted again.
    let data = json!({"order_id": order.to_string(), "amount": amount(), "reference": "evt_1"});
    server.report("evt_2", "payment.captured", data).await.expect(200);
    assert_eq!(server.commits().await, before + 1);
    assert_eq!(server.order(&demo(), order).await.balance().captured_minor, 1999);
    server.stop().await;
}

#[tokio::test]
async fn the_same_webhook_many_times_at_once_is_recorded_once() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let order = server.submit(&demo(), "A-1", DAY).await;
    let data = json!({"order_id": order.to_string(), "amount": amount()});
    let sent = (0..20).map(|_| server.report("evt_1", "payment.captured", data.clone()));
    let replies = join_all(sent).await;
    let recorded = replies.iter().filter(|reply| reply.json()["result"] == "recorded").count();
    assert_eq!(recorded, 1);
    let positions: BTreeSet<String> =
        replies.iter().map(|reply| reply.json()["position"].to_string()).collect();
    assert_eq!(positions.len(), 1, "all are told of the same commit");
    assert_eq!(server.commits().await, 2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_webhook_that_races_with_its_order_is_applied_in_the_end() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let pay = async |number: usize| {
        let key = format!("A-{number}");
        let data = match number % 2 {
            0 => {
                json!({"order_id": RecordId::for_key(&demo(), "checkout", &key).to_string(), "amount": amount()})
            }
            _ => json!({"merchant_reference": key, "amount": amount()}),
        };
        let event = format!("evt_{number}");
        let tenant = demo();
        let submit = server.submit(&tenant, &key, DAY);
        let report = server.report(&event, "payment.captured", data);
        let (order, reply) = tokio::join!(submit, report);
        assert!(reply.status.is_success(), "{:?}", reply.bytes);
        order
    };
    let orders = join_all((0..40).map(pay)).await;
    for order in orders {
        server.until(&demo(), order, Status::Captured).await;
        assert_eq!(server.order(&demo(), order).await.balance().captured_minor, 1999);
    }
    eventually("nothing left open", async || {
        server.quarantine().await.iter().all(|webhook| webhook["outcome"] == "released").then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn a_webhook_that_is_not_believed_is_refused_counted_and_kept_as_far_as_the_budget_goes() {
    crate::metrics::install();
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let order = server.submit(&demo(), "A-1", DAY).await;
    let data = json!({"order_id": order.to_string(), "amount": amount()});
    let genuine = report("payment.captured", &data);
    let (timestamp, signature) = signed("evt_1", &genuine);
    let forged = async |body: String, timestamp: &str| {
        let headers =
            [("webhook-id", "evt_1"), ("webhook-timestamp", timestamp), ("webhook-signature", &signature)];
        let reply = server.call("POST", "/webhooks/demo/sandbox", &headers, body).await.expect(401);
        assert_eq!(reply.json()["code"], "unauthenticated");
    };
    forged(genuine.replace("1999", "1998"), &timestamp).await;
    forged(genuine.replace("1999", "1998"), &timestamp).await;
    let kept = server.quarantine().await;
    assert_eq!(kept.len(), 1, "the same request is kept once: {kept:?}");
    assert_eq!(kept[0]["reason"], "bad_signature");
    assert_eq!(kept[0]["body"], genuine.replace("1999", "1998"));
    assert_ne!(kept[0]["event_id"], "evt_1", "nothing in it is believed");
    assert_eq!(server.order(&demo(), order).await.status(), Status::Processing);
    // The genuine event's place is still free.
    assert_eq!(server.webhook("evt_1", &genuine).await.expect(200).json()["result"], "recorded");

    let before = server.commits().await;
    for number in 0..40 {
        forged(format!("{genuine} {number}"), &timestamp).await;
    }
    forged("x".repeat(20 * 1024), &timestamp).await;
    let written = server.commits().await - before;
    assert_eq!(written, 18, "what is left of a burst of 20");
    let metrics = server.get("/metrics").await.expect(200);
    let metrics = String::from_utf8_lossy(&metrics.bytes).into_owned();
    for counted in [
        r#"daybook_webhooks_total{source="sandbox",result="rejected",reason="bad_signature"}"#,
        r#"daybook_webhook_refusals_total{source="sandbox",refusal="wrong_signature"}"#,
    ] {
        assert!(metrics.contains(counted), "{metrics}");
    }
    server.stop().await;
}

#[tokio::test]
async fn where_nobody_is_configured_there_is_nothing() {
    let dir = tempdir().unwrap();
    let server = Server::open(dir.path()).await;
    for path in [
        "/webhooks/demo/nobody",
        "/webhooks/nobody/sandbox",
        "/webhooks/No%20Tenant/sandbox",
        "/webhooks/demo/%ff",
    ] {
        let reply = server.call("POST", path, &[], "{}").await.expect(404);
        assert_eq!(reply.json()["code"], "not_found", "{path}");
    }
    let large = "x".repeat(256 * 1024 + 1);
    assert_eq!(server.webhook("evt_1", &large).await.expect(413).json()["code"], "body_too_large");
    assert_eq!(server.commits().await, 0);
    server.stop().await;
}

#[tokio::test]
async fn what_is_verified_and_cannot_be_used_is_set_aside_once() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let order = server.submit(&demo(), "A-1", DAY).await;
    let about =
        |amount: Value| report("payment.captured", &json!({"order_id": order.to_string(), "amount": amount}));
    let cases = [
        ("{".to_owned(), "unreadable"),
        (about(json!({"value": 19.99, "currency": "EUR"})), "unreadable"),
        (about(json!({"value": -1, "currency": "EUR"})), "unreadable"),
        (about(json!({"value": 0, "currency": "EUR"})), "unreadable"),
        (about(json!({"value": 1999, "currency": "EUR", "exponent": 3})), "unreadable"),
        (about(json!({"value": 1_000_000_000_000_000_i64, "currency": "EUR"})), "unreadable"),
        (about(json!({"value": 1999, "currency": "SEK"})), "refused"),
        (report("payment.captured", &json!({"amount": amount()})), "unreadable"),
    ];
    for (number, (body, reason)) in cases.iter().enumerate() {
        let event = format!("evt_{number}");
        let first = server.webhook(&event, body).await.expect(202);
        assert_eq!(first.json()["result"], "quarantined", "{body}");
        assert_eq!(first.json()["reason"], *reason, "{body}");
        assert_eq!(server.webhook(&event, body).await.expect(202).bytes, first.bytes);
    }
    let kept = server.quarantine().await;
    let bodies: Vec<&str> = kept.iter().rev().map(|webhook| webhook["body"].as_str().unwrap()).collect();
    assert_eq!(bodies, cases.iter().map(|(body, _)| body.as_str()).collect::<Vec<_>>());
    assert!(kept.iter().all(|webhook| webhook["outcome"] == "open" && webhook["order_id"].is_null()));
    assert_eq!(server.order(&demo(), order).await.status(), Status::Processing);
    server.stop().await;
}

#[tokio::test]
async fn a_webhook_that_came_before_its_order_is_applied_when_the_order_appears() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let ids: Vec<RecordId> =
        ["A-1", "A-2"].iter().map(|key| RecordId::for_key(&demo(), "checkout", key)).collect();
    let by_id = json!({"order_id": ids[0].to_string(), "amount": amount()});
    let by_merchant = json!({"merchant_reference": "A-2", "payment_reference": "pay_2", "amount": amount()});
    let by_payment = json!({"payment_reference": "pay_2", "amount": amount()});
    let events = [
        ("evt_1", "payment.captured", &by_id),
        ("evt_2", "payment.authorized", &by_merchant),
        ("evt_3", "payment.captured", &by_payment),
    ];
    for (event, kind, data) in events {
        let reply = server.report(event, kind, data.clone()).await.expect(202).json();
        assert_eq!(reply["reason"], "unknown_order");
    }
    for key in ["A-1", "A-2"] {
        server.submit(&demo(), key, DAY).await;
    }
    server.until(&demo(), ids[0], Status::Captured).await;
    // The second webhook ties the payment to the order, and that releases the third.
    server.until(&demo(), ids[1], Status::Captured).await;
    let kept = eventually("all of them closed", async || {
        let kept = server.quarantine().await;
        kept.iter().all(|webhook| webhook["outcome"] == "released").then_some(kept)
    })
    .await;
    let orders: Vec<&str> = kept.iter().rev().map(|webhook| webhook["order_id"].as_str().unwrap()).collect();
    assert_eq!(orders, [ids[0], ids[1], ids[1]].map(|id| id.to_string()));
    for (event, kind, data) in events {
        let again = server.report(event, kind, data.clone()).await.expect(200);
        assert_eq!(again.json()["result"], "duplicate");
    }
    assert_eq!(server.order(&demo(), ids[1]).await.balance().captured_minor, 1999);
    server.stop().await;
}

#[tokio::test]
async fn a_webhook_may_wait_again_when_all_before_it_were_closed() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    for number in 1..=3 {
        let key = format!("A-{number}");
        let order = RecordId::for_key(&demo(), "checkout", &key);
        let data = json!({"order_id": order.to_string(), "amount": amount()});
        server.report(&format!("evt_{number}"), "payment.captured", data).await.expect(202);
        eventually("it waits", async || (server.app.views.open_waiting(1).unwrap().len() == 1).then_some(()))
            .await;
        server.submit(&demo(), &key, DAY).await;
        server.until(&demo(), order, Status::Captured).await;
        eventually("nothing waits", async || {
            server.app.views.open_waiting(1).unwrap().is_empty().then_some(())
        })
        .await;
    }
    server.stop().await;
}

#[tokio::test]
async fn what_still_waits_is_released_after_a_restart() {
    let dir = tempdir().unwrap();
    let order = RecordId::for_key(&demo(), "checkout", "A-1");
    // No task runs here: as if the server had died before it came to it.
    let server = Server::open(dir.path()).await;
    let data = json!({"order_id": order.to_string(), "amount": amount()});
    server.report("evt_1", "payment.captured", data).await.expect(202);
    server.submit(&demo(), "A-1", DAY).await;
    server.stop().await;

    let server = Server::start(dir.path()).await;
    server.until(&demo(), order, Status::Captured).await;
    server.stop().await;
}

#[tokio::test]
async fn a_reference_that_several_orders_have_names_none() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let first = server.submit_as(&demo(), "A-1", "same", DAY).await;
    server.submit_as(&demo(), "A-2", "same", DAY).await;
    let by_merchant = json!({"merchant_reference": "same", "amount": amount()});
    let reply = server.report("evt_1", "payment.captured", by_merchant).await.expect(202);
    assert_eq!(reply.json()["reason"], "unknown_order");
    // A payment that is known to be one order's is that order's, whatever else the webhook says.
    let data = json!({"order_id": first.to_string(), "payment_reference": "pay_1", "amount": amount()});
    server.report("evt_2", "payment.authorized", data).await.expect(200);
    let data = json!({"merchant_reference": "same", "payment_reference": "pay_1", "amount": amount()});
    server.report("evt_3", "payment.captured", data).await.expect(200);
    assert_eq!(server.order(&demo(), first).await.status(), Status::Captured);
    server.stop().await;
}

#[tokio::test]
async fn a_merchant_reference_may_be_daybooks_own_id_or_a_uuid_of_the_shops() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let order = server.submit_as(&demo(), "A-1", "same", DAY).await;
    server.submit_as(&demo(), "A-2", "same", DAY).await;
    let theirs = "0b5c1c5e-7a52-4d8e-9f0e-3b8f2f6f1a11";
    let early = json!({"merchant_reference": theirs, "amount": amount()});
    server.report("evt_1", "payment.captured", early).await.expect(202);
    let by_their_uuid = server.submit_as(&demo(), "A-3", theirs, DAY).await;
    server.until(&demo(), by_their_uuid, Status::Captured).await;
    let tracking = ledger::ids::TrackingNumber(order).to_string();
    for (event, ours) in [("evt_2", order.to_string()), ("evt_3", tracking)] {
        let data = json!({"merchant_reference": ours, "amount": amount(), "reference": "c1"});
        server.report(event, "payment.captured", data).await.expect(200);
    }
    assert_eq!(server.order(&demo(), order).await.balance().captured_minor, 1999);
    server.stop().await;
}

#[tokio::test]
async fn what_is_about_no_order_is_kept_once_and_is_no_open_work() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let body = report("payout.created", &json!({"amount": "any"}));
    let first = server.webhook("evt_1", &body).await.expect(200);
    assert_eq!((&first.json()["result"], &first.json()["reason"]), (&json!("kept"), &json!("no_order")));
    assert_eq!(server.webhook("evt_1", &body).await.expect(200).bytes, first.bytes);
    let kept = server.quarantine().await;
    assert_eq!((kept.len(), &kept[0]["body"]), (1, &json!(body)));
    assert!(server.app.views.open_waiting(usize::MAX).unwrap().is_empty(), "nothing waits");
    server.stop().await;
}

#[tokio::test]
async fn another_tenants_order_and_quarantine_do_not_exist() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let foreign = server.submit(&other(), "A-1", DAY).await;
    for (event, data) in [
        ("evt_1", json!({"order_id": foreign.to_string(), "amount": amount()})),
        ("evt_2", json!({"merchant_reference": "A-1", "amount": amount()})),
    ] {
        let reply = server.report(event, "payment.captured", data).await.expect(202);
        assert_eq!(reply.json()["reason"], "unknown_order");
    }
    server.caught_up().await;
    assert_eq!(server.order(&other(), foreign).await.status(), Status::Processing);
    let theirs = [("authorization", format!("Bearer {OTHER_KEY}"))];
    let theirs = theirs.each_ref().map(|(name, value)| (*name, value.as_str()));
    let page = server.call("GET", "/v1/quarantine", &theirs, "").await.expect(200).json();
    assert_eq!(page, json!({"webhooks": [], "next_cursor": null}));
    server.call("GET", "/v1/quarantine", &[], "").await.expect(401);
    server.stop().await;
}

#[tokio::test]
async fn quarantine_is_listed_newest_first_page_by_page() {
    let dir = tempdir().unwrap();
    let server = Server::open(dir.path()).await;
    for number in 0..5 {
        server.webhook(&format!("evt_{number}"), "{").await.expect(202);
    }
    server.caught_up().await;
    let mut seen = Vec::new();
    let mut path = "/v1/quarantine?limit=2".to_owned();
    loop {
        let page = server.get(&path).await.expect(200).json();
        let events =
            page["webhooks"].as_array().unwrap().iter().map(|w| w["event_id"].as_str().unwrap().to_owned());
        seen.extend(events);
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/quarantine?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, ["evt_4", "evt_3", "evt_2", "evt_1", "evt_0"]);
    for query in ["limit=0", "limit=101", "limit=x", "cursor=x", "page=1"] {
        let reply = server.get(&format!("/v1/quarantine?{query}")).await.expect(400);
        assert_eq!(reply.json()["code"], "invalid_query", "{query}");
    }
    server.stop().await;
}
