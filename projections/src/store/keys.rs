//! How rows are named: one byte for the kind of row, then big-endian parts, so that rows lie in the order in
//! which they are read.
//!
//! A position in a key is the sequence, then the partition: new orders' rows come after all others, in every
//! kind of row that has them, and that is where sled writes best.

use jiff::Timestamp;
use ledger::ids::{Position, RecordId, TenantId};
use ledger::money::Currency;
use ledger::order::Status;
use ledger::quarantine::MatchKey;
use sha2::{Digest as _, Sha256};

use super::rows::status_code;

/// A text of more bytes than this is named by its hash, so that a key never outgrows a page.
const LONGEST_TEXT: usize = 64;
const HASHED: u8 = 0xff;

/// The first byte of every key. A number is never used for another kind of row.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Kind {
    Checkpoint = 0,
    Order = 1,
    History = 2,
    OrderId = 3,
    ByStatus = 4,
    MerchantReference = 5,
    PaymentReference = 6,
    Idempotency = 7,
    Expiry = 8,
    Totals = 9,
    Offer = 10,
    Quarantine = 11,
    QuarantineId = 12,
    Waiting = 13,
    Digest = 14,
}

/// A key, or the beginning of one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key(Vec<u8>);

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Key {
    fn of(kind: Kind) -> Self {
        let mut bytes = Vec::with_capacity(64);
        bytes.push(kind as u8);
        Key(bytes)
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// A tenant's name has no zero byte, so none is the beginning of another.
    fn tenant(self, tenant: &TenantId) -> Self {
        self.bytes(tenant.as_str().as_bytes()).bytes(&[0])
    }

    fn record(self, id: RecordId) -> Self {
        self.bytes(id.0.as_bytes())
    }

    fn text(self, text: &str) -> Self {
        if text.len() <= LONGEST_TEXT {
            self.bytes(&[text.len() as u8]).bytes(text.as_bytes())
        } else {
            self.bytes(&[HASHED]).bytes(&Sha256::digest(text.as_bytes()))
        }
    }

    /// Appends a position, by which the rows under this prefix lie in the order of arrival.
    pub(crate) fn at(self, position: Position) -> Self {
        self.bytes(&position.sequence.to_be_bytes()).bytes(&position.partition.to_be_bytes())
    }

    fn moment(self, at: Timestamp) -> Self {
        // The sign bit flipped: moments before 1970 come first.
        let seconds = (at.as_second() as u64) ^ (1 << 63);
        self.bytes(&seconds.to_be_bytes()).bytes(&(at.subsec_nanosecond().unsigned_abs()).to_be_bytes())
    }

    /// The first key after this one.
    pub(crate) fn next(self) -> Self {
        self.bytes(&[0])
    }

    /// The first key after all that begin with this one.
    pub(crate) fn end(&self) -> Self {
        let mut bytes = self.0.clone();
        while let Some(last) = bytes.pop() {
            if last < u8::MAX {
                bytes.push(last + 1);
                break;
            }
        }
        Key(bytes)
    }
}

/// The position that a key ends with; none when it is too short.
pub(crate) fn position_at_end(key: &[u8]) -> Option<Position> {
    let (rest, partition) = key.split_last_chunk::<2>()?;
    let (_, sequence) = rest.split_last_chunk::<8>()?;
    Some(Position { partition: u16::from_be_bytes(*partition), sequence: u64::from_be_bytes(*sequence) })
}

/// Whether a key names what a generation remembers of itself, which no digest counts.
pub(crate) fn is_bookkeeping(key: &[u8]) -> bool {
    key.first().is_some_and(|kind| [Kind::Checkpoint as u8, Kind::Digest as u8].contains(kind))
}

/// Whether a row under this key may be written when there is one already. Every other row is written where there is
/// none, and removed before it is written again.
pub(crate) fn is_overwritten(key: &[u8]) -> bool {
    let kinds = [Kind::Order, Kind::History, Kind::Totals, Kind::Offer, Kind::Quarantine];
    key.first().is_some_and(|kind| kinds.map(|kind| kind as u8).contains(kind))
}

/// The first commit of the order, or of the webhook, whose own row or history a key names; none for another row.
pub(crate) fn opened_at(key: &[u8]) -> Option<Position> {
    let own = [Kind::Order, Kind::Quarantine].map(|kind| kind as u8);
    match key.first()? {
        kind if own.contains(kind) => position_at_end(key),
        kind if *kind == Kind::History as u8 => position_at_end(key.split_last_chunk::<8>()?.0),
        _ => None,
    }
}

/// The key of a generation's digest.
pub(crate) fn digest() -> Key {
    Key::of(Kind::Digest)
}

/// The partition of a checkpoint's key.
pub(crate) fn checkpoint_partition(key: &[u8]) -> Option<u16> {
    let (rest, partition) = key.split_last_chunk::<2>()?;
    (rest == [Kind::Checkpoint as u8]).then(|| u16::from_be_bytes(*partition))
}

pub(crate) fn checkpoints() -> Key {
    Key::of(Kind::Checkpoint)
}

pub(crate) fn checkpoint(partition: u16) -> Key {
    checkpoints().bytes(&partition.to_be_bytes())
}

/// The tenant that a key names after its kind, and what follows; none when it names none.
pub(crate) fn tenant_and_rest(key: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_, named) = key.split_first()?;
    let end = named.iter().position(|byte| *byte == 0)?;
    Some((&named[..end], &named[end + 1..]))
}

/// Prefix of all tenants' orders.
pub(crate) fn all_orders() -> Key {
    Key::of(Kind::Order)
}

/// Prefix of a tenant's orders; their positions follow.
pub(crate) fn orders(tenant: &TenantId) -> Key {
    Key::of(Kind::Order).tenant(tenant)
}

