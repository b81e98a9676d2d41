//! Which orders two folds of one log do not agree on, in which fields, and by how much money.
//!
//! One side is mostly what is served and the other a fresh fold of the log by this version's rules: what an engineer
//! shows before views are swapped. Sums are of all orders that differ, however few of them anybody lists.
//!
//! What must stay true: personal data is compared and never shown.

mod fields;
mod sums;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use ledger::ids::{Position, RecordId, TenantId};
use ledger::journal::Journal;
use ledger::money::Currency;
use projections::compare::{
    self, Compared, Found, Generations, OrderDifference, RowDifference, Seen, Side, SideError, Which,
};
use projections::{Progress, StoreError};

pub use fields::{Field, Value};
pub use sums::{Figures, Sum, Sums};

/// The names of the two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sides {
    /// The one side.
    pub from: Which,
    /// The other.
    pub to: Which,
}

/// Two sides that are the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is compared with itself")]
pub struct SameSides(Which);

impl Sides {
    /// Two sides. What `to` has more of an order's money counts as plus.
    pub fn new(from: Which, to: Which) -> Result<Self, SameSides> {
        if from == to { Err(SameSides(from)) } else { Ok(Sides { from, to }) }
    }

    /// The sides' rows. A fresh fold goes as far as the other side, and is reported to `progress` in commits.
    pub async fn open(
        self,
        generations: &Generations,
        journal: &dyn Journal,
        progress: impl FnMut(Progress),
    ) -> Result<(Side, Side), SideError> {
        match (self.from, self.to) {
            (Which::Fresh, to) => {
                let to = generations.side(to)?;
                Ok((compare::fresh(journal, &to, progress).await?, to))
            }
            (from, Which::Fresh) => {
                let from = generations.side(from)?;
                let to = compare::fresh(journal, &from, progress).await?;
                Ok((from, to))
            }
            (from, to) => Ok((generations.side(from)?, generations.side(to)?)),
        }
    }
}

/// How an order differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// In some fields.
    Fields,
    /// Only the one side has it.
    OnlyFrom,
    /// Only the other side has it.
    OnlyTo,
    /// One side has rows of it that this version cannot read.
    Unreadable,
    /// Neither side has it, and an index of one of them speaks of it.
    IndexOnly,
}

impl Change {
    /// The word for it in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Change::Fields => "fields",
            Change::OnlyFrom => "only_from",
            Change::OnlyTo => "only_to",
            Change::Unreadable => "unreadable",
            Change::IndexOnly => "index_only",
        }
    }
}

/// An order on which two sides do not agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Whose.
    pub tenant: TenantId,
    /// Its id, if either side can be read.
    pub order: Option<RecordId>,
    /// Its first commit.
    pub first: Position,
    /// Its currency, if either side can be read.
    pub currency: Option<Currency>,
    /// How it differs.
    pub change: Change,
    /// In which fields, in a fixed order; at least one.
    pub fields: Vec<Field>,
}

/// What a comparison comes upon.
#[derive(Debug)]
pub enum Step {
    /// An order that differs; in the order of tenants, then of arrival.
    Order(Box<Difference>),
    /// So many orders are compared.
    Progress(Progress),
}

/// What came of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What it covered, and the rows that differ by kind.
    pub compared: Compared,
    /// Orders that differ.
    pub orders: u64,
    /// Of those, the ones that cannot be read on one side. The sums lack them.
    pub unreadable: u64,
    /// What the money of all of them comes to.
    pub sums: Sums,
    /// The first rows of no order that differ.
    pub rows: Vec<RowDifference>,
}

impl Report {
    /// Whether nothing differs.
    pub fn is_same(&self) -> bool {
        let no_row = self.compared.rows.as_ref().is_none_or(|rows| rows.is_empty());
        self.orders == 0 && no_row
    }
}

/// Compares two sides, of one tenant or of all. `each` gets every order that differs and can end it early; none is
/// returned then. The report has so many rows of no order at most.
///
/// Reads the disk for as long as it takes; not for an async thread.
pub fn diff(
    from: &Side,
    to: &Side,
    tenant: Option<&TenantId>,
    row_limit: usize,
    mut each: impl FnMut(Step) -> ControlFlow<()>,
) -> Result<Option<Report>, StoreError> {
    let (mut orders, mut unreadable, mut sums, mut rows) = (0, 0, Sums::default(), Vec::new());
    let compared = compare::compare(from, to, tenant, |seen| match seen {
        Seen::Order(rows) => {
            orders += 1;
            let difference = Difference::of(&rows);
            match difference.change {
                Change::Unreadable => unreadable += 1,
                Change::Fields | Change::OnlyFrom | Change::OnlyTo | Change::IndexOnly => sums.add(&rows),
            }
            each(Step::Order(Box::new(difference)))
        }
        Seen::Row(row) => {
            if rows.len() < row_limit {
                rows.push(row);
            }
            ControlFlow::Continue(())
        }
        Seen::Progress(progress) => each(Step::Progress(progress)),
    })?;
    let Some(compared) = compared else { return Ok(None) };
    if compared.rows.is_none() {
        rows.clear();
    }
    Ok(Some(Report { compared, orders, unreadable, sums, rows }))
}

impl Difference {
    /// What the rows of an order say to people.
    pub fn of(rows: &OrderDifference) -> Self {
        let OrderDifference { tenant, first, from, to, indexes } = rows;
        let read = [from, to].into_iter().find_map(|found| match found {
            Found::Order(rows) => Some(&rows.view),
            Found::Missing | Found::Unreadable(_) => None,
        });
        let change = match (from, to) {
            (Found::Unreadable(_), _) | (_, Found::Unreadable(_)) => Change::Unreadable,
            (Found::Missing, Found::Missing) => Change::IndexOnly,
            (Found::Missing, Found::Order(_)) => Change::OnlyTo,
            (Found::Order(_), Found::Missing) => Change::OnlyFrom,
            (Found::Order(_), Found::Order(_)) => Change::Fields,
        };
        Difference {
            tenant: tenant.clone(),
            order: read.map(|view| view.id),
            first: *first,
            currency: read.map(|view| view.order.checkout.amount.currency()),
            change,
            fields: fields::compare(from, to, indexes),
        }
    }
}
