//! Reads that see the caller's own writes.

use ledger::execute::{Ledger, LoadError};
use ledger::ids::{Position, RecordId, TenantId};
use ledger::offer::Offer;

use crate::store::{StoreError, Views};
use crate::views::{HistoryEntry, OrderView};

/// Why a read failed. Nothing is known about the order, not even whether there is one.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The view store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The order had to be folded from the journal, and could not be.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// The read side: views where they are fresh enough, the journal where they are not. Cheap to clone.
#[derive(Clone)]
pub struct Reader {}

impl Reader {
    /// A reader of these views, over the same journal that they are folded from.
    pub fn new(_ledger: Ledger, _views: Views) -> Self {
        unimplemented!()
    }

    /// The views behind it, for reads that may be a moment old: lists, totals, quarantine.
    pub fn views(&self) -> &Views {
        unimplemented!()
    }

    /// Remembers that this node's caller was told of a commit: reads of the record show it from now on.
    pub fn note_accepted(&self, _record: RecordId, _position: Position) {
        unimplemented!()
    }

    /// An order, at least as new as `at_least` and as what this node accepted itself.
    pub async fn order(
        &self,
        _tenant: &TenantId,
        _id: RecordId,
        _at_least: Option<Position>,
    ) -> Result<Option<OrderView>, ReadError> {
        unimplemented!()
    }

    /// An order's commits, oldest first, at least up to `at_least` and to what this node accepted itself.
    pub async fn history(
        &self,
        _tenant: &TenantId,
        _id: RecordId,
        _at_least: Option<Position>,
    ) -> Result<Vec<HistoryEntry>, ReadError> {
        unimplemented!()
    }

    /// An offer, at least as new as what this node accepted itself.
    pub async fn offer(
        &self,
        _tenant: &TenantId,
        _identifier: &str,
    ) -> Result<Option<(Offer, Position)>, ReadError> {
        unimplemented!()
    }
}
