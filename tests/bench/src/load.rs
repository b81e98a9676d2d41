//! The load: keep-alive connections that each send the next request as soon as the last is answered.
//!
//! Requests are rendered before the clock runs and answers are read no further than needed, so that what is measured
//! is the server and not the client beside it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// The longest that an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What to send.
#[derive(Clone)]
pub(crate) enum Requests {
    /// One request over and over, with 32 hex digits at an offset that are new each time.
    Unique {
        /// The request.
        template: Arc<Vec<u8>>,
        /// Where the digits go.
        at: usize,
    },
    /// These in turn.
    InTurn(Arc<Vec<Vec<u8>>>),
}

/// What a round of load saw.
pub(crate) struct Round {
    /// Answers.
    pub(crate) answers: u64,
    /// How long it took.
    pub(crate) elapsed: Duration,
    /// Microseconds from request to answer.
    pub(crate) latency: Histogram<u64>,
}

impl Round {
    /// Answers a second.
    pub(crate) fn rate(&self) -> u64 {
        self.answers * 1_000_000 / u64::try_from(self.elapsed.as_micros()).unwrap_or(u64::MAX).max(1)
    }
}

/// A histogram from a microsecond to a minute.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("bounds of a histogram")
}

/// Loads `address` over so many connections for so long. Every answer must have the status `expected`.
pub(crate) async fn round(
    address: &str,
    requests: &Requests,
    connections: usize,
    length: Duration,
    expected: u16,
) -> Round {
    let mut workers = JoinSet::new();
    for number in 0..connections {
        let connection = Connection::open(address).await;
        workers.spawn(worker(connection, requests.clone(), number, length, expected));
    }
    let started = Instant::now();
    let (mut answers, mut latency) = (0, histogram());
    while let Some(worker) = workers.join_next().await {
        let (count, seen) = worker.expect("a connection");
        answers += count;
        latency.add(seen).expect("histograms alike");
    }
    Round { answers, elapsed: started.elapsed(), latency }
}

async fn worker(
    mut connection: Connection,
    requests: Requests,
    number: usize,
    length: Duration,
    expected: u16,
) -> (u64, Histogram<u64>) {
    let (mut answers, mut latency) = (0, histogram());
    let mut random = fastrand::Rng::new();
    let mut buffer = match &requests {
        Requests::Unique { template, .. } => template.to_vec(),
        Requests::InTurn(_) => Vec::new(),
    };
    let end = Instant::now() + length;
    let mut turn = number;
    while Instant::now() < end {
        let request: &[u8] = match &requests {
            Requests::Unique { at, .. } => {
                let digits = format!("{:032x}", random.u128(..));
                buffer[*at..at + 32].copy_from_slice(digits.as_bytes());
                &buffer
            }
            Requests::InTurn(all) => &all[turn % all.len()],
        };
        turn += 1;
        let sent = Instant::now();
        let answer = tokio::time::timeout(PATIENCE, connection.exchange(request)).await;
        let status = answer.unwrap_or_else(|_| panic!("no answer within {PATIENCE:?}"));
        assert_eq!(status, expected, "{}", String::from_utf8_lossy(&connection.buffer));
        answers += 1;
        latency.saturating_record(u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    (answers, latency)
}

/// One connection, with room for one answer.
pub(crate) struct Connection {
    stream: TcpStream,
    /// The last answer.
    pub(crate) buffer: Vec<u8>,
}

impl Connection {
    /// Connects to a host and port.
    pub(crate) async fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap_or_else(|e| panic!("{address}: {e}"));
        stream.set_nodelay(true).expect("a TCP option");
        Connection { stream, buffer: Vec::with_capacity(16 * 1024) }
    }

    /// Sends a request and reads its answer to the end. Returns the status.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> u16 {
        self.stream.write_all(request).await.expect("a connection that stands");
        self.buffer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.buffer).await.expect("a connection that stands");
            assert!(read > 0, "the server closed the connection");
            if let Some((status, length)) = complete(&self.buffer)
                && self.buffer.len() >= length
            {
                return status;
            }
        }
    }

    /// The last answer's body.
    pub(crate) fn body(&self) -> &[u8] {
        head_end(&self.buffer).map_or(&[], |end| &self.buffer[end..])
    }
}

fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|start| start + 4)
}

/// The status and the whole length of an answer, once its head is there.
fn complete(bytes: &[u8]) -> Option<(u16, usize)> {
    let end = head_end(bytes)?;
    let head = std::str::from_utf8(&bytes[..end]).expect("a head in ASCII");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let mut lengths = head.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let length = lengths.next().unwrap_or_else(|| panic!("an answer without a length: {head}"));
    Some((status, end + length))
}

/// An HTTP/1.1 request as bytes.
pub(crate) fn render(method: &str, path: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let content = if body.is_empty() {
        String::new()
    } else {
        format!("content-type: application/json\r\ncontent-length: {length}\r\n")
    };
    format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{headers}{content}\r\n{body}").into_bytes()
}