/// Prefix of an order's history; the number of a part of it follows.
pub(crate) fn order_history(tenant: &TenantId, first: Position) -> Key {
    Key::of(Kind::History).tenant(tenant).at(first)
}

pub(crate) fn history(tenant: &TenantId, first: Position, part: u64) -> Key {
    order_history(tenant, first).bytes(&part.to_be_bytes())
}

pub(crate) fn order_id(tenant: &TenantId, id: RecordId) -> Key {
    Key::of(Kind::OrderId).tenant(tenant).record(id)
}

/// Prefix of a tenant's orders of one status; their positions follow.
pub(crate) fn by_status(tenant: &TenantId, status: Status) -> Key {
    Key::of(Kind::ByStatus).tenant(tenant).bytes(&[status_code(status)])
}

/// Prefix of the orders of one merchant reference; their positions follow.
pub(crate) fn merchant_reference(tenant: &TenantId, reference: &str) -> Key {
    Key::of(Kind::MerchantReference).tenant(tenant).text(reference)
}

/// Prefix of the orders of one payment reference; their positions follow.
pub(crate) fn payment_reference(tenant: &TenantId, reference: &str) -> Key {
    Key::of(Kind::PaymentReference).tenant(tenant).text(reference)
}

/// Prefix of the commits of one idempotency key; their positions follow.
pub(crate) fn idempotency(tenant: &TenantId, operation: &str, key: &str) -> Key {
    Key::of(Kind::Idempotency).tenant(tenant).text(operation).text(key)
}

/// Prefix of all that may expire.
pub(crate) fn expiries() -> Key {
    Key::of(Kind::Expiry)
}

/// Prefix of what expires at one moment; positions follow.
pub(crate) fn expiry(at: Timestamp) -> Key {
    expiries().moment(at)
}

/// Prefix of all tenants' totals.
pub(crate) fn all_totals() -> Key {
    Key::of(Kind::Totals)
}

/// Prefix of a tenant's totals; the currency's code follows.
pub(crate) fn tenant_totals(tenant: &TenantId) -> Key {
    Key::of(Kind::Totals).tenant(tenant)
}

pub(crate) fn totals(tenant: &TenantId, currency: Currency) -> Key {
    tenant_totals(tenant).bytes(currency.code().as_bytes())
}

pub(crate) fn offer(tenant: &TenantId, id: RecordId) -> Key {
    Key::of(Kind::Offer).tenant(tenant).record(id)
}

/// Prefix of a tenant's quarantined webhooks; their positions follow.
pub(crate) fn quarantine(tenant: &TenantId) -> Key {
    Key::of(Kind::Quarantine).tenant(tenant)
}

pub(crate) fn quarantine_id(tenant: &TenantId, id: RecordId) -> Key {
    Key::of(Kind::QuarantineId).tenant(tenant).record(id)
}

/// Prefix of all open waiting webhooks of all tenants.
pub(crate) fn all_waiting() -> Key {
    Key::of(Kind::Waiting)
}

/// Prefix of the open webhooks that wait for one key; their positions follow.
pub(crate) fn waiting(tenant: &TenantId, wanted: &MatchKey) -> Key {
    let prefix = all_waiting().tenant(tenant);
    match wanted {
        MatchKey::Order(id) => prefix.bytes(&[0]).record(*id),
        MatchKey::PaymentReference(reference) => prefix.bytes(&[1]).text(reference),
        MatchKey::MerchantReference(reference) => prefix.bytes(&[2]).text(reference),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_lie_in_the_order_of_what_they_name() {
        let tenant: TenantId = "a".parse().unwrap();
        let at = |partition, sequence| orders(&tenant).at(Position { partition, sequence });
        assert!(at(9, 1) < at(0, 2) && at(0, 255) < at(0, 256) && at(0, 7) < at(1, 7));
        let moment = |text: &str| expiry(text.parse().unwrap());
        assert!(moment("1969-12-31T23:59:58Z") < moment("1970-01-01T00:00:00Z"));
        assert!(moment("2025-01-01T00:00:00.5Z") < moment("2025-01-01T00:00:00.75Z"));
        assert!(moment("2025-01-01T00:00:00.75Z") < moment("2025-01-01T00:00:01Z"));
    }

    #[test]
    fn no_name_runs_into_another() {
        let (a, b): (TenantId, TenantId) = ("a".parse().unwrap(), "ab".parse().unwrap());
        assert!(!merchant_reference(&b, "x").as_ref().starts_with(quarantine(&a).as_ref()));
        assert!(!merchant_reference(&a, "xy").as_ref().starts_with(merchant_reference(&a, "x").as_ref()));
        assert_ne!(idempotency(&a, "ab", "c"), idempotency(&a, "a", "bc"));
        assert!(merchant_reference(&a, &"x".repeat(100_000)).as_ref().len() < 100);
        assert_ne!(merchant_reference(&a, &"x".repeat(65)), merchant_reference(&a, &"x".repeat(66)));
    }

    #[test]
    fn a_prefix_ends_before_the_next() {
        assert_eq!(Key(vec![1, 2]).end(), Key(vec![1, 3]));
        assert_eq!(Key(vec![1, 255, 255]).end(), Key(vec![2]));
    }

    #[test]
    fn a_position_is_read_back_from_the_end_of_a_key() {
        let position = Position { partition: 3, sequence: 1 << 40 };
        let key = checkpoints().at(position);
        assert_eq!(position_at_end(key.as_ref()), Some(position));
        assert_eq!(checkpoint_partition(checkpoint(7).as_ref()), Some(7));
        assert_eq!(checkpoint_partition(key.as_ref()), None);
    }
}
