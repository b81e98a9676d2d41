//! Whatever is wrong with a request is said in one shape, with a stable code and the field at fault, and leaves
//! nothing in the log.

use daybook_tests::client::ACME;
use daybook_tests::{Reply, World};
use reqwest::Method;
use serde_json::{Value, json};

use super::caller::{Caller, checkout, with, without};

daybook_tests::in_each_world!(
    a_bad_checkout_is_refused_with_its_field_and_leaves_nothing_in_the_log,
    a_bad_request_is_refused_and_leaves_nothing_in_the_log,
);

/// The shape of every refusal.
#[track_caller]
fn refused(reply: &Reply, status: u16, code: &str, field: Option<&str>) {
    assert_eq!(reply.status, status, "{}", reply.body());
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let body = reply.json();
    let members = body.as_object().expect("an object");
    assert!(members.keys().all(|key| ["code", "message", "field"].contains(&key.as_str())), "{body}");
    assert_eq!(body["code"], code, "{body}");
    assert_eq!(body.get("field").and_then(Value::as_str), field, "{body}");
    assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
}

/// Every required field.
const REQUIRED: &[&str] = &[
    "/completed_redirect_url",
    "/canceled_redirect_url",
    "/order",
    "/order/merchant_order_id",
    "/order/currency",
    "/order/country_code",
    "/order/subtotal_amount",
    "/order/total_amount",
    "/order/discounts/0/amount",
    "/order/products",
    "/order/products/0/name",
    "/order/products/0/quantity",
    "/order/products/0/unit_price",
    "/order/customer",
    "/order/customer/first_name",
    "/order/customer/last_name",
    "/order/customer/email",
];

