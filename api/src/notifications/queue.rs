//! What is still to be delivered to one tenant, and when. Pure: the clock and the dice are arguments.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use ledger::ids::{Position, RecordId};

use super::message::NotificationId;

/// When so many messages are pending, the log is not read on.
pub(super) const MAX_PENDING: usize = 1000;
/// As many of those that were given up last are listed, and never more than so many entries in all.
pub(super) const MAX_GIVEN_UP: usize = 1000;
const MAX_ENTRIES: usize = MAX_PENDING + MAX_GIVEN_UP;
/// How long after the status change a message is tried.
pub(super) const PATIENCE: SignedDuration = SignedDuration::from_hours(72);
/// The wait after the first failure, doubled with each one, and the longest.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// The wait when it is not the receiver who failed.
const POSTPONED: SignedDuration = SignedDuration::from_secs(5);

/// A message that is pending, or was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which.
    pub id: NotificationId,
    /// When the order's status changed.
    pub changed_at: Timestamp,
    /// Failed attempts so far.
    pub attempts: u32,
    /// The next attempt; not before the order's messages before this one are done with.
    pub next_at: Timestamp,
    /// The last attempt.
    pub last_at: Option<Timestamp>,
    /// Why it failed: short, printable ASCII.
    pub last_error: Option<String>,
}

/// One tenant's messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Queue {
    /// By partition: every status change up to here is delivered, pending or given up.
    read: Vec<u64>,
    pending: BTreeMap<Position, Entry>,
    given_up: VecDeque<Entry>,
    in_flight: BTreeSet<Position>,
}

impl Queue {
    /// As it was left.
    pub(super) fn new(
        read: Vec<u64>,
        pending: impl IntoIterator<Item = Entry>,
        given_up: impl IntoIterator<Item = Entry>,
    ) -> Self {
        Queue {
            read,
            pending: pending.into_iter().map(|entry| (entry.id.position, entry)).collect(),
            given_up: given_up.into_iter().collect(),
            in_flight: BTreeSet::new(),
        }
    }

    /// How far the log was read, by partition.
    pub(super) fn read(&self) -> &[u64] {
        &self.read
    }

    /// What is to be delivered, in the order of the log; what is under way included.
    pub(super) fn pending(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.pending.values()
    }

    /// What was given up, oldest first.
    pub(super) fn given_up(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.given_up.iter()
    }

    /// Whether more of the log may be read.
    pub(super) fn has_room(&self) -> bool {
        self.pending.len() < MAX_PENDING
    }

    /// The log was read up to here.
    pub(super) fn pass(&mut self, position: Position) {
        if let Some(read) = self.read.get_mut(usize::from(position.partition)) {
            *read = position.sequence.max(*read);
        }
    }

    /// A status change that was read from the log; `pass` it as well.
    pub(super) fn add(&mut self, id: NotificationId, changed_at: Timestamp, now: Timestamp) {
        let entry = Entry { id, changed_at, attempts: 0, next_at: now, last_at: None, last_error: None };
        self.pending.insert(id.position, entry);
    }

    /// The message to send now, if any; it is under way then, until one of the functions below says how it ended.
    pub(super) fn take(&mut self, now: Timestamp) -> Option<NotificationId> {
        let next = self.next().filter(|entry| entry.next_at <= now)?.id;
        self.in_flight.insert(next.position);
        Some(next)
    }

    /// When there will be something to send, if nothing else happens.
    pub(super) fn next_at(&self) -> Option<Timestamp> {
        Some(self.next()?.next_at)
    }

    /// Of each order the first message may be sent, unless it is under way; the one that has waited longest goes first.
    fn next(&self) -> Option<&Entry> {
        let mut orders: HashSet<RecordId> = HashSet::new();
        self.pending
            .values()
            .filter(|entry| orders.insert(entry.id.order))
            .filter(|entry| !self.in_flight.contains(&entry.id.position))
            .min_by_key(|entry| (entry.next_at, entry.id.position))
    }

    /// The receiver has it.
    pub(super) fn delivered(&mut self, position: Position) {
        self.in_flight.remove(&position);
        self.pending.remove(&position);
    }

    /// Something else than the receiver failed: no attempt was made.
    pub(super) fn postpone(&mut self, position: Position, now: Timestamp) {
        self.in_flight.remove(&position);
        if let Some(entry) = self.pending.get_mut(&position) {
            entry.next_at = now.saturating_add(POSTPONED).unwrap_or(now);
        }
    }

    /// The receiver did not take it. Returned when it is given up with that.
    pub(super) fn failed(
        &mut self,
        position: Position,
        error: String,
        now: Timestamp,
        dice: &mut fastrand::Rng,
    ) -> Option<Entry> {
        self.in_flight.remove(&position);
        let entry = self.pending.get_mut(&position)?;
        entry.attempts = entry.attempts.saturating_add(1);
        entry.last_at = Some(now);
        entry.last_error = Some(error);
        let end = entry.changed_at.saturating_add(PATIENCE).unwrap_or(Timestamp::MAX);
        if now < end {
            let wait =
                SignedDuration::try_from(wait_after(entry.attempts, dice)).unwrap_or(SignedDuration::MAX);
            // The last attempt is made when the time is up, not up to an hour before.
            entry.next_at = now.saturating_add(wait).unwrap_or(end).min(end);
            return None;
        }
        let entry = self.pending.remove(&position)?;
        self.given_up.push_back(entry.clone());
        while self.given_up.len() > MAX_GIVEN_UP
            || (self.given_up.len() + self.pending.len() > MAX_ENTRIES && !self.given_up.is_empty())
        {
            self.given_up.pop_front();
        }
        Some(entry)
    }

    /// Tries a message once more that was given up. False when it is not listed as such.
    pub(super) fn retry(&mut self, position: Position, now: Timestamp) -> bool {
        let found = self.given_up.iter().position(|entry| entry.id.position == position);
        let Some(mut entry) = found.and_then(|index| self.given_up.remove(index)) else { return false };
        entry.next_at = now;
        self.pending.insert(position, entry);
        true
    }
}

/// From half of the wait that is due to all of it, so that receivers who come back are not hit all at once.
fn wait_after(failures: u32, dice: &mut fastrand::Rng) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let due = doubled.min(LONGEST_WAIT).as_millis() as u64;
    Duration::from_millis(dice.u64(due / 2..=due))
}

#[cfg(test)]
mod tests;
