//! The status view: the little of an order that those who poll it ask for.

use jiff::Timestamp;
use ledger::ids::{Position, RecordId};
use ledger::order::{Challenge, Order, Status};

use super::OrderView;

/// Where an order stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusView {
    /// The order's id.
    pub id: RecordId,
    /// Its status.
    pub status: Status,
    /// What the buyer has to pass, while the status is [`Status::ActionRequired`].
    pub challenge: Option<Challenge>,
    /// Why the payment that is shown failed, if it did.
    pub failure: Option<String>,
    /// When its newest commit was decided.
    pub updated_at: Timestamp,
    /// Its newest commit in this view.
    pub last: Position,
}

impl From<&OrderView> for StatusView {
    fn from(view: &OrderView) -> Self {
        let (challenge, failure) = shown(&view.order);
        StatusView {
            id: view.id,
            status: view.order.status(),
            challenge: challenge.cloned(),
            failure: failure.map(str::to_owned),
            updated_at: view.updated_at,
            last: view.last,
        }
    }
}

/// What is shown beside an order's status: a challenge that is still to be passed, and a failure.
pub(crate) fn shown(order: &Order) -> (Option<&Challenge>, Option<&str>) {
    let attempt = order.shown_attempt();
    let is_due = order.status() == Status::ActionRequired;
    let challenge = attempt.filter(|_| is_due).and_then(|attempt| attempt.challenge.as_ref());
    (challenge, attempt.and_then(|attempt| attempt.failure.as_deref()))
}
