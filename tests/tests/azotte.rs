//! The Azotte surface, by its vendor's own words.

use daybook_tests::client::unique;
use daybook_tests::{Client, Reply, World, eur};
use reqwest::Method;
use serde_json::{Value, json};

daybook_tests::in_each_world!(
    an_offer_is_bought_with_3ds_until_check_out_done,
    the_same_correlation_id_is_the_same_checkout,
    an_offer_that_cannot_be_bought_says_why,
    a_declined_checkout_has_failed_and_another_attempt_may_be_done,
    a_checkout_is_canceled_and_says_so,
    a_checkout_stays_done_while_it_is_refunded_in_parts,
);

mod expiring {
    daybook_tests::in_each_world!(
        daybook_tests::Setup { config: "order_life_seconds = 1".to_owned(), ..Default::default() };
        a_checkout_that_nobody_pays_has_failed
    );

    use super::a_checkout_that_nobody_pays_has_failed;
}

async fn call(shop: &Client, method: Method, path: &str, body: Option<&Value>) -> Reply {
    let request = shop.anonymous(method, &format!("/azotte/api/c2a/offer{path}"));
    let request = request.header("x-api-key", shop.tenant.key).header("x-tn", shop.tenant.id);
    Reply::to(match body {
        Some(body) => request.json(body),
        None => request,
    })
    .await
}

async fn status(shop: &Client, tracking: &str) -> Reply {
    call(shop, Method::GET, &format!("/checkout/{tracking}/status"), None).await.expect(200)
}

/// Asks until the status has this code; the vendor has no long poll.
async fn until(shop: &Client, tracking: &str, code: &str) -> Reply {
    daybook_tests::eventually(code, async || {
        let reply = status(shop, tracking).await;
        (reply.text("/status/messageCode") == code).then_some(reply)
    })
    .await
}

fn order(offer: &str, correlation: &str) -> Value {
    json!({
        "order": {"offerIdentifier": offer, "correlationId": correlation, "items": [{"itemIdentifier": "plan"}],
                  "customer": {"customerUrn": "urn:customer:1", "ipAddress": "203.0.113.7"}},
        "paymentMethod": {"paymentChannel": "CreditCard", "creditCard": {"cardHolderName": "A. Buyer",
                          "cardNumber": "4111111111111111", "cvv": "123"}}
    })
}

async fn an_offer_is_bought_with_3ds_until_check_out_done(world: World) {
    let shop = world.shop();
    let offer = unique("offer");
    let registered = json!({"amount": eur(1_500), "items": [{"identifier": "plan"}]});
    shop.put(&format!("/v1/offers/{offer}"), &registered).await.expect(201);
    let again = shop.put(&format!("/v1/offers/{offer}"), &registered).await.expect(200);
    assert_eq!(again.json()["amount"], eur(1_500));

    let reply =
        call(&shop, Method::POST, "/checkout", Some(&order(&offer, &unique("cor")))).await.expect(202);
    let tracking = reply.text("/trackingNumber");
    assert_eq!(reply.text("/status/messageCode"), "CHECK_OUT_PROCESSING");
    assert_eq!(reply.json()["followUpInstructions"]["canFollowUp"], true);
    let processing = status(&shop, &tracking).await;
    assert_eq!(processing.text("/status/messageCode"), "CHECK_OUT_PROCESSING");
    assert!(processing.header("retry-after").is_some());

    let order = shop.get(&format!("/v1/orders/{tracking}")).await.expect(200);
    assert_eq!(order.json()["amount"], eur(1_500), "the price is the offer's");
    assert!(!order.body().contains("4111111111111111"), "no card number is kept");
    let order = order.text("/order_id");
    let challenge = json!({"url": "https://bank.example/3ds", "id": "3ds-9"});
    shop.report(&order, "payment.action_required", json!({"challenge": challenge})).await;
    let challenged = until(&shop, &tracking, "CHECK_OUT_3DS_REQUIRED").await;
    assert_eq!(challenged.text("/redirectInstructions/redirectUrl"), "https://bank.example/3ds");

    // Authorized is not done: only the captured money is.
    shop.report(&order, "payment.authorized", json!({"amount": eur(1_500)})).await;
    shop.wait_for(&order, "authorized").await;
    assert_eq!(status(&shop, &tracking).await.text("/status/messageCode"), "CHECK_OUT_PROCESSING");
    shop.report(&order, "payment.captured", json!({"amount": eur(1_500)})).await;
    let done = until(&shop, &tracking, "CHECK_OUT_DONE").await;
    assert!(done.header("retry-after").is_none());
    for stored in world.log().await.commits {
        let bytes = ledger::codec::encode(&stored.commit);
        assert!(!String::from_utf8_lossy(&bytes).contains("4111111111111111"), "a card number is in the log");
    }
}

