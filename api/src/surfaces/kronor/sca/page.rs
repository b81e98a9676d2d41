//! The pages as HTML. Every value goes through [`escaped`]; there is no script.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use ledger::order::Checkout;

use crate::http::page::{Page, confidential, escaped};

/// After how many seconds a page that waits asks again.
const REFRESH_SECONDS: u32 = 2;

/// The way to the challenge.
pub(super) fn challenge(checkout: &Checkout, onward: &str) -> Response {
    let body = format!(
        "{}<p>Please confirm this purchase with your bank or BankID.</p>\
         <p><a id=\"continue\" href=\"{}\" rel=\"noreferrer\">Continue to authentication</a></p>",
        summary(checkout),
        escaped(onward)
    );
    page(StatusCode::OK, "Confirm your purchase", None, &body)
}

/// Nothing is known yet.
pub(super) fn waiting(checkout: &Checkout) -> Response {
    let body = format!("{}<p>This page goes on by itself in a moment.</p>", summary(checkout));
    page(StatusCode::OK, "One moment", Some(REFRESH_SECONDS), &body)
}

/// What became of it, for a buyer who has nowhere to go back to.
pub(super) fn outcome(checkout: &Checkout, is_complete: bool) -> Response {
    let (title, text) = match is_complete {
        true => ("Thank you", "Your purchase is confirmed. You can close this page."),
        false => ("Not confirmed", "The purchase was not confirmed. You can close this page."),
    };
    page(StatusCode::OK, title, None, &format!("{}<p>{text}</p>", summary(checkout)))
}

/// The PSP's HTML, shut off from this site.
pub(super) fn foreign(html: String) -> Response {
    let mut headers = confidential();
    let policy = "sandbox allow-forms allow-scripts allow-popups; frame-ancestors 'none'";
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    (headers, Html(html)).into_response()
}

/// A page with a title and a body, which is HTML already.
pub(super) fn page(status: StatusCode, title: &str, refresh_seconds: Option<u32>, body: &str) -> Response {
    Page { title, body, refresh_seconds, policy: "form-action 'none'" }.respond(status)
}

fn summary(checkout: &Checkout) -> String {
    format!(
        "<dl><dt>Order</dt><dd>{}</dd><dt>Amount</dt><dd class=\"amount\">{}</dd></dl>",
        escaped(&checkout.merchant_reference),
        escaped(&checkout.amount.to_string())
    )
}
