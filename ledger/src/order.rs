//! An order as its events leave it: attempts, movements of money, status, balance, anomalies.
//!
//! Pure: no async, clock, randomness, serde or I/O anywhere under `order/`; a moment is an argument. The value is
//! folded by [`evolve`], guarded by [`decide`], and everything else about it is derived here, never stored, so
//! that webhooks arriving in another order leave the same balance and the same anomalies.

mod checkout;
mod command;
mod decide;
mod event;
mod evolve;
#[cfg(test)]
mod tests;

pub use checkout::{
    CaptureMode, Card, Challenge, Checkout, Customer, Item, PaymentMethod, ReturnUrls, Surface,
};
pub use command::{Command, Fact, Notification};
pub use decide::{MAX_ATTEMPTS, MAX_MOVEMENTS, Rejection, decide};
pub use event::Event;
pub use evolve::{ImpossibleEvent, evolve};

use uuid::Uuid;

/// An order after some of its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// What was asked for.
    pub checkout: Checkout,
    /// The payment attempts, numbered from 1 in this order.
    pub attempts: Vec<Attempt>,
    /// The shop asked to cancel; an authorization may still have to be voided by the PSP.
    pub cancellation_requested: bool,
    /// Set when Daybook itself ended the order before any authorization.
    pub end: Option<End>,
    /// Its personal data was forgotten, and none is kept of it any more.
    pub forgotten: bool,
}

/// How Daybook ended an order before any authorization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// On request.
    Canceled,
    /// By the clock.
    Expired,
}

/// One try to pay an order, at one PSP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    /// The PSP's name for the payment, once it is known.
    pub payment_reference: Option<String>,
    /// What the buyer pays with, if the shop said so.
    pub payment_method: Option<PaymentMethod>,
    /// The buyer's challenge (3DS/SCA), once there was one.
    pub challenge: Option<Challenge>,
    /// The largest amount the PSP has authorized, in minor units.
    pub authorized_minor: i64,
    /// Captures asked for or reported.
    pub captures: Vec<Movement>,
    /// Refunds asked for or reported.
    pub refunds: Vec<Movement>,
    /// Disputes the PSP reported.
    pub disputes: Vec<Dispute>,
    /// Why the PSP says the payment failed.
    pub failure: Option<String>,
    /// The PSP released what was authorized.
    pub voided: bool,
    /// The authorization lapsed at the PSP.
    pub authorization_expired: bool,
    /// The furthest status reached; it never goes back.
    pub status: Status,
}

/// One capture or refund: asked for by the shop, reported by the PSP, or both, in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    /// Our id, when the shop asked for it.
    pub id: Option<Uuid>,
    /// The PSP's reference, once it reported.
    pub reference: Option<String>,
    /// Minor units; the PSP's figure once it has settled.
    pub amount_minor: i64,
    /// The PSP says the money moved.
    pub settled: bool,
    /// The PSP says it did not move, or moved back. Outweighs `settled`, whichever came first.
    pub failure: Option<String>,
}

impl Movement {
    /// Asked for, and not yet answered by the PSP.
    pub fn is_pending(&self) -> bool {
        !self.settled && self.failure.is_none()
    }

    /// Counts in the balance.
    pub fn counts(&self) -> bool {
        self.settled && self.failure.is_none()
    }
}

/// One dispute (chargeback) of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispute {
    /// The PSP's reference.
    pub reference: String,
    /// Minor units.
    pub amount_minor: i64,
    /// The PSP took the money back.
    pub opened: bool,
    /// It came back to the shop.
    pub won: bool,
    /// It is gone for good.
    pub lost: bool,
}

impl Dispute {
    /// The money is with the buyer's bank: from the opening of the dispute until it is won.
    pub fn counts(&self) -> bool {
        (self.opened || self.lost) && !self.won
    }
}

/// Where an order, or an attempt, stands. Declared in the order in which it may advance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Nothing heard from the PSP yet.
    Processing,
    /// The buyer has to pass a challenge (3DS/SCA).
    ActionRequired,
    /// The money is reserved.
    Authorized,
    /// Some of it has been captured.
    PartiallyCaptured,
    /// All of it has been captured.
    Captured,
    /// Some of what was captured has been refunded.
    PartiallyRefunded,
    /// All that was captured has been refunded, and no more can be captured.
    Refunded,
    /// The PSP refused. An end.
    Failed,
    /// Given up before capture. An end.
    Canceled,
    /// Ran out of time before authorization, or the authorization lapsed. An end.
    Expired,
}

