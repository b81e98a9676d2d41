//! The commits of all partitions as one sequence: by the time they were decided, then by partition.
//!
//! What must stay true: the same stretch of the same log always gives the same sequence, and each partition's commits
//! stay in their order, also where a clock went back between them.

use std::collections::VecDeque;

use jiff::Timestamp;
use ledger::codec;
use ledger::journal::{Journal, ReadError, Stored};

use crate::scan::Scan;

/// Most commits of a chunk.
const CHUNK: usize = 1000;
/// A chunk ends with the commit that reaches so many bytes.
const CHUNK_BYTES: usize = 1024 * 1024;

/// A stretch of every partition that is being read.
pub(super) struct Merge<'a> {
    heads: Vec<Head<'a>>,
}

struct Head<'a> {
    scan: Scan<'a>,
    read: VecDeque<Stored>,
    /// When the next commit was decided; none at the end.
    next_at: Option<Timestamp>,
}

impl<'a> Merge<'a> {
    /// The commits after the sequences `after`, up to and including `upto`, both by partition.
    pub(super) async fn new(
        journal: &'a dyn Journal,
        after: &[u64],
        upto: &[u64],
    ) -> Result<Self, ReadError> {
        let mut heads = Vec::new();
        for (partition, (&after, &upto)) in (0..).zip(after.iter().zip(upto)) {
            let scan = Scan::new(journal, partition, after, upto);
            let mut head = Head { scan, read: VecDeque::new(), next_at: None };
            head.look().await?;
            heads.push(head);
        }
        Ok(Merge { heads })
    }

    /// The next commits; none at the end.
    pub(super) async fn next(&mut self) -> Result<Vec<Stored>, ReadError> {
        let (mut chunk, mut bytes) = (Vec::new(), 0);
        while chunk.len() < CHUNK && bytes < CHUNK_BYTES {
            // Of equal ones the first is taken, which is that of the lower partition.
            let earliest = self.heads.iter_mut().filter(|head| head.next_at.is_some());
            let Some(head) = earliest.min_by_key(|head| head.next_at) else { break };
            if let Some(stored) = head.read.pop_front() {
                bytes += stored.bytes.len();
                chunk.push(stored);
            }
            head.look().await?;
        }
        Ok(chunk)
    }
}

impl Head<'_> {
    async fn look(&mut self) -> Result<(), ReadError> {
        if self.read.is_empty() {
            self.read = self.scan.next().await?.into();
        }
        let decided_at = |stored: &Stored| match codec::decode(&stored.bytes) {
            Ok(commit) => Ok(commit.decided_at),
            Err(error) => Err(ReadError::Foreign { position: stored.position, reason: error.to_string() }),
        };
        self.next_at = self.read.front().map(decided_at).transpose()?;
        Ok(())
    }
}
