//! The commits of the records that this node wrote or read last, so that what soon happens to a record again is
//! decided without asking the journal for it: a webhook mostly comes shortly after its checkout.
//!
//! What must stay true: what is kept of a record is the beginning of its commits, as the journal has stored them.
//! Other nodes may have stored more since. So what is found here is true, and what is not found proves nothing:
//! an append that expects what is kept to be all ends in a conflict where it is not, and whatever ends without an
//! append has to be decided on the journal's own word.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::ids::Position;
use crate::journal::{Draft, Stored, Subject};

/// Most bytes that are kept of all records together.
const MOST_BYTES: usize = 32 * 1024 * 1024;
/// Most bytes that are kept of one record; a longer one is left to the journal.
const MOST_BYTES_OF_ONE: usize = 64 * 1024;
/// What a commit, and a record, takes besides the commit's bytes; about.
const OVERHEAD: usize = 192;

/// Commits by their record, and the records in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<Kept>);

/// A commit as the journal holds it, and where.
pub(super) type Written = (Position, Bytes);

#[derive(Debug, Default)]
struct Kept {
    records: HashMap<Subject, Beginning>,
    order: VecDeque<Subject>,
    bytes: usize,
}

/// The first commits of a record, oldest first; none where they are too many to keep, or out of date.
#[derive(Debug, Default)]
struct Beginning {
    commits: Vec<Written>,
    bytes: usize,
}

impl Recent {
    /// The first commits of a record, if they are kept; maybe not all that there are by now.
    pub(super) fn of(&self, subject: &Subject) -> Option<Vec<Written>> {
        let kept = self.kept();
        let beginning = kept.records.get(subject)?;
        (!beginning.commits.is_empty()).then(|| beginning.commits.clone())
    }

    /// Keeps what the journal gave as all commits of a record.
    pub(super) fn loaded(&self, subject: &Subject, commits: &[Stored]) {
        let mut kept = self.kept();
        let known = kept.records.get(subject).map_or(0, |beginning| beginning.commits.len());
        // Else more was stored since the journal was asked.
        if commits.len() > known {
            // A copy, because the bytes may be a piece of all that a connection has read at once.
            let written = |stored: &Stored| (stored.position, Bytes::copy_from_slice(&stored.bytes));
            kept.put(subject, Beginning::of(commits.iter().map(written)));
        }
    }

    /// Keeps a commit that was stored after the record's commit at sequence `expected` (0: as its first one).
    pub(super) fn stored(&self, draft: &Draft, expected: u64, position: Position) {
        let mut kept = self.kept();
        let mut commits = match kept.records.get_mut(&draft.subject) {
            None if expected == 0 => Vec::new(),
            Some(Beginning { commits, .. })
                if commits.last().is_some_and(|(newest, _)| newest.sequence == expected) =>
            {
                std::mem::take(commits)
            }
            // There would be a gap before it, or it is here already.
            None | Some(_) => return,
        };
        commits.push((position, draft.bytes.clone()));
        kept.put(&draft.subject, Beginning::of(commits));
    }

