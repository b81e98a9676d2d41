//! What callers and operators see when something is broken: the journal, a commit, a request, a reader.

#![allow(clippy::unwrap_used, reason = "a test stops at the first thing that is not as it should be")]

mod support;

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axum::response::Response;
use bytes::Bytes;
use daybook::startup;
use futures::StreamExt;
use ledger::codec;
use ledger::ids::{CaptureId, CommitId, Position, RecordId};
use ledger::journal::{
    AppendError, Description, Draft, Journal, Memo, PutMemoError, ReadError, Stored, Subject, Tail,
};
use ledger::order::Fact;
use serde_json::{Value, json};
use support::{Server, checkout, euros, get, post, put, webhook};
use tokio::time::timeout;

const WORKS: u8 = 0;
/// Stores nothing, and says so.
const REFUSES: u8 = 1;
/// Stores, and never says so.
const KEEPS_QUIET: u8 = 2;
/// Panics when an order is loaded.
const PANICS: u8 = 3;
/// Stores so many more, and refuses from then on.
const GIVES_OUT: u8 = 4;
const STORED_BEFORE: usize = 100;

/// The real journal, in one of these states.
struct Faulty {
    inner: Arc<dyn Journal>,
    state: AtomicU8,
    appends: AtomicUsize,
}

impl Faulty {
    fn set(&self, state: u8) {
        self.state.store(state, Ordering::SeqCst);
    }