impl Status {
    /// Every status, in the order declared.
    pub const ALL: [Status; 10] = [
        Status::Processing,
        Status::ActionRequired,
        Status::Authorized,
        Status::PartiallyCaptured,
        Status::Captured,
        Status::PartiallyRefunded,
        Status::Refunded,
        Status::Failed,
        Status::Canceled,
        Status::Expired,
    ];

    /// The word that the API, the log's readers and the docs use.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Processing => "processing",
            Status::ActionRequired => "action_required",
            Status::Authorized => "authorized",
            Status::PartiallyCaptured => "partially_captured",
            Status::Captured => "captured",
            Status::PartiallyRefunded => "partially_refunded",
            Status::Refunded => "refunded",
            Status::Failed => "failed",
            Status::Canceled => "canceled",
            Status::Expired => "expired",
        }
    }

    /// The status that `word` names.
    pub fn from_word(word: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// One of the ends `failed`, `canceled`, `expired`: this attempt goes nowhere from here.
    pub fn is_end(self) -> bool {
        matches!(self, Status::Failed | Status::Canceled | Status::Expired)
    }

    /// Money was captured.
    pub fn is_captured(self) -> bool {
        matches!(
            self,
            Status::PartiallyCaptured | Status::Captured | Status::PartiallyRefunded | Status::Refunded
        )
    }

    /// A buyer who waits for the outcome has it: there is no point in polling on.
    pub fn is_terminal(self) -> bool {
        self.is_end() || self.is_captured()
    }

    /// `self` or the status that comes after it, never back, and never out of an end.
    fn advanced_to(self, next: Status) -> Status {
        if self.is_end() || (next.is_end() && self.is_captured()) { self } else { self.max(next) }
    }
}

/// An order's money, in minor units of the order's currency, over all attempts. Nothing is below zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Balance {
    /// Reserved by the PSP, captured or not.
    pub authorized_minor: i64,
    /// Captures settled.
    pub captured_minor: i64,
    /// Captures asked for and not yet settled.
    pub capture_pending_minor: i64,
    /// Refunds settled.
    pub refunded_minor: i64,
    /// Refunds asked for and not yet settled.
    pub refund_pending_minor: i64,
    /// Taken back in disputes.
    pub charged_back_minor: i64,
    /// captured − refunded − charged back, or zero where that is less (which is flagged as an anomaly).
    pub balance_minor: i64,
    /// What may still be captured.
    pub available_to_capture_minor: i64,
    /// What may still be refunded.
    pub available_to_refund_minor: i64,
}

/// Facts that do not go together. A person should look; the numbers already count all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Anomaly {
    /// The PSP authorized after Daybook had ended the order; the reservation should be voided.
    AuthorizedAfterEnd {
        /// Which attempt.
        attempt: u32,
    },
    /// The PSP captured although the order or the attempt had ended, or was being canceled; the money should
    /// go back.
    CapturedAfterEnd {
        /// Which attempt.
        attempt: u32,
    },
    /// The PSP says of one payment both that it failed and that it was captured.
    CapturedAndFailed {
        /// Which attempt.
        attempt: u32,
    },
    /// More than one attempt took the buyer's money.
    SeveralAttemptsCaptured,
    /// More was captured than the order's amount.
    OverCaptured {
        /// By how much.
        excess_minor: i64,
    },
    /// More was refunded and charged back than was captured.
    OverRefunded {
        /// By how much.
        excess_minor: i64,
    },
    /// A capture was reported as settled and as failed.
    CaptureReversed {
        /// The PSP's reference.
        reference: String,
    },
    /// A refund was reported as settled and as failed.
    RefundReversed {
        /// The PSP's reference.
        reference: String,
    },
}

