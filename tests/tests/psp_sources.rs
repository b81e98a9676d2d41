//! Orders paid through Stripe and Adyen, told by the webhooks that these really send: every status, and the money
//! to the minor unit.

use daybook_tests::client::{ACME, unique};
use daybook_tests::psp::{ADYEN, adyen_item, adyen_request, adyen_signed, stripe_event, stripe_object};
use daybook_tests::{Client, Reply, World, checkout, eur, eventually};
use ledger::commit::{Cause, Changes};
use serde_json::{Value, json};

daybook_tests::in_each_world!(
    an_order_lives_through_all_that_stripe_reports,
    a_manual_order_is_captured_and_refunded_in_parts_through_stripe,
    a_card_refused_by_stripe_and_another_one_accepted_is_paid,
    an_order_lives_through_all_that_adyen_reports,
    adyen_reports_several_things_at_once_or_none_is_believed,
    an_order_that_is_not_captured_ends_as_each_psp_says,
    what_comes_before_the_payment_is_known_waits_and_is_applied_by_itself,
    what_is_about_no_order_is_kept_and_waits_for_nothing,
    what_must_not_be_logged_is_not,
    each_tenant_has_its_own_senders,
);

#[track_caller]
fn is(balance: &Reply, figures: &[(&str, i64)]) {
    for (name, expect) in figures {
        assert_eq!(balance.number(&format!("/{name}")), *expect, "{name}: {}", balance.body());
    }
}

async fn balance_is(shop: &Client, order: &str, name: &str, expect: i64) {
    eventually(&format!("{name} of {expect}"), async || {
        (shop.figure(order, name).await == expect).then_some(())
    })
    .await;
}

/// A payment intent of this order's.
fn intent(order: &str, over: Value) -> Value {
    let base = json!({
        "id": format!("pi_{}", order.replace('-', "")), "currency": "eur", "metadata": {"order_id": order},
    });
    let mut intent = stripe_object("payment_intent", base);
    over.as_object().expect("an object").iter().for_each(|(name, value)| intent[name] = value.clone());
    intent
}

/// What belongs to the payment without naming the order: a refund or a dispute.
fn of_payment(order: &str, object: &str, over: Value) -> Value {
    let base = json!({
        "id": unique("re"), "object": object, "currency": "eur", "charge": unique("ch"),
        "payment_intent": intent(order, json!({}))["id"], "metadata": {},
    });
    let mut refund = stripe_object("refund", base);
    over.as_object().expect("an object").iter().for_each(|(name, value)| refund[name] = value.clone());
    refund
}

