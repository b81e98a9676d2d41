//! The surface's words, as data: inputs in, the ledger's terms or a refusal out; and the schema as it is published.

mod server;

use async_graphql::resolver_utils::EnumType;
use ledger::ids::RequestHash;
use ledger::money::Currency;
use ledger::order::{CaptureMode, Checkout};
use serde_json::{Value, json};

use super::refusal::{ErrorType, Refusal};
use super::request::PurchaseOrderInput;
use super::schema::SCHEMA;
use super::words::Country;

const RETURN_URL: &str = "https://pay.example/kronor/sca/return/x";

/// A purchase that follows every rule: three lamps with 25 % tax and a discount, and a free gift.
fn purchase() -> Value {
    json!({
        "idempotencyKey": "A-1001_a.b,c[d]+e",
        "merchantReference": "order/1001",
        "billingAddress": {
            "firstName": "Ada", "lastName": "Byron", "email": "ada@shop.example", "phoneNumber": "+46 70-123 45 67",
            "streetAddress": "Storgatan 1", "postalCode": "111 22", "city": "Stockholm", "country": "SE",
            "careOf": "Lovelace", "title": "Countess",
        },
        "shippingAddress": {
            "firstName": "Grace", "lastName": "Hopper", "email": "grace@shop.example", "phoneNumber": "070 1234567",
            "streetAddress": "Nygatan 2", "postalCode": "333 44", "city": "Lund", "country": "SE", "region": "Skåne",
        },
        "nationalIdentificationNumber": "181512101234",
        "purchaseCountry": "SE",
        "purchaseLanguage": "SV",
        "purchaseLines": [
            {"name": "Lamp", "pricePerItem": 10000, "quantity": 3, "taxRate": 2500, "totalAmount": 29000,
             "totalTaxAmount": 5800, "totalDiscountAmount": 1000, "reference": "lamp-3",
             "itemUrl": "https://shop.example/lamp", "imageUrl": "https://shop.example/lamp.png"},
            {"name": "Gift", "pricePerItem": 0, "quantity": 1, "taxRate": 0, "totalAmount": 0, "totalTaxAmount": 0},
        ],
        "purchaseTotalAmount": 29000,
        "purchaseTaxAmount": 5800,
    })
}

/// `purchase()` with the value at this JSON pointer replaced.
fn with(pointer: &str, value: Value) -> Value {
    let mut body = purchase();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    body.pointer_mut(parent).unwrap()[name] = value;
    body
}

fn read(body: &Value) -> PurchaseOrderInput {
    let value = async_graphql::Value::from_json(body.clone()).unwrap();
    let read = async_graphql::InputType::parse(Some(value));
    read.map_err(|error| error.into_server_error(Default::default()).message).unwrap()
}

fn checkout(body: &Value) -> Result<Checkout, Refusal> {
    read(body).checkout("2026-11-22T10:00:00Z".parse().unwrap(), RETURN_URL)
}

#[test]
fn a_purchase_becomes_a_checkout_in_the_ledgers_terms() {
    let checkout = checkout(&purchase()).unwrap();
    assert_eq!(checkout.amount.to_string(), "290.00 SEK");
    assert_eq!(checkout.merchant_reference, "order/1001");
    assert_eq!(checkout.capture, CaptureMode::Manual);
    let method = checkout.payment_method.unwrap();
    assert_eq!((method.kind.as_str(), method.token, method.card), ("invoice", None, None));
    let urls = checkout.return_urls;
    assert_eq!(
        [urls.success, urls.failure, urls.cancel],
        [const { Some(RETURN_URL) }; 3].map(|u| u.map(str::to_owned))
    );
    let items: Vec<_> = checkout
        .items
        .iter()
        .map(|i| (i.identifier.as_str(), i.name.as_deref(), i.quantity, i.unit_price.map(|p| p.minor())))
        .collect();
    assert_eq!(items, [("lamp-3", Some("Lamp"), 3, Some(10_000)), ("2", Some("Gift"), 1, None)]);
    assert_eq!(checkout.customer.name.as_deref(), Some("Ada Byron"));
    assert_eq!(checkout.customer.email.as_deref(), Some("ada@shop.example"));
    assert_eq!(checkout.customer.phone.as_deref(), Some("+46 70-123 45 67"));
    let details = checkout.customer.details;
    assert_eq!(details["nationalIdentificationNumber"], "181512101234");
    assert_eq!(details["billingAddress.careOf"], "Lovelace");
    assert_eq!(details["shippingAddress.region"], "Skåne");
    assert_eq!(details["shippingAddress.country"], "SE");
    let data = checkout.surface.data;
    insta::assert_json_snapshot!("kronor_surface_data", data);
    let text = format!("{data:?}");
    for personal in ["Ada", "Byron", "Grace", "shop.example>", "1234567", "Storgatan", "1815", "Lund"] {
        assert!(!text.contains(personal), "{personal} is personal");
    }
}

