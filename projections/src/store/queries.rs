//! What the views can be asked.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use ledger::ids::{Position, RecordId, TenantId};
use ledger::money::Currency;
use ledger::offer::Offer;
use ledger::order::Status;
use ledger::quarantine::MatchKey;

use super::keys::{self, Key, position_at_end};
use super::rows::{
    self, HistoryRow, IdempotencyRow, OfferRow, OrderRow, PositionRow, QuarantineRow, RecordRow, StatusRow,
    SubjectRow, TotalsRow, decode, decode_front, decode_list,
};
use super::{Generation, GenerationInfo, Scan, Stamp, Store, StoreError, StoreOptions, ViewsDigest};
use crate::views::{
    HistoryEntry, IdempotencyEntry, ListFilter, OfferView, OrderView, Page, QuarantineView, StatusView,
    Totals,
};

/// The views as they are projected so far. Cheap to clone; reads are synchronous and never wait for a commit.
///
/// What belongs to one tenant does not exist for another.
#[derive(Clone)]
pub struct Views {
    store: Arc<Store>,
    /// The generation that is read whichever is live; none: the live one.
    pinned: Option<Arc<Generation>>,
}

impl Views {
    /// Opens the store in a directory, creating it when missing. Reads the disk; not for an async thread.
    ///
    /// A damaged store is moved aside, and one of another version is left beside a new one: in both cases the
    /// views are empty, the log says why, and a projector folds them again.
    pub fn open(path: &Path, options: &StoreOptions) -> Result<Views, StoreError> {
        Ok(Views { store: Arc::new(Store::open(path, options)?), pinned: None })
    }

    /// Which generations there are, the oldest first.
    pub fn generations(&self) -> Result<Vec<GenerationInfo>, StoreError> {
        self.store.noting_damage(self.store.generation_infos())
    }

    /// The same reads of one generation, whichever is live now or later; none when there is no such generation.
    /// It is kept as long as somebody has this in hand.
    ///
    /// One that another version of Daybook has folded may have rows that this one cannot read.
    pub fn of_generation(&self, number: u64) -> Result<Option<Views>, StoreError> {
        let generation = self.store.noting_damage(self.store.generation(number))?;
        Ok(generation.map(|generation| Views { store: Arc::clone(&self.store), pinned: Some(generation) }))
    }

    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// An order.
    pub fn order(&self, tenant: &TenantId, id: RecordId) -> Result<Option<OrderView>, StoreError> {
        self.read(|live| live.order(tenant, id))
    }

    /// Where an order stands, with the stamp that tells when that is no longer so.
    pub fn status(&self, tenant: &TenantId, id: RecordId) -> Result<Option<(StatusView, Stamp)>, StoreError> {
        self.read(|live| live.status(tenant, id))
    }

    /// Whether the order with this stamp is still as it was read. At times it is although this says no.
    pub fn is_unchanged(&self, stamp: &Stamp) -> bool {
        let live = self.generation_read();
        live.number == stamp.generation && live.rows.written(stamp.first) == stamp.written
    }

