//! `POST /purchase`, `/void` and `/refund`: what the shop asks of the PSP.
//!
//! Each asks, waits a while for the PSP's webhook, writes down what it is about to answer, and answers what is
//! written down. So a repeated guid gets the first answer for ever, also when that was PENDING and the webhook has
//! come since. A crash between the asking and the writing is made good by the next try.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use ledger::commit::{Cause, Changes, Commit};
use ledger::execute::Done;
use ledger::ids::{CaptureId, RefundId};
use ledger::order::{CaptureMode, Event, Order, Rejection, Status};
use projections::views::OrderView;
use tokio::time::{Duration, Instant};

use super::call::Call;
use super::fields::Invalid;
use super::reply::{Answer, Failure, Refused};
use super::request::{Purchase, Refund, Void, not_money};
use super::status::{self, Outcome};
use crate::app::App;
use crate::orders::{self, Ask, OrderError, operation};

/// When the call came in, in the note that holds its answer: such a note is written up to a wait later.
pub(super) const ASKED_AT: &str = "askedAt";
const TRANSACTION_ID: &str = "transactionId";
const STATUS: &str = "status";
const SUB_STATUS: &str = "subStatus";

/// `POST /purchase`: completes what was paid.
pub(super) async fn purchase(State(app): State<Arc<App>>, call: Call<Purchase>) -> Result<Answer, Failure> {
    match complete(&app, &call).await {
        Ok(answer) => Ok(answer),
        Err(refused) => Err(call.failure(&app, refused).await),
    }
}

/// `POST /void`: gives up what was paid, or gives it back.
pub(super) async fn void(State(app): State<Arc<App>>, call: Call<Void>) -> Result<Answer, Failure> {
    match give_up(&app, &call).await {
        Ok(answer) => Ok(answer),
        Err(refused) => Err(call.failure(&app, refused).await),
    }
}

/// `POST /refund`: gives some of it back.
pub(super) async fn refund(State(app): State<Arc<App>>, call: Call<Refund>) -> Result<Answer, Failure> {
    match give_back(&app, &call).await {
        Ok(answer) => Ok(answer),
        Err(refused) => Err(call.failure(&app, refused).await),
    }
}

async fn complete(app: &App, call: &Call<Purchase>) -> Result<Answer, Refused> {
    let checkout = orders::order(app, &call.tenant, call.order, None).await?.order.checkout;
    let wrong_amount = |invalid: Invalid| invalid.at("orderAmount");
    let amount = call.body.amount.as_ref().map(|amount| amount.money(checkout.amount.currency()));
    let amount = amount.transpose().map_err(|error| wrong_amount(not_money(&error)))?;
    let ask = call.ask(&amount.map(|amount| amount.minor()))?;
    let settling =
        Settling::new(app, call, ask, operation::AKINON_PURCHASE, operation::AKINON_PURCHASE_ANSWER);
    if let Some(answer) = settling.answered().await? {
        return Ok(answer);
    }
    if checkout.capture == CaptureMode::Automatic {
        if amount.is_some_and(|amount| amount != checkout.amount) {
            return Err(wrong_amount(Invalid::value("a SALE is paid as it was ordered")).into());
        }
        return settling.pay().await;
    }
    // Akinon may ask before the PSP's webhook is in; nothing can be captured until it is.
    let is_open = |status: Status| matches!(status, Status::Processing | Status::ActionRequired);
    let view = settling.wait(|order| !is_open(order.status())).await?;
    if view.order.status().is_end() {
        return settling.pay().await;
    }
    let ask = settling.ask.clone();
    let done = orders::capture(app, ask, operation::AKINON_PURCHASE, call.order, amount).await?;
    let id = requested(&done, capture_id).ok_or_else(no_id)?;
    settling.settle(id.to_string(), |order| status::capture(order, id).outcome).await
}

async fn give_up(app: &App, call: &Call<Void>) -> Result<Answer, Refused> {
    let ask = call.ask(&())?;
    let settling =
        Settling::new(app, call, ask.clone(), operation::AKINON_VOID, operation::AKINON_VOID_ANSWER);
    if let Some(answer) = settling.answered().await? {
        return Ok(answer);
    }
    let canceled = orders::cancel(app, ask.clone(), operation::AKINON_VOID, call.order).await;
    let done = match canceled {
        Err(refusal @ OrderError::Rejected(Rejection::NotCancelable { .. })) => {
            // What is captured cannot be given up any more. Under the same guid, so it is one or the other.
            let all = orders::refund(app, ask, operation::AKINON_VOID, call.order, None, None).await;
            match all {
                Err(OrderError::Rejected(Rejection::NothingToRefund { .. })) => return Err(refusal.into()),
                all => all?,
            }
        }
        canceled => canceled?,
    };
    match requested(&done, refund_id) {
        Some(id) => settling.settle(id.to_string(), |order| status::refund(order, id).outcome).await,
        None => settling.settle(call.order.to_string(), |order| status::cancellation(order).outcome).await,
    }
}

