//! One message: what an order's status change looks like on the wire. Made of the log alone, so that a message that
//! is sent again is the same message.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use jiff::Timestamp;
use ledger::codec;
use ledger::commit::Recorded;
use ledger::execute::{Aggregate, Ledger, LoadError, fold};
use ledger::ids::{InvalidId, Position, RecordId, TenantId, TrackingNumber};
use ledger::journal::Stored;
use ledger::order::{Event, Order, Status};
use serde::Serialize;

use crate::v1::amount::Amount;
use crate::v1::shapes::{BalanceJson, time};

/// The only type of message.
const TYPE: &str = "order.status_changed";
const PREFIX: &str = "ntf_";

/// `webhook-id` of a message: `ntf_<order id>_<position>`. The same however often it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotificationId {
    /// The order whose status changed.
    pub order: RecordId,
    /// The commit that changed it.
    pub position: Position,
}

impl fmt::Display for NotificationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}_{}", self.order, self.position)
    }
}

impl FromStr for NotificationId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId { kind: "notification id", text: text.to_owned() };
        let parts = text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')).ok_or_else(invalid)?;
        Ok(NotificationId { order: parts.0.parse()?, position: parts.1.parse()? })
    }
}

/// A status change, and what is said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) id: NotificationId,
    /// When the commit was decided.
    pub(super) at: Timestamp,
    /// The message, encoded.
    pub(super) body: Bytes,
}

#[derive(Serialize)]
struct MessageJson {
    r#type: &'static str,
    timestamp: String,
    data: DataJson,
}

#[derive(Serialize)]
struct DataJson {
    order_id: String,
    tracking_number: String,
    merchant_reference: String,
    surface: String,
    status: &'static str,
    previous_status: Option<&'static str>,
    position: String,
    amount: Amount,
    balance: BalanceJson,
}

impl Change {
    /// The status change that a commit made; none if the order's status is the same as before it, or if the commit
    /// is about no order.
    pub(super) async fn by(ledger: &Ledger, stored: &Stored) -> Result<Option<Change>, LoadError> {
        let Stored { position, ref subject, ref bytes } = *stored;
        let corrupt = |error: codec::DecodeError| LoadError::Corrupt { position, reason: error.to_string() };
        let commit = codec::decode(bytes).map_err(corrupt)?;
        match Order::from_changes(&commit.changes) {
            None => Ok(None),
            // An order's first commit: nothing before it has to be looked up.
            Some([Event::CheckoutSubmitted(_), ..]) => {
                find([Recorded { position, commit }], NotificationId { order: subject.id, position })
            }
            Some(_) => {
                Change::load(ledger, &subject.tenant, NotificationId { order: subject.id, position }).await
            }
        }
    }

    /// The same change again, from the order's commits.
    pub(super) async fn load(
        ledger: &Ledger,
        tenant: &TenantId,
        id: NotificationId,
    ) -> Result<Option<Change>, LoadError> {
        find(ledger.commits(tenant, id.order).await?, id)
    }
}

fn find(
    commits: impl IntoIterator<Item = Recorded>,
    id: NotificationId,
) -> Result<Option<Change>, LoadError> {
    let mut before = None;
    let mut change = None;
    fold(commits, |recorded, order: &Order| {
        let status = order.status();
        if recorded.position == id.position && before != Some(status) {
            let at = recorded.commit.decided_at;
            change = Some(encode(id, at, order, before).map(|body| Change { id, at, body }));
        }
        before = Some(status);
    })?;
    change.transpose().map_err(|error: serde_json::Error| LoadError::Corrupt {
        position: id.position,
        reason: error.to_string(),
    })
}

fn encode(
    id: NotificationId,
    at: Timestamp,
    order: &Order,
    before: Option<Status>,
) -> Result<Bytes, serde_json::Error> {
    let checkout = &order.checkout;
    let message = MessageJson {
        r#type: TYPE,
        timestamp: time(at),
        data: DataJson {
            order_id: id.order.to_string(),
            tracking_number: TrackingNumber(id.order).to_string(),
            merchant_reference: checkout.merchant_reference.clone(),
            surface: checkout.surface.name.clone(),
            status: order.status().as_str(),
            previous_status: before.map(Status::as_str),
            position: id.position.to_string(),
            amount: checkout.amount.into(),
            balance: BalanceJson::of(id.order, order, id.position),
        },
    };
    Ok(serde_json::to_vec(&message)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_as_it_writes() {
        let text = "ntf_bd6fdb1c-5e78-55f9-aee6-ed210905f6db_0-42";
        assert_eq!(text.parse::<NotificationId>().map(|id| id.to_string()), Ok(text.to_owned()));
        for bad in ["", "ntf_", "ntf_x_0-42", "ntf_bd6fdb1c-5e78-55f9-aee6-ed210905f6db", "evt_1"] {
            assert!(bad.parse::<NotificationId>().is_err(), "{bad}");
        }
    }
}
