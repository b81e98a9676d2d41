//! `GET /v1/orders/{id}/payments` and `GET /v1/payments/{id}`: one payment for each attempt to pay.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use ledger::commit::{Changes, Recorded};
use ledger::order::{Attempt, Event, Movement, Order, Status};
use projections::views::OrderView;
use serde::Serialize;

use super::amount::Exact;
use super::ids::{OrderId, PaymentId};
use super::refund::RefundReply;
use super::refusal::Refusal;
use super::token::Caller;
use super::{PathId, find, millis};
use crate::app::App;
use crate::orders;

/// A page of payments; all of them are on it.
#[derive(Serialize)]
struct Page {
    content: Vec<PaymentReply>,
}

/// A payment.
#[derive(Serialize)]
struct PaymentReply {
    payment_id: String,
    order_id: String,
    merchant_order_id: String,
    status: &'static str,
    amount: Exact,
    currency: &'static str,
    captured_amount: Exact,
    refunded_amount: Exact,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_action_required: Option<UserAction>,
    transactions: Vec<Transaction>,
    refunds: Vec<RefundReply>,
    created_at: String,
}

/// The buyer has to pass a challenge.
#[derive(Serialize)]
struct UserAction {
    r#type: &'static str,
    three_d_secure_specific: ThreeDSecure,
}

#[derive(Serialize)]
struct ThreeDSecure {
    three_ds_redirect_url: String,
}

/// What the PSP made of the payment.
#[derive(Serialize)]
struct Transaction {
    r#type: &'static str,
    status: &'static str,
    amount: Exact,
    provider: Provider,
}

/// What the PSP said, for people.
#[derive(Serialize)]
pub(super) struct Provider {
    pub message: String,
}

/// Lists an order's payments.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Caller(tenant): Caller,
    PathId(id): PathId,
) -> Result<Response, Refusal> {
    let OrderId(order) = id.parse().map_err(|_| Refusal::not_found())?;
    let view = find(&app, &tenant, order).await?;
    let commits = orders::commits(&app, &tenant, order).await?;
    let content = view.order.attempts.iter().map(|attempt| PaymentReply::of(&view, attempt, &commits));
    Ok(axum::Json(Page { content: content.collect() }).into_response())
}

/// Shows one payment.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Caller(tenant): Caller,
    PathId(id): PathId,
) -> Result<Response, Refusal> {
    let PaymentId { order, attempt } = id.parse().map_err(|_| Refusal::not_found())?;
    let view = find(&app, &tenant, order).await?;
    let attempt = attempt_of(&view, attempt)?;
    let commits = orders::commits(&app, &tenant, order).await?;
    Ok(axum::Json(PaymentReply::of(&view, attempt, &commits)).into_response())
}

/// The attempt that a payment's id names.
pub(super) fn attempt_of(view: &OrderView, number: u32) -> Result<&Attempt, Refusal> {
    view.order.attempts.iter().find(|attempt| attempt.number == number).ok_or_else(Refusal::not_found)
}

impl PaymentReply {
    fn of(view: &OrderView, attempt: &Attempt, commits: &[Recorded]) -> Self {
        let checkout = &view.order.checkout;
        let currency = checkout.amount.currency();
        let times = Times::of(commits);
        let id = PaymentId { order: view.id, attempt: attempt.number };
        let amount = match attempt.authorized_minor.max(attempt.captured_minor()) {
            0 => Exact::from(checkout.amount),
            minor => Exact::of(minor, currency),
        };
        let is_open = status_of(&view.order, attempt) == Status::ActionRequired;
        let challenge = attempt.challenge.as_ref().filter(|_| is_open);
        PaymentReply {
            payment_id: id.to_string(),
            order_id: OrderId(view.id).to_string(),
            merchant_order_id: checkout.merchant_reference.clone(),
            status: status_word(&view.order, attempt),
            amount,
            currency: currency.code(),
            captured_amount: Exact::of(attempt.captured_minor(), currency),
            refunded_amount: Exact::of(attempt.refunded_minor(), currency),
            user_action_required: challenge.and_then(|challenge| challenge.url.clone()).map(|url| {
                UserAction {
                    r#type: "THREE_D_SECURE_SPECIFIC",
                    three_d_secure_specific: ThreeDSecure { three_ds_redirect_url: url },
                }
            }),
            transactions: Transaction::of(&view.order, attempt, amount).into_iter().collect(),
            refunds: attempt
                .refunds
                .iter()
                .map(|refund| RefundReply::of_movement(id, refund, currency, &times))
                .collect(),
            created_at: millis(times.started(attempt.number).unwrap_or(view.created_at)),
        }
    }
}

