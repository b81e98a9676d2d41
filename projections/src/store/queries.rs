//! Reads.

use jiff::Timestamp;
use ledger::ids::{Position, RecordId, TenantId};
use ledger::money::Currency;
use ledger::offer::Offer;
use ledger::quarantine::MatchKey;

use super::{StoreError, ViewsDigest};
use crate::views::{HistoryEntry, IdempotencyEntry, ListFilter, OrderView, Page, QuarantineView, Totals};

/// The views as they are projected so far. Cheap to clone; reads are synchronous and wait for nobody.
///
/// What belongs to one tenant does not exist for another.
#[derive(Clone)]
pub struct Views {}

impl Views {
    /// An order.
    pub fn order(&self, _tenant: &TenantId, _id: RecordId) -> Result<Option<OrderView>, StoreError> {
        unimplemented!()
    }

    /// An order's commits, oldest first; empty when there is no such order.
    pub fn history(&self, _tenant: &TenantId, _id: RecordId) -> Result<Vec<HistoryEntry>, StoreError> {
        unimplemented!()
    }

    /// A tenant's orders, newest first, from below the cursor.
    pub fn list(
        &self,
        _tenant: &TenantId,
        _filter: &ListFilter,
        _cursor: Option<Position>,
        _limit: usize,
    ) -> Result<Page, StoreError> {
        unimplemented!()
    }

    /// The orders that the shop calls by this name, oldest first.
    pub fn by_merchant_reference(
        &self,
        _tenant: &TenantId,
        _reference: &str,
    ) -> Result<Vec<RecordId>, StoreError> {
        unimplemented!()
    }

    /// The orders with a payment that the PSP calls by this name, oldest first.
    pub fn by_payment_reference(
        &self,
        _tenant: &TenantId,
        _reference: &str,
    ) -> Result<Vec<RecordId>, StoreError> {
        unimplemented!()
    }

    /// The first commit made under an idempotency key.
    pub fn idempotency(
        &self,
        _tenant: &TenantId,
        _operation: &str,
        _key: &str,
    ) -> Result<Option<IdempotencyEntry>, StoreError> {
        unimplemented!()
    }

    /// A tenant's totals, by currency, in the order of the currencies' codes.
    pub fn totals(&self, _tenant: &TenantId) -> Result<Vec<(Currency, Totals)>, StoreError> {
        unimplemented!()
    }

    /// An offer, and the commit that registered it last.
    pub fn offer(
        &self,
        _tenant: &TenantId,
        _identifier: &str,
    ) -> Result<Option<(Offer, Position)>, StoreError> {
        unimplemented!()
    }

    /// A tenant's quarantined webhooks, newest first, from below the cursor, which is the `first` of the last
    /// one seen.
    pub fn quarantine(
        &self,
        _tenant: &TenantId,
        _cursor: Option<Position>,
        _limit: usize,
    ) -> Result<Vec<QuarantineView>, StoreError> {
        unimplemented!()
    }

    /// One quarantined webhook.
    pub fn quarantined(
        &self,
        _tenant: &TenantId,
        _id: RecordId,
    ) -> Result<Option<QuarantineView>, StoreError> {
        unimplemented!()
    }

    /// Open webhooks of an unknown order that wait for this key, oldest first.
    pub fn waiting_webhooks(&self, _tenant: &TenantId, _key: &MatchKey) -> Result<Vec<RecordId>, StoreError> {
        unimplemented!()
    }

    /// Open webhooks of an unknown order, of all tenants, each once: for a sweep at start.
    pub fn open_waiting(&self, _limit: usize) -> Result<Vec<(TenantId, RecordId)>, StoreError> {
        unimplemented!()
    }

    /// Orders of all tenants that wait for a buyer although their time is over, the longest overdue first.
    pub fn due(&self, _now: Timestamp, _limit: usize) -> Result<Vec<(TenantId, RecordId)>, StoreError> {
        unimplemented!()
    }

    /// The sequence of the last commit of a partition that is in the views; 0 when there is none.
    pub fn checkpoint(&self, _partition: u16) -> Result<u64, StoreError> {
        unimplemented!()
    }

    /// A digest of all rows. A scan; writing waits for it.
    pub fn digest(&self) -> Result<ViewsDigest, StoreError> {
        unimplemented!()
    }

    /// Makes everything that is visible durable.
    pub fn flush(&self) -> Result<(), StoreError> {
        unimplemented!()
    }
}
