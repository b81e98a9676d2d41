//! Every way to tamper with a small log, against what finds it.

mod exports;
mod moves;
mod whole;

use std::sync::Arc;

use futures::StreamExt;
use jiff::Timestamp;
use ledger::commit::Cause;
use ledger::execute::{Ledger, Request, RetryPolicy};
use ledger::ids::{Position, RecordId, RequestHash, TenantId};
use ledger::journal::embedded::{EmbeddedJournal, EmbeddedOptions};
use ledger::journal::{Journal, Stored};
use ledger::money::Money;
use ledger::order::{CaptureMode, Checkout, Command, Fact, Notification, Order};

use super::partition::{Findings, PartitionCheck};
use super::*;
use crate::audit::{Frontier, Hash, NoteSigner, TreeHead, leaf_hash};

fn eur(minor: i64) -> Money {
    Money::of(minor, "EUR".parse().unwrap()).unwrap()
}

fn at(sequence: u64) -> Position {
    Position { partition: 0, sequence }
}

/// A journal with three commits an order: submitted, authorized, captured, each order's before the next one's.
async fn journal_of(directory: &std::path::Path, orders: u64) -> Arc<dyn Journal> {
    let journal = EmbeddedJournal::open(directory.join("journal"), EmbeddedOptions::default()).await.unwrap();
    let journal: Arc<dyn Journal> = Arc::new(journal);
    let ledger = Ledger::new(Arc::clone(&journal), RetryPolicy::default());
    let tenant: TenantId = "acme".parse().unwrap();
    for order in 0..orders {
        let record = RecordId::for_key(&tenant, "checkout", &order.to_string());
        let checkout = Checkout {
            amount: eur(100),
            merchant_reference: format!("A-{order}"),
            capture: CaptureMode::Automatic,
            payment_method: None,
            items: Vec::new(),
            customer: Default::default(),
            return_urls: Default::default(),
            metadata: Default::default(),
            expires_at: Timestamp::from_second(1_900_000_000).unwrap(),
            surface: Default::default(),
        };
        let submitted = Cause::Command {
            operation: "checkout".to_owned(),
            key: Some(order.to_string()),
            request_hash: RequestHash::of(b""),
        };
        let authorized = Fact::Authorized { amount: eur(100) };
        let captured = Fact::Captured { capture_id: None, reference: "c".to_owned(), amount: eur(100) };
        execute(&ledger, record, submitted, Command::Submit(Box::new(checkout))).await;
        for (event, fact) in [("a", authorized), ("c", captured)] {
            let cause = Cause::Webhook {
                source: "psp".to_owned(),
                event_id: format!("{event}{order}"),
                body: "{}".into(),
            };
            let payment_reference = Some(format!("p{order}"));
            let notification = Notification { payment_reference, attempt: None, fact };
            execute(&ledger, record, cause, Command::Record(notification)).await;
        }
    }
    journal
}

async fn execute(ledger: &Ledger, record: RecordId, cause: Cause, command: Command) {
    let (tenant, at) = ("acme".parse().unwrap(), Timestamp::from_second(1_800_000_000).unwrap());
    let request = Request { tenant, record, cause, command, at, is_new: false };
    ledger.execute::<Order>(request).await.unwrap();
}

/// The commits of such a journal.
async fn log_of(orders: u64) -> Vec<Stored> {
    let directory = tempfile::tempdir().unwrap();
    let journal = journal_of(directory.path(), orders).await;
    let tail = journal.tail(0, 0).await.unwrap();
    let last = journal.last_sequence(0).await.unwrap();
    tail.take(usize::try_from(last).unwrap()).map(Result::unwrap).collect().await
}

fn leaves(log: &[Stored]) -> Vec<Hash> {
    log.iter().map(|stored| leaf_hash(stored.position, &stored.subject, &stored.bytes)).collect()
}

/// A tree head over the first `size` commits.
fn head(log: &[Stored], size: usize) -> TreeHead {
    let mut frontier = Frontier::default();
    leaves(&log[..size]).into_iter().for_each(|leaf| frontier.push(leaf));
    TreeHead { origin: "test/0".to_owned(), size: frontier.size(), root: frontier.root() }
}

/// The leaves of the whole log, as a server keeps them.
fn kept(log: &[Stored]) -> Evidence {
    let mut evidence = Evidence::default();
    evidence.add_leaves(Box::new(leaves(log)));
    evidence
}

/// What is found in a partition's commits against the evidence, in order; without the fold.
fn judge(found: impl IntoIterator<Item = Found>, mut evidence: Evidence) -> Vec<Fault> {
    let mut findings = Findings { faults: evidence.check(0).unwrap(), ..Findings::default() };
    let mut check = PartitionCheck::new(0, 1, evidence);
    for found in found {
        check.feed([found]);
        check.judge(None, &mut findings).unwrap();
    }
    check.end();
    check.judge(None, &mut findings).unwrap();
    check.finish(&mut findings);
    findings.faults
}

fn commits(log: &[Stored]) -> impl Iterator<Item = Found> + '_ {
    log.iter().cloned().map(Found::Commit)
}

/// Numbers commits as they stand, as whoever hides a change would.
fn renumbered(mut log: Vec<Stored>) -> Vec<Stored> {
    for (stored, sequence) in log.iter_mut().zip(1..) {
        stored.position.sequence = sequence;
    }
    log
}

fn first(faults: &[Fault]) -> Option<(u64, FaultKind)> {
    let first = faults.iter().min_by_key(|fault| (fault.position.is_none(), fault.position))?;
    Some((first.position.map_or(0, |position| position.sequence), first.kind))
}
