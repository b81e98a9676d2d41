//! What was ever written can be read, and what is written today is what was written then.
//!
//! A golden file is one commit and a newline. It is never edited: an event that must say something new gets a new
//! version and a new file, and the old file's name moves from `cases` to `UPCAST`, where it is only read.
//!
//! `golden` holds commits that everybody can read (format 1), `golden/sealed` the same as they are written into a log
//! (format 2), sealed with the key below.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::cases::{Case, UPCAST, case, cases};
use crate::codec::{
    EVENT_NAMES, commit_id, decode, decode_sealed, encode, encode_sealed, event_names, public_events,
};
use crate::commit::{Cause, Changes, Commit};
use crate::ids::RequestHash;
use crate::keys::{Key, KeyId, PageId};
use crate::{offer, order, quarantine};

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// The stored bytes of a golden file.
#[track_caller]
pub(super) fn golden(name: &str) -> Vec<u8> {
    let path = directory().join(format!("{name}.json"));
    let mut bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(bytes.pop(), Some(b'\n'), "{name} ends with a newline");
    bytes
}

/// The key of the sealed golden files.
pub(super) fn key() -> Key {
    let bytes: [u8; 32] = std::array::from_fn(|index| index as u8);
    Key { id: KeyId { page: PageId(0x0123_4567_89ab_cdef), place: 42 }, bytes }
}

#[test]
fn every_golden_file_is_read_and_written_as_it_stands() {
    for Case { name, commit } in cases() {
        let bytes = golden(name);
        assert_eq!(decode(&bytes).as_ref(), Ok(&commit), "{name}");
        let written = String::from_utf8(encode(&commit)).unwrap();
        assert_eq!(written, String::from_utf8(bytes).unwrap(), "{name}");
    }
}

#[test]
fn every_sealed_golden_file_is_read_and_written_as_it_stands() {
    for Case { name, commit } in cases() {
        let bytes = golden(&format!("sealed/{name}"));
        let written = String::from_utf8(encode_sealed(&commit, Some(&key()))).unwrap();
        assert_eq!(written, String::from_utf8(bytes.clone()).unwrap(), "{name}");
        let (mut read, sealed) = decode_sealed(&bytes).unwrap();
        let sealed = sealed.unwrap();
        assert_eq!(sealed.key, key().id, "{name}");
        sealed.open(&key(), &mut read).unwrap();
        assert_eq!(read, commit, "{name}");
    }
}

#[test]
fn an_event_of_an_earlier_version_says_what_it_said_then() {
    for (old, new) in UPCAST {
        let upcast = decode(&golden(old)).unwrap();
        assert_eq!(upcast, case(new), "{old}");
        let old_names = String::from_utf8(golden(old)).unwrap();
        assert!(old_names.contains("checkout_submitted.v1"), "{old}");
        assert_eq!(encode(&upcast), golden(new), "{old} is written anew as {new}");
    }
}

#[test]
fn what_is_sealed_opens_with_its_key_in_its_place_and_not_otherwise() {
    let commit = case("checkout_submitted.v2");
    let (read, sealed) = decode_sealed(&encode_sealed(&commit, Some(&key()))).unwrap();
    let sealed = sealed.unwrap();
    let opens = |key: &Key, into: &Commit| sealed.open(key, &mut into.clone()).is_ok();
    assert!(opens(&key(), &read));
    let mut other_key = key();
    other_key.bytes[31] ^= 1;
    assert!(!opens(&other_key, &read));
    let mut elsewhere = read.clone();
    elsewhere.record = crate::ids::RecordId::random();
    assert!(!opens(&key(), &elsewhere));
    let mut other_commit = read.clone();
    other_commit.id = crate::ids::CommitId::random();
    assert!(!opens(&key(), &other_commit));
}