async fn an_order_lives_through_all_that_stripe_reports(world: World) {
    let shop = world.shop();
    let order = shop.submit(&checkout(10_000)).await;
    let recorded = async |kind: &str, object: Value| {
        let reply = shop.stripe(kind, object).await.expect(200);
        assert_eq!(reply.text("/result"), "recorded", "{kind}");
    };
    recorded("payment_intent.created", intent(&order, json!({"amount": 10_000}))).await;
    assert_eq!(shop.status(&order).await.text("/status"), "processing", "it changes nothing");

    let next_action =
        json!({"type": "redirect_to_url", "redirect_to_url": {"url": "https://bank.example/3ds"}});
    recorded("payment_intent.requires_action", intent(&order, json!({"next_action": next_action}))).await;
    let status = shop.wait_for(&order, "action_required").await;
    assert_eq!(status.text("/challenge/url"), "https://bank.example/3ds");

    // One movement of money, told by the intent and twice by its charge.
    let charge = unique("ch");
    let paid = json!({"amount": 10_000, "amount_received": 10_000, "latest_charge": charge});
    let of_charge = json!({
        "id": charge, "amount": 10_000, "amount_captured": 10_000, "captured": true, "currency": "eur",
        "payment_intent": intent(&order, json!({}))["id"], "metadata": {"order_id": order},
    });
    recorded("charge.succeeded", stripe_object("charge", of_charge.clone())).await;
    assert_eq!(
        shop.status(&order).await.text("/status"),
        "action_required",
        "a charge of an intent is noted"
    );
    recorded("payment_intent.succeeded", intent(&order, paid)).await;
    recorded("charge.captured", stripe_object("charge", of_charge)).await;
    shop.wait_for(&order, "captured").await;
    is(&shop.balance(&order).await, &[("captured", 10_000), ("balance", 10_000)]);

    let asked =
        shop.post(&format!("/v1/orders/{order}/refunds"), &json!({"amount": eur(2_500)})).await.expect(202);
    let refund = |status: &str| {
        let metadata = json!({"refund_id": asked.text("/refund_id")});
        of_payment(
            &order,
            "refund",
            json!({"id": "re_1", "amount": 2_500, "status": status, "metadata": metadata}),
        )
    };
    recorded("refund.created", refund("pending")).await;
    is(&shop.balance(&order).await, &[("refunded", 0), ("refund_pending", 2_500)]);
    for kind in ["refund.updated", "charge.refund.updated"] {
        recorded(kind, refund("succeeded")).await;
    }
    shop.wait_for(&order, "partially_refunded").await;
    is(&shop.balance(&order).await, &[("refunded", 2_500), ("refund_pending", 0), ("balance", 7_500)]);

    let failed = json!({"id": "re_2", "amount": 1_000, "status": "failed", "failure_reason": "expired_or_canceled_card"});
    recorded("refund.created", of_payment(&order, "refund", json!({"id": "re_2", "amount": 1_000}))).await;
    balance_is(&shop, &order, "balance", 6_500).await;
    recorded("refund.failed", of_payment(&order, "refund", failed)).await;
    balance_is(&shop, &order, "balance", 7_500).await;
    assert_eq!(shop.anomalies(&order).await, ["refund_reversed"]);

    let dispute = |status: &str| {
        of_payment(
            &order,
            "dispute",
            json!({"id": "du_1", "amount": 4_000, "status": status, "reason": "fraudulent"}),
        )
    };
    recorded("charge.dispute.created", dispute("needs_response")).await;
    recorded("charge.dispute.funds_withdrawn", dispute("needs_response")).await;
    balance_is(&shop, &order, "balance", 3_500).await;
    is(&shop.balance(&order).await, &[("charged_back", 4_000), ("available_to_refund", 3_500)]);
    recorded("charge.dispute.closed", dispute("won")).await;
    recorded("charge.dispute.funds_reinstated", dispute("won")).await;
    balance_is(&shop, &order, "balance", 7_500).await;
    let lost =
        |status: &str| of_payment(&order, "dispute", json!({"id": "du_2", "amount": 500, "status": status}));
    recorded("charge.dispute.created", lost("needs_response")).await;
    recorded("charge.dispute.closed", lost("lost")).await;
    balance_is(&shop, &order, "balance", 7_000).await;
    world.log().await.assert_nothing_is_there_twice();
}

async fn a_manual_order_is_captured_and_refunded_in_parts_through_stripe(world: World) {
    let shop = world.shop();
    let mut body = checkout(5_000);
    body["capture"] = "manual".into();
    let order = shop.submit(&body).await;
    let recorded = async |kind: &str, object: Value| {
        shop.stripe(kind, object).await.expect(200);
    };
    recorded("payment_intent.amount_capturable_updated", intent(&order, json!({"amount_capturable": 5_000})))
        .await;
    shop.wait_for(&order, "authorized").await;
    is(&shop.balance(&order).await, &[("authorized", 5_000), ("available_to_capture", 5_000)]);
    let asked =
        shop.post(&format!("/v1/orders/{order}/captures"), &json!({"amount": eur(3_000)})).await.expect(202);
    let metadata = json!({"order_id": order, "capture_id": asked.text("/capture_id")});
    recorded(
        "payment_intent.succeeded",
        intent(&order, json!({"amount_received": 3_000, "metadata": metadata})),
    )
    .await;
    shop.wait_for(&order, "partially_captured").await;
    is(&shop.balance(&order).await, &[("captured", 3_000), ("capture_pending", 0), ("balance", 3_000)]);
    for (reference, left) in [("re_1", 2_000), ("re_2", 1_000)] {
        recorded("refund.created", of_payment(&order, "refund", json!({"id": reference, "amount": 1_000})))
            .await;
        balance_is(&shop, &order, "balance", left).await;
    }
    assert_eq!(shop.anomalies(&order).await, Vec::<String>::new());
}

