//! The hosted page of an order that was made on `/v1`.

use daybook_tests::{checkout, eventually};
use serde_json::{Value, json};

use crate::{CHALLENGED, DECLINED, GOOD, SOMEBODYS, Scene, query};

crate::in_a_browser!(
    a_buyer_pays_and_comes_back,
    a_declined_card_is_followed_by_another,
    without_return_urls_the_page_tells_everything,
    a_buyer_cancels,
    a_shop_may_send_its_buyers_on_to_another_site,
    a_challenge_is_passed,
    a_challenge_is_failed,
    a_double_click_pays_once,
    two_tabs_pay_once,
    the_back_button_after_paying_pays_nothing_more,
    an_order_that_is_over_is_not_paid_again,
    a_buyer_who_waits_is_told_the_end,
    a_wrong_token_opens_nothing,
    a_card_that_is_not_a_test_card_is_not_taken,
    every_page_fits_a_small_telephone,
);

/// A checkout of 19.99 EUR whose buyer pays on the page.
struct Order {
    id: String,
    page: String,
}

impl Scene {
    /// Where the shop wants its buyers back, each with a query of its own.
    fn return_urls(&self) -> Value {
        json!({
            "success": self.shop.url("/success?cart=7&tag=a%20b&tag=c%26d"),
            "failure": self.shop.url("/failure?cart=7"),
            "cancel": self.shop.url("/cancel?cart=7"),
        })
    }

    async fn order(&self) -> Order {
        self.order_with("return_urls", self.return_urls()).await
    }

    async fn order_with(&self, field: &str, value: Value) -> Order {
        let mut body = checkout(1_999);
        body[field] = value;
        self.submit(&body).await
    }

    async fn submit(&self, body: &Value) -> Order {
        let reply = self.merchant().post("/v1/checkouts", body).await.expect(202);
        Order { id: reply.text("/order_id"), page: reply.text("/payment_url") }
    }

    async fn assert_paid_once(&self, order: &Order) {
        self.merchant().wait_for(&order.id, "captured").await;
        let balance = self.merchant().balance(&order.id).await;
        assert_eq!((balance.number("/captured"), balance.number("/balance")), (1_999, 1_999));
        assert_eq!(self.attempts(order).await, 1);
        assert_eq!(self.merchant().anomalies(&order.id).await, Vec::<String>::new());
        self.world.log().await.assert_nothing_is_there_twice();
    }

    async fn attempts(&self, order: &Order) -> usize {
        let order = self.merchant().get(&format!("/v1/orders/{}", order.id)).await.expect(200).json();
        order["attempts"].as_array().expect("attempts").len()
    }
}

async fn a_buyer_pays_and_comes_back(scene: &Scene) {
    let order = scene.order().await;
    scene.browser.open(&order.page).await;
    let text = scene.browser.text().await;
    assert!(text.contains("19.99 EUR"), "{text}");
    scene.pay(GOOD).await;

    let visit = scene.return_to("/success").await;
    let status = visit.value("status");
    assert!(["authorized", "captured"].contains(&status), "{status}");
    let expect =
        query(&[("cart", "7"), ("tag", "a b"), ("tag", "c&d"), ("order_id", &order.id), ("status", status)]);
    assert_eq!(visit.query, expect, "the shop's own parameters survive");
    scene.merchant().wait_for(&order.id, "captured").await;
    assert_eq!(scene.merchant().figure(&order.id, "balance").await, 1_999);
    scene.assert_clean(&[]).await;
}

async fn a_declined_card_is_followed_by_another(scene: &Scene) {
    let order = scene.order().await;
    scene.browser.open(&order.page).await;
    scene.pay(DECLINED).await;
    let visit = scene.return_to("/failure").await;
    let expect = query(&[("cart", "7"), ("order_id", &order.id), ("status", "failed")]);
    assert_eq!(visit.query, expect);

    scene.browser.open(&order.page).await;
    scene.browser.shows("The card was declined").await;
    scene.pay(GOOD).await;
    scene.browser.arrives_at(&scene.shop.url("/success")).await;
    scene.merchant().wait_for(&order.id, "captured").await;
    assert_eq!(scene.merchant().figure(&order.id, "balance").await, 1_999);
    assert_eq!(scene.attempts(&order).await, 2);
    scene.assert_clean(&[]).await;
}

async fn without_return_urls_the_page_tells_everything(scene: &Scene) {
    let order = scene.submit(&checkout(1_999)).await;
    scene.browser.open(&order.page).await;
    scene.pay(DECLINED).await;
    scene.browser.shows("The card was declined").await;
    scene.pay(CHALLENGED).await;
    scene.browser.press("Fail").await;
    scene.browser.shows("Your bank did not confirm the payment").await;
    // The Enter key does what the first button does.
    scene.browser.fill("Card number", &format!("{GOOD}\u{E007}")).await;
    scene.browser.shows("Your payment went through").await;
    scene.merchant().wait_for(&order.id, "captured").await;
    scene.assert_clean(&[]).await;

    let order = scene.submit(&checkout(1_999)).await;
    scene.browser.open(&order.page).await;
    scene.browser.press("Cancel").await;
    scene.browser.shows("The payment was canceled").await;
}

