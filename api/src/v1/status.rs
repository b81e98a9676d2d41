//! `GET /v1/orders/{id}/status`: the status alone, small and fast, and worth waiting for; or as of a moment.

mod answers;
mod at_once;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};
use ledger::ids::{Position, RecordId, TenantId, TrackingNumber};
use projections::views::{OrderView, StatusView};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::as_of;
use super::shapes::{ChallengeJson, StatusWord, as_text, time};
use crate::app::App;
use crate::http::auth::StatusCaller;
use crate::http::etag::{IfNoneMatch, versioned};
use crate::http::id::{AtLeast, OrderId};
use crate::http::problem::Document;
use crate::http::query::{Query, invalid};
use crate::http::{Problem, layers};
use crate::orders::{self, OrderError};

pub use answers::Answers;
use answers::{Answer, Known};
pub(crate) use at_once::at_once;

pub(super) const PATH: &str = "/v1/orders/{id}/status";

const LONGEST_WAIT: Duration = Duration::from_secs(60);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatusQuery {
    wait: Option<String>,
    as_of: Option<String>,
    /// Read by [`StatusCaller`].
    #[serde(rename = "token")]
    _token: Option<String>,
}

/// Where an order stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrderStatus)]
struct StatusJson {
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = String)]
    order_id: RecordId,
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = String)]
    tracking_number: TrackingNumber,
    #[schema(value_type = StatusWord)]
    status: &'static str,
    /// There is no point in polling on.
    terminal: bool,
    /// While the status is `action_required`.
    challenge: Option<ChallengeJson>,
    failure_reason: Option<String>,
    /// RFC 3339 in UTC.
    updated_at: String,
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = String)]
    position: Position,
}

/// Where an order stands, or stood at a moment. With `wait`, the answer waits for a change.
#[utoipa::path(
    get, path = "/v1/orders/{id}/status", tag = "Orders", security(("api_key" = []), ("status_token" = [])),
    params(
        ("id" = String, Path, description = "Order id or tracking number"),
        ("wait" = Option<String>, Query, description = "How long to wait for a change, such as `30s` or `500ms`; at most 60 s"),
        ("as_of" = Option<String>, Query, description = "A time (RFC 3339) or a position; not together with `wait`"),
        ("token" = Option<String>, Query, description = "The order's status token, in place of the header"),
        ("If-None-Match" = Option<String>, Header, description = "304 while the order is still at this ETag"),
    ),
    responses(
        (status = 200, description = "The status", body = StatusJson),
        (status = 304, description = "Nothing has changed"),
        (status = 404, description = "No such order, or not yet at that moment", body = Document),
    )
)]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    caller: StatusCaller,
    OrderId(id): OrderId,
    Query(query): Query<StatusQuery>,
    AtLeast(at_least): AtLeast,
    has: IfNoneMatch,
) -> Result<Response, Problem> {
    let tenant = match caller {
        StatusCaller::Tenant(tenant) => tenant,
        StatusCaller::Token(token) => app.tokens.verify_status_token(&token, id).ok_or_else(|| {
            // A token says nothing about which order it is for, only whether it is for this one.
            if crate::tokens::is_well_formed(&token) {
                Problem::not_found()
            } else {
                Problem::unauthenticated()
            }
        })?,
    };
    let wait = query.wait.as_deref().map(duration).transpose()?.unwrap_or_default();
    if query.wait.is_some() && query.as_of.is_some() {
        return Err(invalid("wait: the past does not change"));
    }
    if wait.is_zero()
        && query.as_of.is_none()
        && let Some(known) = remembered(&app, &tenant, id, at_least)
    {
        return Ok(known.answer.to(&has));
    }
    // In a box: most polls find their answer above, and would have room for this.
    let reading = Box::pin(async {
        let read = match as_of::moment(&app, query.as_of.as_deref()).await {
            Ok(None) => read(&app, tenant, id, at_least, wait, &has).await,
            Ok(Some(moment)) => as_of::order(&app, &tenant, id, moment)
                .await
                .map(|view| versioned(view.last, &has, StatusJson::of(&StatusView::from(&view))))
                .map_err(Problem::from),
            Err(problem) => Err(problem),
        };
        read.into_response()
    });
    // A route that waits on purpose is not under the server's limit; what it does besides waiting is.
    Ok(layers::within(app.config.limits.request_timeout + wait, reading).await)
}

