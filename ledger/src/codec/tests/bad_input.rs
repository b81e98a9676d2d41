//! What cannot be read is refused with a reason.

use serde_json::Value;

use super::golden::golden;
use crate::codec::{commit_id, decode};

/// The golden file `name` with `from` replaced by `to` is refused with a text that contains `reason`.
#[track_caller]
fn check(name: &str, from: &str, to: &str, reason: &str) {
    let text = String::from_utf8(golden(name)).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    let error = decode(text.replacen(from, to, 1).as_bytes()).unwrap_err().to_string();
    assert!(error.contains(reason), "{to}: {error}");
}

#[test]
fn a_commit_of_the_future_is_refused_by_what_is_new_about_it() {
    let captured = "payment_captured.v1";
    check(captured, "\"format\":1", "\"format\":3", "format 3; this Daybook reads formats 1 and 2");
    check(
        captured,
        "\"format\":1,",
        "\"format\":3,\"new\":1,",
        "format 3; this Daybook reads formats 1 and 2",
    );
    check(
        captured,
        "payment_captured.v1",
        "payment_captured.v2",
        "unknown version \"payment_captured.v2\"; this Daybook reads payment_captured.v1",
    );
    check(captured, "payment_captured.v1", "payment_dreamt.v1", "unknown event \"payment_dreamt.v1\"");
    check(captured, "payment_captured.v1", "payment_captured", "unknown version \"payment_captured\"");
    check(captured, "payment_captured.v1", "", "unknown event \"\"");
    check(captured, "\"webhook\":", "\"dream\":", "unknown variant `dream`");
    check(captured, "\"record\":\"order\"", "\"record\":\"dream\"", "unknown variant `dream`");
    check("webhook_quarantined.v1", "unknown_order", "bad_mood", "unknown variant `bad_mood`");
    check("webhook_quarantined.v1", "\"payment_reference\"", "\"dream\"", "unknown variant `dream`");
}

#[test]
fn a_commit_is_either_open_or_sealed() {
    let (open, sealed) = ("personal_of_two_events.v2", "sealed/personal_of_two_events.v2");
    check(open, "\"format\":1", "\"format\":2", "personal data that is not sealed");
    check(sealed, "\"format\":2", "\"format\":1", "format 1 with a seal");
    check("cause_webhook", "\"format\":1", "\"format\":2", "neither whole nor sealed");
    check("cause_command", "\"format\":1", "\"format\":2", "neither whole nor sealed");
    check(sealed, "0123456789abcdef.42", "0123456789abcdef.1024", "is not a valid key");
    check(sealed, "\"cause\":\"", "\"cause\":\"!", "sealed: ");
}

#[test]
fn a_field_too_many_too_few_or_of_another_type_is_refused() {
    let captured = "payment_captured.v1";
    check(captured, "\"attempt\":1", "\"attempt\":1,\"new\":1", "payment_captured.v1: unknown field `new`");
    check(captured, "\"attempt\":1,", "", "payment_captured.v1: missing field `attempt`");
    check(captured, "\"attempt\":1", "\"attempt\":\"1\"", "payment_captured.v1: invalid type: string \"1\"");
    check(captured, "\"attempt\":1", "\"attempt\":-1", "invalid value: integer `-1`");
    check(captured, "\"attempt\":1", "\"attempt\":4294967296", "invalid value: integer `4294967296`");
    check(captured, "\"attempt\":1", "\"attempt\":1,\"attempt\":1", "duplicate field `attempt`");
    check(captured, "\"attempt\":1", "\"attempt\":1,\"type\":\"x\"", "unknown field `type`");
    check(captured, "\"type\":\"payment_captured.v1\",", "", "an event begins with its `type`");
    check(captured, "\"type\":\"payment_captured.v1\"", "\"type\":1", "invalid type: integer `1`");
    check(captured, "\"tenant\":\"demo\"", "\"tenant\":\"demo\",\"new\":1", "unknown field `new`");
    check(captured, "\"tenant\":\"demo\",", "", "missing field `tenant`");
    check(captured, "\"event_id\"", "\"new\":1,\"event_id\"", "unknown field `new`");
    check("order_expired.v1", "order_expired.v1\"", "order_expired.v1\",\"new\":1", "unknown field `new`");
    check("checkout_submitted.v1", "\"last_four\"", "\"pan\":\"4\",\"last_four\"", "unknown field `pan`");
    check("checkout_submitted.v1", "\"email\"", "\"new\":\"\",\"email\"", "unknown field `new`");
}

#[test]
fn an_id_or_a_moment_in_another_spelling_is_refused() {
    let captured = "payment_captured.v1";
    check(captured, "\"tenant\":\"demo\"", "\"tenant\":\"De.mo\"", "\"De.mo\" is not a valid tenant");
    check(captured, "bd6fdb1c-", "BD6FDB1C-", "is not a valid record id");
    check(captured, "0c4a4f0e-", "0c4a4f0e", "is not a valid capture id");
    check(captured, "10:00:00.123Z", "10:00:00Z", "is not a moment in UTC with milliseconds");
    check(captured, "10:00:00.123Z", "10:00:00.123+00:00", "is not a moment");
    check(captured, "10:00:00.123Z", "10:00:60.000Z", "is not a moment");
    check(captured, "2026-11-20T", "2026-02-30T", "is not a moment");
    check("cause_command", "\"request_hash\":\"", "\"request_hash\":\"0", "is not a valid request hash");
}

