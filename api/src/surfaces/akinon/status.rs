//! Where things stand, in the vendor's two words: pure functions of the order.

use ledger::ids::{CaptureId, RefundId};
use ledger::order::{Attempt, CaptureMode, Movement, Order, Status};

/// A status with its subStatus, of the four pairs there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is done.
    Resolved,
    /// It will not be done.
    ProcessingError,
    /// It will not be done: somebody smelled fraud.
    Risky,
    /// The PSP has not said yet.
    PaymentWaiting,
}

impl Outcome {
    /// Every pair.
    pub(super) const ALL: [Outcome; 4] =
        [Outcome::Resolved, Outcome::ProcessingError, Outcome::Risky, Outcome::PaymentWaiting];

    /// The vendor's word for the status.
    pub(super) fn status(self) -> &'static str {
        match self {
            Outcome::Resolved => "RESOLVED",
            Outcome::ProcessingError | Outcome::Risky => "REJECTED",
            Outcome::PaymentWaiting => "PENDING",
        }
    }

    /// The vendor's word for the subStatus, which no other pair has.
    pub(super) fn sub_status(self) -> &'static str {
        match self {
            Outcome::Resolved => "RESOLVED",
            Outcome::ProcessingError => "PROCESSING_ERROR",
            Outcome::Risky => "RISKY",
            Outcome::PaymentWaiting => "PAYMENT_WAITING",
        }
    }

    /// The pair with this subStatus.
    pub(super) fn from_sub_status(word: &str) -> Option<Self> {
        Outcome::ALL.into_iter().find(|outcome| outcome.sub_status() == word)
    }

    /// Whether there is nothing to wait for.
    pub(super) fn is_decided(self) -> bool {
        self != Outcome::PaymentWaiting
    }
}

/// Where something stands, and a few words on why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    /// In the vendor's words.
    pub(super) outcome: Outcome,
    /// In ours, or the PSP's.
    pub(super) detail: String,
}

impl State {
    fn new(outcome: Outcome, detail: impl Into<String>) -> Self {
        State { outcome, detail: detail.into() }
    }

    /// Refused for this reason: PSPs have no common word for suspicion, but these two occur in all of theirs.
    fn refused(reason: &str) -> Self {
        let lower = reason.to_ascii_lowercase();
        let is_suspected = lower.contains("fraud") || lower.contains("risk");
        State::new(if is_suspected { Outcome::Risky } else { Outcome::ProcessingError }, reason)
    }
}

/// The payment as a whole: RESOLVED is captured, whatever was refunded later.
pub(super) fn payment(order: &Order) -> State {
    let status = order.status();
    let outcome = match status {
        Status::Captured | Status::PartiallyRefunded | Status::Refunded => Outcome::Resolved,
        Status::PartiallyCaptured => captured_in_part(order),
        Status::Failed => return refused(order.shown_attempt()),
        Status::Canceled | Status::Expired => Outcome::ProcessingError,
        Status::Processing | Status::ActionRequired | Status::Authorized => Outcome::PaymentWaiting,
    };
    State::new(outcome, status.as_str())
}

/// The part of the payment that these attempts are: RESOLVED is captured for SALE, authorized for AUTH.
pub(super) fn session(order: &Order, attempts: &[u32]) -> State {
    let Some(attempt) = order.attempts.iter().rev().find(|attempt| attempts.contains(&attempt.number)) else {
        let outcome = if order.end.is_some() { Outcome::ProcessingError } else { Outcome::PaymentWaiting };
        return State::new(outcome, order.status().as_str());
    };
    let was_reserved = order.checkout.capture == CaptureMode::Manual && attempt.authorized_minor > 0;
    let outcome = match attempt.status {
        Status::Captured | Status::PartiallyRefunded | Status::Refunded => Outcome::Resolved,
        Status::PartiallyCaptured => captured_in_part(order),
        Status::Failed => return refused(Some(attempt)),
        _ if was_reserved => Outcome::Resolved,
        Status::Canceled | Status::Expired => Outcome::ProcessingError,
        _ if order.end.is_some() => Outcome::ProcessingError,
        Status::Processing | Status::ActionRequired | Status::Authorized => Outcome::PaymentWaiting,
    };
    State::new(outcome, attempt.status.as_str())
}

/// Of an AUTH the shop asked for a part; a SALE's PSP has not finished.
fn captured_in_part(order: &Order) -> Outcome {
    match order.checkout.capture {
        CaptureMode::Manual => Outcome::Resolved,
        CaptureMode::Automatic => Outcome::PaymentWaiting,
    }
}

fn refused(attempt: Option<&Attempt>) -> State {
    let reason = attempt.and_then(|attempt| attempt.failure.as_deref());
    State::refused(reason.unwrap_or(Status::Failed.as_str()))
}

/// One capture that was asked for.
pub(super) fn capture(order: &Order, id: CaptureId) -> State {
    let mut captures = order.attempts.iter().flat_map(|attempt| &attempt.captures);
    let asked = captures.find(|movement| movement.id == Some(id.0));
    // A PSP that does not name the request may have done it all the same, or may never do it.
    let is_over = matches!(order.status(), Status::Captured | Status::Refunded) || order.status().is_end();
    movement(asked).unwrap_or_else(|| if is_over { payment(order) } else { pending() })
}

/// One refund that was asked for.
pub(super) fn refund(order: &Order, id: RefundId) -> State {
    let mut refunds = order.attempts.iter().flat_map(|attempt| &attempt.refunds);
    let asked = refunds.find(|movement| movement.id == Some(id.0));
    // Everything went back, whoever asked for it.
    let is_over = order.status() == Status::Refunded;
    movement(asked).unwrap_or_else(|| if is_over { payment(order) } else { pending() })
}

fn pending() -> State {
    State::new(Outcome::PaymentWaiting, "pending")
}

/// What the PSP said of a movement; none while it is pending.
fn movement(movement: Option<&Movement>) -> Option<State> {
    let movement = movement?;
    match (&movement.failure, movement.settled) {
        (Some(reason), _) => Some(State::refused(reason)),
        (None, true) => Some(State::new(Outcome::Resolved, "settled")),
        (None, false) => None,
    }
}

/// The giving up of the order: RESOLVED when no money is held or taken any more.
pub(super) fn cancellation(order: &Order) -> State {
    let status = order.status();
    let holds = order.attempts.iter().any(Attempt::holds_authorization);
    let outcome = if order.balance().captured_minor > 0 {
        // The PSP captured before it heard of it.
        Outcome::ProcessingError
    } else if status.is_end() && !holds {
        Outcome::Resolved
    } else {
        Outcome::PaymentWaiting
    };
    State::new(outcome, status.as_str())
}
