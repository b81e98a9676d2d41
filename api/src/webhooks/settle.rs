//! What a person does about a quarantined webhook: try it again, or say that it means nothing.
//!
//! Trying again asks everything anew: whether the sender holds one of today's secrets, as of the moment it came in;
//! what the body says; which order it is about. A webhook that is applied counts under its own source and event id, so one
//! that its sender has sent again meanwhile counts once.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use ledger::commit::Cause;
use ledger::execute::{Done, ExecuteError, Outcome as Executed, Request};
use ledger::ids::{Position, RecordId};
use ledger::quarantine::{Command, Outcome, Quarantined, Reason, Rejection};

use super::apply::{self, Applied};
use super::sources;
use crate::app::App;
use crate::metrics;
use crate::orders::{self, Ask, OrderError, operation};

/// A quarantined webhook that was closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Which.
    pub webhook: RecordId,
    /// What became of it.
    pub outcome: Outcome,
    /// The commit that closed it.
    pub position: Position,
}

/// Why a quarantined webhook could not be closed.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// It was closed before, otherwise.
    #[error("it was {} before", match .0 { Outcome::Released { .. } => "released", Outcome::Discarded { .. } => "discarded" })]
    Closed(Outcome),
    /// It cannot be applied now; it stays open.
    #[error("{0}")]
    NotApplied(String),
    /// Everything else that can go wrong with a command.
    #[error(transparent)]
    Order(#[from] OrderError),
}

/// Tries to apply a webhook, and closes it if every item of it is in its order's log then.
pub async fn retry(app: &App, ask: Ask, webhook: RecordId) -> Result<Settled, SettleError> {
    let history = app.ledger.history::<Quarantined>(&ask.tenant, webhook).await.map_err(OrderError::from)?;
    let (Some(first), Some(last), Some(state)) =
        (history.commits.first(), history.commits.last(), &history.state)
    else {
        return Err(OrderError::NotFound.into());
    };
    match &state.outcome {
        // Applied by itself meanwhile, or by the request before this one: that is what was asked for.
        Some(outcome @ Outcome::Released { .. }) if ask.key.is_none() => {
            return Ok(Settled { webhook, outcome: outcome.clone(), position: last.position });
        }
        Some(outcome @ Outcome::Discarded { .. }) => return Err(SettleError::Closed(outcome.clone())),
        Some(Outcome::Released { .. }) | None => {}
    }
    let Cause::Webhook { source, event_id, body } = &first.commit.cause else {
        return Err(OrderError::internal("a quarantined webhook without its body".into()).into());
    };
    let configured = app.tenants.webhook_source(&ask.tenant, source).map(sources::configured);
    let Some(Ok(reader)) = configured else {
        return Err(SettleError::NotApplied(format!("the source {source} is not configured")));
    };
    let delivery = match state.reason {
        Reason::BadSignature => {
            let verified = reader.verify(&headers(&state.headers), body, state.received_at);
            verified.map_err(|refusal| SettleError::NotApplied(refusal.to_string()))?.delivery_id
        }
        Reason::Unreadable | Reason::UnknownOrder | Reason::Refused | Reason::NoOrder => event_id.clone(),
    };
    let items =
        reader.read(&delivery, body).map_err(|unreadable| SettleError::NotApplied(unreadable.to_string()))?;
    // Of a request that was verified and read, each item is a webhook of its own here.
    let is_single = matches!(state.reason, Reason::UnknownOrder | Reason::Refused | Reason::NoOrder);
    let ours = items.iter().filter(|item| !is_single || item.event_id == *event_id);
    let mut order = None;
    for item in ours {
        order = match apply::apply(app, &ask.tenant, source, item, body).await? {
            Applied::Recorded { order, .. } | Applied::Duplicate { order, .. } => Some(order),
            Applied::NoOrder => order,
            Applied::Unmatched { detail } | Applied::Refused { detail } => {
                return Err(SettleError::NotApplied(detail));
            }
        };
    }
    let order = order.ok_or_else(|| SettleError::NotApplied("it says nothing about an order".to_owned()))?;
    let settled = close(app, ask, operation::QUARANTINE_RETRY, webhook, Command::Release { order }).await?;
    metrics::webhook(source, "released", None);
    Ok(settled)
}

/// Writes down that a webhook means nothing, and why.
pub async fn discard(app: &App, ask: Ask, webhook: RecordId, reason: String) -> Result<Settled, SettleError> {
    close(app, ask, operation::QUARANTINE_DISCARD, webhook, Command::Discard { reason }).await
}

async fn close(
    app: &App,
    ask: Ask,
    operation: &str,
    webhook: RecordId,
    command: Command,
) -> Result<Settled, SettleError> {
    let request = Request {
        tenant: ask.tenant.clone(),
        record: webhook,
        cause: ask.cause(operation),
        command,
        at: ask.at,
        is_new: false,
    };
    match app.ledger.execute::<Quarantined>(request).await {
        Ok(Executed::Committed(done) | Executed::Repeated(done)) => {
            orders::note(app, &done);
            settled(webhook, &done)
        }
        Ok(Executed::Unchanged(_)) => Err(OrderError::internal("closing left no event".into()).into()),
        Err(ExecuteError::Rejected(Rejection::NotFound)) => Err(OrderError::NotFound.into()),
        Err(ExecuteError::Rejected(Rejection::Closed)) => Err(closed_otherwise(app, &ask, webhook).await?),
        Err(error) => Err(OrderError::of(error, |never| OrderError::internal(never.into())).into()),
    }
}

fn settled(webhook: RecordId, done: &Done<Quarantined>) -> Result<Settled, SettleError> {
    let outcome = done.state.outcome.clone();
    let outcome = outcome.ok_or_else(|| OrderError::internal("closed without an outcome".into()))?;
    Ok(Settled { webhook, outcome, position: done.recorded.position })
}

/// Somebody was first: what did they do?
async fn closed_otherwise(app: &App, ask: &Ask, webhook: RecordId) -> Result<SettleError, OrderError> {
    let state = app.ledger.history::<Quarantined>(&ask.tenant, webhook).await?.state;
    let outcome = state.and_then(|webhook| webhook.outcome);
    outcome.map(SettleError::Closed).ok_or_else(|| OrderError::internal("closed without an outcome".into()))
}

/// The headers that were kept, as they came in.
fn headers(kept: &[(String, String)]) -> HeaderMap {
    let header = |(name, value): &(String, String)| {
        Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?))
    };
    kept.iter().filter_map(header).collect()
}
