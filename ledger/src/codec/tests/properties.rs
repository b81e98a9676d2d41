//! Whatever commit there is, it reads as it was written; whatever bytes there are, nothing panics.

use std::fmt::Debug;

use bytes::Bytes;
use jiff::Timestamp;
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use uuid::Uuid;

use super::cases::cases;
use super::golden::{golden, key};
use crate::codec::{commit_id, decode, decode_sealed, encode, encode_sealed, event_names, public_events};
use crate::commit::{Cause, Changes, Commit};
use crate::ids::{CaptureId, CommitId, RecordId, RefundId, RequestHash, TenantId};
use crate::money::{MAX_MINOR, Money};
use crate::offer::{self, Offer};
use crate::order::{
    CaptureMode, Card, Challenge, Checkout, Customer, Event, Item, PaymentMethod, ReturnUrls, Surface,
};
use crate::quarantine::{self, MatchKey, Reason};

fn text() -> impl Strategy<Value = String> + Clone {
    prop_oneof!["[a-z0-9_-]{0,12}", any::<String>(), Just("\"\\\u{0}\n\u{7f}\u{2028}".to_owned())]
}

fn uuid() -> impl Strategy<Value = Uuid> + Clone {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn moment() -> impl Strategy<Value = Timestamp> + Clone {
    let millis = Timestamp::MIN.as_millisecond()..=Timestamp::MAX.as_millisecond();
    let sensible = 0..=4_102_444_800_000_i64;
    prop_oneof![3 => sensible, 1 => millis].prop_map(|ms| Timestamp::from_millisecond(ms).unwrap())
}

fn money() -> impl Strategy<Value = Money> + Clone {
    let minor = prop_oneof![1..=100_000_i64, 1..=MAX_MINOR];
    let currency = prop::sample::select(vec!["EUR", "USD", "TRY", "JPY", "KWD", "CLF"]);
    (minor, currency).prop_map(|(minor, code)| Money::of(minor, code.parse().unwrap()).unwrap())
}

fn payment_method() -> impl Strategy<Value = PaymentMethod> + Clone {
    let card =
        (text(), text(), of(text())).prop_map(|(brand, last_four, holder)| Card { brand, last_four, holder });
    (text(), of(text()), of(card)).prop_map(|(kind, token, card)| PaymentMethod { kind, token, card })
}

fn item() -> impl Strategy<Value = Item> + Clone {
    (text(), of(text()), any::<u32>(), of(money()), of(text())).prop_map(
        |(identifier, name, quantity, unit_price, parent_identifier)| Item {
            identifier,
            name,
            quantity,
            unit_price,
            parent_identifier,
        },
    )
}

fn notes() -> impl Strategy<Value = std::collections::BTreeMap<String, String>> + Clone {
    btree_map(text(), text(), 0..3)
}

fn checkout() -> impl Strategy<Value = Checkout> + Clone {
    let capture = prop::sample::select(vec![CaptureMode::Automatic, CaptureMode::Manual]);
    let customer = (of(text()), of(text()), of(text()), of(text()), notes())
        .prop_map(|(name, email, phone, ip, details)| Customer { name, email, phone, ip, details });
    let urls = (of(text()), of(text()), of(text())).prop_map(|(success, failure, cancel)| ReturnUrls {
        success,
        failure,
        cancel,
    });
    let surface = (text(), notes()).prop_map(|(name, data)| Surface { name, data });
    let paid = (money(), text(), capture, of(payment_method()), vec(item(), 0..3));
    (paid, customer, urls, notes(), moment(), surface).prop_map(
        |(
            (amount, merchant_reference, capture, payment_method, items),
            customer,
            return_urls,
            metadata,
            expires_at,
            surface,
        )| Checkout {
            amount,
            merchant_reference,
            capture,
            payment_method,
            items,
            customer,
            return_urls,
            metadata,
            expires_at,
            surface,
        },
    )
}

/// Any event with fields as they come. A new event that is missing here is caught by the golden files.
fn order_event() -> impl Strategy<Value = Event> + Clone {
    let attempt = any::<u32>;
    let challenge =
        (of(text()), of(text()), of(text())).prop_map(|(url, html, id)| Challenge { url, html, id });
    let report = || (attempt(), of(uuid()), text(), money(), text());
    let rare = prop_oneof![
        Just(Event::CancellationRequested),
        Just(Event::OrderCanceled),
        Just(Event::OrderExpired),
        attempt().prop_map(|attempt| Event::PaymentVoided { attempt }),
        attempt().prop_map(|attempt| Event::AuthorizationExpired { attempt }),
        text().prop_map(|kind| Event::WebhookNoted { kind }),
        notes().prop_map(|data| Event::SurfaceNoted { data }),
        Just(Event::PersonalDataForgotten),
    ];
    prop_oneof![
        checkout().prop_map(|checkout| Event::CheckoutSubmitted(Box::new(checkout))),
        (attempt(), of(text()), of(payment_method())).prop_map(
            |(attempt, payment_reference, payment_method)| Event::AttemptStarted {
                attempt,
                payment_reference,
                payment_method
            }
        ),
        (attempt(), text())
            .prop_map(|(attempt, payment_reference)| Event::AttemptLinked { attempt, payment_reference }),
        (attempt(), challenge).prop_map(|(attempt, challenge)| Event::ActionRequired { attempt, challenge }),
        (attempt(), money()).prop_map(|(attempt, amount)| Event::PaymentAuthorized { attempt, amount }),
        (attempt(), text()).prop_map(|(attempt, reason)| Event::PaymentFailed { attempt, reason }),
        (attempt(), uuid(), money()).prop_map(|(attempt, id, amount)| Event::CaptureRequested {
            attempt,
            capture_id: CaptureId(id),
            amount
        }),
        report().prop_map(|(attempt, id, reference, amount, _)| Event::PaymentCaptured {
            attempt,
            capture_id: id.map(CaptureId),
            reference,
            amount
        }),
        report().prop_map(|(attempt, id, reference, amount, reason)| Event::CaptureFailed {
            attempt,
            capture_id: id.map(CaptureId),
            reference,
            amount,
            reason
        }),
        rare,
        (attempt(), uuid(), money(), of(text())).prop_map(|(attempt, id, amount, reason)| {
            Event::RefundRequested { attempt, refund_id: RefundId(id), amount, reason }
        }),
        report().prop_map(|(attempt, id, reference, amount, _)| Event::RefundSettled {
            attempt,
            refund_id: id.map(RefundId),
            reference,
            amount
        }),
        report().prop_map(|(attempt, id, reference, amount, reason)| Event::RefundFailed {
            attempt,
            refund_id: id.map(RefundId),
            reference,
            amount,
            reason
        }),
        report().prop_map(|(attempt, _, reference, amount, reason)| Event::ChargebackOpened {
            attempt,
            reference,
            amount,
            reason
        }),
        report().prop_map(|(attempt, _, reference, amount, _)| Event::ChargebackWon {
            attempt,
            reference,
            amount
        }),
        report().prop_map(|(attempt, _, reference, amount, _)| Event::ChargebackLost {
            attempt,
            reference,
            amount
        }),
    ]
}

fn offer_event() -> impl Strategy<Value = offer::Event> + Clone {
    (text(), money(), vec(item(), 0..3), of(moment()), any::<bool>()).prop_map(
        |(identifier, amount, items, expires_at, purchasable)| {
            offer::Event::OfferRegistered(Offer { identifier, amount, items, expires_at, purchasable })
        },
    )
}

fn quarantine_event() -> impl Strategy<Value = quarantine::Event> + Clone {
    let key = prop_oneof![
        uuid().prop_map(|id| MatchKey::Order(RecordId(id))),
        text().prop_map(MatchKey::PaymentReference),
        text().prop_map(MatchKey::MerchantReference),
    ];
    let reason = prop::sample::select(Reason::ALL.to_vec());
    prop_oneof![
        (reason, text(), vec(key, 0..3), vec((text(), text()), 0..3), moment()).prop_map(
            |(reason, detail, waits_for, headers, received_at)| quarantine::Event::WebhookQuarantined {
                reason,
                detail,
                waits_for,
                headers,
                received_at
            }
        ),
        uuid().prop_map(|id| quarantine::Event::WebhookReleased { order: RecordId(id) }),
        text().prop_map(|reason| quarantine::Event::WebhookDiscarded { reason }),
    ]
}

fn cause() -> impl Strategy<Value = Cause> + Clone {
    let body = prop_oneof![text().prop_map(Bytes::from), vec(any::<u8>(), 0..40).prop_map(Bytes::from)];
    prop_oneof![
        (text(), of(text()), any::<[u8; 32]>()).prop_map(|(operation, key, hash)| Cause::Command {
            operation,
            key,
            request_hash: RequestHash(hash)
        }),
        (text(), text(), body).prop_map(|(source, event_id, body)| Cause::Webhook { source, event_id, body }),
        text().prop_map(|name| Cause::Timer { name }),
    ]
}

fn some_of<T: Debug + Clone>(
    event: impl Strategy<Value = T> + Clone,
) -> impl Strategy<Value = Vec<T>> + Clone {
    vec(event, 1..12)
}

fn commit() -> impl Strategy<Value = Commit> {
    let tenant = "[a-z0-9][a-z0-9-]{0,31}".prop_map(|name| name.parse::<TenantId>().unwrap());
    let changes = prop_oneof![
        4 => some_of(order_event()).prop_map(Changes::Order),
        1 => some_of(offer_event()).prop_map(Changes::Offer),
        1 => some_of(quarantine_event()).prop_map(Changes::Quarantine),
    ];
    (uuid(), tenant, uuid(), moment(), cause(), changes).prop_map(
        |(id, tenant, record, decided_at, cause, changes)| Commit {
            id: CommitId(id),
            tenant,
            record: RecordId(record),
            decided_at,
            cause,
            changes,
        },
    )
}

/// A golden file with a few bytes overwritten, removed or repeated.
fn mutated_golden() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<u8>(), 0..4_u8);
    let names = cases().into_iter().flat_map(|case| [case.name.to_owned(), format!("sealed/{}", case.name)]);
    (prop::sample::select(names.collect::<Vec<_>>()), vec(change, 1..4)).prop_map(|(name, changes)| {
        let mut bytes = golden(&name);
        for (at, byte, kind) in changes {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes[at] = b"{}[]\",:0-.eE"[usize::from(byte) % 12],
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, bytes[at]),
            }
        }
        bytes
    })
}

