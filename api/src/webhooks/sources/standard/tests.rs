//! Signatures made by the scheme's own crate, and bodies as data.

use axum::http::{HeaderMap, HeaderName};
use hmac::{Hmac, KeyInit, Mac};
use ledger::quarantine::MatchKey;
use sha2::Sha256;

use super::*;

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const OTHER: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NOW: i64 = 1_790_000_000;
const BODY: &str = r#"{"type":"payment.voided","data":{"order_id":"bd6fdb1c-5e78-55f9-aee6-ed210905f6db"}}"#;

fn source(secrets: &[&str]) -> StandardWebhooks {
    StandardWebhooks::new(secrets.iter().copied()).unwrap()
}

fn signed(secret: &str, id: &str, at: i64, body: &str) -> String {
    standardwebhooks::Webhook::new(secret).unwrap().sign(id, at, body.as_bytes()).unwrap()
}

fn headers(id: &str, timestamp: &str, signature: &str) -> HeaderMap {
    let pairs = [(ID, id), (TIMESTAMP, timestamp), (SIGNATURE, signature)];
    let parsed = pairs.map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
    parsed.into_iter().collect()
}

#[track_caller]
fn check(secrets: &[&str], headers: &HeaderMap, body: &str, expect: Result<&str, Refusal>) {
    let now = Timestamp::from_second(NOW).unwrap();
    let id = source(secrets).verify(headers, body.as_bytes(), now).map(|verified| verified.delivery_id);
    assert_eq!(id, expect.map(str::to_owned));
}

#[test]
fn a_signature_of_the_schemes_own_library_is_accepted() {
    let headers = headers("msg_1", &NOW.to_string(), &signed(SECRET, "msg_1", NOW, BODY));
    check(&[SECRET], &headers, BODY, Ok("msg_1"));
}

#[test]
fn any_configured_secret_and_any_of_several_signatures_will_do() {
    let good = signed(SECRET, "msg_1", NOW, BODY);
    let bad = signed(OTHER, "msg_2", NOW, BODY);
    for signatures in [format!("{bad} {good}"), format!("{good} {bad}"), format!("v1a,xyz junk v1, {good}")] {
        let headers = headers("msg_1", &NOW.to_string(), &signatures);
        check(&[OTHER, SECRET], &headers, BODY, Ok("msg_1"));
        check(&[SECRET], &headers, BODY, Ok("msg_1"));
        check(&[OTHER], &headers, BODY, Err(Refusal::WrongSignature));
        check(&[], &headers, BODY, Err(Refusal::WrongSignature));
    }
}

#[test]
fn one_altered_byte_anywhere_is_refused() {
    let timestamp = NOW.to_string();
    let signature = signed(SECRET, "msg_1", NOW, BODY);
    for index in 0..BODY.len() {
        let mut altered = BODY.as_bytes().to_vec();
        altered[index] ^= 1;
        let headers = headers("msg_1", &timestamp, &signature);
        check(&[SECRET], &headers, std::str::from_utf8(&altered).unwrap(), Err(Refusal::WrongSignature));
    }
    check(&[SECRET], &headers("msg_2", &timestamp, &signature), BODY, Err(Refusal::WrongSignature));
    let later = (NOW + 1).to_string();
    check(&[SECRET], &headers("msg_1", &later, &signature), BODY, Err(Refusal::WrongSignature));
    for cut in 0..signature.len() {
        let headers = headers("msg_1", &timestamp, &signature[..cut]);
        check(&[SECRET], &headers, BODY, Err(Refusal::WrongSignature));
    }
}

#[test]
fn five_minutes_either_way_are_tolerated_and_no_more() {
    let at = |seconds: i64| headers("msg_1", &seconds.to_string(), &signed(SECRET, "msg_1", seconds, BODY));
    check(&[SECRET], &at(NOW - 300), BODY, Ok("msg_1"));
    check(&[SECRET], &at(NOW + 300), BODY, Ok("msg_1"));
    check(&[SECRET], &at(NOW - 301), BODY, Err(Refusal::TooOld));
    check(&[SECRET], &at(NOW + 301), BODY, Err(Refusal::FromTheFuture));
    check(&[SECRET], &at(i64::MAX), BODY, Err(Refusal::FromTheFuture));
}

#[test]
fn headers_that_are_missing_or_malformed_are_named() {
    let good = headers("msg_1", &NOW.to_string(), &signed(SECRET, "msg_1", NOW, BODY));
    for name in [ID, TIMESTAMP, SIGNATURE] {
        let mut without = good.clone();
        without.remove(name);
        check(&[SECRET], &without, BODY, Err(Refusal::MissingHeader(name)));
    }
    for timestamp in ["", "now", "1e9", "+1790000000", "-1", "99999999999999999999"] {
        let headers = headers("msg_1", timestamp, &signed(SECRET, "msg_1", NOW, BODY));
        check(&[SECRET], &headers, BODY, Err(Refusal::MalformedHeader(TIMESTAMP)));
    }
    let long = "x".repeat(256);
    for id in ["", &long] {
        let headers = headers(id, &NOW.to_string(), &signed(SECRET, id, NOW, BODY));
        check(&[SECRET], &headers, BODY, Err(Refusal::MalformedHeader(ID)));
    }
}

