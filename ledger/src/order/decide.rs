//! The only place where a command can be refused.
//!
//! The guards here hold whatever races, because the journal stores a decision only if nothing else was decided
//! about the order in between.

use std::collections::BTreeMap;

use jiff::Timestamp;
use uuid::Uuid;

use super::checkout::{CaptureMode, Checkout, PaymentMethod};
use super::command::{Command, Fact, Notification};
use super::event::Event;
use super::{Attempt, Movement, Order, Status};
use crate::ids::{CaptureId, RefundId};
use crate::money::{Currency, Money};

/// How many attempts an order can hold. Bounds an order's size; no buyer gets there.
pub const MAX_ATTEMPTS: usize = 100;
/// How many captures, refunds and disputes an attempt can hold, each. Keeps every sum within an `i64`.
pub const MAX_MOVEMENTS: usize = 500;

/// Why a command was refused. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is no such order.
    #[error("there is no such order")]
    NotFound,
    /// There is such an order already, made by another request.
    #[error("the order exists already")]
    AlreadyExists,
    /// The amount is in another currency than the order.
    #[error("the order is in {expected}")]
    CurrencyMismatch {
        /// The order's currency.
        expected: Currency,
    },
    /// The PSP captures this order by itself.
    #[error("the order is captured automatically")]
    CaptureIsAutomatic,
    /// Nothing is authorized that could be captured.
    #[error("nothing is left to capture; the order is {}", status.as_str())]
    NothingToCapture {
        /// The order's status.
        status: Status,
    },
    /// More than what is authorized, less captured, less pending.
    #[error("only {available_minor} minor units are left to capture")]
    ExceedsCapturable {
        /// What could be captured.
        available_minor: i64,
    },
    /// Nothing is captured that could be refunded.
    #[error("nothing is left to refund; the order is {}", status.as_str())]
    NothingToRefund {
        /// The order's status.
        status: Status,
    },
    /// More than what is captured, less refunded, less pending, less charged back.
    #[error("only {available_minor} minor units are left to refund")]
    ExceedsRefundable {
        /// What could be refunded.
        available_minor: i64,
    },
    /// The order is captured or has ended.
    #[error("an order that is {} cannot be canceled", status.as_str())]
    NotCancelable {
        /// The order's status.
        status: Status,
    },
    /// The cancellation was asked for before, and the PSP has not answered yet.
    #[error("the order is being canceled")]
    CancellationPending,
    /// A capture was asked for, and the PSP has not answered yet.
    #[error("a capture of the order is pending")]
    CapturePending,
    /// A capture or refund of this id was asked for, or reported, before.
    #[error("a capture or refund of this id is known already")]
    IdTaken,
    /// The order was paid, has ended, or is being canceled.
    #[error("an order that is {} cannot be confirmed", status.as_str())]
    NotConfirmable {
        /// The order's status.
        status: Status,
    },
    /// More than the order's amount.
    #[error("the order's amount is {amount_minor} minor units")]
    ExceedsOrder {
        /// The order's amount.
        amount_minor: i64,
    },
    /// The order is captured, canceled or expired.
    #[error("an order that is {} takes no new payment attempt", status.as_str())]
    AttemptRefused {
        /// The order's status.
        status: Status,
    },
    /// The order holds as many attempts or movements as it can.
    #[error("the order holds as many attempts or movements as it can")]
    TooManyEntries,
}

/// What `command` makes happen to `order` (`None`: it does not exist). No events: there is nothing to change.
pub fn decide(order: Option<&Order>, command: &Command) -> Result<Vec<Event>, Rejection> {
    if let Command::Submit(checkout) = command {
        return if order.is_some() { Err(Rejection::AlreadyExists) } else { Ok(submit(checkout)) };
    }
    let order = order.ok_or(Rejection::NotFound)?;
    match command {
        Command::Submit(_) => Err(Rejection::AlreadyExists),
        Command::StartAttempt { payment_method, now, data } => {
            start_attempt(order, payment_method, *now, data)
        }
        Command::Note { data } => Ok(note(data)),
        Command::ForgetPersonalData if order.forgotten => Ok(Vec::new()),
        Command::ForgetPersonalData => Ok(vec![Event::PersonalDataForgotten]),
        Command::Confirm { payment_reference, reference, amount, now, data } => {
            let mut events = confirm(order, payment_reference, reference, *amount, *now)?;
            events.extend(note(data));
            Ok(events)
        }
        Command::Capture { id, amount } => capture(order, *id, *amount),
        Command::Refund { id, amount, reason } => refund(order, None, *id, *amount, reason),
        Command::RefundAttempt { attempt, id, amount, reason } => {
            refund(order, Some(*attempt), *id, Some(*amount), reason)
        }
        Command::Cancel => cancel(order),
        Command::Expire { now } => Ok(expire(order, *now)),
        Command::Record(notification) => record(order, notification),
    }
}

