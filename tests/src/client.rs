//! A caller who knows the documented contract and nothing else: requests, replies, signed webhooks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use uuid::Uuid;

use crate::DEADLINE;
use crate::feed::Feed;

/// A tenant as the tests know it.
#[derive(Debug, Clone, Copy)]
pub struct Tenant {
    /// Its name.
    pub id: &'static str,
    /// Its API key.
    pub key: &'static str,
    /// What the configuration holds of the key: its SHA-256.
    pub key_hash: &'static str,
    /// The secret of its webhook source.
    pub secret: &'static str,
}

/// The tenant that most stories are about.
pub const ACME: Tenant = Tenant {
    id: "acme",
    key: "acme-key-3f1c9f60b1a24e57",
    key_hash: "726871dbd1cb5f9259406f678ab294da44f43689f066595de4447d8b1aa9d0e9",
    secret: "whsec_YWNtZS13ZWJob29rLXNlY3JldC0wMTIzNDU2Nzg5YWJjZGVm",
};

/// The other tenant, who must never see anything of it.
pub const GLOBEX: Tenant = Tenant {
    id: "globex",
    key: "globex-key-92ab04d7c6e8413f",
    key_hash: "7388ad5d89d3eb71ab86ca5fea682572f38009a72414c24d2df8a4de467eb826",
    secret: "whsec_Z2xvYmV4LXdlYmhvb2stc2VjcmV0LTAxMjM0NTY3ODlhYmNkZWY=",
};

/// The tenant of a server without a configuration. Its webhooks are the sandbox's alone.
pub const DEMO: Tenant = Tenant { id: "demo", key: "demo-key", key_hash: "", secret: "" };

/// The webhook source of either tenant.
pub const SOURCE: &str = "psp";

/// What status tokens are signed with.
pub const TOKEN_SECRET: &str = "a secret for tests alone, long enough";

/// An amount in euro cents.
pub fn eur(minor: i64) -> Value {
    json!({"value": minor, "currency": "EUR"})
}

/// A checkout of so many euro cents, to be captured by the PSP.
pub fn checkout(minor: i64) -> Value {
    json!({"amount": eur(minor), "merchant_reference": format!("A-{}", Uuid::new_v4().simple())})
}

/// A new idempotency key, event id or reference.
pub fn unique(prefix: &str) -> String {
    format!("{prefix}_{}", Uuid::new_v4().simple())
}

/// One tenant at one API process.
#[derive(Debug, Clone)]
pub struct Client {
    /// Who is calling.
    pub tenant: Tenant,
    url: String,
    http: reqwest::Client,
}

impl Client {
    /// A client with connections of its own.
    pub fn new(url: &str, tenant: Tenant) -> Self {
        let http = reqwest::Client::builder()
            .timeout(DEADLINE * 3)
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("an HTTP client");
        Client { tenant, url: url.to_owned(), http }
    }

