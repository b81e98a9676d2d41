//! What several routes answer with: an order, its money, its history's causes.

use std::collections::BTreeMap;
use std::fmt::Display;

use jiff::Timestamp;
use ledger::commit::Cause;
use ledger::ids::{Position, RecordId, TrackingNumber};
use ledger::money::Currency;
use ledger::order::{self, CaptureMode, Checkout, Order, PaymentMethod};
use projections::views::{CauseSummary, OrderView};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::amount::Amount;

/// Serializes what has a textual form as that text.
pub(super) fn as_text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// RFC 3339 in UTC with milliseconds.
pub fn time(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// `automatic` or `manual`.
pub fn capture_word(mode: CaptureMode) -> &'static str {
    match mode {
        CaptureMode::Automatic => "automatic",
        CaptureMode::Manual => "manual",
    }
}

/// Where an order stands.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case", as = Status)]
pub enum StatusWord {
    /// Nothing heard from the PSP yet.
    Processing,
    /// The buyer has to pass a challenge (3DS/SCA).
    ActionRequired,
    /// The money is reserved.
    Authorized,
    /// Some of the money was taken.
    PartiallyCaptured,
    /// The money was taken.
    Captured,
    /// Some of the money went back.
    PartiallyRefunded,
    /// The money went back.
    Refunded,
    /// The PSP refused.
    Failed,
    /// Given up.
    Canceled,
    /// Out of time.
    Expired,
}

/// Who turns an authorization into a capture.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case", as = CaptureMode)]
pub enum CaptureWord {
    /// The PSP, at once.
    Automatic,
    /// The shop, by asking for it.
    Manual,
}

/// An order with everything that is known about it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Order)]
pub struct OrderJson {
    order_id: String,
    tracking_number: String,
    #[schema(value_type = StatusWord)]
    status: &'static str,
    amount: Amount,
    merchant_reference: String,
    #[schema(value_type = CaptureWord)]
    capture: &'static str,
    payment_method: Option<PaymentMethodJson>,
    items: Vec<ItemJson>,
    customer: CustomerJson,
    return_urls: ReturnUrlsJson,
    metadata: BTreeMap<String, String>,
    /// The door it came through, such as `v1`.
    surface: String,
    /// RFC 3339 in UTC.
    created_at: String,
    /// RFC 3339 in UTC.
    updated_at: String,
    /// RFC 3339 in UTC.
    expires_at: String,
    /// Of the order's newest commit.
    position: String,
    balance: BalanceJson,
    anomalies: Vec<AnomalyJson>,
    attempts: Vec<AttemptJson>,
}

impl OrderJson {
    /// The order as its view shows it.
    pub fn of(view: &OrderView) -> Self {
        let Checkout {
            amount,
            merchant_reference,
            capture,
            payment_method,
            items,
            customer,
            return_urls,
            metadata,
            expires_at,
            surface,
        } = &view.order.checkout;
        OrderJson {
            order_id: view.id.to_string(),
            tracking_number: TrackingNumber(view.id).to_string(),
            status: view.order.status().as_str(),
            amount: (*amount).into(),
            merchant_reference: merchant_reference.clone(),
            capture: capture_word(*capture),
            payment_method: payment_method.as_ref().map(PaymentMethodJson::of),
            items: items.iter().map(ItemJson::of).collect(),
            customer: CustomerJson::of(customer),
            return_urls: ReturnUrlsJson::of(return_urls),
            metadata: metadata.clone(),
            surface: surface.name.clone(),
            created_at: time(view.created_at),
            updated_at: time(view.updated_at),
            expires_at: time(*expires_at),
            position: view.last.to_string(),
            balance: BalanceJson::of(view.id, &view.order, view.last),
            anomalies: view.order.anomalies().iter().map(AnomalyJson::of).collect(),
            attempts: AttemptJson::all_of(&view.order),
        }
    }
}

/// What the buyer pays with.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PaymentMethod)]
struct PaymentMethodJson {
    r#type: String,
    token: Option<String>,
    card: Option<CardJson>,
}

/// What may be shown of a card.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Card)]
struct CardJson {
    brand: String,
    last_four: String,
    holder: Option<String>,
}

