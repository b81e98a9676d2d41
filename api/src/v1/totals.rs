//! `GET /v1/totals`: a tenant's money by currency, over all of its orders, now or as of a moment.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use ledger::ids::{Position, TenantId};
use ledger::money::Currency;
use projections::views::Totals;
use serde::Serialize;
use utoipa::ToSchema;

use super::as_of::{self, AsOfQuery, timed};
use crate::app::App;
use crate::http::id::AtLeast;
use crate::http::problem::Document;
use crate::http::query::Query;
use crate::http::{Caller, Problem};
use crate::orders::{self, OrderError};

pub(super) const PATH: &str = "/v1/totals";

/// A tenant's money.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Totals)]
pub(crate) struct TotalsJson {
    totals: Vec<CurrencyTotalsJson>,
}

/// Sums over all orders in one currency, in whole minor units.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CurrencyTotals)]
struct CurrencyTotalsJson {
    currency: &'static str,
    orders: i64,
    #[schema(value_type = i64)]
    authorized: i128,
    #[schema(value_type = i64)]
    captured: i128,
    #[schema(value_type = i64)]
    refunded: i128,
    #[schema(value_type = i64)]
    refund_pending: i128,
    #[schema(value_type = i64)]
    charged_back: i128,
    #[schema(value_type = i64)]
    balance: i128,
}

impl TotalsJson {
    /// The totals in `/v1`'s words.
    pub(crate) fn of(totals: impl IntoIterator<Item = (Currency, Totals)>) -> Self {
        TotalsJson { totals: totals.into_iter().map(CurrencyTotalsJson::of).collect() }
    }
}

impl CurrencyTotalsJson {
    fn of((currency, totals): (Currency, Totals)) -> Self {
        CurrencyTotalsJson {
            currency: currency.code(),
            orders: totals.orders,
            authorized: totals.authorized_minor,
            captured: totals.captured_minor,
            refunded: totals.refunded_minor,
            refund_pending: totals.refund_pending_minor,
            charged_back: totals.charged_back_minor,
            balance: totals.balance_minor,
        }
    }
}

/// A tenant's money by currency, over all of its orders, now or as of a moment.
#[utoipa::path(
    get, path = "/v1/totals", tag = "Orders", security(("api_key" = [])),
    params(("as_of" = Option<String>, Query, description = "A time (RFC 3339) or a position")),
    responses(
        (status = 200, description = "The totals", body = TotalsJson),
        (status = 400, description = "Invalid query", body = Document),
        (status = 503, description = "Another past is being folded", body = Document),
    )
)]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Caller(tenant): Caller,
    Query(query): Query<AsOfQuery>,
    AtLeast(at_least): AtLeast,
) -> Response {
    let reading = async {
        let totals = read(&app, &tenant, query.as_of.as_deref(), at_least).await?;
        Ok(axum::Json(TotalsJson::of(totals)).into_response())
    };
    timed(&app, query.as_of.is_some(), reading).await
}

/// The totals by currency, in the order of the currencies' codes.
pub(super) async fn read(
    app: &App,
    tenant: &TenantId,
    as_of: Option<&str>,
    at_least: Option<Position>,
) -> Result<Vec<(Currency, Totals)>, Problem> {
    match as_of::moment(app, as_of).await? {
        None => {
            let views = orders::fresh_views(app, at_least).await;
            Ok(views.totals(tenant).map_err(OrderError::from)?)
        }
        Some(moment) => Ok(as_of::snapshot(app, tenant, moment).await?.totals().into_iter().collect()),
    }
}
