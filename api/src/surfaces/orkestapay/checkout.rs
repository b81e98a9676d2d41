//! `POST /v1/checkouts`: opens an order, to be paid on the hosted page.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use ledger::execute::Done;
use ledger::ids::RecordId;
use ledger::order::{Checkout, Order};
use serde::Serialize;

use super::ids::CheckoutId;
use super::order::OrderReply;
use super::refusal::Refusal;
use super::request::{CheckoutRequest, Submission};
use super::token::Caller;
use super::{buyer_return, field, idempotency_key, millis};
use crate::app::App;
use crate::http::body;
use crate::orders::{self, Ask, OrderError, operation};

/// The longest that a checkout may wait for its buyer, in milliseconds: 30 days.
const LONGEST_LIFE_MS: i64 = 30 * 24 * 60 * 60 * 1000;

/// A checkout that was registered. The seed's reply, field by field and in its order.
#[derive(Serialize)]
struct CheckoutReply<'a> {
    checkout_id: String,
    /// Where the buyer pays; null where no hosted page is configured.
    checkout_redirect_url: Option<String>,
    completed_redirect_url: &'a str,
    canceled_redirect_url: &'a str,
    allow_save_payment_methods: bool,
    locale: &'a str,
    placed_at: String,
    order: OrderReply<'a>,
}

/// Registers a checkout. The same key of the same tenant is the same checkout, for ever.
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Caller(tenant): Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let key = idempotency_key(&headers)?;
    let bytes = body::read(body, app.config.limits.body_bytes).await?;
    body::expect_json(&headers)?;
    let request: CheckoutRequest = body::parse(&bytes)?;
    let submission = Submission::try_from(request)?;
    // Without a key of its own, the shop's name for the order is the key. Apart from the keys that callers choose.
    let by_reference = || format!("merchant_order_id:{}", submission.checkout.merchant_reference);
    let key = key.unwrap_or_else(by_reference);
    let record = RecordId::for_key(&tenant, operation::ORKESTAPAY_CHECKOUT, &key);
    let ask = Ask::new(tenant, Some(key), &submission.content())?;
    let done = match expiry(&app, submission.expires_at, ask.at) {
        Ok(expires_at) => {
            let Checkout { mut surface, .. } = submission.checkout;
            let page = app.payment_page_url.clone().map(|page| (field::PAYMENT_PAGE.to_owned(), page));
            surface.data.extend(page);
            let return_urls = buyer_return::urls(&app, &ask.tenant, record);
            let checkout = Checkout { expires_at, return_urls, surface, ..submission.checkout };
            orders::submit_as(&app, ask, operation::ORKESTAPAY_CHECKOUT, record, checkout).await?
        }
        // The clock has gone on since the first time, and a retry still gets the first answer.
        Err(refusal) => {
            let before = orders::submitted_before(&app, &ask, operation::ORKESTAPAY_CHECKOUT).await?;
            before.ok_or(refusal)?
        }
    };
    Ok(answer(&app, &done))
}

/// When the checkout expires.
fn expiry(app: &App, wanted: Option<Timestamp>, now: Timestamp) -> Result<Timestamp, Refusal> {
    let Some(at) = wanted else {
        return Ok(now.checked_add(app.config.order_life).map_err(|e| OrderError::internal(e.into()))?);
    };
    let ahead_ms = at.as_millisecond() - now.as_millisecond();
    if (1_000..=LONGEST_LIFE_MS).contains(&ahead_ms) {
        Ok(at)
    } else {
        Err(Refusal::invalid("order.expires_at", "not 1 second to 30 days ahead"))
    }
}

/// Built from the stored commit alone.
fn answer(app: &App, done: &Done<Order>) -> Response {
    let commit = &done.recorded.commit;
    let data = &done.state.checkout.surface.data;
    let kept = |name: &str| data.get(name).map_or("", String::as_str);
    let page = data.get(field::PAYMENT_PAGE);
    let reply = CheckoutReply {
        checkout_id: CheckoutId(commit.record).to_string(),
        checkout_redirect_url: page.map(|page| app.payment_url(page, &commit.tenant, commit.record)),
        completed_redirect_url: kept(field::COMPLETED_URL),
        canceled_redirect_url: kept(field::CANCELED_URL),
        allow_save_payment_methods: kept(field::MAY_SAVE) == "true",
        locale: kept(field::LOCALE),
        placed_at: millis(commit.decided_at),
        order: OrderReply::of(commit.record, &done.state, commit.decided_at),
    };
    (StatusCode::CREATED, axum::Json(reply)).into_response()
}
