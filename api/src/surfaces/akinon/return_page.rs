//! The way back: the hosted page sends the buyer's browser here, and a form sends it on to Akinon with the outcome,
//! hashed with the hash-key that Akinon shares with us.
//!
//! The form sends itself where scripts run; where they do not, the buyer presses its button.

use std::fmt::Write;
use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use data_encoding::{BASE64, HEXLOWER};
use ledger::ids::{RecordId, TenantId};
use ledger::order::{Attempt, CaptureMode, Order, Status};
use sha2::{Digest, Sha512};
use uuid::Uuid;

use super::amount::Amount;
use super::movements::patience;
use super::session;
use crate::app::App;
use crate::config::Secret;
use crate::http::page::{Page, escaped};
use crate::orders::{self, OrderError};
use crate::tokens::TokenSigner;

/// What the token in the address is signed for.
const PURPOSE: &str = "akinon return";
const SALT_LENGTH: usize = 10;
const NO_FORM: &str = "form-action 'none'";

/// Where the hosted page is to send the buyer of this order.
pub(super) fn url(app: &App, tenant: &TenantId, order: RecordId) -> String {
    format!("{}/akinon/return/{tenant}/{order}.{}", app.public_url, mac(&app.tokens, tenant, order))
}

fn mac(tokens: &TokenSigner, tenant: &TenantId, order: RecordId) -> String {
    tokens.sign(PURPOSE, &[tenant.as_str(), &order.to_string()])
}

/// The order that an address leads to, if we made it.
fn opened_by(tokens: &TokenSigner, tenant: &str, token: &str) -> Option<(TenantId, RecordId)> {
    let (order, mac) = token.split_once('.')?;
    let (tenant, order): (TenantId, RecordId) = (tenant.parse().ok()?, order.parse().ok()?);
    tokens.verify(PURPOSE, &[tenant.as_str(), &order.to_string()], mac).then_some((tenant, order))
}

/// What the buyer's browser takes to Akinon.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Form {
    /// Where to.
    return_url: String,
    /// Names and values, in this order.
    fields: [(&'static str, String); 5],
}

/// `GET /return/{tenant}/{token}`. The hosted page may add parameters of its own; they mean nothing here.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Response {
    let opened = path.ok().and_then(|Path((tenant, token))| opened_by(&app.tokens, &tenant, &token));
    let Some((tenant, order)) = opened else { return not_found() };
    match form(&app, &tenant, order).await {
        Ok(Some(form)) => page(&form),
        Ok(None) | Err(OrderError::NotFound) => not_found(),
        Err(OrderError::Unavailable(_) | OrderError::Unknown(_)) => unavailable(),
        Err(OrderError::Rejected(_) | OrderError::KeyReused)
        | Err(OrderError::TooLarge { .. } | OrderError::Internal(_)) => internal(),
    }
}

async fn form(app: &App, tenant: &TenantId, id: RecordId) -> Result<Option<Form>, OrderError> {
    let is_over = |order: &Order| is_decided(order);
    let view = orders::wait_until(app, tenant, id, None, patience(app), |v| is_over(&v.order)).await?;
    let commits = orders::commits(app, tenant, id).await?;
    let key = app.tenants.get(tenant).and_then(|config| config.akinon_hash_key.as_ref());
    let Some((session, key)) = session::latest(&app.tokens, &commits).zip(key) else { return Ok(None) };
    let checkout = &view.order.checkout;
    let amount = Amount::of(paid_minor(&view.order), checkout.amount.currency());
    let salt = salt();
    let hash = hash(&salt, &session.id, &amount, key);
    Ok(Some(Form {
        return_url: session.return_url,
        fields: [
            ("sessionId", session.id),
            ("orderId", checkout.merchant_reference.clone()),
            ("salt", salt),
            ("amount", amount.as_str().to_owned()),
            ("hash", hash),
        ],
    }))
}

/// A SALE is decided once it is captured, an AUTH once it is authorized; both when there is nothing to hope for.
fn is_decided(order: &Order) -> bool {
    let is_reserved = order.checkout.capture == CaptureMode::Manual && order.status() == Status::Authorized;
    is_reserved || order.status().is_terminal()
}

/// What was captured, else what is reserved; nothing where the buyer has not paid.
fn paid_minor(order: &Order) -> i64 {
    let captured = order.balance().captured_minor;
    let reserved =
        order.shown_attempt().filter(|attempt| order.end.is_none() && attempt.holds_authorization());
    if captured > 0 { captured } else { reserved.map_or(0, |attempt: &Attempt| attempt.authorized_minor) }
}

