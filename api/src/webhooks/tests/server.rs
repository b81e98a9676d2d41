//! A server in this process, on the embedded journal in a directory of its own, called without a socket.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use ledger::ids::{RecordId, TenantId};
use ledger::money::Money;
use ledger::order::{CaptureMode, Checkout, Customer, Order, ReturnUrls, Status, Surface};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::app::App;
use crate::config::{Config, DEMO_KEY, TenantConfig};
use crate::orders::{self, Ask, operation};
use crate::startup;
use crate::tenants::hash_of;

pub(crate) const OTHER_KEY: &str = "other-key";

/// A running server.
pub(crate) struct Server {
    pub(crate) app: Arc<App>,
    router: Router,
}

/// An answer, read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("not JSON: {:?}", self.bytes))
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{:?}", self.bytes);
        self
    }
}

pub(crate) fn demo() -> TenantId {
    "demo".parse().unwrap()
}

pub(crate) fn other() -> TenantId {
    "other".parse().unwrap()
}

pub(crate) fn eur(minor: i64) -> Money {
    Money::of(minor, "EUR".parse().unwrap()).unwrap()
}

impl Server {
    /// Starts without the tasks that run beside the requests.
    pub(crate) async fn open(dir: &Path) -> Server {
        Server::with(dir, &[]).await
    }

    /// The same with further settings, by their names in the file.
    pub(crate) async fn with(dir: &Path, settings: &[(&str, &str)]) -> Server {
        let data_dir = dir.display().to_string();
        let ours = [("data_dir", data_dir.as_str()), ("sandbox.enabled", "false")];
        let flags: Vec<_> =
            ours.iter().chain(settings).map(|(key, value)| (*key, Some((*value).to_owned()))).collect();
        let mut config = Config::load(None, |_| None, &flags).unwrap();
        let webhooks = config.tenants[0].webhooks.clone();
        config.tenants.push(TenantConfig {
            id: other(),
            api_key_hashes: vec![hash_of(OTHER_KEY)],
            webhooks: BTreeMap::from_iter(webhooks),
            ..config.tenants[0].clone()
        });
        let app = startup::open(config, "127.0.0.1:8080".parse().unwrap()).await.unwrap();
        let router = startup::router(Arc::clone(&app));
        Server { app, router }
    }

    /// Starts with everything that runs beside the requests.
    pub(crate) async fn start(dir: &Path) -> Server {
        let server = Server::open(dir).await;
        startup::spawn_tasks(&server.app);
        server
    }

    /// Stops, and gives the directory free.
    pub(crate) async fn stop(self) {
        self.app.shutdown.begin();
        self.app.projector.shutdown().await.unwrap();
        drop(self.router);
        let app = Arc::downgrade(&self.app);
        drop(self.app);
        eventually("the server's end", async || (app.strong_count() == 0).then_some(())).await;
    }

    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        Reply { status: parts.status, headers: parts.headers, bytes }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.call("GET", path, &[("authorization", &format!("Bearer {DEMO_KEY}"))], Body::empty()).await
    }

    /// A webhook of the demo tenant's own sender.
    pub(crate) async fn webhook(&self, event_id: &str, body: &str) -> Reply {
        let (timestamp, signature) = signed(event_id, body);
        let headers = [
            ("webhook-id", event_id),
            ("webhook-timestamp", timestamp.as_str()),
            ("webhook-signature", signature.as_str()),
        ];
        self.call("POST", "/webhooks/demo/sandbox", &headers, body.to_owned()).await
    }

    /// What a sender reports of an order.
    pub(crate) async fn report(&self, event_id: &str, kind: &str, data: Value) -> Reply {
        self.webhook(event_id, &report(kind, &data)).await
    }

    /// Submits an order by this key, which is its merchant reference as well.
    pub(crate) async fn submit(&self, tenant: &TenantId, key: &str, life: SignedDuration) -> RecordId {
        self.submit_as(tenant, key, key, life).await
    }

    pub(crate) async fn submit_as(
        &self,
        tenant: &TenantId,
        key: &str,
        reference: &str,
        life: SignedDuration,
    ) -> RecordId {
        let checkout = Checkout {
            amount: eur(1999),
            merchant_reference: reference.to_owned(),
            capture: CaptureMode::Automatic,
            payment_method: None,
            items: Vec::new(),
            customer: Customer::default(),
            return_urls: ReturnUrls::default(),
            metadata: BTreeMap::new(),
            expires_at: orders::now().checked_add(life).unwrap(),
            surface: Surface { name: "v1".to_owned(), data: BTreeMap::new() },
        };
        let ask = Ask::new(tenant.clone(), Some(key.to_owned()), &key).unwrap();
        let done = orders::submit(&self.app, ask, operation::CHECKOUT, checkout).await.unwrap();
        done.recorded.commit.record
    }

    /// The order as the journal has it.
    pub(crate) async fn order(&self, tenant: &TenantId, id: RecordId) -> Order {
        self.app.ledger.history::<Order>(tenant, id).await.unwrap().state.unwrap()
    }

    pub(crate) async fn until(&self, tenant: &TenantId, id: RecordId, status: Status) {
        eventually(status.as_str(), async || (self.order(tenant, id).await.status() == status).then_some(()))
            .await;
    }

    /// The demo tenant's quarantine, once the views have all of the log.
    pub(crate) async fn quarantine(&self) -> Vec<Value> {
        self.caught_up().await;
        let page = self.get("/v1/quarantine?limit=100").await.expect(200).json();
        page["webhooks"].as_array().unwrap().clone()
    }

    /// Waits until the views show all of the log.
    pub(crate) async fn caught_up(&self) {
        let journal = self.app.ledger.journal();
        for partition in 0..journal.partitions() {
            let sequence = journal.last_sequence(partition).await.unwrap();
            self.app.projector.reached(ledger::ids::Position { partition, sequence }).await;
        }
    }

    /// How many commits the log has.
    pub(crate) async fn commits(&self) -> u64 {
        self.app.ledger.journal().last_sequence(0).await.unwrap()
    }
}

pub(crate) fn report(kind: &str, data: &Value) -> String {
    json!({"type": kind, "timestamp": "2026-11-20T10:00:01.000Z", "data": data}).to_string()
}

/// Timestamp and signature, by the scheme's own library.
pub(crate) fn signed(event_id: &str, body: &str) -> (String, String) {
    let secret = Config::demo_webhook_secret();
    let now = Timestamp::now().as_second();
    let signature = standardwebhooks::Webhook::new(secret.reveal())
        .and_then(|webhook| webhook.sign(event_id, now, body.as_bytes()))
        .unwrap();
    (now.to_string(), signature)
}

/// What `probe` finds, as soon as it finds something.
pub(crate) async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
