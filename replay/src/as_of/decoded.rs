//! One tenant's commits of a partition, decoded on other threads than the one that folds them.
//!
//! What must stay true: every commit of the partition once, in order, or the reason why not in its place.

use std::thread::available_parallelism;

use futures::{Stream, StreamExt};
use ledger::codec::{self, DecodeError};
use ledger::commit::Recorded;
use ledger::execute::LoadError;
use ledger::ids::{Position, TenantId};
use ledger::journal::{ReadError, Stored, Tail};

/// Most commits that are decoded together.
const CHUNK: usize = 512;

/// What comes next in a partition.
pub(super) struct Chunk {
    /// How many commits were read, of all tenants.
    pub(super) read: u64,
    /// Those of the tenant.
    pub(super) commits: Vec<Recorded>,
    /// Why nothing follows them, if so.
    pub(super) failed: Option<LoadError>,
}

/// The commits of a tail that was opened at the start of its partition, up to sequence `end`.
pub(super) fn decoded(
    tail: Tail,
    partition: u16,
    end: u64,
    tenant: &TenantId,
) -> impl Stream<Item = Chunk> + Unpin {
    let tenant = tenant.clone();
    let mut due = 1;
    let chunks = tail.take(usize::try_from(end).unwrap_or(usize::MAX)).ready_chunks(CHUNK);
    let decoding = chunks.map(move |stored| {
        let first = Position { partition, sequence: due };
        due += stored.len() as u64;
        let tenant = tenant.clone();
        let decoding = tokio::task::spawn_blocking(move || decode(stored, first, &tenant));
        async move {
            decoding.await.unwrap_or_else(|error| {
                let reason = format!("decoding panicked in the chunk that begins here: {error}");
                failed(LoadError::Corrupt { position: first, reason })
            })
        }
    });
    // One chunk for each core, so that none waits for the one that is folded.
    Box::pin(decoding.buffered(available_parallelism().map_or(1, usize::from)))
}

fn decode(stored: Vec<Result<Stored, ReadError>>, first: Position, tenant: &TenantId) -> Chunk {
    let mut chunk = Chunk { read: 0, commits: Vec::with_capacity(stored.len()), failed: None };
    for (sequence, stored) in (first.sequence..).zip(stored) {
        match decode_one(stored, Position { sequence, ..first }, tenant) {
            Ok(recorded) => chunk.commits.extend(recorded),
            Err(error) => {
                chunk.failed = Some(error);
                break;
            }
        }
        chunk.read += 1;
    }
    chunk
}

/// None for another tenant's commit, which is not read any further.
fn decode_one(
    stored: Result<Stored, ReadError>,
    due: Position,
    tenant: &TenantId,
) -> Result<Option<Recorded>, LoadError> {
    let Stored { position, subject, bytes } = stored?;
    if position.sequence != due.sequence {
        return Err(LoadError::Corrupt {
            position: due,
            reason: format!("the log goes on with {position} instead"),
        });
    }
    if subject.tenant != *tenant {
        return Ok(None);
    }
    let commit =
        codec::decode(&bytes).map_err(|DecodeError(reason)| LoadError::Corrupt { position, reason })?;
    Ok(Some(Recorded { position, commit }))
}

fn failed(error: LoadError) -> Chunk {
    Chunk { read: 0, commits: Vec::new(), failed: Some(error) }
}

#[cfg(test)]
mod tests {
    use super::super::tests::canceled_order;
    use super::*;

    /// The sequences of a tenant's commits in a tail, how many were read, and what went wrong where.
    async fn read(log: Vec<Stored>, tenant: &TenantId) -> (Vec<u64>, u64, Option<String>) {
        let end = log.last().expect("a commit").position.sequence;
        let tail: Tail = Box::pin(futures::stream::iter(log.into_iter().map(Ok)));
        let mut chunks = decoded(tail, 0, end, tenant);
        let (mut sequences, mut all) = (Vec::new(), 0);
        while let Some(Chunk { read, commits, failed }) = chunks.next().await {
            sequences.extend(commits.iter().map(|recorded| recorded.position.sequence));
            all += read;
            if let Some(failed) = failed {
                return (sequences, all, Some(failed.to_string()));
            }
        }
        (sequences, all, None)
    }

    #[tokio::test]
    async fn commits_come_in_order_up_to_the_first_that_cannot_be_read() {
        let directory = tempfile::tempdir().unwrap();
        let (ledger, tenant, _) = canceled_order(directory.path()).await;
        let mut tail = ledger.journal().tail(0, 0).await.unwrap();
        let stored = tail.next().await.unwrap().unwrap();
        let last = 3 * CHUNK as u64 + 5;
        let at = |sequence| Position { partition: 0, sequence };
        let log: Vec<Stored> =
            (1..=last).map(|sequence| Stored { position: at(sequence), ..stored.clone() }).collect();
        assert_eq!(read(log.clone(), &tenant).await, ((1..=last).collect(), last, None));

        let bad = 2 * CHUNK + 7;
        let mut unreadable = log.clone();
        unreadable[bad].bytes = "{".into();
        let (sequences, all, failed) = read(unreadable.clone(), &tenant).await;
        assert_eq!((sequences, all), ((1..=bad as u64).collect(), bad as u64));
        assert!(failed.unwrap().contains(&at(bad as u64 + 1).to_string()));

        // What cannot be read of another tenant is none of this one's business.
        unreadable[bad].subject.tenant = "other".parse().unwrap();
        let (sequences, all, failed) = read(unreadable, &tenant).await;
        assert_eq!((sequences.len() as u64, all, failed), (last - 1, last, None));

        let mut with_gap = log;
        with_gap.remove(bad);
        let (sequences, _, failed) = read(with_gap, &tenant).await;
        assert_eq!(sequences.len(), bad);
        assert!(failed.unwrap().contains(&format!("goes on with {} instead", at(bad as u64 + 2))));
    }
}
