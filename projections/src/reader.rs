//! Reads that see the caller's own writes.
//!
//! Views are a moment behind the log, and each node's by another moment. What must stay true: an order whose commit
//! was acknowledged is found by any node, and a caller who was told of a position sees what it says. Where a view
//! is not there yet, the order is folded from the journal, by the same rules.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ledger::commit::Changes;
use ledger::execute::{Aggregate, History, Ledger, LoadError};
use ledger::ids::{Position, RecordId, TenantId};
use ledger::offer::Offer;
use ledger::order::Order;

use crate::store::{Stamp, StoreError, Views};
use crate::views::{HistoryEntry, ListFilter, OrderView, Page, StatusView, history, order};

/// Why a read failed. Nothing is known about the order, not even whether there is one.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The view store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The record had to be folded from the journal, and could not be.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// The read side: views where they are fresh enough, the journal where they are not. Cheap to clone.
#[derive(Clone)]
pub struct Reader {
    ledger: Ledger,
    views: Views,
    accepted: Arc<Mutex<Accepted>>,
    room: usize,
}

/// What this node has acknowledged and its views do not show yet.
#[derive(Default)]
struct Accepted {
    newest: HashMap<RecordId, Position>,
    /// The same, about in the order of the log.
    queue: VecDeque<(RecordId, Position)>,
    /// By partition: until the views are this far, any record may have a commit that they lack.
    behind: HashMap<u16, u64>,
}

/// Commits that are remembered one by one. When the views fall further behind than that, or stand still, every record
/// may have a commit that they lack.
const ROOM: usize = 100_000;

impl Reader {
    /// A reader of these views, over the same journal that they are folded from.
    pub fn new(ledger: Ledger, views: Views) -> Self {
        Reader { ledger, views, accepted: Arc::default(), room: ROOM }
    }

    /// The views behind it, for reads that may be a moment old: lists, totals, quarantine.
    pub fn views(&self) -> &Views {
        &self.views
    }

    /// Remembers how far the log reached when this node started. An earlier process may have acknowledged any of it,
    /// so until the views are that far, every record is folded from the journal.
    pub fn note_log_end(&self, end: Position) {
        let mut accepted = self.accepted();
        let behind = accepted.behind.entry(end.partition).or_default();
        *behind = end.sequence.max(*behind);
    }

    /// Remembers that somebody was told of this commit: reads of the record show it from now on.
    ///
    /// Takes room only until the views show it too; and no more than there is, should they never come that far.
    pub fn note_accepted(&self, record: RecordId, position: Position) {
        let mut accepted = self.accepted();
        let newest = accepted.newest.entry(record).or_insert(position);
        newest.sequence = newest.sequence.max(position.sequence);
        accepted.queue.push_back((record, position));
        while let Some(&(record, position)) = accepted.queue.front() {
            if !self.is_projected(position) {
                if accepted.queue.len() <= self.room {
                    break;
                }
                let behind = accepted.behind.entry(position.partition).or_default();
                *behind = position.sequence.max(*behind);
            }
            accepted.queue.pop_front();
            if accepted.newest.get(&record).is_some_and(|newest| newest.sequence <= position.sequence) {
                accepted.newest.remove(&record);
            }
        }
    }

    /// An order, at least as new as `at_least` (the position of one of its commits) and as what this node
    /// accepted itself.
    pub async fn order(
        &self,
        tenant: &TenantId,
        id: RecordId,
        at_least: Option<Position>,
    ) -> Result<Option<OrderView>, ReadError> {
        if self.is_fresh(id, at_least)
            && let Some(view) = self.views.order(tenant, id)?
        {
            return self.open(view).await.map(Some);
        }
        // In a box, like whatever is seldom done: every read would have room for it, and copies its room around.
        match Box::pin(self.fold_order(tenant, id)).await? {
            (Some(view), _) => self.open(view).await.map(Some),
            (None, _) => Ok(None),
        }
    }

    /// Where an order stands, just as fresh; with a stamp, if the views know it already.
    pub async fn status(
        &self,
        tenant: &TenantId,
        id: RecordId,
        at_least: Option<Position>,
    ) -> Result<Option<(StatusView, Option<Stamp>)>, ReadError> {
        if self.is_fresh(id, at_least)
            && let Some((view, stamp)) = self.views.status(tenant, id)?
        {
            return Ok(Some((view, Some(stamp))));
        }
        let (view, _) = Box::pin(self.fold_order(tenant, id)).await?;
        Ok(view.map(|view| (StatusView::from(&view), None)))
    }

