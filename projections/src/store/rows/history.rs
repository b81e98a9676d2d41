//! The rows of an order's history: what happened, commit by commit.

use bincode::{BorrowDecode, Decode, Encode};
use ledger::ids::Position;
use ledger::money::Money;
use ledger::order::{Balance, Status};

use super::{MoneyRow, PositionRow, TimeRow, all, owned, status, status_code};
use crate::store::StoreError;
use crate::views::{CauseSummary, HistoryEntry, HistoryEvent};

/// One commit of an order's history: an element of a row that is a list.
#[derive(Encode, BorrowDecode)]
pub(crate) struct HistoryRow<'a> {
    position: PositionRow,
    at: TimeRow,
    cause: CauseRow<'a>,
    events: Vec<EventRow<'a>>,
    status: u8,
    balance: BalanceRow,
    anomalies: Vec<&'a str>,
    /// Its idempotency key gave the order its id: then there is no row for the key.
    opens: bool,
}

#[derive(Encode, BorrowDecode)]
enum CauseRow<'a> {
    Command(&'a str, Option<&'a str>),
    Webhook(&'a str, &'a str),
    Timer(&'a str),
}

#[derive(Encode, BorrowDecode)]
struct EventRow<'a> {
    name: &'a str,
    attempt: Option<u32>,
    amount: Option<MoneyRow<'a>>,
    reference: Option<&'a str>,
    detail: Option<&'a str>,
}

#[derive(Encode, Decode)]
struct BalanceRow {
    authorized_minor: i64,
    captured_minor: i64,
    capture_pending_minor: i64,
    refunded_minor: i64,
    refund_pending_minor: i64,
    charged_back_minor: i64,
    balance_minor: i64,
    available_to_capture_minor: i64,
    available_to_refund_minor: i64,
}

impl<'a> HistoryRow<'a> {
    pub(crate) fn of(entry: &'a HistoryEntry, opens: bool) -> Self {
        let HistoryEntry { position, at, cause, events, status, balance, anomalies } = entry;
        HistoryRow {
            position: (*position).into(),
            at: (*at).into(),
            cause: match cause {
                CauseSummary::Command { operation, key } => CauseRow::Command(operation, key.as_deref()),
                CauseSummary::Webhook { source, event_id } => CauseRow::Webhook(source, event_id),
                CauseSummary::Timer { name } => CauseRow::Timer(name),
            },
            events: events.iter().map(EventRow::from).collect(),
            status: status_code(*status),
            balance: (*balance).into(),
            anomalies: anomalies.iter().map(String::as_str).collect(),
            opens,
        }
    }

    /// Where it stands.
    pub(crate) fn position(&self) -> Position {
        self.position.into()
    }

    /// The order's status after it.
    pub(crate) fn status(&self) -> Result<Status, StoreError> {
        status(self.status)
    }

    /// Whether this is the commit whose idempotency key gave the order its id.
    pub(crate) fn opens(&self) -> bool {
        self.opens
    }
}

impl TryFrom<HistoryRow<'_>> for HistoryEntry {
    type Error = StoreError;

    fn try_from(row: HistoryRow<'_>) -> Result<Self, StoreError> {
        Ok(HistoryEntry {
            position: row.position.into(),
            at: row.at.try_into()?,
            cause: match row.cause {
                CauseRow::Command(operation, key) => {
                    CauseSummary::Command { operation: operation.to_owned(), key: owned(key) }
                }
                CauseRow::Webhook(source, event_id) => {
                    CauseSummary::Webhook { source: source.to_owned(), event_id: event_id.to_owned() }
                }
                CauseRow::Timer(name) => CauseSummary::Timer { name: name.to_owned() },
            },
            events: all(row.events)?,
            status: status(row.status)?,
            balance: row.balance.into(),
            anomalies: row.anomalies.into_iter().map(str::to_owned).collect(),
        })
    }
}

impl<'a> From<&'a HistoryEvent> for EventRow<'a> {
    fn from(event: &'a HistoryEvent) -> Self {
        let HistoryEvent { name, attempt, amount, reference, detail } = event;
        EventRow {
            name,
            attempt: *attempt,
            amount: amount.map(MoneyRow::from),
            reference: reference.as_deref(),
            detail: detail.as_deref(),
        }
    }
}

impl TryFrom<EventRow<'_>> for HistoryEvent {
    type Error = StoreError;

    fn try_from(row: EventRow<'_>) -> Result<Self, StoreError> {
        Ok(HistoryEvent {
            name: row.name.to_owned(),
            attempt: row.attempt,
            amount: row.amount.map(Money::try_from).transpose()?,
            reference: owned(row.reference),
            detail: owned(row.detail),
        })
    }
}

impl From<Balance> for BalanceRow {
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
        BalanceRow {
            authorized_minor,
            captured_minor,
            capture_pending_minor,
            refunded_minor,
            refund_pending_minor,
            charged_back_minor,
            balance_minor,
            available_to_capture_minor,
            available_to_refund_minor,
        }
    }
}

impl From<BalanceRow> for Balance {
    fn from(row: BalanceRow) -> Self {
        let BalanceRow {
            authorized_minor,
            captured_minor,
            capture_pending_minor,
            refunded_minor,
            refund_pending_minor,
            charged_back_minor,
            balance_minor,
            available_to_capture_minor,
            available_to_refund_minor,
        } = row;
        Balance {
            authorized_minor,
            captured_minor,
            capture_pending_minor,
            refunded_minor,
            refund_pending_minor,
            charged_back_minor,
            balance_minor,
            available_to_capture_minor,
            available_to_refund_minor,
        }
    }
}
