//! A purchase order and the purchase that comes of it, read from an order and its history.

use async_graphql::SimpleObject;
use jiff::Timestamp;
use ledger::ids::{Position, RecordId, TenantId};
use ledger::order::Status;
use projections::views::history::CauseSummary;
use projections::views::{HistoryEntry, OrderView};

use super::NAME;
use super::refusal::Refusal;
use super::request::data;
use super::words::{Bigint, Country, Language, StatusWord, Timestamptz};
use crate::app::App;
use crate::orders::{self, OrderError};

/// An order that a customer is to authenticate and be approved for.
#[derive(Debug, Clone, PartialEq, Eq, SimpleObject)]
pub(super) struct PurchaseOrder {
    /// The `idempotencyKey` it was created with.
    pub(super) id: String,
    /// When it was created.
    pub(super) created_at: Timestamptz,
    /// The merchant's own name for it.
    pub(super) merchant_reference: String,
    /// Where the purchase is made.
    pub(super) purchase_country: Country,
    /// The language to talk to the customer in.
    pub(super) purchase_language: Language,
    /// The tax in the total, in minor units.
    pub(super) purchase_tax_amount: i64,
    /// What is to be paid, in minor units.
    pub(super) purchase_total_amount: i64,
    /// The purchase that came of it; null until the checkout is complete.
    pub(super) resulting_purchase_id: Option<Bigint>,
    /// Every status that it is in; always one.
    pub(super) status: Vec<PurchaseOrderStatus>,
    /// When the checkout was completed.
    #[graphql(skip)]
    pub(super) completed_at: Option<Timestamptz>,
    /// Where its first commit stands: what "newest" goes by.
    #[graphql(skip)]
    pub(super) first: Position,
}

/// A status and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SimpleObject)]
pub(super) struct PurchaseOrderStatus {
    /// The status.
    pub(super) status: StatusWord,
    /// Since when.
    pub(super) entered_at: Timestamptz,
}

/// A completed checkout.
#[derive(Debug, Clone, PartialEq, Eq, SimpleObject)]
pub(super) struct Purchase {
    /// The purchase's number, the `resultingPurchaseId` of its purchase order.
    id: Bigint,
    /// The `id` of the purchase order that it came of.
    purchase_order_id: String,
    /// When the checkout was completed.
    created_at: Timestamptz,
    /// The merchant's own name for it.
    merchant_reference: String,
    /// Where the purchase was made.
    purchase_country: Country,
    /// The language to talk to the customer in.
    purchase_language: Language,
    /// The tax in the total, in minor units.
    purchase_tax_amount: i64,
    /// What is to be paid, in minor units.
    purchase_total_amount: i64,
    /// Every status that it is in; always one.
    status: Vec<PurchaseOrderStatus>,
}

impl Purchase {
    /// The purchase that came of a purchase order, if its checkout was completed.
    pub(super) fn of(order: PurchaseOrder) -> Option<Purchase> {
        Some(Purchase {
            id: order.resulting_purchase_id?,
            purchase_order_id: order.id,
            created_at: order.completed_at?,
            merchant_reference: order.merchant_reference,
            purchase_country: order.purchase_country,
            purchase_language: order.purchase_language,
            purchase_tax_amount: order.purchase_tax_amount,
            purchase_total_amount: order.purchase_total_amount,
            status: order.status,
        })
    }
}

