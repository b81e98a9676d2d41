//! The journal's contract: an append-only log of commits, and nothing about how it is kept.
//!
//! A journal stores bytes and never looks inside them but for the commit id (through [`crate::codec`]), so what
//! an auditor hashes is what the writer sent. Every sentence of the trait's documentation has a test in
//! `conformance`, and every adapter runs all of them.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod embedded;
pub mod jetstream;
mod pages;
pub mod read_only;
mod recent;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use crate::codec;
use crate::ids::{CommitId, Position, RecordId, TenantId};
use crate::keys::KeyStore;

/// An underlying failure, for the logs; nothing decides by its text.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a commit is about: one record (an order, an offer, a quarantined webhook) of one tenant.
///
/// Its commits are totally ordered; two subjects' commits are ordered only within a partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    /// Whose.
    pub tenant: TenantId,
    /// Which.
    pub id: RecordId,
}

impl Subject {
    /// The partition that holds this subject's commits, of `partitions` in all. The same for ever.
    pub fn partition(&self, partitions: u16) -> u16 {
        // FNV-1a over the id: stable, spread, and easy to repeat in any language.
        let hash = self.id.0.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        (hash % u64::from(partitions.max(1))) as u16
    }
}

/// A commit on its way into the journal, encoded once and sent unchanged on every retry.
#[derive(Debug, Clone)]
pub struct Draft {
    /// What it is about.
    pub subject: Subject,
    /// Its id, the same on every retry.
    pub commit_id: CommitId,
    /// The encoded commit.
    pub bytes: Bytes,
}

impl Draft {
    /// Whether what the journal holds right after the expectation is this very draft, stored by an earlier try.
    fn is(&self, stored: &[u8]) -> bool {
        stored == self.bytes.as_ref() || codec::commit_id(stored).is_ok_and(|id| id == self.commit_id)
    }
}

/// A commit as it stands in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Where it stands.
    pub position: Position,
    /// What it is about.
    pub subject: Subject,
    /// Exactly the bytes that were appended.
    pub bytes: Bytes,
}

/// How an append ended when it did not end as stored.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Another commit for this subject got there first; this one was not stored. Reload, decide again, retry.
    #[error("another commit got there first, at {actual}")]
    Conflict {
        /// Where the subject's newest commit stood when the conflict was seen; sequence 0 when it had none.
        actual: Position,
    },
    /// Nobody knows whether the commit was stored. Retry with the same draft and the same expectation.
    #[error("it is unknown whether the commit was stored")]
    Unknown(#[source] BoxError),
    /// The commit was not stored, and would not be stored now.
    #[error("the journal cannot store the commit")]
    Unavailable(#[source] BoxError),
    /// The commit was not stored and never will be: larger than the journal takes.
    #[error("the commit has {size} bytes; the journal takes {limit}")]
    TooLarge {
        /// Size of the draft in bytes.
        size: usize,
        /// The journal's limit in bytes.
        limit: usize,
    },
}

/// Why the journal could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The journal cannot be reached or answered with an error. Try again later.
    #[error("the journal cannot be read")]
    Unavailable(#[source] BoxError),
    /// The journal holds something that no Daybook writes. A human has to look.
    #[error("the journal holds a message that is not Daybook's at {position}: {reason}")]
    Foreign {
        /// Where.
        position: Position,
        /// What is wrong with it.
        reason: String,
    },
}

/// Why a journal could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be reached; try again later.
    #[error("the journal cannot be reached: {0}")]
    Unavailable(#[source] BoxError),
    /// It can be reached, and must not be used: too old a server, other settings, another format. The text
    /// says what differs and what to do.
    #[error("{0}")]
    Refused(String),
}

/// A small named document that is kept beside the log and may change: how far a node has come with something, say.
///
/// Memos are no facts of orders. A journal without them is a whole ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memo {
    /// Grows with every change; what the next change has to name.
    pub revision: u64,
    /// Exactly the bytes that were put. Empty when an operator took the memo away by hand.
    pub bytes: Bytes,
}

/// The largest memo that every journal takes, in bytes.
pub const MAX_MEMO_BYTES: usize = 960 * 1024;

