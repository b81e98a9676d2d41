//! The sandbox PSP of the demo: each of its tokens takes an order to its own end, through public doors alone.

use daybook_tests::client::unique;
use daybook_tests::{World, checkout, eur, eventually};
use serde_json::json;

daybook_tests::in_each_world!(
    daybook_tests::Setup::demo();
    a_good_card_is_captured_and_can_be_refunded,
    a_declined_card_fails_with_a_reason,
    a_challenge_is_asked_for,
    a_delayed_capture_comes_after_the_authorization,
    webhooks_that_come_twice_or_in_the_wrong_order_do_no_harm,
    a_capture_that_comes_after_the_end_is_flagged,
    a_manual_order_is_captured_and_voided_on_request,
    an_order_without_a_card_waits_on_the_hosted_page,
);

async fn pay_with(world: &World, token: &str) -> String {
    let mut body = checkout(1_999);
    body["payment_method"] = json!({"type": "card", "token": token});
    world.shop().submit(&body).await
}

async fn a_good_card_is_captured_and_can_be_refunded(world: World) {
    let shop = world.shop();
    let order = pay_with(&world, "tok_success").await;
    shop.wait_for(&order, "captured").await;
    assert_eq!(shop.figure(&order, "balance").await, 1_999);
    shop.post(&format!("/v1/orders/{order}/refunds"), &json!({"amount": eur(999)})).await.expect(202);
    shop.wait_for(&order, "partially_refunded").await;
    assert_eq!(shop.figure(&order, "balance").await, 1_000);
    shop.post(&format!("/v1/orders/{order}/refunds"), &json!({})).await.expect(202);
    shop.wait_for(&order, "refunded").await;
    assert_eq!(shop.figure(&order, "balance").await, 0);
}

async fn a_declined_card_fails_with_a_reason(world: World) {
    let shop = world.shop();
    let order = pay_with(&world, "tok_declined").await;
    let status = shop.wait_for(&order, "failed").await;
    assert!(!status.text("/failure_reason").is_empty());
}

async fn a_challenge_is_asked_for(world: World) {
    let shop = world.shop();
    for token in ["tok_3ds", "tok_3ds_failed"] {
        let order = pay_with(&world, token).await;
        let status = shop.wait_for(&order, "action_required").await;
        assert!(status.text("/challenge/url").starts_with("http://127.0.0.1"), "{}", status.body());
        assert_eq!(shop.figure(&order, "captured").await, 0);
    }
}

async fn a_delayed_capture_comes_after_the_authorization(world: World) {
    let shop = world.shop();
    let order = pay_with(&world, "tok_delayed").await;
    shop.wait_for(&order, "captured").await;
    let history = shop.history(&order).await.json();
    let entries = history["entries"].as_array().expect("entries");
    let at = |status: &str| {
        let entry = entries.iter().find(|entry| entry["status"] == status).expect("the status");
        entry["at"].as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok()).expect("a time")
    };
    let waited = at("captured").duration_since(at("authorized"));
    assert!(waited >= jiff::SignedDuration::from_millis(1_500), "captured after {waited}");
}

async fn webhooks_that_come_twice_or_in_the_wrong_order_do_no_harm(world: World) {
    let shop = world.shop();
    for token in ["tok_duplicate_webhooks", "tok_reordered_webhooks"] {
        let order = pay_with(&world, token).await;
        shop.wait_for(&order, "captured").await;
        // All of its webhooks have come when both facts are there.
        eventually("the authorization", async || {
            (shop.figure(&order, "authorized").await == 1_999).then_some(())
        })
        .await;
        let balance = shop.balance(&order).await;
        assert_eq!((balance.number("/captured"), balance.number("/balance")), (1_999, 1_999), "{token}");
        assert_eq!(shop.anomalies(&order).await, Vec::<String>::new(), "{token}");
    }
    world.log().await.assert_nothing_is_there_twice();
}

async fn a_capture_that_comes_after_the_end_is_flagged(world: World) {
    let shop = world.shop();
    let mut body = checkout(1_999);
    body["payment_method"] = json!({"type": "card", "token": "tok_late_webhook"});
    let expires_at = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(1_500);
    body["expires_at"] = expires_at.to_string().into();
    let order = shop.submit(&body).await;
    shop.wait_for(&order, "expired").await;
    eventually("the late capture", async || (shop.figure(&order, "balance").await == 1_999).then_some(()))
        .await;
    assert_eq!(shop.status(&order).await.text("/status"), "expired");
    assert!(shop.anomalies(&order).await.contains(&"captured_after_end".to_owned()));
}

async fn a_manual_order_is_captured_and_voided_on_request(world: World) {
    let shop = world.shop();
    let mut body = checkout(1_999);
    body["payment_method"] = json!({"type": "card", "token": "tok_success"});
    body["capture"] = "manual".into();
    let order = shop.submit(&body).await;
    shop.wait_for(&order, "authorized").await;
    shop.post(&format!("/v1/orders/{order}/captures"), &json!({"amount": eur(1_000)})).await.expect(202);
    shop.wait_for(&order, "partially_captured").await;

    body["merchant_reference"] = unique("A").into();
    let order = shop.submit(&body).await;
    shop.wait_for(&order, "authorized").await;
    let reply = shop.post(&format!("/v1/orders/{order}/cancellations"), &json!({})).await.expect(202);
    assert_eq!(reply.text("/status"), "pending");
    shop.wait_for(&order, "canceled").await;
}

async fn an_order_without_a_card_waits_on_the_hosted_page(world: World) {
    let shop = world.shop();
    let reply = shop.post("/v1/checkouts", &checkout(1_999)).await.expect(202);
    let url = reply.text("/payment_url");
    let path = url.strip_prefix(shop.url()).expect("a page of this server").to_owned();
    let page = daybook_tests::Reply::to(shop.anonymous(reqwest::Method::GET, &path)).await.expect(200);
    assert!(page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
    assert!(page.body().contains("19.99"), "the buyer sees what to pay");
}
