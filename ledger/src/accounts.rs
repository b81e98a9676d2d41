//! Double entry: what each change of an order's money debits and credits.
//!
//! Pure. The accounts are another way to read an order's balance, never a second record of it: an account's balance
//! is a function of the balance's figures, and a commit posts what it changed in them. So facts that come late,
//! twice or in another order end in the same books, and a movement that is taken back is posted back.
//!
//! What must stay true: whatever is added to one account is taken from another in the same step. [`Posting`] and
//! [`TrialBalance`] cannot be made in any other way.

use std::ops::AddAssign;

use crate::order::Balance;

/// The chart of accounts, in the order in which a trial balance lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// What the PSPs have captured. Debit.
    PspClearing,
    /// What the PSPs have paid back to buyers out of it. Credit, held against `psp_clearing`.
    RefundsPaid,
    /// What banks have taken back out of it in disputes that were not won. Credit, held against `psp_clearing`.
    Disputes,
    /// What buyers owe because more went back to them than was captured. Debit.
    CustomerReceivable,
    /// What is owed to the merchant. Credit.
    MerchantPayable,
    /// Refunds that were asked for and have not settled: reserved from what is owed to the merchant. Credit.
    RefundsPayable,
}

/// What an account is, as accountants sort them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Something that is owned or due.
    Asset,
    /// Something that is held against an asset.
    ContraAsset,
    /// Something that is owed.
    Liability,
}

impl Account {
    /// Every account, in the order declared.
    pub const ALL: [Account; 6] = [
        Account::PspClearing,
        Account::RefundsPaid,
        Account::Disputes,
        Account::CustomerReceivable,
        Account::MerchantPayable,
        Account::RefundsPayable,
    ];

    /// The word that the API and the docs use.
    pub fn as_str(self) -> &'static str {
        match self {
            Account::PspClearing => "psp_clearing",
            Account::RefundsPaid => "refunds_paid",
            Account::Disputes => "disputes",
            Account::CustomerReceivable => "customer_receivable",
            Account::MerchantPayable => "merchant_payable",
            Account::RefundsPayable => "refunds_payable",
        }
    }

    /// What kind of account it is.
    pub fn kind(self) -> Kind {
        match self {
            Account::PspClearing | Account::CustomerReceivable => Kind::Asset,
            Account::RefundsPaid | Account::Disputes => Kind::ContraAsset,
            Account::MerchantPayable | Account::RefundsPayable => Kind::Liability,
        }
    }
}

impl Kind {
    /// The word that the API and the docs use.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Asset => "asset",
            Kind::ContraAsset => "contra_asset",
            Kind::Liability => "liability",
        }
    }
}

/// The figures of a balance, or of a sum of balances in one currency, that the accounts are kept by. Minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Captures settled.
    pub captured_minor: i128,
    /// Refunds settled.
    pub refunded_minor: i128,
    /// Refunds asked for and not yet settled.
    pub refund_pending_minor: i128,
    /// Taken back in disputes.
    pub charged_back_minor: i128,
    /// Order by order, captured − refunded − charged back, or zero where that is less.
    pub balance_minor: i128,
}

impl From<&Balance> for Figures {
    fn from(balance: &Balance) -> Self {
        Figures {
            captured_minor: balance.captured_minor.into(),
            refunded_minor: balance.refunded_minor.into(),
            refund_pending_minor: balance.refund_pending_minor.into(),
            charged_back_minor: balance.charged_back_minor.into(),
            balance_minor: balance.balance_minor.into(),
        }
    }
}

impl Figures {
    /// What more went back than was captured, order by order.
    fn excess_minor(&self) -> i128 {
        self.balance_minor - (self.captured_minor - self.refunded_minor - self.charged_back_minor)
    }
}

/// One amount, from the credit of one account to the debit of another. Always above zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Posting {
    debit: Account,
    credit: Account,
    amount_minor: i128,
}

impl Posting {
    /// The posting that moves `amount_minor` from `credit` to `debit`; a negative amount is the same the other way
    /// round. None where nothing moves.
    fn of(debit: Account, credit: Account, amount_minor: i128) -> Option<Self> {
        match amount_minor {
            _ if debit == credit => None,
            0 => None,
            1.. => Some(Posting { debit, credit, amount_minor }),
            ..=-1 => Some(Posting { debit: credit, credit: debit, amount_minor: -amount_minor }),
        }
    }

    /// The account that is debited.
    pub fn debit(&self) -> Account {
        self.debit
    }

    /// The account that is credited.
    pub fn credit(&self) -> Account {
        self.credit
    }

