//! The surface's words, as data: bodies in, the ledger's terms out; statuses out of orders.

use std::collections::BTreeMap;

use jiff::Timestamp;
use ledger::ids::RequestHash;
use ledger::order::{Attempt, End, Order, Status};
use serde_json::{Value, json};

use super::order::status_word;
use super::payment;
use super::refusal::Refusal;
use super::request::{CheckoutRequest, Submission};

fn checkout() -> Value {
    json!({
        "completed_redirect_url": "https://shop.example/ok?b=2&a=1",
        "canceled_redirect_url": "https://shop.example/no",
        "order": {
            "merchant_order_id": "A-1001", "currency": "MXN", "country_code": "MX",
            "subtotal_amount": 240, "taxes": [{"amount": 38.4}], "discounts": [{"amount": 10}, {"amount": 5.5}],
            "shipping_details": {"amount": 99}, "total_amount": 361.9,
            "products": [
                {"id": "7197", "name": "Taza", "quantity": 2, "unit_price": 120},
                {"name": "Regalo", "quantity": 1, "unit_price": 0}
            ],
            "customer": {
                "merchant_customer_id": 7, "first_name": "Ana", "last_name": "Ruiz", "email": "ana@example.com",
                "phone": "+52 222 123 4567"
            },
            "shipping_address": {"line_1": "Calle 1", "line_2": "", "city": "Puebla", "zip_code": "72000"},
            "metadata": {"cart": "9"}
        }
    })
}

fn submission(body: &Value) -> Result<Submission, Refusal> {
    let request: CheckoutRequest = serde_json::from_str(&body.to_string()).unwrap();
    Submission::try_from(request)
}

fn hash(body: &Value) -> String {
    let content = serde_json::to_vec(&submission(body).unwrap().content()).unwrap();
    RequestHash::of(&content).to_string()
}

#[test]
fn a_checkout_is_read_into_the_ledgers_terms() {
    let Submission { checkout, expires_at } = submission(&checkout()).unwrap();
    assert_eq!(expires_at, None);
    assert_eq!((checkout.amount.minor(), checkout.amount.currency().code()), (36_190, "MXN"));
    let items: Vec<_> = checkout
        .items
        .iter()
        .map(|i| (i.identifier.as_str(), i.quantity, i.unit_price.map(|p| p.minor())))
        .collect();
    assert_eq!(items, [("7197", 2, Some(12_000)), ("2", 1, None)], "without an id it is the line's number");
    let pairs = |map: &BTreeMap<String, String>| -> Vec<String> {
        map.iter().map(|(name, value)| format!("{name}={value}")).collect()
    };
    // What the surface keeps has nothing of the buyer in it.
    assert_eq!(
        pairs(&checkout.surface.data),
        [
            "allow_save_payment_methods=false",
            "canceled_redirect_url=https://shop.example/no",
            "completed_redirect_url=https://shop.example/ok?b=2&a=1",
            "country_code=MX",
            "discounts_minor=1000,550",
            "locale=ES_LATAM",
            "shipping_minor=9900",
            "subtotal_minor=24000",
            "taxes_minor=3840",
        ]
    );
    assert_eq!(checkout.customer.name.as_deref(), Some("Ana Ruiz"));
    assert_eq!(
        pairs(&checkout.customer.details),
        [
            "first_name=Ana",
            "last_name=Ruiz",
            "merchant_customer_id=7",
            "shipping_address.city=Puebla",
            "shipping_address.line_1=Calle 1",
            "shipping_address.zip_code=72000",
        ]
    );
}

#[test]
fn the_content_of_a_request_is_hashed_like_this_for_ever() {
    // Pinned: with another hash, no shop could repeat a request that it sent before an update.
    assert_eq!(hash(&checkout()), "1e9e43c8b44deb0108c347c6cd6f9ce43567e439a907918f759e03b73a644d10");
    let mut spelt = checkout();
    spelt["locale"] = json!("ES_LATAM");
    spelt["allow_save_payment_methods"] = json!(false);
    spelt["order"]["total_amount"] = json!("361.90");
    spelt["order"]["products"][0]["quantity"] = json!(2.0);
    spelt["order"]["products"][0]["url"] = json!("https://shop.example/taza");
    assert_eq!(hash(&spelt), hash(&checkout()), "defaults and spelling do not change what is asked for");
    let mut other = checkout();
    other["order"]["expires_at"] = json!(1_900_000_000_000_i64);
    assert_ne!(hash(&other), hash(&checkout()));
}

/// An order whose only attempt stands like this.
fn order(status: Status) -> Order {
    let attempt = Attempt {
        number: 1,
        payment_reference: None,
        payment_method: None,
        challenge: None,
        authorized_minor: 0,
        captures: Vec::new(),
        refunds: Vec::new(),
        disputes: Vec::new(),
        failure: None,
        voided: false,
        authorization_expired: false,
        status,
    };
    let mut checkout = submission(&checkout()).unwrap().checkout;
    checkout.expires_at = Timestamp::UNIX_EPOCH;
    Order { checkout, attempts: vec![attempt], cancellation_requested: false, end: None, forgotten: false }
}

#[test]
fn every_status_has_its_words_and_they_stand_in_the_guide() {
    let guide = include_str!("../../../../docs/src/guides/orkestapay.md");
    let words = Status::ALL.map(|status| {
        let order = order(status);
        (status.as_str(), status_word(&order), payment::status_word(&order, &order.attempts[0]))
    });
    let expect = [
        ("processing", "PROCESSING_PAYMENT", "CREATED"),
        ("action_required", "ACTION_REQUIRED", "PAYMENT_ACTION_REQUIRED"),
        ("authorized", "PROCESSING_PAYMENT", "AUTHORIZED"),
        ("partially_captured", "PROCESSING_PAYMENT", "AUTHORIZED"),
        ("captured", "COMPLETED", "COMPLETED"),
        ("partially_refunded", "PARTIALLY_REFUNDED", "COMPLETED"),
        ("refunded", "REFUNDED", "COMPLETED"),
        ("failed", "FAILED", "REJECTED"),
        ("canceled", "CANCELED", "FAILED"),
        ("expired", "EXPIRED", "FAILED"),
    ];
    assert_eq!(words, expect);
    for (status, order, payment) in expect {
        let is_row =
            |line: &&str| [status, order, payment].iter().all(|word| line.contains(&format!("`{word}`")));
        assert!(guide.lines().any(|line| line.starts_with('|') && is_row(&line)), "{status}");
    }
    let fresh = Order { attempts: Vec::new(), ..order(Status::Processing) };
    assert_eq!(status_word(&fresh), "CREATED", "nobody has tried to pay");
    let mut failed_later = order(Status::Failed);
    failed_later.attempts[0].authorized_minor = 1;
    assert_eq!(payment::status_word(&failed_later, &failed_later.attempts[0]), "FAILED");
    // A challenge that nobody needs to pass any more.
    let given_up = Order { end: Some(End::Canceled), ..order(Status::ActionRequired) };
    assert_eq!(
        (status_word(&given_up), payment::status_word(&given_up, &given_up.attempts[0])),
        ("CANCELED", "FAILED")
    );
}
