//! Folding the whole log anew, as `daybook rebuild` does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use daybook_tests::{Kind, Setup, World};
use futures::StreamExt;
use ledger::commit::Cause;
use ledger::execute::{Ledger, Outcome, Request, RetryPolicy};
use ledger::ids::{RecordId, RefundId, RequestHash, TenantId};
use ledger::journal::Journal;
use ledger::journal::embedded::{EmbeddedJournal, EmbeddedOptions};
use ledger::journal::jetstream::{JetStreamConfig, JetStreamJournal};
use ledger::money::Money;
use ledger::order::{
    CaptureMode, Checkout, Command, Customer, Fact, Notification, Order, PaymentMethod, ReturnUrls, Surface,
};

use crate::limit::Limit;
use crate::report::{Goal, Report, Row, Side};
use crate::{Options, name};

/// Commits of each order: a checkout, its capture, a refund, and that it was settled.
pub(crate) const COMMITS: u64 = 4;
/// Orders that are written at the same time.
const WRITERS: usize = 512;

pub(crate) async fn run(options: Options) {
    let mut rows = Vec::new();
    for kind in options.kinds() {
        let mut world = World::with(kind, Setup::default()).await;
        world.servers[0].stop().await;
        fill(&world, kind, options.commits()).await;
        let commits = open(&world, kind).await.last_sequence(0).await.expect("the journal can be read");
        let (mut ours, mut limit) = (Side::new("Daybook"), Side::new("the same log drained"));
        for _ in 0..options.rounds() {
            limit.add_rate(commits, bare(&world, kind).await);
            let started = Instant::now();
            let output = world.run("rebuild", &[]).await;
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            ours.add_rate(commits, started.elapsed());
        }
        let row = Row::new("daybook rebuild", "commits/s", ours).on(name(kind));
        rows.push(row.against(limit).goal(Goal::PercentAtLeast(60)));
    }
    let title = "Rebuild: `daybook rebuild`, from its start to its end";
    Report::new("rebuild", title, options.quick, rows).publish(&options.out());
}

async fn open(world: &World, kind: Kind) -> Arc<dyn Journal> {
    match &world.nats {
        Some(nats) if kind != Kind::Embedded => {
            let journal = JetStreamJournal::connect(JetStreamConfig::new(nats.url())).await;
            Arc::new(journal.expect("the journal opens"))
        }
        _ => {
            let journal = EmbeddedJournal::open(database(world), EmbeddedOptions::default()).await;
            Arc::new(journal.expect("the journal opens"))
        }
    }
}

fn database(world: &World) -> std::path::PathBuf {
    world.data_dir(0).join("journal.sqlite")
}

/// How long it takes to read the same log and drop it, in a process of its own.
async fn bare(world: &World, kind: Kind) -> Duration {
    let limit = match &world.nats {
        Some(nats) if kind != Kind::Embedded => Limit::start(&["drain", &nats.url()]).await,
        _ => Limit::start(&["scan", &database(world).display().to_string()]).await,
    };
    Duration::from_micros(limit.said.parse().expect("microseconds"))
}

/// Writes orders until there are about so many commits.
pub(crate) async fn fill(world: &World, kind: Kind, commits: u64) {
    let ledger = Ledger::new(open(world, kind).await, RetryPolicy::default());
    let tenant: TenantId = "acme".parse().expect("a tenant");
    let orders = futures::stream::iter(0..commits / COMMITS);
    orders
        .for_each_concurrent(WRITERS, |number| {
            let (ledger, tenant) = (ledger.clone(), tenant.clone());
            async move { write_order(&ledger, &tenant, number).await }
        })
        .await;
}

async fn write_order(ledger: &Ledger, tenant: &TenantId, number: u64) {
    let euro = |minor| Money::of(minor, "EUR".parse().expect("a currency")).expect("an amount");
    let (key, at) = (format!("bench-{number}"), jiff::Timestamp::now());
    let record = RecordId::for_key(tenant, "checkout", &key);
    let refund = RefundId::for_key(record, Some(&key));
    let method = PaymentMethod { kind: "card".to_owned(), token: Some("tok_visa".to_owned()), card: None };
    let checkout = Checkout {
        amount: euro(1_999),
        merchant_reference: format!("A-{number}"),
        capture: CaptureMode::Automatic,
        payment_method: Some(method),
        items: Vec::new(),
        customer: Customer::default(),
        return_urls: ReturnUrls::default(),
        metadata: std::collections::BTreeMap::new(),
        expires_at: at + jiff::SignedDuration::from_hours(24),
        surface: Surface { name: "v1".to_owned(), data: std::collections::BTreeMap::new() },
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
    let reported = |event: &str| {
        Cause::Webhook {
        source: "psp".to_owned(),
        event_id: format!("{event}-{number}"),
        body: format!(r#"{{"type":"{event}","data":{{"order_id":"{record}","amount":{{"value":1999,"currency":"EUR"}}}}}}"#).into(),
    }
    };
    let captured =
        Fact::Captured { capture_id: None, reference: format!("cap-{number}"), amount: euro(1_999) };
    let settled = Fact::RefundSettled {
        refund_id: Some(refund),
        reference: format!("ref-{number}"),
        amount: euro(500),
    };
    let commits = [
        (asked("checkout"), Command::Submit(Box::new(checkout))),
        (reported("payment.captured"), fact(captured)),
        (asked("refund"), Command::Refund { id: refund, amount: Some(euro(500)), reason: None }),
        (reported("refund.settled"), fact(settled)),
    ];
    for (index, (cause, command)) in commits.into_iter().enumerate() {
        let request = Request { tenant: tenant.clone(), record, cause, command, at, is_new: index == 0 };
        let outcome = ledger.execute::<Order>(request).await.expect("a commit");
        assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
    }
}
