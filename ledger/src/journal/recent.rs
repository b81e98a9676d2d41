//! The commits that were stored last, kept in memory for tails that are up with the log: most are, and there are
//! several of them.
//!
//! What must stay true: what is here is in the log, at that position and with these bytes. So an embedded journal adds
//! commits only once their transaction has ended well, and lets all go when that is in doubt; one on JetStream adds what
//! a consumer has delivered.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Stored;

/// Most commits that are kept.
const MOST: usize = 4096;
/// Most bytes of commits that are kept; of a commit that is larger there is none.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// The newest commits, without a gap.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    commits: VecDeque<Stored>,
    bytes: usize,
}

impl Recent {
    /// Adds a commit that is stored. What does not follow the newest one replaces all.
    pub(super) fn add(&self, commit: Stored) {
        let mut kept = self.kept();
        let newest = kept.commits.back().map(|newest| newest.position.sequence);
        if newest.is_some_and(|newest| commit.position.sequence != newest + 1) {
            *kept = Kept::default();
        }
        kept.bytes += commit.bytes.len();
        kept.commits.push_back(commit);
        while kept.commits.len() > MOST || kept.bytes > MOST_BYTES {
            let Some(oldest) = kept.commits.pop_front() else { break };
            kept.bytes -= oldest.bytes.len();
        }
    }

    /// Lets everything go.
    pub(super) fn clear(&self) {
        *self.kept() = Kept::default();
    }

    /// Up to so many commits after a sequence; none unless the next one is among them.
    pub(super) fn after(&self, sequence: u64, most: usize) -> VecDeque<Stored> {
        let kept = self.kept();
        let oldest = kept.commits.front().map_or(u64::MAX, |oldest| oldest.position.sequence);
        let Some(skipped) = (sequence + 1).checked_sub(oldest) else { return VecDeque::new() };
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        kept.commits.iter().skip(skipped).take(most).cloned().collect()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Position;
    use crate::journal::conformance::{draft, subject};

    fn commit(sequence: u64, length: usize) -> Stored {
        let subject = subject();
        Stored {
            position: Position { partition: 0, sequence },
            bytes: vec![b' '; length].into(),
            subject: draft(&subject).subject,
        }
    }

    fn sequences(recent: &Recent, after: u64, most: usize) -> Vec<u64> {
        recent.after(after, most).iter().map(|stored| stored.position.sequence).collect()
    }

    #[test]
    fn only_what_follows_without_a_gap_is_given() {
        let recent = Recent::default();
        assert_eq!(sequences(&recent, 0, 10), [0; 0]);
        for sequence in [5, 6, 7] {
            recent.add(commit(sequence, 1));
        }
        assert_eq!(sequences(&recent, 4, 10), [5, 6, 7]);
        assert_eq!(sequences(&recent, 5, 1), [6]);
        assert_eq!(sequences(&recent, 7, 10), [0; 0]);
        assert_eq!(sequences(&recent, 3, 10), [0; 0], "4 is not here");
        recent.add(commit(9, 1));
        assert_eq!(sequences(&recent, 7, 10), [0; 0], "8 was stored elsewhere");
        assert_eq!(sequences(&recent, 8, 10), [9]);
        recent.clear();
        assert_eq!(sequences(&recent, 8, 10), [0; 0]);
    }

    #[test]
    fn memory_is_bounded() {
        let recent = Recent::default();
        for sequence in 1..=3 * MOST as u64 {
            recent.add(commit(sequence, 1));
        }
        assert_eq!(sequences(&recent, 2 * MOST as u64, usize::MAX).len(), MOST);
        assert_eq!(sequences(&recent, 2 * MOST as u64 - 1, usize::MAX).len(), 0);
        recent.add(commit(3 * MOST as u64 + 1, MOST_BYTES));
        assert_eq!(recent.kept().commits.len(), 1);
        recent.add(commit(3 * MOST as u64 + 2, MOST_BYTES + 1));
        assert_eq!(recent.kept().bytes, 0);
    }
}
