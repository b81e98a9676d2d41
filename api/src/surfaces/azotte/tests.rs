//! The surface's words, as data: bodies in, the ledger's terms or a refusal out.

mod story;

use ledger::order::{Card, Status};
use serde_json::{Value, json};

use super::reply::message_code;
use super::request::{CheckoutRequest, InvalidField, Submission};

/// A body with the long names.
fn long() -> Value {
    json!({
        "order": {
            "offerIdentifier": "offer-1",
            "correlationId": "A-1001",
            "installmentIdentifier": "3x",
            "resellerID": 7,
            "items": [{"itemIdentifier": "bundle", "quantity": 2}, {"itemIdentifier": "addon", "parentItemIdentifier": "bundle"}],
            "customer": {"customerUrn": "cu.00.482", "ipAddress": "203.0.113.7"}
        },
        "paymentMethod": {
            "paymentChannel": "CreditCard",
            "providerIdentifier": "psp-1",
            "creditCard": {"cardHolderName": "A. Buyer", "cardNumber": "4242 4242 4242 4242", "expireMonth": "12", "expireYear": "2029", "cvc": "123"},
            "storeMethodSuccessPayment": "true"
        }
    })
}

/// The same with every alias there is.
fn short() -> Value {
    json!({
        "ORD": {
            "OID": "offer-1",
            "CLD": "A-1001",
            "installmentIdentifier": "3x",
            "resellerID": 7,
            "ITM": [{"ITM": "bundle", "QTY": 2}, {"ITM": "addon", "PURN": "bundle"}],
            "CUST": {"customerUrn": "cu.00.482", "ipAddress": "203.0.113.7"}
        },
        "PMT": {
            "TP": "CreditCard",
            "PI": "psp-1",
            "CC": {"CHN": "A. Buyer", "CN": "4242424242424242", "expireMonth": "12", "expireYear": "2029", "cvc": "321"},
            "SM": true
        }
    })
}

fn submission(body: &Value) -> Result<Submission, InvalidField> {
    let request: CheckoutRequest = serde_json::from_value(body.clone()).unwrap();
    Submission::try_from(request)
}

/// `body` with the value at this JSON pointer replaced; a parent that is an object takes a new member.
fn with(mut body: Value, pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = body.pointer_mut(parent).unwrap();
    if let Value::Array(items) = parent {
        items[name.parse::<usize>().unwrap()] = value;
    } else {
        parent[name] = value;
    }
    body
}

#[test]
fn long_names_and_aliases_mean_the_same() {
    let submission_long = submission(&long()).unwrap();
    assert_eq!(submission(&short()).unwrap(), submission_long, "down to the request hash");
    let items: Vec<_> = submission_long
        .items
        .iter()
        .map(|i| (i.identifier.as_str(), i.quantity, i.parent_identifier.as_deref()))
        .collect();
    assert_eq!(items, [("bundle", 2, None), ("addon", 1, Some("bundle"))]);
    assert_eq!(submission_long.customer.ip.as_deref(), Some("203.0.113.7"));
    assert_eq!(submission_long.payment_method.token.as_deref(), Some("tok_success"));
    let card =
        Card { brand: "visa".to_owned(), last_four: "4242".to_owned(), holder: Some("A. Buyer".to_owned()) };
    assert_eq!(submission_long.payment_method.card, Some(card));
    let data: Vec<_> = submission_long.data.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(
        data,
        [
            ("correlationId", "A-1001"),
            ("customerUrn", "cu.00.482"),
            ("installmentIdentifier", "3x"),
            ("offerIdentifier", "offer-1"),
            ("providerIdentifier", "psp-1"),
            ("resellerID", "7"),
            ("storeMethodSuccessPayment", "true"),
        ]
    );
}

#[test]
fn the_request_hash_never_changes() {
    // Pinned: with another hash, no shop could repeat a request that it sent before an update.
    let hash = submission(&long()).unwrap().request_hash.to_string();
    assert_eq!(hash, "97821b73fde89e7c8c09ca34c4ebc076b882dd34dc40689c1dfc45aea1b8e69f");
    let other = with(long(), "/order/customer/customerUrn", json!("cu.00.483"));
    assert_ne!(submission(&other).unwrap().request_hash.to_string(), hash);
}

#[test]
fn nothing_of_the_card_is_left_but_what_may_be_shown() {
    let shown = format!("{:?}", submission(&long()).unwrap());
    assert!(!shown.contains("42424242") && !shown.contains("4242 4242"), "{shown}");
    assert!(!shown.contains("2029") && !shown.contains("\"123\""), "{shown}");
}