async fn the_same_correlation_id_is_the_same_checkout(world: World) {
    let shop = world.shop();
    let (offer, correlation) = (unique("offer"), unique("cor"));
    shop.put(&format!("/v1/offers/{offer}"), &json!({"amount": eur(100)})).await.expect(201);
    let first = call(&shop, Method::POST, "/checkout", Some(&order(&offer, &correlation))).await.expect(202);
    let again = call(&shop, Method::POST, "/checkout", Some(&order(&offer, &correlation))).await.expect(202);
    assert_eq!(again.bytes, first.bytes);
    let mut other = order(&offer, &correlation);
    other["order"]["customer"]["customerUrn"] = "urn:customer:2".into();
    let refused = call(&shop, Method::POST, "/checkout", Some(&other)).await;
    assert!((400..500).contains(&refused.status), "{}", refused.body());
}

async fn an_offer_that_cannot_be_bought_says_why(world: World) {
    let shop = world.shop();
    let (showcase, old) = (unique("offer"), unique("offer"));
    let register = json!({"amount": eur(100), "purchasable": false});
    shop.put(&format!("/v1/offers/{showcase}"), &register).await.expect(201);
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(1_200);
    let register = json!({"amount": eur(100), "expires_at": soon.to_string()});
    shop.put(&format!("/v1/offers/{old}"), &register).await.expect(201);
    let refusal = async |offer: &str| {
        let reply = call(&shop, Method::POST, "/checkout", Some(&order(offer, &unique("cor")))).await;
        (!(200..300).contains(&reply.status)).then(|| reply.body())
    };
    let body = refusal(&showcase).await.expect("a refusal");
    assert!(body.contains("OFFER_NOT_PURCHASABLE"), "{body}");
    let body = daybook_tests::eventually("the offer's end", async || refusal(&old).await).await;
    assert!(body.contains("OFFER_EXPIRED"), "{body}");
    let reply =
        call(&shop, Method::GET, "/checkout/trk_00000000000000000000000000/status", None).await.expect(404);
    assert!(reply.body().contains("ORDERED_ITEM_NOT_FOUND"), "{}", reply.body());
}

/// Buys a new offer; returns the tracking number and the order's id.
async fn bought(shop: &Client, minor: i64) -> (String, String) {
    let offer = unique("offer");
    shop.put(&format!("/v1/offers/{offer}"), &json!({"amount": eur(minor)})).await.expect(201);
    let body = order(&offer, &unique("cor"));
    let tracking =
        call(shop, Method::POST, "/checkout", Some(&body)).await.expect(202).text("/trackingNumber");
    let order = shop.get(&format!("/v1/orders/{tracking}")).await.expect(200).text("/order_id");
    (tracking, order)
}

async fn a_declined_checkout_has_failed_and_another_attempt_may_be_done(world: World) {
    let shop = world.shop();
    let (tracking, order) = bought(&shop, 2_000).await;
    let declined = json!({"payment_reference": "pay_1", "reason": "insufficient_funds"});
    shop.report(&order, "payment.failed", declined).await;
    let failed = until(&shop, &tracking, "CHECK_OUT_FAILED").await;
    assert_eq!(failed.text("/status/message"), "insufficient_funds");
    assert_eq!(
        (failed.json()["followUpInstructions"]["canFollowUp"].as_bool(), failed.header("retry-after")),
        (Some(false), None)
    );
    // The buyer tried again, with another card.
    shop.report(&order, "payment.captured", json!({"payment_reference": "pay_2", "amount": eur(2_000)}))
        .await;
    until(&shop, &tracking, "CHECK_OUT_DONE").await;
}

async fn a_checkout_is_canceled_and_says_so(world: World) {
    let shop = world.shop();
    let (tracking, order) = bought(&shop, 2_000).await;
    shop.post(&format!("/v1/orders/{order}/cancellations"), &json!({})).await.expect(202);
    let failed = until(&shop, &tracking, "CHECK_OUT_FAILED").await;
    assert_eq!(failed.text("/status/message"), "the order is canceled");
}

async fn a_checkout_stays_done_while_it_is_refunded_in_parts(world: World) {
    let shop = world.shop();
    let (tracking, order) = bought(&shop, 2_000).await;
    shop.report(&order, "payment.captured", json!({"amount": eur(2_000)})).await;
    for (part, left) in [(500, 1_500), (1_500, 0)] {
        let refund = shop
            .post(&format!("/v1/orders/{order}/refunds"), &json!({"amount": eur(part)}))
            .await
            .expect(202);
        let settled =
            json!({"refund_id": refund.text("/refund_id"), "amount": eur(part), "reference": unique("ref")});
        shop.report(&order, "refund.settled", settled).await;
        assert_eq!(shop.figure(&order, "balance").await, left);
        until(&shop, &tracking, "CHECK_OUT_DONE").await;
    }
    shop.wait_for(&order, "refunded").await;
}

async fn a_checkout_that_nobody_pays_has_failed(world: World) {
    let shop = world.shop();
    let (tracking, order) = bought(&shop, 2_000).await;
    let failed = until(&shop, &tracking, "CHECK_OUT_FAILED").await;
    assert_eq!(failed.text("/status/message"), "the order is expired");
    assert_eq!(shop.status(&order).await.text("/status"), "expired");
}
