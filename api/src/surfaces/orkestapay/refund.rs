//! `POST /v1/payments/{id}/refund`: asks the PSP to give a payment back, or a part of it.
//!
//! The vendor's WooCommerce plugin takes every answer but SUCCESS for a refund that did not happen. SUCCESS is said
//! only when the PSP has said it, so the answer waits for that for a while. What it came to is noted in the log, so
//! that a retry with the same key is told the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use ledger::commit::{Changes, Recorded};
use ledger::execute::Done;
use ledger::ids::RefundId;
use ledger::money::{Currency, Money};
use ledger::order::{Event, Movement, Order};
use projections::views::OrderView;
use serde::{Deserialize, Serialize};

use super::amount::{Digits, Exact};
use super::check::text;
use super::ids::{OrderId, PaymentId, RefundNumber};
use super::payment::{Provider, Times, attempt_of};
use super::refusal::Refusal;
use super::token::Caller;
use super::{PathId, find, idempotency_key, millis};
use crate::app::App;
use crate::http::body;
use crate::http::problem::Problem;
use crate::orders::{self, Ask, OrderError, operation};

/// How long the answer waits for the PSP's.
const PATIENCE: Duration = Duration::from_secs(3);
const MAX_DESCRIPTION: usize = 255;
/// What is noted of an answer.
const STATUS: &str = "refund_status";
const MESSAGE: &str = "refund_message";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefundRequest {
    description: Option<String>,
    amount: Digits,
}

/// A refund.
#[derive(Serialize)]
pub(super) struct RefundReply {
    #[serde(skip_serializing_if = "Option::is_none")]
    refund_id: Option<String>,
    payment_id: String,
    order_id: String,
    r#type: &'static str,
    status: String,
    amount: Exact,
    currency: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    provider: Provider,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
}

/// Asks for a refund. Without a key every call is a new one.
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Caller(tenant): Caller,
    PathId(id): PathId,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let key = idempotency_key(&headers)?;
    let payment: PaymentId = id.parse().map_err(|_| Refusal::not_found())?;
    let bytes = body::read(body, app.config.limits.body_bytes).await?;
    body::expect_json(&headers)?;
    let request: RefundRequest = body::parse(&bytes)?;
    // The plugins send an empty one where nobody gave a reason.
    let description = request.description.filter(|description| !description.is_empty());
    let description = description.map(|reason| text("description", reason, MAX_DESCRIPTION)).transpose()?;
    let view = find(&app, &tenant, payment.order).await?;
    attempt_of(&view, payment.attempt)?;
    let currency = view.order.checkout.amount.currency();
    let amount = request.amount.money(currency).map_err(|e| Refusal::amount("amount", &e))?;

    let content = (&id, amount.minor(), &description);
    let ask = Ask::new(tenant, key, &content)?;
    let refund = orders::AttemptRefund { attempt: payment.attempt, amount, reason: description };
    let operation = operation::ORKESTAPAY_REFUND;
    let done = orders::refund_attempt(&app, ask.clone(), operation, payment.order, refund).await?;
    let asked = Asked::in_commit(&done.recorded).ok_or_else(Problem::internal)?;
    let answer = answer(&app, &ask, &done, asked.id).await?;
    Ok(axum::Json(asked.reply(&done, answer)).into_response())
}

/// The refund that a commit asks for.
struct Asked<'a> {
    id: RefundId,
    attempt: u32,
    amount: Money,
    reason: &'a Option<String>,
}

impl<'a> Asked<'a> {
    fn in_commit(recorded: &'a Recorded) -> Option<Self> {
        let Changes::Order(events) = &recorded.commit.changes else { return None };
        events.iter().find_map(|event| {
            let Event::RefundRequested { attempt, refund_id, amount, reason } = event else { return None };
            Some(Asked { id: *refund_id, attempt: *attempt, amount: *amount, reason })
        })
    }

