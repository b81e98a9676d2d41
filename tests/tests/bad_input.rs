//! Whatever is wrong with a request has a problem of its own, and leaves nothing in the log.

use daybook_tests::client::{SOURCE, about, now, unique};
use daybook_tests::{Client, Reply, World, checkout, eur, eventually};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

daybook_tests::in_each_world!(
    a_bad_body_has_its_own_problem_and_leaves_nothing_in_the_log,
    a_bad_request_has_its_own_problem_and_leaves_nothing_in_the_log,
    a_forged_webhook_is_refused_counted_and_kept_apart,
    an_unreadable_webhook_is_kept_raw,
);

/// What is wrong, the body, and the status, code and pointer it must have.
type BadBody = (&'static str, String, u16, &'static str, Option<&'static str>);

/// A checkout with one field replaced.
fn with(pointer: &str, value: Value) -> String {
    let mut body = json!({"amount": eur(1_999), "merchant_reference": "A-bad"});
    let (parent, field) = pointer.rsplit_once('/').expect("a pointer");
    match parent.is_empty() {
        true => body[field] = value,
        false => *body.pointer_mut(parent).and_then(|parent| parent.get_mut(field)).expect("a field") = value,
    }
    body.to_string()
}

/// A checkout with this text as the amount's value, as no JSON library would write it.
fn amount_of(value: &str) -> String {
    format!(r#"{{"amount":{{"value":{value},"currency":"EUR"}},"merchant_reference":"A-bad"}}"#)
}

fn amount(amount: Value) -> String {
    json!({"amount": amount, "merchant_reference": "A-bad"}).to_string()
}

fn bad_amounts() -> Vec<BadBody> {
    const VALUE: Option<&str> = Some("/amount/value");
    vec![
        ("zero", amount_of("0"), 422, "amount_zero", VALUE),
        ("negative", amount_of("-1"), 422, "amount_negative", VALUE),
        ("very negative", amount_of("-99999999999999999999"), 422, "amount_negative", VALUE),
        ("fractional", amount_of("19.99"), 422, "amount_fractional", VALUE),
        ("above the limit", amount_of("1000000000000000"), 422, "amount_too_large", VALUE),
        ("above an i64", amount_of("9223372036854775808"), 422, "amount_too_large", VALUE),
        ("above a u128", amount_of(&"9".repeat(60)), 422, "amount_too_large", VALUE),
        ("with an exponent", amount_of("1e3"), 422, "amount_not_a_number", VALUE),
        ("with a capital exponent", amount_of("1E3"), 422, "amount_not_a_number", VALUE),
        ("text", amount_of("\"1999\""), 422, "amount_not_a_number", VALUE),
        ("null", amount_of("null"), 422, "amount_not_a_number", VALUE),
        ("a list", amount_of("[1999]"), 422, "amount_not_a_number", VALUE),
        ("true", amount_of("true"), 422, "amount_not_a_number", VALUE),
        ("not JSON's idea of a number", amount_of("+5"), 400, "malformed_json", None),
        ("with leading zeros", amount_of("007"), 400, "malformed_json", None),
        ("NaN", amount_of("NaN"), 400, "malformed_json", None),
        ("without a value", amount(json!({"currency": "EUR"})), 422, "missing_field", VALUE),
        ("without a currency", amount(json!({"value": 5})), 422, "missing_field", Some("/amount/currency")),
        (
            "in an unknown currency",
            amount(json!({"value": 5, "currency": "EURO"})),
            422,
            "unknown_currency",
            Some("/amount/currency"),
        ),
        (
            "in a currency in small letters",
            amount(json!({"value": 5, "currency": "eur"})),
            422,
            "unknown_currency",
            Some("/amount/currency"),
        ),
        (
            "in gold",
            amount(json!({"value": 5, "currency": "XAU"})),
            422,
            "unknown_currency",
            Some("/amount/currency"),
        ),
        (
            "with the exponent of another currency",
            amount(json!({"value": 5, "currency": "JPY", "exponent": 2})),
            422,
            "wrong_exponent",
            Some("/amount/exponent"),
        ),
        (
            "with a field nobody knows",
            amount(json!({"value": 5, "currency": "EUR", "cents": 5})),
            422,
            "unknown_field",
            Some("/amount/cents"),
        ),
    ]
}

fn bad_bodies() -> Vec<BadBody> {
    let card = |token: &str| with("/payment_method", json!({"type": "card", "token": token}));
    let long = |length: usize| Value::from("x".repeat(length));
    let items = vec![json!({"identifier": "i"}); 201];
    let metadata: Value = (0..51).map(|number| (format!("k{number}"), Value::from("v"))).collect();
    vec![
        ("nothing", String::new(), 400, "malformed_json", None),
        ("half of it", "{\"amount\":".to_owned(), 400, "malformed_json", None),
        ("more after it", format!("{} x", with("/capture", "manual".into())), 400, "malformed_json", None),
        (
            "nested too deep",
            format!("{{\"metadata\":{}", "[".repeat(10_000)),
            422,
            "invalid_field",
            Some("/metadata"),
        ),
        ("a list", "[]".to_owned(), 422, "invalid_field", None),
        (
            "no amount",
            json!({"merchant_reference": "A-bad"}).to_string(),
            422,
            "missing_field",
            Some("/amount"),
        ),
        (
            "no reference",
            json!({"amount": eur(5)}).to_string(),
            422,
            "missing_field",
            Some("/merchant_reference"),
        ),
        ("an unknown field", with("/colour", "red".into()), 422, "unknown_field", Some("/colour")),
        (
            "a number as reference",
            with("/merchant_reference", 7.into()),
            422,
            "invalid_field",
            Some("/merchant_reference"),
        ),
        (
            "no letter in the reference",
            with("/merchant_reference", "".into()),
            422,
            "invalid_field",
            Some("/merchant_reference"),
        ),
        (
            "a long reference",
            with("/merchant_reference", long(129)),
            422,
            "invalid_field",
            Some("/merchant_reference"),
        ),
        ("an unknown capture", with("/capture", "later".into()), 422, "invalid_field", Some("/capture")),
        (
            "a card number as token",
            card("4111111111111111"),
            422,
            "card_number_refused",
            Some("/payment_method/token"),
        ),
        (
            "a spaced card number",
            card("4111 1111 1111 1111"),
            422,
            "card_number_refused",
            Some("/payment_method/token"),
        ),
        ("a long token", card(&"t".repeat(256)), 422, "invalid_field", Some("/payment_method/token")),
        ("too many items", with("/items", items.into()), 422, "invalid_field", Some("/items")),
        (
            "an item without a name",
            with("/items", json!([{"quantity": 1}])),
            422,
            "missing_field",
            Some("/items/0/identifier"),
        ),
        (
            "none of an item",
            with("/items", json!([{"identifier": "i", "quantity": 0}])),
            422,
            "invalid_field",
            Some("/items/0/quantity"),
        ),
        ("too much metadata", with("/metadata", metadata), 422, "invalid_field", Some("/metadata")),
        (
            "a script as return URL",
            with("/return_urls", json!({"success": "javascript:alert(1)"})),
            422,
            "invalid_field",
            Some("/return_urls/success"),
        ),
        (
            "an end in the past",
            with("/expires_at", "2020-01-01T00:00:00Z".into()),
            422,
            "invalid_field",
            Some("/expires_at"),
        ),
        (
            "an end in a year",
            with("/expires_at", "2099-01-01T00:00:00Z".into()),
            422,
            "invalid_field",
            Some("/expires_at"),
        ),
        (
            "an end that is no time",
            with("/expires_at", "tomorrow".into()),
            422,
            "invalid_field",
            Some("/expires_at"),
        ),
        ("too large", with("/metadata", json!({"k": "x".repeat(70_000)})), 413, "body_too_large", None),
    ]
}

async fn a_bad_body_has_its_own_problem_and_leaves_nothing_in_the_log(world: World) {
    let shop = world.shop();
    let before = world.log().await.len();
    for (what, body, status, code, pointer) in bad_amounts().into_iter().chain(bad_bodies()) {
        println!("{what}: {}", body.chars().take(120).collect::<String>());
        let request = shop.request(Method::POST, "/v1/checkouts").header("content-type", "application/json");
        let reply = Reply::to(request.body(body)).await.problem(status, code);
        if pointer.is_some() {
            assert_eq!(reply.json()["pointer"].as_str(), pointer, "{}", reply.body());
        }
    }
    assert_eq!(world.log().await.len(), before);
}

/// What is wrong, the request, and the status and code it must have.
fn bad_requests(shop: &Client, order: &str) -> Vec<(&'static str, RequestBuilder, u16, &'static str)> {
    let good = checkout(100);
    let post = |path: &str| shop.request(Method::POST, path);
    let text =
        |kind: &str| post("/v1/checkouts").header("content-type", kind.to_owned()).body(good.to_string());
    let get = |path: &str| shop.request(Method::GET, path);
    let keyed = |key: &str| post("/v1/checkouts").header("idempotency-key", key.to_owned()).json(&good);
    let nobody = |method: Method, path: &str| shop.anonymous(method, path);
    let refunds = format!("/v1/orders/{order}/refunds");
    let usd = json!({"amount": {"value": 1, "currency": "USD"}});
    let upper = order.to_uppercase();
    let mut latin = good.to_string().into_bytes();
    latin.insert(latin.len() - 2, 0xE9);
    let bytes = post("/v1/checkouts").header("content-type", "application/json").body(latin);
    vec![
        ("no UTF-8", bytes, 400, "invalid_utf8"),
        ("text", text("text/plain"), 415, "unsupported_media_type"),
        ("a form", text("application/x-www-form-urlencoded"), 415, "unsupported_media_type"),
        ("no content type", post("/v1/checkouts").body(good.to_string()), 415, "unsupported_media_type"),
        ("no key", nobody(Method::POST, "/v1/checkouts").json(&good), 401, "unauthenticated"),
        (
            "an unknown key",
            nobody(Method::POST, "/v1/checkouts").bearer_auth("guess").json(&good),
            401,
            "unauthenticated",
        ),
        ("the demo's key", nobody(Method::GET, "/v1/totals").bearer_auth("demo-key"), 401, "unauthenticated"),
        (
            "an empty key",
            nobody(Method::GET, "/v1/totals").header("authorization", "Bearer "),
            401,
            "unauthenticated",
        ),
        (
            "another scheme",
            nobody(Method::GET, "/v1/totals").basic_auth("acme", Some(shop.tenant.key)),
            401,
            "unauthenticated",
        ),
        ("a long idempotency key", keyed(&"k".repeat(256)), 400, "invalid_idempotency_key"),
        ("an empty idempotency key", keyed(""), 400, "invalid_idempotency_key"),
        ("a space in the idempotency key", keyed("a b"), 400, "invalid_idempotency_key"),
        ("umlauts in the idempotency key", keyed("schlüssel"), 400, "invalid_idempotency_key"),
        ("a refund in another currency", post(&refunds).json(&usd), 422, "currency_mismatch"),
        ("a refund of nothing", post(&refunds).json(&json!({"amount": eur(0)})), 422, "amount_zero"),
        ("a refund with unknown words", post(&refunds).json(&json!({"sum": 1})), 422, "unknown_field"),
        (
            "a cancellation with a body",
            post(&format!("/v1/orders/{order}/cancellations")).json(&json!({"why": "x"})),
            422,
            "unknown_field",
        ),
        ("an unknown order", get(&format!("/v1/orders/{}", uuid::Uuid::now_v7())), 404, "not_found"),
        ("an id that is none", get("/v1/orders/A-1001"), 404, "not_found"),
        ("an id in capitals", get(&format!("/v1/orders/{upper}")), 404, "not_found"),
        ("a tracking number that is none", get("/v1/orders/trk_0"), 404, "not_found"),
        ("an unknown path", get("/v1/order"), 404, "not_found"),
        (
            "another method",
            shop.request(Method::DELETE, &format!("/v1/orders/{order}")),
            405,
            "method_not_allowed",
        ),
        ("a wait that is none", get(&format!("/v1/orders/{order}/status?wait=long")), 400, "invalid_query"),
        ("a wait below nothing", get(&format!("/v1/orders/{order}/status?wait=-1s")), 400, "invalid_query"),
        (
            "a moment that is none",
            get(&format!("/v1/orders/{order}/balance?as_of=yesterday")),
            400,
            "invalid_query",
        ),
        ("an empty page", get("/v1/orders?limit=0"), 400, "invalid_query"),
        ("a page too long", get("/v1/orders?limit=101"), 400, "invalid_query"),
        ("a cursor that is none", get("/v1/orders?cursor=next"), 400, "invalid_query"),
        ("a status that is none", get("/v1/orders?status=paid"), 400, "invalid_query"),
        ("a feed after no position", get("/v1/feed?after=last"), 400, "invalid_query"),
    ]
}

async fn a_bad_request_has_its_own_problem_and_leaves_nothing_in_the_log(world: World) {
    let shop = world.shop();
    let order = shop.submit(&checkout(100)).await;
    shop.report(&order, "payment.captured", json!({"amount": eur(100)})).await;
    shop.wait_for(&order, "captured").await;
    let before = world.log().await.len();
    for (what, request, status, code) in bad_requests(&shop, &order) {
        println!("{what}");
        Reply::to(request).await.problem(status, code);
    }
    assert_eq!(world.log().await.len(), before);
}

/// The quarantined webhook that came under this event id or holds this text.
async fn quarantined(shop: &Client, text: &str) -> Value {
    eventually("the webhook in quarantine", async || {
        let list = shop.get("/v1/quarantine").await.expect(200).json();
        list["webhooks"].as_array()?.iter().find(|held| held.to_string().contains(text)).cloned()
    })
    .await
}

async fn a_forged_webhook_is_refused_counted_and_kept_apart(world: World) {
    let (shop, other) = (world.shop(), world.other_shop());
    let order = shop.submit(&checkout(100)).await;
    let forged = |mark: &str| {
        about(&order, "payment.captured", json!({"amount": eur(100), "reference": mark}))
            .to_string()
            .into_bytes()
    };
    let secret = shop.tenant.secret;
    let path = format!("/webhooks/{}/{SOURCE}", shop.tenant.id);
    let changed = shop.signed("evt_changed", &forged("changed-1"), now(), secret).body(forged("changed-2"));
    let forgeries = [
        (
            "signed by another tenant",
            shop.signed("evt_o", &forged("other"), now(), other.tenant.secret),
            "other",
        ),
        ("signed six minutes ago", shop.signed("evt_old", &forged("old"), now() - 360, secret), "old"),
        ("signed in the future", shop.signed("evt_new", &forged("future"), now() + 360, secret), "future"),
        ("changed after it was signed", changed, "changed-2"),
        ("without a signature", shop.anonymous(Method::POST, &path).body(forged("unsigned")), "unsigned"),
    ];
    let counted = shop.metric("daybook_webhooks_total", "rejected").await;
    for (index, (what, request, mark)) in forgeries.into_iter().enumerate() {
        println!("{what}");
        Reply::to(request).await.expect(401);
        let held = quarantined(&shop, mark).await;
        assert_eq!(held["reason"], "bad_signature", "{what}: {held}");
        let now_counted = shop.metric("daybook_webhooks_total", "rejected").await;
        assert_eq!(now_counted, counted + index as u64 + 1, "{what}");
    }
    assert_eq!(shop.status(&order).await.text("/status"), "processing", "never trusted");
    assert_eq!(shop.figure(&order, "balance").await, 0);
    assert!(
        other.get("/v1/quarantine").await.expect(200).json()["webhooks"]
            .as_array()
            .is_some_and(Vec::is_empty)
    );

    // A genuine one under a forged one's event id is not shut out by it.
    let body = about(&order, "payment.captured", json!({"amount": eur(100)}));
    assert_eq!(shop.webhook("evt_changed", &body).await.expect(200).text("/result"), "recorded");
    shop.wait_for(&order, "captured").await;
}

async fn an_unreadable_webhook_is_kept_raw(world: World) {
    let shop = world.shop();
    let order = shop.submit(&checkout(100)).await;
    let bodies = [
        ("no JSON", "mark-1 {".to_owned()),
        ("no type", json!({"data": {"order_id": order, "reference": "mark-2"}}).to_string()),
        ("no amount", about(&order, "payment.captured", json!({"reference": "mark-3"})).to_string()),
        (
            "an amount that is none",
            about(
                &order,
                "payment.captured",
                json!({"amount": {"value": "1", "currency": "EUR"}, "reference": "mark-4"}),
            )
            .to_string(),
        ),
    ];
    for (index, (what, body)) in bodies.iter().enumerate() {
        println!("{what}");
        let reply = shop.webhook_bytes(&unique("evt"), body.as_bytes()).await.expect(202);
        assert_eq!(
            (reply.text("/result").as_str(), reply.text("/reason").as_str()),
            ("quarantined", "unreadable")
        );
        let held = quarantined(&shop, &format!("mark-{}", index + 1)).await;
        assert_eq!((&held["reason"], &held["source"]), (&json!("unreadable"), &json!(SOURCE)), "{held}");
    }
    assert_eq!(shop.status(&order).await.text("/status"), "processing");

    let large = about(&order, "payment.captured", json!({"amount": eur(100), "note": "x".repeat(300_000)}));
    assert_eq!(shop.webhook(&unique("evt"), &large).await.status, 413);
    let nowhere = shop.anonymous(Method::POST, "/webhooks/acme/nobody").body("{}");
    assert_eq!(Reply::to(nowhere).await.status, 404);
    let nowhere = shop.anonymous(Method::POST, "/webhooks/nobody/psp").body("{}");
    assert_eq!(Reply::to(nowhere).await.status, 404);
    // A type that nobody knows is recorded and changes nothing.
    shop.report(&order, "payment.smiled_upon", json!({})).await;
    assert_eq!(shop.status(&order).await.text("/status"), "processing");
}