    /// Where it calls.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A request without any credentials.
    pub fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    /// A request with the tenant's key.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.anonymous(method, path).bearer_auth(self.tenant.key)
    }

    /// GET with the tenant's key.
    pub async fn get(&self, path: &str) -> Reply {
        Reply::to(self.request(Method::GET, path)).await
    }

    /// POST of JSON with the tenant's key and a new idempotency key.
    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.post_with_key(path, &unique("key"), body).await
    }

    /// POST of JSON under an idempotency key.
    pub async fn post_with_key(&self, path: &str, key: &str, body: &Value) -> Reply {
        Reply::to(self.request(Method::POST, path).header("idempotency-key", key).json(body)).await
    }

    /// PUT of JSON with the tenant's key.
    pub async fn put(&self, path: &str, body: &Value) -> Reply {
        Reply::to(self.request(Method::PUT, path).json(body)).await
    }

    /// Submits a checkout that must be accepted, and returns the order's id.
    pub async fn submit(&self, checkout: &Value) -> String {
        self.post("/v1/checkouts", checkout).await.expect(202).text("/order_id")
    }

    /// The order's status document.
    pub async fn status(&self, order: &str) -> Reply {
        self.get(&format!("/v1/orders/{order}/status")).await.expect(200)
    }

    /// One figure of the order's balance.
    pub async fn figure(&self, order: &str, name: &str) -> i64 {
        self.balance(order).await.number(&format!("/{name}"))
    }

    /// The order's balance document.
    pub async fn balance(&self, order: &str) -> Reply {
        self.get(&format!("/v1/orders/{order}/balance")).await.expect(200)
    }

    /// The order's history document.
    pub async fn history(&self, order: &str) -> Reply {
        self.get(&format!("/v1/orders/{order}/history")).await.expect(200)
    }

    /// The codes of the order's anomalies.
    pub async fn anomalies(&self, order: &str) -> Vec<String> {
        let order = self.get(&format!("/v1/orders/{order}")).await.expect(200);
        let anomalies = order.json()["anomalies"].as_array().expect("anomalies").clone();
        anomalies.iter().map(|anomaly| anomaly["code"].as_str().expect("a code").to_owned()).collect()
    }

    /// Follows the order by long polls until it has this status; returns that status document.
    pub async fn wait_for(&self, order: &str, status: &str) -> Reply {
        let path = format!("/v1/orders/{order}/status?wait=5s");
        let deadline = tokio::time::Instant::now() + DEADLINE;
        let mut etag = String::from("\"none yet\"");
        let mut seen = String::new();
        while tokio::time::Instant::now() < deadline {
            let reply = Reply::to(self.request(Method::GET, &path).header("if-none-match", &etag)).await;
            if reply.status == 304 {
                continue;
            }
            let reply = reply.expect(200);
            seen = reply.text("/status");
            if seen == status {
                return reply;
            }
            etag = reply.header("etag").expect("an ETag").to_owned();
        }
        panic!("order {order} was never {status}; it is {seen}")
    }

    /// Sends a webhook about an order under a new event id, which must be recorded.
    pub async fn report(&self, order: &str, kind: &str, data: Value) -> Reply {
        let reply = self.webhook(&unique("evt"), &about(order, kind, data)).await.expect(200);
        assert_eq!(reply.text("/result"), "recorded");
        reply
    }

    /// Sends a signed webhook.
    pub async fn webhook(&self, event_id: &str, body: &Value) -> Reply {
        self.webhook_bytes(event_id, &serde_json::to_vec(body).expect("JSON")).await
    }

    /// Sends signed bytes as a webhook.
    pub async fn webhook_bytes(&self, event_id: &str, body: &[u8]) -> Reply {
        Reply::to(self.signed(event_id, body, now(), self.tenant.secret)).await
    }

    /// A webhook with every part of its signature open to forgery.
    pub fn signed(&self, event_id: &str, body: &[u8], timestamp: i64, secret: &str) -> RequestBuilder {
        let signer = Webhook::new(secret).expect("a webhook secret");
        let signature = signer.sign(event_id, timestamp, body).expect("a signature");
        self.anonymous(Method::POST, &format!("/webhooks/{}/{SOURCE}", self.tenant.id))
            .header("content-type", "application/json")
            .header("webhook-id", event_id)
            .header("webhook-timestamp", timestamp.to_string())
            .header("webhook-signature", signature)
            .body(body.to_vec())
    }

    /// Follows the tenant's feed from after a position, or from the start.
    pub async fn feed(&self, after: Option<&str>) -> Feed {
        let path = after.map_or("/v1/feed".to_owned(), |after| format!("/v1/feed?after={after}"));
        Feed::open(self.request(Method::GET, &path).timeout(Duration::from_secs(3600))).await
    }

    /// The value of one line of `/metrics`, summed over its labels; 0 where there is none.
    pub async fn metric(&self, name: &str, label: &str) -> u64 {
        let text = Reply::to(self.anonymous(Method::GET, "/metrics")).await.expect(200).body();
        let lines = text.lines().filter(|line| !line.starts_with('#') && line.contains(label));
        let values = lines.filter(|line| line.starts_with(name)).filter_map(|line| line.rsplit(' ').next());
        values.filter_map(|value| value.split('.').next()?.parse::<u64>().ok()).sum()
    }
}

/// A webhook in the format of the scheme `standard_webhooks`.
pub fn about(order: &str, kind: &str, mut data: Value) -> Value {
    data["order_id"] = order.into();
    json!({"type": kind, "timestamp": jiff::Timestamp::now().to_string(), "data": data})
}

/// Seconds since 1970.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    i64::try_from(since.as_secs()).expect("a clock before the end of time")
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// HTTP headers.
    pub headers: HeaderMap,
    /// The body, byte for byte.
    pub bytes: Vec<u8>,
}

impl Reply {
    /// Sends the request. Panics when there is no answer.
    pub async fn to(request: RequestBuilder) -> Self {
        Self::of(request).await.expect("an answer")
    }

    /// Sends the request; an error when there is no answer, or not all of it.
    pub async fn of(request: RequestBuilder) -> reqwest::Result<Self> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Reply { status, headers, bytes: response.bytes().await?.to_vec() })
    }

    /// Itself, if it has this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.body());
        self
    }

    /// Itself, if it is a problem document with this status and code.
    #[track_caller]
    pub fn problem(self, status: u16, code: &str) -> Self {
        let reply = self.expect(status);
        assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{}", reply.body());
        let problem = reply.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        assert_eq!(problem["type"], format!("urn:daybook:problem:{code}"), "{problem}");
        assert!(problem["title"].is_string() && problem["request_id"].is_string(), "{problem}");
        reply
    }

    /// The body as text.
    pub fn body(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|e| panic!("{e}: {}", self.body()))
    }

    /// The text at a JSON pointer.
    #[track_caller]
    pub fn text(&self, pointer: &str) -> String {
        let json = self.json();
        let text = json.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_else(|| panic!("no text at {pointer} in {json}")).to_owned()
    }

    /// The whole number at a JSON pointer.
    #[track_caller]
    pub fn number(&self, pointer: &str) -> i64 {
        let json = self.json();
        json.pointer(pointer)
            .and_then(Value::as_i64)
            .unwrap_or_else(|| panic!("no number at {pointer} in {json}"))
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}
