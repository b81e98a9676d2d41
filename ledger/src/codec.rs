//! The stored form of a commit: JSON with versioned event names, for an auditor with `nats` and `jq` in ten years.
//!
//! Nothing else knows this form. What must stay true:
//!
//! - What was written is never written otherwise: one commit has one encoding, and a stored version of an event
//!   keeps its shape for ever (`tests/golden` pins every one). A changed event gets a new version; see `event`.
//! - What cannot be read is an error with a reason, never a guess and never a panic.
//! - Personal data is in `sealed` and nowhere else (in `personal`, before it was sealed), so that it can be taken away
//!   and the rest still reads.

mod convert;
mod envelope;
mod event;
mod parts;
mod personal;
mod scalar;
mod sealed;
mod shapes;
#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::commit::{Cause, Changes, Commit};
use crate::ids::{CommitId, InvalidId};
use crate::keys::Key;
use envelope::Envelope;
use event::StoredEvent;
pub use sealed::{Sealed, SealedEvents};

/// Every name that an event has ever been stored under, such as `payment_captured.v1`.
pub const EVENT_NAMES: &[&str] = StoredEvent::NAMES;

/// Bytes that are not a commit, or not one that this version of Daybook can read. The text says why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a commit: {0}")]
pub struct DecodeError(pub String);

impl From<InvalidId> for DecodeError {
    fn from(error: InvalidId) -> Self {
        DecodeError(error.to_string())
    }
}

/// The commit as everybody can read it: the form of logs from before personal data was sealed, and of an archive that
/// is to be readable. The same commit gives the same bytes, always.
pub fn encode(commit: &Commit) -> Vec<u8> {
    written(&Envelope::open(commit))
}

/// The commit as it is stored: its personal data sealed with a key, or left out where there is to be none. The same
/// commit and key give the same bytes, always.
pub fn encode_sealed(commit: &Commit, key: Option<&Key>) -> Vec<u8> {
    match key {
        Some(key) => written(&Envelope::sealed(commit, key)),
        None => written(&Envelope::bare(commit)),
    }
}

fn written(envelope: &Envelope<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1024);
    serde_json::to_writer(&mut bytes, envelope).expect("texts and numbers are always JSON");
    bytes
}

/// The commit that `bytes` store, in whatever version it was written, without what is sealed of it: the personal
/// data in its events, the hash of its request, the body of its webhook.
pub fn decode(bytes: &[u8]) -> Result<Commit, DecodeError> {
    decode_sealed(bytes).map(|(commit, _)| commit)
}

/// The same, and what is sealed, to be opened with its key.
pub fn decode_sealed(bytes: &[u8]) -> Result<(Commit, Option<Sealed>), DecodeError> {
    // Whether all of it is text is seen faster at once than string by string.
    let envelope = match std::str::from_utf8(bytes) {
        Ok(text) => serde_json::from_str::<Envelope<'_>>(text),
        Err(_) => serde_json::from_slice(bytes),
    };
    envelope.map_err(|error| envelope::explain(bytes, &error))?.into_commit()
}

/// The id of an encoded commit, without reading the rest of it.
pub fn commit_id(bytes: &[u8]) -> Result<CommitId, DecodeError> {
    envelope::commit_id(bytes)
}

/// The names that the events are stored under, in their order.
pub fn event_names(changes: &Changes) -> Vec<&'static str> {
    stored_events(changes).iter().map(StoredEvent::name).collect()
}

/// The events as JSON for the tenant they belong to: as they are stored, with the personal data in its place
/// (`customer`, `payment_method.card.holder`). What caused them, such as a webhook's raw body, is not part of it.
pub fn public_events(commit: &Commit) -> Vec<Value> {
    let personal = personal::of(&commit.changes);
    let with_personal = |(index, stored): (usize, StoredEvent<'_>)| {
        let mut event = serde_json::to_value(stored).expect("texts and numbers are always JSON");
        if let Some(personal) = personal.get(&index) {
            personal.merge_into(&mut event);
        }
        event
    };
    stored_events(&commit.changes).into_iter().enumerate().map(with_personal).collect()
}

/// Whether a commit that was decoded, and not opened, shows something that would be sealed today.
pub(crate) fn holds_open_personal_data(commit: &Commit) -> bool {
    let has_body = matches!(&commit.cause, Cause::Webhook { body, .. } if !body.is_empty());
    has_body || !personal::of(&commit.changes).is_empty()
}

fn stored_events(changes: &Changes) -> Vec<StoredEvent<'_>> {
    match changes {
        Changes::Order(events) => events.iter().map(StoredEvent::from).collect(),
        Changes::Offer(events) => events.iter().map(StoredEvent::from).collect(),
        Changes::Quarantine(events) => events.iter().map(StoredEvent::from).collect(),
    }
}
