//! Following one partition: from the tail to the writer, opening the tail again whenever it fails.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use ledger::ids::Position;
use ledger::journal::ReadError;
use tokio::sync::{mpsc, watch};

use super::chunks::{End, chunks};
use super::write::{Message, Work};
use super::{Shared, Stopped};

/// Why a tail is done with.
enum Ended {
    /// It has to be opened again.
    Broken,
    /// The partition is halted, or the projector is shutting down.
    ForGood,
}

pub(super) async fn follow(
    shared: Arc<Shared>,
    partition: u16,
    works: mpsc::Sender<Message>,
    mut stop: watch::Receiver<bool>,
) {
    let mut follower = Follower { shared, partition, works, wait: Duration::ZERO };
    // The only error is that the projector itself is gone.
    let stopped = stop.wait_for(|stop| *stop);
    tokio::select! {
        _ = stopped => {}
        () = follower.run() => {}
    }
}

struct Follower {
    shared: Arc<Shared>,
    partition: u16,
    works: mpsc::Sender<Message>,
    /// The wait before the next try; grows with every failure, and is forgotten with every commit.
    wait: Duration,
}

impl Follower {
    async fn run(&mut self) {
        loop {
            match self.follow_one_tail().await {
                Ended::ForGood => return,
                Ended::Broken => {
                    let options = &self.shared.options;
                    self.wait = (self.wait * 2).clamp(options.first_wait, options.longest_wait);
                    tokio::time::sleep(self.wait).await;
                }
            }
        }
    }

    async fn follow_one_tail(&mut self) -> Ended {
        let shared = Arc::clone(&self.shared);
        let of = shared.partition(self.partition);
        let after = of.received.load(Ordering::Relaxed);
        // What was said of the tail before says nothing of this one.
        let _stale = of.silent.notified().now_or_never();
        let tail = tokio::select! {
            tail = shared.journal.tail(self.partition, after) => tail,
            () = of.silent.notified() => return Ended::Broken,
        };
        let mut chunks = match tail {
            Ok(tail) => chunks(tail, self.partition, after, shared.options.batch),
            Err(error) => return self.failed(error).await,
        };
        loop {
            let chunk = tokio::select! {
                chunk = chunks.next() => chunk,
                () = of.silent.notified() => return Ended::Broken,
            };
            let Some(chunk) = chunk else {
                tracing::warn!(partition = self.partition, "the journal's tail ended; opening it again");
                return Ended::Broken;
            };
            if let Some(newest) = chunk.entries.last().map(|entry| entry.recorded.position.sequence) {
                of.last.fetch_max(newest, Ordering::Relaxed);
                if self
                    .works
                    .send(Message::Work(Work { entries: chunk.entries, stopped: None }))
                    .await
                    .is_err()
                {
                    return self.writer_is_gone(self.shared.applied(self.partition));
                }
                of.received.store(newest, Ordering::Relaxed);
                self.wait = Duration::ZERO;
            }
            match chunk.end {
                None => {}
                Some(End::Failed(error)) => return self.failed(error).await,
                Some(End::Gap { due, found }) => return self.gap(due, found).await,
                Some(End::Unreadable(stopped)) => return self.halt(stopped).await,
            }
        }
    }

    async fn failed(&mut self, error: ReadError) -> Ended {
        match error {
            ReadError::Foreign { position, reason } => self.halt(Stopped { position, reason }).await,
            ReadError::Unavailable(error) => {
                tracing::warn!(
                    partition = self.partition,
                    error,
                    "the journal's tail failed; opening it again"
                );
                Ended::Broken
            }
        }
    }

    /// A tail that is out of order is opened again; a log that is, is not followed any further.
    async fn gap(&mut self, due: u64, found: u64) -> Ended {
        tracing::error!(partition = self.partition, due, found, "the journal's tail is out of order");
        let position = Position { partition: self.partition, sequence: due };
        let journal = &self.shared.journal;
        match (journal.at(position).await, journal.last_sequence(self.partition).await) {
            (Ok(None), Ok(last)) if last > due => {
                let reason = format!("the log has no commit here, although it goes on to {last}");
                self.halt(Stopped { position, reason }).await
            }
            (Err(ReadError::Foreign { position, reason }), _) => {
                self.halt(Stopped { position, reason }).await
            }
            (Ok(_) | Err(ReadError::Unavailable(_)), _) => Ended::Broken,
        }
    }

    /// By way of the writer, which has to be done with everything before it.
    async fn halt(&mut self, stopped: Stopped) -> Ended {
        let work = Work { entries: Vec::new(), stopped: Some(stopped) };
        if self.works.send(Message::Work(work)).await.is_err() {
            return self.writer_is_gone(self.shared.applied(self.partition));
        }
        Ended::ForGood
    }

    /// It said why, unless it panicked.
    fn writer_is_gone(&self, after: u64) -> Ended {
        let position = Position { partition: self.partition, sequence: after + 1 };
        self.shared.halt(Stopped { position, reason: "the projector's writer has stopped".to_owned() });
        Ended::ForGood
    }
}
