//! The events of the two event-sourced peers: as much as Daybook's own say, and stored as JSON like those.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::peer::{Amount, Ask, Checkout, Fact, Report};

/// What happened to an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, disintegrate::Event)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum OrderEvent {
    Opened {
        #[id]
        order_id: Uuid,
        key: String,
        request_hash: String,
        checkout: Checkout,
        at: i64,
    },
    Captured {
        #[id]
        order_id: Uuid,
        source: String,
        event_id: String,
        reference: String,
        amount: Amount,
        body: String,
        at: i64,
    },
    RefundRequested {
        #[id]
        order_id: Uuid,
        key: String,
        amount: Amount,
        at: i64,
    },
    RefundSettled {
        #[id]
        order_id: Uuid,
        source: String,
        event_id: String,
        reference: String,
        amount: Amount,
        body: String,
        at: i64,
    },
    /// A webhook that would have broken a rule.
    SetAside {
        #[id]
        order_id: Uuid,
        source: String,
        event_id: String,
        body: String,
        at: i64,
    },
}

impl OrderEvent {
    pub(crate) fn opened(order_id: Uuid, ask: &Ask) -> Self {
        OrderEvent::Opened {
            order_id,
            key: ask.key.clone(),
            request_hash: ask.hash.clone(),
            checkout: ask.checkout.clone(),
            at: ask.at,
        }
    }

    pub(crate) fn recorded(report: &Report) -> Self {
        let Report { event_id, order, fact, reference, amount, body, at } = report;
        let (order_id, source, event_id) = (*order, crate::peer::SOURCE.to_owned(), event_id.clone());
        let (reference, amount, body, at) = (reference.clone(), amount.clone(), body.clone(), *at);
        match fact {
            Fact::Captured => {
                OrderEvent::Captured { order_id, source, event_id, reference, amount, body, at }
            }
            Fact::RefundSettled => {
                OrderEvent::RefundSettled { order_id, source, event_id, reference, amount, body, at }
            }
        }
    }

    pub(crate) fn set_aside(report: &Report) -> Self {
        OrderEvent::SetAside {
            order_id: report.order,
            source: crate::peer::SOURCE.to_owned(),
            event_id: report.event_id.clone(),
            body: report.body.clone(),
            at: report.at,
        }
    }

    /// Milliseconds since 1970.
    pub(crate) fn at(&self) -> i64 {
        match self {
            OrderEvent::Opened { at, .. }
            | OrderEvent::Captured { at, .. }
            | OrderEvent::RefundRequested { at, .. }
            | OrderEvent::RefundSettled { at, .. }
            | OrderEvent::SetAside { at, .. } => *at,
        }
    }

    /// The order that it is about.
    pub(crate) fn order(&self) -> Uuid {
        match self {
            OrderEvent::Opened { order_id, .. }
            | OrderEvent::Captured { order_id, .. }
            | OrderEvent::RefundRequested { order_id, .. }
            | OrderEvent::RefundSettled { order_id, .. }
            | OrderEvent::SetAside { order_id, .. } => *order_id,
        }
    }
}