/// How the putting of a memo ended when it did not end as stored.
#[derive(Debug, thiserror::Error)]
pub enum PutMemoError {
    /// The memo is not at the expected revision; nothing was changed. Read it again.
    #[error("the memo is at another revision")]
    Conflict,
    /// Nobody knows whether the memo was stored. Read it again.
    #[error("it is unknown whether the memo was stored")]
    Unknown(#[source] BoxError),
    /// The memo was not stored.
    #[error("the memo cannot be stored")]
    Unavailable(#[source] BoxError),
}

impl PutMemoError {
    /// Refuses what no journal has to take, before any of them is asked.
    fn check_size(bytes: &[u8]) -> Result<(), PutMemoError> {
        match bytes.len() {
            0..=MAX_MEMO_BYTES => Ok(()),
            size => Err(PutMemoError::Unavailable(
                format!("the memo has {size} bytes; a journal takes {MAX_MEMO_BYTES}").into(),
            )),
        }
    }
}

/// Commits of one partition in order, first those stored already, then new ones as they are stored.
pub type Tail = BoxStream<'static, Result<Stored, ReadError>>;

/// An append-only log of commits.
///
/// All of a subject's commits are in one partition. In each partition, sequences are 1, 2, 3, … without a gap,
/// and a stored commit never changes, moves or disappears.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// How many partitions there are, from 1. Fixed for the life of a journal.
    fn partitions(&self) -> u16;

    /// Appends a commit if the subject's newest commit is at sequence `expected` (0: the subject has none yet).
    ///
    /// - Returns the commit's position only after it is stored as durably as the journal is configured for.
    /// - Of several appends with one expectation, exactly one is stored; the others end in `Conflict`.
    /// - Repeating an append that was stored (same draft, same expectation) returns its first position and
    ///   stores nothing, also when other commits have followed since.
    /// - Commits of different subjects never conflict.
    async fn append(&self, draft: &Draft, expected: u64) -> Result<Position, AppendError>;

    /// Stores commits of another journal, which follow one another in one partition, at the positions that they have
    /// there: how a ledger moves.
    ///
    /// - A commit is stored if the partition's newest commit is at the sequence before, and in no other place,
    ///   whatever else is under way; else it ends in `Conflict`, which names the partition's newest commit.
    /// - One that is at its position already counts as stored.
    /// - After an error, a beginning of the commits is stored, or none.
    /// - They are as durable as appends when it returns.
    ///
    /// The caller sees to it that what stands before them is what stands before them there.
    async fn restore(&self, commits: &[Stored]) -> Result<(), AppendError> {
        Err(AppendError::Unavailable(
            format!("this journal takes no copies: {} commits", commits.len()).into(),
        ))
    }

    /// Every commit of the subject in order, including each one whose append returned before this call began.
    /// Empty when there is none.
    async fn load(&self, subject: &Subject) -> Result<Vec<Stored>, ReadError>;

    /// The commit at a position, if there is one.
    async fn at(&self, position: Position) -> Result<Option<Stored>, ReadError>;

    /// The newest sequence of a partition, 0 when it is empty.
    async fn last_sequence(&self, partition: u16) -> Result<u64, ReadError>;

    /// Follows a partition from the commit after sequence `after`: each commit once, in order, without end.
    ///
    /// After an `Err` the tail ends; the reader opens a new one after the last commit it has seen.
    async fn tail(&self, partition: u16, after: u64) -> Result<Tail, ReadError>;

    /// Commits that are stored already, in order, from the one after sequence `after`: for who reads some and comes back
    /// for more, and would let a tail go each time.
    ///
    /// - At least one, if there is one; none at the end of the log.
    /// - No more than a thousand or so, or than 4 MiB or so of them, unless a single one is larger.
    async fn page(&self, partition: u16, after: u64) -> Result<Vec<Stored>, ReadError>;

    /// The memo of this name, if there is one; at least as new as any `put_memo` that returned before this call
    /// began. A name is 1 to 64 of `a-z 0-9 . -`, and neither begins nor ends with a dot.
    async fn memo(&self, name: &str) -> Result<Option<Memo>, ReadError>;

    /// Puts a memo in the place of the one at revision `expected` (0: there has never been one), and returns the
    /// new revision, which is greater.
    ///
    /// - Returns only after the memo is stored as durably as a commit is.
    /// - Of several puts with one expectation, exactly one is stored; the others end in `Conflict`.
    /// - A memo is no commit: it takes no sequence, and no tail shows it.
    /// - Memos of up to [`MAX_MEMO_BYTES`] bytes are taken; a larger one is `Unavailable`.
    async fn put_memo(&self, name: &str, expected: u64, bytes: Bytes) -> Result<u64, PutMemoError>;

    /// The names of all memos that there are, in no order.
    async fn memo_names(&self) -> Result<Vec<String>, ReadError> {
        Err(ReadError::Unavailable("this journal cannot list its memos".into()))
    }

    /// Where the keys of the personal data in this journal are kept: beside the log, never in it.
    fn keys(&self) -> Arc<dyn KeyStore>;

    /// Facts about the journal for people: what it is, where, and how durable.
    async fn describe(&self) -> Result<Description, ReadError>;
}

/// What `daybook doctor` shows of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// `embedded` or `jetstream`.
    pub kind: &'static str,
    /// File path or server address, without credentials.
    pub location: String,
    /// Further facts, as label and value, in the order to show them.
    pub facts: Vec<(String, String)>,
    /// What an operator should change, in words; empty when all is well.
    pub warnings: Vec<String>,
    /// Bytes on disk, where the journal can tell.
    pub bytes_on_disk: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::RecordId;

    #[test]
    fn a_subject_stays_in_its_partition_for_ever() {
        // Pinned: a change here would look for an order's history in the wrong place.
        let id: RecordId = "bd6fdb1c-5e78-55f9-aee6-ed210905f6db".parse().unwrap();
        let subject = Subject { tenant: "demo".parse().unwrap(), id };
        assert_eq!([1, 2, 3, 16, 1000].map(|partitions| subject.partition(partitions)), [0, 1, 1, 1, 673]);
    }
}
