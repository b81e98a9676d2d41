//! The surface's words, as data: bodies in, values or a refusal out; and the guide against what is there.

use axum::http::StatusCode;
use axum::response::IntoResponse;
use jiff::SignedDuration;
use ledger::order::{
    CaptureMode, Checkout, Command, Fact, Notification, Order, Status, Surface, decide, evolve,
};
use ledger::order::{Customer, ReturnUrls};
use serde_json::{Value, json};

use super::fields::{EFFECTUATION, Field, Format, Length, TRANSACTION, Values};
use super::refusal::{Code, Refusal};
use super::{fields, reply};
use crate::http::body;
use crate::orders::{Ask, OrderError};
use crate::webhooks::tests::server::demo;

const GUIDE: &str = include_str!("../../../../docs/src/guides/carat.md");

fn transaction() -> Value {
    json!({
        "amount": "1000", "merchant_usn": "12050620649", "order_id": "A-1001",
        "transaction_type": "confirmation", "is_transaction_origin_external": "true"
    })
}

fn effectuation() -> Value {
    json!({
        "amount": "1000", "authorizer_id": "2", "installments": "1", "installment_type": "4",
        "confirmation_data": "0;1;x", "acquirer": {
            "routing_id": "1005", "host_usn": "000000123", "authorization_number": "092423",
            "authorizer_date": "29/02/2024", "order_id": "A-1001", "identification_number": "111.444.777-35",
            "terminal": "SE000001", "company_code": "00000000"
        }
    })
}

