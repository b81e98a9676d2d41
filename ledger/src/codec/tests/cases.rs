//! The commits that the golden files hold, one per event and version, then one per cause and per special form.

use std::collections::BTreeMap;

use jiff::Timestamp;
use uuid::Uuid;

use crate::commit::{Cause, Changes, Commit};
use crate::ids::{CaptureId, CommitId, RecordId, RefundId, RequestHash};
use crate::money::Money;
use crate::offer::{self, Offer};
use crate::order::{
    CaptureMode, Card, Challenge, Checkout, Customer, Event, Item, PaymentMethod, ReturnUrls, Surface,
};
use crate::quarantine::{self, MatchKey, Reason};

/// A commit and the name of the golden file that holds it.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) commit: Commit,
}

/// Every golden file whose commit is still written today, byte for byte.
pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut add = |name: &'static str, cause: Cause, changes: Changes| {
        let number = cases.len() as u128;
        let commit = Commit {
            id: CommitId(Uuid::from_u128(0x019a_9c3e_4b00_7000_8000_0000_0000_0001 + number)),
            tenant: "demo".parse().unwrap(),
            record: match &changes {
                Changes::Order(_) => order_id(),
                Changes::Offer(_) => RecordId(Uuid::from_u128(0x6b1f_03c4_5f0e_5d3a_9c51_2a1d_7f40_91e2)),
                Changes::Quarantine(_) => {
                    RecordId(Uuid::from_u128(0x91d2_4c07_b0a8_5e6f_8d23_c4f1_0b7e_66a9))
                }
            },
            decided_at: moment("2026-11-20T10:00:00.123Z"),
            cause,
            changes,
        };
        cases.push(Case { name, commit });
    };
    let mut order = |name, cause, event| add(name, cause, Changes::Order(vec![event]));

    order(
        "checkout_submitted.v2",
        command("checkout", "A-1001"),
        Event::CheckoutSubmitted(Box::new(Checkout {
            amount: eur(1999),
            merchant_reference: "A-1001".to_owned(),
            capture: CaptureMode::Automatic,
            payment_method: Some(PaymentMethod {
                token: Some("tok_success".to_owned()),
                ..card(Some("Ada L."))
            }),
            items: vec![
                Item {
                    identifier: "sku-7".to_owned(),
                    name: Some("Teapot".to_owned()),
                    quantity: 1,
                    unit_price: Some(eur(1499)),
                    parent_identifier: None,
                },
                Item {
                    identifier: "sku-7-engraving".to_owned(),
                    name: None,
                    quantity: 1,
                    unit_price: Some(eur(500)),
                    parent_identifier: Some("sku-7".to_owned()),
                },
            ],
            customer: Customer {
                name: Some("Ada Lovelace".to_owned()),
                email: Some("ada@example.com".to_owned()),
                phone: Some("+44 20 7946 0000".to_owned()),
                ip: Some("192.0.2.7".to_owned()),
                details: BTreeMap::new(),
            },
            return_urls: ReturnUrls {
                success: Some("https://shop.example/thanks".to_owned()),
                failure: Some("https://shop.example/sorry".to_owned()),
                cancel: Some("https://shop.example/basket".to_owned()),
            },
            metadata: BTreeMap::from([("channel".to_owned(), "web".to_owned())]),
            expires_at: moment("2026-11-20T11:00:00Z"),
            surface: Surface {
                name: "v1".to_owned(),
                data: BTreeMap::from([("locale".to_owned(), "en-GB".to_owned())]),
            },
        })),
    );
    order(
        "attempt_started.v1",
        command("attempt", "A-1001-2"),
        Event::AttemptStarted {
            attempt: 2,
            payment_reference: Some("pay_2".to_owned()),
            payment_method: Some(card(Some("Ada L."))),
        },
    );
    order(
        "attempt_linked.v1",
        webhook("evt_1"),
        Event::AttemptLinked { attempt: 1, payment_reference: "pay_1".to_owned() },
    );
    order(
        "action_required.v1",
        webhook("evt_2"),
        Event::ActionRequired {
            attempt: 1,
            challenge: Challenge {
                url: Some("https://psp.example/3ds/ch_1".to_owned()),
                html: Some("<form action=\"https://psp.example/3ds/ch_1\"></form>".to_owned()),
                id: Some("ch_1".to_owned()),
            },
        },
    );
    order(
        "payment_authorized.v1",
        webhook("evt_3"),
        Event::PaymentAuthorized { attempt: 1, amount: eur(1999) },
    );
    order(
        "payment_failed.v1",
        webhook("evt_4"),
        Event::PaymentFailed { attempt: 1, reason: "insufficient_funds".to_owned() },
    );
    order(
        "capture_requested.v1",
        command("capture", "k-1"),
        Event::CaptureRequested { attempt: 1, capture_id: capture_id(), amount: eur(1999) },
    );
    order(
        "payment_captured.v1",
        webhook("evt_5"),
        Event::PaymentCaptured {
            attempt: 1,
            capture_id: Some(capture_id()),
            reference: "cap_1".to_owned(),
            amount: eur(1999),
        },
    );
    order(
        "capture_failed.v1",
        webhook("evt_6"),
        Event::CaptureFailed {
            attempt: 1,
            capture_id: Some(capture_id()),
            reference: "cap_1".to_owned(),
            amount: eur(1999),
            reason: "authorization_released".to_owned(),
        },
    );
    order("cancellation_requested.v1", command("cancel", "k-2"), Event::CancellationRequested);
    order("order_canceled.v1", command("cancel", "k-3"), Event::OrderCanceled);
    order("order_expired.v1", timer(), Event::OrderExpired);
    order("payment_voided.v1", webhook("evt_7"), Event::PaymentVoided { attempt: 1 });
    order("authorization_expired.v1", webhook("evt_8"), Event::AuthorizationExpired { attempt: 1 });
    order(
        "refund_requested.v1",
        command("refund", "k-4"),
        Event::RefundRequested {
            attempt: 1,
            refund_id: refund_id(),
            amount: eur(500),
            reason: Some("engraving misspelled".to_owned()),
        },
    );
    order(
        "refund_settled.v1",
        webhook("evt_9"),
        Event::RefundSettled {
            attempt: 1,
            refund_id: Some(refund_id()),
            reference: "ref_1".to_owned(),
            amount: eur(500),
        },
    );
    order(
        "refund_failed.v1",
        webhook("evt_10"),
        Event::RefundFailed {
            attempt: 1,
            refund_id: Some(refund_id()),
            reference: "ref_1".to_owned(),
            amount: eur(500),
            reason: "account_closed".to_owned(),
        },
    );
    order(
        "chargeback_opened.v1",
        webhook("evt_11"),
        Event::ChargebackOpened {
            attempt: 1,
            reference: "dsp_1".to_owned(),
            amount: eur(1999),
            reason: "goods_not_received".to_owned(),
        },
    );
    order(
        "chargeback_won.v1",
        webhook("evt_12"),
        Event::ChargebackWon { attempt: 1, reference: "dsp_1".to_owned(), amount: eur(1999) },
    );
    order(
        "chargeback_lost.v1",
        webhook("evt_13"),
        Event::ChargebackLost { attempt: 1, reference: "dsp_1".to_owned(), amount: eur(1999) },
    );
    order("webhook_noted.v1", webhook("evt_14"), Event::WebhookNoted { kind: "payment.updated".to_owned() });

    add(
        "offer_registered.v1",
        command("offer", "tea-for-two"),
        Changes::Offer(vec![offer::Event::OfferRegistered(Offer {
            identifier: "tea-for-two".to_owned(),
            amount: money(1990, "JPY"),
            items: vec![item("sku-8")],
            expires_at: Some(moment("2026-12-31T23:59:59.999Z")),
            purchasable: true,
        })]),
    );
    let mut quarantine = |name, cause, event| add(name, cause, Changes::Quarantine(vec![event]));
    quarantine(
        "webhook_quarantined.v1",
        webhook("evt_15"),
        quarantine::Event::WebhookQuarantined {
            reason: Reason::UnknownOrder,
            detail: "no order has this payment".to_owned(),
            waits_for: vec![
                MatchKey::Order(order_id()),
                MatchKey::PaymentReference("pay_1".to_owned()),
                MatchKey::MerchantReference("A-1001".to_owned()),
            ],
            headers: vec![
                ("webhook-id".to_owned(), "evt_15".to_owned()),
                ("webhook-timestamp".to_owned(), "1795168800".to_owned()),
            ],
            received_at: moment("2026-11-20T10:00:00.120Z"),
        },
    );
    quarantine(
        "webhook_released.v1",
        webhook("evt_15"),
        quarantine::Event::WebhookReleased { order: order_id() },
    );
    quarantine(
        "webhook_discarded.v1",
        command("discard", "k-5"),
        quarantine::Event::WebhookDiscarded { reason: "sent by a test".to_owned() },
    );

    let mut several = |name, cause, events| add(name, cause, Changes::Order(events));
    several(
        "cause_command",
        command("cancel", "k-6"),
        vec![Event::CancellationRequested, Event::OrderCanceled],
    );
    several(
        "cause_command_without_key",
        Cause::Command { operation: "cancel".to_owned(), key: None, request_hash: RequestHash::of(b"") },
        vec![Event::CancellationRequested],
    );
    several(
        "cause_webhook",
        webhook("evt_16"),
        vec![
            Event::AttemptLinked { attempt: 1, payment_reference: "pay_1".to_owned() },
            Event::PaymentCaptured {
                attempt: 1,
                capture_id: None,
                reference: "cap_1".to_owned(),
                amount: money(1999, "KWD"),
            },
        ],
    );
    several(
        "cause_webhook_base64",
        Cause::Webhook {
            source: "sandbox".to_owned(),
            event_id: "evt_17".to_owned(),
            body: vec![0x7b, 0xff, 0x00, 0x7d].into(),
        },
        vec![Event::WebhookNoted { kind: "unknown".to_owned() }],
    );
    several(
        "webhook_body_as_received",
        Cause::Webhook {
            source: "sandbox".to_owned(),
            event_id: "evt_18".to_owned(),
            body: "{\r\n\t\"note\": \"s\u{f6}me \u{1F600}\\u0000\"\u{0}}\n".into(),
        },
        vec![Event::WebhookNoted { kind: "payment.updated".to_owned() }],
    );
    several("cause_timer", timer(), vec![Event::OrderExpired]);
    several(
        "least.v2",
        command("checkout", "A-1002"),
        vec![
            Event::CheckoutSubmitted(Box::new(least_checkout())),
            Event::AttemptStarted { attempt: 1, payment_reference: None, payment_method: None },
            Event::ActionRequired { attempt: 1, challenge: Challenge::default() },
        ],
    );
    several(
        "personal_of_two_events.v2",
        command("checkout", "A-1003"),
        vec![
            Event::CheckoutSubmitted(Box::new(Checkout {
                payment_method: Some(card(Some("Ada L."))),
                customer: Customer { email: Some("ada@example.com".to_owned()), ..Customer::default() },
                ..least_checkout()
            })),
            Event::AttemptStarted {
                attempt: 1,
                payment_reference: None,
                payment_method: Some(card(Some("Ada L."))),
            },
        ],
    );
    several(
        "surface_noted.v1",
        command("surface.answer", "k-7"),
        vec![Event::SurfaceNoted { data: BTreeMap::from([("answer".to_owned(), "PENDING".to_owned())]) }],
    );
    several(
        "personal_details.v2",
        command("checkout", "A-1004"),
        vec![Event::CheckoutSubmitted(Box::new(Checkout {
            customer: Customer {
                details: BTreeMap::from([("billingAddress.city".to_owned(), "Malm\u{f6}".to_owned())]),
                ..Customer::default()
            },
            ..least_checkout()
        }))],
    );
    several("personal_data_forgotten.v1", command("forget", "k-8"), vec![Event::PersonalDataForgotten]);
    cases
}