/// Lower-case hex of SHA-512 over the values and the hash-key, joined by `|`.
fn hash(salt: &str, session_id: &str, amount: &Amount, key: &Secret) -> String {
    let text = [salt, session_id, amount.as_str(), key.reveal()].join("|");
    HEXLOWER.encode(&Sha512::digest(text.as_bytes()))
}

/// Random letters and digits.
fn salt() -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    // The lower 62 bits of a version 4 UUID are random, more than ten of 62 characters need.
    let mut bits = Uuid::new_v4().as_u128();
    let mut next = || {
        let symbol = ALPHABET[(bits % 62) as usize];
        bits /= 62;
        char::from(symbol)
    };
    (0..SALT_LENGTH).map(|_| next()).collect()
}

fn page(form: &Form) -> Response {
    let nonce = BASE64.encode(Uuid::new_v4().as_bytes());
    let mut fields = String::new();
    for (name, value) in &form.fields {
        // Writing into a text cannot fail.
        let _written = write!(fields, "<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escaped(value));
    }
    let body = format!(
        "<form method=\"post\" action=\"{}\">{fields}<p>You are being taken back to the shop.</p>\
         <button>Continue</button></form><script nonce=\"{nonce}\">document.forms[0].submit()</script>",
        escaped(&form.return_url),
    );
    // `form-action` holds for every redirect that follows, and where the shop redirects to, nobody here knows.
    let onward = if form.return_url.starts_with("https:") { "https:" } else { "http: https:" };
    let policy = format!("script-src 'nonce-{nonce}'; form-action {onward}");
    show_page(StatusCode::OK, &policy, "Back to the shop", &body)
}

fn not_found() -> Response {
    let body = "<p>There is no payment behind this link.</p>";
    show_page(StatusCode::NOT_FOUND, NO_FORM, "Not found", body)
}

fn unavailable() -> Response {
    let body = "<p>We cannot look your payment up. Nothing is lost; please reload this page.</p>";
    let mut response = show_page(StatusCode::SERVICE_UNAVAILABLE, NO_FORM, "One moment", body);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn internal() -> Response {
    let body = "<p>Something went wrong on our side. Please go back to the shop.</p>";
    show_page(StatusCode::INTERNAL_SERVER_ERROR, NO_FORM, "Something went wrong", body)
}

fn show_page(status: StatusCode, policy: &str, title: &str, body: &str) -> Response {
    Page { title, body, refresh_seconds: None, policy }.respond(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_sha_512_over_the_values_and_the_key() {
        let amount = Amount::of(1990, "TRY".parse().unwrap());
        // printf %s 'a1B2c3D4e5|session-1|19.90|demo-hash-key' | sha512sum
        let expect = "9a5f1d6ed8828b8d4cad34abb099be2a98745c7f3231a8f1607d8cf8c585c1de15170b61f7338c3d248f9ebfe9e31c8308ea84833a01819539914979bcbc6e6f";
        assert_eq!(hash("a1B2c3D4e5", "session-1", &amount, &Secret::new("demo-hash-key")), expect);
    }

    #[test]
    fn a_salt_is_ten_letters_and_digits_and_never_the_same() {
        let salts: std::collections::BTreeSet<String> = (0..100).map(|_| salt()).collect();
        assert_eq!(salts.len(), 100);
        assert!(salts.iter().all(|salt| salt.len() == 10 && salt.bytes().all(|b| b.is_ascii_alphanumeric())));
    }

    #[test]
    fn an_address_leads_to_its_own_order_and_no_other() {
        let tokens = TokenSigner::new(Secret::new("s"));
        let tenant: TenantId = "demo".parse().unwrap();
        let order = RecordId::for_key(&tenant, "akinon.order", "A-1");
        let token = format!("{order}.{}", mac(&tokens, &tenant, order));
        assert_eq!(opened_by(&tokens, "demo", &token), Some((tenant.clone(), order)));
        let other = RecordId::for_key(&tenant, "akinon.order", "A-2");
        let moved = token.replace(&order.to_string(), &other.to_string());
        for (tenant, token) in
            [("acme", token.as_str()), ("demo", &moved), ("demo", &token[1..]), ("demo", ""), ("", ".")]
        {
            assert_eq!(opened_by(&tokens, tenant, token), None, "{tenant} {token}");
        }
    }

    #[test]
    fn a_value_cannot_leave_its_place() {
        let form = Form {
            return_url: "https://shop.example/back?a=1&b=\"><script>".to_owned(),
            fields: ["sessionId", "orderId", "salt", "amount", "hash"]
                .map(|name| (name, "'\"><b>".to_owned())),
        };
        let response = page(&form);
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        assert!(
            policy.contains("; script-src 'nonce-") && policy.contains("; form-action https:; "),
            "{policy}"
        );
    }
}