#[test]
fn without_its_key_a_commit_says_nothing_personal_and_everything_else() {
    for Case { name, commit } in cases() {
        let (closed, _) = decode_sealed(&golden(&format!("sealed/{name}"))).unwrap();
        let bare = decode(&encode_sealed(&commit, None)).unwrap();
        assert_eq!(closed, bare, "{name}");
        assert_eq!(event_names(&closed.changes), event_names(&commit.changes), "{name}");
        match closed.cause {
            Cause::Command { request_hash, .. } => assert_eq!(request_hash, RequestHash::UNKNOWN, "{name}"),
            Cause::Webhook { body, .. } => assert_eq!(body, "", "{name}"),
            Cause::Timer { .. } => {}
        }
    }
}

/// For a new case: `cargo test -p ledger write_golden_files_that_are_missing -- --ignored`, and read what it wrote.
#[test]
#[ignore = "writes files"]
fn write_golden_files_that_are_missing() {
    for Case { name, commit } in cases() {
        let sealed = (format!("sealed/{name}"), encode_sealed(&commit, Some(&key())));
        for (name, mut bytes) in [(name.to_owned(), encode(&commit)), sealed] {
            let path = directory().join(format!("{name}.json"));
            if !path.exists() {
                bytes.push(b'\n');
                std::fs::write(path, bytes).unwrap();
            }
        }
    }
}

#[test]
fn every_event_name_has_a_golden_file_and_every_file_a_case() {
    let files = |directory: PathBuf| -> BTreeSet<String> {
        let names = std::fs::read_dir(directory).unwrap();
        let names = names.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "sealed").collect()
    };
    let written: BTreeSet<String> = cases().iter().map(|case| format!("{}.json", case.name)).collect();
    assert_eq!(files(directory().join("sealed")), written);
    let files = files(directory());
    let read = UPCAST.iter().map(|(old, _)| format!("{old}.json"));
    assert_eq!(files, written.into_iter().chain(read).collect());
    for name in EVENT_NAMES {
        assert!(files.contains(&format!("{name}.json")), "{name}");
    }
}

/// Stops compilation when an event is added: give it a name, a case and a golden file.
fn name_of(changes: &Changes) -> &'static str {
    match changes {
        Changes::Order(events) => match &events[0] {
            order::Event::CheckoutSubmitted(_) => "checkout_submitted.v2",
            order::Event::AttemptStarted { .. } => "attempt_started.v1",
            order::Event::AttemptLinked { .. } => "attempt_linked.v1",
            order::Event::ActionRequired { .. } => "action_required.v1",
            order::Event::PaymentAuthorized { .. } => "payment_authorized.v1",
            order::Event::PaymentFailed { .. } => "payment_failed.v1",
            order::Event::CaptureRequested { .. } => "capture_requested.v1",
            order::Event::PaymentCaptured { .. } => "payment_captured.v1",
            order::Event::CaptureFailed { .. } => "capture_failed.v1",
            order::Event::CancellationRequested => "cancellation_requested.v1",
            order::Event::OrderCanceled => "order_canceled.v1",
            order::Event::OrderExpired => "order_expired.v1",
            order::Event::PaymentVoided { .. } => "payment_voided.v1",
            order::Event::AuthorizationExpired { .. } => "authorization_expired.v1",
            order::Event::RefundRequested { .. } => "refund_requested.v1",
            order::Event::RefundSettled { .. } => "refund_settled.v1",
            order::Event::RefundFailed { .. } => "refund_failed.v1",
            order::Event::ChargebackOpened { .. } => "chargeback_opened.v1",
            order::Event::ChargebackWon { .. } => "chargeback_won.v1",
            order::Event::ChargebackLost { .. } => "chargeback_lost.v1",
            order::Event::WebhookNoted { .. } => "webhook_noted.v1",
            order::Event::SurfaceNoted { .. } => "surface_noted.v1",
            order::Event::PersonalDataForgotten => "personal_data_forgotten.v1",
        },
        Changes::Offer(events) => match &events[0] {
            offer::Event::OfferRegistered(_) => "offer_registered.v1",
        },
        Changes::Quarantine(events) => match &events[0] {
            quarantine::Event::WebhookQuarantined { .. } => "webhook_quarantined.v1",
            quarantine::Event::WebhookReleased { .. } => "webhook_released.v1",
            quarantine::Event::WebhookDiscarded { .. } => "webhook_discarded.v1",
        },
    }
}