fn submit(checkout: &Checkout) -> Vec<Event> {
    let mut events = vec![Event::CheckoutSubmitted(Box::new(checkout.clone()))];
    if let Some(method) = &checkout.payment_method {
        let payment_method = Some(method.clone());
        events.push(Event::AttemptStarted { attempt: 1, payment_reference: None, payment_method });
    }
    events
}

fn start_attempt(
    order: &Order,
    payment_method: &Option<PaymentMethod>,
    now: Timestamp,
    data: &BTreeMap<String, String>,
) -> Result<Vec<Event>, Rejection> {
    let status = order.status();
    let closed = status.is_captured() || matches!(status, Status::Canceled | Status::Expired);
    if closed || order.cancellation_requested {
        return Err(Rejection::AttemptRefused { status });
    }
    if now >= order.checkout.expires_at {
        return Err(Rejection::AttemptRefused { status: Status::Expired });
    }
    let mut events = vec![Event::AttemptStarted {
        attempt: next_attempt(order)?,
        payment_reference: None,
        payment_method: payment_method.clone(),
    }];
    events.extend(note(data));
    Ok(events)
}

fn note(data: &BTreeMap<String, String>) -> Vec<Event> {
    if data.is_empty() { Vec::new() } else { vec![Event::SurfaceNoted { data: data.clone() }] }
}

fn confirm(
    order: &Order,
    payment_reference: &Option<String>,
    reference: &str,
    amount: Money,
    now: Timestamp,
) -> Result<Vec<Event>, Rejection> {
    let status = order.status();
    if status.is_terminal() || order.cancellation_requested {
        return Err(Rejection::NotConfirmable { status });
    }
    if now >= order.checkout.expires_at {
        return Err(Rejection::NotConfirmable { status: Status::Expired });
    }
    same_currency(order, amount)?;
    if amount.minor() > order.checkout.amount.minor() {
        return Err(Rejection::ExceedsOrder { amount_minor: order.checkout.amount.minor() });
    }
    let captured = Fact::Captured { capture_id: None, reference: reference.to_owned(), amount };
    let payment_reference = payment_reference.clone();
    record(order, &Notification { payment_reference, attempt: None, fact: captured })
}

fn capture(order: &Order, id: CaptureId, amount: Option<Money>) -> Result<Vec<Event>, Rejection> {
    let status = order.status();
    if order.checkout.capture == CaptureMode::Automatic {
        return Err(Rejection::CaptureIsAutomatic);
    }
    let attempt = order.shown_attempt().filter(|_| order.is_open_to_capture());
    let Some((attempt, available_minor)) =
        attempt.map(|a| (a, a.available_to_capture_minor())).filter(|(_, available)| *available > 0)
    else {
        return Err(Rejection::NothingToCapture { status });
    };
    let amount = asked_for(order, amount, available_minor)?;
    if amount.minor() > available_minor {
        return Err(Rejection::ExceedsCapturable { available_minor });
    }
    has_room(&attempt.captures)?;
    is_free(id.0, order.attempts.iter().flat_map(|a| &a.captures))?;
    Ok(vec![Event::CaptureRequested { attempt: attempt.number, capture_id: id, amount }])
}

