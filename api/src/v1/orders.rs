//! `GET /v1/orders`: a tenant's orders, newest first, now or as of a moment.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use ledger::ids::{Position, TenantId};
use ledger::order::Status;
use projections::views::{ListFilter, OrderView, Page};
use replay::{Moment, PageOfIds};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::as_of::{self, timed};
use super::page::{cursor, limit};
use super::shapes::OrderJson;
use crate::app::App;
use crate::http::id::AtLeast;
use crate::http::problem::Document;
use crate::http::query::{Query, invalid};
use crate::http::{Caller, Problem};
use crate::orders;

pub(super) const PATH: &str = "/v1/orders";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    status: Option<String>,
    merchant_reference: Option<String>,
    reference: Option<String>,
    cursor: Option<String>,
    limit: Option<usize>,
    as_of: Option<String>,
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

impl OrdersJson {
    /// The page in `/v1`'s words.
    pub(crate) fn of(page: &Page) -> Self {
        OrdersJson {
            orders: page.orders.iter().map(OrderJson::of).collect(),
            next_cursor: page.next.map(|position| position.to_string()),
        }
    }
}

/// A tenant's orders, newest first, now or as of a moment.
#[utoipa::path(
    get, path = "/v1/orders", tag = "Orders", security(("api_key" = [])),
    params(
        ("status" = Option<super::shapes::StatusWord>, Query, description = "Only orders with this status"),
        ("merchant_reference" = Option<String>, Query, description = "Only orders with this reference"),
        ("reference" = Option<String>, Query, description = "The same filter"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("limit" = Option<u32>, Query, description = "1 to 100, default 20"),
        ("as_of" = Option<String>, Query, description = "A time (RFC 3339) or a position; the same for every page"),
    ),
    responses(
        (status = 200, description = "A page", body = OrdersJson),
        (status = 400, description = "Invalid query", body = Document),
        (status = 503, description = "Another past is being folded", body = Document),
    )
)]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Caller(tenant): Caller,
    Query(query): Query<ListQuery>,
    AtLeast(at_least): AtLeast,
) -> Response {
    let is_past = query.as_of.is_some();
    let reading = async {
        let (cursor, limit) = (cursor(query.cursor.as_deref())?, limit(query.limit)?);
        let moment = as_of::moment(&app, query.as_of.as_deref()).await?;
        let filter = query.filter()?;
        let page = match moment {
            None => {
                orders::fresh_views(&app, at_least).await;
                let page = app.reader.list(&tenant, &filter, cursor, limit).await;
                page.map_err(orders::OrderError::from)?
            }
            Some(moment) => page_as_of(&app, &tenant, moment, &filter, cursor, limit).await?,
        };
        Ok(axum::Json(OrdersJson::of(&page)).into_response())
    };
    timed(&app, is_past, reading).await
}

async fn page_as_of(
    app: &App,
    tenant: &TenantId,
    moment: Moment,
    filter: &ListFilter,
    cursor: Option<Position>,
    limit: usize,
) -> Result<Page, Problem> {
    let PageOfIds { ids, next } = as_of::snapshot(app, tenant, moment).await?.page(filter, cursor, limit);
    let mut orders: Vec<OrderView> = Vec::with_capacity(ids.len());
    for id in ids {
        orders.push(as_of::order(app, tenant, id, moment).await?);
    }
    Ok(Page { orders, next })
}
