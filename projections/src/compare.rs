//! Comparing the rows of two generations, or of one with a fresh fold of the log.
//!
//! Rows of both sides are read in the order of their keys and joined, so memory is bounded however much there is and
//! however much differs. An order's index rows lie in other orders than the order itself; where they differ is noted
//! in a temporary store first, and taken up when the order comes by.
//!
//! `meaning` compares folds whose commits stand at other positions.
//!
//! What must stay true: an order is reported at most once, and only for what both sides have had the chance to see.
//! One that has commits which only one side has folded yet is counted as newer instead.

mod join;
mod meaning;
mod notes;
mod orders;
mod side;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Instant;

use ledger::ids::{Position, TenantId};

pub use self::meaning::{Disagreement, Meaning, compare_meaning};
pub use self::side::{Generations, InvalidWhich, Side, SideError, Which, fresh};
use crate::progress::Progress;
pub use crate::store::RowKind;
use crate::store::rows::{TotalsRow, decode};
use crate::store::{StoreError, keys};
use crate::views::{HistoryEntry, OrderView, Totals};

/// What one side has of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Missing,
    /// Rows that this version cannot read, and why.
    Unreadable(String),
    /// The order.
    Order(Box<OrderRows>),
}

/// An order's own rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderRows {
    /// The order.
    pub view: OrderView,
    /// Its commits, oldest first.
    pub history: Vec<HistoryEntry>,
    /// The first commit's idempotency key gave the order its id.
    pub opens: bool,
}

/// An order whose rows are not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderDifference {
    /// Whose.
    pub tenant: TenantId,
    /// Its first commit, by which its rows are named.
    pub first: Position,
    /// What the one side has.
    pub from: Found,
    /// What the other side has.
    pub to: Found,
    /// Indexes whose rows for it are not the same, in a fixed order.
    pub indexes: Vec<RowKind>,
}

/// A row of no order that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowDifference {
    /// What it is.
    pub kind: RowKind,
    /// Whose, where the key says so.
    pub tenant: Option<TenantId>,
    /// The rest of the key, in words.
    pub name: String,
    /// How it differs.
    pub change: Change,
}

/// How a row differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Only the one side has it.
    OnlyFrom,
    /// Only the other side has it.
    OnlyTo,
    /// Both have it, with other content.
    Changed,
}

impl Change {
    /// The word for it in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Change::OnlyFrom => "only_from",
            Change::OnlyTo => "only_to",
            Change::Changed => "changed",
        }
    }

    fn of(from: Option<&[u8]>, to: Option<&[u8]>) -> Option<Self> {
        match (from, to) {
            (Some(from), Some(to)) => (from != to).then_some(Change::Changed),
            (Some(_), None) => Some(Change::OnlyFrom),
            (None, Some(_)) => Some(Change::OnlyTo),
            (None, None) => None,
        }
    }
}

/// What a comparison comes upon.
#[derive(Debug)]
pub enum Seen {
    /// An order that differs; in the order of tenants, then of arrival.
    Order(Box<OrderDifference>),
    /// A row of no order that differs. Void when the comparison ends without `rows`.
    Row(RowDifference),
    /// So many orders are done.
    Progress(Progress),
}

/// How many rows of a kind differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RowCounts {
    /// Rows that only the one side has.
    pub only_from: u64,
    /// Rows that only the other side has.
    pub only_to: u64,
    /// Rows that both have, with other content.
    pub changed: u64,
}

impl RowCounts {
    fn add(&mut self, change: Change) {
        match change {
            Change::OnlyFrom => self.only_from += 1,
            Change::OnlyTo => self.only_to += 1,
            Change::Changed => self.changed += 1,
        }
    }
}

/// What a comparison covered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// How far both sides had folded each partition: what was compared is the views up to there.
    pub upto: Vec<u64>,
    /// Orders that were compared, equal ones included.
    pub orders: u64,
    /// Orders left out, because one side has commits of them that the other has not folded yet.
    pub newer: u64,
    /// Rows that differ, by kind. None when the two sides do not end at the same place, or went on while they were
    /// read: then sums over all orders cannot be compared, nor anything else that is no order.
    pub rows: Option<BTreeMap<RowKind, RowCounts>>,
}

