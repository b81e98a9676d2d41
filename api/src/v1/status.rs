//! `GET /v1/orders/{id}/status`: the status alone, small and fast, and worth waiting for; or as of a moment.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use ledger::ids::{Position, RecordId, TenantId, TrackingNumber};
use ledger::order::Status;
use projections::views::OrderView;
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
    let reading = async {
        match as_of::moment(&app, query.as_of.as_deref()).await? {
            None => Ok(answer(&read(&app, &tenant, id, at_least, wait, &has).await?, &has)),
            Some(moment) => {
                let view = as_of::order(&app, &tenant, id, moment).await?;
                Ok(versioned(view.last, &has, StatusJson::of(&view)))
            }
        }
    };
    let reading = async {
        let read: Result<Response, Problem> = reading.await;
        read.into_response()
    };
    // A route that waits on purpose is not under the server's limit; what it does besides waiting is.
    Ok(layers::within(app.config.limits.request_timeout + wait, reading).await)
}

/// The order now, or after its next change if that is what the caller waits for.
async fn read(
    app: &App,
    tenant: &TenantId,
    id: RecordId,
    at_least: Option<Position>,
    wait: Duration,
    has: &IfNoneMatch,
) -> Result<OrderView, OrderError> {
    if wait.is_zero() {
        return orders::order_without_personal_data(app, tenant, id, at_least).await;
    }
    let mut seen = None;
    let is_over = |view: &OrderView| {
        let is_news = view.last != *seen.get_or_insert(view.last);
        if has.is_given() { is_news || !has.matches(view.last) } else { is_news || is_terminal(view) }
    };
    // In a box, as in `as_of`: most polls do not wait.
    Box::pin(orders::wait_until(app, tenant, id, at_least, wait, is_over)).await
}

fn is_terminal(view: &OrderView) -> bool {
    view.order.status().is_terminal()
}

impl StatusJson {
    fn of(view: &OrderView) -> Self {
        let status = view.order.status();
        let attempt = view.order.shown_attempt();
        let challenge =
            attempt.filter(|_| status == Status::ActionRequired).and_then(|a| a.challenge.as_ref());
        StatusJson {
            order_id: view.id,
            tracking_number: TrackingNumber(view.id),
            status: status.as_str(),
            terminal: status.is_terminal(),
            challenge: challenge.map(ChallengeJson::of),
            failure_reason: attempt.and_then(|attempt| attempt.failure.clone()),
            updated_at: time(view.updated_at),
            position: view.last,
        }
    }
}

fn answer(view: &OrderView, has: &IfNoneMatch) -> Response {
    let mut response = versioned(view.last, has, StatusJson::of(view));
    if !is_terminal(view) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
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