/// If it reads at all, it can be written, and then reads as the same again.
fn check_never_panics(bytes: &[u8]) {
    let id = commit_id(bytes);
    if let Ok((mut commit, sealed)) = decode_sealed(bytes) {
        assert_eq!(id, Ok(commit.id));
        assert_eq!(decode(&encode(&commit)), Ok(commit.clone()));
        if let Some(sealed) = sealed
            && sealed.open(&key(), &mut commit).is_ok()
        {
            assert_eq!(decode(&encode(&commit)), Ok(commit));
        }
    }
}

proptest! {
    #[test]
    fn every_commit_reads_as_it_was_written(commit in commit()) {
        let bytes = encode(&commit);
        prop_assert_eq!(commit_id(&bytes), Ok(commit.id));
        prop_assert_eq!(encode(&commit), bytes.clone());
        let read = decode(&bytes).unwrap();
        prop_assert_eq!(&read, &commit);
        prop_assert_eq!(encode(&read), bytes);
    }

    #[test]
    fn every_commit_reads_as_it_was_sealed(commit in commit()) {
        let bytes = encode_sealed(&commit, Some(&key()));
        prop_assert_eq!(commit_id(&bytes), Ok(commit.id));
        let (mut read, sealed) = decode_sealed(&bytes).unwrap();
        prop_assert_eq!(encode_sealed(&read, None), encode_sealed(&commit, None));
        sealed.unwrap().open(&key(), &mut read).unwrap();
        prop_assert_eq!(read, commit);
    }

    #[test]
    fn every_commit_has_public_events_under_their_names(commit in commit()) {
        let names: Vec<String> =
            public_events(&commit).iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect();
        prop_assert_eq!(names, event_names(&commit.changes));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
        check_never_panics(&bytes);
    }

    #[test]
    fn damaged_commits_never_panic(bytes in mutated_golden()) {
        check_never_panics(&bytes);
    }
}
