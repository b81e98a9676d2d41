//! Carat's (e-SiTef's) confirmation of payments that were made outside: create a transaction, then confirm or undo
//! it. The merchant's word is what moves the money here; there is no PSP to wait for.
//!
//! In reading order: `fields`, the vendor's tables and bodies read by them; `nit`, the transaction's name; `reply`
//! and `refusal`, every answer's shape; then the three routes. `docs/src/guides/carat.md` is the page for its
//! users, with all that the vendor leaves open.

mod fields;
mod nit;
mod refusal;
mod reply;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::routing::{get, post, put};
use jiff::Timestamp;
use ledger::ids::{RecordId, TenantId};
use ledger::money::{Currency, Money};
use ledger::order::{CaptureMode, Checkout, Customer, ReturnUrls, Surface};
use projections::views::{CauseSummary, HistoryEntry};
use uuid::Uuid;

use crate::app::App;
use crate::http::body;
use crate::orders::{self, Ask, Confirmation, OrderError, operation};
use fields::{Field, Values};
use refusal::{Code, Refusal};
use reply::{Effectuated, Reply};

/// The surface's name in the log.
const NAME: &str = "carat";
const MERCHANT_USN: &str = "merchant_usn";
const ORDER_ID: &str = "order_id";
/// The idempotency key of every effectuation: a transaction has one.
const EFFECTUATION_KEY: &str = "effectuation";

/// The longest `merchant_id` and `merchant_key`, by the vendor's tables.
const LONGEST_MERCHANT_ID: usize = 15;
const LONGEST_MERCHANT_KEY: usize = 80;

/// The three routes, under the vendor's paths.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/transactions", post(create))
        .route("/v1/transactions/{nit}", get(state))
        .route("/v1/payments/{nit}", put(effectuate))
        .fallback(async || Refusal::new(Code::NoRoute, "there is no such route"))
        .method_not_allowed_fallback(async || {
            Refusal::new(Code::MethodNotAllowed, "the method is not allowed here")
        })
}

/// A caller whose `merchant_key` is an API key of the tenant in `merchant_id`.
struct Caller(TenantId);

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let header = |name: &str, longest: usize| {
            let text = parts.headers.get(name).and_then(|value| value.to_str().ok());
            text.filter(|text| text.len() <= longest)
        };
        let tenant = header("merchant_id", LONGEST_MERCHANT_ID).and_then(|id| id.parse::<TenantId>().ok());
        match (tenant, header("merchant_key", LONGEST_MERCHANT_KEY)) {
            (Some(tenant), Some(key)) if app.tenants.is_key_of(&tenant, key) => Ok(Caller(tenant)),
            _ => Err(Refusal::unauthorized()),
        }
    }
}

