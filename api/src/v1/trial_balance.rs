//! `GET /v1/trial-balance`: what each account holds, by currency, now or as of a moment.
//!
//! The books are a function of the totals, so those of now cost no more than the totals do.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use ledger::accounts::{Account, Figures, TrialBalance};
use ledger::money::Currency;
use projections::views::Totals;
use serde::Serialize;
use utoipa::ToSchema;

use super::as_of::{AsOfQuery, timed};
use super::totals;
use crate::app::App;
use crate::http::Caller;
use crate::http::id::AtLeast;
use crate::http::problem::Document;
use crate::http::query::Query;

pub(super) const PATH: &str = "/v1/trial-balance";

/// A tenant's books.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TrialBalances)]
pub(crate) struct TrialBalancesJson {
    trial_balances: Vec<TrialBalanceJson>,
}

/// What each account holds in one currency, in whole minor units. The two columns add up to the same.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TrialBalance)]
struct TrialBalanceJson {
    currency: &'static str,
    accounts: Vec<AccountJson>,
    /// The debit column added up.
    #[schema(value_type = i64)]
    debit: i128,
    /// The credit column added up.
    #[schema(value_type = i64)]
    credit: i128,
}

/// One account: it stands in debit, in credit, or at zero.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Account)]
struct AccountJson {
    account: &'static str,
    /// `asset`, `contra_asset` or `liability`.
    kind: &'static str,
    #[schema(value_type = i64)]
    debit: i128,
    #[schema(value_type = i64)]
    credit: i128,
}

impl TrialBalancesJson {
    /// The books in `/v1`'s words.
    pub(crate) fn of(books: impl IntoIterator<Item = (Currency, TrialBalance)>) -> Self {
        let trial_balances =
            books.into_iter().map(|(currency, books)| TrialBalanceJson::of(currency, &books));
        TrialBalancesJson { trial_balances: trial_balances.collect() }
    }
}

impl TrialBalanceJson {
    fn of(currency: Currency, books: &TrialBalance) -> Self {
        TrialBalanceJson {
            currency: currency.code(),
            accounts: Account::ALL.map(|account| AccountJson::of(account, books)).into(),
            debit: books.debit_minor(),
            credit: books.credit_minor(),
        }
    }
}

impl AccountJson {
    fn of(account: Account, books: &TrialBalance) -> Self {
        let (debit, credit) = columns(books.balance_minor(account));
        AccountJson { account: account.as_str(), kind: account.kind().as_str(), debit, credit }
    }
}

/// An account's balance, debits less credits, in the column where it stands.
pub(crate) fn columns(balance_minor: i128) -> (i128, i128) {
    (balance_minor.max(0), (-balance_minor).max(0))
}

/// What each account holds, by currency, now or as of a moment.
#[utoipa::path(
    get, path = "/v1/trial-balance", tag = "Orders", security(("api_key" = [])),
    params(("as_of" = Option<String>, Query, description = "A time (RFC 3339) or a position")),
    responses(
        (status = 200, description = "The books", body = TrialBalancesJson),
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
    let books =
        |(currency, totals): (Currency, Totals)| (currency, TrialBalance::of(&Figures::from(&totals)));
    let reading = async {
        let totals = totals::read(&app, &tenant, query.as_of.as_deref(), at_least).await?;
        Ok(axum::Json(TrialBalancesJson::of(totals.into_iter().map(books))).into_response())
    };
    timed(&app, query.as_of.is_some(), reading).await
}
