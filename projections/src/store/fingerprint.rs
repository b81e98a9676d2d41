//! What tells the rows of one version of the views from those of another.
//!
//! A sample of commits with every event in it is folded, and the digest of the rows is the fingerprint: whoever
//! changes a row or a rule gets another fingerprint without thinking of it, and every store is folded again at the
//! next start. What the sample does not show is told by `VERSION`.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;
use ledger::commit::{Cause, Changes, Commit, Recorded};
use ledger::ids::{CaptureId, CommitId, Position, RecordId, RefundId, RequestHash, TenantId};
use ledger::money::{Money, MoneyError};
use ledger::order::{
    CaptureMode, Card, Challenge, Checkout, Customer, Event, Item, PaymentMethod, ReturnUrls, Surface,
};
use ledger::quarantine::{MatchKey, Reason};
use ledger::{offer, quarantine};
use uuid::Uuid;

use super::keys::Key;
use super::{Digest, StoreError};
use crate::fold::{Base, Batch, FoldError, Recent};

/// To be raised when the meaning of a view changes in a way that the sample does not show.
const VERSION: u64 = 3;

/// The fingerprint of the rows that this version writes.
pub(crate) fn fingerprint() -> Result<[u8; 32], StoreError> {
    let mut digest = Digest::default();
    digest.add(b"version", &VERSION.to_be_bytes());
    let commits = sample().map_err(|reason| StoreError::Damaged(format!("the sample: {reason}")))?;
    let mut recent = Recent::default();
    // Two batches, for the rows of changed orders as well as of new ones.
    let mut rows = Rows::default();
    for part in commits.chunks(3) {
        let mut batch = Batch::new(&rows, &mut recent);
        for recorded in part {
            batch.fold(recorded, None).map_err(|error| match error {
                FoldError::Impossible(reason) => StoreError::Damaged(format!("the sample: {reason}")),
                FoldError::Store(error) => error,
            })?;
        }
        for (key, row) in batch.finish()? {
            digest.add(key.as_ref(), row.as_deref().unwrap_or_default());
            rows.0.insert(key, row);
        }
    }
    Ok(digest.to_bytes())
}

#[derive(Default)]
struct Rows(BTreeMap<Key, Option<Vec<u8>>>);

impl Base for Rows {
    type Row = Vec<u8>;

    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.get(key).cloned().flatten())
    }
}

fn sample() -> Result<Vec<Recorded>, String> {
    let tenant: TenantId = "sample".parse().map_err(|e: ledger::ids::InvalidId| e.to_string())?;
    let euros = |minor: i64| {
        let currency = "EUR".parse()?;
        Money::of(minor, currency)
    };
    let changes = sample_changes(&tenant, euros).map_err(|e| e.to_string())?;
    let mut commits = Vec::new();
    for (sequence, (record, cause, changes)) in (1..).zip(changes) {
        let id = CommitId(Uuid::from_u128(sequence.into()));
        let decided_at =
            Timestamp::from_second(1_750_000_000 + sequence as i64).map_err(|e| e.to_string())?;
        let commit = Commit { id, tenant: tenant.clone(), record, decided_at, cause, changes };
        commits.push(Recorded { position: Position { partition: 0, sequence }, commit });
    }
    Ok(commits)
}

