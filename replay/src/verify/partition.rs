//! One partition against what is known of it: numbering, form, and the leaves and roots that were kept.
//!
//! A commit that is not the one expected is compared with its neighbours, so that a removed commit is not taken for
//! hundreds of altered ones. That needs to look ahead: what was fed last is judged when more has come, or the end.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::ops::Range;

use bytes::Bytes;
use ledger::codec::{self, Sealed};
use ledger::commit::Recorded;
use ledger::ids::Position;
use ledger::journal::Stored;

use super::evidence::{Evidence, KeptLeaves};
use super::fault::{Fault, FaultKind};
use super::source::Found;
use crate::audit::{Frontier, leaf_hash};

/// How far a commit may have been moved, and how many may be gone or added at one place, for that to be recognized.
pub(super) const NEAR: u64 = 64;

/// What the examination of a commit brings to light.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) faults: Vec<Fault>,
    /// Commits that may be folded, in order.
    pub(super) commits: Vec<Readable>,
}

/// A commit, what is sealed of it, and its stored bytes.
pub(super) type Readable = (Recorded, Option<Sealed>, Bytes);

/// The state of one partition's examination.
pub(super) struct PartitionCheck {
    partition: u16,
    partitions: u16,
    evidence: Evidence,
    /// Fed and not yet judged.
    ahead: VecDeque<Found>,
    has_ended: bool,
    /// The sequence that is due.
    next: u64,
    /// Sequences from `next` on that stood before their turn.
    early: BTreeSet<u64>,
    gaps: Vec<Range<u64>>,
    /// What has to be added to a sequence to get the one that the commit was recorded under.
    shift: i128,
    /// Recorded sequences whose commits stand further on.
    displaced: BTreeSet<u64>,
    /// Recorded sequences whose commits stood before their place.
    advanced: BTreeSet<u64>,
    /// Added commits that are already accounted for.
    explained: u64,
    /// None when the roots of the log cannot be those that were signed any more, for a reason that is known.
    frontier: Option<Frontier>,
    heads_checked: u64,
    /// Size of the largest tree whose root was found as signed.
    as_signed: u64,
    /// Commits found as they were recorded.
    as_kept: u64,
}

/// What a partition was found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionSummary {
    /// Which.
    pub partition: u16,
    /// Sequence of its last commit; 0 when it is empty.
    pub last_sequence: u64,
    /// Root over all of its commits; none when a fault is in the way.
    pub root: Option<crate::audit::Hash>,
    /// Signed tree heads whose root the commits were found to have.
    pub heads_as_signed: u64,
    /// The largest of these trees: up to here the log is what was signed.
    pub signed_up_to: u64,
    /// Commits that were compared with the kept tree and are those that it was made of.
    pub commits_as_kept: u64,
}

impl PartitionCheck {
    pub(super) fn new(partition: u16, partitions: u16, evidence: Evidence) -> Self {
        PartitionCheck {
            partition,
            partitions,
            evidence,
            ahead: VecDeque::new(),
            has_ended: false,
            next: 1,
            early: BTreeSet::new(),
            gaps: Vec::new(),
            shift: 0,
            displaced: BTreeSet::new(),
            advanced: BTreeSet::new(),
            explained: 0,
            frontier: Some(Frontier::default()),
            heads_checked: 0,
            as_signed: 0,
            as_kept: 0,
        }
    }

    pub(super) fn feed(&mut self, found: impl IntoIterator<Item = Found>) {
        self.ahead.extend(found);
    }

    /// Nothing more comes.
    pub(super) fn end(&mut self) {
        self.has_ended = true;
    }

    /// Whether everything up to and including a sequence is judged, as far as there is anything.
    pub(super) fn is_done(&self, upto: Option<u64>) -> bool {
        let is_reached = upto.is_some_and(|upto| self.next > upto);
        is_reached || (self.has_ended && self.ahead.is_empty())
    }

    /// Judges what can be judged, up to and including a sequence.
    pub(super) fn judge(&mut self, upto: Option<u64>, findings: &mut Findings) -> io::Result<()> {
        while !self.is_done(upto) && (self.has_ended || self.ahead.len() as u64 > NEAR) {
            let Some(found) = self.ahead.pop_front() else { break };
            self.judge_one(found, findings)?;
        }
        Ok(())
    }