#[test]
fn a_body_that_is_not_utf8_can_be_verified_and_not_read() {
    let body = b"\xff\xfe";
    let mut mac = Hmac::<Sha256>::new_from_slice(&key(SECRET).unwrap()).unwrap();
    mac.update(format!("msg_1.{NOW}.").as_bytes());
    mac.update(body);
    let signature = format!("v1,{}", data_encoding::BASE64.encode(&mac.finalize().into_bytes()));
    let headers = headers("msg_1", &NOW.to_string(), &signature);
    let now = Timestamp::from_second(NOW).unwrap();
    let source = source(&[SECRET]);
    assert!(source.verify(&headers, body, now).is_ok());
    assert_eq!(source.read("msg_1", body), Err(Unreadable("the body is not UTF-8".to_owned())));
}

#[test]
fn only_whsec_and_base64_is_a_secret() {
    for bad in ["", "whsec_", "C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "whsec_not base64"] {
        assert!(StandardWebhooks::new([bad]).is_err(), "{bad:?}");
    }
}

const ORDER: &str = "bd6fdb1c-5e78-55f9-aee6-ed210905f6db";
const ID_A: &str = "00000000-0000-4000-8000-00000000000a";

/// The fact that a webhook of this kind with this data reports.
#[track_caller]
fn read(kind: &str, data: &str) -> Result<Item, Unreadable> {
    let body = format!(r#"{{"type":"{kind}","timestamp":"ignored","data":{{"order_id":"{ORDER}"{data}}}}}"#);
    source(&[]).read("evt_1", body.as_bytes()).map(|mut items| items.remove(0))
}

fn eur(minor: i64) -> Money {
    Money::of(minor, "EUR".parse().unwrap()).unwrap()
}

#[test]
fn every_kind_is_read_with_its_fields() {
    let amount = r#","amount":{"value":1999,"currency":"EUR"}"#;
    let full = format!(
        r#"{amount},"reference":"ref_1","capture_id":"{ID_A}","refund_id":"{ID_A}","reason":"why","extra":{{}}"#
    );
    let capture_id = Some(ID_A.parse().unwrap());
    let refund_id = Some(ID_A.parse().unwrap());
    let (reference, reason, amount_read) = ("ref_1".to_owned(), "why".to_owned(), eur(1999));
    let table = [
        ("payment.authorized", Fact::Authorized { amount: amount_read }),
        ("payment.failed", Fact::Failed { reason: reason.clone() }),
        (
            "payment.captured",
            Fact::Captured { capture_id, reference: reference.clone(), amount: amount_read },
        ),
        (
            "payment.capture_failed",
            Fact::CaptureFailed {
                capture_id,
                reference: reference.clone(),
                amount: amount_read,
                reason: reason.clone(),
            },
        ),
        ("payment.voided", Fact::Voided),
        ("payment.authorization_expired", Fact::AuthorizationExpired),
        (
            "refund.settled",
            Fact::RefundSettled { refund_id, reference: reference.clone(), amount: amount_read },
        ),
        (
            "refund.failed",
            Fact::RefundFailed {
                refund_id,
                reference: reference.clone(),
                amount: amount_read,
                reason: reason.clone(),
            },
        ),
        (
            "chargeback.opened",
            Fact::ChargebackOpened { reference: reference.clone(), amount: amount_read, reason },
        ),
        ("chargeback.won", Fact::ChargebackWon { reference: reference.clone(), amount: amount_read }),
        ("chargeback.lost", Fact::ChargebackLost { reference, amount: amount_read }),
        ("payout.created", Fact::Other { kind: "payout.created".to_owned() }),
    ];
    for (kind, fact) in table {
        assert_eq!(read(kind, &full).map(|item| item.notification.fact), Ok(fact), "{kind}");
    }
    let challenge = read("payment.action_required", r#","challenge":{"url":"https://bank.example/3ds"}"#);
    let expect = Challenge { url: Some("https://bank.example/3ds".to_owned()), html: None, id: None };
    assert_eq!(challenge.map(|item| item.notification.fact), Ok(Fact::ActionRequired { challenge: expect }));
}

#[test]
fn the_event_id_stands_in_for_a_reference() {
    let item = read("payment.captured", r#","amount":{"value":1,"currency":"EUR"}"#).unwrap();
    let expect = Fact::Captured { capture_id: None, reference: "evt_1".to_owned(), amount: eur(1) };
    assert_eq!((item.event_id.as_str(), item.notification.fact), ("evt_1", expect));
}

#[test]
fn what_cannot_be_meant_is_unreadable() {
    let amounts = [
        ("", "data.amount: missing"),
        (r#","amount":{"currency":"EUR"}"#, "data.amount: missing field `value`"),
        (r#","amount":{"value":1}"#, "data.amount: missing field `currency`"),
        (r#","amount":{"value":-1,"currency":"EUR"}"#, "data.amount: negative"),
        (r#","amount":{"value":0,"currency":"EUR"}"#, "data.amount: zero"),
        (r#","amount":{"value":19.99,"currency":"EUR"}"#, "data.amount: finer than the minor unit of EUR"),
        (r#","amount":{"value":1e3,"currency":"EUR"}"#, "data.amount: not a decimal number"),
        (r#","amount":{"value":"1999","currency":"EUR"}"#, "data.amount: not a decimal number"),
        (
            r#","amount":{"value":99999999999999999999,"currency":"EUR"}"#,
            "data.amount: more than 999999999999999 minor units",
        ),
        (
            r#","amount":{"value":1,"currency":"EUR","exponent":3}"#,
            "data.amount: EUR has 2 decimal digits, not 3",
        ),
        (
            r#","amount":{"value":1,"currency":"XXX"}"#,
            r#"data.amount: "XXX" is not an ISO 4217 currency with a minor unit"#,
        ),
    ];
    for (data, expect) in amounts {
        let Err(Unreadable(reason)) = read("payment.captured", data) else { panic!("{data} was read") };
        assert!(reason.starts_with(expect), "{data}: {reason}");
    }
    for data in [
        r#","capture_id":"1""#,
        r#","reference":"""#,
        r#","reference":7"#,
        r#","attempt":-1"#,
        r#","attempt":"1""#,
        r#","payment_reference":"""#,
    ] {
        let data = format!(r#","amount":{{"value":1,"currency":"EUR"}}{data}"#);
        assert!(read("payment.captured", &data).is_err(), "{data}");
    }
    assert!(read("payment.action_required", "").is_err());
    for body in [
        "",
        "{",
        "[]",
        "{}",
        r#"{"type":"x"}"#,
        r#"{"type":"payment.voided","data":{}}"#,
        r#"{"type":1,"data":{}}"#,
    ] {
        assert!(source(&[]).read("evt_1", body.as_bytes()).is_err(), "{body}");
    }
    assert!(read("payment.voided", r#","order_id":"again""#).is_err(), "one field twice");
}

#[test]
fn a_field_that_the_kind_does_not_have_cannot_make_it_unreadable() {
    assert!(read("payment.failed", r#","amount":"lots","capture_id":{}"#).is_ok());
    assert!(read("something.new", r#","amount":[],"reason":7"#).is_ok());
}

#[test]
fn an_order_is_named_by_its_id_and_only_else_by_references() {
    let names = |data: &str| {
        let body = format!(r#"{{"type":"x","data":{{{data}}}}}"#);
        source(&[]).read("evt_1", body.as_bytes()).map(|mut items| items.remove(0).names)
    };
    let order: RecordId = ORDER.parse().unwrap();
    let tracking = TrackingNumber(order);
    let references = r#""payment_reference":"pay_1","merchant_reference":"A-1""#;
    assert_eq!(names(&format!(r#""order_id":"{ORDER}",{references}"#)), Ok(Names::Order(order)));
    assert_eq!(names(&format!(r#""tracking_number":"{tracking}",{references}"#)), Ok(Names::Order(order)));
    let (payment, merchant) = (Some("pay_1".to_owned()), Some("A-1".to_owned()));
    assert_eq!(names(references), Ok(Names::References { payment, merchant }));
    assert!(names(r#""order_id":"A-1""#).is_err());
    assert!(names(r#""tracking_number":"trk_1""#).is_err());
    // What the shop told the PSP to call the order may be Daybook's own number.
    assert_eq!(names(&format!(r#""merchant_reference":"{tracking}""#)), Ok(Names::Order(order)));
    let merchant = Some(ORDER.to_owned());
    let names = names(&format!(r#""merchant_reference":"{ORDER}""#)).unwrap();
    assert_eq!(names, Names::References { payment: None, merchant });
    let keys = [MatchKey::Order(order), MatchKey::MerchantReference(ORDER.to_owned())];
    assert_eq!(names.match_keys(), keys, "it may be ours, or a UUID of the shop's");
}

#[test]
fn a_kind_without_a_meaning_may_be_about_no_order() {
    let items = source(&[]).read("evt_1", br#"{"type":"payout.created","data":{}}"#).unwrap();
    assert_eq!(items[0].names, Names::NoOrder);
    assert_eq!(items[0].names.match_keys(), []);
}
