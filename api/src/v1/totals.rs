//! `GET /v1/totals`: a tenant's money by currency, over all of its orders.

use std::sync::Arc;

use axum::extract::State;
use ledger::money::Currency;
use projections::views::Totals;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::id::AtLeast;
use crate::http::{Caller, Problem};
use crate::orders::{self, OrderError};

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

impl CurrencyTotalsJson {
    fn of((currency, totals): &(Currency, Totals)) -> Self {
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

/// A tenant's money by currency, over all of its orders.
#[utoipa::path(
    get, path = "/v1/totals", tag = "Orders", security(("api_key" = [])),
    responses((status = 200, description = "The totals", body = TotalsJson))
)]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Caller(tenant): Caller,
    AtLeast(at_least): AtLeast,
) -> Result<axum::Json<TotalsJson>, Problem> {
    let totals = orders::fresh_views(&app, at_least).await.totals(&tenant).map_err(OrderError::from)?;
    Ok(axum::Json(TotalsJson { totals: totals.iter().map(CurrencyTotalsJson::of).collect() }))
}
