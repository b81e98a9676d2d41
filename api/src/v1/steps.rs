//! What one commit changed of its order: the view before and after, and the postings in the books.

use ledger::accounts::{Figures, Posting, postings};
use ledger::order::Balance;
use projections::views::HistoryEntry;
use serde::Serialize;
use utoipa::ToSchema;

use super::shapes::StatusWord;

/// What one commit changed of its order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HistoryStep)]
pub(crate) struct StepJson {
    /// Null for the first commit.
    before: Option<StateJson>,
    after: StateJson,
    /// The fields of `before` and `after` that differ; of the first commit, those that are not empty or zero.
    changed: Vec<&'static str>,
    /// What it debits and credits. Empty where no money moved.
    postings: Vec<PostingJson>,
}

/// Where an order stands between two commits; money in whole minor units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = HistoryState)]
struct StateJson {
    #[schema(value_type = StatusWord)]
    status: &'static str,
    authorized: i64,
    captured: i64,
    capture_pending: i64,
    refunded: i64,
    refund_pending: i64,
    charged_back: i64,
    /// captured − refunded − charged back.
    balance: i64,
    available_to_capture: i64,
    available_to_refund: i64,
    /// Codes of the anomalies that stand.
    anomalies: Vec<String>,
}

/// One amount in whole minor units of the order's currency, from one account to another.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Posting)]
struct PostingJson {
    debit: &'static str,
    credit: &'static str,
    #[schema(value_type = i64)]
    amount: i128,
}

impl StepJson {
    /// What the commit of `entry` changed; `before` is the entry before it.
    pub(crate) fn of(before: Option<&HistoryEntry>, entry: &HistoryEntry) -> Self {
        StepJson {
            before: before.map(StateJson::of),
            after: StateJson::of(entry),
            changed: changed(before, entry),
            postings: postings_of(before, entry).iter().map(PostingJson::of).collect(),
        }
    }
}

impl StateJson {
    fn of(entry: &HistoryEntry) -> Self {
        let balance = &entry.balance;
        StateJson {
            status: entry.status.as_str(),
            authorized: balance.authorized_minor,
            captured: balance.captured_minor,
            capture_pending: balance.capture_pending_minor,
            refunded: balance.refunded_minor,
            refund_pending: balance.refund_pending_minor,
            charged_back: balance.charged_back_minor,
            balance: balance.balance_minor,
            available_to_capture: balance.available_to_capture_minor,
            available_to_refund: balance.available_to_refund_minor,
            anomalies: entry.anomalies.clone(),
        }
    }
}

impl PostingJson {
    fn of(posting: &Posting) -> Self {
        PostingJson {
            debit: posting.debit().as_str(),
            credit: posting.credit().as_str(),
            amount: posting.amount_minor(),
        }
    }
}

/// The names of what the commit of `entry` changed; `before` is the entry before it.
fn changed(before: Option<&HistoryEntry>, entry: &HistoryEntry) -> Vec<&'static str> {
    let figures_before = figures(&before.map(|before| before.balance).unwrap_or_default());
    let changed_figures = figures(&entry.balance).into_iter().zip(figures_before);
    let mut changed = Vec::new();
    if before.map(|before| before.status) != Some(entry.status) {
        changed.push("status");
    }
    changed.extend(changed_figures.filter(|(now, then)| now != then).map(|((name, _), _)| name));
    if before.map_or(&[][..], |before| &before.anomalies) != entry.anomalies {
        changed.push("anomalies");
    }
    changed
}

/// What the commit of `entry` posts; `before` is the entry before it.
pub(crate) fn postings_of(before: Option<&HistoryEntry>, entry: &HistoryEntry) -> Vec<Posting> {
    let figures = |entry: &HistoryEntry| Figures::from(&entry.balance);
    postings(&before.map(figures).unwrap_or_default(), &figures(entry))
}

/// An order's figures by name, in the order in which they are shown.
pub(crate) fn figures(balance: &Balance) -> [(&'static str, i64); 9] {
    [
        ("authorized", balance.authorized_minor),
        ("captured", balance.captured_minor),
        ("capture_pending", balance.capture_pending_minor),
        ("refunded", balance.refunded_minor),
        ("refund_pending", balance.refund_pending_minor),
        ("charged_back", balance.charged_back_minor),
        ("balance", balance.balance_minor),
        ("available_to_capture", balance.available_to_capture_minor),
        ("available_to_refund", balance.available_to_refund_minor),
    ]
}