async fn a_card_refused_by_stripe_and_another_one_accepted_is_paid(world: World) {
    let shop = world.shop();
    let order = shop.submit(&checkout(800)).await;
    let error =
        json!({"code": "card_declined", "decline_code": "insufficient_funds", "charge": unique("ch")});
    shop.stripe("payment_intent.payment_failed", intent(&order, json!({"last_payment_error": error})))
        .await
        .expect(200);
    let status = shop.wait_for(&order, "failed").await;
    assert_eq!(status.text("/failure_reason"), "insufficient_funds");
    // The same intent, with another card.
    let paid = intent(&order, json!({"amount_received": 800, "latest_charge": unique("ch")}));
    shop.stripe("payment_intent.succeeded", paid).await.expect(200);
    shop.wait_for(&order, "captured").await;
    is(&shop.balance(&order).await, &[("captured", 800), ("balance", 800)]);
    assert_eq!(shop.anomalies(&order).await, Vec::<String>::new());
}

/// An item about this order's payment. A modification or dispute has a reference of its own.
fn adyen(name: &str, order: &str, reference: &str, value: i64, over: Value) -> Value {
    let payment = format!("PSP{}", &order[..8]);
    let mut item =
        adyen_item(name, json!({"amount": {"value": value, "currency": "EUR"}, "merchantReference": order}));
    if name == "AUTHORISATION" {
        item["pspReference"] = payment.into();
    } else {
        item["originalReference"] = payment.into();
        item["pspReference"] = reference.into();
    }
    over.as_object().expect("an object").iter().for_each(|(field, value)| item[field] = value.clone());
    item
}

async fn an_order_lives_through_all_that_adyen_reports(world: World) {
    let shop = world.shop();
    let mut body = checkout(10_000);
    body["capture"] = "manual".into();
    let order = shop.submit(&body).await;
    let accepted = async |item: Value| {
        let reply = shop.adyen(&[item]).await.expect(200);
        assert_eq!(reply.body(), "[accepted]");
    };
    let item =
        |name: &str, reference: &str, value: i64, over: Value| adyen(name, &order, reference, value, over);
    accepted(item("AUTHORISATION", "", 10_000, json!({}))).await;
    shop.wait_for(&order, "authorized").await;
    is(&shop.balance(&order).await, &[("authorized", 10_000), ("captured", 0)]);

    let captures = format!("/v1/orders/{order}/captures");
    let asked = shop.post(&captures, &json!({"amount": eur(6_000)})).await.expect(202);
    let ours = json!({"merchantReference": format!("{order}/{}", asked.text("/capture_id"))});
    accepted(item("CAPTURE", "C1", 6_000, ours)).await;
    shop.wait_for(&order, "partially_captured").await;
    is(&shop.balance(&order).await, &[("captured", 6_000), ("capture_pending", 0)]);
    let asked = shop.post(&captures, &json!({"amount": eur(1_000)})).await.expect(202);
    let ours =
        json!({"merchantReference": format!("{order}/{}", asked.text("/capture_id")), "success": "false"});
    accepted(item("CAPTURE", "C2", 1_000, ours)).await;
    balance_is(&shop, &order, "capture_pending", 0).await;
    is(&shop.balance(&order).await, &[("captured", 6_000), ("available_to_capture", 4_000)]);
    accepted(item("CAPTURE", "C3", 4_000, json!({}))).await;
    shop.wait_for(&order, "captured").await;
    is(&shop.balance(&order).await, &[("captured", 10_000), ("balance", 10_000)]);
    accepted(item("CAPTURE_FAILED", "C3", 4_000, json!({}))).await;
    balance_is(&shop, &order, "balance", 6_000).await;
    assert_eq!(shop.anomalies(&order).await, ["capture_reversed"]);

    let asked =
        shop.post(&format!("/v1/orders/{order}/refunds"), &json!({"amount": eur(1_500)})).await.expect(202);
    let ours =
        json!({"merchantReference": format!("{order}/{}", asked.text("/refund_id")), "success": "true"});
    accepted(item("REFUND", "R1", 1_500, ours)).await;
    shop.wait_for(&order, "partially_refunded").await;
    is(&shop.balance(&order).await, &[("refunded", 1_500), ("refund_pending", 0), ("balance", 4_500)]);
    accepted(item("REFUND", "R2", 700, json!({"success": "false"}))).await;
    is(&shop.balance(&order).await, &[("refunded", 1_500), ("balance", 4_500)]);
    accepted(item("REFUND_FAILED", "R1", 1_500, json!({}))).await;
    balance_is(&shop, &order, "balance", 6_000).await;

    accepted(item("CHARGEBACK", "D1", 6_000, json!({"eventCode": "NOTIFICATION_OF_CHARGEBACK"}))).await;
    is(&shop.balance(&order).await, &[("charged_back", 0)]);
    accepted(item("CHARGEBACK", "D1", 6_000, json!({}))).await;
    balance_is(&shop, &order, "balance", 0).await;
    accepted(item("CHARGEBACK", "D1", 6_000, json!({"eventCode": "CHARGEBACK_REVERSED"}))).await;
    balance_is(&shop, &order, "balance", 6_000).await;
    accepted(item("CHARGEBACK", "D1", 6_000, json!({"eventCode": "SECOND_CHARGEBACK"}))).await;
    balance_is(&shop, &order, "balance", 0).await;
    world.log().await.assert_nothing_is_there_twice();
}

