//! The history view: what happened to an order, commit by commit, for people.

use jiff::Timestamp;
use ledger::commit::{Cause, Recorded};
use ledger::ids::Position;
use ledger::money::Money;
use ledger::order::{Balance, Event, Order, Status};

/// One commit of an order, and the order's figures after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// Where the commit stands in the log.
    pub position: Position,
    /// When it was decided.
    pub at: Timestamp,
    /// Why.
    pub cause: CauseSummary,
    /// What happened; at least one.
    pub events: Vec<HistoryEvent>,
    /// The order's status after it.
    pub status: Status,
    /// The order's money after it.
    pub balance: Balance,
    /// Codes of the anomalies that stand after it.
    pub anomalies: Vec<String>,
}

/// Why a commit came about, without raw bodies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CauseSummary {
    /// Somebody called the API.
    Command {
        /// The kind of operation.
        operation: String,
        /// The caller's idempotency key.
        key: Option<String>,
    },
    /// A PSP sent a webhook.
    Webhook {
        /// The source's name.
        source: String,
        /// The sender's id of the event.
        event_id: String,
    },
    /// A clock ran out.
    Timer {
        /// Which.
        name: String,
    },
}

/// One event, in the few words that every kind of event has in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEvent {
    /// The event's name, such as `payment_captured`.
    pub name: String,
    /// The payment attempt it is about.
    pub attempt: Option<u32>,
    /// The money it speaks of.
    pub amount: Option<Money>,
    /// The outside name it carries: the PSP's, or the shop's own for a checkout.
    pub reference: Option<String>,
    /// A reason or kind, in the words of whoever reported it.
    pub detail: Option<String>,
}

/// The entry for a commit that left the order as `after`.
pub fn entry(recorded: &Recorded, events: &[Event], after: &Order) -> HistoryEntry {
    HistoryEntry {
        position: recorded.position,
        at: recorded.commit.decided_at,
        cause: CauseSummary::of(&recorded.commit.cause),
        events: events.iter().map(HistoryEvent::of).collect(),
        status: after.status(),
        balance: after.balance(),
        anomalies: after.anomalies().iter().map(|anomaly| anomaly.code().to_owned()).collect(),
    }
}

impl CauseSummary {
    fn of(cause: &Cause) -> Self {
        match cause {
            Cause::Command { operation, key, request_hash: _ } => {
                CauseSummary::Command { operation: operation.clone(), key: key.clone() }
            }
            Cause::Webhook { source, event_id, body: _ } => {
                CauseSummary::Webhook { source: source.clone(), event_id: event_id.clone() }
            }
            Cause::Timer { name } => CauseSummary::Timer { name: name.clone() },
        }
    }
}

impl HistoryEvent {
    /// An event in the words of the history.
    pub fn of(event: &Event) -> Self {
        match event {
            Event::CheckoutSubmitted(checkout) => {
                named("checkout_submitted").amount(checkout.amount).reference(&checkout.merchant_reference)
            }
            Event::AttemptStarted { attempt, payment_reference, payment_method } => HistoryEvent {
                reference: payment_reference.clone(),
                detail: payment_method.as_ref().map(|method| method.kind.clone()),
                ..named("attempt_started").attempt(*attempt)
            },
            Event::AttemptLinked { attempt, payment_reference } => {
                named("attempt_linked").attempt(*attempt).reference(payment_reference)
            }
            Event::ActionRequired { attempt, challenge } => {
                HistoryEvent { reference: challenge.id.clone(), ..named("action_required").attempt(*attempt) }
            }
            Event::PaymentAuthorized { attempt, amount } => {
                named("payment_authorized").attempt(*attempt).amount(*amount)
            }
            Event::PaymentFailed { attempt, reason } => {
                named("payment_failed").attempt(*attempt).detail(reason)
            }
            Event::CaptureRequested { attempt, capture_id, amount } => named("capture_requested")
                .attempt(*attempt)
                .amount(*amount)
                .reference(&capture_id.to_string()),
            Event::PaymentCaptured { attempt, capture_id: _, reference, amount } => {
                named("payment_captured").attempt(*attempt).amount(*amount).reference(reference)
            }
            Event::CaptureFailed { attempt, capture_id: _, reference, amount, reason } => {
                named("capture_failed").attempt(*attempt).amount(*amount).reference(reference).detail(reason)
            }
            Event::CancellationRequested => named("cancellation_requested"),
            Event::OrderCanceled => named("order_canceled"),
            Event::OrderExpired => named("order_expired"),
            Event::PaymentVoided { attempt } => named("payment_voided").attempt(*attempt),
            Event::AuthorizationExpired { attempt } => named("authorization_expired").attempt(*attempt),
            Event::RefundRequested { attempt, refund_id, amount, reason } => HistoryEvent {
                detail: reason.clone(),
                ..named("refund_requested")
                    .attempt(*attempt)
                    .amount(*amount)
                    .reference(&refund_id.to_string())
            },
            Event::RefundSettled { attempt, refund_id: _, reference, amount } => {
                named("refund_settled").attempt(*attempt).amount(*amount).reference(reference)
            }
            Event::RefundFailed { attempt, refund_id: _, reference, amount, reason } => {
                named("refund_failed").attempt(*attempt).amount(*amount).reference(reference).detail(reason)
            }
            Event::ChargebackOpened { attempt, reference, amount, reason } => named("chargeback_opened")
                .attempt(*attempt)
                .amount(*amount)
                .reference(reference)
                .detail(reason),
            Event::ChargebackWon { attempt, reference, amount } => {
                named("chargeback_won").attempt(*attempt).amount(*amount).reference(reference)
            }
            Event::ChargebackLost { attempt, reference, amount } => {
                named("chargeback_lost").attempt(*attempt).amount(*amount).reference(reference)
            }
            Event::WebhookNoted { kind } => named("webhook_noted").detail(kind),
            Event::SurfaceNoted { data: _ } => named("surface_noted"),
            Event::PersonalDataForgotten => named("personal_data_forgotten"),
        }
    }

    fn attempt(self, attempt: u32) -> Self {
        HistoryEvent { attempt: Some(attempt), ..self }
    }

    fn amount(self, amount: Money) -> Self {
        HistoryEvent { amount: Some(amount), ..self }
    }

    fn reference(self, reference: &str) -> Self {
        HistoryEvent { reference: Some(reference.to_owned()), ..self }
    }

    fn detail(self, detail: &str) -> Self {
        HistoryEvent { detail: Some(detail.to_owned()), ..self }
    }
}

fn named(name: &str) -> HistoryEvent {
    HistoryEvent { name: name.to_owned(), attempt: None, amount: None, reference: None, detail: None }
}