/// Golden files that hold an event in a version that is not written any more, each with the case that it says the same
/// as: read from now on, never written.
pub(super) const UPCAST: [(&str, &str); 4] = [
    ("checkout_submitted.v1", "checkout_submitted.v2"),
    ("least", "least.v2"),
    ("personal_of_two_events", "personal_of_two_events.v2"),
    ("personal_details", "personal_details.v2"),
];

/// The case of this name.
#[track_caller]
pub(super) fn case(name: &str) -> Commit {
    cases().into_iter().find(|case| case.name == name).unwrap().commit
}

fn least_checkout() -> Checkout {
    Checkout {
        amount: eur(1),
        merchant_reference: "A-1002".to_owned(),
        capture: CaptureMode::Manual,
        payment_method: None,
        items: Vec::new(),
        customer: Customer::default(),
        return_urls: ReturnUrls::default(),
        metadata: BTreeMap::new(),
        expires_at: moment("2026-11-20T11:00:00Z"),
        surface: Surface { name: "v1".to_owned(), data: BTreeMap::new() },
    }
}

fn item(identifier: &str) -> Item {
    Item {
        identifier: identifier.to_owned(),
        name: None,
        quantity: 2,
        unit_price: None,
        parent_identifier: None,
    }
}

fn card(holder: Option<&str>) -> PaymentMethod {
    PaymentMethod {
        kind: "card".to_owned(),
        token: None,
        card: Some(Card {
            brand: "visa".to_owned(),
            last_four: "4242".to_owned(),
            holder: holder.map(str::to_owned),
        }),
    }
}