impl Anomaly {
    /// The stable word for this kind of anomaly.
    pub fn code(&self) -> &'static str {
        match self {
            Anomaly::AuthorizedAfterEnd { .. } => "authorized_after_end",
            Anomaly::CapturedAfterEnd { .. } => "captured_after_end",
            Anomaly::CapturedAndFailed { .. } => "captured_and_failed",
            Anomaly::SeveralAttemptsCaptured => "several_attempts_captured",
            Anomaly::OverCaptured { .. } => "over_captured",
            Anomaly::OverRefunded { .. } => "over_refunded",
            Anomaly::CaptureReversed { .. } => "capture_reversed",
            Anomaly::RefundReversed { .. } => "refund_reversed",
        }
    }

    /// What happened, in a sentence for people.
    pub fn describe(&self) -> String {
        match self {
            Anomaly::AuthorizedAfterEnd { attempt } => {
                format!("attempt {attempt} was authorized after the order had ended")
            }
            Anomaly::CapturedAfterEnd { attempt } => {
                format!("attempt {attempt} was captured although the order was over")
            }
            Anomaly::CapturedAndFailed { attempt } => {
                format!("attempt {attempt} was reported both as failed and as captured")
            }
            Anomaly::SeveralAttemptsCaptured => "more than one attempt was captured".to_owned(),
            Anomaly::OverCaptured { excess_minor } => {
                format!("{excess_minor} minor units more were captured than the order's amount")
            }
            Anomaly::OverRefunded { excess_minor } => {
                format!("{excess_minor} minor units more were refunded or charged back than captured")
            }
            Anomaly::CaptureReversed { reference } => {
                format!("capture {reference} was reported both as settled and as failed")
            }
            Anomaly::RefundReversed { reference } => {
                format!("refund {reference} was reported both as settled and as failed")
            }
        }
    }
}

impl Order {
    /// Where the order stands: its own end, else the attempt that stands for it.
    pub fn status(&self) -> Status {
        match self.end {
            Some(End::Canceled) => Status::Canceled,
            Some(End::Expired) => Status::Expired,
            None => self.shown_attempt().map_or(Status::Processing, |attempt| attempt.status),
        }
    }

    /// The attempt that stands for the order: the first captured one, else the latest. A latest one that has
    /// ended does not hide another that holds reserved money: PSPs report a failed try after the good one.
    pub fn shown_attempt(&self) -> Option<&Attempt> {
        let latest = self.attempts.last();
        let captured = self.attempts.iter().find(|a| a.status.is_captured());
        let reserved = || self.attempts.iter().rfind(|a| a.holds_authorization() && !a.status.is_end());
        let has_ended = latest.is_some_and(|a| a.status.is_end());
        captured.or_else(|| if has_ended { reserved() } else { None }).or(latest)
    }

    /// The money, over all attempts.
    pub fn balance(&self) -> Balance {
        let sum = |of: fn(&Attempt) -> i64| self.attempts.iter().map(of).sum::<i64>();
        let captured_minor = sum(Attempt::captured_minor);
        let refunded_minor = sum(Attempt::refunded_minor);
        let charged_back_minor = sum(Attempt::charged_back_minor);
        let capturable = self.shown_attempt().filter(|_| self.is_open_to_capture());
        Balance {
            authorized_minor: sum(|a| a.authorized_minor),
            captured_minor,
            capture_pending_minor: sum(|a| pending(&a.captures)),
            refunded_minor,
            refund_pending_minor: sum(|a| pending(&a.refunds)),
            charged_back_minor,
            balance_minor: (captured_minor - refunded_minor - charged_back_minor).max(0),
            available_to_capture_minor: capturable.map_or(0, Attempt::available_to_capture_minor),
            available_to_refund_minor: sum(Attempt::available_to_refund_minor),
        }
    }

    /// Whether the shop may ask for captures: nothing ended, nothing is being canceled, capture is manual.
    pub fn is_open_to_capture(&self) -> bool {
        self.end.is_none() && !self.cancellation_requested && self.checkout.capture == CaptureMode::Manual
    }

