//! `GET /v1/orders/{id}`: an order with everything that is known about it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use super::shapes::OrderJson;
use crate::app::App;
use crate::http::etag::{IfNoneMatch, versioned};
use crate::http::id::{AtLeast, OrderId};
use crate::http::problem::Document;
use crate::http::{Caller, Problem};
use crate::orders;

/// An order with everything that is known about it.
#[utoipa::path(
    get, path = "/v1/orders/{id}", tag = "Orders", security(("api_key" = [])),
    params(
        ("id" = String, Path, description = "Order id or tracking number"),
        ("If-None-Match" = Option<String>, Header, description = "304 when the order is still at this ETag"),
    ),
    responses(
        (status = 200, description = "The order", body = OrderJson),
        (status = 304, description = "Nothing has changed"),
        (status = 404, description = "No such order", body = Document),
    )
)]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Caller(tenant): Caller,
    OrderId(id): OrderId,
    AtLeast(at_least): AtLeast,
    has: IfNoneMatch,
) -> Result<Response, Problem> {
    let view = orders::order(&app, &tenant, id, at_least).await?;
    Ok(versioned(view.last, &has, OrderJson::of(&view)))
}
