//! The other side of each comparison: servers and readers that do only what cannot be left out.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use async_nats::header::{HeaderMap, NATS_EXPECTED_LAST_SUBJECT_SEQUENCE};
use async_nats::jetstream::consumer::{DeliverPolicy, push};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use bytes::Bytes;
use clap::Subcommand;
use futures::StreamExt;
use rusqlite::Connection;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::{mpsc, oneshot};

/// What to be the limit of.
#[derive(Subcommand)]
pub(crate) enum Of {
    /// Publish a file's bytes for each request and answer when JetStream has acknowledged them.
    Publish {
        /// Where nats-server is.
        url: String,
        /// The bytes of one commit.
        payload: PathBuf,
    },
    /// Insert a file's bytes for each request into SQLite and answer when the transaction is on disk.
    Insert {
        /// The database.
        database: PathBuf,
        /// The bytes of one commit.
        payload: PathBuf,
    },
    /// Answer each request with a file's bytes.
    Constant {
        /// The answer.
        body: PathBuf,
    },
    /// Read Daybook's stream to its end and drop what comes.
    Drain {
        /// Where nats-server is.
        url: String,
    },
    /// Read Daybook's table to its end and drop what comes.
    Scan {
        /// The database.
        database: PathBuf,
    },
}

/// Runs one of them.
pub(crate) async fn serve(of: Of) {
    match of {
        Of::Publish { url, payload } => publish(&url, read(&payload)).await,
        Of::Insert { database, payload } => insert(&database, read(&payload)).await,
        Of::Constant { body } => {
            let body = read(&body);
            let answer = move || {
                let body = body.clone();
                async move { ([("content-type", "application/json")], body) }
            };
            listen(Router::new().route("/", get(answer))).await;
        }
        Of::Drain { url } => drain(&url).await,
        Of::Scan { database } => scan(&database),
    }
}

fn read(file: &PathBuf) -> Bytes {
    std::fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display())).into()
}

async fn listen(routes: Router) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("{}", listener.local_addr().expect("an address"));
    std::io::stdout().flush().expect("somebody who reads");
    axum::serve(listener.tap_io(|io| drop(io.set_nodelay(true))), routes).await.expect("a server");
}

/// The stream of the limit: kept exactly as Daybook keeps its own, under another name.
const LIMIT: &str = "limit";

async fn publish(url: &str, payload: Bytes) {
    let client = async_nats::connect(url).await.expect("a nats-server");
    let context = async_nats::jetstream::new(client.clone());
    let mut config = context.get_stream("daybook-0").await.expect("the stream").cached_info().config.clone();
    config.name = LIMIT.to_owned();
    config.subjects = vec![format!("{LIMIT}.>")];
    context.get_or_create_stream(config).await.expect("a stream");
    let answer = async |State((client, payload)): State<(async_nats::Client, Bytes)>, _body: Bytes| {
        let subject = format!("{LIMIT}.0.acme.{}", uuid::Uuid::now_v7());
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, "0");
        let request = async_nats::Request::new().headers(headers).payload(payload.clone());
        let ack = client.send_request(subject, request).await.expect("an answer");
        let refused = ack.payload.windows(8).any(|window| window == b"\"error\":");
        assert!(!refused, "{}", String::from_utf8_lossy(&ack.payload));
        (StatusCode::ACCEPTED, [("content-type", "application/json")], payload)
    };
    listen(Router::new().route("/", post(answer)).with_state((client, payload))).await;
}

async fn insert(database: &PathBuf, payload: Bytes) {
    let mut connection = Connection::open(database).expect("a database");
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE IF NOT EXISTS commits (sequence INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;",
        )
        .expect("a table");
    let (requests, mut waiting) = mpsc::channel::<(Bytes, oneshot::Sender<()>)>(1024);
    std::thread::spawn(move || {
        let mut batch = Vec::new();
        while waiting.blocking_recv_many(&mut batch, 1024) > 0 {
            let transaction = connection.transaction().expect("a transaction");
            {
                let mut statement = transaction
                    .prepare_cached("INSERT INTO commits (bytes) VALUES (?1)")
                    .expect("a statement");
                for (bytes, _) in &batch {
                    statement.execute([&bytes[..]]).expect("an insert");
                }
            }
            transaction.commit().expect("a commit");
            for (_, stored) in batch.drain(..) {
                // Who went away does not wait.
                stored.send(()).unwrap_or(());
            }
        }
    });
    type Shared = (mpsc::Sender<(Bytes, oneshot::Sender<()>)>, Bytes);
    let answer = async |State((requests, payload)): State<Shared>, _body: Bytes| {
        let (stored, done) = oneshot::channel();
        requests.send((payload.clone(), stored)).await.expect("a writer");
        done.await.expect("a commit");
        (StatusCode::ACCEPTED, [("content-type", "application/json")], payload)
    };
    listen(Router::new().route("/", post(answer)).with_state((requests, payload))).await;
}

async fn drain(url: &str) {
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

fn scan(database: &PathBuf) {
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

/// A limit's process, gone when dropped.
pub(crate) struct Limit {
    process: Child,
    /// The first line that it printed: an address, or microseconds.
    pub(crate) said: String,
}

impl Limit {
    /// Starts one and waits for its first line.
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        let ours = std::env::current_exe().expect("a benchmark knows where it is");
        let mut command = Command::new(ours);
        let mut process =
            command.arg("limit").args(arguments).stdout(Stdio::piped()).spawn().expect("a process");
        let stdout = process.stdout.take().expect("a pipe");
        let stdout = tokio::process::ChildStdout::from_std(stdout).expect("a pipe");
        let line = BufReader::new(stdout).lines().next_line().await.expect("a line");
        Limit { process, said: line.expect("a line from the limit") }
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
