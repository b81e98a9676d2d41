//! What a reader of the feed has missed, read from the journal: the partitions side by side, merged into one order.
//!
//! The commits of a partition, and so those of an order, come as they stand in the log. Between partitions the commit
//! that was decided first goes first, so that one history is always told in one order; nothing may depend on it, since
//! clocks differ, and what is live comes as it arrives. What waits here is bounded, however many partitions there are.
//! While a page is handed out the journal already reads the next one, and keeps it for whoever asks first.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use ledger::codec::{self, Sealed};
use ledger::commit::Recorded;
use ledger::ids::{Position, TenantId};
use ledger::journal::Stored;
use tokio::time::{Duration, Instant};

use super::End;
use super::cursor::Cursor;
use crate::app::App;

/// What a feed reads of the journal at a time: so many of its tenant's commits, or bytes of them, or for so long. The
/// partitions share the first two.
const READ_COMMITS: usize = 1000;
const READ_BYTES: usize = 4 * 1024 * 1024;
const READ_TIME: Duration = Duration::from_secs(1);
/// However many partitions share.
const LEAST_COMMITS: usize = 50;
/// A journal that brings nothing for so long although there is more has failed.
const JOURNAL_PATIENCE: Duration = Duration::from_secs(10);

/// A commit that was missed.
pub(super) enum Missed {
    /// As it stands in the log of one partition, whose order is all that there is.
    Stored(Stored),
    /// With its personal data still sealed: when it was decided has to be known.
    Decoded(Box<Recorded>, Option<Sealed>),
}

impl Missed {
    /// Where it stands.
    pub(super) fn position(&self) -> Position {
        match self {
            Missed::Stored(stored) => stored.position,
            Missed::Decoded(recorded, _) => recorded.position,
        }
    }

    /// Reads it, if that was not done yet.
    pub(super) fn decode(self) -> Result<(Recorded, Option<Sealed>), End> {
        match self {
            Missed::Stored(Stored { position, bytes, .. }) => {
                let (commit, sealed) = codec::decode_sealed(&bytes).map_err(|error| End::failed(&error))?;
                Ok((Recorded { position, commit }, sealed))
            }
            Missed::Decoded(recorded, sealed) => Ok((*recorded, sealed)),
        }
    }
}

/// What one tenant has missed.
pub(super) struct Backlog(Vec<Part>);

/// What was missed in one partition.
struct Part {
    partition: u16,
    /// Everything up to here has been read from the journal,
    read: u64,
    /// and this is how far it has to be read.
    upto: u64,
    /// The next one.
    next: Option<Missed>,
    /// Those behind it.
    waiting: VecDeque<Stored>,
}

impl Backlog {
    /// From the cursor up to what `applied` says of each partition.
    pub(super) fn new(cursor: &Cursor, applied: &[u64]) -> Self {
        let part = |position: Position| {
            let Position { partition, sequence: read } = position;
            let upto = applied.get(usize::from(partition)).copied().unwrap_or(0);
            Part { partition, read, upto, next: None, waiting: VecDeque::new() }
        };
        Backlog(cursor.positions().map(part).collect())
    }

    /// Whether everything has been read and taken.
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|part| part.next.is_none() && !part.lacks())
    }

    /// The next commits, so many or fewer. None when the journal has to be read on first, or nothing is left.
    pub(super) fn take_group(&mut self, most: usize) -> Result<Option<Vec<Missed>>, End> {
        let mut group = Vec::new();
        while group.len() < most
            && let Some(missed) = self.take()?
        {
            group.push(missed);
        }
        Ok((!group.is_empty()).then_some(group))
    }

    /// The next commit. None when the journal has to be read on first, or nothing is left.
    fn take(&mut self) -> Result<Option<Missed>, End> {
        let is_alone = self.0.len() == 1;
        // What is not read yet could have been decided before everything that waits.
        if self.0.iter().any(Part::lacks) {
            return Ok(None);
        }
        let first = self.0.iter_mut().filter(|part| part.next.is_some()).min_by_key(|part| part.decided_at());
        first.map_or(Ok(None), |part| part.take(is_alone))
    }

    /// Everything up to here has been taken, or is not the tenant's.
    pub(super) fn passed(&self, cursor: &mut Cursor) {
        for part in &self.0 {
            let next = part.next.as_ref().map(|next| next.position().sequence);
            let sequence = next.map_or(part.read, |next| next - 1);
            cursor.pass(Position { partition: part.partition, sequence });
        }
    }

    /// Reads each partition on of which nothing waits.
    pub(super) async fn read_on(&mut self, app: &Arc<App>, tenant: &TenantId) -> Result<(), End> {
        let share = self.0.len().max(1);
        let reads = self.0.iter_mut().filter(|part| part.lacks());
        futures::future::try_join_all(reads.map(|part| part.read_on(app, tenant, share))).await?;
        Ok(())
    }
}

