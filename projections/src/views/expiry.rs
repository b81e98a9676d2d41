//! The expiry view: which orders wait for a buyer, and until when.

use jiff::Timestamp;
use ledger::order::{Order, Status};

/// When the order expires by the clock, while it still can.
pub fn due_at(order: &Order) -> Option<Timestamp> {
    match order.status() {
        Status::Processing | Status::ActionRequired => Some(order.checkout.expires_at),
        Status::Authorized
        | Status::PartiallyCaptured
        | Status::Captured
        | Status::PartiallyRefunded
        | Status::Refunded
        | Status::Failed
        | Status::Canceled
        | Status::Expired => None,
    }
}
