//! The views against real journals and real stores. What is shared: a shop that writes to an embedded journal, and a
//! journal that can be made to misbehave.

mod faulty;
mod fold;
mod generations;
mod online;
mod projector;
mod queries;
mod reader;
mod rebuild;
mod store;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use ledger::commit::{Cause, Recorded};
use ledger::execute::{Aggregate, Ledger, Outcome, Request, RetryPolicy};
use ledger::ids::{Position, RecordId, RefundId, RequestHash, TenantId};
use ledger::journal::Journal;
use ledger::journal::embedded::{EmbeddedJournal, EmbeddedOptions};
use ledger::money::Money;
use ledger::offer::{self, Offer};
use ledger::order::{
    CaptureMode, Checkout, Command, Customer, Fact, Notification, Order, PaymentMethod, ReturnUrls, Surface,
};
use ledger::quarantine::{self, MatchKey, Quarantined, Reason};

use crate::{Projector, ProjectorOptions, State, StoreOptions, Views};

/// Longer than anything here takes; whoever waits for so long has hung.
const DEADLINE: Duration = Duration::from_secs(30);

fn tenant() -> TenantId {
    "demo".parse().unwrap()
}

fn euros(minor: i64) -> Money {
    Money::of(minor, "EUR".parse().unwrap()).unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_750_000_000 + second).unwrap()
}

fn checkout(reference: &str, amount: Money) -> Checkout {
    Checkout {
        amount,
        merchant_reference: reference.to_owned(),
        capture: CaptureMode::Automatic,
        payment_method: Some(PaymentMethod {
            kind: "card".to_owned(),
            token: Some("tok_success".to_owned()),
            card: None,
        }),
        items: Vec::new(),
        customer: Customer { name: Some("Ada".to_owned()), ..Customer::default() },
        return_urls: ReturnUrls::default(),
        metadata: [("channel".to_owned(), "web".to_owned())].into(),
        expires_at: at(1800),
        surface: Surface { name: "v1".to_owned(), data: Default::default() },
    }
}

fn keyed(operation: &str, key: &str) -> Cause {
    Cause::Command {
        operation: operation.to_owned(),
        key: Some(key.to_owned()),
        request_hash: RequestHash::of(key.as_bytes()),
    }
}

fn webhook(event_id: &str) -> Cause {
    Cause::Webhook {
        source: "psp".to_owned(),
        event_id: event_id.to_owned(),
        body: Bytes::from_static(b"{}"),
    }
}

fn notification(payment_reference: &str, fact: Fact) -> Command {
    Command::Record(Notification {
        payment_reference: Some(payment_reference.to_owned()),
        attempt: None,
        fact,
    })
}

fn captured(reference: &str, amount: Money) -> Fact {
    Fact::Captured { capture_id: None, reference: reference.to_owned(), amount }
}

/// A directory with a journal in it, and somebody who writes to it.
struct Shop {
    dir: tempfile::TempDir,
    journal: Arc<dyn Journal>,
    ledger: Ledger,
}

