//! Reading a stretch of a partition, from one sequence to another, in chunks of bounded size.
//!
//! What must stay true: every commit once, in order; a connection that is lost is no reason to begin again.

use std::time::Duration;

use futures::StreamExt;
use ledger::journal::{Journal, ReadError, Stored, Tail};

/// Most commits of a chunk.
const CHUNK: usize = 1000;
/// A chunk ends with the commit that reaches so many bytes: a commit may have a megabyte.
const CHUNK_BYTES: usize = 1024 * 1024;
/// A tail that brings nothing for so long although there is more has failed.
const LONGEST_SILENCE: Duration = Duration::from_secs(30);
/// Failures in a row, without a commit between them, after which the journal counts as away.
const TRIES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// A stretch of a partition that is being read.
pub(crate) struct Scan<'a> {
    journal: &'a dyn Journal,
    partition: u16,
    reached: u64,
    upto: u64,
    tail: Option<Tail>,
}

impl<'a> Scan<'a> {
    /// The commits after sequence `after`, up to and including `upto`, which the journal has already.
    pub(crate) fn new(journal: &'a dyn Journal, partition: u16, after: u64, upto: u64) -> Self {
        Scan { journal, partition, reached: after, upto, tail: None }
    }

    /// The next commits; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Vec<Stored>, ReadError> {
        let (mut chunk, mut bytes, mut failures) = (Vec::new(), 0, 0);
        while self.reached < self.upto && chunk.len() < CHUNK && bytes < CHUNK_BYTES {
            match self.next_one().await {
                Ok(stored) => {
                    self.reached = stored.position.sequence;
                    bytes += stored.bytes.len();
                    chunk.push(stored);
                    failures = 0;
                }
                Err(error @ ReadError::Unavailable(_)) => {
                    self.tail = None;
                    failures += 1;
                    if failures == TRIES {
                        return Err(error);
                    }
                    tokio::time::sleep(FIRST_PAUSE * 2_u32.pow(failures - 1)).await;
                }
                Err(error @ ReadError::Foreign { .. }) => return Err(error),
            }
        }
        Ok(chunk)
    }

    async fn next_one(&mut self) -> Result<Stored, ReadError> {
        let tail = match &mut self.tail {
            Some(tail) => tail,
            None => self.tail.insert(self.journal.tail(self.partition, self.reached).await?),
        };
        match tokio::time::timeout(LONGEST_SILENCE, tail.next()).await {
            Ok(Some(stored)) => stored,
            Ok(None) => Err(ReadError::Unavailable("the journal's tail ended".into())),
            Err(_elapsed) => Err(ReadError::Unavailable("the journal's tail has fallen silent".into())),
        }
    }
}

/// The newest sequence of each partition.
pub(crate) async fn ends(journal: &dyn Journal) -> Result<Vec<u64>, ReadError> {
    let mut ends = Vec::new();
    for partition in 0..journal.partitions() {
        ends.push(journal.last_sequence(partition).await?);
    }
    Ok(ends)
}

/// Reads every partition up to there, one after the other.
pub(crate) async fn read_all(
    journal: &dyn Journal,
    upto: &[u64],
    mut each: impl FnMut(&[Stored]),
) -> Result<(), ReadError> {
    for (partition, &upto) in (0..).zip(upto) {
        let mut scan = Scan::new(journal, partition, 0, upto);
        loop {
            let chunk = scan.next().await?;
            if chunk.is_empty() {
                break;
            }
            each(&chunk);
        }
    }
    Ok(())
}
