//! `GET /v1/orders/{id}/events`: an order's events as they stand in the log.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use ledger::codec;
use ledger::commit::Recorded;
use ledger::order::Order;
use replay::Moment;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::as_of::{self, AsOfQuery};
use super::shapes::{CauseJson, time};
use crate::app::App;
use crate::http::etag::{IfNoneMatch, versioned};
use crate::http::id::OrderId;
use crate::http::problem::Document;
use crate::http::query::Query;
use crate::http::{Caller, Problem};

/// An order's commits, oldest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Events)]
struct EventsJson {
    order_id: String,
    commits: Vec<CommitJson>,
}

/// One commit as it stands in the log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Commit)]
struct CommitJson {
    position: String,
    commit_id: String,
    /// RFC 3339 in UTC.
    decided_at: String,
    cause: CauseJson,
    /// Each with its `type`, such as `payment_captured.v1`, and the fields of that type.
    #[schema(value_type = Vec<Object>)]
    events: Vec<Value>,
}

impl CommitJson {
    fn of(Recorded { position, commit }: &Recorded) -> Self {
        CommitJson {
            position: position.to_string(),
            commit_id: commit.id.to_string(),
            decided_at: time(commit.decided_at),
            cause: CauseJson::from(&commit.cause),
            events: codec::public_events(commit),
        }
    }
}

/// An order's events as they stand in the log, oldest first, all of them or up to a moment.
#[utoipa::path(
    get, path = "/v1/orders/{id}/events", tag = "Orders", security(("api_key" = [])),
    params(
        ("id" = String, Path, description = "Order id or tracking number"),
        ("as_of" = Option<String>, Query, description = "A time (RFC 3339) or a position"),
        ("If-None-Match" = Option<String>, Header, description = "304 when the order is still at this ETag"),
    ),
    responses(
        (status = 200, description = "The events", body = EventsJson),
        (status = 304, description = "Nothing has changed"),
        (status = 404, description = "No such order, or not yet at that moment", body = Document),
    )
)]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Caller(tenant): Caller,
    OrderId(id): OrderId,
    Query(query): Query<AsOfQuery>,
    has: IfNoneMatch,
) -> Result<Response, Problem> {
    let (mut last, mut commits) = (None, Vec::new());
    let each = |recorded: Recorded, _: &Order| {
        last = Some(recorded.position);
        commits.push(CommitJson::of(&recorded));
    };
    // Views keep no events; the journal itself is always fresh.
    let moment = as_of::moment(&app, query.as_of.as_deref()).await?.unwrap_or(Moment::NOW);
    as_of::history(&app, &tenant, id, moment, each).await?;
    let last = last.ok_or_else(Problem::not_found)?;
    Ok(versioned(last, &has, EventsJson { order_id: id.to_string(), commits }))
}
