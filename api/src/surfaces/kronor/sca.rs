//! The SCA page: where a merchant sends the buyer to authenticate, and where the PSP sends the buyer back to.
//!
//! What must stay true: a buyer is led only to http(s) URLs that a verified PSP, the merchant's own request or the
//! configuration named; nothing here needs a script; and what the return address proves opens nothing else.

mod page;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use data_encoding::BASE64URL_NOPAD;
use jiff::{SignedDuration, Timestamp};
use ledger::ids::{RecordId, TenantId};
use ledger::order::{Challenge, Status};
use projections::views::OrderView;
use reqwest::Url;
use serde::Deserialize;

use super::caller::{opened_by, wait_token};
use super::links::{is_of, web_url, with_parameters};
use super::purchase_order::{is_complete, purchase_id};
use super::{NAME, words::Bigint, words::StatusWord};
use crate::app::App;
use crate::http::page::confidential;
use crate::orders::{self, OrderError};

const RETURN_PURPOSE: &str = "kronor.return";
const COOKIE_PURPOSE: &str = "kronor.success_url";
/// How long a buyer may take to authenticate and still be sent to the `success_url`.
const COOKIE_LIFE: SignedDuration = SignedDuration::from_hours(1);
/// How long a buyer who comes back waits for the PSP's webhook before a page says so.
const PATIENCE: Duration = Duration::from_secs(5);

/// The pages, under the surface's base path.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/sca", get(show))
        .route("/sca/", get(show))
        .route("/sca/challenge", get(challenge))
        .route("/sca/return/{token}", get(come_back).post(come_back_by_form))
}

/// Where the PSP sends the buyer of this order after the challenge. The token opens this address alone: it stands in
/// the log, and whoever pays orders reads it.
pub(super) fn return_url(app: &App, tenant: &TenantId, order: RecordId) -> String {
    let mac = app.tokens.sign(RETURN_PURPOSE, &[tenant.as_str(), &order.to_string()]);
    format!("{}/{NAME}/sca/return/{tenant}.{order}.{mac}", app.public_url)
}

fn returned_to(app: &App, token: &str) -> Option<(TenantId, RecordId)> {
    let mut parts = token.splitn(3, '.');
    let (tenant, order, mac) = (parts.next()?, parts.next()?, parts.next()?);
    if !app.tokens.verify(RETURN_PURPOSE, &[tenant, order], mac) {
        return None;
    }
    Some((tenant.parse().ok()?, order.parse().ok()?))
}

/// What the page's link carries.
#[derive(Debug, Deserialize)]
struct Link {
    token: String,
    success_url: Option<String>,
}

/// Why there is nothing to show. Never says whether an order exists.
enum Refused {
    NotFound,
    BadSuccessUrl,
    Unavailable,
}

