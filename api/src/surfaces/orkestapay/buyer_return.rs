//! The buyer's way back: the hosted page leads to a route of ours, which leads on to the shop.
//!
//! The shop's URL comes out of the order, so these links lead nowhere else. Each carries an HMAC over whom and what
//! it is for, so nobody can make one up; what the hosted page adds to it is not read.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use ledger::ids::{RecordId, TenantId};
use ledger::order::ReturnUrls;

use super::ids::{CheckoutId, OrderId, PaymentId};
use super::refusal::Refusal;
use super::{field, find};
use crate::app::App;

/// What the links are sealed for.
const PURPOSE: &str = "orkestapay.return";
const COMPLETED: &str = "completed";
const CANCELED: &str = "canceled";

/// Where the hosted page sends the buyer of this order: one way for who paid, one for everybody else.
pub(super) fn urls(app: &App, tenant: &TenantId, order: RecordId) -> ReturnUrls {
    let checkout = CheckoutId(order);
    let url = |end: &str| {
        let seal = app.tokens.sign(PURPOSE, &[tenant.as_str(), &order.to_string(), end]);
        Some(format!("{}/orkestapay/return/{tenant}/{checkout}/{end}/{seal}", app.public_url))
    };
    ReturnUrls { success: url(COMPLETED), failure: url(CANCELED), cancel: url(CANCELED) }
}

/// `GET /return/{tenant}/{checkout}/{end}/{seal}`.
pub(super) async fn redirect(
    State(app): State<Arc<App>>,
    link: Result<Path<(String, String, String, String)>, PathRejection>,
) -> Result<Response, Refusal> {
    let Path((tenant, checkout, end, seal)) = link.map_err(|_| Refusal::not_found())?;
    let tenant: TenantId = tenant.parse().map_err(|_| Refusal::not_found())?;
    let CheckoutId(order) = checkout.parse().map_err(|_| Refusal::not_found())?;
    if !app.tokens.verify(PURPOSE, &[tenant.as_str(), &order.to_string(), &end], &seal) {
        return Err(Refusal::not_found());
    }
    let name = if end == COMPLETED { field::COMPLETED_URL } else { field::CANCELED_URL };
    let view = find(&app, &tenant, order).await?;
    let url = view.order.checkout.surface.data.get(name).ok_or_else(Refusal::not_found)?;
    let mut parameters = vec![("order_id", OrderId(order).to_string())];
    if let Some(attempt) = view.order.shown_attempt() {
        parameters.push(("payment_id", PaymentId { order, attempt: attempt.number }.to_string()));
    }
    let headers = [(header::CACHE_CONTROL, "no-store"), (header::REFERRER_POLICY, "no-referrer")];
    Ok((AppendHeaders(headers), Redirect::to(&with_parameters(url, &parameters))).into_response())
}

/// The URL with these parameters after its own: everything of the shop's stays as it is, to the byte. The names and
/// values need no encoding.
fn with_parameters(url: &str, parameters: &[(&str, String)]) -> String {
    let (rest, fragment) = url.find('#').map_or((url, ""), |at| url.split_at(at));
    let mut url = rest.to_owned();
    for (name, value) in parameters {
        let separator = match url.find('?') {
            None => "?",
            Some(_) if url.ends_with(['?', '&']) => "",
            Some(_) => "&",
        };
        url.push_str(&format!("{separator}{name}={value}"));
    }
    url + fragment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shops_own_parameters_survive_to_the_byte() {
        for (url, expect) in [
            ("https://shop.example/ok", "https://shop.example/ok?order_id=ord_1"),
            ("https://shop.example", "https://shop.example?order_id=ord_1"),
            ("https://shop.example/ok?", "https://shop.example/ok?order_id=ord_1"),
            (
                "https://shop.example/ok?b=2&a=1&b=%20+x",
                "https://shop.example/ok?b=2&a=1&b=%20+x&order_id=ord_1",
            ),
            ("https://shop.example/ok?a=1&", "https://shop.example/ok?a=1&order_id=ord_1"),
            ("https://shop.example/ok?a=1#top?x", "https://shop.example/ok?a=1&order_id=ord_1#top?x"),
            ("https://shop.example/#/ok?a=1", "https://shop.example/?order_id=ord_1#/ok?a=1"),
            // One of the same name stays, and ours comes last.
            ("https://shop.example/?order_id=7", "https://shop.example/?order_id=7&order_id=ord_1"),
        ] {
            assert_eq!(with_parameters(url, &[("order_id", "ord_1".to_owned())]), expect);
        }
    }
}