impl PaymentMethodJson {
    fn of(method: &PaymentMethod) -> Self {
        let card = method.card.as_ref().map(|card| CardJson {
            brand: card.brand.clone(),
            last_four: card.last_four.clone(),
            holder: card.holder.clone(),
        });
        PaymentMethodJson { r#type: method.kind.clone(), token: method.token.clone(), card }
    }
}

/// A line of the basket.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Item)]
pub struct ItemJson {
    identifier: String,
    name: Option<String>,
    quantity: u32,
    unit_price: Option<Amount>,
    parent_identifier: Option<String>,
}

impl ItemJson {
    /// The item in `/v1`'s words.
    pub fn of(item: &order::Item) -> Self {
        ItemJson {
            identifier: item.identifier.clone(),
            name: item.name.clone(),
            quantity: item.quantity,
            unit_price: item.unit_price.map(Amount::from),
            parent_identifier: item.parent_identifier.clone(),
        }
    }
}

/// Who buys: personal data.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Customer)]
struct CustomerJson {
    name: Option<String>,
    email: Option<String>,
    phone: Option<String>,
    ip: Option<String>,
}

impl CustomerJson {
    fn of(customer: &order::Customer) -> Self {
        let order::Customer { name, email, phone, ip, details: _ } = customer.clone();
        CustomerJson { name, email, phone, ip }
    }
}

/// Where the buyer's browser goes afterwards.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReturnUrls)]
struct ReturnUrlsJson {
    success: Option<String>,
    failure: Option<String>,
    cancel: Option<String>,
}

impl ReturnUrlsJson {
    fn of(urls: &order::ReturnUrls) -> Self {
        let order::ReturnUrls { success, failure, cancel } = urls.clone();
        ReturnUrlsJson { success, failure, cancel }
    }
}

/// An order's money, in whole minor units.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Balance)]
pub struct BalanceJson {
    order_id: String,
    currency: &'static str,
    authorized: i64,
    captured: i64,
    capture_pending: i64,
    refunded: i64,
    refund_pending: i64,
    charged_back: i64,
    /// captured − refunded − charged back.
    balance: i64,
    available_to_capture: i64,
    available_to_refund: i64,
    /// Of the order's newest commit.
    position: String,
}

impl BalanceJson {
    /// The order's money after its commit at `position`.
    pub fn of(id: RecordId, order: &Order, position: Position) -> Self {
        let balance = order.balance();
        BalanceJson {
            order_id: id.to_string(),
            currency: order.checkout.amount.currency().code(),
            authorized: balance.authorized_minor,
            captured: balance.captured_minor,
            capture_pending: balance.capture_pending_minor,
            refunded: balance.refunded_minor,
            refund_pending: balance.refund_pending_minor,
            charged_back: balance.charged_back_minor,
            balance: balance.balance_minor,
            available_to_capture: balance.available_to_capture_minor,
            available_to_refund: balance.available_to_refund_minor,
            position: position.to_string(),
        }
    }
}

/// Facts that do not go together; a person should look.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Anomaly)]
struct AnomalyJson {
    code: &'static str,
    detail: String,
}

impl AnomalyJson {
    fn of(anomaly: &order::Anomaly) -> Self {
        AnomalyJson { code: anomaly.code(), detail: anomaly.describe() }
    }
}

/// One try to pay the order; its figures are whole minor units.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Attempt)]
struct AttemptJson {
    attempt: u32,
    #[schema(value_type = StatusWord)]
    status: &'static str,
    payment_reference: Option<String>,
    payment_method: Option<PaymentMethodJson>,
    failure_reason: Option<String>,
    challenge: Option<ChallengeJson>,
    authorized: i64,
    captured: i64,
    refunded: i64,
    charged_back: i64,
    captures: Vec<CaptureJson>,
    refunds: Vec<RefundJson>,
    disputes: Vec<DisputeJson>,
}

impl AttemptJson {
    fn all_of(order: &Order) -> Vec<Self> {
        let currency = order.checkout.amount.currency();
        let of = |attempt: &order::Attempt| AttemptJson {
            attempt: attempt.number,
            status: attempt.status.as_str(),
            payment_reference: attempt.payment_reference.clone(),
            payment_method: attempt.payment_method.as_ref().map(PaymentMethodJson::of),
            failure_reason: attempt.failure.clone(),
            challenge: attempt.challenge.as_ref().map(ChallengeJson::of),
            authorized: attempt.authorized_minor,
            captured: attempt.captured_minor(),
            refunded: attempt.refunded_minor(),
            charged_back: attempt.charged_back_minor(),
            captures: attempt.captures.iter().map(|m| CaptureJson::of(m, currency)).collect(),
            refunds: attempt.refunds.iter().map(|m| RefundJson::of(m, currency)).collect(),
            disputes: attempt.disputes.iter().map(|d| DisputeJson::of(d, currency)).collect(),
        };
        order.attempts.iter().map(of).collect()
    }
}

/// What the buyer has to do before the payment can go on.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Challenge)]
pub struct ChallengeJson {
    url: Option<String>,
    html: Option<String>,
    id: Option<String>,
}

impl ChallengeJson {
    /// The challenge in `/v1`'s words.
    pub fn of(challenge: &order::Challenge) -> Self {
        let order::Challenge { url, html, id } = challenge.clone();
        ChallengeJson { url, html, id }
    }
}

/// A capture that was asked for, reported, or both.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Capture)]
struct CaptureJson {
    capture_id: Option<String>,
    /// The PSP's name for it.
    reference: Option<String>,
    amount: Amount,
    /// `pending`, `settled` or `failed`.
    status: &'static str,
    failure_reason: Option<String>,
}

impl CaptureJson {
    fn of(movement: &order::Movement, currency: Currency) -> Self {
        CaptureJson {
            capture_id: movement.id.map(|id| id.to_string()),
            reference: movement.reference.clone(),
            amount: Amount::of(movement.amount_minor, currency),
            status: movement_status(movement),
            failure_reason: movement.failure.clone(),
        }
    }
}

/// A refund that was asked for, reported, or both.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Refund)]
struct RefundJson {
    refund_id: Option<String>,
    /// The PSP's name for it.
    reference: Option<String>,
    amount: Amount,
    /// `pending`, `settled` or `failed`.
    status: &'static str,
    failure_reason: Option<String>,
}

impl RefundJson {
    fn of(movement: &order::Movement, currency: Currency) -> Self {
        RefundJson {
            refund_id: movement.id.map(|id| id.to_string()),
            reference: movement.reference.clone(),
            amount: Amount::of(movement.amount_minor, currency),
            status: movement_status(movement),
            failure_reason: movement.failure.clone(),
        }
    }
}

fn movement_status(movement: &order::Movement) -> &'static str {
    match (movement.failure.is_some(), movement.settled) {
        (true, _) => "failed",
        (false, true) => "settled",
        (false, false) => "pending",
    }
}

