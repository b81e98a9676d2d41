//! A server in this process, on the embedded journal in a directory of its own.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    reason = "test code, of which each test binary uses a part"
)]

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use daybook::app::App;
use daybook::config::Config;
use daybook::{orders, startup};
use ledger::commit::Cause;
use ledger::ids::RecordId;
use ledger::journal::Journal;
use ledger::money::Money;
use ledger::order::{Fact, Notification};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

pub const KEY: &str = "demo-key";

pub struct Server {
    pub app: Arc<App>,
    router: Router,
    _directory: TempDir,
}

pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Bytes,
}

impl Reply {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|e| panic!("{e}: {:?}", self.bytes))
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{:?}", self.bytes);
        self
    }

    #[track_caller]
    pub fn expect_problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{:?}", self.bytes);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["type"], format!("urn:daybook:problem:{code}"));
        assert_eq!(problem["status"], status);
        assert_eq!(problem["request_id"], self.header("x-request-id"));
        problem
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A request being put together.
pub struct Call {
    method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
    body: Body,
}

pub fn get(path: impl Into<String>) -> Call {
    Call::new("GET", path)
}

pub fn post(path: impl Into<String>) -> Call {
    Call::new("POST", path)
}

pub fn put(path: impl Into<String>) -> Call {
    Call::new("PUT", path)
}

impl Call {
    pub fn new(method: &'static str, path: impl Into<String>) -> Self {
        let headers = vec![("authorization".to_owned(), format!("Bearer {KEY}"))];
        Call { method, path: path.into(), headers, body: Body::empty() }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn anonymous(mut self) -> Self {
        self.headers.retain(|(name, _)| name != "authorization");
        self
    }

    pub fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    pub fn json(self, body: &Value) -> Self {
        self.text(body.to_string())
    }

    pub fn text(self, body: impl Into<Body>) -> Self {
        Call { body: body.into(), ..self }.header("content-type", "application/json")
    }

    fn request(self) -> Request<Body> {
        let mut request = Request::builder().method(self.method).uri(self.path);
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        request.body(self.body).unwrap()
    }
}

/// A webhook of the demo's PSP, signed.
pub fn webhook(event_id: &str, body: impl Into<Vec<u8>>) -> Call {
    let body = body.into();
    let secret = Config::demo_webhook_secret();
    let now = jiff::Timestamp::now().as_second();
    let signer = standardwebhooks::Webhook::new(secret.reveal()).unwrap();
    let signature = signer.sign(event_id, now, &body).unwrap();
    post("/webhooks/demo/sandbox")
        .anonymous()
        .header("webhook-id", event_id)
        .header("webhook-timestamp", &now.to_string())
        .header("webhook-signature", &signature)
        .text(body)
}

pub fn checkout() -> Value {
    json!({
        "amount": {"value": 1999, "currency": "EUR"},
        "merchant_reference": "A-1001",
        "payment_method": {"type": "card", "token": "tok_success"},
    })
}

impl Server {
    pub async fn demo() -> Self {
        Server::with("").await
    }

    /// A server with this configuration file.
    pub async fn with(file: &str) -> Self {
        Server::on(file, |journal| journal).await
    }

    /// A server with this configuration file, on what `wrap` makes of its journal.
    pub async fn on(file: &str, wrap: impl FnOnce(Arc<dyn Journal>) -> Arc<dyn Journal>) -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("daybook.toml");
        std::fs::write(&path, file).unwrap();
        let data = directory.path().join("data").display().to_string();
        let config = Config::load(Some(&path), |_| None, &[("data_dir", Some(data))]).unwrap();
        let journal = wrap(startup::open_journal(&config).await.unwrap());
        let address = "127.0.0.1:8080".parse().unwrap();
        let app = startup::open_on(journal, config, address).await.unwrap();
        Server { router: startup::router(Arc::clone(&app)), app, _directory: directory }
    }

    pub async fn send(&self, call: Call) -> Reply {
        let response = self.stream(call).await;
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        Reply { status: parts.status, headers: parts.headers, bytes }
    }

    /// The answer before its body has ended.
    pub async fn stream(&self, call: Call) -> axum::response::Response {
        self.router.clone().oneshot(call.request()).await.unwrap()
    }

    /// Opens an order and returns its id.
    pub async fn submit(&self, body: &Value) -> String {
        let reply = self.send(post("/v1/checkouts").json(body)).await.expect(202);
        reply.json()["order_id"].as_str().unwrap().to_owned()
    }

    /// Records a fact as a verified webhook of the demo's PSP does.
    pub async fn report(&self, order: &str, event_id: &str, fact: Fact) {
        let order: RecordId = order.parse().unwrap();
        let cause = Cause::Webhook {
            source: "sandbox".to_owned(),
            event_id: event_id.to_owned(),
            body: Bytes::from_static(b"{}"),
        };
        let notification = Notification { payment_reference: Some("pay_1".to_owned()), attempt: None, fact };
        let tenant = "demo".parse().unwrap();
        orders::record_webhook(&self.app, &tenant, order, cause, notification).await.unwrap();
    }

    pub async fn capture(&self, order: &str, minor: i64) {
        let fact = Fact::Captured { capture_id: None, reference: "cap_1".to_owned(), amount: euros(minor) };
        self.report(order, "evt_captured", fact).await;
    }
}

pub fn euros(minor: i64) -> Money {
    Money::of(minor, "EUR".parse().unwrap()).unwrap()
}
