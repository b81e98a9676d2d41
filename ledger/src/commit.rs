//! What one message of the log says: who decided what about which record, when, and because of what.

use bytes::Bytes;
use jiff::Timestamp;

use crate::ids::{CommitId, Position, RecordId, RequestHash, TenantId};
use crate::journal::Subject;
use crate::{offer, order, quarantine};

/// One commit: everything that one cause did to one record, stored together or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its id, the same on every retry.
    pub id: CommitId,
    /// Whose.
    pub tenant: TenantId,
    /// The record it is about.
    pub record: RecordId,
    /// When it was decided, by the clock of the node that did, in whole milliseconds.
    pub decided_at: Timestamp,
    /// Why.
    pub cause: Cause,
    /// What happened; at least one event.
    pub changes: Changes,
}

impl Commit {
    /// The subject of the log that this commit belongs to.
    pub fn subject(&self) -> Subject {
        Subject { tenant: self.tenant.clone(), id: self.record }
    }
}

/// A commit with its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Where it stands.
    pub position: Position,
    /// What it says.
    pub commit: Commit,
}

/// Why a commit came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// Somebody called the API.
    Command {
        /// The kind of operation, such as `checkout` or `refund`; the scope of the idempotency key.
        operation: String,
        /// The caller's idempotency key.
        key: Option<String>,
        /// Hash of the request, to tell a retry from another request under the same key.
        request_hash: RequestHash,
    },
    /// A PSP sent a webhook.
    Webhook {
        /// The source's name in the tenant's configuration.
        source: String,
        /// The sender's id of the event; (source, event id) is counted once.
        event_id: String,
        /// The body, byte for byte as received.
        body: Bytes,
    },
    /// A clock ran out.
    Timer {
        /// Which, such as `expiry`.
        name: String,
    },
}

impl Cause {
    /// Whether `other` is this cause again: the same key of the same operation, or the same event of the same
    /// source. Timers are never the same.
    pub fn is_repeated_by(&self, other: &Cause) -> bool {
        match (self, other) {
            (
                Cause::Command { operation: a, key: Some(x), .. },
                Cause::Command { operation: b, key: Some(y), .. },
            ) => (a, x) == (b, y),
            (
                Cause::Webhook { source: a, event_id: x, .. },
                Cause::Webhook { source: b, event_id: y, .. },
            ) => (a, x) == (b, y),
            (Cause::Command { .. } | Cause::Webhook { .. } | Cause::Timer { .. }, _) => false,
        }
    }
}

/// The events of a commit, by the kind of record they are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changes {
    /// About an order.
    Order(Vec<order::Event>),
    /// About an offer.
    Offer(Vec<offer::Event>),
    /// About a quarantined webhook.
    Quarantine(Vec<quarantine::Event>),
}