/// The purchase order under this id, as new as everything this node accepted. Orders that came in by another door
/// are none.
pub(super) async fn load(
    app: &App,
    tenant: &TenantId,
    record: RecordId,
) -> Result<Option<PurchaseOrder>, Refusal> {
    match orders::order(app, tenant, record, None).await {
        Ok(view) => read(app, &view).await,
        Err(OrderError::NotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The purchase order that this order is; none, if it came in by another door.
pub(super) async fn read(app: &App, view: &OrderView) -> Result<Option<PurchaseOrder>, Refusal> {
    if view.order.checkout.surface.name != NAME {
        return Ok(None);
    }
    let history = orders::history(app, &view.tenant, view.id, Some(view.last)).await?;
    PurchaseOrder::of(view, &history).map(Some)
}

impl PurchaseOrder {
    /// Everything that changes comes from the history alone, so that no two fields are of different moments.
    fn of(view: &OrderView, history: &[HistoryEntry]) -> Result<PurchaseOrder, Refusal> {
        let checkout = &view.order.checkout;
        let own = |name: &str| {
            let value = checkout.surface.data.get(name);
            value.ok_or_else(|| Refusal::internal(&format!("the order {} has no {name}", view.id)))
        };
        let unreadable =
            |name: &str| Refusal::internal(&format!("the order {}: {name} cannot be read", view.id));
        let standing = Standing::after(history).ok_or_else(|| unreadable("history"))?;
        let country = own(data::COUNTRY)?.parse().map_err(|()| unreadable(data::COUNTRY))?;
        let language = own(data::LANGUAGE)?.parse().map_err(|()| unreadable(data::LANGUAGE))?;
        let tax = own(data::TAX)?.parse().map_err(|_| unreadable(data::TAX))?;
        Ok(PurchaseOrder {
            id: own(data::ID)?.clone(),
            created_at: Timestamptz(view.created_at),
            merchant_reference: checkout.merchant_reference.clone(),
            purchase_country: country,
            purchase_language: language,
            purchase_tax_amount: tax,
            purchase_total_amount: checkout.amount.minor(),
            resulting_purchase_id: standing.completed_at.and_then(|_| purchase_id(view.first)),
            status: vec![PurchaseOrderStatus {
                status: standing.word,
                entered_at: Timestamptz(standing.entered_at),
            }],
            completed_at: standing.completed_at.map(Timestamptz),
            first: view.first,
        })
    }
}

/// Bits of a purchase's number that hold the partition.
const PARTITION_BITS: u32 = 10;

/// A purchase's number: where its order's first commit stands in the log, so it is unique, never changes, and needs
/// no counter. Ten bits are for the partition; the 43 that are left of an exact JSON number are for the sequence.
pub(super) fn purchase_id(first: Position) -> Option<Bigint> {
    let sequence = i64::try_from(first.sequence).ok()?;
    Some(Bigint(sequence.checked_mul(1 << PARTITION_BITS)? + i64::from(first.partition)))
}

/// The position that a purchase's number stands for.
pub(super) fn position_of(purchase: i64) -> Option<Position> {
    let sequence = u64::try_from(purchase).ok()? >> PARTITION_BITS;
    let partition = u16::try_from(purchase & ((1 << PARTITION_BITS) - 1)).ok()?;
    Some(Position { partition, sequence })
}

/// Where an order stands in the vendor's words, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Standing {
    word: StatusWord,
    entered_at: Timestamp,
    completed_at: Option<Timestamp>,
}

impl Standing {
    fn after(history: &[HistoryEntry]) -> Option<Standing> {
        let mut standing: Option<Standing> = None;
        let mut is_heard = false;
        for entry in history {
            is_heard |= matches!(entry.cause, CauseSummary::Webhook { .. });
            let word = word(entry.status, is_heard);
            let before = standing.filter(|before| before.word == word);
            let completed_before = standing.and_then(|before| before.completed_at);
            standing = Some(Standing {
                word,
                entered_at: before.map_or(entry.at, |before| before.entered_at),
                completed_at: completed_before.or(is_complete(entry.status).then_some(entry.at)),
            });
        }
        standing
    }
}

/// The vendor's word for a status; `is_heard`: the PSP has reported something.
pub(super) fn word(status: Status, is_heard: bool) -> StatusWord {
    match status {
        Status::Processing if is_heard => StatusWord::RiskScoring,
        Status::Processing => StatusWord::PreFlightScoring,
        Status::ActionRequired => StatusWord::ScaRequired,
        Status::Failed | Status::Expired => StatusWord::Rejected,
        Status::Authorized => StatusWord::WaitingForCapture,
        Status::PartiallyCaptured => StatusWord::PartiallyCaptured,
        Status::Captured | Status::PartiallyRefunded | Status::Refunded => StatusWord::CaptureDone,
        Status::Canceled => StatusWord::Cancelled,
    }
}

/// Whether the checkout is complete: the money is reserved, or has moved.
pub(super) fn is_complete(status: Status) -> bool {
    match status {
        Status::Authorized
        | Status::PartiallyCaptured
        | Status::Captured
        | Status::PartiallyRefunded
        | Status::Refunded => true,
        Status::Processing | Status::ActionRequired | Status::Failed | Status::Canceled | Status::Expired => {
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use ledger::order::Balance;

    use super::*;

    #[test]
    fn every_status_has_its_word() {
        let words = Status::ALL.map(|status| (status.as_str(), word(status, true).as_str()));
        let expect = [
            ("processing", "RISK_SCORING"),
            ("action_required", "SCA_REQUIRED"),
            ("authorized", "WAITING_FOR_CAPTURE"),
            ("partially_captured", "PARTIALLY_CAPTURED"),
            ("captured", "CAPTURE_DONE"),
            ("partially_refunded", "CAPTURE_DONE"),
            ("refunded", "CAPTURE_DONE"),
            ("failed", "REJECTED"),
            ("canceled", "CANCELLED"),
            ("expired", "REJECTED"),
        ];
        assert_eq!(words, expect);
        assert_eq!(word(Status::Processing, false), StatusWord::PreFlightScoring);
    }

    #[test]
    fn a_status_is_entered_once_and_a_purchase_stays_one() {
        let entry = |second: i64, status, from_the_psp: bool| HistoryEntry {
            position: Position { partition: 0, sequence: 1 },
            at: Timestamp::from_second(second).unwrap(),
            cause: match from_the_psp {
                true => CauseSummary::Webhook { source: "psp".to_owned(), event_id: "e".to_owned() },
                false => CauseSummary::Timer { name: "t".to_owned() },
            },
            events: Vec::new(),
            status,
            balance: Balance::default(),
            anomalies: Vec::new(),
        };
        let history = [
            entry(1, Status::Processing, false),
            entry(2, Status::Processing, true),
            entry(3, Status::Processing, true),
            entry(4, Status::Authorized, true),
            entry(5, Status::Authorized, true),
            entry(6, Status::Canceled, true),
        ];
        let after = |count: usize| {
            let standing = Standing::after(&history[..count]).unwrap();
            let completed = standing.completed_at.map(Timestamp::as_second);
            (standing.word.as_str(), standing.entered_at.as_second(), completed)
        };
        assert_eq!(after(1), ("PRE_FLIGHT_SCORING", 1, None));
        assert_eq!(after(3), ("RISK_SCORING", 2, None));
        assert_eq!(after(5), ("WAITING_FOR_CAPTURE", 4, Some(4)));
        assert_eq!(after(6), ("CANCELLED", 6, Some(4)));
        assert_eq!(Standing::after(&[]), None);
    }

    #[test]
    fn a_purchases_number_is_its_place_in_the_log() {
        for (partition, sequence) in [(0, 1), (3, 1), (1023, 8_796_093_022_207)] {
            let position = Position { partition, sequence };
            let Bigint(id) = purchase_id(position).unwrap();
            assert!(id < 1 << 53, "a JavaScript number holds it");
            assert_eq!(position_of(id), Some(position));
        }
        assert_eq!(position_of(-1), None);
    }
}
