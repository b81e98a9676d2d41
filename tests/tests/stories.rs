//! What happens to orders, told over HTTP with a PSP played by the test: every status, and the money at each step.

use daybook_tests::client::{about, unique};
use daybook_tests::{World, checkout, eur, eventually};
use serde_json::{Value, json};

daybook_tests::in_each_world!(
    a_checkout_is_paid_with_3ds_and_partly_refunded,
    a_declined_payment_fails_and_another_attempt_may_succeed,
    a_manual_order_is_captured_in_parts,
    a_cancellation_before_authorization_is_final_at_once,
    a_cancellation_after_authorization_waits_for_the_psp,
    an_order_expires_and_a_late_capture_is_counted_and_flagged,
    a_webhook_sent_twice_counts_once,
    webhooks_in_any_order_end_in_the_same_place,
    a_chargeback_takes_the_money_until_it_is_won,
    a_webhook_that_comes_before_its_order_is_applied_when_the_order_appears,
    a_webhook_in_another_currency_is_quarantined_and_changes_nothing,
);

daybook_tests::in_a_partitioned_world!(
    daybook_tests::Setup::two_nodes();
    an_order_expires_and_a_late_capture_is_counted_and_flagged,
    a_webhook_that_comes_before_its_order_is_applied_when_the_order_appears,
);

#[track_caller]
fn figures(history: &Value, of: &str) -> Vec<Value> {
    let entries = history["entries"].as_array().expect("entries");
    entries.iter().map(|entry| entry[of].clone()).collect()
}

async fn a_checkout_is_paid_with_3ds_and_partly_refunded(world: World) {
    let shop = world.shop();
    let reply = shop.post("/v1/checkouts", &checkout(10_000)).await.expect(202);
    let order = reply.text("/order_id");
    assert_eq!(reply.header("location"), Some(format!("/v1/orders/{order}").as_str()));
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert_eq!(reply.header("daybook-position"), Some(reply.text("/position").as_str()));
    assert_eq!(reply.text("/status"), "processing");
    assert!(reply.text("/tracking_number").starts_with("trk_"));
    let status = shop.status(&order).await;
    assert_eq!(
        (status.text("/status").as_str(), status.json()["terminal"].as_bool()),
        ("processing", Some(false))
    );
    assert_eq!(status.header("retry-after"), Some("1"));
    assert_eq!(shop.figure(&order, "balance").await, 0);

    let pay = unique("pay");
    let challenge = json!({"url": "https://bank.example/3ds", "id": "3ds-1"});
    shop.report(&order, "payment.action_required", json!({"payment_reference": pay, "challenge": challenge}))
        .await;
    let status = shop.wait_for(&order, "action_required").await;
    assert_eq!(status.text("/challenge/url"), "https://bank.example/3ds");

    shop.report(&order, "payment.authorized", json!({"payment_reference": pay, "amount": eur(10_000)})).await;
    let status = shop.wait_for(&order, "authorized").await;
    assert!(status.json()["challenge"].is_null());
    assert_eq!(shop.figure(&order, "authorized").await, 10_000);
    assert_eq!(shop.figure(&order, "captured").await, 0);

    let captured = json!({"payment_reference": pay, "amount": eur(10_000), "reference": unique("cap")});
    shop.report(&order, "payment.captured", captured).await;
    let status = shop.wait_for(&order, "captured").await;
    assert_eq!((status.json()["terminal"].as_bool(), status.header("retry-after")), (Some(true), None));
    assert_eq!(shop.figure(&order, "balance").await, 10_000);

    let asked = json!({"amount": eur(3_000), "reason": "one item came back"});
    let refund = shop.post(&format!("/v1/orders/{order}/refunds"), &asked).await.expect(202);
    assert_eq!((refund.text("/status").as_str(), refund.text("/order_id")), ("pending", order.clone()));
    let balance = shop.balance(&order).await;
    assert_eq!(balance.number("/refund_pending"), 3_000);
    assert_eq!(balance.number("/available_to_refund"), 7_000);
    assert_eq!(balance.number("/balance"), 10_000, "nothing has moved yet");

    let refund_id = refund.text("/refund_id");
    let settled = json!({"refund_id": refund_id, "amount": eur(3_000), "reference": unique("ref")});
    shop.report(&order, "refund.settled", settled).await;
    shop.wait_for(&order, "partially_refunded").await;
    let balance = shop.balance(&order).await;
    let named = |name: &str| balance.number(&format!("/{name}"));
    assert_eq!((named("captured"), named("refunded"), named("refund_pending")), (10_000, 3_000, 0));
    assert_eq!((named("balance"), named("available_to_refund")), (7_000, 7_000));

    let history = shop.history(&order).await.json();
    let expected =
        ["processing", "action_required", "authorized", "captured", "captured", "partially_refunded"];
    assert_eq!(figures(&history, "status"), expected.map(Value::from));
    assert_eq!(figures(&history, "balance"), [0, 0, 0, 10_000, 10_000, 7_000].map(Value::from));
    let causes: Vec<Value> = figures(&history, "cause").iter().map(|cause| cause["type"].clone()).collect();
    assert_eq!(causes, ["command", "webhook", "webhook", "webhook", "command", "webhook"].map(Value::from));
    assert_eq!(shop.anomalies(&order).await, Vec::<String>::new());

    // As it was: the balance as of each position is the one in the history.
    for (position, balance) in figures(&history, "position").iter().zip(figures(&history, "balance")) {
        let position = position.as_str().expect("a position");
        let path = format!("/v1/orders/{order}/balance?as_of={position}");
        assert_eq!(shop.get(&path).await.expect(200).json()["balance"], balance, "as of {position}");
    }
    let events = shop.get(&format!("/v1/orders/{order}/events")).await.expect(200).json();
    let commits = events["commits"].as_array().expect("commits");
    let last = commits.iter().filter_map(|commit| commit["events"].as_array()?.last()?["type"].as_str());
    let expected = [
        "checkout_submitted.v2",
        "action_required.v1",
        "payment_authorized.v1",
        "payment_captured.v1",
        "refund_requested.v1",
        "refund_settled.v1",
    ];
    assert_eq!(last.collect::<Vec<_>>(), expected);
}