/// Both tables, each with a body that holds every field.
fn tables() -> [(&'static [Field], Value); 2] {
    [(TRANSACTION, transaction()), (EFFECTUATION, effectuation())]
}

fn read_text(table: &[Field], body: &str) -> Result<Values, Refusal> {
    fields::read(table, body::parse(body.as_bytes())?)
}

fn read(table: &[Field], body: &Value) -> Result<Values, Refusal> {
    read_text(table, &body.to_string())
}

/// The body with another value in a field; without the field where there is none.
fn with(mut body: Value, field: &str, value: Option<Value>) -> Value {
    let (group, name) = field.split_once('.').map_or((None, field), |(group, name)| (Some(group), name));
    let members = match group {
        Some(group) => &mut body[group],
        None => &mut body,
    };
    let members = members.as_object_mut().unwrap();
    match value {
        Some(value) => members.insert(name.to_owned(), value),
        None => members.remove(name),
    };
    body
}

#[track_caller]
fn refuses(table: &[Field], body: &Value, code: Code, field: &str) {
    let refusal = read(table, body).expect_err(&body.to_string());
    assert_eq!(refusal.code, code, "{body}: {}", refusal.message);
    assert!(refusal.message.starts_with(&format!("{field}: ")), "{body}: {}", refusal.message);
}

#[test]
fn a_body_that_keeps_to_its_table_is_read_with_or_without_what_is_optional() {
    for (table, body) in tables() {
        assert_eq!(read(table, &body).unwrap().len(), table.len());
        let optional = table.iter().filter(|field| !field.is_required);
        let least = optional.clone().fold(body.clone(), |body, field| with(body, field.name, None));
        let values = read(table, &least).unwrap();
        assert!(values.keys().all(|name| table.iter().any(|f| f.name == *name && f.is_required)));
        let nulls = optional.fold(body, |body, field| with(body, field.name, Some(Value::Null)));
        assert_eq!(read(table, &nulls).unwrap(), values, "null is nothing");
    }
}

#[test]
fn a_required_field_that_is_missing_is_named() {
    for (table, body) in tables() {
        for field in table.iter().filter(|field| field.is_required) {
            refuses(table, &with(body.clone(), field.name, None), Code::MissingField, field.name);
            refuses(
                table,
                &with(body.clone(), field.name, Some(Value::Null)),
                Code::MissingField,
                field.name,
            );
        }
    }
    let alone = with(effectuation(), "acquirer", None);
    refuses(EFFECTUATION, &alone, Code::MissingField, "acquirer.routing_id");
}

/// Values that no field of this format may hold.
fn broken(format: Format) -> Vec<Value> {
    let lengths = |length: Length, unit: &str| match length {
        Length::UpTo(most) => vec![json!(""), json!(unit.repeat(most + 1))],
        Length::Exactly(length) => {
            vec![json!(""), json!(unit.repeat(length - 1)), json!(unit.repeat(length + 1))]
        }
    };
    let mut values = vec![json!([]), json!({}), json!(["1"]), json!(false)];
    match format {
        Format::Digits(length) | Format::AboveZero(length) => {
            values.extend(lengths(length, "1"));
            values.extend([
                json!("1a"),
                json!("-1"),
                json!("1.0"),
                json!(" 1"),
                json!("١"),
                json!(-1),
                json!(1.5),
            ]);
            values.push(json!(12345678901234_u64));
            if matches!(format, Format::AboveZero(_)) {
                values.extend([json!("0"), json!("00"), json!(0)]);
            }
        }
        Format::Text(length) | Format::TaxNumber(length) => {
            values.extend(lengths(length, "x"));
            values.extend([json!("ação"), json!("a\nb"), json!(12345678), json!("\u{7f}1234567")]);
        }
        Format::Date => values.extend(
            [
                "",
                "31/02/2024",
                "29/02/2023",
                "00/01/2024",
                "1/1/2024",
                "2024-01-01",
                "01-01-2024",
                "01/01/24",
            ]
            .map(Value::from)
            .into_iter()
            .chain([
                json!(1012024),
                json!("01/13/2024"),
                json!("+1/01/2024"),
                json!("01/01/2024 "),
            ]),
        ),
        Format::OneOf(_) => values.extend([json!(""), json!("x"), json!("TRUE"), json!("04"), json!(5)]),
    }
    values
}

#[test]
fn a_value_of_another_format_or_length_is_refused_with_the_fields_name() {
    for (table, body) in tables() {
        for field in table {
            for value in broken(field.format) {
                refuses(table, &with(body.clone(), field.name, Some(value)), Code::InvalidField, field.name);
            }
        }
    }
    for value in [json!("1005"), json!([]), json!(true)] {
        refuses(EFFECTUATION, &with(effectuation(), "acquirer", Some(value)), Code::InvalidField, "acquirer");
    }
}

#[test]
fn a_value_of_the_greatest_length_is_taken() {
    for (table, body) in tables() {
        for field in table {
            let longest = match field.format {
                Format::Digits(Length::UpTo(length) | Length::Exactly(length))
                | Format::AboveZero(Length::UpTo(length) | Length::Exactly(length)) => "9".repeat(length),
                Format::Text(Length::UpTo(length) | Length::Exactly(length))
                | Format::TaxNumber(Length::UpTo(length) | Length::Exactly(length)) => "~".repeat(length),
                Format::Date => "31/12/9999".to_owned(),
                Format::OneOf(words) => words[words.len() - 1].to_owned(),
            };
            let values = read(table, &with(body.clone(), field.name, Some(json!(longest)))).unwrap();
            assert_eq!(values[field.name], longest);
        }
    }
}

#[test]
fn numbers_and_flags_are_what_their_texts_are() {
    let texts = read(TRANSACTION, &transaction()).unwrap();
    let mut body = with(transaction(), "amount", Some(json!(1000)));
    body = with(body, "merchant_usn", Some(json!(12050620649_u64)));
    body = with(body, "is_transaction_origin_external", Some(json!(true)));
    assert_eq!(read(TRANSACTION, &body).unwrap(), texts);
    let body = with(effectuation(), "installment_type", Some(json!(4)));
    assert_eq!(read(EFFECTUATION, &body).unwrap(), read(EFFECTUATION, &effectuation()).unwrap());
}

#[test]
fn what_is_in_no_table_is_refused() {
    refuses(
        TRANSACTION,
        &with(transaction(), "currency", Some(json!("BRL"))),
        Code::UnknownField,
        "currency",
    );
    refuses(TRANSACTION, &with(transaction(), "acquirer", Some(json!({}))), Code::UnknownField, "acquirer");
    let inner = with(effectuation(), "acquirer.name", Some(json!("x")));
    refuses(EFFECTUATION, &inner, Code::UnknownField, "acquirer.name");
    let outer = with(effectuation(), "routing_id", Some(json!("1")));
    refuses(EFFECTUATION, &outer, Code::UnknownField, "routing_id");
    for (body, field) in [
        (r#"{"amount":1,"amount":2}"#, "amount"),
        (r#"{"acquirer":{"routing_id":1},"acquirer":{"routing_id":2}}"#, "acquirer.routing_id"),
    ] {
        let refusal = read_text(EFFECTUATION, body).unwrap_err();
        assert_eq!(refusal, Refusal::at(Code::InvalidField, field, "there twice"));
    }
    for body in ["", "{", "[]", "7", r#"{"amount":1} x"#] {
        assert_eq!(read_text(TRANSACTION, body).unwrap_err().code, Code::MalformedBody, "{body}");
    }
}

#[test]
fn a_card_number_is_refused_and_never_repeated() {
    const NUMBER: &str = "4242424242424242";
    for (table, body) in tables() {
        for field in table {
            for value in [json!(NUMBER), json!(4242424242424242_u64), json!(4242424242424242.0)] {
                let body = with(body.clone(), field.name, Some(value));
                if let Err(refusal) = read(table, &body) {
                    assert!(!refusal.message.contains("4242"), "{}", refusal.message);
                } else {
                    assert_eq!(field.name, fields::TAX_NUMBER, "which is not kept");
                }
            }
        }
        let named = read(table, &with(body, NUMBER, Some(json!(1)))).unwrap_err();
        assert!(!named.message.contains("4242"), "{}", named.message);
    }
    let kept = super::kept(&read(EFFECTUATION, &effectuation()).unwrap());
    assert!(!kept.contains_key(fields::TAX_NUMBER));
    assert_eq!(kept.len(), EFFECTUATION.len() - 1);
}

#[test]
fn the_request_hash_never_changes() {
    // Pinned: with another hash, no shop could repeat a request that it sent before an update.
    let values = read(TRANSACTION, &transaction()).unwrap();
    let hash = Ask::new(demo(), None, &values).unwrap().hash.to_string();
    assert_eq!(hash, "cd49487f66b8814adbef14b9b95c498b41dcdee1c3a4864104307f3a2c9eddca");
    let values = read(EFFECTUATION, &effectuation()).unwrap();
    let hash =
        |is_confirmed: bool| Ask::new(demo(), None, &(is_confirmed, &values)).unwrap().hash.to_string();
    assert_eq!(hash(true), "8e281b0d92f04fb389cfdaa0cdb3dd3ca3ed1ebe135f13211d79571b7f358f55");
    assert_ne!(hash(true), hash(false));
}

fn order() -> Order {
    let checkout = Checkout {
        amount: ledger::money::Money::of(1000, "BRL".parse().unwrap()).unwrap(),
        merchant_reference: "A-1".to_owned(),
        capture: CaptureMode::Manual,
        payment_method: None,
        items: Vec::new(),
        customer: Customer::default(),
        return_urls: ReturnUrls::default(),
        metadata: Default::default(),
        expires_at: crate::orders::now() + SignedDuration::from_hours(1),
        surface: Surface::default(),
    };
    after(None, &Command::Submit(Box::new(checkout)))
}

fn after(order: Option<Order>, command: &Command) -> Order {
    let events = decide(order.as_ref(), command).unwrap();
    events.iter().fold(order, |order, event| Some(evolve(order, event).unwrap())).unwrap()
}

fn reported(order: Order, fact: Fact) -> Order {
    let notification = Notification { payment_reference: None, attempt: None, fact };
    after(Some(order), &Command::Record(notification))
}

#[test]
fn every_status_has_its_word() {
    let real = |minor| ledger::money::Money::of(minor, "BRL".parse().unwrap()).unwrap();
    let capture = |order, minor| {
        let reference = "cap".to_owned();
        reported(order, Fact::Captured { capture_id: None, reference, amount: real(minor) })
    };
    let refund = |order, reference: &str, minor| {
        let reference = reference.to_owned();
        reported(order, Fact::RefundSettled { refund_id: None, reference, amount: real(minor) })
    };
    let (new, authorized) = (order(), reported(order(), Fact::Authorized { amount: real(1000) }));
    let canceled = after(Some(order()), &Command::Cancel);
    let later = order().checkout.expires_at;
    let expired = after(Some(order()), &Command::Expire { now: later + SignedDuration::from_secs(1) });
    let part = capture(order(), 600);
    let all = capture(order(), 1000);
    let cases = [
        (new, Status::Processing, "NOV", "PPN"),
        (
            reported(order(), Fact::ActionRequired { challenge: Default::default() }),
            Status::ActionRequired,
            "NOV",
            "PPN",
        ),
        (authorized, Status::Authorized, "PPC", "PPN"),
        (part.clone(), Status::PartiallyCaptured, "CON", "CON"),
        (refund(part.clone(), "r", 100), Status::PartiallyRefunded, "CON", "CON"),
        (refund(part, "r", 600), Status::PartiallyRefunded, "EST", "EST"),
        (all.clone(), Status::Captured, "CON", "CON"),
        (refund(all.clone(), "r", 999), Status::PartiallyRefunded, "CON", "CON"),
        (refund(refund(all, "r", 999), "s", 1), Status::Refunded, "EST", "EST"),
        (canceled, Status::Canceled, "CAN", "PPN"),
        (reported(order(), Fact::Failed { reason: "no".to_owned() }), Status::Failed, "NEG", "NEG"),
        (expired, Status::Expired, "EXP", "EXP"),
    ];
    for (order, status, word, effectuated) in &cases {
        assert_eq!(order.status(), *status);
        assert_eq!(reply::status(order, false), *word, "{status:?}");
        assert_eq!(reply::status(order, true), *effectuated, "{status:?}, effectuated");
        for word in [word, effectuated] {
            assert!(GUIDE.contains(&format!("| `{word}` |")), "{word} is not in the guide");
        }
    }
    for status in Status::ALL {
        assert!(cases.iter().any(|(_, seen, ..)| *seen == status), "{status:?} has no case");
    }
}

#[test]
fn the_guide_has_every_field_and_every_code() {
    for field in TRANSACTION.iter().chain(EFFECTUATION) {
        let required = if field.is_required { "required" } else { "" };
        let row = format!("| `{}` | {required} | {} |", field.name, field.format);
        assert!(GUIDE.contains(&row.replace("|  |", "| |")), "{row}");
    }
    for code in Code::ALL {
        let row = format!("| {} | {} |", code.as_str(), code.status().as_u16());
        assert!(GUIDE.lines().any(|line| line.starts_with(&row)), "{row}");
    }
}

#[test]
fn our_failures_have_their_codes_and_say_nothing() {
    let source = || "the disk at /var/secret".into();
    let cases = [
        (OrderError::Unavailable(source()), Code::Unavailable, StatusCode::SERVICE_UNAVAILABLE),
        (OrderError::Unknown(source()), Code::OutcomeUnknown, StatusCode::SERVICE_UNAVAILABLE),
        (OrderError::Internal(source()), Code::Internal, StatusCode::INTERNAL_SERVER_ERROR),
        (OrderError::TooLarge { size: 2, limit: 1 }, Code::TooLarge, StatusCode::PAYLOAD_TOO_LARGE),
    ];
    for (error, code, status) in cases {
        let refusal = Refusal::from(error);
        assert_eq!(refusal.code, code);
        assert!(!refusal.message.contains("secret"), "{}", refusal.message);
        let response = refusal.into_response();
        assert_eq!(response.status(), status);
        assert_eq!(response.headers().contains_key("retry-after"), status == StatusCode::SERVICE_UNAVAILABLE);
    }
    let long = Refusal::at(Code::UnknownField, &"é".repeat(1000), "not a field here");
    assert_eq!(long.message.chars().count(), 500);
}
