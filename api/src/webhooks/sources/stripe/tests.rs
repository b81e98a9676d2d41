//! Every object that Stripe publishes an example of, in every event that carries it.

use axum::http::HeaderMap;
use hmac::{Hmac, KeyInit, Mac};
use ledger::ids::{RecordId, TrackingNumber};
use serde_json::json;

use super::*;

const SECRET: &str = "whsec_wRNftLajMZNeslQOP6vEPm4iVx5NlZ6z";
const OTHER: &str = "whsec_another";
const NOW: i64 = 1_790_000_000;
const INTENT: &str = "pi_1PgafyB7WZ01zgkWSjxsAJo3";
const CHARGE: &str = "ch_1PgafuB7WZ01zgkWXYmPNZs8";
const REFUND: &str = "re_1Pgc72B7WZ01zgkWqPvrRrPE";
const ORDER: &str = "bd6fdb1c-5e78-55f9-aee6-ed210905f6db";

fn fixture(name: &str) -> Value {
    let path = format!("{}/../tests/fixtures/stripe/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn dispute() -> Value {
    json!({
        "id": "du_1", "object": "dispute", "amount": 100, "currency": "usd", "charge": CHARGE,
        "payment_intent": null, "reason": "fraudulent", "status": "needs_response", "metadata": {},
    })
}

/// The fixture with these members put over its own.
fn with(object: &Value, over: Value) -> Value {
    let mut object = object.clone();
    for (name, value) in over.as_object().unwrap() {
        object[name] = value.clone();
    }
    object
}

fn event(kind: &str, object: &Value) -> String {
    let mut event = fixture("event");
    event["type"] = kind.into();
    event["data"]["object"] = object.clone();
    event.to_string()
}

fn source() -> Stripe {
    Stripe::new([SECRET]).unwrap()
}

#[track_caller]
fn read(kind: &str, object: &Value) -> Item {
    try_read(kind, object).unwrap_or_else(|e| panic!("{kind}: {e}"))
}

fn try_read(kind: &str, object: &Value) -> Result<Item, Unreadable> {
    source().read("", event(kind, object).as_bytes()).map(|mut items| items.remove(0))
}

#[track_caller]
fn check(kind: &str, object: &Value, payment: &str, fact: Fact) {
    let item = read(kind, object);
    assert_eq!(item.notification.fact, fact, "{kind}");
    assert_eq!(item.notification.payment_reference.as_deref(), Some(payment), "{kind}");
    assert_eq!(item.event_id, "evt_1Pgc76B7WZ01zgkWwyRHS12y");
}

fn money(minor: i64, currency: &str) -> Money {
    Money::of(minor, currency.parse().unwrap()).unwrap()
}

fn usd(minor: i64) -> Money {
    money(minor, "USD")
}

fn noted(kind: &str) -> Fact {
    Fact::Other { kind: kind.to_owned() }
}

fn captured(reference: &str, amount: Money) -> Fact {
    Fact::Captured { capture_id: None, reference: reference.to_owned(), amount }
}

fn failed(reason: &str) -> Fact {
    Fact::Failed { reason: reason.to_owned() }
}

#[test]
fn a_payment_intent_tells_of_its_payment() {
    let intent = fixture("payment_intent");
    let action = json!({"next_action": {"type": "redirect_to_url", "redirect_to_url": {"url": "https://bank.example"}}});
    let url = Some("https://bank.example".to_owned());
    let challenge = Challenge { url, ..Challenge::default() };
    check(
        "payment_intent.requires_action",
        &with(&intent, action),
        INTENT,
        Fact::ActionRequired { challenge },
    );
    let in_page = Fact::ActionRequired { challenge: Challenge::default() };
    check("payment_intent.requires_action", &intent, INTENT, in_page);

    let authorized = with(&intent, json!({"amount_capturable": 1099}));
    check(
        "payment_intent.amount_capturable_updated",
        &authorized,
        INTENT,
        Fact::Authorized { amount: usd(1099) },
    );
    let nothing = "payment_intent.amount_capturable_updated";
    check(nothing, &intent, INTENT, noted(nothing));

    let paid = with(&intent, json!({"amount_received": 1099}));
    check("payment_intent.succeeded", &paid, INTENT, captured(INTENT, usd(1099)));
    let by_charge = with(&paid, json!({"latest_charge": CHARGE}));
    check("payment_intent.succeeded", &by_charge, INTENT, captured(CHARGE, usd(1099)));
    let put_in = with(&paid, json!({"latest_charge": {"id": CHARGE, "object": "charge"}}));
    check("payment_intent.succeeded", &put_in, INTENT, captured(CHARGE, usd(1099)));

    check("payment_intent.canceled", &intent, INTENT, Fact::Voided);
    for (reason, fact) in [
        ("requested_by_customer", Fact::Voided),
        ("abandoned", Fact::Voided),
        ("automatic", Fact::AuthorizationExpired),
        ("expired", Fact::AuthorizationExpired),
    ] {
        let canceled = with(&intent, json!({"cancellation_reason": reason}));
        check("payment_intent.canceled", &canceled, INTENT, fact);
    }
    for kind in ["payment_intent.created", "payment_intent.processing", "payment_intent.partially_funded"] {
        check(kind, &intent, INTENT, noted(kind));
    }
}

#[test]
fn a_failure_is_the_trys_and_not_the_payments() {
    let intent = fixture("payment_intent");
    let error = |error: Value| with(&intent, json!({"last_payment_error": error}));
    let declined =
        error(json!({"code": "card_declined", "decline_code": "insufficient_funds", "charge": CHARGE}));
    check("payment_intent.payment_failed", &declined, CHARGE, failed("insufficient_funds"));
    let item = read("payment_intent.payment_failed", &declined);
    assert_eq!(item.names, Names::References { payment: Some(INTENT.to_owned()), merchant: None });
    let challenge_failed = error(json!({
        "code": "payment_intent_authentication_failure", "payment_method": {"id": "pm_1", "object": "payment_method"},
    }));
    let its_try = format!("{INTENT}/pm_1");
    check(
        "payment_intent.payment_failed",
        &challenge_failed,
        &its_try,
        failed("payment_intent_authentication_failure"),
    );
    check("payment_intent.payment_failed", &intent, INTENT, failed("idempotency_error"));
}

#[test]
fn a_charge_without_an_intent_is_the_payment_and_with_one_it_is_noted() {
    let charge = fixture("charge");
    let paid = with(&charge, json!({"captured": true, "amount_captured": 100}));
    let table = [
        ("charge.succeeded", &charge, Fact::Authorized { amount: usd(100) }),
        ("charge.succeeded", &paid, captured(CHARGE, usd(100))),
        ("charge.captured", &paid, captured(CHARGE, usd(100))),
        ("charge.failed", &charge, failed("unknown")),
        ("charge.expired", &charge, Fact::AuthorizationExpired),
        ("charge.refunded", &paid, noted("charge.refunded")),
        ("charge.updated", &paid, noted("charge.updated")),
        ("charge.pending", &charge, noted("charge.pending")),
    ];
    for (kind, object, fact) in table {
        check(kind, object, CHARGE, fact);
        check(kind, &with(object, json!({"payment_intent": INTENT})), INTENT, noted(kind));
    }
    let declined = with(&charge, json!({"failure_code": "expired_card"}));
    check("charge.failed", &declined, CHARGE, failed("expired_card"));
    // What was captured may be less than what was authorized.
    let partly = with(&charge, json!({"captured": true, "amount_captured": 60}));
    check("charge.captured", &partly, CHARGE, captured(CHARGE, usd(60)));
}

#[test]
fn a_refund_is_named_by_itself_in_every_event_that_carries_it() {
    let refund = fixture("refund");
    let reference = REFUND.to_owned();
    for kind in ["refund.created", "refund.updated", "refund.failed", "charge.refund.updated"] {
        let settled = Fact::RefundSettled { refund_id: None, reference: reference.clone(), amount: usd(100) };
        check(kind, &refund, CHARGE, settled);
        for status in ["failed", "canceled"] {
            let reason = "expired_or_canceled_card".to_owned();
            let object =
                with(&refund, json!({"status": status, "failure_reason": reason, "payment_intent": INTENT}));
            let fact = Fact::RefundFailed {
                refund_id: None,
                reference: reference.clone(),
                amount: usd(100),
                reason,
            };
            check(kind, &object, INTENT, fact);
        }
        for status in [json!("pending"), json!("requires_action"), Value::Null] {
            check(kind, &with(&refund, json!({"status": status})), CHARGE, noted(kind));
        }
    }
    let asked_for = with(&refund, json!({"metadata": {"refund_id": ORDER}}));
    let refund_id = Some(ORDER.parse().unwrap());
    check(
        "refund.created",
        &asked_for,
        CHARGE,
        Fact::RefundSettled { refund_id, reference, amount: usd(100) },
    );
}

#[test]
fn a_dispute_takes_money_and_an_inquiry_does_not() {
    let (dispute, reference, reason) = (dispute(), || "du_1".to_owned(), "fraudulent".to_owned());
    let opened = Fact::ChargebackOpened { reference: reference(), amount: usd(100), reason };
    let won = Fact::ChargebackWon { reference: reference(), amount: usd(100) };
    let lost = Fact::ChargebackLost { reference: reference(), amount: usd(100) };
    let table = [
        ("charge.dispute.created", "needs_response", opened.clone()),
        ("charge.dispute.created", "warning_needs_response", noted("charge.dispute.created")),
        ("charge.dispute.created", "prevented", noted("charge.dispute.created")),
        ("charge.dispute.funds_withdrawn", "needs_response", opened),
        ("charge.dispute.funds_reinstated", "won", won.clone()),
        ("charge.dispute.closed", "won", won),
        ("charge.dispute.closed", "lost", lost),
        ("charge.dispute.closed", "warning_closed", noted("charge.dispute.closed")),
        ("charge.dispute.updated", "under_review", noted("charge.dispute.updated")),
    ];
    for (kind, status, fact) in table {
        check(kind, &with(&dispute, json!({"status": status})), CHARGE, fact);
    }
}

#[test]
fn what_is_about_no_order_says_so_and_what_is_beside_a_payment_is_its() {
    let event = fixture("event");
    let item = source().read("", event.to_string().as_bytes()).unwrap().remove(0);
    assert_eq!((item.names, item.notification.fact), (Names::NoOrder, noted("plan.created")));
    let session =
        json!({"object": "checkout.session", "id": "cs_1", "payment_intent": INTENT, "metadata": {}});
    check("checkout.session.completed", &session, INTENT, noted("checkout.session.completed"));
}

#[test]
fn an_order_is_named_by_metadata_first_and_by_the_payment_else() {
    let intent = fixture("payment_intent");
    let names =
        |metadata: Value| read("payment_intent.created", &with(&intent, json!({"metadata": metadata}))).names;
    let order: RecordId = ORDER.parse().unwrap();
    let payment = || Some(INTENT.to_owned());
    let references = |merchant: Option<&str>| Names::References {
        payment: payment(),
        merchant: merchant.map(str::to_owned),
    };
    assert_eq!(names(json!({})), references(None));
    assert_eq!(names(json!({"merchant_reference": "A-1"})), references(Some("A-1")));
    assert_eq!(names(json!({"order_id": "6735", "merchant_reference": "A-1"})), references(Some("6735")));
    assert_eq!(names(json!({"order_id": ORDER})), references(Some(ORDER)));
    assert_eq!(names(json!({"tracking_number": TrackingNumber(order).to_string()})), Names::Order(order));
    let keys = names(json!({"order_id": ORDER})).match_keys();
    assert_eq!(keys.first(), Some(&ledger::quarantine::MatchKey::Order(order)));
}

#[test]
fn amounts_are_read_in_stripes_units() {
    let intent = |currency: &str, amount: Value| {
        let over = json!({"currency": currency, "amount_received": amount});
        try_read("payment_intent.succeeded", &with(&fixture("payment_intent"), over))
            .map(|item| item.notification.fact.amount())
    };
    let table = [
        ("eur", 1999, "EUR", 1999),
        ("jpy", 500, "JPY", 500),
        ("kwd", 5000, "KWD", 5000),
        // Two digits at Stripe, and the last two are zeros.
        ("isk", 500, "ISK", 5),
        ("ugx", 500, "UGX", 5),
        // No digits at Stripe, two by ISO 4217.
        ("mga", 5, "MGA", 500),
        // Special to payouts, not to payments.
        ("huf", 1999, "HUF", 1999),
        ("twd", 1999, "TWD", 1999),
        ("clp", 500, "CLP", 500),
    ];
    for (currency, amount, code, minor) in table {
        assert_eq!(intent(currency, json!(amount)), Ok(Some(money(minor, code))), "{currency}");
    }
    for (currency, amount) in [
        ("isk", json!(501)),
        ("eur", json!(-1)),
        ("eur", json!(19.99)),
        ("eur", json!(19.0)),
        ("eur", json!("1999")),
        ("eur", Value::Null),
        ("eur", json!(1_000_000_000_000_000_i64)),
        ("eur", json!(u64::MAX)),
        ("mga", json!(i64::MAX)),
        ("xxx", json!(1)),
        ("", json!(1)),
    ] {
        assert!(intent(currency, amount.clone()).is_err(), "{currency} {amount}");
    }
}

#[test]
fn what_cannot_be_meant_is_unreadable() {
    for body in
        ["", "{", "[]", "{}", r#"{"id":"evt_1","type":"x"}"#, r#"{"id":"","type":"x","data":{"object":{}}}"#]
    {
        assert!(source().read("", body.as_bytes()).is_err(), "{body}");
    }
    let charge = fixture("charge");
    assert!(try_read("charge.captured", &with(&charge, json!({"id": null}))).is_err());
    assert!(try_read("charge.succeeded", &with(&charge, json!({"captured": "yes"}))).is_err());
    assert!(try_read("refund.created", &with(&fixture("refund"), json!({"id": "x".repeat(256)}))).is_err());
    // But what has no meaning is not looked at.
    assert!(try_read("charge.updated", &with(&charge, json!({"amount": "lots"}))).is_ok());
}

fn sign(secret: &str, at: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{at}.").as_bytes());
    mac.update(body);
    data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes())
}

fn verify(secrets: &[&str], header: &str, body: &[u8]) -> Result<String, Refusal> {
    let mut headers = HeaderMap::new();
    headers.insert(SIGNATURE, header.parse().unwrap());
    let source = Stripe::new(secrets.iter().copied()).unwrap();
    let now = Timestamp::from_second(NOW).unwrap();
    source.verify(&headers, body, now).map(|verified| verified.delivery_id)
}

#[test]
fn the_signature_of_stripes_own_library_is_accepted() {
    // stripe.WebhookSignature.generate_signature_header('{}', 'whsec_x', 5), version 16.1.0
    let header = "t=5,v1=f10923ae588677114170c6e35312691c1c76dc1fceebf1d2f1191385501c5ff7";
    assert_eq!(verify(&["whsec_x"], header, b"{}"), Err(Refusal::TooOld), "right, but for its age");
    let altered = header.replace("v1=f1", "v1=f0");
    assert_eq!(verify(&["whsec_x"], &altered, b"{}"), Err(Refusal::WrongSignature));
}

#[test]
fn any_secret_and_any_of_several_signatures_will_do() {
    let body = br#"{"id":"evt_1"}"#;
    let (good, bad) = (sign(SECRET, NOW, body), sign(OTHER, NOW, b"else"));
    for header in [
        format!("t={NOW},v1={good}"),
        format!("t={NOW},v1={bad},v1={good},v0={bad}"),
        format!("t={NOW}, v1={good}, v1={bad}"),
        format!("v1={good},t={NOW},v2,=,v1=xyz"),
    ] {
        assert_eq!(verify(&[SECRET], &header, body), Ok("evt_1".to_owned()), "{header}");
        assert_eq!(verify(&[OTHER, SECRET], &header, body), Ok("evt_1".to_owned()), "{header}");
        assert_eq!(verify(&[OTHER], &header, body), Err(Refusal::WrongSignature), "{header}");
    }
    for header in [format!("t={NOW},v0={good}"), format!("t={NOW}"), format!("t={NOW},v1=")] {
        assert_eq!(verify(&[SECRET], &header, body), Err(Refusal::WrongSignature), "{header}");
    }
    for header in [String::new(), format!("v1={good}"), format!("t=now,v1={good}"), format!("t=-1,v1={good}")]
    {
        assert_eq!(verify(&[SECRET], &header, body), Err(Refusal::MalformedHeader(SIGNATURE)), "{header}");
    }
    let missing = source().verify(&HeaderMap::new(), body, Timestamp::UNIX_EPOCH);
    assert_eq!(missing, Err(Refusal::MissingHeader(SIGNATURE)));
}

#[test]
fn five_minutes_either_way_are_tolerated_and_no_more() {
    let at =
        |seconds: i64| verify(&[SECRET], &format!("t={seconds},v1={}", sign(SECRET, seconds, b"{}")), b"{}");
    assert!(at(NOW - 300).is_ok() && at(NOW + 300).is_ok());
    assert_eq!(at(NOW - 301), Err(Refusal::TooOld));
    assert_eq!(at(NOW + 301), Err(Refusal::FromTheFuture));
}

#[test]
fn one_altered_byte_anywhere_is_refused() {
    let body = event("refund.created", &fixture("refund"));
    let header = format!("t={NOW},v1={}", sign(SECRET, NOW, body.as_bytes()));
    for index in 0..body.len() {
        let mut altered = body.clone().into_bytes();
        altered[index] ^= 1;
        assert_eq!(verify(&[SECRET], &header, &altered), Err(Refusal::WrongSignature), "byte {index}");
    }
    let later = header.replace(&NOW.to_string(), &(NOW + 1).to_string());
    assert_eq!(verify(&[SECRET], &later, body.as_bytes()), Err(Refusal::WrongSignature));
}

#[test]
fn a_body_whose_id_cannot_be_read_is_known_by_its_content() {
    let id =
        |body: &[u8]| verify(&[SECRET], &format!("t={NOW},v1={}", sign(SECRET, NOW, body)), body).unwrap();
    assert_eq!(id(b"\xff\xfe").len(), 64);
    assert_eq!(id(br#"{"id":""}"#), id(br#"{"id":""}"#));
    assert_ne!(id(b"{"), id(b"["));
}

#[test]
fn a_client_secret_is_written_over_and_all_else_is_kept_as_received() {
    let intent = fixture("payment_intent");
    let body = serde_json::to_vec_pretty(
        &json!({"id": "evt_1", "type": "payment_intent.created", "data": {"object": intent}}),
    );
    let body = Bytes::from(body.unwrap());
    let kept = source().kept(body.clone());
    let text = std::str::from_utf8(&kept).unwrap();
    assert!(!text.contains("_secret_") && text.contains(r#""client_secret": "****"#), "{text}");
    let differs = kept.iter().zip(&body).filter(|(kept, received)| kept != received).count();
    assert_eq!((kept.len(), differs), (body.len(), intent["client_secret"].as_str().unwrap().len()));
    assert_eq!(source().read("", &kept), source().read("", &body));

    for (received, expect) in [
        (r#"{"client_secret":null,"a":1}"#, r#"{"client_secret":null,"a":1}"#),
        (
            r#"{"client_secret" : "ab\"c\\","a":"client_secret"}"#,
            r#"{"client_secret" : "*******","a":"client_secret"}"#,
        ),
        (
            r#"{"client_secret":"a","b":{"client_secret":"bc"}}"#,
            r#"{"client_secret":"*","b":{"client_secret":"**"}}"#,
        ),
        (r#"{"client_secret":"cut o"#, r#"{"client_secret":"*****"#),
        (r#""client_secret""#, r#""client_secret""#),
    ] {
        assert_eq!(source().kept(Bytes::from(received)), Bytes::from(expect), "{received}");
    }
}

#[test]
fn only_what_stripe_calls_a_secret_is_one() {
    for bad in ["", "whsec_", "sk_live_1"] {
        assert!(Stripe::new([bad]).is_err(), "{bad}");
    }
}
