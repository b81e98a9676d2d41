//! The books: each order's postings, step by step, against its balance; all orders' against their tenant's totals.

use std::collections::{BTreeMap, BTreeSet};

use ledger::accounts::{Figures, TrialBalance, check as check_books, postings};
use ledger::ids::TenantId;
use ledger::money::Currency;
use projections::views::{ListFilter, OrderView, Totals};
use projections::{StoreError, Views};

use super::fault::{Fault, FaultKind};

/// Orders looked at together.
const PAGE: usize = 1000;

/// What the books were found to be.
#[derive(Default)]
pub(super) struct Books {
    /// Orders whose postings were added up.
    pub(super) orders: u64,
    pub(super) faults: Vec<Fault>,
}

/// Adds up the money of these tenants' orders.
pub(super) fn check(views: &Views, tenants: &BTreeSet<TenantId>) -> Result<Books, StoreError> {
    let mut books = Books::default();
    for tenant in tenants {
        let mut sums: BTreeMap<Currency, (Totals, TrialBalance)> = BTreeMap::new();
        let mut cursor = None;
        loop {
            let page = views.list(tenant, &ListFilter::default(), cursor, PAGE)?;
            for order in &page.orders {
                books.orders += 1;
                let (currency, contribution) = Totals::of(&order.order);
                let (totals, trial) = sums.entry(currency).or_default();
                *totals += contribution;
                *trial += books.posted(views, order)?;
            }
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        let kept: BTreeMap<Currency, Totals> = views.totals(tenant)?.into_iter().collect();
        for (currency, totals) in &kept {
            let (expected, trial) = sums.remove(currency).unwrap_or_default();
            if expected != *totals {
                books.unbalanced(format!("{tenant}, {currency}: the totals are not the sum over the orders"));
            }
            if let Err(mismatch) = check_books(&trial, &figures(totals)) {
                books.unbalanced(format!("{tenant}, {currency}: {mismatch}"));
            }
        }
        for currency in sums.keys() {
            books.unbalanced(format!("{tenant}, {currency}: there are orders and no totals"));
        }
    }
    Ok(books)
}

impl Books {
    /// What an order's commits posted, one after the other.
    fn posted(&mut self, views: &Views, order: &OrderView) -> Result<TrialBalance, StoreError> {
        let (mut trial, mut before) = (TrialBalance::default(), Figures::default());
        for entry in views.history(&order.tenant, order.id)? {
            let after = Figures::from(&entry.balance);
            postings(&before, &after).into_iter().for_each(|posting| trial.post(posting));
            before = after;
        }
        if let Err(mismatch) = check_books(&trial, &Figures::from(&order.order.balance())) {
            let detail = format!("order {} of {}: {mismatch}", order.id, order.tenant);
            self.faults.push(Fault::at(order.first, FaultKind::Unbalanced, detail));
        }
        Ok(trial)
    }

    fn unbalanced(&mut self, detail: String) {
        self.faults.push(Fault::of_all(FaultKind::Unbalanced, detail));
    }
}

fn figures(totals: &Totals) -> Figures {
    let Totals { orders: _, authorized_minor: _, captured_minor, refunded_minor, .. } = *totals;
    let Totals { refund_pending_minor, charged_back_minor, balance_minor, .. } = *totals;
    Figures { captured_minor, refunded_minor, refund_pending_minor, charged_back_minor, balance_minor }
}