impl Transaction {
    /// What the plugins show when a payment came to nothing; there is none before that is decided.
    fn of(order: &Order, attempt: &Attempt, amount: Exact) -> Option<Self> {
        let end = status_of(order, attempt);
        let (status, message) = match end {
            Status::Processing | Status::ActionRequired | Status::Authorized | Status::PartiallyCaptured => {
                return None;
            }
            Status::Captured | Status::PartiallyRefunded | Status::Refunded => {
                ("SUCCESS", "captured".to_owned())
            }
            Status::Failed | Status::Canceled | Status::Expired => {
                ("FAILED", attempt.failure.clone().unwrap_or_else(|| end.as_str().to_owned()))
            }
        };
        Some(Transaction { r#type: "PURCHASE", status, amount, provider: Provider { message } })
    }
}

/// Where a payment stands: one that was still to be made when its order ended ended with it.
fn status_of(order: &Order, attempt: &Attempt) -> Status {
    let is_open = matches!(attempt.status, Status::Processing | Status::ActionRequired);
    if is_open && order.end.is_some() { order.status() } else { attempt.status }
}

/// The vendor's word for where a payment stands.
pub(super) fn status_word(order: &Order, attempt: &Attempt) -> &'static str {
    match status_of(order, attempt) {
        // The vendor names no word for a payment of which only a name is known.
        Status::Processing => "CREATED",
        Status::ActionRequired => "PAYMENT_ACTION_REQUIRED",
        Status::Authorized | Status::PartiallyCaptured => "AUTHORIZED",
        Status::Captured | Status::PartiallyRefunded | Status::Refunded => "COMPLETED",
        // Refused at once; or taken in first, and come to nothing later.
        Status::Failed if attempt.authorized_minor == 0 => "REJECTED",
        Status::Failed | Status::Canceled | Status::Expired => "FAILED",
    }
}

/// When things began, as the commits say: attempts and refunds have no time of their own.
pub(super) struct Times {
    attempts: HashMap<u32, Timestamp>,
    /// By our id, or by the PSP's reference.
    refunds: HashMap<String, Timestamp>,
}

impl Times {
    fn of(commits: &[Recorded]) -> Self {
        let mut times = Times { attempts: HashMap::new(), refunds: HashMap::new() };
        for Recorded { commit, .. } in commits {
            let Changes::Order(events) = &commit.changes else { continue };
            for event in events {
                if let Event::AttemptStarted { attempt, .. } = event {
                    times.attempts.entry(*attempt).or_insert(commit.decided_at);
                } else if let Event::RefundRequested { refund_id, .. } = event {
                    times.refunds.entry(refund_id.to_string()).or_insert(commit.decided_at);
                } else if let Event::RefundSettled { reference, .. } | Event::RefundFailed { reference, .. } =
                    event
                {
                    times.refunds.entry(reference.clone()).or_insert(commit.decided_at);
                }
            }
        }
        times
    }

    fn started(&self, attempt: u32) -> Option<Timestamp> {
        self.attempts.get(&attempt).copied()
    }

    /// When a refund was asked for, or first reported.
    pub(super) fn refunded(&self, refund: &Movement) -> Option<Timestamp> {
        let by_id = refund.id.and_then(|id| self.refunds.get(&id.to_string()));
        by_id.or_else(|| self.refunds.get(refund.reference.as_ref()?)).copied()
    }
}
