//! The idempotency view: which commit an idempotency key made.
//!
//! For people and for support; the guarantee itself never depends on a view (see `ledger::execute`).

use ledger::commit::{Cause, Recorded};
use ledger::ids::{Position, RecordId, RequestHash};

/// The first commit that was made under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdempotencyEntry {
    /// The record it changed.
    pub record: RecordId,
    /// Where it stands.
    pub position: Position,
    /// Hash of its request.
    pub request_hash: RequestHash,
}

/// The operation and key of a commit, and what they are to point at; none without a key.
pub fn entry(recorded: &Recorded) -> Option<(&str, &str, IdempotencyEntry)> {
    match &recorded.commit.cause {
        Cause::Command { operation, key: Some(key), request_hash } => {
            let entry = IdempotencyEntry {
                record: recorded.commit.record,
                position: recorded.position,
                request_hash: *request_hash,
            };
            Some((operation, key, entry))
        }
        Cause::Command { key: None, .. } | Cause::Webhook { .. } | Cause::Timer { .. } => None,
    }
}

/// The request's hash, when the commit's key is what gave the record its id.
pub fn opened_by(recorded: &Recorded) -> Option<RequestHash> {
    let (operation, key, entry) = entry(recorded)?;
    let derived = RecordId::for_key(&recorded.commit.tenant, operation, key);
    (derived == entry.record).then_some(entry.request_hash)
}