#[test]
fn the_request_hash_never_changes() {
    // Pinned: with another hash, no merchant could repeat an operation that was sent before an update.
    let hash = |body: &Value| RequestHash::of(&serde_json::to_vec(&read(body)).unwrap()).to_string();
    assert_eq!(hash(&purchase()), "4fa7f4f18a4b384e8aeb15495fe1d3344da95942408ba11426fb86e96deb04e9");
    let other = hash(&with("/billingAddress/city", json!("Lund")));
    assert_ne!(hash(&purchase()), other);
    // What is left out and what is null are the same.
    assert_eq!(hash(&with("/billingAddress/region", Value::Null)), hash(&purchase()));
}

#[track_caller]
fn check(pointer: &str, value: Value, field: &str) {
    let refusal = checkout(&with(pointer, value.clone())).unwrap_err();
    assert_eq!(refusal.kind.as_str(), "INVALID_INPUT", "{refusal:?}");
    assert_eq!(
        refusal.field.as_deref(),
        Some(format!("purchase.{field}").as_str()),
        "{pointer} = {value}: {refusal:?}"
    );
    assert!(!refusal.message.contains("4242"), "{refusal:?}");
}

#[test]
fn each_rule_that_is_broken_names_its_field() {
    let long = |length: usize| json!("x".repeat(length));
    let card = || json!("4242 4242 4242 4242");
    for bad in [json!(""), long(65), json!("a b"), json!("ä"), json!("a/b"), json!("4242424242424242")] {
        check("/idempotencyKey", bad, "idempotencyKey");
    }
    for bad in [json!(""), json!(" "), long(65), json!("a\u{0}b"), card()] {
        check("/merchantReference", bad, "merchantReference");
    }
    for bad in [json!(""), long(65), card()] {
        check("/nationalIdentificationNumber", bad, "nationalIdentificationNumber");
    }
    for address in ["billingAddress", "shippingAddress"] {
        for field in [
            "careOf",
            "city",
            "email",
            "firstName",
            "lastName",
            "phoneNumber",
            "postalCode",
            "region",
            "streetAddress",
            "streetAddress2",
            "streetName",
            "streetNumber",
            "title",
        ] {
            for bad in [json!(""), long(257), card()] {
                check(&format!("/{address}/{field}"), bad, &format!("{address}.{field}"));
            }
        }
        for bad in ["ada", "@shop.example", "ada@", "a@b@c", "a da@shop.example"] {
            check(&format!("/{address}/email"), json!(bad), &format!("{address}.email"));
        }
        for bad in ["+", "+46 70 CALL ME", "1234567890123456", "4222222222222", "+46;1"] {
            check(&format!("/{address}/phoneNumber"), json!(bad), &format!("{address}.phoneNumber"));
        }
    }
    check("/purchaseLines", json!([]), "purchaseLines");
    let lines = vec![purchase()["purchaseLines"][1].clone(); 201];
    check("/purchaseLines", Value::Array(lines), "purchaseLines");
    for (field, bad) in [
        ("name", json!("")),
        ("name", long(101)),
        ("name", card()),
        ("quantity", json!(0)),
        ("quantity", json!(-3)),
        ("quantity", json!(1_000_000)),
        ("taxRate", json!(-1)),
        ("taxRate", json!(10_001)),
        ("pricePerItem", json!(-10_000)),
        ("totalDiscountAmount", json!(-1)),
        ("totalAmount", json!(-1)),
        ("totalAmount", json!(29_001)),
        ("totalTaxAmount", json!(-1)),
        ("totalTaxAmount", json!(5_802)),
        ("totalTaxAmount", json!(5_798)),
        ("reference", long(257)),
        ("itemUrl", json!("shop.example")),
        ("itemUrl", json!("javascript:alert(1)")),
        ("imageUrl", json!(format!("https://a/{}", "x".repeat(2048)))),
    ] {
        check(&format!("/purchaseLines/0/{field}"), bad, &format!("purchaseLines[0].{field}"));
    }
    check("/purchaseTotalAmount", json!(28_999), "purchaseTotalAmount");
    check("/purchaseTaxAmount", json!(5_801), "purchaseTaxAmount");
    let mut nothing = with("/purchaseLines", json!([purchase()["purchaseLines"][1]]));
    nothing["purchaseTotalAmount"] = json!(0);
    nothing["purchaseTaxAmount"] = json!(0);
    let refusal = checkout(&nothing).unwrap_err();
    assert_eq!(refusal.field.as_deref(), Some("purchase.purchaseTotalAmount"), "nothing to pay: {refusal:?}");
}