async fn give_back(app: &App, call: &Call<Refund>) -> Result<Answer, Refused> {
    let amount = call.body.amount;
    let ask = call.ask(&(amount.minor(), amount.currency().code()))?;
    let settling =
        Settling::new(app, call, ask.clone(), operation::AKINON_REFUND, operation::AKINON_REFUND_ANSWER);
    if let Some(answer) = settling.answered().await? {
        return Ok(answer);
    }
    let done = orders::refund(app, ask, operation::AKINON_REFUND, call.order, Some(amount), None).await?;
    let id = requested(&done, refund_id).ok_or_else(no_id)?;
    settling.settle(id.to_string(), |order| status::refund(order, id).outcome).await
}

/// A call on its way to its answer.
struct Settling<'a, T> {
    app: &'a App,
    call: &'a Call<T>,
    ask: Ask,
    /// What the call is, in the log.
    operation: &'static str,
    /// What its answer is, in the log.
    answer: &'static str,
    /// Until when to wait for the PSP.
    deadline: Instant,
}

impl<'a, T> Settling<'a, T> {
    fn new(app: &'a App, call: &'a Call<T>, ask: Ask, operation: &'static str, answer: &'static str) -> Self {
        let deadline = Instant::now() + patience(app);
        Settling { app, call, ask, operation, answer, deadline }
    }

    /// The answer that this guid was given before, if it was given one. Refuses a guid that is another call's.
    async fn answered(&self) -> Result<Option<Answer>, OrderError> {
        let Settling { app, call, .. } = self;
        let commits = orders::commits(app, &call.tenant, call.order).await?;
        let made_by =
            |operation| commits.iter().map(|r| &r.commit).find(|c| call.is_cause(operation, &c.cause));
        if let Some(commit) = made_by(self.answer) {
            self.is_same(commit)?;
            return read(commit).map(Some);
        }
        if let Some(commit) = made_by(self.operation) {
            self.is_same(commit)?;
            return Ok(None);
        }
        for operation in [self.operation, self.answer] {
            call.refuse_anothers_guid(app, operation).await?;
        }
        Ok(None)
    }

    /// Refuses other content under a guid that was used before.
    fn is_same(&self, commit: &Commit) -> Result<(), OrderError> {
        match &commit.cause {
            Cause::Command { request_hash, .. } if request_hash.is_repeated_by(self.ask.hash) => Ok(()),
            Cause::Command { .. } | Cause::Webhook { .. } | Cause::Timer { .. } => Err(OrderError::KeyReused),
        }
    }

    /// Waits until the order is paid or will not be, and answers that.
    async fn pay(&self) -> Result<Answer, Refused> {
        self.settle(self.call.order.to_string(), |order| status::payment(order).outcome).await
    }

    /// Waits until the PSP has decided, writes the answer down, and gives the one that is written down.
    async fn settle(
        &self,
        transaction_id: String,
        outcome: impl Fn(&Order) -> Outcome,
    ) -> Result<Answer, Refused> {
        let view = self.wait(|order| outcome(order).is_decided()).await?;
        let outcome = outcome(&view.order);
        let note = [
            (TRANSACTION_ID, transaction_id),
            (STATUS, outcome.status().to_owned()),
            (SUB_STATUS, outcome.sub_status().to_owned()),
            (ASKED_AT, self.ask.at.to_string()),
        ];
        let note = note.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let ask = Ask { at: orders::now(), ..self.ask.clone() };
        let done = orders::note_for_surface(self.app, ask, self.answer, self.call.order, note).await?;
        Ok(read(&done.recorded.commit)?)
    }

    async fn wait(&self, is_over: impl Fn(&Order) -> bool) -> Result<OrderView, OrderError> {
        let Call { tenant, order, .. } = self.call;
        let left = self.deadline.saturating_duration_since(Instant::now());
        orders::wait_until(self.app, tenant, *order, None, left, |view| is_over(&view.order)).await
    }
}

/// How long to wait for the PSP: as configured, and never so long that the request itself runs out of time.
pub(super) fn patience(app: &App) -> Duration {
    app.config.akinon.psp_wait.min(app.config.limits.request_timeout * 2 / 3)
}

/// The answer that a commit holds.
fn read(commit: &Commit) -> Result<Answer, OrderError> {
    let answer = |note: &BTreeMap<String, String>| {
        let outcome = Outcome::from_sub_status(note.get(SUB_STATUS)?)?;
        Some(Answer::new(note.get(TRANSACTION_ID)?.clone(), outcome))
    };
    let damaged = || OrderError::internal("the note of an answer holds no answer".into());
    orders::noted(commit).and_then(answer).ok_or_else(damaged)
}

/// The id of what a commit asks of the PSP, if it asks for such a thing.
fn requested<T>(done: &Done<Order>, id: fn(&Event) -> Option<T>) -> Option<T> {
    let Changes::Order(events) = &done.recorded.commit.changes else { return None };
    events.iter().find_map(id)
}

fn no_id() -> OrderError {
    OrderError::internal("a request to the PSP has no id".into())
}

fn capture_id(event: &Event) -> Option<CaptureId> {
    let Event::CaptureRequested { capture_id, .. } = event else { return None };
    Some(*capture_id)
}

fn refund_id(event: &Event) -> Option<RefundId> {
    let Event::RefundRequested { refund_id, .. } = event else { return None };
    Some(*refund_id)
}