async fn adyen_reports_several_things_at_once_or_none_is_believed(world: World) {
    let shop = world.shop();
    let order = shop.submit(&checkout(3_000)).await;
    let items = [
        adyen("AUTHORISATION", &order, "", 3_000, json!({})),
        adyen("CAPTURE", &order, "C1", 3_000, json!({})),
        adyen("REFUND", &order, "R1", 1_000, json!({"success": true})),
    ];
    let before = world.log().await.len();
    let mut signed: Vec<Value> = items.iter().cloned().map(adyen_signed).collect();
    signed[1]["amount"]["value"] = 2_999.into();
    let altered = adyen_request(&signed).to_string().into_bytes();
    Reply::to(shop.to_source(ADYEN, altered)).await.problem(401, "unauthenticated");
    let log = world.log().await;
    let of_orders =
        |index: usize| log.commits[index..].iter().filter(|c| matches!(c.commit.changes, Changes::Order(_)));
    assert_eq!(of_orders(before).count(), 0, "not even the items whose signatures are good");

    for _ in 0..3 {
        assert_eq!(shop.adyen(&items).await.expect(200).body(), "[accepted]");
    }
    shop.wait_for(&order, "partially_refunded").await;
    is(&shop.balance(&order).await, &[("captured", 3_000), ("refunded", 1_000), ("balance", 2_000)]);
    let log = world.log().await;
    log.assert_nothing_is_there_twice();
    let of_orders = log.commits[before..].iter().filter(|c| matches!(c.commit.changes, Changes::Order(_)));
    assert_eq!(of_orders.count(), 3);
}

async fn an_order_that_is_not_captured_ends_as_each_psp_says(world: World) {
    let shop = world.shop();
    let authorized = async |psp: &str| {
        let mut body = checkout(900);
        body["capture"] = "manual".into();
        let order = shop.submit(&body).await;
        let reply = match psp {
            "stripe" => {
                let object = intent(&order, json!({"amount_capturable": 900}));
                shop.stripe("payment_intent.amount_capturable_updated", object).await
            }
            _ => shop.adyen(&[adyen("AUTHORISATION", &order, "", 900, json!({}))]).await,
        };
        reply.expect(200);
        shop.wait_for(&order, "authorized").await;
        order
    };
    for (reason, status) in [("requested_by_customer", "canceled"), ("automatic", "expired")] {
        let order = authorized("stripe").await;
        let canceled = intent(&order, json!({"cancellation_reason": reason}));
        shop.stripe("payment_intent.canceled", canceled).await.expect(200);
        shop.wait_for(&order, status).await;
        assert_eq!(shop.figure(&order, "balance").await, 0);
    }
    for (code, status) in
        [("CANCELLATION", "canceled"), ("TECHNICAL_CANCEL", "canceled"), ("EXPIRE", "expired")]
    {
        let order = authorized("adyen").await;
        shop.adyen(&[adyen("CANCELLATION", &order, "M1", 900, json!({"eventCode": code}))]).await.expect(200);
        shop.wait_for(&order, status).await;
    }
    let order = shop.submit(&checkout(900)).await;
    let refused = json!({"success": "false", "reason": "Refused"});
    shop.adyen(&[adyen("AUTHORISATION", &order, "", 900, refused)]).await.expect(200);
    assert_eq!(shop.wait_for(&order, "failed").await.text("/failure_reason"), "Refused");
}

