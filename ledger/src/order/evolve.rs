//! How each event changes an order. Total: the only failure is a history that `decide` cannot have written.

use uuid::Uuid;

use super::event::Event;
use super::{Attempt, Customer, Dispute, End, Movement, Order, ReturnUrls, Status};
use crate::money::Money;

/// An event that cannot follow the ones before it: the history is corrupt, or was written by something else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("impossible event: {0}")]
pub struct ImpossibleEvent(pub String);

/// The order after `event`; `None` is an order of which nothing has happened yet.
pub fn evolve(order: Option<Order>, event: &Event) -> Result<Order, ImpossibleEvent> {
    let mut order = match (order, event) {
        (None, Event::CheckoutSubmitted(checkout)) => {
            return Ok(Order {
                checkout: (**checkout).clone(),
                // Nearly every order has one; room for four, as a first push makes, would take more than all the rest.
                attempts: Vec::with_capacity(1),
                cancellation_requested: false,
                end: None,
                forgotten: false,
            });
        }
        (None, _) => return Err(impossible("the order has not been submitted yet")),
        (Some(_), Event::CheckoutSubmitted(_)) => {
            return Err(impossible("the order is submitted a second time"));
        }
        (Some(order), _) => order,
    };
    change(&mut order, event)?;
    let amount_minor = order.checkout.amount.minor();
    for attempt in &mut order.attempts {
        attempt.status = attempt.status.advanced_to(attempt.status_from_facts(amount_minor));
    }
    Ok(order)
}

fn change(order: &mut Order, event: &Event) -> Result<(), ImpossibleEvent> {
    match event {
        Event::CheckoutSubmitted(_) => {}
        Event::AttemptStarted { attempt, payment_reference, payment_method } => {
            if *attempt as usize != order.attempts.len() + 1 {
                return Err(impossible("attempts are not numbered in order"));
            }
            order.attempts.push(Attempt {
                number: *attempt,
                payment_reference: payment_reference.clone(),
                payment_method: payment_method.clone(),
                challenge: None,
                authorized_minor: 0,
                captures: Vec::new(),
                refunds: Vec::new(),
                disputes: Vec::new(),
                failure: None,
                voided: false,
                authorization_expired: false,
                status: Status::Processing,
            });
        }
        Event::AttemptLinked { attempt, payment_reference } => {
            let attempt = attempt_mut(order, *attempt)?;
            if attempt.payment_reference.is_some() {
                return Err(impossible("the attempt has a payment reference already"));
            }
            attempt.payment_reference = Some(payment_reference.clone());
        }
        Event::ActionRequired { attempt, challenge } => {
            attempt_mut(order, *attempt)?.challenge = Some(challenge.clone());
        }
        Event::PaymentAuthorized { attempt, amount } => {
            let minor = minor(order, amount)?;
            let attempt = attempt_mut(order, *attempt)?;
            attempt.authorized_minor = attempt.authorized_minor.max(minor);
        }
        Event::PaymentFailed { attempt, reason } => {
            attempt_mut(order, *attempt)?.failure = Some(reason.clone());
        }
        Event::CaptureRequested { attempt, capture_id, amount } => {
            let minor = minor(order, amount)?;
            request(&mut attempt_mut(order, *attempt)?.captures, capture_id.0, minor)?;
        }
        Event::PaymentCaptured { attempt, capture_id, reference, amount } => {
            let minor = minor(order, amount)?;
            let captures = &mut attempt_mut(order, *attempt)?.captures;
            settle(captures, capture_id.map(|id| id.0), reference, minor);
        }
        Event::CaptureFailed { attempt, capture_id, reference, amount, reason } => {
            let minor = minor(order, amount)?;
            let captures = &mut attempt_mut(order, *attempt)?.captures;
            fail(captures, capture_id.map(|id| id.0), reference, minor, reason);
        }
        Event::CancellationRequested => order.cancellation_requested = true,
        Event::OrderCanceled => end(order, End::Canceled)?,
        Event::OrderExpired => end(order, End::Expired)?,
        Event::PaymentVoided { attempt } => attempt_mut(order, *attempt)?.voided = true,
        Event::AuthorizationExpired { attempt } => {
            attempt_mut(order, *attempt)?.authorization_expired = true;
        }
        Event::RefundRequested { attempt, refund_id, amount, reason: _ } => {
            let minor = minor(order, amount)?;
            request(&mut attempt_mut(order, *attempt)?.refunds, refund_id.0, minor)?;
        }
        Event::RefundSettled { attempt, refund_id, reference, amount } => {
            let minor = minor(order, amount)?;
            let refunds = &mut attempt_mut(order, *attempt)?.refunds;
            settle(refunds, refund_id.map(|id| id.0), reference, minor);
        }
        Event::RefundFailed { attempt, refund_id, reference, amount, reason } => {
            let minor = minor(order, amount)?;
            let refunds = &mut attempt_mut(order, *attempt)?.refunds;
            fail(refunds, refund_id.map(|id| id.0), reference, minor, reason);
        }
        Event::ChargebackOpened { attempt, reference, amount, reason: _ } => {
            dispute_mut(order, *attempt, reference, amount)?.opened = true;
        }
        Event::ChargebackWon { attempt, reference, amount } => {
            dispute_mut(order, *attempt, reference, amount)?.won = true;
        }
        Event::ChargebackLost { attempt, reference, amount } => {
            dispute_mut(order, *attempt, reference, amount)?.lost = true;
        }
        Event::WebhookNoted { kind: _ } | Event::SurfaceNoted { data: _ } => {}
        Event::PersonalDataForgotten => forget(order),
    }
    Ok(())
}

