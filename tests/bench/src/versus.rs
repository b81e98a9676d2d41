//! Ours and the other side in turns, over HTTP: first as fast as each goes, then both at the same fixed rate.

use std::time::Duration;

use crate::Options;
use crate::load::{Load, Requests, Round};
use crate::report::Side;

/// A server, what to ask it, and what it answers.
#[derive(Clone)]
pub(crate) struct Target {
    /// What the table calls it.
    pub(crate) name: String,
    /// Host and port.
    pub(crate) address: String,
    /// What to send.
    pub(crate) requests: Requests,
    /// The status of every answer.
    pub(crate) expected: u16,
}

impl Target {
    /// As fast as answers come, for so long.
    pub(crate) async fn closed(&self, connections: usize, length: Duration) -> Round {
        self.load(connections, length).run().await
    }

    /// At a fixed rate, for so long.
    pub(crate) async fn open(&self, connections: usize, length: Duration, rate: u64) -> Round {
        self.load(connections, length).open(rate).run().await
    }

    /// As fast as answers come, not started yet.
    pub(crate) fn load(&self, connections: usize, length: Duration) -> Load {
        Load::closed(&self.address, &self.requests, connections, length).expecting(self.expected)
    }
}

/// Measures both sides. `ours` is asked for our requests before each of our turns, outside its time; `settle` is waited
/// for after it, so that neither side pays for the other's work.
pub(crate) async fn compare(
    options: &Options,
    connections: usize,
    ours: impl AsyncFn() -> Target,
    other: &Target,
    settle: impl AsyncFn(),
) -> (Side, Side) {
    let (mut our_side, mut other_side) = (Side::new("Daybook"), Side::new(&other.name));
    other.closed(connections, options.round() / 4).await;
    ours().await.closed(connections, options.round() / 4).await;
    settle().await;
    for _ in 0..options.rounds() {
        other_side.add(other.closed(connections, options.round()).await.rate());
        our_side.add(ours().await.closed(connections, options.round()).await.rate());
        settle().await;
    }
    let rate = our_side.median / 2;
    eprintln!(
        "{connections} connections: {} beside {} a second; now both at {rate}",
        our_side.median, other_side.median
    );
    for _ in 0..options.rounds() {
        other_side.add_latency(rate, &other.open(connections, options.round(), rate).await);
        our_side.add_latency(rate, &ours().await.open(connections, options.round(), rate).await);
        settle().await;
    }
    (our_side, other_side)
}