impl Part {
    /// Whether there is more in the journal, and nothing of it here.
    fn lacks(&self) -> bool {
        self.next.is_none() && self.read < self.upto
    }

    fn decided_at(&self) -> Option<(Timestamp, u16)> {
        match self.next.as_ref()? {
            Missed::Stored(_) => None,
            Missed::Decoded(recorded, _) => Some((recorded.commit.decided_at, self.partition)),
        }
    }

    fn take(&mut self, is_alone: bool) -> Result<Option<Missed>, End> {
        let taken = self.next.take();
        self.bring_up_next(is_alone)?;
        Ok(taken)
    }

    /// Decodes what has to be put in order with other partitions. Else it may not have to be decoded at all.
    fn bring_up_next(&mut self, is_alone: bool) -> Result<(), End> {
        let Some(stored) = self.waiting.pop_front() else { return Ok(()) };
        let mut next = Missed::Stored(stored);
        if !is_alone {
            let (recorded, sealed) = next.decode()?;
            next = Missed::Decoded(Box::new(recorded), sealed);
        }
        self.next = Some(next);
        Ok(())
    }

    async fn read_on(&mut self, app: &Arc<App>, tenant: &TenantId, share: usize) -> Result<(), End> {
        let (commits, most) = ((READ_COMMITS / share).max(LEAST_COMMITS), READ_BYTES / share);
        let (journal, started) = (app.ledger.journal(), Instant::now());
        let mut bytes = 0;
        while self.read < self.upto
            && self.waiting.len() < commits
            && bytes < most
            && started.elapsed() < READ_TIME
        {
            // Pages are read in turns, and a turn never waits for a reader.
            let turn = app.catch_ups.acquire().await.map_err(|error| End::failed(&error))?;
            let page = tokio::time::timeout(JOURNAL_PATIENCE, journal.page(self.partition, self.read)).await;
            drop(turn);
            let page = page.map_err(|_elapsed| End::Failed("the journal has fallen silent".to_owned()))?;
            let page = page.map_err(|error| End::failed(&error))?;
            if page.is_empty() {
                return Err(End::Failed(format!("the journal ends at {} of {}", self.read, self.upto)));
            }
            // What comes behind, a reader gets when it is applied.
            for stored in page.into_iter().take_while(|stored| stored.position.sequence <= self.upto) {
                self.read = stored.position.sequence;
                if stored.subject.tenant == *tenant {
                    bytes += stored.bytes.len();
                    self.waiting.push_back(stored);
                }
            }
        }
        if self.upto - self.read >= READ_COMMITS as u64 {
            tokio::spawn(read_ahead(Arc::clone(app), self.partition, self.read));
        }
        self.bring_up_next(share == 1)
    }
}

/// Has the journal read the page after a sequence, which it keeps for a while. When every turn is taken there is enough
/// under way without it.
async fn read_ahead(app: Arc<App>, partition: u16, after: u64) {
    let Ok(_turn) = app.catch_ups.try_acquire() else { return };
    let page = tokio::time::timeout(JOURNAL_PATIENCE, app.ledger.journal().page(partition, after)).await;
    if let Ok(Err(error)) = page {
        tracing::debug!(partition, after, %error, "a page could not be read ahead; its reader will try again");
    }
}