async fn a_buyer_cancels(scene: &Scene) {
    let order = scene.order().await;
    scene.browser.open(&order.page).await;
    scene.browser.press("Cancel").await;
    let visit = scene.return_to("/cancel").await;
    let expect = query(&[("cart", "7"), ("order_id", &order.id), ("status", "canceled")]);
    assert_eq!(visit.query, expect);
    assert_eq!(scene.merchant().status(&order.id).await.text("/status"), "canceled");
    assert_eq!(scene.merchant().figure(&order.id, "balance").await, 0);
    scene.assert_clean(&[]).await;
}

async fn a_shop_may_send_its_buyers_on_to_another_site(scene: &Scene) {
    let elsewhere = daybook_tests::browser::Shop::open().await;
    let success = scene.shop.url(&format!("/success?then={}", elsewhere.url("/thanks")));
    let order = scene.order_with("return_urls", json!({"success": success})).await;
    scene.browser.open(&order.page).await;
    scene.pay(GOOD).await;
    // What the page's policy says of forms holds for every redirect that follows one.
    scene.browser.arrives_at(&elsewhere.url("/thanks")).await;
    scene.assert_clean(&[]).await;
}

async fn a_challenge_is_passed(scene: &Scene) {
    let order = scene.order().await;
    scene.browser.open(&order.page).await;
    scene.pay(CHALLENGED).await;
    scene.browser.shows("whether it is really you").await;
    let challenged = scene.merchant().wait_for(&order.id, "action_required").await;
    assert_eq!(scene.merchant().figure(&order.id, "captured").await, 0);
    // A buyer who comes back to the first page is led to where they were; so is the shop's own link.
    scene.browser.open(&order.page).await;
    scene.browser.shows("whether it is really you").await;
    scene.browser.open(&challenged.text("/challenge/url")).await;
    scene.browser.press("Pass").await;

    let visit = scene.return_to("/success").await;
    assert_eq!(visit.value("order_id"), order.id);
    scene.merchant().wait_for(&order.id, "captured").await;
    assert_eq!(scene.merchant().figure(&order.id, "balance").await, 1_999);
    scene.assert_clean(&[]).await;
}

async fn a_challenge_is_failed(scene: &Scene) {
    let order = scene.order().await;
    scene.browser.open(&order.page).await;
    scene.pay(CHALLENGED).await;
    scene.browser.press("Fail").await;
    let visit = scene.return_to("/failure").await;
    assert_eq!((visit.value("order_id"), visit.value("status")), (order.id.as_str(), "failed"));
    let status = scene.merchant().status(&order.id).await;
    assert_eq!(status.text("/failure_reason"), "challenge_failed");
    assert_eq!(scene.merchant().figure(&order.id, "balance").await, 0);
    scene.assert_clean(&[]).await;
}

async fn a_double_click_pays_once(scene: &Scene) {
    let order = scene.order().await;
    scene.browser.open(&order.page).await;
    scene.browser.fill("Card number", GOOD).await;
    scene.browser.press_twice("Pay").await;
    scene.browser.arrives_at(&scene.shop.url("/success")).await;
    scene.assert_paid_once(&order).await;
    scene.assert_clean(&[]).await;
}

/// Browsers send one form of a double click. Those of two tabs are both sent.
async fn two_tabs_pay_once(scene: &Scene) {
    let order = scene.order().await;
    scene.browser.open(&order.page).await;
    scene.browser.fill("Card number", GOOD).await;
    for tab in ["one", "two"] {
        scene.browser.script(&format!("document.forms[0].target = '{tab}'")).await;
        scene.browser.press("Pay").await;
    }
    let visits = eventually("a buyer back from each tab", async || {
        Some(scene.shop.visits()).filter(|visits| visits.len() == 2)
    })
    .await;
    assert!(visits.iter().all(|visit| visit.path == "/success"), "{visits:?}");
    scene.assert_paid_once(&order).await;
    scene.assert_clean(&[]).await;
}

async fn the_back_button_after_paying_pays_nothing_more(scene: &Scene) {
    let order = scene.order().await;
    scene.browser.open(&order.page).await;
    scene.pay(GOOD).await;
    scene.return_to("/success").await;
    scene.browser.back().await;
    // Browsers may bring the page back as it was left, and its button leads where it led before.
    if scene.browser.has("#number").await {
        scene.browser.press("Pay").await;
        scene.browser.shows("Back at the shop").await;
        scene.browser.back().await;
    }
    scene.browser.reload().await;
    scene.browser.shows("Your payment went through").await;
    assert!(!scene.browser.has("form").await, "there is nothing to pay any more");
    scene.browser.press("Back to the shop").await;
    scene.browser.arrives_at(&scene.shop.url("/success")).await;
    scene.assert_paid_once(&order).await;
    scene.assert_clean(&[]).await;
}

