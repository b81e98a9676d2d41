//! Bare HTTP servers that store many times the same bytes for each request.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_nats::header::{HeaderMap, NATS_EXPECTED_LAST_SUBJECT_SEQUENCE};
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::routing::post;
use bytes::Bytes;
use futures::StreamExt;
use rusqlite::Connection;

use super::http::{self, Exchange, LIMIT};

/// Publishes of one request that wait for their acknowledgement at once.
const IN_FLIGHT: usize = 1024;

/// Publishes so many messages for each request, many at once, and answers when all are acknowledged.
pub(super) async fn publish(url: &str, exchange: Exchange, messages: usize) {
    let client = async_nats::connect(url).await.expect("a nats-server");
    http::stream(&client).await;
    let answer = async move |State((client, exchange)): State<(async_nats::Client, Exchange)>,
                             _body: Bytes| {
        let publish = async |_| {
            let subject = format!("{LIMIT}.0.acme.{}", uuid::Uuid::now_v7());
            let mut headers = HeaderMap::new();
            headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, "0");
            let request = async_nats::Request::new().headers(headers).payload(exchange.payload.clone());
            let ack = client.send_request(subject, request).await.expect("an answer");
            let refused = ack.payload.windows(8).any(|window| window == b"\"error\":");
            assert!(!refused, "{}", String::from_utf8_lossy(&ack.payload));
        };
        futures::stream::iter(0..messages).for_each_concurrent(IN_FLIGHT, publish).await;
        exchange.answered()
    };
    let routes = Router::new().route("/", post(answer)).layer(DefaultBodyLimit::disable());
    http::listen(routes.with_state((client, exchange))).await;
}

/// Inserts so many rows for each request in one transaction, and answers when that is on disk.
pub(super) async fn insert(database: &Path, exchange: Exchange, rows: usize) {
    type Shared = (Arc<Mutex<Connection>>, Exchange);
    let connection = Arc::new(Mutex::new(http::open(database)));
    let answer = async move |State((connection, exchange)): State<Shared>, _body: Bytes| {
        let payload = exchange.payload.clone();
        let stored = tokio::task::spawn_blocking(move || {
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            http::store(&mut connection, std::iter::repeat_n(&payload, rows));
        });
        stored.await.expect("rows that are stored");
        exchange.answered()
    };
    let routes = Router::new().route("/", post(answer)).layer(DefaultBodyLimit::disable());
    http::listen(routes.with_state((connection, exchange))).await;
}