#[test]
fn tax_may_be_rounded_either_way() {
    // 10.00 with 12 % tax contain 107.142… of tax.
    for (tax, is_taken) in [(106, false), (107, true), (108, true), (109, false)] {
        let mut body = with(
            "/purchaseLines",
            json!([{"name": "Book", "pricePerItem": 1000, "quantity": 1,
            "taxRate": 1200, "totalAmount": 1000, "totalTaxAmount": tax}]),
        );
        body["purchaseTotalAmount"] = json!(1000);
        body["purchaseTaxAmount"] = json!(tax);
        assert_eq!(checkout(&body).is_ok(), is_taken, "{tax}");
    }
}

#[test]
fn a_foreign_phone_number_is_not_taken_for_a_card() {
    // A German mobile number with its prefix; as bare digits it passes the check of card numbers.
    assert!(checkout(&with("/billingAddress/phoneNumber", json!("+4222222222222"))).is_ok());
    assert!(checkout(&with("/billingAddress/phoneNumber", json!("004915112345678"))).is_ok());
}

#[test]
fn the_largest_amounts_add_up_without_overflow() {
    let line = json!({"name": "Ship", "pricePerItem": i32::MAX, "quantity": 999_999, "taxRate": 0,
        "totalAmount": i32::MAX, "totalTaxAmount": 0, "totalDiscountAmount": i32::MAX});
    let refusal = checkout(&with("/purchaseLines", Value::Array(vec![line; 200]))).unwrap_err();
    assert_eq!(refusal.field.as_deref(), Some("purchase.purchaseLines[0].totalAmount"), "{refusal:?}");
}

#[test]
fn the_guide_has_every_error_type_and_every_currency() {
    let guide = include_str!("../../../../docs/src/guides/kronor.md");
    let has = |word: &str| guide.lines().any(|line| line.starts_with("| ") && line.contains(word));
    for kind in ErrorType::ALL {
        assert!(has(&format!("`{}`", kind.as_str())), "{kind:?}");
    }
    for country in Country::items() {
        let row = guide
            .lines()
            .find(|line| line.starts_with("| `") && line.contains(&format!("`{}`", country.name)));
        assert!(row.is_some_and(|row| row.contains(country.value.currency())), "{}", country.name);
        assert!(country.value.currency().parse::<Currency>().is_ok());
    }
}

#[test]
fn the_schema_is_the_published_one() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/surfaces/kronor/schema.graphql");
    let sdl = SCHEMA.sdl();
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(file, &sdl).unwrap();
    }
    let published = std::fs::read_to_string(file).unwrap_or_default();
    assert_eq!(sdl, published, "set UPDATE_SCHEMA=1 to write {file} anew");
}