async fn a_declined_payment_fails_and_another_attempt_may_succeed(world: World) {
    let shop = world.shop();
    let order = shop.submit(&checkout(2_500)).await;
    let (first, second) = (unique("pay"), unique("pay"));
    shop.report(
        &order,
        "payment.failed",
        json!({"payment_reference": first, "reason": "insufficient_funds"}),
    )
    .await;
    let status = shop.wait_for(&order, "failed").await;
    assert_eq!(status.text("/failure_reason"), "insufficient_funds");
    assert_eq!(status.json()["terminal"], true);
    assert_eq!(shop.figure(&order, "balance").await, 0);
    shop.post(&format!("/v1/orders/{order}/refunds"), &json!({})).await.problem(409, "nothing_to_refund");

    shop.report(&order, "payment.captured", json!({"payment_reference": second, "amount": eur(2_500)})).await;
    shop.wait_for(&order, "captured").await;
    let document = shop.get(&format!("/v1/orders/{order}")).await.expect(200).json();
    let attempts = document["attempts"].as_array().expect("attempts");
    let statuses: Vec<&str> = attempts.iter().filter_map(|attempt| attempt["status"].as_str()).collect();
    assert_eq!(statuses, ["failed", "captured"]);
    assert_eq!(document["balance"]["balance"], 2_500);
}

async fn a_manual_order_is_captured_in_parts(world: World) {
    let shop = world.shop();
    let mut body = checkout(10_000);
    body["capture"] = "manual".into();
    let order = shop.submit(&body).await;
    let captures = format!("/v1/orders/{order}/captures");
    shop.post(&captures, &json!({})).await.problem(409, "nothing_to_capture");
    shop.report(&order, "payment.authorized", json!({"amount": eur(10_000)})).await;
    shop.wait_for(&order, "authorized").await;
    assert_eq!(shop.figure(&order, "available_to_capture").await, 10_000);
    shop.post(&captures, &json!({"amount": eur(10_001)})).await.problem(409, "exceeds_capturable");

    let first = shop.post(&captures, &json!({"amount": eur(4_000)})).await.expect(202);
    assert_eq!(first.text("/status"), "pending");
    let balance = shop.balance(&order).await;
    assert_eq!((balance.number("/capture_pending"), balance.number("/available_to_capture")), (4_000, 6_000));
    let settled =
        json!({"capture_id": first.text("/capture_id"), "amount": eur(4_000), "reference": unique("cap")});
    shop.report(&order, "payment.captured", settled).await;
    shop.wait_for(&order, "partially_captured").await;
    assert_eq!(shop.figure(&order, "balance").await, 4_000);

    // Without an amount: all that is left.
    let rest = shop.post(&captures, &json!({})).await.expect(202);
    assert_eq!(rest.json()["amount"], eur(6_000));
    let settled =
        json!({"capture_id": rest.text("/capture_id"), "amount": eur(6_000), "reference": unique("cap")});
    shop.report(&order, "payment.captured", settled).await;
    shop.wait_for(&order, "captured").await;
    assert_eq!(shop.figure(&order, "balance").await, 10_000);
    shop.post(&captures, &json!({})).await.problem(409, "nothing_to_capture");

    let automatic = shop.submit(&checkout(100)).await;
    let path = format!("/v1/orders/{automatic}/captures");
    shop.post(&path, &json!({})).await.problem(409, "capture_is_automatic");
}

