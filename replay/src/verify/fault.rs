//! What can be wrong with a log, each with one word for programs.

use std::fmt;

use ledger::ids::Position;

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where: the first commit that is concerned. None where it is about no commit, such as a view.
    pub position: Option<Position>,
    /// What is wrong.
    pub kind: FaultKind,
    /// The rest of it, for people.
    pub detail: String,
}

impl Fault {
    /// A fault at a position.
    pub(crate) fn at(position: Position, kind: FaultKind, detail: impl Into<String>) -> Self {
        Fault { position: Some(position), kind, detail: detail.into() }
    }

    /// A fault that is about no one commit.
    pub(crate) fn of_all(kind: FaultKind, detail: impl Into<String>) -> Self {
        Fault { position: None, kind, detail: detail.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some(position) => write!(f, "{position}: {}: {}", self.kind.as_str(), self.detail),
            None => write!(f, "{}: {}", self.kind.as_str(), self.detail),
        }
    }
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// A sequence is left out.
    Gap,
    /// The log ends before what is known to have been in it.
    Truncated,
    /// Another commit stands here than the one that was recorded.
    Altered,
    /// A commit is gone, and those after it have moved up.
    Removed,
    /// Commits have changed places.
    Reordered,
    /// A commit, or what caused one, is there a second time.
    Duplicated,
    /// A commit was put between two others.
    Added,
    /// Bytes that are no commit.
    Undecodable,
    /// A commit that the rules do not allow after those before it.
    Impossible,
    /// A commit under another tenant, record or partition than its own.
    Misfiled,
    /// Not what was signed; which commit it is, the evidence does not tell.
    NotAsSigned,
    /// The evidence contradicts itself, or is not by the one whose key was given.
    BadEvidence,
    /// The file that the journal is in contradicts itself, in what is no commit.
    BadFile,
    /// Debits and credits do not add up.
    Unbalanced,
    /// The views are not what the log folds to.
    ViewsDiffer,
}

impl FaultKind {
    /// The word for it, the same for ever.
    pub fn as_str(self) -> &'static str {
        match self {
            FaultKind::Gap => "gap",
            FaultKind::Truncated => "truncated",
            FaultKind::Altered => "altered",
            FaultKind::Removed => "removed",
            FaultKind::Reordered => "reordered",
            FaultKind::Duplicated => "duplicated",
            FaultKind::Added => "added",
            FaultKind::Undecodable => "undecodable",
            FaultKind::Impossible => "impossible",
            FaultKind::Misfiled => "misfiled",
            FaultKind::NotAsSigned => "not_as_signed",
            FaultKind::BadEvidence => "bad_evidence",
            FaultKind::BadFile => "bad_file",
            FaultKind::Unbalanced => "unbalanced",
            FaultKind::ViewsDiffer => "views_differ",
        }
    }
}
