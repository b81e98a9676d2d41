//! The HTTP front that all peers share: Daybook's routes, JSON and checks, as lean as they can be written.

use std::io::Write;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use standardwebhooks::Webhook;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::peer::{
    Amount, Ask, Capture, Checkout, Fact, Opened, Peer, Refused, Report, Reported, SOURCE, Standing, TENANT,
    now,
};

/// A day: how long an order waits for its payment.
const ORDER_LIFE_MS: i64 = 24 * 60 * 60 * 1000;

/// Who may call.
#[derive(clap::Args)]
pub(crate) struct Access {
    /// SHA-256 of the tenant's API key, in hex.
    #[arg(long)]
    key_hash: String,
    /// The secret of the webhook source: `whsec_` and base64.
    #[arg(long)]
    secret: String,
}

struct App<P> {
    peer: P,
    key_hash: String,
    webhook: Webhook,
}

/// Serves a peer on a port that the system picks, and prints the address first.
pub(crate) async fn serve<P: Peer>(peer: P, access: Access) {
    let webhook = Webhook::new(&access.secret).expect("a webhook secret");
    let app = Arc::new(App { peer, key_hash: access.key_hash, webhook });
    let routes = Router::new()
        .route("/v1/checkouts", post(checkout))
        .route("/v1/orders/{id}/status", get(status))
        .route("/webhooks/{tenant}/{source}", post(report))
        .route("/readyz", get(ready))
        .with_state(app);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("{}", listener.local_addr().expect("an address"));
    std::io::stdout().flush().expect("somebody who reads");
    axum::serve(listener.tap_io(|io| drop(io.set_nodelay(true))), routes).await.expect("a server");
}

impl<P> App<P> {
    fn knows(&self, headers: &HeaderMap) -> bool {
        let key =
            header(headers, header::AUTHORIZATION.as_str()).and_then(|value| value.strip_prefix("Bearer "));
        let hash = key.map(|key| hex(&Sha256::digest(key.as_bytes()))).unwrap_or_default();
        hash.as_bytes().ct_eq(self.key_hash.as_bytes()).into()
    }
}

fn unauthorized() -> Response {
    problem(StatusCode::UNAUTHORIZED, "unauthorized", "no such API key")
}

#[derive(Serialize)]
struct CheckoutJson<'a> {
    order_id: Uuid,
    tracking_number: String,
    status: &'static str,
    amount: &'a Amount,
    merchant_reference: &'a str,
    capture: Capture,
    created_at: String,
    expires_at: String,
    status_token: String,
    payment_url: Option<&'static str>,
    position: String,
}

