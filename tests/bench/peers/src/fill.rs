//! Orders for the rebuild: a checkout, its capture, a refund, and that it was settled, as Daybook is filled for the same.

use serde_json::Map;
use uuid::Uuid;

use crate::events::OrderEvent;
use crate::peer::{Amount, Capture, Checkout, PaymentMethod, SOURCE, now, order_for_key};

/// Orders that are under way at the same time: their events lie between each other's, as in a real log.
const WRITERS: u64 = 512;

/// One event, with its number among its order's, from 1.
pub(crate) struct Filled {
    pub(crate) event: OrderEvent,
    pub(crate) sequence: i64,
}

/// The events of so many orders, in the order in which they happened.
pub(crate) fn events(orders: u64) -> impl Iterator<Item = Filled> {
    let at = now();
    (0..orders.div_ceil(WRITERS)).flat_map(move |chunk| {
        let numbers = chunk * WRITERS..orders.min((chunk + 1) * WRITERS);
        (1..=4).flat_map(move |sequence| {
            numbers.clone().map(move |number| Filled { event: event(number, sequence, at), sequence })
        })
    })
}

fn event(number: u64, sequence: i64, at: i64) -> OrderEvent {
    let key = format!("bench-{number}");
    let order_id = order_for_key(&key);
    let euro = |value| Amount { value, currency: "EUR".to_owned() };
    let source = SOURCE.to_owned();
    let body = |event: &str, amount: i64| {
        format!(
            r#"{{"type":"{event}","data":{{"order_id":"{order_id}","amount":{{"value":{amount},"currency":"EUR"}}}}}}"#
        )
    };
    match sequence {
        1 => {
            let method = PaymentMethod { r#type: "card".to_owned(), token: Some("tok_visa".to_owned()) };
            let checkout = Checkout {
                amount: euro(1_999),
                merchant_reference: format!("A-{number}"),
                capture: Capture::Automatic,
                payment_method: Some(method),
                items: Vec::new(),
                customer: None,
                return_urls: None,
                metadata: Map::new(),
            };
            let request_hash = format!("{:064x}", Uuid::as_u128(&order_id));
            OrderEvent::Opened { order_id, key, request_hash, checkout, at }
        }
        2 => OrderEvent::Captured {
            order_id,
            source,
            event_id: format!("payment.captured-{number}"),
            reference: format!("cap-{number}"),
            amount: euro(1_999),
            body: body("payment.captured", 1_999),
            at,
        },
        3 => OrderEvent::RefundRequested { order_id, key, amount: euro(500), at },
        _ => OrderEvent::RefundSettled {
            order_id,
            source,
            event_id: format!("refund.settled-{number}"),
            reference: format!("ref-{number}"),
            amount: euro(500),
            body: body("refund.settled", 500),
            at,
        },
    }
}