    /// The end: what should be there and is not.
    pub(super) fn finish(&mut self, findings: &mut Findings) -> PartitionSummary {
        let last = self.next - 1;
        let recorded = i128::from(last) + self.shift;
        if let Some((size, by)) = self.evidence.largest()
            && i128::from(size) > recorded
        {
            let end = u64::try_from(recorded).unwrap_or(0);
            let detail = format!("the log ends at {}, and {by} shows {size} commits", self.at(last));
            findings.faults.push(Fault::at(self.at(end + 1), FaultKind::Truncated, detail));
        }
        PartitionSummary {
            partition: self.partition,
            last_sequence: last,
            root: self.frontier.as_ref().map(Frontier::root),
            heads_as_signed: self.heads_checked,
            signed_up_to: self.as_signed,
            commits_as_kept: self.as_kept,
        }
    }

    fn at(&self, sequence: u64) -> Position {
        Position { partition: self.partition, sequence }
    }

    fn judge_one(&mut self, found: Found, findings: &mut Findings) -> io::Result<()> {
        if self.explained > 0 {
            self.explained -= 1;
            self.next += 1;
            return Ok(());
        }
        let Some(sequence) = self.number(&found, findings)? else { return Ok(()) };
        match found {
            Found::Broken { kind, reason, .. } => {
                self.frontier = None;
                findings.faults.push(Fault::at(self.at(sequence), kind, reason));
            }
            Found::Commit(stored) => {
                let stored = Stored { position: self.at(sequence), ..stored };
                let unreadable = self.read(&stored);
                let other = self.compare(&stored, findings)?;
                match (unreadable, other) {
                    (Ok((recorded, sealed)), None) => findings.commits.push((recorded, sealed, stored.bytes)),
                    // A commit that was moved is a commit; one that was changed is not worth folding.
                    (Ok((recorded, sealed)), Some(fault)) => {
                        let is_genuine = matches!(fault.kind, FaultKind::Removed | FaultKind::Reordered);
                        findings.faults.push(fault);
                        if is_genuine {
                            findings.commits.push((recorded, sealed, stored.bytes));
                        }
                    }
                    (Err(fault), None) => findings.faults.push(fault),
                    (Err(unreadable), Some(fault)) => {
                        let detail = format!("{}; {}", fault.detail, unreadable.detail);
                        findings.faults.push(Fault { detail, ..fault });
                    }
                }
            }
        }
        Ok(())
    }

    /// The sequence that stands for what was found; none when there is nothing to it but that it should not be here.
    fn number(&mut self, found: &Found, findings: &mut Findings) -> io::Result<Option<u64>> {
        let (filed, due) = (sequence_of(found), self.next);
        if filed == due {
            self.advance();
            return Ok(Some(due));
        }
        self.frontier = None;
        let comes_later = self.ahead.iter().take(NEAR as usize).any(|later| sequence_of(later) == due);
        let goes_on = self.ahead.front().is_some_and(|next| sequence_of(next) == due.saturating_add(1));
        if self.is_kept_as(found, due)? || (goes_on && !comes_later) {
            let detail = format!("it says that it is {}", self.at(filed));
            findings.faults.push(Fault::at(self.at(due), FaultKind::Altered, detail));
            self.advance();
            return Ok(Some(due));
        }
        if filed < due {
            let was_skipped = self.gaps.iter().any(|gap| gap.contains(&filed));
            let (kind, detail) = match was_skipped {
                true => (FaultKind::Reordered, format!("it stands after {}", self.at(due - 1))),
                false => (FaultKind::Duplicated, format!("it stands after {} once more", self.at(due - 1))),
            };
            findings.faults.push(Fault::at(self.at(filed), kind, detail));
            return Ok(None);
        }
        if comes_later {
            let is_known = self.early.first().is_some();
            if !is_known {
                let detail = format!("{} stands in its place", self.at(filed));
                findings.faults.push(Fault::at(self.at(due), FaultKind::Reordered, detail));
            }
            if !self.early.insert(filed) {
                let detail = "it stands here once more";
                findings.faults.push(Fault::at(self.at(filed), FaultKind::Duplicated, detail));
                return Ok(None);
            }
            return Ok(Some(filed));
        }
        let count = filed - due;
        let detail = match count {
            1 => format!("it is missing; {} comes next", self.at(filed)),
            _ => format!("{count} commits are missing; {} comes next", self.at(filed)),
        };
        findings.faults.push(Fault::at(self.at(due), FaultKind::Gap, detail));
        self.gaps.push(due..filed);
        self.next = filed;
        self.advance();
        Ok(Some(filed))
    }

