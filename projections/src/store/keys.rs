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
use uuid::Uuid;

use super::rows::{self, status_code};

/// A text of more bytes than this is named by its hash, so that a key never outgrows a page.
const LONGEST_TEXT: usize = 64;
const HASHED: u8 = 0xff;

/// How many bytes a position takes.
pub(crate) const POSITION: usize = 10;

/// A kind of row; its number is the first byte of its keys, and never used for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum RowKind {
    /// How far a partition is folded.
    Checkpoint = 0,
    /// An order.
    Order = 1,
    /// Some commits of an order's history.
    History = 2,
    /// Index: an order's id.
    OrderId = 3,
    /// Index: an order's status.
    ByStatus = 4,
    /// Index: the shop's name for an order.
    MerchantReference = 5,
    /// Index: a PSP's name for a payment of an order.
    PaymentReference = 6,
    /// What an idempotency key made.
    Idempotency = 7,
    /// Index: when an order expires.
    Expiry = 8,
    /// A tenant's totals in one currency.
    Totals = 9,
    /// An offer.
    Offer = 10,
    /// A quarantined webhook.
    Quarantine = 11,
    /// Index: a quarantined webhook's id.
    QuarantineId = 12,
    /// Index: what a quarantined webhook waits for.
    Waiting = 13,
    /// The digest of a generation.
    Digest = 14,
}

impl RowKind {
    /// The word for it in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            RowKind::Checkpoint => "checkpoint",
            RowKind::Order => "order",
            RowKind::History => "history",
            RowKind::OrderId => "order_id",
            RowKind::ByStatus => "by_status",
            RowKind::MerchantReference => "merchant_reference",
            RowKind::PaymentReference => "payment_reference",
            RowKind::Idempotency => "idempotency",
            RowKind::Expiry => "expiry",
            RowKind::Totals => "totals",
            RowKind::Offer => "offer",
            RowKind::Quarantine => "quarantine",
            RowKind::QuarantineId => "quarantine_id",
            RowKind::Waiting => "waiting",
            RowKind::Digest => "digest",
        }
    }
}

/// A key, or the beginning of one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key(Vec<u8>);

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl std::borrow::Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for Key {
    fn from(bytes: &[u8]) -> Self {
        Key(bytes.to_vec())
    }
}

