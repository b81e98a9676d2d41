//! The other side of each comparison: servers and readers that do only what cannot be left out.

mod delivery;
mod http;
mod log;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::http::StatusCode;
use bytes::Bytes;
use clap::Subcommand;
use tokio::io::{AsyncBufReadExt, BufReader};

use http::Exchange;

/// What to be the limit of.
#[derive(Subcommand)]
pub(crate) enum Of {
    /// Publish a file's bytes for each request and answer when JetStream has acknowledged them.
    Publish {
        /// Where nats-server is.
        url: String,
        #[command(flatten)]
        exchange: Files,
    },
    /// Insert a file's bytes for each request into SQLite and answer when the transaction is on disk.
    Insert {
        /// The database.
        database: PathBuf,
        #[command(flatten)]
        exchange: Files,
    },
    /// Answer each request with a file's bytes.
    Constant {
        /// The answer.
        body: PathBuf,
    },
    /// Publish a file's bytes at a rate, and print how long each took to a reader.
    Deliver {
        /// Where nats-server is.
        url: String,
        /// The bytes of one commit.
        payload: PathBuf,
        /// Messages a second.
        rate: u64,
        /// For so long.
        seconds: u64,
    },
    /// Insert a file's bytes into SQLite at a rate, and print how long each took to a reader.
    Notify {
        /// The database.
        database: PathBuf,
        /// The bytes of one commit.
        payload: PathBuf,
        /// Rows a second.
        rate: u64,
        /// For so long.
        seconds: u64,
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

/// What is stored for each request and what is answered, as files.
#[derive(clap::Args)]
pub(crate) struct Files {
    /// The bytes of one commit.
    payload: PathBuf,
    /// The body of an answer.
    answer: PathBuf,
    /// Its status.
    status: u16,
}

impl Files {
    fn read(&self) -> Exchange {
        let status = StatusCode::from_u16(self.status).expect("an HTTP status");
        Exchange { payload: read(&self.payload), answer: read(&self.answer), status }
    }
}

/// Runs one of them.
pub(crate) async fn serve(of: Of) {
    match of {
        Of::Publish { url, exchange } => http::publish(&url, exchange.read()).await,
        Of::Insert { database, exchange } => http::insert(&database, exchange.read()).await,
        Of::Constant { body } => http::constant(read(&body)).await,
        Of::Deliver { url, payload, rate, seconds } => {
            delivery::deliver(&url, read(&payload), rate, Duration::from_secs(seconds)).await;
        }
        Of::Notify { database, payload, rate, seconds } => {
            delivery::notify(&database, read(&payload), rate, Duration::from_secs(seconds)).await;
        }
        Of::Drain { url } => log::drain(&url).await,
        Of::Scan { database } => log::scan(&database),
    }
}

fn read(file: &PathBuf) -> Bytes {
    std::fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display())).into()
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
