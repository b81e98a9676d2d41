//! Bare HTTP servers.

use std::io::Write;
use std::path::Path;

use async_nats::header::{HeaderMap, NATS_EXPECTED_LAST_SUBJECT_SEQUENCE};
use async_nats::jetstream::stream::Stream;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use bytes::Bytes;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

/// What is stored for each request, and what is answered then.
#[derive(Clone)]
pub(super) struct Exchange {
    pub(super) payload: Bytes,
    pub(super) answer: Bytes,
    pub(super) status: StatusCode,
}

impl Exchange {
    fn answered(&self) -> (StatusCode, [(&'static str, &'static str); 1], Bytes) {
        (self.status, [("content-type", "application/json")], self.answer.clone())
    }
}

async fn listen(routes: Router) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("{}", listener.local_addr().expect("an address"));
    std::io::stdout().flush().expect("somebody who reads");
    axum::serve(listener.tap_io(|io| drop(io.set_nodelay(true))), routes).await.expect("a server");
}

pub(super) async fn constant(body: Bytes) {
    let answer = move || {
        let body = body.clone();
        async move { ([("content-type", "application/json")], body) }
    };
    listen(Router::new().route("/", get(answer))).await;
}

/// The stream of the limit: kept exactly as Daybook keeps its own, under another name.
pub(super) const LIMIT: &str = "limit";

pub(super) async fn stream(client: &async_nats::Client) -> Stream {
    let context = async_nats::jetstream::new(client.clone());
    let mut config = context.get_stream("daybook-0").await.expect("the stream").cached_info().config.clone();
    config.name = LIMIT.to_owned();
    config.subjects = vec![format!("{LIMIT}.>")];
    context.get_or_create_stream(config).await.expect("a stream")
}

pub(super) async fn publish(url: &str, exchange: Exchange) {
    let client = async_nats::connect(url).await.expect("a nats-server");
    stream(&client).await;
    let answer = async |State((client, exchange)): State<(async_nats::Client, Exchange)>, _body: Bytes| {
        let subject = format!("{LIMIT}.0.acme.{}", uuid::Uuid::now_v7());
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, "0");
        let request = async_nats::Request::new().headers(headers).payload(exchange.payload.clone());
        let ack = client.send_request(subject, request).await.expect("an answer");
        let refused = ack.payload.windows(8).any(|window| window == b"\"error\":");
        assert!(!refused, "{}", String::from_utf8_lossy(&ack.payload));
        exchange.answered()
    };
    listen(Router::new().route("/", post(answer)).with_state((client, exchange))).await;
}

/// A row that waits to be written, and what is done when it is on disk.
pub(super) struct Waiting {
    pub(super) bytes: Bytes,
    pub(super) when_stored: Box<dyn FnOnce() + Send>,
}

/// A thread that writes all that waits in one transaction.
pub(super) fn group_commit(database: &Path) -> mpsc::Sender<Waiting> {
    let mut connection = Connection::open(database).expect("a database");
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE IF NOT EXISTS commits (sequence INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;",
        )
        .expect("a table");
    let (requests, mut waiting) = mpsc::channel::<Waiting>(1024);
    std::thread::spawn(move || {
        let mut batch = Vec::new();
        while waiting.blocking_recv_many(&mut batch, 1024) > 0 {
            let transaction = connection.transaction().expect("a transaction");
            {
                let mut statement = transaction
                    .prepare_cached("INSERT INTO commits (bytes) VALUES (?1)")
                    .expect("a statement");
                for row in &batch {
                    statement.execute([&row.bytes[..]]).expect("an insert");
                }
            }
            transaction.commit().expect("a commit");
            for row in batch.drain(..) {
                (row.when_stored)();
            }
        }
    });
    requests
}

pub(super) async fn insert(database: &Path, exchange: Exchange) {
    type Shared = (mpsc::Sender<Waiting>, Exchange);
    let answer = async |State((requests, exchange)): State<Shared>, _body: Bytes| {
        let (stored, done) = oneshot::channel();
        // Who went away does not wait.
        let when_stored = Box::new(move || stored.send(()).unwrap_or(()));
        let row = Waiting { bytes: exchange.payload.clone(), when_stored };
        requests.send(row).await.unwrap_or_else(|_| panic!("the writer has ended"));
        done.await.expect("a commit");
        exchange.answered()
    };
    listen(Router::new().route("/", post(answer)).with_state((group_commit(database), exchange))).await;
}