impl Key {
    fn of(kind: RowKind) -> Self {
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

/// The beginning of all keys of a kind, or of those of one tenant where the kind names tenants.
pub(crate) fn all(kind: RowKind, tenant: Option<&TenantId>) -> Key {
    let all = Key(vec![kind as u8]);
    match tenant {
        // An expiry's key begins with its moment.
        Some(tenant) if kind != RowKind::Expiry => all.tenant(tenant),
        Some(_) | None => all,
    }
}

/// What is in a key: the tenant, if the kind names one, and the rest in words.
pub(crate) fn describe(kind: RowKind, key: &[u8]) -> (Option<TenantId>, String) {
    let Some((tenant, rest)) = tenant_and_rest(key) else { return (None, hex(key)) };
    let record = || Uuid::from_slice(rest).map_or_else(|_| hex(rest), |id| id.to_string());
    let words = match kind {
        RowKind::Totals => String::from_utf8_lossy(rest).into_owned(),
        RowKind::Offer | RowKind::OrderId | RowKind::QuarantineId => record(),
        RowKind::Idempotency | RowKind::MerchantReference | RowKind::PaymentReference => texts(rest),
        RowKind::Order | RowKind::Quarantine => texts(rest),
        RowKind::Waiting => match rest.split_first() {
            Some((1 | 2, text)) => texts(text),
            Some((_, record)) => {
                let id = record.first_chunk().map(|id| Uuid::from_bytes(*id).to_string());
                id.unwrap_or_else(|| hex(record))
            }
            None => String::new(),
        },
        RowKind::Checkpoint | RowKind::History | RowKind::ByStatus | RowKind::Expiry | RowKind::Digest => {
            hex(rest)
        }
    };
    (Some(tenant), words)
}

/// The tenant and the first commit of the order that this much of a key names, between its kind and its part.
pub(crate) fn order_named(name: &[u8]) -> Option<(TenantId, Position)> {
    let end = name.iter().position(|byte| *byte == 0)?;
    Some((rows::tenant(&name[..end]).ok()?, position_at_end(&name[end + 1..])?))
}

/// Texts, and the position that they end with.
fn texts(mut rest: &[u8]) -> String {
    let mut words = Vec::new();
    while rest.len() > POSITION {
        let (is_hashed, length) = match rest[0] {
            HASHED => (true, 32),
            length => (false, usize::from(length)),
        };
        let Some((text, after)) = rest[1..].split_at_checked(length) else { return hex(rest) };
        words.push(if is_hashed { hex(text) } else { String::from_utf8_lossy(text).into_owned() });
        rest = after;
    }
    words.extend(position_at_end(rest).map(|position| position.to_string()));
    words.join(" ")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a key names what a generation remembers of itself, which no digest counts.
pub(crate) fn is_bookkeeping(key: &[u8]) -> bool {
    key.first().is_some_and(|kind| [RowKind::Checkpoint as u8, RowKind::Digest as u8].contains(kind))
}

/// Whether a row under this key may be written when there is one already. Every other row is written where there is
/// none, and removed before it is written again.
pub(crate) fn is_overwritten(key: &[u8]) -> bool {
    let kinds = [RowKind::Order, RowKind::History, RowKind::Totals, RowKind::Offer, RowKind::Quarantine];
    key.first().is_some_and(|kind| kinds.map(|kind| kind as u8).contains(kind))
}

/// The first commit of the order, or of the webhook, whose own row or history a key names; none for another row.
pub(crate) fn opened_at(key: &[u8]) -> Option<Position> {
    let own = [RowKind::Order, RowKind::Quarantine].map(|kind| kind as u8);
    match key.first()? {
        kind if own.contains(kind) => position_at_end(key),
        kind if *kind == RowKind::History as u8 => position_at_end(key.split_last_chunk::<8>()?.0),
        _ => None,
    }
}

/// The first commit of the order whose own row a key names; none for another row.
pub(crate) fn order_at(key: &[u8]) -> Option<Position> {
    (*key.first()? == RowKind::Order as u8).then(|| position_at_end(key))?
}

/// The key of a generation's digest.
pub(crate) fn digest() -> Key {
    Key::of(RowKind::Digest)
}

/// The partition of a checkpoint's key.
pub(crate) fn checkpoint_partition(key: &[u8]) -> Option<u16> {
    let (rest, partition) = key.split_last_chunk::<2>()?;
    (rest == [RowKind::Checkpoint as u8]).then(|| u16::from_be_bytes(*partition))
}

pub(crate) fn checkpoints() -> Key {
    Key::of(RowKind::Checkpoint)
}

pub(crate) fn checkpoint(partition: u16) -> Key {
    checkpoints().bytes(&partition.to_be_bytes())
}

/// The tenant that a key names after its kind, and what follows; none when it names none.
pub(crate) fn tenant_and_rest(key: &[u8]) -> Option<(TenantId, &[u8])> {
    let (_, named) = key.split_first()?;
    let end = named.iter().position(|byte| *byte == 0)?;
    let tenant = std::str::from_utf8(&named[..end]).ok()?.parse().ok()?;
    Some((tenant, &named[end + 1..]))
}

/// Prefix of all tenants' orders.
pub(crate) fn all_orders() -> Key {
    Key::of(RowKind::Order)
}

/// Prefix of a tenant's orders; their positions follow.
pub(crate) fn orders(tenant: &TenantId) -> Key {
    Key::of(RowKind::Order).tenant(tenant)
}

/// Prefix of all tenants' histories.
pub(crate) fn all_history() -> Key {
    Key::of(RowKind::History)
}

/// Prefix of an order's history; the number of a part of it follows.
pub(crate) fn order_history(tenant: &TenantId, first: Position) -> Key {
    Key::of(RowKind::History).tenant(tenant).at(first)
}

pub(crate) fn history(tenant: &TenantId, first: Position, part: u64) -> Key {
    order_history(tenant, first).bytes(&part.to_be_bytes())
}

pub(crate) fn order_id(tenant: &TenantId, id: RecordId) -> Key {
    Key::of(RowKind::OrderId).tenant(tenant).record(id)
}

/// Prefix of a tenant's orders of one status; their positions follow.
pub(crate) fn by_status(tenant: &TenantId, status: Status) -> Key {
    Key::of(RowKind::ByStatus).tenant(tenant).bytes(&[status_code(status)])
}

/// Prefix of the orders of one merchant reference; their positions follow.
pub(crate) fn merchant_reference(tenant: &TenantId, reference: &str) -> Key {
    Key::of(RowKind::MerchantReference).tenant(tenant).text(reference)
}

/// Prefix of the orders of one payment reference; their positions follow.
pub(crate) fn payment_reference(tenant: &TenantId, reference: &str) -> Key {
    Key::of(RowKind::PaymentReference).tenant(tenant).text(reference)
}

/// Prefix of the commits of one idempotency key; their positions follow.
pub(crate) fn idempotency(tenant: &TenantId, operation: &str, key: &str) -> Key {
    Key::of(RowKind::Idempotency).tenant(tenant).text(operation).text(key)
}

/// Prefix of all that may expire.
pub(crate) fn expiries() -> Key {
    Key::of(RowKind::Expiry)
}

/// Prefix of what expires at one moment; positions follow.
pub(crate) fn expiry(at: Timestamp) -> Key {
    expiries().moment(at)
}

/// Prefix of all tenants' totals.
pub(crate) fn all_totals() -> Key {
    Key::of(RowKind::Totals)
}

/// Prefix of a tenant's totals; the currency's code follows.
pub(crate) fn tenant_totals(tenant: &TenantId) -> Key {
    Key::of(RowKind::Totals).tenant(tenant)
}

pub(crate) fn totals(tenant: &TenantId, currency: Currency) -> Key {
    tenant_totals(tenant).bytes(currency.code().as_bytes())
}

/// Prefix of all tenants' offers.
pub(crate) fn all_offers() -> Key {
    Key::of(RowKind::Offer)
}

pub(crate) fn offer(tenant: &TenantId, id: RecordId) -> Key {
    Key::of(RowKind::Offer).tenant(tenant).record(id)
}

/// Prefix of all tenants' quarantined webhooks.
pub(crate) fn all_quarantine() -> Key {
    Key::of(RowKind::Quarantine)
}

/// Prefix of a tenant's quarantined webhooks; their positions follow.
pub(crate) fn quarantine(tenant: &TenantId) -> Key {
    Key::of(RowKind::Quarantine).tenant(tenant)
}

pub(crate) fn quarantine_id(tenant: &TenantId, id: RecordId) -> Key {
    Key::of(RowKind::QuarantineId).tenant(tenant).record(id)
}

/// Prefix of all open waiting webhooks of all tenants.
pub(crate) fn all_waiting() -> Key {
    Key::of(RowKind::Waiting)
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
