//! The whole way with the sandbox PSP and its hosted page, as a buyer's browser goes it.

use daybook_tests::client::unique;
use daybook_tests::{Client, Reply, World, eventually};
use reqwest::Method;
use serde_json::json;

use super::returns::{returned, way_back};
use super::*;

daybook_tests::in_each_world! {
    daybook_tests::Setup::demo();
    a_buyer_pays_on_the_hosted_page_and_is_taken_back,
}

/// Pays on the hosted page; where the browser is sent next.
async fn pay(shop: &Client, page: &str) -> String {
    let path = page.strip_prefix(shop.url()).expect("a page of this server");
    let (path, query) = path.split_once('?').expect("a page with a token");
    let form = format!("{query}&attempt=1&number=4242424242424242&action=pay");
    let request = shop.anonymous(Method::POST, path);
    let sent = request.header("content-type", "application/x-www-form-urlencoded").body(form);
    let reply = Reply::to(sent).await.expect(303);
    reply.header("location").expect("a place to go").to_owned()
}

async fn a_buyer_pays_on_the_hosted_page_and_is_taken_back(world: World) {
    let shop = world.shop();
    for (kind, paid) in [("SALE", "100.00"), ("AUTH", "100.00")] {
        let name = unique("ord");
        let started = call(&shop, "/start-session", &session(&name, kind)).await.expect(200);
        let (order, session_id) = (started.text("/transactionId"), started.text("/sessionId"));
        let location = pay(&shop, &started.text("/redirectUrl")).await;
        let path = way_back(&shop, &order).await;
        assert!(location.starts_with(&format!("{}{path}?", shop.url())), "{location}");
        assert_eq!(returned(&shop, &path, &session_id, &name).await, paid);
        eventually("the completed payment", async || {
            let reply = call(&shop, "/purchase", &about(&name, json!({}))).await;
            (reply.status == 200 && reply.text("/status") == "RESOLVED").then_some(())
        })
        .await;
        let back = about(&name, json!({"amount": 25.00, "currency": "TRY"}));
        call(&shop, "/refund", &back).await.expect(200);
        let told = eventually("the settled refund", async || {
            let told = history(&shop, &name, json!({"type": "REFUND"})).await;
            (told.text("/status") == "RESOLVED").then_some(told)
        })
        .await;
        assert!(told.body().contains("\"balance\":75.00,"), "{}", told.body());
        assert_eq!(told.text("/paymentTransactionHistory/0/subSteps/0/statusCode"), "refund_settled");
    }
}
