//! Folding a whole log anew.

use std::path::Path;
use std::time::Duration;

use ledger::ids::Position;
use ledger::journal::{Journal, ReadError};

use crate::store::{Digest, StoreError, StoreOptions, ViewsDigest};

/// How far a rebuild has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Commits folded.
    pub applied: u64,
    /// Commits to fold in all.
    pub last: u64,
    /// Commits a second, on average so far.
    pub rate_per_s: u64,
    /// Time left at that rate, once there is one.
    pub eta: Option<Duration>,
}

/// What a rebuild did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RebuildReport {
    /// The generation that is live now.
    pub generation: u64,
    /// Digest of its rows.
    pub digest: Digest,
    /// Digest of the generation that was live before; none when there was none, or when it was folded up to
    /// another place in the log or by another version, so that the two cannot be compared.
    pub previous_digest: Option<Digest>,
    /// Commits folded.
    pub commits: u64,
}

/// Why a rebuild did not happen. What was live before still is.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The journal cannot be read.
    #[error("the journal cannot be read")]
    Journal(#[from] ReadError),
    /// The log holds something that cannot be.
    #[error("the log cannot be folded at {position}: {reason}")]
    Unreadable {
        /// Where.
        position: Position,
        /// What is wrong.
        reason: String,
    },
    /// The view store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Folds the whole log into a new generation of the store at `path` and makes it live.
///
/// Offline: the store must not be open elsewhere. The generation that was live before is kept, older ones are not.
pub async fn rebuild(
    _journal: &dyn Journal,
    _path: &Path,
    _options: StoreOptions,
    _progress: impl FnMut(Progress),
) -> Result<RebuildReport, RebuildError> {
    unimplemented!()
}

/// The digest of views folded afresh from the log, up to a sequence per partition, or to its present end.
pub async fn fresh_digest(
    _journal: &dyn Journal,
    _upto: Option<&[u64]>,
) -> Result<ViewsDigest, RebuildError> {
    unimplemented!()
}