    /// Whether [`Reader::status`] would say again what it said with this stamp.
    pub fn is_unchanged(&self, id: RecordId, at_least: Option<Position>, stamp: &Stamp) -> bool {
        // In this order: the views that are fresh enough are the ones that the stamp is held against.
        self.is_fresh(id, at_least) && self.views.is_unchanged(stamp)
    }

    /// Puts the personal data of a view back into its order, as far as there is a key to it.
    pub async fn open(&self, mut view: OrderView) -> Result<OrderView, ReadError> {
        for sealed in std::mem::take(&mut view.sealed) {
            let key = self.ledger.keyring().find(sealed.key).await.map_err(LoadError::from)?;
            let Some(key) = key.key() else { continue };
            sealed
                .open(&key, &view.tenant, view.id, &mut view.order)
                .map_err(|error| LoadError::Corrupt { position: view.first, reason: error.to_string() })?;
        }
        Ok(view)
    }

    /// A tenant's orders as the views list them, with their personal data; see [`Views::list`].
    pub async fn list(
        &self,
        tenant: &TenantId,
        filter: &ListFilter,
        cursor: Option<Position>,
        limit: usize,
    ) -> Result<Page, ReadError> {
        let Page { orders, next } = self.views.list(tenant, filter, cursor, limit)?;
        let mut opened = Vec::with_capacity(orders.len());
        for view in orders {
            opened.push(self.open(view).await?);
        }
        Ok(Page { orders: opened, next })
    }

    /// An order's commits, oldest first, as far as `order` would show it; empty when there is no such order.
    pub async fn history(
        &self,
        tenant: &TenantId,
        id: RecordId,
        at_least: Option<Position>,
    ) -> Result<Vec<HistoryEntry>, ReadError> {
        if self.is_fresh(id, at_least) {
            let entries = self.views.history(tenant, id)?;
            if !entries.is_empty() {
                return Ok(entries);
            }
        }
        let (_, entries) = Box::pin(self.fold_order(tenant, id)).await?;
        Ok(entries)
    }

    /// An offer and the commit that registered it last, at least as new as what this node accepted itself.
    pub async fn offer(
        &self,
        tenant: &TenantId,
        identifier: &str,
    ) -> Result<Option<(Offer, Position)>, ReadError> {
        let id = Offer::record_id(tenant, identifier);
        if self.is_fresh(id, None)
            && let Some(offer) = self.views.offer(tenant, identifier)?
        {
            return Ok(Some(offer));
        }
        let History { commits, state } = self.ledger.history::<Offer>(tenant, id).await?;
        Ok(state.zip(commits.last().map(|newest| newest.position)))
    }

    async fn fold_order(
        &self,
        tenant: &TenantId,
        id: RecordId,
    ) -> Result<(Option<OrderView>, Vec<HistoryEntry>), ReadError> {
        let mut view = None;
        let mut entries = Vec::new();
        for recorded in &self.ledger.history::<Order>(tenant, id).await?.commits {
            let corrupt = |reason: String| LoadError::Corrupt { position: recorded.position, reason };
            let after = order::apply(view, recorded).map_err(|error| corrupt(error.to_string()))?;
            let events = order_events(&recorded.commit.changes);
            entries.push(history::entry(recorded, events, &after.order));
            view = Some(after);
        }
        Ok((view, entries))
    }

    /// Whether the views show all of the record that this read has to.
    fn is_fresh(&self, record: RecordId, at_least: Option<Position>) -> bool {
        let accepted = self.accepted();
        let newest = accepted.newest.get(&record).copied();
        let behind = accepted.behind.iter().map(|(&partition, &sequence)| Position { partition, sequence });
        let mut wanted = newest.into_iter().chain(at_least).chain(behind);
        wanted.all(|position| self.is_projected(position))
    }

    fn is_projected(&self, position: Position) -> bool {
        self.views.checkpoint(position.partition) >= position.sequence
    }

    #[cfg(test)]
    pub(crate) fn with_room(self, room: usize) -> Self {
        Reader { room, ..self }
    }

    #[cfg(test)]
    pub(crate) fn remembered(&self) -> usize {
        let accepted = self.accepted();
        assert!(accepted.newest.len() <= accepted.queue.len());
        accepted.queue.len()
    }

    fn accepted(&self) -> MutexGuard<'_, Accepted> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn order_events(changes: &Changes) -> &[ledger::order::Event] {
    Order::from_changes(changes).unwrap_or_default()
}
