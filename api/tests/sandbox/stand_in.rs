//! A Daybook of a few routes in memory, with the real rules of an order behind them: what the worker and the page
//! can be tested against together with an unreliable server. The real one has its own end-to-end tests.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event as SseEvent, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures::stream;
use jiff::{Timestamp, ToSpan};
use ledger::codec;
use ledger::commit::{Cause, Changes, Commit};
use ledger::ids::{CommitId, RecordId, RequestHash, TrackingNumber};
use ledger::money::Money;
use ledger::order::{
    CaptureMode, Challenge, Checkout, Command, Customer, Fact, Notification, Order, PaymentMethod,
    ReturnUrls, Surface, decide, evolve,
};
use serde_json::{Value, json};
use tokio::sync::watch;

pub(super) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// One server; cheap to clone.
#[derive(Clone)]
pub(super) struct StandIn(Arc<Inner>);

struct Inner {
    state: Mutex<Log>,
    length: watch::Sender<usize>,
}

#[derive(Default)]
struct Log {
    commits: Vec<Commit>,
    orders: HashMap<RecordId, Order>,
    newest: HashMap<RecordId, usize>,
    /// Webhook ids as they came in and were taken, repetitions and all.
    taken: Vec<String>,
    /// How many webhooks are still to be answered with 503.
    failures: u32,
    /// Orders whose webhooks are always answered with 503.
    stuck: HashSet<RecordId>,
    /// Webhook ids that are answered with 404.
    unwanted: HashSet<String>,
}

impl StandIn {
    pub(super) fn new() -> StandIn {
        StandIn(Arc::new(Inner { state: Mutex::default(), length: watch::Sender::new(0) }))
    }

    pub(super) fn submit(&self, method: Option<(&str, Option<&str>)>, capture: CaptureMode) -> RecordId {
        let payment_method = method.map(|(kind, token)| PaymentMethod {
            kind: kind.to_owned(),
            token: token.map(str::to_owned),
            card: None,
        });
        let id = RecordId::random();
        let checkout = Checkout {
            amount: Money::parse_minor("1999", "EUR".parse().unwrap()).unwrap(),
            merchant_reference: "A-1 <b>".to_owned(),
            capture,
            payment_method,
            items: Vec::new(),
            customer: Customer::default(),
            return_urls: ReturnUrls {
                success: Some("https://shop.example/ok?cart=7".to_owned()),
                failure: None,
                cancel: Some("https://shop.example/cancel".to_owned()),
            },
            metadata: BTreeMap::new(),
            expires_at: Timestamp::now() + 1.hour(),
            surface: Surface::default(),
        };
        self.command(id, Command::Submit(Box::new(checkout)));
        id
    }

    pub(super) fn command(&self, id: RecordId, command: Command) {
        let request_hash = RequestHash::of(b"");
        let cause = Cause::Command { operation: "test".to_owned(), key: None, request_hash };
        self.execute(id, cause, command).unwrap();
    }

    pub(super) fn fail_webhooks(&self, times: u32) {
        self.0.state.lock().unwrap().failures = times;
    }

    pub(super) fn stick(&self, id: RecordId) {
        self.0.state.lock().unwrap().stuck.insert(id);
    }

    pub(super) fn unstick(&self, id: RecordId) {
        self.0.state.lock().unwrap().stuck.remove(&id);
    }

    pub(super) fn refuse(&self, webhook_id: String) {
        self.0.state.lock().unwrap().unwanted.insert(webhook_id);
    }

    pub(super) fn order(&self, id: RecordId) -> Order {
        self.0.state.lock().unwrap().orders[&id].clone()
    }

    /// The newest position of the log.
    pub(super) fn end(&self) -> String {
        format!("0-{}", self.0.state.lock().unwrap().commits.len())
    }

    /// The webhooks about this order that were taken: the end of each id, after the attempt.
    pub(super) fn taken(&self, id: RecordId) -> Vec<String> {
        let prefix = format!("evt_{id}_");
        let log = self.0.state.lock().unwrap();
        let after = |text: &String| Some(text.strip_prefix(&prefix)?.split_once('_')?.1.to_owned());
        log.taken.iter().filter_map(after).collect()
    }

