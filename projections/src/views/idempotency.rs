//! The idempotency view: which commit an idempotency key made.
//!
//! For people and for support; the guarantee itself never depends on a view (see `ledger::execute`).

use ledger::commit::{Cause, Recorded};
use ledger::ids::{Position, RecordId};

/// The first commit that was made under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdempotencyEntry {
    /// The record it changed.
    pub record: RecordId,
    /// Where it stands.
    pub position: Position,
}

/// The operation and key of a commit, and what they are to point at; none without a key.
pub fn entry(recorded: &Recorded) -> Option<(&str, &str, IdempotencyEntry)> {
    match &recorded.commit.cause {
        Cause::Command { operation, key: Some(key), request_hash: _ } => {
            let entry = IdempotencyEntry { record: recorded.commit.record, position: recorded.position };
            Some((operation, key, entry))
        }
        Cause::Command { key: None, .. } | Cause::Webhook { .. } | Cause::Timer { .. } => None,
    }
}

/// Whether the commit's key is what gave the record its id.
pub fn opens(recorded: &Recorded) -> bool {
    let Some((operation, key, entry)) = entry(recorded) else { return false };
    RecordId::for_key(&recorded.commit.tenant, operation, key) == entry.record
}