    /// How much, in minor units of the order's currency.
    pub fn amount_minor(&self) -> i128 {
        self.amount_minor
    }
}

/// What a change from `before` to `after` posts. Nothing where no money moved or was reserved: an authorization, a
/// capture that was only asked for and the end of an order are no entries in the books.
pub fn postings(before: &Figures, after: &Figures) -> Vec<Posting> {
    use Account::{CustomerReceivable, Disputes, MerchantPayable, PspClearing, RefundsPaid, RefundsPayable};
    let change = |figure: fn(&Figures) -> i128| figure(after) - figure(before);
    let captured = change(|f| f.captured_minor);
    let reserved = change(|f| f.refund_pending_minor);
    let refunded = change(|f| f.refunded_minor);
    let charged_back = change(|f| f.charged_back_minor);
    let excess = change(Figures::excess_minor);
    // A refund that was asked for is paid out of what was reserved for it; any other is the merchant's to bear.
    let from_reserve = match (reserved, refunded) {
        (..=-1, 1..) => refunded.min(-reserved),
        (1.., ..=-1) => refunded.max(-reserved),
        _ => 0,
    };
    let entries = [
        (PspClearing, MerchantPayable, captured),
        (RefundsPayable, RefundsPaid, from_reserve),
        (MerchantPayable, RefundsPaid, refunded - from_reserve),
        (MerchantPayable, RefundsPayable, reserved + from_reserve),
        (MerchantPayable, Disputes, charged_back),
        (CustomerReceivable, MerchantPayable, excess),
    ];
    entries.into_iter().filter_map(|(debit, credit, amount)| Posting::of(debit, credit, amount)).collect()
}

/// What each account holds, in minor units of one currency.
///
/// It changes by postings and by the sum of two of them alone, so it sums to zero by construction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TrialBalance {
    /// Debits less credits, in the order of [`Account::ALL`].
    balances_minor: [i128; Account::ALL.len()],
}

impl TrialBalance {
    /// The books of an order, or of many, with these figures.
    pub fn of(figures: &Figures) -> Self {
        postings(&Figures::default(), figures).iter().copied().collect()
    }

    /// Enters a posting.
    pub fn post(&mut self, posting: Posting) {
        self.balances_minor[posting.debit as usize] += posting.amount_minor;
        self.balances_minor[posting.credit as usize] -= posting.amount_minor;
    }

    /// Debits less credits of an account: below zero where it stands in credit.
    pub fn balance_minor(&self, account: Account) -> i128 {
        self.balances_minor[account as usize]
    }

    /// The sum of the accounts that stand in debit.
    pub fn debit_minor(&self) -> i128 {
        self.balances_minor.iter().filter(|&&balance| balance > 0).sum()
    }

    /// The sum of the accounts that stand in credit, as a number of zero or more.
    pub fn credit_minor(&self) -> i128 {
        -self.balances_minor.iter().filter(|&&balance| balance < 0).sum::<i128>()
    }

    /// Debits and credits are equal.
    pub fn is_balanced(&self) -> bool {
        self.balances_minor.iter().sum::<i128>() == 0
    }

    /// The figures that the accounts say. [`TrialBalance::of`] the other way round.
    pub fn figures(&self) -> Figures {
        let credit = |account| -self.balance_minor(account);
        Figures {
            captured_minor: self.balance_minor(Account::PspClearing),
            refunded_minor: credit(Account::RefundsPaid),
            refund_pending_minor: credit(Account::RefundsPayable),
            charged_back_minor: credit(Account::Disputes),
            balance_minor: credit(Account::MerchantPayable) + credit(Account::RefundsPayable),
        }
    }
}

impl FromIterator<Posting> for TrialBalance {
    fn from_iter<I: IntoIterator<Item = Posting>>(postings: I) -> Self {
        let mut books = TrialBalance::default();
        postings.into_iter().for_each(|posting| books.post(posting));
        books
    }
}

impl AddAssign for TrialBalance {
    fn add_assign(&mut self, other: TrialBalance) {
        for (balance, more) in self.balances_minor.iter_mut().zip(other.balances_minor) {
            *balance += more;
        }
    }
}

/// Books that do not say what the balances say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// Debits and credits differ.
    #[error("debits of {debit_minor} and credits of {credit_minor} minor units")]
    Unbalanced {
        /// The sum of the accounts that stand in debit.
        debit_minor: i128,
        /// The sum of the accounts that stand in credit.
        credit_minor: i128,
    },
    /// An account holds something else than the figures say.
    #[error("{} holds {found_minor} minor units instead of {expected_minor}", account.as_str())]
    Account {
        /// Which.
        account: Account,
        /// What the figures say, debits less credits.
        expected_minor: i128,
        /// What it holds.
        found_minor: i128,
    },
}