/// Orders between two reports of progress.
const STEP: u64 = 1000;
/// Kinds of rows that belong to no order.
const OTHERS: [RowKind; 6] = [
    RowKind::Idempotency,
    RowKind::Totals,
    RowKind::Offer,
    RowKind::Quarantine,
    RowKind::QuarantineId,
    RowKind::Waiting,
];
/// Kinds of rows that belong to an order and are not named by it.
const INDEXES: [RowKind; 5] = [
    RowKind::OrderId,
    RowKind::ByStatus,
    RowKind::MerchantReference,
    RowKind::PaymentReference,
    RowKind::Expiry,
];

/// Compares two sides, of one tenant or of all. `each` can end it early; none is returned then.
///
/// Reads the disk for as long as it takes; not for an async thread.
pub fn compare(
    from: &Side,
    to: &Side,
    tenant: Option<&TenantId>,
    mut each: impl FnMut(Seen) -> ControlFlow<()>,
) -> Result<Option<Compared>, StoreError> {
    let ends = (from.checkpoints()?, to.checkpoints()?);
    let upto: Vec<u64> = ends.0.iter().zip(&ends.1).map(|(from, to)| *from.min(to)).collect();
    let mut counts: BTreeMap<RowKind, RowCounts> = BTreeMap::new();

    let (started, total) = (Instant::now(), orders_in(from, tenant)?.max(orders_in(to, tenant)?));
    let mut notes = notes::Notes::new()?;
    for kind in INDEXES {
        for (row, count) in join::rows(from, to, kind, tenant).zip(1_u64..) {
            let row = row?;
            // Nobody may want the result any more.
            if count.is_multiple_of(STEP)
                && each(Seen::Progress(Progress::at(0, total, started.elapsed()))).is_break()
            {
                return Ok(None);
            }
            let Some(change) = row.change() else { continue };
            if notes.note(kind, &row, tenant)? {
                counts.entry(kind).or_default().add(change);
            }
        }
    }

    let started = Instant::now();
    let (mut done, mut newer) = (0_u64, 0);
    for group in orders::orders(from, to, notes.read()?, tenant) {
        let group = group?;
        group.count(&mut counts);
        match group.difference(from, to, &upto)? {
            orders::Outcome::Same => {}
            orders::Outcome::Newer => newer += 1,
            orders::Outcome::Differs(difference) => {
                if each(Seen::Order(difference)).is_break() {
                    return Ok(None);
                }
            }
        }
        done += 1;
        if done.is_multiple_of(STEP) {
            let progress = Progress::at(done, total.max(done), started.elapsed());
            if each(Seen::Progress(progress)).is_break() {
                return Ok(None);
            }
        }
    }

    if ends.0 == ends.1 {
        for kind in OTHERS {
            for (row, count) in join::rows(from, to, kind, tenant).zip(1_u64..) {
                let row = row?;
                if count.is_multiple_of(STEP)
                    && each(Seen::Progress(Progress::at(done, total.max(done), started.elapsed()))).is_break()
                {
                    return Ok(None);
                }
                let Some(change) = row.change() else { continue };
                counts.entry(kind).or_default().add(change);
                let (tenant, name) = keys::describe(kind, &row.key);
                if each(Seen::Row(RowDifference { kind, tenant, name, change })).is_break() {
                    return Ok(None);
                }
            }
        }
    }
    let stood_still = ends.0 == ends.1 && ends == (from.checkpoints()?, to.checkpoints()?);
    Ok(Some(Compared { upto, orders: done - newer, newer, rows: stood_still.then_some(counts) }))
}

/// How many orders a side has, as far as its totals tell: for progress only.
fn orders_in(side: &Side, tenant: Option<&TenantId>) -> Result<u64, StoreError> {
    let mut orders = 0_u64;
    for row in side.rows(RowKind::Totals, tenant) {
        if let Ok(row) = decode::<TotalsRow>(&row?.1) {
            orders = orders.saturating_add_signed(Totals::from(row).orders.max(0));
        }
    }
    Ok(orders)
}
