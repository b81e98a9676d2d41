//! The vendor's ids: encodings of the ledger's own, so that nothing has to be looked up or kept.

use std::fmt;
use std::str::FromStr;

use ledger::ids::{RecordId, RefundId};
use uuid::Uuid;

/// A text that is no id of the kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotAnId;

/// `chk_` and the order's id in 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CheckoutId(pub RecordId);

/// `ord_` and the order's id in 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OrderId(pub RecordId);

/// `pay_`, the order's id in 32 hexadecimal digits, and the attempt's number in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PaymentId {
    /// The order.
    pub order: RecordId,
    /// Which of its attempts, from 1.
    pub attempt: u32,
}

/// `cus_` and 32 hexadecimal digits that follow from the order: there is no register of customers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CustomerId(pub RecordId);

/// `ref_` and the refund's id in 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RefundNumber(pub RefundId);

impl fmt::Display for CheckoutId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "chk_{}", self.0.0.simple())
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ord_{}", self.0.0.simple())
    }
}

impl fmt::Display for PaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pay_{}{:x}", self.order.0.simple(), self.attempt)
    }
}

impl fmt::Display for CustomerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cus_{}", Uuid::new_v5(&self.0.0, b"orkestapay.customer").simple())
    }
}

impl fmt::Display for RefundNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ref_{}", self.0.0.simple())
    }
}

impl FromStr for CheckoutId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        only_spelling(text, CheckoutId(record(text, "chk_")?))
    }
}

impl FromStr for OrderId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        only_spelling(text, OrderId(record(text, "ord_")?))
    }
}

impl FromStr for PaymentId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let (id, attempt) = text.split_at_checked("pay_".len() + 32).ok_or(NotAnId)?;
        let attempt = u32::from_str_radix(attempt, 16).map_err(|_| NotAnId)?;
        only_spelling(text, PaymentId { order: record(id, "pay_")?, attempt })
    }
}

fn record(text: &str, prefix: &str) -> Result<RecordId, NotAnId> {
    let hex = text.strip_prefix(prefix).ok_or(NotAnId)?;
    Uuid::try_parse(hex).map(RecordId).map_err(|_| NotAnId)
}

/// One id has one spelling.
fn only_spelling<T: fmt::Display>(text: &str, id: T) -> Result<T, NotAnId> {
    if id.to_string() == text { Ok(id) } else { Err(NotAnId) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e69283cb55814402b9372a2f834cc8a8";

    #[test]
    fn an_id_reads_as_it_writes() {
        let order = RecordId(Uuid::try_parse(HEX).unwrap());
        assert_eq!(format!("chk_{HEX}").parse(), Ok(CheckoutId(order)));
        assert_eq!(format!("ord_{HEX}").parse(), Ok(OrderId(order)));
        assert_eq!(format!("pay_{HEX}1").parse(), Ok(PaymentId { order, attempt: 1 }));
        assert_eq!(format!("pay_{HEX}64").parse(), Ok(PaymentId { order, attempt: 100 }));
        // Pinned: the customer of an order keeps its id.
        assert_eq!(CustomerId(order).to_string(), "cus_7b37230343235d4380ad521101622d95");
    }

    #[test]
    fn an_id_has_one_spelling() {
        let hyphened = "e69283cb-5581-4402-b937-2a2f834cc8a8";
        for bad in ["", "ord_", HEX, &format!("chk_{HEX}"), &format!("ord_{}", HEX.to_uppercase())] {
            assert_eq!(bad.parse::<OrderId>(), Err(NotAnId), "{bad}");
        }
        assert_eq!(format!("ord_{hyphened}").parse::<OrderId>(), Err(NotAnId));
        for bad in ["", "01", "+1", "g", "ffffffffff"] {
            assert_eq!(format!("pay_{HEX}{bad}").parse::<PaymentId>(), Err(NotAnId), "{bad}");
        }
        assert_eq!("pay_é".parse::<PaymentId>(), Err(NotAnId));
    }
}
