//! A log with many orders in it, written past the server: what the tests and benchmarks of long commands work on.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use ledger::commit::Cause;
use ledger::execute::{Ledger, Outcome, Request, RetryPolicy};
use ledger::ids::{RecordId, RefundId, RequestHash, TenantId};
use ledger::journal::Journal;
use ledger::money::Money;
use ledger::order::{
    CaptureMode, Checkout, Command, Customer, Fact, Notification, Order, PaymentMethod, ReturnUrls, Surface,
};

/// Commits of each order: a checkout, its capture, a refund, and that it was settled.
pub const COMMITS: u64 = 4;
/// Orders that are written at the same time.
const WRITERS: usize = 512;

/// Writes the orders of these numbers, of the tenants `acme` and `globex` in turn, in three currencies.
pub async fn fill(journal: Arc<dyn Journal>, orders: std::ops::Range<u64>) {
    let ledger = Ledger::new(journal, RetryPolicy::default());
    let orders = futures::stream::iter(orders);
    orders
        .for_each_concurrent(WRITERS, |number| {
            let ledger = ledger.clone();
            async move { write_order(&ledger, number).await }
        })
        .await;
}

async fn write_order(ledger: &Ledger, number: u64) {
    let tenant: TenantId = ["acme", "globex"][number as usize % 2].parse().expect("a tenant");
    let currency = ["EUR", "JPY", "KWD"][number as usize % 3].parse().expect("a currency");
    let money = |minor| Money::of(minor, currency).expect("an amount");
    let (key, at) = (format!("fill-{number}"), jiff::Timestamp::now());
    let record = RecordId::for_key(&tenant, "checkout", &key);
    let refund = RefundId::for_key(record, Some(&key));
    let method = PaymentMethod { kind: "card".to_owned(), token: Some("tok_visa".to_owned()), card: None };
    let checkout = Checkout {
        amount: money(1_999),
        merchant_reference: format!("A-{number}, \"ß\""),
        capture: CaptureMode::Automatic,
        payment_method: Some(method),
        items: Vec::new(),
        customer: Customer::default(),
        return_urls: ReturnUrls::default(),
        metadata: BTreeMap::new(),
        expires_at: at + jiff::SignedDuration::from_hours(24),
        surface: Surface { name: "v1".to_owned(), data: BTreeMap::new() },
    };
    let fact = |fact| {
        Command::Record(Notification {
            payment_reference: Some(format!("pay-{number}")),
            attempt: Some(1),
            fact,
        })
    };
    let asked = |operation: &str| Cause::Command {
        operation: operation.to_owned(),
        key: Some(key.clone()),
        request_hash: RequestHash::of(key.as_bytes()),
    };
    let reported = |event: &str| Cause::Webhook {
        source: "psp".to_owned(),
        event_id: format!("{event}-{number}"),
        body: format!(r#"{{"type":"{event}","data":{{"order_id":"{record}"}}}}"#).into(),
    };
    let captured =
        Fact::Captured { capture_id: None, reference: format!("cap-{number}"), amount: money(1_999) };
    let back = money(500 + number as i64 % 100);
    let settled =
        Fact::RefundSettled { refund_id: Some(refund), reference: format!("ref-{number}"), amount: back };
    let commits = [
        (asked("checkout"), Command::Submit(Box::new(checkout))),
        (reported("payment.captured"), fact(captured)),
        (asked("refund"), Command::Refund { id: refund, amount: Some(back), reason: None }),
        (reported("refund.settled"), fact(settled)),
    ];
    for (index, (cause, command)) in commits.into_iter().enumerate() {
        let request = Request { tenant: tenant.clone(), record, cause, command, at, is_new: index == 0 };
        let outcome = ledger.execute::<Order>(request).await.expect("a commit");
        assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
    }
}