/// The answer that was given last about this order, if it would be given again.
fn remembered(app: &App, tenant: &TenantId, id: RecordId, at_least: Option<Position>) -> Option<Arc<Known>> {
    app.statuses.get(tenant, id).filter(|known| app.reader.is_unchanged(id, at_least, &known.stamp))
}

/// The answer about the order now, or after its next change if that is what the caller waits for.
async fn read(
    app: &App,
    tenant: TenantId,
    id: RecordId,
    at_least: Option<Position>,
    wait: Duration,
    has: &IfNoneMatch,
) -> Result<Response, Problem> {
    if !wait.is_zero() {
        let view = waited(app, &tenant, id, at_least, wait, has).await?;
        return Ok(answer(&StatusView::from(&view))?.to(has));
    }
    let read = app.reader.status(&tenant, id, at_least).await.map_err(OrderError::from)?;
    let (view, stamp) = read.ok_or(OrderError::NotFound)?;
    let answer = answer(&view)?;
    let response = answer.to(has);
    if let Some(stamp) = stamp {
        app.statuses.keep(id, Known { tenant, stamp, answer });
    }
    Ok(response)
}

/// The order after its next change.
async fn waited(
    app: &App,
    tenant: &TenantId,
    id: RecordId,
    at_least: Option<Position>,
    wait: Duration,
    has: &IfNoneMatch,
) -> Result<OrderView, OrderError> {
    let mut seen = None;
    let is_over = |view: &OrderView| {
        let is_news = view.last != *seen.get_or_insert(view.last);
        if has.is_given() { is_news || !has.matches(view.last) } else { is_news || is_terminal(view) }
    };
    orders::wait_until(app, tenant, id, at_least, wait, is_over).await
}

fn is_terminal(view: &OrderView) -> bool {
    view.order.status().is_terminal()
}

impl StatusJson {
    fn of(view: &StatusView) -> Self {
        StatusJson {
            order_id: view.id,
            tracking_number: TrackingNumber(view.id),
            status: view.status.as_str(),
            terminal: view.status.is_terminal(),
            challenge: view.challenge.as_ref().map(ChallengeJson::of),
            failure_reason: view.failure.clone(),
            updated_at: time(view.updated_at),
            position: view.last,
        }
    }
}

fn answer(view: &StatusView) -> Result<Answer, Problem> {
    let body = serde_json::to_vec(&StatusJson::of(view)).map_err(|error| {
        tracing::error!(%error, "INTERNAL: a status cannot be written");
        Problem::internal()
    })?;
    // Digits, a hyphen and quotes are always a header value.
    let tag = HeaderValue::try_from(format!("\"{}\"", view.last)).map_err(|_never| Problem::internal())?;
    Ok(Answer { last: view.last, is_open: !view.status.is_terminal(), tag, body: body.into() })
}

/// `30s` or `500ms`, up to a minute.
fn duration(text: &str) -> Result<Duration, Problem> {
    let wrong = || invalid("wait: such as 30s or 500ms, at most 60s");
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?);
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let wait = match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        _ => return Err(wrong()),
    };
    if wait <= LONGEST_WAIT { Ok(wait) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Poll<F> = fn(State<Arc<App>>, StatusCaller, OrderId, Query<StatusQuery>, AtLeast, IfNoneMatch) -> F;

    /// The room that a poll takes, and that is copied on the way to where it runs.
    fn room<F>(_: Poll<F>) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_poll_has_no_room_for_what_it_seldom_does() {
        assert!(room(get) < 4096, "{} bytes: put into a box what few polls need", room(get));
    }

    #[test]
    fn a_wait_has_a_unit_and_an_end() {
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        for bad in ["", "30", "s", "61s", "60001ms", "1m", "-1s", "1.5s", "99999999999999999999s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
