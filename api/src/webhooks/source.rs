//! What a webhook source is: how one kind of sender proves itself, and how its words are read.
//!
//! One scheme is one file under `sources/`. A source is pure: it neither stores nor looks anything up, and the
//! moment is an argument, so a webhook can be verified or read again later from what was kept of it.

use axum::http::HeaderMap;
use bytes::Bytes;
use jiff::Timestamp;
use ledger::ids::{RecordId, TrackingNumber};
use ledger::order::Notification;
use ledger::quarantine::MatchKey;

/// The longest event id, reference or kind that is taken, in characters.
pub(super) const MAX_NAME: usize = 255;
/// The longest reason that is copied out of a body, in characters; the body itself is kept whole.
pub(super) const MAX_REASON: usize = 1000;
/// How far the sender's clock and ours may be apart, in seconds.
const TOLERANCE_SECONDS: i64 = 300;

/// One kind of sender, with one tenant's secrets.
pub(super) trait Source: Send + Sync {
    /// The headers that [`verify`](Self::verify) reads, in lower case: a quarantined webhook keeps these.
    fn headers(&self) -> &'static [&'static str];

    /// Whether the sender holds the secret, and meant this body, now.
    fn verify(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<Verified, Refusal>;

    /// What the sender reports: at least one item. `delivery` is the sender's id of the request, as
    /// [`Verified::delivery_id`] gave it, or what is left of it in the log when a webhook is read again.
    fn read(&self, delivery: &str, body: &[u8]) -> Result<Vec<Item>, Unreadable>;

    /// The body as the log keeps it: as received, but for what must not stand in a log. Reads the same.
    fn kept(&self, body: Bytes) -> Bytes {
        body
    }

    /// What a sender that looks at the body of the answer wants to read there, with a 200, for whatever was
    /// stored. Without it: Daybook's own answer.
    fn acknowledgement(&self) -> Option<&'static str> {
        None
    }
}

/// Proof that a request came from its sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verified {
    /// The sender's id of the request, the same when it is sent again; a digest of the body where the scheme
    /// has none.
    pub(super) delivery_id: String,
}

/// Why a request is not believed. Each has a word for the metric, and nothing of the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// A header is missing.
    #[error("the header {0} is missing")]
    MissingHeader(&'static str),
    /// A header cannot be read.
    #[error("the header {0} is malformed")]
    MalformedHeader(&'static str),
    /// The signature stands in the body, and is not there.
    #[error("an item carries no signature")]
    MissingSignature,
    /// The signature stands in the body, and what it signs cannot be read.
    #[error("the body is not what its scheme signs")]
    MalformedBody,
    /// Signed too long ago: it may be a replay.
    #[error("the signature is too old")]
    TooOld,
    /// Signed in the future: a clock is wrong.
    #[error("the signature is from the future")]
    FromTheFuture,
    /// No secret gives this signature.
    #[error("the signature is wrong")]
    WrongSignature,
}

impl Refusal {
    /// A stable word for metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Refusal::MissingHeader(_) => "missing_header",
            Refusal::MalformedHeader(_) => "malformed_header",
            Refusal::MissingSignature => "missing_signature",
            Refusal::MalformedBody => "malformed_body",
            Refusal::TooOld => "too_old",
            Refusal::FromTheFuture => "from_the_future",
            Refusal::WrongSignature => "wrong_signature",
        }
    }
}

/// One thing that a sender reports. A request may carry several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// The sender's id of the event; (source, event id) counts once.
    pub(super) event_id: String,
    /// What names its order.
    pub(super) names: Names,
    /// What happened.
    pub(super) notification: Notification,
}

/// How an item names its order. The rule is one for all sources: `docs/src/reference/webhooks.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Names {
    /// By Daybook's own id of it. A statement: an unknown one waits for exactly that order.
    Order(RecordId),
    /// By what others call it; at least one of them. Hearsay: the payment's name comes first, and while no
    /// webhook has tied it to an order, the merchant's may.
    References {
        /// The PSP's name for the payment.
        payment: Option<String>,
        /// The shop's name for the order; may also be an order id, see [`Names::own_id`].
        merchant: Option<String>,
    },
    /// Not at all: it is about no order, such as a report that is ready.
    NoOrder,
}

impl Names {
    /// By the PSP's name for the payment and what the shop told the PSP to call the order.
    pub(super) fn of(payment: Option<String>, merchant: Option<String>) -> Names {
        if let Some(Ok(TrackingNumber(order))) = merchant.as_deref().map(str::parse) {
            return Names::Order(order);
        }
        match (payment, merchant) {
            (None, None) => Names::NoOrder,
            (payment, merchant) => Names::References { payment, merchant },
        }
    }

    /// The order whose id a merchant reference would be. Shops have UUIDs of their own: whether it is one of
    /// ours shows only when there is such an order.
    pub(super) fn own_id(merchant: Option<&str>) -> Option<RecordId> {
        merchant?.parse().ok()
    }

    /// As the quarantine keeps them, most telling first.
    pub(super) fn match_keys(&self) -> Vec<MatchKey> {
        match self {
            Names::Order(order) => vec![MatchKey::Order(*order)],
            Names::References { payment, merchant } => {
                let own = Names::own_id(merchant.as_deref()).map(MatchKey::Order);
                let payment = payment.clone().map(MatchKey::PaymentReference);
                let merchant = merchant.clone().map(MatchKey::MerchantReference);
                own.into_iter().chain(payment).chain(merchant).collect()
            }
            Names::NoOrder => Vec::new(),
        }
    }
}

/// Why a verified body cannot be read, in words for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unreadable(pub String);

/// A configured secret that its scheme cannot use: says what one looks like, and not which it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret is not {0}")]
pub(crate) struct InvalidSecret(pub(super) &'static str);

/// A header as text.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, Refusal> {
    let value = headers.get(name).ok_or(Refusal::MissingHeader(name))?;
    value.to_str().map_err(|_| Refusal::MalformedHeader(name))
}

/// Whole seconds since 1970, in digits and nothing else.
pub(super) fn seconds(text: &str) -> Option<i64> {
    text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
}

/// Refuses what was signed more than five minutes from `now`.
pub(super) fn is_fresh(signed_at_seconds: i64, now: Timestamp) -> Result<(), Refusal> {
    let age = now.as_second().saturating_sub(signed_at_seconds);
    if age > TOLERANCE_SECONDS {
        Err(Refusal::TooOld)
    } else if age < -TOLERANCE_SECONDS {
        Err(Refusal::FromTheFuture)
    } else {
        Ok(())
    }
}

/// The first so many characters.
pub(super) fn shortened(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}
