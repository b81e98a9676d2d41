//! What an order can be asked to do, and what a PSP can report of it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::checkout::{Challenge, Checkout, PaymentMethod};
use crate::ids::{CaptureId, RefundId};
use crate::money::Money;

/// A request to change an order. Imperative; [`super::decide`] may refuse it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Open the order, with its first attempt when the payment method is known.
    Submit(Box<Checkout>),
    /// Try to pay again.
    StartAttempt {
        /// With what.
        payment_method: Option<PaymentMethod>,
        /// Now, to hold against the order's expiry.
        now: Timestamp,
        /// What the surface has to remember of it; nothing else reads it.
        data: BTreeMap<String, String>,
    },
    /// Write down that the key of the personal data was destroyed. A second time changes nothing.
    ForgetPersonalData,
    /// Write down what only a surface understands. Changes nothing else, and is refused for no order there is.
    Note {
        /// The surface's own fields; at least one.
        data: BTreeMap<String, String>,
    },
    /// Write down that the order was paid outside, on the word of a caller who may say so (Carat's external-origin
    /// confirmation). Money moves with it, without any webhook.
    Confirm {
        /// The caller's name for the payment.
        payment_reference: Option<String>,
        /// Names this movement of money.
        reference: String,
        /// How much; at most the order's amount.
        amount: Money,
        /// Now, to hold against the order's expiry.
        now: Timestamp,
        /// What the surface has to remember of it; nothing else reads it.
        data: BTreeMap<String, String>,
    },
    /// Capture what is authorized.
    Capture {
        /// Its id.
        id: CaptureId,
        /// How much; all that is left when absent.
        amount: Option<Money>,
    },
    /// Refund what is captured.
    Refund {
        /// Its id.
        id: RefundId,
        /// How much; all that is left when absent.
        amount: Option<Money>,
        /// The shop's reason, for people.
        reason: Option<String>,
    },
    /// Refund what one attempt captured, where the caller names the payment.
    RefundAttempt {
        /// Which attempt.
        attempt: u32,
        /// Its id.
        id: RefundId,
        /// How much.
        amount: Money,
        /// The shop's reason, for people.
        reason: Option<String>,
    },
    /// Give the order up before it is captured.
    Cancel,
    /// End the order if its time has run out.
    Expire {
        /// Now.
        now: Timestamp,
    },
    /// Write down what a verified PSP reported. Refused only when it cannot be about this order.
    Record(Notification),
}

/// One thing that a verified PSP reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// The PSP's name for the payment; decides which attempt is meant.
    pub payment_reference: Option<String>,
    /// The attempt's number, where the PSP was told it.
    pub attempt: Option<u32>,
    /// What happened.
    pub fact: Fact,
}

/// What a PSP can report, in nobody's dialect. A `reference` names one movement of money for ever; a second
/// report with the same reference is not counted again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// The buyer must pass a challenge.
    ActionRequired {
        /// Where and how.
        challenge: Challenge,
    },
    /// Money is reserved.
    Authorized {
        /// How much.
        amount: Money,
    },
    /// The payment was refused, or the challenge was failed.
    Failed {
        /// The PSP's reason.
        reason: String,
    },
    /// Reserved money was taken.
    Captured {
        /// Ours, if it was asked for.
        capture_id: Option<CaptureId>,
        /// The PSP's.
        reference: String,
        /// How much.
        amount: Money,
    },
    /// A capture did not happen, or was undone.
    CaptureFailed {
        /// Ours, if it was asked for.
        capture_id: Option<CaptureId>,
        /// The PSP's.
        reference: String,
        /// How much.
        amount: Money,
        /// The PSP's reason.
        reason: String,
    },
    /// The reservation was released.
    Voided,
    /// The reservation lapsed.
    AuthorizationExpired,
    /// Money went back to the buyer.
    RefundSettled {
        /// Ours, if it was asked for.
        refund_id: Option<RefundId>,
        /// The PSP's.
        reference: String,
        /// How much.
        amount: Money,
    },
    /// A refund did not happen, or came back.
    RefundFailed {
        /// Ours, if it was asked for.
        refund_id: Option<RefundId>,
        /// The PSP's.
        reference: String,
        /// How much.
        amount: Money,
        /// The PSP's reason.
        reason: String,
    },
    /// The buyer's bank took the money back.
    ChargebackOpened {
        /// The PSP's.
        reference: String,
        /// How much.
        amount: Money,
        /// The bank's reason.
        reason: String,
    },
    /// The shop won the dispute, and has the money again.
    ChargebackWon {
        /// The PSP's.
        reference: String,
        /// How much.
        amount: Money,
    },
    /// The shop lost the dispute.
    ChargebackLost {
        /// The PSP's.
        reference: String,
        /// How much.
        amount: Money,
    },
    /// Something that changes nothing here.
    Other {
        /// The PSP's word for it.
        kind: String,
    },
}

impl Fact {
    /// The amount that the fact speaks of, if it does.
    pub fn amount(&self) -> Option<Money> {
        match self {
            Fact::Authorized { amount }
            | Fact::Captured { amount, .. }
            | Fact::CaptureFailed { amount, .. }
            | Fact::RefundSettled { amount, .. }
            | Fact::RefundFailed { amount, .. }
            | Fact::ChargebackOpened { amount, .. }
            | Fact::ChargebackWon { amount, .. }
            | Fact::ChargebackLost { amount, .. } => Some(*amount),
            Fact::ActionRequired { .. }
            | Fact::Failed { .. }
            | Fact::Voided
            | Fact::AuthorizationExpired
            | Fact::Other { .. } => None,
        }
    }
}