    /// An order's commits, oldest first; empty when there is no such order.
    pub fn history(&self, tenant: &TenantId, id: RecordId) -> Result<Vec<HistoryEntry>, StoreError> {
        self.read(|live| {
            let Some(first) = live.first_of_order(tenant, id)? else { return Ok(Vec::new()) };
            let prefix = keys::order_history(tenant, first);
            let mut entries = Vec::new();
            for row in live.rows.range(&prefix, &prefix.end()) {
                for entry in decode_list::<HistoryRow<'_>>(&row?.1)? {
                    entries.push(entry?.try_into()?);
                }
            }
            Ok(entries)
        })
    }

    /// The order's status as its commit at this position left it; none when it has no commit there.
    pub fn status_after(
        &self,
        tenant: &TenantId,
        id: RecordId,
        position: Position,
    ) -> Result<Option<Status>, StoreError> {
        self.read(|live| {
            let Some(first) = live.first_of_order(tenant, id)? else { return Ok(None) };
            let prefix = keys::order_history(tenant, first);
            // From the newest part on: whoever asks for one commit mostly asks for a late one.
            for row in live.rows.range(&prefix, &prefix.end()).rev() {
                for entry in decode_list::<HistoryRow<'_>>(&row?.1)? {
                    let entry = entry?;
                    if entry.position() == position {
                        return entry.status().map(Some);
                    }
                }
            }
            Ok(None)
        })
    }

    /// Orders of all tenants in the order of their rows, by tenant and then by position, from above `after`: the tenant
    /// and the `first` of the last one seen. Fewer than `limit` when there are no more.
    pub fn orders(
        &self,
        after: Option<(&TenantId, Position)>,
        limit: usize,
    ) -> Result<Vec<OrderView>, StoreError> {
        self.read(|live| {
            let all = keys::all_orders();
            let from = after.map(|(tenant, first)| keys::orders(tenant).at(first).next());
            let rows = live.rows.range(from.as_ref().unwrap_or(&all), &all.end()).take(limit);
            rows.map(|row| OrderView::try_from(decode::<OrderRow<'_>>(&row?.1)?)).collect()
        })
    }

    /// The totals of all tenants, by tenant and then by currency.
    pub fn all_totals(&self) -> Result<Vec<(TenantId, Currency, Totals)>, StoreError> {
        self.read(|live| {
            let prefix = keys::all_totals();
            let rows = live.rows.range(&prefix, &prefix.end()).map(|row| {
                let (key, row) = row?;
                let (tenant, code) = keys::tenant_and_rest(&key)
                    .ok_or_else(|| StoreError::Damaged("totals without a tenant".to_owned()))?;
                Ok((tenant, rows::currency(code)?, decode::<TotalsRow>(&row)?.into()))
            });
            rows.collect()
        })
    }

    /// A tenant's orders, newest first, from below the cursor: the `next` of the page before.
    pub fn list(
        &self,
        tenant: &TenantId,
        filter: &ListFilter,
        cursor: Option<Position>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        self.read(|live| live.list(tenant, filter, cursor, limit))
    }

    /// The orders that the shop calls by this name, oldest first.
    pub fn by_merchant_reference(
        &self,
        tenant: &TenantId,
        reference: &str,
    ) -> Result<Vec<RecordId>, StoreError> {
        self.read(|live| live.records(&keys::merchant_reference(tenant, reference)))
    }

    /// The orders with a payment that a PSP calls by this name, oldest first.
    pub fn by_payment_reference(
        &self,
        tenant: &TenantId,
        reference: &str,
    ) -> Result<Vec<RecordId>, StoreError> {
        self.read(|live| live.records(&keys::payment_reference(tenant, reference)))
    }

    /// The first commit made under an idempotency key.
    pub fn idempotency(
        &self,
        tenant: &TenantId,
        operation: &str,
        key: &str,
    ) -> Result<Option<IdempotencyEntry>, StoreError> {
        self.read(|live| {
            if let Some(entry) = live.opened_by(tenant, operation, key)? {
                return Ok(Some(entry));
            }
            let prefix = keys::idempotency(tenant, operation, key);
            let first = live.rows.range(&prefix, &prefix.end()).next();
            first.map(|row| decode::<IdempotencyRow>(&row?.1).map(IdempotencyEntry::from)).transpose()
        })
    }

    /// A tenant's totals, by currency, in the order of the currencies' codes.
    pub fn totals(&self, tenant: &TenantId) -> Result<Vec<(Currency, Totals)>, StoreError> {
        self.read(|live| {
            let prefix = keys::tenant_totals(tenant);
            let rows = live.rows.range(&prefix, &prefix.end()).map(|row| {
                let (key, row) = row?;
                let currency = rows::currency(key.strip_prefix(prefix.as_ref()).unwrap_or_default())?;
                Ok((currency, decode::<TotalsRow>(&row)?.into()))
            });
            rows.collect()
        })
    }

    /// An offer, and the commit that registered it last.
    pub fn offer(
        &self,
        tenant: &TenantId,
        identifier: &str,
    ) -> Result<Option<(Offer, Position)>, StoreError> {
        self.read(|live| {
            let row = live.rows.get(keys::offer(tenant, Offer::record_id(tenant, identifier)))?;
            let view = row.map(|row| OfferView::try_from(decode::<OfferRow<'_>>(&row)?)).transpose()?;
            Ok(view.map(|view| (view.offer, view.last)))
        })
    }

    /// A tenant's quarantined webhooks, newest first, from below the cursor: the `first` of the last one seen.
    pub fn quarantine(
        &self,
        tenant: &TenantId,
        cursor: Option<Position>,
        limit: usize,
    ) -> Result<Vec<QuarantineView>, StoreError> {
        self.read(|live| {
            let rows = live.newest(&keys::quarantine(tenant), cursor).take(limit);
            rows.map(|row| QuarantineView::try_from(decode::<QuarantineRow<'_>>(&row?.1)?)).collect()
        })
    }

    /// One quarantined webhook.
    pub fn quarantined(&self, tenant: &TenantId, id: RecordId) -> Result<Option<QuarantineView>, StoreError> {
        self.read(|live| {
            let Some(first) = live.rows.get(keys::quarantine_id(tenant, id))? else { return Ok(None) };
            let first = decode::<PositionRow>(&first)?.into();
            let row = live.rows.get(keys::quarantine(tenant).at(first))?;
            row.map(|row| QuarantineView::try_from(decode::<QuarantineRow<'_>>(&row)?)).transpose()
        })
    }

    /// Open webhooks of an unknown order that wait for this key, oldest first.
    pub fn waiting_webhooks(&self, tenant: &TenantId, key: &MatchKey) -> Result<Vec<RecordId>, StoreError> {
        self.read(|live| {
            let prefix = keys::waiting(tenant, key);
            let rows = live.rows.range(&prefix, &prefix.end());
            rows.map(|row| Ok(subject(&row?.1)?.1)).collect()
        })
    }

    /// Open webhooks of an unknown order, of all tenants, each once: for a sweep at start. `quarantined` tells
    /// what each waits for.
    pub fn open_waiting(&self, limit: usize) -> Result<Vec<(TenantId, RecordId)>, StoreError> {
        self.read(|live| {
            let prefix = keys::all_waiting();
            let mut found = Vec::new();
            let mut seen = std::collections::HashSet::new();
            for row in live.rows.range(&prefix, &prefix.end()) {
                if found.len() >= limit {
                    break;
                }
                let webhook = subject(&row?.1)?;
                if seen.insert(webhook.clone()) {
                    found.push(webhook);
                }
            }
            Ok(found)
        })
    }

    /// Orders of all tenants that wait for a buyer although their time is over, the longest overdue first.
    pub fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<(TenantId, RecordId)>, StoreError> {
        self.read(|live| {
            let rows = live.rows.range(&keys::expiries(), &keys::expiry(now).end()).take(limit);
            rows.map(|row| subject(&row?.1)).collect()
        })
    }

    /// The sequence of the last commit of a partition that is in the views; 0 when there is none.
    pub fn checkpoint(&self, partition: u16) -> u64 {
        self.generation_read().reached(partition)
    }

    /// The number of the generation that these views read.
    pub fn generation(&self) -> u64 {
        self.generation_read().number
    }

    /// A digest of all rows, and where in the log they stand. Costs nothing: it is kept with the rows.
    pub fn digest(&self) -> ViewsDigest {
        self.generation_read().digest()
    }

    /// The same by reading every row, as a check of the one that is kept. Writing waits for it, but for that of a
    /// generation which is being folded beside the live one: such a one stands still while it is paused.
    pub fn digest_by_scan(&self) -> Result<ViewsDigest, StoreError> {
        let _held = self.store.hold_still()?;
        self.read(Generation::digest_by_scan)
    }

    /// Makes everything that is visible durable.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.store.noting_damage(self.store.flush())
    }

    /// Every read is of one generation, from its first row to its last.
    fn read<T>(&self, query: impl FnOnce(&Generation) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.store.noting_damage(query(&self.generation_read()))
    }

    fn generation_read(&self) -> Arc<Generation> {
        self.pinned.clone().unwrap_or_else(|| self.store.live())
    }
}

impl Generation {
    fn first_of_order(&self, tenant: &TenantId, id: RecordId) -> Result<Option<Position>, StoreError> {
        let found = |row: &[u8]| decode::<PositionRow>(row).map(Position::from);
        self.rows.find(keys::order_id(tenant, id), found)?.transpose()
    }

    /// The order that has its id from this key.
    fn opened_by(
        &self,
        tenant: &TenantId,
        operation: &str,
        key: &str,
    ) -> Result<Option<IdempotencyEntry>, StoreError> {
        let record = RecordId::for_key(tenant, operation, key);
        let Some(position) = self.first_of_order(tenant, record)? else { return Ok(None) };
        let Some(row) = self.rows.get(keys::history(tenant, position, 0))? else { return Ok(None) };
        let first = decode_list::<HistoryRow<'_>>(&row)?.next().transpose()?;
        let is_opened = first.is_some_and(|row| row.opens());
        Ok(is_opened.then_some(IdempotencyEntry { record, position }))
    }

    fn order(&self, tenant: &TenantId, id: RecordId) -> Result<Option<OrderView>, StoreError> {
        let Some(first) = self.first_of_order(tenant, id)? else { return Ok(None) };
        self.order_at(tenant, first).map(Some)
    }

    fn order_at(&self, tenant: &TenantId, first: Position) -> Result<OrderView, StoreError> {
        self.order_row(tenant, first, |row| OrderView::try_from(decode::<OrderRow<'_>>(row)?))
    }

    fn status(&self, tenant: &TenantId, id: RecordId) -> Result<Option<(StatusView, Stamp)>, StoreError> {
        let Some(first) = self.first_of_order(tenant, id)? else { return Ok(None) };
        // First the stamp, then the row: one that is written in between is read again.
        let stamp = Stamp { generation: self.number, first, written: self.rows.written(first) };
        let view =
            self.order_row(tenant, first, |row| StatusView::try_from(decode_front::<StatusRow<'_>>(row)?))?;
        Ok(Some((view, stamp)))
    }

    fn order_row<T>(
        &self,
        tenant: &TenantId,
        first: Position,
        found: impl FnOnce(&[u8]) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let row = self.rows.find(keys::orders(tenant).at(first), found)?;
        row.unwrap_or_else(|| Err(StoreError::Damaged(format!("the order at {first} is missing"))))
    }

    fn records(&self, prefix: &Key) -> Result<Vec<RecordId>, StoreError> {
        let rows = self.rows.range(prefix, &prefix.end());
        rows.map(|row| decode::<RecordRow>(&row?.1).map(RecordId::from)).collect()
    }

    /// Rows under a prefix that positions follow, newest first, from below the cursor.
    fn newest(&self, prefix: &Key, cursor: Option<Position>) -> std::iter::Rev<Scan> {
        let end = cursor.map_or_else(|| prefix.end(), |position| prefix.clone().at(position));
        self.rows.range(prefix, &end).rev()
    }

    fn list(
        &self,
        tenant: &TenantId,
        filter: &ListFilter,
        cursor: Option<Position>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let prefix = match (&filter.merchant_reference, filter.status) {
            (Some(reference), _) => keys::merchant_reference(tenant, reference),
            (None, Some(status)) => keys::by_status(tenant, status),
            (None, None) => keys::orders(tenant),
        };
        let mut orders = Vec::new();
        for row in self.newest(&prefix, cursor) {
            let first = position_at_end(&row?.0)
                .ok_or_else(|| StoreError::Damaged("an index row without a position".to_owned()))?;
            let view = self.order_at(tenant, first)?;
            // The projector may have moved it to another status since its index row was read.
            if !filter.matches(&view) {
                continue;
            }
            if orders.len() == limit {
                let next = orders.last().map(|last: &OrderView| last.first);
                return Ok(Page { orders, next });
            }
            orders.push(view);
        }
        Ok(Page { orders, next: None })
    }
}

fn subject(row: &[u8]) -> Result<(TenantId, RecordId), StoreError> {
    decode::<SubjectRow<'_>>(row)?.try_into()
}