async fn checkout<P: Peer>(
    State(app): State<Arc<App<P>>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Response> {
    if !app.knows(&headers) {
        return Err(unauthorized());
    }
    let wrong = |why: &str| problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_field", why);
    let checkout: Checkout = serde_json::from_slice(&body).map_err(|e| wrong(&e.to_string()))?;
    let Amount { value, currency } = &checkout.amount;
    if *value <= 0 || currency.len() != 3 || !(1..=128).contains(&checkout.merchant_reference.len()) {
        return Err(wrong("an amount above zero, a currency and a reference of 1 to 128 characters"));
    }
    let key = match header(&headers, "idempotency-key") {
        Some(key) if (1..=255).contains(&key.len()) => key.to_owned(),
        Some(_) => return Err(wrong("Idempotency-Key: 1 to 255 characters")),
        None => Uuid::now_v7().to_string(),
    };
    let canonical = serde_json::to_vec(&checkout).expect("JSON");
    let ask = Ask { key, hash: hex(&Sha256::digest(&canonical)), checkout: checkout.clone(), at: now() };
    let Opened { order, at, position } = app.peer.checkout(ask).await.map_err(|refused| match refused {
        Refused::KeyReused => problem(StatusCode::CONFLICT, "idempotency_key_reused", "other content"),
        Refused::Unavailable(why) => unavailable(&why),
    })?;
    let document = CheckoutJson {
        order_id: order,
        tracking_number: tracking_number(order),
        status: "processing",
        amount: &checkout.amount,
        merchant_reference: &checkout.merchant_reference,
        capture: checkout.capture,
        created_at: time(at),
        expires_at: time(at + ORDER_LIFE_MS),
        status_token: app.webhook.sign(TENANT, 0, order.to_string().as_bytes()).expect("a token"),
        payment_url: None,
        position: position.to_string(),
    };
    let headers = [
        (header::LOCATION.as_str(), format!("/v1/orders/{order}")),
        (header::RETRY_AFTER.as_str(), "1".to_owned()),
        ("daybook-position", document.position.clone()),
    ];
    Ok((StatusCode::ACCEPTED, headers, axum::Json(document)).into_response())
}

#[derive(Serialize)]
struct StatusJson {
    order_id: Uuid,
    tracking_number: String,
    status: String,
    terminal: bool,
    challenge: Option<()>,
    failure_reason: Option<()>,
    updated_at: String,
    position: String,
}

async fn status<P: Peer>(
    State(app): State<Arc<App<P>>>,
    Path(order): Path<Uuid>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    if !app.knows(&headers) {
        return Err(unauthorized());
    }
    let found = app.peer.status(order).await;
    let Standing { status, updated_at, position } =
        found.ok_or_else(|| problem(StatusCode::NOT_FOUND, "not_found", "no such order"))?;
    let document = StatusJson {
        order_id: order,
        tracking_number: tracking_number(order),
        terminal: status == "refunded",
        status,
        challenge: None,
        failure_reason: None,
        updated_at: time(updated_at),
        position: position.to_string(),
    };
    let headers = [(header::ETAG, format!("\"{position}\"")), (header::RETRY_AFTER, "1".to_owned())];
    Ok((headers, axum::Json(document)).into_response())
}

#[derive(Deserialize)]
struct WebhookBody {
    r#type: String,
    data: WebhookData,
}

#[derive(Deserialize)]
struct WebhookData {
    order_id: Uuid,
    amount: Amount,
    reference: Option<String>,
}

async fn report<P: Peer>(
    State(app): State<Arc<App<P>>>,
    Path((tenant, source)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Response> {
    if tenant != TENANT || source != SOURCE {
        return Err(problem(StatusCode::NOT_FOUND, "not_found", "no such source"));
    }
    app.webhook
        .verify(&body, &headers)
        .map_err(|e| problem(StatusCode::UNAUTHORIZED, "invalid_signature", &e.to_string()))?;
    let unreadable = |why: &str| problem(StatusCode::UNPROCESSABLE_ENTITY, "unreadable", why);
    let WebhookBody { r#type, data } =
        serde_json::from_slice(&body).map_err(|e| unreadable(&e.to_string()))?;
    let fact = match r#type.as_str() {
        "payment.captured" => Fact::Captured,
        "refund.settled" => Fact::RefundSettled,
        _ => return Err(unreadable("a kind that no benchmark sends")),
    };
    let event_id = header(&headers, "webhook-id").unwrap_or_default().to_owned();
    let report = Report {
        order: data.order_id,
        fact,
        reference: data.reference.unwrap_or_else(|| event_id.clone()),
        event_id,
        amount: data.amount,
        body: String::from_utf8(body.to_vec()).map_err(|e| unreadable(&e.to_string()))?,
        at: now(),
    };
    Ok(match app.peer.report(report).await {
        Reported::Recorded(position) => {
            axum::Json(json!({"result": "recorded", "position": position.to_string()})).into_response()
        }
        Reported::Duplicate => axum::Json(json!({"result": "duplicate"})).into_response(),
        Reported::SetAside(reason) => {
            let document = json!({"result": "quarantined", "reason": reason});
            (StatusCode::ACCEPTED, axum::Json(document)).into_response()
        }
        Reported::UnknownOrder => problem(StatusCode::NOT_FOUND, "unknown_order", "no such order"),
        Reported::Unavailable(why) => unavailable(&why),
    })
}

async fn ready<P: Peer>(State(app): State<Arc<App<P>>>) -> StatusCode {
    match app.peer.caught_up().await {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn problem(status: StatusCode, code: &str, detail: &str) -> Response {
    let document = json!({"type": "about:blank", "status": status.as_u16(), "code": code, "detail": detail});
    (status, [(header::CONTENT_TYPE, "application/problem+json")], document.to_string()).into_response()
}

fn unavailable(why: &str) -> Response {
    eprintln!("unavailable: {why}");
    problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "send it again")
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn tracking_number(order: Uuid) -> String {
    format!("trk_{}", order.simple())
}

fn time(milliseconds: i64) -> String {
    jiff::Timestamp::from_millisecond(milliseconds).map(|at| at.to_string()).unwrap_or_default()
}

/// Lower-case hex.
fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| DIGITS[usize::from(digit)]);
    digits.map(char::from).collect()
}
