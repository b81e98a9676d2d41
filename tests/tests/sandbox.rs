//! The sandbox PSP of the demo: each of its tokens takes an order to its own end, through public doors alone.

use daybook_tests::client::unique;
use daybook_tests::{Client, Reply, World, checkout, eur, eventually};
use reqwest::Method;
use serde_json::json;

daybook_tests::in_each_world!(
    daybook_tests::Setup::demo();
    a_good_card_is_captured_and_can_be_refunded,
    a_declined_card_fails_with_a_reason,
    a_challenge_decides,
    a_delayed_capture_comes_after_the_authorization,
    webhooks_that_come_twice_or_in_the_wrong_order_do_no_harm,
    a_capture_that_comes_after_the_end_is_flagged,
    a_manual_order_is_captured_and_voided_on_request,
    a_buyer_pays_on_the_hosted_page,
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

/// Presses a button of the page at `url`, as a form without scripts: the query goes into the form.
async fn press(shop: &Client, url: &str, fields: &str) -> Reply {
    let path = url.strip_prefix(shop.url()).expect("a page of this server");
    let (path, query) = path.split_once('?').expect("a page with a token");
    let request =
        shop.anonymous(Method::POST, path).header("content-type", "application/x-www-form-urlencoded");
    Reply::to(request.body(format!("{query}&{fields}"))).await
}

async fn a_challenge_decides(world: World) {
    let shop = world.shop();
    for (token, answer, end) in
        [("tok_3ds", "pass", "captured"), ("tok_3ds", "fail", "failed"), ("tok_3ds_failed", "pass", "failed")]
    {
        let order = pay_with(&world, token).await;
        let status = shop.wait_for(&order, "action_required").await;
        let url = status.text("/challenge/url");
        assert_eq!(shop.figure(&order, "captured").await, 0);
        let pressed = press(&shop, &url, &format!("answer={answer}")).await;
        assert!(pressed.status < 400, "{}", pressed.body());
        shop.wait_for(&order, end).await;
        let captured = if end == "captured" { 1_999 } else { 0 };
        assert_eq!(shop.figure(&order, "balance").await, captured, "{token}, {answer}");
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

async fn a_buyer_pays_on_the_hosted_page(world: World) {
    let shop = world.shop();
    let checkout = checkout(1_999);
    let reply = shop.post("/v1/checkouts", &checkout).await.expect(202);
    let (order, url) = (reply.text("/order_id"), reply.text("/payment_url"));
    let path = url.strip_prefix(shop.url()).expect("a page of this server");
    let page = Reply::to(shop.anonymous(Method::GET, path)).await.expect(200);
    assert!(page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
    assert!(page.body().contains("19.99"), "the buyer sees what to pay");
    // A real card is not taken, and not kept.
    let pay = |number: &str| format!("attempt=1&number={number}&expiry=12%2F39&cvc=123&name=&action=pay");
    let refused = press(&shop, &url, &pay("5555555555554444")).await;
    assert!(!refused.body().contains("5555555555554444"));
    assert_eq!(shop.status(&order).await.text("/status"), "processing");
    // A declined one fails, and the buyer may try another.
    press(&shop, &url, &pay("4000000000000002")).await;
    shop.wait_for(&order, "failed").await;
    press(&shop, &url, &pay("4242424242424242").replace("attempt=1", "attempt=2")).await;
    shop.wait_for(&order, "captured").await;
    assert_eq!(shop.figure(&order, "balance").await, 1_999);
    for recorded in world.log().await.commits {
        let bytes = ledger::codec::encode(&recorded.commit);
        assert!(!String::from_utf8_lossy(&bytes).contains("4242424242424242"), "a card number is in the log");
    }
}
