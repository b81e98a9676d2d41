//! What was at a moment, folded again from the journal.
//!
//! A view shows what is; this shows what was. Nothing here reads a view, so what it says stands on the log alone.
//!
//! What must stay true: every question about one moment cuts every order's history at the same commit, so totals as
//! of a moment are the sums over the orders as of that moment.

mod decoded;
mod snapshot;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use ledger::codec::{self, DecodeError};
use ledger::commit::{Changes, Recorded};
use ledger::execute::{Ledger, LoadError, fold};
use ledger::ids::{Position, RecordId, TenantId};
use ledger::journal::{Journal, ReadError};
use ledger::order::Order;
use projections::views::{OrderView, order};

pub use snapshot::{PageOfIds, Snapshot};

/// A moment as somebody names it.
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

/// Where a moment cuts the histories of a ledger's orders.
///
/// - A time cuts an order's history before its first commit that was decided later, by the clock of the node that
///   decided it. What comes after that commit is later, whatever its own node's clock said.
/// - A position cuts its own partition after that commit. Orders in other partitions are cut at the time at which that
///   commit was decided: positions of two partitions are not ordered.
/// - A position beyond the end of its partition is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moment(Cut);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Cut {
    #[default]
    Now,
    Time(Timestamp),
    Position {
        position: Position,
        /// None: before everything.
        elsewhere: Option<Timestamp>,
    },
}

/// Why a moment could not be found in a ledger.
#[derive(Debug, thiserror::Error)]
pub enum MomentError {
    /// The position is in a partition that the ledger does not have.
    #[error("there is no partition {partition}: the ledger has {partitions}, numbered from 0")]
    UnknownPartition {
        /// The one asked for.
        partition: u16,
        /// How many there are.
        partitions: u16,
    },
    /// The journal could not be read.
    #[error(transparent)]
    Load(#[from] LoadError),
}

impl From<ReadError> for MomentError {
    fn from(error: ReadError) -> Self {
        MomentError::Load(error.into())
    }
}

impl Moment {
    /// The present: nothing is cut.
    pub const NOW: Moment = Moment(Cut::Now);

    /// Finds the moment that somebody named; none is the present.
    pub async fn find(journal: &dyn Journal, as_of: Option<AsOf>) -> Result<Self, MomentError> {
        match as_of {
            None => Ok(Moment::NOW),
            Some(AsOf::Time(time)) => Ok(Moment(Cut::Time(time))),
            Some(AsOf::Position(position)) => Moment::at(journal, position).await,
        }
    }

    async fn at(journal: &dyn Journal, position: Position) -> Result<Self, MomentError> {
        let (partition, partitions) = (position.partition, journal.partitions());
        if partition >= partitions {
            return Err(MomentError::UnknownPartition { partition, partitions });
        }
        if position.sequence == 0 {
            return Ok(Moment(Cut::Position { position, elsewhere: None }));
        }
        if position.sequence > journal.last_sequence(partition).await? {
            return Ok(Moment::NOW);
        }
        if partitions == 1 {
            return Ok(Moment(Cut::Position { position, elsewhere: None }));
        }
        let corrupt = |reason: String| LoadError::Corrupt { position, reason };
        let stored = journal.at(position).await?.ok_or_else(|| corrupt("there is no commit".to_owned()))?;
        let commit = codec::decode(&stored.bytes).map_err(|DecodeError(reason)| corrupt(reason))?;
        Ok(Moment(Cut::Position { position, elsewhere: Some(commit.decided_at) }))
    }

    /// Whether a commit is at or before the cut. An order's history ends at its first commit that is not.
    fn includes(self, recorded: &Recorded) -> bool {
        let (at, decided_at) = (recorded.position, recorded.commit.decided_at);
        match self.0 {
            Cut::Now => true,
            Cut::Time(time) => decided_at <= time,
            Cut::Position { position, .. } if at.partition == position.partition => {
                at.sequence <= position.sequence
            }
            Cut::Position { elsewhere, .. } => elsewhere.is_some_and(|time| decided_at <= time),
        }
    }

    /// The last sequence of a partition that can be at or before the cut, of a partition that ends with `last`.
    fn end(self, partition: u16, last: u64) -> u64 {
        match self.0 {
            Cut::Position { position, .. } if position.partition == partition => position.sequence.min(last),
            Cut::Position { position, elsewhere: None } if position.sequence == 0 => 0,
            Cut::Now | Cut::Time(_) | Cut::Position { .. } => last,
        }
    }
}

/// Folds an order's commits up to a moment; `each` gets every one with the order as it left it. None when there was
/// no such order then.
pub async fn history(
    ledger: &Ledger,
    tenant: &TenantId,
    order: RecordId,
    moment: Moment,
    each: impl FnMut(Recorded, &Order),
) -> Result<Option<Order>, LoadError> {
    let commits = ledger.commits(tenant, order).await?;
    fold(commits.into_iter().take_while(|recorded| moment.includes(recorded)), each)
}

/// An order's view as of a moment. None when there was no such order then.
pub async fn order(
    ledger: &Ledger,
    tenant: &TenantId,
    id: RecordId,
    moment: Moment,
) -> Result<Option<OrderView>, LoadError> {
    let mut view = None;
    let commits = ledger.commits(tenant, id).await?;
    for recorded in commits.into_iter().take_while(|recorded| moment.includes(recorded)) {
        match recorded.commit.changes {
            Changes::Order(_) => view = Some(apply(view, &recorded)?),
            // To whoever asks for an order, there is none of this id.
            Changes::Offer(_) | Changes::Quarantine(_) => return Ok(None),
        }
    }
    Ok(view)
}

fn apply(view: Option<OrderView>, recorded: &Recorded) -> Result<OrderView, LoadError> {
    order::apply(view, recorded)
        .map_err(|error| LoadError::Corrupt { position: recorded.position, reason: error.to_string() })
}
