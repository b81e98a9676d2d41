//! Readers of Daybook's own log that drop what they read.

use std::path::PathBuf;
use std::time::Instant;

use async_nats::jetstream::consumer::{DeliverPolicy, push};
use futures::StreamExt;
use rusqlite::Connection;

pub(super) async fn drain(url: &str) {
    let client = async_nats::connect(url).await.expect("a nats-server");
    let inbox = client.new_inbox();
    let stream = async_nats::jetstream::new(client).get_stream("daybook-0").await.expect("the stream");
    let last = stream.cached_info().state.last_sequence;
    let started = Instant::now();
    let config = push::OrderedConfig {
        deliver_subject: inbox,
        deliver_policy: DeliverPolicy::All,
        ..push::OrderedConfig::default()
    };
    let mut messages =
        stream.create_consumer(config).await.expect("a consumer").messages().await.expect("messages");
    for _ in 0..last {
        messages.next().await.expect("a message").expect("a message");
    }
    println!("{}", started.elapsed().as_micros());
}

pub(super) fn scan(database: &PathBuf) {
    let connection = Connection::open(database).expect("a database");
    let started = Instant::now();
    let mut statement =
        connection.prepare("SELECT bytes FROM commits ORDER BY sequence").expect("a statement");
    let mut rows = statement.query([]).expect("rows");
    let mut bytes = 0;
    while let Some(row) = rows.next().expect("a row") {
        let value = row.get_ref(0).expect("a value");
        bytes += value.as_bytes().map_or(0, <[u8]>::len);
    }
    assert!(bytes > 0, "the table is empty");
    println!("{}", started.elapsed().as_micros());
}
