//! Quarantine: webhooks that could not be verified, read or matched. Kept raw, shown, never trusted.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::ids::{RecordId, TenantId};

/// A quarantined webhook. Its raw body is in the cause of the commit that quarantined it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Why it is here.
    pub reason: Reason,
    /// What was wrong, in words without secrets.
    pub detail: String,
    /// What would match it to an order, most telling first. Empty when it could not be read.
    pub waits_for: Vec<MatchKey>,
    /// The headers that its verification needs, as name and value.
    pub headers: Vec<(String, String)>,
    /// When it came in.
    pub received_at: Timestamp,
    /// What became of it.
    pub outcome: Option<Outcome>,
}

/// Why a webhook was quarantined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Its signature is missing, wrong or too old.
    BadSignature,
    /// Its body cannot be read.
    Unreadable,
    /// It names no order that is known; applied by itself when the order appears.
    UnknownOrder,
    /// It names an order that it cannot be about, such as one in another currency.
    Refused,
    /// It is not about an order at all, such as a report that is ready; kept, and nothing has to be done.
    NoOrder,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Reason; 5] =
        [Reason::BadSignature, Reason::Unreadable, Reason::UnknownOrder, Reason::Refused, Reason::NoOrder];

    /// The stable word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::BadSignature => "bad_signature",
            Reason::Unreadable => "unreadable",
            Reason::UnknownOrder => "unknown_order",
            Reason::Refused => "refused",
            Reason::NoOrder => "no_order",
        }
    }

    /// The reason that `word` names.
    pub fn from_word(word: &str) -> Option<Reason> {
        Reason::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

/// Something in a webhook that names its order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MatchKey {
    /// The order's id, or a vendor-facing number that encodes it.
    Order(RecordId),
    /// The PSP's name for the payment.
    PaymentReference(String),
    /// The shop's name for the order.
    MerchantReference(String),
}

/// What became of a quarantined webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was applied to this order.
    Released {
        /// The order.
        order: RecordId,
    },
    /// A person decided that it means nothing.
    Discarded {
        /// Why.
        reason: String,
    },
}

/// What can happen to a quarantined webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It came in and was set aside.
    WebhookQuarantined {
        /// Why.
        reason: Reason,
        /// In words.
        detail: String,
        /// What would match it.
        waits_for: Vec<MatchKey>,
        /// What its verification needs.
        headers: Vec<(String, String)>,
        /// When.
        received_at: Timestamp,
    },
    /// It was applied to an order after all.
    WebhookReleased {
        /// The order.
        order: RecordId,
    },
    /// A person decided that it means nothing.
    WebhookDiscarded {
        /// Why.
        reason: String,
    },
}

/// What can be asked of a quarantined webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Set it aside.
    Quarantine(Quarantined),
    /// Close it: it was applied to this order.
    Release {
        /// The order.
        order: RecordId,
    },
    /// Close it: it means nothing.
    Discard {
        /// Why.
        reason: String,
    },
}

/// Why a command was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is no such webhook.
    #[error("there is no such quarantined webhook")]
    NotFound,
    /// It was released or discarded before.
    #[error("the webhook was released or discarded before")]
    Closed,
}

impl Quarantined {
    /// The record of a webhook that was verified: the sender's id of the event names it.
    pub fn verified_id(tenant: &TenantId, source: &str, event_id: &str) -> RecordId {
        RecordId::for_key(tenant, &format!("quarantine.{source}"), event_id)
    }

    /// The record of a webhook that was not verified: nothing in it can be believed, so its content names it,
    /// and nobody can occupy the place of a genuine one.
    pub fn unverified_id(
        tenant: &TenantId,
        source: &str,
        headers: &[(String, String)],
        body: &[u8],
    ) -> RecordId {
        let mut hash = Sha256::new();
        for (name, value) in headers {
            hash.update((name.len() as u64).to_be_bytes());
            hash.update(name);
            hash.update((value.len() as u64).to_be_bytes());
            hash.update(value);
        }
        hash.update(body);
        let digest = data_encoding::HEXLOWER.encode(&hash.finalize());
        RecordId::for_key(tenant, &format!("unverified.{source}"), &digest)
    }
}

/// No events when the webhook has been set aside before.
pub fn decide(webhook: Option<&Quarantined>, command: &Command) -> Result<Vec<Event>, Rejection> {
    let open = |webhook: Option<&Quarantined>| match webhook {
        None => Err(Rejection::NotFound),
        Some(webhook) if webhook.outcome.is_some() => Err(Rejection::Closed),
        Some(_) => Ok(()),
    };
    match command {
        Command::Quarantine(_) if webhook.is_some() => Ok(Vec::new()),
        Command::Quarantine(new) => Ok(vec![Event::WebhookQuarantined {
            reason: new.reason,
            detail: new.detail.clone(),
            waits_for: new.waits_for.clone(),
            headers: new.headers.clone(),
            received_at: new.received_at,
        }]),
        Command::Release { order } => open(webhook).map(|()| vec![Event::WebhookReleased { order: *order }]),
        Command::Discard { reason } => {
            open(webhook).map(|()| vec![Event::WebhookDiscarded { reason: reason.clone() }])
        }
    }
}

/// The webhook after `event`; `None` when the event cannot follow.
pub fn evolve(webhook: Option<Quarantined>, event: &Event) -> Option<Quarantined> {
    match (webhook, event) {
        (None, Event::WebhookQuarantined { reason, detail, waits_for, headers, received_at }) => {
            Some(Quarantined {
                reason: *reason,
                detail: detail.clone(),
                waits_for: waits_for.clone(),
                headers: headers.clone(),
                received_at: *received_at,
                outcome: None,
            })
        }
        (Some(webhook), Event::WebhookReleased { order }) => {
            Some(Quarantined { outcome: Some(Outcome::Released { order: *order }), ..webhook })
        }
        (Some(webhook), Event::WebhookDiscarded { reason }) => {
            Some(Quarantined { outcome: Some(Outcome::Discarded { reason: reason.clone() }), ..webhook })
        }
        (Some(_), Event::WebhookQuarantined { .. })
        | (None, Event::WebhookReleased { .. } | Event::WebhookDiscarded { .. }) => None,
    }
}
