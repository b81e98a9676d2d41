//! `GET /v1/quarantine`: what was set aside, and what became of it, for people.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use ledger::codec;
use ledger::commit::Cause;
use ledger::execute::LoadError;
use ledger::ids::Position;
use ledger::quarantine::Outcome;
use projections::views::QuarantineView;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::http::Caller;
use crate::http::problem::{Code, Problem};
use crate::orders::OrderError;

const DEFAULT_LIMIT: usize = 20;
const MAX_LIMIT: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    cursor: Option<String>,
    limit: Option<usize>,
}

/// A page of quarantined webhooks.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct QuarantinePage {
    webhooks: Vec<QuarantinedWebhook>,
    /// For the next page; null on the last.
    next_cursor: Option<String>,
}

/// One quarantined webhook.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct QuarantinedWebhook {
    id: String,
    source: String,
    /// The sender's id of the event; made by us when the sender was not believed.
    event_id: String,
    reason: &'static str,
    detail: String,
    received_at: String,
    outcome: &'static str,
    /// The order it was applied to.
    order_id: Option<String>,
    /// As received; bytes that are not UTF-8 are shown as U+FFFD.
    body: String,
}

/// The route.
pub(super) async fn get(
    State(app): State<Arc<App>>,
    Caller(tenant): Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    let invalid = |detail: String| Problem::new(Code::InvalidQuery, detail);
    let Query(asked) = Query::<Asked>::try_from_uri(&uri).map_err(|e| invalid(e.body_text()))?;
    let cursor: Option<Position> = asked
        .cursor
        .map(|text| text.parse())
        .transpose()
        .map_err(|_| invalid("cursor: not one of ours".into()))?;
    let limit = asked.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(invalid(format!("limit: not between 1 and {MAX_LIMIT}")));
    }
    // One more than asked for tells whether there is a next page.
    let mut views = app.views.quarantine(&tenant, cursor, limit + 1).map_err(OrderError::from)?;
    let has_more = views.len() > limit;
    views.truncate(limit);
    let next_cursor = views.last().filter(|_| has_more).map(|view| view.first.to_string());
    let mut webhooks = Vec::with_capacity(views.len());
    for view in views {
        webhooks.push(shown(&app, view).await?);
    }
    Ok(axum::Json(QuarantinePage { webhooks, next_cursor }).into_response())
}

async fn shown(app: &App, view: QuarantineView) -> Result<QuarantinedWebhook, OrderError> {
    let body = body(app, view.first).await?;
    let (outcome, order_id) = match view.webhook.outcome {
        None => ("open", None),
        Some(Outcome::Released { order }) => ("released", Some(order.to_string())),
        Some(Outcome::Discarded { .. }) => ("discarded", None),
    };
    Ok(QuarantinedWebhook {
        id: view.id.to_string(),
        source: view.source,
        event_id: view.event_id,
        reason: view.webhook.reason.as_str(),
        detail: view.webhook.detail,
        received_at: format!("{:.3}", view.webhook.received_at),
        outcome,
        order_id,
        body,
    })
}

/// The raw body, from the commit that set the webhook aside.
async fn body(app: &App, first: Position) -> Result<String, OrderError> {
    let damaged = |what: String| OrderError::Internal(format!("{first}: {what}").into());
    let stored = app.ledger.journal().at(first).await.map_err(LoadError::from)?;
    let stored = stored.ok_or_else(|| damaged("the views know a commit that the log does not".to_owned()))?;
    let commit = codec::decode(&stored.bytes).map_err(|e| damaged(e.to_string()))?;
    match commit.cause {
        Cause::Webhook { body, .. } => Ok(String::from_utf8_lossy(&body).into_owned()),
        Cause::Command { .. } | Cause::Timer { .. } => Ok(String::new()),
    }
}
