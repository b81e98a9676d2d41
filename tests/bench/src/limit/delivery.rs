//! How long it takes until a reader has what was written, with nothing between the two.

use std::path::Path;
use std::time::{Duration, Instant};

use async_nats::header::{HeaderMap, NATS_EXPECTED_LAST_SUBJECT_SEQUENCE};
use async_nats::jetstream::consumer::{DeliverPolicy, push};
use bytes::Bytes;
use futures::StreamExt;
use hdrhistogram::Histogram;
use tokio::sync::mpsc;

use super::http::{LIMIT, Waiting, group_commit, stream};
use crate::load::{buckets, due, histogram, wait_until};

/// From a publish with an expectation to an ordered push consumer that has it.
pub(super) async fn deliver(url: &str, payload: Bytes, rate: u64, length: Duration) {
    let client = async_nats::connect(url).await.expect("a nats-server");
    let stream = stream(&client).await;
    let config = push::OrderedConfig {
        deliver_subject: client.new_inbox(),
        deliver_policy: DeliverPolicy::New,
        ..push::OrderedConfig::default()
    };
    let consumer = stream.create_consumer(config).await.expect("a consumer");
    let mut messages = consumer.messages().await.expect("messages");
    let (published, mut expected) = mpsc::unbounded_channel();
    let reader = tokio::spawn(async move {
        let mut seen = histogram();
        // What one connection publishes is delivered in the same order.
        while let Some(since) = expected.recv().await {
            messages.next().await.expect("a message").expect("a message");
            record(&mut seen, since);
        }
        seen
    });
    let started = Instant::now();
    for number in 0..count(rate, length) {
        wait_until(started + due(number, rate)).await;
        let subject = format!("{LIMIT}.0.acme.{}", uuid::Uuid::now_v7());
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, "0");
        published.send(Instant::now()).expect("a reader");
        let (inbox, payload) = (client.new_inbox(), payload.clone());
        let published = client.publish_with_reply_and_headers(subject, inbox, headers, payload);
        published.await.expect("a connection");
    }
    drop(published);
    print(&reader.await.expect("a reader"));
}

/// From when a row is handed to the writer of a database to when a reader was told of it, after it is on disk.
pub(super) async fn notify(database: &Path, payload: Bytes, rate: u64, length: Duration) {
    let writer = group_commit(database);
    let (told, mut stored) = mpsc::unbounded_channel();
    let reader = tokio::spawn(async move {
        let mut seen = histogram();
        while let Some(since) = stored.recv().await {
            record(&mut seen, since);
        }
        seen
    });
    let started = Instant::now();
    for number in 0..count(rate, length) {
        wait_until(started + due(number, rate)).await;
        let (told, since) = (told.clone(), Instant::now());
        let when_stored = Box::new(move || told.send(since).unwrap_or(()));
        writer
            .send(Waiting { bytes: payload.clone(), when_stored })
            .await
            .unwrap_or_else(|_| panic!("the writer has ended"));
    }
    drop((told, writer));
    print(&reader.await.expect("a reader"));
}

fn count(rate: u64, length: Duration) -> usize {
    usize::try_from(rate * length.as_secs()).expect("a number of messages")
}

fn record(seen: &mut Histogram<u64>, since: Instant) {
    seen.saturating_record(u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX));
}

fn print(seen: &Histogram<u64>) {
    let mut json = Vec::new();
    buckets::serialize(seen, &mut serde_json::Serializer::new(&mut json)).expect("JSON");
    println!("{}", String::from_utf8(json).expect("JSON is text"));
}
