//! What the front asks of a peer, in the words of Daybook's API.

use std::future::Future;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Connections to PostgreSQL, half of those that ask: each commit's flush serves many requests.
pub(crate) const POOL: u32 = 32;
/// The one tenant.
pub(crate) const TENANT: &str = "acme";
/// The one webhook source.
pub(crate) const SOURCE: &str = "psp";

/// An order ledger on some storage.
pub(crate) trait Peer: Send + Sync + 'static {
    /// Stores an order under an idempotency key, or finds the one that is stored.
    fn checkout(&self, ask: Ask) -> impl Future<Output = Result<Opened, Refused>> + Send;
    /// Where an order stands, from the read model.
    fn status(&self, order: Uuid) -> impl Future<Output = Option<Standing>> + Send;
    /// Stores what a verified webhook says, with its effect.
    fn report(&self, report: Report) -> impl Future<Output = Reported> + Send;
    /// Whether the read model has everything that was accepted.
    fn caught_up(&self) -> impl Future<Output = bool> + Send;
}

/// An amount in minor units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Amount {
    pub(crate) value: i64,
    pub(crate) currency: String,
}

/// A checkout as a shop submits it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Checkout {
    pub(crate) amount: Amount,
    pub(crate) merchant_reference: String,
    #[serde(default)]
    pub(crate) capture: Capture,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) payment_method: Option<PaymentMethod>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) items: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) customer: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) return_urls: Option<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) metadata: Map<String, Value>,
}

/// When the money is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Capture {
    #[default]
    Automatic,
    Manual,
}

/// What the buyer pays with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PaymentMethod {
    pub(crate) r#type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
}

/// A checkout under its key.
pub(crate) struct Ask {
    pub(crate) key: String,
    /// SHA-256 of the content, in hex: the same key with other content is refused.
    pub(crate) hash: String,
    pub(crate) checkout: Checkout,
    /// Milliseconds since 1970.
    pub(crate) at: i64,
}

/// An order that is stored.
pub(crate) struct Opened {
    pub(crate) order: Uuid,
    /// Milliseconds since 1970; the first time, if this was a retry.
    pub(crate) at: i64,
    pub(crate) position: i64,
}

/// Why a checkout changed nothing.
pub(crate) enum Refused {
    /// The key stands for other content.
    KeyReused,
    /// The database did not do it, and said why.
    Unavailable(String),
}

/// What a verified webhook says.
pub(crate) struct Report {
    pub(crate) event_id: String,
    pub(crate) order: Uuid,
    pub(crate) fact: Fact,
    pub(crate) reference: String,
    pub(crate) amount: Amount,
    /// The body as it was received.
    pub(crate) body: String,
    /// Milliseconds since 1970.
    pub(crate) at: i64,
}

/// What happened at the PSP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fact {
    Captured,
    RefundSettled,
}

/// What became of a webhook.
pub(crate) enum Reported {
    /// Stored, with its effect.
    Recorded(i64),
    /// It was there already.
    Duplicate,
    /// Stored without an effect, for somebody to look at.
    SetAside(&'static str),
    /// There is no such order.
    UnknownOrder,
    /// The database did not do it, and said why.
    Unavailable(String),
}

/// Where an order stands.
pub(crate) struct Standing {
    pub(crate) status: String,
    /// Milliseconds since 1970.
    pub(crate) updated_at: i64,
    pub(crate) position: i64,
}

/// What a rebuild did. The sums are checked: a fast rebuild of the wrong thing is worth nothing.
pub(crate) struct Rebuilt {
    pub(crate) events: i64,
    pub(crate) orders: i64,
    pub(crate) captured: i64,
    pub(crate) refunded: i64,
    pub(crate) elapsed: Duration,
}

impl Rebuilt {
    /// Prints it as a line of JSON.
    pub(crate) fn print(&self) {
        let micros = u64::try_from(self.elapsed.as_micros()).unwrap_or(u64::MAX);
        let Rebuilt { events, orders, captured, refunded, .. } = self;
        println!(
            "{}",
            json!({"events": events, "orders": orders, "captured": captured, "refunded": refunded, "micros": micros})
        );
    }
}

/// Now, in milliseconds since 1970.
pub(crate) fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// The order's id of an idempotency key, for the peers that have no unique index for it.
pub(crate) fn order_for_key(key: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("{TENANT}/checkout/{key}").as_bytes())
}
