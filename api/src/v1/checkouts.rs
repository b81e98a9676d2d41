//! `POST /v1/checkouts`: opens an order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::{AppendHeaders, IntoResponse, Response};
use jiff::Timestamp;
use ledger::execute::Done;
use ledger::ids::{TenantId, TrackingNumber};
use ledger::order::{CaptureMode, Checkout, Customer, Order, PaymentMethod, ReturnUrls, Surface};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::accepted::Accepted;
use super::amount::{Amount, AmountBody};
use super::fields::{maybe_prose, maybe_text, maybe_url, moment, no_card_number, text};
use super::items::{self, ItemBody};
use super::shapes::{CaptureWord, StatusWord, capture_word, time};
use crate::app::App;
use crate::http::body::{Json, Object};
use crate::http::id::IdempotencyKey;
use crate::http::problem::Document;
use crate::http::{Caller, Code, Problem};
use crate::orders::{self, Ask, operation};

/// The hosted page's address as it is configured when an order is opened is kept with the order: the first answer
/// names it, so every later one must.
const PAYMENT_PAGE: &str = "payment_page";
const LONGEST_LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A checkout as a shop submits it.
///
/// What it serializes to is the content that its hash is made of: without defaults and without what was left out.
/// A later field must be skipped when absent, or the retries of older requests would be refused.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CheckoutRequest)]
pub struct CheckoutBody {
    #[schema(value_type = Amount)]
    amount: Object<AmountBody>,
    /// The shop's name for the order.
    #[schema(min_length = 1, max_length = 128)]
    merchant_reference: String,
    #[serde(default, skip_serializing_if = "Capture::is_automatic")]
    #[schema(value_type = Option<CaptureWord>)]
    capture: Capture,
    /// Without it the buyer pays on the page at `payment_url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<PaymentMethodBody>)]
    payment_method: Option<Object<PaymentMethodBody>>,
    /// Up to 200.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Option<Vec<ItemBody>>)]
    items: Vec<Object<ItemBody>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<CustomerBody>)]
    customer: Option<Object<CustomerBody>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ReturnUrlsBody>)]
    return_urls: Option<Object<ReturnUrlsBody>>,
    /// Up to 50 pairs; keys up to 64, values up to 512 characters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    metadata: BTreeMap<String, String>,
    /// RFC 3339; 1 second to 30 days ahead, 24 hours without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Capture {
    #[default]
    Automatic,
    Manual,
}

impl Capture {
    fn is_automatic(&self) -> bool {
        *self == Capture::Automatic
    }
}

/// What the buyer pays with.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PaymentMethodRequest)]
struct PaymentMethodBody {
    /// Such as `card`: 1 to 32 of `a-z 0-9 _`.
    r#type: String,
    /// The PSP's token, 1 to 255 characters; never a card number.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

/// Who buys: personal data, each up to 256 characters.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CustomerRequest)]
struct CustomerBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<String>,
}

/// Where the buyer's browser goes afterwards: http(s) URLs, each up to 2048 characters.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReturnUrlsRequest)]
struct ReturnUrlsBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    success: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel: Option<String>,
}

/// An order that was opened.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Checkout)]
pub(crate) struct CheckoutJson {
    order_id: String,
    tracking_number: String,
    #[schema(value_type = StatusWord)]
    status: &'static str,
    amount: Amount,
    merchant_reference: String,
    #[schema(value_type = CaptureWord)]
    capture: &'static str,
    /// RFC 3339 in UTC.
    created_at: String,
    /// RFC 3339 in UTC.
    expires_at: String,
    /// Reads the status of this one order; safe in a browser.
    status_token: String,
    /// Where the buyer pays; null where no hosted page is configured.
    payment_url: Option<String>,
    position: String,
}

/// Opens an order. The 202 says that it is in the log, not that anybody has paid.
#[utoipa::path(
    post, path = "/v1/checkouts", tag = "Orders", security(("api_key" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters")),
    request_body = CheckoutBody,
    responses(
        (status = 202, description = "The order is in the log", body = CheckoutJson),
        (status = "4XX", description = "Refused; nothing changed", body = Document),
        (status = 503, description = "Try again with the same key", body = Document),
    )
)]
pub(crate) async fn post(
    State(app): State<Arc<App>>,
    Caller(tenant): Caller,
    IdempotencyKey(key): IdempotencyKey,
    Json(body): Json<CheckoutBody>,
) -> Result<Response, Problem> {
    let accepted = accept(&app, tenant, key, &body).await?;
    let headers = [
        (header::LOCATION, format!("/v1/orders/{}", accepted.document.order_id)),
        (header::RETRY_AFTER, "1".to_owned()),
    ];
    Ok((AppendHeaders(headers), accepted).into_response())
}

