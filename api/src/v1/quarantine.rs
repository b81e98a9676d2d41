//! `GET /v1/quarantine`: webhooks that were set aside, and what became of them.

use std::sync::Arc;

use axum::extract::State;
use futures::{StreamExt, TryStreamExt, stream};
use ledger::codec;
use ledger::commit::Cause;
use ledger::ids::Position;
use ledger::quarantine::Outcome;
use projections::views::QuarantineView;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::page::{cursor, limit};
use super::shapes::time;
use crate::app::App;
use crate::http::id::AtLeast;
use crate::http::query::Query;
use crate::http::{Caller, Problem};
use crate::orders::{self, OrderError};

/// Bodies are in the journal; so many are fetched at a time.
const FETCHES: usize = 8;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct QuarantineQuery {
    cursor: Option<String>,
    limit: Option<usize>,
}

/// A page of quarantined webhooks, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Quarantine)]
pub(crate) struct QuarantineJson {
    webhooks: Vec<WebhookJson>,
    /// Asks for the next page; null on the last.
    next_cursor: Option<String>,
}

/// A webhook that was set aside.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QuarantinedWebhook)]
struct WebhookJson {
    id: String,
    source: String,
    /// The sender's id; not to be believed of a bad signature.
    event_id: String,
    /// `bad_signature`, `unreadable`, `unknown_order`, `refused`, or `no_order`: nobody has to do anything about it.
    reason: &'static str,
    detail: String,
    /// RFC 3339 in UTC.
    received_at: String,
    /// `open`, `released` or `discarded`.
    outcome: &'static str,
    /// The order that it was applied to.
    order_id: Option<String>,
    /// As received; bytes that are not UTF-8 show as U+FFFD.
    body: String,
}

/// Webhooks that were set aside, newest first.
#[utoipa::path(
    get, path = "/v1/quarantine", tag = "Webhooks", security(("api_key" = [])),
    params(
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("limit" = Option<u32>, Query, description = "1 to 100, default 20"),
    ),
    responses((status = 200, description = "A page", body = QuarantineJson))
)]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Caller(tenant): Caller,
    Query(query): Query<QuarantineQuery>,
    AtLeast(at_least): AtLeast,
) -> Result<axum::Json<QuarantineJson>, Problem> {
    let (cursor, limit) = (cursor(query.cursor.as_deref())?, limit(query.limit)?);
    let views = orders::fresh_views(&app, at_least).await;
    let mut found = views.quarantine(&tenant, cursor, limit + 1).map_err(OrderError::from)?;
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next_cursor = found.last().filter(|_| has_more).map(|last| last.first.to_string());
    let app = &app;
    let webhooks = stream::iter(found)
        .map(|view| async move { Ok(WebhookJson::of(&view, body(app, view.first).await?)) })
        .buffered(FETCHES)
        .try_collect()
        .await
        .map_err(|error: OrderError| Problem::from(error))?;
    Ok(axum::Json(QuarantineJson { webhooks, next_cursor }))
}

impl WebhookJson {
    fn of(view: &QuarantineView, body: String) -> Self {
        let (outcome, order) = match &view.webhook.outcome {
            None => ("open", None),
            Some(Outcome::Released { order }) => ("released", Some(order.to_string())),
            Some(Outcome::Discarded { .. }) => ("discarded", None),
        };
        WebhookJson {
            id: view.id.to_string(),
            source: view.source.clone(),
            event_id: view.event_id.clone(),
            reason: view.webhook.reason.as_str(),
            detail: view.webhook.detail.clone(),
            received_at: time(view.webhook.received_at),
            outcome,
            order_id: order,
            body,
        }
    }
}

/// The raw body, from the cause of the commit that quarantined it.
async fn body(app: &App, position: Position) -> Result<String, OrderError> {
    let stored = app.ledger.journal().at(position).await.map_err(ledger::execute::LoadError::from)?;
    let damaged =
        || OrderError::internal(format!("the quarantined webhook at {position} is not in the log").into());
    let stored = stored.ok_or_else(damaged)?;
    match codec::decode(&stored.bytes).map_err(|error| OrderError::internal(error.into()))?.cause {
        Cause::Webhook { body, .. } => Ok(String::from_utf8_lossy(&body).into_owned()),
        Cause::Command { .. } | Cause::Timer { .. } => Ok(String::new()),
    }
}
