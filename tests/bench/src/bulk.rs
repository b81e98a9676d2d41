//! Logs of millions of commits, written past the server as fast as a journal takes them.
//!
//! Every commit is what the server would have stored for the same request: decided by the same rules, encoded by the
//! same codec, sealed with a key of its order's own. Only the waiting for each single answer is left out.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::try_join_all;
use jiff::{SignedDuration, Timestamp};
use ledger::codec;
use ledger::commit::{Cause, Commit};
use ledger::execute::Aggregate;
use ledger::ids::{CommitId, Position, RecordId, RefundId, RequestHash, TenantId};
use ledger::journal::{Journal, Stored, Subject};
use ledger::keys::{Key, Keyring};
use ledger::money::Money;
use ledger::order::{
    CaptureMode, Checkout, Command, Customer, Fact, Notification, Order, PaymentMethod, ReturnUrls, Surface,
};

/// Whose orders they are.
const TENANT: &str = "acme";
/// Orders that are decided together. Their commits are mixed, as those of so many orders under way at once.
const BLOCK: u64 = 1024;
/// Blocks that are made while one is stored.
const AHEAD: usize = 3;

/// What happens to each order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// It is opened: one commit.
    Opened,
    /// It is opened, captured, refunded in part, and the refund is settled: four commits.
    Refunded,
}

impl Life {
    /// Commits of an order.
    pub(crate) fn commits(self) -> u64 {
        match self {
            Life::Opened => 1,
            Life::Refunded => 4,
        }
    }
}

/// One request of an order's life: what came over HTTP, and what was stored of it.
pub(crate) struct Step {
    /// The request's body.
    pub(crate) body: String,
    /// The commit.
    pub(crate) commit: Commit,
}

/// The idempotency key of an order.
pub(crate) fn key(number: u64) -> String {
    format!("{number:032x}")
}

/// The id of an order.
pub(crate) fn order(number: u64) -> RecordId {
    RecordId::for_key(&tenant(), "checkout", &key(number))
}

fn tenant() -> TenantId {
    TENANT.parse().expect("a tenant")
}

/// Writes the orders of these numbers after what the journal holds. Nobody else may write to it meanwhile.
pub(crate) async fn fill(journal: &dyn Journal, orders: Range<u64>, life: Life) {
    let keyring = Keyring::new(journal.keys());
    let partitions = journal.partitions();
    let mut ends = Vec::new();
    for partition in 0..partitions {
        ends.push(journal.last_sequence(partition).await.expect("the journal can be read"));
    }
    let starts = orders.clone().step_by(BLOCK as usize);
    let blocks = starts.map(|start| start..orders.end.min(start + BLOCK));
    let mut blocks = futures::stream::iter(blocks)
        .map(|orders| {
            let keyring = keyring.clone();
            async move {
                let mut keys = Vec::new();
                for _ in orders.clone() {
                    keys.push(keyring.issue().await.expect("a key"));
                }
                let made = tokio::task::spawn_blocking(move || commits(orders, life, &keys));
                made.await.expect("commits are made")
            }
        })
        .buffered(AHEAD);
    let mut next = blocks.next().await;
    while let Some(block) = next {
        let mut parts = vec![Vec::new(); usize::from(partitions)];
        for (subject, bytes) in block {
            let partition = subject.partition(partitions);
            let end = &mut ends[usize::from(partition)];
            *end += 1;
            let position = Position { partition, sequence: *end };
            parts[usize::from(partition)].push(Stored { position, subject, bytes });
        }
        let stored = try_join_all(parts.iter().map(|part| journal.restore(part)));
        let (stored, following) = tokio::join!(stored, blocks.next());
        stored.expect("the journal takes commits");
        next = following;
    }
}

/// The encoded commits of some orders: all first ones, then all second ones, and so on.
fn commits(orders: Range<u64>, life: Life, keys: &[Key]) -> Vec<(Subject, Bytes)> {
    let at = now();
    let encode =
        |step: Step, key| (step.commit.subject(), codec::encode_sealed(&step.commit, Some(key)).into());
    let mut lives: Vec<_> =
        orders.zip(keys).map(|(number, key)| (steps(number, life, at).into_iter(), key)).collect();
    let mut commits = Vec::new();
    for _ in 0..life.commits() {
        commits.extend(lives.iter_mut().filter_map(|(life, key)| Some(encode(life.next()?, key))));
    }
    commits
}