/// A pointer, the value that goes there, and the code.
fn bad_values() -> Vec<(&'static str, Value, &'static str)> {
    let long = |length: usize| Value::from("x".repeat(length));
    let product = json!({"id": "1", "name": "n", "quantity": 1, "unit_price": 1});
    let adjustments = Value::from(vec![json!({"amount": 0}); 21]);
    let card = json!("4242 4242 4242 4242");
    let pairs: Value = (0..51).map(|number| (format!("k{number}"), Value::from("v"))).collect();
    let mut cases = vec![
        ("/order/currency", json!("mxn"), "UNKNOWN_CURRENCY"),
        ("/order/currency", json!("XAU"), "UNKNOWN_CURRENCY"),
        ("/order/country_code", json!("mx"), "INVALID_FIELD"),
        ("/order/country_code", json!("ZZ"), "INVALID_FIELD"),
        ("/order/country_code", json!("MEX"), "INVALID_FIELD"),
        ("/order/total_amount", json!(0), "AMOUNT_ZERO"),
        ("/order/total_amount", json!(989), "AMOUNTS_DO_NOT_ADD_UP"),
        ("/order/total_amount", json!(990.01), "AMOUNTS_DO_NOT_ADD_UP"),
        ("/order/products", json!([]), "INVALID_FIELD"),
        ("/order/products", Value::from(vec![product; 201]), "INVALID_FIELD"),
        ("/order/products/0/quantity", json!(0), "INVALID_FIELD"),
        ("/order/products/0/quantity", json!(1.5), "INVALID_FIELD"),
        ("/order/products/0/quantity", json!(-1), "INVALID_FIELD"),
        ("/order/products/0/quantity", json!(1_000_000), "INVALID_FIELD"),
        ("/order/products/0/id", long(129), "INVALID_FIELD"),
        ("/order/merchant_order_id", long(129), "INVALID_FIELD"),
        ("/order/products/0/name", long(256), "INVALID_FIELD"),
        ("/order/customer/first_name", long(256), "INVALID_FIELD"),
        ("/order/customer/last_name", long(256), "INVALID_FIELD"),
        ("/order/customer/phone", long(129), "INVALID_FIELD"),
        ("/order/customer/merchant_customer_id", long(129), "INVALID_FIELD"),
        ("/order/customer/email", json!("[email protected]"), "INVALID_FIELD"),
        ("/order/customer/email", json!("john@"), "INVALID_FIELD"),
        ("/order/customer/email", json!("@example.com"), "INVALID_FIELD"),
        ("/order/customer/email", json!("a@b@c"), "INVALID_FIELD"),
        ("/order/customer/email", json!("j d@example.com"), "INVALID_FIELD"),
        ("/order/customer/email", json!(format!("{}@example.com", "x".repeat(250))), "INVALID_FIELD"),
        ("/order/taxes", adjustments.clone(), "INVALID_FIELD"),
        ("/order/discounts", adjustments, "INVALID_FIELD"),
        ("/order/metadata", pairs, "INVALID_FIELD"),
        ("/order/expires_at", json!("tomorrow"), "INVALID_FIELD"),
        ("/order/expires_at", json!(1), "INVALID_FIELD"),
        ("/order/expires_at", json!(99_999_999_999_999_i64), "INVALID_FIELD"),
        ("/order/expires_at", json!("9".repeat(30)), "INVALID_FIELD"),
        ("/locale", json!(""), "INVALID_FIELD"),
        ("/locale", json!("ES LATAM"), "INVALID_FIELD"),
        ("/locale", long(17), "INVALID_FIELD"),
        ("/allow_save_payment_methods", json!("no"), "INVALID_FIELD"),
        ("/extra", json!(1), "UNKNOWN_FIELD"),
        ("/order/extra", json!(1), "UNKNOWN_FIELD"),
        ("/order/products/0/extra", json!(1), "UNKNOWN_FIELD"),
        ("/order/customer/extra", json!(1), "UNKNOWN_FIELD"),
    ];
    for url in ["/completed_redirect_url", "/canceled_redirect_url"] {
        let too_long = format!("https://example.com/{}", "x".repeat(2_048));
        for bad in [
            "REPLACE_WITH_YOUR_URL",
            "ftp://example.com/",
            "javascript:alert(1)",
            "//example.com",
            "https://",
            "https://example.com/é",
            "https://example.com/a b",
            "https://example.com/\r\nx: y",
            &too_long,
        ] {
            cases.push((url, json!(bad), "INVALID_FIELD"));
        }
    }
    for amount in [
        "/order/subtotal_amount",
        "/order/total_amount",
        "/order/discounts/0/amount",
        "/order/products/0/unit_price",
    ] {
        cases.push((amount, json!(-1), "AMOUNT_NEGATIVE"));
        cases.push((amount, json!(0.001), "AMOUNT_FRACTIONAL"));
        cases.push((amount, json!("ten"), "AMOUNT_NOT_A_NUMBER"));
        cases.push((amount, json!(10_000_000_000_000_u64), "AMOUNT_TOO_LARGE"));
        for bad in [json!(null), json!([10]), json!(true), json!({})] {
            cases.push((amount, bad, "INVALID_FIELD"));
        }
    }
    for text in [
        "/order/merchant_order_id",
        "/order/products/0/id",
        "/order/products/0/name",
        "/order/customer/first_name",
        "/order/customer/last_name",
    ] {
        cases.push((text, json!(""), "INVALID_FIELD"));
        cases.push((text, json!("  "), "INVALID_FIELD"));
        cases.push((text, json!("a\u{0}b"), "INVALID_FIELD"));
        cases.push((text, json!(["a"]), "INVALID_FIELD"));
        cases.push((text, card.clone(), "CARD_NUMBER_REFUSED"));
    }
    cases
}

async fn a_bad_checkout_is_refused_with_its_field_and_leaves_nothing_in_the_log(world: World) {
    let shop = Caller::new(world.shop()).await;
    let path = |pointer: &str| pointer.trim_start_matches('/').replace("/0", "[0]").replace('/', ".");
    for pointer in REQUIRED {
        let reply = shop.post("/checkouts", &without(checkout(), pointer)).await;
        refused(&reply, 400, "MISSING_FIELD", Some(&path(pointer)));
    }
    for (pointer, value, code) in bad_values() {
        println!("{pointer} = {value}");
        let reply = shop.post("/checkouts", &with(checkout(), pointer, value)).await;
        refused(&reply, 400, code, Some(&path(pointer)));
        assert!(!reply.body().contains("4242"), "{}", reply.body());
    }
    // Where more than the field's own place says what is wrong.
    let address = |value: Value| with(checkout(), "/order/shipping_address", value);
    for (body, code, field) in [
        (address(json!({"line_1": "x".repeat(256)})), "INVALID_FIELD", "order.shipping_address.line_1"),
        (address(json!({"zip": "1"})), "UNKNOWN_FIELD", "order.shipping_address.zip"),
        (
            with(checkout(), "/order/shipping_details", json!({})),
            "MISSING_FIELD",
            "order.shipping_details.amount",
        ),
        (
            with(checkout(), "/order/shipping_details", json!({"amount": 1})),
            "AMOUNTS_DO_NOT_ADD_UP",
            "order.total_amount",
        ),
        (
            with(checkout(), "/order/taxes", json!([{"amount": 1}])),
            "AMOUNTS_DO_NOT_ADD_UP",
            "order.total_amount",
        ),
        (
            with(checkout(), "/order/taxes", json!([{"amount": -1}])),
            "AMOUNT_NEGATIVE",
            "order.taxes[0].amount",
        ),
        (with(checkout(), "/order/metadata", json!({"a": 1})), "INVALID_FIELD", "order.metadata.a"),
        (with(checkout(), "/order/metadata", json!({"": "a"})), "INVALID_FIELD", "order.metadata"),
        (
            with(checkout(), "/order/metadata", json!({"a": "x".repeat(513)})),
            "INVALID_FIELD",
            "order.metadata.a",
        ),
        (
            with(checkout(), "/order/metadata", json!({"a": "4242424242424242"})),
            "CARD_NUMBER_REFUSED",
            "order.metadata.a",
        ),
        (
            with(checkout(), "/order/products/0/product_id", json!("8")),
            "INVALID_FIELD",
            "order.products[0].id",
        ),
        (with(checkout(), "/order", json!(["A-1"])), "INVALID_FIELD", "order"),
        (with(checkout(), "/order/customer", json!(["John"])), "INVALID_FIELD", "order.customer"),
    ] {
        println!("{field}");
        let reply = shop.post("/checkouts", &body).await;
        refused(&reply, 400, code, Some(field));
    }
    assert_eq!(world.log().await.len(), 0);
}

