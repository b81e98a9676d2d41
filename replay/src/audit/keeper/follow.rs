//! Following one partition: from the journal's tail into the tree, opening the tail again whenever it fails.

use std::time::{Duration, Instant};

use futures::StreamExt;
use ledger::journal::{Journal, Stored};

use super::{Partition, ProofError};

/// Commits that are hashed and written together.
const BATCH: usize = 256;
/// A tail that says nothing for this long is asked whether there is nothing to say.
const SILENCE: Duration = Duration::from_secs(10);
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Never ends.
pub(super) async fn follow(partition: &Partition, journal: &dyn Journal) {
    let mut wait = FIRST_WAIT;
    loop {
        let before = partition.size();
        match follow_one_tail(partition, journal).await {
            Err(ProofError::Halted(_)) => std::future::pending().await,
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(partition = partition.0.partition, %error, "the log's tree cannot be written; trying again");
            }
        }
        wait = if partition.size() > before { FIRST_WAIT } else { (wait * 2).min(LONGEST_WAIT) };
        tokio::time::sleep(wait).await;
    }
}

/// Ends when the tail has to be opened again.
async fn follow_one_tail(partition: &Partition, journal: &dyn Journal) -> Result<(), ProofError> {
    let number = partition.0.partition;
    let tail = match journal.tail(number, partition.size()).await {
        Ok(tail) => tail,
        Err(error) => {
            tracing::warn!(partition = number, %error, "the log cannot be read for its tree; trying again");
            return Ok(());
        }
    };
    let mut batches = tail.ready_chunks(BATCH);
    let mut new_since = None;
    loop {
        let due = due(partition, &mut new_since);
        let timer = async {
            match due {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            batch = batches.next() => {
                let (commits, is_broken) = in_order(batch.unwrap_or_default(), partition);
                partition.append(commits).await?;
                if is_broken {
                    return Ok(());
                }
            }
            () = timer => partition.sign().await?,
            // Somebody waits for a head, so the next one may be due sooner.
            () = partition.0.wake.notified() => {}
            () = tokio::time::sleep(SILENCE) => {
                let last = journal.last_sequence(number).await;
                if last.is_ok_and(|last| last > partition.size()) {
                    tracing::warn!(partition = number, "the journal's tail has fallen silent; opening it again");
                    return Ok(());
                }
            }
        }
    }
}

/// The commits of a batch that continue the tree, and whether the tail is of no more use.
fn in_order(
    batch: Vec<Result<Stored, ledger::journal::ReadError>>,
    partition: &Partition,
) -> (Vec<Stored>, bool) {
    let number = partition.0.partition;
    let (mut commits, mut due) = (Vec::with_capacity(batch.len()), partition.size() + 1);
    // A tail without commits has ended.
    let mut is_broken = batch.is_empty();
    for stored in batch {
        match stored {
            Ok(stored) if stored.position.sequence == due => {
                due += 1;
                commits.push(stored);
            }
            Ok(stored) => {
                let found = stored.position.sequence;
                tracing::error!(partition = number, due, found, "the journal's tail is out of order");
                is_broken = true;
                break;
            }
            Err(error) => {
                tracing::warn!(partition = number, %error, "the log cannot be read for its tree; trying again");
                is_broken = true;
                break;
            }
        }
    }
    (commits, is_broken)
}

/// When the next head is to be signed, if anything is new. `new_since` remembers since when.
fn due(partition: &Partition, new_since: &mut Option<Instant>) -> Option<Instant> {
    let options = partition.0.options;
    let (size, signed, signed_at) = {
        let state = partition.0.state.borrow();
        (state.size, state.latest.head.size, state.signed_at)
    };
    if size <= signed {
        *new_since = None;
        return None;
    }
    let since = *new_since.get_or_insert_with(Instant::now);
    let wanted = partition.0.wanted.load(std::sync::atomic::Ordering::Relaxed);
    let is_due = size - signed >= options.commits || (signed < wanted && wanted <= size);
    let soonest = signed_at + options.least;
    Some(if is_due { soonest } else { soonest.max(since + options.every) })
}
