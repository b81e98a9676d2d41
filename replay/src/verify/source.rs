//! Where stored commits are read from, good and bad ones alike.

use async_trait::async_trait;
use futures::stream::BoxStream;
use ledger::ids::Position;
use ledger::journal::{BoxError, Stored};

use super::fault::FaultKind;

/// Commits as they stand somewhere: in a journal, or in an export of one.
///
/// A source does not judge. It gives what there is, in the order in which it is there, and says of what it cannot
/// make out that it cannot.
#[async_trait]
pub trait Source: Send + Sync {
    /// How many partitions there are.
    fn partitions(&self) -> u16;

    /// How many commits a partition has now; none where that cannot be told without reading them.
    async fn count(&self, partition: u16) -> Result<Option<u64>, SourceError>;

    /// How many commits a partition should have by what is noted beside them, and where that is noted.
    fn noted(&self, _partition: u16) -> Option<(u64, &str)> {
        None
    }

    /// All that stands in a partition, up to what `count` said: it may grow meanwhile.
    async fn read(
        &self,
        partition: u16,
        count: Option<u64>,
    ) -> Result<BoxStream<'_, Result<Found, SourceError>>, SourceError>;
}

/// What stands at a place in a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A commit. Its position is the one that it is filed under.
    Commit(Stored),
    /// Something that is no stored commit.
    Broken {
        /// Where it stands.
        position: Position,
        /// In which way.
        kind: FaultKind,
        /// For people.
        reason: String,
    },
}

/// A source that cannot be read now. Says nothing about what is in it.
#[derive(Debug, thiserror::Error)]
#[error("the log cannot be read")]
pub struct SourceError(#[source] pub BoxError);

impl From<ledger::journal::ReadError> for SourceError {
    fn from(error: ledger::journal::ReadError) -> Self {
        SourceError(error.into())
    }
}