/// The same for any door: opens the order, and says what is in the log then.
pub(super) async fn accept(
    app: &App,
    tenant: TenantId,
    key: Option<String>,
    body: &CheckoutBody,
) -> Result<Accepted<CheckoutJson>, Problem> {
    let checkout = body.check(app)?;
    let ask = Ask::new(tenant, key, body)?;
    let done = match body.expiry(ask.at, app.config.order_life) {
        Ok(expires_at) => {
            let checkout = Checkout { expires_at, ..checkout };
            orders::submit(app, ask, operation::CHECKOUT, checkout).await?
        }
        // The clock has gone on since the first time, and a retry still gets the first answer. In a box, like whatever is
        // seldom done.
        Err(problem) => {
            Box::pin(orders::submitted_before(app, &ask, operation::CHECKOUT)).await?.ok_or(problem)?
        }
    };
    Ok(Accepted { position: done.recorded.position, document: answer(app, &done) })
}

/// Built from the stored commit alone.
fn answer(app: &App, done: &Done<Order>) -> CheckoutJson {
    let commit = &done.recorded.commit;
    let (tenant, order) = (&commit.tenant, commit.record);
    let checkout = &done.state.checkout;
    let page = checkout.surface.data.get(PAYMENT_PAGE);
    CheckoutJson {
        order_id: order.to_string(),
        tracking_number: TrackingNumber(order).to_string(),
        status: done.state.status().as_str(),
        amount: checkout.amount.into(),
        merchant_reference: checkout.merchant_reference.clone(),
        capture: capture_word(checkout.capture),
        created_at: time(commit.decided_at),
        expires_at: time(checkout.expires_at),
        status_token: app.tokens.status_token(tenant, order),
        payment_url: page.map(|template| app.payment_url(template, tenant, order)),
        position: done.recorded.position.to_string(),
    }
}

impl CheckoutBody {
    /// Everything but the expiry, which depends on the clock.
    fn check(&self, app: &App) -> Result<Checkout, Problem> {
        let amount = self.amount.0.read("/amount")?;
        let merchant_reference = text("/merchant_reference", &self.merchant_reference, 1, 128)?;
        let payment_method = self.payment_method.as_ref().map(|method| method.0.check()).transpose()?;
        let items = items::check(&self.items)?;
        let customer = self.customer.as_ref().map(|customer| customer.0.check()).transpose()?;
        let return_urls = self.return_urls.as_ref().map(|urls| urls.0.check()).transpose()?;
        if self.metadata.len() > 50 {
            return Err(Problem::at(Code::InvalidField, "/metadata", "at most 50 pairs"));
        }
        for (key, value) in &self.metadata {
            let at = format!("/metadata/{}", key.replace('~', "~0").replace('/', "~1"));
            no_card_number(&at, key)?;
            no_card_number(&at, value)?;
            text(&at, key, 1, 64)?;
            text(&at, value, 0, 512)?;
        }
        let page = app.payment_page_url.clone().map(|page| (PAYMENT_PAGE.to_owned(), page));
        Ok(Checkout {
            amount,
            merchant_reference,
            capture: match self.capture {
                Capture::Automatic => CaptureMode::Automatic,
                Capture::Manual => CaptureMode::Manual,
            },
            payment_method,
            items,
            customer: customer.unwrap_or_default(),
            return_urls: return_urls.unwrap_or_default(),
            metadata: self.metadata.clone(),
            expires_at: Timestamp::UNIX_EPOCH,
            surface: Surface { name: "v1".to_owned(), data: page.into_iter().collect() },
        })
    }

