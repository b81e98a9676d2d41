//! Every notification that Adyen publishes an example of, as it is and turned around.

use serde_json::{Value, json};

use super::*;

const KEY: &str = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";
const OTHER: &str = "DFB1EB5485895CFA84146406857104ABB4CBCABDC8AAF103A624C8F6A3EAAB00";
/// In every example.
const PSP: &str = "QFQTPCQ8HXSKGK82";
const PAYMENT: &str = "9913140798220028";
const ORDER: &str = "bd6fdb1c-5e78-55f9-aee6-ed210905f6db";
const REFUND: &str = "00000000-0000-4000-8000-00000000000a";

/// The only item of an example, with these members put over its own.
fn fixture(name: &str, over: Value) -> Value {
    let path = format!("{}/../tests/fixtures/adyen/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let request: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut item = request["notificationItems"][0]["NotificationRequestItem"].clone();
    for (field, value) in over.as_object().unwrap() {
        item[field] = value.clone();
    }
    item
}

fn request(items: &[Value]) -> String {
    let items: Vec<Value> = items.iter().map(|item| json!({"NotificationRequestItem": item})).collect();
    json!({"live": "false", "notificationItems": items}).to_string()
}

fn source(capture: AdyenCapture) -> Adyen {
    Adyen::new([KEY], capture).unwrap()
}

fn try_read(item: Value) -> Result<Item, Unreadable> {
    source(AdyenCapture::Reported).read("", request(&[item]).as_bytes()).map(|mut items| items.remove(0))
}

#[track_caller]
fn read(item: Value) -> Item {
    try_read(item).unwrap()
}

#[track_caller]
fn check(name: &str, over: Value, payment: &str, fact: Fact) {
    let item = read(fixture(name, over.clone()));
    assert_eq!(item.notification.fact, fact, "{name} {over}");
    assert_eq!(item.notification.payment_reference.as_deref(), Some(payment), "{name} {over}");
    let merchant = Some("YOUR_MERCHANT_REFERENCE".to_owned());
    assert_eq!(
        item.names,
        Names::References { payment: Some(payment.to_owned()), merchant },
        "{name} {over}"
    );
}

fn money(minor: i64, currency: &str) -> Money {
    Money::of(minor, currency.parse().unwrap()).unwrap()
}

fn eur() -> Money {
    money(1000, "EUR")
}

fn psp() -> String {
    PSP.to_owned()
}

fn captured(reference: &str) -> Fact {
    Fact::Captured { capture_id: None, reference: reference.to_owned(), amount: eur() }
}

fn capture_failed(reference: &str, reason: &str) -> Fact {
    let (reference, reason) = (reference.to_owned(), reason.to_owned());
    Fact::CaptureFailed { capture_id: None, reference, amount: eur(), reason }
}

fn settled() -> Fact {
    Fact::RefundSettled { refund_id: None, reference: psp(), amount: eur() }
}

fn refund_failed(reason: &str) -> Fact {
    Fact::RefundFailed { refund_id: None, reference: psp(), amount: eur(), reason: reason.to_owned() }
}

fn noted(kind: &str) -> Fact {
    Fact::Other { kind: kind.to_owned() }
}

#[test]
fn every_example_is_read() {
    let reason = "Transaction hasn't been captured, refund not possible";
    check("AUTHORISATION", json!({}), PSP, Fact::Authorized { amount: eur() });
    check("CAPTURE", json!({}), PAYMENT, captured(PSP));
    check("CAPTURE_FAILED", json!({}), PAYMENT, capture_failed(PSP, "Capture Failed"));
    check("CANCELLATION", json!({}), PAYMENT, Fact::Voided);
    check("REFUND", json!({}), PAYMENT, refund_failed(reason));
    check("REFUND_FAILED", json!({}), PAYMENT, refund_failed("Refund Failed"));
    let reason = "Payment.TxId=300000000524534724 dispute".to_owned();
    let opened = Fact::ChargebackOpened { reference: psp(), amount: eur(), reason };
    check("CHARGEBACK", json!({}), PAYMENT, opened);
}

#[test]
fn success_turns_a_report_around_whether_it_is_a_text_or_not() {
    for success in [json!("false"), json!(false)] {
        let no = |reason: &str| json!({"success": success, "reason": reason});
        check("AUTHORISATION", no("Refused"), PSP, Fact::Failed { reason: "Refused".to_owned() });
        check("AUTHORISATION", no(""), PSP, Fact::Failed { reason: "unknown".to_owned() });
        check("CAPTURE", no("too late"), PAYMENT, capture_failed(PSP, "too late"));
        check("CANCELLATION", no("too late"), PAYMENT, noted("CANCELLATION (success: false)"));
        check("CHARGEBACK", no(""), PAYMENT, noted("CHARGEBACK (success: false)"));
    }
    for success in [json!("true"), json!(true)] {
        check("REFUND", json!({"success": success}), PAYMENT, settled());
    }
    for success in [json!("yes"), json!("TRUE"), json!(1), Value::Null] {
        assert!(try_read(fixture("REFUND", json!({"success": success}))).is_err(), "{success}");
    }
}

#[test]
fn every_other_code_has_its_meaning() {
    let dispute = |code: &str| json!({"eventCode": code});
    let won = Fact::ChargebackWon { reference: psp(), amount: eur() };
    check("CHARGEBACK", dispute("CHARGEBACK_REVERSED"), PAYMENT, won);
    // The money is taken a second time, after it was won: another movement than the first.
    let lost = Fact::ChargebackLost { reference: format!("{PSP}/second"), amount: eur() };
    check("CHARGEBACK", dispute("SECOND_CHARGEBACK"), PAYMENT, lost);
    for code in [
        "NOTIFICATION_OF_FRAUD",
        "REQUEST_FOR_INFORMATION",
        "NOTIFICATION_OF_CHARGEBACK",
        "INFORMATION_SUPPLIED",
        "PREARBITRATION_OPEN",
        "PREARBITRATION_WON",
        "PREARBITRATION_LOST",
        "SCHEME_ARBITRATION_LOST",
    ] {
        check("CHARGEBACK", dispute(code), PAYMENT, noted(code));
    }
    let code = |code: &str| json!({"eventCode": code});
    check(
        "REFUND",
        json!({"eventCode": "REFUNDED_REVERSED", "success": "true", "reason": ""}),
        PAYMENT,
        refund_failed("unknown"),
    );
    check("CANCELLATION", code("TECHNICAL_CANCEL"), PAYMENT, Fact::Voided);
    check("CANCELLATION", code("EXPIRE"), PAYMENT, Fact::AuthorizationExpired);
    check("AUTHORISATION", code("OFFER_CLOSED"), PSP, Fact::AuthorizationExpired);
    for other in
        ["PENDING", "RECURRING_CONTRACT", "AUTHORISATION_ADJUSTMENT", "REFUND_WITH_DATA", "SOMETHING_NEW"]
    {
        check("CANCELLATION", code(other), PAYMENT, noted(other));
    }
    // A code without a meaning cannot be unreadable for what is in it.
    check(
        "CANCELLATION",
        json!({"eventCode": "SOMETHING_NEW", "amount": {"value": -1, "currency": "XXX"}}),
        PAYMENT,
        noted("SOMETHING_NEW"),
    );

    let either = |action: Option<&str>, success: bool| json!({"eventCode": "CANCEL_OR_REFUND", "success": success, "additionalData": {"modification.action": action}});
    check("CANCELLATION", either(Some("cancel"), true), PAYMENT, Fact::Voided);
    check("CANCELLATION", either(Some("refund"), true), PAYMENT, settled());
    check("CANCELLATION", either(Some("refund"), false), PAYMENT, refund_failed("unknown"));
    check("CANCELLATION", either(Some("cancel"), false), PAYMENT, noted("CANCEL_OR_REFUND (success: false)"));
    check("CANCELLATION", either(None, true), PAYMENT, noted("CANCEL_OR_REFUND"));
}

#[test]
fn an_account_that_captures_at_once_reports_the_capture_with_the_authorization() {
    let read = |name: &str, over: Value| {
        let body = request(&[fixture(name, over)]);
        source(AdyenCapture::Immediate).read("", body.as_bytes()).unwrap().remove(0).notification.fact
    };
    assert_eq!(read("AUTHORISATION", json!({})), captured(PSP));
    let refused = Fact::Failed { reason: "Refused".to_owned() };
    assert_eq!(read("AUTHORISATION", json!({"success": "false", "reason": "Refused"})), refused);
    assert_eq!(read("CAPTURE", json!({})), noted("CAPTURE"), "counted with the authorization");
    assert_eq!(read("CAPTURE_FAILED", json!({})), capture_failed(PAYMENT, "Capture Failed"));
    assert_eq!(read("REFUND", json!({"success": "true"})), settled());
}

#[test]
fn a_notification_is_known_by_its_code_reference_and_success() {
    assert_eq!(read(fixture("CAPTURE", json!({}))).event_id, "CAPTURE:QFQTPCQ8HXSKGK82:true");
    let id = |over: Value| read(fixture("AUTHORISATION", over)).event_id;
    assert_eq!(
        id(json!({})),
        id(json!({"success": true, "eventDate": "2026-11-20T10:00:00+01:00", "reason": "x"}))
    );
    assert_ne!(id(json!({})), id(json!({"success": "false"})));
}

#[test]
fn what_is_about_no_order_says_so() {
    let report = json!({
        "eventCode": "REPORT_AVAILABLE", "pspReference": "settlement_detail_report_batch_1.csv",
        "originalReference": "", "merchantReference": "", "amount": {"currency": "EUR", "value": 0},
        "reason": "https://ca-test.adyen.com/reports/download/settlement_detail_report_batch_1.csv",
    });
    assert_eq!(read(fixture("CAPTURE", report)).names, Names::NoOrder);
    let change = json!({"eventCode": "SOMETHING_NEW", "merchantReference": "", "originalReference": null});
    assert_eq!(read(fixture("CAPTURE", change)).names, Names::NoOrder);
}

#[test]
fn the_merchants_reference_may_be_ours_with_the_id_of_a_capture_or_refund() {
    let order: RecordId = ORDER.parse().unwrap();
    let tracking = TrackingNumber(order).to_string();
    let with = |name: &str, reference: String| {
        read(fixture(name, json!({"merchantReference": reference, "success": "true"})))
    };
    assert_eq!(with("AUTHORISATION", tracking.clone()).names, Names::Order(order));
    let payment = Some(PAYMENT.to_owned());
    let by_id = Names::References { payment, merchant: Some(ORDER.to_owned()) };
    assert_eq!(with("CAPTURE", ORDER.to_owned()).names, by_id);

    let refund = with("REFUND", format!("{ORDER}/{REFUND}"));
    let refund_id = Some(REFUND.parse().unwrap());
    assert_eq!(refund.notification.fact, Fact::RefundSettled { refund_id, reference: psp(), amount: eur() });
    assert_eq!(refund.names, by_id);
    let capture = with("CAPTURE", format!("{tracking}/{REFUND}"));
    let capture_id = Some(REFUND.parse().unwrap());
    assert_eq!(capture.notification.fact, Fact::Captured { capture_id, reference: psp(), amount: eur() });
    assert_eq!(capture.names, Names::Order(order));
    // A shop's own reference is left as it is.
    for reference in ["A-1/2", &format!("A-1/{REFUND}"), &format!("{ORDER}/x"), "/", "http://a"] {
        let item = with("CAPTURE", reference.to_owned());
        let payment = Some(PAYMENT.to_owned());
        assert_eq!(item.names, Names::References { payment, merchant: Some(reference.to_owned()) });
        assert_eq!(item.notification.fact, captured(PSP));
    }
}

#[test]
fn amounts_are_read_in_adyens_units() {
    let read = |currency: &str, value: Value| {
        let over = json!({"amount": {"currency": currency, "value": value}});
        try_read(fixture("CAPTURE", over)).map(|item| item.notification.fact.amount())
    };
    let table = [
        ("EUR", 1999, 1999),
        ("JPY", 500, 500),
        ("KWD", 1234, 1234),
        ("CLP", 500, 5),
        ("ISK", 500, 5),
        ("CVE", 5, 500),
        ("IDR", 5, 500),
        ("UGX", 500, 500),
        ("MGA", 500, 500),
    ];
    for (currency, value, minor) in table {
        assert_eq!(read(currency, json!(value)), Ok(Some(money(minor, currency))), "{currency}");
    }
    assert_eq!(read("EUR", json!(0)), Ok(None), "nothing has moved");
    for (currency, value) in [
        ("CLP", json!(501)),
        ("EUR", json!(-1)),
        ("EUR", json!(1.5)),
        ("EUR", json!("1000")),
        ("eur", json!(1)),
    ] {
        assert!(read(currency, value.clone()).is_err(), "{currency} {value}");
    }
    let zero = json!({"amount": {"currency": "EUR", "value": 0}});
    check("AUTHORISATION", zero, PSP, noted("AUTHORISATION"));
}

fn sign(key_hex: &str, item: &Value) -> String {
    use hmac::{Hmac, KeyInit, Mac};
    let item: RequestItem = serde_json::from_value(item.clone()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key(key_hex).unwrap()).unwrap();
    mac.update(item.signed().unwrap().as_bytes());
    data_encoding::BASE64.encode(&mac.finalize().into_bytes())
}

fn signed(mut item: Value) -> Value {
    item["additionalData"]["hmacSignature"] = sign(KEY, &item).into();
    item
}

fn verify(keys: &[&str], body: &str) -> Result<Verified, Refusal> {
    let source = Adyen::new(keys.iter().copied(), AdyenCapture::Reported).unwrap();
    source.verify(&HeaderMap::new(), body.as_bytes(), Timestamp::UNIX_EPOCH)
}

#[test]
fn the_signatures_of_adyens_own_libraries_are_accepted() {
    // From the tests of Adyen's library for PHP.
    let item = json!({
        "pspReference": "7914073381342284", "merchantAccountCode": "TestMerchant",
        "merchantReference": "TestPayment-1407325143704", "amount": {"value": 1130, "currency": "EUR"},
        "eventCode": "AUTHORISATION", "success": "true",
    });
    assert_eq!(sign(OTHER, &item), "Ny9gS2veKo5E4w8/OL6xz1/wvT/hYkAXy1xNc/QvO4I=");
    // Adyen.util.generate_notification_sig, version 16.0.0.
    let empty = json!({"pspReference": "", "amount": {"value": 1, "currency": "EUR"}, "eventCode": "", "success": true});
    assert_eq!(sign(&"44".repeat(32), &empty), "vAJ+Fc6MvPlBP8UZyIui/7G5eAl/khp5wgEd+RZU3o0=");
}

#[test]
fn every_item_must_be_signed_by_one_of_the_keys() {
    let good = [fixture("AUTHORISATION", json!({})), fixture("CHARGEBACK", json!({}))].map(signed);
    assert_eq!(verify(&[KEY], &request(&good)).unwrap().delivery_id.len(), 64);
    assert!(verify(&[OTHER, KEY], &request(&good)).is_ok());
    assert_eq!(verify(&[OTHER], &request(&good)), Err(Refusal::WrongSignature));
    let unsigned = fixture("CAPTURE", json!({}));
    for items in [vec![good[0].clone(), unsigned.clone()], vec![unsigned, good[0].clone()]] {
        assert_eq!(verify(&[KEY], &request(&items)), Err(Refusal::MissingSignature));
    }
    let mut other = good[0].clone();
    other["additionalData"]["hmacSignature"] = good[1]["additionalData"]["hmacSignature"].clone();
    assert_eq!(verify(&[KEY], &request(&[good[1].clone(), other])), Err(Refusal::WrongSignature));
    // Adyen's own examples carry signatures that were cut off.
    assert_eq!(verify(&[KEY], &request(&[fixture("CHARGEBACK", json!({}))])), Err(Refusal::WrongSignature));
}

#[test]
fn nothing_that_is_signed_can_be_altered() {
    let good = signed(fixture("CAPTURE", json!({})));
    let signature = good["additionalData"]["hmacSignature"].as_str().unwrap();
    for (field, value) in [
        ("pspReference", json!("QFQTPCQ8HXSKGK83")),
        ("originalReference", json!("9913140798220029")),
        ("merchantAccountCode", json!("MY_MERCHANT_ACCOUNT")),
        ("merchantReference", json!("YOUR_MERCHANT_REFERENCF")),
        ("amount", json!({"value": 1001, "currency": "EUR"})),
        ("amount", json!({"value": 1000, "currency": "USD"})),
        ("amount", Value::Null),
        ("eventCode", json!("REFUND")),
        ("success", json!("false")),
    ] {
        let mut altered = good.clone();
        altered[field] = value;
        assert_eq!(verify(&[KEY], &request(&[altered])), Err(Refusal::WrongSignature), "{field}");
    }
    for cut in 0..signature.len() {
        let mut altered = good.clone();
        altered["additionalData"]["hmacSignature"] = signature[..cut].into();
        assert_eq!(verify(&[KEY], &request(&[altered])), Err(Refusal::WrongSignature), "{cut}");
    }
    // What is not signed does not matter, whether it is altered or not.
    let mut unsigned = good.clone();
    unsigned["reason"] = "anything".into();
    unsigned["eventDate"] = "2026-11-20T10:00:00+01:00".into();
    assert!(verify(&[KEY], &request(&[unsigned])).is_ok());
}

/// The values are joined without escaping: "a:b" and "c" sign as "a" and "b:c" do.
#[test]
fn a_signature_cannot_be_moved_to_another_order_by_its_colons() {
    let item = |account: &str, reference: &str| {
        fixture("CAPTURE", json!({"merchantAccountCode": account, "merchantReference": reference}))
    };
    let genuine = signed(item("SHOP", "A:1"));
    assert!(verify(&[KEY], &request(std::slice::from_ref(&genuine))).is_ok());
    let mut moved = genuine;
    moved["merchantAccountCode"] = "SHOP:A".into();
    moved["merchantReference"] = "1".into();
    assert_eq!(verify(&[KEY], &request(&[moved])), Err(Refusal::MalformedBody));
}

#[test]
fn what_cannot_be_read_cannot_be_verified() {
    for body in
        ["", "{", "[]", "{}", r#"{"notificationItems":[]}"#, r#"{"notificationItems":[{}]}"#, "\u{fffd}"]
    {
        assert_eq!(verify(&[KEY], body), Err(Refusal::MalformedBody), "{body}");
        assert!(source(AdyenCapture::Reported).read("", body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn a_reference_that_cannot_be_one_is_unreadable() {
    for (field, value) in [
        ("pspReference", json!("")),
        ("pspReference", json!("x".repeat(256))),
        ("originalReference", json!("x".repeat(256))),
        ("merchantReference", json!("x".repeat(256))),
    ] {
        assert!(try_read(fixture("CAPTURE", json!({field: value}))).is_err(), "{field}");
    }
}

#[test]
fn several_items_are_several_events() {
    let items =
        [fixture("AUTHORISATION", json!({})), fixture("CAPTURE", json!({})), fixture("REFUND", json!({}))];
    let read = source(AdyenCapture::Reported).read("", request(&items).as_bytes()).unwrap();
    let ids: Vec<&str> = read.iter().map(|item| item.event_id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "AUTHORISATION:QFQTPCQ8HXSKGK82:true",
            "CAPTURE:QFQTPCQ8HXSKGK82:true",
            "REFUND:QFQTPCQ8HXSKGK82:false"
        ]
    );
}

#[test]
fn only_64_hex_digits_are_a_key() {
    for bad in ["", "44", "whsec_c2VjcmV0", &"zz".repeat(32), &"44".repeat(33)] {
        assert!(Adyen::new([bad], AdyenCapture::Reported).is_err(), "{bad}");
    }
}