fn command(operation: &str, key: &str) -> Cause {
    Cause::Command {
        operation: operation.to_owned(),
        key: Some(key.to_owned()),
        request_hash: RequestHash::of(key.as_bytes()),
    }
}

fn webhook(event_id: &str) -> Cause {
    Cause::Webhook {
        source: "sandbox".to_owned(),
        event_id: event_id.to_owned(),
        body: format!("{{\"id\":\"{event_id}\",\"data\":{{\"payment_reference\":\"pay_1\"}}}}").into(),
    }
}

fn timer() -> Cause {
    Cause::Timer { name: "expiry".to_owned() }
}

fn order_id() -> RecordId {
    "bd6fdb1c-5e78-55f9-aee6-ed210905f6db".parse().unwrap()
}

fn capture_id() -> CaptureId {
    "0c4a4f0e-6a55-5c3e-9f0b-3d5f5b1c7a01".parse().unwrap()
}

fn refund_id() -> RefundId {
    "5d3f1b52-27c4-5a19-8a4e-90b0f3f2c602".parse().unwrap()
}

fn eur(minor: i64) -> Money {
    money(minor, "EUR")
}

fn money(minor: i64, currency: &str) -> Money {
    Money::of(minor, currency.parse().unwrap()).unwrap()
}

fn moment(text: &str) -> Timestamp {
    text.parse().unwrap()
}
