//! `GET /v1/orders`: a tenant's orders, newest first.

use std::sync::Arc;

use axum::extract::State;
use ledger::order::Status;
use projections::views::{ListFilter, Page};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::page::{cursor, limit};
use super::shapes::OrderJson;
use crate::app::App;
use crate::http::id::AtLeast;
use crate::http::problem::Document;
use crate::http::query::{Query, invalid};
use crate::http::{Caller, Problem};
use crate::orders;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    status: Option<String>,
    merchant_reference: Option<String>,
    reference: Option<String>,
    cursor: Option<String>,
    limit: Option<usize>,
}

impl ListQuery {
    fn filter(self) -> Result<ListFilter, Problem> {
        let status =
            |word: String| Status::from_word(&word).ok_or_else(|| invalid("status: there is no such"));
        let merchant_reference = match (self.merchant_reference, self.reference) {
            (Some(one), Some(other)) if one != other => {
                return Err(invalid("merchant_reference and reference are one filter"));
            }
            (one, other) => one.or(other),
        };
        Ok(ListFilter { status: self.status.map(status).transpose()?, merchant_reference })
    }
}

/// A page of orders, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Orders)]
pub(crate) struct OrdersJson {
    orders: Vec<OrderJson>,
    /// Asks for the next page; null on the last.
    next_cursor: Option<String>,
}

/// A tenant's orders, newest first.
#[utoipa::path(
    get, path = "/v1/orders", tag = "Orders", security(("api_key" = [])),
    params(
        ("status" = Option<super::shapes::StatusWord>, Query, description = "Only orders with this status"),
        ("merchant_reference" = Option<String>, Query, description = "Only orders with this reference"),
        ("reference" = Option<String>, Query, description = "The same filter"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("limit" = Option<u32>, Query, description = "1 to 100, default 20"),
    ),
    responses(
        (status = 200, description = "A page", body = OrdersJson),
        (status = 400, description = "Invalid query", body = Document),
    )
)]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Caller(tenant): Caller,
    Query(query): Query<ListQuery>,
    AtLeast(at_least): AtLeast,
) -> Result<axum::Json<OrdersJson>, Problem> {
    let (cursor, limit) = (cursor(query.cursor.as_deref())?, limit(query.limit)?);
    let filter = query.filter()?;
    let views = orders::fresh_views(&app, at_least).await;
    let Page { orders, next } =
        views.list(&tenant, &filter, cursor, limit).map_err(orders::OrderError::from)?;
    Ok(axum::Json(OrdersJson {
        orders: orders.iter().map(OrderJson::of).collect(),
        next_cursor: next.map(|position| position.to_string()),
    }))
}