async fn a_cancellation_before_authorization_is_final_at_once(world: World) {
    let shop = world.shop();
    let order = shop.submit(&checkout(500)).await;
    let cancellations = format!("/v1/orders/{order}/cancellations");
    let reply = shop.post_with_key(&cancellations, "cancel-1", &json!({})).await.expect(202);
    assert_eq!(reply.text("/status"), "canceled");
    assert_eq!(shop.status(&order).await.text("/status"), "canceled");
    let again = shop.post_with_key(&cancellations, "cancel-1", &json!({})).await.expect(202);
    assert_eq!(again.bytes, reply.bytes, "the same key has the same answer");
    shop.post(&cancellations, &json!({})).await.problem(409, "not_cancelable");
}

async fn a_cancellation_after_authorization_waits_for_the_psp(world: World) {
    let shop = world.shop();
    let order = shop.submit(&checkout(500)).await;
    shop.report(&order, "payment.authorized", json!({"amount": eur(500)})).await;
    shop.wait_for(&order, "authorized").await;
    let cancellations = format!("/v1/orders/{order}/cancellations");
    let reply = shop.post(&cancellations, &json!({})).await.expect(202);
    assert_eq!(reply.text("/status"), "pending");
    assert_eq!(shop.status(&order).await.text("/status"), "authorized");
    shop.post(&cancellations, &json!({})).await.problem(409, "cancellation_pending");
    shop.report(&order, "payment.voided", json!({})).await;
    shop.wait_for(&order, "canceled").await;
    assert_eq!(shop.figure(&order, "balance").await, 0);
}

async fn an_order_expires_and_a_late_capture_is_counted_and_flagged(world: World) {
    let shop = world.shop();
    let mut body = checkout(700);
    let expires_at = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(1_500);
    body["expires_at"] = expires_at.to_string().into();
    let order = shop.submit(&body).await;
    let status = shop.wait_for(&order, "expired").await;
    assert_eq!(status.json()["terminal"], true);
    let history = shop.history(&order).await.json();
    assert_eq!(figures(&history, "cause")[1], json!({"type": "timer", "name": "expiry"}));

    shop.report(&order, "payment.captured", json!({"amount": eur(700)})).await;
    eventually("the late capture in the balance", async || {
        (shop.figure(&order, "balance").await == 700).then_some(())
    })
    .await;
    assert_eq!(shop.status(&order).await.text("/status"), "expired", "status never goes back");
    assert_eq!(shop.anomalies(&order).await, ["captured_after_end"]);
    let refund = shop.post(&format!("/v1/orders/{order}/refunds"), &json!({})).await.expect(202);
    assert_eq!(refund.json()["amount"], eur(700), "the money can be given back");
}

async fn a_webhook_sent_twice_counts_once(world: World) {
    let shop = world.shop();
    let order = shop.submit(&checkout(900)).await;
    let body = about(&order, "payment.captured", json!({"amount": eur(900), "reference": "cap-twice"}));
    let event = unique("evt");
    let first = shop.webhook(&event, &body).await.expect(200);
    assert_eq!(first.text("/result"), "recorded");
    let second = shop.webhook(&event, &body).await.expect(200);
    assert_eq!(second.text("/result"), "duplicate");
    assert_eq!(second.text("/position"), first.text("/position"));
    // The same movement of money under another event id: written down, not counted.
    assert_eq!(shop.webhook(&unique("evt"), &body).await.expect(200).text("/result"), "recorded");
    shop.wait_for(&order, "captured").await;
    let balance = shop.balance(&order).await;
    assert_eq!((balance.number("/captured"), balance.number("/balance")), (900, 900));
    assert_eq!(shop.anomalies(&order).await, Vec::<String>::new());
    world.log().await.assert_nothing_is_there_twice();
}

