//! `/v1/notifications`: what the tenant was not told yet, and what it was given up to tell.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use ledger::ids::{Position, TrackingNumber};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::shapes::time;
use crate::app::App;
use crate::http::problem::Document;
use crate::http::query::Query;
use crate::http::{Caller, Problem};
use crate::notifications::{self, Entry, NotificationId};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NotificationsQuery {
    state: Option<NotificationState>,
}

/// What has become of a notification that was not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum NotificationState {
    /// It is tried, or waits for one before it of the same order.
    #[default]
    Pending,
    /// It was tried for three days.
    GivenUp,
}

/// Notifications that were not delivered, as of a few seconds ago.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Notifications)]
pub(crate) struct NotificationsJson {
    /// By partition, how far the log was read: what came later is not in any list yet. Empty for a tenant that has
    /// never had an endpoint.
    read_up_to: Vec<String>,
    /// At most about a thousand: in the order of the log, or of giving up.
    notifications: Vec<NotificationJson>,
}

/// A notification that was not delivered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Notification)]
struct NotificationJson {
    /// `webhook-id` of the message.
    id: String,
    order_id: String,
    tracking_number: String,
    /// Of the commit that changed the order's status.
    position: String,
    state: NotificationState,
    /// When the order's status changed; RFC 3339 in UTC.
    changed_at: String,
    /// Failed attempts.
    attempts: u32,
    /// RFC 3339 in UTC; null when it was given up.
    next_attempt_at: Option<String>,
    /// RFC 3339 in UTC; null before the first failure.
    last_attempt_at: Option<String>,
    last_error: Option<String>,
}

impl NotificationJson {
    fn of(entry: &Entry, state: NotificationState) -> Self {
        let NotificationId { order, position } = entry.id;
        NotificationJson {
            id: entry.id.to_string(),
            order_id: order.to_string(),
            tracking_number: TrackingNumber(order).to_string(),
            position: position.to_string(),
            state,
            changed_at: time(entry.changed_at),
            attempts: entry.attempts,
            next_attempt_at: (state == NotificationState::Pending).then(|| time(entry.next_at)),
            last_attempt_at: entry.last_at.map(time),
            last_error: entry.last_error.clone(),
        }
    }
}

/// A notification that is tried again.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RetriedNotification)]
pub(crate) struct RetriedJson {
    id: String,
    state: NotificationState,
}

/// Notifications of status changes that were not delivered.
#[utoipa::path(
    get, path = "/v1/notifications", tag = "Notifications", security(("api_key" = [])),
    params(("state" = Option<NotificationState>, Query, description = "`pending` (default) or `given_up`")),
    responses((status = 200, description = "What was not delivered", body = NotificationsJson))
)]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Caller(tenant): Caller,
    Query(query): Query<NotificationsQuery>,
) -> Result<axum::Json<NotificationsJson>, Problem> {
    let state = query.state.unwrap_or_default();
    let Some(document) = notifications::document(&app, &tenant).await? else {
        return Ok(axum::Json(NotificationsJson { read_up_to: Vec::new(), notifications: Vec::new() }));
    };
    let entries = match state {
        NotificationState::Pending => &document.pending,
        NotificationState::GivenUp => &document.given_up,
    };
    let position = |(partition, &sequence): (u16, &u64)| Position { partition, sequence }.to_string();
    Ok(axum::Json(NotificationsJson {
        read_up_to: (0..).zip(&document.read).map(position).collect(),
        notifications: entries.iter().map(|entry| NotificationJson::of(entry, state)).collect(),
    }))
}

/// Has a notification tried again that was given up: once, and then by the same rules as before.
#[utoipa::path(
    post, path = "/v1/notifications/{id}/retry", tag = "Notifications", security(("api_key" = [])),
    params(("id" = String, Path, description = "The notification's id")),
    responses(
        (status = 202, description = "It is pending", body = RetriedJson),
        (status = 404, description = "No such notification was given up", body = Document),
    )
)]
pub(crate) async fn retry(
    State(app): State<Arc<App>>,
    Caller(tenant): Caller,
    id: Result<Path<String>, PathRejection>,
) -> Result<(StatusCode, axum::Json<RetriedJson>), Problem> {
    let id: NotificationId = id.ok().and_then(|Path(id)| id.parse().ok()).ok_or_else(Problem::not_found)?;
    if !notifications::retry(&app, &tenant, id).await? {
        return Err(Problem::not_found());
    }
    let retried = RetriedJson { id: id.to_string(), state: NotificationState::Pending };
    Ok((StatusCode::ACCEPTED, axum::Json(retried)))
}
