//! OrkestaPay's checkout: a token, a checkout, a page where the buyer pays, and the order, its payments and refunds.
//!
//! In reading order: `token`, who is calling; `request`, a checkout's body and what it means; `checkout`, which takes
//! it; `order` and `payment`, what is shown of it; `refund`; `buyer_return`, the buyer's way back to the shop. Beside
//! them `ids`, `amount`, `country`, `check` and `refusal`, the vendor's ways of writing.
//! `docs/src/guides/orkestapay.md` is the page for its users, with all that the vendor leaves open.

mod amount;
mod buyer_return;
mod check;
mod checkout;
mod country;
mod ids;
mod order;
mod payment;
mod refund;
mod refusal;
mod request;
#[cfg(test)]
mod tests;
mod token;

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::routing::{get, post};
use jiff::Timestamp;
use ledger::ids::{RecordId, TenantId};
use projections::views::OrderView;

use crate::app::App;
use crate::http::id::{IDEMPOTENCY_HEADER, is_idempotency_key};
use crate::http::problem::Code;
use crate::orders;
use refusal::Refusal;

/// The surface's name in the log.
const NAME: &str = "orkestapay";

/// What this surface keeps in an order: its own fields, and the customer's, by these names. Amounts are in minor
/// units.
mod field {
    pub(super) const COMPLETED_URL: &str = "completed_redirect_url";
    pub(super) const CANCELED_URL: &str = "canceled_redirect_url";
    pub(super) const MAY_SAVE: &str = "allow_save_payment_methods";
    pub(super) const LOCALE: &str = "locale";
    pub(super) const COUNTRY: &str = "country_code";
    pub(super) const SUBTOTAL: &str = "subtotal_minor";
    /// Amounts separated by commas.
    pub(super) const TAXES: &str = "taxes_minor";
    /// Amounts separated by commas.
    pub(super) const DISCOUNTS: &str = "discounts_minor";
    pub(super) const SHIPPING: &str = "shipping_minor";
    /// The hosted page as it was configured when the order was opened: the first answer names it, so every later
    /// one must.
    pub(super) const PAYMENT_PAGE: &str = "payment_page";

    pub(super) const FIRST_NAME: &str = "first_name";
    pub(super) const LAST_NAME: &str = "last_name";
    pub(super) const MERCHANT_CUSTOMER: &str = "merchant_customer_id";
    /// Before the name of each line of the address.
    pub(super) const SHIPPING_ADDRESS: &str = "shipping_address.";
    pub(super) const ADDRESS: [&str; 9] =
        ["first_name", "last_name", "email", "line_1", "line_2", "city", "state", "country", "zip_code"];
}

/// Its routes, under the vendor's paths.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/oauth/tokens", post(token::issue))
        .route("/v1/checkouts", post(checkout::create))
        .route("/v1/orders/{id}", get(order::show))
        .route("/v1/orders/{id}/payments", get(payment::list))
        .route("/v1/payments/{id}", get(payment::show))
        .route("/v1/payments/{id}/refund", post(refund::create))
        .route("/return/{tenant}/{checkout}/{end}/{seal}", get(buyer_return::redirect))
        .fallback(async || Refusal::of(Code::NotFound, "there is no such route"))
        .method_not_allowed_fallback(async || {
            Refusal::of(Code::MethodNotAllowed, "the header Allow names the methods that are")
        })
}

/// An id in a path, as text. What is no text names nothing.
struct PathId(String);

impl FromRequestParts<Arc<App>> for PathId {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let id: Result<Path<String>, PathRejection> = Path::from_request_parts(parts, app).await;
        id.map(|Path(id)| PathId(id)).map_err(|_| Refusal::not_found())
    }
}

/// An order that was made on this surface; any other has none of its ids.
async fn find(app: &App, tenant: &TenantId, id: RecordId) -> Result<OrderView, Refusal> {
    let view = orders::order(app, tenant, id, None).await?;
    if view.order.checkout.surface.name == NAME { Ok(view) } else { Err(Refusal::not_found()) }
}

/// The caller's `Idempotency-Key`. An empty one is none: the vendor's Magento plugin sends it with its checkouts.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let mut values = headers.get_all(IDEMPOTENCY_HEADER).iter();
    let Some(value) = values.next().filter(|value| !value.is_empty()) else { return Ok(None) };
    let is_key = is_idempotency_key(value.as_bytes()) && values.next().is_none();
    match value.to_str() {
        Ok(key) if is_key => Ok(Some(key.to_owned())),
        Ok(_) | Err(_) => {
            let message = "one Idempotency-Key of 1 to 255 visible ASCII characters";
            Err(Refusal::of(Code::InvalidIdempotencyKey, message))
        }
    }
}

/// A time as the vendor writes it: a text of milliseconds since 1970.
fn millis(at: Timestamp) -> String {
    at.as_millisecond().to_string()
}
