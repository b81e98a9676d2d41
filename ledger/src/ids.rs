//! Names for things: tenants, orders, commits and positions.
//!
//! Every id here is plain data with one textual form. An order id is derived from the caller's idempotency
//! key whenever there is one, so "the same key" finds "the same order" with no second store to ask.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

/// Namespace of every UUIDv5 that Daybook derives. Changing it would orphan every idempotency key ever used.
const NAMESPACE: Uuid = Uuid::from_u128(0x6461_7962_6f6f_6b00_8000_6f72_6465_7273);

/// A text that is not a valid id of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a valid {kind}")]
pub struct InvalidId {
    /// What was expected, in words.
    pub kind: &'static str,
    /// What was found.
    pub text: String,
}

impl InvalidId {
    pub(crate) fn of(kind: &'static str, text: &str) -> Self {
        InvalidId { kind, text: text.to_owned() }
    }
}

/// A tenant's name: 1 to 32 characters of `a-z 0-9 -`, starting with a letter or digit.
///
/// The alphabet is that of a NATS subject token, a URL path segment and a file name alike, so a tenant's name
/// is never escaped anywhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(String);

impl TenantId {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TenantId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let alphabet = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let fits = (1..=32).contains(&text.len()) && text.bytes().all(alphabet) && !text.starts_with('-');
        if !fits {
            return Err(InvalidId { kind: "tenant", text: text.to_owned() });
        }
        Ok(TenantId(text.to_owned()))
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Declares an id that is a UUID and shows as lower-case hyphenated text.
macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            /// Accepts the canonical form only, so that one id has one spelling.
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                // Only the hyphenated form has this length.
                let is_canonical =
                    text.len() == Hyphenated::LENGTH && !text.bytes().any(|b| b.is_ascii_uppercase());
                match Uuid::try_parse(text) {
                    Ok(id) if is_canonical => Ok($name(id)),
                    Ok(_) | Err(_) => Err(InvalidId { kind: $kind, text: text.to_owned() }),
                }
            }
        }
    };
}

uuid_id!(
    /// The id of an order, an offer or a quarantined webhook: of whatever one subject of the log is about.
    RecordId,
    "record id"
);
uuid_id!(
    /// The id of one commit. A retry of the same append carries the same id.
    CommitId,
    "commit id"
);
uuid_id!(
    /// The id of a capture that was asked for; the PSP's webhook names it when it settles or fails.
    CaptureId,
    "capture id"
);
uuid_id!(
    /// The id of a refund that was asked for; the PSP's webhook names it when it settles or fails.
    RefundId,
    "refund id"
);

impl RecordId {
    /// The id that (tenant, kind of operation, idempotency key) has always had and will always have: a UUIDv5.
    pub fn for_key(tenant: &TenantId, operation: &str, key: &str) -> Self {
        RecordId(derive(&[tenant.as_str(), operation, key]))
    }

    /// A new id for an operation without a key: a UUIDv7, so ids sort by the time they were made.
    pub fn random() -> Self {
        RecordId(Uuid::now_v7())
    }
}

impl CommitId {
    /// A new id, a UUIDv7.
    pub fn random() -> Self {
        CommitId(Uuid::now_v7())
    }
}

impl CaptureId {
    /// The id of the capture that this key asked for on this order; random when there is no key.
    pub fn for_key(order: RecordId, key: Option<&str>) -> Self {
        CaptureId(child(order, "capture", key))
    }
}

impl RefundId {
    /// The id of the refund that this key asked for on this order; random when there is no key.
    pub fn for_key(order: RecordId, key: Option<&str>) -> Self {
        RefundId(child(order, "refund", key))
    }
}

fn child(order: RecordId, kind: &str, key: Option<&str>) -> Uuid {
    key.map_or_else(Uuid::now_v7, |key| derive(&[&order.to_string(), kind, key]))
}

/// UUIDv5 over the parts, each preceded by its length, so that ("ab", "c") and ("a", "bc") differ.
fn derive(parts: &[&str]) -> Uuid {
    let mut name = Vec::new();
    for part in parts {
        name.extend_from_slice(&(part.len() as u64).to_be_bytes());
        name.extend_from_slice(part.as_bytes());
    }
    Uuid::new_v5(&NAMESPACE, &name)
}

/// `trk_` and 26 characters of Crockford's base 32: the order's id in the spelling that shops are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackingNumber(pub RecordId);

/// Crockford's alphabet: no I, L, O or U, so that nothing read aloud is misheard.
const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const TRACKING_PREFIX: &str = "trk_";
const TRACKING_DIGITS: usize = 26;