/// Takes away all that is personal. Money, status and references stay.
fn forget(order: &mut Order) {
    order.forgotten = true;
    order.checkout.customer = Customer::default();
    order.checkout.return_urls = ReturnUrls::default();
    order.checkout.metadata.clear();
    let attempts = order.attempts.iter_mut().map(|attempt| &mut attempt.payment_method);
    for method in attempts.chain([&mut order.checkout.payment_method]).flatten() {
        if let Some(card) = &mut method.card {
            card.holder = None;
        }
    }
}

fn impossible(reason: &str) -> ImpossibleEvent {
    ImpossibleEvent(reason.to_owned())
}

fn end(order: &mut Order, end: End) -> Result<(), ImpossibleEvent> {
    if order.end.is_some() {
        return Err(impossible("the order ends a second time"));
    }
    order.end = Some(end);
    Ok(())
}

fn attempt_mut(order: &mut Order, number: u32) -> Result<&mut Attempt, ImpossibleEvent> {
    let index = (number as usize).wrapping_sub(1);
    order.attempts.get_mut(index).ok_or_else(|| ImpossibleEvent(format!("there is no attempt {number}")))
}

fn minor(order: &Order, amount: &Money) -> Result<i64, ImpossibleEvent> {
    if amount.currency() == order.checkout.amount.currency() {
        Ok(amount.minor())
    } else {
        Err(impossible("the amount is in another currency than the order"))
    }
}

fn request(movements: &mut Vec<Movement>, id: Uuid, amount_minor: i64) -> Result<(), ImpossibleEvent> {
    if movements.iter().any(|m| m.id == Some(id)) {
        return Err(impossible("one id is asked for twice"));
    }
    movements.push(Movement { id: Some(id), reference: None, amount_minor, settled: false, failure: None });
    Ok(())
}

fn settle(movements: &mut Vec<Movement>, id: Option<Uuid>, reference: &str, amount_minor: i64) {
    let movement = reported(movements, id, reference, amount_minor);
    movement.settled = true;
    movement.amount_minor = amount_minor;
}

fn fail(movements: &mut Vec<Movement>, id: Option<Uuid>, reference: &str, amount_minor: i64, reason: &str) {
    reported(movements, id, reference, amount_minor).failure = Some(reason.to_owned());
}

/// The movement that a report is about: the one with its reference, else the request with its id that no other
/// report has claimed, else a new one.
fn reported<'a>(
    movements: &'a mut Vec<Movement>,
    id: Option<Uuid>,
    reference: &str,
    amount_minor: i64,
) -> &'a mut Movement {
    let known = movements
        .iter()
        .position(|m| m.reference.as_deref() == Some(reference))
        .or_else(|| movements.iter().position(|m| id.is_some() && m.id == id && m.reference.is_none()));
    let index = known.unwrap_or_else(|| {
        movements.push(Movement { id, reference: None, amount_minor, settled: false, failure: None });
        movements.len() - 1
    });
    let movement = &mut movements[index];
    movement.reference = Some(reference.to_owned());
    movement
}

fn dispute_mut<'a>(
    order: &'a mut Order,
    attempt: u32,
    reference: &str,
    amount: &Money,
) -> Result<&'a mut Dispute, ImpossibleEvent> {
    let amount_minor = minor(order, amount)?;
    let disputes = &mut attempt_mut(order, attempt)?.disputes;
    let index = disputes.iter().position(|d| d.reference == reference).unwrap_or_else(|| {
        let reference = reference.to_owned();
        disputes.push(Dispute { reference, amount_minor, opened: false, won: false, lost: false });
        disputes.len() - 1
    });
    Ok(&mut disputes[index])
}