fn refund(
    order: &Order,
    of_attempt: Option<u32>,
    id: RefundId,
    amount: Option<Money>,
    reason: &Option<String>,
) -> Result<Vec<Event>, Rejection> {
    // The shown attempt comes first; another one only where a second attempt was captured by mistake.
    let shown = order.shown_attempt().map(|a| a.number);
    let is_meant = |a: &&Attempt| of_attempt.is_none_or(|number| number == a.number);
    let mut attempts: Vec<&Attempt> =
        order.attempts.iter().filter(is_meant).filter(|a| a.available_to_refund_minor() > 0).collect();
    attempts.sort_by_key(|a| Some(a.number) != shown);
    let Some(first) = attempts.first() else {
        return Err(Rejection::NothingToRefund { status: order.status() });
    };
    let amount = asked_for(order, amount, first.available_to_refund_minor())?;
    let Some(attempt) = attempts.iter().find(|a| a.available_to_refund_minor() >= amount.minor()) else {
        let available_minor = attempts.iter().map(|a| a.available_to_refund_minor()).max().unwrap_or(0);
        return Err(Rejection::ExceedsRefundable { available_minor });
    };
    has_room(&attempt.refunds)?;
    is_free(id.0, order.attempts.iter().flat_map(|a| &a.refunds))?;
    let reason = reason.clone();
    Ok(vec![Event::RefundRequested { attempt: attempt.number, refund_id: id, amount, reason }])
}

fn cancel(order: &Order) -> Result<Vec<Event>, Rejection> {
    let status = order.status();
    // Money that moved after the end or unnoticed is refunded, not canceled.
    let holds_money = order.attempts.iter().any(Attempt::holds_authorization);
    if status.is_terminal() && !(status == Status::Failed && holds_money) {
        return Err(Rejection::NotCancelable { status });
    }
    if order.cancellation_requested {
        return Err(Rejection::CancellationPending);
    }
    if order.balance().capture_pending_minor > 0 {
        return Err(Rejection::CapturePending);
    }
    // An authorization is released by the PSP alone; until it says so, the order stays as it is.
    let mut events = vec![Event::CancellationRequested];
    if !holds_money {
        events.push(Event::OrderCanceled);
    }
    Ok(events)
}

fn expire(order: &Order, now: Timestamp) -> Vec<Event> {
    let waiting = matches!(order.status(), Status::Processing | Status::ActionRequired);
    let due = now >= order.checkout.expires_at;
    if waiting && due { vec![Event::OrderExpired] } else { Vec::new() }
}

fn record(order: &Order, notification: &Notification) -> Result<Vec<Event>, Rejection> {
    let Notification { payment_reference, attempt: number, fact } = notification;
    if let Some(amount) = fact.amount() {
        same_currency(order, amount)?;
    }
    if let Fact::Other { kind } = fact {
        return Ok(vec![Event::WebhookNoted { kind: kind.clone() }]);
    }
    let mut events = Vec::new();
    let target = target(order, payment_reference.as_deref(), *number);
    let attempt = match target {
        Some(attempt) => {
            if let (None, Some(reference)) = (&attempt.payment_reference, payment_reference) {
                let payment_reference = reference.clone();
                events.push(Event::AttemptLinked { attempt: attempt.number, payment_reference });
            }
            attempt.number
        }
        None => {
            let attempt = next_attempt(order)?;
            let payment_reference = payment_reference.clone();
            events.push(Event::AttemptStarted { attempt, payment_reference, payment_method: None });
            attempt
        }
    };
    events.push(fact_event(target, attempt, fact)?);
    Ok(events)
}

/// The attempt that a notification is about: the one with its payment reference; else the one with its number,
/// else the latest, if that one has no other reference yet; else none, and a new attempt begins.
fn target<'a>(order: &'a Order, reference: Option<&str>, number: Option<u32>) -> Option<&'a Attempt> {
    let Some(reference) = reference else {
        let numbered = order.attempts.iter().find(|a| Some(a.number) == number);
        return numbered.or_else(|| order.shown_attempt());
    };
    let named = order.attempts.iter().find(|a| a.payment_reference.as_deref() == Some(reference));
    let unnamed = || {
        let numbered = order.attempts.iter().find(|a| Some(a.number) == number);
        numbered.or(order.attempts.last()).filter(|a| a.payment_reference.is_none())
    };
    named.or_else(unnamed)
}

