//! Azotte's C2A checkout (`seeds`: C2A-03): submit an offer for purchase, then poll.
//!
//! In reading order: `request`, the body and what it means; `reply`, every answer's shape; then the two routes.
//! `docs/src/guides/azotte.md` is the page for its users, with all that the vendor leaves open.

mod reply;
mod request;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use jiff::Timestamp;
use ledger::ids::{TenantId, TrackingNumber};
use ledger::offer::{NotForSale, Offer};
use ledger::order::{CaptureMode, Checkout, ReturnUrls, Surface};
use uuid::Uuid;

use crate::app::App;
use crate::http::body;
use crate::orders::{self, Ask, OrderError, operation};
use reply::{CheckoutResult, Refusal};
use request::{CheckoutRequest, Submission};

/// The surface's name in the log.
const NAME: &str = "azotte";

/// Both routes, under the vendor's paths: its pages write `/api/c2a` here and `/api/v1/c2a` there.
pub(super) fn routes() -> Router<Arc<App>> {
    let mut router = Router::new();
    for base in ["/api/c2a/offer", "/api/v1/c2a/offer"] {
        router = router
            .route(&format!("{base}/checkout"), post(submit))
            .route(&format!("{base}/checkout/{{tracking_id}}/status"), get(status));
    }
    router
        .fallback(async || Refusal::new(StatusCode::NOT_FOUND, "NOT_FOUND", "there is no such route"))
        .method_not_allowed_fallback(async || {
            Refusal::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "METHOD_NOT_ALLOWED",
                "the method is not allowed here",
            )
        })
}

/// A caller whose `x-api-key` is one of the tenant in `x-tn`.
struct Caller(TenantId);

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let tenant = header("x-tn").and_then(|tenant| tenant.parse::<TenantId>().ok());
        match (tenant, header("x-api-key")) {
            (Some(tenant), Some(key)) if app.tenants.is_key_of(&tenant, key) => Ok(Caller(tenant)),
            _ => Err(Refusal::unauthorized()),
        }
    }
}

/// `POST …/checkout`.
async fn submit(
    State(app): State<Arc<App>>,
    Caller(tenant): Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let bytes = body::read(body, app.config.limits.body_bytes).await?;
    body::expect_json(&headers)?;
    let request: CheckoutRequest = body::parse(&bytes)?;
    let submission = Submission::try_from(request)?;
    let ask = Ask {
        tenant,
        key: submission.correlation_id.clone(),
        hash: submission.request_hash,
        at: orders::now(),
    };
    let order = match checkout(&app, &ask.tenant, submission, ask.at).await {
        Ok(checkout) => {
            let done = orders::submit(&app, ask, operation::AZOTTE_CHECKOUT, checkout).await?;
            done.recorded.commit.record
        }
        // An offer that cannot be bought now may have been bought before, by this very request.
        Err(refusal) => match orders::submitted_before(&app, &ask, operation::AZOTTE_CHECKOUT).await? {
            Some(done) => done.recorded.commit.record,
            None => return Err(refusal),
        },
    };
    Ok(CheckoutResult::accepted(TrackingNumber(order)).into_response())
}

/// The checkout that the submission asks for, at the price of its offer as the journal has it now.
async fn checkout(
    app: &App,
    tenant: &TenantId,
    submission: Submission,
    now: Timestamp,
) -> Result<Checkout, Refusal> {
    let record = Offer::record_id(tenant, &submission.offer_identifier);
    let history = app.ledger.history::<Offer>(tenant, record).await.map_err(OrderError::from)?;
    let offer = history.state.ok_or_else(|| {
        Refusal::new(StatusCode::NOT_FOUND, "OFFER_NOT_FOUND", "there is no such offer")
            .at("order.offerIdentifier")
    })?;
    offer.check_purchasable(now).map_err(|reason| {
        let code = match reason {
            NotForSale::Expired => "OFFER_EXPIRED",
            NotForSale::Showcase => "OFFER_NOT_PURCHASABLE",
        };
        Refusal::new(StatusCode::CONFLICT, code, reason.to_string()).at("order.offerIdentifier")
    })?;
    let is_offered = |identifier: &str| {
        offer.items.is_empty() || offer.items.iter().any(|item| item.identifier == identifier)
    };
    if let Some(index) = submission.items.iter().position(|item| !is_offered(&item.identifier)) {
        return Err(Refusal::invalid("not in the offer").at(format!("order.items[{index}].itemIdentifier")));
    }
    let expires_at = now.checked_add(app.config.order_life).map_err(|e| OrderError::Internal(e.into()))?;
    let items = if submission.items.is_empty() { offer.items.clone() } else { submission.items };
    Ok(Checkout {
        amount: offer.amount,
        // Shops find the order by this name. One that gave it none gets one that nothing else has.
        merchant_reference: submission.correlation_id.unwrap_or_else(|| Uuid::now_v7().to_string()),
        capture: CaptureMode::Automatic,
        payment_method: Some(submission.payment_method),
        items,
        customer: submission.customer,
        return_urls: ReturnUrls::default(),
        metadata: Default::default(),
        expires_at,
        surface: Surface { name: NAME.to_owned(), data: submission.data },
    })
}

/// `GET …/checkout/{trackingId}/status`.
async fn status(
    State(app): State<Arc<App>>,
    Caller(tenant): Caller,
    tracking_id: Result<Path<String>, PathRejection>,
) -> Result<Response, Refusal> {
    let Path(text) = tracking_id.map_err(|_| Refusal::not_found())?;
    let TrackingNumber(order) = text.parse().map_err(|_| Refusal::not_found())?;
    let view = orders::order(&app, &tenant, order, None).await?;
    Ok(CheckoutResult::of(TrackingNumber(order), &view.order).into_response())
}