/// In whole milliseconds, as a commit says it.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_millisecond(Timestamp::now().as_millisecond()).expect("a time of today")
}

/// What happens to an order, all of it at one time.
pub(crate) fn steps(number: u64, life: Life, at: Timestamp) -> Vec<Step> {
    let euro = |minor| Money::of(minor, "EUR".parse().expect("a currency")).expect("an amount");
    let (tenant, key, order) = (tenant(), key(number), order(number));
    let refund = RefundId::for_key(order, Some(&key));
    let asked = |operation: &str, body: String, command| {
        let request_hash = RequestHash::of(body.as_bytes());
        let cause = Cause::Command { operation: operation.to_owned(), key: Some(key.clone()), request_hash };
        (body, cause, command)
    };
    let reported = |kind: &str, data: String, fact| {
        let body =
            format!(r#"{{"type":"{kind}","timestamp":"{at}","data":{{"order_id":"{order}",{data}}}}}"#);
        let cause = Cause::Webhook {
            source: "psp".to_owned(),
            event_id: format!("evt_{}_{kind}", key.clone()),
            body: body.clone().into(),
        };
        let notification =
            Notification { payment_reference: Some(format!("pay_{key}")), attempt: Some(1), fact };
        (body, cause, Command::Record(notification))
    };
    let checkout = format!(
        r#"{{"amount":{{"value":1999,"currency":"EUR"}},"merchant_reference":"A-{number}","payment_method":{{"type":"card","token":"tok_visa"}}}}"#
    );
    let mut asks =
        vec![asked("checkout", checkout, Command::Submit(Box::new(submitted(number, euro(1_999), at))))];
    if life == Life::Refunded {
        let captured =
            Fact::Captured { capture_id: None, reference: format!("cap_{key}"), amount: euro(1_999) };
        let settled = Fact::RefundSettled {
            refund_id: Some(refund),
            reference: format!("ref_{key}"),
            amount: euro(500),
        };
        let of = |reference: &str, minor: i64| {
            format!(
                r#""payment_reference":"pay_{key}","reference":"{reference}_{key}","amount":{{"value":{minor},"currency":"EUR"}}"#
            )
        };
        asks.extend([
            reported("payment.captured", of("cap", 1_999), captured),
            asked(
                "refund",
                r#"{"amount":{"value":500,"currency":"EUR"}}"#.to_owned(),
                Command::Refund { id: refund, amount: Some(euro(500)), reason: None },
            ),
            reported("refund.settled", format!(r#""refund_id":"{refund}",{}"#, of("ref", 500)), settled),
        ]);
    }
    let mut state: Option<Order> = None;
    let decided = asks.into_iter().map(|(body, cause, command)| {
        let events = Order::decide(state.as_ref(), &command).expect("nothing that is refused");
        for event in &events {
            state = Some(Order::evolve(state.take(), event).expect("what was decided can be folded"));
        }
        let commit = Commit {
            id: CommitId::random(),
            tenant: tenant.clone(),
            record: order,
            decided_at: at,
            cause,
            changes: Order::to_changes(events),
        };
        Step { body, commit }
    });
    decided.collect()
}

fn submitted(number: u64, amount: Money, at: Timestamp) -> Checkout {
    let method = PaymentMethod { kind: "card".to_owned(), token: Some("tok_visa".to_owned()), card: None };
    Checkout {
        amount,
        merchant_reference: format!("A-{number}"),
        capture: CaptureMode::Automatic,
        payment_method: Some(method),
        items: Vec::new(),
        customer: Customer::default(),
        return_urls: ReturnUrls::default(),
        metadata: BTreeMap::new(),
        expires_at: at + SignedDuration::from_hours(24),
        surface: Surface { name: "v1".to_owned(), data: BTreeMap::new() },
    }
}