#[test]
fn a_field_is_taken_under_one_of_its_names_and_no_other_is_known() {
    let refused = [
        with(long(), "/ORD", json!({"offerIdentifier": "offer-1"})),
        with(long(), "/order/OID", json!("offer-1")),
        with(long(), "/paymentMethod/TP", json!("CreditCard")),
        with(long(), "/order/extra", json!(1)),
        with(long(), "/order/customer/name", json!("A. Buyer")),
        with(long(), "/order/items/0", json!({})),
        with(long(), "/order/items/0/quantity", json!(-1)),
        with(long(), "/order/items/0/quantity", json!(1.5)),
        with(long(), "/paymentMethod/paymentChannel", json!("Cash")),
        with(long(), "/paymentMethod/useStoredMethod", json!("yes")),
        with(long(), "/paymentMethod/creditCard/cardNumber", json!(4242424242424242_u64)),
        json!({"order": {"offerIdentifier": "offer-1"}}),
        json!({"paymentMethod": {"paymentChannel": "PayPal"}}),
    ];
    for body in refused {
        // From text, as a request comes: a repeated field is gone once it is a `Value`.
        let error = serde_json::from_str::<CheckoutRequest>(&body.to_string()).err();
        let error = error.unwrap_or_else(|| panic!("{body} was read")).to_string();
        assert!(!error.contains("4242424242424242"), "{error}");
    }
}

#[track_caller]
fn check(pointer: &str, value: Value, field: &str) {
    let error = submission(&with(long(), pointer, value.clone())).unwrap_err();
    assert_eq!(error.field, field, "{pointer} = {value}: {}", error.message);
    assert!(!error.message.contains("4242"), "{}", error.message);
}

#[test]
fn a_value_that_cannot_be_used_is_named() {
    let long_text = json!("x".repeat(129));
    check("/order/offerIdentifier", json!(""), "order.offerIdentifier");
    check("/order/offerIdentifier", long_text.clone(), "order.offerIdentifier");
    check("/order/correlationId", json!("a\u{0}b"), "order.correlationId");
    check("/order/correlationId", json!("4242424242424242"), "order.correlationId");
    check("/order/installmentIdentifier", long_text.clone(), "order.installmentIdentifier");
    check("/order/items/0/quantity", json!(0), "order.items[0].quantity");
    check("/order/items/0/quantity", json!(1_000_000), "order.items[0].quantity");
    check("/order/items/1/itemIdentifier", json!(""), "order.items[1].itemIdentifier");
    check("/order/items/1/parentItemIdentifier", json!(""), "order.items[1].parentItemIdentifier");
    check("/order/items", Value::Array(vec![json!({"ITM": "x"}); 201]), "order.items");
    check("/order/customer/customerUrn", json!("x".repeat(257)), "order.customer.customerUrn");
    check("/order/customer/ipAddress", json!("999.1.1.1"), "order.customer.ipAddress");
    check("/paymentMethod/providerIdentifier", long_text, "paymentMethod.providerIdentifier");
    check("/paymentMethod/paymentChannel", json!("PayPal"), "paymentMethod.creditCard");
    check("/paymentMethod/creditCard", Value::Null, "paymentMethod.creditCard");
    let card = |name: &str| format!("/paymentMethod/creditCard/{name}");
    let named = |name: &str| format!("paymentMethod.creditCard.{name}");
    for (name, value) in [
        ("cardHolderName", json!("4242 4242 4242 4242")),
        ("cardNumber", Value::Null),
        ("cardNumber", json!("4242424242424241")),
        ("cardNumber", json!("5555555555554444")),
        ("expireMonth", json!("13")),
        ("expireYear", json!("soon")),
        ("cvc", json!("12")),
    ] {
        check(&card(name), value, &named(name));
    }
    check("/paymentMethod/useStoredMethod", json!(true), "paymentMethod.creditCard.cardNumber");
}

#[test]
fn every_channel_has_its_word_in_the_ledger() {
    for (channel, kind) in [("PayPal", "paypal"), ("Klarna", "klarna"), ("SEPA", "sepa"), ("Bank", "bank")] {
        let body = with(long(), "/paymentMethod", json!({"paymentChannel": channel}));
        let method = submission(&body).unwrap().payment_method;
        assert_eq!((method.kind.as_str(), method.token, method.card), (kind, None, None));
    }
    let stored = json!({"TP": "CreditCard", "UM": true, "CC": {"CN": "tok_3ds"}});
    let method = submission(&with(long(), "/paymentMethod", stored)).unwrap().payment_method;
    assert_eq!((method.kind.as_str(), method.token.as_deref(), method.card), ("card", Some("tok_3ds"), None));
}

#[test]
fn every_status_has_its_message_code() {
    let codes = Status::ALL.map(|status| (status.as_str(), message_code(status)));
    let expect = [
        ("processing", "CHECK_OUT_PROCESSING"),
        ("action_required", "CHECK_OUT_3DS_REQUIRED"),
        ("authorized", "CHECK_OUT_PROCESSING"),
        ("partially_captured", "CHECK_OUT_DONE"),
        ("captured", "CHECK_OUT_DONE"),
        ("partially_refunded", "CHECK_OUT_DONE"),
        ("refunded", "CHECK_OUT_DONE"),
        ("failed", "CHECK_OUT_FAILED"),
        ("canceled", "CHECK_OUT_FAILED"),
        ("expired", "CHECK_OUT_FAILED"),
    ];
    assert_eq!(codes, expect);
}
