//! History as of a moment, folded again from the journal.
//!
//! A view shows what is; this shows what was. Nothing here reads a view, so what it says stands on the log alone.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use ledger::commit::Recorded;
use ledger::execute::{Ledger, LoadError, fold};
use ledger::ids::{Position, RecordId, TenantId};
use ledger::order::Order;

/// A moment in an order's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// As the commits up to and including this time left it.
    Time(Timestamp),
    /// As the commits up to and including this position left it.
    Position(Position),
}

/// A text that is neither a time nor a position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("neither a time such as 2026-11-20T10:00:00Z nor a position such as 0-42")]
pub struct InvalidAsOf;

impl FromStr for AsOf {
    type Err = InvalidAsOf;

    fn from_str(text: &str) -> Result<Self, InvalidAsOf> {
        let time = || text.parse().map(AsOf::Time).map_err(|_| InvalidAsOf);
        text.parse().map(AsOf::Position).or_else(|_| time())
    }
}

impl fmt::Display for AsOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AsOf::Time(time) => time.fmt(f),
            AsOf::Position(position) => position.fmt(f),
        }
    }
}

/// Folds an order's commits, all of them or those up to a moment; `each` gets every one with the order as it left
/// it. None when there was no such order then.
///
/// A moment cuts the history once: what comes after the first later commit is later, whatever the clock of the
/// node that decided it said.
pub async fn history(
    ledger: &Ledger,
    tenant: &TenantId,
    order: RecordId,
    as_of: Option<AsOf>,
    each: impl FnMut(Recorded, &Order),
) -> Result<Option<Order>, LoadError> {
    let commits = ledger.commits(tenant, order).await?;
    let until = |recorded: &Recorded| as_of.is_none_or(|as_of| as_of.includes(recorded));
    fold(commits.into_iter().take_while(until), each)
}

impl AsOf {
    fn includes(self, recorded: &Recorded) -> bool {
        match self {
            AsOf::Time(time) => recorded.commit.decided_at <= time,
            // Positions of two partitions are not ordered; an order's commits are all in one.
            AsOf::Position(position) => {
                let at = recorded.position;
                at.partition == position.partition && at.sequence <= position.sequence
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ledger::commit::Cause;
    use ledger::execute::{Request, RetryPolicy};
    use ledger::ids::RequestHash;
    use ledger::journal::embedded::{EmbeddedJournal, EmbeddedOptions};
    use ledger::money::Money;
    use ledger::order::{CaptureMode, Checkout, Command, Status};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    /// An order submitted at second 0 and canceled at second 10.
    async fn canceled_order(directory: &std::path::Path) -> (Ledger, TenantId, RecordId) {
        let journal =
            EmbeddedJournal::open(directory.join("journal"), EmbeddedOptions::default()).await.unwrap();
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
            let cause = Cause::Command {
                operation: "test".to_owned(),
                key: None,
                request_hash: RequestHash::of(b""),
            };
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
            let as_of = Some(as_of.parse().unwrap());
            let state = history(&ledger, &tenant, order, as_of, |_, _| {}).await.unwrap();
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
        let each =
            |recorded: Recorded, order: &Order| seen.push((recorded.position.sequence, order.status()));
        history(&ledger, &tenant, order, None, each).await.unwrap();
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
}