async fn an_order_that_is_over_is_not_paid_again(scene: &Scene) {
    let merchant = scene.merchant();
    let paid = scene.order_with("payment_method", json!({"type": "card", "token": "tok_success"})).await;
    merchant.wait_for(&paid.id, "captured").await;
    let canceled = scene.order().await;
    let cancellations = format!("/v1/orders/{}/cancellations", canceled.id);
    merchant.post(&cancellations, &json!({})).await.expect(202);
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(1_500);
    let expired = scene.order_with("expires_at", soon.to_string().into()).await;
    merchant.wait_for(&expired.id, "expired").await;

    for (order, words) in [
        (&paid, "Your payment went through"),
        (&canceled, "The payment was canceled"),
        (&expired, "The time to pay this order has run out"),
    ] {
        scene.browser.open(&order.page).await;
        scene.browser.shows(words).await;
        assert!(!scene.browser.has("form").await, "{words}");
    }
    assert_eq!(merchant.figure(&paid.id, "balance").await, 1_999);

    // A page that was open when the order ended takes no payment either.
    let open = scene.order().await;
    scene.browser.open(&open.page).await;
    merchant.post(&format!("/v1/orders/{}/cancellations", open.id), &json!({})).await.expect(202);
    scene.pay(GOOD).await;
    scene.return_to("/cancel").await;
    assert_eq!(merchant.status(&open.id).await.text("/status"), "canceled");
    assert_eq!(merchant.figure(&open.id, "balance").await, 0);
    scene.assert_clean(&[]).await;
}

async fn a_buyer_who_waits_is_told_the_end(scene: &Scene) {
    let mut body = checkout(1_999);
    body["payment_method"] = json!({"type": "card", "token": "tok_late_webhook"});
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(1_500);
    body["expires_at"] = soon.to_string().into();
    let order = scene.submit(&body).await;
    scene.browser.open(&order.page).await;
    scene.browser.shows("Waiting for the outcome").await;
    // The page loads itself again, without a script.
    scene.browser.shows("The time to pay this order has run out").await;
    scene.assert_clean(&[]).await;
}

async fn a_wrong_token_opens_nothing(scene: &Scene) {
    let (order, other) = (scene.order().await, scene.order().await);
    let (page, token) = order.page.split_once("token=").expect("a token");
    let (_, others) = other.page.split_once("token=").expect("a token");
    let last = if token.ends_with('A') { "B" } else { "A" };
    let altered = format!("{page}token={}{last}", &token[..token.len() - 1]);
    for wrong in [altered, format!("{page}token={others}"), format!("{page}token="), page.to_owned()] {
        scene.browser.open(&wrong).await;
        let text = scene.browser.shows("There is no payment behind this link").await;
        assert!(!text.contains("19.99"), "{text}");
        assert!(!scene.browser.has("form").await);
    }
    scene.assert_clean(&["404 (Not Found)"]).await;
}

async fn a_card_that_is_not_a_test_card_is_not_taken(scene: &Scene) {
    let order = scene.order().await;
    scene.browser.open(&order.page).await;
    for (card, words) in [(SOMEBODYS, "Only the test cards"), ("4242 4242 4242 4241", "not a card number")] {
        scene.pay(card).await;
        scene.browser.shows(words).await;
        let field = scene.browser.script("return document.querySelector('#number').value").await;
        assert_eq!(field, "", "a number that was typed is not shown again");
        let focus = scene.browser.script("return document.activeElement.id").await;
        assert_eq!(focus, "number", "the field to correct has the focus");
    }
    assert_eq!(scene.merchant().status(&order.id).await.text("/status"), "processing");
    scene.pay(GOOD).await;
    scene.return_to("/success").await;
    scene.assert_clean(&["422 (Unprocessable Entity)"]).await;
}

async fn every_page_fits_a_small_telephone(scene: &Scene) {
    // A reference with nowhere to break a line, and the longest amount that a page will show.
    let body = json!({
        "amount": {"value": 99_999_999_999_i64, "currency": "IQD"},
        "merchant_reference": "W".repeat(64),
    });
    let order = scene.submit(&body).await;
    scene.browser.open(&order.page).await;
    scene.assert_fits("the form").await;
    scene.pay(DECLINED).await;
    scene.browser.shows("The card was declined").await;
    scene.assert_fits("the form with an alert").await;
    scene.pay(CHALLENGED).await;
    scene.browser.shows("whether it is really you").await;
    scene.assert_fits("the challenge").await;
    scene.browser.press("Pass").await;
    scene.browser.shows("Your payment went through").await;
    scene.assert_fits("the outcome").await;
    let mut body = checkout(1_999);
    body["payment_method"] = json!({"type": "card", "token": "tok_late_webhook"});
    let order = scene.submit(&body).await;
    scene.browser.open(&order.page).await;
    scene.browser.shows("Waiting for the outcome").await;
    scene.assert_fits("the waiting page").await;
}
