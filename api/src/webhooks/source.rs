//! What a webhook source is: how one kind of sender proves itself, and how its words are read.
//!
//! One scheme is one file under `sources/`. A source is pure: it neither stores nor looks anything up, and the
//! moment is an argument, so a webhook can be verified or read again later from what was kept of it.

use axum::http::HeaderMap;
use jiff::Timestamp;
use ledger::order::Notification;
use ledger::quarantine::MatchKey;

/// One kind of sender, with one tenant's secrets.
pub(super) trait Source: Send + Sync {
    /// The headers that [`verify`](Self::verify) reads, in lower case: a quarantined webhook keeps these.
    fn headers(&self) -> &'static [&'static str];

    /// Whether the sender holds the secret, and meant this body, now.
    fn verify(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<Verified, Refusal>;

    /// What the sender reports: at least one item. `delivery` is the sender's id of the request, as
    /// [`Verified::delivery_id`] gave it, or what is left of it in the log when a webhook is read again.
    fn read(&self, delivery: &str, body: &[u8]) -> Result<Vec<Item>, Unreadable>;
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

/// How an item names its order: by itself, or by what others call it.
///
/// An order id is a statement, so an unknown one waits for exactly that order. References are hearsay: the
/// payment's comes first, and while no webhook has tied it to an order, the merchant's may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Names {
    /// The order's own id, or a number that encodes it.
    Order(ledger::ids::RecordId),
    /// What others call it; at least one of them.
    References {
        /// The PSP's name for the payment.
        payment: Option<String>,
        /// The shop's name for the order.
        merchant: Option<String>,
    },
}

impl Names {
    /// As the quarantine keeps them, most telling first.
    pub(super) fn match_keys(&self) -> Vec<MatchKey> {
        match self {
            Names::Order(order) => vec![MatchKey::Order(*order)],
            Names::References { payment, merchant } => {
                let payment = payment.iter().cloned().map(MatchKey::PaymentReference);
                payment.chain(merchant.iter().cloned().map(MatchKey::MerchantReference)).collect()
            }
        }
    }
}

/// Why a verified body cannot be read, in words for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unreadable(pub String);

/// A configured secret that its scheme cannot use. Does not say which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret is not of its scheme's form")]
pub(super) struct InvalidSecret;