/// `POST /v1/transactions`.
async fn create(
    State(app): State<Arc<App>>,
    Caller(tenant): Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Reply, Refusal> {
    let values = read(&app, fields::TRANSACTION, &headers, body).await?;
    let ask = Ask::new(tenant, transaction_key(&values), &values)?;
    let checkout = checkout(&app, &values, ask.at)?;
    let tenant = ask.tenant.clone();
    let done = orders::submit(&app, ask, operation::CARAT_TRANSACTION, checkout).await;
    if let Err(OrderError::KeyReused) = &done {
        let key = if values.contains_key(MERCHANT_USN) { MERCHANT_USN } else { ORDER_ID };
        let message = "came with other content before; that transaction stands as it was";
        return Err(Refusal::at(Code::Reused, key, message));
    }
    let done = done?;
    let nit = nit::of(&app.tokens, &tenant, done.recorded.commit.record);
    Ok(Reply::created(nit, &done.state))
}

/// What makes two creations the same: the merchant's number of the transaction, else the order's code. Each is in
/// a scope of its own.
fn transaction_key(values: &Values) -> Option<String> {
    [MERCHANT_USN, ORDER_ID].into_iter().find_map(|name| Some(format!("{name}={}", values.get(name)?)))
}

fn checkout(app: &App, values: &Values, now: Timestamp) -> Result<Checkout, Refusal> {
    let amount = amount(values)?.ok_or_else(|| Refusal::at(Code::MissingField, "amount", "required"))?;
    let life = app.config.carat.transaction_life;
    let expires_at = now.checked_add(life).map_err(|e| OrderError::internal(e.into()))?;
    let named = [ORDER_ID, MERCHANT_USN].into_iter().filter_map(|name| values.get_key_value(name));
    let data: BTreeMap<String, String> =
        named.clone().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let merchant_reference = named.map(|(_, value)| value.clone()).next();
    Ok(Checkout {
        amount,
        // Shops find the order by this name. One that gave it none gets one that nothing else has.
        merchant_reference: merchant_reference.unwrap_or_else(|| Uuid::now_v7().to_string()),
        capture: CaptureMode::Manual,
        payment_method: None,
        items: Vec::new(),
        customer: Customer::default(),
        return_urls: ReturnUrls::default(),
        metadata: BTreeMap::new(),
        expires_at,
        surface: Surface { name: NAME.to_owned(), data },
    })
}

/// `PUT /v1/payments/{nit}?confirm=true|false`.
async fn effectuate(
    State(app): State<Arc<App>>,
    Caller(tenant): Caller,
    nit: Result<Path<String>, PathRejection>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Reply, Refusal> {
    let order = named_by(&app, &tenant, nit)?.1;
    let is_confirmed = confirm(query)?;
    let values = read(&app, fields::EFFECTUATION, &headers, body).await?;
    let host_usn = values.get("acquirer.host_usn").cloned();
    let host_usn = host_usn.unwrap_or_else(|| reply::made_up_host_usn(order));
    let ask = Ask::new(tenant, Some(EFFECTUATION_KEY.to_owned()), &(is_confirmed, &values))?;
    let operation = operation::CARAT_EFFECTUATION;
    let done = if is_confirmed {
        let amount = match amount(&values)? {
            Some(amount) => amount,
            None => orders::order(&app, &ask.tenant, order, None).await?.order.checkout.amount,
        };
        let reference = host_usn.clone();
        let confirmation = Confirmation { payment_reference: None, reference, amount, data: kept(&values) };
        orders::confirm(&app, ask, operation, order, confirmation).await?
    } else {
        orders::cancel(&app, ask, operation, order).await?
    };
    // A retry has the same content, so what is taken from the request here is what the commit was made of.
    let at = done.recorded.commit.decided_at;
    Ok(Reply::effectuated(is_confirmed, Effectuated { host_usn: Some(host_usn), at }))
}

/// What the log keeps of a confirmation: all but the buyer's CPF or CNPJ, which is personal data and of no further
/// use. A retry is told from another request by the hash.
fn kept(values: &Values) -> BTreeMap<String, String> {
    let kept = values.iter().filter(|(name, _)| **name != fields::TAX_NUMBER);
    kept.map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

/// `GET /v1/transactions/{nit}`.
async fn state(
    State(app): State<Arc<App>>,
    Caller(tenant): Caller,
    nit: Result<Path<String>, PathRejection>,
) -> Result<Reply, Refusal> {
    let (nit, order) = named_by(&app, &tenant, nit)?;
    let history = orders::history(&app, &tenant, order, None).await?;
    let at_least = history.last().map(|entry| entry.position);
    let view = orders::order(&app, &tenant, order, at_least).await?;
    Ok(Reply::state(nit, &view.order, history.iter().find_map(effectuated)))
}

/// What this commit says of the transaction's effectuation, if it is that.
fn effectuated(entry: &HistoryEntry) -> Option<Effectuated> {
    let CauseSummary::Command { operation, .. } = &entry.cause else { return None };
    let captured = entry.events.iter().find(|event| event.name == "payment_captured");
    let effectuated = Effectuated { host_usn: captured.and_then(|e| e.reference.clone()), at: entry.at };
    (operation == operation::CARAT_EFFECTUATION).then_some(effectuated)
}

/// The transaction in the path; another merchant's does not exist.
fn named_by(
    app: &App,
    tenant: &TenantId,
    nit: Result<Path<String>, PathRejection>,
) -> Result<(String, RecordId), Refusal> {
    let Path(nit) = nit.map_err(|_| Refusal::not_found())?;
    let order = nit::order(&app.tokens, tenant, &nit).ok_or_else(Refusal::not_found)?;
    Ok((nit, order))
}

/// The one parameter that there is.
fn confirm(query: Result<Query<Vec<(String, String)>>, QueryRejection>) -> Result<bool, Refusal> {
    let invalid = |message: &str| Refusal::at(Code::InvalidField, "confirm", message);
    let Query(parameters) = query.map_err(|_| invalid("the query string cannot be read"))?;
    if let Some((name, _)) = parameters.iter().find(|(name, _)| name != "confirm") {
        return Err(Refusal::at(Code::UnknownField, name, "not a parameter here"));
    }
    match parameters.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>()[..] {
        ["true"] => Ok(true),
        ["false"] => Ok(false),
        [] => Err(Refusal::at(Code::MissingField, "confirm", "required")),
        _ => Err(invalid("true or false, once")),
    }
}

/// The body, by its table.
async fn read(app: &App, table: &[Field], headers: &HeaderMap, body: Body) -> Result<Values, Refusal> {
    let bytes = body::read(body, app.config.limits.body_bytes).await?;
    body::expect_json(headers)?;
    fields::read(table, body::parse(&bytes)?)
}

/// The amount, if one was sent: cents of a real.
fn amount(values: &Values) -> Result<Option<Money>, Refusal> {
    let Some(text) = values.get("amount") else { return Ok(None) };
    let money = "BRL".parse().and_then(|real: Currency| Money::parse_minor(text, real));
    money.map(Some).map_err(|error| Refusal::at(Code::InvalidField, "amount", error.to_string()))
}
