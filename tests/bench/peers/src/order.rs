//! The rules that all peers keep: what an order's money may do, and what its status is called.

use serde::{Deserialize, Serialize};

use crate::events::OrderEvent;
use crate::peer::{Fact, Report};

/// An order as the commands need it, folded from its events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    /// Empty before it is opened.
    pub(crate) request_hash: String,
    pub(crate) opened_at: i64,
    amount: i64,
    currency: String,
    captured: i64,
    refunded: i64,
    refund_pending: i64,
    /// The webhooks that it has had: a few at most.
    seen: Vec<String>,
}

/// What to do with a webhook.
pub(crate) enum Verdict {
    /// It says something new, or breaks a rule and is kept without an effect.
    Record(Box<OrderEvent>),
    /// It was there already.
    Duplicate,
    /// There is no such order.
    UnknownOrder,
}

impl Order {
    pub(crate) fn exists(&self) -> bool {
        !self.request_hash.is_empty()
    }

    /// The guard: no more is captured than was authorized, no more refunded than was captured.
    pub(crate) fn judge(&self, report: &Report) -> Verdict {
        if !self.exists() {
            return Verdict::UnknownOrder;
        }
        if self.seen.contains(&report.event_id) {
            return Verdict::Duplicate;
        }
        let room = match report.fact {
            Fact::Captured => self.amount - self.captured,
            Fact::RefundSettled => self.captured - self.refunded,
        };
        if report.amount.currency != self.currency || report.amount.value > room {
            return Verdict::Record(Box::new(OrderEvent::set_aside(report)));
        }
        Verdict::Record(Box::new(OrderEvent::recorded(report)))
    }

    pub(crate) fn apply(&mut self, event: &OrderEvent) {
        match event {
            OrderEvent::Opened { request_hash, checkout, at, .. } => {
                self.request_hash.clone_from(request_hash);
                self.opened_at = *at;
                self.amount = checkout.amount.value;
                self.currency.clone_from(&checkout.amount.currency);
            }
            OrderEvent::Captured { amount, event_id, .. } => {
                self.captured += amount.value;
                self.seen.push(event_id.clone());
            }
            OrderEvent::RefundRequested { amount, .. } => self.refund_pending += amount.value,
            OrderEvent::RefundSettled { amount, event_id, .. } => {
                self.refunded += amount.value;
                self.refund_pending = (self.refund_pending - amount.value).max(0);
                self.seen.push(event_id.clone());
            }
            OrderEvent::SetAside { event_id, .. } => self.seen.push(event_id.clone()),
        }
    }
}

/// The read model's row of an order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) merchant_reference: String,
    pub(crate) captured: i64,
    pub(crate) refunded: i64,
    pub(crate) refund_pending: i64,
    pub(crate) status: String,
    pub(crate) updated_at: i64,
    pub(crate) position: i64,
}

impl Summary {
    pub(crate) fn apply(&mut self, event: &OrderEvent, position: i64) {
        match event {
            OrderEvent::Opened { checkout, .. } => {
                self.amount = checkout.amount.value;
                self.currency.clone_from(&checkout.amount.currency);
                self.merchant_reference.clone_from(&checkout.merchant_reference);
            }
            OrderEvent::Captured { amount, .. } => self.captured += amount.value,
            OrderEvent::RefundRequested { amount, .. } => self.refund_pending += amount.value,
            OrderEvent::RefundSettled { amount, .. } => {
                self.refunded += amount.value;
                self.refund_pending = (self.refund_pending - amount.value).max(0);
            }
            OrderEvent::SetAside { .. } => {}
        }
        self.updated_at = event.at();
        self.position = position;
        let status = status(self.amount, self.captured, self.refunded);
        if self.status != status {
            status.clone_into(&mut self.status);
        }
    }
}

/// The status of an order with these sums.
fn status(amount: i64, captured: i64, refunded: i64) -> &'static str {
    if captured == 0 {
        "processing"
    } else if refunded == 0 {
        if captured < amount { "partially_captured" } else { "captured" }
    } else if refunded < captured {
        "partially_refunded"
    } else {
        "refunded"
    }
}