    /// When the order expires, in whole milliseconds.
    fn expiry(&self, now: Timestamp, life: Duration) -> Result<Timestamp, Problem> {
        let wrong = |detail: &str| Problem::at(Code::InvalidField, "/expires_at", detail);
        let Some(text) = &self.expires_at else {
            return now.checked_add(life).map_err(|_| wrong("out of range"));
        };
        let at = moment("/expires_at", text)?;
        let ahead = at.duration_since(now);
        if ahead.is_negative() || !(Duration::from_secs(1)..=LONGEST_LIFE).contains(&ahead.unsigned_abs()) {
            return Err(wrong("not 1 second to 30 days ahead"));
        }
        Ok(at)
    }
}

impl PaymentMethodBody {
    fn check(&self) -> Result<PaymentMethod, Problem> {
        no_card_number("/payment_method/type", &self.r#type)?;
        no_card_number("/payment_method/token", self.token.as_deref().unwrap_or_default())?;
        let kind = text("/payment_method/type", &self.r#type, 1, 32)?;
        if !kind.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
            return Err(Problem::at(Code::InvalidField, "/payment_method/type", "only a-z 0-9 _"));
        }
        let token = maybe_text("/payment_method/token", self.token.as_ref(), 1, 255)?;
        Ok(PaymentMethod { kind, token, card: None })
    }
}

impl CustomerBody {
    fn check(&self) -> Result<Customer, Problem> {
        Ok(Customer {
            name: maybe_prose("/customer/name", self.name.as_ref(), 0, 256)?,
            email: maybe_prose("/customer/email", self.email.as_ref(), 0, 256)?,
            phone: maybe_text("/customer/phone", self.phone.as_ref(), 0, 256)?,
            ip: maybe_text("/customer/ip", self.ip.as_ref(), 0, 256)?,
            details: BTreeMap::new(),
        })
    }
}

impl ReturnUrlsBody {
    fn check(&self) -> Result<ReturnUrls, Problem> {
        Ok(ReturnUrls {
            success: maybe_url("/return_urls/success", self.success.as_ref())?,
            failure: maybe_url("/return_urls/failure", self.failure.as_ref())?,
            cancel: maybe_url("/return_urls/cancel", self.cancel.as_ref())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use ledger::ids::RequestHash;

    use super::*;
    use crate::http::body::parse;

    fn hash(body: &str) -> RequestHash {
        let body: CheckoutBody = parse(body.as_bytes()).unwrap();
        RequestHash::of(&serde_json::to_vec(&body).unwrap())
    }

    #[test]
    fn spelling_and_defaults_do_not_change_what_was_asked() {
        let plain = hash(r#"{"amount":{"value":1999,"currency":"EUR"},"merchant_reference":"A-1"}"#);
        let spelt_out = hash(
            r#"{ "merchant_reference":"A-1", "capture":"automatic", "items":[], "metadata":{}, "customer":null,
                 "amount":{"currency":"EUR","value":1999.0,"exponent":2} }"#,
        );
        assert_eq!(plain, spelt_out);
        let other = hash(r#"{"amount":{"value":1998,"currency":"EUR"},"merchant_reference":"A-1"}"#);
        assert_ne!(plain, other);
    }

    #[test]
    fn the_content_of_a_request_is_written_like_this_for_ever() {
        // A change here refuses the retries of every request that was answered before it.
        let body: CheckoutBody = parse(
            br#"{"amount":{"value":1999,"currency":"EUR"},"merchant_reference":"A-1","capture":"manual",
                 "payment_method":{"type":"card","token":"tok_success"},
                 "items":[{"identifier":"sku","quantity":2,"unit_price":{"value":5,"currency":"EUR"}}],
                 "customer":{"email":"a@b.c"},"return_urls":{"success":"https://a/"},"metadata":{"k":"v"},
                 "expires_at":"2026-11-21T10:00:00Z"}"#,
        )
        .unwrap();
        let canonical = concat!(
            r#"{"amount":{"value":1999,"currency":"EUR"},"merchant_reference":"A-1","capture":"manual","#,
            r#""payment_method":{"type":"card","token":"tok_success"},"#,
            r#""items":[{"identifier":"sku","quantity":2,"unit_price":{"value":5,"currency":"EUR"}}],"#,
            r#""customer":{"email":"a@b.c"},"return_urls":{"success":"https://a/"},"metadata":{"k":"v"},"#,
            r#""expires_at":"2026-11-21T10:00:00Z"}"#,
        );
        assert_eq!(serde_json::to_string(&body).unwrap(), canonical);
    }
}