fn fact_event(known: Option<&Attempt>, attempt: u32, fact: &Fact) -> Result<Event, Rejection> {
    let captures = known.map_or(&[][..], |a| &a.captures);
    let refunds = known.map_or(&[][..], |a| &a.refunds);
    let disputes = known.map_or(0, |a| a.disputes.len());
    let noted = |kind: &str| Ok(Event::WebhookNoted { kind: kind.to_owned() });
    match fact.clone() {
        Fact::ActionRequired { challenge } => Ok(Event::ActionRequired { attempt, challenge }),
        Fact::Authorized { amount } => Ok(Event::PaymentAuthorized { attempt, amount }),
        Fact::Failed { reason } => Ok(Event::PaymentFailed { attempt, reason }),
        Fact::Voided => Ok(Event::PaymentVoided { attempt }),
        Fact::AuthorizationExpired => Ok(Event::AuthorizationExpired { attempt }),
        Fact::Captured { capture_id, reference, amount } => {
            if named(captures, &reference).is_some_and(|m| m.settled) {
                return noted("payment_captured");
            }
            has_room_for(captures, &reference)?;
            Ok(Event::PaymentCaptured { attempt, capture_id, reference, amount })
        }
        Fact::CaptureFailed { capture_id, reference, amount, reason } => {
            if named(captures, &reference).is_some_and(|m| m.failure.is_some()) {
                return noted("capture_failed");
            }
            has_room_for(captures, &reference)?;
            Ok(Event::CaptureFailed { attempt, capture_id, reference, amount, reason })
        }
        Fact::RefundSettled { refund_id, reference, amount } => {
            if named(refunds, &reference).is_some_and(|m| m.settled) {
                return noted("refund_settled");
            }
            has_room_for(refunds, &reference)?;
            Ok(Event::RefundSettled { attempt, refund_id, reference, amount })
        }
        Fact::RefundFailed { refund_id, reference, amount, reason } => {
            if named(refunds, &reference).is_some_and(|m| m.failure.is_some()) {
                return noted("refund_failed");
            }
            has_room_for(refunds, &reference)?;
            Ok(Event::RefundFailed { attempt, refund_id, reference, amount, reason })
        }
        Fact::ChargebackOpened { reference, amount, reason } => {
            room(disputes)?;
            Ok(Event::ChargebackOpened { attempt, reference, amount, reason })
        }
        Fact::ChargebackWon { reference, amount } => {
            room(disputes)?;
            Ok(Event::ChargebackWon { attempt, reference, amount })
        }
        Fact::ChargebackLost { reference, amount } => {
            room(disputes)?;
            Ok(Event::ChargebackLost { attempt, reference, amount })
        }
        Fact::Other { kind } => noted(&kind),
    }
}

fn named<'a>(movements: &'a [Movement], reference: &str) -> Option<&'a Movement> {
    movements.iter().find(|m| m.reference.as_deref() == Some(reference))
}

fn next_attempt(order: &Order) -> Result<u32, Rejection> {
    if order.attempts.len() < MAX_ATTEMPTS {
        Ok(order.attempts.len() as u32 + 1)
    } else {
        Err(Rejection::TooManyEntries)
    }
}

fn has_room_for(movements: &[Movement], reference: &str) -> Result<(), Rejection> {
    named(movements, reference).map_or_else(|| has_room(movements), |_| Ok(()))
}

fn has_room(movements: &[Movement]) -> Result<(), Rejection> {
    room(movements.len())
}

/// An id answers to one movement of the whole order, so that a report that names it is about that one.
fn is_free<'a>(id: Uuid, mut movements: impl Iterator<Item = &'a Movement>) -> Result<(), Rejection> {
    if movements.any(|m| m.id == Some(id)) { Err(Rejection::IdTaken) } else { Ok(()) }
}

fn room(entries: usize) -> Result<(), Rejection> {
    if entries < MAX_MOVEMENTS { Ok(()) } else { Err(Rejection::TooManyEntries) }
}

fn same_currency(order: &Order, amount: Money) -> Result<(), Rejection> {
    let expected = order.checkout.amount.currency();
    if amount.currency() == expected { Ok(()) } else { Err(Rejection::CurrencyMismatch { expected }) }
}

/// The amount that was named, or all that is left.
fn asked_for(order: &Order, amount: Option<Money>, available_minor: i64) -> Result<Money, Rejection> {
    let expected = order.checkout.amount.currency();
    match amount {
        Some(amount) => same_currency(order, amount).map(|()| amount),
        None => {
            Money::of(available_minor, expected).map_err(|_| Rejection::ExceedsRefundable { available_minor })
        }
    }
}