impl Shop {
    async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.sqlite");
        let journal = EmbeddedJournal::open(path, EmbeddedOptions::default()).await.unwrap();
        let journal: Arc<dyn Journal> = Arc::new(journal);
        let ledger = Ledger::new(Arc::clone(&journal), RetryPolicy::default());
        Shop { dir, journal, ledger }
    }

    fn views_path(&self) -> PathBuf {
        self.dir.path().join("views")
    }

    fn views(&self) -> Views {
        open(&self.views_path())
    }

    async fn projector(&self, views: &Views) -> Projector {
        Projector::start(Arc::clone(&self.journal), views.clone(), quick()).await.unwrap()
    }

    async fn execute<A: Aggregate>(
        &self,
        tenant: TenantId,
        record: RecordId,
        cause: Cause,
        command: A::Command,
    ) -> Recorded {
        let request = Request { tenant, record, cause, command, at: at(0), is_new: false };
        match self.ledger.execute::<A>(request).await {
            Ok(Outcome::Committed(done)) => done.recorded,
            Ok(Outcome::Repeated(_) | Outcome::Unchanged(_)) => panic!("nothing was stored"),
            Err(error) => panic!("{error}"),
        }
    }

    async fn submit(&self, key: &str) -> (RecordId, Position) {
        let id = RecordId::for_key(&tenant(), "checkout", key);
        let command = Command::Submit(Box::new(checkout(key, euros(1000))));
        let recorded = self.execute::<Order>(tenant(), id, keyed("checkout", key), command).await;
        (id, recorded.position)
    }

    async fn order(&self, id: RecordId, cause: Cause, command: Command) -> Position {
        self.execute::<Order>(tenant(), id, cause, command).await.position
    }

    /// Captures an order in full and refunds some of it.
    async fn settle(&self, key: &str) -> Position {
        let id = RecordId::for_key(&tenant(), "checkout", key);
        let payment = format!("pay-{key}");
        let authorized = notification(&payment, Fact::Authorized { amount: euros(1000) });
        self.order(id, webhook(&format!("{key}-1")), authorized).await;
        let capture = notification(&payment, captured(&format!("cap-{key}"), euros(1000)));
        self.order(id, webhook(&format!("{key}-2")), capture).await;
        let refund = Command::Refund {
            id: RefundId::for_key(id, Some("r")),
            amount: Some(euros(250)),
            reason: Some("broken".to_owned()),
        };
        self.order(id, keyed("refund", &format!("{key}-r")), refund).await
    }

    async fn register(&self, identifier: &str, minor: i64) -> Position {
        let offer = Offer {
            identifier: identifier.to_owned(),
            amount: euros(minor),
            items: Vec::new(),
            expires_at: None,
            purchasable: true,
        };
        let id = Offer::record_id(&tenant(), identifier);
        let cause = keyed("offer", &format!("{identifier}-{minor}"));
        self.execute::<Offer>(tenant(), id, cause, offer::Command::Register(offer)).await.position
    }

    async fn set_aside(&self, event_id: &str, reason: Reason, waits_for: Vec<MatchKey>) -> RecordId {
        let id = Quarantined::verified_id(&tenant(), "psp", event_id);
        let command = quarantine::Command::Quarantine(Quarantined {
            reason,
            detail: "no such order".to_owned(),
            waits_for,
            headers: vec![("webhook-id".to_owned(), event_id.to_owned())],
            received_at: at(0),
            outcome: None,
        });
        self.execute::<Quarantined>(tenant(), id, webhook(event_id), command).await;
        id
    }

    /// A log with something of everything in it.
    async fn fill(&self) {
        for key in ["A-1", "A-2", "A-3"] {
            self.submit(key).await;
        }
        self.settle("A-2").await;
        self.register("basic", 500).await;
        self.set_aside("evt-9", Reason::UnknownOrder, vec![MatchKey::PaymentReference("pay-9".to_owned())])
            .await;
    }

    async fn last(&self) -> Position {
        Position { partition: 0, sequence: self.journal.last_sequence(0).await.unwrap() }
    }
}

fn open(path: &Path) -> Views {
    Views::open(path, &StoreOptions::default()).unwrap()
}

/// Everything that waits, waits a moment only.
fn quick() -> ProjectorOptions {
    ProjectorOptions {
        watchdog: Duration::from_millis(20),
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(10),
        ..ProjectorOptions::default()
    }
}

async fn reached(projector: &Projector, position: Position) {
    tokio::time::timeout(DEADLINE, projector.reached(position)).await.expect("the projector gets there");
}

async fn halted(projector: &Projector) -> (Position, String) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        if let State::Halted { position, reason } = projector.status().state {
            return (position, reason);
        }
        assert!(tokio::time::Instant::now() < deadline, "it does not halt");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
