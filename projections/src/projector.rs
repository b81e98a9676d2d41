//! The projector: follows the journal and keeps the views up with it.

use std::sync::Arc;
use std::time::Duration;

use ledger::commit::Recorded;
use ledger::ids::{Position, RecordId};
use ledger::journal::Journal;
use tokio::sync::{broadcast, watch};

use crate::store::{StoreError, Views};

/// What can be chosen about a projector.
#[derive(Debug, Clone)]
pub struct ProjectorOptions {
    /// Most commits that are made visible together.
    pub batch: usize,
    /// How often the journal's end is compared with the views.
    pub watchdog: Duration,
    /// The first wait before a failed tail is opened again; doubled each time.
    pub first_wait: Duration,
    /// The longest such wait.
    pub longest_wait: Duration,
    /// How many commits a receiver of changes may fall behind.
    pub changes_kept: usize,
}

impl Default for ProjectorOptions {
    fn default() -> Self {
        ProjectorOptions {
            batch: 1000,
            watchdog: Duration::from_secs(2),
            first_wait: Duration::from_millis(100),
            longest_wait: Duration::from_secs(5),
            changes_kept: 4096,
        }
    }
}

/// Why a projector refused to start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log is not the one that the views were folded from, or a part of it is gone. The text says what to do.
    #[error("{0}")]
    LogWentBackwards(String),
    /// The journal cannot be read now.
    #[error("the journal cannot be read")]
    Journal(#[from] ledger::journal::ReadError),
    /// The view store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operating system has no thread left.
    #[error("the projector's thread cannot be started")]
    Thread(#[source] std::io::Error),
}

/// What a projector, or a partition of it, is at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It is behind the end of the log that it found when it started, or when its tail last fell silent.
    CatchingUp,
    /// It follows the log as it grows.
    Live,
    /// It met something that it cannot read or apply, and stands in front of it. A person has to look.
    Halted {
        /// What it stands in front of.
        position: Position,
        /// What is wrong with it.
        reason: String,
    },
}

/// How far a projector, or a partition of it, has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectorStatus {
    /// What it is at.
    pub state: State,
    /// Commits in the views.
    pub applied: u64,
    /// Commits known to be in the log.
    pub last: u64,
    /// Commits known to be in the log and not yet in the views.
    pub lag: u64,
}

/// A running projector. Cheap to clone; it runs until `shutdown`, or until the last clone is gone.
#[derive(Clone)]
pub struct Projector {}

impl Projector {
    /// Checks the log against the views' checkpoint, then follows it from there until shut down.
    pub async fn start(
        _journal: Arc<dyn Journal>,
        _views: Views,
        _options: ProjectorOptions,
    ) -> Result<Projector, StartError> {
        unimplemented!()
    }

    /// All partitions together: the worst state, the sums of the numbers.
    pub fn status(&self) -> ProjectorStatus {
        unimplemented!()
    }

    /// Each partition by itself.
    pub fn partitions(&self) -> Vec<ProjectorStatus> {
        unimplemented!()
    }

    /// The sequence applied per partition, as it grows. What it says is visible in the views.
    pub fn applied(&self) -> watch::Receiver<Vec<u64>> {
        unimplemented!()
    }

    /// Waits until the commit at this position is visible in the views.
    pub async fn reached(&self, _position: Position) {
        unimplemented!()
    }

    /// Commits as they become visible in the views. A receiver that falls behind is told so (`Lagged`) and reads
    /// what it missed from the journal.
    pub fn changes(&self) -> broadcast::Receiver<Arc<Recorded>> {
        unimplemented!()
    }

    /// A waiter for the record's next change. Get it first, then read the view, then wait: no change between
    /// the reading and the waiting is missed.
    pub fn watch(&self, _record: RecordId) -> Waiter {
        unimplemented!()
    }

    /// Finishes the batch at hand, makes it durable, and stops.
    pub async fn shutdown(&self) -> Result<(), StoreError> {
        unimplemented!()
    }
}

/// Waits for one record.
pub struct Waiter {}

impl Waiter {
    /// Returns when the record has changed in the views since this waiter was made or last returned.
    pub async fn changed(&mut self) {
        unimplemented!()
    }
}