impl fmt::Display for TrackingNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0.0.as_u128();
        let digits: [u8; TRACKING_DIGITS] =
            std::array::from_fn(|i| CROCKFORD[(value >> (5 * (TRACKING_DIGITS - 1 - i))) as usize & 31]);
        f.write_str(TRACKING_PREFIX)?;
        f.write_str(std::str::from_utf8(&digits).map_err(|_not_ascii| fmt::Error)?)
    }
}

impl FromStr for TrackingNumber {
    type Err = InvalidId;

    /// Accepts exactly what `Display` writes: one order has one tracking number.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId { kind: "tracking number", text: text.to_owned() };
        let digits = text.strip_prefix(TRACKING_PREFIX).ok_or_else(invalid)?;
        if digits.len() != TRACKING_DIGITS {
            return Err(invalid());
        }
        let mut value: u128 = 0;
        for symbol in digits.bytes() {
            let digit = CROCKFORD.iter().position(|&c| c == symbol).ok_or_else(invalid)?;
            value = value.checked_mul(32).ok_or_else(invalid)? | digit as u128;
        }
        Ok(TrackingNumber(RecordId(Uuid::from_u128(value))))
    }
}

/// A place in the log: the partition and the sequence in it. Sequences start at 1 and have no gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Which stream of the journal.
    pub partition: u16,
    /// Which message of that stream, from 1.
    pub sequence: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.partition, self.sequence)
    }
}

impl FromStr for Position {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let parts = text.split_once('-').and_then(|(p, s)| Some((p.parse().ok()?, s.parse().ok()?)));
        match parts.map(|(partition, sequence)| Position { partition, sequence }) {
            Some(position) if position.to_string() == text => Ok(position),
            Some(_) | None => Err(InvalidId { kind: "position", text: text.to_owned() }),
        }
    }
}

/// SHA-256 of a request in its canonical form, to tell a retry from another request under the same key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestHash(pub [u8; 32]);

impl RequestHash {
    /// Stands where the hash is sealed and was not opened, or can never be again.
    pub const UNKNOWN: RequestHash = RequestHash([0; 32]);

    /// Whether a request with the hash `now` can be the one of this hash. Of a hash that nobody knows any more, every
    /// one can: the first answer stands, and nothing new is made.
    pub fn is_repeated_by(self, now: RequestHash) -> bool {
        self == now || self == RequestHash::UNKNOWN
    }

    /// Hashes the canonical bytes of a request. Card numbers must have been removed from them.
    pub fn of(canonical: &[u8]) -> Self {
        RequestHash(Sha256::digest(canonical).into())
    }
}

impl fmt::Display for RequestHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for RequestHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestHash({self})")
    }
}

impl FromStr for RequestHash {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        data_encoding::HEXLOWER
            .decode(text.as_bytes())
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .map(RequestHash)
            .ok_or_else(|| InvalidId { kind: "request hash", text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_a_subject_token() {
        for good in ["demo", "a", "shop-42", "0x"] {
            assert_eq!(good.parse::<TenantId>().map(|t| t.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "-a", "A", "a.b", "a b", "a*", "a>", "ä", &"x".repeat(33)] {
            assert!(bad.parse::<TenantId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_same_key_is_the_same_order_for_ever() {
        let tenant: TenantId = "demo".parse().unwrap();
        let id = RecordId::for_key(&tenant, "checkout", "A-1001");
        // Pinned: a change here would let an old key be used twice.
        assert_eq!(id.to_string(), "bd6fdb1c-5e78-55f9-aee6-ed210905f6db");
        assert_ne!(id, RecordId::for_key(&tenant, "checkoutA", "-1001"));
    }

    #[test]
    fn a_tracking_number_has_one_spelling() {
        let id = RecordId(Uuid::from_u128(u128::MAX));
        let text = TrackingNumber(id).to_string();
        assert_eq!(text, "trk_7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
        assert_eq!(text.parse(), Ok(TrackingNumber(id)));
        assert!("trk_8ZZZZZZZZZZZZZZZZZZZZZZZZZ".parse::<TrackingNumber>().is_err(), "would overflow");
        assert!(text.to_lowercase().parse::<TrackingNumber>().is_err());
    }

    #[test]
    fn a_position_reads_as_it_writes() {
        assert_eq!("0-17".parse(), Ok(Position { partition: 0, sequence: 17 }));
        for bad in ["", "17", "0-", "0-017", "0-+1", "-1-2"] {
            assert!(bad.parse::<Position>().is_err(), "{bad:?}");
        }
    }
}