    /// What does not go together, in a fixed order.
    pub fn anomalies(&self) -> Vec<Anomaly> {
        let mut found = Vec::new();
        for attempt in &self.attempts {
            let number = attempt.number;
            let captured = attempt.captures.iter().any(|m| m.settled);
            if self.end.is_some() && attempt.holds_authorization() && !captured {
                found.push(Anomaly::AuthorizedAfterEnd { attempt: number });
            }
            if captured && attempt.failure.is_some() {
                found.push(Anomaly::CapturedAndFailed { attempt: number });
            } else if captured
                && (self.end.is_some() || self.cancellation_requested || attempt.status.is_end())
            {
                found.push(Anomaly::CapturedAfterEnd { attempt: number });
            }
            let reversed = |m: &&Movement| m.settled && m.failure.is_some();
            for movement in attempt.captures.iter().filter(reversed) {
                let reference = movement.reference.clone().unwrap_or_default();
                found.push(Anomaly::CaptureReversed { reference });
            }
            for movement in attempt.refunds.iter().filter(reversed) {
                let reference = movement.reference.clone().unwrap_or_default();
                found.push(Anomaly::RefundReversed { reference });
            }
        }
        if self.attempts.iter().filter(|a| a.captured_minor() > 0).count() > 1 {
            found.push(Anomaly::SeveralAttemptsCaptured);
        }
        let balance = self.balance();
        let over_captured = balance.captured_minor - self.checkout.amount.minor();
        if over_captured > 0 {
            found.push(Anomaly::OverCaptured { excess_minor: over_captured });
        }
        let over_refunded = balance.refunded_minor + balance.charged_back_minor - balance.captured_minor;
        if over_refunded > 0 {
            found.push(Anomaly::OverRefunded { excess_minor: over_refunded });
        }
        found
    }
}

impl Attempt {
    /// Captures settled, in minor units.
    pub fn captured_minor(&self) -> i64 {
        self.captures.iter().filter(|m| m.counts()).map(|m| m.amount_minor).sum()
    }

    /// Refunds settled, in minor units.
    pub fn refunded_minor(&self) -> i64 {
        self.refunds.iter().filter(|m| m.counts()).map(|m| m.amount_minor).sum()
    }

    /// Taken back in disputes, in minor units.
    pub fn charged_back_minor(&self) -> i64 {
        self.disputes.iter().filter(|d| d.counts()).map(|d| d.amount_minor).sum()
    }

    /// The PSP has reserved money and not said that it let go of it.
    pub fn holds_authorization(&self) -> bool {
        let released = self.voided || self.authorization_expired || self.failure.is_some();
        self.authorized_minor > 0 && !released
    }

    /// authorized − captured − capture pending, while the authorization lives.
    pub fn available_to_capture_minor(&self) -> i64 {
        let lives = !self.voided && !self.authorization_expired && !self.status.is_end();
        let left = self.authorized_minor - self.captured_minor() - pending(&self.captures);
        if lives { left.max(0) } else { 0 }
    }

    /// captured − refunded − refund pending − charged back.
    pub fn available_to_refund_minor(&self) -> i64 {
        let gone = self.refunded_minor() + pending(&self.refunds) + self.charged_back_minor();
        (self.captured_minor() - gone).max(0)
    }

    /// The status that the facts alone give, whatever order they came in.
    ///
    /// Sums here are gross (a capture that was reversed later still happened), so that a reversal moves the
    /// balance but not the status. `refunded` is said only when no more can be captured.
    fn status_from_facts(&self, order_amount_minor: i64) -> Status {
        let gross = |movements: &[Movement]| -> i64 {
            movements.iter().filter(|m| m.settled).map(|m| m.amount_minor).sum()
        };
        let (captured, refunded) = (gross(&self.captures), gross(&self.refunds));
        let goal = match self.authorized_minor {
            0 => order_amount_minor,
            authorized => authorized.min(order_amount_minor),
        };
        let complete = captured >= goal || self.voided || self.authorization_expired;
        match (captured, refunded) {
            (1.., 1..) if complete && refunded >= captured => Status::Refunded,
            (1.., 1..) => Status::PartiallyRefunded,
            (1.., _) if captured >= goal => Status::Captured,
            (1.., _) => Status::PartiallyCaptured,
            _ if self.failure.is_some() => Status::Failed,
            _ if self.voided => Status::Canceled,
            _ if self.authorization_expired => Status::Expired,
            _ if self.authorized_minor > 0 => Status::Authorized,
            _ if self.challenge.is_some() => Status::ActionRequired,
            _ => Status::Processing,
        }
    }
}

fn pending(movements: &[Movement]) -> i64 {
    movements.iter().filter(|m| m.is_pending()).map(|m| m.amount_minor).sum()
}