    /// Built from what is stored alone: the commit, and the answer that was noted.
    fn reply(&self, done: &Done<Order>, Answer { status, message }: Answer) -> RefundReply {
        let commit = &done.recorded.commit;
        RefundReply {
            refund_id: Some(RefundNumber(self.id).to_string()),
            payment_id: PaymentId { order: commit.record, attempt: self.attempt }.to_string(),
            order_id: OrderId(commit.record).to_string(),
            r#type: "REFUND",
            status,
            amount: Exact::from(self.amount),
            currency: self.amount.currency().code(),
            description: self.reason.clone(),
            provider: Provider { message },
            created_at: Some(millis(commit.decided_at)),
        }
    }
}

impl RefundReply {
    /// A refund of a payment as it stands now.
    pub(super) fn of_movement(
        payment: PaymentId,
        refund: &Movement,
        currency: Currency,
        times: &Times,
    ) -> Self {
        let Answer { status, message } = Answer::of(refund);
        RefundReply {
            refund_id: refund.id.map(|id| RefundNumber(RefundId(id)).to_string()),
            payment_id: payment.to_string(),
            order_id: OrderId(payment.order).to_string(),
            r#type: "REFUND",
            status,
            amount: Exact::of(refund.amount_minor, currency),
            currency: currency.code(),
            description: None,
            provider: Provider { message },
            created_at: times.refunded(refund).map(millis),
        }
    }
}

/// What has become of a refund: the vendor's status, and the PSP's words.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    status: String,
    message: String,
}

impl Answer {
    fn of(refund: &Movement) -> Self {
        let (status, message) = match &refund.failure {
            Some(reason) => ("FAILED", reason.as_str()),
            None if refund.settled => ("SUCCESS", "refunded"),
            None => ("PENDING", "the refund was asked for"),
        };
        Answer { status: status.to_owned(), message: message.to_owned() }
    }
}

/// What the caller is told, the same for ever under the same key.
async fn answer(app: &App, ask: &Ask, done: &Done<Order>, refund: RefundId) -> Result<Answer, Refusal> {
    let order = done.recorded.commit.record;
    let movement = |order: &Order| {
        let mut refunds = order.attempts.iter().flat_map(|attempt| &attempt.refunds);
        let movement = refunds.find(|movement| movement.id == Some(refund.0)).cloned();
        movement.ok_or_else(|| OrderError::internal("a refund that was stored is not there".into()))
    };
    let is_answered = |view: &OrderView| movement(&view.order).is_ok_and(|refund| !refund.is_pending());
    // However little time a request has, its answer comes within it.
    let patience = PATIENCE.min(app.config.limits.request_timeout / 3);
    let stored = Some(done.recorded.position);
    let waited = orders::wait_until(app, &ask.tenant, order, stored, patience, is_answered).await;
    // The refund is in the log, whatever has become unreadable since.
    let state = waited.map_or_else(|_| done.state.clone(), |view| view.order);
    let answer = Answer::of(&movement(&state)?);
    if ask.key.is_none() {
        // Nobody can ask for this answer again.
        return Ok(answer);
    }
    let Answer { status, message } = answer;
    let data = BTreeMap::from([(STATUS.to_owned(), status), (MESSAGE.to_owned(), message)]);
    let note = Ask::new(ask.tenant.clone(), Some(refund.to_string()), &refund.to_string())?;
    let operation = operation::ORKESTAPAY_REFUND_ANSWER;
    let told = orders::note_for_surface(app, note, operation, order, data).await.map_err(after_storing)?;
    let data = orders::noted(&told.recorded.commit).ok_or_else(Problem::internal)?;
    let kept = |name: &str| data.get(name).cloned().unwrap_or_default();
    Ok(Answer { status: kept(STATUS), message: kept(MESSAGE) })
}

/// A failure once the refund is in the log: "nothing was stored" would not be true of it.
fn after_storing(error: OrderError) -> OrderError {
    if let OrderError::Unavailable(source) = error { OrderError::Unknown(source) } else { error }
}
