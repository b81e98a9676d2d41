//! What a rebuild beside the live views is at.

use jiff::Timestamp;

use crate::progress::Progress;
use crate::store::{Digest, Goal, SwapWhen};

/// What a rebuild is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RebuildState {
    /// There has been none since this process began.
    Idle,
    /// It folds the log, and is behind the live views.
    Folding,
    /// It stands still until it is told to go on.
    Paused,
    /// It has caught up, and is held against the live views.
    Comparing,
    /// It has been compared, keeps up with the log, and becomes live when it is told to.
    Waiting,
    /// The same rules gave other rows. It keeps up with the log; a person has to look, and to swap or to cancel.
    Alarm,
    /// It is live.
    Done,
    /// It was given up when somebody said so.
    Canceled,
    /// It cannot go on. What was live before still is.
    Failed,
}

impl RebuildState {
    /// Its name for programs.
    pub fn name(self) -> &'static str {
        match self {
            RebuildState::Idle => "idle",
            RebuildState::Folding => "folding",
            RebuildState::Paused => "paused",
            RebuildState::Comparing => "comparing",
            RebuildState::Waiting => "waiting",
            RebuildState::Alarm => "alarm",
            RebuildState::Done => "done",
            RebuildState::Canceled => "canceled",
            RebuildState::Failed => "failed",
        }
    }

    /// Whether a rebuild is under way, even if it waits for a person.
    pub fn is_running(self) -> bool {
        match self {
            RebuildState::Folding
            | RebuildState::Paused
            | RebuildState::Comparing
            | RebuildState::Waiting
            | RebuildState::Alarm => true,
            RebuildState::Idle | RebuildState::Done | RebuildState::Canceled | RebuildState::Failed => false,
        }
    }
}

/// What is to become live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RebuildKind {
    /// A new generation, folded from the start of the log.
    Rebuild,
    /// The generation that was live before, brought up to date.
    Rollback,
}

impl RebuildKind {
    /// Its name for programs.
    pub fn name(self) -> &'static str {
        match self {
            RebuildKind::Rebuild => "rebuild",
            RebuildKind::Rollback => "rollback",
        }
    }
}

/// A rebuild, or the last one that there was in this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RebuildStatus {
    /// What it is at.
    pub state: RebuildState,
    /// What is to become live.
    pub kind: RebuildKind,
    /// Whether it waits for a person between the comparison and the swap.
    pub is_manual: bool,
    /// The generation that is folded.
    pub generation: Option<u64>,
    /// Commits that were in it when this process took it up: more than none when an earlier one had begun it.
    pub resumed_at: u64,
    /// Commits in it, of those in the live views.
    pub progress: Progress,
    /// The two digests when they were last compared.
    pub compared: Option<Comparison>,
    /// Why it failed or raised an alarm, or what it is held up by.
    pub reason: Option<String>,
    /// When it was begun, or taken up by this process.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// Two generations at the same place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// Per partition, the sequence of the last commit in both.
    pub checkpoint: Vec<u64>,
    /// Of the generation that is folded.
    pub digest: Digest,
    /// Of the generation that was live.
    pub live_digest: Digest,
    /// Whether the same version of the views has folded both, so that they must not differ.
    pub is_same_version: bool,
}

impl Comparison {
    /// Whether both hold the same rows.
    pub fn is_same(&self) -> bool {
        self.digest == self.live_digest
    }
}

impl RebuildStatus {
    pub(super) fn idle() -> Self {
        RebuildStatus {
            state: RebuildState::Idle,
            kind: RebuildKind::Rebuild,
            is_manual: false,
            generation: None,
            resumed_at: 0,
            progress: Progress::at(0, 0, std::time::Duration::ZERO),
            compared: None,
            reason: None,
            started_at: None,
            ended_at: None,
        }
    }
}

impl From<Goal> for RebuildKind {
    fn from(goal: Goal) -> Self {
        match goal {
            Goal::Rebuild => RebuildKind::Rebuild,
            Goal::Rollback => RebuildKind::Rollback,
        }
    }
}

impl SwapWhen {
    pub(super) fn is_manual(self) -> bool {
        match self {
            SwapWhen::CaughtUp => false,
            SwapWhen::Asked => true,
        }
    }
}
