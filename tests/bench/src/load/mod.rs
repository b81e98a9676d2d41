//! The load, which comes from another process: this binary starts itself with what to send on its standard input and
//! reads what it saw from its standard output, a line of JSON for each window.
//!
//! A *closed* loop sends each connection's next request as soon as the last is answered, and so finds the rate that a
//! server can keep up with; a server that stalls is asked less, so the latencies of a closed loop flatter it. They are
//! not reported. An *open* loop sends at a fixed rate whatever the answers do, and counts each latency from the moment
//! when the request was due, so that whoever had to wait behind a stall is counted with the wait.

mod connection;
mod generator;
mod readers;

use std::process::Stdio;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

pub(crate) use connection::{Connection, render};
pub(crate) use generator::{due, generate, wait_until};
pub(crate) use readers::{Delivered, Readers, read};

/// What to send.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Requests {
    /// One request over and over, with 32 hex digits at an offset that are new each time.
    Unique {
        /// The request.
        template: String,
        /// Where the digits go.
        at: usize,
    },
    /// These in turn, again from the start when all were sent.
    InTurn(Vec<String>),
    /// Each of these once; the load ends when all were sent.
    Once(Vec<String>),
}

/// What to send, where to, and how.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Load {
    /// Host and port.
    pub(crate) address: String,
    /// What to send.
    pub(crate) requests: Requests,
    /// How many connections.
    pub(crate) connections: usize,
    /// For how long.
    pub(crate) length: Duration,
    /// The status that every answer must have.
    pub(crate) expected: u16,
    /// Requests a second of an open loop; none for a closed one.
    pub(crate) rate: Option<u64>,
    /// Report so often what was seen since the last report; none for once, at the end.
    pub(crate) window: Option<Duration>,
}

/// What was seen in a window.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Round {
    /// Answers.
    pub(crate) answers: u64,
    /// How long it took.
    pub(crate) elapsed: Duration,
    /// Microseconds to the answer: in an open loop from when the request was due, in a closed one from when it was sent.
    #[serde(with = "buckets")]
    pub(crate) latency: Histogram<u64>,
}

impl Round {
    /// Answers a second.
    pub(crate) fn rate(&self) -> u64 {
        per_second(self.answers, self.elapsed)
    }
}

/// So many in so long, as a rate.
pub(crate) fn per_second(count: u64, elapsed: Duration) -> u64 {
    let rate = u128::from(count) * 1_000_000 / elapsed.as_micros().max(1);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

/// A histogram from a microsecond to a minute.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("bounds of a histogram")
}

impl Load {
    /// A closed loop for so long.
    pub(crate) fn closed(address: &str, requests: &Requests, connections: usize, length: Duration) -> Self {
        let (address, requests) = (address.to_owned(), requests.clone());
        Load { address, requests, connections, length, expected: 200, rate: None, window: None }
    }

    /// Another status than 200 is right.
    pub(crate) fn expecting(self, expected: u16) -> Self {
        Load { expected, ..self }
    }

    /// The same as an open loop of so many requests a second.
    pub(crate) fn open(self, rate: u64) -> Self {
        Load { rate: Some(rate.max(1)), ..self }
    }

    /// Runs it to its end in a process of its own.
    pub(crate) async fn run(&self) -> Round {
        let mut running = self.start().await;
        let round = running.line().await.expect("a line from the load");
        assert!(running.line::<Round>().await.is_none(), "the load said more than was asked");
        round
    }

    /// Starts it in a process of its own.
    pub(crate) async fn start(&self) -> Running {
        Running::start("load", self).await
    }
}

/// A process of this binary that was given JSON and answers in lines of JSON. Gone when dropped.
pub(crate) struct Running {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    /// Starts a hidden command of this binary.
    pub(crate) async fn start(command: &str, given: &impl Serialize) -> Self {
        let ours = std::env::current_exe().expect("a benchmark knows where it is");
        let mut process = Command::new(ours)
            .arg(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("a process");
        let mut stdin = process.stdin.take().expect("a pipe");
        let given = serde_json::to_vec(given).expect("JSON");
        stdin.write_all(&given).await.expect("somebody who reads");
        drop(stdin);
        let lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        Running { process, lines }
    }

    /// The next line; none at the end. Panics when the process failed.
    pub(crate) async fn line<T: serde::de::DeserializeOwned>(&mut self) -> Option<T> {
        let line = self.lines.next_line().await.expect("a pipe that stands");
        let Some(line) = line else {
            let status = self.process.wait().await.expect("a process of ours");
            assert!(status.success(), "the load failed: {status}");
            return None;
        };
        Some(serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}")))
    }
}

/// A histogram as a list of values and how often each was seen, which any program can read.
pub(crate) mod buckets {
    use hdrhistogram::Histogram;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        histogram: &Histogram<u64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let recorded = histogram.iter_recorded();
        let pairs: Vec<(u64, u64)> =
            recorded.map(|step| (step.value_iterated_to(), step.count_at_value())).collect();
        pairs.serialize(serializer)
    }

    /// To two digits in place of three, for a file that is kept.
    pub(crate) fn serialize_coarsely<S: Serializer>(
        histogram: &Histogram<u64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut coarse = Histogram::new_with_bounds(histogram.low(), histogram.high(), 2).expect("bounds");
        coarse.add(histogram).expect("the same bounds");
        serialize(&coarse, serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Histogram<u64>, D::Error> {
        let mut histogram = super::histogram();
        for (value, count) in Vec::<(u64, u64)>::deserialize(deserializer)? {
            histogram.saturating_record_n(value, count);
        }
        Ok(histogram)
    }
}