async fn what_comes_before_the_payment_is_known_waits_and_is_applied_by_itself(world: World) {
    let shop = world.shop();
    let order = shop.submit(&checkout(2_000)).await;
    // Stripe's refunds name the payment, and nothing else, that no webhook has told of yet.
    let early = of_payment(&order, "refund", json!({"amount": 500}));
    let reply = shop.stripe("refund.created", early).await.expect(202);
    assert_eq!(
        (reply.text("/result").as_str(), reply.text("/reason").as_str()),
        ("quarantined", "unknown_order")
    );
    let paid = intent(&order, json!({"amount_received": 2_000}));
    shop.stripe("payment_intent.succeeded", paid).await.expect(200);
    shop.wait_for(&order, "partially_refunded").await;
    is(&shop.balance(&order).await, &[("captured", 2_000), ("refunded", 500), ("balance", 1_500)]);

    // Adyen is told that all is well, and sends nothing again.
    let order = shop.submit(&checkout(2_000)).await;
    let unnamed = json!({"merchantReference": "", "success": "true"});
    assert_eq!(
        shop.adyen(&[adyen("REFUND", &order, "R9", 500, unnamed)]).await.expect(200).body(),
        "[accepted]"
    );
    let items = [
        adyen("AUTHORISATION", &order, "", 2_000, json!({})),
        adyen("CAPTURE", &order, "C9", 2_000, json!({})),
    ];
    shop.adyen(&items).await.expect(200);
    shop.wait_for(&order, "partially_refunded").await;
    is(&shop.balance(&order).await, &[("captured", 2_000), ("refunded", 500), ("balance", 1_500)]);
    world.log().await.assert_nothing_is_there_twice();
}

async fn what_is_about_no_order_is_kept_and_waits_for_nothing(world: World) {
    let shop = world.shop();
    let before = world.log().await.len();
    let event = stripe_object("event", json!({"id": unique("evt")}));
    let first = Reply::to(shop.from_stripe(&event)).await.expect(200);
    assert_eq!((first.text("/result").as_str(), first.text("/reason").as_str()), ("kept", "no_order"));
    assert_eq!(
        Reply::to(shop.from_stripe(&event)).await.expect(200).bytes,
        first.bytes,
        "once, however often"
    );
    let report = json!({
        "eventCode": "REPORT_AVAILABLE", "pspReference": "report_1.csv", "merchantReference": "", "originalReference": "",
    });
    assert_eq!(shop.adyen(&[adyen_item("CAPTURE", report)]).await.expect(200).body(), "[accepted]");
    let kept = eventually("both in quarantine", async || {
        let list = shop.get("/v1/quarantine").await.expect(200).json();
        let list = list["webhooks"].as_array()?.clone();
        (list.len() == 2).then_some(list)
    })
    .await;
    assert!(kept.iter().all(|webhook| webhook["reason"] == "no_order"), "{kept:?}");
    assert!(kept[1]["body"].as_str().is_some_and(|body| body.contains("plan.created")), "raw: {kept:?}");
    assert_eq!(world.log().await.len(), before + 2);
}

async fn what_must_not_be_logged_is_not(world: World) {
    let shop = world.shop();
    let order = shop.submit(&checkout(100)).await;
    let secret =
        stripe_object("payment_intent", json!({}))["client_secret"].as_str().expect("a text").to_owned();
    let event = stripe_event("payment_intent.succeeded", intent(&order, json!({"amount_received": 100})));
    assert!(event.to_string().contains(&secret));
    Reply::to(shop.from_stripe(&event)).await.expect(200);
    shop.wait_for(&order, "captured").await;
    let log = world.log().await;
    let bodies = log.commits.iter().filter_map(|recorded| match &recorded.commit.cause {
        Cause::Webhook { body, .. } => Some(String::from_utf8_lossy(body).into_owned()),
        Cause::Command { .. } | Cause::Timer { .. } => None,
    });
    let bodies: Vec<String> = bodies.collect();
    assert_eq!(bodies, [event.to_string().replace(&secret, &"*".repeat(secret.len()))]);
}

async fn each_tenant_has_its_own_senders(world: World) {
    let (shop, other) = (world.client(0, ACME), world.other_shop());
    let order = shop.submit(&checkout(100)).await;
    let paid = intent(&order, json!({"amount_received": 100}));
    let reply = other.stripe("payment_intent.succeeded", paid).await.expect(202);
    assert_eq!(reply.text("/reason"), "unknown_order");
    other.adyen(&[adyen("AUTHORISATION", &order, "", 100, json!({}))]).await.expect(200);
    assert_eq!(shop.status(&order).await.text("/status"), "processing");
}