    fn check(&self) -> Result<(), ReadError> {
        match self.state.load(Ordering::SeqCst) {
            REFUSES => Err(ReadError::Unavailable("nats://user:hunter2@secret is away".into())),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Journal for Faulty {
    fn partitions(&self) -> u16 {
        self.inner.partitions()
    }

    async fn append(&self, draft: &Draft, expected: u64) -> Result<Position, AppendError> {
        let appends = self.appends.fetch_add(1, Ordering::SeqCst);
        match self.state.load(Ordering::SeqCst) {
            GIVES_OUT if appends >= STORED_BEFORE => {
                Err(AppendError::Unavailable("nats://user:hunter2@secret is away".into()))
            }
            REFUSES => Err(AppendError::Unavailable("nats://user:hunter2@secret is away".into())),
            KEEPS_QUIET => {
                self.inner.append(draft, expected).await?;
                Err(AppendError::Unknown("no answer from nats://user:hunter2@secret".into()))
            }
            _ => self.inner.append(draft, expected).await,
        }
    }

    async fn load(&self, subject: &Subject) -> Result<Vec<Stored>, ReadError> {
        assert_ne!(self.state.load(Ordering::SeqCst), PANICS, "a secret reason");
        self.check()?;
        self.inner.load(subject).await
    }

    async fn at(&self, position: Position) -> Result<Option<Stored>, ReadError> {
        self.inner.at(position).await
    }

    async fn last_sequence(&self, partition: u16) -> Result<u64, ReadError> {
        self.check()?;
        self.inner.last_sequence(partition).await
    }

    async fn tail(&self, partition: u16, after: u64) -> Result<Tail, ReadError> {
        self.inner.tail(partition, after).await
    }

    async fn page(&self, partition: u16, after: u64) -> Result<Vec<Stored>, ReadError> {
        self.inner.page(partition, after).await
    }

    async fn memo(&self, name: &str) -> Result<Option<Memo>, ReadError> {
        self.inner.memo(name).await
    }

    async fn put_memo(&self, name: &str, expected: u64, bytes: Bytes) -> Result<u64, PutMemoError> {
        self.inner.put_memo(name, expected, bytes).await
    }

    fn keys(&self) -> Arc<dyn ledger::keys::KeyStore> {
        self.inner.keys()
    }

    async fn describe(&self) -> Result<Description, ReadError> {
        self.inner.describe().await
    }
}

/// A server that gives up soon, and its journal.
async fn server() -> (Server, Arc<Faulty>) {
    server_within(1200).await
}

/// The same with so many milliseconds for a request: it gives up after two thirds of them.
async fn server_within(timeout_ms: u32) -> (Server, Arc<Faulty>) {
    let made = Mutex::new(None);
    let file = format!("[limits]\nrequest_timeout_ms = {timeout_ms}");
    let server = Server::on(&file, |inner| {
        let faulty = Arc::new(Faulty { inner, state: AtomicU8::new(WORKS), appends: AtomicUsize::new(0) });
        *made.lock().unwrap() = Some(Arc::clone(&faulty));
        faulty
    });
    let server = server.await;
    let faulty = made.into_inner().unwrap().unwrap();
    (server, faulty)
}

fn captured(order: &str) -> String {
    let data = json!({"order_id": order, "amount": {"value": 1999, "currency": "EUR"}, "reference": "cap_1"});
    json!({"type": "payment.captured", "data": data}).to_string()
}

#[tokio::test]
async fn a_journal_that_is_away_is_a_503_and_nothing_is_acknowledged() {
    let (server, journal) = server().await;
    let order = server.submit(&checkout()).await;
    let before = journal.inner.last_sequence(0).await.unwrap();
    journal.set(REFUSES);
    let refund = format!("/v1/orders/{order}/refunds");
    for call in [
        post("/v1/checkouts").json(&checkout()).key("k"),
        post(refund),
        put("/v1/offers/o").json(&json!({"amount": {"value": 1, "currency": "EUR"}})),
        webhook("evt_1", captured(&order)),
        webhook("evt_2", "{"),
        get(format!("/v1/orders/{order}/events")),
        get("/v1/feed?after=0-1"),
    ] {
        let reply = server.send(call).await;
        reply.expect_problem(503, "journal_unavailable");
        assert_eq!(reply.header("retry-after"), "1");
        assert!(!String::from_utf8_lossy(&reply.bytes).contains("hunter2"));
    }
    let forged = webhook("evt_3", captured(&order)).header("webhook-signature", "v1,AAAA");
    server.send(forged).await.expect_problem(401, "unauthenticated");
    // What the views have, they still show.
    server.send(get(format!("/v1/orders/{order}/status"))).await.expect(200);
    let ready = server.send(get("/readyz").anonymous()).await.expect(503);
    assert_eq!(ready.json()["reasons"], json!(["the journal answers with an error"]));
    assert_eq!(journal.inner.last_sequence(0).await.unwrap(), before);
    journal.set(WORKS);
    server.send(webhook("evt_1", captured(&order))).await.expect(200);
    server.send(post("/v1/checkouts").json(&checkout()).key("k")).await.expect(202);
}

/// The results of a batch of checkouts, one for each key.
async fn batch(server: &Server, keys: std::ops::Range<usize>) -> Vec<Value> {
    let line = |key| json!({"op": "checkout", "idempotency_key": format!("k-{key}"), "body": checkout()});
    let text: String = keys.map(|key| format!("{}\n", line(key))).collect();
    let call = post("/v1/batch").text(text).header("content-type", "application/x-ndjson");
    let reply = server.send(call).await.expect(200);
    let text = std::str::from_utf8(&reply.bytes).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_journal_that_fails_in_the_middle_of_a_batch_fails_the_lines_that_are_not_stored() {
    let (server, journal) = server_within(3000).await;
    journal.set(GIVES_OUT);
    let started = Instant::now();
    let first = batch(&server, 0..3_000).await;
    assert!(started.elapsed() < Duration::from_secs(5), "those that have not begun are not tried");
    let stored = first.iter().filter(|line| line["status"] == 202).count();
    assert_eq!(stored, STORED_BEFORE);
    assert_eq!(journal.inner.last_sequence(0).await.unwrap(), STORED_BEFORE as u64);
    for line in first.iter().filter(|line| line["status"] != 202) {
        assert_eq!((&line["status"], &line["retry_after"]), (&json!(503), &json!(1)));
        assert_eq!(line["problem"]["code"], "journal_unavailable");
        assert!(!line.to_string().contains("hunter2"));
    }
    journal.set(WORKS);
    let again = batch(&server, 0..200).await;
    assert!(again.iter().all(|line| line["status"] == 202), "{again:?}");
    for (before, after) in first.iter().zip(&again).filter(|(before, _)| before["status"] == 202) {
        assert_eq!(before, after);
    }
}

#[tokio::test]
async fn a_batch_whose_outcome_is_unknown_is_stored_once() {
    let (server, journal) = server().await;
    journal.set(KEEPS_QUIET);
    for line in batch(&server, 0..10).await {
        assert_eq!((&line["status"], &line["problem"]["code"]), (&json!(503), &json!("outcome_unknown")));
    }
    journal.set(WORKS);
    for line in batch(&server, 0..10).await {
        assert_eq!(line["status"], 202);
    }
    assert_eq!(journal.inner.last_sequence(0).await.unwrap(), 10);
}

#[tokio::test]
async fn a_journal_that_keeps_quiet_is_an_unknown_outcome_and_a_retry_happens_once() {
    let (server, journal) = server().await;
    let order = server.submit(&checkout()).await;
    journal.set(KEEPS_QUIET);
    let reply = server.send(post("/v1/checkouts").json(&checkout()).key("k")).await;
    reply.expect_problem(503, "outcome_unknown");
    assert_eq!(reply.header("retry-after"), "1");
    let reply = server.send(webhook("evt_1", captured(&order))).await;
    reply.expect_problem(503, "outcome_unknown");
    let unknown_order = captured("00000000-0000-0000-0000-000000000000");
    server.send(webhook("evt_2", unknown_order.clone())).await.expect_problem(503, "outcome_unknown");
    journal.set(WORKS);
    let stored = journal.inner.last_sequence(0).await.unwrap();
    server.send(post("/v1/checkouts").json(&checkout()).key("k")).await.expect(202);
    let again = server.send(webhook("evt_1", captured(&order))).await.expect(200);
    assert_eq!(again.json()["result"], "duplicate");
    server.send(webhook("evt_2", unknown_order)).await.expect(202);
    assert_eq!(journal.inner.last_sequence(0).await.unwrap(), stored, "each of them was stored, once");
}

#[tokio::test]
async fn the_expiry_does_not_hammer_a_journal_that_is_away() {
    let (server, journal) = server().await;
    let mut body = checkout();
    body["expires_at"] = json!((jiff::Timestamp::now() + Duration::from_millis(1500)).to_string());
    let order = server.submit(&body).await;
    let _tasks = startup::spawn_tasks(&server.app);
    journal.set(REFUSES);
    let before = journal.appends.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let tried = journal.appends.load(Ordering::SeqCst) - before;
    assert!(tried < 50, "{tried} appends in 5 s");
    journal.set(WORKS);
    let path = format!("/v1/orders/{order}/status?wait=30s");
    let polled = server.send(get(path)).await.expect(200);
    assert_eq!(polled.json()["status"], "expired");
    server.app.shutdown.begin();
}

#[tokio::test]
async fn a_panic_is_a_500_that_says_nothing() {
    let (server, journal) = server().await;
    journal.set(PANICS);
    let reply = server.send(get(format!("/v1/orders/{}", RecordId::random()))).await;
    reply.expect_problem(500, "internal");
    assert!(!String::from_utf8_lossy(&reply.bytes).contains("secret"));
    journal.set(WORKS);
    server.submit(&checkout()).await;
}

#[tokio::test]
async fn behind_a_commit_that_cannot_be_read_the_server_says_so_and_still_answers() {
    let server = Server::demo().await;
    let before = server.submit(&checkout()).await;
    let subject = Subject { tenant: "demo".parse().unwrap(), id: RecordId::random() };
    let foreign =
        Draft { subject, commit_id: CommitId::random(), bytes: "{\"from\": \"the future\"}".into() };
    server.app.ledger.journal().append(&foreign, 0).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    let reasons = loop {
        let ready = server.send(get("/readyz").anonymous()).await;
        if ready.status == 503 && ready.json()["projector"] == "halted" {
            break ready.json()["reasons"].to_string();
        }
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(reasons.contains("halted in front of 0-2"), "{reasons}");
    server.send(get("/healthz").anonymous()).await.expect(200);
    server.send(get(format!("/v1/orders/{before}"))).await.expect(200);
    // What is accepted now is shown by what it is folded from.
    let after = server.submit(&checkout()).await;
    server.send(get(format!("/v1/orders/{after}/status"))).await.expect(200);
    server.capture(&before, 1999).await;
    let balance = server.send(get(format!("/v1/orders/{before}/balance"))).await.expect(200).json();
    assert_eq!(balance["captured"], 1999);
    let listed = server.send(get("/v1/orders")).await.expect(200).json();
    assert_eq!(listed["orders"].as_array().unwrap().len(), 1, "lists are as old as the views");
}

/// The sequences that a feed brings, as many as asked for.
async fn sequences(response: Response, count: usize) -> Vec<u64> {
    let mut body = response.into_body().into_data_stream();
    let (mut ids, mut rest) = (Vec::new(), String::new());
    while ids.len() < count {
        let chunk = timeout(Duration::from_secs(20), body.next()).await.expect("the feed says nothing");
        rest.push_str(std::str::from_utf8(&chunk.unwrap().unwrap()).unwrap());
        while let Some((event, after)) = rest.split_once("\n\n") {
            ids.extend(event.lines().find_map(|line| line.strip_prefix("id: 0-")?.parse::<u64>().ok()));
            rest = after.to_owned();
        }
    }
    ids
}

#[tokio::test]
async fn readers_who_take_nothing_keep_nobody_from_catching_up() {
    let server = Server::demo().await;
    let submits = (0..100).map(async |_| server.submit(&checkout()).await);
    futures::future::join_all(submits).await;
    server.app.projector.reached(Position { partition: 0, sequence: 100 }).await;
    let mut stalled = Vec::new();
    for _ in 0..40 {
        stalled.push(server.stream(get("/v1/feed")).await);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let feed = server.stream(get("/v1/feed")).await;
    assert_eq!(sequences(feed, 100).await, (1..=100).collect::<Vec<_>>());
    drop(stalled);
}

#[tokio::test]
async fn a_reader_who_falls_behind_the_broadcast_misses_and_repeats_nothing() {
    let server = Server::demo().await;
    let feed = server.stream(get("/v1/feed")).await;
    let order = server.submit(&checkout()).await;
    let journal = server.app.ledger.journal();
    let stored = journal.at(Position { partition: 0, sequence: 1 }).await.unwrap().unwrap();
    let commit = codec::commit_id(&stored.bytes).unwrap().to_string();
    // Open: what is sealed belongs to its own order, and to no copy.
    let opened = server.app.ledger.open(&stored).await.unwrap();
    let text = String::from_utf8(codec::encode(&opened.commit)).unwrap();
    // The same order under other ids: more of them than the broadcast keeps, while nobody reads.
    const COMMITS: usize = 4300;
    let copies = (1..COMMITS).map(|_| {
        let (commit_id, id) = (CommitId::random(), RecordId::random());
        let bytes = text.replace(&order, &id.to_string()).replace(&commit, &commit_id.to_string()).into();
        Draft { subject: Subject { tenant: stored.subject.tenant.clone(), id }, commit_id, bytes }
    });
    let append = async |draft| journal.append(&draft, 0).await.map(drop);
    futures::future::try_join_all(copies.map(append)).await.unwrap();
    let ids = sequences(feed, COMMITS).await;
    assert_eq!(ids, (1..=COMMITS as u64).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_place_in_another_log_is_refused() {
    let server = Server::demo().await;
    server.submit(&checkout()).await;
    for call in [get("/v1/feed?after=0-2"), get("/v1/feed?after=0-18446744073709551615")] {
        let problem = server.send(call).await.expect_problem(400, "invalid_query");
        assert!(problem["detail"].as_str().unwrap().contains("ends at 0-1"), "{problem}");
    }
    assert_eq!(server.stream(get("/v1/feed?after=0-1")).await.status(), 200);
    assert_eq!(server.stream(get("/v1/feed?after=0-0")).await.status(), 200);
    for garbage in ["x", "0-1 ", "1-1", "\u{e9}"] {
        let call = get("/v1/feed").header("last-event-id", garbage);
        server.send(call).await.expect_problem(400, "invalid_query");
    }
}

#[tokio::test]
async fn an_id_that_a_webhook_named_first_is_a_conflict() {
    let server = Server::demo().await;
    let mut body = checkout();
    body["capture"] = json!("manual");
    let order = server.submit(&body).await;
    server.report(&order, "evt_1", Fact::Authorized { amount: euros(1999) }).await;
    let guessed = CaptureId::for_key(order.parse().unwrap(), Some("k"));
    let fact = Fact::CaptureFailed {
        capture_id: Some(guessed),
        reference: "cap_0".to_owned(),
        amount: euros(1),
        reason: "no".to_owned(),
    };
    server.report(&order, "evt_2", fact).await;
    let path = format!("/v1/orders/{order}/captures");
    for _ in 0..2 {
        server.send(post(&path).key("k")).await.expect_problem(409, "id_taken");
    }
    server.send(post(&path).key("another")).await.expect(202);
}

#[tokio::test]
async fn the_worst_body_that_a_sender_may_send_is_kept() {
    let server = Server::demo().await;
    for (event, body) in [
        ("evt_1", vec![1; 256 * 1024]),
        ("evt_2", vec![0; 256 * 1024]),
        ("evt_3", b"{\"type\": \"x\", \"data\": {}}\0".to_vec()),
    ] {
        let kept = server.send(webhook(event, body)).await.expect(202).json();
        assert_eq!(
            (&kept["result"], &kept["reason"]),
            (&json!("quarantined"), &json!("unreadable")),
            "{event}"
        );
    }
    server.send(webhook("evt_4", vec![b' '; 256 * 1024 + 1])).await.expect_problem(413, "body_too_large");
}

#[tokio::test]
async fn a_late_retry_of_an_offer_does_not_bring_the_old_one_back() {
    let server = Server::demo().await;
    let offer = |minor: i64| json!({"amount": {"value": minor, "currency": "EUR"}});
    let first = server.send(put("/v1/offers/o").json(&offer(500)).key("a")).await.expect(201);
    server.send(put("/v1/offers/o").json(&offer(600)).key("b")).await.expect(200);
    let again = server.send(put("/v1/offers/o").json(&offer(500)).key("a")).await.expect(201);
    assert_eq!(again.bytes, first.bytes);
    let stands: Value = server.send(get("/v1/offers/o")).await.expect(200).json();
    assert_eq!(stands["amount"]["value"], 600);
    let reused = server.send(put("/v1/offers/o").json(&offer(700)).key("a")).await;
    reused.expect_problem(422, "idempotency_key_reused");
    // The same key for another offer is another request.
    server.send(put("/v1/offers/p").json(&offer(500)).key("a")).await.expect(201);
}

#[tokio::test]
async fn orkestapay_is_told_of_an_outage_in_its_own_shape_and_never_of_a_refund_that_was_not_stored() {
    let (server, journal) = server().await;
    let credentials =
        json!({"client_id": "demo", "client_secret": "demo-key", "grant_type": "client_credentials"});
    let token = server.send(post("/orkestapay/v1/oauth/tokens").json(&credentials)).await.expect(200);
    let bearer = format!("Bearer {}", token.json()["access_token"].as_str().unwrap());
    let checkout = json!({
        "completed_redirect_url": "https://shop.example/ok", "canceled_redirect_url": "https://shop.example/no",
        "order": {
            "merchant_order_id": "A-1", "currency": "EUR", "country_code": "ES",
            "subtotal_amount": 19.99, "total_amount": 19.99,
            "products": [{"name": "plan", "quantity": 1, "unit_price": 19.99}],
            "customer": {"first_name": "John", "last_name": "Doe", "email": "john@example.com"},
        }
    });
    let register =
        |key| post("/orkestapay/v1/checkouts").header("authorization", &bearer).key(key).json(&checkout);
    let made = server.send(register("k1")).await.expect(201).json();
    let number = made["order"]["order_id"].as_str().unwrap().replace("ord_", "");
    let order = uuid::Uuid::try_parse(&number).unwrap().to_string();
    server.send(webhook("evt_1", captured(&order))).await.expect(200);
    let refund = |key| {
        let call =
            post(format!("/orkestapay/v1/payments/pay_{number}1/refund")).header("authorization", &bearer);
        call.key(key).json(&json!({"amount": 5}))
    };
    let before = journal.inner.last_sequence(0).await.unwrap();
    for (state, code) in [(REFUSES, "JOURNAL_UNAVAILABLE"), (KEEPS_QUIET, "OUTCOME_UNKNOWN")] {
        journal.set(state);
        for call in [register("k2"), refund("r1")] {
            let reply = server.send(call).await.expect(503);
            assert_eq!((reply.header("retry-after"), reply.json()["code"].as_str()), ("1", Some(code)));
            assert!(!String::from_utf8_lossy(&reply.bytes).contains("hunter2"));
        }
    }
    journal.set(WORKS);
    server.send(register("k2")).await.expect(201);
    let told = server.send(refund("r1")).await.expect(200);
    assert_eq!(told.json()["status"], "PENDING");
    let stored = journal.inner.last_sequence(0).await.unwrap();
    assert_eq!(stored, before + 3, "the checkout, the refund, and what was told of it, each once");
    assert_eq!(server.send(refund("r1")).await.expect(200).bytes, told.bytes);
    assert_eq!(journal.inner.last_sequence(0).await.unwrap(), stored);
}