/// A dispute (chargeback) of a payment.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Dispute)]
struct DisputeJson {
    reference: String,
    amount: Amount,
    /// `open`, `won` or `lost`.
    status: &'static str,
}

impl DisputeJson {
    fn of(dispute: &order::Dispute, currency: Currency) -> Self {
        // Won outweighs lost, as in the balance.
        let status = match (dispute.won, dispute.lost) {
            (true, _) => "won",
            (false, true) => "lost",
            (false, false) => "open",
        };
        let amount = Amount::of(dispute.amount_minor, currency);
        DisputeJson { reference: dispute.reference.clone(), amount, status }
    }
}

/// Why a commit came about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = Cause)]
pub enum CauseJson {
    /// Somebody called the API.
    Command {
        /// The kind of operation.
        operation: String,
        /// The caller's idempotency key.
        idempotency_key: Option<String>,
    },
    /// A PSP sent a webhook.
    Webhook {
        /// The source's name in the configuration.
        source: String,
        /// The sender's id of the event.
        event_id: String,
    },
    /// A clock ran out.
    Timer {
        /// Which.
        name: String,
    },
}

impl From<&Cause> for CauseJson {
    fn from(cause: &Cause) -> Self {
        match cause {
            Cause::Command { operation, key, request_hash: _ } => {
                CauseJson::Command { operation: operation.clone(), idempotency_key: key.clone() }
            }
            Cause::Webhook { source, event_id, body: _ } => {
                CauseJson::Webhook { source: source.clone(), event_id: event_id.clone() }
            }
            Cause::Timer { name } => CauseJson::Timer { name: name.clone() },
        }
    }
}

impl From<&CauseSummary> for CauseJson {
    fn from(cause: &CauseSummary) -> Self {
        match cause.clone() {
            CauseSummary::Command { operation, key } => {
                CauseJson::Command { operation, idempotency_key: key }
            }
            CauseSummary::Webhook { source, event_id } => CauseJson::Webhook { source, event_id },
            CauseSummary::Timer { name } => CauseJson::Timer { name },
        }
    }
}