/// Holds books that were posted step by step against the figures that came out of it: of one order, or the sums over
/// many in one currency.
pub fn check(books: &TrialBalance, figures: &Figures) -> Result<(), Mismatch> {
    let (debit_minor, credit_minor) = (books.debit_minor(), books.credit_minor());
    if debit_minor != credit_minor {
        return Err(Mismatch::Unbalanced { debit_minor, credit_minor });
    }
    let expected = TrialBalance::of(figures);
    for account in Account::ALL {
        let (expected_minor, found_minor) = (expected.balance_minor(account), books.balance_minor(account));
        if expected_minor != found_minor {
            return Err(Mismatch::Account { account, expected_minor, found_minor });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Account::{
        CustomerReceivable, Disputes, MerchantPayable, PspClearing, RefundsPaid, RefundsPayable,
    };
    use super::*;

    /// captured, refunded, refund pending, charged back.
    fn figures([captured, refunded, pending, charged_back]: [i128; 4]) -> Figures {
        Figures {
            captured_minor: captured,
            refunded_minor: refunded,
            refund_pending_minor: pending,
            charged_back_minor: charged_back,
            balance_minor: (captured - refunded - charged_back).max(0),
        }
    }

    #[track_caller]
    fn check_postings(before: [i128; 4], after: [i128; 4], expect: &[(Account, Account, i128)]) {
        let posted = postings(&figures(before), &figures(after));
        let shown: Vec<_> = posted.iter().map(|p| (p.debit(), p.credit(), p.amount_minor())).collect();
        assert_eq!(shown, expect);
        let mut books = TrialBalance::of(&figures(before));
        posted.into_iter().for_each(|posting| books.post(posting));
        assert_eq!(check(&books, &figures(after)), Ok(()));
    }

    #[test]
    fn each_change_has_its_postings() {
        check_postings([0; 4], [0; 4], &[]);
        check_postings([0; 4], [100, 0, 0, 0], &[(PspClearing, MerchantPayable, 100)]);
        check_postings([100, 0, 0, 0], [0; 4], &[(MerchantPayable, PspClearing, 100)]);
        check_postings([100, 0, 0, 0], [100, 0, 30, 0], &[(MerchantPayable, RefundsPayable, 30)]);
        check_postings([100, 0, 30, 0], [100, 0, 0, 0], &[(RefundsPayable, MerchantPayable, 30)]);
        check_postings([100, 0, 30, 0], [100, 30, 0, 0], &[(RefundsPayable, RefundsPaid, 30)]);
        check_postings([100, 0, 0, 0], [100, 30, 0, 0], &[(MerchantPayable, RefundsPaid, 30)]);
        check_postings([100, 30, 0, 0], [100, 0, 0, 0], &[(RefundsPaid, MerchantPayable, 30)]);
        check_postings([100, 0, 0, 0], [100, 0, 0, 100], &[(MerchantPayable, Disputes, 100)]);
        check_postings([100, 0, 0, 100], [100, 0, 0, 0], &[(Disputes, MerchantPayable, 100)]);
    }

    #[test]
    fn a_refund_of_another_amount_than_was_asked_for_gives_back_or_takes_the_rest() {
        let less = [(RefundsPayable, RefundsPaid, 20), (RefundsPayable, MerchantPayable, 10)];
        check_postings([100, 0, 30, 0], [100, 20, 0, 0], &less);
        let more = [(RefundsPayable, RefundsPaid, 30), (MerchantPayable, RefundsPaid, 10)];
        check_postings([100, 0, 30, 0], [100, 40, 0, 0], &more);
    }

    #[test]
    fn what_went_back_beyond_the_capture_is_due_from_the_buyer() {
        let early = [(MerchantPayable, RefundsPaid, 40), (CustomerReceivable, MerchantPayable, 40)];
        check_postings([0; 4], [0, 40, 0, 0], &early);
        let late = [(PspClearing, MerchantPayable, 100), (MerchantPayable, CustomerReceivable, 40)];
        check_postings([0, 40, 0, 0], [100, 40, 0, 0], &late);
    }

    #[test]
    fn books_that_say_something_else_are_found() {
        let books = TrialBalance::of(&figures([100, 30, 0, 0]));
        assert_eq!(books.figures(), figures([100, 30, 0, 0]));
        let expect = Mismatch::Account { account: RefundsPaid, expected_minor: -20, found_minor: -30 };
        assert_eq!(check(&books, &figures([100, 20, 0, 0])), Err(expect));
    }
}
