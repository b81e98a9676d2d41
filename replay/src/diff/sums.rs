//! What the money of the orders that differ comes to: what one side has more than the other.

use std::collections::BTreeMap;

use ledger::ids::TenantId;
use ledger::order::Balance;
use projections::compare::{Found, OrderDifference};

/// What one side has more than the other, figure by figure, in minor units. The figures are those of [`Balance`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the figures are explained where an order's balance is")]
pub struct Figures {
    pub authorized_minor: i128,
    pub captured_minor: i128,
    pub capture_pending_minor: i128,
    pub refunded_minor: i128,
    pub refund_pending_minor: i128,
    pub charged_back_minor: i128,
    pub balance_minor: i128,
    pub available_to_capture_minor: i128,
    pub available_to_refund_minor: i128,
}

impl Figures {
    /// The figures by name, in the order in which reports have them.
    pub fn named(&self) -> [(&'static str, i128); 9] {
        let Figures {
            authorized_minor,
            captured_minor,
            capture_pending_minor,
            refunded_minor,
            refund_pending_minor,
            charged_back_minor,
            balance_minor,
            available_to_capture_minor,
            available_to_refund_minor,
        } = *self;
        [
            ("authorized_minor", authorized_minor),
            ("captured_minor", captured_minor),
            ("capture_pending_minor", capture_pending_minor),
            ("refunded_minor", refunded_minor),
            ("refund_pending_minor", refund_pending_minor),
            ("charged_back_minor", charged_back_minor),
            ("balance_minor", balance_minor),
            ("available_to_capture_minor", available_to_capture_minor),
            ("available_to_refund_minor", available_to_refund_minor),
        ]
    }

    fn add(&mut self, balance: Balance, sign: i128) {
        let figures = Figures::from(balance);
        self.authorized_minor += sign * figures.authorized_minor;
        self.captured_minor += sign * figures.captured_minor;
        self.capture_pending_minor += sign * figures.capture_pending_minor;
        self.refunded_minor += sign * figures.refunded_minor;
        self.refund_pending_minor += sign * figures.refund_pending_minor;
        self.charged_back_minor += sign * figures.charged_back_minor;
        self.balance_minor += sign * figures.balance_minor;
        self.available_to_capture_minor += sign * figures.available_to_capture_minor;
        self.available_to_refund_minor += sign * figures.available_to_refund_minor;
    }
}

impl From<Balance> for Figures {
    fn from(balance: Balance) -> Self {
        let Balance {
            authorized_minor,
            captured_minor,
            capture_pending_minor,
            refunded_minor,
            refund_pending_minor,
            charged_back_minor,
            balance_minor,
            available_to_capture_minor,
            available_to_refund_minor,
        } = balance;
        Figures {
            authorized_minor: authorized_minor.into(),
            captured_minor: captured_minor.into(),
            capture_pending_minor: capture_pending_minor.into(),
            refunded_minor: refunded_minor.into(),
            refund_pending_minor: refund_pending_minor.into(),
            charged_back_minor: charged_back_minor.into(),
            balance_minor: balance_minor.into(),
            available_to_capture_minor: available_to_capture_minor.into(),
            available_to_refund_minor: available_to_refund_minor.into(),
        }
    }
}

/// A tenant's orders of one currency that differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sum {
    /// How many.
    pub orders: u64,
    /// What `to` has more than `from`, over all of them.
    pub more: Figures,
}

/// Sums by tenant and currency.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sums(BTreeMap<(TenantId, &'static str), Sum>);

impl Sums {
    /// By tenant and the currency's code, in this order.
    pub fn iter(&self) -> impl Iterator<Item = (&TenantId, &'static str, &Sum)> {
        self.0.iter().map(|((tenant, currency), sum)| (tenant, *currency, sum))
    }

    /// Counts an order in. One that only one side has counts in full, as if it were worth nothing on the other.
    pub(super) fn add(&mut self, rows: &OrderDifference) {
        let mut counted = None;
        for (found, sign) in [(&rows.from, -1), (&rows.to, 1)] {
            let Found::Order(side) = found else { continue };
            let order = &side.view.order;
            let currency = order.checkout.amount.currency().code();
            let sum = self.0.entry((rows.tenant.clone(), currency)).or_default();
            sum.more.add(order.balance(), sign);
            if counted != Some(currency) {
                sum.orders += 1;
                counted = Some(currency);
            }
        }
    }
}
