//! Where a log came from whose positions changed when it was copied: the end of the old log, by which an auditor who has
//! one of its signed tree heads connects it with the new one.

use ledger::journal::{Journal, ReadError};
use serde::{Deserialize, Serialize};

use super::{CopyError, moved};

/// The memo in which it stands.
pub const PREDECESSORS: &str = "predecessors";

/// A log that went on in this journal, under other positions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Predecessor {
    /// The journal that it was in, without credentials.
    pub journal: String,
    /// When it moved, as RFC 3339.
    pub at: String,
    /// The newest sequence of each of its partitions.
    pub ends: Vec<u64>,
    /// The Merkle root of each of its partitions up to there, in base64.
    pub merkle_roots: Vec<String>,
    /// The signed tree head over exactly that of each partition, where the copy found one.
    pub checkpoints: Vec<Option<String>>,
    /// The newest sequence of each partition here when it moved.
    pub copied_to: Vec<u64>,
    /// The Merkle root of each partition here up to there, in base64.
    pub copied_merkle_roots: Vec<String>,
}

/// The logs that went on in this journal, oldest first.
pub async fn predecessors(journal: &dyn Journal) -> Result<Vec<Predecessor>, ReadError> {
    let memo = journal.memo(PREDECESSORS).await?.filter(|memo| !memo.bytes.is_empty());
    let read =
        |bytes: &[u8]| serde_json::from_slice(bytes).map_err(|error| ReadError::Unavailable(error.into()));
    Ok(memo.map(|memo| read(&memo.bytes)).transpose()?.unwrap_or_default())
}

/// Notes in the target where its log came from: the source, and what the source came from.
pub async fn note_predecessor(
    source: &dyn Journal,
    target: &dyn Journal,
    predecessor: Predecessor,
) -> Result<(), CopyError> {
    let mut all = predecessors(source).await.map_err(CopyError::Source)?;
    all.push(predecessor);
    let text = serde_json::to_vec(&all).expect("texts and numbers are always JSON");
    moved::put(target, PREDECESSORS, text.into(), "the note of where the log came from", CopyError::Target)
        .await
}
