//! What was, against what is folded by hand.

use std::sync::Arc;

use ledger::commit::Cause;
use ledger::execute::{Request, RetryPolicy};
use ledger::ids::RequestHash;
use ledger::journal::embedded::{EmbeddedJournal, EmbeddedOptions};
use ledger::money::Money;
use ledger::order::{CaptureMode, Checkout, Command, Status};

use super::*;

pub(crate) mod properties;

async fn moment(ledger: &Ledger, as_of: &str) -> Moment {
    Moment::find(ledger.journal().as_ref(), Some(as_of.parse().unwrap())).await.unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// An order submitted at second 0 and canceled at second 10.
pub(super) async fn canceled_order(directory: &std::path::Path) -> (Ledger, TenantId, RecordId) {
    let journal = EmbeddedJournal::open(directory.join("journal"), EmbeddedOptions::default()).await.unwrap();
    let ledger = Ledger::new(Arc::new(journal), RetryPolicy::default());
    let (tenant, record): (TenantId, _) = ("demo".parse().unwrap(), RecordId::random());
    let checkout = Checkout {
        amount: Money::of(100, "EUR".parse().unwrap()).unwrap(),
        merchant_reference: "A-1".to_owned(),
        capture: CaptureMode::Automatic,
        payment_method: None,
        items: Vec::new(),
        customer: Default::default(),
        return_urls: Default::default(),
        metadata: Default::default(),
        expires_at: at(1000),
        surface: Default::default(),
    };
    for (command, second) in [(Command::Submit(Box::new(checkout)), 0), (Command::Cancel, 10)] {
        let cause =
            Cause::Command { operation: "test".to_owned(), key: None, request_hash: RequestHash::of(b"") };
        let (tenant, at) = (tenant.clone(), at(second));
        let request = Request { tenant, record, cause, command, at, is_new: false };
        ledger.execute::<Order>(request).await.unwrap();
    }
    (ledger, tenant, record)
}

#[tokio::test]
async fn an_order_is_shown_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, tenant, order) = canceled_order(directory.path()).await;
    let status = async |as_of: &str| {
        let moment = moment(&ledger, as_of).await;
        let state = history(&ledger, &tenant, order, moment, |_, _| {}).await.unwrap();
        state.map(|order| order.status())
    };
    assert_eq!(status(&at(-1).to_string()).await, None);
    assert_eq!(status(&at(0).to_string()).await, Some(Status::Processing));
    assert_eq!(status(&at(9).to_string()).await, Some(Status::Processing));
    assert_eq!(status(&at(10).to_string()).await, Some(Status::Canceled));
    assert_eq!(status("0-0").await, None);
    assert_eq!(status("0-1").await, Some(Status::Processing));
    assert_eq!(status("0-99").await, Some(Status::Canceled));
    let mut seen = Vec::new();
    let each = |recorded: Recorded, order: &Order| seen.push((recorded.position.sequence, order.status()));
    history(&ledger, &tenant, order, Moment::NOW, each).await.unwrap();
    assert_eq!(seen, [(1, Status::Processing), (2, Status::Canceled)]);
}

#[test]
fn a_moment_is_a_time_or_a_position() {
    assert_eq!("0-42".parse(), Ok(AsOf::Position(Position { partition: 0, sequence: 42 })));
    assert_eq!("2027-01-15T08:00:00Z".parse(), Ok(AsOf::Time(at(0))));
    for bad in ["", "yesterday", "42", "2026-11-20"] {
        assert_eq!(bad.parse::<AsOf>(), Err(InvalidAsOf), "{bad}");
    }
}

#[tokio::test]
async fn a_view_and_a_snapshot_are_cut_where_the_history_is() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, tenant, id) = canceled_order(directory.path()).await;
    let nobody = "nobody".parse().unwrap();
    for as_of in
        ["0-0", "0-1", "0-2", "0-9", "2027-01-15T08:00:00Z", "2027-01-15T08:00:10Z", "1999-01-01T00:00:00Z"]
    {
        let moment = moment(&ledger, as_of).await;
        let mut last = None;
        let each = |recorded: Recorded, _: &Order| last = Some(recorded.position);
        let folded = history(&ledger, &tenant, id, moment, each).await.unwrap();
        let view = order(&ledger, &tenant, id, moment).await.unwrap();
        assert_eq!(view.as_ref().map(|view| &view.order), folded.as_ref(), "{as_of}");
        assert_eq!(view.as_ref().map(|view| view.last), last, "{as_of}");
        let read = async |tenant| Snapshot::read(ledger.journal().as_ref(), tenant, moment, |_| {}).await;
        let orders: i64 = read(&tenant).await.unwrap().totals().values().map(|totals| totals.orders).sum();
        assert_eq!(orders, i64::from(view.is_some()), "{as_of}");
        assert!(read(&nobody).await.unwrap().totals().is_empty());
        assert_eq!(order(&ledger, &nobody, id, moment).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_partition_that_is_not_there_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, ..) = canceled_order(directory.path()).await;
    let error = Moment::find(ledger.journal().as_ref(), Some("1-1".parse().unwrap())).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no partition 1: the ledger has 1, numbered from 0");
}