    /// Whether what was found is the commit that was recorded as the one that is due.
    fn is_kept_as(&self, found: &Found, due: u64) -> io::Result<bool> {
        let recorded = self.recorded(due);
        match self.evidence.kept.as_deref().filter(|kept| (1..=kept.size()).contains(&recorded)) {
            Some(kept) => is_found_as(kept, found, recorded),
            None => Ok(false),
        }
    }

    /// The sequence that the commit was recorded under; 0 for none.
    fn recorded(&self, sequence: u64) -> u64 {
        u64::try_from(i128::from(sequence) + self.shift).unwrap_or(0)
    }

    fn advance(&mut self) {
        self.next = self.next.saturating_add(1);
        while self.early.remove(&self.next) {
            self.next = self.next.saturating_add(1);
        }
    }

    /// The commit, if it is one, and filed where it belongs.
    fn read(&self, stored: &Stored) -> Result<(Recorded, Option<Sealed>), Fault> {
        let Stored { position, subject, bytes } = stored;
        let fault = |kind, detail: String| Err(Fault::at(*position, kind, detail));
        let (commit, sealed) = match codec::decode_sealed(bytes) {
            Ok(decoded) => decoded,
            Err(error) => return fault(FaultKind::Undecodable, error.to_string()),
        };
        if commit.subject() != *subject {
            let own = commit.subject();
            let detail = format!(
                "it is filed under {}.{}, and says that it is about {}.{}",
                subject.tenant, subject.id, own.tenant, own.id
            );
            return fault(FaultKind::Misfiled, detail);
        }
        let home = subject.partition(self.partitions);
        if home != self.partition {
            return fault(FaultKind::Misfiled, format!("its record belongs to partition {home}"));
        }
        Ok((Recorded { position: *position, commit }, sealed))
    }

    /// What the evidence says against a commit.
    fn compare(&mut self, stored: &Stored, findings: &mut Findings) -> io::Result<Option<Fault>> {
        let sequence = stored.position.sequence;
        let recorded = self.recorded(sequence);
        let kept = self.evidence.kept.as_deref().filter(|kept| (1..=kept.size()).contains(&recorded));
        if let Some(kept) = kept {
            if !is_recorded_as(kept, stored, recorded)? {
                self.frontier = None;
                return self.explain(stored, recorded).map(Some);
            }
            self.as_kept += 1;
        }
        if let Some(frontier) = &mut self.frontier {
            frontier.push(leaf_hash(stored.position, &stored.subject, &stored.bytes));
            if let Some(fault) = self.compare_heads() {
                findings.faults.push(fault);
                self.frontier = None;
            }
        }
        Ok(None)
    }

    /// The roots that were signed over as many commits as there are now.
    fn compare_heads(&mut self) -> Option<Fault> {
        let frontier = self.frontier.as_ref()?;
        let size = frontier.size();
        let head = self.evidence.head_of(size)?;
        if head.root == frontier.root() {
            self.heads_checked += 1;
            self.as_signed = size;
            return None;
        }
        let first = self.as_signed.max(self.as_kept) + 1;
        let detail = match first == size {
            true => format!("it is not the commit that was signed in {}", head.origin),
            false => format!(
                "among the commits from here to {} one or more are not those that were signed in {}",
                self.at(size),
                head.origin
            ),
        };
        Some(Fault::at(self.at(first), FaultKind::NotAsSigned, detail))
    }

