//! The quarantine view: webhooks that were set aside, and what became of them.
//!
//! The raw body stays in the log, at `first`; it can be large, and is read only when a person looks at it.

use ledger::commit::{Cause, Changes, Recorded};
use ledger::ids::{Position, RecordId, TenantId};
use ledger::order::ImpossibleEvent;
use ledger::quarantine::{MatchKey, Quarantined, Reason, evolve};

/// A quarantined webhook and where it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineView {
    /// Whose.
    pub tenant: TenantId,
    /// Its id.
    pub id: RecordId,
    /// The source it came in at; empty when a person, not a webhook, put it here.
    pub source: String,
    /// The sender's id of the event; empty likewise. Not to be believed of an unverified webhook.
    pub event_id: String,
    /// Reason, detail, what it waits for, when it came in, and its outcome.
    pub webhook: Quarantined,
    /// Its first commit, whose cause holds the raw body.
    pub first: Position,
    /// Its newest commit in this view.
    pub last: Position,
}

impl QuarantineView {
    /// What would match it to an order, while it waits for one: nothing once it is closed.
    pub fn waits_for(&self) -> &[MatchKey] {
        let waits = self.webhook.outcome.is_none() && self.webhook.reason == Reason::UnknownOrder;
        if waits { &self.webhook.waits_for } else { &[] }
    }
}

/// The view after a commit of its webhook.
pub fn apply(view: Option<QuarantineView>, recorded: &Recorded) -> Result<QuarantineView, ImpossibleEvent> {
    let commit = &recorded.commit;
    let events = match &commit.changes {
        Changes::Quarantine(events) => events,
        Changes::Order(_) | Changes::Offer(_) => {
            return Err(ImpossibleEvent(
                "a commit of another kind under a quarantined webhook's id".to_owned(),
            ));
        }
    };
    let (source, event_id, first, mut webhook) = match view {
        Some(view) => (view.source, view.event_id, view.first, Some(view.webhook)),
        None => {
            let (source, event_id) = match &commit.cause {
                Cause::Webhook { source, event_id, body: _ } => (source.clone(), event_id.clone()),
                Cause::Command { .. } | Cause::Timer { .. } => (String::new(), String::new()),
            };
            (source, event_id, recorded.position, None)
        }
    };
    for event in events {
        let after = evolve(webhook, event);
        webhook = Some(after.ok_or_else(|| {
            ImpossibleEvent("a webhook is quarantined once, and closed after that".to_owned())
        })?);
    }
    Ok(QuarantineView {
        tenant: commit.tenant.clone(),
        id: commit.record,
        source,
        event_id,
        webhook: webhook.ok_or_else(|| ImpossibleEvent("a commit without events".to_owned()))?,
        first,
        last: recorded.position,
    })
}
