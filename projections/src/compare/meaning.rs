//! Comparing what two folds say where the positions of the same commits differ: the views of one ledger, kept in
//! different numbers of partitions.
//!
//! Rows and digests hold positions, so they differ although nothing that anybody is told does. Compared is everything
//! else: each order with its status and balance, its history, what its keys and references find, the totals, and what is
//! in quarantine. The order of lists is a matter of positions and is not compared.

use std::collections::BTreeSet;

use ledger::ids::{Position, RecordId, TenantId};

use crate::store::{StoreError, Views};
use crate::views::{CauseSummary, HistoryEntry, OrderView, QuarantineView};

const PAGE: usize = 1000;
const NOWHERE: Position = Position { partition: 0, sequence: 0 };

/// Something that the two do not say alike.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disagreement {
    /// An order: it is missing on one side, or is another one.
    Order(TenantId, RecordId),
    /// An order's history.
    History(TenantId, RecordId),
    /// What one of an order's references or idempotency keys finds.
    Index(TenantId, RecordId),
    /// A quarantined webhook.
    Quarantine(TenantId, RecordId),
    /// A tenant's totals.
    Totals(TenantId),
}

/// What a comparison of meanings covered, and found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meaning {
    /// Orders of the first side.
    pub orders: u64,
    /// What the two do not say alike; empty when they mean the same.
    pub disagreements: BTreeSet<Disagreement>,
}

/// Compares what two views say of the same commits, which may stand at other positions.
///
/// Reads the disk for as long as it takes, an order at a time; not for an async thread.
pub fn compare_meaning(from: &Views, to: &Views) -> Result<Meaning, StoreError> {
    let mut meaning = Meaning { orders: 0, disagreements: BTreeSet::new() };
    let mut tenants = BTreeSet::new();
    each_order(from, |view| {
        meaning.orders += 1;
        if tenants.insert(view.tenant.clone()) {
            compare_quarantine(from, to, &view.tenant, &mut meaning.disagreements)?;
        }
        compare_order(from, to, view, &mut meaning.disagreements)
    })?;
    each_order(to, |view| {
        if from.order(&view.tenant, view.id)?.is_none() {
            meaning.disagreements.insert(Disagreement::Order(view.tenant, view.id));
        }
        Ok(())
    })?;
    let (ours, theirs) = (from.all_totals()?, to.all_totals()?);
    for (these, those) in [(&ours, &theirs), (&theirs, &ours)] {
        let differ = these.iter().filter(|row| !those.contains(row));
        meaning.disagreements.extend(differ.map(|(tenant, ..)| Disagreement::Totals(tenant.clone())));
    }
    Ok(meaning)
}

fn each_order(
    views: &Views,
    mut each: impl FnMut(OrderView) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut last: Option<(TenantId, Position)> = None;
    loop {
        let page = views.orders(last.as_ref().map(|(tenant, first)| (tenant, *first)), PAGE)?;
        let Some(newest) = page.last() else { return Ok(()) };
        last = Some((newest.tenant.clone(), newest.first));
        page.into_iter().try_for_each(&mut each)?;
    }
}

fn compare_order(
    from: &Views,
    to: &Views,
    view: OrderView,
    found: &mut BTreeSet<Disagreement>,
) -> Result<(), StoreError> {
    let (tenant, id) = (view.tenant.clone(), view.id);
    let nowhere = |view: OrderView| OrderView { first: NOWHERE, last: NOWHERE, ..view };
    let view = nowhere(view);
    if to.order(&tenant, id)?.map(nowhere).as_ref() != Some(&view) {
        found.insert(Disagreement::Order(tenant.clone(), id));
    }
    let history = |views: &Views| -> Result<Vec<HistoryEntry>, StoreError> {
        let entries = views.history(&tenant, id)?.into_iter();
        Ok(entries.map(|entry| HistoryEntry { position: NOWHERE, ..entry }).collect())
    };
    let entries = history(from)?;
    if history(to)? != entries {
        found.insert(Disagreement::History(tenant.clone(), id));
    }
    let keys = |views: &Views| indexed(views, &view, &entries);
    if keys(from)? != keys(to)? {
        found.insert(Disagreement::Index(tenant, id));
    }
    Ok(())
}

/// What an order's references and keys find.
fn indexed(
    views: &Views,
    view: &OrderView,
    history: &[HistoryEntry],
) -> Result<Vec<BTreeSet<RecordId>>, StoreError> {
    let tenant = &view.tenant;
    let mut found = Vec::new();
    let reference = &view.order.checkout.merchant_reference;
    found.push(views.by_merchant_reference(tenant, reference)?.into_iter().collect());
    for reference in view.order.attempts.iter().filter_map(|attempt| attempt.payment_reference.as_ref()) {
        found.push(views.by_payment_reference(tenant, reference)?.into_iter().collect());
    }
    for entry in history {
        if let CauseSummary::Command { operation, key: Some(key) } = &entry.cause {
            let entry = views.idempotency(tenant, operation, key)?;
            found.push(entry.map(|entry| entry.record).into_iter().collect());
        }
    }
    Ok(found)
}

fn compare_quarantine(
    from: &Views,
    to: &Views,
    tenant: &TenantId,
    found: &mut BTreeSet<Disagreement>,
) -> Result<(), StoreError> {
    for (these, those) in [(from, to), (to, from)] {
        let mut cursor = None;
        loop {
            let page = these.quarantine(tenant, cursor, PAGE)?;
            let Some(last) = page.last() else { break };
            cursor = Some(last.first);
            for view in page {
                let nowhere = |view: QuarantineView| QuarantineView { first: NOWHERE, last: NOWHERE, ..view };
                let (id, view) = (view.id, nowhere(view));
                if those.quarantined(tenant, id)?.map(nowhere).as_ref() != Some(&view) {
                    found.insert(Disagreement::Quarantine(tenant.clone(), id));
                }
            }
        }
    }
    Ok(())
}
