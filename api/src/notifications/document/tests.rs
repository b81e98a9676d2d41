//! What is stored reads as it was written, whoever wrote it, and fits into any journal.

use ledger::ids::RecordId;
use ledger::journal::MAX_MEMO_BYTES;

use super::*;
use crate::notifications::queue::{MAX_GIVEN_UP, MAX_PENDING};
use crate::notifications::sender::MAX_REASON;

fn entry(sequence: u64) -> Entry {
    let at = Timestamp::MAX;
    let order = RecordId(Uuid::from_u128(u128::MAX));
    Entry {
        id: NotificationId { order, position: Position { partition: u16::MAX, sequence } },
        changed_at: at,
        attempts: u32::MAX,
        next_at: at,
        last_at: Some(at),
        last_error: Some("x".repeat(MAX_REASON)),
    }
}

fn full() -> Document {
    Document {
        owner: Some(Uuid::max()),
        read: vec![u64::MAX; 64],
        pending: (0..MAX_PENDING as u64).map(|n| entry(u64::MAX - n)).collect(),
        given_up: (0..MAX_GIVEN_UP as u64).map(|n| entry(u64::MAX / 2 - n)).collect(),
        requested: Vec::new(),
    }
}

#[test]
fn the_fullest_document_fits_into_a_memo() {
    let size = full().to_bytes().len();
    assert!(size <= MAX_MEMO_BYTES, "{size}");
    let mut requested = full();
    while let Some(entry) = requested.given_up.first().cloned() {
        assert!(requested.request(entry.id, Timestamp::MAX));
    }
    let size = requested.to_bytes().len();
    assert!(size <= MAX_MEMO_BYTES, "{size}");
}

#[test]
fn a_document_reads_as_it_was_written() {
    for document in [full(), Document::beginning(vec![42]), Document::beginning(Vec::new())] {
        assert_eq!(Document::parse(&document.to_bytes()), Ok(document.clone()));
        let queue = document.clone().into_queue();
        let sorted = |mut entries: Vec<Entry>| {
            entries.sort_by_key(|entry| entry.id.position);
            entries
        };
        let again = Document::of(&queue, document.owner);
        assert_eq!(sorted(again.pending), sorted(document.pending));
        assert_eq!((again.read, again.given_up), (document.read, document.given_up));
    }
}

#[test]
fn the_stored_form_stays() {
    let stored = r#"{"version":1,"owner":"67e55044-10b1-426f-9247-bb680e5fe0c8","read":[42],"pending":[{"id":"ntf_bd6fdb1c-5e78-55f9-aee6-ed210905f6db_0-42","changed_at":"2026-11-20T10:00:00.123Z","attempts":2,"next_at":"2026-11-20T10:00:03Z","last_at":"2026-11-20T10:00:01.5Z","last_error":"answered 500"}],"given_up":[],"requested":["0-42"]}"#;
    let document = Document::parse(stored.as_bytes()).unwrap();
    assert_eq!(document.pending[0].attempts, 2);
    assert_eq!(String::from_utf8_lossy(&document.to_bytes()), stored);
    for bad in
        ["", "{}", "[]", &stored.replace("\"version\":1", "\"version\":2"), &stored.replace("0-42", "42")]
    {
        assert!(Document::parse(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn what_is_requested_is_pending_at_once_and_named() {
    let mut document = Document::beginning(vec![9]);
    document.given_up = vec![entry(7), entry(3)];
    document.pending = vec![entry(5)];
    assert!(document.request(entry(3).id, Timestamp::UNIX_EPOCH));
    assert!(!document.request(entry(3).id, Timestamp::UNIX_EPOCH), "it is pending already");
    let positions: Vec<u64> = document.pending.iter().map(|entry| entry.id.position.sequence).collect();
    assert_eq!(positions, [3, 5]);
    assert_eq!(document.pending[0].next_at, Timestamp::UNIX_EPOCH);
    assert_eq!(document.requested, [entry(3).id.position]);
}
