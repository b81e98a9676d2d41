//! The order view: an order as its newest projected commit left it.

use jiff::Timestamp;
use ledger::codec::SealedEvents;
use ledger::commit::{Changes, Recorded};
use ledger::ids::{Position, RecordId, TenantId};
use ledger::order::{ImpossibleEvent, Order, evolve};

/// An order and where it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderView {
    /// Whose.
    pub tenant: TenantId,
    /// Its id.
    pub id: RecordId,
    /// The order; status, balance and anomalies are derived from it.
    pub order: Order,
    /// How many commits it has.
    pub commits: u64,
    /// Its first commit.
    pub first: Position,
    /// Its newest commit in this view.
    pub last: Position,
    /// When the first commit was decided.
    pub created_at: Timestamp,
    /// When the newest commit was decided.
    pub updated_at: Timestamp,
    /// Personal data of the order that is sealed, and missing from it until it is opened; see `Reader::open`.
    pub sealed: Vec<SealedEvents>,
}

/// The view after a commit of its order; `None` is an order of which nothing has happened yet.
pub fn apply(view: Option<OrderView>, recorded: &Recorded) -> Result<OrderView, ImpossibleEvent> {
    let commit = &recorded.commit;
    let events = match &commit.changes {
        Changes::Order(events) => events,
        Changes::Offer(_) | Changes::Quarantine(_) => {
            return Err(ImpossibleEvent("a commit of another kind under an order's id".to_owned()));
        }
    };
    let (commits, first, created_at, mut order, mut sealed) = match view {
        Some(view) => (view.commits, view.first, view.created_at, Some(view.order), view.sealed),
        None => (0, recorded.position, commit.decided_at, None, Vec::new()),
    };
    for event in events {
        order = Some(evolve(order, event)?);
    }
    let order = order.ok_or_else(|| ImpossibleEvent("a commit without events".to_owned()))?;
    if order.forgotten {
        sealed.clear();
    }
    Ok(OrderView {
        tenant: commit.tenant.clone(),
        id: commit.record,
        order,
        commits: commits + 1,
        first,
        last: recorded.position,
        created_at,
        updated_at: commit.decided_at,
        sealed,
    })
}
