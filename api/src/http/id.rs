//! Ids, positions and keys in paths, queries and headers.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use ledger::ids::{Position, RecordId, TrackingNumber};

use super::problem::{Code, Problem};
use crate::app::App;

/// The header that carries a position, both ways.
pub const POSITION_HEADER: &str = "daybook-position";
/// The header that carries a caller's idempotency key.
pub const IDEMPOTENCY_HEADER: &str = "idempotency-key";

/// `{id}` in a path: an order id or a tracking number. Anything else names no order, so it is a 404.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderId(pub RecordId);

impl OrderId {
    /// Reads either spelling.
    pub fn parse(text: &str) -> Option<RecordId> {
        let by_tracking = || text.parse().ok().map(|TrackingNumber(id)| id);
        text.parse::<RecordId>().ok().or_else(by_tracking)
    }
}

impl FromRequestParts<Arc<App>> for OrderId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let Path(id) =
            Path::<String>::from_request_parts(parts, app).await.map_err(|_| Problem::not_found())?;
        OrderId::parse(&id).map(OrderId).ok_or_else(Problem::not_found)
    }
}

/// The caller's `Idempotency-Key`: 1 to 255 visible ASCII characters, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(pub Option<String>);

impl FromRequestParts<Arc<App>> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Problem> {
        let bad = |detail: &str| Problem::new(Code::InvalidIdempotencyKey, detail);
        let mut values = parts.headers.get_all(IDEMPOTENCY_HEADER).iter();
        let Some(value) = values.next() else { return Ok(IdempotencyKey(None)) };
        if values.next().is_some() {
            return Err(bad("there is more than one"));
        }
        if !is_idempotency_key(value.as_bytes()) {
            return Err(bad("1 to 255 visible ASCII characters"));
        }
        let key = value.to_str().map_err(|_| bad("1 to 255 visible ASCII characters"))?;
        Ok(IdempotencyKey(Some(key.to_owned())))
    }
}

/// Whether the bytes may be an idempotency key, on any surface.
pub fn is_idempotency_key(bytes: &[u8]) -> bool {
    (1..=255).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
}

/// The position that a read must have reached, from `Daybook-Position`. One that is no position is ignored: the
/// header can make a read fresher, never wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtLeast(pub Option<Position>);

impl FromRequestParts<Arc<App>> for AtLeast {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Self::Rejection> {
        let text = parts.headers.get(POSITION_HEADER).and_then(|value| value.to_str().ok());
        Ok(AtLeast(text.and_then(|text| text.parse().ok())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_has_two_spellings() {
        let id = "bd6fdb1c-5e78-55f9-aee6-ed210905f6db";
        let record: RecordId = id.parse().unwrap();
        assert_eq!(OrderId::parse(id), Some(record));
        assert_eq!(OrderId::parse(&TrackingNumber(record).to_string()), Some(record));
        for bad in ["", "x", &id.to_uppercase(), "trk_", "../etc"] {
            assert_eq!(OrderId::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_key_is_visible_ascii() {
        assert!(is_idempotency_key(b"A-1001"));
        assert!(is_idempotency_key(&[b'x'; 255]));
        for bad in [&b""[..], &[b'x'; 256], b"a b", "ä".as_bytes(), b"\t"] {
            assert!(!is_idempotency_key(bad), "{bad:?}");
        }
    }
}