fn sample_changes(
    tenant: &TenantId,
    euros: impl Fn(i64) -> Result<Money, MoneyError>,
) -> Result<Vec<(RecordId, Cause, Changes)>, MoneyError> {
    let text = |text: &str| Some(text.to_owned());
    let [order, late, declined, lapsed] = [1, 2, 3, 4].map(|n| RecordId(Uuid::from_u128(n)));
    let [capture_id, other_capture] = [5, 6].map(|n| CaptureId(Uuid::from_u128(n)));
    let [refund_id, other_refund] = [7, 8].map(|n| RefundId(Uuid::from_u128(n)));
    let command = |operation: &str, key: Option<&str>| Cause::Command {
        operation: operation.to_owned(),
        key: key.map(str::to_owned),
        request_hash: RequestHash([7; 32]),
    };
    let webhook = |event_id: &str| Cause::Webhook {
        source: "psp".to_owned(),
        event_id: event_id.to_owned(),
        body: Bytes::from_static(b"{}"),
    };
    let timer = || Cause::Timer { name: "expiry".to_owned() };
    let method = PaymentMethod {
        kind: "card".to_owned(),
        token: text("tok"),
        card: Some(Card { brand: "visa".to_owned(), last_four: "4242".to_owned(), holder: text("A B") }),
    };
    let items = vec![Item {
        identifier: "sku".to_owned(),
        name: text("Thing"),
        quantity: 2,
        unit_price: Some(euros(500)?),
        parent_identifier: text("box"),
    }];
    let checkout = |capture, reference: &str| -> Result<Event, MoneyError> {
        Ok(Event::CheckoutSubmitted(Box::new(Checkout {
            amount: euros(1000)?,
            merchant_reference: reference.to_owned(),
            capture,
            payment_method: Some(method.clone()),
            items: items.clone(),
            customer: Customer {
                name: text("n"),
                email: text("e"),
                phone: text("p"),
                ip: text("i"),
                details: [("d".to_owned(), "d".to_owned())].into(),
            },
            return_urls: ReturnUrls { success: text("s"), failure: text("f"), cancel: text("c") },
            metadata: [("k".to_owned(), "v".to_owned())].into(),
            expires_at: Timestamp::UNIX_EPOCH,
            surface: Surface { name: "v1".to_owned(), data: [("k".to_owned(), "v".to_owned())].into() },
        })))
    };
    let started = |attempt, payment_reference| Event::AttemptStarted {
        attempt,
        payment_reference,
        payment_method: Some(method.clone()),
    };
    let challenge = Challenge { url: text("u"), html: text("h"), id: text("i") };
    let reference = |text: &str| text.to_owned();
    let reason = || "because".to_owned();

    let order_commits = vec![
        (
            order,
            command("checkout", Some("a")),
            vec![checkout(CaptureMode::Manual, "A-1")?, started(1, None)],
        ),
        (
            order,
            webhook("1"),
            vec![
                Event::AttemptLinked { attempt: 1, payment_reference: reference("pay-1") },
                Event::ActionRequired { attempt: 1, challenge },
            ],
        ),
        (order, webhook("2"), vec![Event::PaymentAuthorized { attempt: 1, amount: euros(1000)? }]),
        (
            order,
            command("capture", None),
            vec![
                Event::CaptureRequested { attempt: 1, capture_id, amount: euros(600)? },
                Event::CaptureRequested { attempt: 1, capture_id: other_capture, amount: euros(400)? },
            ],
        ),
        (
            order,
            webhook("3"),
            vec![Event::PaymentCaptured {
                attempt: 1,
                capture_id: Some(capture_id),
                reference: reference("c-1"),
                amount: euros(600)?,
            }],
        ),
        (
            order,
            webhook("4"),
            vec![Event::CaptureFailed {
                attempt: 1,
                capture_id: Some(other_capture),
                reference: reference("c-2"),
                amount: euros(400)?,
                reason: reason(),
            }],
        ),
        (
            order,
            command("refund", Some("r")),
            vec![
                Event::RefundRequested { attempt: 1, refund_id, amount: euros(100)?, reason: text("why") },
                Event::RefundRequested {
                    attempt: 1,
                    refund_id: other_refund,
                    amount: euros(50)?,
                    reason: None,
                },
            ],
        ),
        (
            order,
            webhook("5"),
            vec![
                Event::RefundSettled {
                    attempt: 1,
                    refund_id: Some(refund_id),
                    reference: reference("r-1"),
                    amount: euros(100)?,
                },
                Event::RefundFailed {
                    attempt: 1,
                    refund_id: Some(other_refund),
                    reference: reference("r-2"),
                    amount: euros(50)?,
                    reason: reason(),
                },
            ],
        ),
        (
            order,
            webhook("6"),
            vec![
                Event::ChargebackOpened {
                    attempt: 1,
                    reference: reference("d-1"),
                    amount: euros(30)?,
                    reason: reason(),
                },
                Event::ChargebackWon { attempt: 1, reference: reference("d-1"), amount: euros(30)? },
                Event::ChargebackLost { attempt: 1, reference: reference("d-2"), amount: euros(20)? },
                Event::WebhookNoted { kind: reference("noise") },
            ],
        ),
        (late, command("checkout", None), vec![checkout(CaptureMode::Automatic, "A-2")?]),
        (late, timer(), vec![Event::OrderExpired]),
        (late, command("forget", None), vec![Event::PersonalDataForgotten]),
        (
            late,
            webhook("7"),
            vec![
                started(1, text("pay-2")),
                Event::PaymentCaptured {
                    attempt: 1,
                    capture_id: None,
                    reference: reference("c-3"),
                    amount: euros(1000)?,
                },
            ],
        ),
        (
            declined,
            command("checkout", None),
            vec![checkout(CaptureMode::Automatic, "A-2")?, started(1, None)],
        ),
        (declined, webhook("8"), vec![Event::PaymentFailed { attempt: 1, reason: reason() }]),
        (declined, command("cancel", None), vec![Event::CancellationRequested, Event::OrderCanceled]),
        (
            lapsed,
            command("checkout", None),
            vec![
                checkout(CaptureMode::Manual, "A-3")?,
                started(1, None),
                Event::PaymentAuthorized { attempt: 1, amount: euros(1000)? },
                Event::AuthorizationExpired { attempt: 1 },
                started(2, None),
                Event::PaymentAuthorized { attempt: 2, amount: euros(1000)? },
                Event::PaymentVoided { attempt: 2 },
            ],
        ),
    ];
    let mut changes: Vec<(RecordId, Cause, Changes)> = order_commits
        .into_iter()
        .map(|(record, cause, events)| (record, cause, Changes::Order(events)))
        .collect();

    let registered = offer::Offer {
        identifier: "offer".to_owned(),
        amount: euros(1000)?,
        items: items.clone(),
        expires_at: Some(Timestamp::UNIX_EPOCH),
        purchasable: true,
    };
    let offer_id = offer::Offer::record_id(tenant, "offer");
    let registered = offer::Event::OfferRegistered(registered);
    changes.push((offer_id, command("offer", None), Changes::Offer(vec![registered])));

    let [released, discarded, waiting] = [11, 12, 13].map(|n| RecordId(Uuid::from_u128(n)));
    let set_aside = |event_reason| quarantine::Event::WebhookQuarantined {
        reason: event_reason,
        detail: reason(),
        waits_for: vec![
            MatchKey::Order(order),
            MatchKey::PaymentReference(reference("pay-9")),
            MatchKey::MerchantReference(reference("A-9")),
        ],
        headers: vec![("webhook-id".to_owned(), "1".to_owned())],
        received_at: Timestamp::UNIX_EPOCH,
    };
    let quarantine_commits = [
        (released, webhook("9"), set_aside(Reason::UnknownOrder)),
        (discarded, webhook("10"), set_aside(Reason::BadSignature)),
        (waiting, webhook("11"), set_aside(Reason::UnknownOrder)),
        (released, timer(), quarantine::Event::WebhookReleased { order }),
        (discarded, command("discard", None), quarantine::Event::WebhookDiscarded { reason: reason() }),
    ];
    for (record, cause, event) in quarantine_commits {
        changes.push((record, cause, Changes::Quarantine(vec![event])));
    }
    Ok(changes)
}