impl From<OrderError> for Refused {
    fn from(error: OrderError) -> Self {
        if matches!(error, OrderError::NotFound) { Refused::NotFound } else { Refused::Unavailable }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, title, text) = match self {
            Refused::NotFound => {
                (StatusCode::NOT_FOUND, "Not found", "There is no purchase behind this link.")
            }
            Refused::BadSuccessUrl => (
                StatusCode::BAD_REQUEST,
                "This link is broken",
                "The shop's address in it is none that buyers may be sent to. Please go back to the shop.",
            ),
            Refused::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "One moment",
                "The purchase cannot be looked up right now. Nothing is lost; please try again.",
            ),
        };
        let mut response = page::page(status, title, None, &format!("<p>{text}</p>"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// `GET …/sca?token=…[&success_url=…]`.
async fn show(
    State(app): State<Arc<App>>,
    link: Result<Query<Link>, QueryRejection>,
) -> Result<Response, Refused> {
    let Query(link) = link.map_err(|_| Refused::NotFound)?;
    let view = admit(&app, &link.token).await?;
    let success_url = match &link.success_url {
        None => None,
        Some(text) => Some(allowed(&app, &view.tenant, text).ok_or(Refused::BadSuccessUrl)?),
    };
    match view.order.status() {
        Status::Processing => Ok(page::waiting(&view.order.checkout)),
        Status::ActionRequired => {
            let Some(onward) = challenge_of(&view).and_then(|challenge| onward(&app, &view, challenge))
            else {
                return Ok(page::waiting(&view.order.checkout));
            };
            let mut response = page::challenge(&view.order.checkout, onward.as_str());
            if let Some(url) = success_url {
                response
                    .headers_mut()
                    .extend([(header::SET_COOKIE, remembered(&app, view.id, url.as_str()))]);
            }
            Ok(response)
        }
        Status::Authorized
        | Status::PartiallyCaptured
        | Status::Captured
        | Status::PartiallyRefunded
        | Status::Refunded
        | Status::Failed
        | Status::Canceled
        | Status::Expired => Ok(finish(&app, &view, success_url)),
    }
}

/// `GET …/sca/challenge?token=…`: the PSP's own page, where it sent one instead of a URL. It runs as if it were on
/// another site: nothing of this one is open to it.
async fn challenge(
    State(app): State<Arc<App>>,
    link: Result<Query<Link>, QueryRejection>,
) -> Result<Response, Refused> {
    let Query(link) = link.map_err(|_| Refused::NotFound)?;
    let view = admit(&app, &link.token).await?;
    let is_due = view.order.status() == Status::ActionRequired;
    let html = challenge_of(&view).and_then(|challenge| challenge.html.clone()).filter(|_| is_due);
    Ok(page::foreign(html.ok_or(Refused::NotFound)?))
}

/// `GET …/sca/return/{token}`: back from the challenge, and on to the merchant.
async fn come_back(
    State(app): State<Arc<App>>,
    token: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let Path(token) = token.map_err(|_| Refused::NotFound)?;
    let (tenant, order) = returned_to(&app, &token).ok_or(Refused::NotFound)?;
    let patience = PATIENCE.min(app.config.limits.request_timeout / 2);
    let is_over = |view: &OrderView| !is_open(view.order.status());
    let view = orders::wait_until(&app, &tenant, order, None, patience, is_over).await?;
    if view.order.checkout.surface.name != NAME {
        return Err(Refused::NotFound);
    }
    if is_open(view.order.status()) {
        return Ok(page::waiting(&view.order.checkout));
    }
    let success_url = recalled(&app, order, &headers).and_then(|url| allowed(&app, &tenant, &url));
    Ok(finish(&app, &view, success_url))
}

/// `POST …/sca/return/{token}`: some banks send the buyer by a form. Asked again as a `GET` from there, the browser
/// sends its cookie along.
async fn come_back_by_form(
    State(app): State<Arc<App>>,
    token: Result<Path<String>, PathRejection>,
) -> Result<Response, Refused> {
    let Path(token) = token.map_err(|_| Refused::NotFound)?;
    let (tenant, order) = returned_to(&app, &token).ok_or(Refused::NotFound)?;
    Ok((confidential(), Redirect::to(&return_url(&app, &tenant, order))).into_response())
}

async fn admit(app: &App, token: &str) -> Result<OrderView, Refused> {
    let (tenant, order) = opened_by(app, token).ok_or(Refused::NotFound)?;
    let view = orders::order(app, &tenant, order, None).await?;
    if view.order.checkout.surface.name == NAME { Ok(view) } else { Err(Refused::NotFound) }
}

fn is_open(status: Status) -> bool {
    matches!(status, Status::Processing | Status::ActionRequired)
}

fn challenge_of(view: &OrderView) -> Option<&Challenge> {
    view.order.shown_attempt()?.challenge.as_ref()
}

/// Where the buyer passes the challenge.
fn onward(app: &App, view: &OrderView, challenge: &Challenge) -> Option<Url> {
    if let Some(url) = &challenge.url {
        return web_url(url);
    }
    challenge.html.as_ref()?;
    let token = wait_token(app, &view.tenant, view.id);
    web_url(&format!("{}/{NAME}/sca/challenge?token={token}", app.public_url))
}

/// `text` as a URL that this tenant's buyers may be sent to.
fn allowed(app: &App, tenant: &TenantId, text: &str) -> Option<Url> {
    let url = web_url(text)?;
    let tenant = app.tenants.get(tenant)?;
    let mut origins: Vec<&str> = tenant.kronor_redirect_origins.iter().map(String::as_str).collect();
    if origins.is_empty() {
        return Some(url);
    }
    origins.extend(tenant.kronor_redirect_url.as_deref());
    is_of(&url, &origins).then_some(url)
}

/// Sends the buyer to the merchant with the outcome, or shows it where no address is known.
fn finish(app: &App, view: &OrderView, success_url: Option<Url>) -> Response {
    let configured = || web_url(app.tenants.get(&view.tenant)?.kronor_redirect_url.as_deref()?);
    let checkout = &view.order.checkout;
    let is_complete = is_complete(view.order.status());
    let Some(url) = success_url.or_else(configured) else {
        return page::outcome(checkout, is_complete);
    };
    let word = if is_complete { StatusWord::WaitingForCapture } else { StatusWord::Rejected };
    let mut parameters =
        vec![("status", word.as_str().to_owned()), ("reference", checkout.merchant_reference.clone())];
    if is_complete && let Some(Bigint(id)) = purchase_id(view.first) {
        parameters.push(("purchaseId", id.to_string()));
    }
    (confidential(), Redirect::to(&with_parameters(url, &parameters))).into_response()
}

/// The cookie that keeps the `success_url` of one order while the buyer is away. The server keeps nothing.
fn remembered(app: &App, order: RecordId, url: &str) -> HeaderValue {
    let expires = Timestamp::now().saturating_add(COOKIE_LIFE).map_or(0, Timestamp::as_second).to_string();
    let mac = app.tokens.sign(COOKIE_PURPOSE, &[&order.to_string(), &expires, url]);
    let value = format!("{}.{expires}.{mac}", BASE64URL_NOPAD.encode(url.as_bytes()));
    let base =
        web_url(&app.public_url).map_or(String::new(), |url| url.path().trim_end_matches('/').to_owned());
    let secure = if app.public_url.starts_with("https:") { "; Secure" } else { "" };
    let text = format!(
        "{}={value}; Path={base}/{NAME}/sca; Max-Age={}; HttpOnly; SameSite=Lax{secure}",
        cookie_name(order),
        COOKIE_LIFE.as_secs(),
    );
    // All of it is ASCII; if it were not, the buyer would come back to the configured address.
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
}

fn recalled(app: &App, order: RecordId, headers: &HeaderMap) -> Option<String> {
    let name = cookie_name(order);
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(key, _)| *key == name)?;
    let mut parts = value.splitn(3, '.');
    let (url, expires, mac) = (parts.next()?, parts.next()?, parts.next()?);
    let url = String::from_utf8(BASE64URL_NOPAD.decode(url.as_bytes()).ok()?).ok()?;
    if !app.tokens.verify(COOKIE_PURPOSE, &[&order.to_string(), expires, &url], mac) {
        return None;
    }
    (expires.parse::<i64>().ok()? > Timestamp::now().as_second()).then_some(url)
}

fn cookie_name(order: RecordId) -> String {
    format!("kronor_sca_{}", order.0.simple())
}
