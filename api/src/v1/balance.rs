//! `GET /v1/orders/{id}/balance`: an order's money, now or as of a moment.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use super::as_of::{self, AsOfQuery};
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
    let view = match as_of::moment(&app, query.as_of.as_deref()).await? {
        None => orders::order(&app, &tenant, id, at_least).await?,
        Some(moment) => as_of::order(&app, &tenant, id, moment).await?,
    };
    Ok(versioned(view.last, &has, BalanceJson::of(id, &view.order, view.last)))
}