    /// What became of the commit that was recorded here, and where the one that stands here comes from.
    fn explain(&mut self, stored: &Stored, recorded: u64) -> io::Result<Fault> {
        let kept = match self.evidence.kept.as_deref() {
            Some(kept) => kept,
            None => return Ok(Fault::at(stored.position, FaultKind::Altered, "")),
        };
        let fault =
            |sequence, kind, detail| Fault::at(Position { sequence, ..stored.position }, kind, detail);
        let mut home = None;
        for distance in 1..=NEAR {
            for candidate in [recorded.checked_add(distance), recorded.checked_sub(distance)] {
                let Some(candidate) = candidate.filter(|at| (1..=kept.size()).contains(at)) else { continue };
                if home.is_none() && is_recorded_as(kept, stored, candidate)? {
                    home = Some(candidate);
                }
            }
        }
        let mut stands_at = None;
        for (later, distance) in self.ahead.iter().zip(1..=NEAR) {
            if stands_at.is_none() && is_found_as(kept, later, recorded)? {
                stands_at = Some(distance);
            }
        }
        match (home, stands_at) {
            (Some(home), _) if self.displaced.remove(&home) => {
                if stands_at.is_some() {
                    self.displaced.insert(recorded);
                }
                let detail = format!("it was recorded as {}", self.at(home));
                Ok(fault(recorded, FaultKind::Reordered, detail))
            }
            (Some(home), _)
                if home > recorded && (stands_at.is_some() || self.advanced.contains(&recorded)) =>
            {
                if stands_at.is_some() {
                    self.displaced.insert(recorded);
                }
                self.advanced.insert(home);
                let detail = format!("the commit that was recorded as {} stands in its place", self.at(home));
                Ok(fault(recorded, FaultKind::Reordered, detail))
            }
            (Some(home), None) if home > recorded => {
                self.shift += i128::from(home - recorded);
                self.as_kept += 1;
                let detail = match home - recorded {
                    1 => "it is gone, and those after it have moved up".to_owned(),
                    count => format!("{count} commits are gone, and those after them have moved up"),
                };
                Ok(fault(recorded, FaultKind::Removed, detail))
            }
            (Some(home), _) => {
                if let Some(distance) = stands_at.filter(|_| self.is_insertion(kept, stands_at, recorded)) {
                    self.make_room(distance);
                }
                let detail = format!("it is a copy of {}", self.at(home));
                Ok(fault(stored.position.sequence, FaultKind::Duplicated, detail))
            }
            (None, Some(distance)) if self.is_insertion(kept, stands_at, recorded) => {
                self.make_room(distance);
                let detail = match distance {
                    1 => "it was put between two that were recorded one after the other".to_owned(),
                    _ => format!("{distance} were put between two that were recorded one after the other"),
                };
                Ok(fault(stored.position.sequence, FaultKind::Added, detail))
            }
            (None, stands_at) => {
                if stands_at.is_some() {
                    self.displaced.insert(recorded);
                }
                Ok(fault(recorded, FaultKind::Altered, "it is not the commit that was recorded".to_owned()))
            }
        }
    }

    /// Whether what was recorded here only stands further on because something was put before it.
    fn is_insertion(&self, kept: &dyn KeptLeaves, stands_at: Option<u64>, recorded: u64) -> bool {
        let Some(after) = stands_at.and_then(|distance| self.ahead.get(usize::try_from(distance).ok()?))
        else {
            return stands_at.is_some();
        };
        recorded == kept.size() || is_found_as(kept, after, recorded + 1).unwrap_or(false)
    }

    fn make_room(&mut self, count: u64) {
        self.shift -= i128::from(count);
        self.explained = count - 1;
    }
}

fn sequence_of(found: &Found) -> u64 {
    match found {
        Found::Commit(stored) => stored.position.sequence,
        Found::Broken { position, .. } => position.sequence,
    }
}

/// Whether a commit is the one that was recorded under a sequence.
fn is_recorded_as(kept: &dyn KeptLeaves, stored: &Stored, sequence: u64) -> io::Result<bool> {
    let position = Position { sequence, ..stored.position };
    Ok(kept.leaf(sequence - 1)? == leaf_hash(position, &stored.subject, &stored.bytes))
}

fn is_found_as(kept: &dyn KeptLeaves, found: &Found, sequence: u64) -> io::Result<bool> {
    match found {
        Found::Commit(stored) => is_recorded_as(kept, stored, sequence),
        Found::Broken { .. } => Ok(false),
    }
}
