//! The buyer's way back: a form with a hash over the outcome.

use daybook_tests::client::unique;
use daybook_tests::{Client, Reply, World};
use reqwest::Method;
use serde_json::json;

use super::*;

daybook_tests::in_each_world! {
    crate::impatient();
    the_buyer_returns_by_a_form_with_a_hash_over_the_outcome,
}

/// The path of the way back, as the hosted page is given it.
pub(crate) async fn way_back(shop: &Client, order: &str) -> String {
    let native = shop.get(&format!("/v1/orders/{order}")).await.expect(200).json();
    let urls = &native["return_urls"];
    assert!(urls["success"] == urls["failure"] && urls["failure"] == urls["cancel"], "{urls}");
    let url = urls["success"].as_str().expect("a URL").to_owned();
    url.strip_prefix(shop.url()).unwrap_or_else(|| panic!("{url} is not at {}", shop.url())).to_owned()
}

/// The value of a hidden field.
fn hidden(page: &str, name: &str) -> String {
    let after =
        page.split(&format!("name=\"{name}\" value=\"")).nth(1).unwrap_or_else(|| panic!("{name}: {page}"));
    after.split('"').next().expect("a value").to_owned()
}

/// The page's form, with its hash computed again; returns the amount.
pub(crate) async fn returned(shop: &Client, path: &str, session_id: &str, order: &str) -> String {
    use sha2::{Digest, Sha512};
    // The hosted page adds parameters of its own.
    let page = Reply::to(shop.anonymous(Method::GET, &format!("{path}?order_id=x&status=captured"))).await;
    let page = page.expect(200);
    let policy = page.header("content-security-policy").expect("a policy").to_owned();
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    assert!(policy.contains("default-src 'none'"), "{policy}");
    // Browsers hold this against every redirect that follows, wherever in the web it leads.
    assert!(policy.contains("form-action https:;"), "{policy}");
    let html = page.body();
    let nonce =
        html.split("nonce=\"").nth(1).expect("a nonce").split('"').next().expect("a nonce").to_owned();
    assert!(policy.contains(&format!("script-src 'nonce-{nonce}'")), "{policy}");
    assert!(html.contains("<form method=\"post\" action=\"https://shop.example/"), "{html}");
    let [salt, amount, hash] = ["salt", "amount", "hash"].map(|name| hidden(&html, name));
    assert_eq!((hidden(&html, "sessionId").as_str(), hidden(&html, "orderId").as_str()), (session_id, order));
    assert!(salt.len() == 10 && salt.bytes().all(|b| b.is_ascii_alphanumeric()), "{salt}");
    let text = format!("{salt}|{session_id}|{amount}|{}-hash-key", shop.tenant.id);
    let expect: String = Sha512::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, expect);
    amount
}

async fn the_buyer_returns_by_a_form_with_a_hash_over_the_outcome(world: World) {
    let shop = world.shop();
    let name = format!("{}<\"&>", unique("ord"));
    let escaped = name.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let started = call(&shop, "/start-session", &session(&name, "SALE")).await.expect(200);
    let (order, session_id) = (started.text("/transactionId"), started.text("/sessionId"));
    let path = way_back(&shop, &order).await;
    assert_eq!(returned(&shop, &path, &session_id, &escaped).await, "0.00");
    shop.report(&order, "payment.failed", json!({"payment_reference": "pay_1", "reason": "no"})).await;
    assert_eq!(returned(&shop, &path, &session_id, &escaped).await, "0.00");
    // From now on it is the second session whose buyer returns.
    let mut again = session(&name, "SALE");
    again["returnUrl"] = "https://shop.example/second?a=1&b=2".into();
    let second = call(&shop, "/start-session", &again).await.expect(200).text("/sessionId");
    let captured = json!({"payment_reference": "pay_2", "amount": try_(10_000)});
    shop.report(&order, "payment.captured", captured).await;
    assert_eq!(returned(&shop, &path, &second, &escaped).await, "100.00");
    let page = Reply::to(shop.anonymous(Method::GET, &path)).await.expect(200).body();
    assert!(page.contains("action=\"https://shop.example/second?a=1&amp;b=2\""), "{page}");

    let order = authorized(&shop).await;
    let path = way_back(&shop, &order.id).await;
    let html = Reply::to(shop.anonymous(Method::GET, &path)).await.expect(200).body();
    assert_eq!(hidden(&html, "amount"), "100.00", "what is reserved");
    call(&shop, "/void", &about(&order.name, json!({}))).await.expect(200);
    shop.report(&order.id, "payment.voided", json!({})).await;
    let html = Reply::to(shop.anonymous(Method::GET, &path)).await.expect(200).body();
    assert_eq!(hidden(&html, "amount"), "0.00", "nothing is any more");

    for wrong in [
        path.replace("/acme/", "/globex/"),
        format!("{path}x"),
        path[..path.len() - 1].to_owned(),
        format!("/akinon/return/acme/{}", order.id),
        "/akinon/return/acme/%ff".to_owned(),
    ] {
        let page = Reply::to(shop.anonymous(Method::GET, &wrong)).await.expect(404);
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"), "{wrong}");
    }
}