async fn webhooks_in_any_order_end_in_the_same_place(world: World) {
    let shop = world.shop();
    let reports = [
        ("payment.action_required", json!({"challenge": {"url": "https://bank.example/3ds"}})),
        ("payment.authorized", json!({"amount": eur(4_200)})),
        ("payment.captured", json!({"amount": eur(4_200), "reference": "cap-r"})),
        ("refund.settled", json!({"amount": eur(1_200), "reference": "ref-r"})),
    ];
    // Every rotation, forwards and backwards: the last is the exact reverse.
    for turn in 0..reports.len() {
        for backwards in [false, true] {
            let mut sequence: Vec<_> = reports.iter().cycle().skip(turn).take(reports.len()).collect();
            if backwards {
                sequence.reverse();
            }
            let order = shop.submit(&checkout(4_200)).await;
            for (kind, data) in sequence {
                let mut data = data.clone();
                data["payment_reference"] = format!("pay-{order}").into();
                shop.report(&order, kind, data).await;
            }
            shop.wait_for(&order, "partially_refunded").await;
            let balance = shop.balance(&order).await;
            assert_eq!(balance.number("/balance"), 3_000, "turn {turn}, backwards: {backwards}");
            assert_eq!(shop.anomalies(&order).await, Vec::<String>::new());
        }
    }
}

async fn a_chargeback_takes_the_money_until_it_is_won(world: World) {
    let shop = world.shop();
    let order = shop.submit(&checkout(8_000)).await;
    shop.report(&order, "payment.captured", json!({"amount": eur(8_000)})).await;
    let dispute = json!({"amount": eur(8_000), "reference": "dis-1", "reason": "fraud"});
    shop.report(&order, "chargeback.opened", dispute.clone()).await;
    eventually("the chargeback in the balance", async || {
        (shop.figure(&order, "charged_back").await == 8_000).then_some(())
    })
    .await;
    assert_eq!(shop.figure(&order, "balance").await, 0);
    shop.post(&format!("/v1/orders/{order}/refunds"), &json!({})).await.problem(409, "nothing_to_refund");
    shop.report(&order, "chargeback.won", dispute).await;
    eventually("the money back", async || (shop.figure(&order, "balance").await == 8_000).then_some(()))
        .await;
}

async fn a_webhook_that_comes_before_its_order_is_applied_when_the_order_appears(world: World) {
    let shop = world.shop();
    let (body, event) = (checkout(1_300), unique("evt"));
    let data =
        json!({"merchant_reference": body["merchant_reference"], "amount": eur(1_300), "reference": "cap-q"});
    let webhook = json!({"type": "payment.captured", "timestamp": "2026-11-20T10:00:01.000Z", "data": data});
    let reply = shop.webhook(&event, &webhook).await.expect(202);
    assert_eq!(
        (reply.text("/result").as_str(), reply.text("/reason").as_str()),
        ("quarantined", "unknown_order")
    );

    let held = eventually("the webhook in quarantine", async || {
        let list = shop.get("/v1/quarantine").await.expect(200).json();
        list["webhooks"].as_array()?.iter().find(|held| held["event_id"] == event.as_str()).cloned()
    })
    .await;
    assert_eq!((&held["reason"], &held["outcome"]), (&json!("unknown_order"), &json!("open")));
    assert!(held["body"].to_string().contains("cap-q"), "it is kept raw: {held}");

    let order = shop.submit(&body).await;
    shop.wait_for(&order, "captured").await;
    assert_eq!(shop.figure(&order, "balance").await, 1_300);
    eventually("the webhook's release", async || {
        let list = shop.get("/v1/quarantine").await.expect(200).json();
        let held = list["webhooks"].as_array()?.iter().find(|held| held["event_id"] == event.as_str())?;
        (held["outcome"] == "released" && held["order_id"] == order.as_str()).then_some(())
    })
    .await;
    // The sender is impatient and sends it again: it counts no second time.
    assert_eq!(shop.webhook(&event, &webhook).await.expect(200).text("/result"), "duplicate");
    assert_eq!(shop.figure(&order, "balance").await, 1_300);
    world.log().await.assert_nothing_is_there_twice();
}

async fn a_webhook_in_another_currency_is_quarantined_and_changes_nothing(world: World) {
    let shop = world.shop();
    let order = shop.submit(&checkout(600)).await;
    let amount = json!({"value": 600, "currency": "USD"});
    let reply =
        shop.webhook(&unique("evt"), &about(&order, "payment.captured", json!({"amount": amount}))).await;
    let reply = reply.expect(202);
    assert_eq!((reply.text("/result").as_str(), reply.text("/reason").as_str()), ("quarantined", "refused"));
    assert_eq!(shop.status(&order).await.text("/status"), "processing");
    assert_eq!(shop.figure(&order, "balance").await, 0);
}