    /// Returns when `is_so` is, after whatever commit; the test fails when it takes too long.
    #[track_caller]
    pub(super) fn until(&self, is_so: impl Fn() -> bool) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        let mut length = self.0.length.subscribe();
        async move {
            let wait = async {
                while !is_so() {
                    length.changed().await.unwrap();
                }
            };
            let waited = tokio::time::timeout(Duration::from_secs(20), wait).await;
            assert!(waited.is_ok(), "it never came to what {caller} waits for");
        }
    }

    pub(super) async fn until_status(&self, id: RecordId, status: &str) {
        self.until(|| self.order(id).status().as_str() == status).await;
    }

    fn execute(&self, id: RecordId, cause: Cause, command: Command) -> Result<bool, String> {
        let mut log = self.0.state.lock().unwrap();
        if log.commits.iter().any(|c| c.record == id && c.cause.is_repeated_by(&cause)) {
            return Ok(false);
        }
        let mut order = log.orders.get(&id).cloned();
        let events = decide(order.as_ref(), &command).map_err(|rejection| rejection.to_string())?;
        for event in &events {
            order = Some(evolve(order, event).unwrap());
        }
        if !events.is_empty() {
            let commit = Commit {
                id: CommitId::random(),
                tenant: "demo".parse().unwrap(),
                record: id,
                decided_at: Timestamp::now(),
                cause,
                changes: Changes::Order(events),
            };
            log.commits.push(commit);
            let length = log.commits.len();
            log.newest.insert(id, length);
            log.orders.extend(order.map(|order| (id, order)));
            self.0.length.send_replace(length);
        }
        Ok(true)
    }

    pub(super) fn router(&self) -> Router {
        Router::new()
            .route("/v1/feed", get(feed))
            .route("/v1/orders/{id}", get(order))
            .route("/v1/orders/{id}/events", get(events))
            .route("/v1/orders/{id}/status", get(status))
            .route("/v1/orders/{id}/cancellations", post(cancellation))
            .route("/webhooks/demo/sandbox", post(webhook))
            .with_state(self.clone())
    }

    fn find(&self, headers: &HeaderMap, id: &str) -> Result<RecordId, StatusCode> {
        if headers.get("authorization").is_none_or(|key| key != "Bearer demo-key") {
            return Err(StatusCode::UNAUTHORIZED);
        }
        record(id)
            .filter(|id| self.0.state.lock().unwrap().orders.contains_key(id))
            .ok_or(StatusCode::NOT_FOUND)
    }
}

fn record(id: &str) -> Option<RecordId> {
    id.parse().ok().or_else(|| id.parse().ok().map(|TrackingNumber(id)| id))
}

type Server = State<StandIn>;

async fn feed(State(server): Server, Query(query): Query<HashMap<String, String>>) -> impl IntoResponse {
    let after: usize = query.get("after").map_or(0, |after| after.trim_start_matches("0-").parse().unwrap());
    let length = server.0.length.subscribe();
    Sse::new(stream::unfold((server, length, after), |(server, mut length, at)| async move {
        length.wait_for(|length| *length > at).await.ok()?;
        let commit = server.0.state.lock().unwrap().commits[at].clone();
        let position = format!("0-{}", at + 1);
        let data = json!({
            "position": position, "order_id": commit.record.to_string(),
            "tracking_number": TrackingNumber(commit.record).to_string(),
            "decided_at": format!("{:.3}", commit.decided_at), "cause": cause(&commit.cause),
            "status": "processing", "events": codec::public_events(&commit),
        });
        let event = SseEvent::default().id(position).event("commit").data(data.to_string());
        Some((Ok::<_, Infallible>(event), (server, length, at + 1)))
    }))
}

fn cause(cause: &Cause) -> Value {
    match cause {
        Cause::Command { operation, key, .. } => {
            json!({"type": "command", "operation": operation, "idempotency_key": key})
        }
        Cause::Webhook { source, event_id, .. } => {
            json!({"type": "webhook", "source": source, "event_id": event_id})
        }
        Cause::Timer { name } => json!({"type": "timer", "name": name}),
    }
}