#[test]
fn an_event_is_stored_under_its_name() {
    for Case { name, commit } in cases() {
        assert_eq!(event_names(&commit.changes)[0], name_of(&commit.changes), "{name}");
        if EVENT_NAMES.contains(&name) {
            assert_eq!(event_names(&commit.changes), [name]);
        }
    }
}

#[test]
fn the_id_of_a_commit_is_read_from_its_head_alone() {
    for Case { name, commit } in cases() {
        let bytes = golden(name);
        assert_eq!(commit_id(&bytes), Ok(commit.id), "{name}");
        assert_eq!(commit_id(&bytes[..60]), Ok(commit.id), "{name}, cut off");
    }
    let spaced = br#"{ "format": 1, "commit": "019a9c3e-4b00-7000-8000-000000000001" }"#;
    assert_eq!(commit_id(spaced).unwrap().to_string(), "019a9c3e-4b00-7000-8000-000000000001");
}

/// A commit as it looks when its personal data was taken away.
fn erased(commit: &Commit) -> Vec<u8> {
    let text = String::from_utf8(encode(commit)).unwrap();
    let (rest, _) = text.split_once(",\"personal\":").unwrap();
    format!("{rest}}}").into_bytes()
}

#[test]
fn personal_data_is_in_personal_and_nowhere_else() {
    let erased = String::from_utf8(erased(&case("checkout_submitted.v2"))).unwrap();
    for personal in ["Ada", "ada@example.com", "+44", "192.0.2.7", "shop.example", "channel"] {
        assert!(!erased.contains(personal), "{personal}");
    }
}

#[test]
fn a_commit_without_its_personal_data_reads_as_if_there_had_been_none() {
    let bytes = erased(&case("personal_of_two_events.v2"));
    let commit = decode(&bytes).unwrap();
    assert_eq!(encode(&commit), bytes);
    let Changes::Order(events) = commit.changes else { panic!() };
    let order::Event::CheckoutSubmitted(checkout) = &events[0] else { panic!() };
    assert_eq!(checkout.customer, order::Customer::default());
    let order::Event::AttemptStarted { payment_method: Some(method), .. } = &events[1] else { panic!() };
    assert_eq!(method.card.as_ref().unwrap().holder, None);
}

#[test]
fn public_events_have_personal_data_in_its_place_and_no_cause() {
    let events = public_events(&case("personal_of_two_events.v2"));
    assert_eq!(events[0]["type"], "checkout_submitted.v2");
    assert_eq!(events[0]["customer"], serde_json::json!({"email": "ada@example.com"}));
    assert_eq!(events[0]["payment_method"]["card"]["holder"], "Ada L.");
    assert_eq!(events[1]["payment_method"]["card"]["holder"], "Ada L.");
    let webhook = public_events(&case("webhook_body_as_received"));
    assert_eq!(webhook, [serde_json::json!({"type": "webhook_noted.v1", "kind": "payment.updated"})]);
    let least = public_events(&case("least.v2"));
    assert_eq!(least[0].get("customer"), None);
}

#[test]
fn a_moment_finer_than_a_millisecond_is_kept() {
    let mut commit = case("cause_timer");
    for moment in
        ["2026-11-20T10:00:00.123456Z", "2026-11-20T10:00:00.123456789Z", "2026-11-20T10:00:00.100Z"]
    {
        commit.decided_at = moment.parse().unwrap();
        let bytes = encode(&commit);
        assert!(std::str::from_utf8(&bytes).unwrap().contains(moment));
        assert_eq!(decode(&bytes).as_ref(), Ok(&commit));
    }
}

#[test]
fn a_body_that_escapes_badly_still_fits_into_a_journal() {
    for body in ["\u{1}".repeat(256 * 1024), "\"".repeat(256 * 1024 + 1)] {
        let mut commit = case("webhook_body_as_received");
        commit.cause =
            Cause::Webhook { source: "psp".to_owned(), event_id: "evt_1".to_owned(), body: body.into() };
        let bytes = encode(&commit);
        assert!(bytes.len() < 512 * 1024, "{}", bytes.len());
        assert_eq!(decode(&bytes), Ok(commit));
    }
}
