//! What can happen to an order. Past tense, never refused, never changed once stored.

use std::collections::BTreeMap;

use super::checkout::{Challenge, Checkout, PaymentMethod};
use crate::ids::{CaptureId, RefundId};
use crate::money::Money;

/// One thing that happened to an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The shop submitted a checkout. The first event of every order.
    CheckoutSubmitted(Box<Checkout>),
    /// A try to pay began.
    AttemptStarted {
        /// Its number, from 1.
        attempt: u32,
        /// The PSP's name for the payment, where the PSP began it.
        payment_reference: Option<String>,
        /// With what, where the shop said so.
        payment_method: Option<PaymentMethod>,
    },
    /// The PSP's name for an attempt's payment became known.
    AttemptLinked {
        /// Which attempt.
        attempt: u32,
        /// The PSP's name for the payment.
        payment_reference: String,
    },
    /// The buyer must pass a challenge.
    ActionRequired {
        /// Which attempt.
        attempt: u32,
        /// Where and how.
        challenge: Challenge,
    },
    /// The PSP reserved the money.
    PaymentAuthorized {
        /// Which attempt.
        attempt: u32,
        /// How much.
        amount: Money,
    },
    /// The PSP refused the payment.
    PaymentFailed {
        /// Which attempt.
        attempt: u32,
        /// The PSP's reason.
        reason: String,
    },
    /// The shop asked for a capture.
    CaptureRequested {
        /// Which attempt.
        attempt: u32,
        /// Its id.
        capture_id: CaptureId,
        /// How much.
        amount: Money,
    },
    /// The PSP took reserved money.
    PaymentCaptured {
        /// Which attempt.
        attempt: u32,
        /// The request it answers, if any.
        capture_id: Option<CaptureId>,
        /// The PSP's reference.
        reference: String,
        /// How much.
        amount: Money,
    },
    /// A capture did not happen, or was undone.
    CaptureFailed {
        /// Which attempt.
        attempt: u32,
        /// The request it answers, if any.
        capture_id: Option<CaptureId>,
        /// The PSP's reference.
        reference: String,
        /// How much.
        amount: Money,
        /// The PSP's reason.
        reason: String,
    },
    /// The shop asked to give the order up; payment workers void what they hold.
    CancellationRequested,
    /// The order was given up before anything was authorized.
    OrderCanceled,
    /// The order ran out of time before anything was authorized.
    OrderExpired,
    /// The PSP released what it had reserved.
    PaymentVoided {
        /// Which attempt.
        attempt: u32,
    },
    /// What the PSP had reserved lapsed.
    AuthorizationExpired {
        /// Which attempt.
        attempt: u32,
    },
    /// The shop asked for a refund.
    RefundRequested {
        /// Which attempt.
        attempt: u32,
        /// Its id.
        refund_id: RefundId,
        /// How much.
        amount: Money,
        /// The shop's reason.
        reason: Option<String>,
    },
    /// Money went back to the buyer.
    RefundSettled {
        /// Which attempt.
        attempt: u32,
        /// The request it answers, if any.
        refund_id: Option<RefundId>,
        /// The PSP's reference.
        reference: String,
        /// How much.
        amount: Money,
    },
    /// A refund did not happen, or came back.
    RefundFailed {
        /// Which attempt.
        attempt: u32,
        /// The request it answers, if any.
        refund_id: Option<RefundId>,
        /// The PSP's reference.
        reference: String,
        /// How much.
        amount: Money,
        /// The PSP's reason.
        reason: String,
    },
    /// The buyer's bank took money back.
    ChargebackOpened {
        /// Which attempt.
        attempt: u32,
        /// The PSP's reference of the dispute.
        reference: String,
        /// How much.
        amount: Money,
        /// The bank's reason.
        reason: String,
    },
    /// The shop won the dispute.
    ChargebackWon {
        /// Which attempt.
        attempt: u32,
        /// The PSP's reference of the dispute.
        reference: String,
        /// How much.
        amount: Money,
    },
    /// The shop lost the dispute.
    ChargebackLost {
        /// Which attempt.
        attempt: u32,
        /// The PSP's reference of the dispute.
        reference: String,
        /// How much.
        amount: Money,
    },
    /// A webhook came in that changes nothing: a kind without meaning here, or a movement already counted.
    WebhookNoted {
        /// The sender's word for it.
        kind: String,
    },
    /// A surface wrote down what only that surface understands, such as an answer that it must be able to repeat.
    SurfaceNoted {
        /// The surface's own fields.
        data: BTreeMap<String, String>,
    },
    /// The key of the order's personal data was destroyed. Nothing personal is kept of the order from here on.
    PersonalDataForgotten,
}
