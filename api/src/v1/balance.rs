//! `GET /v1/orders/{id}/balance`: an order's money, now or as of a moment.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use ledger::commit::Recorded;
use ledger::order::Order;

use super::as_of::{AsOfQuery, history};
use super::shapes::BalanceJson;
use crate::app::App;
use crate::http::etag::{IfNoneMatch, versioned};
use crate::http::id::{AtLeast, OrderId};
use crate::http::problem::Document;
use crate::http::query::Query;
use crate::http::{Caller, Problem};
use crate::orders;

/// An order's money, now or as of a moment.
#[utoipa::path(
    get, path = "/v1/orders/{id}/balance", tag = "Orders", security(("api_key" = [])),
    params(
        ("id" = String, Path, description = "Order id or tracking number"),
        ("as_of" = Option<String>, Query, description = "A time (RFC 3339) or a position"),
        ("If-None-Match" = Option<String>, Header, description = "304 when the order is still at this ETag"),
    ),
    responses(
        (status = 200, description = "The balance", body = BalanceJson),
        (status = 304, description = "Nothing has changed"),
        (status = 404, description = "No such order, or not yet at that moment", body = Document),
    )
)]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Caller(tenant): Caller,
    OrderId(id): OrderId,
    Query(query): Query<AsOfQuery>,
    AtLeast(at_least): AtLeast,
    has: IfNoneMatch,
) -> Result<Response, Problem> {
    let (order, last) = match query.moment()? {
        None => {
            let view = orders::order(&app, &tenant, id, at_least).await?;
            (view.order, view.last)
        }
        as_of => {
            let mut last = None;
            let each = |recorded: Recorded, _: &Order| last = Some(recorded.position);
            let order = history(&app, &tenant, id, as_of, each).await?;
            (order, last.ok_or_else(Problem::not_found)?)
        }
    };
    Ok(versioned(last, &has, BalanceJson::of(id, &order, last)))
}