async fn a_bad_request_is_refused_and_leaves_nothing_in_the_log(world: World) {
    let shop = Caller::new(world.shop()).await;
    let post = |path: &str| shop.request(Method::POST, path).header("content-type", "application/json");
    let good = checkout().to_string();
    for path in ["/checkouts", "/payments/pay_000000000000000000000000000000001/refund"] {
        refused(&Reply::to(post(path).body("{")).await, 400, "MALFORMED_JSON", None);
        refused(&Reply::to(post(path).body("")).await, 400, "MALFORMED_JSON", None);
        refused(&Reply::to(post(path).body(&b"\"\xff\""[..])).await, 400, "INVALID_UTF8", None);
        refused(&Reply::to(post(path).body(" ".repeat(70_000))).await, 413, "BODY_TOO_LARGE", None);
        let text = shop.request(Method::POST, path).header("content-type", "text/plain").body(good.clone());
        refused(&Reply::to(text).await, 415, "UNSUPPORTED_MEDIA_TYPE", None);
        refused(
            &Reply::to(shop.request(Method::POST, path).body(good.clone())).await,
            415,
            "UNSUPPORTED_MEDIA_TYPE",
            None,
        );
        for key in ["a b", "é", &"x".repeat(256)] {
            let request = post(path).header("idempotency-key", key.as_bytes()).body(good.clone());
            refused(&Reply::to(request).await, 400, "INVALID_IDEMPOTENCY_KEY", None);
        }
        let twice =
            post(path).header("idempotency-key", "a").header("idempotency-key", "b").body(good.clone());
        refused(&Reply::to(twice).await, 400, "INVALID_IDEMPOTENCY_KEY", None);
    }
    refused(&Reply::to(post("/checkouts").body("[]")).await, 400, "INVALID_FIELD", Some(""));
    refused(&shop.get("/checkouts").await, 405, "METHOD_NOT_ALLOWED", None);
    refused(&shop.get("/nothing").await, 404, "NOT_FOUND", None);
    refused(&shop.get("/oauth/tokens").await, 405, "METHOD_NOT_ALLOWED", None);
    for path in ["/orders/x", "/orders/%ff", "/orders/x/payments", "/payments/pay_"] {
        refused(&shop.get(path).await, 404, "NOT_FOUND", None);
    }
    for path in
        ["/orkestapay/nothing", "/orkestapay/return/acme/chk_1/completed/x", "/orkestapay/return/%ff/a/b/c"]
    {
        refused(&Reply::to(shop.client.anonymous(Method::GET, path)).await, 404, "NOT_FOUND", None);
    }
    // Without a token nothing is read at all.
    let anonymous = shop.client.anonymous(Method::POST, "/orkestapay/v1/checkouts").body("{");
    refused(&Reply::to(anonymous).await, 401, "UNAUTHENTICATED", None);
    let with_key = shop.client.anonymous(Method::POST, "/orkestapay/v1/checkouts").bearer_auth(ACME.key);
    refused(&Reply::to(with_key.body("{")).await, 401, "UNAUTHENTICATED", None);
    assert_eq!(world.log().await.len(), 0);
}