async fn order(
    State(server): Server,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, StatusCode> {
    let id = server.find(&headers, &id)?;
    let log = server.0.state.lock().unwrap();
    let order = &log.orders[&id];
    let movements = |movements: &[ledger::order::Movement]| -> Vec<Value> {
        let status = |m: &ledger::order::Movement| if m.counts() { "settled" } else { "pending" };
        movements.iter().map(|m| json!({"reference": m.reference, "status": status(m)})).collect()
    };
    let attempts: Vec<Value> = order
        .attempts
        .iter()
        .map(|a| {
            let method = a.payment_method.as_ref().map(|m| json!({"type": m.kind, "token": m.token}));
            let challenge = a.challenge.as_ref().map(|c| json!({"url": c.url, "html": c.html, "id": c.id}));
            json!({
                "attempt": a.number, "status": a.status.as_str(), "payment_reference": a.payment_reference,
                "payment_method": method, "failure_reason": a.failure, "challenge": challenge,
                "authorized": a.authorized_minor, "captured": a.captured_minor(),
                "captures": movements(&a.captures), "refunds": movements(&a.refunds),
            })
        })
        .collect();
    let capture = if order.checkout.capture == CaptureMode::Manual { "manual" } else { "automatic" };
    let urls = &order.checkout.return_urls;
    let body = json!({
        "order_id": id.to_string(), "tracking_number": TrackingNumber(id).to_string(),
        "status": order.status().as_str(), "capture": capture,
        "amount": {"value": order.checkout.amount.minor(), "currency": "EUR"},
        "merchant_reference": order.checkout.merchant_reference,
        "return_urls": {"success": urls.success, "failure": urls.failure, "cancel": urls.cancel},
        "attempts": attempts,
    });
    Ok(([("etag", format!("\"0-{}\"", log.newest[&id]))], body.to_string()).into_response())
}

async fn events(
    State(server): Server,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<String, StatusCode> {
    let id = server.find(&headers, &id)?;
    let log = server.0.state.lock().unwrap();
    let of = |commit: &&Commit| commit.record == id;
    let shown = |c: &Commit| json!({"cause": cause(&c.cause), "events": codec::public_events(c)});
    let commits: Vec<Value> = log.commits.iter().filter(of).map(shown).collect();
    Ok(json!({"commits": commits}).to_string())
}

async fn status(
    State(server): Server,
    headers: HeaderMap,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, StatusCode> {
    let id = match query.get("token") {
        Some(token) => {
            record(&id).filter(|id| *token == format!("st_{id}")).ok_or(StatusCode::UNAUTHORIZED)?
        }
        None => server.find(&headers, &id)?,
    };
    let known = headers.get("if-none-match").and_then(|etag| etag.to_str().ok()).map(str::to_owned);
    let is_new = || {
        let newest = server.0.state.lock().unwrap().newest[&id];
        known.as_ref().is_none_or(|known| *known != format!("\"0-{newest}\""))
    };
    if let Some(wait) = query.get("wait").and_then(|wait| wait.strip_suffix("ms")?.parse().ok()) {
        let mut length = server.0.length.subscribe();
        let changed = async {
            while !is_new() {
                length.changed().await.unwrap();
            }
        };
        if tokio::time::timeout(Duration::from_millis(wait), changed).await.is_err() {
            return Ok(StatusCode::NOT_MODIFIED.into_response());
        }
    }
    Ok("{}".into_response())
}

async fn cancellation(
    State(server): Server,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<StatusCode, StatusCode> {
    let id = server.find(&headers, &id)?;
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).map(str::to_owned);
    let cause =
        Cause::Command { operation: "cancellation".to_owned(), key, request_hash: RequestHash::of(b"") };
    server.execute(id, cause, Command::Cancel).map_err(|_| StatusCode::CONFLICT)?;
    Ok(StatusCode::ACCEPTED)
}

async fn webhook(State(server): Server, headers: HeaderMap, body: Bytes) -> StatusCode {
    let verifier = standardwebhooks::Webhook::new(SECRET).unwrap();
    if verifier.verify(&body, &headers).is_err() {
        return StatusCode::UNAUTHORIZED;
    }
    let event_id = headers["webhook-id"].to_str().unwrap().to_owned();
    let message: Value = serde_json::from_slice(&body).unwrap();
    let id: RecordId = message["data"]["order_id"].as_str().unwrap().parse().unwrap();
    {
        let mut log = server.0.state.lock().unwrap();
        if log.unwanted.contains(&event_id) {
            return StatusCode::NOT_FOUND;
        }
        if log.failures > 0 || log.stuck.contains(&id) {
            log.failures = log.failures.saturating_sub(1);
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        log.taken.push(event_id.clone());
    }
    let cause = Cause::Webhook { source: "sandbox".to_owned(), event_id, body };
    server.execute(id, cause, Command::Record(notification(&message))).unwrap();
    StatusCode::OK
}

fn notification(message: &Value) -> Notification {
    let data = &message["data"];
    let text = |field: &str| data[field].as_str().map(str::to_owned);
    let amount = || {
        let currency = data["amount"]["currency"].as_str().unwrap().parse().unwrap();
        Money::of(data["amount"]["value"].as_i64().unwrap(), currency).unwrap()
    };
    let reference = || text("reference").unwrap();
    let fact = match message["type"].as_str().unwrap() {
        "payment.action_required" => {
            let part = |field: &str| data["challenge"][field].as_str().map(str::to_owned);
            let challenge = Challenge { url: part("url"), html: None, id: part("id") };
            Fact::ActionRequired { challenge }
        }
        "payment.authorized" => Fact::Authorized { amount: amount() },
        "payment.failed" => Fact::Failed { reason: text("reason").unwrap() },
        "payment.captured" => {
            let capture_id = text("capture_id").map(|id| id.parse().unwrap());
            Fact::Captured { capture_id, reference: reference(), amount: amount() }
        }
        "payment.voided" => Fact::Voided,
        "refund.settled" => {
            let refund_id = text("refund_id").map(|id| id.parse().unwrap());
            Fact::RefundSettled { refund_id, reference: reference(), amount: amount() }
        }
        kind => Fact::Other { kind: kind.to_owned() },
    };
    let attempt = data["attempt"].as_u64().and_then(|number| u32::try_from(number).ok());
    Notification { payment_reference: text("payment_reference"), attempt, fact }
}