#[test]
fn an_amount_is_above_zero_and_in_a_currency_as_it_is_known() {
    let captured = "payment_captured.v1";
    check(captured, "\"exponent\":2", "\"exponent\":3", "EUR has 2 decimal digits, not 3");
    check(captured, "EUR", "ZZZ", "\"ZZZ\" is not an ISO 4217 currency");
    check(captured, "\"minor\":1999", "\"minor\":0", "0 is not an amount of money: zero");
    check(captured, "\"minor\":1999", "\"minor\":-5", "-5 is not an amount of money: negative");
    check(captured, "\"minor\":1999", "\"minor\":1000000000000000", "more than 999999999999999");
    check(captured, "\"minor\":1999", "\"minor\":19.99", "invalid type: floating point `19.99`");
    check(captured, "\"minor\":1999", "\"minor\":1e3", "invalid type: floating point");
    check(captured, "\"minor\":1999", "\"minor\":99999999999999999999", "invalid type: floating point");
}

#[test]
fn a_webhook_has_one_body() {
    let body = "\"body_base64\":\"e/8AfQ==\"";
    let base64 = "cause_webhook_base64";
    check(base64, &format!(",{body}"), "", "a webhook without a body");
    check(base64, body, &format!("\"body\":\"\",{body}"), "a webhook with two bodies");
    check(base64, "e/8AfQ==", "e/8AfQ", "body_base64");
}

#[test]
fn events_are_there_are_about_the_record_and_have_their_own_personal_data() {
    check("cause_timer", "{\"type\":\"order_expired.v1\"}", "", "a commit without events");
    check(
        "cause_timer",
        "\"record\":\"order\"",
        "\"record\":\"offer\"",
        "event 0, order_expired.v1, is not about",
    );
    check(
        "offer_registered.v1",
        "\"record\":\"offer\"",
        "\"record\":\"order\"",
        "is not about this kind of record",
    );
    let personal = "personal_of_two_events";
    check(
        personal,
        "\"1\":{\"card_holder\"",
        "\"2\":{\"card_holder\"",
        "personal data of event 2, which is not there",
    );
    check(
        personal,
        "\"1\":{",
        "\"1\":{\"customer\":{},",
        "personal data that event 1, attempt_started.v1, has no place",
    );
    check(personal, "\"1\":{", "\"one\":{", "invalid");
    let timer = String::from_utf8(golden("cause_timer")).unwrap();
    let strange = timer.replace("}]}", "}],\"personal\":{\"0\":{\"card_holder\":\"Ada\"}}}");
    let error = decode(strange.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("event 0, order_expired.v1, has no place"), "{error}");
}

#[test]
fn bytes_that_are_no_commit_at_all_are_refused() {
    let golden = golden("payment_captured.v1");
    let deep = "[".repeat(100_000);
    let mut trailing = golden.clone();
    trailing.push(b'x');
    let inputs: [&[u8]; 12] = [
        b"",
        b" ",
        b"null",
        b"0",
        b"\"\"",
        b"[]",
        b"{}",
        b"{",
        b"\xff\xfe",
        b"{\"commit\":\"\xff",
        deep.as_bytes(),
        &trailing,
    ];
    for input in inputs {
        assert!(decode(input).is_err(), "{:?}", String::from_utf8_lossy(input));
    }
    for input in &inputs[..11] {
        assert!(commit_id(input).is_err(), "{:?}", String::from_utf8_lossy(input));
    }
    for end in 0..golden.len() {
        assert!(decode(&golden[..end]).is_err(), "cut off at {end}");
    }
}

#[test]
fn fields_may_come_in_another_order_but_for_the_type_of_an_event() {
    let golden = golden("payment_captured.v1");
    let fields: serde_json::Map<String, Value> = serde_json::from_slice(&golden).unwrap();
    let backwards: Vec<String> =
        ["events", "cause", "decided_at", "id", "record", "tenant", "format", "commit"]
            .iter()
            .map(|name| {
                let value = match *name {
                    "events" => EVENT_BACKWARDS.to_owned(),
                    name => fields[name].to_string(),
                };
                format!("{name:?} : {value}")
            })
            .collect();
    let backwards = format!("{{ {} }}", backwards.join(" , "));
    assert_eq!(decode(backwards.as_bytes()), decode(&golden));
}

const EVENT_BACKWARDS: &str = r#"[{ "type": "payment_captured.v1",
    "amount": { "exponent": 2, "currency": "EUR", "minor": 1999 },
    "reference": "cap_1", "capture_id": "0c4a4f0e-6a55-5c3e-9f0b-3d5f5b1c7a01", "attempt": 1 }]"#;