    /// Lets go of a record that has a commit at `position` which is not kept: what is kept is out of date, and to
    /// decide on it would be work for nothing.
    pub(super) fn heard_of(&self, subject: &Subject, position: Position) {
        let mut kept = self.kept();
        let newest = kept.records.get(subject).and_then(|beginning| beginning.commits.last());
        if newest.is_some_and(|(newest, _)| newest.sequence < position.sequence) {
            kept.put(subject, Beginning::default());
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Beginning {
    fn of(commits: impl IntoIterator<Item = Written>) -> Self {
        let commits: Vec<Written> = commits.into_iter().collect();
        let bytes: usize = commits.iter().map(|(_, bytes)| bytes.len() + OVERHEAD).sum();
        if bytes > MOST_BYTES_OF_ONE {
            return Beginning::default();
        }
        Beginning { commits, bytes }
    }
}

impl Kept {
    fn put(&mut self, subject: &Subject, beginning: Beginning) {
        self.bytes += beginning.bytes + OVERHEAD;
        match self.records.insert(subject.clone(), beginning) {
            Some(before) => self.bytes -= before.bytes + OVERHEAD,
            None => self.order.push_back(subject.clone()),
        }
        while self.bytes > MOST_BYTES
            && let Some(oldest) = self.order.pop_front()
        {
            let oldest = self.records.remove(&oldest).unwrap_or_default();
            self.bytes -= oldest.bytes + OVERHEAD;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::conformance::{draft, subject};

    fn at(sequence: u64) -> Position {
        Position { partition: 0, sequence }
    }

    fn long(subject: &Subject, length: usize) -> Draft {
        Draft { bytes: vec![b' '; length].into(), ..draft(subject) }
    }

    fn sequences(recent: &Recent, subject: &Subject) -> Option<Vec<u64>> {
        Some(recent.of(subject)?.iter().map(|(position, _)| position.sequence).collect())
    }

    #[test]
    fn what_is_kept_begins_with_the_first_commit_and_has_no_gap() {
        let (recent, subject) = (Recent::default(), subject());
        recent.stored(&draft(&subject), 3, at(4));
        assert_eq!(sequences(&recent, &subject), None, "3 is not here");
        recent.stored(&draft(&subject), 0, at(3));
        recent.stored(&draft(&subject), 4, at(9));
        assert_eq!(sequences(&recent, &subject), Some(vec![3]), "4 is not here");
        recent.stored(&draft(&subject), 3, at(4));
        recent.stored(&draft(&subject), 3, at(4));
        recent.stored(&draft(&subject), 0, at(3));
        assert_eq!(sequences(&recent, &subject), Some(vec![3, 4]));
    }

    #[test]
    fn what_the_journal_gives_is_kept_unless_more_is_known() {
        let (recent, subject) = (Recent::default(), subject());
        let all = [3, 4, 9].map(|sequence| Stored {
            position: at(sequence),
            subject: subject.clone(),
            bytes: "{}".into(),
        });
        recent.loaded(&subject, &all[..2]);
        recent.stored(&draft(&subject), 4, at(9));
        recent.loaded(&subject, &all[..2]);
        assert_eq!(sequences(&recent, &subject), Some(vec![3, 4, 9]));
        recent.loaded(&subject, &[]);
        assert_eq!(sequences(&recent, &subject), Some(vec![3, 4, 9]));
        recent.heard_of(&subject, at(9));
        assert_eq!(sequences(&recent, &subject), Some(vec![3, 4, 9]));
        recent.heard_of(&subject, at(12));
        assert_eq!(sequences(&recent, &subject), None, "12 was stored elsewhere");
        recent.stored(&draft(&subject), 12, at(13));
        assert_eq!(sequences(&recent, &subject), None);
        recent.loaded(&subject, &all);
        assert_eq!(sequences(&recent, &subject), Some(vec![3, 4, 9]));
    }

    #[test]
    fn memory_is_bounded() {
        let recent = Recent::default();
        let subjects: Vec<Subject> = (0..2 * MOST_BYTES / 8192).map(|_| subject()).collect();
        for subject in &subjects {
            recent.stored(&long(subject, 8192), 0, at(1));
        }
        let bytes = |kept: &Kept| kept.records.values().map(|one| one.bytes + OVERHEAD).sum::<usize>();
        {
            let kept = recent.kept();
            assert_eq!((kept.bytes, kept.order.len()), (bytes(&kept), kept.records.len()));
            assert!(kept.bytes <= MOST_BYTES && kept.bytes > MOST_BYTES / 2, "{}", kept.bytes);
        }
        assert_eq!(recent.of(&subjects[0]), None);
        let newest = &subjects[subjects.len() - 1];
        assert_eq!(sequences(&recent, newest), Some(vec![1]));
        recent.stored(&long(newest, MOST_BYTES_OF_ONE), 1, at(2));
        assert_eq!(sequences(&recent, newest), None, "it has grown too long");
        recent.stored(&draft(newest), 0, at(1));
        recent.stored(&draft(newest), 2, at(3));
        assert_eq!(sequences(&recent, newest), None);
        let kept = recent.kept();
        assert_eq!(kept.bytes, bytes(&kept));
    }
}
