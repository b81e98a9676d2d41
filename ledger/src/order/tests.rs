//! The order's rules: as examples (given these events, when this is asked, then that), and as properties over
//! whatever anybody might send; and the books that are kept of it.

mod books;
mod examples;
mod properties;
mod strategies;

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    CaptureMode, Checkout, Command, Customer, Event, Fact, Notification, Order, PaymentMethod, ReturnUrls,
    Surface, decide, evolve,
};
use crate::money::Money;

/// An amount in euro cents.
fn eur(minor: i64) -> Money {
    Money::of(minor, "EUR".parse().unwrap()).unwrap()
}

/// The moment at which every test's order expires.
fn expiry() -> Timestamp {
    Timestamp::from_second(1_000_000).unwrap()
}

/// A checkout of 1.00 EUR by card.
fn checkout(capture: CaptureMode) -> Checkout {
    Checkout {
        amount: eur(100),
        merchant_reference: "A-1001".to_owned(),
        capture,
        payment_method: Some(PaymentMethod { kind: "card".to_owned(), token: None, card: None }),
        items: Vec::new(),
        customer: Customer::default(),
        return_urls: ReturnUrls::default(),
        metadata: BTreeMap::new(),
        expires_at: expiry(),
        surface: Surface::default(),
    }
}

/// A submitted order with one attempt.
fn submitted(capture: CaptureMode) -> Order {
    let submit = Command::Submit(Box::new(checkout(capture)));
    fold(None, &decide(None, &submit).unwrap()).unwrap()
}

/// The order after `events`.
fn fold(order: Option<Order>, events: &[Event]) -> Option<Order> {
    events.iter().fold(order, |order, event| Some(evolve(order, event).expect("a decision can be folded")))
}

/// A notification about the payment `pay`.
fn about(payment: &str, fact: Fact) -> Command {
    Command::Record(Notification { payment_reference: Some(payment.to_owned()), attempt: None, fact })
}

/// The order after each command that was not refused.
fn after(order: Order, commands: &[Command]) -> Order {
    commands.iter().fold(order, |order, command| match decide(Some(&order), command) {
        Ok(events) => fold(Some(order), &events).unwrap(),
        Err(rejection) => panic!("{command:?} was refused: {rejection}"),
    })
}
