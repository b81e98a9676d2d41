//! The listing: a tenant's orders, newest first, by status or by the shop's own name for them.
//!
//! "Newest" goes by the sequence of an order's first commit, then by partition: a total order that never
//! changes, so a cursor stays valid for ever, whatever is added above it.

use ledger::ids::Position;
use ledger::order::Status;

use super::OrderView;

/// Which orders to list. Empty: all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListFilter {
    /// Only orders with this status.
    pub status: Option<Status>,
    /// Only orders with exactly this merchant reference.
    pub merchant_reference: Option<String>,
}

impl ListFilter {
    /// Whether an order is asked for.
    pub fn matches(&self, view: &OrderView) -> bool {
        let status = self.status.is_none_or(|status| view.order.status() == status);
        let reference = self
            .merchant_reference
            .as_ref()
            .is_none_or(|wanted| *wanted == view.order.checkout.merchant_reference);
        status && reference
    }
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The orders, newest first.
    pub orders: Vec<OrderView>,
    /// The cursor of the next page; none when this page is the last.
    pub next: Option<Position>,
}
