//! The watchdog of one partition: compares the log's end with the views, and wakes a tail that has fallen silent.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ledger::ids::Position;
use tokio::sync::watch;

use super::{Shared, Stopped};

/// No question to the journal is worth waiting longer for.
const LONGEST_ANSWER: Duration = Duration::from_secs(10);

pub(super) async fn watch(shared: Arc<Shared>, partition: u16, mut stop: watch::Receiver<bool>) {
    // The only error is that the projector itself is gone.
    let stopped = stop.wait_for(|stop| *stop);
    tokio::select! {
        _ = stopped => {}
        () = run(&shared, partition) => {}
    }
}

async fn run(shared: &Shared, partition: u16) {
    let of = shared.partition(partition);
    let mut idle_at = None;
    let mut behind = false;
    while of.halted.get().is_none() {
        tokio::time::sleep(shared.options.watchdog).await;
        let applied = shared.applied(partition);
        let answer = tokio::time::timeout(LONGEST_ANSWER, shared.journal.last_sequence(partition)).await;
        let last = match answer {
            Ok(Ok(last)) => last,
            Ok(Err(error)) => {
                tracing::warn!(partition, %error, "the watchdog cannot see the end of the log");
                continue;
            }
            Err(_elapsed) => {
                tracing::warn!(partition, "the watchdog cannot see the end of the log: no answer");
                continue;
            }
        };
        of.last.fetch_max(last, Ordering::Relaxed);
        shared.report(partition);

        // Twice, because one answer may come from a server that is itself behind.
        if last < applied && behind {
            let position = Position { partition, sequence: last + 1 };
            let reason = format!("the log now ends at {last}, but held commits up to {applied} before");
            return shared.halt(Stopped { position, reason });
        }
        behind = last < applied;

        // Silent: the log goes on, everything received is applied, and nothing came for a whole interval.
        let received = of.received.load(Ordering::Relaxed);
        let idle = last > received && shared.applied(partition) == received;
        if idle && idle_at == Some(received) {
            tracing::warn!(
                partition,
                received,
                last,
                "the journal's tail has fallen silent; opening it again"
            );
            of.target.store(last, Ordering::Relaxed);
            of.silent.notify_one();
            idle_at = None;
        } else {
            idle_at = idle.then_some(received);
        }
    }
}
