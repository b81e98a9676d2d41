//! The totals view: a tenant's money, by currency, over all of its orders.

use ledger::accounts::Figures;
use ledger::money::Currency;
use ledger::order::Order;

/// Sums over a tenant's orders in one currency, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// How many orders.
    pub orders: i64,
    /// Authorized, captured or not.
    pub authorized_minor: i128,
    /// Captured.
    pub captured_minor: i128,
    /// Refunded.
    pub refunded_minor: i128,
    /// Refunds asked for and not yet settled.
    pub refund_pending_minor: i128,
    /// Taken back in disputes.
    pub charged_back_minor: i128,
    /// The orders' balances added up.
    pub balance_minor: i128,
}

impl Totals {
    /// What one order adds to its tenant's totals, and in which currency.
    pub fn of(order: &Order) -> (Currency, Totals) {
        let balance = order.balance();
        let totals = Totals {
            orders: 1,
            authorized_minor: balance.authorized_minor.into(),
            captured_minor: balance.captured_minor.into(),
            refunded_minor: balance.refunded_minor.into(),
            refund_pending_minor: balance.refund_pending_minor.into(),
            charged_back_minor: balance.charged_back_minor.into(),
            balance_minor: balance.balance_minor.into(),
        };
        (order.checkout.amount.currency(), totals)
    }
}

impl From<&Totals> for Figures {
    fn from(totals: &Totals) -> Self {
        Figures {
            captured_minor: totals.captured_minor,
            refunded_minor: totals.refunded_minor,
            refund_pending_minor: totals.refund_pending_minor,
            charged_back_minor: totals.charged_back_minor,
            balance_minor: totals.balance_minor,
        }
    }
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, other: Totals) {
        self.orders += other.orders;
        self.authorized_minor += other.authorized_minor;
        self.captured_minor += other.captured_minor;
        self.refunded_minor += other.refunded_minor;
        self.refund_pending_minor += other.refund_pending_minor;
        self.charged_back_minor += other.charged_back_minor;
        self.balance_minor += other.balance_minor;
    }
}

impl std::ops::SubAssign for Totals {
    fn sub_assign(&mut self, other: Totals) {
        self.orders -= other.orders;
        self.authorized_minor -= other.authorized_minor;
        self.captured_minor -= other.captured_minor;
        self.refunded_minor -= other.refunded_minor;
        self.refund_pending_minor -= other.refund_pending_minor;
        self.charged_back_minor -= other.charged_back_minor;
        self.balance_minor -= other.balance_minor;
    }
}
